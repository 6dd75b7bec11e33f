//! One job, and the steps of its life. Each step is plain: it asks for nothing, and locks nothing.
//!
//! Layer: jobs.
//
// Where a job goes:
//
// | step | from | to |
// | --- | --- | --- |
// | `new` | | ready; scheduled, if it is due later; in the lane, if it has one |
// | `follow` | it is new | following |
// | `parent_has_ended` | following | following; as a new one, after the last parent; ended |
// | `become_ready` | scheduled | ready; in the lane, if it has one and has not taken it |
// | `take_lane` | in the lane | ready |
// | `replace` | following | following |
// | | in the lane, scheduled, ready, not claimed yet | as a new one |
// | `begin` | ready | running |
// | `judge` | running; ready, if its session was lost | ended, scheduled or ready, by the verdict |
// | `lose_worker` | running | ready; dead after one crash too many |
// | `give_back`, `leave_session` | running | ready |
// | `end` | all but ended | ended |
// | `wait`, in place of scheduled or ready | running | ended, if it is to be cancelled |
// | `forget` | ended | forgotten |
// | `revive` | ended | ready; in the lane, if it has one |
//
// A job that has ended stays in the table until `until`. If that is not after the end, it leaves
// the table at once. If jobs live then that follow it, it stays for them: it is forgotten, and is
// seen by nothing else.
//
// `has_lane` is set from `take_lane` to the end, so a job also has its lane while it is scheduled
// for another attempt. A job that is scheduled and has never begun has no lane.

use crate::jobs::{Due, JobId, NewJob, Outcome, SessionId, StoredTime, Verdict, cut_error};
use std::collections::BTreeSet;
use std::time::Duration;

/// Dead jobs are kept for so long.
const DEAD_KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// An outcome is kept for at least so long if a caller watched the job before its end.
const WATCHED_KEPT: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
pub(super) struct Job {
    /// `after` has each job once, and is empty when this job has ended.
    pub(super) new: NewJob,
    pub(super) state: State,
    /// No other job of its lane may begin.
    pub(super) has_lane: bool,
    /// The jobs that follow it and live.
    pub(super) children: BTreeSet<JobId>,
    pub(super) enqueued_at: StoredTime,
    pub(super) due_at: StoredTime,
    pub(super) began_at: Option<StoredTime>,
    pub(super) claims: u64,
    pub(super) failures: u32,
    pub(super) crashes: u32,
    pub(super) error: Option<String>,
    /// Its worker is to be asked to stop. A claim after that is asked, too.
    pub(super) is_to_cancel: bool,
    /// A caller has asked for its outcome before the end.
    pub(super) is_watched: bool,
}

#[derive(Clone, Debug)]
pub(super) enum State {
    Following {
        /// Those that have not ended since this job was stored. At least one.
        open: BTreeSet<JobId>,
    },
    /// It would be ready if it had its lane.
    InLane,
    Scheduled,
    Ready {
        /// The lease of the session that ran it has ended. The end that this session may still send
        /// counts until the job is claimed again.
        lost: bool,
    },
    Running {
        session: SessionId,
        /// The exchange that claimed it.
        exchange: u64,
    },
    Ended {
        outcome: Outcome,
        at: StoredTime,
        /// It is forgotten at this time.
        until: StoredTime,
    },
    /// It has ended, and its time to be kept is over. Jobs live that follow it.
    Forgotten {
        outcome: Outcome,
    },
}

impl Job {
    pub(super) fn new(new: NewJob, now: StoredTime) -> Self {
        let mut job = Self {
            state: State::Scheduled,
            has_lane: false,
            children: BTreeSet::new(),
            enqueued_at: now,
            due_at: due_at(new.due, now),
            began_at: None,
            claims: 0,
            failures: 0,
            crashes: 0,
            error: None,
            is_to_cancel: false,
            is_watched: false,
            new,
        };
        job.go_on(now);
        job
    }

    pub(super) fn begin(&mut self, session: SessionId, exchange: u64, now: StoredTime) {
        self.state = State::Running { session, exchange };
        self.claims += 1;
        self.began_at.get_or_insert(now);
    }

    /// Whether an end that names this claim counts.
    pub(super) fn takes_end_of(&self, claim: u64) -> bool {
        let is_open = matches!(
            self.state,
            State::Running { .. } | State::Ready { lost: true }
        );
        is_open && self.claims == claim
    }

    pub(super) fn judge(&mut self, verdict: &Verdict, now: StoredTime) {
        match verdict {
            Verdict::Done { output, keep } => {
                let keep = self.new.keep.or(*keep);
                self.end(Outcome::Done(output.clone()), keep, now);
            }
            Verdict::Retry { after, error } => {
                self.failures = self.failures.saturating_add(1);
                self.error = Some(cut_error(error).to_owned());
                self.wait(State::Scheduled, now + *after, now);
            }
            Verdict::Postponed { after } => self.wait(State::Scheduled, now + *after, now),
            Verdict::Back => self.give_back(now),
            Verdict::Dead { error } => {
                self.failures = self.failures.saturating_add(1);
                self.die(cut_error(error).to_owned(), now);
            }
            Verdict::Cancelled => self.end(Outcome::Cancelled, self.new.keep, now),
        }
    }

    /// It waits again, unless it is to be cancelled. A pause of nothing is one, too: the next
    /// exchange finds that the job is due.
    fn wait(&mut self, state: State, due_at: StoredTime, now: StoredTime) {
        if self.is_to_cancel {
            return self.end(Outcome::Cancelled, self.new.keep, now);
        }
        self.due_at = due_at;
        self.state = state;
    }

    /// The lease of its session has ended.
    pub(super) fn lose_worker(&mut self, now: StoredTime) {
        self.crashes = self.crashes.saturating_add(1);
        if self.new.at_most_once {
            self.die("its worker was lost; at most once".to_owned(), now);
        } else if self.crashes > self.new.max_crashes {
            self.die(format!("its worker was lost {} times", self.crashes), now);
        } else {
            self.wait(State::Ready { lost: true }, self.due_at, now);
        }
    }

    /// It takes its old place, since its id has not changed. Counts as nothing.
    pub(super) fn give_back(&mut self, now: StoredTime) {
        self.wait(State::Ready { lost: false }, self.due_at, now);
    }

    /// Its session is closed. It may have begun.
    pub(super) fn leave_session(&mut self, now: StoredTime) {
        match self.new.at_most_once {
            true => self.die("its session was closed; at most once".to_owned(), now),
            false => self.give_back(now),
        }
    }

    fn die(&mut self, error: String, now: StoredTime) {
        self.error = Some(error.clone());
        let keep = self.new.keep.unwrap_or_default().max(DEAD_KEPT);
        self.end(Outcome::Dead(error), Some(keep), now);
    }

    pub(super) fn expire(&mut self, now: StoredTime) {
        self.end(Outcome::Expired, self.new.keep, now);
    }

    pub(super) fn end(&mut self, outcome: Outcome, keep: Option<Duration>, now: StoredTime) {
        let least = if self.is_watched {
            WATCHED_KEPT
        } else {
            Duration::ZERO
        };
        self.has_lane = false;
        self.state = State::Ended {
            outcome,
            at: now,
            until: now + keep.unwrap_or_default().max(least),
        };
    }

    /// From now on those that follow it know its outcome, and nothing else does.
    pub(super) fn forget(&mut self) {
        if let State::Ended { outcome, .. } = &self.state {
            let outcome = outcome.clone();
            self.state = State::Forgotten { outcome };
        }
    }

    /// A dead job is due anew.
    pub(super) fn revive(&mut self, now: StoredTime) {
        self.become_ready();
        self.due_at = now;
        self.failures = 0;
        self.crashes = 0;
        self.is_to_cancel = false;
    }
}

pub(super) fn due_at(due: Due, now: StoredTime) -> StoredTime {
    match due {
        Due::Now => now,
        Due::After(delay) => now + delay,
        Due::At(time) => time.max(now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::JobState;

    const NOW: StoredTime = StoredTime(1_000);
    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_secs(60);

    fn running() -> Job {
        let mut job = Job::new(NewJob::new("q", "k", ""), NOW);
        job.begin(SessionId(1), 1, NOW);
        job
    }

    fn done(keep: Option<Duration>) -> Verdict {
        let output = Vec::new();
        Verdict::Done { output, keep }
    }

    #[test]
    fn a_verdict_leads_to_its_state() {
        let (after, error) = (SECOND, || "no".to_owned());
        let retry = Verdict::Retry {
            after,
            error: error(),
        };
        for (verdict, state, failures) in [
            (done(None), JobState::Done, 0),
            (retry, JobState::Scheduled, 1),
            (Verdict::Postponed { after }, JobState::Scheduled, 0),
            (Verdict::Back, JobState::Ready, 0),
            (Verdict::Dead { error: error() }, JobState::Dead, 1),
            (Verdict::Cancelled, JobState::Cancelled, 0),
        ] {
            let mut lost = running();
            lost.lose_worker(NOW);
            for mut job in [running(), lost] {
                assert!(job.takes_end_of(1) && !job.takes_end_of(0));
                job.judge(&verdict, NOW);
                assert_eq!((job.state(), job.failures), (state, failures));
                assert!(!job.takes_end_of(1), "after {verdict:?}");
            }
        }
    }

    #[test]
    fn an_outcome_is_kept_as_long_as_the_job_or_else_the_verdict_says() {
        let dead = || Verdict::Dead {
            error: String::new(),
        };
        let month = DEAD_KEPT;
        for (of_job, verdict, is_watched, kept) in [
            (None, done(None), false, Duration::ZERO),
            (None, done(Some(SECOND)), false, SECOND),
            (Some(MINUTE * 2), done(Some(SECOND)), true, MINUTE * 2),
            (Some(SECOND), done(Some(MINUTE)), false, SECOND),
            (None, done(Some(SECOND)), true, MINUTE),
            (None, Verdict::Cancelled, true, MINUTE),
            (Some(SECOND), dead(), false, month),
            (Some(month * 2), dead(), false, month * 2),
        ] {
            let mut job = running();
            job.new.keep = of_job;
            job.is_watched = is_watched;
            job.judge(&verdict, NOW);
            assert!(job.is_forgotten(NOW + kept), "{verdict:?}");
            assert_eq!(job.is_forgotten(NOW), kept == Duration::ZERO);
            let just_before = StoredTime((NOW + kept).0 - 1);
            assert!(!job.is_forgotten(just_before), "{verdict:?}");
        }
    }

    #[test]
    fn one_crash_too_many_is_the_end() {
        for (max_crashes, at_most_once, crashes) in [(0, false, 1), (2, false, 3), (2, true, 1)] {
            let mut job = running();
            job.new.max_crashes = max_crashes;
            job.new.at_most_once = at_most_once;
            while job.state() != JobState::Dead {
                job.lose_worker(NOW);
            }
            assert_eq!(job.crashes, crashes);
        }
    }

    #[test]
    fn a_job_that_has_begun_does_not_expire() {
        let mut new = NewJob::new("q", "k", "");
        new.expires = Some(SECOND);
        let mut job = Job::new(new, NOW);
        assert!(!job.has_expired(StoredTime(1_999)));
        assert!(job.has_expired(StoredTime(2_000)));
        job.begin(SessionId(1), 1, NOW);
        assert!(!job.has_expired(StoredTime(9_000)));
        job.judge(&Verdict::Postponed { after: MINUTE }, NOW);
        assert!(!job.has_expired(StoredTime(i64::MAX)));
    }
}
