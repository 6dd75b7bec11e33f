//! How a scope deals with failures, and until when it goes on.
//!
//! Layer 6.

use crate::cancel::{CancelGuard, CancelToken};
use crate::clock::Clock;
use crate::task::token_here;
use std::fmt;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

/// The options of a scope whose failures come back as one error; for [`ThreadPool::scope_with`](crate::ThreadPool::scope_with).
///
/// `E` is the error of its fallible bodies, and is known from these. Where there are none it has to be said:
/// `ScopeOptions::<Infallible>::fail_fast()`.
///
/// ```
/// use millhand::ScopeOptions;
/// use std::time::Duration;
///
/// let pool = millhand::ThreadPool::new(2)?;
/// let files = ["Cargo.toml".to_owned(), "no such file".to_owned()];
/// let options = ScopeOptions::fail_fast().timeout(Duration::from_secs(60));
/// let failures = pool
///     .scope_with(options, |s| {
///         for file in &files {
///             s.task().name(file.as_str()).fallible().submit(move || std::fs::read(file));
///         }
///     })
///     .unwrap_err();
/// assert_eq!(failures.first().name(), Some("no such file"));
/// # Ok::<(), millhand::BuildError>(())
/// ```
#[must_use]
pub struct ScopeOptions<E> {
    fails_fast: bool,
    token: Option<CancelToken>,
    timeout: Option<Duration>,
    deadline: Option<Instant>,
    errors: PhantomData<fn() -> E>,
}

impl<E> ScopeOptions<E> {
    fn new(fails_fast: bool) -> Self {
        Self {
            fails_fast,
            token: None,
            timeout: None,
            deadline: None,
            errors: PhantomData,
        }
    }

    /// The first task that fails (with an `Err` of a fallible body, a panic, a time limit, or because the pool does not
    /// take it) cancels the others, with [`CancelReason::Scope`](crate::CancelReason::Scope); so does a panic of the scope's own closure. A
    /// task that is cancelled for itself cancels no other.
    ///
    /// ```
    /// # use millhand::ScopeOptions;
    /// # use std::time::Duration;
    /// # let pool = millhand::ThreadPool::new(2)?;
    /// let failures = pool
    ///     .scope_with(ScopeOptions::fail_fast(), |s| {
    ///         s.submit(|| millhand::sleep(Duration::from_secs(3600)));
    ///         s.task().fallible().submit(|| "x".parse::<u8>());
    ///     })
    ///     .unwrap_err();
    /// assert_eq!(failures.len(), 1); // and that was at once
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn fail_fast() -> Self {
        Self::new(true)
    }

    /// All tasks run, whatever becomes of the others.
    ///
    /// ```
    /// # use millhand::ScopeOptions;
    /// # let pool = millhand::ThreadPool::new(2)?;
    /// let texts = ["1", "x", "3", ""];
    /// let failures = pool
    ///     .scope_with(ScopeOptions::collect_all(), |s| {
    ///         for text in texts {
    ///             s.task().fallible().submit(move || text.parse::<u8>());
    ///         }
    ///     })
    ///     .unwrap_err();
    /// let indices: Vec<_> = failures.iter().map(|failure| failure.index()).collect();
    /// assert_eq!(indices, [1, 3]);
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn collect_all() -> Self {
        Self::new(false)
    }

    /// Cancels all tasks when `token` is cancelled: the scope's own token is below it. Default: none, but in a task the
    /// scope is below that in any case.
    ///
    /// ```
    /// # use millhand::{CancelReason, CancelToken, ScopeOptions, Stopped};
    /// # use std::time::Duration;
    /// # let pool = millhand::ThreadPool::new(2)?;
    /// let batch = CancelToken::new();
    /// let stopped = pool.scope_with(ScopeOptions::fail_fast().token(&batch), |s| {
    ///     s.task().fallible().submit(|| millhand::sleep(Duration::from_secs(3600)));
    ///     batch.cancel(CancelReason::User);
    /// });
    /// assert!(stopped.is_err());
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn token(mut self, token: &CancelToken) -> Self {
        self.token = Some(token.clone());
        self
    }

    /// Cancels what has not finished this long after the scope began, with
    /// [`CancelReason::Deadline`](crate::CancelReason::Deadline): queued tasks settle as
    /// [`TimedOut`](crate::TaskError::TimedOut), running ones are asked to stop, and waited for. Default: never.
    ///
    /// ```
    /// # use millhand::{ScopeOptions, TaskError};
    /// # use std::time::Duration;
    /// # let pool = millhand::ThreadPool::new(1)?;
    /// let options = ScopeOptions::collect_all().timeout(Duration::from_millis(1));
    /// let failures = pool
    ///     .scope_with(options, |s| {
    ///         s.task().fallible().submit(|| millhand::sleep(Duration::from_secs(3600)));
    ///         s.submit(|| ()); // queued behind it
    ///     })
    ///     .unwrap_err();
    /// assert!(failures.pick::<TaskError>().all(|(_, error)| matches!(error, TaskError::TimedOut)));
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// As [`timeout`](Self::timeout), at a fixed instant. With both the earlier one counts.
    ///
    /// ```
    /// # use millhand::ScopeOptions;
    /// # use std::time::{Duration, Instant};
    /// # let pool = millhand::ThreadPool::new(1)?;
    /// let options = ScopeOptions::fail_fast().deadline(Instant::now());
    /// let late = pool.scope_with(options, |s| {
    ///     s.task().fallible().submit(|| millhand::sleep(Duration::from_secs(3600)));
    /// });
    /// assert!(late.is_err());
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.deadline = Some(deadline);
        self
    }

    pub(crate) fn fails_fast(&self) -> bool {
        self.fails_fast
    }

    /// The scope's token, and what cancels it with what it cannot be below as well.
    pub(crate) fn build_token(&self, clock: &Clock) -> (CancelToken, Option<CancelGuard>) {
        let (mut token, hook) = match &self.token {
            Some(token) => below_both(token, token_here().as_ref()),
            None => (token_below_here(clock), None),
        };
        if let Some(timeout) = self.timeout {
            token = token.child_with_timeout(timeout);
        }
        if let Some(deadline) = self.deadline {
            token = token.child_with_deadline(deadline);
        }
        (token, hook)
    }
}

/// A token below that of the task that runs here, if one does; else one that goes by this clock.
pub(crate) fn token_below_here(clock: &Clock) -> CancelToken {
    token_here().map_or_else(|| CancelToken::with_clock(clock), |token| token.child())
}

/// A token below `above` that is cancelled with `other`, too, as long as what is returned beside it lives.
pub(crate) fn below_both(
    above: &CancelToken,
    other: Option<&CancelToken>,
) -> (CancelToken, Option<CancelGuard>) {
    let Some(other) = other else {
        return (above.child(), None);
    };
    let token = match other.deadline() {
        Some(deadline) => above.child_with_deadline(deadline),
        None => above.child(),
    };
    let cancelled = token.clone();
    let hook = other.on_cancel(move |reason| {
        cancelled.cancel(reason);
    });
    (token, Some(hook))
}

impl<E> Clone for ScopeOptions<E> {
    fn clone(&self) -> Self {
        Self {
            token: self.token.clone(),
            ..*self
        }
    }
}

impl<E> fmt::Debug for ScopeOptions<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            fails_fast,
            token,
            timeout,
            deadline,
            errors: PhantomData,
        } = self;
        f.debug_struct("ScopeOptions")
            .field("fails_fast", fails_fast)
            .field("token", token)
            .field("timeout", timeout)
            .field("deadline", deadline)
            .finish()
    }
}
