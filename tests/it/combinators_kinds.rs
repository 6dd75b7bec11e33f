//! What the combinators take (vectors, arrays, slices, tuples, boxes of mixed kinds, shared handles), and what becomes of
//! those that nobody waits for any more.

use crate::handle::{keep_busy, must_join};
use crate::manual::{Drops, HOUR, hang, until};
use millhand::cancel::CancelReason;
use millhand::compose::Handle;
use millhand::task::{CancelOutcome, TaskState};
use millhand::{
    JoinError, TaskError, TaskHandle, ThreadPool, as_completed, join_all, join_all_ok, promise,
    race, wait_any, wait_for, when_all, when_any,
};
use std::thread;

type Boxed = Box<dyn Handle<Output = i32> + Send>;

#[test]
fn outcomes_come_in_the_shape_of_the_handles() {
    let pool = ThreadPool::new(2).unwrap();
    let [a, b] = join_all([pool.submit(|| 1), pool.submit(|| 2)]);
    assert_eq!((a.unwrap(), b.unwrap()), (1, 2));
    let [] = join_all::<[TaskHandle<()>; 0]>([]);
    let (only,) = join_all((pool.submit(|| "one"),));
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
    let (a, b, c, d, e, f, g, h) = join_all(eight);
    assert_eq!((a.unwrap(), b.unwrap(), c.unwrap()), (1, 2, 3));
    assert_eq!((d.unwrap(), e.unwrap(), f.unwrap()), (4, "five", '6'));
    assert_eq!((g.unwrap(), h.unwrap()), (7.0, ()));
}

#[test]
fn values_come_in_the_shape_of_the_handles() {
    let pool = ThreadPool::new(2).unwrap();
    let (number, text) = join_all_ok((
        pool.submit(|| Ok::<_, String>(1)),
        pool.submit(|| Ok::<_, String>("two")),
    ))
    .unwrap();
    assert_eq!((number, text), (1, "two"));
    let values = join_all_ok([1, 2, 3].map(|n| pool.submit(move || Ok::<_, ()>(n))));
    assert_eq!(values.unwrap(), [1, 2, 3]);
    let failed = join_all_ok((
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
    let (done, pending) =
        wait_for(&vector[..], millhand::compose::Until::FirstCompleted, None).unwrap();
    assert_eq!((done, pending), (vec![1], vec![0]));
}

/// A plain handle, a shared one, a promise's and a box in a box.
fn boxes(pool: &ThreadPool) -> Vec<Boxed> {
    let (promise, kept) = promise();
    promise.complete(3).unwrap();
    let inner: Boxed = Box::new(pool.submit(|| 4));
    vec![
        Box::new(pool.submit(|| 1)),
        Box::new(pool.submit(|| 2).share()),
        Box::new(kept),
        Box::new(inner),
    ]
}

#[test]
fn boxes_of_mixed_kinds_serve_everywhere() {
    let pool = ThreadPool::new(2).unwrap();
    let all: Vec<_> = join_all(boxes(&pool)).into_iter().flatten().collect();
    assert_eq!(all, [1, 2, 3, 4]);
    assert!((1..=4).contains(&race(boxes(&pool)).unwrap()));
    let sum: i32 = as_completed(boxes(&pool))
        .map(|(_, one)| one.unwrap())
        .sum();
    assert_eq!(sum, 10);
    assert!(wait_any(&boxes(&pool)).unwrap().is_some());
    let sum = when_all(boxes(&pool)).then(|all| all.into_iter().flatten().sum::<i32>());
    assert_eq!(must_join(sum).unwrap(), 10);
    let first = when_any(boxes(&pool)).then(|(place, one)| (place, one.unwrap()));
    let (place, one) = must_join(first).unwrap();
    assert_eq!(one, place as i32 + 1);
    let after = pool.task().submit_after(boxes(&pool), |all| all.len());
    assert_eq!(must_join(after).unwrap(), 4);
    let results: Vec<Box<dyn Handle<Output = Result<i32, ()>>>> = vec![
        Box::new(pool.submit(|| Ok(1))),
        Box::new(pool.submit(|| Ok(2)).share()),
    ];
    assert_eq!(join_all_ok(results).unwrap(), [1, 2]);
}

#[test]
fn shared_handles_give_clones() {
    let pool = ThreadPool::new(2).unwrap();
    let shared = pool.submit(|| String::from("one")).share();
    let [a, b] = join_all([shared.clone(), shared.clone()]);
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
    assert_eq!(pool.unread_panics(), 0, "all have read it");
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
    let first = |mut set: Set| {
        set.insert(2, lose(Err(())));
        assert!(race(set).is_ok(), "an `Err` of a body is an outcome");
    };
    let first_ok = |mut set: Set| {
        set.insert(2, lose(Ok(())));
        set.insert(0, lose(Err(())));
        assert_eq!(race(set).ok(), Some(()));
    };
    let ways: [(CancelReason, &dyn Fn(Set)); 3] = [
        (CancelReason::Group, &group),
        (CancelReason::Race, &first),
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
    assert_eq!(join_all_ok(set).unwrap_err().index(), 1);
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
    assert_eq!(race(vec![shared.clone(), failing()]).unwrap(), Err("no"));
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
    promise.complete(2).unwrap();
    let drops = Drops::default();
    let one = drops.one();
    let loser = above.map(move |n| {
        one.keep();
        n
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
