//! The sampler of a pool: a thread that looks at what runs, for the watchdog, rates and ages.

use crate::pool::core::Core;
use crate::pool::pool::Pool;
use std::sync::Arc;

/// While there is one, the sampler of the pool runs.
pub(crate) struct Sampling(#[allow(dead_code)] Arc<Core>); // Stub.

impl Pool {
    /// Has the sampler run until what this returns is dropped.
    pub(crate) fn keep_sampling(&self) -> Sampling {
        Sampling(self.core().clone())
    }

    /// The last tasks that failed, panicked or ran out of time while the sampler ran.
    #[cfg(feature = "dashboard")]
    pub(crate) fn recent_failures(&self) -> Vec<crate::task::Summary> {
        Vec::new() // Stub.
    }
}
