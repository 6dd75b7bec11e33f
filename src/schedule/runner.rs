//! A schedule at work on its pool: carries out what the planner decides.
//!
//! Layer: schedule. All that a schedule asks of its pool is in this file.
//
// Each event (the timer fires, a run ends, the handle is used) changes the planner under the lock
// of the runner. What follows is done after the lock is released: runs are submitted, and the next
// time is filed with the timer. Two events at once may do that in either order. That is harmless:
// all runs are alike, and the entry of a replaced alarm is dead.
//
// The pool owns the runner. The timer has only a weak reference to its current alarm.
//
// The launcher holds what belongs to the user: the body, and what the template holds. The timer
// thread holds it for a moment while it starts runs, and another thread may end the schedule just
// then. The thread that holds it last drops it; the timer thread has a worker drop it. Runs hold
// the body themselves.

use crate::cancel::CancelGuard;
use crate::context_var::Context;
use crate::panic;
use crate::pool::{Core, EndedSchedule, ListedSchedule, Spec, TimerEntry};
use crate::schedule::outcome::Verdict;
use crate::schedule::planner::{Planner, RunEnd, ScheduleEnd};
use crate::schedule::timeline::Timeline;
use crate::sync::waiter::ClockWaiter;
use crate::task::{Head, OutcomeKind, Site, Summary, TaskRef};
use parking_lot::Mutex;
use std::mem;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

/// Puts the body of the schedule behind the head of a task, for one run.
pub(crate) type NewTask = Box<dyn Fn(Head, Arc<Run>) -> TaskRef + Send + Sync>;

pub(crate) struct Runner {
    /// The key of this schedule in its pool.
    pub(super) key: u64,
    core: Weak<Core>,
    pub(super) timeline: Timeline,
    pub(crate) name: Option<Arc<str>>,
    pub(super) site: Site,
    pub(super) state: Mutex<State>,
}

pub(super) struct State {
    pub(super) planner: Planner,
    /// `None` until the schedule has its body, and after its end.
    launcher: Option<Arc<Launcher>>,
    alarm: Option<Arc<Alarm>>,
    pub(super) last_run: Option<SystemTime>,
}

/// A time that is filed with the timer. Dropping it makes the timer's entry dead.
struct Alarm {
    due: Duration,
    runner: Weak<Runner>,
}

impl ClockWaiter for Alarm {
    fn wake(self: Arc<Self>) {
        if let Some(runner) = self.runner.upgrade() {
            runner.alarm_fired(self.due);
        }
    }
}

/// What every run is made of.
pub(crate) struct Launcher {
    /// Ends the schedule when the token of the template is cancelled. The first field, since it is
    /// to be dropped before the token.
    pub(crate) _hook: Option<CancelGuard>,
    pub(crate) new_task: NewTask,
    pub(crate) spec: Spec,
    /// The context variables of the place where the schedule was made. All runs inherit them.
    pub(crate) context: Context,
}

/// One run.
pub(crate) struct Run {
    runner: Arc<Runner>,
    /// What the body returned in the last attempt that returned.
    verdict: Mutex<Option<Verdict>>,
}

impl Runner {
    pub(crate) fn new(
        core: &Arc<Core>,
        name: Option<Arc<str>>,
        site: Site,
        timeline: Timeline,
        planner: Planner,
    ) -> Arc<Self> {
        Arc::new(Self {
            key: core.lifecycle.new_schedule(),
            core: Arc::downgrade(core),
            timeline,
            name,
            site,
            state: Mutex::new(State {
                planner,
                launcher: None,
                alarm: None,
                last_run: None,
            }),
        })
    }

    /// Makes the pool the owner. Returns whether the pool is open.
    pub(crate) fn enlist(self: &Arc<Self>, core: &Core) -> bool {
        let runner = self.clone();
        let end = move || {
            runner.cancel().then(|| EndedSchedule {
                name: runner.name.clone(),
                site: runner.site,
            })
        };
        let runner = self.clone();
        let info = move || runner.info();
        let runner = self.clone();
        let set_paused = move |is_paused| runner.set_paused(is_paused);
        let listed = ListedSchedule {
            end: Box::new(end),
            info: Arc::new(info),
            set_paused: Arc::new(set_paused),
        };
        core.lifecycle.add_schedule(self.key, listed)
    }

    /// Gives the schedule its body, and starts it.
    pub(crate) fn start(self: &Arc<Self>, launcher: Launcher) {
        let mut state = self.state.lock();
        if state.planner.is_ended() {
            // The pool was closed meanwhile, or the token was cancelled.
            drop(state);
            return panic::discard_deferred(launcher);
        }
        state.launcher = Some(Arc::new(launcher));
        drop(state);
        self.apply(|_, _| 0);
    }

    /// Carries out an event. `change` returns how many runs start.
    pub(crate) fn apply(self: &Arc<Self>, change: impl FnOnce(&mut Planner, Duration) -> usize) {
        let Some(core) = self.core.upgrade() else {
            return;
        };
        core.check_thread();
        let last = self.apply_in(&core, None, change);
        last.into_iter().for_each(panic::discard_deferred);
    }

    /// The timer thread calls this at the time of an alarm.
    fn alarm_fired(self: &Arc<Self>, due: Duration) {
        let Some(core) = self.core.upgrade() else {
            return;
        };
        core.tick(|| {
            let last = self.apply_in(&core, Some(due), Planner::wake)?;
            Some(Box::new(move || panic::discard_deferred(last)))
        });
    }

    /// Carries out an event; `fired` is the time of the alarm if the timer caused it. Returns the
    /// launcher if the schedule has ended and no other thread holds the launcher.
    fn apply_in(
        self: &Arc<Self>,
        core: &Arc<Core>,
        fired: Option<Duration>,
        change: impl FnOnce(&mut Planner, Duration) -> usize,
    ) -> Option<Launcher> {
        let mut state = self.state.lock();
        if let Some(due) = fired {
            // Another event may have replaced the alarm just now.
            state.alarm.take_if(|alarm| alarm.due == due)?;
        }
        let now = self.timeline.now();
        let before = state.planner.counts();
        // The timer thread calls this, and a pool has only one: a panic in the calendar must not
        // end it.
        let runs = panic::catch(|| change(&mut state.planner, now)).unwrap_or_else(|_| {
            state.planner.end(ScheduleEnd::Failed);
            0
        });
        if runs > 0 {
            state.last_run = Some(self.timeline.wall());
        }
        let used = state.launcher.clone().filter(|_| runs > 0);
        let end_reason = state.planner.end_reason();
        let has_ended = end_reason.is_some();
        let ended = state.launcher.take_if(|_| has_ended);
        let due = state.planner.due();
        let is_new = due != state.alarm.as_ref().map(|alarm| alarm.due);
        let (mut stale, mut filed) = (None, None);
        if is_new {
            let alarm = due.map(|due| {
                let runner = Arc::downgrade(self);
                Arc::new(Alarm { due, runner })
            });
            filed = alarm.as_ref().map(Arc::downgrade);
            stale = mem::replace(&mut state.alarm, alarm);
        }
        let after = state.planner.counts();
        drop(state);

        self.report_left_out(core, before, after, fired.is_some());
        if stale.take().is_some() {
            core.timer.count_dead(1);
        }
        for _ in 0..runs {
            self.submit_run(core, used.clone(), fired.is_some());
        }
        let at = due.and_then(|due| self.timeline.wake_at(due));
        if let (Some(at), Some(alarm)) = (at, filed) {
            core.timer.add(at, TimerEntry::Waiter(alarm), core);
        }
        if has_ended {
            core.lifecycle.remove_schedule(self.key);
        }
        if ended.is_some() {
            self.log_end(end_reason);
        }
        // They are the same launcher, so at most one of them is the last.
        [ended, used]
            .into_iter()
            .flatten()
            .find_map(Arc::into_inner)
    }

    /// Submits one run. Observers and hooks are code of the user, so the timer leaves it to a
    /// worker then: the run needs one anyway.
    fn submit_run(
        self: &Arc<Self>,
        core: &Arc<Core>,
        launcher: Option<Arc<Launcher>>,
        on_timer: bool,
    ) {
        let has_hook = launcher
            .as_ref()
            .is_some_and(|one| one.spec.on_finish.is_some());
        if on_timer && (core.is_observed() || has_hook) {
            let (runner, pool) = (self.clone(), core.clone());
            return core.serve_later(Box::new(move || {
                runner.submit_now(&pool, launcher.as_deref());
                panic::discard_deferred(launcher.and_then(Arc::into_inner));
            }));
        }
        self.submit_now(core, launcher.as_deref());
    }

    /// The pool does not take the run if it is closed.
    fn submit_now(self: &Arc<Self>, core: &Arc<Core>, launcher: Option<&Launcher>) {
        let run = Arc::new(Run {
            runner: self.clone(),
            verdict: Mutex::new(None),
        });
        let submit = |launcher: &Launcher| {
            let make = |head| (launcher.new_task)(head, run.clone());
            let run = run.clone();
            let ended = Box::new(move |summary: &Summary| run.has_ended(summary.outcome));
            let submit = || core.submit_run(self.site, &launcher.spec, &make, ended);
            launcher.context.run(submit)
        };
        if !launcher.is_some_and(submit) {
            self.state.lock().planner.refused();
        }
    }

    /// Ends the schedule. Its runs go on. Returns whether the schedule had not ended before.
    pub(crate) fn cancel(&self) -> bool {
        let mut state = self.state.lock();
        if state.planner.is_ended() {
            return false;
        }
        state.planner.end(ScheduleEnd::Cancelled);
        let mut alarm = state.alarm.take();
        let launcher = state.launcher.take();
        drop(state);
        if let Some(core) = self.core.upgrade() {
            core.lifecycle.remove_schedule(self.key);
            if alarm.take().is_some() {
                core.timer.count_dead(1);
            }
        }
        let last = launcher.and_then(Arc::into_inner);
        last.into_iter().for_each(panic::discard_deferred);
        true
    }

    pub(crate) fn read<T>(&self, f: impl FnOnce(&Planner) -> T) -> T {
        f(&self.state.lock().planner)
    }

    pub(crate) fn last_run(&self) -> Option<SystemTime> {
        self.state.lock().last_run
    }

    /// When the next run is due, by the time of day.
    pub(crate) fn next_run(&self) -> Option<SystemTime> {
        self.timeline.time_of_day(self.read(Planner::due)?)
    }
}

impl Run {
    /// Notes what the body has returned.
    pub(crate) fn returned(&self, verdict: Verdict) {
        *self.verdict.lock() = Some(verdict);
    }

    /// No further attempt follows.
    fn has_ended(&self, kind: OutcomeKind) {
        let end = match kind {
            OutcomeKind::Succeeded => {
                let verdict = *self.verdict.lock();
                RunEnd::Returned(verdict.unwrap_or(Verdict::Continue))
            }
            OutcomeKind::Cancelled => RunEnd::Cancelled,
            OutcomeKind::Panicked => RunEnd::Panicked,
            OutcomeKind::Failed
            | OutcomeKind::Expired
            | OutcomeKind::TimedOut
            | OutcomeKind::Rejected => RunEnd::Failed,
        };
        let event = |planner: &mut Planner, now| planner.finished(now, end);
        self.runner.apply(event);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::pool::ThreadPool;
    use crate::schedule::every::Rules;
    use crate::schedule::recurrence::Recurrence;
    use crate::task::Task;
    use crate::task::body::PlainBody;

    #[test]
    fn a_calendar_that_panics_ends_its_schedule_with_a_reason_and_no_timer() {
        let clock = ManualClock::new();
        let pool = ThreadPool::builder().workers(1).clock(&clock);
        let pool = pool.build().unwrap();
        let core = pool.core();
        let second = Duration::from_secs(1);
        let planner = Planner::new(
            Recurrence::Broken,
            Rules::default(),
            false,
            Some(second),
            Duration::ZERO,
            7,
        );
        let timeline = Timeline::from_now(clock.clock());
        let runner = Runner::new(
            core,
            None,
            std::panic::Location::caller(),
            timeline,
            planner,
        );
        assert!(runner.enlist(core));
        runner.start(Launcher {
            _hook: None,
            new_task: Box::new(|head, _| Task::new(head, PlainBody::new(|| ()))),
            spec: Spec::default(),
            context: Context::capture(),
        });
        let timed = pool.task().delay(second).submit(|| ());
        clock.advance(second);
        timed.join().unwrap();
        assert_eq!(runner.read(Planner::end_reason), Some(ScheduleEnd::Failed));
        assert_eq!(runner.next_run(), None);
    }
}
