//! Shutdown: end a pool so that no work is lost unnoticed, within a time that you set.
//!
//! | you want | write |
//! | --- | --- |
//! | at the end of a block: all work done | let the pool drop; [`on_drop`](crate::pool::PoolBuilder::on_drop) sets another way |
//! | the same, with time limits and a report | [`shutdown`](crate::ThreadPool::shutdown) |
//! | to wait for a signal, a window or a token, and then shut down | [`run_until`](crate::ThreadPool::run_until); see [`daemons`](super::daemons) |
//! | to shut down on a signal while this thread works | `shutdown_on`, with the feature `signals` |
//! | a loop of your own that feeds the pool, and ends with it | [`attach`](crate::ThreadPool::attach) |
//! | no more tasks from outside, without a wait | [`close`](crate::ThreadPool::close) |
//! | the pool to be idle, and to go on with it | [`wait_idle`](crate::ThreadPool::wait_idle) |
//!
//! # Phases
//!
//! ```text
//!   shutdown(..)                       cancel_after          give_up_after
//!       |                                    |                     |
//!       |  drain: everything runs            |  cancel: what is    |  give up: what still
//!       |  to its end                        |  left is asked      |  runs is left behind,
//!       |                                    |  to stop            |  and named
//!       +------------------------------------+---------------------+-------> report
//! ```
//!
//! Intake ends at the call. Both times count from the call, so the second should be the longer one.
//! Without them the drain takes as long as the tasks take. The call returns as soon as nothing is
//! left, in whatever phase.
//!
//! The first phase is one of three. [`drain`](crate::Shutdown::drain) runs everything, as drawn.
//! [`finish_running`](crate::Shutdown::finish_running) leaves alone what runs, and cancels all
//! else: for a program that can be run again for the rest. [`cancel`](crate::Shutdown::cancel)
//! begins with the second phase.
//!
//! # What becomes of each task
//!
//! | the task | drain | finish what runs | cancel | give up |
//! | --- | --- | --- | --- | --- |
//! | is queued, or waits at a gate | runs | is cancelled | is cancelled | is cancelled |
//! | waits for its next attempt | runs | is cancelled | is cancelled | is cancelled |
//! | is delayed, and not due yet | is cancelled, and named in the report; with [`including_delayed`](crate::Shutdown::including_delayed) it runs when it is due | is cancelled, and named | is cancelled, and named | is cancelled, and named |
//! | runs | runs on | runs on | is asked to stop, and waited for | is asked to stop, is named in the report, and not waited for |
//! | is submitted by a body that runs | runs | is refused | is refused | is refused |
//! | continues a task of this pool | runs after it | is cancelled when the other has ended | is cancelled | is cancelled |
//! | continues a promise, or a task of another pool | runs if that settles in time; is cancelled when nothing else is left | is cancelled when nothing else is left | is cancelled | is cancelled |
//! | is a run of a schedule | as above; no further run begins | as above | as above | as above |
//! | comes from outside | is refused | is refused | is refused | is refused |
//!
//! A submitter that waits for a place in a full queue is refused, too. Each handle settles, with
//! [`CancelReason::Shutdown`](crate::cancel::CancelReason::Shutdown) where the task was cancelled.
//! The handle of a body that is left behind settles when the body returns. No closure is left
//! behind: those of cancelled tasks are dropped by the thread that shuts down.
//!
//! ```
//! # #[cfg(feature = "simulation")] {
//! use millhand::{Every, Retry, Semaphore, Shutdown, ThreadPool, attempt, promise};
//! use std::time::Duration;
//!
//! const SECOND: Duration = Duration::from_secs(1);
//!
//! let (pool, simulation) = ThreadPool::simulated(1);
//! let one = Semaphore::new(1)?;
//! let holder = pool.task().gate(&one).submit(|| millhand::sleep(5 * SECOND));
//! let gated = pool.task().gate(&one).submit(|| "ran");
//! let retried = pool.task().retry(Retry::fixed(1, 10 * SECOND));
//! let retried = retried.submit(|| if attempt() == 1 { Err("busy") } else { Ok("ran") });
//! let continued = holder.then(|_| "ran");
//! let delayed = pool.task().name("delayed").delay(2 * SECOND).submit(|| "ran");
//! let (_promise, promised) = promise::<()>();
//! let on_promise = pool.task().submit_after((promised,), |_| "ran");
//! pool.task().name("tick").every(Every::new(SECOND)).run(|| ())?;
//! simulation.run_until_idle();
//!
//! let report = pool.shutdown(Shutdown::drain())?;
//! assert_eq!(simulation.elapsed(), 10 * SECOND); // it waited for the retry
//! assert_eq!((gated.join()?, retried.join()?, continued.join()?), ("ran", Ok("ran"), "ran"));
//! assert!(delayed.join().is_err() && on_promise.join().is_err());
//! assert_eq!(report.not_due()[0].name.as_deref(), Some("delayed"));
//! assert_eq!(report.schedules()[0].name.as_deref(), Some("tick"));
//! assert_eq!(report.cancelled_by_shutdown(), 2);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A cancel reaches a body as [`cancelling`](super::cancelling) says. What the body returns still
//! counts, so a body that saves what it has done completes:
//!
//! ```
//! # #[cfg(feature = "simulation")] {
//! use millhand::{Shutdown, ThreadPool};
//! use std::time::Duration;
//!
//! let (pool, _simulation) = ThreadPool::simulated(1);
//! let hour = Duration::from_secs(3600);
//! let count = pool.submit(move || {
//!     let mut hours = 0;
//!     while millhand::sleep(hour).is_ok() {
//!         hours += 1;
//!     }
//!     hours // asked to stop
//! });
//! let report = pool.shutdown(Shutdown::drain().cancel_after(10 * hour - hour / 2))?;
//! assert_eq!((count.join()?, report.succeeded(), report.is_clean()), (9, 1, true));
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Giving up
//!
//! A body that ignores the request keeps its thread. `give_up_after` leaves it behind: the call
//! returns, the report names the task, the log lists what each thread did, and the drop of the pool
//! does not wait for it either. The body goes on, until it returns or the process ends.
//!
//! ```
//! use millhand::{Shutdown, ThreadPool};
//! use std::sync::mpsc::channel;
//! use std::time::Duration;
//!
//! let pool = ThreadPool::new(1)?;
//! let (started, has_started) = channel();
//! let (release, released) = channel::<()>();
//! let stuck = pool.task().name("stuck").submit(move || {
//!     started.send(()).unwrap();
//!     let _ = released.recv(); // knows nothing of its token
//! });
//! has_started.recv()?;
//! let behind = pool.submit(|| ());
//! let how = Shutdown::cancel().give_up_after(Duration::from_millis(10));
//! let report = pool.shutdown(how)?;
//! assert_eq!(report.still_running()[0].name.as_deref(), Some("stuck"));
//! assert!(!report.is_clean() && behind.join().is_err());
//! drop(pool); // returns at once
//! assert!(!stuck.is_finished());
//! # drop(release);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The report
//!
//! A [`ShutdownReport`](crate::pool::ShutdownReport) counts the outcomes of all tasks that the pool
//! ever had, and lists what was left undone. Its text is one line for the log.
//!
//! | question | ask |
//! | --- | --- |
//! | was work lost? | [`is_clean`](crate::pool::ShutdownReport::is_clean), for the exit code of a batch program |
//! | how much, and which? | `cancelled_by_shutdown`, `not_due`, `still_running` |
//! | which schedules ended? | `schedules`: that loses no work, so a report with some may be clean |
//! | did tasks go wrong before? | `failed`, `panicked`, `timed_out`, `expired`, `rejected` |
//!
//! # More than one shutdown
//!
//! A second call, from any thread, joins the shutdown that is under way, and may make it faster: a
//! cancel of either call is one for both, and delayed tasks are waited for only if *each* call
//! includes them. That is how the second Ctrl-C works. Both calls return at the end, with the same
//! report; `give_up_after` ends only its own call. After the end a call returns the report again.
//!
//! ```
//! # #[cfg(feature = "simulation")] {
//! use millhand::{Shutdown, ThreadPool};
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! let (pool, simulation) = ThreadPool::simulated(1);
//! let pool = Arc::new(pool);
//! let hour = Duration::from_secs(3600);
//! let long = pool.submit(move || millhand::sleep(hour).is_err());
//!
//! let elsewhere = ThreadPool::new(1)?; // its worker is another thread that shuts down
//! let patient = pool.clone();
//! let first = elsewhere.submit(move || patient.shutdown(Shutdown::drain()));
//! simulation.advance(hour / 2);
//! assert!(pool.is_closed() && !long.is_finished());
//!
//! pool.shutdown(Shutdown::cancel())?;
//! assert_eq!(simulation.elapsed(), hour / 2);
//! assert!(long.join()?); // its sleep ended early
//! assert!(first.join()?.is_ok());
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Waiting without an end
//!
//! [`wait_idle`](crate::ThreadPool::wait_idle) waits until the pool has no task any more: none that
//! is queued, runs, is delayed, or waits at a gate, for a retry or for other tasks. Schedules
//! between their runs do not count. The pool stays open, and other threads may submit meanwhile; to
//! wait for tasks of your own, join their handles or use a [scope](super::composition).
//!
//! ```
//! # #[cfg(feature = "simulation")] {
//! use millhand::{Every, ThreadPool};
//! use std::time::Duration;
//!
//! let (pool, simulation) = ThreadPool::simulated(1);
//! pool.task().every(Every::new(Duration::from_secs(60))).run(|| ())?;
//! pool.task().delay(Duration::from_secs(5)).execute(|| ());
//! pool.wait_idle()?;
//! assert_eq!(simulation.elapsed(), Duration::from_secs(5));
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # From within a task
//!
//! A task cannot wait for its own pool: `shutdown` and `wait_idle` return
//! [`PoolError::InsideTask`](crate::pool::PoolError::InsideTask), and change nothing. `close` works
//! there, as does the drop, which then closes only. To end the program from a task, cancel the
//! token for which `main` waits:
//!
//! ```
//! use millhand::pool::PoolError;
//! use millhand::{CancelToken, Shutdown, ThreadPool};
//! use std::sync::Arc;
//!
//! let quit = CancelToken::new();
//! let pool = Arc::new(ThreadPool::new(2)?);
//! let (own, end) = (pool.clone(), quit.clone());
//! let last = pool.submit(move || {
//!     let refused = own.shutdown(Shutdown::drain()).unwrap_err();
//!     end.cancel();
//!     refused
//! });
//! pool.run_until(&quit, Shutdown::drain())?;
//! assert_eq!(last.join()?, PoolError::InsideTask);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Several pools
//!
//! Shut down first what submits, and last what is submitted to. Otherwise tasks of the first pool,
//! which still drains, are refused by the second. Variables are dropped in the reverse order of
//! their declaration, so declare the last pool first.
//!
//! ```
//! # #[cfg(feature = "simulation")] {
//! use millhand::{Shutdown, ThreadPool};
//! use std::time::Duration;
//!
//! let (writers, _simulation) = ThreadPool::simulated(1); // dropped last
//! let readers = ThreadPool::new(2)?;
//! let writes = writers.handle();
//! let read = readers.submit(move || {
//!     let _ = millhand::sleep(Duration::from_secs(1));
//!     writes.submit(|| "written").join()
//! });
//! readers.shutdown(Shutdown::drain())?;
//! assert_eq!(writers.shutdown(Shutdown::drain())?.succeeded(), 1);
//! assert_eq!(read.join()??, "written");
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! With signals: call `run_until` for each pool, in this order. For the later ones the signal has
//! come already, so they drain at once, and the second signal reaches them. It would not reach a
//! `shutdown`. Pools that do not submit to each other may drain at the same time: call
//! `shutdown_on` for each of them.
//!
//! # The drop
//!
//! A pool that is dropped drains, and joins its threads. It logs the report if work was lost. Three
//! cases differ:
//!
//! - **While its thread panics** it cancels, and waits a second at most for bodies that go on.
//! - **On one of its own workers** it closes the pool; the threads end when all is done.
//! - **After a shutdown that gave up** it waits for nothing.
//!
//! A pool in a `static`, and every pool at `std::process::exit`, is never dropped: what it has is
//! lost. A [`PoolHandle`](crate::PoolHandle) keeps no pool open; after the end of its pool it
//! refuses tasks.
//!
//! # After a fork
//!
//! The child of a `fork` has a copy of the pool without its threads. There each wait returns an
//! error, such as [`PoolError::Forked`](crate::pool::PoolError::Forked), and the drop does nothing.
//! Build a new pool in the child. `std::process::Command` executes another program, and needs no
//! such care.
