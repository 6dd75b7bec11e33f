//! Tasks that continue others: how they get into the pool.
//!
//! Layer 3. Such a task waits behind those that it continues, as data and in no queue; the last of these to settle sends it
//! off, from whatever thread that is. It goes the way of any task from there.
//
// Until then it is not announced: a pool is quiet though a task of it waits for a promise that nobody keeps. So it is taken
// as any submission would be: by an open pool, and by a draining one from its own workers alone. There the task that is
// just being retired has not been counted as done, and the pool cannot be found quiet in between. Elsewhere it is
// cancelled, and what continues it hears of that.

use crate::error::Rejection;
use crate::flat;
use crate::id::TaskId;
use crate::pool::core::{Core, Site, Spec};
use crate::pool::roll;
use crate::reason::CancelReason;
use crate::task::{self, AnyTask, CancelOutcome, Cell, Plan, TaskRef, Work};
use std::mem;
use std::sync::{Arc, OnceLock};

/// What a continuation goes by that has no options.
fn no_plan() -> Arc<Plan> {
    static PLAN: OnceLock<Arc<Plan>> = OnceLock::new();
    PLAN.get_or_init(Arc::default).clone()
}

impl Core {
    /// The pool whose worker this thread is.
    pub(crate) fn here() -> Option<Arc<Self>> {
        task::host()?.pool().downcast().ok()
    }

    /// The pool with this tag, unless it is gone.
    pub(crate) fn of(owner: u32) -> Option<Arc<Self>> {
        roll::find(owner)?.downcast().ok()
    }

    /// A task that waits behind `count` others. Each of them, and once more whoever submits it, tells it so by
    /// `Watch::settled`; then it is ready.
    pub(crate) fn submit_behind<W: Work>(
        self: &Arc<Self>,
        site: Site,
        spec: &Spec,
        work: W,
        count: usize,
    ) -> Result<Arc<Cell<W>>, (Rejection, W)> {
        self.check_thread();
        let plan = spec.plan.clone().unwrap_or_else(no_plan);
        if let Err(invalid) = plan.check(self.clock()) {
            return Err((Rejection::Invalid(invalid), work));
        }
        if self.is_foreign() {
            return Err((Rejection::Forked, work));
        }
        if !self.is_open_here() {
            return Err((Rejection::Closed, work));
        }
        let cell = self.cell_behind(site, spec, &plan, work, count + 1);
        // With the list locked: whoever ends the pool moves the phase and then takes the list, so either he finds the task
        // there, or the phase is seen here. One that its token has cancelled by now is not listed any more.
        let mut behind = self.behind.lock();
        let is_open = self.is_open_here();
        if is_open && cell.outcome_kind().is_none() {
            behind.insert(cell.id, cell.clone());
        }
        drop(behind);
        if !is_open {
            self.cancel_behind(&*cell);
        }
        Ok(cell)
    }

    /// Sends it off, now that all has settled that it continues.
    pub(crate) fn send_behind(self: Arc<Self>, task: TaskRef) {
        // While it is listed: who finds the list empty and then the pool quiet has not missed it in between.
        self.quiet.announce();
        let was_there = self.behind.lock().remove(&task.id());
        drop(was_there);
        if self.is_open_here() {
            if !task.set_off() {
                self.retract();
            }
            return;
        }
        // What continues it is cancelled in turn, and so on.
        flat::run(move || {
            self.cancel_behind(&*task);
            self.retract();
        });
    }

    /// It was settled before it was announced: announces it, since it will be counted.
    pub(crate) fn settled_behind(&self, task: TaskId) {
        self.quiet.announce();
        let was_there = self.behind.lock().remove(&task);
        drop(was_there);
    }

    fn cancel_behind(&self, task: &dyn AnyTask) {
        if task.cancel(CancelReason::Shutdown) == CancelOutcome::Settled {
            self.counts.cancelled_by_shutdown.add();
        }
    }

    /// Cancels all that wait behind others, which will not settle in time.
    pub(crate) fn cancel_all_behind(&self) {
        let behind = mem::take(&mut *self.behind.lock());
        self.serve(|| behind.values().for_each(|task| self.cancel_behind(&**task)));
    }
}
