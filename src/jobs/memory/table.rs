//! All that is stored, and the one door through which a job changes.
//!
//! Layer: jobs.

use super::batches::Batches;
use super::follow::Left;
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
    /// [`step`](Self::step) alone.
    pub(super) jobs: BTreeMap<JobId, Job>,
    pub(super) index: Index,
    /// Empty between two changes.
    pub(super) left: Left,
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
        if let Some(number) = number {
            if let Some(placed) = self.batches.answer(number)? {
                return Ok(placed);
            }
        }
        self.check_parents(&jobs)?;
        let placed: Vec<_> = jobs.into_iter().map(|new| self.place(new, now)).collect();
        if let Some(number) = number {
            // Two for each new one, so that they do not grow without a sweep.
            self.batches.forget(2, now);
            self.batches.keep(number, &placed, now);
        }
        Ok(placed)
    }

    /// Stores a job, unless another one has its unique key.
    pub(super) fn place(&mut self, new: NewJob, now: StoredTime) -> Placed {
        if let Some(holder) = self.holder_of_key(&new, now) {
            return self.meet(holder, new, now);
        }
        self.last_id += 1;
        let id = JobId(self.last_id);
        let mut job = Job::new(new, now);
        self.follow(id, &mut job, now);
        if !job.has_ended() {
            self.keys.take(id, &job.new, now);
        }
        self.jobs.insert(id, job);
        self.enter(id, false, now);
        self.settle(now);
        Placed::New(id)
    }

    /// The job that has the unique key of a new one. If it has expired, it ends first.
    fn holder_of_key(&mut self, new: &NewJob, now: StoredTime) -> Option<JobId> {
        let key = Key::of(new)?;
        let holder = self.keys.holder(&key, now)?;
        if self
            .jobs
            .get(&holder)
            .is_some_and(|job| job.has_expired(now))
        {
            self.expire(holder, now);
        }
        self.keys.holder(&key, now)
    }

    /// A new job meets the one that has its unique key.
    fn meet(&mut self, holder: JobId, new: NewJob, now: StoredTime) -> Placed {
        let job = self.jobs.get(&holder);
        if new.replace && job.is_some_and(Job::may_be_replaced) {
            self.change(holder, now, |job| job.replace(new, now));
            return Placed::Replaced(holder);
        }
        Placed::Existing(holder)
    }

    /// Changes a job, and does all that follows from its new state, for it and for others. Returns
    /// `None` if there is no such job.
    pub(super) fn change<R>(
        &mut self,
        id: JobId,
        now: StoredTime,
        step: impl FnOnce(&mut Job) -> R,
    ) -> Option<R> {
        let result = self.step(id, now, step);
        self.settle(now);
        result
    }

    /// Takes a step with a job, and does what follows from its new state: its place in the index,
    /// its unique key, the totals, the notifiers. What follows for other jobs is left to
    /// [`settle`](Self::settle).
    pub(super) fn step<R>(
        &mut self,
        id: JobId,
        now: StoredTime,
        step: impl FnOnce(&mut Job) -> R,
    ) -> Option<R> {
        let job = self.jobs.get_mut(&id)?;
        let (held_key, had_ended) = (job.holds_key(), job.has_ended());
        self.index.remove(id, job);
        let result = step(job);
        match (held_key, job.holds_key()) {
            (true, false) => self.keys.release(id, &job.new),
            (false, true) => self.keys.take(id, &job.new, now),
            _ => {}
        }
        self.enter(id, had_ended, now);
        Some(result)
    }

    /// A job has a new state, and is not in the index.
    fn enter(&mut self, id: JobId, had_ended: bool, now: StoredTime) {
        let Some(job) = self.jobs.get(&id) else {
            return;
        };
        self.index.add(id, job);
        self.index.trim(&job.new.queue);
        note_free_lane(&mut self.left, &self.index, job);
        match (had_ended, job.has_ended()) {
            (false, true) => self.finish(id, now),
            (true, true) => {}
            (_, false) => note_news(&mut self.notifiers, &self.index, id, job),
        }
    }

    /// What follows from an end.
    fn finish(&mut self, id: JobId, now: StoredTime) {
        self.notifiers.job_has_ended(id, now);
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        self.left.note_end(id, job);
        let total = match job.state() {
            JobState::Done => &mut self.totals.done,
            JobState::Dead => &mut self.totals.dead,
            JobState::Cancelled => &mut self.totals.cancelled,
            _ => &mut self.totals.expired,
        };
        *total += 1;
        if job.is_forgotten(now) {
            self.forget(id, now);
        }
        if self.index.dead.len() > MOST_DEAD {
            if let Some(&(_, oldest)) = self.index.dead.first() {
                self.forget(oldest, now);
            }
        }
    }

    /// Removes a job in whatever state, and frees its unique key if that is not for a time. What
    /// follows for other jobs is left to [`settle`](Self::settle).
    pub(super) fn remove(&mut self, id: JobId, now: StoredTime) {
        let Some(mut job) = self.jobs.remove(&id) else {
            return;
        };
        self.index.remove(id, &job);
        self.index.trim(&job.new.queue);
        self.keys.release(id, &job.new);
        self.notifiers.job_has_ended(id, now);
        if !job.has_ended() {
            self.left.note_end(id, &mut job);
            note_free_lane(&mut self.left, &self.index, &job);
        }
    }

    /// Whether a job has had this id.
    pub(super) fn has_given(&self, id: JobId) -> bool {
        (1..=self.last_id).contains(&id.0)
    }
}

/// A lane that the job has left, or for which it waits, is to be taken if no job has it.
fn note_free_lane(left: &mut Left, index: &Index, job: &Job) {
    if let Some(lane) = &job.new.lane {
        if index.lanes.next(lane).is_some() {
            left.note_lane(lane.clone());
        }
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
        _ => false,
    };
    if is_news {
        notifiers.queue_has_news(queue);
    }
}
