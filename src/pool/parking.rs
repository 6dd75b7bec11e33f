//! Where idle workers sleep, and which thread wakes them.
//!
//! It knows no task and no channel: a thread that pushes calls `notify`, and a worker that is about
//! to sleep passes a closure that checks for work.
//
// A worker that finds no work searches for a while, a few workers at a time, and then sleeps. To
// wake a worker costs the pusher more than most tasks take. So a pusher wakes no worker while one
// searches. If the last worker that searches finds something, and there is more, it wakes the
// next. A worker that is woken counts as searching from that moment on.
//
// # Why no work is left while all workers sleep
//
// All accesses to the counts here, and to the lengths of the queue, are sequentially consistent.
// The pusher first pushes and then reads the counts.
//
// - It finds a worker that searches. That worker reads the queue again after it has stopped
//   searching: if it found something, to wake the next; if not, before it sleeps, and then it
//   searches again if there is something.
// - It finds no worker that searches, and one that sleeps: it wakes that one.
// - It finds neither. A worker that sleeps later first adds itself to the list and then reads the
//   queue.
//
// A worker that goes from task to task does not come here at all.

use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Mutex, plain};
use crossbeam_utils::CachePadded;
use std::mem;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// More workers would find nothing sooner, and would take time from other programs.
const MOST_SEARCHING: usize = 2;

pub(crate) struct Parking {
    /// How many workers search. Padded: each push reads the next field, and should not wait for a
    /// worker that begins or ends a search.
    searching: CachePadded<AtomicUsize>,
    /// The length of the list. Written with the list locked.
    asleep: AtomicUsize,
    list: Mutex<List>,
}

#[derive(Default)]
struct List {
    /// The worker that fell asleep last is woken first: its data are still in a cache.
    sleepers: Vec<Arc<Sleeper>>,
    /// How often a worker has left the list.
    departures: u64,
}

/// Where one worker sleeps.
//
// On the locks of std, not of parking_lot. A thread that waits for a lock of parking_lot is an
// entry of a table of the whole process, in the thread's own memory. A forked child has a copy of
// the table and gives that memory to its new threads. At a fork most workers sleep, so the workers
// of a new pool in the child would follow links of threads that are gone.
pub(crate) struct Sleeper {
    is_woken: plain::Mutex<bool>,
    /// Notified when `is_woken` is set.
    woken: plain::Condvar,
}

impl Sleeper {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            is_woken: plain::Mutex::new(false),
            woken: plain::Condvar::new(),
        })
    }

    /// Wakes the worker. If it is awake, it does not sleep the next time.
    pub(crate) fn wake(&self) {
        *self.is_woken.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.woken.notify_one();
    }

    /// Waits until woken, or for so long. Returns whether it was woken.
    pub(crate) fn rest(&self, time: Duration) -> bool {
        let is_woken = self.is_woken.lock().unwrap_or_else(PoisonError::into_inner);
        let woken = match *is_woken {
            true => is_woken,
            false => {
                let woken = self.woken.wait_timeout(is_woken, time);
                woken.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        let mut is_woken = woken;
        mem::take(&mut *is_woken)
    }

    fn wait(&self) {
        // No thread panics with the lock held.
        let mut is_woken = self.is_woken.lock().unwrap_or_else(PoisonError::into_inner);
        while !*is_woken {
            let woken = self.woken.wait(is_woken);
            is_woken = woken.unwrap_or_else(PoisonError::into_inner);
        }
        *is_woken = false;
    }
}

impl Parking {
    pub(crate) fn new() -> Self {
        Self {
            searching: CachePadded::new(AtomicUsize::new(0)),
            asleep: AtomicUsize::new(0),
            list: Mutex::new(List::default()),
        }
    }

    /// For loom, which may read what an atomic was made with after a newer value was stored.
    #[cfg(all(test, loom))]
    pub(crate) fn in_order(&self) {
        // ORDERING: before any other thread of the model starts.
        self.asleep.store(0, Ordering::SeqCst);
        self.searching.store(0, Ordering::SeqCst);
    }

    /// Called after a push.
    pub(crate) fn notify(&self) {
        if self.would_wake() {
            self.wake_one();
        }
    }

    /// Whether `notify` would wake a worker now.
    #[inline]
    pub(crate) fn would_wake(&self) -> bool {
        // ORDERING: in `notify`, after the push; pairs with `sleep` and `end_search`.
        self.asleep.load(Ordering::SeqCst) > 0 && self.searching.load(Ordering::SeqCst) == 0
    }

    #[cold]
    fn wake_one(&self) {
        let mut list = self.list.lock();
        let Some(sleeper) = list.sleepers.pop() else {
            return;
        };
        list.departures += 1;
        // ORDERING: pairs with `notify`.
        self.asleep.store(list.sleepers.len(), Ordering::SeqCst);
        self.searching.fetch_add(1, Ordering::SeqCst);
        drop(list);
        sleeper.wake();
    }

    /// Begins a search unless enough workers search. Returns whether it did.
    pub(crate) fn search(&self) -> bool {
        let one_more = |n| (n < MOST_SEARCHING).then_some(n + 1);
        // ORDERING: pairs with `notify`.
        self.searching
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more)
            .is_ok()
    }

    /// Ends a search that has `found` something or not. `has_more` returns whether there is more.
    pub(crate) fn end_search(&self, found: bool, has_more: impl FnOnce() -> bool) {
        // ORDERING: before the queue is read; pairs with `notify`.
        let was_last = self.searching.fetch_sub(1, Ordering::SeqCst) == 1;
        if found && was_last && has_more() {
            self.notify();
        }
    }

    /// Sleeps until woken, unless `is_ready` returns true. Returns whether the worker counts as
    /// searching.
    pub(crate) fn sleep(&self, me: &Arc<Sleeper>, is_ready: impl FnOnce() -> bool) -> bool {
        let mut list = self.list.lock();
        list.sleepers.push(me.clone());
        // ORDERING: before the queue is read; pairs with `notify`.
        self.asleep.store(list.sleepers.len(), Ordering::SeqCst);
        drop(list);
        if !is_ready() {
            me.wait();
        }
        let mut list = self.list.lock();
        let mut sleepers = list.sleepers.iter();
        match sleepers.rposition(|sleeper| Arc::ptr_eq(sleeper, me)) {
            // Its mail woke it, or something was ready.
            Some(at) => {
                list.sleepers.remove(at);
                list.departures += 1;
                // ORDERING: as above.
                self.asleep.store(list.sleepers.len(), Ordering::SeqCst);
                false
            }
            None => true,
        }
    }

    /// How many workers sleep, and how often one has left the list of those that do.
    pub(crate) fn asleep(&self) -> (usize, u64) {
        let list = self.list.lock();
        (list.sleepers.len(), list.departures)
    }
}

#[cfg(all(test, loom))]
#[path = "../../tests/loom/parking.rs"]
mod models;
