//! The signs of life of a consumer.
//!
//! Layer: jobs.
//
// They have a thread of their own, so that no exchange that takes long, and no handler, costs the
// lease. A sign of life also brings the cancellations, so there is one at once when the storage
// says that there is something to cancel.

use crate::cancel::CancelReason;
use crate::jobs::consumer::lease::Times;
use crate::jobs::consumer::state::Shared;
use crate::jobs::error::JobsError;
use crate::jobs::session::Heartbeat;
use crate::pool::{Phase, Service, ServiceHost};
use std::sync::Arc;
use std::time::Duration;

/// Between two signs of life there is at least this time: a notification may be for nothing.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause after an error, unless the lease asks for a shorter one.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The service.
pub(super) struct Heartbeats(pub(super) Arc<Shared>);

impl Service for Heartbeats {
    fn name(&self) -> &str {
        "heartbeat"
    }

    fn run(&self, host: &ServiceHost) {
        let shared = &self.0;
        let shortest = SHORTEST_PAUSE.min(shared.lease / 10);
        let mut pause = shortest;
        let mut is_notified = false;
        while !shared.over.is_cancelled() {
            let listening = shared.signs.listen();
            // Without this thread each lease ends, so a storage that panics does not end it.
            let signed = host.catch_panic("a sign of life of a consumer of jobs", || {
                self.sign(host, is_notified)
            });
            if let Some(Ok(rest)) = signed {
                pause = shortest;
                let _ = shared.over.wait_timeout(shortest);
                is_notified = listening.wait_timeout(rest) == Ok(true);
                continue;
            }
            if let (Some(Err(error)), true) = (signed, pause == shortest) {
                host.warn(&format!(
                    "a consumer of jobs cannot show a sign of life (logged once): {error}"
                ));
            }
            pause = (2 * pause).min(LONGEST_PAUSE).min(shared.lease / 6);
            // Not the notifier: a cancel is no reason to try more often. What this was notified of
            // is asked for by the next attempt.
            let _ = shared.over.wait_timeout(shortest + pause);
        }
    }

    /// It goes on until the consumer has stopped.
    fn phase_changed(&self, _: Phase) {}
}

impl Heartbeats {
    /// Shows a sign of life if it is time for one, or if the session was notified. Returns how long
    /// there is none to show. A new session has one at once: what is cancelled before this thread
    /// listens again is in its answer.
    fn sign(&self, host: &ServiceHost, is_notified: bool) -> Result<Duration, JobsError> {
        let shared = &self.0;
        let Some(present) = shared.present_session() else {
            return Ok(Duration::MAX);
        };
        if is_notified || present.heartbeat.remaining() == Some(Duration::ZERO) {
            show(shared, host, &present)?;
        }
        // From before the call: one that took long is followed by the next one the sooner.
        let present = shared.present_session();
        let rest = present.and_then(|present| present.heartbeat.remaining());
        Ok(rest.unwrap_or(Duration::MAX))
    }
}

/// Shows a sign of life, and does what the answer says.
pub(super) fn show(
    shared: &Arc<Shared>,
    host: &ServiceHost,
    present: &Times,
) -> Result<(), JobsError> {
    // First of all: this process may have been stopped for long, and another one may run its jobs.
    if present.lease.is_cancelled() {
        shared.cancel_after_lease();
    }
    let id = present.id;
    let next = shared.times(id);
    let held = shared.held();
    let ids: Vec<_> = held.claims.iter().map(|(id, _)| *id).collect();
    let pulse = shared.jobs.storage().heartbeat(&Heartbeat {
        session: id,
        lease: shared.lease,
        settled: held.settled,
        held: &ids,
    });
    let pulse = pulse.inspect_err(|error| shared.set_sign_failed(id, error))?;
    shared.cancel(&pulse.lost, &held, CancelReason::Lease);
    shared.cancel(&pulse.cancel, &held, CancelReason::User);
    match pulse.alive {
        true => shared.extend_session(next),
        false => shared.lose_session(host, id),
    }
    Ok(())
}
