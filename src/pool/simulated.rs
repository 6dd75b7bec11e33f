//! A pool's part in a simulation.
//!
//! Layer 3. Without one, each of these is a look at the clock.

use crate::pool::core::Core;
use crate::task::AnyTask;

impl Core {
    /// # Panics
    /// In a simulation, on a thread that is not part of it.
    pub(crate) fn check_thread(&self) {
        if let Some(sim) = self.clock().simulated() {
            sim.me();
        }
    }

    /// For the trace. Its numbers are its own: a task's id is another one in each run.
    pub(crate) fn note(&self, task: &dyn AnyTask, what: impl FnOnce() -> String) {
        if let Some(sim) = self.clock().simulated() {
            let name = task.name().map(|name| format!(" `{name}`"));
            sim.note(|number| {
                let number = number(task.id().number());
                format!("task {number}{}: {}", name.unwrap_or_default(), what())
            });
        }
    }
}
