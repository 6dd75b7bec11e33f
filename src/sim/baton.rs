//! A thread's turn: it waits for it, and is given it by the one before.
//!
//! Layer 0.

use crate::spin::spin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Thread};

#[derive(Default)]
pub(crate) struct Baton {
    here: AtomicBool,
    thread: OnceLock<Thread>,
}

impl Baton {
    /// Whose it is: said before it is first given.
    pub(crate) fn belongs_to(&self, thread: Thread) {
        let second = self.thread.set(thread);
        debug_assert!(second.is_ok(), "a baton belongs to one thread");
    }

    pub(crate) fn give(&self) {
        // ORDERING: pairs with the swap in `wait`; what the giver did happened before.
        self.here.store(true, Ordering::Release);
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    pub(crate) fn wait(&self) {
        // Short turns come back soon.
        spin(|| self.here.load(Ordering::Relaxed));
        while !self.here.swap(false, Ordering::Acquire) {
            thread::park();
        }
    }
}
