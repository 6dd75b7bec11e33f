//! Time: start a task later, limit how long it takes, try it again, and run it every hour.
//!
//! | you want | write |
//! | --- | --- |
//! | a task to start later | [`delay`](crate::TaskBuilder::delay), [`delay_until`](crate::TaskBuilder::delay_until) |
//! | a task not to start too late | [`expires`](crate::TaskBuilder::expires) |
//! | an answer in time, or none | [`deadline`](crate::TaskBuilder::deadline) |
//! | work that does not run for ever | [`total_timeout`](crate::TaskBuilder::total_timeout), [`attempt_timeout`](crate::TaskBuilder::attempt_timeout) |
//! | another attempt after a failure | [`retry`](crate::TaskBuilder::retry) with a [`Retry`] |
//! | a run every hour, or each night at three | [`every`](crate::TaskBuilder::every), and `cron` with that feature |
//! | a pause in the middle of a body | [`sleep`](crate::sleep) |
//!
//! A task that waits for its time needs no worker. [`choosing`](super::choosing) compares the time
//! limits in a table; this page has them in one picture.
//!
//! # What counts from when
//!
//! ```text
//!  submitted       due            starts        fails      due again          starts      settled
//!      |            |                |            |              |              |             |
//!      |   delay    |  queue, gates  | attempt 1  |retry's delay | queue, gates |  attempt 2  |
//!      +------------+----------------+------------+--------------+--------------+-------------+
//!                   |<-- expires --->|
//!                   |<---------------------------- deadline --------------------------------->|
//!                                    |<----------------- total_timeout ---------------------->|
//!                                    |<-attempt_->|                             |<-attempt_-->|
//!                                       timeout                                     timeout
//!                                    |<------ max_elapsed ------>|
//! ```
//!
//! A continuation is due when the tasks that it continues have settled; a run of a schedule at its
//! planned time. All times are those of the pool's clock.
//!
//! ```
//! # #[cfg(feature = "simulation")] {
//! use millhand::error::WaitedFor;
//! use millhand::{Semaphore, TaskError, ThreadPool};
//! use std::time::Duration;
//!
//! const SECOND: Duration = Duration::from_secs(1);
//!
//! let (pool, simulation) = ThreadPool::simulated(1);
//! let one = Semaphore::new(1)?;
//! let held = one.acquire()?;
//! let task = pool.task().delay(10 * SECOND).gate(&one);
//!
//! // `expires` counts from when the task is due. The wait at the gate counts.
//! let stale = task.clone().expires(5 * SECOND).submit(|| ());
//! assert!(matches!(stale.join(), Err(TaskError::Expired(WaitedFor::Gate))));
//! assert_eq!(simulation.elapsed(), 15 * SECOND);
//!
//! // `total_timeout` counts from the start: neither the delay nor the gate counts.
//! let long = task.total_timeout(5 * SECOND).submit(|| millhand::sleep(3600 * SECOND));
//! simulation.advance(100 * SECOND);
//! drop(held); // it starts after 115 seconds
//! assert!(matches!(long.join(), Err(TaskError::TimedOut)));
//! assert_eq!(simulation.elapsed(), 120 * SECOND);
//!
//! // A continuation is due when what it continues has settled.
//! let slow = pool.submit(|| millhand::sleep(100 * SECOND));
//! let next = pool.task().deadline(5 * SECOND).submit_after([slow], |_| "in time");
//! assert_eq!(next.join()?, "in time");
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What each limit does to a body that runs
//!
//! `attempt_timeout` **asks**. An `Ok` that comes late is still the outcome. A late failure is
//! [`TimedOut`](crate::TaskError::TimedOut), and retried like others. A body that does not ask, as
//! by [`check`](crate::check), and waits for nothing of the library, goes on.
//!
//! `total_timeout` and `deadline` **settle**: the outcome is `TimedOut` at that moment, whatever
//! the body does. It is asked to stop, too. If it goes on, it keeps its thread and its permits, and
//! another thread takes its run slot, if [`max_threads`](crate::pool::PoolBuilder::max_threads)
//! allows one.
//!
//! ```
//! # #[cfg(feature = "simulation")] {
//! use millhand::{Retry, TaskError, ThreadPool};
//! use std::time::Duration;
//!
//! const SECOND: Duration = Duration::from_secs(1);
//!
//! let (pool, simulation) = ThreadPool::simulated(1);
//! let limited = pool.task().attempt_timeout(SECOND);
//!
//! // Its sleep ends after a second. What it returns then counts.
//! let late = limited.submit(|| millhand::sleep(60 * SECOND).is_err());
//! assert_eq!(late.join()?, true);
//! assert_eq!(simulation.elapsed(), SECOND);
//!
//! // Three attempts of one second each, and two delays of ten.
//! let retried = limited.retry(Retry::fixed(2, 10 * SECOND));
//! let retried = retried.submit(|| millhand::sleep(60 * SECOND));
//! assert!(matches!(retried.join(), Err(TaskError::TimedOut)));
//! assert_eq!(simulation.elapsed(), 24 * SECOND);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Hand the limit on to a socket
//!
//! The library cannot end a wait for a socket. [`remaining`](crate::pool::Current::remaining)
//! returns what the task has left, so that the socket can end it by itself:
//!
//! ```
//! use millhand::ThreadPool;
//! use std::io::{self, Read};
//! use std::net::{TcpListener, TcpStream};
//! use std::time::Duration;
//!
//! /// The time that is left, and never more than a minute. Sockets refuse zero.
//! fn time_left() -> Duration {
//!     let minute = Duration::from_secs(60);
//!     let left = millhand::current().and_then(|task| task.remaining());
//!     left.unwrap_or(minute).clamp(Duration::from_millis(1), minute)
//! }
//!
//! let listener = TcpListener::bind("127.0.0.1:0")?; // accepts, and never answers
//! let address = listener.local_addr()?;
//! let pool = ThreadPool::new(1)?;
//! let ask = pool.task().attempt_timeout(Duration::from_millis(30)).submit(move || {
//!     let mut socket = TcpStream::connect_timeout(&address, time_left())?;
//!     socket.set_read_timeout(Some(time_left()))?;
//!     let mut answer = String::new();
//!     millhand::blocking(|| socket.read_to_string(&mut answer))?;
//!     Ok::<_, io::Error>(answer)
//! });
//! assert!(ask.join_flat().is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A read that gets a byte now and then begins its timeout again each time. Set it before each
//! read, or shut the socket down [when the token is cancelled](super::cancelling).
//!
//! # Retries
//!
//! [`Retry`] is plain data: how often, and after which delays; its page has the policies. Between
//! two attempts the task waits with the timer: it has no worker, no permit of a
//! [`Semaphore`](crate::Semaphore), and no place in a bounded queue. It keeps its key of
//! [`Lanes`](crate::limit::Lanes). The next attempt passes its gates again, so it takes another
//! token of a rate limiter:
//!
//! ```
//! # #[cfg(feature = "simulation")] {
//! use millhand::{RateLimiter, Retry, ThreadPool, attempt};
//! use std::time::Duration;
//!
//! const SECOND: Duration = Duration::from_secs(1);
//!
//! let (pool, simulation) = ThreadPool::simulated(1);
//! let api = RateLimiter::token_bucket(1, 60 * SECOND).build()?;
//! let call = pool.task().gate(&api).retry(Retry::fixed(2, SECOND));
//! assert_eq!(call.submit(|| Err::<(), _>("busy")).join()?, Err("busy"));
//! assert_eq!(simulation.elapsed(), 120 * SECOND); // the third token, and not the third second
//!
//! // The error is the time in seconds that the server asks for.
//! let policy = Retry::fixed(3, SECOND).max_elapsed(3600 * SECOND);
//! let polite = pool.task().retry(policy).retry_after(|after: &u64| Some(Duration::from_secs(*after)));
//! let minutes = polite.submit(|| if attempt() == 1 { Err(300) } else { Ok("done") });
//! assert_eq!(minutes.join()?, Ok("done"));
//! assert_eq!(simulation.elapsed(), 420 * SECOND);
//! let days = polite.submit(|| Err::<(), _>(86_400)); // more than an hour: it gives up at once
//! assert_eq!(days.join()?, Err(86_400));
//! assert_eq!(simulation.elapsed(), 420 * SECOND);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! - **What is retried**: an `Err`; an exceeded `attempt_timeout`, unless
//!   [`retry_timeouts`](crate::TaskBuilder::retry_timeouts) is off; a panic, but only with
//!   [`retry_panics`](crate::TaskBuilder::retry_panics). [`retry_if`](crate::TaskBuilder::retry_if)
//!   leaves errors out for which another attempt is of no use. After a cancel there is no further
//!   attempt.
//! - **How long altogether**: `max_retries` bounds the number, which does not include the first
//!   attempt. [`max_elapsed`](crate::Retry::max_elapsed) starts no attempt that would be due later,
//!   and cuts none short. `total_timeout` and `deadline` cut short.
//! - **Jitter**: exponential delays are random between a half and the whole, since what failed
//!   together would come back together. The cap of growing delays is one minute unless
//!   [`max_delay`](crate::Retry::max_delay) sets another.
//! - **A server that says when**: [`retry_after`](crate::TaskBuilder::retry_after) takes the delay
//!   from the error. It is used as it is, without cap and jitter. So set `max_elapsed`: the delay
//!   may be a day, and a drain waits for it.
//! - **All tasks together**: a rate limiter as a gate bounds the attempts of all of them, first
//!   ones and others. That is the budget which keeps a failing server from being asked more often
//!   than a working one.
//! - **Without a pool**: [`Retry::run`] sleeps on the calling thread.
//!
//! # Schedules
//!
//! A rule of [`Every`](crate::Every), or of `Cron` with the feature `cron`, submits a template
//! again and again. Each run is a task, with the retries, gates and limits of the template.
//!
//! | question | default | other answers |
//! | --- | --- | --- |
//! | does it drift? | no: each run is planned from the planned time of the one before | [`fixed_delay`](crate::Every::fixed_delay): from the end of the one before |
//! | the last run is not over yet? | the new one is [left out](crate::schedule::Overlap::Skip) | [`Queue`](crate::schedule::Overlap::Queue): starts as soon as that has ended; [`Parallel`](crate::schedule::Overlap::Parallel) |
//! | the times of several runs were missed? | [one run](crate::schedule::Missed) for all of them | [`CatchUp`](crate::schedule::Missed::CatchUp): up to so many more |
//! | a run panics? | the schedule continues | [`OnPanic::Stop`](crate::schedule::OnPanic::Stop) |
//! | when is the first run? | after one period | [`start_in`](crate::Every::start_in) |
//! | do a thousand machines run at once? | yes | [`jitter`](crate::Every::jitter): each run later by a random time, which does not add up |
//!
//! A run is over when all its attempts are: one that waits for its retry is not over.
//!
//! ```
//! # #[cfg(feature = "simulation")] {
//! use millhand::schedule::Overlap;
//! use millhand::{Every, ThreadPool};
//! use std::sync::{Arc, Mutex};
//! use std::time::Duration;
//!
//! const MINUTE: Duration = Duration::from_secs(60);
//!
//! /// The minutes in which runs start, in five hours, if each takes so long.
//! fn starts(rule: Every, takes: Duration) -> Vec<u64> {
//!     let (pool, simulation) = ThreadPool::simulated(1);
//!     let (clock, begun) = (simulation.clock(), simulation.now());
//!     let starts = Arc::new(Mutex::new(Vec::new()));
//!     let noted = starts.clone();
//!     let run = move || {
//!         noted.lock().unwrap().push((clock.now() - begun).as_secs() / 60);
//!         let _ = millhand::sleep(takes);
//!     };
//!     pool.task().every(rule).run(run).unwrap();
//!     simulation.advance(300 * MINUTE);
//!     let starts = starts.lock().unwrap().clone();
//!     starts
//! }
//!
//! let hourly = Every::new(60 * MINUTE);
//! assert_eq!(starts(hourly.clone(), 20 * MINUTE), [60, 120, 180, 240, 300]);
//! assert_eq!(starts(hourly.clone().fixed_delay(), 20 * MINUTE), [60, 140, 220, 300]);
//! assert_eq!(starts(hourly.clone(), 90 * MINUTE), [60, 180, 300]); // every second one is left out
//! assert_eq!(starts(hourly.clone().overlap(Overlap::Queue), 90 * MINUTE), [60, 150, 240]);
//! # }
//! ```
//!
//! `Every` counts by a monotonic clock: setting the time of day changes nothing, and on most
//! systems the time in which the machine sleeps does not count. `Cron` follows the time of day of a
//! zone, with rules for daylight saving and for a clock that is set; its page has them.
//!
//! A schedule ends with its pool. A drain runs what is due, and starts no further run.
//!
//! # `sleep`, and `std::thread::sleep`
//!
//! | | [`millhand::sleep`](crate::sleep) | `std::thread::sleep` |
//! | --- | --- | --- |
//! | the run slot | is released: another body runs. In a sleep of 2 ms or less, only one that a body has submitted | is kept: the worker does nothing |
//! | a cancel, a time limit | ends it, with an error for `?` | has no effect |
//! | the clock | that of the task's pool | real time, also in tests |
//! | outside of a task | sleeps the whole time | the same |
//!
//! So when many bodies sleep in the library, more bodies than workers are under way; a
//! [`Semaphore`](crate::Semaphore) as a gate bounds that. To begin later, use `delay` in place of a
//! sleep at the start of the body: a delayed task needs no thread.
//!
//! # The clock
//!
//! All of the above reads the clock of the pool. It is that of the system, unless a test
//! [sets](crate::pool::PoolBuilder::clock) another; see [`testing`](super::testing). A
//! [`RateLimiter`](crate::RateLimiter) has a clock, too, and a pool refuses one with another clock
//! than its own. A duration that the clock cannot hold, such as
//! [`Duration::MAX`](std::time::Duration::MAX), means for ever; a limit of zero is refused.
//!
//! [`Retry`]: crate::Retry
//! [`Retry::run`]: crate::Retry::run
