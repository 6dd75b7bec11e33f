//! Limits: how many at once, how many per second, in which order, and for which key.
//!
//! A *gate* is what a task must pass before it runs. A task that waits at a gate needs no worker,
//! so a thousand of them cost memory and nothing else. Any number of templates, pools and threads
//! may share a gate: clones are the same gate.
//!
//! | gate | what a task takes | when | when that comes back |
//! | --- | --- | --- | --- |
//! | [`Semaphore`] | a permit | before each attempt | when the body of the attempt has returned |
//! | [`RateLimiter`] | a token, or its [weight](crate::RateLimiter::weight) | before each attempt, by the worker that is about to run it | never: tokens come with time |
//! | [a key](crate::limit::Keyed::key) of [`Lanes`] | the turn of that key | in the order of submission | when the task has ended, after all its attempts |
//!
//! [`choosing`](super::choosing) says which one to take. A whole client of a web service:
//!
//! ```
//! use millhand::limit::Lanes;
//! use millhand::{RateLimiter, Semaphore, ThreadPool};
//! use std::time::Duration;
//!
//! let pool = ThreadPool::new(8)?;
//! let second = Duration::from_secs(1);
//! let api = RateLimiter::sliding_window(10, second).and(300, 60 * second).build()?;
//! let connections = Semaphore::new(4)?;
//! let per_host = RateLimiter::keyed(RateLimiter::token_bucket(2, second))?;
//! let accounts = Lanes::new();
//!
//! let request = pool.task().name("request").gate(&api).gate(&connections); // one template for all
//! let change = |host: &'static str, account: u32| {
//!     let request = request.clone().gate(&per_host.key(host)).gate(&accounts.key(account));
//!     request.submit(move || format!("changed {account} at {host}"))
//! };
//! assert_eq!(change("example.org", 7).join()?, "changed 7 at example.org");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Which rate?
//!
//! A [token bucket](crate::RateLimiter::token_bucket) fills steadily, and lets what it has saved
//! pass at once. So in one interval up to the burst *and* the rate may pass. A [sliding
//! window](crate::RateLimiter::sliding_window) never lets more than its limit pass in any interval,
//! and can keep to several rates. Take the window for a server that counts, the bucket with a small
//! [`burst`](crate::limit::TokenBucket::burst) for an even flow.
//!
//! ```
//! # #[cfg(feature = "simulation")] {
//! use millhand::RateLimiter;
//! use millhand::testing::Simulation;
//! use std::time::Duration;
//!
//! /// How many of thirty pass within the first second.
//! fn in_the_first_second(limiter: &RateLimiter, simulation: &Simulation) -> usize {
//!     let begun = simulation.elapsed();
//!     let times = (0..30).map(|_| {
//!         limiter.acquire(1).unwrap();
//!         simulation.elapsed() - begun
//!     });
//!     times.filter(|at| *at < Duration::from_secs(1)).count()
//! }
//!
//! let simulation = Simulation::new(1);
//! let second = Duration::from_secs(1);
//! let bucket = RateLimiter::token_bucket(10, second).build()?; // the burst is 10, too
//! let even = RateLimiter::token_bucket(10, second).burst(1).build()?;
//! let window = RateLimiter::sliding_window(10, second).build()?;
//! assert_eq!(in_the_first_second(&bucket, &simulation), 19); // 10, and one each 100 ms
//! assert_eq!(in_the_first_second(&even, &simulation), 10);
//! assert_eq!(in_the_first_second(&window, &simulation), 10);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # In order, for each key
//!
//! Tasks of one key of [`Lanes`] run one after the other, in the order in which they were
//! submitted; tasks of different keys run side by side. A task keeps its key while it waits for a
//! retry, so no later one overtakes it. With [`Semaphore::keyed(1)`](crate::Semaphore::keyed) tasks
//! of one key do not run at once either, but between two attempts the next one may run.
//!
//! ```
//! # #[cfg(feature = "simulation")] {
//! use millhand::limit::{Gate, Lanes};
//! use millhand::{Retry, Semaphore, ThreadPool, attempt};
//! use std::sync::{Arc, Mutex};
//! use std::time::Duration;
//!
//! /// The first of two tasks fails once. In which order do they succeed?
//! fn order(pool: &ThreadPool, gate: &impl Gate) -> Vec<&'static str> {
//!     let done = Arc::new(Mutex::new(Vec::new()));
//!     let note = |name, fails| {
//!         let done = done.clone();
//!         let write = pool.task().gate(gate).retry(Retry::fixed(1, Duration::from_secs(60)));
//!         write.submit(move || match attempt() {
//!             1 if fails => Err("the disk is busy"),
//!             _ => Ok(done.lock().unwrap().push(name)),
//!         })
//!     };
//!     let writes = [note("first", true), note("second", false)];
//!     for write in writes {
//!         write.join_ok().unwrap();
//!     }
//!     let done = done.lock().unwrap().clone();
//!     done
//! }
//!
//! let (pool, _simulation) = ThreadPool::simulated(1);
//! assert_eq!(order(&pool, &Lanes::new().key("notes.txt")), ["first", "second"]);
//! assert_eq!(order(&pool, &Semaphore::keyed(1)?.key("notes.txt")), ["second", "first"]);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A map of gates forgets keys that are idle, so there may be any number of hosts, users or files;
//! see [`Keyed`](crate::limit::Keyed).
//!
//! # Several gates
//!
//! A task passes all its gates at once, or waits. While it waits it holds no permit, so others use
//! what it cannot use yet, and no order of the gates can deadlock. Nor do others pass it for ever:
//! [`gate`](crate::TaskBuilder::gate) says what may pass it at most.
//!
//! ```
//! # #[cfg(feature = "simulation")] {
//! use millhand::{RateLimiter, Semaphore, ThreadPool};
//! use std::time::Duration;
//!
//! let (pool, simulation) = ThreadPool::simulated(1);
//! let minute = Duration::from_secs(60);
//! let connection = Semaphore::new(1)?;
//! let hourly = RateLimiter::token_bucket(1, 60 * minute).build()?;
//! hourly.acquire(1)?; // the next token comes in an hour
//! let report = pool.task().gate(&connection).gate(&hourly).submit(|| ());
//! simulation.run_until_idle();
//! assert_eq!((connection.available(), connection.waiting(), hourly.waiting()), (1, 0, 1));
//! assert_eq!(pool.task().gate(&connection).submit(|| 7).join()?, 7); // need not wait for it
//! report.join()?;
//! assert_eq!(simulation.elapsed(), 60 * minute);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # By hand, on any thread
//!
//! Threads take from the same line as tasks: [`acquire`](crate::Semaphore::acquire), `try_acquire`,
//! `acquire_timeout`, and [`run`](crate::Semaphore::run), which acquires and calls. A
//! [`Permit`](crate::limit::Permit) comes back when it is dropped, also by a panic. A token of a
//! rate limiter is spent, whatever happens next. [`Lane::run`](crate::limit::Lane::run) takes a
//! turn between the tasks of a key.
//!
//! In a body, an `acquire` releases the run slot while it waits, but it keeps its thread. A task
//! that waits at a gate keeps none. So limit what the whole body does by a gate, and a small part
//! of it by hand.
//!
//! ```
//! use millhand::limit::AcquireError;
//! use millhand::{Semaphore, ThreadPool};
//! use std::time::Duration;
//!
//! let pool = ThreadPool::new(4)?;
//! let disk = Semaphore::new(1)?;
//! let resized = pool.map(0..8, |n| {
//!     let picture = vec![n; 1000]; // computed on all workers
//!     disk.run(|| picture.len()).unwrap() // written by one at a time
//! });
//! assert_eq!(resized.len(), 8);
//!
//! let permit = disk.acquire()?;
//! let refused = disk.acquire_timeout(Duration::from_millis(1)).unwrap_err();
//! assert!(matches!(refused, AcquireError::NotYet { .. }));
//! drop(permit);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # While the program runs
//!
//! [`set_permits`](crate::Semaphore::set_permits), [`set_rate`](crate::RateLimiter::set_rate) of a
//! token bucket and [`set_workers`](crate::ThreadPool::set_workers) change a limit for all that use
//! it and for what waits already. Permits that are out stay valid, so fewer permits take effect as
//! they come back. With 0 permits all wait until there are some again. The rates of a sliding
//! window are fixed.
//!
//! ```
//! let connections = millhand::Semaphore::new(2)?;
//! let held = [connections.try_acquire().unwrap(), connections.try_acquire().unwrap()];
//! connections.set_permits(1); // the server asks for less
//! let [first, second] = held;
//! drop(first);
//! assert!(connections.try_acquire().is_err()); // one is still out
//! drop(second);
//! assert!(connections.try_acquire().is_ok());
//! # Ok::<(), millhand::limit::LimitError>(())
//! ```
//!
//! # What may pass what
//!
//! Each gate has one line, first come, first served, for tasks of all pools and for threads. A task
//! has its place from its submission, or, if it is delayed, from when it is due. It keeps the place
//! for its further attempts, so a retry that is due comes before what was submitted later.
//!
//! - **A higher priority does not pass** in the line of a gate. It decides between tasks that are
//!   ready to run.
//! - **A light task does not pass a heavy one**, even if there are enough tokens for it: otherwise
//!   the heavy one would wait for ever.
//! - **`try_acquire` does not pass** what waits.
//! - **A task that is cancelled or expires leaves** the line at once.
//! - A permit that is reserved for a task waits for a free worker of its pool. If that takes more
//!   than about 20 milliseconds, tasks of other pools and threads [may pass](crate::Semaphore).
//!
//! ```
//! # #[cfg(feature = "simulation")] {
//! use millhand::{RateLimiter, Semaphore, ThreadPool, as_completed};
//! use std::time::Duration;
//!
//! let (pool, simulation) = ThreadPool::simulated(1);
//! let one = Semaphore::new(1)?;
//! let permit = one.acquire()?;
//! let task = pool.task().gate(&one);
//! let low = task.clone().priority(-1).submit(|| ()).with_key("low");
//! let high = task.priority(1).submit(|| ()).with_key("high");
//! simulation.run_until_idle(); // both are in line
//! drop(permit);
//! let order: Vec<_> = as_completed([high, low]).map(|(name, _)| name).collect();
//! assert_eq!(order, ["low", "high"]);
//!
//! let api = RateLimiter::token_bucket(10, Duration::from_secs(10)).build()?;
//! api.acquire(8)?; // 2 are left
//! let heavy = pool.task().gate(&api.weight(5)?).submit(|| ());
//! simulation.run_until_idle();
//! let light = pool.task().gate(&api).submit(|| ());
//! simulation.run_until_idle();
//! assert!(!light.is_finished() && api.try_acquire(1).is_err());
//! light.join()?;
//! assert!(heavy.is_finished());
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Not too much in the queue
//!
//! A gate bounds what runs, not what waits. A fast producer needs back-pressure:
//! [`queue_capacity`](crate::pool::PoolBuilder::queue_capacity) bounds what is submitted and has
//! not begun, and [`on_full`](crate::pool::PoolBuilder::on_full) chooses whether a submitter then
//! waits or is refused. The front page has a [table](crate#submitting) of the verbs. A task has its
//! place from its submission until it begins, also while it is delayed or waits at a gate. What a
//! body of the pool submits needs no place, so no body waits for one in its own pool. [`map_iter`]
//! and a [`Pipeline`](crate::compose::Pipeline) bound themselves, by a window.
//!
//! ```
//! # #[cfg(feature = "simulation")] {
//! use millhand::testing::Simulation;
//! use millhand::{Semaphore, ThreadPool};
//! use std::time::Duration;
//!
//! let simulation = Simulation::new(1);
//! let pool = ThreadPool::builder().workers(1).queue_capacity(2).build()?;
//! let closed = Semaphore::new(1)?;
//! let permit = closed.acquire()?;
//! let gated = pool.task().gate(&closed).submit(|| ());
//! let delayed = pool.task().delay(Duration::from_secs(60)).submit(|| ());
//! simulation.run_until_idle();
//! assert_eq!(pool.queued(), 0); // nothing is ready to run,
//! assert!(pool.try_execute(|| ()).is_err()); // and both places are taken
//! drop(permit);
//! gated.join()?;
//! assert!(pool.try_execute(|| ()).is_ok());
//! # drop(delayed);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Mistakes
//!
//! - **A permit held while waiting for a task that needs one.** If parents and children share a
//!   gate, the parents may have all permits. The library cannot see that. Give the children another
//!   gate, or gate the children alone.
//! - **A gate for each call.** `RateLimiter::token_bucket(..).build()` beside each `submit` makes a
//!   new, full bucket each time, and limits nothing. Make it once, and clone it or borrow it.
//! - **One key for all.** A template that was made with `.gate(&hosts.key("example.org"))` has that
//!   key for each of its tasks. Clone the template, and add the key for each task.
//! - **The number of workers as a limit.** It bounds the bodies that run. Those that wait in the
//!   library do not count, so more may be under way.
//! - **A lane inside itself.** [`Lane::run`](crate::limit::Lane::run) in a body whose task has that
//!   lane as its gate waits for its own end.
//! - **A sleep that keeps a rate.** Two such bodies run at twice the rate. Use a limiter.
//! - **A gate on another clock**, in a test: the pool refuses it, and the error says so.
//!
//! [`Lanes`]: crate::limit::Lanes
//! [`RateLimiter`]: crate::RateLimiter
//! [`Semaphore`]: crate::Semaphore
//! [`map_iter`]: crate::Pool::map_iter
