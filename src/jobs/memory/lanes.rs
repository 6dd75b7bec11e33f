//! Which job has a lane, and which jobs wait for it.
//!
//! Layer: jobs.

use super::job::{Job, State};
use crate::jobs::JobId;
use std::collections::{BTreeSet, HashMap};

/// By name. A lane that no job has, and for which no job waits, is not there.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Lanes(HashMap<String, Lane>);

#[derive(Debug, Default, PartialEq)]
struct Lane {
    holder: Option<JobId>,
    blocked: BTreeSet<JobId>,
}

impl Lanes {
    pub(super) fn add(&mut self, id: JobId, job: &Job) {
        let is_blocked = matches!(job.state, State::InLane);
        let Some(name) = job.new.lane.as_ref().filter(|_| job.has_lane || is_blocked) else {
            return;
        };
        let lane = self.0.entry(name.clone()).or_default();
        if job.has_lane {
            lane.holder.get_or_insert(id);
        }
        if is_blocked {
            lane.blocked.insert(id);
        }
    }

    /// Takes out what [`add`](Self::add) put in, for a job that has not changed since.
    pub(super) fn remove(&mut self, id: JobId, job: &Job) {
        let Some(name) = &job.new.lane else {
            return;
        };
        if let Some(lane) = self.0.get_mut(name) {
            lane.holder.take_if(|holder| *holder == id);
            lane.blocked.remove(&id);
            if *lane == Lane::default() {
                self.0.remove(name);
            }
        }
    }

    /// The job that is to take the lane: none if a job has it.
    pub(super) fn next(&self, name: &str) -> Option<JobId> {
        let lane = self.0.get(name).filter(|lane| lane.holder.is_none())?;
        lane.blocked.first().copied()
    }

    /// The lanes that no job has, though jobs wait for them.
    pub(super) fn free(&self) -> Vec<String> {
        let free = self.0.keys().filter(|name| self.next(name).is_some());
        free.cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::{NewJob, StoredTime};

    #[test]
    fn a_lane_goes_to_the_smallest_id_when_no_job_has_it() {
        let mut new = NewJob::new("q", "k", "");
        new.lane = Some("lane".to_owned());
        let blocked = Job::new(new, StoredTime(0));
        let mut holder = blocked.clone();
        holder.take_lane();
        let mut lanes = Lanes::default();
        lanes.add(JobId(3), &blocked);
        lanes.add(JobId(1), &blocked);
        assert_eq!(lanes.next("lane"), Some(JobId(1)));
        lanes.add(JobId(2), &holder);
        assert_eq!((lanes.next("lane"), lanes.free()), (None, vec![]));
        lanes.remove(JobId(2), &holder);
        assert_eq!(lanes.free(), ["lane"]);
        lanes.remove(JobId(1), &blocked);
        assert_eq!(lanes.next("lane"), Some(JobId(3)));
        lanes.remove(JobId(3), &blocked);
        assert_eq!(lanes, Lanes::default());
    }
}
