//! What one sees of a job. Nothing here changes it.
//!
//! Layer: jobs.

use super::job::{Job, State};
use crate::jobs::{
    Claimed, Filter, JobId, JobInfo, JobState, Outcome, SessionId, StoredTime, UniqueUntil,
};

impl Job {
    /// Whether it has its unique key, as far as its state decides that and not the time.
    pub(super) fn holds_key(&self) -> bool {
        let has_ended = self.has_ended();
        match self.new.unique.as_ref().map(|unique| unique.until) {
            Some(UniqueUntil::Ended) => !has_ended,
            Some(UniqueUntil::Started) => !has_ended && self.began_at.is_none(),
            Some(UniqueUntil::Elapsed(_)) | None => false,
        }
    }

    /// When it ends if it has not begun. A job that has begun once does not expire.
    pub(super) fn expires_at(&self) -> Option<StoredTime> {
        let may_expire = self.is_waiting() && self.began_at.is_none();
        let expires = self.new.expires.filter(|_| may_expire);
        expires.map(|expires| self.due_at + expires)
    }

    pub(super) fn has_expired(&self, now: StoredTime) -> bool {
        self.expires_at()
            .is_some_and(|expires_at| expires_at <= now)
    }

    /// Whether its time to be kept is over. No sweep has removed it, or jobs live that follow it.
    pub(super) fn is_forgotten(&self, now: StoredTime) -> bool {
        match self.state {
            State::Ended { until, .. } => until <= now,
            State::Forgotten { .. } => true,
            _ => false,
        }
    }

    /// Whether a new job that follows it gets to know its outcome, if it has one.
    pub(super) fn is_known(&self, now: StoredTime) -> bool {
        !self.is_forgotten(now) || !self.children.is_empty()
    }

    /// Whether its time is over, and no job lives any more that follows it.
    pub(super) fn is_kept_for_none(&self) -> bool {
        matches!(self.state, State::Forgotten { .. }) && self.children.is_empty()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.outcome().is_some()
    }

    pub(super) fn is_waiting(&self) -> bool {
        match self.state {
            State::Following { .. } | State::InLane | State::Scheduled | State::Ready { .. } => {
                true
            }
            State::Running { .. } | State::Ended { .. } | State::Forgotten { .. } => false,
        }
    }

    pub(super) fn outcome(&self) -> Option<&Outcome> {
        match &self.state {
            State::Ended { outcome, .. } | State::Forgotten { outcome } => Some(outcome),
            _ => None,
        }
    }

    pub(super) fn state(&self) -> JobState {
        match &self.state {
            State::Following { .. } | State::InLane => JobState::Blocked,
            State::Scheduled => JobState::Scheduled,
            State::Ready { .. } => JobState::Ready,
            State::Running { .. } => JobState::Running,
            State::Ended { outcome, .. } | State::Forgotten { outcome } => outcome.state(),
        }
    }

    pub(super) fn session(&self) -> Option<SessionId> {
        match self.state {
            State::Running { session, .. } => Some(session),
            _ => None,
        }
    }

    fn ended_at(&self) -> Option<StoredTime> {
        match self.state {
            State::Ended { at, .. } => Some(at),
            _ => None,
        }
    }

    /// Whether a filter means it. The ids of the filter are not looked at.
    pub(super) fn is_meant(&self, filter: &Filter, now: StoredTime) -> bool {
        let is_name = |wanted: &Option<String>, name| wanted.as_ref().is_none_or(|it| it == name);
        let is_old = |least| {
            let ended_at = self.ended_at();
            ended_at.is_some_and(|at| now.since(at) >= least)
        };
        filter.state.is_none_or(|state| state == self.state())
            && is_name(&filter.queue, &self.new.queue)
            && is_name(&filter.kind, &self.new.kind)
            && filter.ended_before.is_none_or(is_old)
            && !self.is_forgotten(now)
    }

    pub(super) fn claimed(&self, id: JobId) -> Claimed {
        Claimed {
            id,
            claim: self.claims,
            kind: self.new.kind.clone(),
            queue: self.new.queue.clone(),
            priority: self.new.priority,
            at_most_once: self.new.at_most_once,
            failures: self.failures,
            crashes: self.crashes,
            enqueued_at: self.enqueued_at,
            began_at: self.began_at.unwrap_or_default(),
            error: self.error.clone(),
            meta: self.new.meta.clone(),
            payload: self.new.payload.clone(),
        }
    }

    pub(super) fn info(&self, id: JobId, with_payload: bool) -> JobInfo {
        JobInfo {
            id,
            queue: self.new.queue.clone(),
            kind: self.new.kind.clone(),
            priority: self.new.priority,
            state: self.state(),
            enqueued_at: self.enqueued_at,
            due_at: self.due_at,
            began_at: self.began_at,
            ended_at: self.ended_at(),
            claims: self.claims,
            failures: self.failures,
            crashes: self.crashes,
            session: self.session(),
            lane: self.new.lane.clone(),
            waits_for: match &self.state {
                State::Following { open } => u32::try_from(open.len()).unwrap_or(u32::MAX),
                _ => 0,
            },
            expires_at: self.expires_at(),
            keep: self.new.keep,
            unique_key: self.new.unique.as_ref().map(|unique| unique.key.clone()),
            max_crashes: self.new.max_crashes,
            at_most_once: self.new.at_most_once,
            error: self.error.clone(),
            meta: self.new.meta.clone(),
            payload: match with_payload {
                true => self.new.payload.clone(),
                false => Vec::new(),
            },
        }
    }
}
