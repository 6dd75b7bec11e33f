//! Composition: one task after another, many at once, scopes, collections and pipelines.
//!
//! | you have | write | waits |
//! | --- | --- | --- |
//! | a step after a task | a *continuation*: [`then`], [`map`](crate::TaskHandle::map), [`and_then`](crate::TaskHandle::and_then), [`or_else`](crate::TaskHandle::or_else) | nothing |
//! | a step after several tasks | [`when_all`], [`when_each`](crate::compose::when_each), [`submit_after`](crate::TaskBuilder::submit_after) | nothing |
//! | several results, here and now | a *join*: [`join_all`], [`join_all_ok`], [`race`], [`as_completed`] | your thread |
//! | parallel parts of a function, which borrow | a [*scope*](crate::Pool::scope) | your thread, at the end of the block |
//! | one closure for a collection in memory | a *map*: [`map`](crate::Pool::map), [`map_ok`](crate::Pool::map_ok), [`for_each`](crate::Pool::for_each) | your thread |
//! | one closure for a stream of items | a lazy map: [`map_iter`](crate::Pool::map_iter) | your thread, for each result |
//! | several steps for a stream of items | a [`Pipeline`] | your thread, for each result |
//! | a result that comes from a callback or another thread | a [promise](crate::promise()), whose handle is continued and joined as others are | nothing |
//!
//! On a worker each of these waits releases the run slot, so all of them work in tasks and on a
//! pool of one worker. [`choosing`](super::choosing) has the verbs of each row in detail.
//!
//! # The same work in five ways
//!
//! ```
//! use millhand::{ThreadPool, join_all_ok, when_all};
//! use std::{fs, io};
//!
//! fn size(path: &str) -> io::Result<u64> {
//!     Ok(fs::metadata(path)?.len())
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let pool = ThreadPool::new(2)?;
//! let paths = ["Cargo.toml", "README.md"];
//! let total: u64 = paths.iter().map(|path| size(path).unwrap()).sum();
//! let submit = || paths.map(|path| pool.submit(move || size(path)));
//!
//! // A continuation: this thread goes on, and the sum is a task. It leaves failures out.
//! let sum = when_all(submit()).then(|sizes| sizes.into_iter().flatten().flatten().sum::<u64>());
//! assert_eq!(sum.join()?, total);
//!
//! // A join, which fails at the first error.
//! assert_eq!(join_all_ok(submit())?.into_iter().sum::<u64>(), total);
//!
//! // A scope: the tasks borrow `sizes`.
//! let mut sizes = [0; 2];
//! pool.scope(|s| {
//!     for (size_of, path) in sizes.iter_mut().zip(paths) {
//!         s.execute(move || *size_of = size(path).unwrap());
//!     }
//! });
//! assert_eq!(sizes.iter().sum::<u64>(), total);
//!
//! // A map.
//! assert_eq!(pool.map_ok(paths, size)?.into_iter().sum::<u64>(), total);
//!
//! // A pipeline.
//! let mut sum = 0;
//! pool.pipeline(paths).stage_ok(2, size).run(|size| sum += size)?;
//! assert_eq!(sum, total);
//! # Ok(())
//! # }
//! ```
//!
//! # What a failure does
//!
//! A *failure* is a panic, a time-out, a refusal, and an `Err` where that counts;
//! [`errors`](super::errors) has the rule.
//!
//! | | the other tasks | you get |
//! | --- | --- | --- |
//! | `then`, `when_all` | run on | the outcome, as the argument of the next step |
//! | `map`, `and_then`, `or_else` | the step is left out. An `Err` is passed to the step of `map` and `or_else` all the same | the failure, at the end of the chain |
//! | `join_all`, `as_completed` | run on | each outcome in its place |
//! | `join_all_ok` | are cancelled, and not waited for | the first failure |
//! | `race` | run on, until one succeeds | the value; all failures if none succeeds |
//! | `scope` | run on | a panic that no handle took, in your thread |
//! | `scope_with` | [are cancelled](crate::ScopeOptions::fail_fast), or [run on](crate::ScopeOptions::collect_all); waited for in either case | all failures |
//! | `map` of a pool | no further chunk begins | the panic; of `map_ok` the first error in order |
//! | `map_iter` of a pool | run on | the panic, in the place of its result |
//! | `map`, `map_iter` of a template | run on | each outcome in its place |
//! | a pipeline | end, unless it [collects all](crate::compose::Pipeline::collect_all) | the results before it in order, then the failure |
//!
//! ```
//! use millhand::{ScopeOptions, TaskError, ThreadPool, join_all_ok};
//! use std::time::Duration;
//!
//! const HOUR: Duration = Duration::from_secs(3600);
//!
//! let pool = ThreadPool::new(2)?;
//! let long = || millhand::sleep(HOUR).map_err(|_| "asked to stop");
//!
//! // The first failure cancels the others, which is why none of these takes an hour.
//! let group = [pool.submit(long), pool.submit(|| Err("no"))];
//! assert_eq!(join_all_ok(group).unwrap_err().index(), 1);
//! let scope = pool.scope_with(ScopeOptions::fail_fast(), |s| {
//!     s.submit(long);
//!     s.submit(|| Err::<(), _>("no"));
//! });
//! assert_eq!(scope.unwrap_err().len(), 1); // what was cancelled for it has not failed
//!
//! // A chain passes the failure of its first step through all others.
//! let chain = pool.submit(|| -> u32 { panic!("no") }).map(|n| n + 1).map(|n| n * 2);
//! assert!(matches!(chain.join(), Err(TaskError::Panicked(_))));
//! # Ok::<(), millhand::pool::BuildError>(())
//! ```
//!
//! # What a cancel does
//!
//! | you cancel | what stops |
//! | --- | --- |
//! | the last step of a chain, before it runs | that step, and all steps before it that no other handle can read |
//! | a task in the middle of a chain | that task; later steps get [`Cancelled`](crate::TaskError::Cancelled) as its outcome |
//! | a task that waits in a scope | all tasks of the scope, which it still waits for |
//! | a task that waits in a join, a race or a map | its wait; what each then does to its tasks is in [`cancelling`](super::cancelling) |
//! | a task that has submitted others | only that task. They are no children of it, unless in a scope or by a [token](crate::pool::Current::token) |
//! | a lazy map or a pipeline, by dropping its iterator | its tasks |
//!
//! ```
//! use millhand::ThreadPool;
//! use std::time::Duration;
//!
//! let pool = ThreadPool::new(1)?;
//! let download = pool.task().delay(Duration::from_secs(3600)).submit(|| "a page");
//! let first = download.token();
//! let length = download.map(|page| page.len()).map(|length| length / 2);
//! length.cancel();
//! assert!(first.is_cancelled()); // no code is left that could read it
//! # Ok::<(), millhand::pool::BuildError>(())
//! ```
//!
//! # Continue, or join?
//!
//! A join is a plain function call, with `?` and local variables. Take it where a thread may wait.
//! A continuation keeps no thread: take it for thousands of chains at once, and where the code that
//! submits has no thread to spare, as the main loop of a window. A chain of any length is run, and
//! dropped, without recursion.
//!
//! If several steps need one outcome, [`share`](crate::TaskHandle::share) makes a handle that can
//! be cloned, and continued more than once.
//!
//! A continuation is a task: it is queued when the tasks before it have settled, and its delays and
//! time limits count from then. It is not bounded by the capacity of the queue. Options for it are
//! those of a template:
//!
//! ```
//! use millhand::{Retry, ThreadPool};
//! use std::time::Duration;
//!
//! let pool = ThreadPool::new(2)?;
//! let upload = pool.task().name("upload").retry(Retry::fixed(3, Duration::from_millis(1)));
//! let parts = (pool.submit(|| "a title"), pool.submit(|| vec![1, 2, 3]));
//! let sent = upload.submit_after(parts, |(title, bytes)| {
//!     // By reference, since each attempt reads them.
//!     match (title, bytes) {
//!         (Ok(title), Ok(bytes)) => Ok(title.len() + bytes.len()),
//!         _ => Err("a part is missing"),
//!     }
//! });
//! assert_eq!(sent.join_ok()?, 10);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How much is in memory
//!
//! | | held at once |
//! | --- | --- |
//! | handles in a `Vec`, `when_all`, `join_all` | all tasks and all results |
//! | a pool's `map` | all items and all results; few tasks |
//! | a template's `map` and `for_each` | all items, as tasks, since all may wait at gates |
//! | `map_iter` | its [window](crate::compose::MapIter::window): twice the workers by default |
//! | a pipeline | for each stage its width and its [buffer](crate::compose::Pipeline::buffer) |
//! | a scope | what you submit to it |
//!
//! `map_iter` and pipelines read their source only as far as the results are taken, so the source
//! may be endless. Elsewhere [`queue_capacity`](super::limits#not-too-much-in-the-queue) holds a
//! producer back.
//!
//! ```
//! use millhand::ThreadPool;
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
//!
//! let pool = ThreadPool::new(2)?;
//! let read = Arc::new(AtomicUsize::new(0));
//! let count = read.clone();
//! let source = (0..).inspect(move |_| { count.fetch_add(1, Relaxed); });
//! let mut squares = pool.map_iter(source, |n: u64| n * n).window(3);
//! assert_eq!(squares.by_ref().take(5).collect::<Vec<_>>(), [0, 1, 4, 9, 16]);
//! assert!(read.load(Relaxed) <= 5 + 3);
//! # Ok::<(), millhand::pool::BuildError>(())
//! ```
//!
//! # In which order
//!
//! - **Results** come in the order of the handles or items, from `join_all`, the maps and
//!   pipelines. [`as_completed`] and `unordered` give each as soon as it is there: then a slow item
//!   holds up no other.
//! - **Starts**: first in, first out, and what a body submits comes before what other threads
//!   submit; [`guarantees`](super::guarantees) has the whole rule. A stage of width 1 gets its
//!   items one after the other, in order.
//! - **Ends** have no order. For one after the other per key, use
//!   [lanes](super::limits#in-order-for-each-key).
//!
//! # Tasks inside tasks
//!
//! A body reaches its pool by [`current`](crate::current)`().unwrap().pool()`, or has a
//! [`PoolHandle`](crate::PoolHandle). It may submit and join there, on any number of workers, and
//! as deep as you like:
//!
//! ```
//! use millhand::{Pool, ThreadPool};
//!
//! fn sum(pool: &Pool, numbers: &[u64]) -> u64 {
//!     if numbers.len() < 100 {
//!         return numbers.iter().sum();
//!     }
//!     let (left, right) = numbers.split_at(numbers.len() / 2);
//!     pool.scope(|s| {
//!         let left = s.submit(|| sum(pool, left));
//!         sum(pool, right) + left.join().unwrap()
//!     })
//! }
//!
//! let pool = ThreadPool::new(1)?;
//! let numbers: Vec<u64> = (0..10_000).collect();
//! assert_eq!(sum(&pool, &numbers), 49_995_000);
//! # Ok::<(), millhand::pool::BuildError>(())
//! ```
//!
//! Two mistakes can stop a pool all the same, and the library cannot see them. One is a wait for a
//! foreign lock or channel outside of [`blocking`](crate::blocking), which keeps its run slot. The
//! other is a lock or a [permit](super::limits#mistakes) that a parent holds while it waits for a
//! child that needs it. A circle of joins is found, and returns
//! [`WouldDeadlock`](crate::TaskError::WouldDeadlock).
//!
//! [`Pipeline`]: crate::compose::Pipeline
//! [`as_completed`]: crate::as_completed
//! [`join_all`]: crate::join_all
//! [`join_all_ok`]: crate::join_all_ok
//! [`race`]: crate::race
//! [`then`]: crate::TaskHandle::then
//! [`when_all`]: crate::when_all
