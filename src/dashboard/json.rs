//! What is shown of a pool, as JSON.
//!
//! Layer: dashboard. Ids are texts, since the numbers of scripts are not exact. Durations are
//! seconds, and times are seconds since 1970.

use crate::observe::{Age, Quantiles, ScheduleInfo, Stats, TaskInfo, Times, WaitsFor, WorkerInfo};
use crate::pool::Pool;
use crate::task::{Summary, TaskState};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::cmp::Reverse;
use std::time::{Duration, SystemTime};

/// How many workers and schedules are listed.
const MOST_LISTED: usize = 1_000;
/// How many characters of a name and of an error text are shown.
const MOST_NAME: usize = 200;
const MOST_ERROR: usize = 2_000;

pub(crate) fn stats(stats: &Stats) -> Value {
    let mut map = Map::new();
    let totals = stats.totals().map(|(name, n)| (name, n.into()));
    let present = stats.present().map(|(name, n)| (name, n.into()));
    for (name, value) in totals.into_iter().chain(present) {
        map.insert(name.to_owned(), value);
    }
    let rates = stats
        .rates
        .map(|rates| json!({ "last_second": rates.last_second, "last_minute": rates.last_minute }));
    let rest = [
        ("pool", json!(cut(&stats.pool, MOST_NAME))),
        ("ended", json!(stats.ended())),
        ("spares", json!(stats.spares())),
        ("uptime", json!(stats.uptime.as_secs_f64())),
        ("rates", rates.unwrap_or_default()),
        ("oldest_queued", seconds(stats.oldest_queued)),
        ("times", stats.times.iter().map(times).collect()),
    ];
    map.extend(rest.map(|(name, value)| (name.to_owned(), value)));
    map.into()
}

/// The live tasks of a pool: `left` rows at most, from which the rows are subtracted.
pub(crate) fn tasks(pool: &Pool, left: &mut usize) -> Value {
    let table = pool.core().task_table(*left);
    let rows: Vec<_> = table.rows().iter().take(*left).map(row).collect();
    *left -= rows.len();
    let unlisted = table.unlisted() + (table.rows().len() - rows.len());
    let workers = table.workers().iter().take(MOST_LISTED).map(worker);
    json!({
        "pool": pool_name(pool),
        "tasks": rows,
        "unlisted": unlisted,
        "workers": workers.collect::<Vec<_>>(),
    })
}

/// All that the page shows of a pool, with `most` rows of live tasks at most.
pub(crate) fn pool(pool: &Pool, most: usize) -> Value {
    let table = pool.core().task_table(most);
    // With those that have settled and run on.
    let bodies = table.workers().iter().flat_map(|worker| &worker.tasks);
    let mut running: Vec<_> = bodies.collect();
    running.sort_by_key(|task| Reverse(task.age.map(|age| age.at_least)));
    running.truncate(most);
    let waiting = table.rows().iter().filter(|task| task.worker.is_none());
    let waiting: Vec<_> = waiting.take(most - running.len()).collect();
    let is_live = |task: &&&TaskInfo| task.state != TaskState::Finished;
    let shown = running.iter().filter(is_live).count() + waiting.len();
    let all = table.rows().len() + table.unlisted();
    let workers = table.workers().iter().take(MOST_LISTED).map(worker);
    let schedules = pool.schedules().into_iter().take(MOST_LISTED);
    let failures = pool.recent_failures();
    json!({
        "stats": stats(&pool.stats()),
        "now": time(Some(pool.core().clock().wall())),
        "closed": pool.is_closed(),
        "unlisted": all.saturating_sub(shown),
        "running": running.into_iter().map(row).collect::<Vec<_>>(),
        "waiting": waiting.into_iter().map(row).collect::<Vec<_>>(),
        "workers": workers.collect::<Vec<_>>(),
        "schedules": schedules.map(schedule).collect::<Vec<_>>(),
        "failures": failures.iter().rev().map(failure).collect::<Vec<_>>(),
    })
}

/// The name of a pool as it is shown, which a command repeats.
pub(crate) fn pool_name(pool: &Pool) -> Cow<'_, str> {
    name(&pool.core().options.name_prefix)
}

fn name(text: &str) -> Cow<'_, str> {
    cut(text, MOST_NAME)
}

/// The first characters of a text. An ellipsis stands for the others.
fn cut(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]).into(),
        None => text.into(),
    }
}

fn row(task: &TaskInfo) -> Value {
    let age = |age: Age| json!({ "at_least": age.at_least.as_secs_f64(), "exact": age.is_exact });
    json!({
        "id": task.id.map(|id| id.to_string()),
        "name": task.name.as_deref().map(name),
        "site": task.site.to_string(),
        "state": task.state.name(),
        "attempt": task.attempt,
        "age": task.age.map(age),
        "worker": task.worker,
        "waits_for": task.waits_for.iter().map(waits_for).collect::<Vec<_>>(),
        "progress": task.progress.map(|(done, total)| [done, total]),
    })
}

fn waits_for(what: &WaitsFor) -> Value {
    match what {
        WaitsFor::Worker => json!({ "what": "worker" }),
        WaitsFor::Gate { id, kind, waiting } => {
            json!({ "what": "gate", "id": id.to_string(), "kind": kind, "waiting": waiting })
        }
        WaitsFor::Task(id) => json!({ "what": "task", "id": id.to_string() }),
        WaitsFor::Time(left) => json!({ "what": "time", "left": left.as_secs_f64() }),
    }
}

fn worker(worker: &WorkerInfo) -> Value {
    json!({ "index": worker.index, "state": worker.state.name() })
}

fn schedule(schedule: ScheduleInfo) -> Value {
    json!({
        "id": schedule.id.to_string(),
        "name": schedule.name.as_deref().map(name),
        "site": schedule.site.to_string(),
        "next_run": time(schedule.next_run),
        "last_run": time(schedule.last_run),
        "paused": schedule.is_paused,
        "runs": schedule.runs,
        "left_out": schedule.left_out,
        "failures": schedule.failures,
    })
}

fn failure(summary: &Summary) -> Value {
    json!({
        "id": summary.id.to_string(),
        "name": summary.name.as_deref().map(name),
        "site": summary.site.to_string(),
        "outcome": summary.outcome.name(),
        "error": summary.error.as_deref().map(|text| cut(text, MOST_ERROR)),
        "attempts": summary.attempts,
        "waited": seconds(summary.waited),
        "ran": seconds(summary.ran),
    })
}

fn times(times: &Times) -> Value {
    json!({
        "name": times.name.as_deref().map(name),
        "waited": quantiles(&times.waited),
        "ran": quantiles(&times.ran),
        "total": quantiles(&times.total),
    })
}

fn quantiles(of: &Quantiles) -> Value {
    json!({
        "count": of.count,
        "p50": of.p50.as_secs_f64(),
        "p90": of.p90.as_secs_f64(),
        "p99": of.p99.as_secs_f64(),
        "p999": of.p999.as_secs_f64(),
        "max": of.max.as_secs_f64(),
    })
}

fn seconds(duration: Option<Duration>) -> Value {
    json!(duration.map(|duration| duration.as_secs_f64()))
}

fn time(time: Option<SystemTime>) -> Value {
    let since = time.map(|time| time.duration_since(SystemTime::UNIX_EPOCH));
    json!(since.map(|since| match since {
        Ok(after) => after.as_secs_f64(),
        Err(before) => -before.duration().as_secs_f64(),
    }))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_cut_between_characters() {
        assert_eq!(cut("héllo", 5), "héllo");
        assert_eq!(cut("héllo", 2), "hé…");
        assert_eq!(cut("", 0), "");
        assert_eq!(name(&"é".repeat(999)).chars().count(), MOST_NAME + 1);
    }

    #[test]
    fn times_before_1970_are_negative() {
        let before = SystemTime::UNIX_EPOCH - Duration::from_millis(1500);
        assert_eq!(time(Some(before)), json!(-1.5));
        assert_eq!(time(None), Value::Null);
    }
}
