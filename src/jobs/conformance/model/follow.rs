//! Lanes, jobs that follow others, and what one end brings about.
//!
//! Layer: jobs.

use crate::jobs::conformance::model::job::Job;
use crate::jobs::conformance::model::state::State;
use crate::jobs::{Fate, JobId, JobState, Outcome, StoredTime};
use std::collections::BTreeSet;

impl State {
    /// For how many jobs it waits.
    pub(crate) fn waits_for(&self, child: JobId) -> usize {
        let waits = self.follows.iter().filter(|it| it.waits);
        waits.filter(|it| it.child == child).count()
    }

    /// It waits for no other job: it waits for its time, its lane, or a consumer.
    pub(crate) fn join(&mut self, id: JobId, now: StoredTime) {
        let job = self.job(id).unwrap();
        let (due_at, lane) = (job.due_at, job.new.lane.clone());
        let holder = self.lanes.iter().find(|(of, _)| Some(of) == lane.as_ref());
        let holder = holder.map(|(_, holder)| *holder);
        let state = match holder {
            _ if due_at > now => JobState::Scheduled,
            Some(other) if other != id => JobState::Blocked,
            Some(_) => JobState::Ready,
            None => {
                if let Some(lane) = lane {
                    self.take_lane(lane, id, now);
                }
                JobState::Ready
            }
        };
        self.job(id).unwrap().wait_again(state);
    }

    fn take_lane(&mut self, lane: String, id: JobId, now: StoredTime) {
        self.lanes.push((lane, id));
        if self.job(id).unwrap().has_expired(now) {
            self.late.insert(id);
        }
    }

    /// If the job has a lane, the next one gets it.
    pub(crate) fn leave_lane(&mut self, id: JobId, now: StoredTime) {
        let Some(place) = self.lanes.iter().position(|(_, holder)| *holder == id) else {
            return;
        };
        let (lane, _) = self.lanes.remove(place);
        let is_next = |job: &&Job| {
            job.state == JobState::Blocked
                && job.new.lane.as_ref() == Some(&lane)
                && self.waits_for(job.id) == 0
        };
        if let Some(next) = self.jobs.iter().find(is_next).map(|job| job.id) {
            self.job(next).unwrap().wait_again(JobState::Ready);
            self.take_lane(lane, next, now);
        }
    }

    /// What the end of a job brings about, in one step. Nothing if it has not ended.
    pub(crate) fn settle(&mut self, id: JobId, now: StoredTime) {
        if self.job(id).unwrap().state.has_ended() {
            self.follow_up(id, now);
            self.end_late(now);
        }
    }

    /// Jobs end that took their lanes too late.
    pub(crate) fn end_late(&mut self, now: StoredTime) {
        while let Some(id) = self.late.pop_first() {
            self.expire_alone(id, now);
        }
    }

    pub(crate) fn expire(&mut self, id: JobId, now: StoredTime) {
        self.expire_alone(id, now);
        self.end_late(now);
    }

    fn expire_alone(&mut self, id: JobId, now: StoredTime) {
        self.job(id).unwrap().end(Outcome::Expired, None, now);
        self.totals.expired += 1;
        self.follow_up(id, now);
    }

    fn follow_up(&mut self, id: JobId, now: StoredTime) {
        self.follows.retain(|it| it.child != id);
        let mut ended = vec![id];
        let mut released = BTreeSet::new();
        while let Some(parent) = ended.pop() {
            let job = self.job(parent).unwrap();
            let (is_done, outcome) = (job.state == JobState::Done, job.outcome.clone());
            let mut children = Vec::new();
            for it in &mut self.follows {
                if it.parent == parent && it.waits {
                    it.waits = false;
                    children.push(it.child);
                }
            }
            if let Some(outcome) = outcome {
                self.keep_for_followers(parent, outcome);
            }
            for child in children {
                let job = self.job(child).unwrap();
                if !is_done && !job.new.even_if_failed {
                    job.end(Outcome::Cancelled, None, now);
                    self.totals.cancelled += 1;
                    self.follows.retain(|it| it.child != child);
                    ended.push(child);
                } else if self.waits_for(child) == 0 {
                    released.insert(child);
                }
            }
        }
        for child in released {
            self.join(child, now);
        }
        self.leave_lane(id, now);
        let follows = &self.follows;
        let is_followed = |(id, _): &(JobId, _)| follows.iter().any(|it| it.parent == *id);
        self.followed.retain(is_followed);
    }

    fn is_followed(&self, parent: JobId) -> bool {
        self.follows.iter().any(|it| it.parent == parent)
    }

    /// Whether it ends when a storage finds that it has expired. A job that has not taken its lane
    /// yet ends as it does that.
    pub(crate) fn ends_when_found(&self, job: &Job) -> bool {
        job.new.lane.is_none() || self.has_lane(job)
    }

    /// As above, and others wait for its end.
    pub(crate) fn is_waited_for(&self, job: &Job) -> bool {
        self.has_lane(job) || job.new.lane.is_none() && self.is_followed(job.id)
    }

    fn has_lane(&self, job: &Job) -> bool {
        self.lanes.iter().any(|(_, holder)| *holder == job.id)
    }

    /// The outcome is kept until the last live job that follows it has ended.
    pub(crate) fn keep_for_followers(&mut self, parent: JobId, outcome: Outcome) {
        self.followed.retain(|(id, _)| *id != parent);
        self.followed.push((parent, outcome));
    }

    pub(crate) fn parents(&mut self, child: JobId) -> Vec<(JobId, Fate)> {
        let of_child = self.follows.iter().filter(|it| it.child == child);
        let parents: Vec<JobId> = of_child.map(|it| it.parent).collect();
        let fate = |parent| {
            let ended = self.followed.iter().find(|(id, _)| *id == parent);
            let ended = ended.map(|(_, outcome)| Fate::Ended(outcome.clone()));
            let job = self.job(parent).unwrap();
            match job.state.has_ended() {
                true => (parent, ended.unwrap_or(Fate::Forgotten)),
                false => (parent, Fate::Live(job.state)),
            }
        };
        parents.into_iter().map(fate).collect()
    }

    /// A dead job begins anew. It follows nothing any more.
    pub(crate) fn revive(&mut self, id: JobId, now: StoredTime) {
        self.followed.retain(|(of, _)| *of != id);
        self.job(id).unwrap().revive(now);
        self.join(id, now);
    }

    /// Removes a job. What follows it is not to begin, if it had not ended.
    pub(crate) fn purge(&mut self, id: JobId, now: StoredTime) {
        self.followed.retain(|(of, _)| *of != id);
        let job = self.job(id).unwrap();
        let waits = job.is_waiting();
        if waits {
            job.end(Outcome::Cancelled, None, now);
        }
        job.forget();
        job.has_no_key = true;
        if waits {
            self.settle(id, now);
        }
    }
}
