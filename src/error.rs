//! Everything that can go wrong, as types.
//!
//! Layer 0. An error that refuses a closure gives it back; texts are lower-case and say what is allowed.

use crate::id::TaskId;
use crate::panic::TaskPanic;
use crate::reason::CancelReason;
use parking_lot::Mutex;
use std::error::Error;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

/// Why a task has no value. At most 16 bytes, `Send + Sync`.
///
/// ```
/// use millhand::{CancelReason, TaskError, promise};
///
/// let (promise, handle) = promise::<u32>();
/// drop(promise);
/// assert!(matches!(handle.join(), Err(TaskError::Cancelled(CancelReason::Dropped))));
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum TaskError {
    /// Its body panicked.
    Panicked(Box<TaskPanic>),
    /// It was cancelled before it ran, or it left at a checkpoint.
    Cancelled(CancelReason),
    /// It did not start in time.
    Expired,
    /// It ran out of time: its token's deadline passed before it started, or it left for that at a checkpoint.
    TimedOut,
    /// The pool did not take it.
    Rejected(Rejection),
    /// Waiting for it could never end.
    WouldDeadlock(Box<Deadlock>),
    /// Its pool was built in the process that this one was forked from, and its workers are there.
    Forked,
}

impl TaskError {
    /// The error of a body that left because its token was cancelled.
    pub(crate) fn stopped(reason: CancelReason) -> Self {
        match reason {
            CancelReason::Deadline => Self::TimedOut,
            other => Self::Cancelled(other),
        }
    }
}

impl TaskError {
    /// The same for one more reader: of a panic only what it said, since a payload is one reader's alone.
    pub(crate) fn copy(&self) -> Self {
        match self {
            Self::Panicked(panic) => Self::Panicked(Box::new(panic.copy())),
            Self::Cancelled(reason) => Self::Cancelled(*reason),
            Self::Expired => Self::Expired,
            Self::TimedOut => Self::TimedOut,
            Self::Rejected(rejection) => Self::Rejected(*rejection),
            Self::WouldDeadlock(deadlock) => Self::WouldDeadlock(deadlock.clone()),
            Self::Forked => Self::Forked,
        }
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked(panic) => fmt::Display::fmt(panic, f),
            Self::Cancelled(reason) => write!(f, "task cancelled: {reason}"),
            Self::Expired => f.write_str("task expired before it started"),
            Self::TimedOut => f.write_str("task timed out"),
            Self::Rejected(rejection) => write!(f, "task rejected: {rejection}"),
            Self::WouldDeadlock(deadlock) => fmt::Display::fmt(deadlock, f),
            Self::Forked => f.write_str(
                "the task's pool belongs to the process that this one was forked from: build a pool in the child",
            ),
        }
    }
}

impl Error for TaskError {}

/// Why a pool did not take a task.
///
/// ```
/// use millhand::{Rejection, Shutdown, ThreadPool};
///
/// let pool = ThreadPool::new(1)?;
/// pool.shutdown(Shutdown::drain())?;
/// let refused = pool.execute(|| ()).unwrap_err();
/// assert_eq!(refused.reason(), Rejection::Closed);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rejection {
    /// The pool is shutting down or has shut down.
    Closed,
    /// The queue is at its capacity (and stayed there for the time given).
    Full,
    /// The pool belongs to the process that this one was forked from.
    Forked,
    /// It was to continue a promise, which belongs to no pool, and from a thread that is no worker:
    /// [`submit_after`](crate::TaskBuilder::submit_after) names the pool.
    NoPool,
    /// The task's options contradict each other, or one of them makes no sense.
    Invalid(InvalidTask),
}

/// What is wrong with a task's options: the text names them and says what is allowed.
///
/// ```
/// use millhand::{InvalidTask, Rejection, ThreadPool};
/// use std::time::Duration;
///
/// let pool = ThreadPool::new(1)?;
/// let refused = pool.task().expires(Duration::ZERO).execute(|| ()).unwrap_err();
/// assert_eq!(refused.reason(), Rejection::Invalid(InvalidTask::ZeroExpires));
/// assert_eq!(InvalidTask::ZeroExpires.to_string(), "`expires` must be longer than zero");
/// # Ok::<(), millhand::BuildError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InvalidTask {
    /// `expires(0)`: it could never start in time.
    ZeroExpires,
    /// `attempt_timeout(0)`: no attempt could end in time.
    ZeroAttemptTimeout,
    /// `total_timeout(0)`: it could never end in time.
    ZeroTotalTimeout,
    /// Both `delay` and `delay_until` were given.
    TwoDelays,
    /// `attempt_timeout` is longer than `total_timeout`, and would never be reached.
    AttemptBeyondTotal,
    /// `expires` is longer than `total_timeout`, and would never be reached.
    ExpiresBeyondTotal,
    /// A rate limiter goes by another clock than the pool.
    ForeignClock,
    /// [`when_any`](crate::when_any) of no handles at all.
    FirstOfNone,
    /// A schedule's tasks have a `delay` or `delay_until` each.
    DelayedSchedule,
    /// `Every::new(0)`: it would be due without end.
    ZeroPeriod,
    /// `times(0)`: it would never run.
    ZeroTimes,
    /// `Overlap::Parallel(0)`: it could never run.
    ZeroParallel,
    /// `Missed::CatchUp(0)`: nothing would be made up for.
    ZeroCatchUp,
    /// `jitter` is longer than the period: runs would overtake each other.
    JitterBeyondPeriod,
    /// `Missed::CatchUp` with a fixed delay, which misses nothing.
    CatchUpAfterDelay,
    /// All times of the cron expression have passed.
    CronIsOver,
}

impl fmt::Display for InvalidTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ZeroExpires => "`expires` must be longer than zero",
            Self::ZeroAttemptTimeout => "`attempt_timeout` must be longer than zero",
            Self::ZeroTotalTimeout => "`total_timeout` must be longer than zero",
            Self::TwoDelays => {
                "`delay` and `delay_until` contradict each other: one of them is allowed"
            }
            Self::AttemptBeyondTotal => "`attempt_timeout` must not be longer than `total_timeout`",
            Self::ExpiresBeyondTotal => "`expires` must not be longer than `total_timeout`",
            Self::ForeignClock => "a rate limiter in `gate` must go by the pool's `clock`",
            Self::FirstOfNone => "`when_any` must be given at least one handle",
            Self::DelayedSchedule => {
                "`delay` and `delay_until` are not for schedules: `start_in` says when the first run is due"
            }
            Self::ZeroPeriod => "the period of `every` must be longer than zero",
            Self::ZeroTimes => "`times` must be at least 1 (leave it out for no end)",
            Self::ZeroParallel => "`Overlap::Parallel` must be at least 1",
            Self::ZeroCatchUp => "`Missed::CatchUp` must be at least 1 (`Missed::Skip` makes up for none)",
            Self::JitterBeyondPeriod => "`jitter` must not be longer than the period of `every`",
            Self::CatchUpAfterDelay => {
                "`fixed_delay` and `Missed::CatchUp` contradict each other: a fixed delay misses nothing"
            }
            Self::CronIsOver => {
                "the cron expression fires no more: one of its years must be yet to come"
            }
        })
    }
}

impl Error for InvalidTask {}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "the pool is closed",
            Self::Full => "the queue is full",
            Self::Forked => "the pool belongs to the process that this one was forked from",
            Self::NoPool => {
                "a promise has no pool that could continue it: `pool.task().submit_after` names one"
            }
            Self::Invalid(invalid) => return fmt::Display::fmt(invalid, f),
        })
    }
}

/// A closure that the pool did not take, and why.
///
/// ```
/// use millhand::{Rejection, Shutdown, ThreadPool};
///
/// let pool = ThreadPool::new(1)?;
/// pool.shutdown(Shutdown::drain())?;
/// let refused = pool.try_submit(|| 6 * 7).unwrap_err();
/// assert_eq!(refused.reason(), Rejection::Closed);
/// assert_eq!(refused.into_inner()(), 42); // run it here, then
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SubmitError<F> {
    reason: Rejection,
    // Behind a mutex because a closure is `Send` only and errors are shared.
    closure: Mutex<F>,
}

impl<F> SubmitError<F> {
    pub(crate) fn new(reason: Rejection, closure: F) -> Self {
        Self {
            reason,
            closure: Mutex::new(closure),
        }
    }

    pub(crate) fn map<G>(self, f: impl FnOnce(F) -> G) -> SubmitError<G> {
        SubmitError::new(self.reason, f(self.closure.into_inner()))
    }

    /// Why it was refused.
    pub fn reason(&self) -> Rejection {
        self.reason
    }

    /// The closure, as it was given.
    pub fn into_inner(self) -> F {
        self.closure.into_inner()
    }
}

impl<F> fmt::Debug for SubmitError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reason, closure: _ } = self;
        f.debug_struct("SubmitError")
            .field("reason", reason)
            .finish_non_exhaustive()
    }
}

impl<F> fmt::Display for SubmitError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task not submitted: {}", self.reason)
    }
}

impl<F> Error for SubmitError<F> {}

/// Why a [`join_ok`](crate::TaskHandle::join_ok) has no value.
///
/// ```
/// use millhand::{JoinError, promise};
///
/// let (promise, handle) = promise::<Result<u32, String>>();
/// promise.complete(Err("no disk".to_owned())).unwrap();
/// assert!(matches!(handle.join_ok(), Err(JoinError::Failed(why)) if why == "no disk"));
/// ```
#[derive(Debug)]
pub enum JoinError<E> {
    /// The body returned this error.
    Failed(E),
    /// The task itself has no outcome of its body's.
    Task(TaskError),
}

impl<E> fmt::Display for JoinError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(_) => f.write_str("task failed"),
            Self::Task(_) => f.write_str("task has no outcome"),
        }
    }
}

/// The text says which kind it is, the source why: a report that goes through the sources says nothing twice.
impl<E: Error + 'static> Error for JoinError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Failed(error) => Some(error),
            Self::Task(error) => Some(error),
        }
    }
}

/// Tasks whose waits could never end.
///
/// Either each waits for the next one in a circle, or all threads that the pool may have wait already.
///
/// ```
/// use millhand::{SharedHandle, TaskError, ThreadPool};
///
/// let pool = ThreadPool::new(1)?;
/// let (give, given) = std::sync::mpsc::channel::<SharedHandle<usize>>();
/// let own = pool.submit(move || match given.recv().unwrap().join() {
///     Err(TaskError::WouldDeadlock(circle)) => circle.tasks().count(),
///     _ => 0,
/// });
/// let own = own.share();
/// give.send(own.clone()).unwrap();
/// assert_eq!(*own.join().as_ref().unwrap(), 1); // it waited for itself
/// # Ok::<(), millhand::BuildError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Deadlock {
    tasks: Vec<Stuck>,
    at_bound: Option<usize>,
}

/// A task of the circle: id, name, and where it was submitted.
/// A task of such a circle: its id, its name, where it was submitted.
pub(crate) type Stuck = (TaskId, Option<Arc<str>>, &'static Location<'static>);

impl Deadlock {
    pub(crate) fn circle(tasks: Vec<Stuck>) -> Self {
        Self {
            tasks,
            at_bound: None,
        }
    }

    pub(crate) fn at_bound(max_spares: usize) -> Self {
        Self {
            tasks: Vec::new(),
            at_bound: Some(max_spares),
        }
    }

    /// The tasks of the circle, each waiting for the next and the last for the first; empty when the pool ran out of
    /// threads.
    pub fn tasks(&self) -> impl Iterator<Item = (TaskId, Option<&str>)> {
        self.tasks
            .iter()
            .map(|(id, name, _)| (*id, name.as_deref()))
    }
}

impl fmt::Display for Deadlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(bound) = self.at_bound {
            return write!(
                f,
                "waiting would deadlock: every thread of the pool waits already, and no spare can start (max_spares is {bound})"
            );
        }
        f.write_str("waiting would deadlock:")?;
        for (n, (id, name, site)) in self.tasks.iter().enumerate() {
            f.write_str(if n == 0 {
                " task "
            } else {
                ", which waits for task "
            })?;
            write!(f, "{id}")?;
            if let Some(name) = name {
                write!(f, " `{name}`")?;
            }
            write!(f, " (submitted at {site})")?;
        }
        match self.tasks.len() {
            1 => f.write_str(" waits for itself"),
            _ => f.write_str(", which waits for the first"),
        }
    }
}

impl Error for Deadlock {}

/// The task that runs here was asked to stop, and why.
///
/// ```
/// fn copy_all() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
///     loop {
///         millhand::check()?; // leaves when the task is cancelled
///         # return Ok(());
///     }
/// }
/// # copy_all().unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    reason: CancelReason,
}

impl Stopped {
    pub(crate) fn new(reason: CancelReason) -> Self {
        Self { reason }
    }

    /// Who or what stopped it.
    pub fn reason(&self) -> CancelReason {
        self.reason
    }
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stopped: {}", self.reason)
    }
}

impl Error for Stopped {}

/// Why a pool could not be built.
///
/// ```
/// use millhand::{BuildError, ThreadPool};
///
/// let error = ThreadPool::new(0).unwrap_err();
/// assert!(matches!(error, BuildError::Invalid { option: "workers", .. }));
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// An option makes no sense; the text says what is allowed.
    Invalid {
        /// The option's name on the builder.
        option: &'static str,
        /// What it may be.
        allowed: &'static str,
    },
    /// The OS refused every thread.
    Spawn(std::io::Error),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid { option, allowed } => {
                write!(
                    f,
                    "the pool's `{option}` is not allowed: it must be {allowed}"
                )
            }
            Self::Spawn(_) => f.write_str("the system refused to start even one worker thread"),
        }
    }
}

impl Error for BuildError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Invalid { .. } => None,
            Self::Spawn(error) => Some(error),
        }
    }
}

/// Why a pool cannot be waited for here.
///
/// ```
/// use millhand::{PoolError, ThreadPool};
/// use std::sync::Arc;
///
/// let pool = Arc::new(ThreadPool::new(1)?);
/// let inside = pool.clone();
/// let answer = pool.submit(move || inside.wait_idle()).join().unwrap();
/// assert_eq!(answer, Err(PoolError::InsideTask));
/// # Ok::<(), millhand::BuildError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PoolError {
    /// The call came from one of the pool's own tasks, or from what its shutdown drops or calls: it would wait for itself.
    InsideTask,
    /// The pool belongs to the process that this one was forked from.
    Forked,
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InsideTask => {
                "a pool cannot be waited for or shut down from one of its own tasks, which would wait for itself"
            }
            Self::Forked => "the pool belongs to the process that this one was forked from: build a pool in the child",
        })
    }
}

impl Error for PoolError {}
