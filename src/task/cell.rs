//! The cell: a task in one allocation, closure, state and outcome fused. Claim, run, settle, retire.
//!
//! Layer 2. Everything else sees it as [`AnyTask`] (the pool, which knows no types) or as [`Joinable`] (the handle).

use crate::cancel::CancelToken;
use crate::clock;
use crate::error::TaskError;
use crate::event::{OutcomeKind, Summary};
use crate::id::TaskId;
use crate::panic::{self, TaskPanic, UnreadPanics};
use crate::reason::CancelReason;
use crate::seat::{Awaited, Pinned, Wait};
use crate::slot::{Aftermath, Callback, Cancelled, Extras, Outcome, Rest, Slot};
use crate::task::work::Work;
use std::any::Any;
use std::panic::Location;
use std::sync::{Arc, OnceLock};
use std::task::{Poll, Waker};
use std::time::Instant;

pub(crate) type TaskRef = Arc<dyn AnyTask>;

/// A task. With a closure of 24 bytes it takes 96, its counts included.
pub(crate) struct Cell<W: Work> {
    id: TaskId,
    site: &'static Location<'static>,
    slot: Slot<W, W::Output>,
}

/// What a cancel did.
///
/// ```
/// use millhand::CancelOutcome;
///
/// let (_promise, handle) = millhand::promise::<u32>();
/// assert_eq!(handle.cancel(), CancelOutcome::Settled);
/// assert_eq!(handle.cancel(), CancelOutcome::AlreadyFinished);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CancelOutcome {
    /// The task was not running: it is settled as cancelled, and its closure was dropped, on the calling thread.
    Settled,
    /// The task is running: its token is set, and the body decides.
    Requested,
    /// The task had finished.
    AlreadyFinished,
}

/// Where a task is.
///
/// ```
/// use millhand::TaskState;
///
/// let (promise, handle) = millhand::promise();
/// assert_eq!(handle.state(), TaskState::Queued);
/// promise.complete(1).unwrap();
/// assert_eq!(handle.state(), TaskState::Finished);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TaskState {
    /// It waits for a worker; a promise, to be kept.
    Queued,
    /// Its body runs.
    Running,
    /// Its outcome is there, or was and has been taken.
    Finished,
}

/// What a run leaves: the outcome's kind and the callbacks, which are run when the task's frame is gone.
pub(crate) struct Ran {
    pub(crate) kind: OutcomeKind,
    afterwards: Option<(Box<Rest>, Summary)>,
}

impl Ran {
    /// Runs the callbacks. With this the task has retired.
    pub(crate) fn retire(self) {
        if let Some((rest, summary)) = self.afterwards {
            for (_, callback) in rest.callbacks {
                panic::shield("an on_finish callback", || callback(&summary));
            }
        }
    }
}

/// Where a body runs: a worker.
pub(crate) trait Stage {
    /// The task's body is about to run here.
    fn enter(&self, task: TaskRef);
    /// It has returned: gives the task that was entered last.
    fn exit(&self) -> TaskRef;
    /// Who hears of a panic that nobody will read.
    fn unread_panics(&self) -> Arc<dyn UnreadPanics>;
}

/// A task without its types.
pub(crate) trait AnyTask: Send + Sync {
    fn id(&self) -> TaskId;
    fn site(&self) -> &'static Location<'static>;
    fn name(&self) -> Option<Arc<str>>;
    fn owner(&self) -> u32;
    /// The worker that alone may run it.
    fn pinned(&self) -> Option<usize>;
    fn state(&self) -> TaskState;
    fn is_claimed(&self) -> bool;
    /// What became of it, once settled.
    fn outcome_kind(&self) -> Option<OutcomeKind>;
    /// Claims and runs it on `stage`, up to the outcome; gives it back if it was claimed or cancelled before.
    fn run(self: Arc<Self>, stage: &dyn Stage) -> Result<Ran, TaskRef>;
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
    fn cancel(&self, reason: CancelReason) -> CancelOutcome;
    /// Why its running body should stop.
    fn stop_reason(&self) -> Option<CancelReason>;
    /// Its token; made at first use, and cancelling it cancels the task.
    fn token(self: Arc<Self>) -> CancelToken;
    /// Waits until settled, or until `deadline`; says which.
    fn wait(self: Arc<Self>, deadline: Option<Instant>) -> Result<bool, TaskError>;
    /// Notes a callback and gives its key; a finished task gives it back with the summary.
    fn on_finish(&self, callback: Callback) -> Result<u64, (Callback, Summary)>;
    fn remove_callback(&self, key: u64) -> Option<Callback>;
}

/// A task as its handle sees it.
pub(crate) trait Joinable<T>: AnyTask {
    fn take(&self) -> Option<Outcome<T>>;
    fn take_into(&self, shared: &OnceLock<Outcome<T>>);
    fn take_or_wake(&self, waker: &Waker) -> Poll<Option<Outcome<T>>>;
    fn detach(&self) -> Option<Outcome<T>>;
    fn as_any_task(self: Arc<Self>) -> TaskRef;
}

impl<W: Work> Cell<W> {
    /// `detached`: nobody will hold a handle.
    pub(crate) fn new(
        owner: u32,
        site: &'static Location<'static>,
        work: W,
        extras: Option<Box<Extras>>,
        detached: bool,
    ) -> Arc<Self> {
        Arc::new(Self {
            id: TaskId::next(),
            site,
            slot: Slot::new(owner, work, extras, detached),
        })
    }

    /// Makes `token` the task's own: cancelling it cancels the task, queued or running.
    pub(crate) fn obey(self: &Arc<Self>, token: CancelToken) {
        let weak = Arc::downgrade(self);
        let hook = token.on_cancel(move |reason| {
            if let Some(cell) = weak.upgrade() {
                cell.cancel(reason);
            }
        });
        // A task that was cancelled or has finished meanwhile keeps no hook.
        let unwanted = self.slot.with_extras(|extras, settled| {
            extras.token = Some(token);
            if settled {
                Some(hook)
            } else {
                extras.hook.replace(hook)
            }
        });
        drop(unwanted);
    }

    /// Takes the work away: it will be settled by hand.
    pub(crate) fn claim(&self) -> bool {
        self.slot.claim().is_some()
    }

    /// Settles what was claimed, and does all that follows but the callbacks.
    pub(crate) fn settle(&self, outcome: Outcome<W::Output>) -> Ran {
        let kind = match &outcome {
            Ok(output) if W::is_failure(output) => OutcomeKind::Failed,
            Ok(_) => OutcomeKind::Completed,
            Err(error) => OutcomeKind::of_error(error),
        };
        let aftermath = self.slot.settle(outcome, kind);
        self.bury(kind, aftermath)
    }

    fn summary(
        &self,
        kind: OutcomeKind,
        name: Option<Arc<str>>,
        started: Option<Instant>,
    ) -> Summary {
        Summary {
            id: self.id,
            name,
            outcome: kind,
            ran_for: started.map(|at| clock::now().saturating_duration_since(at)),
        }
    }

    /// What the wait graph is told of it.
    fn awaited(self: &Arc<Self>) -> Awaited {
        let pinned = self.pinned().map(|index| {
            let cell = self.clone();
            Pinned {
                worker: (self.owner(), index),
                is_queued: Arc::new(move || cell.state() == TaskState::Queued),
            }
        });
        Awaited {
            id: self.id,
            name: self.name(),
            site: self.site,
            owner: self.owner(),
            pinned,
        }
    }

    fn bury(&self, kind: OutcomeKind, aftermath: Aftermath<W::Output>) -> Ran {
        let Aftermath { unwanted, rest } = aftermath;
        if let Some(outcome) = unwanted {
            discard_outcome(outcome);
        }
        let afterwards = rest.map(|rest| {
            let summary = self.summary(kind, rest.name.clone(), rest.started);
            (rest, summary)
        });
        Ran { kind, afterwards }
    }
}

/// Drops what nobody will read; a panic among it is told of.
pub(crate) fn discard_outcome<T>(outcome: Outcome<T>) {
    if let Err(TaskError::Panicked(panic)) = &outcome {
        panic.unread();
    }
    panic::discard(outcome);
}

impl<W: Work> AnyTask for Cell<W> {
    fn id(&self) -> TaskId {
        self.id
    }

    fn site(&self) -> &'static Location<'static> {
        self.site
    }

    fn name(&self) -> Option<Arc<str>> {
        self.slot.peek_extras(|extras| extras.name.clone())?
    }

    fn owner(&self) -> u32 {
        self.slot.owner()
    }

    fn pinned(&self) -> Option<usize> {
        self.slot.peek_extras(|extras| extras.pinned)?
    }

    fn state(&self) -> TaskState {
        match () {
            () if self.slot.is_settled() => TaskState::Finished,
            () if self.slot.is_claimed() => TaskState::Running,
            () => TaskState::Queued,
        }
    }

    fn is_claimed(&self) -> bool {
        self.slot.is_claimed()
    }

    fn outcome_kind(&self) -> Option<OutcomeKind> {
        self.slot.kind()
    }

    fn run(self: Arc<Self>, stage: &dyn Stage) -> Result<Ran, TaskRef> {
        let Some((work, token)) = self.slot.claim() else {
            return Err(self);
        };
        // Its token's deadline may have passed while it was queued.
        let stopped = token.and_then(|token| token.reason());
        if stopped.is_some() {
            self.slot.with_extras(|extras, _| extras.started = None);
        }
        // The stage has the task while the body runs, and gives it back: a second count would cost what a lock does.
        stage.enter(self);
        let outcome = match stopped {
            None => panic::catch(|| work.attempt()),
            Some(reason) => {
                panic::discard(work);
                Err(panic::checkpoint(reason))
            }
        };
        let cell: Arc<Self> = match stage.exit().into_any().downcast() {
            Ok(cell) => cell,
            Err(_) => unreachable!("frames are left in the order in which they were entered"),
        };
        let outcome = outcome.map_err(|payload| match panic::checkpoint_of(&payload) {
            Some(reason) => TaskError::stopped(reason),
            None => TaskError::Panicked(Box::new(TaskPanic::new(
                cell.id,
                cell.name(),
                cell.site,
                payload,
                Some(stage.unread_panics()),
            ))),
        });
        Ok(cell.settle(outcome))
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }

    fn cancel(&self, reason: CancelReason) -> CancelOutcome {
        match self.slot.cancel(reason) {
            Cancelled::Unrun(work, aftermath, token) => {
                if let Some(token) = token {
                    token.cancel(reason);
                }
                panic::discard_flat(work);
                let error = TaskError::stopped(reason);
                self.bury(OutcomeKind::of_error(&error), aftermath).retire();
                CancelOutcome::Settled
            }
            Cancelled::Running(token) => {
                if let Some(token) = token {
                    token.cancel(reason);
                }
                CancelOutcome::Requested
            }
            Cancelled::Finished => CancelOutcome::AlreadyFinished,
        }
    }

    fn stop_reason(&self) -> Option<CancelReason> {
        self.slot.stop_reason().or_else(|| {
            // A deadline on the token sets no flag of the slot's until somebody asks.
            let token = self.slot.peek_extras(|extras| extras.token.clone())??;
            token.reason()
        })
    }

    fn token(self: Arc<Self>) -> CancelToken {
        let existing = self.slot.peek_extras(|extras| extras.token.clone());
        if let Some(Some(token)) = existing {
            return token;
        }
        let fresh = CancelToken::new();
        let (token, made) = self.slot.with_extras(|extras, _| match &extras.token {
            Some(token) => (token.clone(), false),
            None => (extras.token.insert(fresh).clone(), true),
        });
        if made {
            // A request that came before the token did is passed on; one that comes now finds the token.
            if let Some(reason) = self.slot.stop_reason() {
                token.cancel(reason);
            }
            self.obey(token.clone());
        }
        token
    }

    fn wait(self: Arc<Self>, deadline: Option<Instant>) -> Result<bool, TaskError> {
        self.slot.wait(deadline, || match deadline {
            Some(_) => Wait::Open,
            None => Wait::Task(self.awaited()),
        })
    }

    fn on_finish(&self, callback: Callback) -> Result<u64, (Callback, Summary)> {
        let refused = self.slot.with_extras(|extras, settled| {
            if settled {
                Err(callback)
            } else {
                Ok(extras.add_callback(callback))
            }
        });
        refused.map_err(|callback| {
            let kind = self.slot.kind().unwrap_or(OutcomeKind::Rejected);
            (callback, self.summary(kind, self.name(), None))
        })
    }

    fn remove_callback(&self, key: u64) -> Option<Callback> {
        self.slot
            .with_extras(|extras, _| extras.remove_callback(key))
    }
}

impl<W: Work> Joinable<W::Output> for Cell<W> {
    fn take(&self) -> Option<Outcome<W::Output>> {
        self.slot.take()
    }

    fn take_into(&self, shared: &OnceLock<Outcome<W::Output>>) {
        self.slot.take_into(shared);
    }

    fn take_or_wake(&self, waker: &Waker) -> Poll<Option<Outcome<W::Output>>> {
        self.slot.take_or_wake(waker)
    }

    fn detach(&self) -> Option<Outcome<W::Output>> {
        self.slot.detach()
    }

    fn as_any_task(self: Arc<Self>) -> TaskRef {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::work::PlainWork;

    #[test]
    fn a_cell_stays_small() {
        fn size<W: Work>(_: impl Fn() -> W) -> usize {
            size_of::<Cell<W>>() + 2 * size_of::<usize>()
        }
        let words = [0_u64; 3];
        assert_eq!(
            size(|| PlainWork(move || words)),
            96,
            "closure of 24 bytes, counts included"
        );
        assert!(size_of::<TaskError>() <= 16);
    }
}

#[cfg(all(test, loom))]
#[path = "../../tests/loom/cell.rs"]
mod models;
