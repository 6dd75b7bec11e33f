//! What prints jobs, and what is around them.

use crate::{Failure, List, print};
use jiff::Timestamp;
use jiff::tz::TimeZone;
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
            "{:>8}  {:<9}  {:<10}  {:<10}  {:>6}  {:>7}  {:<19}  last error",
            "id", "state", "queue", "kind", "failed", "crashed", "stored"
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
    let line = format!(
        "{:>8}  {:<9}  {:<10}  {:<10}  {:>6}  {:>7}  {}  {}",
        job.id,
        job.state.name(),
        job.queue,
        job.kind,
        job.failures,
        job.crashes,
        time(job.enqueued_at),
        error.lines().next().unwrap_or_default()
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
        "{:<16}  {:>9}  {:>9}  {:>9}",
        "queue", "scheduled", "ready", "running"
    )?;
    for queue in &counts.queues {
        let paused = if queue.paused { "  paused" } else { "" };
        writeln!(
            out,
            "{:<16}  {:>9}  {:>9}  {:>9}{paused}",
            queue.queue, queue.scheduled, queue.ready, queue.running
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
        "since the file was made: {done} done, {dead} dead, {cancelled} cancelled, {expired} \
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
        "{:>8}  {:>8}  {:>7}  {:<9}  {:<16}  kinds",
        "id", "pid", "running", "lease", "queues"
    )?;
    for session in sessions {
        let lease = match session.lease_until > now {
            true => format!("{} s", session.lease_until.since(now).as_secs()),
            false => "is over".to_owned(),
        };
        writeln!(
            out,
            "{:>8}  {:>8}  {:>7}  {lease:<9}  {:<16}  {}",
            session.id,
            session.info.pid,
            session.running,
            session.info.queues.join(","),
            session.info.kinds.join(",")
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
