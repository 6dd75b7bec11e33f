//! The submitting verbs, and the builder of tasks with options.
//!
//! Layer 3. The verbs are written once and stand on every face: the pool, its weak reference, and the builder in each
//! of its kinds.

use crate::cancel::CancelToken;
use crate::policy::Retry;
use crate::pool::core::{Core, Spec};
use crate::task::{FallibleWork, PlainWork, Plan, RetryWork, Rules};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The five verbs, for a face that has `fn parts(&self) -> (&Arc<Core>, &Spec)`. `$work` makes the work of a closure; the
/// closure is its field 0.
macro_rules! verbs {
    ([$($generic:ident),+], $call:ident() -> $output:ty, $work:expr) => {
        /// Submits a task and gives its handle. Waits while the queue is full, unless the pool rejects then
        /// ([`OnFull`](crate::OnFull)) or this is one of its own workers.
        ///
        /// A refusal settles the handle as [`TaskError::Rejected`](crate::TaskError::Rejected).
        ///
        /// Cost: a plain submit and join takes about 0.5 µs, and a third of that with mimalloc, on 2 cores of a virtual machine
        /// (a Xeon); one allocation; see [performance](crate::guide::performance).
        ///
        /// ```
        /// let pool = millhand::ThreadPool::new(1)?;
        /// assert_eq!(pool.submit(|| 1 + 1).join().unwrap(), 2);
        /// # Ok::<(), millhand::BuildError>(())
        /// ```
        #[track_caller]
        pub fn submit<F, $($generic),+>(&self, f: F) -> $crate::task::TaskHandle<$output>
        where
            F: $call() -> $output + Send + 'static,
            $($generic: Send + 'static),+
        {
            let (core, spec) = self.parts();
            core.submit(std::panic::Location::caller(), spec, ($work)(self, f))
        }

        /// Submits a task if that can be done without waiting.
        ///
        /// # Errors
        /// The closure, when the pool is closed or its queue full.
        ///
        /// ```
        /// let pool = millhand::ThreadPool::new(1)?;
        /// match pool.try_submit(|| 1 + 1) {
        ///     Ok(handle) => assert_eq!(handle.join().unwrap(), 2),
        ///     Err(refused) => assert_eq!(refused.into_inner()(), 2),
        /// }
        /// # Ok::<(), millhand::BuildError>(())
        /// ```
        #[track_caller]
        pub fn try_submit<F, $($generic),+>(
            &self,
            f: F,
        ) -> Result<$crate::task::TaskHandle<$output>, $crate::error::SubmitError<F>>
        where
            F: $call() -> $output + Send + 'static,
            $($generic: Send + 'static),+
        {
            let (core, spec) = self.parts();
            core.try_submit(
                std::panic::Location::caller(),
                spec,
                ($work)(self, f),
                $crate::pool::intake::Hold::Never,
            )
            .map_err(|refused| refused.map(|work| work.0))
        }

        /// Submits a task, and waits for a place in a full queue `timeout` long at most (counted from the call; one
        /// that overflows the clock means for ever).
        ///
        /// # Errors
        /// The closure, when the pool is closed, or full: all that time, or at once where it rejects.
        ///
        /// ```
        /// use std::time::Duration;
        ///
        /// let pool = millhand::ThreadPool::new(1)?;
        /// let handle = pool.submit_timeout(|| 1 + 1, Duration::from_secs(1))?;
        /// assert_eq!(handle.join()?, 2);
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        #[track_caller]
        pub fn submit_timeout<F, $($generic),+>(
            &self,
            f: F,
            timeout: std::time::Duration,
        ) -> Result<$crate::task::TaskHandle<$output>, $crate::error::SubmitError<F>>
        where
            F: $call() -> $output + Send + 'static,
            $($generic: Send + 'static),+
        {
            let (core, spec) = self.parts();
            core.try_submit(
                std::panic::Location::caller(),
                spec,
                ($work)(self, f),
                $crate::pool::intake::Hold::Until(core.clock().deadline(timeout)),
            )
            .map_err(|refused| refused.map(|work| work.0))
        }

        /// Submits a task that nobody waits for: its value is dropped, and its panic is logged, counted and told to the
        /// pool's hook. Waits as [`submit`](Self::submit) does.
        ///
        /// Cost: about 0.35 µs for an empty one, and a third of that with mimalloc, on the machine named there; one allocation.
        ///
        /// # Errors
        /// The closure, when the pool is closed, or full and rejecting.
        ///
        /// ```
        /// let pool = millhand::ThreadPool::new(1)?;
        /// pool.execute(|| println!("in the background"))?;
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        #[track_caller]
        pub fn execute<F, $($generic),+>(&self, f: F) -> Result<(), $crate::error::SubmitError<F>>
        where
            F: $call() -> $output + Send + 'static,
            $($generic: Send + 'static),+
        {
            let (core, spec) = self.parts();
            core.execute(
                std::panic::Location::caller(),
                spec,
                ($work)(self, f),
                $crate::pool::intake::Hold::Until(None),
            )
            .map_err(|refused| refused.map(|work| work.0))
        }

        /// As [`execute`](Self::execute), if that can be done without waiting.
        ///
        /// # Errors
        /// The closure, when the pool is closed or its queue full.
        ///
        /// ```
        /// let pool = millhand::ThreadPool::new(1)?;
        /// if let Err(refused) = pool.try_execute(|| println!("in the background")) {
        ///     eprintln!("{refused}");
        /// }
        /// # Ok::<(), millhand::BuildError>(())
        /// ```
        #[track_caller]
        pub fn try_execute<F, $($generic),+>(&self, f: F) -> Result<(), $crate::error::SubmitError<F>>
        where
            F: $call() -> $output + Send + 'static,
            $($generic: Send + 'static),+
        {
            let (core, spec) = self.parts();
            core.execute(
                std::panic::Location::caller(),
                spec,
                ($work)(self, f),
                $crate::pool::intake::Hold::Never,
            )
            .map_err(|refused| refused.map(|work| work.0))
        }
    };
}
pub(super) use verbs;

/// The kind of a [`TaskBuilder`] whose tasks' values are just values.
///
/// ```
/// use millhand::{Plain, TaskBuilder};
///
/// let pool = millhand::ThreadPool::new(1)?;
/// let tasks: TaskBuilder<Plain> = pool.task();
/// assert_eq!(tasks.submit(|| 7).join().unwrap(), 7);
/// # Ok::<(), millhand::BuildError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Plain(());

/// The kind of a [`TaskBuilder`] whose closures return a `Result`, and whose `Err` counts as a failure.
///
/// ```
/// use millhand::{Fallible, TaskBuilder};
///
/// let pool = millhand::ThreadPool::new(1)?;
/// let tasks: TaskBuilder<Fallible> = pool.task().fallible();
/// assert!(tasks.submit(|| "x".parse::<u8>()).join_ok().is_err());
/// # Ok::<(), millhand::BuildError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Fallible(());

/// The kind of a [`TaskBuilder`] whose closures are `FnMut() -> Result<T, E>`, and are run again when they fail with an `E`.
///
/// ```
/// use millhand::{Retrying, Retry, TaskBuilder};
/// use std::num::ParseIntError;
///
/// let pool = millhand::ThreadPool::new(1)?;
/// let tasks: TaskBuilder<Retrying<ParseIntError>> = pool.task().retry(Retry::default());
/// assert_eq!(tasks.submit(|| "7".parse::<u8>()).join_ok()?, 7);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Retrying<E>(pub(crate) Arc<Rules<E>>);

impl<E> Clone for Retrying<E> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// A template of tasks: options first, then as many submissions as there are. From
/// [`ThreadPool::task`](crate::ThreadPool::task).
///
/// Options that contradict each other are refused when something is submitted, as
/// [`Rejection::Invalid`](crate::Rejection::Invalid).
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
/// # Ok::<(), millhand::BuildError>(())
/// ```
///
/// `P` is where its tasks are submitted to: `()` stands for the pool, `&Scope` for a scope ([`Scope::task`](crate::Scope::task)).
#[must_use = "a template does nothing until something is submitted with it"]
pub struct TaskBuilder<K = Plain, P = ()> {
    core: Arc<Core>,
    spec: Spec,
    kind: K,
    place: P,
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

    /// Says that the closures return a `Result` whose `Err` is a failure: it counts as one in statistics, summaries and
    /// whatever else asks whether a task succeeded. Without this an `Err` is a value like any other.
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
    pub fn fallible(self) -> TaskBuilder<Fallible, P> {
        self.into_kind(Fallible(()))
    }

    /// Runs a task again when it fails, as `policy` says; no worker waits meanwhile. The closures are
    /// `FnMut() -> Result<T, E>` from here on, and an `Err` is a failure as with [`fallible`](Self::fallible). After the last
    /// attempt the handle has what that came to.
    ///
    /// A time-out of an attempt is retried, a panic is not, unless [`retry_timeouts`](TaskBuilder::retry_timeouts) or
    /// [`retry_panics`](TaskBuilder::retry_panics) say otherwise. After a cancellation there is no further attempt. Permits are
    /// given back between attempts; a key of [`Lanes`](crate::Lanes) is held to the end.
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
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    ///
    /// A body that can run once only does not compile:
    ///
    /// ```compile_fail,E0525
    /// let pool = millhand::ThreadPool::new(1).unwrap();
    /// let text = String::from("moved out at the first attempt");
    /// let task = pool.task().retry(millhand::Retry::default());
    /// let handle = task.submit(move || Ok::<_, ()>(text));
    /// ```
    pub fn retry<E: Send + 'static>(self, policy: Retry) -> TaskBuilder<Retrying<E>, P> {
        self.into_kind(Retrying(Arc::new(Rules::new(policy))))
            .planned()
    }
}

impl TaskBuilder {
    verbs!([T], FnOnce() -> T, |_: &Self, f| PlainWork(f));
}

impl TaskBuilder<Fallible> {
    verbs!([T, E], FnOnce() -> Result<T, E>, |_: &Self, f| FallibleWork(f));
}

impl<E: Send + 'static> TaskBuilder<Retrying<E>> {
    verbs!([T], FnMut() -> Result<T, E>, |builder: &Self, f| RetryWork(f, builder.rules()));
}

impl<E: Send + 'static, P> TaskBuilder<Retrying<E>, P> {
    pub(crate) fn rules(&self) -> Arc<Rules<E>> {
        self.kind.0.clone()
    }

    fn with_rules(mut self, change: impl FnOnce(&mut Rules<E>)) -> Self {
        change(Arc::make_mut(&mut self.kind.0));
        self
    }

    /// Retries only errors of which `wanted` says so. Default: all. Called on the worker; one that panics says no.
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
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn retry_if(self, wanted: impl Fn(&E) -> bool + Send + Sync + 'static) -> Self {
        self.with_rules(|rules| rules.retry_if = Some(Arc::new(wanted)))
    }

    /// Takes the delay before the next attempt from the error, such as a server's `Retry-After`; `None` leaves it to the
    /// policy. It is used as it is: the policy's `max_delay` and jitter are for its own delays. A server may say anything, and a
    /// drain waits for a task that waits: `max_elapsed` or a [`total_timeout`](TaskBuilder::total_timeout) bounds that. Called on
    /// the worker; one that panics ends the attempts.
    ///
    /// ```
    /// use millhand::{Retry, ThreadPool};
    /// use std::time::Duration;
    ///
    /// struct Busy { retry_after: Option<Duration> }
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
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn retry_after(
        self,
        hint: impl Fn(&E) -> Option<Duration> + Send + Sync + 'static,
    ) -> Self {
        self.with_rules(|rules| rules.retry_after = Some(Arc::new(hint)))
    }

    /// Whether an attempt that was over its [`attempt_timeout`](TaskBuilder::attempt_timeout) is retried. Default: yes.
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
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn retry_timeouts(self, retry: bool) -> Self {
        self.with_rules(|rules| rules.timeouts = retry)
    }

    /// Whether a panic is retried. Default: no.
    ///
    /// ```
    /// # use millhand::{Retry, ThreadPool};
    /// # use std::time::Duration;
    /// let pool = ThreadPool::new(1)?;
    /// let mut attempts = 0;
    /// let shaky = pool.task().retry(Retry::fixed(1, Duration::ZERO)).retry_panics(true).submit(move || {
    ///     attempts += 1;
    ///     assert!(attempts > 1, "the first attempt panics");
    ///     Ok::<_, ()>(attempts)
    /// });
    /// assert_eq!(shaky.join().unwrap(), Ok(2));
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn retry_panics(self, retry: bool) -> Self {
        self.with_rules(|rules| rules.panics = retry)
    }

    /// Tells each attempt's error to the next as its `Display` has it, for
    /// [`Current::last_error`](crate::Current::last_error). Strings, boxed errors and std's are told without.
    ///
    /// ```
    /// # use millhand::{Retry, ThreadPool};
    /// # use std::time::Duration;
    /// #[derive(Clone, Copy)]
    /// struct Busy;
    /// impl std::fmt::Display for Busy {
    ///     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str("busy") }
    /// }
    ///
    /// let pool = ThreadPool::new(1)?;
    /// let told = pool.task().retry(Retry::fixed(1, Duration::ZERO)).show_errors().submit(|| {
    ///     millhand::current().unwrap().last_error().ok_or(Busy)
    /// });
    /// assert_eq!(told.join().unwrap().ok().as_deref(), Some("busy"));
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn show_errors(self) -> Self
    where
        E: fmt::Display,
    {
        self.with_rules(|rules| rules.text = Some(E::to_string))
    }
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

    /// From here on the tasks have a course.
    fn planned(mut self) -> Self {
        self.spec.plan.get_or_insert_default();
        self
    }

    pub(crate) fn with_plan(mut self, change: impl FnOnce(&mut Plan)) -> Self {
        change(Arc::make_mut(self.spec.plan.get_or_insert_default()));
        self
    }

    /// Names the tasks, for logs, panics and lists. A name is shared, not copied.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let handle = pool.task().name("resize").submit(|| 7);
    /// assert_eq!(handle.name().as_deref(), Some("resize"));
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.spec.name = Some(name.into());
        self
    }

    /// Puts the tasks under `token`: cancelling it cancels them all, queued or running. Each has a token of its own
    /// below it. The last one given counts.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let batch = millhand::CancelToken::new();
    /// batch.cancel(millhand::CancelReason::User);
    /// assert!(pool.task().token(&batch).submit(|| 7).join().is_err());
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn token(mut self, token: &CancelToken) -> Self {
        self.spec.token = Some(token.clone());
        self
    }

    /// Which of the ready tasks run first: higher ones. Default: 0. Equal ones keep the order in which they became ready.
    ///
    /// Tasks below 0 run when no others are ready; but now and then a worker takes one from further back, so that normal tasks
    /// get on beside any number of urgent ones, and low ones beside both. (Among urgent ones the higher always come first.)
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// # let (tell, told) = std::sync::mpsc::channel();
    /// # let (hold, held) = std::sync::mpsc::channel::<()>();
    /// # pool.execute(move || { tell.send(()).unwrap(); let _ = held.recv(); }).unwrap();
    /// # told.recv().unwrap();
    /// let (write, read) = std::sync::mpsc::channel();
    /// for priority in [-1, 0, 1] {
    ///     let write = write.clone();
    ///     pool.task().priority(priority).execute(move || write.send(priority).unwrap()).unwrap();
    /// }
    /// # drop((hold, write));
    /// assert_eq!(read.iter().take(3).collect::<Vec<_>>(), [1, 0, -1]);
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn priority(self, priority: i32) -> Self {
        self.with_plan(|plan| plan.priority = priority)
    }

    /// Lets the tasks join the queue this long after their submission; they have their place in a bounded queue from the
    /// start. A delay that the clock cannot hold is for ever.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let later = pool.task().delay(Duration::from_millis(5)).submit(|| 7);
    /// assert_eq!(later.join().unwrap(), 7);
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn delay(self, delay: Duration) -> Self {
        self.with_plan(|plan| plan.delay = Some(delay))
    }

    /// Lets the tasks join the queue at `instant` of the pool's clock ([`Clock::now`](crate::Clock::now)); at once if that has
    /// passed.
    ///
    /// ```
    /// use std::time::{Duration, Instant};
    ///
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let soon = Instant::now() + Duration::from_millis(5);
    /// let at = pool.task().delay_until(soon).submit(Instant::now).join().unwrap();
    /// assert!(at >= soon);
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn delay_until(self, instant: Instant) -> Self {
        self.with_plan(|plan| plan.delay_until = Some(instant))
    }

    /// Settles a task as [`TaskError::Expired`](crate::TaskError::Expired) if it has not started this long after it was due:
    /// through the queue and all gates, to the start of its first attempt. More than zero.
    ///
    /// ```
    /// use millhand::{TaskError, ThreadPool};
    /// use std::time::Duration;
    ///
    /// let pool = ThreadPool::new(1)?;
    /// # let (tell, told) = std::sync::mpsc::channel();
    /// let (hold, held) = std::sync::mpsc::channel::<()>();
    /// pool.execute(move || {
    ///     # tell.send(()).unwrap();
    ///     let _ = held.recv(); // the only worker is busy
    /// }).unwrap();
    /// # told.recv().unwrap();
    /// let stale = pool.task().expires(Duration::from_millis(5)).submit(|| "news");
    /// assert!(matches!(stale.join(), Err(TaskError::Expired)));
    /// # drop(hold);
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn expires(self, after: Duration) -> Self {
        self.with_plan(|plan| plan.expires = Some(after))
    }

    /// Asks an attempt to stop this long after it began: its token is set. An `Ok` that comes late stands; a failure that
    /// comes late, or a body that leaves at a checkpoint, is [`TaskError::TimedOut`](crate::TaskError::TimedOut), and may be
    /// retried. More than zero.
    ///
    /// The body must look, or hand [`current().remaining()`](crate::Current::remaining) on to what it waits for; one that does
    /// not goes on, and [`total_timeout`](Self::total_timeout) is for that.
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
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn attempt_timeout(self, limit: Duration) -> Self {
        self.with_plan(|plan| plan.attempt_timeout = Some(limit))
    }

    /// Settles a task as [`TaskError::TimedOut`](crate::TaskError::TimedOut) this long after it was due, whatever it does then:
    /// all attempts and all waiting counted. More than zero.
    ///
    /// A body that still runs is asked to stop, and loses its seat: the pool goes on with its full number of workers. What
    /// it returns later is dropped; its permits it keeps until then.
    ///
    /// ```
    /// use millhand::{TaskError, ThreadPool};
    /// use std::time::Duration;
    ///
    /// let pool = ThreadPool::new(1)?;
    /// let (hold, held) = std::sync::mpsc::channel::<()>();
    /// let deaf = pool.task().total_timeout(Duration::from_millis(5)).submit(move || held.recv());
    /// assert!(matches!(deaf.join(), Err(TaskError::TimedOut)));
    /// assert_eq!(pool.submit(|| 7).join().unwrap(), 7); // while the only worker hangs
    /// # drop(hold);
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn total_timeout(self, limit: Duration) -> Self {
        self.with_plan(|plan| plan.total_timeout = Some(limit))
    }

    pub(crate) fn place(&self) -> &P {
        &self.place
    }

    pub(crate) fn parts(&self) -> (&Arc<Core>, &Spec) {
        (&self.core, &self.spec)
    }

    /// For an ending of another layer.
    pub(crate) fn into_parts(self) -> (Arc<Core>, Spec, K) {
        (self.core, self.spec, self.kind)
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
            spec: Spec { name, token, plan },
            kind,
            place: _,
        } = self;
        f.debug_struct("TaskBuilder")
            .field("name", name)
            .field("token", token)
            .field("plan", plan)
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
            text: _,
        } = &*self.0;
        f.debug_struct("Retrying")
            .field("policy", policy)
            .field("retry_timeouts", timeouts)
            .field("retry_panics", panics)
            .finish_non_exhaustive()
    }
}
