//! The pool as its owner sees it.
//!
//! Layer 3.

use crate::error::{BuildError, PoolError, SubmitError};
use crate::pool::core::{Core, PLAIN, Spec};
use crate::pool::options::check_workers;
use crate::pool::pool_ref::PoolRef;
use crate::pool::queue::RunQueue;
use crate::pool::report::ShutdownReport;
use crate::pool::shutdown::Shutdown;
use crate::pool::submit::{TaskBuilder, verbs};
use crate::pool::worker_local::WorkerLocal;
use crate::sim::{self, Sim};
use crate::task::{PlainWork, TaskHandle};
use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

/// A pool of worker threads that run tasks.
///
/// This is the owner: dropping it takes no more tasks, runs all it has to the end, and joins the threads. Dropped on
/// one of its own workers, which cannot wait for itself, it closes, and the threads leave by themselves once all is
/// done. Other threads reach it through a reference (`&ThreadPool` is `Send` and `Sync`), an `Arc`, or a weak
/// [`PoolRef`]; tasks through [`current`](crate::current).
///
/// In a child process made by `fork` there are no workers: what would wait for them says so instead
/// ([`TaskError::Forked`](crate::TaskError::Forked) and its kin), as far as the copied memory allows (a lock that
/// another thread held while the process forked stays locked for ever). Build a pool in the child.
///
/// ```
/// let pool = millhand::ThreadPool::new(4)?;
/// let handles: Vec<_> = (1..=3).map(|n| pool.submit(move || n * 10)).collect();
/// let sum: i32 = handles.into_iter().map(|handle| handle.join().unwrap()).sum();
/// assert_eq!(sum, 60);
/// # Ok::<(), millhand::BuildError>(())
/// ```
///
/// What a task borrows must live for ever, since nothing here waits for it:
///
/// ```compile_fail,E0597
/// let pool = millhand::ThreadPool::new(1).unwrap();
/// let local = String::from("on this stack");
/// let borrowed = &local;
/// let handle = pool.submit(move || borrowed.len());
/// ```
///
/// And it goes to another thread:
///
/// ```compile_fail,E0277
/// let pool = millhand::ThreadPool::new(1).unwrap();
/// let counter = std::rc::Rc::new(1);
/// let handle = pool.submit(move || *counter);
/// ```
///
/// There is one owner:
///
/// ```compile_fail,E0599
/// let pool = millhand::ThreadPool::new(1).unwrap();
/// let second = pool.clone();
/// ```
pub struct ThreadPool {
    core: Arc<Core>,
    /// Until it is shut down, even if that ends by a panic.
    _in_simulation: Option<sim::Pool>,
}

impl ThreadPool {
    pub(crate) fn new_with(core: Arc<Core>) -> Self {
        let _in_simulation = core.clock().simulated().map(Sim::pool_begins);
        Self {
            core,
            _in_simulation,
        }
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    fn parts(&self) -> (&Arc<Core>, &Spec) {
        (&self.core, &PLAIN)
    }

    verbs!([T], FnOnce() -> T, |_: &Self, f| PlainWork(f));

    /// A template for tasks with options; see [`TaskBuilder`].
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let handle = pool.task().name("resize").submit(|| 7);
    /// assert_eq!(handle.name().as_deref(), Some("resize"));
    /// # drop(handle);
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn task(&self) -> TaskBuilder {
        TaskBuilder::new(self.core.clone(), ())
    }

    /// Runs `f` once on every worker there is now, spares included, and gives a handle each. A busy worker comes to it
    /// after its present task.
    ///
    /// For what each thread has of its own: caches to be emptied, thread-locals to be read. A worker's task that joins
    /// another worker's handle waits until that one has time.
    ///
    /// # Errors
    /// The closure, when the pool is closed.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(3)?;
    /// let handles = pool.broadcast(|| std::thread::current().id())?;
    /// let threads: Result<std::collections::HashSet<_>, _> = handles.into_iter().map(|h| h.join()).collect();
    /// assert_eq!(threads?.len(), 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn broadcast<F, T>(&self, f: F) -> Result<Vec<TaskHandle<T>>, SubmitError<F>>
    where
        F: Fn() -> T + Send + Sync + 'static,
        T: Send + 'static,
    {
        let site = Location::caller();
        let shared = Arc::new(f);
        let work = || {
            let shared = shared.clone();
            PlainWork(move || shared())
        };
        match self.core.broadcast(site, work) {
            Ok(handles) => Ok(handles),
            Err(reason) => match Arc::into_inner(shared) {
                Some(f) => Err(SubmitError::new(reason, f)),
                None => unreachable!("a refused broadcast has posted nothing"),
            },
        }
    }

    /// A value of each worker's own, made by `init` on that worker when it is first used there; see [`WorkerLocal`].
    ///
    /// ```
    /// use std::cell::Cell;
    ///
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let uses = pool.worker_local(|| Cell::new(0)); // neither `Send` nor `Sync` is asked for
    /// let count = || {
    ///     let uses = uses.clone();
    ///     pool.submit(move || uses.with(|uses| uses.replace(uses.get() + 1))).join()
    /// };
    /// assert_eq!((count()?, count()?), (0, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn worker_local<T: 'static>(
        &self,
        init: impl Fn() -> T + Send + Sync + 'static,
    ) -> WorkerLocal<T> {
        WorkerLocal::new(self.core.owner(), init)
    }

    /// Changes the number of workers of the live pool, 1 or more. New ones start at once, superfluous ones leave after
    /// their present task; no task is lost. Gives the number that there are now, fewer than asked for when the system
    /// refuses threads (which is logged), none when the pool has shut down.
    ///
    /// # Errors
    /// [`BuildError::Invalid`] for a number out of range; the pool stays as it was.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// assert_eq!(pool.set_workers(3)?, 3);
    /// assert_eq!(pool.workers(), 3);
    /// assert!(pool.set_workers(0).is_err());
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn set_workers(&self, workers: usize) -> Result<usize, BuildError> {
        check_workers(workers)?;
        Ok(self.core.resize(workers))
    }

    /// The number of workers: of tasks that run at once.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(3)?;
    /// assert_eq!(pool.workers(), 3);
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn workers(&self) -> usize {
        self.core.seats.seats()
    }

    /// The number of threads: the workers, and the spares that stand in for bodies that wait.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(3)?;
    /// assert_eq!(pool.threads(), 3); // nothing waits
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn threads(&self) -> usize {
        self.core.seats.threads()
    }

    /// About how many tasks are queued, a moment ago.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// (0..10).for_each(|_| pool.execute(|| ()).unwrap());
    /// assert!(pool.queued() <= 10);
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn queued(&self) -> usize {
        self.core.queue.len()
    }

    /// How many panics nobody could read: of tasks without a handle, or with one that was dropped unread.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// pool.execute(|| panic!("into the void"))?;
    /// pool.shutdown(millhand::Shutdown::drain())?;
    /// assert_eq!(pool.unread_panics(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn unread_panics(&self) -> u64 {
        self.core.counts.unread_panics.sum()
    }

    /// Waits until nothing is queued and nothing runs. Any number of threads may wait at once; tasks may be submitted
    /// meanwhile.
    ///
    /// # Errors
    /// [`PoolError::InsideTask`] from one of the pool's own tasks, [`PoolError::Forked`] in a forked child.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(2)?;
    /// (0..10).for_each(|_| pool.execute(|| ()).unwrap());
    /// pool.wait_idle()?;
    /// assert_eq!(pool.queued(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wait_idle(&self) -> Result<(), PoolError> {
        self.core.may_wait()?;
        self.core.wait_quiet(None);
        Ok(())
    }

    /// As [`wait_idle`](Self::wait_idle), `timeout` long at most (counted from the call; one that overflows the clock
    /// means for ever); says whether the pool was idle.
    ///
    /// # Errors
    /// As [`wait_idle`](Self::wait_idle).
    ///
    /// ```
    /// # use std::time::Duration;
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let (hold, held) = std::sync::mpsc::channel::<()>();
    /// pool.execute(move || { let _ = held.recv(); })?;
    /// assert!(!pool.wait_idle_timeout(Duration::from_millis(1))?);
    /// drop(hold);
    /// assert!(pool.wait_idle_timeout(Duration::from_secs(60))?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wait_idle_timeout(&self, timeout: Duration) -> Result<bool, PoolError> {
        self.core.may_wait()?;
        let deadline = self.core.clock().deadline(timeout);
        Ok(self.core.wait_quiet(deadline))
    }

    /// Shuts the pool down as `how` says, waits for it, and reports; see [`Shutdown`].
    ///
    /// Called again, or from two threads at once, it goes on with what was begun (cancelling, where one of the calls
    /// says so), and reports again.
    ///
    /// # Errors
    /// [`PoolError::InsideTask`] from one of the pool's own tasks, [`PoolError::Forked`] in a forked child.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// pool.execute(|| ())?;
    /// assert_eq!(pool.shutdown(millhand::Shutdown::drain())?.completed(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn shutdown(&self, how: Shutdown) -> Result<ShutdownReport, PoolError> {
        self.core.shutdown(&how)
    }

    /// Whether the pool takes no more tasks from outside.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// assert!(!pool.is_closed());
    /// pool.shutdown(millhand::Shutdown::drain())?;
    /// assert!(pool.is_closed());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_closed(&self) -> bool {
        self.core.is_closed()
    }

    /// A reference that does not keep the pool open.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let weak = pool.downgrade();
    /// drop(pool);
    /// assert!(weak.execute(|| ()).is_err());
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn downgrade(&self) -> PoolRef {
        PoolRef::new(self.core.clone())
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        self.core.drop_owner();
    }
}

impl fmt::Debug for ThreadPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            core,
            _in_simulation: _,
        } = self;
        core.fmt_as("ThreadPool", f)
    }
}
