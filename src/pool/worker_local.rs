//! A value that each worker has of its own.
//!
//! A thread has its values in a thread-local. It belongs to one pool all its life. It drops a value
//! when it finds that no clone of its `WorkerLocal` is left, and all when it exits.
//
// A value is found by its key, and handed out as an `Rc`, so that nothing is borrowed while code of
// the user runs: a body that waits inside `with` may run another body on its own stack, which uses
// the same value, or others. That other body may also use the value while the first is still making
// it. Then it makes one of its own, and the value that is ready first stays. An init closure that
// wants the value that it is making would go on like that for ever. So `making` lists which task
// makes which value.

use crate::id::TaskId;
use crate::panic;
use crate::sync::number_map::NumberMap;
use crate::task;
use std::any::{Any, type_name};
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

static NEXT_KEY: AtomicU64 = AtomicU64::new(0);

/// How many keys are gone, of all pools.
static GONE: AtomicU64 = AtomicU64::new(0);

/// Shared by the clones of a `WorkerLocal`.
struct Key(u64);

impl Drop for Key {
    fn drop(&mut self) {
        GONE.fetch_add(1, Ordering::Relaxed);
    }
}

struct Made {
    value: Rc<dyn Any>,
    key: Weak<Key>,
    /// Values of a thread by the order in which they were made.
    order: u64,
}

/// From so many values on, those whose keys are gone are dropped even while the worker is busy.
const RELEASE_FROM: usize = 16;

#[derive(Default)]
struct Values {
    /// By key.
    made: NumberMap<Made>,
    next_order: u64,
    /// `make` drops values whose keys are gone if there are more values than this.
    release_at: usize,
    /// The values that are being made, with the task that makes each.
    making: Vec<(u64, Option<TaskId>)>,
}

thread_local! {
    static VALUES: RefCell<Values> = RefCell::default();
}

/// Gives each worker a value of its own: a connection, a parser, a buffer. Returned by
/// [`ThreadPool::worker_local`](crate::ThreadPool::worker_local).
///
/// A clone stands for the same values, so tasks get clones. Each thread of the pool, spares
/// included, makes its value at first use and keeps it until it exits. It drops its values after
/// its last task and before [`on_worker_stop`](crate::pool::PoolBuilder::on_worker_stop), in the
/// reverse order of their making. So a value need be neither `Send` nor `Sync`. When the last clone
/// is gone, each worker drops its value as soon as it has run a task and finds no other. A worker
/// that sleeps keeps it until then. Make one `WorkerLocal` per pool, not one per task.
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
///
/// Guide: [first steps](crate::guide::first_steps).
pub struct WorkerLocal<T> {
    owner: u32,
    key: Arc<Key>,
    init: Arc<dyn Fn() -> T + Send + Sync>,
}

impl<T: 'static> WorkerLocal<T> {
    pub(crate) fn new(owner: u32, init: impl Fn() -> T + Send + Sync + 'static) -> Self {
        Self {
            owner,
            key: Arc::new(Key(NEXT_KEY.fetch_add(1, Ordering::Relaxed))),
            init: Arc::new(init),
        }
    }

    /// Calls `f` with this worker's value. The first call makes the value. Calls may be nested.
    ///
    /// # Panics
    /// On a thread that is not a worker of the pool, and in an init closure that wants the value
    /// that it is making. If an init closure panics, its task fails, and the next call tries again.
    ///
    /// ```
    /// # let pool = millhand::ThreadPool::new(1)?;
    /// let id = pool.worker_local(|| std::thread::current().id());
    /// let handle = pool.submit(move || id.with(|id| *id == std::thread::current().id()));
    /// assert!(handle.join().unwrap());
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn with<R>(&self, f: impl FnOnce(&T) -> R) -> R {
        assert!(
            task::is_worker_of(self.owner),
            "a WorkerLocal<{}> was used outside the workers of its pool",
            type_name::<T>()
        );
        let value = self.find().unwrap_or_else(|| self.make());
        match value.downcast_ref() {
            Some(value) => f(value),
            None => unreachable!("a key has one type"),
        }
    }

    fn find(&self) -> Option<Rc<dyn Any>> {
        VALUES.with_borrow(|values| Some(values.made.get(self.key.0)?.value.clone()))
    }

    #[cold]
    fn make(&self) -> Rc<dyn Any> {
        let fresh: Rc<dyn Any> = {
            let _making = Making::begin::<T>(self.key.0);
            Rc::new((self.init)())
        };
        if let Some(earlier) = self.find() {
            panic::discard(fresh);
            return earlier;
        }
        let is_due = VALUES.with_borrow_mut(|values| {
            values.next_order += 1;
            let made = Made {
                value: fresh.clone(),
                key: Arc::downgrade(&self.key),
                order: values.next_order,
            };
            values.made.insert(self.key.0, made);
            values.made.len() > values.release_at
        });
        if is_due {
            release();
        }
        fresh
    }
}

/// Exists while an init closure runs.
struct Making;

impl Making {
    fn begin<T>(key: u64) -> Self {
        let by = (key, task::current::top_id());
        let begun = VALUES.with_borrow_mut(|values| {
            let begun = values.making.contains(&by);
            if !begun {
                values.making.push(by);
            }
            begun
        });
        assert!(
            !begun,
            "the init closure of a WorkerLocal<{}> wants the value that it is making",
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

/// How many keys of all pools are gone. After a change each worker must call `release`.
#[inline]
pub(crate) fn gone() -> u64 {
    GONE.load(Ordering::Relaxed)
}

/// Drops those of this thread's values whose keys are gone.
#[cold]
pub(crate) fn release() {
    drop_values(|made| made.key.strong_count() == 0);
    VALUES.with_borrow_mut(|values| {
        values.release_at = RELEASE_FROM.max(2 * values.made.len());
    });
}

/// Drops all of this thread's values. The drops cannot make new ones, since the thread is not a
/// worker any more.
pub(crate) fn drop_all() {
    drop_values(|_| true);
}

/// In the reverse order of their making.
fn drop_values(which: impl Fn(&Made) -> bool) {
    let dropped = VALUES.with_borrow_mut(|values| {
        let made = values.made.iter();
        let keys: Vec<_> = made
            .filter(|(_, made)| which(made))
            .map(|(key, _)| key)
            .collect();
        let mut dropped = NumberMap::new();
        for made in keys.into_iter().filter_map(|key| values.made.remove(key)) {
            dropped.insert(u64::MAX - made.order, made);
        }
        dropped
    });
    for made in dropped.into_values() {
        panic::shield("the drop of a worker's value", || drop(made));
    }
}

impl<T> Clone for WorkerLocal<T> {
    fn clone(&self) -> Self {
        Self {
            owner: self.owner,
            key: self.key.clone(),
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
