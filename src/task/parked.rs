//! A task in the lines of its gates, and the alarm of a gate in the timer of its pool.
//!
//! Layer: task.

use crate::clock::later;
use crate::limit::{GateQueue, PATIENCE, Waiter};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::waiter::ClockWaiter;
use crate::task::options::{Position, Progress};
use crate::task::pool::{Rank, TaskPool};
use crate::task::task::{Task, TaskRef};
use std::sync::{Arc, Weak};
use std::time::Instant;

/// A task in the lines of its gates.
pub(crate) struct Parked {
    pub(crate) task: TaskRef,
    pub(crate) pool: Arc<dyn TaskPool>,
}

impl Waiter for Parked {
    fn granted(self: Arc<Self>) {
        let head = &self.task.head;
        let of = |progress: &mut Progress, _| {
            if let Some(is_granted) = &mut progress.held {
                *is_granted = true;
                return None;
            }
            let rank = match progress.rank() {
                Rank::Priority(_) => Rank::Front(progress.order),
                inner => inner,
            };
            Some((progress.order, rank))
        };
        let Some((order, rank)) = head.progress(of).flatten() else {
            return;
        };
        // Unless a shutdown has taken it, it was cancelled, or another of its gates was faster.
        if self.pool.unparked(order) && head.move_to(Position::Queue) {
            self.pool.ready(self.task.clone(), rank, None);
        }
    }

    fn is_ready(&self) -> bool {
        self.pool.has_idle_worker()
    }

    fn alarm(&self, gate: &Arc<GateQueue>) -> Option<Arc<dyn ClockWaiter>> {
        Some(Arc::new(GateAlarm {
            gate: Arc::downgrade(gate),
            pool: Arc::downgrade(&self.pool),
            has_fired: AtomicBool::new(false),
        }))
    }

    fn set_alarm(&self, at: Option<Instant>, alarm: Option<&Arc<dyn ClockWaiter>>) {
        let at = at.unwrap_or_else(|| later(self.pool.now(), PATIENCE));
        if let Some(alarm) = alarm {
            self.pool.alarm_at(at, Arc::downgrade(alarm));
        }
    }
}

impl Task {
    /// The task is held at its gates no more.
    pub(super) fn end_hold(self: &TaskRef) {
        let granted = self.head.progress(|progress, _| {
            let is_granted = progress.held.take() == Some(true);
            is_granted.then(|| progress.pool.clone())
        });
        if let Some(pool) = granted.flatten() {
            let task = self.clone();
            Arc::new(Parked { task, pool }).granted();
        }
    }
}

/// The alarm of a gate in the timer of a pool. The gate holds it, and the timer has a weak
/// reference.
struct GateAlarm {
    gate: Weak<GateQueue>,
    pool: Weak<dyn TaskPool>,
    /// Written by the timer's thread, and read by the thread that drops the alarm.
    has_fired: AtomicBool,
}

impl ClockWaiter for GateAlarm {
    fn wake(self: Arc<Self>) {
        self.has_fired.store(true, Ordering::Relaxed);
        if let Some(gate) = self.gate.upgrade() {
            gate.alarm_fires();
        }
    }
}

impl Drop for GateAlarm {
    fn drop(&mut self) {
        if !self.has_fired.load(Ordering::Relaxed) {
            if let Some(pool) = self.pool.upgrade() {
                pool.stale(1);
            }
        }
    }
}
