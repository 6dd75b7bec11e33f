//! What an operation works with, inside of a write transaction.
//!
//! Layer: jobs.

use crate::jobs::error::{JobsError, JobsErrorKind};
use crate::jobs::id::{JobId, SessionId};
use crate::jobs::record::Meta;
use crate::jobs::sqlite::fault::Problem;
use crate::jobs::sqlite::statements as sql;
use crate::jobs::storage::MOST_DUE;
use crate::jobs::time::StoredTime;
use rusqlite::{Connection, OptionalExtension, Params, Row, params};
use std::collections::BTreeSet;

pub(super) type Outcome<T> = Result<T, Problem>;

/// Counts in `mh_job.state`: the places in `JobState::ALL`, from -1.
pub(super) const BLOCKED: i64 = -1;
pub(super) const SCHEDULED: i64 = 0;
pub(super) const READY: i64 = 1;
pub(super) const RUNNING: i64 = 2;

/// Parts of `mh_job.flags`.
pub(super) const AT_MOST_ONCE: i64 = 1;
pub(super) const CANCEL_ASKED: i64 = 2;
pub(super) const WATCHED: i64 = 4;
pub(super) const FOLLOWED: i64 = 8;
pub(super) const IN_LANE: i64 = 16;
pub(super) const HAS_LANE: i64 = 32;
pub(super) const EVEN_IF_FAILED: i64 = 64;
pub(super) const FOLLOWS: i64 = 128;

/// Counts in `mh_job.unique_scope`.
pub(super) const UNTIL_ENDED: i64 = 0;
pub(super) const UNTIL_STARTED: i64 = 1;
pub(super) const FOR_A_TIME: i64 = 2;

/// What other threads and processes wait for.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Queues in which a job is ready, or due earlier than all others.
    pub(super) queues: Vec<String>,
    /// Jobs that have ended.
    pub(super) ended: Vec<JobId>,
    /// Sessions that run a job that is to be cancelled.
    pub(super) cancels: Vec<SessionId>,
}

impl News {
    pub(super) fn is_empty(&self) -> bool {
        self.queues.is_empty() && self.ended.is_empty() && self.cancels.is_empty()
    }

    pub(super) fn add(&mut self, other: Self) {
        other
            .queues
            .into_iter()
            .for_each(|queue| self.queue(&queue));
        self.ended.extend(other.ended);
        self.cancels.extend(other.cancels);
    }

    fn queue(&mut self, queue: &str) {
        if !self.queues.iter().any(|known| known == queue) {
            self.queues.push(queue.to_owned());
        }
    }
}

/// A write transaction, as one operation sees it.
#[derive(Debug)]
pub(super) struct Work<'a> {
    conn: &'a Connection,
    /// Read inside of the transaction.
    pub(super) now: StoredTime,
    /// Leases that end by this time are over: `now`, or an earlier one.
    pub(super) leases_over_by: StoredTime,
    totals: Vec<(&'static str, i64)>,
    news: News,
    /// Jobs that had expired when they took their lanes.
    late: BTreeSet<i64>,
    /// So many jobs that are too late may still end in this operation: a lane may be full of them.
    most_late: usize,
}

impl<'a> Work<'a> {
    pub(super) fn new(conn: &'a Connection, now: StoredTime) -> Self {
        Self {
            conn,
            now,
            leases_over_by: now,
            totals: Vec::new(),
            news: News::default(),
            late: BTreeSet::new(),
            most_late: MOST_DUE,
        }
    }

    /// Stores what has been counted, and returns what is new.
    pub(super) fn finish(self) -> Outcome<News> {
        for (name, n) in &self.totals {
            self.run(sql::ADD_TO_TOTAL, params![name, n])?;
        }
        Ok(self.news)
    }

    pub(super) fn count(&mut self, name: &'static str) {
        match self.totals.iter_mut().find(|(known, _)| *known == name) {
            Some((_, n)) => *n += 1,
            None => self.totals.push((name, 1)),
        }
    }

    /// How many were counted under this name.
    pub(super) fn counted(&self, name: &str) -> i64 {
        let found = self.totals.iter().find(|(known, _)| *known == name);
        found.map_or(0, |(_, n)| *n)
    }

    /// A job takes its lane. Notes that, if it expires at a time that is over.
    pub(super) fn takes_lane(&mut self, id: i64, expires_at: Option<i64>) {
        if expires_at.is_some_and(|at| at <= self.now.0) {
            self.late.insert(id);
        }
    }

    /// Of the jobs that took their lanes too late, the one that ends next.
    pub(super) fn next_late(&mut self) -> Option<i64> {
        self.late.pop_first().filter(|_| self.may_end_late())
    }

    /// Whether one more job that is too late may end in this operation. Counts it.
    pub(super) fn may_end_late(&mut self) -> bool {
        let may_end = self.most_late > 0;
        self.most_late = self.most_late.saturating_sub(1);
        may_end
    }

    pub(super) fn is_ready(&mut self, queue: &str) {
        self.news.queue(queue);
    }

    pub(super) fn has_ended(&mut self, id: i64) {
        self.news.ended.push(to_id(id));
    }

    /// A job that this session runs is to be cancelled.
    pub(super) fn cancel_is_asked(&mut self, session: Option<i64>) {
        let session = session.map(|session| SessionId(to_count(session)));
        self.news.cancels.extend(session);
    }

    /// A job of the queue is about to wait for this time.
    pub(super) fn will_be_due(&mut self, queue: &str, at: StoredTime) -> Outcome<()> {
        if self.next_due()?.is_none_or(|next| at < next) {
            self.news.queue(queue);
        }
        Ok(())
    }

    pub(super) fn next_due(&self) -> Outcome<Option<StoredTime>> {
        self.one(sql::NEXT_DUE, [], |row| row.get(0).map(StoredTime))
    }

    pub(super) fn last_id(&self) -> i64 {
        self.conn.last_insert_rowid()
    }

    /// Runs a statement. Returns how many rows it changed.
    pub(super) fn run(&self, text: &str, params: impl Params) -> Outcome<usize> {
        Ok(self.conn.prepare_cached(text)?.execute(params)?)
    }

    pub(super) fn one<T>(
        &self,
        text: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Outcome<Option<T>> {
        one(self.conn, text, params, read)
    }

    pub(super) fn all<T>(
        &self,
        text: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Outcome<Vec<T>> {
        all(self.conn, text, params, read)
    }

    pub(super) fn conn(&self) -> &'a Connection {
        self.conn
    }
}

/// The first row that a query returns.
pub(super) fn one<T>(
    conn: &Connection,
    text: &str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> Outcome<Option<T>> {
    let mut statement = conn.prepare_cached(text)?;
    Ok(statement.query_row(params, read).optional()?)
}

/// All rows that a query returns.
pub(super) fn all<T>(
    conn: &Connection,
    text: &str,
    params: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Outcome<Vec<T>> {
    let mut statement = conn.prepare_cached(text)?;
    let rows = statement.query_map(params, read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What SQLite stores of a number that counts up. Larger ones than it can hold are never there.
pub(super) fn from_count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

pub(super) fn to_count(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or(0)
}

pub(super) fn to_u32(stored: i64) -> u32 {
    u32::try_from(stored.max(0)).unwrap_or(u32::MAX)
}

pub(super) fn to_i32(stored: i64) -> i32 {
    let least = i64::from(i32::MIN);
    i32::try_from(stored.max(least)).unwrap_or(i32::MAX)
}

pub(super) fn from_id(id: JobId) -> i64 {
    from_count(id.0)
}

pub(super) fn to_id(stored: i64) -> JobId {
    JobId(to_count(stored))
}

/// A limit of rows. A larger one than SQLite can count is none.
pub(super) fn from_size(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

pub(super) fn from_meta(meta: &Meta) -> Outcome<Option<String>> {
    if meta.is_empty() {
        return Ok(None);
    }
    serde_json::to_string(meta)
        .map(Some)
        .map_err(|error| Problem::Refused(JobsError::new(JobsErrorKind::Encode, error.to_string())))
}

/// Fails with the reason for what another program may have inserted.
pub(super) fn to_meta(stored: Option<String>) -> Result<Meta, String> {
    let Some(text) = stored else {
        return Ok(Meta::new());
    };
    serde_json::from_str(&text).map_err(|error| format!("its meta cannot be read: {error}"))
}
