//! Failures that no code can read: each is logged once and told to the hook once, and counted as what it is.

use crate::manual::{Manual, S, until};
use crate::stress::{EXPECTED, silence};
use crate::submit::hold;
use crate::support::{SCENARIO, in_a_copy, must_recv};
use log::{Level, LevelFilter, Log, Metadata, Record};
use millhand::error::Rejection;
use millhand::pool::PoolBuilder;
use millhand::{Every, JoinError, OnFull, PoolHandle, Retry, Shutdown, TaskError, ThreadPool};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::Duration;

/// What the hook hears: what happened, the name, the line of submission.
type Heard = (String, Option<String>, u32);

fn listening(builder: PoolBuilder) -> (ThreadPool, mpsc::Receiver<Heard>) {
    silence();
    let (tell, told) = mpsc::channel();
    let hook = move |failure: &millhand::task::UnreadFailure| {
        let what = match failure.error() {
            JoinError::Failed(text) => format!("failed: {text}"),
            JoinError::Task(TaskError::Panicked(panic)) => format!("panicked: {}", panic.message()),
            JoinError::Task(TaskError::Rejected(why)) => format!("rejected: {why}"),
            JoinError::Task(other) => format!("ended: {other}"),
        };
        let name = failure.name().map(str::to_owned);
        let text = failure.to_string();
        assert!(text.contains(&failure.site().to_string()), "{text}");
        assert!(text.contains(&format!("task {}", failure.id())), "{text}");
        tell.send((what, name, failure.site().line())).unwrap();
    };
    (builder.workers(1).on_unread(hook).build().unwrap(), told)
}

fn heard(told: &mpsc::Receiver<Heard>) -> Heard {
    must_recv(told)
}

/// What the copy of this program runs. Nothing when it is not a copy.
#[test]
fn the_copy() {
    match std::env::var(SCENARIO).as_deref() {
        Ok("log") => log_of_what_nobody_reads(),
        Ok(other) => panic!("no such scenario: {other}"),
        Err(_) => {}
    }
}

struct Errors(Mutex<Vec<String>>);

impl Log for Errors {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        if record.level() == Level::Error {
            self.0.lock().unwrap().push(record.args().to_string());
        }
    }

    fn flush(&self) {}
}

static ERRORS: Errors = Errors(Mutex::new(Vec::new()));

#[test]
fn the_log_was_silent_about_what_nobody_reads() {
    in_a_copy("unread::the_copy", "log");
}

fn log_of_what_nobody_reads() {
    log::set_logger(&ERRORS).unwrap();
    log::set_max_level(LevelFilter::Trace);
    let pool = ThreadPool::new(1).unwrap();
    let reference = pool.handle();
    pool.task()
        .name("one")
        .execute_ok(|| Err::<(), _>("no disk"));
    let invalid = pool.task().name("two").expires(Duration::ZERO);
    drop(invalid.submit(|| ()));
    pool.shutdown(Shutdown::drain()).unwrap();
    reference.task().name("three").execute(|| ());
    let records = ERRORS.0.lock().unwrap();
    let mut expected = [
        "`one` (submitted at ",
        "`two` (submitted at ",
        "`three` (submitted at ",
    ];
    let mut ends = [
        ") failed: no disk, and no handle of the task is left",
        ") was rejected: `expires` must be longer than zero, and no handle of the task is left",
        ") was rejected: the pool is closed, and no handle of the task is left",
    ];
    if records.len() == 3 && records[0].contains("`two`") {
        expected.swap(0, 1);
        ends.swap(0, 1);
    }
    assert_eq!(records.len(), 3, "{records:?}");
    for (record, (part, end)) in records.iter().zip(expected.iter().zip(ends)) {
        assert!(record.contains(part) && record.ends_with(end), "{record}");
        assert!(record.contains("unread.rs:"), "{record}");
    }
}

#[test]
fn an_err_of_execute_ok_was_dropped() {
    let (pool, told) = listening(ThreadPool::builder());
    pool.execute_ok(|| Err::<(), _>("no disk"));
    let line = line!() - 1;
    assert_eq!(heard(&told), ("failed: no disk".into(), None, line));
    let named = pool.task().name("upload");
    named.execute_ok(|| Err::<(), _>("no host"));
    let upload = Some("upload".to_owned());
    assert_eq!(
        heard(&told),
        ("failed: no host".into(), upload, line!() - 4)
    );
    let tries = named.try_execute_ok(|| Err::<(), _>("no route"));
    assert!(tries.is_ok());
    assert_eq!(heard(&told).0, "failed: no route");
    named
        .clone()
        .fallible()
        .execute_ok(|| Err::<(), _>("no net"));
    assert_eq!(heard(&told).0, "failed: no net");
    // After the last attempt alone.
    let again = named.retry(Retry::fixed(2, Duration::ZERO));
    let mut attempts = 0;
    again.execute_ok(move || {
        attempts += 1;
        Err(format!("attempt {attempts}"))
    });
    assert_eq!(heard(&told).0, "failed: attempt 3");
    pool.execute_ok(|| Ok::<(), String>(()));
    let report = pool.shutdown(Shutdown::drain()).unwrap();
    assert_eq!((report.succeeded(), report.failed()), (1, 5));
    assert!(told.try_recv().is_err(), "each is told once");
}

#[test]
fn a_refused_execute_was_lost() {
    let (pool, told) = listening(ThreadPool::builder());
    let handle = pool.handle();
    pool.shutdown(Shutdown::drain()).unwrap();
    handle.execute(|| ());
    let line = line!() - 1;
    let closed = || "rejected: the pool is closed".to_owned();
    assert_eq!(heard(&told), (closed(), None, line));
    handle
        .task()
        .name("late")
        .execute_ok(|| Ok::<(), String>(()));
    assert_eq!(heard(&told).1.as_deref(), Some("late"));
    let retried = handle.task().retry(Retry::default());
    retried.execute_ok(|| Ok::<(), String>(()));
    assert_eq!(heard(&told).0, closed());
    // The forms that give the closure back are told to their callers.
    assert!(handle.try_execute(|| ()).is_err());
    assert!(handle.try_execute_ok(|| Ok::<(), String>(())).is_err());
    assert!(handle.try_submit(|| ()).is_err());
    assert!(told.try_recv().is_err());
    let report = pool.shutdown(Shutdown::drain()).unwrap();
    assert_eq!((report.rejected(), report.failed()), (3, 0));
    assert!(report.to_string().contains("3 rejected"), "{report}");
}

#[test]
fn a_full_queue_lost_what_execute_brought() {
    let builder = ThreadPool::builder().queue_capacity(1);
    let (pool, told) = listening(builder.on_full(OnFull::Reject));
    let (begun, begins) = mpsc::channel();
    let (hold, held) = mpsc::channel::<()>();
    pool.execute(move || {
        begun.send(()).unwrap();
        let _ = held.recv();
    });
    must_recv(&begins);
    pool.execute(|| ());
    pool.execute(|| unreachable!("there is no place for it"));
    assert_eq!(heard(&told).0, "rejected: the queue is full");
    drop(hold);
    let report = pool.shutdown(Shutdown::drain()).unwrap();
    assert_eq!((report.succeeded(), report.rejected()), (2, 1));
}

#[test]
fn an_unread_handle_of_a_rejected_task_was_silent() {
    let (pool, told) = listening(ThreadPool::builder());
    let invalid = pool.task().name("never").expires(Duration::ZERO);
    let handle = invalid.submit(|| ());
    assert!(told.try_recv().is_err(), "it can be read still");
    drop(handle);
    let (what, name, _) = heard(&told);
    assert_eq!(what, "rejected: `expires` must be longer than zero");
    assert_eq!(name.as_deref(), Some("never"));
    let read = invalid.submit(|| ()).join();
    assert!(matches!(
        read,
        Err(TaskError::Rejected(Rejection::Invalid(_)))
    ));
    // A continuation of it is one more, and has the same cause.
    drop(invalid.submit(|| ()).map(|()| ()));
    assert_eq!(
        heard(&told).0,
        "rejected: `expires` must be longer than zero"
    );
    assert!(told.try_recv().is_err());
    drop(pool);
}

#[test]
fn an_unread_err_of_a_fallible_task_had_no_text() {
    let (pool, told) = listening(ThreadPool::builder());
    let fails = || Err::<(), _>(anyhow::anyhow!("no such host").context("upload"));
    let handle = pool.task().fallible().submit(fails);
    handle.wait().unwrap();
    drop(handle);
    assert_eq!(heard(&told).0, "failed: upload: no such host");
    let long = "x".repeat(100_000);
    pool.execute_ok(move || Err::<(), _>(long));
    assert_eq!(heard(&told).0.len(), "failed: ".len() + (8 << 10));
    struct Faulty;
    impl fmt::Display for Faulty {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("{}", EXPECTED)
        }
    }
    pool.execute_ok(|| Err::<(), _>(Faulty));
    let text = heard(&told).0;
    assert!(
        text.starts_with("failed: an error whose text panicked"),
        "{text}"
    );
}

#[test]
fn a_plain_scope_lost_the_errors_of_its_bodies() {
    let (pool, told) = listening(ThreadPool::builder());
    let paths = ["a", "b"].map(String::from);
    pool.scope(|s| {
        s.task()
            .name("scoped")
            .execute_ok(|| Err::<(), _>(paths[0].as_str().len()));
        drop(s.task().fallible().submit(|| Err::<(), _>("b")));
        let retried = s.task().retry(Retry::fixed(1, Duration::ZERO));
        retried.execute_ok(|| Err::<(), _>("c"));
        s.execute(|| assert_eq!(paths.len(), 2));
    });
    let mut all: Vec<_> = told.try_iter().map(|(what, ..)| what).collect();
    all.sort();
    assert_eq!(all, ["failed: 1", "failed: b", "failed: c"]);
    assert_eq!(pool.shutdown(Shutdown::drain()).unwrap().failed(), 3);
}

#[test]
fn a_run_of_a_schedule_lost_the_text_of_its_error() {
    let (tell, told) = mpsc::channel();
    let hook =
        move |failure: &millhand::task::UnreadFailure| tell.send(failure.to_string()).unwrap();
    let pool = Manual::with(1, |builder| builder.on_unread(hook));
    let every = pool.task().name("backup").every(Every::new(S));
    let schedule = every.run(|| Err::<(), _>("no disk")).unwrap();
    pool.advance(S);
    let text = must_recv(&told);
    assert!(
        text.contains("`backup`") && text.ends_with("failed: no disk"),
        "{text}"
    );
    // One that is due while the first has not ended would be left out.
    until("the schedule knows", || schedule.counts().failures == 1);
    let retried = pool.task().retry(Retry::fixed(1, Duration::ZERO));
    let other = retried.every(Every::new(S)).run(|| Err::<(), _>("no net"));
    pool.advance(S);
    let mut texts = [must_recv(&told), must_recv(&told)];
    texts.sort_by_key(|text| text.ends_with("no net"));
    assert!(texts[1].ends_with("failed: no net"), "{texts:?}");
    pool.wait_idle().unwrap();
    assert_eq!(schedule.counts().failures, 2);
    assert_eq!(other.unwrap().counts().failures, 1);
}

#[test]
fn a_body_that_was_asked_to_stop_counted_as_failed() {
    let (pool, told) = listening(ThreadPool::builder());
    let (begun, begins) = mpsc::channel();
    let told_to = move || {
        begun.send(()).unwrap();
        while millhand::check().is_ok() {
            std::thread::yield_now();
        }
        Err::<(), _>("whatever the error is")
    };
    let handle = pool.task().fallible().submit(told_to.clone());
    must_recv(&begins);
    handle.cancel();
    assert!(matches!(handle.join(), Err(TaskError::Cancelled(_))));
    let retried = pool.task().retry(Retry::fixed(9, Duration::ZERO));
    let handle = retried.submit(told_to.clone());
    must_recv(&begins);
    handle.cancel();
    assert!(matches!(handle.join(), Err(TaskError::Cancelled(_))));
    let token = millhand::CancelToken::with_timeout(Duration::from_millis(1));
    let limited = pool.task().token(&token).fallible();
    let handle = limited.submit(told_to.clone());
    assert!(matches!(handle.join(), Err(TaskError::TimedOut)));
    must_recv(&begins);
    // An `Ok` stands.
    let stands = {
        let told_to = told_to.clone();
        move || told_to().map_or_else(|_| Ok::<_, String>(7), |()| Ok(8))
    };
    let handle = pool.task().fallible().submit(stands);
    must_recv(&begins);
    handle.cancel();
    assert_eq!(handle.join_ok().unwrap(), 7);
    pool.execute_ok(told_to);
    must_recv(&begins);
    let report = pool.shutdown(Shutdown::cancel()).unwrap();
    assert_eq!((report.failed(), report.cancelled()), (0, 3));
    assert_eq!((report.timed_out(), report.succeeded()), (1, 1));
    assert!(told.try_recv().is_err(), "none has failed");
}

#[test]
fn a_task_without_a_handle_whose_time_was_over_ended_in_silence() {
    let (tell, told) = mpsc::channel();
    let pool = Manual::with(1, |builder| {
        builder.on_unread(move |failure| tell.send(failure.to_string()).unwrap())
    });
    let busy = hold(&pool, 1);
    let late = pool.task().name("late").expires(S);
    late.execute(|| ());
    drop(late.submit(|| ()));
    pool.advance(S);
    busy.release();
    for _ in 0..2 {
        let text = must_recv(&told);
        assert!(
            text.contains("`late`") && text.contains("expired"),
            "{text}"
        );
    }
    let slow = pool.task().name("slow").attempt_timeout(S);
    let (begin, begun) = mpsc::channel();
    slow.execute_ok(move || {
        begin.send(()).unwrap();
        millhand::sleep(10 * S)
    });
    must_recv(&begun);
    pool.advance(S);
    let text = must_recv(&told);
    assert!(
        text.contains("`slow`") && text.contains("timed out"),
        "{text}"
    );
    assert!(told.try_recv().is_err());
}

#[test]
fn a_hook_that_submitted_to_its_closed_pool_overflowed_the_stack() {
    static POOL: OnceLock<PoolHandle> = OnceLock::new();
    let calls = Arc::new(AtomicUsize::new(0));
    let counts = calls.clone();
    let pool = ThreadPool::builder().workers(1);
    let pool = pool.on_unread(move |_| {
        counts.fetch_add(1, SeqCst);
        POOL.get().unwrap().execute(|| ());
    });
    let pool = pool.build().unwrap();
    POOL.set(pool.handle()).unwrap();
    pool.close();
    pool.execute(|| ());
    pool.execute(|| ());
    assert_eq!(calls.load(SeqCst), 2);
    assert_eq!(pool.shutdown(Shutdown::drain()).unwrap().rejected(), 4);
}
