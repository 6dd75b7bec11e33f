//! How a pool is shut down.

use std::time::Duration;

/// Chooses how a pool is shut down: whether it runs what is queued, and how long it waits.
///
/// **Drain** (the default): the pool takes no more tasks from outside. It runs all tasks that it
/// has, and those that they submit, to their end. **Cancel**: queued tasks settle as cancelled
/// ([`CancelReason::Shutdown`](crate::cancel::CancelReason::Shutdown)), and their closures are
/// dropped on the thread that shuts the pool down. Running tasks are asked to stop, and the
/// shutdown waits for them. **Finish what runs**: the same, but running tasks are not asked to
/// stop.
///
/// ```
/// use millhand::{Shutdown, ThreadPool};
/// use std::time::Duration;
///
/// let pool = ThreadPool::new(2)?;
/// pool.execute(|| println!("still printed"));
/// let report = pool.shutdown(
///     Shutdown::drain()
///         .cancel_after(Duration::from_secs(10))
///         .give_up_after(Duration::from_secs(15)),
/// )?;
/// assert!(report.is_clean());
/// assert_eq!(report.succeeded(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Guide: [shutdown](crate::guide::shutdown).
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Shutdown {
    pub(super) cancel_after: Option<Duration>,
    pub(super) give_up_after: Option<Duration>,
    pub(super) including_delayed: bool,
    pub(super) running_only: bool,
}

impl Shutdown {
    /// Runs all submitted tasks to their end, however long that takes. Those that wait for their
    /// first due time are cancelled, unless the shutdown is
    /// [`including_delayed`](Self::including_delayed). A body that waits for such a task gets that
    /// as its outcome. A continuation of a promise that the program has not settled is cancelled
    /// once nothing else is left.
    ///
    /// ```
    /// # use millhand::{Shutdown, ThreadPool};
    /// let pool = ThreadPool::new(1)?;
    /// (0..10).for_each(|_| pool.execute(|| ()));
    /// assert_eq!(pool.shutdown(Shutdown::drain())?.succeeded(), 10);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn drain() -> Self {
        Self {
            cancel_after: None,
            give_up_after: None,
            including_delayed: false,
            running_only: false,
        }
    }

    /// Lets running tasks go on to their end, and begins nothing more: queued tasks are cancelled,
    /// and so are those that wait for another attempt. Use it for the first Ctrl-C of a program
    /// that can be run again for the rest.
    ///
    /// What a running body submits from then on is refused, and a body that waits for a queued task
    /// gets [`TaskError::Cancelled`](crate::TaskError::Cancelled) from that.
    ///
    /// ```
    /// # use millhand::{Shutdown, ThreadPool};
    /// # use std::sync::mpsc::channel;
    /// let pool = ThreadPool::new(1)?;
    /// let (started, has_started) = channel();
    /// let running = pool.submit(move || started.send(()));
    /// has_started.recv()?;
    /// let report = pool.shutdown(Shutdown::finish_running())?;
    /// assert!(running.join().is_ok());
    /// # assert_eq!(report.succeeded(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn finish_running() -> Self {
        Self {
            running_only: true,
            ..Self::drain()
        }
    }

    /// Cancels queued tasks at once, and asks running tasks to stop.
    ///
    /// ```
    /// # use millhand::{Shutdown, ThreadPool};
    /// let pool = ThreadPool::new(1)?;
    /// let handle = pool.submit(|| loop { millhand::checkpoint() });
    /// pool.shutdown(Shutdown::cancel())?;
    /// assert!(matches!(handle.join(), Err::<(), _>(millhand::TaskError::Cancelled(_))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cancel() -> Self {
        Self::drain().cancel_after(Duration::ZERO)
    }

    /// Cancels the tasks that are left this long after the call. Default: never.
    ///
    /// ```
    /// # use millhand::{Shutdown, ThreadPool};
    /// # use std::time::Duration;
    /// let pool = ThreadPool::new(1)?;
    /// let long = pool.submit(|| millhand::sleep(Duration::from_secs(3600)));
    /// pool.shutdown(Shutdown::drain().cancel_after(Duration::from_millis(1)))?;
    /// assert!(long.is_finished());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cancel_after(mut self, after: Duration) -> Self {
        self.cancel_after = Some(after);
        self
    }

    /// Stops waiting this long after the call, not after the cancelling. Default: never.
    ///
    /// Queued tasks are cancelled then, and running ones are asked to stop, if `cancel_after` has
    /// not done so. The report names the tasks that still run, and they go on until they see it. A
    /// later drop of the pool does not wait for them, either. Nor does it wait for a stop hook or
    /// the drop of a worker's value that still runs. The closures of cancelled tasks are dropped by
    /// this call in any case.
    ///
    /// ```
    /// # use millhand::{Shutdown, ThreadPool};
    /// # use std::time::Duration;
    /// let pool = ThreadPool::new(1)?;
    /// let (hold, held) = std::sync::mpsc::channel::<()>();
    /// pool.execute(move || { let _ = held.recv(); });
    /// let report = pool.shutdown(Shutdown::drain().give_up_after(Duration::from_millis(1)))?;
    /// assert_eq!(report.succeeded(), 0);
    /// # drop(hold);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn give_up_after(mut self, after: Duration) -> Self {
        self.give_up_after = Some(after);
        self
    }

    /// Waits also for tasks that are not yet due for the first time.
    ///
    /// By default a drain cancels them, and the report names them
    /// ([`ShutdownReport::not_due`](crate::pool::ShutdownReport::not_due)). A drain waits in any
    /// case for tasks that wait for a retry or at a gate.
    ///
    /// ```
    /// # use millhand::{Shutdown, ThreadPool};
    /// # use std::time::Duration;
    /// let pool = ThreadPool::new(1)?;
    /// pool.task().delay(Duration::from_millis(1)).execute(|| ());
    /// let report = pool.shutdown(Shutdown::drain().including_delayed())?;
    /// assert_eq!(report.succeeded(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn including_delayed(mut self) -> Self {
        self.including_delayed = true;
        self
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::drain()
    }
}
