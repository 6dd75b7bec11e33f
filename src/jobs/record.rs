//! What goes into a storage and comes out of it, on the path of a job.
//!
//! Layer: jobs.

use crate::jobs::id::{JobId, SessionId};
use crate::jobs::time::StoredTime;
use std::collections::BTreeMap;
use std::time::Duration;

/// Strings that travel with a job: the id of a request, the parent of a trace.
///
/// Guide: [jobs](crate::guide::jobs).
pub type Meta = BTreeMap<String, String>;

/// A job to be stored.
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NewJob {
    /// The line in which it waits.
    pub queue: String,
    /// Which handler it is for.
    pub kind: String,
    /// Larger ones go first. Default: 0.
    pub priority: i32,
    /// When it may begin. Default: at once.
    pub due: Due,
    /// It is expired if it has not begun so long after it was due. Default: `None`, never.
    pub expires: Option<Duration>,
    /// Its outcome is kept for so long. Default: `None`, no longer than something waits for it.
    pub keep: Option<Duration>,
    /// It is dead if its worker is lost more often than this. Default: 3.
    pub max_crashes: u32,
    /// It never begins twice: it is dead if its worker is lost. Default: false.
    pub at_most_once: bool,
    /// Default: `None`.
    pub unique: Option<Unique>,
    /// The job that has its unique key gets its payload, meta, due time and expiry, if that job has
    /// never begun. Default: false.
    pub replace: bool,
    /// Of the jobs of one lane, one runs at a time, in the order of their ids: at most 256 bytes.
    /// Default: `None`.
    pub lane: Option<String>,
    /// It begins when all of these have ended. Default: empty.
    pub after: Vec<JobId>,
    /// It begins also if one of them did not succeed. Default: false, then it is cancelled.
    pub even_if_failed: bool,
    /// Default: empty.
    pub meta: Meta,
    /// The job itself, as JSON.
    pub payload: Vec<u8>,
}

impl NewJob {
    /// Makes a job with the defaults of all options.
    pub fn new(
        queue: impl Into<String>,
        kind: impl Into<String>,
        payload: impl Into<Vec<u8>>,
    ) -> Self {
        Self {
            queue: queue.into(),
            kind: kind.into(),
            priority: 0,
            due: Due::Now,
            expires: None,
            keep: None,
            max_crashes: 3,
            at_most_once: false,
            unique: None,
            replace: false,
            lane: None,
            after: Vec::new(),
            even_if_failed: false,
            meta: Meta::new(),
            payload: payload.into(),
        }
    }
}

/// When a job may begin. By the clock of the storage.
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Due {
    /// At once.
    #[default]
    Now,
    /// So long after it is stored.
    After(Duration),
    /// At this time. At once if that has passed.
    At(StoredTime),
}

/// Of the jobs of one kind with this key, one is stored at a time.
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unique {
    /// At most 256 bytes.
    pub key: String,
    /// Until when no other job gets the key.
    pub until: UniqueUntil,
}

/// Until when no other job gets the key of a unique one. A job never meets its own key: a retry
/// does not, either.
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UniqueUntil {
    /// Until the job has ended, in whatever way.
    Ended,
    /// Until it begins for the first time, or has ended.
    Started,
    /// For so long after it was stored, whether it has ended or not: a key for idempotency.
    Elapsed(Duration),
}

/// Jobs that are stored together, or not at all.
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// Set if the sender may send the same batch again, since it did not get the answer.
    pub number: Option<BatchNumber>,
    /// In the order of their ids.
    pub jobs: &'a [NewJob],
}

/// Distinguishes a batch that is sent again from a new one.
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchNumber {
    /// A number that the sender has drawn by lot.
    pub producer: u64,
    /// Larger than that of its batch before.
    pub number: u64,
}

/// What became of a job of a batch.
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// It is stored.
    New(JobId),
    /// It is not: this job has its unique key.
    Existing(JobId),
    /// This job has its unique key, and has got what the new one says.
    Replaced(JobId),
}

impl Placed {
    /// Returns the id of the job that is stored.
    pub fn id(self) -> JobId {
        match self {
            Self::New(id) | Self::Existing(id) | Self::Replaced(id) => id,
        }
    }

    /// Returns whether it is the job of the batch.
    pub fn is_new(self) -> bool {
        matches!(self, Self::New(_))
    }
}

/// What a consumer reports and asks for: the ends of its jobs, and how many more it wants.
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone, Copy, Debug)]
pub struct Exchange<'a> {
    /// That of the consumer.
    pub session: SessionId,
    /// Larger than that of the session's exchange before.
    pub number: u64,
    /// What became of jobs that it had claimed.
    pub ended: &'a [Ended],
    /// At most one for each queue.
    pub wanted: &'a [Want],
}

/// How many jobs a consumer can begin now.
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    /// Of this queue.
    pub queue: String,
    /// Of these kinds: those that it has handlers for.
    pub kinds: Vec<String>,
    /// At most so many.
    pub most: usize,
}

/// What became of a job that a consumer had claimed.
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Which job.
    pub id: JobId,
    /// The number of the claim. If it is not the job's latest one, another consumer has the job.
    pub claim: u64,
    /// How it ended.
    pub verdict: Verdict,
}

/// How a claimed job ended, for now or for good.
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It succeeded, with this output as JSON.
    Done {
        /// The output.
        output: Vec<u8>,
        /// How long to keep it, if the job does not say so itself.
        keep: Option<Duration>,
    },
    /// It failed, and begins again after this pause. Counts as a failure.
    Retry {
        /// The pause.
        after: Duration,
        /// Why it failed: a text of at most 8 KiB, or its beginning.
        error: String,
    },
    /// It asked to begin again later. Counts as nothing.
    Postponed {
        /// How much later.
        after: Duration,
    },
    /// It did not begin, or left since its consumer ends. It takes its old place. Counts as
    /// nothing.
    Back,
    /// It failed for good. Counts as a failure.
    Dead {
        /// Why: a text of at most 8 KiB, or its beginning.
        error: String,
    },
    /// It left since it was asked to.
    Cancelled,
}

/// How the storage took the end of a claimed job.
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// It has ended, as the consumer said.
    Ended,
    /// It waits again.
    Waits,
    /// Nothing has changed: it had ended before, or another consumer has claimed it.
    Gone,
}

/// The answer to an [`Exchange`].
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exchanged {
    /// Whether the session lives. If not, the consumer has lost what it had claimed, and gets
    /// nothing more before it opens another one.
    pub alive: bool,
    /// The time at which it happened.
    pub now: StoredTime,
    /// When the next job is due that waits for its time, in whatever queue.
    pub next_due: Option<StoredTime>,
    /// One for each of `ended`, in the same order.
    pub judged: Vec<Judged>,
    /// What the consumer is to begin.
    pub claimed: Vec<Claimed>,
    /// Whether another exchange now would find more to do.
    pub more: bool,
}

/// A job that a consumer has claimed.
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claimed {
    /// Which job.
    pub id: JobId,
    /// The number of this claim, from 1. Its end names it.
    pub claim: u64,
    /// As it was stored, which may be an alias of the handler's kind.
    pub kind: String,
    /// The queue from which it came.
    pub queue: String,
    /// Its priority.
    pub priority: i32,
    /// Whether it is not to begin again.
    pub at_most_once: bool,
    /// How often it has failed.
    pub failures: u32,
    /// How often its worker was lost.
    pub crashes: u32,
    /// When it was stored.
    pub enqueued_at: StoredTime,
    /// When it began for the first time: now, if this is the first claim.
    pub began_at: StoredTime,
    /// Why it failed last.
    pub error: Option<String>,
    /// As it was stored.
    pub meta: Meta,
    /// As it was stored.
    pub payload: Vec<u8>,
}

/// What becomes of a schedule's time that has come.
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone, Copy, Debug)]
pub struct Tick<'a> {
    /// The name of the schedule.
    pub schedule: &'a str,
    /// The time that has come.
    pub at: StoredTime,
    /// What is to be stored then.
    pub job: &'a NewJob,
}
