//! What the README says of durable jobs, done as it says.

use crate::support::Program;
use crate::support::queue::Queue;
use rustix::process::Signal;
use std::env;
use std::io::Write;
use std::process::{Command, Stdio};

const README: &str = include_str!("../../../../README.md");
const SMALLEST: &str = include_str!("jobs_smallest.rs");

/// The smallest program.
mod smallest {
    include!("jobs_smallest.rs");

    /// Set for the copy of the tests that a test below starts.
    pub(super) const IS_COPY: &str = "MILLHAND_TEST_SMALLEST";

    /// What that copy runs. Nothing when it is not a copy.
    #[test]
    fn runs() {
        if std::env::var_os(IS_COPY).is_some() {
            main().unwrap();
        }
    }
}

/// Returns the blocks of the README's section on jobs.
fn blocks(language: &str) -> Vec<&'static str> {
    let (_, section) = README
        .split_once("\n## Jobs that outlive the process\n")
        .unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let begin = format!("\n```{language}\n");
    let blocks = section.split(&begin).skip(1);
    blocks
        .map(|block| block.split_once("```").unwrap().0)
        .collect()
}

#[test]
fn the_smallest_program_is_that_of_the_readme_and_runs() {
    assert_eq!(blocks("rust,ignore"), [SMALLEST]);
    let queue = Queue::new();
    let mut command = queue
        .0
        .program(env::current_exe().unwrap().to_str().unwrap());
    command.args(["--exact", "--nocapture", "jobs_readme::smallest::runs"]);
    let mut program = Program::start(command.env(smallest::IS_COPY, "1"));
    let wait_for = |text: &str| while !program.line().contains(text) {};
    wait_for("job 1 is on the disk");
    wait_for("a mail to ada@example.org");
    program.signal(Signal::TERM);
    assert!(program.end().0.success());
    let store = ["--store", "sqlite:app.db"];
    assert_eq!(
        queue
            .ok(&[&store[..], &["sessions"]].concat())
            .lines()
            .count(),
        1
    );
    assert_eq!(
        queue.ok(&[&store[..], &["doctor"]].concat()),
        "no fault is left\n"
    );
}

/// Has a shell do what a block says, and returns what is printed.
fn tour(queue: &Queue, block: &str) -> String {
    let mut command = Command::new("sh");
    command
        .current_dir(queue.0.path("."))
        .stdin(Stdio::piped())
        .stderr(Stdio::null());
    let mut shell = Program::start(&mut command);
    let mut input = shell.child.stdin.take().unwrap();
    writeln!(input, "jobs={}", env!("CARGO_BIN_EXE_jobs")).unwrap();
    let mut printed = Vec::new();
    for line in block.lines() {
        let line = match line.split_once('=') {
            _ if line.starts_with("cd ") || line.starts_with("cargo ") => continue,
            Some(("jobs", _)) => continue,
            Some(("store", _)) => format!("store='{}'", queue.store()),
            _ => line.to_owned(),
        };
        // As a user does, who looks what a worker does before the next line.
        let command = line.split(" #").next().unwrap_or_default().trim_end();
        let last = if command.ends_with('&') {
            "begins"
        } else {
            "<end>"
        };
        writeln!(input, "{line}").unwrap();
        if last == "<end>" {
            writeln!(input, "echo '<end>'").unwrap();
        }
        loop {
            let line = shell.line();
            printed.push(line.clone());
            if line.contains(last) {
                break;
            }
        }
    }
    drop(input);
    let (status, rest) = shell.end();
    printed.extend(rest);
    let printed = printed.join("\n");
    assert!(status.success(), "{printed}");
    printed
}

#[test]
fn the_tour_of_the_readme_does_what_it_says() {
    let queue = Queue::new();
    let printed = tour(&queue, blocks("sh")[0]);
    for text in [
        "job 1: shell begins",
        "running    default     shell",
        "job 1: shell begins again: its worker was lost 1 time(s)",
        "job 1: shell has ended",
        "\"done\\n\"",
        "1 done, 0 dead, 0 retried",
    ] {
        assert!(printed.contains(text), "{text}: {printed}");
    }
    assert_eq!(queue.state("1"), ("done".to_owned(), 0, 1));
}

#[test]
fn the_tour_goes_on_at_a_server() {
    let server = Queue::on_redis();
    let printed = tour(&server, blocks("sh")[1]);
    for text in [
        "1 job is moved to redis+unix://",
        "job 1: shell begins",
        "\"moved\\n\"",
        "1 done, 0 dead, 0 retried",
    ] {
        assert!(printed.contains(text), "{text}: {printed}");
    }
    assert_eq!(server.state("1"), ("done".to_owned(), 0, 0));
}
