//! The program `dashboard` as its users see it: its arguments, its page, its terminal, its end.

use crate::support::arguments::{assert_address_is_named, assert_helps, assert_refused};
use crate::support::terminal::Terminal;
use crate::support::{self, Program, command, get, text, until};
use rustix::process::Signal;
use serde_json::Value;
use std::collections::HashSet;
use std::fs::File;
use std::process::{Command, Output, Stdio};

fn dashboard() -> Command {
    let mut command = command(env!("CARGO_BIN_EXE_dashboard"));
    command.args(["--listen", "127.0.0.1:0"]);
    command
}

/// Runs it to its end.
fn output(arguments: &[&str]) -> Output {
    let mut command = command(env!("CARGO_BIN_EXE_dashboard"));
    support::output(command.args(arguments))
}

/// Starts it, and returns the address of its page, too.
fn serve(arguments: &[&str]) -> (Program, String) {
    let program = Program::start(dashboard().args(arguments));
    let line = program.line();
    let address = line.strip_prefix("the page is at http://").unwrap();
    let address = address.trim_end_matches('/').to_owned();
    (program, address)
}

#[test]
fn help_names_all_options_and_exit_codes() {
    let help = output(&["--help"]);
    assert_helps(
        &help,
        &[
            "--listen",
            "--control",
            "--token",
            "--tui",
            "--seconds",
            "--seed",
            "Exit codes",
        ],
    );
}

#[test]
fn wrong_arguments_are_named_and_end_with_2() {
    for (arguments, named) in [
        (&["--colour"][..], "--colour"),
        (&["--seconds", "soon"], "not a number of seconds"),
        (&["--seed", "one"], "--seed"),
        (&["--token", ""], "visible ASCII"),
        // Its output is a pipe here.
        (&["--tui"], "needs a terminal"),
    ] {
        let output = output(arguments);
        assert_refused(&output, named);
    }
}

#[test]
fn an_address_in_use_is_named_and_ends_with_1() {
    assert_address_is_named(|address| output(&["--listen", address]));
}

#[cfg(target_os = "linux")]
#[test]
fn an_output_that_takes_nothing_is_named_and_ends_with_1() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut command = dashboard();
    command.stdout(full).stderr(Stdio::piped());
    let output = support::ended(command.spawn().unwrap());
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.contains("the standard output: No space"), "{error}");
}

#[test]
fn the_page_shows_a_load_that_moves_and_sigterm_ends_it() {
    let (mut program, address) = serve(&[]);
    let (status, page) = get(&address, "/");
    assert_eq!(status, 200);
    assert!(page.starts_with("<!doctype html>") || page.starts_with("<!DOCTYPE html>"));

    let stats = || -> Value { serde_json::from_str(&get(&address, "/stats.json").1).unwrap() };
    let ended = |stats: &Value, pool: usize| stats["pools"][pool]["ended"].as_u64().unwrap();
    let first = stats();
    assert_eq!(first["pools"][0]["pool"], "web");
    assert_eq!(first["pools"][1]["pool"], "mail");
    until("both pools to move", || {
        let now = stats();
        (0..2)
            .all(|pool| ended(&now, pool) > ended(&first, pool))
            .then_some(())
    });

    let mut seen = HashSet::new();
    until("all kinds of tasks", || {
        let (_, tasks) = get(&address, "/tasks.json");
        let tasks: Value = serde_json::from_str(&tasks).unwrap();
        for pool in tasks["pools"].as_array().unwrap() {
            let rows = pool["tasks"].as_array().unwrap();
            seen.extend(
                rows.iter()
                    .filter_map(|row| row["name"].as_str().map(str::to_owned)),
            );
        }
        [
            "resize",
            "fetch",
            "import",
            "report",
            "send mail",
            "reminder",
        ]
        .iter()
        .all(|name| seen.contains(*name))
        .then_some(())
    });

    program.signal(Signal::TERM);
    let (status, lines) = program.end();
    assert_eq!(status.code(), Some(0), "{lines:?}");
    for pool in ["web: ", "mail: "] {
        let line = lines.iter().find(|line| line.starts_with(pool));
        assert!(line.unwrap().contains("succeeded"), "{lines:?}");
    }
}

#[test]
fn control_prints_a_token_of_its_own() {
    let (mut program, _) = serve(&["--control", "--seconds", "0.1"]);
    let line = program.line();
    let token = line.strip_prefix("the token for changes is ").unwrap();
    assert_eq!(token.len(), 32);
    assert_eq!(program.end().0.code(), Some(0));
    let (program, _) = serve(&["--token", "abcdefghijklmnop", "--seconds", "0.1"]);
    assert_eq!(program.line(), "the token for changes is abcdefghijklmnop");
}

/// Shows the pools in a terminal, ends the program, and looks at what is left there.
fn in_a_terminal(end: impl FnOnce(&mut Terminal, &Program)) {
    let mut terminal = Terminal::new();
    let before = terminal.modes();
    let mut command = dashboard();
    terminal.attach(command.arg("--tui"));
    let child = command.spawn().unwrap();
    let mut program = Program::silent(child);
    terminal.wait_for("live tasks", true);
    terminal.wait_for_hidden_cursor();
    assert_ne!(terminal.modes(), before);
    end(&mut terminal, &program);
    let (status, _) = program.end();
    terminal.finish();
    assert_eq!(status.code(), Some(0), "{}", terminal.text());
    assert_eq!(terminal.modes(), before);
    assert!(!terminal.is_cursor_hidden());
    let text = terminal.text();
    assert!(text.contains("web: ") && text.contains("mail: "), "{text}");
    assert!(!text.contains("live tasks"), "{text}");
}

#[test]
fn ctrl_c_leaves_the_terminal_clean() {
    in_a_terminal(|terminal, _| terminal.press("\x03"));
}

#[test]
fn q_leaves_the_terminal_clean() {
    in_a_terminal(|terminal, _| terminal.press("q"));
}

#[test]
fn sigterm_leaves_the_terminal_clean() {
    in_a_terminal(|_, program| program.signal(Signal::TERM));
}

#[test]
fn keys_show_the_other_pool_and_cancel_a_task() {
    in_a_terminal(|terminal, _| {
        terminal.wait_for("sweep cache", true); // a schedule of the first pool
        terminal.press("\t");
        terminal.wait_for("digest", true);
        // The list may be empty for a moment, so that no task is selected.
        terminal.press_until("\x1b[B\x1b[Ac", "c cancel  task ");
        terminal.press("q");
    });
}
