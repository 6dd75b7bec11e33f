//! What happened in a simulation, in order.

use crate::sim::simulator::Simulator;
use crate::sync::number_map::NumberMap;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// One event of a simulation, for tests that compare runs; see
/// [`Simulation::trace`](crate::testing::Simulation::trace).
///
/// ```
/// use millhand::ThreadPool;
///
/// let (pool, simulation) = ThreadPool::simulated(1);
/// pool.submit(|| 7).join().unwrap();
/// let entry = &simulation.trace()[0];
/// assert!(entry.to_string().contains(&*entry.what));
/// ```
///
/// Guide: [testing](crate::guide::testing).
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
    tasks: NumberMap<usize>,
    /// How many numbers were given.
    numbers: usize,
}

impl Trace {
    pub(crate) fn number(&mut self, task: u64) -> usize {
        if let Some(number) = self.tasks.get(task) {
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

/// The text of an entry of the trace. The argument returns the number of a task in the trace, by
/// its id.
pub(crate) type NoteText<'a> = dyn Fn(&mut dyn FnMut(u64) -> usize) -> String + 'a;

impl Simulator {
    pub(crate) fn note(&self, what: &NoteText<'_>) {
        let me = self.my_id();
        let mut scheduler = self.scheduler.lock();
        let what = what(&mut |task| scheduler.trace.number(task));
        let thread = me.and_then(|me| scheduler.threads.get(me));
        let name = thread.map_or_else(|| "elsewhere".into(), |thread| thread.name.clone());
        let elapsed = scheduler.passed();
        scheduler.trace.add(elapsed, name, what);
    }

    pub(crate) fn trace(&self) -> Vec<TraceEntry> {
        self.scheduler.lock().trace.entries()
    }
}
