//! The run queue: a crossbeam channel of tasks that may run now, with its side lanes, and a mailbox per worker.
//!
//! Layer 3. Behind a small trait, so that a schedule explorer can put its own queue in the channel's place: the
//! channel is not instrumented.
//
// An idle worker sleeps in `parking`, and not in the channel, which would wake one for each message. Mail wakes the worker that
// it is for. A busy worker looks at a flag of its own beside the mailbox; the flag is a hint that saves a look, never the
// wake-up.
//
// What lies in a side lane is announced by a `Look` in the channel, one for all that lies there:
//
//   push: put it into the lane, then, if no look is on its way, send one.
//   read: count the look out, then look into the lanes.
//   take: whoever has taken an item and leaves others in the lanes sends a look if none is on its way, as does whoever
//         has read one and then did something else (took mail, left the pool).
//
// All of these are sequentially consistent. So whenever nobody is between two of these steps, either the lanes are empty
// or a look is on its way; a worker parks only after it has looked at both, and a look wakes it: nothing is lost, and
// nothing waits for a busy worker while another one is idle.
//
// A worker takes what a gate has called first, then what is urgent, then the channel, then what can wait. Every 64th of
// its takes with something in the lanes tries the channel first, half-way between two of these one what is urgent (the
// tasks of a long line call each other), and every 4096th what can wait: so nothing starves.

use crate::pool::lanes::Lanes;
use crate::pool::parking::{Parking, Sleeper};
use crate::reason::CancelReason;
use crate::spin::spin;
use crate::task::{Queued, Rank, Remains, TaskRef};
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// What a worker gets.
pub(crate) enum Item {
    Task(Ticket),
    /// What is the user's of a task that the timer has settled. Announced as a task is, until it is done.
    Remains(Remains),
    Look,
}

/// A queued task. Dropped unread, with its queue, it settles the task as cancelled: no handle waits for ever.
///
/// In the channel nothing stands for a look: whoever reads it looks again, since something lies in a side lane, the number of
/// workers has changed, or the pool is over. So a message is two words, and a block of them stays small.
pub(crate) struct Ticket(Option<Arc<dyn Queued>>);

impl Ticket {
    pub(crate) fn new(task: Arc<dyn Queued>) -> Self {
        Self(Some(task))
    }

    pub(crate) fn redeem(mut self) -> Arc<dyn Queued> {
        self.0.take().expect("redeemed once, since it is consumed")
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.dismiss(CancelReason::Dropped);
        }
    }
}

pub(crate) trait RunQueue: Send + Sync {
    fn push(&self, task: Ticket);
    fn push_look(&self);
    /// Before everything else that is not called by a gate.
    fn push_remains(&self, remains: Remains);
    /// Puts a task where it belongs by its rank.
    fn push_ranked(&self, ticket: Ticket, rank: Rank);
    fn try_pop(&self, takes: &Takes) -> Option<Item>;
    /// Waits for an item or for mail; mail comes first. What lies in the side lanes is told of by a look.
    fn pop(&self, takes: &Takes, mail: &Mailbox) -> Item;
    /// Something may lie in the side lanes, and the caller has read a look and does something else.
    fn pass_on_look(&self);
    /// Whether a pop would find something in the channel at once.
    fn has_message(&self) -> bool;
    fn len(&self) -> usize;
    fn is_empty(&self) -> bool;
}

/// How often a worker has taken something while there was something in the side lanes.
#[derive(Default)]
pub(crate) struct Takes(Cell<u32>);

const CHANNEL_FIRST: u32 = 64;
const LOW_FIRST: u32 = 4096;

/// First in, first out, unbounded: the bound is a count of its own.
pub(crate) struct ChannelQueue {
    sender: Sender<Ticket>,
    receiver: Receiver<Ticket>,
    lanes: Lanes<Item>,
    /// How many looks are on their way.
    looks: AtomicUsize,
    parking: Parking,
}

impl ChannelQueue {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = unbounded();
        Self {
            sender,
            receiver,
            lanes: Lanes::new(),
            looks: AtomicUsize::new(0),
            parking: Parking::new(),
        }
    }

    fn send(&self, ticket: Ticket) {
        // Cannot fail: the receiver lives as long as the sender, beside it.
        let _ = self.sender.send(ticket);
        self.parking.notify();
    }

    fn read(&self, ticket: Ticket) -> Item {
        if ticket.0.is_none() {
            self.looks.fetch_sub(1, Ordering::SeqCst);
            return Item::Look;
        }
        Item::Task(ticket)
    }

    /// From the channel what is no look. The looks before it go behind it: they may be for a worker that is to leave.
    fn pop_channel(&self) -> Option<Item> {
        let mut looks = 0;
        let item = loop {
            match self.receiver.try_recv().ok().map(|item| self.read(item)) {
                Some(Item::Look) => looks += 1,
                item => break item,
            }
        };
        (0..looks).for_each(|_| self.push_look());
        item
    }

    #[cold]
    fn pop_with_lanes(&self, takes: &Takes) -> Option<Item> {
        let take = takes.0.get().wrapping_add(1);
        takes.0.set(take);
        let mut item = None;
        if take % LOW_FIRST == 0 {
            item = self.lanes.pop_low();
        }
        if item.is_none() && take % CHANNEL_FIRST == 0 {
            item = self.pop_channel();
        }
        if take % CHANNEL_FIRST == CHANNEL_FIRST / 2 {
            item = self.lanes.pop_urgent();
        }
        let item = item
            .or_else(|| self.lanes.pop_high())
            .or_else(|| self.pop_channel())
            .or_else(|| self.lanes.pop_low());
        self.pass_on_look();
        item
    }
}

impl RunQueue for ChannelQueue {
    fn push(&self, task: Ticket) {
        self.send(task);
    }

    fn push_look(&self) {
        self.looks.fetch_add(1, Ordering::SeqCst);
        self.send(Ticket(None));
    }

    fn push_remains(&self, remains: Remains) {
        let urgent = Rank::Priority(i32::MAX);
        let pushed = self.lanes.push(Item::Remains(remains), urgent);
        debug_assert!(pushed.is_ok(), "what is urgent has a lane");
        self.pass_on_look();
    }

    fn push_ranked(&self, ticket: Ticket, rank: Rank) {
        if rank == Rank::Priority(0) {
            return self.push(ticket);
        }
        let pushed = self.lanes.push(Item::Task(ticket), rank);
        debug_assert!(pushed.is_ok(), "what is not normal has a lane");
        self.pass_on_look();
    }

    fn try_pop(&self, takes: &Takes) -> Option<Item> {
        if self.lanes.len() > 0 {
            return self.pop_with_lanes(takes);
        }
        self.receiver.try_recv().ok().map(|item| self.read(item))
    }

    fn pop(&self, takes: &Takes, mail: &Mailbox) -> Item {
        let mut searches = self.parking.search();
        loop {
            let mut item = None;
            let mut look = || {
                // It only reads, where a failed pop is a fence.
                if !mail.is_empty() {
                    item = mail.take().map(Item::Task);
                } else if !self.is_empty() {
                    item = self.try_pop(takes);
                }
                item.is_some()
            };
            let found = if searches { spin(look) } else { look() };
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

    fn pass_on_look(&self) {
        if self.lanes.len() > 0 && self.looks.load(Ordering::SeqCst) == 0 {
            self.push_look();
        }
    }

    fn has_message(&self) -> bool {
        !self.receiver.is_empty()
    }

    fn len(&self) -> usize {
        // First: a look that is read in between hides a task for a moment, and makes none.
        let looks = self.looks.load(Ordering::SeqCst);
        (self.receiver.len() + self.lanes.len()).saturating_sub(looks)
    }

    fn is_empty(&self) -> bool {
        self.receiver.is_empty() && self.lanes.len() == 0
    }
}

/// Tasks for one worker and no other.
pub(crate) struct Mailbox {
    sender: Sender<Ticket>,
    receiver: Receiver<Ticket>,
    /// Set after a message was sent, cleared before the box is emptied.
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
        // Cannot fail, as above.
        let _ = self.sender.send(Ticket::new(task.queued()));
        self.hint.store(true, Ordering::Release);
        self.sleeper.wake();
    }

    /// What a busy worker asks between tasks.
    pub(crate) fn try_next(&self) -> Option<Ticket> {
        if !self.hint.load(Ordering::Relaxed) {
            return None;
        }
        let next = self.take();
        if next.is_none() {
            self.hint.store(false, Ordering::Relaxed);
            // A message between the look and the store is not forgotten.
            return self.take();
        }
        next
    }

    /// Whatever the hint says.
    pub(crate) fn take(&self) -> Option<Ticket> {
        self.receiver.try_recv().ok()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.receiver.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_two_words() {
        assert_eq!(size_of::<Ticket>(), 2 * size_of::<usize>());
    }
}
