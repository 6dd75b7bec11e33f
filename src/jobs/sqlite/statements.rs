//! Every statement, in one place, so that a test sees how SQLite plans each.
//!
//! Layer: jobs.
//
// Inside of an IMMEDIATE transaction nothing else writes, so two steps are as safe as one, and
// RETURNING promises no order: so claims select first, and then update row by row.

macro_rules! statements {
    ($($name:ident = $text:expr;)*) => {
        $(pub(super) const $name: &str = $text;)*

        #[cfg(test)]
        pub(super) const ALL: &[(&str, &str)] = &[$((stringify!($name), $name)),*];
    };
}

macro_rules! list {
    ($from:literal, $state:literal) => {
        concat!(
            "SELECT id, queue, kind, priority, state, enqueued_at, run_at, began_at, ended_at,
               claims, failures, crashes, session, error, meta,
               CASE WHEN ?8 THEN payload ELSE x'' END,
               CASE WHEN flags & 16 <> 0 THEN lane END,
               CASE WHEN state = -1 THEN parents ELSE 0 END,
               CASE WHEN state < 2 THEN expires_at END, keep, unique_key, max_crashes, flags & 1
             FROM mh_job ",
            $from,
            " WHERE id > ?1 AND id <= ?2 AND ",
            $state,
            " AND (?4 IS NULL OR queue = ?4) AND (?5 IS NULL OR kind = ?5)
               AND (?6 IS NULL OR ended_at <= ?6) AND (keep_until IS NULL OR keep_until > ?7)
               AND (flags & 8 = 0 OR own_until IS NULL OR own_until > ?7)
             ORDER BY id LIMIT ?3"
        )
    };
}

statements! {
    // Enqueue.
    INSERT_JOB = "INSERT INTO mh_job(queue, kind, priority, state, run_at, expires_at,
          max_crashes, flags, keep, unique_key, unique_scope, enqueued_at, meta, payload, lane,
          parents)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";
    REPLACE = "UPDATE mh_job SET payload = ?2, meta = ?3, run_at = ?4, expires_at = ?5, state = ?6,
          flags = (flags & ~32) | ?7 WHERE id = ?1";
    KEY_HOLDER = "SELECT job FROM mh_unique
        WHERE kind = ?1 AND key = ?2 AND (until IS NULL OR until > ?3)";
    TAKE_KEY = "INSERT INTO mh_unique(kind, key, job, until) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT(kind, key) DO UPDATE SET job = excluded.job, until = excluded.until";
    FREE_KEY = "DELETE FROM mh_unique
        WHERE kind = ?1 AND key = ?2 AND job = ?3 AND until IS NULL";
    LAST_BATCH = "SELECT number, placed FROM mh_batch WHERE producer = ?1";
    STORE_BATCH = "INSERT INTO mh_batch(producer, number, at, placed) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT(producer) DO UPDATE
        SET number = excluded.number, at = excluded.at, placed = excluded.placed";
    FORGET_BATCHES = "DELETE FROM mh_batch WHERE producer IN
        (SELECT producer FROM mh_batch WHERE at <= ?1 ORDER BY at LIMIT ?2)";

    // Lanes and jobs that follow others.
    LANE_HOLDER = "SELECT id FROM mh_job INDEXED BY mh_lane WHERE flags & 32 <> 0 AND lane = ?1";
    NEXT_IN_LANE = "SELECT id, queue, expires_at FROM mh_job INDEXED BY mh_joined
        WHERE state = -1 AND parents = 0 AND lane = ?1 ORDER BY id LIMIT 1";
    MOVE = "UPDATE mh_job SET state = ?2, flags = flags | ?3, parents = 0 WHERE id = ?1";
    PARENTS_LEFT = "UPDATE mh_job SET parents = ?2 WHERE id = ?1";
    PARENT = "SELECT state, keep_until FROM mh_job WHERE id = ?1";
    ADD_EDGE = "INSERT INTO mh_child(parent, child, place, ended) VALUES (?1, ?2, ?3, ?4)";
    HOLD_PARENT = "UPDATE mh_job SET flags = flags | 8,
          own_until = CASE WHEN state > 2 THEN keep_until END,
          keep_until = CASE WHEN state > 2 THEN 9223372036854775807 END
        WHERE id = ?1 AND flags & 8 = 0";
    PARENT_HAS_ENDED = "UPDATE mh_child SET ended = 1 WHERE parent = ?1 AND ended = 0
        RETURNING child";
    REMOVE_EDGES = "DELETE FROM mh_child WHERE child = ?1 RETURNING parent";
    HAS_CHILD = "SELECT 1 FROM mh_child WHERE parent = ?1 LIMIT 1";
    HELD_PARENT = "SELECT own_until FROM mh_job WHERE id = ?1 AND flags & 8 <> 0";
    // An older program that has the file open ends a job without `own_until`.
    RELEASE_PARENT = "UPDATE mh_job SET flags = flags & ~8,
          keep_until = coalesce(own_until, keep_until), own_until = NULL WHERE id = ?1";
    PARENTS = "SELECT parent FROM mh_child WHERE child = ?1 ORDER BY place";

    // Due jobs and claims.
    NEXT_DUE = "SELECT run_at FROM mh_job INDEXED BY mh_due WHERE state = 0
        ORDER BY run_at LIMIT 1";
    // Those that need a lane are blocked for now: of two of one lane, one may become ready.
    MOVE_DUE = "UPDATE mh_job SET state = CASE WHEN flags & 48 = 16 THEN -1 ELSE 1 END
        WHERE id IN (SELECT id FROM mh_job INDEXED BY mh_due
          WHERE state = 0 AND run_at <= ?1 ORDER BY run_at, id LIMIT ?2)
        RETURNING queue, run_at, id, CASE WHEN flags & 48 = 16 THEN lane END, expires_at";
    READY = "SELECT id, priority, expires_at IS NOT NULL AND expires_at <= ?3
        FROM mh_job INDEXED BY mh_ready WHERE state = 1 AND queue = ?1 AND kind = ?2
        ORDER BY priority DESC, id LIMIT ?4";
    LOWEST = "SELECT id, priority FROM mh_job INDEXED BY mh_ready
        WHERE state = 1 AND queue = ?1 AND kind = ?2 AND (expires_at IS NULL OR expires_at > ?3)
          AND priority = (SELECT priority FROM mh_job INDEXED BY mh_ready
            WHERE state = 1 AND queue = ?1 AND kind = ?2
              AND (expires_at IS NULL OR expires_at > ?3)
            ORDER BY priority LIMIT 1)
        ORDER BY id LIMIT 1";
    // In two steps, since RETURNING copies each row, payload and all, once more.
    TO_CLAIM = "SELECT claims + 1, kind, queue, priority, flags, failures, crashes, enqueued_at,
          coalesce(began_at, ?2), error, meta, payload, unique_key, unique_scope
        FROM mh_job WHERE id = ?1";
    CLAIM = "UPDATE mh_job SET state = 2, claims = claims + 1, session = ?2, exchange = ?3,
          began_at = coalesce(began_at, ?4), expires_at = NULL WHERE id = ?1";
    RUNNING_IN_QUEUE = "SELECT count(*) FROM mh_job INDEXED BY mh_running
        WHERE state = 2 AND queue = ?1";
    QUEUE = "SELECT paused, max_running, rate, period, units, refilled_at, claims FROM mh_queue
        WHERE name = ?1";
    QUEUE_CLAIMED = "INSERT INTO mh_queue(name, claims, units, refilled_at) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT(name) DO UPDATE
        SET claims = claims + excluded.claims, units = excluded.units,
          refilled_at = excluded.refilled_at";

    // Ends.
    JOB = "SELECT queue, kind, state, claims, flags, keep, unique_key, unique_scope,
          crashes, max_crashes, session, run_at, expires_at,
          CASE WHEN flags & 16 <> 0 THEN lane END, CASE WHEN flags & 128 <> 0 THEN parents ELSE 0 END
        FROM mh_job WHERE id = ?1";
    END_KEPT = "UPDATE mh_job SET state = ?2, ended_at = ?3, keep_until = ?4, own_until = ?5,
          output = ?6, error = coalesce(?7, error), failures = failures + ?8, session = NULL,
          parents = 0, flags = flags & ~160 WHERE id = ?1";
    REMOVE = "DELETE FROM mh_job WHERE id = ?1";
    SCHEDULE_AGAIN = "UPDATE mh_job SET state = 0, run_at = ?2, session = NULL,
          failures = failures + ?3, error = coalesce(?4, error) WHERE id = ?1";
    COUNT_FAILURE = "UPDATE mh_job SET failures = failures + 1 WHERE id = ?1";
    READY_AGAIN = "UPDATE mh_job SET state = 1, session = NULL WHERE id = ?1";
    READY_AFTER_CRASH = "UPDATE mh_job SET state = 1, crashes = ?2 WHERE id = ?1";
    ASK_TO_CANCEL = "UPDATE mh_job SET flags = flags | 2 WHERE id = ?1 AND flags & 2 = 0";
    WATCH = "UPDATE mh_job SET flags = flags | 4 WHERE id = ?1 AND flags & 4 = 0";
    REVIVE = "UPDATE mh_job SET state = ?2, run_at = ?3, failures = 0, crashes = 0,
          ended_at = NULL, keep_until = NULL, own_until = NULL, output = NULL,
          flags = (flags & ~2) | ?4 WHERE id = ?1";
    ADD_TO_TOTAL = "INSERT INTO mh_total(name, n) VALUES (?1, ?2)
        ON CONFLICT(name) DO UPDATE SET n = n + excluded.n";

    // Sessions.
    OPEN_SESSION = "INSERT INTO mh_session(lease_until, info) VALUES (?1, ?2)";
    SESSION = "SELECT exchange FROM mh_session WHERE id = ?1";
    STORE_EXCHANGE = "UPDATE mh_session SET exchange = ?2 WHERE id = ?1 AND exchange < ?2";
    EXTEND_LEASE = "UPDATE mh_session SET lease_until = ?2 WHERE id = ?1";
    HELD = "SELECT id, exchange, flags FROM mh_job INDEXED BY mh_running
        WHERE state = 2 AND session = ?1";
    LEASES_OVER = "SELECT id FROM mh_session WHERE lease_until <= ?1 ORDER BY lease_until, id LIMIT ?2";
    REMOVE_SESSION = "DELETE FROM mh_session WHERE id = ?1";

    // Sweeps.
    EXPIRED = "SELECT id FROM mh_job INDEXED BY mh_expiring
        WHERE state < 2 AND expires_at IS NOT NULL AND expires_at <= ?1
        ORDER BY expires_at, id LIMIT ?2";
    KEPT_TOO_LONG = "SELECT id, keep_until FROM mh_job INDEXED BY mh_kept WHERE keep_until <= ?1
        ORDER BY keep_until, id LIMIT ?2";
    KEPT_FOR_CHILDREN_ALONE = "SELECT id, own_until FROM mh_job INDEXED BY mh_held
        WHERE own_until > 0 AND own_until <= ?1 ORDER BY own_until, id LIMIT ?2";
    FORGET_HELD = "UPDATE mh_job SET own_until = 0 WHERE id = ?1 AND own_until IS NOT NULL";
    COUNT_DEAD = "SELECT (SELECT count(*) FROM mh_job INDEXED BY mh_ended
          WHERE state = 4 AND state > 2 AND keep_until > ?1)
        - (SELECT count(*) FROM mh_job INDEXED BY mh_held WHERE own_until <= ?1 AND state = 4)";
    OLDEST_DEAD = "SELECT id FROM mh_job INDEXED BY mh_ended WHERE state = 4 AND state > 2
          AND (flags & 8 = 0 OR own_until > 0) ORDER BY id LIMIT ?1";
    KEYS_OVER = "SELECT kind, key FROM mh_unique WHERE until IS NOT NULL AND until <= ?1
        ORDER BY until LIMIT ?2";
    FORGET_KEY = "DELETE FROM mh_unique WHERE kind = ?1 AND key = ?2";

    // Schedules and queues.
    REGISTER = "INSERT INTO mh_schedule(name, rule, last_tick) VALUES (?1, ?2, ?3)
        ON CONFLICT(name) DO UPDATE SET rule = excluded.rule WHERE rule <> excluded.rule";
    TICK = "UPDATE mh_schedule SET last_tick = ?2
        WHERE name = ?1 AND last_tick < ?2 AND paused = 0";
    COUNT_RUN = "UPDATE mh_schedule SET runs = runs + 1 WHERE name = ?1";
    SCHEDULE = "SELECT name, rule, last_tick, runs, paused FROM mh_schedule WHERE name = ?1";
    SCHEDULES = "SELECT name, rule, last_tick, runs, paused FROM mh_schedule ORDER BY name";
    PAUSE_SCHEDULE = "UPDATE mh_schedule SET paused = 1 WHERE name = ?1";
    RESUME_SCHEDULE = "UPDATE mh_schedule SET paused = 0,
          last_tick = CASE WHEN paused THEN max(last_tick, ?2) ELSE last_tick END
        WHERE name = ?1";
    FORGET_SCHEDULE = "DELETE FROM mh_schedule WHERE name = ?1";
    PAUSE_QUEUE = "INSERT INTO mh_queue(name, paused) VALUES (?1, ?2)
        ON CONFLICT(name) DO UPDATE SET paused = excluded.paused";
    LIMIT_QUEUE = "INSERT INTO mh_queue(name, max_running) VALUES (?1, ?2)
        ON CONFLICT(name) DO UPDATE SET max_running = excluded.max_running";
    RATE_QUEUE = "INSERT INTO mh_queue(name, rate, period) VALUES (?1, ?2, ?3)
        ON CONFLICT(name) DO UPDATE SET rate = excluded.rate, period = excluded.period,
          units = NULL, refilled_at = NULL
        WHERE rate IS NOT excluded.rate OR period IS NOT excluded.period";

    // Wakes.
    STORE_PORT = "INSERT INTO mh_port(port, until) VALUES (?1, ?2)
        ON CONFLICT(port) DO UPDATE SET until = excluded.until";
    FORGET_PORTS = "DELETE FROM mh_port WHERE port = ?1 OR until <= ?2";
    IS_PORT_STORED = "SELECT 1 FROM mh_port WHERE port = ?1";
    PORTS = "SELECT port FROM mh_port WHERE until > ?1";
    ADD_NEWS = "UPDATE mh_meta SET value = value + 1 WHERE key = 'news' RETURNING value";
    CANCEL_ASKED = "SELECT id FROM mh_job INDEXED BY mh_running
        WHERE state = 2 AND session = ?1 AND flags & 2 <> 0";
    NEWS = "SELECT value FROM mh_meta WHERE key = 'news'";

    // Looks.
    FATE = "SELECT state, output, error,
          CASE WHEN flags & 8 <> 0 AND NOT ?2 THEN coalesce(own_until, keep_until)
            ELSE keep_until END
        FROM mh_job WHERE id = ?1";
    IS_LIVE = "SELECT 1 FROM mh_job WHERE id = ?1 AND state < 3";
    LAST_ID = "SELECT seq FROM sqlite_sequence WHERE name = 'mh_job'";
    LIST_ANY = list!("NOT INDEXED", "(?9 IS NULL OR state = ?9)");
    // Their indexes have another order, so the ids are sorted: for a state with few jobs.
    LIST_BLOCKED = list!("NOT INDEXED",
        "state = ?9 AND id IN (SELECT id FROM mh_job INDEXED BY mh_blocked WHERE state = -1)");
    LIST_SCHEDULED = list!("NOT INDEXED",
        "state = ?9 AND id IN (SELECT id FROM mh_job INDEXED BY mh_due WHERE state = 0)");
    LIST_READY = list!("NOT INDEXED",
        "state = ?9 AND id IN (SELECT id FROM mh_job INDEXED BY mh_ready WHERE state = 1)");
    ARE_MORE_BLOCKED = "SELECT 1 FROM mh_job INDEXED BY mh_blocked WHERE state = -1
        LIMIT 1 OFFSET ?1";
    ARE_MORE_SCHEDULED = "SELECT 1 FROM mh_job INDEXED BY mh_due WHERE state = 0
        LIMIT 1 OFFSET ?1";
    ARE_MORE_READY = "SELECT 1 FROM mh_job INDEXED BY mh_ready WHERE state = 1 LIMIT 1 OFFSET ?1";
    LIST_RUNNING = list!("INDEXED BY mh_running", "state = 2 AND ?9 IS NOT NULL");
    LIST_ENDED = list!("INDEXED BY mh_ended", "state > 2 AND state = ?9");
    COUNT_SCHEDULED = "SELECT queue, count(*) FROM mh_job INDEXED BY mh_due WHERE state = 0
        GROUP BY queue";
    COUNT_BLOCKED = "SELECT queue, count(*) FROM mh_job INDEXED BY mh_blocked WHERE state = -1
        GROUP BY queue";
    COUNT_READY = "SELECT queue, count(*) FROM mh_job INDEXED BY mh_ready WHERE state = 1
        GROUP BY queue";
    COUNT_RUNNING = "SELECT queue, count(*) FROM mh_job INDEXED BY mh_running WHERE state = 2
        GROUP BY queue";
    QUEUES = "SELECT name, paused FROM mh_queue
        WHERE paused <> 0 OR max_running IS NOT NULL OR rate IS NOT NULL";
    TOTALS = "SELECT name, n FROM mh_total";
    SESSIONS = "SELECT s.id, s.lease_until, s.info, (SELECT count(*)
          FROM mh_job INDEXED BY mh_running WHERE state = 2 AND session = s.id)
        FROM mh_session s ORDER BY s.id";

    // Check.
    RUNS_WITHOUT_SESSION = "SELECT id FROM mh_job INDEXED BY mh_running
        WHERE state = 2 AND (session IS NULL OR session NOT IN (SELECT id FROM mh_session))";
    KEY_WITHOUT_JOB = "SELECT u.kind, u.key, u.job FROM mh_unique u WHERE u.until IS NULL
        AND NOT EXISTS (SELECT 1 FROM mh_job j WHERE j.id = u.job AND j.state < 3
          AND j.kind = u.kind AND j.unique_key = u.key
          AND (j.unique_scope = 0 OR (j.unique_scope = 1 AND j.claims = 0)))";
    JOB_WITHOUT_KEY = "SELECT id, kind, unique_key FROM mh_job NOT INDEXED
        WHERE id > 0 AND state < 3 AND (unique_scope = 0 OR (unique_scope = 1 AND claims = 0))
          AND NOT EXISTS (SELECT 1 FROM mh_unique u
            WHERE u.kind = mh_job.kind AND u.key = mh_job.unique_key AND u.job = mh_job.id)";
    ENDED_WRONGLY = "SELECT id FROM mh_job NOT INDEXED WHERE id > 0
        AND ((state < 3) <> (ended_at IS NULL) OR (state < 3) <> (keep_until IS NULL))";
    EDGE_OF_NO_CHILD = "SELECT parent, child FROM mh_child WHERE NOT EXISTS
          (SELECT 1 FROM mh_job j WHERE j.id = mh_child.child AND j.state < 3)";
    EDGE_TO_NO_PARENT = "SELECT DISTINCT parent FROM mh_child WHERE ended = 0 AND NOT EXISTS
          (SELECT 1 FROM mh_job j WHERE j.id = mh_child.parent AND j.state < 3)";
    REMOVE_EDGE = "DELETE FROM mh_child WHERE parent = ?1 AND child = ?2";
    HELD_FOR_NO_CHILD = "SELECT id FROM mh_job INDEXED BY mh_kept
        WHERE keep_until = 9223372036854775807 AND own_until IS NOT NULL
          AND NOT EXISTS (SELECT 1 FROM mh_child c WHERE c.parent = mh_job.id)";
    WRONG_PARENTS = "SELECT id, n FROM (SELECT id, parents, (SELECT count(*) FROM mh_child c
            WHERE c.child = mh_job.id AND c.ended = 0) AS n
          FROM mh_job INDEXED BY mh_blocked WHERE state = -1) WHERE parents <> n";
    BLOCKED_BY_NONE = "SELECT id FROM mh_job INDEXED BY mh_joined
        WHERE state = -1 AND parents = 0 AND (lane IS NULL OR flags & 16 = 0)
          AND NOT EXISTS (SELECT 1 FROM mh_child c WHERE c.child = mh_job.id AND c.ended = 0)";
    LANE_WITHOUT_HOLDER = "SELECT min(id), lane FROM mh_job INDEXED BY mh_joined
        WHERE state = -1 AND parents = 0 AND lane IS NOT NULL AND flags & 16 <> 0 AND NOT EXISTS
          (SELECT 1 FROM mh_job h INDEXED BY mh_lane
            WHERE h.flags & 32 <> 0 AND h.lane = mh_job.lane AND h.state < 3)
        GROUP BY lane";
    ENDED_HAS_LANE = "SELECT id FROM mh_job INDEXED BY mh_lane
        WHERE flags & 32 <> 0 AND state > 2";
    LEAVE_LANE = "UPDATE mh_job SET flags = flags & ~32 WHERE id = ?1";
    GOES_ON_WITHOUT_LANE = "SELECT id, state, lane FROM mh_job NOT INDEXED
        WHERE id > 0 AND state IN (1, 2) AND flags & 48 = 16";
    MEND_END = "UPDATE mh_job SET ended_at = CASE WHEN state < 3 THEN NULL ELSE ?2 END,
          keep_until = CASE WHEN state < 3 THEN NULL ELSE ?3 END WHERE id = ?1";
}

#[cfg(test)]
mod tests {
    use super::ALL;
    use crate::jobs::sqlite::schema;
    use rusqlite::Connection;

    /// Those that count or check a whole state: they read an index, or all rows, from end to end.
    const WHOLE: &[&str] = &[
        "RUNNING_IN_QUEUE",
        "COUNT_SCHEDULED",
        "COUNT_BLOCKED",
        "COUNT_READY",
        "COUNT_RUNNING",
        "RUNS_WITHOUT_SESSION",
        "LIST_RUNNING",
        "WRONG_PARENTS",
        "BLOCKED_BY_NONE",
        "LANE_WITHOUT_HOLDER",
        "ENDED_HAS_LANE",
    ];

    /// Those that read one index, or the first entries of it. The rows are found by their ids.
    const BY_IDS: &[&str] = &[
        "LIST_BLOCKED",
        "LIST_SCHEDULED",
        "LIST_READY",
        "ARE_MORE_BLOCKED",
        "ARE_MORE_SCHEDULED",
        "ARE_MORE_READY",
    ];

    /// Those that check all of `mh_child`, which is an index by itself.
    const EDGES: &[&str] = &["EDGE_OF_NO_CHILD", "EDGE_TO_NO_PARENT"];

    #[test]
    fn every_statement_searches_an_index() {
        let conn = Connection::open_in_memory().unwrap();
        schema::migrate(&conn).unwrap();
        for (name, text) in ALL {
            let mut plan = conn.prepare(&format!("EXPLAIN QUERY PLAN {text}")).unwrap();
            let count = plan.parameter_count();
            let nulls = vec![rusqlite::types::Null; count];
            let steps: Vec<String> = plan
                .query_map(rusqlite::params_from_iter(nulls), |row| row.get(3))
                .unwrap()
                .collect::<Result<_, _>>()
                .unwrap();
            for step in &steps {
                let tables = ["SCAN mh_job", "SCAN j", "SCAN mh_child", "SCAN c"];
                let is_scan = tables.iter().any(|table| step.starts_with(table));
                // The first one of an index is found at once.
                let is_short = WHOLE.contains(name) || text.ends_with("LIMIT 1");
                let is_by_ids = BY_IDS.contains(name) && step.contains("COVERING INDEX");
                let is_allowed =
                    is_by_ids || is_short && step.contains("INDEX") || EDGES.contains(name);
                assert!(!is_scan || is_allowed, "{name}: {steps:?}");
            }
            // A range of ids has rows of all states.
            let is_range = steps.iter().any(|step| step.contains("rowid>"));
            assert!(!is_range || !BY_IDS.contains(name), "{name}: {steps:?}");
            // What sorts reads everything first. Running jobs are few.
            let sorts = steps.iter().any(|step| step.contains("TEMP B-TREE"));
            let may_sort = WHOLE.contains(name);
            assert!(!sorts || may_sort, "{name}: {steps:?}");
        }
    }
}
