//! Which leases are over, when the writer had to wait for the lock of the file.
//!
//! Layer: jobs.
//
// While a foreign connection holds the lock, no consumer can extend its lease. The first one that
// gets the lock then finds the leases of all others over, though they live and are next. So a lease
// that ended while this writer waited is not over before a pause, in which the others get the lock.

use crate::jobs::time::{StoredTime, millis};
use crate::testing::Clock;
use std::time::{Duration, Instant};

/// The pause is as long as the wait was, but no longer than this. A consumer that was refused by
/// then tries again in less.
const MOST_PAUSE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Waits {
    clock: Clock,
    /// Since when the writer waits. Refused operations do not end the wait.
    since: Option<Instant>,
    spared: Option<Spared>,
}

/// Leases that ended from a time on are not over up to another one.
#[derive(Clone, Copy, Debug)]
struct Spared {
    from: StoredTime,
    until: Instant,
}

impl Waits {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            since: None,
            spared: None,
        }
    }

    /// The writer waits for the lock.
    pub(super) fn begin(&mut self) {
        let now = self.clock.now();
        self.since.get_or_insert(now);
    }

    /// The writer has the lock.
    pub(super) fn end(&mut self) {
        let Some(since) = self.since.take() else {
            return;
        };
        let now = self.clock.now();
        let waited = now.saturating_duration_since(since);
        let wall = StoredTime::from(self.clock.wall());
        let spared = Spared {
            from: StoredTime(wall.0.saturating_sub(millis(waited))),
            until: now + waited.min(MOST_PAUSE),
        };
        // The short wait of the next group does not end the pause after a long one.
        if self.spared.is_none_or(|last| last.until < spared.until) {
            self.spared = Some(spared);
        }
    }

    /// Leases that end by this time are over.
    pub(super) fn over_by(&self, now: StoredTime) -> StoredTime {
        match self.spared {
            Some(spared) if self.clock.now() < spared.until => spared.from.min(now),
            _ => now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::ManualClock;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_ended_during_a_wait_is_over_after_a_pause() {
        let clock = ManualClock::new();
        let mut waits = Waits::new(clock.clock());
        let now = || StoredTime::from(clock.clock().wall());
        let wait = |waits: &mut Waits, time| {
            let began = now();
            waits.begin();
            clock.advance(time);
            waits.begin();
            waits.end();
            began
        };
        assert_eq!(waits.over_by(now()), now());
        let began = wait(&mut waits, SECOND * 10);
        assert_eq!(waits.over_by(now()), began);
        clock.advance(SECOND * 5);
        wait(&mut waits, SECOND);
        assert_eq!(waits.over_by(now()), began);
        clock.advance(SECOND * 4);
        assert_eq!(waits.over_by(now()), now());
        // However often it has to wait, what ended before the last wait is over.
        for _ in 0..3 {
            let began = wait(&mut waits, SECOND * 100);
            assert_eq!(waits.over_by(now()), began);
        }
        clock.advance(MOST_PAUSE);
        assert_eq!(waits.over_by(now()), now());
    }
}
