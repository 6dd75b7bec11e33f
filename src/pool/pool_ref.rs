//! The pool as those see it who do not own it.
//!
//! Layer 3.

use crate::pool::core::{Core, PLAIN, Spec};
use crate::pool::submit::{TaskBuilder, verbs};
use crate::task::{Current, PlainWork};
use std::fmt;
use std::sync::Arc;

/// A weak reference to a pool: it submits while the pool is open, and does not keep it open. Once the owner has shut
/// the pool down or dropped it, submissions are refused as [`Rejection::Closed`](crate::Rejection::Closed).
///
/// What it does keep is a few kilobytes of memory, and no thread.
///
/// ```
/// use millhand::{Rejection, ThreadPool};
///
/// let pool = ThreadPool::new(1)?;
/// let weak = pool.downgrade();
/// assert_eq!(weak.submit(|| 7).join().unwrap(), 7);
/// drop(pool);
/// assert_eq!(weak.try_submit(|| 7).unwrap_err().reason(), Rejection::Closed);
/// # Ok::<(), millhand::BuildError>(())
/// ```
#[derive(Clone)]
pub struct PoolRef {
    core: Arc<Core>,
}

impl PoolRef {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    fn parts(&self) -> (&Arc<Core>, &Spec) {
        (&self.core, &PLAIN)
    }

    verbs!([T], FnOnce() -> T, |_: &Self, f| PlainWork(f));

    /// A template for tasks with options; see [`TaskBuilder`].
    pub fn task(&self) -> TaskBuilder {
        TaskBuilder::new(self.core.clone(), ())
    }

    /// Whether the pool takes no more tasks from outside.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let weak = pool.downgrade();
    /// drop(pool);
    /// assert!(weak.is_closed());
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn is_closed(&self) -> bool {
        self.core.is_closed()
    }
}

impl fmt::Debug for PoolRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { core } = self;
        core.fmt_as("PoolRef", f)
    }
}

impl Current {
    /// The pool that runs this task: what a task submits here is never held up by a full queue.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let handle = pool.submit(|| {
    ///     let part = millhand::current().unwrap().pool().submit(|| 20);
    ///     part.join().unwrap() + 1
    /// });
    /// assert_eq!(handle.join().unwrap(), 21);
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn pool(&self) -> PoolRef {
        match self.host().pool().downcast() {
            Ok(core) => PoolRef::new(core),
            Err(_) => unreachable!("every host is a worker of a Core"),
        }
    }
}
