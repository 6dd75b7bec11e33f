//! What other threads can reach of a worker, and what it has released its run slot for.

use crate::id::TaskId;
use crate::pool::core::Core;
use crate::pool::mailbox::Mailbox;
use crate::pool::slot_counts::Wait;
use crate::pool::spares::RunSlots;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::task::stack::Stack;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool as PlainBool, AtomicUsize};

/// What other threads can reach of a worker: its mail, what it runs, and whether it has its run
/// slot.
pub(crate) struct WorkerState {
    /// The bodies on its stack.
    pub(crate) stack: Arc<Stack>,
    pub(crate) mail: Mailbox,
    /// Whether its thread does nothing until the wait is over that it is in.
    // Not the atomics of loom, as the next: no wait depends on them.
    is_settled: PlainBool,
    /// How often it was settled no more.
    turns: AtomicUsize,
    /// Whether its run slot is revoked. Written with `waits` locked.
    is_revoked: AtomicBool,
    waits: Mutex<WaitStack>,
}

/// What a worker has released its run slot for.
#[derive(Default)]
struct WaitStack {
    /// Its waits, the innermost last.
    waits: Vec<Waiting>,
    /// The bodies on its stack whose time is over. While there are any, it has no run slot.
    revoked: Vec<TaskId>,
    /// What it is counted as in the run slots; `None` if it has its run slot.
    counted: Option<Wait>,
    /// The body that slept for a moment last, and how often it did in a row.
    dozer: Option<TaskId>,
    dozes: u32,
}

impl WaitStack {
    /// What a body of this height waits for that sleeps for a moment. If it does so again and
    /// again, it may wait for a task from outside; if it does not stop, that task may need a thread
    /// beyond the bound.
    fn doze(&mut self, body: Option<TaskId>, height: u8) -> Wait {
        if self.dozer != body {
            (self.dozer, self.dozes) = (body, 0);
        }
        self.dozes = self.dozes.saturating_add(1);
        match self.dozes {
            ..=MOST_DOZES => Wait::Moment(height),
            dozes if dozes < ENDLESS_DOZES => Wait::Other(height),
            _ => Wait::Own,
        }
    }

    /// Counts it anew, after a change. Returns of how many idle threads the caller must nudge one.
    fn count(&mut self, run_slots: &RunSlots) -> usize {
        let mut waits = self.waits.iter().rev().filter(|wait| !wait.is_over);
        let counted = match waits.find_map(|wait| wait.wait) {
            // What it waits for may never come, unless that is a task.
            Some(Wait::Own) => Some(Wait::Own),
            _ if !self.revoked.is_empty() => Some(Wait::Hung),
            wait => wait,
        };
        match (mem::replace(&mut self.counted, counted), counted) {
            (None, Some(wait)) => run_slots.release(wait),
            (Some(wait), None) => return run_slots.reacquire(wait),
            (Some(from), Some(to)) if from != to => run_slots.change(from, to),
            _ => {}
        }
        0
    }
}

struct Waiting {
    /// `None` if what it is within counts in its place.
    wait: Option<Wait>,
    /// Whether the thread that ends the wait has said so: the wait does not count any more.
    is_over: bool,
}

/// How often in a row a body keeps its run slot from tasks from outside while it sleeps for a
/// moment.
const MOST_DOZES: u32 = 16;
/// How often in a row makes it a wait for a task: some seconds.
const ENDLESS_DOZES: u32 = 2_000;

impl WorkerState {
    pub(crate) fn new(core: &Arc<Core>, index: usize) -> Self {
        let stack = Stack::new(core.owner(), index, core.clone(), core.options.stack_size);
        Self {
            stack: Arc::new(stack),
            mail: Mailbox::new(),
            is_settled: false.into(),
            turns: 0.into(),
            is_revoked: AtomicBool::new(false),
            waits: Mutex::new(WaitStack::default()),
        }
    }

    /// Whether the innermost body has its run slot.
    pub(crate) fn has_slot(&self) -> bool {
        self.waits.lock().counted.is_none()
    }

    /// What its innermost body has released its run slot for, if it has.
    pub(crate) fn waits(&self) -> Option<Wait> {
        self.waits.lock().counted
    }

    /// Whether the thread is settled in its wait.
    pub(crate) fn settles(&self, is_settled: bool) {
        // ORDERING: sequentially consistent, in this order; pairs with `still_turns`.
        let was = self.is_settled.swap(is_settled, Ordering::SeqCst);
        if was && !is_settled {
            self.turns.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// How often the thread was settled no more, if it is not at work: it waits and is settled, or
    /// it has its run slot, and the parking knows more.
    pub(crate) fn still_turns(&self) -> Option<usize> {
        // ORDERING: pairs with `settles`.
        let is_still = self.has_slot() || self.is_settled.load(Ordering::SeqCst);
        is_still.then(|| self.turns.load(Ordering::SeqCst))
    }

    /// A wait begins. Releases the run slot if the body has it.
    pub(crate) fn wait_begins(&self, wait: Wait, run_slots: &RunSlots) {
        let mut waits = self.waits.lock();
        let wait = match wait {
            Wait::Own => Some(wait),
            // What it has released the run slot for before counts.
            _ if waits.counted.is_some() => None,
            Wait::Moment(height) => Some(waits.doze(self.stack.top_id(), height)),
            _ => Some(wait),
        };
        let is_over = false;
        waits.waits.push(Waiting { wait, is_over });
        self.settles(false);
        waits.count(run_slots);
    }

    /// The innermost wait is about to end. Takes the run slot back before the system runs the
    /// thread, unless something else keeps it released. Returns of how many idle threads the caller
    /// must nudge one.
    pub(crate) fn wait_is_over(&self, run_slots: &RunSlots) -> usize {
        let mut waits = self.waits.lock();
        let Some(wait) = waits.waits.last_mut() else {
            return 0;
        };
        wait.is_over = true;
        waits.count(run_slots)
    }

    /// The innermost wait goes on, though its thread was woken. Returns whether that changes what
    /// the thread is counted as.
    pub(crate) fn wait_goes_on(&self, run_slots: &RunSlots) -> bool {
        let mut waits = self.waits.lock();
        let counted = waits.counted;
        if let Some(wait) = waits.waits.last_mut() {
            wait.is_over = false;
        }
        waits.count(run_slots);
        waits.counted != counted
    }

    /// Ends the innermost wait. Takes the run slot back unless this wait is within another, or a
    /// timed-out body is on this stack. Decision and change happen under one lock, as in `revoke`,
    /// so that a run slot is never released or taken twice. Returns of how many idle threads the
    /// caller must nudge one.
    pub(crate) fn wait_ends(&self, run_slots: &RunSlots) -> usize {
        let mut waits = self.waits.lock();
        let ended = waits.waits.pop();
        self.settles(false);
        debug_assert!(ended.is_some(), "a wait ends as often as one began");
        waits.count(run_slots)
    }

    /// If the body of `task` is on this stack, the worker loses its run slot, and does not count as
    /// one that waits for what comes by itself. Returns whether that is new.
    pub(crate) fn revoke(&self, task: TaskId, run_slots: &RunSlots) -> bool {
        let mut waits = self.waits.lock();
        // ORDERING: sequentially consistent, before the stack is read; pairs with `body_left`.
        self.is_revoked.store(true, Ordering::SeqCst);
        if !self.stack.has(task) {
            // ORDERING: as in `body_left`, with the lock held.
            self.is_revoked
                .store(!waits.revoked.is_empty(), Ordering::SeqCst);
            return false;
        }
        let counted = waits.counted;
        waits.revoked.push(task);
        waits.count(run_slots);
        waits.counted != counted
    }

    /// The body of `task` has left the stack. Takes the run slot back if that body had lost it.
    /// Returns of how many idle threads the caller must nudge one.
    pub(crate) fn body_left(&self, task: TaskId, run_slots: &RunSlots) -> usize {
        // ORDERING: sequentially consistent, after the stack was changed under its lock; pairs with
        // `revoke`. Either this load sees the flag, or `revoke` does not see the body.
        if !self.is_revoked.load(Ordering::SeqCst) {
            return 0;
        }
        let mut waits = self.waits.lock();
        waits.revoked.retain(|body| *body != task);
        // ORDERING: with the lock held, so it comes after what `revoke` has stored.
        self.is_revoked
            .store(!waits.revoked.is_empty(), Ordering::SeqCst);
        waits.count(run_slots)
    }
}

#[cfg(all(test, loom))]
#[path = "../../tests/loom/workers.rs"]
mod models;
