//! A handle for many: the outcome stays where all can read it.
//!
//! Layer 2.

use crate::cancel::CancelToken;
use crate::error::TaskError;
use crate::id::TaskId;
use crate::reason::CancelReason;
use crate::task::any::{CancelOutcome, Joinable, TaskRef, TaskState};
use crate::task::handle::{TaskHandle, deadline, face, let_go, wait_for};
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// A handle that can be cloned: all clones read the same outcome. From [`TaskHandle::share`](crate::TaskHandle::share).
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
/// # Ok::<(), millhand::BuildError>(())
/// ```
pub struct SharedHandle<T> {
    shared: Arc<Shared<T>>,
    /// The answer to a wait of this clone's that could not end; never the task's outcome.
    refused: OnceLock<Result<T, TaskError>>,
}

struct Shared<T> {
    task: Arc<dyn Joinable<T>>,
    outcome: OnceLock<Result<T, TaskError>>,
    cancel_on_drop: bool,
}

impl<T> TaskHandle<T> {
    /// Makes a handle that can be cloned and read by many.
    ///
    /// ```
    /// # let pool = millhand::ThreadPool::new(1)?;
    /// let first = pool.submit(|| 7).share();
    /// let second = first.clone();
    /// assert_eq!(first.join().as_ref().unwrap(), second.join().as_ref().unwrap());
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn share(self) -> SharedHandle<T> {
        let (task, cancel_on_drop) = self.into_parts();
        SharedHandle {
            shared: Arc::new(Shared {
                task,
                outcome: OnceLock::new(),
                cancel_on_drop,
            }),
            refused: OnceLock::new(),
        }
    }
}

impl<T> SharedHandle<T> {
    fn task(&self) -> &Arc<dyn Joinable<T>> {
        &self.shared.task
    }

    pub(crate) fn as_task(&self) -> TaskRef {
        self.task().clone().as_any_task()
    }

    /// Whether no clone of it is left.
    pub(crate) fn is_alone(&self) -> bool {
        Arc::strong_count(&self.shared) == 1
    }

    face!();

    /// Waits for the outcome and shows it.
    ///
    /// A wait that could never end shows [`TaskError::WouldDeadlock`] through this clone, one in a forked child
    /// [`TaskError::Forked`]; the task's outcome is not touched by that.
    ///
    /// # Panics
    /// When the outcome was taken before the handle was shared, by polling it as a future.
    ///
    /// ```
    /// # let pool = millhand::ThreadPool::new(1)?;
    /// let handle = pool.submit(|| 7).share();
    /// assert!(matches!(handle.join(), Ok(7)));
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn join(&self) -> &Result<T, TaskError> {
        self.join_until(None)
            .expect("the outcome was taken before, by polling the handle")
    }

    /// Shows the outcome if it is there. Never waits.
    ///
    /// ```
    /// let (promise, handle) = millhand::promise();
    /// let handle = handle.share();
    /// assert!(handle.try_join().is_none());
    /// promise.complete(7).unwrap();
    /// assert!(matches!(handle.try_join(), Some(Ok(7))));
    /// ```
    pub fn try_join(&self) -> Option<&Result<T, TaskError>> {
        if self.shared.outcome.get().is_none() {
            self.shared.task.take_into(&self.shared.outcome);
        }
        self.shared.outcome.get()
    }

    /// Waits for the outcome, `timeout` long at most (one that overflows the clock means for ever), and shows it.
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

impl<T> Clone for SharedHandle<T> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
            refused: OnceLock::new(),
        }
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        let_go(&*self.task, self.cancel_on_drop);
    }
}

impl<T> fmt::Debug for SharedHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shared, refused: _ } = self;
        f.debug_struct("SharedHandle")
            .field("id", &shared.task.id())
            .field("name", &shared.task.name())
            .field("state", &shared.task.state())
            .field("cancel_on_drop", &shared.cancel_on_drop)
            .finish_non_exhaustive()
    }
}
