//! The tables, and how an older file gets them.
//!
//! Layer: jobs.
//
// Migrations run forward only. Each is one IMMEDIATE transaction, and looks at the number again
// inside of it: two processes may open one file at the same time.

use crate::jobs::error::{JobsError, JobsErrorKind};
use crate::jobs::sqlite::fault::Problem;
use rusqlite::{Connection, OptionalExtension};

/// What a file needs to get from the schema with the number of its place to the next one.
const MIGRATIONS: &[&str] = &[FIRST, SECOND];

/// `user_version` is left to the user, whose tables may be in the same file.
///
/// `mh_job.state` counts as `JobState::ALL` does: -1 blocked, 0 scheduled, 1 ready, 2 running,
/// 3 done, 4 dead, 5 cancelled, 6 expired. One that has ended is in the table while its outcome is
/// kept, and then has `keep_until`. `flags` is a sum: 1 at most once, 2 cancel asked, 4 watched,
/// and more below. `unique_scope` is 0 for a key until the end, 1 until the start, 2 for a time.
/// `session` stays set when a lease ends, so that a late end counts, and is null after any other
/// return. What may be large comes last, so that the columns before it are read without it.
const FIRST: &str = "
CREATE TABLE mh_job(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  queue TEXT NOT NULL, kind TEXT NOT NULL, priority INTEGER NOT NULL, state INTEGER NOT NULL,
  run_at INTEGER NOT NULL, expires_at INTEGER,
  claims INTEGER NOT NULL DEFAULT 0, failures INTEGER NOT NULL DEFAULT 0,
  crashes INTEGER NOT NULL DEFAULT 0, max_crashes INTEGER NOT NULL DEFAULT 3,
  flags INTEGER NOT NULL DEFAULT 0, session INTEGER, exchange INTEGER,
  keep INTEGER, unique_key TEXT, unique_scope INTEGER,
  enqueued_at INTEGER NOT NULL, began_at INTEGER, ended_at INTEGER, keep_until INTEGER,
  error TEXT, meta TEXT, payload BLOB NOT NULL, output BLOB) STRICT;
CREATE INDEX mh_ready ON mh_job(queue, kind, priority DESC, id, expires_at) WHERE state = 1;
CREATE INDEX mh_due ON mh_job(run_at, id, queue) WHERE state = 0;
CREATE INDEX mh_running ON mh_job(session, queue) WHERE state = 2;
CREATE INDEX mh_expiring ON mh_job(expires_at) WHERE state < 2 AND expires_at IS NOT NULL;
CREATE INDEX mh_ended ON mh_job(state, id, keep_until) WHERE state > 2;
CREATE INDEX mh_kept ON mh_job(keep_until) WHERE keep_until IS NOT NULL;
CREATE TABLE mh_unique(
  kind TEXT NOT NULL, key TEXT NOT NULL, job INTEGER NOT NULL, until INTEGER,
  PRIMARY KEY(kind, key)) STRICT, WITHOUT ROWID;
CREATE INDEX mh_unique_until ON mh_unique(until) WHERE until IS NOT NULL;
CREATE TABLE mh_batch(
  producer INTEGER PRIMARY KEY, number INTEGER NOT NULL, at INTEGER NOT NULL,
  placed BLOB NOT NULL) STRICT;
CREATE INDEX mh_batch_at ON mh_batch(at);
CREATE TABLE mh_session(
  id INTEGER PRIMARY KEY AUTOINCREMENT, lease_until INTEGER NOT NULL,
  exchange INTEGER NOT NULL DEFAULT 0, info TEXT NOT NULL) STRICT;
CREATE INDEX mh_lease ON mh_session(lease_until);
CREATE TABLE mh_queue(
  name TEXT PRIMARY KEY, paused INTEGER NOT NULL DEFAULT 0, max_running INTEGER,
  rate INTEGER, period INTEGER, units INTEGER, refilled_at INTEGER,
  claims INTEGER NOT NULL DEFAULT 0) STRICT, WITHOUT ROWID;
CREATE TABLE mh_schedule(
  name TEXT PRIMARY KEY, rule TEXT NOT NULL, last_tick INTEGER NOT NULL,
  runs INTEGER NOT NULL DEFAULT 0, paused INTEGER NOT NULL DEFAULT 0) STRICT, WITHOUT ROWID;
CREATE TABLE mh_total(name TEXT PRIMARY KEY, n INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE mh_port(port INTEGER PRIMARY KEY, until INTEGER NOT NULL) STRICT;
INSERT INTO mh_meta(key, value) VALUES ('news', 0);
";

/// Lanes, and jobs that follow others.
///
/// More of `flags`: 8 others follow it, 16 it has a lane by name, 32 it has the lane, 64 it begins
/// also if one that it follows fails, 128 it follows others. Without 16, 32, 8 and 128, no
/// statement of an end looks at a lane or at `mh_child`. The new columns come after the payload, so
/// they are read only if the flags say that there is something in them.
///
/// `parents` is how many of those that it follows have not ended. A blocked job with 0 of them has
/// joined its lane. `mh_child` has a row for each job that a job follows, from the enqueue of the
/// child to its end. Up to then the parent has flag 8, and stays when it has ended: `keep_until` is
/// the largest number there is, and `own_until` what it will be. By then it is seen no longer but
/// by those that follow it: 0 if nothing else asks for it.
const SECOND: &str = "
ALTER TABLE mh_job ADD COLUMN lane TEXT;
ALTER TABLE mh_job ADD COLUMN parents INTEGER NOT NULL DEFAULT 0;
ALTER TABLE mh_job ADD COLUMN own_until INTEGER;
CREATE UNIQUE INDEX mh_lane ON mh_job(lane) WHERE flags & 32 <> 0;
CREATE INDEX mh_joined ON mh_job(lane, id) WHERE state = -1 AND parents = 0;
CREATE INDEX mh_blocked ON mh_job(queue) WHERE state = -1;
CREATE INDEX mh_held ON mh_job(own_until, id, state) WHERE own_until IS NOT NULL;
CREATE TABLE mh_child(
  parent INTEGER NOT NULL, child INTEGER NOT NULL, place INTEGER NOT NULL,
  ended INTEGER NOT NULL, PRIMARY KEY(parent, child)) STRICT, WITHOUT ROWID;
CREATE INDEX mh_parent ON mh_child(child, place);
";

/// Brings the file to the newest schema.
pub(super) fn migrate(conn: &Connection) -> Result<(), Problem> {
    if is_newest(number(conn)?)? {
        return Ok(());
    }
    for (place, migration) in MIGRATIONS.iter().enumerate() {
        conn.execute_batch("BEGIN IMMEDIATE")?;
        let done = migrate_by_one(conn, place, migration);
        let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
        let ended = conn.execute_batch(end);
        done?;
        ended?;
    }
    Ok(())
}

fn migrate_by_one(conn: &Connection, place: usize, migration: &str) -> Result<(), Problem> {
    let found = number(conn)?;
    if is_newest(found)? || found > to_number(place) {
        return Ok(());
    }
    conn.execute_batch(
        "CREATE TABLE IF NOT EXISTS mh_meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL)
         STRICT, WITHOUT ROWID",
    )?;
    conn.execute_batch(migration)?;
    conn.execute(
        "INSERT INTO mh_meta(key, value) VALUES ('schema', ?1)
         ON CONFLICT(key) DO UPDATE SET value = excluded.value",
        [to_number(place + 1)],
    )?;
    Ok(())
}

/// The number of the schema that the file has: 0 for none.
pub(super) fn number(conn: &Connection) -> Result<i64, Problem> {
    let tables = "SELECT count(*) FROM sqlite_schema WHERE name = 'mh_meta'";
    if conn.query_row(tables, [], |row| row.get::<_, i64>(0))? == 0 {
        return Ok(0);
    }
    let found = conn
        .query_row(
            "SELECT value FROM mh_meta WHERE key = 'schema'",
            [],
            |row| row.get(0),
        )
        .optional()?;
    Ok(found.unwrap_or(0))
}

fn is_newest(found: i64) -> Result<bool, Problem> {
    let newest = to_number(MIGRATIONS.len());
    if found > newest {
        return Err(Problem::Refused(JobsError::new(
            JobsErrorKind::NewerSchema,
            format!(
                "the tables have the schema {found}, and this program knows those up to {newest}: \
                 use a newer version of millhand, or restore the file of before the update"
            ),
        )));
    }
    Ok(found == newest)
}

fn to_number(place: usize) -> i64 {
    i64::try_from(place).unwrap_or(i64::MAX)
}
