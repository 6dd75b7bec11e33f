//! How a retried task ends: cancelled, given up, panicked, shut down; and what is dropped and counted then.

use crate::handle::{TellDrop, must_join};
use crate::manual::{Drops, HOUR, Manual, S, due_of, until};
use crate::support::must_recv;
use millhand::cancel::CancelReason;
use millhand::task::{CancelOutcome, OutcomeKind, TaskState};
use millhand::{CancelToken, Retry, Shutdown, TaskError, TaskHandle};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

pub(crate) type Outcome = Result<u32, u32>;

/// A body that returns what it is sent.
pub(crate) fn led() -> (
    impl FnMut() -> Outcome + Send + 'static,
    Receiver<()>,
    Sender<Outcome>,
) {
    let (tell, told) = mpsc::channel();
    let (go, wait) = mpsc::channel();
    let body = move || {
        tell.send(()).unwrap();
        must_recv(&wait)
    };
    (body, told, go)
}

fn kind_of(handle: &TaskHandle<Outcome>) -> Receiver<OutcomeKind> {
    let (tell, told) = mpsc::channel();
    handle.on_finish(move |summary| tell.send(summary.outcome).unwrap());
    told
}

#[test]
fn a_task_that_ends_between_two_attempts_has_no_running_time() {
    let pool = Manual::new(1);
    let (tell, told) = mpsc::channel();
    let task = pool.task().name("timed").retry(Retry::fixed(1, HOUR));
    let handle = task.submit(|| Err::<(), _>("no"));
    handle.on_finish(move |summary| tell.send((summary.attempts, summary.ran)).unwrap());
    due_of(&handle, 2);
    assert_eq!(handle.cancel(), CancelOutcome::Settled);
    assert_eq!(must_recv(&told), (1, None));
}

#[test]
fn the_callback_is_told_once_and_of_the_last_attempt() {
    for (last, kind) in [
        (Ok(3), OutcomeKind::Succeeded),
        (Err(3), OutcomeKind::Failed),
    ] {
        let pool = Manual::new(1);
        let (body, told, go) = led();
        let handle = pool.task().retry(Retry::fixed(2, S)).submit(body);
        let finished = kind_of(&handle);
        for attempt in 1..=2 {
            must_recv(&told);
            go.send(Err(attempt)).unwrap();
            due_of(&handle, attempt + 1);
            assert!(finished.try_recv().is_err());
            pool.advance(S);
        }
        must_recv(&told);
        go.send(last).unwrap();
        assert_eq!(must_recv(&finished), kind);
        assert!(finished.recv().is_err(), "once");
        assert_eq!(must_join(handle).unwrap(), last);
    }
}

#[test]
fn a_task_counts_once_whatever_its_attempts() {
    let pool = Manual::new(2);
    let task = pool.task().retry(Retry::fixed(3, Duration::ZERO));
    for _ in 0..5 {
        // Nobody holds a handle of these.
        task.execute_ok(|| Err("always"));
        let mut n = 0;
        task.try_execute_ok(move || {
            n += 1;
            if n < 4 { Err("at first") } else { Ok(()) }
        })
        .unwrap();
    }
    let failed = task.submit(|| Err::<(), _>("always"));
    let report = pool.shutdown(Shutdown::drain()).unwrap();
    assert_eq!((report.failed(), report.succeeded()), (6, 5), "{report}");
    assert_eq!((report.panicked(), report.cancelled()), (0, 0));
    assert_eq!(must_join(failed).unwrap(), Err("always"));
}

// Cancelling.

#[test]
fn cancelling_between_two_attempts_settles_it_and_drops_its_closure_here() {
    let pool = Manual::new(1);
    let (tell, told) = mpsc::channel();
    let captured = TellDrop(tell);
    let handle = pool.task().retry(Retry::fixed(9, HOUR)).submit(move || {
        let _owned = &captured;
        Err::<u32, u32>(1)
    });
    let finished = kind_of(&handle);
    due_of(&handle, 2);
    assert!(told.try_recv().is_err());
    assert_eq!(handle.cancel(), CancelOutcome::Settled);
    assert_eq!(told.try_recv(), Ok(thread::current().id()));
    assert_eq!(finished.try_recv(), Ok(OutcomeKind::Cancelled));
    // The clock stands: nothing is waited for.
    pool.wait_idle().unwrap();
    assert_eq!(handle.state(), TaskState::Finished);
    assert_eq!(handle.cancel(), CancelOutcome::AlreadyFinished);
    assert!(matches!(
        must_join(handle),
        Err(TaskError::Cancelled(CancelReason::User))
    ));
}

#[test]
fn its_token_cancels_it_between_two_attempts() {
    let pool = Manual::new(1);
    let batch = CancelToken::new();
    let task = pool.task().token(&batch).retry(Retry::fixed(9, HOUR));
    let own = task.submit(|| Err::<(), _>(1));
    let both = task.submit(|| Err::<(), _>(1));
    due_of(&own, 2);
    due_of(&both, 2);
    assert!(own.token().cancel_with(CancelReason::Race));
    assert!(own.is_finished() && !both.is_finished());
    batch.cancel_with(CancelReason::Scope);
    assert!(matches!(
        must_join(own),
        Err(TaskError::Cancelled(CancelReason::Race))
    ));
    assert!(matches!(
        must_join(both),
        Err(TaskError::Cancelled(CancelReason::Scope))
    ));
    pool.wait_idle().unwrap();
}

#[test]
fn after_a_cancel_request_there_is_no_further_attempt_and_a_value_stands() {
    for returned in [Ok(1), Err(1)] {
        for delay in [Duration::ZERO, HOUR] {
            let pool = Manual::new(1);
            let (body, told, go) = led();
            let handle = pool.task().retry(Retry::fixed(9, delay)).submit(body);
            must_recv(&told);
            assert_eq!(handle.cancel(), CancelOutcome::Requested);
            go.send(returned).unwrap();
            match (must_join(handle), returned) {
                (Ok(Ok(value)), Ok(expected)) => assert_eq!(value, expected),
                (Err(TaskError::Cancelled(CancelReason::User)), Err(_)) => {}
                (end, _) => panic!("{returned:?} came to {end:?}"),
            }
            assert!(
                told.recv().is_err(),
                "the body is gone, and was not run again"
            );
        }
    }
}

#[test]
fn a_body_that_leaves_for_a_cancel_is_cancelled_and_not_retried() {
    let pool = Manual::new(1);
    let (tell, told) = mpsc::channel();
    let task = pool
        .task()
        .retry(Retry::fixed(9, Duration::ZERO))
        .retry_panics(true);
    let handle = task.submit(move || -> Outcome {
        tell.send(()).unwrap();
        loop {
            millhand::checkpoint();
        }
    });
    must_recv(&told);
    handle.cancel();
    assert!(matches!(
        must_join(handle),
        Err(TaskError::Cancelled(CancelReason::User))
    ));
    assert!(told.recv().is_err());
}

#[test]
fn a_dropped_handle_is_no_cancel_but_one_that_says_so_is() {
    let pool = Manual::new(1);
    let task = pool.task().retry(Retry::fixed(1, S));
    for cancels in [false, true] {
        let (body, told, go) = led();
        let handle = task.submit(body);
        must_recv(&told);
        go.send(Err(1)).unwrap();
        due_of(&handle, 2);
        if cancels {
            drop(handle.cancel_on_drop());
            assert!(told.recv().is_err(), "the body is gone");
            continue;
        }
        drop(handle);
        pool.advance(S);
        must_recv(&told);
        go.send(Ok(2)).unwrap();
        assert!(told.recv().is_err());
    }
    pool.wait_idle().unwrap();
}

#[test]
fn cancels_and_attempts_race_and_each_closure_is_dropped_once() {
    let pool = Manual::new(2);
    let drops = Drops::default();
    let task = pool.task().retry(Retry::fixed(u32::MAX, Duration::ZERO));
    for _ in 0..300 {
        let one = drops.one();
        let (tell, told) = mpsc::channel();
        let handle = task.submit(move || {
            one.keep();
            let _ = tell.send(());
            Err::<u32, _>(1)
        });
        must_recv(&told);
        match handle.cancel() {
            CancelOutcome::Settled | CancelOutcome::Requested => {
                assert!(matches!(must_join(handle), Err(TaskError::Cancelled(_))));
            }
            other => panic!("it goes on for ever, and not {other:?}"),
        }
    }
    pool.wait_idle().unwrap();
    assert_eq!(drops.count(), 300);
}

// Shutting down.

#[test]
fn a_drain_waits_for_retries() {
    let pool = Manual::new(1);
    let mut n = 0;
    let handle = pool.task().retry(Retry::fixed(2, HOUR)).submit(move || {
        n += 1;
        if n < 3 { Err(n) } else { Ok(n) }
    });
    due_of(&handle, 2);
    let report = thread::scope(|s| {
        let shutdown = s.spawn(|| pool.shutdown(Shutdown::drain()).unwrap());
        until("the pool is closed", || pool.is_closed());
        pool.advance(HOUR);
        // One that goes for a retry while the pool drains is waited for, too.
        due_of(&handle, 3);
        assert!(!shutdown.is_finished());
        pool.advance(HOUR);
        shutdown.join().unwrap()
    });
    assert!(report.is_clean() && report.not_due().is_empty());
    assert_eq!((report.succeeded(), report.failed()), (1, 0));
    assert_eq!(must_join(handle).unwrap(), Ok(3));
}

#[test]
fn a_shutdown_that_cancels_does_not() {
    for how in [
        Shutdown::cancel(),
        Shutdown::cancel().including_delayed(),
        Shutdown::drain().cancel_after(S),
    ] {
        let pool = Manual::new(1);
        let drops = Drops::default();
        let one = drops.one();
        let handle = pool.task().retry(Retry::fixed(2, HOUR)).submit(move || {
            one.keep();
            Err::<(), _>(1)
        });
        due_of(&handle, 2);
        let report = pool.shut_down(how, || (), S);
        assert_eq!(drops.count(), 1);
        assert_eq!((report.cancelled(), report.cancelled_by_shutdown()), (1, 1));
        assert_eq!(
            (report.failed(), report.not_due().len()),
            (0, 0),
            "it has begun"
        );
        assert!(matches!(
            must_join(handle),
            Err(TaskError::Cancelled(CancelReason::Shutdown))
        ));
    }
}

#[test]
fn an_attempt_that_fails_while_the_pool_cancels_is_the_last() {
    let pool = Manual::new(1);
    let (body, told, go) = led();
    let handle = pool
        .task()
        .retry(Retry::fixed(9, Duration::ZERO))
        .submit(body);
    must_recv(&told);
    let report = thread::scope(|s| {
        let shutdown = s.spawn(|| pool.shutdown(Shutdown::cancel()).unwrap());
        let token = handle.token();
        token.wait().unwrap();
        assert_eq!(token.reason(), Some(CancelReason::Shutdown));
        go.send(Err(1)).unwrap();
        shutdown.join().unwrap()
    });
    assert!(matches!(
        must_join(handle),
        Err(TaskError::Cancelled(CancelReason::Shutdown))
    ));
    assert_eq!((report.failed(), report.cancelled()), (0, 1));
}

#[test]
fn a_retry_for_ever_does_not_outlive_a_shutdown_that_cancels() {
    for _ in 0..30 {
        let pool = Manual::new(2);
        let drops = Drops::default();
        let task = pool.task().retry(Retry::fixed(u32::MAX, Duration::ZERO));
        for _ in 0..4 {
            let one = drops.one();
            task.execute_ok(move || {
                one.keep();
                Err("always")
            });
        }
        let report = pool.shutdown(Shutdown::cancel()).unwrap();
        assert_eq!(drops.count(), 4);
        assert_eq!(report.failed() + report.cancelled(), 4, "{report}");
    }
}
