//! Ctrl-C and its kin, as child processes take them: the example `checksum`, and small programs that this test binary
//! plays itself when it is started again.
//
// Nothing here waits for a time to pass. A child tells on standard error that it has taken a signal, and the system
// tells in `/proc` what it is reading. A file of 1 TiB, nearly all of it a hole, takes so long to read that the test
// has all the time in the world; when it has seen enough it stops the child, looks how far that has read, cuts the file
// off a little beyond and lets it go on.

use crate::checksum::Running;
use millhand::pool::PoolError;
use millhand::{Shutdown, Signals, ThreadPool};
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Arc;

pub(crate) const SIGNALS: [i32; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// Has the child begin with the signals as an interactive shell gives them, whatever whoever runs the tests does with
/// them; `ignored` are as `nohup` and a script's `&` give them.
pub(crate) fn with_signals<'a>(command: &'a mut Command, ignored: &[i32]) -> &'a mut Command {
    let ignored = ignored.to_vec();
    let set = move || {
        for signal in SIGNALS {
            let disposition = match ignored.contains(&signal) {
                true => libc::SIG_IGN,
                false => libc::SIG_DFL,
            };
            // SAFETY: `signal` may be called between fork and exec, and neither disposition is a handler.
            #[allow(unsafe_code)]
            unsafe {
                libc::signal(signal, disposition)
            };
        }
        Ok(())
    };
    // SAFETY: the closure only makes system calls that are allowed between fork and exec.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(set)
    };
    command
        .env("RUST_LOG", "info")
        .env("RUST_LOG_STYLE", "never")
}

impl Running {
    pub(crate) fn signal(&self, signal: i32) {
        // The child has not been waited for, so the id is its own still.
        send(i32::try_from(self.id()).unwrap(), signal);
    }
}

pub(crate) fn send(id: i32, signal: i32) {
    // SAFETY: no memory is touched.
    #[allow(unsafe_code)]
    let sent = unsafe { libc::kill(id, signal) };
    assert_eq!(sent, 0, "the process can be signalled");
}

// The programs that this binary plays.

/// Starts this binary as the program of this name.
pub(crate) fn play(name: &str, ignored: &[i32]) -> Running {
    let mut command = Command::new(std::env::current_exe().unwrap());
    Running::start(as_program(&mut command, name, ignored))
}

/// The same for a command that starts this binary with the arguments that it is given.
pub(crate) fn as_program<'a>(
    command: &'a mut Command,
    name: &str,
    ignored: &[i32],
) -> &'a mut Command {
    command
        .args(["--exact", "signals::the_child", "--nocapture"])
        .env("MILLHAND_CHILD", name)
        .stdin(Stdio::piped());
    with_signals(command, ignored)
}

/// No test unless [`play`] starts it.
#[test]
fn the_child() {
    let Ok(name) = std::env::var("MILLHAND_CHILD") else {
        return;
    };
    env_logger::init();
    let act = match &*name {
        "install twice" => install_twice,
        "run until" => run_until,
        "two pools" => two_pools,
        "deaf" => deaf,
        "foreign handler" => foreign_handler,
        other => crate::daemons::program(other),
    };
    act();
    std::process::exit(0);
}

/// Waits for whoever started this program to say something.
pub(crate) fn hear() {
    let mut byte = [0];
    std::io::stdin().read_exact(&mut byte).unwrap();
}

pub(crate) fn say_to(child: &mut Running) {
    child.stdin().write_all(b".").unwrap();
}

/// A program that handles Ctrl-C by itself, before the library is asked to.
fn foreign_handler() {
    extern "C" fn leave(_: libc::c_int) {
        // SAFETY: `_exit` may be called in a signal handler.
        #[allow(unsafe_code)]
        unsafe {
            libc::_exit(7)
        }
    }
    // SAFETY: the handler does nothing but leave.
    #[allow(unsafe_code)]
    unsafe {
        libc::signal(libc::SIGINT, leave as *const () as libc::sighandler_t)
    };
    let pool = ThreadPool::new(1).unwrap();
    let signals = Signals::install();
    pool.shutdown_on(&signals, Shutdown::drain());
    eprintln!(
        "active: {}, {}",
        signals.is_active(),
        pool.submit(|| 5).join().unwrap()
    );
    hear();
}

fn install_twice() {
    let one = Signals::install();
    let two = Signals::install();
    eprintln!("active: {} {}", one.is_active(), two.is_active());
    if !one.is_active() {
        hear();
        return;
    }
    two.wait();
    one.wait();
    one.token().wait().unwrap();
    assert!(two.token().is_cancelled());
    eprintln!("counts: {} {}", one.count(), two.count());
}

fn run_until() {
    let signals = Signals::install();
    let pool = ThreadPool::new(1).unwrap();
    let weak = pool.handle();
    let handles = [
        pool.submit(|| {
            eprintln!("running");
            hear();
            eprintln!("the first has run");
        }),
        pool.submit(|| {
            eprintln!("the second runs");
            // Keeps its seat, as no wait of the library's would: the third stays queued.
            while !millhand::is_cancelled() {
                std::thread::yield_now();
            }
            eprintln!("the second ended by {:?}", millhand::check());
        }),
        pool.submit(|| eprintln!("the third has run")),
    ];
    let report = pool.run_until(&signals, Shutdown::drain()).unwrap();
    eprintln!("closed: {}", weak.is_closed());
    eprintln!("report: {report}");
    let outcomes = handles.map(|handle| handle.join().is_ok());
    eprintln!("outcomes: {outcomes:?}");
    // A signal that has come already counts.
    let late = ThreadPool::new(1).unwrap();
    let done = late.submit(|| 1);
    let report = late.run_until(&signals, Shutdown::drain()).unwrap();
    eprintln!("late: {report}, {}", done.join().is_ok());
}

fn two_pools() {
    let signals = Signals::install();
    let pools = [1, 2].map(|workers| ThreadPool::new(workers).unwrap());
    for pool in &pools {
        pool.shutdown_on(&signals, Shutdown::drain());
        // It returned, and the pool is open.
        assert_eq!(pool.submit(|| 1).join().unwrap(), 1);
    }
    // A pool that is gone is no hindrance, and one that somebody else shuts down ends the wait.
    ThreadPool::new(1)
        .unwrap()
        .shutdown_on(&signals, Shutdown::drain());
    let ended = ThreadPool::new(1).unwrap();
    ended.shutdown(Shutdown::drain()).unwrap();
    ended.run_until(&signals, Shutdown::drain()).unwrap();
    let own = Arc::new(ThreadPool::new(1).unwrap());
    let (same, caught) = (own.clone(), signals);
    let stays = own.submit(move || same.run_until(&caught, Shutdown::drain()).map(drop));
    assert_eq!(stays.join().unwrap(), Err(PoolError::InsideTask));
    eprintln!("ready");
    for pool in &pools {
        // Not asked to shut down here: it is the signal that does it.
        while !pool.is_closed() {
            std::thread::yield_now();
        }
        let report = pool.shutdown(Shutdown::drain()).unwrap();
        eprintln!("report: {report}");
    }
}

/// Takes no notice of anything.
fn deaf() {
    let signals = Signals::install();
    let pool = ThreadPool::new(1).unwrap();
    pool.execute(|| {
        eprintln!("running");
        loop {
            std::thread::park();
        }
    });
    let _ = pool.run_until(&signals, Shutdown::drain());
    unreachable!("the task does not end");
}

#[test]
fn installing_twice_is_one_registration() {
    for signal in SIGNALS {
        let mut child = play("install twice", &[]);
        child.await_error("active: true true");
        child.signal(signal);
        child.await_error("counts: 1 1");
        assert_eq!(child.end().status.code(), Some(0));
    }
}

#[test]
fn beside_a_foreign_handler_the_program_runs_and_the_handler_stays() {
    let mut child = play("foreign handler", &[]);
    child.await_error(
        "signals that shut the pools down: SIGTERM, SIGHUP; handled elsewhere: SIGINT",
    );
    child.await_error("active: true, 5");
    child.signal(libc::SIGINT);
    assert_eq!(child.end().status.code(), Some(7));
}

#[test]
fn run_until_drains_at_the_first_signal_and_cancels_at_the_second() {
    let mut child = play("run until", &[]);
    child.await_error("running");
    child.signal(libc::SIGINT);
    child.await_error("signal: shutting down");
    // What was queued runs: the second begins, which it could not before.
    say_to(&mut child);
    child.await_error("the second runs");
    child.signal(libc::SIGTERM);
    child.await_error("the second ended by Err(Stopped { reason: Shutdown })");
    child.await_error("closed: true");
    let report = child.await_error("report: ");
    assert!(
        report
            .contains("2 succeeded, 0 failed, 0 panicked, 1 cancelled (1 of them by the shutdown)"),
        "{report}"
    );
    child.await_error("outcomes: [true, true, false]");
    child.await_error("late: ");
    let ended = child.end();
    assert_eq!(ended.status.code(), Some(0));
    let third = |line: &String| line.contains("the third has run");
    assert!(!ended.errors.iter().any(third), "{ended:?}");
}

#[test]
fn the_third_signal_ends_a_program_whose_task_takes_no_notice() {
    let mut child = play("deaf", &[]);
    child.await_error("running");
    child.signal(libc::SIGINT);
    child.await_error("signal: shutting down");
    child.signal(libc::SIGINT);
    child.await_error("signal: cancelling");
    child.signal(libc::SIGINT);
    assert_eq!(child.end().status.code(), Some(Signals::EXIT_CODE.into()));
}

#[test]
fn one_signal_shuts_all_pools_down_and_leaves_main_free() {
    let mut child = play("two pools", &[]);
    child.await_error("ready");
    child.signal(libc::SIGTERM);
    for _ in 0..2 {
        let report = child.await_error("report: ");
        assert!(report.contains("1 succeeded"), "{report}");
    }
    assert_eq!(child.end().status.code(), Some(0));
}

/// The example, while it reads what the test lets it read.
#[cfg(target_os = "linux")]
mod reading {
    use super::*;
    use crate::checksum::{Dir, Ended, line, program};
    use crate::support::LONG;
    use std::ffi::OsString;
    use std::fs::{self, File};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    use std::path::{Path, PathBuf};
    use std::time::{Duration, Instant};

    /// Looks again and again until the system shows what it must.
    fn await_system<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(seen) = look() {
                return seen;
            }
            assert!(begun.elapsed() < LONG, "never seen: {what}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// A file that nobody reads to its end.
    fn endless(dir: &Dir, name: &str) -> PathBuf {
        let path = dir.write(name, "");
        File::options()
            .write(true)
            .open(&path)
            .and_then(|file| file.set_len(1 << 40))
            .expect("the file system has sparse files");
        path
    }

    /// One worker, so that the files are read one after the other in the order of their names.
    fn command(dir: &Dir) -> Command {
        let mut command = Command::new(program());
        command.current_dir(dir.path()).args(["--workers", "1"]);
        command
    }

    fn start(dir: &Dir, ignored: &[i32]) -> Running {
        Running::start(with_signals(&mut command(dir), ignored))
    }

    impl Running {
        fn proc(&self, entry: &str) -> PathBuf {
            Path::new("/proc").join(self.id().to_string()).join(entry)
        }

        /// Waits until it has `file` open, and gives the descriptor.
        fn await_reading(&self, file: &Path) -> OsString {
            await_system("the file is being read", || {
                let mut open = fs::read_dir(self.proc("fd")).unwrap().flatten();
                open.find(|fd| fs::read_link(fd.path()).is_ok_and(|target| target == file))
                    .map(|fd| fd.file_name())
            })
        }

        /// Cuts the file off a little beyond the place that has been read, and gives the length that it then has.
        fn let_it_finish(&self, file: &Path) -> usize {
            let fd = self.await_reading(file);
            self.signal(libc::SIGSTOP);
            await_system("all its threads have stopped", || {
                let threads = fs::read_dir(self.proc("task")).unwrap().flatten();
                let mut states = threads.map(|thread| {
                    let stat = fs::read_to_string(thread.path().join("stat")).unwrap();
                    let (_, state) = stat.rsplit_once(") ").unwrap();
                    state.starts_with('T')
                });
                states.all(|stopped| stopped).then_some(())
            });
            let info = fs::read_to_string(self.proc("fdinfo").join(fd)).unwrap();
            let position = info.lines().find_map(|line| line.strip_prefix("pos:"));
            let length = position.unwrap().trim().parse::<usize>().unwrap() + 12_345;
            let file = File::options().write(true).open(file).unwrap();
            file.set_len(length as u64).unwrap();
            self.signal(libc::SIGCONT);
            length
        }

        /// Waits until no signal is on its way to it: all that were sent have been taken.
        fn await_signals_taken(&self) {
            await_system("the signals have been taken", || {
                let status = fs::read_to_string(self.proc("status")).unwrap();
                let mut pending = status.lines().filter_map(|line| {
                    line.strip_prefix("SigPnd:")
                        .or(line.strip_prefix("ShdPnd:"))
                });
                pending
                    .all(|mask| mask.trim().bytes().all(|digit| digit == b'0'))
                    .then_some(())
            });
        }
    }

    fn zeros(name: &str, length: usize) -> String {
        line(name, &vec![0; length])
    }

    fn assert_printed(ended: &Ended, expected: &str) {
        assert_eq!(String::from_utf8_lossy(&ended.out), expected, "{ended:?}");
    }

    #[test]
    fn the_first_signal_lets_the_file_being_read_finish_and_takes_no_other() {
        for signal in SIGNALS {
            let dir = Dir::new();
            dir.write("a", "a");
            let big = endless(&dir, "b");
            dir.write("c", "c");
            let mut child = start(&dir, &[]);
            child.await_reading(&big);
            child.signal(signal);
            child.await_error("signal: shutting down");
            child.await_error("no further file is taken");
            let length = child.let_it_finish(&big);
            let ended = child.end();
            assert_eq!(
                ended.status.code(),
                Some(Signals::EXIT_CODE.into()),
                "{ended:?}"
            );
            assert_printed(&ended, &(line("./a", b"a") + &zeros("./b", length)));
        }
    }

    #[test]
    fn the_second_signal_leaves_the_file_being_read_and_prints_what_is_done() {
        for (first, second) in [(libc::SIGINT, libc::SIGTERM), (libc::SIGTERM, libc::SIGINT)] {
            let dir = Dir::new();
            dir.write("a", "a");
            let big = endless(&dir, "b");
            dir.write("c", "c");
            let mut child = start(&dir, &[]);
            child.await_reading(&big);
            child.signal(first);
            child.await_error("signal: shutting down");
            child.signal(second);
            // It may have ended before that signal's line is out.
            let ended = child.end();
            assert_eq!(
                ended.status.code(),
                Some(Signals::EXIT_CODE.into()),
                "{ended:?}"
            );
            assert_printed(&ended, &line("./a", b"a"));
        }
    }

    /// More lines than a pipe holds, in few files, and a file that is read after them all.
    fn more_than_a_pipe_holds(dir: &Dir) -> (String, PathBuf) {
        let folders = vec!["d".repeat(250); 12].join("/");
        let names = (0..400).map(|n| format!("{folders}/{n:03}"));
        let lines = names.map(|name| {
            dir.write(&name, "");
            line(&format!("./{name}"), b"")
        });
        (lines.collect(), endless(dir, "e"))
    }

    #[test]
    fn the_third_signal_ends_it_at_once_though_nobody_reads_what_it_prints() {
        for signal in SIGNALS {
            let dir = Dir::new();
            let (lines, big) = more_than_a_pipe_holds(&dir);
            let mut child = start(&dir, &[]);
            // With this all lines are there to be printed, which takes for ever.
            child.await_reading(&big);
            child.signal(signal);
            child.await_error("signal: shutting down");
            child.signal(signal);
            child.await_error("signal: cancelling");
            child.signal(signal);
            child.await_end_unread();
            let ended = child.end();
            assert_eq!(
                ended.status.code(),
                Some(Signals::EXIT_CODE.into()),
                "{ended:?}"
            );
            assert!(ended.out.len() < lines.len(), "a pipe holds it all");
            assert!(lines.as_bytes().starts_with(&ended.out));
        }
    }

    #[test]
    fn under_nohup_the_end_of_the_terminal_does_nothing_and_ctrl_c_takes_no_other_file() {
        let dir = Dir::new();
        dir.write("a", "a");
        let big = endless(&dir, "b");
        dir.write("c", "c");
        let mut child = start(&dir, &[libc::SIGHUP]);
        child.await_error("ignored before, and left so: SIGHUP");
        child.await_reading(&big);
        child.signal(libc::SIGHUP);
        child.signal(libc::SIGINT);
        child.await_error("signal: shutting down");
        child.await_error("no further file is taken");
        let length = child.let_it_finish(&big);
        let ended = child.end();
        assert_eq!(
            ended.status.code(),
            Some(Signals::EXIT_CODE.into()),
            "{ended:?}"
        );
        assert_printed(&ended, &(line("./a", b"a") + &zeros("./b", length)));
    }

    #[test]
    fn where_all_signals_are_ignored_it_runs_to_its_end() {
        let dir = Dir::new();
        dir.write("a", "a");
        let big = endless(&dir, "b");
        dir.write("c", "c");
        let mut child = start(&dir, &SIGNALS);
        child.await_error("no signal shuts the pools down");
        child.await_reading(&big);
        SIGNALS.iter().for_each(|signal| child.signal(*signal));
        let length = child.let_it_finish(&big);
        let ended = child.end();
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        let expected = line("./a", b"a") + &zeros("./b", length) + &line("./c", b"c");
        assert_printed(&ended, &expected);
    }

    #[test]
    fn a_full_standard_error_does_not_keep_the_third_signal_from_ending_the_process() {
        let (mut full, _unread) = UnixStream::pair().unwrap();
        full.set_nonblocking(true).unwrap();
        while full.write(&[b'x'; 1024]).is_ok() {}
        full.set_nonblocking(false).unwrap();

        let dir = Dir::new();
        let (lines, big) = more_than_a_pipe_holds(&dir);
        let mut command = command(&dir);
        command.stdout(Stdio::piped()).stderr(OwnedFd::from(full));
        let child = Running::start_as_set(with_signals(&mut command, &[]));
        drop(command); // and with it this process's end
        child.await_reading(&big);
        for _ in 0..2 {
            child.signal(libc::SIGINT);
            child.await_signals_taken();
        }
        child.signal(libc::SIGINT);
        await_system("it has ended, with standard output unread", || {
            let status = fs::read_to_string(child.proc("status")).unwrap();
            status.contains("State:\tZ").then_some(())
        });
        let ended = child.end();
        assert_eq!(ended.status.code(), Some(Signals::EXIT_CODE.into()));
        assert!(
            ended.out.len() < lines.len(),
            "it came to its end by itself"
        );
    }
}
