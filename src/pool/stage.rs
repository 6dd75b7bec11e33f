//! A worker as the bodies on it see it: what is told of them, and what they give up and take back.
//!
//! Layer 3.

use crate::error::TaskError;
use crate::id::TaskId;
use crate::panic::{self, UnreadPanics};
use crate::pool::core::Unread;
use crate::pool::crew::Back;
use crate::pool::phase::Phase;
use crate::pool::queue::RunQueue;
use crate::pool::waits;
use crate::pool::worker::{Performed, Worker};
use crate::reason::CancelReason;
use crate::seat::{Place, Seat, Wait};
use crate::task::{self, Home, Host, Stage, TaskRef};
use std::any::Any;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Worker {
    /// Has a task stand in for the job at the bottom of this stack, if there is one that has none.
    #[inline]
    fn stand_in(&self) {
        if let Some((id, site)) = self.desk.frames.job() {
            self.stand_in_for(id, site);
        }
    }

    #[cold]
    fn stand_in_for(&self, id: TaskId, site: &'static Location<'static>) {
        let task = task::stand_in(self.core.owner(), id, site);
        self.desk.frames.stand_in(task);
        self.heed_shutdown();
    }

    /// After a push to the frames: a shutdown first moves the phase and then looks through them, under their lock, so
    /// either it finds the task there and asks it to stop, or the phase is seen here.
    fn heed_shutdown(&self) {
        if self.core.phase.get() >= Phase::Cancelling {
            if let Some(task) = self.desk.frames.top() {
                task.cancel(CancelReason::Shutdown);
            }
        }
    }

    /// The bodies on this stack, the innermost last.
    fn bodies(&self) -> Vec<TaskRef> {
        self.stand_in();
        self.desk.frames.all()
    }

    /// Gives the seat up, if it is `held`; says whether nobody would be left to end the wait, which leaves it as it was.
    fn is_stuck(&self, for_ever: bool, held: bool) -> bool {
        let core = &self.core;
        if !held {
            return for_ever && core.seats.stay_away().is_err();
        }
        if core.seats.leave(for_ever).is_err() {
            return true;
        }
        let stuck = core.call_spare() && for_ever;
        if stuck {
            core.seats.retake(for_ever);
        }
        stuck
    }

    /// What tells this worker from all others of the process.
    fn place(&self) -> Place {
        (self.core.owner(), self.desk.index)
    }
}

impl Stage for Worker {
    fn begin(&self, site: &'static Location<'static>) -> TaskId {
        let id = TaskId::next();
        self.desk.frames.begin(id, site);
        id
    }

    fn end(&self) -> Option<TaskRef> {
        self.desk.frames.end()
    }

    fn enter(&self, task: TaskRef, is_plain: bool) -> bool {
        if self.core.clock().simulated().is_some() {
            self.begun.fetch_add(1, Ordering::Relaxed);
            let attempt = task.attempt().0;
            self.core.note(&*task, || format!("attempt {attempt}"));
        }
        // What runs below is a body that waits for this one.
        self.stand_in();
        let limited = (!is_plain).then(|| task.clone());
        self.desk.frames.push(task);
        // Its time may have ended before it was to be found here.
        if let Some(task) = limited.filter(|task| task.outcome_kind().is_some()) {
            self.core.hung(task.id());
        }
        self.heed_shutdown();
        self.core.options.around_task.is_some()
    }

    fn around(&self, body: &mut dyn FnMut()) {
        if let (Some(hook), Some(task)) = (&self.core.options.around_task, task::current()) {
            panic::shield("the around_task hook", || hook(&task, body));
        }
    }

    fn exit(&self) -> TaskRef {
        let Some(task) = self.desk.frames.pop() else {
            unreachable!("a body that returns was entered")
        };
        if self.desk.left(&task, &self.core.seats) {
            self.core.queue.push_look();
        }
        task
    }

    fn home(&self) -> &dyn Home {
        &*self.core
    }

    fn unread_panics(&self) -> Arc<dyn UnreadPanics> {
        Arc::new(Unread(Arc::downgrade(&self.core)))
    }
}

impl Seat for Worker {
    fn leave(&self, wait: Wait) -> Result<(), TaskError> {
        let mut for_ever = false;
        let mut bodies = Vec::new();
        if let Wait::Task(target) = &wait {
            for_ever = target.owner == self.core.owner();
            bodies = self.bodies();
            waits::enter(self.place(), &bodies, target)
                .map_err(|circle| TaskError::WouldDeadlock(Box::new(circle)))?;
        }
        let held = self.desk.wait_begins(bodies, for_ever);
        if !self.is_stuck(for_ever, held) {
            return Ok(());
        }
        // It was not given up for this wait; unless it was forfeited in between, for which it has to be.
        let (refused, forfeited) = self.desk.wait_refused();
        if held && forfeited {
            let _ = self.core.seats.leave(false);
            self.core.call_spare();
        }
        waits::leave(self.place(), &refused.bodies);
        Err(self.core.deadlock_at_bound())
    }

    fn retake(&self) {
        let (over, back) = self.desk.wait_ends(&self.core.seats);
        if !over.bodies.is_empty() {
            waits::leave(self.place(), &over.bodies);
        }
        match back {
            Back::Sits(true) => self.core.queue.push_look(),
            Back::Sits(false) => {}
            Back::StaysAway if over.for_ever => self.core.seats.still_away(),
            Back::StaysAway => {}
        }
    }
}

impl Host for Worker {
    fn index(&self) -> usize {
        self.desk.index
    }

    fn owner(&self) -> u32 {
        self.core.owner()
    }

    fn innermost(&self) -> Option<TaskRef> {
        self.stand_in();
        self.desk.frames.top()
    }

    fn run_here(&self, task: &TaskRef) -> bool {
        let mine = task.owner() == self.core.owner() && task.is_plain() && self.desk.is_seated();
        let allowed = match task.pinned() {
            // Nobody but this thread can run it, and this thread is about to wait for it.
            Some(index) => index == self.desk.index,
            None => !self.is_deep(),
        };
        if !mine || !allowed {
            return false;
        }
        // The ticket lies in the queue still; who reads it will find it used.
        matches!(self.perform(task.clone().queued()), Performed::Ran)
    }

    fn pool(&self) -> Arc<dyn Any + Send + Sync> {
        self.core.clone()
    }
}
