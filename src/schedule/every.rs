//! The rules of a schedule: plain data.
//!
//! Layer 5.

use crate::error::InvalidTask;
use std::time::Duration;

/// What becomes of a run that is due while another still runs (or is queued, or waits for a retry: until it is over for
/// good).
///
/// ```
/// use millhand::{Every, Overlap, ThreadPool};
/// use std::time::Duration;
///
/// let pool = ThreadPool::new(2)?;
/// let (_hold, held) = millhand::promise::<()>();
/// let held = held.share();
/// let rule = Every::new(Duration::from_secs(3600)).overlap(Overlap::Queue);
/// let slow = pool.task().every(rule).run(move || { let _ = held.wait(); })?;
/// assert!(slow.trigger_now()); // runs
/// assert!(slow.trigger_now()); // waits for it
/// assert!(!slow.trigger_now()); // is left out
/// assert_eq!((slow.counts().runs, slow.counts().skips), (1, 1));
/// # slow.cancel();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Overlap {
    /// It is left out, and counted ([`skips`](crate::ScheduleCounts::skips)).
    #[default]
    Skip,
    /// One waits and follows at once; what is due meanwhile is left out, and counted.
    Queue,
    /// So many may run at once, 1 or more; beyond that it is left out, and counted.
    Parallel(usize),
}

/// What becomes of runs whose times have passed unnoticed: the machine slept, its clock was set, the process was stopped.
/// One run stands for all of them and begins at once, in any case; this is about the others.
///
/// ```
/// use millhand::{Every, ManualClock, Missed, ThreadPool};
/// use std::time::Duration;
///
/// let clock = ManualClock::new();
/// let pool = ThreadPool::builder().workers(1).clock(&clock.clock()).build()?;
/// let hour = Duration::from_secs(3600);
/// let rule = Every::new(hour).missed(Missed::CatchUp(24));
/// let ledger = pool.task().every(rule).run(|| println!("one line an hour"))?;
/// clock.advance(3 * hour); // in one go
/// # let counts = loop {
/// #     let counts = ledger.counts();
/// #     if counts.runs == 3 && counts.running == 0 { break counts; }
/// #     std::thread::yield_now();
/// # };
/// // soon afterwards:
/// assert_eq!((counts.runs, counts.misses), (3, 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Missed {
    /// They are left out, and counted ([`misses`](crate::ScheduleCounts::misses)).
    #[default]
    Skip,
    /// So many of them, 1 or more, are run after all, as soon as the rule about overlap lets them; the others are left out,
    /// and counted.
    CatchUp(usize),
}

/// Whether a schedule goes on after a run that panicked.
///
/// ```
/// use millhand::{Every, OnPanic, ThreadPool};
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnPanic {
    /// It does. The panic is logged, counted and told as that of any task without a handle.
    #[default]
    Continue,
    /// It ends.
    Stop,
}

/// What every kind of schedule has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) jitter: Duration,
    pub(crate) times: Option<u64>,
    pub(crate) overlap: Overlap,
    pub(crate) missed: Missed,
    pub(crate) on_panic: OnPanic,
}

impl Rules {
    pub(crate) fn check(&self) -> Result<(), InvalidTask> {
        match self {
            Self { times: Some(0), .. } => Err(InvalidTask::ZeroTimes),
            Self {
                overlap: Overlap::Parallel(0),
                ..
            } => Err(InvalidTask::ZeroParallel),
            Self {
                missed: Missed::CatchUp(0),
                ..
            } => Err(InvalidTask::ZeroCatchUp),
            _ => Ok(()),
        }
    }

    /// How many runs there may be at once.
    pub(crate) fn width(&self) -> usize {
        match self.overlap {
            Overlap::Skip | Overlap::Queue => 1,
            Overlap::Parallel(n) => n,
        }
    }
}

/// The options that `Every` and `Cron` share, for a type with a field `rules`.
macro_rules! options {
    () => {
        /// Puts each run off by a random time from nothing to this, so that what is scheduled alike does not come alike. It does
        /// not add up: the next run is planned from the planned instant. A run is never put off beyond the time of the
        /// next. Default: none.
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

        /// Ends the schedule after so many runs, 1 or more; those that were left out do not count. Default: no end.
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

        /// What becomes of a run that is due while another still runs. Default: [`Overlap::Skip`](crate::Overlap::Skip).
        ///
        /// ```
        /// # use millhand::{Every, Overlap};
        /// # use std::time::Duration;
        /// let poll = Every::new(Duration::from_secs(1)).overlap(Overlap::Parallel(4));
        /// # let _ = poll;
        /// ```
        pub fn overlap(mut self, overlap: crate::schedule::every::Overlap) -> Self {
            self.rules.overlap = overlap;
            self
        }

        /// What becomes of runs whose times have passed unnoticed. Default: [`Missed::Skip`](crate::Missed::Skip).
        ///
        /// ```
        /// # use millhand::{Every, Missed};
        /// # use std::time::Duration;
        /// let ledger = Every::new(Duration::from_secs(3600)).missed(Missed::CatchUp(24));
        /// # let _ = ledger;
        /// ```
        pub fn missed(mut self, missed: crate::schedule::every::Missed) -> Self {
            self.rules.missed = missed;
            self
        }

        /// Whether to go on after a panic. Default: [`OnPanic::Continue`](crate::OnPanic::Continue).
        ///
        /// ```
        /// # use millhand::{Every, OnPanic};
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

/// At which intervals a schedule runs, and by which rules: plain data, for [`TaskBuilder::every`](crate::TaskBuilder::every).
///
/// The first run is due a period from now ([`start_in`](Self::start_in) says otherwise), and each other a period after the
/// time when the one before was *planned*: late starts do not add up. Nonsense is refused when the schedule is made, as
/// [`Rejection::Invalid`](crate::Rejection::Invalid).
///
/// ```
/// use millhand::{Every, ThreadPool};
/// use std::time::Duration;
///
/// let pool = ThreadPool::new(1)?;
/// let (tell, told) = std::sync::mpsc::channel();
/// let rule = Every::new(Duration::from_millis(10)).start_in(Duration::ZERO).times(3);
/// pool.task().name("tick").every(rule).run(move || { let _ = tell.send("tick"); })?;
/// assert_eq!(told.iter().collect::<Vec<_>>(), ["tick"; 3]); // then the body is dropped
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Every {
    pub(crate) period: Duration,
    pub(crate) fixed_delay: bool,
    pub(crate) start_in: Option<Duration>,
    pub(crate) rules: Rules,
}

impl Every {
    /// At a fixed rate, once a period, which must be longer than zero.
    ///
    /// ```
    /// use millhand::{Every, InvalidTask, Rejection, ThreadPool};
    /// use std::time::Duration;
    ///
    /// let pool = ThreadPool::new(1)?;
    /// let refused = pool.task().every(Every::new(Duration::ZERO)).run(|| ()).unwrap_err();
    /// assert_eq!(refused.reason(), Rejection::Invalid(InvalidTask::ZeroPeriod));
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn new(period: Duration) -> Self {
        Self {
            period,
            fixed_delay: false,
            start_in: None,
            rules: Rules::default(),
        }
    }

    /// Counts the period from the end of a run (of its last attempt) to the next one's start.
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

    /// When the first run is due, from now; zero is at once. Default: the period.
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

    pub(crate) fn check(&self) -> Result<(), InvalidTask> {
        self.rules.check()?;
        match () {
            () if self.period.is_zero() => Err(InvalidTask::ZeroPeriod),
            () if self.rules.jitter > self.period => Err(InvalidTask::JitterBeyondPeriod),
            () if self.fixed_delay && self.rules.missed != Missed::Skip => {
                Err(InvalidTask::CatchUpAfterDelay)
            }
            () => Ok(()),
        }
    }
}
