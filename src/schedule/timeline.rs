//! The clock of a schedule, which reads and plans times as durations.
//!
//! Layer: schedule. A period counts from the instant when the schedule was made, by the monotonic
//! clock. A cron expression counts from 1970, by the time of day.

use crate::clock::Clock;
use std::time::{Duration, Instant, SystemTime};

/// How long a schedule by the time of day sleeps at most. The time of day may be set meanwhile.
const MAX_SLEEP: Duration = Duration::from_secs(60);

pub(crate) struct Timeline {
    clock: Clock,
    /// The instant from which times count. `None`: they count from 1970, by the time of day.
    origin: Option<Instant>,
}

impl Timeline {
    /// Counts from now, by the monotonic clock.
    pub(crate) fn from_now(clock: Clock) -> Self {
        let origin = Some(clock.now());
        Self { clock, origin }
    }

    /// Counts from 1970, by the time of day.
    #[cfg(feature = "cron")]
    pub(crate) fn by_time_of_day(clock: Clock) -> Self {
        Self {
            clock,
            origin: None,
        }
    }

    pub(crate) fn now(&self) -> Duration {
        match self.origin {
            Some(origin) => self.clock.now().saturating_duration_since(origin),
            None => {
                let since_1970 = self.clock.wall().duration_since(SystemTime::UNIX_EPOCH);
                since_1970.unwrap_or_default()
            }
        }
    }

    /// When to wake for a time, at the latest. `None`: the clock never reaches that time.
    pub(crate) fn wake_at(&self, time: Duration) -> Option<Instant> {
        if let Some(origin) = self.origin {
            return origin.checked_add(time);
        }
        // The instant is read first. If the clock advances between the two readings, the schedule
        // wakes too early, which does no harm, and not too late.
        let now = self.clock.now();
        let left = time.saturating_sub(self.now());
        now.checked_add(left.min(MAX_SLEEP))
    }

    /// A time as a time of day.
    pub(crate) fn time_of_day(&self, time: Duration) -> Option<SystemTime> {
        if self.origin.is_none() {
            return SystemTime::UNIX_EPOCH.checked_add(time);
        }
        let now = self.now();
        let wall = self.clock.wall();
        match time.checked_sub(now) {
            Some(left) => wall.checked_add(left),
            None => wall.checked_sub(now - time),
        }
    }

    pub(crate) fn wall(&self) -> SystemTime {
        self.clock.wall()
    }
}
