//! A gate: a rule under a lock, and the queue of those that wait to pass it.
//!
//! Layer: limit, below the tasks. A gate knows those that wait as [`Waiter`]s. A rate limiter, a
//! semaphore and a lane differ in their [`Rule`] alone.
//
// A task or a thread that asks brings its order, a number that it draws once. It passes if the rule
// admits it and no smaller number is in the queue. Otherwise it joins the queue, in front of all
// larger numbers.
//
// Whenever something may have changed (a permit was returned, an instant was reached, a waiter
// left), the gate goes through the queue from its head. A waiter that could pass now is
// *granted*: it leaves the queue, the gate reserves what it wants and notifies it. The
// reservation lasts until the waiter has come and taken, or withdraws. A task is granted first
// and takes later, since a worker takes for it right before it runs: a rate is a promise about
// starts. The gate asks the rule for the head of the queue only. If the rule answers with an
// instant, the head has the gate rechecked then.
//
// Several gates are asked with all their locks held, and something is taken from all of them or
// from none. A task with more than one gate does not pass a gate while a smaller number waits
// there, granted or not. So tasks with the same gates pass in their order.
//
// Locks: first the gates, in the order of their ids; then the head of a task; then locks of its
// pool. No thread locks a gate while it holds one of the others. Waiters are notified with no
// gate locked.

use crate::clock::Clock;
use crate::clock::current;
use crate::limit::rule::{Refusal, Rule, RuleKind};
use crate::sealed::Sealed;
use crate::sync::waiter::ClockWaiter;
use crate::sync::{Mutex, MutexGuard};
use crossbeam_utils::CachePadded;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// For functions that take any gate: what a task must pass before it runs.
///
/// A gate is a [`RateLimiter`](crate::RateLimiter) (with a [weight](crate::RateLimiter::weight)
/// or without), a [`Semaphore`](crate::Semaphore), or the lane of a key of
/// [`Lanes`](crate::Lanes). It is given to a task by
/// [`TaskBuilder::gate`](crate::TaskBuilder::gate).
///
/// ```
/// use millhand::{Gate, Semaphore, TaskHandle, ThreadPool};
///
/// fn read_behind(pool: &ThreadPool, gate: &impl Gate) -> TaskHandle<std::io::Result<Vec<u8>>> {
///     pool.task().gate(gate).submit(|| std::fs::read("Cargo.toml"))
/// }
/// let pool = ThreadPool::new(2)?;
/// assert!(read_behind(&pool, &Semaphore::new(1)?).join()?.is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Gate: Sealed {
    /// The gate itself, and how much a task asks of it.
    #[doc(hidden)]
    fn queue(&self) -> (&Arc<GateQueue>, u32);
}

/// A gate without its type.
pub struct GateQueue {
    /// Gates are locked in the order of their ids.
    id: u64,
    clock: Clock,
    kind: RuleKind,
    /// Padded: each submission reads the fields above, and should not wait for a worker that asks.
    state: CachePadded<Mutex<State>>,
}

pub(crate) struct State {
    pub(crate) rule: Rule,
    pub(crate) queue: BTreeMap<u64, GateEntry>,
    /// What all in the queue want, together.
    queued_weight: u64,
    /// What is reserved for each waiter that was granted and has not taken yet.
    granted: BTreeMap<u64, u32>,
    /// All of that, together.
    reserved: u64,
    /// The head that has the gate rechecked, and when.
    recheck: Option<(u64, Instant)>,
}

/// A waiter in the queue.
pub(crate) struct GateEntry {
    pub(crate) weight: u32,
    /// Whether the waiter asks no other gate.
    pub(crate) only_gate: bool,
    pub(crate) waiter: Arc<dyn Waiter>,
}

/// What waits in the queue of a gate: a thread that blocks (`limit/blocking.rs`), or a task
/// (`task/run.rs`), which stands above this folder. No method may run code of the user.
pub(crate) trait Waiter: Send + Sync {
    /// The waiter could pass now. It is to ask the gate again.
    fn granted(self: Arc<Self>);
    /// The waiter is the head of the queue. It is to call [`GateQueue::recheck`] at `instant`.
    fn recheck_at(&self, instant: Instant, gate: &Arc<GateQueue>);
}

/// Calls to waiters that are made once no gate is locked.
#[derive(Default)]
pub(crate) struct Notices {
    granted: Vec<Arc<dyn Waiter>>,
    rechecks: Vec<(Arc<dyn Waiter>, Instant, Arc<GateQueue>)>,
}

impl Notices {
    pub(crate) fn send(self) {
        for (waiter, instant, gate) in self.rechecks {
            waiter.recheck_at(instant, &gate);
        }
        self.granted.into_iter().for_each(Waiter::granted);
    }
}

/// The instant that the head of the queue waited for has come, or may have.
impl ClockWaiter for GateQueue {
    fn wake(self: Arc<Self>) {
        self.recheck();
    }
}

/// Draws the next number that orders tasks and threads before all gates.
pub(crate) fn next_order() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    // A simulation has its own numbers, the same in each run. What is random about a task is
    // derived from its number.
    current::simulated_order().unwrap_or_else(|| NEXT.fetch_add(1, Ordering::Relaxed))
}

impl State {
    /// Why `order` cannot pass now, if so.
    pub(crate) fn refusal(
        &self,
        now: Instant,
        order: u64,
        weight: u32,
        only_gate: bool,
    ) -> Option<Refusal> {
        let head = self.queue.first_key_value();
        let would_overtake = head.is_some_and(|(&head, _)| head < order);
        if would_overtake || self.must_wait(order, only_gate) {
            return Some(Refusal::Later);
        }
        let last = self.granted.last_key_value();
        let reserved_before = if last.is_none_or(|(&last, _)| last < order) {
            self.reserved
        } else {
            let before = self.granted.range(..order);
            before.map(|(_, weight)| u64::from(*weight)).sum()
        };
        self.ask(now, order, reserved_before + u64::from(weight))
    }

    /// Whether a waiter that has other gates to pass must wait for one that was granted before it,
    /// however much there is to be had.
    fn must_wait(&self, order: u64, only_gate: bool) -> bool {
        let first = self.granted.first_key_value();
        !only_gate && first.is_some_and(|(&first, _)| first < order)
    }

    fn ask(&self, now: Instant, order: u64, wanted: u64) -> Option<Refusal> {
        match u32::try_from(wanted) {
            Ok(wanted) if wanted <= self.rule.max_weight() => {
                self.rule.ask(now, order, wanted).err()
            }
            _ => Some(Refusal::Later),
        }
    }

    /// Grants the waiters that could pass now, from the head of the queue on. The first one that
    /// could not has the gate rechecked at the instant that the rule names.
    pub(crate) fn grant(&mut self, gate: &Arc<GateQueue>, now: Instant, notices: &mut Notices) {
        while let Some((&order, head)) = self.queue.first_key_value() {
            let GateEntry {
                weight, only_gate, ..
            } = *head;
            if self.must_wait(order, only_gate) {
                return;
            }
            match self.ask(now, order, self.reserved + u64::from(weight)) {
                None => {
                    if let Some(GateEntry { waiter, .. }) = self.leave_queue(order) {
                        self.granted.insert(order, weight);
                        self.reserved += u64::from(weight);
                        notices.granted.push(waiter);
                    }
                }
                Some(Refusal::Until(instant)) => {
                    let recheck = Some((order, instant));
                    if self.recheck != recheck {
                        let waiter = head.waiter.clone();
                        self.recheck = recheck;
                        notices.rechecks.push((waiter, instant, gate.clone()));
                    }
                    return;
                }
                Some(Refusal::Later) => return,
            }
        }
        self.recheck = None;
    }

    pub(crate) fn join_queue(&mut self, order: u64, entry: GateEntry) {
        self.queued_weight += u64::from(entry.weight);
        self.queue.insert(order, entry);
    }

    fn leave_queue(&mut self, order: u64) -> Option<GateEntry> {
        let entry = self.queue.remove(&order)?;
        self.queued_weight -= u64::from(entry.weight);
        Some(entry)
    }

    /// Takes `order` out of the queue, and drops its reservation.
    pub(crate) fn remove(&mut self, order: u64) {
        self.leave_queue(order);
        if let Some(weight) = self.granted.remove(&order) {
            self.reserved -= u64::from(weight);
        }
    }

    /// Lower bound for the wait of a waiter that joins the queue now.
    fn min_wait(&self, now: Instant, weight: u32) -> Refusal {
        let wanted = u64::from(weight) + self.queued_weight + self.reserved;
        let earliest = self.rule.earliest(now, wanted);
        earliest.map_or(Refusal::Later, Refusal::Until)
    }
}

impl GateQueue {
    pub(crate) fn new(clock: Clock, rule: Rule) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Arc::new(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            clock,
            kind: rule.kind(),
            state: CachePadded::new(Mutex::new(State {
                rule,
                queue: BTreeMap::new(),
                queued_weight: 0,
                granted: BTreeMap::new(),
                reserved: 0,
                recheck: None,
            })),
        })
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// The clock by which a thread waits here. If the rule reads a clock, it is that one.
    /// Otherwise it is the clock of the thread, or that of the gate if the thread has the
    /// system's.
    pub(crate) fn wait_clock(&self) -> Clock {
        if self.is_timed() {
            return self.clock.clone();
        }
        current::clock().or(&self.clock)
    }

    /// Whether the rule reads the clock. A pool with another clock refuses such a gate.
    pub(crate) fn is_timed(&self) -> bool {
        self.kind == RuleKind::Rate
    }

    /// Whether what was taken comes back.
    pub(crate) fn has_returns(&self) -> bool {
        self.kind != RuleKind::Rate
    }

    /// Whether tasks enter the order of this gate before they ask it.
    pub(crate) fn is_fifo(&self) -> bool {
        self.kind == RuleKind::Fifo
    }

    /// The present instant if the rule reads it. Other rules save the time of reading the clock.
    pub(crate) fn now(&self) -> Instant {
        if self.is_timed() {
            return self.clock.now();
        }
        // Any instant: such a rule ignores it.
        static SOME: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        *SOME.get_or_init(|| self.clock.now())
    }

    /// Changes something, then grants the waiters that could pass now.
    pub(crate) fn change<R>(self: &Arc<Self>, change: impl FnOnce(&mut State, Instant) -> R) -> R {
        let mut notices = Notices::default();
        let mut state = self.state.lock();
        let now = self.now();
        let result = change(&mut state, now);
        state.grant(self, now, &mut notices);
        drop(state);
        notices.send();
        result
    }

    /// Grants what can be granted, at the instant that the head of the queue waited for. A call too
    /// early or too often is harmless.
    pub(crate) fn recheck(self: &Arc<Self>) {
        self.change(|state, _| state.recheck = None);
    }

    /// How many tasks and threads wait, those that are granted included.
    pub(crate) fn waiting(&self) -> usize {
        let state = self.state.lock();
        state.queue.len() + state.granted.len()
    }

    /// Whether nothing waits and nothing is taken, so that a new gate in place of this one would
    /// behave the same.
    pub(crate) fn is_fresh(&self) -> bool {
        let state = self.state.lock();
        state.queue.is_empty() && state.granted.is_empty() && state.rule.is_fresh(self.now())
    }

    pub(crate) fn max_weight(&self) -> u32 {
        self.state.lock().rule.max_weight()
    }

    /// What could be taken now if nothing waited.
    pub(crate) fn available(&self) -> u32 {
        let state = self.state.lock();
        state.rule.available(self.now())
    }

    /// Returns false if the rule has no rate that can be changed.
    pub(crate) fn set_rate(self: &Arc<Self>, rate: u32, per: Duration) -> bool {
        self.change(|state, now| {
            state.recheck = None;
            state.rule.set_rate(now, rate, per)
        })
    }

    pub(crate) fn set_permits(self: &Arc<Self>, permits: u32) {
        self.change(|state, _| state.rule.set_permits(permits));
    }

    /// Takes `weight` for `order` if that can be done now: the short way for a single gate.
    pub(crate) fn try_take(&self, order: u64, weight: u32) -> Result<(), Refusal> {
        let mut state = self.state.lock();
        let now = self.now();
        if !state.queue.is_empty() || !state.granted.is_empty() {
            return Err(state.min_wait(now, weight));
        }
        state.rule.try_take(now, order, weight)
    }

    /// Lower bound for the wait of a waiter that joins the queue now.
    pub(crate) fn min_wait(&self, weight: u32) -> Refusal {
        let state = self.state.lock();
        state.min_wait(self.now(), weight)
    }
}

impl fmt::Debug for GateQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
