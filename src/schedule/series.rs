//! What a schedule does at each event: pure, the time is an argument.
//!
//! Layer 5.
//
// Each event says how many runs are to begin now; the caller begins them, and asks when it is to wake this next.
//
// A fixed rate plans the next time when one is due; what is `spaced` (a fixed delay, a body that says when it wants to run
// next) plans it when the last run is over, and has no plan while there is one.

use crate::random;
use crate::schedule::answer::Verdict;
use crate::schedule::beat::Beat;
use crate::schedule::every::{Missed, OnPanic, Overlap, Rules};
use std::time::Duration;

/// A time of day that goes back by no more than this brings nothing back that has been run: as Vixie's cron has it, so much
/// is daylight saving or a correction. Beyond it the clock was wrong, and the new time counts.
const SET_BACK: Duration = Duration::from_secs(3 * 3600);

pub(crate) struct Series {
    beat: Beat,
    rules: Rules,
    spaced: bool,
    seed: u64,
    planned: Option<Planned>,
    /// There is no further time to be planned.
    exhausted: bool,
    /// The last time when somebody looked.
    seen: Duration,
    /// One waits for a run to be over.
    queued: bool,
    /// So many are to be made up for.
    owed: usize,
    /// How many runs are left.
    left: Option<u64>,
    paused: bool,
    ended: bool,
    counts: ScheduleCounts,
}

#[derive(Clone, Copy)]
struct Planned {
    at: Duration,
    /// The same, and the jitter.
    due: Duration,
}

/// What a schedule has come to so far; from [`Schedule::counts`](crate::Schedule::counts).
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ScheduleCounts {
    /// How many runs have begun: were submitted to the pool. Those that are not over are among them.
    pub runs: u64,
    /// How many of them are not over: are queued, run, or wait for a retry.
    pub running: usize,
    /// How many were left out because another was not over.
    pub skips: u64,
    /// How many were left out because their time had passed unnoticed.
    pub misses: u64,
    /// How many were failures: returned an `Err` in the end, panicked, expired or timed out.
    pub failures: u64,
}

/// How a run came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Said(Verdict),
    Panicked,
    Cancelled,
}

impl Series {
    pub(crate) fn new(
        beat: Beat,
        rules: Rules,
        spaced: bool,
        first_in: Option<Duration>,
        now: Duration,
        seed: u64,
    ) -> Self {
        let left = rules.times;
        let mut series = Self {
            beat,
            rules,
            spaced,
            seed,
            planned: None,
            exhausted: false,
            seen: now,
            queued: false,
            owed: 0,
            left,
            paused: false,
            ended: false,
            counts: ScheduleCounts::default(),
        };
        series.plan(match first_in {
            Some(delay) => Some(now.saturating_add(delay)),
            None => series.beat.after(now),
        });
        series.end_if_exhausted();
        series
    }

    /// When it is to be woken next.
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

    pub(crate) fn is_ended(&self) -> bool {
        self.ended
    }

    /// It is woken, perhaps early, perhaps late.
    pub(crate) fn wake(&mut self, now: Duration) -> usize {
        self.look(now);
        let Some(planned) = self.planned.filter(|_| !self.paused) else {
            return 0;
        };
        if planned.due > now {
            return 0;
        }
        if !self.spaced {
            self.pass(planned.at, now);
        }
        let begun = if self.has_room() {
            self.begin()
        } else {
            self.put_off();
            0
        };
        let begun = begun + self.begin_waiting();
        self.end_if_exhausted();
        begun
    }

    /// What is planned at `at` is due: plans what comes, and counts what was missed.
    fn pass(&mut self, at: Duration, now: Duration) {
        let (last, mut missed) = self.beat.up_to(at, now);
        if missed > 0 && last.saturating_add(self.jitter_of(last)) > now {
            // Its jitter puts it off still. Those before it have none that reaches beyond the next time.
            missed -= 1;
            self.plan(Some(last));
        } else {
            self.plan(self.beat.after(last));
        }
        if let Missed::CatchUp(most) = self.rules.missed {
            let owed = (most - self.owed).min(usize::try_from(missed).unwrap_or(usize::MAX));
            self.owed += owed;
            missed -= owed as u64;
        }
        self.counts.misses += missed;
    }

    /// A run is over, for good.
    pub(crate) fn finished(&mut self, now: Duration, how: End) -> usize {
        self.counts.running -= 1;
        let mut wish = None;
        match how {
            End::Said(Verdict::Go) | End::Cancelled => {}
            End::Said(Verdict::After(delay)) => wish = Some(delay),
            End::Said(Verdict::End) => self.end(),
            End::Said(Verdict::Failed) => self.counts.failures += 1,
            End::Panicked => {
                self.counts.failures += 1;
                if self.rules.on_panic == OnPanic::Stop {
                    self.end();
                }
            }
        }
        if self.ended {
            return 0;
        }
        let begun = self.begin_waiting();
        if self.spaced && self.counts.running == 0 && !self.ended {
            self.plan(match wish {
                Some(delay) => Some(now.saturating_add(delay)),
                None => self.beat.after(now),
            });
        }
        self.end_if_exhausted();
        begun
    }

    /// A run that was to begin was not taken: the pool closes.
    pub(crate) fn refused(&mut self) {
        self.counts.running -= 1;
        self.counts.runs -= 1;
    }

    /// One more, now. Says whether there will be one, too.
    pub(crate) fn trigger(&mut self) -> (bool, usize) {
        if self.ended {
            return (false, 0);
        }
        if self.has_room() {
            return (true, self.begin());
        }
        (self.put_off(), 0)
    }

    pub(crate) fn pause(&mut self) {
        self.paused = true;
    }

    /// What was due in the pause is neither run nor counted; a fixed delay that has passed in it is over, though.
    pub(crate) fn resume(&mut self, now: Duration) -> usize {
        if !std::mem::take(&mut self.paused) || self.ended {
            return 0;
        }
        self.look(now);
        let passed = self.planned.filter(|planned| planned.due <= now);
        if let Some(planned) = passed.filter(|_| !self.spaced) {
            let (last, _) = self.beat.up_to(planned.at, now);
            self.plan(self.beat.after(last));
        }
        let begun = self.begin_waiting();
        self.end_if_exhausted();
        begun
    }

    pub(crate) fn end(&mut self) {
        self.ended = true;
        self.planned = None;
        self.queued = false;
        self.owed = 0;
    }

    /// Notes the time; where it was set back, plans anew.
    fn look(&mut self, now: Duration) {
        let was = std::mem::replace(&mut self.seen, now);
        if now.saturating_add(SET_BACK) < was && self.planned.is_some() {
            self.plan(self.beat.after(now));
        }
    }

    fn plan(&mut self, at: Option<Duration>) {
        self.exhausted = at.is_none();
        self.planned = at.map(|at| Planned {
            at,
            due: at.saturating_add(self.jitter_of(at)),
        });
    }

    /// The same for the same time, and never beyond the next.
    fn jitter_of(&self, at: Duration) -> Duration {
        if self.rules.jitter.is_zero() {
            return Duration::ZERO;
        }
        let next = self.beat.after(at).unwrap_or(Duration::MAX);
        let most = self.rules.jitter.min(next - at).as_nanos();
        // A jitter of more than 584 years is cut to that.
        let most = most.min(u128::from(u64::MAX));
        Duration::from_nanos(random::up_to(most, self.seed, at.as_nanos() as u64) as u64)
    }

    fn has_room(&self) -> bool {
        self.counts.running < self.rules.width()
    }

    /// There is no room for one that is due; says whether it will wait.
    fn put_off(&mut self) -> bool {
        let waits = self.rules.overlap == Overlap::Queue && !self.queued;
        if waits {
            self.queued = true;
        } else {
            self.counts.skips += 1;
        }
        waits
    }

    fn begin(&mut self) -> usize {
        self.counts.running += 1;
        self.counts.runs += 1;
        if self.spaced {
            self.planned = None;
        }
        if let Some(left) = &mut self.left {
            *left -= 1;
            if *left == 0 {
                self.end();
            }
        }
        1
    }

    fn begin_waiting(&mut self) -> usize {
        let mut begun = 0;
        while (self.queued || self.owed > 0) && !self.paused && self.has_room() {
            if !std::mem::take(&mut self.queued) {
                self.owed -= 1;
            }
            begun += self.begin();
        }
        begun
    }

    fn end_if_exhausted(&mut self) {
        if self.exhausted && !self.queued && self.owed == 0 {
            self.end();
        }
    }
}

#[cfg(all(test, not(loom)))]
#[path = "../../tests/props/series.rs"]
mod properties;
