//! Retrying: the rules of a body that may run again, and retries on the caller's own thread.
//!
//! Layer: task. The decision itself is in `retry`, beside the limits.

use crate::clock;
use crate::panic;
use crate::retry::Retry;
use crate::task::body::{Facts, FailedAttempt};
use crate::task::current;
use crate::task::group_error::BoxedError;
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
}

impl<E: 'static> Rules<E> {
    pub(crate) fn new(policy: Retry) -> Self {
        Self {
            policy,
            retry_if: None,
            retry_after: None,
            timeouts: true,
            panics: false,
        }
    }

    /// The same rules for the errors of this type in boxes.
    pub(crate) fn of_boxed(&self) -> Rules<BoxedError> {
        let retry_if = self.retry_if.clone().map(|wanted| -> Classify<BoxedError> {
            Arc::new(move |error: &BoxedError| error.is_a().is_none_or(|error| wanted(error)))
        });
        let retry_after = self.retry_after.clone().map(|hint| -> Hint<BoxedError> {
            Arc::new(move |error: &BoxedError| hint(error.is_a()?))
        });
        Rules {
            policy: self.policy.clone(),
            retry_if,
            retry_after,
            timeouts: self.timeouts,
            panics: self.panics,
        }
    }

    /// The delay before the next attempt; `None` if there is none. The classifiers are the user's:
    /// if one panics, there is no other attempt.
    pub(crate) fn decide(
        &self,
        failure: FailedAttempt,
        error: Option<&E>,
        facts: &Facts,
    ) -> Option<Duration> {
        let wanted = match failure {
            FailedAttempt::Failed => true,
            FailedAttempt::TimedOut => self.timeouts,
            FailedAttempt::Panicked => self.panics,
        };
        let retries = facts.attempts.saturating_sub(1);
        let mut delay = None;
        panic::shield_dyn("a retry classifier", &mut || {
            let hint = match (&self.retry_after, error) {
                (Some(hint), Some(error)) => hint(error),
                _ => None,
            };
            let wanted = match (&self.retry_if, error) {
                (Some(wanted), Some(error)) => wanted(error),
                _ => wanted,
            };
            if wanted {
                let Facts { elapsed, salt, .. } = *facts;
                delay = self.policy.decide(retries, elapsed, salt, hint);
            }
        });
        delay
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

impl Retry {
    /// Runs `f` on this thread until it succeeds or the policy gives up, and sleeps between the
    /// attempts. Needs no pool. `f` is called with the number of its attempt, from 1.
    ///
    /// Inside a task the sleep releases the run slot, and a task that is asked to stop makes no
    /// further attempt. There, the builder's [`retry`](crate::TaskBuilder::retry) is the better
    /// choice: it keeps no thread while the task waits.
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
        let clock = clock::current::clock();
        let begun = clock.now();
        // One number per run, as a task has its order.
        let salt = crate::limit::next_order();
        let mut attempt = 1;
        loop {
            let error = match f(attempt) {
                Err(error) => error,
                done => return done,
            };
            let elapsed = clock.now().saturating_duration_since(begun);
            match self.decide(attempt - 1, elapsed, salt, None) {
                Some(delay) if current::sleep(delay).is_ok() => attempt = attempt.saturating_add(1),
                _ => return Err(error),
            }
        }
    }
}
