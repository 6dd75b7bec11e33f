//! The task that runs on this thread, with its worker and its pool.

use crate::cancel::CancelToken;
use crate::clock::earlier;
use crate::id::TaskId;
use crate::pool::pool::PoolHandle;
use crate::pool::worker::{self, Worker};
use crate::task::TaskRef;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Returns the task whose body runs on this thread, or `None` outside of a task.
///
/// ```
/// let pool = millhand::ThreadPool::new(1)?;
/// let handle = pool.task().name("index").submit(|| {
///     let me = millhand::current().expect("inside a task");
///     (me.id(), me.name().map(String::from))
/// });
/// let id = handle.id();
/// assert_eq!(handle.join().unwrap(), (id, Some("index".to_owned())));
/// assert!(millhand::current().is_none());
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
///
/// Guide: [first steps](crate::guide::first_steps).
pub fn current() -> Option<Current> {
    let worker = worker::here()?;
    let task = worker.state.stack.top()?;
    let name = task.head.name();
    Some(Current { worker, task, name })
}

/// Returns the number of the attempt that runs on this thread, from 1. Outside of a task it is 1.
///
/// ```
/// use millhand::Retry;
/// use std::time::Duration;
///
/// let pool = millhand::ThreadPool::new(1)?;
/// let flaky = pool.task().retry(Retry::fixed(5, Duration::ZERO)).submit(|| {
///     let attempt = millhand::attempt();
///     if attempt < 3 { Err("not yet") } else { Ok(attempt) }
/// });
/// assert_eq!(flaky.join().unwrap(), Ok(3));
/// assert_eq!(millhand::attempt(), 1);
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
///
/// ```
/// use millhand::{Retry, current};
/// use std::time::Duration;
///
/// let pool = millhand::ThreadPool::new(1)?;
/// let retried = pool.task().retry(Retry::fixed(2, Duration::ZERO));
/// let last = retried.submit(|| match current().unwrap().attempt() {
///     3 => Ok("the third"),
///     _ => Err("again"),
/// });
/// assert_eq!(last.join_ok()?, "the third");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Guide: [first steps](crate::guide::first_steps).
pub fn attempt() -> u32 {
    let task = worker::here().and_then(|worker| worker.state.stack.top());
    task.map_or(1, |task| task.attempt())
}

/// Describes the task that runs on this thread. Returned by [`current`].
///
/// ```
/// let pool = millhand::ThreadPool::new(1)?;
/// let handle = pool.submit(|| {
///     let me: millhand::pool::Current = millhand::current().unwrap();
///     me.worker()
/// });
/// assert_eq!(handle.join().unwrap(), 0);
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
///
/// Guide: [first steps](crate::guide::first_steps).
pub struct Current {
    worker: Arc<Worker>,
    task: TaskRef,
    name: Option<Arc<str>>,
}

impl Current {
    /// Returns the task's id.
    ///
    /// ```
    /// # let pool = millhand::ThreadPool::new(1)?;
    /// let handle = pool.submit(|| millhand::current().unwrap().id());
    /// let id = handle.id();
    /// assert_eq!(handle.join().unwrap(), id);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn id(&self) -> TaskId {
        self.task.head.id()
    }

    /// Returns the task's name, if it has one.
    ///
    /// ```
    /// # let pool = millhand::ThreadPool::new(1)?;
    /// let task = pool.task().name("index");
    /// let name = task.submit(|| millhand::current().unwrap().name().map(String::from));
    /// assert_eq!(name.join().unwrap().as_deref(), Some("index"));
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Returns the index of the worker that runs the task. It is below the pool's number of
    /// workers, unless a spare runs the task.
    ///
    /// ```
    /// # let pool = millhand::ThreadPool::new(2)?;
    /// let worker = pool.submit(|| millhand::current().unwrap().worker()).join().unwrap();
    /// assert!(worker < 2);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn worker(&self) -> usize {
        self.worker.state.stack.index
    }

    /// Returns the task's token, which the handle's `cancel` sets. Pass it, or a child of it, to
    /// what the body starts, so that it stops with the task.
    ///
    /// ```
    /// # let pool = millhand::ThreadPool::new(1)?;
    /// let child = pool.submit(|| millhand::current().unwrap().token().child());
    /// assert!(!child.join().unwrap().is_cancelled());
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn token(&self) -> CancelToken {
        self.task.attempt_token()
    }

    /// Returns the number of this attempt, from 1, as [`attempt`] does.
    pub fn attempt(&self) -> u32 {
        self.task.attempt()
    }

    /// Returns the time that is left to the task, to be passed to a socket or a child process.
    ///
    /// The earliest of four limits counts: the time limit of the task's token, its
    /// `attempt_timeout`, its `total_timeout` and its `deadline`. Zero once it has passed; `None`
    /// if there is none. If the body hands it on, its own time-out and that of the task come at the
    /// same time: the outcome may be the body's error or
    /// [`TaskError::TimedOut`](crate::TaskError::TimedOut).
    ///
    /// ```
    /// use millhand::{CancelToken, ThreadPool};
    /// use std::time::Duration;
    ///
    /// let pool = ThreadPool::new(1)?;
    /// let token = CancelToken::with_timeout(Duration::from_secs(30));
    /// let task = pool.task().token(&token);
    /// let left = task.submit(|| millhand::current().unwrap().remaining()).join().unwrap();
    /// assert!(left.unwrap() <= Duration::from_secs(30));
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn remaining(&self) -> Option<Duration> {
        earlier(self.task.time_left(), self.token().remaining())
    }

    /// Says how far the task has come, for [`tasks`](crate::Pool::tasks) and what shows it: what is
    /// done, and how much there is in all, in any unit.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let import = pool.task().name("import").submit(|| {
    ///     let task = millhand::current().unwrap();
    ///     for n in 1..=3 {
    ///         task.set_progress(n, 3);
    ///     }
    ///     task.pool().find(task.id()).unwrap().progress
    /// });
    /// assert_eq!(import.join().unwrap(), Some((3, 3)));
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn set_progress(&self, done: u64, total: u64) {
        self.task
            .head
            .listen(|extras, _| extras.notes().reported = Some((done, total)));
    }

    /// Returns the pool that runs this task. A task that submits to it never waits for a place in a
    /// full queue.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let handle = pool.submit(|| {
    ///     let part = millhand::current().unwrap().pool().submit(|| 20);
    ///     part.join().unwrap() + 1
    /// });
    /// assert_eq!(handle.join().unwrap(), 21);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn pool(&self) -> PoolHandle {
        PoolHandle::new(self.worker.core.clone())
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Current")
            .field("id", &self.id())
            .field("name", &self.name)
            .field("worker", &self.worker())
            .finish_non_exhaustive()
    }
}
