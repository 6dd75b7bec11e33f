//! The clock of the calling thread.
//!
//! What is timed and belongs to a pool uses the clock of the pool (`process::clock_of`). What
//! belongs to no pool (a promise, a sleep, a token) uses the clock of the thread: that of its pool
//! on a pool's thread, that of its simulation on a simulation's, and the system's on any other.

use crate::clock::Clock;
use crate::random;
use crate::sim;
use std::cell::RefCell;

thread_local! {
    static CLOCK: RefCell<Clock> = const { RefCell::new(Clock::system()) };
}

pub(crate) fn clock() -> Clock {
    if let Some(sim) = sim::current() {
        return Clock::of_simulation(sim);
    }
    // A thread whose locals are gone is about to end.
    CLOCK
        .try_with(|clock| clock.borrow().clone())
        .unwrap_or_default()
}

/// Sets the clock of this thread.
pub(crate) fn set(clock: Clock) {
    let _ = CLOCK.try_with(|mine| mine.replace(clock));
}

/// A seed for what is random on this thread, different for each `salt`: derived from the seed of
/// the simulation, or of the process.
pub(crate) fn seed(salt: u64) -> u64 {
    sim::current().map_or_else(
        || random::seed(salt),
        |sim| random::mixed(sim.seed() ^ salt),
    )
}

/// In a simulation, the next number that orders tasks.
pub(crate) fn simulated_order() -> Option<u64> {
    sim::current().map(|sim| sim.next_order())
}
