//! The options of a pool, their defaults and limits, and the builder that sets them.

use crate::clock::Clock;
use crate::clock::current;
use crate::observe::Observers;
use crate::pool::core::Core;
use crate::pool::current::Current;
use crate::pool::error::BuildError;
use crate::pool::pool::ThreadPool;
use crate::pool::shutdown_options::Shutdown;
use crate::task::UnreadFailure;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub(crate) type TaskHook = Arc<dyn Fn(&Current, &mut dyn FnMut()) + Send + Sync>;
pub(crate) type WorkerHook = Arc<dyn Fn(usize) + Send + Sync>;
type UnreadHook = Arc<dyn Fn(&UnreadFailure) + Send + Sync>;

/// Chooses what a full queue does with a submission from outside of the pool.
///
/// ```
/// use millhand::error::Rejection;
/// use millhand::{OnFull, ThreadPool};
/// # use std::sync::mpsc::channel;
///
/// let pool = ThreadPool::builder().workers(1).queue_capacity(1).on_full(OnFull::Reject).build()?;
/// # let (send, receive) = channel();
/// # let (hold, held) = channel::<()>();
/// pool.execute(move || {
///     // busy for a while
///     # send.send(()).unwrap();
///     # let _ = held.recv();
/// });
/// # receive.recv()?;
/// pool.execute(|| println!("takes the place in the queue"));
/// let refused = pool.try_execute(|| println!("too many")).unwrap_err();
/// assert_eq!(refused.reason(), Rejection::Full);
/// # drop(hold);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Guide: [limits](crate::guide::limits).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnFull {
    /// Submitters wait for a place.
    #[default]
    Block,
    /// Submissions are refused.
    Reject,
}

/// The options of a pool. Set by the builder, read by the core.
#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) workers: usize,
    pub(crate) clock: Clock,
    pub(crate) name_prefix: String,
    pub(crate) stack_size: usize,
    pub(crate) queue_capacity: Option<usize>,
    pub(crate) on_full: OnFull,
    pub(crate) max_threads: Option<usize>,
    pub(crate) on_drop: Shutdown,
    pub(crate) around_task: Option<TaskHook>,
    pub(crate) on_worker_start: Option<WorkerHook>,
    pub(crate) on_worker_stop: Option<WorkerHook>,
    pub(crate) on_unread: Option<UnreadHook>,
    pub(crate) observers: Observers,
    pub(crate) slow_task: Option<Duration>,
    pub(crate) stalled: Option<Duration>,
    pub(crate) track_queue: bool,
    /// For how many names the times are kept.
    #[cfg(feature = "histograms")]
    pub(crate) histograms: Option<usize>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            clock: current::clock(),
            name_prefix: "millhand".to_owned(),
            stack_size: 2 << 20,
            queue_capacity: None,
            on_full: OnFull::default(),
            max_threads: None,
            on_drop: Shutdown::drain(),
            around_task: None,
            on_worker_start: None,
            on_worker_stop: None,
            on_unread: None,
            observers: Observers::default(),
            slow_task: None,
            stalled: None,
            track_queue: false,
            #[cfg(feature = "histograms")]
            histograms: None,
        }
    }
}

const MAX_WORKERS: usize = 65_536;
/// Threads beyond the workers, unless `max_threads` is set.
const SPARES: usize = 256;
const MIN_STACK: usize = 64 << 10;

impl Options {
    /// How many threads may be started beyond the workers.
    pub(crate) fn max_spares(&self) -> usize {
        self.max_threads
            .map_or(SPARES, |threads| threads.saturating_sub(self.workers))
    }

    /// Whether each submission has more to do than a push.
    pub(crate) fn is_special(&self) -> bool {
        self.queue_capacity.is_some()
            || self.clock.is_simulated()
            || self.track_queue
            || !self.observers.is_empty()
    }

    pub(crate) fn waits_when_full(&self) -> bool {
        self.on_full == OnFull::Block
    }

    fn check(&self) -> Result<(), BuildError> {
        let refuse = |option, allowed| Err(BuildError::Invalid { option, allowed });
        check_workers(self.workers)?;
        if self.name_prefix.contains('\0') {
            return refuse("name_prefix", "a text without NUL characters");
        }
        if self.stack_size < MIN_STACK {
            return refuse("stack_size", "at least 65,536 bytes");
        }
        if self.queue_capacity == Some(0) {
            return refuse(
                "queue_capacity",
                "at least 1 (leave it out for an unbounded queue)",
            );
        }
        let fits = |threads: usize| threads >= self.workers && threads <= 2 * MAX_WORKERS;
        let is_zero = |limit: Option<Duration>| limit.is_some_and(|limit| limit.is_zero());
        if is_zero(self.slow_task) {
            return refuse("slow_task", "more than zero (leave it out for no watchdog)");
        }
        if is_zero(self.stalled) {
            return refuse("stalled", "more than zero (leave it out for no watchdog)");
        }
        #[cfg(feature = "histograms")]
        if self.histograms == Some(0) {
            return refuse("histograms", "at least 1 (leave it out for no histograms)");
        }
        if !self.max_threads.is_none_or(fits) {
            return refuse(
                "max_threads",
                "at least the number of workers, and at most 131,072",
            );
        }
        Ok(())
    }
}

pub(crate) fn check_workers(workers: usize) -> Result<(), BuildError> {
    if (1..=MAX_WORKERS).contains(&workers) {
        return Ok(());
    }
    Err(BuildError::Invalid {
        option: "workers",
        allowed: "from 1 to 65,536",
    })
}

/// Sets the options of a pool and starts it. Returned by [`ThreadPool::builder`].
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
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
///
/// Guide: [performance](crate::guide::performance).
#[derive(Clone, Default)]
#[must_use]
pub struct PoolBuilder {
    pub(super) options: Options,
}

impl ThreadPool {
    /// Starts a pool of `workers` threads, 1 or more, with the default of every other option.
    ///
    /// # Errors
    /// [`BuildError`] for no workers, or if the system refuses every thread.
    ///
    /// ```
    /// use millhand::ThreadPool;
    ///
    /// assert_eq!(ThreadPool::new(3)?.workers(), 3);
    /// assert!(ThreadPool::new(0).is_err());
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn new(workers: usize) -> Result<Self, BuildError> {
        Self::builder().workers(workers).build()
    }

    /// Makes a builder for a pool with options; see [`PoolBuilder`].
    ///
    /// ```
    /// let pool = millhand::ThreadPool::builder().workers(2).build()?;
    /// assert_eq!(pool.workers(), 2);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn builder() -> PoolBuilder {
        PoolBuilder::default()
    }
}

impl PoolBuilder {
    /// Sets the number of workers, 1 or more. Default: the number of threads that the system says
    /// can run at once.
    ///
    /// Each is a thread. Linux gives about 16,000 to a process, unless `vm.max_map_count` says
    /// otherwise. Beyond that std ends the process as it starts a thread.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::builder().workers(2).build()?;
    /// assert_eq!(pool.workers(), 2);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn workers(mut self, workers: usize) -> Self {
        self.options.workers = workers;
        self
    }

    /// Sets the clock that the pool uses for everything timed: delays, retries, time limits, waits.
    ///
    /// Default: inside a task the clock of that task's pool, elsewhere the clock of the system.
    ///
    /// ```
    /// use millhand::testing::ManualClock;
    /// use millhand::ThreadPool;
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let pool = ThreadPool::builder().workers(1).clock(&clock).build()?;
    /// let later = pool.task().delay(Duration::from_secs(3600)).submit(|| 7);
    /// clock.advance(Duration::from_secs(3600));
    /// assert_eq!(later.join().unwrap(), 7);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.options.clock = clock.into();
        self
    }

    /// Sets the beginning of the names of the threads; a dash and the worker's index follow.
    /// Default: `millhand`.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::builder().workers(1).name_prefix("resize").build()?;
    /// let name = pool.submit(|| std::thread::current().name().map(String::from)).join().unwrap();
    /// assert_eq!(name.as_deref(), Some("resize-0"));
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn name_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.options.name_prefix = prefix.into();
        self
    }

    /// Sets the size of each worker's stack in bytes, 65,536 or more. Default: 2 MiB.
    ///
    /// A worker calls a large closure where it is in memory, so a closure may be as large as the
    /// stack of its submitter allows: as for `std::thread::spawn`. A result is moved over the
    /// stack of the worker and that of the thread that joins. A result of more than about 64 KiB
    /// is better returned in a `Box`.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::builder().stack_size(64 << 20).build()?;
    /// let big = pool.submit(|| std::hint::black_box([1u8; 4 << 20]).len());
    /// assert_eq!(big.join().unwrap(), 4 << 20);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.options.stack_size = bytes;
        self
    }

    /// Bounds the number of queued tasks, 1 or more. Default: unbounded.
    ///
    /// A task counts until it first runs, also while it is delayed or waits at a gate. Running
    /// tasks do not count. Nor do tasks that wait for a retry, and tasks that a worker of the pool
    /// submits: those are not bounded.
    ///
    /// A task that is cancelled gives its place back at once. One that expires does so when a
    /// worker has dropped its closure. So the capacity also bounds the memory of what other
    /// threads submit: the queue keeps at most as many entries of tasks that are over as of
    /// tasks that wait, and a few.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::builder().queue_capacity(1).build()?;
    /// assert_eq!(pool.submit(|| 7).join().unwrap(), 7);
    /// assert!(millhand::ThreadPool::builder().queue_capacity(0).build().is_err());
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn queue_capacity(mut self, tasks: usize) -> Self {
        self.options.queue_capacity = Some(tasks);
        self
    }

    /// Chooses what a full queue does. Default: [`OnFull::Block`].
    ///
    /// ```
    /// use millhand::{OnFull, ThreadPool};
    ///
    /// let pool = ThreadPool::builder().queue_capacity(1).on_full(OnFull::Reject).build()?;
    /// assert_eq!(pool.submit(|| 7).join().unwrap(), 7); // there was a place
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn on_full(mut self, on_full: OnFull) -> Self {
        self.options.on_full = on_full;
        self
    }

    /// Bounds the number of threads of the pool: its workers, and the threads that it starts for
    /// bodies that wait. Default: 256 more than the workers.
    /// [`set_workers`](ThreadPool::set_workers) moves the bound by as much as it adds or removes.
    ///
    /// At the bound the pool starts one more thread only where no body runs and nothing else would
    /// end the waits. It does so for a task that a body has submitted, if that body waits, and for
    /// a task from outside, if every body waits for tasks of this pool. Such a thread ends when it
    /// has no such task.
    ///
    /// A wait for time, for a promise, in [`blocking`](crate::blocking) or for another pool counts
    /// as one that ends by itself: the pool then does not start a thread beyond the bound for tasks
    /// from outside, nor for tasks that were submitted by bodies no deeper than the one that waits
    /// so. Where a promise is kept by another task of the same pool, or where the bodies of two
    /// pools wait for each other's tasks, leave the bound above the number of bodies that wait so
    /// at the same time.
    ///
    /// A body that still runs after its [`total_timeout`](crate::TaskBuilder::total_timeout) keeps
    /// its thread. If such bodies have all threads that the bound allows, the pool runs nothing
    /// until one of them returns.
    ///
    /// A body that polls without a wait of this library keeps its run slot.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::builder().workers(2).max_threads(2).build()?;
    /// pool.submit(|| millhand::sleep(std::time::Duration::from_millis(1))).join().unwrap().unwrap();
    /// assert_eq!(pool.threads(), 2); // no spare was started
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    #[doc(alias = "max_spares")]
    pub fn max_threads(mut self, threads: usize) -> Self {
        self.options.max_threads = Some(threads);
        self
    }

    /// Chooses how the drop of the pool shuts it down. Default: [`Shutdown::drain`].
    ///
    /// For a pool whose tasks may run for ever, or whose work is of no use once its owner is gone.
    /// A pool that was shut down before keeps to that, too: the drop ends it no later than this
    /// allows.
    ///
    /// A worker of the pool itself cannot wait for its end. Dropped there, the pool closes or
    /// cancels at once, and the times of [`cancel_after`](Shutdown::cancel_after) and
    /// [`give_up_after`](Shutdown::give_up_after) are not kept.
    ///
    /// ```
    /// use millhand::{Shutdown, ThreadPool};
    /// use std::time::Duration;
    ///
    /// let pool = ThreadPool::builder().on_drop(Shutdown::cancel()).build()?;
    /// let watch = pool.submit(|| millhand::sleep(Duration::from_secs(3600)));
    /// drop(pool); // does not wait for an hour
    /// assert!(watch.is_finished());
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn on_drop(mut self, how: Shutdown) -> Self {
        self.options.on_drop = how;
        self
    }

    /// Sets a hook that runs on each thread of the pool, spares included, before its first task.
    /// It is called with the worker's index.
    ///
    /// The hook is not a task: what it submits counts as from outside, and it cannot wait for the
    /// pool. A panic in it is logged.
    ///
    /// ```
    /// let (send, receive) = std::sync::mpsc::channel();
    /// let pool = millhand::ThreadPool::builder()
    ///     .workers(2)
    ///     .on_worker_start(move |index| send.send(index).unwrap())
    ///     .build()?;
    /// let mut started = [receive.recv()?, receive.recv()?];
    /// started.sort();
    /// assert_eq!(started, [0, 1]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_worker_start(mut self, hook: impl Fn(usize) + Send + Sync + 'static) -> Self {
        self.options.on_worker_start = Some(Arc::new(hook));
        self
    }

    /// Sets a hook that runs on each thread of the pool after its last task, even if the thread
    /// ends by a fault. Otherwise it is like [`on_worker_start`](Self::on_worker_start).
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
    /// pool.execute(|| panic!("a worker survives this"));
    /// drop(pool);
    /// assert_eq!(threads.load(Relaxed), 0);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn on_worker_stop(mut self, hook: impl Fn(usize) + Send + Sync + 'static) -> Self {
        self.options.on_worker_stop = Some(Arc::new(hook));
        self
    }

    /// Sets a hook around every attempt of every task, for what belongs to a thread while it runs
    /// the task: a span, a locale, a database handle.
    ///
    /// The hook runs on the worker. It gets the task and the attempt's body, and should call the
    /// body once. In it, [`current`](crate::current) is the task, and its time counts as the
    /// attempt's.
    ///
    /// The body never panics: its outcome goes to the handle, whatever the hook does. A panic in
    /// the hook is logged. A body that the hook has not called runs after the hook, without it,
    /// and a warning is logged. A second call does nothing.
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
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn around_task(
        mut self,
        hook: impl Fn(&Current, &mut dyn FnMut()) + Send + Sync + 'static,
    ) -> Self {
        self.options.around_task = Some(Arc::new(hook));
        self
    }

    /// Sets a hook for failures that no code can read any more: the task had no handle, or its
    /// handle was dropped unread. [`UnreadFailure`] says what these are.
    ///
    /// The hook runs on the thread where that happened. The failure is logged as an error in any
    /// case. A panic in the hook is logged. What fails on this thread while the
    /// hook runs, as a submission to a pool that is closed, is logged, and calls no hook.
    ///
    /// ```
    /// let (send, receive) = std::sync::mpsc::channel();
    /// let pool = millhand::ThreadPool::builder()
    ///     .on_unread(move |failure| send.send(failure.to_string()).unwrap())
    ///     .build()?;
    /// pool.task().name("draft").execute_ok(|| std::fs::remove_file("no such file"));
    /// assert!(receive.recv()?.contains("`draft`")); // and more: where it was submitted, and why
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_unread(mut self, hook: impl Fn(&UnreadFailure) + Send + Sync + 'static) -> Self {
        self.options.on_unread = Some(Arc::new(hook));
        self
    }

    /// Starts the pool.
    ///
    /// If the system grants only some of the threads, the pool runs with those, and a warning is
    /// logged.
    ///
    /// # Errors
    /// [`BuildError::Invalid`] for an option out of its range, [`BuildError::Spawn`] if the system
    /// refuses every thread.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::builder().build()?;
    /// assert!(pool.workers() >= 1);
    /// # Ok::<(), millhand::pool::BuildError>(())
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
            max_threads,
            on_drop,
            around_task,
            on_worker_start,
            on_worker_stop,
            on_unread,
            observers,
            slow_task,
            stalled,
            track_queue,
            #[cfg(feature = "histograms")]
            histograms,
        } = &self.options;
        let mut text = f.debug_struct("PoolBuilder");
        text.field("workers", workers)
            .field("clock", clock)
            .field("name_prefix", name_prefix)
            .field("stack_size", stack_size)
            .field("queue_capacity", queue_capacity)
            .field("on_full", on_full)
            .field("max_threads", max_threads)
            .field("on_drop", on_drop)
            .field("around_task", &around_task.is_some())
            .field("on_worker_start", &on_worker_start.is_some())
            .field("on_worker_stop", &on_worker_stop.is_some())
            .field("on_unread", &on_unread.is_some())
            .field("observed", &!observers.is_empty())
            .field("slow_task", slow_task)
            .field("stalled", stalled)
            .field("track_queue", track_queue);
        #[cfg(feature = "histograms")]
        text.field("histograms", histograms);
        text.finish()
    }
}
