//! The options of a scope: what a failure does to the other tasks, and the time limit.
//!
//! Layer: compose.

use crate::cancel::blocking::{token_here, token_unless_unwinding};
use crate::cancel::{CancelGuard, CancelToken};
use crate::clock::Clock;
use std::time::Duration;

/// Sets the options of a scope that returns its failures as one error; for
/// [`Pool::scope_with`](crate::Pool::scope_with).
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
///             s.task().name(file.as_str()).submit(move || std::fs::read(file));
///         }
///     })
///     .unwrap_err();
/// assert_eq!(failures.first().name(), Some("no such file"));
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
///
/// Guide: [composition](crate::guide::composition).
#[must_use]
#[derive(Clone, Debug)]
pub struct ScopeOptions {
    fails_fast: bool,
    token: Option<CancelToken>,
    timeout: Option<Duration>,
}

impl ScopeOptions {
    fn new(fails_fast: bool) -> Self {
        Self {
            fails_fast,
            token: None,
            timeout: None,
        }
    }

    /// Stops at the first failure: it cancels the other tasks, with
    /// [`CancelReason::Scope`](crate::cancel::CancelReason::Scope).
    ///
    /// A failure is an `Err` of a body, a panic, an exceeded time limit, or a task that
    /// the pool refused. A panic of the scope's own closure cancels the tasks too. A task that is
    /// cancelled by itself cancels no other task.
    ///
    /// ```
    /// # use millhand::ScopeOptions;
    /// # use std::time::Duration;
    /// # let pool = millhand::ThreadPool::new(2)?;
    /// let failures = pool
    ///     .scope_with(ScopeOptions::fail_fast(), |s| {
    ///         s.submit(|| millhand::sleep(Duration::from_secs(3600)));
    ///         s.submit(|| "x".parse::<u8>());
    ///     })
    ///     .unwrap_err();
    /// assert_eq!(failures.len(), 1); // and that was at once
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn fail_fast() -> Self {
        Self::new(true)
    }

    /// Goes on after failures: all tasks run.
    ///
    /// ```
    /// # use millhand::ScopeOptions;
    /// # let pool = millhand::ThreadPool::new(2)?;
    /// let texts = ["1", "x", "3", ""];
    /// let failures = pool
    ///     .scope_with(ScopeOptions::collect_all(), |s| {
    ///         for text in texts {
    ///             s.submit(move || text.parse::<u8>());
    ///         }
    ///     })
    ///     .unwrap_err();
    /// let indices: Vec<_> = failures.iter().map(|failure| failure.index()).collect();
    /// assert_eq!(indices, [1, 3]);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn collect_all() -> Self {
        Self::new(false)
    }

    /// Cancels all tasks when `token` is cancelled: the scope's own token is below it. Default:
    /// no token. In a task, the scope's token is below that of the task in any case.
    ///
    /// ```
    /// # use millhand::{CancelToken, ScopeOptions};
    /// # use std::time::Duration;
    /// # let pool = millhand::ThreadPool::new(2)?;
    /// let batch = CancelToken::new();
    /// let stopped = pool.scope_with(ScopeOptions::fail_fast().token(&batch), |s| {
    ///     s.submit(|| millhand::sleep(Duration::from_secs(3600)));
    ///     batch.cancel();
    /// });
    /// assert!(stopped.is_err());
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn token(mut self, token: &CancelToken) -> Self {
        self.token = Some(token.clone());
        self
    }

    /// Cancels the tasks that have not finished this long after the scope began, with
    /// [`CancelReason::Deadline`](crate::cancel::CancelReason::Deadline). Default: no limit.
    ///
    /// Queued tasks settle as [`Expired`](crate::TaskError::Expired). Running tasks are asked to
    /// stop, and the scope waits for them; one that fails then has [timed
    /// out](crate::TaskError::TimedOut).
    ///
    /// ```
    /// # use millhand::{ScopeOptions, TaskError};
    /// # use std::time::Duration;
    /// # let pool = millhand::ThreadPool::new(1)?;
    /// let options = ScopeOptions::collect_all().timeout(Duration::from_millis(1));
    /// let failures = pool
    ///     .scope_with(options, |s| {
    ///         s.submit(|| millhand::sleep(Duration::from_secs(3600)));
    ///     })
    ///     .unwrap_err();
    /// assert!(failures.pick::<TaskError>().all(|(_, error)| error.is_timeout()));
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    pub(crate) fn fails_fast(&self) -> bool {
        self.fails_fast
    }

    /// The scope's token. A token has one parent, so the second token above it, if there is one,
    /// cancels it by the hook that is returned beside it.
    pub(crate) fn build_token(&self, clock: &Clock) -> (CancelToken, Option<CancelGuard>) {
        let (mut token, hook) = match &self.token {
            Some(token) => below_both(token, token_here().as_ref()),
            None => (token_below_here(clock), None),
        };
        if let Some(timeout) = self.timeout {
            token = token.child_with_timeout(timeout);
        }
        (token, hook)
    }
}

/// A token below that of the task that runs on this thread. If none runs, a token that uses this
/// clock. So also while the thread unwinds: what a destructor opens is not cancelled with the task,
/// since a cancelled scope would unwind in turn, which aborts the process.
pub(crate) fn token_below_here(clock: &Clock) -> CancelToken {
    token_unless_unwinding().map_or_else(|| CancelToken::with_clock(clock), |token| token.child())
}

/// A token below `above` that is also cancelled with `other`, as long as the returned hook lives.
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
        cancelled.cancel_with(reason);
    });
    (token, Some(hook))
}
