//! `child::wait` on real processes: what ends them, and which of them.

use crate::handle::must_join;
use crate::support::{LONG, must_recv};
use millhand::cancel::CancelReason;
use millhand::child::{self, WaitError};
use millhand::testing::ManualClock;
use millhand::{Retry, ScopeOptions, TaskError, TaskHandle, ThreadPool, current};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

const NEVER: Duration = Duration::MAX;
const TERM: Option<i32> = Some(15);
const KILL: Option<i32> = Some(9);

type Waited = Result<ExitStatus, WaitError>;

fn sh(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]).stdout(Stdio::piped());
    command
}

/// Starts a script, and reads its first line: then it has set its traps, and has started what it starts.
fn begun(
    script: &str,
    spawn: fn(&mut Command) -> io::Result<Child>,
) -> (Child, String, BufReader<ChildStdout>) {
    let mut child = spawn(&mut sh(script)).unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert!(line.ends_with('\n'), "it has ended");
    (child, line.trim().to_owned(), output)
}

/// The rest of the output. It ends when all processes that have it have ended.
fn rest(mut output: impl Read + Send + 'static) -> String {
    let (end, ended) = mpsc::channel();
    thread::spawn(move || {
        let mut rest = String::new();
        output.read_to_string(&mut rest).unwrap();
        end.send(rest).unwrap();
    });
    must_recv(&ended)
}

/// Waits in a task that is cancelled once it runs, and returns what the wait returned.
fn cancelled(mut child: Child, grace: Duration) -> Waited {
    let pool = ThreadPool::new(1).unwrap();
    let (begin, begun) = mpsc::channel();
    let waits = pool.submit(move || {
        begin.send(()).unwrap();
        child::wait_with_grace(&mut child, grace)
    });
    must_recv(&begun);
    waits.cancel();
    must_join(waits).unwrap()
}

/// How the child ended, if the wait says that it was for the cancel.
fn stopped(waited: Waited, why: CancelReason) -> ExitStatus {
    match waited {
        Err(WaitError::Stopped { stopped, status }) if stopped.reason() == why => status,
        waited => panic!("{waited:?}"),
    }
}

#[test]
fn the_status_is_returned_in_a_task_and_outside_of_one_and_again() {
    let waits = || {
        let mut child = child::spawn(&mut sh("exit 3")).unwrap();
        let first = child::wait(&mut child).unwrap();
        assert_eq!(child::wait(&mut child).unwrap(), first);
        first.code()
    };
    let pool = ThreadPool::new(1).unwrap();
    assert_eq!(must_join(pool.submit(waits)).unwrap(), Some(3));
    assert_eq!(waits(), Some(3));
}

#[test]
fn a_child_that_was_reaped_before_keeps_its_status_though_the_body_is_asked_to_stop() {
    let pool = ThreadPool::new(1).unwrap();
    let body = pool.submit(|| {
        let mut child = child::spawn(&mut sh("echo three; exit 3")).unwrap();
        child.wait().unwrap();
        current().unwrap().token().cancel();
        let status = child::wait(&mut child).unwrap();
        let output = child::wait_with_output(child).unwrap();
        assert_eq!(output.stdout, b"three\n");
        assert_eq!(output.status, status);
        status.code()
    });
    assert_eq!(must_join(body).unwrap(), Some(3));
}

#[test]
fn the_standard_input_of_the_child_is_closed() {
    let pool = ThreadPool::new(1).unwrap();
    let cats = || [(); 2].map(|()| child::spawn(Command::new("cat").stdin(Stdio::piped())));
    let waits = move || {
        let [one, other] = cats();
        child::wait(&mut one.unwrap()).unwrap();
        child::wait_with_output(other.unwrap()).unwrap();
    };
    must_join(pool.submit(waits)).unwrap();
    waits();
}

#[test]
fn the_run_slot_is_free_while_it_waits() {
    let pool = ThreadPool::new(1).unwrap();
    for reads in [false, true] {
        let mut cat = child::spawn(Command::new("cat").stdin(Stdio::piped())).unwrap();
        let stdin = cat.stdin.take();
        let waits = pool.submit(move || match reads {
            true => child::wait_with_output(cat).unwrap().status,
            false => child::wait(&mut cat).unwrap(),
        });
        must_join(pool.submit(|| drop(stdin))).unwrap();
        assert!(must_join(waits).unwrap().success());
    }
}

// What a request to stop ends, and how.

#[test]
fn a_child_that_handles_sigterm_ends_as_it_likes() {
    let script = "trap 'echo cleaned; exit 7' TERM; sleep 1000 & echo ready; wait";
    let (child, _, output) = begun(script, child::spawn);
    let status = stopped(cancelled(child, NEVER), CancelReason::User);
    assert_eq!(status.code(), Some(7));
    assert_eq!(rest(output), "cleaned\n");
}

#[test]
fn a_child_that_ignores_sigterm_is_killed_after_the_grace_with_what_it_has_started() {
    let script = "trap '' TERM; sleep 1000 & echo ready; wait";
    let (child, _, output) = begun(script, child::spawn);
    let (grace, before) = (Duration::from_millis(50), Instant::now());
    let status = stopped(cancelled(child, grace), CancelReason::User);
    assert!(before.elapsed() >= grace);
    assert_eq!(status.signal(), KILL);
    assert_eq!(rest(output), "");
}

#[test]
fn no_grace_is_sigkill_at_once() {
    let (child, ..) = begun("trap '' TERM; echo ready; exec sleep 1000", child::spawn);
    let status = stopped(cancelled(child, Duration::ZERO), CancelReason::User);
    assert_eq!(status.signal(), KILL);
}

#[test]
fn what_is_left_of_the_group_when_its_leader_has_ended_is_killed() {
    let script = "(trap '' TERM; echo ready; exec sleep 1000) & wait";
    let (child, _, output) = begun(script, child::spawn);
    let status = stopped(cancelled(child, NEVER), CancelReason::User);
    assert_eq!(status.signal(), TERM);
    assert_eq!(rest(output), "");
}

#[test]
fn a_child_that_leads_no_group_is_ended_alone() {
    let (child, grandchild, output) = begun("sleep 1000 & echo $!; wait", Command::spawn);
    let status = stopped(cancelled(child, NEVER), CancelReason::User);
    assert_eq!(status.signal(), TERM);
    let kill = |signal| sh(&format!("kill {signal} {grandchild}")).status();
    assert!(kill("-0").unwrap().success(), "it is alive");
    assert!(kill("-9").unwrap().success());
    assert_eq!(rest(output), "");
}

#[test]
fn a_child_that_was_started_elsewhere_is_killed_after_the_grace_if_it_leads_no_group() {
    let script = "trap '' TERM; echo ready; exec sleep 1000";
    let (child, _, output) = begun(script, Command::spawn);
    let waited = cancelled(child, Duration::from_millis(20));
    assert_eq!(stopped(waited, CancelReason::User).signal(), KILL);
    assert_eq!(rest(output), "");
}

#[test]
fn a_spawned_child_leads_a_group_of_its_own() {
    let leads = |spawn: fn(&mut Command) -> io::Result<Child>| {
        let mut child = spawn(sh("kill -0 -$$").stderr(Stdio::null())).unwrap();
        child::wait(&mut child).unwrap().success()
    };
    assert!(leads(child::spawn));
    assert!(!leads(Command::spawn));
}

#[test]
fn the_time_limit_of_an_attempt_ends_the_child_and_a_retry_starts_another() {
    let clock = ManualClock::new();
    let pool = ThreadPool::builder().workers(1).clock(&clock);
    let pool = pool.build().unwrap();
    let limited = pool.task().attempt_timeout(LONG);
    let limited = limited.retry(Retry::fixed(1, Duration::ZERO));
    let (begin, begun_) = mpsc::channel();
    let (end, ended) = mpsc::channel();
    let waits = limited.submit(move || {
        let (mut child, _, output) = begun("echo ready; exec sleep 1000", child::spawn);
        begin.send(output).unwrap();
        let error = io::Error::from(child::wait(&mut child).unwrap_err());
        end.send(error.kind()).unwrap();
        Err::<(), _>(error)
    });
    for _ in 0..2 {
        let output = must_recv(&begun_);
        clock.advance(LONG);
        assert_eq!(rest(output), "");
        assert_eq!(must_recv(&ended), io::ErrorKind::TimedOut);
    }
    assert!(matches!(must_join(waits), Err(TaskError::TimedOut)));
}

#[test]
fn the_total_time_limit_ends_the_child() {
    let clock = ManualClock::new();
    let pool = ThreadPool::builder().workers(1).clock(&clock);
    let pool = pool.build().unwrap();
    let (begin, begun_) = mpsc::channel();
    let (end, ended) = mpsc::channel();
    let waits = pool.task().deadline(LONG).submit(move || {
        let (mut child, _, output) = begun("echo ready; exec sleep 1000", child::spawn);
        begin.send(output).unwrap();
        end.send(child::wait(&mut child)).unwrap();
    });
    let output = must_recv(&begun_);
    clock.advance(LONG);
    assert_eq!(rest(output), "");
    let status = stopped(must_recv(&ended), CancelReason::Deadline);
    assert_eq!(status.signal(), TERM);
    assert!(matches!(must_join(waits), Err(TaskError::TimedOut)));
}

#[test]
fn the_closure_of_a_scope_ends_its_child_when_the_scope_fails() {
    let pool = ThreadPool::new(1).unwrap();
    let failed = pool.scope_with(ScopeOptions::fail_fast(), |s| {
        let (mut child, ..) = begun("echo ready; exec sleep 1000", child::spawn);
        s.submit(|| Err::<(), _>("no"));
        let status = stopped(child::wait(&mut child), CancelReason::Scope);
        assert_eq!(status.signal(), TERM);
    });
    failed.unwrap_err();
}

#[test]
fn a_wait_in_a_destructor_that_runs_while_its_thread_unwinds_ends_no_child() {
    struct Waits(Child, mpsc::Sender<Waited>);
    impl Drop for Waits {
        fn drop(&mut self) {
            self.1.send(child::wait(&mut self.0)).unwrap();
        }
    }
    let pool = ThreadPool::new(1).unwrap();
    let (wait, waited) = mpsc::channel();
    let body = pool.submit(move || {
        let cat = child::spawn(Command::new("cat").stdin(Stdio::piped())).unwrap();
        let _waits = Waits(cat, wait);
        current().unwrap().token().cancel();
        millhand::checkpoint();
    });
    assert!(must_recv(&waited).unwrap().success());
    assert!(must_join(body).is_err());
}

#[test]
fn the_error_says_what_has_become_of_the_child_and_is_none_that_std_retries() {
    let (child, ..) = begun("echo ready; exec sleep 1000", child::spawn);
    let waited = cancelled(child, NEVER);
    let text = waited.as_ref().unwrap_err().to_string();
    let expected = "stopped: on request; the child process has ended (signal: 15 (SIGTERM))";
    assert_eq!(text, expected);
    let error = io::Error::from(waited.unwrap_err());
    assert_eq!(error.kind(), io::ErrorKind::Other);
    let inner = error.get_ref().unwrap();
    assert!(matches!(
        inner.downcast_ref(),
        Some(WaitError::Stopped { .. })
    ));

    let refused = WaitError::from(io::Error::from(io::ErrorKind::OutOfMemory));
    assert_eq!(
        refused.to_string(),
        "the wait for a child process failed: out of memory"
    );
    let error = io::Error::from(refused);
    assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
}

// Output.

#[test]
fn both_outputs_are_read_at_once() {
    let script = "head -c 1000000 /dev/zero >&2; head -c 1000000 /dev/zero; exit 3";
    let reads = move || {
        let child = child::spawn(sh(script).stderr(Stdio::piped())).unwrap();
        let output = child::wait_with_output(child).unwrap();
        assert_eq!(output.status.code(), Some(3));
        (output.stdout.len(), output.stderr.len())
    };
    let pool = ThreadPool::new(1).unwrap();
    let sizes = (1_000_000, 1_000_000);
    assert_eq!(must_join(pool.submit(reads)).unwrap(), sizes);
    assert_eq!(reads(), sizes, "on a thread that is no worker");
}

/// Waits for the output of the script in a task that is cancelled once the script has closed its input.
fn cancelled_while_reading(script: &str) -> Waited {
    let (theirs, mut ours) = UnixStream::pair().unwrap();
    let mut command = sh(script);
    command.stdin(OwnedFd::from(theirs)).stderr(Stdio::piped());
    let child = child::spawn(&mut command).unwrap();
    // It has the other end, too.
    drop(command);
    let pool = ThreadPool::new(1).unwrap();
    let waits: TaskHandle<Waited> =
        pool.submit(|| child::wait_with_output(child).map(|output| output.status));
    // The body waits.
    must_join(pool.submit(|| ())).unwrap();
    ours.write_all(b"go\n").unwrap();
    ours.read_to_end(&mut Vec::new()).unwrap();
    waits.cancel();
    must_join(waits).unwrap()
}

#[test]
fn a_cancel_ends_a_child_whose_output_is_read() {
    let waited = cancelled_while_reading("read go; exec 0<&-; exec sleep 1000");
    assert_eq!(stopped(waited, CancelReason::User).signal(), TERM);
}

/// It has ended, or is about to: then it may get the signal.
#[test]
fn a_cancel_ends_what_keeps_the_output_of_a_child_open_that_has_ended() {
    let waited = cancelled_while_reading("read go; sleep 1000 <&- & exit 0");
    let status = stopped(waited, CancelReason::User);
    assert!(status.success() || status.signal() == TERM);
}

#[cfg(feature = "simulation")]
#[test]
fn a_child_is_waited_for_in_a_simulation() {
    let (pool, _simulation) = ThreadPool::simulated(7);
    let waits = pool.submit(|| {
        let mut child = child::spawn(&mut sh("exit 3")).unwrap();
        child::wait(&mut child).unwrap().code()
    });
    assert_eq!(waits.join().unwrap(), Some(3));
    let waits = pool.submit(|| {
        let (mut child, ..) = begun("echo ready; exec sleep 1000", child::spawn);
        current().unwrap().token().cancel();
        stopped(child::wait(&mut child), CancelReason::User).signal()
    });
    assert_eq!(waits.join().unwrap(), TERM);
}

/// The child ends before, while or after the body is asked to stop.
#[test]
fn a_child_that_ends_while_it_is_cancelled_ends_by_itself_or_its_wait_was_stopped() {
    let pool = ThreadPool::new(1).unwrap();
    for round in 0..500 {
        let mut cat = child::spawn(Command::new("cat").stdin(Stdio::piped())).unwrap();
        let stdin = cat.stdin.take();
        let grace = [Duration::ZERO, Duration::from_micros(200), NEVER][round % 3];
        let (begin, begun) = mpsc::channel();
        let waits = pool.submit(move || {
            begin.send(()).unwrap();
            child::wait_with_grace(&mut cat, grace)
        });
        must_recv(&begun);
        let ends = thread::spawn(|| drop(stdin));
        waits.cancel();
        match must_join(waits).unwrap() {
            Ok(status) => assert!(status.success(), "it was signalled: {status}"),
            Err(WaitError::Stopped { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        ends.join().unwrap();
    }
}
