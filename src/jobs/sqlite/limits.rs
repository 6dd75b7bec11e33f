//! What holds for a queue in all processes: pauses, limits and rates.
//!
//! Layer: jobs.
//
// A rate is a token bucket. It counts in units, so that no time is lost to rounding: a token is as
// many units as the period has milliseconds, and every millisecond adds as many units as there are
// tokens in a period. A clock that was set back adds nothing, and the bucket goes on from there.

use crate::jobs::error::{JobsError, JobsErrorKind};
use crate::jobs::look::{QueueChange, QueueSettings};
use crate::jobs::sqlite::statements as sql;
use crate::jobs::sqlite::work::{self, Outcome, Work};
use crate::jobs::time::millis;
use rusqlite::{Connection, params};
use std::time::Duration;

/// A row of `mh_queue`, or what holds without one.
#[derive(Debug, Default)]
pub(super) struct QueueRow {
    is_paused: bool,
    max_running: Option<i64>,
    /// Tokens in a period, and its milliseconds.
    rate: Option<(i64, i64)>,
    units: Option<i64>,
    refilled_at: Option<i64>,
    /// How often a job was claimed from the queue.
    pub(super) claims: u64,
}

impl QueueRow {
    pub(super) fn find(work: &Work<'_>, name: &str) -> Outcome<Self> {
        Self::read(work.conn(), name)
    }

    fn read(conn: &Connection, name: &str) -> Outcome<Self> {
        let found = work::one(conn, sql::QUEUE, [name], |row| {
            let rate: Option<i64> = row.get(2)?;
            let period: Option<i64> = row.get(3)?;
            Ok(Self {
                is_paused: row.get(0)?,
                max_running: row.get(1)?,
                rate: rate.zip(period),
                units: row.get(4)?,
                refilled_at: row.get(5)?,
                claims: row.get(6).map(work::to_count)?,
            })
        })?;
        Ok(found.unwrap_or_default())
    }

    /// How many of `most` may be claimed now. Fills the bucket up to now.
    pub(super) fn room(&mut self, work: &Work<'_>, name: &str, most: usize) -> Outcome<usize> {
        if self.is_paused {
            return Ok(0);
        }
        let mut room = work::from_size(most);
        if let Some(max) = self.max_running {
            let running = work.one(sql::RUNNING_IN_QUEUE, [name], |row| row.get::<_, i64>(0))?;
            room = room.min(max - running.unwrap_or(0));
        }
        if let Some((rate, period)) = self.rate {
            let now = work.now.0;
            let units = filled(self.units, self.refilled_at, now, rate, period);
            (self.units, self.refilled_at) = (Some(units), Some(now));
            room = room.min(units / period);
        }
        Ok(usize::try_from(room).unwrap_or(0))
    }

    /// Stores that so many were claimed.
    pub(super) fn store(&self, work: &Work<'_>, name: &str, claimed: usize) -> Outcome<()> {
        if claimed == 0 {
            return Ok(());
        }
        let claimed = work::from_size(claimed);
        let units = match (self.units, self.rate) {
            (Some(units), Some((_, period))) => Some(units - claimed * period),
            _ => None,
        };
        work.run(
            sql::QUEUE_CLAIMED,
            params![name, claimed, units, self.refilled_at],
        )?;
        Ok(())
    }
}

/// The units in the bucket at `now`.
fn filled(units: Option<i64>, at: Option<i64>, now: i64, rate: i64, period: i64) -> i64 {
    let full = rate.saturating_mul(period);
    let (Some(units), Some(at)) = (units, at) else {
        return full;
    };
    let passed = now.saturating_sub(at).max(0);
    units.saturating_add(passed.saturating_mul(rate)).min(full)
}

pub(super) fn settings(conn: &Connection, name: &str) -> Outcome<QueueSettings> {
    let row = QueueRow::read(conn, name)?;
    let rate = |(rate, period)| {
        let period = Duration::from_millis(work::to_count(period));
        (work::to_u32(rate), period)
    };
    Ok(QueueSettings {
        paused: row.is_paused,
        max_running: row.max_running.map(work::to_u32),
        rate: row.rate.map(rate),
    })
}

pub(super) fn change(work: &mut Work<'_>, name: &str, change: QueueChange) -> Outcome<()> {
    match change {
        QueueChange::Pause => work.run(sql::PAUSE_QUEUE, params![name, true])?,
        QueueChange::Resume => work.run(sql::PAUSE_QUEUE, params![name, false])?,
        QueueChange::MaxRunning(max) => work.run(sql::LIMIT_QUEUE, params![name, max])?,
        QueueChange::Rate(Some((rate, period))) if rate == 0 || period.is_zero() => {
            return Err(JobsError::new(
                JobsErrorKind::Invalid,
                format!(
                    "the rate of {rate} in {period:?} for the queue `{name}`: 1 or more in a \
                     millisecond or more is allowed"
                ),
            )
            .into());
        }
        QueueChange::Rate(rate) => {
            // Where it is the rate of before, the bucket stays as it is: every consumer may set it.
            let period = rate.map(|(_, period)| millis(period));
            let rate = rate.map(|(rate, _)| rate);
            work.run(sql::RATE_QUEUE, params![name, rate, period])?
        }
    };
    // What waits there may have become free to begin.
    work.is_ready(name);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::filled;

    #[test]
    fn a_bucket_fills_exactly_and_never_flows_over() {
        // Three in a second: a token is 1000 units, and a millisecond adds three.
        assert_eq!(filled(None, None, 5, 3, 1000), 3000);
        assert_eq!(filled(Some(0), Some(0), 333, 3, 1000), 999);
        assert_eq!(filled(Some(999), Some(333), 334, 3, 1000), 1002);
        assert_eq!(filled(Some(0), Some(0), 1_000_000, 3, 1000), 3000);
        assert_eq!(filled(Some(7), Some(500), 100, 3, 1000), 7);
        assert_eq!(filled(Some(0), Some(0), i64::MAX, 3, i64::MAX), i64::MAX);
    }
}
