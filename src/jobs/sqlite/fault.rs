//! What SQLite reports, as errors that name the file and what to do.
//!
//! Layer: jobs.

use crate::jobs::error::{JobsError, JobsErrorKind};
use rusqlite::ErrorCode;
use rusqlite::ffi;
use std::path::Path;

/// Why an operation failed, before the file is named.
#[derive(Debug)]
pub(super) enum Problem {
    Sqlite(rusqlite::Error),
    Refused(JobsError),
}

impl From<rusqlite::Error> for Problem {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<JobsError> for Problem {
    fn from(error: JobsError) -> Self {
        Self::Refused(error)
    }
}

impl Problem {
    /// Names the file and what was attempted.
    pub(super) fn at(self, path: &Path, attempted: &str) -> JobsError {
        match self {
            Self::Refused(error) => {
                JobsError::new(error.kind(), format!("{}: {error}", path.display()))
            }
            Self::Sqlite(error) => {
                let (kind, advice) = explain(&error);
                let (path, text) = (path.display(), error.to_string());
                // Where it opens a file, rusqlite adds the path itself.
                let reason = text.strip_suffix(&format!(": {path}")).unwrap_or(&text);
                let text = format!("{path}: {attempted}: {reason}{advice}");
                JobsError::new(kind, text).with_source(error)
            }
        }
    }

    pub(super) fn is_busy(&self) -> bool {
        self.code() == Some(ErrorCode::DatabaseBusy)
    }

    /// Whether SQLite found the file damaged.
    pub(super) fn is_damage(&self) -> bool {
        let damage = [ErrorCode::DatabaseCorrupt, ErrorCode::NotADatabase];
        self.code().is_some_and(|code| damage.contains(&code))
    }

    fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Sqlite(error) => error.sqlite_error_code(),
            Self::Refused(_) => None,
        }
    }
}

/// The kind of an error, and what to do.
fn explain(error: &rusqlite::Error) -> (JobsErrorKind, &'static str) {
    let rusqlite::Error::SqliteFailure(failure, text) = error else {
        return (JobsErrorKind::Other, "");
    };
    let is_missing = |text: &String| text.starts_with("no such table: mh_");
    match (failure.code, failure.extended_code) {
        (_, ffi::SQLITE_BUSY_SNAPSHOT) => (
            JobsErrorKind::Busy,
            "; another connection has written since this transaction began: begin it as IMMEDIATE",
        ),
        (ErrorCode::DatabaseBusy, _) => (
            JobsErrorKind::Busy,
            "; does this thread hold a write transaction on the same file? use enqueue_in",
        ),
        (ErrorCode::DatabaseLocked, _) => (JobsErrorKind::Busy, ""),
        // A quota and a limit of the size of files are reported as failed writes.
        (ErrorCode::DiskFull, _) | (_, ffi::SQLITE_IOERR_WRITE) => (
            JobsErrorKind::Full,
            "; make room on its disk: what was to be stored can be sent again then",
        ),
        (ErrorCode::ReadOnly, ffi::SQLITE_READONLY_DBMOVED) => (
            JobsErrorKind::Corrupt,
            "; the file was moved, deleted or replaced: restart the program",
        ),
        (ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase, _) => (
            JobsErrorKind::Corrupt,
            "; copy the file with those ending in -wal and -shm, then look at it with `PRAGMA \
             integrity_check` and `.recover` of the program sqlite3",
        ),
        (ErrorCode::FileLockingProtocolFailed, _) | (_, ffi::SQLITE_IOERR_SHMMAP) => (
            JobsErrorKind::Unreachable,
            "; is it on a network file system? it must be on a disk of this machine",
        ),
        (
            ErrorCode::CannotOpen
            | ErrorCode::PermissionDenied
            | ErrorCode::ReadOnly
            | ErrorCode::AuthorizationForStatementDenied,
            _,
        ) => (
            JobsErrorKind::Unreachable,
            "; its folder must exist, and both must be writable, since SQLite keeps files beside it",
        ),
        (ErrorCode::SystemIoFailure, _) => (JobsErrorKind::Unreachable, ""),
        (ErrorCode::TooBig, _) => (JobsErrorKind::TooLarge, ""),
        _ if text.as_ref().is_some_and(is_missing) => (
            JobsErrorKind::Invalid,
            "; is the connection one to the file of the storage?",
        ),
        _ => (JobsErrorKind::Other, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_has_its_kind_and_names_the_file() {
        use JobsErrorKind::{Busy, Corrupt, Full, Invalid, Other, Unreachable};
        for (code, kind, advice) in [
            (ffi::SQLITE_BUSY, Busy, "use enqueue_in"),
            (ffi::SQLITE_BUSY_SNAPSHOT, Busy, "as IMMEDIATE"),
            (ffi::SQLITE_LOCKED, Busy, ""),
            (ffi::SQLITE_FULL, Full, "make room"),
            (ffi::SQLITE_IOERR_WRITE, Full, "make room"),
            (ffi::SQLITE_IOERR_READ, Unreachable, ""),
            (ffi::SQLITE_IOERR_SHMMAP, Unreachable, "network file system"),
            (ffi::SQLITE_PROTOCOL, Unreachable, "network file system"),
            (ffi::SQLITE_CANTOPEN, Unreachable, "its folder"),
            (ffi::SQLITE_READONLY, Unreachable, "its folder"),
            (ffi::SQLITE_READONLY_DBMOVED, Corrupt, "replaced"),
            (ffi::SQLITE_CORRUPT, Corrupt, "integrity_check"),
            (ffi::SQLITE_CORRUPT_INDEX, Corrupt, "integrity_check"),
            (ffi::SQLITE_NOTADB, Corrupt, "integrity_check"),
            (ffi::SQLITE_CONSTRAINT, Other, ""),
        ] {
            let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
            let error = Problem::from(error).at(Path::new("a.db"), "enqueue");
            assert_eq!(error.kind(), kind, "{error}");
            let text = error.to_string();
            assert!(text.starts_with("a.db: enqueue: "), "{text}");
            assert!(text.contains(advice), "{text}");
        }
        let text = Some("unable to open database file: a.db".to_owned());
        let error = rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CANTOPEN), text);
        let text = Problem::from(error)
            .at(Path::new("a.db"), "opening it")
            .to_string();
        assert_eq!(text.matches("a.db").count(), 1, "{text}");
        let text = Some("no such table: mh_job".to_owned());
        let error = rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_ERROR), text);
        assert_eq!(explain(&error).0, Invalid);
    }
}
