//! Faults of the core that were found by reading: user code that is dropped in the wrong place, and
//! outcomes that were lost.

use crate::builder::Grenade;
use crate::handle::must_join;
use crate::manual::HOUR;
use crate::stress::silence;
use crate::support::must_recv;
use millhand::{Retry, ScopeOptions, Semaphore, Shutdown, ThreadPool, current};
use std::panic::panic_any;
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Duration;

const AT_ONCE: Duration = Duration::ZERO;

fn pool_of(workers: usize) -> ThreadPool {
    ThreadPool::new(workers).unwrap()
}

/// Sends the name of the thread that drops it.
struct OnDrop(mpsc::Sender<String>);

impl OnDrop {
    fn new() -> (Self, mpsc::Receiver<String>) {
        let (sender, receiver) = mpsc::channel();
        (Self(sender), receiver)
    }

    fn keep(&self) {}
}

impl Drop for OnDrop {
    fn drop(&mut self) {
        let name = thread::current().name().unwrap_or_default().to_owned();
        let _ = self.0.send(name);
    }
}

/// The only worker of the pool still runs tasks.
fn still_works(pool: ThreadPool) {
    assert_eq!(must_join(pool.submit(|| 7)).unwrap(), 7);
    pool.shutdown(Shutdown::drain()).unwrap();
}

#[test]
fn the_payload_of_a_retried_panic_may_panic_when_it_is_dropped() {
    silence();
    let pool = pool_of(1);
    let retried = pool.task().retry(Retry::fixed(1, AT_ONCE));
    let mut attempts = 0;
    let handle = retried.retry_panics(true).submit(move || {
        attempts += 1;
        match attempts {
            1 => panic_any(Grenade(3)),
            _ => Ok::<_, &str>(attempts),
        }
    });
    assert_eq!(must_join(handle).unwrap(), Ok(2));
    still_works(pool);
}

#[test]
fn a_classifier_may_panic_when_it_is_dropped() {
    silence();
    let pool = pool_of(1);
    let grenade = Mutex::new(Grenade(3));
    let retried = pool.task().retry(Retry::fixed(1, AT_ONCE));
    let retried = retried.retry_if(move |_: &&str| {
        let _ = &grenade;
        true
    });
    let (go, gone) = mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    let failing = move || {
        let _ = gone.lock().unwrap().recv();
        Err::<(), _>("no")
    };
    retried.execute_ok(failing);
    // From here on the task has the last reference to the classifier.
    drop(retried);
    drop(go);
    still_works(pool);
}

#[test]
fn a_classifier_is_dropped_when_its_task_ends_and_not_by_the_timer() {
    let pool = pool_of(1);
    let (guard, dropped) = OnDrop::new();
    let (go, gone) = mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    let guard = Mutex::new(guard);
    let retried = pool.task().deadline(HOUR);
    let retried = retried
        .retry(Retry::fixed(1, AT_ONCE))
        .retry_if(move |_: &&str| {
            guard.lock().unwrap().keep();
            true
        });
    let handle = retried.submit(move || {
        let _ = gone.lock().unwrap().recv();
        Ok::<_, &str>(1)
    });
    drop(retried);
    drop(go);
    assert_eq!(must_join(handle).unwrap(), Ok(1));
    let by = must_recv(&dropped);
    assert!(!by.ends_with("-timer"), "{by}");
}

#[test]
fn a_failed_scoped_task_with_options_and_without_retries_has_its_error() {
    let pool = pool_of(1);
    let joined = pool.scope(|s| {
        let tasks = s.task().fallible().priority(1);
        tasks.submit(|| Err::<(), _>("no")).join()
    });
    assert_eq!(joined.unwrap(), Err("no"));
    let unread = pool.scope_with(ScopeOptions::collect_all(), |s| {
        s.task().priority(1).submit(|| Err::<(), _>("no"));
    });
    assert_eq!(unread.unwrap_err().into_first().index(), 0);
}

#[test]
fn a_scope_that_was_cancelled_for_a_dropped_handle_does_not_return() {
    let pool = pool_of(2);
    let (begin, begun) = mpsc::channel();
    let (go, gone) = mpsc::channel::<()>();
    let (end, ended) = mpsc::channel();
    let outer = pool.submit(move || {
        let pool = current().unwrap().pool();
        begin.send(()).unwrap();
        let _ = gone.recv();
        pool.scope(|s| {
            s.submit(|| ());
        });
        end.send(()).unwrap();
    });
    must_recv(&begun);
    drop(outer.cancel_on_drop());
    drop(go);
    assert!(ended.recv().is_err(), "its task did not run");
}

#[test]
fn a_hook_on_the_token_of_an_attempt_may_return_a_permit_of_its_gate() {
    let pool = pool_of(1);
    let gate = Semaphore::new(2).unwrap();
    let tasks = pool.task().gate(&gate).attempt_timeout(HOUR);
    let mut hooks = Vec::new();
    let handle = tasks.retry(Retry::fixed(1, AT_ONCE)).submit(move || {
        let permit = gate.try_acquire().unwrap();
        let token = current().unwrap().token();
        hooks.push(token.on_cancel(move |_| drop(permit)));
        if hooks.len() == 1 {
            Err("again")
        } else {
            Ok(())
        }
    });
    assert_eq!(must_join(handle).unwrap(), Ok(()));
}

#[test]
fn a_hook_on_the_token_of_a_finished_task_is_not_dropped_by_the_timer() {
    let pool = pool_of(1);
    let (guard, dropped) = OnDrop::new();
    let (go, gone) = mpsc::channel::<()>();
    let timed = pool.task().deadline(HOUR);
    let handle = timed.submit(move || {
        let _ = gone.recv();
    });
    std::mem::forget(handle.token().on_cancel(move |_| guard.keep()));
    drop(go);
    must_join(handle).unwrap();
    pool.shutdown(Shutdown::drain()).unwrap();
    let by = must_recv(&dropped);
    assert!(!by.ends_with("-timer"), "{by}");
}
