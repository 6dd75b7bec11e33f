//! All that is stored, and the one door through which a job changes.
//!
//! Layer: jobs.

use super::batches::Batches;
use super::index::Index;
use super::job::{Job, State};
use super::keys::{Key, Keys};
use super::limits::Limits;
use super::notifiers::Notifiers;
use super::session::Sessions;
use crate::jobs::{
    BatchNumber, JobId, JobState, JobsError, NewJob, Placed, StoredSchedule, StoredTime, Totals,
};
use std::collections::BTreeMap;

/// At most so many dead jobs are kept. For one more the oldest one goes.
const MOST_DEAD: usize = 100_000;

#[derive(Debug, Default)]
pub(super) struct Table {
    /// Live jobs, and those that have ended and are kept. Their states change in
    /// [`change`](Self::change) alone.
    pub(super) jobs: BTreeMap<JobId, Job>,
    pub(super) index: Index,
    pub(super) keys: Keys,
    pub(super) sessions: Sessions,
    /// By queue. One that has no setting is not there.
    pub(super) limits: BTreeMap<String, Limits>,
    pub(super) schedules: BTreeMap<String, StoredSchedule>,
    pub(super) batches: Batches,
    pub(super) notifiers: Notifiers,
    pub(super) totals: Totals,
    last_id: u64,
}

impl Table {
    pub(super) fn enqueue(
        &mut self,
        number: Option<BatchNumber>,
        jobs: Vec<NewJob>,
        now: StoredTime,
    ) -> Result<Vec<Placed>, JobsError> {
        let Some(number) = number else {
            return Ok(jobs.into_iter().map(|new| self.place(new, now)).collect());
        };
        if let Some(placed) = self.batches.answer(number)? {
            return Ok(placed);
        }
        let placed: Vec<_> = jobs.into_iter().map(|new| self.place(new, now)).collect();
        // Two for each new one, so that they do not grow without a sweep.
        self.batches.forget(2, now);
        self.batches.keep(number, &placed, now);
        Ok(placed)
    }

    /// Stores a job, unless another one has its unique key.
    pub(super) fn place(&mut self, new: NewJob, now: StoredTime) -> Placed {
        let holder = Key::of(&new).and_then(|key| self.keys.holder(&key, now));
        if let Some(holder) = holder {
            return Placed::Existing(holder);
        }
        self.last_id += 1;
        let id = JobId(self.last_id);
        self.keys.take(id, &new, now);
        let job = Job::new(new, now);
        self.index.add(id, &job);
        note_news(&mut self.notifiers, &self.index, id, &job);
        self.jobs.insert(id, job);
        Placed::New(id)
    }

    /// Takes a step with a job, and does all that follows from its new state: its place in the
    /// index, its unique key, the totals, the notifiers. Returns `None` if there is no such job.
    pub(super) fn change<R>(
        &mut self,
        id: JobId,
        now: StoredTime,
        step: impl FnOnce(&mut Job) -> R,
    ) -> Option<R> {
        let job = self.jobs.get_mut(&id)?;
        let held_key = job.holds_key();
        self.index.remove(id, job);
        let result = step(job);
        self.index.add(id, job);
        self.index.trim(&job.new.queue);
        match (held_key, job.holds_key()) {
            (true, false) => self.keys.release(id, &job.new),
            (false, true) => self.keys.take(id, &job.new, now),
            _ => {}
        }
        match job.state {
            State::Ended { .. } => self.finish(id, now),
            _ => note_news(&mut self.notifiers, &self.index, id, job),
        }
        Some(result)
    }

    /// What follows from an end.
    fn finish(&mut self, id: JobId, now: StoredTime) {
        self.notifiers.job_has_ended(id, now);
        let Some(job) = self.jobs.get(&id) else {
            return;
        };
        let total = match job.state() {
            JobState::Done => &mut self.totals.done,
            JobState::Dead => &mut self.totals.dead,
            JobState::Cancelled => &mut self.totals.cancelled,
            _ => &mut self.totals.expired,
        };
        *total += 1;
        if job.is_forgotten(now) {
            self.remove(id, now);
        }
        if self.index.dead.len() > MOST_DEAD {
            if let Some(&(_, oldest)) = self.index.dead.first() {
                self.remove(oldest, now);
            }
        }
    }

    /// Removes a job in whatever state, and frees its unique key if that is not for a time.
    pub(super) fn remove(&mut self, id: JobId, now: StoredTime) {
        if let Some(job) = self.jobs.remove(&id) {
            self.index.remove(id, &job);
            self.index.trim(&job.new.queue);
            self.keys.release(id, &job.new);
            self.notifiers.job_has_ended(id, now);
        }
    }

    /// Whether a job has had this id.
    pub(super) fn has_given(&self, id: JobId) -> bool {
        (1..=self.last_id).contains(&id.0)
    }
}

/// A job that waits is news for the subscribers of its queue: if it is ready, or the first of those
/// that are scheduled.
fn note_news(notifiers: &mut Notifiers, index: &Index, id: JobId, job: &Job) {
    let queue = &job.new.queue;
    let is_first = || {
        let line = index.lines.get(queue);
        line.and_then(|line| line.scheduled.first()) == Some(&(job.due_at, id))
    };
    let is_news = match job.state {
        State::Ready { .. } => true,
        State::Scheduled => is_first(),
        State::Running { .. } | State::Ended { .. } => false,
    };
    if is_news {
        notifiers.queue_has_news(queue);
    }
}
