//! The program `dupes` as its users see it: what it finds, beside `jdupes`, and how it ends.

use crate::support::arguments::{assert_helps, assert_refused};
use crate::support::groups::{files, groups, jdupes};
use crate::support::terminal::Terminal;
use crate::support::tree::Tree;
use crate::support::{self, Program, command, text, until};
use rustix::process::Signal;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn dupes(dir: &Path) -> Command {
    let mut command = command(env!("CARGO_BIN_EXE_dupes"));
    command.current_dir(dir);
    command
}

/// Runs it to its end.
fn output(dir: &Path, arguments: &[&str]) -> Output {
    support::output(dupes(dir).args(arguments))
}

#[track_caller]
fn assert_finds(output: &Output, groups: &[&[&str]]) {
    let groups = groups.iter().map(|group| group.join("\n") + "\n\n");
    assert_eq!(text(&output.stdout), groups.collect::<String>());
}

#[test]
fn it_finds_what_jdupes_finds_in_a_generated_tree() {
    for seed in 1..=5 {
        let tree = Tree::generated(seed);
        for (ours, theirs) in [(&["--empty"][..], &["-z"][..]), (&[], &[])] {
            let mut command = dupes(tree.path());
            command.args(ours).args(["-0".as_ref(), tree.path()]);
            let ours = support::output(&mut command);
            assert_eq!(ours.status.code(), Some(0), "{}", text(&ours.stderr));
            let ours = groups(&ours.stdout);
            let theirs = groups(&support::output(&mut jdupes(tree.path(), theirs)).stdout);
            assert!(ours.len() > 20, "seed {seed}: only {} groups", ours.len());
            assert_eq!(files(&ours), files(&theirs), "seed {seed}");
            // One name per file, and all in order.
            let sorted = |names: &[PathBuf]| names.is_sorted_by_key(|name| name.as_os_str());
            assert!(ours.iter().all(|group| sorted(group)));
            let first: Vec<_> = ours.iter().map(|group| group[0].clone()).collect();
            assert!(sorted(&first));
            let names: usize = ours.iter().map(Vec::len).sum();
            let files: usize = files(&ours).iter().map(|group| group.len()).sum();
            assert_eq!(names, files);
        }
    }
}

#[test]
fn groups_come_in_order_with_an_empty_line_after_each_and_a_sum_at_the_end() {
    let tree = Tree::new();
    tree.write("b/2", "two");
    tree.write("a", "two");
    tree.write("z", "one");
    tree.write("b/1", "one");
    tree.write("c", "one");
    tree.write("other", "oth");
    tree.write("b.c", "two"); // a dot is less than a slash
    tree.write("empty", "");
    tree.write("void", "");
    let found = output(tree.path(), &[]);
    let groups: [&[&str]; 3] = [
        &["./a", "./b.c", "./b/2"],
        &["./b/1", "./c", "./z"],
        &["./empty", "./void"],
    ];
    assert_finds(&found, &groups[..2]);
    assert_eq!(found.status.code(), Some(0));
    let errors = text(&found.stderr);
    assert!(errors.starts_with("dupes: 9 files in "), "{errors}");
    assert!(
        errors.ends_with(": 2 groups, 4 redundant files, 12 B\n"),
        "{errors}"
    );

    let found = output(tree.path(), &["--empty", "."]);
    assert_finds(&found, &groups);
}

#[test]
fn a_hard_link_is_no_duplicate_and_a_symbolic_one_is_not_followed() {
    let tree = Tree::new();
    let content = "of three names".repeat(1000);
    let file = tree.write("m", &content);
    for name in ["a", "x"] {
        fs::hard_link(&file, tree.path().join(name)).unwrap();
    }
    std::os::unix::fs::symlink(&file, tree.path().join("link")).unwrap();
    assert_finds(&output(tree.path(), &[]), &[]);
    tree.write("copy", &content);
    let found = output(tree.path(), &[]);
    assert_finds(&found, &[&["./a", "./copy"]]);
    let errors = text(&found.stderr);
    assert!(errors.contains(": 1 group, 1 redundant file, "), "{errors}");
    // An argument is followed, and is the same file still.
    assert_finds(&output(tree.path(), &["m", "link"]), &[]);
    assert_finds(
        &output(tree.path(), &["link", "copy"]),
        &[&["copy", "link"]],
    );
}

#[test]
fn a_file_below_two_arguments_is_listed_once() {
    let tree = Tree::new();
    tree.write("in/a", "x");
    tree.write("in/b", "x");
    for arguments in [&[".", "in"][..], &["in", "."], &["./", "in/a", "in/.."]] {
        let found = output(tree.path(), arguments);
        let names = text(&found.stdout).lines().filter(|line| !line.is_empty());
        assert_eq!(names.count(), 2, "{arguments:?}: {found:?}");
    }
}

/// Permissions do not bind a superuser; a path that is longer than the system takes does.
#[test]
fn what_cannot_be_read_is_named_and_the_rest_is_found() {
    let tree = Tree::new();
    let (file, dir) = ("f".repeat(200), "d".repeat(200));
    for name in ["a", "b", &file, &format!("{dir}/in")] {
        tree.write(name, "the same");
    }
    let root = format!("{}.", "./".repeat(2000));
    let found = output(tree.path(), &[&root, "nowhere", "/dev/null"]);
    assert_finds(&found, &[&[&format!("{root}/a"), &format!("{root}/b")]]);
    assert_eq!(found.status.code(), Some(1));
    let errors: Vec<_> = text(&found.stderr).lines().collect();
    assert_eq!(errors.len(), 5, "{errors:#?}");
    for (name, why) in [
        (file.as_str(), "too long"),
        (dir.as_str(), "too long"),
        ("dupes: nowhere", "No such file"),
        ("dupes: /dev/null", "neither a file nor a directory"),
    ] {
        let names = |line: &&&str| line.contains(name) && line.contains(why);
        assert_eq!(
            errors.iter().filter(names).count(),
            1,
            "{name}: {errors:#?}"
        );
    }
}

#[test]
fn a_file_without_permission_is_named() {
    let tree = Tree::new();
    tree.write("a", "the same");
    tree.write("b", "the same");
    let closed = tree.write("closed", "the same");
    fs::set_permissions(&closed, Permissions::from_mode(0o000)).unwrap();
    // A superuser reads it all the same.
    let is_readable = File::open(&closed).is_ok();
    let found = output(tree.path(), &[]);
    match is_readable {
        true => assert_finds(&found, &[&["./a", "./b", "./closed"]]),
        false => {
            assert_finds(&found, &[&["./a", "./b"]]);
            assert!(
                text(&found.stderr).contains("dupes: ./closed: "),
                "{found:?}"
            );
        }
    }
    assert_eq!(found.status.code(), Some(i32::from(!is_readable)));
}

#[test]
fn wrong_arguments_are_named_and_end_with_2() {
    let tree = Tree::new();
    for (arguments, named) in [
        (&["--colour"][..], "--colour"),
        (&["--workers", "0"], "from 1 to 1024"),
        (&["--workers", "many"], "--workers"),
        (&["--open-files", "0"], "not a whole number from 1"),
        (&["--open-files", "-1"], "-1"),
    ] {
        let found = output(tree.path(), arguments);
        assert_refused(&found, named);
    }
}

#[test]
fn help_names_all_options_and_exit_codes() {
    let help = output(Path::new("."), &["--help"]);
    assert_helps(
        &help,
        &[
            "PATH",
            "--empty",
            "--null",
            "--workers",
            "--open-files",
            "Exit codes",
        ],
    );
}

#[test]
fn a_reader_that_has_gone_ends_it_without_a_message() {
    let tree = Tree::new();
    tree.write("a", "x");
    tree.write("b", "x");
    let (reader, writer) = UnixStream::pair().unwrap();
    drop(reader);
    let mut command = dupes(tree.path());
    let command = command.stdout(OwnedFd::from(writer)).stderr(Stdio::piped());
    let found = support::ended(command.spawn().unwrap());
    assert_eq!(found.status.code(), Some(1));
    assert!(!text(&found.stderr).contains("Broken"), "{found:?}");
    assert!(!text(&found.stderr).contains("panicked"), "{found:?}");
}

/// Files that are being read, for as long as the test wants.
#[cfg(target_os = "linux")]
mod reading {
    use super::*;
    use std::collections::BTreeSet;

    struct Endless {
        tree: Tree,
        files: BTreeSet<PathBuf>,
    }

    impl Endless {
        fn new(names: &[&str]) -> Self {
            let tree = Tree::new();
            let files = names.iter().map(|name| tree.write_endless(name));
            let files = files.collect();
            Self { tree, files }
        }

        fn command(&self, arguments: &[&str]) -> Command {
            let mut command = dupes(self.tree.path());
            command.args(arguments).stderr(Stdio::piped());
            command
        }

        /// Returns those that the program has open.
        fn open(&self, program: &Program) -> BTreeSet<PathBuf> {
            let fds = fs::read_dir(format!("/proc/{}/fd", program.child.id()));
            let links = fds.unwrap().flatten().map(|fd| fs::read_link(fd.path()));
            let open = links.flatten();
            open.filter(|file| self.files.contains(file)).collect()
        }

        fn wait_until_all_are_open(&self, program: &Program) {
            until("the files to be read", || {
                (self.open(program) == self.files).then_some(())
            });
        }

        /// Makes the file an empty one, so that its reader comes to an end.
        fn end(&mut self, file: &Path) {
            File::create(file).unwrap();
            self.files.remove(file);
        }
    }

    fn errors(program: &mut Program) -> String {
        let errors = program.child.stderr.take().unwrap();
        io::read_to_string(errors).unwrap()
    }

    #[test]
    fn the_gate_bounds_the_open_files_whatever_the_number_of_threads() {
        let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
        let mut endless = Endless::new(&names);
        let mut command = endless.command(&["--workers", "9", "--open-files", "3"]);
        let mut program = Program::start(&mut command);
        while !endless.files.is_empty() {
            let open = until("three files to be read", || {
                let open = endless.open(&program);
                assert!(open.len() <= 3, "{open:?}");
                (open.len() == 3).then_some(open)
            });
            for file in open {
                endless.end(&file);
            }
        }
        assert_eq!(program.end().0.code(), Some(1));
        let errors = errors(&mut program);
        assert_eq!(errors.matches("its length has changed").count(), 9);
    }

    #[test]
    fn ctrl_c_leaves_the_files_and_prints_no_group() {
        for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
            let endless = Endless::new(&["a", "b"]);
            endless.tree.write("c", "the same");
            endless.tree.write("d", "the same");
            let mut program = Program::start(&mut endless.command(&["--workers", "2"]));
            endless.wait_until_all_are_open(&program);
            program.signal(signal);
            let (status, lines) = program.end();
            assert_eq!(status.code(), Some(130));
            assert_eq!(lines, Vec::<String>::new());
            assert_eq!(errors(&mut program), "");
        }
    }

    #[test]
    fn a_file_that_changes_is_named_and_in_no_group() {
        let mut endless = Endless::new(&["a", "b"]);
        let mut program = Program::start(&mut endless.command(&["--workers", "2"]));
        endless.wait_until_all_are_open(&program);
        for file in endless.files.clone() {
            endless.end(&file); // both have the same content again
        }
        let (status, lines) = program.end();
        assert_eq!(status.code(), Some(1));
        assert_eq!(lines, Vec::<String>::new());
        let errors = errors(&mut program);
        for file in ["./a", "./b"] {
            let line = format!("dupes: {file}: its length has changed meanwhile\n");
            assert!(errors.contains(&line), "{errors}");
        }
    }

    #[test]
    fn a_terminal_shows_the_rate_and_the_time_left_and_is_clean_after_that() {
        let endless = Endless::new(&["a", "b"]);
        let mut terminal = Terminal::new();
        let before = terminal.modes();
        let mut command = endless.command(&[]);
        terminal.attach(&mut command);
        let mut program = Program::silent(command.spawn().unwrap());
        drop(command);
        terminal.wait_for("contents", false);
        terminal.wait_for("/s, ", false);
        terminal.wait_for(" left", false);
        program.signal(Signal::INT);
        assert_eq!(program.end().0.code(), Some(130));
        terminal.finish();
        let text = terminal.text();
        assert!(!text.contains("contents"), "{text}");
        assert_eq!(terminal.modes(), before);
    }
}
