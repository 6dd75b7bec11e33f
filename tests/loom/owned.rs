//! loom models of a task that only its worker has: other threads meet the task that stands in for
//! it.
//!
//! Checked with LOOM_MAX_PREEMPTIONS=3.

use super::*;
use crate::reason::CancelReason;
use crate::task::body::PlainBody;
use crate::task::current;
use crate::task::double::{Count, Pool, model, owner};
use crate::task::head::Head;
use loom::thread;
use std::panic::Location;

/// Runs a body that asks for its task, and is given the one that stands in for it.
fn run(stack: &Arc<Stack>, body: impl FnOnce(TaskRef) + Send + 'static) {
    let here = stack.clone();
    let body = PlainBody::new(move || body(here.top().unwrap()));
    let task = Task::new(Head::detached(owner(), Location::caller()), body);
    current::set_stack(Some(stack.clone()));
    assert!(task.run_owned(stack));
    current::set_stack(None);
    assert!(stack.listed().is_empty());
}

/// Either the shutdown finds the stand-in, or the worker that lists it sees the shutdown.
#[test]
fn a_shutdown_reaches_a_body_that_asks_for_its_task() {
    model(2, || {
        let pool = Pool::new(false);
        let stack = pool.stack(0);
        let others = stack.clone();
        let shutdown = thread::spawn(move || pool.shut_down(&others));
        let reached = Arc::new(Count::default());
        let count = reached.clone();
        run(&stack, move |task| {
            shutdown.join().unwrap();
            if task.head.stop_reason() == Some(CancelReason::Shutdown) {
                count.add();
            }
        });
        assert_eq!(reached.get(), 1);
    });
}

/// A thread that found the stand-in and waits for it is woken when the body has returned.
#[test]
fn a_thread_that_waits_for_a_stand_in_is_woken() {
    model(2, || {
        let stack = Pool::new(false).stack(0);
        let others = stack.clone();
        let waiter = thread::spawn(move || {
            let found = others.listed().pop();
            if let Some(task) = found {
                assert!(task.wait(None, true).unwrap());
                assert!(task.head.is_settled());
            }
        });
        run(&stack, drop);
        waiter.join().unwrap();
    });
}
