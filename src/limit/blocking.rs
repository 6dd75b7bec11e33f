//! A thread that acquires from a gate, and blocks until it may.
//!
//! Layer: limit. For any thread. A body that waits here releases its run slot meanwhile.

use crate::cancel::blocking::{self, Target};
use crate::clock::{self, Clock, Monitor, earlier, later};
use crate::limit::acquire::{self, Acquisition, Asker, GateRequest, Turns};
use crate::limit::error::AcquireError;
use crate::limit::gate::{GateQueue, Waiter};
use crate::limit::line::{PATIENCE, THREADS};
use crate::limit::rule::Refusal;
use crate::reason::CancelReason;
use crate::sync::waiter::ClockWaiter;
use std::mem;
use std::slice;
use std::sync::Arc;
use std::time::Instant;

/// A thread in the line of a gate. It keeps the alarm of the gate itself.
struct BlockedThread {
    clock: Clock,
    state: Monitor<State>,
}

#[derive(Default)]
struct State {
    granted: bool,
    alarm_at: Option<Instant>,
    stopped: Option<CancelReason>,
}

impl BlockedThread {
    /// Ends the wait: the task that waits was asked to stop.
    fn stop(&self, reason: CancelReason) {
        self.state.lock().stopped = Some(reason);
        self.state.notify_only();
    }

    /// Blocks until granted. The error says why the wait ended before: a request to stop, or `None`
    /// for the deadline.
    fn wait(
        &self,
        gate: &Arc<GateQueue>,
        deadline: Option<Instant>,
    ) -> Result<(), Option<CancelReason>> {
        let clock = &self.clock;
        let mut state = self.state.lock();
        loop {
            if mem::take(&mut state.granted) {
                return Ok(());
            }
            if let Some(reason) = state.stopped {
                return Err(Some(reason));
            }
            let now = clock.now();
            if state.alarm_at.is_some_and(|at| at <= now) {
                state.alarm_at = None;
                drop(state);
                gate.alarm_fires();
                state = self.state.lock();
                continue;
            }
            if deadline.is_some_and(|at| at <= now) {
                return Err(None);
            }
            let alarm_at = state.alarm_at;
            let next = earlier(deadline, alarm_at);
            let mut blocked = |state: &mut State| {
                !state.granted && state.stopped.is_none() && state.alarm_at == alarm_at
            };
            let what = "its turn at a gate";
            self.state
                .wait_while(&mut state, clock, next, &what, &mut blocked);
        }
    }
}

impl Waiter for BlockedThread {
    fn granted(self: Arc<Self>) {
        self.state.lock().granted = true;
        self.state.notify_only();
    }

    fn is_ready(&self) -> bool {
        true
    }

    fn alarm(&self, _: &Arc<GateQueue>) -> Option<Arc<dyn ClockWaiter>> {
        None
    }

    fn set_alarm(&self, at: Option<Instant>, _: Option<&Arc<dyn ClockWaiter>>) {
        let at = at.unwrap_or_else(|| later(self.clock.now(), PATIENCE));
        let mut state = self.state.lock();
        // Two calls may overtake each other. The earlier instant counts: to ask too often is
        // harmless.
        state.alarm_at = earlier(state.alarm_at, Some(at));
        drop(state);
        self.state.notify_only();
    }
}

fn not_yet(gate: &GateQueue, refusal: Refusal) -> AcquireError {
    let wait = match refusal {
        Refusal::Until(instant) => Some(instant.saturating_duration_since(gate.clock().now())),
        Refusal::Later => None,
    };
    AcquireError::NotYet { wait }
}

/// Takes what `request` asks for if that can be done now.
pub(crate) fn try_acquire(request: &GateRequest, order: u64) -> Result<(), AcquireError> {
    let &GateRequest { ref gate, weight } = request;
    gate.try_take(order, weight).map_err(|refusal| {
        // Asked only here: a weight that was granted is not too heavy.
        let limit = gate.max_weight();
        if weight > limit {
            return AcquireError::TooHeavy { weight, limit };
        }
        not_yet(gate, refusal)
    })
}

/// Takes what `request` asks for. Blocks until then, until `deadline`, or until the task that runs
/// here is asked to stop.
pub(crate) fn acquire(
    request: &GateRequest,
    order: u64,
    deadline: Option<Instant>,
) -> Result<(), AcquireError> {
    let gate = &request.gate;
    clock::pause();
    match try_acquire(request, order) {
        Err(AcquireError::NotYet { .. }) => {}
        decided => return decided,
    }
    // A thread that cannot be granted before its deadline does not join the queue.
    if let (Some(deadline), Refusal::Until(instant)) = (deadline, gate.min_wait(request.weight)) {
        if instant > deadline {
            return Err(not_yet(gate, Refusal::Until(instant)));
        }
    }
    let me = Arc::new(BlockedThread {
        clock: gate.wait_clock(),
        state: Monitor::new(State::default()),
    });
    let _hook = blocking::token_unless_unwinding().map(|token| {
        let me = me.clone();
        token.on_cancel_light(move |reason| me.stop(reason))
    });
    let _blocking = blocking::begin_for(Target::Permit);
    let requests = slice::from_ref(request);
    let asker = Asker {
        order,
        owner: THREADS,
        turns: Turns::default(),
    };
    let ask = || {
        let mut park = |_| Some(me.clone() as Arc<dyn Waiter>);
        let now = gate.now();
        acquire::acquire_all(requests, asker, now, &mut || true, &mut park) == Acquisition::Taken
    };
    loop {
        if ask() {
            return Ok(());
        }
        if let Err(end) = me.wait(gate, deadline) {
            if end.is_none() {
                // The thread may be admitted at the instant of its deadline, while the head of
                // the queue still sleeps, or before the notice has reached it.
                gate.recheck();
                if ask() {
                    return Ok(());
                }
            }
            acquire::withdraw(requests, order);
            return Err(match end {
                Some(reason) => AcquireError::Stopped(reason),
                None => not_yet(gate, gate.min_wait(request.weight)),
            });
        }
    }
}
