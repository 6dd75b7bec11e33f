//! The errors of tasks, of waits for them, and of submissions.
//!
//! [`guide::errors`](crate::guide::errors) says what counts as a failure, and where it goes.
//
// Ground layer. An error that refuses a closure carries it back to the caller. The texts are
// lower-case, without a full stop, and name what is allowed.

use crate::id::TaskId;
pub use crate::invalid_task::InvalidTask;
pub(crate) use crate::invalid_task::Mistake;
pub use crate::panic::TaskPanic;
use crate::reason::CancelReason;
pub use crate::reason::WaitedFor;
use parking_lot::Mutex;
use std::error::Error;
use std::fmt;
use std::io;
use std::panic::Location;
use std::sync::Arc;

/// Any error, for a group whose bodies fail with several types: what a [`GatherScope`] and a
/// [`Pipeline`] collect. A text becomes one by `into()`.
///
/// [`GatherScope`]: crate::compose::GatherScope
/// [`Pipeline`]: crate::compose::Pipeline
///
/// ```
/// use millhand::ThreadPool;
/// use millhand::error::BoxError;
///
/// let pool = ThreadPool::new(1)?;
/// let body = || -> Result<u8, BoxError> { Ok("7".parse()?) };
/// assert_eq!(pool.submit(body).join_ok().unwrap(), 7);
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
///
/// Guide: [errors](crate::guide::errors).
pub type BoxError = Box<dyn Error + Send + Sync>;

/// The error of a join: match on it to decide whether to retry, report or ignore a task that has
/// no value. At most 16 bytes, `Send + Sync`.
///
/// ```
/// use millhand::cancel::CancelReason;
/// use millhand::{TaskError, promise};
///
/// let (promise, handle) = promise::<u32>();
/// drop(promise);
/// assert!(matches!(handle.join(), Err(TaskError::Cancelled(CancelReason::Dropped))));
/// ```
///
/// Guide: [errors](crate::guide::errors).
#[derive(Debug)]
#[non_exhaustive]
pub enum TaskError {
    /// The body panicked. The box has the message, the payload and the task's name.
    Panicked(Box<TaskPanic>),
    /// The task was cancelled before it ran, or its body left at a checkpoint after the cancel.
    Cancelled(CancelReason),
    /// The task did not start in time, by its [`expires`](crate::TaskBuilder::expires), its
    /// [`deadline`](crate::TaskBuilder::deadline) or the deadline of its token.
    Expired(WaitedFor),
    /// A time limit passed after the task had started: its
    /// [total](crate::TaskBuilder::total_timeout) one, that of an
    /// [attempt](crate::TaskBuilder::attempt_timeout) which had no value by then, its
    /// [`deadline`](crate::TaskBuilder::deadline) or that of its token.
    TimedOut,
    /// The pool refused the task.
    Rejected(Rejection),
    /// The wait for the task could never end.
    WouldDeadlock(Box<Deadlock>),
    /// The wait for the task ended, and the task did not: the task that waited was asked to stop,
    /// or the scope whose closure waited was cancelled.
    Interrupted(Stopped),
    /// The pool was built in the process that this one was forked from. Its workers run there.
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

    /// Whether the body panicked.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let broken = pool.submit(|| -> u32 { panic!("no digits") });
    /// assert!(broken.join().unwrap_err().is_panic());
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn is_panic(&self) -> bool {
        matches!(self, Self::Panicked(_))
    }

    /// Whether the task was cancelled. The end of a wait alone
    /// ([`Interrupted`](Self::Interrupted)) is none, nor is a time limit.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let handle = pool.task().delay(std::time::Duration::MAX).submit(|| 7);
    /// handle.cancel();
    /// assert!(handle.join().unwrap_err().is_cancelled());
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled(_))
    }

    /// Whether a time limit of the task passed: it did not start or did not end in time.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let limit = std::time::Duration::from_millis(1);
    /// let handle = pool.task().attempt_timeout(limit).submit(|| loop { millhand::checkpoint() });
    /// assert!(matches!(handle.join(), Err::<(), _>(error) if error.is_timeout()));
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Expired(_) | Self::TimedOut)
    }

    /// Whether the pool refused the task.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let handle = pool.task().expires(std::time::Duration::ZERO).submit(|| 7);
    /// assert!(handle.join().unwrap_err().is_rejected());
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn is_rejected(&self) -> bool {
        matches!(self, Self::Rejected(_))
    }

    /// Takes the panic out, for example to [resume](TaskPanic::resume) it.
    ///
    /// # Errors
    /// The error itself, if it is no panic.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let broken = pool.submit(|| -> u32 { panic!("no digits") });
    /// let panic = broken.join().unwrap_err().into_panic().unwrap();
    /// assert_eq!(panic.message(), "no digits");
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn into_panic(self) -> Result<TaskPanic, Self> {
        match self {
            Self::Panicked(panic) => Ok(*panic),
            other => Err(other),
        }
    }

    /// A copy for one more reader. Of a panic it has the message alone: a payload has one reader.
    pub(crate) fn copy(&self) -> Self {
        match self {
            Self::Panicked(panic) => Self::Panicked(Box::new(panic.copy())),
            Self::Cancelled(reason) => Self::Cancelled(*reason),
            Self::Expired(waited) => Self::Expired(*waited),
            Self::TimedOut => Self::TimedOut,
            Self::Rejected(rejection) => Self::Rejected(*rejection),
            Self::WouldDeadlock(deadlock) => Self::WouldDeadlock(deadlock.clone()),
            Self::Interrupted(stopped) => Self::Interrupted(*stopped),
            Self::Forked => Self::Forked,
        }
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked(panic) => fmt::Display::fmt(panic, f),
            Self::Cancelled(reason) => write!(f, "task cancelled: {reason}"),
            Self::Expired(waited) => {
                write!(f, "task expired before it started: it waited for {waited}")
            }
            Self::TimedOut => f.write_str("task timed out"),
            Self::Rejected(rejection) => write!(f, "task rejected: {rejection}"),
            Self::WouldDeadlock(deadlock) => fmt::Display::fmt(deadlock, f),
            Self::Interrupted(stopped) => {
                write!(f, "the wait for the task ended before the task did: {stopped}")
            }
            Self::Forked => f.write_str(
                "the task's pool belongs to the process that this one was forked from: build a pool in the child",
            ),
        }
    }
}

impl Error for TaskError {}

/// The reason why a pool refused a task: match on it to distinguish a full queue from a closed
/// pool.
///
/// ```
/// use millhand::error::Rejection;
/// use millhand::{Shutdown, ThreadPool};
///
/// let pool = ThreadPool::new(1)?;
/// pool.shutdown(Shutdown::drain())?;
/// let refused = pool.try_execute(|| ()).unwrap_err();
/// assert_eq!(refused.reason(), Rejection::Closed);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Guide: [errors](crate::guide::errors).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rejection {
    /// The pool is shutting down or has shut down.
    Closed,
    /// The queue is at its capacity. With a timeout: it stayed there until the timeout passed.
    Full,
    /// The queue is at its capacity, and the task that waited for a place was asked to stop.
    Interrupted,
    /// The pool belongs to the process that this one was forked from.
    Forked,
    /// A thread that is no worker continued a promise, which belongs to no pool. Name the pool with
    /// [`submit_after`](crate::TaskBuilder::submit_after).
    NoPool,
    /// The task's options contradict each other, or one of them is out of range.
    Invalid(InvalidTask),
}

impl From<Mistake> for Rejection {
    fn from(mistake: Mistake) -> Self {
        Self::Invalid(mistake.into())
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "the pool is closed",
            Self::Full => "the queue is full",
            Self::Interrupted => {
                "the queue is full, and the task that waited for a place was asked to stop"
            }
            Self::Forked => "the pool belongs to the process that this one was forked from",
            Self::NoPool => {
                "a promise has no pool that could continue it: name one with `pool.task().submit_after`"
            }
            Self::Invalid(invalid) => return fmt::Display::fmt(invalid, f),
        })
    }
}

/// The error of a refused submission: it returns the closure, so that the caller can run it or try
/// again.
///
/// ```
/// use millhand::error::Rejection;
/// use millhand::{Shutdown, ThreadPool};
///
/// let pool = ThreadPool::new(1)?;
/// pool.shutdown(Shutdown::drain())?;
/// let refused = pool.try_submit(|| 6 * 7).unwrap_err();
/// assert_eq!(refused.reason(), Rejection::Closed);
/// assert_eq!(refused.into_inner()(), 42); // run it here, then
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Guide: [errors](crate::guide::errors).
pub struct SubmitError<F> {
    reason: Rejection,
    // The mutex makes the error `Sync`, since a closure need only be `Send`.
    closure: Mutex<F>,
}

impl<F> SubmitError<F> {
    #[inline(always)] // Even without optimisation: a function less per closure.
    pub(crate) fn new(reason: Rejection, closure: F) -> Self {
        Self {
            reason,
            closure: Mutex::new(closure),
        }
    }

    /// Returns why the pool refused the closure.
    ///
    /// ```
    /// use millhand::error::Rejection;
    /// use millhand::{Shutdown, ThreadPool};
    ///
    /// let pool = ThreadPool::new(1)?;
    /// pool.shutdown(Shutdown::drain())?;
    /// assert_eq!(pool.try_execute(|| ()).unwrap_err().reason(), Rejection::Closed);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn reason(&self) -> Rejection {
        self.reason
    }

    /// Returns the closure that was refused.
    ///
    /// ```
    /// use millhand::{Shutdown, ThreadPool};
    ///
    /// let pool = ThreadPool::new(1)?;
    /// pool.shutdown(Shutdown::drain())?;
    /// let refused = pool.try_submit(|| 7).unwrap_err();
    /// assert_eq!(refused.into_inner()(), 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn into_inner(self) -> F {
        self.closure.into_inner()
    }
}

impl<F> fmt::Debug for SubmitError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reason, closure: _ } = self;
        debug_refusal(*reason, f)
    }
}

/// Not in the method above, which is compiled for each closure type.
fn debug_refusal(reason: Rejection, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.debug_struct("SubmitError")
        .field("reason", &reason)
        .finish_non_exhaustive()
}

impl<F> fmt::Display for SubmitError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task not submitted: {}", self.reason)
    }
}

impl<F> Error for SubmitError<F> {}

/// The error of a [`join_ok`](crate::TaskHandle::join_ok): match on it to distinguish the body's
/// own error from a task without an outcome.
///
/// ```
/// use millhand::{JoinError, promise};
///
/// let (promise, handle) = promise::<Result<u32, String>>();
/// promise.complete(Err("no disk".to_owned())).unwrap();
/// assert!(matches!(handle.join_ok(), Err(JoinError::Failed(why)) if why == "no disk"));
/// ```
///
/// Guide: [errors](crate::guide::errors).
#[derive(Debug)]
pub enum JoinError<E> {
    /// The body returned this error.
    Failed(E),
    /// The task has no outcome of its body: it panicked, was cancelled, timed out or never ran.
    Task(TaskError),
}

/// The value of a body that returned `Ok`. A failure of either kind becomes one error.
#[inline(always)] // Even without optimisation: a function less per type of value.
pub(crate) fn ok_value<T, E>(outcome: Result<Result<T, E>, TaskError>) -> Result<T, JoinError<E>> {
    match outcome {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(JoinError::Failed(error)),
        Err(error) => Err(JoinError::Task(error)),
    }
}

impl<E> JoinError<E> {
    /// Returns the body's own error.
    ///
    /// # Errors
    /// The task's error, if the body has returned none.
    ///
    /// ```
    /// use millhand::{TaskError, ThreadPool};
    ///
    /// /// The number in the text; 0 if it is none.
    /// fn parse(pool: &ThreadPool, text: &'static str) -> Result<u8, TaskError> {
    ///     let parsed = pool.submit(|| text.parse::<u8>()).join_ok();
    ///     parsed.or_else(|error| error.into_failed().map(|_| 0))
    /// }
    ///
    /// let pool = ThreadPool::new(1)?;
    /// assert_eq!((parse(&pool, "7")?, parse(&pool, "seven")?), (7, 0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn into_failed(self) -> Result<E, TaskError> {
        match self {
            Self::Failed(error) => Ok(error),
            Self::Task(error) => Err(error),
        }
    }

    /// Returns what to print where the text names the work already: the body's error alone, or the
    /// task's. `Display` puts "task failed" before the former.
    ///
    /// ```
    /// use millhand::JoinError;
    ///
    /// let error = JoinError::Failed("no such file");
    /// assert_eq!(error.to_string(), "task failed: no such file");
    /// assert_eq!(format!("notes.txt: {}", error.cause()), "notes.txt: no such file");
    /// ```
    pub fn cause(&self) -> &dyn fmt::Display
    where
        E: fmt::Display,
    {
        match self {
            Self::Failed(error) => error,
            Self::Task(error) => error,
        }
    }
}

impl<E: fmt::Display> fmt::Display for JoinError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => write!(f, "task failed: {error:#}"),
            Self::Task(error) => fmt::Display::fmt(error, f),
        }
    }
}

/// For any `E` that can be printed, also one that is no [`Error`] itself: a text, a box, or an
/// error of the crate `anyhow`. The text has the cause, in its alternate form (`{:#}`), in which
/// such errors print the causes of the cause. So the cause is not a source as well.
impl<E: fmt::Debug + fmt::Display> Error for JoinError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Failed(_) => None,
            Self::Task(error) => error.source(),
        }
    }
}

/// See [`Stopped`] for the kind of a task's error. A body's own error stays as it is.
impl From<JoinError<io::Error>> for io::Error {
    fn from(error: JoinError<io::Error>) -> Self {
        error.into_failed().unwrap_or_else(Self::from)
    }
}

/// The tasks of a wait that could never end: print it to see which task waits for which.
///
/// Either each task waits for the next one in a circle, or every thread that the pool may have is
/// waiting already.
///
/// ```
/// use millhand::{SharedHandle, TaskError, ThreadPool};
///
/// let pool = ThreadPool::new(1)?;
/// let (sender, receiver) = std::sync::mpsc::channel::<SharedHandle<usize>>();
/// let own = pool.submit(move || match receiver.recv().unwrap().join() {
///     Err(TaskError::WouldDeadlock(circle)) => circle.tasks().count(),
///     _ => 0,
/// });
/// let own = own.share();
/// sender.send(own.clone()).unwrap();
/// assert_eq!(*own.join().as_ref().unwrap(), 1); // a circle of one: the task waited for itself
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
///
/// Guide: [errors](crate::guide::errors).
#[derive(Clone, Debug)]
pub struct Deadlock {
    /// The circle.
    tasks: Vec<Stuck>,
}

/// A task of the circle: its id, its name, and where it was submitted.
pub(crate) type Stuck = (TaskId, Option<Arc<str>>, &'static Location<'static>);

impl Deadlock {
    pub(crate) fn circle(tasks: Vec<Stuck>) -> Self {
        Self { tasks }
    }

    /// Returns the tasks of the circle. Each waits for the next, and the last one for the first.
    ///
    /// ```
    /// use millhand::error::Deadlock;
    ///
    /// fn names(circle: &Deadlock) -> Vec<Option<&str>> {
    ///     circle.tasks().map(|(_, name)| name).collect()
    /// }
    /// ```
    pub fn tasks(&self) -> impl Iterator<Item = (TaskId, Option<&str>)> {
        self.tasks
            .iter()
            .map(|(id, name, _)| (*id, name.as_deref()))
    }
}

impl fmt::Display for Deadlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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

/// The error of [`check`](crate::check): return it with `?` to leave a body that was asked to stop.
///
/// It becomes an [`io::Error`] where a body returns such errors. So do [`TaskError`] and
/// [`AcquireError`](crate::limit::AcquireError). The kind is [`TimedOut`](io::ErrorKind::TimedOut)
/// if a time limit passed, and else [`Other`](io::ErrorKind::Other). It is never `Interrupted`, for
/// which [`io::copy`] and others of std try again without end. [`io::Error::get_ref`] has the
/// cause.
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
///
/// Guide: [cancelling](crate::guide::cancelling).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    reason: CancelReason,
}

impl Stopped {
    pub(crate) fn new(reason: CancelReason) -> Self {
        Self { reason }
    }

    /// Returns why the task was asked to stop.
    ///
    /// ```
    /// use millhand::cancel::CancelReason;
    /// use millhand::{CancelToken, ThreadPool, check};
    ///
    /// let pool = ThreadPool::new(1)?;
    /// let token = CancelToken::new();
    /// let body = || loop {
    ///     if let Err(stopped) = check() {
    ///         return stopped.reason();
    ///     }
    /// };
    /// let handle = pool.task().token(&token).submit(body);
    /// # while handle.state() == millhand::task::TaskState::Queued { std::thread::yield_now(); }
    /// token.cancel();
    /// assert_eq!(handle.join().unwrap(), CancelReason::User);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
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

/// Never the kind that std retries for ever.
pub(crate) fn io_kind_if(is_timeout: bool) -> io::ErrorKind {
    match is_timeout {
        true => io::ErrorKind::TimedOut,
        false => io::ErrorKind::Other,
    }
}

pub(crate) fn io_kind(error: &TaskError) -> io::ErrorKind {
    io_kind_if(match error {
        // The time of the task that waited.
        TaskError::Interrupted(stopped) => stopped.reason == CancelReason::Deadline,
        error => error.is_timeout(),
    })
}

/// See [`Stopped`] for the kind.
impl From<Stopped> for io::Error {
    fn from(stopped: Stopped) -> Self {
        Self::new(
            io_kind_if(stopped.reason == CancelReason::Deadline),
            stopped,
        )
    }
}

/// See [`Stopped`] for the kind.
impl From<TaskError> for io::Error {
    fn from(error: TaskError) -> Self {
        Self::new(io_kind(&error), error)
    }
}
