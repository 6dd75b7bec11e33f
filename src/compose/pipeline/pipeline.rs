//! Pipelines: items that pass through stages, each stage with a width of its own.
//!
//! Layer: compose. Here are the types and the options. `driver` runs a pipeline, and `state`
//! decides what may happen next in it.
//
// Of a stage, only the call of the user's closure depends on the user's types: it unboxes its item
// and boxes the result.

use crate::compose::failures::{Failure, Failures};
use crate::compose::pipeline::driver::{Driver, Mode, PipelineSpec, StageBody};
use crate::compose::pipeline::state::{Failed, Item};
use crate::error::BoxError;
use crate::pool::{Core, Fallible, PLAIN, Pool, Retrying, Spec, TaskBuilder};
use crate::reason::CancelReason;
use crate::task::group_error::{BoxedError, by_box};
use crate::task::{Rules, Site};
use std::any::Any;
use std::fmt;
use std::iter::FusedIterator;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;

/// Processes items in stages, with several items in each stage at once and bounded buffers between
/// the stages. Returned by [`Pool::pipeline`].
///
/// A stage is a closure and its width, the number of items that may be in it at once. A pipeline
/// does nothing until it is [run](Self::run) or iterated over.
///
/// ```
/// use millhand::ThreadPool;
/// use std::fs;
///
/// let pool = ThreadPool::new(4)?;
/// let paths = ["Cargo.toml", "README.md"];
/// pool.pipeline(paths)
///     .stage_ok(4, |path| fs::read_to_string(path))
///     .stage(2, |text| text.lines().count())
///     .run(|lines| println!("{lines} lines"))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// **Results** go to the thread that asks for them, in the order of the source or in that in
/// which they are finished ([`unordered`](Self::unordered)). The pipeline converts into an
/// iterator, so any adapter may follow:
///
/// ```
/// # let pool = millhand::ThreadPool::new(2)?;
/// let squares = pool.pipeline(1_u64..).stage(2, |n| n * n); // no end
/// let first: Result<Vec<_>, _> = squares.into_iter().take(3).collect();
/// assert_eq!(first.unwrap(), [1, 4, 9]);
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
///
/// **Back-pressure.** At most width + [buffer](Self::buffer) items are in a stage or wait behind
/// it, for the next stage or for the consumer. The source is read ahead by at most the sum of
/// these numbers. An item begins a stage only when there is room for its result. Waiting items
/// are data: no thread is ever parked for them, so a pipeline works on a pool of one worker and
/// inside a task.
///
/// **Tasks.** Each item in each stage is a task of the pool, with [`current`](crate::current) and
/// the rest. The tasks of the first stage read the source, one item at a time. If that stage has a
/// template with options, other tasks read it. One task more sees the end of the source. The
/// report of the pool counts these, too. A stage of width 1
/// gets its items one after the other, and in the order of the source unless the pipeline is
/// unordered. The tasks inherit the [context](crate::ContextVar) in which the pipeline was begun.
/// A source that waits, such as a channel, keeps a worker waiting with it, unless it waits in
/// [`blocking`](crate::blocking):
///
/// ```
/// # let pool = millhand::ThreadPool::new(1)?;
/// let (send, receive) = std::sync::mpsc::channel();
/// let source = std::iter::from_fn(move || millhand::blocking(|| receive.recv().ok()));
/// let mut echo = pool.pipeline(source).stage(1, |line| line).into_iter();
/// send.send("one")?;
/// assert_eq!(echo.next().unwrap().unwrap(), "one"); // and another one is waited for
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// **Failures.** A closure of [`stage_ok`](Self::stage_ok) may return an error, and any closure may
/// panic. The first failure ends the pipeline. In order, the results are those of a plain loop: all
/// before the item that failed, and then its failure. Unordered, the failure comes out next, and
/// all that has not come out yet is dropped. With [`collect_all`](Self::collect_all) the pipeline
/// goes on after a failure. [`Failure::index`] is the number of the item in the source, from 0, and
/// [`Failure::site`] is where the stage was added. A failure that no code takes, because the
/// pipeline has ended before or is dropped, is [logged](crate::pool::PoolBuilder::on_unread).
///
/// A pool that is closed reads no more items, and begins no further stage of those that were read:
/// these fail with [`Rejected`] or [`Cancelled`], and what had finished comes out, unless an
/// unordered pipeline ends at that failure. A request to stop the task that waits for the results
/// ends the pipeline, with [`Interrupted`]. That end belongs to no item, and its index, which is 0,
/// says nothing. A source that panics has no more items.
///
/// [`Rejected`]: crate::TaskError::Rejected
/// [`Cancelled`]: crate::TaskError::Cancelled
/// [`Interrupted`]: crate::TaskError::Interrupted
///
/// **Stopping.** Dropping the iterator drops all waiting items and cancels the tasks with
/// [`CancelReason::Dropped`]. A running body is asked to stop, and not waited for.
///
/// Guide: [composition](crate::guide::composition).
#[must_use = "a pipeline does nothing until it is run or iterated over"]
pub struct Pipeline<T> {
    spec: PipelineSpec,
    item: PhantomData<fn() -> T>,
}

fn boxed(value: impl Send + 'static) -> Item {
    Box::new(value)
}

/// The value that `boxed` has boxed.
fn unboxed<T: 'static>(item: Item) -> T {
    let item: Box<dyn Any> = item;
    match item.downcast() {
        Ok(value) => *value,
        Err(_) => unreachable!("{OF_ITS_TYPE}"),
    }
}

fn value_of<T, U>(f: impl Fn(T) -> U + Send + Sync + 'static) -> StageBody
where
    T: 'static,
    U: Send + 'static,
{
    StageBody::Once(Arc::new(move |item| Ok(boxed(f(unboxed(item))))))
}

fn result_of<T, U, E>(f: impl Fn(T) -> Result<U, E> + Send + Sync + 'static) -> StageBody
where
    T: 'static,
    U: Send + 'static,
    E: Into<BoxError> + Send + 'static,
{
    StageBody::Once(Arc::new(move |item| match f(unboxed(item)) {
        Ok(value) => Ok(boxed(value)),
        Err(error) => Err(BoxedError::new(error, by_box::<E>)),
    }))
}

fn retried<T, U, E>(
    f: impl Fn(&T) -> Result<U, E> + Send + Sync + 'static,
    rules: Rules<BoxedError>,
) -> StageBody
where
    T: 'static,
    U: Send + 'static,
    E: Into<BoxError> + Send + 'static,
{
    let body = move |item: &Item| match f(item.downcast_ref().expect(OF_ITS_TYPE)) {
        Ok(value) => Ok(boxed(value)),
        Err(error) => Err(BoxedError::new(error, by_box::<E>)),
    };
    StageBody::Retried(Arc::new(body), Arc::new(rules))
}

const OF_ITS_TYPE: &str = "a stage takes what the stage before returns";

impl<T: Send + 'static> Pipeline<T> {
    pub(crate) fn new<I>(core: Arc<Core>, site: Site, source: I) -> Self
    where
        I: IntoIterator<Item = T>,
        I::IntoIter: Send + 'static,
    {
        Self {
            spec: PipelineSpec {
                core,
                site,
                source: Box::new(source.into_iter().map(boxed)),
                stages: Vec::new(),
                buffer: None,
                mode: Mode {
                    is_ordered: true,
                    collects_all: false,
                },
            },
            item: PhantomData,
        }
    }
}

impl<T: Send + 'static> Pipeline<T> {
    /// Adds a stage that runs `f` for each item, on at most `width` items at once.
    ///
    /// # Panics
    /// If `width` is 0.
    ///
    /// ```
    /// # let pool = millhand::ThreadPool::new(2)?;
    /// let lengths = pool
    ///     .pipeline(["a", "bb", "ccc"])
    ///     .stage(2, |text| text.len())
    ///     .stage(1, |length| length * 10);
    /// let lengths: Result<Vec<_>, _> = lengths.into_iter().collect();
    /// assert_eq!(lengths.unwrap(), [10, 20, 30]);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    #[track_caller]
    pub fn stage<U, F>(self, width: usize, f: F) -> Pipeline<U>
    where
        F: Fn(T) -> U + Send + Sync + 'static,
        U: Send + 'static,
    {
        self.and(width, Location::caller(), value_of(f), &PLAIN)
    }

    /// Adds a stage whose closure may fail: an `Err` is a [failure](Failure), and the value of an
    /// `Ok` goes on to the next stage. Each stage may have an error type of its own: one that
    /// becomes a [`BoxError`], as all errors and texts do.
    ///
    /// # Panics
    /// If `width` is 0.
    ///
    /// ```
    /// # let pool = millhand::ThreadPool::new(2)?;
    /// let numbers = pool.pipeline(["1", "2", "x", "4"]).stage_ok(2, |text| text.parse::<u32>());
    /// let mut sum = 0;
    /// let failures = numbers.run(|number| sum += number).unwrap_err();
    /// assert_eq!((sum, failures.first().index()), (3, 2));
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    #[track_caller]
    pub fn stage_ok<U, E, F>(self, width: usize, f: F) -> Pipeline<U>
    where
        F: Fn(T) -> Result<U, E> + Send + Sync + 'static,
        U: Send + 'static,
        E: Into<BoxError> + Send + 'static,
    {
        self.and(width, Location::caller(), result_of(f), &PLAIN)
    }

    /// Adds a stage whose tasks have the options of a template: name, priority, gates, time limits,
    /// a token. Otherwise as [`stage`](Self::stage). The pool of the pipeline runs them.
    ///
    /// # Panics
    /// If `width` is 0.
    ///
    /// ```
    /// use millhand::RateLimiter;
    /// use std::time::Duration;
    ///
    /// # let pool = millhand::ThreadPool::new(2)?;
    /// let api = RateLimiter::token_bucket(1000, Duration::from_secs(1)).build()?;
    /// let call = pool.task().name("call").gate(&api);
    /// let answers = pool.pipeline(1..=3).stage_with(&call, 2, |n| n * 10);
    /// let answers: Result<Vec<_>, _> = answers.into_iter().collect();
    /// assert_eq!(answers.unwrap(), [10, 20, 30]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn stage_with<U, F>(self, template: &TaskBuilder, width: usize, f: F) -> Pipeline<U>
    where
        F: Fn(T) -> U + Send + Sync + 'static,
        U: Send + 'static,
    {
        let (_, spec) = template.parts();
        self.and(width, Location::caller(), value_of(f), spec)
    }

    /// Adds a stage whose closure may fail, with the options of a template:
    /// [`stage_ok`](Self::stage_ok) and [`stage_with`](Self::stage_with) in one.
    ///
    /// # Panics
    /// If `width` is 0.
    ///
    /// ```
    /// # let pool = millhand::ThreadPool::new(2)?;
    /// let parse = pool.task().name("parse").fallible();
    /// let numbers = pool.pipeline(["1", "x"]).stage_ok_with(&parse, 2, |text| text.parse::<u32>());
    /// let failures = numbers.run(drop).unwrap_err();
    /// assert_eq!(failures.first().name(), Some("parse"));
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    #[track_caller]
    pub fn stage_ok_with<U, E, F>(
        self,
        template: &TaskBuilder<Fallible>,
        width: usize,
        f: F,
    ) -> Pipeline<U>
    where
        F: Fn(T) -> Result<U, E> + Send + Sync + 'static,
        U: Send + 'static,
        E: Into<BoxError> + Send + 'static,
    {
        let (_, spec) = template.parts();
        self.and(width, Location::caller(), result_of(f), spec)
    }

    /// Adds a stage whose closure runs again for an item for which it fails, as the template says.
    /// The stage keeps the item until its last attempt, so the closure gets a reference. An item
    /// that waits for its next attempt counts as one of the stage's `width`.
    ///
    /// # Panics
    /// If `width` is 0.
    ///
    /// ```
    /// use millhand::{Retry, attempt};
    /// use std::time::Duration;
    ///
    /// # let pool = millhand::ThreadPool::new(2)?;
    /// let fetch = pool.task().name("fetch").retry(Retry::fixed(2, Duration::ZERO));
    /// let pages = pool.pipeline(["a", "b"]).stage_retry(&fetch, 4, |url| match attempt() {
    ///     1 => Err("no connection"),
    ///     _ => Ok(format!("page {url}")),
    /// });
    /// let pages: Result<Vec<_>, _> = pages.into_iter().collect();
    /// assert_eq!(pages.unwrap(), ["page a", "page b"]);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    #[track_caller]
    pub fn stage_retry<U, E, F>(
        self,
        template: &TaskBuilder<Retrying<E>>,
        width: usize,
        f: F,
    ) -> Pipeline<U>
    where
        F: Fn(&T) -> Result<U, E> + Send + Sync + 'static,
        U: Send + 'static,
        E: Into<BoxError> + Send + 'static,
    {
        let (_, spec) = template.parts();
        let rules = template.rules().of_boxed();
        self.and(width, Location::caller(), retried(f, rules), spec)
    }

    /// Gives the last stage the site of the whole pipeline.
    pub(crate) fn at_site_of_pipeline(mut self) -> Self {
        let site = self.spec.site;
        self.spec
            .stages
            .iter_mut()
            .for_each(|stage| stage.site = site);
        self
    }

    /// Sets the width of the last stage.
    pub(crate) fn last_width(mut self, width: usize) -> Self {
        if let Some(stage) = self.spec.stages.last_mut() {
            stage.width = width;
        }
        self
    }

    #[track_caller]
    fn and<U>(mut self, width: usize, site: Site, body: StageBody, spec: &Spec) -> Pipeline<U> {
        self.spec.add_stage(width, site, body, spec);
        Pipeline {
            spec: self.spec,
            item: PhantomData,
        }
    }

    /// Sets how many finished items may wait behind each stage that is added after this call, in
    /// addition to the items that its width allows. Default: the width of the stage.
    ///
    /// A larger buffer evens out a stage whose items take different times. With a buffer of 0, a
    /// finished item counts as one of the stage's `width` items until the next stage takes it.
    ///
    /// ```
    /// # let pool = millhand::ThreadPool::new(2)?;
    /// let doubled = pool.pipeline(0..100).buffer(50).stage(2, |n| 2 * n);
    /// assert_eq!(doubled.into_iter().count(), 100);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn buffer(mut self, items: usize) -> Self {
        self.spec.buffer = Some(items);
        self
    }

    /// Lets items overtake each other. Default: items enter each stage, and come out, in the
    /// order of the source. Two that enter a stage of more than one thread at the same moment may
    /// start in either order.
    ///
    /// ```
    /// # let pool = millhand::ThreadPool::new(2)?;
    /// let mut seen = Vec::new();
    /// pool.pipeline(0..10).stage(2, |n| n).unordered().run(|n| seen.push(n)).unwrap();
    /// seen.sort();
    /// assert!(seen.into_iter().eq(0..10));
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn unordered(mut self) -> Self {
        self.spec.mode.is_ordered = false;
        self
    }

    /// Goes on after failures: they come out as items do, and [`run`](Self::run) returns all of
    /// them at the end. Default: the first failure ends the pipeline.
    ///
    /// ```
    /// # let pool = millhand::ThreadPool::new(2)?;
    /// let mut sum = 0;
    /// let texts = ["1", "x", "3", ""];
    /// let numbers = pool.pipeline(texts).stage_ok(2, |text| text.parse::<u32>());
    /// let failures = numbers.collect_all().run(|number| sum += number).unwrap_err();
    /// let failed: Vec<_> = failures.iter().map(|failure| failure.index()).collect();
    /// assert_eq!((sum, failed), (4, vec![1, 3]));
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn collect_all(mut self) -> Self {
        self.spec.mode.collects_all = true;
        self
    }

    /// Runs the pipeline to its end and calls `sink` with each result, on the calling thread. A
    /// panic in `sink` stops the pipeline.
    ///
    /// When it returns, source and closures are dropped. After a failure, a closure that still runs
    /// is dropped when it returns.
    ///
    /// Blocks. On a worker the run slot is released meanwhile.
    ///
    /// # Errors
    /// The failure that ended the pipeline, or with [`collect_all`](Self::collect_all) all
    /// failures, in the order in which they came out.
    ///
    /// ```
    /// # let pool = millhand::ThreadPool::new(2)?;
    /// let mut text = String::new();
    /// pool.pipeline('a'..='e').stage(2, |c| c.to_ascii_uppercase()).run(|c| text.push(c))?;
    /// assert_eq!(text, "ABCDE");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn run(self, mut sink: impl FnMut(T)) -> Result<(), Failures> {
        let mut failures = Vec::new();
        for end in self {
            match end {
                Ok(value) => sink(value),
                Err(failure) => failures.push(failure),
            }
        }
        Failures::new(failures).map_or(Ok(()), Err)
    }
}

/// Begins the pipeline. The iterator's `next` blocks. On a worker the run slot is released
/// meanwhile.
impl<T: Send + 'static> IntoIterator for Pipeline<T> {
    type Item = Result<T, Failure>;
    type IntoIter = PipelineIter<T>;

    fn into_iter(self) -> PipelineIter<T> {
        PipelineIter {
            driver: Driver::start(self.spec),
            item: PhantomData,
        }
    }
}

impl<T> fmt::Debug for Pipeline<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { spec, item: _ } = self;
        let stages = spec.stages.iter();
        let sizes: Vec<_> = stages.map(|stage| (stage.width, stage.buffer)).collect();
        f.debug_struct("Pipeline")
            .field("site", &spec.site.to_string())
            .field("widths_and_buffers", &sizes)
            .field("ordered", &spec.mode.is_ordered)
            .field("collect_all", &spec.mode.collects_all)
            .finish_non_exhaustive()
    }
}

/// Iterates over the results of a [`Pipeline`]: a value or a failure for each item. It ends after
/// the failure that ends the pipeline. Dropping it stops the pipeline.
///
/// ```
/// # let pool = millhand::ThreadPool::new(2)?;
/// let mut squares = pool.pipeline(1..).stage(2, |n| n * n).into_iter();
/// assert_eq!(squares.next().unwrap().unwrap(), 1);
/// drop(squares); // nothing is left behind
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
///
/// Guide: [composition](crate::guide::composition).
#[must_use = "dropping it stops the pipeline"]
pub struct PipelineIter<T> {
    driver: Arc<Driver>,
    item: PhantomData<fn() -> T>,
}

impl<T: 'static> Iterator for PipelineIter<T> {
    type Item = Result<T, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        let (index, end) = self.driver.next()?;
        Some(match end {
            Ok(item) => Ok(unboxed(item)),
            Err(Failed { who, error }) => Err(Failure::new(index, who, error)),
        })
    }
}

impl<T: 'static> FusedIterator for PipelineIter<T> {}

impl<T> Drop for PipelineIter<T> {
    fn drop(&mut self) {
        self.driver.close(CancelReason::Dropped);
    }
}

impl<T> fmt::Debug for PipelineIter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { driver: _, item: _ } = self;
        f.debug_struct("PipelineIter").finish_non_exhaustive()
    }
}

impl Pool {
    /// Processes the items of `source` in stages; see [`Pipeline`]. The source is read on the
    /// pool, and only as far as there is room for its items.
    ///
    /// ```
    /// # let pool = millhand::ThreadPool::new(2)?;
    /// let words = pool.pipeline(["to", "be", "or"]).stage(2, |word| word.to_uppercase());
    /// let words: Result<Vec<_>, _> = words.into_iter().collect();
    /// assert_eq!(words.unwrap(), ["TO", "BE", "OR"]);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    #[track_caller]
    pub fn pipeline<I>(&self, source: I) -> Pipeline<I::Item>
    where
        I: IntoIterator,
        I::Item: Send + 'static,
        I::IntoIter: Send + 'static,
    {
        Pipeline::new(self.core().clone(), Location::caller(), source)
    }
}
