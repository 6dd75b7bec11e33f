//! The latch of a scope: a count of holds, and a wait until it is zero.
//!
//! Layer: compose.
//
// The count changes without the lock. The thread that releases the last hold takes the lock and
// notifies the waiter. The waiter reads the count under the lock, so at that moment it has not
// read it yet, or it is in its wait: no wake-up is lost. The latch is behind an `Arc`, because
// the waiter may see the count at zero and go on while the releasing thread has still to notify.

use crate::cancel::blocking::{self, Target};
use crate::clock::current;
use crate::clock::{self, Monitor};
use crate::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

#[derive(Debug)]
pub(crate) struct Latch {
    held: AtomicUsize,
    open: Monitor<()>,
}

impl Latch {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            held: AtomicUsize::new(0),
            open: Monitor::new(()),
        })
    }

    /// Adds a hold, which `release` takes back.
    pub(crate) fn hold(&self) {
        // Relaxed: the calling thread runs in the scope's closure, before the wait, or has a
        // hold. So the count cannot reach zero here, and there is nothing to order.
        self.held.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn release(&self) {
        // ORDERING: pairs with `is_open`. The thread that finds the latch open sees all that was
        // done before each hold was released.
        if self.held.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.open.lock_and_notify_all();
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        // ORDERING: pairs with `release`.
        self.held.load(Ordering::Acquire) == 0
    }

    /// Waits until no hold is left. On a worker the run slot is released meanwhile. `owner` is the
    /// tag of the pool whose tasks have the holds.
    pub(crate) fn wait(&self, owner: u32) {
        let clock = current::clock();
        if clock.spin(|| self.is_open()) {
            return;
        }
        clock::pause();
        let _blocking = blocking::begin_for(Target::Tasks(owner));
        let mut lock = self.open.lock();
        let what = "the tasks of a scope";
        self.open
            .wait_while(&mut lock, &clock, None, &what, &mut |()| !self.is_open());
    }
}

/// Keeps a latch closed until it is dropped.
pub(crate) struct Hold(Arc<Latch>);

impl Hold {
    pub(crate) fn new(latch: &Arc<Latch>) -> Self {
        latch.hold();
        Self(latch.clone())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.release();
    }
}
