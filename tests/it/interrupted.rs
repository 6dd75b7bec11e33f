//! A body that waits hears that it is to stop: every wait of the library ends then, and nothing is taken and lost.

use crate::handle::{Busy, keep_busy, must_join};
use crate::support::{LONG, must_recv};
use millhand::cancel::{CancelReason, RecvError};
use millhand::compose::{Until, wait_until, wait_until_timeout};
use millhand::error::Rejection;
use millhand::pool::PoolError;
use millhand::task::CancelOutcome;
use millhand::testing::ManualClock;
use millhand::{
    CancelToken, JoinError, OnFull, PoolHandle, ScopeOptions, Semaphore, SharedHandle, Shutdown,
    TaskError, TaskHandle, ThreadPool, as_completed, current, join_all, join_all_ok, promise, race,
    wait_any,
};
use std::sync::mpsc;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

/// What a wait of a body gets, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Got {
    Interrupted(CancelReason),
    Something,
}

fn of<T>(outcome: Result<T, TaskError>) -> Got {
    match outcome {
        Err(TaskError::Interrupted(stopped)) => Got::Interrupted(stopped.reason()),
        _ => Got::Something,
    }
}

fn of_failure<E>(error: &JoinError<E>) -> Got {
    match error {
        JoinError::Task(TaskError::Interrupted(stopped)) => Got::Interrupted(stopped.reason()),
        _ => Got::Something,
    }
}

/// What the wait of a body is for: a task that never ends.
type Never = TaskHandle<Result<(), ()>>;
type Wait = fn(Never) -> Got;

const WAITS: &[(&str, Wait)] = &[
    ("join", |never| of(never.join())),
    ("join_timeout", |never| {
        of(never.join_timeout(LONG).expect("it is given up"))
    }),
    ("wait", |never| of(never.wait())),
    ("wait_timeout", |never| of(never.wait_timeout(LONG))),
    ("join of a shared handle", |never| {
        of(never.share().join().as_ref().map_err(copy))
    }),
    ("join_all", |never| {
        of(join_all([never]).into_iter().next().unwrap())
    }),
    ("join_all_ok", |never| {
        of_failure(join_all_ok([never]).unwrap_err().error())
    }),
    ("as_completed", |never| {
        let mut all = as_completed([never]);
        let got = of(all.next().unwrap().1);
        assert!(all.next().is_none());
        got
    }),
    ("race", |never| {
        of_failure(race([never]).unwrap_err().first().error())
    }),
    ("wait_any", |never| {
        Got::Interrupted(wait_any(&[never]).unwrap_err().reason())
    }),
    ("wait_until", |never| {
        let stopped = wait_until(&[never], Until::All).unwrap_err();
        Got::Interrupted(stopped.reason())
    }),
    ("wait_until_timeout", |never| {
        let stopped = wait_until_timeout(&[never], Until::All, LONG).unwrap_err();
        Got::Interrupted(stopped.reason())
    }),
    ("a pipeline", |never| {
        let never = never.share();
        let pool = ThreadPool::new(1).unwrap();
        let waits = move |()| drop(never.wait_timeout(HOUR));
        let mut results = pool.pipeline([()]).stage(1, waits).into_iter();
        let got = of_failure(results.next().unwrap().unwrap_err().error());
        drop(results);
        got
    }),
    ("a full queue", |_| {
        let full = Full::new();
        match full.pool.submit(|| ()).join() {
            // It has no room for the reason.
            Err(TaskError::Rejected(Rejection::Interrupted)) => {
                Got::Interrupted(current().unwrap().token().reason().unwrap())
            }
            _ => Got::Something,
        }
    }),
    ("wait_idle of another pool", |_| {
        let full = Full::new();
        match full.pool.wait_idle() {
            Err(PoolError::Interrupted(stopped)) => Got::Interrupted(stopped.reason()),
            _ => Got::Something,
        }
    }),
    ("the shutdown of another pool", |_| {
        let full = Full::new();
        match full.pool.shutdown(Shutdown::drain()) {
            Err(PoolError::Interrupted(stopped)) => Got::Interrupted(stopped.reason()),
            _ => Got::Something,
        }
    }),
    ("another token", |_| {
        Got::Interrupted(CancelToken::new().wait().unwrap_err().reason())
    }),
    ("another token, for a while", |_| {
        let waited = CancelToken::new().wait_timeout(LONG);
        Got::Interrupted(waited.unwrap_err().reason())
    }),
    ("recv", |_| {
        let (_kept, receiver) = crossbeam_channel::unbounded::<()>();
        match millhand::recv(&receiver) {
            Err(RecvError::Stopped(stopped)) => Got::Interrupted(stopped.reason()),
            _ => Got::Something,
        }
    }),
    #[cfg(unix)]
    #[cfg(feature = "child")]
    ("a child process", |_| {
        use millhand::child::{self, WaitError};
        let sleeps = child::spawn(std::process::Command::new("sleep").arg("3600"));
        match child::wait(&mut sleeps.unwrap()) {
            Err(WaitError::Stopped { stopped, .. }) => Got::Interrupted(stopped.reason()),
            _ => Got::Something,
        }
    }),
    #[cfg(unix)]
    #[cfg(feature = "child")]
    ("the output of a child process", |_| {
        use millhand::child::{self, WaitError};
        use std::process::{Command, Stdio};
        let mut sleep = Command::new("sleep");
        let sleeps = child::spawn(sleep.arg("3600").stdout(Stdio::piped()));
        match child::wait_with_output(sleeps.unwrap()) {
            Err(WaitError::Stopped { stopped, .. }) => Got::Interrupted(stopped.reason()),
            _ => Got::Something,
        }
    }),
    ("a permit", |_| {
        let semaphore = Semaphore::new(1).unwrap();
        let _held = semaphore.acquire().unwrap();
        match semaphore.acquire() {
            Err(millhand::limit::AcquireError::Stopped(reason)) => Got::Interrupted(reason),
            _ => Got::Something,
        }
    }),
];

fn copy(error: &TaskError) -> TaskError {
    match error {
        TaskError::Interrupted(stopped) => TaskError::Interrupted(*stopped),
        _ => TaskError::TimedOut,
    }
}

/// A pool whose queue is full until this is dropped.
struct Full {
    _busy: Busy,
    pool: ThreadPool,
}

impl Full {
    fn new() -> Self {
        let builder = ThreadPool::builder().workers(1).queue_capacity(1);
        let pool = builder.on_full(OnFull::Block).build().unwrap();
        let busy = keep_busy(&pool);
        pool.execute(|| ());
        Self { _busy: busy, pool }
    }
}

/// Runs a wait in the only worker of a pool, and returns its task once it has begun to wait.
fn begun(
    pool: &ThreadPool,
    wait: Wait,
    start: impl FnOnce(Box<dyn FnOnce() -> Got + Send>) -> TaskHandle<Got>,
) -> TaskHandle<Got> {
    let (kept, never) = promise();
    let (begin, begun) = mpsc::channel();
    let waits = start(Box::new(move || {
        let _kept = kept;
        begin.send(()).unwrap();
        wait(never)
    }));
    must_recv(&begun);
    // The run slot is free for this once the body waits.
    must_join(pool.submit(|| ())).unwrap();
    waits
}

#[test]
fn every_wait_ends_when_its_body_is_cancelled() {
    for &(kind, wait) in WAITS {
        let pool = ThreadPool::new(1).unwrap();
        let waits = begun(&pool, wait, |body| pool.submit(body));
        assert_eq!(waits.cancel(), CancelOutcome::Requested);
        let got = must_join(waits).unwrap();
        assert_eq!(got, Got::Interrupted(CancelReason::User), "{kind}");
    }
}

#[test]
fn every_wait_of_a_body_that_was_cancelled_before_ends_at_once() {
    for &(kind, wait) in WAITS {
        let pool = ThreadPool::new(1).unwrap();
        let (kept, never) = promise();
        let (begin, begun) = mpsc::channel();
        let (go, gone) = mpsc::channel::<()>();
        let waits = pool.submit(move || {
            let _kept = kept;
            begin.send(()).unwrap();
            let _ = gone.recv();
            wait(never)
        });
        must_recv(&begun);
        waits.cancel();
        drop(go);
        let got = must_join(waits).unwrap();
        assert_eq!(got, Got::Interrupted(CancelReason::User), "{kind}");
    }
}

#[test]
fn every_wait_ends_when_the_time_of_the_attempt_is_over() {
    for &(kind, wait) in WAITS {
        let clock = ManualClock::new();
        let pool = ThreadPool::builder().workers(1).clock(&clock);
        let pool = pool.build().unwrap();
        let limited = pool.task().attempt_timeout(LONG / 2);
        let waits = begun(&pool, wait, |body| limited.submit(body));
        clock.advance(LONG / 2);
        let got = must_join(waits).unwrap();
        assert_eq!(got, Got::Interrupted(CancelReason::Deadline), "{kind}");
    }
}

#[test]
fn every_wait_ends_when_the_pool_cancels() {
    for &(kind, wait) in WAITS {
        let pool = ThreadPool::new(1).unwrap();
        let waits = begun(&pool, wait, |body| pool.submit(body));
        pool.shutdown(Shutdown::cancel()).unwrap();
        let got = must_join(waits).unwrap();
        assert_eq!(got, Got::Interrupted(CancelReason::Shutdown), "{kind}");
    }
}

#[test]
fn what_has_settled_is_taken_though_the_body_is_asked_to_stop() {
    let pool = ThreadPool::new(1).unwrap();
    let got = pool.submit(|| {
        current().unwrap().token().cancel();
        let three = || {
            [1, 2, 3].map(|n| {
                let (promise, handle) = promise();
                promise.complete(Ok::<_, ()>(n)).unwrap();
                handle
            })
        };
        assert_eq!(wait_any(&three()), Ok(Some(0)));
        assert_eq!(race(three()).unwrap(), 1);
        let sum: u32 = as_completed(three())
            .map(|(_, n)| n.unwrap().unwrap())
            .sum();
        assert_eq!(sum, 6);
        let [first, ..] = three();
        first.join().unwrap()
    });
    assert_eq!(must_join(got).unwrap(), Ok(1));
}

#[test]
fn a_wait_that_borrows_leaves_the_outcomes_in_their_handles() {
    let pool = ThreadPool::new(1).unwrap();
    let (promises, handles): (Vec<_>, Vec<_>) = (0..3).map(|_| promise::<usize>()).unzip();
    let handles: Vec<SharedHandle<usize>> = handles.into_iter().map(TaskHandle::share).collect();
    let theirs = handles.clone();
    let (begin, begun) = mpsc::channel();
    let waits = pool.submit(move || {
        begin.send(()).unwrap();
        let first = wait_until(&theirs[..], Until::All).unwrap_err();
        assert_eq!(wait_any(&theirs).unwrap_err(), first);
        assert!(theirs[0].wait().is_err());
        theirs.len()
    });
    must_recv(&begun);
    waits.cancel();
    assert_eq!(must_join(waits).unwrap(), 3);
    for (n, promise) in promises.into_iter().enumerate() {
        promise.complete(n).unwrap();
    }
    for (n, handle) in handles.iter().enumerate() {
        assert_eq!(*handle.join().as_ref().unwrap(), n);
    }
}

#[test]
fn a_task_whose_handle_was_given_up_goes_on() {
    let pool = ThreadPool::new(2).unwrap();
    let (hold, held) = mpsc::channel::<()>();
    let (finish, finished) = mpsc::channel();
    let (run, runs) = mpsc::channel();
    let child = pool.submit(move || {
        run.send(()).unwrap();
        let _ = held.recv();
        finish.send(millhand::is_cancelled()).unwrap();
    });
    // Otherwise the join might run it.
    must_recv(&runs);
    let (begin, begun) = mpsc::channel();
    let parent = pool.submit(move || {
        begin.send(()).unwrap();
        of(child.join())
    });
    must_recv(&begun);
    parent.cancel();
    let got = must_join(parent).unwrap();
    assert_eq!(got, Got::Interrupted(CancelReason::User));
    drop(hold);
    assert!(!must_recv(&finished), "nobody cancelled it");
}

/// Those that cancel what they do not wait for cancel all that has not finished.
#[test]
fn a_wait_for_a_group_left_some_of_its_tasks_running_and_cancelled_the_others() {
    type Handles = [Never; 3];
    let waits: [(fn(Handles), CancelReason); 2] = [
        (
            |handles| drop(join_all_ok(handles).unwrap_err()),
            CancelReason::Group,
        ),
        (
            |handles| drop(race(handles).unwrap_err()),
            CancelReason::Race,
        ),
    ];
    for (wait, reason) in waits {
        let pool = ThreadPool::new(1).unwrap();
        let (ask, asked) = mpsc::channel();
        let (begin, begun) = mpsc::channel();
        let waits = pool.submit(move || {
            let pool = current().unwrap().pool();
            let children = [(); 3].map(|()| {
                let (ask, begin) = (ask.clone(), begin.clone());
                pool.submit(move || {
                    begin.send(()).unwrap();
                    let stopped = millhand::sleep(HOUR).unwrap_err();
                    ask.send(stopped.reason()).unwrap();
                    Ok(())
                })
                // For the group's reason, not for this one.
                .cancel_on_drop()
            });
            wait(children);
        });
        (0..3).for_each(|_| must_recv(&begun));
        waits.cancel();
        must_join(waits).unwrap();
        let reasons: Vec<_> = (0..3).map(|_| must_recv(&asked)).collect();
        assert_eq!(reasons, [reason; 3]);
    }
}

#[test]
fn results_in_the_order_of_completion_end_with_an_error_for_each_that_is_left() {
    let pool = ThreadPool::new(1).unwrap();
    let (begin, begun) = mpsc::channel();
    let waits = pool.submit(move || {
        let (kept, handles): (Vec<_>, Vec<_>) = (0..4).map(|_| promise::<u32>()).unzip();
        let mut kept = kept.into_iter();
        kept.next().unwrap().complete(7).unwrap();
        begin.send(()).unwrap();
        let all: Vec<_> = as_completed(handles).collect();
        let places: Vec<_> = all.iter().map(|(place, _)| *place).collect();
        assert_eq!(places, [0, 1, 2, 3]);
        let mut got = all.into_iter().map(|(_, outcome)| outcome);
        assert_eq!(got.next().unwrap().unwrap(), 7);
        got.map(of).collect::<Vec<_>>()
    });
    must_recv(&begun);
    waits.cancel();
    let left = vec![Got::Interrupted(CancelReason::User); 3];
    assert_eq!(must_join(waits).unwrap(), left);
}

#[test]
fn a_lazy_map_leaves_the_body_as_a_checkpoint_does() {
    let pool = ThreadPool::new(1).unwrap();
    for unordered in [false, true] {
        let (begin, begun) = mpsc::channel();
        let waits = pool.submit(move || {
            let (_kept, never) = promise::<()>();
            let never = never.share();
            let other = ThreadPool::new(1).unwrap();
            let results = other.map_iter([()], move |()| drop(never.wait_timeout(HOUR)));
            begin.send(()).unwrap();
            match unordered {
                true => results.unordered().count(),
                false => results.count(),
            }
        });
        must_recv(&begun);
        waits.cancel();
        let outcome = must_join(waits);
        assert!(
            matches!(outcome, Err(TaskError::Cancelled(CancelReason::User))),
            "{outcome:?}"
        );
    }
}

// The closure of a scope.

/// What the closure of a fail-fast scope gets whose only task fails once it is told to.
fn in_a_failing_scope(pool: &PoolHandle, wait: fn(Never) -> Got) -> Got {
    let mut got = Got::Something;
    let failed = pool.scope_with(ScopeOptions::fail_fast(), |s| {
        let (_kept, never) = promise();
        let (fail, fails) = mpsc::channel::<()>();
        s.submit(move || {
            let _ = fails.recv();
            Err::<(), _>("told to")
        });
        drop(fail);
        got = wait(never);
    });
    failed.unwrap_err();
    got
}

const IN_A_SCOPE: [Wait; 4] = [
    |never| of(never.join()),
    |never| Got::Interrupted(wait_any(&[never]).unwrap_err().reason()),
    |_| Got::Interrupted(millhand::sleep(HOUR).unwrap_err().reason()),
    |_| {
        while millhand::check().is_ok() {
            std::hint::spin_loop();
        }
        assert!(millhand::is_cancelled());
        // The body itself was not asked to stop.
        millhand::checkpoint();
        Got::Interrupted(CancelReason::Scope)
    },
];

#[test]
fn the_closure_of_a_scope_was_not_told_that_its_scope_had_failed() {
    for wait in IN_A_SCOPE {
        let pool = ThreadPool::new(2).unwrap();
        let me = pool.handle();
        let expected = Got::Interrupted(CancelReason::Scope);
        assert_eq!(in_a_failing_scope(&me, wait), expected, "outside of tasks");
        let inside = pool.submit(move || {
            let got = in_a_failing_scope(&me, wait);
            assert!(!millhand::is_cancelled(), "the body goes on after it");
            got
        });
        assert_eq!(must_join(inside).unwrap(), expected, "in a task");
    }
}

#[test]
fn the_closure_of_a_scope_hears_of_its_time_limit_and_of_the_scope_around_it() {
    let pool = ThreadPool::new(2).unwrap();
    let limited = ScopeOptions::fail_fast().timeout(Duration::from_millis(20));
    let outer = pool.scope_with(limited, |_| {
        pool.scope(|_| millhand::sleep(HOUR).unwrap_err().reason())
    });
    assert_eq!(outer.unwrap(), CancelReason::Deadline);
}

#[test]
fn a_task_that_the_closure_of_a_scope_joins_does_not_hear_what_is_meant_for_the_closure() {
    let pool = ThreadPool::new(1).unwrap();
    let me = pool.handle();
    let (hear, heard) = mpsc::channel();
    let inside = pool.submit(move || {
        let token = CancelToken::new();
        let options = ScopeOptions::fail_fast().token(&token);
        let joined = me.scope_with(options, |_| {
            let child = me.submit(move || {
                token.cancel();
                hear.send(millhand::is_cancelled()).unwrap();
            });
            // It is no task of the scope, so another thread runs it.
            of(child.join())
        });
        joined.unwrap();
    });
    assert!(!must_recv(&heard));
    must_join(inside).unwrap();
}

#[test]
fn a_race_that_was_interrupted_left_a_task_whose_other_handles_were_gone() {
    let pool = ThreadPool::new(2).unwrap();
    let (ask, asked) = mpsc::channel();
    let sleeps = pool.submit(move || {
        let stopped = millhand::sleep(HOUR).unwrap_err();
        ask.send(stopped.reason()).unwrap();
        Ok::<_, ()>(())
    });
    let (kept, other) = (sleeps.share(), mpsc::channel());
    let ours = kept.clone();
    let (begin, begun) = other;
    let races = pool.submit(move || {
        begin.send(()).unwrap();
        race([ours]).unwrap_err().len()
    });
    must_recv(&begun);
    // The body waits, and then its handle is the only one.
    must_join(pool.submit(|| ())).unwrap();
    drop(kept);
    races.cancel();
    assert_eq!(must_join(races).unwrap(), 1);
    assert_eq!(must_recv(&asked), CancelReason::Race);
}

// Waits that may end early run nothing that they could not leave.

#[test]
fn join_all_ok_ran_a_slow_task_on_the_stack_of_the_body_and_did_not_hear_of_a_failure() {
    let pool = ThreadPool::new(1).unwrap();
    let joined = pool.submit(|| {
        let pool = current().unwrap().pool();
        // It ends only when it is cancelled.
        let slow = pool.submit(|| millhand::sleep(HOUR).map_err(|_| "told to stop"));
        let fails = pool.submit(|| Err::<(), _>("no"));
        join_all_ok([slow, fails]).unwrap_err().index()
    });
    assert_eq!(must_join(joined).unwrap(), 1);
}

#[test]
fn a_shutdown_that_was_interrupted_forgot_when_it_meant_to_cancel() {
    let clock = ManualClock::new();
    let other = ThreadPool::builder().workers(1).clock(&clock);
    let other = other.build().unwrap();
    let (begin, begun) = mpsc::channel();
    let asked = other.submit(move || {
        begin.send(()).unwrap();
        millhand::sleep(Duration::MAX).unwrap_err().reason()
    });
    must_recv(&begun);
    let pool = ThreadPool::new(1).unwrap();
    let (begin, begun) = mpsc::channel();
    let body = pool.submit(move || {
        begin.send(()).unwrap();
        let how = Shutdown::drain().cancel_after(LONG);
        assert!(matches!(
            other.shutdown(how),
            Err(PoolError::Interrupted(_))
        ));
        // The drop waits, but not for an hour.
        drop(other);
    });
    must_recv(&begun);
    body.cancel();
    while !body.is_finished() {
        clock.advance(LONG);
        std::thread::yield_now();
        if asked.is_finished() {
            break;
        }
    }
    must_join(body).unwrap();
    assert_eq!(must_join(asked).unwrap(), CancelReason::Shutdown);
}

#[test]
fn waits_in_a_destructor_that_runs_while_its_thread_unwinds_go_on_to_their_end() {
    struct Waits(mpsc::Sender<(bool, bool)>, Semaphore);
    impl Drop for Waits {
        fn drop(&mut self) {
            let slept = millhand::sleep(Duration::from_millis(1)).is_ok();
            self.0.send((slept, self.1.acquire().is_ok())).unwrap();
        }
    }
    let pool = ThreadPool::new(1).unwrap();
    let one = Semaphore::new(1).unwrap();
    let held = one.acquire().unwrap();
    let (wait, waited) = mpsc::channel();
    let waits = Waits(wait, one);
    let (begin, begun) = mpsc::channel();
    let body = pool.submit(move || {
        let _waits = waits;
        current().unwrap().token().cancel();
        begin.send(()).unwrap();
        millhand::checkpoint();
    });
    must_recv(&begun);
    // The worker waits for the permit, or will.
    must_join(pool.submit(move || drop(held))).unwrap();
    assert_eq!(must_recv(&waited), (true, true));
    assert!(must_join(body).is_err());
}
