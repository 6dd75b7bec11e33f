//! Looks for what no transaction leaves behind.
//!
//! Layer: jobs.

use crate::jobs::look::{Fault, JobState};
use crate::jobs::sqlite::end::{self, Stored};
use crate::jobs::sqlite::statements as sql;
use crate::jobs::sqlite::work::{self, Outcome, Work};
use crate::jobs::sqlite::{follow, lanes};
use rusqlite::{Connection, Row, params};
use std::cmp::Reverse;

/// What SQLite itself finds wrong with the file. Nothing of that is mended.
pub(super) fn file(conn: &Connection) -> Outcome<Vec<Fault>> {
    let lines = work::all(conn, "PRAGMA quick_check(100)", [], |row| {
        row.get::<_, String>(0)
    })?;
    let wrong = lines.into_iter().filter(|line| line != "ok");
    Ok(wrong
        .map(|line| Fault {
            job: None,
            text: format!("SQLite finds the file damaged: {line}"),
            is_mended: false,
        })
        .collect())
}

/// What is wrong with the tables.
pub(super) fn tables(work: &mut Work<'_>, mends: bool) -> Outcome<Vec<Fault>> {
    let mut faults = jobs(work, mends)?;
    faults.extend(edges(work, mends)?);
    faults.extend(blocked(work, mends)?);
    faults.extend(in_lanes(work, mends)?);
    // Of those that got their lanes by a mend.
    follow::end_late(work)?;
    Ok(faults)
}

fn fault(id: i64, text: impl Into<String>, is_mended: bool) -> Fault {
    Fault {
        job: Some(work::to_id(id)),
        text: text.into(),
        is_mended,
    }
}

/// What is wrong with jobs and their keys, each for itself.
fn jobs(work: &mut Work<'_>, mends: bool) -> Outcome<Vec<Fault>> {
    let mut faults = Vec::new();
    let mut add = |id: i64, text: String, is_mended: bool| {
        faults.push(fault(id, text, is_mended));
    };
    let id = |row: &Row<'_>| row.get::<_, i64>(0);
    for job in work.all(sql::RUNS_WITHOUT_SESSION, [], id)? {
        if mends {
            if let Some(stored) = Stored::find(work, job)? {
                end::leave_session(work, &stored)?;
            }
        }
        add(job, "it runs, and its session is gone".into(), mends);
    }
    for job in work.all(sql::ENDED_WRONGLY, [], id)? {
        if mends {
            let until = work.now + end::DEAD_FOR;
            work.run(sql::MEND_END, params![job, work.now.0, until.0])?;
        }
        let text = "the time at which it ended does not match its state";
        add(job, text.into(), mends);
    }
    for (kind, key, job) in work.all(sql::KEY_WITHOUT_JOB, [], three)? {
        if mends {
            work.run(sql::FORGET_KEY, [&kind, &key])?;
        }
        let text = format!("it has ended, and holds the unique key {key:?} of the kind `{kind}`");
        add(job, text, mends);
    }
    let jobs = work.all(sql::JOB_WITHOUT_KEY, [], |row| {
        Ok((row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?))
    })?;
    for (job, kind, key) in jobs {
        let (kind, key): (String, String) = (kind, key);
        let holder = params![kind, key, work.now.0];
        let is_free = work
            .one(sql::KEY_HOLDER, holder, |row| row.get::<_, i64>(0))?
            .is_none();
        if mends && is_free {
            let until: Option<i64> = None;
            work.run(sql::TAKE_KEY, params![kind, key, job, until])?;
        }
        let text = format!("it does not hold its unique key {key:?} of the kind `{kind}`");
        add(job, text, mends && is_free);
    }
    Ok(faults)
}

/// What is wrong with which job follows which.
fn edges(work: &mut Work<'_>, mends: bool) -> Outcome<Vec<Fault>> {
    let mut faults = Vec::new();
    let two = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
    for (parent, child) in work.all(sql::EDGE_OF_NO_CHILD, [], two)? {
        if mends {
            work.run(sql::REMOVE_EDGE, [parent, child])?;
            follow::release(work, parent)?;
        }
        let text = format!("it has ended, and follows the job {parent}");
        faults.push(fault(child, text, mends));
    }
    for id in work.all(sql::HELD_FOR_NO_CHILD, [], |row| row.get(0))? {
        if mends {
            follow::release(work, id)?;
        }
        let text = "its outcome is kept for jobs that follow it, and none does";
        faults.push(fault(id, text, mends));
    }
    for parent in work.all(sql::EDGE_TO_NO_PARENT, [], |row| row.get::<_, i64>(0))? {
        if mends {
            let found = Stored::find(work, parent)?;
            let is_done = found.is_some_and(|job| end::state(job.state) == JobState::Done);
            follow::settle(work, parent, is_done, None)?;
        }
        let text = "it has ended, and others wait for that";
        faults.push(fault(parent, text, mends));
    }
    Ok(faults)
}

/// What is wrong with jobs that wait for others.
fn blocked(work: &mut Work<'_>, mends: bool) -> Outcome<Vec<Fault>> {
    let mut faults = Vec::new();
    let two = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
    let mut free = work.all(sql::BLOCKED_BY_NONE, [], |row| row.get::<_, i64>(0))?;
    for (id, parents) in work.all(sql::WRONG_PARENTS, [], two)? {
        if parents == 0 {
            free.push(id);
            continue;
        }
        if mends {
            work.run(sql::PARENTS_LEFT, [id, parents])?;
        }
        let text = format!("it waits for {parents} jobs, and counts another number of them");
        faults.push(fault(id, text, mends));
    }
    for id in free {
        if mends {
            if let Some(job) = Stored::find(work, id)? {
                lanes::unblock(work, &job, None)?;
            }
        }
        faults.push(fault(
            id,
            "it is blocked, and waits for no other job",
            mends,
        ));
    }
    Ok(faults)
}

/// What is wrong with lanes: an older program that has the file open knows nothing of them.
fn in_lanes(work: &mut Work<'_>, mends: bool) -> Outcome<Vec<Fault>> {
    let mut faults = Vec::new();
    for id in work.all(sql::ENDED_HAS_LANE, [], |row| row.get::<_, i64>(0))? {
        if mends {
            work.run(sql::LEAVE_LANE, [id])?;
        }
        faults.push(fault(id, "it has ended, and has its lane", mends));
    }
    let mut without = work.all(sql::GOES_ON_WITHOUT_LANE, [], |row| {
        Ok((row.get(1)?, row.get(0)?, row.get::<_, String>(2)?))
    })?;
    // What runs takes a free lane first. Where it is not free, nothing is mended before its end.
    without.sort_unstable_by_key(|(state, id, _): &(i64, i64, _)| (Reverse(*state), *id));
    for (state, id, lane) in without {
        let wait = match lanes::is_free(work, &lane)? {
            true => Some([id, state, work::HAS_LANE]),
            false if state == work::READY => Some([id, work::BLOCKED, 0]),
            false => None,
        };
        if let (true, Some(wait)) = (mends, wait) {
            work.run(sql::MOVE, wait)?;
        }
        let text = format!("it does not have its lane {lane:?}, and does not wait for it");
        faults.push(fault(id, text, mends && wait.is_some()));
    }
    let lanes = work.all(sql::LANE_WITHOUT_HOLDER, [], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
    })?;
    for (id, lane) in lanes {
        if mends {
            lanes::pass_on(work, &lane)?;
        }
        let text = format!("it is blocked in the lane {lane:?}, and no job has that");
        faults.push(fault(id, text, mends));
    }
    Ok(faults)
}

fn three(row: &Row<'_>) -> rusqlite::Result<(String, String, i64)> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}
