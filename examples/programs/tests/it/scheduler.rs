//! The program `scheduler` as its users see it: its table, its list of runs, its signals, its page.

mod daemon;
mod table;

use crate::support::{self, Program, text, until};
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open};
use rustix::process::Signal;
use std::cell::RefCell;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const SCHEDULER: &str = env!("CARGO_BIN_EXE_scheduler");

/// A directory of one test, with the table in it.
struct Place(PathBuf);

impl Place {
    fn new(test: &str, table: &str) -> Self {
        let tests = Path::new(env!("CARGO_TARGET_TMPDIR")).join("scheduler");
        // Of its own for each process, so that the tests may run several times at once.
        let place = Self(tests.join(format!("{test}-{}", std::process::id())));
        let _ = fs::remove_dir_all(&place.0);
        fs::create_dir_all(&place.0).unwrap();
        place.write(table);
        place
    }

    fn write(&self, table: &str) {
        fs::write(self.0.join("table"), table).unwrap();
    }

    fn fifo(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        path
    }

    /// Starts a daemon in this directory. `before` is what its shell does first.
    fn start_after(&self, before: &str, arguments: &[&str]) -> Daemon {
        // Both outputs in one, as in a terminal.
        let script = format!(r#"{before} exec "$0" "$@" table 2>&1"#);
        let mut command = Command::new("sh");
        command.args(["-c", &script, SCHEDULER]).args(arguments);
        let program = Program::start(command.current_dir(&self.0));
        let log = RefCell::default();
        Daemon { program, log }
    }

    /// Starts one that ends its commands at once when it ends.
    fn start(&self) -> Daemon {
        self.start_after("", &["--grace", "0s"])
    }

    /// Runs it to its end, in Berlin.
    fn output(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(SCHEDULER);
        command.current_dir(&self.0).env("TZ", "Europe/Berlin");
        support::output(command.args(arguments))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

struct Daemon {
    program: Program,
    /// The lines that were read, without time and level.
    log: RefCell<Vec<String>>,
}

impl Daemon {
    /// Reads on up to a line that begins with this text.
    fn wait_for(&self, begin: &str) -> String {
        loop {
            let line = self.program.line();
            let text = line.split_once("] ").map_or(&*line, |(_, text)| text);
            self.log.borrow_mut().push(text.to_owned());
            if text.starts_with(begin) {
                return text.to_owned();
            }
        }
    }

    /// Reads on until each of these lines has come.
    fn wait_for_all(&self, begins: &[&str]) {
        while begins.iter().any(|begin| self.count(begin) == 0) {
            self.wait_for("");
        }
    }

    /// How many of the lines begin with this text.
    fn count(&self, begin: &str) -> usize {
        let log = self.log.borrow();
        log.iter().filter(|line| line.starts_with(begin)).count()
    }

    fn signal(&self, signal: Signal) {
        self.program.signal(signal);
    }

    /// Waits for its end, with this exit code. Returns the log from here on.
    fn ends_with(mut self, code: i32) -> String {
        let (status, lines) = self.program.end();
        assert_eq!(status.code(), Some(code), "{lines:?}");
        lines.join("\n")
    }

    /// Sends SIGTERM, and returns the log from there to the end. The exit code must be 0.
    fn end(self) -> String {
        self.signal(Signal::TERM);
        self.ends_with(0)
    }
}

/// Lets a command go on that reads a line from a FIFO.
fn release(fifo: &Path) {
    // It fails while there is no reader.
    let flags = OFlags::WRONLY | OFlags::NONBLOCK;
    let fifo = until("a reader", || open(fifo, flags, Mode::empty()).ok());
    File::from(fifo).write_all(b"\n").unwrap();
}
