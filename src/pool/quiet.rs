//! Quiescence: nothing queued, nothing running.
//!
//! Layer 3. Two sums that only grow: tasks announced, and tasks done with (retired, buried) or taken back, when the
//! pool turned out closed or the timer had nothing to bury. A task is announced before anything else happens to it, so
//! the second never overtakes the first, and where the second, read first, equals the first, the pool was quiet when the
//! one reading ended and the other began: done(then) >= done(read) = announced(read) >= announced(then).
//!
//! A worker counts what it has done by itself and hands the count in when it looks for work, leaves, and not before. So the second
//! sum lags behind while a worker is at work, and the pool is not quiet then anyway.
//
// Who wakes the waiters? Every worker that finds the queue empty after it has run something, and whoever takes an
// announcement back: both count first, then look whether anybody watches; a watcher first says that it watches, then
// reads the sums. All of this is sequentially consistent, so one of the two sees the other. So the last one done either
// sees the watcher and wakes it, or the watcher sees the last one done.

use crate::clock::Clock;
use crate::counters::Striped;
use crate::sync::{Condvar, Mutex, MutexGuard};
use crate::task::Queued;
use crate::wake::Wake;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

#[derive(Default)]
struct Sums {
    announced: Striped,
    done: Striped,
    /// Announcements that were taken back.
    taken_back: Striped,
}

pub(crate) struct Quiet {
    sums: Sums,
    /// How many watch; closing a pool adds one for good.
    watched: AtomicUsize,
    state: Mutex<Watch>,
    /// Told when the pool may be quiet, when its phase has changed, and when a task was left behind.
    changed: Condvar,
}

/// Guarded by `Quiet::state`.
#[derive(Default)]
pub(crate) struct Watch {
    /// How many shutdowns are waiting, and will take what is left behind.
    pub(crate) sweepers: usize,
    /// Tasks that a worker read from the queue of a pool that cancels: their closures are the sweeper's to drop.
    pub(crate) left_behind: Vec<Arc<dyn Queued>>,
    /// Whether a shutdown joins the threads just now: another one that comes back has seen them gone, too.
    pub(crate) joins: bool,
}

impl Quiet {
    pub(crate) fn new() -> Self {
        Self {
            sums: Sums::default(),
            watched: AtomicUsize::new(0),
            state: Mutex::new(Watch::default()),
            changed: Condvar::new(),
        }
    }

    pub(crate) fn announce(&self) {
        self.sums.announced.add();
    }

    pub(crate) fn done(&self, tasks: u64) {
        self.sums.done.add_many(tasks);
    }

    /// An announcement is taken back.
    pub(crate) fn take_back(&self) {
        self.sums.taken_back.add();
    }

    /// How many are done with.
    pub(crate) fn done_so_far(&self) -> u64 {
        self.sums.done.sum()
    }

    pub(crate) fn is_quiet(&self) -> bool {
        let done = self.sums.done.sum() + self.sums.taken_back.sum();
        done == self.sums.announced.sum()
    }

    /// What has been counted is told to those who watch; says whether somebody does and it is quiet.
    pub(crate) fn tell(&self) -> bool {
        // ORDERING: sequentially consistent, as are the counts; pairs with `watch`.
        if self.watched.load(Ordering::SeqCst) == 0 || !self.is_quiet() {
            return false;
        }
        self.poke();
        true
    }

    /// Wakes all who watch, to look again.
    pub(crate) fn poke(&self) {
        // Through the lock: a watcher is either before its look or in its wait.
        drop(self.state.lock());
        self.changed.notify_all();
    }

    /// From now on those who are done tell.
    pub(crate) fn watch(&self) {
        // ORDERING: pairs with `tell`.
        self.watched.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn unwatch(&self) {
        self.watched.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Watch> {
        self.state.lock()
    }

    /// Waits until `blocked` says no, which is asked anew at each poke, or until `deadline`; says which. `me` pokes when the
    /// clock wakes it.
    pub(crate) fn wait_while(
        &self,
        watch: &mut MutexGuard<'_, Watch>,
        clock: &Clock,
        deadline: Option<Instant>,
        me: impl Fn() -> Weak<dyn Wake>,
        blocked: impl FnMut(&mut Watch) -> bool,
    ) -> bool {
        clock.wait_while(&self.changed, watch, deadline, me, blocked)
    }

    /// Waits until quiet, or until `deadline`; says which.
    pub(crate) fn wait_quiet(
        &self,
        clock: &Clock,
        deadline: Option<Instant>,
        me: impl Fn() -> Weak<dyn Wake>,
    ) -> bool {
        self.watch();
        let mut watch = self.lock();
        let quiet = self.wait_while(&mut watch, clock, deadline, me, |_| !self.is_quiet());
        drop(watch);
        self.unwatch();
        quiet
    }
}
