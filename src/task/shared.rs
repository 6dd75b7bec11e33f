//! A handle that can be cloned: the outcome stays where all clones can read it.
//!
//! Layer: task.

use crate::cancel::CancelToken;
use crate::error::{JoinError, TaskError};
use crate::id::TaskId;
use crate::panic;
use crate::reason::CancelReason;
use crate::sync::{Mutex, OnceLock};
use crate::task::OutcomeKind;
use crate::task::handle::{Held, OnFinish, TaskHandle, face, taken as taken_value};
use crate::task::options::callback;
use crate::task::watch::{Watch, Watcher};

use crate::task::summary::Summary;
use crate::task::task::{CancelOutcome, TaskRef, TaskState};
use crate::task::wait::{deadline, wait_for};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// A handle for several threads: it can be cloned, and all clones read the same outcome. Returned
/// by [`TaskHandle::share`](crate::TaskHandle::share).
///
/// ```
/// let pool = millhand::ThreadPool::new(2)?;
/// let config = pool.submit(|| String::from("config")).share();
/// let readers: Vec<_> = (0..3)
///     .map(|_| {
///         let config = config.clone();
///         pool.submit(move || config.join().as_ref().unwrap().len())
///     })
///     .collect();
/// for reader in readers {
///     assert_eq!(reader.join().unwrap(), 6);
/// }
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
///
/// Guide: [composition](crate::guide::composition).
pub struct SharedHandle<T> {
    shared: Arc<Shared<T>>,
    /// The error of a wait of this clone that could not end. Never the task's outcome.
    refused: OnceLock<Result<T, TaskError>>,
    /// Set once this clone was polled.
    polled: Option<Polled>,
}

/// Watches the task for the executor that has polled one clone.
struct Polled {
    task: TaskRef,
    wakes: Arc<Wakes>,
}

impl Polled {
    fn begin(task: &TaskRef) -> Self {
        let wakes = Arc::new(Wakes {
            waker: Mutex::new(None),
            is_over: AtomicBool::new(false),
        });
        // A task that has settled takes none. The caller sees that for itself.
        let _ = task.watch(Watcher::Set(wakes.clone(), 0));
        let task = task.clone();
        Self { task, wakes }
    }
}

impl Drop for Polled {
    fn drop(&mut self) {
        self.wakes.is_over.store(true, Ordering::Relaxed);
        // No code will poll this clone any more.
        panic::discard(self.wakes.take());
        self.task.unwatch();
    }
}

struct Wakes {
    waker: Mutex<Option<Waker>>,
    is_over: AtomicBool,
}

impl Wakes {
    /// Its waker is the executor's code: it is called and dropped with no lock held.
    fn take(&self) -> Option<Waker> {
        self.waker.lock().take()
    }
}

impl Watch for Wakes {
    fn settled(self: Arc<Self>, _: usize, _: OutcomeKind) {
        if let Some(waker) = self.take() {
            panic::shield("a waker", || waker.wake());
        }
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }
}

struct Shared<T> {
    held: Held,
    /// The outcome, once it was read.
    outcome: OnceLock<Read<T>>,
    /// Whether the outcome was taken before the handle was shared, by polling it.
    was_polled: bool,
}

/// An outcome, and how it is dropped. It may hold other handles that were read: a chain of any
/// length is dropped by a loop.
type Read<T> = (Result<T, TaskError>, fn(Result<T, TaskError>));

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        if let Some((outcome, discard)) = self.outcome.take() {
            discard(outcome);
        }
    }
}

impl<T> TaskHandle<T> {
    /// Makes a handle that can be cloned, so that several threads can read the outcome.
    ///
    /// ```
    /// # let pool = millhand::ThreadPool::new(1)?;
    /// let first = pool.submit(|| 7).share();
    /// let second = first.clone();
    /// assert_eq!(first.join().as_ref().unwrap(), second.join().as_ref().unwrap());
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn share(self) -> SharedHandle<T> {
        let held = self.into_held();
        SharedHandle {
            shared: Arc::new(Shared {
                was_polled: held.task().is_taken(),
                held,
                outcome: OnceLock::new(),
            }),
            refused: OnceLock::new(),
            polled: None,
        }
    }
}

impl<T> SharedHandle<T> {
    pub(crate) fn task(&self) -> &TaskRef {
        self.shared.held.task()
    }

    /// Whether no clone of it is left.
    pub(crate) fn is_alone(&self) -> bool {
        Arc::strong_count(&self.shared) == 1
    }

    /// Calls `f` with a [`Summary`] once the task has finished; see [`TaskHandle::on_finish`].
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let (sender, receiver) = std::sync::mpsc::channel();
    /// let handle = pool.submit(|| 7).share();
    /// handle.on_finish(move |summary| sender.send(summary.id).unwrap());
    /// assert_eq!(receiver.recv()?, handle.id());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_finish(&self, f: impl FnOnce(&Summary) + Send + 'static) -> OnFinish {
        OnFinish::register(self.task(), callback(f))
    }

    face!();
}

/// Becomes ready when the task has finished, with a clone whose [`join`](SharedHandle::join) does
/// not wait. Any number of clones may be awaited.
///
/// ```
/// # fn poll<F: Future>(future: F) -> Option<F::Output> {
/// #     let mut context = std::task::Context::from_waker(std::task::Waker::noop());
/// #     match std::pin::pin!(future).poll(&mut context) {
/// #         std::task::Poll::Ready(output) => Some(output),
/// #         std::task::Poll::Pending => None,
/// #     }
/// # }
/// let pool = millhand::ThreadPool::new(1)?;
/// let config = pool.submit(|| String::from("config")).share();
/// config.wait().unwrap();
/// let settled = poll(config.clone()).unwrap(); // in async code: `config.clone().await`
/// assert_eq!(settled.join().as_ref().unwrap(), "config");
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
impl<T> Future for SharedHandle<T> {
    type Output = Self;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self> {
        if self.is_finished() {
            return Poll::Ready(self.clone());
        }
        let Self { shared, polled, .. } = &mut *self;
        let polled = polled.get_or_insert_with(|| Polled::begin(shared.held.task()));
        let waker = cx.waker().clone();
        let before = polled.wakes.waker.lock().replace(waker);
        drop(before);
        // After the waker is there: either the end of the task finds it, or the end is seen here.
        match self.is_finished() {
            true => Poll::Ready(self.clone()),
            false => Poll::Pending,
        }
    }
}

// Nothing in it is pinned.
impl<T> Unpin for SharedHandle<T> {}

impl<T: 'static> SharedHandle<T> {
    /// Waits for the outcome and returns a reference to it.
    ///
    /// For a wait that could never end, this clone returns [`TaskError::WouldDeadlock`], in a
    /// forked child [`TaskError::Forked`], and [`TaskError::Interrupted`] when the body that waits
    /// is asked to stop. The outcome of the task is not changed by that: a later call returns it.
    ///
    /// # Panics
    /// When the outcome was taken before the handle was shared, by polling it as a future.
    ///
    /// ```
    /// # let pool = millhand::ThreadPool::new(1)?;
    /// let handle = pool.submit(|| 7).share();
    /// assert!(matches!(handle.join(), Ok(7)));
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn join(&self) -> &Result<T, TaskError> {
        self.join_until(None)
            .expect("the outcome was taken before, by polling the handle")
    }

    /// Returns a reference to the outcome if it is there. Never waits.
    ///
    /// ```
    /// let (promise, handle) = millhand::promise();
    /// let handle = handle.share();
    /// assert!(handle.try_join().is_none());
    /// promise.complete(7).unwrap();
    /// assert!(matches!(handle.try_join(), Some(Ok(7))));
    /// ```
    pub fn try_join(&self) -> Option<&Result<T, TaskError>> {
        let Shared {
            held,
            outcome,
            was_polled,
        } = &*self.shared;
        if outcome.get().is_none() && held.task().head.is_settled() && !was_polled {
            // Of several threads one takes it, and the others wait for that.
            outcome.get_or_init(|| {
                let mut value = None;
                let taken = held.task().take_and_stay(&mut value);
                let outcome = taken.map(|()| taken_value(value));
                (outcome, panic::discard_deferred)
            });
        }
        outcome.get().map(|(outcome, _)| outcome)
    }

    /// Waits for the outcome for at most `timeout`, and returns a reference to it. A timeout that
    /// overflows the clock means for ever.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let (promise, handle) = millhand::promise();
    /// let handle = handle.share();
    /// assert!(handle.join_timeout(Duration::from_millis(1)).is_none());
    /// promise.complete(7).unwrap();
    /// assert!(matches!(handle.join_timeout(Duration::from_secs(60)), Some(Ok(7))));
    /// ```
    pub fn join_timeout(&self, timeout: Duration) -> Option<&Result<T, TaskError>> {
        self.join_until(deadline(self.task(), timeout))
    }

    fn join_until(&self, deadline: Option<Instant>) -> Option<&Result<T, TaskError>> {
        if let Some(outcome) = self.try_join() {
            return Some(outcome);
        }
        match wait_for(self.task(), deadline) {
            Ok(_) => self.try_join(),
            Err(error) => Some(self.refused.get_or_init(|| Err(error))),
        }
    }
}

impl<T: 'static, E: 'static> SharedHandle<Result<T, E>> {
    /// Waits for the outcome of a body that returns a `Result`, and returns a reference to its
    /// value or both kinds of failure in one error.
    ///
    /// # Errors
    /// [`JoinError::Failed`] with the body's error, [`JoinError::Task`] with a copy of the task's.
    /// Of a panic the copy has the message, but not the payload.
    ///
    /// ```
    /// # let pool = millhand::ThreadPool::new(1)?;
    /// let parsed = pool.submit(|| "12".parse::<u8>()).share();
    /// assert_eq!(parsed.join_ok().unwrap(), &12);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn join_ok(&self) -> Result<&T, JoinError<&E>> {
        match self.join() {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(JoinError::Failed(error)),
            Err(error) => Err(JoinError::Task(error.copy())),
        }
    }

    /// Waits for the outcome of a body that returns a `Result`, and returns a clone of it, with the
    /// task's error converted to the body's.
    ///
    /// # Errors
    /// The body's error, or the task's. Of a panic the copy has the message, but not the payload.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # let pool = millhand::ThreadPool::new(1)?;
    /// #[derive(Clone)]
    /// struct Failed(Arc<dyn std::error::Error + Send + Sync>);
    ///
    /// impl<E: std::error::Error + Send + Sync + 'static> From<E> for Failed {
    ///     fn from(error: E) -> Self {
    ///         Self(Arc::new(error))
    ///     }
    /// }
    ///
    /// let parsed = pool.submit(|| Ok::<u8, Failed>("1200".parse()?)).share();
    /// let Failed(error) = parsed.join_flat().unwrap_err();
    /// assert!(error.is::<std::num::ParseIntError>());
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn join_flat(&self) -> Result<T, E>
    where
        T: Clone,
        E: Clone + From<TaskError>,
    {
        match self.join() {
            Ok(outcome) => outcome.clone(),
            Err(error) => Err(error.copy().into()),
        }
    }
}

impl<T> Clone for SharedHandle<T> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            refused: OnceLock::new(),
            polled: None,
        }
    }
}

impl<T> fmt::Debug for SharedHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            shared,
            refused: _,
            polled: _,
        } = self;
        let mut out = f.debug_struct("SharedHandle");
        shared.held.fields(&mut out);
        out.finish_non_exhaustive()
    }
}
