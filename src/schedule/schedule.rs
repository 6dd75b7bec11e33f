//! The handle of a schedule.
//!
//! Layer: schedule.

use crate::schedule::planner::{Planner, ScheduleCounts, ScheduleEnd};
use crate::schedule::runner::Runner;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

/// Controls a running schedule: pauses, triggers and cancels it, and counts its runs. It comes from
/// [`ScheduleBuilder::run`](crate::schedule::ScheduleBuilder::run).
///
/// Dropping the handle leaves the schedule running. A schedule ends by [`cancel`](Self::cancel), by
/// its own rules, when its body decides it, when its [token](crate::TaskBuilder::token) is
/// cancelled, or when the pool shuts down. Clones are handles of the same schedule.
///
/// Each run is a task of the pool: a drain finishes it, and
/// [`wait_idle`](crate::ThreadPool::wait_idle) waits for it. Neither waits for a schedule between
/// its runs. A schedule does not keep its pool alive.
///
/// ```
/// use millhand::{Every, ThreadPool};
/// use std::time::Duration;
///
/// let pool = ThreadPool::new(1)?;
/// let backup = pool.task().name("backup").every(Every::new(Duration::from_secs(3600))).run(|| println!("saving"))?;
/// backup.trigger_now();
/// pool.wait_idle()?;
/// assert_eq!(backup.counts().runs, 1);
/// assert!(backup.next_run() > backup.last_run());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Guide: [time](crate::guide::time).
#[derive(Clone)]
pub struct Schedule {
    runner: Arc<Runner>,
}

impl Schedule {
    pub(crate) fn new(runner: Arc<Runner>) -> Self {
        Self { runner }
    }

    /// Ends the schedule. Returns whether it had not ended before.
    ///
    /// A run that is due but has not started, or that waits for the end of another run, never
    /// starts. A run that has been submitted is a task like any other. It goes on, with its
    /// retries. To end the schedule and its runs together, give the template a
    /// [token](crate::TaskBuilder::token), and cancel that.
    ///
    /// The body is dropped here, or by the last run.
    ///
    /// ```
    /// # use millhand::{Every, ThreadPool};
    /// # use std::time::Duration;
    /// # let pool = ThreadPool::new(1)?;
    /// let schedule = pool.task().every(Every::new(Duration::from_secs(3600))).run(|| ())?;
    /// assert!(schedule.cancel());
    /// assert!(!schedule.cancel());
    /// assert_eq!(schedule.next_run(), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cancel(&self) -> bool {
        self.runner.cancel()
    }

    /// Stops new runs from starting until [`resume`](Self::resume). A run that has been submitted
    /// goes on. Runs that are due in the pause are neither started later nor counted.
    ///
    /// ```
    /// # use millhand::{Every, ThreadPool};
    /// # use std::time::Duration;
    /// # let pool = ThreadPool::new(1)?;
    /// let schedule = pool.task().every(Every::new(Duration::from_secs(3600))).run(|| ())?;
    /// schedule.pause();
    /// assert_eq!((schedule.is_paused(), schedule.next_run()), (true, None));
    /// schedule.resume();
    /// assert!(schedule.next_run().is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn pause(&self) {
        self.runner.set_paused(true);
    }

    /// Continues after a [`pause`](Self::pause), at the next time of the original plan. If a fixed
    /// delay has passed in the pause, its run is due now.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let hourly = pool.task().name("backup").every(Duration::from_secs(3600)).run(|| ())?;
    /// hourly.pause();
    /// hourly.resume();
    /// assert!(!hourly.is_paused());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn resume(&self) {
        self.runner.set_paused(false);
    }

    /// Returns whether the schedule is paused.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let hourly = pool.task().name("backup").every(Duration::from_secs(3600)).run(|| ())?;
    /// hourly.pause();
    /// assert!(hourly.is_paused());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_paused(&self) -> bool {
        self.runner.read(Planner::is_paused)
    }

    /// Returns whether the schedule has ended, so that no further run will start.
    ///
    /// ```
    /// # use millhand::{Every, ThreadPool};
    /// # use std::time::Duration;
    /// # let pool = ThreadPool::new(1)?;
    /// let once = pool.task().every(Every::new(Duration::from_secs(3600)).times(1)).run(|| ())?;
    /// assert!(!once.is_ended());
    /// once.trigger_now();
    /// assert!(once.is_ended());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_ended(&self) -> bool {
        self.runner.read(Planner::is_ended)
    }

    /// Returns why the schedule has ended, also if that was an error. `None` while it goes on.
    ///
    /// ```
    /// # use millhand::schedule::{OnPanic, ScheduleEnd};
    /// # use millhand::{Every, ThreadPool};
    /// # use std::time::Duration;
    /// # let pool = ThreadPool::new(1)?;
    /// let rule = Every::new(Duration::from_secs(3600)).on_panic(OnPanic::Stop);
    /// let careful = pool.task().every(rule).run(|| -> () { panic!("no") })?;
    /// careful.trigger_now();
    /// pool.wait_idle()?;
    /// assert_eq!(careful.end_reason(), Some(ScheduleEnd::Panicked));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn end_reason(&self) -> Option<ScheduleEnd> {
        self.runner.read(Planner::end_reason)
    }

    /// Starts one more run now, beside the planned ones. Returns whether there will be one.
    ///
    /// The rule about [overlap](crate::schedule::Overlap) applies to this run, too. A schedule that
    /// has ended has no further run. A paused schedule runs it all the same, unless the run must
    /// wait for another. A fixed delay begins again after this run.
    ///
    /// ```
    /// # use millhand::{Every, ThreadPool};
    /// # use std::time::Duration;
    /// # let pool = ThreadPool::new(1)?;
    /// let schedule = pool.task().every(Every::new(Duration::from_secs(3600))).run(|| ())?;
    /// assert!(schedule.trigger_now());
    /// pool.wait_idle()?;
    /// assert_eq!(schedule.counts().runs, 1);
    /// schedule.cancel();
    /// assert!(!schedule.trigger_now());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn trigger_now(&self) -> bool {
        let mut will_run = false;
        self.runner.apply(|planner, _| {
            let started;
            (will_run, started) = planner.trigger();
            started
        });
        will_run
    }

    /// Returns when the next run is due, jitter included, by the time of day of the pool's clock.
    /// The time is in the past if the run is due and has not started yet.
    ///
    /// `None` while the schedule is paused, after it has ended, and while the next time depends on
    /// the end of a run.
    ///
    /// ```
    /// # use millhand::testing::ManualClock;
    /// # use millhand::{Every, ThreadPool};
    /// # use std::time::{Duration, SystemTime};
    /// let clock = ManualClock::new();
    /// clock.set_wall(SystemTime::UNIX_EPOCH);
    /// let pool = ThreadPool::builder().workers(1).clock(&clock).build()?;
    /// let minute = Duration::from_secs(60);
    /// let schedule = pool.task().every(Every::new(minute)).run(|| ())?;
    /// assert_eq!(schedule.next_run(), Some(SystemTime::UNIX_EPOCH + minute));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn next_run(&self) -> Option<SystemTime> {
        self.runner.next_run()
    }

    /// Returns when the last run was submitted, by the time of day of the pool's clock.
    ///
    /// ```
    /// # use millhand::testing::ManualClock;
    /// # use millhand::{Every, ThreadPool};
    /// # use std::time::{Duration, SystemTime};
    /// let clock = ManualClock::new();
    /// clock.set_wall(SystemTime::UNIX_EPOCH);
    /// let pool = ThreadPool::builder().workers(1).clock(&clock).build()?;
    /// let schedule = pool.task().every(Every::new(Duration::from_secs(60))).run(|| ())?;
    /// assert_eq!(schedule.last_run(), None);
    /// schedule.trigger_now();
    /// assert_eq!(schedule.last_run(), Some(SystemTime::UNIX_EPOCH));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn last_run(&self) -> Option<SystemTime> {
        self.runner.last_run()
    }

    /// Counts the runs so far, and those that were left out.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let hourly = pool.task().name("backup").every(Duration::from_secs(3600)).run(|| ())?;
    /// assert_eq!(hourly.counts().runs, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn counts(&self) -> ScheduleCounts {
        self.runner.read(Planner::counts)
    }

    /// Returns the name of the template, which all runs have, if it was given one.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let hourly = pool.task().name("backup").every(Duration::from_secs(3600)).run(|| ())?;
    /// assert_eq!(hourly.name().as_deref(), Some("backup"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn name(&self) -> Option<Arc<str>> {
        self.runner.name.clone()
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schedule")
            .field("name", &self.name())
            .field("paused", &self.is_paused())
            .field("ended", &self.is_ended())
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}
