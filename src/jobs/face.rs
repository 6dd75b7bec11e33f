//! The face of durable jobs: enqueue, wait, look, change.
//!
//! Layer: jobs.

use crate::jobs::builder::{Enqueued, JobBuilder};
use crate::jobs::error::{JobsError, JobsErrorKind};
use crate::jobs::gather::Gathering;
use crate::jobs::handle::JobHandle;
use crate::jobs::id::JobId;
use crate::jobs::job::Job;
use crate::jobs::look::{
    Counts, Facts, Fate, Fault, Filter, JobInfo, JobState, Page, QueueChange, QueueSettings,
    ScheduleChange, StoredSchedule,
};
use crate::jobs::record::{Batch, NewJob, Placed};
use crate::jobs::session::Session;
use crate::jobs::storage::Storage;
use crate::task::CancelOutcome;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::sync::Arc;

/// How many jobs a page of a list has, and a step of a retry or a purge.
const PAGE: usize = 500;

/// Durable jobs in a storage. Clones are the same.
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone)]
pub struct Jobs(Arc<Inner>);

struct Inner {
    storage: Box<dyn Storage>,
    facts: Facts,
    gathering: Gathering,
}

impl Jobs {
    /// Opens a storage.
    ///
    /// # Errors
    /// The storage cannot be reached.
    pub fn open(storage: impl Storage) -> Result<Self, JobsError> {
        let facts = storage.facts()?;
        Ok(Self(Arc::new(Inner {
            storage: Box::new(storage),
            facts,
            gathering: Gathering::new(),
        })))
    }

    /// Returns the storage.
    pub fn storage(&self) -> &dyn Storage {
        &*self.0.storage
    }

    /// Returns what the storage is. Its warnings are worth a line in the log of a program.
    pub fn facts(&self) -> &Facts {
        &self.0.facts
    }

    /// Stores a job. When this returns, it is as safe as the storage promises.
    ///
    /// # Errors
    /// See [`JobBuilder::enqueue`].
    pub fn enqueue<J: Job>(&self, job: &J) -> Result<Enqueued<J::Output>, JobsError> {
        self.job().enqueue(job)
    }

    /// Makes a template for jobs with options.
    pub fn job(&self) -> JobBuilder {
        JobBuilder::new(self)
    }

    /// Returns the handle of a job that was stored before, perhaps by another process. `J` is its
    /// type.
    pub fn handle<J: Job>(&self, id: JobId) -> JobHandle<J::Output> {
        JobHandle::new(self, id)
    }

    /// Returns the handle of a job of which only the type of the output is known.
    pub fn handle_of<T>(&self, id: JobId) -> JobHandle<T> {
        JobHandle::new(self, id)
    }

    /// Cancels a job. See [`JobHandle::cancel`].
    ///
    /// # Errors
    /// It could not be stored.
    pub fn cancel(&self, id: JobId) -> Result<CancelOutcome, JobsError> {
        self.storage().cancel(id)
    }

    /// Returns what has become of a job.
    ///
    /// # Errors
    /// The storage cannot be read.
    pub fn outcome(&self, id: JobId) -> Result<Fate, JobsError> {
        self.storage().outcome(id)
    }

    /// Stores jobs whose kinds are known at run time only: all of them, or none.
    ///
    /// ```
    /// use millhand::jobs::{Jobs, Memory, NewJob};
    ///
    /// let jobs = Jobs::open(Memory::new())?;
    /// let placed = jobs.enqueue_records(&[NewJob::new("default", "import", "{\"file\":\"a.csv\"}")])?;
    /// assert!(placed[0].is_new());
    /// # Ok::<(), millhand::jobs::JobsError>(())
    /// ```
    ///
    /// # Errors
    /// As [`Storage::enqueue`].
    pub fn enqueue_records(&self, jobs: &[NewJob]) -> Result<Vec<Placed>, JobsError> {
        if !self.0.facts.repeats {
            return self.storage().enqueue(&Batch { number: None, jobs });
        }
        let enqueue = |batch: &Batch<'_>| self.storage().enqueue(batch);
        self.0.gathering.store(jobs, &enqueue)
    }

    /// The storage in a SQLite file.
    #[cfg(feature = "sqlite")]
    pub(super) fn sqlite(&self) -> Result<&crate::jobs::Sqlite, JobsError> {
        self.storage().sqlite().ok_or_else(|| {
            let text = "a transaction of the program needs a storage in a SQLite file";
            JobsError::new(JobsErrorKind::Invalid, text)
        })
    }

    /// Wakes the consumers, after the commit of a transaction with
    /// [`enqueue_in`](JobBuilder::enqueue_in). Does nothing for a storage that is no SQLite file.
    #[cfg(feature = "sqlite")]
    pub fn wake(&self) {
        if let Some(sqlite) = self.storage().sqlite() {
            sqlite.wake();
        }
    }

    /// Counts the jobs.
    ///
    /// # Errors
    /// The storage cannot be read.
    pub fn counts(&self) -> Result<Counts, JobsError> {
        self.storage().counts()
    }

    /// Returns what is stored of a job, payload and all. `None` if nothing is.
    ///
    /// # Errors
    /// The storage cannot be read.
    pub fn get(&self, id: JobId) -> Result<Option<JobInfo>, JobsError> {
        let filter = Filter {
            ids: Some(vec![id]),
            payloads: true,
            ..Filter::default()
        };
        let page = Page {
            after: JobId(0),
            most: 1,
        };
        Ok(self.storage().list(&filter, page)?.pop())
    }

    /// Lists jobs in the order of their ids, a page at a time. A job that changes meanwhile may
    /// come twice, or not at all. After an error the list ends.
    pub fn list(&self, filter: Filter) -> impl Iterator<Item = Result<JobInfo, JobsError>> + use<> {
        let jobs = self.clone();
        let mut after = Some(JobId(0));
        let mut page = Vec::new().into_iter();
        std::iter::from_fn(move || {
            if page.len() == 0 {
                let look = Page {
                    after: after?,
                    most: PAGE,
                };
                match jobs.storage().list(&filter, look) {
                    Ok(next) => {
                        after = next.last().map(|last| last.id);
                        page = next.into_iter();
                    }
                    Err(error) => {
                        after = None;
                        return Some(Err(error));
                    }
                }
            }
            page.next().map(Ok)
        })
    }

    /// Makes dead jobs ready again, with the same ids: those of the filter, whose state need not be
    /// set. One whose unique key another job has got stays dead. Returns how many are ready.
    ///
    /// # Errors
    /// It could not be stored. Some of them may be ready.
    pub fn retry_dead(&self, filter: &Filter) -> Result<u64, JobsError> {
        let filter = Filter {
            state: Some(JobState::Dead),
            ..filter.clone()
        };
        let mut sum = 0;
        // Each job once: a consumer may end one again in the meantime.
        let mut dead = self.list(filter);
        loop {
            let page: Result<Vec<_>, _> = dead.by_ref().take(PAGE).collect();
            let ids: Vec<_> = page?.iter().map(|job| job.id).collect();
            let count = ids.len();
            if count == 0 {
                return Ok(sum);
            }
            let these = Filter {
                ids: Some(ids),
                ..Filter::default()
            };
            sum += self.storage().retry_dead(&these, count)?;
        }
    }

    /// Removes jobs, except those that run: with a filter that sets nothing, all that wait, too.
    /// Returns how many.
    ///
    /// # Errors
    /// It could not be stored. Some of them may be removed.
    pub fn purge(&self, filter: &Filter) -> Result<u64, JobsError> {
        let mut sum = 0;
        loop {
            let removed = self.storage().purge(filter, PAGE)?;
            sum += removed;
            if removed < PAGE as u64 {
                return Ok(sum);
            }
        }
    }

    /// Returns what holds for a queue in all processes.
    ///
    /// # Errors
    /// The storage cannot be read.
    pub fn queue(&self, name: &str) -> Result<QueueSettings, JobsError> {
        self.storage().queue(name)
    }

    /// Changes what holds for a queue in all processes: pauses it, or limits it.
    ///
    /// # Errors
    /// It could not be stored.
    pub fn set_queue(&self, name: &str, change: QueueChange) -> Result<(), JobsError> {
        self.storage().set_queue(name, change)
    }

    /// Lists the schedules.
    ///
    /// # Errors
    /// The storage cannot be read.
    pub fn schedules(&self) -> Result<Vec<StoredSchedule>, JobsError> {
        self.storage().schedules()
    }

    /// Changes a schedule. Returns whether there is one of this name.
    ///
    /// # Errors
    /// It could not be stored.
    pub fn set_schedule(&self, name: &str, change: ScheduleChange) -> Result<bool, JobsError> {
        self.storage().set_schedule(name, change)
    }

    /// Lists the sessions: the consumers that live, or whose end nothing has noticed.
    ///
    /// # Errors
    /// The storage cannot be read.
    pub fn sessions(&self) -> Result<Vec<Session>, JobsError> {
        self.storage().sessions()
    }

    /// Looks for what no crash may leave behind, and mends it if `mends` is set.
    ///
    /// # Errors
    /// It cannot be read, or not be written.
    pub fn check(&self, mends: bool) -> Result<Vec<Fault>, JobsError> {
        self.storage().check(mends)
    }
}

/// Writes a value that is stored for a job of this kind.
pub(super) fn to_json<T: Serialize>(kind: &str, value: &T) -> Result<Vec<u8>, JobsError> {
    serde_json::to_vec(value).map_err(|error| not_written(kind, error))
}

fn not_written(kind: &str, error: serde_json::Error) -> JobsError {
    let text = format!("a value of a job {kind:?} cannot be written as JSON: {error}");
    JobsError::new(JobsErrorKind::Encode, text).with_source(error)
}

pub(super) fn from_json<T: DeserializeOwned>(json: &[u8]) -> Result<T, String> {
    serde_json::from_slice(json).map_err(|error| error.to_string())
}

impl fmt::Debug for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            storage,
            facts: _,
            gathering: _,
        } = &*self.0;
        f.debug_struct("Jobs").field("storage", storage).finish()
    }
}
