//! The option `--check` of the example `checksum`, beside `sha256sum -c`.

use crate::checksum::{checksum, line, program, words};
use crate::example::Dir;
use crate::running::{Ended, Running};
use crate::signals::with_signals;
use crate::support::LONG;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// What the other program answers in this directory.
fn sha256sum(dir: &Dir, arguments: &[&str]) -> Ended {
    let mut command = Command::new("sha256sum");
    command.current_dir(dir.path()).args(arguments);
    Running::start(command.env("LC_ALL", "C")).end()
}

/// Whether this machine has it.
fn has_sha256sum() -> bool {
    Command::new("sha256sum").arg("--version").output().is_ok()
}

/// The messages, in the words of the other program.
fn messages(ours: &Ended) -> Vec<String> {
    let words = ours.problems().map(|line| {
        let line = line.replace("checksum: ", "sha256sum: ");
        let end = line.find(" (os error").unwrap_or(line.len());
        line[..end].to_owned()
    });
    words.collect()
}

/// Writes a list, and compares the two answers to it.
#[track_caller]
fn assert_answers_alike(dir: &Dir, list: impl AsRef<[u8]>, code: i32) -> Ended {
    dir.write("LIST", list);
    let theirs = sha256sum(dir, &["--check", "LIST"]);
    let ours = checksum(dir.path(), &words(&["--check", "LIST"]));
    assert_eq!(
        String::from_utf8_lossy(&ours.out),
        String::from_utf8_lossy(&theirs.out)
    );
    assert_eq!(ours.out, theirs.out);
    assert_eq!(messages(&ours), theirs.errors);
    assert_eq!(ours.status.code(), theirs.status.code());
    assert_eq!(ours.status.code(), Some(code));
    ours
}

/// One with a backslash or a carriage return has a line break, too: without that, some versions of
/// `sha256sum -c` print it as it is.
const NAMES: [&[u8]; 9] = [
    b"a",
    b" ",
    b"*star",
    b" two  blanks ",
    b"line\nbreak",
    b"\\n\\\n\r\\r",
    b"not\xff\xfeutf-8",
    b"brackets) = (",
    b"deep/er/file",
];

fn named_files() -> Dir {
    let dir = Dir::new();
    for name in NAMES {
        // Apple's file systems take no such names.
        if cfg!(not(target_vendor = "apple")) || std::str::from_utf8(name).is_ok() {
            dir.write(OsStr::from_bytes(name), name);
        }
    }
    dir
}

#[test]
fn lists_of_all_forms_are_answered_as_by_sha256sum() {
    if !has_sha256sum() {
        return;
    }
    let dir = named_files();
    let names: Vec<_> = fs::read_dir(dir.path()).unwrap().flatten().collect();
    for option in ["--text", "--binary", "--tag"] {
        let mut command = Command::new("sha256sum");
        command.current_dir(dir.path()).args([option, "--"]);
        command.args(names.iter().map(fs::DirEntry::file_name));
        let mut list = command.output().unwrap().stdout;
        let ended = assert_answers_alike(&dir, &list, 0);
        assert_eq!(ended.problems().count(), 0);
        assert!(ended.out.windows(4).filter(|text| text == b": OK").count() >= 8);

        // Other sums for the same names.
        for line in list.split_mut(|byte| *byte == b'\n') {
            let from_sum = match option {
                "--tag" => line.len().saturating_sub(64),
                _ => line.iter().position(u8::is_ascii_hexdigit).unwrap_or(0),
            };
            if let Some(digit) = line.get_mut(from_sum) {
                *digit = if *digit == b'0' { b'1' } else { b'0' };
            }
        }
        let ended = assert_answers_alike(&dir, &list, 1);
        assert!(ended.problems().any(|line| line.contains("did NOT match")));
    }
}

#[test]
fn what_is_wrong_with_a_list_is_reported_as_by_sha256sum() {
    if !has_sha256sum() {
        return;
    }
    let dir = Dir::new();
    dir.write("a", "a");
    dir.write("b", "b");
    let good = line("a", b"a");
    let sum = &good[..64];
    let (short, missing, bad) = (&sum[1..], line("nowhere", b""), line("b", b"other"));
    let upper = format!("{}  a\n", sum.to_uppercase());
    for (list, code) in [
        (good.clone(), 0),
        // No line is broken off at the end.
        (good.trim_end().to_owned(), 0),
        (format!("\n# a comment\n\n  \t{good}"), 0),
        (format!("{sum}  a\r\n{sum}  b\r\n"), 1),
        (upper, 0),
        (missing.clone(), 1),
        (format!("{good}{missing}{missing}{good}"), 1),
        (bad.clone(), 1),
        (format!("{bad}{good}{bad}"), 1),
        (format!("{good}no sum\n"), 0),
        (format!("{good}no sum\n{short}  a\n"), 0),
        (format!("no sum\n{bad}{missing}{good}"), 1),
        (format!("{good}g{short}  a\n{sum}0  a\n{sum}\n"), 0),
        (format!("{good}\\{sum}  a\\x\n\\{sum}  a\\\n"), 0),
        (format!("SHA256 (a) = {sum}\nSHA256(a)= {sum}\n"), 0),
        (format!("SHA256 (a) = {sum}\nSHA256 (a = {sum}\n"), 0),
        (format!("SHA256 (a) = {sum}\nSHA256 a) = {sum}\n"), 0),
        (format!("SHA256 (a) = {sum}\nSHA256 (a) {sum}\n"), 0),
        (format!("SHA256 (a) = {sum}\nSHA256 (a) = {short}\n"), 0),
        (format!("SHA256 (a) = {sum}\nSHA256 (a) = {sum}0\n"), 0),
        (format!("SHA256 (a) = {sum}\nSHA1 (a) = {sum}\n"), 0),
        ("no sum\n".to_owned(), 1),
        (String::new(), 1),
    ] {
        assert_answers_alike(&dir, list, code);
    }
    // The directory itself.
    let list = format!("{sum}  .\n");
    dir.write("LIST", list);
    let ours = checksum(dir.path(), &words(&["--check", "LIST"]));
    assert_eq!(ours.out, sha256sum(&dir, &["--check", "LIST"]).out);
    assert_eq!(ours.status.code(), Some(1));
}

#[test]
fn a_list_that_cannot_be_read_is_named() {
    let dir = Dir::new();
    for list in ["nowhere", "."] {
        let ended = checksum(dir.path(), &words(&["--check", list]));
        assert_eq!(ended.status.code(), Some(1));
        assert!(ended.out.is_empty());
        let named = format!("checksum: {list}: ");
        assert!(ended.errors[0].starts_with(&named), "{ended:?}");
    }
}

#[test]
fn the_answers_come_in_the_order_of_the_list_and_the_sum_at_the_end() {
    let dir = Dir::new();
    let (mut list, mut answers) = (String::new(), String::new());
    for number in (0..100).rev() {
        // The first is the largest.
        let (name, content) = (format!("{number}"), vec![b'.'; number * 5000]);
        dir.write(&name, &content);
        list += &line(&name, &content);
        answers += &format!("{name}: OK\n");
    }
    dir.write("LIST", list);
    for workers in ["1", "7"] {
        let arguments = ["--workers", workers, "--open-files", "3", "--check", "LIST"];
        let ended = checksum(dir.path(), &words(&arguments));
        assert_eq!(String::from_utf8_lossy(&ended.out), answers);
        let [sum] = &ended.errors[..] else {
            panic!("{ended:?}");
        };
        let begin = "checksum: 100/100 files, 24.75 MB in ";
        assert!(sum.starts_with(begin), "{sum}");
    }
}

#[test]
fn its_own_output_is_a_list_on_the_standard_input() {
    let dir = named_files();
    dir.write("back\\slash", "");
    dir.write("carriage\rreturn", "");
    let list = checksum(dir.path(), &[]).out;
    let mut command = Command::new(program());
    command.current_dir(dir.path()).args(["--check", "-"]);
    let mut child = Running::start(command.stdin(Stdio::piped()));
    child.stdin().write_all(&list).unwrap();
    child.close_stdin();
    let ended = child.end();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    // With the same marks and the same names.
    let mut answers = Vec::new();
    for line in list.split_inclusive(|byte| *byte == b'\n') {
        let mark = usize::from(line[0] == b'\\');
        let name = &line[mark + 64 + 2..line.len() - 1];
        answers.extend([&line[..mark], name, b": OK\n"].concat());
    }
    assert_eq!(ended.out, answers);
}

/// Makes a pipe with a name.
fn pipe(dir: &Dir, name: &str) {
    let made = Command::new("mkfifo").arg(dir.path().join(name)).status();
    assert!(made.unwrap().success());
}

/// Waits until one of the pipes has a reader, and returns its name and the side to write to.
fn await_reader<'a>(dir: &Dir, names: [&'a str; 2]) -> (&'a str, File) {
    let begun = Instant::now();
    let mut options = File::options();
    // It fails as long as there is no reader.
    options.write(true).custom_flags(libc::O_NONBLOCK);
    loop {
        for name in names {
            if let Ok(writer) = options.open(dir.path().join(name)) {
                return (name, writer);
            }
        }
        assert!(begun.elapsed() < LONG, "neither pipe is read");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Both workers are free, but the gate lets one file be open. The other task waits at the gate, so
/// the signal cancels it; a task that had begun would wait for a writer of its pipe.
#[test]
fn the_gate_bounds_the_open_files_and_a_signal_cancels_what_waits_there() {
    let dir = Dir::new();
    let names = ["one", "two"];
    for name in names {
        pipe(&dir, name);
    }
    dir.write("LIST", names.map(|name| line(name, b"written")).concat());
    let mut command = Command::new(program());
    command.current_dir(dir.path());
    command.args(["--workers", "2", "--open-files", "1", "--check", "LIST"]);
    let mut child = Running::start(with_signals(&mut command, &[]));

    // The two workers take a task each, and either may come to the gate first.
    let (name, mut writer) = await_reader(&dir, names);
    child.signal(libc::SIGTERM);
    child.await_error("no further file is taken");
    writer.write_all(b"written").unwrap();
    drop(writer);
    let ended = child.end();
    assert_eq!(String::from_utf8_lossy(&ended.out), format!("{name}: OK\n"));
    assert_eq!(ended.status.code(), Some(130), "{ended:?}");
    // Other threads write there, too.
    let sum = "checksum: 1/2 files, 7 B in ";
    let mut errors = ended.errors.iter();
    assert!(errors.any(|line| line.starts_with(sum)), "{ended:?}");
}
