//! The mailbox of a worker: tasks that no other worker may run.
//
// Mail wakes the worker that it is for. A busy worker reads a flag beside its mailbox, a hint that
// saves a lock.

use crate::pool::parking::Sleeper;
use crate::pool::queue::QueueEntry;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::task::TaskRef;
use std::collections::VecDeque;
use std::sync::Arc;

/// Fewer messages than this are left to the worker.
const FEW: usize = 64;

/// Tasks for one worker and no other, in the order in which they were posted.
pub(crate) struct Mailbox {
    mail: Mutex<Mail>,
    /// Whether there are messages. Written with `mail` locked.
    pub(super) hint: AtomicBool,
    sleeper: Arc<Sleeper>,
}

struct Mail {
    entries: VecDeque<QueueEntry>,
    /// A message that comes when there are so many is the time to look for dead ones.
    sweep_at: usize,
}

impl Mailbox {
    pub(crate) fn new() -> Self {
        Self {
            mail: Mutex::new(Mail {
                entries: VecDeque::new(),
                sweep_at: FEW,
            }),
            hint: AtomicBool::new(false),
            sleeper: Sleeper::new(),
        }
    }

    /// How many tasks wait here that were not cancelled.
    pub(crate) fn len(&self) -> usize {
        let mail = self.mail.lock();
        let waits =
            |entry: &&QueueEntry| entry.0.as_ref().is_some_and(|task| !task.head.is_claimed());
        mail.entries.iter().filter(waits).count()
    }

    /// Where the worker sleeps.
    pub(crate) fn sleeper(&self) -> &Arc<Sleeper> {
        &self.sleeper
    }

    /// Returns tasks that were cancelled here meanwhile, for the caller to count: however many are,
    /// there are at most about twice as many messages as waited at the last sweep.
    #[must_use]
    pub(crate) fn post(&self, task: TaskRef) -> Vec<TaskRef> {
        let mut mail = self.mail.lock();
        let mut dead = Vec::new();
        if mail.entries.len() >= mail.sweep_at {
            mail.entries.retain_mut(|entry| {
                dead.extend(entry.0.take_if(|task| task.head.is_claimed()));
                entry.0.is_some()
            });
            mail.sweep_at = FEW.max(2 * mail.entries.len());
            let room = mail.sweep_at;
            mail.entries.shrink_to(room);
        }
        mail.entries.push_back(QueueEntry::new(task));
        // ORDERING: relaxed. A worker that sleeps, or is about to, sees it after `wake`.
        self.hint.store(true, Ordering::Relaxed);
        drop(mail);
        self.sleeper.wake();
        dead
    }

    /// Whether a busy worker must call `try_next`.
    #[inline]
    pub(crate) fn has_hint(&self) -> bool {
        self.hint.load(Ordering::Relaxed)
    }

    /// Takes the next message if the hint is set. A busy worker calls it between tasks.
    pub(crate) fn try_next(&self) -> Option<QueueEntry> {
        self.has_hint().then(|| self.take())?
    }

    /// Takes the next message, whatever the hint is.
    pub(crate) fn take(&self) -> Option<QueueEntry> {
        let mut mail = self.mail.lock();
        let next = mail.entries.pop_front();
        self.hint.store(!mail.entries.is_empty(), Ordering::Relaxed);
        next
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.has_hint()
    }
}
