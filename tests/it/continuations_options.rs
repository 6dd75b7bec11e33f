//! Continuations with options: all that has a time counts from when they are ready.

use crate::handle::{keep_busy, must_join};
use crate::manual::{Drops, HOUR, Manual, NS, S, hang, until};
use crate::support::must_recv;
use millhand::cancel::CancelReason;
use millhand::error::Rejection;
use millhand::task::TaskState;
use millhand::{CancelToken, Retry, Semaphore, TaskError, ThreadPool, current, promise};
use std::sync::mpsc;
use std::time::Duration;

#[test]
fn a_name_a_site_and_a_token() {
    let pool = ThreadPool::new(1).unwrap();
    let token = CancelToken::new();
    let (kept, above) = promise::<u8>();
    let named = pool.task().name("after").token(&token);
    let line = line!() + 1;
    let handle = named.submit_after([above], |_| ());
    assert_eq!(handle.name().as_deref(), Some("after"));
    assert_eq!(handle.site().line(), line);
    assert_eq!(handle.state(), TaskState::Waiting);
    token.cancel_with(CancelReason::Scope);
    assert!(kept.is_cancelled());
    assert!(matches!(
        must_join(handle),
        Err(TaskError::Cancelled(CancelReason::Scope))
    ));
}

#[test]
fn a_token_that_is_cancelled_before_cancels_all() {
    let pool = ThreadPool::new(1).unwrap();
    let token = CancelToken::new();
    token.cancel_with(CancelReason::Race);
    let drops = Drops::default();
    let (kept, above) = promise::<u8>();
    let (_held, elsewhere) = promise::<u8>();
    let elsewhere = elsewhere.share();
    let one = drops.one();
    let handle = pool
        .task()
        .token(&token)
        .submit_after((above, elsewhere.clone()), move |_| one.keep());
    assert!(handle.is_finished() && kept.is_cancelled());
    assert!(!elsewhere.is_finished());
    assert_eq!(drops.count(), 1);
    assert!(must_join(handle).is_err());
    pool.wait_idle().unwrap();
}

#[test]
fn delays_count_from_when_it_is_ready() {
    let pool = Manual::new(1);
    let (kept, above) = promise();
    let handle = pool.task().delay(HOUR).submit_after([above], |_| 1);
    pool.advance(2 * HOUR);
    assert_eq!(handle.state(), TaskState::Waiting);
    kept.complete(()).unwrap();
    let due = pool.now() + HOUR;
    assert_eq!(handle.state(), TaskState::Delayed { due });
    pool.turn(HOUR - NS);
    assert_eq!(handle.state(), TaskState::Delayed { due });
    pool.advance(NS);
    assert_eq!(must_join(handle).unwrap(), 1);
    // An instant is an instant.
    let (kept, above) = promise();
    let at = pool.now() + S;
    let handle = pool.task().delay_until(at).submit_after([above], |_| 2);
    pool.advance(HOUR);
    kept.complete(()).unwrap();
    assert_eq!(must_join(handle).unwrap(), 2);
}

#[test]
fn it_expires_so_long_after_it_is_ready() {
    let pool = Manual::new(1);
    let (kept, above) = promise();
    let handle = pool.task().expires(S).submit_after([above], |_| 1);
    pool.advance(HOUR);
    assert_eq!(handle.state(), TaskState::Waiting);
    let busy = keep_busy(&pool);
    kept.complete(()).unwrap();
    pool.turn(S - NS);
    assert_eq!(handle.state(), TaskState::Queued);
    pool.turn(NS);
    assert!(matches!(must_join(handle), Err(TaskError::Expired(_))));
    drop(busy);
    pool.wait_idle().unwrap();
}

#[test]
fn its_whole_time_counts_from_when_it_is_ready() {
    let pool = Manual::new(1);
    let (kept, above) = promise();
    let (mut body, hang) = hang();
    let handle = pool
        .task()
        .deadline(S)
        .submit_after([above], move |_| body());
    pool.advance(HOUR);
    assert_eq!(handle.state(), TaskState::Waiting);
    kept.complete(()).unwrap();
    hang.started();
    pool.turn(S - NS);
    assert_eq!(handle.state(), TaskState::Running);
    pool.turn(NS);
    assert!(matches!(must_join(handle), Err(TaskError::TimedOut)));
    drop(hang);
    pool.wait_idle().unwrap();
}

#[test]
fn each_attempt_sees_the_same_outcomes() {
    let pool = Manual::new(1);
    let (kept, above) = promise();
    let (tell, told) = mpsc::channel();
    let task = pool.task().attempt_timeout(S).retry(Retry::fixed(2, HOUR));
    let handle = task.submit_after(
        (above, pool.submit(|| panic!("lost"))),
        move |(text, lost)| {
            let text: &String = text.as_ref().unwrap();
            let lost: &TaskError = lost.as_ref().unwrap_err();
            tell.send(format!("{text} {}", lost.to_string().contains("lost")))
                .unwrap();
            match current().unwrap().attempt() {
                3 => Ok(text.len()),
                _ => Err("again"),
            }
        },
    );
    kept.complete(String::from("same")).unwrap();
    for attempt in 2..4 {
        assert_eq!(must_recv(&told), "same true");
        let due = crate::manual::due_of(&handle, attempt);
        assert_eq!(due, pool.now() + HOUR);
        pool.advance(HOUR);
    }
    assert_eq!(must_recv(&told), "same true");
    assert_eq!(must_join(handle).unwrap(), Ok(4));
    pool.wait_idle().unwrap();
    assert_eq!(pool.stats().unread, 0);
}

#[test]
fn of_those_that_are_ready_the_more_urgent_comes_first() {
    let pool = ThreadPool::new(1).unwrap();
    let busy = keep_busy(&pool);
    let (tell, told) = mpsc::channel();
    let handles: Vec<_> = [-1, 0, 5, 1]
        .into_iter()
        .map(|priority| {
            let (kept, above) = promise();
            kept.complete(priority).unwrap();
            let tell = tell.clone();
            let task = pool.task().priority(priority);
            task.submit_after([above], move |[n]| tell.send(n.unwrap()).unwrap())
        })
        .collect();
    assert!(
        handles
            .iter()
            .all(|handle| handle.state() == TaskState::Queued)
    );
    drop(busy);
    assert_eq!([(); 4].map(|()| must_recv(&told)), [5, 1, 0, -1]);
}

#[test]
fn gates_are_asked_when_it_is_ready() {
    let pool = ThreadPool::new(2).unwrap();
    let one = Semaphore::new(1).unwrap();
    let (kept, above) = promise();
    let handle = pool.task().gate(&one).submit_after([above], |_| 1);
    assert!(
        one.try_acquire().is_ok(),
        "who waits for others holds nothing"
    );
    let permit = one.acquire().unwrap();
    kept.complete(()).unwrap();
    until("it waits at the gate", || {
        handle.state() == TaskState::Gated
    });
    drop(permit);
    assert_eq!(must_join(handle).unwrap(), 1);
    // One that is cancelled meanwhile leaves no trace at the gate.
    let (_kept, above) = promise::<()>();
    pool.task().gate(&one).submit_after([above], |_| 1).cancel();
    drop(one.try_acquire().unwrap());
    must_join(pool.task().gate(&one).submit(|| ())).unwrap();
}

#[test]
fn options_that_make_no_sense_are_refused_and_what_is_above_runs_on() {
    let pool = ThreadPool::new(1).unwrap();
    let (kept, above) = promise::<()>();
    let refused = pool
        .task()
        .expires(Duration::ZERO)
        .submit_after([above], |_| ());
    let Err(TaskError::Rejected(reason)) = must_join(refused) else {
        panic!("it is not allowed");
    };
    assert!(matches!(reason, Rejection::Invalid(mistake) if mistake.option() == "expires"));
    assert!(!kept.is_cancelled());
}
