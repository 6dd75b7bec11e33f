//! A gate: a rule under a lock, and the queue of those that wait to pass it.
//!
//! Layer: limit, below the tasks. A gate knows those that wait as [`Waiter`]s. A rate limiter, a
//! semaphore and a lane differ in their [`Rule`] alone.
//
// A task or a thread that asks brings its order, a number that it draws once. It passes if the rule
// admits it and no smaller number waits before it. Otherwise it joins the line, in front of all
// larger numbers.
//
// Whenever something may have changed (a permit was returned, an instant was reached, a waiter
// left), the gate goes through the line from its head. A waiter that could pass now is *granted*:
// it leaves the line, and the gate notifies it. The grant lasts until the waiter has come and
// taken, or withdraws. A task is granted first and takes later, since a worker takes for it right
// before it runs: a rate is a promise about starts.
//
// # Who may pass a waiter that is granted
//
// What the task wants is reserved for it. But its pool may stay busy for long. So if tasks of other
// pools or threads wait behind it, an alarm fires after a while. If the alarm fires a second time
// and the pool has no idle worker then, what was reserved is only offered: the others may pass,
// until a worker of its pool comes to the task. If the task then finds nothing left, it is in front
// again, and what it is granted next is reserved until it comes. So there is one line for each
// pool.
//
// # Several gates
//
// They are asked with all their locks held, and something is taken from all of them or from none.
// A task that is refused by some of them joins the line of each that refuses it. The others, which
// would admit it, have given it its turn: others may pass it there, since it cannot use what they
// have. So at first it reserves nothing while it waits. Since a later task may then hold the one
// gate whenever the other is free, this ends: once each of its gates has given it a turn, the task
// keeps what it is granted until the other gates admit it, too. From then on it waits, at each
// gate, for at most what is held there already. A permit is not kept while a rate refuses the task,
// which may take hours. Then the turn at the rate is kept in place of it.
//
// A smaller number takes what is kept for a larger one. So among the tasks that wait, the one with
// the smallest number waits for no other that waits, and tasks whose gates overlap cannot block
// each other. A task with more than one gate does not pass a gate while a smaller number of
// its pool is notified there. So tasks with the same gates pass in their order.
//
// # The alarm
//
// If the rule answers the first waiter with an instant, or a waiter waits for another pool (see
// above), the gate has an alarm filed: with the timer of the waiter's pool, or with the thread that
// waits. There is one at a time. One that
// fires too early is left as it is, since the gate asks again then. One that would fire too late,
// or that is filed with a pool or a thread that may leave, is replaced. Then it is dropped, so that
// the timer has a dead entry, which it counts and sweeps.
//
// Locks: first the gates, in the order of their ids; then the head of a task; then locks of its
// pool. No thread locks a gate while it holds one of the others. Waiters are notified, and alarms
// are filed and dropped, with no gate locked.

use crate::clock::Clock;
use crate::clock::current;
use crate::limit::line::{State, THREADS};
use crate::limit::rule::{Refusal, Rule, RuleKind};
use crate::sync::waiter::ClockWaiter;
use crate::sync::{Mutex, MutexGuard};
use crossbeam_utils::CachePadded;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// For functions that take any gate: what a task must pass before it runs.
///
/// A gate is a [`RateLimiter`](crate::RateLimiter) (with a [weight](crate::RateLimiter::weight)
/// or without), a [`Semaphore`](crate::Semaphore), or the lane of a key of
/// [`Lanes`](crate::limit::Lanes). It is given to a task by
/// [`TaskBuilder::gate`](crate::TaskBuilder::gate).
///
/// ```
/// use millhand::limit::Gate;
/// use millhand::{Semaphore, TaskHandle, ThreadPool};
///
/// fn read_behind(pool: &ThreadPool, gate: &impl Gate) -> TaskHandle<std::io::Result<Vec<u8>>> {
///     pool.task().gate(gate).submit(|| std::fs::read("Cargo.toml"))
/// }
/// let pool = ThreadPool::new(2)?;
/// assert!(read_behind(&pool, &Semaphore::new(1)?).join()?.is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A [`Keyed`](crate::limit::Keyed) is not a gate: it has one for each key. This does not compile,
/// and the compiler says what is missing, `.key(..)`:
///
/// ```compile_fail,E0277
/// # let pool = millhand::ThreadPool::new(2).unwrap();
/// let per_host = millhand::Semaphore::keyed::<String>(2).unwrap();
/// let task = pool.task().gate(&per_host);
/// ```
///
/// Guide: [limits](crate::guide::limits).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a gate",
    label = "a gate is a `RateLimiter` (or a `limiter.weight(n)?`), a `Semaphore` or a `Lane`",
    note = "a `Keyed` has one gate for each key, so name the key: `.gate(&keyed.key(key))`"
)]
pub trait Gate {
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

/// What waits in the line of a gate: a thread that blocks (`limit/blocking.rs`), or a task
/// (`task/parked.rs`), which stands above this folder. No method may run code of the user.
pub(crate) trait Waiter: Send + Sync {
    /// It is the turn of the waiter. It is to ask the gate again.
    fn granted(self: Arc<Self>);

    /// Whether it can ask soon: it is a thread, or a worker of its pool is idle.
    fn is_ready(&self) -> bool;

    /// Makes an alarm for the gate, which is locked. `None` for a thread, which keeps it itself.
    /// One that is dropped does nothing any more.
    fn alarm(&self, gate: &Arc<GateQueue>) -> Option<Arc<dyn ClockWaiter>>;

    /// At `at`, or after `PATIENCE` by the clock of the waiter, the alarm is to call the gate's
    /// `alarm_fires`.
    fn set_alarm(&self, at: Option<Instant>, alarm: Option<&Arc<dyn ClockWaiter>>);
}

/// Calls that are made once no gate is locked.
#[derive(Default)]
pub(crate) struct Notices {
    pub(crate) granted: Vec<Arc<dyn Waiter>>,
    pub(crate) alarms: Vec<Notice>,
}

/// A new alarm of a gate, the waiter that sets it, and the one that it replaces, to be dropped.
pub(crate) struct Notice {
    pub(crate) waiter: Arc<dyn Waiter>,
    pub(crate) at: Option<Instant>,
    pub(crate) alarm: Option<Arc<dyn ClockWaiter>>,
    pub(crate) replaced: Option<Arc<dyn ClockWaiter>>,
}

impl Notices {
    pub(crate) fn send(self) {
        for notice in self.alarms {
            drop(notice.replaced);
            notice.waiter.set_alarm(notice.at, notice.alarm.as_ref());
        }
        self.granted.into_iter().for_each(Waiter::granted);
    }
}

/// Draws the next number that orders tasks and threads before all gates.
pub(crate) fn next_order() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    // A simulation has its own numbers, the same in each run. What is random about a task is
    // derived from its number.
    current::simulated_order().unwrap_or_else(|| NEXT.fetch_add(1, Ordering::Relaxed))
}

impl GateQueue {
    pub(crate) fn new(clock: Clock, rule: Rule) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Arc::new(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            clock,
            kind: rule.kind(),
            state: CachePadded::new(Mutex::new(State::new(rule))),
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

    /// What it is, in words.
    pub(crate) fn kind(&self) -> &'static str {
        match self.kind {
            RuleKind::Rate => "rate limiter",
            RuleKind::Permits => "semaphore",
            RuleKind::Fifo => "lane",
        }
    }

    /// Whether the rule reads the clock. A pool with another clock refuses such a gate.
    pub(crate) fn is_timed(&self) -> bool {
        self.kind == RuleKind::Rate
    }

    /// Whether what was taken comes back.
    pub(crate) fn has_returns(&self) -> bool {
        self.kind != RuleKind::Rate
    }

    /// Whether it would refuse this also if nothing else waited, until something is returned.
    pub(crate) fn awaits_return(&self, order: u64, weight: u32) -> bool {
        self.has_returns() && self.lock().rule.ask(self.now(), order, weight).is_err()
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

    /// Grants what can be granted. A call too early or too often is harmless.
    pub(crate) fn recheck(self: &Arc<Self>) {
        self.change(|_, _| ());
    }

    /// The instant has come for which an alarm was filed.
    pub(crate) fn alarm_fires(self: &Arc<Self>) {
        let fired = self.change(|state, _| state.alarm_fires());
        drop(fired);
    }

    /// How many tasks and threads wait, those that are granted included.
    pub(crate) fn waiting(&self) -> usize {
        self.state.lock().waiting()
    }

    /// Whether nothing waits and nothing is taken, so that a new gate in place of this one would
    /// behave the same.
    pub(crate) fn is_fresh(&self) -> bool {
        let state = self.state.lock();
        state.is_empty() && state.rule.is_fresh(self.now())
    }

    pub(crate) fn max_weight(&self) -> u32 {
        self.state.lock().rule.max_weight()
    }

    /// What could be taken now if nothing waited, without what is reserved.
    pub(crate) fn available(&self) -> u32 {
        let state = self.state.lock();
        state.available(self.now())
    }

    /// Returns false if the rule has no rate that can be changed.
    pub(crate) fn set_rate(self: &Arc<Self>, rate: u32, per: Duration) -> bool {
        self.change(|state, now| state.rule.set_rate(now, rate, per))
    }

    pub(crate) fn set_permits(self: &Arc<Self>, permits: u32) {
        self.change(|state, _| state.rule.set_permits(permits));
    }

    /// Takes `weight` for `order`, a thread's, if that can be done now: the short way for a single
    /// gate.
    pub(crate) fn try_take(&self, order: u64, weight: u32) -> Result<(), Refusal> {
        let mut state = self.state.lock();
        let now = self.now();
        let waits = !state.is_empty() && state.refusal(now, order, THREADS, weight, true).is_some();
        if waits {
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

#[cfg(all(test, loom))]
#[path = "../../tests/loom/alarm.rs"]
mod models;
