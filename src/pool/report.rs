//! What a shutdown reports at its end.

use crate::id::TaskId;
use crate::pool::core::Core;
use crate::pool::service::ServiceReport;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

/// Reports what a shutdown left undone, and counts the outcomes of all tasks that the pool ever
/// had. Returned by [`ThreadPool::shutdown`](crate::ThreadPool::shutdown).
///
/// ```
/// use millhand::{Shutdown, ThreadPool};
///
/// let pool = ThreadPool::new(1)?;
/// pool.execute(|| ());
/// let report = pool.shutdown(Shutdown::drain())?;
/// assert!(report.to_string().starts_with("1 succeeded, 0 failed"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Guide: [shutdown](crate::guide::shutdown).
#[derive(Clone, Debug)]
pub struct ShutdownReport {
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
    pub(crate) panicked: u64,
    pub(crate) cancelled: u64,
    pub(crate) expired: u64,
    pub(crate) timed_out: u64,
    pub(crate) rejected: u64,
    pub(crate) cancelled_by_shutdown: u64,
    pub(crate) not_due: Vec<PendingTask>,
    pub(crate) schedules: Vec<EndedSchedule>,
    pub(crate) still_running: Vec<RunningTask>,
    pub(crate) services: Vec<(String, ServiceReport)>,
}

impl Core {
    pub(crate) fn report(&self, still_running: Vec<RunningTask>) -> ShutdownReport {
        let counts = &self.counts;
        let [failed, panicked, cancelled, expired, timed_out, rejected] = counts.outcomes();
        ShutdownReport {
            succeeded: self.succeeded(),
            failed,
            panicked,
            cancelled,
            expired,
            timed_out,
            rejected,
            cancelled_by_shutdown: counts.cancelled_by_shutdown.sum(),
            not_due: self.not_due.lock().clone(),
            schedules: self.lifecycle.ended_schedules(),
            still_running,
            services: self.report_services(),
        }
    }
}

impl ShutdownReport {
    /// Returns how many tasks ran and returned.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// pool.execute(|| ());
    /// assert_eq!(pool.shutdown(millhand::Shutdown::drain())?.succeeded(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn succeeded(&self) -> u64 {
        self.succeeded
    }

    /// Returns how many tasks failed: their bodies returned an `Err` to a verb or a template for
    /// which that counts ([`execute_ok`](crate::Pool::execute_ok),
    /// [`fallible`](crate::TaskBuilder::fallible), [`retry`](crate::TaskBuilder::retry)).
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// pool.execute_ok(|| "x".parse::<u8>().map(drop));
    /// assert_eq!(pool.shutdown(millhand::Shutdown::drain())?.failed(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn failed(&self) -> u64 {
        self.failed
    }

    /// Returns how many tasks panicked.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// pool.execute(|| panic!("no"));
    /// assert_eq!(pool.shutdown(millhand::Shutdown::drain())?.panicked(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn panicked(&self) -> u64 {
        self.panicked
    }

    /// Returns how many tasks were cancelled, by the shutdown or otherwise: before they ran, or
    /// because they left when they were asked to stop, at a checkpoint or with an `Err` that
    /// counts.
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

    /// Returns how many tasks had not started in time ([`expires`](crate::TaskBuilder::expires),
    /// [`deadline`](crate::TaskBuilder::deadline)).
    ///
    /// ```
    /// use millhand::{Semaphore, Shutdown, ThreadPool};
    /// use std::time::Duration;
    ///
    /// let pool = ThreadPool::new(1)?;
    /// let one = Semaphore::new(1)?;
    /// let taken = one.acquire()?;
    /// let late = pool.task().gate(&one).expires(Duration::from_millis(1)).submit(|| ());
    /// assert!(late.join().is_err());
    /// assert_eq!(pool.shutdown(Shutdown::drain())?.expired(), 1);
    /// # drop(taken);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn expired(&self) -> u64 {
        self.expired
    }

    /// Returns how many tasks ran out of time.
    ///
    /// ```
    /// use millhand::{Shutdown, ThreadPool};
    /// use std::time::Duration;
    ///
    /// let pool = ThreadPool::new(1)?;
    /// let slow = pool.task().attempt_timeout(Duration::from_millis(1));
    /// assert!(slow.submit(|| -> () { loop { millhand::checkpoint() } }).join().is_err());
    /// assert_eq!(pool.shutdown(Shutdown::drain())?.timed_out(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn timed_out(&self) -> u64 {
        self.timed_out
    }

    /// Returns how many tasks the pool did not take, without those whose closures it gave back.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let invalid = pool.task().expires(Duration::ZERO).submit(|| ());
    /// assert!(invalid.join().is_err());
    /// assert_eq!(pool.shutdown(millhand::Shutdown::drain())?.rejected(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn rejected(&self) -> u64 {
        self.rejected
    }

    /// Returns how many tasks the shutdown cancelled: before they ran, or because they left when it
    /// asked them to stop. This is the work that was lost. A body that was asked to stop and still
    /// returned its value has succeeded.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let (send, receive) = std::sync::mpsc::channel();
    /// pool.execute(move || {
    ///     send.send(()).unwrap();
    ///     while !millhand::is_cancelled() { std::hint::spin_loop() }
    /// });
    /// receive.recv()?; // the worker is busy
    /// pool.execute(|| ());
    /// assert_eq!(pool.shutdown(millhand::Shutdown::cancel())?.cancelled_by_shutdown(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cancelled_by_shutdown(&self) -> u64 {
        self.cancelled_by_shutdown
    }

    /// Lists the tasks that the shutdown cancelled because they were not yet due for the first
    /// time. They are among the [`cancelled_by_shutdown`](Self::cancelled_by_shutdown).
    ///
    /// [`Shutdown::including_delayed`](crate::Shutdown::including_delayed) waits for them instead.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let pool = millhand::ThreadPool::new(1)?;
    /// pool.task().name("report").delay(Duration::from_secs(3600)).execute(|| ());
    /// let report = pool.shutdown(millhand::Shutdown::drain())?;
    /// assert_eq!(report.not_due()[0].name.as_deref(), Some("report"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn not_due(&self) -> &[PendingTask] {
        &self.not_due
    }

    /// Lists the schedules that the shutdown ended. No work is lost by that: runs that were due
    /// have run, or are counted as cancelled.
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

    /// Lists the tasks that were still running when the shutdown gave up.
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

    /// Returns the sections of the services of the pool, each with the name of its service.
    pub fn services(&self) -> impl Iterator<Item = (&str, &ServiceReport)> {
        let all = self.services.iter();
        all.map(|(name, report)| (name.as_str(), report))
    }

    /// Returns whether no work was lost: the shutdown cancelled no task, no task still runs, and no
    /// service says otherwise.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// pool.execute(|| ());
    /// assert!(pool.shutdown(millhand::Shutdown::drain())?.is_clean());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_clean(&self) -> bool {
        self.cancelled_by_shutdown == 0
            && self.still_running.is_empty()
            && self.services().all(|(_, section)| section.is_clean())
    }
}

impl fmt::Display for ShutdownReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            succeeded,
            failed,
            panicked,
            cancelled,
            expired,
            timed_out,
            rejected,
            cancelled_by_shutdown,
            not_due,
            schedules,
            still_running,
            services,
        } = self;
        write!(
            f,
            "{succeeded} succeeded, {failed} failed, {panicked} panicked, {cancelled} cancelled ({cancelled_by_shutdown} of them by the shutdown)"
        )?;
        for (count, what) in [
            (expired, "expired"),
            (timed_out, "timed out"),
            (rejected, "rejected"),
        ] {
            if *count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        write!(f, ", {} still running", still_running.len())?;
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
            0 => {}
            more => write!(f, "; and {more} more schedules ended")?,
        }
        for (name, section) in services.iter().filter(|(_, one)| !one.text().is_empty()) {
            write!(f, "; {name}: {section}")?;
        }
        Ok(())
    }
}

/// The text names at most so many tasks that were not due, and so many schedules. There may be a
/// million of them.
const NAMED: usize = 8;

/// Identifies a task that a shutdown cancelled before it was due.
///
/// ```
/// # use std::time::Duration;
/// let pool = millhand::ThreadPool::new(1)?;
/// pool.task().name("report").delay(Duration::from_secs(3600)).execute(|| ());
/// let report = pool.shutdown(millhand::Shutdown::drain())?;
/// assert!(report.not_due()[0].to_string().contains("`report`"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Guide: [shutdown](crate::guide::shutdown).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PendingTask {
    /// The id of the task.
    ///
    /// A task that `execute` submitted without options has no id until its body asks for it. If the
    /// body has not asked, this is a number of this report alone.
    pub id: TaskId,
    /// The name of the task, if it has one.
    pub name: Option<Arc<str>>,
    /// Where the task was submitted.
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

/// Identifies a schedule that a shutdown ended.
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
///
/// Guide: [shutdown](crate::guide::shutdown).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EndedSchedule {
    /// The name of its tasks, if they have one.
    pub name: Option<Arc<str>>,
    /// Where the schedule was made.
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

/// Identifies a task whose body had not returned when a shutdown gave up.
///
/// ```
/// use millhand::{Shutdown, ThreadPool};
/// use std::sync::mpsc::channel;
/// # use std::time::Duration;
///
/// let pool = ThreadPool::new(1)?;
/// let (send, receive) = channel();
/// let (hold, held) = channel::<()>();
/// pool.task().name("stuck").execute(move || {
///     send.send(()).unwrap();
///     let _ = held.recv();
/// });
/// receive.recv()?;
/// let report = pool.shutdown(Shutdown::cancel().give_up_after(Duration::from_millis(1)))?;
/// assert_eq!(report.still_running()[0].name.as_deref(), Some("stuck"));
/// # drop(hold);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Guide: [shutdown](crate::guide::shutdown).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RunningTask {
    /// The id of the task.
    ///
    /// A task that `execute` submitted without options has no id until its body asks for it. If the
    /// body has not asked, this is a number of this report alone.
    pub id: TaskId,
    /// The name of the task, if it has one.
    pub name: Option<Arc<str>>,
    /// Where the task was submitted.
    pub site: &'static Location<'static>,
}

impl fmt::Display for RunningTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {}", self.id)?;
        if let Some(name) = &self.name {
            write!(f, " `{name}`")?;
        }
        write!(f, " (submitted at {}) still runs", self.site)
    }
}
