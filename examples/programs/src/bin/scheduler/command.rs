//! One run of a command: the body of a task.

use crate::table::Entry;
use log::{info, warn};
use millhand::child;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{ioctl_fionread, retry_on_intr};
use rustix::pipe::{PipeFlags, pipe_with};
use std::fs::File;
use std::io::{self, Read, Write};
use std::mem;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

/// Has a shell that gets SIGTERM wait for the program that it runs, and end then. Without this the
/// shell would end at once, and with it the time that its program has to clean up.
const LEAVE_LAST: &str = "trap 'exit 143' TERM";

/// Runs the command, and logs what it writes. An exit code other than 0 is an error, and so is a
/// signal.
///
/// The run ends with its shell. What the shell leaves in the background goes on, and its output is
/// closed.
pub(crate) fn run(entry: &Entry) -> io::Result<()> {
    let name = entry.label();
    let pipe = || pipe_with(PipeFlags::CLOEXEC);
    // One pipe for both outputs keeps their lines in order.
    let (output, input) = pipe()?;
    let (ended, runs) = pipe()?;
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("{LEAVE_LAST}; {}", entry.command)])
        .envs(&entry.environment)
        .stdin(Stdio::null())
        .stdout(input.try_clone()?)
        .stderr(input);
    let begun = Instant::now();
    info!("{name}: starts");
    let status = thread::scope(move |scope| {
        // No task of the pool: the statistics of the pool count commands.
        let reader = thread::Builder::new().name("output".into());
        reader.spawn_scoped(scope, move || {
            if let Err(error) = log_output(name, output, &ended) {
                warn!("{name}: its output cannot be read: {error}");
            }
        })?;
        let child = child::spawn(&mut command);
        drop(command); // The ends of the pipe in it are those of the command.
        let mut child = child.map_err(|error| {
            let text = format!("`sh` cannot be started: {error}");
            io::Error::new(error.kind(), text)
        })?;
        let status = child::wait(&mut child);
        drop(runs);
        if let Err(stopped) = &status {
            // The error that is returned makes a run that was asked to stop a cancelled one.
            warn!("{name}: {stopped}");
        }
        io::Result::Ok(status?)
    })?;
    if !status.success() {
        return Err(io::Error::other(status.to_string()));
    }
    info!("{name}: has ended after {:.1?}", begun.elapsed());
    Ok(())
}

/// Logs the output until it is closed, or until `ended` is: then what is in the pipe is the rest.
fn log_output(name: &str, output: OwnedFd, ended: &OwnedFd) -> io::Result<()> {
    let mut output = File::from(output);
    let mut lines = Lines::new(name);
    let mut buffer = [0; 8 << 10];
    loop {
        let mut ready = [
            PollFd::new(&output, PollFlags::IN),
            PollFd::new(ended, PollFlags::IN),
        ];
        retry_on_intr(|| poll(&mut ready, None))?;
        if !ready[1].revents().is_empty() {
            let rest = ioctl_fionread(&output)?;
            io::copy(&mut output.take(rest), &mut lines)?;
            return lines.flush();
        }
        match output.read(&mut buffer)? {
            0 => return lines.flush(),
            n => lines.write_all(&buffer[..n])?,
        }
    }
}

/// Logs what is written to it, line by line.
struct Lines<'a> {
    name: &'a str,
    line: Vec<u8>,
}

impl<'a> Lines<'a> {
    /// A longer line is logged in parts.
    const LONGEST: usize = 8 << 10;

    fn new(name: &'a str) -> Self {
        let line = Vec::new();
        Self { name, line }
    }
}

impl Write for Lines<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend(part);
            if part.ends_with(b"\n") || self.line.len() >= Self::LONGEST {
                self.flush()?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let line = mem::take(&mut self.line);
        if !line.is_empty() {
            let text = String::from_utf8_lossy(&line);
            info!("{}: {}", self.name, text.trim_end_matches(['\n', '\r']));
        }
        Ok(())
    }
}
