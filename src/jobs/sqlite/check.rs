//! Looks for what no transaction leaves behind.
//!
//! Layer: jobs.

use crate::jobs::look::Fault;
use crate::jobs::sqlite::end::{self, Stored};
use crate::jobs::sqlite::statements as sql;
use crate::jobs::sqlite::work::{self, Outcome, Work};
use rusqlite::{Connection, Row, params};

/// What SQLite itself finds wrong with the file. Nothing of that is mended.
pub(super) fn file(conn: &Connection) -> Outcome<Vec<Fault>> {
    let lines = work::all(conn, "PRAGMA quick_check(100)", [], |row| {
        row.get::<_, String>(0)
    })?;
    let wrong = lines.into_iter().filter(|line| line != "ok");
    Ok(wrong
        .map(|line| Fault {
            job: None,
            text: format!("SQLite finds the file damaged: {line}"),
            is_mended: false,
        })
        .collect())
}

/// What is wrong with the tables.
pub(super) fn tables(work: &mut Work<'_>, mends: bool) -> Outcome<Vec<Fault>> {
    let mut faults = Vec::new();
    let mut add = |id: i64, text: String, is_mended: bool| {
        faults.push(Fault {
            job: Some(work::to_id(id)),
            text,
            is_mended,
        });
    };
    let id = |row: &Row<'_>| row.get::<_, i64>(0);
    for job in work.all(sql::RUNS_WITHOUT_SESSION, [], id)? {
        if mends {
            if let Some(stored) = Stored::find(work, job)? {
                end::leave_session(work, &stored)?;
            }
        }
        add(job, "it runs, and its session is gone".into(), mends);
    }
    for job in work.all(sql::ENDED_WRONGLY, [], id)? {
        if mends {
            let until = work.now + end::DEAD_FOR;
            work.run(sql::MEND_END, params![job, work.now.0, until.0])?;
        }
        let text = "the time at which it ended does not match its state";
        add(job, text.into(), mends);
    }
    for (kind, key, job) in work.all(sql::KEY_WITHOUT_JOB, [], three)? {
        if mends {
            work.run(sql::FORGET_KEY, [&kind, &key])?;
        }
        let text = format!("it has ended, and holds the unique key {key:?} of the kind `{kind}`");
        add(job, text, mends);
    }
    let jobs = work.all(sql::JOB_WITHOUT_KEY, [], |row| {
        Ok((row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?))
    })?;
    for (job, kind, key) in jobs {
        let (kind, key): (String, String) = (kind, key);
        let holder = params![kind, key, work.now.0];
        let is_free = work
            .one(sql::KEY_HOLDER, holder, |row| row.get::<_, i64>(0))?
            .is_none();
        if mends && is_free {
            let until: Option<i64> = None;
            work.run(sql::TAKE_KEY, params![kind, key, job, until])?;
        }
        let text = format!("it does not hold its unique key {key:?} of the kind `{kind}`");
        add(job, text, mends && is_free);
    }
    Ok(faults)
}

fn three(row: &Row<'_>) -> rusqlite::Result<(String, String, i64)> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}
