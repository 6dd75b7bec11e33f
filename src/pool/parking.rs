//! Where idle workers sleep, and who wakes them.
//!
//! Layer 3. It knows no task and no channel: somebody pushes and says so, somebody looks whether anything is there.
//
// A worker that finds nothing searches for a while, one of a few at a time; then it sleeps. To wake one costs the pusher more
// than most tasks take, so whoever pushes wakes nobody while somebody searches: who searches and finds something when he
// is the last to do so wakes the next, if there is more. One that is woken counts as searching from that moment on.
//
// Why nothing is left lying with everybody asleep: all accesses to the counts here, and to both ends of the channel, are
// sequentially consistent. Who pushes does so first and looks at the counts then.
//
// - He finds somebody searching. That one stops later, and looks at the channel after that: having found something, to wake
//   the next; having given up, before he sleeps, and goes back to searching if there is something.
// - He finds nobody searching and somebody asleep: he wakes one.
// - He finds neither. Who sleeps later puts himself down first and looks at the channel then.
//
// A worker that goes from task to task need not look here at all.

use crate::clock;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Condvar, Mutex};
use std::sync::Arc;

/// More of them would not get anything sooner, and the machine is others' too.
const MOST_SEARCHING: usize = 2;

pub(crate) struct Parking {
    searching: AtomicUsize,
    /// The length of the list, changed under its lock.
    asleep: AtomicUsize,
    /// The last to fall asleep is woken first: what he needs is still in a cache.
    list: Mutex<Vec<Arc<Sleeper>>>,
}

/// One worker's bed.
pub(crate) struct Sleeper {
    woken: Mutex<bool>,
    told: Condvar,
}

impl Sleeper {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            woken: Mutex::new(false),
            told: Condvar::new(),
        })
    }

    /// Has it look; if it is awake, before it sleeps again.
    pub(crate) fn wake(&self) {
        *self.woken.lock() = true;
        self.told.notify_one();
    }

    fn wait(&self) {
        let mut woken = self.woken.lock();
        while !*woken {
            clock::wait(&self.told, &mut woken, None);
        }
        *woken = false;
    }
}

impl Parking {
    pub(crate) fn new() -> Self {
        Self {
            searching: AtomicUsize::new(0),
            asleep: AtomicUsize::new(0),
            list: Mutex::new(Vec::new()),
        }
    }

    /// Something was pushed.
    pub(crate) fn notify(&self) {
        if self.asleep.load(Ordering::SeqCst) > 0 && self.searching.load(Ordering::SeqCst) == 0 {
            self.wake_one();
        }
    }

    #[cold]
    fn wake_one(&self) {
        let mut list = self.list.lock();
        let Some(sleeper) = list.pop() else { return };
        self.asleep.store(list.len(), Ordering::SeqCst);
        self.searching.fetch_add(1, Ordering::SeqCst);
        drop(list);
        sleeper.wake();
    }

    /// Begins to search, unless enough do.
    pub(crate) fn search(&self) -> bool {
        let one_more = |n| (n < MOST_SEARCHING).then_some(n + 1);
        self.searching
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more)
            .is_ok()
    }

    /// Ends the search, having `found` something or not; `more` says whether there is anything left.
    pub(crate) fn end_search(&self, found: bool, more: impl FnOnce() -> bool) {
        let was_last = self.searching.fetch_sub(1, Ordering::SeqCst) == 1;
        if found && was_last && more() {
            self.notify();
        }
    }

    /// Sleeps until woken, unless there is something; says whether it counts as searching.
    pub(crate) fn sleep(&self, me: &Arc<Sleeper>, is_ready: impl FnOnce() -> bool) -> bool {
        let mut list = self.list.lock();
        list.push(me.clone());
        self.asleep.store(list.len(), Ordering::SeqCst);
        drop(list);
        if !is_ready() {
            me.wait();
        }
        let mut list = self.list.lock();
        match list.iter().rposition(|sleeper| Arc::ptr_eq(sleeper, me)) {
            // By its own mail, or by what lies there.
            Some(at) => {
                list.remove(at);
                self.asleep.store(list.len(), Ordering::SeqCst);
                false
            }
            None => true,
        }
    }
}

#[cfg(all(test, loom))]
#[path = "../../tests/loom/parking.rs"]
mod models;
