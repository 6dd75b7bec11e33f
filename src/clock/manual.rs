//! The clock that a test turns by hand.
//
// A timed wait on a manual clock is an untimed one that the clock knows of. `turn` wakes the
// waiters whose instant has come, and each of them reads the clock again. A waiter registers and
// reads the clock in one step, so no `turn` falls between. The clock wakes waiters with its
// lock released.

use crate::clock::parked_thread::ParkedThread;
use crate::clock::{Clock, now, wall_now};
use crate::sync::Mutex;
use crate::sync::manual_time::ManualTime;
use crate::sync::waiter::ClockWaiter;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

/// What all clones of a manual clock share.
pub(crate) struct Shared(Mutex<ManualTime>);

impl Shared {
    pub(crate) fn now(&self) -> Instant {
        self.0.lock().now()
    }

    pub(crate) fn wall(&self) -> SystemTime {
        self.0.lock().wall()
    }

    /// Returns whether `instant` is now or in the past. If not, a thread waits for it: it is
    /// settled before the clock can move, and registered if this is its `first` call.
    pub(crate) fn settle_until(
        &self,
        instant: Instant,
        thread: &Arc<ParkedThread>,
        first: bool,
    ) -> bool {
        let mut time = self.0.lock();
        let is_past = match first {
            true => time.register(instant, &thread.as_waiter()),
            false => instant <= time.now(),
        };
        if !is_past {
            thread.settle();
        }
        is_past
    }

    /// Registers `waiter`, to be woken at `instant`. Returns whether that is now or in the past:
    /// then it is not registered.
    pub(crate) fn register(&self, instant: Instant, waiter: &Weak<dyn ClockWaiter>) -> bool {
        self.0.lock().register(instant, waiter)
    }
}

/// A clock for tests of code that takes time: it stands still until the test turns it.
///
/// [`advance`](Self::advance) turns it, and [`wait_idle`](Self::wait_idle) waits until what that
/// has set off is done. Where one thing follows another, do both in steps: what a step makes due
/// happens after the step, so two retries of one second each need two steps of one second. Take
/// instants from this clock ([`now`](Self::now)), not from the system's.
///
/// These use a manual clock:
/// - everything timed of a pool that was [built](crate::pool::PoolBuilder::clock) with it: the
///   delays and time limits of its tasks, [`sleep`](crate::sleep)s in them, the waits for them, and
///   the time limits of its shutdown;
/// - gates that were given it;
/// - the deadlines of tokens that were [made](crate::CancelToken::with_clock) on it, or by tasks of
///   such a pool.
///
/// On a thread that is no worker of such a pool, a `sleep` and the `join_timeout` of a promise use
/// the system's clock.
///
/// ```
/// use millhand::testing::ManualClock;
/// use millhand::ThreadPool;
/// use std::time::Duration;
///
/// let clock = ManualClock::new();
/// let pool = ThreadPool::builder().workers(1).clock(&clock).build()?;
/// let tomorrow = pool.task().delay(Duration::from_secs(24 * 3600)).submit(|| "it is tomorrow");
/// assert!(!tomorrow.is_finished());
/// clock.advance(Duration::from_secs(24 * 3600));
/// assert_eq!(tomorrow.join().unwrap(), "it is tomorrow");
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
///
/// Guide: [testing](crate::guide::testing).
#[derive(Clone)]
pub struct ManualClock(Arc<Shared>);

impl From<&ManualClock> for Clock {
    fn from(manual: &ManualClock) -> Self {
        manual.clock()
    }
}

impl ManualClock {
    /// Makes a clock that shows the present instant, and stands still.
    ///
    /// ```
    /// let clock = millhand::testing::ManualClock::new();
    /// assert_eq!(clock.now(), clock.now());
    /// ```
    pub fn new() -> Self {
        let time = ManualTime::new(now(), wall_now());
        Self(Arc::new(Shared(Mutex::new(time))))
    }

    /// Returns the clock to build pools and gates with.
    ///
    /// ```
    /// let manual = millhand::testing::ManualClock::new();
    /// assert_eq!(manual.clock().now(), manual.now());
    /// ```
    pub fn clock(&self) -> Clock {
        Clock::of_manual(self.0.clone())
    }

    /// Returns the instant that it shows.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let clock = millhand::testing::ManualClock::new();
    /// let before = clock.now();
    /// clock.advance(Duration::from_secs(60));
    /// assert_eq!(clock.now() - before, Duration::from_secs(60));
    /// ```
    pub fn now(&self) -> Instant {
        self.0.now()
    }

    /// Sets the time of day that it shows ([`Clock::wall`]). The time of day moves on with the
    /// clock. Default: the system's when the clock was made. As without a test, nothing is
    /// notified that the time of day was set: a cron schedule sees it when the clock is turned
    /// next.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    ///
    /// let clock = millhand::testing::ManualClock::new();
    /// clock.set_wall(SystemTime::UNIX_EPOCH);
    /// clock.advance(Duration::from_secs(60));
    /// assert_eq!(clock.clock().wall(), SystemTime::UNIX_EPOCH + Duration::from_secs(60));
    /// ```
    pub fn set_wall(&self, wall: SystemTime) {
        self.0.0.lock().set_wall(wall);
    }

    /// Moves it on by `time`, and wakes what waits for an instant up to then.
    pub(crate) fn turn(&self, time: Duration) {
        let mut shared = self.0.0.lock();
        let instant = shared.now() + time;
        let due = shared.advance_to(instant);
        drop(shared);
        due.into_iter().for_each(ClockWaiter::wake);
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
