//! What a handler knows of its job.
//!
//! Layer: jobs.

use crate::CancelToken;
use crate::jobs::id::JobId;
use crate::jobs::record::{Claimed, Meta};
use crate::jobs::time::StoredTime;
use parking_lot::Mutex;
use std::error::Error;
use std::fmt;
use std::time::Duration;

/// What a handler knows of its job, beside the job itself.
///
/// Guide: [jobs](crate::guide::jobs).
pub struct JobContext {
    claimed: Claimed,
    token: CancelToken,
    postponed: Mutex<Option<Duration>>,
}

/// The error of a job that is to be run later. From [`JobContext::postpone`].
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Postponed(Duration);

impl JobContext {
    pub(super) fn new(claimed: Claimed, token: CancelToken) -> Self {
        Self {
            claimed,
            token,
            postponed: Mutex::new(None),
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
    /// fn call(job: Call, context: &JobContext) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
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
