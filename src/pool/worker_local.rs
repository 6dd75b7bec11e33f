//! A value of each worker's own.
//!
//! Layer 3. The values lie with the thread, which belongs to one pool all its life; the worker drops them when it leaves.
//
// A thread's values are found by key, and handed out as shares, so that nothing is borrowed while the user's code runs: a
// body that waits inside `with` may run another one on its own stack, which uses the value too, or others. That other
// one may also come while the first is still making the value. Then it makes one of its own, and the first to be ready
// stays. An init that wants the very value that it makes would go on like that for ever, so who makes what is noted.

use crate::id::TaskId;
use crate::panic;
use crate::task;
use std::any::{Any, type_name};
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

static NEXT_KEY: AtomicU64 = AtomicU64::new(0);

#[derive(Default)]
struct Values {
    /// In the order in which they were made.
    made: Vec<(u64, Rc<dyn Any>)>,
    /// Which are being made, and by whom.
    making: Vec<(u64, Option<TaskId>)>,
}

thread_local! {
    static VALUES: RefCell<Values> = RefCell::default();
}

/// A value of each worker's own: a connection, a parser, a buffer. From
/// [`ThreadPool::worker_local`](crate::ThreadPool::worker_local).
///
/// Clones are the same value, and so they are passed to the tasks. Each thread of the pool, spares included, makes its
/// value at first use and keeps it to its end, then drops it: on that thread, the last made first, after its last task
/// and before [`on_worker_stop`](crate::PoolBuilder::on_worker_stop). So the value need be neither `Send` nor `Sync`. It
/// outlives the `WorkerLocal`: make one for a pool's life, not one a task.
///
/// ```
/// use millhand::ThreadPool;
/// use std::cell::RefCell;
///
/// let pool = ThreadPool::new(2)?;
/// let buffer = pool.worker_local(|| RefCell::new(String::with_capacity(64 << 10)));
/// let handles: Vec<_> = (0..10)
///     .map(|n| {
///         let buffer = buffer.clone();
///         pool.submit(move || {
///             buffer.with(|buffer| {
///                 let mut buffer = buffer.borrow_mut();
///                 buffer.clear();
///                 buffer.push_str(&"x".repeat(n));
///                 buffer.len()
///             })
///         })
///     })
///     .collect();
/// let lengths: Result<Vec<_>, _> = handles.into_iter().map(|handle| handle.join()).collect();
/// assert_eq!(lengths?.into_iter().sum::<usize>(), 45);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct WorkerLocal<T> {
    owner: u32,
    key: u64,
    init: Arc<dyn Fn() -> T + Send + Sync>,
}

impl<T: 'static> WorkerLocal<T> {
    pub(crate) fn new(owner: u32, init: impl Fn() -> T + Send + Sync + 'static) -> Self {
        Self {
            owner,
            key: NEXT_KEY.fetch_add(1, Ordering::Relaxed),
            init: Arc::new(init),
        }
    }

    /// Calls `f` with this worker's value, which is made now if it is not there yet. Uses may be nested.
    ///
    /// # Panics
    /// On a thread that is no worker of the pool ([`is_here`](Self::is_here) asks), and in an init closure that wants the
    /// value that it is to make. An init that panics fails the task, and the next use tries again.
    ///
    /// ```
    /// # let pool = millhand::ThreadPool::new(1)?;
    /// let id = pool.worker_local(|| std::thread::current().id());
    /// let handle = pool.submit(move || id.with(|id| *id == std::thread::current().id()));
    /// assert!(handle.join().unwrap());
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn with<R>(&self, f: impl FnOnce(&T) -> R) -> R {
        assert!(
            self.is_here(),
            "a WorkerLocal<{}> was used outside the workers of its pool",
            type_name::<T>()
        );
        let value = self.find().unwrap_or_else(|| self.make());
        match value.downcast_ref() {
            Some(value) => f(value),
            None => unreachable!("a key has one type"),
        }
    }

    /// Whether this thread is a worker of the pool, so that there is a value here or can be.
    ///
    /// ```
    /// # let pool = millhand::ThreadPool::new(1)?;
    /// let one = pool.worker_local(|| 1);
    /// assert!(!one.is_here());
    /// assert!(pool.submit(move || one.is_here()).join().unwrap());
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn is_here(&self) -> bool {
        task::is_worker_of(self.owner)
    }

    fn find(&self) -> Option<Rc<dyn Any>> {
        VALUES.with_borrow(|values| {
            let mut made = values.made.iter();
            made.find(|(key, _)| *key == self.key)
                .map(|(_, value)| value.clone())
        })
    }

    #[cold]
    fn make(&self) -> Rc<dyn Any> {
        let fresh: Rc<dyn Any> = {
            let _making = Making::begin::<T>(self.key);
            Rc::new((self.init)())
        };
        if let Some(earlier) = self.find() {
            panic::discard(fresh);
            return earlier;
        }
        VALUES.with_borrow_mut(|values| values.made.push((self.key, fresh.clone())));
        fresh
    }
}

/// While an init runs.
struct Making;

impl Making {
    fn begin<T>(key: u64) -> Self {
        let by = (key, task::current().map(|task| task.id()));
        let begun = VALUES.with_borrow_mut(|values| {
            let begun = values.making.contains(&by);
            if !begun {
                values.making.push(by);
            }
            begun
        });
        assert!(
            !begun,
            "the init closure of a WorkerLocal<{}> wants the value that it is to make",
            type_name::<T>()
        );
        Self
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        VALUES.with_borrow_mut(|values| values.making.pop());
    }
}

/// Drops this thread's values, the last made first. Whatever their drops do, none is made meanwhile: the thread is no
/// worker any more.
pub(crate) fn drop_all() {
    while let Some(value) = VALUES.with_borrow_mut(|values| values.made.pop()) {
        panic::shield("the drop of a worker's value", || drop(value));
    }
}

impl<T> Clone for WorkerLocal<T> {
    fn clone(&self) -> Self {
        Self {
            owner: self.owner,
            key: self.key,
            init: self.init.clone(),
        }
    }
}

impl<T> fmt::Debug for WorkerLocal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            owner: _,
            key: _,
            init: _,
        } = self;
        write!(f, "WorkerLocal<{}>", type_name::<T>())
    }
}
