//! The example `checksum` as a program of its own: what it prints, and how it ends.

pub(crate) use crate::example::{Dir, example};
pub(crate) use crate::running::{Ended, Running};
use crate::support::must_recv;
use sha2::{Digest, Sha256};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) fn program() -> PathBuf {
    example("checksum")
}

/// The line for a file of this name and content.
pub(crate) fn line(name: &str, content: &[u8]) -> String {
    let digest = Sha256::digest(content);
    let sum: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{sum}  {name}\n")
}

/// The program, to be run in `dir`. Where signals are ignored it warns of that, which is not looked
/// at here.
fn program_in(dir: &Path) -> Command {
    let mut command = Command::new(program());
    command.current_dir(dir).env("RUST_LOG", "error");
    command
}

/// Runs the program in `dir`.
pub(crate) fn checksum(dir: &Path, arguments: &[&OsStr]) -> Ended {
    Running::start(program_in(dir).args(arguments)).end()
}

pub(crate) fn words<'a>(words: &'a [&'a str]) -> Vec<&'a OsStr> {
    words.iter().map(OsStr::new).collect()
}

fn text(ended: &Ended) -> &str {
    std::str::from_utf8(&ended.out).expect("these names are UTF-8")
}

#[test]
fn it_prints_the_known_sums_of_known_contents() {
    let dir = Dir::new();
    // The examples of FIPS 180-2, appendix B, and the empty message.
    dir.write(
        "b/two-blocks",
        "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
    );
    dir.write("abc", "abc");
    dir.write("b/million", vec![b'a'; 1_000_000]);
    dir.write("empty", "");
    let ended = checksum(dir.path(), &[]);
    assert_eq!(
        text(&ended),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  ./abc\n\
         cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0  ./b/million\n\
         248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1  ./b/two-blocks\n\
         e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  ./empty\n"
    );
    assert_eq!(ended.status.code(), Some(0));
    let [sum] = &ended.errors[..] else {
        panic!("{:?}", ended.errors);
    };
    assert!(sum.starts_with("checksum: 4/4 files, 1.00 MB in "), "{sum}");
}

#[test]
fn a_directory_that_is_named_stands_in_the_paths_as_it_was_named() {
    let dir = Dir::new();
    dir.write("in/a", "a");
    let inside = dir.path().join("in");
    for (named, printed) in [
        ("in", "in/a"),
        ("in/", "in/a"),
        ("./in", "./in/a"),
        ("in/.", "in/./a"),
    ] {
        let ended = checksum(dir.path(), &words(&[named]));
        assert_eq!(text(&ended), line(printed, b"a"));
    }
    let ended = checksum(dir.path(), &[inside.as_os_str()]);
    assert_eq!(text(&ended), line(inside.join("a").to_str().unwrap(), b"a"));
}

#[test]
fn an_empty_directory_prints_nothing_and_is_no_failure() {
    let dir = Dir::new();
    fs::create_dir(dir.path().join("empty")).unwrap();
    let ended = checksum(dir.path(), &[]);
    assert_eq!(
        (ended.out.as_slice(), ended.status.code()),
        (&b""[..], Some(0))
    );
}

#[test]
fn the_lines_are_sorted_by_the_bytes_of_the_whole_path() {
    let dir = Dir::new();
    // A slash is a byte like any other: between a dot and a zero.
    let names = ["./A", "./a.b/x", "./a.c", "./a/x", "./a0", "./b", "./é"];
    for name in names {
        dir.write(name, "");
    }
    let expected: String = names.map(|name| line(name, b"")).concat();
    for workers in ["1", "2", "7"] {
        let ended = checksum(dir.path(), &words(&["--workers", workers]));
        assert_eq!(text(&ended), expected, "{workers} workers");
    }
}

#[test]
fn what_is_missing_is_reported_by_name_and_fails() {
    let dir = Dir::new();
    let ended = checksum(dir.path(), &words(&["no-such-place"]));
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.out.is_empty());
    assert!(
        ended.errors.concat().contains("no-such-place"),
        "{:?}",
        ended.errors
    );
}

#[test]
fn bad_arguments_are_refused_with_a_clear_message() {
    let dir = Dir::new();
    dir.write("a", "");
    let cases: [(&[&str], &str); 17] = [
        (&["--workers"], "--workers takes a number"),
        (&["--workers", "many"], "`many`"),
        (&["--workers=many"], "`many`"),
        (&["--workers", "1025"], "it must be from 1 to 1024"),
        (&["--worker=1"], "no option `--worker`"),
        (&["--", "--", "-x"], "`-x` is a second"),
        (&["--workers", "-1"], "`-1`"),
        (&["--workers", "0"], "it must be from 1"),
        (&["--worker", "1"], "no option `--worker`"),
        (&["-x"], "no option `-x`"),
        (&[".", ".."], "`..` is a second"),
        (&["--open-files"], "--open-files takes a number"),
        (&["--open-files", "few"], "`few`"),
        (&["--open-files", "0"], "it must be at least 1"),
        (&["--check"], "--check takes the name of a list"),
        (&["--check", "list", "."], "no directory: `.`"),
        (&[".", "--check", "list"], "no directory: `.`"),
    ];
    for (arguments, message) in cases {
        let ended = checksum(dir.path(), &words(arguments));
        assert_eq!(ended.status.code(), Some(2), "{arguments:?}");
        assert!(ended.out.is_empty(), "{arguments:?}");
        let errors = ended.errors.join("\n");
        assert!(errors.contains(message), "{arguments:?}: {errors}");
        assert!(
            errors.contains("usage: checksum"),
            "{arguments:?}: {errors}"
        );
    }
}

#[test]
fn options_are_written_as_elsewhere() {
    let dir = Dir::new();
    dir.write("-dash/a", "a");
    let sum = line("-dash/a", b"a");
    for arguments in [
        &["--", "-dash"][..],
        &["--workers=2", "--open-files=1", "--", "-dash"],
    ] {
        let ended = checksum(dir.path(), &words(arguments));
        assert_eq!(text(&ended), sum, "{arguments:?}");
    }
    dir.write("list", &sum);
    for arguments in [&["-c", "list"][..], &["--check=list"]] {
        let ended = checksum(dir.path(), &words(arguments));
        assert_eq!(text(&ended), "-dash/a: OK\n", "{arguments:?}");
    }
}

#[test]
fn help_names_all_options_and_exit_codes() {
    let dir = Dir::new();
    for option in ["--help", "-h"] {
        let help = checksum(dir.path(), &words(&[option]));
        assert_eq!(help.status.code(), Some(0));
        for word in ["DIR", "--check", "--workers", "--open-files", "Exit codes"] {
            assert!(text(&help).contains(word), "{word}");
        }
    }
}

#[cfg(unix)]
mod unix {
    use super::*;
    use std::io::Read;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    use std::process::Stdio;
    use std::sync::mpsc;
    use std::thread;

    /// Whether this machine has the program that ours is modelled on.
    fn has_sha256sum() -> bool {
        Command::new("sha256sum").arg("--version").output().is_ok()
    }

    /// Names that a program which treats them as text gets wrong.
    fn odd_names(dir: &Dir) {
        for name in [
            &b" "[..],
            b"-n",
            b"a  b",
            b"back\\slash",
            b"line\nbreak",
            b"\\n",
            b"not\xff\xfeutf-8",
            b"quote'\"",
            b"*",
            b"deep/er/and/er/file",
        ] {
            // Apple's file systems take no such names.
            if cfg!(not(target_vendor = "apple")) || std::str::from_utf8(name).is_ok() {
                dir.write(OsStr::from_bytes(name), name);
            }
        }
        dir.write("empty", "");
        dir.write("long", vec![7; 300_001]);
    }

    #[test]
    fn it_prints_what_sha256sum_prints() {
        if !has_sha256sum() {
            return;
        }
        let dir = Dir::new();
        odd_names(&dir);
        let theirs = Command::new("sh")
            .arg("-c")
            .arg("find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum")
            .current_dir(dir.path())
            .output()
            .unwrap();
        let ours = checksum(dir.path(), &[]);
        assert_eq!(
            String::from_utf8_lossy(&ours.out),
            String::from_utf8_lossy(&theirs.stdout)
        );
        assert_eq!(ours.out, theirs.stdout);
        assert_eq!(ours.status.code(), Some(0));
    }

    #[test]
    fn sha256sum_accepts_the_output() {
        if !has_sha256sum() {
            return;
        }
        let dir = Dir::new();
        odd_names(&dir);
        let ours = checksum(dir.path(), &[]);
        let sums = Dir::new();
        let sums = sums.write("SUMS", &ours.out);
        let check = || {
            let mut command = Command::new("sha256sum");
            command.args(["--check", "--strict", "--quiet"]).arg(&sums);
            command.current_dir(dir.path()).output().unwrap()
        };
        let verdict = check();
        assert!(verdict.status.success(), "{verdict:?}");
        // So that the verdict means something: a file that has changed is found.
        dir.write("empty", "no longer");
        assert!(!check().status.success());
    }

    #[test]
    fn names_with_backslashes_and_line_breaks_are_escaped() {
        let dir = Dir::new();
        dir.write("a\\b\nc\rd", "");
        let ended = checksum(dir.path(), &[]);
        assert_eq!(text(&ended), format!("\\{}", line("./a\\\\b\\nc\\rd", b"")));
    }

    #[test]
    fn only_regular_files_are_read_and_links_are_not_followed() {
        let dir = Dir::new();
        dir.write("sub/file", "x");
        symlink("sub/file", dir.path().join("link-to-file")).unwrap();
        symlink("sub", dir.path().join("link-to-dir")).unwrap();
        symlink("..", dir.path().join("sub/circle")).unwrap();
        symlink("nowhere", dir.path().join("dangling")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket"));
        let ended = checksum(dir.path(), &[]);
        assert_eq!(text(&ended), line("./sub/file", b"x"));
        assert_eq!(ended.status.code(), Some(0), "{:?}", ended.errors);
    }

    /// `script` gives it a terminal.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_terminal_shows_progress_with_rate_and_time_left() {
        let dir = Dir::new();
        for n in 0..9 {
            dir.write(format!("f{n}"), vec![n; 100_000]);
        }
        let mut script = Command::new("script");
        let program = program();
        let run = format!("{} .", program.to_str().unwrap());
        script.args(["-qec", &run, "/dev/null"]);
        script.current_dir(dir.path()).env("TERM", "xterm");
        let ended = Running::start(&mut script).end();
        assert!(ended.status.success());
        let screen = String::from_utf8_lossy(&ended.out).into_owned();
        for part in ["/9 files, ", "B/s, ", " left"] {
            assert!(screen.contains(part), "{part:?}: {screen}");
        }
        // Without a terminal there is none.
        let plain = checksum(dir.path(), &words(&["."]));
        assert!(plain.errors.iter().all(|line| !line.contains(" left")));
    }

    #[test]
    fn a_reader_that_has_gone_ends_it_quietly() {
        let dir = Dir::new();
        for n in 0..20 {
            dir.write(format!("{n}"), "");
        }
        let (reader, writer) = std::os::unix::net::UnixStream::pair().unwrap();
        drop(reader);
        let mut child = program_in(dir.path())
            .stdout(Stdio::from(std::os::fd::OwnedFd::from(writer)))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            let mut errors = String::new();
            let _ = stderr.read_to_string(&mut errors);
            tell.send(errors)
        });
        assert_eq!(must_recv(&told), "");
        assert_eq!(child.wait().unwrap().code(), Some(1));
    }

    /// Permissions do not bind a superuser; a path that is longer than the system takes does.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_and_a_directory_that_cannot_be_read_are_reported_and_the_rest_goes_on() {
        let dir = Dir::new();
        dir.write("a", "a");
        let (file, folder) = ("f".repeat(200), "d".repeat(200));
        dir.write(&file, "unread");
        dir.write(format!("{folder}/in"), "unread");
        dir.write("z", "z");
        let named = format!("{}.", "./".repeat(2000));
        let ended = checksum(dir.path(), &words(&[&named]));
        assert_eq!(
            text(&ended),
            line(&format!("{named}/a"), b"a") + &line(&format!("{named}/z"), b"z")
        );
        assert_eq!(ended.status.code(), Some(1));
        assert_eq!(ended.problems().count(), 2, "{:?}", ended.errors);
        for name in [&file, &folder] {
            let about = |line: &&String| line.contains(name) && line.contains("too long");
            assert_eq!(ended.errors.iter().filter(about).count(), 1, "{name}");
        }
    }

    #[test]
    fn a_file_without_permission_is_reported_and_the_rest_goes_on() {
        use std::os::unix::fs::PermissionsExt;
        let dir = Dir::new();
        dir.write("a", "a");
        let closed = dir.write("closed", "c");
        dir.write("z", "z");
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
        // A superuser reads it all the same.
        let readable = fs::File::open(&closed).is_ok();
        let ended = checksum(dir.path(), &[]);
        let mut expected = [line("./a", b"a"), line("./closed", b"c"), line("./z", b"z")].to_vec();
        if !readable {
            expected.remove(1);
            assert!(
                ended.errors.concat().contains("./closed: "),
                "{:?}",
                ended.errors
            );
        }
        assert_eq!(text(&ended), expected.concat());
        assert_eq!(ended.status.code(), Some(i32::from(!readable)));
    }
}
