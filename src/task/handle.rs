//! What the submitter has: a handle to wait for the task's outcome and take it.
//!
//! Layer: task.

use crate::cancel::CancelToken;
use crate::error::{JoinError, TaskError, ok_value};
use crate::id::TaskId;
use crate::panic;
use crate::reason::CancelReason;
use crate::task::Summary;
use crate::task::options::{Callback, callback};
use crate::task::task::{CancelOutcome, TaskRef, TaskState, TaskWeak};
use crate::task::wait::{deadline, join, wait_for};
use std::any::Any;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// Waits for a task, takes its outcome, or cancels it.
///
/// The outcome is `Result<T, TaskError>`: what the body returned, or why there is no value. If the
/// handle is dropped, the task runs on without it. [`cancel_on_drop`](Self::cancel_on_drop) changes
/// that.
///
/// **Waiting on a worker.** A body may wait for other tasks. It releases its run slot while it
/// waits. [`join`](Self::join) may run a task that is still queued in the same pool on the waiter's
/// stack. A wait that could never end returns [`TaskError::WouldDeadlock`].
///
/// A handle is also a [`Future`], for programs that have an executor. millhand has none.
///
/// ```
/// let pool = millhand::ThreadPool::new(2)?;
/// let handle = pool.submit(|| 6 * 7);
/// assert_eq!(handle.join().unwrap(), 42);
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
///
/// A handle cannot be converted to a handle of a subtype or supertype:
///
/// ```compile_fail,E0308
/// use millhand::TaskHandle;
///
/// fn coerce(handle: TaskHandle<for<'a> fn(&'a u8)>) -> TaskHandle<fn(&'static u8)> {
///     handle
/// }
/// ```
///
/// Guide: [composition](crate::guide::composition).
#[must_use = "dropping the handle lets the task run on unobserved: `execute` says so, and `drop` behind a continuation"]
#[doc(alias = "Future")]
#[doc(alias = "JoinHandle")]
pub struct TaskHandle<T> {
    held: Held,
    /// Invariant, since the value is found by its exact type: a handle whose type could be changed
    /// to that of a subtype would lose it.
    value: PhantomData<fn(T) -> T>,
}

/// A handle without the type of its value: the part that is compiled once.
pub(crate) struct Held {
    /// `None` once the outcome was taken.
    task: Option<TaskRef>,
    cancel_on_drop: bool,
}

impl Held {
    pub(crate) fn task(&self) -> &TaskRef {
        self.task
            .as_ref()
            .expect("only calls that consume the handle take it")
    }

    /// Waits for the outcome and takes it. If the wait fails, the task stays, and the drop of the
    /// handle detaches it.
    fn join(&mut self, into: &mut dyn Any) -> Result<(), TaskError> {
        join(self.task())?;
        self.take(into)
    }

    /// Takes the outcome of a task that has settled.
    #[inline]
    fn take(&mut self, into: &mut dyn Any) -> Result<(), TaskError> {
        match self.task.take() {
            Some(task) if !task.is_taken() => task.take(into),
            _ => taken_before(),
        }
    }

    /// Waits for the outcome. `None` if it is not there in time.
    fn join_timeout(
        &mut self,
        timeout: Duration,
        into: &mut dyn Any,
    ) -> Option<Result<(), TaskError>> {
        match wait_for(self.task(), deadline(self.task(), timeout)) {
            Ok(true) => Some(self.take(into)),
            Ok(false) => None,
            Err(error) => Some(Err(error)),
        }
    }

    fn poll(&self, cx: &mut Context<'_>, into: &mut dyn Any) -> Poll<Result<(), TaskError>> {
        let task = self.task();
        if task.poll(cx.waker()).is_pending() {
            return Poll::Pending;
        }
        assert!(
            !task.is_taken(),
            "a TaskHandle was polled after it was ready"
        );
        Poll::Ready(task.take_and_stay(into))
    }

    pub(crate) fn fields(&self, out: &mut fmt::DebugStruct<'_, '_>) {
        let Self {
            task,
            cancel_on_drop,
        } = self;
        if let Some(task) = task {
            out.field("id", &task.head.id())
                .field("name", &task.head.name())
                .field("state", &task.state());
        }
        out.field("cancel_on_drop", cancel_on_drop);
    }
}

#[cold]
fn taken_before() -> ! {
    panic!("the outcome was taken before, by polling the handle")
}

impl Drop for Held {
    /// The last handle is gone.
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            if self.cancel_on_drop {
                task.cancel(CancelReason::Dropped);
            }
            task.detach(None);
        }
    }
}

/// The methods that all handles of a task have and that do not need its outcome.
macro_rules! face {
    () => {
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
            self.task().head.id()
        }

        /// Returns the task's name, if it was given one.
        ///
        /// ```
        /// # let pool = millhand::ThreadPool::new(1)?;
        /// let handle = pool.task().name("index").submit(|| 1);
        /// assert_eq!(handle.name().as_deref(), Some("index"));
        /// # Ok::<(), millhand::pool::BuildError>(())
        /// ```
        pub fn name(&self) -> Option<Arc<str>> {
            self.task().head.name()
        }

        /// Returns where the task was submitted.
        ///
        /// ```
        /// let pool = millhand::ThreadPool::new(1)?;
        /// let handle = pool.submit(|| ());
        /// assert!(handle.site().line() > 0);
        /// # Ok::<(), millhand::pool::BuildError>(())
        /// ```
        pub fn site(&self) -> &'static std::panic::Location<'static> {
            self.task().head.site
        }

        /// Returns where the task is now.
        ///
        /// ```
        /// # let pool = millhand::ThreadPool::new(1)?;
        /// let handle = pool.submit(|| 1);
        /// handle.wait().unwrap();
        /// assert_eq!(handle.state(), millhand::task::TaskState::Finished);
        /// # Ok::<(), millhand::pool::BuildError>(())
        /// ```
        pub fn state(&self) -> TaskState {
            self.task().state()
        }

        /// Returns whether the outcome is there: a join would not wait.
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

        /// Returns a token that can cancel this task, and that has no access to its result. It is
        /// made at first use. Cancelling the token cancels the task.
        ///
        /// ```
        /// # let pool = millhand::ThreadPool::new(1)?;
        /// let handle = pool.submit(|| while !millhand::is_cancelled() { std::hint::spin_loop() });
        /// handle.token().cancel();
        /// handle.wait().unwrap();
        /// assert!(handle.is_finished());
        /// # Ok::<(), millhand::pool::BuildError>(())
        /// ```
        pub fn token(&self) -> CancelToken {
            self.task().token()
        }

        /// Cancels the task with [`CancelReason::User`], and returns what that did. Never waits.
        ///
        /// A queued task is settled by this call, which also drops its closure. A running task is
        /// asked to stop, and what its body returns is still its outcome.
        ///
        /// ```
        /// # let pool = millhand::ThreadPool::new(1)?;
        /// let (sender, receiver) = std::sync::mpsc::channel();
        /// let handle = pool.submit(move || {
        ///     sender.send(()).unwrap();
        ///     while !millhand::is_cancelled() { std::hint::spin_loop() }
        /// });
        /// receiver.recv()?; // it runs
        /// assert_eq!(handle.cancel(), millhand::task::CancelOutcome::Requested);
        /// assert!(handle.join().is_ok());
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        pub fn cancel(&self) -> CancelOutcome {
            self.task().cancel(CancelReason::User)
        }

        /// Waits until the outcome is there.
        ///
        /// # Errors
        /// [`TaskError::WouldDeadlock`] for a wait that could never end,
        /// [`TaskError::Interrupted`] when the body that waits is asked to stop,
        /// [`TaskError::Forked`] in a forked child; never the task's own error.
        ///
        /// ```
        /// # let pool = millhand::ThreadPool::new(1)?;
        /// let handle = pool.submit(|| 1);
        /// handle.wait().unwrap();
        /// assert!(handle.is_finished());
        /// # Ok::<(), millhand::pool::BuildError>(())
        /// ```
        pub fn wait(&self) -> Result<(), TaskError> {
            wait_for(self.task(), None).map(drop)
        }

        /// Waits until the outcome is there, for at most `timeout`. Returns whether it is there. A
        /// timeout that overflows the clock means for ever.
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

impl<T: 'static> TaskHandle<T> {
    /// Waits for the outcome and takes it.
    ///
    /// In a body on a worker of the same pool, the body may run the task itself, if that is still
    /// queued. Meanwhile a request to stop the body is one to stop the task, too, whose outcome may
    /// then be [`TaskError::Cancelled`].
    ///
    /// A body with a time limit, or whose token has a deadline, waits for another thread to run the
    /// task. So does the closure of a scope, for a task that is not of this scope. So do all waits
    /// that keep the handle. [`broadcast`](crate::ThreadPool::broadcast) documents an exception.
    ///
    /// # Errors
    /// Either the task's: it panicked, was cancelled, or was not accepted. Or the wait's:
    /// [`TaskError::WouldDeadlock`] if it could never end, [`TaskError::Interrupted`] when the body
    /// that joins is asked to stop, [`TaskError::Forked`] in a forked child. Then the task runs on
    /// without the handle, unless [`cancel_on_drop`](Self::cancel_on_drop) says otherwise.
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
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn join(mut self) -> Result<T, TaskError> {
        let mut value = None;
        self.held.join(&mut value)?;
        // The task is taken out, so nothing is left to be dropped.
        mem::forget(self);
        Ok(taken(value))
    }

    /// Takes the outcome if it is there. Never waits.
    ///
    /// # Errors
    /// The handle, when the task has not finished.
    ///
    /// # Panics
    /// As [`join`](Self::join).
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
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn try_join(mut self) -> Result<Result<T, TaskError>, Self> {
        if !self.is_finished() {
            return Err(self);
        }
        let mut value = None;
        Ok(self.held.take(&mut value).map(|()| taken(value)))
    }

    /// Waits for the outcome for at most `timeout`, and takes it. The timeout counts from the call.
    /// One that overflows the clock means for ever.
    ///
    /// # Errors
    /// The handle, when the task has not finished in time. Other errors are inside, as
    /// [`join`](Self::join) has them.
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
        let mut value = None;
        match self.held.join_timeout(timeout, &mut value) {
            Some(result) => Ok(result.map(|()| taken(value))),
            None => Err(self),
        }
    }
}

impl<T> TaskHandle<T> {
    pub(crate) fn new(task: TaskRef) -> Self {
        let held = Held {
            task: Some(task),
            cancel_on_drop: false,
        };
        Self {
            held,
            value: PhantomData,
        }
    }

    pub(crate) fn task(&self) -> &TaskRef {
        self.held.task()
    }

    /// Makes the drop of the handle cancel the task, with [`CancelReason::Dropped`].
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let handle = pool.submit(|| millhand::sleep(std::time::Duration::from_secs(3600))).cancel_on_drop();
    /// drop(handle); // and the pool, dropped next, need not wait for an hour
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn cancel_on_drop(mut self) -> Self {
        self.held.cancel_on_drop = true;
        self
    }

    /// Calls `f` with a [`Summary`] once the task has finished: on the thread that ran or cancelled
    /// it, or on this thread if it has finished before. `f` should be short, since a worker waits
    /// for it. A panic in it is logged.
    ///
    /// Where the time of the task ends, a worker of its pool makes the call as soon as one is free.
    ///
    /// The callback stays registered when the handle or the returned [`OnFinish`] is dropped.
    /// [`OnFinish::remove`] removes it.
    ///
    /// ```
    /// use millhand::task::OutcomeKind;
    ///
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let (sender, receiver) = std::sync::mpsc::channel();
    /// let handle = pool.submit(|| 1);
    /// handle.on_finish(move |summary| sender.send(summary.outcome).unwrap());
    /// assert_eq!(receiver.recv()?, OutcomeKind::Succeeded);
    /// # drop(handle);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_finish(&self, f: impl FnOnce(&Summary) + Send + 'static) -> OnFinish {
        OnFinish::register(self.task(), callback(f))
    }

    pub(crate) fn into_held(self) -> Held {
        self.held
    }

    face!();
}

/// The value that a settled task has put in place.
pub(crate) fn taken<T>(value: Option<T>) -> T {
    value.expect("a task that completed has a value of its handle's type")
}

impl<T: 'static, E: 'static> TaskHandle<Result<T, E>> {
    /// Waits for the outcome of a body that returns a `Result`, with both kinds of failure in one
    /// error.
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
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn join_ok(self) -> Result<T, JoinError<E>> {
        ok_value(self.join())
    }

    /// Waits for the outcome of a body that returns a `Result`, with the error of the body, to
    /// which the task's error is converted: for `?` in a function whose errors are `anyhow::Error`,
    /// `Box<dyn Error + Send + Sync>`, [`std::io::Error`] or a type of its own.
    ///
    /// # Errors
    /// The body's error, or the task's.
    ///
    /// ```
    /// use std::io;
    ///
    /// fn size(pool: &millhand::ThreadPool) -> io::Result<u64> {
    ///     let metadata = pool.submit(|| std::fs::metadata("Cargo.toml"));
    ///     Ok(metadata.join_flat()?.len())
    /// }
    /// # assert!(size(&millhand::ThreadPool::new(1)?)? > 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn join_flat(self) -> Result<T, E>
    where
        E: From<TaskError>,
    {
        self.join()?
    }
}

impl<T: 'static> Future for TaskHandle<T> {
    type Output = Result<T, TaskError>;

    /// # Panics
    /// When polled again after it was ready.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut value = None;
        let polled = self.held.poll(cx, &mut value);
        polled.map(|result| result.map(|()| taken(value)))
    }
}

impl<T> fmt::Debug for TaskHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { held, value: _ } = self;
        fmt::Debug::fmt(held, f)
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("TaskHandle");
        self.fields(&mut out);
        out.finish()
    }
}

/// Removes a callback of a task again. Returned by [`TaskHandle::on_finish`].
///
/// ```
/// let (promise, handle) = millhand::promise();
/// let (sender, receiver) = std::sync::mpsc::channel();
/// let place = handle.on_finish(move |_| sender.send(()).unwrap());
/// assert!(place.remove());
/// promise.complete(1).unwrap();
/// assert!(receiver.recv().is_err()); // it was not called
/// ```
///
/// Guide: [observability](crate::guide::observability).
pub struct OnFinish {
    place: Option<(TaskWeak, u64)>,
}

impl OnFinish {
    /// Registers a callback, or calls it here if the task has finished.
    pub(super) fn register(task: &TaskRef, callback: Callback) -> Self {
        match task.on_finish(callback) {
            Ok(key) => Self {
                place: Some((Arc::downgrade(task), key)),
            },
            Err((callback, summary)) => {
                panic::shield("an on_finish callback", || callback(&summary));
                Self { place: None }
            }
        }
    }

    /// Removes the callback and drops it. Returns whether it was still registered. A callback that
    /// runs at this moment is not stopped.
    ///
    /// ```
    /// let (promise, handle) = millhand::promise();
    /// let place = handle.on_finish(|_| ());
    /// promise.complete(1).unwrap();
    /// assert!(!place.remove()); // it was called already
    /// ```
    pub fn remove(self) -> bool {
        let callback = self.place.and_then(|(task, key)| {
            task.upgrade()?
                .head
                .peek(|extras| extras.remove_callback(key))?
        });
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
