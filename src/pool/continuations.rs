//! Tasks that continue others: how the pool takes them, and what becomes of them when it closes.
//
// A continuation is not counted as pending until its predecessors have settled: a pool is idle
// though a task of it waits for a promise that is never kept. When they have, it is admitted
// like a new submission: by an open pool always, by a draining pool only on its own workers.
// There the predecessor is not yet counted as finished, so the pool cannot look idle in
// between. Otherwise it is cancelled, and so are its own continuations.

use crate::error::Rejection;
use crate::pool::core::{Core, Spec};
use crate::pool::registry;
use crate::pool::worker;
use crate::reason::CancelReason;
use crate::task::after::After;
use crate::task::current;
use crate::task::options::{Extras, Progress, TaskOptions};
use crate::task::{CancelOutcome, Task, TaskRef};
use std::mem;
use std::sync::{Arc, OnceLock};

/// The options of a continuation without any.
fn no_options() -> Arc<TaskOptions> {
    static OPTIONS: OnceLock<Arc<TaskOptions>> = OnceLock::new();
    OPTIONS.get_or_init(Arc::default).clone()
}

impl Core {
    /// The pool whose worker this thread is.
    pub(crate) fn here() -> Option<Arc<Self>> {
        worker::here().map(|worker| worker.core.clone())
    }

    /// The pool with this tag, unless it is gone.
    pub(crate) fn of(owner: u32) -> Option<Arc<Self>> {
        match worker::here() {
            Some(worker) if worker.core.owner() == owner => Some(worker.core.clone()),
            _ => registry::find(owner),
        }
    }

    /// Submits a task that continues others. If the pool does not take it, it settles as rejected.
    pub(crate) fn submit_after(self: &Arc<Self>, spec: &Spec, task: &TaskRef, tasks: Vec<TaskRef>) {
        let options = spec.options.clone().unwrap_or_else(no_options);
        if let Err(reason) = self.admit_after(&options) {
            self.count_refused();
            return self.refuse(spec, task, reason);
        }
        self.lifecycle.continuation_added();
        let after = After::new(tasks.clone());
        let mut extras = Extras::new(spec.name.clone(), None);
        let level = current::level_here(self.owner());
        let progress = Progress::after(&options, self.clone(), after, level);
        let order = progress.order;
        extras.progress = Some(progress);
        if self.options.track_queue || spec.is_timed() {
            // Until they have settled.
            extras.due = Some(self.clock().now());
        }
        let token = spec.child_token();
        self.equip(spec, task, Some(extras), token);
        // With the list locked: the thread that ends the pool moves the phase and then takes the
        // list. So either it finds the task there, or the phase is seen here. A task that its token
        // has cancelled by now is not listed any more.
        let mut continuations = self.continuations.lock();
        let is_open = self.is_open_here();
        if is_open && !task.head.is_settled() {
            continuations.insert(order, task.clone());
        }
        drop(continuations);
        if !is_open {
            self.cancel_continuation(task);
        }
        task.watch_predecessors(&tasks);
    }

    fn admit_after(&self, options: &TaskOptions) -> Result<(), Rejection> {
        self.check_thread();
        options.check(self.clock())?;
        match () {
            () if self.is_foreign() => Err(Rejection::Forked),
            () if !self.is_open_here() => Err(Rejection::Closed),
            () => Ok(()),
        }
    }

    pub(crate) fn cancel_continuation(&self, task: &Task) {
        if task.cancel(CancelReason::Shutdown) == CancelOutcome::Settled {
            self.counts.cancelled_by_shutdown.add();
        }
    }

    /// Cancels all continuations whose predecessors have not settled.
    pub(crate) fn cancel_continuations(&self) {
        let continuations = mem::take(&mut *self.continuations.lock());
        self.serve(|| {
            continuations
                .into_values()
                .for_each(|task| self.cancel_continuation(&task));
        });
    }
}
