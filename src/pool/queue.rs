//! The run queue: a crossbeam channel of tasks that may run now, with its side queues, among them
//! the inner queue, and one mailbox per worker.
//
// An idle worker sleeps in `parking`, and not in the channel, which would wake a worker for each
// message. Mail wakes the worker that it is for. A busy worker reads a flag beside its mailbox.
//
// # Who wakes a worker
//
// A thread that pushes calls `Parking::notify`, to the channel as to a side queue. A worker that is
// about to sleep reads the lengths of both, after it is in the list of those that sleep. A worker
// that found the queue not empty and then did something else (took mail, left) calls `pass_on`.
//
// A nudge, a message without a task, makes a worker check again: for run slots, or the end.
//
// # Order
//
// A worker takes first what bodies of the pool have submitted, by level, priority and age; then
// what a gate has admitted, then what is above normal priority, then the channel, then what is
// below normal priority.
//
// The level of such an inner task is one more than that of the body that submitted it. So a run
// slot that a waiting body releases is filled by what that body waits for, and not by one more task
// from outside: a tree of tasks needs threads by its depth. A task whose parent has ended runs at
// the level of the parent: one that submits itself again and again stays at its level. A task that
// waited for time, a gate or its predecessors counts as one without a parent.
//
// So that others have their turn, a worker counts what it takes while the side queues have items:
// every 64th time it tries the channel first, and at other times the oldest inner task, or what is
// above normal priority (the tasks of a long line at a gate admit each other); every 4096th time
// what is below. While there are inner tasks, as many tasks taken so may run as the pool has
// workers, the inner ones included: more would open one subtree after the other, and need a thread
// for each. What such a task submits is lifted above all that is in the inner queue then. So the
// task ends, and its turn goes to another.

use crate::panic;
use crate::pool::mailbox::Mailbox;
use crate::pool::parking::Parking;
use crate::pool::side_queues::{Next, SideQueues};
use crate::pool::slot_counts::Ready;
use crate::reason::CancelReason;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::channel::{Receiver, Sender, unbounded};
use crate::sync::{let_gather, spin};
use crate::task::TaskRef;
use crate::task::pool::{Level, Rank};
use crate::task::timed::Cleanup;
use std::cell::Cell;
use std::mem;

/// An item that a worker takes from the queue.
pub(crate) enum Work {
    Task(QueueEntry, Turn),
    /// Closures of the user to be dropped, left by a task that the timer has settled. It counts as
    /// a task of its own.
    Cleanup(Cleanup),
    Nudge,
}

/// How a task was taken.
#[derive(Default)]
pub(crate) struct Turn {
    /// The level at which it runs.
    pub(crate) level: Level,
    /// The task whose body submitted it, if that may still run.
    pub(crate) parent: Option<TaskRef>,
    /// Whether it was taken before inner tasks, so that it does not starve. Its worker calls
    /// [`RunQueue::fair_task_ended`].
    pub(crate) is_fair: bool,
}

/// A queued task, or a nudge. If the queue is dropped with it, its task settles as cancelled, so
/// that no handle waits for ever.
///
/// A message of two words keeps the channel's blocks small. So a nudge is a message without a task.
pub(crate) struct QueueEntry(pub(super) Option<TaskRef>);

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
    pub(super) receiver: Receiver<QueueEntry>,
    pub(super) side: SideQueues,
    /// How many nudges are on their way.
    nudges: AtomicUsize,
    /// How many entries are dead; see `sweep`.
    pub(super) dead: AtomicUsize,
    /// Tasks that were taken before inner ones and have not ended, and how many there may be: as
    /// many as the pool has workers. So fairness costs at most so many threads.
    fair: AtomicUsize,
    most_fair: AtomicUsize,
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
            dead: AtomicUsize::new(0),
            fair: AtomicUsize::new(0),
            most_fair: AtomicUsize::new(1),
            parking: Parking::new(),
        }
    }

    #[inline]
    pub(crate) fn push(&self, entry: QueueEntry) {
        // Cannot fail: the receiver is beside the sender.
        let _ = self.sender.send(entry);
        self.parking.notify();
    }

    /// Whether a push would wake a worker now.
    #[inline]
    pub(crate) fn would_wake(&self) -> bool {
        self.parking.would_wake()
    }

    /// Sends a message after which a worker checks everything again.
    pub(crate) fn push_nudge(&self) {
        // ORDERING: counted before it is sent; pairs with `len`.
        self.nudges.fetch_add(1, Ordering::SeqCst);
        self.push(QueueEntry(None));
    }

    /// Sends such a message to one of so many idle workers, unless there is one for each already.
    pub(crate) fn nudge_one_of(&self, idle: usize) {
        // ORDERING: as in `push_nudge`. A worker takes a message off this count before it checks.
        if self.nudges.load(Ordering::SeqCst) < idle {
            self.push_nudge();
        }
    }

    /// Wakes a worker if there is something to do. Called by a worker that has looked and then does
    /// something else.
    pub(crate) fn pass_on(&self) {
        if !self.is_empty() {
            self.parking.notify();
        }
    }

    /// Puts a cleanup before everything else.
    pub(crate) fn push_cleanup(&self, cleanup: Cleanup) {
        let cleanup = Work::Cleanup(cleanup);
        let first = Level::default().lifted(u8::MAX);
        self.side.push_inner(cleanup, first, i32::MAX, None);
        self.parking.notify();
    }

    /// Puts a task that a body of the pool submitted into the inner queue. `parent` is the task of
    /// that body, if it runs here.
    pub(crate) fn push_inner(
        &self,
        entry: QueueEntry,
        level: Level,
        priority: i32,
        parent: Option<TaskRef>,
    ) {
        let task = Work::Task(entry, Turn::default());
        self.side.push_inner(task, level, priority, parent);
        self.parking.notify();
    }

    /// The pool has so many workers now.
    pub(crate) fn set_workers(&self, workers: usize) {
        self.most_fair.store(workers, Ordering::Relaxed);
    }

    /// A task with a fair turn has ended.
    pub(crate) fn fair_task_ended(&self) {
        self.fair.fetch_sub(1, Ordering::Relaxed);
    }

    /// Puts a task where it belongs by its rank.
    pub(crate) fn push_ranked(&self, entry: QueueEntry, rank: Rank) {
        if rank == Rank::Priority(0) {
            return self.push(entry);
        }
        self.side.push(Work::Task(entry, Turn::default()), rank);
        self.parking.notify();
    }

    pub(super) fn read(&self, entry: QueueEntry) -> Work {
        if entry.0.is_none() {
            // ORDERING: as in `push_nudge`.
            self.nudges.fetch_sub(1, Ordering::SeqCst);
            return Work::Nudge;
        }
        Work::Task(entry, Turn::default())
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

    /// Takes a task from the channel, or one that was there before the last sweep.
    fn pop_outer(&self) -> Option<Work> {
        self.side.pop_older().or_else(|| self.pop_channel())
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
        self.pop_fairly(now)
            .or_else(|| self.pop_inner(Next::First { from: 0 }))
            .or_else(|| self.side.pop_first())
            .or_else(|| self.pop_channel())
            .or_else(|| self.side.pop_low())
    }

    fn pop_inner(&self, which: Next) -> Option<Work> {
        let (item, level, parent) = self.side.pop_inner(which)?;
        let (level, parent) = match parent {
            Some(parent) if !parent.head.is_settled() => (level, Some(parent)),
            ended => {
                panic::discard(ended);
                (level.without_parent(), None)
            }
        };
        let turn = Turn {
            level,
            parent,
            is_fair: false,
        };
        Some(match item {
            Work::Task(entry, _) => Work::Task(entry, turn),
            other => other,
        })
    }

    /// Now and then an item has its turn that comes after others otherwise.
    fn pop_fairly(&self, now: u32) -> Option<Work> {
        if now % (CHANNEL_FIRST / 4) != 0 {
            return None;
        }
        let has_inner = self.side.inner_len() > 0;
        let most = self.most_fair.load(Ordering::Relaxed);
        // Two workers that look at once may exceed the limit by one.
        if has_inner && self.fair.load(Ordering::Relaxed) >= most {
            return None;
        }
        let above = self.side.inner_height();
        let item = match now % CHANNEL_FIRST * 4 / CHANNEL_FIRST {
            0 if now % LOW_FIRST == 0 => self.side.pop_low().or_else(|| self.pop_outer()),
            0 => self.pop_outer(),
            1 => self.pop_inner(Next::Oldest),
            2 => self.side.pop_high(),
            _ => None,
        };
        match item {
            Some(Work::Task(entry, turn)) if has_inner => {
                self.fair.fetch_add(1, Ordering::Relaxed);
                let turn = Turn {
                    level: turn.level.lifted(above),
                    is_fair: true,
                    ..turn
                };
                Some(Work::Task(entry, turn))
            }
            item => item,
        }
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
                    item = mail.take().map(|entry| Work::Task(entry, Turn::default()));
                } else if !self.is_empty() {
                    item = self.try_pop(tick);
                }
                item.is_some()
            };
            let found = if searches { spin(search) } else { search() };
            if searches {
                self.parking.end_search(found, || !self.is_empty());
            }
            if let Some(item) = item {
                return item;
            }
            let is_ready = || !self.is_empty() || !mail.is_empty();
            searches = self.parking.sleep(mail.sleeper(), is_ready) || self.parking.search();
        }
    }

    pub(crate) fn len(&self) -> usize {
        // ORDERING: before the lengths are read. A nudge that is read in between then hides a task
        // for a moment, and adds none.
        let nudges = self.nudges.load(Ordering::SeqCst);
        (self.receiver.len() + self.side.len()).saturating_sub(nudges)
    }

    /// How many workers sleep, and how often one has left its sleep.
    pub(crate) fn asleep(&self) -> (usize, u64) {
        self.parking.asleep()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.receiver.is_empty() && self.side.len() == 0
    }

    /// What there is to do.
    pub(crate) fn ready(&self) -> Ready {
        match () {
            () if self.side.inner_len() > 0 => Ready::Inner(self.side.inner_height()),
            () if self.is_empty() => Ready::Nothing,
            () if self.side.has_admitted() => Ready::Admitted,
            () => Ready::Outer,
        }
    }

    /// Takes the next task that a gate has admitted.
    pub(crate) fn try_pop_admitted(&self) -> Option<Work> {
        self.side.pop_admitted()
    }

    /// Takes the next task that a body of the pool submitted, from this height on.
    pub(crate) fn try_pop_inner(&self, from: u8) -> Option<Work> {
        self.pop_inner(Next::First { from })
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
