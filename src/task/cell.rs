//! The cell: a task in one allocation, closure, state and outcome fused. Settling it, and what that leaves.
//!
//! Layer 2. Everything else sees it as `AnyTask` (the pool, which knows no types) or as `Joinable` (the handle). How it
//! runs is in `run`; what only a task with a course does, in `course`.

use crate::aftermath::{Aftermath, Cancelled, Outcome, Unrun};
use crate::cancel::CancelToken;
use crate::error::{JoinError, TaskError};
use crate::event::{OutcomeKind, Summary};
use crate::extras::{Extras, Member, Whereabouts, Who};
use crate::gate;
use crate::here;
use crate::id::TaskId;
use crate::panic;
use crate::reason::CancelReason;
use crate::slot::Slot;
use crate::task::any::{CancelOutcome, Home, Policy, Ran};
use crate::task::work::Work;
use std::mem;
use std::panic::Location;
use std::sync::Arc;
use std::time::Instant;

/// A task. With a closure of 24 bytes it takes 96, its counts included.
pub(crate) struct Cell<W: Work> {
    pub(crate) id: TaskId,
    pub(crate) site: &'static Location<'static>,
    pub(crate) slot: Slot<W, W::Output, Policy>,
}

impl<W: Work> Cell<W> {
    /// `detached`: nobody will hold a handle.
    pub(crate) fn new(
        owner: u32,
        site: &'static Location<'static>,
        work: W,
        extras: Option<Box<Extras<Policy>>>,
        detached: bool,
    ) -> Arc<Self> {
        Self::numbered(TaskId::next(), owner, site, work, extras, detached)
    }

    pub(crate) fn numbered(
        id: TaskId,
        owner: u32,
        site: &'static Location<'static>,
        work: W,
        extras: Option<Box<Extras<Policy>>>,
        detached: bool,
    ) -> Arc<Self> {
        Arc::new(Self {
            id,
            site,
            slot: Slot::new(owner, work, extras, detached),
        })
    }

    pub(crate) fn name(&self) -> Option<Arc<str>> {
        self.slot.peek_extras(|extras| extras.name.clone())?
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
                extras.rest().hook.replace(hook)
            }
        });
        drop(unwanted);
    }

    /// Its token; made at first use.
    pub(crate) fn token(self: &Arc<Self>) -> CancelToken {
        let existing = self.slot.peek_extras(|extras| extras.token.clone());
        if let Some(Some(token)) = existing {
            return token;
        }
        let fresh = CancelToken::with_clock(&here::clock_of(self.slot.owner()));
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

    pub(crate) fn cancel(&self, reason: CancelReason) -> CancelOutcome {
        match self.slot.cancel(reason) {
            Cancelled::Unrun(unrun) => {
                let away = self.take_away(&unrun);
                if let Some(token) = &unrun.token {
                    token.cancel(reason);
                }
                let watcher = std::ptr::from_ref(self).addr();
                unrun.work.abandon(reason, watcher);
                let kind = OutcomeKind::of_error(&TaskError::stopped(reason));
                self.bury(kind, unrun.aftermath).retire();
                if let Some(home) = away {
                    home.settled_away(kind);
                }
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

    /// It was settled unrun: gives up its places and its entries. Gives the pool if it is to be told, since no ticket's
    /// reader will.
    pub(crate) fn take_away(&self, unrun: &Unrun<W, W::Output>) -> Option<Arc<dyn Home>> {
        if !self.slot.has_course() {
            return None;
        }
        let (Policy { plan, home }, order, attempts) = self
            .slot
            .with_course(|course, _| (course.policy.clone(), course.order, course.attempts))?;
        if unrun.whereabouts == Whereabouts::Behind {
            home.unannounced(self.id);
            return Some(home);
        }
        let is_delayed = matches!(unrun.whereabouts, Whereabouts::Timer { .. });
        let entries = usize::from(is_delayed)
            + usize::from(plan.expires.is_some() && attempts == 0)
            + usize::from(plan.total_timeout.is_some());
        if entries > 0 {
            home.stale(entries);
        }
        if !plan.gates.is_empty() {
            gate::forget(&plan.gates, order);
        }
        if unrun.whereabouts == Whereabouts::Line {
            home.unparked(order);
        }
        (unrun.whereabouts != Whereabouts::Queue).then_some(home)
    }

    /// Takes the work away: it will be settled by hand.
    pub(crate) fn claim(&self) -> bool {
        self.slot.claim(|_, _| ()).is_some()
    }

    /// Settles what was claimed, and does all that follows but the callbacks.
    pub(crate) fn settle(&self, outcome: Outcome<W::Output>) -> Ran {
        let kind = match &outcome {
            Ok(output) if W::is_failure(output) => OutcomeKind::Failed,
            Ok(_) => OutcomeKind::Completed,
            Err(error) => OutcomeKind::of_error(error),
        };
        self.settle_as(kind, outcome)
    }

    pub(crate) fn settle_as(&self, kind: OutcomeKind, outcome: Outcome<W::Output>) -> Ran {
        let aftermath = self.slot.settle(outcome, kind);
        // Its time may have been over before.
        let kind = self.slot.kind().unwrap_or(kind);
        self.bury(kind, aftermath)
    }

    pub(crate) fn summary(
        &self,
        kind: OutcomeKind,
        name: Option<Arc<str>>,
        started: Option<Instant>,
    ) -> Summary {
        Summary {
            id: self.id,
            name,
            outcome: kind,
            ran_for: started.map(|at| {
                let now = here::clock_of(self.slot.owner()).now();
                now.saturating_duration_since(at)
            }),
        }
    }

    pub(crate) fn bury(&self, kind: OutcomeKind, aftermath: Aftermath<W::Output>) -> Ran {
        let Aftermath { unwanted, mut rest } = aftermath;
        if let Some(waker) = rest.as_mut().and_then(|rest| rest.waker.take()) {
            panic::shield("a waker", || waker.wake());
        }
        if let Some(rest) = &mut rest {
            mem::take(&mut rest.context).discard();
        }
        let member = rest.as_ref().and_then(|rest| rest.member.as_ref());
        if let Some(member) = member {
            member.group.settled(member.index, kind);
        }
        if let Some(outcome) = unwanted {
            match member {
                Some(member) => self.tell(member, outcome),
                None => self.discard(kind, outcome),
            }
        }
        if let Some(rest) = rest.as_mut().filter(|rest| !rest.callbacks.is_empty()) {
            rest.summary = Some(self.summary(kind, rest.name.clone(), rest.started));
        }
        Ran {
            kind,
            afterwards: rest,
        }
    }

    pub(crate) fn who(&self) -> Who {
        Who {
            id: self.id,
            name: self.name(),
            site: self.site,
        }
    }

    /// Leaves to its group what nobody will read.
    fn tell(&self, member: &Member, outcome: Outcome<W::Output>) {
        let failure = match outcome {
            Ok(output) => W::into_error(output).map(JoinError::Failed),
            Err(error) => Some(JoinError::Task(error)),
        };
        if let Some(failure) = failure {
            member.group.unread(member.index, self.who(), failure);
        }
    }

    fn discard(&self, kind: OutcomeKind, outcome: Outcome<W::Output>) {
        if kind == OutcomeKind::Failed {
            failed_unread(&self.who());
        }
        discard_outcome(outcome);
    }
}

#[cold]
pub(crate) fn failed_unread(who: &Who) {
    log::warn!("{who} failed, and nobody holds its handle");
}

/// Drops what nobody will read; a panic among it is told of.
pub(crate) fn discard_outcome<T>(outcome: Outcome<T>) {
    if let Err(TaskError::Panicked(panic)) = &outcome {
        panic.unread();
    }
    panic::discard(outcome);
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
