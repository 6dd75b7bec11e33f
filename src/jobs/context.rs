//! What a handler knows of its job.
//!
//! Layer: jobs.

use crate::CancelToken;
use crate::jobs::error::JobsError;
#[cfg(feature = "sqlite")]
use crate::jobs::error::JobsErrorKind;
use crate::jobs::face::Jobs;
#[cfg(feature = "sqlite")]
use crate::jobs::face::to_json;
use crate::jobs::handle::{JobError, ended, output};
use crate::jobs::id::JobId;
#[cfg(feature = "sqlite")]
use crate::jobs::record::Judged;
use crate::jobs::record::{Claimed, Meta};
use crate::jobs::time::StoredTime;
use parking_lot::Mutex;
#[cfg(feature = "sqlite")]
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::error::Error;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What a handler knows of its job, beside the job itself.
///
/// Guide: [jobs](crate::guide::jobs).
pub struct JobContext {
    claimed: Claimed,
    token: CancelToken,
    postponed: Mutex<Option<Duration>>,
    jobs: Jobs,
    /// How long the handler keeps the outcome.
    #[cfg_attr(
        not(feature = "sqlite"),
        allow(dead_code, reason = "for `complete_in` alone")
    )]
    keep: Option<Duration>,
    /// Whether it has ended in a transaction of the handler.
    is_completed: AtomicBool,
}

/// The error of a job that is to be run later. From [`JobContext::postpone`].
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Postponed(Duration);

impl JobContext {
    pub(super) fn new(
        claimed: Claimed,
        token: CancelToken,
        jobs: &Jobs,
        keep: Option<Duration>,
    ) -> Self {
        Self {
            claimed,
            token,
            postponed: Mutex::new(None),
            jobs: jobs.clone(),
            keep,
            is_completed: AtomicBool::new(false),
        }
    }

    /// Returns the id of the job.
    pub fn id(&self) -> JobId {
        self.claimed.id
    }

    /// Returns the kind of the job as it was stored: the name of its type, or one of the aliases.
    pub fn kind(&self) -> &str {
        &self.claimed.kind
    }

    /// Returns the queue of the job.
    pub fn queue(&self) -> &str {
        &self.claimed.queue
    }

    /// Returns how often the job has failed before.
    pub fn failures(&self) -> u32 {
        self.claimed.failures
    }

    /// Returns how often the job has lost its worker before: a process was killed, or could not
    /// reach the storage for longer than its lease. What the job did then may be done.
    pub fn crashes(&self) -> u32 {
        self.claimed.crashes
    }

    /// Returns why the job failed last.
    pub fn last_error(&self) -> Option<&str> {
        self.claimed.error.as_deref()
    }

    /// Returns when the job was stored.
    pub fn enqueued_at(&self) -> StoredTime {
        self.claimed.enqueued_at
    }

    /// Returns the strings that travel with the job.
    pub fn meta(&self) -> &Meta {
        &self.claimed.meta
    }

    /// Returns the outputs of the jobs that this one [follows](crate::jobs::JobBuilder::after), in
    /// the order in which they were named, each once. For parents of several types, `T` may be
    /// `serde_json::Value`. One is an error if that job has not succeeded
    /// ([`even_if_failed`](crate::jobs::JobBuilder::even_if_failed)), and
    /// [`Forgotten`](JobError::Forgotten) if its outcome was not kept when this job was stored.
    ///
    /// # Errors
    /// The storage cannot be read.
    pub fn parents<T: DeserializeOwned>(&self) -> Result<Vec<Result<T, JobError>>, JobsError> {
        let parents = self.jobs.storage().parents(self.id())?;
        let outputs = parents.into_iter().map(|(_, fate)| {
            // One that was made ready again by hand has no outcome at the moment.
            ended(Ok(fate)).map_or(Err(JobError::Forgotten), output)
        });
        Ok(outputs.collect())
    }

    /// Returns a token that is cancelled if the job is: by hand, or since its lease was lost. All
    /// waits of the library end then, and at the shutdown of the pool.
    pub fn token(&self) -> &CancelToken {
        &self.token
    }

    /// Runs the job again so much later, and counts that as nothing. It is for the handler to
    /// return an error then: this one, or any other.
    ///
    /// ```
    /// # use millhand::jobs::{Job, JobContext};
    /// # use std::time::Duration;
    /// # struct Call;
    /// # fn is_office_open() -> bool { true }
    /// fn call(job: Call, context: &JobContext) -> Result<(), Box<dyn std::error::Error + Send +
    /// Sync>> {
    ///     if !is_office_open() {
    ///         return Err(context.postpone(Duration::from_secs(600)).into());
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn postpone(&self, later: Duration) -> Postponed {
        *self.postponed.lock() = Some(later);
        Postponed(later)
    }

    /// Ends the job in a transaction of yours, in the file of the storage: what the handler writes
    /// there and the end of the job both happen, or neither. Commit, and return the same output.
    /// That is kept for as long as the job says, or else
    /// [`Handler::keep`](crate::jobs::Handler::keep). A handler that returns without the commit has
    /// failed.
    ///
    /// ```
    /// # use millhand::jobs::{Job, JobContext, rusqlite::Connection};
    /// # use std::sync::Mutex;
    /// # struct Ship { order: i64 }
    /// # type Error = Box<dyn std::error::Error + Send + Sync>;
    /// fn ship(db: &Mutex<Connection>, job: Ship, context: &JobContext) -> Result<(), Error> {
    ///     let mut db = db.lock().unwrap();
    ///     let tx = db.transaction()?;
    ///     tx.execute("UPDATE orders SET shipped = 1 WHERE id = ?1", [job.order])?;
    ///     context.complete_in(&tx, &())?;
    ///     tx.commit()?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// Do not commit then. [`Stale`](crate::jobs::JobsErrorKind::Stale) if the lease was lost, and
    /// another consumer has the job. [`Invalid`](crate::jobs::JobsErrorKind::Invalid) if the
    /// storage is no SQLite file. Others as of every write.
    #[cfg(feature = "sqlite")]
    pub fn complete_in<T: Serialize>(
        &self,
        transaction: &rusqlite::Connection,
        output: &T,
    ) -> Result<(), JobsError> {
        self.complete_with(transaction, &to_json(self.kind(), output)?)
    }

    #[cfg(feature = "sqlite")]
    fn complete_with(
        &self,
        transaction: &rusqlite::Connection,
        output: &[u8],
    ) -> Result<(), JobsError> {
        let (id, claim) = (self.claimed.id, self.claimed.claim);
        let sqlite = self.jobs.sqlite()?;
        match sqlite.complete_in(transaction, id, claim, output, self.keep)? {
            Judged::Gone => Err(JobsError::new(
                JobsErrorKind::Stale,
                format!("another consumer has the job {id}: do not commit"),
            )),
            _ => {
                self.is_completed.store(true, Ordering::Relaxed);
                Ok(())
            }
        }
    }

    pub(super) fn is_completed(&self) -> bool {
        self.is_completed.load(Ordering::Relaxed)
    }

    pub(super) fn postponed(&self) -> Option<Duration> {
        *self.postponed.lock()
    }
}

impl fmt::Debug for JobContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            claimed,
            token: _,
            postponed: _,
            jobs: _,
            keep: _,
            is_completed: _,
        } = self;
        f.debug_struct("JobContext")
            .field("id", &claimed.id)
            .field("kind", &claimed.kind)
            .field("queue", &claimed.queue)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Postponed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "postponed by {:?}", self.0)
    }
}

impl Error for Postponed {}
