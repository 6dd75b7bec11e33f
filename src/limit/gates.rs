//! What all gates have in common for their users: a task is given them, a thread passes them by hand.
//!
//! Layer 4.

use crate::gate::{self, AcquireError, Claim};
use crate::pool::TaskBuilder;
use crate::task::token_here;
use std::time::Instant;

/// What a task must pass before it runs: a [`RateLimiter`](crate::RateLimiter) (with a [weight](crate::RateLimiter::weight) or
/// without), a [`Semaphore`](crate::Semaphore), or a key of [`Lanes`](crate::Lanes). For
/// [`TaskBuilder::gate`](crate::TaskBuilder::gate).
///
/// ```
/// use millhand::{Gate, Semaphore, TaskHandle, ThreadPool};
///
/// fn read_behind(pool: &ThreadPool, gate: &impl Gate) -> TaskHandle<std::io::Result<Vec<u8>>> {
///     pool.task().gate(gate).submit(|| std::fs::read("Cargo.toml"))
/// }
/// let pool = ThreadPool::new(2)?;
/// assert!(read_behind(&pool, &Semaphore::new(1)?).join()?.is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Gate: Gates {}

/// Keeps the trait above to the library's own gates.
pub trait Gates {
    /// What one task asks of it.
    #[doc(hidden)]
    fn asks(&self) -> Asked;
}

/// What a task asks of a gate, for nobody else to see.
#[doc(hidden)]
#[derive(Debug)]
pub struct Asked(pub(crate) Claim);

impl<K, P> TaskBuilder<K, P> {
    /// A gate that the tasks must pass before they run. Where one waits, no worker does. Several gates are passed together
    /// or not at all; those with the same gates pass in the order of their submission. One that is given again is asked for
    /// what is given last.
    ///
    /// ```
    /// use millhand::{Semaphore, RateLimiter, ThreadPool};
    /// use std::time::Duration;
    ///
    /// let pool = ThreadPool::new(4)?;
    /// let api = RateLimiter::token_bucket(1000, Duration::from_secs(1)).build()?;
    /// let connections = Semaphore::new(2)?;
    /// let call = pool.task().gate(&api).gate(&connections);
    /// let calls: Vec<_> = (0..5).map(|n| call.submit(move || n)).collect();
    /// for (n, call) in calls.into_iter().enumerate() {
    ///     assert_eq!(call.join()?, n);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn gate(self, gate: &impl Gate) -> Self {
        self.with_plan(|plan| plan.add_gate(gate.asks().0))
    }
}

/// Passes a gate by hand. A task that is asked to stop stops waiting.
pub(crate) fn acquire(
    claim: &Claim,
    order: u64,
    deadline: Option<Instant>,
) -> Result<(), AcquireError> {
    gate::acquire(claim, order, deadline, |standing| {
        let standing = standing.clone();
        token_here().map(|token| token.on_cancel(move |reason| standing.stop(reason)))
    })
}
