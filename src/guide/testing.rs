//! Testing: delays, retries and schedules without a wait, and races that a seed repeats.
//!
//! A test of code that runs in parallel is slow if it waits for real time, and fails now and then
//! if it sleeps and hopes. Neither is needed here:
//!
//! | the test is about | use | time | threads |
//! | --- | --- | --- | --- |
//! | what the bodies compute | any pool, and a join | passes by itself | in any order |
//! | delays, retries, limits and schedules, step by step | a [`ManualClock`] | stands still until the test advances it | in any order |
//! | the same over hours, and all orders in which things may happen | a [`Simulation`] | jumps ahead when no thread can continue | one at a time, in an order that a seed picks |
//!
//! A `Simulation` needs the feature `simulation`, which is a default one.
//!
//! # Pass the pool in
//!
//! Code that takes a [`&Pool`](crate::Pool) runs with every kind of pool: that of the program, one
//! with a manual clock, and a simulated one. Pass rate limiters in as well, or make them on the
//! clock of the pool: a pool refuses a task whose rate limiter has another clock.
//!
//! ```
//! use millhand::testing::ManualClock;
//! use millhand::{Pool, RateLimiter, TaskHandle, ThreadPool};
//! use std::time::Duration;
//!
//! /// Code of a program: looks the price up tomorrow.
//! fn ask_tomorrow(pool: &Pool, shop: &RateLimiter) -> TaskHandle<u32> {
//!     pool.task().delay(Duration::from_secs(24 * 3600)).gate(shop).submit(|| 17)
//! }
//!
//! // Its test.
//! let clock = ManualClock::new();
//! let pool = ThreadPool::builder().workers(2).clock(&clock).build()?;
//! let shop = RateLimiter::token_bucket(1, Duration::from_secs(60)).clock(&clock).build()?;
//! let prices = [ask_tomorrow(&pool, &shop), ask_tomorrow(&pool, &shop)];
//! clock.advance(Duration::from_secs(24 * 3600));
//! clock.wait_idle(); // until the pool can do nothing more at this time
//! assert_eq!(prices.iter().filter(|price| price.is_finished()).count(), 1);
//! clock.advance(Duration::from_secs(60)); // the shop answers one question a minute
//! assert_eq!(prices.map(|price| price.join().unwrap()), [17, 17]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! With a manual clock, waits with a time limit use that clock, too. So a
//! [`join_timeout`](crate::TaskHandle::join_timeout) on the thread of the test returns only if the
//! task ends or another thread advances the clock. Advance the clock, call `wait_idle`, and assert
//! [`is_finished`](crate::TaskHandle::is_finished). A [`sleep`](crate::sleep) outside of a task
//! uses the clock of the system.
//!
//! # Wait for what you mean, and do not sleep
//!
//! | to wait until | write |
//! | --- | --- |
//! | a task has ended | `join`, [`wait`](crate::TaskHandle::wait) |
//! | all tasks of a pool have ended | [`pool.wait_idle()`](crate::ThreadPool::wait_idle) |
//! | nothing happens any more before time passes | [`clock.wait_idle()`](crate::testing::ManualClock::wait_idle); in a simulation `simulation.run_until_idle()` |
//! | a body has reached a line | a channel or a [`promise`](crate::promise()), completed there |
//! | a task waits at a gate | [`waiting()`](crate::Semaphore::waiting) of the gate, the [`state`](crate::TaskHandle::state) of its handle |
//! | a body waits in the library | `blocked` of the [statistics](crate::observe::Stats), read in a loop |
//!
//! The last two change at some moment after the submission. With a manual clock one call waits for
//! that moment. Without one, read them until they are as expected:
//!
//! ```
//! use millhand::ThreadPool;
//!
//! fn until(mut is_so: impl FnMut() -> bool) {
//!     while !is_so() {
//!         std::thread::yield_now();
//!     }
//! }
//!
//! let pool = ThreadPool::new(1)?;
//! let (promise, promised) = millhand::promise::<u32>();
//! let waits = pool.submit(|| promised.join());
//! until(|| pool.stats().blocked == 1); // the body is in its join
//! assert_eq!(pool.submit(|| "the worker is free").join()?, "the worker is free");
//! promise.complete(7).unwrap();
//! assert_eq!(waits.join()?.unwrap(), 7);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Worked example: an hour of retries
//!
//! The code sends a document, and keeps trying for an hour. The test asserts at which minutes.
//! Joining on the thread of the test lets the others run, and the time passes while they wait.
//!
//! ```
//! # #[cfg(feature = "simulation")] {
//! use millhand::task::Jitter;
//! use millhand::{Pool, Retry, TaskHandle, ThreadPool};
//! use std::sync::{Arc, Mutex};
//! use std::time::Duration;
//!
//! const MINUTE: Duration = Duration::from_secs(60);
//!
//! /// Code of a program: sends a document with the given function, for an hour.
//! fn deliver<F>(pool: &Pool, send: F) -> TaskHandle<Result<(), String>>
//! where
//!     F: FnMut() -> Result<(), String> + Send + 'static,
//! {
//!     let policy = Retry::exponential(6, MINUTE).max_delay(60 * MINUTE).jitter(Jitter::None);
//!     pool.task().name("deliver").retry(policy).submit(send)
//! }
//!
//! /// A receiver that is down for so many attempts, and notes the minute of each.
//! fn minutes_of_attempts(failures: usize) -> (Vec<u64>, bool) {
//!     let (pool, simulation) = ThreadPool::simulated(1);
//!     let (clock, begun) = (simulation.clock(), simulation.now());
//!     let minutes = Arc::new(Mutex::new(Vec::new()));
//!     let noted = minutes.clone();
//!     let delivery = deliver(&pool, move || {
//!         let mut noted = noted.lock().unwrap();
//!         noted.push((clock.now() - begun).as_secs() / 60);
//!         if noted.len() > failures { Ok(()) } else { Err("it is down".to_owned()) }
//!     });
//!     let is_delivered = delivery.join_ok().is_ok();
//!     let minutes = minutes.lock().unwrap().clone();
//!     (minutes, is_delivered)
//! }
//!
//! assert_eq!(minutes_of_attempts(0), (vec![0], true));
//! assert_eq!(minutes_of_attempts(3), (vec![0, 1, 3, 7], true));
//! assert_eq!(minutes_of_attempts(9), (vec![0, 1, 3, 7, 15, 31, 63], false)); // it gives up
//! # }
//! ```
//!
//! All of that takes some milliseconds. With the default [jitter](crate::task::Jitter) the delays
//! are random, and the same for the same seed: then assert a range.
//!
//! # Worked example: a race, found by its seed
//!
//! A shop has one ticket left. The code checks that, lets the bank take the money, and takes the
//! ticket. Between the check and the taking another buyer may check. With threads in any order that
//! may happen once in a thousand runs. A simulation tries many orders, and repeats the bad ones:
//!
//! ```
//! # #[cfg(feature = "simulation")] {
//! use millhand::testing::TraceEntry;
//! use millhand::{RateLimiter, ThreadPool};
//! use std::sync::{Arc, Mutex};
//! use std::time::Duration;
//!
//! struct Shop {
//!     tickets: Mutex<i32>,
//!     bank: RateLimiter, // it takes so many payments a second
//! }
//!
//! /// Check, then act: wrong.
//! fn buy(shop: &Shop) -> bool {
//!     if *shop.tickets.lock().unwrap() == 0 {
//!         return false;
//!     }
//!     shop.bank.acquire(1).unwrap(); // pays
//!     *shop.tickets.lock().unwrap() -= 1;
//!     true
//! }
//!
//! /// Two buyers. Returns how many tickets were sold, and what happened.
//! fn run(seed: u64, buy: fn(&Shop) -> bool) -> (usize, Vec<TraceEntry>) {
//!     let (pool, simulation) = ThreadPool::simulated(seed);
//!     let bank = RateLimiter::token_bucket(100, Duration::from_secs(1)).build().unwrap();
//!     let shop = Arc::new(Shop { tickets: Mutex::new(1), bank });
//!     let buyers = ["ann", "bob"].map(|name| {
//!         let shop = shop.clone();
//!         pool.task().name(name).submit(move || buy(&shop))
//!     });
//!     let sold = buyers.map(|buyer| buyer.join().unwrap()).into_iter().filter(|sold| *sold);
//!     (sold.count(), simulation.trace())
//! }
//!
//! // Some orders are harmless, and some are not.
//! let bad: Vec<u64> = (0..100).filter(|seed| run(*seed, buy).0 != 1).collect();
//! assert!(!bad.is_empty() && bad.len() < 100);
//!
//! // The first bad seed again, as often as you like: the same run, with its trace.
//! let (sold, trace) = run(bad[0], buy);
//! assert_eq!((sold, &trace), (2, &run(bad[0], buy).1));
//! trace.iter().for_each(|entry| println!("{entry}"));
//! let place = |text: &str| trace.iter().position(|entry| entry.what.contains(text)).unwrap();
//! let first_end = place("Succeeded");
//! assert!(place("`ann`: attempt 1") < first_end && place("`bob`: attempt 1") < first_end);
//!
//! /// Takes the ticket where it checks.
//! fn reserve(shop: &Shop) -> bool {
//!     let mut tickets = shop.tickets.lock().unwrap();
//!     if *tickets == 0 {
//!         return false;
//!     }
//!     *tickets -= 1;
//!     drop(tickets); // no lock is held in a call that may wait
//!     shop.bank.acquire(1).unwrap();
//!     true
//! }
//! assert!((0..100).all(|seed| run(seed, reserve).0 == 1));
//! # }
//! ```
//!
//! The trace shows that bob began before ann had ended:
//!
//! ```text
//! 0.000000 millhand-3: starts
//! 0.000000 millhand-3: task 1 `ann`: attempt 1
//! 0.000000 millhand-0: starts
//! 0.000000 millhand-0: task 2 `bob`: attempt 1
//! 0.000000 millhand-3: task 1 `ann`: Succeeded
//! 0.000000 millhand-2: starts
//! 0.000000 millhand-0: task 2 `bob`: Succeeded
//! ```
//!
//! It has the attempts and outcomes, and not what a body does in between. A list behind a lock, to
//! which the bodies push, fills that in: the seed repeats it as well.
//!
//! In a test of a program, the loop over the seeds is `for seed in 0..100`, with the seed in the
//! message of each assertion. To repeat a failure, put that seed in place of the loop. Keep it as a
//! test of its own only as long as you work on the fault: another version of the program or of this
//! library has other orders for the same seed.
//!
//! # What a simulation sees
//!
//! The threads change places **only in calls of this library that may wait**: a join, a `sleep`, an
//! `acquire`, a scope, a worker that looks for its next task. From one such call to the next a body
//! runs alone, in one piece.
//!
//! - It finds races between the pieces, such as a check before a wait and an act after it. It never
//!   finds one inside a piece, such as an atomic load and a store with no call between them. For
//!   those there are `loom`, Miri and the thread sanitizer.
//! - [`sleep`](crate::sleep)`(Duration::ZERO)` is a place where the others may run. Call it in the
//!   function that the test puts in place of a database or a socket, of which the simulation sees
//!   nothing.
//! - Computing takes no simulated time. A body that asks again and again whether it is cancelled is
//!   taken to wait for that.
//!
//! What does not work in a simulation:
//!
//! | in a body | what happens | in its place |
//! | --- | --- | --- |
//! | a lock of std that is held in a call that may wait | the next thread that wants it stops all threads, for ever | release it before; a [`Semaphore`](crate::Semaphore) with one permit |
//! | a wait for a channel, also by [`recv`](crate::recv) | it stops all threads, for ever | a [`promise`](crate::promise()), a handle |
//! | `thread::sleep` | takes real time, and no simulated time | [`sleep`](crate::sleep) |
//! | `Instant::now()`, `elapsed()` | real time | `Simulation::clock`, passed in |
//! | a thread that the program starts itself | it panics if it submits to the pool or waits for a task | a task |
//! | sockets, files, child processes | they work, and all threads wait meanwhile | a function that the test replaces |
//! | the order of a `HashMap` | differs from run to run, also with the same seed | a `BTreeMap` |
//!
//! If no thread can continue, the call on the thread of the test panics, with a list of what each
//! thread waits for. So a deadlock is a failed test, and not a test that hangs.
//!
//! # Schedules
//!
//! Test the body by itself, with [`trigger_now`](crate::schedule::Schedule::trigger_now), or as a
//! function. For the times, a simulation runs each run at its time, and `Cron::next_after` needs no
//! pool at all.
//!
//! ```
//! # #[cfg(feature = "simulation")] {
//! use millhand::testing::ManualClock;
//! use millhand::{Every, ThreadPool};
//! use std::time::Duration;
//!
//! let hour = Duration::from_secs(3600);
//! let (pool, simulation) = ThreadPool::simulated(1);
//! let hourly = pool.task().name("backup").every(Every::new(hour)).run(|| ())?;
//! simulation.advance(24 * hour);
//! assert_eq!((hourly.counts().runs, hourly.counts().misses), (24, 0));
//! # drop((pool, simulation));
//!
//! // A manual clock jumps: what became due in one step is late, as after a pause of the process.
//! let clock = ManualClock::new();
//! let pool = ThreadPool::builder().workers(1).clock(&clock).build()?;
//! let hourly = pool.task().name("backup").every(Every::new(hour)).run(|| ())?;
//! clock.advance(24 * hour);
//! clock.wait_idle();
//! assert_eq!((hourly.counts().runs, hourly.counts().misses), (1, 23));
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! For a cron schedule, set the time of day first: `set_wall`, of either clock.
//!
//! # Nothing may fail unseen
//!
//! A panic in an `execute`, or in a task whose handle was dropped, fails no assertion. End a test
//! with the report of the pool:
//!
//! ```
//! use millhand::{Shutdown, ThreadPool};
//!
//! let pool = ThreadPool::new(1)?;
//! pool.execute(|| println!("sent"));
//! let report = pool.shutdown(Shutdown::drain())?;
//! assert!(report.is_clean() && report.failed() + report.panicked() == 0, "{report}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The hook [`on_unread`](crate::pool::PoolBuilder::on_unread) can collect the failures that no
//! handle reads, and the [statistics](crate::observe::Stats::unread) count them. A test whose
//! assertion fails does end, even if bodies wait for a clock: while the thread of the test panics,
//! the drop of a pool cancels, and gives up after a second.
//!
//! [`ManualClock`]: crate::testing::ManualClock
//! [`Simulation`]: crate::testing
