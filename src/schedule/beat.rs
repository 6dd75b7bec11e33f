//! At which times a schedule is due, without rules: a period's, or a cron expression's.
//!
//! Layer 5, and pure. A time is a `Duration`: since the schedule was made, by the monotonic clock, for a period; since 1970,
//! by the time of day, for cron.

#[cfg(feature = "cron")]
use crate::schedule::cron::Times;
#[cfg(feature = "cron")]
use std::sync::Arc;
use std::time::Duration;

pub(crate) enum Beat {
    Period(Duration),
    #[cfg(feature = "cron")]
    Cron(Arc<Times>),
}

/// Times of a cron expression that have passed are counted one by one, so no more than this at once: after a clock was set
/// right by fifty years nobody wants to know.
#[cfg(feature = "cron")]
const MOST: u64 = 1000;

impl Beat {
    /// The time after that one.
    pub(crate) fn after(&self, time: Duration) -> Option<Duration> {
        match self {
            // One that no duration holds is not reached, and not over either.
            Self::Period(period) => Some(time.saturating_add(*period)),
            #[cfg(feature = "cron")]
            Self::Cron(times) => times.after(time),
        }
    }

    /// The last time up to `now`, which is `time` or a later one, and how many lie after `time` up to that one.
    pub(crate) fn up_to(&self, time: Duration, now: Duration) -> (Duration, u64) {
        match self {
            Self::Period(period) => {
                let (past, period) = (now.saturating_sub(time).as_nanos(), period.as_nanos());
                let since_last = past % period;
                let last = now.max(time) - nanos(since_last);
                (last, u64::try_from(past / period).unwrap_or(u64::MAX))
            }
            #[cfg(feature = "cron")]
            Self::Cron(times) => {
                let (mut last, mut passed) = (time, 0);
                while let Some(next) = times.after(last).filter(|next| *next <= now) {
                    last = next;
                    passed += 1;
                    if passed == MOST {
                        last = times.before(now).unwrap_or(last);
                        break;
                    }
                }
                (last, passed)
            }
        }
    }
}

/// Of what is shorter than some duration.
fn nanos(nanos: u128) -> Duration {
    const SECOND: u128 = 1_000_000_000;
    Duration::new((nanos / SECOND) as u64, (nanos % SECOND) as u32)
}
