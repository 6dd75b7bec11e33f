//! What a panic leaves of a terminal. The test runs itself once more, as the program that panics.

use crate::support::Program;
use crate::support::terminal::Terminal;
use millhand::ThreadPool;
use millhand_programs::print_no_task_panics;
use millhand_programs::screen::Screen;
use std::env;
use std::process::Command;

/// Set for the copy of this program that the test below starts.
const IS_COPY: &str = "MILLHAND_TEST_PANICS";

/// What that copy runs. Nothing when it is not a copy.
#[test]
fn panics_in_the_screen() {
    if env::var_os(IS_COPY).is_none() {
        return;
    }
    print_no_task_panics();
    let mut screen = Screen::enter().unwrap();
    let pool = ThreadPool::new(1).unwrap();
    // The panic of a task is an outcome: it prints nothing, and the screen stays.
    let task = pool.submit(|| -> () { panic!("of a task") });
    task.join().unwrap_err();
    screen
        .draw(|frame| frame.render_widget("drawn", frame.area()))
        .unwrap();
    panic!("of the program");
}

#[test]
fn a_panic_is_read_in_a_clean_terminal() {
    let mut terminal = Terminal::new();
    let before = terminal.modes();
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "--nocapture", "screen::panics_in_the_screen"]);
    command.env(IS_COPY, "1");
    terminal.attach(&mut command);
    let child = command.spawn().unwrap();
    drop(command); // it holds the terminal, too
    let (status, _) = Program::silent(child).end();
    terminal.finish();
    assert!(!status.success());
    assert_eq!(terminal.modes(), before);
    assert!(!terminal.is_cursor_hidden());
    let text = terminal.text();
    assert!(text.contains("of the program"), "{text}");
    assert!(
        !text.contains("of a task") && !text.contains("drawn"),
        "{text}"
    );
}
