//! Sessions and their leases, and what time asks for.
//!
//! Layer: jobs.

use crate::jobs::id::{JobId, SessionId};
use crate::jobs::look::JobState;
use crate::jobs::session::{Pulse, Session, SessionInfo, Swept};
use crate::jobs::sqlite::end::{self, End, Stored};
use crate::jobs::sqlite::enqueue::BATCHES_KEPT;
use crate::jobs::sqlite::statements as sql;
use crate::jobs::sqlite::work::{self, Outcome, Work};
use crate::jobs::time::{StoredTime, millis};
use rusqlite::{Connection, params};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// At most so many dead jobs are kept.
const MOST_DEAD: i64 = 100_000;

pub(super) fn open(work: &Work<'_>, info: &SessionInfo, lease: Duration) -> Outcome<SessionId> {
    let text = json!({
        "host": info.host,
        "pid": info.pid,
        "version": info.version,
        "began_at": info.began_at.0,
        "queues": info.queues,
        "kinds": info.kinds,
    });
    let until = work.now + lease;
    work.run(sql::OPEN_SESSION, params![until.0, text.to_string()])?;
    Ok(SessionId(work::to_count(work.last_id())))
}

/// A sign of life, owned by the writer.
#[derive(Debug)]
pub(super) struct Sign {
    pub(super) session: SessionId,
    pub(super) lease: Duration,
    pub(super) settled: u64,
    pub(super) held: Vec<JobId>,
}

pub(super) fn extend(work: &mut Work<'_>, sign: &Sign) -> Outcome<Pulse> {
    let session = work::from_count(sign.session.0);
    let until = work.now + sign.lease;
    if work.run(sql::EXTEND_LEASE, [session, until.0])? == 0 {
        return Ok(Pulse {
            lost: sign.held.clone(),
            ..Pulse::default()
        });
    }
    let mut pulse = Pulse {
        alive: true,
        ..Pulse::default()
    };
    let held: HashSet<JobId> = sign.held.iter().copied().collect();
    let mut flags = HashMap::new();
    for (id, exchange, flag) in held_by(work, session)? {
        let is_settled = exchange <= work::from_count(sign.settled);
        if !held.contains(&work::to_id(id)) && is_settled {
            if let Some(job) = Stored::find(work, id)? {
                end::give_back(work, &job)?;
                pulse.given_back += 1;
            }
        } else {
            flags.insert(work::to_id(id), flag);
        }
    }
    for id in &sign.held {
        match flags.get(id) {
            None => pulse.lost.push(*id),
            Some(flag) if flag & work::CANCEL_ASKED != 0 => pulse.cancel.push(*id),
            Some(_) => {}
        }
    }
    Ok(pulse)
}

/// What a session runs, by their ids: the job, the exchange that claimed it, its flags.
fn held_by(work: &Work<'_>, session: i64) -> Outcome<Vec<(i64, i64, i64)>> {
    let mut held = work.all(sql::HELD, [session], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    })?;
    held.sort_unstable();
    Ok(held)
}

pub(super) fn close(work: &mut Work<'_>, session: SessionId) -> Outcome<u64> {
    let session = work::from_count(session.0);
    let mut ready = 0;
    for (id, ..) in held_by(work, session)? {
        if let Some(job) = Stored::find(work, id)? {
            ready += u64::from(end::leave_session(work, &job)?);
        }
    }
    work.run(sql::REMOVE_SESSION, [session])?;
    Ok(ready)
}

/// Ends at most so many leases that are over. Of `Swept` only what concerns sessions is set.
pub(super) fn sweep_sessions(work: &mut Work<'_>, most: usize) -> Outcome<Swept> {
    let mut swept = Swept::default();
    let by = work.leases_over_by;
    let over = first(work, sql::LEASES_OVER, by, most, &mut swept.more)?;
    for session in over {
        for (id, ..) in held_by(work, session)? {
            let Some(job) = Stored::find(work, id)? else {
                continue;
            };
            match end::crash(work, &job)? {
                JobState::Dead => swept.died += 1,
                JobState::Ready => swept.returned += 1,
                _ => {}
            }
        }
        work.run(sql::REMOVE_SESSION, [session])?;
        swept.sessions += 1;
    }
    Ok(swept)
}

/// At most `most` ids that a query finds whose time is over by then. Sets `more` if there are
/// others.
fn first(
    work: &Work<'_>,
    text: &str,
    by: StoredTime,
    most: usize,
    more: &mut bool,
) -> Outcome<Vec<i64>> {
    let limit = work::from_size(most).saturating_add(1);
    let mut found = work.all(text, [by.0, limit], |row| row.get(0))?;
    *more |= found.len() > most;
    found.truncate(most);
    Ok(found)
}

pub(super) fn sweep(work: &mut Work<'_>, most: usize) -> Outcome<Swept> {
    let mut swept = sweep_sessions(work, most)?;
    for id in first(work, sql::EXPIRED, work.now, most, &mut swept.more)? {
        // The end of another one may have ended it.
        let job = Stored::find(work, id)?;
        if let Some(job) = job.filter(|job| job.is_expired(work.now)) {
            end::finish(work, &job, End::new(JobState::Expired))?;
        }
    }
    swept.expired = work::to_count(work.counted(JobState::Expired.name()));
    let over = kept_too_long(work, most, &mut swept.more)?;
    forget(work, &over, &mut swept)?;
    let dead = work.one(sql::COUNT_DEAD, [work.now.0], |row| row.get::<_, i64>(0))?;
    let too_many = dead.unwrap_or(0) - MOST_DEAD;
    if too_many > 0 {
        swept.more |= too_many > work::from_size(most);
        let limit = too_many.min(work::from_size(most));
        let oldest = work.all(sql::OLDEST_DEAD, [limit], |row| row.get(0))?;
        forget(work, &oldest, &mut swept)?;
    }
    swept.forgotten += forget_keys(work, most, &mut swept.more)?;
    let before = work.now.0.saturating_sub(millis(BATCHES_KEPT));
    work.run(sql::FORGET_BATCHES, [before, work::from_size(most)])?;
    // Those of processes that were killed. No port is 0.
    work.run(sql::FORGET_PORTS, [0, work.now.0])?;
    Ok(swept)
}

/// At most so many jobs whose outcome is kept no longer, the first ones first.
fn kept_too_long(work: &Work<'_>, most: usize, more: &mut bool) -> Outcome<Vec<i64>> {
    let limit = work::from_size(most).saturating_add(1);
    let mut over = Vec::new();
    for text in [sql::KEPT_TOO_LONG, sql::KEPT_FOR_CHILDREN_ALONE] {
        over.extend(work.all(text, [work.now.0, limit], |row| {
            Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(0)?))
        })?);
    }
    over.sort_unstable();
    *more |= over.len() > most;
    over.truncate(most);
    Ok(over.into_iter().map(|(_, id)| id).collect())
}

/// Removes jobs that have ended, or leaves them to those that follow them.
fn forget(work: &Work<'_>, jobs: &[i64], swept: &mut Swept) -> Outcome<()> {
    for id in jobs {
        if work.run(sql::FORGET_HELD, [id])? == 0 {
            work.run(sql::REMOVE, [id])?;
        }
        swept.forgotten += 1;
    }
    Ok(())
}

fn forget_keys(work: &Work<'_>, most: usize, more: &mut bool) -> Outcome<u64> {
    let limit = work::from_size(most).saturating_add(1);
    let mut keys = work.all(sql::KEYS_OVER, [work.now.0, limit], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
    })?;
    *more |= keys.len() > most;
    keys.truncate(most);
    for (kind, key) in &keys {
        work.run(sql::FORGET_KEY, [kind, key])?;
    }
    Ok(work::to_count(work::from_size(keys.len())))
}

pub(super) fn list(conn: &Connection) -> Outcome<Vec<Session>> {
    work::all(conn, sql::SESSIONS, [], |row| {
        let info: String = row.get(2)?;
        Ok(Session {
            id: SessionId(row.get(0).map(work::to_count)?),
            lease_until: row.get(1).map(StoredTime)?,
            running: row.get(3).map(work::to_count)?,
            info: read_info(&info),
        })
    })
}

/// Nothing depends on it, so what cannot be read is empty.
fn read_info(text: &str) -> SessionInfo {
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    let strings = |name: &str| {
        let all = value[name].as_array().into_iter().flatten();
        all.filter_map(|one| one.as_str().map(String::from))
            .collect()
    };
    let string = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    SessionInfo {
        host: string("host"),
        pid: value["pid"].as_i64().map(work::to_u32).unwrap_or_default(),
        version: string("version"),
        began_at: StoredTime(value["began_at"].as_i64().unwrap_or_default()),
        queues: strings("queues"),
        kinds: strings("kinds"),
    }
}
