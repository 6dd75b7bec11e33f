//! Rate limiters: exact on the manual clock, by hand and before tasks.

use crate::gate_kit::{Busy, HOUR, NANO, SECOND, apart, line_up, millis, pool_on, until};
use crate::support::must_recv;
use millhand::RateLimiter;
use millhand::limit::{AcquireError, LimitError};
use millhand::testing::ManualClock;
use std::sync::mpsc;
use std::time::Duration;

type Acquired = Result<(), AcquireError>;

fn not_yet(wait: Duration) -> Acquired {
    Err(AcquireError::NotYet { wait: Some(wait) })
}

fn bucket(clock: &ManualClock, rate: u32, per: Duration) -> RateLimiter {
    let bucket = RateLimiter::token_bucket(rate, per).burst(1);
    bucket.clock(clock).build().unwrap()
}

fn window(clock: &ManualClock, limit: u32, per: Duration) -> RateLimiter {
    let window = RateLimiter::sliding_window(limit, per);
    window.clock(clock).build().unwrap()
}

/// One a second, of either algorithm.
fn both(clock: &ManualClock) -> [RateLimiter; 2] {
    [bucket(clock, 1, SECOND), window(clock, 1, SECOND)]
}

#[test]
fn what_is_asked_without_waiting_is_answered_exactly_and_leaves_no_trace() {
    let clock = ManualClock::new();
    let bucket = RateLimiter::token_bucket(10, SECOND).burst(5);
    let bucket = bucket.clock(&clock).build().unwrap();
    let window = window(&clock, 5, SECOND);
    // Milliseconds to wait before, weight, the answers of both, what is left of both.
    let steps = [
        (0, 0, Ok(()), Ok(()), 5, 5),
        (0, 3, Ok(()), Ok(()), 2, 2),
        (0, 3, not_yet(millis(100)), not_yet(millis(1000)), 2, 2),
        (0, 5, not_yet(millis(300)), not_yet(millis(1000)), 2, 2),
        (50, 3, not_yet(millis(50)), not_yet(millis(950)), 2, 2),
        (50, 3, Ok(()), not_yet(millis(900)), 0, 2),
        (0, 2, not_yet(millis(200)), Ok(()), 0, 0),
        (0, 1, not_yet(millis(100)), not_yet(millis(900)), 0, 0),
        (900, 4, Ok(()), not_yet(millis(100)), 1, 3),
        (100, 4, not_yet(millis(200)), Ok(()), 2, 1),
        (9000, 0, Ok(()), Ok(()), 5, 5),
    ];
    for (n, (wait, weight, of_bucket, of_window, left_b, left_w)) in steps.into_iter().enumerate() {
        clock.advance(millis(wait));
        for (limiter, answer, left) in [(&bucket, of_bucket, left_b), (&window, of_window, left_w)]
        {
            assert_eq!(limiter.try_acquire(weight), answer, "step {n}: {limiter:?}");
            assert_eq!(limiter.available(), left, "step {n}");
            if answer.is_err() {
                let refused = limiter.acquire_timeout(weight, Duration::ZERO);
                assert_eq!(refused, answer, "step {n}: without a trace");
                assert_eq!(limiter.available(), left, "step {n}: without a trace");
            }
        }
    }
    assert_eq!((bucket.waiting(), window.waiting()), (0, 0));
}

#[test]
fn what_never_passes_is_an_error_at_once_even_behind_a_line() {
    let clock = ManualClock::new();
    for limiter in [
        window(&clock, 3, SECOND),
        RateLimiter::token_bucket(100, SECOND)
            .burst(3)
            .clock(&clock)
            .build()
            .unwrap(),
    ] {
        for waits in [false, true] {
            let heavy = Err(AcquireError::TooHeavy {
                weight: 4,
                limit: 3,
            });
            let waiting = waits.then(|| {
                limiter.acquire(3).unwrap();
                let behind = limiter.clone();
                line_up(
                    || limiter.waiting(),
                    1,
                    |_| {
                        let behind = behind.clone();
                        apart(move || behind.acquire(3))
                    },
                )
            });
            assert_eq!(limiter.try_acquire(4), heavy);
            assert_eq!(limiter.acquire(4), heavy);
            assert_eq!(limiter.acquire_timeout(4, HOUR), heavy);
            let weight = limiter.weight(4).unwrap_err();
            assert_eq!(
                weight,
                LimitError::TooHeavy {
                    weight: 4,
                    limit: 3
                }
            );
            let none = limiter.weight(0).unwrap_err();
            assert!(matches!(
                none,
                LimitError::Invalid {
                    option: "weight",
                    ..
                }
            ));
            clock.advance(SECOND);
            for waiting in waiting.into_iter().flatten() {
                assert_eq!(must_recv(&waiting), Ok(()));
            }
        }
        assert_eq!(limiter.waiting(), 0);
    }
}

#[test]
fn what_cannot_come_in_time_is_refused_at_once() {
    let clock = ManualClock::new();
    for limiter in both(&clock) {
        limiter.acquire(1).unwrap();
        let refused = limiter.acquire_timeout(1, SECOND - NANO);
        assert_eq!(refused, not_yet(SECOND), "{limiter:?}");
        let fits = {
            let limiter = limiter.clone();
            line_up(
                || limiter.waiting(),
                1,
                |_| {
                    let limiter = limiter.clone();
                    apart(move || limiter.acquire_timeout(1, SECOND))
                },
            )
        };
        clock.advance(SECOND);
        assert_eq!(must_recv(&fits[0]), Ok(()));
    }
}

#[test]
fn what_cannot_come_in_time_behind_others_is_refused_at_once_too() {
    const AHEAD: usize = 3;
    let clock = ManualClock::new();
    for limiter in both(&clock) {
        limiter.acquire(1).unwrap();
        let ahead = line_up(
            || limiter.waiting(),
            AHEAD,
            |_| {
                let limiter = limiter.clone();
                apart(move || limiter.acquire(1))
            },
        );
        // Its turn would come after four seconds.
        let answer = not_yet(4 * SECOND);
        let tried = limiter.try_acquire(1);
        let late = {
            let limiter = limiter.clone();
            apart(move || limiter.acquire_timeout(1, 4 * SECOND - NANO))
        };
        let mut refused = None;
        until("it is refused, or waits", || {
            refused = refused.or_else(|| late.try_recv().ok());
            refused.is_some() || limiter.waiting() > AHEAD
        });
        for ahead in ahead {
            clock.advance(SECOND);
            assert_eq!(must_recv(&ahead), Ok(()));
        }
        clock.advance(SECOND);
        assert_eq!(tried, answer, "{limiter:?}");
        assert_eq!(refused, Some(answer), "{limiter:?}: refused at once");
    }
}

#[test]
fn a_wait_is_given_up_at_its_deadline_and_not_before() {
    let clock = ManualClock::new();
    let limiter = bucket(&clock, 1, SECOND);
    limiter.acquire(1).unwrap();
    let waits = line_up(
        || limiter.waiting(),
        1,
        |_| {
            let limiter = limiter.clone();
            apart(move || limiter.acquire_timeout(1, 2 * SECOND))
        },
    );
    // It would have fitted; now it does not any more.
    limiter.set_rate(1, HOUR).unwrap();
    clock.advance(2 * SECOND - NANO);
    assert_eq!(limiter.waiting(), 1);
    assert!(waits[0].try_recv().is_err());
    clock.advance(NANO);
    assert_eq!(must_recv(&waits[0]), not_yet(HOUR - 2 * SECOND));
    assert_eq!((limiter.waiting(), limiter.available()), (0, 0));
    clock.advance(HOUR - 2 * SECOND);
    assert_eq!(limiter.try_acquire(1), Ok(()), "it has taken nothing");
}

#[test]
fn whose_turn_comes_at_the_deadline_passes_also_behind_another() {
    for _ in 0..200 {
        let clock = ManualClock::new();
        let limiter = window(&clock, 2, SECOND);
        limiter.acquire(2).unwrap();
        // Both pass when the second is over.
        let both = line_up(
            || limiter.waiting(),
            2,
            |_| {
                let limiter = limiter.clone();
                apart(move || limiter.acquire_timeout(1, SECOND))
            },
        );
        clock.advance(SECOND);
        for (n, passed) in both.iter().enumerate() {
            assert_eq!(must_recv(passed), Ok(()), "number {n}");
        }
    }
}

#[test]
fn a_heavy_head_is_not_overtaken_by_light_ones() {
    let clock = ManualClock::new();
    let slow = RateLimiter::token_bucket(1, SECOND).burst(4);
    let slow = slow.clock(&clock).build().unwrap();
    // How many wait after each second, the heavy one and two light ones.
    let tables = [
        (window(&clock, 4, SECOND), vec![2, 0]),
        (slow, vec![3, 3, 2, 1, 0]),
    ];
    for (limiter, table) in tables {
        limiter.acquire(3).unwrap();
        let (tell, told) = mpsc::channel();
        line_up(
            || limiter.waiting(),
            3,
            |n| {
                let (limiter, tell) = (limiter.clone(), tell.clone());
                apart(move || {
                    limiter.acquire(if n == 0 { 4 } else { 1 }).unwrap();
                    tell.send(n).unwrap();
                })
            },
        );
        // One is there, and the light ones do not get it.
        assert_eq!(limiter.available(), 1);
        for weight in [1, 4] {
            let refused = limiter.try_acquire(weight);
            assert!(matches!(
                refused,
                Err(AcquireError::NotYet { wait: Some(_) })
            ));
        }
        for waiting in table {
            clock.advance(SECOND);
            until("those whose turn it is pass", || {
                limiter.waiting() == waiting
            });
            if waiting == 2 {
                assert_eq!(must_recv(&told), 0, "the heavy one is first");
            }
        }
        let mut light = [must_recv(&told), must_recv(&told)];
        light.sort_unstable();
        assert_eq!(light, [1, 2]);
    }
}

#[test]
fn those_who_wait_pass_first_in_first_out_whether_threads_or_tasks() {
    let clock = ManualClock::new();
    let pool = pool_on(&clock, 2);
    for limiter in both(&clock) {
        limiter.acquire(1).unwrap();
        let (tell, told) = mpsc::channel();
        line_up(
            || limiter.waiting(),
            6,
            |n| {
                let (tell, by_hand) = (tell.clone(), limiter.clone());
                match n % 2 {
                    0 => drop(apart(move || {
                        by_hand.acquire(1).unwrap();
                        tell.send(n).unwrap();
                    })),
                    _ => {
                        let body = move || tell.send(n).unwrap();
                        pool.task().gate(&limiter).execute(body);
                    }
                }
            },
        );
        for n in 0..6 {
            assert!(limiter.try_acquire(1).is_err());
            clock.advance(SECOND);
            assert_eq!(must_recv(&told), n);
        }
    }
}

#[test]
fn a_free_token_goes_to_who_waits_and_not_to_who_tries() {
    let clock = ManualClock::new();
    for limiter in both(&clock) {
        let pool = pool_on(&clock, 1);
        limiter.acquire(1).unwrap();
        let waits = pool.task().gate(&limiter).submit(|| ());
        until("it waits", || limiter.waiting() == 1);
        let busy = Busy::start(&pool.task());
        clock.advance(10 * SECOND);
        // It is called, but no worker is free: the token is reserved.
        until("it is called", || limiter.available() == 0);
        assert!(limiter.try_acquire(1).is_err());
        assert_eq!(limiter.waiting(), 1);
        busy.end();
        waits.join().unwrap();
        assert_eq!(limiter.waiting(), 0);
    }
}
