//! One body over many items, on all workers at once, and their results in order: eager, so that all may borrow.
//!
//! Layer 6.
//
// A few tasks of one scope share the items: each takes a chunk from what is left, works through it, and takes the next.
// How many items are worth a chunk is found out on the way, by time: one that took less than half of `GRAIN` is followed
// by one of twice the size, one that took more than twice as long by one of half the size. So a chunk's cost (two locks,
// two looks at the clock, memory for its results) vanishes beside its work, and at the end nobody waits for another's
// chunk for much longer than `GRAIN`; nor, where items are so unlike that time says nothing, for one that has more than
// a fair share of what is left.
//
// Chunks are given out in the order of the items, and one that has been given out is worked through, unless an earlier
// item has failed. So of the items that fail the first in order is always among those that were tried.

use crate::compose::gather::Worst;
use crate::compose::members::Members;
use crate::compose::scope::{Scope, enter};
use crate::compose::scope_options::token_below_here;
use crate::panic;
use crate::pool::{Core, PLAIN, PoolRef, ThreadPool};
use crate::task;
use parking_lot::Mutex;
use std::convert::Infallible;
use std::mem;
use std::panic::{Location, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::vec;

/// How long a chunk should take.
const GRAIN: Duration = Duration::from_micros(50);

/// What the tasks of one map share.
struct Job<'a, T, R, E, F> {
    core: &'a Core,
    f: F,
    /// How many share the work, at most.
    hands: usize,
    supply: Mutex<Supply<T>>,
    /// The results of whole chunks, each with the index of its first.
    done: Mutex<Vec<(usize, Vec<R>)>>,
    failure: Mutex<Option<(usize, E)>>,
    /// Items from here on are not begun any more: one has failed or panicked.
    end: AtomicUsize,
}

struct Supply<T> {
    items: vec::IntoIter<T>,
    /// The index of the next.
    next: usize,
}

impl<T, R, E, F> Job<'_, T, R, E, F>
where
    T: Send,
    R: Send,
    E: Send,
    F: Fn(T) -> Result<R, E> + Sync,
{
    /// Takes chunks until there is nothing left.
    fn work(&self) {
        // Whoever leaves by a panic leaves no work to others.
        let stop = Stop(&self.end);
        let (mut size, mut chunk) = (1, Vec::new());
        loop {
            task::checkpoint();
            let start = self.take(size, &mut chunk);
            let taken = chunk.len();
            if taken == 0 {
                break;
            }
            let begun = self.core.clock().now();
            self.work_through(start, &mut chunk);
            let took = self.core.clock().now().saturating_duration_since(begun);
            if took > 2 * GRAIN {
                size = (taken / 2).max(1);
            } else if took < GRAIN / 2 {
                size = 2 * size.min(taken);
            }
        }
        mem::forget(stop);
    }

    /// Takes at most `size` items; gives the index of the first.
    fn take(&self, size: usize, chunk: &mut Vec<T>) -> usize {
        let mut supply = self.supply.lock();
        let start = supply.next;
        if start < self.end.load(Ordering::Relaxed) {
            let fair = supply.items.len().div_ceil(2 * self.hands.max(1));
            chunk.extend(supply.items.by_ref().take(size.min(fair)));
            supply.next += chunk.len();
        }
        start
    }

    fn work_through(&self, start: usize, chunk: &mut Vec<T>) {
        let mut results = Vec::with_capacity(chunk.len());
        for item in chunk.drain(..) {
            match (self.f)(item) {
                Ok(result) => results.push(result),
                Err(error) => return self.fail(start + results.len(), error),
            }
        }
        self.done.lock().push((start, results));
    }

    #[cold]
    fn fail(&self, index: usize, error: E) {
        self.end.fetch_min(index, Ordering::Relaxed);
        let mut failure = self.failure.lock();
        let is_first = failure.as_ref().is_none_or(|(first, _)| index < *first);
        let other = if is_first {
            failure.replace((index, error)).map(|(_, error)| error)
        } else {
            Some(error)
        };
        drop(failure);
        panic::discard(other);
    }
}

/// Stops the job when it is dropped.
struct Stop<'a>(&'a AtomicUsize);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// The results in order, or the first failure in order.
#[track_caller]
fn run<T, R, E>(
    core: &Arc<Core>,
    items: impl IntoIterator<Item = T>,
    f: impl Fn(T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E>
where
    T: Send,
    R: Send,
    E: Send,
{
    let site = Location::caller();
    let items: Vec<T> = items.into_iter().collect();
    let total = items.len();
    let hands = core.seats.seats().min(total);
    let job = Job {
        core,
        f,
        hands,
        supply: Mutex::new(Supply {
            items: items.into_iter(),
            next: 0,
        }),
        done: Mutex::new(Vec::new()),
        failure: Mutex::new(None),
        end: AtomicUsize::new(usize::MAX),
    };
    let worst = Arc::new(Worst::default());
    let members = Members::new(token_below_here(core.clock()), false, worst.clone());
    // A worker of the pool is one of those who work; anybody else only waits.
    let is_here = core.is_here();
    let entered = enter(core, &members, |s: &Scope<'_, '_>| {
        for _ in usize::from(is_here)..hands {
            s.submit_plain(site, &PLAIN, || job.work());
        }
        if is_here {
            job.work();
        }
    });
    let (panicked, lost) = worst.take();
    // By the caller's own hands, or by another's.
    let panicked = match (entered, panicked) {
        (Ok(()), Some(panicked)) => Some(panicked.take_payload()),
        (Ok(()), None) => None,
        (Err(payload), panicked) => {
            panicked.inspect(|panicked| panicked.unread());
            Some(Some(payload))
        }
    };
    let Job {
        supply,
        done,
        failure,
        ..
    } = job;
    if let Some(payload) = panicked {
        panic::discard((supply, done, failure));
        resume_unwind(payload.unwrap_or_else(|| Box::new("a task of a map panicked")));
    }
    if let Some((_, error)) = failure.into_inner() {
        return Err(error);
    }
    let done = done.into_inner();
    let count: usize = done.iter().map(|(_, results)| results.len()).sum();
    match lost {
        Some(lost) if count < total => {
            panic::discard((supply, done));
            lost.comes_through("map")
        }
        _ => Ok(in_order(done, total)),
    }
}

/// Puts the chunks' results together.
fn in_order<R>(mut done: Vec<(usize, Vec<R>)>, total: usize) -> Vec<R> {
    done.sort_unstable_by_key(|(start, _)| *start);
    let mut all = Vec::with_capacity(total);
    for (_, mut results) in done {
        all.append(&mut results);
    }
    all
}

macro_rules! maps {
    () => {
        /// Runs `f` over all items on the pool's workers, and gives the results in the items' order. Waits for them; items,
        /// results and `f` may borrow.
        ///
        /// Small items are worked through in chunks, whose size adapts, so that a hundred nanoseconds of work an item
        /// still pay, and items of very different sizes are shared out evenly. It takes as many workers as become free, and
        /// they come back to the queue when all is done. Called in a task of the same pool, it works along. The items are
        /// gathered in memory first: [`map_iter`](Self::map_iter) is for those that come slowly or without end.
        ///
        /// # Panics
        /// With the payload of the first panic in `f`; then no further chunk is begun. Also when the pool did not do all of
        /// it, being closed, full or shut down. In a task that is cancelled it ends that, as
        /// [`checkpoint`](crate::checkpoint) does.
        ///
        /// ```
        /// let pool = millhand::ThreadPool::new(2)?;
        /// let words = ["mill", "hand"];
        /// let suffix = String::from("s");
        /// assert_eq!(pool.map(words, |word| format!("{word}{suffix}")), ["mills", "hands"]);
        /// assert_eq!(pool.map(&mut [1, 2, 3], |n| std::mem::replace(n, 0)), [1, 2, 3]);
        /// # Ok::<(), millhand::BuildError>(())
        /// ```
        #[track_caller]
        pub fn map<I, R, F>(&self, items: I, f: F) -> Vec<R>
        where
            I: IntoIterator<Item: Send>,
            R: Send,
            F: Fn(I::Item) -> R + Sync,
        {
            match run(self.core(), items, |item| Ok::<_, Infallible>(f(item))) {
                Ok(results) => results,
                Err(never) => match never {},
            }
        }

        /// As [`map`](Self::map), for bodies that may fail. After a failure no further chunk is begun.
        ///
        /// # Errors
        /// The error that a plain loop would have met first, if it had met any.
        ///
        /// # Panics
        /// As [`map`](Self::map).
        ///
        /// ```
        /// let pool = millhand::ThreadPool::new(2)?;
        /// assert_eq!(pool.map_ok(["1", "2"], |text| text.parse::<u8>())?, [1, 2]);
        /// let error = pool.map_ok(["1", "x", "y"], |text| text.parse::<u8>().map_err(|_| text));
        /// assert_eq!(error, Err("x"));
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        #[track_caller]
        pub fn map_ok<I, R, E, F>(&self, items: I, f: F) -> Result<Vec<R>, E>
        where
            I: IntoIterator<Item: Send>,
            R: Send,
            E: Send,
            F: Fn(I::Item) -> Result<R, E> + Sync,
        {
            run(self.core(), items, f)
        }

        /// As [`map`](Self::map), without results.
        ///
        /// # Panics
        /// As [`map`](Self::map).
        ///
        /// ```
        /// let pool = millhand::ThreadPool::new(2)?;
        /// let mut rows = vec![vec![3, 1, 2]; 10];
        /// pool.for_each(&mut rows, |row| row.sort());
        /// assert!(rows.iter().all(|row| row.is_sorted()));
        /// # Ok::<(), millhand::BuildError>(())
        /// ```
        #[track_caller]
        pub fn for_each<I, F>(&self, items: I, f: F)
        where
            I: IntoIterator<Item: Send>,
            F: Fn(I::Item) + Sync,
        {
            self.map(items, f);
        }
    };
}

impl ThreadPool {
    maps!();
}

impl PoolRef {
    maps!();
}
