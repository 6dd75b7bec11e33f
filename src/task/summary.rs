//! What became of a task, as plain data.
//!
//! Layer: task.

use crate::error::{Rejection, TaskError};
use crate::id::TaskId;
use crate::task::label::TaskLabel;
use std::panic::Location;
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
///
/// Guide: [observability](crate::guide::observability).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum OutcomeKind {
    /// The body returned; for a fallible task, `Ok`.
    Succeeded,
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
    /// Returns the word for it: in lower case, with a space in `timed out`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Panicked => "panicked",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::TimedOut => "timed out",
            Self::Rejected => "rejected",
        }
    }

    /// The kind behind the code that an atomic holds.
    pub(crate) fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Succeeded,
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

/// Describes how a task ended: what an [`on_finish`](crate::TaskHandle::on_finish) callback and the
/// last event of a task have.
///
/// ```
/// let pool = millhand::ThreadPool::new(1)?;
/// let (sender, receiver) = std::sync::mpsc::channel();
/// let index = pool.task().name("index").on_finish(move |summary| sender.send(summary.clone()).unwrap());
/// let handle = index.submit(|| 1);
/// let summary = receiver.recv()?;
/// assert_eq!(summary.id, handle.id());
/// assert_eq!(summary.name.as_deref(), Some("index"));
/// println!("waited {:?}, ran {:?}", summary.waited, summary.ran);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// The times are there for a task that is timed: one with a name, or of a template with
/// [`timed`](crate::TaskBuilder::timed). Others read no clock, unless something else asks for it.
///
/// Guide: [observability](crate::guide::observability).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Summary {
    /// The task.
    pub id: TaskId,
    /// Its name, if it was given one.
    pub name: Option<Arc<str>>,
    /// Where it was submitted.
    pub site: &'static Location<'static>,
    /// What became of it.
    pub outcome: OutcomeKind,
    /// How long it waited from when it was due to the start of its first attempt, in the queue and
    /// at gates. A task is due at its submission, after its delay, or when the tasks that it
    /// continues have settled. `None` if it never ran, or is not timed.
    pub waited: Option<Duration>,
    /// How long it ran, from the start of its first attempt (what lies between two is counted,
    /// too); `None` if it never did, if nothing had asked for a measurement when it started (a
    /// name, `timed` or a callback asks for one), if the task ended between two attempts, or if the
    /// callback came after the end.
    pub ran: Option<Duration>,
    /// How many attempts it made: 0 if it never ran, and more than 1 only if it was retried.
    pub attempts: u32,
    /// Why it has no value: the text of the body's error, cut at 8 KiB, the message of its panic,
    /// or the reason for which it was cancelled, was late or was rejected. `None` for a task that
    /// succeeded, and for a failure whose text nothing had asked for when its body returned.
    pub error: Option<Arc<str>>,
}

impl Summary {
    /// Of a task that the pool did not take.
    pub(crate) fn refused(who: &TaskLabel, reason: &Rejection) -> Self {
        Self {
            id: who.id,
            name: who.name.clone(),
            site: who.site,
            outcome: OutcomeKind::Rejected,
            waited: None,
            ran: None,
            attempts: 0,
            error: Some(reason.to_string().into()),
        }
    }

    pub(crate) fn label(&self) -> TaskLabel {
        TaskLabel::new(self.id, self.name.clone(), self.site)
    }
}
