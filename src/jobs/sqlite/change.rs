//! What is changed by hand, and schedules.
//!
//! Layer: jobs.

use crate::jobs::id::JobId;
use crate::jobs::look::{Filter, JobState, Page, ScheduleChange, StoredSchedule};
use crate::jobs::record::NewJob;
use crate::jobs::sqlite::end::{self, End, Stored};
use crate::jobs::sqlite::enqueue;
use crate::jobs::sqlite::read;
use crate::jobs::sqlite::statements as sql;
use crate::jobs::sqlite::work::{self, Outcome, Work};
use crate::jobs::time::StoredTime;
use crate::task::CancelOutcome;
use rusqlite::{Connection, Row, params};

pub(super) fn cancel(work: &mut Work<'_>, id: JobId) -> Outcome<CancelOutcome> {
    let Some(job) = Stored::find(work, work::from_id(id))? else {
        return Ok(CancelOutcome::AlreadyFinished);
    };
    if end::state(job.state).has_ended() {
        return Ok(CancelOutcome::AlreadyFinished);
    }
    if job.state == work::RUNNING {
        work.run(sql::ASK_TO_CANCEL, [job.id])?;
        return Ok(CancelOutcome::Requested);
    }
    end::finish(work, &job, End::new(JobState::Cancelled))?;
    Ok(CancelOutcome::Settled)
}

/// Changes at most so many jobs to which the filter applies, by a function that returns whether it
/// did. Returns how many.
fn change_each(
    work: &mut Work<'_>,
    filter: Filter,
    most: usize,
    mut change: impl FnMut(&mut Work<'_>, i64) -> Outcome<bool>,
) -> Outcome<u64> {
    let mut changed = 0;
    let mut after = JobId(0);
    loop {
        let page = Page {
            after,
            most: read::MOST_ROWS,
        };
        let found = read::list(work.conn(), &filter, page, work.now)?;
        for job in &found {
            if changed == most {
                break;
            }
            changed += usize::from(change(work, work::from_id(job.id))?);
        }
        match found.last() {
            Some(last) if changed < most => after = last.id,
            _ => return Ok(work::to_count(work::from_size(changed))),
        }
    }
}

pub(super) fn retry_dead(work: &mut Work<'_>, filter: &Filter, most: usize) -> Outcome<u64> {
    if filter.state.is_some_and(|state| state != JobState::Dead) {
        return Ok(0);
    }
    let filter = Filter {
        state: Some(JobState::Dead),
        payloads: false,
        ..filter.clone()
    };
    change_each(work, filter, most, revive)
}

/// A dead job is ready again, unless another job has its key.
fn revive(work: &mut Work<'_>, id: i64) -> Outcome<bool> {
    let Some(job) = Stored::find(work, id)? else {
        return Ok(false);
    };
    if let Some(key) = &job.unique_key {
        let holder = params![job.kind, key, work.now.0];
        let holder = work.one(sql::KEY_HOLDER, holder, |row| row.get::<_, i64>(0))?;
        if holder.is_some_and(|holder| holder != id) {
            return Ok(false);
        }
        if job.unique_scope == Some(work::UNTIL_ENDED) {
            let until: Option<i64> = None;
            work.run(sql::TAKE_KEY, params![job.kind, key, id, until])?;
        }
    }
    work.run(sql::REVIVE, [id, work.now.0])?;
    work.is_ready(&job.queue);
    Ok(true)
}

pub(super) fn purge(work: &mut Work<'_>, filter: &Filter, most: usize) -> Outcome<u64> {
    let filter = Filter {
        payloads: false,
        ..filter.clone()
    };
    change_each(work, filter, most, |work, id| {
        let Some(job) = Stored::find(work, id)? else {
            return Ok(false);
        };
        if job.state == work::RUNNING {
            return Ok(false);
        }
        end::free_key(work, &job)?;
        work.run(sql::REMOVE, [id])?;
        work.has_ended(id);
        Ok(true)
    })
}

pub(super) fn register(work: &Work<'_>, name: &str, rule: &str) -> Outcome<StoredSchedule> {
    work.run(sql::REGISTER, params![name, rule, work.now.0])?;
    let found = work.one(sql::SCHEDULE, [name], schedule)?;
    found.ok_or_else(|| rusqlite::Error::QueryReturnedNoRows.into())
}

fn schedule(row: &Row<'_>) -> rusqlite::Result<StoredSchedule> {
    Ok(StoredSchedule {
        name: row.get(0)?,
        rule: row.get(1)?,
        last_tick: row.get(2).map(StoredTime)?,
        runs: row.get(3).map(work::to_count)?,
        paused: row.get(4)?,
    })
}

pub(super) fn schedules(conn: &Connection) -> Outcome<Vec<StoredSchedule>> {
    work::all(conn, sql::SCHEDULES, [], schedule)
}

pub(super) fn tick(work: &mut Work<'_>, name: &str, at: StoredTime, job: &NewJob) -> Outcome<bool> {
    if at > work.now || work.run(sql::TICK, params![name, at.0])? == 0 {
        return Ok(false);
    }
    if enqueue::place(work, job)?.is_new() {
        work.run(sql::COUNT_RUN, [name])?;
    }
    Ok(true)
}

pub(super) fn change_schedule(
    work: &Work<'_>,
    name: &str,
    change: ScheduleChange,
) -> Outcome<bool> {
    let changed = match change {
        ScheduleChange::Pause => work.run(sql::PAUSE_SCHEDULE, [name])?,
        ScheduleChange::Resume => work.run(sql::RESUME_SCHEDULE, params![name, work.now.0])?,
        ScheduleChange::Forget => work.run(sql::FORGET_SCHEDULE, [name])?,
    };
    Ok(changed > 0)
}
