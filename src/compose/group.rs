//! Continuing several tasks: when all of them have settled, or the first.
//!
//! Layer 6.

use crate::compose::after::{self, Before};
use crate::compose::handles::{Handle, HandleSet, Link};
use crate::error::{InvalidTask, Rejection, TaskError};
use crate::extras::Watch;
use crate::fork;
use crate::id::TaskId;
use crate::panic::{self, TaskPanic};
use crate::pool::{Fallible, PLAIN, Retrying, Site, TaskBuilder};
use crate::task::{FallibleWork, PlainWork, RetryWork, TaskHandle, settled};
use std::fmt;
use std::panic::Location;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

/// All of a set.
struct All<S>(S);

impl<S: HandleSet + Send + 'static> Before for All<S> {
    fn links(&self) -> Vec<Link> {
        self.0.links()
    }

    fn awaited(&self) -> usize {
        self.0.links().len()
    }
}

/// Several tasks, to be continued when all of them have settled: a chord.
///
/// ```
/// use millhand::{ThreadPool, when_all};
///
/// let pool = ThreadPool::new(2)?;
/// let parts: Vec<_> = (1..=4).map(|n| pool.submit(move || n * n)).collect();
/// let total = when_all(parts).then(|outcomes| outcomes.into_iter().flatten().sum::<u32>());
/// assert_eq!(total.join().unwrap(), 30);
/// # Ok::<(), millhand::BuildError>(())
/// ```
pub fn when_all<S: HandleSet + Send + 'static>(handles: S) -> WhenAll<S> {
    WhenAll { handles }
}

/// See [`when_all`].
#[must_use = "it does nothing without `then`"]
pub struct WhenAll<S> {
    handles: S,
}

impl<S: HandleSet + Send + 'static> WhenAll<S> {
    /// Goes on with all outcomes, in the order and shape of the handles: a new task of the pool of the first of them. As
    /// [`TaskHandle::then`]. With options: [`submit_after`](TaskBuilder::submit_after).
    ///
    /// Of nothing it is queued at once, with an empty list; on a thread that is no worker, where no pool is known, it runs
    /// right here.
    ///
    /// ```
    /// use millhand::{ThreadPool, when_all};
    ///
    /// let pool = ThreadPool::new(2)?;
    /// let sum = when_all((pool.submit(|| 1), pool.submit(|| 2.5))).then(|(a, b)| f64::from(a.unwrap()) + b.unwrap());
    /// assert_eq!(sum.join().unwrap(), 3.5);
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    #[track_caller]
    pub fn then<U, F>(self, f: F) -> TaskHandle<U>
    where
        F: FnOnce(S::Outcomes) -> U + Send + 'static,
        U: Send + 'static,
    {
        let site = Location::caller();
        let handles = self.handles;
        let links = handles.links();
        match after::pool_of(&links) {
            Ok(core) => after::submit_after(&core, site, &PLAIN, All(handles), |held| {
                PlainWork(move || f(held.take().0.outcomes()))
            }),
            Err(_) if links.is_empty() => here(site, || f(handles.outcomes())),
            Err(why) => after::no_pool(site, why),
        }
    }
}

/// Runs it on the caller, for want of a pool.
fn here<U: Send + 'static>(site: Site, f: impl FnOnce() -> U) -> TaskHandle<U> {
    let outcome = panic::catch(f).map_err(|payload| {
        let id = TaskId::next();
        TaskError::Panicked(Box::new(TaskPanic::new(id, None, site, payload, None)))
    });
    settled(fork::NOBODY, site, None, outcome)
}

/// The first of several to settle.
struct AnyOf<H> {
    handles: Vec<H>,
    first: Arc<First>,
}

/// Which was the first.
struct First {
    place: AtomicUsize,
    task: OnceLock<Weak<dyn Watch>>,
}

const NONE: usize = usize::MAX;

impl Watch for First {
    fn settled(self: Arc<Self>, place: usize) {
        let (one, relaxed) = (place, Ordering::Relaxed);
        // ORDERING: relaxed; the task's slot, which is told next, orders it before the body's look.
        let won = self.place.compare_exchange(NONE, one, relaxed, relaxed);
        let task = self.task.get().and_then(Weak::upgrade);
        if let (Ok(_), Some(task)) = (won, task) {
            task.settled(0);
        }
    }
}

impl<H: Handle + Send + 'static> Before for AnyOf<H> {
    fn links(&self) -> Vec<Link> {
        self.handles.iter().map(H::link).collect()
    }

    fn awaited(&self) -> usize {
        1
    }

    fn listener(&self, task: Arc<dyn Watch>) -> Arc<dyn Watch> {
        self.first.task.get_or_init(|| Arc::downgrade(&task));
        self.first.clone()
    }

    fn address(&self, _: usize) -> usize {
        Self::address(self)
    }
}

impl<H: Handle> AnyOf<H> {
    fn address(&self) -> usize {
        Arc::as_ptr(&self.first).addr()
    }

    /// The first, with its place. The others are let go.
    fn outcome(mut self) -> (usize, Result<H::Output, TaskError>) {
        let place = self.first.place.load(Ordering::Relaxed);
        let first = self.handles.swap_remove(place);
        let address = self.address();
        for other in &self.handles {
            other.link().task.unwatch(address);
        }
        (place, first.outcome())
    }
}

/// Several tasks, to be continued when the first of them has settled, whatever its outcome. The others run on;
/// [`race`](crate::race) cancels them.
///
/// ```
/// use millhand::{ThreadPool, promise, when_any};
///
/// let pool = ThreadPool::new(2)?;
/// let (_kept, never) = promise::<&str>();
/// let first = when_any([never, pool.submit(|| "here")]).then(|(place, outcome)| (place, outcome.unwrap()));
/// assert_eq!(first.join().unwrap(), (1, "here"));
/// # Ok::<(), millhand::BuildError>(())
/// ```
pub fn when_any<H: Handle + Send + 'static>(handles: impl IntoIterator<Item = H>) -> WhenAny<H> {
    WhenAny {
        handles: handles.into_iter().collect(),
    }
}

/// See [`when_any`].
#[must_use = "it does nothing without `then`"]
pub struct WhenAny<H> {
    handles: Vec<H>,
}

impl<H: Handle + Send + 'static> WhenAny<H> {
    /// Goes on with the place of the first and its outcome: a new task of the pool of the first handle. As
    /// [`TaskHandle::then`]; cancelling the new task before it has begun cancels all of them.
    ///
    /// Of nothing there is no first: the handle settles as [`Rejected`](TaskError::Rejected).
    ///
    /// ```
    /// use millhand::{ThreadPool, when_any};
    ///
    /// let pool = ThreadPool::new(2)?;
    /// let mirrors = (0..3).map(|n| pool.submit(move || format!("mirror {n}")));
    /// let text = when_any(mirrors).then(|(_, outcome)| outcome.unwrap());
    /// assert!(text.join().unwrap().starts_with("mirror"));
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    #[track_caller]
    pub fn then<U, F>(self, f: F) -> TaskHandle<U>
    where
        F: FnOnce((usize, Result<H::Output, TaskError>)) -> U + Send + 'static,
        U: Send + 'static,
    {
        let site = Location::caller();
        if self.handles.is_empty() {
            let nothing = Rejection::Invalid(InvalidTask::FirstOfNone);
            return settled(fork::NOBODY, site, None, Err(TaskError::Rejected(nothing)));
        }
        let any = AnyOf {
            handles: self.handles,
            first: Arc::new(First {
                place: AtomicUsize::new(NONE),
                task: OnceLock::new(),
            }),
        };
        match after::pool_of(&any.links()) {
            Ok(core) => after::submit_after(&core, site, &PLAIN, any, |held| {
                PlainWork(move || f(held.take().outcome()))
            }),
            Err(why) => after::no_pool(site, why),
        }
    }
}

impl TaskBuilder {
    /// Submits a task with this template's options that goes on with the outcomes of `handles` once all of them have settled:
    /// [`when_all`] with options, on the pool of the template's choice. Delays and time limits count from then.
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
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    ///
    /// A pool that is closed, and options that contradict each other, settle the handle as
    /// [`Rejected`](TaskError::Rejected); the tasks above run on then.
    #[track_caller]
    pub fn submit_after<S, T, F>(&self, handles: S, f: F) -> TaskHandle<T>
    where
        S: HandleSet + Send + 'static,
        F: FnOnce(S::Outcomes) -> T + Send + 'static,
        T: Send + 'static,
    {
        let (core, spec) = self.parts();
        after::submit_after(core, Location::caller(), spec, All(handles), |held| {
            PlainWork(move || f(held.take().0.outcomes()))
        })
    }
}

impl TaskBuilder<Fallible> {
    /// As [`submit_after`](TaskBuilder::submit_after) of a plain template, for a closure whose `Err` is a failure.
    ///
    /// ```
    /// use millhand::ThreadPool;
    ///
    /// let pool = ThreadPool::new(2)?;
    /// let parsed = pool.task().fallible().submit_after([pool.submit(|| "7")], |[text]| text.unwrap().parse::<u8>());
    /// assert_eq!(parsed.join_ok().unwrap(), 7);
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    #[track_caller]
    pub fn submit_after<S, T, E, F>(&self, handles: S, f: F) -> TaskHandle<Result<T, E>>
    where
        S: HandleSet + Send + 'static,
        F: FnOnce(S::Outcomes) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
    {
        let (core, spec) = self.parts();
        after::submit_after(core, Location::caller(), spec, All(handles), |held| {
            FallibleWork(move || f(held.take().0.outcomes()))
        })
    }
}

impl<E: Send + 'static> TaskBuilder<Retrying<E>> {
    /// As [`submit_after`](TaskBuilder::submit_after) of a plain template, for a closure that is tried again when it fails; each
    /// attempt sees the same outcomes.
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
    /// # Ok::<(), millhand::BuildError>(())
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
        let rules = self.rules();
        after::submit_after(core, Location::caller(), spec, All(handles), |held| {
            let mut outcomes = None;
            let body = move || f(outcomes.get_or_insert_with(|| held.take().0.outcomes()));
            RetryWork(body, rules)
        })
    }
}

impl<S> fmt::Debug for WhenAll<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WhenAll").finish_non_exhaustive()
    }
}

impl<H> fmt::Debug for WhenAny<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WhenAny")
            .field("handles", &self.handles.len())
            .finish()
    }
}
