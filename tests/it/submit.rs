//! The submitting verbs: what each does when the pool is closed, or its queue is full.

use crate::stress::{EXPECTED, silence};
use crate::support::{LONG, must_recv};
use millhand::{OnFull, Rejection, Shutdown, SubmitError, TaskError, TaskHandle, ThreadPool};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
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
}

fn full(on_full: OnFull) -> Full {
    let pool = ThreadPool::builder()
        .workers(1)
        .queue_capacity(1)
        .on_full(on_full)
        .build()
        .unwrap();
    let held = hold(&pool, 1);
    let queued = pool.submit(|| ());
    Full { held, queued, pool }
}

fn closed() -> ThreadPool {
    let pool = ThreadPool::new(1).unwrap();
    pool.shutdown(Shutdown::drain()).unwrap();
    pool
}

type Answer = Result<u32, String>;

/// A closure that every face takes; `token` is in it.
fn work(token: &Arc<()>) -> impl FnOnce() -> Answer + Send + 'static {
    let token = token.clone();
    move || {
        drop(token);
        Ok(42)
    }
}

/// The refusal has the closure, whole, and it can be called.
fn is_given_back(refused: SubmitError<impl FnOnce() -> Answer>, why: Rejection, token: &Arc<()>) {
    assert_eq!(refused.reason(), why);
    assert_eq!(Arc::strong_count(token), 2, "it was not dropped");
    assert_eq!(refused.into_inner()(), Ok(42));
    assert_eq!(Arc::strong_count(token), 1, "it was the only one");
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
    let Full { held, queued, pool } = full;
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
    assert_eq!(pool.shutdown(Shutdown::drain()).unwrap().completed(), 3);
}

/// The whole table, on one face of a pool.
macro_rules! table {
    ($face:ident, |$pool:ident| $get:expr) => {
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
                is_given_back(refused, Rejection::Closed, &token);
            }

            #[test]
            fn try_submit_to_a_full_pool_gives_the_closure_back() {
                let (token, full) = (Arc::new(()), full(OnFull::Block));
                let $pool = &full.pool;
                let refused = $get.try_submit(work(&token)).unwrap_err();
                is_given_back(refused, Rejection::Full, &token);
            }

            #[test]
            fn try_submit_to_a_full_pool_that_rejects_gives_the_closure_back() {
                let (token, full) = (Arc::new(()), full(OnFull::Reject));
                let $pool = &full.pool;
                let refused = $get.try_submit(work(&token)).unwrap_err();
                is_given_back(refused, Rejection::Full, &token);
            }

            #[test]
            fn submit_timeout_to_a_closed_pool_gives_the_closure_back() {
                let (token, pool) = (Arc::new(()), closed());
                let $pool = &pool;
                let refused = $get.submit_timeout(LONG, work(&token)).unwrap_err();
                is_given_back(refused, Rejection::Closed, &token);
            }

            #[test]
            fn submit_timeout_to_a_full_pool_waits_so_long_and_gives_the_closure_back() {
                let (token, full) = (Arc::new(()), full(OnFull::Block));
                let $pool = &full.pool;
                let timeout = Duration::from_millis(10);
                let begun = Instant::now();
                let refused = $get.submit_timeout(timeout, work(&token)).unwrap_err();
                assert!(begun.elapsed() >= timeout);
                is_given_back(refused, Rejection::Full, &token);
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
                is_given_back(refused, Rejection::Full, &token);
            }

            #[test]
            fn execute_on_a_closed_pool_gives_the_closure_back() {
                let (token, pool) = (Arc::new(()), closed());
                let $pool = &pool;
                let refused = $get.execute(work(&token)).unwrap_err();
                is_given_back(refused, Rejection::Closed, &token);
            }

            #[test]
            fn execute_on_a_full_pool_waits() {
                waits_for_a_place(full(OnFull::Block), |$pool| {
                    $get.execute(work(&Arc::new(())));
                });
            }

            #[test]
            fn execute_on_a_full_pool_that_rejects_gives_the_closure_back() {
                let (token, full) = (Arc::new(()), full(OnFull::Reject));
                let $pool = &full.pool;
                let refused = $get.execute(work(&token)).unwrap_err();
                is_given_back(refused, Rejection::Full, &token);
            }

            #[test]
            fn try_execute_on_a_closed_pool_gives_the_closure_back() {
                let (token, pool) = (Arc::new(()), closed());
                let $pool = &pool;
                let refused = $get.try_execute(work(&token)).unwrap_err();
                is_given_back(refused, Rejection::Closed, &token);
            }

            #[test]
            fn try_execute_on_a_full_pool_gives_the_closure_back() {
                let (token, full) = (Arc::new(()), full(OnFull::Block));
                let $pool = &full.pool;
                let refused = $get.try_execute(work(&token)).unwrap_err();
                is_given_back(refused, Rejection::Full, &token);
            }

            #[test]
            fn try_execute_on_a_full_pool_that_rejects_gives_the_closure_back() {
                let (token, full) = (Arc::new(()), full(OnFull::Reject));
                let $pool = &full.pool;
                let refused = $get.try_execute(work(&token)).unwrap_err();
                is_given_back(refused, Rejection::Full, &token);
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
                $get.execute(work(&token));
                $get.try_execute(work(&token)).unwrap();
                assert_eq!(pool.shutdown(Shutdown::drain()).unwrap().completed(), 5);
                assert_eq!(Arc::strong_count(&token), 1);
            }

            #[test]
            fn a_panic_names_the_site_of_its_submission() {
                silence();
                let (tell, told) = mpsc::channel();
                let pool = ThreadPool::builder()
                    .workers(1)
                    .on_unread_panic(move |panic| tell.send(panic.site()).unwrap())
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
                    (line!(), unread($get.execute(explode))),
                    (line!(), unread($get.try_execute(explode).unwrap())),
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

table!(on_the_pool, |pool| pool);
table!(on_a_weak_reference, |pool| pool.downgrade());
table!(on_a_builder, |pool| pool.task().name("named"));
table!(on_a_fallible_builder, |pool| pool.task().fallible());
table!(on_a_builder_of_a_weak_reference, |pool| {
    pool.downgrade().task()
});

/// Without a macro between: each verb's own line.
#[test]
fn a_panic_names_the_very_line_of_its_submission() {
    silence();
    let (tell, told) = mpsc::channel();
    let pool = ThreadPool::builder()
        .workers(1)
        .on_unread_panic(move |panic| tell.send(panic.site()).unwrap())
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
    pool.execute(explode);
    pool.try_execute(explode).unwrap();
    for n in [1, 2] {
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
        let weak = pool.downgrade();
        let handle = other.submit(move || weak.submit(|| 7).join().unwrap());
        assert_eq!(handle.join().unwrap(), 7);
    });
}

#[test]
fn closing_wakes_the_submitters_that_wait() {
    for how in [Shutdown::drain(), Shutdown::cancel()] {
        let Full { held, queued, pool } = full(OnFull::Block);
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
                        1 => pool.execute(|| ()).unwrap_err().reason(),
                        _ => pool.submit_timeout(LONG, || ()).unwrap_err().reason(),
                    };
                    tell.send(why).unwrap();
                });
            }
            (0..9).for_each(|_| must_recv(&called));
            s.spawn(|| pool.shutdown(how.clone()).unwrap());
            // The worker is held all the while: no place comes free by running.
            for _ in 0..9 {
                assert_eq!(must_recv(&told), Rejection::Closed);
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
