//! `then` and `map`: what runs with the outcome of a task. No thread is parked between the two.
//!
//! Layer: compose.

use crate::compose::after::Continuation;
use crate::compose::wait::Handle;
use crate::error::TaskError;
use crate::pool::PLAIN;
use crate::task::body::{PassingBody, PlainBody, boxed_if_large};
use crate::task::{SharedHandle, Site, TaskHandle};
use std::panic::Location;

fn then<H, U, F>(site: Site, handle: H, f: F) -> TaskHandle<U>
where
    H: Handle + Send + 'static,
    F: FnOnce(Result<H::Output, TaskError>) -> U + Send + 'static,
    U: Send + 'static,
{
    let next = Continuation::of(vec![handle.link().task]);
    boxed_if_large!(
        f: F as dyn FnOnce(Result<H::Output, TaskError>) -> U + Send,
        next.run(site, &PLAIN, PlainBody::new(move || f(handle.outcome())))
    )
}

fn map<H, U, F>(site: Site, handle: H, f: F) -> TaskHandle<U>
where
    H: Handle + Send + 'static,
    F: FnOnce(H::Output) -> U + Send + 'static,
    U: Send + 'static,
{
    let next = Continuation::of(vec![handle.link().task]);
    boxed_if_large!(
        f: F as dyn FnOnce(H::Output) -> U + Send,
        next.run(site, &PLAIN, PassingBody::new(move || handle.outcome().map(f)))
    )
}

impl<T: Send + 'static> TaskHandle<T> {
    /// Continues with the outcome, whether it is a value or an error: submits a task to the same
    /// pool, which is queued when this one has settled.
    ///
    /// No thread waits in between. The closure never runs on the calling thread, even if the task
    /// has finished already. Cancelling the new task before it has begun cancels this task too,
    /// because no handle is left that could join it. A continuation does not count for the bound
    /// of a bounded queue. A pool that drains still runs the continuations of its own tasks.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(2)?;
    /// let length = pool
    ///     .submit(|| std::fs::read_to_string("no such file"))
    ///     .then(|outcome| match outcome {
    ///         Ok(Ok(text)) => text.len(),
    ///         Ok(Err(_)) | Err(_) => 0,
    ///     });
    /// assert_eq!(length.join().unwrap(), 0);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    ///
    /// If the pool is closed now, the new task settles as [`Rejected`](TaskError::Rejected). If
    /// it closes before this task settles, the new task is cancelled with
    /// [`CancelReason::Shutdown`](crate::cancel::CancelReason::Shutdown). A promise belongs to no
    /// pool: it is continued on the pool of the calling worker. Elsewhere use
    /// [`submit_after`](crate::TaskBuilder::submit_after), which names the pool.
    #[track_caller]
    pub fn then<U, F>(self, f: F) -> TaskHandle<U>
    where
        F: FnOnce(Result<T, TaskError>) -> U + Send + 'static,
        U: Send + 'static,
    {
        then(Location::caller(), self, f)
    }

    /// Continues with the value. Otherwise as [`then`](Self::then).
    ///
    /// If this task ends without a value, as after a panic or a cancellation, the closure is
    /// dropped, and the outcome of the new task is the same [`TaskError`].
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(2)?;
    /// let text = pool.submit(|| 6 * 7).map(|n| n.to_string());
    /// assert_eq!(text.join().unwrap(), "42");
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    #[track_caller]
    pub fn map<U, F>(self, f: F) -> TaskHandle<U>
    where
        F: FnOnce(T) -> U + Send + 'static,
        U: Send + 'static,
    {
        map(Location::caller(), self, f)
    }
}

impl<T: Send + 'static, E: Send + 'static> TaskHandle<Result<T, E>> {
    /// Continues with the value of an `Ok` that the body returned, and passes an `Err` on.
    /// Otherwise as [`map`](Self::map).
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(2)?;
    /// let half = pool
    ///     .submit(|| "42".parse::<u32>())
    ///     .and_then(|n| Ok(n / 2));
    /// assert_eq!(half.join_ok().unwrap(), 21);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    #[track_caller]
    pub fn and_then<U, F>(self, f: F) -> TaskHandle<Result<U, E>>
    where
        F: FnOnce(T) -> Result<U, E> + Send + 'static,
        U: Send + 'static,
    {
        map(Location::caller(), self, |result| result.and_then(f))
    }

    /// Continues with the error of an `Err` that the body returned, and passes an `Ok` on.
    /// Otherwise as [`map`](Self::map).
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(2)?;
    /// let number = pool
    ///     .submit(|| "x".parse::<u32>())
    ///     .or_else(|_| Ok::<_, ()>(0));
    /// assert_eq!(number.join_ok().unwrap(), 0);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    #[track_caller]
    pub fn or_else<E2, F>(self, f: F) -> TaskHandle<Result<T, E2>>
    where
        F: FnOnce(E) -> Result<T, E2> + Send + 'static,
        E2: Send + 'static,
    {
        map(Location::caller(), self, |result| result.or_else(f))
    }
}

impl<T: Clone + Send + Sync + 'static> SharedHandle<T> {
    /// Continues with a clone of the outcome. Otherwise as [`TaskHandle::then`].
    ///
    /// A clone of a panic has its message and not its payload. Cancelling the new task cancels
    /// this one only if this was the last clone of the handle.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(2)?;
    /// let config = pool.submit(|| String::from("config")).share();
    /// let length = config.clone().then(|outcome| outcome.map_or(0, |text| text.len()));
    /// assert_eq!(length.join().unwrap(), 6);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    #[track_caller]
    pub fn then<U, F>(self, f: F) -> TaskHandle<U>
    where
        F: FnOnce(Result<T, TaskError>) -> U + Send + 'static,
        U: Send + 'static,
    {
        then(Location::caller(), self, f)
    }

    /// Continues with a clone of the value. Otherwise as [`TaskHandle::map`].
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(2)?;
    /// let config = pool.submit(|| String::from("config")).share();
    /// assert_eq!(config.map(|text| text.len()).join().unwrap(), 6);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    #[track_caller]
    pub fn map<U, F>(self, f: F) -> TaskHandle<U>
    where
        F: FnOnce(T) -> U + Send + 'static,
        U: Send + 'static,
    {
        map(Location::caller(), self, f)
    }
}
