//! Simulated pools, for tests: an hour takes milliseconds, and the same seed gives the same run.
//!
//! The work is done in `sim`.

use crate::clock::{self, Clock};
use crate::pool::ThreadPool;
use crate::pool::error::BuildError;
use crate::sim::{Simulator, TraceEntry};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Runs a test in simulated time: the threads run one at a time, in an order that a seed picks,
/// and the clock moves ahead whenever none of them can go on.
///
/// The code is the same as without a simulation, on real threads. At each call of the library that
/// may wait (a join, a sleep, a permit, a worker that checks the queue) a thread passes its turn
/// on, and the seed picks the next thread. So retries, rate limits, time limits, spares and
/// shutdowns behave as they always do, and an hour of them takes milliseconds. The same seed gives
/// the same [`trace`](Self::trace). Another seed gives another order in which things may happen.
/// What priorities, gates and queues promise about order holds with every seed.
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
/// Guide: [testing](crate::guide::testing).
///
/// # The owner
/// The thread that makes a simulation owns it, and takes part in it. While this thread runs, no
/// other does. While it waits in a call of the library, the others run, and time passes. If no
/// thread can go on and nothing is due, that call panics with a list of what each thread waits for.
/// Instead of waiting, the owner may move the clock ([`advance`](Self::advance)), let the other
/// threads run ([`step`](Self::step), [`run_until_idle`](Self::run_until_idle)), and check things
/// in between.
///
/// On this thread and in the tasks, the clock of the simulation is the default: pools, rate
/// limiters and tokens that are made there use it. That ends when the simulation and its pools are
/// dropped. A thread can own one simulation at a time.
///
/// # Limits
/// - A simulation does not see waits outside of the library. A body that waits for a channel of
///   std or for a lock stops all threads. Wait with handles, [`promise`](crate::promise)s, tokens
///   and [`Semaphore`](crate::Semaphore)s, and hold no lock in a call that may wait.
/// - A body's computing takes no simulated time. A body that checks again and again whether it is
///   cancelled is taken to wait for that.
/// - A thread that the program starts itself does not belong to the simulation. It panics if it
///   submits to a pool of the simulation, or waits for a task of one.
/// - What differs from run to run anyway still does: the iteration order of a `HashMap`,
///   addresses, the ids of tasks.
pub struct Simulation {
    sim: Arc<Simulator>,
    /// Keeps it on the thread that owns it: neither `Send` nor `Sync`.
    _here: PhantomData<*const ()>,
}

impl ThreadPool {
    /// Builds a pool of four workers in a new [`Simulation`], which this thread owns, for a test.
    ///
    /// # Panics
    /// If this thread has a simulation already, or if the system refuses a thread.
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
        let pool = Self::builder().workers(4).clock(&simulation);
        match pool.build() {
            Ok(pool) => (pool, simulation),
            Err(error) => panic!("{}", refusal(&error)),
        }
    }
}

fn refusal(error: &BuildError) -> String {
    format!("no pool for a simulation: {error}")
}

impl From<&Simulation> for Clock {
    fn from(simulation: &Simulation) -> Self {
        simulation.clock()
    }
}

impl Simulation {
    /// Makes a simulation without a pool. The pools that this thread builds from now on belong to
    /// it, with any options.
    ///
    /// # Panics
    /// If this thread has a simulation already.
    ///
    /// ```
    /// use millhand::testing::Simulation;
    /// use millhand::ThreadPool;
    ///
    /// let simulation = Simulation::new(7);
    /// let pool = ThreadPool::builder().workers(1).queue_capacity(10).build()?;
    /// assert_eq!(pool.submit(|| 1).join().unwrap(), 1);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn new(seed: u64) -> Self {
        match Simulator::begin(clock::now(), seed) {
            Some(sim) => Self {
                sim,
                _here: PhantomData,
            },
            None => panic!(
                "this thread is part of a simulation already: one at a time is allowed, until it and its pools are dropped"
            ),
        }
    }

    /// Returns its clock, for gates and pools that are made on other threads than this one and its
    /// tasks'.
    ///
    /// ```
    /// use millhand::{RateLimiter, ThreadPool};
    /// use std::time::Duration;
    ///
    /// let (pool, simulation) = ThreadPool::simulated(1);
    /// let limit = RateLimiter::token_bucket(1, Duration::from_secs(60)).clock(&simulation).build()?;
    /// let handles = [(); 61].map(|()| pool.task().gate(&limit).submit(|| ()));
    /// for handle in handles {
    ///     handle.join().unwrap();
    /// }
    /// assert_eq!(simulation.elapsed(), Duration::from_secs(3600));
    /// # Ok::<(), millhand::limit::LimitError>(())
    /// ```
    pub fn clock(&self) -> Clock {
        Clock::of_simulation(self.sim.clone())
    }

    /// Returns the present instant of its clock.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let simulation = millhand::testing::Simulation::new(1);
    /// let begun = simulation.now();
    /// simulation.advance(Duration::from_secs(1));
    /// assert_eq!(simulation.now() - begun, Duration::from_secs(1));
    /// ```
    pub fn now(&self) -> Instant {
        self.sim.now()
    }

    /// Returns how much simulated time has passed since it was made.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let simulation = millhand::testing::Simulation::new(1);
    /// assert_eq!(simulation.elapsed(), Duration::ZERO);
    /// millhand::sleep(Duration::from_secs(3600)).unwrap();
    /// assert_eq!(simulation.elapsed(), Duration::from_secs(3600));
    /// ```
    pub fn elapsed(&self) -> Duration {
        self.sim.passed()
    }

    /// Sets the time of day that its clock shows ([`Clock::wall`]), for cron schedules. The time
    /// of day moves on with the clock. At the start it is midnight UTC, 1 January 2026.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    ///
    /// let simulation = millhand::testing::Simulation::new(1);
    /// simulation.set_wall(SystemTime::UNIX_EPOCH);
    /// simulation.advance(Duration::from_secs(60));
    /// assert_eq!(simulation.clock().wall(), SystemTime::UNIX_EPOCH + Duration::from_secs(60));
    /// ```
    pub fn set_wall(&self, wall: SystemTime) {
        self.sim.set_wall(wall);
    }

    /// Lets `time` pass. Everything that is due on the way happens, each thing at its instant, and
    /// so does what follows from it. Returns when no thread can go on before more time passes.
    ///
    /// # Panics
    /// If the clock cannot hold the instant, after some hundred years.
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
        self.sim.run_until(self.sim.now() + time);
    }

    /// Lets the other threads run until none of them can go on before time passes. The clock does
    /// not move.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let (pool, simulation) = millhand::ThreadPool::simulated(1);
    /// let handle = pool.submit(|| 7);
    /// assert!(!handle.is_finished(), "no other thread runs while this one does");
    /// simulation.run_until_idle();
    /// assert!(handle.is_finished());
    /// assert_eq!(simulation.elapsed(), Duration::ZERO);
    /// ```
    pub fn run_until_idle(&self) {
        self.sim.run_until(self.sim.now());
    }

    /// Lets one other thread, picked by the seed, run until it next passes its turn on. Returns
    /// whether there was one that could. The clock does not move.
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

    /// Returns what has happened so far, to compare runs: threads that started and ended, attempts
    /// that began, the outcomes of tasks that had an attempt, and how far the clock moved. The same
    /// program gives the same list with the same seed.
    ///
    /// The list names a task by a number, in the order of appearance, and by its name if it has
    /// one. It has the last 100,000 entries. Of so many tasks it remembers the numbers.
    ///
    /// ```
    /// let run = |seed| {
    ///     let (pool, simulation) = millhand::ThreadPool::simulated(seed);
    ///     let handles = [1, 2, 3].map(|n| pool.task().name("add").submit(move || n));
    ///     for handle in handles {
    ///         handle.join().unwrap();
    ///     }
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
        self.sim.release();
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
