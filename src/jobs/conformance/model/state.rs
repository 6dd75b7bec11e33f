//! All that the model knows. What it is asked for, it finds by a scan.
//!
//! Layer: jobs.

use crate::jobs::conformance::model::job::Job;
use crate::jobs::{
    BatchNumber, Counts, JobId, JobState, JobsError, Notifier, Outcome, Placed, QueueCounts,
    QueueSettings, SessionId, SessionInfo, StoredSchedule, StoredTime, Swept, Totals,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// At most so many dead jobs are kept.
const MOST_DEAD: usize = 100_000;

#[derive(Debug, Default)]
pub(crate) struct State {
    /// By their ids.
    pub(crate) jobs: Vec<Job>,
    /// By their numbers.
    pub(crate) sessions: Vec<Lease>,
    pub(crate) last_id: u64,
    pub(crate) last_session: u64,
    /// The numbers that jobs and sessions get next, if they are to be those of another storage.
    pub(crate) given: VecDeque<u64>,
    /// Which live jobs follow which others.
    pub(crate) follows: Vec<Follow>,
    /// How jobs ended that live jobs follow.
    pub(crate) followed: Vec<(JobId, Outcome)>,
    /// Which jobs have which lanes.
    pub(crate) lanes: Vec<(String, JobId)>,
    /// Jobs that had expired when they took their lanes. Empty between two steps.
    pub(crate) late: BTreeSet<JobId>,
    pub(crate) queues: BTreeMap<String, QueueSettings>,
    /// How many claims there were from each queue.
    pub(crate) claims: BTreeMap<String, u64>,
    /// How many claims the rate of a queue still allows, in thousandths, and at what time.
    pub(crate) tokens: BTreeMap<String, (u128, StoredTime)>,
    pub(crate) schedules: BTreeMap<String, StoredSchedule>,
    pub(crate) batches: BTreeMap<u64, (BatchNumber, Vec<Placed>)>,
    pub(crate) totals: Totals,
    /// All who want news, by a number.
    pub(crate) notifiers: BTreeMap<u64, Notifier>,
    pub(crate) last_notifier: u64,
}

/// A live job that follows another one.
#[derive(Debug)]
pub(crate) struct Follow {
    pub(crate) child: JobId,
    pub(crate) parent: JobId,
    /// Whether it waits for the end of the other one.
    pub(crate) waits: bool,
}

/// A session of the model.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) id: SessionId,
    pub(crate) until: StoredTime,
    pub(crate) info: SessionInfo,
    /// The number of its last exchange.
    pub(crate) number: u64,
}

impl State {
    pub(crate) fn next(given: &mut VecDeque<u64>, last: &mut u64) -> u64 {
        let next = given.pop_front().unwrap_or(*last + 1);
        assert!(next > *last, "{next} is not larger than {last}");
        *last = next;
        next
    }

    pub(crate) fn next_session(&mut self) -> SessionId {
        SessionId(Self::next(&mut self.given, &mut self.last_session))
    }

    pub(crate) fn job(&mut self, id: JobId) -> Option<&mut Job> {
        let place = self.jobs.binary_search_by_key(&id, |job| job.id).ok()?;
        Some(&mut self.jobs[place])
    }

    pub(crate) fn lease(&mut self, id: SessionId) -> Option<&mut Lease> {
        self.sessions.iter_mut().find(|lease| lease.id == id)
    }

    pub(crate) fn running_in(&self, session: SessionId) -> Vec<JobId> {
        let is_in = |job: &&Job| job.runs_in.is_some_and(|(id, _)| id == session);
        self.jobs.iter().filter(is_in).map(|job| job.id).collect()
    }

    /// Ends a session whose lease has ended. Returns how many of its jobs wait again, and how many
    /// are dead.
    pub(crate) fn lapse(&mut self, session: SessionId, now: StoredTime) -> (u64, u64) {
        let (mut returned, mut dead, mut cancelled) = (0, 0, 0);
        for id in self.running_in(session) {
            let job = self.job(id).unwrap();
            job.lapse(now);
            match job.state {
                JobState::Dead => dead += 1,
                JobState::Cancelled => cancelled += 1,
                _ => returned += 1,
            }
            self.settle(id, now);
        }
        self.totals.crashed += returned + dead + cancelled;
        self.totals.dead += dead;
        self.totals.cancelled += cancelled;
        self.sessions.retain(|lease| lease.id != session);
        (returned, dead)
    }

    /// Ends at most `most` sessions whose leases have ended. Returns whether there are more.
    pub(crate) fn lapse_all(&mut self, most: usize, now: StoredTime) -> Swept {
        let mut over: Vec<(StoredTime, SessionId)> = self
            .sessions
            .iter()
            .filter(|lease| lease.until <= now)
            .map(|lease| (lease.until, lease.id))
            .collect();
        over.sort();
        let mut swept = Swept {
            more: over.len() > most,
            ..Swept::default()
        };
        for &(_, session) in over.iter().take(most) {
            let (returned, dead) = self.lapse(session, now);
            swept.sessions += 1;
            swept.returned += returned;
            swept.died += dead;
        }
        swept
    }

    pub(crate) fn sweep(&mut self, most: usize, now: StoredTime) -> Swept {
        let expired_before = self.totals.expired;
        let mut swept = self.lapse_all(most, now);
        let mut slice = |mut of: Vec<(StoredTime, JobId)>| {
            swept.more |= of.len() > most;
            of.sort();
            of.truncate(most);
            of
        };
        let until_now = |time: Option<StoredTime>| time.filter(|time| *time <= now);
        let jobs = self.jobs.iter();
        let expired = jobs.filter_map(|job| Some((until_now(job.expires_at())?, job.id)));
        let expired = slice(expired.collect());
        let jobs = self.jobs.iter();
        let over = jobs.filter_map(|job| Some((until_now(job.kept_until)?, job.id)));
        let over = slice(over.collect());
        for &(_, id) in &expired {
            // The end of another one may have ended it.
            if self.job(id).unwrap().is_waiting() {
                self.expire(id, now);
            }
        }
        for &(_, id) in &over {
            self.job(id).unwrap().kept_until = None;
        }
        swept.forgotten = over.len().try_into().unwrap();
        swept.expired = self.totals.expired - expired_before;
        swept
    }

    /// Forgets the oldest dead jobs, if there are too many.
    pub(crate) fn forget_dead(&mut self) {
        let is_dead = |job: &&mut Job| job.state == JobState::Dead && job.kept_until.is_some();
        let mut dead: Vec<&mut Job> = self.jobs.iter_mut().filter(is_dead).collect();
        dead.sort_by_key(|job| (job.ended_at, job.id));
        let too_many = dead.len().saturating_sub(MOST_DEAD);
        for job in dead.into_iter().take(too_many) {
            job.kept_until = None;
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        let mut queues = BTreeMap::new();
        for (name, settings) in &self.queues {
            let counts: &mut QueueCounts = queues.entry(name).or_default();
            counts.paused = settings.paused;
        }
        for job in self.jobs.iter().filter(|job| !job.state.has_ended()) {
            let counts = queues.entry(&job.new.queue).or_default();
            match job.state {
                JobState::Blocked => counts.blocked += 1,
                JobState::Scheduled => counts.scheduled += 1,
                JobState::Ready => counts.ready += 1,
                _ => counts.running += 1,
            }
        }
        let is_dead = |job: &&Job| job.state == JobState::Dead && job.kept_until.is_some();
        let dead = self.jobs.iter().filter(is_dead).count();
        let named = queues.into_iter().map(|(name, counts)| QueueCounts {
            queue: name.clone(),
            ..counts
        });
        Counts {
            queues: named.collect(),
            dead: dead.try_into().unwrap(),
            totals: self.totals,
        }
    }

    /// The answer to a batch that is sent again.
    pub(crate) fn repeated(&self, number: BatchNumber) -> Result<Option<Vec<Placed>>, JobsError> {
        match self.batches.get(&number.producer) {
            Some((last, placed)) if *last == number => Ok(Some(placed.clone())),
            Some((last, _)) if last.number > number.number => Err(JobsError::new(
                crate::jobs::JobsErrorKind::Stale,
                format!("batch {} after batch {}", number.number, last.number),
            )),
            _ => Ok(None),
        }
    }
}
