//! What a pool counts, at one moment.
//!
//! Layer: observe. Plain data; `pool/stats.rs` fills it.

#[cfg(feature = "histograms")]
use crate::observe::Times;
use crate::observe::age::Short;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Counts of a pool: what it did since it was made, and what it does now. Returned by
/// [`Pool::stats`](crate::Pool::stats). Its text is a table.
///
/// Guide: [observability](crate::guide::observability).
///
/// # What holds
///
/// The totals, from `submitted` to `spares_started`, only grow. Each task counts in `submitted`,
/// and once it has settled in exactly one of the outcomes, `succeeded` to `rejected`. Their sum,
/// [`ended`](Self::ended), never exceeds `submitted`. A task counts before its outcome can be seen:
/// after `handle.join()` the totals include it. At rest they equal the outcomes of the handles.
///
/// The numbers of the present, from `queued` to `idle`, are read one after the other while the pool
/// works, so they may differ from each other by what happened in between. At rest they are exact.
///
/// ```
/// use millhand::ThreadPool;
///
/// let pool = ThreadPool::builder().workers(2).name_prefix("resize").build()?;
/// pool.submit(|| ()).join().unwrap();
/// let stats = pool.stats();
/// assert_eq!((stats.submitted, stats.succeeded, stats.ended()), (1, 1, 1));
/// println!("{stats}");
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// The name of the pool: its [`name_prefix`](crate::pool::PoolBuilder::name_prefix).
    pub pool: Arc<str>,

    /// Tasks that were submitted, those that the pool did not take included.
    pub submitted: u64,
    /// Tasks that succeeded: their bodies returned, those of fallible tasks `Ok`.
    pub succeeded: u64,
    /// Fallible tasks whose bodies returned `Err`, after their last attempt.
    pub failed: u64,
    /// Tasks whose bodies panicked.
    pub panicked: u64,
    /// Tasks that were cancelled.
    pub cancelled: u64,
    /// Tasks that did not start in time.
    pub expired: u64,
    /// Tasks that ran out of time.
    pub timed_out: u64,
    /// Tasks that the pool did not take, without those whose closures it gave back.
    pub rejected: u64,
    /// Attempts after the first, of all tasks.
    pub retries: u64,
    /// Failures, panics and refusals that no handle was left to read; see
    /// [`on_unread`](crate::pool::PoolBuilder::on_unread).
    pub unread: u64,
    /// How often a thread was started beside the workers, since bodies waited.
    pub spares_started: u64,

    /// Tasks that wait for a worker.
    pub queued: usize,
    /// Tasks that wait for time: they are not due, or wait between two attempts.
    pub delayed: usize,
    /// Tasks in the lines of gates.
    pub gated: usize,
    /// Tasks that wait for the tasks that they continue.
    pub waiting: usize,
    /// Bodies that run, those that wait in the library and those whose time is over included.
    pub running: usize,
    /// How many workers the pool has: how many bodies may run at once.
    pub workers: usize,
    /// Threads of the pool, spares included.
    pub threads: usize,
    /// Threads that run a body that does not wait.
    pub busy: usize,
    /// Threads whose body waits in the library, or whose time is over.
    pub blocked: usize,
    /// Threads that look for work.
    pub idle: usize,

    /// How long ago the pool was made.
    pub uptime: Duration,
    /// How many tasks settle each second. `None` unless a watchdog
    /// ([`slow_task`](crate::pool::PoolBuilder::slow_task),
    /// [`stalled`](crate::pool::PoolBuilder::stalled)) or a dashboard looks at the pool.
    pub rates: Option<Rates>,
    /// For how long the oldest queued task has waited, if the pool
    /// [tracks its queue](crate::pool::PoolBuilder::track_queue) and one is queued.
    pub oldest_queued: Option<Duration>,
    /// How long timed tasks waited and ran, as [`Pool::histograms`](crate::Pool::histograms)
    /// returns it. Where a pool keeps them, its counts take some microseconds more for each
    /// name.
    #[cfg(feature = "histograms")]
    pub times: Vec<Times>,
}

/// How many tasks a pool settles each second.
///
/// ```
/// use millhand::observe::{Rates, Stats};
///
/// fn is_fast(stats: &Stats) -> bool {
///     stats.rates.is_some_and(|Rates { last_second, .. }| last_second > 1000.0)
/// }
/// ```
///
/// Guide: [observability](crate::guide::observability).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Rates {
    /// Tasks a second over about the last second.
    pub last_second: f64,
    /// Tasks a second over about the last minute, or since the sampler began.
    pub last_minute: f64,
}

impl Stats {
    /// Returns how many tasks have settled, or were refused.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// pool.submit(|| ()).join().unwrap();
    /// assert_eq!(pool.stats().ended(), 1);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn ended(&self) -> u64 {
        self.outcomes().iter().map(|(_, n)| n).sum()
    }

    /// Returns how many tasks have not settled: those that wait, and those that run.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// pool.submit(|| ()).join().unwrap();
    /// assert_eq!(pool.stats().pending(), 0);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn pending(&self) -> u64 {
        self.submitted.saturating_sub(self.ended())
    }

    /// Returns how many threads there are beyond the workers, for bodies that wait.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// assert_eq!(pool.stats().spares(), 0);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn spares(&self) -> usize {
        self.threads.saturating_sub(self.workers)
    }

    /// The outcomes with their names.
    pub(crate) fn outcomes(&self) -> [(&'static str, u64); 7] {
        [
            ("succeeded", self.succeeded),
            ("failed", self.failed),
            ("panicked", self.panicked),
            ("cancelled", self.cancelled),
            ("expired", self.expired),
            ("timed_out", self.timed_out),
            ("rejected", self.rejected),
        ]
    }

    /// The totals with their names, in the order of the table.
    pub(crate) fn totals(&self) -> [(&'static str, u64); 11] {
        let [
            succeeded,
            failed,
            panicked,
            cancelled,
            expired,
            timed_out,
            rejected,
        ] = self.outcomes();
        [
            ("submitted", self.submitted),
            succeeded,
            failed,
            panicked,
            cancelled,
            expired,
            timed_out,
            rejected,
            ("retries", self.retries),
            ("unread", self.unread),
            ("spares_started", self.spares_started),
        ]
    }

    /// The numbers of the present with their names.
    pub(crate) fn present(&self) -> [(&'static str, usize); 10] {
        [
            ("queued", self.queued),
            ("delayed", self.delayed),
            ("gated", self.gated),
            ("waiting", self.waiting),
            ("running", self.running),
            ("workers", self.workers),
            ("threads", self.threads),
            ("busy", self.busy),
            ("blocked", self.blocked),
            ("idle", self.idle),
        ]
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "pool `{}`, up {}", self.pool, Short(self.uptime))?;
        let words = |name: &str| name.replace('_', " ");
        let totals = self.totals().map(|(name, n)| (words(name), n));
        let present = self.present().map(|(name, n)| (words(name), n));
        let mut present = present.iter();
        for (name, n) in &totals {
            write!(f, "  {name:<14} {n:>12}")?;
            if let Some((name, n)) = present.next() {
                write!(f, "    {name:<8} {n:>8}")?;
            }
            writeln!(f)?;
        }
        if let Some(rates) = &self.rates {
            let Rates {
                last_second,
                last_minute,
            } = rates;
            writeln!(
                f,
                "  {last_second:.1} tasks a second, {last_minute:.1} over the last minute"
            )?;
        }
        if let Some(oldest) = self.oldest_queued {
            writeln!(
                f,
                "  the oldest queued task has waited for {}",
                Short(oldest)
            )?;
        }
        Ok(())
    }
}
