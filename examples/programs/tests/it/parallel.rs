//! The program `parallel`: its arguments, its commands, and what it prints.

use crate::support::arguments::{assert_helps, assert_refused};
use crate::support::shell::Shell;
use crate::support::terminal::Terminal;
use crate::support::{Program, text, until};
use std::fmt::Write as _;
use std::fs;
use std::io::Write;
use std::process::Stdio;

#[test]
fn help_names_all_options_and_exit_codes() {
    let help = Shell::new().run("--help", "");
    assert_helps(
        &help,
        &[
            "--jobs",
            "--arg-file",
            "--timeout",
            "--retries",
            "--rate",
            "--keep-order",
            "--halt-on-error",
            "--dry-run",
            "--journal",
            "--resume",
            "{}",
            "Exit codes",
        ],
    );
}

#[test]
fn wrong_arguments_are_named_and_end_with_2() {
    for (arguments, named) in [
        ("--colour", "--colour"),
        ("--jobs 0", "not a whole number from 1 to 10000"),
        ("--jobs -1", "not a whole number from 1 to 10000"),
        ("--retries many", "not a whole number from 0"),
        ("--timeout 0", "above 0"),
        ("--timeout soon", "a number of seconds"),
        ("--rate 5/d", "s, m or h"),
        ("--retries few", "--retries"),
        ("--resume", "--journal"),
    ] {
        let output = Shell::new().run(arguments, "echo\n");
        assert_refused(&output, named);
    }
}

#[test]
fn an_input_that_cannot_be_read_is_named() {
    let shell = Shell::new();
    let missing = shell.run("--arg-file missing", "");
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).contains("missing: No such file"));
    let directory = shell.run("--arg-file .", "");
    assert_eq!(directory.status.code(), Some(1));
    assert!(text(&directory.stderr).contains(".: Is a directory"));
}

#[test]
fn a_dash_is_the_standard_input() {
    let output = Shell::new().run("--arg-file - echo", "one\n");
    assert_eq!(text(&output.stdout), "one\n");
}

#[test]
fn more_jobs_than_files_may_be_open_are_refused() {
    let shell = Shell::new();
    let parallel = env!("CARGO_BIN_EXE_parallel");
    let script = format!("ulimit -n 64; echo 1 | {parallel} --jobs 100 --journal j echo");
    let output = shell.script(&script);
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(error.contains("--jobs 100 needs 212 open files"), "{error}");
    assert!(error.contains("64 are allowed (ulimit -n)"), "{error}");
    assert!(!shell.path("j").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_named_where_the_help_or_a_dry_run_goes() {
    let parallel = env!("CARGO_BIN_EXE_parallel");
    for arguments in ["--help", "--dry-run echo"] {
        let script = format!("echo 1 | {parallel} {arguments} > /dev/full");
        let output = Shell::new().script(&script);
        assert_eq!(output.status.code(), Some(1), "{arguments}");
        let error = text(&output.stderr);
        let named = "parallel: the standard output: No space left";
        assert!(error.contains(named), "{arguments}: {error}");
    }
}

#[test]
fn each_line_is_a_command() {
    let shell = Shell::new();
    let good = shell.run(
        "-k",
        "echo one; echo two\n\n \necho 'th  ree' | tr h H\necho end",
    );
    assert_eq!(text(&good.stdout), "one\ntwo\ntH  ree\nend\n");
    assert_eq!((good.status.code(), text(&good.stderr)), (Some(0), ""));
    // They have no input, and those of `parallel` is not theirs.
    assert_eq!(text(&shell.run("", "cat\necho x\n").stdout), "x\n");
    assert_eq!(shell.run("", "").status.code(), Some(0));
}

#[test]
fn a_failure_is_named_and_ends_with_1() {
    let commands = "echo a; echo b >&2; exit 3\n\nkill -9 $$\n-x\necho c\nnul\0\n";
    let output = Shell::new().run("-k", commands);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "a\nc\n");
    let errors = text(&output.stderr);
    assert!(errors.starts_with("b\nparallel: line 1: exit status: 3: echo a;"));
    assert!(errors.contains("parallel: line 3: signal: 9 (SIGKILL): kill -9 $$\n"));
    assert!(errors.contains("parallel: line 4: exit status: 127: -x\n"));
    assert!(
        errors.contains("parallel: line 6: not started: nul byte"),
        "{errors}"
    );
}

#[test]
fn a_placeholder_is_one_word_whatever_the_line_is() {
    let shell = Shell::new();
    let lines = b"a  b\nit's \"so\"\n$(touch x)`touch x`\n-n\n\\\n*\n~\n{}\n\xff\n; false\n";
    for template in ["printf '%s\\n' {}", "printf '%s\\n'"] {
        let output = shell.run(&format!("-k {template}"), lines);
        assert_eq!(output.stdout, lines);
        assert!(output.status.success());
    }
    assert!(!shell.path("x").exists());
    let twice = shell.run("echo {}-{} --jobs", "a b\n");
    assert_eq!(text(&twice.stdout), "a b-a b --jobs\n");
}

#[test]
fn a_dry_run_prints_the_commands_in_order_and_runs_none() {
    let shell = Shell::new();
    let (mut lines, mut commands) = (String::new(), String::new());
    for n in 0..100_000 {
        writeln!(lines, "it's {n}").unwrap();
        writeln!(commands, r"touch 'it'\''s {n}'").unwrap();
    }
    let output = shell.run("--dry-run -j8 --journal j touch", lines);
    assert!(output.status.success());
    assert!(text(&output.stdout) == commands);
    let nothing = shell.run("--dry-run", "exit 1\n");
    assert_eq!(
        (nothing.status.code(), text(&nothing.stdout)),
        (Some(0), "exit 1\n")
    );
    assert!(!shell.path("it's 0").exists() && !shell.path("j").exists());
}

#[test]
fn so_many_run_at_a_time_and_no_more() {
    let shell = Shell::new();
    // Each of them waits for the other: they run at once.
    shell.fifo("f");
    let both = shell.run("-j2", "cat f\necho x > f\n");
    assert_eq!((both.status.code(), text(&both.stdout)), (Some(0), "x\n"));
    fs::create_dir(shell.path("running")).unwrap();
    // The commands start in the order of the input.
    let order: String = (0..300).map(|n| format!("echo {n}\n")).collect();
    let in_turn = shell.run("-j1", order.as_str());
    assert_eq!(text(&in_turn.stdout), order.replace("echo ", ""));
    let count = "touch running/{}; ls running | wc -l; rm running/{}";
    let numbers: String = (0..60).map(|n| format!("{n}\n")).collect();
    let output = shell.run(&format!("-j3 {count}"), numbers);
    let counts: Vec<u32> = text(&output.stdout)
        .lines()
        .map(|count| count.trim().parse().unwrap())
        .collect();
    assert_eq!(counts.len(), 60);
    assert!(
        counts.iter().all(|count| (1..=3).contains(count)),
        "{counts:?}"
    );
}

#[test]
fn outputs_do_not_mix() {
    let shell = Shell::new();
    shell.fifo("f");
    shell.fifo("g");
    let first = "echo a1; echo a3 >&2; echo > f; cat g; echo a2; echo a4 >&2";
    let second = "cat f; echo b1; echo b3 >&2; echo > g; echo b2; echo b4 >&2";
    let output = shell.run("-j2 -k", format!("{first}\n{second}\n"));
    assert_eq!(text(&output.stdout), "a1\n\na2\n\nb1\nb2\n");
    assert_eq!(text(&output.stderr), "a3\na4\nb3\nb4\n");
}

#[test]
fn outputs_come_as_commands_end_or_in_order() {
    let shell = Shell::new();
    shell.fifo("f");
    let (mut program, _errors) = shell.start("-j2", "cat f; echo 1\necho 2\necho 3\n");
    // With both of them at once, the later one may be first.
    let mut two = [program.line(), program.line()];
    two.sort();
    assert_eq!(two, ["2", "3"]);
    shell.release("f");
    let (status, lines) = program.end();
    assert_eq!(
        (status.code(), &lines[..]),
        (Some(0), &["1".to_owned()][..])
    );

    // The first command waits for those of so many lines behind it, which have ended.
    let many: String = (2..=60).map(|n| format!("echo {n}\n")).collect();
    let input = format!("cat f; echo 1\n{many}touch ended\n");
    let (mut program, _errors) = shell.start("-j2 --keep-order", &input);
    until("the end of the last command", || {
        shell.path("ended").exists().then_some(())
    });
    shell.release("f");
    let (status, lines) = program.end();
    let numbers: Vec<_> = (1..=60).map(|n| n.to_string()).collect();
    assert_eq!((status.code(), lines), (Some(0), numbers));
}

#[test]
fn a_line_starts_as_soon_as_it_is_there() {
    for arguments in ["", "-j1 --keep-order", "--dry-run"] {
        let shell = Shell::new();
        let mut command = shell.parallel(arguments);
        let mut program = Program::start(command.stdin(Stdio::piped()).arg("echo"));
        let mut stdin = program.child.stdin.take().unwrap();
        for n in 0..5 {
            writeln!(stdin, "{n}").unwrap();
            let line = program.line();
            assert!(line.ends_with(&n.to_string()) || line.ends_with(&format!("'{n}'")));
        }
        drop(stdin);
        assert_eq!(program.end().0.code(), Some(0));
    }
}

#[test]
fn an_endless_input_and_a_reader_that_leaves() {
    for arguments in ["-j2 echo", "--keep-order echo", "--dry-run"] {
        let shell = Shell::new();
        let script = format!(
            "yes line | {{ {} {arguments}; echo $? > code; }} 2> errors | head -3",
            env!("CARGO_BIN_EXE_parallel")
        );
        assert_eq!(text(&shell.script(&script).stdout), "line\nline\nline\n");
        assert_eq!(
            (shell.text("code").trim(), shell.text("errors").as_str()),
            ("1", "")
        );
    }
}

#[test]
fn large_outputs_are_whole_and_not_in_memory() {
    let shell = Shell::new();
    shell.fifo("f");
    let large = "head -c 60000000 /dev/zero | tr '\\0' 'a'";
    let input = format!("{large}\n{large} >&2\ntouch ended; cat f\n");
    let file = |name| fs::File::create(shell.path(name)).unwrap();
    let mut command = shell.parallel("-j1");
    command.stdout(file("out")).stderr(file("err"));
    let child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut program = Program::silent(child);
    let mut stdin = program.child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    until("the end of the others", || {
        shell.path("ended").exists().then_some(())
    });
    let length = |name| fs::metadata(shell.path(name)).unwrap().len();
    until("all output", || {
        ((length("out"), length("err")) == (60_000_000, 60_000_000)).then_some(())
    });
    if let Ok(status) = fs::read_to_string(format!("/proc/{}/status", program.child.id())) {
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes: u32 = peak.unwrap().trim_end_matches("kB").trim().parse().unwrap();
        assert!(kilobytes < 40_000, "{kilobytes} kB");
    }
    drop(stdin);
    shell.release("f");
    assert_eq!(program.end().0.code(), Some(0));
    let out = fs::read(shell.path("out")).unwrap();
    assert!(out.iter().all(|byte| *byte == b'a'));
}

#[test]
fn progress_is_on_a_terminal_only() {
    let shell = Shell::new();
    shell.fifo("f");
    shell.write("input", "false\nprintf one\n\ncat f\n");
    let mut terminal = Terminal::new();
    let mut command = shell.parallel("-j1 --arg-file input");
    terminal.attach(&mut command);
    let mut program = Program::silent(command.spawn().unwrap());
    terminal.wait_for("2 of 3 ended, 1 failed", false);
    assert!(terminal.text().contains("one"));
    shell.release("f");
    assert_eq!(program.end().0.code(), Some(1));
    terminal.finish();
    assert!(!terminal.text().contains(" ended"), "{}", terminal.text());
}
