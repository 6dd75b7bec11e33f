//! What became of a task, as plain data.
//!
//! Layer: task.

use crate::error::TaskError;
use crate::id::TaskId;
use std::sync::Arc;
use std::time::Duration;

/// Reports how a task ended, without its value.
///
/// ```
/// use millhand::task::OutcomeKind;
///
/// let (_promise, handle) = millhand::promise::<u32>();
/// let (sender, receiver) = std::sync::mpsc::channel();
/// handle.on_finish(move |summary| sender.send(summary.outcome).unwrap());
/// handle.cancel();
/// assert_eq!(receiver.recv(), Ok(OutcomeKind::Cancelled));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum OutcomeKind {
    /// The body returned; for a fallible task, `Ok`.
    Completed,
    /// The body of a fallible task returned `Err`.
    Failed,
    /// The body panicked.
    Panicked,
    /// It was cancelled.
    Cancelled,
    /// It did not start in time.
    Expired,
    /// It ran out of time.
    TimedOut,
    /// The pool did not take it.
    Rejected,
}

impl OutcomeKind {
    /// The kind behind the code that an atomic holds.
    pub(crate) fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Completed,
            1 => Self::Failed,
            2 => Self::Panicked,
            3 => Self::Cancelled,
            4 => Self::Expired,
            5 => Self::TimedOut,
            _ => Self::Rejected,
        }
    }

    pub(crate) fn of_error(error: &TaskError) -> Self {
        match error {
            TaskError::Panicked(_) => Self::Panicked,
            TaskError::Cancelled(_) => Self::Cancelled,
            TaskError::Expired(_) => Self::Expired,
            TaskError::TimedOut => Self::TimedOut,
            // The last three are a waiter's answers and no task's outcome, unless a promise was
            // settled with one.
            TaskError::Rejected(_)
            | TaskError::WouldDeadlock(_)
            | TaskError::Interrupted(_)
            | TaskError::Forked => Self::Rejected,
        }
    }
}

/// What an [`on_finish`](crate::TaskHandle::on_finish) callback receives.
///
/// ```
/// let pool = millhand::ThreadPool::new(1)?;
/// let (sender, receiver) = std::sync::mpsc::channel();
/// let handle = pool.task().name("index").submit(|| 1);
/// handle.on_finish(move |summary| sender.send(summary.clone()).unwrap());
/// let summary = receiver.recv()?;
/// assert_eq!(summary.id, handle.id());
/// assert_eq!(summary.name.as_deref(), Some("index"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Summary {
    /// The task.
    pub id: TaskId,
    /// Its name, if it was given one.
    pub name: Option<Arc<str>>,
    /// What became of it.
    pub outcome: OutcomeKind,
    /// How long it ran, from the start of its first attempt (what lies between two is counted,
    /// too); `None` if it never did, if nothing had asked for a measurement when it started (a
    /// plain task reads no clock: a name, a token or a callback asks for one), or if the callback
    /// came after the end.
    pub ran_for: Option<Duration>,
}
