//! What becomes of a body that outlives its `total_timeout`: what it returns, what it holds, and who is told.

use crate::handle::{TellDrop, must_join};
use crate::manual::{Drops, HOUR, Manual, NS, S, hang, until};
use crate::support::must_recv;
use crate::total_timeout::{hanging, has_threads, runs_at_once, timed_out};
use millhand::cancel::CancelReason;
use millhand::limit::Lanes;
use millhand::pool::Plain;
use millhand::task::{OutcomeKind, TaskState};
use millhand::{
    JoinError, Retry, ScopeOptions, Semaphore, Shutdown, TaskBuilder, TaskError, ThreadPool,
    when_all,
};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

/// A body past its time, which returns what `end` makes; the handle is let go before or after that, or read.
#[test]
fn what_it_returns_too_late_is_dropped() {
    let pool = Manual::new(1);
    let drops = Drops::default();
    let ends: [fn(crate::manual::Dropped) -> Result<crate::manual::Dropped, crate::manual::Dropped>;
        2] = [Ok, Err];
    for end in ends {
        for retried in [false, true] {
            let before = drops.count();
            let value = drops.one();
            let (mut body, hung) = hang();
            let task = pool.task().deadline(S);
            let mut value = Some(value);
            let body = move || {
                body();
                end(value.take().unwrap())
            };
            let handle = match retried {
                true => task.retry(Retry::default()).submit(body),
                false => task.fallible().submit(body),
            };
            hung.started();
            pool.turn(S);
            assert!(handle.is_finished());
            drop(hung);
            // The handle is there still, and cannot have it.
            until("it is dropped", || drops.count() == before + 1);
            pool.wait_idle().unwrap();
            assert!(matches!(must_join(handle), Err(TaskError::TimedOut)));
        }
    }
    assert_eq!(pool.stats().unread, 0);
}

#[test]
fn a_panic_that_comes_too_late_is_told_since_nobody_can_read_it() {
    crate::stress::silence();
    let told = Arc::new(AtomicUsize::new(0));
    let hook = told.clone();
    let pool = Manual::with(1, move |builder| {
        builder.on_unread(move |failure| {
            assert!(matches!(
                failure.error(),
                JoinError::Task(TaskError::Panicked(panic)) if panic.message().ends_with("too late")
            ));
            hook.fetch_add(1, SeqCst);
        })
    });
    let (mut body, hung) = hang();
    let task = pool
        .task()
        .deadline(S)
        .retry(Retry::fixed(9, NS))
        .retry_panics(true);
    let handle = task.submit(move || -> Result<(), &str> {
        body();
        panic!("{} too late", crate::stress::EXPECTED)
    });
    hung.started();
    pool.turn(S);
    assert_eq!(pool.stats().unread, 0);
    drop(hung);
    pool.wait_idle().unwrap();
    assert_eq!((pool.stats().unread, told.load(SeqCst)), (1, 1));
    timed_out(handle);
    let report = pool.shutdown(Shutdown::drain()).unwrap();
    assert_eq!(
        (report.timed_out(), report.failed(), report.panicked()),
        (1, 0, 0),
        "{report}"
    );
}

#[test]
fn a_body_sees_that_its_time_is_over() {
    let pool = Manual::new(1);
    let (tell, told) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    let handle = pool.task().deadline(S).submit(move || {
        let token = millhand::current().unwrap().token();
        let hook = tell.clone();
        let _guard = token.on_cancel(move |why| hook.send((why, thread::current().id())).unwrap());
        tell.send((CancelReason::User, thread::current().id()))
            .unwrap();
        let _ = wait.recv();
        assert!(millhand::is_cancelled());
        assert_eq!(
            millhand::current().unwrap().remaining(),
            Some(Duration::ZERO)
        );
        let why = millhand::check().unwrap_err().reason();
        tell.send((why, thread::current().id())).unwrap();
    });
    let (_, worker) = must_recv(&told);
    pool.turn(S);
    let (why, place) = must_recv(&told);
    assert_eq!(why, CancelReason::Deadline);
    assert!(place != worker && place != thread::current().id());
    // The timer is free for others while a hook of the user's runs.
    timed_out(handle);
    drop(go);
    assert_eq!(must_recv(&told), (CancelReason::Deadline, worker));
}

#[test]
fn a_hook_that_hangs_does_not_stop_the_timer() {
    let pool = Manual::new(1);
    let (mut hook, hung) = hang();
    let (mut body, busy) = hang();
    let first = pool.task().deadline(S).submit(move || {
        let _guard = millhand::current()
            .unwrap()
            .token()
            .on_cancel(move |_| hook());
        body();
    });
    busy.started();
    pool.advance(S);
    timed_out(first);
    hung.started();
    let (second, also) = hanging(&pool);
    pool.advance(S);
    timed_out(second);
    drop((hung, busy, also));
    pool.wait_idle().unwrap();
}

#[test]
fn the_callback_is_called_once_and_at_once() {
    let pool = Manual::new(1);
    let (body, hung) = hang();
    let (tell, told) = mpsc::channel();
    let dropped = TellDrop(mpsc::channel().0);
    let handle = pool.task().name("deaf").deadline(S).submit(body);
    handle.on_finish(move |summary| {
        drop(dropped);
        tell.send((summary.clone(), thread::current().id()))
            .unwrap();
    });
    hung.started();
    pool.turn(S);
    // While the only worker of the pool hangs.
    let (summary, place) = must_recv(&told);
    assert_eq!(summary.outcome, OutcomeKind::TimedOut);
    assert_eq!(
        (summary.id, summary.name.as_deref()),
        (handle.id(), Some("deaf"))
    );
    assert!(summary.ran.is_some());
    assert_ne!(place, thread::current().id());
    let late = Arc::new(AtomicUsize::new(0));
    let count = late.clone();
    handle.on_finish(move |summary| {
        assert_eq!(summary.outcome, OutcomeKind::TimedOut);
        count.fetch_add(1, SeqCst);
    });
    assert_eq!(
        late.load(SeqCst),
        1,
        "one that comes later is called at once"
    );
    drop(hung);
    pool.wait_idle().unwrap();
    assert!(told.recv().is_err(), "and no callback twice");
    timed_out(handle);
}

#[test]
fn permits_are_kept_until_the_body_returns() {
    let pool = Manual::new(2);
    let (semaphore, lane) = (Semaphore::new(1).unwrap(), Lanes::new().key(7));
    let task = pool.task().gate(&semaphore).gate(&lane);
    for retried in [false, true] {
        let (mut body, hung) = hang();
        let timed = task.clone().deadline(S);
        let handle = match retried {
            false => timed.fallible().submit(move || {
                body();
                Err::<(), _>("no")
            }),
            true => timed.retry(Retry::default()).submit(move || {
                body();
                Err::<(), _>("no")
            }),
        };
        hung.started();
        let next = task.submit(|| 7);
        let gated = || next.state() == TaskState::Gated;
        until("it is in the line", gated);
        pool.turn(S);
        timed_out(handle);
        assert_eq!(semaphore.available(), 0);
        runs_at_once(&pool, 2);
        assert!(gated());
        drop(hung);
        assert_eq!(must_join(next).unwrap(), 7);
        pool.wait_idle().unwrap();
        assert_eq!(
            (semaphore.available(), semaphore.waiting(), lane.waiting()),
            (1, 0, 0)
        );
    }
}

#[test]
fn there_is_no_attempt_after_the_end() {
    let pool = Manual::new(1);
    for delay in [Duration::ZERO, NS] {
        let (mut body, hung) = hang();
        let task = pool.task().attempt_timeout(S).deadline(S);
        let handle = task.retry(Retry::fixed(9, delay)).submit(move || {
            body();
            millhand::checkpoint();
            Err::<(), _>("no")
        });
        hung.started();
        pool.turn(S);
        timed_out(handle);
        drop(hung);
        pool.wait_idle().unwrap();
        pool.turn(HOUR);
    }
    let report = pool.shutdown(Shutdown::drain()).unwrap();
    assert_eq!((report.timed_out(), report.failed()), (2, 0), "{report}");
}

// Shutting down.

#[test]
fn a_shutdown_that_gives_up_names_it() {
    let pool = Manual::new(1);
    let (handle, hung) = hanging(&pool);
    pool.turn(S);
    let id = handle.id();
    timed_out(handle);
    let queued = pool.submit(|| 7);
    // The seat is free for what was queued.
    let report = pool.shut_down(
        Shutdown::drain().give_up_after(S),
        || assert_eq!(must_join(queued).unwrap(), 7),
        S,
    );
    let [running] = report.still_running() else {
        panic!("{report}")
    };
    assert_eq!((running.id, running.name.as_deref()), (id, Some("deaf")));
    assert!(!report.is_clean());
    // Dropping it does not wait, either.
    drop(pool);
    drop(hung);
}

#[test]
fn a_drain_waits_for_its_body_and_counts_it_once() {
    let pool = Manual::new(1);
    let (handle, hung) = hanging(&pool);
    pool.turn(S);
    timed_out(handle);
    let report = thread::scope(|s| {
        let hung = hung;
        let shutdown = s.spawn(|| pool.shutdown(Shutdown::drain()).unwrap());
        until("the pool is closed", || pool.is_closed());
        assert!(!shutdown.is_finished());
        drop(hung);
        shutdown.join().unwrap()
    });
    assert_eq!(
        (report.timed_out(), report.failed(), report.panicked()),
        (1, 0, 0),
        "{report}"
    );
    assert!(report.is_clean());
}

#[test]
fn a_pool_whose_every_worker_hangs_drains_what_it_has() {
    let pool = Manual::new(2);
    let hung: Vec<_> = (0..2).map(|_| hanging(&pool)).collect();
    let queued: Vec<_> = (0..50).map(|n| pool.submit(move || n)).collect();
    pool.advance(S);
    thread::scope(|s| {
        let hung = hung;
        let shutdown = s.spawn(|| pool.shutdown(Shutdown::drain()).unwrap());
        for (n, handle) in queued.into_iter().enumerate() {
            assert_eq!(must_join(handle).unwrap(), n);
        }
        drop(hung);
        shutdown.join().unwrap();
    });
    has_threads(&pool, 0);
}

// News of a task whose time ends while all workers of its pool run other bodies.

fn limited<P>(task: TaskBuilder<Plain, P>, expires: bool) -> TaskBuilder<Plain, P> {
    match expires {
        true => task.expires(S),
        false => task.deadline(S),
    }
}

#[test]
fn a_fail_fast_scope_did_not_hear_of_a_member_s_time_while_all_workers_were_busy() {
    let gate = Semaphore::new(1).unwrap();
    let held = gate.acquire().unwrap();
    for (expires, gated) in [(false, false), (false, true), (true, false), (true, true)] {
        let pool = Manual::new(1);
        let (begin, begun) = mpsc::channel();
        let failed = pool.scope_with(ScopeOptions::fail_fast(), |s| {
            s.submit_value(move || {
                begin.send(()).unwrap();
                // The only worker is free when the scope is cancelled.
                while !millhand::is_cancelled() {
                    thread::yield_now();
                }
            });
            must_recv(&begun);
            let late = limited(s.task(), expires);
            let late = match gated {
                true => late.gate(&gate),
                false => late,
            };
            late.submit_value(|| ());
            pool.advance(S);
        });
        let failures = failed.unwrap_err();
        assert_eq!(failures.first().index(), 1);
    }
    drop(held);
}

#[test]
fn a_task_of_another_pool_waited_for_a_worker_to_continue_one_whose_time_was_over() {
    for expires in [false, true] {
        let (pool, other) = (Manual::new(1), ThreadPool::new(1).unwrap());
        let (busy, hung) = hang();
        pool.execute(busy);
        hung.started();
        let late = || limited(pool.task(), expires).submit(|| ());
        let continues = other.task().submit_after([late()], |[late]| late.is_err());
        // It goes to the pool of the first handle.
        let both = when_all([other.submit(|| ()), late()]).then(|all| all[1].is_err());
        pool.advance(S);
        assert!(must_join(continues).unwrap());
        assert!(must_join(both).unwrap());
        drop(hung);
    }
}
