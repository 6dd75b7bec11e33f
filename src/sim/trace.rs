//! What happened in a simulation, in order: plain data.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// One event of a simulation, for tests that compare runs; see
/// [`Simulation::trace`](crate::Simulation::trace).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TraceEntry {
    /// When it happened, counted from the start of the simulation.
    pub at: Duration,
    /// The name of the thread. `owner` is the thread that made the simulation, `clock` is the
    /// clock.
    pub thread: Arc<str>,
    /// What happened.
    pub what: String,
}

impl fmt::Display for TraceEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, thread, what } = self;
        write!(f, "{:.6} {thread}: {what}", at.as_secs_f64())
    }
}

#[derive(Default)]
pub(crate) struct Trace {
    entries: Vec<TraceEntry>,
    /// The tasks that the trace names, by id, numbered in the order of their appearance. An id is
    /// another one in each run.
    tasks: HashMap<u64, usize>,
}

impl Trace {
    pub(crate) fn number(&mut self, task: u64) -> usize {
        let next = self.tasks.len() + 1;
        *self.tasks.entry(task).or_insert(next)
    }

    pub(crate) fn add(&mut self, at: Duration, thread: Arc<str>, what: String) {
        self.entries.push(TraceEntry { at, thread, what });
    }

    pub(crate) fn entries(&self) -> Vec<TraceEntry> {
        self.entries.clone()
    }
}
