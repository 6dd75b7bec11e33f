//! What the handles of a storage and its threads share.
//!
//! Layer: jobs.

use crate::jobs::error::{JobsError, JobsErrorKind};
use crate::jobs::id::SessionId;
use crate::jobs::sqlite::fault::Problem;
use crate::jobs::sqlite::listen::Notifiers;
use crate::jobs::sqlite::open;
use crate::jobs::sqlite::options::Durability;
use crate::jobs::sqlite::work::Outcome;
use crate::jobs::time::StoredTime;
use crate::testing::Clock;
use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use rusqlite::Connection;
use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// So many looks at once.
const MOST_READERS: usize = 4;

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) path: PathBuf,
    /// What `file_number` said when it was opened.
    pub(super) file: Option<(u64, u64)>,
    pub(super) wal: PathBuf,
    /// The process that opened the storage.
    pub(super) process: u32,
    pub(super) clock: Clock,
    pub(super) patience: Duration,
    pub(super) max_payload: usize,
    pub(super) durability: Durability,
    /// The socket to which other processes send datagrams, and from which this one does, and its
    /// port.
    pub(super) socket: Option<(UdpSocket, u16)>,
    pub(super) notifiers: Notifiers,
    /// The number of the last exchange of each session of this process.
    pub(super) numbers: Mutex<HashMap<SessionId, u64>>,
    /// How many operations callers have handed in, and how many transactions the writer has
    /// committed for them. To be looked at: nothing depends on them.
    pub(super) handed_in: AtomicU64,
    pub(super) commits: AtomicU64,
    pub(super) readers: Readers,
}

impl Shared {
    pub(super) fn now(&self) -> StoredTime {
        self.clock.wall().into()
    }

    /// Refuses a call in a process that was forked from the one with the threads and connections.
    pub(super) fn check_process(&self) -> Result<(), JobsError> {
        let (opener, here) = (self.process, process::id());
        if opener == here {
            return Ok(());
        }
        let path = self.path.display();
        Err(JobsError::new(
            JobsErrorKind::Forked,
            format!(
                "{path}: process {opener} opened the storage, and process {here} was forked from \
                 it: open the storage anew there"
            ),
        ))
    }

    /// The port to which other processes send datagrams.
    pub(super) fn port(&self) -> Option<u16> {
        self.socket.as_ref().map(|(_, port)| *port)
    }

    /// Sends a datagram to each port but the own one. One that cannot be sent is not needed: the
    /// other process looks by itself.
    pub(super) fn notify(&self, ports: &[u16]) {
        if let Some((socket, own)) = &self.socket {
            for port in ports.iter().filter(|port| *port != own) {
                let _ = socket.send_to(&[0], (Ipv4Addr::LOCALHOST, *port));
            }
        }
    }

    /// Whether the path leads to another file than the one that was opened, or to none.
    pub(super) fn is_replaced(&self) -> bool {
        is_other(self.file, file_number(&self.path))
    }

    /// How long the WAL is.
    pub(super) fn wal_bytes(&self) -> u64 {
        // This opens nothing. To close a file of SQLite would give up the locks of the process.
        fs::metadata(&self.wal).map_or(0, |wal| wal.len())
    }

    /// Ends the listener's thread.
    pub(super) fn close(&self) {
        self.notifiers.close();
        if let Some((socket, own)) = &self.socket {
            let _ = socket.send_to(&[0], (Ipv4Addr::LOCALHOST, *own));
        }
    }

    /// Looks at what is stored, in one short transaction.
    pub(super) fn read<T>(
        &self,
        attempted: &str,
        look: impl FnOnce(&Connection) -> Outcome<T>,
    ) -> Result<T, JobsError> {
        self.check_process()?;
        let read = || {
            let mut lent = self.readers.lend();
            let conn = match lent.conn.take() {
                Some(conn) => conn,
                None => open::reader(&self.path, self.patience)?,
            };
            conn.prepare_cached("BEGIN")?.execute([])?;
            let seen = look(&conn)?;
            conn.prepare_cached("COMMIT")?.execute([])?;
            // After an error the connection is closed, and the next look opens another one.
            lent.conn = Some(conn);
            Ok(seen)
        };
        crate::blocking(read).map_err(|problem: Problem| problem.at(&self.path, attempted))
    }
}

/// Which file a path leads to: its device and number there. `None` if the system has no such
/// numbers.
pub(super) fn file_number(path: &Path) -> io::Result<Option<(u64, u64)>> {
    let found = fs::metadata(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        Ok(Some((found.dev(), found.ino())))
    }
    #[cfg(not(unix))]
    {
        let _ = found;
        Ok(None)
    }
}

/// Whether what a path leads to now is not the file that was opened.
fn is_other(opened: Option<(u64, u64)>, found: io::Result<Option<(u64, u64)>>) -> bool {
    match found {
        Ok(found) => opened.is_some() && found != opened,
        // Whatever else the system says, the file may be there as before.
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// The WAL of a file. SQLite has it beside the file to which a link leads.
pub(super) fn wal_of(path: &Path) -> PathBuf {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut wal = path.into_os_string();
    wal.push("-wal");
    wal.into()
}

/// Connections for looks. A place for one that is not open yet is empty.
#[derive(Debug)]
pub(super) struct Readers {
    back: Sender<Option<Connection>>,
    free: Receiver<Option<Connection>>,
}

impl Readers {
    pub(super) fn new() -> Self {
        let (back, free) = bounded(MOST_READERS);
        for _ in 0..MOST_READERS {
            let _ = back.send(None);
        }
        Self { back, free }
    }

    /// Waits for a free place.
    fn lend(&self) -> Lent<'_> {
        Lent {
            conn: self.free.recv().ok().flatten(),
            back: &self.back,
        }
    }

    /// Closes those that are free.
    pub(super) fn close(&self) {
        while let Ok(conn) = self.free.try_recv() {
            drop(conn);
        }
    }
}

/// A place that goes back when this is dropped.
struct Lent<'a> {
    conn: Option<Connection>,
    back: &'a Sender<Option<Connection>>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let _ = self.back.send(self.conn.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind::{NotFound, PermissionDenied};

    #[test]
    fn a_file_that_cannot_be_looked_at_is_not_replaced() {
        let opened = Some((1, 7));
        let error = |kind: io::ErrorKind| Err(kind.into());
        assert!(!is_other(opened, Ok(opened)));
        assert!(is_other(opened, Ok(Some((1, 8)))));
        assert!(is_other(opened, error(NotFound)));
        assert!(!is_other(opened, error(PermissionDenied)));
        assert!(!is_other(None, Ok(None)));
    }
}
