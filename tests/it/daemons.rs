//! Programs as scripts, `nohup`, systemd, containers and pipes start and end them: each is a child process that this
//! test binary plays (see `signals`).

use crate::checksum::{Ended, Running};
use crate::signals::{SIGNALS, as_program, hear, play, say_to, send, with_signals};
use millhand::{CancelToken, OnFull, Shutdown, Signals, ThreadPool};
use std::io::Write;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

pub(crate) fn program(name: &str) -> fn() {
    match name {
        "service" => service,
        "hung service" => hung_service,
        "reload" => reload,
        "fork" => fork,
        "parent" => parent,
        "two signals" => two_signals,
        "shut down before" => shut_down_before,
        "dropped after a report" => dropped_after_a_report,
        "filter" => filter,
        "filter in order" => filter_in_order,
        "window" => window,
        other => panic!("no such program: {other}"),
    }
}

/// Ends in order if it is asked to: then it runs what is queued, which it does not before.
fn service() {
    let signals = Signals::install();
    let pool = ThreadPool::new(1).unwrap();
    let weak = pool.handle();
    pool.execute(move || {
        // Of the whole machine, where the program has a numbering of its own.
        let id = std::fs::read_link("/proc/self").unwrap_or_default();
        eprintln!("ready: {}", id.display());
        while !weak.is_closed() {
            std::thread::yield_now();
        }
    });
    pool.execute(|| eprintln!("what was queued has run"));
    let report = pool.run_until(&signals, Shutdown::drain()).unwrap();
    eprintln!("signals: {}", signals.count());
    eprintln!("report: {report}");
}

/// Waits until the service is up, and returns its id.
fn await_ready(child: &mut Running) -> i32 {
    let line = child.await_error("ready: ");
    let (_, id) = line.split_once("ready: ").unwrap();
    id.trim().parse().unwrap_or(0)
}

fn assert_drained(mut child: Running, signals: u32) {
    child.await_error("what was queued has run");
    child.await_error(&format!("signals: {signals}"));
    let report = child.await_error("report: ");
    assert!(report.contains("2 succeeded"), "{report}");
    let ended = child.end();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
}

fn has(ended: &Ended, text: &str) -> usize {
    let lines = ended.errors.iter();
    lines.filter(|line| line.contains(text)).count()
}

#[test]
fn whatever_is_ignored_the_other_signals_drain_and_the_log_names_them() {
    const NAMES: [&str; 3] = ["SIGINT", "SIGTERM", "SIGHUP"];
    for set in 0..7_u32 {
        let is_in = |at: &usize| set >> at & 1 == 1;
        let (ignored, free): (Vec<_>, Vec<_>) = (0..3).partition(is_in);
        let names = |places: &[usize]| {
            let names: Vec<_> = places.iter().map(|at| NAMES[*at]).collect();
            names.join(", ")
        };
        let ignored_signals: Vec<_> = ignored.iter().map(|at| SIGNALS[*at]).collect();
        for signal in &free {
            let mut child = play("service", &ignored_signals);
            await_ready(&mut child);
            if !ignored.is_empty() && cfg!(target_os = "linux") {
                let level = match free.contains(&1) {
                    true => "INFO",
                    false => "WARN",
                };
                let line = child.await_error(&format!(
                    "signals that shut the pools down: {}; ignored before, and left so: {}",
                    names(&free),
                    names(&ignored)
                ));
                assert!(line.contains(level), "{line}");
            }
            ignored_signals.iter().for_each(|one| child.signal(*one));
            child.signal(SIGNALS[*signal]);
            assert_drained(child, 1);
        }
    }
}

#[test]
fn where_all_signals_are_ignored_none_ends_the_program_and_the_log_says_so() {
    let mut child = play("install twice", &SIGNALS);
    child.await_error("WARN  millhand] no signal shuts the pools down: ignored before, and left so: SIGINT, SIGTERM, SIGHUP");
    child.await_error("active: false false");
    for signal in SIGNALS {
        child.signal(signal);
    }
    say_to(&mut child);
    assert_eq!(child.end().status.code(), Some(0));
}

/// Starts the service as `script` says, which has the command in `"$@"`.
fn script(script: &str) -> Running {
    let mut command = Command::new("sh");
    command
        .args(["-c", script, "sh"])
        .arg(std::env::current_exe().unwrap());
    Running::start(as_program(&mut command, "service", &[]))
}

#[test]
fn a_script_that_starts_it_in_the_background_ends_it_by_a_kill() {
    let mut child = script(r#""$@" & echo "pid: $!" >&2; wait $!"#);
    let line = child.await_error("pid: ");
    let id = line.trim_start_matches("pid: ").parse().unwrap();
    await_ready(&mut child);
    send(id, libc::SIGINT); // is ignored, as Ctrl-C for the script is
    send(id, libc::SIGTERM);
    assert_drained(child, 1);
}

#[test]
fn under_nohup_it_outlives_its_terminal_and_drains_when_killed() {
    let mut child = script(r#"exec nohup "$@""#);
    await_ready(&mut child);
    child.signal(libc::SIGHUP);
    child.signal(libc::SIGTERM);
    assert_drained(child, 1);
}

#[test]
fn under_nohup_in_the_background_of_a_script_it_drains_when_killed() {
    let mut child = script(r#"nohup "$@" & echo "pid: $!" >&2; wait $!"#);
    let line = child.await_error("pid: ");
    let id = line.trim_start_matches("pid: ").parse().unwrap();
    await_ready(&mut child);
    send(id, libc::SIGHUP);
    send(id, libc::SIGINT);
    send(id, libc::SIGTERM);
    assert_drained(child, 1);
}

/// As systemd starts a service: no input, no terminal, SIGPIPE ignored.
fn by_systemd(name: &str) -> Running {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let command = as_program(&mut command, name, &[]);
    let set = || {
        // SAFETY: both may be called between fork and exec.
        #[allow(unsafe_code)]
        unsafe {
            libc::setsid();
            libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        }
        Ok(())
    };
    // SAFETY: the closure only makes system calls that are allowed between fork and exec.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(set)
    };
    Running::start(command.stdin(Stdio::null()))
}

#[test]
fn systemd_stops_it_by_sigterm_and_it_drains() {
    let mut child = by_systemd("service");
    await_ready(&mut child);
    child.signal(libc::SIGTERM);
    child.signal(libc::SIGCONT); // which systemd sends with each
    assert_drained(child, 1);
}

/// Gives up on a task that does not end, before its manager kills it.
fn hung_service() {
    let signals = Signals::install();
    let pool = ThreadPool::new(1).unwrap();
    pool.task().name("hung").execute(|| {
        eprintln!("ready: ");
        loop {
            std::thread::park();
        }
    });
    let moment = Duration::from_millis(1);
    let how = Shutdown::drain()
        .cancel_after(moment)
        .give_up_after(2 * moment);
    let report = pool.run_until(&signals, how).unwrap();
    eprintln!("report: {report}");
}

#[test]
fn a_service_whose_task_hangs_ends_by_itself_before_it_is_killed() {
    let mut child = by_systemd("hung service");
    await_ready(&mut child);
    child.signal(libc::SIGTERM);
    let report = child.await_error("report: ");
    assert!(report.contains("`hung`"), "{report}");
    assert_eq!(child.end().status.code(), Some(0));
}

#[test]
fn a_service_that_is_killed_leaves_no_thread_that_keeps_it_alive() {
    let mut child = by_systemd("deaf");
    child.await_error("running");
    child.signal(libc::SIGTERM);
    child.await_error("signal: shutting down");
    child.signal(libc::SIGKILL);
    assert_eq!(child.end().status.signal(), Some(libc::SIGKILL));
}

/// The command `unshare` for a namespace of this kind, unless the system lets nobody make one.
#[cfg(target_os = "linux")]
fn in_a_namespace(kind: &[&str]) -> Option<Command> {
    for user in [&[][..], &["--map-root-user"]] {
        let command = || {
            let mut command = Command::new("unshare");
            command.args(user).args(kind);
            command
        };
        let tried = command().arg("true").output();
        if tried.is_ok_and(|tried| tried.status.success()) {
            return Some(command());
        }
    }
    eprintln!("not tried: the system lets nobody make a namespace");
    None
}

/// The kernel gives the first process no signal that it does not catch.
#[cfg(target_os = "linux")]
#[test]
fn as_the_first_process_of_a_container_it_drains_at_sigterm() {
    let Some(mut command) = in_a_namespace(&["--fork", "--pid"]) else {
        return;
    };
    command.arg(std::env::current_exe().unwrap());
    let mut child = Running::start(as_program(&mut command, "service", &[]));
    let id = await_ready(&mut child);
    assert_ne!(id, i32::try_from(child.id()).unwrap());
    send(id, libc::SIGTERM);
    assert_drained(child, 1);
}

/// As on systems that do not report what is ignored.
#[cfg(target_os = "linux")]
#[test]
fn where_the_system_does_not_report_what_is_ignored_sigterm_drains() {
    let hides = r#"mount -t tmpfs none /proc && exec "$@""#;
    for (ignored, signal) in [
        (&[][..], libc::SIGHUP),
        (&[libc::SIGHUP], libc::SIGTERM),
        (&[libc::SIGHUP, libc::SIGINT], libc::SIGTERM),
    ] {
        let Some(mut command) = in_a_namespace(&["--mount"]) else {
            return;
        };
        command
            .args(["sh", "-c", hides, "sh"])
            .arg(std::env::current_exe().unwrap());
        let mut child = Running::start(as_program(&mut command, "service", ignored));
        await_ready(&mut child);
        if !ignored.is_empty() {
            child.await_error(
                "signals that shut the pools down: SIGTERM; others are ignored or handled elsewhere",
            );
        }
        ignored.iter().for_each(|one| child.signal(*one));
        child.signal(signal);
        assert_drained(child, 1);
    }
}

/// Reads its configuration again at SIGHUP, by a handler of its own.
fn reload() {
    static RELOADS: AtomicU32 = AtomicU32::new(0);
    extern "C" fn note(_: libc::c_int) {
        RELOADS.fetch_add(1, SeqCst);
    }
    // SAFETY: the handler does nothing but count.
    #[allow(unsafe_code)]
    unsafe {
        libc::signal(libc::SIGHUP, note as *const () as libc::sighandler_t)
    };
    let signals = Signals::install();
    let pool = ThreadPool::new(1).unwrap();
    eprintln!("ready: ");
    pool.run_until(&signals, Shutdown::drain()).unwrap();
    eprintln!("reloads: {}", RELOADS.load(SeqCst));
    eprintln!("signals: {}", signals.count());
}

#[test]
fn a_program_that_reads_its_configuration_at_sighup_drains_at_sigterm() {
    let mut child = play("reload", &[]);
    await_ready(&mut child);
    child.signal(libc::SIGHUP);
    child.signal(libc::SIGTERM);
    child.await_error("reloads: 1");
    child.await_error("signals: 1");
    assert_eq!(child.end().status.code(), Some(0));
}

/// What the children of this program will ignore.
#[cfg(target_os = "linux")]
fn ignored() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("SigIgn:"));
    line.unwrap().to_owned()
}

/// Starts a child of its own.
fn parent() {
    #[cfg(target_os = "linux")]
    {
        let before = ignored();
        let _signals = Signals::install();
        assert_eq!(before, ignored());
    }
    #[cfg(not(target_os = "linux"))]
    let _signals = Signals::install();
    let child = Command::new("sh")
        .args(["-c", "kill -HUP $$; echo the child lives >&2"])
        .status();
    eprintln!("child: {:?}", child.unwrap().code());
}

#[test]
fn what_was_ignored_stays_ignored_for_the_children_of_the_program() {
    let mut child = play("parent", &[libc::SIGHUP]);
    child.await_error("the child lives");
    child.await_error("child: Some(0)");
    assert_eq!(child.end().status.code(), Some(0));

    let mut child = play("parent", &[]);
    child.await_error("child: None");
    assert_eq!(child.end().status.code(), Some(0));
}

/// Has a copy of itself that gets a signal.
fn fork() {
    let signals = Signals::install();
    // SAFETY: the child makes system calls only.
    #[allow(unsafe_code)]
    unsafe {
        let id = libc::fork();
        if id == 0 {
            // The handler of the parent takes it.
            libc::raise(libc::SIGTERM);
            libc::_exit(0);
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(id, &mut status, 0), id);
        assert_eq!(status, 0);
    };
    // What the copy has sent would come before this.
    // SAFETY: the signal is caught.
    #[allow(unsafe_code)]
    unsafe {
        libc::raise(libc::SIGTERM)
    };
    signals.wait();
    eprintln!("signals: {}", signals.count());
    hear();
    eprintln!("at the end: {}", signals.count());
}

#[test]
fn a_signal_to_a_forked_child_is_none_to_its_parent() {
    for ignored in [&[][..], &[libc::SIGHUP]] {
        let mut child = play("fork", ignored);
        child.await_error("signals: 1");
        say_to(&mut child);
        child.await_error("at the end: 1");
        assert_eq!(child.end().status.code(), Some(0));
    }
}

// What is said once.

fn two_signals() {
    let signals = Signals::install();
    let pool = ThreadPool::new(1).unwrap();
    pool.shutdown_on(&signals, Shutdown::drain());
    let token = signals.token();
    pool.execute(move || {
        eprintln!("ready: ");
        // Both waits keep the run slot: the other task stays queued.
        while !token.is_cancelled() {
            std::thread::yield_now();
        }
        eprintln!("draining");
        while !millhand::is_cancelled() {
            std::thread::yield_now();
        }
    });
    pool.execute(|| ());
    while !pool.is_closed() {
        std::thread::yield_now();
    }
    // The signal has closed it. This goes on with that.
    drop(pool);
    hear();
}

#[test]
fn two_signals_and_a_drop_report_the_end_of_a_pool_once() {
    let mut child = play("two signals", &[]);
    await_ready(&mut child);
    child.signal(libc::SIGTERM);
    child.await_error("draining");
    child.signal(libc::SIGTERM);
    // By the signal or by the drop, whichever is the first to see the end.
    child.await_error(": 1 succeeded");
    say_to(&mut child);
    let ended = child.end();
    let by_signal = has(&ended, "a pool was shut down by a signal");
    assert_eq!(
        by_signal + has(&ended, "a pool was dropped"),
        1,
        "{ended:?}"
    );
}

fn shut_down_before() {
    let signals = Signals::install();
    let pool = ThreadPool::new(1).unwrap();
    pool.shutdown_on(&signals, Shutdown::drain());
    pool.shutdown(Shutdown::drain()).unwrap();
    eprintln!("ready: ");
    signals.wait();
    hear();
}

#[test]
fn a_pool_that_was_shut_down_before_the_signal_was_not_shut_down_by_it() {
    let mut child = play("shut down before", &[]);
    await_ready(&mut child);
    child.signal(libc::SIGTERM);
    child.await_error("signal: shutting down");
    say_to(&mut child);
    let ended = child.end();
    assert_eq!(
        has(&ended, "a pool was shut down by a signal"),
        0,
        "{ended:?}"
    );
}

fn dropped_after_a_report() {
    let an_hour = Duration::from_secs(3600);
    let not_clean = |pool: &ThreadPool| pool.task().delay(an_hour).execute(|| ());
    let pool = ThreadPool::new(1).unwrap();
    not_clean(&pool);
    let report = pool.shutdown(Shutdown::drain()).unwrap();
    assert!(!report.is_clean());
    drop(pool);
    // Without a report the drop has something to say, also after a `close`.
    for closes in [false, true] {
        let pool = ThreadPool::new(1).unwrap();
        not_clean(&pool);
        if closes {
            pool.close();
        }
        drop(pool);
    }
}

#[test]
fn the_drop_of_a_pool_does_not_repeat_what_a_shutdown_has_reported() {
    let ended = play("dropped after a report", &[]).end();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert_eq!(has(&ended, "a pool was dropped"), 2, "{ended:?}");
}

// Programs that read their standard input: those of the guide `daemons`.

fn filter() {
    let signals = Signals::install();
    let pool = ThreadPool::builder()
        .queue_capacity(1000)
        .on_full(OnFull::Block)
        .build()
        .unwrap();
    let end_of_input = CancelToken::new();
    let (input, end) = (pool.handle(), end_of_input.clone());
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            let shout = move || eprintln!("{}!", line.to_uppercase());
            input.execute(shout);
            if input.is_closed() {
                break;
            }
        }
        end.cancel();
    });
    pool.shutdown_on(&signals, Shutdown::drain());
    let report = pool.run_until(&end_of_input, Shutdown::drain()).unwrap();
    eprintln!("report: {report}");
}

#[test]
fn one_ctrl_c_ends_a_filter_that_waits_for_its_input() {
    let mut child = play("filter", &[]);
    child.stdin().write_all(b"one\ntwo\n").unwrap();
    child.await_error("ONE!");
    child.await_error("TWO!");
    child.signal(libc::SIGINT);
    child.await_error("report: 2 succeeded");
    assert_eq!(child.end().status.code(), Some(0));
}

#[test]
fn the_end_of_the_input_ends_a_filter() {
    let mut child = play("filter", &[]);
    child.stdin().write_all(b"one\ntwo\n").unwrap();
    child.close_stdin();
    child.await_error("report: 2 succeeded");
    assert_eq!(child.end().status.code(), Some(0));
}

fn filter_in_order() {
    let signals = Signals::install();
    let pool = ThreadPool::new(4).unwrap();
    let (send, lines) = std::sync::mpsc::sync_channel(64);
    let stop = send.clone();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if send.send(Some(line)).is_err() {
                return;
            }
        }
        let _ = send.send(None);
    });
    let _hook = signals.token().on_cancel(move |_| {
        let _ = stop.send(None);
    });
    let lines = lines.into_iter().map_while(|line| line);
    for line in pool.map_iter(lines, |line| line.to_uppercase()) {
        eprintln!("{line}!");
    }
    eprintln!("the end");
}

#[test]
fn one_ctrl_c_ends_a_filter_in_order() {
    for by_signal in [true, false] {
        let mut child = play("filter in order", &[]);
        let lines: String = (0..100).map(|n| format!("a{n}\n")).collect();
        child.stdin().write_all(lines.as_bytes()).unwrap();
        child.await_error("A0!");
        match by_signal {
            true => child.signal(libc::SIGINT),
            false => child.close_stdin(),
        }
        child.await_error("the end");
        let ended = child.end();
        assert_eq!(ended.status.code(), Some(0));
        let shouts = ended.errors.iter().filter(|line| line.ends_with('!'));
        let shouts: Vec<_> = shouts.map(String::as_str).collect();
        let all: Vec<_> = (0..100).map(|n| format!("A{n}!")).collect();
        match by_signal {
            true => assert_eq!(shouts, all[..shouts.len()]),
            false => assert_eq!(shouts, all),
        }
    }
}

/// Ends by a button of its own, or by a signal.
fn window() {
    let signals = Signals::install();
    let pool = Arc::new(ThreadPool::new(1).unwrap());
    let quit = signals.token().child();
    let button = quit.clone();
    pool.execute(|| eprintln!("ready: "));
    std::thread::spawn(move || {
        hear();
        button.cancel();
    });
    let report = pool.run_until(&quit, Shutdown::drain()).unwrap();
    eprintln!("report: {report}");
    eprintln!("signals: {}", signals.count());
}

#[test]
fn a_token_below_that_of_the_signals_ends_a_program_by_either() {
    let mut child = play("window", &[]);
    await_ready(&mut child);
    say_to(&mut child);
    child.await_error("report: 1 succeeded");
    child.await_error("signals: 0");
    assert_eq!(child.end().status.code(), Some(0));

    let mut child = play("window", &[libc::SIGINT]);
    await_ready(&mut child);
    child.signal(libc::SIGTERM);
    child.await_error("report: 1 succeeded");
    child.await_error("signals: 1");
    assert_eq!(child.end().status.code(), Some(0));
}

/// The tests of this file set what their children ignore, so that they pass wherever they are run: here, where all three
/// signals are ignored.
#[test]
fn the_tests_set_the_signals_of_their_children() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let names = [
        "signals::installing_twice_is_one_registration",
        "daemons::systemd_stops_it_by_sigterm_and_it_drains",
    ];
    command.args(names).arg("--exact");
    let outcome = with_signals(&mut command, &SIGNALS).output().unwrap();
    let said = String::from_utf8_lossy(&outcome.stdout);
    assert!(outcome.status.success(), "{said}");
    assert!(said.contains("2 passed"), "{said}");
}
