//! What a schedule does at each event.
//!
//! Layer: schedule. Pure: the time is an argument.
//
// Each event returns how many runs start now. The caller starts them, and then asks when to wake
// the planner next.
//
// A schedule at a fixed rate plans the next time when a time is due. A schedule with a fixed delay,
// or with a body that decides when the next run is due, plans the next time when the last run has
// ended, and has no plan while there is a run.

use crate::random;
use crate::schedule::every::{Missed, OnPanic, Overlap, Rules};
use crate::schedule::outcome::Verdict;
use crate::schedule::recurrence::Recurrence;
use std::time::Duration;

pub(crate) struct Planner {
    recurrence: Recurrence,
    rules: Rules,
    /// Times count from the end of a run, and not from the time that was planned before.
    fixed_delay: bool,
    /// For the jitter.
    seed: u64,
    planned: Option<Planned>,
    /// There is no further time to plan.
    exhausted: bool,
    /// The latest time that was seen since the planner last followed a clock that was set back.
    latest: Duration,
    /// A run waits for the end of another run.
    queued: bool,
    /// How many missed runs are still to start.
    backlog: usize,
    /// How many runs may still start. `None`: any number.
    runs_left: Option<u64>,
    paused: bool,
    ended: Option<ScheduleEnd>,
    counts: ScheduleCounts,
}

#[derive(Clone, Copy)]
struct Planned {
    /// A time of the recurrence, or the end of a delay.
    at: Duration,
    /// `at`, put off by the jitter.
    due: Duration,
    /// `at` is the end of a delay that the body has set.
    is_delay: bool,
}

/// Counts the runs of a schedule, and those that were left out; from
/// [`Schedule::counts`](crate::schedule::Schedule::counts).
///
/// ```
/// use millhand::{Every, ThreadPool};
/// use std::time::Duration;
///
/// let pool = ThreadPool::new(1)?;
/// let schedule = pool.task().every(Every::new(Duration::from_secs(3600))).run(|| ())?;
/// schedule.trigger_now();
/// pool.wait_idle()?;
/// let counts = schedule.counts();
/// assert_eq!((counts.runs, counts.running, counts.failures), (1, 0, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Guide: [time](crate::guide::time).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ScheduleCounts {
    /// How many runs have started, that is, were submitted to the pool. Those that have not ended
    /// are among them.
    pub runs: u64,
    /// How many of them have not ended: they are queued, run, or wait for a retry.
    pub running: usize,
    /// How many were left out because another run had not ended.
    pub skips: u64,
    /// How many were left out because their time had passed unnoticed.
    pub misses: u64,
    /// How many failed: the last attempt returned an `Err`, or the run panicked, expired or timed
    /// out.
    pub failures: u64,
}

/// Says why a schedule has ended; from
/// [`Schedule::end_reason`](crate::schedule::Schedule::end_reason).
///
/// ```
/// use millhand::schedule::ScheduleEnd;
/// use millhand::{Every, ThreadPool};
/// use std::time::Duration;
///
/// let pool = ThreadPool::new(1)?;
/// let hourly = pool.task().every(Every::new(Duration::from_secs(3600))).run(|| ())?;
/// assert_eq!(hourly.end_reason(), None);
/// hourly.cancel();
/// assert_eq!(hourly.end_reason(), Some(ScheduleEnd::Cancelled));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Guide: [time](crate::guide::time).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ScheduleEnd {
    /// By its own rules: its body ended it, its number of [`times`](crate::Every::times) is
    /// reached, or its expression has no further time.
    Completed,
    /// By [`cancel`](crate::schedule::Schedule::cancel), by its token, or with its pool.
    Cancelled,
    /// By a panic of its body, as [`OnPanic::Stop`](crate::schedule::OnPanic::Stop) asks for. The
    /// log has an error.
    Panicked,
    /// By a panic of the library while it looked for the next time: a fault of the library or of
    /// the time zones. The log has an error.
    Failed,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunEnd {
    Returned(Verdict),
    Failed,
    Panicked,
    Cancelled,
}

impl Planner {
    pub(crate) fn new(
        recurrence: Recurrence,
        rules: Rules,
        fixed_delay: bool,
        start_in: Option<Duration>,
        now: Duration,
        seed: u64,
    ) -> Self {
        let runs_left = rules.times;
        let mut planner = Self {
            recurrence,
            rules,
            fixed_delay,
            seed,
            planned: None,
            exhausted: false,
            latest: now,
            queued: false,
            backlog: 0,
            runs_left,
            paused: false,
            ended: None,
            counts: ScheduleCounts::default(),
        };
        planner.plan(match start_in {
            Some(delay) => Some(now.saturating_add(delay)),
            None => planner.recurrence.next_after(now),
        });
        planner.end_if_exhausted();
        planner
    }

    /// When to wake the planner next.
    pub(crate) fn due(&self) -> Option<Duration> {
        let planned = self.planned.filter(|_| !self.paused)?;
        Some(planned.due)
    }

    pub(crate) fn counts(&self) -> ScheduleCounts {
        self.counts
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused
    }

    pub(crate) fn end_reason(&self) -> Option<ScheduleEnd> {
        self.ended
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// The timer wakes the planner, perhaps too early, perhaps late.
    pub(crate) fn wake(&mut self, now: Duration) -> usize {
        self.observe(now);
        let Some(planned) = self.planned.filter(|_| !self.paused) else {
            return 0;
        };
        if planned.due > now {
            return 0;
        }
        if !self.fixed_delay {
            self.advance(planned.at, now);
        }
        let started = if self.has_room() {
            self.start_run()
        } else {
            self.queue_or_skip();
            0
        };
        let started = started + self.start_waiting();
        self.end_if_exhausted();
        started
    }

    /// The time planned at `at` is due: plans the next time, and counts the times that were missed.
    fn advance(&mut self, at: Duration, now: Duration) {
        let (last, mut missed) = self.recurrence.last_before(at, now);
        if missed > 0 && last.saturating_add(self.jitter_of(last)) > now {
            // The jitter puts the last time off until later than now. It cannot put an earlier time
            // off that far, since no jitter reaches beyond the next time.
            missed -= 1;
            self.plan(Some(last));
        } else {
            self.plan(self.recurrence.next_after(last));
        }
        if let Missed::CatchUp(most) = self.rules.missed {
            let missed_here = usize::try_from(missed).unwrap_or(usize::MAX);
            let added = missed_here.min(most - self.backlog);
            self.backlog += added;
            missed -= added as u64;
        }
        self.counts.misses += missed;
    }

    /// A run has ended, with its last attempt.
    pub(crate) fn finished(&mut self, now: Duration, end: RunEnd) -> usize {
        self.observe(now);
        self.counts.running -= 1;
        let mut delay_set = None;
        match end {
            RunEnd::Returned(Verdict::Continue) | RunEnd::Cancelled => {}
            RunEnd::Returned(Verdict::After(delay)) => delay_set = Some(delay),
            RunEnd::Returned(Verdict::End) => self.end(ScheduleEnd::Completed),
            RunEnd::Failed => self.counts.failures += 1,
            RunEnd::Panicked => {
                self.counts.failures += 1;
                if self.rules.on_panic == OnPanic::Stop {
                    self.end(ScheduleEnd::Panicked);
                }
            }
        }
        if self.is_ended() {
            return 0;
        }
        let started = self.start_waiting();
        if self.fixed_delay && self.counts.running == 0 && !self.is_ended() {
            match delay_set {
                Some(delay) => self.plan_delay(now.saturating_add(delay)),
                None => self.plan(self.recurrence.next_after(self.latest)),
            }
        }
        self.end_if_exhausted();
        started
    }

    /// The pool, which closes, has refused a run.
    pub(crate) fn refused(&mut self) {
        self.counts.running -= 1;
        self.counts.runs -= 1;
    }

    /// The handle asks for one more run, now. Returns whether there will be one, and how many runs
    /// start.
    pub(crate) fn trigger(&mut self) -> (bool, usize) {
        if self.is_ended() {
            return (false, 0);
        }
        if self.has_room() {
            return (true, self.start_run());
        }
        (self.queue_or_skip(), 0)
    }

    /// Pauses, or else resumes. Returns how many runs start.
    pub(crate) fn set_paused(&mut self, is_paused: bool, now: Duration) -> usize {
        if !is_paused {
            return self.resume(now);
        }
        self.pause();
        0
    }

    pub(crate) fn pause(&mut self) {
        self.paused = true;
    }

    /// Times that passed in the pause are neither run nor counted. A fixed delay that has passed in
    /// the pause has ended, and its run is due now.
    pub(crate) fn resume(&mut self, now: Duration) -> usize {
        if !std::mem::take(&mut self.paused) || self.is_ended() {
            return 0;
        }
        self.observe(now);
        let passed = self.planned.filter(|planned| planned.due <= now);
        if let Some(planned) = passed.filter(|_| !self.fixed_delay) {
            let (last, _) = self.recurrence.last_before(planned.at, now);
            self.plan(self.recurrence.next_after(last));
        }
        let started = self.start_waiting();
        self.end_if_exhausted();
        started
    }

    /// Ends the schedule. It stays ended for the first of the reasons.
    pub(crate) fn end(&mut self, why: ScheduleEnd) {
        self.ended.get_or_insert(why);
        self.planned = None;
        self.queued = false;
        self.backlog = 0;
    }

    /// Notes the time. If the clock was set back by more than the rule ignores, follows it.
    fn observe(&mut self, now: Duration) {
        let back = self.latest.saturating_sub(now);
        if back <= self.recurrence.ignored_step() {
            self.latest = self.latest.max(now);
            return;
        }
        self.latest = now;
        match self.planned {
            // As long as it was.
            Some(delay) if delay.is_delay => self.plan_delay(delay.at.saturating_sub(back)),
            Some(_) => self.plan(self.recurrence.next_after(now)),
            None => {}
        }
    }

    fn plan(&mut self, at: Option<Duration>) {
        self.exhausted = at.is_none();
        self.planned = at.map(|at| Planned {
            at,
            due: at.saturating_add(self.jitter_of(at)),
            is_delay: false,
        });
    }

    fn plan_delay(&mut self, at: Duration) {
        self.plan(Some(at));
        self.planned
            .iter_mut()
            .for_each(|planned| planned.is_delay = true);
    }

    /// The same jitter for the same time, never beyond the next time.
    fn jitter_of(&self, at: Duration) -> Duration {
        if self.rules.jitter.is_zero() {
            return Duration::ZERO;
        }
        let next = self.recurrence.next_after(at).unwrap_or(Duration::MAX);
        let most = self.rules.jitter.min(next - at).as_nanos();
        // 584 years at most.
        let most = most.min(u128::from(u64::MAX));
        Duration::from_nanos(random::up_to(most, self.seed, at.as_nanos() as u64) as u64)
    }

    /// Whether the rule about overlap permits another run now.
    fn has_room(&self) -> bool {
        self.counts.running < self.rules.width()
    }

    /// A run is due, and no further run may start now. Returns whether the run waits.
    fn queue_or_skip(&mut self) -> bool {
        let waits = self.rules.overlap == Overlap::Queue && !self.queued;
        if waits {
            self.queued = true;
        } else {
            self.counts.skips += 1;
        }
        waits
    }

    fn start_run(&mut self) -> usize {
        self.counts.running += 1;
        self.counts.runs += 1;
        if self.fixed_delay {
            self.planned = None;
        }
        if let Some(runs_left) = &mut self.runs_left {
            *runs_left -= 1;
            if *runs_left == 0 {
                self.end(ScheduleEnd::Completed);
            }
        }
        1
    }

    /// Starts runs that wait, as far as the rules permit.
    fn start_waiting(&mut self) -> usize {
        let mut started = 0;
        while (self.queued || self.backlog > 0) && !self.paused && self.has_room() {
            if !std::mem::take(&mut self.queued) {
                self.backlog -= 1;
            }
            started += self.start_run();
        }
        started
    }

    fn end_if_exhausted(&mut self) {
        if self.exhausted && !self.queued && self.backlog == 0 {
            self.end(ScheduleEnd::Completed);
        }
    }
}

#[cfg(all(test, not(loom)))]
#[path = "../../tests/props/planner.rs"]
mod properties;
