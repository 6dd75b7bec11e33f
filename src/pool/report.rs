//! What a shutdown says at its end: plain data.
//!
//! Layer 3.

use crate::id::TaskId;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

/// What a shutdown leaves behind, and what became of the pool's tasks over its whole life.
///
/// ```
/// use millhand::{Shutdown, ThreadPool};
///
/// let pool = ThreadPool::new(1)?;
/// pool.execute(|| ())?;
/// let report = pool.shutdown(Shutdown::drain())?;
/// assert!(report.to_string().starts_with("1 completed, 0 failed"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ShutdownReport {
    pub(crate) completed: u64,
    pub(crate) failed: u64,
    pub(crate) panicked: u64,
    pub(crate) cancelled: u64,
    pub(crate) cancelled_by_shutdown: u64,
    pub(crate) not_due: Vec<PendingTask>,
    pub(crate) schedules: Vec<EndedSchedule>,
    pub(crate) still_running: Vec<RunningTask>,
}

impl ShutdownReport {
    /// How many tasks ran and returned.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// pool.execute(|| ())?;
    /// assert_eq!(pool.shutdown(millhand::Shutdown::drain())?.completed(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn completed(&self) -> u64 {
        self.completed
    }

    /// How many failed: fallible ones that returned `Err`, and those that ran out of time.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// pool.task().fallible().execute(|| "x".parse::<u8>())?;
    /// assert_eq!(pool.shutdown(millhand::Shutdown::drain())?.failed(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn failed(&self) -> u64 {
        self.failed
    }

    /// How many panicked.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// pool.execute(|| panic!("no"))?;
    /// assert_eq!(pool.shutdown(millhand::Shutdown::drain())?.panicked(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn panicked(&self) -> u64 {
        self.panicked
    }

    /// How many were cancelled, by whomever: before they ran, or by leaving at a checkpoint.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let handle = pool.submit(|| -> () { loop { millhand::checkpoint() } });
    /// handle.cancel();
    /// assert_eq!(pool.shutdown(millhand::Shutdown::drain())?.cancelled(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cancelled(&self) -> u64 {
        self.cancelled
    }

    /// How many of these the shutdown cancelled before they ran: the work that was lost.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let (tell, told) = std::sync::mpsc::channel();
    /// pool.execute(move || {
    ///     tell.send(()).unwrap();
    ///     while !millhand::is_cancelled() { std::hint::spin_loop() }
    /// })?;
    /// told.recv()?; // the worker is busy
    /// pool.execute(|| ())?;
    /// assert_eq!(pool.shutdown(millhand::Shutdown::cancel())?.cancelled_by_shutdown(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cancelled_by_shutdown(&self) -> u64 {
        self.cancelled_by_shutdown
    }

    /// The tasks that were not due for the first time yet, and that the shutdown cancelled for that; they are among the
    /// [`cancelled_by_shutdown`](Self::cancelled_by_shutdown). See [`Shutdown::including_delayed`](crate::Shutdown::including_delayed).
    ///
    /// ```
    /// # use std::time::Duration;
    /// let pool = millhand::ThreadPool::new(1)?;
    /// pool.task().name("report").delay(Duration::from_secs(3600)).execute(|| ())?;
    /// let report = pool.shutdown(millhand::Shutdown::drain())?;
    /// assert_eq!(report.not_due()[0].name.as_deref(), Some("report"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn not_due(&self) -> &[PendingTask] {
        &self.not_due
    }

    /// The schedules that the shutdown ended. No work is lost by that: runs that were due have been run, or are counted
    /// as cancelled.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use millhand::{Every, Shutdown, ThreadPool};
    ///
    /// let pool = ThreadPool::new(1)?;
    /// pool.task().name("backup").every(Every::new(Duration::from_secs(3600))).run(|| ())?;
    /// let report = pool.shutdown(Shutdown::drain())?;
    /// assert_eq!(report.schedules()[0].name.as_deref(), Some("backup"));
    /// assert!(report.is_clean());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn schedules(&self) -> &[EndedSchedule] {
        &self.schedules
    }

    /// The tasks that still ran when the shutdown gave up.
    ///
    /// ```
    /// # let pool = millhand::ThreadPool::new(1)?;
    /// let report = pool.shutdown(millhand::Shutdown::drain())?;
    /// assert!(report.still_running().is_empty()); // it never gave up
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn still_running(&self) -> &[RunningTask] {
        &self.still_running
    }

    /// Whether nothing was lost: no task was cancelled by the shutdown, and none still runs.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// pool.execute(|| ())?;
    /// assert!(pool.shutdown(millhand::Shutdown::drain())?.is_clean());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_clean(&self) -> bool {
        self.cancelled_by_shutdown == 0 && self.still_running.is_empty()
    }
}

impl fmt::Display for ShutdownReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            completed,
            failed,
            panicked,
            cancelled,
            cancelled_by_shutdown,
            not_due,
            schedules,
            still_running,
        } = self;
        write!(
            f,
            "{completed} completed, {failed} failed, {panicked} panicked, {cancelled} cancelled ({cancelled_by_shutdown} of them by the shutdown), {} still running",
            still_running.len()
        )?;
        for task in still_running {
            write!(f, "; {task}")?;
        }
        for task in not_due.iter().take(NAMED) {
            write!(f, "; {task}")?;
        }
        match not_due.len().saturating_sub(NAMED) {
            0 => {}
            more => write!(f, "; and {more} more were not due yet")?,
        }
        for schedule in schedules.iter().take(NAMED) {
            write!(f, "; {schedule}")?;
        }
        match schedules.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(f, "; and {more} more schedules ended"),
        }
    }
}

/// So many of the tasks that were not due does the text name, and of the schedules: there may be a million.
const NAMED: usize = 8;

/// A task that a shutdown cancelled before it was due.
///
/// ```
/// # use std::time::Duration;
/// let pool = millhand::ThreadPool::new(1)?;
/// pool.task().name("report").delay(Duration::from_secs(3600)).execute(|| ())?;
/// let report = pool.shutdown(millhand::Shutdown::drain())?;
/// assert!(report.not_due()[0].to_string().contains("`report`"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PendingTask {
    /// The task.
    pub id: TaskId,
    /// Its name, if it was given one.
    pub name: Option<Arc<str>>,
    /// Where it was submitted.
    pub site: &'static Location<'static>,
}

impl fmt::Display for PendingTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {}", self.id)?;
        if let Some(name) = &self.name {
            write!(f, " `{name}`")?;
        }
        write!(f, " (submitted at {}) was not due yet", self.site)
    }
}

/// A schedule that a shutdown ended.
///
/// ```
/// # use std::time::Duration;
/// use millhand::{Every, Shutdown, ThreadPool};
///
/// let pool = ThreadPool::new(1)?;
/// pool.task().name("backup").every(Every::new(Duration::from_secs(3600))).run(|| ())?;
/// let report = pool.shutdown(Shutdown::drain())?;
/// assert!(report.schedules()[0].to_string().starts_with("schedule `backup` (made at "));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EndedSchedule {
    /// The name of its tasks, if they were given one.
    pub name: Option<Arc<str>>,
    /// Where it was made.
    pub site: &'static Location<'static>,
}

impl fmt::Display for EndedSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("schedule")?;
        if let Some(name) = &self.name {
            write!(f, " `{name}`")?;
        }
        write!(f, " (made at {}) ended", self.site)
    }
}

/// A task whose body had not returned when a shutdown gave up.
///
/// ```
/// use millhand::{Shutdown, ThreadPool};
/// use std::sync::mpsc::channel;
/// # use std::time::Duration;
///
/// let pool = ThreadPool::new(1)?;
/// let (tell, told) = channel();
/// let (hold, held) = channel::<()>();
/// pool.task().name("stuck").execute(move || {
///     tell.send(()).unwrap();
///     let _ = held.recv();
/// })?;
/// told.recv()?;
/// let report = pool.shutdown(Shutdown::cancel().give_up_after(Duration::from_millis(1)))?;
/// assert_eq!(report.still_running()[0].name.as_deref(), Some("stuck"));
/// # drop(hold);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RunningTask {
    /// The task.
    pub id: TaskId,
    /// Its name, if it was given one.
    pub name: Option<Arc<str>>,
    /// Where it was submitted.
    pub site: &'static Location<'static>,
    /// How long it has run at the least: since a shutdown first saw it, which looks whenever it wakes (plain tasks read
    /// no clock when they start).
    pub at_least: Duration,
}

impl fmt::Display for RunningTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {}", self.id)?;
        if let Some(name) = &self.name {
            write!(f, " `{name}`")?;
        }
        write!(
            f,
            " (submitted at {}) has run for at least {:?}",
            self.site, self.at_least
        )
    }
}
