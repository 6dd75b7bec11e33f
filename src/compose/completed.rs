//! The outcomes of many tasks, in the order in which they come.
//!
//! Layer 6.

use crate::compose::arrivals::Arrivals;
use crate::compose::handles::Handle;
use crate::error::TaskError;
use std::fmt;
use std::time::{Duration, Instant};

/// The outcomes as they come: an iterator over places and outcomes, the first finished first.
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
/// Its `next` blocks; on a worker the seat is given up meanwhile. Dropping it lets the rest run on.
pub fn as_completed<H: Handle>(handles: impl IntoIterator<Item = H>) -> AsCompleted<H> {
    let handles: Vec<_> = handles.into_iter().map(Some).collect();
    let links = handles.iter().flatten().map(H::link);
    AsCompleted {
        arrivals: Arrivals::new(links.collect()),
        handles,
        deadline: None,
    }
}

/// See [`as_completed`].
#[must_use = "an iterator does nothing until it is asked"]
pub struct AsCompleted<H> {
    arrivals: Arrivals,
    handles: Vec<Option<H>>,
    deadline: Option<Instant>,
}

impl<H: Handle> AsCompleted<H> {
    /// Ends `timeout` from now though some are not finished: [`into_pending`](Self::into_pending) has them. Default: waits
    /// however long it takes.
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
        self.deadline = self.arrivals.deadline(timeout);
        self
    }

    /// The handles of those that have not come yet, each with its place. Some of them may be finished by now.
    pub fn into_pending(self) -> Vec<(usize, H)> {
        let handles = self.handles.into_iter().enumerate();
        handles
            .filter_map(|(index, handle)| Some((index, handle?)))
            .collect()
    }
}

impl<H: Handle> Iterator for AsCompleted<H> {
    type Item = (usize, Result<H::Output, TaskError>);

    fn next(&mut self) -> Option<Self::Item> {
        let place = self.arrivals.next(self.deadline)?;
        let handle = self.handles[place].take()?;
        Some((place, handle.outcome()))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.handles.iter().flatten().count();
        (0, Some(left))
    }
}

impl<H> fmt::Debug for AsCompleted<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            arrivals: _,
            handles,
            deadline,
        } = self;
        f.debug_struct("AsCompleted")
            .field("pending", &handles.iter().flatten().count())
            .field("deadline", deadline)
            .finish_non_exhaustive()
    }
}
