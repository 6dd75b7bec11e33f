//! Simulated pools: what takes an hour in life takes a moment, and the same seed gives the same run.
//!
//! Layer 3, after the pool. What it does is done in `sim`.

use crate::clock::{self, Clock};
use crate::error::BuildError;
use crate::pool::ThreadPool;
use crate::sim::{Sim, TraceEntry};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// A world of its own for a test: its threads run one at a time, in an order that a seed picks, and its clock jumps ahead
/// whenever none of them can go on.
///
/// The code that runs is the same as in life, on real threads. At each call of the library that may wait (a join, a sleep,
/// a permit, a worker's look for its next task) the thread gives its turn away, and the seed says who is next. So retries, rate limits,
/// time limits, spares and shutdowns behave as they do, an hour of them takes milliseconds, the same seed gives the same
/// [`trace`](Self::trace), and another seed another order in which things may happen. What priorities, gates and queues
/// promise about order holds with every seed.
///
/// ```
/// use millhand::{Retry, ThreadPool};
/// use std::time::Duration;
///
/// let (pool, simulation) = ThreadPool::simulated(42);
/// let retried = pool.task().retry(Retry::fixed(3, Duration::from_secs(600)));
/// let mut attempts = 0;
/// let handle = retried.submit(move || {
///     attempts += 1;
///     if attempts < 3 { Err("not yet") } else { Ok(attempts) }
/// });
/// assert_eq!(handle.join().unwrap(), Ok(3));
/// assert_eq!(simulation.elapsed(), Duration::from_secs(1200));
/// ```
///
/// # The thread that makes it
/// owns it, and takes part: while it runs, nobody else does; while it waits in a call of the library's, the others do, and
/// time passes. If nobody can go on and nothing is due, that call panics, with a list of who waits for what. Instead of
/// waiting it may also turn the clock by hand ([`advance`](Self::advance)), let the others go on ([`step`](Self::step),
/// [`run_until_idle`](Self::run_until_idle)), and look in between.
///
/// On this thread, and in the tasks, the simulation's clock is the usual one: pools, rate limiters and tokens that are made
/// there have it without being told. That ends with the simulation and its pools, when both are dropped. A thread can own one simulation at
/// a time.
///
/// # Limits
/// What happens outside of the library is not seen. A body that waits there, for a channel of std's or a lock, holds up
/// everybody: wait with handles, [`promise`](crate::promise)s, tokens and [`Semaphore`](crate::Semaphore)s, and do not hold
/// a lock in a call that may wait. What a body computes takes no simulated time; one that asks again and again whether it
/// is cancelled is taken to wait for it. A thread that the program starts itself is no part of the simulation: where it
/// submits to one of its pools, or waits for a task of one, it panics. And what differs from run to run by itself
/// (the iteration of a `HashMap`, addresses, ids of tasks) still does.
pub struct Simulation {
    sim: Arc<Sim>,
    /// It stays with the thread that owns it.
    _here: PhantomData<*const ()>,
}

impl ThreadPool {
    /// A pool of four workers in a [`Simulation`] of its own, which this thread owns.
    ///
    /// # Panics
    /// When this thread has a simulation already, or the system refuses a thread.
    ///
    /// ```
    /// use millhand::ThreadPool;
    /// use std::time::Duration;
    ///
    /// let (pool, simulation) = ThreadPool::simulated(1);
    /// let handle = pool.task().delay(Duration::from_secs(3600)).submit(|| 7);
    /// assert_eq!(handle.join().unwrap(), 7);
    /// assert_eq!(simulation.elapsed(), Duration::from_secs(3600));
    /// ```
    pub fn simulated(seed: u64) -> (Self, Simulation) {
        let simulation = Simulation::new(seed);
        let pool = Self::builder().workers(4).clock(&simulation.clock());
        match pool.build() {
            Ok(pool) => (pool, simulation),
            Err(error) => panic!("{}", refusal(&error)),
        }
    }
}

fn refusal(error: &BuildError) -> String {
    format!("no pool for a simulation: {error}")
}

impl Simulation {
    /// A simulation without a pool: those that this thread builds from now on are part of it, with any options.
    ///
    /// # Panics
    /// When this thread has a simulation already.
    ///
    /// ```
    /// use millhand::{Simulation, ThreadPool};
    ///
    /// let simulation = Simulation::new(7);
    /// let pool = ThreadPool::builder().workers(1).queue_capacity(10).build()?;
    /// assert_eq!(pool.submit(|| 1).join().unwrap(), 1);
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn new(seed: u64) -> Self {
        match Sim::begin(clock::now(), seed) {
            Some(sim) => Self {
                sim,
                _here: PhantomData,
            },
            None => panic!(
                "this thread is part of a simulation already: one at a time is allowed, until it and its pools are dropped"
            ),
        }
    }

    /// Its clock, for what is made elsewhere than on this thread and in its tasks.
    ///
    /// ```
    /// use millhand::{RateLimiter, ThreadPool};
    /// use std::time::Duration;
    ///
    /// let (pool, simulation) = ThreadPool::simulated(1);
    /// let limit = RateLimiter::token_bucket(1, Duration::from_secs(60)).clock(&simulation.clock()).build()?;
    /// let handles = [(); 61].map(|()| pool.task().gate(&limit).submit(|| ()));
    /// handles.map(|handle| handle.join().unwrap());
    /// assert_eq!(simulation.elapsed(), Duration::from_secs(3600));
    /// # Ok::<(), millhand::LimitError>(())
    /// ```
    pub fn clock(&self) -> Clock {
        Clock::of_simulation(self.sim.clone())
    }

    /// The present instant of its clock.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let simulation = millhand::Simulation::new(1);
    /// let begun = simulation.now();
    /// simulation.advance(Duration::from_secs(1));
    /// assert_eq!(simulation.now() - begun, Duration::from_secs(1));
    /// ```
    pub fn now(&self) -> Instant {
        self.sim.now()
    }

    /// How much simulated time has passed.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let simulation = millhand::Simulation::new(1);
    /// assert_eq!(simulation.elapsed(), Duration::ZERO);
    /// millhand::sleep(Duration::from_secs(3600)).unwrap();
    /// assert_eq!(simulation.elapsed(), Duration::from_secs(3600));
    /// ```
    pub fn elapsed(&self) -> Duration {
        self.sim.passed()
    }

    /// Sets the time of day that its clock shows ([`Clock::wall`]), by which cron goes; it moves on with the clock. Default:
    /// midnight UTC, 1 January 2026, at the beginning.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    ///
    /// let simulation = millhand::Simulation::new(1);
    /// simulation.set_wall(SystemTime::UNIX_EPOCH);
    /// simulation.advance(Duration::from_secs(60));
    /// assert_eq!(simulation.clock().wall(), SystemTime::UNIX_EPOCH + Duration::from_secs(60));
    /// ```
    pub fn set_wall(&self, wall: SystemTime) {
        self.sim.hand().set_wall(wall);
    }

    /// Lets `time` pass: all that is due on the way happens, each at its instant, and what follows from it. Comes back when
    /// nobody can go on until later.
    ///
    /// # Panics
    /// When the clock cannot hold the instant, after some hundred years.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let (pool, simulation) = millhand::ThreadPool::simulated(1);
    /// let handle = pool.task().delay(Duration::from_secs(60)).submit(|| 7);
    /// simulation.advance(Duration::from_millis(59_999));
    /// assert!(!handle.is_finished());
    /// simulation.advance(Duration::from_millis(1));
    /// assert!(handle.is_finished());
    /// ```
    pub fn advance(&self, time: Duration) {
        self.sim.idle(self.sim.now() + time);
    }

    /// Lets the others go on until none of them can without time passing. The clock stands.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let (pool, simulation) = millhand::ThreadPool::simulated(1);
    /// let handle = pool.submit(|| 7);
    /// assert!(!handle.is_finished(), "nobody runs while this thread does");
    /// simulation.run_until_idle();
    /// assert!(handle.is_finished());
    /// assert_eq!(simulation.elapsed(), Duration::ZERO);
    /// ```
    pub fn run_until_idle(&self) {
        self.sim.idle(self.sim.now());
    }

    /// Lets one other thread, picked by the seed, go on until it next gives its turn away; says whether there was one that
    /// could. The clock stands.
    ///
    /// ```
    /// let (pool, simulation) = millhand::ThreadPool::simulated(1);
    /// let handle = pool.submit(|| 7);
    /// while !handle.is_finished() {
    ///     assert!(simulation.step());
    /// }
    /// ```
    pub fn step(&self) -> bool {
        self.sim.step()
    }

    /// What has happened so far: threads that started and ended, attempts that began, how the tasks that had one ended, and
    /// how far the clock went on. The same program gives the same list with the same seed.
    ///
    /// A task is named by a number in the order of appearance here, and by its name if it has one.
    ///
    /// ```
    /// let run = |seed| {
    ///     let (pool, simulation) = millhand::ThreadPool::simulated(seed);
    ///     let handles = [1, 2, 3].map(|n| pool.task().name("add").submit(move || n));
    ///     handles.map(|handle| handle.join().unwrap());
    ///     simulation.trace()
    /// };
    /// assert_eq!(run(1), run(1));
    /// ```
    #[must_use]
    pub fn trace(&self) -> Vec<TraceEntry> {
        self.sim.trace()
    }
}

impl Drop for Simulation {
    fn drop(&mut self) {
        self.sim.let_go();
    }
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sim, _here: _ } = self;
        f.debug_struct("Simulation")
            .field("seed", &sim.seed())
            .field("elapsed", &sim.passed())
            .finish_non_exhaustive()
    }
}
