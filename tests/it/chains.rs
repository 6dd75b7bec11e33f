//! Chains of a hundred thousand tasks, on stacks of 128 KiB: nothing here may recurse.

use crate::handle::must_join;
use crate::manual::{Drops, until};
use crate::support::LONG;
use millhand::cancel::CancelReason;
use millhand::error::WaitedFor;
use millhand::task::Promise;
use millhand::{
    SharedHandle, Shutdown, TaskError, TaskHandle, ThreadPool, join_all, promise, when_all,
};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread;

const LINKS: usize = 100_000;
const STACK: usize = 128 << 10;

fn pool() -> ThreadPool {
    let builder = ThreadPool::builder().workers(1).stack_size(STACK);
    builder.build().unwrap()
}

/// On a thread with little stack; a pool itself, in a debug build, is too big to be built there.
fn narrowly<P: Send + 'static>(pools: P, test: impl FnOnce(P) + Send + 'static) {
    let thread = thread::Builder::new().stack_size(STACK);
    thread.spawn(move || test(pools)).unwrap().join().unwrap();
}

/// The end of a chain behind a promise, that takes turns through the pools; each closure counts its drop.
fn chain(pools: &[&ThreadPool], drops: &Drops) -> (Promise<usize>, TaskHandle<usize>) {
    let (kept, handle) = promise();
    let mut last = pools[0].task().submit_after([handle], |[n]| n.unwrap());
    for step in 1..LINKS {
        let one = drops.one();
        last = if pools.len() == 1 {
            last.map(move |n| {
                one.keep();
                n + 1
            })
        } else {
            let task = pools[step % pools.len()].task();
            task.submit_after([last], move |[n]| {
                one.keep();
                n.unwrap() + 1
            })
        };
    }
    (kept, last)
}

fn is_cancelled(outcome: Result<usize, TaskError>, why: CancelReason) -> bool {
    matches!(outcome, Err(TaskError::Cancelled(reason)) if reason == why)
}

#[test]
fn it_runs() {
    narrowly(pool(), |pool| {
        let drops = Drops::default();
        let (kept, last) = chain(&[&pool], &drops);
        kept.complete(1).unwrap();
        assert_eq!(must_join(last).unwrap(), LINKS);
        assert_eq!(drops.count(), LINKS - 1);
        let report = pool.shutdown(Shutdown::drain()).unwrap();
        assert_eq!(report.succeeded(), LINKS as u64);
    });
}

#[test]
fn it_runs_from_pool_to_pool() {
    narrowly((pool(), pool()), |(one, two)| {
        let drops = Drops::default();
        let (kept, last) = chain(&[&one, &two], &drops);
        kept.complete(1).unwrap();
        assert_eq!(must_join(last).unwrap(), LINKS);
    });
}

#[test]
fn it_is_cancelled_from_its_end() {
    narrowly(pool(), |pool| {
        let drops = Drops::default();
        let (kept, last) = chain(&[&pool], &drops);
        last.cancel();
        assert!(kept.is_cancelled());
        assert_eq!(drops.count(), LINKS - 1);
        assert!(is_cancelled(must_join(last), CancelReason::User));
        pool.wait_idle().unwrap();
        let report = pool.shutdown(Shutdown::drain()).unwrap();
        assert_eq!(report.cancelled(), LINKS as u64);
        assert_eq!(report.cancelled_by_shutdown(), 0);
    });
}

#[test]
fn a_failure_flows_through_it() {
    narrowly(pool(), |pool| {
        let drops = Drops::default();
        let (kept, handle) = promise::<usize>();
        let mut last = pool
            .task()
            .submit_after([handle], |[n]| n)
            .map(Result::unwrap);
        for _ in 1..LINKS {
            let one = drops.one();
            last = last.map(move |n| {
                one.keep();
                n
            });
        }
        kept.fail(TaskError::Expired(WaitedFor::Tasks)).unwrap();
        let Err(TaskError::Panicked(panic)) = must_join(last) else {
            panic!("`unwrap` of the failure panicked");
        };
        assert!(panic.message().contains("Expired"));
        assert_eq!(drops.count(), LINKS - 1);
    });
}

#[test]
fn it_is_dropped_unfinished() {
    narrowly(pool(), |pool| {
        let drops = Drops::default();
        let (kept, last) = chain(&[&pool], &drops);
        drop(last);
        assert_eq!(drops.count(), 0, "it waits on");
        drop(pool);
        assert!(kept.is_cancelled());
        assert_eq!(drops.count(), LINKS - 1);
    });
}

#[test]
fn it_is_shut_down() {
    for how in [Shutdown::drain(), Shutdown::cancel()] {
        narrowly(pool(), move |pool| {
            let drops = Drops::default();
            let (_kept, last) = chain(&[&pool], &drops);
            let report = pool.shutdown(how).unwrap();
            assert!(is_cancelled(must_join(last), CancelReason::Shutdown));
            assert_eq!(report.cancelled_by_shutdown(), LINKS as u64);
            assert_eq!(drops.count(), LINKS - 1);
        });
    }
}

#[test]
fn its_promise_is_dropped_when_its_pool_is_closed() {
    narrowly((pool(), pool()), |(one, two)| {
        let drops = Drops::default();
        let (kept, last) = chain(&[&one, &two], &drops);
        // Behind the promise on the other thread.
        let dropping = thread::Builder::new().stack_size(STACK);
        let dropping = dropping.spawn(move || drop(kept)).unwrap();
        drop(one);
        drop(two);
        dropping.join().unwrap();
        assert!(last.join_timeout(LONG).unwrap().is_err());
        assert_eq!(drops.count(), LINKS - 1);
    });
}

#[test]
fn its_pool_is_dropped_on_its_own_worker() {
    narrowly(Arc::new(pool()), |pool| {
        let drops = Drops::default();
        let (kept, last) = chain(&[&pool], &drops);
        let mine = pool.clone();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        pool.execute(move || {
            let _ = wait.recv();
            drop(mine);
        });
        drop(pool);
        drop(go);
        assert!(is_cancelled(must_join(last), CancelReason::Shutdown));
        until("all are dropped", || {
            kept.is_cancelled() && drops.count() == LINKS - 1
        });
    });
}

#[test]
fn a_chord_of_as_many() {
    narrowly(pool(), |pool| {
        let submit = || {
            (0..LINKS)
                .map(|n| pool.submit(move || n))
                .collect::<Vec<_>>()
        };
        let sum = LINKS * (LINKS - 1) / 2;
        let add = |all: Vec<Result<usize, TaskError>>| all.into_iter().flatten().sum::<usize>();
        assert_eq!(must_join(when_all(submit()).then(add)).unwrap(), sum);
        assert_eq!(add(join_all(submit())), sum);
        let (_kept, never) = promise::<()>();
        let cancelled = pool
            .task()
            .submit_after((when_all(submit()).then(add), never), |_| ());
        cancelled.cancel();
        pool.wait_idle().unwrap();
    });
}

/// What holds the one before it.
enum Link {
    First,
    Task { _before: TaskHandle<Link> },
    Shared { _before: Box<SharedHandle<Link>> },
}

/// A chain of settled tasks, each of which has the handle of the one before in its outcome.
fn settled_chain(mut next: impl FnMut(Option<TaskHandle<Link>>) -> TaskHandle<Link>) {
    let mut last = next(None);
    for _ in 1..LINKS {
        last = next(Some(last));
    }
    last.wait().unwrap();
    drop(last);
}

fn link(before: Option<TaskHandle<Link>>) -> Link {
    before.map_or(Link::First, |before| Link::Task { _before: before })
}

#[test]
fn settled_tasks_that_hold_each_other_are_dropped() {
    narrowly(pool(), |pool| {
        settled_chain(|before| pool.submit(move || link(before)));
        pool.wait_idle().unwrap();
        settled_chain(|before| {
            let (promise, handle) = promise();
            promise.complete(link(before)).ok().unwrap();
            handle
        });
    });
}

#[test]
fn tasks_whose_panics_hold_each_other_are_dropped() {
    crate::stress::silence();
    narrowly(pool(), |pool| {
        settled_chain(|before| {
            let before = link(before);
            let quiet = move || resume_unwind(Box::new(before));
            pool.submit(quiet)
        });
        pool.wait_idle().unwrap();
    });
}

#[test]
fn shared_outcomes_that_hold_each_other_are_dropped() {
    narrowly(pool(), |pool| {
        for reads in [false, true] {
            let mut last = pool.submit(|| Link::First).share();
            for _ in 1..LINKS {
                if reads {
                    assert!(last.join().is_ok());
                }
                last = pool
                    .submit(|| Link::Shared {
                        _before: Box::new(last),
                    })
                    .share();
            }
            last.wait().unwrap();
            drop(last);
        }
        pool.wait_idle().unwrap();
    });
}
