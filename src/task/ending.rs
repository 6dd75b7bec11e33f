//! How a body that has ended settles its task, and what is known about that afterwards.
//!
//! Layer: task.

use crate::error::TaskError;
use crate::panic::{self, Level, TaskPanic};
use crate::reason::{CancelReason, WaitedFor};
use crate::sync::atomic::Ordering;
use crate::task::OutcomeKind;
use crate::task::body::{Ended, Part};
use crate::task::pool::TaskPool;
use crate::task::summary::Summary;
use crate::task::task::Task;
use crate::task::unread;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

impl Task {
    pub(crate) fn settle_ended(&self, ended: Ended, pool: &dyn TaskPool) {
        self.note_end(&ended, pool);
        let (kind, error) = match ended {
            Ended::Succeeded | Ended::SucceededEmpty => (OutcomeKind::Succeeded, None),
            Ended::Failed => self.failure(),
            Ended::Unwound(payload) => self.error_of(payload),
            Ended::Error(error) => (OutcomeKind::of_error(&error), Some(error)),
        };
        match self.settle(kind, error, Some(pool)) {
            Ok((on_settled, drops)) => {
                if on_settled.is_listed {
                    pool.unlist(self.head.id());
                }
                pool.settled(self, kind);
                pool.released(self, kind);
                self.after_settle(kind, on_settled, drops);
            }
            Err(late) => {
                // It was counted and reported to observers when its time was over.
                let kind = self.head.outcome_kind().unwrap_or(kind);
                pool.released(self, kind);
                if let Some(TaskError::Panicked(panic)) = &late {
                    unread::panicked(panic);
                }
                let left = self.body.take(Part::Value, None);
                panic::discard((late, left));
            }
        }
    }

    /// Notes when it has ended, and why it has failed, for those who ask for that.
    fn note_end(&self, ended: &Ended, pool: &dyn TaskPool) {
        if self.head.has_extras_or_waiters() {
            self.head.peek(|extras| {
                let wants = extras.wants_failure() || extras.due.is_some() && pool.wants_times();
                // One whose time is over has ended before.
                if extras.started.is_some() && extras.ended.is_none() && wants {
                    extras.ended = Some(pool.now());
                }
            });
        }
        if !matches!(ended, Ended::Succeeded | Ended::SucceededEmpty) {
            self.note_failure(&mut || self.failure_text(ended), pool.wants_failures());
        }
    }

    /// Keeps the text of a failure if something asks for it.
    #[cold]
    pub(super) fn note_failure(&self, text: &mut dyn FnMut() -> Arc<str>, is_wanted: bool) {
        let asks = || self.head.peek(|extras| extras.wants_failure()) == Some(true);
        if is_wanted || asks() {
            // Without the lock: the text may be the user's.
            let text = text();
            self.head
                .listen(|extras, _| extras.notes().failure = Some(text));
        }
    }

    /// Why an attempt has failed.
    #[cold]
    pub(super) fn failure_text(&self, ended: &Ended) -> Arc<str> {
        match ended {
            Ended::Unwound(payload) => match panic::checkpoint_of(payload) {
                Some(reason) => TaskError::stopped(reason).to_string().into(),
                None => panic::message(&**payload).into(),
            },
            Ended::Error(error) => error.to_string().into(),
            Ended::Failed | Ended::Succeeded | Ended::SucceededEmpty => {
                self.body.error_text().unwrap_or_default().into()
            }
        }
    }

    /// Since when it waits where it waits, if that is known.
    pub(crate) fn waits_since(&self) -> Option<Instant> {
        let since = self.head.peek(|extras| match &extras.progress {
            Some(progress) => progress.since,
            None => extras.due,
        });
        since.flatten()
    }

    /// When its present attempt began, if that was measured.
    pub(crate) fn started(&self) -> Option<Instant> {
        let began = self.head.peek(|extras| {
            let progress = extras.progress.as_ref();
            progress
                .and_then(|progress| progress.since)
                .or(extras.started)
        });
        began.flatten()
    }

    /// How long it has waited and run, as far as that was measured.
    pub(crate) fn times(&self) -> Times {
        let times = self.head.peek(|extras| {
            let (due, started, ended) = (extras.due, extras.started, extras.ended);
            let since = |(to, from): (Instant, _)| to.saturating_duration_since(from);
            Times {
                waited: started.zip(due).map(since),
                ran: ended.zip(started).map(since),
            }
        });
        times.unwrap_or_default()
    }

    /// How a settled task has ended.
    pub(crate) fn summary(&self, kind: OutcomeKind) -> Summary {
        let Times { waited, ran } = self.times();
        let seen = self.head.peek(|extras| {
            let attempts = extras.progress.as_ref().map(|progress| progress.attempts);
            let notes = extras.notes.as_ref();
            let was_skipped = notes.is_some_and(|notes| notes.was_skipped);
            let attempts = attempts.or(was_skipped.then_some(0));
            (attempts, notes.and_then(|notes| notes.failure.clone()))
        });
        let (attempts, failure) = seen.unwrap_or_default();
        Summary {
            id: self.head.id(),
            name: self.head.name(),
            site: self.head.site,
            outcome: kind,
            waited,
            ran,
            attempts: attempts.unwrap_or(u32::from(self.head.has_begun())),
            error: self.why_unrun(kind).or(failure),
        }
    }

    /// Why there is no value, if that needs no text of the user's.
    fn why_unrun(&self, kind: OutcomeKind) -> Option<Arc<str>> {
        let why = self.head.why.load(Ordering::Relaxed);
        let error = match kind {
            OutcomeKind::Cancelled => {
                TaskError::Cancelled(CancelReason::from_code(why).unwrap_or(CancelReason::User))
            }
            OutcomeKind::Expired => TaskError::Expired(WaitedFor::from_code(why)),
            OutcomeKind::TimedOut => TaskError::TimedOut,
            _ => return None,
        };
        Some(error.to_string().into())
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

/// How long a task has waited, and run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Times {
    pub(crate) waited: Option<Duration>,
    pub(crate) ran: Option<Duration>,
}

/// The text of the error in a body, made only when it is written.
struct ErrorText<'a>(&'a Task);

impl fmt::Display for ErrorText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.body.error_text().unwrap_or_default())
    }
}
