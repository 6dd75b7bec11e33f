//! Consumers, as a storage knows them.
//!
//! Layer: jobs.

use crate::jobs::id::{JobId, SessionId};
use crate::jobs::time::StoredTime;
use std::time::Duration;

/// Who a consumer is. To be looked at: nothing depends on it.
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionInfo {
    /// The name of the machine, or nothing.
    pub host: String,
    /// The number of the process.
    pub pid: u32,
    /// The version of this library that it uses.
    pub version: String,
    /// When it began, by the clock of the storage.
    pub began_at: StoredTime,
    /// The queues from which it claims.
    pub queues: Vec<String>,
    /// The kinds for which it has handlers.
    pub kinds: Vec<String>,
}

/// A sign of life of a consumer.
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone, Copy, Debug)]
pub struct Heartbeat<'a> {
    /// That of the consumer.
    pub session: SessionId,
    /// Its lease ends so long after now.
    pub lease: Duration,
    /// The number of the last exchange whose answer the consumer has read.
    pub settled: u64,
    /// Every job that it has claimed, and whose end no answer has confirmed.
    pub held: &'a [JobId],
}

/// The answer to a [`Heartbeat`].
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pulse {
    /// Whether the session lives.
    pub alive: bool,
    /// How many jobs the storage took back, since the consumer does not know that it has them: the
    /// answer to its claim was lost.
    pub given_back: u64,
    /// Which of `held` are to be cancelled.
    pub cancel: Vec<JobId>,
    /// Which of `held` the session does not have any more.
    pub lost: Vec<JobId>,
}

/// A session, as a storage lists it.
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// Its number.
    pub id: SessionId,
    /// When its lease ends.
    pub lease_until: StoredTime,
    /// How many jobs it runs.
    pub running: u64,
    /// Who it is.
    pub info: SessionInfo,
}

/// What [`sweep`](crate::jobs::Storage::sweep) found.
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// How many sessions had not shown a sign of life in time.
    pub sessions: u64,
    /// How many of their jobs wait again.
    pub returned: u64,
    /// How many of their jobs are dead.
    pub died: u64,
    /// How many waiting jobs have expired.
    pub expired: u64,
    /// How many outcomes and keys are forgotten.
    pub forgotten: u64,
    /// Whether there is more to sweep.
    pub more: bool,
}
