//! The mailbox of a worker: tasks that no other worker may run.
//
// Mail wakes the worker that it is for. A busy worker reads a flag beside its mailbox, a hint that
// saves a receive.

use crate::pool::parking::Sleeper;
use crate::pool::queue::QueueEntry;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::channel::{Receiver, Sender, unbounded};
use crate::task::TaskRef;
use std::sync::Arc;

/// Tasks for one worker and no other.
pub(crate) struct Mailbox {
    sender: Sender<QueueEntry>,
    receiver: Receiver<QueueEntry>,
    /// Set after a message was sent, cleared before the mailbox is emptied.
    pub(super) hint: AtomicBool,
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

    /// Where the worker sleeps.
    pub(crate) fn sleeper(&self) -> &Arc<Sleeper> {
        &self.sleeper
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
