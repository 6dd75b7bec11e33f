//! Scopes that return the errors of their bodies, of any types.

use millhand::compose::{Failures, GatherScope};
use millhand::error::BoxError;
use millhand::{JoinError, Retry, Scope, ScopeOptions, ThreadPool};
use std::fmt;
use std::num::ParseIntError;
use std::time::Duration;
use std::{fs, io};

#[derive(Debug, PartialEq)]
struct Own(u32);

impl fmt::Display for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "own {}", self.0)
    }
}

impl std::error::Error for Own {}

fn texts(failures: &Failures) -> Vec<String> {
    let text = |failure: &millhand::compose::Failure| match failure.error() {
        JoinError::Failed(error) => error.to_string(),
        JoinError::Task(error) => format!("task: {error}"),
    };
    failures.iter().map(text).collect()
}

#[test]
fn a_plain_submit_that_failed_left_a_fail_fast_scope_ok() {
    let pool = ThreadPool::new(2).unwrap();
    let path = String::from("no such file");
    let failed = pool.scope_with(ScopeOptions::fail_fast(), |s| {
        s.submit(|| fs::remove_file(&path));
    });
    let failures = failed.unwrap_err();
    assert_eq!(failures.pick::<io::Error>().count(), 1);
}

fn by_name() -> Result<(), Own> {
    Err(Own(1))
}

#[test]
fn three_ways_of_writing_a_body_that_fails_compile() {
    let pool = ThreadPool::new(2).unwrap();
    let failures = pool
        .scope_with(ScopeOptions::collect_all(), |s| {
            s.submit(by_name);
            s.submit(|| "x".parse::<u8>());
            s.submit(|| -> Result<u64, BoxError> {
                let length = fs::read("no such file")?.len();
                Ok(u64::try_from(length)?)
            });
        })
        .unwrap_err();
    assert_eq!(failures.len(), 3);
    assert_eq!(failures.pick::<Own>().next().unwrap().1, &Own(1));
    assert_eq!(failures.pick::<ParseIntError>().count(), 1);
    assert_eq!(failures.pick::<io::Error>().count(), 1);
}

#[test]
fn errors_that_are_texts_or_boxes_or_anyhow_are_gathered() {
    let pool = ThreadPool::new(2).unwrap();
    let failures = pool
        .scope_with(ScopeOptions::collect_all(), |s| {
            s.submit(|| Err::<(), _>("a text"));
            s.submit(|| Err::<(), _>(String::from("a string")));
            s.submit(|| Err::<(), BoxError>(Own(2).into()));
            s.submit(|| Err::<(), _>(anyhow::anyhow!(Own(3))));
        })
        .unwrap_err();
    assert_eq!(texts(&failures), ["a text", "a string", "own 2", "own 3"]);
    assert_eq!(failures.pick::<Own>().next().unwrap().1, &Own(2));
}

#[test]
fn the_handle_owns_the_error_while_there_is_one() {
    let pool = ThreadPool::new(2).unwrap();
    let done = pool.scope_with(ScopeOptions::collect_all(), |s| {
        let read = s.submit(|| Err::<(), _>(Own(4))).join();
        let named = s.task().name("named").submit(|| Err::<u8, _>(Own(5)));
        (read.unwrap().unwrap_err(), named.join_ok())
    });
    let (first, second) = done.unwrap();
    assert_eq!(first, Own(4));
    assert!(matches!(second, Err(JoinError::Failed(Own(5)))));
    let retried = pool.scope_with(ScopeOptions::collect_all(), |s| {
        let mut attempts = 0;
        let retry = s.task().retry(Retry::fixed(2, Duration::ZERO));
        let handle = retry.submit(move || {
            attempts += 1;
            Err::<(), _>(Own(attempts))
        });
        handle.join().unwrap().unwrap_err()
    });
    assert_eq!(retried.unwrap(), Own(3));
}

#[test]
fn values_and_panics_are_told_from_errors() {
    crate::stress::silence();
    let pool = ThreadPool::new(2).unwrap();
    let failures = pool
        .scope_with(ScopeOptions::collect_all(), |s| {
            assert_eq!(s.submit_value(|| 7).join().unwrap(), 7);
            // A `Result` is a value here.
            s.submit_value(|| Err::<(), _>("a value"));
            s.task()
                .name("n")
                .submit_value(|| panic!("{}", crate::stress::EXPECTED));
        })
        .unwrap_err();
    assert_eq!(failures.len(), 1);
    assert_eq!(failures.pick::<millhand::error::TaskPanic>().count(), 1);
}

fn to_any<'scope>(s: &'scope Scope<'scope, '_>, path: &'scope str) {
    s.task().fallible().submit(move || fs::read(path));
    s.execute(move || _ = path.len());
}

fn to_gather<'scope>(s: &'scope GatherScope<'scope, '_>, path: &'scope str) {
    s.submit(move || fs::read(path));
    to_any(s, path);
}

#[test]
fn a_helper_takes_either_kind_of_scope() {
    let pool = ThreadPool::new(2).unwrap();
    let path = String::from("no such file");
    let options = ScopeOptions::collect_all();
    let failures = pool
        .scope_with(options, |s| to_gather(s, &path))
        .unwrap_err();
    // What went through the plain scope is there by its text.
    assert_eq!(failures.len(), 2);
    assert_eq!(failures.pick::<io::Error>().count(), 1);
    let texts = texts(&failures);
    assert_eq!(texts[0], texts[1]);
    pool.scope(|s| to_any(s, "Cargo.toml"));
}

#[test]
fn failures_of_several_types_become_an_io_error() {
    fn run(pool: &ThreadPool, first: bool) -> io::Result<()> {
        pool.scope_with(ScopeOptions::collect_all(), |s| {
            s.submit(move || match first {
                true => Err(io::Error::from(io::ErrorKind::NotFound)),
                false => Ok(()),
            });
            s.submit(|| Err::<(), _>("a text"));
        })?;
        Ok(())
    }
    let pool = ThreadPool::new(2).unwrap();
    let kind = |first| run(&pool, first).unwrap_err().kind();
    assert_eq!(kind(true), io::ErrorKind::NotFound);
    assert_eq!(kind(false), io::ErrorKind::Other);
}
