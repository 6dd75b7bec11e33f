//! Scopes that gather: who is cancelled for whom, what is listed, deadlines and tokens.

use crate::handle::keep_busy;
use crate::manual::{Manual, S, until};
use crate::support::LONG;
use millhand::cancel::CancelReason;
use millhand::compose::{Failures, GatherScope, ScopedHandle};
use millhand::error::{BoxError, Rejection, TaskPanic, WaitedFor};
use millhand::task::TaskState;
use millhand::{
    CancelToken, JoinError, Retry, Scope, ScopeOptions, Shutdown, TaskError, ThreadPool, current,
};
use std::convert::Infallible;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

fn indices<E>(failures: &Failures<E>) -> Vec<usize> {
    failures.iter().map(|failure| failure.index()).collect()
}

fn is_cancelled<E>(failures: &Failures<E>, reason: CancelReason) -> bool {
    failures.iter().all(|failure| {
        matches!(failure.error(), JoinError::Task(TaskError::Cancelled(why)) if *why == reason)
    })
}

// Failing fast.

#[test]
fn a_scope_in_which_nothing_fails_gives_its_value() {
    let pool = ThreadPool::new(2).unwrap();
    for options in [ScopeOptions::fail_fast(), ScopeOptions::collect_all()] {
        let mut lengths = [0; 2];
        let done = pool.scope_with(options, |s| {
            for (text, length) in ["a", "bc"].iter().zip(&mut lengths) {
                s.submit(move || {
                    *length = text.len();
                    Ok::<_, Infallible>(())
                });
            }
            "done"
        });
        assert_eq!(done.unwrap(), "done");
        assert_eq!(lengths, [1, 2]);
    }
}

fn fail<'scope>(what: &str, pool: &Manual, s: &'scope GatherScope<'scope, '_>) {
    match what {
        "an error" => drop(s.submit(|| Err::<(), _>("no"))),
        "a panic" => drop(s.submit_value(|| panic_any("no"))),
        "the last attempt" => {
            let retried = s.task().retry(Retry::fixed(2, Duration::ZERO));
            retried.submit(|| Err::<(), _>("no"));
        }
        "a time limit" => {
            let gone = s.task().delay(S).submit_value(|| ());
            gone.cancel(); // which by itself cancels nobody
            assert!(gone.join().is_err());
            assert!(!s.token().is_cancelled());
            let hung = s
                .task()
                .deadline(S)
                .submit_value(|| while !millhand::is_cancelled() {});
            until("it runs", || hung.state() == TaskState::Running);
            pool.advance(S);
        }
        _ => unreachable!(),
    }
}

#[test]
fn whatever_fails_cancels_the_others_and_is_the_failure() {
    for what in ["an error", "a panic", "the last attempt", "a time limit"] {
        let pool = Manual::new(3);
        let ran = AtomicUsize::new(0);
        let failures = pool
            .scope_with(ScopeOptions::fail_fast(), |s| {
                // Goes on until it is asked to stop.
                s.submit_value(|| millhand::sleep(LONG).unwrap_err());
                s.task()
                    .delay(1000 * S)
                    .submit_value(|| ran.fetch_add(1, SeqCst));
                fail(what, &pool, s);
            })
            .expect_err(what);
        assert_eq!(ran.into_inner(), 0, "{what}");
        assert_eq!(failures.len(), 1, "{what}: {failures}");
        assert!(failures.first().index() >= 2, "{what}");
        assert_eq!(pool.stats().unread, 0, "{what}");
    }
}

#[test]
fn the_culprit_is_first_and_what_failed_beside_it_follows() {
    let pool = ThreadPool::new(1).unwrap();
    let own = CancelToken::new();
    let failures = pool
        .scope_with(ScopeOptions::fail_fast(), |s| {
            let _busy = keep_busy(&pool);
            // After the others, for which it is cancelled.
            s.task().priority(-1).submit(|| Err::<(), _>("after it"));
            s.task().token(&own).delay(LONG).submit_value(|| ());
            s.submit(|| {
                own.cancel_with(CancelReason::Race);
                Err::<(), _>("the culprit")
            });
        })
        .unwrap_err();
    // The first was queued and is cancelled by the scope: no failure. The second was cancelled for itself: one.
    assert_eq!(indices(&failures), [2, 1]);
    assert!(matches!(
        failures.into_first().into_error(),
        JoinError::Failed(error) if error.to_string() == "the culprit"
    ));
}

#[test]
fn a_culprit_that_is_read_leaves_those_that_were_cancelled_for_it() {
    let pool = ThreadPool::new(1).unwrap();
    let failures = pool
        .scope_with(ScopeOptions::fail_fast(), |s| {
            let culprit = s.submit(|| Err::<(), _>("read"));
            s.task().delay(LONG).submit_value(|| ());
            assert!(matches!(culprit.join_ok(), Err(JoinError::Failed("read"))));
        })
        .unwrap_err();
    assert_eq!(indices(&failures), [1]);
    assert!(is_cancelled(&failures, CancelReason::Scope));
}

#[test]
fn a_failure_that_is_read_and_cost_nobody_anything_is_none() {
    let pool = ThreadPool::new(1).unwrap();
    let done = pool.scope_with(ScopeOptions::fail_fast(), |s| {
        let failed = s.submit(|| Err::<(), _>("read"));
        assert!(failed.join_ok().is_err());
        "done"
    });
    assert_eq!(done.unwrap(), "done");
}

#[test]
fn a_panic_of_the_closure_cancels_the_tasks_of_a_scope_that_fails_fast() {
    let pool = ThreadPool::new(1).unwrap();
    let payload = catch_unwind(AssertUnwindSafe(|| {
        let options = ScopeOptions::fail_fast();
        pool.scope_with(options, |s| {
            s.submit_value(|| millhand::sleep(LONG).is_ok());
            s.submit_value(|| panic!("lost beside it"));
            panic_any("the closure's")
        })
    }));
    assert_eq!(payload.unwrap_err().downcast_ref(), Some(&"the closure's"));
}

// Collecting.

#[test]
fn failures_tell_what_went_wrong_where() {
    let pool = ThreadPool::new(2).unwrap();
    let line = line!() + 5;
    let failures = pool
        .scope_with(ScopeOptions::collect_all(), |s| {
            s.submit_value(|| "fine");
            let named = s.task().name("parse");
            named.submit(|| "x".parse::<u8>()); // Each has an error type of its own,
            named.submit(|| Err::<(), _>(io::Error::other("disk")));
            s.submit_value(|| panic!("no digits"));
            let id = s.task().delay(LONG).submit_value(|| ()).token();
            id.cancel();
            s.submit(|| Ok::<_, BoxError>("x".parse::<f32>()?)); // or the box itself.
        })
        .unwrap_err();
    assert_eq!(indices(&failures), [1, 2, 3, 4, 5]);
    let first = failures.first();
    assert_eq!((first.name(), first.site().line()), (Some("parse"), line));
    assert_eq!(failures.pick::<std::num::ParseIntError>().count(), 1);
    assert_eq!(failures.pick::<io::Error>().count(), 1);
    assert_eq!(failures.pick::<std::num::ParseFloatError>().count(), 1);
    assert_eq!(
        failures.pick::<TaskPanic>().next().unwrap().1.message(),
        "no digits"
    );
    assert_eq!(failures.pick::<TaskError>().count(), 2);
    let text = failures.to_string();
    assert!(
        text.starts_with("5 tasks failed: task ") && text.contains("`parse`"),
        "{text}"
    );
    assert_eq!(pool.stats().unread, 0);
}

#[test]
fn it_makes_no_difference_when_a_handle_is_dropped() {
    let pool = ThreadPool::new(1).unwrap();
    type Drops = for<'s> fn(ScopedHandle<'s, Result<(), &'static str>>);
    let ways: [Drops; 2] = [|handle| drop(handle), |handle| handle.wait().unwrap()];
    for let_go in ways {
        let failures = pool
            .scope_with(ScopeOptions::collect_all(), |s| {
                let_go(s.submit(|| Err("no")));
                let_go(s.submit(|| panic!("no")));
                let_go(
                    s.task()
                        .retry(Retry::fixed(1, Duration::ZERO))
                        .submit(|| Err("no")),
                );
                let_go(s.submit(|| Ok(())));
            })
            .unwrap_err();
        assert_eq!(indices(&failures), [0, 1, 2]);
    }
}

#[test]
fn what_a_reader_has_is_not_listed() {
    let pool = ThreadPool::new(1).unwrap();
    let done = pool.scope_with(ScopeOptions::collect_all(), |s| {
        let failed = s.submit(|| Err::<(), _>("read"));
        assert!(failed.join_ok().is_err());
        assert!(matches!(
            s.submit_value(|| panic!("read")).join(),
            Err::<(), _>(TaskError::Panicked(_))
        ));
    });
    assert!(done.is_ok());
}

#[test]
fn an_err_of_a_body_that_cannot_fail_is_a_value() {
    fn plain<'scope>(s: &'scope Scope<'scope, '_>) {
        s.submit(|| Err::<(), _>("just a value"));
        s.task().submit(|| Err::<(), _>("just a value"));
    }
    let pool = ThreadPool::new(1).unwrap();
    let done = pool.scope_with(ScopeOptions::fail_fast(), |s| {
        s.submit_value(|| Err::<(), _>("just a value"));
        s.task().submit_value(|| Err::<(), _>("just a value"));
        plain(s);
    });
    assert!(done.is_ok());
}

#[test]
fn tasks_that_the_pool_does_not_take_are_failures() {
    let pool = ThreadPool::new(1).unwrap();
    pool.shutdown(Shutdown::drain()).unwrap();
    let failures = pool
        .scope_with(ScopeOptions::fail_fast(), |s| {
            s.submit_value(|| ());
            assert_eq!(s.token().reason(), Some(CancelReason::Scope));
        })
        .unwrap_err();
    let (_, error) = failures.pick::<TaskError>().next().unwrap();
    assert!(matches!(error, TaskError::Rejected(Rejection::Closed)));
}

#[test]
fn a_function_may_work_for_any_scope() {
    fn count<'scope>(s: &'scope Scope<'scope, '_>, text: &'scope str, into: &'scope AtomicUsize) {
        s.submit(|| into.fetch_add(text.len(), SeqCst));
    }
    let pool = ThreadPool::new(1).unwrap();
    let total = AtomicUsize::new(0);
    pool.scope(|s| count(s, "abc", &total));
    pool.scope_with(ScopeOptions::fail_fast(), |s| {
        count(s, "ab", &total);
    })
    .unwrap();
    assert_eq!(total.into_inner(), 5);
}

// Deadlines and tokens.

#[test]
fn a_deadline_ends_what_is_queued_and_asks_what_runs() {
    let pool = ThreadPool::new(1).unwrap();
    for options in [
        ScopeOptions::collect_all().timeout(Duration::from_millis(5)),
        ScopeOptions::collect_all().timeout(Duration::ZERO),
        ScopeOptions::collect_all()
            .timeout(LONG)
            .token(&CancelToken::with_timeout(Duration::from_millis(5))),
    ] {
        let failures = pool
            .scope_with(options, |s| {
                s.submit(|| millhand::sleep(LONG));
                s.task().delay(LONG).submit_value(|| ());
                s.submit_value(|| assert!(current().unwrap().remaining().is_some()));
            })
            .unwrap_err();
        assert!(indices(&failures).starts_with(&[0, 1]), "{failures}");
        let errors: Vec<_> = failures
            .pick::<TaskError>()
            .map(|(_, error)| error)
            .collect();
        assert!(errors.iter().all(|error| error.is_timeout()), "{failures}");
        let delayed = errors
            .iter()
            .find(|error| matches!(error, TaskError::Expired(WaitedFor::Delay)));
        assert!(delayed.is_some(), "{failures}");
    }
}

#[test]
fn a_deadline_that_nothing_misses_does_nothing() {
    let pool = ThreadPool::new(1).unwrap();
    for options in [
        ScopeOptions::fail_fast().timeout(LONG),
        ScopeOptions::fail_fast().timeout(Duration::MAX),
    ] {
        let remaining = pool.scope_with(options.clone(), |s| {
            let remaining = s.submit_value(|| current().unwrap().remaining());
            remaining.join().unwrap()
        });
        let bounded = format!("{options:?}").contains("120s");
        assert_eq!(remaining.unwrap().is_some(), bounded);
    }
}

#[test]
fn a_token_from_outside_cancels_the_scope() {
    let pool = ThreadPool::new(1).unwrap();
    let batch = CancelToken::new();
    let failures = pool
        .scope_with(ScopeOptions::fail_fast().token(&batch), |s| {
            s.submit(|| millhand::sleep(LONG));
            s.submit_value(|| ());
            batch.cancel_with(CancelReason::Race);
            assert_eq!(s.token().reason(), Some(CancelReason::Race));
        })
        .unwrap_err();
    assert!(is_cancelled(&failures, CancelReason::Race), "{failures}");
    let other = CancelToken::new();
    let cancelled = pool.scope_with(ScopeOptions::fail_fast().token(&other), |s| {
        s.submit(|| Err::<(), _>("no"));
    });
    assert!(cancelled.is_err());
    assert!(!other.is_cancelled(), "a scope cancels nothing above it");
}

#[test]
fn a_scope_in_a_task_is_below_that_with_a_token_of_its_own_as_well() {
    let pool = ThreadPool::new(2).unwrap();
    for cancels_task in [false, true] {
        let batch = CancelToken::new();
        let inner = batch.clone();
        let (begin, begun) = std::sync::mpsc::channel();
        let around = pool.submit(move || {
            let text = String::from("borrowed");
            let options = ScopeOptions::fail_fast().token(&inner);
            let pool = current().unwrap().pool();
            let stopped = pool.scope_with(options, |s| {
                s.submit(|| {
                    begin.send(text.len()).unwrap();
                    millhand::sleep(LONG)
                });
            });
            stopped.unwrap_err().len()
        });
        assert_eq!(begun.recv_timeout(LONG).unwrap(), 8);
        if cancels_task {
            around.cancel();
        } else {
            batch.cancel();
        }
        assert_eq!(around.join_timeout(LONG).unwrap().unwrap(), 1);
        assert_eq!(batch.is_cancelled(), !cancels_task);
    }
}

#[test]
fn siblings_are_cancelled_while_they_wait_in_the_queue() {
    let pool = ThreadPool::new(1).unwrap();
    let ran = AtomicUsize::new(0);
    let failures = pool
        .scope_with(ScopeOptions::fail_fast(), |s| {
            let busy = keep_busy(&pool);
            s.submit(|| Err::<(), _>("first"));
            for _ in 0..1000 {
                s.submit_value(|| ran.fetch_add(1, SeqCst));
            }
            drop(busy);
        })
        .unwrap_err();
    assert_eq!(indices(&failures), [0]);
    assert_eq!(ran.into_inner(), 0);
}
