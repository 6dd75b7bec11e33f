//! Tasks that are not due yet: when they run, in which order, and what becomes of those that never do.

use crate::handle::{TellDrop, keep_busy, must_join};
use crate::manual::{Drops, HOUR, Manual, NS, S, until};
use crate::submit::hold;
use crate::support::{LONG, must_recv};
use millhand::cancel::CancelReason;
use millhand::error::Rejection;
use millhand::task::{CancelOutcome, OutcomeKind, TaskState};
use millhand::{CancelToken, OnFull, TaskError};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

#[test]
fn a_delayed_task_runs_when_it_is_due_and_not_a_nanosecond_before() {
    let pool = Manual::new(1);
    let due = pool.now() + 10 * S;
    let handles = [
        pool.task().delay(10 * S).submit(|| 7),
        pool.task().delay_until(due).submit(|| 7),
        pool.task()
            .name("named")
            .delay(10 * S)
            .try_submit(|| 7)
            .unwrap(),
        pool.task()
            .delay(10 * S)
            .submit_timeout(LONG, || 7)
            .unwrap(),
    ];
    pool.turn(10 * S - NS);
    for handle in &handles {
        assert_eq!(handle.state(), TaskState::Delayed { due });
        assert!(!handle.is_finished());
    }
    pool.advance(NS);
    for handle in handles {
        assert_eq!(must_join(handle).unwrap(), 7);
    }
}

#[test]
fn an_instant_that_is_now_or_was_before_is_no_delay() {
    let pool = Manual::new(1);
    let past = pool.now();
    pool.advance(HOUR);
    let busy = keep_busy(&pool);
    let tasks = [
        pool.task().delay(Duration::ZERO),
        pool.task().delay_until(pool.now()),
        pool.task().delay_until(past),
    ];
    let handles = tasks.map(|task| task.submit(|| 7));
    for handle in &handles {
        assert_eq!(handle.state(), TaskState::Queued);
    }
    drop(busy);
    for handle in handles {
        assert_eq!(must_join(handle).unwrap(), 7);
    }
}

#[test]
fn no_worker_waits_for_what_is_not_due() {
    let pool = Manual::new(1);
    let later: Vec<_> = (0..10)
        .map(|_| pool.task().delay(HOUR).submit(|| 7))
        .collect();
    assert_eq!(must_join(pool.submit(|| 8)).unwrap(), 8);
    assert_eq!(pool.threads(), 1);
    assert_eq!(pool.queued(), 0);
    pool.advance(HOUR);
    for handle in later {
        assert_eq!(must_join(handle).unwrap(), 7);
    }
}

#[test]
fn equal_instants_keep_the_order_of_submission() {
    let pool = Manual::new(1);
    let (tell, told) = mpsc::channel();
    let due = pool.now() + 5 * S;
    for n in 0..100 {
        let tell = tell.clone();
        let body = move || tell.send(n).unwrap();
        match n % 3 {
            0 => pool.task().delay(5 * S).execute(body),
            1 => pool.task().delay_until(due).execute(body),
            _ => drop(pool.task().name("x").delay(5 * S).submit(body)),
        }
    }
    pool.advance(5 * S);
    for n in 0..100 {
        assert_eq!(must_recv(&told), n);
    }
}

#[test]
fn a_task_of_higher_priority_overtakes_when_it_is_due() {
    let pool = Manual::new(1);
    let busy = keep_busy(&pool);
    let (tell, told) = mpsc::channel();
    let write = |word: &'static str| {
        let tell = tell.clone();
        move || tell.send(word).unwrap()
    };
    let urgent = pool.task().priority(1).delay(S);
    urgent.execute(write("urgent"));
    pool.task().priority(-1).delay(S).execute(write("idle"));
    pool.execute(write("normal"));
    pool.turn(S);
    drop(busy);
    assert_eq!(
        [(); 3].map(|()| must_recv(&told)),
        ["urgent", "normal", "idle"]
    );
}

#[test]
fn a_delay_that_the_clock_cannot_hold_is_for_ever() {
    let pool = Manual::new(1);
    let far = pool.task().delay(Duration::MAX);
    let handles = [
        far.submit(|| ()),
        far.clone().expires(Duration::MAX).submit(|| ()),
        far.deadline(Duration::MAX).submit(|| ()),
    ];
    // Half a life.
    pool.turn(50 * 365 * 24 * HOUR);
    for handle in handles {
        assert!(matches!(handle.state(), TaskState::Delayed { .. }));
        assert_eq!(handle.cancel(), CancelOutcome::Settled);
    }
    pool.wait_idle().unwrap();
}

#[test]
fn a_system_clock_works_too() {
    let pool = millhand::ThreadPool::new(1).unwrap();
    let begun = std::time::Instant::now();
    let handle = pool
        .task()
        .delay(Duration::from_millis(2))
        .submit(std::time::Instant::now);
    assert!(must_join(handle).unwrap() >= begun + Duration::from_millis(2));
}

// Letting go, and cancelling.

#[test]
fn cancelling_settles_at_once_and_drops_the_closure_here() {
    let pool = Manual::new(1);
    let (tell, told) = mpsc::channel();
    let captured = TellDrop(tell);
    let handle = pool.task().delay(HOUR).submit(move || drop(captured));
    let (write, read) = mpsc::channel();
    handle.on_finish(move |summary| write.send(summary.clone()).unwrap());
    assert_eq!(handle.cancel(), CancelOutcome::Settled);
    assert_eq!(told.try_recv(), Ok(thread::current().id()));
    let summary = read.try_recv().expect("callbacks are called here, too");
    assert_eq!(
        (summary.outcome, summary.ran),
        (OutcomeKind::Cancelled, None)
    );
    assert_eq!(handle.state(), TaskState::Finished);
    assert_eq!(handle.cancel(), CancelOutcome::AlreadyFinished);
    // The clock stands: nothing is waited for.
    pool.wait_idle().unwrap();
    assert!(matches!(
        handle.join(),
        Err(TaskError::Cancelled(CancelReason::User))
    ));
}

#[test]
fn every_way_to_cancel_takes_it_out_of_the_timer() {
    let pool = Manual::new(1);
    let batch = CancelToken::new();
    let drops = Drops::default();
    let submit = || {
        let one = drops.one();
        pool.task()
            .token(&batch)
            .delay(HOUR)
            .submit(move || drop(one))
    };
    let (first, second, third) = (submit(), submit(), submit());
    assert!(first.token().cancel_with(CancelReason::Race));
    assert_eq!(drops.count(), 1);
    drop(second.cancel_on_drop());
    assert_eq!(drops.count(), 2);
    assert!(batch.cancel_with(CancelReason::Scope));
    assert_eq!(drops.count(), 3);
    pool.wait_idle().unwrap();
    // And one that comes too late.
    let fourth = submit();
    assert_eq!(drops.count(), 4);
    pool.wait_idle().unwrap();
    for (handle, why) in [
        (first, CancelReason::Race),
        (third, CancelReason::Scope),
        (fourth, CancelReason::Scope),
    ] {
        match handle.try_join().unwrap() {
            Err(TaskError::Cancelled(reason)) => assert_eq!(reason, why),
            other => panic!("not cancelled but {other:?}"),
        }
    }
}

#[test]
fn a_dropped_handle_lets_the_task_run_when_it_is_due() {
    let pool = Manual::new(1);
    let (tell, told) = mpsc::channel();
    drop(
        pool.task()
            .delay(HOUR)
            .submit(move || tell.send(7).unwrap()),
    );
    pool.turn(HOUR - NS);
    assert!(told.try_recv().is_err());
    pool.advance(NS);
    assert_eq!(must_recv(&told), 7);
}

#[test]
fn a_closure_whose_drop_panics_harms_nobody() {
    crate::stress::silence();
    let pool = Manual::new(1);
    let grenade = crate::builder::Grenade(2);
    let handle = pool.task().delay(HOUR).submit(move || drop(grenade));
    assert_eq!(handle.cancel(), CancelOutcome::Settled);
    pool.wait_idle().unwrap();
    assert_eq!(
        must_join(pool.task().delay(NS).submit(|| 1).into_due(&pool)).unwrap(),
        1
    );
}

/// Turns the clock by the nanosecond for which the task waits.
trait IntoDue {
    fn into_due(self, pool: &Manual) -> Self;
}

impl<T> IntoDue for millhand::TaskHandle<T> {
    fn into_due(self, pool: &Manual) -> Self {
        pool.advance(NS);
        self
    }
}

// The bound.

#[test]
fn a_delayed_task_has_its_place_until_it_is_claimed_cancelled_or_expired() {
    let pool = Manual::with(1, |b| b.queue_capacity(2).on_full(OnFull::Reject));
    let full = || match pool.try_execute(|| ()) {
        Err(refused) => {
            assert_eq!(refused.reason(), Rejection::Full);
            true
        }
        Ok(()) => false,
    };
    let held = hold(&pool, 1);
    let first = pool.task().delay(HOUR).submit(|| 1);
    let second = pool.task().delay(S).submit(|| 2);
    assert!(full());
    assert!(matches!(
        pool.task().delay(S).submit(|| 3).join(),
        Err(TaskError::Rejected(Rejection::Full))
    ));
    // Due is not claimed.
    pool.advance(S);
    until("it is due", || second.state() == TaskState::Queued);
    assert!(full());
    assert_eq!(first.cancel(), CancelOutcome::Settled);
    let third = pool
        .task()
        .delay(S)
        .expires(S)
        .try_submit(|| 3)
        .expect("a place came free");
    assert!(full());
    pool.advance(S);
    until("it is due", || third.state() == TaskState::Queued);
    assert!(full());
    pool.advance(S);
    assert!(matches!(must_join(third), Err(TaskError::Expired(_))));
    assert!(full(), "until a worker has dropped its closure");
    held.release();
    assert_eq!(must_join(second).unwrap(), 2);
    pool.wait_idle().unwrap();
    let last = pool
        .try_submit(|| 4)
        .expect("what has expired has no place");
    assert_eq!(must_join(last).unwrap(), 4);
}

#[test]
fn a_submitter_waits_for_the_place_of_a_delayed_task() {
    let pool = Manual::with(1, |b| b.queue_capacity(1).on_full(OnFull::Block));
    let given_up = [
        |_: &Manual, handle: millhand::TaskHandle<()>| drop(handle.cancel_on_drop()),
        |pool: &Manual, _| pool.advance(HOUR),
    ];
    for give_up in given_up {
        let delayed = pool.task().delay(HOUR).submit(|| ());
        assert!(
            pool.task()
                .delay(S)
                .submit_timeout(Duration::ZERO, || ())
                .is_err()
        );
        thread::scope(|s| {
            // The clock that is turned is that of this wait, too.
            let submitter = s.spawn(|| pool.submit_timeout(2 * HOUR, || 9));
            give_up(&pool, delayed);
            let handle = submitter.join().unwrap().expect("there is room");
            assert_eq!(must_join(handle).unwrap(), 9);
        });
    }
}

#[test]
fn what_a_worker_submits_with_a_delay_is_not_held_up() {
    let pool = Manual::with(1, |b| b.queue_capacity(1).on_full(OnFull::Block));
    let inner = pool.submit(|| {
        let me = millhand::current().unwrap().pool();
        (0..10)
            .map(|n| me.task().delay(S).submit(move || n))
            .collect::<Vec<_>>()
    });
    let inner = must_join(inner).unwrap();
    // They have no place of their own: the one that there is is free.
    let own = pool.try_submit(|| 10).expect("the queue is empty");
    assert_eq!(must_join(own).unwrap(), 10);
    pool.advance(S);
    for (n, handle) in inner.into_iter().enumerate() {
        assert_eq!(must_join(handle).unwrap(), n);
    }
}
