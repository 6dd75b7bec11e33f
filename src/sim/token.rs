//! The turn of one thread of a simulation: the thread waits for it, and another thread passes it
//! on.

use crate::sync::spin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Thread};

#[derive(Default)]
pub(crate) struct TurnToken {
    /// Whether the thread has been given the turn, and has not taken it.
    is_given: AtomicBool,
    thread: OnceLock<Thread>,
}

impl TurnToken {
    /// Sets the thread whose turn this is. Called once, before `give`.
    pub(crate) fn set_thread(&self, thread: Thread) {
        let second = self.thread.set(thread);
        debug_assert!(second.is_ok(), "a turn belongs to one thread");
    }

    pub(crate) fn give(&self) {
        // ORDERING: pairs with the swap in `wait`: the thread sees what the giver did before.
        self.is_given.store(true, Ordering::Release);
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    pub(crate) fn wait(&self) {
        // Most turns are short.
        spin(|| self.is_given.load(Ordering::Relaxed));
        // ORDERING: pairs with the store in `give`.
        while !self.is_given.swap(false, Ordering::Acquire) {
            thread::park();
        }
    }
}
