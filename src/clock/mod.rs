//! Time. `clock` and `manual`: what shows it. `current`: which clock a thread has. `monitor`,
//! `listed` and `parked_thread`: waiting. `alarm`: deadlines with hooks. `hooks`: the threads that
//! run them. `spawn`: starting threads.

pub(crate) mod alarm;
// The folder is named after its main type.
#[allow(clippy::module_inception)]
mod clock;
pub(crate) mod current;
pub(crate) mod hooks;
mod listed;
mod manual;
mod monitor;
mod parked_thread;
mod saturating;
pub(crate) mod spawn;

pub use clock::Clock;
pub use manual::ManualClock;

pub(crate) use crate::sim::{PoolGuard, pause, poll};
pub(crate) use clock::{WeakClock, now, wait, wall_now};
pub(crate) use monitor::Monitor;
pub(crate) use saturating::{earlier, from_nanos, later};
