//! A bounded queue: the bound is exact, and every way out of the queue gives a place back.

use crate::submit::hold;
use crate::support::{LONG, must_recv};
use millhand::cancel::CancelReason;
use millhand::error::Rejection;
use millhand::task::CancelOutcome;
use millhand::{CancelToken, OnFull, Shutdown, TaskError, ThreadPool};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Barrier, Mutex, mpsc};
use std::time::Instant;

const PRODUCERS: usize = 8;

fn bounded(workers: usize, capacity: usize, on_full: OnFull) -> ThreadPool {
    ThreadPool::builder()
        .workers(workers)
        .queue_capacity(capacity)
        .on_full(on_full)
        .build()
        .unwrap()
}

/// Waits for what must come to be.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < LONG, "it never came: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn never_more_than_the_capacity_is_queued_while_producers_wait() {
    const WORKERS: usize = 2;
    const CAPACITY: usize = 5;
    const EACH: usize = 25;
    let pool = bounded(WORKERS, CAPACITY, OnFull::Block);
    let admitted = AtomicUsize::new(0);
    let (start, started) = mpsc::channel();
    std::thread::scope(|s| {
        // Each body says that it has started and hands out what lets it go.
        let (pool, admitted) = (&pool, &admitted);
        let mut goes = Vec::new();
        for producer in 0..PRODUCERS {
            let start = start.clone();
            s.spawn(move || {
                for n in 0..EACH {
                    let start = start.clone();
                    let body = move || {
                        let (go, wait) = mpsc::channel::<()>();
                        // Nobody listens after a failure.
                        if start.send(go).is_ok() {
                            let _ = wait.recv();
                        }
                    };
                    match (producer + n) % 3 {
                        0 => drop(pool.submit(body)),
                        1 => pool.execute(body),
                        _ => drop(pool.submit_timeout(LONG, body).unwrap()),
                    }
                    admitted.fetch_add(1, SeqCst);
                }
            });
        }
        drop(start);
        let started = started;
        for claimed in 1..=PRODUCERS * EACH {
            goes.push(must_recv(&started));
            if claimed < WORKERS {
                continue;
            }
            // All workers are in bodies that only we let go, so exactly `claimed` tasks have left the queue.
            let room = (claimed + CAPACITY).min(PRODUCERS * EACH);
            until("the queue fills up", || admitted.load(SeqCst) >= room);
            assert!(pool.try_execute(|| ()).is_err() || room < claimed + CAPACITY);
            assert_eq!(admitted.load(SeqCst), room);
            if room == claimed + CAPACITY {
                assert_eq!(pool.queued(), CAPACITY);
            }
            drop(goes.remove(0));
        }
    });
}

#[test]
fn never_more_than_the_capacity_is_queued_while_producers_are_refused() {
    const CAPACITY: usize = 7;
    const ROUNDS: usize = 20;
    for on_full in [OnFull::Reject, OnFull::Block] {
        let pool = bounded(2, CAPACITY, on_full);
        for _ in 0..ROUNDS {
            let held = hold(&pool, 2);
            let admitted = AtomicUsize::new(0);
            let refused = AtomicUsize::new(0);
            let barrier = Barrier::new(PRODUCERS);
            std::thread::scope(|s| {
                for producer in 0..PRODUCERS {
                    let (pool, barrier) = (&pool, &barrier);
                    let (admitted, refused) = (&admitted, &refused);
                    s.spawn(move || {
                        barrier.wait();
                        for n in 0..10 {
                            let is_in = match (producer + n) % 3 {
                                0 => pool.try_submit(|| ()).is_ok(),
                                1 => pool.try_execute(|| ()).is_ok(),
                                // Where it rejects, the verbs that would wait are refused too.
                                _ if on_full == OnFull::Reject => !pool.submit(|| ()).is_finished(),
                                _ => pool
                                    .submit_timeout(std::time::Duration::ZERO, || ())
                                    .is_ok(),
                            };
                            let count = if is_in { admitted } else { refused };
                            count.fetch_add(1, SeqCst);
                        }
                    });
                }
            });
            assert_eq!(admitted.load(SeqCst), CAPACITY);
            assert_eq!(refused.load(SeqCst), PRODUCERS * 10 - CAPACITY);
            assert_eq!(pool.queued(), CAPACITY);
            held.release();
            pool.wait_idle().unwrap();
        }
    }
}

#[test]
fn cancelling_a_queued_task_gives_its_place_back() {
    let pool = bounded(1, 2, OnFull::Reject);
    let held = hold(&pool, 1);
    let token = CancelToken::new();
    let first = pool.submit(|| ());
    let second = pool.task().token(&token).submit(|| ());
    let full = |pool: &ThreadPool| pool.try_submit(|| ()).is_err();
    assert!(full(&pool));
    assert_eq!(first.cancel(), CancelOutcome::Settled);
    let third = pool.try_submit(|| 3).expect("a place came free");
    assert!(full(&pool));
    assert_eq!(first.cancel(), CancelOutcome::AlreadyFinished);
    assert!(full(&pool), "a place is given back once");
    token.cancel();
    let fourth = pool.try_submit(|| 4).expect("through its token too");
    assert!(full(&pool));
    drop(fourth.cancel_on_drop());
    let fifth = pool.try_submit(|| 5).expect("and by a dropped handle");
    assert!(full(&pool));
    held.release();
    assert_eq!((third.join().unwrap(), fifth.join().unwrap()), (3, 5));
    for handle in [first, second] {
        assert!(matches!(handle.join(), Err(TaskError::Cancelled(_))));
    }
}

#[test]
fn a_task_under_a_token_that_is_cancelled_already_takes_no_place() {
    let pool = bounded(1, 1, OnFull::Reject);
    let held = hold(&pool, 1);
    let token = CancelToken::new();
    token.cancel();
    let task = pool.task().token(&token);
    for _ in 0..10 {
        let handle = task.try_submit(|| ()).unwrap();
        assert!(matches!(
            handle.join(),
            Err(TaskError::Cancelled(CancelReason::User))
        ));
    }
    held.release();
}

#[test]
fn a_place_that_comes_free_by_a_cancel_wakes_a_submitter() {
    let pool = bounded(1, 1, OnFull::Block);
    for _ in 0..20 {
        let held = hold(&pool, 1);
        let queued = pool.submit(|| ());
        std::thread::scope(|s| {
            let held = held;
            let submitter = s.spawn(|| pool.submit_timeout(LONG, || 9));
            queued.cancel();
            // The worker is held still: only the cancel can have made room.
            let handle = submitter.join().unwrap().expect("there is room");
            held.release();
            assert_eq!(handle.join().unwrap(), 9);
        });
    }
}

#[test]
fn a_claim_gives_the_place_back() {
    let pool = bounded(2, 1, OnFull::Reject);
    let mut held = hold(&pool, 2);
    let (start, started) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    let next = pool.submit(move || {
        start.send(()).unwrap();
        let _ = wait.recv();
    });
    assert!(pool.try_execute(|| ()).is_err());
    held.release_one();
    must_recv(&started);
    // It still runs; its place is free.
    let last = pool.try_submit(|| ()).expect("it does not count any more");
    assert!(pool.try_execute(|| ()).is_err());
    drop(go);
    next.join().unwrap();
    last.join().unwrap();
    held.release();
}

#[test]
fn a_task_that_runs_on_its_waiter_s_stack_gives_its_place_back_too() {
    let pool = bounded(1, 1, OnFull::Reject);
    let (give, take) = mpsc::channel::<millhand::TaskHandle<u8>>();
    let (tell, told) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    let outer = pool.submit(move || {
        let inner = take.recv().unwrap();
        let value = inner.join().unwrap();
        tell.send(()).unwrap();
        let _ = wait.recv();
        value
    });
    // As soon as the worker has claimed the first, there is room for this one.
    let mut inner = None;
    until("a place", || {
        inner = pool.try_submit(|| 3).ok();
        inner.is_some()
    });
    give.send(inner.unwrap()).unwrap();
    must_recv(&told);
    pool.try_execute(|| ()).expect("the one place is free");
    drop(go);
    assert_eq!(outer.join().unwrap(), 3);
}

#[test]
fn places_come_back_after_tasks_of_every_end() {
    crate::stress::silence();
    let pool = bounded(2, 4, OnFull::Block);
    for n in 0..2000 {
        let handle = pool.submit(move || {
            assert!(n % 7 != 0, "{}", crate::stress::EXPECTED);
        });
        match n % 3 {
            0 => drop(handle.cancel()),
            1 => drop(handle.join()),
            _ => drop(handle),
        }
    }
    pool.wait_idle().unwrap();
    let held = hold(&pool, 2);
    let places = (0..10).filter(|_| pool.try_execute(|| ()).is_ok());
    assert_eq!(places.count(), 4, "none is lost, none is made");
    held.release();
}

#[test]
fn a_refused_submission_after_closing_says_closed_and_not_full() {
    let pool = bounded(1, 1, OnFull::Reject);
    let held = hold(&pool, 1);
    pool.execute(|| ());
    let refusals = Mutex::new(Vec::new());
    std::thread::scope(|s| {
        let held = held;
        s.spawn(|| pool.shutdown(Shutdown::drain()).unwrap());
        until("the pool is closed", || pool.is_closed());
        until("the refusal says so", || {
            let why = pool.try_execute(|| ()).unwrap_err().reason();
            refusals.lock().unwrap().push(why);
            why == Rejection::Closed
        });
        held.release();
    });
    assert!(refusals.lock().unwrap().ends_with(&[Rejection::Closed]));
}
