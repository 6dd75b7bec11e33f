//! The program `parallel`: the journal, and what `--resume` runs after any end.

use crate::support::shell::Shell;
use crate::support::{text, until};
use std::collections::HashMap;

/// How often each line is in a log.
fn counts(log: &str) -> HashMap<String, u32> {
    let mut counts = HashMap::new();
    for line in log.lines() {
        *counts.entry(line.to_owned()).or_default() += 1;
    }
    counts
}

/// The numbers of the lines that have ended by a journal.
fn ended(journal: &str) -> Vec<String> {
    let numbers = journal.lines().map(|line| line.split(' ').next().unwrap());
    numbers.map(str::to_owned).collect()
}

#[test]
fn after_sigkill_resume_runs_what_is_left_and_nothing_twice_that_had_ended() {
    let shell = Shell::new();
    shell.fifo("f3");
    shell.fifo("f4");
    let input = "echo 1 >> log\n\
                 echo 2 >> log; exit 5\n\
                 echo 3 >> log; touch on3; [ -e go ] || cat f3\n\
                 echo 4 >> log; touch on4; [ -e go ] || cat f4\n\
                 echo 5 >> log; echo line 5\n\
                 echo 6 >> log; echo line 6\n";
    let (mut program, _errors) = shell.start("-j2 --journal j", input);
    until("two commands that run", || {
        let running = shell.path("on3").exists() && shell.path("on4").exists();
        running.then_some(())
    });
    program.child.kill().unwrap();
    program.child.wait().unwrap();
    // The two go on without it. They had not ended.
    shell.release("f3");
    shell.release("f4");
    shell.wait_for_commands();
    let (had_ended, had_run) = (ended(&shell.text("j")), counts(&shell.text("log")));
    assert!(had_ended.contains(&"1".to_owned()) && had_run["3"] + had_run["4"] == 2);
    assert!(!had_ended.iter().any(|line| line == "3" || line == "4"));

    shell.write("go", "");
    let (mut program, _errors) = shell.start("-j2 -k --journal j --resume", input);
    let (status, lines) = program.end();
    // That the second has failed may be known from the journal.
    assert_eq!(status.code(), Some(1));
    let now = counts(&shell.text("log"));
    for line in ["1", "2", "3", "4", "5", "6"] {
        let before = had_run.get(line).copied().unwrap_or_default();
        let is_over = had_ended.iter().any(|ended| ended == line);
        assert_eq!(now[line], if is_over { 1 } else { before + 1 }, "{line}");
        let output = format!("line {line}");
        assert_eq!(lines.contains(&output), !is_over && line >= "5", "{output}");
    }
    let mut all = ended(&shell.text("j"));
    all.sort();
    assert_eq!(all, ["1", "2", "3", "4", "5", "6"]);

    let log = shell.text("log");
    let again = shell.run("--journal j --resume", input);
    assert_eq!((again.status.code(), shell.text("log")), (Some(1), log));
}

#[test]
fn sigkill_at_any_moment() {
    let shell = Shell::new();
    let lines: String = (1..=120).map(|n| format!("{n}\n")).collect();
    let arguments = "-j4 --journal j --resume echo {} >> log";
    let mut had_ended: HashMap<String, u32> = HashMap::new();
    for kill_after in [1, 20, 45, 70, 95] {
        let (mut program, _errors) = shell.start(arguments, &lines);
        until("so many commands", || {
            let begun = shell.text("log").lines().count() >= kill_after;
            (begun || program.child.try_wait().unwrap().is_some()).then_some(())
        });
        program.child.kill().unwrap();
        program.child.wait().unwrap();
        shell.wait_for_commands();
        // What had ended before did not run again.
        let (now, journal) = (counts(&shell.text("log")), shell.text("j"));
        for (line, count) in &had_ended {
            assert_eq!(now[line], *count, "{line}");
        }
        let lines = ended(&journal).into_iter();
        had_ended = lines.map(|line| (line.clone(), now[&line])).collect();
    }
    let last = shell.run(arguments, lines.as_str());
    assert_eq!((last.status.code(), text(&last.stderr)), (Some(0), ""));
    let now = counts(&shell.text("log"));
    assert_eq!(now.len(), 120);
    had_ended
        .iter()
        .for_each(|(line, count)| assert_eq!(now[line], *count, "{line}"));
    let mut all = ended(&shell.text("j"));
    assert_eq!(all.len(), 120);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 120);
}

#[test]
fn an_entry_has_line_code_and_command() {
    let shell = Shell::new();
    shell.run("-j1 --journal j", "echo a\n\nexit 9\nkill -15 $$\nnul\0\n");
    let entries = "1 0 echo a\n3 9 exit 9\n4 143 kill -15 $$\n5 126 nul\0\n";
    assert_eq!(shell.text("j"), entries);
}

#[test]
fn a_failed_command_runs_again_without_its_entry() {
    let shell = Shell::new();
    let input = "echo a >> log\n[ -e fixed ]\n";
    assert_eq!(shell.run("-j1 --journal j", input).status.code(), Some(1));
    shell.write("fixed", "");
    let resumed = shell.run("--journal j --resume", input);
    assert_eq!(
        (resumed.status.code(), text(&resumed.stderr)),
        (Some(1), "")
    );
    let kept = shell.text("j").replace("2 1 [ -e fixed ]\n", "");
    shell.write("j", &kept);
    assert_eq!(
        shell.run("--journal j --resume", input).status.code(),
        Some(0)
    );
    assert_eq!(shell.text("log"), "a\n");
}

#[test]
fn a_torn_last_line_is_cut() {
    let shell = Shell::new();
    shell.write("j", "1 0 touch a\n2 0 tou");
    let dry = shell.run("--dry-run --journal j --resume touch", "a\n");
    assert!(!dry.status.success(), "the text of the command is another");
    let dry = shell.run("--dry-run --journal j --resume", "touch a\ntouch b\n");
    assert_eq!(text(&dry.stdout), "touch b\n");
    assert_eq!(shell.text("j"), "1 0 touch a\n2 0 tou");
    let output = shell.run("--journal j --resume", "touch a\ntouch b\n");
    assert!(output.status.success());
    assert_eq!(shell.text("j"), "1 0 touch a\n2 0 touch b\n");
    assert!(!shell.path("a").exists() && shell.path("b").exists());
}

#[test]
fn a_journal_that_does_not_fit_is_refused_and_left_as_it_is() {
    for (arguments, journal, named) in [
        (
            "",
            "1 0 echo\n",
            "the journal j: it has entries: give --resume",
        ),
        (
            "--resume",
            "1 0 echo b\n",
            "line 1 was `echo b` and is `touch ran`",
        ),
        ("--resume", "3 0 echo\n", "it has line 3"),
        (
            "--resume",
            "1 touch ran\n",
            "line 1 is no entry: 1 touch ran",
        ),
        ("--resume", "no journal", "its last line is no entry"),
    ] {
        let shell = Shell::new();
        shell.write("j", journal);
        let output = shell.run(&format!("--journal j {arguments}"), "touch ran\n");
        assert_eq!(output.status.code(), Some(1), "{journal}");
        assert!(
            text(&output.stderr).contains(named),
            "{}",
            text(&output.stderr)
        );
        assert!(shell.text("j").starts_with(journal));
        // What comes after the end of the input is known only there.
        assert!(journal.starts_with('3') || !shell.path("ran").exists());
    }
    for (name, named) in [(".", "Is a directory"), ("/dev/zero", "it is no file")] {
        let shell = Shell::new();
        let output = shell.run(&format!("--journal {name}"), "touch ran\n");
        assert_eq!(output.status.code(), Some(1));
        let expected = format!("the journal {name}: {named}");
        assert!(text(&output.stderr).contains(&expected));
        assert!(!shell.path("ran").exists());
    }
}

#[test]
fn two_runs_do_not_share_a_journal() {
    let shell = Shell::new();
    shell.fifo("f");
    let input = "touch on; cat f\n";
    let (mut program, _errors) = shell.start("--journal j", input);
    until("the command", || shell.path("on").exists().then_some(()));
    let second = shell.run("--journal j --resume", input);
    assert_eq!(second.status.code(), Some(1));
    assert!(text(&second.stderr).contains("another run writes to it"));
    shell.release("f");
    assert_eq!(program.end().0.code(), Some(0));
    assert!(shell.run("--journal j --resume", input).status.success());
}

#[test]
fn a_journal_that_cannot_be_written_ends_the_run() {
    let shell = Shell::new();
    shell.write("input", "touch one\ntouch two\n");
    // No file may grow, as on a full disk.
    let script = format!(
        "trap '' XFSZ; ulimit -f 0; exec {} -j1 --arg-file input --journal j",
        env!("CARGO_BIN_EXE_parallel")
    );
    let output = shell.script(&script);
    assert_eq!(output.status.code(), Some(1));
    let errors = text(&output.stderr);
    assert!(errors.contains("the journal j: File too large"), "{errors}");
    assert!(shell.path("one").exists() && !shell.path("two").exists());
}
