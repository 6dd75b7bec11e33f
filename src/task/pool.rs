//! The pool, as its tasks see it.
//!
//! Layer: task. A task knows its pool by this trait alone, since `pool/` is a layer above. The pool
//! implements it in `pool/task_events.rs`; the models of `tests/loom` implement it, too. The
//! methods that the timer thread calls, or a thread with a gate locked, run and drop no code of the
//! user. `pool/task_events.rs` lists them.

use crate::id::TaskId;
use crate::limit::GateQueue;
use crate::panic::OnUnread;
use crate::process;
use crate::sync::atomic::AtomicBool;
use crate::task::OutcomeKind;
use crate::task::task::{Task, TaskRef};
use crate::task::timed::OnTime;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// A task's place in the run queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rank {
    /// A body of the pool submitted it: before all that came from outside. The task with the
    /// higher level is first, then the one with the higher priority.
    Inner(u8, i32),
    /// A gate has admitted it: in their original order.
    Front(u64),
    Priority(i32),
}

impl Rank {
    pub(crate) fn new(level: u8, priority: i32) -> Self {
        match level {
            0 => Self::Priority(priority),
            level => Self::Inner(level, priority),
        }
    }
}

type Find = fn(u32) -> Option<Arc<dyn TaskPool>>;

/// How a task that has no options finds its pool. Set by the first pool.
static FIND: OnceLock<Find> = OnceLock::new();

pub(crate) fn set_find(find: Find) {
    FIND.get_or_init(|| find);
}

/// The pool with this tag, unless it is gone, or of the process that this one was forked from.
pub(super) fn find(owner: u32) -> Option<Arc<dyn TaskPool>> {
    if process::is_foreign(owner) {
        return None;
    }
    FIND.get()?(owner)
}

pub(crate) trait TaskPool: Send + Sync {
    fn now(&self) -> Instant;

    /// Puts a task into the run queue.
    fn ready(&self, task: TaskRef, rank: Rank);

    /// At `instant` the timer is to call `start` or `on_time` of the task.
    fn at(&self, instant: Instant, task: TaskRef, what: OnTime);

    /// So many entries of the timer are dead.
    fn stale(&self, entries: usize);

    /// At `instant` the timer is to have the gate check its line.
    fn recheck_at(&self, instant: Instant, gate: Arc<GateQueue>);

    /// The task joins the line of a gate.
    fn parked(&self, order: u64, task: TaskRef);

    /// The task leaves the line. Returns whether it was still there: of several threads one gets
    /// true.
    fn unparked(&self, order: u64) -> bool;

    /// A task with an entry in the run queue will not be run from there.
    fn entry_died(&self);

    /// Removes such entries from the run queue, if there are many.
    fn sweep(&self);

    /// Counts a task that was settled while it had no entry in the run queue.
    fn count_unqueued(&self, kind: OutcomeKind);

    /// All that the task continues has settled. A closing pool cancels the task, which drops its
    /// closure.
    fn predecessors_settled(self: Arc<Self>, task: TaskRef);

    /// A task was settled before all that it continues.
    fn settled_before_predecessors(&self, task: TaskId);

    /// The task's time is over, and its body still runs.
    fn hung(&self, task: TaskId);

    /// An attempt of the innermost task of this worker is about to run. A cancelling pool cancels
    /// the task, which runs the hooks on its token.
    fn attempt_begins(&self, task: &Task);

    /// Whether the pool has a hook around bodies, or is part of a simulation.
    fn is_special(&self) -> bool;

    /// Whether bodies run inside of a hook of the pool's.
    fn has_hook(&self) -> bool;

    /// Calls the hook, which is the user's. The hook is to call `body` once.
    fn around(&self, body: &mut dyn FnMut());

    /// A task that this pool's worker ran has settled; its callbacks have not run yet.
    fn settled(&self, task: &Task, kind: OutcomeKind);

    /// What the pool does with a panic that no handle will take.
    fn on_unread_panic(&self) -> OnUnread;

    /// Set once a shutdown cancels what has not ended. The workers read it once per task.
    fn cancelling_flag(&self) -> Arc<AtomicBool>;
}
