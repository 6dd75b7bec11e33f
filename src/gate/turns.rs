//! The rule of a lane: one after the other, in the order in which they entered.
//!
//! Layer 1, pure.

use crate::gate::rule::{Refusal, Rule};
use std::collections::BTreeSet;
use std::time::Instant;

/// All who have entered and not left: the first is the one whose turn it is. He keeps it until he leaves, whether he
/// runs, waits for another attempt, or stands before another gate.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    entered: BTreeSet<u64>,
}

impl Rule for Turns {
    fn ask(&mut self, _: Instant, order: u64, _: u32) -> Result<(), Refusal> {
        match self.entered.first() {
            Some(first) if *first == order => Ok(()),
            _ => Err(Refusal::Later),
        }
    }

    fn take(&mut self, _: Instant, _: u64, _: u32) {}

    fn give_back(&mut self, order: u64, _: u32, last: bool) {
        if last {
            self.entered.remove(&order);
        }
    }

    fn enter(&mut self, order: u64) {
        self.entered.insert(order);
    }

    fn is_fresh(&mut self, _: Instant) -> bool {
        self.entered.is_empty()
    }

    fn heaviest(&self) -> u32 {
        u32::MAX
    }

    fn available(&mut self, _: Instant) -> u32 {
        u32::from(self.entered.is_empty())
    }
}
