//! The template: a builder of tasks with options.

use crate::cancel::CancelToken;
use crate::error::InvalidTask;
use crate::limit::{Gate, GateRequest};
use crate::pool::core::{Core, Spec};
use crate::pool::verbs::{execute, execute_ok, submit_verbs};
use crate::retry::Retry;
use crate::task::body::{FallibleBody, PlainBody, RetryBody};
use crate::task::options::TaskOptions;
use crate::task::{Rules, Summary};
use std::fmt::{self, Display};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The kind of a [`TaskBuilder`] whose closures return any value. No value counts as a failure.
///
/// ```
/// use millhand::pool::Plain;
/// use millhand::TaskBuilder;
///
/// let pool = millhand::ThreadPool::new(1)?;
/// let tasks: TaskBuilder<Plain> = pool.task();
/// assert_eq!(tasks.submit(|| 7).join().unwrap(), 7);
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
///
/// Guide: [first steps](crate::guide::first_steps).
#[derive(Clone, Debug)]
pub struct Plain(());

/// The kind of a [`TaskBuilder`] whose closures return a `Result`. An `Err` counts as a failure.
///
/// ```
/// use millhand::pool::Fallible;
/// use millhand::TaskBuilder;
///
/// let pool = millhand::ThreadPool::new(1)?;
/// let tasks: TaskBuilder<Fallible> = pool.task().fallible();
/// assert!(tasks.submit(|| "x".parse::<u8>()).join_ok().is_err());
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
///
/// Guide: [errors](crate::guide::errors).
#[derive(Clone, Debug)]
pub struct Fallible(());

/// The kind of a [`TaskBuilder`] whose closures are `FnMut() -> Result<T, E>`, and run again if
/// they fail with an `E`.
///
/// ```
/// use millhand::pool::Retrying;
/// use millhand::{Retry, TaskBuilder};
/// use std::num::ParseIntError;
///
/// let pool = millhand::ThreadPool::new(1)?;
/// let tasks: TaskBuilder<Retrying<ParseIntError>> = pool.task().retry(Retry::default());
/// assert_eq!(tasks.submit(|| "7".parse::<u8>()).join_ok()?, 7);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Guide: [time](crate::guide::time).
pub struct Retrying<E>(pub(crate) Arc<Rules<E>>);

impl<E> Clone for Retrying<E> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// Submits tasks with options: a template that is set up once and serves any number of submissions.
/// Returned by [`Pool::task`](crate::Pool::task).
///
/// Options that contradict each other are refused at a submission, as
/// [`Rejection::Invalid`](crate::error::Rejection::Invalid). [`check`](Self::check) finds them when
/// the program starts. A limit that another one always comes before, as it may where both are read
/// from a file, is allowed: the earlier one counts.
///
/// ```
/// use millhand::CancelToken;
///
/// let pool = millhand::ThreadPool::new(2)?;
/// let uploads = CancelToken::new();
/// let upload = pool.task().name("upload").token(&uploads);
/// let handles: Vec<_> = (0..3).map(|n| upload.submit(move || n * n)).collect();
/// let squares: Result<Vec<_>, _> = handles.into_iter().map(|handle| handle.join()).collect();
/// assert_eq!(squares.unwrap(), [0, 1, 4]);
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
///
/// `P` is where its tasks are submitted to: `()` stands for the pool, `&Scope` for a scope
/// ([`Scope::task`](crate::Scope::task)).
///
/// Guide: [first steps](crate::guide::first_steps).
#[must_use = "a template does nothing until something is submitted with it"]
pub struct TaskBuilder<K = Plain, P = ()> {
    core: Arc<Core>,
    spec: Spec,
    kind: K,
    place: P,
}

impl<K, P> TaskBuilder<K, P> {
    fn into_kind<L>(self, kind: L) -> TaskBuilder<L, P> {
        TaskBuilder {
            core: self.core,
            spec: self.spec,
            kind,
            place: self.place,
        }
    }

    pub(crate) fn with_options(mut self, change: impl FnOnce(&mut TaskOptions)) -> Self {
        change(Arc::make_mut(self.spec.options.get_or_insert_default()));
        self
    }

    /// Names the tasks, for logs, panics and lists. The tasks share the name; it is not copied.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let handle = pool.task().name("resize").submit(|| 7);
    /// assert_eq!(handle.name().as_deref(), Some("resize"));
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.spec.name = Some(name.into());
        self
    }

    /// Takes the times of the tasks as if they had a name: how long each waits and runs, for
    /// summaries, events, histograms and the list of live tasks. Others read no clock.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let (send, receive) = std::sync::mpsc::channel();
    /// let timed = pool.task().timed().on_finish(move |summary| send.send(summary.waited).unwrap());
    /// timed.submit(|| ()).join().unwrap();
    /// assert!(receive.recv()?.is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn timed(mut self) -> Self {
        self.spec.is_timed = true;
        self
    }

    /// Calls `f` at the end of each task, with its [`Summary`]: also for those that are cancelled,
    /// late or rejected. Only the last hook that is set counts.
    ///
    /// The hook runs where the task ends, as a callback of [`TaskHandle::on_finish`] does, before
    /// the callbacks of the task's handle. It may run before `submit` has returned the handle, and
    /// after a `join` of that handle has returned. A panic in it is logged.
    ///
    /// ```
    /// use millhand::ThreadPool;
    /// use millhand::task::OutcomeKind;
    ///
    /// let pool = ThreadPool::new(1)?;
    /// let (send, receive) = std::sync::mpsc::channel();
    /// let upload = pool.task().name("upload").on_finish(move |summary| {
    ///     send.send((summary.outcome, summary.error.clone())).unwrap();
    /// });
    /// upload.execute(|| panic!("no route"));
    /// let (outcome, error) = receive.recv()?;
    /// assert_eq!((outcome, error.as_deref()), (OutcomeKind::Panicked, Some("no route")));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// [`Summary`]: crate::task::Summary
    /// [`TaskHandle::on_finish`]: crate::TaskHandle::on_finish
    pub fn on_finish(mut self, f: impl Fn(&Summary) + Send + Sync + 'static) -> Self {
        self.spec.on_finish = Some(Arc::new(f));
        self
    }

    /// Cancels the tasks with `token`: to cancel the token cancels them all, queued or running.
    ///
    /// Each task has a child of it as its own token. Only the last token that is set counts.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let batch = millhand::CancelToken::new();
    /// batch.cancel();
    /// assert!(pool.task().token(&batch).submit(|| 7).join().is_err());
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn token(mut self, token: &CancelToken) -> Self {
        self.spec.token = Some(token.clone());
        self
    }

    /// Chooses which ready tasks run first: those of higher priority. Default: 0.
    ///
    /// Tasks of equal priority run in the order in which they became ready. Tasks below 0 run if
    /// no others are ready. So that no task starves, a worker now and then takes one of lower
    /// priority: a normal task beside any number of higher ones, and one below 0 beside both.
    /// Among the tasks above 0 a higher one always comes first. In the line of a gate a task of
    /// higher priority passes none that came before it.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// # let (send, receive) = std::sync::mpsc::channel();
    /// # let (hold, held) = std::sync::mpsc::channel::<()>();
    /// # pool.execute(move || { send.send(()).unwrap(); let _ = held.recv(); });
    /// # receive.recv().unwrap();
    /// let (write, read) = std::sync::mpsc::channel();
    /// for priority in [-1, 0, 1] {
    ///     let write = write.clone();
    ///     pool.task().priority(priority).execute(move || write.send(priority).unwrap());
    /// }
    /// # drop((hold, write));
    /// assert_eq!(read.iter().take(3).collect::<Vec<_>>(), [1, 0, -1]);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn priority(self, priority: i32) -> Self {
        self.with_options(|options| options.priority = priority)
    }

    /// Delays the tasks: each joins the queue this long after its submission, by the pool's
    /// [clock](crate::testing::Clock::now). That is monotonic: setting the time of day changes
    /// nothing, and on most systems the time in which the machine sleeps does not count.
    ///
    /// It takes its place in a bounded queue at the submission. A delay that overflows the clock is
    /// for ever.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let later = pool.task().delay(Duration::from_millis(5)).submit(|| 7);
    /// assert_eq!(later.join().unwrap(), 7);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    ///
    /// To run something once when events stop coming, which is called debouncing, let each event
    /// replace the task of the one before:
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let later = pool.task().delay(Duration::from_millis(5));
    /// let mut save = None;
    /// for event in ["a", "ab", "abc"] {
    ///     // The drop of the handle before cancels its task.
    ///     save = Some(later.submit(move || event.len()).cancel_on_drop());
    /// }
    /// assert_eq!(save.unwrap().join().unwrap(), 3);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    #[doc(alias = "debounce")]
    #[doc(alias = "setTimeout")]
    #[doc(alias = "schedule_once")]
    pub fn delay(self, delay: Duration) -> Self {
        self.with_options(|options| options.delay = Some(delay))
    }

    /// Delays the tasks until `instant` of the pool's clock
    /// ([`Clock::now`](crate::testing::Clock::now)). If it has passed, they join the queue at once.
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    ///
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let soon = Instant::now() + Duration::from_millis(5);
    /// let at = pool.task().delay_until(soon).submit(Instant::now).join().unwrap();
    /// assert!(at >= soon);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn delay_until(self, instant: Instant) -> Self {
        self.with_options(|options| options.delay_until = Some(instant))
    }

    /// Settles a task as [`TaskError::Expired`](crate::TaskError::Expired) if its first attempt has
    /// not started this long after the task was due. More than zero.
    ///
    /// The time in the queue and at all gates counts.
    ///
    /// ```
    /// use millhand::{TaskError, ThreadPool};
    /// use std::time::Duration;
    ///
    /// let pool = ThreadPool::new(1)?;
    /// # let (send, receive) = std::sync::mpsc::channel();
    /// let (hold, held) = std::sync::mpsc::channel::<()>();
    /// pool.execute(move || {
    ///     # send.send(()).unwrap();
    ///     let _ = held.recv(); // the only worker is busy
    /// });
    /// # receive.recv().unwrap();
    /// let stale = pool.task().expires(Duration::from_millis(5)).submit(|| "news");
    /// assert!(matches!(stale.join(), Err(TaskError::Expired(_))));
    /// # drop(hold);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn expires(self, after: Duration) -> Self {
        self.with_options(|options| options.expires = Some(after))
    }

    /// Asks an attempt to stop this long after it began, by its token. More than zero.
    ///
    /// An `Ok` that comes late stands. A failure that comes late, or a body that leaves at a
    /// checkpoint, is [`TaskError::TimedOut`](crate::TaskError::TimedOut), and may be retried.
    ///
    /// The body must check its token, or pass
    /// [`current().remaining()`](crate::pool::Current::remaining) on to what it waits for. A body
    /// that does neither goes on; [`total_timeout`](Self::total_timeout) limits it.
    ///
    /// ```
    /// use millhand::{TaskError, ThreadPool};
    /// use std::time::Duration;
    ///
    /// let pool = ThreadPool::new(1)?;
    /// let slow = pool.task().attempt_timeout(Duration::from_millis(5)).submit(|| -> u32 {
    ///     loop { millhand::checkpoint() }
    /// });
    /// assert!(matches!(slow.join(), Err(TaskError::TimedOut)));
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn attempt_timeout(self, limit: Duration) -> Self {
        self.with_options(|options| options.attempt_timeout = Some(limit))
    }

    /// Limits the time from the start of the first attempt to the end of the task, over all
    /// attempts and the pauses and gates between them. More than zero.
    ///
    /// A task that exceeds it settles as [`TaskError::TimedOut`](crate::TaskError::TimedOut),
    /// whatever it does then. What it waits for before its first attempt does not count: for that,
    /// there are [`deadline`](Self::deadline) and [`expires`](Self::expires).
    ///
    /// A body that still runs is asked to stop, and loses its run slot, so that the pool goes on
    /// with its full number of workers, as long as
    /// [`max_threads`](crate::pool::PoolBuilder::max_threads) allows a thread for it. The body
    /// keeps its permits until it returns, and its value is dropped.
    ///
    /// ```
    /// use millhand::{TaskError, ThreadPool};
    /// use std::time::Duration;
    ///
    /// let pool = ThreadPool::new(1)?;
    /// let (hold, held) = std::sync::mpsc::channel::<()>();
    /// let hung = pool.task().total_timeout(Duration::from_millis(5)).submit(move || held.recv());
    /// assert!(matches!(hung.join(), Err(TaskError::TimedOut)));
    /// assert_eq!(pool.submit(|| 7).join().unwrap(), 7); // while the only worker hangs
    /// # drop(hold);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn total_timeout(self, limit: Duration) -> Self {
        self.with_options(|options| options.total_timeout = Some(limit))
    }

    /// Settles a task this long after it was due, whatever it does then: a result that comes later
    /// is of no use. More than zero.
    ///
    /// All attempts and all waiting count: in the queue, at gates, between attempts. A task is due
    /// at its submission, after its delay, or when the tasks that it continues have settled. One
    /// that has not started by then settles as [`TaskError::Expired`](crate::TaskError::Expired),
    /// which says for what it waited, else as [`TaskError::TimedOut`](crate::TaskError::TimedOut),
    /// as with [`total_timeout`](Self::total_timeout).
    ///
    /// ```
    /// use millhand::error::WaitedFor;
    /// use millhand::{RateLimiter, TaskError, ThreadPool};
    /// use std::time::Duration;
    ///
    /// let pool = ThreadPool::new(1)?;
    /// let hourly = RateLimiter::token_bucket(1, Duration::from_secs(3600)).build()?;
    /// let call = pool.task().gate(&hourly).deadline(Duration::from_millis(20));
    /// let calls = [call.submit(|| ()), call.submit(|| ())];
    /// let outcomes = calls.map(|call| call.join());
    /// assert!(outcomes[0].is_ok());
    /// assert!(matches!(outcomes[1], Err(TaskError::Expired(WaitedFor::Gate))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "timeout")]
    pub fn deadline(self, limit: Duration) -> Self {
        self.with_options(|options| options.deadline = Some(limit))
    }

    /// Adds a gate: what the tasks must pass before they run. A task that waits at a gate needs no
    /// worker.
    ///
    /// Several gates are passed together or not at all. Tasks of one pool that wait at the same
    /// gates pass in the order of their submission. Two that workers take from the queue at the
    /// same moment may come to a free gate in either order: where the order matters, use
    /// [`Lanes`](crate::limit::Lanes). A gate that was added before is not added again: the weight
    /// that is given last counts.
    ///
    /// A task with several gates keeps its place in the line of each. While one of them has not
    /// given it a turn yet, others use what the task cannot use at the rest. Once each has given it
    /// a turn, what it is granted is reserved until the other gates admit it, too. So a task is
    /// passed at a gate by what stood before it, by what uses free permits that it cannot use yet,
    /// and by one more. Only permits of a semaphore are not reserved while a rate limiter refuses
    /// the task. Then the turn at the rate limiter is.
    ///
    /// ```
    /// use millhand::{Semaphore, RateLimiter, ThreadPool};
    /// use std::time::Duration;
    ///
    /// let pool = ThreadPool::new(4)?;
    /// let api = RateLimiter::token_bucket(1000, Duration::from_secs(1)).build()?;
    /// let connections = Semaphore::new(2)?;
    /// let call = pool.task().gate(&api).gate(&connections);
    /// let calls: Vec<_> = (0..5).map(|n| call.submit(move || n)).collect();
    /// for (n, call) in calls.into_iter().enumerate() {
    ///     assert_eq!(call.join()?, n);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn gate(self, gate: &impl Gate) -> Self {
        let request = GateRequest::new(gate);
        self.with_options(|options| options.add_gate(request))
    }

    /// Checks the options, so that a program whose options come from a file finds a mistake in them
    /// when it starts, and not at the first submission.
    ///
    /// # Errors
    /// [`InvalidTask`] names the option and what is allowed.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let limit = "0".parse().map(Duration::from_secs)?; // as the file has it
    /// let upload = pool.task().name("upload").attempt_timeout(limit);
    /// assert_eq!(upload.check().unwrap_err().option(), "attempt_timeout");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn check(&self) -> Result<(), InvalidTask> {
        let options = self.spec.options.as_ref();
        let checked = options.map_or(Ok(()), |options| options.check(self.core.clock()));
        checked.map_err(InvalidTask::from)
    }

    pub(crate) fn place(&self) -> &P {
        &self.place
    }

    pub(crate) fn parts(&self) -> (&Arc<Core>, &Spec) {
        (&self.core, &self.spec)
    }

    /// For the verbs of other folders.
    pub(crate) fn into_parts(self) -> (Arc<Core>, Spec, K) {
        (self.core, self.spec, self.kind)
    }
}

impl<P> TaskBuilder<Plain, P> {
    pub(crate) fn new(core: Arc<Core>, place: P) -> Self {
        Self {
            core,
            spec: Spec::default(),
            kind: Plain(()),
            place,
        }
    }

    pub(crate) fn into_fallible(self) -> TaskBuilder<Fallible, P> {
        self.into_kind(Fallible(()))
    }

    /// Runs a task again if it fails, as `policy` says. No worker waits between the attempts.
    ///
    /// The closures are `FnMut() -> Result<T, E>` from here on, and an `Err` is a failure as with
    /// [`fallible`](TaskBuilder#method.fallible). The handle gets the outcome of the last attempt.
    ///
    /// A time-out of an attempt is retried unless [`retry_timeouts`](TaskBuilder::retry_timeouts)
    /// is off. A panic is retried only if [`retry_panics`](TaskBuilder::retry_panics) is on. After
    /// a cancellation there is no further attempt. Permits are returned between attempts. A key
    /// of [`Lanes`](crate::limit::Lanes) is held to the end.
    ///
    /// ```
    /// use millhand::{Retry, ThreadPool};
    /// use std::time::Duration;
    ///
    /// let pool = ThreadPool::new(1)?;
    /// let mut attempts = 0;
    /// let flaky = pool.task().retry(Retry::exponential(3, Duration::from_millis(1))).submit(move || {
    ///     attempts += 1;
    ///     if attempts < 3 { Err("the server is busy") } else { Ok(attempts) }
    /// });
    /// assert_eq!(flaky.join_ok().unwrap(), 3);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    ///
    /// The compiler takes the type of the error from the body. Closures about errors, such as that
    /// of [`retry_if`](TaskBuilder::retry_if), come before: `.retry::<std::io::Error>(..)` names
    /// the type for all of them.
    ///
    /// A body that can run once only does not compile:
    ///
    /// ```compile_fail,E0525
    /// let pool = millhand::ThreadPool::new(1).unwrap();
    /// let text = String::from("moved out at the first attempt");
    /// let task = pool.task().retry(millhand::Retry::default());
    /// let handle = task.submit(move || Ok::<_, ()>(text));
    /// ```
    pub fn retry<E: Display + Send + 'static>(
        mut self,
        policy: Retry,
    ) -> TaskBuilder<Retrying<E>, P> {
        // A task that may run again has progress.
        self.spec.options.get_or_insert_default();
        self.into_kind(Retrying(Arc::new(Rules::new(policy))))
    }
}

impl TaskBuilder {
    /// Makes an `Err` of the closures count as a failure: in statistics, in summaries, and wherever
    /// else success matters. Without this an `Err` is a value like any other.
    ///
    /// ```
    /// use millhand::{Shutdown, ThreadPool};
    ///
    /// let pool = ThreadPool::new(1)?;
    /// let parsed = pool.task().fallible().submit(|| "x".parse::<i32>());
    /// assert!(parsed.join_ok().is_err());
    /// assert_eq!(pool.shutdown(Shutdown::drain())?.failed(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// A closure that returns something else does not compile:
    ///
    /// ```compile_fail,E0271
    /// let pool = millhand::ThreadPool::new(1).unwrap();
    /// let handle: millhand::TaskHandle<Result<i32, ()>> = pool.task().fallible().submit(|| 1);
    /// ```
    pub fn fallible(self) -> TaskBuilder<Fallible> {
        self.into_fallible()
    }

    submit_verbs!([T], FnOnce() -> T, |template, f| PlainBody::new(f));
    execute!(|template, f| PlainBody::new(f));
    execute_ok!([E: Display], FnOnce() -> Result<(), E>, |template, f| FallibleBody::new(f));
}

impl TaskBuilder<Fallible> {
    submit_verbs!([T, E: Display], FnOnce() -> Result<T, E>, |template, f| FallibleBody::new(f));
    execute_ok!([E: Display], FnOnce() -> Result<(), E>, |template, f| FallibleBody::new(f));
}

impl<E: Display + Send + 'static> TaskBuilder<Retrying<E>> {
    submit_verbs!([T], FnMut() -> Result<T, E>, |template, f| RetryBody::new(f, template.rules()));
    execute_ok!([], FnMut() -> Result<(), E>, |template, f| RetryBody::new(f, template.rules()));
}

impl<E: Send + 'static, P> TaskBuilder<Retrying<E>, P> {
    pub(crate) fn rules(&self) -> Arc<Rules<E>> {
        self.kind.0.clone()
    }

    fn with_rules(mut self, change: impl FnOnce(&mut Rules<E>)) -> Self {
        change(Arc::make_mut(&mut self.kind.0));
        self
    }

    /// Retries only errors for which `wanted` returns true. Default: all errors.
    ///
    /// The worker calls it. If it panics, the error is not retried.
    ///
    /// The compiler reads the closure before the body, which comes with `submit`. So the type of
    /// the error must be named: here (`|error: &Error|`), or once for the whole template
    /// (`.retry::<Error>(..)`). Otherwise the compiler says that type annotations are needed.
    ///
    /// ```
    /// use millhand::{Retry, ThreadPool};
    /// use std::io::{Error, ErrorKind};
    /// use std::time::Duration;
    ///
    /// let pool = ThreadPool::new(1)?;
    /// let read = pool
    ///     .task()
    ///     .retry(Retry::fixed(5, Duration::ZERO))
    ///     .retry_if(|error: &Error| error.kind() != ErrorKind::NotFound);
    /// let missing = read.submit(|| std::fs::read("no such file"));
    /// assert!(missing.join_ok().is_err()); // after one attempt
    ///
    /// let retried = pool.task().retry::<Error>(Retry::fixed(5, Duration::ZERO));
    /// let read = retried.retry_if(|error| error.kind() != ErrorKind::NotFound);
    /// assert!(read.submit(|| std::fs::read("no such file")).join_ok().is_err());
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn retry_if(self, wanted: impl Fn(&E) -> bool + Send + Sync + 'static) -> Self {
        self.with_rules(|rules| rules.retry_if = Some(Arc::new(wanted)))
    }

    /// Takes the delay before the next attempt from the error, such as a server's `Retry-After`.
    /// With `None` the policy decides.
    ///
    /// The delay is used as it is: the policy's `max_delay` and jitter apply to its own delays
    /// only. A server may ask for any delay, and a drain waits for the task. `max_elapsed` or a
    /// [`total_timeout`](TaskBuilder::total_timeout) bounds that. The worker calls it. If it
    /// panics, there is no further attempt.
    ///
    /// ```
    /// use millhand::{Retry, ThreadPool};
    /// use std::time::Duration;
    ///
    /// #[derive(Debug)]
    /// struct Busy { retry_after: Option<Duration> }
    /// # impl std::fmt::Display for Busy {
    /// #     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str("busy") }
    /// # }
    ///
    /// let pool = ThreadPool::new(1)?;
    /// let mut attempts = 0;
    /// let fetch = pool
    ///     .task()
    ///     .retry(Retry::fixed(3, Duration::from_secs(3600)))
    ///     .retry_after(|busy: &Busy| busy.retry_after)
    ///     .submit(move || {
    ///         attempts += 1;
    ///         if attempts == 1 { Err(Busy { retry_after: Some(Duration::ZERO) }) } else { Ok("done") }
    ///     });
    /// assert!(matches!(fetch.join().unwrap(), Ok("done")));
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn retry_after(
        self,
        hint: impl Fn(&E) -> Option<Duration> + Send + Sync + 'static,
    ) -> Self {
        self.with_rules(|rules| rules.retry_after = Some(Arc::new(hint)))
    }

    /// Chooses whether an attempt that exceeded its
    /// [`attempt_timeout`](TaskBuilder::attempt_timeout) is retried. Default: yes.
    ///
    /// ```
    /// # use millhand::{Retry, TaskError, ThreadPool};
    /// # use std::time::Duration;
    /// let pool = ThreadPool::new(1)?;
    /// let slow = pool
    ///     .task()
    ///     .attempt_timeout(Duration::from_millis(1))
    ///     .retry(Retry::default())
    ///     .retry_timeouts(false)
    ///     .submit(|| millhand::sleep(Duration::from_secs(3600)));
    /// assert!(matches!(slow.join(), Err(TaskError::TimedOut)));
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn retry_timeouts(self, retry: bool) -> Self {
        self.with_rules(|rules| rules.timeouts = retry)
    }

    /// Chooses whether a panic is retried. Default: no.
    ///
    /// ```
    /// # use millhand::{Retry, ThreadPool};
    /// # use std::time::Duration;
    /// let pool = ThreadPool::new(1)?;
    /// let mut attempts = 0;
    /// let shaky = pool.task().retry(Retry::fixed(1, Duration::ZERO)).retry_panics(true).submit(move || {
    ///     attempts += 1;
    ///     assert!(attempts > 1, "the first attempt panics");
    ///     Ok::<_, String>(attempts)
    /// });
    /// assert_eq!(shaky.join().unwrap(), Ok(2));
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn retry_panics(self, retry: bool) -> Self {
        self.with_rules(|rules| rules.panics = retry)
    }
}

impl<K: Clone, P: Clone> Clone for TaskBuilder<K, P> {
    fn clone(&self) -> Self {
        Self {
            core: self.core.clone(),
            spec: self.spec.clone(),
            kind: self.kind.clone(),
            place: self.place.clone(),
        }
    }
}

impl<K: fmt::Debug, P> fmt::Debug for TaskBuilder<K, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            core: _,
            spec:
                Spec {
                    name,
                    token,
                    is_timed,
                    on_finish,
                    options,
                },
            kind,
            place: _,
        } = self;
        f.debug_struct("TaskBuilder")
            .field("name", name)
            .field("token", token)
            .field("timed", is_timed)
            .field("on_finish", &on_finish.is_some())
            .field("options", options)
            .field("kind", kind)
            .finish_non_exhaustive()
    }
}

impl<E> fmt::Debug for Retrying<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rules {
            policy,
            retry_if: _,
            retry_after: _,
            timeouts,
            panics,
        } = &*self.0;
        f.debug_struct("Retrying")
            .field("policy", policy)
            .field("retry_timeouts", timeouts)
            .field("retry_panics", panics)
            .finish_non_exhaustive()
    }
}
