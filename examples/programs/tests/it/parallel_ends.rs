//! The program `parallel`: how commands end before their time, and how it ends itself.

use crate::support::shell::{Shell, wait_for_end};
use crate::support::{text, until};
use rustix::process::Signal;

#[test]
fn a_time_limit_ends_the_command_and_what_it_has_started() {
    // The second process ignores SIGTERM, so it gets SIGKILL.
    let command = "sleep 1000 & echo $! > a; (trap '' TERM; exec sleep 1000) & echo $! > b; wait";
    for limit in ["0.2", "1", "5", "25"] {
        let shell = Shell::new();
        let output = shell.run(
            &format!("--timeout {limit}"),
            format!("{command}\necho x\n"),
        );
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(text(&output.stdout), "x\n");
        let failure = format!("parallel: line 1: ended by the time limit: {command}\n");
        assert_eq!(text(&output.stderr), failure);
        let pids = [shell.text("a"), shell.text("b")];
        pids.iter()
            .filter(|pid| !pid.is_empty())
            .for_each(|pid| wait_for_end(pid));
        if !pids[1].is_empty() {
            return;
        }
        // A slow machine: the limit was over before the processes were there.
    }
    panic!("no process was started in 25 seconds");
}

#[test]
fn each_attempt_has_the_time_limit() {
    let shell = Shell::new();
    let command = "echo x >> n; sleep 1000\n";
    let output = shell.run("--timeout 0.1 --retries 1 --journal j", command);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("ended by the time limit"));
    assert_eq!(shell.text("j"), format!("1 124 {command}"));
}

#[test]
fn a_command_that_fails_runs_again_so_often() {
    let shell = Shell::new();
    let command = "echo x >> n; echo $(wc -l < n); test $(wc -l < n) -ge 3\n";
    let output = shell.run("--retries 1", command);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "2\n");
    assert!(text(&output.stderr).contains("line 1: exit status: 1"));
    shell.write("n", "");
    let output = shell.run("--retries 2 --journal j", command);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
    // The output of the last attempt, and one entry.
    assert_eq!(text(&output.stdout), "3\n");
    assert_eq!(shell.text("j"), format!("1 0 {command}"));
}

#[test]
fn what_a_command_leaves_behind_delays_nothing() {
    let shell = Shell::new();
    shell.fifo("f");
    let output = shell.run("", "cat f & echo $!\n");
    assert_eq!(output.status.code(), Some(0));
    // It still runs.
    shell.release("f");
    wait_for_end(text(&output.stdout));
}

#[test]
fn an_error_ends_what_runs() {
    for order in ["", "--keep-order"] {
        let shell = Shell::new();
        let input = "echo $$ > pid; exec sleep 1000\n\
                     until [ -s pid ]; do sleep 0.01; done; echo 1; echo 2; exit 7\n";
        let output = shell.run(&format!("-j2 --halt-on-error {order}"), input);
        assert_eq!(
            (output.status.code(), text(&output.stdout)),
            (Some(1), "1\n2\n")
        );
        assert!(text(&output.stderr).starts_with("parallel: line 2: exit status: 7"));
        wait_for_end(&shell.text("pid"));
    }
}

#[test]
fn after_an_error_no_more_commands_start() {
    let shell = Shell::new();
    let input = format!("exit 7\n{}", "touch more\n".repeat(200));
    let output = shell.run("-j1 --halt-on-error", input.as_str());
    assert_eq!(output.status.code(), Some(1));
    assert!(!shell.path("more").exists());
    assert_eq!(shell.run("-j1", input).status.code(), Some(1));
    assert!(shell.path("more").exists());
}

#[test]
fn a_reader_that_leaves_ends_the_commands() {
    let shell = Shell::new();
    shell.fifo("f");
    let script = format!(
        "{{ echo 'echo $$ > pid; exec sleep 1000'; echo 'until [ -s pid ]; do sleep 0.01; done'; \
         yes 'echo x'; }} | {} -j2 | head -1",
        env!("CARGO_BIN_EXE_parallel")
    );
    assert_eq!(text(&shell.script(&script).stdout), "x\n");
    wait_for_end(&shell.text("pid"));
}

/// Waits until a command has made a file.
fn wait_for_file(shell: &Shell, name: &str) {
    until("a file of a command", || {
        shell.path(name).exists().then_some(())
    });
}

const FIRST: &str = "parallel: no more commands start";
const SECOND: &str = "signal: cancelling";

#[test]
fn the_first_signal_lets_what_runs_go_on() {
    let shell = Shell::new();
    shell.fifo("f");
    let input = format!("touch on; cat f; echo end\n{}", "touch more\n".repeat(200));
    let (mut program, errors) = shell.start("-j1 --journal j", &input);
    wait_for_file(&shell, "on");
    program.signal(Signal::INT);
    errors.wait_for(FIRST);
    shell.release("f");
    assert_eq!(program.line(), "end");
    assert_eq!(program.end().0.code(), Some(130));
    assert!(!shell.path("more").exists());
    assert_eq!(shell.text("j"), "1 0 touch on; cat f; echo end\n");
}

#[test]
fn the_first_signal_ends_a_wait_for_lines_or_for_the_rate() {
    let shell = Shell::new();
    shell.fifo("input");
    let mut command = shell.parallel("--arg-file input");
    let mut program = crate::support::Program::start(&mut command);
    // It waits for a line, with the FIFO open at both ends.
    let path = shell.path("input");
    let keeper = std::thread::spawn(move || std::fs::OpenOptions::new().write(true).open(path));
    let keeper = keeper.join().unwrap().unwrap();
    program.signal(Signal::INT);
    assert_eq!(program.end().0.code(), Some(130));
    drop(keeper);

    let shell = Shell::new();
    let (mut program, _errors) = shell.start("-j4 --rate 1/h", "echo x\necho x\necho x\n");
    assert_eq!(program.line(), "x");
    program.signal(Signal::TERM);
    let (status, lines) = program.end();
    assert_eq!((status.code(), lines.len()), (Some(130), 0));
}

#[test]
fn no_attempt_follows_the_first_signal() {
    let shell = Shell::new();
    shell.fifo("f");
    let input = "echo x >> n; touch on; cat f; exit 1\n";
    let (mut program, errors) = shell.start("--retries 1000 --journal j", input);
    wait_for_file(&shell, "on");
    program.signal(Signal::INT);
    errors.wait_for(FIRST);
    shell.release("f");
    assert_eq!(program.end().0.code(), Some(130));
    // It has not ended: attempts are left.
    assert_eq!(
        (shell.text("n").as_str(), shell.text("j").as_str()),
        ("x\n", "")
    );
}

#[test]
fn the_second_signal_ends_what_runs() {
    let shell = Shell::new();
    let input = "sleep 1000 & echo $! > pid; touch on; wait\ntouch more\n";
    let (mut program, errors) = shell.start("-j1 --journal j", input);
    wait_for_file(&shell, "on");
    program.signal(Signal::INT);
    errors.wait_for(FIRST);
    program.signal(Signal::INT);
    assert_eq!(program.end().0.code(), Some(130));
    wait_for_end(&shell.text("pid"));
    assert!(!shell.path("more").exists());
    assert_eq!(shell.text("j"), "");
}

#[test]
fn the_third_signal_ends_the_program_at_once() {
    let shell = Shell::new();
    shell.fifo("f");
    let input = "trap '' TERM; echo $$ > pid; touch on; cat f; cat f\n";
    let (mut program, errors) = shell.start("", input);
    wait_for_file(&shell, "on");
    program.signal(Signal::INT);
    errors.wait_for(FIRST);
    program.signal(Signal::INT);
    errors.wait_for(SECOND);
    program.signal(Signal::INT);
    assert_eq!(program.end().0.code(), Some(130));
    // The command goes on, or its grace was over before the third signal.
    let pid = shell.text("pid");
    let process = rustix::process::Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    let _ = rustix::process::kill_process_group(process, Signal::KILL);
    wait_for_end(&pid);
}
