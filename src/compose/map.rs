//! `map`, `map_ok` and `for_each`: one closure over many items, on several workers, with the
//! results in the order of the items. Eager, so that items, results and closure may borrow.
//!
//! Layer: compose.
//
// A few tasks of one scope share the items. Each of them takes a chunk of the items that are left,
// runs it, and takes the next one. The size of a chunk is found by time: a chunk that took less
// than half of `GRAIN` is followed by one of twice the size, and one that took more than twice
// `GRAIN` by one of half the size. So the cost of a chunk (two locks, two readings of the clock,
// the memory for its results) is small beside its work, and no task waits at the end for much
// longer than `GRAIN` for the chunk of another task. Where items are so different that time
// predicts nothing, a chunk still has no more than a fair share of the items that are left.
//
// Chunks are taken in the order of the items, and a chunk that was taken is run, unless an earlier
// item has failed. So the first item in order that fails is always among those that were run.
//
// What a user's closure makes the compiler build again is `run_chunk`, the loop over one chunk.
// `MapJob` depends on the types of items and results. The submission, the pace and the panics
// (`drive` and `pace`) exist once.

use crate::clock::Clock;
use crate::compose::scope::token_below_here;
use crate::compose::scope::{FailureSink, GatherScope, ScopeState, Unfinished, enter};
use crate::panic::{self, Payload};
use crate::pool::{Core, PLAIN, Pool};
use crate::task::{self, Site, unread};
use parking_lot::Mutex;
use std::mem;
use std::panic::{Location, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;
use std::vec;

/// How long a chunk should take.
const GRAIN: Duration = Duration::from_micros(50);

/// Runs the user's closure over one chunk and pushes the results. The number is the index of the
/// chunk's first item. Returns false if it stopped at an item that failed.
type RunChunk<'a, T, R> = &'a (dyn Fn(usize, vec::Drain<'_, T>, &mut Vec<R>) -> bool + Sync);

/// What the tasks of one map share.
struct MapJob<'a, T, R> {
    run_chunk: RunChunk<'a, T, R>,
    /// How many threads share the items, at most.
    threads: usize,
    supply: Mutex<Supply<T>>,
    done: Mutex<Done<R>>,
    /// No item from this index on is to be taken: one has failed or panicked.
    end: AtomicUsize,
}

struct Supply<T> {
    items: vec::IntoIter<T>,
    /// The index of the next item.
    next: usize,
}

/// The results of whole chunks, in the order in which the chunks ended.
struct Done<R> {
    starts: Vec<usize>,
    chunks: Vec<Vec<R>>,
}

impl<T, R> MapJob<'_, T, R> {
    /// Takes at most `size` items and runs them. Returns how many it took.
    fn run_next(&self, size: usize, chunk: &mut Vec<T>) -> usize {
        let start = self.take(size, chunk);
        let taken = chunk.len();
        if taken == 0 {
            return 0;
        }
        let mut results = Vec::with_capacity(taken);
        if (self.run_chunk)(start, chunk.drain(..), &mut results) {
            let mut done = self.done.lock();
            done.starts.push(start);
            done.chunks.push(results);
        } else {
            self.end.fetch_min(start + results.len(), Ordering::Relaxed);
        }
        taken
    }

    /// Whether all `total` items have their results.
    fn is_whole(&self, total: usize) -> bool {
        let done = self.done.lock();
        done.chunks.iter().map(Vec::len).sum::<usize>() == total
    }

    /// Moves at most `size` items into `chunk`. Returns the index of the first.
    fn take(&self, size: usize, chunk: &mut Vec<T>) -> usize {
        let mut supply = self.supply.lock();
        let start = supply.next;
        if start < self.end.load(Ordering::Relaxed) {
            let fair = supply.items.len().div_ceil(2 * self.threads.max(1));
            chunk.extend(supply.items.by_ref().take(size.min(fair)));
            supply.next += chunk.len();
        }
        start
    }
}

impl<R> Done<R> {
    /// The results in the order of the items.
    fn in_order(mut self, total: usize) -> Vec<R> {
        let mut all = Vec::with_capacity(total);
        for at in order_of(&self.starts) {
            all.append(&mut mem::take(&mut self.chunks[at]));
        }
        all
    }
}

/// The positions of `starts` in ascending order of what stands there.
fn order_of(starts: &[usize]) -> Vec<usize> {
    let mut order: Vec<_> = (0..starts.len()).collect();
    order.sort_unstable_by_key(|at| starts[*at]);
    order
}

/// Why a map has no results.
enum MapStop {
    /// The closure panicked, or the task that called the map was cancelled.
    Panicked(Payload),
    /// The pool did not run all of it.
    Refused(Unfinished),
    /// An item failed.
    Failed,
}

impl MapStop {
    /// Leaves the caller, which cannot go on without the results.
    #[track_caller]
    #[cold]
    fn propagate(self) -> ! {
        match self {
            Self::Panicked(payload) => resume_unwind(payload),
            Self::Refused(unfinished) => unfinished.propagate("map"),
            Self::Failed => unreachable!("a closure that cannot fail stops at no item"),
        }
    }
}

/// Runs chunks until no item is left or an item has failed. Returns the results in order.
fn run<I, R>(
    core: &Arc<Core>,
    site: Site,
    items: I,
    run_chunk: RunChunk<'_, I::Item, R>,
) -> Result<Vec<R>, MapStop>
where
    I: IntoIterator<Item: Send>,
    R: Send,
{
    run_all(core, site, items.into_iter().collect(), run_chunk)
}

fn run_all<T: Send, R: Send>(
    core: &Arc<Core>,
    site: Site,
    items: Vec<T>,
    run_chunk: RunChunk<'_, T, R>,
) -> Result<Vec<R>, MapStop> {
    let total = items.len();
    let job = MapJob {
        run_chunk,
        threads: core.run_slots.count().min(total),
        supply: Mutex::new(Supply {
            items: items.into_iter(),
            next: 0,
        }),
        done: Mutex::new(Done {
            starts: Vec::new(),
            chunks: Vec::new(),
        }),
        end: AtomicUsize::new(usize::MAX),
    };
    let driven = drive(core, site, job.threads, &|| {
        let mut chunk = Vec::new();
        pace(core.clock(), &job.end, &mut |size| {
            job.run_next(size, &mut chunk)
        });
    });
    let stopped = match driven {
        Err(payload) => MapStop::Panicked(payload),
        Ok(_) if job.is_whole(total) => return Ok(job.done.into_inner().in_order(total)),
        Ok(Some(unfinished)) => MapStop::Refused(unfinished),
        Ok(None) => MapStop::Failed,
    };
    panic::discard(job);
    Err(stopped)
}

/// Runs `work` on `threads` threads: in tasks of a scope, and on the calling thread if it is a
/// worker of the pool. Any other caller only waits. Returns a task that the pool did not run to
/// its end, if any.
fn drive(
    core: &Arc<Core>,
    site: Site,
    threads: usize,
    work: &(dyn Fn() + Sync),
) -> Result<Option<Unfinished>, Payload> {
    let sink = FailureSink::of_plain_scope(core.owner());
    let state = ScopeState::new(token_below_here(core.clock()), false, sink);
    let is_here = core.is_here();
    let entered = enter(core, &state, &mut |s: &GatherScope<'_, '_>| {
        // In a destructor that a panic has called, a worker does all of it alone: then nothing can
        // cancel it, and it need not unwind.
        if !(is_here && thread::panicking()) {
            for _ in usize::from(is_here)..threads {
                s.submit_plain(site, &PLAIN, work);
            }
        }
        if is_here {
            work();
        }
    });
    let found = state.found();
    match (entered, found.panic) {
        (Ok(()), None) => Ok(found.unfinished),
        (Ok(()), Some(panic)) => Err(panic
            .take_payload()
            .unwrap_or_else(|| Box::new("a task of a map panicked"))),
        (Err(payload), panic) => {
            panic.inspect(|panic| unread::panicked(panic));
            Err(payload)
        }
    }
}

/// Calls `run_next` with the size of the next chunk until it has taken no item.
fn pace(clock: &Clock, end: &AtomicUsize, run_next: &mut dyn FnMut(usize) -> usize) {
    // A task that leaves by a panic leaves no work to the others.
    let stop = Stop(end);
    let mut size = 1;
    loop {
        task::checkpoint();
        let begun = clock.now();
        let taken = run_next(size);
        if taken == 0 {
            break;
        }
        let took = clock.now().saturating_duration_since(begun);
        if took > 2 * GRAIN {
            size = (taken / 2).max(1);
        } else if took < GRAIN / 2 {
            size = 2 * size.min(taken);
        }
    }
    mem::forget(stop);
}

/// Stops the map when it is dropped.
struct Stop<'a>(&'a AtomicUsize);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// Of the items that failed, the first in order, with its error.
struct FirstError<E>(Mutex<Option<(usize, E)>>);

impl<E> FirstError<E> {
    #[cold]
    fn put(&self, index: usize, error: E) {
        let mut first = self.0.lock();
        let is_first = first.as_ref().is_none_or(|(other, _)| index < *other);
        let later = if is_first {
            first.replace((index, error))
        } else {
            Some((index, error))
        };
        drop(first);
        panic::discard(later);
    }

    /// What the map has come to.
    #[track_caller]
    fn or<R>(self, results: Result<Vec<R>, MapStop>) -> Result<Vec<R>, E> {
        let stopped = match results {
            Ok(results) => return Ok(results),
            Err(stopped) => stopped,
        };
        let first = self.0.into_inner();
        if let MapStop::Panicked(_) = stopped {
            panic::discard(first);
        } else if let Some((_, error)) = first {
            return Err(error);
        }
        stopped.propagate()
    }
}

impl Pool {
    /// Runs `f` for each item on the workers of the pool, and returns the results in the
    /// order of the items. Blocks until all are done. Items, results and `f` may borrow.
    ///
    /// Items are run in chunks, and the size of the chunks adapts to the time that they take.
    /// So it pays from about a hundred nanoseconds of work per item on, and items of very
    /// different sizes are shared evenly. It uses each worker that becomes free, until all
    /// items are done. In a task of the same pool the calling worker runs items too. The
    /// items are collected in memory first: use [`map_iter`](Self::map_iter) for items that
    /// come slowly or without end.
    ///
    /// # Panics
    /// With the payload of the first panic in `f`. Then no further chunk begins. Also if the
    /// pool did not run all items, because it is closed, full or shut down. In a task that is
    /// cancelled it ends the task, as [`checkpoint`](crate::checkpoint) does. The
    /// [`map`](crate::TaskBuilder#method.map) of a template gives all these as outcomes.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(2)?;
    /// let words = ["mill", "hand"];
    /// let suffix = String::from("s");
    /// assert_eq!(pool.map(words, |word| format!("{word}{suffix}")), ["mills", "hands"]);
    /// assert_eq!(pool.map(&mut [1, 2, 3], |n| std::mem::replace(n, 0)), [1, 2, 3]);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    #[track_caller]
    pub fn map<I, R, F>(&self, items: I, f: F) -> Vec<R>
    where
        I: IntoIterator<Item: Send>,
        R: Send,
        F: Fn(I::Item) -> R + Sync,
    {
        let run_chunk = |_, items: vec::Drain<'_, I::Item>, results: &mut Vec<R>| {
            for item in items {
                results.push(f(item));
            }
            true
        };
        match run(self.core(), Location::caller(), items, &run_chunk) {
            Ok(results) => results,
            Err(stopped) => stopped.propagate(),
        }
    }

    /// Runs a closure that may fail for each item, and stops at the first failure: then no
    /// further chunk begins. Otherwise as [`map`](Self::map).
    ///
    /// # Errors
    /// The error of the first item in order that failed, as a plain loop would return it.
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
        let first = FirstError(Mutex::new(None));
        let run_chunk = |start, items: vec::Drain<'_, I::Item>, results: &mut Vec<R>| {
            for item in items {
                match f(item) {
                    Ok(result) => results.push(result),
                    Err(error) => {
                        first.put(start + results.len(), error);
                        return false;
                    }
                }
            }
            true
        };
        let results = run(self.core(), Location::caller(), items, &run_chunk);
        first.or(results)
    }

    /// Runs `f` for each item on the workers of the pool. Otherwise as [`map`](Self::map),
    /// without results.
    ///
    /// # Panics
    /// As [`map`](Self::map).
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(2)?;
    /// let mut rows = vec![vec![3, 1, 2]; 10];
    /// pool.for_each(&mut rows, |row| row.sort());
    /// assert!(rows.iter().all(|row| row.is_sorted()));
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    #[track_caller]
    pub fn for_each<I, F>(&self, items: I, f: F)
    where
        I: IntoIterator<Item: Send>,
        F: Fn(I::Item) + Sync,
    {
        self.map(items, f);
    }
}
