//! Ends of jobs: for now, and for good.
//!
//! Layer: jobs.

use crate::jobs::look::JobState;
use crate::jobs::names::cut_error;
use crate::jobs::record::{Ended, Judged, Verdict};
use crate::jobs::sqlite::follow;
use crate::jobs::sqlite::statements as sql;
use crate::jobs::sqlite::work::{self, Outcome, Work};
use crate::jobs::time::{StoredTime, millis};
use rusqlite::params;
use std::time::Duration;

/// The outcome of a job that something waits for is kept for so long.
const WATCHED_FOR: Duration = Duration::from_secs(60);

/// A dead job is kept for so long.
pub(super) const DEAD_FOR: Duration = Duration::from_secs(30 * 24 * 3600);

/// What one must know of a job to change it.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) id: i64,
    pub(super) queue: String,
    pub(super) kind: String,
    pub(super) state: i64,
    pub(super) claims: i64,
    pub(super) flags: i64,
    keep: Option<i64>,
    pub(super) unique_key: Option<String>,
    pub(super) unique_scope: Option<i64>,
    pub(super) crashes: i64,
    pub(super) max_crashes: i64,
    pub(super) session: Option<i64>,
    pub(super) run_at: StoredTime,
    pub(super) expires_at: Option<i64>,
    pub(super) lane: Option<String>,
    /// How many of those that it follows have not ended.
    pub(super) parents: i64,
}

impl Stored {
    pub(super) fn find(work: &Work<'_>, id: i64) -> Outcome<Option<Self>> {
        work.one(sql::JOB, [id], |row| {
            Ok(Self {
                id,
                queue: row.get(0)?,
                kind: row.get(1)?,
                state: row.get(2)?,
                claims: row.get(3)?,
                flags: row.get(4)?,
                keep: row.get(5)?,
                unique_key: row.get(6)?,
                unique_scope: row.get(7)?,
                crashes: row.get(8)?,
                max_crashes: row.get(9)?,
                session: row.get(10)?,
                run_at: row.get(11).map(StoredTime)?,
                expires_at: row.get(12)?,
                lane: row.get(13)?,
                parents: row.get(14)?,
            })
        })
    }

    /// Whether it has not been claimed, or waits again.
    pub(super) fn waits(&self) -> bool {
        self.state < work::RUNNING
    }

    /// Whether it was not begun in time, also if no sweep has noticed that.
    pub(super) fn is_expired(&self, now: StoredTime) -> bool {
        self.waits() && self.expires_at.is_some_and(|at| at <= now.0)
    }

    fn is_to_cancel(&self) -> bool {
        self.flags & work::CANCEL_ASKED != 0
    }

    /// Whether the end of this claim counts.
    fn is_of(&self, claim: u64) -> bool {
        let runs = self.state == work::RUNNING;
        let waits_since_lease_ended = self.state == work::READY && self.session.is_some();
        self.claims == work::from_count(claim) && (runs || waits_since_lease_ended)
    }
}

/// How a job ends for good.
#[derive(Clone, Copy, Debug)]
pub(super) struct End<'a> {
    pub(super) state: JobState,
    pub(super) output: Option<&'a [u8]>,
    pub(super) error: Option<&'a str>,
    /// How long to keep it, if the job does not say so itself.
    pub(super) keep: Option<Duration>,
    /// Whether it counts as a failure.
    pub(super) has_failed: bool,
}

impl End<'_> {
    pub(super) fn new(state: JobState) -> Self {
        Self {
            state,
            output: None,
            error: None,
            keep: None,
            has_failed: false,
        }
    }
}

/// Takes the end of a claimed job.
pub(super) fn judge(work: &mut Work<'_>, ended: &Ended) -> Outcome<Judged> {
    let Some(job) = Stored::find(work, work::from_id(ended.id))? else {
        return Ok(Judged::Gone);
    };
    if !job.is_of(ended.claim) {
        return Ok(Judged::Gone);
    }
    let end = match &ended.verdict {
        Verdict::Done { output, keep } => End {
            output: Some(output),
            keep: *keep,
            ..End::new(JobState::Done)
        },
        Verdict::Dead { error } => End {
            error: Some(cut_error(error)),
            has_failed: true,
            ..End::new(JobState::Dead)
        },
        Verdict::Cancelled => End::new(JobState::Cancelled),
        Verdict::Retry { after, error } => {
            return wait_again(work, &job, *after, Some(cut_error(error)));
        }
        Verdict::Postponed { after } => return wait_again(work, &job, *after, None),
        Verdict::Back => {
            return Ok(match give_back(work, &job)? {
                true => Judged::Waits,
                false => Judged::Ended,
            });
        }
    };
    finish(work, &job, end)?;
    Ok(Judged::Ended)
}

/// It waits for its time, unless it is to be cancelled. With an error it has failed once more.
fn wait_again(
    work: &mut Work<'_>,
    job: &Stored,
    after: Duration,
    error: Option<&str>,
) -> Outcome<Judged> {
    if job.is_to_cancel() {
        if error.is_some() {
            work.run(sql::COUNT_FAILURE, [job.id])?;
        }
        let end = End {
            error,
            ..End::new(JobState::Cancelled)
        };
        finish(work, job, end)?;
        return Ok(Judged::Ended);
    }
    let due = work.now + after;
    work.will_be_due(&job.queue, due)?;
    let failures = i64::from(error.is_some());
    work.run(sql::SCHEDULE_AGAIN, params![job.id, due.0, failures, error])?;
    if error.is_some() {
        work.count("retried");
    }
    Ok(Judged::Waits)
}

/// It is ready again and counts as nothing, unless it is to be cancelled. Returns whether it is
/// ready.
pub(super) fn give_back(work: &mut Work<'_>, job: &Stored) -> Outcome<bool> {
    if job.is_to_cancel() {
        finish(work, job, End::new(JobState::Cancelled))?;
        return Ok(false);
    }
    work.run(sql::READY_AGAIN, [job.id])?;
    work.is_ready(&job.queue);
    Ok(true)
}

/// Its session is closed, and it may have begun. Returns whether it is ready.
pub(super) fn leave_session(work: &mut Work<'_>, job: &Stored) -> Outcome<bool> {
    if job.flags & work::AT_MOST_ONCE == 0 {
        return give_back(work, job);
    }
    let end = End {
        error: Some("its session was closed; at most once"),
        ..End::new(JobState::Dead)
    };
    finish(work, job, end)?;
    Ok(false)
}

/// The lease of its session has ended. Returns what has become of it.
pub(super) fn crash(work: &mut Work<'_>, job: &Stored) -> Outcome<JobState> {
    work.count("crashed");
    let crashes = job.crashes + 1;
    work.run(sql::READY_AFTER_CRASH, [job.id, crashes])?;
    let error = if job.flags & work::AT_MOST_ONCE != 0 {
        "its worker was lost; at most once".to_owned()
    } else if crashes > job.max_crashes {
        format!("its worker was lost {crashes} times")
    } else if job.is_to_cancel() {
        finish(work, job, End::new(JobState::Cancelled))?;
        return Ok(JobState::Cancelled);
    } else {
        work.is_ready(&job.queue);
        return Ok(JobState::Ready);
    };
    let end = End {
        error: Some(&error),
        ..End::new(JobState::Dead)
    };
    finish(work, job, end)?;
    Ok(JobState::Dead)
}

/// It cannot be run.
pub(super) fn die(work: &mut Work<'_>, id: i64, error: &str) -> Outcome<()> {
    let Some(job) = Stored::find(work, id)? else {
        return Ok(());
    };
    let end = End {
        error: Some(error),
        ..End::new(JobState::Dead)
    };
    finish(work, &job, end)
}

/// It has ended for good, and so have those that are cancelled since they follow it.
pub(super) fn finish(work: &mut Work<'_>, job: &Stored, end: End<'_>) -> Outcome<()> {
    finish_alone(work, job, end)?;
    follow::has_ended(work, job, end.state == JobState::Done)
}

/// It has ended for good. Those that follow it are not looked at.
pub(super) fn finish_alone(work: &mut Work<'_>, job: &Stored, end: End<'_>) -> Outcome<()> {
    free_key(work, job)?;
    let mut keep = job.keep.or(end.keep.map(millis)).unwrap_or(0);
    if job.flags & work::WATCHED != 0 {
        keep = keep.max(millis(WATCHED_FOR));
    }
    if end.state == JobState::Dead {
        keep = keep.max(millis(DEAD_FOR));
    }
    let is_followed = job.flags & work::FOLLOWED != 0;
    if keep > 0 || is_followed {
        let (now, state) = (work.now.0, code(end.state));
        let until = now.saturating_add(keep);
        let (until, own) = match is_followed {
            // Without a time of its own it is seen by those that follow it alone.
            true => (i64::MAX, Some(if keep > 0 { until } else { 0 })),
            false => (until, None),
        };
        work.run(
            sql::END_KEPT,
            params![
                job.id,
                state,
                now,
                until,
                own,
                end.output,
                end.error,
                end.has_failed
            ],
        )?;
    } else {
        work.run(sql::REMOVE, [job.id])?;
    }
    work.count(end.state.name());
    if job.flags & work::WATCHED != 0 {
        work.has_ended(job.id);
    }
    follow::remove_edges(work, job)
}

/// Other jobs may have its key, unless it has it for a time.
pub(super) fn free_key(work: &Work<'_>, job: &Stored) -> Outcome<()> {
    if let Some(key) = &job.unique_key {
        work.run(sql::FREE_KEY, params![job.kind, key, job.id])?;
    }
    Ok(())
}

/// What `mh_job.state` has for a state.
pub(super) fn code(state: JobState) -> i64 {
    let place = JobState::ALL.iter().position(|known| *known == state);
    place.map_or(-1, |place| work::from_size(place) - 1)
}

/// The state for what `mh_job.state` has.
pub(super) fn state(code: i64) -> JobState {
    let place = usize::try_from(code + 1).unwrap_or(usize::MAX);
    JobState::ALL
        .get(place)
        .copied()
        .unwrap_or(JobState::Scheduled)
}
