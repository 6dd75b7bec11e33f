//! `as_completed`: the outcomes of many tasks, in the order in which the tasks finish.
//!
//! Layer: compose.

use crate::compose::wait::completion_queue::CompletionQueue;
use crate::compose::wait::handles::Handle;
use crate::error::TaskError;
use std::fmt;
use std::time::{Duration, Instant};

/// Goes through the outcomes of many tasks in the order in which the tasks finish: an iterator over
/// pairs of a handle's place, or its [key](crate::compose::WithKey), and its outcome.
///
/// ```
/// use millhand::{ThreadPool, as_completed};
///
/// let pool = ThreadPool::new(2)?;
/// let handles: Vec<_> = (0..10).map(|n| pool.submit(move || n * n)).collect();
/// for (index, outcome) in as_completed(handles) {
///     assert_eq!(outcome?, index * index);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Its `next` blocks. On a worker the run slot is released meanwhile. If the task that waits is
/// asked to stop, the iterator returns the outcomes that are there, and then
/// [`TaskError::Interrupted`] for each of the other handles. Those are dropped then, like the
/// handles that are left when the iterator is dropped: their tasks run on, if
/// [`cancel_on_drop`](crate::TaskHandle::cancel_on_drop) says nothing else.
///
/// Guide: [composition](crate::guide::composition).
pub fn as_completed<H: Handle>(handles: impl IntoIterator<Item = H>) -> AsCompleted<H> {
    let handles: Vec<_> = handles.into_iter().map(Some).collect();
    let links = handles.iter().flatten().map(H::link);
    AsCompleted {
        queue: CompletionQueue::new(links.collect()),
        handles,
        deadline: None,
    }
}

/// The iterator that [`as_completed`] returns.
///
/// ```
/// use millhand::compose::AsCompleted;
/// use millhand::{TaskHandle, ThreadPool, as_completed};
///
/// fn first(outcomes: &mut AsCompleted<TaskHandle<u32>>) -> Option<usize> {
///     outcomes.next().map(|(place, _)| place)
/// }
///
/// let pool = ThreadPool::new(1)?;
/// assert_eq!(first(&mut as_completed([pool.submit(|| 7)])), Some(0));
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
///
/// Guide: [composition](crate::guide::composition).
#[must_use = "an iterator does nothing until it is asked"]
pub struct AsCompleted<H> {
    queue: CompletionQueue,
    handles: Vec<Option<H>>,
    deadline: Option<Instant>,
}

impl<H: Handle> AsCompleted<H> {
    /// Limits the wait for all outcomes together: the iterator ends `timeout` from now, even if
    /// some tasks have not finished. [`into_pending`](Self::into_pending) returns their handles.
    /// Default: no limit.
    ///
    /// ```
    /// use millhand::{as_completed, promise};
    /// use std::time::Duration;
    ///
    /// let (promise, handle) = promise::<u32>();
    /// let mut outcomes = as_completed([handle]).timeout(Duration::ZERO);
    /// assert!(outcomes.next().is_none());
    /// let (index, handle) = outcomes.into_pending().remove(0);
    /// promise.complete(7).unwrap();
    /// assert_eq!((index, handle.join()?), (0, 7));
    /// # Ok::<(), millhand::TaskError>(())
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.deadline = self.queue.deadline(timeout);
        self
    }

    /// Takes the handles whose outcomes the iterator has not returned, each with its place. Some of
    /// their tasks may have finished by now.
    ///
    /// ```
    /// use millhand::{as_completed, promise};
    ///
    /// let (_kept, never) = promise::<u32>();
    /// let outcomes = as_completed([never]);
    /// assert_eq!(outcomes.into_pending().len(), 1);
    /// ```
    pub fn into_pending(self) -> Vec<(usize, H)> {
        let handles = self.handles.into_iter().enumerate();
        handles
            .filter_map(|(index, handle)| Some((index, handle?)))
            .collect()
    }
}

impl<H: Handle> Iterator for AsCompleted<H> {
    type Item = (H::Key, Result<H::Output, TaskError>);

    fn next(&mut self) -> Option<Self::Item> {
        let place = self.queue.next(self.deadline)?;
        let handle = self.handles[place].take()?;
        Some(handle.keyed_outcome(place))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.handles.iter().flatten().count();
        (0, Some(left))
    }
}

impl<H> fmt::Debug for AsCompleted<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            queue: _,
            handles,
            deadline,
        } = self;
        f.debug_struct("AsCompleted")
            .field("pending", &handles.iter().flatten().count())
            .field("deadline", deadline)
            .finish_non_exhaustive()
    }
}
