//! The exchange: ends of jobs in, claimed jobs out.
//!
//! Layer: jobs.

use crate::jobs::error::{JobsError, JobsErrorKind};
use crate::jobs::id::SessionId;
use crate::jobs::look::JobState;
use crate::jobs::record::{Claimed, Ended, Exchanged, Want};
use crate::jobs::sqlite::end::{self, End, Stored};
use crate::jobs::sqlite::lanes;
use crate::jobs::sqlite::limits::QueueRow;
use crate::jobs::sqlite::sessions;
use crate::jobs::sqlite::statements as sql;
use crate::jobs::sqlite::work::{self, Outcome, Work};
use crate::jobs::storage::MOST_DUE;
use crate::jobs::time::StoredTime;
use rusqlite::{Row, params};
use std::cmp::Reverse;

/// So many sessions are swept in an exchange.
const MOST_SWEPT: usize = 10;

/// Every so many claims from a queue, the oldest job of its lowest priority goes first.
const FAIR: u64 = 32;

/// An exchange, owned by the writer.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) session: SessionId,
    pub(super) number: u64,
    pub(super) ended: Vec<Ended>,
    pub(super) wanted: Vec<Want>,
}

/// `last` is the number of the session's last exchange in this process. That of an exchange which
/// changes nothing is stored only when the storage is closed, so that an idle consumer writes
/// nothing.
pub(super) fn exchange(work: &mut Work<'_>, asked: &Asked, last: &mut u64) -> Outcome<Exchanged> {
    let session = work::from_count(asked.session.0);
    if let Some(stored) = stored_number(work, session)? {
        let last_number = stored.max(*last);
        if asked.number <= last_number {
            let number = asked.number;
            return Err(JobsError::new(
                JobsErrorKind::Stale,
                format!("the exchange {number} came after the exchange {last_number}"),
            )
            .into());
        }
        *last = asked.number;
    }
    let mut judged = Vec::with_capacity(asked.ended.len());
    for ended in &asked.ended {
        judged.push(end::judge(work, ended)?);
    }
    let swept = sessions::sweep_sessions(work, MOST_SWEPT)?;
    lanes::move_due(work, MOST_DUE)?;
    let mut claimed = Vec::new();
    let mut more = swept.more;
    let alive = stored_number(work, session)?.is_some();
    if alive {
        for want in &asked.wanted {
            more |= claim(work, asked, want, &mut claimed)?;
        }
        if !(claimed.is_empty() && judged.is_empty()) {
            let number = work::from_count(asked.number);
            work.run(sql::STORE_EXCHANGE, [session, number])?;
        }
    }
    let next_due = work.next_due()?;
    Ok(Exchanged {
        alive,
        now: work.now,
        next_due,
        judged,
        claimed,
        more: more || next_due.is_some_and(|next| next <= work.now),
    })
}

/// The stored number of the session's last exchange, if it lives.
fn stored_number(work: &Work<'_>, session: i64) -> Outcome<Option<u64>> {
    work.one(sql::SESSION, [session], |row| {
        row.get(0).map(work::to_count)
    })
}

/// Claims from one queue. Returns whether another claim would find more.
fn claim(
    work: &mut Work<'_>,
    asked: &Asked,
    want: &Want,
    claimed: &mut Vec<Claimed>,
) -> Outcome<bool> {
    if want.most == 0 {
        return Ok(false);
    }
    let mut queue = QueueRow::find(work, &want.queue)?;
    // With one more than are wanted, to see whether there is one.
    let room = queue.room(work, &want.queue, want.most.saturating_add(1))?;
    if room == 0 {
        return Ok(false);
    }
    let mut kinds: Vec<&str> = want.kinds.iter().map(String::as_str).collect();
    kinds.sort_unstable();
    kinds.dedup();

    let (first, mut more) = first_of(work, &want.queue, &kinds, room)?;
    let mut first = first.into_iter();
    let mut taken = Vec::new();
    while taken.len() < room.min(want.most) {
        let is_fair_turn = (queue.claims + 1) % FAIR == 0;
        let next = match is_fair_turn {
            true => lowest(work, &want.queue, &kinds)?,
            false => first.find(|id| !taken.contains(id)),
        };
        let Some(id) = next else { break };
        claimed.extend(take(work, asked, id)?);
        taken.push(id);
        queue.claims += 1;
    }
    queue.store(work, &want.queue, taken.len())?;
    more |= taken.len() < room && first.any(|id| !taken.contains(&id));
    Ok(more)
}

/// At most so many ready jobs, in their order. Those among them that have expired end, and then it
/// looks again: their lanes may have other jobs ready. Returns also whether too many have expired
/// for one operation.
fn first_of(
    work: &mut Work<'_>,
    queue: &str,
    kinds: &[&str],
    most: usize,
) -> Outcome<(Vec<i64>, bool)> {
    loop {
        let (mut first, mut expired) = (Vec::new(), Vec::new());
        for kind in kinds {
            let key = params![queue, kind, work.now.0, work::from_size(most)];
            for (job, is_expired) in work.all(sql::READY, key, ready)? {
                match is_expired {
                    true => expired.push(job),
                    false => first.push(job),
                }
            }
        }
        let order = |(id, priority): &(i64, i64)| (Reverse(*priority), *id);
        expired.sort_unstable_by_key(order);
        let mut left = None;
        for job in &expired {
            if left.is_none() && !expire(work, job.0)? {
                left = Some(order(job));
            }
        }
        if expired.is_empty() || left.is_some() {
            // What comes behind one that is left waits until that has ended.
            first.retain(|job| left.is_none_or(|left| order(job) < left));
            first.sort_unstable_by_key(order);
            return Ok((
                first.into_iter().map(|(id, _)| id).collect(),
                left.is_some(),
            ));
        }
    }
}

/// Ends a job that has expired. Returns false if too many have.
fn expire(work: &mut Work<'_>, id: i64) -> Outcome<bool> {
    if !work.may_end_late() {
        return Ok(false);
    }
    let job = Stored::find(work, id)?;
    if let Some(job) = job.filter(|job| job.is_expired(work.now)) {
        end::finish(work, &job, End::new(JobState::Expired))?;
    }
    Ok(true)
}

fn ready(row: &Row<'_>) -> rusqlite::Result<((i64, i64), bool)> {
    Ok((place(row)?, row.get(2)?))
}

fn place(row: &Row<'_>) -> rusqlite::Result<(i64, i64)> {
    Ok((row.get(0)?, row.get(1)?))
}

/// The oldest job of the lowest priority.
fn lowest(work: &Work<'_>, queue: &str, kinds: &[&str]) -> Outcome<Option<i64>> {
    let mut lowest = None;
    for kind in kinds {
        let found = work.one(sql::LOWEST, params![queue, kind, work.now.0], place)?;
        let found = found.map(|(id, priority)| (priority, id));
        lowest = lowest.into_iter().chain(found).min();
    }
    Ok(lowest.map(|(_, id)| id))
}

/// Claims a job. One that cannot be read is dead, so that it stops no other one.
fn take(work: &mut Work<'_>, asked: &Asked, id: i64) -> Outcome<Option<Claimed>> {
    let session = work::from_count(asked.session.0);
    let number = work::from_count(asked.number);
    let found = work.one(sql::TO_CLAIM, [id, work.now.0], |row| {
        let claimed = Claimed {
            id: work::to_id(id),
            claim: row.get(0).map(work::to_count)?,
            kind: row.get(1)?,
            queue: row.get(2)?,
            priority: row.get(3).map(work::to_i32)?,
            at_most_once: row.get::<_, i64>(4)? & work::AT_MOST_ONCE != 0,
            failures: row.get(5).map(work::to_u32)?,
            crashes: row.get(6).map(work::to_u32)?,
            enqueued_at: row.get(7).map(StoredTime)?,
            began_at: row.get(8).map(StoredTime)?,
            error: row.get(9)?,
            meta: Default::default(),
            payload: row.get(11)?,
        };
        let meta: Option<String> = row.get(10)?;
        let key: Option<String> = row.get(12)?;
        let scope: Option<i64> = row.get(13)?;
        Ok((
            claimed,
            meta,
            key.filter(|_| scope == Some(work::UNTIL_STARTED)),
        ))
    })?;
    let Some((mut claimed, meta, key)) = found else {
        return Err(rusqlite::Error::QueryReturnedNoRows.into());
    };
    work.run(sql::CLAIM, params![id, session, number, work.now.0])?;
    if let Some(key) = key {
        work.run(sql::FREE_KEY, params![claimed.kind, key, id])?;
    }
    match work::to_meta(meta) {
        Ok(meta) => claimed.meta = meta,
        Err(error) => {
            end::die(work, id, &error)?;
            return Ok(None);
        }
    }
    Ok(Some(claimed))
}
