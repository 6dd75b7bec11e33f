//! Scopes that return the failures of their tasks as one error.
//!
//! Layer: compose.

use crate::compose::failures::Failures;
use crate::compose::scope::body::once;
use crate::compose::scope::handle::ScopedHandle;
use crate::compose::scope::options::ScopeOptions;
use crate::compose::scope::scope::{RETURNED, Scope, enter};
use crate::compose::scope::sink::FailureSink;
use crate::compose::scope::state::ScopeState;
use crate::error::{BoxError, JoinError, TaskError};
use crate::panic;
use crate::pool::{Core, PLAIN, Plain, Pool, TaskBuilder};
use crate::task::group_error::by_box;
use crate::task::unread;
use std::fmt;
use std::ops::Deref;
use std::panic::{Location, resume_unwind};
use std::sync::Arc;

/// Submits tasks that may borrow, and whose failures the scope returns. [`Pool::scope_with`] passes
/// it to its closure.
///
/// Otherwise it is a [`Scope`], to which it dereferences: a function that submits to a `&Scope`
/// takes either. Of what such a function submits, the scope returns the panics, and the errors of
/// [`fallible`](TaskBuilder::fallible) and retried bodies, as their texts. But an `Err` that a body
/// returns to [`Scope::submit`] is a value, as everywhere: it fails nothing, and is dropped with
/// the handle. To have errors count, let the function take a `&GatherScope`.
///
/// Who owns an error: the handle of the task, as long as there is one, and a join gives it with its
/// own type. If the handle is dropped before it has taken the outcome, the error goes to the scope,
/// as a [`BoxError`]. [`Failures::pick`] finds it there by its type.
///
/// ```
/// use millhand::compose::GatherScope;
/// use millhand::ScopeOptions;
/// use std::{fs, io};
///
/// fn copy<'scope>(s: &'scope GatherScope<'scope, '_>, from: &'scope str) {
///     s.submit(move || fs::copy(from, "copy"));
/// }
///
/// let pool = millhand::ThreadPool::new(2)?;
/// let failures = pool
///     .scope_with(ScopeOptions::collect_all(), |s| {
///         copy(s, "no such file");
///         s.submit(|| "x".parse::<u8>()); // another type of error
///         s.submit_value(|| 6 * 7); // none
///     })
///     .unwrap_err();
/// assert_eq!(failures.len(), 2);
/// assert_eq!(failures.pick::<io::Error>().count(), 1);
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
///
/// Guide: [composition](crate::guide::composition).
pub struct GatherScope<'scope, 'env: 'scope> {
    scope: Scope<'scope, 'env>,
}

impl<'scope, 'env> GatherScope<'scope, 'env> {
    pub(super) fn new(scope: Scope<'scope, 'env>) -> Self {
        Self { scope }
    }

    /// Submits a task that may borrow and may fail, and returns its handle.
    ///
    /// Each call may have an error type of its own: one that becomes a [`BoxError`], as all errors
    /// and texts do. Where the closure uses `?`, write the type of its result. Waits, and is
    /// refused, as [`Scope::submit`].
    ///
    /// ```
    /// use millhand::ScopeOptions;
    /// use std::{fs, io};
    ///
    /// fn check() -> Result<(), String> {
    ///     Err("not today".to_owned())
    /// }
    ///
    /// let pool = millhand::ThreadPool::new(2)?;
    /// let failures = pool
    ///     .scope_with(ScopeOptions::collect_all(), |s| {
    ///         s.submit(check);
    ///         s.submit(|| fs::remove_file("no such file"));
    ///         s.submit(|| -> io::Result<usize> {
    ///             let text = fs::read_to_string("no such file")?;
    ///             Ok(text.len())
    ///         });
    ///     })
    ///     .unwrap_err();
    /// assert_eq!(failures.len(), 3);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    #[track_caller]
    pub fn submit<F, T, E>(&'scope self, f: F) -> ScopedHandle<'scope, Result<T, E>>
    where
        F: FnOnce() -> Result<T, E> + Send + 'scope,
        T: Send + 'scope,
        E: Into<BoxError> + Send + 'static,
    {
        let (site, show) = (Location::caller(), by_box::<E>);
        let scope = &self.scope;
        scope.submit_fallible(site, &PLAIN, once(f), show, None)
    }

    /// Submits a task that may borrow and cannot fail, and returns its handle. A panic is a
    /// failure.
    ///
    /// ```
    /// use millhand::ScopeOptions;
    ///
    /// let pool = millhand::ThreadPool::new(2)?;
    /// let words = ["mill", "hand"];
    /// let total = pool.scope_with(ScopeOptions::fail_fast(), |s| {
    ///     let lengths = words.map(|word| s.submit_value(move || word.len()));
    ///     lengths.map(|length| length.join().unwrap()).iter().sum::<usize>()
    /// })?;
    /// assert_eq!(total, 8);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn submit_value<F, T>(&'scope self, f: F) -> ScopedHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        self.scope.submit_plain(Location::caller(), &PLAIN, f)
    }

    /// Begins a template for tasks of this scope with options; see [`Scope::task`].
    ///
    /// ```
    /// use millhand::ScopeOptions;
    ///
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let failures = pool
    ///     .scope_with(ScopeOptions::collect_all(), |s| {
    ///         s.task().name("parse").submit(|| "x".parse::<u8>());
    ///     })
    ///     .unwrap_err();
    /// assert_eq!(failures.first().name(), Some("parse"));
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn task(&'scope self) -> TaskBuilder<Plain, &'scope Self> {
        TaskBuilder::new(self.scope.core().clone(), self)
    }
}

impl<'scope, 'env> Deref for GatherScope<'scope, 'env> {
    type Target = Scope<'scope, 'env>;

    fn deref(&self) -> &Self::Target {
        &self.scope
    }
}

impl fmt::Debug for GatherScope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scope } = self;
        f.debug_struct("GatherScope")
            .field("token", &scope.token())
            .finish_non_exhaustive()
    }
}

/// Runs a scope that returns its failures. What depends on the types of `f` and its value is kept
/// small.
fn gathering<'env, R>(
    core: &Arc<Core>,
    options: &ScopeOptions,
    f: impl for<'scope> FnOnce(&'scope GatherScope<'scope, 'env>) -> R,
) -> Result<R, Failures> {
    let (mut f, mut value) = (Some(f), None);
    let failures = run_gathering(core, options, &mut |scope| {
        if let Some(f) = f.take() {
            value = Some(f(scope));
        }
    });
    match (failures, value) {
        (None, Some(value)) => Ok(value),
        (Some(failures), _) => Err(failures),
        (None, None) => unreachable!("{RETURNED}"),
    }
}

fn run_gathering<'env>(
    core: &Arc<Core>,
    options: &ScopeOptions,
    f: &mut dyn for<'scope> FnMut(&'scope GatherScope<'scope, 'env>),
) -> Option<Failures> {
    let sink = FailureSink::of_all_failures(core.owner());
    let (token, _hook) = options.build_token(core.clock());
    let state = ScopeState::new(token, options.fails_fast(), sink);
    let result = enter(core, &state, f);
    let failures = state.found().into_failures(state.first_failure());
    if let Err(payload) = result {
        for failure in failures.into_iter().flatten() {
            match failure.into_error() {
                JoinError::Task(TaskError::Panicked(panicked)) => unread::panicked(&panicked),
                other => panic::discard(other),
            }
        }
        resume_unwind(payload)
    }
    failures
}

impl Pool {
    /// Runs tasks that may borrow local variables, with options, and returns their failures
    /// as an error. Otherwise as [`scope`](Self::scope).
    ///
    /// A failure is a task that failed, panicked, or ended without a value, and whose outcome
    /// no handle took.
    ///
    /// # Errors
    /// [`Failures`]: first the task for which the others were cancelled, then the others in the
    /// order of their submission. Tasks that the scope itself cancelled for that one are not
    /// among them. If a handle took that failure, they are what is left, and stand there as
    /// cancelled.
    ///
    /// A request to stop the task that opened the scope does not end that task here, as it may in
    /// `scope`: what was cancelled for it is among the failures.
    ///
    /// # Panics
    /// With the payload of `f` if `f` panics.
    ///
    /// ```
    /// use millhand::{JoinError, ScopeOptions};
    ///
    /// let pool = millhand::ThreadPool::new(2)?;
    /// let texts = ["1", "2", "x"];
    /// let mut numbers = [0; 3];
    /// let done = pool.scope_with(ScopeOptions::fail_fast(), |s| {
    ///     for (text, number) in texts.iter().zip(&mut numbers) {
    ///         s.submit(move || text.parse::<u8>().map(|n| *number = n));
    ///     }
    /// });
    /// let failure = done.unwrap_err().into_first();
    /// assert_eq!(failure.index(), 2);
    /// assert!(matches!(failure.into_error(), JoinError::Failed(_)));
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn scope_with<'env, F, R>(&self, options: ScopeOptions, f: F) -> Result<R, Failures>
    where
        F: for<'scope> FnOnce(&'scope GatherScope<'scope, 'env>) -> R,
    {
        gathering(self.core(), &options, f)
    }
}
