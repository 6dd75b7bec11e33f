//! Submitting a continuation: which pool it belongs to, and how it gets there.
//!
//! Layer: compose. The body of a continuation captures the handles of the tasks that it
//! continues. So no other thread can join them, and cancelling the last task of a chain can
//! cancel those before it.

use crate::error::{Rejection, TaskError};
use crate::pool::{Core, Spec};
use crate::process;
use crate::task::body::Body;
use crate::task::{Head, Site, Task, TaskHandle, TaskRef};
use std::sync::Arc;

/// A continuation without its body: the tasks that it continues, and the pool that is to run it.
pub(crate) struct Continuation {
    pool: Result<Arc<Core>, Rejection>,
    tasks: Vec<TaskRef>,
}

impl Continuation {
    /// For the pool of the first task that belongs to one. If all tasks are promises, which belong
    /// to no pool, for the pool of the calling worker.
    pub(crate) fn of(tasks: Vec<TaskRef>) -> Self {
        let owners = tasks.iter().map(|task| task.head.owner);
        let owners = owners.filter(|owner| *owner != process::NO_POOL);
        let pool = match owners.clone().find_map(Core::of) {
            Some(core) => Ok(core),
            None if owners.count() > 0 => Err(Rejection::Closed),
            None => Core::here().ok_or(Rejection::NoPool),
        };
        Self { pool, tasks }
    }

    pub(crate) fn on(core: &Arc<Core>, tasks: Vec<TaskRef>) -> Self {
        let pool = Ok(core.clone());
        Self { pool, tasks }
    }

    /// Whether there is no task to continue, and no pool.
    pub(crate) fn is_nothing(&self) -> bool {
        self.tasks.is_empty() && self.pool.is_err()
    }

    /// The head of the continuation's task.
    pub(crate) fn head(&self, site: Site) -> Head {
        let owner = self
            .pool
            .as_ref()
            .map_or(process::NO_POOL, |core| core.owner());
        Head::new(owner, site)
    }

    /// Submits `task`, which continues all of the tasks. If there is no pool or the pool refuses
    /// it, it settles as rejected.
    fn submit(self, spec: &Spec, task: &TaskRef) {
        match self.pool {
            Ok(core) => core.submit_after(spec, task, self.tasks),
            Err(reason) => task.refuse(TaskError::Rejected(reason)),
        }
    }

    /// Submits a body that continues all of the tasks.
    pub(crate) fn run<T>(
        self,
        site: Site,
        spec: &Spec,
        body: impl Body + 'static,
    ) -> TaskHandle<T> {
        let task = Task::new(self.head(site), body);
        self.submit(spec, &task);
        TaskHandle::new(task)
    }
}
