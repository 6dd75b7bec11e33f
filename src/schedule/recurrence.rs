//! The times at which a schedule is due: those of a period, or of a cron expression.
//!
//! Layer: schedule. Pure. Times are durations; `timeline` says from when they count.

use crate::clock::from_nanos;
#[cfg(feature = "cron")]
use crate::schedule::calendar::Times;
#[cfg(feature = "cron")]
use std::sync::Arc;
use std::time::Duration;

pub(crate) enum Recurrence {
    Period(Duration),
    #[cfg(feature = "cron")]
    Cron(Arc<Times>),
    /// Panics.
    #[cfg(all(test, not(loom)))]
    Broken,
}

/// How many times of a cron expression `last_before` counts at most. It finds them one by one,
/// which would take long after the clock was set by fifty years.
#[cfg(feature = "cron")]
const MAX_COUNTED: u64 = 1000;

impl Recurrence {
    /// The first time after `time`. `None` if there is none.
    pub(crate) fn next_after(&self, time: Duration) -> Option<Duration> {
        match self {
            // A time that no duration can hold is never reached, but the schedule has not ended.
            Self::Period(period) => Some(time.saturating_add(*period)),
            #[cfg(feature = "cron")]
            Self::Cron(times) => times.after(time),
            #[cfg(all(test, not(loom)))]
            Self::Broken => panic!("a calendar that is broken on purpose"),
        }
    }

    /// By how much a clock may be set back so that no time is repeated.
    pub(crate) fn ignored_step(&self) -> Duration {
        match self {
            #[cfg(feature = "cron")]
            Self::Cron(times) => times.ignored_step(),
            // Its clock is never set.
            _ => Duration::MAX,
        }
    }

    /// The last time that is not after `now`, starting from `time`, and how many times there are
    /// after `time` up to that one. Returns `time` and 0 if there are none.
    pub(crate) fn last_before(&self, time: Duration, now: Duration) -> (Duration, u64) {
        match self {
            Self::Period(period) => {
                let (past, period) = (now.saturating_sub(time).as_nanos(), period.as_nanos());
                let since_last = past % period;
                let last = now.max(time) - from_nanos(since_last);
                (last, u64::try_from(past / period).unwrap_or(u64::MAX))
            }
            #[cfg(feature = "cron")]
            Self::Cron(times) => {
                let (mut last, mut passed) = (time, 0);
                while let Some(next) = times.after(last).filter(|next| *next <= now) {
                    last = next;
                    passed += 1;
                    if passed == MAX_COUNTED {
                        return (last_of(times, last, now), passed);
                    }
                }
                (last, passed)
            }
            #[cfg(all(test, not(loom)))]
            Self::Broken => (time, 0),
        }
    }
}

/// The last time that is not after `now`. `last` is one of the times.
#[cfg(feature = "cron")]
fn last_of(times: &Times, last: Duration, now: Duration) -> Duration {
    let after = |seconds| {
        let next = times.after(Duration::from_secs(seconds));
        next.filter(|next| *next <= now)
    };
    let mut found = last;
    // There is no time after `none` up to now.
    let mut none = now.as_secs();
    while found.as_secs() < none {
        let middle = found.as_secs().midpoint(none);
        match after(middle) {
            Some(next) => found = next,
            None => none = middle,
        }
    }
    found
}
