//! What a scope waits for: that all who hold it back have let go.
//!
//! Layer 6.
//
// The count changes without the lock. Whoever lets go as the last one takes the lock and tells; the waiter looks at the
// count under the lock, so it has either not looked yet or is in its wait. The latch itself is shared, so that the last
// one may still tell while the waiter, who has seen the count, is on his way.

use crate::here;
use crate::seat;
use crate::sim;
use crate::spin::spin;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Condvar, Mutex};
use crate::wake::Wake;
use std::sync::{Arc, Weak};

#[derive(Debug)]
pub(crate) struct Latch {
    held: AtomicUsize,
    lock: Mutex<()>,
    open: Condvar,
}

impl Latch {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            held: AtomicUsize::new(0),
            lock: Mutex::new(()),
            open: Condvar::new(),
        })
    }

    /// Holds it back until `release`.
    pub(crate) fn hold(&self) {
        // Whoever does this keeps the waiter from having begun, or holds it himself: nothing is to be ordered.
        self.held.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn release(&self) {
        // ORDERING: pairs with `is_open`: whoever finds it open sees all that was done while it was held.
        if self.held.fetch_sub(1, Ordering::AcqRel) == 1 {
            drop(self.lock.lock());
            self.open.notify_all();
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        // ORDERING: pairs with `release`.
        self.held.load(Ordering::Acquire) == 0
    }

    /// Waits until nobody holds it, with the seat given up.
    pub(crate) fn wait(self: &Arc<Self>) {
        let clock = here::clock();
        // In a simulation nobody else runs meanwhile.
        if clock.simulated().is_none() && spin(|| self.is_open()) {
            return;
        }
        sim::pause();
        let _left = seat::leave_open();
        let mut lock = self.lock.lock();
        let me = || {
            let weak: Weak<Self> = Arc::downgrade(self);
            weak as Weak<dyn Wake>
        };
        clock.wait_while(&self.open, &mut lock, None, me, |()| !self.is_open());
    }
}

impl Wake for Latch {
    fn wake(self: Arc<Self>) {
        drop(self.lock.lock());
        self.open.notify_all();
    }

    fn what(&self) -> String {
        "the tasks of a scope".to_owned()
    }

    fn stays(&self) -> bool {
        !self.is_open()
    }
}

/// Holds a latch back until dropped.
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
