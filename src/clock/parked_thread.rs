//! A thread that waits by a clock other than the system's: a test's.
//
// The table is the process's own, as the one of parking_lot is, so that a monitor needs no room
// for such threads. An entry lives as long as the wait, which borrows the monitor, so no two
// monitors in the table have the same address. A program that uses no such clock pays one load per
// notification.

use crate::sync::waiter::ClockWaiter;
use crossbeam_utils::CachePadded;
use parking_lot::{Condvar, Mutex};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

/// A thread that waits by a clock other than the system's.
pub(crate) struct ParkedThread {
    what: String,
    notified: AtomicBool,
    lock: Mutex<()>,
    changed: Condvar,
}

impl ParkedThread {
    pub(crate) fn new(what: &dyn fmt::Display) -> Self {
        Self {
            what: what.to_string(),
            notified: AtomicBool::new(false),
            lock: Mutex::new(()),
            changed: Condvar::new(),
        }
    }

    fn notify(&self) {
        // ORDERING: relaxed, as is every access. The waiter loads the flag with `lock` held, or,
        // in a simulation, after it was given the turn.
        self.notified.store(true, Ordering::Relaxed);
        drop(self.lock.lock());
        self.changed.notify_one();
    }

    /// From here on only a later `notify` counts. Called with the lock of the monitor held, before
    /// the condition is checked.
    pub(crate) fn reset(&self) {
        self.notified.store(false, Ordering::Relaxed);
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
}

/// How many threads are in the table. Every notification reads it, so it shares its cache line with
/// nothing that is written.
static LISTED: CachePadded<AtomicUsize> = CachePadded::new(AtomicUsize::new(0));

const SHARDS: usize = 16;

/// Threads, each with the address of the monitor that it waits at.
type Shard = Mutex<Vec<(usize, Arc<ParkedThread>)>>;

static TABLE: [Shard; SHARDS] = [const { Mutex::new(Vec::new()) }; SHARDS];

fn shard(address: usize) -> &'static Shard {
    // What is allocated lies at multiples of 16.
    &TABLE[address / 16 % SHARDS]
}

/// Wakes the threads that wait at the monitor with this address. Called after its lock was held.
#[inline]
pub(crate) fn notify_at(address: usize) {
    // ORDERING: relaxed, since the lock of the monitor orders it: who was listed before that lock
    // was taken is counted.
    if LISTED.load(Ordering::Relaxed) > 0 {
        notify_listed(address);
    }
}

#[cold]
fn notify_listed(address: usize) {
    let shard = shard(address).lock();
    let here = shard.iter().filter(|(at, _)| *at == address);
    here.for_each(|(_, thread)| thread.notify());
}

/// An entry of the table, until it is dropped. Made and dropped with the lock of the monitor held.
pub(crate) struct Listed<'a>(usize, &'a Arc<ParkedThread>);

impl<'a> Listed<'a> {
    pub(crate) fn new(address: usize, thread: &'a Arc<ParkedThread>) -> Self {
        shard(address).lock().push((address, thread.clone()));
        LISTED.fetch_add(1, Ordering::Relaxed);
        Self(address, thread)
    }
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        let Self(address, thread) = self;
        LISTED.fetch_sub(1, Ordering::Relaxed);
        let mut shard = shard(*address).lock();
        shard.retain(|(_, listed)| !Arc::ptr_eq(listed, thread));
    }
}
