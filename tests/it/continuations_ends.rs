//! Continuations at the end of pools: closed, draining, cancelling, dropped, on their own workers, and of several pools.

use crate::handle::{keep_busy, must_join};
use crate::manual::{Drops, HOUR, hang, until};
use crate::support::must_recv;
use millhand::cancel::CancelReason;
use millhand::compose::when_each;
use millhand::error::Rejection;
use millhand::pool::{PoolError, ShutdownReport};
use millhand::task::{Promise, TaskState};
use millhand::{
    PoolHandle, SharedHandle, Shutdown, TaskError, TaskHandle, ThreadPool, current, promise,
};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Barrier};
use std::thread;

fn is_cancelled_by_shutdown<T>(outcome: &Result<T, TaskError>) -> bool {
    matches!(outcome, Err(TaskError::Cancelled(CancelReason::Shutdown)))
}

/// So many tasks, each of which waits for the one before; the first for the promise.
fn chain_of(pool: &ThreadPool, count: usize) -> (Promise<usize>, Vec<SharedHandle<usize>>) {
    let (kept, handle) = promise();
    let mut last = pool.task().submit_after([handle], |[n]| n.unwrap()).share();
    let mut all = vec![last.clone()];
    for _ in 1..count {
        last = last.map(|n| n + 1).share();
        all.push(last.clone());
    }
    (kept, all)
}

fn counted(report: &ShutdownReport) -> [u64; 5] {
    let done = [report.succeeded(), report.failed(), report.panicked()];
    let [succeeded, failed, panicked] = done;
    let by_shutdown = report.cancelled_by_shutdown();
    [succeeded, failed, panicked, report.cancelled(), by_shutdown]
}

#[test]
fn a_closed_pool_continues_nothing() {
    let pool = ThreadPool::new(1).unwrap();
    let weak = pool.handle();
    let (a, b) = (pool.submit(|| 1), pool.submit(|| 1));
    pool.shutdown(Shutdown::drain()).unwrap();
    let is_refused = |handle: TaskHandle<u32>, why| match must_join(handle) {
        Err(TaskError::Rejected(reason)) => assert_eq!(reason, why),
        other => panic!("{other:?}"),
    };
    let drops = Drops::default();
    let one = drops.one();
    is_refused(
        a.map(move |n| {
            one.keep();
            n
        }),
        Rejection::Closed,
    );
    assert_eq!(drops.count(), 1);
    let (kept, above) = promise::<u32>();
    is_refused(weak.task().submit_after([above], |_| 1), Rejection::Closed);
    assert!(!kept.is_cancelled(), "what is above runs on");
    drop((pool, weak));
    // Nobody knows the pool any more.
    is_refused(b.map(|n| n), Rejection::Closed);
}

#[test]
fn a_drain_runs_what_continues_its_tasks() {
    let pool = ThreadPool::new(1).unwrap();
    let (body, hang) = hang();
    let running = pool.submit(body);
    hang.started();
    let last = running.map(|()| 1).map(|n| n + 1).share();
    let chord = when_each((last, pool.submit(|| 1))).then(|(a, b)| a.unwrap() + b.unwrap());
    let inside = chord.then(|n| {
        let pool = current().unwrap().pool();
        pool.submit(move || n.unwrap()).map(|n| n + 1)
    });
    let weak = pool.handle();
    let draining = thread::spawn(move || pool.shutdown(Shutdown::drain()).unwrap());
    until("it is closed", || weak.is_closed());
    drop(hang);
    let report = draining.join().unwrap();
    assert_eq!(must_join(must_join(inside).unwrap()).unwrap(), 4);
    assert_eq!(counted(&report), [8, 0, 0, 0, 0]);
}

#[test]
fn a_drain_cancels_what_waits_for_others_than_its_tasks() {
    let other = ThreadPool::new(1).unwrap();
    let pool = ThreadPool::new(1).unwrap();
    let (kept, chain) = chain_of(&pool, 3);
    let (body, hang) = hang();
    let foreign = other.submit(body);
    hang.started();
    let token = foreign.token();
    let after = pool.task().submit_after([foreign], |_| ());
    // All of one's own, but one.
    let (_unkept, never) = promise::<()>();
    let mixed = pool.task().submit_after((pool.submit(|| 1), never), |_| ());
    let report = pool.shutdown(Shutdown::drain()).unwrap();
    assert!(kept.is_cancelled());
    assert!(
        chain
            .iter()
            .all(|handle| is_cancelled_by_shutdown(&handle.join().as_ref().map_err(copy)))
    );
    assert!(is_cancelled_by_shutdown(&must_join(after)));
    assert!(is_cancelled_by_shutdown(&must_join(mixed)));
    assert_eq!(
        token.reason(),
        Some(CancelReason::Shutdown),
        "nobody else could join it"
    );
    assert_eq!(counted(&report), [1, 0, 0, 5, 5]);
    drop(hang);
    other.wait_idle().unwrap();
}

fn copy(error: &TaskError) -> TaskError {
    match error {
        TaskError::Cancelled(reason) => TaskError::Cancelled(*reason),
        other => panic!("{other}"),
    }
}

#[test]
fn a_shutdown_that_cancels_counts_whole_chains_as_its_own() {
    for workers in [1, 2] {
        let pool = ThreadPool::new(workers).unwrap();
        let busy: Vec<_> = (0..workers).map(|_| keep_busy(&pool)).collect();
        let queued = pool.submit(|| 1).map(|n| n).map(|n| n);
        let delayed = pool.task().delay(HOUR).submit(|| 1).map(|n| n);
        let (_kept, chain) = chain_of(&pool, 2);
        let report = thread::scope(|s| {
            let ending = s.spawn(|| pool.shutdown(Shutdown::cancel()).unwrap());
            assert!(is_cancelled_by_shutdown(&must_join(queued)));
            assert!(is_cancelled_by_shutdown(&must_join(delayed)));
            assert!(chain[1].join().is_err());
            drop(busy);
            ending.join().unwrap()
        });
        assert_eq!(counted(&report), [workers as u64, 0, 0, 7, 7]);
    }
}

#[test]
fn a_body_that_returns_while_its_pool_cancels_is_not_continued() {
    let pool = ThreadPool::new(1).unwrap();
    let (body, hang) = hang();
    let running = pool.submit(body);
    hang.started();
    let next = running.map(|()| 1);
    let drops = Drops::default();
    let one = drops.one();
    let last = next.map(move |_| one.keep());
    let ending = thread::spawn(move || pool.shutdown(Shutdown::cancel()).unwrap());
    assert!(is_cancelled_by_shutdown(&must_join(last)));
    drop(hang);
    assert_eq!(counted(&ending.join().unwrap()), [1, 0, 0, 2, 2]);
    assert_eq!(drops.count(), 1);
}

#[test]
fn dropping_the_pool_settles_what_waits() {
    let pool = ThreadPool::new(1).unwrap();
    let (kept, chain) = chain_of(&pool, 3);
    drop(pool);
    assert!(kept.is_cancelled());
    assert!(
        chain
            .iter()
            .all(|handle| handle.try_join().unwrap().is_err())
    );
}

#[test]
fn a_pool_dropped_on_its_own_worker_settles_what_waits() {
    let pool = Arc::new(ThreadPool::new(1).unwrap());
    let (kept, chain) = chain_of(&pool, 3);
    let drops = Drops::default();
    let one = drops.one();
    let last = chain[2].clone().map(move |_| one.keep());
    let (mut body, hang) = hang();
    let mine = pool.clone();
    let dropping = pool.submit(move || {
        body();
        drop(mine);
        current().unwrap().pool().submit(|| 1).map(|n| n + 1)
    });
    hang.started();
    drop((pool, hang));
    assert_eq!(must_join(must_join(dropping).unwrap()).unwrap(), 2);
    assert!(is_cancelled_by_shutdown(&must_join(last)));
    until("all is settled", || {
        kept.is_cancelled() && chain.iter().all(SharedHandle::is_finished) && drops.count() == 1
    });
}

/// A chain that changes pools at each step, behind a body that hangs on the first.
fn zigzag(pools: &[&ThreadPool], steps: usize) -> (crate::manual::Hang, TaskHandle<usize>) {
    let (mut body, hang) = hang();
    let mut last = pools[0].submit(move || {
        body();
        0
    });
    hang.started();
    for step in 1..=steps {
        let task = pools[step % pools.len()].task();
        last = task.submit_after([last], move |[outcome]| {
            assert_eq!(outcome.unwrap_or(step - 1), step - 1);
            step
        });
    }
    (hang, last)
}

#[test]
fn either_of_two_pools_may_end_first() {
    let pool = || ThreadPool::new(1).unwrap();
    // Nobody ends: it goes on from pool to pool.
    let (a, b) = (pool(), pool());
    let (hang, last) = zigzag(&[&a, &b], 20);
    drop(hang);
    assert_eq!(must_join(last).unwrap(), 20);
    let [a, b] = [a, b].map(|pool| pool.shutdown(Shutdown::drain()).unwrap());
    assert_eq!((a.succeeded(), b.succeeded()), (11, 10));

    // The first goes: its body ends, and the steps on it are cancelled; those on the other go on, with the error.
    for how in [Shutdown::drain(), Shutdown::cancel()] {
        let (a, b) = (pool(), pool());
        let (hang, last) = zigzag(&[&a, &b], 20);
        let ending = thread::spawn(move || a.shutdown(how).unwrap());
        until("it is closed", || {
            last.state() != TaskState::Waiting || hang_is_over(&ending)
        });
        drop(hang);
        let report = ending.join().unwrap();
        let outcome = must_join(last);
        assert!(outcome.is_ok() || is_cancelled_by_shutdown(&outcome));
        let other = b.shutdown(Shutdown::drain()).unwrap();
        let all = counted(&report).iter().take(4).sum::<u64>()
            + counted(&other).iter().take(4).sum::<u64>();
        assert_eq!(all, 21, "{report}; {other}");
    }

    // The second goes, and waits for nobody; with it goes what it continues.
    let (a, b) = (pool(), pool());
    let (hang, last) = zigzag(&[&a, &b], 19);
    let report = b.shutdown(Shutdown::drain()).unwrap();
    assert!(is_cancelled_by_shutdown(&must_join(last)));
    assert_eq!(counted(&report)[0], 0);
    drop(hang);
    a.wait_idle().unwrap();
    let other = a.shutdown(Shutdown::drain()).unwrap();
    assert_eq!(report.cancelled() + other.cancelled(), 19);
    assert_eq!(other.succeeded(), 1);
}

fn hang_is_over<T>(thread: &thread::JoinHandle<T>) -> bool {
    // Some time for the shutdown to begin; whether it has makes no difference to what must hold.
    thread::yield_now();
    !thread.is_finished()
}

/// Asks the pool, when it is dropped, what would wait for ever if it were not refused.
struct Asks(PoolHandle, Arc<ThreadPool>, Sender<[bool; 2]>);

impl Drop for Asks {
    fn drop(&mut self) {
        let Self(weak, pool, tell) = self;
        assert!(weak.is_closed());
        let idle = matches!(pool.wait_idle(), Err(PoolError::InsideTask));
        let ended = matches!(pool.shutdown(Shutdown::drain()), Err(PoolError::InsideTask));
        tell.send([idle, ended]).unwrap();
    }
}

#[test]
fn a_closure_that_a_shutdown_drops_cannot_wait_for_its_pool() {
    for how in [Shutdown::drain(), Shutdown::cancel()] {
        let pool = Arc::new(ThreadPool::new(1).unwrap());
        let (_kept, never) = promise::<()>();
        let (tell, told) = mpsc::channel();
        let asks = Asks(pool.handle(), pool.clone(), tell);
        let handle = pool.task().submit_after([never], move |_| drop(asks));
        pool.shutdown(how).unwrap();
        assert_eq!(must_recv(&told), [true, true]);
        assert!(is_cancelled_by_shutdown(&must_join(handle)));
    }
}

#[test]
fn a_dropped_closure_may_wait_for_what_its_drop_has_settled() {
    /// Waits in its drop for what only goes on by what its drop did before.
    struct Waits(Option<(SharedHandle<u32>, TaskHandle<u32>)>, Sender<bool>);
    impl Drop for Waits {
        fn drop(&mut self) {
            let (above, below) = self.0.take().unwrap();
            above.cancel();
            self.1.send(must_join(below).is_err()).unwrap();
        }
    }
    let other = ThreadPool::new(1).unwrap();
    let (_unkept, never) = promise::<u32>();
    let above = other.task().submit_after([never], |_| 1).share();
    let below = above.clone().map(|n| n);
    let pool = ThreadPool::new(1).unwrap();
    let (tell, told) = mpsc::channel();
    let waits = Waits(Some((above, below)), tell);
    let (_kept, handle) = promise::<()>();
    let last = pool.task().submit_after([handle], move |_| drop(waits));
    // From now on that pool takes nothing, so that what is below is cancelled when what is above settles.
    let ending = {
        let (body, hang) = hang();
        other.execute(body);
        hang.started();
        let weak = other.handle();
        let ending = thread::spawn(move || other.shutdown(Shutdown::drain()).unwrap());
        until("it is closed", || weak.is_closed());
        last.cancel();
        assert!(must_recv(&told));
        drop(hang);
        ending
    };
    ending.join().unwrap();
}

#[test]
fn all_ends_are_counted_once_whoever_comes_first() {
    for round in 0..100 {
        let pool = ThreadPool::new(2).unwrap();
        let (kept, above) = promise();
        let first = pool.task().submit_after([above], |[n]| n.unwrap_or(0));
        let token = first.token();
        let last = first.map(|n| n + 1).then(|n| n.is_ok());
        let barrier = Barrier::new(3);
        thread::scope(|s| {
            s.spawn(|| {
                barrier.wait();
                token.cancel();
            });
            s.spawn(|| {
                barrier.wait();
                last.cancel();
            });
            barrier.wait();
            let _ = kept.complete(round);
        });
        assert!(last.wait().is_ok());
        pool.wait_idle().unwrap();
        let report = pool.shutdown(Shutdown::drain()).unwrap();
        assert_eq!(report.succeeded() + report.cancelled(), 3, "{report}");
        assert_eq!(report.cancelled_by_shutdown(), 0);
    }
}

#[test]
fn what_is_submitted_while_the_pool_ends_ends_too() {
    for round in 0..100 {
        let pool = ThreadPool::new(1).unwrap();
        let weak = pool.handle();
        let barrier = Barrier::new(2);
        let (handles, kept) = thread::scope(|s| {
            let submitting = s.spawn(|| {
                barrier.wait();
                let mut all = Vec::new();
                loop {
                    let (kept, above) = promise::<()>();
                    let handle = weak.task().submit_after([above], |_| ()).map(|()| ());
                    all.push((handle, kept));
                    if weak.is_closed() {
                        return all.into_iter().unzip::<_, _, Vec<_>, Vec<_>>();
                    }
                }
            });
            barrier.wait();
            let how = if round % 2 == 0 {
                Shutdown::drain()
            } else {
                Shutdown::cancel()
            };
            pool.shutdown(how).unwrap();
            submitting.join().unwrap()
        });
        // Nobody keeps a promise, and all of them have ended.
        for handle in handles {
            assert!(must_join(handle).is_err());
        }
        drop(kept);
    }
}

#[test]
fn panics_that_nobody_reads_are_told() {
    let pool = ThreadPool::new(1).unwrap();
    let told = || {
        pool.wait_idle().unwrap();
        pool.stats().unread
    };
    // Passed on, to nobody.
    drop(pool.submit(|| -> u32 { panic!("1") }).map(|n| n).map(|n| n));
    assert_eq!(told(), 1);
    // Passed on as a copy, to nobody.
    let shared = pool.submit(|| -> u32 { panic!("2") }).share();
    drop(shared.clone().map(|n| n));
    assert_eq!(told(), 2);
    assert!(shared.join().is_err());
    drop(shared);
    assert_eq!(told(), 2, "the original was read");
    // Held by one that is cancelled before it looks.
    let handle = pool.submit(|| -> u32 { panic!("3") });
    handle.wait().unwrap();
    let busy = keep_busy(&pool);
    let next = handle.map(|n| n);
    next.cancel();
    drop((busy, next));
    assert_eq!(told(), 3);
    // Held by one that waits for others, too.
    let (_kept, never) = promise::<()>();
    let chord = pool
        .task()
        .submit_after((pool.submit(|| panic!("4")), never), |_| ());
    pool.wait_idle().unwrap();
    chord.cancel();
    assert_eq!(told(), 4);
    // Seen by a body.
    must_join(
        pool.submit(|| panic!("5"))
            .then(|outcome| assert!(outcome.is_err())),
    )
    .unwrap();
    assert_eq!(told(), 4);
}
