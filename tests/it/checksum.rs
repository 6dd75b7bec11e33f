//! The example `checksum` as a program of its own: what it prints, and how it ends.

pub(crate) use crate::example::{Dir, example};
use crate::support::{LONG, must_recv};
use sha2::{Digest, Sha256};
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;

pub(crate) fn program() -> PathBuf {
    example("checksum")
}

/// A child process, killed if the test fails before it has ended.
pub(crate) struct Running {
    child: Child,
    out: ChildStdout,
    /// Lines of standard error as they come, if that was not sent elsewhere.
    errors: mpsc::Receiver<String>,
    /// Those that have come, and whether a test has asked for them.
    seen: Vec<(String, bool)>,
}

/// How a child ended, and what it had printed.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) out: Vec<u8>,
    pub(crate) errors: Vec<String>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self::start_as_set(command)
    }

    /// Standard output must be piped; standard error may go elsewhere.
    pub(crate) fn start_as_set(command: &mut Command) -> Self {
        let mut child = command.spawn().expect("the program starts");
        let out = child.stdout.take().expect("it is piped");
        let (tell, errors) = mpsc::channel();
        if let Some(stderr) = child.stderr.take() {
            thread::spawn(move || {
                let lines = BufReader::new(stderr).lines();
                lines.map_while(Result::ok).for_each(|line| {
                    let _ = tell.send(line);
                });
            });
        }
        Self {
            child,
            out,
            errors,
            seen: Vec::new(),
        }
    }

    #[cfg(unix)]
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    #[cfg(unix)]
    pub(crate) fn stdin(&mut self) -> &mut std::process::ChildStdin {
        self.child.stdin.as_mut().expect("it is piped")
    }

    #[cfg(unix)]
    pub(crate) fn close_stdin(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Waits for a line of standard error with `what` in it that was not asked for before, and gives it. In whatever
    /// order they come: several threads write there.
    #[cfg(unix)]
    pub(crate) fn await_error(&mut self, what: &str) -> String {
        let mut next = 0;
        loop {
            while next == self.seen.len() {
                match self.errors.recv_timeout(LONG) {
                    Ok(line) => self.seen.push((line, false)),
                    Err(why) => panic!("no `{what}` on standard error ({why}): {:#?}", self.seen),
                }
            }
            let (line, asked_for) = &mut self.seen[next];
            if !*asked_for && line.contains(what) {
                *asked_for = true;
                return line.clone();
            }
            next += 1;
        }
    }

    /// Waits until the process has ended, all the while leaving its standard output unread.
    #[cfg(target_os = "linux")]
    pub(crate) fn await_end_unread(&mut self) {
        // Standard error ends when nobody can write there any more.
        loop {
            match self.errors.recv_timeout(LONG) {
                Ok(line) => self.seen.push((line, false)),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(why) => panic!("it does not end ({why}): {:#?}", self.seen),
            }
        }
    }

    /// Waits until it ends.
    pub(crate) fn end(mut self) -> Ended {
        let (tell, told) = mpsc::channel();
        thread::scope(|scope| {
            let out = &mut self.out;
            let child = &mut self.child;
            scope.spawn(move || {
                let mut bytes = Vec::new();
                let _ = out.read_to_end(&mut bytes);
                let _ = tell.send(bytes);
            });
            let bytes = told.recv_timeout(LONG);
            if bytes.is_err() {
                let _ = child.kill(); // and with that the reader ends, and the scope
            }
            let out = bytes.expect("the program ends");
            let status = child.wait().expect("it is a child");
            let seen = std::mem::take(&mut self.seen).into_iter();
            let errors = seen
                .map(|(line, _)| line)
                .chain(self.errors.iter())
                .collect();
            Ended {
                status,
                out,
                errors,
            }
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The line for a file of this name and content.
pub(crate) fn line(name: &str, content: &[u8]) -> String {
    let digest = Sha256::digest(content);
    let sum: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{sum}  {name}\n")
}

/// The program, to be run in `dir`. Where signals are ignored it warns of that, which is not looked at here.
fn program_in(dir: &Path) -> Command {
    let mut command = Command::new(program());
    command.current_dir(dir).env("RUST_LOG", "error");
    command
}

/// Runs the program in `dir`.
fn checksum(dir: &Path, arguments: &[&OsStr]) -> Ended {
    Running::start(program_in(dir).args(arguments)).end()
}

fn words<'a>(words: &'a [&'a str]) -> Vec<&'a OsStr> {
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
    assert!(ended.errors.is_empty(), "{:?}", ended.errors);
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
    let cases: [(&[&str], &str); 7] = [
        (&["--workers"], "--workers takes a number"),
        (&["--workers", "many"], "`many`"),
        (&["--workers", "-1"], "`-1`"),
        (&["--workers", "0"], "it must be from 1"),
        (&["--worker", "1"], "no option `--worker`"),
        (&["-x"], "no option `-x`"),
        (&[".", ".."], "`..` is a second"),
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

#[cfg(unix)]
mod unix {
    use super::*;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

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
        assert_eq!(ended.errors.len(), 2, "{:?}", ended.errors);
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
