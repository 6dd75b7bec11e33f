//! The timer's side of a task that has a course: when it is due, and when its time is over.
//!
//! Layer 2. The timer may run and drop nothing of the user's: what is to be dropped or called is handed out.

use crate::aftermath::{Aftermath, TimedOut, Unrun};
use crate::alarm;
use crate::event::OutcomeKind;
use crate::extras::{Watcher, Whereabouts};
use crate::gate;
use crate::panic;
use crate::reason::CancelReason;
use crate::task::any::{Home, OnTime, Rank, Remains, TaskRef};
use crate::task::cell::Cell;
use crate::task::work::Work;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

impl<W: Work> Cell<W> {
    /// It is due: for the first time, or for another attempt. Given back if it is to do neither any more.
    pub(crate) fn start(self: Arc<Self>, home: &dyn Home) -> Option<TaskRef> {
        let order = gate::next_order();
        let leaves = self.slot.depart(|course| {
            let plan = &course.policy.plan;
            let priority = plan.priority;
            if !matches!(course.whereabouts, Whereabouts::Timer { .. }) {
                return None;
            }
            if course.attempts == 0 {
                if !plan.gates.is_empty() {
                    return Some((priority, Some(plan.clone())));
                }
                course.order = order;
            }
            course.whereabouts = Whereabouts::Queue;
            Some((priority, None))
        });
        let Some((priority, gated)) = leaves else {
            return Some(self);
        };
        if let Some(plan) = gated {
            // Gates are locked before slots.
            let order = gate::enter(&plan.gates);
            self.slot.with_course(|course, _| course.order = order);
            if !self.slot.go(Whereabouts::Queue) {
                // Settled meanwhile, perhaps under another order.
                gate::forget(&plan.gates, order);
                return Some(self);
            }
        }
        home.ready(self, Rank::Priority(priority));
        None
    }

    /// Settles it as too late, and hands out what of it is the user's.
    fn lays_out(self: Arc<Self>, unrun: Unrun<W, W::Output>, kind: OutcomeKind) -> Remains {
        if let Some(home) = self.take_away(&unrun) {
            home.settled_away(kind);
        }
        let Unrun {
            work,
            mut aftermath,
            token,
            ..
        } = unrun;
        wake_apart(&mut aftermath);
        if let Some(token) = token {
            token.cancel_apart(CancelReason::Deadline);
        }
        Box::new(move || {
            panic::discard_flat(work);
            self.bury(kind, aftermath).retire();
        })
    }

    fn ends(self: Arc<Self>) -> Option<Remains> {
        match self.slot.time_out() {
            TimedOut::Unrun(unrun) => Some(self.lays_out(unrun, OutcomeKind::TimedOut)),
            TimedOut::Running(mut aftermath, token) => {
                wake_apart(&mut aftermath);
                let course = self.slot.with_course(|course, _| {
                    let home = course.policy.home.clone();
                    (home, course.attempt_token.clone())
                });
                let (home, attempt) = course?;
                home.hung(self.id);
                for token in token.into_iter().chain(attempt) {
                    token.cancel_apart(CancelReason::Deadline);
                }
                Some(Box::new(move || {
                    self.bury(OutcomeKind::TimedOut, aftermath).retire();
                }))
            }
            TimedOut::Finished => None,
        }
    }

    pub(crate) fn on_time(self: Arc<Self>, what: OnTime) -> Option<Remains> {
        match what {
            OnTime::Start => unreachable!("that is `start`"),
            OnTime::Expire => {
                let unrun = self.slot.expire()?;
                Some(self.lays_out(unrun, OutcomeKind::Expired))
            }
            OnTime::AttemptEnds(attempt) => {
                let token = self.slot.with_course(|course, running| {
                    let current = running && course.attempts == attempt;
                    course.late |= current;
                    course.attempt_token.clone().filter(|_| current)
                });
                if let Some(Some(token)) = token {
                    token.cancel_apart(CancelReason::Deadline);
                }
                None
            }
            OnTime::End => self.ends(),
        }
    }

    pub(crate) fn awaits(&self, what: OnTime) -> bool {
        if self.slot.is_settled() {
            return false;
        }
        let awaits = self.slot.with_course(|course, running| match what {
            OnTime::Start => matches!(course.whereabouts, Whereabouts::Timer { .. }) && !running,
            OnTime::Expire => course.attempts == 0,
            OnTime::AttemptEnds(attempt) => running && course.attempts == attempt,
            OnTime::End => true,
        });
        awaits.unwrap_or(false)
    }

    pub(crate) fn time_left(&self) -> Option<Duration> {
        let (end, home) = self.slot.with_course(|course, _| {
            let end = match (course.attempt_ends, course.ends) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
            (end, course.policy.home.clone())
        })?;
        Some(end?.saturating_duration_since(home.now()))
    }
}

/// Sees to the rest of a task that the timer has settled: whoever awaits it is woken on a thread of its own, since all
/// workers may be busy. The task's own hook on its token would want such a thread, too, for nothing.
fn wake_apart<T>(aftermath: &mut Aftermath<T>) {
    let Some(rest) = &mut aftermath.rest else {
        return;
    };
    drop(rest.hook.take());
    if let Some(waker) = rest.waker.take() {
        alarm::apart(move || panic::shield("a waker", || waker.wake()));
    }
    // What continues it needs a worker anyway; who waits for several does not.
    let all = mem::take(&mut rest.watchers).into_iter();
    let (light, others): (Vec<_>, _) = all.partition(|watcher| watcher.who.is_light());
    rest.watchers = others;
    for Watcher { who, place } in light {
        who.settled(place);
    }
}
