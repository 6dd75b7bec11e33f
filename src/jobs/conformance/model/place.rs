//! How a job is stored, or takes the place of another one.
//!
//! Layer: jobs.

use crate::jobs::conformance::model::job::Job;
use crate::jobs::conformance::model::state::{Follow, State};
use crate::jobs::names::unknown_parent;
use crate::jobs::{Due, JobId, JobState, JobsError, NewJob, Outcome, Placed, StoredTime};

impl State {
    /// Jobs follow none that has never been.
    pub(crate) fn check_parents(&mut self, jobs: &[NewJob]) -> Result<(), JobsError> {
        for (place, job) in jobs.iter().enumerate() {
            if job.after.iter().any(|id| self.job(*id).is_none()) {
                return Err(unknown_parent(jobs, place));
            }
        }
        Ok(())
    }

    /// Stores a job, unless another one has its unique key.
    pub(crate) fn place(&mut self, new: &NewJob, now: StoredTime) -> Placed {
        let due_at = match new.due {
            Due::Now => now,
            Due::After(time) => now + time,
            Due::At(time) => time.max(now),
        };
        if let Some(unique) = &new.unique {
            let has_it = |job: &&Job| job.holds(&new.kind, &unique.key, now);
            let holder = self.jobs.iter().find(has_it);
            if let Some(expired) = holder.filter(|job| job.has_expired(now)) {
                self.expire(expired.id, now);
            }
            if let Some(other) = self.jobs.iter().find(has_it) {
                let (id, can_be_replaced) = (other.id, other.is_waiting() && other.claims == 0);
                if !new.replace || !can_be_replaced {
                    return Placed::Existing(id);
                }
                self.replace(id, new, due_at, now);
                return Placed::Replaced(id);
            }
        }
        let id = JobId(Self::next(&mut self.given, &mut self.last_id));
        self.jobs.push(Job {
            id,
            new: new.clone(),
            state: JobState::Blocked,
            enqueued_at: now,
            due_at,
            began_at: None,
            ended_at: None,
            claims: 0,
            failures: 0,
            crashes: 0,
            error: None,
            runs_in: None,
            has_lapsed: false,
            is_cancel_asked: false,
            watchers: 0,
            outcome: None,
            kept_until: None,
            has_no_key: false,
        });
        self.follow(id, now);
        Placed::New(id)
    }

    /// It waits for the jobs that it follows, or begins, or is cancelled.
    fn follow(&mut self, child: JobId, now: StoredTime) {
        let new = self.job(child).unwrap().new.clone();
        let mut failed = false;
        let before = self.follows.len();
        for parent in new.after {
            if self.follows[before..].iter().any(|it| it.parent == parent) {
                continue;
            }
            let job = self.job(parent).unwrap();
            let waits = !job.state.has_ended();
            if !waits && job.kept_until.is_some_and(|until| until > now) {
                let outcome = job.outcome.clone().unwrap();
                self.keep_for_followers(parent, outcome);
            }
            let ended = self.followed.iter().find(|(id, _)| *id == parent);
            failed |= ended.is_some_and(|(_, outcome)| outcome.state() != JobState::Done);
            self.follows.push(Follow {
                child,
                parent,
                waits,
            });
        }
        if failed && !new.even_if_failed {
            let job = self.job(child).unwrap();
            job.has_no_key = true;
            job.end(Outcome::Cancelled, None, now);
            self.totals.cancelled += 1;
            self.settle(child, now);
        } else if self.waits_for(child) == 0 {
            self.join(child, now);
        }
    }

    fn replace(&mut self, id: JobId, new: &NewJob, due_at: StoredTime, now: StoredTime) {
        let follows = self.waits_for(id) > 0;
        let job = self.job(id).unwrap();
        job.new.payload.clone_from(&new.payload);
        job.new.meta.clone_from(&new.meta);
        job.new.expires = new.expires;
        job.due_at = due_at;
        if follows {
            return;
        }
        if due_at > now {
            job.state = JobState::Scheduled;
            self.leave_lane(id, now);
            self.end_late(now);
        } else if job.state == JobState::Scheduled {
            self.join(id, now);
        }
    }
}
