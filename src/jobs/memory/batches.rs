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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::JobId;

    #[test]
    fn the_last_batch_of_a_producer_is_answered_for_an_hour() {
        let mut batches = Batches::default();
        let batch = |number| BatchNumber {
            producer: 7,
            number,
        };
        let placed = [Placed::New(JobId(1))];
        for (number, now) in [(3, 0), (4, 0), (5, 9)] {
            batches.keep(batch(number), &placed, StoredTime(now));
        }
        let kind = batches.answer(batch(4)).unwrap_err().kind();
        assert_eq!(kind, JobsErrorKind::Stale);
        assert_eq!(batches.answer(batch(6)).unwrap(), None);
        batches.forget(9, StoredTime(3_600_008));
        assert_eq!(batches.answer(batch(5)).unwrap(), Some(placed.to_vec()));
        batches.forget(9, StoredTime(3_600_009));
        assert!(batches.last.is_empty() && batches.by_time.is_empty());
    }
}
