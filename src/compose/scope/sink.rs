//! Where a scope collects the failures that no handle takes, and with which errors its tasks may
//! fail.
//!
//! Layer: compose.

use crate::cancel::blocking::token_unless_unwinding;
use crate::compose::failures::{Failure, Failures};
use crate::error::{JoinError, TaskError};
use crate::panic::{self, Level, Payload, TaskPanic};
use crate::reason::CancelReason;
use crate::sealed::Sealed;
use crate::sync::Mutex;
use crate::task::options::{TaskLabel, Unread};
use std::fmt;
use std::marker::PhantomData;
use std::mem;
use std::panic::resume_unwind;

/// Marks a plain [`Scope`](crate::Scope) in the type of a function's parameter.
///
/// Its bodies may fail with errors of any types. The scope does not return them: join the handles.
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

/// Marks a [`Scope`](crate::Scope) or a [`Pipeline`](crate::Pipeline) whose closures all fail
/// with the same error type.
///
/// A scope of this kind returns the failures that no handle takes. A pipeline of this kind has a
/// [`stage_ok`](crate::Pipeline::stage_ok).
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

/// Bounds the parameter of a function that submits closures with the error type `E` to any kind of
/// [`Scope`](crate::Scope), or adds them to any kind of [`Pipeline`](crate::Pipeline).
///
/// A plain scope admits errors of any type, and so does a plain pipeline, whose first
/// [`stage_ok`](crate::Pipeline::stage_ok) decides its error type. [`Only<E>`](Only) admits `E`.
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
pub trait Admits<E>: Sealed + 'static {}

impl Sealed for AnyError {}
impl<E> Sealed for Only<E> {}
impl<E> Admits<E> for AnyError {}
impl<E: 'static> Admits<E> for Only<E> {}

/// Collects the failures of a scope that no handle takes.
pub(crate) struct FailureSink {
    keeps_all: bool,
    found: Mutex<Found>,
}

#[derive(Default)]
pub(crate) struct Found {
    /// Of a plain scope: the first panic.
    pub(crate) panic: Option<Box<TaskPanic>>,
    /// Of a plain scope: a task that was not run to its end. The first that the pool refused, if
    /// any.
    pub(crate) unfinished: Option<Unfinished>,
    /// Of a scope that returns its failures.
    all: Vec<(usize, TaskLabel, Unread)>,
}

impl FailureSink {
    /// For a scope that panics with the first panic of a task, and returns no failures.
    pub(crate) fn of_plain_scope() -> Self {
        Self {
            keeps_all: false,
            found: Mutex::new(Found::default()),
        }
    }

    /// For a scope that returns all failures.
    pub(crate) fn of_all_failures() -> Self {
        Self {
            keeps_all: true,
            found: Mutex::new(Found::default()),
        }
    }

    pub(crate) fn take(&self) -> Found {
        mem::take(&mut *self.found.lock())
    }

    /// The task with this index in the scope failed, and no handle is left to take its failure.
    pub(crate) fn unread(&self, index: usize, who: TaskLabel, failure: Unread) {
        match failure {
            _ if self.keeps_all => self.found.lock().all.push((index, who, failure)),
            JoinError::Failed(error) => {
                panic::log(
                    Level::Warn,
                    format_args!("{who} failed, and no handle is left that could take its error"),
                );
                panic::discard(error);
            }
            JoinError::Task(TaskError::Panicked(panic)) => {
                let mut found = self.found.lock();
                if found.panic.is_none() {
                    found.panic = Some(panic);
                    return;
                }
                drop(found);
                panic.unread();
            }
            JoinError::Task(error) => {
                let unfinished = Unfinished::new(who, error);
                let mut found = self.found.lock();
                let refused = found.unfinished.as_ref().filter(|first| first.is_refused());
                if refused.is_none() {
                    found.unfinished = Some(unfinished);
                }
            }
        }
    }
}

impl Found {
    /// All failures: first the one for which the scope cancelled the other tasks, then the others
    /// in the order of submission. Without the tasks that the scope cancelled for another
    /// failure.
    pub(crate) fn into_failures<E: 'static>(
        self,
        first_failure: Option<usize>,
    ) -> Option<Failures<E>> {
        let list = sorted(self.all, first_failure).into_iter();
        let typed = list.map(|(index, who, failure)| {
            let error = match failure {
                JoinError::Task(error) => JoinError::Task(error),
                JoinError::Failed(error) => match error.downcast() {
                    Ok(error) => JoinError::Failed(*error),
                    Err(_) => unreachable!("a scope admits bodies that fail with one type"),
                },
            };
            Failure::new(index, who, error)
        });
        Failures::new(typed.collect())
    }
}

fn sorted(
    mut list: Vec<(usize, TaskLabel, Unread)>,
    first_failure: Option<usize>,
) -> Vec<(usize, TaskLabel, Unread)> {
    let is_consequence = |failure: &Unread| {
        matches!(
            failure,
            JoinError::Task(TaskError::Cancelled(CancelReason::Scope))
        )
    };
    if !list.iter().all(|(_, _, failure)| is_consequence(failure)) {
        list.retain(|(_, _, failure)| !is_consequence(failure));
    }
    list.sort_by_key(|(index, ..)| (Some(*index) != first_failure, *index));
    list
}

/// A task that was not run to its end.
pub(crate) struct Unfinished {
    who: TaskLabel,
    error: TaskError,
}

impl Unfinished {
    pub(crate) fn new(who: TaskLabel, error: TaskError) -> Self {
        Self { who, error }
    }

    /// Whether the pool refused to run the task, or ended before it did.
    pub(crate) fn is_refused(&self) -> bool {
        matches!(
            self.error,
            TaskError::Rejected(_) | TaskError::Cancelled(CancelReason::Shutdown)
        )
    }

    /// Leaves the caller, which cannot go on without the task: as `checkpoint` does if the current
    /// task was asked to stop, else with a panic that names the task.
    #[track_caller]
    #[cold]
    pub(crate) fn propagate(self, what: &str) -> ! {
        if let Some(reason) = reason_here() {
            panic::unwind(reason);
        }
        panic!("{}", self.text(what));
    }

    #[cold]
    pub(crate) fn log(self, what: &str) {
        panic::log(Level::Error, format_args!("{}", self.text(what)));
    }

    fn text(&self, what: &str) -> String {
        let Self { who, error } = self;
        format!("{who}, of a {what}, was not run to its end: {error}")
    }
}

/// Why the task that runs on this thread was asked to stop, if it was and the thread does not
/// unwind already.
pub(crate) fn reason_here() -> Option<CancelReason> {
    token_unless_unwinding()?.reason()
}

/// Why a plain scope does not return the value of its closure.
pub(crate) enum PlainStop {
    /// Its closure panicked.
    Closure(Payload),
    /// A task panicked, and no handle took its outcome.
    Panicked(Box<TaskPanic>),
    /// A task was not run to its end.
    Unfinished(Unfinished),
}

impl PlainStop {
    #[track_caller]
    #[cold]
    pub(crate) fn propagate(self) -> ! {
        match self {
            Self::Closure(payload) => resume_unwind(payload),
            Self::Panicked(panicked) => panicked.resume(),
            Self::Unfinished(unfinished) => unfinished.propagate("scope"),
        }
    }

    /// In place of `propagate` in a destructor that a panic has called: a second panic would abort
    /// the process.
    #[cold]
    pub(crate) fn log(self) {
        match self {
            Self::Closure(payload) => panic::discard(payload),
            Self::Panicked(panicked) => panicked.unread(),
            Self::Unfinished(unfinished) => unfinished.log("scope"),
        }
    }
}
