//! Everything timed goes by the pool's clock: turned by hand, an hour takes no time.

use crate::manual::{HOUR, Manual, NS, S, hang, until};
use crate::submit::hold;
use crate::support::must_recv;
use millhand::cancel::CancelReason;
use millhand::error::Rejection;
use millhand::testing::{Clock, ManualClock};
use millhand::{
    CancelToken, RateLimiter, Retry, Semaphore, Shutdown, TaskHandle, ThreadPool, promise,
};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Runs `call`, which takes an hour of this clock, on a thread of its own, and turns the clock on until it has ended. It
/// must not end before: what it looks at is turned by a nanosecond less first.
fn takes_an_hour<T: Send>(clock: &ManualClock, call: impl FnOnce() -> T + Send) -> T {
    thread::scope(|s| {
        let (begin, begun) = mpsc::channel();
        let (end, ended) = mpsc::channel();
        s.spawn(move || {
            begin.send(()).unwrap();
            let _ = end.send(call());
        });
        must_recv(&begun);
        clock.advance(HOUR - NS);
        thread::yield_now();
        assert!(ended.try_recv().is_err(), "too early");
        // It may have begun after the first turn only.
        let mut answer = None;
        until("it has ended", || {
            clock.advance(NS);
            answer = ended.try_recv().ok();
            if answer.is_none() {
                clock.advance(HOUR - NS);
            }
            answer.is_some()
        });
        answer.unwrap()
    })
}

/// A task whose body runs until the guard is dropped.
fn endless(pool: &ThreadPool) -> (TaskHandle<()>, mpsc::Sender<()>) {
    let (go, wait) = mpsc::channel::<()>();
    let (start, started) = mpsc::channel();
    let handle = pool.submit(move || {
        start.send(()).unwrap();
        let _ = wait.recv();
    });
    must_recv(&started);
    (handle, go)
}

#[test]
fn waits_for_a_task_go_by_the_clock_of_its_pool() {
    let pool = Manual::new(1);
    let clock = &pool.clock;
    let (handle, go) = endless(&pool);
    assert!(!takes_an_hour(clock, || handle.wait_timeout(HOUR).unwrap()));
    let handle = takes_an_hour(clock, move || handle.join_timeout(HOUR)).unwrap_err();
    let shared = handle.share();
    assert!(takes_an_hour(clock, || shared.join_timeout(HOUR).is_none()));
    assert!(!takes_an_hour(clock, || shared.wait_timeout(HOUR).unwrap()));
    assert_eq!(
        takes_an_hour(clock, || pool.wait_idle_timeout(HOUR)),
        Ok(false)
    );
    drop(go);
    assert!(shared.wait_timeout(HOUR).unwrap());
    assert_eq!(pool.wait_idle_timeout(HOUR), Ok(true));
}

#[test]
fn a_wait_ends_when_the_task_does_whatever_the_clock_shows() {
    let pool = Manual::new(1);
    let (handle, go) = endless(&pool);
    thread::scope(|s| {
        let waiter = s.spawn(|| handle.wait_timeout(HOUR));
        pool.advance(HOUR - NS);
        drop(go);
        assert!(waiter.join().unwrap().unwrap());
    });
}

#[test]
fn a_submitter_waits_for_a_place_by_the_clock_of_the_pool() {
    let pool = Manual::with(1, |builder| builder.queue_capacity(1));
    let held = hold(&pool, 1);
    pool.execute(|| ());
    let refused = takes_an_hour(&pool.clock, || {
        pool.submit_timeout(HOUR, || ()).unwrap_err()
    });
    assert_eq!(refused.reason(), Rejection::Full);
    held.release();
}

#[test]
fn what_a_body_waits_for_by_itself_goes_by_the_clock_of_its_pool() {
    // A permit is there for none of them, and the semaphore knows of no clock.
    let semaphore = Semaphore::new(1).unwrap();
    let _permit = semaphore.acquire().unwrap();
    type Body = Box<dyn FnOnce() -> bool + Send>;
    let bodies: [(&str, Body); 8] = [
        ("sleep", Box::new(|| millhand::sleep(HOUR).is_ok())),
        (
            "token",
            Box::new(|| !CancelToken::new().wait_timeout(HOUR).unwrap()),
        ),
        (
            "deadline",
            Box::new(|| {
                let token = CancelToken::with_timeout(HOUR);
                token.wait().unwrap();
                token.reason() == Some(CancelReason::Deadline)
            }),
        ),
        (
            "child",
            Box::new(|| {
                let token = millhand::current().unwrap().token();
                token
                    .child_with_timeout(HOUR)
                    .wait_timeout(2 * HOUR)
                    .unwrap()
            }),
        ),
        (
            "promise",
            Box::new(|| {
                promise::<()>()
                    .1
                    .cancel_on_drop()
                    .join_timeout(HOUR)
                    .is_err()
            }),
        ),
        (
            "permit",
            Box::new(move || semaphore.acquire_timeout(HOUR).is_err()),
        ),
        (
            "limiter",
            Box::new(|| {
                let limiter = RateLimiter::token_bucket(1, HOUR).burst(1).build().unwrap();
                limiter.acquire(1).is_ok() && limiter.acquire(1).is_ok()
            }),
        ),
        (
            "retry",
            Box::new(|| {
                let mut attempts = 0;
                let mut count = |_| {
                    attempts += 1;
                    if attempts < 2 { Err(()) } else { Ok(()) }
                };
                Retry::fixed(1, HOUR).run(&mut count).is_ok()
            }),
        ),
    ];
    for (name, body) in bodies {
        let pool = Manual::new(1);
        let handle = pool.submit(body);
        let as_expected = takes_an_hour(&pool.clock, || handle.join().unwrap());
        assert!(as_expected, "{name}");
    }
}

#[test]
fn a_sleep_is_the_pools_under_a_token_of_another_clock() {
    let pool = Manual::new(1);
    // Its deadline never comes in this test, and is the system's.
    let token = CancelToken::with_timeout(1000 * HOUR);
    let handle = pool
        .task()
        .token(&token)
        .submit(|| millhand::sleep(HOUR).is_ok());
    assert!(takes_an_hour(&pool.clock, || handle.join().unwrap()));
    // And a deadline ends a sleep by another clock than its own.
    let other = ManualClock::new();
    let token = CancelToken::with_clock(&other).child_with_timeout(HOUR);
    let (start, started) = mpsc::channel();
    let handle = pool.task().token(&token).submit(move || {
        start.send(()).unwrap();
        millhand::sleep(HOUR).unwrap_err().reason()
    });
    // A deadline that passes before the body begins would time the task out.
    must_recv(&started);
    assert_eq!(
        takes_an_hour(&other, || handle.join().unwrap()),
        CancelReason::Deadline
    );
}

#[test]
fn hooks_run_when_the_clock_of_the_token_passes_the_deadline() {
    let clock = ManualClock::new();
    let token = CancelToken::with_clock(&clock);
    let (tell, told) = mpsc::channel();
    let late: Vec<_> = [
        token.child_with_timeout(HOUR),
        token.child_with_timeout(HOUR).child(),
        token.child_with_timeout(HOUR).child_with_timeout(2 * HOUR),
    ]
    .into_iter()
    .map(|token| {
        let tell = tell.clone();
        let guard = token.on_cancel(move |reason| tell.send(reason).unwrap());
        (token, guard)
    })
    .collect();
    clock.advance(HOUR - NS);
    assert!(told.try_recv().is_err());
    clock.advance(NS);
    // On the thread that turns the clock.
    let heard: Vec<_> = told.try_iter().collect();
    assert_eq!(heard, [CancelReason::Deadline; 3]);
    for (token, _) in late {
        assert_eq!(token.reason(), Some(CancelReason::Deadline));
        assert_eq!(token.remaining(), Some(Duration::ZERO));
    }
    let (tell, told) = mpsc::channel();
    let _guard = token
        .child_with_timeout(Duration::ZERO)
        .on_cancel(move |_| tell.send(()).unwrap());
    assert!(told.try_recv().is_ok(), "at once");
    assert!(!token.is_cancelled());
}

#[test]
fn a_queued_task_is_cancelled_at_its_tokens_deadline() {
    let pool = Manual::new(1);
    let (_, go) = endless(&pool);
    let token = CancelToken::with_clock(&pool.clock).child_with_timeout(HOUR);
    let handle = pool.task().token(&token).submit(|| ());
    pool.advance(HOUR - NS);
    assert!(!handle.is_finished());
    pool.advance(NS);
    assert!(handle.is_finished());
    drop(go);
}

#[test]
fn a_threads_wait_for_a_token_goes_by_the_tokens_clock() {
    let clock = ManualClock::new();
    let token = CancelToken::with_clock(&clock);
    assert!(!takes_an_hour(&clock, || token.wait_timeout(HOUR).unwrap()));
    let child = token.child_with_timeout(HOUR);
    takes_an_hour(&clock, || token.child_with_timeout(HOUR).wait().unwrap());
    assert!(child.is_cancelled());
    // A task's token is its pool's, whoever asks for it.
    let pool = Manual::new(1);
    let (handle, go) = endless(&pool);
    let token = handle.token();
    assert!(!takes_an_hour(&pool.clock, || token
        .wait_timeout(HOUR)
        .unwrap()));
    drop(go);
}

#[test]
fn a_shutdown_cancels_and_gives_up_by_the_clock_of_the_pool() {
    let pool = Manual::new(1);
    let (body, hung) = hang();
    let deaf = pool.submit(body);
    hung.started();
    let how = Shutdown::drain().cancel_after(HOUR).give_up_after(2 * HOUR);
    let report = thread::scope(|s| {
        let shutdown = s.spawn(|| pool.shutdown(how).unwrap());
        until("the pool is closed", || pool.is_closed());
        let token = deaf.token();
        pool.advance(HOUR - NS);
        assert!(!token.is_cancelled());
        pool.advance(NS);
        until("it is cancelled", || token.is_cancelled());
        assert_eq!(token.reason(), Some(CancelReason::Shutdown));
        pool.advance(HOUR - NS);
        thread::yield_now();
        assert!(!shutdown.is_finished());
        pool.advance(NS);
        shutdown.join().unwrap()
    });
    let [running] = report.still_running() else {
        panic!("{report}")
    };
    assert!(running.id.to_string().parse::<u64>().is_ok());
    drop(hung);
}

#[test]
fn what_a_task_took_is_told_by_the_clock_of_its_pool() {
    let pool = Manual::new(1);
    let (start, started) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    let named = pool.task().name("x").submit(move || {
        start.send(()).unwrap();
        let _ = wait.recv();
    });
    must_recv(&started);
    let (tell, told) = mpsc::channel();
    let _callback = named.on_finish(move |summary| tell.send(summary.ran).unwrap());
    pool.advance(HOUR);
    drop(go);
    assert_eq!(must_recv(&told), Some(HOUR));
}

#[test]
fn what_a_body_builds_has_its_clock() {
    let pool = Manual::new(1);
    let inner = pool.submit(|| {
        let pool = ThreadPool::new(1).unwrap();
        let handle = pool.task().delay(HOUR).submit(|| 7);
        (pool, handle)
    });
    let (_inner, handle) = inner.join().unwrap();
    assert_eq!(takes_an_hour(&pool.clock, || handle.join()).unwrap(), 7);
    // A limiter of the body's own is one that its pool takes.
    let limited = pool.submit(|| {
        let limiter = RateLimiter::sliding_window(1, S).build().unwrap();
        let pool = millhand::current().unwrap().pool();
        pool.task().gate(&limiter).submit(|| 7).join().unwrap()
    });
    assert_eq!(limited.join().unwrap(), 7);
}

#[test]
fn elsewhere_it_is_the_systems() {
    let pool = ThreadPool::builder()
        .workers(1)
        .clock(Clock::system())
        .build()
        .unwrap();
    let (handle, go) = endless(&pool);
    assert!(!handle.wait_timeout(Duration::from_millis(1)).unwrap());
    assert!(
        !CancelToken::new()
            .wait_timeout(Duration::from_millis(1))
            .unwrap()
    );
    drop(go);
}
