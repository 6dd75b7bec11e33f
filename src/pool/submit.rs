//! The submitting verbs, and the builder of tasks with options.
//!
//! Layer 3. The verbs are written once and stand on every face: the pool, its weak reference, and the builder in each
//! of its kinds.

use crate::cancel::CancelToken;
use crate::pool::core::{Core, Spec};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

/// The five verbs, for a face that has `fn parts(&self) -> (&Arc<Core>, &Spec)`.
macro_rules! verbs {
    ($work:ident, [$($generic:ident),+], $output:ty) => {
        /// Submits a task and gives its handle. Waits while the queue is full, unless the pool rejects then
        /// ([`OnFull`](crate::OnFull)) or this is one of its own workers.
        ///
        /// A refusal settles the handle as [`TaskError::Rejected`](crate::TaskError::Rejected).
        ///
        /// ```
        /// let pool = millhand::ThreadPool::new(1)?;
        /// assert_eq!(pool.submit(|| 1 + 1).join().unwrap(), 2);
        /// # Ok::<(), millhand::BuildError>(())
        /// ```
        #[track_caller]
        pub fn submit<F, $($generic),+>(&self, f: F) -> $crate::task::TaskHandle<$output>
        where
            F: FnOnce() -> $output + Send + 'static,
            $($generic: Send + 'static),+
        {
            let (core, spec) = self.parts();
            core.submit(std::panic::Location::caller(), spec, $crate::task::$work(f))
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
            F: FnOnce() -> $output + Send + 'static,
            $($generic: Send + 'static),+
        {
            let (core, spec) = self.parts();
            core.try_submit(
                std::panic::Location::caller(),
                spec,
                $crate::task::$work(f),
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
            F: FnOnce() -> $output + Send + 'static,
            $($generic: Send + 'static),+
        {
            let (core, spec) = self.parts();
            core.try_submit(
                std::panic::Location::caller(),
                spec,
                $crate::task::$work(f),
                $crate::pool::intake::Hold::Until($crate::clock::deadline(timeout)),
            )
            .map_err(|refused| refused.map(|work| work.0))
        }

        /// Submits a task that nobody waits for: its value is dropped, and its panic is logged, counted and told to the
        /// pool's hook. Waits as [`submit`](Self::submit) does.
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
            F: FnOnce() -> $output + Send + 'static,
            $($generic: Send + 'static),+
        {
            let (core, spec) = self.parts();
            core.execute(
                std::panic::Location::caller(),
                spec,
                $crate::task::$work(f),
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
            F: FnOnce() -> $output + Send + 'static,
            $($generic: Send + 'static),+
        {
            let (core, spec) = self.parts();
            core.execute(
                std::panic::Location::caller(),
                spec,
                $crate::task::$work(f),
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
#[derive(Debug)]
pub enum Plain {}

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
#[derive(Debug)]
pub enum Fallible {}

/// A template of tasks: options first, then as many submissions as there are. From
/// [`ThreadPool::task`](crate::ThreadPool::task).
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
#[must_use = "a template does nothing until something is submitted with it"]
pub struct TaskBuilder<K = Plain> {
    core: Arc<Core>,
    spec: Spec,
    kind: PhantomData<fn() -> K>,
}

impl TaskBuilder {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self {
            core,
            spec: Spec::default(),
            kind: PhantomData,
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
    pub fn fallible(self) -> TaskBuilder<Fallible> {
        TaskBuilder {
            core: self.core,
            spec: self.spec,
            kind: PhantomData,
        }
    }

    verbs!(PlainWork, [T], T);
}

impl TaskBuilder<Fallible> {
    verbs!(FallibleWork, [T, E], Result<T, E>);
}

impl<K> TaskBuilder<K> {
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

    fn parts(&self) -> (&Arc<Core>, &Spec) {
        (&self.core, &self.spec)
    }
}

impl<K> Clone for TaskBuilder<K> {
    fn clone(&self) -> Self {
        Self {
            core: self.core.clone(),
            spec: self.spec.clone(),
            kind: PhantomData,
        }
    }
}

impl<K> fmt::Debug for TaskBuilder<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            core: _,
            spec: Spec { name, token },
            kind: _,
        } = self;
        f.debug_struct("TaskBuilder")
            .field("name", name)
            .field("token", token)
            .finish_non_exhaustive()
    }
}
