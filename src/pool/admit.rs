//! The way into a pool: admission, the cell of a task, the run queue.
//!
//! Layer 3.

use crate::context_var;
use crate::error::{Rejection, SubmitError, TaskError};
use crate::extras::{Extras, Member, Place};
use crate::panic;
use crate::pool::core::{Core, Site, Spec};
use crate::pool::crew::Desk;
use crate::pool::intake::Hold;
use crate::pool::phase::Phase;
use crate::pool::queue::{RunQueue, Ticket};
use crate::task::{Cell, Job, Plan, Policy, Queued, TaskHandle, Work, set_out, settled};
use std::sync::Arc;

impl Core {
    /// Takes a place, if places are counted, and announces a task.
    #[inline]
    fn admit(&self, spec: &Spec, hold: Hold) -> Result<Option<Place>, Rejection> {
        self.check_thread();
        if let Some(plan) = &spec.plan {
            plan.check(self.clock()).map_err(Rejection::Invalid)?;
        }
        let place = match &self.intake {
            Some(intake) if !self.is_here() => Some(intake.take(hold)?),
            _ => None,
        };
        self.quiet.announce();
        if self.is_open_here() {
            return Ok(place);
        }
        self.retract();
        Err(Rejection::Closed)
    }

    /// Takes an announcement back.
    pub(crate) fn retract(&self) {
        self.quiet.take_back();
        self.told();
    }

    /// Whether a task from this thread is taken, now that it is announced.
    pub(crate) fn is_open_here(&self) -> bool {
        match self.phase.get() {
            Phase::Open => true,
            Phase::Draining => self.is_here(),
            Phase::Cancelling | Phase::Over => false,
        }
    }

    pub(crate) fn send<W: Work>(self: &Arc<Self>, spec: &Spec, cell: Arc<Cell<W>>) {
        if let Some(plan) = &spec.plan {
            return cell.send_off(plan, &**self);
        }
        self.enqueue(cell);
    }

    fn enqueue(self: &Arc<Self>, task: Arc<dyn Queued>) {
        self.queue.push(Ticket::new(task));
        self.something_is_ready();
    }

    /// After a push.
    pub(crate) fn something_is_ready(self: &Arc<Self>) {
        // ORDERING: crossbeam's push and this look are sequentially consistent; see `seats`.
        if self.seats.is_short() {
            self.call_spare();
        }
    }

    /// Submits, or gives the work back.
    pub(crate) fn try_submit<W: Work>(
        self: &Arc<Self>,
        site: Site,
        spec: &Spec,
        work: W,
        hold: Hold,
    ) -> Result<TaskHandle<W::Output>, SubmitError<W>> {
        self.hand_in(site, spec, work, hold, None)
    }

    /// Submits a member of a group; waits for a place.
    pub(crate) fn submit_member<W: Work>(
        self: &Arc<Self>,
        site: Site,
        spec: &Spec,
        work: W,
        member: Member,
    ) -> Result<TaskHandle<W::Output>, SubmitError<W>> {
        self.hand_in(site, spec, work, Hold::Until(None), Some(member))
    }

    fn hand_in<W: Work>(
        self: &Arc<Self>,
        site: Site,
        spec: &Spec,
        work: W,
        hold: Hold,
        member: Option<Member>,
    ) -> Result<TaskHandle<W::Output>, SubmitError<W>> {
        match self.admit(spec, hold) {
            Ok(place) => {
                let mut extras = self.extras(spec, place);
                if member.is_some() {
                    extras.get_or_insert_default().rest().member = member;
                }
                let cell = self.cell(site, spec, work, extras, false);
                let handle = TaskHandle::new(cell.clone());
                self.send(spec, cell);
                Ok(handle)
            }
            Err(reason) => Err(SubmitError::new(reason, work)),
        }
    }

    /// Submits; a refusal is the handle's outcome.
    pub(crate) fn submit<W: Work>(
        self: &Arc<Self>,
        site: Site,
        spec: &Spec,
        work: W,
    ) -> TaskHandle<W::Output> {
        self.try_submit(site, spec, work, Hold::Until(None))
            .unwrap_or_else(|refused| {
                let reason = refused.reason();
                panic::discard(refused.into_inner());
                self.refused(site, spec, reason)
            })
    }

    pub(crate) fn refused<T: Send + 'static>(
        &self,
        site: Site,
        spec: &Spec,
        reason: Rejection,
    ) -> TaskHandle<T> {
        let outcome = Err(TaskError::Rejected(reason));
        settled(self.owner(), site, spec.name.clone(), outcome)
    }

    /// Submits with no handle, or gives the work back.
    pub(crate) fn execute<W: Work>(
        self: &Arc<Self>,
        site: Site,
        spec: &Spec,
        work: W,
        hold: Hold,
    ) -> Result<(), SubmitError<W>> {
        match self.admit(spec, hold) {
            Ok(place) => {
                if place.is_none()
                    && self.takes_jobs
                    && spec.is_plain()
                    && !context_var::is_set_here()
                {
                    self.enqueue(Job::new(site, work));
                    return Ok(());
                }
                let extras = self.extras(spec, place);
                self.send(spec, self.cell(site, spec, work, extras, true));
                Ok(())
            }
            Err(reason) => Err(SubmitError::new(reason, work)),
        }
    }

    pub(crate) fn cell<W: Work>(
        self: &Arc<Self>,
        site: Site,
        spec: &Spec,
        work: W,
        extras: Option<Box<Extras<Policy>>>,
        detached: bool,
    ) -> Arc<Cell<W>> {
        let cell = Cell::new(self.owner(), site, work, extras, detached);
        if let Some(token) = &spec.token {
            // A child: what cancels this task alone does not reach its siblings.
            cell.obey(token.child());
        }
        cell
    }

    /// A task that waits behind others, which tell it `count` times.
    pub(crate) fn cell_behind<W: Work>(
        self: &Arc<Self>,
        site: Site,
        spec: &Spec,
        plan: &Arc<Plan>,
        work: W,
        count: usize,
    ) -> Arc<Cell<W>> {
        let extras = set_out(plan, self.clone(), spec.name.clone(), None, count);
        self.cell(site, spec, work, Some(extras), false)
    }

    #[inline]
    pub(crate) fn extras(
        self: &Arc<Self>,
        spec: &Spec,
        place: Option<Place>,
    ) -> Option<Box<Extras<Policy>>> {
        if place.is_none() && spec.is_plain() && !context_var::is_set_here() {
            return None;
        }
        let name = spec.name.clone();
        Some(match &spec.plan {
            Some(plan) => set_out(plan, self.clone(), name, place, 0),
            None => Extras::new(name, place, None),
        })
    }

    /// Puts a task of each worker's own into its mailbox.
    pub(crate) fn broadcast<W: Work>(
        self: &Arc<Self>,
        site: Site,
        mut work: impl FnMut() -> W,
    ) -> Result<Vec<TaskHandle<W::Output>>, Rejection> {
        self.check_thread();
        let crew = self.crew.lock();
        crew.desks().for_each(|_| self.quiet.announce());
        if !self.is_open_here() {
            crew.desks().for_each(|_| self.retract());
            return Err(Rejection::Closed);
        }
        let post = |desk: &Arc<Desk>| {
            let extras = Extras::new(None, None, Some(desk.index));
            let cell = Cell::new(self.owner(), site, work(), Some(extras), false);
            desk.mail.post(cell.clone());
            TaskHandle::new(cell as Arc<_>)
        };
        Ok(crew.desks().map(post).collect())
    }
}
