//! Rate limiters: who starts when, to the nanosecond, on the manual clock.

use crate::gate_kit::{Busy, NANO, SECOND, apart, line_up, millis, pool_on, until};
use crate::support::must_recv;
use millhand::testing::ManualClock;
use millhand::{RateLimiter, Retry};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

/// `n` a second and as many at once, of either algorithm.
fn both(clock: &ManualClock, n: u32) -> [RateLimiter; 2] {
    let clock = &clock.clock();
    let bucket = RateLimiter::token_bucket(n, SECOND).burst(n).clock(clock);
    let window = RateLimiter::sliding_window(n, SECOND).clock(clock);
    [bucket.build().unwrap(), window.build().unwrap()]
}

/// Who starts when: the limiters, and the milliseconds at which one after the other passes who all come at once.
fn timetables(clock: &ManualClock) -> Vec<(RateLimiter, Vec<u64>)> {
    let clock = &clock.clock();
    let bucket = |rate| {
        RateLimiter::token_bucket(rate, SECOND)
            .burst(1)
            .clock(clock)
    };
    let window = |limit, per| RateLimiter::sliding_window(limit, millis(per)).clock(clock);
    vec![
        (bucket(10).build().unwrap(), vec![0, 100, 200, 300, 400]),
        (
            bucket(10).burst(3).build().unwrap(),
            vec![0, 0, 0, 100, 200, 300],
        ),
        (
            bucket(10).burst(3).initial(1).build().unwrap(),
            vec![0, 100, 200, 300],
        ),
        (bucket(2).initial(0).build().unwrap(), vec![500, 1000, 1500]),
        (
            window(3, 300).build().unwrap(),
            vec![0, 0, 0, 300, 300, 300, 600],
        ),
        (
            window(2, 100).and(3, SECOND).build().unwrap(),
            vec![0, 0, 100, 1000, 1000, 1100, 2000],
        ),
    ]
}

/// Turns the clock from start to start, by way of the last moment before each.
fn drive(
    clock: &ManualClock,
    table: &[u64],
    starts: &Mutex<Vec<Duration>>,
    settled: impl Fn(usize) -> bool,
) {
    let mut now = 0;
    let mut due: Vec<u64> = table.to_vec();
    due.dedup();
    for at in due {
        if at > now {
            clock.advance(millis(at - now) - NANO);
            clock.advance(NANO);
            now = at;
        }
        let started = table.iter().filter(|start| **start <= at).count();
        until("those who may have started", || {
            starts.lock().unwrap().len() >= started && settled(started)
        });
    }
    let expected: Vec<_> = table.iter().map(|at| millis(*at)).collect();
    assert_eq!(*starts.lock().unwrap(), expected);
}

#[test]
fn tasks_start_at_the_exact_instants() {
    for n in 0..timetables(&ManualClock::new()).len() {
        let clock = ManualClock::new();
        let pool = pool_on(&clock, 4);
        let (limiter, table) = timetables(&clock).swap_remove(n);
        let begun = clock.now();
        let starts = Arc::new(Mutex::new(Vec::new()));
        for _ in &table {
            let (clock, starts) = (clock.clone(), starts.clone());
            let body = move || starts.lock().unwrap().push(clock.now() - begun);
            pool.task().gate(&limiter).execute(body);
        }
        let all = table.len();
        drive(&clock, &table, &starts, |started| {
            limiter.waiting() == all - started
        });
        pool.wait_idle().unwrap();
    }
}

#[test]
fn a_thread_passes_by_hand_at_the_exact_instants() {
    for n in 0..timetables(&ManualClock::new()).len() {
        let clock = ManualClock::new();
        let (limiter, table) = timetables(&clock).swap_remove(n);
        let begun = clock.now();
        let starts = Arc::new(Mutex::new(Vec::new()));
        let all = table.len();
        let done = {
            let (clock, starts, limiter) = (clock.clone(), starts.clone(), limiter.clone());
            apart(move || {
                for k in 0..all {
                    let note = || starts.lock().unwrap().push(clock.now() - begun);
                    match k % 3 {
                        0 => limiter.acquire(1).map(|()| note()),
                        1 => limiter.acquire_timeout(1, 10 * SECOND).map(|()| note()),
                        _ => limiter.run(note),
                    }
                    .unwrap();
                }
            })
        };
        drive(&clock, &table, &starts, |started| {
            started == all || limiter.waiting() == 1
        });
        must_recv(&done);
    }
}

#[test]
fn tokens_are_taken_when_a_worker_is_free() {
    let clock = ManualClock::new();
    for limiter in both(&clock, 1) {
        let pool = pool_on(&clock, 1);
        let begun = clock.now();
        let busy = Busy::start(&pool.task());
        let (tell, told) = mpsc::channel();
        for _ in 0..4 {
            let (tell, clock) = (tell.clone(), clock.clone());
            let body = move || tell.send(clock.now() - begun).unwrap();
            pool.task().gate(&limiter).execute(body);
        }
        clock.advance(10 * SECOND);
        assert_eq!(limiter.available(), 1, "queued tasks take nothing");
        busy.end();
        for after in 0..4 {
            assert_eq!(
                must_recv(&told),
                SECOND * (10 + after),
                "the rate holds after a busy spell"
            );
            until("the next is in line", || {
                limiter.waiting() == 3 - after as usize
            });
            clock.advance(SECOND);
        }
    }
}

#[test]
fn a_task_that_is_called_while_its_pool_is_busy_takes_its_token_later() {
    let clock = ManualClock::new();
    for limiter in both(&clock, 1) {
        let pool = pool_on(&clock, 1);
        let begun = clock.now();
        let (tell, told) = mpsc::channel();
        for _ in 0..3 {
            let (tell, clock) = (tell.clone(), clock.clone());
            let body = move || tell.send(clock.now() - begun).unwrap();
            pool.task().gate(&limiter).execute(body);
        }
        assert_eq!(must_recv(&told), Duration::ZERO);
        until("two wait", || limiter.waiting() == 2);
        let busy = Busy::start(&pool.task());
        // Five seconds' worth is not saved up: nobody has started.
        clock.advance(5 * SECOND);
        busy.end();
        assert_eq!(must_recv(&told), 5 * SECOND);
        until("one waits", || limiter.waiting() == 1);
        clock.advance(SECOND - NANO);
        assert!(told.try_recv().is_err());
        clock.advance(NANO);
        assert_eq!(must_recv(&told), 6 * SECOND);
    }
}

#[test]
fn a_cancelled_task_takes_no_token() {
    let clock = ManualClock::new();
    let pool = pool_on(&clock, 1);
    for limiter in both(&clock, 1) {
        limiter.acquire(1).unwrap();
        let tasks = line_up(
            || limiter.waiting(),
            3,
            |n| pool.task().gate(&limiter).submit(move || n),
        );
        tasks[0].cancel();
        tasks[2].cancel();
        assert_eq!(limiter.waiting(), 1);
        clock.advance(SECOND);
        let ends: Vec<_> = tasks.into_iter().map(|task| task.join().ok()).collect();
        assert_eq!(ends, [None, Some(1), None]);
        clock.advance(SECOND);
        assert_eq!((limiter.available(), limiter.waiting()), (1, 0));
    }
}

#[test]
fn every_attempt_is_a_start() {
    let clock = ManualClock::new();
    let pool = pool_on(&clock, 1);
    for limiter in both(&clock, 1) {
        let begun = clock.now();
        let (tell, told) = mpsc::channel();
        let now = clock.clone();
        let task = pool
            .task()
            .gate(&limiter)
            .retry(Retry::fixed(2, Duration::ZERO))
            .submit(move || {
                tell.send(now.now() - begun).unwrap();
                let attempt = millhand::attempt();
                if attempt < 3 {
                    Err(attempt)
                } else {
                    Ok(attempt)
                }
            });
        for n in 0..3 {
            assert_eq!(must_recv(&told), n * SECOND);
            if n < 2 {
                until("the next attempt waits", || limiter.waiting() == 1);
            }
            clock.advance(SECOND);
        }
        assert_eq!(task.join().unwrap(), Ok(3));
    }
}

#[test]
fn one_limiter_in_two_pools_keeps_one_rate_and_one_line() {
    let clock = ManualClock::new();
    // How many have passed after so many half seconds.
    let passed: [fn(usize) -> usize; 2] = [|step| step, |step| step / 2 * 2];
    for (limiter, passed) in both(&clock, 2).into_iter().zip(passed) {
        let pools = [pool_on(&clock, 1), pool_on(&clock, 2)];
        limiter.acquire(2).unwrap();
        let begun = clock.now();
        let (tell, told) = mpsc::channel();
        line_up(
            || limiter.waiting(),
            8,
            |n| {
                let (tell, clock) = (tell.clone(), clock.clone());
                let body = move || tell.send((clock.now() - begun, n)).unwrap();
                pools[n % 2].task().gate(&limiter).execute(body);
            },
        );
        let mut starts = Vec::new();
        for step in 1..=8 {
            clock.advance(millis(500));
            while starts.len() < passed(step) {
                starts.push(must_recv(&told));
            }
            assert!(limiter.try_acquire(1).is_err());
        }
        starts.sort_unstable();
        let expected = (0..8).map(|n| (1..=8).find(|step| passed(*step) > n).unwrap());
        let expected: Vec<_> = expected
            .enumerate()
            .map(|(n, step)| (millis(500) * step as u32, n))
            .collect();
        assert_eq!(starts, expected);
    }
}

#[test]
fn four_claimants_get_what_the_arithmetic_says_and_none_is_ahead() {
    const CLAIMANTS: usize = 4;
    const STEPS: usize = 2_000;
    let clock = ManualClock::new();
    let per_milli = RateLimiter::token_bucket(1_000, SECOND)
        .burst(1)
        .clock(&clock);
    let window = RateLimiter::sliding_window(1, millis(1)).and(1_000, SECOND);
    let window = window.clock(&clock).build().unwrap();
    for limiter in [per_milli.build().unwrap(), window] {
        limiter.acquire(1).unwrap();
        let accepted = Arc::new([const { AtomicUsize::new(0) }; CLAIMANTS]);
        let stop = Arc::new(AtomicBool::new(false));
        let ended: Vec<_> = (0..CLAIMANTS)
            .map(|me| {
                let (limiter, accepted, stop) = (limiter.clone(), accepted.clone(), stop.clone());
                apart(move || {
                    while !stop.load(SeqCst) {
                        limiter.acquire(1).unwrap();
                        accepted[me].fetch_add(1, SeqCst);
                    }
                })
            })
            .collect();
        let counts = || accepted.each_ref().map(|count| count.load(SeqCst));
        // One each millisecond.
        for step in 0..STEPS {
            until("one more, and all in line again", || {
                counts().iter().sum::<usize>() >= step && limiter.waiting() == CLAIMANTS
            });
            let counts = counts();
            assert_eq!(counts.iter().sum::<usize>(), step);
            let (most, least) = (counts.iter().max(), counts.iter().min());
            assert!(most.unwrap() - least.unwrap() <= 1, "{counts:?}");
            clock.advance(millis(1));
        }
        stop.store(true, SeqCst);
        for ended in ended {
            while ended.try_recv().is_err() {
                clock.advance(millis(1));
                std::thread::yield_now();
            }
        }
    }
}
