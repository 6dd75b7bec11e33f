//! What other threads can reach of a worker, and what it has released its run slot for.

use crate::id::TaskId;
use crate::pool::core::Core;
use crate::pool::mailbox::Mailbox;
use crate::pool::slot_counts::Wait;
use crate::pool::spares::RunSlots;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::task::current::Stack;
use std::sync::Arc;

/// What other threads can reach of a worker: its mail, what it runs, and whether it has its run
/// slot.
pub(crate) struct WorkerState {
    /// The bodies on its stack.
    pub(crate) stack: Arc<Stack>,
    pub(crate) mail: Mailbox,
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

    fn has_slot(&self) -> bool {
        self.revoked.is_empty() && self.waits.last().is_none_or(|wait| wait.is_over)
    }
}

struct Waiting {
    /// `None` if a wait that it is within counts in its place.
    wait: Option<Wait>,
    /// Whether the run slot was released for this wait.
    had_slot: bool,
    /// Whether the thread that ends the wait has taken the run slot back.
    is_over: bool,
}

/// How a body counts that runs on though its time is over.
const HUNG: Wait = Wait::Other(0);

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
            is_revoked: AtomicBool::new(false),
            waits: Mutex::new(WaitStack::default()),
        }
    }

    /// Whether the innermost body has its run slot.
    pub(crate) fn has_slot(&self) -> bool {
        self.waits.lock().has_slot()
    }

    /// A wait begins. Releases the run slot if the body has it.
    pub(crate) fn wait_begins(&self, wait: Wait, run_slots: &RunSlots) {
        let mut waits = self.waits.lock();
        let had_slot = waits.has_slot();
        let wait = match wait {
            // What it waits within counts.
            Wait::Moment(_) | Wait::Permit | Wait::Other(_) if !had_slot => None,
            Wait::Moment(height) => Some(waits.doze(self.stack.top_id(), height)),
            wait => Some(wait),
        };
        let is_over = false;
        waits.waits.push(Waiting {
            wait,
            had_slot,
            is_over,
        });
        match wait {
            Some(wait) if had_slot => run_slots.release(wait),
            Some(wait) => run_slots.wait_without_slot(wait, true),
            None => {}
        }
    }

    /// The innermost wait is about to end: takes the run slot back before the system runs the
    /// thread. Returns whether the caller must nudge an idle thread.
    pub(crate) fn wait_is_over(&self, run_slots: &RunSlots) -> bool {
        let mut waits = self.waits.lock();
        let is_revoked = !waits.revoked.is_empty();
        match waits.waits.last_mut() {
            Some(Waiting {
                wait: Some(wait),
                had_slot: true,
                is_over: is_over @ false,
            }) if !is_revoked => {
                *is_over = true;
                run_slots.reacquire(*wait)
            }
            _ => false,
        }
    }

    /// The innermost wait goes on, though its thread was woken. Returns whether the run slot is
    /// released again.
    pub(crate) fn wait_goes_on(&self, run_slots: &RunSlots) -> bool {
        let mut waits = self.waits.lock();
        let is_revoked = !waits.revoked.is_empty();
        match waits.waits.last_mut() {
            // The run slot was revoked meanwhile, which counts in place of the wait.
            Some(wait) if wait.is_over && is_revoked => {
                (wait.wait, wait.is_over) = (None, false);
                false
            }
            Some(Waiting {
                wait: Some(wait),
                is_over: is_over @ true,
                ..
            }) => {
                *is_over = false;
                run_slots.release(*wait);
                true
            }
            _ => false,
        }
    }

    /// Ends the innermost wait. Takes the run slot back if this wait released it and no timed-out
    /// body on this stack has lost it since. Decision and change happen under one lock, as in
    /// `revoke`, so that a run slot is never released or taken twice. Returns whether the caller
    /// must nudge an idle thread.
    pub(crate) fn wait_ends(&self, run_slots: &RunSlots) -> bool {
        let mut waits = self.waits.lock();
        let Some(wait) = waits.waits.pop() else {
            unreachable!("a wait ends as often as one began")
        };
        let Some(kind) = wait.wait.filter(|_| !wait.is_over) else {
            return false;
        };
        if wait.had_slot && waits.revoked.is_empty() {
            return run_slots.reacquire(kind);
        }
        run_slots.wait_without_slot(kind, false);
        if wait.had_slot {
            run_slots.wait_without_slot(HUNG, true);
        }
        false
    }

    /// If the body of `task` is on this stack, the worker loses its run slot. Returns whether it
    /// did.
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
        let had_it = waits.has_slot();
        waits.revoked.push(task);
        if had_it {
            run_slots.release(HUNG);
        }
        had_it
    }

    /// The body of `task` has left the stack. Takes the run slot back if that body had lost it.
    /// Returns whether the caller must nudge an idle thread.
    pub(crate) fn body_left(&self, task: TaskId, run_slots: &RunSlots) -> bool {
        // ORDERING: sequentially consistent, after the stack was changed under its lock; pairs with
        // `revoke`. Either this load sees the flag, or `revoke` does not see the body.
        if !self.is_revoked.load(Ordering::SeqCst) {
            return false;
        }
        let mut waits = self.waits.lock();
        let before = waits.revoked.len();
        waits.revoked.retain(|body| *body != task);
        let regains = before > 0 && waits.revoked.is_empty();
        // ORDERING: with the lock held, so it comes after what `revoke` has stored.
        self.is_revoked
            .store(!waits.revoked.is_empty(), Ordering::SeqCst);
        regains && waits.waits.is_empty() && run_slots.reacquire(HUNG)
    }
}

#[cfg(all(test, loom))]
#[path = "../../tests/loom/workers.rs"]
mod models;
