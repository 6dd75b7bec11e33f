//! Acquiring from one gate or from several at once: all of them admit, or nothing is taken from
//! any.
//!
//! Layer: limit.

use crate::limit::gate::{Gate, GateEntry, GateQueue, Notices, State, Waiter, next_order};
use crate::sync::MutexGuard;
use std::sync::Arc;
use std::time::Instant;

/// What a task or a thread asks of one gate.
#[derive(Clone, Debug)]
pub(crate) struct GateRequest {
    pub(crate) gate: Arc<GateQueue>,
    pub(crate) weight: u32,
}

impl GateRequest {
    pub(crate) fn new(gate: &impl Gate) -> Self {
        let (gate, weight) = gate.queue();
        Self {
            gate: gate.clone(),
            weight,
        }
    }

    fn lock(&self) -> Locked<'_> {
        (self, self.gate.lock())
    }
}

/// The result of `acquire_all`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Acquisition {
    /// All gates admitted, and something was taken from each.
    Taken,
    /// The waiter is in the queue of the first gate that refused.
    Queued,
    /// The task was settled meanwhile.
    Settled,
}

/// Draws the number of a task that will ask these gates, and enters it where a gate keeps the order
/// from the start.
pub(crate) fn enter(requests: &[GateRequest]) -> u64 {
    let fifo = requests.iter().filter(|request| request.gate.is_fifo());
    // The number is drawn under all the locks, so that the order is the same at all these gates.
    let mut locked: Vec<_> = fifo.map(|request| request.gate.lock()).collect();
    let order = next_order();
    locked.iter_mut().for_each(|state| state.rule.enter(order));
    order
}

/// Asks all gates of `requests`: at least one, sorted by id, none twice. If all admit, calls
/// `commit`, and takes from all if it returns true. If one refuses, calls `park`, and puts the
/// waiter that it returns into the queue of the first gate that refused.
///
/// Only one of the two is called, once, and with the gates locked. `commit` returns false and
/// `park` returns `None` if the task was settled meanwhile. Then nothing changes here, and the
/// thread that settled the task withdraws it.
///
/// `now` is by the clock that those of the gates read which are timed: a pool refuses tasks with
/// gates of another clock.
pub(crate) fn acquire_all(
    requests: &[GateRequest],
    order: u64,
    now: Instant,
    commit: &mut dyn FnMut() -> bool,
    park: &mut dyn FnMut() -> Option<Arc<dyn Waiter>>,
) -> Acquisition {
    let mut notices = Notices::default();
    // One gate is the common case, and needs no list.
    let acquisition = match requests {
        [one] => acquire_locked(&mut [one.lock()], order, now, commit, park, &mut notices),
        _ => {
            let mut locked: Vec<_> = requests.iter().map(GateRequest::lock).collect();
            acquire_locked(&mut locked, order, now, commit, park, &mut notices)
        }
    };
    notices.send();
    acquisition
}

type Locked<'a> = (&'a GateRequest, MutexGuard<'a, State>);

fn acquire_locked(
    locked: &mut [Locked<'_>],
    order: u64,
    now: Instant,
    commit: &mut dyn FnMut() -> bool,
    park: &mut dyn FnMut() -> Option<Arc<dyn Waiter>>,
    notices: &mut Notices,
) -> Acquisition {
    let only_gate = locked.len() == 1;
    let refused = locked.iter().position(|(request, state)| {
        let refusal = state.refusal(now, order, request.weight, only_gate);
        refusal.is_some()
    });
    if let Some(at) = refused {
        let Some(waiter) = park() else {
            return Acquisition::Settled;
        };
        let (request, state) = &mut locked[at];
        let weight = request.weight;
        let entry = GateEntry {
            weight,
            only_gate,
            waiter,
        };
        state.remove(order);
        state.join_queue(order, entry);
    } else if !commit() {
        return Acquisition::Settled;
    }
    for (at, (request, state)) in locked.iter_mut().enumerate() {
        if refused.is_none() {
            state.rule.take(now, order, request.weight);
        }
        if refused != Some(at) {
            state.remove(order);
        }
        if !state.queue.is_empty() {
            state.grant(&request.gate, now, notices);
        }
    }
    match refused {
        None => Acquisition::Taken,
        Some(_) => Acquisition::Queued,
    }
}

/// A task or a thread will not ask again: takes it out of all queues, with its reservations, and
/// out of the order of its lanes. A permit that it holds is not returned here, but by
/// [`release`].
pub(crate) fn withdraw(requests: &[GateRequest], order: u64) {
    for request in requests {
        request.gate.change(|state, _| {
            state.remove(order);
            state.rule.release(order, 0, true);
        });
    }
}

/// Returns what was taken. `last`: the task does not run again.
pub(crate) fn release(requests: &[GateRequest], order: u64, last: bool) {
    for request in requests.iter().filter(|request| request.gate.has_returns()) {
        let weight = request.weight;
        let gate = &request.gate;
        gate.change(|state, _| state.rule.release(order, weight, last));
    }
}
