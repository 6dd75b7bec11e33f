//! Arithmetic with time that cannot overflow, and with time that may never come.

use std::time::{Duration, Instant};

/// As good as for ever. An instant as many years ahead still fits the clock of every system.
const FAR: Duration = Duration::from_secs(400 * 365 * 24 * 3600);

/// The instant `wait` after `from`. On overflow some instant centuries ahead: a waiter that ever
/// reached it would only check again.
pub(crate) fn later(from: Instant, wait: Duration) -> Instant {
    let far = || from.checked_add(FAR);
    from.checked_add(wait).or_else(far).unwrap_or(from)
}

/// The duration of so many nanoseconds. On overflow the longest duration.
pub(crate) fn from_nanos(nanos: u128) -> Duration {
    const SECOND: u128 = 1_000_000_000;
    u64::try_from(nanos / SECOND).map_or(Duration::MAX, |seconds| {
        Duration::new(seconds, (nanos % SECOND) as u32)
    })
}

/// The earlier of two instants, or the shorter of two durations, where `None` means never.
pub(crate) fn earlier<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_never_comes_is_not_earlier() {
        assert_eq!(earlier(Some(1), Some(2)), Some(1));
        assert_eq!(earlier(Some(2), Some(1)), Some(1));
        assert_eq!(earlier(Some(1), None), Some(1));
        assert_eq!(earlier(None, Some(1)), Some(1));
        assert_eq!(earlier(None::<u8>, None), None);
    }

    #[test]
    fn an_instant_that_the_clock_cannot_hold_is_centuries_away() {
        let now = Instant::now();
        let century = Duration::from_secs(100 * 365 * 24 * 3600);
        assert_eq!(later(now, Duration::ZERO), now);
        assert_eq!(later(now, century), now + century);
        assert!(later(now, Duration::MAX) > now + 3 * century);
    }

    #[test]
    fn nanoseconds_of_any_number_make_a_duration() {
        for length in [
            Duration::ZERO,
            Duration::from_nanos(u64::MAX),
            Duration::MAX,
        ] {
            assert_eq!(from_nanos(length.as_nanos()), length);
        }
        assert_eq!(from_nanos(u128::MAX), Duration::MAX);
    }
}
