//! Time limits that make no sense, or contradict each other: refused by every verb, with the closure given back.

use crate::handle::must_join;
use crate::manual::{HOUR, Manual, NS, S, hang};
use crate::submit::{Answer, no_value, nothing};
use crate::support::LONG;
use millhand::error::{Rejection, SubmitError};
use millhand::pool::PoolBuilder;
use millhand::testing::ManualClock;
use millhand::{JoinError, RateLimiter, Retry, TaskBuilder, TaskError, TaskHandle};
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

const ZERO: Duration = Duration::ZERO;

/// The option that a mistake names, and its text.
type Why = (&'static str, &'static str);

const ZERO_EXPIRES: Why = ("expires", "`expires` must be longer than zero");
const ZERO_ATTEMPT_TIMEOUT: Why = (
    "attempt_timeout",
    "`attempt_timeout` must be longer than zero",
);
const ZERO_TOTAL_TIMEOUT: Why = ("total_timeout", "`total_timeout` must be longer than zero");
const ZERO_DEADLINE: Why = ("deadline", "`deadline` must be longer than zero");
const TWO_DELAYS: Why = (
    "delay_until",
    "`delay` and `delay_until` contradict each other: one of them is allowed",
);
const FOREIGN_CLOCK: Why = (
    "gate",
    "a rate limiter in `gate` must use the pool's `clock`",
);

fn is(reason: Rejection, why: Why) {
    assert_eq!(reason.to_string(), why.1);
    match reason {
        Rejection::Invalid(mistake) => {
            assert_eq!((mistake.option(), &*mistake.to_string()), why);
        }
        other => panic!("not invalid but {other:?}"),
    }
}

/// What every kind of template takes; it has a share of `token`.
fn body(token: &Arc<()>) -> impl FnMut() -> Answer + Send + Clone + 'static {
    let token = token.clone();
    move || {
        assert!(Arc::strong_count(&token) > 1);
        Ok(42)
    }
}

/// What the verbs without a handle take in place of it: a body that ends with `end` of its answer.
fn effect<T: 'static>(
    token: &Arc<()>,
    end: fn(Answer) -> T,
) -> impl FnMut() -> T + Send + Clone + 'static {
    let mut body = body(token);
    move || end(body())
}

fn is_given_back<T: fmt::Debug + PartialEq>(
    refused: SubmitError<impl FnMut() -> T>,
    returns: T,
    why: Why,
    token: &Arc<()>,
) {
    is(refused.reason(), why);
    assert_eq!(
        refused.to_string(),
        format!("task not submitted: {}", why.1)
    );
    assert_eq!(Arc::strong_count(token), 2, "it was not dropped");
    assert_eq!(refused.into_inner()(), returns);
    assert_eq!(Arc::strong_count(token), 1, "it was the only one");
}

fn is_rejected(handle: TaskHandle<Answer>, why: Why, token: &Arc<()>) {
    assert_eq!(Arc::strong_count(token), 1, "the closure is gone");
    match handle.try_join().expect("at once") {
        Err(error @ TaskError::Rejected(reason)) => {
            is(reason, why);
            assert_eq!(error.to_string(), format!("task rejected: {}", why.1));
        }
        other => panic!("not rejected but {other:?}"),
    }
}

/// A pool, and what its hook is told of.
struct Hearing {
    pool: Manual,
    told: Receiver<Rejection>,
}

impl Hearing {
    fn new() -> Self {
        Self::with(|builder| builder)
    }

    fn with(options: impl FnOnce(PoolBuilder) -> PoolBuilder) -> Self {
        let (tell, told) = mpsc::channel();
        let pool = Manual::with(1, |builder| {
            options(builder).on_unread(move |failure| match failure.error() {
                JoinError::Task(TaskError::Rejected(why)) => tell.send(*why).unwrap(),
                _ => panic!("{failure}"),
            })
        });
        Self { pool, told }
    }

    /// A refusal that the submitter does not see.
    fn is_told_of(&self, why: Why, token: &Arc<()>) {
        assert_eq!(Arc::strong_count(token), 1, "the closure is gone");
        is(self.told.try_recv().unwrap(), why);
        assert!(self.told.try_recv().is_err(), "once");
    }
}

impl Deref for Hearing {
    type Target = Manual;

    fn deref(&self) -> &Manual {
        &self.pool
    }
}

/// All verbs of one template refuse for this reason.
macro_rules! refuse {
    ($pool:expr, $task:expr, $why:expr, [$($execute:ident, $try_execute:ident, $end:expr);+]) => {{
        let (task, why, token) = ($task, $why, Arc::new(()));
        is_rejected(task.submit(body(&token)), why, &token);
        let refused = task.try_submit(body(&token)).unwrap_err();
        is_given_back(refused, Ok(42), why, &token);
        let refused = task.submit_timeout(LONG, body(&token)).unwrap_err();
        is_given_back(refused, Ok(42), why, &token);
        $(
            task.$execute(effect(&token, $end));
            $pool.is_told_of(why, &token);
            let refused = task.$try_execute(effect(&token, $end)).unwrap_err();
            is_given_back(refused, $end(Ok(42)), why, &token);
        )+
    }};
}

/// So does every kind of template, on every face of the pool.
fn is_refused(pool: &Hearing, options: impl Fn(TaskBuilder) -> TaskBuilder, why: Why) {
    let weak = pool.handle();
    for plain in [options(pool.task()), options(weak.task())] {
        refuse!(
            pool,
            plain.clone(),
            why,
            [execute, try_execute, nothing; execute_ok, try_execute_ok, no_value]
        );
        refuse!(
            pool,
            plain.clone().fallible(),
            why,
            [execute_ok, try_execute_ok, no_value]
        );
        refuse!(
            pool,
            plain.retry::<String>(Retry::default()),
            why,
            [execute_ok, try_execute_ok, no_value]
        );
    }
}

#[test]
fn no_time_at_all_is_refused() {
    let pool = Hearing::new();
    is_refused(&pool, |task| task.expires(ZERO), ZERO_EXPIRES);
    is_refused(
        &pool,
        |task| task.attempt_timeout(ZERO),
        ZERO_ATTEMPT_TIMEOUT,
    );
    is_refused(&pool, |task| task.total_timeout(ZERO), ZERO_TOTAL_TIMEOUT);
    is_refused(&pool, |task| task.deadline(ZERO), ZERO_DEADLINE);
    is_refused(
        &pool,
        |task| task.name("n").priority(3).delay(S).expires(ZERO),
        ZERO_EXPIRES,
    );
}

#[test]
fn contradictions_are_refused_and_the_error_names_both_options() {
    let pool = Hearing::new();
    let at = pool.now() + S;
    is_refused(&pool, |task| task.delay(S).delay_until(at), TWO_DELAYS);
    is_refused(&pool, |task| task.delay_until(at).delay(ZERO), TWO_DELAYS);
    let foreign = ManualClock::new().clock();
    let limiter = RateLimiter::token_bucket(1, S)
        .burst(1)
        .clock(&foreign)
        .build()
        .unwrap();
    is_refused(&pool, |task| task.gate(&limiter), FOREIGN_CLOCK);
}

#[test]
fn a_refusal_takes_no_place_and_waits_for_none() {
    let pool = Hearing::with(|builder| builder.queue_capacity(1));
    let (hold, held) = hang();
    pool.execute(hold);
    held.started();
    let place = pool.try_submit(|| 7).unwrap();
    // The queue is full, and stays so.
    is_refused(&pool, |task| task.expires(ZERO), ZERO_EXPIRES);
    drop(held);
    assert_eq!(must_join(place).unwrap(), 7);
    is_refused(&pool, |task| task.expires(ZERO), ZERO_EXPIRES);
    assert_eq!(
        must_join(pool.try_submit(|| 8).expect("there is a place")).unwrap(),
        8
    );
}

#[test]
fn what_a_later_call_mends_is_allowed() {
    let pool = Manual::new(1);
    let tasks = [
        pool.task().expires(ZERO).expires(S),
        pool.task().attempt_timeout(HOUR).deadline(S).deadline(HOUR),
        pool.task().attempt_timeout(S).deadline(S).expires(S),
        pool.task()
            .attempt_timeout(Duration::MAX)
            .deadline(Duration::MAX)
            .expires(Duration::MAX),
        pool.task()
            .delay(ZERO)
            .expires(NS)
            .deadline(NS)
            .attempt_timeout(NS),
        pool.task().delay_until(pool.now()).deadline(NS),
    ];
    for task in tasks {
        // The clock stands: there is always time enough.
        assert_eq!(must_join(task.submit(|| 7)).unwrap(), 7);
        assert_eq!(
            must_join(task.fallible().submit(|| Ok::<_, &str>(7))).unwrap(),
            Ok(7)
        );
    }
}
