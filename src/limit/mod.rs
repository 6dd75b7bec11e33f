//! Gates: what a task must pass before it runs. Rate limiters, semaphores, lanes, and all of them
//! for each key.
//
// `gate`, `line`, `acquire` and `blocking` are the mechanism. `rule`, `bucket` and `window` decide.
// `rate`, `semaphore`, `lanes` and `keyed` are what users hold. Beside them, `capacity` is the
// bound of a pool's queue.

mod acquire;
mod blocking;
mod bucket;
mod capacity;
mod error;
mod gate;
mod keyed;
mod lanes;
mod line;
mod rate;
mod rule;
mod semaphore;
mod window;

pub use error::{AcquireError, LimitError};
pub use gate::Gate;
pub use keyed::Keyed;
pub use lanes::{Lane, Lanes};
pub use rate::{RateLimiter, SlidingWindow, TokenBucket};
pub use semaphore::{Permit, Semaphore};

pub(crate) use acquire::{
    Acquisition, Asker, GateRequest, Turns, acquire_all, enter, release, withdraw,
};
pub(crate) use capacity::{Capacity, QueuePlace, WhenFull};
pub(crate) use gate::{GateQueue, Waiter, next_order};
pub(crate) use line::PATIENCE;
