//! The task's side: what the body that runs here can ask.
//!
//! Layer 2. The worker's thread knows its [`Host`]; the bodies on its stack (one, or several when a body waits for a
//! queued task and runs it right there) are its frames, the innermost last.

use crate::cancel::CancelToken;
use crate::error::Stopped;
use crate::here;
use crate::id::TaskId;
use crate::panic;
use crate::reason::CancelReason;
use crate::sim;
use crate::task::any::TaskRef;
use crossbeam_utils::atomic::AtomicCell;
use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The bodies on one worker's stack, the innermost last. The worker pushes and pops; whoever lists what runs, or
/// cancels it, looks.
//
// A job is told of by plain stores, since it is over in no time as often as not. They may be seen in the midst of change:
// whoever looks has a site and a number that were there at the same time, or nothing.
pub(crate) struct Frames {
    tasks: parking_lot::Mutex<Vec<TaskRef>>,
    /// The job at the bottom, as long as no task stands in for it.
    site: AtomicCell<Option<Site>>,
    number: AtomicCell<TaskId>,
    /// Whether a task does. The worker's own.
    stood_in: AtomicBool,
}

type Site = &'static Location<'static>;

impl Frames {
    pub(crate) fn new() -> Self {
        Self {
            // Room for the usual depth, so that no first task allocates.
            tasks: parking_lot::Mutex::new(Vec::with_capacity(4)),
            site: AtomicCell::new(None),
            number: AtomicCell::new(TaskId::next()),
            stood_in: AtomicBool::new(false),
        }
    }

    pub(crate) fn push(&self, task: TaskRef) {
        self.tasks.lock().push(task);
    }

    pub(crate) fn pop(&self) -> Option<TaskRef> {
        self.tasks.lock().pop()
    }

    pub(crate) fn top(&self) -> Option<TaskRef> {
        self.tasks.lock().last().cloned()
    }

    pub(crate) fn has(&self, task: TaskId) -> bool {
        self.tasks.lock().iter().any(|body| body.id() == task)
    }

    pub(crate) fn all(&self) -> Vec<TaskRef> {
        self.tasks.lock().clone()
    }

    /// A job begins.
    pub(crate) fn begin(&self, id: TaskId, site: Site) {
        self.number.store(id);
        self.site.store(Some(site));
    }

    /// The job, if no task stands in for it.
    pub(crate) fn job(&self) -> Option<(TaskId, Site)> {
        let id = self.number.load();
        let site = self.site.load()?;
        // A number is never there twice.
        (self.number.load() == id).then_some((id, site))
    }

    /// From here on `task` stands in for the job.
    pub(crate) fn stand_in(&self, task: TaskRef) {
        self.stood_in.store(true, Ordering::Relaxed);
        let mut tasks = self.tasks.lock();
        tasks.push(task);
        self.site.store(None);
    }

    /// The job has ended; gives what stood in for it.
    pub(crate) fn end(&self) -> Option<TaskRef> {
        if self.stood_in.load(Ordering::Relaxed) {
            self.stood_in.store(false, Ordering::Relaxed);
            return self.pop();
        }
        self.site.store(None);
        None
    }
}

/// The worker on whose thread a body runs, as the task sees it.
pub(crate) trait Host: Send + Sync {
    fn index(&self) -> usize;
    /// The tag of its pool.
    fn owner(&self) -> u32;
    /// The innermost of its bodies.
    fn innermost(&self) -> Option<TaskRef>;
    /// Runs a queued task right here, on the stack of the body that waits for it; says whether it did.
    fn run_here(&self, task: &TaskRef) -> bool;
    /// The pool, for the layer that knows its type.
    fn pool(&self) -> Arc<dyn Any + Send + Sync>;
}

thread_local! {
    static HOST: RefCell<Option<Arc<dyn Host>>> = const { RefCell::new(None) };
}

/// Makes this thread a worker, or an ordinary thread again.
pub(crate) fn set_host(host: Option<Arc<dyn Host>>) {
    HOST.with(|mine| *mine.borrow_mut() = host);
}

/// The worker that this thread is.
pub(crate) fn host() -> Option<Arc<dyn Host>> {
    HOST.try_with(|host| host.borrow().clone()).unwrap_or(None)
}

/// Whether this thread is a worker of the pool with this tag.
pub(crate) fn is_worker_of(owner: u32) -> bool {
    HOST.try_with(|host| {
        host.borrow()
            .as_ref()
            .is_some_and(|host| host.owner() == owner)
    })
    .unwrap_or(false)
}

/// The token of the body that runs here.
pub(crate) fn token_here() -> Option<CancelToken> {
    innermost().map(|task| task.attempt_token())
}

fn innermost() -> Option<TaskRef> {
    HOST.try_with(|host| host.borrow().as_ref()?.innermost())
        .unwrap_or(None)
}

/// The task whose body runs on this thread; `None` outside a task.
///
/// ```
/// let pool = millhand::ThreadPool::new(1)?;
/// let handle = pool.task().name("index").submit(|| {
///     let me = millhand::current().expect("inside a task");
///     (me.id(), me.name().map(String::from))
/// });
/// let id = handle.id();
/// assert_eq!(handle.join().unwrap(), (id, Some("index".to_owned())));
/// assert!(millhand::current().is_none());
/// # Ok::<(), millhand::BuildError>(())
/// ```
pub fn current() -> Option<Current> {
    let host = host()?;
    let task = host.innermost()?;
    let name = task.name();
    Some(Current { host, task, name })
}

/// The task that runs here; from [`current`].
///
/// ```
/// let pool = millhand::ThreadPool::new(1)?;
/// let handle = pool.submit(|| {
///     let me: millhand::Current = millhand::current().unwrap();
///     me.worker()
/// });
/// assert_eq!(handle.join().unwrap(), 0);
/// # Ok::<(), millhand::BuildError>(())
/// ```
pub struct Current {
    host: Arc<dyn Host>,
    task: TaskRef,
    name: Option<Arc<str>>,
}

impl Current {
    /// Its id.
    ///
    /// ```
    /// # let pool = millhand::ThreadPool::new(1)?;
    /// let handle = pool.submit(|| millhand::current().unwrap().id());
    /// let id = handle.id();
    /// assert_eq!(handle.join().unwrap(), id);
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn id(&self) -> TaskId {
        self.task.id()
    }

    /// Its name, if it was given one.
    ///
    /// ```
    /// # let pool = millhand::ThreadPool::new(1)?;
    /// let task = pool.task().name("index");
    /// let name = task.submit(|| millhand::current().unwrap().name().map(String::from));
    /// assert_eq!(name.join().unwrap().as_deref(), Some("index"));
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The index of the worker that runs it: below the pool's number of workers, unless a spare runs it.
    ///
    /// ```
    /// # let pool = millhand::ThreadPool::new(2)?;
    /// let worker = pool.submit(|| millhand::current().unwrap().worker()).join().unwrap();
    /// assert!(worker < 2);
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn worker(&self) -> usize {
        self.host.index()
    }

    /// Its token, the one that the handle's `cancel` sets. To hand on to what the body starts: a child of it stops
    /// with the task.
    ///
    /// ```
    /// # let pool = millhand::ThreadPool::new(1)?;
    /// let child = pool.submit(|| millhand::current().unwrap().token().child());
    /// assert!(!child.join().unwrap().is_cancelled());
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn token(&self) -> CancelToken {
        self.task.clone().attempt_token()
    }

    /// The number of this attempt, from 1.
    ///
    /// ```
    /// use millhand::Retry;
    /// use std::time::Duration;
    ///
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let flaky = pool.task().retry(Retry::fixed(5, Duration::ZERO)).submit(|| {
    ///     let attempt = millhand::current().unwrap().attempt();
    ///     if attempt < 3 { Err("not yet") } else { Ok(attempt) }
    /// });
    /// assert_eq!(flaky.join().unwrap(), Ok(3));
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn attempt(&self) -> u32 {
        self.task.attempt().0
    }

    /// What the attempt before failed with, as text; `None` in the first attempt, or when it cannot be told. Told are a
    /// panic's message, a time-out, and errors that are strings, boxed errors or std's; for others,
    /// [`show_errors`](crate::TaskBuilder::show_errors) says how.
    ///
    /// ```
    /// use millhand::Retry;
    /// use std::time::Duration;
    ///
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let told = pool.task().retry(Retry::fixed(1, Duration::ZERO)).submit(|| {
    ///     millhand::current().unwrap().last_error().ok_or("the disk is full")
    /// });
    /// assert_eq!(told.join().unwrap().as_deref(), Ok("the disk is full"));
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn last_error(&self) -> Option<Arc<str>> {
        self.task.attempt().1
    }

    /// The time left until the first of the deadline of the task's token, its `attempt_timeout` and its `total_timeout`;
    /// zero once it has passed, `None` without any. To be handed on to a socket or a child process.
    ///
    /// ```
    /// use millhand::{CancelToken, ThreadPool};
    /// use std::time::Duration;
    ///
    /// let pool = ThreadPool::new(1)?;
    /// let token = CancelToken::with_timeout(Duration::from_secs(30));
    /// let task = pool.task().token(&token);
    /// let left = task.submit(|| millhand::current().unwrap().remaining()).join().unwrap();
    /// assert!(left.unwrap() <= Duration::from_secs(30));
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn remaining(&self) -> Option<Duration> {
        match (self.task.time_left(), self.token().remaining()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    pub(crate) fn host(&self) -> &dyn Host {
        &*self.host
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Current")
            .field("id", &self.id())
            .field("name", &self.name)
            .field("worker", &self.worker())
            .finish_non_exhaustive()
    }
}

fn stop_reason() -> Option<CancelReason> {
    sim::poll();
    innermost()?.stop_reason()
}

/// Whether the task that runs here was asked to stop. Outside a task: no.
///
/// ```
/// let pool = millhand::ThreadPool::new(1)?;
/// let spinning = pool.submit(|| while !millhand::is_cancelled() { std::hint::spin_loop() });
/// spinning.cancel();
/// # drop(pool);
/// # Ok::<(), millhand::BuildError>(())
/// ```
pub fn is_cancelled() -> bool {
    stop_reason().is_some()
}

/// An error if the task that runs here was asked to stop, for `?`. Outside a task: always `Ok`.
///
/// ```
/// fn work() -> Result<u32, millhand::Stopped> {
///     for _ in 0..3 {
///         millhand::check()?;
///     }
///     Ok(3)
/// }
/// assert_eq!(work(), Ok(3));
/// ```
///
/// # Errors
/// [`Stopped`], with the reason, when the task was asked to stop.
pub fn check() -> Result<(), Stopped> {
    match stop_reason() {
        Some(reason) => Err(Stopped::new(reason)),
        None => Ok(()),
    }
}

/// Leaves the running body if its task was asked to stop: unwinds without a panic's noise, and the task settles by the
/// reason. Outside a task, and while nobody asked, it does nothing.
///
/// For bodies that have no `Result` to return. It needs unwinding: with `panic = "abort"` use [`check`].
///
/// ```
/// use millhand::{CancelOutcome, TaskError, ThreadPool};
///
/// let pool = ThreadPool::new(1)?;
/// let (tell, told) = std::sync::mpsc::channel();
/// let endless = pool.submit(move || loop {
///     let _ = tell.send(());
///     millhand::checkpoint();
/// });
/// told.recv()?;
/// assert_eq!(endless.cancel(), CancelOutcome::Requested);
/// assert!(matches!(endless.join(), Err(TaskError::Cancelled(_))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn checkpoint() {
    if let Some(reason) = stop_reason() {
        panic::unwind(reason);
    }
}

/// Sleeps for `duration`, or until the task that runs here is asked to stop. The seat is given up meanwhile, so a
/// sleeping body keeps no other task from running. Outside a task it sleeps the whole time. In a task it goes by the clock
/// of the task's pool.
///
/// ```
/// use std::time::Duration;
///
/// millhand::sleep(Duration::from_millis(1))?;
/// # Ok::<(), millhand::Stopped>(())
/// ```
///
/// # Errors
/// [`Stopped`], with the reason, when the task was asked to stop before or while it slept.
pub fn sleep(duration: Duration) -> Result<(), Stopped> {
    let token = token_here().unwrap_or_default();
    let clock = here::clock();
    token.wait_by(&clock, clock.deadline(duration));
    match token.reason() {
        Some(reason) => Err(Stopped::new(reason)),
        None => Ok(()),
    }
}
