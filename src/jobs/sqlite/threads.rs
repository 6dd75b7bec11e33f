//! The two threads of a storage: one writes, the other listens for news of other processes.
//!
//! Layer: jobs.

use crate::jobs::error::{JobsError, JobsErrorKind};
use crate::jobs::sqlite::fault::Problem;
use crate::jobs::sqlite::listen::{self, Listener, Notifiers};
use crate::jobs::sqlite::open;
use crate::jobs::sqlite::options::SqliteOptions;
use crate::jobs::sqlite::shared::{self, Readers, Shared};
use crate::jobs::sqlite::statements as sql;
use crate::jobs::sqlite::storage::store_port;
use crate::jobs::sqlite::work::{self, Outcome, Work};
use crate::jobs::sqlite::writer::{Operation, Writer};
use crate::testing::Clock;
use crossbeam_channel::{Sender, bounded, unbounded};
use parking_lot::Mutex;
use rusqlite::Connection;
use std::io;
use std::mem;
use std::path::{self, Path};
use std::process;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Ends the threads when it is dropped.
#[derive(Debug)]
pub(super) struct Threads {
    shared: Arc<Shared>,
    /// What the drop takes: the way to the writer, then both threads.
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    operations: Sender<Operation>,
    writer: JoinHandle<()>,
    listener: JoinHandle<()>,
}

impl Threads {
    pub(super) fn start(mut options: SqliteOptions) -> Result<Self, JobsError> {
        open::check_version(options.allows_wal_reset_bug)?;
        check_path(&options.path)?;
        // The program may change its folder, and later connections must be to the same file. If
        // there is no folder, opening says what is wrong.
        if let Ok(absolute) = path::absolute(&options.path) {
            options.path = absolute;
        }
        let path = options.path.clone();
        crate::blocking(|| start(options)).map_err(|problem| problem.at(&path, "opening it"))
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Has the writer do something, and waits until that is committed. On a worker the run slot is
    /// released meanwhile.
    pub(super) fn write<T: Send + 'static>(
        &self,
        attempted: &'static str,
        bytes: usize,
        is_urgent: bool,
        run: impl FnOnce(&mut Work<'_>) -> Outcome<T> + Send + 'static,
    ) -> Result<T, JobsError> {
        self.shared.check_process()?;
        let place = Arc::new(Mutex::new(None));
        let result = place.clone();
        let (reply, replied) = bounded(1);
        let operation = Operation {
            attempted,
            bytes,
            is_urgent,
            until: Clock::system().now().checked_add(self.shared.patience),
            run: Box::new(move |work| {
                *place.lock() = Some(run(work)?);
                Ok(())
            }),
            reply,
        };
        let answer = crate::blocking(|| {
            let running = self.running.as_ref()?;
            running.operations.send(operation).ok()?;
            self.shared.handed_in.fetch_add(1, Relaxed);
            replied.recv().ok()
        });
        // Without an answer the writer is gone, which only a panic explains.
        answer.unwrap_or_else(|| Err(self.closed()))?;
        let value = result.lock().take();
        value.ok_or_else(|| self.closed())
    }

    #[cold]
    fn closed(&self) -> JobsError {
        let path = self.shared.path.display();
        JobsError::new(
            JobsErrorKind::Closed,
            format!("{path}: the thread that writes has ended, as after a panic: open it anew"),
        )
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        let Some(running) = self.running.take() else {
            return;
        };
        if self.shared.check_process().is_err() {
            // In a forked child: to close a connection here would take the locks of the parent's.
            mem::forget((running, self.shared.clone()));
            return;
        }
        crate::blocking(|| {
            self.shared.close();
            let _ = running.listener.join();
            // The last connection that closes writes the WAL into the file.
            self.shared.readers.close();
            drop(running.operations);
            let _ = running.writer.join();
        });
    }
}

fn check_path(path: &Path) -> Result<(), JobsError> {
    let is_in_memory = path.as_os_str().is_empty() || path == Path::new(":memory:");
    if !is_in_memory {
        return Ok(());
    }
    Err(JobsError::new(
        JobsErrorKind::Unreachable,
        format!(
            "`{}` is no file, and would be another storage for each connection: use `Memory`",
            path.display()
        ),
    ))
}

fn start(options: SqliteOptions) -> Outcome<Threads> {
    let conn = open::writer(&options)?;
    // It waits for the lock in its own way.
    conn.busy_timeout(Duration::ZERO)?;
    let listening = open::reader(&options.path, options.patience)?;
    let news = work::one(&listening, sql::NEWS, [], |row| row.get(0))?;
    // It looks again and again, so it need not wait.
    listening.busy_timeout(Duration::ZERO)?;
    // Without a socket, looks alone bring the news.
    let socket = options.datagrams.then(listen::socket).and_then(Result::ok);
    let socket = socket.and_then(|socket| {
        let port = socket.local_addr().ok()?.port();
        Some((socket, port))
    });
    let shared = Arc::new(Shared {
        file: shared::file_number(&options.path).unwrap_or_default(),
        wal: shared::wal_of(&options.path),
        path: options.path,
        process: process::id(),
        clock: options.clock,
        patience: options.patience,
        max_payload: options.max_payload,
        durability: options.durability,
        socket,
        notifiers: Notifiers::new(news.unwrap_or(0)),
        numbers: Default::default(),
        handed_in: Default::default(),
        commits: Default::default(),
        readers: Readers::new(),
    });
    let (operations, received) = unbounded();
    let writer = Writer::new(conn, shared.clone(), received);
    let writer = spawn("millhand-sqlite", move || writer.run())?;
    let listener = {
        let (shared, operations) = (shared.clone(), operations.clone());
        let listen = move || listen(&listening, &shared, &operations);
        spawn("millhand-listen", listen)?
    };
    Ok(Threads {
        shared,
        running: Some(Running {
            operations,
            writer,
            listener,
        }),
    })
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Outcome<JoinHandle<()>> {
    let spawned = thread::Builder::new().name(name.to_owned()).spawn(run);
    spawned.map_err(|error: io::Error| {
        let text = format!("the thread `{name}` cannot be started: {error}");
        Problem::Refused(JobsError::new(JobsErrorKind::Other, text))
    })
}

/// The thread that listens. Stores the port again when half of its time has passed.
fn listen(conn: &Connection, shared: &Arc<Shared>, operations: &Sender<Operation>) {
    let clock = Clock::system();
    let mut stored_at = clock.now();
    let refresh = || {
        if clock.now().duration_since(stored_at) < listen::PORT_FOR / 2 {
            return;
        }
        stored_at = clock.now();
        let shared = shared.clone();
        // Nothing waits for the answer: if this fails, the looks are there.
        let (reply, _) = bounded(1);
        let _ = operations.send(Operation {
            attempted: "storing the port",
            bytes: 0,
            is_urgent: false,
            until: Some(stored_at),
            run: Box::new(move |work| store_port(&shared, work)),
            reply,
        });
    };
    let socket = shared.socket.as_ref().map(|(socket, _)| socket);
    let wal = || shared.wal_bytes();
    Listener::new(conn, &shared.notifiers, socket).run(refresh, wal);
}
