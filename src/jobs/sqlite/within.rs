//! The same in a transaction of the user's own.
//!
//! Layer: jobs.

use crate::jobs::error::{JobsError, JobsErrorKind};
use crate::jobs::id::JobId;
use crate::jobs::names::check_batch;
use crate::jobs::record::{Batch, Ended, Judged, NewJob, Placed, Verdict};
use crate::jobs::sqlite::Sqlite;
use crate::jobs::sqlite::end;
use crate::jobs::sqlite::enqueue;
use crate::jobs::sqlite::statements as sql;
use crate::jobs::sqlite::work::{self, Outcome, Work};
use rusqlite::Connection;
use std::time::Duration;

impl Sqlite {
    /// Stores jobs in a transaction of the caller's own, on a connection to the same file: they are
    /// there if and only if it commits. Call [`wake`](Self::wake) after the commit, so that
    /// consumers see them at once, and not 100 ms later.
    ///
    /// ```
    /// use millhand::jobs::{NewJob, Sqlite, Storage, rusqlite::Connection};
    ///
    /// # let path = std::env::temp_dir().join(format!("millhand-in-{}.db", std::process::id()));
    /// let storage = Sqlite::open(&path)?;
    /// let mut orders = Connection::open(&path).unwrap();
    /// orders.execute_batch("CREATE TABLE orders(item TEXT)").unwrap();
    ///
    /// let tx = orders.transaction().unwrap();
    /// tx.execute("INSERT INTO orders VALUES ('tea')", []).unwrap();
    /// storage.enqueue_in(&tx, &[NewJob::new("mail", "receipt", "\"tea\"")])?;
    /// tx.commit().unwrap();
    /// storage.wake();
    /// assert_eq!(storage.counts()?.queues[0].ready, 1);
    /// # drop((orders, storage));
    /// # std::fs::remove_file(path).unwrap();
    /// # Ok::<(), millhand::jobs::JobsError>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Storage::enqueue`](crate::jobs::Storage::enqueue), and
    /// [`Invalid`](crate::jobs::JobsErrorKind::Invalid) if the connection is not in a transaction.
    /// Then nothing of the call has happened, and the transaction goes on.
    pub fn enqueue_in(&self, tx: &Connection, jobs: &[NewJob]) -> Result<Vec<Placed>, JobsError> {
        check_batch(&Batch { number: None, jobs }, self.shared().max_payload)?;
        self.within(tx, "enqueue_in", |work| enqueue::enqueue(work, None, jobs))
    }

    /// Ends a claimed job as done in a transaction of the caller's own, on a connection to the same
    /// file: so what the job did there, and its end, happen both or not at all. `claim` is the
    /// number of the claim. The output is kept for as long as the job says, or else for `keep`, as
    /// with [`Verdict::Done`]. Where this returns `Gone`, another consumer has the job, and the
    /// transaction should not commit.
    ///
    /// # Errors
    /// The file cannot be written. [`Invalid`](crate::jobs::JobsErrorKind::Invalid) if the
    /// connection is not in a transaction. [`TooLarge`](crate::jobs::JobsErrorKind::TooLarge) if
    /// the output has more bytes than a payload may have. Then nothing of the call has happened,
    /// and the transaction goes on.
    pub fn complete_in(
        &self,
        tx: &Connection,
        id: JobId,
        claim: u64,
        output: &[u8],
        keep: Option<Duration>,
    ) -> Result<Judged, JobsError> {
        let (bytes, most) = (output.len(), self.shared().max_payload);
        if bytes > most {
            let text = format!("the output of the job {id} has {bytes} bytes; {most} are allowed");
            return Err(JobsError::new(JobsErrorKind::TooLarge, text));
        }
        let verdict = Verdict::Done {
            output: output.to_vec(),
            keep,
        };
        let ended = Ended { id, claim, verdict };
        self.within(tx, "complete_in", |work| end::judge(work, &ended))
    }

    /// Wakes what waits for the jobs of a transaction that has just committed, in this process and
    /// in others. Without it they notice within 100 ms.
    pub fn wake(&self) {
        let shared = self.shared();
        if shared.check_process().is_err() {
            return;
        }
        shared.notifiers.notify_all();
        let now = shared.now();
        let ports = shared.read("wake", |conn| {
            work::all(conn, sql::PORTS, [now.0], |row| row.get(0))
        });
        shared.notify(&ports.unwrap_or_default());
    }

    /// Runs what an operation does on a connection of the user's.
    fn within<T>(
        &self,
        conn: &Connection,
        attempted: &str,
        run: impl FnOnce(&mut Work<'_>) -> Outcome<T>,
    ) -> Result<T, JobsError> {
        let shared = self.shared();
        shared.check_process()?;
        if conn.is_autocommit() {
            return Err(JobsError::new(
                JobsErrorKind::Invalid,
                format!("{attempted} on a connection that is not in a transaction: begin one"),
            ));
        }
        let run = || {
            conn.prepare_cached("SAVEPOINT mh_within")?.execute([])?;
            let mut work = Work::new(conn, shared.now());
            let result = run(&mut work).and_then(|value| {
                if !work.finish()?.is_empty() {
                    work::one(conn, sql::ADD_NEWS, [], |_| Ok(()))?;
                }
                Ok(value)
            });
            if result.is_err() && !conn.is_autocommit() {
                conn.prepare_cached("ROLLBACK TO mh_within")?.execute([])?;
            }
            if !conn.is_autocommit() {
                conn.prepare_cached("RELEASE mh_within")?.execute([])?;
            }
            result
        };
        crate::blocking(run).map_err(|problem| problem.at(&shared.path, attempted))
    }
}
