//! A program that a test runs: what it prints, and how it ends.

use crate::support::LONG;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;

/// A child process, killed if the test fails before it has ended.
pub(crate) struct Running {
    child: Child,
    out: ChildStdout,
    /// Lines of standard error as they come, if that was not sent elsewhere.
    errors: mpsc::Receiver<String>,
    /// Those that have come, and whether a test has asked for them.
    seen: Vec<(String, bool)>,
}

/// How a child ended, and what it had printed.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) out: Vec<u8>,
    pub(crate) errors: Vec<String>,
}

impl Ended {
    /// Standard error without the line that sums up.
    pub(crate) fn problems(&self) -> impl Iterator<Item = &String> {
        let errors = self.errors.iter();
        errors.filter(|line| !(line.starts_with("checksum: ") && line.contains(" files, ")))
    }
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self::start_as_set(command)
    }

    /// Standard output must be piped; standard error may go elsewhere.
    pub(crate) fn start_as_set(command: &mut Command) -> Self {
        let mut child = command.spawn().expect("the program starts");
        let out = child.stdout.take().expect("it is piped");
        let (tell, errors) = mpsc::channel();
        if let Some(stderr) = child.stderr.take() {
            thread::spawn(move || {
                let lines = BufReader::new(stderr).lines();
                lines.map_while(Result::ok).for_each(|line| {
                    let _ = tell.send(line);
                });
            });
        }
        Self {
            child,
            out,
            errors,
            seen: Vec::new(),
        }
    }

    #[cfg(unix)]
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    #[cfg(unix)]
    pub(crate) fn stdin(&mut self) -> &mut std::process::ChildStdin {
        self.child.stdin.as_mut().expect("it is piped")
    }

    #[cfg(unix)]
    pub(crate) fn close_stdin(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Waits for a line of standard error with `what` in it that was not asked for before, and
    /// gives it. In whatever order they come: several threads write there.
    #[cfg(unix)]
    pub(crate) fn await_error(&mut self, what: &str) -> String {
        let mut next = 0;
        loop {
            while next == self.seen.len() {
                match self.errors.recv_timeout(LONG) {
                    Ok(line) => self.seen.push((line, false)),
                    Err(why) => panic!("no `{what}` on standard error ({why}): {:#?}", self.seen),
                }
            }
            let (line, asked_for) = &mut self.seen[next];
            if !*asked_for && line.contains(what) {
                *asked_for = true;
                return line.clone();
            }
            next += 1;
        }
    }

    /// Waits until the process has ended, all the while leaving its standard output unread.
    #[cfg(target_os = "linux")]
    pub(crate) fn await_end_unread(&mut self) {
        // Standard error ends when nobody can write there any more.
        loop {
            match self.errors.recv_timeout(LONG) {
                Ok(line) => self.seen.push((line, false)),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(why) => panic!("it does not end ({why}): {:#?}", self.seen),
            }
        }
    }

    /// Waits until it ends.
    pub(crate) fn end(mut self) -> Ended {
        let (tell, told) = mpsc::channel();
        thread::scope(|scope| {
            let out = &mut self.out;
            let child = &mut self.child;
            scope.spawn(move || {
                let mut bytes = Vec::new();
                let _ = out.read_to_end(&mut bytes);
                let _ = tell.send(bytes);
            });
            let bytes = told.recv_timeout(LONG);
            if bytes.is_err() {
                let _ = child.kill(); // and with that the reader ends, and the scope
            }
            let out = bytes.expect("the program ends");
            let status = child.wait().expect("it is a child");
            let seen = std::mem::take(&mut self.seen).into_iter();
            let errors = seen
                .map(|(line, _)| line)
                .chain(self.errors.iter())
                .collect();
            Ended {
                status,
                out,
                errors,
            }
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
