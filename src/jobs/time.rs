//! The time of a storage.
//!
//! Layer: jobs.

use std::time::{Duration, SystemTime};

/// A time of day by the clock of a storage, in milliseconds since 1970. No process compares it with
/// its own clock.
///
/// ```
/// use millhand::jobs::StoredTime;
/// use std::time::{Duration, SystemTime};
///
/// let noon = StoredTime::from(SystemTime::UNIX_EPOCH + Duration::from_secs(43_200));
/// assert_eq!(noon, StoredTime(43_200_000));
/// assert_eq!(noon + Duration::from_secs(1), StoredTime(43_201_000));
/// assert_eq!(StoredTime(5).since(noon), Duration::ZERO);
/// ```
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoredTime(pub i64);

impl StoredTime {
    /// Returns how long after `earlier` it is: nothing if it is not.
    pub fn since(self, earlier: Self) -> Duration {
        let millis = self.0.saturating_sub(earlier.0);
        Duration::from_millis(u64::try_from(millis).unwrap_or(0))
    }
}

/// Milliseconds, rounded up, so that nothing is due too early. The largest number for more.
pub(crate) fn millis(duration: Duration) -> i64 {
    let millis = duration.as_nanos().div_ceil(1_000_000);
    i64::try_from(millis).unwrap_or(i64::MAX)
}

impl std::ops::Add<Duration> for StoredTime {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }
}

impl From<SystemTime> for StoredTime {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => Self(i64::try_from(since.as_millis()).unwrap_or(i64::MAX)),
            Err(before) => Self(-millis(before.duration())),
        }
    }
}

impl From<StoredTime> for SystemTime {
    fn from(time: StoredTime) -> Self {
        let span = Duration::from_millis(time.0.unsigned_abs());
        let found = match time.0 < 0 {
            false => Self::UNIX_EPOCH.checked_add(span),
            true => Self::UNIX_EPOCH.checked_sub(span),
        };
        found.unwrap_or(Self::UNIX_EPOCH)
    }
}
