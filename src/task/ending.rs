//! How a body that has ended settles its task.
//!
//! Layer: task.

use crate::error::TaskError;
use crate::panic::{self, Level, TaskPanic};
use crate::task::OutcomeKind;
use crate::task::body::{Ended, Part};
use crate::task::pool::TaskPool;
use crate::task::task::Task;
use crate::task::unread;
use std::fmt;

impl Task {
    pub(crate) fn settle_ended(&self, ended: Ended, pool: &dyn TaskPool) {
        let (kind, error) = match ended {
            Ended::Completed | Ended::CompletedEmpty => (OutcomeKind::Completed, None),
            Ended::Failed => self.failure(),
            Ended::Unwound(payload) => self.error_of(payload),
            Ended::Error(error) => (OutcomeKind::of_error(&error), Some(error)),
        };
        match self.settle(kind, error) {
            Ok((on_settled, drops)) => {
                pool.settled(self, kind);
                self.after_settle(kind, on_settled, drops);
            }
            Err(late) => {
                let kind = self.head.outcome_kind().unwrap_or(kind);
                pool.settled(self, kind);
                if let Some(TaskError::Panicked(panic)) = &late {
                    unread::panicked(panic);
                }
                let left = self.body.take(Part::Value, None);
                panic::discard((late, left));
            }
        }
    }

    /// The outcome of a body that returned an `Err`. One that was asked to stop has ended for that,
    /// whatever the type of its error.
    #[cold]
    fn failure(&self) -> (OutcomeKind, Option<TaskError>) {
        let Some(reason) = self.stop_reason() else {
            return (OutcomeKind::Failed, None);
        };
        let (who, text) = (self.head.label(), ErrorText(self));
        who.log(
            Level::Debug,
            format_args!("{who} was asked to stop, and returned an error: {text}"),
        );
        let left = self.body.take(Part::Value, None);
        left.into_iter().for_each(panic::discard_deferred);
        let error = TaskError::stopped(reason);
        (OutcomeKind::of_error(&error), Some(error))
    }

    /// Why there is no value.
    #[cold]
    fn error_of(&self, payload: panic::Payload) -> (OutcomeKind, Option<TaskError>) {
        let error = match panic::checkpoint_of(&payload) {
            Some(reason) => TaskError::stopped(reason),
            None => TaskError::Panicked(Box::new(TaskPanic::new(
                self.head.id(),
                self.head.name(),
                self.head.site,
                payload,
                self.head.owner,
            ))),
        };
        (OutcomeKind::of_error(&error), Some(error))
    }
}

/// The text of the error in a body, made only when it is written.
struct ErrorText<'a>(&'a Task);

impl fmt::Display for ErrorText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.body.error_text().unwrap_or_default())
    }
}
