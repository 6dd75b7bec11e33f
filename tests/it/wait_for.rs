//! Waiting for several: what is enough, how long, and what is heard in which order.

use crate::allocations::Meter;
use crate::handle::{keep_busy, must_join};
use crate::manual::{HOUR, Manual, NS, S, hang};
use crate::support::{LONG, must_recv};
use millhand::compose::{Until, wait_until, wait_until_timeout};
use millhand::task::Promise;
use millhand::{
    JoinError, TaskError, TaskHandle, ThreadPool, as_completed, join_all, promise, race, wait_any,
};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

fn promises<T: Send + 'static>(count: usize) -> (Vec<Option<Promise<T>>>, Vec<TaskHandle<T>>) {
    (0..count)
        .map(|_| promise())
        .map(|(promise, handle)| (Some(promise), handle))
        .unzip()
}

#[test]
fn a_wait_that_lasts_too_long_tells_how_far_it_came() {
    let (mut promises, handles) = promises(4);
    for place in [3, 1] {
        promises[place].take().unwrap().complete(place).unwrap();
    }
    for limit in [Duration::ZERO, Duration::from_millis(1)] {
        let all = wait_until_timeout(&handles, Until::All, limit).unwrap();
        assert_eq!(all, (vec![1, 3], vec![0, 2]));
        let error = wait_until_timeout(&handles, Until::FirstError, limit).unwrap();
        assert_eq!(error, (vec![1, 3], vec![0, 2]));
    }
    // One is enough, and at the limit what is there counts.
    let first = wait_until_timeout(&handles, Until::FirstCompleted, Duration::ZERO).unwrap();
    assert_eq!(first, (vec![1, 3], vec![0, 2]));
    let none = wait_until_timeout(&handles[..1], Until::FirstCompleted, Duration::ZERO).unwrap();
    assert_eq!(none, (vec![], vec![0]));
    assert_eq!(
        wait_until_timeout(&handles[..0], Until::FirstError, Duration::MAX).unwrap(),
        (vec![], vec![])
    );
}

#[test]
fn an_error_is_what_the_task_calls_one() {
    let pool = ThreadPool::new(1).unwrap();
    let (_kept, never) = promise::<()>();
    let plain = pool.submit(|| Err::<(), _>(()));
    plain.wait().unwrap();
    let handles = (plain, never);
    let waits = |limit| wait_until_timeout(&handles, Until::FirstError, limit).unwrap();
    assert_eq!(waits(Duration::ZERO), (vec![0], vec![1]));
    let (_kept, never) = promise::<()>();
    let fallible = pool.task().fallible().submit(|| Err::<(), _>("no"));
    // However long it may take: the failure ends it.
    let (done, pending) = wait_until_timeout(&(never, fallible), Until::FirstError, LONG).unwrap();
    assert_eq!((done, pending), (vec![1], vec![0]));
    let (_kept, never) = promise::<()>();
    let (dropped, gone) = promise::<()>();
    drop(dropped);
    assert_eq!(
        wait_until(&[never, gone], Until::FirstError).unwrap(),
        (vec![1], vec![0])
    );
}

#[test]
fn all_are_waited_for_while_they_come_one_by_one() {
    let (promises, handles) = promises(100);
    let (tell, told) = mpsc::channel();
    let waiter = thread::spawn(move || {
        tell.send(()).unwrap();
        wait_until_timeout(&handles, Until::All, Duration::MAX).unwrap()
    });
    must_recv(&told);
    for promise in promises.into_iter().flatten() {
        promise.complete(()).unwrap();
    }
    let (done, pending) = waiter.join().unwrap();
    assert_eq!((done.len(), pending.len()), (100, 0));
}

#[test]
fn outcomes_come_in_the_order_in_which_the_tasks_end() {
    let (mut promises, handles) = promises(6);
    let mut outcomes = as_completed(handles);
    let order = [4, 0, 5, 2, 1, 3];
    for place in order {
        promises[place].take().unwrap().complete(place).unwrap();
        // At once, or together later.
        if place % 2 == 0 {
            let (first, outcome) = outcomes.next().unwrap();
            assert_eq!(outcome.unwrap(), first);
        }
    }
    assert_eq!(outcomes.count(), 3);

    let (mut promises, handles) = self::promises(6);
    let outcomes = as_completed(handles);
    for place in order {
        promises[place].take().unwrap().complete(place).unwrap();
    }
    let places: Vec<_> = outcomes.map(|(place, _)| place).collect();
    assert_eq!(places, order);
}

#[test]
fn a_race_that_all_lose_tells_of_each() {
    let (mut promises, handles) = promises::<Result<(), usize>>(3);
    let racing = thread::spawn(move || race(handles).unwrap_err());
    for place in [2, 0] {
        let promise = promises[place].take().unwrap();
        promise.complete(Err(place)).unwrap();
    }
    drop(promises);
    let failures = racing.join().unwrap();
    assert_eq!(failures.len(), 3);
    let lost: Vec<_> = failures
        .pick::<TaskError>()
        .map(|(lost, _)| lost.index())
        .collect();
    assert_eq!(lost, [1]);
    for failure in &failures {
        if let JoinError::Failed(place) = failure.error() {
            assert_eq!(*place, failure.index());
        }
    }
}

#[test]
fn outcomes_in_time_and_the_handles_of_those_too_late() {
    let (mut promises, handles) = promises(4);
    let mut outcomes = as_completed(handles).timeout(Duration::from_millis(1));
    promises[2].take().unwrap().complete(2).unwrap();
    assert_eq!(outcomes.next().map(|(place, _)| place), Some(2));
    assert!(outcomes.next().is_none());
    assert_eq!(outcomes.size_hint(), (0, Some(3)));
    // What comes after the end can still be had; a new limit counts from its call.
    promises[0].take().unwrap().complete(0).unwrap();
    assert_eq!(outcomes.next().map(|(place, _)| place), Some(0));
    let mut outcomes = outcomes.timeout(LONG);
    promises[3].take().unwrap().complete(3).unwrap();
    assert_eq!(outcomes.next().map(|(place, _)| place), Some(3));
    let mut pending = outcomes.into_pending();
    let (place, handle) = pending.remove(0);
    promises[1].take().unwrap().complete(1).unwrap();
    assert_eq!((place, must_join(handle).unwrap()), (1, 1));
    assert!(pending.is_empty());
}

#[test]
fn dropping_the_outcomes_lets_the_rest_run_on() {
    let pool = ThreadPool::new(1).unwrap();
    let busy = keep_busy(&pool);
    let (tell, told) = mpsc::channel();
    let handles: Vec<_> = (0..3)
        .map(|n| {
            let tell = tell.clone();
            pool.submit(move || tell.send(n).unwrap())
        })
        .collect();
    drop(as_completed(handles));
    drop(busy);
    assert!((0..3).all(|n| must_recv(&told) == n));
}

#[test]
fn who_waits_on_a_worker_gives_up_the_seat() {
    let pool = ThreadPool::new(1).unwrap();
    let (promise, handle) = promise();
    let waits: Vec<_> = (0..3)
        .map(|n| {
            let (mine, theirs) = millhand::promise();
            let handle = pool.submit(move || {
                let set = [theirs];
                match n {
                    0 => assert_eq!(wait_any(&set).unwrap(), Some(0)),
                    1 => assert!(wait_until(&set, Until::All).unwrap().1.is_empty()),
                    _ => assert_eq!(as_completed(set).count(), 1),
                }
            });
            (mine, handle)
        })
        .collect();
    // Queued behind all of them.
    pool.execute(move || promise.complete(()).unwrap());
    must_join(handle).unwrap();
    for (mine, handle) in waits {
        mine.complete(()).unwrap();
        must_join(handle).unwrap();
    }
}

#[test]
fn a_task_that_ends_by_the_clock_is_heard_of_while_all_workers_are_busy() {
    let pool = Manual::with(1, |builder| builder.max_threads(1));
    let (body, hang) = hang();
    let hung = pool.task().deadline(S).submit(body);
    hang.started();
    let limited = pool.task().expires(S).submit(|| ());
    let ends = pool.task().delay(HOUR).deadline(2 * HOUR).submit(|| ());
    let late = pool.task().delay(NS).expires(S).submit(|| ());
    pool.advance(2 * S);
    let mut outcomes = as_completed([hung, limited, late]).timeout(LONG);
    let mut ended: Vec<_> = outcomes
        .by_ref()
        .map(|(place, one)| (place, one.is_err()))
        .collect();
    ended.sort_unstable();
    assert_eq!(ended, [(0, true), (1, true), (2, true)]);
    assert!(!ends.is_finished());
    ends.cancel();
    drop(hang);
}

#[test]
fn a_wait_leaves_nothing_behind() {
    const ROUNDS: usize = 1_000;
    let (_promise, never) = promise::<u8>();
    let shared = never.share();
    let meter = Meter::of_this_thread();
    let round = || {
        let handles = [shared.clone(), shared.clone()];
        wait_until_timeout(&handles, Until::All, Duration::ZERO).unwrap();
        let mut outcomes = as_completed(handles).timeout(Duration::ZERO);
        assert!(outcomes.next().is_none());
        drop(outcomes);
        drop(as_completed([shared.clone()]));
        drop(as_completed([shared.clone()]).into_pending());
    };
    round();
    let before = meter.bytes();
    (0..ROUNDS).for_each(|_| round());
    let left = meter.bytes() - before;
    meter.leave_this_thread();
    assert_eq!(left, 0);
}

#[test]
fn a_wait_and_a_settling_at_once_never_miss_each_other() {
    let pool = ThreadPool::new(2).unwrap();
    for n in 0..300 {
        let handles = [pool.submit(move || n), pool.submit(move || n)];
        assert!(wait_any(&handles).unwrap().is_some());
        assert!(wait_until(&handles, Until::All).unwrap().1.is_empty());
        let both = join_all(handles).into_iter().map(Result::unwrap);
        assert!(both.eq([n, n]));
    }
}

#[cfg(feature = "simulation")]
#[test]
fn outcomes_bring_the_keys_of_their_handles() {
    let (pool, simulation) = ThreadPool::simulated(1);
    let slow = |host: &'static str, seconds: u32| {
        pool.submit(move || millhand::sleep(seconds * S).map(|()| host.len()))
            .with_key(host)
    };
    let handles = [
        slow("example.org", 3),
        slow("a.net", 1),
        slow("late.com", 9),
    ];
    assert_eq!(handles[1].key(), &"a.net");
    assert_eq!(wait_any(&handles).unwrap(), Some(1));
    let mut outcomes = as_completed(handles).timeout(5 * S);
    let seen: Vec<_> = outcomes
        .by_ref()
        .map(|(host, len)| (host, len.unwrap().unwrap()))
        .collect();
    assert_eq!(seen, [("a.net", 5), ("example.org", 11)]);
    assert_eq!(simulation.elapsed(), 6 * S);
    let pending = outcomes.into_pending();
    assert_eq!((pending.len(), pending[0].0), (1, 2));
    let (key, handle) = pending.into_iter().next().unwrap().1.into_parts();
    assert_eq!((key, handle.join_ok().unwrap()), ("late.com", 8));
    // Shared handles, and those of a scope.
    let shared = pool.submit(|| 7).share().with_key('s');
    let (key, outcome) = as_completed([shared]).next().unwrap();
    assert_eq!((key, outcome.unwrap()), ('s', 7));
    let text = String::from("borrowed");
    pool.scope(|s| {
        let lengths = (0..3).map(|n| s.submit(|| text.len()).with_key(n));
        let mut keys: Vec<_> = as_completed(lengths).map(|(key, _)| key).collect();
        keys.sort_unstable();
        assert_eq!(keys, [0, 1, 2]);
    });
}
