//! Gates as their users hold them: rate limiters, semaphores, lanes, and each of them a key.

mod gates;
mod keyed;
mod lanes;
mod rate;
mod semaphore;

pub use gates::Gate;
pub use keyed::Keyed;
pub use lanes::{Lane, Lanes};
pub use rate::{Algorithm, RateLimiter, SlidingWindow, TokenBucket, Weighted};
pub use semaphore::{Permit, Semaphore};
