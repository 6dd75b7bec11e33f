//! What a simulation tells of what happened in it: plain data.
//!
//! Layer 0.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// One that happened in a simulation; see [`Simulation::trace`](crate::Simulation::trace).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TraceEntry {
    /// When, counted from the simulation's beginning.
    pub at: Duration,
    /// The thread's name; `owner` is the one that made the simulation, `clock` the clock itself.
    pub thread: Arc<str>,
    /// What.
    pub what: String,
}

impl fmt::Display for TraceEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, thread, what } = self;
        write!(f, "{:.6} {thread}: {what}", at.as_secs_f64())
    }
}

/// All of them, in order.
#[derive(Default)]
pub(crate) struct Trace {
    entries: Vec<TraceEntry>,
    /// The tasks that were named, by their ids, in the order of their appearance: an id is another one in each run.
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
