//! A thread-pool task executor for blocking applications: background work with results, retries, rate limits, priorities,
//! deadlines and a shutdown that loses nothing, on plain OS threads, with no async runtime.
//!
//! ```
//! let pool = millhand::ThreadPool::new(4)?;
//! let handle = pool.submit(|| 6 * 7);
//! assert_eq!(handle.join().unwrap(), 42);
//! # Ok::<(), millhand::BuildError>(())
//! ```
//!
//! # The pool
//!
//! A [`ThreadPool`] is n OS threads that read tasks from one channel, first in, first out. It owns them: dropping it runs
//! what it has to the end and joins them. [`ThreadPool::builder`] has the options; [`PoolRef`] is the weak reference.
//!
//! ```
//! use millhand::{OnFull, ThreadPool};
//!
//! let pool = ThreadPool::builder()
//!     .workers(2)
//!     .queue_capacity(100) // unbounded without
//!     .on_full(OnFull::Reject) // submitters wait without
//!     .build()?;
//! # Ok::<(), millhand::BuildError>(())
//! ```
//!
//! # Submitting
//!
//! `submit` gives a handle, `execute` is fire-and-forget. Each waits for a place in a full queue; `try_` never waits, and
//! [`submit_timeout`](ThreadPool::submit_timeout) waits a while. A closure that is refused is given back, but by `submit`, whose
//! handle says so instead:
//!
//! | | closed pool | full, `OnFull::Block` | full, `OnFull::Reject` |
//! | --- | --- | --- | --- |
//! | `submit` | handle settles as [`Rejected`](TaskError::Rejected) | waits | handle settles as `Rejected` |
//! | `try_submit`, `try_execute` | gives the closure back | gives it back | gives it back |
//! | `submit_timeout` | gives it back | waits so long, then gives it back | gives it back |
//! | `execute` | gives it back | waits | gives it back |
//!
//! What a worker of the pool submits itself is never held up. [`ThreadPool::task`] builds a template with options, which serves
//! many submissions:
//!
//! ```
//! # let pool = millhand::ThreadPool::new(2)?;
//! let resize = pool.task().name("resize");
//! let handles: Vec<_> = (0..10).map(|n| resize.submit(move || n)).collect();
//! # for handle in handles { handle.join().unwrap(); }
//! # Ok::<(), millhand::BuildError>(())
//! ```
//!
//! # When a task runs, and how often
//!
//! The template says it: [`priority`](TaskBuilder::priority), [`delay`](TaskBuilder::delay) and
//! [`delay_until`](TaskBuilder::delay_until), [`expires`](TaskBuilder::expires), [`attempt_timeout`](TaskBuilder::attempt_timeout),
//! [`total_timeout`](TaskBuilder::total_timeout), [`gate`](TaskBuilder::gate), [`retry`](TaskBuilder::retry). A task that waits for any of
//! these does so without a worker. What contradicts itself is refused by name: [`InvalidTask`].
//!
//! ```
//! use millhand::{Retry, TaskState};
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
//! # Ok::<(), millhand::BuildError>(())
//! ```
//!
//! # Gates
//!
//! What tasks must pass before they run: a [`RateLimiter`] (a token bucket, or a sliding window with one or several rates), a
//! [`Semaphore`], a key of [`Lanes`]; the first two serve threads by hand, too. Each serves any number of pools, and the first two come a key, too:
//! [`RateLimiter::keyed`], [`Semaphore::keyed`]. Who must wait stands in one line, first come, first served, a task without a
//! worker. Several gates are passed together or not at all.
//!
//! ```
//! use millhand::{Lanes, RateLimiter, Semaphore};
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
//! [`every`](TaskBuilder::every) makes a schedule of a template: each run is a task of it, with its name, gates, retries and
//! limits. [`Every`] is the rule: rate or delay, jitter, how often, what happens when runs
//! [overlap](Overlap), were [missed](Missed) or [panicked](OnPanic). Times are planned from planned times, and do not drift. The
//! [`Schedule`] pauses, triggers, counts and cancels; dropping it leaves it running, until the pool shuts down.
//!
//! ```
//! use millhand::{Every, Overlap, Retry, ThreadPool};
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
//! With the feature `cron`, `.cron(Cron::parse("*/15 9-17 * * MON-FRI", "Europe/Berlin")?)` stands in for `.every(..)`. It knows
//! time zones, and what becomes of times that daylight saving leaves out or repeats.
//!
//! # Time
//!
//! Everything timed goes by the pool's [`Clock`]. With a [`ManualClock`], a test turns it by hand.
//!
//! ```
//! use millhand::{ManualClock, ThreadPool};
//! use std::time::Duration;
//!
//! let clock = ManualClock::new();
//! let pool = ThreadPool::builder().workers(1).clock(&clock.clock()).build()?;
//! let handle = pool.task().delay(Duration::from_secs(3600)).submit(|| "an hour later");
//! clock.advance(Duration::from_secs(3600));
//! assert_eq!(handle.join().unwrap(), "an hour later");
//! # Ok::<(), millhand::BuildError>(())
//! ```
//!
//! In a [`Simulation`] the clock jumps by itself whenever nobody can go on, and the threads run one at a time, in an order
//! that a seed picks: the same seed gives the same run.
//!
//! ```
//! use millhand::ThreadPool;
//! use std::time::Duration;
//!
//! let (pool, simulation) = ThreadPool::simulated(1);
//! let handle = pool.submit(|| millhand::sleep(Duration::from_secs(3600)));
//! handle.join().unwrap().unwrap(); // takes no time
//! assert_eq!(simulation.elapsed(), Duration::from_secs(3600));
//! ```
//!
//! # Results
//!
//! A [`TaskHandle`] joins, waits, asks and cancels. What it gives is `Result<T, TaskError>`: what the body returned, or why there is
//! nothing. A body's own `Result` stays inside; [`join_ok`](TaskHandle::join_ok) folds the two. [`share`](TaskHandle::share) makes a
//! handle for many readers, [`promise`] one that is settled by hand, and any handle can be awaited.
//!
//! ```
//! use millhand::JoinError;
//!
//! # let pool = millhand::ThreadPool::new(2)?;
//! match pool.submit(|| std::fs::read_to_string("no such file")).join_ok() {
//!     Ok(text) => println!("{text}"),
//!     Err(JoinError::Failed(error)) => println!("the body says: {error}"),
//!     Err(JoinError::Task(error)) => println!("no outcome: {error}"), // a panic, a cancellation
//! }
//! # Ok::<(), millhand::BuildError>(())
//! ```
//!
//! # One after the other, and many at once
//!
//! A handle is continued with [`then`](TaskHandle::then) (the whole outcome), [`map`](TaskHandle::map),
//! [`and_then`](TaskHandle::and_then) and [`or_else`](TaskHandle::or_else); several with [`when_all`], [`when_any`], and, with options,
//! [`submit_after`](TaskBuilder::submit_after). Each step is a task of the pool, and no thread waits in between. Failure, panic and
//! cancellation flow down; cancelling the last step cancels what has not run above it.
//!
//! Who waits for many has [`join_all`], [`join_all_ok`] (which gives up at the first failure), [`wait_any`], [`wait_for`], [`race`],
//! [`race_ok`] and [`as_completed`], over vectors, arrays and tuples of any [handles](Handle). What went wrong with several comes as one
//! error, [`Failures`].
//!
//! ```
//! use millhand::{join_all, when_all};
//!
//! # let pool = millhand::ThreadPool::new(2)?;
//! let parse = |text: &'static str| pool.submit(move || text.parse::<u32>());
//! let double = parse("21").and_then(|n| Ok(2 * n));
//! let sum = when_all([parse("1"), parse("2")]).then(|all| all.into_iter().flatten().flatten().sum::<u32>());
//! let (double, sum) = join_all((double, sum));
//! assert_eq!((double.unwrap(), sum.unwrap()), (Ok(42), 3));
//! # Ok::<(), millhand::BuildError>(())
//! ```
//!
//! # Scopes and collections
//!
//! Tasks of a [`scope`](ThreadPool::scope) may borrow: it ends when they have. [`scope_with`](ThreadPool::scope_with) adds
//! [fail-fast](ScopeOptions::fail_fast), [all failures](ScopeOptions::collect_all) and a time limit. [`map`](ThreadPool::map) and
//! [`for_each`](ThreadPool::for_each) go through a collection, [`map_iter`](ThreadPool::map_iter) lazily; a
//! [`pipeline`](ThreadPool::pipeline) has several stages, with back-pressure from end to end.
//!
//! ```
//! # let pool = millhand::ThreadPool::new(2)?;
//! let words = vec![String::from("mill"), String::from("hand")];
//! let total = pool.scope(|s| {
//!     let lengths: Vec<_> = words.iter().map(|word| s.submit(|| word.len())).collect();
//!     lengths.into_iter().map(|length| length.join().unwrap()).sum::<usize>()
//! });
//! assert_eq!((total, pool.map(&words, |word| word.len())), (8, vec![4, 4]));
//! # Ok::<(), millhand::BuildError>(())
//! ```
//!
//! # Inside a task
//!
//! [`current`] is the task that runs here, [`check`], [`is_cancelled`], [`checkpoint`] and [`sleep`] hear of a cancellation; outside a
//! task they are harmless. Tasks may submit and join tasks, whatever the number of workers: a body that waits gives up its seat,
//! and an untimed join of a task that is still queued runs it right there. [`blocking`] does the same for waits that the library
//! cannot see.
//!
//! ```
//! # let pool = millhand::ThreadPool::new(1)?;
//! fn depth(n: u32) -> u32 {
//!     let pool = millhand::current().unwrap().pool();
//!     if n == 0 { 0 } else { 1 + pool.submit(move || depth(n - 1)).join().unwrap() }
//! }
//! assert_eq!(pool.submit(|| depth(100)).join().unwrap(), 100); // one worker is enough
//! # Ok::<(), millhand::BuildError>(())
//! ```
//!
//! # Pipelines
//!
//! [`ThreadPool::pipeline`] sends items through stages, each a closure that so many threads may run at once, with bounded
//! buffers between them: a source without an end is read only as fast as its results are taken. In order or not, up to the first
//! failure or past them all, run with a sink or pulled as an iterator.
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
//! # What goes with the work, and what stays with the worker
//!
//! A task inherits every [`ContextVar`] from where it was submitted; [`Context`] carries them to a thread of one's own. A hook of the
//! pool's, [`around_task`](PoolBuilder::around_task), runs around every attempt. A [`WorkerLocal`] is a value of each worker's own, made
//! there and dropped there.
//!
//! ```
//! use millhand::{ContextVar, ThreadPool};
//! use std::cell::RefCell;
//!
//! static USER: ContextVar<&str> = ContextVar::new("nobody");
//!
//! let pool = ThreadPool::new(2)?;
//! let journal = pool.worker_local(|| RefCell::new(Vec::new())); // stands for a connection
//! let note = move || journal.with(|lines| {
//!     lines.borrow_mut().push(USER.get());
//!     USER.get()
//! });
//! let handle = USER.with("ann", || pool.submit(note));
//! assert_eq!(handle.join().unwrap(), "ann");
//! # Ok::<(), millhand::BuildError>(())
//! ```
//!
//! # Cancelling
//!
//! A queued task is settled at once; a running one is asked, and what its body returns stands. The authority to cancel is apart from
//! the result: a [`CancelToken`] can be passed on, put over many tasks, and arranged in a tree.
//!
//! ```
//! use millhand::{CancelReason, CancelToken, TaskError};
//!
//! # let pool = millhand::ThreadPool::new(2)?;
//! let batch = CancelToken::new();
//! let polls = pool.task().token(&batch);
//! let handle = polls.submit(|| loop {
//!     millhand::checkpoint(); // leaves the body here once it is cancelled
//!     std::hint::spin_loop();
//! });
//! batch.cancel(CancelReason::User);
//! assert!(matches!(handle.join(), Err::<(), _>(TaskError::Cancelled(CancelReason::User))));
//! # Ok::<(), millhand::BuildError>(())
//! ```
//!
//! # Panics
//!
//! A panic settles its handle as [`TaskError::Panicked`], with message, payload, task name and submit site; the worker lives on. One that
//! nobody can read any more is logged, counted, and told to a [hook](PoolBuilder::on_unread_panic).
//!
//! # The end
//!
//! [`ThreadPool::shutdown`] goes through phases: stop intake, drain, cancel the rest, give up; and it [reports](ShutdownReport).
//! With the default feature `signals`, `Signals` brings Ctrl-C, SIGTERM and SIGHUP to any number of pools.
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
//! # Logging
//!
//! Through the [`log`] crate: panics that nobody can read as errors, what the system or the bounds refuse as warnings. Any logger shows
//! it; the examples use env_logger.
//
// For maintainers: the layers, top to bottom; a file imports only from those above it (`tests/it/layering.rs` guards it).
//
//   ground       sync spin wake random sim clock fork here spawn alarm counters flat id reason panic context_var error event seat
//   hand-off     cancel extras aftermath slot, and the rules beside it: policy/ gate/
//   task         task/
//   pool         pool/
//   limits       limit/
//   time         schedule/
//   composition  compose/
//   signals      signal
//   words        guide/

mod aftermath;
mod alarm;
mod cancel;
mod clock;
mod compose;
mod context_var;
mod counters;
mod error;
mod event;
mod extras;
mod flat;
mod fork;
mod gate;
pub mod guide;
mod here;
mod id;
mod limit;
mod panic;
mod policy;
mod pool;
mod random;
mod reason;
mod schedule;
mod seat;
#[cfg(feature = "signals")]
mod signal;
mod sim;
mod simulation;
mod slot;
mod spawn;
mod spin;
mod sync;
mod task;
mod wake;

pub use cancel::{CancelGuard, CancelToken};
pub use clock::{Clock, ManualClock};
pub use compose::{
    Admits, AnyError, AsCompleted, Failure, Failures, Handle, HandleSet, Handles, MapIter, OkSet,
    Only, Pipeline, PipelineIter, PipelineKind, Scope, ScopeOptions, ScopedHandle, Until, WhenAll,
    WhenAny, as_completed, join_all, join_all_ok, race, race_ok, wait_any, wait_for, when_all,
    when_any,
};
pub use context_var::{Context, ContextVar};
pub use error::{
    BuildError, Deadlock, InvalidTask, JoinError, PoolError, Rejection, Stopped, SubmitError,
    TaskError,
};
pub use event::{OutcomeKind, Summary};
pub use gate::{AcquireError, LimitError};
pub use id::{ParseTaskIdError, TaskId};
pub use limit::{
    Algorithm, Gate, Keyed, Lane, Lanes, Permit, RateLimiter, Semaphore, SlidingWindow,
    TokenBucket, Weighted,
};
pub use panic::TaskPanic;
pub use policy::{Jitter, Retry};
pub use pool::{
    EndedSchedule, Fallible, OnFull, PendingTask, Plain, PoolBuilder, PoolRef, Retrying,
    RunningTask, Shutdown, ShutdownReport, TaskBuilder, ThreadPool, WorkerLocal,
};
pub use reason::CancelReason;
pub use schedule::{
    Answer, Every, Missed, OnPanic, Overlap, Schedule, ScheduleBuilder, ScheduleCounts,
};
#[cfg(feature = "cron")]
pub use schedule::{Cron, CronError};
pub use seat::blocking;
#[cfg(feature = "signals")]
pub use signal::Signals;
pub use sim::TraceEntry;
pub use simulation::Simulation;
pub use task::{
    CancelOutcome, Current, OnFinish, Promise, SharedHandle, TaskHandle, TaskState, check,
    checkpoint, current, is_cancelled, promise, sleep,
};

/// The README's program runs, too.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
