//! A task that code of the user settles by hand: a promise and its handle.
//!
//! Layer: task.

use crate::error::TaskError;
use crate::process;
use crate::reason::CancelReason;
use crate::task::OutcomeKind;
use crate::task::body::ByHand;
use crate::task::handle::TaskHandle;
use crate::task::head::{Head, Site};
use crate::task::options::{Extras, NO_WORKER};
use crate::task::task::{Task, TaskRef, TaskState};
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

/// A handle that is settled from the start. Its continuations run on the pool with the tag `owner`.
pub(crate) fn settled<T: Send + 'static>(
    owner: u32,
    site: Site,
    name: Option<Arc<str>>,
    outcome: Result<T, TaskError>,
) -> TaskHandle<T> {
    let extras = name.map(|name| Extras::new(Some(name), None));
    let head = Head::new(owner, site).with(extras);
    let task = Arc::new(Task {
        head,
        body: ByHand::new(),
    });
    let error = outcome.map(|value| task.body.put(value)).err();
    let handle = TaskHandle::new(task);
    handle.task().head.try_claim(0);
    handle.task().settle_by_hand(error);
    handle
}

impl Task {
    /// Settles a task that no worker runs.
    fn settle_by_hand(&self, error: Option<TaskError>) {
        let kind = error
            .as_ref()
            .map_or(OutcomeKind::Succeeded, OutcomeKind::of_error);
        if let Ok((on_settled, drops)) = self.settle(kind, error, None) {
            self.after_settle(kind, on_settled, drops);
        }
    }
}

/// Makes a handle for a result that comes from elsewhere (a callback, a foreign thread), and the
/// promise that settles it.
///
/// A join of the handle waits until the promise is kept or dropped. Dropping the promise settles
/// the handle as cancelled ([`CancelReason::Dropped`]).
///
/// The promise belongs to no pool. Its handle can be joined, awaited and shared. To continue it,
/// name the pool: [`submit_after`](crate::TaskBuilder::submit_after). On a worker `then`, `map` and
/// their like continue it on the pool of that worker; elsewhere they are
/// [rejected](crate::error::Rejection::NoPool). [`Pool::promise`](crate::Pool::promise) makes one
/// that belongs to a pool.
///
/// ```
/// let (promise, handle) = millhand::promise::<String>();
/// std::thread::spawn(move || promise.complete("done".to_owned()));
/// assert_eq!(handle.join().unwrap(), "done");
/// ```
///
/// Guide: [bridges](crate::guide::bridges).
#[track_caller]
pub fn promise<T: Send + 'static>() -> (Promise<T>, TaskHandle<T>) {
    by_hand(Head::new(process::NO_POOL, Location::caller()))
}

/// The same for the pool with the tag `owner`.
pub(crate) fn promise_of<T: Send + 'static>(owner: u32, site: Site) -> (Promise<T>, TaskHandle<T>) {
    let mut extras = Extras::new(None, None);
    extras.pinned = Some(NO_WORKER);
    by_hand(Head::new(owner, site).with(Some(extras)))
}

fn by_hand<T: Send + 'static>(head: Head) -> (Promise<T>, TaskHandle<T>) {
    let body = ByHand::new();
    let task = Arc::new(Task { head, body });
    (Promise { task: task.clone() }, TaskHandle::new(task))
}

/// Settles a handle with a value or an error. Returned by [`promise`] and
/// [`Pool::promise`](crate::Pool::promise).
///
/// ```
/// use millhand::cancel::CancelReason;
/// use millhand::task::Promise;
/// use millhand::TaskError;
///
/// let (promise, handle) = millhand::promise();
/// let promise: Promise<u32> = promise;
/// drop(promise); // unkept
/// assert!(matches!(handle.join(), Err(TaskError::Cancelled(CancelReason::Dropped))));
/// ```
///
/// Guide: [bridges](crate::guide::bridges).
#[must_use = "dropping the promise settles its handle as cancelled"]
pub struct Promise<T: Send + 'static> {
    task: Arc<Task<ByHand<T>>>,
}

impl<T: Send + 'static> Promise<T> {
    /// Settles the handle with a value.
    ///
    /// # Errors
    /// The value, when the handle was cancelled before.
    ///
    /// ```
    /// let (promise, handle) = millhand::promise();
    /// promise.complete(7).unwrap();
    /// assert_eq!(handle.join().unwrap(), 7);
    /// ```
    pub fn complete(self, value: T) -> Result<(), T> {
        let task: TaskRef = self.task.clone();
        if !task.head.try_claim(0) {
            return Err(value);
        }
        self.task.body.put(value);
        task.settle_by_hand(None);
        Ok(())
    }

    /// Settles the handle with an error.
    ///
    /// # Errors
    /// The error, when the handle was cancelled before.
    ///
    /// ```
    /// let (promise, handle) = millhand::promise::<u32>();
    /// promise.fail(millhand::TaskError::TimedOut).unwrap();
    /// assert!(matches!(handle.join(), Err(millhand::TaskError::TimedOut)));
    /// ```
    pub fn fail(self, error: TaskError) -> Result<(), TaskError> {
        let task: TaskRef = self.task.clone();
        if !task.head.try_claim(0) {
            return Err(error);
        }
        task.settle_by_hand(Some(error));
        Ok(())
    }

    /// Returns whether the handle was cancelled, so that the value is not needed any more.
    ///
    /// ```
    /// let (promise, handle) = millhand::promise::<u32>();
    /// handle.cancel();
    /// assert!(promise.is_cancelled());
    /// ```
    pub fn is_cancelled(&self) -> bool {
        let task: TaskRef = self.task.clone();
        task.state() == TaskState::Finished
    }
}

impl<T: Send + 'static> Drop for Promise<T> {
    fn drop(&mut self) {
        let task: TaskRef = self.task.clone();
        task.cancel(CancelReason::Dropped);
    }
}

impl<T: Send + 'static> fmt::Debug for Promise<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { task } = self;
        f.debug_struct("Promise")
            .field("id", &task.head.id())
            .finish_non_exhaustive()
    }
}
