//! Runs background work on a pool of threads, for blocking applications.
//!
//! Tasks have results, retries, rate limits, priorities and deadlines, and a shutdown loses none of
//! them. All of it works on plain OS threads, with no async runtime.
//!
//! ```
//! let pool = millhand::ThreadPool::new(4)?;
//! let handle = pool.submit(|| 6 * 7);
//! assert_eq!(handle.join().unwrap(), 42);
//! # Ok::<(), millhand::pool::BuildError>(())
//! ```
//!
//! This page has one section per subject. The [`guide`] goes further: it begins with
//! [first steps](guide::first_steps), and has tables for [choosing](guide::choosing) and
//! [recipes](guide::cookbook). Each item names its page there.
//!
//! # The pool
//!
//! A [`ThreadPool`] is n OS threads, the workers, which read tasks from one channel, first in,
//! first out. What a body submits comes before that. The pool owns the workers: dropping it runs
//! all tasks to their end and joins the threads. [`ThreadPool::builder`] has the options.
//! [`PoolHandle`] is a weak reference to a pool.
//!
//! ```
//! use millhand::{OnFull, ThreadPool};
//!
//! let pool = ThreadPool::builder()
//!     .workers(2)
//!     .queue_capacity(100) // default: unbounded
//!     .on_full(OnFull::Reject) // default: submitters wait
//!     .build()?;
//! # Ok::<(), millhand::pool::BuildError>(())
//! ```
//!
//! # Submitting
//!
//! `submit` returns a handle. `execute` is fire-and-forget, for a closure that returns nothing, and
//! `execute_ok` for one that may fail. They wait while the queue is full. The `try_` forms never
//! wait, and [`submit_timeout`](Pool::submit_timeout) waits for a limited time; these return a
//! closure that the pool refuses in the error. The others have no error:
//!
//! | | closed pool | full, `OnFull::Block` | full, `OnFull::Reject` |
//! | --- | --- | --- | --- |
//! | `submit` | handle settles as [`Rejected`](TaskError::Rejected) | waits | handle settles as `Rejected` |
//! | `execute`, `execute_ok` | logged, counted, passed to a hook | waits | logged, counted, passed to a hook |
//! | `submit_timeout` | returns the closure | waits until the timeout, then returns it | returns it |
//! | `try_submit`, `try_execute`, `try_execute_ok` | returns the closure | returns it | returns it |
//!
//! A worker of the pool never waits for the queue: its own submissions are always taken.
//! [`Pool::task`] builds a template with options, which serves many submissions:
//!
//! ```
//! # let pool = millhand::ThreadPool::new(2)?;
//! let resize = pool.task().name("resize");
//! let handles: Vec<_> = (0..10).map(|n| resize.submit(move || n)).collect();
//! # for handle in handles { handle.join().unwrap(); }
//! pool.task().name("clean up").execute_ok(|| std::fs::remove_file("no such file")); // logged
//! # Ok::<(), millhand::pool::BuildError>(())
//! ```
//!
//! # When a task runs, and how often
//!
//! The template has options for it: [`priority`](TaskBuilder::priority),
//! [`delay`](TaskBuilder::delay) and [`delay_until`](TaskBuilder::delay_until),
//! [`expires`](TaskBuilder::expires), [`attempt_timeout`](TaskBuilder::attempt_timeout),
//! [`total_timeout`](TaskBuilder::total_timeout), [`gate`](TaskBuilder::gate),
//! [`retry`](TaskBuilder::retry). A task that waits for one of these occupies no worker. The pool
//! refuses options that contradict each other, and the error names them:
//! [`InvalidTask`](error::InvalidTask). [`check`](TaskBuilder::check) finds that out when the
//! program starts. [`guide::time`] has what each limit counts from.
//!
//! ```
//! use millhand::task::TaskState;
//! use millhand::Retry;
//! use std::time::Duration;
//!
//! # let pool = millhand::ThreadPool::new(2)?;
//! let report = pool
//!     .task()
//!     .name("report")
//!     .priority(-1)
//!     .attempt_timeout(Duration::from_secs(10))
//!     .total_timeout(Duration::from_secs(60))
//!     .retry(Retry::exponential(3, Duration::from_millis(100)));
//! let handle = report.submit(|| std::fs::read_to_string("Cargo.toml"));
//! if let TaskState::Retrying { attempt, due } = handle.state() {
//!     println!("attempt {attempt} is due at {due:?}");
//! }
//! assert!(handle.join_ok().is_ok());
//! # Ok::<(), millhand::pool::BuildError>(())
//! ```
//!
//! # Gates
//!
//! A gate limits how many tasks run, or how many start per second. A gate is a [`RateLimiter`] (a
//! token bucket, or a sliding window with one or several rates), a [`Semaphore`], or one key of
//! [`Lanes`](limit::Lanes), which run one task per key at a time. Threads can acquire from the
//! first two by hand, and both have a form with a limit per key: [`RateLimiter::keyed`],
//! [`Semaphore::keyed`]. A gate serves any number of pools. Tasks and threads wait in one line per
//! gate, first come, first served, and a task that waits there occupies no worker. A task with
//! several gates passes them all at once or waits. [`guide::limits`] has the rules.
//!
//! ```
//! use millhand::limit::Lanes;
//! use millhand::{RateLimiter, Semaphore};
//! use std::time::Duration;
//!
//! # let pool = millhand::ThreadPool::new(2)?;
//! let per_host = RateLimiter::keyed(RateLimiter::token_bucket(50, Duration::from_secs(1)).burst(5))?;
//! let connections = Semaphore::new(20)?;
//! let orders = Lanes::new();
//! let push = |host: &'static str, order: u32| {
//!     let task = pool.task().gate(&per_host.key(host)).gate(&connections).gate(&orders.key(order));
//!     task.submit(move || format!("{order} to {host}"))
//! };
//! assert_eq!(push("example.org", 7).join()?, "7 to example.org");
//!
//! let _permit = connections.acquire()?; // by hand
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Schedules
//!
//! [`every`](TaskBuilder::every) submits a template again and again. Each run is a task with the
//! name, gates, retries and limits of the template. [`Every`] is the rule: a fixed rate or a fixed
//! delay, jitter, the number of runs, and what happens when runs [overlap](schedule::Overlap), are
//! [missed](schedule::Missed) or [panic](schedule::OnPanic). Each instant is planned from the one
//! planned before, so a schedule does not drift. [`Schedule`](schedule::Schedule) pauses, triggers,
//! counts and cancels. Dropping it does not end the schedule, which runs until the pool shuts down.
//!
//! ```
//! use millhand::schedule::Overlap;
//! use millhand::{Every, Retry, ThreadPool};
//! use std::time::Duration;
//!
//! let pool = ThreadPool::new(2)?;
//! let hourly = Every::new(Duration::from_secs(3600)).jitter(Duration::from_secs(60)).overlap(Overlap::Queue);
//! let backup = pool
//!     .task()
//!     .name("backup")
//!     .retry(Retry::default())
//!     .every(hourly)
//!     .run(|| std::fs::read("Cargo.toml").map(drop))?;
//! backup.trigger_now(); // one more
//! println!("the next one is due at {:?}", backup.next_run());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! With the feature `cron`, `.cron(Cron::parse("*/15 9-17 * * MON-FRI", "Europe/Berlin")?)` takes
//! the place of `.every(..)`. It follows time zones and has rules for times that daylight saving
//! leaves out or repeats.
//!
//! # Time
//!
//! Everything timed in a pool uses the pool's [`Clock`](testing::Clock). With a
//! [`ManualClock`](testing::ManualClock), a test advances the time itself and waits for nothing.
//!
//! ```
//! use millhand::testing::ManualClock;
//! use millhand::ThreadPool;
//! use std::time::Duration;
//!
//! let clock = ManualClock::new();
//! let pool = ThreadPool::builder().workers(1).clock(&clock).build()?;
//! let handle = pool.task().delay(Duration::from_secs(3600)).submit(|| "an hour later");
//! clock.advance(Duration::from_secs(3600));
//! assert_eq!(handle.join().unwrap(), "an hour later");
//! # Ok::<(), millhand::pool::BuildError>(())
//! ```
//!
//! In a `Simulation` (default feature `simulation`) the threads run one at a time, in an order
//! that a seed picks, and the clock advances by itself whenever no thread can continue. The same
//! seed repeats the same run. [`guide::testing`] finds a race that way.
//!
//! ```
//! # #[cfg(feature = "simulation")] {
//! use millhand::ThreadPool;
//! use std::time::Duration;
//!
//! let (pool, simulation) = ThreadPool::simulated(1);
//! let handle = pool.submit(|| millhand::sleep(Duration::from_secs(3600)));
//! handle.join().unwrap().unwrap(); // takes no time
//! assert_eq!(simulation.elapsed(), Duration::from_secs(3600));
//! # }
//! ```
//!
//! # Results
//!
//! A [`TaskHandle`] joins, waits, queries and cancels. A join returns `Result<T, TaskError>`: the
//! value of the body, or the reason why there is none. If the body returns a `Result` itself,
//! [`join_ok`](TaskHandle::join_ok) and [`join_flat`](TaskHandle::join_flat) merge the two, for one
//! `?`: [`guide::errors`] shows them with each type of errors. [`share`](TaskHandle::share) makes a
//! handle for many readers, [`promise`] makes a handle that the program settles, and async code can
//! await any handle.
//!
//! ```
//! use millhand::JoinError;
//!
//! # let pool = millhand::ThreadPool::new(2)?;
//! match pool.submit(|| std::fs::read_to_string("no such file")).join_ok() {
//!     Ok(text) => println!("{text}"),
//!     Err(JoinError::Failed(error)) => println!("the body returned: {error}"),
//!     Err(JoinError::Task(error)) => println!("no outcome: {error}"), // a panic, a cancellation
//! }
//! # Ok::<(), millhand::pool::BuildError>(())
//! ```
//!
//! # One after the other, and many at once
//!
//! Continuations start a task when another one has settled: [`then`](TaskHandle::then) (with the
//! whole outcome), [`map`](TaskHandle::map), [`and_then`](TaskHandle::and_then) and
//! [`or_else`](TaskHandle::or_else) for one handle, [`when_all`] for several, and
//! [`submit_after`](TaskBuilder::submit_after) with options. Each step is a task of the pool, and
//! no thread waits in between. Failures, panics and cancellations pass from each step to the next.
//! Cancelling the last step also cancels the steps before it that have not run.
//!
//! To wait for several tasks there are [`join_all`], [`join_all_ok`] (which stops at the first
//! failure), [`race`] (which stops at the first success), [`as_completed`], [`wait_any`] and
//! [`wait_until`](compose::wait_until), over any [handles](compose::Handle).
//! [`join_each`](compose::join_each) keeps the shape of a tuple. The errors of several tasks are
//! collected in one, [`Failures`](compose::Failures). [`guide::composition`] compares these with
//! scopes, collections and pipelines.
//!
//! ```
//! use millhand::compose::join_each;
//! use millhand::when_all;
//!
//! # let pool = millhand::ThreadPool::new(2)?;
//! let parse = |text: &'static str| pool.submit(move || text.parse::<u32>());
//! let double = parse("21").and_then(|n| Ok(2 * n));
//! let both = when_all([parse("1"), parse("2")]);
//! let sum = both.then(|all| all.into_iter().flatten().flatten().sum::<u32>());
//! let (double, sum) = join_each((double, sum));
//! assert_eq!((double.unwrap(), sum.unwrap()), (Ok(42), 3));
//! # Ok::<(), millhand::pool::BuildError>(())
//! ```
//!
//! # Scopes and collections
//!
//! Tasks of a [`scope`](Pool::scope) may borrow local variables: the scope returns after all
//! of its tasks have ended. [`scope_with`](Pool::scope_with) adds
//! [fail-fast](ScopeOptions::fail_fast), [all failures](ScopeOptions::collect_all) and a time
//! limit, and returns the errors of the bodies. [`map`](Pool::map) and [`for_each`](Pool::for_each)
//! run a closure over a collection, and [`map_iter`](Pool::map_iter) does so lazily.
//!
//! ```
//! # let pool = millhand::ThreadPool::new(2)?;
//! let words = vec![String::from("mill"), String::from("hand")];
//! let total = pool.scope(|s| {
//!     let lengths: Vec<_> = words.iter().map(|word| s.submit(|| word.len())).collect();
//!     lengths.into_iter().map(|length| length.join().unwrap()).sum::<usize>()
//! });
//! assert_eq!((total, pool.map(&words, |word| word.len())), (8, vec![4, 4]));
//! # Ok::<(), millhand::pool::BuildError>(())
//! ```
//!
//! # Inside a task
//!
//! [`current`] returns the running task. [`check`], [`is_cancelled`], [`checkpoint`] and [`sleep`]
//! notice its cancellation; outside a task they have no effect but the sleep. A task may submit
//! and join tasks on a pool with any number of workers: a body that waits releases its run slot,
//! so that another thread can run tasks meanwhile. [`join`](TaskHandle::join) may run a task that
//! is still queued on the waiting thread. [`blocking`] releases the run slot for a wait that the
//! library does not know of.
//!
//! ```
//! # let pool = millhand::ThreadPool::new(1)?;
//! fn depth(n: u32) -> u32 {
//!     let pool = millhand::current().unwrap().pool();
//!     if n == 0 { 0 } else { 1 + pool.submit(move || depth(n - 1)).join().unwrap() }
//! }
//! assert_eq!(pool.submit(|| depth(100)).join().unwrap(), 100); // one worker is enough
//! # Ok::<(), millhand::pool::BuildError>(())
//! ```
//!
//! # Pipelines
//!
//! [`Pool::pipeline`] sends items through stages with bounded buffers between them. Each
//! stage is a closure and the number of threads that may run it at once. A source without an end
//! is read only as fast as the results are taken. Results come in order or as they are ready. A
//! pipeline stops at the first failure or collects them all. It runs with a sink, or an iterator
//! pulls its results.
//!
//! ```
//! use std::fs;
//!
//! # let pool = millhand::ThreadPool::new(2)?;
//! pool.pipeline(["Cargo.toml", "README.md"])
//!     .stage_ok(4, |path| fs::read_to_string(path)) // 4 at once
//!     .stage(2, |text| text.lines().count())
//!     .run(|lines| println!("{lines} lines"))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Values per task and per worker
//!
//! A task inherits every [`ContextVar`] from the code that submitted it. [`Context`](task::Context)
//! carries the variables to a thread that belongs to no pool, and [`guide::bridges`] has more of
//! such passages: async code, windows, callbacks. The hook
//! [`around_task`](pool::PoolBuilder::around_task) of a pool runs around every attempt. A
//! [`WorkerLocal`] has one value per worker, which is created and dropped on that worker.
//!
//! ```
//! use millhand::{ContextVar, ThreadPool};
//! use std::cell::RefCell;
//!
//! static USER: ContextVar<&str> = ContextVar::new("guest");
//!
//! let pool = ThreadPool::new(2)?;
//! let journal = pool.worker_local(|| RefCell::new(Vec::new())); // in practice, a connection
//! let note = move || journal.with(|lines| {
//!     lines.borrow_mut().push(USER.get());
//!     USER.get()
//! });
//! let handle = USER.with("ann", || pool.submit(note));
//! assert_eq!(handle.join().unwrap(), "ann");
//! # Ok::<(), millhand::pool::BuildError>(())
//! ```
//!
//! # Cancelling
//!
//! A cancel settles a queued task at once. It asks a running task to stop, and what the body
//! returns after that is still its outcome. A body that waits in the library sees the request, too:
//! a join returns [`TaskError::Interrupted`], and other waits end with [`Stopped`](error::Stopped)
//! or their own error. An outcome that is there is taken all the same. The task that the body waits
//! for runs on, unless the body runs it itself: [`join`](TaskHandle::join) may do that, and passes
//! the request on. In the closure of a scope, waits also end when the scope is cancelled. A
//! [`CancelToken`] can cancel without access to the result: it can be passed on, shared by many
//! tasks, and arranged in a tree. [`guide::cancelling`] has a table of the waits, and [`recv`]
//! waits for a message of a channel.
//!
//! ```
//! use millhand::cancel::CancelReason;
//! use millhand::{CancelToken, TaskError};
//!
//! # let pool = millhand::ThreadPool::new(2)?;
//! let batch = CancelToken::new();
//! let polls = pool.task().token(&batch);
//! let handle = polls.submit(|| loop {
//!     millhand::checkpoint(); // leaves the body here once it is cancelled
//!     std::hint::spin_loop();
//! });
//! batch.cancel();
//! assert!(matches!(handle.join(), Err::<(), _>(TaskError::Cancelled(CancelReason::User))));
//! # Ok::<(), millhand::pool::BuildError>(())
//! ```
//!
//! # Failures that no code reads
//!
//! A panic settles the handle as [`TaskError::Panicked`], with message, payload, task name and
//! submit site. The worker continues. A panic, an `Err` of [`execute_ok`](Pool::execute_ok) or a
//! refusal that no handle is left to read is logged as an error and counted, and the hook
//! [`on_unread`](pool::PoolBuilder::on_unread) is called. [`guide::errors`] says what counts as a
//! failure, and where each one goes.
//!
//! # Shutdown
//!
//! [`ThreadPool::shutdown`] stops the intake, drains the pool, cancels the rest after a time,
//! gives up after another, and returns a [report](pool::ShutdownReport). [`ThreadPool::run_until`]
//! waits for the moment to do so. [`guide::shutdown`] says what becomes of each task. With the
//! default feature `signals`, `Signals` shuts any number of pools down on Ctrl-C, SIGTERM and
//! SIGHUP; [`guide::daemons`] has whole programs.
//!
//! ```
//! use millhand::Shutdown;
//! use std::time::Duration;
//!
//! # let pool = millhand::ThreadPool::new(2)?;
//! let report = pool.shutdown(Shutdown::drain().cancel_after(Duration::from_secs(30)))?;
//! println!("{report}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Jobs that outlive the process
//!
//! A task ends with its process. With the features `jobs` and `sqlite`, a job is a value that is
//! stored in a file, and any process may run it. The page `jobs` of the guide begins with an
//! example.
//!
//! # Looking into a running pool
//!
//! [`stats`](Pool::stats) counts what a pool did and does, [`tasks`](Pool::tasks) lists what each
//! worker and each task does, and an [`Observer`](observe::Observer) gets every step of every task.
//! A [watchdog](pool::PoolBuilder::slow_task) logs tasks that run for too long. Features pass all
//! of it on: `histograms`, `tracing`, `metrics`, and `dashboard`, a page for the browser. The guide
//! [`observability`](guide::observability) begins with what a program needs.
//!
//! ```
//! # let pool = millhand::ThreadPool::new(2)?;
//! pool.task().name("resize").submit(|| ()).join().unwrap();
//! println!("{}", pool.stats());
//! println!("{}", pool.tasks());
//! assert_eq!(pool.stats().succeeded, 1);
//! # Ok::<(), millhand::pool::BuildError>(())
//! ```
//!
//! # Logging
//!
//! The library logs through the [`log`] crate, with the target `millhand`. Any logger shows it; the
//! examples use env_logger.
//!
//! | level | what |
//! | --- | --- |
//! | error | failures that no handle is left to read; hooks, observers and drops that panic; a schedule that ends for a panic; a thread that the library needs and the system refuses |
//! | warn | what a bound or the system refuses, as a spare thread; signals; a shutdown with tasks left; slow tasks, stalled queues and slow hooks |
//! | info | the report of a clean shutdown, where the program does not get it |
//! | debug | attempts that follow a failure; the error of a body that was asked to stop |
//!
//! A record about a task has the key-values `task_id`, `task_site` and, if it has a name,
//! `task_name`; one about a pool has `pool`, its name. No text is made for a level that is off.
//
// For maintainers: `src/README.md` has the path of a task, its states and the map of the folders.
// These are the layers, top to bottom. A folder imports only from those above it
// (`tests/it/house/` checks that); inside a folder files name each other.
//
//   ground       sync/ random id reason invalid_task sim/ clock/ panic error process context_var
//   hand-off     cancel/ retry
//   limits       limit/
//   task         task/
//   looking in   observe/
//   pool         pool/
//   time         schedule/
//   composition  compose/
//   signals      signal
//   dashboard    dashboard/
//   jobs         jobs/, on what this file exports
//   guides       guide/

// docs.rs shows beside each item which feature it needs.
#![cfg_attr(docsrs, feature(doc_cfg))]

// In this order, so that a page of rustdoc begins with what most programs call.
pub mod pool;

pub mod task;

pub mod limit;

pub mod schedule;

pub mod cancel;
mod clock;
pub mod compose;
mod context_var;
#[cfg(feature = "dashboard")]
pub mod dashboard;
pub mod error;
pub mod guide;
mod id;
mod invalid_task;
#[cfg(feature = "jobs")]
pub mod jobs;
pub mod observe;
mod panic;
mod process;
mod random;
mod reason;
mod retry;
#[cfg(feature = "signals")]
mod signal;
#[cfg(feature = "simulation")]
mod sim;
#[cfg(not(feature = "simulation"))]
#[path = "sim/disabled.rs"]
mod sim;
mod sync;

/// Clocks that a test advances, and simulations.
///
/// `Simulation` needs the feature `simulation`, which is a default one.
pub mod testing {
    pub use crate::clock::{Clock, ManualClock};
    #[cfg(feature = "simulation")]
    pub use crate::pool::Simulation;
    #[cfg(feature = "simulation")]
    pub use crate::sim::TraceEntry;
}

#[cfg(feature = "child")]
#[doc(inline)]
pub use cancel::child;

// What most programs name. The rest is in the modules.
#[doc(inline)]
pub use cancel::{CancelToken, blocking, recv};
#[doc(inline)]
pub use compose::{Scope, ScopeOptions, as_completed, join_all, join_all_ok, race};
#[doc(inline)]
pub use compose::{wait_any, when_all};
pub use context_var::ContextVar;
#[doc(inline)]
pub use error::{JoinError, TaskError};
#[doc(inline)]
pub use limit::{RateLimiter, Semaphore};
#[doc(inline)]
pub use pool::{OnFull, Pool, PoolHandle, Shutdown, TaskBuilder, ThreadPool};
#[doc(inline)]
pub use pool::{WorkerLocal, attempt, current};
pub use retry::Retry;
#[cfg(feature = "cron")]
#[doc(inline)]
pub use schedule::Cron;
#[doc(inline)]
pub use schedule::Every;
#[cfg(feature = "signals")]
pub use signal::Signals;
#[doc(inline)]
pub use task::{SharedHandle, TaskHandle, check, checkpoint, is_cancelled, promise, sleep};

/// Compiles and runs the examples of the README.
#[cfg(all(doctest, feature = "simulation"))]
#[doc = include_str!("../README.md")]
struct Readme;
