//! The rule of a semaphore: so many at once.
//!
//! Layer 1, pure.

use crate::gate::rule::{Refusal, Rule};
use std::time::Instant;

/// More may be out than there are, after the number was made smaller.
#[derive(Debug)]
pub(crate) struct Permits {
    /// As many as it was made with.
    made: u32,
    permits: u32,
    out: u32,
}

impl Permits {
    pub(crate) fn new(permits: u32) -> Self {
        Self {
            made: permits,
            permits,
            out: 0,
        }
    }
}

impl Rule for Permits {
    fn ask(&mut self, _: Instant, _: u64, weight: u32) -> Result<(), Refusal> {
        if self.out.saturating_add(weight) > self.permits {
            return Err(Refusal::Later);
        }
        Ok(())
    }

    fn take(&mut self, _: Instant, _: u64, weight: u32) {
        self.out += weight;
    }

    fn give_back(&mut self, _: u64, weight: u32, _: bool) {
        self.out -= weight;
    }

    fn is_fresh(&mut self, _: Instant) -> bool {
        self.out == 0 && self.permits == self.made
    }

    fn heaviest(&self) -> u32 {
        self.permits
    }

    fn available(&mut self, _: Instant) -> u32 {
        self.permits.saturating_sub(self.out)
    }

    fn set_permits(&mut self, permits: u32) {
        self.permits = permits;
    }
}
