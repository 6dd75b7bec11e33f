//! Lanes: one after the other for each key.
//!
//! Layer: limit. The types that users hold, and their rule.

use crate::clock::Clock;
use crate::limit::acquire::{self, GateRequest};
use crate::limit::blocking;
use crate::limit::error::AcquireError;
use crate::limit::gate::{Gate, GateQueue};
use crate::limit::keyed::Keyed;
use crate::limit::rule::{Refusal, Rule};
use crate::sync::number_map::NumberMap;
use std::cell::Cell;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

/// Runs tasks of the same key one after the other, and tasks of different keys side by side.
///
/// Use lanes for work that must keep its order: the changes of one customer, the writes to one
/// file.
///
/// Tasks of a key run in the order of their submission, whatever their priority. So a task of low
/// priority holds up those of its key behind it until a worker takes it. A task holds its key
/// through all its attempts, so a retry is not overtaken either. A delayed task enters the
/// order when it is due. A task that still runs after its `total_timeout` holds its key until its
/// body returns.
///
/// Lanes read no clock, so a pool with any clock accepts them.
///
/// ```
/// use millhand::limit::Lanes;
/// use millhand::ThreadPool;
/// use std::sync::{Arc, Mutex};
///
/// let pool = ThreadPool::new(4)?;
/// let accounts = Lanes::new();
/// let log = Arc::new(Mutex::new(Vec::new()));
/// for n in 0..10 {
///     let log = log.clone();
///     pool.task().gate(&accounts.key("ann")).execute(move || log.lock().unwrap().push(n));
/// }
/// pool.wait_idle()?;
/// assert_eq!(*log.lock().unwrap(), (0..10).collect::<Vec<_>>());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Guide: [limits](crate::guide::limits).
pub type Lanes<K> = Keyed<K, Lane>;

impl<K: Hash + Eq> Lanes<K> {
    /// Makes lanes, without keys yet.
    ///
    /// ```
    /// let lanes = millhand::limit::Lanes::<u32>::new();
    /// assert!(lanes.is_empty());
    /// ```
    // `Default` could not be restricted to this kind of `Keyed`.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Keyed::with(|| Lane {
            gate: GateQueue::new(Clock::system(), Rule::Fifo(Fifo::default())),
        })
    }
}

/// The lane of one key, from [`Lanes`]. It is given to a task as a
/// [`gate`](crate::TaskBuilder::gate).
///
/// ```
/// use millhand::limit::{Lane, Lanes};
///
/// let lanes = Lanes::new();
/// let ann: Lane = lanes.key("ann");
/// assert_eq!(ann.waiting(), 0);
/// ```
///
/// Guide: [limits](crate::guide::limits).
#[derive(Clone)]
pub struct Lane {
    gate: Arc<GateQueue>,
}

impl Lane {
    /// Waits for the turn of the calling thread in this lane, and runs `f`. Tasks and threads come
    /// in one order. A task that waits here releases its run slot meanwhile. One that has the lane
    /// as its own gate would wait for itself.
    ///
    /// # Errors
    /// Inside a task, [`AcquireError::Stopped`] if the task is asked to stop while it waits. Then
    /// `f` is not run.
    ///
    /// ```
    /// let files = millhand::limit::Lanes::new();
    /// let text = files.key("notes.txt").run(|| "written by one at a time");
    /// assert!(text.is_ok());
    /// ```
    pub fn run<T>(&self, f: impl FnOnce() -> T) -> Result<T, AcquireError> {
        let requests = [GateRequest::new(self)];
        let turn = Turn {
            order: acquire::enter(&requests),
            requests,
            has_come: Cell::new(false),
        };
        blocking::acquire(&turn.requests[0], turn.order, None)?;
        turn.has_come.set(true);
        Ok(f())
    }

    /// Returns how many tasks of this key wait for their turn. Those that are not due, or that no
    /// worker has looked at yet, do not count.
    ///
    /// ```
    /// assert_eq!(millhand::limit::Lanes::new().key(7).waiting(), 0);
    /// ```
    pub fn waiting(&self) -> usize {
        self.gate.waiting()
    }
}

/// The place of a thread in a lane. It leaves when it is dropped.
struct Turn {
    requests: [GateRequest; 1],
    order: u64,
    has_come: Cell<bool>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        match self.has_come.get() {
            true => acquire::release(&self.requests, self.order, true),
            false => acquire::withdraw(&self.requests, self.order),
        }
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane")
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}
impl Gate for Lane {
    fn queue(&self) -> (&Arc<GateQueue>, u32) {
        (&self.gate, 1)
    }
}

/// The rule of a lane: tasks pass in the order in which they entered.
///
/// It holds all tasks that have entered and not left. It is the turn of the first one, until that
/// leaves: while it runs, waits for its next attempt, or waits at another gate.
#[derive(Debug, Default)]
pub(crate) struct Fifo {
    entered: NumberMap<()>,
}

impl Fifo {
    pub(crate) fn enter(&mut self, order: u64) {
        self.entered.insert(order, ());
    }

    pub(crate) fn leave(&mut self, order: u64) {
        self.entered.remove(order);
    }

    pub(crate) fn ask(&self, order: u64) -> Result<(), Refusal> {
        if self.entered.first() == Some(order) {
            return Ok(());
        }
        Err(Refusal::Later)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entered.is_empty()
    }
}
