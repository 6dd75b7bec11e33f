//! Continuing a task: what is to be done with its outcome, with no thread parked between the steps.
//!
//! Layer 6.

use crate::compose::after::{self, Before, Held};
use crate::compose::handles::{Handle, Link};
use crate::error::TaskError;
use crate::pool::{PLAIN, Site};
use crate::task::{PassingWork, PlainWork, SharedHandle, TaskHandle, Work};
use std::panic::Location;

/// One handle.
struct One<H>(H);

impl<H: Handle + Send + 'static> Before for One<H> {
    fn links(&self) -> Vec<Link> {
        vec![self.0.link()]
    }

    fn awaited(&self) -> usize {
        1
    }
}

fn go_on<H, W>(site: Site, handle: H, work: impl FnOnce(Held<One<H>>) -> W) -> TaskHandle<W::Output>
where
    H: Handle + Send + 'static,
    W: Work,
{
    match after::pool_of(&[handle.link()]) {
        Ok(core) => after::submit_after(&core, site, &PLAIN, One(handle), work),
        Err(why) => after::no_pool(site, why),
    }
}

fn then<H, U, F>(site: Site, handle: H, f: F) -> TaskHandle<U>
where
    H: Handle + Send + 'static,
    F: FnOnce(Result<H::Output, TaskError>) -> U + Send + 'static,
    U: Send + 'static,
{
    go_on(site, handle, |held| {
        PlainWork(move || f(held.take().0.outcome()))
    })
}

fn map<H, U, F>(site: Site, handle: H, f: F) -> TaskHandle<U>
where
    H: Handle + Send + 'static,
    F: FnOnce(H::Output) -> U + Send + 'static,
    U: Send + 'static,
{
    go_on(site, handle, |held| {
        PassingWork(move || held.take().0.outcome().map(f))
    })
}

impl<T: Send + 'static> TaskHandle<T> {
    /// Goes on with the whole outcome, whatever it is: a new task of the same pool, queued once this one has settled.
    ///
    /// No thread waits in between. The closure never runs on the caller, even if the task is finished already. Cancelling the
    /// new task before it has begun cancels this one, too, which nobody else could join. A continuation takes no place in a
    /// bounded queue; a pool that drains still runs those of its own tasks.
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
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    ///
    /// A pool that has closed meanwhile cancels it ([`CancelReason::Shutdown`](crate::CancelReason::Shutdown)), one that is
    /// closed now settles it as [`Rejected`](TaskError::Rejected). A promise is continued on the pool of the calling worker;
    /// elsewhere [`submit_after`](crate::TaskBuilder::submit_after) names the pool.
    #[track_caller]
    pub fn then<U, F>(self, f: F) -> TaskHandle<U>
    where
        F: FnOnce(Result<T, TaskError>) -> U + Send + 'static,
        U: Send + 'static,
    {
        then(Location::caller(), self, f)
    }

    /// Goes on with the value. Without one (a panic, a cancellation) the closure is dropped, and the new task has the same
    /// [`TaskError`] as its outcome. Otherwise as [`then`](Self::then).
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(2)?;
    /// let text = pool.submit(|| 6 * 7).map(|n| n.to_string());
    /// assert_eq!(text.join().unwrap(), "42");
    /// # Ok::<(), millhand::BuildError>(())
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
    /// Goes on with what the body returned as `Ok`; its `Err` is passed on. Otherwise as [`map`](Self::map).
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(2)?;
    /// let half = pool
    ///     .submit(|| "42".parse::<u32>())
    ///     .and_then(|n| Ok(n / 2));
    /// assert_eq!(half.join_ok().unwrap(), 21);
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    #[track_caller]
    pub fn and_then<U, F>(self, f: F) -> TaskHandle<Result<U, E>>
    where
        F: FnOnce(T) -> Result<U, E> + Send + 'static,
        U: Send + 'static,
    {
        map(Location::caller(), self, |result| result.and_then(f))
    }

    /// Goes on with what the body returned as `Err`; its `Ok` is passed on. Otherwise as [`map`](Self::map).
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(2)?;
    /// let number = pool
    ///     .submit(|| "x".parse::<u32>())
    ///     .or_else(|_| Ok::<_, ()>(0));
    /// assert_eq!(number.join_ok().unwrap(), 0);
    /// # Ok::<(), millhand::BuildError>(())
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
    /// As [`TaskHandle::then`], with a clone of the value (of a panic only what it said). Cancelling the new task cancels this
    /// one only if this was the last clone of the handle.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(2)?;
    /// let config = pool.submit(|| String::from("config")).share();
    /// let length = config.clone().then(|outcome| outcome.map_or(0, |text| text.len()));
    /// assert_eq!(length.join().unwrap(), 6);
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    #[track_caller]
    pub fn then<U, F>(self, f: F) -> TaskHandle<U>
    where
        F: FnOnce(Result<T, TaskError>) -> U + Send + 'static,
        U: Send + 'static,
    {
        then(Location::caller(), self, f)
    }

    /// As [`TaskHandle::map`], with a clone of the value.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(2)?;
    /// let config = pool.submit(|| String::from("config")).share();
    /// assert_eq!(config.map(|text| text.len()).join().unwrap(), 6);
    /// # Ok::<(), millhand::BuildError>(())
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
