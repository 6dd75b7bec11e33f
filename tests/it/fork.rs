//! A pool that came through a `fork`: where a thread would wait for workers that are not there, an error.
//!
//! Each test forks a fresh copy of this program that runs nothing but that test, so that no other thread holds a lock
//! at that moment.
#![allow(unsafe_code)]

use crate::submit::hold;
use crate::support::{self, LONG, SCENARIO, must_recv};
use millhand::error::Rejection;
use millhand::observe::{Buffered, Event};
use millhand::pool::{BuildError, PoolError};
use millhand::task::CancelOutcome;
use millhand::{
    Every, PoolHandle, Semaphore, SharedHandle, Shutdown, TaskError, TaskHandle, ThreadPool,
    join_all_ok, race,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitStatus;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// Runs one of the scenarios in a copy of this program.
fn in_a_copy(scenario: &str) {
    support::in_a_copy("fork::the_copy", scenario);
}

/// What the copy runs. Nothing when it is not a copy.
#[test]
fn the_copy() {
    match std::env::var(SCENARIO).as_deref() {
        Ok("handles") => handles(),
        Ok("submitting") => submitting(),
        Ok("waiting") => waiting(),
        Ok("dropping") => dropping(),
        Ok("building") => building(),
        Ok("again") => again(),
        Ok("scoping") => scoping(),
        Ok("racing") => racing(),
        Ok("executing") => executing(),
        Ok("executing at rest") => executing_at_rest(),
        Ok("buffering") => buffering(),
        Ok(other) => panic!("no such scenario: {other}"),
        Err(_) => {}
    }
}

/// Forks; `child` runs in the child and its answer is the exit code, 0 for success. A child that hangs is killed.
fn fork(child: impl FnOnce() -> i32) {
    // SAFETY: the child calls code of this program only while the other threads of the parent are parked outside of
    // the allocator and hold no lock (the workers wait for a channel, the harness for this test), and leaves by
    // `_exit`, without the parent's destructors.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "the system refuses to fork");
    if pid == 0 {
        // SAFETY: plain system calls.
        unsafe { libc::alarm(60) };
        let ended = catch_unwind(AssertUnwindSafe(child));
        // SAFETY: as above.
        unsafe { libc::_exit(ended.unwrap_or(99)) };
    }
    let mut status = 0;
    // SAFETY: `pid` is a child of ours that nobody else waits for, `status` is ours.
    let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert_eq!(waited, pid);
    let status: ExitStatus = std::os::unix::process::ExitStatusExt::from_raw(status);
    assert!(status.success(), "the child ended with {status}");
}

/// The first statement that is false gives its number, from 1.
fn first_false(statements: &[bool]) -> i32 {
    let at = statements.iter().position(|is_so| !is_so);
    at.map_or(0, |at| at as i32 + 1)
}

fn is_forked<T>(outcome: Result<T, TaskError>) -> bool {
    matches!(outcome, Err(TaskError::Forked))
}

#[test]
fn the_old_handles_say_forked_in_the_child() {
    in_a_copy("handles");
}

fn handles() {
    let pool = ThreadPool::new(1).unwrap();
    let finished = pool.submit(|| 5);
    finished.wait().unwrap();
    let held = hold(&pool, 1);
    let mut queued: Vec<TaskHandle<u8>> = (0..4).map(|n| pool.submit(move || n)).collect();
    let shared: SharedHandle<u8> = pool.submit(|| 9).share();
    fork(|| {
        let (first, second) = (queued.remove(0), queued.remove(0));
        let timed = queued.remove(0).join_timeout(LONG);
        let cancelled = queued.remove(0);
        first_false(&[
            is_forked(first.wait()),
            is_forked(first.wait_timeout(LONG)),
            is_forked(first.join()),
            second.try_join().is_err(),
            timed.is_ok_and(is_forked),
            matches!(shared.join(), Err(TaskError::Forked)),
            cancelled.cancel() == CancelOutcome::Settled,
            matches!(cancelled.join(), Err(TaskError::Cancelled(_))),
            // What was there before the fork is there still.
            matches!(finished.join(), Ok(5)),
        ])
    });
    // The parent has lost nothing.
    held.release();
    for (n, handle) in (0..).zip(queued) {
        assert_eq!(handle.join().unwrap(), n);
    }
    assert_eq!(*shared.join().as_ref().unwrap(), 9);
}

#[test]
fn submitting_to_a_full_pool_says_forked_in_the_child() {
    in_a_copy("submitting");
}

fn submitting() {
    let pool = ThreadPool::builder()
        .workers(1)
        .queue_capacity(1)
        .build()
        .unwrap();
    let held = hold(&pool, 1);
    let queued = pool.submit(|| 3);
    fork(|| {
        let weak: PoolHandle = pool.handle();
        let is_so = |rejection| rejection == Rejection::Forked;
        let is_rejected = |handle: TaskHandle<()>| matches!(handle.join(), Err(TaskError::Rejected(r)) if is_so(r));
        first_false(&[
            is_rejected(pool.submit(|| ())),
            is_rejected(weak.submit(|| ())),
            is_rejected(pool.task().name("named").submit(|| ())),
            is_dropped_unrun(|f| pool.execute(f)),
            is_refused(pool.task().name("named").submit_timeout(LONG, || ())),
            pool.submit_timeout(LONG, || ())
                .is_err_and(|e| is_so(e.reason()) && matches!(e.into_inner()(), ())),
            pool.try_submit(|| ()).is_err(),
        ])
    });
    held.release();
    assert_eq!(queued.join().unwrap(), 3);
}

#[test]
fn waiting_for_the_old_pool_says_forked_in_the_child() {
    in_a_copy("waiting");
}

fn waiting() {
    let pool = ThreadPool::new(2).unwrap();
    let held = hold(&pool, 1);
    fork(|| {
        let forked = PoolError::Forked;
        let shutdown = |how| pool.shutdown(how).unwrap_err() == forked;
        first_false(&[
            pool.wait_idle() == Err(forked),
            pool.wait_idle_timeout(LONG) == Err(forked),
            shutdown(Shutdown::drain()),
            shutdown(Shutdown::cancel()),
            shutdown(Shutdown::drain().give_up_after(Duration::ZERO)),
            !format!("{pool:?}").is_empty(),
        ])
    });
    held.release();
    assert!(pool.shutdown(Shutdown::drain()).unwrap().is_clean());
}

#[test]
fn dropping_the_old_pool_comes_back_in_the_child() {
    in_a_copy("dropping");
}

fn dropping() {
    let pool = ThreadPool::new(2).unwrap();
    let held = hold(&pool, 2);
    let queued = pool.submit(|| 4);
    let mut pool = Some(pool);
    fork(|| {
        let weak = pool.as_ref().map(ThreadPool::handle);
        drop(pool.take());
        drop(weak);
        0
    });
    held.release();
    assert_eq!(queued.join().unwrap(), 4);
}

#[test]
fn a_new_pool_works_in_the_child() {
    in_a_copy("building");
}

fn works() -> bool {
    let pool = ThreadPool::builder()
        .workers(2)
        .queue_capacity(4)
        .build()
        .unwrap();
    let handles: Vec<_> = (0..20).map(|n| pool.submit(move || n)).collect();
    let sum: u32 = handles.into_iter().map(|h| h.join().unwrap()).sum();
    let nested = pool.submit(|| {
        let pool = millhand::current().unwrap().pool();
        pool.submit(|| 1).join().unwrap()
    });
    let nested = nested.join().unwrap();
    pool.wait_idle().unwrap();
    let report = pool.shutdown(Shutdown::drain()).unwrap();
    (sum, nested, report.succeeded()) == (190, 1, 22)
}

fn building() {
    let old = ThreadPool::new(2).unwrap();
    let held = hold(&old, 2);
    let mut queued = Some(old.submit(|| 6));
    fork(|| {
        // Before the new pool is built, and after it.
        let early = old.wait_idle() == Err(PoolError::Forked);
        let first = works();
        first_false(&[
            early,
            first,
            old.wait_idle() == Err(PoolError::Forked),
            queued.take().is_some_and(|handle| is_forked(handle.join())),
            works(),
        ])
    });
    held.release();
    assert_eq!(queued.unwrap().join().unwrap(), 6);
}

#[test]
fn a_child_of_a_child_tells_all_three_apart() {
    in_a_copy("again");
}

fn again() {
    let (start, started) = mpsc::channel();
    let oldest = ThreadPool::builder()
        .workers(1)
        .on_worker_start(move |_| start.send(()).unwrap())
        .build()
        .unwrap();
    must_recv(&started);
    assert_eq!(oldest.submit(|| 1).join().unwrap(), 1);
    fork(|| {
        let own = ThreadPool::new(1).unwrap();
        let held = hold(&own, 1);
        let mut queued = Some(own.submit(|| 2));
        fork(|| {
            first_false(&[
                oldest.wait_idle() == Err(PoolError::Forked),
                own.wait_idle() == Err(PoolError::Forked),
                queued.take().is_some_and(|handle| is_forked(handle.join())),
                works(),
            ])
        });
        held.release();
        first_false(&[
            queued
                .take()
                .is_some_and(|handle| matches!(handle.join(), Ok(2))),
            own.wait_idle().is_ok(),
            oldest.wait_idle() == Err(PoolError::Forked),
        ])
    });
    assert!(oldest.wait_idle().is_ok());
}

#[test]
fn a_scope_on_the_old_pool_is_refused_in_the_child_and_ends() {
    in_a_copy("scoping");
}

fn scoping() {
    let pool = ThreadPool::new(1).unwrap();
    fork(|| {
        let number = 5;
        let refused = |outcome| matches!(outcome, Err(TaskError::Rejected(Rejection::Forked)));
        first_false(&[
            pool.scope(|s| refused(s.submit(|| number).join())),
            catch_unwind(AssertUnwindSafe(|| pool.map([number], |n| n))).is_err(),
        ])
    });
}

#[test]
fn group_waits_in_the_child_dropped_the_closures_of_the_parent_s_tasks() {
    in_a_copy("racing");
}

fn racing() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    struct Notes;
    impl Drop for Notes {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, SeqCst);
        }
    }
    let pool = ThreadPool::new(1).unwrap();
    let held = hold(&pool, 1);
    let queued = || {
        [Notes, Notes].map(|notes| {
            pool.submit(move || {
                drop(notes);
                Ok::<_, ()>(())
            })
        })
    };
    let (races, joins) = (queued(), queued());
    fork(|| {
        first_false(&[
            race(races).is_err(),
            join_all_ok(joins).is_err(),
            DROPPED.load(SeqCst) == 0,
        ])
    });
    held.release();
}

fn is_refused<T, F>(answer: Result<T, millhand::error::SubmitError<F>>) -> bool {
    answer.is_err_and(|e| e.reason() == Rejection::Forked)
}

/// Whether a submission that tells the caller nothing took no time and no task.
fn is_dropped_unrun(execute: impl FnOnce(Box<dyn FnOnce() + Send>)) -> bool {
    let held = Arc::new(AtomicUsize::new(0));
    let theirs = held.clone();
    execute(Box::new(move || {
        theirs.fetch_add(1, SeqCst);
    }));
    Arc::into_inner(held).is_some_and(|runs| runs.into_inner() == 0)
}

#[test]
fn what_would_wait_elsewhere_than_in_the_queue_is_refused_in_the_child() {
    in_a_copy("executing");
}

fn executing() {
    let pool = ThreadPool::new(1).unwrap();
    let gate = Semaphore::new(1).unwrap();
    let held = hold(&pool, 1);
    fork(|| {
        let task = || pool.task();
        first_false(&[
            is_dropped_unrun(|f| task().delay(LONG).execute(f)),
            is_refused(task().delay(LONG).try_execute(|| ())),
            is_refused(task().expires(LONG).try_submit(|| ())),
            is_dropped_unrun(|f| task().deadline(LONG).execute(f)),
            is_refused(task().deadline(LONG).try_execute(|| ())),
            is_dropped_unrun(|f| task().gate(&gate).execute(f)),
            is_refused(task().gate(&gate).try_execute(|| ())),
            is_refused(task().every(Every::new(LONG)).run(|| ())),
            is_refused(pool.broadcast(|| ())),
            matches!(pool.set_workers(3), Err(BuildError::Forked)),
            pool.workers() == 1,
        ])
    });
    held.release();
    assert!(pool.shutdown(Shutdown::drain()).unwrap().is_clean());
}

/// Whether a worker does not sleep.
#[cfg(target_os = "linux")]
fn pool_is_awake() -> bool {
    let mut stats = std::fs::read_dir("/proc/self/task").unwrap().map(|task| {
        let stat = std::fs::read_to_string(task.unwrap().path().join("stat"));
        stat.unwrap_or_default()
    });
    // The name in brackets, and then the state.
    stats.any(|stat| stat.contains("(millhand-") && !stat.contains(") S "))
}

#[cfg(target_os = "linux")]
#[test]
fn every_submission_is_refused_in_the_child_of_a_pool_at_rest() {
    in_a_copy("executing at rest");
}

#[cfg(not(target_os = "linux"))]
fn executing_at_rest() {}

#[cfg(target_os = "linux")]
fn executing_at_rest() {
    let pool = ThreadPool::new(2).unwrap();
    assert_eq!(pool.submit(|| 1).join().unwrap(), 1);
    pool.wait_idle().unwrap();
    while pool_is_awake() {
        std::thread::yield_now();
    }
    fork(|| {
        first_false(&[
            is_dropped_unrun(|f| pool.execute(f)),
            is_refused(pool.try_execute(|| ())),
            is_dropped_unrun(|f| pool.task().name("named").execute(f)),
            is_refused(pool.task().name("named").try_execute(|| ())),
            is_dropped_unrun(|f| pool.task().priority(1).execute(f)),
            is_refused(pool.task().priority(1).try_execute(|| ())),
            is_refused(pool.try_submit(|| ())),
            matches!(
                pool.submit(|| ()).join(),
                Err(TaskError::Rejected(Rejection::Forked))
            ),
        ])
    });
    assert_eq!(pool.submit(|| 2).join().unwrap(), 2);
}

#[test]
fn the_drop_of_a_buffered_observer_in_the_child_waited_for_a_thread_of_the_parent() {
    in_a_copy("buffering");
}

fn buffering() {
    let mut buffered = Some(Buffered::new(|_: &Event| (), 10).unwrap());
    fork(|| {
        drop(buffered.take());
        0
    });
    drop(buffered);
}
