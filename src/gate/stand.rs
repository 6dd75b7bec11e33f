//! Standing in a gate's line by hand: a thread that waits for its turn.
//!
//! Layer 1. Usable from any thread; on a worker the seat is given up meanwhile.

use crate::gate::claim::{self, Claim, Passage};
use crate::gate::error::AcquireError;
use crate::gate::line::{Gate, Waiter};
use crate::gate::rule::Refusal;
use crate::reason::CancelReason;
use crate::seat;
use crate::sim;
use crate::sync::{Condvar, Mutex};
use crate::wake::Wake;
use std::sync::{Arc, Weak};
use std::time::Instant;

/// A thread in the line.
pub(crate) struct Standing {
    state: Mutex<State>,
    told: Condvar,
}

#[derive(Default)]
struct State {
    called: bool,
    ring_at: Option<Instant>,
    stopped: Option<CancelReason>,
}

impl Standing {
    /// It is to wait no longer.
    pub(crate) fn stop(&self, reason: CancelReason) {
        self.state.lock().stopped = Some(reason);
        self.told.notify_one();
    }
}

impl Waiter for Standing {
    fn called(self: Arc<Self>) {
        self.state.lock().called = true;
        self.told.notify_one();
    }

    fn ring_at(&self, instant: Instant, _: &Arc<Gate>) {
        let mut state = self.state.lock();
        // Two that ring may overtake each other: the earlier one counts, and once too often does no harm.
        state.ring_at = Some(state.ring_at.map_or(instant, |at| at.min(instant)));
        drop(state);
        self.told.notify_one();
    }
}

impl Wake for Standing {
    fn wake(self: Arc<Self>) {
        drop(self.state.lock());
        self.told.notify_one();
    }

    fn what(&self) -> String {
        "its turn at a gate".to_owned()
    }
}

fn not_yet(gate: &Gate, refusal: Refusal) -> AcquireError {
    let wait = match refusal {
        Refusal::Until(instant) => Some(instant.saturating_duration_since(gate.clock().now())),
        Refusal::Later => None,
    };
    AcquireError::NotYet { wait }
}

/// Takes from the gate what `claim` wants, for `order`, if that can be done at once.
pub(crate) fn try_acquire(claim: &Claim, order: u64) -> Result<(), AcquireError> {
    let Claim { gate, weight } = claim;
    gate.try_take(order, *weight).map_err(|refusal| {
        // Asked only now: what passes is not too heavy.
        let limit = gate.heaviest();
        if *weight > limit {
            return AcquireError::TooHeavy {
                weight: *weight,
                limit,
            };
        }
        not_yet(gate, refusal)
    })
}

/// Takes from the gate what `claim` wants, for `order`; waits for it, until `deadline` at most. `watch` is called with
/// the place in the line before the wait, for whoever may want to stop it.
pub(crate) fn acquire<G>(
    claim: &Claim,
    order: u64,
    deadline: Option<Instant>,
    watch: impl FnOnce(&Arc<Standing>) -> G,
) -> Result<(), AcquireError> {
    let gate = &claim.gate;
    sim::pause();
    match try_acquire(claim, order) {
        Err(AcquireError::NotYet { .. }) => {}
        decided => return decided,
    }
    // What cannot come in time is not waited for, and leaves no trace.
    if let (Some(deadline), Refusal::Until(instant)) = (deadline, gate.least_wait(claim.weight)) {
        if instant > deadline {
            return Err(not_yet(gate, Refusal::Until(instant)));
        }
    }
    let me = Arc::new(Standing {
        state: Mutex::new(State::default()),
        told: Condvar::new(),
    });
    let _watch = watch(&me);
    let _left = seat::leave_open();
    let one = std::slice::from_ref(claim);
    let ask = || {
        let waiter: Arc<dyn Waiter> = me.clone();
        claim::claim(one, order, &mut || true, &mut || Some(waiter.clone())) == Passage::Passed
    };
    loop {
        if ask() {
            return Ok(());
        }
        if let Err(end) = me.wait(gate, deadline) {
            if end.is_none() {
                // His turn may come at this very instant, with the head of the line asleep still, or the call on its way.
                gate.ring();
                if ask() {
                    return Ok(());
                }
            }
            claim::forget(one, order);
            return Err(match end {
                Some(reason) => AcquireError::Stopped(reason),
                None => not_yet(gate, gate.least_wait(claim.weight)),
            });
        }
    }
}

impl Standing {
    /// Waits until called; the error is the end of the wait: a request to stop, or the deadline.
    fn wait(
        self: &Arc<Self>,
        gate: &Arc<Gate>,
        deadline: Option<Instant>,
    ) -> Result<(), Option<CancelReason>> {
        let clock = gate.clock_here();
        let mut state = self.state.lock();
        loop {
            if std::mem::take(&mut state.called) {
                return Ok(());
            }
            if let Some(reason) = state.stopped {
                return Err(Some(reason));
            }
            let now = clock.now();
            if state.ring_at.is_some_and(|at| at <= now) {
                state.ring_at = None;
                drop(state);
                gate.ring();
                state = self.state.lock();
                continue;
            }
            if deadline.is_some_and(|at| at <= now) {
                return Err(None);
            }
            let ring_at = state.ring_at;
            let next = match (deadline, ring_at) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
            let me = || {
                let weak: Weak<Self> = Arc::downgrade(self);
                weak as Weak<dyn Wake>
            };
            clock.wait_while(&self.told, &mut state, next, me, |state| {
                !state.called && state.stopped.is_none() && state.ring_at == ring_at
            });
        }
    }
}
