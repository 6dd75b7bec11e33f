//! Jobs that follow others.
//!
//! Layer: jobs.
//
// The end of a job is one step with all that it brings about. That may go on through many jobs, so
// it is a list of work, and no recursion:
//
// 1. All that follow it and must not begin are cancelled, and all that follow those, and so on. The
//    row of each is ended, and its edges are gone, before those that follow it are looked at. So
//    none ends twice.
// 2. Those that follow no live job any more are unblocked, by their ids. Those of its lane join it.
// 3. Its lane goes to the oldest that has joined it.
//
// A job that had expired when it took its lane ends after that, and its end is the next of these
// steps.

use crate::jobs::id::JobId;
use crate::jobs::look::{Fate, JobState};
use crate::jobs::names::unknown_parent;
use crate::jobs::record::NewJob;
use crate::jobs::sqlite::end::{self, End, Stored};
use crate::jobs::sqlite::lanes;
use crate::jobs::sqlite::read;
use crate::jobs::sqlite::statements as sql;
use crate::jobs::sqlite::work::{self, Outcome, Work};
use crate::jobs::time::StoredTime;
use rusqlite::{Connection, params};
use std::collections::{BTreeSet, HashSet};
use std::iter;

/// What a new job follows.
#[derive(Debug, Default)]
pub(super) struct Parents {
    /// In the order in which the job names them, each once.
    found: Vec<Parent>,
    /// How many have not ended.
    pub(super) live: i64,
    /// Whether one has ended, and not as done.
    pub(super) has_failure: bool,
}

#[derive(Clone, Copy, Debug)]
struct Parent {
    id: i64,
    is_live: bool,
    is_forgotten: bool,
}

impl Parents {
    /// Looks at them.
    pub(super) fn find(work: &Work<'_>, after: &[JobId]) -> Outcome<Self> {
        let mut parents = Self::default();
        let mut known = HashSet::new();
        for id in after.iter().filter(|id| known.insert(**id)) {
            let key = work::from_id(*id);
            let found = work.one(sql::PARENT, [key], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?))
            })?;
            let found = found.map(|(state, until)| (end::state(state), until));
            let is_live = found.is_some_and(|(state, _)| !state.has_ended());
            // Also if it is kept for others that follow it, and for nothing else.
            let kept = found.filter(|(_, until)| until.is_some_and(|until| until > work.now.0));
            let failed = kept.is_some_and(|(state, _)| state != JobState::Done);
            parents.live += i64::from(is_live);
            parents.has_failure |= failed && !is_live;
            parents.found.push(Parent {
                id: key,
                is_live,
                is_forgotten: !is_live && kept.is_none(),
            });
        }
        Ok(parents)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Stores that a job follows them.
    pub(super) fn store(&self, work: &Work<'_>, child: i64) -> Outcome<()> {
        for (place, parent) in self.found.iter().enumerate() {
            let place = work::from_size(place);
            let edge = params![parent.id, child, place, !parent.is_live];
            work.run(sql::ADD_EDGE, edge)?;
            if !parent.is_forgotten {
                work.run(sql::HOLD_PARENT, [parent.id])?;
            }
        }
        Ok(())
    }
}

/// Refuses jobs that are to follow one that has never been.
pub(super) fn check(work: &Work<'_>, jobs: &[NewJob]) -> Outcome<()> {
    let mut following = jobs
        .iter()
        .enumerate()
        .filter(|(_, job)| !job.after.is_empty());
    let Some(first) = following.next() else {
        return Ok(());
    };
    let last = read::last_id(work.conn())?;
    for (place, job) in iter::once(first).chain(following) {
        let is_unknown = |id: &JobId| !(1..=last).contains(&work::from_id(*id));
        if job.after.iter().any(is_unknown) {
            return Err(unknown_parent(jobs, place).into());
        }
    }
    Ok(())
}

/// Does what the end of a job brings about. Its row has ended, or is gone.
pub(super) fn has_ended(work: &mut Work<'_>, job: &Stored, is_done: bool) -> Outcome<()> {
    go_on(work, job, is_done)?;
    end_late(work)
}

/// Ends the jobs that took their lanes too late, by their ids. If they are too many, the last ones
/// are ready, and the next exchange finds them.
pub(super) fn end_late(work: &mut Work<'_>) -> Outcome<()> {
    while let Some(id) = work.next_late() {
        let job = Stored::find(work, id)?;
        if let Some(job) = job.filter(|job| job.is_expired(work.now)) {
            end::finish_alone(work, &job, End::new(JobState::Expired))?;
            go_on(work, &job, false)?;
        }
    }
    Ok(())
}

/// Those that follow a job that has ended go on, and its lane does.
fn go_on(work: &mut Work<'_>, job: &Stored, is_done: bool) -> Outcome<()> {
    let lane = job.lane.as_deref();
    let lane = lane.filter(|_| job.flags & work::HAS_LANE != 0);
    if job.flags & work::FOLLOWED != 0 {
        settle(work, job.id, is_done, lane)?;
    }
    match lane {
        Some(lane) => lanes::pass_on(work, lane),
        None => Ok(()),
    }
}

/// Does what the end of a job means for those that follow it. `leaving` is the lane that it had.
pub(super) fn settle(
    work: &mut Work<'_>,
    parent: i64,
    is_done: bool,
    leaving: Option<&str>,
) -> Outcome<()> {
    for id in end_children(work, parent, is_done)? {
        if let Some(job) = Stored::find(work, id)? {
            lanes::unblock(work, &job, leaving)?;
        }
    }
    Ok(())
}

/// Cancels those that must not begin. Returns those that follow no live job any more.
fn end_children(work: &mut Work<'_>, parent: i64, is_done: bool) -> Outcome<BTreeSet<i64>> {
    let mut unblocked = BTreeSet::new();
    let mut ended = vec![(parent, is_done)];
    while let Some((parent, is_done)) = ended.pop() {
        for child in work.all(sql::PARENT_HAS_ENDED, [parent], |row| row.get(0))? {
            let child = Stored::find(work, child)?;
            let Some(child) = child.filter(|child| child.state == work::BLOCKED) else {
                continue;
            };
            if !is_done && child.flags & work::EVEN_IF_FAILED == 0 {
                end::finish_alone(work, &child, End::new(JobState::Cancelled))?;
                if child.flags & work::FOLLOWED != 0 {
                    ended.push((child.id, false));
                }
            } else if child.parents > 1 {
                work.run(sql::PARENTS_LEFT, [child.id, child.parents - 1])?;
            } else {
                unblocked.insert(child.id);
            }
        }
    }
    Ok(unblocked)
}

/// It has ended, and follows no other job any more. Those whose outcome was kept for it alone are
/// forgotten, if it is time.
pub(super) fn remove_edges(work: &Work<'_>, job: &Stored) -> Outcome<()> {
    if job.flags & work::FOLLOWS == 0 {
        return Ok(());
    }
    let parents = work.all(sql::REMOVE_EDGES, [job.id], |row| row.get(0))?;
    parents.into_iter().try_for_each(|id| release(work, id))
}

/// If no job follows this one any more, it is kept for as long as it asks for itself.
pub(super) fn release(work: &Work<'_>, parent: i64) -> Outcome<()> {
    if work.one(sql::HAS_CHILD, [parent], |_| Ok(()))?.is_some() {
        return Ok(());
    }
    let own: Option<Option<i64>> = work.one(sql::HELD_PARENT, [parent], |row| row.get(0))?;
    match own {
        None => {}
        Some(Some(0)) => {
            work.run(sql::REMOVE, [parent])?;
        }
        // If its own time is over, the next sweep removes it, and counts that.
        Some(_) => {
            work.run(sql::RELEASE_PARENT, [parent])?;
        }
    }
    Ok(())
}

/// What a job follows, and what has become of it.
pub(super) fn parents(
    conn: &Connection,
    id: JobId,
    now: StoredTime,
) -> Outcome<Vec<(JobId, Fate)>> {
    let key = [work::from_id(id)];
    let parents = work::all(conn, sql::PARENTS, key, |row| row.get(0).map(work::to_id))?;
    let with_fate = |id| Ok((id, read::fate(conn, id, now, true)?));
    parents.into_iter().map(with_fate).collect()
}
