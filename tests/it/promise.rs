//! Handles that are settled by hand.

use crate::handle::TellDrop;
use crate::support::must_recv;
use millhand::cancel::CancelReason;
use millhand::error::WaitedFor;
use millhand::task::{CancelOutcome, OutcomeKind, TaskState};
use millhand::{TaskError, ThreadPool, promise};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

#[test]
fn a_kept_promise_settles_its_handle() {
    let (promise, handle) = promise();
    assert_eq!(handle.state(), TaskState::Queued);
    let handle = handle.try_join().unwrap_err();
    let handle = handle.join_timeout(Duration::ZERO).unwrap_err();
    promise.complete(5).unwrap();
    assert_eq!(handle.state(), TaskState::Finished);
    assert_eq!(handle.join().unwrap(), 5);
}

#[test]
fn a_promise_kept_elsewhere_wakes_who_waits() {
    let (promise, handle) = promise();
    let (tell, told) = mpsc::channel();
    thread::scope(|s| {
        s.spawn(move || {
            tell.send(()).unwrap();
            assert_eq!(handle.join().unwrap(), "from afar");
        });
        must_recv(&told);
        promise.complete("from afar").unwrap();
    });
}

#[test]
fn a_promise_can_fail_with_any_error() {
    let (promise, handle) = promise::<()>();
    let (tell, told) = mpsc::channel();
    handle.on_finish(move |summary| tell.send(summary.outcome).unwrap());
    promise.fail(TaskError::Expired(WaitedFor::Gate)).unwrap();
    assert!(matches!(
        handle.join(),
        Err(TaskError::Expired(WaitedFor::Gate))
    ));
    assert_eq!(told.try_recv(), Ok(OutcomeKind::Expired));
}

#[test]
fn a_dropped_promise_cancels_its_handle() {
    let (promise, handle) = promise::<()>();
    let (tell, told) = mpsc::channel();
    handle.on_finish(move |summary| tell.send(summary.outcome).unwrap());
    drop(promise);
    assert_eq!(told.try_recv(), Ok(OutcomeKind::Cancelled));
    assert!(matches!(
        handle.join(),
        Err(TaskError::Cancelled(CancelReason::Dropped))
    ));
}

#[test]
fn a_promise_that_panics_away_cancels_its_handle() {
    let pool = ThreadPool::new(1).unwrap();
    let (promise, handle) = promise::<()>();
    let keeper = pool.submit(move || {
        let _promise = promise;
        panic!("and never keeps it");
    });
    assert!(matches!(
        handle.join(),
        Err(TaskError::Cancelled(CancelReason::Dropped))
    ));
    assert!(keeper.join().is_err());
}

#[test]
fn a_promise_whose_handle_was_cancelled_gives_the_value_back() {
    let (promise, handle) = promise();
    assert!(!promise.is_cancelled());
    assert_eq!(handle.cancel(), CancelOutcome::Settled);
    assert!(promise.is_cancelled());
    assert_eq!(promise.complete(String::from("late")).unwrap_err(), "late");
    assert!(matches!(
        handle.join(),
        Err(TaskError::Cancelled(CancelReason::User))
    ));
}

#[test]
fn a_promise_whose_handle_was_cancelled_gives_the_error_back() {
    let (promise, handle) = promise::<()>();
    handle.token().cancel_with(CancelReason::Race);
    assert!(matches!(
        promise.fail(TaskError::Expired(WaitedFor::Gate)),
        Err(TaskError::Expired(WaitedFor::Gate))
    ));
    assert!(matches!(
        handle.join(),
        Err(TaskError::Cancelled(CancelReason::Race))
    ));
}

#[test]
fn a_promise_without_a_handle_takes_the_value_and_drops_it() {
    let (promise, handle) = promise();
    drop(handle);
    assert!(
        !promise.is_cancelled(),
        "dropping a handle lets go, no more"
    );
    let (tell, told) = mpsc::channel();
    promise.complete(TellDrop(tell)).ok().unwrap();
    assert_eq!(told.try_recv(), Ok(thread::current().id()));
}

#[test]
fn a_cancel_on_drop_handle_of_a_promise_cancels_it() {
    let (promise, handle) = promise::<u8>();
    drop(handle.cancel_on_drop());
    assert!(promise.is_cancelled());
    assert_eq!(promise.complete(1), Err(1));
}

#[test]
fn a_promise_and_a_cancel_at_once_settle_it_once() {
    for n in 0..200 {
        let (promise, handle) = promise();
        let (kept, cancelled) = thread::scope(|s| {
            let keeper = s.spawn(|| promise.complete(n));
            let cancelled = handle.cancel();
            (keeper.join().unwrap(), cancelled)
        });
        match handle.try_join().unwrap() {
            Ok(value) => assert_eq!((value, kept), (n, Ok(()))),
            Err(TaskError::Cancelled(CancelReason::User)) => {
                assert_eq!((kept, cancelled), (Err(n), CancelOutcome::Settled));
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn a_promise_is_kept_from_a_worker_that_its_waiter_does_not_hold_up() {
    // One worker: the body that waits for the promise gives its seat to the one that keeps it.
    let pool = ThreadPool::new(1).unwrap();
    let (promise, handle) = promise();
    let waiting = pool.submit(move || handle.join().unwrap());
    let keeping = pool.submit(move || promise.complete(9).unwrap());
    assert_eq!(waiting.join().unwrap(), 9);
    keeping.join().unwrap();
}

#[test]
fn a_promise_is_printed_with_its_id() {
    struct Opaque;
    let (promise, handle) = promise::<Opaque>();
    assert!(format!("{promise:?}").contains(&handle.id().to_string()));
}

// Promises of a pool.

#[test]
fn a_promise_could_not_be_continued_outside_of_a_worker() {
    let pool = ThreadPool::new(1).unwrap();
    let (promise, handle) = pool.promise::<u32>();
    let double = handle.map(|n| 2 * n).then(|n| n.unwrap() + 1);
    promise.complete(21).unwrap();
    assert_eq!(double.join().unwrap(), 43);
    let (promise, handle) = pool.promise::<u32>();
    let gone = handle.map(|n| n + 1);
    drop(promise);
    let dropped = TaskError::Cancelled(CancelReason::Dropped);
    assert_eq!(gone.join().unwrap_err().to_string(), dropped.to_string());
    // The pool neither waits for it nor counts it.
    let (kept, handle) = pool.promise::<u32>();
    pool.wait_idle().unwrap();
    let report = pool.shutdown(millhand::Shutdown::drain()).unwrap();
    assert_eq!((report.succeeded(), report.rejected()), (2, 0));
    kept.complete(1).unwrap();
    assert_eq!(handle.join().unwrap(), 1);
}

#[test]
fn a_promise_whose_time_was_over_was_said_to_have_waited_for_a_worker() {
    let pool = ThreadPool::new(1).unwrap();
    for (_promise, handle) in [promise::<()>(), pool.promise()] {
        handle.token().cancel_with(CancelReason::Deadline);
        assert!(matches!(handle.join(), Err(TaskError::TimedOut)));
    }
}

#[test]
fn a_cancelled_promise_of_a_pool_is_settled_and_counted_nowhere() {
    let pool = ThreadPool::new(1).unwrap();
    for _ in 0..200 {
        let (promise, handle) = pool.promise::<u32>();
        assert_eq!(handle.cancel(), CancelOutcome::Settled);
        assert!(promise.is_cancelled());
        assert_eq!(promise.complete(7), Err(7));
    }
    assert_eq!(pool.queued(), 0);
    pool.wait_idle().unwrap();
    let report = pool.shutdown(millhand::Shutdown::drain()).unwrap();
    assert_eq!((report.succeeded(), report.cancelled()), (0, 0));
}

#[test]
fn a_body_at_the_bound_waited_for_ever_for_a_promise_that_a_task_of_its_pool_was_to_keep() {
    let builder = ThreadPool::builder().workers(1).max_threads(1);
    let pool = builder.build().unwrap();
    let (promise, handle) = pool.promise::<u32>();
    let waits = pool.submit(move || handle.join().unwrap());
    let keeps = pool.submit(move || promise.complete(7).unwrap());
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let both = (waits.join().unwrap(), keeps.join().unwrap());
        tell.send(both).unwrap();
    });
    assert_eq!(must_recv(&told), (7, ()));
}

#[test]
fn a_worker_that_joins_a_promise_of_its_pool_does_not_run_it() {
    let pool = ThreadPool::new(1).unwrap();
    let (promise, handle) = pool.promise::<u32>();
    let (begun, begins) = mpsc::channel();
    let joins = pool.submit(move || {
        begun.send(()).unwrap();
        handle.join().unwrap()
    });
    must_recv(&begins);
    promise.complete(7).unwrap();
    assert_eq!(joins.join().unwrap(), 7);
}
