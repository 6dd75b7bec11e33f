//! Large closures, up to what `std::thread::spawn` takes: they are called where they are, and not on
//! the stack of a worker. The pools have stacks of the default size.

use crate::handle::must_join;
use crate::submit::hold;
use millhand::compose::when_each;
use millhand::{Retry, ThreadPool, when_all};
use std::thread;
use std::time::Duration;

/// What the submitter needs: without optimisation it has each closure several times on its stack.
const SUBMITTER: usize = 32 << 20;

/// Runs every way in with a closure of `N` bytes.
fn every_way<const N: usize>() {
    let pool = ThreadPool::new(2).unwrap();
    let big = [1_u8; N];
    // Reads both ends.
    let sum = move || usize::from(big[0]) + usize::from(big[N - 1]);
    let ok = move || Ok::<_, &str>(sum());
    assert_eq!(must_join(pool.submit(sum)).unwrap(), 2);
    assert_eq!(must_join(pool.try_submit(sum).unwrap()).unwrap(), 2);
    pool.execute(move || assert_eq!(sum(), 2));
    pool.try_execute(move || assert_eq!(sum(), 2)).unwrap();
    pool.execute_ok(move || ok().map(|sum| assert_eq!(sum, 2)));
    let task = pool.task().name("large").priority(1);
    assert_eq!(must_join(task.submit(sum)).unwrap(), 2);
    assert_eq!(
        must_join(task.clone().fallible().submit(ok)).unwrap(),
        Ok(2)
    );
    let retried = task.clone().retry(Retry::fixed(1, Duration::ZERO));
    let mut attempts = 0;
    let handle = retried.submit(move || {
        attempts += 1;
        if attempts < 2 { Err("once more") } else { ok() }
    });
    assert_eq!(must_join(handle).unwrap(), Ok(2));
    pool.scope(|s| {
        assert_eq!(s.submit(sum).join().unwrap(), 2);
        assert_eq!(s.task().fallible().submit(ok).join().unwrap(), Ok(2));
        s.task().retry(Retry::fixed(1, Duration::ZERO)).submit(ok);
    });
    let then = pool.submit(|| 1).then(move |one| one.unwrap() + sum());
    assert_eq!(must_join(then.map(move |n| n + sum())).unwrap(), 5);
    let both = when_each((pool.submit(|| 1), pool.submit(|| 2)));
    let both = both.then(move |(a, b)| a.unwrap() + b.unwrap() + sum());
    assert_eq!(must_join(both).unwrap(), 5);
    let all = when_all([pool.submit(|| 1)]).then(move |all| all.len() + sum());
    assert_eq!(must_join(all).unwrap(), 3);
    let after = task.submit_after([pool.submit(|| 1)], move |[n]| n.unwrap() + sum());
    assert_eq!(must_join(after).unwrap(), 3);
    let held = hold(&pool, 2);
    let cancelled = pool.submit(sum);
    cancelled.cancel();
    drop(pool.submit(sum));
    held.release();
    must_join(cancelled).unwrap_err();
}

fn with_room(test: fn()) {
    let thread = thread::Builder::new().stack_size(SUBMITTER);
    thread.spawn(test).unwrap().join().unwrap();
}

#[test]
fn closures_of_64_kib() {
    with_room(every_way::<{ 64 << 10 }>);
}

#[test]
fn closures_of_512_kib() {
    with_room(every_way::<{ 512 << 10 }>);
}
