//! An end before all pages are checked.

use super::crawler;
use crate::support::Program;
use crate::support::site::{Gate, Site, links, page, status};
use rustix::process::Signal;
use std::io::{self, BufRead, BufReader};
use std::process::Stdio;

#[test]
fn ctrl_c_finishes_what_runs_and_prints_what_it_has() {
    let gate = Gate::default();
    let held = gate.clone();
    let site = Site::of(move |path| match path {
        "/" => links(&["/gone", "/held", "/left"]),
        "/held" => {
            held.wait();
            links(&["/below"])
        }
        _ => status(404),
    });
    let mut command = crawler();
    command
        .args(["--jobs", "1", &site.url("/")])
        .stderr(Stdio::piped());
    let mut program = Program::start(&mut command);
    let errors = BufReader::new(program.child.stderr.take().unwrap());
    let mut errors = errors.lines().map(Result::unwrap);
    site.wait_for("/held");
    program.signal(Signal::INT);
    assert_eq!(
        errors.next().unwrap(),
        "crawler: stopping: requests that run are finished"
    );
    gate.open();
    let (status, lines) = program.end();
    assert_eq!(status.code(), Some(130));
    assert_eq!(
        lines,
        [format!("404 {} <- {}", site.url("/gone"), site.url("/"))]
    );
    let summary = errors.next().unwrap();
    assert!(summary.contains("pages checked: 3"), "{summary}");
    assert!(summary.contains("not checked (stopped): 2"), "{summary}");
    assert_eq!(site.paths(), ["/", "/gone", "/held"]);
}

#[test]
fn ctrl_c_ends_the_requests_of_the_start() {
    let gate = Gate::default();
    let held = gate.clone();
    let site = Site::of(move |_| {
        held.wait();
        page("")
    });
    let mut program = Program::start(crawler().arg(site.url("/")));
    site.wait_for("/");
    program.signal(Signal::INT);
    let (status, lines) = program.end();
    gate.open();
    assert_eq!(status.code(), Some(130));
    assert!(lines.is_empty());
}

#[test]
fn a_reader_that_goes_away_ends_it() {
    let gate = Gate::default();
    let held = gate.clone();
    let site = Site::of(move |path| match path {
        "/" => links(&["/1", "/held"]),
        "/held" => {
            held.wait();
            links(&["/2", "/3"])
        }
        _ => status(404),
    });
    let mut command = crawler();
    command.arg(site.url("/"));
    let pipes = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut program = Program::silent(pipes.spawn().unwrap());
    let mut line = String::new();
    let mut lines = BufReader::new(program.child.stdout.take().unwrap());
    lines.read_line(&mut line).unwrap();
    drop(lines);
    gate.open();
    assert_eq!(program.end().0.code(), Some(1));
    let errors = io::read_to_string(program.child.stderr.take().unwrap()).unwrap();
    assert!(!errors.contains("panicked"), "{errors}");
}
