//! One body over items that come one by one, perhaps without end: lazy, a window of them at a time.
//!
//! Layer 6.
//
// An iterator can be forgotten, and then nothing waits for its tasks. So they may borrow only in a scope, which waits for
// them in any case; outside, items, results and body are `'static`.

use crate::compose::arrivals::Arrivals;
use crate::compose::gather::Lost;
use crate::compose::handles::Handle;
use crate::compose::scope::Scope;
use crate::compose::scoped_handle::ScopedHandle;
use crate::error::TaskError;
use crate::pool::{Core, PLAIN, PoolRef, ThreadPool};
use crate::reason::CancelReason;
use crate::task::{PlainWork, TaskHandle};
use std::collections::VecDeque;
use std::fmt;
use std::iter::{Fuse, FusedIterator};
use std::mem;
use std::panic::Location;
use std::sync::Arc;

/// The results of a body over the items of an iterator; from [`ThreadPool::map_iter`] and [`Scope::map_iter`].
///
/// Each item is a task. As many as the window has are submitted ahead of the consumer, and no more: the items are taken
/// from their iterator, on the consumer's thread, as results are asked for. Results come in the items' order, or as they
/// come, if so [asked](Self::unordered).
///
/// Dropping it cancels its tasks, with [`CancelReason::Dropped`]: the queued ones are gone, the running ones are asked to
/// stop, and nobody waits for them.
///
/// # Panics
/// [`next`](Iterator::next) panics with the payload of a body that panicked, and also when the pool did not run one to its
/// end, being closed, full or shut down; in a task that is cancelled it ends that, as [`checkpoint`](crate::checkpoint) does.
///
/// ```
/// let pool = millhand::ThreadPool::new(2)?;
/// let squares = pool.map_iter(1_u64.., |n| n * n); // without end
/// assert_eq!(squares.take(4).collect::<Vec<_>>(), [1, 4, 9, 16]);
/// # Ok::<(), millhand::BuildError>(())
/// ```
///
/// What is borrowed needs a scope:
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
pub struct MapIter<'a, I: Iterator, H: Handle> {
    items: Fuse<I>,
    submit: Box<dyn Fn(I::Item) -> H + 'a>,
    window: usize,
    ahead: Ahead<H>,
}

/// The tasks whose results nobody has had yet.
enum Ahead<H> {
    InOrder(VecDeque<H>),
    AsTheyCome {
        arrivals: Arrivals,
        places: Vec<Option<H>>,
        free: Vec<usize>,
    },
}

impl<H: Handle> Ahead<H> {
    fn len(&self) -> usize {
        match self {
            Self::InOrder(handles) => handles.len(),
            Self::AsTheyCome { places, free, .. } => places.len() - free.len(),
        }
    }

    fn add(&mut self, handle: H) {
        match self {
            Self::InOrder(handles) => handles.push_back(handle),
            Self::AsTheyCome {
                arrivals,
                places,
                free,
            } => {
                let place = free.pop().unwrap_or(places.len());
                arrivals.add(place, handle.link());
                if place == places.len() {
                    places.push(Some(handle));
                } else {
                    places[place] = Some(handle);
                }
            }
        }
    }

    /// The next to be given out.
    fn next(&mut self) -> Option<H> {
        match self {
            Self::InOrder(handles) => handles.pop_front(),
            Self::AsTheyCome {
                arrivals,
                places,
                free,
            } => {
                let place = arrivals.next(None)?;
                free.push(place);
                places[place].take()
            }
        }
    }

    fn cancel(&self) {
        let (ordered, others) = match self {
            Self::InOrder(handles) => (Some(handles), None),
            Self::AsTheyCome { places, .. } => (None, Some(places)),
        };
        let others = others.into_iter().flatten().flatten();
        for handle in ordered.into_iter().flatten().chain(others) {
            handle.link().task.cancel(CancelReason::Dropped);
        }
    }
}

impl<'a, I: Iterator, H: Handle> MapIter<'a, I, H> {
    fn new(core: &Core, items: I, submit: impl Fn(I::Item) -> H + 'a) -> Self {
        Self {
            items: items.fuse(),
            submit: Box::new(submit),
            window: 2 * core.seats.seats(),
            ahead: Ahead::InOrder(VecDeque::new()),
        }
    }

    /// How many items may be submitted and not yet given out. Default: twice as many as the pool has workers.
    ///
    /// # Panics
    /// When it is 0.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(2)?;
    /// let lengths = pool.map_iter(["a", "bc"], str::len).window(100);
    /// assert_eq!(lengths.sum::<usize>(), 3);
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn window(mut self, items: usize) -> Self {
        assert!(
            items > 0,
            "the window of a `map_iter` must be at least 1 item"
        );
        self.window = items;
        self
    }

    /// Gives the results as they come: a slow item delays none but its own.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(2)?;
    /// let mut squares: Vec<_> = pool.map_iter(0..100, |n| n * n).unordered().collect();
    /// squares.sort();
    /// assert_eq!(squares[99], 99 * 99);
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn unordered(mut self) -> Self {
        let as_they_come = Ahead::AsTheyCome {
            arrivals: Arrivals::new(Vec::new()),
            places: Vec::new(),
            free: Vec::new(),
        };
        match mem::replace(&mut self.ahead, as_they_come) {
            Ahead::InOrder(handles) => handles
                .into_iter()
                .for_each(|handle| self.ahead.add(handle)),
            already => self.ahead = already,
        }
        self
    }
}

impl<I: Iterator, H: Handle> Iterator for MapIter<'_, I, H> {
    type Item = H::Output;

    #[track_caller]
    fn next(&mut self) -> Option<H::Output> {
        while self.ahead.len() < self.window {
            let Some(item) = self.items.next() else {
                break;
            };
            self.ahead.add((self.submit)(item));
        }
        let handle = self.ahead.next()?;
        let who = handle.link().task.who();
        match handle.outcome() {
            Ok(result) => Some(result),
            Err(TaskError::Panicked(panicked)) => panicked.resume(),
            Err(error) => Lost::new(who, error).comes_through("map"),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let ahead = self.ahead.len();
        let (least, most) = self.items.size_hint();
        let most = most.and_then(|most| most.checked_add(ahead));
        (least.saturating_add(ahead), most)
    }
}

impl<I: Iterator, H: Handle> FusedIterator for MapIter<'_, I, H> {}

impl<I: Iterator, H: Handle> Drop for MapIter<'_, I, H> {
    fn drop(&mut self) {
        self.ahead.cancel();
    }
}

impl<I: Iterator, H: Handle> fmt::Debug for MapIter<'_, I, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            items: _,
            submit: _,
            window,
            ahead,
        } = self;
        f.debug_struct("MapIter")
            .field("window", window)
            .field("ahead", &ahead.len())
            .field("unordered", &matches!(ahead, Ahead::AsTheyCome { .. }))
            .finish_non_exhaustive()
    }
}

macro_rules! map_iters {
    () => {
        /// Runs `f` over the items of an iterator that may be without end, a [window](MapIter::window) of them at a time, and
        /// gives the results in order or [as they come](MapIter::unordered). Lazy: nothing runs before the first result is
        /// asked for. Each item is a task of its own; for many small items that are there already, [`map`](Self::map) is faster.
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
        pub fn map_iter<I, R, F>(
            &self,
            items: I,
            f: F,
        ) -> MapIter<'static, I::IntoIter, TaskHandle<R>>
        where
            I: IntoIterator<Item: Send + 'static>,
            R: Send + 'static,
            F: Fn(I::Item) -> R + Send + Sync + 'static,
        {
            let (site, f, core) = (Location::caller(), Arc::new(f), self.core().clone());
            MapIter::new(self.core(), items.into_iter(), move |item| {
                let f = f.clone();
                core.submit(site, &PLAIN, PlainWork(move || f(item)))
            })
        }
    };
}

impl ThreadPool {
    map_iters!();
}

impl PoolRef {
    map_iters!();
}

impl<'scope, X: 'static> Scope<'scope, '_, X> {
    /// As the pool's [`map_iter`](ThreadPool::map_iter), for what is borrowed.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(2)?;
    /// let words = ["mill".to_owned(), "hand".to_owned()];
    /// let suffix = String::from("s");
    /// pool.scope(|s| {
    ///     let mut plurals = s.map_iter(&words, |word| format!("{word}{suffix}"));
    ///     assert_eq!(plurals.next().as_deref(), Some("mills"));
    /// });
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    #[track_caller]
    pub fn map_iter<I, R, F>(
        &'scope self,
        items: I,
        f: F,
    ) -> MapIter<'scope, I::IntoIter, ScopedHandle<'scope, R>>
    where
        I: IntoIterator<Item: Send + 'scope>,
        R: Send + 'scope,
        F: Fn(I::Item) -> R + Send + Sync + 'scope,
    {
        let (site, f) = (Location::caller(), Arc::new(f));
        MapIter::new(self.core(), items.into_iter(), move |item| {
            let f = f.clone();
            self.submit_plain(site, &PLAIN, move || f(item))
        })
    }
}
