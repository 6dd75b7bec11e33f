//! What happened in a simulation, in order: plain data.

use std::collections::{BTreeMap, VecDeque};
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

/// How many entries a trace keeps, and of how many tasks the numbers.
const KEPT: usize = 100_000;

#[derive(Default)]
pub(crate) struct Trace {
    /// The last ones.
    entries: VecDeque<TraceEntry>,
    /// The tasks that the trace names, by id, numbered in the order of their appearance. An id is
    /// another one in each run.
    tasks: BTreeMap<u64, usize>,
    /// How many numbers were given.
    numbers: usize,
}

impl Trace {
    pub(crate) fn number(&mut self, task: u64) -> usize {
        if let Some(number) = self.tasks.get(&task) {
            return *number;
        }
        // The oldest task gets another number if it appears once more.
        if self.tasks.len() == KEPT {
            self.tasks.pop_first();
        }
        self.numbers += 1;
        self.tasks.insert(task, self.numbers);
        self.numbers
    }

    pub(crate) fn add(&mut self, at: Duration, thread: Arc<str>, what: String) {
        if self.entries.len() == KEPT {
            self.entries.pop_front();
        }
        self.entries.push_back(TraceEntry { at, thread, what });
    }

    pub(crate) fn entries(&self) -> Vec<TraceEntry> {
        self.entries.iter().cloned().collect()
    }
}
