//! Waits for a job, from any process.
//!
//! Layer: jobs.

use crate::CancelToken;
use crate::error::Stopped;
use crate::jobs::error::JobsError;
use crate::jobs::face::{Jobs, from_json};
use crate::jobs::id::JobId;
use crate::jobs::look::{Fate, JobState, Outcome};
use crate::jobs::notifier::Notifier;
use crate::jobs::storage::Watching;
use crate::task::CancelOutcome;
use serde::de::DeserializeOwned;
use std::error::Error;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

/// How long a wait relies on the notifier.
const LOOK_EACH: Duration = Duration::from_secs(1);

/// For so long a storage keeps the outcome for a wait that is not seen to end. The wait registers
/// again before.
const PATIENCE: Duration = Duration::from_secs(60);

/// A stored job: waits for its outcome, or cancels it. Dropping a handle does nothing.
///
/// ```
/// # use millhand::jobs::{Job, JobState, Jobs, Memory};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)] struct Add(u32, u32);
/// # impl Job for Add { const NAME: &'static str = "add"; type Output = u32; }
/// use std::time::Duration;
///
/// # let jobs = Jobs::open(Memory::new())?;
/// let id = jobs.enqueue(&Add(3, 4))?.id(); // may be sent to another process
/// let sum = jobs.handle::<Add>(id);
/// assert_eq!(sum.state()?, Some(JobState::Ready));
/// assert!(sum.join_timeout(Duration::from_millis(1)).is_none()); // nothing runs it here
/// sum.cancel()?;
/// assert!(sum.try_join().unwrap().is_err());
/// # Ok::<(), millhand::jobs::JobsError>(())
/// ```
///
/// Guide: [jobs](crate::guide::jobs).
#[must_use]
pub struct JobHandle<T> {
    jobs: Jobs,
    id: JobId,
    output: PhantomData<fn() -> T>,
}

/// Why a job has no output for this caller.
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Debug)]
#[non_exhaustive]
pub enum JobError {
    /// It failed for good, for this reason.
    Dead(String),
    /// It was cancelled.
    Cancelled,
    /// It was not begun in time.
    Expired,
    /// It has ended, and its outcome was not kept: neither by
    /// [`keep`](crate::jobs::JobBuilder::keep), nor for a wait that had begun.
    Forgotten,
    /// No job has had this id in this storage.
    Unknown,
    /// Its output is not what the handle expects.
    Decode(String),
    /// The task that waits was asked to stop.
    Interrupted(Stopped),
    /// The storage cannot be read.
    Storage(JobsError),
}

impl<T> JobHandle<T> {
    pub(super) fn new(jobs: &Jobs, id: JobId) -> Self {
        Self {
            jobs: jobs.clone(),
            id,
            output: PhantomData,
        }
    }

    /// Returns the id of the job.
    pub fn id(&self) -> JobId {
        self.id
    }

    /// Returns how far the job has come. `None` if it has ended and nothing of it is kept, or if
    /// there was none.
    ///
    /// # Errors
    /// The storage cannot be read.
    pub fn state(&self) -> Result<Option<JobState>, JobsError> {
        Ok(match self.jobs.storage().outcome(self.id)? {
            Fate::Live(state) => Some(state),
            Fate::Ended(outcome) => Some(outcome.state()),
            Fate::Forgotten | Fate::Unknown => None,
        })
    }

    /// Cancels the job. One that waits ends now. One that runs is asked to stop: its consumer is
    /// notified, and learns it with its next heartbeat at the latest, within a third of its lease.
    /// If the job succeeds nevertheless, it is done. What [follows](crate::jobs::JobBuilder::after)
    /// a cancelled job is cancelled, too.
    ///
    /// # Errors
    /// It could not be stored.
    pub fn cancel(&self) -> Result<CancelOutcome, JobsError> {
        self.jobs.storage().cancel(self.id)
    }
}

impl<T: DeserializeOwned> JobHandle<T> {
    /// Waits for the output of the job. A worker that waits releases its run slot. In the handler
    /// of a job, a wait for another job of the same queue may wait for ever: all consumers may wait
    /// so.
    ///
    /// Enqueue the job with [`keep`](crate::jobs::JobBuilder::keep). Otherwise its outcome is gone
    /// if it has ended before the wait begins, which may be at once.
    ///
    /// # Errors
    /// See [`JobError`].
    pub fn join(&self) -> Result<T, JobError> {
        loop {
            if let Some(ended) = self.jobs.await_outcome(self.id, None) {
                return output(ended);
            }
        }
    }

    /// The same, for no longer than `timeout`. Returns `None` if the job has not ended by then.
    ///
    /// # Errors
    /// See [`JobError`].
    pub fn join_timeout(&self, timeout: Duration) -> Option<Result<T, JobError>> {
        self.jobs.await_outcome(self.id, Some(timeout)).map(output)
    }

    /// Returns the output, if the job has ended.
    ///
    /// # Errors
    /// See [`JobError`].
    pub fn try_join(&self) -> Option<Result<T, JobError>> {
        let fate = self.jobs.storage().outcome(self.id);
        ended(fate).map(output)
    }
}

pub(super) fn output<T: DeserializeOwned>(ended: Result<Vec<u8>, JobError>) -> Result<T, JobError> {
    from_json(&ended?).map_err(JobError::Decode)
}

pub(super) fn ended(fate: Result<Fate, JobsError>) -> Option<Result<Vec<u8>, JobError>> {
    Some(match fate {
        Ok(Fate::Live(_)) => return None,
        Ok(Fate::Ended(Outcome::Done(output))) => Ok(output),
        Ok(Fate::Ended(Outcome::Dead(text))) => Err(JobError::Dead(text)),
        Ok(Fate::Ended(Outcome::Cancelled)) => Err(JobError::Cancelled),
        Ok(Fate::Ended(Outcome::Expired)) => Err(JobError::Expired),
        Ok(Fate::Forgotten) => Err(JobError::Forgotten),
        Ok(Fate::Unknown) => Err(JobError::Unknown),
        Err(error) => Err(JobError::Storage(error)),
    })
}

impl Jobs {
    /// Waits for the output of a job, as JSON. `None` if it has not ended in time.
    fn await_outcome(
        &self,
        id: JobId,
        timeout: Option<Duration>,
    ) -> Option<Result<Vec<u8>, JobError>> {
        // Tokens measure by the clock of the thread that waits: on a worker, that of its pool.
        let limit = timeout.map_or_else(CancelToken::new, CancelToken::with_timeout);
        let notifier = Notifier::new();
        let mut registered = None;
        loop {
            let is_fresh = |(_, fresh): &(Watching, CancelToken)| !fresh.is_cancelled();
            if !registered.as_ref().is_some_and(is_fresh) {
                let fresh = CancelToken::with_timeout(PATIENCE / 2);
                // Before the one that it takes the place of is dropped.
                match self.storage().watch(id, &notifier, PATIENCE) {
                    Ok(watching) => registered = Some((watching, fresh)),
                    Err(error) => return Some(Err(JobError::Storage(error))),
                }
            }
            let listening = notifier.listen();
            let fate = ended(self.storage().outcome(id));
            if fate.is_some() {
                return fate;
            }
            let left = limit.remaining().unwrap_or(LOOK_EACH);
            if left.is_zero() {
                return None;
            }
            if let Err(stopped) = listening.wait_timeout(left.min(LOOK_EACH)) {
                return Some(Err(JobError::Interrupted(stopped)));
            }
        }
    }
}

impl<T> From<&JobHandle<T>> for JobId {
    fn from(handle: &JobHandle<T>) -> Self {
        handle.id
    }
}

impl<T> Clone for JobHandle<T> {
    fn clone(&self) -> Self {
        Self::new(&self.jobs, self.id)
    }
}

impl<T> fmt::Debug for JobHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            jobs: _,
            id,
            output: _,
        } = self;
        f.debug_struct("JobHandle").field("id", id).finish()
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dead(text) => write!(f, "the job has failed: {text}"),
            Self::Cancelled => f.write_str("the job was cancelled"),
            Self::Expired => f.write_str("the job was not begun in time"),
            Self::Forgotten => f.write_str("the job has ended, and its outcome was not kept"),
            Self::Unknown => f.write_str("there is no such job"),
            Self::Decode(text) => write!(f, "the output of the job cannot be read: {text}"),
            Self::Interrupted(stopped) => stopped.fmt(f),
            Self::Storage(error) => error.fmt(f),
        }
    }
}

impl Error for JobError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Interrupted(stopped) => Some(stopped),
            Self::Storage(error) => error.source(),
            _ => None,
        }
    }
}
