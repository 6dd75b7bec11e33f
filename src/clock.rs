//! Time: the one room in which the library reads a clock or waits on one.
//!
//! Layer 0. Nothing outside this file names `Instant::now` or a timed wait. Everything timed goes by a [`Clock`], which is
//! the system's, one that a test turns by hand, or that of a simulation.
//
// A timed wait on a manual clock is an untimed one of which the clock knows: turning it on wakes whoever is due, who
// then looks at the clock again. The clock never calls while its own lock is held, and whoever waits tells it first and
// reads it afterwards, so that no turn falls between.

use crate::sim::Sim;
use crate::sync::{Condvar, Mutex, MutexGuard};
use crate::wake::Wake;
use crossbeam_channel::Receiver;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

/// The system's present instant.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Waits for `condvar` until `deadline` of the system's clock, or for ever; says whether the deadline passed.
///
/// Wakes without cause are possible: the caller looks at its condition again.
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

/// The time that a pool and its gates go by: the system's, or a [`ManualClock`]'s. Clones are the same clock.
///
/// ```
/// use millhand::{Clock, ThreadPool};
///
/// let pool = ThreadPool::builder().workers(1).clock(&Clock::system()).build()?; // as it is by default
/// # Ok::<(), millhand::BuildError>(())
/// ```
#[derive(Clone, Default)]
pub struct Clock(Kind);

#[derive(Clone, Default)]
enum Kind {
    #[default]
    System,
    Manual(Arc<Turned>),
    Simulated(Arc<Sim>),
}

/// A manual clock's hands.
struct Turned(Mutex<Hands>);

struct Hands {
    now: Instant,
    /// The time of day that it showed at an instant; it goes on from there as the instants do.
    wall: (SystemTime, Instant),
    /// Who waits for when; a waiter is there once an instant, however often it asks.
    waiting: BTreeMap<(Instant, usize), Weak<dyn Wake>>,
    /// So many are looked through for those that are gone.
    sweep_at: usize,
}

const SWEEP_FROM: usize = 64;

impl Clock {
    /// The system's monotonic clock.
    ///
    /// ```
    /// let clock = millhand::Clock::system();
    /// assert!(clock.now() <= std::time::Instant::now());
    /// ```
    pub const fn system() -> Self {
        Self(Kind::System)
    }

    /// The present instant.
    ///
    /// ```
    /// let clock = millhand::ManualClock::new().clock();
    /// assert_eq!(clock.now(), clock.now());
    /// ```
    pub fn now(&self) -> Instant {
        match &self.0 {
            Kind::System => now(),
            Kind::Manual(turned) => turned.0.lock().now,
            Kind::Simulated(sim) => sim.now(),
        }
    }

    /// The present time of day, which may jump: people and network daemons set it. Cron goes by it, and what is told of
    /// schedules; all else goes by [`now`](Self::now).
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    ///
    /// let manual = millhand::ManualClock::new();
    /// let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(12 * 3600);
    /// manual.set_wall(noon);
    /// assert_eq!(manual.clock().wall(), noon);
    /// ```
    pub fn wall(&self) -> SystemTime {
        match &self.0 {
            Kind::System => SystemTime::now(),
            Kind::Manual(turned) => turned.0.lock().wall(),
            Kind::Simulated(sim) => sim.hand().wall(),
        }
    }

    /// The instant `timeout` from now; `None`, which means for ever, when the clock cannot hold it.
    pub(crate) fn deadline(&self, timeout: Duration) -> Option<Instant> {
        self.now().checked_add(timeout)
    }

    /// This clock, unless it is the system's: then that one.
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

    /// Waits for `condvar` until `blocked` says no, or `deadline` passes, and says which: whether it is blocked no longer.
    ///
    /// `me` is woken by the clock: it notifies all who wait for the condvar, through its lock. `blocked` only looks, and may
    /// be asked any number of times.
    pub(crate) fn wait_while<T>(
        &self,
        condvar: &Condvar,
        guard: &mut MutexGuard<'_, T>,
        deadline: Option<Instant>,
        me: impl Fn() -> Weak<dyn Wake>,
        mut blocked: impl FnMut(&mut T) -> bool,
    ) -> bool {
        let mut first = true;
        while blocked(guard) {
            match (&self.0, deadline) {
                (Kind::Simulated(sim), _) => {
                    if deadline.is_some_and(|at| at <= sim.now()) {
                        return false;
                    }
                    let me = me();
                    MutexGuard::unlocked(guard, || sim.block(first, deadline, me));
                    first = false;
                }
                (Kind::Manual(turned), Some(instant)) => {
                    if turned.call(instant, me()) {
                        return false;
                    }
                    condvar.wait(guard);
                }
                _ => {
                    if wait(condvar, guard, deadline) {
                        return !blocked(guard);
                    }
                }
            }
        }
        true
    }

    /// Waits, in a simulation, until `me` says that a wait that the clock does not see ends at once; it tells of that
    /// exactly. Without a simulation nothing: the wait itself is as good.
    pub(crate) fn wait_before(&self, me: impl FnOnce() -> Weak<dyn Wake>) {
        let Kind::Simulated(sim) = &self.0 else {
            return;
        };
        let me = me();
        let mut first = true;
        while me.upgrade().is_some_and(|me| me.stays()) {
            sim.block(first, None, me.clone());
            first = false;
        }
    }

    /// Waits for a message until `deadline`, or for ever; `None` if the deadline passed, or all senders are gone. `me`
    /// wakes the receiver by a message.
    pub(crate) fn receive<T>(
        &self,
        receiver: &Receiver<T>,
        deadline: Option<Instant>,
        me: impl FnOnce() -> Weak<dyn Wake>,
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
            (Kind::Manual(turned), Some(instant)) => {
                if turned.call(instant, me()) {
                    return receiver.try_recv().ok();
                }
                receiver.recv().ok()
            }
        }
    }

    /// Has `whom` woken at `instant`, right here and now if that has passed. Not on the system's clock, which wakes nobody
    /// by itself (`alarm` does): then it says no.
    pub(crate) fn call(&self, instant: Instant, whom: Weak<dyn Wake>) -> bool {
        let is_past = match &self.0 {
            Kind::System => return false,
            Kind::Manual(turned) => turned.call(instant, whom.clone()),
            Kind::Simulated(sim) => sim.call(instant, whom.clone()),
        };
        if is_past {
            whom.upgrade().into_iter().for_each(Wake::wake);
        }
        true
    }

    pub(crate) fn of_simulation(sim: Arc<Sim>) -> Self {
        Self(Kind::Simulated(sim))
    }

    pub(crate) fn simulated(&self) -> Option<&Arc<Sim>> {
        match &self.0 {
            Kind::Simulated(sim) => Some(sim),
            _ => None,
        }
    }
}

impl Hands {
    fn wall(&self) -> SystemTime {
        let (wall, at) = self.wall;
        wall.checked_add(self.now - at).unwrap_or(wall)
    }
}

impl Turned {
    /// Asks to be woken at `instant`; says whether that is now or was before.
    fn call(&self, instant: Instant, whom: Weak<dyn Wake>) -> bool {
        let mut hands = self.0.lock();
        if hands.now >= instant {
            return true;
        }
        if hands.waiting.len() >= hands.sweep_at {
            hands.waiting.retain(|_, whom| whom.strong_count() > 0);
            hands.sweep_at = SWEEP_FROM.max(2 * hands.waiting.len());
        }
        let address = whom.as_ptr().cast::<()>() as usize;
        hands.waiting.insert((instant, address), whom);
        false
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

/// A clock that stands still until it is turned: for tests of what takes time.
///
/// Turn it in steps where one thing follows another: what a step makes due happens after it, so that two retries of a
/// second each want two steps of a second. And take instants from it ([`now`](Self::now)), not from the system.
///
/// What goes by it: everything timed of a pool that was [built](crate::PoolBuilder::clock) with it, its tasks' delays, limits
/// and [`sleep`](crate::sleep)s as well as the waits for them and the limits of its shutdown; the gates that were given it; and
/// the deadlines of tokens that were [made](crate::CancelToken::with_clock) on it or by the pool's tasks. To a thread that is
/// no worker of the pool, a `sleep` or a promise's `join_timeout` goes by the system's clock.
///
/// ```
/// use millhand::{ManualClock, ThreadPool};
/// use std::time::Duration;
///
/// let clock = ManualClock::new();
/// let pool = ThreadPool::builder().workers(1).clock(&clock.clock()).build()?;
/// let tomorrow = pool.task().delay(Duration::from_secs(24 * 3600)).submit(|| "it is tomorrow");
/// assert!(!tomorrow.is_finished());
/// clock.advance(Duration::from_secs(24 * 3600));
/// assert_eq!(tomorrow.join().unwrap(), "it is tomorrow");
/// # Ok::<(), millhand::BuildError>(())
/// ```
#[derive(Clone)]
pub struct ManualClock(Arc<Turned>);

impl ManualClock {
    /// A clock that shows the present instant, and stands.
    ///
    /// ```
    /// let clock = millhand::ManualClock::new();
    /// assert_eq!(clock.now(), clock.now());
    /// ```
    pub fn new() -> Self {
        let now = now();
        Self(Arc::new(Turned(Mutex::new(Hands {
            now,
            wall: (SystemTime::now(), now),
            waiting: BTreeMap::new(),
            sweep_at: SWEEP_FROM,
        }))))
    }

    /// What pools and gates are given.
    ///
    /// ```
    /// let manual = millhand::ManualClock::new();
    /// assert_eq!(manual.clock().now(), manual.now());
    /// ```
    pub fn clock(&self) -> Clock {
        Clock(Kind::Manual(self.0.clone()))
    }

    /// What it shows.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let clock = millhand::ManualClock::new();
    /// let before = clock.now();
    /// clock.advance(Duration::from_secs(60));
    /// assert_eq!(clock.now() - before, Duration::from_secs(60));
    /// ```
    pub fn now(&self) -> Instant {
        self.0.0.lock().now
    }

    /// Sets the time of day that it shows ([`Clock::wall`]); it moves on with the clock. Default: the system's when the
    /// clock was made. What goes by it looks when the clock is turned next, as in life: nobody is told that a clock was
    /// set.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    ///
    /// let clock = millhand::ManualClock::new();
    /// clock.set_wall(SystemTime::UNIX_EPOCH);
    /// clock.advance(Duration::from_secs(60));
    /// assert_eq!(clock.clock().wall(), SystemTime::UNIX_EPOCH + Duration::from_secs(60));
    /// ```
    pub fn set_wall(&self, wall: SystemTime) {
        let mut hands = self.0.0.lock();
        hands.wall = (wall, hands.now);
    }

    /// Turns it on by `time`, and wakes whoever waits for an instant up to then. Returns at once: what is due is done by
    /// those who were woken, so join it. Only the hooks of tokens whose deadline this passes run on the caller's thread.
    ///
    /// # Panics
    /// When the instant cannot be represented, after some hundred years.
    ///
    /// ```
    /// use millhand::{ManualClock, RateLimiter};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let limiter = RateLimiter::token_bucket(1, Duration::from_secs(60)).clock(&clock.clock()).build()?;
    /// assert!(limiter.try_acquire(1).is_ok());
    /// assert!(limiter.try_acquire(1).is_err());
    /// clock.advance(Duration::from_secs(60));
    /// assert!(limiter.try_acquire(1).is_ok());
    /// # Ok::<(), millhand::LimitError>(())
    /// ```
    pub fn advance(&self, time: Duration) {
        let mut hands = self.0.0.lock();
        hands.now += time;
        let now = hands.now;
        // `(now, MAX)` itself cannot be a key: no object lies there.
        let later = hands.waiting.split_off(&(now, usize::MAX));
        let due = std::mem::replace(&mut hands.waiting, later);
        drop(hands);
        for whom in due.into_values() {
            whom.upgrade().into_iter().for_each(Wake::wake);
        }
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ManualClock").field(&self.now()).finish()
    }
}
