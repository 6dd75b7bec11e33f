//! The one place that waits: a mutex and a condvar, for waits by any clock.
//
// By the system's clock a thread waits on the condvar. No other clock can wake a condvar. So a
// thread that waits by a manual clock until a deadline, or in a simulation, waits for a flag of
// its own (`ParkedThread`). The clock can set that flag, and so can the `notify_` methods, which
// find the thread in a table under the address of the monitor.
//
// No wake-up is lost. A waiter checks its condition and lists itself with the lock of the monitor
// held. Every change of the condition takes that lock before its thread notifies. If the changing
// thread takes it before the waiter does, the waiter sees the change. If it takes it after the
// waiter, it finds the waiter in the table, or waiting on the condvar.

use crate::clock::listed::{self, Listed};
use crate::clock::parked_thread::ParkedThread;
use crate::clock::{Clock, wait};
use crate::sync::waiter::{ClockWaiter, listener_here};
use crate::sync::{Condvar, Mutex, MutexGuard};
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// State that threads change, and wait for a change of.
#[derive(Debug)]
pub(crate) struct Monitor<T> {
    state: Mutex<T>,
    changed: Condvar,
}

impl<T> Monitor<T> {
    pub(crate) fn new(state: T) -> Self {
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.state.lock()
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.state.get_mut()
    }

    /// Wakes at least one of the threads that wait. Called after the lock was held for the change,
    /// best without it.
    pub(crate) fn notify_one(&self) {
        self.changed.notify_one();
        listed::notify_at(self.address(), false);
    }

    /// As `notify_one`, if no more than one thread waits here.
    pub(crate) fn notify_only(&self) {
        listed::unsettle_at(self.address());
        self.notify_one();
    }

    /// Wakes all threads that wait. Called after the lock was held for the change, best without
    /// it.
    pub(crate) fn notify_all(&self) {
        // First: a listener is to act before its thread does.
        listed::notify_at(self.address(), true);
        self.changed.notify_all();
    }

    /// Wakes all threads that wait, after a change that was made without the lock. Takes the lock
    /// once, so that each waiter either has not checked its condition yet, or waits.
    pub(crate) fn lock_and_notify_all(&self) {
        drop(self.lock());
        self.notify_all();
    }

    /// Waits until `blocked` returns false, or until `deadline` of `clock`. Returns whether
    /// `blocked` returned false.
    ///
    /// `blocked` is called with the lock held, any number of times. What is waited for, a noun
    /// phrase, is for the report of a simulation that cannot go on.
    pub(crate) fn wait_while(
        &self,
        guard: &mut MutexGuard<'_, T>,
        clock: &Clock,
        deadline: Option<Instant>,
        what: &dyn fmt::Display,
        blocked: &mut dyn FnMut(&mut T) -> bool,
    ) -> bool {
        if !blocked(guard) {
            return true;
        }
        let listener = listener_here();
        let listener = listener.as_ref();
        let _listed = listener.map(|listener| Listed::new(self.address(), listener.clone()));
        if clock.parks(deadline) {
            return self.park_while(guard, clock, deadline, what, blocked, listener);
        }
        loop {
            // With the lock held: whatever ends the wait notifies later.
            listener.iter().for_each(|listener| listener.settles(true));
            let is_over = wait(&self.changed, guard, deadline);
            if !blocked(guard) {
                return true;
            }
            if is_over {
                return false;
            }
            if let Some(listener) = listener {
                MutexGuard::unlocked(guard, || listener.waits_on());
                if !blocked(guard) {
                    return true;
                }
            }
        }
    }

    #[cold]
    fn park_while(
        &self,
        guard: &mut MutexGuard<'_, T>,
        clock: &Clock,
        deadline: Option<Instant>,
        what: &dyn fmt::Display,
        blocked: &mut dyn FnMut(&mut T) -> bool,
        listener: Option<&Arc<dyn ClockWaiter>>,
    ) -> bool {
        // Without the lock, which the description may take.
        let listened = listener.cloned();
        let thread = MutexGuard::unlocked(guard, || Arc::new(ParkedThread::new(what, listened)));
        let _listed = Listed::new(self.address(), thread.clone());
        let mut first = true;
        loop {
            if let Some(listener) = listener.filter(|_| !first) {
                MutexGuard::unlocked(guard, || listener.waits_on());
            }
            thread.reset();
            if !blocked(guard) {
                return true;
            }
            if !MutexGuard::unlocked(guard, || clock.park(&thread, deadline, first)) {
                return !blocked(guard);
            }
            first = false;
        }
    }

    fn address(&self) -> usize {
        (&raw const self.changed).addr()
    }
}
