//! `map_iter`: one closure over items that come one by one, perhaps without end. Lazy: a window of
//! them is at work at a time.
//!
//! Layer: compose.
//
// A program can forget an iterator, and then nothing waits for its tasks. So they may borrow only
// in a scope, which waits for them in any case. Outside of a scope items, results and closure are
// `'static`.

use crate::compose::scope::{Scope, ScopedHandle, Unfinished};
use crate::compose::wait::{CompletionQueue, Handle, Link};
use crate::error::TaskError;
use crate::pool::{Core, PLAIN, Pool};
use crate::reason::CancelReason;
use crate::task::body::PlainBody;
use crate::task::{Site, TaskHandle};
use std::collections::VecDeque;
use std::fmt;
use std::iter::{Fuse, FusedIterator};
use std::mem;
use std::panic::Location;
use std::sync::Arc;

/// Iterates over the results of a closure that runs on the pool for each item of another iterator;
/// returned by [`Pool::map_iter`] and [`Scope::map_iter`].
///
/// Each item is a task. At most a [window](Self::window) of items is submitted ahead of the
/// consumer: the items are taken from their iterator, on the consumer's thread, when results are
/// asked for. Results come in the order of the items, or in the order in which the tasks finish
/// ([`unordered`](Self::unordered)).
///
/// Dropping it cancels its tasks with [`CancelReason::Dropped`], and waits for none of them. Queued
/// tasks are dropped, and running ones are asked to stop.
///
/// # Panics
/// [`next`](Iterator::next) panics with the payload of a closure that panicked. It also panics
/// when the pool did not run a task to its end, because it is closed, full or shut down. In a
/// task that is cancelled it ends the task, as [`checkpoint`](crate::checkpoint) does.
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
    submit: Submit<'a, I::Item, H>,
    window: usize,
    /// The handles whose results were not returned yet, each at its place.
    handles: Vec<Option<H>>,
    places: Places,
}

type Submit<'a, T, H> = Box<dyn Fn(T) -> H + 'a>;

/// Which places have a handle, and whose result is returned next.
struct Places {
    /// How many places there are.
    count: usize,
    free: Vec<usize>,
    order: Order,
}

enum Order {
    /// That of the items: the places in it.
    OfItems(VecDeque<usize>),
    /// That in which the tasks finish.
    OfCompletion(CompletionQueue),
}

impl Places {
    fn new(order: Order) -> Self {
        Self {
            count: 0,
            free: Vec::new(),
            order,
        }
    }

    fn in_use(&self) -> usize {
        self.count - self.free.len()
    }

    /// Returns the place for a handle of this task.
    fn add(&mut self, link: Link) -> usize {
        let place = self.free.pop().unwrap_or(self.count);
        self.count = self.count.max(place + 1);
        match &mut self.order {
            Order::OfItems(places) => places.push_back(place),
            Order::OfCompletion(queue) => queue.add(place, link),
        }
        place
    }

    /// Frees the place of the handle whose result is next and returns it. Waits until that is
    /// known.
    fn next(&mut self) -> Option<usize> {
        let place = match &mut self.order {
            Order::OfItems(places) => places.pop_front()?,
            Order::OfCompletion(queue) => queue.next(None)?,
        };
        self.free.push(place);
        Some(place)
    }
}

impl<'a, I: Iterator, H: Handle> MapIter<'a, I, H> {
    fn new(core: &Core, items: I, submit: Submit<'a, I::Item, H>) -> Self {
        Self {
            items: items.fuse(),
            submit,
            window: 2 * core.run_slots.count(),
            handles: Vec::new(),
            places: Places::new(Order::OfItems(VecDeque::new())),
        }
    }

    fn add(&mut self, handle: H) {
        let place = self.places.add(handle.link());
        if place == self.handles.len() {
            self.handles.push(Some(handle));
        } else {
            self.handles[place] = Some(handle);
        }
    }

    /// Sets how many items may be submitted whose results were not returned yet. Default: twice the
    /// number of the pool's workers.
    ///
    /// # Panics
    /// If it is 0.
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

    /// Returns the results in the order in which the tasks finish, so that a slow item delays no
    /// other result. Default: in the order of the items.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(2)?;
    /// let mut squares: Vec<_> = pool.map_iter(0..100, |n| n * n).unordered().collect();
    /// squares.sort();
    /// assert_eq!(squares[99], 99 * 99);
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn unordered(mut self) -> Self {
        let Order::OfItems(order) = &mut self.places.order else {
            return self;
        };
        let order = mem::take(order);
        let mut handles = mem::take(&mut self.handles);
        self.places = Places::new(Order::OfCompletion(CompletionQueue::new(Vec::new())));
        for place in order {
            if let Some(handle) = handles[place].take() {
                self.add(handle);
            }
        }
        self
    }
}

impl<I: Iterator, H: Handle> Iterator for MapIter<'_, I, H> {
    type Item = H::Output;

    #[track_caller]
    fn next(&mut self) -> Option<H::Output> {
        while self.places.in_use() < self.window {
            let Some(item) = self.items.next() else {
                break;
            };
            let handle = (self.submit)(item);
            self.add(handle);
        }
        let place = self.places.next()?;
        let handle = self.handles[place].take()?;
        let task = handle.link().task;
        match handle.outcome() {
            Ok(result) => Some(result),
            Err(TaskError::Panicked(panicked)) => panicked.resume(),
            Err(error) => {
                // The wait may have ended, and the task not.
                task.cancel(CancelReason::Dropped);
                Unfinished::new(task.head.label(), error).propagate("map")
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let ahead = self.places.in_use();
        let (least, most) = self.items.size_hint();
        let most = most.and_then(|most| most.checked_add(ahead));
        (least.saturating_add(ahead), most)
    }
}

impl<I: Iterator, H: Handle> FusedIterator for MapIter<'_, I, H> {}

impl<I: Iterator, H: Handle> Drop for MapIter<'_, I, H> {
    fn drop(&mut self) {
        for handle in self.handles.iter().flatten() {
            handle.link().task.cancel(CancelReason::Dropped);
        }
    }
}

impl<I: Iterator, H: Handle> fmt::Debug for MapIter<'_, I, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            items: _,
            submit: _,
            window,
            handles: _,
            places,
        } = self;
        f.debug_struct("MapIter")
            .field("window", window)
            .field("ahead", &places.in_use())
            .field("unordered", &matches!(places.order, Order::OfCompletion(_)))
            .finish_non_exhaustive()
    }
}

// The task of an item depends on the types of item and result and not on the closure, so that a
// closure does not have the compiler build another type of task.

fn on_pool<T, R>(
    core: Arc<Core>,
    site: Site,
    f: Arc<dyn Fn(T) -> R + Send + Sync>,
) -> Submit<'static, T, TaskHandle<R>>
where
    T: Send + 'static,
    R: Send + 'static,
{
    Box::new(move |item| {
        let f = f.clone();
        core.submit_body(site, &PLAIN, PlainBody::new(move || f(item)))
    })
}

fn in_scope<'scope, T, R>(
    scope: &'scope Scope<'scope, '_>,
    site: Site,
    f: Arc<dyn Fn(T) -> R + Send + Sync + 'scope>,
) -> Submit<'scope, T, ScopedHandle<'scope, R>>
where
    T: Send + 'scope,
    R: Send + 'scope,
{
    Box::new(move |item| {
        let f = f.clone();
        scope.submit_plain(site, &PLAIN, move || f(item))
    })
}

impl Pool {
    /// Runs `f` on the pool for each item of an iterator, which may be without end, and
    /// iterates over the results.
    ///
    /// Lazy: nothing runs before the first result is asked for, and then a
    /// [window](MapIter::window) of items at a time. The results come in the order of the
    /// items, or in that [in which the tasks finish](MapIter::unordered). Each item is a task
    /// of its own: for many small items that are there already, [`map`](Self::map) is faster.
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
    pub fn map_iter<I, R, F>(&self, items: I, f: F) -> MapIter<'static, I::IntoIter, TaskHandle<R>>
    where
        I: IntoIterator<Item: Send + 'static>,
        R: Send + 'static,
        F: Fn(I::Item) -> R + Send + Sync + 'static,
    {
        let submit = on_pool(self.core().clone(), Location::caller(), Arc::new(f));
        MapIter::new(self.core(), items.into_iter(), submit)
    }
}

impl<'scope> Scope<'scope, '_> {
    /// Does what the pool's [`map_iter`](Pool::map_iter) does, with items, results and
    /// closures that may borrow.
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
        let submit = in_scope(self, Location::caller(), Arc::new(f));
        MapIter::new(self.core(), items.into_iter(), submit)
    }
}
