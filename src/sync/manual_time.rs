//! Time that stands still until it is set: what a manual clock shows, and the clock of a
//! simulation.
//!
//! Plain data. The owner guards it with a lock, and wakes the waiters after it has released that
//! lock.

use crate::sync::deadline_queue::DeadlineQueue;
use crate::sync::waiter::ClockWaiter;
use std::collections::HashSet;
use std::sync::{Arc, Weak};
use std::time::{Instant, SystemTime};

pub(crate) struct ManualTime {
    now: Instant,
    /// The time of day at an instant. It moves on with the instants from there.
    wall: (SystemTime, Instant),
    /// What waits for an instant to come.
    waiters: DeadlineQueue<Weak<dyn ClockWaiter>>,
}

impl ManualTime {
    pub(crate) fn new(now: Instant, wall: SystemTime) -> Self {
        Self {
            now,
            wall: (wall, now),
            waiters: DeadlineQueue::new(),
        }
    }

    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    pub(crate) fn wall(&self) -> SystemTime {
        let (wall, at) = self.wall;
        wall.checked_add(self.now - at).unwrap_or(wall)
    }

    pub(crate) fn set_wall(&mut self, wall: SystemTime) {
        self.wall = (wall, self.now);
    }

    /// Registers `waiter`, to be woken at `instant`. Returns whether that is now or in the past:
    /// then it is not registered.
    pub(crate) fn register(&mut self, instant: Instant, waiter: &Weak<dyn ClockWaiter>) -> bool {
        if instant <= self.now {
            return true;
        }
        // A waiter may register for one instant again and again. The sweep leaves it there once.
        let mut seen = HashSet::new();
        self.waiters.sweep(&mut |at, waiter| {
            waiter.strong_count() > 0 && seen.insert((at, waiter.as_ptr().cast::<()>()))
        });
        self.waiters.push(instant, waiter.clone());
        false
    }

    /// The earliest instant for which a waiter is registered that still exists.
    #[cfg(feature = "simulation")]
    pub(crate) fn next(&mut self) -> Option<Instant> {
        self.waiters.next_live()
    }

    /// Moves to `instant`, never back. Returns the waiters that the caller must wake, in the order
    /// of their instants.
    #[must_use]
    pub(crate) fn advance_to(&mut self, instant: Instant) -> Vec<Arc<dyn ClockWaiter>> {
        self.now = self.now.max(instant);
        let mut due = Vec::new();
        while let Some(waiter) = self.waiters.pop_due(self.now) {
            due.extend(waiter.upgrade());
        }
        due
    }
}
