//! What is changed by hand, and schedules.
//!
//! Layer: jobs.

use crate::jobs::id::JobId;
use crate::jobs::look::{Filter, JobInfo, JobState, Page, ScheduleChange, StoredSchedule};
use crate::jobs::record::NewJob;
use crate::jobs::sqlite::end::{self, End, Stored};
use crate::jobs::sqlite::enqueue;
use crate::jobs::sqlite::follow;
use crate::jobs::sqlite::lanes::Wait;
use crate::jobs::sqlite::read;
use crate::jobs::sqlite::statements as sql;
use crate::jobs::sqlite::work::{self, Outcome, Work};
use crate::jobs::time::StoredTime;
use crate::task::CancelOutcome;
use rusqlite::{Connection, Row, params};
use std::slice;

pub(super) fn cancel(work: &mut Work<'_>, id: JobId) -> Outcome<CancelOutcome> {
    let Some(job) = Stored::find(work, work::from_id(id))? else {
        return Ok(CancelOutcome::AlreadyFinished);
    };
    if end::state(job.state).has_ended() {
        return Ok(CancelOutcome::AlreadyFinished);
    }
    if job.state == work::RUNNING {
        work.run(sql::ASK_TO_CANCEL, [job.id])?;
        work.cancel_is_asked(job.session);
        return Ok(CancelOutcome::Requested);
    }
    end::finish(work, &job, End::new(JobState::Cancelled))?;
    Ok(CancelOutcome::Settled)
}

/// Looks at the jobs to which the filter applies, by their ids, until this returns true.
fn until_each(
    work: &mut Work<'_>,
    filter: &Filter,
    mut is_enough: impl FnMut(&mut Work<'_>, &JobInfo) -> Outcome<bool>,
) -> Outcome<()> {
    let mut after = JobId(0);
    loop {
        let most = read::MOST_ROWS;
        let found = read::list(work.conn(), filter, Page { after, most }, work.now)?;
        let Some(last) = found.last() else {
            return Ok(());
        };
        after = last.id;
        for job in &found {
            if is_enough(work, job)? {
                return Ok(());
            }
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
    let mut revived = 0;
    until_each(work, &filter, |work, job| {
        if revived < most {
            revived += usize::from(revive(work, work::from_id(job.id))?);
        }
        Ok(revived >= most)
    })?;
    Ok(work::to_count(work::from_size(revived)))
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
    let wait = Wait::new(work, &job.queue, work.now, job.lane.as_deref())?;
    work.run(sql::REVIVE, [id, wait.state, work.now.0, wait.flag])?;
    Ok(true)
}

pub(super) fn purge(work: &mut Work<'_>, filter: &Filter, most: usize) -> Outcome<u64> {
    let filter = Filter {
        payloads: false,
        ..filter.clone()
    };
    // What is removed may end others, so first it is found what to remove.
    let mut chosen = Vec::new();
    until_each(work, &filter, |_, job| {
        if chosen.len() < most && job.state != JobState::Running {
            chosen.push(work::from_id(job.id));
        }
        Ok(chosen.len() >= most)
    })?;
    for id in &chosen {
        // One that was cancelled since it follows another one may be gone.
        if let Some(job) = Stored::find(work, *id)? {
            end::free_key(work, &job)?;
            work.run(sql::REMOVE, [job.id])?;
            work.has_ended(job.id);
            if job.waits() {
                follow::remove_edges(work, &job)?;
                follow::has_ended(work, &job, false)?;
            }
        }
    }
    Ok(work::to_count(work::from_size(chosen.len())))
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
    follow::check(work, slice::from_ref(job))?;
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
