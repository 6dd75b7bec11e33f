//! How a storage is opened.
//!
//! Layer: jobs.

use crate::jobs::error::JobsError;
use crate::jobs::names::MAX_PAYLOAD;
use crate::jobs::sqlite::Sqlite;
use crate::testing::Clock;
use std::path::PathBuf;
use std::time::Duration;

/// What a power cut may take.
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Durability {
    /// Nothing that a call has confirmed. Each group of operations waits for the disk.
    #[default]
    Full,
    /// The last groups of operations before a power cut. The end of a process, however it comes,
    /// takes nothing. The file is never damaged.
    Normal,
}

/// Opens a [`Sqlite`] with other options than the defaults. From [`Sqlite::options`].
///
/// ```
/// use millhand::jobs::{Durability, Sqlite, Storage};
/// use std::time::Duration;
///
/// let path = std::env::temp_dir().join(format!("millhand-options-{}.db", std::process::id()));
/// let storage = Sqlite::options(&path)
///     .durability(Durability::Normal)
///     .patience(Duration::from_secs(5))
///     .open()?;
/// assert_eq!(storage.facts()?.warnings.len(), 1); // what a power cut may take
/// # drop(storage);
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), millhand::jobs::JobsError>(())
/// ```
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone, Debug)]
#[must_use = "it does nothing until `open` is called"]
pub struct SqliteOptions {
    pub(super) path: PathBuf,
    pub(super) durability: Durability,
    pub(super) patience: Duration,
    pub(super) clock: Clock,
    pub(super) max_payload: usize,
    pub(super) datagrams: bool,
    pub(super) must_exist: bool,
    pub(super) allows_wal_reset_bug: bool,
}

impl SqliteOptions {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            durability: Durability::Full,
            patience: Duration::from_secs(30),
            clock: Clock::system(),
            max_payload: MAX_PAYLOAD,
            datagrams: true,
            must_exist: false,
            allows_wal_reset_bug: false,
        }
    }

    /// Sets what a power cut may take. Default: [`Durability::Full`], nothing.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Sets for how long a call waits while other processes hold the lock of the file. Then it ends
    /// with [`Busy`](crate::jobs::JobsErrorKind::Busy). Waits of more than 5 seconds are rounded up
    /// to the next 5 seconds. Default: 30 seconds.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Sets the clock by which jobs are due, and leases end. All processes that use the file must
    /// agree on the time. Default: the system's.
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.clock = clock.into();
        self
    }

    /// Sets how many bytes a payload may have. Default: [`MAX_PAYLOAD`].
    pub fn max_payload(mut self, bytes: usize) -> Self {
        self.max_payload = bytes;
        self
    }

    /// Opens no socket, for a sandbox that does not allow datagrams on the loopback device. Then
    /// processes notice new jobs of each other within 100 ms, and not at once. Default: they send
    /// datagrams.
    pub fn no_datagrams(mut self) -> Self {
        self.datagrams = false;
        self
    }

    /// Opens only a file that is a storage already: for a program that looks at the jobs of another
    /// one, and should not make an empty storage where a path is mistyped. Default: the file and
    /// its tables are made where they are missing.
    ///
    /// ```
    /// use millhand::jobs::{JobsErrorKind, Sqlite};
    ///
    /// let error = Sqlite::options("no-such-file.db").must_exist().open().unwrap_err();
    /// assert_eq!(error.kind(), JobsErrorKind::Unreachable);
    /// ```
    pub fn must_exist(mut self) -> Self {
        self.must_exist = true;
        self
    }

    /// Accepts a version of SQLite that can damage a file, since it has the bug that is mended in
    /// 3.51.3. The version that this crate brings does not have it. Default: such a version is
    /// refused.
    pub fn allow_wal_reset_bug(mut self) -> Self {
        self.allows_wal_reset_bug = true;
        self
    }

    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// [`Unreachable`](crate::jobs::JobsErrorKind::Unreachable) if there is no such folder, or its
    /// files must not be written, or the file [must exist](Self::must_exist) and does not.
    /// [`Corrupt`](crate::jobs::JobsErrorKind::Corrupt) if it is no file of SQLite.
    /// [`NewerSchema`](crate::jobs::JobsErrorKind::NewerSchema) if a newer version of this library
    /// has written to it. [`Busy`](crate::jobs::JobsErrorKind::Busy) if another process holds its
    /// lock for too long.
    pub fn open(self) -> Result<Sqlite, JobsError> {
        Sqlite::open_with(self)
    }
}
