//! Retrying: a body that may run again, and the same on the caller's own thread.
//!
//! Layer 2. What is decided is decided in `policy`.

use crate::here;
use crate::panic::{self, Payload};
use crate::policy::Retry;
use crate::task::context;
use crate::task::work::{Facts, Failure, Work};
use std::any::Any;
use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

type Classify<E> = Arc<dyn Fn(&E) -> bool + Send + Sync>;
type Hint<E> = Arc<dyn Fn(&E) -> Option<Duration> + Send + Sync>;

/// When a failed attempt is followed by another.
pub(crate) struct Rules<E> {
    pub(crate) policy: Retry,
    pub(crate) retry_if: Option<Classify<E>>,
    pub(crate) retry_after: Option<Hint<E>>,
    pub(crate) timeouts: bool,
    pub(crate) panics: bool,
    /// How an error is told to the next attempt; without it the common types of errors are known.
    pub(crate) text: Option<fn(&E) -> String>,
}

impl<E: 'static> Rules<E> {
    pub(crate) fn new(policy: Retry) -> Self {
        Self {
            policy,
            retry_if: None,
            retry_after: None,
            timeouts: true,
            panics: false,
            text: None,
        }
    }

    /// The delay before the next attempt; `None`: no other.
    fn decide<T>(&self, failure: &Failure<'_, Result<T, E>>, facts: &Facts) -> Option<Duration> {
        let mut hint = None;
        let wanted = match failure {
            Failure::Failed(Err(error)) => {
                hint = self.retry_after.as_ref().and_then(|hint| hint(error));
                self.retry_if.as_ref().is_none_or(|wanted| wanted(error))
            }
            Failure::Failed(Ok(_)) => false,
            Failure::TimedOut => self.timeouts,
            Failure::Panicked => self.panics,
        };
        if !wanted {
            return None;
        }
        let retries = facts.attempts.saturating_sub(1);
        self.policy.decide(retries, facts.elapsed, facts.salt, hint)
    }

    fn text(&self, error: &E) -> Option<Arc<str>> {
        match self.text {
            Some(text) => Some(text(error).into()),
            None => known_text(error),
        }
    }
}

impl<E> Clone for Rules<E> {
    fn clone(&self) -> Self {
        Self {
            policy: self.policy.clone(),
            retry_if: self.retry_if.clone(),
            retry_after: self.retry_after.clone(),
            ..*self
        }
    }
}

/// The text of an error whose type is one of the usual ones: a bound on every error would shut the others out.
fn known_text(error: &dyn Any) -> Option<Arc<str>> {
    fn show<E: fmt::Display + 'static>(error: &dyn Any) -> Option<Arc<str>> {
        let error: &E = error.downcast_ref()?;
        Some(error.to_string().into())
    }
    show::<String>(error)
        .or_else(|| show::<&'static str>(error))
        .or_else(|| show::<Cow<'static, str>>(error))
        .or_else(|| show::<io::Error>(error))
        .or_else(|| show::<Box<dyn Error + Send + Sync>>(error))
        .or_else(|| show::<Box<dyn Error + Send>>(error))
        .or_else(|| show::<Arc<dyn Error + Send + Sync>>(error))
        .or_else(|| show::<fmt::Error>(error))
        .or_else(|| show::<std::num::ParseIntError>(error))
        .or_else(|| show::<std::num::ParseFloatError>(error))
        .or_else(|| show::<std::str::Utf8Error>(error))
        .or_else(|| show::<std::string::FromUtf8Error>(error))
}

/// A body that may run again.
pub(crate) struct RetryWork<F, E>(pub(crate) F, pub(crate) Arc<Rules<E>>);

impl<F, T, E> Work for RetryWork<F, E>
where
    F: FnMut() -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    type Output = Result<T, E>;

    fn attempt(mut self) -> (Result<Self::Output, Payload>, Option<Self>) {
        (panic::catch(&mut self.0), Some(self))
    }

    fn is_failure(output: &Self::Output) -> bool {
        output.is_err()
    }

    fn into_error(output: Self::Output) -> Option<Box<dyn Any + Send>> {
        output.err().map(|error| Box::new(error) as _)
    }

    fn again(&self, failure: Failure<'_, Self::Output>, facts: &Facts) -> Option<Duration> {
        // The classifiers are the user's; one that panics has said nothing, so the failure stands.
        let mut delay = None;
        panic::shield("a retry classifier", || {
            delay = self.1.decide(&failure, facts);
        });
        delay
    }

    fn text(&self, output: &Self::Output) -> Option<Arc<str>> {
        let error = output.as_ref().err()?;
        let mut text = None;
        panic::shield("an error's Display", || text = self.1.text(error));
        text
    }
}

impl Retry {
    /// Runs `f` on this thread until it succeeds or the policy gives up, and sleeps between the attempts; `f` gets the
    /// number of its attempt, from 1. Without a pool, for a program's own thread.
    ///
    /// Inside a task the sleep gives up the seat, and a task that is asked to stop makes no further attempt. (There, the
    /// builder's [`retry`](crate::TaskBuilder::retry) is the better choice: nothing sleeps at all.)
    ///
    /// # Errors
    /// The last attempt's.
    ///
    /// ```
    /// use millhand::Retry;
    /// use std::time::Duration;
    ///
    /// let retry = Retry::fixed(3, Duration::from_millis(1));
    /// let answer = retry.run(|attempt| if attempt < 3 { Err("not yet") } else { Ok(attempt) });
    /// assert_eq!(answer, Ok(3));
    /// assert_eq!(retry.run(|attempt| Err::<(), _>(attempt)), Err(4)); // the first attempt and three retries
    /// ```
    pub fn run<T, E>(&self, mut f: impl FnMut(u32) -> Result<T, E>) -> Result<T, E> {
        let clock = here::clock();
        let begun = clock.now();
        // One number a run, as a task has its order.
        let salt = crate::gate::next_order();
        let mut attempt = 1;
        loop {
            let error = match f(attempt) {
                Err(error) => error,
                done => return done,
            };
            let elapsed = clock.now().saturating_duration_since(begun);
            match self.decide(attempt - 1, elapsed, salt, None) {
                Some(delay) if context::sleep(delay).is_ok() => attempt = attempt.saturating_add(1),
                _ => return Err(error),
            }
        }
    }
}
