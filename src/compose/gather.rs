//! What becomes of the failures in a scope that no handle's reader takes.
//!
//! Layer 6.

use crate::compose::failures::{Failure, Failures};
use crate::error::{JoinError, TaskError};
use crate::extras::{Unread, Who};
use crate::panic::{self, TaskPanic};
use crate::reason::CancelReason;
use crate::task::token_here;
use parking_lot::Mutex;
use std::fmt;
use std::marker::PhantomData;
use std::mem;

/// Of a [`Scope`](crate::Scope): its bodies may fail with errors of any type, which are for their handles' readers.
///
/// ```
/// use millhand::{AnyError, Scope};
///
/// fn fill<'scope>(s: &'scope Scope<'scope, '_, AnyError>, half: &'scope mut [u8]) {
///     s.submit(|| half.fill(1));
/// }
/// let pool = millhand::ThreadPool::new(2)?;
/// let mut bytes = [0; 4];
/// let (left, right) = bytes.split_at_mut(2);
/// pool.scope(|s| {
///     fill(s, left);
///     fill(s, right);
/// });
/// assert_eq!(bytes, [1; 4]);
/// # Ok::<(), millhand::BuildError>(())
/// ```
#[derive(Debug)]
pub struct AnyError(());

/// Of a [`Scope`](crate::Scope): its bodies fail with this type of error, and it gathers what no handle's reader takes. Of a
/// [`Pipeline`](crate::Pipeline): its stages do.
///
/// ```
/// use millhand::{Only, Scope, ScopeOptions};
/// use std::num::ParseIntError;
///
/// fn check<'scope>(s: &'scope Scope<'scope, '_, Only<ParseIntError>>, text: &'scope str) {
///     s.task().fallible().submit(|| text.parse::<u8>());
/// }
/// let pool = millhand::ThreadPool::new(2)?;
/// let texts = ["1".to_owned(), "x".to_owned()];
/// let failures = pool
///     .scope_with(ScopeOptions::collect_all(), |s| texts.iter().for_each(|text| check(s, text)))
///     .unwrap_err();
/// assert_eq!(failures.first().index(), 1);
/// # Ok::<(), millhand::BuildError>(())
/// ```
pub struct Only<E>(PhantomData<fn() -> E>);

impl<E> fmt::Debug for Only<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Only")
    }
}

/// Says with which errors the bodies of a [`Scope`](crate::Scope), or the stages of a [`Pipeline`](crate::Pipeline), may fail: any
/// in a plain one, and one type in one that gathers them.
///
/// ```
/// use millhand::{Admits, Scope};
///
/// fn parse<'scope, X>(s: &'scope Scope<'scope, '_, X>, text: &'scope str)
/// where
///     X: Admits<std::num::ParseIntError>,
/// {
///     s.task().fallible().submit(|| text.parse::<u8>());
/// }
/// let pool = millhand::ThreadPool::new(1)?;
/// pool.scope(|s| parse(s, "7"));
/// pool.scope_with(millhand::ScopeOptions::fail_fast(), |s| parse(s, "7"))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "errors of one type alone are gathered here, and this body fails with another: `{E}`",
    label = "a body that fails with `{E}`",
    note = "`map_err` the error in the body, or take `Box<dyn Error + Send + Sync>` for all"
)]
pub trait Admits<E>: Sealed {}

/// Keeps the trait above to the library's own.
pub trait Sealed: 'static {}

impl Sealed for AnyError {}
impl<E: 'static> Sealed for Only<E> {}
impl<E> Admits<E> for AnyError {}
impl<E: 'static> Admits<E> for Only<E> {}

/// Takes what nobody reads.
pub(crate) trait Gather: Send + Sync {
    fn unread(&self, index: usize, who: Who, failure: Unread);
}

/// Whoever wanted its result no longer did, and said so: that is no failure.
fn is_let_go(failure: &Unread) -> bool {
    matches!(
        failure,
        JoinError::Task(TaskError::Cancelled(CancelReason::Dropped))
    )
}

/// A plain scope's: the first panic, and the first task that was not run to its end.
#[derive(Default)]
pub(crate) struct Worst(Mutex<(Option<Box<TaskPanic>>, Option<Lost>)>);

/// A task that was not run to its end.
pub(crate) struct Lost {
    who: Who,
    error: TaskError,
}

impl Lost {
    pub(crate) fn new(who: Who, error: TaskError) -> Self {
        Self { who, error }
    }

    /// Whether it is the pool's doing.
    pub(crate) fn is_refused(&self) -> bool {
        matches!(
            self.error,
            TaskError::Rejected(_) | TaskError::Cancelled(CancelReason::Shutdown)
        )
    }

    /// Leaves the caller, who cannot go on without it: if the task that runs here has been told to stop, then so.
    #[track_caller]
    #[cold]
    pub(crate) fn comes_through(self, what: &str) -> ! {
        if let Some(reason) = reason_here() {
            panic::unwind(reason);
        }
        let Self { who, error } = self;
        panic!("{who}, of a {what}, was not run to its end: {error}");
    }
}

/// Why the task that runs here has been told to stop, if it has.
pub(crate) fn reason_here() -> Option<CancelReason> {
    token_here()?.reason()
}

impl Worst {
    pub(crate) fn take(&self) -> (Option<Box<TaskPanic>>, Option<Lost>) {
        mem::take(&mut *self.0.lock())
    }
}

impl Gather for Worst {
    fn unread(&self, _: usize, who: Who, failure: Unread) {
        match failure {
            _ if is_let_go(&failure) => {}
            JoinError::Failed(error) => {
                log::warn!("{who} failed, and nobody holds its handle");
                panic::discard(error);
            }
            JoinError::Task(TaskError::Panicked(panic)) => {
                let mut worst = self.0.lock();
                if worst.0.is_none() {
                    worst.0 = Some(panic);
                    return;
                }
                drop(worst);
                panic.unread();
            }
            JoinError::Task(error) => {
                let lost = Lost::new(who, error);
                let mut worst = self.0.lock();
                if worst.1.as_ref().is_none_or(|first| !first.is_refused()) {
                    worst.1 = Some(lost);
                }
            }
        }
    }
}

/// All of them.
pub(crate) struct All<E>(Mutex<Vec<Failure<E>>>);

impl<E> Default for All<E> {
    fn default() -> Self {
        Self(Mutex::new(Vec::new()))
    }
}

impl<E> All<E> {
    /// What there is: the one that had the scope cancelled first, the others as they were submitted. Those that the
    /// scope has cancelled for its sake are no failures beside it.
    pub(crate) fn take(&self, culprit: Option<usize>) -> Option<Failures<E>> {
        let mut list = mem::take(&mut *self.0.lock());
        let is_aftermath = |failure: &Failure<E>| {
            matches!(
                failure.error(),
                JoinError::Task(TaskError::Cancelled(CancelReason::Scope))
            )
        };
        if !list.iter().all(is_aftermath) {
            list.retain(|failure| !is_aftermath(failure));
        }
        list.sort_by_key(|failure| (Some(failure.index()) != culprit, failure.index()));
        Failures::new(list)
    }
}

impl<E: Send + 'static> Gather for All<E> {
    fn unread(&self, index: usize, who: Who, failure: Unread) {
        if is_let_go(&failure) {
            return;
        }
        let error = match failure {
            JoinError::Task(error) => JoinError::Task(error),
            JoinError::Failed(error) => match error.downcast() {
                Ok(error) => JoinError::Failed(*error),
                Err(_) => unreachable!("a scope admits bodies that fail with one type"),
            },
        };
        self.0.lock().push(Failure::new(index, who, error));
    }
}
