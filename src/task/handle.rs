//! What the submitter holds: the way to a task's outcome.
//!
//! Layer 2.

use crate::aftermath::Outcome;
use crate::cancel::CancelToken;
use crate::error::{JoinError, TaskError};
use crate::event::Summary;
use crate::extras;
use crate::here;
use crate::id::TaskId;
use crate::panic;
use crate::reason::CancelReason;
use crate::sim;
use crate::task::any::{AnyTask, CancelOutcome, Joinable, TaskRef, TaskState};
use crate::task::cell::discard_outcome;
use crate::task::context;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// The handle of a task: waits for it, takes its outcome, cancels it.
///
/// The outcome is `Result<T, TaskError>`: what the body returned, or why there is nothing. Dropping the handle lets
/// the task run on by itself; [`cancel_on_drop`](Self::cancel_on_drop) asks otherwise.
///
/// **Waiting on a worker.** A body may wait for other tasks: it gives up its seat meanwhile, and an untimed wait for a
/// task that is still queued in the same pool runs that task right there. A wait that could never end is answered with
/// [`TaskError::WouldDeadlock`].
///
/// A handle is a [`Future`] too, for code that has an executor of its own; millhand brings none.
///
/// ```
/// let pool = millhand::ThreadPool::new(2)?;
/// let handle = pool.submit(|| 6 * 7);
/// assert_eq!(handle.join().unwrap(), 42);
/// # Ok::<(), millhand::BuildError>(())
/// ```
#[must_use = "dropping the handle lets the task run on unobserved: `execute` says so"]
pub struct TaskHandle<T> {
    /// `None` only inside the calls that consume the handle.
    task: Option<Arc<dyn Joinable<T>>>,
    cancel_on_drop: bool,
}

/// What all handles of a task can do without its outcome.
macro_rules! face {
    () => {
        /// The task's id.
        ///
        /// ```
        /// # let pool = millhand::ThreadPool::new(1)?;
        /// let handle = pool.submit(|| millhand::current().unwrap().id());
        /// let id = handle.id();
        /// assert_eq!(handle.join().unwrap(), id);
        /// # Ok::<(), millhand::BuildError>(())
        /// ```
        pub fn id(&self) -> TaskId {
            self.task().id()
        }

        /// The task's name, if it was given one.
        ///
        /// ```
        /// # let pool = millhand::ThreadPool::new(1)?;
        /// let handle = pool.task().name("index").submit(|| 1);
        /// assert_eq!(handle.name().as_deref(), Some("index"));
        /// # Ok::<(), millhand::BuildError>(())
        /// ```
        pub fn name(&self) -> Option<Arc<str>> {
            self.task().name()
        }

        /// Where the task was submitted.
        ///
        /// ```
        /// let pool = millhand::ThreadPool::new(1)?;
        /// let handle = pool.submit(|| ());
        /// assert!(handle.site().line() > 0);
        /// # Ok::<(), millhand::BuildError>(())
        /// ```
        pub fn site(&self) -> &'static std::panic::Location<'static> {
            self.task().site()
        }

        /// Where the task is now.
        ///
        /// ```
        /// # let pool = millhand::ThreadPool::new(1)?;
        /// let handle = pool.submit(|| 1);
        /// handle.wait().unwrap();
        /// assert_eq!(handle.state(), millhand::TaskState::Finished);
        /// # Ok::<(), millhand::BuildError>(())
        /// ```
        pub fn state(&self) -> TaskState {
            self.task().state()
        }

        /// Whether the outcome is there: a join would not wait.
        ///
        /// ```
        /// let (promise, handle) = millhand::promise();
        /// assert!(!handle.is_finished());
        /// promise.complete(1).unwrap();
        /// assert!(handle.is_finished());
        /// ```
        pub fn is_finished(&self) -> bool {
            self.state() == TaskState::Finished
        }

        /// The authority to cancel this task, apart from its result; made at first use. Cancelling the token cancels
        /// the task.
        ///
        /// ```
        /// # let pool = millhand::ThreadPool::new(1)?;
        /// let handle = pool.submit(|| while !millhand::is_cancelled() { std::hint::spin_loop() });
        /// handle.token().cancel(millhand::CancelReason::User);
        /// handle.wait().unwrap();
        /// assert!(handle.is_finished());
        /// # Ok::<(), millhand::BuildError>(())
        /// ```
        pub fn token(&self) -> CancelToken {
            self.task().clone().token()
        }

        /// Cancels the task with [`CancelReason::User`], and says what that did. Never waits.
        ///
        /// A queued task is settled here and now, and its closure is dropped on this thread. A running one is asked to
        /// stop, and what its body returns stands.
        ///
        /// ```
        /// # let pool = millhand::ThreadPool::new(1)?;
        /// let (tell, told) = std::sync::mpsc::channel();
        /// let handle = pool.submit(move || {
        ///     tell.send(()).unwrap();
        ///     while !millhand::is_cancelled() { std::hint::spin_loop() }
        /// });
        /// told.recv()?; // it runs
        /// assert_eq!(handle.cancel(), millhand::CancelOutcome::Requested);
        /// assert!(handle.join().is_ok());
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        pub fn cancel(&self) -> CancelOutcome {
            self.task().cancel(CancelReason::User)
        }

        /// Waits until the outcome is there.
        ///
        /// # Errors
        /// [`TaskError::WouldDeadlock`] for a wait that could never end, [`TaskError::Forked`] in a forked child; never
        /// the task's own error.
        ///
        /// ```
        /// # let pool = millhand::ThreadPool::new(1)?;
        /// let handle = pool.submit(|| 1);
        /// handle.wait().unwrap();
        /// assert!(handle.is_finished());
        /// # Ok::<(), millhand::BuildError>(())
        /// ```
        pub fn wait(&self) -> Result<(), TaskError> {
            wait_for(self.task(), None).map(drop)
        }

        /// Waits until the outcome is there, `timeout` long at most (one that overflows the clock means for ever), and
        /// says whether it is.
        ///
        /// # Errors
        /// As [`wait`](Self::wait).
        ///
        /// ```
        /// # use std::time::Duration;
        /// let (promise, handle) = millhand::promise();
        /// assert!(!handle.wait_timeout(Duration::from_millis(1)).unwrap());
        /// promise.complete(1).unwrap();
        /// assert!(handle.wait_timeout(Duration::from_secs(60)).unwrap());
        /// ```
        pub fn wait_timeout(&self, timeout: Duration) -> Result<bool, TaskError> {
            wait_for(self.task(), deadline(self.task(), timeout))
        }
    };
}
pub(crate) use face;

impl<T> TaskHandle<T> {
    pub(crate) fn new(task: Arc<dyn Joinable<T>>) -> Self {
        Self {
            task: Some(task),
            cancel_on_drop: false,
        }
    }

    fn task(&self) -> &Arc<dyn Joinable<T>> {
        self.task.as_ref().expect("only consuming calls take it")
    }

    /// For the calls that consume the handle: what is taken here its drop no longer lets go.
    fn take_task(&mut self) -> Arc<dyn Joinable<T>> {
        self.task.take().expect("only consuming calls take it")
    }

    face!();

    /// Waits for the outcome and takes it.
    ///
    /// # Errors
    /// The task's own: it panicked, was cancelled, was not taken. Or the wait's: [`TaskError::WouldDeadlock`] for one
    /// that could never end, [`TaskError::Forked`] in a forked child; the task then runs on by itself.
    ///
    /// # Panics
    /// When the outcome was taken before, by polling the handle as a future.
    ///
    /// ```
    /// use millhand::TaskError;
    ///
    /// let pool = millhand::ThreadPool::new(1)?;
    /// assert_eq!(pool.submit(|| 6 * 7).join().unwrap(), 42);
    /// let broken = pool.submit(|| panic!("no"));
    /// assert!(matches!(broken.join(), Err::<(), _>(TaskError::Panicked(_))));
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn join(mut self) -> Result<T, TaskError> {
        let task = self.take_task();
        match wait_for(&task, None) {
            Ok(_) => take(&*task),
            Err(error) => {
                self.task = Some(task); // for the drop
                Err(error)
            }
        }
    }

    /// Takes the outcome if it is there. Never waits.
    ///
    /// # Errors
    /// The handle, when the task has not finished.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let mut handle = pool.submit(|| 1);
    /// let outcome = loop {
    ///     match handle.try_join() {
    ///         Ok(outcome) => break outcome,
    ///         Err(unfinished) => handle = unfinished,
    ///     }
    /// };
    /// assert_eq!(outcome.unwrap(), 1);
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn try_join(mut self) -> Result<Result<T, TaskError>, Self> {
        match self.task().take() {
            Some(outcome) => {
                self.task = None;
                Ok(outcome)
            }
            None => Err(self),
        }
    }

    /// Waits for the outcome, `timeout` long at most (counted from the call; one that overflows the clock means for
    /// ever), and takes it.
    ///
    /// # Errors
    /// The handle, when the task has not finished in time. Other errors are inside, as [`join`](Self::join) has them.
    ///
    /// # Panics
    /// As [`join`](Self::join).
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let (promise, handle) = millhand::promise();
    /// let handle = handle.join_timeout(Duration::from_millis(1)).unwrap_err();
    /// promise.complete(5).unwrap();
    /// assert_eq!(handle.join_timeout(Duration::from_secs(60)).unwrap().unwrap(), 5);
    /// ```
    pub fn join_timeout(mut self, timeout: Duration) -> Result<Result<T, TaskError>, Self> {
        let task = self.take_task();
        let outcome = match wait_for(&task, deadline(&task, timeout)) {
            Ok(true) => return Ok(take(&*task)),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        };
        self.task = Some(task);
        outcome.ok_or(self)
    }

    /// From now on dropping the handle cancels the task, with [`CancelReason::Dropped`].
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let handle = pool.submit(|| millhand::sleep(std::time::Duration::from_secs(3600))).cancel_on_drop();
    /// drop(handle); // and the pool, dropped next, need not wait for an hour
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn cancel_on_drop(mut self) -> Self {
        self.cancel_on_drop = true;
        self
    }

    /// Calls `callback` with a [`Summary`] once the task has finished: on the thread that ran or cancelled it, or
    /// here and now if it has finished already. It should be short, since a worker waits for it; a panic in it is
    /// logged.
    ///
    /// The callback stays when the handle or what is returned here is dropped; [`OnFinish::remove`] takes it out.
    ///
    /// ```
    /// use millhand::OutcomeKind;
    ///
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let (tell, told) = std::sync::mpsc::channel();
    /// let handle = pool.submit(|| 1);
    /// handle.on_finish(move |summary| tell.send(summary.outcome).unwrap());
    /// assert_eq!(told.recv()?, OutcomeKind::Completed);
    /// # drop(handle);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_finish(&self, callback: impl FnOnce(&Summary) + Send + 'static) -> OnFinish
    where
        T: 'static,
    {
        match self.task().on_finish(extras::callback(callback)) {
            Ok(key) => {
                let task = self.task().clone().as_any_task();
                OnFinish {
                    place: Some((Arc::downgrade(&task), key)),
                }
            }
            Err((callback, summary)) => {
                panic::shield("an on_finish callback", || callback(&summary));
                OnFinish { place: None }
            }
        }
    }

    pub(crate) fn as_task(&self) -> TaskRef {
        self.task().clone().as_any_task()
    }

    /// The task, and whether dropping what holds it cancels it.
    pub(crate) fn into_parts(mut self) -> (Arc<dyn Joinable<T>>, bool) {
        (self.take_task(), self.cancel_on_drop)
    }
}

impl<T, E> TaskHandle<Result<T, E>> {
    /// Waits for the outcome of a body that returns a `Result`, with both kinds of failure in one error.
    ///
    /// # Errors
    /// [`JoinError::Failed`] with the body's error, [`JoinError::Task`] with the task's.
    ///
    /// ```
    /// use millhand::JoinError;
    ///
    /// let pool = millhand::ThreadPool::new(1)?;
    /// assert_eq!(pool.submit(|| "12".parse::<u8>()).join_ok().unwrap(), 12);
    /// assert!(matches!(pool.submit(|| "1200".parse::<u8>()).join_ok(), Err(JoinError::Failed(_))));
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn join_ok(self) -> Result<T, JoinError<E>> {
        match self.join() {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(JoinError::Failed(error)),
            Err(error) => Err(JoinError::Task(error)),
        }
    }
}

/// Waits for a task, or runs it here if it is this worker's own pool's and still queued; says whether it is settled.
/// A task is waited for by its pool's clock, a promise by that of this thread.
pub(crate) fn deadline<A: AnyTask + ?Sized>(task: &Arc<A>, timeout: Duration) -> Option<Instant> {
    here::clock_of(task.owner()).deadline(timeout)
}

pub(crate) fn wait_for<A: AnyTask + ?Sized>(
    task: &Arc<A>,
    deadline: Option<Instant>,
) -> Result<bool, TaskError> {
    sim::pause();
    let state = task.state();
    // Timed waits run nothing: what they ran might take longer than they may.
    if state == TaskState::Finished
        || (deadline.is_none() && state == TaskState::Queued && run_here(task))
    {
        return Ok(true);
    }
    task.clone().wait(deadline)
}

/// Runs a queued task on this worker's stack if it may; says whether it did.
pub(crate) fn run_here<A: AnyTask + ?Sized>(task: &Arc<A>) -> bool {
    context::host().is_some_and(|host| {
        let task: TaskRef = task.clone().as_any_task();
        host.run_here(&task)
    })
}

fn take<T>(task: &dyn Joinable<T>) -> Outcome<T> {
    task.take()
        .expect("the outcome was taken before, by polling the handle")
}

impl<T> Future for TaskHandle<T> {
    type Output = Result<T, TaskError>;

    /// # Panics
    /// When polled again after it was ready.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.task()
            .take_or_wake(cx.waker())
            .map(|outcome| outcome.expect("a TaskHandle was polled after it was ready"))
    }
}

impl<T> Drop for TaskHandle<T> {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            let_go(&*task, self.cancel_on_drop);
        }
    }
}

/// The last handle is gone.
pub(super) fn let_go<T>(task: &dyn Joinable<T>, cancel: bool) {
    if cancel {
        task.cancel(CancelReason::Dropped);
    }
    if let Some(outcome) = task.detach() {
        discard_outcome(outcome);
    }
}

impl<T> fmt::Debug for TaskHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            task,
            cancel_on_drop,
        } = self;
        let mut out = f.debug_struct("TaskHandle");
        if let Some(task) = task {
            out.field("id", &task.id())
                .field("name", &task.name())
                .field("state", &task.state());
        }
        out.field("cancel_on_drop", cancel_on_drop).finish()
    }
}

/// A callback's place on its task; from [`TaskHandle::on_finish`].
///
/// ```
/// let (promise, handle) = millhand::promise();
/// let (tell, told) = std::sync::mpsc::channel();
/// let place = handle.on_finish(move |_| tell.send(()).unwrap());
/// assert!(place.remove());
/// promise.complete(1).unwrap();
/// assert!(told.recv().is_err()); // it was not called
/// ```
pub struct OnFinish {
    place: Option<(Weak<dyn AnyTask>, u64)>,
}

impl OnFinish {
    /// Takes the callback out again and drops it; says whether it was still there. One that runs just now runs on.
    ///
    /// ```
    /// let (promise, handle) = millhand::promise();
    /// let place = handle.on_finish(|_| ());
    /// promise.complete(1).unwrap();
    /// assert!(!place.remove()); // it was called already
    /// ```
    pub fn remove(self) -> bool {
        let callback = self
            .place
            .and_then(|(task, key)| task.upgrade()?.remove_callback(key));
        let removed = callback.is_some();
        panic::discard(callback);
        removed
    }
}

impl fmt::Debug for OnFinish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place } = self;
        f.debug_struct("OnFinish")
            .field("registered", &place.is_some())
            .finish_non_exhaustive()
    }
}
