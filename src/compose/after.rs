//! The work of a task that continues others: it holds their handles until it runs.
//!
//! Layer 6.
//
// The handles go into the task that continues them: nobody else can join them then, and cancelling the last of a chain can
// cancel what is above it. They wait beside the work, under a lock of their own, since either the body takes them (it runs)
// or whoever cancels the task does (it never will).

use crate::compose::handles::Link;
use crate::error::{Rejection, TaskError};
use crate::extras::{Watch, Watcher};
use crate::flat;
use crate::fork;
use crate::panic::{self, Payload};
use crate::pool::{Core, Site, Spec};
use crate::reason::CancelReason;
use crate::seat::Awaited;
use crate::task::{AnyTask, Facts, Failure, TaskHandle, Work, settled};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// What a task continues.
pub(crate) trait Before: Send + 'static {
    fn links(&self) -> Vec<Link>;

    /// How many of them must have settled.
    fn awaited(&self) -> usize;

    /// Whom they tell: the task itself (`None`), or somebody in between.
    fn listener(&self, task: Arc<dyn Watch>) -> Arc<dyn Watch> {
        task
    }

    /// The address of whom they tell, given the task's.
    fn address(&self, task: usize) -> usize {
        task
    }
}

/// The handles, until somebody takes them.
pub(crate) struct Held<B>(Arc<Mutex<Option<B>>>);

impl<B> Held<B> {
    fn new(before: B) -> Self {
        Self(Arc::new(Mutex::new(Some(before))))
    }

    /// For the body, which runs once or keeps what it took.
    pub(crate) fn take(&self) -> B {
        let before = self.0.lock().take();
        before.expect("a task that runs was not cancelled before, and runs once")
    }
}

impl<B> Clone for Held<B> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

struct After<W, B> {
    work: W,
    before: Held<B>,
}

impl<W: Work, B: Before> Work for After<W, B> {
    type Output = W::Output;

    fn attempt(self) -> (Result<W::Output, Payload>, Option<Self>) {
        let (result, again) = self.work.attempt();
        let before = self.before;
        (result, again.map(|work| Self { work, before }))
    }

    fn abandon(self, reason: CancelReason, task: usize) {
        // Those that it continues may continue others in turn.
        flat::run(move || {
            let Self { work, before } = self;
            let handles = before.0.lock().take();
            if let Some(handles) = handles {
                let listener = handles.address(task);
                for Link { task: above, alone } in handles.links() {
                    above.unwatch(listener);
                    if alone {
                        above.cancel(reason);
                    }
                }
                panic::discard(handles);
            }
            panic::discard(work);
        });
    }

    fn behind(&self) -> Vec<Awaited> {
        let before = self.before.0.lock();
        let links = before.as_ref().map_or_else(Vec::new, B::links);
        // Of several that wait for the first no one holds it up.
        let all = before
            .as_ref()
            .is_some_and(|before| before.awaited() == links.len());
        let tasks = links.into_iter().map(|link| link.task);
        let open = tasks.filter(|task| all && task.outcome_kind().is_none());
        open.map(|task| task.awaited()).collect()
    }

    fn is_failure(output: &W::Output) -> bool {
        W::is_failure(output)
    }

    fn again(&self, failure: Failure<'_, W::Output>, facts: &Facts) -> Option<Duration> {
        self.work.again(failure, facts)
    }

    fn text(&self, output: &W::Output) -> Option<Arc<str>> {
        self.work.text(output)
    }
}

/// The pool of the first that has one; that of this worker if none ever had one.
pub(crate) fn pool_of(links: &[Link]) -> Result<Arc<Core>, Rejection> {
    let owners = links.iter().map(|link| link.task.owner());
    let owners = owners.filter(|owner| *owner != fork::NOBODY);
    match owners.clone().find_map(Core::of) {
        Some(core) => Ok(core),
        None if owners.count() > 0 => Err(Rejection::Closed),
        None => Core::here().ok_or(Rejection::NoPool),
    }
}

/// Submits what continues `before`.
pub(crate) fn submit_after<B: Before, W: Work>(
    core: &Arc<Core>,
    site: Site,
    spec: &Spec,
    before: B,
    work: impl FnOnce(Held<B>) -> W,
) -> TaskHandle<W::Output> {
    let links = before.links();
    let awaited = before.awaited();
    let before = Held::new(before);
    let work = After {
        work: work(before.clone()),
        before: before.clone(),
    };
    let cell = match core.submit_behind(site, spec, work, awaited) {
        Ok(cell) => cell,
        Err((reason, work)) => {
            panic::discard(work);
            let before = before.0.lock().take();
            panic::discard(before);
            return core.refused(site, spec, reason);
        }
    };
    let handle = TaskHandle::new(cell.clone());
    let listener = match &*before.0.lock() {
        Some(before) => before.listener(cell.clone()),
        None => cell.clone(),
    };
    for (place, Link { task, .. }) in links.iter().enumerate() {
        let watcher = Watcher {
            who: listener.clone(),
            place,
        };
        if let Err(Watcher { who, place }) = task.watch(watcher) {
            who.settled(place);
        }
    }
    // Cancelled by its token or its pool meanwhile, perhaps before all had it on their lists.
    if cell.outcome_kind().is_some() {
        let address = Arc::as_ptr(&listener).cast::<()>().addr();
        links.iter().for_each(|link| link.task.unwatch(address));
    }
    // Not before all are watched.
    cell.settled(awaited);
    handle
}

/// What could not be submitted, since there is no pool for it.
pub(crate) fn no_pool<T: Send + 'static>(site: Site, why: Rejection) -> TaskHandle<T> {
    settled(fork::NOBODY, site, None, Err(TaskError::Rejected(why)))
}
