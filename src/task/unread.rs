//! Failures that no handle is left to take: each is logged, and passed to the hook of its pool.
//!
//! Layer: task.

use crate::error::{BoxError, JoinError, TaskError};
use crate::id::TaskId;
use crate::panic::{self, Level, TaskPanic};
#[cfg(loom)]
use crate::task::double;
use crate::task::label::TaskLabel;
use crate::task::pool;
use std::fmt::{self, Write};
use std::panic::Location;

/// Describes a failure that no code can read any more: the task had no handle, or its handle was
/// dropped before the outcome was taken. Passed to the hook
/// [`on_unread`](crate::pool::PoolBuilder::on_unread).
///
/// It is a panic, an `Err` of a body whose errors count as failures
/// ([`execute_ok`](crate::Pool::execute_ok), [`fallible`](crate::TaskBuilder::fallible),
/// [`retry`](crate::TaskBuilder::retry)), a time limit that has passed, or a refusal by the pool.
/// Its text is that of the log.
///
/// ```
/// use millhand::task::UnreadFailure;
/// use millhand::{JoinError, TaskError};
///
/// fn kind(failure: &UnreadFailure) -> &'static str {
///     match failure.error() {
///         JoinError::Failed(_text) => "failed",
///         JoinError::Task(TaskError::Panicked(_)) => "panicked",
///         JoinError::Task(TaskError::Rejected(_)) => "rejected",
///         JoinError::Task(_) => "too late",
///     }
/// }
/// ```
///
/// Guide: [errors](crate::guide::errors).
#[derive(Debug)]
pub struct UnreadFailure {
    who: TaskLabel,
    error: JoinError<String>,
}

impl UnreadFailure {
    /// Returns the task's id.
    ///
    /// ```
    /// use millhand::task::UnreadFailure;
    ///
    /// fn key(failure: &UnreadFailure) -> String {
    ///     failure.id().to_string()
    /// }
    /// ```
    pub fn id(&self) -> TaskId {
        self.who.id
    }

    /// Returns the task's name, if it was given one.
    ///
    /// ```
    /// use millhand::task::UnreadFailure;
    ///
    /// fn is_of(failure: &UnreadFailure, name: &str) -> bool {
    ///     failure.name() == Some(name)
    /// }
    /// ```
    pub fn name(&self) -> Option<&str> {
        self.who.name.as_deref()
    }

    /// Returns where the task was submitted.
    ///
    /// ```
    /// use millhand::task::UnreadFailure;
    ///
    /// fn line(failure: &UnreadFailure) -> u32 {
    ///     failure.site().line()
    /// }
    /// ```
    pub fn site(&self) -> &'static Location<'static> {
        self.who.site
    }

    /// Returns why the task failed: the text of the body's error, cut at 8 KiB, or why it ended
    /// without a value. A panic has its message and no payload here.
    ///
    /// ```
    /// use millhand::JoinError;
    /// use millhand::task::UnreadFailure;
    ///
    /// fn text(failure: &UnreadFailure) -> Option<&str> {
    ///     match failure.error() {
    ///         JoinError::Failed(text) => Some(text),
    ///         JoinError::Task(_) => None,
    ///     }
    /// }
    /// ```
    pub fn error(&self) -> &JoinError<String> {
        &self.error
    }
}

impl fmt::Display for UnreadFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { who, error } = self;
        match error {
            JoinError::Failed(text) => write!(f, "{who} failed: {text}"),
            // The text of a panic names the task itself.
            JoinError::Task(TaskError::Panicked(panic)) => fmt::Display::fmt(panic, f),
            JoinError::Task(TaskError::Rejected(why)) => write!(f, "{who} was rejected: {why}"),
            JoinError::Task(error) => write!(f, "{who} has no outcome: {error}"),
        }
    }
}

/// Reports a failure of a task of the pool with the tag `owner`. Code of the user may run: called
/// with no lock held.
#[cold]
pub(crate) fn report(owner: u32, who: TaskLabel, error: JoinError<String>) {
    let failure = UnreadFailure { who, error };
    failure.who.log(
        Level::Error,
        format_args!("{failure}, and no handle of the task is left"),
    );
    #[cfg(not(loom))]
    let pool = pool::find(owner);
    #[cfg(loom)]
    let pool = pool::find(owner).or_else(double::find);
    if let Some(pool) = pool {
        pool.notify_unread(&failure);
    }
}

/// Reports a panic.
#[cold]
pub(crate) fn panicked(panic: &TaskPanic) {
    let who = TaskLabel {
        id: panic.task(),
        name: panic.shared_name(),
        site: panic.site(),
    };
    let error = TaskError::Panicked(Box::new(panic.copy()));
    report(panic.owner(), who, JoinError::Task(error));
}

/// Reports a failure of a group of which no code will read it, unless the task was cancelled. Drops
/// its error.
pub(crate) fn report_boxed(owner: u32, who: TaskLabel, error: JoinError<BoxError>) {
    let (error, boxed) = match error {
        JoinError::Failed(boxed) => (JoinError::Failed(text_of(&boxed)), Some(boxed)),
        JoinError::Task(error) => (JoinError::Task(error), None),
    };
    match error {
        JoinError::Task(TaskError::Panicked(panic)) => {
            panicked(&panic);
            panic::discard(panic);
        }
        JoinError::Task(error) if !is_reported(&error) => panic::discard(error),
        error => report(owner, who, error),
    }
    panic::discard(boxed);
}

/// Whether a task without a value for this reason has failed: one that was cancelled has not.
pub(crate) fn is_reported(error: &TaskError) -> bool {
    use TaskError::{Expired, Rejected, TimedOut};
    matches!(error, Rejected(_) | Expired(_) | TimedOut)
}

/// The longest text of an error that is kept.
const LONGEST: usize = 8 << 10;

/// The text of a body's error, with the causes that it prints in its alternate form, cut at
/// [`LONGEST`].
#[cold]
pub(crate) fn text_of(error: &dyn fmt::Display) -> String {
    let mut text = Cut(String::new());
    // An end of the text is an error, too.
    match panic::catch(|| write!(text, "{error:#}").is_ok()) {
        Ok(_) => text.0,
        Err(payload) => {
            let message = panic::message(&*payload).to_owned();
            panic::discard(payload);
            format!("an error whose text panicked: {message}")
        }
    }
}

struct Cut(String);

impl Write for Cut {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let space = LONGEST.saturating_sub(self.0.len());
        if more.len() <= space {
            self.0.push_str(more);
            return Ok(());
        }
        let end = (0..=space).rev().find(|at| more.is_char_boundary(*at));
        self.0.push_str(&more[..end.unwrap_or(0)]);
        Err(fmt::Error)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    struct Faulty;

    impl fmt::Display for Faulty {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("no text")
        }
    }

    #[test]
    fn long_texts_are_cut_between_two_characters() {
        assert_eq!(text_of(&"short"), "short");
        let long = "ä".repeat(LONGEST) + "x";
        assert_eq!(text_of(&long).len(), LONGEST);
        let odd = format!("x{long}");
        assert_eq!(text_of(&odd).len(), LONGEST - 1);
        assert!(text_of(&Faulty).ends_with("panicked: no text"));
    }
}
