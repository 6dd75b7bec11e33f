//! The run queue: a crossbeam channel of tasks that may run now, with its side queues, and one
//! mailbox per worker.
//
// An idle worker sleeps in `parking`, and not in the channel, which would wake a worker for each
// message. Mail wakes the worker that it is for. A busy worker reads a flag beside its mailbox. The
// flag is a hint that saves a receive; it wakes no worker.
//
// # Nudges
//
// A nudge is a message without a task. It makes a worker check everything again: the side queues
// have items, the number of run slots has changed, or the pool is over. One nudge in the channel
// stands for all items in the side queues:
//
//   push: puts an item into a side queue; then, if no nudge is on its way, sends one.
//   read: counts the nudge as read, then checks the side queues.
//   take: a worker that has taken an item and leaves others in the side queues sends a nudge if
//         none is on its way. So does a worker that has read a nudge and then did something else
//         (took mail, exited).
//
// All of these accesses are sequentially consistent. So whenever no thread is between two of these
// steps, either the side queues are empty or a nudge is on its way. A worker parks only after it
// has checked both, and a nudge wakes it. So no item is missed, and no item waits for a busy worker
// while another worker is idle.
//
// # Order
//
// A worker takes first what a gate has admitted, then what is above normal priority, then the
// channel, then what is below normal priority. So that nothing starves, a worker counts what it
// takes while the side queues have items: every 64th time it tries the channel first; half-way
// between, what is above normal priority (the tasks of a long line at a gate admit each other);
// every 4096th time what is below.

use crate::pool::parking::{Parking, Sleeper};
use crate::pool::side_queues::SideQueues;
use crate::reason::CancelReason;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::channel::{Receiver, Sender, unbounded};
use crate::sync::{let_gather, spin};
use crate::task::TaskRef;
use crate::task::pool::Rank;
use crate::task::timed::Cleanup;
use std::cell::Cell;
use std::mem;
use std::sync::Arc;

/// An item that a worker takes from the queue.
pub(crate) enum Work {
    Task(QueueEntry),
    /// Closures of the user to be dropped, left by a task that the timer has settled. It counts as
    /// a task of its own.
    Cleanup(Cleanup),
    Nudge,
}

/// A queued task, or a nudge. If the queue is dropped with it, its task settles as cancelled, so
/// that no handle waits for ever.
///
/// A message of two words keeps the channel's blocks small. So a nudge is a message without a task.
pub(crate) struct QueueEntry(Option<TaskRef>);

impl QueueEntry {
    pub(crate) fn new(task: TaskRef) -> Self {
        Self(Some(task))
    }

    pub(crate) fn into_task(mut self) -> TaskRef {
        let task = self.0.take();
        // Spares the drop, which would find nothing.
        mem::forget(self);
        task.expect("the entry of a task, which this call consumes")
    }
}

impl Drop for QueueEntry {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.cancel(CancelReason::Dropped);
        }
    }
}

/// Counts what one worker has taken while the side queues had items.
#[derive(Default)]
pub(crate) struct Tick(Cell<u32>);

const CHANNEL_FIRST: u32 = 64;
const LOW_FIRST: u32 = 4096;

/// First in, first out, and unbounded: `limit::Capacity` is the bound.
pub(crate) struct RunQueue {
    sender: Sender<QueueEntry>,
    receiver: Receiver<QueueEntry>,
    side: SideQueues,
    /// How many nudges are on their way.
    nudges: AtomicUsize,
    parking: Parking,
}

impl RunQueue {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = unbounded();
        Self {
            sender,
            receiver,
            side: SideQueues::new(),
            nudges: AtomicUsize::new(0),
            parking: Parking::new(),
        }
    }

    pub(crate) fn push(&self, entry: QueueEntry) {
        // Cannot fail: the receiver is beside the sender.
        let _ = self.sender.send(entry);
        self.parking.notify();
    }

    /// Sends a message after which a worker checks everything again.
    pub(crate) fn push_nudge(&self) {
        // ORDERING: counted before it is sent; pairs with `read` and `ensure_nudge`.
        self.nudges.fetch_add(1, Ordering::SeqCst);
        self.push(QueueEntry(None));
    }

    /// Sends a nudge if the side queues have items and none is on its way. Called after a push, and
    /// by a worker that has read a message and then does something else.
    pub(crate) fn ensure_nudge(&self) {
        // ORDERING: after the caller's own change; pairs with `read`.
        if self.side.len() > 0 && self.nudges.load(Ordering::SeqCst) == 0 {
            self.push_nudge();
        }
    }

    /// Puts a cleanup before everything that no gate has admitted.
    pub(crate) fn push_cleanup(&self, cleanup: Cleanup) {
        let first = Rank::Priority(i32::MAX);
        self.side.push(Work::Cleanup(cleanup), first);
        self.ensure_nudge();
    }

    /// Puts a task where it belongs by its rank.
    pub(crate) fn push_ranked(&self, entry: QueueEntry, rank: Rank) {
        if rank == Rank::Priority(0) {
            return self.push(entry);
        }
        self.side.push(Work::Task(entry), rank);
        self.ensure_nudge();
    }

    fn read(&self, entry: QueueEntry) -> Work {
        if entry.0.is_none() {
            // ORDERING: before the side queues are checked; pairs with `ensure_nudge`.
            self.nudges.fetch_sub(1, Ordering::SeqCst);
            return Work::Nudge;
        }
        Work::Task(entry)
    }

    /// Takes a task from the channel. The nudges before it go behind it: one of them may be for a
    /// worker that must exit.
    fn pop_channel(&self) -> Option<Work> {
        let mut nudges = 0;
        let item = loop {
            match self.receiver.try_recv().ok().map(|entry| self.read(entry)) {
                Some(Work::Nudge) => nudges += 1,
                item => break item,
            }
        };
        (0..nudges).for_each(|_| self.push_nudge());
        item
    }

    pub(crate) fn try_pop(&self, tick: &Tick) -> Option<Work> {
        if self.side.len() > 0 {
            return self.pop_with_side_queues(tick);
        }
        self.receiver.try_recv().ok().map(|entry| self.read(entry))
    }

    /// Takes a task from the channel while the side queues are empty: the fast path of a busy
    /// worker.
    #[inline]
    pub(crate) fn try_take(&self) -> Option<TaskRef> {
        if self.side.len() > 0 {
            return None;
        }
        let mut entry = self.receiver.try_recv().ok()?;
        let task = entry.0.take();
        match task {
            Some(_) => mem::forget(entry),
            None => drop(self.read(entry)),
        }
        task
    }

    #[cold]
    fn pop_with_side_queues(&self, tick: &Tick) -> Option<Work> {
        let now = tick.0.get().wrapping_add(1);
        tick.0.set(now);
        let mut item = None;
        if now % LOW_FIRST == 0 {
            item = self.side.pop_low();
        }
        if item.is_none() && now % CHANNEL_FIRST == 0 {
            item = self.pop_channel();
        }
        if now % CHANNEL_FIRST == CHANNEL_FIRST / 2 {
            item = self.side.pop_high();
        }
        let item = item
            .or_else(|| self.side.pop_first())
            .or_else(|| self.pop_channel())
            .or_else(|| self.side.pop_low());
        self.ensure_nudge();
        item
    }

    /// Waits for an item or for mail; mail comes first. `has_caught_up`: the worker has taken
    /// several items in a row, and then found no other.
    pub(crate) fn pop(&self, tick: &Tick, mail: &Mailbox, has_caught_up: bool) -> Work {
        let mut searches = self.parking.search();
        if has_caught_up && searches {
            let_gather(|| !self.is_empty());
        }
        loop {
            let mut item = None;
            let mut search = || {
                // A check only reads, while a failed pop is a fence.
                if !mail.is_empty() {
                    item = mail.take().map(Work::Task);
                } else if !self.is_empty() {
                    item = self.try_pop(tick);
                }
                item.is_some()
            };
            let found = if searches { spin(search) } else { search() };
            if searches {
                self.parking.end_search(found, || self.has_message());
            }
            if let Some(item) = item {
                return item;
            }
            let is_ready = || self.has_message() || !mail.is_empty();
            searches = self.parking.sleep(&mail.sleeper, is_ready) || self.parking.search();
        }
    }

    /// Whether the channel has a message.
    pub(crate) fn has_message(&self) -> bool {
        !self.receiver.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        // ORDERING: before the lengths are read. A nudge that is read in between then hides a task
        // for a moment, and adds none.
        let nudges = self.nudges.load(Ordering::SeqCst);
        (self.receiver.len() + self.side.len()).saturating_sub(nudges)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.receiver.is_empty() && self.side.len() == 0
    }
}

/// Tasks for one worker and no other.
pub(crate) struct Mailbox {
    sender: Sender<QueueEntry>,
    receiver: Receiver<QueueEntry>,
    /// Set after a message was sent, cleared before the mailbox is emptied.
    hint: AtomicBool,
    sleeper: Arc<Sleeper>,
}

impl Mailbox {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = unbounded();
        Self {
            sender,
            receiver,
            hint: AtomicBool::new(false),
            sleeper: Sleeper::new(),
        }
    }

    pub(crate) fn post(&self, task: TaskRef) {
        // Cannot fail: the receiver is beside the sender.
        let _ = self.sender.send(QueueEntry::new(task));
        // ORDERING: release, after the message was sent; pairs with `try_next`.
        self.hint.swap(true, Ordering::Release);
        self.sleeper.wake();
    }

    /// Whether a busy worker must call `try_next`.
    #[inline]
    pub(crate) fn has_hint(&self) -> bool {
        self.hint.load(Ordering::Relaxed)
    }

    /// Takes the next message if the hint is set. A busy worker calls it between tasks.
    pub(crate) fn try_next(&self) -> Option<QueueEntry> {
        if !self.has_hint() {
            return None;
        }
        let next = self.take();
        if next.is_some() {
            return next;
        }
        // ORDERING: acquire; pairs with `post`. The next line sees each message whose hint this
        // call clears. The hint of any other stands.
        self.hint.swap(false, Ordering::Acquire);
        let late = self.take();
        if late.is_some() {
            // There may be more whose hints are cleared.
            self.hint.store(true, Ordering::Relaxed);
        }
        late
    }

    /// Takes the next message, whatever the hint is.
    pub(crate) fn take(&self) -> Option<QueueEntry> {
        self.receiver.try_recv().ok()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.receiver.is_empty()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_two_words() {
        assert_eq!(size_of::<QueueEntry>(), 2 * size_of::<usize>());
    }
}

#[cfg(all(test, loom))]
#[path = "../../tests/loom/queue.rs"]
mod models;
