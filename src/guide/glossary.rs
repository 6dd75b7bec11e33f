//! Glossary: the words of this library.
//!
//! - **Attempt**: one run of a body. A task has one, unless its template has a
//!   [retry policy](crate::TaskBuilder::retry). [`attempt`] returns its number, from 1.
//! - **Body**: the closure of a task. It runs on a worker, and ends when it returns, panics, or
//!   leaves at a [`checkpoint`].
//! - **Bounded queue**: a run queue with a [capacity](crate::pool::PoolBuilder::queue_capacity).
//!   While it is full, submitters wait, or the pool refuses their tasks ([`OnFull`]).
//! - **Burst**: how much a [token bucket](crate::RateLimiter::token_bucket) lets pass at once after
//!   a pause.
//! - **Callback**: a closure that is called once the task has settled, with a summary of it:
//!   [`on_finish`](crate::TaskHandle::on_finish). It is no task.
//! - **Cancel**: to ask a task to stop. A task that has not begun is settled at once. A body that
//!   runs sees the request, and decides. See [`cancelling`](super::cancelling).
//! - **Clock**: what a pool reads the time from: that of the system, a manual clock, or that of a
//!   simulation. See [`testing`](crate::testing).
//! - **Closed**: a pool that takes no more tasks from outside: [`close`](crate::ThreadPool::close),
//!   a shutdown, or its drop.
//! - **Context**: the values of all [`ContextVar`]s. A task inherits them from the code that
//!   submits it.
//! - **Continuation**: a task that runs when the tasks before it have settled:
//!   [`then`](crate::TaskHandle::then), [`map`](crate::TaskHandle::map), [`when_all`] and the like.
//!   No thread waits in between.
//! - **Deadline**: the time by which a task is settled, whatever it does. The option
//!   [`deadline`](crate::TaskBuilder::deadline) counts from when the task is due. A token may have
//!   a deadline, too, which asks all tasks below it to stop.
//! - **Detached**: without a handle. [`execute`](crate::Pool::execute) submits such a task, and to
//!   drop a handle detaches its task.
//! - **Drain**: a shutdown that runs what was submitted to its end:
//!   [`Shutdown::drain`](crate::Shutdown::drain). The drop of a pool is one.
//! - **Due**: a task is due when it may join the run queue: at its submission, after its
//!   [delay](crate::TaskBuilder::delay), or when the tasks that it continues have settled. A run of
//!   a schedule is due at its planned time.
//! - **Event**: one step in the life of a task, a worker or a schedule:
//!   [`Event`](crate::observe::Event). **Observer**: what gets them. See
//!   [`observability`](super::observability).
//! - **Expired**: the outcome of a task whose time was over before it began:
//!   [`TaskError::Expired`].
//! - **Failure**: a task that did not end well: its body returned an `Err` that counts, it
//!   panicked, its time was over, or the pool refused it. A cancelled task has not failed.
//!   [`errors`](super::errors) has the whole rule. [`Failure`](crate::compose::Failure) and
//!   [`Failures`](crate::compose::Failures) are the errors of groups.
//! - **Gate**: what a task must pass before it runs: a [`RateLimiter`], a [`Semaphore`], or a lane.
//!   Given by [`gate`](crate::TaskBuilder::gate). A task that waits there needs no worker.
//! - **Group**: several tasks that are waited for or cancelled together, as by [`join_all_ok`].
//! - **Handle**: what a submission returns, to wait for the task, take its outcome or cancel it:
//!   [`TaskHandle`], in a scope [`ScopedHandle`](crate::compose::ScopedHandle), for several readers
//!   [`SharedHandle`]. See also *pool handle*.
//! - **Inner task**: one that a body of the same pool submits. **Outer task**: one that comes from
//!   elsewhere. Inner tasks run before outer ones, and never wait for a place in a bounded queue.
//! - **Join**: to wait for a task and take its outcome. To *wait* leaves the outcome in the handle.
//! - **Key**: what tasks of a kind have in common, such as a host: [`Keyed`](crate::limit::Keyed)
//!   has a gate for each. Also what stands for a handle in [`as_completed`]:
//!   [`with_key`](crate::TaskHandle::with_key).
//! - **Lane**: the tasks of one key, which run one after the other, in the order of their
//!   submission: [`Lanes`](crate::limit::Lanes).
//! - **Line**: the tasks and threads that wait at a gate, first come, first served.
//! - **Manual clock**: a clock that stands still until a test moves it: [`ManualClock`].
//! - **Missed run**: a run of a schedule whose time passed unnoticed, because the machine slept,
//!   for example. The rule for it is [`Missed`](crate::schedule::Missed).
//! - **Outcome**: the value of a task, or why there is none: `Result<T, TaskError>`. It is put once
//!   and taken once. An `Err` of the body is part of the value.
//! - **Outer task**: see *inner task*.
//! - **Overlap**: a run of a schedule is due before another has ended. The rule for it is
//!   [`Overlap`](crate::schedule::Overlap).
//! - **Permit**: the right that a semaphore gives. It is held until the body has returned, or until
//!   a thread drops its [`Permit`](crate::limit::Permit).
//! - **Pipeline**: stages through which items pass, several in each stage at once:
//!   [`Pipeline`](crate::compose::Pipeline). Each item in each stage is a task.
//! - **Pool**: workers and their run queue. A [`ThreadPool`] owns one, and [`Pool`] has the methods
//!   that its owner and its handles share.
//! - **Pool handle**: what submits to a pool from elsewhere, and does not keep it open:
//!   [`PoolHandle`].
//! - **Priority**: which ready tasks run first: [`priority`](crate::TaskBuilder::priority). Higher
//!   comes first, and 0 is the default.
//! - **Promise**: what settles a handle by hand, for a result that comes from elsewhere:
//!   [`promise()`](crate::promise()), [`Pool::promise`].
//! - **Refused**, or **rejected**: not taken by the pool, because it is closed, its queue is full,
//!   or the options of the task are wrong. See [`Rejection`](crate::error::Rejection).
//! - **Released**: a task is released when its body has returned, all that it owned is dropped, and
//!   its callbacks are done. It settles before that. A scope waits until its tasks are released.
//! - **Retry**: a further attempt after a failed one. A [`Retry`] is the policy: how often, and
//!   after which delays.
//! - **Run**: one task of a schedule.
//! - **Run queue**: the tasks that may run now.
//! - **Run slot**: the right to run a body. A pool of n workers has n of them. A body releases its
//!   own while it waits in the library or in [`blocking`], and when the time of its task is over.
//! - **Sampler**: the thread that looks at a pool some times a second, while it has a watchdog or a
//!   dashboard.
//! - **Schedule**: a rule that submits a template again and again, at fixed times
//!   ([`every`](crate::TaskBuilder::every)) or by a cron expression. A
//!   [`Schedule`](crate::schedule::Schedule) controls it.
//! - **Scope**: a block that does not end before its tasks are released, so they may borrow:
//!   [`Pool::scope`], [`Pool::scope_with`].
//! - **Settle**: to put the outcome of a task, which happens once. Waits for the task end then.
//! - **Shutdown**: the end of a pool: no more tasks are taken, and those that are left run, are
//!   cancelled, or are given up. [`Shutdown`] says which, and a
//!   [report](crate::pool::ShutdownReport) counts them.
//! - **Simulation**: a test in which threads run one at a time, in an order that a seed picks, and
//!   the clock jumps when none can continue: `ThreadPool::simulated`. See
//!   [`testing`](crate::testing).
//! - **Site**: the place in the source where a task was submitted. Failures and panics have it.
//! - **Spare thread**: a thread that a pool starts beside its workers, to run tasks while bodies
//!   wait. [`max_threads`](crate::pool::PoolBuilder::max_threads) bounds them.
//! - **Stopped**: how a wait ends whose body was asked to stop: [`Stopped`](crate::error::Stopped),
//!   or [`TaskError::Interrupted`] where the wait is for a task.
//! - **Task**: one unit of work that was submitted. It has an id, and a name if it was given one.
//! - **Template**: the options of tasks, set once, for any number of submissions: [`TaskBuilder`],
//!   made by [`Pool::task`]. A *plain* template takes closures that return any value. A *fallible*
//!   one takes closures that return a `Result` whose `Err` is a failure.
//! - **Time limits**: [`expires`](crate::TaskBuilder::expires), until the first attempt begins;
//!   [`attempt_timeout`](crate::TaskBuilder::attempt_timeout), for each attempt, which is asked to
//!   stop; [`total_timeout`](crate::TaskBuilder::total_timeout), for all attempts and what lies
//!   between; [`deadline`](crate::TaskBuilder::deadline), for everything from when the task is due.
//!   A [`join_timeout`](crate::TaskHandle::join_timeout) limits a wait, and not the task.
//! - **Timed**: a task whose times are taken: one with a name, or of a template with
//!   [`timed`](crate::TaskBuilder::timed).
//! - **Timer**: the thread of a pool that holds what is not due yet, and ends time limits. It runs
//!   no body.
//! - **Token**: a [`CancelToken`], which asks all tasks below it to stop. Each task has its own.
//! - **Unread failure**: a failure that no code can read any more, since the task had no handle, or
//!   its handle was dropped. It is logged, and the hook
//!   [`on_unread`](crate::pool::PoolBuilder::on_unread) is called.
//! - **Watchdog**: what logs tasks that run for too long, and a queue that stands still:
//!   [`slow_task`](crate::pool::PoolBuilder::slow_task),
//!   [`stalled`](crate::pool::PoolBuilder::stalled).
//! - **Weight**: how much a task takes from a rate limiter: [`weight`](crate::RateLimiter::weight).
//! - **Window**: how many items a lazy map may be ahead of its consumer:
//!   [`window`](crate::compose::MapIter::window). A *sliding window* is one of the two algorithms
//!   of a [`RateLimiter`].
//! - **Worker**: one of the threads of a pool that run tasks. A [`WorkerLocal`] gives each of them
//!   a value of its own.
//!
//! A task passes through most of these:
//!
//! ```
//! use millhand::{Retry, Semaphore, ThreadPool};
//! use std::time::Duration;
//!
//! let pool = ThreadPool::new(2)?; // two workers, two run slots
//! let gate = Semaphore::new(1)?;
//! let template = pool
//!     .task()
//!     .name("greet")
//!     .delay(Duration::from_millis(1)) // when it is due
//!     .gate(&gate) // an attempt needs a permit
//!     .retry(Retry::fixed(1, Duration::ZERO)); // two attempts at most
//! let handle = template.submit(|| match millhand::attempt() {
//!     1 => Err("the first attempt fails"),
//!     _ => Ok("hello"),
//! });
//! let longer = handle.and_then(|word| Ok(format!("{word}, world"))); // a continuation
//! assert_eq!(longer.join().unwrap(), Ok("hello, world".to_owned())); // its outcome
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`CancelToken`]: crate::CancelToken
//! [`ContextVar`]: crate::ContextVar
//! [`ManualClock`]: crate::testing::ManualClock
//! [`OnFull`]: crate::OnFull
//! [`Pool`]: crate::Pool
//! [`Pool::promise`]: crate::Pool::promise
//! [`Pool::scope`]: crate::Pool::scope
//! [`Pool::scope_with`]: crate::Pool::scope_with
//! [`Pool::task`]: crate::Pool::task
//! [`PoolHandle`]: crate::PoolHandle
//! [`RateLimiter`]: crate::RateLimiter
//! [`Retry`]: crate::Retry
//! [`Semaphore`]: crate::Semaphore
//! [`SharedHandle`]: crate::SharedHandle
//! [`Shutdown`]: crate::Shutdown
//! [`TaskBuilder`]: crate::TaskBuilder
//! [`TaskError::Expired`]: crate::TaskError::Expired
//! [`TaskError::Interrupted`]: crate::TaskError::Interrupted
//! [`TaskHandle`]: crate::TaskHandle
//! [`ThreadPool`]: crate::ThreadPool
//! [`WorkerLocal`]: crate::WorkerLocal
//! [`as_completed`]: crate::as_completed
//! [`attempt`]: crate::attempt
//! [`blocking`]: crate::blocking
//! [`checkpoint`]: crate::checkpoint
//! [`join_all_ok`]: crate::join_all_ok
//! [`when_all`]: crate::when_all
