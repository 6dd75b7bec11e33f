//! Jobs that follow others, and what an end means for them and for its lane.
//!
//! Layer: jobs.
//
// A step with one job may ask for steps with others: with those that follow it, and with the next
// one of its lane. A step does not take these. It leaves them here, and they are taken one after
// the other, so that no chain of jobs is a chain of calls. Ends come before lanes: a job that waits
// for nothing else any more has joined its lane when that is given on. A job that had expired when
// it took its lane ends after all of that, and its end is the next one.

use super::job::Job;
use super::table::Table;
use crate::jobs::names::unknown_parent;
use crate::jobs::{Fate, JobId, JobsError, NewJob, Outcome, StoredTime};
use std::collections::{BTreeSet, HashSet};

/// What steps have left to be done.
#[derive(Debug, Default)]
pub(super) struct Left {
    gone: Vec<Gone>,
    /// Those that no job has, though jobs wait for them. Some of them twice.
    lanes: Vec<String>,
    /// Jobs that had expired when they took their lanes.
    late: BTreeSet<JobId>,
}

/// A job that has ended or was removed.
#[derive(Debug)]
struct Gone {
    id: JobId,
    is_done: bool,
    parents: Vec<JobId>,
    children: Vec<JobId>,
}

impl Left {
    /// Notes that a job has ended, or was removed while it lived.
    pub(super) fn note_end(&mut self, id: JobId, job: &mut Job) {
        if job.new.after.is_empty() && job.children.is_empty() {
            return;
        }
        self.gone.push(Gone {
            id,
            is_done: matches!(job.outcome(), Some(Outcome::Done(_))),
            parents: std::mem::take(&mut job.new.after),
            children: job.children.iter().copied().collect(),
        });
    }

    pub(super) fn note_lane(&mut self, lane: String) {
        self.lanes.push(lane);
    }
}

impl Table {
    /// Returns an error if a job is to follow one that has never been.
    pub(super) fn check_parents(&self, jobs: &[NewJob]) -> Result<(), JobsError> {
        for (place, job) in jobs.iter().enumerate() {
            if job.after.iter().any(|id| !self.has_given(*id)) {
                return Err(unknown_parent(jobs, place));
            }
        }
        Ok(())
    }

    /// Links a new job with those that it follows. Ends it if one of them did not succeed.
    pub(super) fn follow(&mut self, id: JobId, job: &mut Job, now: StoredTime) {
        let mut seen = HashSet::new();
        job.new.after.retain(|parent| seen.insert(*parent));
        let mut open = BTreeSet::new();
        let mut known = Vec::new();
        let mut all_done = true;
        for parent in &job.new.after {
            let Some(stored) = self.jobs.get(parent).filter(|job| job.is_known(now)) else {
                continue;
            };
            known.push(*parent);
            match stored.outcome() {
                Some(outcome) => all_done &= matches!(outcome, Outcome::Done(_)),
                None => drop(open.insert(*parent)),
            }
        }
        if !all_done && !job.new.even_if_failed {
            job.new.after = Vec::new();
            return job.end(Outcome::Cancelled, job.new.keep, now);
        }
        for parent in known {
            if let Some(parent) = self.jobs.get_mut(&parent) {
                parent.children.insert(id);
            }
        }
        job.follow(open);
    }

    /// What a job follows, and what has become of that.
    pub(super) fn parents(&self, id: JobId) -> Vec<(JobId, Fate)> {
        let after = self.jobs.get(&id).map(|job| &job.new.after);
        let fate = |parent: &JobId| {
            // One that was forgotten before, or was removed, is not linked.
            let parent = self.jobs.get(parent);
            let Some(parent) = parent.filter(|parent| parent.children.contains(&id)) else {
                return Fate::Forgotten;
            };
            match parent.outcome() {
                Some(outcome) => Fate::Ended(outcome.clone()),
                None => Fate::Live(parent.state()),
            }
        };
        let parents = after.into_iter().flatten();
        parents.map(|parent| (*parent, fate(parent))).collect()
    }

    /// Does what steps have left to be done. Each job that is too late ends with all that follows
    /// from its end, before the next one does.
    pub(super) fn settle(&mut self, now: StoredTime) {
        self.hand_on(now);
        while let Some(id) = self.left.late.pop_first() {
            self.step(id, now, |job| job.expire(now));
            self.hand_on(now);
        }
    }

    /// As above, and leaves the jobs that are too late.
    pub(super) fn hand_on(&mut self, now: StoredTime) {
        while let Some(gone) = self.left.gone.pop() {
            for parent in &gone.parents {
                self.let_go(*parent, gone.id, now);
            }
            for child in &gone.children {
                self.pass_on(gone.id, *child, gone.is_done, now);
            }
        }
        while let Some(lane) = self.left.lanes.pop() {
            if let Some(next) = self.index.lanes.next(&lane) {
                self.step(next, now, Job::take_lane);
                let job = self.jobs.get(&next);
                if job.is_some_and(|job| job.has_expired(now)) {
                    self.left.late.insert(next);
                }
            }
        }
    }

    /// A job that followed this one has ended.
    pub(super) fn let_go(&mut self, parent: JobId, child: JobId, now: StoredTime) {
        let Some(job) = self.jobs.get_mut(&parent) else {
            return;
        };
        job.children.remove(&child);
        if job.is_kept_for_none() {
            self.remove(parent, now);
        }
    }

    /// A job that this one follows has ended.
    pub(super) fn pass_on(&mut self, parent: JobId, child: JobId, is_done: bool, now: StoredTime) {
        // Of a job that was dead and has ended again, the earlier children wait no more.
        if self
            .jobs
            .get(&child)
            .is_some_and(|job| job.waits_for(parent))
        {
            self.step(child, now, |job| job.parent_has_ended(parent, is_done, now));
        }
    }

    /// The time of an outcome is over, or there are too many. It stays for those that follow it.
    pub(super) fn forget(&mut self, id: JobId, now: StoredTime) {
        match self
            .jobs
            .get(&id)
            .is_some_and(|job| !job.children.is_empty())
        {
            true => drop(self.step(id, now, Job::forget)),
            false => self.remove(id, now),
        }
    }
}
