//! The closure of a retried task is dropped once, in every ending.

use crate::handle::{keep_busy, must_join};
use crate::manual::{Drops, HOUR, Manual, S, due_of};
use crate::retry_ends::{Outcome, led};
use crate::support::{LONG, must_recv};
use millhand::cancel::CancelReason;
use millhand::error::Rejection;
use millhand::{Retry, Shutdown, TaskError, TaskHandle};
use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

/// What ends a task whose closure is led by hand.
type End = fn(&Manual, TaskHandle<Outcome>, &Receiver<()>, &Sender<Outcome>);

#[test]
fn the_closure_is_dropped_once_however_it_ends() {
    crate::stress::silence();
    let ends: [(&str, End); 11] = [
        ("success", |_, handle, told, go| {
            must_recv(told);
            go.send(Ok(1)).unwrap();
            must_join(handle).unwrap().unwrap();
        }),
        ("success at last", |pool, handle, told, go| {
            must_recv(told);
            go.send(Err(1)).unwrap();
            due_of(&handle, 2);
            pool.advance(S);
            must_recv(told);
            go.send(Ok(1)).unwrap();
            must_join(handle).unwrap().unwrap();
        }),
        ("the last failure", |pool, handle, told, go| {
            for attempt in 1..=2 {
                must_recv(told);
                go.send(Err(attempt)).unwrap();
                if attempt == 1 {
                    due_of(&handle, 2);
                    pool.advance(S);
                }
            }
            must_join(handle).unwrap().unwrap_err();
        }),
        ("a panic", |_, handle, told, go| {
            must_recv(told);
            go.send(Ok(0)).unwrap();
            must_join(handle).unwrap_err();
        }),
        ("cancelled while it runs", |_, handle, told, go| {
            must_recv(told);
            handle.cancel();
            go.send(Err(1)).unwrap();
            assert!(matches!(
                must_join(handle),
                Err(TaskError::Cancelled(CancelReason::User))
            ));
        }),
        ("cancelled between", |_, handle, told, go| {
            must_recv(told);
            go.send(Err(1)).unwrap();
            due_of(&handle, 2);
            handle.cancel();
        }),
        ("out of time between", |pool, handle, told, go| {
            must_recv(told);
            go.send(Err(1)).unwrap();
            due_of(&handle, 2);
            // The second attempt is due before the end, and finds no worker.
            let busy = keep_busy(pool);
            pool.advance(HOUR);
            assert!(matches!(must_join(handle), Err(TaskError::TimedOut)));
            drop(busy);
        }),
        ("out of time while it runs", |pool, handle, told, go| {
            must_recv(told);
            pool.advance(HOUR);
            assert!(matches!(must_join(handle), Err(TaskError::TimedOut)));
            go.send(Err(1)).unwrap();
        }),
        (
            "out of time while it runs, and a success",
            |pool, handle, told, go| {
                must_recv(told);
                pool.advance(HOUR);
                assert!(matches!(must_join(handle), Err(TaskError::TimedOut)));
                go.send(Ok(1)).unwrap();
            },
        ),
        ("let go", |_, handle, told, go| {
            must_recv(told);
            drop(handle);
            go.send(Ok(1)).unwrap();
        }),
        ("shut down", |pool, handle, told, go| {
            must_recv(told);
            go.send(Err(1)).unwrap();
            due_of(&handle, 2);
            pool.shutdown(Shutdown::cancel()).unwrap();
        }),
    ];
    for (end, run) in ends {
        let pool = Manual::new(1);
        let drops = Drops::default();
        let one = drops.one();
        let (mut body, told, go) = led();
        let task = pool.task().retry(Retry::fixed(1, S)).clone();
        let handle = task.deadline(HOUR).submit(move || {
            one.keep();
            let outcome = body();
            assert_ne!(outcome, Ok(0), "{}", crate::stress::EXPECTED);
            outcome
        });
        run(&pool, handle, &told, &go);
        pool.wait_idle().unwrap();
        assert_eq!(drops.count(), 1, "{end}");
    }
}

#[test]
fn a_closure_that_never_ran_is_dropped_once_too() {
    let pool = Manual::new(1);
    let drops = Drops::default();
    let task = pool.task().retry(Retry::default());
    let body = || {
        let one = drops.one();
        move || {
            one.keep();
            Err::<(), _>("no")
        }
    };
    let busy = keep_busy(&pool);
    task.submit(body()).cancel();
    assert_eq!(drops.count(), 1);
    task.clone().delay(HOUR).submit(body()).cancel();
    assert_eq!(drops.count(), 2);
    let expired = task.clone().expires(S).submit(body());
    pool.advance(S);
    assert!(matches!(must_join(expired), Err(TaskError::Expired(_))));
    drop(busy);
    pool.wait_idle().unwrap();
    assert_eq!(drops.count(), 3);
    drop(task.clone().expires(Duration::ZERO).submit(body()));
    assert_eq!(drops.count(), 4);
    pool.shutdown(Shutdown::drain()).unwrap();
    let closed = task.submit(body()).join_timeout(LONG).unwrap();
    assert!(matches!(
        closed,
        Err(TaskError::Rejected(Rejection::Closed))
    ));
    assert_eq!(drops.count(), 5);
}
