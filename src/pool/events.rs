//! What a pool reports to its observers.
//
// Each call is made where the thing happens, on that thread and with no lock held. Without an
// observer it is one look at an empty list.
//
// # The last event of a task comes last
//
// A task with options may be settled by another thread while a step of it is reported: the timer
// ends its time, or a canceller is faster than the gate that it waits at. A thread that reports a
// step first notes that in the task, under its lock, unless the task has settled: then it reports
// nothing. A thread that has settled the task and finds the note leaves its report to that thread.
// A plain task is settled by the worker that runs it, or was never reported as started.

use crate::cancel::CancelToken;
use crate::error::Rejection;
use crate::id::TaskId;
use crate::observe::Event;
use crate::pool::core::{Core, Spec};
use crate::task::label::TaskLabel;
use crate::task::{OutcomeKind, Site, Summary, Task};
use std::sync::Arc;
use std::time::{Duration, Instant};

impl Spec {
    /// Whether the times of the task are taken.
    pub(crate) fn is_timed(&self) -> bool {
        self.is_timed || self.name.is_some()
    }

    /// The token of one of its tasks: to cancel this task alone does not cancel the others.
    pub(crate) fn child_token(&self) -> Option<CancelToken> {
        self.token.as_ref().map(CancelToken::child)
    }

    /// Names a task for which there is no `Task`.
    pub(crate) fn label(&self, id: fn() -> TaskId, site: Site) -> TaskLabel {
        TaskLabel::new(id(), self.name.clone(), site)
    }
}

impl Core {
    pub(crate) fn is_observed(&self) -> bool {
        !self.options.observers.is_empty()
    }

    pub(crate) fn emit(&self, event: impl FnOnce() -> Event) {
        if self.is_observed() {
            self.emit_all(&event());
        }
    }

    /// An observer cannot wait for the pool: what it waits for may wait for it.
    fn emit_all(&self, event: &Event) {
        self.serve(|| self.options.observers.emit(event));
    }

    /// Called before another thread can reach the task.
    pub(crate) fn emit_submitted(&self, task: &Task) {
        self.emit(|| Event::Submitted {
            task: task.head.label(),
        });
    }

    /// Returns the summary, if it was made.
    pub(crate) fn emit_refused(&self, who: &TaskLabel, reason: &Rejection) -> Option<Summary> {
        if !self.is_observed() {
            return None;
        }
        let event = Event::Rejected(Summary::refused(who, reason));
        self.emit_all(&event);
        event.summary().cloned()
    }

    /// Reports a step of a task that goes on.
    fn emit_step(&self, task: &Task, event: impl FnOnce() -> Event) {
        if !self.is_observed() {
            return;
        }
        if !task.head.is_planned() {
            return self.emit_all(&event());
        }
        let begins = task.head.listen(|extras, is_settled| {
            extras.notes().is_reported_now = !is_settled;
            !is_settled
        });
        if !begins {
            return;
        }
        // Another thread may settle it, and leave that report to this one.
        self.lifecycle.hold();
        self.emit_all(&event());
        let settled = task.head.listen(|extras, _| {
            let notes = extras.notes();
            notes.is_reported_now = false;
            notes.settled_meanwhile.take()
        });
        if let Some(kind) = settled {
            self.report_settled(task, kind);
        }
        self.release();
    }

    /// A task has settled, which is reported by this thread or by the one that reports a step now.
    pub(crate) fn report_settled(&self, task: &Task, kind: OutcomeKind) {
        if !self.wants_summaries(kind) {
            return;
        }
        let is_left_to_another = task.head.is_planned()
            && task.head.peek(|extras| {
                let notes = extras.notes.as_mut().filter(|notes| notes.is_reported_now);
                notes
                    .map(|notes| notes.settled_meanwhile = Some(kind))
                    .is_some()
            }) == Some(true);
        if !is_left_to_another {
            let summary = task.summary(kind);
            self.record_times(&summary);
            self.keep_failure(&summary);
            self.emit(|| Event::of_end(summary));
        }
    }

    /// Whether something wants to know how a task has ended that ended so.
    pub(crate) fn wants_summaries(&self, kind: OutcomeKind) -> bool {
        self.is_observed() || self.records_times() || self.is_failure_kept(kind)
    }

    pub(crate) fn emit_scheduled(&self, task: &Task, due: Instant) {
        self.emit_step(task, || Event::Scheduled {
            task: task.head.label(),
            due,
        });
    }

    pub(crate) fn emit_gated(&self, task: &Task) {
        self.emit_step(task, || Event::Gated {
            task: task.head.label(),
        });
    }

    /// Called by the worker.
    pub(crate) fn emit_started(&self, task: &Task, worker: usize) {
        self.emit_step(task, || Event::Started {
            task: task.head.label(),
            attempt: task.attempt(),
            worker,
            waited: task.times().waited,
        });
    }

    pub(crate) fn emit_retrying(&self, task: &Task, delay: Duration, error: Arc<str>) {
        self.emit_step(task, || Event::Retrying {
            task: task.head.label(),
            attempt: task.attempt(),
            delay,
            error,
        });
    }
}
