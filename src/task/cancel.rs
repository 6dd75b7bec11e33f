//! Cancelling a task: it settles at once, or its body is asked to stop.
//!
//! Layer: task.

use crate::error::TaskError;
use crate::limit;
use crate::panic;
use crate::reason::CancelReason;
use crate::task::after::After;
use crate::task::body::Part;
use crate::task::head::Locked;
use crate::task::options::Position;
use crate::task::pool::{self, TaskPool};
use crate::task::task::{CancelOutcome, Task, TaskRef, Unrun};
use std::sync::Arc;

/// Keeps a pool from being idle.
struct Held(Arc<dyn TaskPool>);

impl Held {
    fn new(pool: Arc<dyn TaskPool>) -> Self {
        pool.hold_up();
        Self(pool)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.let_go();
    }
}

impl Task {
    pub(crate) fn cancel(&self, reason: CancelReason) -> CancelOutcome {
        let pool = pool::find(self.head.owner);
        // A thread that finds the pool idle finds all events reported.
        let observed = pool.clone().filter(|pool| pool.is_observed());
        let _held = observed.map(Held::new);
        let extras = self.head.extras.lock();
        let unrun = match self.settle_unrun(extras, TaskError::stopped(reason), pool.as_deref()) {
            Ok(unrun) => unrun,
            Err(extras) => {
                let Some(is_first) = self.request_stop(extras, reason) else {
                    return CancelOutcome::AlreadyFinished;
                };
                if let Some(pool) = pool.filter(|_| is_first) {
                    stop_joined(reason, &|| pool.joined_on_top_of(self));
                }
                return CancelOutcome::Requested;
            }
        };
        let uncounted = self.unlink(&unrun);
        if let Some(token) = &unrun.token {
            token.cancel_with(reason);
        }
        self.drop_unrun(unrun.after, reason);
        if let Some(pool) = pool.as_ref().filter(|_| unrun.on_settled.is_listed) {
            pool.unlist(self.head.id());
        }
        let counting = pool.filter(|_| !unrun.is_promise);
        counting
            .into_iter()
            .for_each(|pool| pool.settled(self, unrun.kind));
        self.after_settle(unrun.kind, unrun.on_settled, unrun.drops);
        match uncounted {
            Some(pool) => pool.count_unqueued(),
            None if unrun.is_pinned => {}
            None => self.entry_died().into_iter().for_each(|pool| pool.sweep()),
        }
        CancelOutcome::Settled
    }

    /// Asks a running task to stop. Returns whether this is the first request; `None` if the task
    /// has settled.
    pub(super) fn request_stop(&self, extras: Locked<'_>, reason: CancelReason) -> Option<bool> {
        if self.head.is_settled() {
            return None;
        }
        let is_first = self.head.ask_to_stop(&extras, reason);
        let token = extras.as_ref().and_then(|extras| extras.token.clone());
        drop(extras);
        if let Some(token) = token {
            token.cancel_with(reason);
        }
        Some(is_first)
    }

    /// Drops the closure of a task that will not run, and cancels what only this task continues.
    pub(super) fn drop_unrun(&self, after: Option<Box<After>>, reason: CancelReason) {
        let left = self.body.take(Part::All, None);
        match after {
            None => left.into_iter().for_each(panic::discard_deferred),
            Some(after) => after.abandon(left, reason),
        }
    }

    /// Counts the entry in the run queue of a task that will not be run from there. Returns the
    /// pool, for the caller to sweep the queue.
    pub(crate) fn entry_died(&self) -> Option<Arc<dyn TaskPool>> {
        let pool = pool::find(self.head.owner)?;
        pool.entry_died();
        Some(pool)
    }

    /// Cleans up after a task that was settled before it ran: leaves its gates, and marks its
    /// timer entries dead. Returns the pool if the caller must count the task. Otherwise a queue
    /// entry is left, whose death the caller must count.
    pub(crate) fn unlink(&self, unrun: &Unrun) -> Option<Arc<dyn TaskPool>> {
        let planned = unrun.planned.as_ref()?;
        let pool = planned.pool.clone();
        let options = &planned.options;
        match planned.position {
            Position::Predecessors => {
                pool.settled_before_predecessors(planned.order);
                return Some(pool);
            }
            Position::Queue | Position::Timer { .. } | Position::Gate => {}
        }
        let is_delayed = matches!(planned.position, Position::Timer { .. });
        let entries = usize::from(is_delayed)
            + usize::from(options.expires.is_some() && planned.attempts == 0)
            + usize::from(planned.ends_filed);
        if entries > 0 {
            pool.stale(entries);
        }
        if !options.gates.is_empty() {
            limit::withdraw(&options.gates, planned.order);
        }
        if planned.position == Position::Gate {
            pool.unparked(planned.order);
        }
        (planned.position != Position::Queue).then_some(pool)
    }
}

/// A body that is asked to stop cannot leave what it joins and therefore runs itself. So that is
/// asked to stop as well, and what that joins in turn. `joined` returns these tasks.
pub(super) fn stop_joined(reason: CancelReason, joined: &dyn Fn() -> Vec<TaskRef>) {
    // Again after each round: what a body has begun to run before it was asked is there now. What
    // it begins later is asked by its own thread.
    loop {
        let is_to_stop =
            |task: &TaskRef| task.head.is_running() && task.head.stop_reason().is_none();
        let (to_stop, others): (Vec<_>, Vec<_>) = joined().into_iter().partition(is_to_stop);
        // Their worker may have released them meanwhile.
        panic::discard(others);
        if to_stop.is_empty() {
            return;
        }
        for task in to_stop {
            task.request_stop(task.head.extras.lock(), reason);
            panic::discard(task);
        }
    }
}
