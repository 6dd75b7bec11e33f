//! What one sees of a storage, and what one changes by hand.
//!
//! Layer: jobs.

use crate::jobs::error::{JobsError, JobsErrorKind};
use crate::jobs::id::{JobId, SessionId};
use crate::jobs::record::Meta;
use crate::jobs::time::StoredTime;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// What a storage is.
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Its name: for example `SQLite`.
    pub name: String,
    /// The version of what is behind it.
    pub version: String,
    /// What a user should know, each a sentence: for example that a restart loses jobs.
    pub warnings: Vec<String>,
    /// Whether a call may answer an error though the storage did what was asked: a lost connection.
    /// Batches are numbered then, and callers that enqueue at the same time share one.
    pub repeats: bool,
    /// Whether other processes may use it. Then a change of theirs may notify nothing here.
    pub is_shared: bool,
    /// At most so many bytes has a payload, and an output. `None` for no limit.
    pub max_payload: Option<usize>,
}

/// How far a job has come.
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum JobState {
    /// It waits for other jobs: for those before it in its lane, or for those that it follows.
    Blocked,
    /// It waits for its time.
    Scheduled,
    /// It waits for a consumer.
    Ready,
    /// A consumer has claimed it.
    Running,
    /// It succeeded.
    Done,
    /// It failed for good.
    Dead,
    /// It was cancelled.
    Cancelled,
    /// It was not begun in time.
    Expired,
}

impl JobState {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Blocked,
        Self::Scheduled,
        Self::Ready,
        Self::Running,
        Self::Done,
        Self::Dead,
        Self::Cancelled,
        Self::Expired,
    ];

    /// Returns the word for it, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Scheduled => "scheduled",
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Done => "done",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }

    /// Returns whether nothing more happens to it by itself.
    pub const fn has_ended(self) -> bool {
        !matches!(
            self,
            Self::Blocked | Self::Scheduled | Self::Ready | Self::Running
        )
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Reads the [name](JobState::name) of a state.
impl FromStr for JobState {
    type Err = JobsError;

    fn from_str(name: &str) -> Result<Self, JobsError> {
        let known = Self::ALL.into_iter().find(|state| state.name() == name);
        known.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            let text = format!("{name:?} is no state of a job; {names} are");
            JobsError::new(JobsErrorKind::Invalid, text)
        })
    }
}

/// How a job ended for good.
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It succeeded, with this output as JSON.
    Done(Vec<u8>),
    /// It failed, for this reason.
    Dead(String),
    /// It was cancelled.
    Cancelled,
    /// It was not begun in time.
    Expired,
}

impl Outcome {
    /// Returns the state of a job with this outcome.
    pub fn state(&self) -> JobState {
        match self {
            Self::Done(_) => JobState::Done,
            Self::Dead(_) => JobState::Dead,
            Self::Cancelled => JobState::Cancelled,
            Self::Expired => JobState::Expired,
        }
    }
}

/// What a storage knows of a job.
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// No job has had this id.
    Unknown,
    /// It has not ended.
    Live(JobState),
    /// It has ended, and its outcome is kept.
    Ended(Outcome),
    /// It has ended, and its outcome is not kept.
    Forgotten,
}

/// A job, as a storage lists it.
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobInfo {
    /// Which job.
    pub id: JobId,
    /// Its queue.
    pub queue: String,
    /// Its kind.
    pub kind: String,
    /// Its priority.
    pub priority: i32,
    /// How far it has come.
    pub state: JobState,
    /// When it was stored.
    pub enqueued_at: StoredTime,
    /// When it is or was due.
    pub due_at: StoredTime,
    /// When it was begun for the first time.
    pub began_at: Option<StoredTime>,
    /// When it ended.
    pub ended_at: Option<StoredTime>,
    /// How often it was claimed.
    pub claims: u64,
    /// How often it has failed.
    pub failures: u32,
    /// How often its worker was lost.
    pub crashes: u32,
    /// The session that runs it.
    pub session: Option<SessionId>,
    /// Its lane.
    pub lane: Option<String>,
    /// For how many jobs it waits that have not ended.
    pub waits_for: u32,
    /// When it expires, if it has not begun.
    pub expires_at: Option<StoredTime>,
    /// For how long its outcome is kept, if the job says so.
    pub keep: Option<Duration>,
    /// Its unique key.
    pub unique_key: Option<String>,
    /// It is dead if its worker is lost more often than this.
    pub max_crashes: u32,
    /// Whether it never begins twice.
    pub at_most_once: bool,
    /// Why it failed last.
    pub error: Option<String>,
    /// As it was stored.
    pub meta: Meta,
    /// As it was stored, if the filter asks for it.
    pub payload: Vec<u8>,
}

/// Which jobs are meant: those to which all that is set applies.
///
/// ```
/// use millhand::jobs::{Filter, JobState, Jobs, Memory};
///
/// let jobs = Jobs::open(Memory::new())?;
/// let dead_mails = Filter {
///     state: Some(JobState::Dead),
///     queue: Some("mail".into()),
///     ..Filter::default()
/// };
/// for job in jobs.list(dead_mails.clone()) {
///     let job = job?;
///     println!("{} failed {} times: {}", job.id, job.failures, job.error.unwrap_or_default());
/// }
/// let again = jobs.retry_dead(&dead_mails)?;
/// # assert_eq!(again, 0);
/// # Ok::<(), millhand::jobs::JobsError>(())
/// ```
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// These, and no others.
    pub ids: Option<Vec<JobId>>,
    /// In this state. Of those that have ended, a storage lists those whose outcome it keeps.
    pub state: Option<JobState>,
    /// Of this queue.
    pub queue: Option<String>,
    /// Of this kind.
    pub kind: Option<String>,
    /// Ended so long ago, or longer.
    pub ended_before: Option<Duration>,
    /// Whether payloads are wanted.
    pub payloads: bool,
}

/// Which part of a list is wanted.
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Only those with a larger id: the last one of the page before.
    pub after: JobId,
    /// At most so many. A storage may give fewer than that, though not none, if there are more.
    pub most: usize,
}

/// How many jobs there are.
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// By the name of the queue, in the order of the names. Every queue that has a live job or a
    /// setting.
    pub queues: Vec<QueueCounts>,
    /// How many are dead and kept.
    pub dead: u64,
    /// What has happened since the storage was made.
    pub totals: Totals,
}

/// How many jobs of a queue there are.
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueCounts {
    /// The name of the queue.
    pub queue: String,
    /// Whether it is paused.
    pub paused: bool,
    /// How many wait for their time.
    pub scheduled: u64,
    /// How many wait for other jobs.
    pub blocked: u64,
    /// How many wait for a consumer.
    pub ready: u64,
    /// How many run.
    pub running: u64,
}

/// What has happened since the storage was made.
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// How many jobs succeeded.
    pub done: u64,
    /// How many jobs failed for good.
    pub dead: u64,
    /// How many jobs were cancelled.
    pub cancelled: u64,
    /// How many jobs expired.
    pub expired: u64,
    /// How many failures were followed by another attempt.
    pub retried: u64,
    /// How often a running job lost its worker.
    pub crashed: u64,
}

/// What holds for a queue in all processes.
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueSettings {
    /// No job of it is claimed. What runs goes on.
    pub paused: bool,
    /// At most so many of it run at once.
    pub max_running: Option<u32>,
    /// At most so many begin in such a period, in bursts of at most so many. A consumer looks once
    /// a second for more, so give the number for a second or a longer time.
    pub rate: Option<(u32, Duration)>,
}

/// A change of what holds for a queue, for [`Jobs::set_queue`](crate::jobs::Jobs::set_queue).
///
/// ```
/// use millhand::jobs::{Jobs, Memory, QueueChange};
/// use std::time::Duration;
///
/// let jobs = Jobs::open(Memory::new())?;
/// let minute = Duration::from_secs(60);
/// jobs.set_queue("mail", QueueChange::Rate(Some((100, minute))))?;
/// jobs.set_queue("mail", QueueChange::MaxRunning(Some(5)))?;
/// assert_eq!(jobs.queue("mail")?.rate, Some((100, minute)));
/// # Ok::<(), millhand::jobs::JobsError>(())
/// ```
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueChange {
    /// Claims end.
    Pause,
    /// Claims go on.
    Resume,
    /// See [`QueueSettings::max_running`].
    MaxRunning(Option<u32>),
    /// See [`QueueSettings::rate`].
    Rate(Option<(u32, Duration)>),
}

/// A schedule, as a storage knows it.
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredSchedule {
    /// Its name.
    pub name: String,
    /// Its rule, for people.
    pub rule: String,
    /// The last time for which a job was stored. Or else when the schedule was first registered.
    pub last_tick: StoredTime,
    /// How many jobs it has stored.
    pub runs: u64,
    /// Whether it is paused.
    pub paused: bool,
}

/// A change of a schedule by hand.
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScheduleChange {
    /// It stores no more jobs.
    Pause,
    /// It goes on, with the times that come.
    Resume,
    /// The storage knows nothing of it any more.
    Forget,
}

/// Something that [`check`](crate::jobs::Storage::check) found, and that should not be.
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which job, if it is one.
    pub job: Option<JobId>,
    /// What is wrong.
    pub text: String,
    /// Whether it was mended.
    pub is_mended: bool,
}
