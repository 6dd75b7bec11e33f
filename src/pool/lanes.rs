//! The side lanes of the run queue: what a gate has called, what is urgent, what can wait.
//!
//! Layer 3. It knows tickets and their ranks, and no channel. Equal priorities keep the order of their arrival; what a
//! gate has called keeps the order of its line.

use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::task::Rank;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

pub(crate) struct Lanes<T> {
    heaps: Mutex<Heaps<T>>,
    /// How many are in them. Written under the lock.
    len: AtomicUsize,
}

struct Heaps<T> {
    arrivals: u64,
    front: BTreeMap<u64, T>,
    urgent: BinaryHeap<Ranked<T>>,
    low: BinaryHeap<Ranked<T>>,
}

struct Ranked<T> {
    rank: (i32, Reverse<u64>),
    item: T,
}

impl<T> Lanes<T> {
    pub(crate) fn new() -> Self {
        Self {
            heaps: Mutex::new(Heaps {
                arrivals: 0,
                front: BTreeMap::new(),
                urgent: BinaryHeap::new(),
                low: BinaryHeap::new(),
            }),
            len: AtomicUsize::new(0),
        }
    }

    /// Puts an item into its lane; normal ones, which belong into the channel, are given back.
    pub(crate) fn push(&self, item: T, rank: Rank) -> Result<(), T> {
        if rank == Rank::Priority(0) {
            return Err(item);
        }
        let mut heaps = self.heaps.lock();
        heaps.arrivals += 1;
        let arrival = Reverse(heaps.arrivals);
        match rank {
            Rank::Front(order) => {
                let twice = heaps.front.insert(order, item);
                debug_assert!(twice.is_none(), "a task has one ticket at a time");
            }
            Rank::Priority(priority) => {
                let lane = if priority > 0 {
                    &mut heaps.urgent
                } else {
                    &mut heaps.low
                };
                lane.push(Ranked {
                    rank: (priority, arrival),
                    item,
                });
            }
        }
        // ORDERING: sequentially consistent; see `queue`.
        self.len.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    /// What comes before the channel: what a gate has called, then what is urgent.
    pub(crate) fn pop_high(&self) -> Option<T> {
        self.pop(|heaps| {
            let called = heaps.front.pop_first().map(|(_, item)| item);
            called.or_else(|| heaps.urgent.pop().map(|ranked| ranked.item))
        })
    }

    /// What is urgent, though a gate has called others.
    pub(crate) fn pop_urgent(&self) -> Option<T> {
        self.pop(|heaps| heaps.urgent.pop().map(|ranked| ranked.item))
    }

    /// What comes after the channel.
    pub(crate) fn pop_low(&self) -> Option<T> {
        self.pop(|heaps| heaps.low.pop().map(|ranked| ranked.item))
    }

    fn pop(&self, pop: impl FnOnce(&mut Heaps<T>) -> Option<T>) -> Option<T> {
        let mut heaps = self.heaps.lock();
        let item = pop(&mut heaps)?;
        self.len.fetch_sub(1, Ordering::SeqCst);
        Some(item)
    }

    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::SeqCst)
    }
}

impl<T> PartialEq for Ranked<T> {
    fn eq(&self, other: &Self) -> bool {
        self.rank == other.rank
    }
}

impl<T> Eq for Ranked<T> {}

impl<T> PartialOrd for Ranked<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Ranked<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank.cmp(&other.rank)
    }
}

#[cfg(all(test, loom))]
#[path = "../../tests/loom/lanes.rs"]
mod models;
