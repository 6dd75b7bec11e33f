//! The run queue: a crossbeam channel of tasks that may run now, and a mailbox per worker.
//!
//! Layer 3. Behind a small trait, so that a schedule explorer can put its own queue in the channel's place: the
//! channel is not instrumented.
//
// A parked worker waits on both, its mailbox and the queue, with crossbeam's select: a message to either wakes it, and
// none is lost, since select looks at both again after it has registered with both. A busy worker looks at a flag of
// its own beside the mailbox; the flag is a hint that saves a look, never the wake-up.

use crate::reason::CancelReason;
use crate::task::TaskRef;
use crossbeam_channel::{Receiver, Sender, unbounded};
use std::sync::atomic::{AtomicBool, Ordering};

/// What the channel carries.
pub(crate) enum Item {
    Task(Ticket),
    /// Whoever reads it looks at its pool again: the number of workers has changed, or the pool is over.
    Look,
}

/// A queued task. Dropped unread, with its queue, it settles the task as cancelled: no handle waits for ever.
pub(crate) struct Ticket(Option<TaskRef>);

impl Ticket {
    pub(crate) fn new(task: TaskRef) -> Self {
        Self(Some(task))
    }

    pub(crate) fn redeem(mut self) -> TaskRef {
        self.0.take().expect("redeemed once, since it is consumed")
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.cancel(CancelReason::Dropped);
        }
    }
}

pub(crate) trait RunQueue: Send + Sync {
    fn push(&self, item: Item);
    fn try_pop(&self) -> Option<Item>;
    /// Waits for an item or for mail; mail comes first.
    fn pop(&self, mail: &Mailbox) -> Item;
    fn len(&self) -> usize;
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// First in, first out, unbounded: the bound is a count of its own.
pub(crate) struct ChannelQueue {
    sender: Sender<Item>,
    receiver: Receiver<Item>,
}

impl ChannelQueue {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = unbounded();
        Self { sender, receiver }
    }
}

impl RunQueue for ChannelQueue {
    fn push(&self, item: Item) {
        // Cannot fail: the receiver lives as long as the sender, beside it.
        let _ = self.sender.send(item);
    }

    fn try_pop(&self) -> Option<Item> {
        self.receiver.try_recv().ok()
    }

    fn pop(&self, mail: &Mailbox) -> Item {
        crossbeam_channel::select_biased! {
            recv(mail.receiver) -> ticket => ticket.map_or(Item::Look, Item::Task),
            recv(self.receiver) -> item => item.unwrap_or(Item::Look),
        }
    }

    fn len(&self) -> usize {
        self.receiver.len()
    }

    fn is_empty(&self) -> bool {
        self.receiver.is_empty()
    }
}

/// Tasks for one worker and no other.
pub(crate) struct Mailbox {
    sender: Sender<Ticket>,
    receiver: Receiver<Ticket>,
    /// Set after a message was sent, cleared before the box is emptied.
    hint: AtomicBool,
}

impl Mailbox {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = unbounded();
        Self {
            sender,
            receiver,
            hint: AtomicBool::new(false),
        }
    }

    pub(crate) fn post(&self, task: TaskRef) {
        // Cannot fail, as above.
        let _ = self.sender.send(Ticket::new(task));
        self.hint.store(true, Ordering::Release);
    }

    /// What a busy worker asks between tasks.
    pub(crate) fn try_next(&self) -> Option<TaskRef> {
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
    pub(crate) fn take(&self) -> Option<TaskRef> {
        self.receiver.try_recv().ok().map(Ticket::redeem)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.receiver.is_empty()
    }
}
