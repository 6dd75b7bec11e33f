//! The table of the pages in a terminal.

use super::crawler;
use crate::support::Program;
use crate::support::site::{Gate, Site, links, page, status};
use crate::support::terminal::Terminal;
use rustix::process::Signal;

/// Shows the crawl of a site with a page that is held back, and looks at what is left.
fn in_a_terminal(code: i32, stop: impl FnOnce(&mut Terminal, &Program, &Gate)) {
    let gate = Gate::default();
    let held = gate.clone();
    let site = Site::of(move |path| match path {
        "/" => links(&["/gone", "/held"]),
        "/held" => {
            held.wait();
            page("")
        }
        _ => status(404),
    });
    let mut terminal = Terminal::new();
    let before = terminal.modes();
    let mut command = crawler();
    terminal.attach(command.args([&site.url("/"), "--tui"]));
    let child = command.spawn().unwrap();
    drop(command); // it holds the terminal, too
    let mut program = Program::silent(child);
    terminal.wait_for("fetching", true);
    terminal.wait_for("404", true);
    assert_ne!(terminal.modes(), before);
    stop(&mut terminal, &program, &gate);
    let (status, _) = program.end();
    terminal.finish();
    let text = terminal.text();
    assert_eq!(status.code(), Some(code), "{text}");
    assert_eq!(terminal.modes(), before);
    assert!(!terminal.is_cursor_hidden());
    let line = format!("404 {} <- {}", site.url("/gone"), site.url("/"));
    assert!(
        text.contains(&line) && text.contains("pages checked: 3"),
        "{text}"
    );
    assert!(!text.contains("found on"), "{text}");
}

#[test]
fn the_table_stays_until_q() {
    in_a_terminal(1, |terminal, _, gate| {
        gate.open();
        terminal.wait_for("finished", true);
        terminal.press("q");
    });
}

#[test]
fn q_in_the_middle_finishes_what_runs() {
    in_a_terminal(1, |terminal, _, gate| {
        terminal.press("q");
        terminal.wait_for("stopping, 1 run", true);
        gate.open();
    });
}

#[test]
fn ctrl_c_in_the_table_ends_with_130() {
    in_a_terminal(130, |terminal, _, gate| {
        terminal.press("\x03");
        terminal.wait_for("stopping", true);
        gate.open();
    });
}

#[test]
fn sigterm_leaves_the_table_clean() {
    in_a_terminal(130, |terminal, program, gate| {
        program.signal(Signal::TERM);
        terminal.wait_for("stopping", true);
        gate.open();
    });
}

#[test]
fn arrows_scroll_the_table() {
    let site = Site::of(|path| match path {
        "/" => {
            let paths: Vec<_> = (100..200).map(|n| format!("/page{n}")).collect();
            links(&paths.iter().map(String::as_str).collect::<Vec<_>>())
        }
        _ => page(""),
    });
    let mut terminal = Terminal::new();
    let mut command = crawler();
    terminal.attach(command.args([&site.url("/"), "--tui"]));
    let child = command.spawn().unwrap();
    drop(command);
    let mut program = Program::silent(child);
    terminal.wait_for("finished", true);
    terminal.wait_for("/page199", true); // it follows the newest
    assert!(!terminal.text().contains("/page100"));
    terminal.press("\x1b[H"); // Home
    terminal.wait_for("/page100", true);
    assert!(!terminal.text().contains("/page160"));
    let last = (100..200)
        .rev()
        .find(|n| terminal.text().contains(&format!("/page{n}")));
    terminal.press("\x1b[B\x1b[B"); // down, so that the first two rows leave
    terminal.wait_for(&format!("/page{}", last.unwrap() + 2), true);
    assert!(!terminal.text().contains("/page100"));
    terminal.press("\x1b[F"); // End
    terminal.wait_for("/page199", true);
    terminal.press("q");
    assert_eq!(program.end().0.code(), Some(0));
    terminal.finish();
}
