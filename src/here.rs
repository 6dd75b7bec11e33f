//! Which clock goes: that of a pool, and that of the thread that asks.
//!
//! Layer 0. What is timed and belongs to a pool goes by the pool's clock, whoever waits for it; what belongs to none (a
//! promise, a sleep, a token) by the clock of the thread: a pool's thread has its pool's, one of a simulation's that, any
//! other the system's.
//
// A cell knows its pool by its owner's tag only. Few pools have another clock than the system's, so these are listed, and
// while the list is empty to ask costs one load.

use crate::clock::Clock;
use crate::fork::NOBODY;
use crate::random;
use crate::sim;
use parking_lot::Mutex;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

thread_local! {
    static HERE: RefCell<Clock> = const { RefCell::new(Clock::system()) };
}

/// The clock of this thread.
pub(crate) fn clock() -> Clock {
    if let Some(sim) = sim::here() {
        return Clock::of_simulation(sim);
    }
    // A thread whose locals are gone is about to end.
    HERE.try_with(|here| here.borrow().clone())
        .unwrap_or_default()
}

/// A seed for what is random here, made another by `salt`: the simulation's, or the process's.
pub(crate) fn seed(salt: u64) -> u64 {
    sim::here().map_or_else(
        || random::seed(salt),
        |sim| random::mixed(sim.seed() ^ salt),
    )
}

/// From here on this thread goes by `clock`.
pub(crate) fn set(clock: Clock) {
    let _ = HERE.try_with(|here| here.replace(clock));
}

static LISTED: AtomicUsize = AtomicUsize::new(0);
static OTHERS: Mutex<BTreeMap<u32, Clock>> = Mutex::new(BTreeMap::new());

/// The clock of the pool with this tag; of this thread for what belongs to no pool.
pub(crate) fn clock_of(owner: u32) -> Clock {
    if owner == NOBODY {
        return clock();
    }
    // ORDERING: whoever has something of a pool's heard of it after the pool was built, and listed.
    if LISTED.load(Ordering::Relaxed) == 0 {
        return Clock::system();
    }
    OTHERS.lock().get(&owner).cloned().unwrap_or_default()
}

/// Keeps a pool listed, if it has to be.
pub(crate) struct Listed(Option<u32>);

pub(crate) fn list(owner: u32, clock: &Clock) -> Listed {
    if clock.is(&Clock::system()) {
        return Listed(None);
    }
    OTHERS.lock().insert(owner, clock.clone());
    LISTED.fetch_add(1, Ordering::Relaxed);
    Listed(Some(owner))
}

impl Drop for Listed {
    fn drop(&mut self) {
        if let Some(owner) = self.0 {
            LISTED.fetch_sub(1, Ordering::Relaxed);
            let clock = OTHERS.lock().remove(&owner);
            drop(clock);
        }
    }
}
