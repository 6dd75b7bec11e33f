//! What a program asks a running pool.

use crate::observe::{ScheduleInfo, Stats, TaskInfo, TaskTable};
use crate::pool::pool::Pool;
use crate::task::{CancelOutcome, TaskId};

impl Pool {
    /// Counts what the pool did and does; see [`Stats`].
    ///
    /// It takes some microseconds, and holds up no task. In a pool that
    /// [tracks its queue](crate::pool::PoolBuilder::track_queue) it takes time in proportion to the
    /// number of live tasks. In a forked child all numbers are 0.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// pool.submit(|| ()).join().unwrap();
    /// assert_eq!(pool.stats().succeeded, 1);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn stats(&self) -> Stats {
        match self.core().is_foreign() {
            true => Stats {
                pool: self.core().name(),
                ..Stats::default()
            },
            false => self.core().stats(),
        }
    }

    /// Lists the tasks that have not settled, and what the workers do; see [`TaskTable`].
    ///
    /// A task that had settled before this call is not in it, and one with a name or options that
    /// is live all the time is. It takes time in proportion to the number of live tasks with a name
    /// or options. In a forked child it is empty.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let report = pool.task().name("report").delay(Duration::from_secs(3600)).submit(|| ());
    /// for task in pool.tasks().rows() {
    ///     println!("{task}");
    /// }
    /// report.cancel();
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn tasks(&self) -> TaskTable {
        match self.core().is_foreign() {
            true => TaskTable::default(),
            false => self.core().task_table(usize::MAX),
        }
    }

    /// Finds a live task: one that runs, or that would be among the rows of [`tasks`](Self::tasks).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let report = pool.task().delay(Duration::from_secs(3600)).submit(|| ());
    /// assert!(pool.find(report.id()).is_some());
    /// report.cancel();
    /// assert!(pool.find(report.id()).is_none());
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn find(&self, id: TaskId) -> Option<TaskInfo> {
        let core = self.core();
        (!core.is_foreign()).then(|| core.find_task(id))?
    }

    /// Cancels a live task as its handle does; see [`CancelOutcome`]. `None` if
    /// [`find`](Self::find) would not find it.
    ///
    /// ```
    /// use millhand::task::CancelOutcome;
    /// use std::time::Duration;
    ///
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let report = pool.task().delay(Duration::from_secs(3600)).submit(|| ());
    /// assert_eq!(pool.cancel(report.id()), Some(CancelOutcome::Settled));
    /// assert_eq!(pool.cancel(report.id()), None);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn cancel(&self, id: TaskId) -> Option<CancelOutcome> {
        let core = self.core();
        (!core.is_foreign()).then(|| core.cancel_task(id))?
    }

    /// Returns the counts and the live tasks as text, for a log or a bug report. A shutdown that
    /// runs out of time logs it.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::builder().workers(1).name_prefix("mail").build()?;
    /// assert!(pool.dump().starts_with("pool `mail`"));
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn dump(&self) -> String {
        format!("{}{}", self.stats(), self.tasks())
    }

    /// Lists the schedules of the pool, in the order in which they were made.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let backup = pool.task().name("backup").every(Duration::from_secs(3600)).run(|| ())?;
    /// assert_eq!(pool.schedules().len(), 1);
    /// backup.cancel();
    /// assert!(pool.schedules().is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn schedules(&self) -> Vec<ScheduleInfo> {
        match self.core().is_foreign() {
            true => Vec::new(),
            false => self.core().lifecycle.schedules(),
        }
    }
}
