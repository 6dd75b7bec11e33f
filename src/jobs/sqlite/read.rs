//! Looks at what is stored, each in one short transaction.
//!
//! Layer: jobs.

use crate::jobs::id::{JobId, SessionId};
use crate::jobs::look::{Counts, Fate, Filter, JobInfo, JobState, Outcome as Ending, Page};
use crate::jobs::look::{QueueCounts, Totals};
use crate::jobs::sqlite::end;
use crate::jobs::sqlite::statements as sql;
use crate::jobs::sqlite::work::{self, Outcome};
use crate::jobs::time::{StoredTime, millis};
use rusqlite::{Connection, Row, params};
use std::collections::BTreeMap;
use std::time::Duration;

/// A page has at most so many rows, so that no look holds up a checkpoint for long.
pub(super) const MOST_ROWS: usize = 500;

/// A page with payloads ends after so many bytes of them.
const MOST_BYTES: usize = 16 << 20;

/// So many jobs of a state that waits are sorted for each page. If there are more, a page is found
/// among the jobs of all states, in the order of their ids.
const MOST_SORTED: usize = 10_000;

/// What has become of a job. One that is kept for those that follow it, and for nothing else, is
/// forgotten for all but them.
pub(super) fn fate(
    conn: &Connection,
    id: JobId,
    now: StoredTime,
    is_for_child: bool,
) -> Outcome<Fate> {
    let id = work::from_id(id);
    let found = work::one(conn, sql::FATE, params![id, is_for_child], |row| {
        let state = end::state(row.get(0)?);
        let output: Option<Vec<u8>> = row.get(1)?;
        let error: Option<String> = row.get(2)?;
        let keep_until: Option<i64> = row.get(3)?;
        let ending = match state {
            JobState::Done => Ending::Done(output.unwrap_or_default()),
            JobState::Dead => Ending::Dead(error.unwrap_or_default()),
            JobState::Cancelled => Ending::Cancelled,
            JobState::Expired => Ending::Expired,
            live => return Ok(Fate::Live(live)),
        };
        Ok(match keep_until.is_some_and(|until| until > now.0) {
            true => Fate::Ended(ending),
            false => Fate::Forgotten,
        })
    })?;
    if let Some(fate) = found {
        return Ok(fate);
    }
    Ok(match (1..=last_id(conn)?).contains(&id) {
        true => Fate::Forgotten,
        false => Fate::Unknown,
    })
}

/// The largest id that a job has had.
pub(super) fn last_id(conn: &Connection) -> Outcome<i64> {
    let last = work::one(conn, sql::LAST_ID, [], |row| row.get(0))?;
    Ok(last.unwrap_or(0))
}

pub(super) fn list(
    conn: &Connection,
    filter: &Filter,
    page: Page,
    now: StoredTime,
) -> Outcome<Vec<JobInfo>> {
    let mut listed = Listed {
        jobs: Vec::new(),
        most: page.most.min(MOST_ROWS),
        bytes: 0,
    };
    let Some(ids) = &filter.ids else {
        let text = list_of(conn, filter.state)?;
        let range = (work::from_id(page.after), i64::MAX);
        listed.read(conn, text, filter, range, now)?;
        return Ok(listed.jobs);
    };
    let mut ids: Vec<i64> = ids
        .iter()
        .filter(|id| **id > page.after)
        .map(|id| work::from_id(*id))
        .collect();
    ids.sort_unstable();
    ids.dedup();
    for id in ids {
        listed.read(conn, sql::LIST_ANY, filter, (id - 1, id), now)?;
    }
    Ok(listed.jobs)
}

/// The statement that finds the jobs of a state.
fn list_of(conn: &Connection, state: Option<JobState>) -> Outcome<&'static str> {
    let (few, are_more) = match state {
        Some(JobState::Blocked) => (sql::LIST_BLOCKED, sql::ARE_MORE_BLOCKED),
        Some(JobState::Scheduled) => (sql::LIST_SCHEDULED, sql::ARE_MORE_SCHEDULED),
        Some(JobState::Ready) => (sql::LIST_READY, sql::ARE_MORE_READY),
        Some(JobState::Running) => return Ok(sql::LIST_RUNNING),
        Some(state) if state.has_ended() => return Ok(sql::LIST_ENDED),
        _ => return Ok(sql::LIST_ANY),
    };
    let more = work::one(conn, are_more, [work::from_size(MOST_SORTED)], |_| Ok(()))?;
    Ok(if more.is_some() { sql::LIST_ANY } else { few })
}

/// A page that is being read.
struct Listed {
    jobs: Vec<JobInfo>,
    most: usize,
    bytes: usize,
}

impl Listed {
    /// Adds the jobs whose ids are in a range: from after the first to the second.
    fn read(
        &mut self,
        conn: &Connection,
        text: &str,
        filter: &Filter,
        (after, last): (i64, i64),
        now: StoredTime,
    ) -> Outcome<()> {
        let room = self.most - self.jobs.len();
        if room == 0 || self.bytes >= MOST_BYTES {
            return Ok(());
        }
        let ended_before = filter
            .ended_before
            .map(|ago| now.0.saturating_sub(millis(ago)));
        let mut statement = conn.prepare_cached(text)?;
        let mut rows = statement.query(params![
            after,
            last,
            work::from_size(room),
            filter.queue,
            filter.kind,
            ended_before,
            now.0,
            filter.payloads,
            filter.state.map(end::code),
        ])?;
        while self.bytes < MOST_BYTES {
            let Some(row) = rows.next()? else { break };
            let job = info(row)?;
            self.bytes += job.payload.len();
            self.jobs.push(job);
        }
        Ok(())
    }
}

fn info(row: &Row<'_>) -> Outcome<JobInfo> {
    let id: i64 = row.get(0)?;
    let state = end::state(row.get(4)?);
    let session: Option<i64> = row.get(12)?;
    let runs_in = session.filter(|_| state == JobState::Running);
    Ok(JobInfo {
        id: work::to_id(id),
        queue: row.get(1)?,
        kind: row.get(2)?,
        priority: row.get(3).map(work::to_i32)?,
        state,
        enqueued_at: row.get(5).map(StoredTime)?,
        due_at: row.get(6).map(StoredTime)?,
        began_at: row.get::<_, Option<i64>>(7)?.map(StoredTime),
        ended_at: row.get::<_, Option<i64>>(8)?.map(StoredTime),
        claims: row.get(9).map(work::to_count)?,
        failures: row.get(10).map(work::to_u32)?,
        crashes: row.get(11).map(work::to_u32)?,
        session: runs_in.map(|session| SessionId(work::to_count(session))),
        lane: row.get(16)?,
        waits_for: row.get(17).map(work::to_u32)?,
        expires_at: row.get::<_, Option<i64>>(18)?.map(StoredTime),
        keep: row
            .get::<_, Option<i64>>(19)?
            .map(|keep| Duration::from_millis(work::to_count(keep))),
        unique_key: row.get(20)?,
        max_crashes: row.get(21).map(work::to_u32)?,
        at_most_once: row.get(22)?,
        error: row.get(13)?,
        // Where it cannot be read, a claim ends the job with the reason.
        meta: work::to_meta(row.get(14)?).unwrap_or_default(),
        payload: row.get(15)?,
    })
}

pub(super) fn counts(conn: &Connection, now: StoredTime) -> Outcome<Counts> {
    let mut queues = BTreeMap::<String, QueueCounts>::new();
    for (name, paused) in work::all(conn, sql::QUEUES, [], |row| {
        Ok((row.get::<_, String>(0)?, row.get(1)?))
    })? {
        queues.entry(name).or_default().paused = paused;
    }
    let mut add = |text: &str, place: fn(&mut QueueCounts) -> &mut u64| -> Outcome<()> {
        for (name, n) in work::all(conn, text, [], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))
        })? {
            *place(queues.entry(name).or_default()) = work::to_count(n);
        }
        Ok(())
    };
    add(sql::COUNT_SCHEDULED, |queue| &mut queue.scheduled)?;
    add(sql::COUNT_BLOCKED, |queue| &mut queue.blocked)?;
    add(sql::COUNT_READY, |queue| &mut queue.ready)?;
    add(sql::COUNT_RUNNING, |queue| &mut queue.running)?;
    let dead = work::one(conn, sql::COUNT_DEAD, [now.0], |row| row.get::<_, i64>(0))?;
    let name = |(queue, counts)| QueueCounts { queue, ..counts };
    Ok(Counts {
        queues: queues.into_iter().map(name).collect(),
        dead: work::to_count(dead.unwrap_or(0)),
        totals: totals(conn)?,
    })
}

fn totals(conn: &Connection) -> Outcome<Totals> {
    let mut totals = Totals::default();
    for (name, n) in work::all(conn, sql::TOTALS, [], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))
    })? {
        let place = match name.as_str() {
            "done" => &mut totals.done,
            "dead" => &mut totals.dead,
            "cancelled" => &mut totals.cancelled,
            "expired" => &mut totals.expired,
            "retried" => &mut totals.retried,
            "crashed" => &mut totals.crashed,
            _ => continue,
        };
        *place = work::to_count(n);
    }
    Ok(totals)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::sqlite::schema;
    use rusqlite::StatementStatus;

    /// Has so many jobs in this state stored after those that are there.
    fn store(conn: &Connection, state: JobState, count: usize) {
        let ended = state.has_ended().then_some(0);
        conn.execute(
            "INSERT INTO mh_job(queue, kind, priority, state, run_at, enqueued_at, payload,
               ended_at, keep_until)
             WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n LIMIT ?1)
             SELECT 'mail', 'welcome', n % 7, ?2, -n, 0, x'00', ?3, ?4 FROM n",
            params![
                work::from_size(count),
                end::code(state),
                ended,
                ended.map(|_| i64::MAX)
            ],
        )
        .unwrap();
    }

    #[test]
    fn a_page_of_few_jobs_reads_none_that_has_ended() {
        let conn = Connection::open_in_memory().unwrap();
        schema::migrate(&conn).unwrap();
        let waiting = [JobState::Blocked, JobState::Scheduled, JobState::Ready];
        for state in waiting {
            store(&conn, JobState::Done, 3_000);
            store(&conn, state, 5);
        }
        for (place, state) in waiting.into_iter().enumerate() {
            let filter = Filter {
                state: Some(state),
                ..Filter::default()
            };
            let first = 3_005 * (place as u64 + 1) - 4;
            for (after, next) in [(0, first), (first, first + 1)] {
                let after = JobId(after);
                let page = Page { after, most: 3 };
                let jobs = list(&conn, &filter, page, StoredTime(0)).unwrap();
                let ids: Vec<u64> = jobs.iter().map(|job| job.id.0).collect();
                assert_eq!(ids, [next, next + 1, next + 2]);
            }
        }
        let texts = [sql::LIST_BLOCKED, sql::LIST_SCHEDULED, sql::LIST_READY];
        for text in texts.into_iter().chain([sql::LIST_ANY]) {
            let statement = conn.prepare_cached(text).unwrap();
            let steps = statement.get_status(StatementStatus::VmStep);
            assert!(steps < 3_000, "{steps}");
        }
    }

    #[test]
    fn a_page_of_many_jobs_is_found_in_the_order_of_their_ids() {
        let conn = Connection::open_in_memory().unwrap();
        schema::migrate(&conn).unwrap();
        store(&conn, JobState::Scheduled, MOST_SORTED + 1);
        let filter = Filter {
            state: Some(JobState::Scheduled),
            ..Filter::default()
        };
        let page = Page {
            after: JobId(MOST_SORTED as u64 - 1),
            most: 5,
        };
        let jobs = list(&conn, &filter, page, StoredTime(0)).unwrap();
        let ids: Vec<usize> = jobs.iter().map(|job| job.id.0 as usize).collect();
        assert_eq!(ids, [MOST_SORTED, MOST_SORTED + 1]);
    }
}
