//! A task that continues others: it waits, as data and in no queue, until they have settled.
//!
//! Layer: task. The handles of the tasks that it continues are captured by its body; here they are
//! plain task references. Cancelling such a task cancels what it alone continues.

use crate::limit;
use crate::panic;
use crate::reason::CancelReason;
use crate::sync::trampoline;
use crate::task::OutcomeKind;
use crate::task::body::Left;
use crate::task::current;
use crate::task::task::{Task, TaskRef};
use crate::task::watch::Watcher;

/// What a task continues, until it is ready.
pub(crate) struct After {
    pub(crate) tasks: Vec<TaskRef>,
    /// How many times it is still to be notified: once for each of the tasks, and once by the
    /// submitter, when all of them are watched.
    pub(crate) awaits: usize,
}

impl After {
    pub(crate) fn new(tasks: Vec<TaskRef>) -> Self {
        let awaits = 1 + tasks.len();
        Self { tasks, awaits }
    }

    /// The task that continued these has settled unrun: drops its body, and cancels each task that
    /// only this one continued. That may be a chain, so it is done by the trampoline.
    pub(crate) fn abandon(self: Box<Self>, left: Option<Left>, reason: CancelReason) {
        trampoline::run(move || {
            self.tasks.iter().for_each(|above| above.unwatch());
            // With the body go the handles that it captured.
            panic::discard(left);
            for above in self.tasks {
                if above.head.is_detached() {
                    above.cancel(reason);
                }
            }
        });
    }
}

impl Task {
    /// Registers `self` with the tasks that it continues, to be notified when they settle. It is
    /// ready when they have settled and this function has returned.
    pub(crate) fn watch_predecessors(self: &TaskRef, tasks: &[TaskRef]) {
        for task in tasks {
            if let Err(watcher) = task.watch(Watcher::Task(self.clone())) {
                let kind = task.head.outcome_kind().unwrap_or(OutcomeKind::Succeeded);
                watcher.settled(kind);
            }
        }
        // Its token or its pool may have cancelled it before all tasks had it as a watcher.
        if self.head.is_settled() {
            tasks.iter().for_each(|task| task.unwatch());
        }
        self.clone().predecessor_settled();
    }

    /// One of the tasks that it continues has settled, or its submitter has watched all of them.
    pub(crate) fn predecessor_settled(self: TaskRef) {
        let ready = self.head.progress(|progress, _| {
            let after = progress.after.as_mut()?;
            after.awaits -= 1;
            if after.awaits > 0 {
                return None;
            }
            Some((progress.after.take(), progress.pool.clone()))
        });
        if let Some(Some((after, pool))) = ready {
            drop(after);
            pool.predecessors_settled(self);
        }
    }

    /// The tasks that it continues have settled: schedules it as if it were submitted now. Returns
    /// false if it was settled before.
    pub(crate) fn set_off(self: TaskRef) -> bool {
        let seen = self.head.peek(|extras| {
            let progress = extras.progress.as_ref()?;
            Some((
                progress.options.clone(),
                progress.pool.clone(),
                extras.due.is_some(),
            ))
        });
        let Some((options, pool, is_timed)) = seen.flatten() else {
            return false;
        };
        let start = options.start(&*pool, is_timed);
        let moved = self.head.waiting(|progress| {
            progress.order = start.order;
            progress.expires = start.expires;
            progress.ends = start.ends;
            progress.ends_filed = u8::from(start.ends.is_some());
            progress.since = start.due;
            progress.move_to(start.position);
            Some(())
        });
        if moved.is_none() {
            // It was settled in between, perhaps under another order.
            limit::withdraw(&options.gates, start.order);
            return false;
        }
        self.head.peek(|extras| extras.due = start.due);
        let parent = current::body_here(self.head.owner);
        self.schedule(&*pool, parent);
        true
    }

    /// The tasks that must settle before this one can begin, and have not: at most so many.
    pub(crate) fn predecessors(&self, most: usize) -> Vec<TaskRef> {
        let tasks = self.head.progress(|progress, _| {
            let after = progress.after.as_ref()?;
            Some(after.tasks.iter().take(most).cloned().collect::<Vec<_>>())
        });
        let mut tasks = tasks.flatten().unwrap_or_default();
        tasks.retain(|task| !task.head.is_settled());
        tasks
    }
}

#[cfg(all(test, loom))]
#[path = "../../tests/loom/after.rs"]
mod models;
