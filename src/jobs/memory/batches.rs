//! The last batch of each producer that numbers its batches.
//!
//! Layer: jobs.

use crate::jobs::{BatchNumber, JobsError, JobsErrorKind, Placed, StoredTime};
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

/// A producer is forgotten so long after its last batch.
const KEPT: Duration = Duration::from_secs(3600);

#[derive(Debug, Default)]
pub(super) struct Batches {
    last: HashMap<u64, Last>,
    by_time: BTreeSet<(StoredTime, u64)>,
}

#[derive(Debug)]
struct Last {
    number: u64,
    until: StoredTime,
    placed: Vec<Placed>,
}

impl Batches {
    /// Returns the answer to this batch, if it was answered before.
    pub(super) fn answer(&self, batch: BatchNumber) -> Result<Option<Vec<Placed>>, JobsError> {
        let BatchNumber { producer, number } = batch;
        match self.last.get(&producer) {
            Some(last) if last.number == number => Ok(Some(last.placed.clone())),
            Some(last) if last.number > number => Err(JobsError::new(
                JobsErrorKind::Stale,
                format!(
                    "batch {number} of producer {producer} came after its batch {}",
                    last.number
                ),
            )),
            _ => Ok(None),
        }
    }

    pub(super) fn keep(&mut self, batch: BatchNumber, placed: &[Placed], now: StoredTime) {
        let last = Last {
            number: batch.number,
            until: now + KEPT,
            placed: placed.to_vec(),
        };
        self.by_time.insert((last.until, batch.producer));
        if let Some(before) = self.last.insert(batch.producer, last) {
            // Of the same time, it is the entry of this batch.
            if before.until != now + KEPT {
                self.by_time.remove(&(before.until, batch.producer));
            }
        }
    }

    /// Forgets at most so many producers.
    pub(super) fn forget(&mut self, most: usize, now: StoredTime) {
        for _ in 0..most {
            match self.by_time.first() {
                Some((until, producer)) if *until <= now => self.last.remove(producer),
                _ => return,
            };
            self.by_time.pop_first();
        }
    }
}
