//! Rate limiters, waited for inside tasks, changed at run time, and shared.

use crate::gate_kit::{HOUR, NANO, SECOND, apart, line_up, pool_on, until};
use crate::support::must_recv;
use millhand::cancel::CancelReason;
use millhand::error::Rejection;
use millhand::limit::{AcquireError, LimitError};
use millhand::testing::{Clock, ManualClock};
use millhand::{RateLimiter, Shutdown, TaskError, ThreadPool};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc;
use std::time::Duration;

fn limiters(clock: &ManualClock, n: u32, per: Duration) -> [RateLimiter; 2] {
    let clock = &clock.clock();
    [
        RateLimiter::token_bucket(n, per)
            .burst(n)
            .clock(clock)
            .build()
            .unwrap(),
        RateLimiter::sliding_window(n, per)
            .clock(clock)
            .build()
            .unwrap(),
    ]
}

/// One an hour, and that one is taken.
fn exhausted(clock: &ManualClock) -> [RateLimiter; 2] {
    let limiters = limiters(clock, 1, HOUR);
    limiters.iter().for_each(|one| one.acquire(1).unwrap());
    limiters
}

#[test]
fn a_body_that_waits_gives_its_seat_up() {
    for n in 0..2 {
        let clock = ManualClock::new();
        let pool = pool_on(&clock, 1);
        let limiter = exhausted(&clock)[n].clone();
        for how in 0..3 {
            let inside = limiter.clone();
            let waits = pool.submit(move || match how {
                0 => inside.acquire(1),
                1 => inside.acquire_timeout(1, 2 * HOUR),
                _ => inside.run(|| ()),
            });
            until("it waits", || limiter.waiting() == 1);
            for n in 0..10 {
                assert_eq!(
                    pool.submit(move || n).join().unwrap(),
                    n,
                    "the only worker goes on"
                );
            }
            clock.advance(HOUR);
            assert_eq!(waits.join().unwrap(), Ok(()));
        }
    }
}

#[test]
fn a_body_that_waits_stops_when_asked_to_and_leaves_the_line() {
    type End = fn(&ManualClock, &millhand::TaskHandle<Result<(), AcquireError>>);
    let cancel: End = |_, task| {
        task.cancel();
    };
    let turn: End = |clock, _| clock.advance(SECOND);
    for n in 0..2 {
        let clock = ManualClock::new();
        let pool = pool_on(&clock, 1);
        let limiter = exhausted(&clock)[n].clone();
        for (name, task, end, reason) in [
            ("cancel", pool.task(), cancel, CancelReason::User),
            (
                "attempt",
                pool.task().attempt_timeout(SECOND),
                turn,
                CancelReason::Deadline,
            ),
            (
                "total",
                pool.task().deadline(SECOND),
                turn,
                CancelReason::Deadline,
            ),
        ] {
            let behind = line_up(
                || limiter.waiting(),
                1,
                |_| {
                    let limiter = limiter.clone();
                    apart(move || limiter.acquire_timeout(1, HOUR))
                },
            );
            let (tell, told) = mpsc::channel();
            let inside = limiter.clone();
            let waits = task.submit(move || {
                let answer = inside.acquire(1);
                tell.send(answer).unwrap();
                answer
            });
            until("it waits", || limiter.waiting() == 2);
            end(&clock, &waits);
            let answer = must_recv(&told);
            assert_eq!(answer, Err(AcquireError::Stopped(reason)), "{name}");
            assert_eq!(limiter.waiting(), 1, "{name}: it has left the line");
            clock.advance(HOUR);
            assert_eq!(must_recv(&behind[0]), Ok(()), "{name}: the line goes on");
        }
        assert_eq!(pool.submit(|| 7).join().unwrap(), 7);
    }
}

#[test]
fn a_body_that_was_asked_to_stop_before_does_not_wait() {
    let clock = ManualClock::new();
    let pool = pool_on(&clock, 1);
    for limiter in exhausted(&clock) {
        let inside = limiter.clone();
        let task = pool.submit(move || {
            while !millhand::is_cancelled() {
                std::hint::spin_loop();
            }
            let ran = AtomicBool::new(false);
            let around = inside.run(|| ran.store(true, SeqCst));
            assert!(!ran.load(SeqCst));
            (inside.acquire(1), around)
        });
        task.cancel();
        let stopped = Err(AcquireError::Stopped(CancelReason::User));
        if let Ok(answers) = task.join() {
            assert_eq!(answers, (stopped, stopped));
        }
        assert_eq!(limiter.waiting(), 0);
    }
}

#[test]
fn a_shutdown_that_cancels_ends_a_wait_inside_a_task() {
    let clock = ManualClock::new();
    for limiter in exhausted(&clock) {
        let pool = pool_on(&clock, 2);
        let inside = limiter.clone();
        let waits = pool.submit(move || inside.acquire(1));
        until("it waits", || limiter.waiting() == 1);
        pool.shutdown(Shutdown::cancel()).unwrap();
        let stopped = Err(AcquireError::Stopped(CancelReason::Shutdown));
        assert_eq!(waits.join().unwrap(), stopped);
        assert_eq!(limiter.waiting(), 0);
    }
}

#[test]
fn a_new_rate_reschedules_whoever_waits() {
    let clock = ManualClock::new();
    let pool = pool_on(&clock, 1);
    for is_task in [false, true] {
        let [limiter, _] = exhausted(&clock);
        let passed = {
            let (limiter, clock) = (limiter.clone(), clock.clone());
            let (tell, told) = mpsc::channel();
            let body = move || tell.send(clock.now()).unwrap();
            if is_task {
                pool.task().gate(&limiter).execute(body);
            } else {
                apart(move || limiter.run(body).unwrap());
            }
            told
        };
        until("it waits", || limiter.waiting() == 1);
        let begun = clock.now();
        // Half of the token has come, and stays.
        clock.advance(HOUR / 2);
        limiter.set_rate(1, 2 * SECOND).unwrap();
        clock.advance(SECOND - NANO);
        assert_eq!(limiter.waiting(), 1);
        clock.advance(NANO);
        assert_eq!(must_recv(&passed), begun + HOUR / 2 + SECOND);
        // A slower one holds it back, a fast one lets it pass there and then.
        let late = {
            let limiter = limiter.clone();
            apart(move || limiter.acquire(1))
        };
        until("it waits", || limiter.waiting() == 1);
        limiter.set_rate(1, HOUR).unwrap();
        clock.advance(10 * SECOND);
        assert_eq!(limiter.waiting(), 1, "a slower rate holds it back");
        clock.advance(HOUR);
        assert_eq!(must_recv(&late), Ok(()));
    }
}

#[test]
fn a_new_rate_is_not_lost_on_one_who_joins_the_line_just_now() {
    let clock = ManualClock::new();
    let [limiter, _] = exhausted(&clock);
    let (ask, asked) = mpsc::channel::<()>();
    let by_hand = limiter.clone();
    let passed = {
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            while asked.recv().is_ok() {
                tell.send(by_hand.acquire(1)).unwrap();
            }
        });
        told
    };
    for _ in 0..2_000 {
        limiter.set_rate(1, HOUR).unwrap();
        ask.send(()).unwrap();
        while limiter.waiting() == 0 {
            std::hint::spin_loop();
        }
        limiter.set_rate(1, SECOND).unwrap();
        clock.advance(SECOND);
        assert_eq!(must_recv(&passed), Ok(()));
    }
}

#[test]
fn a_rate_that_makes_no_sense_changes_nothing() {
    let clock = ManualClock::new();
    let [bucket, window] = limiters(&clock, 1, SECOND);
    bucket.acquire(1).unwrap();
    for (rate, per, named) in [(0, SECOND, "rate"), (1, Duration::ZERO, "per")] {
        let refused = bucket.set_rate(rate, per);
        assert!(matches!(refused, Err(LimitError::Invalid { option, .. }) if option == named));
    }
    let refused = window.set_rate(5, SECOND);
    assert!(matches!(
        refused,
        Err(LimitError::Invalid {
            option: "set_rate",
            ..
        })
    ));
    let wait = Some(SECOND);
    assert_eq!(bucket.try_acquire(1), Err(AcquireError::NotYet { wait }));
    assert_eq!(window.available(), 1);
}

#[test]
fn weights_count_for_tasks_as_they_do_by_hand() {
    let clock = ManualClock::new();
    let pool = pool_on(&clock, 3);
    for limiter in limiters(&clock, 3, SECOND) {
        let two = pool.task().gate(&limiter.weight(2).unwrap());
        let one = pool.task().gate(&limiter);
        two.submit(|| ()).join().unwrap();
        assert_eq!(limiter.available(), 1);
        let heavy = two.submit(|| "heavy");
        until("the heavy one waits", || limiter.waiting() == 1);
        let light = one.submit(|| "light");
        until("the light one waits behind it", || limiter.waiting() == 2);
        assert_eq!(limiter.available(), 1);
        clock.advance(SECOND);
        assert_eq!(
            (heavy.join().unwrap(), light.join().unwrap()),
            ("heavy", "light")
        );
        assert_eq!((limiter.available(), limiter.waiting()), (0, 0));
        clock.advance(SECOND);
    }
}

#[test]
fn a_limiter_that_goes_by_another_clock_is_refused() {
    let manual = ManualClock::new();
    let (mine, other) = (manual.clock(), ManualClock::new().clock());
    let bucket = RateLimiter::token_bucket(9, SECOND).burst(9).clock(&mine);
    let window = RateLimiter::sliding_window(9, SECOND).clock(&mine);
    for limiter in [
        bucket.build().unwrap(),
        window.build().unwrap(),
        RateLimiter::keyed(window).unwrap().key("k"),
    ] {
        for (clock, is_refused) in [(&mine, false), (&other, true), (&Clock::system(), true)] {
            let pool = ThreadPool::builder().workers(1).clock(clock);
            let pool = pool.build().unwrap();
            let plain = pool.task().gate(&limiter);
            let heavy = pool.task().gate(&limiter.weight(2).unwrap());
            for task in [plain, heavy] {
                let error = task.try_execute(|| ()).err();
                let reason = error.map(|error| error.reason());
                let mistake = reason.map(|reason| match reason {
                    Rejection::Invalid(mistake) => mistake.option(),
                    other => panic!("{other}"),
                });
                assert_eq!(mistake, is_refused.then_some("gate"));
            }
            pool.wait_idle().unwrap();
        }
        assert_eq!((limiter.available(), limiter.waiting()), (6, 0));
    }
    let pool = pool_on(&manual, 1);
    let foreign = RateLimiter::token_bucket(1, SECOND)
        .burst(1)
        .build()
        .unwrap();
    let end = pool.task().gate(&foreign).submit(|| ()).join();
    match end {
        Err(TaskError::Rejected(Rejection::Invalid(mistake))) => {
            assert_eq!(mistake.option(), "gate");
        }
        other => panic!("{other:?}"),
    }
}
