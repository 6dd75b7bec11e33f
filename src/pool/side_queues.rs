//! The side queues of the run queue: for tasks that bodies of the pool submitted, for those that a
//! gate has admitted, for those above normal priority, and for those below; and for what a sweep
//! has taken out of the channel.
//!
//! It knows items and their ranks, and not the channel. Items of equal level and priority keep the
//! order in which they were pushed. Those that a gate has admitted keep the order of its line.

use crate::pool::queue::Work;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::number_map::NumberMap;
use crate::task::TaskRef;
use crate::task::pool::{Level, Rank};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::mem;

pub(crate) struct SideQueues {
    queues: Mutex<Queues>,
    /// The number of items in all queues, and in the inner one. Written with them locked.
    len: AtomicUsize,
    inner: AtomicUsize,
}

/// Which inner item is to be taken.
#[derive(Clone, Copy)]
pub(crate) enum Next {
    /// The deepest one, if it has this height.
    First {
        from: u8,
    },
    Oldest,
}

struct Queues {
    /// How many items were pushed so far.
    pushed: u64,
    /// What bodies of the pool submitted, by the height of the level, and by priority.
    inner: NumberMap<VecDeque<Inner>>,
    /// An empty one, kept for the next level: a tree of tasks comes and goes through its levels.
    spare: VecDeque<Inner>,
    /// By the order of the gate's line.
    admitted: BinaryHeap<Ranked>,
    high: BinaryHeap<Ranked>,
    /// What was in the channel at the last sweep: older than all that is in it now.
    older: VecDeque<Work>,
    low: BinaryHeap<Ranked>,
}

struct Inner {
    age: u64,
    item: Work,
    level: Level,
    /// The task whose body submitted it, if that may still run.
    parent: Option<TaskRef>,
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
                inner: NumberMap::new(),
                spare: VecDeque::new(),
                admitted: BinaryHeap::new(),
                high: BinaryHeap::new(),
                older: VecDeque::new(),
                low: BinaryHeap::new(),
            }),
            len: AtomicUsize::new(0),
            inner: AtomicUsize::new(0),
        }
    }

    /// Puts an item of `level` into the inner queue.
    pub(crate) fn push_inner(
        &self,
        item: Work,
        level: Level,
        priority: i32,
        parent: Option<TaskRef>,
    ) {
        let mut queues = self.queues.lock();
        queues.pushed += 1;
        let age = queues.pushed;
        let inner = Inner {
            age,
            item,
            level,
            parent,
        };
        let Queues {
            inner: all, spare, ..
        } = &mut *queues;
        let key = key(level.height(), priority);
        match all.get_mut(key) {
            Some(equals) => equals.push_back(inner),
            None => {
                let mut equals = mem::take(spare);
                equals.push_back(inner);
                all.insert(key, equals);
            }
        }
        // ORDERING: as in `push`.
        self.inner.fetch_add(1, Ordering::SeqCst);
        self.len.fetch_add(1, Ordering::SeqCst);
    }

    /// Takes an item from the inner queue, with its level and parent.
    pub(crate) fn pop_inner(&self, which: Next) -> Option<(Work, Level, Option<TaskRef>)> {
        if self.inner_len() == 0 {
            return None;
        }
        let mut queues = self.queues.lock();
        let all = &mut queues.inner;
        let key = match which {
            Next::First { from } => all.last().filter(|key| height(*key) >= from)?,
            Next::Oldest => {
                let age =
                    |(_, equals): &(u64, &VecDeque<Inner>)| equals.front().map(|inner| inner.age);
                all.iter().min_by_key(age)?.0
            }
        };
        let equals = all.get_mut(key)?;
        let inner = equals.pop_front()?;
        if equals.is_empty() {
            let mut spare = all.remove(key).unwrap_or_default();
            spare.shrink_to(KEPT);
            queues.spare = spare;
        }
        // ORDERING: as in `push`.
        self.inner.fetch_sub(1, Ordering::SeqCst);
        self.len.fetch_sub(1, Ordering::SeqCst);
        drop(queues);
        Some((inner.item, inner.level, inner.parent))
    }

    /// The height of the deepest item in the inner queue.
    pub(crate) fn inner_height(&self) -> u8 {
        let queues = self.queues.lock();
        queues.inner.last().map_or(0, height)
    }

    /// How many items are in the inner queue.
    pub(crate) fn inner_len(&self) -> usize {
        // ORDERING: as in `push`.
        self.inner.load(Ordering::SeqCst)
    }

    /// Puts an item into its queue. An item of normal priority belongs into the channel.
    pub(crate) fn push(&self, item: Work, rank: Rank) {
        debug_assert_ne!(rank, Rank::Priority(0), "no side queue has this rank");
        let mut queues = self.queues.lock();
        queues.pushed += 1;
        let age = Reverse(queues.pushed);
        match rank {
            Rank::Inner(..) => unreachable!("`push_inner` is for these"),
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
    /// above normal priority, or else one that was in the channel before.
    pub(crate) fn pop_first(&self) -> Option<Work> {
        self.pop(|queues| {
            let first = queues.admitted.pop().or_else(|| queues.high.pop());
            let first = first.map(|ranked| ranked.item);
            first.or_else(|| pop_front(&mut queues.older))
        })
    }

    pub(crate) fn has_admitted(&self) -> bool {
        !self.queues.lock().admitted.is_empty()
    }

    /// Takes an item that a gate has admitted.
    pub(crate) fn pop_admitted(&self) -> Option<Work> {
        self.pop(|queues| queues.admitted.pop().map(|ranked| ranked.item))
    }

    /// Takes an item that was in the channel before.
    pub(crate) fn pop_older(&self) -> Option<Work> {
        self.pop(|queues| pop_front(&mut queues.older))
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

    /// Removes the entries of tasks that a worker would not run any more, if there are enough of
    /// them (`is_due`). `channel` takes what is in the channel; what is left of that is kept here.
    pub(crate) fn sweep(
        &self,
        is_due: impl FnOnce() -> bool,
        channel: impl FnOnce() -> Vec<Work>,
    ) -> Vec<Swept> {
        let mut queues = self.queues.lock();
        // Another thread may have swept meanwhile.
        if !is_due() {
            return Vec::new();
        }
        // ORDERING: as in `push`, and before the channel is read. From here on a worker that checks
        // the length comes to the lock, and so takes what is in no queue for the moment before what
        // is in the channel.
        self.len.fetch_add(1, Ordering::SeqCst);
        let moved = channel();
        // ORDERING: as in `push`.
        self.len.fetch_add(moved.len(), Ordering::SeqCst);
        queues.older.extend(moved);
        let mut swept = Vec::new();
        let Queues {
            inner: all, older, ..
        } = &mut *queues;
        for equals in all.values_mut() {
            equals.retain_mut(|inner| keep(&mut inner.item, &mut inner.parent, &mut swept));
            shrink(equals);
        }
        let is_empty = |(key, equals): (u64, &VecDeque<Inner>)| equals.is_empty().then_some(key);
        let empty: Vec<u64> = all.iter().filter_map(is_empty).collect();
        for key in empty {
            all.remove(key);
        }
        // ORDERING: as in `push`.
        self.inner.fetch_sub(swept.len(), Ordering::SeqCst);
        older.retain_mut(|item| keep(item, &mut None, &mut swept));
        shrink(older);
        let Queues {
            admitted,
            high,
            low,
            ..
        } = &mut *queues;
        for ranked in [admitted, high, low] {
            let mut items = mem::take(ranked).into_vec();
            items.retain_mut(|ranked| keep(&mut ranked.item, &mut None, &mut swept));
            *ranked = items.into();
        }
        // ORDERING: as in `push`.
        self.len.fetch_sub(swept.len() + 1, Ordering::SeqCst);
        swept
    }

    /// For loom, which may read what an atomic was made with after a newer value was stored.
    #[cfg(all(test, loom))]
    pub(crate) fn in_order(&self) {
        // ORDERING: before any other thread of the model starts.
        self.len.store(0, Ordering::SeqCst);
        self.inner.store(0, Ordering::SeqCst);
    }

    pub(crate) fn len(&self) -> usize {
        // ORDERING: as in `push`.
        self.len.load(Ordering::SeqCst)
    }
}

/// A task whose entry a sweep has removed, and the task whose body submitted it. Dropped with no
/// lock held.
pub(crate) type Swept = (TaskRef, Option<TaskRef>);

/// Whether a sweep leaves an item where it is.
fn keep(item: &mut Work, parent: &mut Option<TaskRef>, swept: &mut Vec<Swept>) -> bool {
    let dead = item.take_dead();
    let is_live = dead.is_none();
    swept.extend(dead.map(|task| (task, parent.take())));
    is_live
}

/// Orders by height and then by priority.
fn key(height: u8, priority: i32) -> u64 {
    // The sign is turned over, so that negative priorities come first.
    u64::from(height) << 32 | u64::from(priority as u32 ^ 1 << 31)
}

fn height(key: u64) -> u8 {
    (key >> 32) as u8
}

/// An empty queue keeps room for so many items.
const KEPT: usize = 1024;

/// Returns memory after many items have left.
fn shrink<T>(queue: &mut VecDeque<T>) {
    if queue.capacity() > KEPT && 4 * queue.len() < queue.capacity() {
        queue.shrink_to(KEPT.max(2 * queue.len()));
    }
}

fn pop_front<T>(queue: &mut VecDeque<T>) -> Option<T> {
    let item = queue.pop_front();
    shrink(queue);
    item
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
