//! Semaphores, as their users hold them.
//!
//! Layer 4: a thin face over a gate whose permits come back.

use crate::clock::Clock;
use crate::gate::{self, AcquireError, Claim, Gate, LimitError, Nature, Permits, next_order};
use crate::limit::gates::{self, Asked, Gates};
use crate::limit::keyed::{Kept, Keyed};
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

const RETURNS: Nature = Nature {
    timed: false,
    returns: true,
    ordered: false,
};

/// Lets so many through at once: tasks by [`gate`](crate::TaskBuilder::gate), threads by [`acquire`](Self::acquire). Clones are
/// the same semaphore; any number of pools may share it. With one permit it is a lock.
///
/// A task has its permit from the start of an attempt until the body has returned, however that ends; between two attempts
/// of a retried task it is free. Who must wait does so in one line, first come, first served; a task without a worker.
///
/// A task whose turn it is has the next permit kept for it until a worker of its pool has time: a pool that is busy for long
/// keeps the others waiting that share a gate with it.
///
/// A wait that closes a circle over permits is not seen: a body that holds the last permit and joins a task that wants one
/// waits for ever.
///
/// ```
/// use millhand::{Semaphore, ThreadPool};
///
/// let pool = ThreadPool::new(8)?;
/// let connections = Semaphore::new(2)?;
/// let query = pool.task().gate(&connections); // two at once, whatever the number of workers
/// let answers: Vec<_> = (0..6).map(|n| query.submit(move || n)).collect();
/// # for answer in answers { answer.join()?; }
///
/// let permit = connections.acquire()?; // by hand
/// drop(permit);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Semaphore {
    gate: Arc<Gate>,
}

fn checked(permits: u32) -> Result<u32, LimitError> {
    if permits == 0 {
        return Err(LimitError::Invalid {
            option: "permits",
            allowed: "at least 1",
        });
    }
    Ok(permits)
}

impl Semaphore {
    /// With so many permits, 1 or more.
    ///
    /// # Errors
    /// [`LimitError::Invalid`] for none.
    ///
    /// ```
    /// use millhand::Semaphore;
    ///
    /// assert_eq!(Semaphore::new(3)?.available(), 3);
    /// assert!(Semaphore::new(0).is_err());
    /// # Ok::<(), millhand::LimitError>(())
    /// ```
    pub fn new(permits: u32) -> Result<Self, LimitError> {
        Self::with_clock(permits, &Clock::system())
    }

    /// As [`new`](Self::new), with another clock for [`acquire_timeout`](Self::acquire_timeout). Nothing else of a semaphore goes
    /// by a clock, so that a pool with any clock takes it.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    ///
    /// ```
    /// use millhand::{ManualClock, Semaphore};
    ///
    /// let clock = ManualClock::new();
    /// let semaphore = Semaphore::with_clock(1, &clock.clock())?;
    /// # Ok::<(), millhand::LimitError>(())
    /// ```
    pub fn with_clock(permits: u32, clock: &Clock) -> Result<Self, LimitError> {
        let rule = Permits::new(checked(permits)?);
        Ok(Self {
            gate: Gate::new(clock.clone(), RETURNS, Box::new(rule)),
        })
    }

    /// A semaphore for each key; with one permit, a lock by name. See [`Keyed`].
    ///
    /// # Errors
    /// As [`new`](Self::new).
    ///
    /// ```
    /// use millhand::Semaphore;
    ///
    /// let locks = Semaphore::keyed(1)?;
    /// let nightly = locks.key("nightly").acquire().unwrap();
    /// assert!(locks.key("nightly").try_acquire().is_err());
    /// assert!(locks.key("hourly").try_acquire().is_ok());
    /// # drop(nightly);
    /// # Ok::<(), millhand::LimitError>(())
    /// ```
    pub fn keyed<K: Hash + Eq>(permits: u32) -> Result<Keyed<K, Self>, LimitError> {
        Self::keyed_with_clock(permits, &Clock::system())
    }

    /// As [`keyed`](Self::keyed), with another clock for `acquire_timeout`.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    ///
    /// ```
    /// use millhand::{ManualClock, Semaphore};
    ///
    /// let locks = Semaphore::keyed_with_clock::<String>(1, &ManualClock::new().clock())?;
    /// # Ok::<(), millhand::LimitError>(())
    /// ```
    pub fn keyed_with_clock<K: Hash + Eq>(
        permits: u32,
        clock: &Clock,
    ) -> Result<Keyed<K, Self>, LimitError> {
        let permits = checked(permits)?;
        let clock = clock.clone();
        Ok(Keyed::with(move || Self {
            gate: Gate::new(clock.clone(), RETURNS, Box::new(Permits::new(permits))),
        }))
    }

    fn claim(&self) -> Claim {
        Claim {
            gate: self.gate.clone(),
            weight: 1,
        }
    }

    fn permit(&self, order: u64) -> Permit {
        Permit {
            claim: self.claim(),
            order,
        }
    }

    /// Takes a permit if there is one. Never waits, and never overtakes whoever waits.
    ///
    /// # Errors
    /// [`AcquireError::NotYet`] when there is none, or somebody waits for it.
    ///
    /// ```
    /// let semaphore = millhand::Semaphore::new(1)?;
    /// let permit = semaphore.try_acquire().unwrap();
    /// assert!(semaphore.try_acquire().is_err());
    /// drop(permit);
    /// assert!(semaphore.try_acquire().is_ok());
    /// # Ok::<(), millhand::LimitError>(())
    /// ```
    pub fn try_acquire(&self) -> Result<Permit, AcquireError> {
        let order = next_order();
        gate::try_acquire(&self.claim(), order)?;
        Ok(self.permit(order))
    }

    /// Waits for a permit; first come, first served. On a worker the seat is given up meanwhile.
    ///
    /// # Errors
    /// Inside a task, [`AcquireError::Stopped`] when it is asked to stop.
    ///
    /// ```
    /// let semaphore = millhand::Semaphore::new(1)?;
    /// let permit = semaphore.acquire().unwrap();
    /// let waiting = {
    ///     let semaphore = semaphore.clone();
    ///     std::thread::spawn(move || drop(semaphore.acquire()))
    /// };
    /// drop(permit);
    /// waiting.join().unwrap();
    /// # Ok::<(), millhand::LimitError>(())
    /// ```
    pub fn acquire(&self) -> Result<Permit, AcquireError> {
        self.acquire_until(None)
    }

    /// Waits for a permit, `timeout` at most (counted from the call; one that overflows the clock means for ever).
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire), and [`AcquireError::NotYet`] when none came in time.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let semaphore = millhand::Semaphore::new(1)?;
    /// let permit = semaphore.acquire_timeout(Duration::from_secs(60)).unwrap();
    /// assert!(semaphore.acquire_timeout(Duration::from_millis(1)).is_err());
    /// # drop(permit);
    /// # Ok::<(), millhand::LimitError>(())
    /// ```
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<Permit, AcquireError> {
        self.acquire_until(self.gate.clock_here().deadline(timeout))
    }

    fn acquire_until(&self, deadline: Option<Instant>) -> Result<Permit, AcquireError> {
        let order = next_order();
        gates::acquire(&self.claim(), order, deadline)?;
        Ok(self.permit(order))
    }

    /// Changes the number of permits, 1 or more. Made smaller, what is out stays out, and comes back to fewer.
    ///
    /// # Errors
    /// [`LimitError::Invalid`] for none; the semaphore stays as it was.
    ///
    /// ```
    /// let semaphore = millhand::Semaphore::new(1)?;
    /// semaphore.resize(3)?;
    /// assert_eq!(semaphore.available(), 3);
    /// assert!(semaphore.resize(0).is_err());
    /// # Ok::<(), millhand::LimitError>(())
    /// ```
    pub fn resize(&self, permits: u32) -> Result<(), LimitError> {
        self.gate.set_permits(checked(permits)?);
        Ok(())
    }

    /// How many permits are there to be had now.
    ///
    /// ```
    /// let semaphore = millhand::Semaphore::new(2)?;
    /// let permit = semaphore.try_acquire();
    /// assert_eq!(semaphore.available(), 1);
    /// # Ok::<(), millhand::LimitError>(())
    /// ```
    pub fn available(&self) -> u32 {
        self.gate.available()
    }

    /// How many tasks and threads wait in its line.
    ///
    /// ```
    /// assert_eq!(millhand::Semaphore::new(2)?.waiting(), 0);
    /// # Ok::<(), millhand::LimitError>(())
    /// ```
    pub fn waiting(&self) -> usize {
        self.gate.waiting()
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { gate } = self;
        f.debug_struct("Semaphore")
            .field("available", &gate.available())
            .field("waiting", &gate.waiting())
            .finish_non_exhaustive()
    }
}

impl Gates for Semaphore {
    fn asks(&self) -> Asked {
        Asked(self.claim())
    }
}

impl gates::Gate for Semaphore {}

impl Kept for Semaphore {
    fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }
}

/// The right that a [`Semaphore`] gave; dropping it gives it back.
///
/// ```
/// use millhand::{Permit, Semaphore};
///
/// let semaphore = Semaphore::new(1)?;
/// let permit: Permit = semaphore.acquire().unwrap();
/// assert_eq!(semaphore.available(), 0);
/// drop(permit);
/// assert_eq!(semaphore.available(), 1);
/// # Ok::<(), millhand::LimitError>(())
/// ```
#[must_use = "dropping a permit gives it back"]
pub struct Permit {
    claim: Claim,
    order: u64,
}

impl Drop for Permit {
    fn drop(&mut self) {
        gate::release(std::slice::from_ref(&self.claim), self.order, true);
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}
