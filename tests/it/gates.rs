//! What all gates have in common: several are taken together or not at all, their lines move on, pools share them.

use crate::allocations::Meter;
use crate::gate_kit::{Busy, KINDS, SECOND, line_up, pool_on, until};
use crate::support::must_recv;
use millhand::error::Rejection;
use millhand::limit::Lanes;
use millhand::task::TaskState;
use millhand::testing::ManualClock;
use millhand::{OnFull, RateLimiter, Semaphore, Shutdown, TaskError, ThreadPool};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

#[test]
fn who_waits_at_one_gate_holds_nothing_of_the_other() {
    let pool = ThreadPool::new(2).unwrap();
    // Whichever is made first is asked first.
    for swapped in [false, true] {
        let (mut a, mut b) = (Semaphore::new(1).unwrap(), Semaphore::new(1).unwrap());
        if swapped {
            std::mem::swap(&mut a, &mut b);
        }
        let both = pool.task().gate(&a).gate(&b);
        let held = a.acquire().unwrap();
        let waits = both.submit(|| 7);
        until("it waits at the one that is closed", || a.waiting() == 1);
        assert_eq!((b.waiting(), b.available()), (0, 1));
        drop(b.try_acquire().unwrap());
        assert_eq!(pool.task().gate(&b).submit(|| 5).join().unwrap(), 5);
        // Called by the one, it finds the other closed, and holds nothing again.
        let other = b.acquire().unwrap();
        drop(held);
        until("it waits at the other", || {
            (a.waiting(), b.waiting()) == (0, 1)
        });
        assert_eq!(a.available(), 1);
        drop(a.try_acquire().unwrap());
        drop(other);
        assert_eq!(waits.join().unwrap(), 7);
        assert_eq!((a.available(), b.available()), (1, 1));
        assert_eq!((a.waiting(), b.waiting()), (0, 0));
    }
}

#[test]
fn tokens_and_permits_are_taken_together() {
    let clock = ManualClock::new();
    let pool = pool_on(&clock, 2);
    let limiter = RateLimiter::token_bucket(2, SECOND).burst(2);
    let limiter = limiter.clock(&clock).build().unwrap();
    let semaphore = Semaphore::new(1).unwrap();
    let task = pool
        .task()
        .gate(&semaphore)
        .gate(&limiter.weight(2).unwrap());
    let held = semaphore.acquire().unwrap();
    let waits = task.submit(|| ());
    until("it waits", || semaphore.waiting() == 1);
    assert_eq!(
        (limiter.available(), limiter.waiting()),
        (2, 0),
        "no token is gone"
    );
    limiter.acquire(1).unwrap();
    drop(held);
    until("it waits for a token", || limiter.waiting() == 1);
    assert_eq!(
        (semaphore.available(), semaphore.waiting()),
        (1, 0),
        "no permit is out"
    );
    drop(semaphore.try_acquire().unwrap());
    clock.advance(SECOND / 2);
    waits.join().unwrap();
    assert_eq!((semaphore.available(), limiter.available()), (1, 0));
}

#[test]
fn tasks_with_the_same_gates_start_in_the_order_of_submission() {
    const N: usize = 200;
    let clock = ManualClock::new();
    let pool = pool_on(&clock, 4);
    let limiter = RateLimiter::sliding_window(3, SECOND).clock(&clock);
    let limiter = limiter.build().unwrap();
    let (one, three) = (Semaphore::new(1).unwrap(), Semaphore::new(3).unwrap());
    let lane = Lanes::new().key(0);
    let ran = Arc::new((Mutex::new(()), Mutex::new(Vec::new())));
    let task = pool
        .task()
        .gate(&limiter)
        .gate(&three)
        .gate(&one)
        .gate(&lane);
    for n in 0..N {
        let ran = ran.clone();
        // One permit: nobody else is in here.
        let task = task.clone().priority((n % 3) as i32 - 1);
        let body = move || {
            let _alone = ran.0.try_lock().unwrap();
            ran.1.lock().unwrap().push(n);
        };
        task.execute(body);
    }
    // Others, which stir each of the gates.
    std::thread::scope(|s| {
        s.spawn(|| {
            for _ in 0..300 {
                drop(three.try_acquire());
                drop(one.try_acquire());
            }
        });
        until("all have run", || {
            clock.advance(SECOND / 10);
            ran.1.lock().unwrap().len() == N
        });
    });
    pool.wait_idle().unwrap();
    assert_eq!(*ran.1.lock().unwrap(), (0..N).collect::<Vec<_>>());
    assert_eq!((one.available(), three.available()), (1, 3));
    assert_eq!(
        (
            one.waiting(),
            three.waiting(),
            limiter.waiting(),
            lane.waiting()
        ),
        (0, 0, 0, 0)
    );
}

#[test]
fn a_template_serves_many_and_its_clones_go_their_own_way() {
    let pool = ThreadPool::new(2).unwrap();
    let (a, b) = (Semaphore::new(1).unwrap(), Semaphore::new(1).unwrap());
    let only_a = pool.task().gate(&a);
    let both = only_a.clone().gate(&b);
    let held = b.acquire().unwrap();
    let waits = both.submit(|| 1);
    until("it waits for b", || b.waiting() == 1);
    for n in 0..10 {
        assert_eq!(only_a.submit(move || n).join().unwrap(), n);
    }
    drop(held);
    assert_eq!(waits.join().unwrap(), 1);
    let again: Vec<_> = (0..10).map(|n| both.submit(move || n)).collect();
    for (n, handle) in again.into_iter().enumerate() {
        assert_eq!(handle.join().unwrap(), n);
    }
    assert_eq!((a.available(), b.available()), (1, 1));
}

#[test]
fn a_gate_that_is_given_twice_is_asked_for_what_was_given_last() {
    let clock = ManualClock::new();
    let pool = pool_on(&clock, 1);
    let limiter = RateLimiter::sliding_window(5, SECOND).clock(&clock);
    let limiter = limiter.build().unwrap();
    let semaphore = Semaphore::new(1).unwrap();
    let lane = Lanes::new().key(0);
    let task = pool
        .task()
        .gate(&limiter)
        .gate(&semaphore)
        .gate(&lane)
        .gate(&limiter.weight(3).unwrap())
        .gate(&semaphore.clone())
        .gate(&lane.clone());
    task.submit(|| ()).join().unwrap();
    assert_eq!(limiter.available(), 2);
    task.gate(&limiter).submit(|| ()).join().unwrap();
    assert_eq!(limiter.available(), 1);
    assert_eq!(
        (semaphore.available(), semaphore.waiting(), lane.waiting()),
        (1, 0, 0)
    );
}

#[test]
fn whoever_is_cancelled_in_a_line_is_out_at_once_and_the_line_moves_on() {
    for kind in KINDS {
        for gone in [
            vec![0],
            vec![2],
            vec![4],
            vec![0, 1],
            vec![1, 3, 4],
            vec![4, 0, 2],
        ] {
            let clock = ManualClock::new();
            // One worker of the other may be busy with keeping the gate closed.
            let (pool, other) = (pool_on(&clock, 1), pool_on(&clock, 2));
            let gate = kind.build(&clock);
            let closed = gate.close(&other, &clock);
            let (tell, told) = mpsc::channel();
            let tasks = line_up(
                || gate.waiting(),
                5,
                |n| {
                    let (tell, pool) = (tell.clone(), if n % 2 == 0 { &pool } else { &other });
                    gate.before(pool.task())
                        .submit(move || tell.send(n).unwrap())
                },
            );
            for (k, n) in gone.iter().enumerate() {
                tasks[*n].cancel();
                assert_eq!(gate.waiting(), 4 - k, "{kind:?}: it is out at once");
            }
            closed.open();
            for n in (0..5).filter(|n| !gone.contains(n)) {
                assert_eq!(must_recv(&told), n, "{kind:?} without {gone:?}");
                clock.advance(if gate.is_timed() {
                    SECOND
                } else {
                    Duration::ZERO
                });
            }
            drop(tell);
            assert!(told.recv().is_err());
            assert_eq!(gate.waiting(), 0);
        }
    }
}

#[test]
fn a_line_moves_on_when_the_pool_of_those_in_front_ends() {
    for kind in KINDS {
        for how in [Shutdown::drain(), Shutdown::cancel()] {
            let clock = ManualClock::new();
            let (pool, other) = (pool_on(&clock, 2), pool_on(&clock, 2));
            let gate = kind.build(&clock);
            let closed = gate.close(&other, &clock);
            let tasks = line_up(
                || gate.waiting(),
                40,
                |n| {
                    let pool = if n % 4 == 3 { &other } else { &pool };
                    gate.before(pool.task()).submit(move || n)
                },
            );
            std::thread::scope(|s| {
                s.spawn(|| pool.shutdown(how.clone()).unwrap());
                if how == Shutdown::drain() {
                    until("it is closed", || pool.is_closed());
                }
                closed.open();
                until("all have passed or are cancelled", || {
                    clock.advance(if gate.is_timed() {
                        SECOND
                    } else {
                        Duration::ZERO
                    });
                    gate.waiting() == 0 && tasks.iter().all(|task| task.is_finished())
                });
            });
            for (n, task) in tasks.into_iter().enumerate() {
                match task.join() {
                    Ok(value) => assert_eq!(value, n),
                    Err(error) => {
                        assert!(matches!(error, TaskError::Cancelled(_)) && n % 4 != 3);
                        assert_eq!(how, Shutdown::cancel());
                    }
                }
            }
            clock.advance(SECOND);
            assert_eq!(gate.available(), 1, "{kind:?}");
        }
    }
}

#[test]
fn a_shutdown_that_cancels_ends_while_the_line_moves() {
    for round in 0..200 {
        let (pool, other) = (ThreadPool::new(2).unwrap(), ThreadPool::new(1).unwrap());
        let semaphore = Semaphore::new(2).unwrap();
        let lane = Lanes::new().key(0);
        let holders: Vec<_> = (0..2)
            .map(|n| {
                let (tell, told) = mpsc::channel();
                let pool = if n == 0 || round % 2 == 0 {
                    &pool
                } else {
                    &other
                };
                let holder = pool.task().gate(&semaphore).submit(move || {
                    tell.send(()).unwrap();
                    while !millhand::is_cancelled() {
                        std::hint::spin_loop();
                    }
                });
                must_recv(&told);
                holder
            })
            .collect();
        let mut waits = Vec::new();
        for n in 0..60 {
            let task = pool.task().gate(&semaphore);
            let task = if n % 3 == 0 { task.gate(&lane) } else { task };
            waits.push(task.submit(|| ()));
        }
        holders[1].cancel();
        let report = pool.shutdown(Shutdown::cancel()).unwrap();
        drop(other);
        let ran = waits.into_iter().map(|task| task.join().is_ok());
        let ran = ran.filter(|ran| *ran).count() as u64;
        assert_eq!(report.cancelled_by_shutdown(), 60 - ran);
        assert_eq!(
            (semaphore.available(), semaphore.waiting(), lane.waiting()),
            (2, 0, 0)
        );
    }
}

#[test]
fn a_gated_task_keeps_its_place_in_a_bounded_queue_until_it_is_claimed() {
    for kind in KINDS {
        let clock = ManualClock::new();
        let builder = ThreadPool::builder().workers(1).clock(&clock);
        let pool = builder
            .queue_capacity(2)
            .on_full(OnFull::Reject)
            .build()
            .unwrap();
        let other = pool_on(&clock, 1);
        let gate = kind.build(&clock);
        let closed = gate.close(&other, &clock);
        let task = gate.before(pool.task());
        let is_full = || {
            let refused = pool.try_execute(|| ()).map_err(|error| error.reason());
            refused == Err(Rejection::Full)
        };
        let first = task.submit(|| 1);
        until("it waits at the gate", || gate.waiting() == 1);
        let (tell, told) = mpsc::channel();
        let (go, wait) = mpsc::channel::<()>();
        let second = task.submit(move || {
            tell.send(()).unwrap();
            wait.recv().is_err()
        });
        until("both wait at the gate", || gate.waiting() == 2);
        assert!(is_full(), "{kind:?}: who waits at a gate has a place");
        assert_eq!(first.cancel(), millhand::task::CancelOutcome::Settled);
        let third = task
            .try_submit(|| 3)
            .expect("a cancelled one gives its place back");
        until("both wait at the gate", || gate.waiting() == 2);
        assert!(is_full());
        closed.open();
        must_recv(&told);
        let fourth = task
            .try_submit(|| 4)
            .expect("a claimed one has given its place back");
        assert!(is_full());
        drop(go);
        until("all have run", || {
            clock.advance(if gate.is_timed() {
                SECOND
            } else {
                Duration::ZERO
            });
            third.is_finished() && fourth.is_finished()
        });
        assert!(second.join().unwrap());
        assert_eq!((third.join().unwrap(), fourth.join().unwrap()), (3, 4));
    }
}

#[test]
fn a_worker_does_not_go_in_circles_for_a_task_that_must_wait_for_an_earlier_one() {
    let meter = Meter::new();
    let busy_pool = ThreadPool::new(1).unwrap();
    let builder = ThreadPool::builder().workers(1);
    let pool = builder
        .on_worker_start(|_| meter.watch_this_thread())
        .build()
        .unwrap();
    let (a, b) = (Semaphore::new(2).unwrap(), Semaphore::new(2).unwrap());
    let held = [a.acquire().unwrap(), a.acquire().unwrap()];
    let first = busy_pool.task().gate(&a).gate(&b).submit(|| 1);
    until("the first waits", || a.waiting() == 1);
    let busy = Busy::start(&busy_pool.task());
    // Called, but its pool has no worker free.
    drop(held);
    until("the first is called", || first.state() == TaskState::Queued);
    let second = pool.task().gate(&a).gate(&b).submit(|| 2);
    until("the second waits, or has run", || {
        second.is_finished() || a.waiting() == 2
    });
    let before = meter.allocations();
    for n in 0..1_000 {
        assert_eq!(pool.submit(move || n).join().unwrap(), n);
    }
    let allocated = meter.allocations() - before;
    assert!(
        allocated < 1_000,
        "the worker is at work for nothing: {allocated} allocations"
    );
    busy.end();
    assert_eq!((first.join().unwrap(), second.join().unwrap()), (1, 2));
    assert_eq!((a.available(), b.available()), (2, 2));
}
