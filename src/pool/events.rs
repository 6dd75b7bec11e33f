//! What a pool reports to its observers.
//
// Each call is made where the thing happens, on that thread and with no lock held. Without an
// observer it is one look at an empty list.

use crate::error::Rejection;
use crate::id::TaskId;
use crate::observe::Event;
use crate::pool::core::{Core, Spec};
use crate::task::label::TaskLabel;
use crate::task::{Site, Summary, Task};
use std::sync::Arc;
use std::time::{Duration, Instant};

impl Spec {
    /// Whether the times of the task are taken.
    pub(crate) fn is_timed(&self) -> bool {
        self.is_timed || self.name.is_some()
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

    pub(crate) fn emit_scheduled(&self, task: &Task, due: Instant) {
        self.emit(|| Event::Scheduled {
            task: task.head.label(),
            due,
        });
    }

    pub(crate) fn emit_gated(&self, task: &Task) {
        self.emit(|| Event::Gated {
            task: task.head.label(),
        });
    }

    /// Called by the worker.
    pub(crate) fn emit_started(&self, task: &Task, worker: usize) {
        self.emit(|| Event::Started {
            task: task.head.label(),
            attempt: task.attempt(),
            worker,
            waited: task.times().waited,
        });
    }

    pub(crate) fn emit_retrying(&self, task: &Task, delay: Duration, error: Arc<str>) {
        self.emit(|| Event::Retrying {
            task: task.head.label(),
            attempt: task.attempt(),
            delay,
            error,
        });
    }
}
