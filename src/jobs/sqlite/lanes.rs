//! Lanes: of the jobs of one, in whatever queues, at most one has it.
//!
//! Layer: jobs.
//
// A job of a lane waits in one of three ways: it is scheduled, or it follows others, or it has
// joined the lane, and is blocked while another one has it. A job that becomes ready has it, and
// keeps it until its end. So there are blocked jobs of a lane only while a job has it.

use crate::jobs::sqlite::end::Stored;
use crate::jobs::sqlite::follow;
use crate::jobs::sqlite::statements as sql;
use crate::jobs::sqlite::work::{self, Outcome, Work};
use crate::jobs::time::StoredTime;

/// How a job waits that follows no other one: its state, and the flag of its lane if it has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wait {
    pub(super) state: i64,
    pub(super) flag: i64,
}

impl Wait {
    /// Another one has its lane.
    pub(super) const JOINED: Self = Self {
        state: work::BLOCKED,
        flag: 0,
    };

    /// For what it waits follows from when it is due, and its lane. Notifies those that wait for
    /// jobs of the queue, since the caller stores it.
    pub(super) fn new(
        work: &mut Work<'_>,
        queue: &str,
        due: StoredTime,
        lane: Option<&str>,
    ) -> Outcome<Self> {
        if due > work.now {
            work.will_be_due(queue, due)?;
            let state = work::SCHEDULED;
            return Ok(Self { state, flag: 0 });
        }
        let flag = match lane {
            None => 0,
            Some(lane) if is_free(work, lane)? => work::HAS_LANE,
            Some(_) => return Ok(Self::JOINED),
        };
        work.is_ready(queue);
        let state = work::READY;
        Ok(Self { state, flag })
    }
}

pub(super) fn is_free(work: &Work<'_>, lane: &str) -> Outcome<bool> {
    Ok(work.one(sql::LANE_HOLDER, [lane], |_| Ok(()))?.is_none())
}

/// What it follows has ended. `leaving` is a lane that is about to be passed on to the oldest of
/// those that have joined it: this one may be that.
pub(super) fn unblock(work: &mut Work<'_>, job: &Stored, leaving: Option<&str>) -> Outcome<()> {
    let lane = job.lane.as_deref();
    let wait = match lane {
        Some(_) if lane == leaving && job.run_at <= work.now => Wait::JOINED,
        _ => Wait::new(work, &job.queue, job.run_at, lane)?,
    };
    work.run(sql::MOVE, [job.id, wait.state, wait.flag])?;
    if wait.flag == work::HAS_LANE {
        work.takes_lane(job.id, job.expires_at);
    }
    Ok(())
}

/// Jobs that are due become ready, at most so many, oldest first. Those of lanes join them, in the
/// same order.
pub(super) fn move_due(work: &mut Work<'_>, most: usize) -> Outcome<()> {
    let mut joining = Vec::new();
    let due = [work.now.0, work::from_size(most)];
    let moved = work.all(sql::MOVE_DUE, due, |row| {
        let queue: String = row.get(0)?;
        let place: (i64, i64) = (row.get(1)?, row.get(2)?);
        let lane: Option<String> = row.get(3)?;
        Ok((place, queue, lane, row.get(4)?))
    })?;
    for (place, queue, lane, expires_at) in moved {
        match lane {
            None => work.is_ready(&queue),
            Some(lane) => joining.push((place, queue, lane, expires_at)),
        }
    }
    joining.sort_unstable();
    for ((_, id), queue, lane, expires_at) in joining {
        if is_free(work, &lane)? {
            give(work, id, &queue, expires_at)?;
        }
    }
    follow::end_late(work)
}

/// The lane is free, and its oldest blocked job gets it. If that is too late, the caller ends it.
pub(super) fn pass_on(work: &mut Work<'_>, lane: &str) -> Outcome<()> {
    let next = work.one(sql::NEXT_IN_LANE, [lane], |row| {
        Ok((row.get(0)?, row.get::<_, String>(1)?, row.get(2)?))
    })?;
    match next {
        Some((id, queue, expires_at)) => give(work, id, &queue, expires_at),
        None => Ok(()),
    }
}

fn give(work: &mut Work<'_>, id: i64, queue: &str, expires_at: Option<i64>) -> Outcome<()> {
    work.run(sql::MOVE, [id, work::READY, work::HAS_LANE])?;
    work.takes_lane(id, expires_at);
    work.is_ready(queue);
    Ok(())
}
