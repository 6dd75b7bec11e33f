//! The way of a task that has a course: through its gates, back for another attempt, and to the end of its time.
//!
//! Layer 2. What decides is elsewhere, and pure (`policy`, `gate`); here it is carried out, on the cell.
//
// Such a task is in one place at a time: it has a ticket in the run queue, an entry in the timer, a place in a gate's
// line, or is in a worker's hands. The slot says which, and a move is made there first, under its lock; so whoever
// settles the task knows whether a ticket's reader will count it or he must. It is never run on the stack of a body
// that waits for it: that would leave a ticket behind, for a task that may be queued once more.

use crate::aftermath::Claimed;
use crate::extras::{Course, Extras, Place, Whereabouts};
use crate::gate::{self, Gate, Passage, Waiter};
use crate::panic::{self, Payload};
use crate::reason::CancelReason;
use crate::task::any::{AnyTask, Home, OnTime, Plan, Policy, Rank};
use crate::task::cell::Cell;
use crate::task::work::{Facts, Failure, Work};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a worker got when it took such a task on.
pub(crate) enum Passed<W> {
    Claimed(Claimed<W>),
    /// It waits in a gate's line.
    Away,
    Gone,
}

/// How a task is to be settled that will not be tried again.
pub(crate) struct Ended<T> {
    pub(crate) result: Result<T, Payload>,
    /// Whether the timer has an entry for the end of its time, which nobody waits for any more.
    pub(crate) limited: bool,
}

/// A new task with a course: what it goes by from now on, or once the tasks that it continues have settled (`behind`).
pub(crate) fn set_out(
    plan: &Arc<Plan>,
    home: Arc<dyn Home>,
    name: Option<Arc<str>>,
    place: Option<Place>,
    behind: usize,
) -> Box<Extras<Policy>> {
    let mut extras = Extras::new(name, place, None);
    let start = match behind {
        0 => plan.start(&*home),
        _ => Start {
            whereabouts: Whereabouts::Behind,
            order: 0,
            expires: None,
            ends: None,
        },
    };
    extras.course = Some(Course {
        order: start.order,
        whereabouts: start.whereabouts,
        awaits: behind,
        policy: Policy {
            plan: plan.clone(),
            home,
        },
        attempts: 0,
        begun: None,
        attempt_ends: None,
        expires: start.expires,
        ends: start.ends,
        late: false,
        attempt_token: None,
        last_error: None,
    });
    extras
}

/// Where a task begins, and until when.
pub(crate) struct Start {
    pub(crate) whereabouts: Whereabouts,
    pub(crate) order: u64,
    pub(crate) expires: Option<Instant>,
    pub(crate) ends: Option<Instant>,
}

impl Plan {
    pub(crate) fn start(&self, home: &dyn Home) -> Start {
        let now = self.is_timed().then(|| home.now());
        let due = now.and_then(|now| self.due(now));
        let starts = due.or(now);
        let within = |limit: Option<Duration>| starts?.checked_add(limit?);
        Start {
            order: match due {
                None => gate::enter(&self.gates),
                Some(_) => 0,
            },
            whereabouts: due.map_or(Whereabouts::Queue, |due| Whereabouts::Timer { due }),
            expires: within(self.expires),
            ends: within(self.total_timeout),
        }
    }

    /// Whether a submission must look at the clock.
    fn is_timed(&self) -> bool {
        self.delay.is_some()
            || self.delay_until.is_some()
            || self.expires.is_some()
            || self.total_timeout.is_some()
    }

    /// When a task that is submitted now is due, if that is later. A delay that the clock cannot hold is for ever, or as
    /// good as that.
    fn due(&self, now: Instant) -> Option<Instant> {
        let delayed = self.delay.map(|delay| after(now, delay));
        delayed.or(self.delay_until).filter(|due| *due > now)
    }
}

/// `delay` from now; where the clock cannot hold that, as good as for ever.
fn after(now: Instant, delay: Duration) -> Instant {
    const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    now.checked_add(delay).unwrap_or(now + FOR_EVER)
}

impl<W: Work> Cell<W> {
    /// Sends a new task with a course on its way.
    pub(crate) fn send_off(self: Arc<Self>, plan: &Plan, home: &dyn Home) {
        let times = |course: &mut Course<_>, _| (course.whereabouts, course.expires, course.ends);
        let Some((whereabouts, expires, ends)) = self.slot.with_course(times) else {
            return;
        };
        let due = match whereabouts {
            Whereabouts::Timer { due } => Some(due),
            _ => None,
        };
        // First: of two that are due at once the earlier end is the one to tell.
        if let Some(expires) = expires {
            home.at(expires, self.clone(), OnTime::Expire);
        }
        if let Some(ends) = ends {
            home.at(ends, self.clone(), OnTime::End);
        }
        match due {
            Some(due) => home.at(due, self, OnTime::Start),
            None => home.ready(self, Rank::Priority(plan.priority)),
        }
    }

    /// Passes the gates and claims it, both or neither.
    pub(crate) fn pass(self: &Arc<Self>, home: &dyn Home) -> Passed<W> {
        let course = self.slot.with_course(|course, _| {
            let expires = course.expires.filter(|_| course.attempts == 0);
            let plan = course.policy.plan.clone();
            (plan, course.order, expires, course.ends)
        });
        let Some((plan, order, expires, ends)) = course else {
            return Passed::Gone;
        };
        let ends = [(expires, OnTime::Expire), (ends, OnTime::End)];
        if self.is_over(ends, home) {
            return Passed::Gone;
        }
        let mut claimed = None;
        let mut first = false;
        let mut attempt_ends = None;
        let mut claim = || {
            claimed = self.slot.claim(|course, now| {
                first = course.begun.is_none();
                course.begun.get_or_insert(now);
                course.attempt_ends = plan
                    .attempt_timeout
                    .and_then(|limit| now.checked_add(limit));
                attempt_ends = course.attempt_ends.map(|at| (at, course.attempts));
            });
            claimed.is_some()
        };
        if plan.gates.is_empty() {
            claim();
        } else {
            let mut park = || {
                // With the gate locked: whoever cancels it now has to wait before he takes it out of both.
                if !self.slot.go(Whereabouts::Line) {
                    return None;
                }
                home.parked(order, self.clone());
                Some(self.clone() as Arc<dyn Waiter>)
            };
            if gate::claim(&plan.gates, order, &mut claim, &mut park) == Passage::Waits {
                return Passed::Away;
            }
        }
        let Some(claimed) = claimed else {
            return Passed::Gone;
        };
        if first && expires.is_some() {
            home.stale(1);
        }
        if let Some((at, attempt)) = attempt_ends {
            home.at(at, self.clone(), OnTime::AttemptEnds(attempt));
        }
        Passed::Claimed(claimed)
    }

    /// Settles it if one of these times has come: the clock decides, not whether the timer was faster.
    fn is_over<const N: usize>(
        self: &Arc<Self>,
        ends: [(Option<Instant>, OnTime); N],
        home: &dyn Home,
    ) -> bool {
        for (at, what) in ends {
            if at.is_some_and(|at| at <= home.now()) {
                if let Some(remains) = self.clone().on_time(what) {
                    remains();
                }
                return true;
            }
        }
        false
    }

    /// An attempt has ended: gives its permits back, and sends the task for another one if there is to be one. Otherwise
    /// says how it is to be settled.
    pub(crate) fn ended(
        self: &Arc<Self>,
        result: Result<W::Output, Payload>,
        work: Option<W>,
        home: &dyn Home,
    ) -> Option<Ended<W::Output>> {
        let Some((plan, facts, order, late, timed, ends)) =
            self.slot.with_course(|course, running| {
                let ends = course.attempt_ends.take();
                // Most end without a look at the clock.
                let now = (ends.is_some() || work.is_some()).then(|| home.now());
                let elapsed = now.zip(course.begun);
                let elapsed = elapsed.map(|(now, begun)| now.saturating_duration_since(begun));
                let facts = Facts {
                    attempts: course.attempts,
                    elapsed: elapsed.unwrap_or_default(),
                    salt: course.order,
                };
                let timed = ends.is_some() && !course.late;
                // Here, too, the clock decides.
                let is_past = ends.is_some_and(|at| now.is_some_and(|now| at <= now));
                let late = running && (course.late || is_past);
                let plan = course.policy.plan.clone();
                (plan, facts, course.order, late, timed, course.ends)
            })
        else {
            unreachable!("asked of those with a course alone")
        };
        let limited = ends.is_some();
        if timed {
            home.stale(1);
        }
        self.is_over([(ends, OnTime::End)], home);
        let result = self.judge(result, late);
        let next = work.and_then(|work| self.next_attempt(work, &result, late, &facts, home));
        let Some((work, to)) = next else {
            gate::release(&plan.gates, order, true);
            return Some(Ended { result, limited });
        };
        gate::release(&plan.gates, order, false);
        let attempts = facts.attempts;
        if let Err(work) = self.slot.put_back(work, to) {
            // Asked to stop meanwhile: what the attempt came to stands.
            gate::forget(&plan.gates, order);
            panic::discard_flat(work);
            return Some(Ended { result, limited });
        }
        log::debug!("task {} goes for attempt {}", self.id, attempts + 1);
        match to {
            Whereabouts::Timer { due } => home.at(due, self.clone(), OnTime::Start),
            _ => home.ready(self.clone(), Rank::Priority(plan.priority)),
        }
        panic::discard(result);
        None
    }

    /// What a late attempt comes to: its success stands, its failure is that it is late.
    fn judge(&self, result: Result<W::Output, Payload>, late: bool) -> Result<W::Output, Payload> {
        let fails = match &result {
            Ok(output) => W::is_failure(output),
            Err(payload) => panic::checkpoint_of(payload) == Some(CancelReason::Deadline),
        };
        if !late || !fails {
            return result;
        }
        panic::discard(result);
        Err(panic::checkpoint(CancelReason::Deadline))
    }

    /// Where the work goes for another attempt, if there is to be one.
    fn next_attempt(
        &self,
        work: W,
        result: &Result<W::Output, Payload>,
        late: bool,
        facts: &Facts,
        home: &dyn Home,
    ) -> Option<(W, Whereabouts)> {
        let (failure, text) = match result {
            Ok(output) if W::is_failure(output) => (Failure::Failed(output), work.text(output)),
            Ok(_) => {
                panic::discard_flat(work);
                return None;
            }
            Err(payload) if panic::checkpoint_of(payload).is_none() => {
                (Failure::Panicked, Some(panic::message(&**payload).into()))
            }
            Err(_) if late => (Failure::TimedOut, Some("the attempt timed out".into())),
            Err(_) => {
                panic::discard_flat(work);
                return None;
            }
        };
        let delay = work.again(failure, facts).filter(|_| !self.is_stopped());
        let Some(delay) = delay else {
            panic::discard_flat(work);
            return None;
        };
        self.slot.with_course(|course, _| course.last_error = text);
        let to = if delay.is_zero() {
            Whereabouts::Queue
        } else {
            Whereabouts::Timer {
                due: after(home.now(), delay),
            }
        };
        Some((work, to))
    }

    /// Whether there will be no further attempt: it was asked to stop, or its token's deadline has passed.
    fn is_stopped(&self) -> bool {
        let token = self.slot.peek_extras(|extras| extras.token.clone());
        let token = token.flatten().and_then(|token| token.reason());
        self.slot.stop_reason().or(token).is_some()
    }

    /// The token of the present attempt.
    pub(crate) fn attempt_token(self: &Arc<Self>) -> crate::cancel::CancelToken {
        let whole = self.token();
        let is_limited = self
            .slot
            .with_course(|course, running| running && course.policy.plan.attempt_timeout.is_some());
        if is_limited != Some(true) {
            return whole;
        }
        let fresh = whole.child();
        let token = self.slot.with_course(|course, _| {
            let token = course.attempt_token.get_or_insert(fresh).clone();
            (token, course.late)
        });
        match token {
            Some((token, late)) => {
                if late {
                    token.cancel(CancelReason::Deadline);
                }
                token
            }
            None => whole,
        }
    }
}

impl<W: Work> Waiter for Cell<W> {
    fn called(self: Arc<Self>) {
        let course = self
            .slot
            .with_course(|course, _| (course.policy.home.clone(), course.order));
        let Some((home, order)) = course else { return };
        // Unless a shutdown has taken it, or somebody has cancelled it.
        if home.unparked(order) && self.slot.go(Whereabouts::Queue) {
            home.ready(self as Arc<dyn AnyTask>, Rank::Front(order));
        }
    }

    fn ring_at(&self, instant: Instant, gate: &Arc<Gate>) {
        let home = self
            .slot
            .with_course(|course, _| course.policy.home.clone());
        if let Some(home) = home {
            home.ring_at(instant, gate.clone());
        }
    }
}
