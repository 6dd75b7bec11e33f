//! From other Rust libraries: what a program that uses them writes here.
//!
//! There is a part for each of [threadpool](#threadpool), [`std::thread::scope`](#stdthreadscope),
//! [rayon](#rayon), [tokio](#tokio), [governor](#governor), [backon](#backon) and
//! [scheduled-thread-pool](#scheduled-thread-pool). Each part ends with what is not here. The names
//! there are those of threadpool 1.8, Rust 1.85, rayon 1.12, tokio 1 with tokio-util 0.7, governor
//! 0.10, backon 1 and scheduled-thread-pool 0.2.
//!
//! Below, `pool` is a [`ThreadPool`], `d` a [`Duration`](std::time::Duration), `n` a number and `f`
//! a closure. [`performance`](super::performance) has the figures for several of these libraries,
//! and says when one of them is the better choice.
//!
//! # threadpool
//!
//! | there | here |
//! | --- | --- |
//! | `ThreadPool::new(n)` | [`ThreadPool::new(n)?`][new] |
//! | `Builder::new()`, `.thread_name(s)`, `.thread_stack_size(n)` | [`ThreadPool::builder()`][builder], [`.name_prefix(s)`](crate::pool::PoolBuilder::name_prefix), [`.stack_size(n)`](crate::pool::PoolBuilder::stack_size) |
//! | `pool.execute(f)` | [`pool.execute(f)`][execute]; for a closure that may fail, [`pool.execute_ok(f)`](crate::Pool::execute_ok) |
//! | `execute` with a channel for the result | [`pool.submit(f)`][submit], [`handle.join()`][join] |
//! | `pool.join()` | [`pool.wait_idle()?`](crate::ThreadPool::wait_idle) |
//! | `pool.clone()` | [`pool.handle()`](crate::ThreadPool::handle), which keeps no thread alive |
//! | `pool.queued_count()`, `pool.max_count()` | [`pool.queued()`](crate::ThreadPool::queued), [`pool.workers()`](crate::Pool::workers) |
//! | `pool.panic_count()` | [`report.panicked()`](crate::pool::ShutdownReport::panicked), after the shutdown; as they come, [`.on_unread(f)`][on_unread] |
//! | `pool.set_num_threads(n)` | [`pool.set_workers(n)?`](crate::ThreadPool::set_workers), on a shared reference |
//!
//! ```
//! use millhand::ThreadPool;
//!
//! let pool = ThreadPool::new(4)?;
//! for n in 0..8 {
//!     pool.execute(move || println!("{n}"));
//! }
//! pool.wait_idle()?; // `pool.join()` there
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **Not here:**
//!
//! - A pool that outlives its owner. The drop of a [`ThreadPool`] waits for all tasks; there, the
//!   threads go on by themselves.
//! - `active_count()`.
//! - A `join()` on a worker of the pool: `wait_idle` returns an error there.
//!
//! # std::thread::scope
//!
//! | there | here |
//! | --- | --- |
//! | `thread::scope(\|s\| ..)` | [`pool.scope(\|s\| ..)`][scope] |
//! | `s.spawn(f)` | [`s.submit(f)`](crate::Scope::submit); without a result, [`s.execute(f)`](crate::Scope::execute) |
//! | `thread::Builder::new().name(s).spawn_scoped(s, f)` | [`s.task()`](crate::Scope::task)`.name(s).submit(f)` |
//! | `handle.join()` | [`handle.join()`](crate::compose::ScopedHandle::join), with a [`TaskError`] in place of the payload |
//! | `resume_unwind(payload)` | [`error.into_panic()`](crate::TaskError::into_panic), [`panic.resume()`](crate::error::TaskPanic::resume) |
//! | a panic that no `join` takes, which panics with a text of std's | the same, with the payload of the first panic |
//! | `thread::spawn(f)`, for a task of limited length | [`pool.submit(f)`][submit] |
//!
//! **Not here:**
//!
//! - A thread per closure. At most as many bodies as there are workers run at once. Bodies that
//!   wait for each other by a channel or a barrier do so in [`blocking`][blocking].
//! - Fresh thread-locals: they stay from task to task. Values that are to stay belong in a
//!   [`WorkerLocal`].
//! - `handle.thread()`, `unpark`, and other names for a thread.
//!
//! # rayon
//!
//! | there | here |
//! | --- | --- |
//! | `ThreadPoolBuilder::new().num_threads(n).build()` | [`ThreadPool::new(n)`][new] |
//! | `start_handler(f)`, `exit_handler(f)`, `panic_handler(f)` | [`.on_worker_start(f)`](crate::pool::PoolBuilder::on_worker_start), [`.on_worker_stop(f)`](crate::pool::PoolBuilder::on_worker_stop), [`.on_unread(f)`][on_unread] |
//! | `items.par_iter().map(f).collect::<Vec<_>>()` | [`pool.map(&items, f)`][map] |
//! | `items.par_iter().map(f).collect::<Result<Vec<_>, _>>()` | [`pool.map_ok(&items, f)`](crate::Pool::map_ok), with the error of the first item in order |
//! | `items.par_iter_mut().for_each(f)` | [`pool.for_each(&mut items, f)`](crate::Pool::for_each) |
//! | `iterator.par_bridge().map(f)` | [`pool.map_iter(iterator, f)`](crate::Pool::map_iter), lazy, in order or [`.unordered()`](crate::compose::MapIter::unordered) |
//! | `map_init(init, f)` | [`pool.worker_local(init)`](crate::ThreadPool::worker_local) |
//! | `rayon::join(a, b)` | in a [scope]: `s.submit(a)`, then `b()` here, then a join |
//! | `rayon::scope(\|s\| s.spawn(\|s\| ..))` | [`pool.scope(\|s\| ..)`][scope], [`s.submit(f)`](crate::Scope::submit); a body that submits more captures `s` |
//! | `rayon::spawn(f)` | [`pool.execute(f)`][execute] |
//! | `pool.install(f)` | [`pool.submit(f)`][submit]`.join()`; `pool.map` and a scope need none |
//! | `pool.broadcast(f)` | [`pool.broadcast(f)`](crate::ThreadPool::broadcast), which returns handles |
//! | `current_thread_index()` | [`current()`][current]`.map(\|task\| task.worker())` |
//!
//! ```
//! use millhand::ThreadPool;
//!
//! let pool = ThreadPool::new(2)?;
//! let (mut left, mut right) = (vec![3, 1, 2], vec![6, 5, 4]);
//! // rayon::join(|| left.sort(), || right.sort());
//! pool.scope(|s| {
//!     s.execute(|| left.sort());
//!     right.sort();
//! });
//! assert_eq!((left, right), (vec![1, 2, 3], vec![4, 5, 6]));
//! # Ok::<(), millhand::pool::BuildError>(())
//! ```
//!
//! **Not here:**
//!
//! - Parallel iterators with `filter`, `fold`, `reduce`, `zip`, `find_any`, and a parallel sort.
//! - Work stealing, for recursion down to leaves of less than a microsecond.
//! - A global pool: each is a value.
//! - `yield_now`. A join may [run the task](crate::TaskHandle::join) that it waits for, and no
//!   other.
//!
//! # tokio
//!
//! | there | here |
//! | --- | --- |
//! | `#[tokio::main]`, `Runtime::new()` | an ordinary `main` with a [`ThreadPool`] |
//! | `spawn_blocking(f)`, and `spawn` of what may block | [`pool.submit(f)`][submit] |
//! | `block_in_place(f)` | [`blocking(f)`][blocking] |
//! | `handle.await` | [`handle.join()`][join]; in async code a handle of ours can be awaited |
//! | `JoinError::is_panic`, `is_cancelled`, `into_panic` | [`TaskError::is_panic`], [`is_cancelled`](crate::TaskError::is_cancelled), [`into_panic`](crate::TaskError::into_panic) |
//! | `handle.abort()` | [`handle.cancel()`](crate::TaskHandle::cancel), which also settles a closure that is queued, and asks a running one |
//! | `JoinSet`, `set.join_next().await` | [`as_completed(handles)`](crate::as_completed), of handles with [`cancel_on_drop()`](crate::TaskHandle::cancel_on_drop) |
//! | `JoinSet` that is dropped at the first failure | [`pool.scope_with(ScopeOptions::fail_fast(), \|s\| ..)`](crate::Pool::scope_with), which also waits |
//! | `set.join_all().await` | [`join_all(handles)`](crate::join_all) |
//! | `join!(a, b)`, `try_join!(a, b)` | [`join_each((a, b))`](crate::compose::join_each), [`join_each_ok((a, b))`](crate::compose::join_each_ok) |
//! | `select!` over tasks | [`race(handles)`](crate::race), the first `Ok`; [`wait_any(&handles)`](crate::wait_any), which takes nothing |
//! | `TaskTracker` | a [scope], or [`pool.wait_idle()`](crate::ThreadPool::wait_idle) |
//! | `CancellationToken::new()`, `child_token()`, `cancel()`, `is_cancelled()` | [`CancelToken`] with [`child()`](crate::CancelToken::child), `cancel()`, `is_cancelled()`; [`template.token(&token)`](crate::TaskBuilder::token) for tasks |
//! | `token.cancelled().await` | [`token.wait()`](crate::CancelToken::wait), [`token.on_cancel(f)`](crate::CancelToken::on_cancel) |
//! | `timeout(d, work)` | [`attempt_timeout(d)`](crate::TaskBuilder::attempt_timeout), which asks the body; [`total_timeout(d)`](crate::TaskBuilder::total_timeout), which settles the handle; [`deadline(d)`](crate::TaskBuilder::deadline), which also counts the queue |
//! | `timeout(d, &mut handle)` | [`handle.join_timeout(d)`](crate::TaskHandle::join_timeout) |
//! | `sleep(d)` | [`sleep(d)`](crate::sleep) |
//! | `interval(d)` | `pool.task()`[`.every(d)`](crate::TaskBuilder::every)`.run(f)` |
//! | `MissedTickBehavior::Burst`, `Skip`, `Delay` | [`Missed::CatchUp(n)`](crate::schedule::Missed::CatchUp), [`Missed::Skip`](crate::schedule::Missed::Skip), [`Every::fixed_delay`](crate::Every::fixed_delay) |
//! | `Semaphore::new(n)`, `acquire()`, `acquire_owned()` | [`Semaphore::new(n)?`](crate::Semaphore), [`acquire()`](crate::Semaphore::acquire), whose permit borrows nothing; for tasks [`.gate(&semaphore)`][gate] |
//! | `add_permits`, `forget_permits` | [`set_permits(n)`](crate::Semaphore::set_permits) |
//! | `oneshot::channel()` | [`promise()`](crate::promise()), [`pool.promise()`](crate::Pool::promise) |
//! | `sender.is_closed()` of a oneshot | [`promise.is_cancelled()`](crate::task::Promise::is_cancelled), after the handle was cancelled |
//! | `watch`, for a value that is set once | [`handle.share()`](crate::TaskHandle::share) |
//! | `mpsc::channel(n)`, `receiver.recv().await` | a bounded channel of [`crossbeam_channel`], with [`recv(&receiver)`](crate::recv) |
//! | `task_local!` | [`ContextVar`](crate::ContextVar), which tasks inherit |
//! | `Handle::current()` | [`current()`][current]`.unwrap().pool()` |
//! | `signal::ctrl_c()` | `Signals::install()` |
//! | `process::Command` with `kill_on_drop` | `child::spawn`, `child::wait`, with the feature `child` |
//! | `runtime.shutdown_timeout(d)` | [`Shutdown::cancel()`](crate::Shutdown::cancel)`.give_up_after(d)`; to finish first, [`Shutdown::drain()`](crate::Shutdown::drain) |
//! | `time::pause()`, `time::advance(d)` | [`ManualClock`](crate::testing::ManualClock); a clock that goes on by itself, `ThreadPool::simulated(seed)` |
//!
//! ```
//! use millhand::{ThreadPool, as_completed};
//!
//! let pool = ThreadPool::new(4)?;
//! // let mut set = JoinSet::new(); .. set.spawn_blocking(move || n * 10);
//! let set = (0..3).map(|n| pool.submit(move || n * 10).cancel_on_drop());
//! for (index, outcome) in as_completed(set) {
//!     assert_eq!(outcome?, index * 10); // while let Some(outcome) = set.join_next().await
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **Not here:**
//!
//! - Waits that need no thread. A body that waits keeps its thread, so a few thousand at once are
//!   many.
//! - Sockets, files and timers for async code, and an executor.
//! - The drop of a future as a cancel. A body is asked to stop, and looks itself.
//! - `watch` for values that change, `broadcast`, `Notify`, `acquire_many`, `Semaphore::close`.
//! - `select!` over channels that sees a cancel. In one of [`crossbeam_channel`], select another
//!   channel, too, to which a hook of [`on_cancel`](crate::CancelToken::on_cancel) sends.
//!
//! # governor
//!
//! | there | here |
//! | --- | --- |
//! | `RateLimiter::direct(Quota::per_second(n))` | [`RateLimiter::token_bucket(n, d)`](crate::RateLimiter::token_bucket)`.build()?`; the burst is `n` in both |
//! | `Quota::with_period(d)` | `RateLimiter::token_bucket(1, d)` |
//! | `.allow_burst(n)` | [`.burst(n)`](crate::limit::TokenBucket::burst) |
//! | `limiter.check()`, `limiter.check_n(n)` | [`limiter.try_acquire(n)`](crate::RateLimiter::try_acquire) |
//! | `NotUntil::wait_time_from(now)` | `wait` in [`AcquireError::NotYet`](crate::limit::AcquireError::NotYet) |
//! | `InsufficientCapacity` | [`AcquireError::TooHeavy`](crate::limit::AcquireError::TooHeavy) |
//! | `until_ready().await`, `until_n_ready(n).await` | [`limiter.acquire(n)`](crate::RateLimiter::acquire), first come, first served; for tasks [`.gate(&limiter)`][gate] |
//! | `RateLimiter::keyed(quota)`, `check_key(&key)` | [`RateLimiter::keyed(limit)?`](crate::RateLimiter::keyed), [`.key(key)`](crate::limit::Keyed::key)`.try_acquire(1)` |
//! | `retain_recent()` | nothing: a key that is not in use [is forgotten](crate::limit::Keyed) |
//! | `StateInformationMiddleware` | [`limiter.available()`](crate::RateLimiter::available) |
//! | `FakeRelativeClock` | [`.clock(&manual)`](crate::limit::TokenBucket::clock) with a [`ManualClock`](crate::testing::ManualClock) |
//!
//! **Not here:**
//!
//! - A limiter without a lock, in 64 bits, or without std.
//! - Jitter for waits: a line needs none.
//! - Other stores and other middleware.
//!
//! # backon
//!
//! | there | here |
//! | --- | --- |
//! | `f.retry(builder).call()` | [`retry.run(\|attempt\| ..)`](crate::Retry::run) on this thread; the option [`.retry(retry)`](crate::TaskBuilder::retry) for tasks, which keep no thread while they wait |
//! | `ExponentialBuilder::default()` | [`Retry::default()`](crate::Retry): in both 3 retries, from 1 s, doubled, at most 60 s; here with jitter |
//! | `.with_min_delay(d)`, `.with_factor(x)`, `.with_max_delay(d)`, `.with_max_times(n)` | [`Retry::exponential(n, d)`](crate::Retry::exponential), [`.factor(x)`](crate::Retry::factor), [`.max_delay(d)`](crate::Retry::max_delay) |
//! | `.with_jitter()`, which makes a delay up to twice as long | [`Jitter`](crate::task::Jitter), which only makes it shorter, and is on for exponential delays |
//! | `.with_total_delay(d)` | [`.max_elapsed(d)`](crate::Retry::max_elapsed), which also counts the attempts |
//! | `ConstantBuilder` | [`Retry::fixed(n, d)`](crate::Retry::fixed) |
//! | `FibonacciBuilder`, a `Backoff` of one's own | [`Retry::from_fn(n, \|k\| ..)`](crate::Retry::from_fn) |
//! | `.when(\|error\| ..)` | [`.retry_if(\|error\| ..)`](crate::TaskBuilder::retry_if) of a template |
//! | `.adjust(\|error, delay\| ..)` of async code | [`.retry_after(\|error\| ..)`](crate::TaskBuilder::retry_after) of a template |
//!
//! ```
//! use millhand::Retry;
//! use std::fs;
//!
//! // read.retry(ExponentialBuilder::default()).call()?
//! let text = Retry::default().run(|_attempt| fs::read_to_string("Cargo.toml"))?;
//! assert!(text.contains("[package]"));
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! **Not here:**
//!
//! - `.notify(|error, delay| ..)`. The body can log its attempt.
//! - `when` for [`run`](crate::Retry::run), which retries every `Err`: a closure that returns
//!   `Ok(Err(error))` ends it.
//! - Retries of async code, and builds without std.
//!
//! # scheduled-thread-pool
//!
//! | there | here |
//! | --- | --- |
//! | `ScheduledThreadPool::new(n)` | [`ThreadPool::new(n)?`][new] |
//! | `.thread_name_pattern(s)` | [`.name_prefix(s)`](crate::pool::PoolBuilder::name_prefix) |
//! | `pool.execute(f)` | [`pool.execute(f)`][execute] |
//! | `pool.execute_after(d, f)` | `pool.task()`[`.delay(d)`](crate::TaskBuilder::delay)`.execute(f)`; to cancel it, `.submit(f)` |
//! | `pool.execute_at_fixed_rate(first, d, f)` | `pool.task().every(`[`Every::new(d)`](crate::Every::new)[`.start_in(first)`](crate::Every::start_in)`).run(f)?` |
//! | `pool.execute_with_fixed_delay(first, d, f)` | the same, with [`.fixed_delay()`](crate::Every::fixed_delay) |
//! | `pool.execute_with_dynamic_delay(first, f)` | a body that returns the [`Duration`](crate::schedule::Answer) until its next run, or one that returns `ControlFlow::Break(())` to end |
//! | `job.cancel()` | [`schedule.cancel()`](crate::schedule::Schedule::cancel), [`handle.cancel()`](crate::TaskHandle::cancel) |
//! | a panic, which ends the repetition | [`OnPanic::Stop`](crate::schedule::OnPanic::Stop); the default is to continue |
//! | `.on_drop_behavior(..)` | [`.on_drop(how)`](crate::pool::PoolBuilder::on_drop) |
//! | `DiscardPendingScheduled` | [`Shutdown::drain()`](crate::Shutdown::drain), the default, which still runs what is due; [`Shutdown::cancel()`](crate::Shutdown::cancel), which also asks running bodies to stop |
//! | `CompletePendingScheduled`, the default there | [`Shutdown::drain().including_delayed()`](crate::Shutdown::including_delayed) |
//!
//! **Not here:**
//!
//! - Bodies that are `FnMut`: that of a schedule is an `Fn`. An atomic or a lock holds its state.
//! - `execute_at_dynamic_rate`: a duration that a body returns counts from the end of its run.
//! - One body that returns either a duration or the end. It can cancel a [token] of its template.
//! - A run that is due while the last one still runs: by default it is
//!   [left out](crate::schedule::Overlap), where there it runs late.
//!
//! [`CancelToken`]: crate::CancelToken
//! [`TaskError`]: crate::TaskError
//! [`TaskError::is_panic`]: crate::TaskError::is_panic
//! [`ThreadPool`]: crate::ThreadPool
//! [`WorkerLocal`]: crate::WorkerLocal
//! [blocking]: crate::blocking
//! [builder]: crate::ThreadPool::builder
//! [current]: crate::current
//! [execute]: crate::Pool::execute
//! [gate]: crate::TaskBuilder::gate
//! [join]: crate::TaskHandle::join
//! [map]: crate::Pool::map
//! [new]: crate::ThreadPool::new
//! [on_unread]: crate::pool::PoolBuilder::on_unread
//! [scope]: crate::Pool::scope
//! [submit]: crate::Pool::submit
//! [token]: crate::TaskBuilder::token
