//! Opens connections.
//!
//! Layer: jobs.

use crate::jobs::error::{JobsError, JobsErrorKind};
use crate::jobs::sqlite::options::{Durability, SqliteOptions};
use crate::jobs::sqlite::schema;
use crate::jobs::sqlite::work::Outcome;
use crate::testing::Clock;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

/// SQLite waits for a lock for so long at once. Then the writer looks at the patience.
const WAIT: Duration = Duration::from_secs(5);

/// More than there are statements.
const STATEMENTS: usize = 128;

/// Refuses a version of SQLite that can damage a file in WAL mode.
pub(super) fn check_version(allows_bug: bool) -> Result<(), JobsError> {
    if allows_bug || has_no_reset_bug(rusqlite::version_number()) {
        return Ok(());
    }
    let version = rusqlite::version();
    Err(JobsError::new(
        JobsErrorKind::Unreachable,
        format!(
            "SQLite {version} has the WAL-reset bug, which can damage a file that several \
             connections use: use 3.51.3 or newer, or `SqliteOptions::allow_wal_reset_bug`"
        ),
    ))
}

/// Whether the mend is in this version, or was brought over to its series.
fn has_no_reset_bug(version: i32) -> bool {
    let mended = [3_044_006..3_045_000, 3_050_007..3_051_000];
    version >= 3_051_003 || mended.iter().any(|series| series.contains(&version))
}

fn connect(path: &Path, patience: Duration, flags: OpenFlags) -> Outcome<Connection> {
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(patience.min(WAIT))?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    // Plans do not depend on values. Otherwise a statement with `LIMIT ?` is compiled again at each
    // run.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(conn)
}

/// Opens the connection that writes. Makes the file and the tables if they are not there, and need
/// not be.
pub(super) fn writer(options: &SqliteOptions) -> Outcome<Connection> {
    let SqliteOptions {
        path,
        patience,
        durability,
        must_exist,
        ..
    } = options;
    let (patience, durability) = (*patience, *durability);
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
    if *must_exist {
        check_exists(path)?;
    } else {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    }
    let conn = connect(path, patience, flags)?;
    if *must_exist && schema::number(&conn)? == 0 {
        let text = "it has no jobs: no program has opened it as a storage before";
        return Err(JobsError::new(JobsErrorKind::Unreachable, text).into());
    }
    use_wal(&conn, patience)?;
    let synchronous = match durability {
        Durability::Full => "FULL",
        Durability::Normal => "NORMAL",
    };
    // Apple's fsync leaves data in the cache of the disk.
    let syncs_fully = cfg!(target_vendor = "apple") && durability == Durability::Full;
    conn.execute_batch(&format!(
        "PRAGMA synchronous = {synchronous};
         PRAGMA fullfsync = {syncs_fully};
         PRAGMA checkpoint_fullfsync = {syncs_fully};
         PRAGMA foreign_keys = OFF;
         PRAGMA wal_autocheckpoint = 1000;
         PRAGMA journal_size_limit = 67108864;
         PRAGMA cache_size = -16384;
         PRAGMA temp_store = MEMORY;
         PRAGMA mmap_size = 0;"
    ))?;
    schema::migrate(&conn)?;
    Ok(conn)
}

fn check_exists(path: &Path) -> Result<(), JobsError> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(JobsError::new(
            JobsErrorKind::Unreachable,
            "there is no such file, and it is to be opened only if there is",
        )),
        _ => Ok(()),
    }
}

/// Opens a connection that only reads.
pub(super) fn reader(path: &Path, patience: Duration) -> Outcome<Connection> {
    let conn = connect(path, patience, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    // The listener's may write the WAL into the file, which this does not forbid.
    let syncs_fully = cfg!(target_vendor = "apple");
    conn.execute_batch(&format!(
        "PRAGMA query_only = ON; PRAGMA cache_size = -4096; PRAGMA temp_store = MEMORY;
         PRAGMA mmap_size = 0; PRAGMA checkpoint_fullfsync = {syncs_fully};"
    ))?;
    Ok(conn)
}

/// Changes the file to WAL mode. That needs the file for itself, and SQLite does not wait for it
/// where two connections want it at once. So this waits for the other one by a transaction.
fn use_wal(conn: &Connection, patience: Duration) -> Outcome<()> {
    let clock = Clock::system();
    let until = clock.now().checked_add(patience);
    loop {
        let mode = "PRAGMA journal_mode = WAL";
        let changed: rusqlite::Result<String> = conn.query_row(mode, [], |row| row.get(0));
        match changed {
            Ok(mode) if mode == "wal" => return Ok(()),
            Ok(mode) => {
                return Err(JobsError::new(
                    JobsErrorKind::Unreachable,
                    format!("SQLite cannot use a WAL for the file, and uses `{mode}`"),
                )
                .into());
            }
            Err(error) => {
                let problem = error.into();
                let is_over = until.is_some_and(|until| clock.now() >= until);
                if is_over || !super::fault::Problem::is_busy(&problem) {
                    return Err(problem);
                }
            }
        }
        let _ = conn.execute_batch("BEGIN IMMEDIATE; COMMIT");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_with_the_bug_are_known() {
        for bad in [3_044_005, 3_045_000, 3_050_006, 3_051_000, 3_051_002] {
            assert!(!has_no_reset_bug(bad), "{bad}");
        }
        for good in [3_044_006, 3_050_007, 3_051_003, 3_053_002, 4_000_000] {
            assert!(has_no_reset_bug(good), "{good}");
        }
        assert!(check_version(false).is_ok());
    }
}
