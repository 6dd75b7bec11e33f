//! Compares jobs with those for which they wait: those that they follow, and those of their lanes.
//!
//! Layer: jobs.

use super::check::{of_job, of_none};
use super::job::{Job, State};
use super::table::Table;
use crate::jobs::{Fault, JobId, Outcome, StoredTime};
use std::collections::{BTreeMap, HashMap, HashSet};

impl Table {
    pub(super) fn check_waits(&mut self, mends: bool, now: StoredTime) -> Vec<Fault> {
        let mut faults = self.check_children(mends, now);
        faults.extend(self.check_kept(mends, now));
        faults.extend(self.check_parents_of_blocked(mends, now));
        faults.extend(self.check_holders_of_lanes(mends, now));
        faults.extend(self.check_free_lanes(mends, now));
        faults
    }

    /// A child is a job that lives and names its parent.
    fn check_children(&mut self, mends: bool, now: StoredTime) -> Vec<Fault> {
        let after = |(id, job): (&JobId, &Job)| (*id, job.new.after.iter().copied().collect());
        let with_parents = self
            .jobs
            .iter()
            .filter(|(_, job)| !job.new.after.is_empty());
        let parents: HashMap<JobId, HashSet<JobId>> = with_parents.map(after).collect();
        let links = self.jobs.iter();
        let links = links.flat_map(|(id, job)| job.children.iter().map(|child| (*id, *child)));
        let is_wrong = |(parent, child): &(JobId, JobId)| {
            let named = parents.get(child);
            !named.is_some_and(|named| named.contains(parent))
        };
        let wrong: Vec<_> = links.filter(is_wrong).collect();
        let fault = |(parent, child)| {
            if mends {
                self.let_go(parent, child, now);
            }
            let text =
                format!("it is kept for job {child}, which does not live or does not follow it");
            of_job(parent, &text, mends)
        };
        wrong.into_iter().map(fault).collect()
    }

    /// A job whose time is over is kept for a child.
    fn check_kept(&mut self, mends: bool, now: StoredTime) -> Vec<Fault> {
        let kept = self.jobs.iter().filter(|(_, job)| job.is_kept_for_none());
        let kept: Vec<JobId> = kept.map(|(id, _)| *id).collect();
        let fault = |id| {
            if mends {
                self.remove(id, now);
            }
            of_job(
                id,
                "its outcome is kept, and no job lives that follows it",
                mends,
            )
        };
        kept.into_iter().map(fault).collect()
    }

    /// A job that follows others waits for some that live, and that know it.
    fn check_parents_of_blocked(&mut self, mends: bool, now: StoredTime) -> Vec<Fault> {
        let mut wrong: BTreeMap<JobId, Vec<JobId>> = BTreeMap::new();
        for (id, job) in &self.jobs {
            let State::Following { open } = &job.state else {
                continue;
            };
            let is_lost = |parent: &&JobId| {
                let parent = self.jobs.get(parent);
                !parent.is_some_and(|parent| !parent.has_ended() && parent.children.contains(id))
            };
            let lost: Vec<JobId> = open.iter().filter(is_lost).copied().collect();
            if !lost.is_empty() || open.is_empty() {
                wrong.insert(*id, lost);
            }
        }
        let fault = |(id, lost)| {
            if mends {
                self.mend_parents(id, lost, now);
            }
            of_job(id, "it waits for jobs that do not end any more", mends)
        };
        wrong.into_iter().map(fault).collect()
    }

    fn mend_parents(&mut self, id: JobId, lost: Vec<JobId>, now: StoredTime) {
        for parent in lost {
            match self.jobs.get_mut(&parent) {
                Some(job) if !job.has_ended() => drop(job.children.insert(id)),
                job => {
                    let outcome = job.as_ref().and_then(|job| job.outcome());
                    let is_done = matches!(outcome, Some(Outcome::Done(_)));
                    self.pass_on(parent, id, is_done, now);
                    self.settle(now);
                }
            }
        }
        let job = self.jobs.get(&id).map(|job| &job.state);
        if matches!(job, Some(State::Following { open }) if open.is_empty()) {
            self.change(id, now, |job| job.go_on(now));
        }
    }

    /// A job that is ready or runs has its lane, and no other job has. Of two that have it, the one
    /// with the smaller id keeps it, as in the index.
    fn check_holders_of_lanes(&mut self, mends: bool, now: StoredTime) -> Vec<Fault> {
        let mut holders = HashMap::new();
        let mut wrong = Vec::new();
        for (id, job) in &self.jobs {
            let Some(lane) = &job.new.lane else {
                continue;
            };
            let is_right = match job.state {
                State::Ready { .. } | State::Running { .. } => job.has_lane,
                State::Scheduled => true,
                _ => !job.has_lane,
            };
            let is_first = !job.has_lane || *holders.entry(lane).or_insert(*id) == *id;
            if !is_right || !is_first {
                wrong.push(*id);
            }
        }
        let fault = |id| {
            if mends {
                self.change(id, now, |job| job.leave_lane(now));
            }
            of_job(
                id,
                "it has the lane of another job, or begins without its lane",
                mends,
            )
        };
        wrong.into_iter().map(fault).collect()
    }

    /// A lane for which jobs wait is that of a job.
    fn check_free_lanes(&mut self, mends: bool, now: StoredTime) -> Vec<Fault> {
        let free = self.index.lanes.free();
        let fault = |lane: String| {
            let text = format!("jobs wait for the lane {lane:?}, and no job has it");
            if mends {
                self.left.note_lane(lane);
                self.settle(now);
            }
            of_none(text, mends)
        };
        free.into_iter().map(fault).collect()
    }
}
