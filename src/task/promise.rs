//! A handle that is settled by hand.
//!
//! Layer 2.

use crate::aftermath::Outcome;
use crate::error::TaskError;
use crate::extras::Extras;
use crate::fork;
use crate::panic::Payload;
use crate::reason::CancelReason;
use crate::task::any::{AnyTask, TaskState};
use crate::task::cell::Cell;
use crate::task::handle::TaskHandle;
use crate::task::work::Work;
use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;

/// Stands where a closure would: nothing ever runs it, since no worker's tag is on its cell.
struct ByHand<T>(PhantomData<fn() -> T>);

impl<T: Send + 'static> Work for ByHand<T> {
    type Output = T;

    fn attempt(self) -> (Result<T, Payload>, Option<Self>) {
        unreachable!("a promise is in no queue and has no pool")
    }
}

fn cell<T: Send + 'static>(
    owner: u32,
    site: &'static Location<'static>,
    name: Option<Arc<str>>,
) -> Arc<Cell<ByHand<T>>> {
    let extras = name.map(|name| Extras::new(Some(name), None, None));
    Cell::new(owner, site, ByHand(PhantomData), extras, false)
}

/// A handle that is settled from the start; what continues it does so on that pool.
pub(crate) fn settled<T: Send + 'static>(
    owner: u32,
    site: &'static Location<'static>,
    name: Option<Arc<str>>,
    outcome: Outcome<T>,
) -> TaskHandle<T> {
    let cell = cell(owner, site, name);
    cell.claim();
    cell.settle(outcome).retire();
    TaskHandle::new(cell)
}

/// A handle, and the promise to settle it: for results that come from elsewhere (a callback, a foreign thread).
///
/// Nobody but the promise runs it, so joining an unkept promise waits for whoever holds it; dropping the promise
/// settles the handle as cancelled ([`CancelReason::Dropped`]).
///
/// ```
/// let (promise, handle) = millhand::promise::<String>();
/// std::thread::spawn(move || promise.complete("done".to_owned()));
/// assert_eq!(handle.join().unwrap(), "done");
/// ```
#[track_caller]
pub fn promise<T: Send + 'static>() -> (Promise<T>, TaskHandle<T>) {
    let cell = cell(fork::NOBODY, Location::caller(), None);
    (Promise { cell: cell.clone() }, TaskHandle::new(cell))
}

/// The settling side of a [`promise`].
///
/// ```
/// use millhand::{CancelReason, Promise, TaskError};
///
/// let (promise, handle) = millhand::promise();
/// let promise: Promise<u32> = promise;
/// drop(promise); // unkept
/// assert!(matches!(handle.join(), Err(TaskError::Cancelled(CancelReason::Dropped))));
/// ```
#[must_use = "dropping the promise settles its handle as cancelled"]
pub struct Promise<T: Send + 'static> {
    cell: Arc<Cell<ByHand<T>>>,
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
        if !self.cell.claim() {
            return Err(value);
        }
        self.cell.settle(Ok(value)).retire();
        Ok(())
    }

    /// Settles the handle with an error.
    ///
    /// # Errors
    /// The error, when the handle was cancelled before.
    ///
    /// ```
    /// let (promise, handle) = millhand::promise::<u32>();
    /// promise.fail(millhand::TaskError::Expired).unwrap();
    /// assert!(matches!(handle.join(), Err(millhand::TaskError::Expired)));
    /// ```
    pub fn fail(self, error: TaskError) -> Result<(), TaskError> {
        if !self.cell.claim() {
            return Err(error);
        }
        self.cell.settle(Err(error)).retire();
        Ok(())
    }

    /// Whether the handle was cancelled: nobody waits for the value any more.
    ///
    /// ```
    /// let (promise, handle) = millhand::promise::<u32>();
    /// handle.cancel();
    /// assert!(promise.is_cancelled());
    /// ```
    pub fn is_cancelled(&self) -> bool {
        self.cell.state() == TaskState::Finished
    }
}

impl<T: Send + 'static> Drop for Promise<T> {
    fn drop(&mut self) {
        self.cell.cancel(CancelReason::Dropped);
    }
}

impl<T: Send + 'static> fmt::Debug for Promise<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cell } = self;
        f.debug_struct("Promise")
            .field("id", &cell.id())
            .finish_non_exhaustive()
    }
}
