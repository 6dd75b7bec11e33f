//! The shortest way: a task that only its worker has, run with no atomic step on its state.
//!
//! Layer: task.
//
// Most tasks that `execute` submits are like this: they have no options, and no handle that another
// thread could settle them by.

use crate::task::OutcomeKind;
use crate::task::body::Ended;
use crate::task::pool::TaskPool;
use crate::task::stack::Stack;
use crate::task::task::{Task, TaskRef};
use std::mem;
use std::sync::Arc;

impl Task {
    /// Runs a task that only the caller has, if it is bare and detached. No other thread can reach
    /// such a task, so its state needs no atomic step, and it is not listed as running.
    /// Returns whether it ran; if not, `run` is to run it.
    ///
    /// A body that asks for its task gets one that stands for it; see `Stack::stand_in`.
    #[inline]
    pub(crate) fn run_owned(self: &TaskRef, stack: &Stack) -> bool {
        // No other thread has a weak reference: only tasks with extras have any. The context
        // variables are none, as those of the task: no other body is on the stack.
        if !self.head.is_bare_and_detached() || Arc::strong_count(self) > 1 || stack.is_special {
            return false;
        }
        stack.begin_owned(self.head.site);
        let ended = self.body.run(false);
        let stand_in = stack.end_owned();
        if stand_in.is_none() && matches!(ended, Ended::SucceededEmpty) {
            // Nothing is in it, so there is nothing to be dropped.
            mem::forget(ended);
            stack.succeeded.add();
            return true;
        }
        self.finish_owned(ended, stand_in, &*stack.pool);
        true
    }

    #[cold]
    fn finish_owned(&self, ended: Ended, stand_in: Option<TaskRef>, pool: &dyn TaskPool) {
        if let Some(stand_in) = &stand_in {
            self.head.renumber(&stand_in.head);
            // Only the stand-in could be asked to stop.
            if let Some(reason) = stand_in.stop_reason() {
                self.head.ask_to_stop(&self.head.extras.lock(), reason);
            }
        }
        self.head.claim_bare();
        self.settle_ended(ended, pool);
        if let Some(stand_in) = stand_in {
            let kind = self.head.outcome_kind().unwrap_or(OutcomeKind::Succeeded);
            // A failure has been reported, so the outcome of the stand-in is not dropped again.
            if let Ok((on_settled, _)) = stand_in.settle(kind, None, None) {
                stand_in.after_settle(kind, on_settled, false);
            }
        }
    }
}

#[cfg(all(test, loom))]
#[path = "../../tests/loom/owned.rs"]
mod models;
