//! The storage itself: what it hands to the writer, and what it reads.
//!
//! Layer: jobs.

use crate::jobs::error::JobsError;
use crate::jobs::id::{JobId, SessionId};
use crate::jobs::look::{
    Counts, Facts, Fate, Fault, Filter, JobInfo, Page, QueueChange, QueueSettings, ScheduleChange,
    StoredSchedule,
};
use crate::jobs::names::{check_batch, check_name};
use crate::jobs::notifier::Notifier;
use crate::jobs::record::{Batch, Exchange, Exchanged, Placed, Tick, Verdict};
use crate::jobs::session::{Heartbeat, Pulse, Session, SessionInfo, Swept};
use crate::jobs::sqlite::claim::{self, Asked};
use crate::jobs::sqlite::listen::Notifiers;
use crate::jobs::sqlite::options::{Durability, SqliteOptions};
use crate::jobs::sqlite::sessions::{self, Sign};
use crate::jobs::sqlite::shared::Shared;
use crate::jobs::sqlite::statements as sql;
use crate::jobs::sqlite::threads::Threads;
use crate::jobs::sqlite::work::{self, Outcome, Work};
use crate::jobs::sqlite::{change, check, enqueue, follow, limits, listen, read};
use crate::jobs::storage::{Storage, Watching};
use crate::jobs::time::StoredTime;
use crate::task::CancelOutcome;
use rusqlite::params;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// Keeps jobs in a SQLite file, which may also hold other tables: those of this have names that
/// begin with `mh_`. Clones are the same storage. Any number of processes of one machine may use
/// the file. It must not be on a network file system.
///
/// All writes of a process go through one thread, which commits what waits in groups. So a single
/// enqueue waits for the disk, and 64 threads that enqueue at once wait for it together. The last
/// clone that is dropped ends the threads.
///
/// ```
/// use millhand::jobs::{Batch, NewJob, Sqlite, Storage};
///
/// # let path = std::env::temp_dir().join(format!("millhand-sqlite-{}.db", std::process::id()));
/// let storage = Sqlite::open(&path)?;
/// let jobs = [NewJob::new("mail", "welcome", "{}")];
/// let placed = storage.enqueue(&Batch { number: None, jobs: &jobs })?;
/// drop(storage);
///
/// let storage = Sqlite::open(&path)?; // after a crash, or in another process
/// assert_eq!(storage.counts()?.queues[0].ready, 1);
/// # drop(storage);
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), millhand::jobs::JobsError>(())
/// ```
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone)]
pub struct Sqlite(Arc<Threads>);

impl Sqlite {
    /// Opens a file with the options' defaults, or makes it.
    ///
    /// # Errors
    /// Those of [`SqliteOptions::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, JobsError> {
        Self::options(path).open()
    }

    /// Opens a file with other options than the defaults.
    pub fn options(path: impl AsRef<Path>) -> SqliteOptions {
        SqliteOptions::new(path.as_ref().to_owned())
    }

    pub(super) fn open_with(options: SqliteOptions) -> Result<Self, JobsError> {
        Threads::start(options).map(|threads| Self(Arc::new(threads)))
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        self.0.shared()
    }

    /// Has the writer do something, and waits until that is committed.
    fn write<T: Send + 'static>(
        &self,
        attempted: &'static str,
        run: impl FnOnce(&mut Work<'_>) -> Outcome<T> + Send + 'static,
    ) -> Result<T, JobsError> {
        self.0.write(attempted, 0, false, run)
    }

    /// Ends a registration when that is dropped, and stores the port for it.
    fn registered(
        &self,
        attempted: &'static str,
        end: impl FnOnce(&Notifiers) + Send + Sync + 'static,
    ) -> Result<Watching, JobsError> {
        let shared = self.shared().clone();
        let watching = Watching::new(move || {
            if shared.check_process().is_ok() {
                end(&shared.notifiers);
            }
        });
        let shared = self.shared().clone();
        self.write(attempted, move |work| store_port(&shared, work))?;
        Ok(watching)
    }
}

/// A WAL of more bytes than this is a warning.
const LARGE_WAL: u64 = 256 << 20;

/// Stores the port of this process for a while.
pub(super) fn store_port(shared: &Shared, work: &Work<'_>) -> Outcome<()> {
    if let Some(port) = shared.port() {
        let until = work.now + listen::PORT_FOR;
        work.run(sql::STORE_PORT, params![port, until.0])?;
    }
    Ok(())
}

impl Storage for Sqlite {
    fn sqlite(&self) -> Option<&Sqlite> {
        Some(self)
    }

    fn facts(&self) -> Result<Facts, JobsError> {
        self.shared().check_process()?;
        let mut warnings = Vec::new();
        if self.shared().durability == Durability::Normal {
            let power = "a power cut may take what was confirmed last, since the durability is \
                         `Normal`";
            warnings.push(power.to_owned());
        }
        let wal = self.shared().wal_bytes();
        if wal > LARGE_WAL {
            warnings.push(format!(
                "{} has {} MiB, and makes all slower: does a connection, of whatever program, hold \
                 a read transaction for long?",
                self.shared().wal.display(),
                wal >> 20
            ));
        }
        Ok(Facts {
            name: "SQLite".to_owned(),
            version: rusqlite::version().to_owned(),
            warnings,
            repeats: false,
            is_shared: true,
            max_payload: Some(self.shared().max_payload),
        })
    }

    fn now(&self) -> Result<StoredTime, JobsError> {
        self.shared().check_process()?;
        Ok(self.shared().now())
    }

    fn enqueue(&self, batch: &Batch<'_>) -> Result<Vec<Placed>, JobsError> {
        check_batch(batch, self.shared().max_payload)?;
        let (number, jobs) = (batch.number, batch.jobs.to_vec());
        let bytes = jobs.iter().map(|job| job.payload.len()).sum();
        self.0.write("enqueue", bytes, false, move |work| {
            enqueue::enqueue(work, number, &jobs)
        })
    }

    fn open_session(&self, info: &SessionInfo, lease: Duration) -> Result<SessionId, JobsError> {
        let info = info.clone();
        self.write("open_session", move |work| {
            sessions::open(work, &info, lease)
        })
    }

    fn heartbeat(&self, sign: &Heartbeat<'_>) -> Result<Pulse, JobsError> {
        let sign = Sign {
            session: sign.session,
            lease: sign.lease,
            settled: sign.settled,
            held: sign.held.to_vec(),
        };
        self.0.write("heartbeat", 0, true, move |work| {
            sessions::extend(work, &sign)
        })
    }

    fn close_session(&self, session: SessionId) -> Result<u64, JobsError> {
        let shared = self.shared().clone();
        self.write("close_session", move |work| {
            shared.numbers.lock().remove(&session);
            sessions::close(work, session)
        })
    }

    fn exchange(&self, exchange: &Exchange<'_>) -> Result<Exchanged, JobsError> {
        let asked = Asked {
            session: exchange.session,
            number: exchange.number,
            ended: exchange.ended.to_vec(),
            wanted: exchange.wanted.to_vec(),
        };
        let outputs = asked.ended.iter().map(|ended| match &ended.verdict {
            Verdict::Done { output, .. } => output.len(),
            _ => 0,
        });
        let bytes = outputs.sum();
        let shared = self.shared().clone();
        self.0.write("exchange", bytes, false, move |work| {
            let mut numbers = shared.numbers.lock();
            let last = numbers.entry(asked.session).or_default();
            let exchanged = claim::exchange(work, &asked, last);
            if exchanged.as_ref().is_ok_and(|exchanged| !exchanged.alive) {
                numbers.remove(&asked.session);
            }
            exchanged
        })
    }

    fn sweep(&self, most: usize) -> Result<Swept, JobsError> {
        self.write("sweep", move |work| sessions::sweep(work, most))
    }

    fn register_schedule(&self, name: &str, rule: &str) -> Result<StoredSchedule, JobsError> {
        check_name("schedule", name)?;
        let (name, rule) = (name.to_owned(), rule.to_owned());
        self.write("register_schedule", move |work| {
            change::register(work, &name, &rule)
        })
    }

    fn tick(&self, tick: &Tick<'_>) -> Result<bool, JobsError> {
        let (name, at, job) = (tick.schedule.to_owned(), tick.at, tick.job.clone());
        let batch = Batch {
            number: None,
            jobs: std::slice::from_ref(tick.job),
        };
        check_batch(&batch, self.shared().max_payload)?;
        self.write("tick", move |work| change::tick(work, &name, at, &job))
    }

    fn cancel(&self, id: JobId) -> Result<CancelOutcome, JobsError> {
        self.write("cancel", move |work| change::cancel(work, id))
    }

    fn outcome(&self, id: JobId) -> Result<Fate, JobsError> {
        let now = self.shared().now();
        self.shared()
            .read("outcome", |conn| read::fate(conn, id, now, false))
    }

    fn parents(&self, id: JobId) -> Result<Vec<(JobId, Fate)>, JobsError> {
        let now = self.shared().now();
        self.shared()
            .read("parents", |conn| follow::parents(conn, id, now))
    }

    fn watch(
        &self,
        id: JobId,
        notifier: &Notifier,
        _patience: Duration,
    ) -> Result<Watching, JobsError> {
        let shared = self.shared().clone();
        shared.check_process()?;
        let number = shared.notifiers.add_job(id, notifier.clone());
        let watching = Watching::new(move || {
            if shared.check_process().is_ok() {
                shared.notifiers.remove_job(id, number);
            }
        });
        let shared = self.shared().clone();
        self.write("watch", move |work| {
            store_port(&shared, work)?;
            work.run(sql::WATCH, [work::from_id(id)])?;
            Ok(())
        })?;
        Ok(watching)
    }

    fn subscribe(&self, queues: &[&str], notifier: &Notifier) -> Result<Watching, JobsError> {
        self.shared().check_process()?;
        let queues = queues.iter().map(|queue| (*queue).to_owned()).collect();
        let number = self.shared().notifiers.add_queues(queues, notifier.clone());
        self.registered("subscribe", move |notifiers| {
            notifiers.remove_queues(number);
        })
    }

    fn watch_session(
        &self,
        session: SessionId,
        notifier: &Notifier,
    ) -> Result<Watching, JobsError> {
        self.shared().check_process()?;
        let number = self
            .shared()
            .notifiers
            .add_session(session, notifier.clone());
        self.registered("watch_session", move |notifiers| {
            notifiers.remove_session(number);
        })
    }

    fn queue(&self, name: &str) -> Result<QueueSettings, JobsError> {
        self.shared()
            .read("queue", |conn| limits::settings(conn, name))
    }

    fn set_queue(&self, name: &str, change: QueueChange) -> Result<(), JobsError> {
        check_name("queue", name)?;
        let name = name.to_owned();
        self.write("set_queue", move |work| limits::change(work, &name, change))
    }

    fn counts(&self) -> Result<Counts, JobsError> {
        let now = self.shared().now();
        self.shared().read("counts", |conn| read::counts(conn, now))
    }

    fn list(&self, filter: &Filter, page: Page) -> Result<Vec<JobInfo>, JobsError> {
        let now = self.shared().now();
        self.shared()
            .read("list", |conn| read::list(conn, filter, page, now))
    }

    fn retry_dead(&self, filter: &Filter, most: usize) -> Result<u64, JobsError> {
        let filter = filter.clone();
        self.write("retry_dead", move |work| {
            change::retry_dead(work, &filter, most)
        })
    }

    fn purge(&self, filter: &Filter, most: usize) -> Result<u64, JobsError> {
        let filter = filter.clone();
        self.write("purge", move |work| change::purge(work, &filter, most))
    }

    fn schedules(&self) -> Result<Vec<StoredSchedule>, JobsError> {
        self.shared().read("schedules", change::schedules)
    }

    fn set_schedule(&self, name: &str, change: ScheduleChange) -> Result<bool, JobsError> {
        let name = name.to_owned();
        self.write("set_schedule", move |work| {
            change::change_schedule(work, &name, change)
        })
    }

    fn sessions(&self) -> Result<Vec<Session>, JobsError> {
        self.shared().read("sessions", sessions::list)
    }

    fn check(&self, mends: bool) -> Result<Vec<Fault>, JobsError> {
        let now = self.shared().now();
        let mut faults = self.shared().read("check", |conn| {
            let mut faults = check::file(conn)?;
            if !mends {
                faults.extend(check::tables(&mut Work::new(conn, now), false)?);
            }
            Ok(faults)
        })?;
        if mends {
            faults.extend(self.write("check", |work| check::tables(work, true))?);
        }
        Ok(faults)
    }
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(threads) = self;
        let shared = threads.shared();
        f.debug_struct("Sqlite")
            .field("path", &shared.path)
            .field("handed_in", &shared.handed_in.load(Relaxed))
            .field("commits", &shared.commits.load(Relaxed))
            .finish_non_exhaustive()
    }
}
