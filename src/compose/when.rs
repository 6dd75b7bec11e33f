//! `when_all` and `submit_after`: what runs when all of several tasks have settled.
//!
//! Layer: compose.

use crate::compose::after::Continuation;
use crate::compose::wait::{Handle, HandleSet, Link};
use crate::error::TaskError;
use crate::id::TaskId;
use crate::panic::{self, TaskPanic};
use crate::pool::{Fallible, PLAIN, Retrying, TaskBuilder};
use crate::process;
use crate::task::body::{FallibleBody, PlainBody, RetryBody, boxed_if_large};
use crate::task::{Site, TaskHandle, TaskRef, settled};
use std::fmt::{self, Display};
use std::panic::Location;

fn tasks_of(links: Vec<Link>) -> Vec<TaskRef> {
    links.into_iter().map(|link| link.task).collect()
}

/// Continues several tasks when all of them have settled, with [`then`](WhenAll::then). Other
/// libraries call this a chord.
///
/// ```
/// use millhand::{ThreadPool, when_all};
///
/// let pool = ThreadPool::new(2)?;
/// let parts = (1..=4).map(|n| pool.submit(move || n * n));
/// let total = when_all(parts).then(|outcomes| outcomes.into_iter().flatten().sum::<u32>());
/// assert_eq!(total.join().unwrap(), 30);
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
///
/// Guide: [composition](crate::guide::composition).
pub fn when_all<H: Handle + Send + 'static>(
    handles: impl IntoIterator<Item = H>,
) -> WhenAll<Vec<H>> {
    let handles = handles.into_iter().collect();
    WhenAll { handles }
}

/// Continues several tasks when all of them have settled, as [`when_all`] does, with their outcomes
/// in the shape of the handles.
///
/// ```
/// use millhand::compose::when_each;
/// use millhand::ThreadPool;
///
/// let pool = ThreadPool::new(2)?;
/// let sum = when_each((pool.submit(|| 1), pool.submit(|| 2.5))).then(|(a, b)| f64::from(a.unwrap()) + b.unwrap());
/// assert_eq!(sum.join().unwrap(), 3.5);
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
///
/// Guide: [composition](crate::guide::composition).
pub fn when_each<S: HandleSet + Send + 'static>(handles: S) -> WhenAll<S> {
    WhenAll { handles }
}

/// Several tasks to be continued when all have settled. Returned by [`when_all`] and [`when_each`].
///
/// ```
/// use millhand::{ThreadPool, when_all};
///
/// let pool = ThreadPool::new(1)?;
/// let both = when_all([pool.submit(|| 1), pool.submit(|| 2)]);
/// let sum = both.then(|all| all.into_iter().flatten().sum::<u32>());
/// assert_eq!(sum.join().unwrap(), 3);
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
///
/// Guide: [composition](crate::guide::composition).
#[must_use = "it does nothing without `then`"]
pub struct WhenAll<S> {
    handles: S,
}

impl<S: HandleSet + Send + 'static> WhenAll<S> {
    /// Continues with all outcomes, in the order and shape of the handles, in a new task of the
    /// pool of the first handle. Otherwise as [`TaskHandle::then`].
    ///
    /// [`submit_after`](TaskBuilder::submit_after) does the same with options. If there are no
    /// handles, the new task is queued at once, on the pool of the calling worker. On a thread
    /// that is not a worker no pool is known then, and the closure runs on the calling thread.
    ///
    /// ```
    /// use millhand::{ThreadPool, when_all};
    ///
    /// let pool = ThreadPool::new(2)?;
    /// let sum = when_all([1, 2].map(|n| pool.submit(move || n))).then(|all| all.into_iter().flatten().sum::<u32>());
    /// assert_eq!(sum.join().unwrap(), 3);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    #[track_caller]
    pub fn then<U, F>(self, f: F) -> TaskHandle<U>
    where
        F: FnOnce(S::Outcomes) -> U + Send + 'static,
        U: Send + 'static,
    {
        let site = Location::caller();
        let handles = self.handles;
        let next = Continuation::of(tasks_of(handles.links()));
        if next.is_nothing() {
            return here(site, || f(handles.outcomes()));
        }
        boxed_if_large!(
            f: F as dyn FnOnce(S::Outcomes) -> U + Send,
            next.run(site, &PLAIN, PlainBody::new(move || f(handles.outcomes())))
        )
    }
}

/// Runs the closure on the calling thread, where no pool is known.
fn here<U: Send + 'static>(site: Site, f: impl FnOnce() -> U) -> TaskHandle<U> {
    let outcome = panic::catch(f).map_err(|payload| {
        let id = TaskId::next();
        TaskError::Panicked(Box::new(TaskPanic::new(
            id,
            None,
            site,
            payload,
            process::NO_POOL,
        )))
    });
    settled(process::NO_POOL, site, None, outcome)
}

impl TaskBuilder {
    /// Submits a task with the options of this template that continues with the outcomes of
    /// `handles` when all of them have settled: [`when_all`] with options, on the pool of the
    /// template.
    ///
    /// Delays and time limits count from the moment when the last of them has settled.
    ///
    /// ```
    /// use millhand::ThreadPool;
    ///
    /// let pool = ThreadPool::new(2)?;
    /// let report = pool.task().name("report").priority(-1);
    /// let handle = report.submit_after((pool.submit(|| 1), pool.submit(|| "two")), |(one, two)| {
    ///     format!("{} {}", one.unwrap(), two.unwrap())
    /// });
    /// assert_eq!(handle.join().unwrap(), "1 two");
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    ///
    /// If the pool is closed, or options contradict each other, the new task settles as
    /// [`Rejected`](TaskError::Rejected). The tasks of `handles` run on then.
    #[track_caller]
    pub fn submit_after<S, T, F>(&self, handles: S, f: F) -> TaskHandle<T>
    where
        S: HandleSet + Send + 'static,
        F: FnOnce(S::Outcomes) -> T + Send + 'static,
        T: Send + 'static,
    {
        let (core, spec) = self.parts();
        let before = tasks_of(handles.links());
        let (next, site) = (Continuation::on(core, before), Location::caller());
        boxed_if_large!(
            f: F as dyn FnOnce(S::Outcomes) -> T + Send,
            next.run(site, spec, PlainBody::new(move || f(handles.outcomes())))
        )
    }
}

impl TaskBuilder<Fallible> {
    /// Does what [`submit_after`](TaskBuilder::submit_after) of a plain template does, for a
    /// closure whose `Err` is a failure.
    ///
    /// ```
    /// use millhand::ThreadPool;
    ///
    /// let pool = ThreadPool::new(2)?;
    /// let parsed = pool.task().fallible().submit_after([pool.submit(|| "7")], |[text]| text.unwrap().parse::<u8>());
    /// assert_eq!(parsed.join_ok().unwrap(), 7);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    #[track_caller]
    pub fn submit_after<S, T, E, F>(&self, handles: S, f: F) -> TaskHandle<Result<T, E>>
    where
        S: HandleSet + Send + 'static,
        F: FnOnce(S::Outcomes) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: Display + Send + 'static,
    {
        let (core, spec) = self.parts();
        let before = tasks_of(handles.links());
        let (next, site) = (Continuation::on(core, before), Location::caller());
        boxed_if_large!(
            f: F as dyn FnOnce(S::Outcomes) -> Result<T, E> + Send,
            next.run(site, spec, FallibleBody::new(move || f(handles.outcomes())))
        )
    }
}

impl<E: Display + Send + 'static> TaskBuilder<Retrying<E>> {
    /// Does what [`submit_after`](TaskBuilder::submit_after) of a plain template does, for a
    /// closure that runs again when it fails. Each attempt gets the same outcomes.
    ///
    /// ```
    /// use millhand::{Retry, ThreadPool};
    /// use std::time::Duration;
    ///
    /// let pool = ThreadPool::new(2)?;
    /// let upload = pool.task().retry(Retry::fixed(3, Duration::from_millis(1)));
    /// let mut attempts = 0;
    /// let sent = upload.submit_after([pool.submit(|| "data")], move |[data]| {
    ///     attempts += 1;
    ///     if attempts < 3 { Err("busy") } else { Ok(data.as_ref().unwrap().len()) }
    /// });
    /// assert_eq!(sent.join_ok().unwrap(), 4);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    #[track_caller]
    pub fn submit_after<S, T, F>(&self, handles: S, mut f: F) -> TaskHandle<Result<T, E>>
    where
        S: HandleSet + Send + 'static,
        S::Outcomes: Send + 'static,
        F: FnMut(&S::Outcomes) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
    {
        let (core, spec) = self.parts();
        let before = tasks_of(handles.links());
        let (mut handles, mut outcomes) = (Some(handles), None);
        let body = move || {
            if let Some(handles) = handles.take() {
                outcomes = Some(handles.outcomes());
            }
            match &outcomes {
                Some(outcomes) => f(outcomes),
                None => unreachable!("the first attempt takes the outcomes"),
            }
        };
        let (next, site) = (Continuation::on(core, before), Location::caller());
        boxed_if_large!(
            body: F as dyn FnMut() -> Result<T, E> + Send,
            next.run(site, spec, RetryBody::new(body, self.rules()))
        )
    }
}

impl<S> fmt::Debug for WhenAll<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WhenAll").finish_non_exhaustive()
    }
}
