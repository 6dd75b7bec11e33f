//! What is wrong with the options of a task: plain data.
//!
//! Ground layer.

use std::error::Error;
use std::fmt;

/// The mistake in a task's options: print it to see which option it is and what is allowed.
///
/// [`TaskBuilder::check`](crate::TaskBuilder::check) returns it when a program starts. A submission
/// with such options is refused.
///
/// ```
/// use std::time::Duration;
///
/// let pool = millhand::ThreadPool::new(1)?;
/// let mistake = pool.task().expires(Duration::ZERO).check().unwrap_err();
/// assert_eq!(mistake.option(), "expires");
/// assert_eq!(mistake.to_string(), "`expires` must be longer than zero");
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
///
/// Guide: [errors](crate::guide::errors).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InvalidTask(Mistake);

/// A byte, so that the errors that have it stay small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Mistake {
    ZeroExpires,
    ZeroAttemptTimeout,
    ZeroTotalTimeout,
    ZeroDeadline,
    TwoDelays,
    ForeignClock,
    DelayedSchedule,
    ZeroPeriod,
    ZeroTimes,
    ZeroParallel,
    ZeroCatchUp,
    CatchUpAfterDelay,
    CronIsOver,
}

impl From<Mistake> for InvalidTask {
    fn from(mistake: Mistake) -> Self {
        Self(mistake)
    }
}

impl InvalidTask {
    /// The option and the text.
    fn parts(self) -> (&'static str, &'static str) {
        match self.0 {
            Mistake::ZeroExpires => ("expires", "`expires` must be longer than zero"),
            Mistake::ZeroAttemptTimeout => (
                "attempt_timeout",
                "`attempt_timeout` must be longer than zero",
            ),
            Mistake::ZeroTotalTimeout => {
                ("total_timeout", "`total_timeout` must be longer than zero")
            }
            Mistake::ZeroDeadline => ("deadline", "`deadline` must be longer than zero"),
            Mistake::TwoDelays => (
                "delay_until",
                "`delay` and `delay_until` contradict each other: one of them is allowed",
            ),
            Mistake::ForeignClock => (
                "gate",
                "a rate limiter in `gate` must use the pool's `clock`",
            ),
            Mistake::DelayedSchedule => (
                "delay",
                "`delay` and `delay_until` are not for schedules: `start_in` sets when the first run is due",
            ),
            Mistake::ZeroPeriod => ("every", "the period of `every` must be longer than zero"),
            Mistake::ZeroTimes => (
                "times",
                "`times` must be at least 1 (leave it out for no end)",
            ),
            Mistake::ZeroParallel => ("overlap", "`Overlap::Parallel` must be at least 1"),
            Mistake::ZeroCatchUp => (
                "missed",
                "`Missed::CatchUp` must be at least 1 (`Missed::Skip` makes up for no run)",
            ),
            Mistake::CatchUpAfterDelay => (
                "missed",
                "`fixed_delay` and `Missed::CatchUp` contradict each other: a fixed delay misses no run",
            ),
            Mistake::CronIsOver => (
                "cron",
                "every time of the cron expression is in the past: one of its years must be to come",
            ),
        }
    }

    /// Returns the name of the option.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let mistake = pool.task().deadline(std::time::Duration::ZERO).check().unwrap_err();
    /// assert_eq!(mistake.option(), "deadline");
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn option(&self) -> &'static str {
        self.parts().0
    }
}

impl fmt::Display for InvalidTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.parts().1)
    }
}

impl Error for InvalidTask {}
