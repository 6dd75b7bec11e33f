//! Settings of queues, schedules, and sessions as they are listed.
//!
//! Layer: jobs.

use crate::jobs::error::{JobsError, JobsErrorKind};
use crate::jobs::id::SessionId;
use crate::jobs::look::{QueueChange, QueueSettings, ScheduleChange, StoredSchedule};
use crate::jobs::redis::ask::Ask;
use crate::jobs::redis::line::Sending::{Again, Once};
use crate::jobs::redis::reply::{self, Reply};
use crate::jobs::redis::scripts as lua;
use crate::jobs::redis::shared::Shared;
use crate::jobs::session::{Session, SessionInfo};
use crate::jobs::time::{StoredTime, millis};
use serde_json::{Value, json};
use std::time::Duration;

pub(super) fn settings(shared: &Shared, name: &str) -> Result<QueueSettings, JobsError> {
    let ask = Ask::new().text("get").text(name);
    let mut reply = shared.run(&lua::QUEUE, ask, Again)?;
    let paused = reply.flag()?;
    let max_running = reply.text()?;
    let rate = reply.text()?;
    Ok(QueueSettings {
        paused,
        max_running: max_running.parse().ok(),
        rate: read_rate(&rate),
    })
}

/// As `jobs seconds nanoseconds`.
fn read_rate(text: &str) -> Option<(u32, Duration)> {
    let mut parts = text.split(' ');
    let jobs = parts.next()?.parse().ok()?;
    let seconds = parts.next()?.parse().ok()?;
    let nanos: u32 = parts.next()?.parse().ok()?;
    Some((jobs, Duration::new(seconds, nanos)))
}

pub(super) fn change(shared: &Shared, name: &str, change: QueueChange) -> Result<(), JobsError> {
    let act = |act| Ask::new().text(act).text(name);
    let ask = match change {
        QueueChange::Pause => act("pause"),
        QueueChange::Resume => act("resume"),
        QueueChange::MaxRunning(None) => act("running").text(""),
        QueueChange::MaxRunning(Some(most)) => act("running").number(most),
        QueueChange::Rate(None) => act("rate").text(""),
        QueueChange::Rate(Some((0, _)) | Some((_, Duration::ZERO))) => {
            return Err(JobsError::new(
                JobsErrorKind::Invalid,
                "a rate of no jobs, or in no time; one job or more in a millisecond or more is \
                 allowed",
            ));
        }
        QueueChange::Rate(Some((jobs, period))) => {
            let (seconds, nanos) = (period.as_secs(), period.subsec_nanos());
            let (gain, cost) = reduced(u64::from(jobs), millis(period).unsigned_abs());
            act("rate")
                .text(format!("{jobs} {seconds} {nanos}"))
                .number(gain)
                .number(cost)
                .number(u128::from(jobs) * u128::from(cost))
        }
    };
    shared.run(&lua::QUEUE, ask, Again)?;
    Ok(())
}

/// The same ratio in the smallest numbers, so that Lua counts with exact ones.
fn reduced(mut gain: u64, mut cost: u64) -> (u64, u64) {
    let (mut divisor, mut rest) = (gain, cost);
    while rest > 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    gain /= divisor.max(1);
    cost /= divisor.max(1);
    (gain, cost)
}

pub(super) fn info_text(info: &SessionInfo) -> String {
    json!({
        "host": info.host,
        "pid": info.pid,
        "version": info.version,
        "began_at": info.began_at.0,
        "queues": info.queues,
        "kinds": info.kinds,
    })
    .to_string()
}

/// Nothing depends on it, so what cannot be read is empty.
fn read_info(text: &str) -> SessionInfo {
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    let strings = |name: &str| {
        let all = value[name].as_array().into_iter().flatten();
        all.filter_map(|one| one.as_str().map(String::from))
            .collect()
    };
    let string = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let pid = value["pid"].as_u64().and_then(|pid| pid.try_into().ok());
    SessionInfo {
        host: string("host"),
        pid: pid.unwrap_or_default(),
        version: string("version"),
        began_at: StoredTime(value["began_at"].as_i64().unwrap_or_default()),
        queues: strings("queues"),
        kinds: strings("kinds"),
    }
}

pub(super) fn sessions(shared: &Shared) -> Result<Vec<Session>, JobsError> {
    let mut reply = shared.run(&lua::SESSIONS, Ask::new(), Again)?;
    let mut sessions = reply.each(|session| {
        Ok(Session {
            id: SessionId(session.number()?),
            lease_until: session.time()?,
            running: session.number()?,
            info: read_info(&session.text()?),
        })
    })?;
    sessions.sort_unstable_by_key(|session| session.id);
    Ok(sessions)
}

fn schedule(reply: &mut Reply) -> Result<StoredSchedule, JobsError> {
    Ok(StoredSchedule {
        name: reply.text()?,
        rule: reply.text()?,
        last_tick: reply.time()?,
        runs: reply.number()?,
        paused: reply.flag()?,
    })
}

pub(super) fn register(
    shared: &Shared,
    name: &str,
    rule: &str,
) -> Result<StoredSchedule, JobsError> {
    let ask = Ask::new().text("register").text(name).text(rule);
    let mut reply = shared.run(&lua::SCHEDULE, ask, Again)?;
    let found = reply.each(schedule)?.pop();
    found.ok_or_else(|| reply::bad("no schedule"))
}

pub(super) fn schedules(shared: &Shared) -> Result<Vec<StoredSchedule>, JobsError> {
    let ask = Ask::new().text("list");
    shared.run(&lua::SCHEDULE, ask, Again)?.each(schedule)
}

pub(super) fn change_schedule(
    shared: &Shared,
    name: &str,
    change: ScheduleChange,
) -> Result<bool, JobsError> {
    let act = match change {
        ScheduleChange::Pause => "pause",
        ScheduleChange::Resume => "resume",
        ScheduleChange::Forget => "forget",
    };
    let ask = Ask::new().text(act).text(name);
    shared.run(&lua::SCHEDULE, ask, Once)?.flag()
}
