//! Stores jobs.
//!
//! Layer: jobs.

use crate::jobs::error::{JobsError, JobsErrorKind};
use crate::jobs::look::JobState;
use crate::jobs::record::{BatchNumber, Due, NewJob, Placed, Unique, UniqueUntil};
use crate::jobs::sqlite::end::{self, End, Stored};
use crate::jobs::sqlite::follow::{self, Parents};
use crate::jobs::sqlite::lanes::{self, Wait};
use crate::jobs::sqlite::statements as sql;
use crate::jobs::sqlite::work::{self, Outcome, Work};
use crate::jobs::time::{StoredTime, millis};
use rusqlite::params;
use std::mem;
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
    follow::check(work, jobs)?;
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
    let due = match job.due {
        Due::Now => now,
        Due::After(delay) => now + delay,
        Due::At(at) => at.max(now),
    };
    if let Some(unique) = &job.unique {
        if let Some(placed) = meet_holder(work, job, &unique.key, due)? {
            return Ok(placed);
        }
    }
    let lane = job.lane.as_deref();
    let parents = Parents::find(work, &job.after)?;
    let is_cancelled = parents.has_failure && !job.even_if_failed;
    let follows = !(parents.is_empty() || is_cancelled);
    let wait = match is_cancelled || parents.live > 0 {
        true => Wait::JOINED,
        false => Wait::new(work, &job.queue, due, lane)?,
    };
    let flag = |is_set: bool, flag: i64| i64::from(is_set) * flag;
    work.run(
        sql::INSERT_JOB,
        params![
            job.queue,
            job.kind,
            job.priority,
            wait.state,
            due.0,
            job.expires.map(|expires| (due + expires).0),
            job.max_crashes,
            flag(job.at_most_once, work::AT_MOST_ONCE)
                | flag(lane.is_some(), work::IN_LANE)
                | flag(job.even_if_failed, work::EVEN_IF_FAILED)
                | flag(follows, work::FOLLOWS)
                | wait.flag,
            job.keep.map(millis),
            job.unique.as_ref().map(|unique| &unique.key),
            job.unique.as_ref().map(scope),
            now.0,
            work::from_meta(&job.meta)?,
            job.payload,
            lane,
            flag(follows, parents.live),
        ],
    )?;
    let id = work.last_id();
    if is_cancelled {
        // It has ended before it could have its key.
        let stored = Stored::find(work, id)?;
        let stored = stored.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
        end::finish(work, &stored, End::new(JobState::Cancelled))?;
        return Ok(Placed::New(work::to_id(id)));
    }
    if follows {
        parents.store(work, id)?;
    }
    if let Some(unique) = &job.unique {
        let until = until(unique, now);
        work.run(sql::TAKE_KEY, params![job.kind, unique.key, id, until])?;
    }
    Ok(Placed::New(work::to_id(id)))
}

/// Returns what becomes of a job whose key another one has. Nothing if the key is free, also if its
/// holder was not begun in time.
fn meet_holder(
    work: &mut Work<'_>,
    job: &NewJob,
    key: &str,
    due: StoredTime,
) -> Outcome<Option<Placed>> {
    let holder = |work: &Work<'_>| {
        let key = params![job.kind, key, work.now.0];
        work.one(sql::KEY_HOLDER, key, |row| row.get::<_, i64>(0))
    };
    let Some(mut id) = holder(work)? else {
        return Ok(None);
    };
    let mut stored = Stored::find(work, id)?;
    if let Some(expired) = stored.take_if(|stored| stored.is_expired(work.now)) {
        end::finish(work, &expired, End::new(JobState::Expired))?;
        match holder(work)? {
            None => return Ok(None),
            Some(other) => id = other,
        }
    }
    let placed = work::to_id(id);
    match stored {
        Some(stored) if job.replace && stored.waits() && stored.claims == 0 => {
            replace(work, &stored, job, due)?;
            Ok(Some(Placed::Replaced(placed)))
        }
        _ => Ok(Some(Placed::Existing(placed))),
    }
}

/// The job that has the key gets what the new one says. It keeps its lane, unless it is due later.
fn replace(work: &mut Work<'_>, old: &Stored, job: &NewJob, due: StoredTime) -> Outcome<()> {
    let has_lane = old.flags & work::HAS_LANE != 0;
    let wait = if old.parents > 0 {
        Wait::JOINED
    } else if has_lane && due <= work.now {
        Wait {
            state: work::READY,
            flag: work::HAS_LANE,
        }
    } else {
        Wait::new(work, &old.queue, due, old.lane.as_deref())?
    };
    work.run(
        sql::REPLACE,
        params![
            old.id,
            job.payload,
            work::from_meta(&job.meta)?,
            due.0,
            job.expires.map(|expires| (due + expires).0),
            wait.state,
            wait.flag,
        ],
    )?;
    match &old.lane {
        Some(lane) if has_lane && wait.flag == 0 => {
            lanes::pass_on(work, lane)?;
            follow::end_late(work)
        }
        _ => Ok(()),
    }
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

/// Eight bytes for each: the id, negative for one that was there before. One that was replaced has
/// eight bytes of 0 before it.
fn to_bytes(placed: &[Placed]) -> Vec<u8> {
    let numbers = placed.iter().flat_map(|placed| match placed {
        Placed::New(id) => [None, Some(work::from_id(*id))],
        Placed::Existing(id) => [None, Some(-work::from_id(*id))],
        Placed::Replaced(id) => [Some(0), Some(work::from_id(*id))],
    });
    numbers.flatten().flat_map(i64::to_le_bytes).collect()
}

fn from_bytes(bytes: &[u8]) -> Vec<Placed> {
    let mut is_replaced = false;
    let placed = |bytes: &[u8]| {
        let number = bytes.try_into().map_or(0, i64::from_le_bytes);
        let id = work::to_id(number.saturating_abs());
        match number {
            0 => {
                is_replaced = true;
                None
            }
            _ if mem::take(&mut is_replaced) => Some(Placed::Replaced(id)),
            ..0 => Some(Placed::Existing(id)),
            _ => Some(Placed::New(id)),
        }
    };
    bytes.chunks_exact(8).filter_map(placed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::id::JobId;

    #[test]
    fn what_became_of_a_batch_survives_as_bytes() {
        let placed = [
            Placed::New(JobId(1)),
            Placed::Replaced(JobId(2)),
            Placed::Existing(JobId(u64::MAX >> 1)),
        ];
        assert_eq!(from_bytes(&to_bytes(&placed)), placed);
        assert_eq!(from_bytes(&[]), []);
    }
}
