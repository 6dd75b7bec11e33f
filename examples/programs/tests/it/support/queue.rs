//! What the tests of `jobs` need: a directory with a store, and workers.

use crate::support::redis;
use crate::support::shell::{Errors, Shell};
use crate::support::{Program, output, text, until};
use rustix::process::Signal;
use std::process::{Command, ExitStatus, Output, Stdio};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A command that writes to the file `begun`, and goes on until there is a file `go`, or the
/// directory of the test is gone: a killed worker leaves it behind.
pub(crate) const UNTIL_GO: &str =
    "echo x >> begun; while [ -e begun ] && [ ! -e go ]; do sleep 0.01; done; printf out";

/// A directory with a store of its own: the file `jobs.db`, unless it is on a server. The last drop
/// removes the directory.
pub(crate) struct Queue(pub(crate) Rc<Shell>, Option<String>);

impl Queue {
    pub(crate) fn new() -> Self {
        Self(Rc::new(Shell::new()), None)
    }

    /// One on the server of the tests.
    pub(crate) fn on_redis() -> Self {
        Self::new().with_redis()
    }

    /// One of each kind.
    pub(crate) fn both() -> [Self; 2] {
        [Self::new(), Self::on_redis()]
    }

    /// The same directory, and another store, on the server of the tests.
    pub(crate) fn with_redis(&self) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let store = format!("{}?namespace=test-{number}", redis::address());
        Self(self.0.clone(), Some(store))
    }

    /// What `--store` says for it.
    pub(crate) fn store(&self) -> &str {
        self.1.as_deref().unwrap_or("sqlite:jobs.db")
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.0.program(env!("CARGO_BIN_EXE_jobs"));
        command.args(self.1.iter().flat_map(|store| ["--store", store]));
        command.args(arguments);
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        output(&mut self.command(arguments))
    }

    /// The same, and it must succeed. Returns what it prints.
    #[track_caller]
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        assert_eq!(text(&output.stderr), "", "{arguments:?}");
        text(&output.stdout).to_owned()
    }

    /// The same, and it must end with this code. Returns what it prints on the standard error.
    #[track_caller]
    pub(crate) fn fails(&self, arguments: &[&str], code: i32) -> String {
        let output = self.run(arguments);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {output:?}"
        );
        text(&output.stderr).to_owned()
    }

    /// Stores a job for the shell whose outcome is kept. Returns its id.
    pub(crate) fn shell(&self, command: &str) -> String {
        let payload = serde_json::json!({ "command": command }).to_string();
        let id = self.ok(&["enqueue", "shell", &payload, "--keep", "1h"]);
        id.trim_end().to_owned()
    }

    /// Starts a worker, and waits until it handles signals.
    pub(crate) fn work(&self, arguments: &[&str]) -> Worker {
        let mut command = self.command(&["work"]);
        command.args(arguments).stderr(Stdio::piped());
        let mut program = Program::start(&mut command);
        let errors = Errors::of(&mut program);
        let worker = Worker { program, errors };
        worker.errors.wait_for("works on");
        worker
    }

    /// The lines of `list`, each split at blanks, without the heading.
    pub(crate) fn list(&self, arguments: &[&str]) -> Vec<Vec<String>> {
        let listed = self.ok(&[&["list"], arguments].concat());
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect();
        listed.lines().skip(1).map(words).collect()
    }

    /// The state, the failures and the crashes of a job.
    pub(crate) fn state(&self, id: &str) -> (String, u64, u64) {
        let shown = self.ok(&["show", id]);
        let value = |name: &str| {
            let line = shown.lines().find(|line| line.starts_with(name)).unwrap();
            line[name.len()..].trim().to_owned()
        };
        let count = |name| value(name).parse().unwrap();
        (value("state"), count("failures"), count("crashes"))
    }

    /// Waits until a command has made a file.
    pub(crate) fn wait_for_file(&self, name: &str) {
        until("a file of a command", || {
            self.0.path(name).exists().then_some(())
        });
    }
}

/// A worker that runs. Its drop kills it.
pub(crate) struct Worker {
    program: Program,
    errors: Errors,
}

impl Worker {
    /// Reads on up to a line with this text.
    pub(crate) fn wait_for(&self, text: &str) -> String {
        loop {
            let line = self.program.line();
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Asks for the end, and waits until the worker knows.
    pub(crate) fn ask_to_end(&self) {
        self.program.signal(Signal::TERM);
        self.errors.wait_for("signal: shutting down");
    }

    /// Returns the number of its process.
    pub(crate) fn id(&self) -> String {
        self.program.child.id().to_string()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.program.signal(signal);
    }

    /// Waits for its end. Returns its last line, too.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        let (status, lines) = self.program.end();
        (status, lines.last().cloned().unwrap_or_default())
    }

    /// Ends it by SIGTERM, with the exit code 0.
    #[track_caller]
    pub(crate) fn stop(self) -> String {
        self.signal(Signal::TERM);
        let (status, line) = self.end();
        assert_eq!(status.code(), Some(0), "{line}");
        line
    }

    /// Ends it by SIGKILL.
    pub(crate) fn kill(self) {
        self.signal(Signal::KILL);
        self.end();
    }
}
