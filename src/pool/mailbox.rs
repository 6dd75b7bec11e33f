//! The mailbox of a worker: tasks that no other worker may run.
//
// Mail wakes the worker that it is for. A busy worker reads a flag beside its mailbox, a hint that
// saves a receive.

use crate::pool::parking::Sleeper;
use crate::pool::queue::QueueEntry;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::channel::{Receiver, Sender, unbounded};
use crate::task::TaskRef;
use std::iter;
use std::sync::Arc;

/// Fewer messages than this are left to the worker.
const FEW: usize = 64;

/// Tasks for one worker and no other.
pub(crate) struct Mailbox {
    sender: Sender<QueueEntry>,
    receiver: Receiver<QueueEntry>,
    /// Set after a message was sent, cleared before the mailbox is emptied.
    pub(super) hint: AtomicBool,
    /// A message that comes when there are so many is the time to look for dead ones.
    sweep_at: AtomicUsize,
    sleeper: Arc<Sleeper>,
}

impl Mailbox {
    pub(crate) fn new() -> Self {
        let (sender, receiver) = unbounded();
        Self {
            sender,
            receiver,
            hint: AtomicBool::new(false),
            sweep_at: AtomicUsize::new(FEW),
            sleeper: Sleeper::new(),
        }
    }

    /// Where the worker sleeps.
    pub(crate) fn sleeper(&self) -> &Arc<Sleeper> {
        &self.sleeper
    }

    /// Returns the tasks that were cancelled here meanwhile: the memory of a mailbox follows what
    /// waits in it, even while its worker is busy. One thread at a time may post.
    #[must_use]
    pub(crate) fn post(&self, task: TaskRef) -> Vec<TaskRef> {
        let mut dead = Vec::new();
        if self.receiver.len() >= self.sweep_at.load(Ordering::Relaxed) {
            dead = self.sweep();
            let sweep_at = FEW.max(2 * self.receiver.len());
            self.sweep_at.store(sweep_at, Ordering::Relaxed);
        }
        self.send(QueueEntry::new(task));
        // ORDERING: release, after the message was sent; pairs with `try_next`.
        self.hint.swap(true, Ordering::Release);
        self.sleeper.wake();
        dead
    }

    fn send(&self, entry: QueueEntry) {
        // Cannot fail: the receiver is beside the sender.
        let _ = self.sender.send(entry);
    }

    /// Takes all messages, and sends those again, in their order, whose task may run.
    #[cold]
    fn sweep(&self) -> Vec<TaskRef> {
        let entries: Vec<_> = iter::from_fn(|| self.take()).collect();
        let mut dead = Vec::new();
        for mut entry in entries {
            match entry.0.take_if(|task| task.head.is_claimed()) {
                Some(task) => dead.push(task),
                None => self.send(entry),
            }
        }
        dead
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
