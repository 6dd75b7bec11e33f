//! What the tests of `parallel` and `jobs` need: a directory, FIFOs that hold commands, processes.

use crate::support::{BOUND, Program, command, ended, output, until};
use rustix::fs::{Mode, OFlags, open};
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;

/// In the environment of all commands.
const MARK: &str = "DIRECTORY_OF_THE_TEST";

/// A directory of a test, in which its commands run. Its drop removes it.
pub(crate) struct Shell(PathBuf);

impl Shell {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("parallel-{}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Returns what is in a file; nothing if there is none.
    pub(crate) fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// `cat NAME` waits until [`release`](Self::release).
    pub(crate) fn fifo(&self, name: &str) {
        let made = output(Command::new("mkfifo").arg(self.path(name)));
        assert!(made.status.success());
    }

    /// Waits for a reader, and gives it the end of its input.
    pub(crate) fn release(&self, fifo: &str) {
        until("a command that reads", || {
            let flags = OFlags::WRONLY | OFlags::NONBLOCK;
            open(self.path(fifo), flags, Mode::empty()).ok()
        });
    }

    /// The arguments are those of a command line, split at blanks.
    pub(crate) fn parallel(&self, arguments: &str) -> Command {
        let mut command = self.program(env!("CARGO_BIN_EXE_parallel"));
        command.args(arguments.split_whitespace());
        command
    }

    /// A program in the directory.
    pub(crate) fn program(&self, program: &str) -> Command {
        let mut command = command(program);
        command.current_dir(&self.0).stdin(Stdio::null());
        command.env(MARK, &self.0);
        command
    }

    /// Waits for the end of all commands, also of those that a killed program has left behind.
    pub(crate) fn wait_for_commands(&self) {
        let mark = format!("{MARK}={}\0", self.0.display());
        until("the end of all commands", || {
            let mut processes = fs::read_dir("/proc").unwrap();
            let is_one = |process: io::Result<fs::DirEntry>| {
                let environment = fs::read(process.unwrap().path().join("environ"));
                let environment = environment.unwrap_or_default();
                String::from_utf8_lossy(&environment).contains(&mark)
            };
            (!processes.any(is_one)).then_some(())
        });
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, arguments: &str, input: impl Into<Vec<u8>>) -> Output {
        let mut command = self.parallel(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let (mut stdin, input) = (child.stdin.take().unwrap(), input.into());
        // It may end before it has read all.
        let writer = thread::spawn(move || drop(stdin.write_all(&input)));
        let output = ended(child);
        writer.join().unwrap();
        output
    }

    /// Runs a script of the shell in the directory.
    pub(crate) fn script(&self, script: &str) -> Output {
        let mut command = Command::new("sh");
        command.args(["-c", script]).current_dir(&self.0);
        output(&mut command)
    }

    /// Starts it with these lines. Also returns the lines of its standard error.
    pub(crate) fn start(&self, arguments: &str, input: &str) -> (Program, Errors) {
        self.write("input", input);
        let mut command = self.parallel(&format!("--arg-file input {arguments}"));
        command.env("RUST_LOG", "warn");
        let mut program = Program::start(command.stderr(Stdio::piped()));
        let errors = Errors::of(&mut program);
        (program, errors)
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The lines of the standard error of a program that runs.
pub(crate) struct Errors(Receiver<String>);

impl Errors {
    pub(crate) fn of(program: &mut Program) -> Self {
        let stderr = program.child.stderr.take().unwrap();
        let (send, lines) = mpsc::channel();
        thread::spawn(move || {
            let lines = BufReader::new(stderr).lines().map_while(Result::ok);
            lines.for_each(|line| drop(send.send(line)));
        });
        Self(lines)
    }

    /// Waits for a line with this text.
    pub(crate) fn wait_for(&self, text: &str) {
        while !self.0.recv_timeout(BOUND).unwrap().contains(text) {}
    }
}

/// Waits until a process has ended. One that nothing reaps stays as a zombie.
pub(crate) fn wait_for_end(pid: &str) {
    let pid: u32 = pid.trim().parse().unwrap();
    let stat = format!("/proc/{pid}/stat");
    until("the end of a process", || match fs::read_to_string(&stat) {
        Ok(stat) => stat.rsplit(") ").next()?.starts_with('Z').then_some(()),
        Err(_) => Some(()),
    });
}
