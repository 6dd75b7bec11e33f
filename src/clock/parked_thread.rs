//! A thread that waits by a clock other than the system's: a test's.

use crate::sync::waiter::ClockWaiter;
use parking_lot::{Condvar, Mutex};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

/// A thread that waits by a clock other than the system's.
pub(crate) struct ParkedThread {
    what: String,
    /// What learns that the thread is woken, before it goes on.
    listener: Option<Arc<dyn ClockWaiter>>,
    notified: AtomicBool,
    lock: Mutex<()>,
    changed: Condvar,
}

impl ParkedThread {
    pub(crate) fn new(what: &dyn fmt::Display, listener: Option<Arc<dyn ClockWaiter>>) -> Self {
        Self {
            what: what.to_string(),
            listener,
            notified: AtomicBool::new(false),
            lock: Mutex::new(()),
            changed: Condvar::new(),
        }
    }

    fn notify(&self) {
        // ORDERING: sequentially consistent; pairs with `settle`. For the wait itself relaxed would
        // do: the waiter loads the flag with `lock` held, or, in a simulation, after it was given
        // the turn.
        self.notified.store(true, Ordering::SeqCst);
        if let Some(listener) = &self.listener {
            listener.settles(false);
        }
        drop(self.lock.lock());
        self.changed.notify_one();
    }

    /// From here on only a later `notify` counts. Called with the lock of the monitor held, before
    /// the condition is checked.
    pub(crate) fn reset(&self) {
        self.notified.store(false, Ordering::Relaxed);
    }

    /// The thread does nothing until it is notified, or the clock wakes it.
    pub(crate) fn settle(&self) {
        let Some(listener) = &self.listener else {
            return;
        };
        listener.settles(true);
        // ORDERING: after that; pairs with `notify`. Either this load sees the flag, or the thread
        // that notifies unsettles what is settled here.
        if self.notified.load(Ordering::SeqCst) {
            listener.settles(false);
        }
    }

    /// Blocks until it was notified after the last `reset`.
    pub(crate) fn wait(&self) {
        let mut guard = self.lock.lock();
        while !self.notified.load(Ordering::Relaxed) {
            self.changed.wait(&mut guard);
        }
    }

    pub(crate) fn as_waiter(self: &Arc<Self>) -> Weak<dyn ClockWaiter> {
        let weak: Weak<Self> = Arc::downgrade(self);
        weak
    }
}

impl ClockWaiter for ParkedThread {
    fn wake(self: Arc<Self>) {
        self.notify();
    }

    fn waits_for(&self) -> String {
        self.what.clone()
    }

    fn is_blocked(&self) -> bool {
        !self.notified.load(Ordering::Relaxed)
    }

    fn notified(&self, _: bool) {
        self.notify();
    }
}
