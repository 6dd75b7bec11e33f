//! Semaphores: so many at once.
//!
//! Layer: limit. The type that users hold, and its rule.

use crate::clock::Clock;
use crate::limit::acquire::{self, GateRequest};
use crate::limit::blocking;
use crate::limit::error::{AcquireError, LimitError};
use crate::limit::gate::{Gate, GateQueue, next_order};
use crate::limit::keyed::Keyed;
use crate::limit::rule::{Refusal, Rule};
use std::fmt;
use std::hash::Hash;
use std::slice;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Limits how many tasks and threads do something at once. Tasks use it by
/// [`gate`](crate::TaskBuilder::gate), threads by [`acquire`](Self::acquire).
///
/// Clones are the same semaphore, and any number of pools may share it. With one permit it is a
/// lock.
///
/// A task holds its permit from the start of an attempt until the body has returned, however that
/// ends. Between two attempts of a retried task the permit is free. Tasks and threads that must
/// wait do so in one line, first come, first served. A task that waits needs no worker.
///
/// When it is the turn of a task, a permit is reserved for it until a worker of its pool is free.
/// If that takes longer than about 20 milliseconds, the tasks of other pools and the threads that
/// wait behind it may pass it. If it finds no permit when its worker comes, the next one is
/// reserved for it until then, however long that takes. [`available`](Self::available) does not
/// count what is reserved.
///
/// The library does not detect a deadlock over permits: a body that holds the last permit and
/// joins a task that needs one waits for ever.
///
/// ```
/// use millhand::{Semaphore, ThreadPool};
///
/// let pool = ThreadPool::new(8)?;
/// let connections = Semaphore::new(2)?;
/// let query = pool.task().gate(&connections); // two at once, with any number of workers
/// let answers: Vec<_> = (0..6).map(|n| query.submit(move || n)).collect();
/// # for answer in answers { answer.join()?; }
///
/// let permit = connections.acquire()?; // on this thread
/// drop(permit);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Guide: [limits](crate::guide::limits).
#[derive(Clone)]
#[doc(alias = "BoundedSemaphore")]
pub struct Semaphore {
    gate: Arc<GateQueue>,
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
    /// Makes a semaphore with so many permits, 1 or more.
    ///
    /// # Errors
    /// [`LimitError::Invalid`] if `permits` is 0.
    ///
    /// ```
    /// use millhand::Semaphore;
    ///
    /// assert_eq!(Semaphore::new(3)?.available(), 3);
    /// assert!(Semaphore::new(0).is_err());
    /// # Ok::<(), millhand::limit::LimitError>(())
    /// ```
    pub fn new(permits: u32) -> Result<Self, LimitError> {
        Ok(Self::make(checked(permits)?))
    }

    /// Makes a semaphore for each key. With one permit, that is a lock by name. See [`Keyed`].
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
    /// # Ok::<(), millhand::limit::LimitError>(())
    /// ```
    pub fn keyed<K: Hash + Eq>(permits: u32) -> Result<Keyed<K, Self>, LimitError> {
        let permits = checked(permits)?;
        Ok(Keyed::with(move || Self::make(permits)))
    }

    fn make(permits: u32) -> Self {
        let rule = Rule::Permits(Permits::new(permits));
        Self {
            gate: GateQueue::new(Clock::system(), rule),
        }
    }

    /// Takes a permit if one is free. Never waits, and never overtakes a task or thread that waits
    /// for a permit alone.
    ///
    /// # Errors
    /// [`AcquireError::NotYet`] if no permit is free, or if a task or thread waits for one.
    ///
    /// ```
    /// let semaphore = millhand::Semaphore::new(1)?;
    /// let permit = semaphore.try_acquire().unwrap();
    /// assert!(semaphore.try_acquire().is_err());
    /// drop(permit);
    /// assert!(semaphore.try_acquire().is_ok());
    /// # Ok::<(), millhand::limit::LimitError>(())
    /// ```
    pub fn try_acquire(&self) -> Result<Permit, AcquireError> {
        let (request, order) = (GateRequest::new(self), next_order());
        blocking::try_acquire(&request, order)?;
        Ok(Permit { request, order })
    }

    /// Waits for a permit, first come, first served. A task that waits here releases its run slot
    /// meanwhile.
    ///
    /// # Errors
    /// Inside a task, [`AcquireError::Stopped`] if the task is asked to stop.
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
    /// # Ok::<(), millhand::limit::LimitError>(())
    /// ```
    pub fn acquire(&self) -> Result<Permit, AcquireError> {
        self.acquire_until(None)
    }

    /// Waits for a permit, at most `timeout`. The timeout counts from the call, and one that
    /// overflows the clock means for ever.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire), and [`AcquireError::NotYet`] if no permit was free in time.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let semaphore = millhand::Semaphore::new(1)?;
    /// let permit = semaphore.acquire_timeout(Duration::from_secs(60)).unwrap();
    /// assert!(semaphore.acquire_timeout(Duration::from_millis(1)).is_err());
    /// # drop(permit);
    /// # Ok::<(), millhand::limit::LimitError>(())
    /// ```
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<Permit, AcquireError> {
        self.acquire_until(self.gate.wait_clock().deadline(timeout))
    }

    fn acquire_until(&self, deadline: Option<Instant>) -> Result<Permit, AcquireError> {
        let (request, order) = (GateRequest::new(self), next_order());
        blocking::acquire(&request, order, deadline)?;
        Ok(Permit { request, order })
    }

    /// Waits for a permit, runs `f`, and returns the permit, also if `f` panics.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire). Then `f` is not run.
    ///
    /// ```
    /// let connections = millhand::Semaphore::new(2)?;
    /// assert_eq!(connections.run(|| connections.available()), Ok(1));
    /// # Ok::<(), millhand::limit::LimitError>(())
    /// ```
    pub fn run<T>(&self, f: impl FnOnce() -> T) -> Result<T, AcquireError> {
        let _permit = self.acquire()?;
        Ok(f())
    }

    /// Changes the number of permits. Permits that are held stay valid, even if there are more of
    /// them than the new number. Then none is free until enough of them have come back.
    ///
    /// With 0 permits all tasks and threads wait until there are some again: use it to pause what
    /// needs a server that is down. A shutdown that drains waits, too.
    ///
    /// ```
    /// let semaphore = millhand::Semaphore::new(1)?;
    /// semaphore.set_permits(3);
    /// assert_eq!(semaphore.available(), 3);
    /// semaphore.set_permits(0);
    /// assert!(semaphore.try_acquire().is_err());
    /// # Ok::<(), millhand::limit::LimitError>(())
    /// ```
    #[doc(alias = "resize")]
    #[doc(alias = "pause")]
    pub fn set_permits(&self, permits: u32) {
        self.gate.set_permits(permits);
    }

    /// Returns how many permits are free now, and not reserved for a task or thread whose turn it
    /// is.
    ///
    /// ```
    /// let semaphore = millhand::Semaphore::new(2)?;
    /// let permit = semaphore.try_acquire();
    /// assert_eq!(semaphore.available(), 1);
    /// # Ok::<(), millhand::limit::LimitError>(())
    /// ```
    pub fn available(&self) -> u32 {
        self.gate.available()
    }

    /// Returns how many tasks and threads wait in line for a permit, or are about to take one. A
    /// task with several gates counts at those that refuse it, or have reserved something for it.
    ///
    /// ```
    /// assert_eq!(millhand::Semaphore::new(2)?.waiting(), 0);
    /// # Ok::<(), millhand::limit::LimitError>(())
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
impl Gate for Semaphore {
    fn queue(&self) -> (&Arc<GateQueue>, u32) {
        (&self.gate, 1)
    }
}

/// A permit of a [`Semaphore`], held by a thread. Dropping it returns it.
///
/// ```
/// use millhand::limit::Permit;
/// use millhand::Semaphore;
///
/// let semaphore = Semaphore::new(1)?;
/// let permit: Permit = semaphore.acquire().unwrap();
/// assert_eq!(semaphore.available(), 0);
/// drop(permit);
/// assert_eq!(semaphore.available(), 1);
/// # Ok::<(), millhand::limit::LimitError>(())
/// ```
///
/// Guide: [limits](crate::guide::limits).
#[must_use = "dropping a permit returns it"]
pub struct Permit {
    request: GateRequest,
    order: u64,
}

impl Drop for Permit {
    fn drop(&mut self) {
        acquire::release(slice::from_ref(&self.request), self.order, true);
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}

/// The rule of a semaphore. More permits may be out than there are, after the number was made
/// smaller.
#[derive(Debug)]
pub(crate) struct Permits {
    /// The number that the semaphore was made with.
    initial: u32,
    number: u32,
    out: u32,
}

impl Permits {
    fn new(number: u32) -> Self {
        Self {
            initial: number,
            number,
            out: 0,
        }
    }

    pub(crate) fn set(&mut self, number: u32) {
        self.number = number;
    }

    pub(crate) fn ask(&self, weight: u32) -> Result<(), Refusal> {
        if self.out.saturating_add(weight) > self.number {
            return Err(Refusal::Later);
        }
        Ok(())
    }

    pub(crate) fn try_take(&mut self, weight: u32) -> Result<(), Refusal> {
        self.ask(weight)?;
        self.out += weight;
        Ok(())
    }

    pub(crate) fn release(&mut self, weight: u32) {
        self.out -= weight;
    }

    pub(crate) fn available(&self) -> u32 {
        self.number.saturating_sub(self.out)
    }

    pub(crate) fn is_fresh(&self) -> bool {
        self.out == 0 && self.number == self.initial
    }
}
