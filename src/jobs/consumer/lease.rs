//! The session of a consumer: its times, and what is asked to stop when it ends.
//!
//! Layer: jobs.

use crate::CancelToken;
use crate::cancel::{CancelGuard, CancelReason};
use crate::jobs::consumer::state::{Held, Shared, State};
use crate::jobs::error::JobsError;
use crate::jobs::id::{JobId, SessionId};
use crate::pool::ServiceHost;
use std::collections::HashSet;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

/// A session that lives, as far as this process knows.
pub(super) struct Session {
    pub(super) times: Times,
    /// What the storage has answered since the last sign of life, if it answered an error.
    pub(super) failing: Option<String>,
    /// What runs is asked to stop when the lease may have ended, also while each thread of the
    /// consumer waits for the storage.
    _at_its_end: CancelGuard,
}

/// The times of a session. They are measured by the clock of this process, and from before the call
/// that gave the lease.
#[derive(Clone)]
pub(super) struct Times {
    pub(super) id: SessionId,
    /// Cancelled when it is time for a sign of life.
    pub(super) heartbeat: CancelToken,
    /// Cancelled when the lease may have ended.
    pub(super) lease: CancelToken,
}

impl Shared {
    /// The times of a session whose lease is given or extended now.
    pub(super) fn times(&self, id: SessionId) -> Times {
        Times {
            id,
            heartbeat: CancelToken::with_timeout(self.lease / 3),
            lease: CancelToken::with_timeout(self.lease),
        }
    }

    pub(super) fn begin_session(self: &Arc<Self>, times: Times) {
        let session = self.hooked(times);
        let last = self.state.lock().session.replace(session);
        drop(last);
        self.signs.notify();
    }

    /// Its lease is longer, if it is the present session.
    pub(super) fn extend_session(self: &Arc<Self>, times: Times) {
        let session = self.hooked(times);
        // What is not used removes its hook, without the lock: that is what a hook takes.
        let _unused = match &mut self.state.lock().session {
            Some(present) if present.times.id == session.times.id => mem::replace(present, session),
            _ => session,
        };
    }

    fn hooked(self: &Arc<Self>, times: Times) -> Session {
        let shared = self.clone();
        Session {
            _at_its_end: times.lease.on_cancel(move |_| shared.cancel_after_lease()),
            times,
            failing: None,
        }
    }

    /// The storage answers errors to its signs of life.
    pub(super) fn set_sign_failed(&self, id: SessionId, error: &JobsError) {
        if let Some(present) = &mut self.state.lock().session {
            if present.times.id == id {
                present.failing = Some(error.to_string());
            }
        }
    }

    /// It is of no use any more. Returns whether it was the present session.
    pub(super) fn end_session(&self, id: SessionId) -> bool {
        let is_it = |session: &mut Session| session.times.id == id;
        let ended = self.state.lock().session.take_if(is_it);
        ended.is_some()
    }

    /// Other consumers may run what this one runs.
    pub(super) fn lose_session(&self, host: &ServiceHost, id: SessionId) {
        let is_it = |session: &mut Session| session.times.id == id;
        let mut state = self.state.lock();
        let lost = state.session.take_if(is_it);
        // Under one lock: the next session may claim at once, and keeps what it claims.
        let tokens = state.tokens(|_| lost.is_some());
        drop(state);
        if lost.is_some() {
            cancel(tokens, CancelReason::Lease);
            self.notifier.notify();
            host.warn("a consumer of jobs has lost its lease: other consumers may run its jobs");
        }
    }

    /// The present session.
    pub(super) fn present_session(&self) -> Option<Times> {
        let state = self.state.lock();
        state.session.as_ref().map(|session| session.times.clone())
    }

    /// Asks those of these jobs to stop that were held: of a job that has come back meanwhile, the
    /// storage does not speak.
    pub(super) fn cancel(&self, jobs: &[JobId], held: &Held, reason: CancelReason) {
        if !jobs.is_empty() {
            let jobs: HashSet<_> = jobs.iter().collect();
            let meant = held.claims.iter().filter(|(id, _)| jobs.contains(id));
            let meant: HashSet<_> = meant.collect();
            self.cancel_where(reason, |claim| meant.contains(claim));
        }
    }

    /// The lease of a session may have ended. If it is that of the present session, and was not
    /// extended meanwhile, other consumers may run what this one runs.
    pub(super) fn cancel_after_lease(&self) {
        let state = self.state.lock();
        let present = state.session.as_ref();
        let left = present.and_then(|session| session.times.lease.remaining());
        let tokens = state.tokens(|_| left == Some(Duration::ZERO));
        drop(state);
        cancel(tokens, CancelReason::Lease);
    }

    fn cancel_where(&self, reason: CancelReason, is_meant: impl Fn(&(JobId, u64)) -> bool) {
        let tokens = self.state.lock().tokens(is_meant);
        cancel(tokens, reason);
    }
}

impl State {
    /// The tokens of those of these claims that run.
    fn tokens(&self, is_meant: impl Fn(&(JobId, u64)) -> bool) -> Vec<CancelToken> {
        let meant = self.running.iter().filter(|(claim, _)| is_meant(claim));
        meant.map(|(_, running)| running.token.clone()).collect()
    }
}

/// With no lock held: hooks of the tokens may end tasks, which takes it.
fn cancel(tokens: Vec<CancelToken>, reason: CancelReason) {
    for token in tokens {
        token.cancel_with(reason);
    }
}
