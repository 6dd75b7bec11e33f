//! Pipelines: items that go through stages, each with its own width.
//!
//! Layer 6. The types and the options; the work is `flow`'s, the decisions are `belt`'s.

use crate::compose::belt::Manner;
use crate::compose::failures::{Failure, Failures};
use crate::compose::flow::{Failed, Flow, Item, Source, StageSpec};
use crate::compose::gather::{Admits, Only, Sealed};
use crate::error::JoinError;
use crate::pool::{Core, Plain, PoolRef, Site, ThreadPool};
use crate::reason::CancelReason;
use std::any::Any;
use std::convert::Infallible;
use std::fmt;
use std::iter::FusedIterator;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;

/// Items that go through stages, each a closure that so many threads may run at once, with bounded buffers between them. From
/// [`ThreadPool::pipeline`]; it does nothing until it is [run](Self::run) or iterated over.
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
/// **Results** go to the thread that asks for them, in the order of the source, or as they come
/// ([`unordered`](Self::unordered)). As an iterator it is pulled, so that any adapter may follow:
///
/// ```
/// # let pool = millhand::ThreadPool::new(2)?;
/// let squares = pool.pipeline(1_u64..).stage(2, |n| n * n); // no end
/// let first: Result<Vec<_>, _> = squares.into_iter().take(3).collect();
/// assert_eq!(first.unwrap(), [1, 4, 9]);
/// # Ok::<(), millhand::BuildError>(())
/// ```
///
/// **Back-pressure.** No more than width + [buffer](Self::buffer) items are in a stage, or wait behind it for the next one
/// or for you; the sum of these is how far the source is read ahead. An item begins a stage only when there is a place for
/// what comes of it. Waiting items are data: no thread is ever parked for the pipeline, so it works on a pool of one worker,
/// and from inside a task.
///
/// **Tasks.** Each item in each stage is a task of the pool's, with [`current`](crate::current) and all; the source is read by
/// the first stage's, one item at a time. A stage of width 1 has its items one after the other, in order where order is kept.
/// They inherit the [context](crate::ContextVar) in which the pipeline was begun. A source that waits, such as a channel, keeps
/// a worker while it does, unless it says so:
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
/// **Failures.** A closure of [`stage_ok`](Self::stage_ok) may return an error, any may panic. The first failure ends it: in
/// order, what comes out is what a plain loop would have given, all before the item that failed, and then its failure;
/// unordered, the failure comes out next, and all that has not come out yet is dropped. With
/// [`collect_all`](Self::collect_all) it goes on. [`Failure::index`] is the item's place in the source, from 0, and
/// [`Failure::site`] where the stage was added. When the pool ends, so does the pipeline, with [`Rejected`] or [`Cancelled`]. A
/// source that panics has no more items.
///
/// [`Rejected`]: crate::TaskError::Rejected
/// [`Cancelled`]: crate::TaskError::Cancelled
///
/// **Stopping.** Dropping the iterator drops all that waits and cancels the tasks ([`CancelReason::Dropped`]); a body that runs
/// is asked to stop, and not waited for.
#[must_use = "a pipeline does nothing until it is run or iterated over"]
pub struct Pipeline<T, K = Plain> {
    core: Arc<Core>,
    site: Site,
    source: Source,
    stages: Vec<StageSpec>,
    buffer: Option<usize>,
    manner: Manner,
    kind: PhantomData<fn() -> (T, K)>,
}

/// The kinds of [`Pipeline`]s: [`Plain`] ones, of which nothing fails but by a panic, and those with a
/// [`stage_ok`](Pipeline::stage_ok), which fail with an error of [`Only`] one type.
///
/// ```
/// use millhand::{Only, Pipeline, ThreadPool};
/// use std::num::ParseIntError;
///
/// fn parse(pool: &ThreadPool, texts: Vec<String>) -> Pipeline<u32, Only<ParseIntError>> {
///     pool.pipeline(texts).stage_ok(2, |text| text.parse())
/// }
///
/// let pool = ThreadPool::new(2)?;
/// assert!(parse(&pool, vec!["1".into(), "x".into()]).run(drop).is_err());
/// # Ok::<(), millhand::BuildError>(())
/// ```
pub trait PipelineKind: Sealed {
    /// The error of its closures.
    type Error: 'static;
}

impl PipelineKind for Plain {
    type Error = Infallible;
}

impl<E: 'static> PipelineKind for Only<E> {
    type Error = E;
}

impl Sealed for Plain {}

impl<E> Admits<E> for Plain {}

fn boxed(value: impl Send + 'static) -> Item {
    Box::new(value)
}

/// What `boxed` has hidden.
fn unboxed<T: 'static>(item: Item) -> T {
    let item: Box<dyn Any> = item;
    match item.downcast() {
        Ok(value) => *value,
        Err(_) => unreachable!("what a stage gives is what the next one takes"),
    }
}

impl<T: Send + 'static> Pipeline<T> {
    fn new<I>(core: Arc<Core>, site: Site, source: I) -> Self
    where
        I: IntoIterator<Item = T>,
        I::IntoIter: Send + 'static,
    {
        Self {
            core,
            site,
            source: Box::new(source.into_iter().map(boxed)),
            stages: Vec::new(),
            buffer: None,
            manner: Manner {
                is_ordered: true,
                collects_all: false,
            },
            kind: PhantomData,
        }
    }
}

impl<T: Send + 'static, K: PipelineKind> Pipeline<T, K> {
    /// One more stage: `f`, on `width` items at once at the most.
    ///
    /// # Panics
    /// For a width of 0.
    ///
    /// ```
    /// # let pool = millhand::ThreadPool::new(2)?;
    /// let lengths = pool
    ///     .pipeline(["a", "bb", "ccc"])
    ///     .stage(2, |text| text.len())
    ///     .stage(1, |length| length * 10);
    /// let lengths: Result<Vec<_>, _> = lengths.into_iter().collect();
    /// assert_eq!(lengths.unwrap(), [10, 20, 30]);
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    #[track_caller]
    pub fn stage<U, F>(self, width: usize, f: F) -> Pipeline<U, K>
    where
        F: Fn(T) -> U + Send + Sync + 'static,
        U: Send + 'static,
    {
        let work = move |item| Ok(boxed(f(unboxed(item))));
        self.and(width, Location::caller(), work)
    }

    /// One more stage, whose closure may fail: `Err` is a [failure](Failure), what is in `Ok` goes on. The error's type is
    /// the same for all stages of a pipeline.
    ///
    /// # Panics
    /// For a width of 0.
    ///
    /// ```
    /// # let pool = millhand::ThreadPool::new(2)?;
    /// let numbers = pool.pipeline(["1", "2", "x", "4"]).stage_ok(2, |text| text.parse::<u32>());
    /// let mut sum = 0;
    /// let failures = numbers.run(|number| sum += number).unwrap_err();
    /// assert_eq!((sum, failures.first().index()), (3, 2));
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    #[track_caller]
    pub fn stage_ok<U, E, F>(self, width: usize, f: F) -> Pipeline<U, Only<E>>
    where
        F: Fn(T) -> Result<U, E> + Send + Sync + 'static,
        U: Send + 'static,
        E: Send + 'static,
        K: Admits<E>,
    {
        let work = move |item| match f(unboxed(item)) {
            Ok(value) => Ok(boxed(value)),
            Err(error) => Err(boxed(error)),
        };
        self.and(width, Location::caller(), work)
    }

    fn and<U, L>(
        mut self,
        width: usize,
        site: Site,
        work: impl Fn(Item) -> Result<Item, Item> + Send + Sync + 'static,
    ) -> Pipeline<U, L> {
        assert!(
            width > 0,
            "a stage's width is not allowed: it must be at least 1"
        );
        self.stages.push(StageSpec {
            width,
            buffer: self.buffer.unwrap_or(width),
            site,
            work: Arc::new(work),
        });
        Pipeline {
            core: self.core,
            site: self.site,
            source: self.source,
            stages: self.stages,
            buffer: self.buffer,
            manner: self.manner,
            kind: PhantomData,
        }
    }

    /// How many finished items may wait behind each of the stages that are added after this call, beside those for which
    /// the stage itself has room. Default: as many as the stage is wide.
    ///
    /// More of them even out stages that take now longer, now shorter; with 0, a finished item keeps its place in the
    /// stage until the next one takes it.
    ///
    /// ```
    /// # let pool = millhand::ThreadPool::new(2)?;
    /// let doubled = pool.pipeline(0..100).buffer(50).stage(2, |n| 2 * n);
    /// assert_eq!(doubled.into_iter().count(), 100);
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn buffer(mut self, items: usize) -> Self {
        self.buffer = Some(items);
        self
    }

    /// Lets items overtake each other. Default: they come out in the order of the source, and begin every stage in it.
    ///
    /// ```
    /// # let pool = millhand::ThreadPool::new(2)?;
    /// let mut seen = Vec::new();
    /// pool.pipeline(0..10).stage(2, |n| n).unordered().run(|n| seen.push(n)).unwrap();
    /// seen.sort();
    /// assert!(seen.into_iter().eq(0..10));
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn unordered(mut self) -> Self {
        self.manner.is_ordered = false;
        self
    }

    /// Goes on after failures: they come out as items do, and [`run`](Self::run) gives them all at the end. Default: the
    /// first one ends it.
    ///
    /// ```
    /// # let pool = millhand::ThreadPool::new(2)?;
    /// let mut sum = 0;
    /// let texts = ["1", "x", "3", ""];
    /// let numbers = pool.pipeline(texts).stage_ok(2, |text| text.parse::<u32>());
    /// let failures = numbers.collect_all().run(|number| sum += number).unwrap_err();
    /// let failed: Vec<_> = failures.iter().map(|failure| failure.index()).collect();
    /// assert_eq!((sum, failed), (4, vec![1, 3]));
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn collect_all(mut self) -> Self {
        self.manner.collects_all = true;
        self
    }

    /// Runs it to its end, and calls `sink` with each result, on this thread. A panic in `sink` stops it.
    ///
    /// Blocks; on a worker the seat is given up meanwhile.
    ///
    /// # Errors
    /// What failed: one, or with [`collect_all`](Self::collect_all) all, in the order in which they came out.
    ///
    /// ```
    /// # let pool = millhand::ThreadPool::new(2)?;
    /// let mut text = String::new();
    /// pool.pipeline('a'..='e').stage(2, |c| c.to_ascii_uppercase()).run(|c| text.push(c))?;
    /// assert_eq!(text, "ABCDE");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn run(self, mut sink: impl FnMut(T)) -> Result<(), Failures<K::Error>> {
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

/// Begins the pipeline. Its `next` blocks; on a worker the seat is given up meanwhile.
impl<T: Send + 'static, K: PipelineKind> IntoIterator for Pipeline<T, K> {
    type Item = Result<T, Failure<K::Error>>;
    type IntoIter = PipelineIter<T, K>;

    fn into_iter(mut self) -> PipelineIter<T, K> {
        if self.stages.is_empty() {
            let site = self.site;
            self = self.and(1, site, Ok);
        }
        PipelineIter {
            flow: Flow::start(self.core, self.source, self.stages, self.manner),
            kind: PhantomData,
        }
    }
}

impl<T, K> fmt::Debug for Pipeline<T, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            core: _,
            site,
            source: _,
            stages,
            buffer: _,
            manner: Manner {
                is_ordered,
                collects_all,
            },
            kind: _,
        } = self;
        let sizes: Vec<_> = stages
            .iter()
            .map(|stage| (stage.width, stage.buffer))
            .collect();
        f.debug_struct("Pipeline")
            .field("site", &site.to_string())
            .field("widths_and_buffers", &sizes)
            .field("ordered", is_ordered)
            .field("collect_all", collects_all)
            .finish_non_exhaustive()
    }
}

/// The results of a [`Pipeline`] as they come out, each with its failure if it has one; ends after the one that ends it.
/// Dropping it stops the pipeline.
///
/// ```
/// # let pool = millhand::ThreadPool::new(2)?;
/// let mut squares = pool.pipeline(1..).stage(2, |n| n * n).into_iter();
/// assert_eq!(squares.next().unwrap().unwrap(), 1);
/// drop(squares); // nothing is left behind
/// # Ok::<(), millhand::BuildError>(())
/// ```
#[must_use = "dropping it stops the pipeline"]
pub struct PipelineIter<T, K: PipelineKind = Plain> {
    flow: Arc<Flow>,
    kind: PhantomData<fn() -> (T, K)>,
}

impl<T: 'static, K: PipelineKind> Iterator for PipelineIter<T, K> {
    type Item = Result<T, Failure<K::Error>>;

    fn next(&mut self) -> Option<Self::Item> {
        let (place, end) = self.flow.next()?;
        Some(match end {
            Ok(item) => Ok(unboxed(item)),
            Err(Failed { who, error }) => {
                let error = match error {
                    JoinError::Failed(error) => JoinError::Failed(unboxed(error)),
                    JoinError::Task(error) => JoinError::Task(error),
                };
                Err(Failure::new(place, who, error))
            }
        })
    }
}

impl<T: 'static, K: PipelineKind> FusedIterator for PipelineIter<T, K> {}

impl<T, K: PipelineKind> Drop for PipelineIter<T, K> {
    fn drop(&mut self) {
        self.flow.close(CancelReason::Dropped);
    }
}

impl<T, K: PipelineKind> fmt::Debug for PipelineIter<T, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { flow: _, kind: _ } = self;
        f.debug_struct("PipelineIter").finish_non_exhaustive()
    }
}

macro_rules! pipeline {
    () => {
        /// Items that go through stages; see [`Pipeline`]. The source is read on the pool, and only as far as there is room.
        ///
        /// ```
        /// # let pool = millhand::ThreadPool::new(2)?;
        /// let words = pool.pipeline(["to", "be", "or"]).stage(2, |word| word.to_uppercase());
        /// let words: Result<Vec<_>, _> = words.into_iter().collect();
        /// assert_eq!(words.unwrap(), ["TO", "BE", "OR"]);
        /// # Ok::<(), millhand::BuildError>(())
        /// ```
        #[track_caller]
        pub fn pipeline<I>(&self, source: I) -> Pipeline<I::Item>
        where
            I: IntoIterator,
            I::Item: Send + 'static,
            I::IntoIter: Send + 'static,
        {
            let task = self.task();
            Pipeline::new(task.parts().0.clone(), Location::caller(), source)
        }
    };
}

impl ThreadPool {
    pipeline!();
}

impl PoolRef {
    pipeline!();
}
