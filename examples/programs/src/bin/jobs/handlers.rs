//! The jobs of a worker, and what it does with each.

use millhand::child;
use millhand::error::BoxError;
use millhand::jobs::{Job, JobContext};
use millhand_programs::{print, scratch};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::{Read, Seek};
use std::process::{self, Command, Stdio};
use std::time::Duration;

/// A command's output is stored up to here.
const MOST: u64 = 64 << 10;

/// Has a handler print when a job begins, and when it has ended here.
pub(crate) fn shown<J: Job>(
    handler: fn(J, &JobContext) -> Result<J::Output, BoxError>,
) -> impl Fn(J, &JobContext) -> Result<J::Output, BoxError> + Send + Sync + 'static {
    move |job, context| {
        let (id, kind) = (context.id(), context.kind());
        // The job matters more than a reader that has left.
        let _ = match (context.crashes(), context.last_error()) {
            (0, None) => print(format_args!("job {id}: {kind} begins")),
            (0, Some(error)) => print(format_args!("job {id}: {kind} begins again: {error}")),
            (crashes, _) => print(format_args!(
                "job {id}: {kind} begins again: its worker was lost {crashes} time(s)"
            )),
        };
        let ended = handler(job, context);
        let _ = match &ended {
            Ok(_) => print(format_args!("job {id}: {kind} has ended")),
            Err(error) => print(format_args!("job {id}: {kind}: {error}")),
        };
        ended
    }
}

/// Any JSON, which is also the output.
#[derive(Serialize, Deserialize)]
pub(crate) struct Echo(Value);

impl Job for Echo {
    const NAME: &'static str = "echo";
    type Output = Value;
}

pub(crate) fn echo(Echo(payload): Echo, _: &JobContext) -> Result<Value, BoxError> {
    Ok(payload)
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Sleep {
    ms: u64,
}

impl Job for Sleep {
    const NAME: &'static str = "sleep";
    type Output = ();
}

/// An error if it is asked to stop. At the end of a worker the job goes back, then.
pub(crate) fn sleep(job: Sleep, _: &JobContext) -> Result<(), BoxError> {
    Ok(millhand::sleep(Duration::from_millis(job.ms))?)
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Fail {
    #[serde(default)]
    times: Option<u32>,
}

impl Job for Fail {
    const NAME: &'static str = "fail";
    type Output = ();
}

pub(crate) fn fail(job: Fail, context: &JobContext) -> Result<(), BoxError> {
    match job.times {
        Some(times) if context.failures() >= times => Ok(()),
        Some(times) => Err(format!("it fails {times} time(s), as asked for").into()),
        None => Err("it fails, as asked for".into()),
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Crash {}

impl Job for Crash {
    const NAME: &'static str = "crash";
    type Output = ();
}

pub(crate) fn crash(_: Crash, _: &JobContext) -> Result<(), BoxError> {
    process::abort()
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Shell {
    command: String,
}

impl Job for Shell {
    const NAME: &'static str = "shell";
    type Output = String;
}

/// Returns what the command has written. A request to stop ends the command, by SIGTERM at first.
pub(crate) fn shell(job: Shell, _: &JobContext) -> Result<String, BoxError> {
    let mut output = scratch::file()?;
    let mut command = Command::new("sh");
    command.args(["-c", "--", &job.command]);
    command.stdin(Stdio::null());
    command.stdout(output.try_clone()?);
    command.stderr(output.try_clone()?);
    let mut child = child::spawn(&mut command)?;
    let status = child::wait(&mut child)?;
    output.rewind()?;
    let mut written = Vec::new();
    output.take(MOST).read_to_end(&mut written)?;
    let written = String::from_utf8_lossy(&written);
    match status.success() {
        true => Ok(written.into_owned()),
        false => Err(format!("{status}: {}", written.trim_end()).into()),
    }
}
