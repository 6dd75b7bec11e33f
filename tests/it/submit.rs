//! The submitting verbs: what each does when the pool is closed, or its queue is full.

use crate::stress::{EXPECTED, silence};
use crate::support::{LONG, must_recv};
use millhand::error::{Rejection, SubmitError};
use millhand::pool::PoolBuilder;
use millhand::task::UnreadFailure;
use millhand::{JoinError, OnFull, Shutdown, TaskError, TaskHandle, ThreadPool};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

/// Bodies that hold their workers until they are let go, at the latest when this is dropped.
pub(crate) struct Held {
    bodies: Vec<(mpsc::Sender<()>, TaskHandle<()>)>,
}

impl Held {
    /// Lets one go, and waits until its body has returned.
    pub(crate) fn release_one(&mut self) {
        let (go, handle) = self.bodies.pop().expect("one is still held");
        drop(go);
        handle.join_timeout(LONG).unwrap().unwrap();
    }

    /// Lets all go.
    pub(crate) fn release(mut self) {
        while !self.bodies.is_empty() {
            self.release_one();
        }
    }
}

/// Holds `workers` workers of the pool, all of which are idle.
pub(crate) fn hold(pool: &ThreadPool, workers: usize) -> Held {
    let body = |_| {
        let (start, started) = mpsc::channel();
        let (go, wait) = mpsc::channel::<()>();
        let handle = pool.submit(move || {
            start.send(()).unwrap();
            let _ = wait.recv();
        });
        must_recv(&started);
        (go, handle)
    };
    Held {
        bodies: (0..workers).map(body).collect(),
    }
}

/// Of one worker, which is held, and with one task in its queue, which has no room for another.
struct Full {
    // Dropped in this order: what holds the worker goes first.
    held: Held,
    queued: TaskHandle<()>,
    pool: ThreadPool,
    refusals: Receiver<Rejection>,
}

/// The refusals that the pool's hook is told of.
fn heard_by(builder: PoolBuilder) -> (PoolBuilder, Receiver<Rejection>) {
    let (tell, refusals) = mpsc::channel();
    let hook = move |failure: &UnreadFailure| match failure.error() {
        JoinError::Task(TaskError::Rejected(why)) => tell.send(*why).unwrap(),
        _ => panic!("{failure}"),
    };
    (builder.on_unread(hook), refusals)
}

fn full(on_full: OnFull) -> Full {
    let builder = ThreadPool::builder().workers(1).queue_capacity(1);
    let (builder, refusals) = heard_by(builder.on_full(on_full));
    let pool = builder.build().unwrap();
    let held = hold(&pool, 1);
    let queued = pool.submit(|| ());
    Full {
        held,
        queued,
        pool,
        refusals,
    }
}

fn closed_and_heard() -> (ThreadPool, Receiver<Rejection>) {
    let (builder, refusals) = heard_by(ThreadPool::builder().workers(1));
    let pool = builder.build().unwrap();
    pool.shutdown(Shutdown::drain()).unwrap();
    (pool, refusals)
}

fn closed() -> ThreadPool {
    closed_and_heard().0
}

pub(crate) type Answer = Result<u32, String>;

/// A closure that every face takes; `token` is in it.
fn work(token: &Arc<()>) -> impl FnOnce() -> Answer + Send + 'static {
    let token = token.clone();
    move || {
        drop(token);
        Ok(42)
    }
}

/// What the verbs without a handle take in place of it: one that returns what they allow.
fn effect<T: 'static>(
    token: &Arc<()>,
    end: fn(Answer) -> T,
) -> impl FnOnce() -> T + Send + 'static {
    let work = work(token);
    move || end(work())
}

pub(crate) fn nothing(answer: Answer) {
    drop(answer);
}

pub(crate) fn no_value(answer: Answer) -> Result<(), String> {
    answer.map(drop)
}

/// The refusal has the closure, whole, and it can be called.
fn is_given_back<T: fmt::Debug + PartialEq>(
    refused: SubmitError<impl FnOnce() -> T>,
    returns: T,
    why: Rejection,
    token: &Arc<()>,
) {
    assert_eq!(refused.reason(), why);
    assert_eq!(Arc::strong_count(token), 2, "it was not dropped");
    assert_eq!(refused.into_inner()(), returns);
    assert_eq!(Arc::strong_count(token), 1, "it was the only one");
}

/// The closure is gone, the hook was told why, and the report counts it.
fn is_told_of(pool: &ThreadPool, refusals: &Receiver<Rejection>, why: Rejection, token: &Arc<()>) {
    assert_eq!(Arc::strong_count(token), 1, "it was dropped");
    assert_eq!(refusals.try_recv(), Ok(why));
    let report = pool.shutdown(Shutdown::drain()).unwrap();
    assert_eq!((report.rejected(), report.failed()), (1, 0), "{report}");
    assert!(refusals.try_recv().is_err(), "once");
}

/// The handle says it, at once, and the closure is gone.
fn is_rejected(handle: TaskHandle<Answer>, why: Rejection, token: &Arc<()>) {
    assert!(handle.is_finished());
    assert_eq!(Arc::strong_count(token), 1, "it was dropped");
    match handle.join() {
        Err(TaskError::Rejected(reason)) => assert_eq!(reason, why),
        other => panic!("not rejected: {other:?}"),
    }
}

/// `submit` does not come back before there is a place, and what it submitted then runs.
fn waits_for_a_place(full: Full, submit: impl FnOnce(&ThreadPool) + Send) {
    let Full {
        held,
        queued,
        pool,
        refusals,
    } = full;
    let released = AtomicBool::new(false);
    let (call, called) = mpsc::channel();
    std::thread::scope(|s| {
        // In here, so that a failure lets the worker go before the threads are joined.
        let held = held;
        let submitter = s.spawn(|| {
            call.send(()).unwrap();
            submit(&pool);
            assert!(released.load(SeqCst), "there was no place yet");
        });
        must_recv(&called);
        // Time for a wrong submit to come back; it decides nothing.
        assert_eq!(pool.wait_idle_timeout(Duration::from_millis(10)), Ok(false));
        assert_eq!(pool.queued(), 1);
        released.store(true, SeqCst);
        held.release();
        submitter.join().unwrap();
    });
    queued.join().unwrap();
    assert_eq!(pool.shutdown(Shutdown::drain()).unwrap().succeeded(), 3);
    assert!(refusals.try_recv().is_err());
}

/// The whole table, on one face of a pool. `$end` makes what `$execute` and `$try_execute` let a closure return.
macro_rules! table {
    ($face:ident, [$execute:ident, $try_execute:ident, $end:expr], |$pool:ident| $get:expr) => {
        mod $face {
            use super::*;

            #[test]
            fn submit_to_a_closed_pool_settles_as_rejected() {
                let (token, pool) = (Arc::new(()), closed());
                let $pool = &pool;
                is_rejected($get.submit(work(&token)), Rejection::Closed, &token);
            }

            #[test]
            fn submit_to_a_full_pool_waits() {
                waits_for_a_place(full(OnFull::Block), |$pool| {
                    let handle = $get.submit(work(&Arc::new(())));
                    assert_eq!(handle.join().unwrap(), Ok(42));
                });
            }

            #[test]
            fn submit_to_a_full_pool_that_rejects_settles_as_rejected() {
                let (token, full) = (Arc::new(()), full(OnFull::Reject));
                let $pool = &full.pool;
                is_rejected($get.submit(work(&token)), Rejection::Full, &token);
            }

            #[test]
            fn try_submit_to_a_closed_pool_gives_the_closure_back() {
                let (token, pool) = (Arc::new(()), closed());
                let $pool = &pool;
                let refused = $get.try_submit(work(&token)).unwrap_err();
                is_given_back(refused, Ok(42), Rejection::Closed, &token);
            }

            #[test]
            fn try_submit_to_a_full_pool_gives_the_closure_back() {
                let (token, full) = (Arc::new(()), full(OnFull::Block));
                let $pool = &full.pool;
                let refused = $get.try_submit(work(&token)).unwrap_err();
                is_given_back(refused, Ok(42), Rejection::Full, &token);
            }

            #[test]
            fn try_submit_to_a_full_pool_that_rejects_gives_the_closure_back() {
                let (token, full) = (Arc::new(()), full(OnFull::Reject));
                let $pool = &full.pool;
                let refused = $get.try_submit(work(&token)).unwrap_err();
                is_given_back(refused, Ok(42), Rejection::Full, &token);
            }

            #[test]
            fn submit_timeout_to_a_closed_pool_gives_the_closure_back() {
                let (token, pool) = (Arc::new(()), closed());
                let $pool = &pool;
                let refused = $get.submit_timeout(LONG, work(&token)).unwrap_err();
                is_given_back(refused, Ok(42), Rejection::Closed, &token);
            }

            #[test]
            fn submit_timeout_to_a_full_pool_waits_so_long_and_gives_the_closure_back() {
                let (token, full) = (Arc::new(()), full(OnFull::Block));
                let $pool = &full.pool;
                let timeout = Duration::from_millis(10);
                let begun = Instant::now();
                let refused = $get.submit_timeout(timeout, work(&token)).unwrap_err();
                assert!(begun.elapsed() >= timeout);
                is_given_back(refused, Ok(42), Rejection::Full, &token);
            }

            #[test]
            fn submit_timeout_to_a_full_pool_takes_a_place_that_comes_in_time() {
                waits_for_a_place(full(OnFull::Block), |$pool| {
                    let handle = $get.submit_timeout(LONG, work(&Arc::new(()))).unwrap();
                    assert_eq!(handle.join().unwrap(), Ok(42));
                });
            }

            #[test]
            fn submit_timeout_to_a_full_pool_that_rejects_gives_the_closure_back_at_once() {
                let (token, full) = (Arc::new(()), full(OnFull::Reject));
                let $pool = &full.pool;
                let refused = $get
                    .submit_timeout(Duration::MAX, work(&token))
                    .unwrap_err();
                is_given_back(refused, Ok(42), Rejection::Full, &token);
            }

            #[test]
            fn execute_on_a_closed_pool_is_told_of_and_counted() {
                let (token, (pool, refusals)) = (Arc::new(()), closed_and_heard());
                let $pool = &pool;
                $get.$execute(effect(&token, $end));
                is_told_of($pool, &refusals, Rejection::Closed, &token);
            }

            #[test]
            fn execute_on_a_full_pool_waits() {
                waits_for_a_place(full(OnFull::Block), |$pool| {
                    $get.$execute(effect(&Arc::new(()), $end));
                });
            }

            #[test]
            fn execute_on_a_full_pool_that_rejects_is_told_of_and_counted() {
                let (token, full) = (Arc::new(()), full(OnFull::Reject));
                let $pool = &full.pool;
                $get.$execute(effect(&token, $end));
                full.held.release();
                is_told_of($pool, &full.refusals, Rejection::Full, &token);
            }

            #[test]
            fn try_execute_on_a_closed_pool_gives_the_closure_back() {
                let (token, pool) = (Arc::new(()), closed());
                let $pool = &pool;
                let refused = $get.$try_execute(effect(&token, $end)).unwrap_err();
                is_given_back(refused, $end(Ok(42)), Rejection::Closed, &token);
            }

            #[test]
            fn try_execute_on_a_full_pool_gives_the_closure_back() {
                let (token, full) = (Arc::new(()), full(OnFull::Block));
                let $pool = &full.pool;
                let refused = $get.$try_execute(effect(&token, $end)).unwrap_err();
                is_given_back(refused, $end(Ok(42)), Rejection::Full, &token);
            }

            #[test]
            fn try_execute_on_a_full_pool_that_rejects_gives_the_closure_back() {
                let (token, full) = (Arc::new(()), full(OnFull::Reject));
                let $pool = &full.pool;
                let refused = $get.$try_execute(effect(&token, $end)).unwrap_err();
                is_given_back(refused, $end(Ok(42)), Rejection::Full, &token);
            }

            #[test]
            fn every_verb_submits_to_an_open_pool() {
                let pool = ThreadPool::new(2).unwrap();
                let (token, $pool) = (Arc::new(()), &pool);
                let handles = [
                    $get.submit(work(&token)),
                    $get.try_submit(work(&token)).unwrap(),
                    $get.submit_timeout(Duration::ZERO, work(&token)).unwrap(),
                ];
                for handle in handles {
                    assert_eq!(handle.join().unwrap(), Ok(42));
                }
                $get.$execute(effect(&token, $end));
                $get.$try_execute(effect(&token, $end)).unwrap();
                assert_eq!(pool.shutdown(Shutdown::drain()).unwrap().succeeded(), 5);
                assert_eq!(Arc::strong_count(&token), 1);
            }

            #[test]
            fn a_panic_names_the_site_of_its_submission() {
                silence();
                let (tell, told) = mpsc::channel();
                let pool = ThreadPool::builder()
                    .workers(1)
                    .on_unread(move |failure| tell.send(failure.site()).unwrap())
                    .build()
                    .unwrap();
                let $pool = &pool;
                let of = |handle: TaskHandle<Answer>| match handle.join() {
                    Err(TaskError::Panicked(panic)) => panic.site(),
                    other => panic!("no panic: {other:?}"),
                };
                let unread = |()| must_recv(&told);
                let sites = [
                    (line!(), of($get.submit(explode))),
                    (line!(), of($get.try_submit(explode).unwrap())),
                    (line!(), of($get.submit_timeout(LONG, explode).unwrap())),
                    (line!(), unread($get.$execute(|| $end(explode())))),
                    (
                        line!(),
                        unread($get.$try_execute(|| $end(explode())).unwrap()),
                    ),
                ];
                for (line, site) in sites {
                    assert_eq!(site.file(), file!());
                    // Within this macro all lines are those where it is called.
                    assert_eq!(site.line(), line, "{site}");
                }
            }
        }
    };
}

fn explode() -> Answer {
    panic!("{EXPECTED}")
}

table!(on_the_pool, [execute, try_execute, nothing], |pool| pool);
table!(
    on_the_pool_what_may_fail,
    [execute_ok, try_execute_ok, no_value],
    |pool| pool
);
table!(
    on_a_weak_reference,
    [execute, try_execute, nothing],
    |pool| { pool.handle() }
);
table!(on_a_builder, [execute, try_execute, nothing], |pool| pool
    .task()
    .name("named"));
table!(
    on_a_fallible_builder,
    [execute_ok, try_execute_ok, no_value],
    |pool| pool.task().fallible()
);
table!(
    on_a_builder_of_a_weak_reference,
    [execute, try_execute, nothing],
    |pool| pool.handle().task()
);

/// Without a macro between: each verb's own line.
#[test]
fn a_panic_names_the_very_line_of_its_submission() {
    silence();
    let (tell, told) = mpsc::channel();
    let pool = ThreadPool::builder()
        .workers(1)
        .on_unread(move |failure| tell.send(failure.site()).unwrap())
        .build()
        .unwrap();
    let before = line!();
    let first = pool.submit(explode);
    let second = pool.try_submit(explode).unwrap();
    let third = pool.submit_timeout(LONG, explode).unwrap();
    for (n, handle) in (1..).zip([first, second, third]) {
        let Err(TaskError::Panicked(panic)) = handle.join() else {
            panic!("it panics")
        };
        assert_eq!(panic.site().file(), file!());
        assert_eq!(panic.site().line(), before + n);
    }
    let before = line!();
    pool.execute(|| nothing(explode()));
    pool.try_execute(|| nothing(explode())).unwrap();
    pool.execute_ok(|| no_value(explode()));
    pool.try_execute_ok(|| no_value(explode())).unwrap();
    for n in 1..=4 {
        assert_eq!(must_recv(&told).line(), before + n);
    }
}

#[test]
fn a_worker_s_own_submissions_are_not_held_up_nor_refused_for_fullness() {
    for on_full in [OnFull::Block, OnFull::Reject] {
        let pool = ThreadPool::builder()
            .workers(1)
            .queue_capacity(1)
            .on_full(on_full)
            .build()
            .unwrap();
        let (start, started) = mpsc::channel();
        let (go, wait) = mpsc::channel::<()>();
        let inside = pool.submit(move || {
            start.send(()).unwrap();
            wait.recv().unwrap();
            let pool = millhand::current().unwrap().pool();
            let mut handles = Vec::new();
            for _ in 0..20 {
                handles.push(pool.submit(|| 1));
                handles.push(pool.try_submit(|| 1).unwrap());
                handles.push(pool.submit_timeout(Duration::ZERO, || 1).unwrap());
                pool.execute(|| ());
                pool.try_execute(|| ()).unwrap();
                handles.push(pool.task().name("child").submit(|| 1));
            }
            handles
        });
        must_recv(&started);
        pool.try_execute(|| ()).unwrap();
        let refused = pool.try_execute(|| ()).unwrap_err();
        assert_eq!(refused.reason(), Rejection::Full);
        go.send(()).unwrap();
        let handles = inside.join().unwrap();
        assert_eq!(handles.len(), 80);
        for handle in handles {
            assert_eq!(handle.join().unwrap(), 1);
        }
    }
}

#[test]
fn a_submission_from_another_pool_s_worker_does_wait() {
    let other = ThreadPool::new(1).unwrap();
    waits_for_a_place(full(OnFull::Block), |pool| {
        let weak = pool.handle();
        let handle = other.submit(move || weak.submit(|| 7).join().unwrap());
        assert_eq!(handle.join().unwrap(), 7);
    });
}

#[test]
fn closing_wakes_the_submitters_that_wait() {
    for how in [Shutdown::drain(), Shutdown::cancel()] {
        let Full {
            held,
            queued,
            pool,
            refusals,
        } = full(OnFull::Block);
        let pool = &pool;
        let (tell, told) = mpsc::channel();
        let (call, called) = mpsc::channel();
        std::thread::scope(|s| {
            let held = held;
            for n in 0..9 {
                let (tell, call) = (tell.clone(), call.clone());
                s.spawn(move || {
                    call.send(()).unwrap();
                    let why = match n % 3 {
                        0 => match pool.submit(|| ()).join() {
                            Err(TaskError::Rejected(why)) => why,
                            other => panic!("not rejected: {other:?}"),
                        },
                        1 => {
                            pool.execute(|| ());
                            return;
                        }
                        _ => pool.submit_timeout(LONG, || ()).unwrap_err().reason(),
                    };
                    tell.send(why).unwrap();
                });
            }
            (0..9).for_each(|_| must_recv(&called));
            s.spawn(|| pool.shutdown(how.clone()).unwrap());
            // The worker is held all the while: no place comes free by running.
            for told in [[&told; 6].as_slice(), &[&refusals; 3]].concat() {
                assert_eq!(must_recv(told), Rejection::Closed);
            }
            held.release();
        });
        match queued.join() {
            Ok(()) => assert_eq!(how, Shutdown::drain()),
            Err(_) => assert_eq!(how, Shutdown::cancel()),
        }
    }
}

#[test]
fn tasks_of_one_submitter_on_one_worker_run_in_their_order() {
    let pool = ThreadPool::new(1).unwrap();
    let held = hold(&pool, 1);
    let (tell, told) = mpsc::channel();
    for n in 0..1000 {
        let tell = tell.clone();
        pool.execute(move || tell.send(n).unwrap());
    }
    held.release();
    drop((pool, tell));
    assert!(told.iter().eq(0..1000));
}
