//! The program `batch_client` against `http_service`, with a proxy between them that does wrong.

mod ending;
mod limits;
mod results;
mod retries;

use crate::support::faults::{Fault, Faults, answer};
use crate::support::terminal::Terminal;
use crate::support::{Program, command, ended, output, text, until};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStderr, ChildStdin, Command, Output, Stdio};

fn client(arguments: &[&str]) -> Command {
    let mut command = command(env!("CARGO_BIN_EXE_batch_client"));
    // Not by a proxy of the machine.
    command
        .env("NO_PROXY", "127.0.0.1")
        .args(arguments)
        .stdin(Stdio::null());
    command
}

/// Runs it to its end with these lines as its input.
fn run(arguments: &[&str], lines: &[String]) -> Output {
    let mut command = client(arguments);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input
        .write_all((lines.join("\n") + "\n").as_bytes())
        .unwrap();
    drop(input);
    ended(child)
}

/// How many results of a kind the summary counts.
fn counted(summary: &str, kind: &str) -> usize {
    let mut lines = summary.lines();
    let rest = lines.find_map(|line| line.strip_prefix(kind)).unwrap();
    rest.split_whitespace().next().unwrap().parse().unwrap()
}

/// The results, without their times, which must be there if anything came of what was sent.
fn results(output: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(output).unwrap();
    text.lines().map(result).collect()
}

fn result(line: &str) -> Value {
    let mut result: Value = serde_json::from_str(line).unwrap();
    let ms = result.as_object_mut().unwrap().remove("ms");
    let is_timed = result["attempts"] != 0 && result["error"] != "cancelled";
    assert!(ms.is_some() || !is_timed, "{line}");
    result
}

/// The service, and the proxy before it.
struct Way {
    faults: Faults,
    address: String,
    _service: Program,
}

impl Way {
    fn new(script: impl Fn(&str, usize) -> Fault + Send + Sync + 'static) -> Self {
        let mut command = command(env!("CARGO_BIN_EXE_http_service"));
        let service = Program::start(
            command
                .args(["--listen", "127.0.0.1:0"])
                .stderr(Stdio::null()),
        );
        let line = service.line();
        let address = line.strip_prefix("listening on http://").unwrap();
        let address = address.trim_end_matches('/').to_owned();
        Self {
            faults: Faults::start(&address, script),
            address,
            _service: service,
        }
    }

    fn urls(&self, paths: &[&str]) -> Vec<String> {
        paths.iter().map(|path| self.faults.url(path)).collect()
    }

    /// What a GET of a line should have as its result, if the server answers.
    fn got(&self, line: u64, path: &str, status: u16, attempts: u32) -> Value {
        json!({
            "line": line, "method": "GET", "url": self.faults.url(path),
            "status": status, "attempts": attempts, "bytes": 4,
        })
    }

    /// The same if it does not.
    fn failed(&self, line: u64, path: &str, error: &str, attempts: u32) -> Value {
        json!({
            "line": line, "method": "GET", "url": self.faults.url(path),
            "error": error, "attempts": attempts,
        })
    }
}

/// A server that answers everything itself.
fn says(status: u16) -> Way {
    Way::new(move |_, _| answer(status, &[]))
}

/// One that holds what begins with `/?held`, and answers all else itself.
fn holds() -> Way {
    Way::new(|path, _| match path.starts_with("/?held") {
        true => Fault::Hold,
        false => answer(200, &[]),
    })
}

/// The program with an input that stays open.
struct Fed {
    program: Program,
    input: ChildStdin,
}

impl Fed {
    fn start(arguments: &[&str], lines: &[String]) -> Self {
        let mut command = client(arguments);
        let command = command.stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut program = Program::start(command);
        let input = program.child.stdin.take().unwrap();
        let mut fed = Self { program, input };
        fed.write(lines);
        fed
    }

    fn write(&mut self, lines: &[String]) {
        for line in lines {
            writeln!(self.input, "{line}").unwrap();
        }
    }

    fn result(&self) -> Value {
        result(&self.program.line())
    }

    /// Sends the first Ctrl-C, and waits until it is noticed. Returns what stderr says later.
    fn interrupt(&mut self) -> BufReader<ChildStderr> {
        let mut errors = BufReader::new(self.program.child.stderr.take().unwrap());
        self.program.signal(Signal::INT);
        let mut line = String::new();
        errors.read_line(&mut line).unwrap();
        assert_eq!(
            line,
            "batch_client: finishing what was read; another Ctrl-C cancels it\n"
        );
        errors
    }

    /// Waits for its end, and returns the code and the results that were left.
    fn end(self) -> (Option<i32>, Vec<Value>) {
        let Self { mut program, input } = self;
        drop(input);
        let (status, lines) = program.end();
        (
            status.code(),
            lines.iter().map(|line| result(line)).collect(),
        )
    }
}
