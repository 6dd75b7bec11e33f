//! The options of a job, and the verbs that store it.
//!
//! Layer: jobs.

use crate::jobs::error::JobsError;
use crate::jobs::face::{Jobs, to_json};
use crate::jobs::handle::JobHandle;
use crate::jobs::id::JobId;
use crate::jobs::job::Job;
use crate::jobs::record::{Due, NewJob, Placed, Unique, UniqueUntil};
use std::fmt;
use std::time::{Duration, SystemTime};

/// Sets the options of jobs before they are stored: a template, to be used once or often. Made by
/// [`Jobs::job`].
///
/// | option | default |
/// | --- | --- |
/// | [`queue`](Self::queue) | [`Job::QUEUE`] |
/// | [`priority`](Self::priority) | 0 |
/// | [`delay`](Self::delay), [`at`](Self::at) | at once |
/// | [`expires`](Self::expires) | never |
/// | [`unique`](Self::unique), [`unique_until_started`](Self::unique_until_started), [`unique_for`](Self::unique_for) | not unique |
/// | [`replace`](Self::replace) | the first job with a unique key stays as it is |
/// | [`lane`](Self::lane) | runs beside all others |
/// | [`after`](Self::after), [`even_if_failed`](Self::even_if_failed) | waits for no other job |
/// | [`keep`](Self::keep) | no longer than something waits for the outcome |
/// | [`at_most_once`](Self::at_most_once) | runs again if its worker is lost |
/// | [`max_crashes`](Self::max_crashes) | 3 |
/// | [`meta`](Self::meta) | none |
///
/// ```
/// # use millhand::jobs::{Job, Jobs, Memory};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)] struct Invoice { number: u32 }
/// # impl Job for Invoice { const NAME: &'static str = "invoice"; type Output = (); }
/// use std::time::Duration;
///
/// # let jobs = Jobs::open(Memory::new())?;
/// let urgent = jobs.job().queue("billing").priority(10);
/// let first = urgent.clone().unique("17").enqueue(&Invoice { number: 17 })?;
/// let again = urgent.clone().unique("17").enqueue(&Invoice { number: 17 })?;
/// assert!(first.is_new() && !again.is_new());
/// assert_eq!(first.id(), again.id());
///
/// let tomorrow = urgent.delay(Duration::from_secs(86_400));
/// let stored = tomorrow.enqueue_all((18..20).map(|number| Invoice { number }))?;
/// assert_eq!(stored.len(), 2);
/// # Ok::<(), millhand::jobs::JobsError>(())
/// ```
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone)]
#[must_use]
pub struct JobBuilder {
    jobs: Jobs,
    queue: Option<String>,
    /// Without queue, kind and payload.
    options: NewJob,
}

/// A job that was enqueued: the new one, or the one that has its unique key.
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Debug, Clone)]
pub struct Enqueued<T> {
    placed: Placed,
    handle: JobHandle<T>,
}

impl JobBuilder {
    pub(super) fn new(jobs: &Jobs) -> Self {
        Self {
            jobs: jobs.clone(),
            queue: None,
            options: NewJob::new("", "", []),
        }
    }

    /// Sets the queue in which the job waits. It waits until a consumer takes jobs of this queue.
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.queue = Some(queue.into());
        self
    }

    /// Sets the priority. Within a queue, larger ones go first.
    pub fn priority(mut self, priority: i32) -> Self {
        self.options.priority = priority;
        self
    }

    /// Makes the job due so long after it was stored.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.options.due = Due::After(delay);
        self
    }

    /// Makes the job due at this time of day, by the clock of the storage.
    pub fn at(mut self, time: SystemTime) -> Self {
        self.options.due = Due::At(time.into());
        self
    }

    /// Ends the job as expired if it has not begun so long after it was due.
    pub fn expires(mut self, after: Duration) -> Self {
        self.options.expires = Some(after);
        self
    }

    /// Stores the job only if none of its kind with this key is stored, until it has ended.
    pub fn unique(self, key: impl Into<String>) -> Self {
        self.unique_until(key.into(), UniqueUntil::Ended)
    }

    /// The same, until the job begins for the first time.
    pub fn unique_until_started(self, key: impl Into<String>) -> Self {
        self.unique_until(key.into(), UniqueUntil::Started)
    }

    /// The same, for so long after the job was stored, whether it has ended or not: a key for
    /// idempotency.
    pub fn unique_for(self, key: impl Into<String>, period: Duration) -> Self {
        self.unique_until(key.into(), UniqueUntil::Elapsed(period))
    }

    /// If the job that has the unique key has never begun, it gets payload, meta, time and expiry
    /// of this one: of many changes in a row, one job is made, for the last of them. Otherwise
    /// nothing is stored, as ever.
    ///
    /// ```
    /// # use millhand::jobs::{Job, Jobs, Memory};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Index { revision: u32 }
    /// # impl Job for Index { const NAME: &'static str = "index"; type Output = (); }
    /// use std::time::Duration;
    ///
    /// # let jobs = Jobs::open(Memory::new())?;
    /// let settled = jobs.job().unique("page-7").delay(Duration::from_secs(10)).replace();
    /// let first = settled.enqueue(&Index { revision: 1 })?;
    /// let second = settled.enqueue(&Index { revision: 2 })?; // ten seconds from now
    /// assert!(first.is_new() && second.is_replaced());
    /// assert_eq!(jobs.get(first.id())?.unwrap().payload, br#"{"revision":2}"#);
    /// # Ok::<(), millhand::jobs::JobsError>(())
    /// ```
    pub fn replace(mut self) -> Self {
        self.options.replace = true;
        self
    }

    /// Puts the job into a lane: of the jobs with this key, of whatever kinds and queues, one runs
    /// at a time in the whole storage, in the order in which they were stored. A job that fails
    /// keeps the lane until it has succeeded or is dead. Priorities count between lanes, and not
    /// within one.
    ///
    /// ```
    /// # use millhand::jobs::{Job, JobState, Jobs, Memory};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Book { amount: i64 }
    /// # impl Job for Book { const NAME: &'static str = "book"; type Output = (); }
    /// # let jobs = Jobs::open(Memory::new())?;
    /// let account = jobs.job().lane("account-17");
    /// let first = account.enqueue(&Book { amount: 100 })?;
    /// let second = account.enqueue(&Book { amount: -40 })?;
    /// assert_eq!(first.handle().state()?, Some(JobState::Ready));
    /// assert_eq!(second.handle().state()?, Some(JobState::Blocked));
    /// # Ok::<(), millhand::jobs::JobsError>(())
    /// ```
    pub fn lane(mut self, key: impl Into<String>) -> Self {
        self.options.lane = Some(key.into());
        self
    }

    /// Begins the job when all of these have succeeded. If one of them does not, the job is
    /// cancelled, and so is what follows it. It finds their outputs by
    /// [`JobContext::parents`](crate::jobs::JobContext::parents). A job that had ended before, and
    /// whose outcome was not kept, counts as one that succeeded: so [`keep`](Self::keep) those that
    /// may end before this is stored.
    ///
    /// ```
    /// # use millhand::jobs::{Job, JobContext, Jobs, Memory};
    /// # use millhand::{Shutdown, ThreadPool};
    /// # use serde::{Deserialize, Serialize};
    /// # use std::time::Duration;
    /// #[derive(Serialize, Deserialize)]
    /// struct Count {
    ///     words: String,
    /// }
    ///
    /// impl Job for Count {
    ///     const NAME: &'static str = "count";
    ///     type Output = usize;
    /// }
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct Sum;
    ///
    /// impl Job for Sum {
    ///     const NAME: &'static str = "sum";
    ///     type Output = usize;
    /// }
    ///
    /// # let jobs = Jobs::open(Memory::new())?;
    /// let kept = jobs.job().keep(Duration::from_secs(3600));
    /// let texts = ["one two", "three"].map(|words| Count { words: words.into() });
    /// let parts = kept.enqueue_all(texts)?;
    /// let sum = kept.after(&parts).enqueue(&Sum)?;
    /// # let pool = ThreadPool::new(2)?;
    /// # jobs.consumer(&pool).queue("default", 2)
    /// #     .handle(|job: Count, _: &JobContext| Ok::<_, String>(job.words.split(' ').count()))
    /// .handle(|_: Sum, job: &JobContext| {
    ///     let counts: Result<Vec<usize>, _> = job.parents()?.into_iter().collect();
    ///     Ok::<_, Box<dyn std::error::Error + Send + Sync>>(counts?.iter().sum())
    /// })
    /// # .start()?;
    /// # assert_eq!(sum.handle().join()?, 3);
    /// # pool.shutdown(Shutdown::drain())?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn after(mut self, jobs: impl IntoIterator<Item = impl Into<JobId>>) -> Self {
        self.options.after.extend(jobs.into_iter().map(Into::into));
        self
    }

    /// Begins the job also if jobs that it [follows](Self::after) did not succeed.
    pub fn even_if_failed(mut self) -> Self {
        self.options.even_if_failed = true;
        self
    }

    fn unique_until(mut self, key: String, until: UniqueUntil) -> Self {
        self.options.unique = Some(Unique { key, until });
        self
    }

    /// Keeps the outcome for so long after the end.
    pub fn keep(mut self, period: Duration) -> Self {
        self.options.keep = Some(period);
        self
    }

    /// Never begins the job twice by itself. It is dead if its worker is lost, if it fails, and if
    /// it is asked to stop at a shutdown and leaves. A handler that postpones it, and a
    /// [retry](crate::jobs::Jobs::retry_dead) by hand, begin it again.
    pub fn at_most_once(mut self) -> Self {
        self.options.at_most_once = true;
        self
    }

    /// Sets how often the job may lose its worker. Once more, and it is dead.
    pub fn max_crashes(mut self, crashes: u32) -> Self {
        self.options.max_crashes = crashes;
        self
    }

    /// Adds a string that travels with the job: the id of a request, the parent of a trace.
    pub fn meta(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.meta.insert(key.into(), value.into());
        self
    }

    /// Stores a job. When this returns, it is as safe as the storage promises.
    ///
    /// # Errors
    /// As [`Storage::enqueue`](crate::jobs::Storage::enqueue). A job that cannot be written as JSON
    /// is an error of the kind [`Encode`](crate::jobs::JobsErrorKind::Encode).
    pub fn enqueue<J: Job>(&self, job: &J) -> Result<Enqueued<J::Output>, JobsError> {
        let job = self.build(job)?;
        let placed = self.jobs.enqueue_records(&[job])?;
        Ok(self.enqueued(placed[0]))
    }

    /// Stores jobs: all of them, or none. They have the order of the iterator.
    ///
    /// # Errors
    /// As [`enqueue`](Self::enqueue). The text says which job it was, by its place.
    pub fn enqueue_all<J: Job>(
        &self,
        jobs: impl IntoIterator<Item = J>,
    ) -> Result<Vec<Enqueued<J::Output>>, JobsError> {
        let built: Result<Vec<_>, _> = jobs.into_iter().map(|job| self.build(&job)).collect();
        let placed = self.jobs.enqueue_records(&built?)?;
        Ok(placed.into_iter().map(|one| self.enqueued(one)).collect())
    }

    /// Stores a job in a transaction of yours, in the file of the storage: it is there if that
    /// commits, and has never been if it does not. After the commit, [`Jobs::wake`] begins it at
    /// once; otherwise consumers find it within 100 ms.
    ///
    /// ```
    /// use millhand::jobs::{Job, Jobs, Sqlite, rusqlite::Connection};
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct Ship {
    ///     order: i64,
    /// }
    ///
    /// impl Job for Ship {
    ///     const NAME: &'static str = "ship";
    ///     type Output = ();
    /// }
    ///
    /// # let path = std::env::temp_dir().join(format!("millhand-tx-{}.db", std::process::id()));
    /// let jobs = Jobs::open(Sqlite::open(&path)?)?;
    /// let mut db = Connection::open(&path)?;
    /// db.execute_batch("CREATE TABLE orders(id INTEGER PRIMARY KEY, item TEXT)")?;
    ///
    /// let tx = db.transaction()?;
    /// tx.execute("INSERT INTO orders(item) VALUES ('tea')", [])?;
    /// let ship = Ship { order: tx.last_insert_rowid() };
    /// jobs.job().enqueue_in(&tx, &ship)?;
    /// tx.commit()?;
    /// jobs.wake();
    /// # assert_eq!(jobs.counts()?.queues[0].ready, 1);
    /// # drop((db, jobs));
    /// # std::fs::remove_file(path)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`enqueue`](Self::enqueue). [`Invalid`](crate::jobs::JobsErrorKind::Invalid) if the
    /// storage is no SQLite file. That the connection is one to the same file is for you to see to.
    #[cfg(feature = "sqlite")]
    pub fn enqueue_in<J: Job>(
        &self,
        transaction: &rusqlite::Connection,
        job: &J,
    ) -> Result<Enqueued<J::Output>, JobsError> {
        let job = self.build(job)?;
        let placed = self.jobs.sqlite()?.enqueue_in(transaction, &[job])?;
        Ok(self.enqueued(placed[0]))
    }

    /// Makes the record of a job, for [`Storage::enqueue`](crate::jobs::Storage::enqueue).
    ///
    /// # Errors
    /// [`Encode`](crate::jobs::JobsErrorKind::Encode) if it cannot be written as JSON.
    pub fn build<J: Job>(&self, job: &J) -> Result<NewJob, JobsError> {
        Ok(self.record(J::NAME, J::QUEUE, to_json(J::NAME, job)?))
    }

    /// The queue, where that of the type of the job is this one.
    pub(super) fn queue_or(&self, queue: &str) -> String {
        self.queue.clone().unwrap_or_else(|| queue.to_owned())
    }

    fn record(&self, kind: &str, queue: &str, payload: Vec<u8>) -> NewJob {
        let mut record = self.options.clone();
        record.kind = kind.to_owned();
        record.queue = self.queue_or(queue);
        record.payload = payload;
        record
    }

    fn enqueued<T>(&self, placed: Placed) -> Enqueued<T> {
        Enqueued {
            placed,
            handle: JobHandle::new(&self.jobs, placed.id()),
        }
    }
}

impl<T> Enqueued<T> {
    /// Returns the id of the job that is stored.
    pub fn id(&self) -> JobId {
        self.handle.id()
    }

    /// Returns whether it was stored now. If not, an earlier job has its unique key.
    pub fn is_new(&self) -> bool {
        self.placed.is_new()
    }

    /// Returns whether an earlier job has its unique key, and has got what this one says.
    pub fn is_replaced(&self) -> bool {
        matches!(self.placed, Placed::Replaced(_))
    }

    /// Returns the handle of the job that is stored.
    pub fn handle(&self) -> &JobHandle<T> {
        &self.handle
    }

    /// Returns the handle of the job that is stored.
    pub fn into_handle(self) -> JobHandle<T> {
        self.handle
    }
}

impl<T> From<&Enqueued<T>> for JobId {
    fn from(enqueued: &Enqueued<T>) -> Self {
        enqueued.id()
    }
}

impl fmt::Debug for JobBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            jobs: _,
            queue,
            options,
        } = self;
        f.debug_struct("JobBuilder")
            .field("queue", queue)
            .field("options", options)
            .finish()
    }
}
