//! One attempt at a command: the body of a task.

use crate::input::Job;
use crate::journal::Journal;
use crate::options::Options;
use crate::output::{Output, Spool};
use crate::report::Report;
use crate::stop::Stop;
use millhand::cancel::CancelReason;
use millhand::child::{self, WaitError};
use millhand::error::BoxError;
use millhand::limit::Permit;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::{fmt, io};

/// How a command has ended.
pub(crate) enum End {
    Status(ExitStatus),
    TimedOut,
    NotStarted(io::Error),
}

impl End {
    pub(crate) fn is_success(&self) -> bool {
        self.code() == 0
    }

    /// The exit code that a shell, or `timeout`, would give for it.
    fn code(&self) -> i32 {
        match self {
            Self::Status(status) => status
                .code()
                .or_else(|| status.signal().map(|signal| 128 + signal))
                .unwrap_or(-1),
            Self::TimedOut => 124,
            Self::NotStarted(_) => 126,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => status.fmt(f),
            Self::TimedOut => f.write_str("ended by the time limit"),
            Self::NotStarted(error) => write!(f, "not started: {error}"),
        }
    }
}

/// A line that was taken.
pub(crate) struct Line {
    /// Its place among those that were taken, from 0.
    pub(crate) index: u64,
    pub(crate) job: Job,
    /// So that no more are taken than there is room for. It is free again after the output.
    pub(crate) _room: Permit,
}

/// A command that has ended: well, or after its last attempt.
pub(crate) struct Ended {
    pub(crate) line: Arc<Line>,
    pub(crate) end: End,
    /// Of that attempt: standard output and standard error. `None` if it was not started, or if they
    /// cannot be read.
    pub(crate) outputs: Option<[Output; 2]>,
}

/// What all attempts have in common.
pub(crate) struct Runner {
    retries: u32,
    halts: bool,
    journal: Option<Journal>,
    pub(crate) report: Report,
    stop: Arc<Stop>,
}

impl Runner {
    pub(crate) fn new(
        options: &Options,
        journal: Option<Journal>,
        report: Report,
        stop: Arc<Stop>,
    ) -> Self {
        Self {
            retries: options.retries,
            halts: options.halt_on_error,
            journal,
            report,
            stop,
        }
    }

    /// Runs a command. After an error there is another attempt, unless it was asked to stop.
    pub(crate) fn attempt(&self, line: &Arc<Line>) -> Result<(), BoxError> {
        let (end, spools) = match start(&line.job) {
            Ok(mut running) => (running.wait()?, Some(running.outputs)),
            Err(error) => (End::NotStarted(error), None),
        };
        if !end.is_success() && millhand::attempt() <= self.retries {
            return Err(end.to_string().into());
        }
        if let Some(journal) = &self.journal {
            // Before anything else: what is noted does not run again.
            if let Err(error) = journal.note(&line.job, end.code()) {
                self.stop.abort(error);
            }
        }
        if !end.is_success() && self.halts {
            self.stop.end();
        }
        let outputs = spools.map(|[out, err]| Ok([out.finish()?, err.finish()?]));
        // The command has ended, and so it does not run again.
        let outputs = outputs.transpose().unwrap_or_else(|error: io::Error| {
            let number = line.job.line;
            self.stop
                .abort(format_args!("the output of line {number}: {error}"));
            None
        });
        let line = line.clone();
        self.report.print(Ended { line, end, outputs });
        Ok(())
    }
}

struct Running {
    child: std::process::Child,
    outputs: [Spool; 2],
}

fn start(job: &Job) -> io::Result<Running> {
    let outputs = [Spool::new()?, Spool::new()?];
    let [out, err] = &outputs;
    let mut command = Command::new("/bin/sh");
    // `--`: the text of a command may begin with a dash.
    command
        .args(["-c", "--"])
        .arg(OsStr::from_bytes(&job.command));
    command
        .stdin(Stdio::null())
        .stdout(out.stdio()?)
        .stderr(err.stdio()?);
    let child = child::spawn(&mut command)?;
    Ok(Running { child, outputs })
}

impl Running {
    /// An error means that the command was asked to stop, and has not ended by itself.
    fn wait(&mut self) -> Result<End, WaitError> {
        match child::wait(&mut self.child) {
            Ok(status) => Ok(End::Status(status)),
            Err(WaitError::Stopped { stopped, .. })
                if stopped.reason() == CancelReason::Deadline =>
            {
                Ok(End::TimedOut)
            }
            Err(error) => Err(error),
        }
    }
}
