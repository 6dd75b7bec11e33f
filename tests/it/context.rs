//! What a body can ask: who it is, whether it should stop; and the same outside a task.

use crate::handle::{keep_busy, must_join};
use crate::support::{LONG, must_recv};
use millhand::cancel::CancelReason;
use millhand::error::WaitedFor;
use millhand::{
    CancelToken, OnFull, TaskError, ThreadPool, check, checkpoint, current, is_cancelled, sleep,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc;
use std::time::{Duration, Instant};

#[test]
fn outside_a_task_nothing_is_current_and_all_is_harmless() {
    assert!(current().is_none());
    assert!(!is_cancelled());
    assert_eq!(check(), Ok(()));
    checkpoint();
    assert_eq!(sleep(Duration::from_millis(1)), Ok(()));
    assert_eq!(sleep(Duration::ZERO), Ok(()));
}

#[test]
fn sleep_outside_a_task_sleeps_the_whole_time() {
    let begun = Instant::now();
    sleep(Duration::from_millis(5)).unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(5));
}

#[test]
fn the_hooks_of_a_worker_are_outside_a_task() {
    let (tell, told) = mpsc::channel();
    let also = tell.clone();
    let pool = ThreadPool::builder()
        .workers(1)
        .on_worker_start(move |_| tell.send(current().is_none()).unwrap())
        .on_worker_stop(move |_| also.send(current().is_none()).unwrap())
        .build()
        .unwrap();
    drop(pool);
    assert_eq!(told.into_iter().collect::<Vec<_>>(), [true, true]);
}

#[test]
fn a_task_knows_itself() {
    let pool = ThreadPool::new(1).unwrap();
    let handle = pool.task().name("self").submit(|| {
        let me = current().unwrap();
        let text = format!("{me:?}");
        (me.id(), me.name().map(String::from), me.worker(), text)
    });
    let id = handle.id();
    let (inner, name, worker, text) = must_join(handle).unwrap();
    assert_eq!((inner, name.as_deref(), worker), (id, Some("self"), 0));
    assert!(
        text.contains(&id.to_string()) && text.contains("self"),
        "{text}"
    );
    let unnamed = pool.submit(|| current().unwrap().name().map(String::from));
    assert_eq!(must_join(unnamed).unwrap(), None);
}

#[test]
fn a_task_run_on_its_waiter_s_stack_is_current_until_it_ends() {
    let pool = ThreadPool::new(1).unwrap();
    let outer = pool.task().name("outer").submit(|| {
        let me = current().unwrap();
        let inner = me.pool().task().name("inner").submit(|| {
            let me = current().unwrap();
            // It is asked to stop; the one that waits for it is not.
            me.token().cancel();
            assert!(is_cancelled());
            (me.id(), me.name().map(String::from), me.worker())
        });
        let id = inner.id();
        let (inner, name, worker) = inner.join().unwrap();
        assert_eq!(
            (inner, name.as_deref(), worker),
            (id, Some("inner"), me.worker())
        );
        assert!(!is_cancelled());
        let again = current().unwrap();
        assert_eq!((again.id(), again.name()), (me.id(), Some("outer")));
        me.id()
    });
    let id = outer.id();
    assert_eq!(must_join(outer).unwrap(), id);
}

#[test]
fn a_panic_on_the_waiter_s_stack_leaves_the_waiter_current() {
    let pool = ThreadPool::new(1).unwrap();
    let outer = pool.submit(|| {
        let me = current().unwrap();
        assert!(me.pool().submit(|| panic!("within")).join().is_err());
        current().unwrap().id() == me.id()
    });
    assert!(must_join(outer).unwrap());
}

#[test]
fn workers_are_numbered_from_zero() {
    let pool = ThreadPool::new(3).unwrap();
    let indices = pool
        .broadcast(|| current().unwrap().worker())
        .unwrap()
        .into_iter()
        .map(|handle| must_join(handle).unwrap());
    let mut indices: Vec<_> = indices.collect();
    indices.sort_unstable();
    assert_eq!(indices, [0, 1, 2]);
}

#[test]
fn remaining_is_the_time_to_the_deadline_of_the_task_s_token() {
    let pool = ThreadPool::new(1).unwrap();
    let remaining = |token: Option<CancelToken>| {
        let mut task = pool.task();
        if let Some(token) = token {
            task = task.token(&token);
        }
        let body = task.submit(|| {
            // Its own token brings no limit.
            let _ = current().unwrap().token();
            current().unwrap().remaining()
        });
        must_join(body).unwrap()
    };
    assert_eq!(remaining(None), None);
    assert_eq!(remaining(Some(CancelToken::new())), None);
    let left = remaining(Some(CancelToken::with_timeout(LONG))).unwrap();
    assert!(left <= LONG && left > Duration::ZERO);
    let child = CancelToken::with_timeout(LONG).child();
    assert!(remaining(Some(child)).unwrap() <= LONG);
}

#[test]
fn remaining_is_zero_once_the_deadline_has_passed() {
    let pool = ThreadPool::new(1).unwrap();
    let (tell, told) = mpsc::channel();
    let token = CancelToken::with_timeout(Duration::from_millis(20));
    let body = pool.task().token(&token).submit(move || {
        tell.send(()).unwrap();
        let stopped = sleep(LONG).unwrap_err();
        (stopped.reason(), current().unwrap().remaining())
    });
    match must_join(body) {
        Ok(seen) => {
            must_recv(&told);
            assert_eq!(seen, (CancelReason::Deadline, Some(Duration::ZERO)));
        }
        // On a slow machine it may not start in time.
        Err(error) => assert!(matches!(error, TaskError::Expired(WaitedFor::Worker))),
    }
}

#[test]
fn a_task_reaches_its_own_pool_and_is_not_held_up_by_its_full_queue() {
    let pool = ThreadPool::builder()
        .workers(1)
        .queue_capacity(1)
        .on_full(OnFull::Reject)
        .build()
        .unwrap();
    let body = pool.submit(|| {
        let pool = current().unwrap().pool();
        let parts: Vec<_> = (0..5).map(|n| pool.submit(move || n)).collect();
        parts
            .into_iter()
            .map(|part| part.join().unwrap())
            .sum::<i32>()
    });
    assert_eq!(must_join(body).unwrap(), 10);
}

#[test]
fn current_may_outlive_its_task() {
    let pool = ThreadPool::new(1).unwrap();
    let (send, comes) = mpsc::channel();
    let handle = pool
        .task()
        .name("kept")
        .submit(move || send.send(current().unwrap().token()).unwrap());
    must_join(handle).unwrap();
    // A token of a task that is over cancels nothing, and harms nothing.
    let token = must_recv(&comes);
    assert!(token.cancel());
    assert_eq!(must_join(pool.submit(|| 1)).unwrap(), 1);
}

// Being asked to stop.

#[test]
fn a_body_sees_that_it_is_asked_and_why() {
    let pool = ThreadPool::new(1).unwrap();
    let (tell, told) = mpsc::channel();
    let (go_on, gone_on) = mpsc::channel();
    let handle = pool.submit(move || {
        assert_eq!(check(), Ok(()));
        tell.send(()).unwrap();
        must_recv(&gone_on);
        let stopped = check().unwrap_err();
        (is_cancelled(), stopped.reason(), stopped.to_string())
    });
    must_recv(&told);
    handle.cancel();
    go_on.send(()).unwrap();
    assert_eq!(
        must_join(handle).unwrap(),
        (true, CancelReason::User, "stopped: on request".to_owned())
    );
}

#[test]
fn a_cancel_wakes_a_sleeper() {
    let pool = ThreadPool::new(1).unwrap();
    let (tell, told) = mpsc::channel();
    let handle = pool.submit(move || {
        tell.send(()).unwrap();
        sleep(Duration::MAX)
    });
    must_recv(&told);
    handle.cancel();
    let stopped = must_join(handle).unwrap().unwrap_err();
    assert_eq!(stopped.reason(), CancelReason::User);
}

#[test]
fn a_sleeper_that_was_asked_before_does_not_sleep() {
    let pool = ThreadPool::new(1).unwrap();
    let handle = pool.submit(|| {
        current().unwrap().token().cancel_with(CancelReason::Scope);
        sleep(Duration::MAX)
    });
    let stopped = must_join(handle).unwrap().unwrap_err();
    assert_eq!(stopped.reason(), CancelReason::Scope);
}

#[test]
fn a_sleeper_that_nobody_asks_sleeps_the_whole_time() {
    let pool = ThreadPool::new(1).unwrap();
    let handle = pool.submit(|| {
        let begun = Instant::now();
        sleep(Duration::from_millis(5)).unwrap();
        begun.elapsed()
    });
    assert!(must_join(handle).unwrap() >= Duration::from_millis(5));
}

#[test]
fn the_deadline_of_a_child_of_the_token_is_not_the_task_s() {
    let pool = ThreadPool::new(1).unwrap();
    let token = CancelToken::new();
    let handle = pool.task().token(&token).submit(|| {
        let limit = current()
            .unwrap()
            .token()
            .child_with_timeout(Duration::ZERO);
        assert!(limit.is_cancelled() && !is_cancelled());
    });
    must_join(handle).unwrap();
}

#[test]
fn a_checkpoint_settles_by_the_reason() {
    let pool = ThreadPool::new(1).unwrap();
    let settled_by = |reason| {
        let body = pool.submit(move || -> () {
            checkpoint();
            current().unwrap().token().cancel_with(reason);
            checkpoint();
            unreachable!("it has left");
        });
        must_join(body).unwrap_err()
    };
    for reason in [
        CancelReason::User,
        CancelReason::Shutdown,
        CancelReason::Scope,
        CancelReason::Race,
        CancelReason::Dropped,
    ] {
        assert!(
            matches!(settled_by(reason), TaskError::Cancelled(by) if by == reason),
            "{reason:?}"
        );
    }
    assert!(matches!(
        settled_by(CancelReason::Deadline),
        TaskError::TimedOut
    ));
}

#[test]
fn a_checkpoint_unwinds_so_that_what_the_body_holds_is_dropped() {
    let pool = ThreadPool::new(1).unwrap();
    let (tell, told) = mpsc::channel::<()>();
    let body = pool.submit(move || {
        let _held = tell;
        current().unwrap().token().cancel();
        checkpoint();
    });
    assert!(must_join(body).is_err());
    assert!(told.recv().is_err());
}

/// How often the panic hook was called on a thread of a pool with that name prefix.
static HOOK_CALLS: AtomicUsize = AtomicUsize::new(0);
const WATCHED: &str = "context-hook-watched";

fn watch_the_panic_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let thread = std::thread::current();
            if thread.name().is_some_and(|name| name.starts_with(WATCHED)) {
                HOOK_CALLS.fetch_add(1, SeqCst);
            }
            before(info);
        }));
    });
}

#[test]
fn a_checkpoint_is_no_panic() {
    watch_the_panic_hook();
    let (tell, told) = mpsc::channel();
    let pool = ThreadPool::builder()
        .workers(1)
        .name_prefix(WATCHED)
        .on_unread(move |failure| tell.send(failure.to_string()).unwrap())
        .build()
        .unwrap();
    let leave = || {
        current().unwrap().token().cancel();
        checkpoint();
    };
    assert!(must_join(pool.submit(leave)).is_err());
    pool.execute(leave);
    pool.wait_idle().unwrap();
    assert_eq!(pool.stats().unread, 0);
    assert_eq!(HOOK_CALLS.load(SeqCst), 0);
    // The watch works: a panic is seen.
    pool.execute(|| panic!("seen"));
    let told = must_recv(&told);
    assert!(told.ends_with(" panicked: seen"), "{told}");
    assert_eq!(HOOK_CALLS.load(SeqCst), 1);
}

#[test]
fn a_checkpoint_that_the_body_catches_is_the_body_s_affair() {
    let pool = ThreadPool::new(1).unwrap();
    let body = pool.submit(|| {
        current().unwrap().token().cancel();
        catch_unwind(AssertUnwindSafe(checkpoint)).is_err()
    });
    assert!(must_join(body).unwrap());
}

#[test]
fn a_cancel_of_what_runs_on_the_stack_does_not_reach_the_body_that_joins_it() {
    let pool = ThreadPool::new(1).unwrap();
    let (send, comes) = mpsc::channel();
    let (begin, begun) = mpsc::channel();
    let outer = pool.submit(move || {
        let inner = current().unwrap().pool().submit(move || {
            begin.send(current().unwrap().token()).unwrap();
            must_recv(&comes);
            is_cancelled()
        });
        (inner.join().unwrap(), is_cancelled())
    });
    must_recv(&begun).cancel();
    send.send(()).unwrap();
    assert_eq!(must_join(outer).unwrap(), (true, false));
    // And the pool is not kept busy by it.
    drop(keep_busy(&pool));
}
