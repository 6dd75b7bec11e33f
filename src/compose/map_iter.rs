//! `map_iter`, and the collections of a template: one closure over items that come one by one, each
//! item a task. Lazy: a window of them is at work at a time.
//!
//! Layer: compose. It is a pipeline of one stage, whose width is the window.

use crate::compose::failures::{Failure, Failures};
use crate::compose::pipeline::{Pipeline, PipelineIter};
use crate::compose::scope::Unfinished;
use crate::error::{BoxError, JoinError, TaskError};
use crate::pool::{Core, Fallible, Pool, Retrying, TaskBuilder};
use std::fmt;
use std::iter::FusedIterator;
use std::mem;
use std::panic::Location;

/// Iterates over the results of a closure that runs on the pool for each item of another iterator;
/// returned by [`Pool::map_iter`] and [`TaskBuilder::map_iter`].
///
/// Each item is a task; the [`Pipeline`] page says which tasks read them. At most a
/// [window](Self::window) of items is ahead of the consumer: it is at work, or its result waits.
/// The tasks read the items from their iterator, on the pool, as far as the window allows. So a
/// source that waits holds no result back. It keeps a worker waiting with it, unless it waits in
/// [`blocking`](crate::blocking). Results come in the order of the items, or in the order in which
/// the tasks finish ([`unordered`](Self::unordered)).
///
/// It is lazy: nothing is read before the first result is asked for. The tasks have the
/// [context](crate::ContextVar) of that moment.
///
/// Dropping it cancels its tasks with
/// [`CancelReason::Dropped`](crate::cancel::CancelReason::Dropped), and waits for none of them.
/// Queued tasks are dropped, and running ones are asked to stop.
///
/// Guide: [composition](crate::guide::composition).
///
/// # Panics
/// [`next`](Iterator::next) of the pool's `map_iter` panics with the payload of a closure or a
/// source that panicked. It also panics when the pool did not run a task to its end, because it is
/// closed, full or shut down. In a task that is cancelled it ends the task, as
/// [`checkpoint`](crate::checkpoint) does. That of a template panics for none of these: they are
/// outcomes.
///
/// ```
/// let pool = millhand::ThreadPool::new(2)?;
/// let squares = pool.map_iter(1_u64.., |n| n * n); // without end
/// assert_eq!(squares.take(4).collect::<Vec<_>>(), [1, 4, 9, 16]);
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
///
/// A program can forget an iterator, and then nothing waits for its tasks. So they cannot borrow:
///
/// ```compile_fail,E0597
/// let pool = millhand::ThreadPool::new(2).unwrap();
/// let text = String::from("borrowed");
/// let lengths = pool.map_iter(0..10, |n| text.len() + n);
/// std::mem::forget(lengths);
/// ```
///
/// ```compile_fail,E0716
/// let pool = millhand::ThreadPool::new(2).unwrap();
/// let lengths = pool.map_iter(vec![String::from("borrowed")].iter(), |text| text.len());
/// std::mem::forget(lengths);
/// ```
#[must_use = "an iterator does nothing until it is asked"]
pub struct MapIter<R, O = R> {
    state: State<R>,
    /// Makes of a result what comes out. Leaves by a panic if nothing can.
    give: fn(Result<R, Failure>) -> O,
}

/// A result of a template: a value, or why there is none.
type Outcome<R> = Result<R, Failure>;

enum State<R> {
    /// The last stage is that of the closure.
    Begins(Pipeline<R>),
    Runs(PipelineIter<R>),
    /// The source has panicked while the first task was submitted.
    Gone,
}

impl<R: Send + 'static, O> MapIter<R, O> {
    /// `stage` adds the stage of the closure.
    fn new<T: Send + 'static>(
        items: Pipeline<T>,
        give: fn(Result<R, Failure>) -> O,
        stage: impl FnOnce(Pipeline<T>) -> Pipeline<R>,
    ) -> Self {
        let pipeline = stage(items.buffer(0).collect_all()).at_site_of_pipeline();
        Self {
            state: State::Begins(pipeline),
            give,
        }
    }

    fn with(self, change: impl FnOnce(Pipeline<R>) -> Pipeline<R>) -> Self {
        let state = match self.state {
            State::Begins(pipeline) => State::Begins(change(pipeline)),
            begun => begun,
        };
        Self { state, ..self }
    }

    /// Sets how many items may be ahead of the consumer. Default: twice the number of the pool's
    /// workers. Set it before the first result is asked for. A template with options reads one item
    /// more, which waits for its turn.
    ///
    /// # Panics
    /// If it is 0.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(2)?;
    /// let lengths = pool.map_iter(["a", "bc"], str::len).window(100);
    /// assert_eq!(lengths.sum::<usize>(), 3);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    #[track_caller]
    pub fn window(self, items: usize) -> Self {
        assert!(
            items > 0,
            "the window of a `map_iter` must be at least 1 item"
        );
        self.with(|pipeline| pipeline.last_width(items))
    }

    /// Returns the results in the order in which the tasks finish, so that a slow item delays no
    /// other result. Default: in the order of the items. Set it before the first result is asked
    /// for. Either way they are submitted in the order of the items. Two workers that take two of
    /// them at the same moment may start these in either order, also at a gate.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(2)?;
    /// let mut squares: Vec<_> = pool.map_iter(0..100, |n| n * n).unordered().collect();
    /// squares.sort();
    /// assert_eq!(squares[99], 99 * 99);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn unordered(self) -> Self {
        self.with(Pipeline::unordered)
    }
}

/// The value of an item, in a map whose closure cannot fail.
fn value<R>(result: Result<R, Failure>) -> R {
    let (who, error) = match result {
        Ok(value) => return value,
        Err(failure) => failure.into_parts(),
    };
    match error {
        JoinError::Task(TaskError::Panicked(panicked)) => panicked.resume(),
        JoinError::Task(error) => Unfinished::new(who, error).propagate("map"),
        JoinError::Failed(_) => unreachable!("the closure returns no error"),
    }
}

impl<R: Send + 'static, O> Iterator for MapIter<R, O> {
    type Item = O;

    fn next(&mut self) -> Option<O> {
        if let State::Begins(_) = self.state {
            if let State::Begins(pipeline) = mem::replace(&mut self.state, State::Gone) {
                self.state = State::Runs(pipeline.into_iter());
            }
        }
        match &mut self.state {
            State::Runs(results) => results.next().map(self.give),
            _ => None,
        }
    }
}

impl<R: Send + 'static, O> FusedIterator for MapIter<R, O> {}

impl<R, O> fmt::Debug for MapIter<R, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapIter")
            .field("begun", &matches!(self.state, State::Runs(_)))
            .finish_non_exhaustive()
    }
}

impl Pool {
    /// Runs `f` on the pool for each item of an iterator, which may be without end, and
    /// iterates over the results.
    ///
    /// Lazy: nothing runs before the first result is asked for, and then a
    /// [window](MapIter::window) of items at a time. The results come in the order of the
    /// items, or in that [in which the tasks finish](MapIter::unordered). Each item is a task
    /// of its own: for many small items that are there already, [`map`](Self::map) is faster.
    /// [`TaskBuilder::map_iter`] has options, and gives failures as outcomes.
    ///
    /// ```
    /// use std::io::{BufRead, BufReader};
    ///
    /// let pool = millhand::ThreadPool::new(2)?;
    /// let lines = BufReader::new(std::fs::File::open("Cargo.toml")?).lines();
    /// let lengths = pool.map_iter(lines, |line| line.map_or(0, |line| line.len()));
    /// assert!(lengths.max() > Some(10));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn map_iter<I, R, F>(&self, items: I, f: F) -> MapIter<R>
    where
        I: IntoIterator<Item: Send + 'static, IntoIter: Send + 'static>,
        R: Send + 'static,
        F: Fn(I::Item) -> R + Send + Sync + 'static,
    {
        let window = window_of(self.core());
        MapIter::new(self.pipeline(items), value, |items| items.stage(window, f))
    }
}

/// Twice the number of workers.
fn window_of(core: &Core) -> usize {
    2 * core.run_slots.count()
}

/// The verbs of a template for whole collections. `$stage` adds the stage of the closure `$f`.
macro_rules! collections {
    (
        [$($generic:ident $(: $bound:path)?),+], ($($arg:ty),+) -> $output:ty,
        |$items:ident, $template:ident, $window:ident, $f:ident| $stage:expr
    ) => {
        /// Runs a closure for each item of an iterator, each as a task with the options of this
        /// template, and iterates over the outcomes: a value, or why there is none.
        ///
        /// Lazy, and in the order of the items, as the pool's [`map_iter`](Pool::map_iter). One
        /// failure stops no other item. [`Failure::index`] is the number of the item. The closure
        /// of a template with [`retry`](TaskBuilder::retry) gets a reference to its item, which is
        /// kept until the last attempt.
        ///
        /// The outcomes end early when the pool takes no more tasks: the last one is the refusal of
        /// the first item that was not read. They also end early when the task that asks for them
        /// is asked to stop. That failure, the last one, belongs to no item.
        ///
        /// The items are not borrowed, and neither is the closure. In a scope, submit the items one
        /// by one.
        ///
        /// ```
        /// use millhand::{RateLimiter, Retry};
        /// use std::time::Duration;
        ///
        /// let pool = millhand::ThreadPool::new(4)?;
        /// let api = RateLimiter::token_bucket(1000, Duration::from_secs(1)).build()?;
        /// let fetch = pool.task().name("fetch").gate(&api).retry(Retry::fixed(3, Duration::ZERO));
        /// let pages = fetch.map_iter(["a", "", "c"], |url| match url.is_empty() {
        ///     false => Ok(format!("page {url}")),
        ///     true => Err("no such page"),
        /// });
        /// let failed: Vec<_> = pages.window(100).filter_map(Result::err).collect();
        /// assert_eq!((failed.len(), failed[0].index(), failed[0].name()), (1, 1, Some("fetch")));
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        #[track_caller]
        pub fn map_iter<I, F, $($generic),+>(&self, items: I, f: F) -> MapIter<R, Outcome<R>>
        where
            I: IntoIterator<Item: Send + 'static, IntoIter: Send + 'static>,
            F: Fn($($arg),+) -> $output + Send + Sync + 'static,
            $($generic: Send + 'static $(+ $bound)?),+
        {
            let ($template, $f) = (self, f);
            let core = self.parts().0;
            let $window = window_of(core);
            let items = Pipeline::new(core.clone(), Location::caller(), items);
            MapIter::new(items, |outcome| outcome, |$items| $stage)
        }

        /// Runs a closure for each item, each as a task with the options of this template, and
        /// returns the outcomes in the order of the items. Blocks until all are there. There are
        /// fewer outcomes than items if they end early, as those of [`map_iter`](Self::map_iter).
        ///
        /// All items are submitted at once, so that all may wait at gates and for another attempt.
        /// Otherwise as `map_iter`.
        ///
        /// ```
        /// let pool = millhand::ThreadPool::new(2)?;
        /// let outcomes = pool.task().name("square").map(1..=3, |n| n * n);
        /// let squares: Result<Vec<_>, _> = outcomes.into_iter().collect();
        /// assert_eq!(squares.unwrap(), [1, 4, 9]);
        /// # Ok::<(), millhand::pool::BuildError>(())
        /// ```
        #[track_caller]
        pub fn map<I, F, $($generic),+>(&self, items: I, f: F) -> Vec<Outcome<R>>
        where
            I: IntoIterator<Item: Send + 'static, IntoIter: Send + 'static>,
            F: Fn($($arg),+) -> $output + Send + Sync + 'static,
            $($generic: Send + 'static $(+ $bound)?),+
        {
            self.map_iter(items, f).window(usize::MAX).collect()
        }
    };
}

impl TaskBuilder {
    collections!([R], (I::Item) -> R, |items, template, window, f| {
        items.stage_with(template, window, f)
    });

    /// Runs a closure for each item, each as a task with the options of this template. Blocks until
    /// all have ended. All items are submitted at once.
    ///
    /// # Errors
    /// The tasks that have not ended well, in the order of the items.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(2)?;
    /// pool.task().name("print").for_each(1..=3, |n| println!("{n}"))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn for_each<I, F>(&self, items: I, f: F) -> Result<(), Failures>
    where
        I: IntoIterator<Item: Send + 'static, IntoIter: Send + 'static>,
        F: Fn(I::Item) + Send + Sync + 'static,
    {
        failures_of(self.map_iter(items, f))
    }
}

impl TaskBuilder<Fallible> {
    collections!(
        [R, E: Into<BoxError>], (I::Item) -> Result<R, E>,
        |items, template, window, f| items.stage_ok_with(template, window, f)
    );

    /// Runs a closure that may fail for each item, each as a task with the options of this
    /// template. Blocks until all have ended. All items are submitted at once.
    ///
    /// # Errors
    /// The tasks that have failed, in the order of the items.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(2)?;
    /// let check = pool.task().name("check").fallible();
    /// let failures = check.for_each(["1", "x"], |text| text.parse::<u8>().map(drop)).unwrap_err();
    /// assert_eq!(failures.first().index(), 1);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    #[track_caller]
    pub fn for_each<I, F, E>(&self, items: I, f: F) -> Result<(), Failures>
    where
        I: IntoIterator<Item: Send + 'static, IntoIter: Send + 'static>,
        F: Fn(I::Item) -> Result<(), E> + Send + Sync + 'static,
        E: Into<BoxError> + Send + 'static,
    {
        failures_of(self.map_iter(items, f))
    }
}

impl<E: Into<BoxError> + Send + 'static> TaskBuilder<Retrying<E>> {
    collections!([R], (&I::Item) -> Result<R, E>, |items, template, window, f| {
        items.stage_retry(template, window, f)
    });

    /// Runs a closure for each item, each as a task with the options of this template, and again if
    /// it fails. Blocks until all have ended. All items are submitted at once.
    ///
    /// # Errors
    /// The tasks whose last attempt has failed, in the order of the items.
    ///
    /// ```
    /// use millhand::Retry;
    /// use std::time::Duration;
    ///
    /// let pool = millhand::ThreadPool::new(2)?;
    /// let send = pool.task().name("send").retry(Retry::fixed(2, Duration::ZERO));
    /// send.for_each(["a", "b"], |text| match millhand::attempt() {
    ///     1 => Err(format!("{text}: no connection")),
    ///     _ => Ok(()),
    /// })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn for_each<I, F>(&self, items: I, f: F) -> Result<(), Failures>
    where
        I: IntoIterator<Item: Send + 'static, IntoIter: Send + 'static>,
        F: Fn(&I::Item) -> Result<(), E> + Send + Sync + 'static,
    {
        failures_of(self.map_iter(items, f))
    }
}

fn failures_of(outcomes: MapIter<(), Outcome<()>>) -> Result<(), Failures> {
    let failures = outcomes.window(usize::MAX).filter_map(Result::err);
    Failures::new(failures.collect()).map_or(Ok(()), Err)
}
