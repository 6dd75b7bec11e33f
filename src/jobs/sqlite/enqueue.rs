//! Stores jobs.
//!
//! Layer: jobs.

use crate::jobs::error::{JobsError, JobsErrorKind};
use crate::jobs::record::{BatchNumber, Due, NewJob, Placed, Unique, UniqueUntil};
use crate::jobs::sqlite::statements as sql;
use crate::jobs::sqlite::work::{self, Outcome, Work};
use crate::jobs::time::{StoredTime, millis};
use rusqlite::params;
use std::time::Duration;

/// The answer to a batch is kept for so long.
pub(super) const BATCHES_KEPT: Duration = Duration::from_secs(3600);

/// Stores jobs that were checked before.
pub(super) fn enqueue(
    work: &mut Work<'_>,
    number: Option<BatchNumber>,
    jobs: &[NewJob],
) -> Outcome<Vec<Placed>> {
    let before = number.map(|number| answered(work, number)).transpose()?;
    if let Some(placed) = before.flatten() {
        return Ok(placed);
    }
    let mut placed = Vec::with_capacity(jobs.len());
    for job in jobs {
        placed.push(place(work, job)?);
    }
    if let Some(BatchNumber { producer, number }) = number {
        // Numbers drawn by lot use all bits.
        let (producer, number) = (producer as i64, number as i64);
        let bytes = to_bytes(&placed);
        work.run(
            sql::STORE_BATCH,
            params![producer, number, work.now.0, bytes],
        )?;
    }
    Ok(placed)
}

/// The answer to this batch, if it was given before.
fn answered(work: &Work<'_>, batch: BatchNumber) -> Outcome<Option<Vec<Placed>>> {
    let producer = batch.producer as i64;
    let last = work.one(sql::LAST_BATCH, [producer], |row| {
        Ok((row.get::<_, i64>(0)? as u64, row.get(1)?))
    })?;
    let Some((last, placed)) = last else {
        return Ok(None);
    };
    if batch.number < last {
        let number = batch.number;
        return Err(JobsError::new(
            JobsErrorKind::Stale,
            format!("the batch {number} came after the batch {last} of the same producer"),
        )
        .into());
    }
    let bytes: Vec<u8> = placed;
    Ok((batch.number == last).then(|| from_bytes(&bytes)))
}

/// Stores one job, unless another one has its key.
pub(super) fn place(work: &mut Work<'_>, job: &NewJob) -> Outcome<Placed> {
    let now = work.now;
    if let Some(unique) = &job.unique {
        let key = params![job.kind, unique.key, now.0];
        if let Some(holder) = work.one(sql::KEY_HOLDER, key, |row| row.get(0))? {
            return Ok(Placed::Existing(work::to_id(holder)));
        }
    }
    let due = match job.due {
        Due::Now => now,
        Due::After(delay) => now + delay,
        Due::At(at) => at.max(now),
    };
    let waits = due > now;
    if waits {
        work.will_be_due(&job.queue, due)?;
    } else {
        work.is_ready(&job.queue);
    }
    work.run(
        sql::INSERT_JOB,
        params![
            job.queue,
            job.kind,
            job.priority,
            i64::from(!waits) * work::READY,
            due.0,
            job.expires.map(|expires| (due + expires).0),
            job.max_crashes,
            i64::from(job.at_most_once) * work::AT_MOST_ONCE,
            job.keep.map(millis),
            job.unique.as_ref().map(|unique| &unique.key),
            job.unique.as_ref().map(scope),
            now.0,
            work::from_meta(&job.meta)?,
            job.payload,
        ],
    )?;
    let id = work.last_id();
    if let Some(unique) = &job.unique {
        let until = until(unique, now);
        work.run(sql::TAKE_KEY, params![job.kind, unique.key, id, until])?;
    }
    Ok(Placed::New(work::to_id(id)))
}

fn scope(unique: &Unique) -> i64 {
    match unique.until {
        UniqueUntil::Ended => work::UNTIL_ENDED,
        UniqueUntil::Started => work::UNTIL_STARTED,
        UniqueUntil::Elapsed(_) => work::FOR_A_TIME,
    }
}

fn until(unique: &Unique, now: StoredTime) -> Option<i64> {
    match unique.until {
        UniqueUntil::Elapsed(time) => Some((now + time).0),
        UniqueUntil::Ended | UniqueUntil::Started => None,
    }
}

/// Eight bytes for each: the id, negative for one that was there before.
fn to_bytes(placed: &[Placed]) -> Vec<u8> {
    let number = |placed: &Placed| match placed {
        Placed::New(id) => work::from_id(*id),
        Placed::Existing(id) | Placed::Replaced(id) => -work::from_id(*id),
    };
    placed
        .iter()
        .flat_map(|placed| number(placed).to_le_bytes())
        .collect()
}

fn from_bytes(bytes: &[u8]) -> Vec<Placed> {
    let placed = |bytes: &[u8]| {
        let number = bytes.try_into().map_or(0, i64::from_le_bytes);
        match number < 0 {
            true => Placed::Existing(work::to_id(-number)),
            false => Placed::New(work::to_id(number)),
        }
    };
    bytes.chunks_exact(8).map(placed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::id::JobId;

    #[test]
    fn what_became_of_a_batch_survives_as_bytes() {
        let placed = [
            Placed::New(JobId(1)),
            Placed::Existing(JobId(u64::MAX >> 1)),
        ];
        assert_eq!(from_bytes(&to_bytes(&placed)), placed);
        assert_eq!(from_bytes(&[]), []);
    }
}
