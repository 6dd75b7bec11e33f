//! The cell as everything else sees it: run by a worker, waited for and cancelled through its handle.
//!
//! Layer 2.

use crate::aftermath::{Baggage, Claimed, Outcome};
use crate::cancel::CancelToken;
use crate::context_var;
use crate::error::TaskError;
use crate::event::{OutcomeKind, Summary};
use crate::extras::{Callback, Watcher, Whereabouts, Who};
use crate::id::TaskId;
use crate::panic::{self, Payload, TaskPanic};
use crate::reason::CancelReason;
use crate::seat::{Awaited, Wait, Waits};
use crate::task::any::{
    AnyTask, CancelOutcome, Dismissed, Home, Joinable, OnTime, Queued, Remains, Run, Stage,
    TaskRef, TaskState,
};
use crate::task::cell::Cell;
use crate::task::course::{Ended, Passed};
use crate::task::work::{Carried, Work};
use crate::wake::Wake;
use std::any::Any;
use std::panic::Location;
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

/// Why there is no output.
#[cold]
pub(crate) fn error_of(payload: Payload, who: Who, stage: &dyn Stage) -> TaskError {
    if let Some(reason) = panic::checkpoint_of(&payload) {
        return TaskError::stopped(reason);
    }
    match payload.downcast::<Carried>() {
        Ok(carried) => carried.0,
        Err(payload) => TaskError::Panicked(Box::new(TaskPanic::new(
            who.id,
            who.name,
            who.site,
            payload,
            Some(stage.unread_panics()),
        ))),
    }
}

impl<W: Work> Queued for Cell<W> {
    fn run(self: Arc<Self>, stage: &dyn Stage) -> Run {
        let claimed = if self.slot.has_course() {
            match self.pass(stage.home()) {
                Passed::Claimed(claimed) => Some(claimed),
                Passed::Away => return Run::Away,
                Passed::Gone => None,
            }
        } else {
            self.slot.claim(|_, _| ())
        };
        let Some(claimed) = claimed else {
            return Run::Gone(self);
        };
        // Whatever is the user's in here is in the task's own context, an empty one too: it may run on the stack of
        // a body that waits, and that has another.
        let Claimed { work, baggage } = claimed;
        let (token, context) = baggage.map(Baggage::unpack).unwrap_or_default();
        let _inside = context_var::enter(context);
        // Its token's deadline may have passed while it was queued.
        let stopped = token.as_ref().and_then(CancelToken::reason);
        if stopped.is_some() {
            self.slot.with_extras(|extras, _| extras.started = None);
        }
        // The stage has the task while the body runs, and gives it back: a second count would cost what a lock does.
        let is_plain = !self.slot.has_course();
        let address = Arc::as_ptr(&self).addr();
        let by_hook = stage.enter(self, is_plain);
        let (result, work) = match stopped {
            None if by_hook => attempt_around(stage, work),
            None => work.attempt(),
            Some(reason) => {
                work.abandon(reason, address);
                (Err(panic::checkpoint(reason)), None)
            }
        };
        let cell: Arc<Self> = match stage.exit().into_any().downcast() {
            Ok(cell) => cell,
            Err(_) => unreachable!("frames are left in the order in which they were entered"),
        };
        let (result, limited) = if is_plain {
            (result, false)
        } else {
            match cell.ended(result, work, stage.home()) {
                Some(Ended { result, limited }) => (result, limited),
                None => return Run::Away,
            }
        };
        let outcome = result.map_err(|payload| error_of(payload, cell.who(), stage));
        let ran = cell.settle(outcome);
        if limited {
            // Its entry in the timer.
            stage.home().stale(1);
        }
        Run::Done(ran)
    }

    fn task(self: Arc<Self>) -> Option<TaskRef> {
        Some(self)
    }

    fn dismiss(self: Arc<Self>, reason: CancelReason) -> Dismissed {
        let settled = Cell::cancel(&self, reason) == CancelOutcome::Settled;
        let kind = || self.slot.kind().unwrap_or(OutcomeKind::Cancelled);
        Dismissed {
            settled,
            kind: (!self.slot.is_claimed()).then(kind),
        }
    }
}

impl<W: Work> AnyTask for Cell<W> {
    fn id(&self) -> TaskId {
        self.id
    }

    fn site(&self) -> &'static Location<'static> {
        self.site
    }

    fn name(&self) -> Option<Arc<str>> {
        Cell::name(self)
    }

    fn owner(&self) -> u32 {
        self.slot.owner()
    }

    fn pinned(&self) -> Option<usize> {
        self.slot.peek_extras(|extras| extras.pinned)?
    }

    fn is_plain(&self) -> bool {
        !self.slot.has_course()
    }

    fn state(&self) -> TaskState {
        if self.slot.is_settled() {
            return TaskState::Finished;
        }
        if self.slot.is_claimed() {
            return TaskState::Running;
        }
        if !self.slot.has_course() {
            return TaskState::Queued;
        }
        let state = self
            .slot
            .with_course(|course, running| match course.whereabouts {
                _ if running => TaskState::Running,
                Whereabouts::Queue => TaskState::Queued,
                Whereabouts::Line => TaskState::Gated,
                Whereabouts::Behind => TaskState::Waiting,
                Whereabouts::Timer { due } if course.attempts == 0 => TaskState::Delayed { due },
                Whereabouts::Timer { due } => TaskState::Retrying {
                    attempt: course.attempts + 1,
                    due,
                },
            });
        match state {
            Some(state) if !self.slot.is_settled() => state,
            _ => TaskState::Finished,
        }
    }

    fn is_claimed(&self) -> bool {
        self.slot.is_claimed()
    }

    fn outcome_kind(&self) -> Option<OutcomeKind> {
        self.slot.kind()
    }

    fn queued(self: Arc<Self>) -> Arc<dyn Queued> {
        self
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }

    fn as_any_task(self: Arc<Self>) -> TaskRef {
        self
    }

    fn cancel(&self, reason: CancelReason) -> CancelOutcome {
        Cell::cancel(self, reason)
    }

    fn stop_reason(&self) -> Option<CancelReason> {
        self.slot.stop_reason().or_else(|| {
            // Neither a late attempt nor a deadline on the token sets a flag of the slot's.
            let (late, token) = self.slot.peek_extras(|extras| {
                let late = extras.course.as_ref().is_some_and(|course| course.late);
                (late, extras.token.clone())
            })?;
            if late {
                return Some(CancelReason::Deadline);
            }
            token?.reason()
        })
    }

    fn token(self: Arc<Self>) -> CancelToken {
        Cell::token(&self)
    }

    fn wait(self: Arc<Self>, deadline: Option<Instant>) -> Result<bool, TaskError> {
        // One that the timer settles in the end is waited for no longer than that.
        let me = || {
            let weak: Weak<Self> = Arc::downgrade(&self);
            weak as Weak<dyn Wake>
        };
        self.slot.wait(deadline, me, || match deadline {
            None if !self.is_limited() => Wait::Task(self.clone().awaited()),
            _ => Wait::Open,
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

    fn watch(&self, watcher: Watcher) -> Result<(), Watcher> {
        self.slot.with_extras(|extras, settled| {
            if settled {
                return Err(watcher);
            }
            extras.rest().watchers.push(watcher);
            Ok(())
        })
    }

    fn unwatch(&self, address: usize) {
        let some = self.slot.peek_extras(|extras| {
            let rest = extras.rest.as_ref();
            rest.is_some_and(|rest| !rest.watchers.is_empty())
        });
        if some != Some(true) {
            return;
        }
        let gone: Vec<_> = self.slot.with_extras(|extras, _| {
            let rest = extras.rest();
            let all = std::mem::take(&mut rest.watchers).into_iter();
            let (gone, others) = all.partition(|watcher| watcher.address() == address);
            rest.watchers = others;
            gone
        });
        drop(gone);
    }

    fn awaited(self: Arc<Self>) -> Awaited {
        Awaited {
            id: self.id,
            owner: self.slot.owner(),
            task: self,
        }
    }

    fn set_off(self: Arc<Self>) -> bool {
        Cell::set_off(self)
    }

    fn start(self: Arc<Self>, home: &dyn Home) -> Option<TaskRef> {
        Cell::start(self, home)
    }

    fn on_time(self: Arc<Self>, what: OnTime) -> Option<Remains> {
        Cell::on_time(self, what)
    }

    fn awaits(&self, what: OnTime) -> bool {
        Cell::awaits(self, what)
    }

    fn recall(&self) -> bool {
        self.slot.go(Whereabouts::Queue)
    }

    fn has_hooks(&self) -> bool {
        let tokens = self.slot.peek_extras(|extras| {
            let course = extras.course.as_ref();
            let attempt = course.and_then(|course| course.attempt_token.clone());
            [extras.token.clone(), attempt]
        });
        let mut tokens = tokens.into_iter().flatten().flatten();
        tokens.any(|token| token.has_hooks())
    }

    fn is_fresh(&self) -> bool {
        let attempts = self.slot.with_course(|course, _| course.attempts);
        attempts.unwrap_or(0) == 0
    }

    fn attempt(&self) -> (u32, Option<Arc<str>>) {
        let attempt = self
            .slot
            .with_course(|course, _| (course.attempts, course.last_error.clone()));
        attempt.unwrap_or((1, None))
    }

    fn attempt_token(self: Arc<Self>) -> CancelToken {
        Cell::attempt_token(&self)
    }

    fn time_left(&self) -> Option<Duration> {
        Cell::time_left(self)
    }
}

/// An attempt within the pool's hook. Whatever the hook does, the body runs once.
fn attempt_around<W: Work>(stage: &dyn Stage, work: W) -> (Result<W::Output, Payload>, Option<W>) {
    let mut work = Some(work);
    let mut ended = None;
    stage.around(&mut || {
        if let Some(work) = work.take() {
            ended = Some(work.attempt());
        }
    });
    match (ended, work) {
        (Some(ended), _) => ended,
        (None, Some(work)) => {
            log::warn!("the around_task hook has not run the task, which runs without it");
            work.attempt()
        }
        (None, None) => unreachable!("an attempt lets no panic through"),
    }
}

impl<W: Work> Wake for Cell<W> {
    fn wake(self: Arc<Self>) {
        self.slot.poke();
    }

    fn what(&self) -> String {
        let name = self.name().map(|name| format!(" `{name}`"));
        let name = name.unwrap_or_default();
        format!("task {}{name} (submitted at {})", self.id, self.site)
    }

    fn stays(&self) -> bool {
        !self.slot.is_settled()
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
}
