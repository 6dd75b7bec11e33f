//! The handle of a consumer, and what it reports.
//!
//! Layer: jobs.

use crate::jobs::consumer::state::Shared;
use crate::jobs::id::JobId;
use std::fmt;
use std::sync::Arc;

/// A consumer that runs: a service of its pool, which ends with that. Clones are the same.
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone)]
pub struct Consumer(Arc<Shared>);

/// What a consumer has done so far.
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerReport {
    /// How many jobs it runs, or is about to run.
    pub running: usize,
    /// How many jobs succeeded.
    pub done: u64,
    /// How many jobs failed for good.
    pub dead: u64,
    /// How many failures were followed by another attempt.
    pub retried: u64,
    /// How often a job asked to run later.
    pub postponed: u64,
    /// How many jobs were cancelled while they ran.
    pub cancelled: u64,
    /// How many jobs went back to the storage at a stop: they had not begun, or left when they
    /// were asked to stop.
    pub given_back: u64,
    /// How many jobs ended here after another consumer had got them: the lease was lost.
    pub gone: u64,
    /// Which jobs have ended, and the storage has not confirmed it. After a stop, these run again.
    pub unsaved: Vec<JobId>,
    /// What the storage answers, while it answers errors to this consumer. The consumer goes on
    /// when it can. An error that stays is for you to see to: a file that is damaged, for example.
    pub failing: Option<String>,
}

impl Consumer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// Claims nothing more until [`resume`](Self::resume). What runs goes on.
    pub fn pause(&self) {
        self.0.pause(true);
    }

    /// Claims again.
    pub fn resume(&self) {
        self.0.pause(false);
    }

    /// Returns what it has done so far. After the shutdown of the pool that is all of it.
    pub fn report(&self) -> ConsumerReport {
        self.0.report()
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Consumer").field(&self.report()).finish()
    }
}

impl fmt::Display for ConsumerReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            running,
            done,
            dead,
            retried,
            postponed,
            cancelled,
            given_back,
            gone,
            unsaved,
            failing,
        } = self;
        write!(f, "{done} done, {dead} dead, {retried} retried")?;
        for (count, what) in [
            (*postponed, "postponed"),
            (*cancelled, "cancelled"),
            (*given_back, "given back"),
            (*gone, "done elsewhere"),
            (*running as u64, "still running"),
            (unsaved.len() as u64, "not confirmed"),
        ] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        match failing {
            Some(error) => write!(f, "; the storage fails: {error}"),
            None => Ok(()),
        }
    }
}
