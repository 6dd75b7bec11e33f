//! An end before all pages are checked.

use super::{crawler, text};
use crate::support::Program;
use crate::support::site::{Gate, Site, links, page, status};
use rustix::process::Signal;
use std::io::{BufRead, BufReader};
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
    let mut child = crawler()
        .arg(site.url("/"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    gate.open();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        !text(&output.stderr).contains("panicked"),
        "{}",
        text(&output.stderr)
    );
}
