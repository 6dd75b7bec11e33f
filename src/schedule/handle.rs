//! A schedule, as whoever made it sees it.
//!
//! Layer 5.

use crate::schedule::series::{ScheduleCounts, Series};
use crate::schedule::shell::Shell;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

/// A schedule; from [`ScheduleBuilder::run`](crate::ScheduleBuilder::run). Dropping it leaves the schedule running: it ends
/// by [`cancel`](Self::cancel), by its own rules or body, with its [token](crate::TaskBuilder::token), or with the pool's
/// shutdown. Clones are handles of the same schedule.
///
/// Each run is a task of the pool, which a drain finishes and [`wait_idle`](crate::ThreadPool::wait_idle) waits for; the
/// schedule between its runs is not waited for, and keeps no pool alive.
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
#[derive(Clone)]
pub struct Schedule {
    shell: Arc<Shell>,
}

impl Schedule {
    pub(crate) fn new(shell: Arc<Shell>) -> Self {
        Self { shell }
    }

    /// Ends the schedule; says whether that was not so already. What is due is given up, what waits behind another run is,
    /// too. A run that has been submitted is a task like any other, and goes on, with its retries: a
    /// [token](crate::TaskBuilder::token) over the template ends both.
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
        self.shell.cancel()
    }

    /// Lets no run begin until [`resume`](Self::resume); one that has been submitted goes on. What is due meanwhile is
    /// neither run later nor counted.
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
        self.shell.act(|series, _| {
            series.pause();
            0
        });
    }

    /// Goes on after a [`pause`](Self::pause), at the next of the times that were planned anyway; a fixed delay that has
    /// passed meanwhile is over, and its run is due now.
    pub fn resume(&self) {
        self.shell.act(Series::resume);
    }

    /// Whether it is paused.
    pub fn is_paused(&self) -> bool {
        self.shell.read(Series::is_paused)
    }

    /// Whether no run will begin any more.
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
        self.shell.read(Series::is_ended)
    }

    /// One run more, now, beside the planned ones; after it a fixed delay begins anew. Says whether there will be one: the rule
    /// about [overlap](crate::Overlap) holds for it, too, and a schedule that has ended has none. A paused one has it all
    /// the same, unless it has to wait.
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
        self.shell.act(|series, _| {
            let begun;
            (will_run, begun) = series.trigger();
            begun
        });
        will_run
    }

    /// When the next run is due, jitter included, by the time of day of the pool's clock; in the past for one that is due and
    /// has not begun. `None` while the schedule is paused, when it has ended, and while there is a run whose end decides
    /// it.
    ///
    /// ```
    /// # use millhand::{Every, ManualClock, ThreadPool};
    /// # use std::time::{Duration, SystemTime};
    /// let clock = ManualClock::new();
    /// clock.set_wall(SystemTime::UNIX_EPOCH);
    /// let pool = ThreadPool::builder().workers(1).clock(&clock.clock()).build()?;
    /// let minute = Duration::from_secs(60);
    /// let schedule = pool.task().every(Every::new(minute)).run(|| ())?;
    /// assert_eq!(schedule.next_run(), Some(SystemTime::UNIX_EPOCH + minute));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn next_run(&self) -> Option<SystemTime> {
        self.shell.next_run()
    }

    /// When the last run was submitted, by the time of day of the pool's clock.
    ///
    /// ```
    /// # use millhand::{Every, ManualClock, ThreadPool};
    /// # use std::time::{Duration, SystemTime};
    /// let clock = ManualClock::new();
    /// clock.set_wall(SystemTime::UNIX_EPOCH);
    /// let pool = ThreadPool::builder().workers(1).clock(&clock.clock()).build()?;
    /// let schedule = pool.task().every(Every::new(Duration::from_secs(60))).run(|| ())?;
    /// assert_eq!(schedule.last_run(), None);
    /// schedule.trigger_now();
    /// assert_eq!(schedule.last_run(), Some(SystemTime::UNIX_EPOCH));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn last_run(&self) -> Option<SystemTime> {
        self.shell.last_run()
    }

    /// What it has come to so far.
    pub fn counts(&self) -> ScheduleCounts {
        self.shell.read(Series::counts)
    }

    /// The name of its tasks, if they were given one.
    pub fn name(&self) -> Option<Arc<str>> {
        self.shell.name.clone()
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
