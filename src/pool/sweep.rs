//! Removes dead entries from the run queue.
//
// An entry is dead if no worker will run its task: the task was cancelled, is too late, or ran on
// the stack of a body that waited for it. The thread that does this counts the entry as dead. If
// half of the entries are dead by then, it sweeps the queue. So the memory of a queue follows what
// waits in it, even while all workers are busy. After the timer, which drops nothing of the user's,
// the worker sweeps that drops the closure of the task.
//
// A sweep takes all that is in the channel and keeps the live entries beside it, in their order. A
// worker that checks the length of the side queues just before the sweep, and takes an entry from
// the channel just after it has begun, takes that one entry before older ones.

use crate::pool::queue::{RunQueue, Work};
use crate::pool::side_queues::Swept;
use crate::sync::atomic::Ordering;
use crate::task::TaskRef;

/// Fewer dead entries are left to the workers. The models sweep from the first on.
const FEW: usize = if cfg!(all(test, loom)) { 1 } else { 64 };

impl Work {
    /// Takes the task if no worker will run it. What is left is an empty entry.
    pub(crate) fn take_dead(&mut self) -> Option<TaskRef> {
        match self {
            Self::Task(entry, _) => entry.0.take_if(|task| task.head.is_claimed()),
            Self::Cleanup(_) | Self::Nudge => None,
        }
    }
}

impl RunQueue {
    /// How many tasks wait: without the dead entries.
    pub(crate) fn waiting(&self) -> usize {
        self.len().saturating_sub(self.dead())
    }

    /// How many entries are dead. The count wraps below zero while a thread that has settled a task
    /// has not counted the entry yet, which has left the queue before.
    fn dead(&self) -> usize {
        let dead = self.dead.load(Ordering::Relaxed) as isize;
        usize::try_from(dead).unwrap_or(0)
    }

    /// Counts an entry as dead.
    pub(crate) fn count_dead(&self) {
        self.dead.fetch_add(1, Ordering::Relaxed);
    }

    /// A dead entry has left the queue.
    pub(crate) fn uncount_dead(&self) {
        self.dead.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether the queue is to be swept.
    pub(crate) fn is_mostly_dead(&self) -> bool {
        let dead = self.dead();
        dead >= FEW && 2 * dead >= self.len()
    }

    /// Removes the dead entries, if there are still as many. The caller counts their tasks, each
    /// with `uncount_dead`.
    #[cold]
    pub(crate) fn sweep(&self) -> Vec<Swept> {
        let mut nudges = 0;
        let channel = || {
            let entries = (0..self.receiver.len()).map_while(|_| self.receiver.try_recv().ok());
            let items = entries.map(|entry| self.read(entry));
            let (tasks, others): (Vec<_>, Vec<_>) =
                items.partition(|item| !matches!(item, Work::Nudge));
            nudges = others.len();
            tasks
        };
        let swept = self.side.sweep(|| self.is_mostly_dead(), channel);
        // As in `pop_channel`.
        (0..nudges).for_each(|_| self.push_nudge());
        swept
    }
}
