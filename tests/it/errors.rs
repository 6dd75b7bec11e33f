//! Errors reach the end of a program by one `?` each, whatever type of errors the program has.

use crate::example::{Dir, example};
use crate::support::{LONG, must_recv};
use millhand::cancel::CancelReason;
use millhand::error::{Rejection, WaitedFor};
use millhand::limit::AcquireError;
use millhand::{
    CancelToken, JoinError, ScopeOptions, Semaphore, Shutdown, TaskError, ThreadPool, current,
    join_all_ok,
};
use std::error::Error;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::mpsc;
use std::time::Duration;

// The example, with each type of errors.

const KINDS: [&str; 4] = ["anyhow", "boxed", "own", "io"];

fn run(kind: &str, paths: &[&Path]) -> Output {
    let program = Command::new(example("errors"))
        .arg(kind)
        .args(paths)
        .output();
    program.expect("the example runs")
}

#[test]
fn a_program_with_each_type_of_errors_gets_its_results() {
    let dir = Dir::new();
    let (one, two) = (dir.write("one", b"a b\nc"), dir.write("two", b"d"));
    for kind in KINDS {
        let out = run(kind, &[&one, &two]);
        assert!(out.status.success(), "{kind}: {out:?}");
        assert_eq!(String::from_utf8_lossy(&out.stdout), "4 words\n", "{kind}");
    }
}

#[test]
fn a_program_with_each_type_of_errors_prints_the_cause_once() {
    let dir = Dir::new();
    let (one, none) = (dir.write("one", b"a"), dir.path().join("none"));
    for kind in KINDS {
        for paths in [[&one, &none], [&none, &one]].map(|paths| paths.map(PathBuf::as_path)) {
            let out = run(kind, &paths);
            assert_eq!(out.status.code(), Some(1), "{kind}");
            let text = String::from_utf8_lossy(&out.stderr);
            let cause = io::Error::from(io::ErrorKind::NotFound).to_string();
            let found = text.matches("No such file").count() + text.matches(&cause).count();
            assert_eq!(found, 1, "{kind}: {text}");
        }
    }
}

// The errors themselves.

type Boxed = Box<dyn Error + Send + Sync>;

#[test]
fn a_join_error_did_not_become_an_error_where_the_body_s_is_none_itself() {
    fn all(pool: &ThreadPool) -> anyhow::Result<()> {
        pool.submit(|| Ok::<_, String>(())).join_ok()?;
        pool.submit(|| Ok::<_, &str>(())).join_ok()?;
        pool.submit(|| Ok::<_, Boxed>(())).join_ok()?;
        pool.submit(|| Ok::<_, anyhow::Error>(())).join_ok()?;
        pool.submit(|| Err::<(), _>("no disk")).join_ok()?;
        unreachable!("the last one fails")
    }
    let pool = ThreadPool::new(1).unwrap();
    let error = all(&pool).unwrap_err();
    assert_eq!(error.to_string(), "task failed: no disk");
    assert_eq!(error.chain().count(), 1);
}

#[test]
fn the_causes_of_a_body_s_error_were_lost_in_the_text() {
    let pool = ThreadPool::new(1).unwrap();
    let reads = || {
        let missing = io::Error::new(io::ErrorKind::NotFound, "no such file");
        Err::<(), _>(anyhow::Error::from(missing).context("the settings"))
    };
    let error = pool.submit(reads).join_ok().unwrap_err();
    assert_eq!(error.to_string(), "task failed: the settings: no such file");
    let failure = join_all_ok([pool.submit(reads)]).unwrap_err();
    let text = failure.to_string();
    assert!(text.ends_with("): the settings: no such file"), "{text}");
    assert!(failure.into_error().into_failed().is_ok());
}

#[test]
fn the_error_of_a_task_is_converted_to_the_body_s() {
    let pool = ThreadPool::new(1).unwrap();
    let panics = || -> io::Result<u32> { panic!("no digits") };
    let error = pool.submit(panics).join_flat().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Other);
    let inner = error.get_ref().unwrap().downcast_ref::<TaskError>();
    assert!(inner.unwrap().is_panic());
    let shared = pool.submit(|| Ok::<_, CloneError>(7)).share();
    assert_eq!(*shared.join_ok().unwrap(), 7);
    assert_eq!(shared.join_flat().unwrap(), 7);
    let shared = pool
        .submit(|| -> Result<u32, CloneError> { panic!("no digits") })
        .share();
    assert!(matches!(shared.join_ok(), Err(JoinError::Task(error)) if error.is_panic()));
    assert!(shared.join_flat().unwrap_err().0.contains("no digits"));
    let scoped = pool.scope(|s| s.submit(panics).join_flat());
    assert_eq!(scoped.unwrap_err().kind(), io::ErrorKind::Other);
}

#[derive(Clone, Debug)]
struct CloneError(String);

impl From<TaskError> for CloneError {
    fn from(error: TaskError) -> Self {
        Self(error.to_string())
    }
}

fn stopped(reason: CancelReason) -> TaskError {
    let token = CancelToken::new();
    let pool = ThreadPool::new(1).unwrap();
    let (begin, begun) = mpsc::channel();
    let waits = pool.task().token(&token).submit(move || {
        begin.send(()).unwrap();
        let (_kept, never) = millhand::promise::<()>();
        never.join().unwrap_err()
    });
    must_recv(&begun);
    token.cancel_with(reason);
    match waits.join_timeout(LONG).expect("it ends") {
        Ok(error) | Err(error) => error,
    }
}

#[test]
fn a_time_limit_is_one_in_io_errors_too_and_nothing_is_interrupted() {
    let pool = ThreadPool::new(1).unwrap();
    let kind = |error: TaskError| io::Error::from(error).kind();
    assert_eq!(kind(TaskError::TimedOut), io::ErrorKind::TimedOut);
    assert_eq!(
        kind(TaskError::Expired(WaitedFor::Gate)),
        io::ErrorKind::TimedOut
    );
    assert_eq!(
        kind(TaskError::Cancelled(CancelReason::User)),
        io::ErrorKind::Other
    );
    let late = pool.submit(|| {
        current()
            .unwrap()
            .token()
            .cancel_with(CancelReason::Deadline);
        io::Error::from(millhand::check().unwrap_err()).kind()
    });
    assert_eq!(late.join().unwrap(), io::ErrorKind::TimedOut);
    assert_eq!(kind(stopped(CancelReason::User)), io::ErrorKind::Other);

    let one = Semaphore::new(1).unwrap();
    let _held = one.acquire().unwrap();
    let timed_out = one.acquire_timeout(Duration::ZERO).unwrap_err();
    assert_eq!(io::Error::from(timed_out).kind(), io::ErrorKind::TimedOut);
    let stopped = AcquireError::Stopped(CancelReason::Deadline);
    assert_eq!(io::Error::from(stopped).kind(), io::ErrorKind::TimedOut);
    let heavy = AcquireError::TooHeavy {
        weight: 2,
        limit: 1,
    };
    assert_eq!(io::Error::from(heavy).kind(), io::ErrorKind::Other);
}

/// A reader without an end that leaves when its task is asked to stop.
struct Endless;

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        millhand::check()?;
        Ok(buffer.len())
    }
}

#[test]
fn io_copy_through_a_reader_that_checks_ends_with_its_task() {
    let pool = ThreadPool::new(1).unwrap();
    let (begin, begun) = mpsc::sync_channel(0);
    let mut begin = Some(begin);
    let copies = pool.submit(move || {
        let mut notes = Notes(move || {
            if let Some(begin) = begin.take() {
                begin.send(()).unwrap();
            }
        });
        io::copy(&mut Endless, &mut notes)
    });
    must_recv(&begun);
    copies.cancel();
    let error = copies.join_flat().unwrap_err();
    assert!(error.get_ref().unwrap().is::<millhand::error::Stopped>());
}

/// A writer that calls a closure each time.
struct Notes<F>(F);

impl<F: FnMut()> Write for Notes<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (self.0)();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_common_questions_about_an_error() {
    let pool = ThreadPool::new(1).unwrap();
    let panicked = pool.submit(|| panic!("no digits")).join().unwrap_err();
    assert!(panicked.is_panic() && !panicked.is_cancelled());
    assert_eq!(panicked.into_panic().unwrap().message(), "no digits");

    let interrupted = stopped(CancelReason::User);
    assert!(!interrupted.is_cancelled() && !interrupted.is_timeout());
    assert!(interrupted.into_panic().is_err());
    assert!(TaskError::Cancelled(CancelReason::User).is_cancelled());
    assert!(TaskError::TimedOut.is_timeout() && TaskError::Expired(WaitedFor::Worker).is_timeout());

    pool.shutdown(Shutdown::drain()).unwrap();
    let rejected = pool.submit(|| ()).join().unwrap_err();
    assert!(rejected.is_rejected() && matches!(rejected, TaskError::Rejected(Rejection::Closed)));
}

#[test]
fn failures_of_io_keep_their_kind() {
    fn all(pool: &ThreadPool, kind: io::ErrorKind) -> io::Result<()> {
        let fails = move || Err::<(), _>(io::Error::from(kind));
        let joined = pool.submit(fails).join_ok();
        let error = io::Error::from(joined.unwrap_err());
        assert_eq!(error.kind(), kind);
        join_all_ok([pool.submit(fails)])?;
        Ok(())
    }
    let pool = ThreadPool::new(1).unwrap();
    let kind = |kind| all(&pool, kind).unwrap_err().kind();
    assert_eq!(kind(io::ErrorKind::NotFound), io::ErrorKind::NotFound);
    assert_eq!(kind(io::ErrorKind::Interrupted), io::ErrorKind::Other);
}

#[test]
fn the_failures_of_a_scope_and_of_a_pipeline_keep_the_kind_of_io_errors() {
    fn in_a_scope(pool: &ThreadPool, error: Boxed) -> io::Result<()> {
        pool.scope_with(ScopeOptions::collect_all(), |s| {
            s.submit(move || Err::<(), _>(error));
        })?;
        Ok(())
    }
    fn in_a_pipeline(pool: &ThreadPool, kind: io::ErrorKind) -> io::Result<()> {
        let fails = move |()| Err::<(), _>(io::Error::from(kind));
        for end in pool.pipeline([()]).stage_ok(1, fails) {
            end?;
        }
        Ok(())
    }
    let pool = ThreadPool::new(1).unwrap();
    for (kind, wants) in [
        (io::ErrorKind::NotFound, io::ErrorKind::NotFound),
        (io::ErrorKind::Interrupted, io::ErrorKind::Other),
    ] {
        let scoped = in_a_scope(&pool, io::Error::from(kind).into());
        assert_eq!(scoped.unwrap_err().kind(), wants);
        let piped = in_a_pipeline(&pool, kind);
        assert_eq!(piped.unwrap_err().kind(), wants);
    }
    let other = in_a_scope(&pool, "no disk".into()).unwrap_err();
    assert_eq!(other.kind(), io::ErrorKind::Other);
    assert!(other.to_string().ends_with(": no disk"), "{other}");
}
