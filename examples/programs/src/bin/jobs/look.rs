//! What prints jobs, and what is around them.

use crate::{Failure, List, print};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use millhand::jobs::{
    Counts, Fate, Filter, JobId, JobInfo, JobState, Jobs, Outcome, StoredTime, Totals,
};
use serde_json::{Value, json};
use std::io::{self, BufWriter, IsTerminal, Write, stdout};
use std::thread;
use std::time::Duration;

/// How often `watch` looks.
const EACH: Duration = Duration::from_secs(1);

/// Clears the screen of a terminal.
const CLEAR: &str = "\x1b[H\x1b[2J";

pub(crate) fn list(jobs: &Jobs, list: List) -> Result<(), Failure> {
    let filter = Filter {
        state: list.state,
        queue: list.queue,
        kind: list.kind,
        payloads: list.json,
        ..Filter::default()
    };
    let mut out = BufWriter::new(stdout().lock());
    if !list.json {
        writeln!(
            out,
            "{:>8}  {:<9}  {:<10}  {:<10}  {:>6}  {:>7}  {:<19}  {:<10}  last error, or why blocked",
            "id", "state", "queue", "kind", "failed", "crashed", "stored", "lane"
        )?;
    }
    for job in jobs.list(filter) {
        let job = job?;
        match list.json {
            true => writeln!(out, "{}", as_json(&job))?,
            false => write_line(&mut out, &job)?,
        }
    }
    Ok(out.flush()?)
}

fn write_line(out: &mut impl Write, job: &JobInfo) -> io::Result<()> {
    let error = job.error.as_deref().unwrap_or_default();
    let note = match job.waits_for {
        0 if job.state == JobState::Blocked => "waits for its lane".to_owned(),
        0 => error.lines().next().unwrap_or_default().to_owned(),
        1 => "waits for 1 job".to_owned(),
        jobs => format!("waits for {jobs} jobs"),
    };
    let line = format!(
        "{:>8}  {:<9}  {:<10}  {:<10}  {:>6}  {:>7}  {}  {:<10}  {note}",
        job.id,
        job.state.name(),
        job.queue,
        job.kind,
        job.failures,
        job.crashes,
        time(job.enqueued_at),
        job.lane.as_deref().unwrap_or("-"),
    );
    writeln!(out, "{}", line.trim_end())
}

fn as_json(job: &JobInfo) -> Value {
    json!({
        "id": job.id.0,
        "queue": job.queue,
        "kind": job.kind,
        "priority": job.priority,
        "state": job.state.name(),
        "enqueued_at": job.enqueued_at.0,
        "due_at": job.due_at.0,
        "began_at": job.began_at.map(|at| at.0),
        "ended_at": job.ended_at.map(|at| at.0),
        "claims": job.claims,
        "failures": job.failures,
        "crashes": job.crashes,
        "session": job.session.map(|session| session.0),
        "lane": job.lane,
        "waits_for": job.waits_for,
        "expires_at": job.expires_at.map(|at| at.0),
        "keep_ms": job.keep.map(|keep| keep.as_millis()),
        "unique_key": job.unique_key,
        "max_crashes": job.max_crashes,
        "at_most_once": job.at_most_once,
        "error": job.error,
        "meta": job.meta,
        "payload": payload(&job.payload),
    })
}

/// What another program has stored may be no JSON.
fn payload(bytes: &[u8]) -> Value {
    let parsed = serde_json::from_slice(bytes);
    parsed.unwrap_or_else(|_| String::from_utf8_lossy(bytes).into())
}

pub(crate) fn show(jobs: &Jobs, id: JobId) -> Result<(), Failure> {
    let Some(job) = jobs.get(id)? else {
        let text = match jobs.outcome(id)? {
            Fate::Unknown => format!("there is no job {id}"),
            _ => format!("job {id} has ended, and nothing of it is kept"),
        };
        return Err(Failure::Failed(text));
    };
    let mut lines = vec![
        ("state", job.state.name().to_owned()),
        ("queue", job.queue),
        ("kind", job.kind),
        ("priority", job.priority.to_string()),
        ("payload", payload(&job.payload).to_string()),
        ("stored", time(job.enqueued_at)),
        ("due", time(job.due_at)),
    ];
    lines.extend(job.began_at.map(|at| ("begun", time(at))));
    lines.extend(job.ended_at.map(|at| ("ended", time(at))));
    lines.push(("claims", job.claims.to_string()));
    lines.push(("failures", job.failures.to_string()));
    lines.push(("crashes", job.crashes.to_string()));
    lines.extend(job.session.map(|session| ("session", session.to_string())));
    lines.extend(job.lane.map(|lane| ("lane", lane)));
    for (id, fate) in jobs.storage().parents(id)? {
        lines.push(("follows", format!("{id} ({})", word(&fate))));
    }
    lines.extend(job.unique_key.map(|key| ("unique", key)));
    lines.extend(job.expires_at.map(|at| ("expires", time(at))));
    lines.extend(job.keep.map(|keep| ("keep", span(keep))));
    lines.push(("may crash", job.max_crashes.to_string()));
    if job.at_most_once {
        lines.push(("begins", "at most once".to_owned()));
    }
    lines.extend(job.error.map(|error| ("last error", error)));
    let meta = job.meta.iter();
    lines.extend(meta.map(|(key, value)| ("meta", format!("{key}={value}"))));
    if job.state == JobState::Done {
        if let Fate::Ended(Outcome::Done(output)) = jobs.outcome(id)? {
            lines.push(("output", payload(&output).to_string()));
        }
    }
    let mut out = BufWriter::new(stdout().lock());
    writeln!(out, "{:<10}  {id}", "job")?;
    for (name, value) in lines {
        writeln!(out, "{name:<10}  {value}")?;
    }
    Ok(out.flush()?)
}

fn word(fate: &Fate) -> &'static str {
    match fate {
        Fate::Live(state) => state.name(),
        Fate::Ended(outcome) => outcome.state().name(),
        Fate::Forgotten | Fate::Unknown => "ended",
    }
}

/// Such as `1h 30m`.
fn span(span: Duration) -> String {
    match SignedDuration::try_from(span) {
        Ok(span) => format!("{span:#}"),
        Err(_) => format!("{} s", span.as_secs()),
    }
}

/// Goes on until a signal ends the process, or nothing reads the output.
pub(crate) fn watch(jobs: &Jobs) -> Result<(), Failure> {
    let clear = if stdout().is_terminal() { CLEAR } else { "" };
    loop {
        let counts = jobs.counts()?;
        let mut out = BufWriter::new(stdout().lock());
        write!(out, "{clear}")?;
        write_counts(&mut out, &counts)?;
        out.flush()?;
        drop(out);
        thread::sleep(EACH);
    }
}

fn write_counts(out: &mut impl Write, counts: &Counts) -> io::Result<()> {
    writeln!(
        out,
        "{:<16}  {:>9}  {:>9}  {:>9}  {:>9}",
        "queue", "scheduled", "blocked", "ready", "running"
    )?;
    for queue in &counts.queues {
        let paused = if queue.paused { "  paused" } else { "" };
        writeln!(
            out,
            "{:<16}  {:>9}  {:>9}  {:>9}  {:>9}{paused}",
            queue.queue, queue.scheduled, queue.blocked, queue.ready, queue.running
        )?;
    }
    let Totals {
        done,
        dead,
        cancelled,
        expired,
        retried,
        crashed,
    } = counts.totals;
    writeln!(
        out,
        "since the store was made: {done} done, {dead} dead, {cancelled} cancelled, {expired} \
         expired, {retried} retried, {crashed} crashed"
    )?;
    writeln!(out, "dead and kept: {}", counts.dead)
}

pub(crate) fn sessions(jobs: &Jobs) -> Result<(), Failure> {
    let sessions = jobs.sessions()?;
    let now = jobs.storage().now()?;
    let mut out = BufWriter::new(stdout().lock());
    writeln!(
        out,
        "{:>13}  {:<16}  {:>8}  {:<8}  {:<19}  {:>7}  {:<9}  {:<16}  kinds",
        "id", "host", "pid", "version", "since", "running", "lease", "queues"
    )?;
    for session in sessions {
        let lease = match session.lease_until > now {
            true => format!("{} s", session.lease_until.since(now).as_secs()),
            false => "is over".to_owned(),
        };
        let info = session.info;
        // What an older worker has not said.
        let named = |text: &str| match text {
            "" => "-".to_owned(),
            text => text.to_owned(),
        };
        writeln!(
            out,
            "{:>13}  {:<16}  {:>8}  {:<8}  {}  {:>7}  {lease:<9}  {:<16}  {}",
            session.id,
            named(&info.host),
            info.pid,
            named(&info.version),
            time(info.began_at),
            session.running,
            info.queues.join(","),
            info.kinds.join(",")
        )?;
    }
    Ok(out.flush()?)
}

pub(crate) fn schedules(jobs: &Jobs) -> Result<(), Failure> {
    let schedules = jobs.schedules()?;
    let mut out = BufWriter::new(stdout().lock());
    writeln!(
        out,
        "{:<16}  {:<24}  {:>6}  last time",
        "name", "rule", "stored"
    )?;
    for schedule in schedules {
        let paused = if schedule.paused { "  paused" } else { "" };
        writeln!(
            out,
            "{:<16}  {:<24}  {:>6}  {}{paused}",
            schedule.name,
            schedule.rule,
            schedule.runs,
            time(schedule.last_tick)
        )?;
    }
    Ok(out.flush()?)
}

pub(crate) fn doctor(jobs: &Jobs, repair: bool) -> Result<(), Failure> {
    let faults = jobs.check(repair)?;
    for fault in &faults {
        let job = fault.job.map(|id| format!("job {id}: "));
        let mended = if fault.is_mended { " (mended)" } else { "" };
        let job = job.unwrap_or_default();
        print(format_args!("{job}{}{mended}", fault.text))?;
    }
    match faults.iter().filter(|fault| !fault.is_mended).count() {
        0 => print("no fault is left"),
        left if repair => Err(Failure::Failed(format!("faults that are left: {left}"))),
        left => {
            let text = format!("faults: {left}; `doctor --repair` mends what it can");
            Err(Failure::Failed(text))
        }
    }
}

/// A time of this time zone.
fn time(time: StoredTime) -> String {
    match Timestamp::from_millisecond(time.0) {
        Ok(time) => time
            .to_zoned(TimeZone::system())
            .strftime("%F %T")
            .to_string(),
        Err(_) => format!("{} ms", time.0),
    }
}
