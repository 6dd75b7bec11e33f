//! The pool, as its timer, its tasks with a course and its schedules see it.
//!
//! Layer 3. Nothing here runs or drops anything of the user's: it is called by the timer, and under the locks of gates.

use crate::event::OutcomeKind;
use crate::extras::Callback;
use crate::gate::Gate;
use crate::id::TaskId;
use crate::pool::core::{Core, Site, Spec};
use crate::pool::phase::Phase;
use crate::pool::queue::{RunQueue, Ticket};
use crate::pool::report::PendingTask;
use crate::pool::timer::{Entry, Keeper, Tick};
use crate::task::{AnyTask, Home, OnTime, Rank, Remains, TaskRef, Work};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

impl Core {
    pub(crate) fn file(&self, instant: Instant, entry: Entry) {
        let name = || format!("{}-timer", self.options.name_prefix);
        let keeper = || self.me.upgrade().map(Kept);
        self.timer.at(instant, entry, name, keeper);
    }

    /// Takes a schedule in, unless the pool is closed.
    pub(crate) fn enlist(&self, key: u64, schedule: Arc<dyn Tick>) -> bool {
        let is_open = || self.phase.get() == Phase::Open;
        self.schedules.insert(key, schedule, is_open)
    }

    /// What the timer does for a schedule: counted, so that no shutdown comes to its end meanwhile. What it leaves is
    /// dropped by a worker.
    pub(crate) fn tick(self: &Arc<Self>, tick: impl FnOnce() -> Option<Remains>) {
        self.quiet.announce();
        let left = if self.is_open_here() { tick() } else { None };
        match left {
            Some(remains) => self.push_remains(remains),
            None => self.retract(),
        }
    }

    /// Submits a run of a schedule; says whether it did. Called by the timer, too, so it waits for no place in a full queue,
    /// and takes none: how many runs there are at once is for the schedule to say.
    pub(crate) fn launch<W: Work>(
        self: &Arc<Self>,
        site: Site,
        spec: &Spec,
        work: W,
        over: Callback,
    ) -> bool {
        self.quiet.announce();
        if !self.is_open_here() {
            self.retract();
            return false;
        }
        let extras = self.extras(spec, None);
        let cell = self.cell(site, spec, work, extras, true);
        if let Err((over, summary)) = cell.on_finish(over) {
            // Its token was cancelled just now. Told by a worker: what follows may be another run.
            self.quiet.announce();
            self.push_remains(Box::new(move || over(&summary)));
        }
        self.send(spec, cell);
        true
    }

    /// A task that the timer gives up is left to whoever shuts the pool down, or else to a worker.
    fn hand_over(self: &Arc<Self>, task: TaskRef) {
        let mut watch = self.quiet.lock();
        if watch.sweepers > 0 {
            watch.left_behind.push(task.queued());
            drop(watch);
            self.quiet.poke();
            return;
        }
        drop(watch);
        let core = self.clone();
        self.quiet.announce();
        self.push_remains(Box::new(move || core.cancel_unrun(task.queued())));
    }

    /// Where no shutdown waits (the owner was dropped on a worker), has a worker cancel what waits for others; says whether
    /// there is any.
    pub(crate) fn clears_behind(&self) -> bool {
        if self.quiet.lock().sweepers > 0 || self.behind.lock().is_empty() {
            return false;
        }
        let Some(core) = self.me.upgrade() else {
            return false;
        };
        self.quiet.announce();
        let pool = core.clone();
        core.push_remains(Box::new(move || pool.cancel_all_behind()));
        true
    }

    fn push_remains(self: &Arc<Self>, remains: Remains) {
        self.queue.push_remains(remains);
        self.something_is_ready();
    }
}

impl Home for Core {
    fn now(&self) -> Instant {
        self.clock().now()
    }

    fn ready(&self, task: TaskRef, rank: Rank) {
        self.queue.push_ranked(Ticket::new(task.queued()), rank);
        // ORDERING: as in `something_is_ready`.
        if self.seats.is_short() {
            if let Some(core) = self.me.upgrade() {
                core.call_spare();
            }
        }
    }

    fn at(&self, instant: Instant, task: TaskRef, what: OnTime) {
        self.file(instant, Entry::Task(task, what));
    }

    fn stale(&self, entries: usize) {
        self.timer.stale(entries);
    }

    fn ring_at(&self, instant: Instant, gate: Arc<Gate>) {
        self.file(instant, Entry::Ring(Arc::downgrade(&gate)));
    }

    fn parked(&self, order: u64, task: TaskRef) {
        self.parked.lock().insert(order, task);
    }

    fn unparked(&self, order: u64) -> bool {
        let task = self.parked.lock().remove(&order);
        task.is_some()
    }

    fn settled_away(&self, kind: OutcomeKind) {
        self.retired(kind);
        self.told();
    }

    fn follow(self: Arc<Self>, task: TaskRef) {
        self.send_behind(task);
    }

    fn unannounced(&self, task: TaskId) {
        self.settled_behind(task);
    }

    fn hung(&self, task: TaskId) {
        let mut desks = self.desks().into_iter();
        if desks.any(|desk| desk.forfeit(task, &self.seats)) {
            if let Some(core) = self.me.upgrade() {
                core.call_spare();
            }
        }
    }
}

/// The pool in its timer's hands.
struct Kept(Arc<Core>);

impl Keeper for Kept {
    fn fire(&self, task: TaskRef, what: OnTime) -> Option<TaskRef> {
        let Self(core) = self;
        if what == OnTime::Start {
            return task.start(&**core);
        }
        if !task.awaits(what) {
            return Some(task);
        }
        // What is left is announced before its task is settled: nobody finds the pool quiet in between.
        core.quiet.announce();
        match task.on_time(what) {
            Some(remains) => core.push_remains(remains),
            None => core.retract(),
        }
        None
    }

    fn is_over(&self) -> bool {
        self.0.phase.get() == Phase::Over
    }

    fn is_open(&self) -> bool {
        self.0.phase.get() == Phase::Open
    }

    fn gives_up(&self, task: &TaskRef) -> bool {
        match self.0.phase.get() {
            Phase::Open => false,
            Phase::Draining => task.is_fresh() && !self.0.keeps_delayed.load(Ordering::SeqCst),
            Phase::Cancelling | Phase::Over => true,
        }
    }

    fn given_up(&self, task: TaskRef) {
        let Self(core) = self;
        let is_fresh = task.is_fresh();
        if !task.recall() {
            return;
        }
        if is_fresh {
            core.not_due.lock().push(PendingTask {
                id: task.id(),
                name: task.name(),
                site: task.site(),
            });
        }
        core.hand_over(task);
    }
}
