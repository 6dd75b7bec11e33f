//! A schedule at work: carries out what `series` decides, on a pool.
//!
//! Layer 5.
//
// The pool has the schedule, the timer has it weakly, under the number of the plan that it was filed for: who plans anew
// makes the old entry dead. An event is decided under the lock, and carried out after it: the runs are submitted, the next
// plan is filed. Two events at once may do that in either order; runs are alike, and an older plan's entry is dead.
//
// What is the user's (the body, and what the template holds) belongs to the launcher. The timer begins runs, so it has the
// launcher in its hands for a moment, and somebody else may end the schedule just then: whoever lets go of it last drops
// it, and the timer has that done by a worker. Runs hold the body themselves.

use crate::cancel::CancelGuard;
use crate::clock::Clock;
use crate::event::OutcomeKind;
use crate::panic;
use crate::pool::{Core, EndedSchedule, Entry, Site, Tick};
use crate::schedule::answer::Verdict;
use crate::schedule::series::{End, Series};
use parking_lot::Mutex;
use std::any::Any;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

/// The body of a schedule, and the template of its runs.
pub(crate) trait Launch: Send + Sync {
    /// Submits a run; says whether the pool took it. `over` is told once, when it is over for good.
    fn launch(&self, core: &Arc<Core>, site: Site, over: Over) -> bool;
    /// All of it, if this was the last hold on it.
    fn last(self: Arc<Self>) -> Option<Box<dyn Any + Send>>;
}

/// What is told of a run: what became of it, and what its body said.
pub(crate) type Over = Box<dyn FnOnce(OutcomeKind, Option<Verdict>) + Send>;

pub(crate) struct Shell {
    key: u64,
    core: Weak<Core>,
    clock: Clock,
    /// From where the series counts; `None`: from 1970, by the time of day.
    origin: Option<Instant>,
    pub(crate) name: Option<Arc<str>>,
    site: Site,
    state: Mutex<State>,
}

struct State {
    series: Series,
    /// `None` before it is there, and after the end.
    launcher: Option<Arc<dyn Launch>>,
    /// Ends the schedule with its token.
    hook: Option<CancelGuard>,
    /// The number of the present plan, and what the timer has been told.
    plan: u64,
    filed: Option<Duration>,
    last_run: Option<SystemTime>,
}

/// What an event leaves, to be dropped outside the lock.
#[derive(Default)]
#[must_use]
struct Left {
    hook: Option<CancelGuard>,
    /// After the end.
    ended: Option<Arc<dyn Launch>>,
    /// What runs were begun with.
    used: Option<Arc<dyn Launch>>,
}

/// How long a schedule that goes by the time of day sleeps at most: it may be set.
const LOOK: Duration = Duration::from_secs(60);

impl Shell {
    pub(crate) fn new(
        core: &Arc<Core>,
        name: Option<Arc<str>>,
        site: Site,
        by_wall: bool,
        series: impl FnOnce(Duration) -> Series,
    ) -> Arc<Self> {
        let clock = core.clock().clone();
        let origin = (!by_wall).then(|| clock.now());
        let series = series(reading(&clock, origin));
        Arc::new(Self {
            key: core.schedules.key(),
            core: Arc::downgrade(core),
            clock,
            origin,
            name,
            site,
            state: Mutex::new(State {
                series,
                launcher: None,
                hook: None,
                plan: 0,
                filed: None,
                last_run: None,
            }),
        })
    }

    /// Hands it to the pool; says whether that is open.
    pub(crate) fn enlist(self: &Arc<Self>, core: &Arc<Core>) -> bool {
        core.enlist(self.key, self.clone())
    }

    /// Gives it its body, and lets it go.
    pub(crate) fn begin(self: &Arc<Self>, launcher: Arc<dyn Launch>, hook: Option<CancelGuard>) {
        let mut state = self.state.lock();
        if state.series.is_ended() {
            // The pool closed meanwhile, or the token was cancelled.
            drop(state);
            let ended = Some(launcher);
            let left = Left {
                hook,
                ended,
                used: None,
            };
            return left.bury();
        }
        state.launcher = Some(launcher);
        state.hook = hook;
        drop(state);
        self.act(|_, _| 0);
    }

    /// Carries out an event.
    pub(crate) fn act(self: &Arc<Self>, change: impl FnOnce(&mut Series, Duration) -> usize) {
        if let Some(core) = self.core.upgrade() {
            core.check_thread();
        }
        self.act_as(None, change).bury();
    }

    fn act_as(
        self: &Arc<Self>,
        plan: Option<u64>,
        change: impl FnOnce(&mut Series, Duration) -> usize,
    ) -> Left {
        let Some(core) = self.core.upgrade() else {
            return Left::default();
        };
        let mut state = self.state.lock();
        if let Some(plan) = plan {
            if state.plan != plan {
                return Left::default();
            }
            // The timer has nothing of it any more.
            state.filed = None;
        }
        let runs = change(&mut state.series, reading(&self.clock, self.origin));
        if runs > 0 {
            state.last_run = Some(self.clock.wall());
        }
        let due = state.series.due();
        let is_new = state.filed != due;
        let is_stale = is_new && state.filed.is_some();
        if is_new {
            state.plan += 1;
            state.filed = due;
        }
        let plan = state.plan;
        let used = state.launcher.clone().filter(|_| runs > 0);
        let ended = state.series.is_ended();
        let left = state.leave();
        drop(state);

        if is_stale {
            core.timer.stale(1);
        }
        for _ in 0..runs {
            self.launch(&core, used.as_deref());
        }
        if let Some(at) = due.filter(|_| is_new).and_then(|due| self.instant(due)) {
            let me: Weak<Self> = Arc::downgrade(self);
            core.file(at, Entry::Tick(me, plan));
        }
        if ended {
            core.schedules.remove(self.key);
        }
        Left { used, ..left }
    }

    fn launch(self: &Arc<Self>, core: &Arc<Core>, launcher: Option<&dyn Launch>) {
        let me = self.clone();
        let over = Box::new(move |kind, said: Option<Verdict>| {
            let end = match kind {
                OutcomeKind::Completed => End::Said(said.unwrap_or(Verdict::Go)),
                OutcomeKind::Cancelled => End::Cancelled,
                OutcomeKind::Panicked => End::Panicked,
                OutcomeKind::Failed
                | OutcomeKind::Expired
                | OutcomeKind::TimedOut
                | OutcomeKind::Rejected => End::Said(Verdict::Failed),
            };
            me.act(|series, now| series.finished(now, end));
        });
        if !launcher.is_some_and(|launcher| launcher.launch(core, self.site, over)) {
            self.state.lock().series.refused();
        }
    }

    /// When a plan is due, by the monotonic clock; `None`: never.
    fn instant(&self, due: Duration) -> Option<Instant> {
        match self.origin {
            Some(origin) => origin.checked_add(due),
            None => {
                // In this order: a clock that is turned in between makes it too early, and not too late.
                let now = self.clock.now();
                let left = due.saturating_sub(reading(&self.clock, None));
                now.checked_add(left.min(LOOK))
            }
        }
    }

    /// Ends it; says whether that was not so already. Its runs go on.
    pub(crate) fn cancel(&self) -> bool {
        let mut state = self.state.lock();
        if state.series.is_ended() {
            return false;
        }
        state.series.end();
        state.plan += 1;
        let is_filed = state.filed.take().is_some();
        let left = state.leave();
        drop(state);
        if let Some(core) = self.core.upgrade() {
            core.schedules.remove(self.key);
            if is_filed {
                core.timer.stale(1);
            }
        }
        left.bury();
        true
    }

    /// Reads what there is.
    pub(crate) fn read<T>(&self, f: impl FnOnce(&Series) -> T) -> T {
        f(&self.state.lock().series)
    }

    pub(crate) fn last_run(&self) -> Option<SystemTime> {
        self.state.lock().last_run
    }

    /// When the next run is due, by the time of day.
    pub(crate) fn next_run(&self) -> Option<SystemTime> {
        let due = self.read(Series::due)?;
        if self.origin.is_none() {
            return SystemTime::UNIX_EPOCH.checked_add(due);
        }
        let now = reading(&self.clock, self.origin);
        let wall = self.clock.wall();
        match due.checked_sub(now) {
            Some(left) => wall.checked_add(left),
            None => wall.checked_sub(now - due),
        }
    }
}

impl State {
    fn leave(&mut self) -> Left {
        if !self.series.is_ended() {
            return Left::default();
        }
        Left {
            hook: self.hook.take(),
            ended: self.launcher.take(),
            used: None,
        }
    }
}

/// The time that a series goes by.
fn reading(clock: &Clock, origin: Option<Instant>) -> Duration {
    match origin {
        Some(origin) => clock.now().saturating_duration_since(origin),
        None => {
            let wall = clock.wall().duration_since(SystemTime::UNIX_EPOCH);
            wall.unwrap_or_default()
        }
    }
}

impl Left {
    /// What nobody else has any more.
    fn last(self) -> Option<Box<dyn Any + Send>> {
        let Self { hook, ended, used } = self;
        // First: a launcher has the token, so nothing of that is dropped by this.
        drop(hook);
        let launchers = ended.into_iter().chain(used);
        // They are one and the same, so one of them is the last at most.
        launchers.filter_map(Launch::last).next()
    }

    fn bury(self) {
        if let Some(last) = self.last() {
            panic::discard_flat(last);
        }
    }
}

impl Tick for Shell {
    fn tick(self: Arc<Self>, plan: u64) {
        let Some(core) = self.core.upgrade() else {
            return;
        };
        core.tick(|| {
            let last = self.act_as(Some(plan), Series::wake).last()?;
            Some(Box::new(move || panic::discard_flat(last)))
        });
    }

    fn awaits(&self, plan: u64) -> bool {
        self.state.lock().plan == plan
    }

    fn end(&self) -> Option<EndedSchedule> {
        self.cancel().then(|| EndedSchedule {
            name: self.name.clone(),
            site: self.site,
        })
    }
}
