//! Faults of time: what waited for a clock that no thread turned, and what a turn of a clock did not
//! wait for.

use crate::manual::{HOUR, S};
use crate::support::must_recv;
use millhand::schedule::Missed;
use millhand::task::TaskState;
use millhand::testing::ManualClock;
use millhand::{
    CancelToken, Every, RateLimiter, Retry, Semaphore, ThreadPool, blocking, current, promise,
    sleep,
};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::thread;

fn pool_on(clock: &ManualClock, workers: usize) -> ThreadPool {
    let builder = ThreadPool::builder().workers(workers).clock(clock);
    builder.build().unwrap()
}

fn add(sum: &AtomicUsize, more: usize) {
    sum.fetch_add(more, SeqCst);
}

// A pool that is dropped while its thread panics.

/// Runs what panics on a thread of its own. Returns what that thread sends when it has unwound.
fn unwinds(f: impl FnOnce() + Send + 'static) -> mpsc::Receiver<()> {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let unwound = catch_unwind(AssertUnwindSafe(f));
        assert!(unwound.is_err());
        let _ = tell.send(());
    });
    told
}

/// The failing assertion of a test.
fn fails() {
    resume_unwind(Box::new("an assertion"));
}

#[test]
fn a_failing_test_waited_for_a_body_that_sleeps_on_its_clock() {
    let (tell, told) = mpsc::channel();
    let ended = unwinds(move || {
        let clock = ManualClock::new();
        let pool = pool_on(&clock, 1);
        let sleeper = pool.submit(move || tell.send(sleep(HOUR).is_err()));
        let queued = pool.submit(|| ());
        clock.wait_idle();
        drop((sleeper, queued));
        fails();
    });
    must_recv(&ended);
    assert!(must_recv(&told), "the body was asked to stop");
}

#[test]
fn a_failing_test_waited_for_all_that_its_clock_would_have_set_off() {
    let ended = unwinds(|| {
        let clock = ManualClock::new();
        let pool = pool_on(&clock, 2);
        let other = pool_on(&clock, 1);
        let limiter = RateLimiter::token_bucket(1, HOUR).clock(&clock);
        let limiter = limiter.build().unwrap();
        let semaphore = Semaphore::new(1).unwrap();
        let permit = semaphore.try_acquire().unwrap();
        for _ in 0..3 {
            drop(pool.task().gate(&limiter).submit(|| ()));
        }
        drop(pool.task().gate(&semaphore).submit(|| ()));
        drop(pool.task().delay(HOUR).submit(|| ()));
        let retry = pool.task().retry(Retry::fixed(9, HOUR));
        drop(retry.submit(|| Err::<(), _>("no")));
        let _ = pool.task().every(Every::new(HOUR)).run(|| ()).unwrap();
        let reference = other.handle();
        // A body that joins a task of another pool, which sleeps.
        drop(pool.submit(move || reference.submit(|| sleep(HOUR)).join()));
        clock.wait_idle();
        fails();
        drop(permit);
    });
    must_recv(&ended);
}

#[test]
fn a_failing_test_waited_for_a_body_that_does_not_hear() {
    let (hold, held) = mpsc::channel::<()>();
    let (tell, told) = mpsc::channel();
    let ran = Arc::new(AtomicUsize::new(0));
    let runs = ran.clone();
    let ended = unwinds(move || {
        let pool = ThreadPool::new(1).unwrap();
        pool.execute(move || {
            tell.send(()).unwrap();
            let _ = held.recv();
        });
        must_recv(&told);
        pool.execute(move || add(&runs, 1));
        fails();
    });
    must_recv(&ended);
    drop(hold);
    assert_eq!(ran.load(SeqCst), 0, "it was cancelled, and not run");
}

#[test]
fn a_failing_test_waited_for_the_scope_of_a_sleeping_task() {
    let ended = unwinds(|| {
        let clock = ManualClock::new();
        let pool = pool_on(&clock, 1);
        let text = "borrowed".to_owned();
        pool.scope(|s| {
            drop(s.submit(|| sleep(HOUR).map(|()| text.len())));
            clock.wait_idle();
            fails();
        });
    });
    must_recv(&ended);
}

#[test]
fn a_body_that_panics_waited_for_the_pool_that_it_owns() {
    let pool = ThreadPool::new(1).unwrap();
    let task = pool.submit(|| {
        let clock = ManualClock::new();
        let inner = pool_on(&clock, 1);
        drop(inner.submit(|| sleep(HOUR)));
        clock.wait_idle();
        fails();
    });
    assert!(task.join().is_err());
}

#[cfg(feature = "simulation")]
#[test]
fn a_failing_test_waited_for_its_simulation() {
    let ended = unwinds(|| {
        let (pool, simulation) = ThreadPool::simulated(7);
        let (kept, never) = promise::<()>();
        let never = never.share();
        drop(pool.submit(|| sleep(HOUR)));
        drop(pool.submit(move || never.wait().is_ok()));
        let deaf = CancelToken::new();
        drop(pool.submit(move || crate::support::wait_deafly(&deaf)));
        drop(pool.task().delay(HOUR).submit(|| ()));
        simulation.run_until_idle();
        fails();
        drop(kept);
    });
    must_recv(&ended);
}

#[test]
fn a_pool_that_is_dropped_in_peace_still_drains() {
    let ran = Arc::new(AtomicUsize::new(0));
    let pool = ThreadPool::new(1).unwrap();
    for _ in 0..100 {
        let ran = ran.clone();
        pool.execute(move || add(&ran, 1));
    }
    drop(pool);
    assert_eq!(ran.load(SeqCst), 100);
}

// What `advance` and `wait_idle` wait for.

#[test]
fn advance_returned_before_what_was_due_was_handed_on() {
    for round in 0..300_u32 {
        let clock = ManualClock::new();
        let pool = pool_on(&clock, 1);
        let schedule = pool.task().every(Every::new(S)).run(|| ()).unwrap();
        let delayed = pool.task().delay(S).submit(|| ());
        let expires = pool.task().delay(HOUR).expires(S).submit(|| ());
        let token = CancelToken::with_clock(clock.clock()).child_with_timeout(S);
        let (tell, told) = mpsc::channel();
        let _hook = token.on_cancel(move |_| tell.send(()).unwrap());
        // Not always, so that the timer has seen it and so that it has not.
        if round % 2 == 0 {
            clock.wait_idle();
        }
        clock.advance(S);
        assert_eq!(schedule.counts().runs, 1);
        assert!(!matches!(delayed.state(), TaskState::Delayed { .. }));
        assert_eq!(told.try_recv(), Ok(()));
        drop(expires);
    }
}

#[test]
fn what_a_turn_of_the_clock_set_off_could_not_be_waited_for() {
    for workers in [1, 3] {
        for _ in 0..100 {
            let clock = ManualClock::new();
            let pool = pool_on(&clock, workers);
            let ran = Arc::new(AtomicUsize::new(0));
            let rule = Every::new(S).missed(Missed::CatchUp(9));
            let runs = ran.clone();
            let schedule = pool.task().every(rule).run(move || add(&runs, 1));
            let schedule = schedule.unwrap();
            let again = pool.task().retry(Retry::fixed(9, S));
            let mut attempts = 0;
            let retried = again.submit(move || {
                attempts += 1;
                (attempts == 4).then_some(attempts).ok_or("not yet")
            });
            let far = pool.task().delay(HOUR).submit(|| ());
            let runs = ran.clone();
            // A body that sleeps again and again, with a child that runs meanwhile.
            let sleeper = pool.submit(move || {
                for _ in 0..3 {
                    sleep(S).unwrap();
                    let runs = runs.clone();
                    let child = current().unwrap().pool().submit(move || add(&runs, 100));
                    child.join().unwrap();
                }
            });
            for second in 1..=3 {
                clock.wait_idle();
                clock.advance(S);
                clock.wait_idle();
                assert_eq!(schedule.counts().runs, second as u64);
                assert_eq!(schedule.counts().running, 0);
                assert_eq!(ran.load(SeqCst), 101 * second);
            }
            assert!(sleeper.is_finished());
            assert_eq!(retried.join().unwrap(), Ok(4));
            assert!(!far.is_finished());
        }
    }
}

#[test]
fn wait_idle_leaves_what_waits_alone() {
    let clock = ManualClock::new();
    let builder = ThreadPool::builder().workers(1).max_threads(1);
    let pool = builder.clock(&clock).build().unwrap();
    let (kept, never) = promise::<()>();
    let (hold, held) = mpsc::channel::<()>();
    let never = never.share();
    let waits = pool.submit(move || blocking(|| held.recv()).is_err());
    // There is no thread for these.
    let queued = pool.submit(|| ());
    let continued = pool.task().submit_after((never,), |_| ());
    let semaphore = Semaphore::new(1).unwrap();
    let permit = semaphore.try_acquire().unwrap();
    let gated = pool.task().gate(&semaphore).submit(|| ());
    clock.wait_idle();
    assert!(!waits.is_finished() && !queued.is_finished());
    drop((permit, kept, hold));
    assert!(waits.join().unwrap());
    queued.join().unwrap();
    gated.join().unwrap();
    clock.wait_idle();
    assert!(continued.is_finished());
}

#[test]
fn wait_idle_waits_for_all_pools_of_the_clock_and_the_threads_at_a_gate() {
    for _ in 0..100 {
        let clock = ManualClock::new();
        let (front, back) = (pool_on(&clock, 1), pool_on(&clock, 2));
        let limiter = RateLimiter::token_bucket(1, S).clock(&clock);
        let limiter = limiter.build().unwrap();
        limiter.try_acquire(1).unwrap();
        let done = Arc::new(AtomicUsize::new(0));
        let back_pool = back.handle();
        for _ in 0..3 {
            let (done, limiter, back_pool) = (done.clone(), limiter.clone(), back_pool.clone());
            let body = move || {
                limiter.acquire(1).unwrap();
                back_pool
                    .submit(move || done.fetch_add(1, SeqCst))
                    .join()
                    .unwrap();
            };
            front.execute(body);
        }
        for second in 1..=3 {
            clock.wait_idle();
            clock.advance(S);
            clock.wait_idle();
            assert_eq!(done.load(SeqCst), second);
        }
    }
}

#[test]
fn a_body_may_wait_for_the_others_to_be_idle() {
    let clock = ManualClock::new();
    let pool = pool_on(&clock, 2);
    let other = pool.submit(|| sleep(S));
    let body = pool.submit(move || {
        clock.wait_idle();
        clock.advance(S);
        clock.wait_idle();
        other.is_finished()
    });
    assert!(body.join().unwrap());
}

#[test]
fn a_turn_of_the_clock_returned_before_the_timer_had_seen_it() {
    let clock = ManualClock::new();
    let pool = ThreadPool::builder()
        .workers(1)
        .clock(&clock)
        .build()
        .unwrap();
    let is_over = AtomicBool::new(false);
    thread::scope(|s| {
        // The timer is seldom at rest.
        s.spawn(|| {
            let later = pool.task().delay(HOUR);
            while !is_over.load(SeqCst) {
                later.submit(|| ()).cancel();
            }
        });
        let soon = pool.task().delay(S);
        for _ in 0..20_000 {
            let task = soon.submit(|| ());
            clock.advance(S);
            let state = task.state();
            if matches!(state, TaskState::Delayed { .. }) {
                is_over.store(true, SeqCst);
            }
            assert!(!matches!(state, TaskState::Delayed { .. }), "{state:?}");
        }
        is_over.store(true, SeqCst);
    });
}
