//! First steps: from an empty program to one with retries, limits, a clean end, and a test.
//!
//! # A pool, a task, a result
//!
//! ```sh
//! cargo add millhand
//! ```
//!
//! A [`ThreadPool`] is a number of threads, its workers. [`submit`](crate::Pool::submit) gives it a
//! closure, the *body* of a task, and returns a handle. [`join`](crate::TaskHandle::join) waits for
//! the value.
//!
//! ```
//! use millhand::ThreadPool;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let pool = ThreadPool::new(4)?;
//!     let sum = pool.submit(|| (1..=100).sum::<u32>());
//!     println!("meanwhile this thread goes on");
//!     assert_eq!(sum.join()?, 5050);
//!     Ok(())
//! } // the pool runs what it has, and joins its threads
//! ```
//!
//! How many workers? As many bodies run at once. For bodies that compute, the number of cores; for
//! bodies that wait for files, sockets or databases, as many as may wait at once. A body that waits
//! for another task does not count.
//!
//! # Bodies that fail
//!
//! A body that returns a `Result` has two ways to go wrong: its own error, or no outcome at all,
//! because it panicked or was cancelled. [`join_ok`](crate::TaskHandle::join_ok) merges the two for
//! one `?`. [`errors`](super::errors) shows it with `anyhow` and with errors of your own.
//!
//! ```
//! use millhand::{JoinError, ThreadPool};
//! use std::fs;
//!
//! # let pool = ThreadPool::new(2)?;
//! match pool.submit(|| fs::read_to_string("no such file")).join_ok() {
//!     Ok(text) => println!("{text}"),
//!     Err(JoinError::Failed(error)) => println!("the body returned: {error}"),
//!     Err(JoinError::Task(error)) => println!("no outcome: {error}"),
//! }
//!
//! // Without a handle. An error is logged, with the name of the task and this line.
//! pool.task().name("clean up").execute_ok(|| fs::remove_file("no such file"));
//! # Ok::<(), millhand::pool::BuildError>(())
//! ```
//!
//! The library logs through the crate `log`: install a logger, such as `env_logger`, to see it.
//!
//! # Many tasks
//!
//! ```
//! use millhand::{ThreadPool, as_completed, join_all_ok};
//! use std::fs;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let pool = ThreadPool::new(4)?;
//! let paths = ["Cargo.toml", "README.md"];
//!
//! // All of them, or the first error.
//! let texts = join_all_ok(paths.map(|path| pool.submit(move || fs::read_to_string(path))))?;
//! assert_eq!(texts.len(), 2);
//!
//! // Each as it comes.
//! let sizes = paths.map(|path| pool.submit(move || fs::metadata(path)).with_key(path));
//! for (path, about) in as_completed(sizes) {
//!     println!("{path}: {} bytes", about??.len());
//! }
//!
//! // A loop in parallel. Items and closure may borrow.
//! let lengths = pool.map(&texts, |text| text.len());
//!
//! // Tasks that borrow, in a block that waits for all of them.
//! let (mut first, mut second) = (0, 0);
//! pool.scope(|s| {
//!     s.execute(|| first = texts[0].lines().count());
//!     s.execute(|| second = texts[1].lines().count());
//! });
//! # assert!(lengths[0] > first && lengths[1] > second);
//! # Ok(())
//! # }
//! ```
//!
//! # Options: retries, limits, names
//!
//! [`task()`](crate::Pool::task) begins a *template*. It has options, and serves any number of
//! submissions. No thread waits for any of these conditions.
//!
//! ```
//! use millhand::{RateLimiter, Retry, Semaphore, ThreadPool};
//! use std::time::Duration;
//!
//! fn fetch(url: &str) -> std::io::Result<String> {
//!     Ok(format!("the page of {url}")) // stands for a request
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let pool = ThreadPool::new(8)?;
//! let api = RateLimiter::token_bucket(100, Duration::from_secs(1)).build()?;
//! let connections = Semaphore::new(4)?;
//! let request = pool
//!     .task()
//!     .name("request")
//!     .gate(&api) // 100 starts per second
//!     .gate(&connections) // 4 at the same time
//!     .attempt_timeout(Duration::from_secs(10))
//!     .retry(Retry::exponential(5, Duration::from_millis(200)));
//! request.check()?; // a mistake in the options shows here
//!
//! // A whole collection, lazily: at most 100 requests ahead of this loop.
//! let urls = ["example.org", "example.net"];
//! for page in request.map_iter(urls, |url| fetch(url)).window(100) {
//!     match page {
//!         Ok(page) => println!("{page}"),
//!         Err(failure) => eprintln!("{failure}"), // with the name, the index and the cause
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Stop when asked
//!
//! A cancel, a time limit or a shutdown asks a body to stop. Waits of the library end then. A body
//! that loops asks by [`check`](crate::check). [`cancelling`](super::cancelling) has the rest.
//!
//! ```
//! use millhand::{ThreadPool, check};
//!
//! # let pool = ThreadPool::new(1)?;
//! let scan = pool.submit(|| -> Result<u64, Box<dyn std::error::Error + Send + Sync>> {
//!     let mut found = 0;
//!     loop {
//!         check()?; // leaves here
//!         found += 1;
//!     }
//! });
//! scan.cancel();
//! assert!(scan.join_flat().is_err());
//! # Ok::<(), millhand::pool::BuildError>(())
//! ```
//!
//! # A clean end
//!
//! Dropping the pool runs all tasks to their end. To set limits, and to see what became of the
//! tasks, call [`shutdown`](crate::ThreadPool::shutdown). A daemon ends at Ctrl-C or SIGTERM:
//!
//! ```no_run
//! # #[cfg(feature = "signals")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use millhand::{Shutdown, Signals, ThreadPool};
//! use std::time::Duration;
//!
//! let signals = Signals::install(); // first of all, on the main thread
//! let pool = ThreadPool::new(4)?;
//! pool.task().name("poll").every(Duration::from_secs(60)).run(|| println!("looking"))?;
//! let report = pool.run_until(&signals, Shutdown::drain().cancel_after(Duration::from_secs(20)))?;
//! println!("{report}");
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "signals"))]
//! # fn main() {}
//! ```
//!
//! # A test that waits for nothing
//!
//! In a simulation an hour takes no time, and the seed decides in which order the threads run:
//!
//! ```
//! # #[cfg(feature = "simulation")]
//! # fn main() {
//! use millhand::{Retry, ThreadPool, attempt};
//! use std::time::Duration;
//!
//! let (pool, simulation) = ThreadPool::simulated(42);
//! let nightly = pool.task().retry(Retry::fixed(5, Duration::from_secs(600)));
//! let handle = nightly.submit(|| if attempt() < 4 { Err("offline") } else { Ok("done") });
//! assert_eq!(handle.join_ok().unwrap(), "done");
//! assert_eq!(simulation.elapsed(), Duration::from_secs(1800));
//! # }
//! # #[cfg(not(feature = "simulation"))]
//! # fn main() {}
//! ```
//!
//! # From here
//!
//! [`choosing`](super::choosing) has tables of all verbs, limits and waits. The
//! [front page](crate) shows each part of the library.
//!
//! [`ThreadPool`]: crate::ThreadPool
