//! The clock that times are taken from: the system's, one that a test turns by hand, or that of a
//! simulation.
//!
//! Only this file names `Instant::now` or a timed wait.

use crate::clock::manual::Shared;
use crate::clock::parked_thread::ParkedThread;
use crate::sim::{NoteText, PoolGuard, Simulator};
use crate::sync::waiter::ClockWaiter;
use crate::sync::{Condvar, MutexGuard, spin_if_it_pays};
use crossbeam_channel::Receiver;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

/// The system's present instant.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The system's present time of day.
pub(crate) fn wall_now() -> SystemTime {
    SystemTime::now()
}

/// Waits for `condvar` until `deadline` of the system's clock, or for ever. Returns whether the
/// deadline passed.
///
/// May return for no reason: the caller checks its condition again.
pub(crate) fn wait<T>(
    condvar: &Condvar,
    guard: &mut MutexGuard<'_, T>,
    deadline: Option<Instant>,
) -> bool {
    match deadline {
        Some(instant) => condvar.wait_until(guard, instant).timed_out(),
        None => {
            condvar.wait(guard);
            false
        }
    }
}

/// Sets the time that a pool and its gates use: the system's, or a [`ManualClock`]'s in tests.
/// Clones are the same clock.
///
/// [`ManualClock`]: crate::testing::ManualClock
///
/// ```
/// use millhand::testing::Clock;
/// use millhand::ThreadPool;
///
/// let pool = ThreadPool::builder().workers(1).clock(&Clock::system()).build()?; // the default
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
///
/// Guide: [testing](crate::guide::testing).
#[derive(Clone, Default)]
pub struct Clock(Kind);

#[derive(Clone, Default)]
enum Kind {
    #[default]
    System,
    Manual(Arc<Shared>),
    Simulated(Arc<Simulator>),
}

impl Clock {
    /// Returns the system's monotonic clock.
    ///
    /// ```
    /// let clock = millhand::testing::Clock::system();
    /// assert!(clock.now() <= std::time::Instant::now());
    /// ```
    pub const fn system() -> Self {
        Self(Kind::System)
    }

    pub(crate) fn of_manual(manual: Arc<Shared>) -> Self {
        Self(Kind::Manual(manual))
    }

    pub(crate) fn of_simulation(sim: Arc<Simulator>) -> Self {
        Self(Kind::Simulated(sim))
    }

    /// Returns the present instant. The system's clock is monotonic, and cannot be set. On most
    /// systems, Linux and macOS among them, it stands still while the machine sleeps (is
    /// suspended).
    ///
    /// ```
    /// let clock = millhand::testing::ManualClock::new().clock();
    /// assert_eq!(clock.now(), clock.now());
    /// ```
    pub fn now(&self) -> Instant {
        match &self.0 {
            Kind::System => now(),
            Kind::Manual(manual) => manual.now(),
            Kind::Simulated(sim) => sim.now(),
        }
    }

    /// Returns the present time of day. It may jump: people and network daemons set it. Cron
    /// schedules use it, and so do the times of day that a schedule reports. Everything else uses
    /// [`now`](Self::now).
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    ///
    /// let manual = millhand::testing::ManualClock::new();
    /// let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(12 * 3600);
    /// manual.set_wall(noon);
    /// assert_eq!(manual.clock().wall(), noon);
    /// ```
    pub fn wall(&self) -> SystemTime {
        match &self.0 {
            Kind::System => wall_now(),
            Kind::Manual(manual) => manual.wall(),
            Kind::Simulated(sim) => sim.wall(),
        }
    }

    /// The instant `timeout` from now. `None`, which means for ever, if the clock cannot hold it.
    pub(crate) fn deadline(&self, timeout: Duration) -> Option<Instant> {
        self.now().checked_add(timeout)
    }

    /// This clock, or `other` if this is the system's.
    pub(crate) fn or(&self, other: &Self) -> Self {
        match self.0 {
            Kind::System => other.clone(),
            _ => self.clone(),
        }
    }

    /// Whether the two are one clock.
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Kind::System, Kind::System) => true,
            (Kind::Manual(mine), Kind::Manual(theirs)) => Arc::ptr_eq(mine, theirs),
            (Kind::Simulated(mine), Kind::Simulated(theirs)) => Arc::ptr_eq(mine, theirs),
            _ => false,
        }
    }

    // Waiting. `Monitor` is built on these.

    /// Spins until `done` returns true, for a few microseconds; returns whether it did. In a
    /// simulation no other thread runs meanwhile, so there it returns false at once.
    pub(crate) fn spin(&self, done: impl FnMut() -> bool) -> bool {
        !self.is_simulated() && spin_if_it_pays(done)
    }

    /// Whether a thread that waits until `deadline` must `park`, since a condvar would not wake it
    /// in time.
    pub(crate) fn parks(&self, deadline: Option<Instant>) -> bool {
        match &self.0 {
            Kind::System => false,
            Kind::Manual(_) => deadline.is_some(),
            Kind::Simulated(_) => true,
        }
    }

    /// Blocks `thread`, which is the calling thread, until it is notified or `deadline` comes, or
    /// for no reason. Returns false, at once, if `deadline` has passed. `first`: this is the first
    /// call for this wait.
    pub(crate) fn park(
        &self,
        thread: &Arc<ParkedThread>,
        deadline: Option<Instant>,
        first: bool,
    ) -> bool {
        match (&self.0, deadline) {
            (Kind::Simulated(sim), _) => {
                if deadline.is_some_and(|at| at <= sim.now()) {
                    return false;
                }
                sim.block(first, deadline, thread.as_waiter());
            }
            (Kind::Manual(manual), Some(at)) => {
                if manual.settle_until(at, thread, first) {
                    return false;
                }
                thread.wait();
            }
            _ => thread.wait(),
        }
        true
    }

    /// In a simulation, waits until `me` is not blocked, so that a wait which the clock does not
    /// see ends at once. `is_blocked` of `me` is exact. Without a simulation it does nothing: the
    /// wait itself serves.
    pub(crate) fn wait_before(&self, me: impl FnOnce() -> Weak<dyn ClockWaiter>) {
        let Kind::Simulated(sim) = &self.0 else {
            return;
        };
        let me = me();
        let mut first = true;
        while me.upgrade().is_some_and(|me| me.is_blocked()) {
            sim.block(first, None, me.clone());
            first = false;
        }
    }

    /// Waits for a message until `deadline`, or for ever. `None` if the deadline passed, or if all
    /// senders are gone. The clock wakes `me`, which sends a message.
    pub(crate) fn receive<T>(
        &self,
        receiver: &Receiver<T>,
        deadline: Option<Instant>,
        me: impl FnOnce() -> Weak<dyn ClockWaiter>,
    ) -> Option<T> {
        match (&self.0, deadline) {
            (Kind::Simulated(sim), _) => {
                let me = me();
                let mut first = true;
                while receiver.is_empty() && deadline.is_none_or(|at| at > sim.now()) {
                    sim.block(first, deadline, me.clone());
                    first = false;
                }
                receiver.try_recv().ok()
            }
            (_, None) => receiver.recv().ok(),
            (Kind::System, Some(instant)) => receiver.recv_deadline(instant).ok(),
            (Kind::Manual(manual), Some(instant)) => {
                if manual.register(instant, &me()) {
                    return receiver.try_recv().ok();
                }
                receiver.recv().ok()
            }
        }
    }

    /// Registers `waiter`, to be woken at `instant`; wakes it here and now if that has passed.
    /// Returns false on the system's clock, which wakes nothing by itself: the alarm does.
    pub(crate) fn wake_at(&self, instant: Instant, waiter: &Weak<dyn ClockWaiter>) -> bool {
        let is_past = match &self.0 {
            Kind::System => return false,
            Kind::Manual(manual) => manual.register(instant, waiter),
            Kind::Simulated(sim) => sim.register(instant, waiter),
        };
        if is_past {
            waiter.upgrade().into_iter().for_each(ClockWaiter::wake);
        }
        true
    }

    // Simulations. On any other clock these do nothing.

    pub(crate) fn simulated(&self) -> Option<&Arc<Simulator>> {
        match &self.0 {
            Kind::Simulated(sim) => Some(sim),
            _ => None,
        }
    }

    pub(crate) fn is_manual(&self) -> bool {
        matches!(self.0, Kind::Manual(_))
    }

    pub(crate) fn is_simulated(&self) -> bool {
        matches!(self.0, Kind::Simulated(_))
    }

    /// Whether this is the clock of a simulation that the calling thread does not belong to.
    pub(crate) fn is_of_other_threads(&self) -> bool {
        self.simulated().is_some_and(|sim| !sim.has_this_thread())
    }

    /// Lets other threads of the simulation run first.
    pub(crate) fn pause(&self) {
        if let Some(sim) = self.simulated() {
            sim.pause();
        }
    }

    /// # Panics
    /// In a simulation, if the calling thread does not belong to it.
    pub(crate) fn check_thread(&self) {
        if let Some(sim) = self.simulated() {
            sim.check_thread();
        }
    }

    /// A pool with this clock keeps its simulation alive until this guard is dropped.
    pub(crate) fn keep_simulation(&self) -> Option<PoolGuard> {
        self.simulated().map(Simulator::add_pool)
    }

    /// Adds an entry to the trace.
    pub(crate) fn note(&self, what: &NoteText<'_>) {
        if let Some(sim) = self.simulated() {
            sim.note(what);
        }
    }
}

/// A reference to a clock that does not keep it alive.
pub(crate) struct WeakClock(WeakKind);

enum WeakKind {
    System,
    Manual(Weak<Shared>),
    Simulated(Weak<Simulator>),
}

impl Clock {
    pub(crate) fn downgrade(&self) -> WeakClock {
        WeakClock(match &self.0 {
            Kind::System => WeakKind::System,
            Kind::Manual(manual) => WeakKind::Manual(Arc::downgrade(manual)),
            Kind::Simulated(sim) => WeakKind::Simulated(Arc::downgrade(sim)),
        })
    }
}

impl WeakClock {
    pub(crate) fn upgrade(&self) -> Option<Clock> {
        Some(Clock(match &self.0 {
            WeakKind::System => Kind::System,
            WeakKind::Manual(manual) => Kind::Manual(manual.upgrade()?),
            WeakKind::Simulated(sim) => Kind::Simulated(sim.upgrade()?),
        }))
    }
}

/// Another handle of the same clock.
impl From<&Clock> for Clock {
    fn from(clock: &Clock) -> Self {
        clock.clone()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::System => "Clock::system",
            Kind::Manual(_) => "ManualClock",
            Kind::Simulated(_) => "Simulation",
        })
    }
}
