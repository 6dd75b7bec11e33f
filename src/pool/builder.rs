//! How a pool is to be.
//!
//! Layer 3.

use crate::clock::Clock;
use crate::error::BuildError;
use crate::panic::TaskPanic;
use crate::pool::core::Core;
use crate::pool::options::{OnFull, Options};
use crate::pool::thread_pool::ThreadPool;
use crate::task::Current;
use std::fmt;
use std::sync::Arc;

/// Sets a pool up; from [`ThreadPool::builder`].
///
/// ```
/// use millhand::{OnFull, ThreadPool};
///
/// let pool = ThreadPool::builder()
///     .workers(4)
///     .name_prefix("resize")
///     .queue_capacity(1000)
///     .on_full(OnFull::Reject)
///     .build()?;
/// assert_eq!(pool.workers(), 4);
///
/// let error = ThreadPool::builder().workers(0).build().unwrap_err();
/// assert_eq!(error.to_string(), "the pool's `workers` is not allowed: it must be from 1 to 65,536");
/// # Ok::<(), millhand::BuildError>(())
/// ```
#[derive(Clone, Default)]
#[must_use]
pub struct PoolBuilder {
    options: Options,
}

impl ThreadPool {
    /// A pool of `workers` threads, 1 or more, with everything else as it is by default.
    ///
    /// # Errors
    /// [`BuildError`] for no workers, or when the system refuses even one thread.
    ///
    /// ```
    /// use millhand::ThreadPool;
    ///
    /// assert_eq!(ThreadPool::new(3)?.workers(), 3);
    /// assert!(ThreadPool::new(0).is_err());
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn new(workers: usize) -> Result<Self, BuildError> {
        Self::builder().workers(workers).build()
    }

    /// A pool with options; see [`PoolBuilder`].
    ///
    /// ```
    /// let pool = millhand::ThreadPool::builder().workers(2).build()?;
    /// assert_eq!(pool.workers(), 2);
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn builder() -> PoolBuilder {
        PoolBuilder::default()
    }
}

impl PoolBuilder {
    /// How many workers, 1 or more. Default: as many as the system says can run at once.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::builder().workers(2).build()?;
    /// assert_eq!(pool.workers(), 2);
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn workers(mut self, workers: usize) -> Self {
        self.options.workers = workers;
        self
    }

    /// The clock that everything timed of it goes by: delays, retries, time limits, waits. Default: that of the pool in whose
    /// task it is built, elsewhere the system's.
    ///
    /// ```
    /// use millhand::{ManualClock, ThreadPool};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let pool = ThreadPool::builder().workers(1).clock(&clock.clock()).build()?;
    /// let later = pool.task().delay(Duration::from_secs(3600)).submit(|| 7);
    /// clock.advance(Duration::from_secs(3600));
    /// assert_eq!(later.join().unwrap(), 7);
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn clock(mut self, clock: &Clock) -> Self {
        self.options.clock = clock.clone();
        self
    }

    /// What the names of the threads begin with; a dash and the worker's index follow. Default: `millhand`.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::builder().workers(1).name_prefix("resize").build()?;
    /// let name = pool.submit(|| std::thread::current().name().map(String::from)).join().unwrap();
    /// assert_eq!(name.as_deref(), Some("resize-0"));
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn name_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.options.name_prefix = prefix.into();
        self
    }

    /// The stack of each worker in bytes, 65,536 or more. Default: 2 MiB.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::builder().stack_size(64 << 20).build()?;
    /// let big = pool.submit(|| std::hint::black_box([1u8; 4 << 20]).len());
    /// assert_eq!(big.join().unwrap(), 4 << 20);
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.options.stack_size = bytes;
        self
    }

    /// How many tasks may be queued, 1 or more, those that are delayed or wait at a gate for the first time included; running
    /// ones do not count, nor does what waits for a retry, nor what a worker of the pool submits itself. Default: unbounded.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::builder().queue_capacity(1).build()?;
    /// assert_eq!(pool.submit(|| 7).join().unwrap(), 7);
    /// assert!(millhand::ThreadPool::builder().queue_capacity(0).build().is_err());
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn queue_capacity(mut self, tasks: usize) -> Self {
        self.options.queue_capacity = Some(tasks);
        self
    }

    /// What a full queue does. Default: [`OnFull::Block`].
    ///
    /// ```
    /// use millhand::{OnFull, ThreadPool};
    ///
    /// let pool = ThreadPool::builder().queue_capacity(1).on_full(OnFull::Reject).build()?;
    /// assert_eq!(pool.submit(|| 7).join().unwrap(), 7); // there was a place
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn on_full(mut self, on_full: OnFull) -> Self {
        self.options.on_full = on_full;
        self
    }

    /// How many threads may be started beyond the workers, for bodies that wait. Default: 256.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::builder().workers(2).max_spares(0).build()?;
    /// pool.submit(|| millhand::sleep(std::time::Duration::from_millis(1))).join().unwrap().unwrap();
    /// assert_eq!(pool.threads(), 2); // no spare came
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn max_spares(mut self, threads: usize) -> Self {
        self.options.max_spares = threads;
        self
    }

    /// Called with the worker's index on each of the pool's threads before its first task, spares included. It is no
    /// task: what it submits counts as from outside, and it cannot wait for the pool. A panic in it is logged.
    pub fn on_worker_start(mut self, hook: impl Fn(usize) + Send + Sync + 'static) -> Self {
        self.options.on_worker_start = Some(Arc::new(hook));
        self
    }

    /// Called with the worker's index on each of the pool's threads after its last task, whatever ended it; otherwise as
    /// [`on_worker_start`](Self::on_worker_start).
    ///
    /// ```
    /// use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    /// use std::sync::Arc;
    ///
    /// let threads = Arc::new(AtomicUsize::new(0));
    /// let (up, down) = (threads.clone(), threads.clone());
    /// let pool = millhand::ThreadPool::builder()
    ///     .on_worker_start(move |_| { up.fetch_add(1, Relaxed); })
    ///     .on_worker_stop(move |_| { down.fetch_sub(1, Relaxed); })
    ///     .build()?;
    /// pool.execute(|| panic!("a worker survives this")).unwrap();
    /// drop(pool);
    /// assert_eq!(threads.load(Relaxed), 0);
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn on_worker_stop(mut self, hook: impl Fn(usize) + Send + Sync + 'static) -> Self {
        self.options.on_worker_stop = Some(Arc::new(hook));
        self
    }

    /// Called around every attempt of every task, on its worker, to carry what goes by threads: a span, a locale, a
    /// database handle. It gets the task and the attempt's body, which it is to call once; [`current`](crate::current) is the
    /// task in it, and its time counts as the attempt's.
    ///
    /// The body never panics: what became of it is told to the handle, whatever the hook does. A panic in the hook is
    /// logged. A body that it has not called is run after it, without it, which is logged as a warning; a second call does
    /// nothing.
    ///
    /// ```
    /// use millhand::{ContextVar, ThreadPool};
    ///
    /// static LABEL: ContextVar<String> = ContextVar::new(String::new());
    ///
    /// let pool = ThreadPool::builder()
    ///     .around_task(|task, body| {
    ///         let label = format!("{} on {}", task.name().unwrap_or("task"), task.worker());
    ///         LABEL.with(label, body);
    ///     })
    ///     .workers(1)
    ///     .build()?;
    /// let label = pool.task().name("upload").submit(|| LABEL.get());
    /// assert_eq!(label.join().unwrap(), "upload on 0");
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn around_task(
        mut self,
        hook: impl Fn(&Current, &mut dyn FnMut()) + Send + Sync + 'static,
    ) -> Self {
        self.options.around_task = Some(Arc::new(hook));
        self
    }

    /// Called with each panic that nobody can read any more: the task had no handle, or its handle was dropped unread.
    /// On the thread on which that came about; it is logged as an error in any case.
    ///
    /// ```
    /// let (tell, told) = std::sync::mpsc::channel();
    /// let pool = millhand::ThreadPool::builder()
    ///     .on_unread_panic(move |panic| tell.send(panic.message().to_owned()).unwrap())
    ///     .build()?;
    /// pool.execute(|| panic!("into the void")).unwrap();
    /// assert_eq!(told.recv()?, "into the void");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_unread_panic(mut self, hook: impl Fn(&TaskPanic) + Send + Sync + 'static) -> Self {
        self.options.on_unread_panic = Some(Arc::new(hook));
        self
    }

    /// Starts the pool.
    ///
    /// Where the system grants some of the threads and refuses others, the pool runs with those it got and logs a
    /// warning.
    ///
    /// # Errors
    /// [`BuildError::Invalid`] for an option out of its range, [`BuildError::Spawn`] when not one thread was granted.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::builder().build()?;
    /// assert!(pool.workers() >= 1);
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn build(self) -> Result<ThreadPool, BuildError> {
        self.options.check()?;
        let core = Core::start(self.options).map_err(BuildError::Spawn)?;
        Ok(ThreadPool::new_with(core))
    }
}

impl fmt::Debug for PoolBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options {
            workers,
            clock,
            name_prefix,
            stack_size,
            queue_capacity,
            on_full,
            max_spares,
            around_task,
            on_worker_start,
            on_worker_stop,
            on_unread_panic,
        } = &self.options;
        f.debug_struct("PoolBuilder")
            .field("workers", workers)
            .field("clock", clock)
            .field("name_prefix", name_prefix)
            .field("stack_size", stack_size)
            .field("queue_capacity", queue_capacity)
            .field("on_full", on_full)
            .field("max_spares", max_spares)
            .field("around_task", &around_task.is_some())
            .field("on_worker_start", &on_worker_start.is_some())
            .field("on_worker_stop", &on_worker_stop.is_some())
            .field("on_unread_panic", &on_unread_panic.is_some())
            .finish()
    }
}
