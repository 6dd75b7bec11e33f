//! The pool as users see it: what can be submitted to, its owner, and references to it.

use crate::clock::PoolGuard;
use crate::error::SubmitError;
use crate::pool::builder::check_workers;
use crate::pool::core::{Core, PLAIN, Spec};
use crate::pool::error::{BuildError, PoolError};
use crate::pool::report::ShutdownReport;
use crate::pool::shutdown_options::Shutdown;
use crate::pool::template::TaskBuilder;
use crate::pool::verbs::{execute, execute_ok, submit_verbs};
use crate::pool::worker_local::WorkerLocal;
use crate::task::body::{FallibleBody, PlainBody};
use crate::task::{Promise, Task, TaskHandle, promise_of};
use std::fmt::{self, Display};
use std::ops::Deref;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

/// Submits tasks to a pool: the methods that the owner of a pool, [`ThreadPool`], and a reference
/// to it, [`PoolHandle`], have in common.
///
/// Both dereference to it, so a function that takes a `&Pool` works with either. A program cannot
/// make or clone a `Pool`.
///
/// ```
/// use millhand::{Pool, ThreadPool};
///
/// fn double(pool: &Pool, n: u32) -> u32 {
///     pool.submit(move || 2 * n).join().unwrap()
/// }
///
/// let pool = ThreadPool::new(1)?;
/// assert_eq!(double(&pool, 4), 8);
/// assert_eq!(double(&pool.handle(), 4), 8);
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
///
/// Guide: [first steps](crate::guide::first_steps).
pub struct Pool {
    core: Arc<Core>,
}

impl Pool {
    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// Changes the number of workers; see [`ThreadPool::set_workers`].
    pub(crate) fn resize(&self, workers: usize) -> Result<usize, BuildError> {
        check_workers(workers)?;
        if self.core.is_foreign() {
            return Err(BuildError::Forked);
        }
        Ok(self.core.resize(workers))
    }

    fn parts(&self) -> (&Arc<Core>, &Spec) {
        (&self.core, &PLAIN)
    }

    submit_verbs!([T], FnOnce() -> T, |pool, f| PlainBody::new(f));
    execute!(|pool, f| PlainBody::new(f));
    execute_ok!([E: Display], FnOnce() -> Result<(), E>, |pool, f| FallibleBody::new(f));

    /// Makes a template for tasks with options; see [`TaskBuilder`].
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let handle = pool.task().name("resize").submit(|| 7);
    /// assert_eq!(handle.name().as_deref(), Some("resize"));
    /// # drop(handle);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn task(&self) -> TaskBuilder {
        TaskBuilder::new(self.core.clone(), ())
    }

    /// Makes a handle for a result that comes from elsewhere, such as a callback, and the promise
    /// that settles it; see [`promise`](crate::promise()).
    ///
    /// This one belongs to the pool: `then`, `map` and their like continue it there, its waits
    /// use the clock of the pool, and a body of the pool that waits for it counts as one that waits
    /// for another body. So let the bodies of the same pool keep it, or code that waits for none of
    /// them. The pool does not wait for it when it shuts down.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let (promise, handle) = pool.promise::<u32>();
    /// let double = handle.map(|n| 2 * n);
    /// std::thread::spawn(move || promise.complete(21));
    /// assert_eq!(double.join().unwrap(), 42);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    #[track_caller]
    pub fn promise<T: Send + 'static>(&self) -> (Promise<T>, TaskHandle<T>) {
        promise_of(self.core.owner(), Location::caller())
    }

    /// Returns the number of workers, which is the number of tasks that can run at once.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(3)?;
    /// assert_eq!(pool.workers(), 3);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn workers(&self) -> usize {
        self.core.run_slots.count()
    }

    /// Returns whether the pool takes no more tasks from outside.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let handle = pool.handle();
    /// assert!(!pool.is_closed());
    /// pool.shutdown(millhand::Shutdown::drain())?;
    /// assert!(pool.is_closed() && handle.is_closed());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_closed(&self) -> bool {
        self.core.is_closed()
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { core } = self;
        core.fmt_as("Pool", f)
    }
}

/// A pool of worker threads that run tasks.
///
/// So many bodies run at once as the pool has workers. A body that waits in the library (for a
/// task, a permit, a sleep, in [`blocking`](crate::blocking)) does not count: another thread takes
/// its place meanwhile, one that is started for that if need be. So when 20 bodies that sleep wake
/// together on 2 workers, all 20 run on. To bound that, use a [`Semaphore`](crate::Semaphore) as a
/// gate. [`max_threads`](crate::pool::PoolBuilder::max_threads) bounds the threads.
///
/// This is the owner of the pool. Its drop takes no more tasks, runs all tasks that the pool has
/// to their end, and joins the threads; [`on_drop`](crate::pool::PoolBuilder::on_drop) changes
/// that. A worker of the pool itself cannot wait for that: dropped there, the pool closes, and the
/// threads exit once all is done.
///
/// While its thread panics, the drop cancels in place of draining: queued tasks are cancelled, and
/// running ones are asked to stop. A body that has not stopped within a second goes on, and the
/// drop returns. So a test whose assertion fails ends, also if a body sleeps by a
/// [`ManualClock`](crate::testing::ManualClock) that is not turned any more.
///
/// It submits by the methods of [`Pool`], to which it dereferences. Other threads use a reference
/// (`&ThreadPool` is `Send` and `Sync`), an `Arc`, or a [`PoolHandle`]. Tasks reach their pool
/// through [`current`](crate::current).
///
/// A child process made by `fork` has no workers. Calls that would wait for them return an error
/// ([`TaskError::Forked`](crate::TaskError::Forked) and similar ones), as far as the copied memory
/// allows: a lock that another thread held during the fork stays locked for ever. Submissions are
/// refused ([`Rejection::Forked`](crate::error::Rejection::Forked)), with one exception, since the
/// check costs a system call: a task without a gate, a delay or a time limit is refused only if a
/// worker was asleep during the fork and none was looking for work. If it is taken, it never runs.
/// Build a new pool in the child.
///
/// ```
/// let pool = millhand::ThreadPool::new(4)?;
/// let handles: Vec<_> = (1..=3).map(|n| pool.submit(move || n * 10)).collect();
/// let sum: i32 = handles.into_iter().map(|handle| handle.join().unwrap()).sum();
/// assert_eq!(sum, 60);
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
///
/// A task may outlive the function that submits it, so it cannot borrow from that function:
///
/// ```compile_fail,E0597
/// let pool = millhand::ThreadPool::new(1).unwrap();
/// let local = String::from("on this stack");
/// let borrowed = &local;
/// let handle = pool.submit(move || borrowed.len());
/// ```
///
/// A task runs on another thread, so what it captures must be `Send`:
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
///
/// Guide: [first steps](crate::guide::first_steps).
pub struct ThreadPool {
    pool: Pool,
    /// Kept until the shutdown has ended, even if it ends by a panic.
    _in_simulation: Option<PoolGuard>,
}

impl Deref for ThreadPool {
    type Target = Pool;

    fn deref(&self) -> &Pool {
        &self.pool
    }
}

impl ThreadPool {
    pub(crate) fn new_with(core: Arc<Core>) -> Self {
        let _in_simulation = core.clock().keep_simulation();
        Self {
            pool: Pool { core },
            _in_simulation,
        }
    }

    /// Runs `f` once on every worker that there is now, spares included, and returns one handle
    /// per worker. A busy worker runs it after its present task.
    ///
    /// For what each thread has of its own: caches to be emptied, thread-locals to be read. A
    /// worker's task that joins another worker's handle waits until that worker is free. If it
    /// waits for its own worker's handle, it runs `f` right there, since no other worker can: then
    /// neither a time limit nor a cancelled scope ends the wait before `f` returns. Only
    /// [`join`](TaskHandle::join) passes a request to stop on to `f`.
    ///
    /// # Errors
    /// Returns the closure if the pool is closed.
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
        let mut make = |head| {
            let shared = shared.clone();
            Task::new(head, PlainBody::new(move || shared()))
        };
        match self.core.broadcast(site, &mut make) {
            Ok(tasks) => Ok(tasks.into_iter().map(TaskHandle::new).collect()),
            Err(reason) => match Arc::into_inner(shared) {
                Some(f) => Err(SubmitError::new(reason, f)),
                None => unreachable!("a refused broadcast has posted nothing"),
            },
        }
    }

    /// Makes a value that each worker has of its own. A worker calls `init` when it first uses the
    /// value; see [`WorkerLocal`].
    ///
    /// ```
    /// use std::cell::Cell;
    ///
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let uses = pool.worker_local(|| Cell::new(0)); // need be neither `Send` nor `Sync`
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

    /// Changes the number of workers of the running pool, 1 or more. Returns the number that there
    /// are now.
    ///
    /// New workers start at once. Surplus workers exit after their present task; no task is lost.
    /// There are fewer than asked for if the system refuses threads, which is logged, and none if
    /// the pool has shut down.
    ///
    /// # Errors
    /// [`BuildError::Invalid`] for a number out of range, [`BuildError::Forked`] in a forked child;
    /// the pool stays as it was.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// assert_eq!(pool.set_workers(3)?, 3);
    /// assert_eq!(pool.workers(), 3);
    /// assert!(pool.set_workers(0).is_err());
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn set_workers(&self, workers: usize) -> Result<usize, BuildError> {
        self.resize(workers)
    }

    /// Returns the number of threads: the workers, and the spare threads that run tasks while
    /// other bodies wait.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(3)?;
    /// assert_eq!(pool.threads(), 3); // no body waits
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn threads(&self) -> usize {
        self.core.run_slots.threads()
    }

    /// Returns how many tasks are ready and wait for a worker.
    ///
    /// Tasks that are not due, that wait at a gate, for another attempt or for other tasks do not
    /// count, nor do those that were cancelled. [`wait_idle`](Self::wait_idle) waits for more than
    /// these. A task with gates counts until a worker has asked them for the first time. The number
    /// is about right: it changes all the time.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// (0..10).for_each(|_| pool.execute(|| ()));
    /// assert!(pool.queued() <= 10);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn queued(&self) -> usize {
        self.core.queue.waiting()
    }

    /// Waits until no task is left: none is queued or runs, and none waits for its time, at a gate,
    /// for another attempt or for other tasks. Schedules do not count, only the runs that they have
    /// submitted. Any number of threads may wait at once, and tasks may be submitted meanwhile. By
    /// then the closures of all tasks are dropped, except one that another thread cancels at that
    /// moment.
    ///
    /// # Errors
    /// [`PoolError::InsideTask`] in one of the pool's own tasks, [`PoolError::Forked`] in a forked
    /// child, [`PoolError::Interrupted`] when the task of another pool that waits is asked to stop.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(2)?;
    /// (0..10).for_each(|_| pool.execute(|| ()));
    /// pool.wait_idle()?;
    /// assert_eq!(pool.queued(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wait_idle(&self) -> Result<(), PoolError> {
        self.core.may_wait()?;
        self.core.wait_idle(None).map(drop)
    }

    /// Does what [`wait_idle`](Self::wait_idle) does, and waits `timeout` at most. Returns whether
    /// the pool was idle.
    ///
    /// The timeout counts from the call. One that overflows the clock means for ever.
    ///
    /// # Errors
    /// Those of [`wait_idle`](Self::wait_idle).
    ///
    /// ```
    /// # use std::time::Duration;
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let (hold, held) = std::sync::mpsc::channel::<()>();
    /// pool.execute(move || { let _ = held.recv(); });
    /// assert!(!pool.wait_idle_timeout(Duration::from_millis(1))?);
    /// drop(hold);
    /// assert!(pool.wait_idle_timeout(Duration::from_secs(60))?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wait_idle_timeout(&self, timeout: Duration) -> Result<bool, PoolError> {
        self.core.may_wait()?;
        let deadline = self.core.clock().deadline(timeout);
        self.core.wait_idle(deadline)
    }

    /// Shuts the pool down, waits for its end, and reports. `how` is a [`Shutdown`].
    ///
    /// Blocks. In a task of another pool the run slot is released meanwhile.
    ///
    /// A further call, or one from another thread at the same time, continues the shutdown that
    /// was begun, and reports again. It cancels what is left if either call asks for that. A
    /// `give_up_after` ends its own call alone.
    ///
    /// During a drain the pool still takes what its own bodies submit. Once the shutdown cancels,
    /// it rejects that as closed.
    ///
    /// # Errors
    /// [`PoolError::InsideTask`] in one of the pool's own tasks, [`PoolError::Forked`] in a forked
    /// child. [`PoolError::Interrupted`], if the task that waits is asked to stop: the pool stays
    /// closed and goes on to run its tasks. A further call, or the drop of the pool, waits for the
    /// end, and cancels or gives up at the latest when this call would have.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// pool.execute(|| ());
    /// assert_eq!(pool.shutdown(millhand::Shutdown::drain())?.succeeded(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn shutdown(&self, how: Shutdown) -> Result<ShutdownReport, PoolError> {
        self.core.shutdown(&how)
    }

    /// Stops the intake, and does not wait: from now on the pool refuses tasks from outside. It
    /// still takes what its own tasks submit.
    ///
    /// What was submitted runs, and no work is lost: tasks that are not yet due stay, until a
    /// shutdown or the drop of the pool decides about them. Schedules end, and submitters that wait
    /// for a place in a full queue are refused. Once all is done, the threads exit.
    ///
    /// Continuations that wait for another pool or for a promise are cancelled when nothing else is
    /// left, as by any drain. In a forked child this does nothing.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let last = pool.submit(|| 7);
    /// pool.close();
    /// assert!(pool.try_execute(|| ()).is_err());
    /// assert_eq!(last.join()?, 7);
    /// assert_eq!(pool.shutdown(millhand::Shutdown::drain())?.succeeded(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn close(&self) {
        self.core.stop_intake();
    }

    /// Returns a handle of the pool, to submit from elsewhere: it can be cloned and sent, and does
    /// not keep the pool open.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let handle = pool.handle();
    /// drop(pool);
    /// assert!(handle.try_execute(|| ()).is_err());
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    #[doc(alias = "downgrade")]
    pub fn handle(&self) -> PoolHandle {
        PoolHandle::new(self.core.clone())
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
            pool,
            _in_simulation: _,
        } = self;
        pool.core.fmt_as("ThreadPool", f)
    }
}

/// Submits to a pool without keeping it open. Returned by [`ThreadPool::handle`], and in a task by
/// [`Current::pool`](crate::pool::Current::pool).
///
/// It submits by the methods of [`Pool`], to which it dereferences. Clones are cheap. Once the
/// owner has shut the pool down or dropped it, submissions are refused as
/// [`Rejection::Closed`](crate::error::Rejection::Closed). After that the reference keeps a few
/// kilobytes of memory alive, and no thread.
///
/// ```
/// use millhand::error::Rejection;
/// use millhand::ThreadPool;
///
/// let pool = ThreadPool::new(1)?;
/// let handle = pool.handle();
/// assert_eq!(handle.submit(|| 7).join().unwrap(), 7);
/// drop(pool);
/// assert_eq!(handle.try_submit(|| 7).unwrap_err().reason(), Rejection::Closed);
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
///
/// Guide: [first steps](crate::guide::first_steps).
pub struct PoolHandle {
    pool: Pool,
}

impl PoolHandle {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self {
            pool: Pool { core },
        }
    }
}

impl Deref for PoolHandle {
    type Target = Pool;

    fn deref(&self) -> &Pool {
        &self.pool
    }
}

impl Clone for PoolHandle {
    fn clone(&self) -> Self {
        Self::new(self.core.clone())
    }
}

impl fmt::Debug for PoolHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pool } = self;
        pool.core.fmt_as("PoolHandle", f)
    }
}
