//! A job of the model, and what happens to it.
//!
//! Layer: jobs.

use crate::jobs::{
    Fate, Filter, JobId, JobInfo, JobState, NewJob, Outcome, SessionId, StoredTime, UniqueUntil,
};
use std::time::Duration;

/// Dead jobs are kept for so long.
const KEEP_DEAD: Duration = Duration::from_secs(30 * 86_400);

/// An outcome that was watched is kept for so long.
const KEEP_WATCHED: Duration = Duration::from_secs(60);

/// A job that was stored at some time. It stays here after its end.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) id: JobId,
    pub(crate) new: NewJob,
    pub(crate) state: JobState,
    pub(crate) enqueued_at: StoredTime,
    pub(crate) due_at: StoredTime,
    pub(crate) began_at: Option<StoredTime>,
    pub(crate) ended_at: Option<StoredTime>,
    pub(crate) claims: u64,
    pub(crate) failures: u32,
    pub(crate) crashes: u32,
    pub(crate) error: Option<String>,
    /// The session that runs it, and the number of the exchange in which it was claimed.
    pub(crate) runs_in: Option<(SessionId, u64)>,
    /// The lease of its session has ended since its last claim: its end still counts.
    pub(crate) has_lapsed: bool,
    pub(crate) is_cancel_asked: bool,
    /// How many watch it now.
    pub(crate) watchers: usize,
    /// How it ended. Only of a job that has ended, and that was not removed.
    pub(crate) outcome: Option<Outcome>,
    /// Until when its outcome is kept, if it is.
    pub(crate) kept_until: Option<StoredTime>,
    /// It was removed, or was cancelled as it was stored.
    pub(crate) has_no_key: bool,
}

impl Job {
    pub(crate) fn is_waiting(&self) -> bool {
        use JobState::{Blocked, Ready, Scheduled};
        matches!(self.state, Blocked | Scheduled | Ready)
    }

    pub(crate) fn is_listed(&self) -> bool {
        !self.state.has_ended() || self.kept_until.is_some()
    }

    pub(crate) fn fate(&self) -> Fate {
        match &self.outcome {
            _ if !self.state.has_ended() => Fate::Live(self.state),
            Some(outcome) if self.kept_until.is_some() => Fate::Ended(outcome.clone()),
            _ => Fate::Forgotten,
        }
    }

    /// When it expires, if it does not begin.
    pub(crate) fn expires_at(&self) -> Option<StoredTime> {
        let is_new = self.is_waiting() && self.began_at.is_none();
        let expires = self.new.expires.filter(|_| is_new)?;
        Some(self.due_at + expires)
    }

    pub(crate) fn has_expired(&self, now: StoredTime) -> bool {
        self.expires_at().is_some_and(|at| at <= now)
    }

    /// Whether no other job of its kind gets this key.
    pub(crate) fn holds(&self, kind: &str, key: &str, now: StoredTime) -> bool {
        let Some(unique) = self.new.unique.as_ref().filter(|unique| unique.key == key) else {
            return false;
        };
        self.new.kind == kind
            && !self.has_no_key
            && match unique.until {
                UniqueUntil::Ended => !self.state.has_ended(),
                UniqueUntil::Started => !self.state.has_ended() && self.began_at.is_none(),
                UniqueUntil::Elapsed(time) => now < self.enqueued_at + time,
            }
    }

    pub(crate) fn wait_again(&mut self, state: JobState) {
        self.state = state;
        self.runs_in = None;
        self.has_lapsed = false;
    }

    /// Its worker is lost.
    pub(crate) fn lapse(&mut self, now: StoredTime) {
        self.crashes += 1;
        if self.new.at_most_once || self.crashes > self.new.max_crashes {
            let error = "its worker was lost".to_owned();
            self.error = Some(error.clone());
            self.end(Outcome::Dead(error), None, now);
        } else {
            self.wait_or_end(JobState::Ready, now);
            self.has_lapsed = !self.state.has_ended();
        }
    }

    /// It waits again, unless it is to be cancelled.
    pub(crate) fn wait_or_end(&mut self, state: JobState, now: StoredTime) {
        match self.is_cancel_asked {
            true => self.end(Outcome::Cancelled, None, now),
            false => self.wait_again(state),
        }
    }

    pub(crate) fn end(&mut self, outcome: Outcome, keep: Option<Duration>, now: StoredTime) {
        self.wait_again(outcome.state());
        self.ended_at = Some(now);
        let asked = self.new.keep.or(keep);
        let watched = (self.watchers > 0).then_some(KEEP_WATCHED);
        let keep = match outcome {
            Outcome::Dead(_) => Some(KEEP_DEAD),
            _ => asked.max(watched),
        };
        self.kept_until = keep.map(|keep| now + keep);
        self.outcome = Some(outcome);
    }

    /// Nothing is known of its end any more.
    pub(crate) fn forget(&mut self) {
        (self.outcome, self.kept_until) = (None, None);
    }

    /// A dead one begins anew, by hand: it is due now.
    pub(crate) fn revive(&mut self, now: StoredTime) {
        self.forget();
        self.ended_at = None;
        self.due_at = now;
        self.is_cancel_asked = false;
        (self.failures, self.crashes) = (0, 0);
    }

    pub(crate) fn matches(&self, filter: &Filter, now: StoredTime) -> bool {
        let Filter {
            ids,
            state,
            queue,
            kind,
            ended_before,
            payloads: _,
        } = filter;
        let is_old = |ago: &Duration| self.ended_at.is_some_and(|ended| ended + *ago <= now);
        self.is_listed()
            && ids.as_ref().is_none_or(|ids| ids.contains(&self.id))
            && state.is_none_or(|state| state == self.state)
            && queue.as_ref().is_none_or(|queue| *queue == self.new.queue)
            && kind.as_ref().is_none_or(|kind| *kind == self.new.kind)
            && ended_before.as_ref().is_none_or(is_old)
    }

    pub(crate) fn info(&self, waits_for: usize, with_payload: bool) -> JobInfo {
        let payload = match with_payload {
            true => self.new.payload.clone(),
            false => Vec::new(),
        };
        JobInfo {
            id: self.id,
            queue: self.new.queue.clone(),
            kind: self.new.kind.clone(),
            priority: self.new.priority,
            state: self.state,
            enqueued_at: self.enqueued_at,
            due_at: self.due_at,
            began_at: self.began_at,
            ended_at: self.ended_at,
            claims: self.claims,
            failures: self.failures,
            crashes: self.crashes,
            session: self.runs_in.map(|(session, _)| session),
            lane: self.new.lane.clone(),
            waits_for: waits_for.try_into().unwrap(),
            expires_at: self.expires_at(),
            keep: self.new.keep,
            unique_key: self.new.unique.as_ref().map(|unique| unique.key.clone()),
            max_crashes: self.new.max_crashes,
            at_most_once: self.new.at_most_once,
            error: self.error.clone(),
            meta: self.new.meta.clone(),
            payload,
        }
    }
}
