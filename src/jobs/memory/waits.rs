//! The steps of a job before it begins: it waits for others, for its time, and for its lane.
//!
//! Layer: jobs.

use super::job::{Job, State, due_at};
use crate::jobs::{JobId, NewJob, Outcome, StoredTime};
use std::collections::BTreeSet;

impl Job {
    /// It waits for its time, its lane, or a consumer. It has not begun.
    pub(super) fn go_on(&mut self, now: StoredTime) {
        if self.due_at > now {
            self.state = State::Scheduled;
            self.has_lane = false;
        } else {
            self.become_ready();
        }
    }

    /// A lane is taken in a step of its own, when all that happens at once has happened.
    pub(super) fn become_ready(&mut self) {
        self.state = match self.new.lane.is_some() && !self.has_lane {
            true => State::InLane,
            false => State::Ready { lost: false },
        };
    }

    pub(super) fn take_lane(&mut self) {
        self.has_lane = true;
        self.become_ready();
    }

    /// It has no right to its lane. If it runs, it begins again when it has that.
    pub(super) fn leave_lane(&mut self, now: StoredTime) {
        self.has_lane = false;
        if self.session().is_some() {
            self.leave_session(now);
        }
        if matches!(self.state, State::Ready { .. }) {
            self.become_ready();
        }
    }

    /// It is new, and these are to end before it begins.
    pub(super) fn follow(&mut self, open: BTreeSet<JobId>) {
        if !open.is_empty() {
            self.state = State::Following { open };
        }
    }

    pub(super) fn waits_for(&self, parent: JobId) -> bool {
        matches!(&self.state, State::Following { open } if open.contains(&parent))
    }

    pub(super) fn parent_has_ended(&mut self, parent: JobId, is_done: bool, now: StoredTime) {
        let State::Following { open } = &mut self.state else {
            return;
        };
        open.remove(&parent);
        let was_last = open.is_empty();
        if !is_done && !self.new.even_if_failed {
            self.end(Outcome::Cancelled, self.new.keep, now);
        } else if was_last {
            self.go_on(now);
        }
    }

    /// Whether another job with its unique key may take its place.
    pub(super) fn may_be_replaced(&self) -> bool {
        self.is_waiting() && self.claims == 0
    }

    pub(super) fn replace(&mut self, new: NewJob, now: StoredTime) {
        self.due_at = due_at(new.due, now);
        self.new.expires = new.expires;
        self.new.meta = new.meta;
        self.new.payload = new.payload;
        if !matches!(self.state, State::Following { .. }) {
            self.go_on(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::{Due, JobState, SessionId, Verdict};
    use std::time::Duration;

    const NOW: StoredTime = StoredTime(1_000);
    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_secs(60);

    fn in_lane() -> Job {
        let mut new = NewJob::new("q", "k", "");
        new.lane = Some("lane".to_owned());
        Job::new(new, NOW)
    }

    fn following(even_if_failed: bool) -> Job {
        let mut new = NewJob::new("q", "k", "");
        new.even_if_failed = even_if_failed;
        let mut job = Job::new(new, NOW);
        job.follow([JobId(1), JobId(2)].into());
        job
    }

    #[test]
    fn a_lane_is_kept_to_the_end() {
        let mut job = in_lane();
        assert_eq!((job.state(), job.has_lane), (JobState::Blocked, false));
        job.take_lane();
        let (after, error) = (SECOND, "no".to_owned());
        for verdict in [
            Verdict::Back,
            Verdict::Postponed { after },
            Verdict::Retry { after, error },
        ] {
            assert_eq!(job.state(), JobState::Ready);
            job.begin(SessionId(1), 1, NOW);
            job.judge(&verdict, NOW);
            job.become_ready();
        }
        job.begin(SessionId(1), 1, NOW);
        job.lose_worker(NOW);
        assert!(job.has_lane && job.takes_end_of(4));
        let error = String::new();
        job.judge(&Verdict::Dead { error }, NOW);
        assert!(!job.has_lane);
        job.revive(NOW);
        assert_eq!(job.state(), JobState::Blocked);
    }

    #[test]
    fn the_last_end_of_what_it_follows_lets_a_job_go_on() {
        let mut job = following(false);
        job.parent_has_ended(JobId(2), true, NOW);
        assert_eq!(job.info(JobId(3), false).waits_for, 1);
        assert!(job.waits_for(JobId(1)) && !job.waits_for(JobId(2)));
        job.parent_has_ended(JobId(1), true, NOW);
        assert_eq!(job.state(), JobState::Ready);
        let mut late = following(true);
        late.due_at = NOW + SECOND;
        late.parent_has_ended(JobId(1), false, NOW);
        late.parent_has_ended(JobId(2), true, NOW);
        assert_eq!(late.state(), JobState::Scheduled);
    }

    #[test]
    fn one_end_without_success_cancels_what_follows() {
        let mut job = following(false);
        job.parent_has_ended(JobId(2), false, NOW);
        assert_eq!(job.state(), JobState::Cancelled);
        job.parent_has_ended(JobId(1), true, NOW);
        assert_eq!(job.state(), JobState::Cancelled);
    }

    #[test]
    fn what_takes_the_place_of_a_job_changes_when_it_is_due_and_no_more() {
        let mut later = NewJob::new("other", "other", "new");
        later.due = Due::After(SECOND);
        later.expires = Some(SECOND);
        let mut ready = in_lane();
        ready.take_lane();
        for (mut job, now, then) in [
            (in_lane(), JobState::Blocked, JobState::Scheduled),
            (ready, JobState::Ready, JobState::Scheduled),
            (following(true), JobState::Blocked, JobState::Blocked),
        ] {
            assert!(job.may_be_replaced());
            job.replace(NewJob::new("other", "other", "now"), NOW + MINUTE);
            assert_eq!((job.state(), job.due_at), (now, NOW + MINUTE));
            job.replace(later.clone(), NOW);
            assert_eq!((job.state(), job.due_at), (then, NOW + SECOND));
            assert_eq!(job.expires_at(), Some(NOW + SECOND + SECOND));
            assert_eq!((&*job.new.queue, &*job.new.payload), ("q", &b"new"[..]));
            assert!(!job.has_lane);
        }
        let mut begun = Job::new(NewJob::new("q", "k", ""), NOW);
        begun.begin(SessionId(1), 1, NOW);
        begun.give_back(NOW);
        assert!(!begun.may_be_replaced());
    }
}
