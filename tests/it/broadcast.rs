//! Broadcasts: once on every worker.

use crate::lifecycle::watched;
use crate::stress::{EXPECTED, silence};
use crate::submit::hold;
use crate::support::{LONG, must_recv};
use millhand::cancel::CancelReason;
use millhand::error::Rejection;
use millhand::task::CancelOutcome;
use millhand::{Shutdown, TaskError, TaskHandle, ThreadPool};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, mpsc};

fn worker() -> usize {
    millhand::current().unwrap().worker()
}

fn join_all<T: 'static>(handles: Vec<TaskHandle<T>>) -> Vec<T> {
    handles
        .into_iter()
        .map(|handle| handle.join_timeout(LONG).expect("it settles").unwrap())
        .collect()
}

/// The thread that broadcasts counts what it has swept, when the worker may already have found that
/// the pool is not idle.
#[test]
fn a_pool_whose_last_tasks_a_broadcast_had_swept_was_never_idle() {
    const MANY: usize = 1 << 14; // a power of two: so many messages are swept at the next one
    for _ in 0..10 {
        let pool = ThreadPool::new(1).unwrap();
        let held = hold(&pool, 1);
        let all: Vec<_> = (0..MANY).map(|_| pool.broadcast(|| ()).unwrap()).collect();
        for handle in all.iter().flatten() {
            assert_eq!(handle.cancel(), CancelOutcome::Settled);
        }
        let (send, receive) = mpsc::channel();
        let waits = Arc::new(pool);
        let pool = waits.clone();
        std::thread::spawn(move || send.send(waits.wait_idle()).unwrap());
        let (begin, begun) = mpsc::channel();
        let broadcasts = std::thread::spawn(move || {
            begin.send(()).unwrap();
            drop(pool.broadcast(|| ()).unwrap());
        });
        must_recv(&begun);
        held.release();
        broadcasts.join().unwrap();
        must_recv(&receive).unwrap();
    }
}

#[test]
fn broadcasts_changed_their_order_on_a_worker_that_read_meanwhile() {
    const MANY: usize = 150;
    for _ in 0..2_000 {
        let pool = ThreadPool::new(1).unwrap();
        let (send, receive) = mpsc::channel();
        for n in 0..MANY {
            let send = send.clone();
            drop(pool.broadcast(move || send.send(n).unwrap()).unwrap());
        }
        drop(send);
        assert!((0..MANY).all(|n| must_recv(&receive) == n));
    }
}

#[test]
fn it_runs_once_on_every_worker() {
    let pool = ThreadPool::new(4).unwrap();
    for _ in 0..50 {
        let ran = Arc::new(AtomicUsize::new(0));
        let count = ran.clone();
        let handles = pool.broadcast(move || {
            count.fetch_add(1, SeqCst);
            (worker(), std::thread::current().name().unwrap().to_owned())
        });
        let mut workers = join_all(handles.unwrap());
        workers.sort_unstable();
        let all = (0..4).map(|n| (n, format!("millhand-{n}")));
        assert!(workers.into_iter().eq(all));
        assert_eq!(ran.load(SeqCst), 4);
    }
}

#[test]
fn a_busy_worker_comes_to_it_after_its_present_task_and_before_what_is_queued() {
    let pool = ThreadPool::new(2).unwrap();
    let held = hold(&pool, 2);
    let (tell, told) = mpsc::channel();
    for _ in 0..20 {
        let tell = tell.clone();
        pool.execute(move || tell.send((worker(), "queued")).unwrap());
    }
    let handles = pool
        .broadcast(move || tell.send((worker(), "broadcast")).unwrap())
        .unwrap();
    assert!(handles.iter().all(|handle| !handle.is_finished()));
    held.release();
    join_all(handles);
    drop(pool);
    let all: Vec<_> = told.iter().collect();
    assert_eq!(all.len(), 22);
    for index in [0, 1] {
        let mut of_it = all.iter().filter(|(worker, _)| *worker == index);
        assert_eq!(of_it.next(), Some(&(index, "broadcast")));
        assert!(of_it.all(|(_, what)| *what == "queued"));
    }
}

#[test]
fn inside_a_task_its_own_worker_s_part_is_joined_right_there() {
    let pool = Arc::new(ThreadPool::new(1).unwrap());
    let inside = pool.clone();
    let handle = pool.submit(move || {
        let outer = std::thread::current().id();
        let mine = inside.broadcast(|| std::thread::current().id()).unwrap();
        let ids: Vec<_> = mine.into_iter().map(|h| h.join().unwrap()).collect();
        ids == [outer]
    });
    assert!(handle.join_timeout(LONG).unwrap().unwrap());
}

#[test]
fn inside_a_task_all_parts_can_be_joined_while_the_others_have_time() {
    let pool = Arc::new(ThreadPool::new(3).unwrap());
    for _ in 0..50 {
        let inside = pool.clone();
        let handle = pool.submit(move || {
            let all = inside.broadcast(worker).unwrap();
            all.into_iter()
                .map(|handle| handle.join().unwrap())
                .collect::<BTreeSet<_>>()
        });
        let workers = handle.join_timeout(LONG).unwrap().unwrap();
        assert!(workers.into_iter().eq(0..3));
    }
}

#[test]
fn tasks_that_wait_for_each_other_s_workers_are_answered() {
    let pool = Arc::new(ThreadPool::new(2).unwrap());
    for _ in 0..20 {
        let barrier = Arc::new(Barrier::new(2));
        let tasks: Vec<_> = (0..2)
            .map(|_| {
                let (inside, barrier) = (pool.clone(), barrier.clone());
                pool.submit(move || {
                    barrier.wait();
                    let parts = inside.broadcast(|| ()).unwrap();
                    barrier.wait();
                    // Neither worker comes to the other's part before its own task ends.
                    parts
                        .into_iter()
                        .map(TaskHandle::join)
                        .filter(|outcome| matches!(outcome, Err(TaskError::WouldDeadlock(_))))
                        .count()
                })
            })
            .collect();
        assert!(join_all(tasks).iter().sum::<usize>() > 0);
        pool.wait_idle().unwrap();
    }
}

#[test]
fn a_task_that_waits_for_the_worker_that_waits_for_it_is_answered() {
    let pool = Arc::new(ThreadPool::new(1).unwrap());
    let inside = pool.clone();
    let (give, take) = mpsc::channel::<TaskHandle<bool>>();
    let (start, started) = mpsc::channel();
    let waiting = pool.submit(move || {
        start.send(()).unwrap();
        // The seat is given up, so the other task runs on a spare.
        let other = millhand::blocking(|| take.recv().unwrap());
        match other.join() {
            Ok(was_answered) => was_answered,
            Err(error) => matches!(error, TaskError::WouldDeadlock(_)),
        }
    });
    must_recv(&started);
    let (reach, reached) = mpsc::channel();
    let other = pool.submit(move || {
        reach.send(()).unwrap();
        let me = millhand::current().unwrap().worker();
        let parts = inside.broadcast(|| ()).unwrap();
        assert_eq!(me, 1);
        parts
            .into_iter()
            .map(TaskHandle::join)
            .any(|outcome| matches!(outcome, Err(TaskError::WouldDeadlock(_))))
    });
    must_recv(&reached);
    give.send(other).unwrap();
    // Whoever waits last is the one who is told.
    let answer = waiting.join_timeout(LONG).expect("it is answered");
    assert!(answer.unwrap());
}

#[test]
fn spares_take_part() {
    let pool = ThreadPool::new(1).unwrap();
    let (send, receive) = mpsc::channel::<()>();
    let waiting = pool.submit(move || {
        millhand::blocking(|| {
            let _ = receive.recv();
        });
    });
    // Runs on the spare that stands in for the first.
    let held = hold(&pool, 1);
    assert_eq!(pool.threads(), 2);
    let handles = pool.broadcast(worker).unwrap();
    assert_eq!(handles.len(), 2);
    held.release();
    drop(send);
    let mut workers = join_all(handles);
    workers.sort_unstable();
    assert_eq!(workers, [0, 1]);
    waiting.join().unwrap();
}

#[test]
fn a_closed_pool_gives_the_closure_back() {
    let pool = ThreadPool::new(2).unwrap();
    pool.shutdown(Shutdown::drain()).unwrap();
    let token = Arc::new(5);
    let inside = token.clone();
    let refused = pool.broadcast(move || *inside).unwrap_err();
    assert_eq!(refused.reason(), Rejection::Closed);
    assert_eq!(Arc::strong_count(&token), 2, "nothing of it is left behind");
    assert_eq!(refused.into_inner()(), 5);
}

#[test]
fn a_closing_pool_gives_it_back_to_others_and_takes_it_from_its_own_tasks() {
    let pool = Arc::new(ThreadPool::new(1).unwrap());
    let inside = pool.clone();
    let (go, wait) = mpsc::channel::<()>();
    let handle = pool.submit(move || {
        wait.recv().unwrap();
        let weak = millhand::current().unwrap().pool();
        while !weak.is_closed() {
            std::thread::yield_now();
        }
        let mine = inside.broadcast(|| 8).unwrap();
        // Without a time limit: its own worker's part runs here and now.
        mine.into_iter().map(|h| h.join().unwrap()).sum::<u8>()
    });
    std::thread::scope(|s| {
        let go = go;
        let drain = s.spawn(|| pool.shutdown(Shutdown::drain()).unwrap());
        while !pool.is_closed() {
            std::thread::yield_now();
        }
        assert!(pool.broadcast(|| ()).is_err());
        go.send(()).unwrap();
        drain.join().unwrap();
    });
    assert_eq!(handle.join().unwrap(), 8);
}

#[test]
fn every_part_settles_while_the_pool_shrinks_and_grows() {
    let (pool, census) = watched(4);
    let ran = Arc::new(AtomicUsize::new(0));
    let mut parts = 0;
    std::thread::scope(|s| {
        let (done, is_done) = mpsc::channel::<()>();
        let pool = &pool;
        s.spawn(move || {
            while is_done.try_recv() == Err(mpsc::TryRecvError::Empty) {
                for workers in [1, 4, 2, 5] {
                    pool.set_workers(workers).unwrap();
                }
            }
        });
        let _done = done;
        for _ in 0..100 {
            let ran = ran.clone();
            let handles = pool.broadcast(move || ran.fetch_add(1, SeqCst)).unwrap();
            parts += handles.len();
            join_all(handles);
        }
    });
    assert_eq!(ran.load(SeqCst), parts);
    drop(pool);
    assert_eq!(census.live(), 0);
}

#[test]
fn a_panicking_part_is_told_by_its_own_handle() {
    silence();
    let pool = ThreadPool::new(3).unwrap();
    let line = line!() + 1;
    let handles = pool.broadcast(|| assert!(worker() != 1, "{EXPECTED}"));
    let outcomes: Vec<_> = handles.unwrap().into_iter().map(TaskHandle::join).collect();
    let mut panicked = 0;
    for outcome in outcomes {
        if let Err(error) = outcome {
            let TaskError::Panicked(panic) = error else {
                panic!("it came out as {error}")
            };
            assert_eq!((panic.site().file(), panic.site().line()), (file!(), line));
            panicked += 1;
        }
    }
    assert_eq!(panicked, 1);
    assert_eq!(join_all(pool.broadcast(|| 1).unwrap()), [1, 1, 1]);
}

#[test]
fn a_part_that_has_not_begun_is_cancelled_like_any_task() {
    let pool = ThreadPool::new(2).unwrap();
    let held = hold(&pool, 2);
    let handles = pool.broadcast(|| ()).unwrap();
    assert_eq!(handles[0].cancel(), CancelOutcome::Settled);
    held.release();
    let mut outcomes = handles.into_iter().map(TaskHandle::join);
    assert!(matches!(
        outcomes.next(),
        Some(Err(TaskError::Cancelled(CancelReason::User)))
    ));
    assert!(matches!(outcomes.next(), Some(Ok(()))));
    let report = pool.shutdown(Shutdown::drain()).unwrap();
    assert_eq!((report.succeeded(), report.cancelled()), (3, 1));
}

#[test]
fn a_shutdown_that_cancels_settles_the_parts_that_have_not_begun() {
    let pool = ThreadPool::new(2).unwrap();
    let held = hold(&pool, 2);
    let handles = pool.broadcast(|| ()).unwrap();
    std::thread::scope(|s| {
        let held = held;
        let shutdown = s.spawn(|| pool.shutdown(Shutdown::cancel()).unwrap());
        for handle in handles {
            let outcome = handle.join_timeout(LONG).unwrap();
            assert!(matches!(
                outcome,
                Err(TaskError::Cancelled(CancelReason::Shutdown))
            ));
        }
        held.release();
        let report = shutdown.join().unwrap();
        assert_eq!((report.succeeded(), report.cancelled_by_shutdown()), (2, 2));
    });
}

#[test]
fn a_shutdown_that_drains_runs_all_parts() {
    for _ in 0..50 {
        let pool = ThreadPool::new(3).unwrap();
        let (tell, told) = mpsc::channel();
        let handles = pool
            .broadcast(move || tell.send(worker()).unwrap())
            .unwrap();
        drop(handles);
        drop(pool);
        let all: BTreeSet<_> = (0..3).map(|_| must_recv(&told)).collect();
        assert!(all.into_iter().eq(0..3));
    }
}

#[test]
fn idleness_counts_the_parts() {
    let pool = ThreadPool::new(3).unwrap();
    for _ in 0..50 {
        let handles = pool.broadcast(|| ()).unwrap();
        pool.wait_idle().unwrap();
        assert!(handles.iter().all(TaskHandle::is_finished));
    }
}
