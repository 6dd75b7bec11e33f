//! The program `crawler` as its users see it, at a site that each test makes up.

mod ends;
mod pages;
mod start;
mod table;

use crate::support::arguments::{assert_helps, assert_refused};
use crate::support::site::Site;
use crate::support::{self, command, text};
use std::process::{Command, Output};

fn crawler() -> Command {
    let mut command = command(env!("CARGO_BIN_EXE_crawler"));
    // A rate and a time limit that decide nothing.
    command.args(["--rate", "10000", "--timeout", "600"]);
    for name in [
        "RUST_LOG",
        "http_proxy",
        "HTTP_PROXY",
        "all_proxy",
        "ALL_PROXY",
    ] {
        command.env_remove(name);
    }
    command
}

/// Runs it to its end.
fn output(arguments: &[&str]) -> Output {
    support::output(crawler().args(arguments))
}

/// The lines of its output, without the addresses of the sites, sorted.
fn lines(output: &Output, sites: &[&Site]) -> Vec<String> {
    let mut text = text(&output.stdout).to_owned();
    for (site, name) in sites.iter().zip(["", "other"]) {
        text = text.replace(&site.url(""), name);
    }
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn help_names_all_options_and_exit_codes() {
    let help = output(&["--help"]);
    assert_helps(
        &help,
        &[
            "<URL>...",
            "--external",
            "--depth",
            "--pages",
            "--jobs",
            "--rate",
            "--timeout",
            "--retries",
            "--max-body",
            "--tui",
            "Exit codes",
        ],
    );
}

#[test]
fn wrong_arguments_are_named_and_end_with_2() {
    for (arguments, named) in [
        (&[][..], "<URL>"),
        (&["example.org"], "http://"),
        (&["ftp://example.org/"], "ftp://example.org/"),
        (&["http://127.0.0.1/", "--jobs", "0"], "--jobs"),
        (&["http://127.0.0.1/", "--rate", "0"], "--rate"),
        (
            &["http://127.0.0.1/", "--timeout", "0"],
            "number of seconds above 0",
        ),
        // Its output is a pipe here.
        (&["http://127.0.0.1/", "--tui"], "needs a terminal"),
    ] {
        let mut command = command(env!("CARGO_BIN_EXE_crawler"));
        let output = support::output(command.args(arguments));
        assert_refused(&output, named);
    }
}
