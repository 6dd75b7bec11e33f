//! A simulation's clock: it stands until it is set.
//!
//! Layer 0.

use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// Read by any thread, set by the one whose turn it is.
pub(crate) struct Hand {
    origin: Instant,
    /// Nanoseconds since then.
    elapsed: AtomicU64,
    /// The time of day that it showed when so much had passed.
    wall: Mutex<(SystemTime, Duration)>,
}

/// The same in each run: the first of January 2026, midnight UTC.
const WALL: Duration = Duration::from_secs(1_767_225_600);

impl Hand {
    pub(crate) fn new(origin: Instant) -> Self {
        Self {
            origin,
            elapsed: AtomicU64::new(0),
            wall: Mutex::new((SystemTime::UNIX_EPOCH + WALL, Duration::ZERO)),
        }
    }

    pub(crate) fn now(&self) -> Instant {
        self.origin + self.passed()
    }

    pub(crate) fn passed(&self) -> Duration {
        // ORDERING: relaxed, as is the store: turns are given and taken in order.
        Duration::from_nanos(self.elapsed.load(Ordering::Relaxed))
    }

    pub(crate) fn wall(&self) -> SystemTime {
        let (wall, then) = *self.wall.lock();
        wall.checked_add(self.passed() - then).unwrap_or(wall)
    }

    pub(crate) fn set_wall(&self, wall: SystemTime) {
        *self.wall.lock() = (wall, self.passed());
    }

    /// Whether it can show this instant: 584 years from its beginning it cannot.
    pub(crate) fn reaches(&self, at: Instant) -> bool {
        self.nanos_at(at).is_some()
    }

    fn nanos_at(&self, at: Instant) -> Option<u64> {
        u64::try_from(at.saturating_duration_since(self.origin).as_nanos()).ok()
    }

    /// Goes on to an instant that it reaches; says by how much, if at all.
    pub(crate) fn go_to(&self, at: Instant) -> Option<Duration> {
        let by = at.checked_duration_since(self.now())?;
        self.elapsed.store(self.nanos_at(at)?, Ordering::Relaxed);
        Some(by).filter(|by| !by.is_zero())
    }
}
