//! Eight producers of ten thousand tasks each before one gate, with all that may happen to them.

use crate::gate_kit::{Kind, SECOND, pool_on, until};
use crate::stress::{EXPECTED, Rng, silence};
use millhand::limit::Lanes;
use millhand::testing::ManualClock;
use millhand::{RateLimiter, Retry, Semaphore};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

/// What a producer's tasks come to, and what is done to them.
fn crowd(kind: Kind) {
    const PRODUCERS: usize = 8;
    const EACH: usize = 10_000;
    silence();
    let clock = ManualClock::new();
    let pool = pool_on(&clock, 2);
    let semaphore = Semaphore::new(3).unwrap();
    let lanes = Lanes::new();
    // Wide enough to pass thousands at each turn of the clock.
    let bucket = RateLimiter::token_bucket(1_000, SECOND)
        .burst(1_000)
        .clock(&clock);
    let window = RateLimiter::sliding_window(1_000, SECOND).clock(&clock);
    let (bucket, window) = (bucket.build().unwrap(), window.build().unwrap());
    let retired = AtomicUsize::new(0);
    std::thread::scope(|s| {
        for producer in 0..PRODUCERS {
            let (pool, semaphore, lanes, bucket, window) =
                (&pool, &semaphore, &lanes, &bucket, &window);
            let retired = &retired;
            s.spawn(move || {
                let mut rng = Rng(producer as u64 + 1);
                for n in 0..EACH {
                    let task = match kind {
                        Kind::Bucket => pool.task().gate(bucket),
                        Kind::Window => pool.task().gate(window),
                        Kind::Semaphore => pool.task().gate(semaphore),
                        Kind::Lane => pool.task().gate(&lanes.key(rng.below(5))),
                    };
                    match rng.below(16) {
                        0 => {
                            // Its panic is read by nobody.
                            drop(task.submit(|| panic!("{EXPECTED}")));
                        }
                        1 => drop(task.submit(move || n).cancel_on_drop()),
                        2 => {
                            let handle = task.submit(move || n);
                            (0..rng.below(300)).for_each(|_| std::hint::spin_loop());
                            handle.cancel();
                        }
                        3 => {
                            let mut left = 2;
                            let task = task.retry(Retry::fixed(3, Duration::ZERO));
                            task.execute_ok(move || {
                                left -= 1;
                                if left > 0 { Err("again") } else { Ok(()) }
                            });
                        }
                        _ => task.execute(|| ()),
                    }
                }
                retired.fetch_add(1, SeqCst);
            });
        }
        until("all have been submitted", || {
            clock.advance(SECOND);
            std::thread::yield_now();
            retired.load(SeqCst) == PRODUCERS
        });
    });
    until("all have run", || {
        clock.advance(SECOND);
        pool.wait_idle_timeout(Duration::ZERO).unwrap()
    });
    clock.advance(SECOND);
    assert_eq!((semaphore.available(), semaphore.waiting()), (3, 0));
    for limiter in [bucket, window] {
        assert_eq!((limiter.available(), limiter.waiting()), (1_000, 0));
    }
    for key in 0..5 {
        assert_eq!(lanes.key(key).waiting(), 0);
        let next = pool.task().gate(&lanes.key(key)).submit(|| 7);
        assert_eq!(next.join().unwrap(), 7);
    }
}

#[test]
fn nothing_is_out_after_a_crowd_at_a_token_bucket() {
    crowd(Kind::Bucket);
}

#[test]
fn nothing_is_out_after_a_crowd_at_a_sliding_window() {
    crowd(Kind::Window);
}

#[test]
fn nothing_is_out_after_a_crowd_at_a_semaphore() {
    crowd(Kind::Semaphore);
}

#[test]
fn nothing_is_out_after_a_crowd_at_lanes() {
    crowd(Kind::Lane);
}
