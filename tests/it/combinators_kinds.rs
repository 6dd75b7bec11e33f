//! What the combinators take (vectors, arrays, slices, tuples, iterators, shared handles, handles with keys), and what becomes of
//! those that nobody waits for any more.

use crate::handle::{keep_busy, must_join};
use crate::manual::{Drops, HOUR, hang, until};
use millhand::cancel::CancelReason;
use millhand::compose::{Until, join_each, join_each_ok, wait_until, when_each};
use millhand::task::{CancelOutcome, TaskState};
use millhand::{
    JoinError, SharedHandle, TaskError, TaskHandle, ThreadPool, as_completed, join_all,
    join_all_ok, promise, race, wait_any, when_all,
};
use std::thread;

#[test]
fn outcomes_come_in_the_shape_of_the_handles() {
    let pool = ThreadPool::new(2).unwrap();
    let [a, b] = join_each([pool.submit(|| 1), pool.submit(|| 2)]);
    assert_eq!((a.unwrap(), b.unwrap()), (1, 2));
    let [] = join_each::<[TaskHandle<()>; 0]>([]);
    let (only,) = join_each((pool.submit(|| "one"),));
    assert_eq!(only.unwrap(), "one");
    let eight = (
        pool.submit(|| 1_u8),
        pool.submit(|| 2_u16),
        pool.submit(|| 3_u32),
        pool.submit(|| 4_u64),
        pool.submit(|| "five"),
        pool.submit(|| '6'),
        pool.submit(|| 7.0),
        pool.submit(|| ()),
    );
    let (a, b, c, d, e, f, g, h) = join_each(eight);
    assert_eq!((a.unwrap(), b.unwrap(), c.unwrap()), (1, 2, 3));
    assert_eq!((d.unwrap(), e.unwrap(), f.unwrap()), (4, "five", '6'));
    assert_eq!((g.unwrap(), h.unwrap()), (7.0, ()));
}

#[test]
fn values_come_in_the_shape_of_the_handles() {
    let pool = ThreadPool::new(2).unwrap();
    let (number, text) = join_each_ok((
        pool.submit(|| Ok::<_, String>(1)),
        pool.submit(|| Ok::<_, String>("two")),
    ))
    .unwrap();
    assert_eq!((number, text), (1, "two"));
    let values = join_each_ok([1, 2, 3].map(|n| pool.submit(move || Ok::<_, ()>(n))));
    let [a, b, c] = values.unwrap();
    assert_eq!((a, b, c), (1, 2, 3));
    let failed = join_each_ok((
        pool.submit(|| Ok::<_, String>(1)),
        pool.task()
            .name("second")
            .submit(|| Err::<(), _>("no".to_owned())),
    ))
    .unwrap_err();
    assert_eq!((failed.index(), failed.name()), (1, Some("second")));
    assert!(matches!(failed.error(), JoinError::Failed(said) if said == "no"));
    assert_eq!(failed.site().file(), file!());
}

#[test]
fn sets_of_every_shape_are_waited_for() {
    let pool = ThreadPool::new(1).unwrap();
    let (_kept, never) = promise::<i32>();
    let mixed = (never, pool.submit(|| "text"));
    assert_eq!(wait_any(&mixed).unwrap(), Some(1));
    let (_kept, never) = promise::<i32>();
    let (kept, soon) = promise();
    kept.complete(1).unwrap();
    let vector = vec![never, soon];
    assert_eq!(wait_any(&vector).unwrap(), Some(1));
    assert_eq!(wait_any(&vector[1..]).unwrap(), Some(0));
    assert_eq!(wait_any(&vector[..0]).unwrap(), None);
    let (done, pending) = wait_until(&vector[..], Until::FirstCompleted).unwrap();
    assert_eq!((done, pending), (vec![1], vec![0]));
}

/// Of a task, of a promise, and of a task that continues another.
fn of_mixed_kinds(pool: &ThreadPool) -> [SharedHandle<Result<i32, ()>>; 3] {
    let (promise, kept) = promise();
    promise.complete(Ok(2)).unwrap();
    let continues = pool.submit(|| 2).map(|n| Ok(n + 1));
    [
        pool.submit(|| Ok(1)).share(),
        kept.share(),
        continues.share(),
    ]
}

#[test]
fn shared_handles_of_mixed_kinds_serve_everywhere() {
    let pool = ThreadPool::new(2).unwrap();
    let all = join_all(of_mixed_kinds(&pool));
    assert!(all.into_iter().flatten().eq([Ok(1), Ok(2), Ok(3)]));
    assert_eq!(join_all_ok(of_mixed_kinds(&pool)).unwrap(), [1, 2, 3]);
    assert!((1..=3).contains(&race(of_mixed_kinds(&pool)).unwrap()));
    let completed = as_completed(of_mixed_kinds(&pool));
    let sum: i32 = completed.map(|(_, one)| one.unwrap().unwrap()).sum();
    assert_eq!(sum, 6);
    assert!(wait_any(&of_mixed_kinds(&pool)).unwrap().is_some());
    let count = when_all(of_mixed_kinds(&pool)).then(|all| all.len());
    assert_eq!(must_join(count).unwrap(), 3);
    let after = pool
        .task()
        .submit_after(of_mixed_kinds(&pool), |[a, b, c]| [a, b, c].len());
    assert_eq!(must_join(after).unwrap(), 3);
}

#[test]
fn handles_with_keys_serve_everywhere() {
    let pool = ThreadPool::new(2).unwrap();
    let keyed = |n: i32| pool.submit(move || Ok::<_, ()>(n)).with_key(n.to_string());
    let both = || [keyed(1), keyed(2)];
    let mut completed: Vec<_> = as_completed(both()).collect();
    completed.sort_by(|(a, _), (b, _)| a.cmp(b));
    for ((key, outcome), n) in completed.into_iter().zip(1..) {
        assert_eq!((key, outcome.unwrap()), (n.to_string(), Ok(n)));
    }
    let mut rest = as_completed(both());
    let (key, first) = rest.next().unwrap();
    assert_eq!(first.unwrap().unwrap().to_string(), key);
    let (place, left) = rest.into_pending().pop().unwrap();
    assert_eq!(*left.key(), (place + 1).to_string());
    let (key, handle) = left.into_parts();
    assert_eq!(must_join(handle).unwrap().unwrap().to_string(), key);

    let [a, b] = join_each(both());
    assert_eq!((a.unwrap(), b.unwrap()), (Ok(1), Ok(2)));
    assert_eq!(join_all_ok(both()).unwrap(), [1, 2]);
    assert!((1..=2).contains(&race(both()).unwrap()));
    assert!(wait_any(&both()).unwrap().is_some());
    let sum = when_all(both()).then(|all| all.into_iter().flatten().flatten().sum::<i32>());
    assert_eq!(must_join(sum).unwrap(), 3);
    let shared = pool.submit(|| "text").share().with_key(1.5);
    let (key, text) = as_completed([shared]).next().unwrap();
    assert_eq!((key, text.unwrap()), (1.5, "text"));
}

#[test]
fn any_iterator_of_handles_serves() {
    let pool = ThreadPool::new(2).unwrap();
    let many = || (0..3).map(|n| pool.submit(move || Ok::<_, ()>(n)));
    assert!(
        join_all(many())
            .into_iter()
            .flatten()
            .eq([Ok(0), Ok(1), Ok(2)])
    );
    assert_eq!(join_all_ok(many()).unwrap(), [0, 1, 2]);
    assert!((0..3).contains(&race(many()).unwrap()));
    let count = when_all(many()).then(|all| all.len());
    assert_eq!(must_join(count).unwrap(), 3);
}

#[test]
fn a_continuation_takes_the_shape_of_the_handles() {
    let pool = ThreadPool::new(2).unwrap();
    let mixed = when_each((pool.submit(|| 1), pool.submit(|| "two")));
    let mixed = mixed.then(|(n, text)| (n.unwrap(), text.unwrap()));
    assert_eq!(must_join(mixed).unwrap(), (1, "two"));
    let sum = when_each([1, 2].map(|n| pool.submit(move || n)));
    let sum = sum.then(|[a, b]| a.unwrap() + b.unwrap());
    assert_eq!(must_join(sum).unwrap(), 3);
}

#[test]
fn shared_handles_give_clones() {
    let pool = ThreadPool::new(2).unwrap();
    let shared = pool.submit(|| String::from("one")).share();
    let [a, b] = join_each([shared.clone(), shared.clone()]);
    assert_eq!(
        (a.unwrap(), b.unwrap()),
        ("one".to_owned(), "one".to_owned())
    );
    assert_eq!(shared.join().as_deref().unwrap(), "one");
    let loud = pool.submit(|| -> u8 { panic!("for all") }).share();
    for outcome in join_all(vec![loud.clone(); 2]) {
        let Err(TaskError::Panicked(panic)) = outcome else {
            panic!("it panicked");
        };
        assert_eq!((panic.message(), panic.task()), ("for all", loud.id()));
    }
    drop(loud);
    assert_eq!(pool.stats().unread, 0, "all have read it");
}

#[test]
fn many_clones_of_one_task_are_heard_of_each() {
    let (promise, handle) = promise();
    let shared = handle.share();
    let mut outcomes = as_completed(vec![shared; 1_000]);
    promise.complete(7).unwrap();
    let places: Vec<_> = outcomes
        .by_ref()
        .map(|(place, one)| (place, one.unwrap()))
        .collect();
    assert!(places.into_iter().eq((0..1_000).map(|place| (place, 7))));
}

/// What is to be cancelled, in every place where a task can be; each with a token to tell why.
fn in_all_places(pool: &ThreadPool) -> (Vec<TaskHandle<Result<(), ()>>>, crate::manual::Hang) {
    let (mut body, hang) = hang();
    let running = pool.submit(move || {
        let _: () = body();
        Ok(())
    });
    hang.started();
    let queued = pool.submit(|| Ok(()));
    let delayed = pool.task().delay(HOUR).submit(|| Ok(()));
    let (kept, unkept) = promise();
    std::mem::forget(kept);
    let waiting = pool.submit(|| Ok(())).map(|done| done);
    assert_eq!(waiting.state(), TaskState::Waiting);
    (vec![running, queued, delayed, unkept, waiting], hang)
}

#[test]
fn the_rest_is_cancelled_for_its_reason_and_not_waited_for() {
    type Set = Vec<TaskHandle<Result<(), ()>>>;
    let lose = |ended: Result<(), ()>| {
        let (promise, handle) = promise::<Result<(), ()>>();
        promise.complete(ended).unwrap();
        handle
    };
    let group = |mut set: Set| {
        set.insert(2, lose(Err(())));
        assert_eq!(join_all_ok(set).unwrap_err().index(), 2);
    };
    let first_ok = |mut set: Set| {
        set.insert(2, lose(Ok(())));
        set.insert(0, lose(Err(())));
        assert_eq!(race(set).ok(), Some(()));
    };
    let ways: [(CancelReason, &dyn Fn(Set)); 2] = [
        (CancelReason::Group, &group),
        (CancelReason::Race, &first_ok),
    ];
    for (reason, way) in ways {
        let pool = ThreadPool::new(1).unwrap();
        let (set, hang) = in_all_places(&pool);
        let tokens: Vec<_> = set.iter().map(TaskHandle::token).collect();
        way(set);
        // The running one still hangs, so nobody has waited for it.
        for token in tokens {
            assert_eq!(token.reason(), Some(reason));
        }
        drop(hang);
        pool.wait_idle().unwrap();
    }
}

#[test]
fn a_handle_that_cancels_on_drop_is_cancelled_as_one_of_the_group() {
    let pool = ThreadPool::new(1).unwrap();
    let busy = keep_busy(&pool);
    let first = pool.submit(|| Ok(1));
    let second = pool.submit(|| Ok(2));
    let tokens = [first.token(), second.token()];
    let (promise, handle) = promise::<Result<i32, &str>>();
    promise.complete(Err("first")).unwrap();
    let set = (first.cancel_on_drop(), handle, second.cancel_on_drop());
    assert_eq!(join_each_ok(set).unwrap_err().index(), 1);
    for token in tokens {
        assert_eq!(token.reason(), Some(CancelReason::Group));
    }
    drop(busy);
}

#[test]
fn what_somebody_else_holds_is_left_alone() {
    let pool = ThreadPool::new(1).unwrap();
    let busy = keep_busy(&pool);
    let shared = pool.submit(|| Ok::<_, &str>(1)).share();
    let alone = pool.submit(|| Ok::<_, &str>(2)).share();
    let token = alone.token();
    let failing = || {
        let (promise, handle) = promise();
        promise.complete(Err::<i32, _>("no")).unwrap();
        handle.share()
    };
    assert!(join_all_ok(vec![shared.clone(), alone, failing()]).is_err());
    assert_eq!(token.reason(), Some(CancelReason::Group));
    let (promise, winner) = promise();
    promise.complete(Ok(3)).unwrap();
    assert_eq!(race([shared.clone(), winner.share()]).unwrap(), 3);
    assert!(!shared.is_finished());
    drop(busy);
    assert_eq!(shared.join().as_ref().unwrap(), &Ok(1));
}

#[test]
fn what_somebody_else_held_only_at_first_is_cancelled() {
    let (_kept, handle) = promise::<Result<i32, ()>>();
    let shared = handle.share();
    let token = shared.token();
    let other = shared.clone();
    let (fails, failing) = promise();
    let waiting = thread::spawn(move || join_all_ok([shared, failing.share()]).is_err());
    drop(other);
    fails.complete(Err(())).unwrap();
    assert!(waiting.join().unwrap());
    assert_eq!(token.reason(), Some(CancelReason::Group));
}

#[test]
fn a_cancelled_loser_cancels_what_it_continues() {
    let pool = ThreadPool::new(1).unwrap();
    let busy = keep_busy(&pool);
    let above = pool.submit(|| 1);
    let token = above.token();
    let (promise, winner) = promise();
    promise.complete(Ok::<_, ()>(2)).unwrap();
    let drops = Drops::default();
    let one = drops.one();
    let loser = above.map(move |n| {
        one.keep();
        Ok(n)
    });
    assert_eq!(race([loser, winner]).unwrap(), 2);
    assert_eq!(
        (token.reason(), drops.count()),
        (Some(CancelReason::Race), 1)
    );
    drop(busy);
    pool.wait_idle().unwrap();
}

#[test]
fn waiting_leaves_the_handles_as_they_are() {
    let (promise, handle) = promise();
    let handles = [handle];
    let waiter = thread::spawn(move || {
        assert_eq!(wait_any(&handles).unwrap(), Some(0));
        assert_eq!(wait_any(&handles).unwrap(), Some(0), "and again");
        let [handle] = handles;
        handle
    });
    promise.complete(5).unwrap();
    let handle = waiter.join().unwrap();
    assert_eq!(handle.cancel(), CancelOutcome::AlreadyFinished);
    until("it is finished", || handle.is_finished());
    assert_eq!(handle.join().unwrap(), 5);
}
