//! Tasks that continue others: what flows down, what a cancel does upwards, and where they run.

use crate::handle::{keep_busy, must_join, payload};
use crate::manual::{Drops, HOUR, hang};
use crate::support::must_recv;
use millhand::cancel::CancelReason;
use millhand::compose::when_each;
use millhand::error::{Rejection, WaitedFor};
use millhand::task::{CancelOutcome, TaskState};
use millhand::{
    OnFull, Retry, Semaphore, TaskError, TaskHandle, ThreadPool, current, promise, when_all,
};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

#[test]
fn values_flow_down() {
    let pool = ThreadPool::new(2).unwrap();
    let parse = |text: &'static str| pool.submit(move || text.parse::<u32>());
    let then = parse("6").then(|outcome| outcome.unwrap().unwrap() + 1);
    assert_eq!(must_join(then).unwrap(), 7);
    assert!(must_join(parse("6").map(|n| n.is_ok())).unwrap());
    assert_eq!(
        must_join(parse("6").and_then(|n| Ok(n * 7))).unwrap(),
        Ok(42)
    );
    assert!(
        must_join(parse("x").and_then(|n| Ok(n * 7)))
            .unwrap()
            .is_err()
    );
    let fixed = |text| parse(text).or_else(|error| Err::<u32, _>(error.to_string().len()));
    assert_eq!(must_join(fixed("6")).unwrap(), Ok(6));
    assert!(must_join(fixed("x")).unwrap().is_err());
    let shared = pool.submit(|| String::from("shared")).share();
    let length = shared.clone().map(|text| text.len());
    let twice = shared.clone().then(|text| text.unwrap().repeat(2));
    assert_eq!(must_join(length).unwrap(), 6);
    assert_eq!(must_join(twice).unwrap(), "sharedshared");
    assert_eq!(shared.join().as_deref().unwrap(), "shared");
}

/// Tasks without an outcome, and how each is recognised.
type Lost = (TaskHandle<u32>, fn(&TaskError) -> bool);

fn lost(pool: &ThreadPool) -> Vec<Lost> {
    let cancelled = pool.task().delay(HOUR).submit(|| 1);
    cancelled.cancel();
    let raced = pool.task().delay(HOUR).submit(|| 1);
    raced.token().cancel_with(CancelReason::Race);
    let limited = pool.task().total_timeout(Duration::from_millis(1));
    let expired = {
        let (promise, handle) = promise();
        promise.fail(TaskError::Expired(WaitedFor::Gate)).unwrap();
        handle
    };
    vec![
        (
            pool.submit(|| panic!("lost")),
            |error| matches!(error, TaskError::Panicked(panic) if panic.message() == "lost"),
        ),
        (cancelled, |error| {
            matches!(error, TaskError::Cancelled(CancelReason::User))
        }),
        (raced, |error| {
            matches!(error, TaskError::Cancelled(CancelReason::Race))
        }),
        (
            limited.submit(|| {
                current().unwrap().token().wait().unwrap();
                1
            }),
            |error| matches!(error, TaskError::TimedOut),
        ),
        (expired, |error| matches!(error, TaskError::Expired(_))),
    ]
}

#[test]
fn what_is_lost_flows_down() {
    let pool = ThreadPool::new(1).unwrap();
    for (handle, is_told) in lost(&pool) {
        let seen = pool
            .task()
            .submit_after([handle], move |[outcome]| is_told(&outcome.unwrap_err()));
        assert!(must_join(seen).unwrap());
    }
    let drops = Drops::default();
    let mut passed = 0;
    // The last is a promise's: from outside, only `submit_after` continues it.
    for (handle, is_told) in lost(&pool).into_iter().take(4) {
        let one = drops.one();
        let map = handle.map(move |n| {
            one.keep();
            n
        });
        let last = map.map(Ok::<_, ()>).and_then(Ok).or_else(|()| Err(()));
        assert!(is_told(&must_join(last).unwrap_err()));
        passed += 1;
        assert_eq!(
            drops.count(),
            passed,
            "a closure that is not needed is dropped"
        );
    }
    assert_eq!(pool.stats().unread, 0, "it was read at the end");
}

#[test]
fn a_panic_comes_down_whole() {
    let pool = ThreadPool::new(1).unwrap();
    let first = pool
        .task()
        .name("first")
        .submit(|| -> u32 { std::panic::panic_any(7_u8) });
    let id = first.id();
    let Err(TaskError::Panicked(panic)) = must_join(first.map(|n| n).map(|n| n)) else {
        panic!("it panicked");
    };
    assert_eq!((panic.task(), panic.name()), (id, Some("first")));
    assert_eq!(payload(&panic).downcast_ref(), Some(&7_u8));
    let own = pool.submit(|| 1).then(|_| -> u32 { panic!("its own") });
    let id = own.id();
    let Err(TaskError::Panicked(panic)) = must_join(own) else {
        panic!("it panicked");
    };
    assert_eq!((panic.task(), panic.message()), (id, "its own"));
}

#[test]
fn a_continuation_is_a_task_of_its_own() {
    let pool = ThreadPool::new(1).unwrap();
    let busy = keep_busy(&pool);
    let first = pool.task().name("first").submit(|| 1);
    let id = first.id();
    let line = line!() + 1;
    let next = first.then(|_| current().unwrap().name().map(String::from));
    assert_ne!(next.id(), id);
    assert_eq!(next.name(), None);
    assert_eq!((next.site().file(), next.site().line()), (file!(), line));
    assert_eq!(next.state(), TaskState::Waiting);
    assert!(next.wait_timeout(Duration::ZERO).is_ok_and(|done| !done));
    drop(busy);
    assert_eq!(must_join(next).unwrap(), None);
    let line = line!() + 1;
    let chord = when_all([pool.submit(|| 1)]).then(|_| ());
    assert_eq!(chord.site().line(), line);
}

#[test]
fn a_finished_handle_is_continued_on_a_worker_too() {
    let pool = ThreadPool::new(1).unwrap();
    let finished = || {
        let handle = pool.submit(|| 1);
        handle.wait().unwrap();
        handle
    };
    let [a, b, c, d] = [(); 4].map(|()| finished());
    let busy = keep_busy(&pool);
    let here = thread::current().id();
    let is_elsewhere = move || thread::current().id() != here;
    let all = [
        a.then(move |_| is_elsewhere()),
        when_all([b]).then(move |_| is_elsewhere()),
        when_each([c]).then(move |_| is_elsewhere()),
        pool.task().submit_after([d], move |_| is_elsewhere()),
    ];
    assert!(all.iter().all(|handle| handle.state() == TaskState::Queued));
    drop(busy);
    assert!(all.into_iter().all(|handle| must_join(handle).unwrap()));
}

#[test]
fn cancelling_the_last_cancels_what_is_above_wherever_that_is() {
    let pool = ThreadPool::new(1).unwrap();
    let gate = Semaphore::new(1).unwrap();
    let permit = gate.acquire().unwrap();
    let gated = pool.task().gate(&gate).submit(|| 1);
    let retrying = pool
        .task()
        .retry(Retry::fixed(1, HOUR))
        .submit(|| Err::<u32, _>("no"));
    crate::manual::until("they wait", || {
        gated.state() == TaskState::Gated && matches!(retrying.state(), TaskState::Retrying { .. })
    });
    let retrying = retrying.map(|result| result.unwrap());
    let (mut body, hang) = hang();
    let running = pool.submit(move || {
        body();
        1
    });
    hang.started();
    let queued = pool.submit(|| 1);
    let delayed = pool.task().delay(HOUR).submit(|| 1);
    let (kept, unkept) = promise::<u32>();
    let waiting = pool.task().submit_after([unkept], |_| 1).map(|n| n);
    for above in [gated, retrying, queued, delayed, waiting] {
        let token = above.token();
        let drops = Drops::default();
        let one = drops.one();
        let last = above.then(move |_| one.keep());
        assert_eq!(last.cancel(), CancelOutcome::Settled);
        assert_eq!(
            (token.reason(), drops.count()),
            (Some(CancelReason::User), 1)
        );
        assert!(matches!(
            must_join(last),
            Err(TaskError::Cancelled(CancelReason::User))
        ));
    }
    assert!(kept.is_cancelled());
    let token = running.token();
    let last = running.map(|n| n).map(|n| n);
    last.token().cancel_with(CancelReason::Scope);
    assert_eq!(token.reason(), Some(CancelReason::Scope), "asked to stop");
    assert!(last.is_finished(), "and not waited for");
    drop((hang, permit));
    pool.wait_idle().unwrap();
}

#[test]
fn what_others_share_is_not_cancelled_by_the_last() {
    let pool = ThreadPool::new(1).unwrap();
    let busy = keep_busy(&pool);
    let shared = pool.submit(|| 1).share();
    let token = shared.token();
    let [a, b, c] = [(); 3].map(|()| shared.clone().map(|n| n));
    a.cancel();
    assert_eq!(token.reason(), None);
    let chord = when_all([shared.clone(), shared.clone()]).then(|_| ());
    drop(shared);
    b.cancel();
    chord.cancel();
    assert_eq!(token.reason(), None, "one still wants it");
    c.cancel();
    assert_eq!(token.reason(), Some(CancelReason::User));
    drop(busy);
}

#[test]
fn a_chord_that_is_cancelled_cancels_all_its_parts() {
    let pool = ThreadPool::new(1).unwrap();
    let busy = keep_busy(&pool);
    let finished = {
        let (promise, handle) = promise();
        promise.complete(0).unwrap();
        handle
    };
    let parts: Vec<_> = (1..4).map(|n| pool.submit(move || n)).collect();
    let tokens: Vec<_> = parts.iter().map(TaskHandle::token).collect();
    let chord = when_each((finished, parts.into_iter().next().unwrap())).then(|_| ());
    chord.cancel();
    assert_eq!(tokens[0].reason(), Some(CancelReason::User));
    let parts: Vec<_> = (1..4).map(|n| pool.submit(move || n)).collect();
    let tokens: Vec<_> = parts.iter().map(TaskHandle::token).collect();
    when_all(parts).then(|_| ()).cancel();
    assert!(
        tokens
            .iter()
            .all(|token| token.reason() == Some(CancelReason::User))
    );
    drop(busy);
}

#[test]
fn letting_the_last_go_cancels_nothing_unless_it_was_asked_to() {
    let pool = ThreadPool::new(1).unwrap();
    let (kept, unkept) = promise();
    let (tell, told) = mpsc::channel();
    drop(
        pool.task()
            .submit_after([unkept], |_| 1)
            .map(move |n| tell.send(n).unwrap()),
    );
    assert!(!kept.is_cancelled());
    kept.complete(()).unwrap();
    assert_eq!(must_recv(&told), 1);
    let (kept, unkept) = promise::<()>();
    let last = pool.task().submit_after([unkept], |_| 1).map(|n| n);
    drop(last.cancel_on_drop());
    assert!(kept.is_cancelled());
}

#[test]
fn a_promise_is_continued_where_a_pool_is_known() {
    let (kept, handle) = promise();
    kept.complete(1).unwrap();
    let refused = handle.map(|n: u32| n);
    assert!(matches!(
        must_join(refused),
        Err(TaskError::Rejected(Rejection::NoPool))
    ));
    let (_kept, handle) = promise::<u32>();
    let refused = when_all([handle]).then(|_| ());
    assert!(matches!(
        must_join(refused),
        Err(TaskError::Rejected(Rejection::NoPool))
    ));
    let pool = ThreadPool::new(1).unwrap();
    let on_worker = pool.submit(|| {
        let (kept, handle) = promise();
        let next = handle.map(|n: u32| (n, thread::current().id()));
        kept.complete(1).unwrap();
        (next, thread::current().id())
    });
    let (next, worker) = must_join(on_worker).unwrap();
    assert_eq!(must_join(next).unwrap(), (1, worker));
    // The first that has one.
    let (kept, handle) = promise();
    let both = when_each((handle, pool.submit(|| 2))).then(|(a, b)| a.unwrap() + b.unwrap());
    kept.complete(1).unwrap();
    assert_eq!(must_join(both).unwrap(), 3);
}

#[test]
fn an_empty_chord_fires_at_once() {
    let none = || when_all(Vec::<TaskHandle<u32>>::new());
    let here = thread::current().id();
    let fired = none().then(move |list| (list.len(), thread::current().id() == here));
    assert!(fired.is_finished());
    assert_eq!(must_join(fired).unwrap(), (0, true));
    let Err(TaskError::Panicked(panic)) = must_join(none().then(|_| panic!("here"))) else {
        panic!("it panicked");
    };
    assert_eq!(panic.message(), "here");
    let pool = ThreadPool::new(1).unwrap();
    let inside = pool.submit(move || {
        let (fired, asked) = mpsc::channel();
        let chord = none().then(move |list| fired.send(list.len()).unwrap());
        // Queued, not run on the stack of who asks.
        assert!(asked.try_recv().is_err());
        chord.join().unwrap();
        asked.try_recv().unwrap()
    });
    assert_eq!(must_join(inside).unwrap(), 0);
    let nothing = pool.task().submit_after([] as [TaskHandle<()>; 0], |[]| 7);
    assert_eq!(must_join(nothing).unwrap(), 7);
}

#[test]
fn continuations_take_no_place_in_a_bounded_queue() {
    let pool = ThreadPool::builder()
        .workers(1)
        .queue_capacity(1)
        .on_full(OnFull::Reject);
    let pool = pool.build().unwrap();
    let busy = keep_busy(&pool);
    let mut last = pool.submit(|| 0);
    for _ in 0..100 {
        last = last.map(|n| n + 1);
    }
    assert!(pool.try_submit(|| ()).is_err(), "it is full");
    let (kept, handle) = promise();
    kept.complete(1).unwrap();
    let after = pool.task().submit_after([handle], |[n]| n.unwrap());
    assert_eq!(after.state(), TaskState::Queued);
    drop(busy);
    assert_eq!(must_join(last).unwrap(), 100);
    assert_eq!(must_join(after).unwrap(), 1);
    must_join(pool.submit(|| ())).unwrap();
}

#[test]
fn a_dropped_closure_may_use_the_library() {
    /// Whatever a user may come to think of.
    struct Curious(
        ThreadPoolRef,
        millhand::SharedHandle<u32>,
        mpsc::Sender<TaskState>,
    );
    type ThreadPoolRef = millhand::PoolHandle;
    impl Drop for Curious {
        fn drop(&mut self) {
            let Self(pool, above, tell) = self;
            above.cancel();
            let below = above.clone().then(|_| 2);
            let other = pool.submit(|| 1);
            assert_eq!(must_join(other).unwrap(), 1);
            assert_eq!(must_join(below).unwrap(), 2);
            tell.send(above.state()).unwrap();
        }
    }
    let pool = ThreadPool::new(2).unwrap();
    let (_kept, never) = promise::<u32>();
    let above = pool.task().submit_after([never], |_| 1).share();
    let (tell, told) = mpsc::channel();
    let curious = Curious(pool.handle(), above.clone(), tell);
    let last = above.then(move |_| drop(curious)).map(|()| ());
    last.cancel();
    assert_eq!(must_recv(&told), TaskState::Finished);
}
