//! The side queues of the run queue: for tasks that a gate has admitted, for those above normal
//! priority, and for those below.
//!
//! It knows items and their ranks, and not the channel. Items of equal priority keep the order in
//! which they were pushed. Those that a gate has admitted keep the order of its line.

use crate::pool::queue::Work;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::task::pool::Rank;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

pub(crate) struct SideQueues {
    queues: Mutex<Queues>,
    /// The number of items in all queues. Written with them locked.
    len: AtomicUsize,
}

struct Queues {
    /// How many items were pushed so far.
    pushed: u64,
    /// By the order of the gate's line.
    admitted: BinaryHeap<Ranked>,
    high: BinaryHeap<Ranked>,
    low: BinaryHeap<Ranked>,
}

struct Ranked {
    rank: (i32, Reverse<u64>),
    item: Work,
}

impl SideQueues {
    pub(crate) fn new() -> Self {
        Self {
            queues: Mutex::new(Queues {
                pushed: 0,
                admitted: BinaryHeap::new(),
                high: BinaryHeap::new(),
                low: BinaryHeap::new(),
            }),
            len: AtomicUsize::new(0),
        }
    }

    /// Puts an item into its queue. An item of normal priority belongs into the channel.
    pub(crate) fn push(&self, item: Work, rank: Rank) {
        debug_assert_ne!(rank, Rank::Priority(0), "no side queue has this rank");
        let mut queues = self.queues.lock();
        queues.pushed += 1;
        let age = Reverse(queues.pushed);
        match rank {
            Rank::Front(order) => queues.admitted.push(Ranked {
                rank: (0, Reverse(order)),
                item,
            }),
            Rank::Priority(priority) => {
                let queue = match priority > 0 {
                    true => &mut queues.high,
                    false => &mut queues.low,
                };
                queue.push(Ranked {
                    rank: (priority, age),
                    item,
                });
            }
        }
        // ORDERING: sequentially consistent, as every access to it; see `queue`.
        self.len.fetch_add(1, Ordering::SeqCst);
    }

    /// Takes an item that comes before the channel: one that a gate has admitted, or else one
    /// above normal priority.
    pub(crate) fn pop_first(&self) -> Option<Work> {
        self.pop(|queues| {
            let first = queues.admitted.pop().or_else(|| queues.high.pop());
            first.map(|ranked| ranked.item)
        })
    }

    /// Takes an item above normal priority, even if a gate has admitted others.
    pub(crate) fn pop_high(&self) -> Option<Work> {
        self.pop(|queues| queues.high.pop().map(|ranked| ranked.item))
    }

    /// Takes an item below normal priority, which comes after the channel.
    pub(crate) fn pop_low(&self) -> Option<Work> {
        self.pop(|queues| queues.low.pop().map(|ranked| ranked.item))
    }

    fn pop(&self, pop: impl FnOnce(&mut Queues) -> Option<Work>) -> Option<Work> {
        let mut queues = self.queues.lock();
        let item = pop(&mut queues)?;
        // ORDERING: as in `push`.
        self.len.fetch_sub(1, Ordering::SeqCst);
        Some(item)
    }

    /// For loom, which may read what an atomic was made with after a newer value was stored.
    #[cfg(all(test, loom))]
    pub(crate) fn in_order(&self) {
        // ORDERING: before any other thread of the model starts.
        self.len.store(0, Ordering::SeqCst);
    }

    pub(crate) fn len(&self) -> usize {
        // ORDERING: as in `push`.
        self.len.load(Ordering::SeqCst)
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.rank == other.rank
    }
}

impl Eq for Ranked {}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank.cmp(&other.rank)
    }
}
