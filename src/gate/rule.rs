//! What every gate's rule answers: may this task pass now, and if not, when.
//!
//! Layer 1, beside the hand-off. A rule is a pure decision: time is an argument, nothing here waits, locks or calls
//! back. Whoever owns it keeps it under a lock, keeps the line of those who wait, and sends them on.

use std::time::{Duration, Instant};

/// Why a rule lets nobody through for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It passes at this instant if nothing else changes, and not before.
    Until(Instant),
    /// It passes when somebody gives something back: no instant can be named.
    Later,
}

/// A gate's decision. `order` is the task's place in the order of submission, `weight` how much it asks for.
///
/// A weight above what the rule ever lets through at once is refused by the caller, who knows that bound; a rule that
/// gets one all the same says [`Refusal::Later`]. A `now` before one that the rule has seen already is harmless: time
/// stands still for it.
pub(crate) trait Rule: Send {
    /// Whether `weight` could be taken at `now`, with the task's place `order`. Changes nothing that anybody can see.
    fn ask(&mut self, now: Instant, order: u64, weight: u32) -> Result<(), Refusal>;

    /// Takes what was just asked for with the same arguments and allowed.
    fn take(&mut self, now: Instant, order: u64, weight: u32);

    /// Asks and takes in one.
    fn try_take(&mut self, now: Instant, order: u64, weight: u32) -> Result<(), Refusal> {
        self.ask(now, order, weight)?;
        self.take(now, order, weight);
        Ok(())
    }

    /// The body has returned; `last`: the task will not run again.
    fn give_back(&mut self, _order: u64, _weight: u32, _last: bool) {}

    /// A task takes its place in the order (lanes only).
    fn enter(&mut self, _order: u64) {}

    /// Nothing is taken, and time would bring nothing more: forgetting this rule and making it anew changes nothing.
    fn is_fresh(&mut self, now: Instant) -> bool;

    /// The most that it ever lets through at once.
    fn heaviest(&self) -> u32;

    /// What could be taken at `now`.
    fn available(&mut self, now: Instant) -> u32;

    /// When the last of `wanted` units, taken one after the other from now on, could be taken at the earliest, however many
    /// that are; `None`: that is for others to say. Until then at the least one waits behind as much.
    fn earliest(&self, _now: Instant, _wanted: u64) -> Option<Instant> {
        None
    }

    /// Changes the number of permits, where there are some.
    fn set_permits(&mut self, _permits: u32) {}

    /// Changes the rate from `now` on; false: this rule has none that can be changed, or the new one makes no sense.
    fn set_rate(&mut self, _now: Instant, _rate: u32, _per: Duration) -> bool {
        false
    }
}

/// The instant `wait` after `from`; where the clock cannot hold it, one that is centuries away.
///
/// Whoever waited for such an instant would ask again and hear of the next one.
pub(crate) fn after(from: Instant, wait: Duration) -> Instant {
    let mut wait = wait;
    loop {
        // Ends at a wait of zero at the latest.
        match from.checked_add(wait) {
            Some(instant) => return instant,
            None => wait /= 2,
        }
    }
}

/// So many nanoseconds, which may be more than 64 bits hold; the longest duration where even that is too short.
pub(crate) fn duration(nanos: u128) -> Duration {
    const SECOND: u128 = 1_000_000_000;
    u64::try_from(nanos / SECOND).map_or(Duration::MAX, |seconds| {
        Duration::new(seconds, (nanos % SECOND) as u32)
    })
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_instant_that_the_clock_cannot_hold_is_centuries_away() {
        let now = Instant::now();
        let century = Duration::from_secs(100 * 365 * 24 * 3600);
        assert_eq!(after(now, Duration::ZERO), now);
        assert_eq!(after(now, century), now + century);
        assert!(after(now, Duration::MAX) > now + 10 * century);
    }

    #[test]
    fn nanoseconds_of_any_number_make_a_duration() {
        for length in [
            Duration::ZERO,
            Duration::from_nanos(u64::MAX),
            Duration::MAX,
        ] {
            assert_eq!(duration(length.as_nanos()), length);
        }
        assert_eq!(duration(u128::MAX), Duration::MAX);
    }
}
