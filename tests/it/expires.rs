//! `expires`: what has not started in time is settled, on time, and never runs.

use crate::handle::{TellDrop, keep_busy, must_join};
use crate::manual::{Drops, HOUR, Manual, NS, S, due_of, hang};
use crate::submit::hold;
use crate::support::{LONG, must_recv};
use millhand::cancel::CancelReason;
use millhand::error::WaitedFor;
use millhand::limit::Lanes;
use millhand::task::{CancelOutcome, OutcomeKind, TaskState};
use millhand::{CancelToken, RateLimiter, Retry, Semaphore, Shutdown, TaskError, promise};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

#[test]
fn a_task_that_has_not_started_in_time_is_settled_on_time() {
    let pool = Manual::new(2);
    let held = hold(&pool, 2);
    let handles: Vec<_> = (1..=20)
        .map(|n| pool.task().expires(n * S).submit(|| ()))
        .collect();
    pool.turn(S - NS);
    for handle in &handles {
        assert_eq!(handle.state(), TaskState::Queued);
        pool.turn(NS);
        assert_eq!(handle.state(), TaskState::Finished);
        pool.turn(S - NS);
    }
    // No worker had anything to do with it.
    for handle in handles {
        assert!(matches!(
            handle.try_join().unwrap(),
            Err(TaskError::Expired(WaitedFor::Worker))
        ));
    }
    held.release();
}

#[test]
fn a_waiter_is_woken_though_all_workers_are_busy() {
    let pool = Manual::new(1);
    let busy = keep_busy(&pool);
    let handle = pool.task().expires(S).submit(|| ());
    thread::scope(|s| {
        let waiter = s.spawn(|| handle.wait_timeout(LONG));
        pool.advance(S);
        assert!(waiter.join().unwrap().unwrap());
    });
    assert_eq!(handle.cancel(), CancelOutcome::AlreadyFinished);
    drop(busy);
}

#[test]
fn what_is_the_user_s_is_dropped_and_called_by_a_worker() {
    let pool = Manual::new(1);
    let held = hold(&pool, 1);
    let (tell, told) = mpsc::channel();
    let (write, read) = mpsc::channel();
    let captured = TellDrop(tell);
    let handle = pool
        .task()
        .name("stale")
        .expires(S)
        .submit(move || drop(captured));
    let token = handle.token();
    handle.on_finish(move |summary| {
        write
            .send((summary.clone(), thread::current().id()))
            .unwrap();
    });
    pool.turn(S);
    assert!(handle.is_finished());
    assert!(
        told.try_recv().is_err() && read.try_recv().is_err(),
        "the only worker is busy"
    );
    assert_eq!(token.reason(), Some(CancelReason::Deadline));
    held.release();
    let worker = must_join(pool.submit(|| thread::current().id())).unwrap();
    assert_eq!(must_recv(&told), worker);
    let (summary, place) = must_recv(&read);
    assert_eq!(place, worker);
    assert_eq!((summary.outcome, summary.ran), (OutcomeKind::Expired, None));
    assert_eq!(summary.name.as_deref(), Some("stale"));
}

#[test]
fn it_is_counted_from_when_the_task_is_due() {
    let pool = Manual::new(1);
    let busy = keep_busy(&pool);
    let due = pool.now() + HOUR;
    let tasks = [pool.task().delay(HOUR), pool.task().delay_until(due)];
    let handles = tasks.map(|task| task.expires(S).submit(|| ()));
    pool.turn(HOUR);
    pool.turn(S - NS);
    for handle in &handles {
        assert_eq!(handle.state(), TaskState::Queued);
    }
    pool.turn(NS);
    for handle in handles {
        assert!(matches!(
            must_join(handle),
            Err(TaskError::Expired(WaitedFor::Worker))
        ));
    }
    drop(busy);
}

#[test]
fn it_is_counted_through_the_lines_of_gates() {
    let pool = Manual::new(1);
    let semaphore = Semaphore::new(1).unwrap();
    let limiter = RateLimiter::token_bucket(1, HOUR)
        .burst(1)
        .clock(&pool.clock)
        .build()
        .unwrap();
    limiter.try_acquire(1).unwrap();
    let lanes = Lanes::new();
    let lane = lanes.key("key");
    let (body, holds) = hang();
    pool.task().gate(&lane).execute(body);
    holds.started();
    let permit = semaphore.try_acquire().unwrap();
    let drops = Drops::default();
    let one = || {
        let one = drops.one();
        move || one.keep()
    };
    let pool_of_two = pool.set_workers(2).unwrap();
    assert_eq!(pool_of_two, 2);
    let handles = [
        pool.task().gate(&semaphore).expires(S).submit(one()),
        pool.task().gate(&limiter).expires(S).submit(one()),
        pool.task().gate(&lane).expires(S).submit(one()),
        pool.task()
            .gate(&semaphore)
            .gate(&limiter)
            .gate(&lane)
            .expires(S)
            .submit(one()),
        pool.task()
            .gate(&semaphore)
            .delay(NS)
            .expires(S - NS)
            .submit(one()),
    ];
    pool.turn(NS);
    for handle in &handles {
        crate::manual::until("it is in a line", || handle.state() == TaskState::Gated);
    }
    pool.turn(S - 2 * NS);
    assert!(
        handles
            .iter()
            .all(|handle| handle.state() == TaskState::Gated)
    );
    pool.turn(NS);
    for handle in handles {
        assert!(matches!(
            must_join(handle),
            Err(TaskError::Expired(WaitedFor::Gate))
        ));
    }
    // A worker is free: it buries them at once.
    crate::manual::until("they are buried", || drops.count() == 5);
    assert_eq!(
        (semaphore.waiting(), limiter.waiting(), lane.waiting()),
        (0, 0, 0)
    );
    drop(permit);
    assert_eq!(semaphore.available(), 1);
    drop(holds);
    must_join(pool.task().gate(&lane).gate(&semaphore).submit(|| ())).unwrap();
}

/// Its own time is counted from when it is due, and that of its token from when this was made.
#[test]
fn an_expired_task_says_for_what_it_waited() {
    let pool = Manual::new(1);
    let one = Semaphore::new(1).unwrap();
    let _held = one.try_acquire().unwrap();
    let (_kept, above) = promise::<()>();
    let token = CancelToken::with_clock(&pool.clock).child_with_timeout(S);
    let task = pool.task().token(&token);
    let gated = task.clone().gate(&one).submit(|| ());
    crate::manual::until("it is in the line", || gated.state() == TaskState::Gated);
    let busy = keep_busy(&pool);
    let all = [
        (gated, WaitedFor::Gate),
        (task.submit(|| ()), WaitedFor::Worker),
        (task.clone().delay(HOUR).submit(|| ()), WaitedFor::Delay),
        (task.submit_after([above], |_| ()), WaitedFor::Tasks),
    ];
    pool.turn(S);
    for (handle, waited) in all {
        match must_join(handle) {
            Err(TaskError::Expired(why)) => assert_eq!(why, waited),
            other => panic!("{waited:?}: {other:?}"),
        }
    }
    drop(busy);
}

#[test]
fn of_expires_and_deadline_the_earlier_one_counts() {
    let pool = Manual::new(1);
    let busy = keep_busy(&pool);
    let limits = [(S, 2 * S), (2 * S, S)];
    let queued = limits.map(|(expires, deadline)| {
        let task = pool.task().expires(expires).deadline(deadline);
        task.check().unwrap();
        task.submit(|| ())
    });
    pool.turn(S - NS);
    for handle in &queued {
        assert_eq!(handle.state(), TaskState::Queued);
    }
    pool.turn(NS);
    for handle in queued {
        assert!(matches!(
            must_join(handle),
            Err(TaskError::Expired(WaitedFor::Worker))
        ));
    }
    drop(busy);
    // Once it has started, the deadline alone counts.
    let (body, hung) = hang();
    let handle = pool.task().expires(S).deadline(2 * S).submit(body);
    hung.started();
    pool.turn(2 * S - NS);
    assert_eq!(handle.state(), TaskState::Running);
    pool.turn(NS);
    assert!(matches!(must_join(handle), Err(TaskError::TimedOut)));
    drop(hung);
}

#[test]
fn what_has_started_does_not_expire() {
    let pool = Manual::new(1);
    let (body, hung) = hang();
    let handle = pool.task().expires(S).submit(body);
    hung.started();
    pool.turn(HOUR);
    assert_eq!(handle.state(), TaskState::Running);
    drop(hung);
    must_join(handle).unwrap();
}

#[test]
fn a_retried_task_expires_only_before_its_first_attempt() {
    let pool = Manual::new(1);
    let task = pool.task().expires(S).retry(Retry::fixed(1, HOUR));
    let handle = task.submit(|| match millhand::attempt() {
        1 => Err("at first"),
        n => Ok(n),
    });
    assert_eq!(due_of(&handle, 2), pool.now() + HOUR);
    let busy = keep_busy(&pool);
    pool.turn(HOUR);
    pool.turn(HOUR);
    assert_eq!(handle.state(), TaskState::Queued);
    let second = task.submit(|| Err::<u32, _>("never"));
    pool.turn(S);
    assert!(matches!(
        must_join(second),
        Err(TaskError::Expired(WaitedFor::Worker))
    ));
    drop(busy);
    assert_eq!(must_join(handle).unwrap(), Ok(2));
}

#[test]
fn a_task_whose_time_is_over_never_starts_however_late_the_timer_is() {
    let drops = Drops::default();
    for _ in 0..300 {
        let pool = Manual::new(1);
        let held = hold(&pool, 1);
        let one = drops.one();
        let handle = pool.task().expires(S).submit(move || {
            one.keep();
            panic!("it started {S:?} after it was due");
        });
        pool.advance(S);
        // The worker and the timer are off together.
        held.release();
        assert!(matches!(
            must_join::<()>(handle),
            Err(TaskError::Expired(WaitedFor::Worker))
        ));
    }
    crate::manual::until("they are buried", || drops.count() == 300);
}

#[test]
fn an_expired_task_counts_as_expired_once_and_not_as_failed() {
    let pool = Manual::new(1);
    let held = hold(&pool, 1);
    for _ in 0..10 {
        pool.task().expires(S).execute(|| unreachable!());
    }
    let last = pool.task().expires(S).submit(|| ());
    pool.advance(S);
    assert!(matches!(
        must_join(last),
        Err(TaskError::Expired(WaitedFor::Worker))
    ));
    held.release();
    let report = pool.shutdown(Shutdown::drain()).unwrap();
    assert_eq!(
        (report.expired(), report.succeeded(), report.cancelled()),
        (11, 1, 0),
        "{report}"
    );
    assert_eq!((report.failed(), report.timed_out()), (0, 0));
    assert!(report.to_string().contains(", 11 expired, "), "{report}");
    assert!(report.is_clean());
}

#[test]
fn the_others_under_its_token_go_on() {
    let pool = Manual::new(1);
    let batch = CancelToken::new();
    let busy = keep_busy(&pool);
    let task = pool.task().token(&batch);
    let (stale, fresh) = (task.clone().expires(S).submit(|| 1), task.submit(|| 2));
    pool.advance(S);
    assert!(matches!(
        must_join(stale),
        Err(TaskError::Expired(WaitedFor::Worker))
    ));
    assert!(!batch.is_cancelled());
    drop(busy);
    assert_eq!(must_join(fresh).unwrap(), 2);
}

#[test]
fn a_time_that_the_clock_cannot_hold_is_for_ever() {
    let pool = Manual::new(1);
    let busy = keep_busy(&pool);
    let handle = pool.task().expires(Duration::MAX).submit(|| 7);
    pool.turn(50 * 365 * 24 * HOUR);
    assert_eq!(handle.state(), TaskState::Queued);
    drop(busy);
    assert_eq!(must_join(handle).unwrap(), 7);
}
