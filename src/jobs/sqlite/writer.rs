//! The one thread that writes, and commits operations in groups.
//!
//! Layer: jobs.
//
// The writer takes all operations that wait, and commits them together, so that one flush of the
// disk is for all of them. It does not wait for company: while the disk flushes a group, the next
// one gathers. Nothing is answered before its group is committed. If the commit fails, nothing of
// the group has happened, and all of its callers get the error.

use crate::CancelToken;
use crate::jobs::error::JobsError;
use crate::jobs::sqlite::fault::Problem;
use crate::jobs::sqlite::shared::Shared;
use crate::jobs::sqlite::statements as sql;
use crate::jobs::sqlite::waits::Waits;
use crate::jobs::sqlite::work::{self, News, Outcome, Work};
use crate::jobs::time::StoredTime;
use crate::testing::Clock;
use crossbeam_channel::{Receiver, Sender};
use rusqlite::Connection;
use std::fmt;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

const MOST_OPERATIONS: usize = 512;
const MOST_BYTES: usize = 4 << 20;

/// What is done in the transaction.
type Run = Box<dyn FnOnce(&mut Work<'_>) -> Outcome<()> + Send>;

/// How long one wait for the lock of the file takes at most.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// The pauses between two attempts to get it.
const FIRST_PAUSE: Duration = Duration::from_micros(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(5);

/// What a caller wants to be done, and where it waits for the answer.
pub(super) struct Operation {
    /// What it does, for the text of an error.
    pub(super) attempted: &'static str,
    /// About how many bytes it stores.
    pub(super) bytes: usize,
    /// Goes first in its group.
    pub(super) is_urgent: bool,
    /// Until when it waits for a lock: for ever, if no clock can show that time.
    pub(super) until: Option<Instant>,
    pub(super) run: Run,
    pub(super) reply: Sender<Result<(), JobsError>>,
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { attempted, .. } = self;
        f.debug_struct("Operation")
            .field("attempted", attempted)
            .finish_non_exhaustive()
    }
}

/// A caller that waits, and what it gets if the commit succeeds.
struct Done {
    reply: Sender<Result<(), JobsError>>,
    result: Result<(), JobsError>,
}

/// The thread that writes.
#[derive(Debug)]
pub(super) struct Writer {
    conn: Connection,
    shared: Arc<Shared>,
    operations: Receiver<Operation>,
    waits: Waits,
    /// Set when the file turned out to be damaged. Nothing is written any more.
    damage: Option<JobsError>,
}

impl Writer {
    pub(super) fn new(
        conn: Connection,
        shared: Arc<Shared>,
        operations: Receiver<Operation>,
    ) -> Self {
        Self {
            waits: Waits::new(shared.clock.clone()),
            conn,
            shared,
            operations,
            damage: None,
        }
    }

    /// Runs until all senders are gone, and everything is answered.
    pub(super) fn run(mut self) {
        while let Ok(first) = self.operations.recv() {
            let mut group = vec![first];
            self.gather(&mut group);
            if self.damage.is_none() && self.shared.is_replaced() {
                let moved = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_READONLY_DBMOVED);
                let problem = rusqlite::Error::SqliteFailure(moved, None).into();
                self.damage = Some(self.explain(problem, "looking for the file"));
            }
            if let Some(damage) = &self.damage {
                refuse(group, damage);
            } else if self.begin(&mut group) {
                // What came while it waited for the lock.
                self.gather(&mut group);
                group.sort_by_key(|operation| !operation.is_urgent);
                self.run_group(group);
            }
        }
        // If this fails, the port is forgotten when its time is over, and numbers that are not
        // stored are those of exchanges that changed nothing.
        let _ = self.close();
    }

    /// Stores what is in memory alone, and takes the port back.
    fn close(&self) -> Outcome<()> {
        if self.damage.is_some() || self.shared.is_replaced() {
            return Ok(());
        }
        let numbers = self.shared.numbers.lock();
        let work = Work::new(&self.conn, self.now());
        let port = self.shared.port().map(i64::from).unwrap_or_default();
        let has_port = work.one(sql::IS_PORT_STORED, [port], |_| Ok(()))?.is_some();
        if numbers.is_empty() && !has_port {
            return Ok(());
        }
        self.lock(None)?;
        for (session, number) in numbers.iter() {
            let key = [session.0, *number].map(work::from_count);
            work.run(sql::STORE_EXCHANGE, key)?;
        }
        work.run(sql::FORGET_PORTS, [port, work.now.0])?;
        self.execute("COMMIT")
    }

    /// Takes what waits, up to the size of a group.
    fn gather(&self, group: &mut Vec<Operation>) {
        let mut bytes: usize = group.iter().map(|operation| operation.bytes).sum();
        while group.len() < MOST_OPERATIONS && bytes < MOST_BYTES {
            let Ok(operation) = self.operations.try_recv() else {
                return;
            };
            bytes = bytes.saturating_add(operation.bytes);
            group.push(operation);
        }
    }

    /// Begins a transaction. Returns whether it did. Otherwise all operations are answered.
    fn begin(&mut self, group: &mut Vec<Operation>) -> bool {
        while !group.is_empty() {
            self.waits.begin();
            let first = group.iter().filter_map(|operation| operation.until).min();
            let Err(problem) = self.lock(first) else {
                self.waits.end();
                return true;
            };
            let is_busy = problem.is_busy();
            let error = self.explain(problem, "waiting for the write lock");
            let now = Clock::system().now();
            let is_over = |operation: &Operation| operation.until.is_some_and(|at| at <= now);
            let (over, waiting) = mem::take(group)
                .into_iter()
                .partition(|operation| !is_busy || is_over(operation));
            *group = waiting;
            refuse(over, &error);
        }
        false
    }

    /// Runs the operations of a transaction that has begun, ends it, and answers.
    fn run_group(&mut self, group: Vec<Operation>) {
        let is_alone = group.len() == 1;
        let mut news = News::default();
        let mut done = Vec::with_capacity(group.len());
        // After some errors, SQLite undoes the whole transaction by itself.
        let mut lost: Option<JobsError> = None;
        for operation in group {
            let result = match &lost {
                Some(error) => Err(error.again()),
                None => self
                    .run_one(operation.run, is_alone)
                    .map(|new| news.add(new))
                    .map_err(|problem| self.explain(problem, operation.attempted)),
            };
            if let (Err(error), true) = (&result, self.conn.is_autocommit()) {
                lost.get_or_insert_with(|| error.again());
            }
            let reply = operation.reply;
            done.push(Done { reply, result });
        }
        let committed = match lost {
            Some(error) => Err(error),
            None => self
                .commit(&news)
                .map_err(|problem| self.explain(problem, "committing")),
        };
        if committed.is_err() && !self.conn.is_autocommit() {
            let _ = self.execute("ROLLBACK");
        }
        let number = committed.as_ref().ok().and_then(|(number, _)| *number);
        if let Some(number) = number {
            self.shared.notifiers.notify(&news, number);
        }
        for Done { reply, result } in done {
            let result = result.and_then(|()| match &committed {
                Ok(_) => Ok(()),
                Err(error) => Err(error.again()),
            });
            // A caller that has gone, as the refresh of a port, needs no answer.
            let _ = reply.send(result);
        }
        let ports = committed.map(|(_, ports)| ports);
        self.shared.notify(&ports.unwrap_or_default());
    }

    /// Runs one operation. Without company, its failure ends the transaction. In company, what it
    /// has done is undone alone.
    fn run_one(&self, run: Run, is_alone: bool) -> Outcome<News> {
        if !is_alone {
            self.execute("SAVEPOINT mh_operation")?;
        }
        let mut work = Work::new(&self.conn, self.now());
        work.leases_over_by = self.waits.over_by(work.now);
        let result = run(&mut work).and_then(|()| work.finish());
        let ended = match &result {
            // SQLite has undone the whole transaction.
            _ if self.conn.is_autocommit() => Ok(()),
            Ok(_) if is_alone => Ok(()),
            Err(_) if is_alone => self.execute("ROLLBACK"),
            Ok(_) => self.execute("RELEASE mh_operation"),
            Err(_) => self
                .execute("ROLLBACK TO mh_operation")
                .and_then(|()| self.execute("RELEASE mh_operation")),
        };
        if ended.is_err() {
            let _ = self.execute("ROLLBACK");
        }
        result.and_then(|news| ended.map(|()| news))
    }

    /// Commits. Returns the number of the news, if there is news, and the ports to notify.
    fn commit(&self, news: &News) -> Outcome<(Option<i64>, Vec<u16>)> {
        let mut number = None;
        let mut ports = Vec::new();
        if !news.is_empty() {
            number = work::one(&self.conn, sql::ADD_NEWS, [], |row| row.get(0))?;
            ports = work::all(&self.conn, sql::PORTS, [self.now().0], |row| row.get(0))?;
        }
        self.execute("COMMIT")?;
        // ORDERING: relaxed. A count to look at.
        self.shared.commits.fetch_add(1, Relaxed);
        Ok((number, ports))
    }

    fn explain(&mut self, problem: Problem, attempted: &str) -> JobsError {
        let is_damage = problem.is_damage();
        let error = problem.at(&self.shared.path, attempted);
        if is_damage {
            self.damage = Some(error.again());
        }
        error
    }

    /// Begins a transaction that has the lock of the file. Waits for that up to `LOCK_WAIT`, and
    /// not beyond `until`. SQLite would wait by whole milliseconds, and a commit of another process
    /// takes less than one.
    fn lock(&self, until: Option<Instant>) -> Outcome<()> {
        let left = until.map(|until| until.saturating_duration_since(Clock::system().now()));
        let limit = CancelToken::with_timeout(left.unwrap_or(LOCK_WAIT).min(LOCK_WAIT));
        let mut pause = FIRST_PAUSE;
        loop {
            match self.execute("BEGIN IMMEDIATE") {
                Err(problem) if problem.is_busy() && !limit.is_cancelled() => {
                    let _ = CancelToken::new().wait_timeout(pause);
                    pause = (2 * pause).min(LONGEST_PAUSE);
                }
                ended => return ended,
            }
        }
    }

    fn execute(&self, text: &str) -> Outcome<()> {
        self.conn.prepare_cached(text)?.execute([])?;
        Ok(())
    }

    fn now(&self) -> StoredTime {
        self.shared.clock.wall().into()
    }
}

fn refuse(operations: Vec<Operation>, error: &JobsError) {
    for operation in operations {
        let _ = operation.reply.send(Err(error.again()));
    }
}
