//! Recipes for common needs: short programs, most of about ten lines, to copy and to change.
//!
//! - Over time: [debounce](#debounce), [throttle](#throttle),
//!   [write in batches](#write-in-batches), [a task that comes back](#a-task-that-comes-back),
//!   [a cache that is kept fresh](#a-cache-that-is-kept-fresh)
//! - Once for many: [singleflight](#singleflight), [warm up](#warm-up)
//! - Many at once: [fan out and in](#fan-out-and-in),
//!   [map and reduce](#map-and-reduce-what-is-borrowed), [walk a directory](#walk-a-directory),
//!   [values and failures apart](#values-and-failures-apart),
//!   [leave a search early](#leave-a-search-early),
//!   [no faster than the consumer](#no-faster-than-the-consumer), [progress](#progress)
//! - When something fails: [as the server asks](#retry-as-the-server-asks),
//!   [an answer in any case](#an-answer-in-any-case), [hedged request](#hedged-request),
//!   [several mirrors](#several-mirrors), [poison input](#poison-input),
//!   [undo](#undo-the-step-before), [circuit breaker](#circuit-breaker),
//!   [wait while it is down](#wait-while-it-is-down)
//! - Limits and shares: [bulkhead](#bulkhead), [a pool for slow work](#a-pool-for-slow-work),
//!   [fair to each tenant](#fair-to-each-tenant), [in order per key](#in-order-per-key),
//!   [one rate for all](#one-rate-for-tasks-and-threads), [when it is full](#when-it-is-full)
//! - For a client: [request ids](#request-ids), [the client has gone](#the-client-has-gone),
//!   [a child process](#a-child-process-with-a-time-limit)
//! - [A test of any of them](#a-test-of-any-of-them)
//!
//! Where time matters, the examples run in a simulation: `ThreadPool::simulated(1)` in place of
//! `ThreadPool::new(4)?`. There an hour takes no time, and [`testing`](super::testing) says how.
//!
//! # Debounce
//!
//! To save once when the user has stopped typing, and not at each key: each event replaces the
//! delayed task of the one before. At the end of the program join the last handle, since its drop
//! and a drain cancel what is not due. A save that has begun may still run when the next one
//! starts: if they must not overlap, add a [lane](#in-order-per-key).
//!
//! ```
//! # #[cfg(feature = "simulation")] {
//! use millhand::ThreadPool;
//! use std::time::Duration;
//!
//! let (pool, simulation) = ThreadPool::simulated(1);
//! let save = pool.task().name("save").delay(Duration::from_millis(300));
//! let mut pending = None;
//! for text in ["m", "mi", "mil"] {
//!     // The drop of the handle before cancels its task.
//!     pending = Some(save.submit(move || text.len()).cancel_on_drop());
//!     millhand::sleep(Duration::from_millis(100))?; // until the next key
//! }
//! assert_eq!(pending.unwrap().join()?, 3);
//! assert_eq!(pool.stats().succeeded, 1);
//! assert_eq!(simulation.elapsed(), Duration::from_millis(500));
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Throttle
//!
//! To send one alert a minute, however many errors there are, and drop the rest: take from a rate
//! limiter without waiting. As a [gate](crate::TaskBuilder::gate) it would delay them instead.
//!
//! ```
//! # #[cfg(feature = "simulation")] {
//! use millhand::{RateLimiter, ThreadPool};
//! use std::time::Duration;
//!
//! let (pool, _simulation) = ThreadPool::simulated(1);
//! let alerts = RateLimiter::token_bucket(1, Duration::from_secs(60)).build()?;
//! for error in 0..10 {
//!     if alerts.try_acquire(1).is_ok() {
//!         pool.execute(move || println!("error {error}"));
//!     }
//!     millhand::sleep(Duration::from_secs(20))?;
//! }
//! assert_eq!(pool.stats().submitted, 4); // of the errors 0, 3, 6 and 9
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Write in batches
//!
//! To write lines each second, or once there are a hundred: a schedule flushes, and a full batch
//! triggers it. Schedules end with the pool, and the tasks of a drain may still add lines. So flush
//! once more when the pool has ended.
//!
//! ```
//! # #[cfg(feature = "simulation")] {
//! use millhand::schedule::Overlap;
//! use millhand::{Every, ThreadPool};
//! use std::sync::{Arc, Mutex};
//! use std::time::Duration;
//!
//! let (pool, _simulation) = ThreadPool::simulated(1);
//! let (batch, written) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
//! let flush = {
//!     let (batch, written) = (batch.clone(), written.clone());
//!     move || {
//!         let lines = std::mem::take(&mut *batch.lock().unwrap()); // others may add meanwhile
//!         written.lock().unwrap().extend(lines); // stands for one write to a disk
//!     }
//! };
//! let secondly = Every::new(Duration::from_secs(1)).overlap(Overlap::Queue);
//! let writer = pool.task().name("flush").every(secondly).run(flush.clone())?;
//! for line in 0..250 {
//!     let mut batch = batch.lock().unwrap();
//!     batch.push(line);
//!     if batch.len() % 100 == 0 {
//!         drop(batch);
//!         writer.trigger_now();
//!     }
//! }
//! assert!(writer.counts().runs > 0); // a full batch does not wait for its second
//! millhand::sleep(Duration::from_millis(1500))?;
//! assert_eq!(written.lock().unwrap().len(), 250);
//! batch.lock().unwrap().push(250);
//! drop(pool);
//! flush();
//! assert_eq!(written.lock().unwrap().len(), 251);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # A task that comes back
//!
//! To ask a server every ten seconds whether an export is ready, without a thread that waits: each
//! task submits the next one, and passes a [promise](crate::promise()) on, which stands for the
//! end. A [retry](crate::TaskBuilder::retry) is shorter, but a drain waits for all its attempts.
//!
//! ```
//! # #[cfg(feature = "simulation")] {
//! use millhand::task::Promise;
//! use millhand::{ThreadPool, current};
//! use std::time::Duration;
//!
//! fn poll(attempt: u32, done: Promise<u32>) {
//!     if attempt == 4 || done.is_cancelled() { // the export is ready, or no longer wanted
//!         let _ = done.complete(attempt);
//!         return;
//!     }
//!     let next = current().unwrap().pool().task().name("poll").delay(Duration::from_secs(10));
//!     next.execute(move || poll(attempt + 1, done));
//! }
//!
//! let (pool, simulation) = ThreadPool::simulated(1);
//! let (done, export) = pool.promise();
//! pool.execute(|| poll(1, done));
//! assert_eq!(export.join()?, 4);
//! assert_eq!(simulation.elapsed(), Duration::from_secs(30));
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! If the pool shuts down in between, the promise is dropped, and the handle settles as cancelled.
//! A cancel of the handle ends the polling.
//!
//! # A cache that is kept fresh
//!
//! For values that are read all the time and may be a minute old: readers never wait for a load. A
//! load that fails is logged, and leaves the old value.
//!
//! ```
//! # #[cfg(feature = "simulation")] {
//! use millhand::ThreadPool;
//! use std::sync::{Arc, RwLock};
//! use std::time::Duration;
//! # use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
//! # static LOADS: AtomicU32 = AtomicU32::new(0);
//! # fn load() -> std::io::Result<u32> {
//! #     match LOADS.fetch_add(1, Relaxed) {
//! #         1 => Err(std::io::Error::other("offline")),
//! #         n => Ok(n),
//! #     }
//! # }
//!
//! let (pool, _simulation) = ThreadPool::simulated(1);
//! let cache = Arc::new(RwLock::new(load()?));
//! let fresh = cache.clone();
//! pool.task().name("refresh").every(Duration::from_secs(60)).run(move || {
//!     load().map(|value| *fresh.write().unwrap() = value)
//! })?;
//! assert_eq!(*cache.read().unwrap(), 0);
//! millhand::sleep(Duration::from_secs(90))?; // the second load fails
//! assert_eq!(*cache.read().unwrap(), 0);
//! millhand::sleep(Duration::from_secs(60))?;
//! assert_eq!(*cache.read().unwrap(), 2);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Singleflight
//!
//! Where many ask for the same at once, to compute it once: those who ask while it is computed get
//! a clone of the same handle. Keep the finished ones, and it is a cache. In a pool with a bounded
//! queue use `try_submit`: a thread that waits for a place would keep the map locked.
//!
//! ```
//! # #[cfg(feature = "simulation")] {
//! use millhand::{SharedHandle, ThreadPool};
//! use std::collections::HashMap;
//! use std::sync::Mutex;
//! # use std::time::Duration;
//! # fn read(name: &str) -> usize {
//! #     millhand::sleep(Duration::from_secs(1)).unwrap();
//! #     name.len()
//! # }
//!
//! let (pool, _simulation) = ThreadPool::simulated(1);
//! let flights = Mutex::new(HashMap::<&str, SharedHandle<usize>>::new());
//! let load = |name: &'static str| {
//!     let mut flights = flights.lock().unwrap();
//!     flights.retain(|_, flight| !flight.is_finished());
//!     flights.entry(name).or_insert_with(|| pool.submit(|| read(name)).share()).clone()
//! };
//! for asked in [load("ann"), load("ann"), load("bob")] {
//!     assert_eq!(asked.join().as_ref().unwrap(), &3);
//! }
//! assert_eq!(pool.stats().submitted, 2); // once for `ann`, once for `bob`
//! # }
//! ```
//!
//! # Warm up
//!
//! So that the first requests do not wait for connections: each worker makes its own before the
//! program takes any.
//!
//! ```
//! use millhand::{ThreadPool, join_all};
//! # use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
//! # static OPEN: AtomicU32 = AtomicU32::new(0);
//! # fn connect() -> u32 { OPEN.fetch_add(1, Relaxed) }
//!
//! let pool = ThreadPool::new(4)?;
//! let connection = pool.worker_local(connect); // made at first use
//! let warm = connection.clone();
//! join_all(pool.broadcast(move || warm.with(|_| ()))?); // used once by each worker
//! # assert_eq!(OPEN.load(Relaxed), 4);
//! let query = pool.submit(move || connection.with(|connection| *connection));
//! assert!(query.join()? < 4);
//! # assert_eq!(OPEN.load(Relaxed), 4);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Fan out and in
//!
//! To do the parts of a job at once, and one thing with all results. No thread waits in between,
//! and `??` takes the first failure: of the task, then of its body.
//!
//! ```
//! use millhand::{ThreadPool, when_all};
//! use std::error::Error;
//!
//! # fn main() -> Result<(), Box<dyn Error>> {
//! let pool = ThreadPool::new(4)?;
//! let total = |texts: [&'static str; 3]| {
//!     let parts = texts.map(|text| pool.submit(move || text.parse::<u32>()));
//!     when_all(parts).then(|parts| -> Result<u32, Box<dyn Error + Send + Sync>> {
//!         let mut total = 0;
//!         for part in parts {
//!             total += part??;
//!         }
//!         Ok(total)
//!     })
//! };
//! assert_eq!(total(["1", "2", "4"]).join_ok()?, 7);
//! assert!(total(["1", "two", "4"]).join_ok().is_err());
//! # Ok(())
//! # }
//! ```
//!
//! # Map and reduce what is borrowed
//!
//! To count, sum or index what is in memory already: the pool maps slices of it, the caller merges
//! them. Nothing is cloned.
//!
//! ```
//! use millhand::ThreadPool;
//! use std::collections::HashMap;
//!
//! let pool = ThreadPool::new(4)?;
//! let text = std::fs::read_to_string("README.md")?;
//! let lines: Vec<_> = text.lines().collect();
//! let parts = pool.map(lines.chunks(50), |lines| {
//!     let mut counts = HashMap::new();
//!     for word in lines.iter().flat_map(|line| line.split_whitespace()) {
//!         *counts.entry(word).or_insert(0) += 1;
//!     }
//!     counts
//! });
//! let mut counts = HashMap::new();
//! for (word, count) in parts.into_iter().flatten() {
//!     *counts.entry(word).or_insert(0) += count;
//! }
//! assert_eq!(counts.values().sum::<usize>(), text.split_whitespace().count());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Walk a directory
//!
//! For work that finds more work while it goes: each folder is a task of one scope, which ends when
//! there is no folder left. Folders that cannot be read are collected, and stop nothing.
//!
//! ```
//! use millhand::compose::GatherScope;
//! use millhand::{ScopeOptions, ThreadPool};
//! use std::path::PathBuf;
//! use std::sync::Mutex;
//! use std::{fs, io};
//!
//! type Files = Mutex<Vec<PathBuf>>;
//!
//! fn walk<'scope>(s: &'scope GatherScope<'scope, '_>, folder: PathBuf, files: &'scope Files) {
//!     s.submit(move || -> io::Result<()> {
//!         for entry in fs::read_dir(folder)? {
//!             let entry = entry?;
//!             match entry.file_type()?.is_dir() {
//!                 true => walk(s, entry.path(), files),
//!                 false => files.lock().unwrap().push(entry.path()),
//!             }
//!         }
//!         Ok(())
//!     });
//! }
//!
//! let pool = ThreadPool::new(4)?;
//! let files = Files::default();
//! pool.scope_with(ScopeOptions::collect_all(), |s| walk(s, "src".into(), &files))?;
//! assert!(files.into_inner()?.contains(&"src/guide/cookbook.rs".into()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Values and failures apart
//!
//! For a batch in which some items may be bad: a template's `map` returns an outcome for each, and
//! a failure has the index of its item.
//!
//! ```
//! use millhand::ThreadPool;
//!
//! let pool = ThreadPool::new(4)?;
//! let (mut values, mut failures) = (Vec::new(), Vec::new());
//! let parse = pool.task().name("parse").fallible();
//! for outcome in parse.map(["1", "two", "3"], |text| text.parse::<u32>()) {
//!     match outcome {
//!         Ok(value) => values.push(value),
//!         Err(failure) => failures.push(failure),
//!     }
//! }
//! assert_eq!((values, failures.len(), failures[0].index()), (vec![1, 3], 1, 1));
//! # Ok::<(), millhand::pool::BuildError>(())
//! ```
//!
//! # Leave a search early
//!
//! Where the first hit ends the search: it cancels the scope, and the other bodies stop, since they
//! ask at each step. Here all but one of them have no end of their own.
//!
//! ```
//! use millhand::{ThreadPool, as_completed, is_cancelled};
//!
//! let pool = ThreadPool::new(4)?;
//! let wanted = String::from("144");
//! let found = pool.scope(|s| {
//!     let parts = (0..4_u64).map(|first| {
//!         let mut numbers = (first..).step_by(4).take_while(|_| !is_cancelled());
//!         let wanted = &wanted; // may borrow
//!         s.submit(move || numbers.find(|n| (n * n).to_string() == *wanted))
//!     });
//!     let found = as_completed(parts).find_map(|(_, found)| found.ok().flatten());
//!     s.token().cancel();
//!     found
//! });
//! assert_eq!(found, Some(12));
//! # Ok::<(), millhand::pool::BuildError>(())
//! ```
//!
//! # No faster than the consumer
//!
//! Where items are many, or without end, and results are used slowly: at most so many items are
//! ahead, and the source is not read further.
//!
//! ```
//! use millhand::ThreadPool;
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
//!
//! let pool = ThreadPool::new(4)?;
//! let read = Arc::new(AtomicU32::new(0));
//! let counted = read.clone();
//! let source = (1..).inspect(move |_| { counted.fetch_add(1, Relaxed); });
//! let mut results = pool.map_iter(source, |n: u64| n * n).window(8);
//! assert_eq!(results.next(), Some(1));
//! pool.wait_idle()?; // the pool has done all that it may
//! assert_eq!(read.load(Relaxed), 1 + 8);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Progress
//!
//! For a task that runs for long, and an operator or a progress bar that looks at it. The
//! [dashboard](crate::guide::observability) shows it, too.
//!
//! ```
//! # #[cfg(feature = "simulation")] {
//! use millhand::{ThreadPool, current};
//! use std::time::Duration;
//!
//! let (pool, _simulation) = ThreadPool::simulated(1);
//! let copy = pool.task().name("copy").submit(|| {
//!     for done in 1..=10 {
//!         millhand::sleep(Duration::from_secs(1))?; // stands for a file
//!         current().unwrap().set_progress(done, 10);
//!     }
//!     Ok::<_, millhand::error::Stopped>(())
//! });
//! millhand::sleep(Duration::from_millis(3500))?;
//! assert_eq!(pool.find(copy.id()).unwrap().progress, Some((3, 10)));
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Retry as the server asks
//!
//! Where a server says when to come back, as by `Retry-After`: the delay is taken from the error,
//! and the policy serves where there is none. No thread waits meanwhile. A drain does, so
//! `max_elapsed` gives up at once on a server that asks for a day.
//!
//! ```
//! # #[cfg(feature = "simulation")] {
//! use millhand::{Retry, ThreadPool, attempt};
//! use std::time::Duration;
//! # #[derive(Debug)]
//! # struct Busy { retry_after: Option<Duration> }
//! # impl std::fmt::Display for Busy {
//! #     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str("busy") }
//! # }
//!
//! let (pool, simulation) = ThreadPool::simulated(1);
//! let request = pool
//!     .task()
//!     .retry(Retry::fixed(5, Duration::from_secs(1)).max_elapsed(Duration::from_secs(300)))
//!     .retry_after(|busy: &Busy| busy.retry_after);
//! let page = request.submit(|| match attempt() {
//!     1 => Err(Busy { retry_after: Some(Duration::from_secs(30)) }),
//!     2 => Err(Busy { retry_after: None }),
//!     _ => Ok("the page"),
//! });
//! assert_eq!(page.join()?.unwrap(), "the page");
//! assert_eq!(simulation.elapsed(), Duration::from_secs(31));
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # An answer in any case
//!
//! Where an old value is better than a late one: the task has a deadline, and what follows it takes
//! the value that there is. What follows is a task, too, and waits for a worker. A thread that
//! joins `price` and chooses by itself needs none.
//!
//! ```
//! # #[cfg(feature = "simulation")] {
//! use millhand::ThreadPool;
//! use std::time::Duration;
//!
//! let (pool, simulation) = ThreadPool::simulated(1);
//! let ask = pool.task().name("price").deadline(Duration::from_secs(2));
//! let price = ask.submit(|| {
//!     millhand::sleep(Duration::from_secs(3600)).map(|()| 17) // a server that does not answer
//! });
//! let shown = price.then(|outcome| match outcome {
//!     Ok(Ok(price)) => price,
//!     _ => 16, // that of yesterday
//! });
//! assert_eq!(shown.join()?, 16);
//! assert_eq!(simulation.elapsed(), Duration::from_secs(2));
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Hedged request
//!
//! Against the one request in a hundred that is slow: a second one begins after a delay, unless
//! the first has succeeded by then. The winner cancels the other.
//!
//! ```
//! # #[cfg(feature = "simulation")] {
//! use millhand::{ThreadPool, race};
//! use std::io;
//! use std::time::Duration;
//! # fn fetch(server: &str) -> io::Result<String> {
//! #     if server == "slow" { millhand::sleep(Duration::from_secs(3600))?; }
//! #     Ok(format!("from {server}"))
//! # }
//!
//! let (pool, simulation) = ThreadPool::simulated(1);
//! let first = pool.submit(|| fetch("slow"));
//! let second = pool.task().delay(Duration::from_millis(50)).submit(|| fetch("other"));
//! assert_eq!(race([first, second])?, "from other");
//! assert_eq!(simulation.elapsed(), Duration::from_millis(50));
//!
//! let first = pool.submit(|| fetch("fast"));
//! let second = pool.task().delay(Duration::from_millis(50)).submit(|| fetch("other"));
//! assert_eq!(race([first, second])?, "from fast"); // and the second one never began
//! assert_eq!(simulation.elapsed(), Duration::from_millis(50));
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Several mirrors
//!
//! To take the first that succeeds: failures count only if there is no success, and then all of
//! them are in the error.
//!
//! ```
//! use millhand::{ThreadPool, race};
//! use std::fs;
//!
//! let pool = ThreadPool::new(4)?;
//! let read = |path: &'static str| pool.submit(move || fs::read(path)); // stands for a download
//! assert!(!race(["no such file", "Cargo.toml", "nor this one"].map(read))?.is_empty());
//! assert_eq!(race(["no such file", "nor this", "nor that"].map(read)).unwrap_err().len(), 3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Poison input
//!
//! Where an input may be one that no attempt survives: after three attempts, panics included, it
//! goes into quarantine, and the others go on.
//!
//! ```
//! use millhand::{Retry, ThreadPool};
//! use std::time::Duration;
//!
//! let pool = ThreadPool::new(4)?;
//! let messages = vec!["17", "poison", "18"];
//! let parse = pool.task().name("parse").retry(Retry::fixed(2, Duration::ZERO)).retry_panics(true);
//! let outcomes = parse.map(messages.clone(), |message| {
//!     assert!(*message != "poison", "a mistake in the parser");
//!     message.parse::<u32>()
//! });
//! let failures = outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
//! let quarantine: Vec<_> = failures.map(|failure| messages[failure.index()]).collect();
//! assert_eq!(quarantine, ["poison"]);
//! assert_eq!(pool.stats().retries, 2);
//! # Ok::<(), millhand::pool::BuildError>(())
//! ```
//!
//! # Undo the step before
//!
//! Where the second of two steps may fail and the first must then be taken back: the error carries
//! what is to be undone. A panic, or a cancel between the steps, leaves it as it is. For what
//! must happen in any case, let the first step return a guard whose drop undoes it.
//!
//! ```
//! use millhand::ThreadPool;
//! use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
//!
//! static RESERVED: AtomicU32 = AtomicU32::new(0);
//! fn reserve() -> u32 { RESERVED.fetch_add(1, Relaxed) }
//! fn release(_room: u32) { RESERVED.fetch_sub(1, Relaxed); }
//! fn pay(_room: u32) -> Result<&'static str, String> { Err("the card has expired".into()) }
//!
//! let pool = ThreadPool::new(2)?;
//! let booking = pool
//!     .submit(reserve)
//!     .map(|room| pay(room).map_err(|error| (room, error)))
//!     .or_else(|(room, error)| {
//!         release(room);
//!         Err(error)
//!     });
//! assert_eq!(booking.join()?, Err("the card has expired".to_owned()));
//! assert_eq!(RESERVED.load(Relaxed), 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Circuit breaker
//!
//! To leave a server alone that fails all the time: after three failures in a row, calls fail at
//! once. A rate limiter lets one call through in each minute, to try: the first of them at once. A
//! success closes the circuit.
//!
//! ```
//! # #[cfg(feature = "simulation")] {
//! use millhand::RateLimiter;
//! use millhand::testing::Simulation;
//! use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
//! use std::time::Duration;
//!
//! struct Breaker { failures: AtomicU32, trials: RateLimiter }
//!
//! impl Breaker {
//!     /// `None`: the circuit is open.
//!     fn call<T, E>(&self, f: impl FnOnce() -> Result<T, E>) -> Option<Result<T, E>> {
//!         if self.failures.load(Relaxed) >= 3 && self.trials.try_acquire(1).is_err() {
//!             return None;
//!         }
//!         let outcome = f();
//!         match outcome.is_ok() {
//!             true => self.failures.store(0, Relaxed),
//!             false => { self.failures.fetch_add(1, Relaxed); }
//!         }
//!         Some(outcome)
//!     }
//! }
//!
//! let _simulation = Simulation::new(1);
//! let trials = RateLimiter::token_bucket(1, Duration::from_secs(60)).build()?;
//! let breaker = Breaker { failures: AtomicU32::new(0), trials }; // bodies share it in an `Arc`
//! let call = |answer: Result<u32, &'static str>| breaker.call(|| answer);
//! for _ in 0..4 { // three failures, and a trial
//!     assert_eq!(call(Err("down")), Some(Err("down")));
//! }
//! assert_eq!(call(Ok(7)), None);
//! millhand::sleep(Duration::from_secs(60))?;
//! assert_eq!((call(Ok(7)), call(Ok(8))), (Some(Ok(7)), Some(Ok(8))));
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Wait while it is down
//!
//! To hold back all calls while a server is down, and lose none: the body that fails closes the
//! gate of the calls, and the end of a delayed task opens it again, for a trial. A shutdown cancels
//! that task, which opens the gate, too. Otherwise the drain would wait for it for ever.
//!
//! ```
//! # #[cfg(feature = "simulation")] {
//! use millhand::{Retry, Semaphore, ThreadPool, attempt, current};
//! use std::time::Duration;
//!
//! let (pool, simulation) = ThreadPool::simulated(1);
//! let server = Semaphore::new(1)?;
//! let call = pool.task().gate(&server).retry(Retry::fixed(5, Duration::from_secs(1)));
//! let gate = server.clone();
//! let first = call.submit(move || {
//!     if attempt() <= 2 { // stands for a call that fails
//!         gate.set_permits(0);
//!         let later = current().unwrap().pool().task().delay(Duration::from_secs(60));
//!         let gate = gate.clone();
//!         later.on_finish(move |_| gate.set_permits(1)).execute(|| ());
//!         return Err("down");
//!     }
//!     Ok(1)
//! });
//! let second = call.submit(|| Ok::<_, &str>(2)); // waits at the gate, and needs no thread
//! assert_eq!((first.join()?, second.join()?), (Ok(1), Ok(2)));
//! assert_eq!(simulation.elapsed(), Duration::from_secs(120));
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Bulkhead
//!
//! So that one kind of work, however slow, leaves workers to the others: at most two reports run at
//! once, and the others wait at the gate, without a worker.
//!
//! ```
//! use millhand::{Semaphore, ThreadPool, join_all};
//!
//! let pool = ThreadPool::new(4)?;
//! let reports = Semaphore::new(2)?;
//! let report = pool.task().name("report").gate(&reports);
//! let (finish, held) = crossbeam_channel::bounded::<()>(0);
//! let slow: Vec<_> = (0..10)
//!     .map(|_| {
//!         let held = held.clone();
//!         report.submit(move || held.recv()) // occupies its worker until the end of this example
//!     })
//!     .collect();
//! assert_eq!(pool.submit(|| "pong").join()?, "pong");
//! drop(finish);
//! assert_eq!(join_all(slow).len(), 10);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # A pool for slow work
//!
//! Where slow work needs another number of threads, a queue of its own or an end of its own: a
//! second pool. A body of the first that waits for a task of the second releases its run slot.
//!
//! ```
//! use millhand::ThreadPool;
//!
//! let disk = ThreadPool::builder().workers(1).name_prefix("disk").queue_capacity(100).build()?;
//! let pool = ThreadPool::new(4)?;
//! let slow = disk.handle();
//! let page = pool.submit(move || {
//!     let read = slow.submit(|| std::thread::current().name().map(str::to_owned));
//!     format!("read by {}", read.join().unwrap().unwrap())
//! });
//! assert_eq!(page.join()?, "read by disk-0");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Fair to each tenant
//!
//! So that a tenant with a thousand tasks does not keep the others waiting: each may use so many
//! workers at once. [`RateLimiter::keyed`](crate::RateLimiter::keyed) does the same per second.
//!
//! ```
//! use millhand::{Semaphore, ThreadPool};
//!
//! let pool = ThreadPool::new(2)?;
//! let tenants = Semaphore::keyed(1)?;
//! let (finish, held) = crossbeam_channel::bounded::<()>(0);
//! for _ in 0..1000 {
//!     let held = held.clone();
//!     pool.task().gate(&tenants.key("ann")).execute(move || {
//!         let _ = held.recv(); // occupies its worker until the end of this example
//!     });
//! }
//! let bob = pool.task().gate(&tenants.key("bob")).submit(|| "at once");
//! assert_eq!(bob.join()?, "at once");
//! drop(finish);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # In order per key
//!
//! For the changes of a customer, or the writes to a file: one after the other for each key, in the
//! order of their submission, and different keys at the same time.
//!
//! ```
//! # #[cfg(feature = "simulation")] {
//! use millhand::ThreadPool;
//! use millhand::limit::Lanes;
//! use std::sync::{Arc, Mutex};
//! use std::time::Duration;
//!
//! let (pool, simulation) = ThreadPool::simulated(1);
//! let (accounts, journal) = (Lanes::new(), Arc::new(Mutex::new(Vec::new())));
//! for (account, change, seconds) in [("ann", 1, 30), ("bob", 1, 40), ("ann", 2, 20), ("ann", 3, 10)] {
//!     let journal = journal.clone();
//!     pool.task().gate(&accounts.key(account)).execute(move || {
//!         let _ = millhand::sleep(Duration::from_secs(seconds)); // stands for the change
//!         journal.lock().unwrap().push((account, change));
//!     });
//! }
//! pool.wait_idle()?;
//! assert_eq!(*journal.lock().unwrap(), [("ann", 1), ("bob", 1), ("ann", 2), ("ann", 3)]);
//! assert_eq!(simulation.elapsed(), Duration::from_secs(60));
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # One rate for tasks and threads
//!
//! Where a server counts all requests of the program: tasks and other threads use one limiter, and
//! stand in one line.
//!
//! ```
//! # #[cfg(feature = "simulation")] {
//! use millhand::{RateLimiter, ThreadPool, join_all};
//! use std::time::Duration;
//!
//! let (pool, simulation) = ThreadPool::simulated(1);
//! let api = RateLimiter::token_bucket(2, Duration::from_secs(1)).burst(1).build()?;
//! let request = pool.task().gate(&api);
//! let tasks: Vec<_> = (0..4).map(|n| request.submit(move || n)).collect();
//! api.acquire(1)?; // on this thread
//! join_all(tasks);
//! assert_eq!(simulation.elapsed(), Duration::from_secs(2)); // five, each half a second apart
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # When it is full
//!
//! To answer less well, but soon: `try_submit` never waits. The closure that is refused comes
//! back, so the submitter may also run it itself.
//!
//! ```
//! use millhand::ThreadPool;
//!
//! let pool = ThreadPool::builder().workers(1).queue_capacity(1).build()?;
//! # let (finish, held) = crossbeam_channel::bounded::<()>(0);
//! # let (began, begins) = crossbeam_channel::bounded(0);
//! # pool.execute(move || { began.send(()).unwrap(); let _ = held.recv(); });
//! # begins.recv()?;
//! pool.execute(|| println!("takes the only place, since the worker is busy"));
//! let answer = match pool.try_submit(|| "the whole answer") {
//!     Ok(handle) => handle.join()?,
//!     Err(_full) => "please come back later",
//! };
//! assert_eq!(answer, "please come back later");
//!
//! let work = || println!("by {:?}", std::thread::current().id());
//! if let Err(full) = pool.try_execute(work) {
//!     full.into_inner()(); // on this thread, which submits nothing else meanwhile
//! }
//! # drop(finish);
//! # assert_eq!(pool.shutdown(millhand::Shutdown::drain())?.succeeded(), 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Request ids
//!
//! So that each line of the log names its request, in whatever task it is written: a context
//! variable, which tasks inherit from the code that submits them.
//!
//! ```
//! use millhand::{ContextVar, ThreadPool, current};
//!
//! static REQUEST: ContextVar<u32> = ContextVar::new(0);
//!
//! fn line(text: &str) -> String {
//!     format!("request {}: {text}", REQUEST.get())
//! }
//!
//! let pool = ThreadPool::new(2)?;
//! let handle = |request| REQUEST.with(request, || {
//!     pool.submit(|| current().unwrap().pool().submit(|| line("saved")).join())
//! });
//! let (first, second) = (handle(7), handle(8));
//! assert_eq!(first.join()??, "request 7: saved");
//! assert_eq!(second.join()??, "request 8: saved");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The client has gone
//!
//! To do no work for a client that has hung up: all tasks of the request share a token, and the
//! end of the connection cancels it. The body that watches the connection has a thread until then,
//! or until the client sends more: shut the socket down once the answer is sent, or a drain waits
//! for the client. For a single task, a handle with
//! [`cancel_on_drop`](crate::TaskHandle::cancel_on_drop) does it.
//!
//! ```
//! use millhand::{CancelToken, TaskError, ThreadPool, blocking};
//! use std::net::{TcpListener, TcpStream};
//! use std::time::Duration;
//!
//! let pool = ThreadPool::new(2)?;
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! let client = TcpStream::connect(listener.local_addr()?)?;
//! let (socket, _) = listener.accept()?;
//!
//! let request = CancelToken::new();
//! let search = pool.task().token(&request).fallible();
//! let found = search.submit(|| millhand::sleep(Duration::from_secs(3600)));
//! pool.execute(move || {
//!     if let Ok(0) | Err(_) = blocking(|| socket.peek(&mut [0])) { // leaves what it sends
//!         request.cancel();
//!     }
//! });
//! drop(client);
//! assert!(matches!(found.join(), Err(TaskError::Cancelled(_))));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # A child process with a time limit
//!
//! For a tool that may hang: the end of the time ends the child and all that it has started. A
//! cancel and a shutdown do the same. It needs the feature `child`.
//!
//! ```
//! # #[cfg(all(unix, feature = "child"))] {
//! use millhand::{TaskError, ThreadPool, child};
//! use std::process::Command;
//! use std::time::Duration;
//!
//! let pool = ThreadPool::new(2)?;
//! let convert = pool.task().name("convert").attempt_timeout(Duration::from_millis(50)).fallible();
//! let converted = convert.submit(|| {
//!     let mut tool = child::spawn(Command::new("sleep").arg("3600"))?;
//!     child::wait(&mut tool)
//! });
//! assert!(matches!(converted.join(), Err(TaskError::TimedOut)));
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # A test of any of them
//!
//! A test turns a clock by hand and looks at both sides of the moment that matters. In a simulation
//! as above the clock turns itself. [`testing`](super::testing) compares the two.
//!
//! ```
//! use millhand::ThreadPool;
//! use millhand::testing::ManualClock;
//! use std::time::Duration;
//!
//! let clock = ManualClock::new();
//! let pool = ThreadPool::builder().workers(1).clock(&clock).build()?;
//! let save = pool.task().delay(Duration::from_millis(300)).submit(|| "saved"); // as in "debounce"
//! clock.advance(Duration::from_millis(299));
//! clock.wait_idle();
//! assert!(!save.is_finished());
//! clock.advance(Duration::from_millis(1));
//! assert_eq!(save.join()?, "saved");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
