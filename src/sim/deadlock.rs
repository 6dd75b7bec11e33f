//! The report of a simulation in which no thread can go on.

use crate::sim::scheduler::{Scheduler, ThreadState, WaitsFor};
use std::sync::Arc;
use std::time::Duration;

/// What each thread waits for.
pub(crate) struct DeadlockReport(Vec<(Arc<str>, What)>);

enum What {
    /// Described without the lock of the scheduler: the description may take other locks.
    WaitsFor(WaitsFor),
    Text(String),
}

impl DeadlockReport {
    pub(crate) fn new(scheduler: &Scheduler) -> Self {
        let what = |state: &ThreadState| match state {
            ThreadState::Blocked {
                on: WaitsFor::End(id),
                ..
            } => {
                let thread = scheduler.threads.get(*id);
                let name = thread.map_or("a thread", |thread| &*thread.name);
                What::Text(format!("the end of {name}"))
            }
            ThreadState::Blocked { on, .. } => What::WaitsFor(on.clone()),
            ThreadState::Ready | ThreadState::Idle(_) => What::Text("its turn".to_owned()),
        };
        let threads = scheduler.threads.iter();
        Self(
            threads
                .map(|(_, thread)| (thread.name.clone(), what(&thread.state)))
                .collect(),
        )
    }

    pub(crate) fn to_text(&self, elapsed: Duration) -> String {
        let mut text = format!(
            "the simulation cannot go on after {elapsed:?}: no thread can run, and nothing is due."
        );
        for (name, what) in &self.0 {
            let what = match what {
                What::WaitsFor(WaitsFor::Waiter(waiter)) => waiter
                    .upgrade()
                    .map_or("what is gone".to_owned(), |waiter| waiter.waits_for()),
                What::WaitsFor(_) => "what it asks for again and again".to_owned(),
                What::Text(text) => text.clone(),
            };
            text.push_str(&format!("\n  {name} waits for {what}"));
        }
        text
    }
}
