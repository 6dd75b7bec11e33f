//! What one sees, and what one changes by hand.
//!
//! Layer: jobs.

use super::job::Job;
use super::keys::Key;
use super::table::Table;
use crate::jobs::{
    Counts, Fate, Filter, JobId, JobInfo, JobState, JobsError, Notifier, Outcome, Page,
    QueueChange, QueueCounts, StoredTime,
};
use crate::task::CancelOutcome;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};

/// A page looks at no more jobs than this while it has the lock.
const LOOKED_AT: usize = 10_000;

impl Table {
    pub(super) fn cancel(&mut self, id: JobId, now: StoredTime) -> CancelOutcome {
        match self.jobs.get_mut(&id) {
            None => CancelOutcome::AlreadyFinished,
            Some(job) if job.has_ended() => CancelOutcome::AlreadyFinished,
            Some(job) if job.is_waiting() => {
                self.change(id, now, |job| {
                    job.end(Outcome::Cancelled, job.new.keep, now);
                });
                CancelOutcome::Settled
            }
            Some(job) => {
                job.is_to_cancel = true;
                if let Some(session) = job.session() {
                    self.notifiers.session_has_news(session);
                }
                CancelOutcome::Requested
            }
        }
    }

    pub(super) fn fate(&self, id: JobId, now: StoredTime) -> Fate {
        match self.jobs.get(&id) {
            Some(job) if !job.is_forgotten(now) => match job.outcome() {
                Some(outcome) => Fate::Ended(outcome.clone()),
                None => Fate::Live(job.state()),
            },
            None if !self.has_given(id) => Fate::Unknown,
            _ => Fate::Forgotten,
        }
    }

    /// Returns the number of the registration. `None` if there is no such job: it never ends. A
    /// dead one may be made ready, and end again.
    pub(super) fn watch(
        &mut self,
        id: JobId,
        notifier: &Notifier,
        until: StoredTime,
    ) -> Option<u64> {
        self.jobs.get_mut(&id)?.is_watched = true;
        Some(self.notifiers.watch(id, notifier, until))
    }

    pub(super) fn set_queue(
        &mut self,
        name: &str,
        change: QueueChange,
        now: StoredTime,
    ) -> Result<(), JobsError> {
        let limits = self.limits.entry(name.to_owned()).or_default();
        let result = limits.change(change, now);
        if limits.is_default() {
            self.limits.remove(name);
        }
        // A consumer may find jobs now that it could not claim before.
        self.notifiers.queue_has_news(name);
        result
    }

    pub(super) fn counts(&self, now: StoredTime) -> Counts {
        let mut queues: BTreeMap<&str, QueueCounts> = BTreeMap::new();
        for (queue, line) in &self.index.lines {
            let counts = queues.entry(queue).or_default();
            counts.scheduled = line.scheduled.len() as u64;
            counts.blocked = line.blocked_count;
            counts.ready = line.ready_count;
            counts.running = line.running_count;
        }
        for (queue, limits) in &self.limits {
            queues.entry(queue).or_default().paused = limits.settings.paused;
        }
        let named = queues.into_iter().map(|(queue, counts)| QueueCounts {
            queue: queue.to_owned(),
            ..counts
        });
        Counts {
            queues: named.collect(),
            dead: self.count_dead(now),
            totals: self.totals,
        }
    }

    /// Looks at a part of the jobs after an id. Returns those to which the filter applies, and the
    /// last job that it looked at, if there are more.
    pub(super) fn list(
        &self,
        filter: &Filter,
        page: Page,
        now: StoredTime,
    ) -> (Vec<JobInfo>, Option<JobId>) {
        let mut found = Vec::new();
        let mut last = None;
        for (looked_at, (id, job)) in self.after(page.after, filter).enumerate() {
            if looked_at == LOOKED_AT || found.len() == page.most {
                return (found, last);
            }
            last = Some(id);
            if job.is_meant(filter, now) {
                found.push(job.info(id, filter.payloads));
            }
        }
        (found, None)
    }

    /// Returns how many are ready, or blocked in their lanes.
    pub(super) fn retry_dead(&mut self, filter: &Filter, most: usize, now: StoredTime) -> u64 {
        if filter.state.is_some_and(|state| state != JobState::Dead) {
            return 0;
        }
        let state = Some(JobState::Dead);
        let filter = Filter {
            state,
            ..filter.clone()
        };
        let mut dead: Vec<JobId> = self.meant(&filter, now).map(|(id, _)| id).collect();
        // Of two in one lane, the first takes it.
        dead.sort_unstable();
        let mut ready = 0;
        for id in dead {
            if ready == most as u64 {
                break;
            }
            if self.may_revive(id, now) {
                self.change(id, now, |job| job.revive(now));
                ready += 1;
            }
        }
        ready
    }

    /// Whether no other job has got its unique key.
    fn may_revive(&self, id: JobId, now: StoredTime) -> bool {
        let key = self.jobs.get(&id).and_then(|job| Key::of(&job.new));
        let holder = key.and_then(|key| self.keys.holder(&key, now));
        holder.is_none_or(|holder| holder == id)
    }

    /// Returns how many are gone. One that is cancelled since another one goes counts as well.
    pub(super) fn purge(&mut self, filter: &Filter, most: usize, now: StoredTime) -> u64 {
        let meant = self.meant(filter, now);
        let idle = meant.filter(|(_, job)| job.session().is_none());
        let gone: Vec<JobId> = idle.map(|(id, _)| id).take(most).collect();
        for id in &gone {
            self.remove(*id, now);
            self.settle(now);
        }
        gone.len() as u64
    }

    /// The jobs to which the filter applies: of the dead ones the oldest first, or else by id.
    fn meant<'a>(
        &'a self,
        filter: &'a Filter,
        now: StoredTime,
    ) -> impl Iterator<Item = (JobId, &'a Job)> {
        let dead = |(_, id): &(_, JobId)| Some((*id, self.jobs.get(id)?));
        let all: Box<dyn Iterator<Item = (JobId, &'a Job)> + 'a> = match (&filter.ids, filter.state)
        {
            (None, Some(JobState::Dead)) => Box::new(self.index.dead.iter().filter_map(dead)),
            _ => self.after(JobId(0), filter),
        };
        all.filter(move |(_, job)| job.is_meant(filter, now))
    }

    /// The jobs after an id, in the order of their ids: those that the filter names, or all.
    fn after<'a>(
        &'a self,
        after: JobId,
        filter: &Filter,
    ) -> Box<dyn Iterator<Item = (JobId, &'a Job)> + 'a> {
        let Some(ids) = &filter.ids else {
            let rest = self.jobs.range((Excluded(after), Unbounded));
            return Box::new(rest.map(|(id, job)| (*id, job)));
        };
        let ids: BTreeSet<JobId> = ids.iter().copied().filter(|id| *id > after).collect();
        let named = ids.into_iter();
        Box::new(named.filter_map(|id| Some((id, self.jobs.get(&id)?))))
    }

    /// Those that are kept: a few may be there only since no sweep has removed them.
    fn count_dead(&self, now: StoredTime) -> u64 {
        let over = self.index.kept.range(..=(now, JobId(u64::MAX)));
        let is_dead = |id| self.jobs.get(id).map(Job::state) == Some(JobState::Dead);
        let over = over.filter(|(_, id)| is_dead(id)).count();
        (self.index.dead.len() - over) as u64
    }
}
