//! The job: a task of which nobody has asked for more than to be run.
//!
//! Layer 2. No handle, no name, no option: with these nobody can reach it before it runs, so it has no slot, no lock and no
//! number until then, and is a closure with the place that it comes from.
//
// A body may ask who it is, wait, or want a token: then, and not before, a task is made that stands in for it on its
// worker's stack, as one that runs already. So all that waits and cancels knows tasks only.

use crate::event::OutcomeKind;
use crate::extras::Who;
use crate::id::TaskId;
use crate::panic::{self, Payload};
use crate::reason::CancelReason;
use crate::task::any::{Dismissed, Queued, Ran, Run, Stage, TaskRef};
use crate::task::cell::{Cell, discard_outcome, failed_unread};
use crate::task::run::error_of;
use crate::task::work::Work;
use parking_lot::Mutex;
use std::panic::Location;
use std::sync::Arc;

pub(crate) struct Job<W> {
    site: &'static Location<'static>,
    /// Never locked: a ticket is shared as far as its type goes, and a body need not be.
    work: Mutex<W>,
}

impl<W: Work> Job<W> {
    pub(crate) fn new(site: &'static Location<'static>, work: W) -> Arc<Self> {
        let work = Mutex::new(work);
        Arc::new(Self { site, work })
    }

    fn open(self: Arc<Self>) -> (&'static Location<'static>, W) {
        let Self { site, work } = Arc::into_inner(self).expect("its ticket alone has it");
        (site, work.into_inner())
    }
}

impl<W: Work> Queued for Job<W> {
    fn run(self: Arc<Self>, stage: &dyn Stage) -> Run {
        let (site, work) = self.open();
        let id = stage.begin(site);
        let (result, _) = work.attempt();
        let stand_in = stage.end();
        let kind = match &result {
            Ok(output) if W::is_failure(output) => OutcomeKind::Failed,
            Ok(_) => OutcomeKind::Completed,
            Err(_) => OutcomeKind::Panicked,
        };
        let error = match result {
            Ok(output) => {
                panic::discard(output);
                None
            }
            Err(payload) => Some(payload),
        };
        if kind == OutcomeKind::Completed && stand_in.is_none() {
            return Run::Done(Ran {
                kind,
                afterwards: None,
            });
        }
        let who = Who {
            id,
            name: None,
            site,
        };
        Run::Done(settle(who, kind, error, stand_in, stage))
    }

    fn task(self: Arc<Self>) -> Option<TaskRef> {
        None
    }

    fn dismiss(self: Arc<Self>, reason: CancelReason) -> Dismissed {
        let (_, work) = self.open();
        work.abandon(reason, 0);
        Dismissed {
            settled: true,
            kind: Some(OutcomeKind::Cancelled),
        }
    }
}

/// The work of a stand-in: it has begun elsewhere.
struct Begun;

impl Work for Begun {
    type Output = ();

    fn attempt(self) -> (Result<(), Payload>, Option<Self>) {
        unreachable!("claimed from the start")
    }
}

/// The task that stands in for a running job.
pub(crate) fn stand_in(owner: u32, id: TaskId, site: &'static Location<'static>) -> TaskRef {
    let cell = Cell::numbered(id, owner, site, Begun, None, true);
    cell.claim();
    cell
}

#[cold]
fn settle(
    who: Who,
    kind: OutcomeKind,
    payload: Option<Payload>,
    stand_in: Option<TaskRef>,
    stage: &dyn Stage,
) -> Ran {
    if kind == OutcomeKind::Failed && stand_in.is_none() {
        failed_unread(&who);
    }
    let (kind, outcome) = match payload.map(|payload| error_of(payload, who, stage)) {
        Some(error) => (OutcomeKind::of_error(&error), Err(error)),
        None => (kind, Ok(())),
    };
    let cell = stand_in.map(|task| task.into_any().downcast::<Cell<Begun>>());
    match cell {
        // It has no handle: a failure is logged and a panic told of there.
        Some(Ok(cell)) => cell.settle_as(kind, outcome),
        Some(Err(_)) => unreachable!("what stands in for a job is made for that"),
        None => {
            discard_outcome::<()>(outcome);
            Ran {
                kind,
                afterwards: None,
            }
        }
    }
}
