//! A join may run a queued task on the stack of its body. That body still hears that it is to stop.

use crate::handle::must_join;
use crate::support::must_recv;
use millhand::cancel::CancelReason;
use millhand::compose::{Until, wait_until};
use millhand::{
    CancelToken, ScopeOptions, Shutdown, TaskError, TaskHandle, ThreadPool, as_completed, current,
    join_all, join_all_ok, race, wait_any,
};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

/// What a body got that waited for a task which sleeps for an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Got {
    /// The wait ended, and the task sleeps on.
    Interrupted(CancelReason),
    /// The task was asked to stop as well.
    Stopped(CancelReason),
    Else,
}

type Slept = Result<(), millhand::error::Stopped>;

fn of(outcome: &Result<Slept, TaskError>) -> Got {
    match outcome {
        Ok(Err(stopped)) => Got::Stopped(stopped.reason()),
        Err(TaskError::Interrupted(stopped)) => Got::Interrupted(stopped.reason()),
        _ => Got::Else,
    }
}

/// A queued task that reports its thread once it runs, and sleeps.
fn sleeper(begins: Sender<thread::ThreadId>) -> TaskHandle<Slept> {
    current().unwrap().pool().submit(sleeps(begins))
}

fn sleeps(begins: Sender<thread::ThreadId>) -> impl FnOnce() -> Slept + Send {
    move || {
        begins.send(thread::current().id()).unwrap();
        millhand::sleep(HOUR)
    }
}

type Begins = Sender<thread::ThreadId>;

/// A body that waits for a queued sleeper.
type Wait = fn(Begins) -> Got;

fn joins(begins: Begins) -> Got {
    of(&sleeper(begins).join())
}

fn joins_all(begins: Begins) -> Got {
    of(&join_all([sleeper(begins)])[0])
}

fn joins_in_a_scope(begins: Begins) -> Got {
    let pool = current().unwrap().pool();
    pool.scope(|s| of(&s.submit(sleeps(begins)).join()))
}

fn waits(begins: Begins) -> Got {
    let sleeper = sleeper(begins);
    let stopped = sleeper.wait().unwrap_err();
    assert!(!sleeper.is_finished());
    of(&Err(stopped))
}

fn joins_shared(begins: Begins) -> Got {
    match sleeper(begins).share().join() {
        Err(TaskError::Interrupted(stopped)) => Got::Interrupted(stopped.reason()),
        _ => Got::Else,
    }
}

/// Begins the wait in the only worker of a pool. Returns once the sleeper runs: the handle of the
/// body, and whether the sleeper runs on top of it.
fn begun(
    pool: &ThreadPool,
    start: impl FnOnce(&ThreadPool, Box<dyn FnOnce() -> Got + Send>) -> TaskHandle<Got>,
    wait: impl FnOnce(Begins) -> Got + Send + 'static,
) -> (TaskHandle<Got>, bool) {
    let (begins, begun): (_, Receiver<_>) = mpsc::channel();
    let (here, mine) = mpsc::channel();
    let body = Box::new(move || {
        here.send(thread::current().id()).unwrap();
        wait(begins)
    });
    let waits = start(pool, body);
    let on_top = must_recv(&mine) == must_recv(&begun);
    (waits, on_top)
}

#[test]
fn a_cancelled_body_waited_for_an_hour_for_what_its_join_ran_itself() {
    for wait in [joins as Wait, joins_all, joins_in_a_scope] {
        let pool = ThreadPool::new(1).unwrap();
        let (waits, on_top) = begun(&pool, |pool, body| pool.submit(body), wait);
        assert!(
            on_top,
            "what nothing else limits runs without another thread"
        );
        waits.cancel();
        assert_eq!(must_join(waits).unwrap(), Got::Stopped(CancelReason::User));
    }
}

#[test]
fn a_cancelled_body_waited_for_an_hour_for_what_its_wait_had_run_itself() {
    for wait in [waits as Wait, joins_shared] {
        let pool = ThreadPool::new(1).unwrap();
        let (waits, on_top) = begun(&pool, |pool, body| pool.submit(body), wait);
        assert!(!on_top, "another thread can wait for that task, too");
        waits.cancel();
        let got = must_join(waits).unwrap();
        assert_eq!(got, Got::Interrupted(CancelReason::User));
        pool.shutdown(Shutdown::cancel()).unwrap();
    }
}

#[test]
fn the_token_or_scope_of_a_body_reaches_what_its_join_runs_itself() {
    let token = CancelToken::new();
    let pool = ThreadPool::new(1).unwrap();
    let with_token = |pool: &ThreadPool, body| pool.task().token(&token).submit(body);
    let (waits, on_top) = begun(&pool, with_token, joins);
    assert!(on_top);
    token.cancel_with(CancelReason::Group);
    assert_eq!(must_join(waits).unwrap(), Got::Stopped(CancelReason::Group));

    let mut got = Got::Else;
    let (begins, begun) = mpsc::channel();
    let left = pool.scope_with(ScopeOptions::fail_fast(), |s| {
        s.submit_value(|| got = joins(begins));
        must_recv(&begun);
        s.token().cancel_with(CancelReason::Group);
    });
    left.unwrap();
    assert_eq!(got, Got::Stopped(CancelReason::Group));
}

#[test]
fn the_closure_of_a_scope_waited_for_an_hour_for_what_its_join_ran_itself() {
    let pool = ThreadPool::new(1).unwrap();
    let me = pool.handle();
    let (begins, begun) = mpsc::channel();
    let scope = CancelToken::new();
    let options = ScopeOptions::fail_fast().token(&scope);
    // Not a task of the scope, which asks its closure and its tasks to stop.
    let waits = pool.submit(move || me.scope_with(options, |_| joins(begins)).unwrap());
    must_recv(&begun);
    scope.cancel_with(CancelReason::Group);
    let got = must_join(waits).unwrap();
    assert_eq!(got, Got::Interrupted(CancelReason::Group));
    pool.shutdown(Shutdown::cancel()).unwrap();
}

#[cfg(feature = "simulation")]
#[test]
fn an_attempt_waited_beyond_its_time_for_what_its_join_ran_itself() {
    let (pool, _simulation) = ThreadPool::simulated(7);
    let (begins, _begun) = mpsc::channel();
    let late = pool.task().attempt_timeout(Duration::from_secs(5));
    let got = late.submit(move || joins(begins)).join().unwrap();
    assert_eq!(got, Got::Interrupted(CancelReason::Deadline));
    pool.shutdown(Shutdown::cancel()).unwrap();
}

#[test]
fn a_cancel_reaches_what_joins_run_on_top_of_each_other() {
    let pool = ThreadPool::new(1).unwrap();
    let three = |begins| {
        let middle = |begins| {
            let got = joins(begins);
            (got, millhand::is_cancelled())
        };
        let pool = current().unwrap().pool();
        let (got, asked) = pool.submit(move || middle(begins)).join().unwrap();
        assert!(asked);
        got
    };
    let (waits, on_top) = begun(&pool, |pool, body| pool.submit(body), three);
    assert!(on_top);
    waits.cancel();
    assert_eq!(must_join(waits).unwrap(), Got::Stopped(CancelReason::User));
}

/// The cancel comes before, while or after the join begins to run the task.
#[test]
fn no_cancel_is_missed_by_a_join_that_begins_to_run_its_task() {
    let pool = ThreadPool::new(1).unwrap();
    for _ in 0..500 {
        let (begin, begun) = mpsc::channel();
        let waits = pool.submit(move || {
            begin.send(()).unwrap();
            let child = current().unwrap().pool();
            let child = child.submit(|| millhand::sleep(HOUR)).cancel_on_drop();
            of(&child.join())
        });
        must_recv(&begun);
        waits.cancel();
        let got = must_join(waits).unwrap();
        let user = CancelReason::User;
        assert!(
            [Got::Stopped(user), Got::Interrupted(user)].contains(&got),
            "{got:?}"
        );
    }
}

#[test]
fn a_cancel_was_lost_between_two_joins_that_began_one_after_the_other() {
    let pool = ThreadPool::new(1).unwrap();
    for _ in 0..500 {
        let (begin, begun) = mpsc::channel();
        let waits = pool.submit(move || {
            let middle = move || {
                begin.send(()).unwrap();
                let sleeps = current().unwrap().pool().submit(|| millhand::sleep(HOUR));
                of(&sleeps.cancel_on_drop().join())
            };
            current().unwrap().pool().submit(middle).join().unwrap()
        });
        must_recv(&begun);
        waits.cancel();
        let got = must_join(waits).unwrap();
        let user = CancelReason::User;
        let expected = [Got::Stopped(user), Got::Interrupted(user)];
        assert!(expected.contains(&got), "{got:?}");
    }
}

/// Each level called the next one, by the hook of its token.
#[test]
fn a_cancel_of_many_joins_on_top_of_each_other_ran_out_of_stack() {
    fn nest(levels: u32, begins: Begins) -> Got {
        let _token = current().unwrap().token();
        match levels {
            0 => joins(begins),
            _ => {
                let next = move || nest(levels - 1, begins);
                current().unwrap().pool().submit(next).join().unwrap()
            }
        }
    }
    let pool = ThreadPool::builder().workers(1).stack_size(256 << 20);
    let pool = pool.build().unwrap();
    let nested = |pool: &ThreadPool, body| pool.submit(body);
    let (waits, on_top) = begun(&pool, nested, |begins| nest(2_000, begins));
    assert!(on_top);
    thread::scope(|s| {
        let canceller = thread::Builder::new().stack_size(128 << 10);
        canceller.spawn_scoped(s, || waits.cancel()).unwrap();
    });
    assert_eq!(must_join(waits).unwrap(), Got::Stopped(CancelReason::User));
}

// A task that only this worker can run.

fn own_part(pool: &ThreadPool, begins: Begins) -> TaskHandle<Slept> {
    let parts = pool.broadcast(move || {
        begins.send(thread::current().id()).unwrap();
        millhand::sleep(HOUR)
    });
    parts.unwrap().remove(0)
}

#[test]
fn a_cancelled_body_waited_for_an_hour_for_its_own_part_of_a_broadcast() {
    let pool = Arc::new(ThreadPool::new(1).unwrap());
    type Start = fn(&ThreadPool, Box<dyn FnOnce() -> Got + Send>) -> TaskHandle<Got>;
    let limited: [Start; 2] = [
        |pool, body| pool.submit(body),
        |pool, body| pool.task().attempt_timeout(HOUR).submit(body),
    ];
    for start in limited {
        let mine = Arc::downgrade(&pool);
        let wait = move |begins| of(&own_part(&mine.upgrade().unwrap(), begins).join());
        let (waits, on_top) = begun(&pool, start, wait);
        assert!(on_top);
        waits.cancel();
        assert_eq!(must_join(waits).unwrap(), Got::Stopped(CancelReason::User));
    }
}

#[test]
fn waits_for_several_tasks_did_not_run_those_of_their_own_worker() {
    type Part = TaskHandle<Result<(), ()>>;
    let waits: [fn(Vec<Part>); 5] = [
        |parts| assert_eq!(as_completed(parts).count(), 1),
        |parts| assert!(join_all_ok(parts).is_ok()),
        |parts| assert!(race(parts).is_ok()),
        |parts| assert_eq!(wait_any(&parts), Ok(Some(0))),
        |parts| assert!(wait_until(&parts, Until::All).is_ok()),
    ];
    for wait in waits {
        let pool = Arc::new(ThreadPool::new(1).unwrap());
        let mine = Arc::downgrade(&pool);
        let body = pool.submit(move || {
            wait(mine.upgrade().unwrap().broadcast(|| Ok(())).unwrap());
        });
        must_join(body).unwrap();
    }
}
