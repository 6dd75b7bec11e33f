//! The side lanes of the run queue with many workers: nothing is lost, nothing runs twice, whatever comes in between.

use crate::priority::until;
use crate::stress::Rng;
use crate::submit::hold;
use crate::support::{LONG, must_recv};
use millhand::testing::ManualClock;
use millhand::{Retry, Shutdown, ThreadPool, current};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, mpsc};
use std::time::Duration;

const PRIORITIES: [i32; 7] = [i32::MIN, -1, 0, 0, 1, 2, i32::MAX];

fn any_priority(random: &mut Rng) -> i32 {
    PRIORITIES[random.next() as usize % PRIORITIES.len()]
}

#[test]
fn all_run_once_on_many_workers() {
    const PRODUCERS: usize = 8;
    const EACH: usize = 300;
    let clock = ManualClock::new();
    let build = ThreadPool::builder().workers(4).clock(&clock);
    let pool = build.build().unwrap();
    let runs: Arc<Vec<_>> = Arc::new((0..PRODUCERS * EACH).map(|_| AtomicUsize::new(0)).collect());
    std::thread::scope(|s| {
        for producer in 0..PRODUCERS {
            let (pool, runs) = (&pool, &runs);
            s.spawn(move || {
                let mut random = Rng(7 + producer as u64);
                for n in producer * EACH..(producer + 1) * EACH {
                    let runs = runs.clone();
                    let count = move || {
                        runs[n].fetch_add(1, SeqCst);
                    };
                    let task = pool.task().priority(any_priority(&mut random));
                    match n % 4 {
                        0 => task.delay(Duration::from_millis(1)).execute(count),
                        1 => {
                            let task = task.retry(Retry::fixed(1, Duration::ZERO));
                            let tried = move || match current().unwrap().attempt() {
                                1 => Err("once more"),
                                _ => {
                                    count();
                                    Ok(())
                                }
                            };
                            task.execute_ok(tried);
                        }
                        _ => task.execute(count),
                    }
                }
            });
        }
    });
    clock.advance(Duration::from_millis(1));
    pool.wait_idle().unwrap();
    assert!(runs.iter().all(|count| count.load(SeqCst) == 1));
    assert_eq!(pool.queued(), 0);
}

#[test]
fn a_broadcast_reaches_every_worker_among_urgent_tasks() {
    const WORKERS: usize = 3;
    let pool = ThreadPool::new(WORKERS).unwrap();
    let mut random = Rng(3);
    for _ in 0..200 {
        let ran = Arc::new(AtomicUsize::new(0));
        let submit = |random: &mut Rng| {
            let ran = ran.clone();
            let task = pool.task().priority(any_priority(random));
            task.execute(move || {
                ran.fetch_add(1, SeqCst);
            });
        };
        (0..20).for_each(|_| submit(&mut random));
        let mail = pool.broadcast(|| current().unwrap().worker()).unwrap();
        (0..20).for_each(|_| submit(&mut random));
        let mut workers: Vec<_> = mail.into_iter().map(|task| task.join().unwrap()).collect();
        workers.sort_unstable();
        assert_eq!(workers, [0, 1, 2]);
        pool.wait_idle().unwrap();
        assert_eq!(ran.load(SeqCst), 40);
    }
}

#[test]
fn workers_come_and_go_while_the_lanes_are_full() {
    let pool = ThreadPool::new(3).unwrap();
    let mut random = Rng(11);
    for round in 0..60 {
        let ran = Arc::new(AtomicUsize::new(0));
        let held = hold(&pool, pool.workers());
        for _ in 0..50 {
            let ran = ran.clone();
            let task = pool.task().priority(any_priority(&mut random));
            task.execute(move || {
                ran.fetch_add(1, SeqCst);
            });
        }
        assert_eq!(pool.queued(), 50, "tasks, and no looks");
        let workers = 1 + (round + 1) % 4;
        pool.set_workers(workers).unwrap();
        held.release();
        pool.set_workers(1 + round % 4).unwrap();
        pool.set_workers(workers).unwrap();
        pool.wait_idle().unwrap();
        assert_eq!(ran.load(SeqCst), 50);
        until("those too many have left", || pool.threads() == workers);
        assert_eq!(pool.queued(), 0);
    }
}

#[test]
fn a_worker_that_leaves_takes_no_urgent_task_s_wake_up_with_it() {
    let pool = ThreadPool::new(2).unwrap();
    let barrier = Barrier::new(2);
    let mut random = Rng(5);
    std::thread::scope(|s| {
        for _ in 0..300 {
            until("two threads", || pool.threads() == 2);
            let wait = random.next() % 200;
            let (pool, barrier) = (&pool, &barrier);
            let submitter = s.spawn(move || {
                barrier.wait();
                (0..wait).for_each(|_| std::hint::spin_loop());
                let task = pool.task().priority(1).submit(|| ());
                task.join_timeout(LONG).expect("it is taken").unwrap();
            });
            barrier.wait();
            pool.set_workers(1).unwrap();
            submitter.join().unwrap();
            until("one leaves", || pool.threads() == 1);
            pool.set_workers(2).unwrap();
        }
    });
}

/// A pool of one worker that is held, with so many tasks of each priority in its queue; the handles' values count.
fn full(
    each: usize,
) -> (
    ThreadPool,
    crate::submit::Held,
    Vec<millhand::TaskHandle<usize>>,
) {
    let pool = ThreadPool::new(1).unwrap();
    let held = hold(&pool, 1);
    let submit = |n: usize| {
        let priority = PRIORITIES[n % PRIORITIES.len()];
        pool.task().priority(priority).submit(move || n)
    };
    let handles = (0..each * PRIORITIES.len()).map(submit).collect();
    (pool, held, handles)
}

#[test]
fn a_drain_finishes_what_lies_in_the_lanes() {
    let (pool, held, handles) = full(10);
    assert_eq!(pool.queued(), 70);
    let report = std::thread::scope(|s| {
        let shutdown = s.spawn(|| pool.shutdown(Shutdown::drain()).unwrap());
        until("it is closed", || pool.is_closed());
        held.release();
        shutdown.join().unwrap()
    });
    assert_eq!((report.succeeded(), report.cancelled()), (71, 0));
    for (n, handle) in handles.into_iter().enumerate() {
        assert_eq!(handle.join().unwrap(), n);
    }
    assert_eq!(pool.queued(), 0);
}

#[test]
fn a_cancelling_shutdown_settles_what_lies_in_the_lanes() {
    let (pool, held, handles) = full(10);
    let report = std::thread::scope(|s| {
        let held = held;
        let shutdown = s.spawn(|| pool.shutdown(Shutdown::cancel()).unwrap());
        until("all are settled", || {
            handles.iter().all(|handle| handle.is_finished())
        });
        held.release();
        shutdown.join().unwrap()
    });
    assert!(handles.into_iter().all(|handle| handle.join().is_err()));
    assert_eq!(
        (report.succeeded(), report.cancelled_by_shutdown()),
        (1, 70)
    );
    assert_eq!(pool.queued(), 0);
}

#[test]
fn a_shutdown_in_the_middle_counts_each_once() {
    let mut random = Rng(17);
    for round in 0..60 {
        let pool = ThreadPool::new(3).unwrap();
        let admitted: u64 = std::thread::scope(|s| {
            let producers: Vec<_> = (0..2)
                .map(|_| {
                    let mut random = Rng(random.next());
                    let pool = &pool;
                    s.spawn(move || {
                        let submit = |_: &u64| {
                            let task = pool.task().priority(any_priority(&mut random));
                            task.try_execute(|| ()).is_ok()
                        };
                        (0..400).take_while(submit).count() as u64
                    })
                })
                .collect();
            let how = [Shutdown::drain(), Shutdown::cancel()][round % 2].clone();
            until("it runs", || {
                pool.queued() > 0 || producers.iter().all(|p| p.is_finished())
            });
            let report = pool.shutdown(how).unwrap();
            let admitted = producers.into_iter().map(|p| p.join().unwrap()).sum();
            assert_eq!(report.succeeded() + report.cancelled(), admitted);
            admitted
        });
        assert!(admitted <= 800);
        assert_eq!(pool.queued(), 0);
    }
}

#[test]
fn a_cancelled_task_in_a_lane_is_gone_and_the_others_run() {
    let (pool, held, handles) = full(6);
    let (cancelled, kept): (Vec<_>, Vec<_>) = handles
        .into_iter()
        .enumerate()
        .partition(|(n, _)| n % 3 == 0);
    for (_, handle) in cancelled {
        handle.cancel();
        assert!(handle.is_finished());
    }
    held.release();
    for (n, handle) in kept {
        assert_eq!(handle.join().unwrap(), n);
    }
    pool.wait_idle().unwrap();
    assert_eq!(pool.queued(), 0);
}

#[test]
fn an_idle_pool_has_nothing_queued_however_many_looks_were_sent() {
    let pool = ThreadPool::new(2).unwrap();
    for n in 0..2000 {
        let task = pool.task().priority(if n % 2 == 0 { 1 } else { -1 });
        (0..3).for_each(|_| task.execute(|| ()));
        pool.wait_idle().unwrap();
        assert_eq!(pool.queued(), 0);
    }
}

#[test]
fn an_urgent_task_is_found_by_a_spare_while_a_body_waits() {
    for priority in [1, -1] {
        let pool = ThreadPool::new(1).unwrap();
        for _ in 0..100 {
            let (send, receive) = mpsc::channel();
            let waiting = pool.submit(move || millhand::blocking(|| must_recv(&receive)));
            let sender = pool
                .task()
                .priority(priority)
                .submit(move || send.send(5).unwrap());
            assert_eq!(waiting.join().unwrap(), 5);
            sender.join().unwrap();
        }
    }
}
