//! From Python: what a program that uses these libraries writes here.
//!
//! There is a part for each of [concurrent.futures](#concurrentfutures), [asyncio](#asyncio),
//! [Huey](#huey), [Trio](#trio), [anyio](#anyio), [Celery](#celery), [APScheduler](#apscheduler),
//! [pyrate_limiter](#pyrate_limiter), [tenacity](#tenacity) and [joblib](#joblib). Each part ends
//! with what is not here. The names there are those of Python 3.14, Huey 3.5, Trio 0.35, anyio 4,
//! Celery 5.7, APScheduler 3.11, pyrate_limiter 4.5, tenacity 9 and joblib 1.6.
//!
//! Four differences concern all of them:
//!
//! - A function is submitted as a closure, which owns its arguments: `pool.submit(move || f(x))`.
//! - A body fails by an `Err`, not by an exception. A panic is a mistake in the program. See
//!   [`errors`](super::errors).
//! - A cancel asks a body to stop, and does not raise anything in it. See
//!   [`cancelling`](super::cancelling).
//! - Threads run at the same time: there is no interpreter lock.
//!
//! Below, `pool` is a [`ThreadPool`], `d` a [`Duration`](std::time::Duration), `n` a number and `f`
//! a function or a closure.
//!
//! ```
//! use millhand::{ThreadPool, as_completed};
//! use std::fs;
//!
//! // with ThreadPoolExecutor(max_workers=4) as executor:
//! //     futures = {executor.submit(size, path): path for path in paths}
//! //     for future in as_completed(futures):
//! //         print(futures[future], future.result())
//! let pool = ThreadPool::new(4)?;
//! let size = |path: &'static str| pool.submit(move || fs::metadata(path).map(|meta| meta.len()));
//! let sizes = ["Cargo.toml", "README.md"].map(|path| size(path).with_key(path));
//! for (path, size) in as_completed(sizes) {
//!     println!("{path}: {}", size??); // one `?` for the task, and one for the body
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # concurrent.futures
//!
//! | there | here |
//! | --- | --- |
//! | `ThreadPoolExecutor(max_workers=n)` | [`ThreadPool::new(n)`][new]; with options, [`ThreadPool::builder()`][builder] |
//! | `thread_name_prefix=p` | [`.name_prefix(p)`][name_prefix] of the builder |
//! | `initializer=f` | [`.on_worker_start(f)`][on_worker_start]; for a value per worker, [`pool.worker_local(f)`][worker_local] |
//! | `executor.submit(f, x)` | [`pool.submit(move \|\| f(x))`][submit] |
//! | `executor.map(f, items)` | [`pool.map_iter(items, f)`][map_iter]; if items or closure borrow, [`pool.map(items, f)`][map], which returns all results at once |
//! | `executor.map(.., buffersize=n)` | [`.window(n)`][window] of `map_iter` |
//! | `executor.map(.., chunksize=n)` | `pool.map`, which chooses the chunks itself |
//! | `with ThreadPoolExecutor() as executor:` | the pool, dropped at the end of a block; [`pool.scope(\|s\| ..)`][scope] for tasks that borrow |
//! | `future.result()`, `future.result(timeout=s)` | [`handle.join()`][join], [`handle.join_timeout(d)`][join_timeout], which returns the handle if the time is over |
//! | `future.exception()` | the body's own `Err`; [`TaskError`] where there is no value, with the message of a panic |
//! | `future.done()`, `future.running()` | [`handle.is_finished()`][is_finished], [`handle.state()`][state] |
//! | `future.cancelled()` | [`TaskError::is_cancelled`], on what the join returns |
//! | `future.cancel()` | [`handle.cancel()`][cancel]; it asks a body that runs to stop, and returns [what it did](crate::task::CancelOutcome) |
//! | `future.add_done_callback(f)` | [`handle.on_finish(f)`][on_finish], which gets a summary without the value; with the value, [`handle.then(f)`][then] |
//! | `Future()`, `set_result(x)` | [`pool.promise()`][pool_promise] or [`promise()`][promise], [`promise.complete(x)`][complete] |
//! | `set_exception(e)` | `promise.complete(Err(e))` |
//! | `wait(fs)`, `wait(fs, timeout=s)` | [`wait_until(&handles, Until::All)`][wait_until], [`wait_until_timeout(&handles, Until::All, d)`][wait_until_timeout] |
//! | `wait(fs, return_when=FIRST_COMPLETED)` | [`wait_any(&handles)`][wait_any], or [`Until::FirstCompleted`][Until] |
//! | `wait(fs, return_when=FIRST_EXCEPTION)` | [`Until::FirstError`][Until]; a cancelled task ends it, too, and an `Err` only if its template is [`fallible`] |
//! | `as_completed(fs, timeout=s)` | [`as_completed(handles)`][as_completed]`.timeout(d)`, which ends without an error; `into_pending()` has the rest |
//! | `[future.result() for future in fs]` | [`join_all(handles)`][join_all]; up to the first failure, [`join_all_ok(handles)`][join_all_ok] |
//! | `executor.shutdown()` | [`pool.shutdown(Shutdown::drain())`][shutdown], which also reports |
//! | `executor.shutdown(wait=False)` | [`pool.close()`](crate::ThreadPool::close); the drop of the pool still waits |
//! | `executor.shutdown(cancel_futures=True)` | [`Shutdown::finish_running()`](crate::Shutdown::finish_running) |
//!
//! **Not here:**
//!
//! - `ProcessPoolExecutor` and `InterpreterPoolExecutor`: all tasks share one process.
//! - A traceback. A panic has its message and the place where the task was submitted.
//! - Several calls of `result()`. A join takes the outcome; [`handle.share()`][share] serves many
//!   readers.
//! - `BrokenThreadPool`: a panic in `on_worker_start` is logged, and the worker works.
//!
//! # asyncio
//!
//! | there | here |
//! | --- | --- |
//! | `asyncio.run(main())` | an ordinary `main` with a pool |
//! | `asyncio.create_task(coro)` | [`pool.submit(f)`][submit] |
//! | `asyncio.to_thread(f)`, `loop.run_in_executor(None, f)` | `pool.submit(f)`; a body may call `f` itself, in [`blocking(f)`][blocking] |
//! | `await task` | [`handle.join()`][join]; a handle is also a future, for other code that is async |
//! | `asyncio.gather(*aws, return_exceptions=True)` | [`join_all(handles)`][join_all]; of several types, [`join_each((a, b))`][join_each] |
//! | `asyncio.gather(*aws)` | [`join_all_ok(handles)`][join_all_ok], which also cancels the rest; there they run on |
//! | `asyncio.TaskGroup()` | [`pool.scope_with(ScopeOptions::fail_fast(), \|s\| ..)`][scope_with] |
//! | `ExceptionGroup`, `except* E` | [`Failures`], [`failures.pick::<E>()`][pick] |
//! | `asyncio.wait(tasks, return_when=..)` | [`wait_until(&handles, Until::..)`][wait_until] |
//! | `asyncio.as_completed(aws, timeout=s)` | [`as_completed(handles)`][as_completed]`.timeout(d)` |
//! | the first that succeeds | [`race(handles)`][race], which cancels the rest |
//! | `await`, one step after the other | inside one body, calls; as tasks, [`handle.map(f)`][handle_map], [`.and_then(f)`][and_then], [`.or_else(f)`][or_else], [`.then(f)`][then] |
//! | `asyncio.current_task()` | [`current()`][current] |
//! | `asyncio.sleep(s)` | [`sleep(d)`][sleep], which also ends when the body is asked to stop |
//! | `task.cancel()` | [`handle.cancel()`][cancel], [`token.cancel()`][token_cancel] |
//! | `CancelledError` in the task | [`check()?`][check], [`checkpoint()`][checkpoint], or the [error of the wait](super::cancelling) |
//! | `CancelledError` where it is awaited | [`TaskError::Cancelled`] |
//! | `asyncio.timeout(s)` around tasks | [`ScopeOptions::timeout(d)`][scope_timeout] |
//! | `asyncio.wait_for(coro, s)` | the option [`attempt_timeout(d)`][attempt_timeout], which asks the body, or [`total_timeout(d)`][total_timeout], which settles the handle; [`deadline(d)`][deadline] also counts the time in the queue. To stop waiting but not the task, [`handle.join_timeout(d)`][join_timeout] |
//! | `asyncio.shield(aw)`: the cancel of the outer task does not reach the inner one | the default. What a body submits is cancelled with the body only if it is in a [scope] or under its [token]; a body that joins a queued task may [run it itself][join], and passes the request on then |
//! | `asyncio.Semaphore(n)`, `asyncio.BoundedSemaphore(n)` | [`Semaphore::new(n)`][semaphore], by [`.gate(&semaphore)`][gate] or [`semaphore.acquire()`][acquire]; a permit cannot be returned twice |
//! | `asyncio.Lock()` held across an `await` | `Semaphore::new(1)`; for moments, a `Mutex` of std |
//! | `asyncio.Event()` that is set once, `loop.create_future()` | [`promise()`][promise]; for several waiters, [`handle.share()`][share] |
//! | `asyncio.Queue(maxsize=n)` | a bounded channel of [`crossbeam_channel`], with [`recv(&receiver)`][recv]; between stages, [`pool.pipeline(items)`][pipeline] |
//! | `loop.call_soon_threadsafe(f)`: one thread runs all | a pool of one worker; for an order per key and no certain thread, [`Lanes`] |
//! | `loop.call_later(s, f)`, `loop.call_at(t, f)` | `pool.task()` with [`.delay(d)`][delay] or [`.delay_until(instant)`][delay_until], then `.execute(f)` |
//! | `task.add_done_callback(f)` | [`handle.on_finish(f)`][on_finish] |
//! | `contextvars.ContextVar("x", default=x)` | [`ContextVar::new(x)`][ContextVar], `get`, `with(value, f)` |
//! | `contextvars.copy_context().run(f)` | [`Context::capture().run(f)`](crate::task::Context) |
//! | `asyncio.create_subprocess_exec(..)` | `child::spawn`, `child::wait`, with the feature `child` |
//! | `loop.add_signal_handler(..)` | `Signals::install()`, `pool.run_until(&signals, how)` |
//! | a loop with a patched clock, in tests | [`ManualClock`], `ThreadPool::simulated(seed)` |
//!
//! ```
//! use millhand::{ScopeOptions, ThreadPool};
//! use std::{fs, io};
//!
//! let pool = ThreadPool::new(4)?;
//! let paths = ["Cargo.toml".to_owned(), "no such file".to_owned()];
//! // async with asyncio.TaskGroup() as group: ..
//! let group = pool.scope_with(ScopeOptions::fail_fast(), |s| {
//!     for path in &paths {
//!         s.submit(move || fs::read(path)); // may borrow
//!     }
//! });
//! // except* OSError: ..
//! assert_eq!(group.unwrap_err().pick::<io::Error>().count(), 1);
//! # Ok::<(), millhand::pool::BuildError>(())
//! ```
//!
//! **Not here:**
//!
//! - Ten thousand waits at once. A body that waits keeps its thread, though not its run slot.
//! - The event loop: sockets, streams, `async for`, callbacks when a file is ready.
//! - A cancel at any `await`. A body sees it where it looks, or where it waits in the library.
//! - `task.uncancel()`: a request to stop is final.
//! - An `Event` that can be cleared, `Condition`, `Barrier`: std has them, for use in
//!   [`blocking`][blocking].
//! - `asyncio.timeout` around a part of a body. A scope in the body has a time limit, which also
//!   ends waits in its closure.
//!
//! # Huey
//!
//! With `MiniHuey`, or `MemoryHuey` and a consumer of threads.
//!
//! | there | here |
//! | --- | --- |
//! | `MemoryHuey()`, `huey_consumer -k thread -w n` | [`ThreadPool::new(n)`][new] |
//! | `MiniHuey()`, `huey.start()`, `huey.stop()` | `ThreadPool::new(n)`, [`pool.shutdown(how)`][shutdown] |
//! | `@huey.task(name="add")` | [`pool.task().name("add")`][task], a template for many submissions |
//! | `add(1, 2)`, `huey.enqueue(add.s(1, 2))` | [`template.submit(move \|\| add(1, 2))`][template_submit] |
//! | the same, with the result ignored | [`template.execute(f)`][template_execute]; for a body that may fail, [`.execute_ok(f)`][template_execute_ok] |
//! | `add.call_local(1, 2)` | `add(1, 2)` |
//! | `add.map([..])` | [`template.map(items, f)`][template_map], which waits; [`template.map_iter(items, f)`][template_map_iter] |
//! | `result()` | [`handle.try_join()`][try_join] |
//! | `result(blocking=True)`, `result.get(blocking=True, timeout=s)` | [`handle.join()`][join], [`handle.join_timeout(d)`][join_timeout] |
//! | `result.is_ready()` | [`handle.is_finished()`][is_finished] |
//! | `ResultGroup`, `results.get(blocking=True)` | [`join_all(handles)`][join_all] |
//! | `task.then(f)` | [`handle.map(f)`][handle_map], [`.and_then(f)`][and_then], [`.then(f)`][then] |
//! | `group([..])`, `chord([..], f)` | [`when_all(handles)`][when_all]`.then(f)`; with options, [`template.submit_after(handles, f)`][submit_after] |
//! | `task.error(f)` | [`handle.or_else(f)`][or_else], `handle.then(f)` |
//! | `retries=n, retry_delay=s` | the option [`.retry(Retry::fixed(n, d))`][retry] |
//! | `retries=n, retry_delay=s, retry_backoff=b` | `.retry(`[`Retry::exponential(n, d)`][exponential]`.factor(b))`, which also has jitter |
//! | `raise RetryTask(delay=s)` | an `Err`, and [`.retry_after(\|error\| ..)`][retry_after]; it uses up a retry, and there it does not |
//! | `raise CancelExecution(retry=False)` | an `Err` for which [`.retry_if(\|error\| ..)`][retry_if] returns false |
//! | `task.retries`, `task.id`, with `context=True` | [`attempt()`][attempt], [`current()`][current]`.unwrap().id()` |
//! | `priority=n` | [`.priority(n)`][priority] |
//! | `expires=s` | [`.expires(d)`][expires] |
//! | `timeout=s`, and a check in the task | [`.attempt_timeout(d)`][attempt_timeout], and [`check()?`][check] in the body; [`.total_timeout(d)`][total_timeout] needs no check |
//! | `add.schedule((1, 2), delay=s)`, `eta=t` | [`.delay(d)`][delay], [`.delay_until(instant)`][delay_until] |
//! | `@huey.periodic_task(crontab(minute="*/15"))` | `.cron(Cron::parse("*/15 * * * *", zone)?).run(f)`, with the feature `cron` |
//! | `crontab(day="13", day_of_week="5")`: both must match | `"0 0 13 * +FRI"`; without the `+`, one of the two, as in Unix |
//! | `crontab(..)` in UTC | the time zone that `Cron::parse` is given |
//! | `result.revoke()` | [`handle.cancel()`][cancel] |
//! | `periodic.revoke()`, `periodic.restore()` | [`schedule.pause()`][pause], [`schedule.resume()`][resume]; to end it, [`schedule.cancel()`][schedule_cancel] |
//! | `huey.lock_task("name")`, which fails if the lock is taken | [`Semaphore::keyed(1)`][semaphore_keyed], [`.gate(&locks.key("name"))`][gate], which waits; to fail, `locks.key("name").try_acquire()` in the body |
//! | `huey.rate_limit("name", n, per=s)`, a fixed window that puts the task off | [`RateLimiter::sliding_window(n, d)`][sliding_window], `.gate(&limiter)` |
//! | `@huey.post_execute()`, `@huey.context_task(..)` | [`.around_task(\|task, body\| ..)`][around_task], [`handle.on_finish(f)`][on_finish] |
//! | `@huey.on_startup()`, `@huey.on_shutdown()` | [`.on_worker_start(f)`][on_worker_start], [`.on_worker_stop(f)`][on_worker_stop], [`pool.worker_local(f)`][worker_local] |
//! | `immediate=True` | `ThreadPool::simulated(seed)`, which also runs delays, retries and schedules, in no time |
//! | SIGTERM and SIGINT of the consumer | `Signals::install()`, `pool.run_until(&signals, Shutdown::drain())` |
//!
//! ```
//! use millhand::{RateLimiter, Retry, Semaphore, ThreadPool};
//! use std::time::Duration;
//!
//! let pool = ThreadPool::new(4)?;
//! let limit = RateLimiter::sliding_window(100, Duration::from_secs(60)).build()?;
//! let locks = Semaphore::keyed(1)?;
//!
//! // @huey.task(retries=2, retry_delay=10, priority=5)
//! // @huey.rate_limit("mail", 100, per=60)
//! // @huey.lock_task("mail")
//! let mail = pool
//!     .task()
//!     .name("mail")
//!     .retry(Retry::fixed(2, Duration::from_secs(10)))
//!     .priority(5)
//!     .gate(&limit)
//!     .gate(&locks.key("mail"));
//! let sent = mail.submit(|| Ok::<_, std::io::Error>("sent")); // Huey: send_mail()
//! assert_eq!(sent.join_ok()?, "sent"); // Huey: result(blocking=True)
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **Not here:**
//!
//! - Storage, and other processes: a task ends with its process. A job, of the features `jobs` and
//!   `sqlite`, is stored, and any process may enqueue or run it. The page `jobs` has Huey's words
//!   for that.
//! - A task that is cancelled cannot be restored. There is no `revoke_until` and no `revoke_once`.
//! - A veto of `@huey.pre_execute()`. The hook [`around_task`][around_task] cannot keep a body from
//!   running: a body that it does not call runs after it. The body itself must return.
//! - `@huey.signal()` for all tasks. There is [`on_unread`][on_unread] for failures that no handle
//!   is left to read.
//! - The lists `huey.pending()` and `huey.scheduled()`. There is a count,
//!   [`pool.queued()`][queued].
//!
//! # Trio
//!
//! | there | here |
//! | --- | --- |
//! | `async with trio.open_nursery() as nursery:` | [`pool.scope_with(ScopeOptions::fail_fast(), \|s\| ..)`][scope_with] |
//! | `nursery.start_soon(f)` | [`s.submit(f)`](crate::compose::GatherScope::submit); for a body that cannot fail, [`s.submit_value(f)`](crate::compose::GatherScope::submit_value) |
//! | a nursery in which nothing fails | [`pool.scope(\|s\| ..)`][scope] |
//! | `ExceptionGroup`, `except* E` | [`Failures`], [`failures.pick::<E>()`][pick] |
//! | `nursery.cancel_scope.cancel()` | [`s.token()`](crate::Scope::token)`.cancel()` |
//! | `trio.CancelScope()` | a scope, or a [`CancelToken`] that is passed on |
//! | `trio.fail_after(s)`, `trio.move_on_after(s)` | [`ScopeOptions::timeout(d)`][scope_timeout]; the scope returns what had no time, and the program goes on or fails |
//! | `trio.to_thread.run_sync(f)` | [`pool.submit(f)`][submit] |
//! | `trio.from_thread.check_cancelled()` | [`check()?`][check] |
//! | `trio.CapacityLimiter(n)`, `trio.Semaphore(n)` | [`Semaphore::new(n)`][semaphore] |
//! | `limiter.total_tokens = n` | [`semaphore.set_permits(n)`][set_permits] |
//! | `trio.sleep(s)`, `trio.lowlevel.checkpoint()` | [`sleep(d)`][sleep], [`checkpoint()`][checkpoint] |
//! | `trio.Event()` | [`promise()`][promise], [`handle.share()`][share] |
//! | `trio.open_memory_channel(n)` | a bounded channel of [`crossbeam_channel`], with [`recv(&receiver)`][recv]; between stages, [`pool.pipeline(items)`][pipeline] |
//! | `trio.run_process(..)` | `child::spawn`, `child::wait`, with the feature `child` |
//! | `trio.open_signal_receiver(..)` | `Signals::install()` |
//! | `trio.testing.MockClock(autojump_threshold=0)` | `ThreadPool::simulated(seed)`: the clock jumps when all threads wait |
//! | `MockClock.jump(s)` | [`ManualClock::advance(d)`](crate::testing::ManualClock::advance), `Simulation::advance(d)` |
//! | `trio.testing.wait_all_tasks_blocked()` | `Simulation::run_until_idle()` |
//!
//! **Not here:**
//!
//! - `CancelScope(shield=True)`. A body that must finish something does not look at its token
//!   meanwhile, and waits for nothing in the library.
//! - `nursery.start(f)`, which waits until the task says that it is ready. A [`promise`][promise]
//!   does that.
//! - A cancel at every checkpoint: code that waits elsewhere does not see the request.
//! - `Condition`, `Lock` with an owner, and the borrowers of a `CapacityLimiter`.
//!
//! # anyio
//!
//! | there | here |
//! | --- | --- |
//! | `anyio.to_thread.run_sync(f)` | [`pool.submit(f)`][submit] |
//! | `run_sync(f, limiter=limiter)` | `pool.task()`[`.gate(&semaphore)`][gate]`.submit(f)` |
//! | `run_sync(f, abandon_on_cancel=True)` | a handle that is dropped: its task runs on |
//! | `anyio.from_thread.check_cancelled()` | [`check()?`][check] |
//! | `CapacityLimiter(n)`, the default one of 40 | [`Semaphore::new(n)`][semaphore]; the number of workers |
//! | `anyio.create_task_group()`, `tg.start_soon(f)` | [`pool.scope_with(ScopeOptions::fail_fast(), \|s\| ..)`][scope_with], `s.submit(f)` |
//! | `anyio.fail_after(s)`, `anyio.move_on_after(s)` | [`ScopeOptions::timeout(d)`][scope_timeout] |
//! | `anyio.Event()`, `anyio.Semaphore(n)`, `anyio.Lock()` | [`promise()`][promise] with [`share`]; `Semaphore::new(n)`; `Semaphore::new(1)` |
//! | `anyio.create_memory_object_stream(n)` | a bounded channel of [`crossbeam_channel`], with [`recv(&receiver)`][recv] |
//! | `anyio.run_process(..)`, `anyio.open_process(..)` | `child::spawn`, with `child::wait_with_output` or `child::wait` |
//! | `anyio.open_signal_receiver(..)` | `Signals::install()` |
//!
//! **Not here:**
//!
//! - `from_thread.run` and the blocking portal: there is no loop to call back into. Async code
//!   awaits a handle.
//! - `CancelScope(shield=True)`, `tg.start(f)`, and all about sockets and files.
//! - `to_process` and `to_interpreter`.
//!
//! # Celery
//!
//! | there | here |
//! | --- | --- |
//! | a worker with `--pool=threads --concurrency=n` | [`ThreadPool::new(n)`][new] |
//! | `@app.task(name="add")` | [`pool.task().name("add")`][task] |
//! | `add.delay(1, 2)` | [`template.submit(move \|\| add(1, 2))`][template_submit] |
//! | `ignore_result=True` | [`template.execute(f)`][template_execute], [`.execute_ok(f)`][template_execute_ok] |
//! | `apply_async(countdown=s)`, `eta=t`, `expires=s` | [`.delay(d)`][delay], [`.delay_until(instant)`][delay_until], [`.expires(d)`][expires] |
//! | `result.get(timeout=s)`, `result.ready()` | [`handle.join_timeout(d)`][join_timeout], [`handle.is_finished()`][is_finished] |
//! | `autoretry_for=(E,), max_retries=n, retry_backoff=s` | [`.retry(Retry::exponential(n, d))`][exponential]`.retry_if(..)`; its jitter is half of the delay, and its longest delay 60 s, where there it is the whole, and 600 s |
//! | `self.retry(countdown=s)` | an `Err`, and [`.retry_after(\|error\| ..)`][retry_after] |
//! | `self.request.retries` | [`attempt()`][attempt], which begins with 1 |
//! | `rate_limit="10/m"`, per worker process | [`RateLimiter::token_bucket(10, d)`][token_bucket] and [`.gate(&limiter)`][gate], for all that share it |
//! | `soft_time_limit=s` | [`.attempt_timeout(d)`][attempt_timeout] |
//! | `time_limit=s`, which kills | [`.total_timeout(d)`][total_timeout], which settles the handle, and kills nothing |
//! | `chain(a.s(), b.s())` | [`handle.and_then(f)`][and_then], [`.map(f)`][handle_map] |
//! | `group(..)`, `chord(.., f.s())` | [`join_all(handles)`][join_all], [`when_all(handles)`][when_all]`.then(f)` |
//! | `link_error=f.s()` | [`handle.or_else(f)`][or_else] |
//! | `result.revoke()` | [`handle.cancel()`][cancel] |
//! | `app.add_periodic_task(30.0, f.s())` | `pool.task()`[`.every(d)`][every]`.run(f)` |
//! | `crontab(minute="*/15")` | `.cron(Cron::parse("*/15 * * * *", zone)?).run(f)`; of two day fields one must match, and there both |
//! | the signals `task_prerun`, `task_postrun` | [`.around_task(\|task, body\| ..)`][around_task] |
//! | the signal `task_failure` | [`.on_unread(f)`][on_unread], for tasks without a handle |
//! | the signal `worker_process_init` | [`.on_worker_start(f)`][on_worker_start], [`pool.worker_local(f)`][worker_local] |
//! | `task_always_eager = True` | `ThreadPool::simulated(seed)` |
//! | a warm shutdown | [`Shutdown::drain()`](crate::Shutdown::drain), `Signals::install()` |
//!
//! **Not here:**
//!
//! - A broker, and other machines. Jobs, of the features `jobs` and `sqlite`, outlive the process,
//!   and any process of the machine may run them. The page `jobs` has Celery's words for that.
//! - Queues with names, and routes to them. A pool for each does that.
//! - `terminate=True`: a thread cannot be killed.
//! - Monitoring from outside (Flower, `inspect`), and limits that an operator changes at run time.
//!
//! # APScheduler
//!
//! | there | here |
//! | --- | --- |
//! | `BackgroundScheduler()` with a pool of n threads | [`ThreadPool::new(n)`][new] |
//! | `BlockingScheduler().start()` | `pool.run_until(&signals, how)` |
//! | `add_job(f, "interval", seconds=s)` | `pool.task()`[`.every(d)`][every]`.run(f)` |
//! | `add_job(f, "date", run_date=t)` | `pool.task()`[`.delay_until(instant)`][delay_until]`.execute(f)` |
//! | `add_job(f, "cron", hour=3)` | `pool.task().cron(Cron::parse("0 3 * * *", zone)?).run(f)` |
//! | `day=13, day_of_week=4`: both, and 0 is Monday | `"0 0 13 * +FRI"`: without the `+` one of both, and 0 is Sunday |
//! | `name=..` | [`.name(..)`](crate::TaskBuilder::name) |
//! | `next_run_time=datetime.now()` | [`Every::start_in(Duration::ZERO)`](crate::Every::start_in) |
//! | `jitter=s` | [`Every::jitter(d)`](crate::Every::jitter) |
//! | `max_instances=1`, `max_instances=n` | [`Overlap::Skip`], the default, [`Overlap::Parallel(n)`][Overlap::Parallel] |
//! | `coalesce=True`, `coalesce=False` | [`Missed::Skip`], the default, [`Missed::CatchUp(n)`][Missed::CatchUp] |
//! | `misfire_grace_time=s` | [`.expires(d)`][expires], for a run that waits for a worker or a gate |
//! | `end_date=t` | a body that returns [`ControlFlow::Break(())`](crate::schedule::Answer) |
//! | `job.pause()`, `job.resume()`, `job.remove()` | [`schedule.pause()`][pause], [`.resume()`][resume], [`.cancel()`][schedule_cancel] |
//! | `job.next_run_time` | [`schedule.next_run()`](crate::schedule::Schedule::next_run) |
//! | `job.modify(next_run_time=datetime.now())` | [`schedule.trigger_now()`](crate::schedule::Schedule::trigger_now), one run more |
//! | `add_listener(f, EVENT_JOB_ERROR)` | [`.on_unread(f)`][on_unread] |
//! | `EVENT_JOB_MISSED`, `EVENT_JOB_MAX_INSTANCES` | `misses` and `skips` of [`schedule.counts()`](crate::schedule::Schedule::counts) |
//! | `scheduler.shutdown()` | [`pool.shutdown(Shutdown::drain())`][shutdown] |
//!
//! **Not here:**
//!
//! - Job stores: schedules are made when the program starts.
//! - `AndTrigger`, `OrTrigger` and `CalendarIntervalTrigger`. A body may return the
//!   [`Duration`](crate::schedule::Answer) until its next run.
//! - `reschedule_job`: cancel the schedule, and make another.
//! - A list of all jobs: the program keeps its [`Schedule`](crate::schedule::Schedule)s.
//!
//! # pyrate_limiter
//!
//! | there | here |
//! | --- | --- |
//! | `Limiter(Rate(n, Duration.SECOND))` | [`RateLimiter::sliding_window(n, d)`][sliding_window]`.build()?` |
//! | `Limiter([Rate(..), Rate(..)])` | [`.and(n, d)`](crate::limit::SlidingWindow::and) |
//! | `limiter.try_acquire(name, weight=n)` | [`limiter.acquire(n)`][limiter_acquire]; the name is a label there: one `Limiter` of rates has one bucket for all names |
//! | `try_acquire(.., blocking=False)` | [`limiter.try_acquire(n)`](crate::RateLimiter::try_acquire), with the time to wait in its error |
//! | `try_acquire(.., timeout=s)`; `max_delay` of version 3 | [`limiter.acquire_timeout(n, d)`](crate::RateLimiter::acquire_timeout), which fails at once if the time is too short |
//! | a `BucketFactory` that picks a bucket by name | [`RateLimiter::keyed(limit)`](crate::RateLimiter::keyed), `.key(name)` |
//! | `@limiter.as_decorator(name=..)` | [`limiter.run(f)`](crate::RateLimiter::run), and for tasks [`.gate(&limiter)`][gate] |
//! | `as_decorator(name=.., weight=n)` | `.gate(&limiter.weight(n)?)` |
//!
//! **Not here:**
//!
//! - Buckets in SQLite, Redis or Postgres, or between processes: a limiter is in memory.
//! - A choice of the rates for each name: all keys of a keyed limiter begin with the same ones.
//! - The contents of a bucket. There is [`limiter.available()`](crate::RateLimiter::available).
//!
//! # tenacity
//!
//! | there | here |
//! | --- | --- |
//! | `Retrying(..)(f)`, `@retry(..)` | [`retry.run(\|attempt\| ..)`][retry_run] on this thread; the option [`.retry(retry)`][retry] for tasks, which keep no thread while they wait |
//! | `stop_after_attempt(n)` | `max_retries`, which is `n - 1` |
//! | `stop_before_delay(s)` | [`.max_elapsed(d)`](crate::Retry::max_elapsed) |
//! | `stop_when_event_set(event)` | a [token] that is cancelled |
//! | `wait_fixed(s)` | [`Retry::fixed(n, d)`](crate::Retry::fixed) |
//! | `wait_incrementing(start=s, increment=s)` | [`Retry::linear(n, d)`](crate::Retry::linear) |
//! | `wait_exponential(multiplier=s, exp_base=b, max=m)` | [`Retry::exponential(n, d)`][exponential]`.factor(b).max_delay(m).jitter(Jitter::None)` |
//! | `wait_random_exponential(..)` | `Retry::exponential(n, d)`, with [`Jitter::Full`](crate::task::Jitter::Full) |
//! | `wait_chain(..)`, a function of one's own | [`Retry::from_fn(n, \|k\| ..)`](crate::Retry::from_fn) |
//! | `wait_exception(f)` | [`.retry_after(\|error\| ..)`][retry_after] of a template |
//! | `retry_if_exception_type(E)`, `retry_if_exception(p)` | [`.retry_if(\|error\| ..)`][retry_if] of a template |
//! | `retry_if_result(p)` | a body that returns an `Err` for such a value |
//! | `retry_state.attempt_number` | the parameter of `run`; [`attempt()`][attempt] |
//! | `reraise=True` | always: the error is that of the last attempt |
//! | `retry_error_callback=f` | [`handle.or_else(f)`][or_else] |
//! | `@retry` alone: for ever, without a pause | `Retry::fixed(u32::MAX, Duration::ZERO)` |
//!
//! ```
//! use millhand::Retry;
//! use std::time::Duration;
//!
//! // @retry(stop=stop_after_attempt(4), wait=wait_fixed(0.001), reraise=True)
//! let retry = Retry::fixed(3, Duration::from_millis(1));
//! let answer = retry.run(|attempt| if attempt < 4 { Err("busy") } else { Ok("at last") });
//! assert_eq!(answer, Ok("at last"));
//! ```
//!
//! **Not here:**
//!
//! - The hooks `before`, `after` and `before_sleep`, and statistics. The body can log its attempt.
//! - `retry_if` and `retry_after` for `run`, which retries every `Err`: a closure that returns
//!   `Ok(Err(error))` ends it.
//! - Waits that are added up. A jitter here only makes a delay shorter.
//!
//! # joblib
//!
//! | there | here |
//! | --- | --- |
//! | `Parallel(n_jobs=n, prefer="threads")(delayed(f)(x) for x in items)` | [`pool.map(items, f)`][map] |
//! | `n_jobs=-1` | the default of [`ThreadPool::builder()`][builder] |
//! | `with Parallel(n_jobs=n) as parallel:` | one pool, used again and again |
//! | `return_as="generator"`, `"generator_unordered"` | [`pool.map_iter(items, f)`][map_iter], [`.unordered()`](crate::compose::MapIter::unordered) |
//! | `batch_size="auto"` | `pool.map`, which puts small items together |
//! | `pre_dispatch="2*n_jobs"` | [`.window(n)`][window]; twice the workers is the default here, too |
//! | `timeout=s` | [`template.map(items, f)`][template_map] of a template with [`.attempt_timeout(d)`][attempt_timeout] |
//! | `require="sharedmem"` | always |
//! | an exception in one item | [`pool.map_ok(items, f)`](crate::Pool::map_ok), up to the first `Err`; `template.map`, with an outcome for each item |
//!
//! **Not here:**
//!
//! - Processes (`loky`), arrays that are mapped into memory, and other backends.
//! - `Memory`, the cache on disk.
//! - Messages about progress (`verbose=10`).
//!
//! [Until]: crate::compose::Until
//! [`CancelToken`]: crate::CancelToken
//! [ContextVar]: crate::ContextVar
//! [`Failures`]: crate::compose::Failures
//! [`Lanes`]: crate::limit::Lanes
//! [`ManualClock`]: crate::testing::ManualClock
//! [`Missed::Skip`]: crate::schedule::Missed::Skip
//! [Missed::CatchUp]: crate::schedule::Missed::CatchUp
//! [`Overlap::Skip`]: crate::schedule::Overlap::Skip
//! [Overlap::Parallel]: crate::schedule::Overlap::Parallel
//! [`TaskError`]: crate::TaskError
//! [`TaskError::Cancelled`]: crate::TaskError::Cancelled
//! [`TaskError::is_cancelled`]: crate::TaskError::is_cancelled
//! [`ThreadPool`]: crate::ThreadPool
//! [`fallible`]: crate::TaskBuilder#method.fallible
//! [`share`]: crate::TaskHandle::share
//! [acquire]: crate::Semaphore::acquire
//! [and_then]: crate::TaskHandle::and_then
//! [around_task]: crate::pool::PoolBuilder::around_task
//! [as_completed]: crate::as_completed
//! [attempt]: crate::attempt
//! [attempt_timeout]: crate::TaskBuilder::attempt_timeout
//! [blocking]: crate::blocking
//! [builder]: crate::ThreadPool::builder
//! [cancel]: crate::TaskHandle::cancel
//! [check]: crate::check
//! [checkpoint]: crate::checkpoint
//! [complete]: crate::task::Promise::complete
//! [current]: crate::current
//! [deadline]: crate::TaskBuilder::deadline
//! [delay]: crate::TaskBuilder::delay
//! [delay_until]: crate::TaskBuilder::delay_until
//! [every]: crate::TaskBuilder::every
//! [expires]: crate::TaskBuilder::expires
//! [exponential]: crate::Retry::exponential
//! [gate]: crate::TaskBuilder::gate
//! [handle_map]: crate::TaskHandle::map
//! [is_finished]: crate::TaskHandle::is_finished
//! [join]: crate::TaskHandle::join
//! [join_all]: crate::join_all
//! [join_all_ok]: crate::join_all_ok
//! [join_each]: crate::compose::join_each
//! [join_timeout]: crate::TaskHandle::join_timeout
//! [limiter_acquire]: crate::RateLimiter::acquire
//! [map]: crate::Pool::map
//! [map_iter]: crate::Pool::map_iter
//! [name_prefix]: crate::pool::PoolBuilder::name_prefix
//! [new]: crate::ThreadPool::new
//! [on_finish]: crate::TaskHandle::on_finish
//! [on_unread]: crate::pool::PoolBuilder::on_unread
//! [on_worker_start]: crate::pool::PoolBuilder::on_worker_start
//! [on_worker_stop]: crate::pool::PoolBuilder::on_worker_stop
//! [or_else]: crate::TaskHandle::or_else
//! [pause]: crate::schedule::Schedule::pause
//! [pick]: crate::compose::Failures::pick
//! [pipeline]: crate::Pool::pipeline
//! [pool_promise]: crate::Pool::promise
//! [priority]: crate::TaskBuilder::priority
//! [promise]: crate::promise()
//! [queued]: crate::ThreadPool::queued
//! [race]: crate::race
//! [recv]: crate::recv
//! [resume]: crate::schedule::Schedule::resume
//! [retry]: crate::TaskBuilder::retry
//! [retry_after]: crate::TaskBuilder::retry_after
//! [retry_if]: crate::TaskBuilder::retry_if
//! [retry_run]: crate::Retry::run
//! [schedule_cancel]: crate::schedule::Schedule::cancel
//! [scope]: crate::Pool::scope
//! [scope_timeout]: crate::ScopeOptions::timeout
//! [scope_with]: crate::Pool::scope_with
//! [semaphore]: crate::Semaphore::new
//! [semaphore_keyed]: crate::Semaphore::keyed
//! [set_permits]: crate::Semaphore::set_permits
//! [share]: crate::TaskHandle::share
//! [shutdown]: crate::ThreadPool::shutdown
//! [sleep]: crate::sleep
//! [sliding_window]: crate::RateLimiter::sliding_window
//! [state]: crate::TaskHandle::state
//! [submit]: crate::Pool::submit
//! [submit_after]: crate::TaskBuilder::submit_after
//! [task]: crate::Pool::task
//! [template_execute]: crate::TaskBuilder::execute
//! [template_execute_ok]: crate::TaskBuilder::execute_ok
//! [template_map]: crate::TaskBuilder::map
//! [template_map_iter]: crate::TaskBuilder::map_iter
//! [template_submit]: crate::TaskBuilder::submit
//! [then]: crate::TaskHandle::then
//! [token]: crate::TaskBuilder::token
//! [token_bucket]: crate::RateLimiter::token_bucket
//! [token_cancel]: crate::CancelToken::cancel
//! [total_timeout]: crate::TaskBuilder::total_timeout
//! [try_join]: crate::TaskHandle::try_join
//! [wait_any]: crate::wait_any
//! [wait_until]: crate::compose::wait_until
//! [wait_until_timeout]: crate::compose::wait_until_timeout
//! [when_all]: crate::when_all
//! [window]: crate::compose::MapIter::window
//! [worker_local]: crate::ThreadPool::worker_local
