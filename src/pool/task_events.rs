//! What tasks, gates and schedules call in their pool.
//!
//! The timer thread and threads with a gate locked call `now`, `ready`, `at`, `stale`, `alarm_at`,
//! `has_idle_worker`, `parked`, `unparked`, `entry_died`, `count_unqueued` and `hung`. These run
//! and drop no code of the user.

use crate::id::TaskId;
use crate::panic;
use crate::pool::core::Core;
use crate::pool::current::current;
use crate::pool::lifecycle::Phase;
use crate::pool::queue::QueueEntry;
use crate::pool::timer::TimerEntry;
use crate::reason::CancelReason;
use crate::sync::atomic::AtomicBool;
use crate::sync::trampoline;
use crate::sync::waiter::ClockWaiter;
use crate::task::OutcomeKind;
use crate::task::options::Position;
use crate::task::pool::{Rank, TaskPool};
use crate::task::timed::{Cleanup, OnTime};
use crate::task::{Task, TaskRef, UnreadFailure};
use std::cell::Cell;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

thread_local! {
    /// Whether this thread runs a hook `on_unread`. It has no destructor.
    static IN_HOOK: Cell<bool> = const { Cell::new(false) };
}

impl Core {
    /// Runs what the timer does for a schedule. It counts as pending, so that no shutdown ends
    /// meanwhile. A worker drops the closures that it leaves.
    pub(crate) fn tick(self: &Arc<Self>, tick: impl FnOnce() -> Option<Cleanup>) {
        self.lifecycle.hold();
        let left = if self.is_open_here() { tick() } else { None };
        match left {
            Some(cleanup) => self.push_cleanup(cleanup),
            None => self.release(),
        }
    }

    /// Hands a task that the timer gives up to the thread that shuts the pool down, or else to a
    /// worker.
    pub(crate) fn hand_over(self: &Arc<Self>, task: TaskRef) {
        let Some(task) = self.give_to_shutdown(task) else {
            return;
        };
        let core = self.clone();
        self.lifecycle.hold();
        self.push_cleanup(Box::new(move || core.cancel_unrun(&task)));
    }

    /// Has a worker cancel the continuations if no shutdown waits that would do so: the owner was
    /// dropped on a worker. Returns whether there are any.
    pub(crate) fn cancels_continuations(&self) -> bool {
        if self.lifecycle.lock().waiting > 0 || self.continuations.lock().is_empty() {
            return false;
        }
        let Some(core) = self.me.upgrade() else {
            return false;
        };
        self.lifecycle.hold();
        let pool = core.clone();
        core.push_cleanup(Box::new(move || pool.cancel_continuations()));
        true
    }

    /// Has a worker do what may run code of the user.
    pub(crate) fn serve_later(self: &Arc<Self>, work: Cleanup) {
        self.lifecycle.hold();
        self.push_cleanup(work);
    }

    pub(crate) fn push_cleanup(self: &Arc<Self>, cleanup: Cleanup) {
        self.queue.push_cleanup(cleanup);
        self.work_is_ready();
    }
}

impl TaskPool for Core {
    fn now(&self) -> Instant {
        self.clock().now()
    }

    fn ready(&self, task: TaskRef, rank: Rank, parent: Option<TaskRef>) {
        let entry = QueueEntry::new(task);
        match rank {
            Rank::Inner(level, priority) => self.queue.push_inner(entry, level, priority, parent),
            rank => self.queue.push_ranked(entry, rank),
        }
        // ORDERING: as in `work_is_ready`.
        if self.run_slots.has_free() {
            if let Some(core) = self.me.upgrade() {
                core.start_spare_if_due();
            }
        }
    }

    fn moves(&self, from: Option<Position>, to: Option<Position>) {
        let is_timer = |position| matches!(position, Some(Position::Timer { .. }));
        match (is_timer(from), is_timer(to)) {
            (false, true) => self.counts.delayed.add(),
            (true, false) => self.counts.due.add(),
            _ => {}
        }
    }

    fn at(&self, instant: Instant, task: TaskRef, what: OnTime) {
        self.timer.add(instant, TimerEntry::Task(task, what), self);
    }

    fn stale(&self, entries: usize) {
        self.timer.count_dead(entries);
    }

    fn alarm_at(&self, instant: Instant, alarm: Weak<dyn ClockWaiter>) {
        self.timer.add(instant, TimerEntry::Waiter(alarm), self);
    }

    fn has_idle_worker(&self) -> bool {
        // A free run slot has a spare thread started.
        self.run_slots.has_idle() || self.run_slots.has_free()
    }

    fn parked(&self, order: u64, task: TaskRef) {
        self.parked.lock().insert(order, task);
    }

    fn unparked(&self, order: u64) -> bool {
        let task = self.parked.lock().remove(order);
        task.is_some()
    }

    fn entry_died(&self) {
        self.queue.count_dead();
    }

    fn sweep(&self) {
        if !self.queue.is_mostly_dead() {
            return;
        }
        self.count_swept(self.queue.sweep());
    }

    fn count_outcome(&self, kind: OutcomeKind) {
        self.counts.of(kind).add();
    }

    fn count_unqueued(&self) {
        self.lifecycle.tasks_finished(1);
        self.notify_if_idle();
    }

    // See `submit` about tasks that continue others.

    fn predecessors_settled(self: Arc<Self>, task: TaskRef) {
        // Held while it is listed: a thread that finds the list empty and then the pool idle has
        // not missed it in between.
        self.lifecycle.hold();
        let order = task.head.progress(|progress, _| progress.order);
        let was_there = order.and_then(|order| self.continuations.lock().remove(order));
        drop(was_there);
        if self.is_open_here() {
            self.lifecycle.continuation_ready();
            if !task.set_off() {
                // The thread that settled it has counted it as ready and as finished.
                self.lifecycle.tasks_finished(1);
            }
            return self.release();
        }
        // Its own continuations are cancelled in turn, and so on.
        trampoline::run(move || {
            self.cancel_continuation(&task);
            self.release();
        });
    }

    fn settled_before_predecessors(&self, order: u64) {
        // It was not counted as pending yet. It will be counted as finished.
        self.lifecycle.continuation_ready();
        let was_there = self.continuations.lock().remove(order);
        drop(was_there);
    }

    fn hung(&self, task: TaskId) {
        let mut workers = self.workers().into_iter();
        if workers.any(|worker| worker.revoke(task, &self.run_slots)) {
            if let Some(core) = self.me.upgrade() {
                core.start_spare_if_due();
            }
        }
    }

    fn joined_on_top_of(&self, task: &Task) -> Vec<TaskRef> {
        let workers = self.workers();
        let mut joined = workers
            .iter()
            .map(|worker| worker.stack.joined_on_top_of(task));
        joined.find(|joined| !joined.is_empty()).unwrap_or_default()
    }

    fn scheduled(&self, task: &Task, due: Instant) {
        self.emit_scheduled(task, due);
    }

    fn gated(&self, task: &Task) {
        self.emit_gated(task);
    }

    fn retries(&self, task: &Task, delay: Duration, why: &mut dyn FnMut() -> Arc<str>) {
        if self.is_observed() {
            self.emit_retrying(task, delay, why());
        }
    }

    fn wants_failures(&self) -> bool {
        Self::is_observed(self) || self.watch.keeps_failures()
    }

    fn hold_up(&self) {
        self.lifecycle.hold();
    }

    fn let_go(&self) {
        self.release();
    }

    fn wants_times(&self) -> bool {
        Self::is_observed(self) || self.records_times()
    }

    fn is_observed(&self) -> bool {
        Self::is_observed(self)
    }

    fn started(&self, task: &Task, worker: usize, is_retry: bool) {
        if is_retry {
            self.counts.retries.add();
        }
        self.emit_started(task, worker);
    }

    fn attempt_begins(&self, task: &Task) {
        if self.clock().is_simulated() {
            self.note(task, &|| format!("attempt {}", task.attempt()));
        }
        // Its time may have ended before the task was on the stack, where `hung` would find it.
        if task.head.is_planned() && task.head.is_settled() {
            self.hung(task.head.id());
        }
        // A shutdown first moves the phase and then reads the stacks, under their locks. So either
        // it finds the task there and asks it to stop, or the phase is seen here.
        if self.lifecycle.phase() >= Phase::Cancelling {
            task.cancel(CancelReason::Shutdown);
        }
    }

    fn is_special(&self) -> bool {
        self.has_hook() || self.clock().is_simulated()
    }

    fn has_hook(&self) -> bool {
        self.options.around_task.is_some() || self.is_observed()
    }

    fn around(&self, task: &Task, body: &mut dyn FnMut()) {
        let mut hooked = || match (&self.options.around_task, current()) {
            (Some(hook), Some(task)) => {
                panic::shield("the around_task hook", || hook(&task, body));
            }
            _ => body(),
        };
        if self.is_observed() {
            return self
                .options
                .observers
                .around(&task.head.label(), &mut hooked);
        }
        hooked();
    }

    fn unlist(&self, task: TaskId) {
        self.live.remove(task);
    }

    fn settled(&self, task: &Task, kind: OutcomeKind) {
        self.report_settled(task, kind);
    }

    fn released(&self, task: &Task, kind: OutcomeKind) {
        if self.clock().is_simulated() {
            self.note(task, &|| format!("{kind:?}"));
        }
        // The body had begun: what a shutdown cancels before that, it counts itself.
        if kind == OutcomeKind::Cancelled
            && task.head.stop_reason() == Some(CancelReason::Shutdown)
            && self.lifecycle.phase() >= Phase::Finishing
        {
            self.counts.cancelled_by_shutdown.add();
        }
    }

    fn notify_unread(&self, failure: &UnreadFailure) {
        self.counts.unread.add();
        if let Some(hook) = &self.options.on_unread {
            // What the hook itself submits may fail at once, and so on without end.
            if !IN_HOOK.replace(true) {
                panic::shield("the on_unread hook", || hook(failure));
                IN_HOOK.set(false);
            }
        }
    }

    fn cancelling_flag(&self) -> Arc<AtomicBool> {
        self.lifecycle.cancelling_flag()
    }
}
