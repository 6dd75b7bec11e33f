//! The rules of a schedule, as plain data.
//!
//! Layer: schedule.

use crate::error::Mistake;
use std::time::Duration;

/// Sets what happens if a run is due before another run has ended: a rule for [`Every::overlap`].
///
/// A run ends with its last attempt. Until then it may run, be queued, or wait for a retry.
///
/// ```
/// use millhand::schedule::Overlap;
/// use millhand::{Every, ThreadPool};
/// use std::time::Duration;
///
/// let pool = ThreadPool::new(2)?;
/// let (_promise, promised) = millhand::promise::<()>();
/// let promised = promised.share();
/// let rule = Every::new(Duration::from_secs(3600)).overlap(Overlap::Queue);
/// let slow = pool.task().every(rule).run(move || { let _ = promised.wait(); })?;
/// assert!(slow.trigger_now()); // runs
/// assert!(slow.trigger_now()); // waits for it
/// assert!(!slow.trigger_now()); // left out
/// assert_eq!((slow.counts().runs, slow.counts().skips), (1, 1));
/// # slow.cancel();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Guide: [time](crate::guide::time).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Overlap {
    /// The run is left out, and counted as one of the
    /// [`skips`](crate::schedule::ScheduleCounts::skips).
    #[default]
    Skip,
    /// The run waits, and starts as soon as the other has ended. One run at most waits. Further
    /// runs are left out, and counted.
    Queue,
    /// At most this many runs at once, 1 or more. Further runs are left out, and counted.
    Parallel(usize),
}

/// Sets what happens to runs whose times have passed unnoticed: a rule for [`Every::missed`]. The
/// process was stopped, for example, or the machine was too busy.
///
/// A cron schedule follows the time of day, so it also misses times while the machine sleeps (is
/// suspended) and when its clock is set forward. It notices within a minute after the machine has
/// woken. An [`Every`] uses a monotonic clock. While the machine sleeps, that clock stands still
/// on most systems (on Linux and macOS, for example). Then nothing is missed: the schedule goes on
/// where it was.
///
/// In any case one run starts at once and stands for all of them. This rule is about the others.
///
/// ```
/// use millhand::schedule::Missed;
/// use millhand::testing::ManualClock;
/// use millhand::{Every, ThreadPool};
/// use std::time::Duration;
///
/// let clock = ManualClock::new();
/// let pool = ThreadPool::builder().workers(1).clock(&clock).build()?;
/// let hour = Duration::from_secs(3600);
/// let rule = Every::new(hour).missed(Missed::CatchUp(24));
/// let ledger = pool.task().every(rule).run(|| println!("one line per hour"))?;
/// clock.advance(3 * hour); // in one step
/// clock.wait_idle();
/// let counts = ledger.counts();
/// assert_eq!((counts.runs, counts.misses), (3, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Guide: [time](crate::guide::time).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Missed {
    /// They are left out, and counted as [`misses`](crate::schedule::ScheduleCounts::misses).
    #[default]
    Skip,
    /// At most this many of them, 1 or more, run late, as soon as the rule about overlap permits.
    /// The others are left out, and counted.
    CatchUp(usize),
}

/// Sets whether a schedule continues after a run that panicked: a rule for [`Every::on_panic`].
///
/// ```
/// use millhand::schedule::OnPanic;
/// use millhand::{Every, ThreadPool};
/// use std::time::Duration;
///
/// let pool = ThreadPool::new(1)?;
/// let rule = Every::new(Duration::from_secs(3600)).on_panic(OnPanic::Stop);
/// let careful = pool.task().every(rule).run(|| -> () { panic!("no") })?;
/// careful.trigger_now();
/// pool.wait_idle()?;
/// assert!(careful.is_ended());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Guide: [time](crate::guide::time).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnPanic {
    /// The schedule continues. The panic is logged, counted and reported like that of any task
    /// without a handle.
    #[default]
    Continue,
    /// The schedule ends.
    Stop,
}

/// The rules that every kind of schedule has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) jitter: Duration,
    pub(crate) times: Option<u64>,
    pub(crate) overlap: Overlap,
    pub(crate) missed: Missed,
    pub(crate) on_panic: OnPanic,
}

impl Rules {
    pub(crate) fn check(&self) -> Result<(), Mistake> {
        match self {
            Self { times: Some(0), .. } => Err(Mistake::ZeroTimes),
            Self {
                overlap: Overlap::Parallel(0),
                ..
            } => Err(Mistake::ZeroParallel),
            Self {
                missed: Missed::CatchUp(0),
                ..
            } => Err(Mistake::ZeroCatchUp),
            _ => Ok(()),
        }
    }

    /// How many runs may exist at once.
    pub(crate) fn width(&self) -> usize {
        match self.overlap {
            Overlap::Skip | Overlap::Queue => 1,
            Overlap::Parallel(n) => n,
        }
    }
}

/// The options that `Every` and `Cron` share, as methods of a type with a field `rules`.
macro_rules! options {
    () => {
        /// Puts each run off by a random time up to `jitter`, so that schedules with the same rule
        /// do not all run at once.
        ///
        /// Jitter does not add up: the next run is planned from the time that was planned before. A
        /// run is never put off beyond the time of the next run. Default: zero.
        ///
        /// ```
        /// # use millhand::Every;
        /// # use std::time::Duration;
        /// let within_a_minute = Every::new(Duration::from_secs(3600)).jitter(Duration::from_secs(60));
        /// # let _ = within_a_minute;
        /// ```
        pub fn jitter(mut self, jitter: std::time::Duration) -> Self {
            self.rules.jitter = jitter;
            self
        }

        /// Ends the schedule after this many runs, 1 or more. Runs that were left out do not count.
        /// Default: no end.
        ///
        /// ```
        /// # use millhand::Every;
        /// # use std::time::Duration;
        /// let ten_times = Every::new(Duration::from_secs(1)).times(10);
        /// # let _ = ten_times;
        /// ```
        pub fn times(mut self, times: u64) -> Self {
            self.rules.times = Some(times);
            self
        }

        /// Sets what happens if a run is due before another run has ended. Default:
        /// [`Overlap::Skip`](crate::schedule::Overlap::Skip).
        ///
        /// ```
        /// # use millhand::schedule::Overlap;
        /// # use millhand::Every;
        /// # use std::time::Duration;
        /// let poll = Every::new(Duration::from_secs(1)).overlap(Overlap::Parallel(4));
        /// # let _ = poll;
        /// ```
        pub fn overlap(mut self, overlap: crate::schedule::every::Overlap) -> Self {
            self.rules.overlap = overlap;
            self
        }

        /// Sets what happens to runs whose times have passed unnoticed. Default:
        /// [`Missed::Skip`](crate::schedule::Missed::Skip).
        ///
        /// ```
        /// # use millhand::schedule::Missed;
        /// # use millhand::Every;
        /// # use std::time::Duration;
        /// let ledger = Every::new(Duration::from_secs(3600)).missed(Missed::CatchUp(24));
        /// # let _ = ledger;
        /// ```
        pub fn missed(mut self, missed: crate::schedule::every::Missed) -> Self {
            self.rules.missed = missed;
            self
        }

        /// Sets whether the schedule continues after a run that panicked. Default:
        /// [`OnPanic::Continue`](crate::schedule::OnPanic::Continue).
        ///
        /// ```
        /// # use millhand::schedule::OnPanic;
        /// # use millhand::Every;
        /// # use std::time::Duration;
        /// let careful = Every::new(Duration::from_secs(1)).on_panic(OnPanic::Stop);
        /// # let _ = careful;
        /// ```
        pub fn on_panic(mut self, on_panic: crate::schedule::every::OnPanic) -> Self {
            self.rules.on_panic = on_panic;
            self
        }
    };
}
#[cfg(feature = "cron")]
pub(crate) use options;

/// Describes a schedule that runs at fixed intervals, for
/// [`TaskBuilder::every`](crate::TaskBuilder::every): the period and the rules, as plain data.
///
/// The first run is due one period from now; [`start_in`](Self::start_in) changes that. Each
/// further run is due one period after the time for which the run before it was *planned*, so late
/// starts do not add up. Time is that of the pool's [clock](crate::testing::Clock::now), which is
/// monotonic: setting the time of day changes nothing, and on most systems the time in which the
/// machine sleeps does not count. Invalid values are refused when the schedule is made, as
/// [`Rejection::Invalid`](crate::error::Rejection::Invalid).
///
/// ```
/// use millhand::{Every, ThreadPool};
/// use std::time::Duration;
///
/// let pool = ThreadPool::new(1)?;
/// let (sender, receiver) = std::sync::mpsc::channel();
/// let rule = Every::new(Duration::from_millis(10)).start_in(Duration::ZERO).times(3);
/// pool.task().name("tick").every(rule).run(move || { let _ = sender.send("tick"); })?;
/// assert_eq!(receiver.iter().collect::<Vec<_>>(), ["tick"; 3]); // then the body is dropped
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Guide: [time](crate::guide::time).
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Every {
    pub(crate) period: Duration,
    pub(crate) fixed_delay: bool,
    pub(crate) start_in: Option<Duration>,
    pub(crate) rules: Rules,
}

/// Once per period.
impl From<Duration> for Every {
    fn from(period: Duration) -> Self {
        Self::new(period)
    }
}

impl Every {
    /// Runs at a fixed rate, once per period. The period must be longer than zero.
    ///
    /// ```
    /// use millhand::error::Rejection;
    /// use millhand::{Every, ThreadPool};
    /// use std::time::Duration;
    ///
    /// let pool = ThreadPool::new(1)?;
    /// let refused = pool.task().every(Every::new(Duration::ZERO)).run(|| ()).unwrap_err();
    /// assert!(matches!(refused.reason(), Rejection::Invalid(mistake) if mistake.option() == "every"));
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn new(period: Duration) -> Self {
        Self {
            period,
            fixed_delay: false,
            start_in: None,
            rules: Rules::default(),
        }
    }

    /// Counts the period from the end of a run (of its last attempt) to the start of the next run.
    ///
    /// ```
    /// # use millhand::Every;
    /// # use std::time::Duration;
    /// let pause = Every::new(Duration::from_secs(5)).fixed_delay();
    /// # let _ = pause;
    /// ```
    pub fn fixed_delay(mut self) -> Self {
        self.fixed_delay = true;
        self
    }

    /// Sets when the first run is due, counted from now. Zero: at once. Default: the period.
    ///
    /// ```
    /// # use millhand::Every;
    /// # use std::time::Duration;
    /// let at_once_and_then_hourly = Every::new(Duration::from_secs(3600)).start_in(Duration::ZERO);
    /// # let _ = at_once_and_then_hourly;
    /// ```
    pub fn start_in(mut self, delay: Duration) -> Self {
        self.start_in = Some(delay);
        self
    }

    options!();

    pub(crate) fn check(&self) -> Result<(), Mistake> {
        self.rules.check()?;
        match () {
            () if self.period.is_zero() => Err(Mistake::ZeroPeriod),
            () if self.fixed_delay && self.rules.missed != Missed::Skip => {
                Err(Mistake::CatchUpAfterDelay)
            }
            () => Ok(()),
        }
    }
}
