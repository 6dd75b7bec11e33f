//! By what the table finds its jobs: each job is where its state says, and nowhere else.
//!
//! Layer: jobs.
//
// All of it follows from the jobs, but for the claims of a line. So `check` makes it anew, and
// compares.

use super::job::{Job, State};
use super::lanes::Lanes;
use crate::jobs::{JobId, Outcome, SessionId, StoredTime};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

#[derive(Debug, Default, PartialEq)]
pub(super) struct Index {
    /// By queue. One that has no live job is not there.
    pub(super) lines: BTreeMap<String, Line>,
    /// The scheduled jobs of all queues, by the times at which they are due.
    pub(super) due: BTreeSet<(StoredTime, JobId)>,
    pub(super) lanes: Lanes,
    /// Jobs that wait, by the times at which they expire.
    pub(super) expiring: BTreeSet<(StoredTime, JobId)>,
    /// By session. One that runs nothing is not there.
    pub(super) running: HashMap<SessionId, BTreeSet<JobId>>,
    /// Jobs that have ended, by the times at which they are forgotten.
    pub(super) kept: BTreeSet<(StoredTime, JobId)>,
    /// Dead jobs, by the times of their ends.
    pub(super) dead: BTreeSet<(StoredTime, JobId)>,
}

/// The live jobs of a queue.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Line {
    /// By kind: those of high priority first, then those with small ids.
    ready: HashMap<String, BTreeSet<(Reverse<i32>, JobId)>>,
    pub(super) scheduled: BTreeSet<(StoredTime, JobId)>,
    pub(super) blocked_count: u64,
    pub(super) ready_count: u64,
    pub(super) running_count: u64,
    /// How many jobs were claimed from it. The one thing here that does not follow from the jobs.
    pub(super) claims: u64,
}

/// Each claim with this number takes the oldest job of the lowest priority.
const FAIR: u64 = 32;

impl Index {
    pub(super) fn add(&mut self, id: JobId, job: &Job) {
        match &job.state {
            State::Following { .. } | State::InLane => self.line(job).blocked_count += 1,
            State::Scheduled => {
                self.due.insert((job.due_at, id));
                self.line(job).scheduled.insert((job.due_at, id));
            }
            State::Ready { .. } => self.line(job).add_ready(id, job),
            State::Running { session, .. } => {
                self.running.entry(*session).or_default().insert(id);
                self.line(job).running_count += 1;
            }
            State::Ended { outcome, at, until } => {
                self.kept.insert((*until, id));
                if let Outcome::Dead(_) = outcome {
                    self.dead.insert((*at, id));
                }
            }
            State::Forgotten { .. } => {}
        }
        self.lanes.add(id, job);
        self.expiring.extend(expiry(id, job));
    }

    /// Takes out what [`add`](Self::add) put in, for a job that has not changed since.
    pub(super) fn remove(&mut self, id: JobId, job: &Job) {
        if let Some(entry) = expiry(id, job) {
            self.expiring.remove(&entry);
        }
        self.lanes.remove(id, job);
        match &job.state {
            State::Following { .. } | State::InLane => {
                let line = self.line(job);
                line.blocked_count = line.blocked_count.saturating_sub(1);
            }
            State::Scheduled => {
                self.due.remove(&(job.due_at, id));
                self.line(job).scheduled.remove(&(job.due_at, id));
            }
            State::Ready { .. } => self.line(job).remove_ready(id, job),
            State::Running { session, .. } => {
                if let Some(of_session) = self.running.get_mut(session) {
                    of_session.remove(&id);
                    if of_session.is_empty() {
                        self.running.remove(session);
                    }
                }
                let line = self.line(job);
                line.running_count = line.running_count.saturating_sub(1);
            }
            State::Ended { at, until, .. } => {
                self.kept.remove(&(*until, id));
                self.dead.remove(&(*at, id));
            }
            State::Forgotten { .. } => {}
        }
    }

    /// Drops the line of a queue that has no live job any more.
    pub(super) fn trim(&mut self, queue: &str) {
        if self.lines.get(queue).is_some_and(Line::is_empty) {
            self.lines.remove(queue);
        }
    }

    pub(super) fn running_of(&self, session: SessionId) -> Vec<JobId> {
        let running = self.running.get(&session);
        running.into_iter().flatten().copied().collect()
    }

    fn line(&mut self, job: &Job) -> &mut Line {
        self.lines.entry(job.new.queue.clone()).or_default()
    }
}

impl Line {
    /// The job that the next claim of these kinds takes. Each 32nd takes the last one of them, so
    /// that nothing starves.
    pub(super) fn next(&self, kinds: &[String]) -> Option<JobId> {
        match (self.claims + 1) % FAIR {
            0 => self.oldest_of_lowest(kinds),
            _ => self.first(kinds),
        }
    }

    fn first(&self, kinds: &[String]) -> Option<JobId> {
        let heads = kinds
            .iter()
            .filter_map(|kind| self.ready.get(kind)?.first());
        heads.min().map(|(_, id)| *id)
    }

    fn oldest_of_lowest(&self, kinds: &[String]) -> Option<JobId> {
        let lowest = |kind| {
            let ready = self.ready.get(kind)?;
            let (priority, _) = ready.last()?;
            ready.range((*priority, JobId(0))..).next()
        };
        let found = kinds.iter().filter_map(lowest);
        // Of the reversed priorities the largest is the lowest one.
        let last = found.max_by_key(|(priority, id)| (*priority, Reverse(*id)));
        last.map(|(_, id)| *id)
    }

    fn add_ready(&mut self, id: JobId, job: &Job) {
        let of_kind = self.ready.entry(job.new.kind.clone()).or_default();
        of_kind.insert((Reverse(job.new.priority), id));
        self.ready_count += 1;
    }

    fn remove_ready(&mut self, id: JobId, job: &Job) {
        if let Some(of_kind) = self.ready.get_mut(&job.new.kind) {
            of_kind.remove(&(Reverse(job.new.priority), id));
            if of_kind.is_empty() {
                self.ready.remove(&job.new.kind);
            }
        }
        self.ready_count = self.ready_count.saturating_sub(1);
    }

    fn is_empty(&self) -> bool {
        let Self {
            ready: _,
            scheduled,
            blocked_count,
            ready_count,
            running_count,
            claims: _,
        } = self;
        scheduled.is_empty() && blocked_count + ready_count + running_count == 0
    }
}

fn expiry(id: JobId, job: &Job) -> Option<(StoredTime, JobId)> {
    job.expires_at().map(|at| (at, id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::NewJob;

    fn index_of(jobs: &[(&str, i32)]) -> Index {
        let mut index = Index::default();
        for (id, (kind, priority)) in (1..).zip(jobs) {
            let mut new = NewJob::new("q", *kind, "");
            new.priority = *priority;
            index.add(JobId(id), &Job::new(new, StoredTime(0)));
        }
        index
    }

    #[test]
    fn kinds_are_merged_by_priority_and_then_by_age() {
        let index = index_of(&[("a", 0), ("b", 5), ("a", 5), ("c", 9), ("b", -3), ("a", -3)]);
        let line = &index.lines["q"];
        let kinds = ["a".to_owned(), "b".to_owned()];
        assert_eq!(line.first(&kinds), Some(JobId(2)));
        assert_eq!(line.first(&kinds[..1]), Some(JobId(3)));
        assert_eq!(line.oldest_of_lowest(&kinds), Some(JobId(5)));
        assert_eq!(line.oldest_of_lowest(&kinds[..1]), Some(JobId(6)));
        assert_eq!(line.first(&[]), None);
    }

    #[test]
    fn what_is_taken_out_leaves_nothing_behind() {
        let now = StoredTime(0);
        let mut new = NewJob::new("q", "k", "");
        new.expires = Some(std::time::Duration::from_secs(1));
        let mut job = Job::new(new, now);
        let mut index = Index::default();
        let ends = [
            Outcome::Dead(String::new()),
            Outcome::Cancelled,
            Outcome::Expired,
        ];
        job.new.lane = Some("lane".to_owned());
        let states = [
            State::Following {
                open: BTreeSet::new(),
            },
            State::InLane,
            State::Scheduled,
            State::Ready { lost: false },
            State::Running {
                session: SessionId(1),
                exchange: 1,
            },
        ];
        let ends = ends.map(|outcome| State::Ended {
            outcome,
            at: now,
            until: StoredTime(9),
        });
        for state in states.into_iter().chain(ends) {
            job.has_lane = matches!(state, State::Ready { .. } | State::Running { .. });
            job.state = state;
            index.add(JobId(1), &job);
            assert_ne!(index, Index::default());
            index.remove(JobId(1), &job);
            index.trim("q");
            assert_eq!(index, Index::default());
        }
    }
}
