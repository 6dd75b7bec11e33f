//! The times of a cron expression in a time zone.
//!
//! Layer: schedule. Pure. croner parses the fields and says which days match. jiff knows the zones.
//
// Everything is in whole seconds since 1970. A time of the wall clock is written as the instant at
// which a wall clock in UTC shows it. So an instant plus the offset of its zone is what the wall
// clock shows then.
//
// croner can also search in a zone. It walks along the wall clock and gives up at a change of more
// than two hours, and it skips a day whose time falls into a change that ends at midnight. So the
// search is done here: from one change of the offset to the next. Between two of them the wall
// clock and the instants advance together, and the first match of the wall clock is the first time.
// What a change leaves out or repeats is seen to at the change.

use croner::CronPattern;
use croner::time::Weekday;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};
use std::time::Duration;

const DAY: i64 = 24 * 3600;

/// No wall clock differs from that of UTC by this much.
const FARTHEST: i64 = 26 * 3600;

pub(crate) struct Times {
    pub(super) expression: Box<str>,
    pub(super) zone: TimeZone,
    pattern: CronPattern,
    // Bit sets.
    hours: u64,
    minutes: u64,
    seconds: u64,
    /// There is one second, one minute and one hour.
    is_once_a_day: bool,
}

impl Times {
    pub(super) fn new(expression: &str, pattern: CronPattern, zone: TimeZone) -> Self {
        let fields = [&pattern.hours, &pattern.minutes, &pattern.seconds];
        let is_once_a_day = fields
            .iter()
            .all(|field| !field.from_wildcard && field.values().len() == 1);
        let [hours, minutes, seconds] = fields.map(|field| {
            let bits = field.values().into_iter().map(|value| 1 << value);
            bits.fold(0, |set, bit: u64| set | bit)
        });
        Self {
            expression: expression.into(),
            zone,
            pattern,
            hours,
            minutes,
            seconds,
            is_once_a_day,
        }
    }

    /// The first time after `time`, both since 1970. `None` if there is none.
    pub(crate) fn after(&self, time: Duration) -> Option<Duration> {
        // In whole seconds: a time after the second of `time` is after `time`, too.
        let mut start = i64::try_from(time.as_secs()).ok()?.checked_add(1)?;
        loop {
            // Leaps over all changes that are too early for the first match.
            let first = self.first_match(start.checked_sub(FARTHEST)?, i64::MAX)?;
            start = start.max(first - FARTHEST);
            if self.is_once_a_day && self.is_after_a_gap_with_a_match(start)? {
                return since_1970(start);
            }
            let offset = self.offset(start)?;
            let change = self.next_change(start);
            let end = change.map_or(i64::MAX, |change| change + offset);
            let mut from = start + offset;
            while let Some(wall) = self.first_match(from, end) {
                let found = wall - offset;
                if !self.is_once_a_day || self.is_first(wall, found) {
                    return since_1970(found);
                }
                from = wall + 1;
            }
            start = change?;
        }
    }

    /// By how much the clock may be set back so that no time is repeated.
    ///
    /// Vixie's rule. If the hour or the minute has a `*`, the expression follows the clock. If not,
    /// it asks for fixed times, which are not to be run twice; but a clock that was wrong by more
    /// than three hours is followed.
    pub(crate) fn ignored_step(&self) -> Duration {
        let has_star = [
            &self.pattern.seconds,
            &self.pattern.minutes,
            &self.pattern.hours,
        ]
        .map(|field| field.from_wildcard);
        Duration::from_secs(match has_star {
            [true, ..] => 1,
            [_, false, false] => 3 * 3600,
            _ => 60,
        })
    }

    /// Whether the wall clock leapt over a match when it came to this instant.
    fn is_after_a_gap_with_a_match(&self, instant: i64) -> Option<bool> {
        let (before, after) = (self.offset(instant - 1)?, self.offset(instant)?);
        let gap = self.first_match(instant + before, instant + after);
        Some(gap.is_some())
    }

    /// Whether the wall clock shows `wall` at this instant for the first time.
    fn is_first(&self, wall: i64, instant: i64) -> bool {
        let shown = date_time(wall).and_then(|wall| {
            let instants = self.zone.to_ambiguous_timestamp(wall);
            instants.earlier().ok()
        });
        shown.is_none_or(|first| first.as_second() == instant)
    }

    fn offset(&self, instant: i64) -> Option<i64> {
        let instant = Timestamp::from_second(instant).ok()?;
        Some(self.zone.to_offset(instant).seconds().into())
    }

    /// The next change of the zone's rules.
    fn next_change(&self, instant: i64) -> Option<i64> {
        let instant = Timestamp::from_second(instant).ok()?;
        let change = self.zone.following(instant).next()?;
        Some(change.timestamp().as_second())
    }

    /// The first time of the wall clock that matches, from `from` on and before `end`.
    fn first_match(&self, from: i64, end: i64) -> Option<i64> {
        let mut midnight = from - from.rem_euclid(DAY);
        let mut time = from - midnight;
        while midnight < end {
            let date = date_time(midnight)?.date();
            if i32::from(date.year()) > croner::YEAR_UPPER_LIMIT {
                return None;
            }
            let days = self.days_to_skip(date);
            if days == 0 {
                if let Some(found) = self.first_time(time) {
                    return Some(midnight + found).filter(|found| *found < end);
                }
            }
            midnight += DAY * days.max(1);
            time = 0;
        }
        None
    }

    /// 0 if the date matches. Otherwise that many days do not, from this on.
    fn days_to_skip(&self, date: Date) -> i64 {
        let (year, month, day) = (date.year().into(), date.month(), date.day());
        let weekday = date.weekday().to_sunday_zero_offset();
        let weekday = Weekday::from_days_from_sunday(weekday.unsigned_abs().into());
        let [month, day] = [month, day].map(|part| u32::from(part.unsigned_abs()));
        // None of these fails for a date that exists.
        let matches = |result: Result<bool, _>| result.unwrap_or(false);
        if !matches(self.pattern.year_match(year)) {
            i64::from(date.days_in_year()) - i64::from(date.day_of_year()) + 1
        } else if !matches(self.pattern.month_match(month)) {
            i64::from(date.days_in_month()) - i64::from(date.day()) + 1
        } else {
            (!matches(self.pattern.day_match(year, month, day, weekday))).into()
        }
    }

    /// The first time of day that matches, from `from` on, in seconds.
    fn first_time(&self, from: i64) -> Option<i64> {
        let [hour, minute, second] = [from / 3600, from / 60 % 60, from % 60];
        let (first_minute, first_second) = (first(self.minutes, 0)?, first(self.seconds, 0)?);
        let at = |hour, minute, second| Some((hour * 60 + minute) * 60 + second);
        if first(self.hours, hour)? == hour {
            if first(self.minutes, minute) == Some(minute) {
                if let Some(second) = first(self.seconds, second) {
                    return at(hour, minute, second);
                }
            }
            if let Some(minute) = first(self.minutes, minute + 1) {
                return at(hour, minute, first_second);
            }
        }
        at(first(self.hours, hour + 1)?, first_minute, first_second)
    }
}

/// The first value of a bit set, from `value` on.
fn first(set: u64, value: i64) -> Option<i64> {
    let left = set >> value;
    (left != 0).then(|| value + i64::from(left.trailing_zeros()))
}

fn date_time(wall: i64) -> Option<DateTime> {
    Some(Offset::UTC.to_datetime(Timestamp::from_second(wall).ok()?))
}

fn since_1970(instant: i64) -> Option<Duration> {
    Some(Duration::from_secs(instant.try_into().ok()?))
}
