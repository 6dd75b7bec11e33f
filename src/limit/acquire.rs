//! Acquiring from one gate or from several at once: all of them admit, or nothing is taken from
//! any.
//!
//! Layer: limit.

use crate::limit::gate::{Gate, GateQueue, Notices, Waiter, next_order};
use crate::limit::line::{GateEntry, State};
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
        Locked {
            request: self,
            state: self.gate.lock(),
            refuses: false,
        }
    }
}

/// A task or a thread that asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    pub(crate) order: u64,
    /// The address of its pool, or `THREADS`.
    pub(crate) owner: usize,
    pub(crate) turns: Turns,
}

/// Which of its gates have given a waiter its turn while others refused it, by their place in its
/// requests. Gates beyond the 64th count as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Turns(u64);

impl Turns {
    fn bit(at: usize) -> u64 {
        1 << at.min(63)
    }

    fn has(self, at: usize) -> bool {
        self.0 & Self::bit(at) != 0
    }

    fn add(&mut self, at: usize) {
        self.0 |= Self::bit(at);
    }
}

/// The result of `acquire_all`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Acquisition {
    /// All gates admitted, and something was taken from each.
    Taken,
    /// The waiter is in the lines of the gates that refused.
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
/// `commit`, and takes from all if it returns true. If some refuse, calls `park` with the turns
/// that the waiter has had by now, and puts what it returns into the lines of those that refused.
/// See `gate.rs` about several gates.
///
/// Only one of the two is called, once, and with the gates locked. `commit` returns false and
/// `park` returns `None` if the task was settled meanwhile. Then nothing changes here, and the
/// thread that settled the task withdraws it.
///
/// `now` is by the clock that those of the gates read which are timed: a pool refuses tasks with
/// gates of another clock.
pub(crate) fn acquire_all(
    requests: &[GateRequest],
    asker: Asker,
    now: Instant,
    commit: &mut dyn FnMut() -> bool,
    park: &mut dyn FnMut(Turns) -> Option<Arc<dyn Waiter>>,
) -> Acquisition {
    let mut notices = Notices::default();
    // One gate is the common case, and needs no list.
    let acquisition = match requests {
        [one] => acquire_locked(&mut [one.lock()], asker, now, commit, park, &mut notices),
        _ => {
            let mut locked: Vec<_> = requests.iter().map(GateRequest::lock).collect();
            acquire_locked(&mut locked, asker, now, commit, park, &mut notices)
        }
    };
    notices.send();
    acquisition
}

struct Locked<'a> {
    request: &'a GateRequest,
    state: MutexGuard<'a, State>,
    refuses: bool,
}

fn acquire_locked(
    locked: &mut [Locked<'_>],
    asker: Asker,
    now: Instant,
    commit: &mut dyn FnMut() -> bool,
    park: &mut dyn FnMut(Turns) -> Option<Arc<dyn Waiter>>,
    notices: &mut Notices,
) -> Acquisition {
    let (order, owner) = (asker.order, asker.owner);
    let only_gate = locked.len() == 1;
    for gate in &mut *locked {
        let weight = gate.request.weight;
        let refusal = gate.state.refusal(now, order, owner, weight, only_gate);
        gate.refuses = refusal.is_some();
    }
    let acquisition = if !locked.iter().any(|gate| gate.refuses) {
        if !commit() {
            return Acquisition::Settled;
        }
        for Locked { request, state, .. } in &mut *locked {
            state.remove(order);
            state.rule.take(now, order, request.weight);
        }
        Acquisition::Taken
    } else {
        if !wait_at(locked, asker, park) {
            return Acquisition::Settled;
        }
        Acquisition::Queued
    };
    for Locked { request, state, .. } in &mut *locked {
        if state.has_line() {
            state.grant(&request.gate, now, notices);
        }
    }
    acquisition
}

/// Puts a waiter that some of the gates refuse where it waits. Returns false if the task was
/// settled meanwhile.
fn wait_at(
    locked: &mut [Locked<'_>],
    asker: Asker,
    park: &mut dyn FnMut(Turns) -> Option<Arc<dyn Waiter>>,
) -> bool {
    let Asker {
        order,
        owner,
        mut turns,
    } = asker;
    let had_all = (0..locked.len()).all(|at| turns.has(at));
    let rate_refuses = locked
        .iter()
        .any(|gate| gate.refuses && !gate.request.gate.has_returns());
    for (at, gate) in locked.iter().enumerate() {
        // A gate that refuses what it was about to give has given it to others.
        if !gate.refuses || gate.state.is_granted(order) {
            turns.add(at);
        }
    }
    let Some(waiter) = park(turns) else {
        return false;
    };
    let only_gate = locked.len() == 1;
    for (at, gate) in locked.iter_mut().enumerate() {
        let Locked {
            request,
            state,
            refuses,
        } = gate;
        let weight = request.weight;
        state.remove(order);
        if *refuses {
            let entry = GateEntry {
                owner,
                weight,
                only_gate,
                was_passed: turns.has(at),
                waiter: waiter.clone(),
            };
            state.join_line(order, entry);
        } else if had_all && !(rate_refuses && request.gate.has_returns()) {
            state.keep(order, owner, weight, waiter.clone());
        }
    }
    true
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
