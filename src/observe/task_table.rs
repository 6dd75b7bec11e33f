//! What the tasks of a pool do, at one moment.
//!
//! Layer: observe. Plain data; `pool/live.rs` fills it.

use crate::observe::Age;
use crate::observe::age::Short;
use crate::task::{TaskId, TaskState};
use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

/// The live tasks of a pool and its workers. Returned by [`Pool::tasks`](crate::Pool::tasks). Its
/// text is that of [`Pool::dump`](crate::Pool::dump).
///
/// ```
/// use millhand::ThreadPool;
/// use std::time::Duration;
///
/// let pool = ThreadPool::new(1)?;
/// let report = pool.task().name("report").delay(Duration::from_secs(3600)).submit(|| ());
/// let tasks = pool.tasks();
/// assert_eq!(tasks.rows()[0].id, Some(report.id()));
/// assert!(tasks.to_string().contains("`report`"));
/// report.cancel();
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
///
/// Guide: [observability](crate::guide::observability).
#[derive(Clone, Debug, Default)]
pub struct TaskTable {
    pub(crate) rows: Vec<TaskInfo>,
    pub(crate) workers: Vec<WorkerInfo>,
    pub(crate) unlisted: usize,
}

impl TaskTable {
    /// Lists the tasks: those that run, by worker, and then those that wait, by id.
    ///
    /// A queued task without a name and without options is only counted, in
    /// [`unlisted`](Self::unlisted), unless the pool
    /// [tracks its queue](crate::pool::PoolBuilder::track_queue).
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// assert!(pool.tasks().rows().is_empty());
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn rows(&self) -> &[TaskInfo] {
        &self.rows
    }

    /// Lists the threads of the pool, by index.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(2)?;
    /// assert_eq!(pool.tasks().workers().len(), 2);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn workers(&self) -> &[WorkerInfo] {
        &self.workers
    }

    /// Returns how many live tasks are not among the [`rows`](Self::rows).
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// assert_eq!(pool.tasks().unlisted(), 0);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn unlisted(&self) -> usize {
        self.unlisted
    }
}

impl fmt::Display for TaskTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            rows,
            workers,
            unlisted,
        } = self;
        for worker in workers {
            writeln!(f, "{worker}")?;
        }
        for row in rows {
            writeln!(f, "{row}")?;
        }
        match unlisted {
            0 => Ok(()),
            n => writeln!(f, "and {n} more"),
        }
    }
}

/// A live task: what it does or waits for, and since when. Among the rows of a [`TaskTable`].
///
/// ```
/// use millhand::observe::WaitsFor;
/// use millhand::{Semaphore, ThreadPool};
///
/// let pool = ThreadPool::new(1)?;
/// let one = Semaphore::new(1)?;
/// let taken = one.acquire()?;
/// let call = pool.task().name("call").gate(&one).submit(|| ());
/// while pool.stats().gated == 0 {}
/// let info = pool.find(call.id()).unwrap();
/// assert!(matches!(info.waits_for[..], [WaitsFor::Gate { kind: "semaphore", .. }]));
/// # drop(taken);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Guide: [observability](crate::guide::observability).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TaskInfo {
    /// The id of the task. `None` for one that `execute` submitted without options and that runs,
    /// until its body asks for it.
    pub id: Option<TaskId>,
    /// Its name, if it was given one.
    pub name: Option<Arc<str>>,
    /// Where it was submitted.
    pub site: &'static Location<'static>,
    /// What it does.
    pub state: TaskState,
    /// How many attempts have begun. A task without options does not count them: 1 once it runs.
    pub attempt: u32,
    /// For how long it has been in this state, if that is known: the task is timed, or the sampler
    /// of a watchdog or a dashboard has seen it run.
    pub age: Option<Age>,
    /// The index of the worker that runs it.
    pub worker: Option<usize>,
    /// What it waits for, also if its body waits in the library.
    pub waits_for: Vec<WaitsFor>,
    /// How far it has come, as its body says by
    /// [`set_progress`](crate::pool::Current::set_progress): what is done, and the total.
    pub progress: Option<(u64, u64)>,
}

/// What a task waits for. One may wait for several things at once.
///
/// ```
/// use millhand::observe::WaitsFor;
///
/// fn is_held_up(waits_for: &WaitsFor) -> bool {
///     matches!(waits_for, WaitsFor::Gate { waiting, .. } if *waiting > 100)
/// }
/// ```
///
/// Guide: [observability](crate::guide::observability).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitsFor {
    /// A worker that is free.
    Worker,
    /// The line of a gate.
    #[non_exhaustive]
    Gate {
        /// A number, another one for each gate of the process.
        id: u64,
        /// `rate limiter`, `semaphore` or `lane`.
        kind: &'static str,
        /// How many wait there.
        waiting: usize,
    },
    /// The end of another task.
    Task(TaskId),
    /// Time: its delay, or the one before its next attempt, ends in so long.
    Time(Duration),
}

impl fmt::Display for WaitsFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Worker => f.write_str("a worker"),
            Self::Gate { id, kind, waiting } => write!(f, "{kind} {id} ({waiting} wait there)"),
            Self::Task(id) => write!(f, "task {id}"),
            Self::Time(left) => write!(f, "{} more", Short(*left)),
        }
    }
}

impl fmt::Display for TaskInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            id,
            name,
            site,
            state,
            attempt,
            age,
            worker,
            waits_for,
            progress,
        } = self;
        f.write_str("task")?;
        if let Some(id) = id {
            write!(f, " {id}")?;
        }
        if let Some(name) = name {
            write!(f, " `{name}`")?;
        }
        write!(f, " (submitted at {site}) {}", in_words(*state))?;
        if let Some(worker) = worker {
            write!(f, " on worker {worker}")?;
        }
        if *attempt > 1 {
            write!(f, ", attempt {attempt}")?;
        }
        if let Some(age) = age {
            write!(f, ", for {age}")?;
        }
        if let Some((done, total)) = progress {
            write!(f, ", {done} of {total} done")?;
        }
        for (at, what) in waits_for.iter().enumerate() {
            let word = if at == 0 { ", waits for" } else { " and" };
            write!(f, "{word} {what}")?;
        }
        Ok(())
    }
}

/// What a task in this state does.
pub(crate) fn in_words(state: TaskState) -> &'static str {
    match state {
        TaskState::Delayed { .. } => "is delayed",
        TaskState::Queued => "is queued",
        TaskState::Gated => "is at a gate",
        TaskState::Waiting => "waits for others",
        TaskState::Running => "runs",
        TaskState::Retrying { .. } => "waits for its next attempt",
        TaskState::Finished => "has finished",
    }
}

/// A thread of a pool, and what it does.
///
/// ```
/// use millhand::observe::{WorkerInfo, WorkerState};
///
/// fn is_free(worker: &WorkerInfo) -> bool {
///     worker.state == WorkerState::Idle
/// }
/// ```
///
/// Guide: [observability](crate::guide::observability).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WorkerInfo {
    /// Its index, which the name of its thread ends with.
    pub index: usize,
    /// What it does.
    pub state: WorkerState,
    /// The bodies on its stack, the innermost last: a body that waits for a task may run it there.
    /// One whose task has settled (its time was over) still runs.
    pub tasks: Vec<TaskInfo>,
}

/// What a thread of a pool does.
///
/// ```
/// use millhand::observe::WorkerState;
///
/// let pool = millhand::ThreadPool::new(1)?;
/// pool.submit(|| ()).join().unwrap();
/// pool.wait_idle().unwrap();
/// assert_eq!(pool.tasks().workers()[0].state, WorkerState::Idle);
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
///
/// Guide: [observability](crate::guide::observability).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WorkerState {
    /// It runs no body.
    Idle,
    /// It runs a body.
    Busy,
    /// Its body waits in the library.
    Blocked,
    /// Its body runs on though its time is over, and has no run slot.
    Hung,
}

impl WorkerState {
    /// Returns the word for it, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Busy => "busy",
            Self::Blocked => "blocked",
            Self::Hung => "hung",
        }
    }
}

impl fmt::Display for WorkerInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            index,
            state,
            tasks,
        } = self;
        let state = match state {
            WorkerState::Idle => "is idle",
            WorkerState::Busy => "is busy",
            WorkerState::Blocked => "waits",
            WorkerState::Hung => "is hung",
        };
        write!(f, "worker {index} {state}")?;
        for (at, task) in tasks.iter().enumerate() {
            let word = if at == 0 { ": " } else { "; on top of it " };
            write!(f, "{word}{task}")?;
        }
        Ok(())
    }
}

/// A schedule of a pool. Returned by [`Pool::schedules`](crate::Pool::schedules).
///
/// ```
/// use std::time::Duration;
///
/// let pool = millhand::ThreadPool::new(1)?;
/// pool.task().name("backup").every(Duration::from_secs(3600)).run(|| ())?;
/// let schedules = pool.schedules();
/// assert_eq!(schedules[0].name.as_deref(), Some("backup"));
/// assert!(schedules[0].next_run.is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Guide: [observability](crate::guide::observability).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ScheduleInfo {
    /// The number of the schedule in its pool.
    pub id: u64,
    /// The name of its tasks, if they have one.
    pub name: Option<Arc<str>>,
    /// Where it was made.
    pub site: &'static Location<'static>,
    /// When its next run is due, by the time of day. `None` while it is paused, or waits for the
    /// end of a run.
    pub next_run: Option<std::time::SystemTime>,
    /// When its last run was submitted.
    pub last_run: Option<std::time::SystemTime>,
    /// Whether it is paused.
    pub is_paused: bool,
    /// How many runs were submitted.
    pub runs: u64,
    /// How many were left out: another one was still running, or their time had passed.
    pub left_out: u64,
    /// How many failed.
    pub failures: u64,
}
