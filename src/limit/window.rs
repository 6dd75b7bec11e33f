//! The sliding-window log: at most so many in every interval of a length, for one length or
//! several.
//!
//! Layer: limit, pure: `now` is an argument. Unlike a bucket, a window never lets more than `limit`
//! pass in any interval of `per`, wherever the interval begins.
//
// The algorithm is the sliding window log, as in Nikrad Mahdi, "An alternative approach to rate
// limiting", Figma, 2017. New here: the log is bounded, and an answer takes O(log n) per rate.
//
// The log holds an instant for each unit of weight that was taken, the oldest first. A unit of
// instant t is in a window of length `per` while now < t + per. A rate has room for `weight` more
// if at most `limit - weight` units are in its window. Those are the newest units, so one look is
// enough: the unit at offset `limit - weight` from the newest must have left the window. If it has
// not, the rate passes at the moment when it leaves.
//
// Units that were taken at one instant share an entry, which has the number of its last unit. So
// memory grows with the takings and not with their weight. The look is a binary search.
//
// A unit older than the longest window never counts again. The last rate has both the longest
// interval and the highest limit (checked in `new`), so there are never more units than that limit.
// The log is pruned when something is taken, not when the window is asked: a question leaves no
// trace.

use crate::clock::{from_nanos, later};
use crate::limit::error::LimitError;
use crate::limit::rule::Refusal;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The least capacity that the log shrinks to. To free less memory than that is not worth the time.
const KEPT: usize = 32;

/// The log, and the rates that limit it.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    /// `(limit, per)`, both strictly increasing. Never empty.
    rates: Box<[(u32, Duration)]>,
    log: VecDeque<Entry>,
    /// How many units have left the log.
    pruned: u64,
}

/// The units that were taken at one instant.
#[derive(Clone, Copy, Debug)]
struct Entry {
    at: Instant,
    /// How many units had ever been taken after it.
    end: u64,
}

impl Window {
    /// A window with an empty log. `rates` are `(limit, per)`.
    pub(crate) fn new(rates: &[(u32, Duration)]) -> Result<Self, LimitError> {
        let refuse = |option, allowed| Err(LimitError::Invalid { option, allowed });
        if rates.is_empty() {
            return refuse("rates", "at least one");
        }
        if rates.iter().any(|(limit, _)| *limit == 0) {
            return refuse("limit", "at least 1");
        }
        if rates.iter().any(|(_, per)| per.is_zero()) {
            return refuse("per", "more than zero");
        }
        for pair in rates.windows(2) {
            let (first, second) = (pair[0], pair[1]);
            if let Some(why) = contradiction(first, second) {
                return Err(LimitError::Rates { first, second, why });
            }
        }
        Ok(Self {
            rates: rates.into(),
            log: VecDeque::new(),
            pruned: 0,
        })
    }

    /// How many units were ever taken.
    fn taken(&self) -> u64 {
        self.log.back().map_or(self.pruned, |newest| newest.end)
    }

    /// When the unit at this offset from the newest was taken.
    fn newest_but(&self, offset: u32) -> Option<Instant> {
        let unit = self.taken().checked_sub(1 + u64::from(offset))?;
        let before = self.log.partition_point(|entry| entry.end <= unit);
        (unit >= self.pruned).then(|| self.log[before].at)
    }

    /// `now`, or the instant of the newest entry if the clock went back. So the log stays sorted.
    fn not_before_newest(&self, now: Instant) -> Instant {
        self.log.back().map_or(now, |newest| now.max(newest.at))
    }

    /// Drops the entries that have left all windows.
    fn prune(&mut self, now: Instant) {
        let (_, longest) = self.rates[self.rates.len() - 1];
        let is_out = |entry: &Entry| now.saturating_duration_since(entry.at) >= longest;
        if !self.log.front().is_some_and(is_out) {
            return;
        }
        // By binary search and all at once, so that the first call after a long pause is not slow.
        let out = self.log.partition_point(is_out);
        if let Some(last) = self.log.drain(..out).next_back() {
            self.pruned = last.end;
        }
        let (used, room) = (self.log.len(), self.log.capacity());
        if room > KEPT && used <= room / 4 {
            self.log.shrink_to((2 * used).max(KEPT));
        }
    }

    pub(crate) fn ask(&self, now: Instant, weight: u32) -> Result<(), Refusal> {
        let now = self.not_before_newest(now);
        let mut until = None;
        for &(limit, per) in &self.rates {
            let Some(others) = limit.checked_sub(weight) else {
                return Err(Refusal::Later);
            };
            let Some(unit) = self.newest_but(others) else {
                continue;
            };
            if now.saturating_duration_since(unit) < per {
                // The latest instant of all rates: before it that rate has no room, and then all
                // have.
                until = until.max(Some(later(unit, per)));
            }
        }
        until.map_or(Ok(()), |instant| Err(Refusal::Until(instant)))
    }

    pub(crate) fn try_take(&mut self, now: Instant, weight: u32) -> Result<(), Refusal> {
        self.ask(now, weight)?;
        if weight > 0 {
            let now = self.not_before_newest(now);
            self.prune(now);
            let end = self.taken() + u64::from(weight);
            match self.log.back_mut() {
                Some(newest) if newest.at == now => newest.end = end,
                _ => self.log.push_back(Entry { at: now, end }),
            }
        }
        Ok(())
    }

    pub(crate) fn max_weight(&self) -> u32 {
        self.rates[0].0
    }

    // The n-th unit from now on passes a rate when the unit `limit` before it has left the
    // window. That is an entry of the log, or a unit that itself passes a whole `limit`, so a
    // whole interval, earlier.
    pub(crate) fn earliest(&self, now: Instant, wanted: u64) -> Option<Instant> {
        let now = self.not_before_newest(now);
        let last = wanted.checked_sub(1)?;
        let times = self.rates.iter().map(|&(limit, per)| {
            let (rounds, place) = (last / u64::from(limit), last % u64::from(limit));
            let others = u64::from(limit) - 1 - place;
            let unit = u32::try_from(others).ok();
            let unit = unit.and_then(|others| self.newest_but(others));
            let first = unit.map_or(now, |unit| later(unit, per).max(now));
            later(first, from_nanos(per.as_nanos() * u128::from(rounds)))
        });
        times.max()
    }

    pub(crate) fn available(&self, now: Instant) -> u32 {
        let now = self.not_before_newest(now);
        let free = self.rates.iter().map(|&(limit, per)| {
            let is_out = |entry: &Entry| now.saturating_duration_since(entry.at) >= per;
            let before = self.log.partition_point(is_out).checked_sub(1);
            let before = before.map_or(self.pruned, |last| self.log[last].end);
            // Fits: no more units are inside than the limit.
            limit.saturating_sub(u32::try_from(self.taken() - before).unwrap_or(limit))
        });
        free.min().unwrap_or(0)
    }

    pub(crate) fn is_fresh(&self, now: Instant) -> bool {
        let (_, longest) = self.rates[self.rates.len() - 1];
        let now = self.not_before_newest(now);
        self.log
            .back()
            .is_none_or(|newest| now.saturating_duration_since(newest.at) >= longest)
    }
}

/// What is wrong with two neighbouring rates, if anything.
fn contradiction(first: (u32, Duration), second: (u32, Duration)) -> Option<&'static str> {
    if second.1 <= first.1 {
        return Some("the second interval is not longer");
    }
    if second.0 <= first.0 {
        return Some("the second limit is not higher");
    }
    // Whether second.0 / second.1 > first.0 / first.1, without rounding. The product of 94 bits of
    // nanoseconds and 32 bits of limit fits.
    let density = |limit: u32, other_per: Duration| u128::from(limit) * other_per.as_nanos();
    if density(second.0, first.1) > density(first.0, second.1) {
        return Some("the second allows more per time");
    }
    None
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);
    const NANO: Duration = Duration::from_nanos(1);

    #[test]
    fn nonsense_is_refused_by_name() {
        for (rates, named) in [
            (&[][..], "rates"),
            (&[(0, SECOND)][..], "limit"),
            (&[(1, SECOND), (0, 2 * SECOND)][..], "limit"),
            (&[(1, Duration::ZERO)][..], "per"),
        ] {
            match Window::new(rates) {
                Err(LimitError::Invalid { option, .. }) => assert_eq!(option, named),
                other => panic!("{rates:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn neighbours_that_contradict_each_other_are_refused_by_name() {
        let fine = (10, SECOND);
        for (second, named) in [
            ((20, SECOND), "interval"),
            ((20, SECOND / 2), "interval"),
            ((10, 60 * SECOND), "limit is not higher"),
            ((5, 60 * SECOND), "limit is not higher"),
            ((601, 60 * SECOND), "more per time"),
            ((11, SECOND + SECOND / 10 - NANO), "more per time"),
        ] {
            let rates = [(1, SECOND / 10), fine, second];
            match Window::new(&rates) {
                Err(LimitError::Rates {
                    first,
                    second: s,
                    why,
                }) => {
                    assert_eq!((first, s), (fine, second));
                    assert!(why.contains(named), "{why}");
                }
                other => panic!("{second:?}: {other:?}"),
            }
        }
        for rates in [
            &[fine, (600, 60 * SECOND)][..],
            &[fine, (11, SECOND + SECOND / 10)],
            &[
                (1, NANO),
                (u32::MAX - 1, SECOND * 8),
                (u32::MAX, Duration::MAX),
            ],
        ] {
            assert!(Window::new(rates).is_ok(), "{rates:?}");
        }
    }

    #[test]
    fn the_wait_is_until_all_rates_allow_it() {
        let start = Instant::now();
        let at = |tenths: u32| start + SECOND / 10 * tenths;
        let mut window = Window::new(&[(2, SECOND), (3, 10 * SECOND)]).unwrap();
        assert_eq!(window.max_weight(), 2);
        assert!(window.is_fresh(start));
        for (tenths, weight, answer) in [
            (0, 1, Ok(())),
            (4, 1, Ok(())),
            // Both of the first rate's second are taken; a refused call leaves no trace.
            (5, 1, Err(Refusal::Until(at(10)))),
            (5, 1, Err(Refusal::Until(at(10)))),
            // Two at once find room in the second when both are out, and in the ten when the
            // first of all is.
            (5, 2, Err(Refusal::Until(at(100)))),
            (10, 1, Ok(())),
            (10, 1, Err(Refusal::Until(at(100)))),
            // The clock goes back: nothing leaves before its time, and the newest entry stays the
            // newest.
            (3, 1, Err(Refusal::Until(at(100)))),
            (99, 1, Err(Refusal::Until(at(100)))),
            (100, 1, Ok(())),
            (50, 1, Err(Refusal::Until(at(104)))),
            (104, 1, Ok(())),
            (104, 0, Ok(())),
            (104, 3, Err(Refusal::Later)),
        ] {
            assert_eq!(window.try_take(at(tenths), weight), answer, "at {tenths}");
        }
        assert!(!window.is_fresh(at(0)));
        assert!(!window.is_fresh(at(204) - NANO));
        assert!(window.is_fresh(at(204)));
    }

    #[test]
    fn an_interval_beyond_the_clock_passes_centuries_later() {
        let now = Instant::now();
        let mut window = Window::new(&[(1, Duration::MAX)]).unwrap();
        window.try_take(now, 1).unwrap();
        let far = now + SECOND * u32::MAX;
        assert!(matches!(window.ask(now, 1), Err(Refusal::Until(at)) if at > far));
        assert!(window.ask(far, 1).is_err());
    }

    #[test]
    fn memory_grows_with_what_was_taken_and_goes_back() {
        let start = Instant::now();
        let mut window = Window::new(&[(u32::MAX, SECOND)]).unwrap();
        assert_eq!(window.log.capacity(), 0);
        for n in 0..100_000 {
            window.try_take(start + NANO * n, 1).unwrap();
        }
        assert!(window.log.capacity() < 300_000);
        let mut heavy = Window::new(&[(u32::MAX, SECOND)]).unwrap();
        for n in 0..10 {
            heavy.try_take(start + NANO * n, 400_000_000).unwrap();
            heavy.try_take(start + NANO * n, 20_000_000).unwrap();
        }
        assert_eq!((heavy.log.len(), heavy.available(start)), (10, 94_967_295));
        // An entry is out when its second is over.
        window.try_take(start + SECOND + NANO * 99_990, 1).unwrap();
        assert_eq!(window.log.len(), 10);
        assert!(window.log.capacity() <= 2 * KEPT);
        window.try_take(start + 3 * SECOND, 1).unwrap();
        assert_eq!(window.log.len(), 1);
    }

    /// Keeps all that was ever taken and counts what is in the window.
    struct Naive {
        rates: Vec<(u32, Duration)>,
        taken: Vec<(Instant, u32)>,
    }

    impl Naive {
        fn allows(&self, now: Instant, weight: u32) -> bool {
            self.rates.iter().all(|(limit, per)| {
                let inside = self.taken.iter().filter(|(at, _)| now < *at + *per);
                inside.map(|(_, weight)| weight).sum::<u32>() + weight <= *limit
            })
        }

        /// Room comes only when an entry leaves a window: the first of those instants that allows
        /// it.
        fn answer(&self, now: Instant, weight: u32) -> Result<(), Refusal> {
            let now = self.taken.last().map_or(now, |(at, _)| now.max(*at));
            if self.allows(now, weight) {
                return Ok(());
            }
            let mut leaving = Vec::new();
            for (at, _) in &self.taken {
                leaving.extend(self.rates.iter().map(|(_, per)| *at + *per));
            }
            leaving.retain(|at| *at > now && self.allows(*at, weight));
            let first = leaving.into_iter().min();
            Err(first.map_or(Refusal::Later, Refusal::Until))
        }
    }

    /// From one rate to four that go together, in milliseconds.
    fn rates() -> impl Strategy<Value = Vec<(u32, Duration)>> {
        let first = (1..6_u32, 1..50_u64);
        let more = proptest::collection::vec((1..8_u32, 0..40_u64), 0..3);
        (first, more).prop_map(|(first, more)| {
            let mut rates = vec![first];
            for (limit, longer) in more {
                let (last, per) = rates[rates.len() - 1];
                let limit = last + limit;
                let shortest = (u64::from(limit) * per).div_ceil(last.into());
                rates.push((limit, shortest.max(per + 1) + longer));
            }
            let millis = |(limit, per)| (limit, Duration::from_millis(per));
            rates.into_iter().map(millis).collect()
        })
    }

    proptest! {
        #[test]
        fn it_answers_as_a_count_of_everything_does(
            rates in rates(),
            steps in proptest::collection::vec((-5..40_i64, 0..6_u32, any::<bool>()), 1..120),
        ) {
            let mut window = Window::new(&rates).unwrap();
            let mut naive = Naive { rates: rates.clone(), taken: Vec::new() };
            let mut now = Instant::now();
            for (pause, weight, in_time) in steps {
                // Most pauses are short, some are none, some go back.
                let pause = if pause < 20 { pause / 4 } else { pause };
                let millis = Duration::from_millis(pause.unsigned_abs());
                now = if pause < 0 { now - millis } else { now + millis };
                let weight = weight.min(window.max_weight());
                let expected = naive.answer(now, weight);
                prop_assert_eq!(window.ask(now, weight), expected);
                let mut answer = window.try_take(now, weight);
                prop_assert_eq!(answer, expected);
                if let Err(Refusal::Until(instant)) = answer {
                    prop_assert!(window.ask(instant - NANO, weight).is_err());
                    prop_assert_eq!(window.ask(instant, weight), Ok(()));
                    if in_time {
                        now = instant;
                        answer = window.try_take(now, weight);
                        prop_assert_eq!(answer, Ok(()));
                    }
                }
                if answer.is_ok() && weight > 0 {
                    let newest = naive.taken.last().map_or(now, |(at, _)| now.max(*at));
                    naive.taken.push((newest, weight));
                }
                let idle = naive.taken.last().is_none_or(|(at, _)| now >= *at + rates[rates.len() - 1].1);
                prop_assert_eq!(window.is_fresh(now), idle);
                prop_assert!(window.log.len() <= rates[rates.len() - 1].0 as usize);
            }
        }
    }
}
