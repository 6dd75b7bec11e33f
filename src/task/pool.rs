//! The pool, as its tasks see it.
//!
//! Layer: task. A task knows its pool by this trait alone, since `pool/` is a layer above. The pool
//! implements it in `pool/task_events.rs`; the models of `tests/loom` implement it, too. The
//! methods that the timer thread calls, or a thread with a gate locked, run and drop no code of the
//! user. `pool/task_events.rs` lists them.

use crate::id::TaskId;
use crate::process;
use crate::sync::atomic::AtomicBool;
use crate::sync::waiter::ClockWaiter;
use crate::task::OutcomeKind;
use crate::task::options::Position;
use crate::task::task::{Task, TaskRef};
use crate::task::timed::OnTime;
use crate::task::unread::UnreadFailure;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

/// How deep a body is, or a task that a body submitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Level {
    /// How many bodies wait for it, one for the other. 0 for what came from outside.
    depth: u8,
    /// By how much it comes earlier than by its depth alone: it descends from a task that was taken
    /// before others so that it does not starve, and that still runs.
    lift: u8,
}

impl Level {
    /// What a body at this level submits.
    pub(crate) fn child(self) -> Self {
        let depth = self.depth.saturating_add(1);
        Self { depth, ..self }
    }

    /// If no body waits for the task: one that submits itself again and again stays at its level.
    pub(crate) fn without_parent(self) -> Self {
        let depth = self.depth.saturating_sub(1);
        Self { depth, lift: 0 }
    }

    /// What such a body submits comes before all that is `above` now.
    pub(crate) fn lifted(self, above: u8) -> Self {
        let lift = above.saturating_sub(self.depth);
        Self { lift, ..self }
    }

    pub(crate) fn is_outer(self) -> bool {
        self == Self::default()
    }

    /// The higher is taken first.
    pub(crate) fn height(self) -> u8 {
        self.depth.saturating_add(self.lift)
    }
}

/// A task's place in the run queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rank {
    /// A body of the pool submitted it: before all that came from outside. The task with the
    /// higher level is first, then the one with the higher priority.
    Inner(Level, i32),
    /// A gate has admitted it: in their original order.
    Front(u64),
    Priority(i32),
}

impl Rank {
    pub(crate) fn new(level: Level, priority: i32) -> Self {
        match level.is_outer() {
            true => Self::Priority(priority),
            false => Self::Inner(level, priority),
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

    /// Puts a task into the run queue. `parent`: the task whose body has just submitted it.
    fn ready(&self, task: TaskRef, rank: Rank, parent: Option<TaskRef>);

    /// Counts that a task goes from one place to another; `None` for none.
    fn moves(&self, _from: Option<Position>, _to: Option<Position>) {}

    /// At `instant` the timer is to call `start` or `on_time` of the task.
    fn at(&self, instant: Instant, task: TaskRef, what: OnTime);

    /// So many entries of the timer are dead.
    fn stale(&self, entries: usize);

    /// At `instant` the timer is to wake the alarm of a gate. One that is dropped counts as stale.
    fn alarm_at(&self, instant: Instant, alarm: Weak<dyn ClockWaiter>);

    /// Whether a worker would take a task that is put into the run queue now.
    fn has_idle_worker(&self) -> bool;

    /// The task joins the lines of its gates.
    fn parked(&self, order: u64, task: TaskRef);

    /// The task leaves the lines. Returns whether it was still there: of several threads one gets
    /// true.
    fn unparked(&self, order: u64) -> bool;

    /// A task with an entry in the run queue will not be run from there.
    fn entry_died(&self);

    /// Removes such entries from the run queue, if there are many.
    fn sweep(&self);

    /// Counts what becomes of a task, before any thread can see it. Called with the task locked.
    fn count_outcome(&self, _kind: OutcomeKind) {}

    /// Counts a task as finished that was settled while it had no entry in the run queue.
    fn count_unqueued(&self);

    /// All that the task continues has settled. A closing pool cancels the task, which drops its
    /// closure.
    fn predecessors_settled(self: Arc<Self>, task: TaskRef);

    /// A task was settled before all that it continues.
    fn settled_before_predecessors(&self, order: u64);

    /// The task's time is over, and its body still runs.
    fn hung(&self, task: TaskId);

    /// What this body, which runs, joins and therefore runs itself, and what that joins in turn.
    fn joined_on_top_of(&self, task: &Task) -> Vec<TaskRef>;

    /// A task that is submitted is not due yet.
    fn scheduled(&self, _task: &Task, _due: Instant) {}

    /// A task has found a gate closed, and is about to wait there.
    fn gated(&self, _task: &Task) {}

    /// An attempt has failed, and another one is to follow. `why` makes the text of the failure.
    fn retries(&self, _task: &Task, _delay: Duration, _why: &mut dyn FnMut() -> Arc<str>) {}

    /// The pool is not idle until `let_go`: a report to observers is to come.
    fn hold_up(&self) {}

    fn let_go(&self) {}

    /// Whether something wants the times of all timed tasks.
    fn wants_times(&self) -> bool {
        false
    }

    /// Whether something wants the texts of all failures.
    fn wants_failures(&self) -> bool {
        false
    }

    /// Whether observers want all that happens.
    fn is_observed(&self) -> bool {
        false
    }

    /// An attempt of the innermost task of this worker is about to run. A cancelling pool cancels
    /// the task, which runs the hooks on its token.
    fn attempt_begins(&self, task: &Task);

    /// It runs next, on the worker with this index. `is_retry`: an attempt has gone before.
    fn started(&self, _task: &Task, _worker: usize, _is_retry: bool) {}

    /// Whether the pool has a hook around bodies, or is part of a simulation.
    fn is_special(&self) -> bool;

    /// Whether bodies run inside of hooks of the pool's or of observers.
    fn has_hook(&self) -> bool;

    /// Calls the hooks, which are the user's. They are to call `body` once.
    fn around(&self, task: &Task, body: &mut dyn FnMut());

    /// Takes a task that has settled out of the list of live tasks.
    fn unlist(&self, _task: TaskId) {}

    /// A task has settled, and its callbacks have not run yet. Called where code of the user may
    /// run.
    fn settled(&self, _task: &Task, _kind: OutcomeKind) {}

    /// A task that this pool's worker ran has settled, now or before.
    fn released(&self, task: &Task, kind: OutcomeKind);

    /// Counts a failure that no handle will take, and calls the hook.
    fn notify_unread(&self, failure: &UnreadFailure);

    /// Set once a shutdown cancels what has not ended. The workers read it once per task.
    fn cancelling_flag(&self) -> Arc<AtomicBool>;
}
