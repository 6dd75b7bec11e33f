//! Sessions and their leases.
//!
//! Layer: jobs.

use super::job::State;
use super::table::Table;
use crate::jobs::{
    Heartbeat, JobId, JobState, JobsError, JobsErrorKind, Pulse, Session, SessionId, SessionInfo,
    StoredTime,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

#[derive(Debug, Default)]
pub(super) struct Sessions {
    last_id: u64,
    open: BTreeMap<SessionId, Open>,
    leases: BTreeSet<(StoredTime, SessionId)>,
}

#[derive(Debug)]
struct Open {
    info: SessionInfo,
    lease_until: StoredTime,
    /// The number of its last exchange.
    exchange: u64,
}

/// What became of the jobs of sessions whose leases have ended.
#[derive(Debug, Default)]
pub(super) struct Lapsed {
    pub(super) sessions: u64,
    pub(super) returned: u64,
    pub(super) dead: u64,
}

impl Sessions {
    pub(super) fn open(&mut self, info: SessionInfo, lease_until: StoredTime) -> SessionId {
        self.last_id += 1;
        let id = SessionId(self.last_id);
        self.leases.insert((lease_until, id));
        let open = Open {
            info,
            lease_until,
            exchange: 0,
        };
        self.open.insert(id, open);
        id
    }

    /// Returns whether there is such a session.
    fn extend(&mut self, id: SessionId, lease_until: StoredTime) -> bool {
        let Some(open) = self.open.get_mut(&id) else {
            return false;
        };
        self.leases.remove(&(open.lease_until, id));
        self.leases.insert((lease_until, id));
        open.lease_until = lease_until;
        true
    }

    fn close(&mut self, id: SessionId) {
        if let Some(open) = self.open.remove(&id) {
            self.leases.remove(&(open.lease_until, id));
        }
    }

    /// Refuses an exchange that is not after the last one of its session.
    pub(super) fn count(&mut self, id: SessionId, number: u64) -> Result<(), JobsError> {
        match self.open.get_mut(&id) {
            Some(open) if number <= open.exchange => Err(JobsError::new(
                JobsErrorKind::Stale,
                format!(
                    "exchange {number} of session {id} came after its exchange {}",
                    open.exchange
                ),
            )),
            Some(open) => {
                open.exchange = number;
                Ok(())
            }
            None => Ok(()),
        }
    }

    pub(super) fn contains(&self, id: SessionId) -> bool {
        self.open.contains_key(&id)
    }

    pub(super) fn has_lapsed(&self, now: StoredTime) -> bool {
        self.first_lapsed(now).is_some()
    }

    fn first_lapsed(&self, now: StoredTime) -> Option<SessionId> {
        let first = self.leases.first().filter(|(until, _)| *until <= now);
        first.map(|(_, id)| *id)
    }
}

impl Table {
    pub(super) fn heartbeat(&mut self, sign: &Heartbeat<'_>, now: StoredTime) -> Pulse {
        let Heartbeat {
            session,
            lease,
            settled,
            held,
        } = *sign;
        let mut pulse = Pulse {
            alive: self.sessions.extend(session, now + lease),
            ..Pulse::default()
        };
        let known: BTreeSet<JobId> = held.iter().copied().collect();
        for id in self.index.running_of(session) {
            if !known.contains(&id) && self.was_claimed_by(id, settled) {
                self.change(id, now, |job| job.give_back(now));
                pulse.given_back += 1;
            }
        }
        for id in held {
            match self.jobs.get(id) {
                Some(job) if job.session() == Some(session) => {
                    pulse.cancel.extend(job.is_to_cancel.then_some(*id));
                }
                _ => pulse.lost.push(*id),
            }
        }
        pulse
    }

    /// Whether a running job was claimed in an exchange up to this one.
    fn was_claimed_by(&self, id: JobId, settled: u64) -> bool {
        let state = self.jobs.get(&id).map(|job| &job.state);
        matches!(state, Some(State::Running { exchange, .. }) if *exchange <= settled)
    }

    /// Returns how many jobs of the session are ready again.
    pub(super) fn close_session(&mut self, session: SessionId, now: StoredTime) -> u64 {
        self.sessions.close(session);
        let running = self.index.running_of(session);
        let mut ready = 0;
        for id in &running {
            let state = self.change(*id, now, |job| {
                job.leave_session(now);
                job.state()
            });
            ready += u64::from(state == Some(JobState::Ready));
        }
        ready
    }

    /// Ends at most so many sessions whose leases are over.
    pub(super) fn end_leases(&mut self, most: usize, now: StoredTime) -> Lapsed {
        let mut lapsed = Lapsed::default();
        while lapsed.sessions < most as u64 {
            let Some(session) = self.sessions.first_lapsed(now) else {
                break;
            };
            self.sessions.close(session);
            lapsed.sessions += 1;
            for id in self.index.running_of(session) {
                self.totals.crashed += 1;
                let state = self.change(id, now, |job| {
                    job.lose_worker(now);
                    job.state()
                });
                match state {
                    Some(JobState::Dead) => lapsed.dead += 1,
                    Some(JobState::Ready) => lapsed.returned += 1,
                    _ => {}
                }
            }
        }
        lapsed
    }

    pub(super) fn open_session(
        &mut self,
        info: &SessionInfo,
        lease: Duration,
        now: StoredTime,
    ) -> SessionId {
        self.sessions.open(info.clone(), now + lease)
    }

    pub(super) fn list_sessions(&self) -> Vec<Session> {
        let all = self.sessions.open.iter();
        all.map(|(id, open)| Session {
            id: *id,
            lease_until: open.lease_until,
            running: self.index.running.get(id).map_or(0, |ids| ids.len() as u64),
            info: open.info.clone(),
        })
        .collect()
    }
}
