//! The handle: every way to wait for a task, to ask about it and to cancel it; panics, and what errors say.

use crate::support::{LONG, must_recv};
use millhand::cancel::CancelReason;
use millhand::error::{Rejection, Stopped, TaskPanic, WaitedFor};
use millhand::pool::{BuildError, PoolError};
use millhand::task::{CancelOutcome, OutcomeKind, Summary, TaskId, TaskState};
use millhand::{CancelToken, JoinError, Shutdown, TaskError, TaskHandle, ThreadPool};
use std::any::Any;
use std::collections::HashSet;
use std::error::Error;
use std::fmt::{self, Display};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, ThreadId};
use std::time::Duration;

/// Keeps a worker, and its seat, until it is dropped.
pub(crate) struct Busy {
    _release: Sender<()>,
}

/// One of the pool's workers, kept busy: what is submitted next to a pool of one stays queued.
pub(crate) fn keep_busy(pool: &ThreadPool) -> Busy {
    let (release, released) = mpsc::channel::<()>();
    let (tell, told) = mpsc::channel();
    pool.execute(move || {
        tell.send(()).unwrap();
        // Ends when the other side is dropped.
        let _ = released.recv();
    });
    must_recv(&told);
    Busy { _release: release }
}

/// Joins, or fails in place of hanging.
pub(crate) fn must_join<T: 'static>(handle: TaskHandle<T>) -> Result<T, TaskError> {
    handle.join_timeout(LONG).expect("it must finish")
}

/// Tells on which thread it was dropped.
pub(crate) struct TellDrop(pub(crate) Sender<ThreadId>);

impl Drop for TellDrop {
    fn drop(&mut self) {
        let _ = self.0.send(thread::current().id());
    }
}

fn panicked<T>(outcome: Result<T, TaskError>) -> Box<TaskPanic> {
    match outcome {
        Err(TaskError::Panicked(panic)) => panic,
        Err(other) => panic!("not a panic but: {other}"),
        Ok(_) => panic!("not a panic but a value"),
    }
}

/// A callback that sends its summary on, and where.
fn listener() -> (
    impl FnOnce(&Summary) + Send + 'static,
    Receiver<(Summary, ThreadId)>,
) {
    let (tell, told) = mpsc::channel();
    let callback = move |summary: &Summary| {
        tell.send((summary.clone(), thread::current().id()))
            .unwrap();
    };
    (callback, told)
}

// Waiting.

#[test]
fn join_gives_what_the_body_returned() {
    let pool = ThreadPool::new(1).unwrap();
    assert_eq!(pool.submit(|| String::from("done")).join().unwrap(), "done");
}

#[test]
fn try_join_gives_the_handle_back_until_the_task_has_finished() {
    let pool = ThreadPool::new(1).unwrap();
    let busy = keep_busy(&pool);
    let handle = pool.submit(|| 5).try_join().unwrap_err();
    let handle = handle.try_join().unwrap_err();
    drop(busy);
    handle.wait().unwrap();
    assert_eq!(handle.try_join().unwrap().unwrap(), 5);
}

#[test]
fn join_timeout_gives_the_handle_back_when_the_time_is_over() {
    let pool = ThreadPool::new(1).unwrap();
    let busy = keep_busy(&pool);
    let handle = pool.submit(|| 5);
    let handle = handle.join_timeout(Duration::ZERO).unwrap_err();
    let handle = handle.join_timeout(Duration::from_millis(1)).unwrap_err();
    drop(busy);
    assert_eq!(handle.join_timeout(LONG).unwrap().unwrap(), 5);
}

#[test]
fn a_timeout_that_overflows_the_clock_means_for_ever() {
    let pool = ThreadPool::new(1).unwrap();
    assert_eq!(
        pool.submit(|| 1)
            .join_timeout(Duration::MAX)
            .unwrap()
            .unwrap(),
        1
    );
    let handle = pool.submit(|| 2);
    assert!(handle.wait_timeout(Duration::MAX).unwrap());
}

#[test]
fn a_timed_join_takes_what_is_there_even_with_no_time() {
    let pool = ThreadPool::new(1).unwrap();
    let handle = pool.submit(|| 5);
    handle.wait().unwrap();
    assert_eq!(handle.join_timeout(Duration::ZERO).unwrap().unwrap(), 5);
}

#[test]
fn waiting_leaves_the_outcome_where_it_is() {
    let pool = ThreadPool::new(1).unwrap();
    let busy = keep_busy(&pool);
    let handle = pool.submit(|| 5);
    assert!(!handle.wait_timeout(Duration::ZERO).unwrap());
    assert!(!handle.wait_timeout(Duration::from_millis(1)).unwrap());
    assert!(!handle.is_finished());
    drop(busy);
    assert!(handle.wait_timeout(LONG).unwrap());
    handle.wait().unwrap();
    assert!(handle.is_finished());
    assert_eq!(handle.join().unwrap(), 5);
}

#[test]
fn waiting_for_a_task_that_failed_is_no_error() {
    let pool = ThreadPool::new(1).unwrap();
    let handle = pool.submit(|| panic!("its own affair"));
    handle.wait().unwrap();
    assert!(handle.wait_timeout(Duration::ZERO).unwrap());
    panicked(handle.join());
}

#[test]
fn many_threads_may_wait_for_one_handle() {
    let pool = ThreadPool::new(1).unwrap();
    let busy = keep_busy(&pool);
    let handle = pool.submit(|| 5);
    let (tell, told) = mpsc::channel();
    thread::scope(|s| {
        for n in 0..4 {
            let (tell, handle) = (tell.clone(), &handle);
            s.spawn(move || {
                if n % 2 == 0 {
                    handle.wait().unwrap();
                } else {
                    assert!(handle.wait_timeout(LONG).unwrap());
                }
                tell.send(()).unwrap();
            });
        }
        drop(busy);
        (0..4).for_each(|_| must_recv(&told));
    });
    assert_eq!(handle.join().unwrap(), 5);
}

// Asking.

#[test]
fn a_task_is_queued_then_runs_then_has_finished() {
    let pool = ThreadPool::new(1).unwrap();
    let busy = keep_busy(&pool);
    let (tell, told) = mpsc::channel();
    let (go_on, gone_on) = mpsc::channel();
    let handle = pool.submit(move || {
        tell.send(()).unwrap();
        must_recv(&gone_on);
    });
    assert_eq!(handle.state(), TaskState::Queued);
    assert!(!handle.is_finished());
    drop(busy);
    must_recv(&told);
    assert_eq!(handle.state(), TaskState::Running);
    assert!(!handle.is_finished());
    go_on.send(()).unwrap();
    handle.wait().unwrap();
    assert_eq!(handle.state(), TaskState::Finished);
    assert!(handle.is_finished());
}

#[test]
fn a_task_knows_the_id_and_the_name_that_its_handle_has() {
    let pool = ThreadPool::new(1).unwrap();
    let handle = pool.task().name("index").submit(|| {
        let me = millhand::current().unwrap();
        (me.id(), me.name().map(String::from))
    });
    let (id, name) = (handle.id(), handle.name());
    assert_eq!(name.as_deref(), Some("index"));
    assert_eq!(handle.join().unwrap(), (id, Some("index".to_owned())));
}

#[test]
fn a_task_without_a_name_has_none() {
    let pool = ThreadPool::new(1).unwrap();
    assert_eq!(pool.submit(|| ()).name(), None);
    // Extras that come later bring no name either.
    let handle = pool.submit(|| ());
    let _token = handle.token();
    assert_eq!(handle.name(), None);
}

#[test]
fn ids_differ_across_threads_and_pools_and_rise_on_one_thread() {
    let pools: Vec<_> = (0..2).map(|_| ThreadPool::new(1).unwrap()).collect();
    let ids = |_| -> Vec<TaskId> {
        (0..600)
            .map(|n| pools[n % 2].submit(|| ()).id())
            .collect::<Vec<_>>()
    };
    let all: Vec<Vec<TaskId>> = thread::scope(|s| {
        let threads: Vec<_> = (0..3).map(|n| s.spawn(move || ids(n))).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert!(all.iter().all(|ids| ids.is_sorted()));
    let distinct: HashSet<_> = all.concat().into_iter().collect();
    assert_eq!(distinct.len(), 3 * 600);
}

#[test]
fn an_id_is_printed_and_parsed() {
    let pool = ThreadPool::new(1).unwrap();
    let id = pool.submit(|| ()).id();
    assert_eq!(id.to_string().parse::<TaskId>().unwrap(), id);
    assert_eq!(format!("{id:?}"), format!("TaskId({id})"));
    assert_eq!(format!("{id:>25}").trim_start(), id.to_string());
    assert_eq!(format!("{id:>25}").len(), 25);
    for wrong in ["", "-1", "1.0", "18446744073709551616"] {
        assert!(wrong.parse::<TaskId>().is_err(), "{wrong:?}");
    }
}

#[test]
fn a_handle_is_printed_whatever_it_holds() {
    struct Opaque;
    let pool = ThreadPool::new(1).unwrap();
    let handle = pool.task().name("print").submit(|| Opaque);
    handle.wait().unwrap();
    let text = format!("{handle:?}");
    for part in [
        handle.id().to_string().as_str(),
        "print",
        "Finished",
        "cancel_on_drop: false",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

// Letting go.

#[test]
fn dropping_the_handle_lets_the_task_run_on() {
    let pool = ThreadPool::new(1).unwrap();
    let busy = keep_busy(&pool);
    let (tell, told) = mpsc::channel();
    drop(pool.submit(move || tell.send(7).unwrap()));
    drop(busy);
    assert_eq!(must_recv(&told), 7);
}

#[test]
fn a_value_that_nobody_wants_is_dropped() {
    let pool = ThreadPool::new(1).unwrap();
    let (tell, told) = mpsc::channel();
    // Let go before it ran: the worker drops the value.
    let busy = keep_busy(&pool);
    let late = TellDrop(tell.clone());
    drop(pool.submit(move || late));
    drop(busy);
    assert_ne!(must_recv(&told), thread::current().id());
    // Let go after: the handle does.
    let early = TellDrop(tell);
    let handle = pool.submit(move || early);
    handle.wait().unwrap();
    assert!(told.try_recv().is_err());
    drop(handle);
    assert_eq!(must_recv(&told), thread::current().id());
    assert!(told.recv().is_err(), "each was dropped once");
}

#[test]
fn an_unwanted_value_whose_drop_panics_harms_nothing() {
    struct Grenade;
    impl Drop for Grenade {
        fn drop(&mut self) {
            panic!("in the drop of a value");
        }
    }
    impl Display for Grenade {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a grenade")
        }
    }
    let pool = ThreadPool::new(1).unwrap();
    let busy = keep_busy(&pool);
    drop(pool.submit(|| Grenade));
    pool.execute_ok(|| Err::<(), _>(Grenade));
    drop(busy);
    let settled = pool.submit(|| Grenade);
    settled.wait().unwrap();
    drop(settled);
    let unrun = pool.submit({
        let grenade = Grenade;
        move || drop(grenade)
    });
    unrun.cancel();
    assert_eq!(pool.submit(|| 1).join().unwrap(), 1);
}

// Cancelling.

#[test]
fn cancelling_a_queued_task_settles_it_and_drops_its_closure_here() {
    let pool = ThreadPool::new(1).unwrap();
    let busy = keep_busy(&pool);
    let (tell, told) = mpsc::channel();
    let captured = TellDrop(tell);
    let handle = pool.submit(move || drop(captured));
    assert_eq!(handle.cancel(), CancelOutcome::Settled);
    // No waiting: it was dropped before the call returned.
    assert_eq!(told.try_recv(), Ok(thread::current().id()));
    assert_eq!(handle.state(), TaskState::Finished);
    assert_eq!(handle.cancel(), CancelOutcome::AlreadyFinished);
    assert!(matches!(
        handle.try_join().unwrap(),
        Err(TaskError::Cancelled(CancelReason::User))
    ));
    drop(busy);
    pool.wait_idle().unwrap();
}

#[test]
fn a_cancelled_task_never_runs() {
    let pool = ThreadPool::new(1).unwrap();
    let busy = keep_busy(&pool);
    let runs = Arc::new(AtomicUsize::new(0));
    let handles: Vec<_> = (0..10)
        .map(|_| {
            let runs = runs.clone();
            pool.submit(move || runs.fetch_add(1, SeqCst))
        })
        .collect();
    for handle in handles.iter().step_by(2) {
        assert_eq!(handle.cancel(), CancelOutcome::Settled);
    }
    drop(busy);
    pool.wait_idle().unwrap();
    assert_eq!(runs.load(SeqCst), 5);
}

#[test]
fn a_running_task_is_asked_and_what_it_returns_stands() {
    let pool = ThreadPool::new(1).unwrap();
    let (tell, told) = mpsc::channel();
    let (go_on, gone_on) = mpsc::channel();
    let handle = pool.submit(move || {
        tell.send(millhand::is_cancelled()).unwrap();
        must_recv(&gone_on);
        assert!(millhand::is_cancelled());
        7
    });
    assert!(!must_recv(&told));
    assert_eq!(handle.cancel(), CancelOutcome::Requested);
    assert_eq!(handle.state(), TaskState::Running);
    assert_eq!(handle.cancel(), CancelOutcome::Requested);
    go_on.send(()).unwrap();
    assert_eq!(handle.join().unwrap(), 7);
}

#[test]
fn a_panic_after_a_cancel_request_is_a_panic() {
    let pool = ThreadPool::new(1).unwrap();
    let (tell, told) = mpsc::channel();
    let (go_on, gone_on) = mpsc::channel();
    let handle = pool.submit(move || {
        tell.send(()).unwrap();
        must_recv(&gone_on);
        panic!("all the same");
    });
    must_recv(&told);
    handle.cancel();
    go_on.send(()).unwrap();
    assert_eq!(panicked(handle.join()).message(), "all the same");
}

#[test]
fn cancelling_a_finished_task_does_nothing() {
    let pool = ThreadPool::new(1).unwrap();
    let handle = pool.submit(|| 7);
    handle.wait().unwrap();
    assert_eq!(handle.cancel(), CancelOutcome::AlreadyFinished);
    assert!(handle.token().cancel());
    assert_eq!(handle.join().unwrap(), 7);
}

#[test]
fn the_token_of_a_handle_cancels_its_task_with_the_reason_given() {
    let pool = ThreadPool::new(1).unwrap();
    let busy = keep_busy(&pool);
    let queued = pool.submit(|| ());
    assert!(queued.token().cancel_with(CancelReason::Race));
    assert!(matches!(
        queued.try_join().unwrap(),
        Err(TaskError::Cancelled(CancelReason::Race))
    ));
    drop(busy);

    let (tell, told) = mpsc::channel();
    let running = pool.submit(move || {
        let token = millhand::current().unwrap().token();
        tell.send(()).unwrap();
        token.wait().unwrap();
        millhand::check().map_err(|stopped| stopped.reason())
    });
    must_recv(&told);
    running.token().cancel_with(CancelReason::Scope);
    assert_eq!(running.join().unwrap(), Err(CancelReason::Scope));
}

#[test]
fn cancelling_a_running_task_cancels_its_token() {
    let pool = ThreadPool::new(1).unwrap();
    let (tell, told) = mpsc::channel();
    let handle = pool.submit(move || {
        tell.send(()).unwrap();
        millhand::current().unwrap().token().wait().unwrap();
    });
    must_recv(&told);
    let token = handle.token();
    assert!(!token.is_cancelled());
    handle.cancel();
    assert_eq!(token.reason(), Some(CancelReason::User));
    handle.join().unwrap();
}

#[test]
fn a_token_asked_for_after_the_cancel_request_is_cancelled() {
    let pool = ThreadPool::new(1).unwrap();
    let (tell, told) = mpsc::channel();
    let (go_on, gone_on) = mpsc::channel();
    let handle = pool.submit(move || {
        tell.send(()).unwrap();
        must_recv(&gone_on);
        millhand::current().unwrap().token().reason()
    });
    must_recv(&told);
    handle.cancel();
    go_on.send(()).unwrap();
    assert_eq!(handle.join().unwrap(), Some(CancelReason::User));
}

#[test]
fn the_token_of_a_handle_is_the_one_that_the_body_sees() {
    let pool = ThreadPool::new(1).unwrap();
    let (tell, told) = mpsc::channel();
    let handle = pool.submit(move || {
        tell.send(millhand::current().unwrap().token()).unwrap();
        millhand::current().unwrap().token().wait().unwrap();
    });
    let inside = must_recv(&told);
    assert!(handle.token().cancel());
    assert!(!inside.cancel_with(CancelReason::Race), "it is the same");
    assert_eq!(inside.reason(), Some(CancelReason::User));
    handle.join().unwrap();
}

#[test]
fn dropping_a_cancel_on_drop_handle_cancels_a_queued_task_here() {
    let pool = ThreadPool::new(1).unwrap();
    let _busy = keep_busy(&pool);
    let (tell, told) = mpsc::channel();
    let captured = TellDrop(tell);
    let handle = pool.submit(move || drop(captured)).cancel_on_drop();
    let (callback, summaries) = listener();
    handle.on_finish(callback);
    drop(handle);
    assert_eq!(told.try_recv(), Ok(thread::current().id()));
    assert_eq!(
        summaries.try_recv().unwrap().0.outcome,
        OutcomeKind::Cancelled
    );
}

#[test]
fn dropping_a_cancel_on_drop_handle_asks_a_running_task() {
    let pool = ThreadPool::new(1).unwrap();
    let (tell, told) = mpsc::channel();
    let handle = pool
        .submit(move || {
            tell.send(None).unwrap();
            millhand::current().unwrap().token().wait().unwrap();
            tell.send(millhand::check().err()).unwrap();
        })
        .cancel_on_drop();
    assert_eq!(must_recv(&told), None);
    drop(handle);
    assert_eq!(
        must_recv(&told).map(|stopped| stopped.reason()),
        Some(CancelReason::Dropped)
    );
}

#[test]
fn cancel_on_drop_survives_a_join_that_came_too_early() {
    let pool = ThreadPool::new(1).unwrap();
    let _busy = keep_busy(&pool);
    let handle = pool.submit(|| ()).cancel_on_drop();
    let token = handle.token();
    let handle = handle.try_join().unwrap_err();
    let handle = handle.join_timeout(Duration::ZERO).unwrap_err();
    let (callback, summaries) = listener();
    handle.on_finish(callback);
    assert!(!token.is_cancelled());
    drop(handle);
    assert_eq!(
        summaries.try_recv().unwrap().0.outcome,
        OutcomeKind::Cancelled
    );
}

#[test]
fn cancel_on_drop_does_nothing_once_the_outcome_is_taken() {
    let pool = ThreadPool::new(1).unwrap();
    let (callback, summaries) = listener();
    let handle = pool.submit(|| 3).cancel_on_drop();
    handle.on_finish(callback);
    assert_eq!(handle.join().unwrap(), 3);
    assert_eq!(must_recv(&summaries).0.outcome, OutcomeKind::Succeeded);
}

// Callbacks.

#[test]
fn a_callback_is_told_when_the_task_has_finished() {
    let pool = ThreadPool::new(1).unwrap();
    let busy = keep_busy(&pool);
    let handle = pool.task().name("told").submit(|| thread::current().id());
    let (callback, summaries) = listener();
    handle.on_finish(callback);
    assert!(summaries.try_recv().is_err());
    drop(busy);
    let (summary, thread) = must_recv(&summaries);
    assert_eq!(summary.id, handle.id());
    assert_eq!(summary.name.as_deref(), Some("told"));
    assert_eq!(summary.outcome, OutcomeKind::Succeeded);
    assert!(summary.ran.is_some(), "a callback asks for measuring");
    assert_eq!(handle.join().unwrap(), thread);
    assert!(summaries.recv().is_err(), "it is called once");
}

#[test]
fn a_callback_of_a_finished_task_is_called_here_and_now() {
    let pool = ThreadPool::new(1).unwrap();
    let handle = pool.submit(|| ());
    handle.wait().unwrap();
    let (callback, summaries) = listener();
    let place = handle.on_finish(callback);
    let (summary, thread) = summaries.try_recv().unwrap();
    assert_eq!(summary.outcome, OutcomeKind::Succeeded);
    assert_eq!(thread, thread::current().id());
    assert!(!place.remove());
}

#[test]
fn a_callback_of_a_cancelled_task_is_called_by_who_cancels() {
    let pool = ThreadPool::new(1).unwrap();
    let _busy = keep_busy(&pool);
    let handle = pool.submit(|| ());
    let (callback, summaries) = listener();
    handle.on_finish(callback);
    handle.cancel();
    let (summary, thread) = summaries.try_recv().unwrap();
    assert_eq!(summary.outcome, OutcomeKind::Cancelled);
    assert_eq!(summary.ran, None);
    assert_eq!(thread, thread::current().id());
}

#[test]
fn a_callback_hears_of_a_panic() {
    let pool = ThreadPool::new(1).unwrap();
    let busy = keep_busy(&pool);
    let handle = pool.submit(|| panic!("heard of"));
    let (callback, summaries) = listener();
    handle.on_finish(callback);
    drop(busy);
    assert_eq!(must_recv(&summaries).0.outcome, OutcomeKind::Panicked);
}

#[test]
fn a_callback_hears_of_a_failure_only_where_an_error_is_one() {
    let pool = ThreadPool::new(1).unwrap();
    let outcome = |handle: TaskHandle<Result<(), &'static str>>| {
        let (callback, summaries) = listener();
        handle.on_finish(callback);
        must_recv(&summaries).0.outcome
    };
    assert_eq!(outcome(pool.submit(|| Err("no"))), OutcomeKind::Succeeded);
    let task = pool.task().fallible();
    assert_eq!(outcome(task.submit(|| Err("no"))), OutcomeKind::Failed);
    assert_eq!(outcome(task.submit(|| Ok(()))), OutcomeKind::Succeeded);
}

#[test]
fn a_callback_that_is_taken_out_is_not_called_but_dropped() {
    let pool = ThreadPool::new(1).unwrap();
    let busy = keep_busy(&pool);
    let handle = pool.submit(|| ());
    let (callback, summaries) = listener();
    let (tell, told) = mpsc::channel();
    let captured = TellDrop(tell);
    let place = handle.on_finish(move |summary| {
        let _captured = captured;
        callback(summary);
    });
    assert!(place.remove());
    assert_eq!(told.try_recv(), Ok(thread::current().id()));
    drop(busy);
    handle.join().unwrap();
    pool.wait_idle().unwrap();
    assert!(summaries.recv().is_err());
}

#[test]
fn taking_one_callback_out_leaves_the_others() {
    let pool = ThreadPool::new(1).unwrap();
    let busy = keep_busy(&pool);
    let handle = pool.submit(|| ());
    let (tell, told) = mpsc::channel();
    let add = |n: u32| {
        let tell = tell.clone();
        handle.on_finish(move |_| tell.send(n).unwrap())
    };
    let (_first, second, _third) = (add(1), add(2), add(3));
    assert!(second.remove());
    let fourth = add(4);
    let _fifth = add(5);
    assert!(fourth.remove());
    drop(tell);
    drop(busy);
    pool.wait_idle().unwrap();
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [1, 3, 5]);
}

#[test]
fn taking_a_callback_out_too_late_says_so() {
    let pool = ThreadPool::new(1).unwrap();
    let busy = keep_busy(&pool);
    let handle = pool.submit(|| ());
    let (callback, summaries) = listener();
    let place = handle.on_finish(callback);
    drop(busy);
    must_recv(&summaries);
    assert!(!place.remove());
    // And when the task itself is gone.
    let busy = keep_busy(&pool);
    let handle = pool.submit(|| ());
    let place = handle.on_finish(|_| ());
    drop(handle);
    drop(busy);
    pool.wait_idle().unwrap();
    assert!(!place.remove());
}

#[test]
fn a_callback_stays_when_the_handle_and_its_place_are_dropped() {
    let pool = ThreadPool::new(1).unwrap();
    let busy = keep_busy(&pool);
    let handle = pool.submit(|| ());
    let (callback, summaries) = listener();
    drop(handle.on_finish(callback));
    drop(handle);
    drop(busy);
    assert_eq!(must_recv(&summaries).0.outcome, OutcomeKind::Succeeded);
}

#[test]
fn a_callback_that_panics_harms_neither_the_others_nor_the_worker() {
    let pool = ThreadPool::new(1).unwrap();
    let busy = keep_busy(&pool);
    let handle = pool.submit(|| 5);
    handle.on_finish(|_| panic!("in a callback"));
    let (callback, summaries) = listener();
    handle.on_finish(callback);
    drop(busy);
    must_recv(&summaries);
    assert_eq!(handle.join().unwrap(), 5);
    assert_eq!(pool.submit(|| 6).join().unwrap(), 6);
    // Nor who calls it.
    let handle = pool.submit(|| 7);
    handle.wait().unwrap();
    handle.on_finish(|_| panic!("in a late callback"));
    let _busy = keep_busy(&pool);
    let handle = pool.submit(|| 8);
    handle.on_finish(|_| panic!("in a callback of a cancelled task"));
    assert_eq!(handle.cancel(), CancelOutcome::Settled);
}

#[test]
fn a_task_that_never_ran_ran_for_no_time() {
    // Its token's deadline passed before its worker came to it.
    let pool = ThreadPool::new(1).unwrap();
    let busy = keep_busy(&pool);
    let token = CancelToken::with_timeout(Duration::ZERO);
    let handle = pool.task().token(&token).submit(|| ());
    let (callback, summaries) = listener();
    handle.on_finish(callback);
    drop(busy);
    let summary = must_recv(&summaries).0;
    assert_eq!(summary.outcome, OutcomeKind::Expired);
    assert_eq!(summary.ran, None);
}

// Both failures in one.

#[test]
fn join_ok_tells_the_body_s_error_from_the_task_s() {
    let pool = ThreadPool::new(1).unwrap();
    assert_eq!(pool.submit(|| "12".parse::<u8>()).join_ok().unwrap(), 12);

    let failed = pool.submit(|| "x".parse::<u8>()).join_ok().unwrap_err();
    assert!(matches!(failed, JoinError::Failed(_)));
    assert_eq!(
        failed.to_string(),
        "task failed: invalid digit found in string"
    );
    assert!(failed.source().is_none());

    let panicked = pool.submit(|| -> Result<(), fmt::Error> { panic!("no") });
    let panicked = panicked.join_ok().unwrap_err();
    assert!(matches!(panicked, JoinError::Task(TaskError::Panicked(_))));
    assert!(panicked.to_string().ends_with(") panicked: no"));
    assert!(panicked.source().is_none());
}

// Panics.

#[test]
fn a_panic_settles_the_handle_and_the_worker_lives_on() {
    let pool = ThreadPool::new(1).unwrap();
    let thread_of = |handle: TaskHandle<ThreadId>| handle.join().unwrap();
    let before = thread_of(pool.submit(|| thread::current().id()));
    let task = pool.task().name("parse");
    let digits = std::hint::black_box("digits");
    let line = line!() + 1;
    let handle = task.submit(move || -> u32 { panic!("no {digits}") });
    let id = handle.id();
    let panic = panicked(handle.join());
    assert_eq!(panic.message(), "no digits");
    assert_eq!(panic.name(), Some("parse"));
    assert_eq!(panic.task(), id);
    assert_eq!((panic.site().file(), panic.site().line()), (file!(), line));
    assert_eq!(
        thread_of(pool.submit(|| thread::current().id())),
        before,
        "the same thread goes on"
    );
}

/// The payload with which the panic goes on.
pub(crate) fn payload(panic: &TaskPanic) -> Box<dyn Any + Send> {
    catch_unwind(AssertUnwindSafe(|| panic.resume())).unwrap_err()
}

#[test]
fn a_panic_s_message_is_its_text_and_its_payload_is_kept() {
    let pool = ThreadPool::new(1).unwrap();

    let plain = panicked(pool.submit(|| panic!("plain")).join());
    assert_eq!(plain.message(), "plain");
    assert_eq!(plain.name(), None);
    assert_eq!(payload(&plain).downcast_ref::<&str>(), Some(&"plain"));

    // Not known when this is compiled, or the text would be a plain one.
    let one = std::hint::black_box(1);
    let made = panicked(pool.submit(move || panic!("made {one}")).join());
    assert_eq!(made.message(), "made 1");
    assert_eq!(payload(&made).downcast_ref::<String>().unwrap(), "made 1");

    let other = panicked(pool.submit(|| panic_any(7_u8)).join());
    assert_eq!(other.message(), "a payload that is not a string");
    assert_eq!(payload(&other).downcast_ref::<u8>(), Some(&7));
}

#[test]
fn a_payload_is_taken_once_and_the_message_stays() {
    let pool = ThreadPool::new(1).unwrap();
    let panic = panicked(pool.submit(|| panic!("once")).join());
    assert_eq!(payload(&panic).downcast_ref::<&str>(), Some(&"once"));
    assert_eq!(panic.message(), "once");
    // To panic onward the message is left.
    assert_eq!(payload(&panic).downcast_ref::<String>().unwrap(), "once");
}

#[test]
fn resume_panics_onward_with_the_same_payload() {
    #[derive(Debug, PartialEq)]
    struct Special(u32);
    let pool = ThreadPool::new(1).unwrap();
    let panic = panicked(pool.submit(|| panic_any(Special(7))).join());
    let onward = payload(&panic);
    assert_eq!(onward.downcast_ref::<Special>(), Some(&Special(7)));
}

#[test]
fn a_resumed_panic_goes_on_through_a_task() {
    let pool = ThreadPool::new(1).unwrap();
    let outer = pool.submit(|| {
        let inner = millhand::current()
            .unwrap()
            .pool()
            .submit(|| panic!("from within"));
        panicked(inner.join()).resume()
    });
    assert_eq!(panicked(outer.join()).message(), "from within");
}

/// A payload whose drop panics with another of its kind, so often.
struct Grenade(u32);

impl Drop for Grenade {
    fn drop(&mut self) {
        if self.0 > 0 {
            panic_any(Grenade(self.0 - 1));
        }
    }
}

#[test]
fn a_payload_whose_own_drop_panics_harms_nothing() {
    let pool = ThreadPool::new(1).unwrap();
    // Read and dropped here.
    drop(panicked(pool.submit(|| panic_any(Grenade(2))).join()));
    // Dropped unread, settled and not.
    let settled = pool.submit(|| panic_any(Grenade(2)));
    settled.wait().unwrap();
    drop(settled);
    let busy = keep_busy(&pool);
    drop(pool.submit(|| panic_any(Grenade(2))));
    pool.execute(|| panic_any(Grenade(2)));
    drop(busy);
    pool.wait_idle().unwrap();
    assert_eq!(pool.stats().unread, 3);
    assert_eq!(pool.submit(|| 1).join().unwrap(), 1);
}

#[test]
fn a_panic_is_shared_between_threads() {
    let pool = ThreadPool::new(1).unwrap();
    let panic = panicked(pool.submit(|| panic!("many")).join());
    let taken: usize = thread::scope(|s| {
        let threads: Vec<_> = (0..4)
            .map(|_| s.spawn(|| usize::from(payload(&panic).is::<&str>())))
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).sum()
    });
    assert_eq!(taken, 1);
}

// What errors say.

fn text(error: impl Display) -> String {
    error.to_string()
}

#[test]
fn errors_are_errors_that_cross_threads() {
    fn is_error<E: Error + Send + Sync + 'static>() {}
    is_error::<TaskError>();
    is_error::<JoinError<std::io::Error>>();
    is_error::<JoinError<fmt::Error>>();
    is_error::<Stopped>();
    is_error::<BuildError>();
    is_error::<PoolError>();
    is_error::<millhand::error::SubmitError<fn()>>();
    is_error::<millhand::task::ParseTaskIdError>();
}

#[test]
fn what_a_task_s_error_says() {
    let cancelled = |reason| text(TaskError::Cancelled(reason));
    assert_eq!(cancelled(CancelReason::User), "task cancelled: on request");
    assert_eq!(
        cancelled(CancelReason::Shutdown),
        "task cancelled: shutdown"
    );
    assert_eq!(
        cancelled(CancelReason::Scope),
        "task cancelled: its scope ended"
    );
    assert_eq!(
        cancelled(CancelReason::Race),
        "task cancelled: another task won the race"
    );
    assert_eq!(
        cancelled(CancelReason::Dropped),
        "task cancelled: its promise, handle or iterator was dropped"
    );
    assert_eq!(
        cancelled(CancelReason::Deadline),
        "task cancelled: its deadline passed"
    );
    assert_eq!(
        text(TaskError::Expired(WaitedFor::Gate)),
        "task expired before it started: it waited for its gates"
    );
    assert_eq!(text(TaskError::TimedOut), "task timed out");
    assert_eq!(
        text(TaskError::Rejected(Rejection::Closed)),
        "task rejected: the pool is closed"
    );
    assert_eq!(
        text(TaskError::Rejected(Rejection::Full)),
        "task rejected: the queue is full"
    );
    assert_eq!(
        text(TaskError::Rejected(Rejection::Forked)),
        "task rejected: the pool belongs to the process that this one was forked from"
    );
    assert_eq!(
        text(TaskError::Forked),
        "the task's pool belongs to the process that this one was forked from: build a pool in the child"
    );
}

#[test]
fn what_a_panic_s_error_says() {
    let pool = ThreadPool::new(1).unwrap();
    let named = pool.task().name("parse");
    for (name, handle) in [
        (" `parse`", named.submit(|| panic!("no digits"))),
        ("", pool.submit(|| panic!("no digits"))),
    ] {
        let id = handle.id();
        let panic = panicked(handle.join());
        let said = format!(
            "task {id}{name} (submitted at {}) panicked: no digits",
            panic.site()
        );
        assert_eq!(text(&panic), said);
        assert_eq!(text(TaskError::Panicked(panic)), said);
    }
    let error = named.submit(|| panic!("no digits")).join().unwrap_err();
    let debug = format!("{error:?}");
    assert!(
        debug.contains("no digits") && debug.contains("parse"),
        "{debug}"
    );
}

#[test]
fn what_the_pool_s_errors_say() {
    assert_eq!(
        text(PoolError::InsideTask),
        "a pool cannot be waited for or shut down from one of its own tasks, which would wait for itself"
    );
    assert_eq!(
        text(PoolError::Forked),
        "the pool belongs to the process that this one was forked from: build a pool in the child"
    );
    let invalid = ThreadPool::builder().workers(0).build().unwrap_err();
    assert_eq!(
        text(&invalid),
        "the pool's `workers` is not allowed: it must be from 1 to 65,536"
    );
    assert!(invalid.source().is_none());
    let refused = BuildError::Spawn(std::io::Error::other("no more"));
    assert_eq!(
        text(&refused),
        "the system refused even one worker thread of this `stack_size`"
    );
    assert_eq!(text(refused.source().unwrap()), "no more");

    let pool = ThreadPool::new(1).unwrap();
    pool.shutdown(Shutdown::drain()).unwrap();
    let closed = pool.try_submit(|| ()).unwrap_err();
    assert_eq!(text(&closed), "task not submitted: the pool is closed");
    assert_eq!(format!("{closed:?}"), "SubmitError { reason: Closed, .. }");
}

#[test]
fn what_the_small_errors_say() {
    let wrong = "7th".parse::<TaskId>().unwrap_err();
    assert_eq!(
        text(&wrong),
        "\"7th\" is not a task id, which is a whole number from 0 to 18446744073709551615"
    );
    assert!(wrong.source().unwrap().is::<std::num::ParseIntError>());

    let pool = ThreadPool::new(1).unwrap();
    let (tell, told) = mpsc::channel();
    let stopped = pool.submit(move || {
        tell.send(()).unwrap();
        millhand::sleep(LONG).unwrap_err()
    });
    must_recv(&told);
    stopped.cancel();
    assert_eq!(text(stopped.join().unwrap()), "stopped: on request");
}
