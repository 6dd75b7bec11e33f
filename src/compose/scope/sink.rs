//! Where a scope collects the failures that no handle takes.
//!
//! Layer: compose.

use crate::cancel::blocking::token_unless_unwinding;
use crate::compose::failures::{Failure, Failures};
use crate::error::{JoinError, TaskError};
use crate::panic::{self, Level, Payload, TaskPanic};
use crate::reason::CancelReason;
use crate::sync::Mutex;
use crate::task::group_error::shown;
use crate::task::label::TaskLabel;
use crate::task::options::Unread;
use crate::task::unread::{self, text_of};
use std::fmt;
use std::mem;
use std::panic::resume_unwind;

/// Collects the failures of a scope that no handle takes.
pub(crate) struct FailureSink {
    keeps_all: bool,
    /// The tag of the pool.
    owner: u32,
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
    pub(crate) fn of_plain_scope(owner: u32) -> Self {
        Self {
            keeps_all: false,
            owner,
            found: Mutex::new(Found::default()),
        }
    }

    /// For a scope that returns all failures.
    pub(crate) fn of_all_failures(owner: u32) -> Self {
        Self {
            keeps_all: true,
            owner,
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
                let text = text_of(&error.into_shown());
                unread::report(self.owner, who, JoinError::Failed(text));
            }
            JoinError::Task(TaskError::Panicked(panic)) => {
                let mut found = self.found.lock();
                if found.panic.is_none() {
                    found.panic = Some(panic);
                    return;
                }
                drop(found);
                unread::panicked(&panic);
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
    pub(crate) fn into_failures(self, first_failure: Option<usize>) -> Option<Failures> {
        let list = sorted(self.all, first_failure).into_iter();
        let typed = list.map(|(index, who, failure)| Failure::new(index, who, shown(failure)));
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
        panic!("{}", Text(&self, what));
    }

    #[cold]
    pub(crate) fn log(self, what: &str) {
        self.who
            .log(Level::Error, format_args!("{}", Text(&self, what)));
    }
}

/// The text about a task that was not run to its end, and about what it is a part of.
struct Text<'a>(&'a Unfinished, &'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(Unfinished { who, error }, what) = self;
        write!(f, "{who}, of a {what}, was not run to its end: {error}")
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
            Self::Panicked(panicked) => unread::panicked(&panicked),
            Self::Unfinished(unfinished) => unfinished.log("scope"),
        }
    }
}
