//! What ends a pool beside a shutdown: a token, `close`, and the drop as the builder chose it.

use crate::lifecycle::watched;
use crate::submit::hold;
use crate::support::{LONG, must_recv};
use millhand::cancel::CancelReason;
use millhand::error::{Rejection, Stopped};
use millhand::pool::PoolError;
use millhand::testing::ManualClock;
use millhand::{CancelToken, Every, OnFull, Shutdown, TaskError, ThreadPool, promise};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

fn pool() -> ThreadPool {
    ThreadPool::new(1).unwrap()
}

fn until_closed(pool: &ThreadPool) {
    while !pool.is_closed() {
        thread::yield_now();
    }
}

/// Keeps its run slot, as no wait of the library does: what is queued stays there.
fn until_asked_to_stop() -> Result<(), Stopped> {
    while !millhand::is_cancelled() {
        thread::yield_now();
    }
    millhand::check()
}

// run_until with a token.

#[test]
fn a_token_that_is_cancelled_drains_the_pool() {
    let (pool, quit) = (pool(), CancelToken::new());
    let held = hold(&pool, 1);
    let queued = pool.submit(|| 7);
    thread::scope(|s| {
        let runs = s.spawn(|| pool.run_until(&quit, Shutdown::drain()));
        assert!(!pool.is_closed());
        quit.cancel();
        until_closed(&pool);
        held.release();
        let report = runs.join().unwrap().unwrap();
        assert_eq!((report.succeeded(), report.is_clean()), (2, true));
    });
    assert_eq!(queued.join().unwrap(), 7);
}

#[test]
fn a_token_that_is_cancelled_already_ends_the_pool_at_once() {
    let (pool, quit) = (pool(), CancelToken::new());
    quit.cancel();
    let report = pool.run_until(&quit, Shutdown::cancel()).unwrap();
    assert_eq!(report.succeeded(), 0);
    assert!(pool.is_closed());
}

#[test]
fn a_deadline_ends_the_pool() {
    let quit = CancelToken::with_timeout(Duration::from_millis(5));
    assert!(pool().run_until(&quit, Shutdown::drain()).is_ok());
    // By the clock of a test, while the pool has another.
    let clock = ManualClock::new();
    let quit = CancelToken::with_clock(clock.clock()).child_with_timeout(HOUR);
    let pool = pool();
    thread::scope(|s| {
        let runs = s.spawn(|| pool.run_until(&quit, Shutdown::drain()));
        clock.advance(HOUR);
        assert!(runs.join().unwrap().is_ok());
    });
}

#[test]
fn another_shutdown_or_a_close_ends_the_wait_for_a_token() {
    for closes in [false, true] {
        let (pool, quit) = (pool(), CancelToken::new());
        thread::scope(|s| {
            let runs = s.spawn(|| pool.run_until(&quit, Shutdown::drain()));
            match closes {
                true => pool.close(),
                false => drop(pool.shutdown(Shutdown::drain()).unwrap()),
            }
            assert!(runs.join().unwrap().is_ok());
        });
        assert!(!quit.is_cancelled());
    }
}

#[test]
fn many_threads_wait_and_each_has_the_report() {
    let (pool, quit) = (pool(), CancelToken::new());
    pool.execute(|| ());
    thread::scope(|s| {
        let wait = || {
            pool.run_until(&quit, Shutdown::drain())
                .unwrap()
                .succeeded()
        };
        let waiters: Vec<_> = (0..4).map(|_| s.spawn(wait)).collect();
        quit.cancel();
        for waiter in waiters {
            assert_eq!(waiter.join().unwrap(), 1);
        }
    });
}

#[test]
fn a_body_that_runs_another_pool_is_interrupted_and_that_pool_stays_open() {
    let (outer, inner) = (pool(), Arc::new(pool()));
    let (send, begun) = mpsc::channel();
    let (quit, its) = (CancelToken::new(), inner.clone());
    let waits = outer.submit(move || {
        send.send(()).unwrap();
        its.run_until(&quit, Shutdown::drain()).map(drop)
    });
    must_recv(&begun);
    waits.cancel();
    let ended = waits.join().unwrap();
    assert!(matches!(ended, Err(PoolError::Interrupted(_))), "{ended:?}");
    assert!(!inner.is_closed());
    assert_eq!(inner.submit(|| 7).join().unwrap(), 7);
}

#[test]
fn a_pool_s_own_task_cannot_wait_for_its_end() {
    let pool = Arc::new(pool());
    let own = pool.clone();
    let tries = pool.submit(move || {
        own.run_until(&CancelToken::new(), Shutdown::drain())
            .map(drop)
    });
    assert_eq!(tries.join().unwrap(), Err(PoolError::InsideTask));
}

#[cfg(feature = "simulation")]
#[test]
fn a_simulated_pool_runs_until_a_token_is_cancelled() {
    for seed in 0..50 {
        let (pool, _simulation) = ThreadPool::simulated(seed);
        let quit = CancelToken::new();
        let mine = quit.clone();
        pool.execute(move || {
            millhand::sleep(HOUR).unwrap();
            mine.cancel();
        });
        let report = pool.run_until(&quit, Shutdown::drain()).unwrap();
        assert_eq!(report.succeeded(), 1);
    }
}

// close

#[test]
fn a_closed_pool_refuses_what_comes_from_outside_and_runs_all_it_has() {
    let (pool, census) = watched(1);
    let (go, gone) = mpsc::channel();
    let (inner, told) = mpsc::channel();
    pool.execute(move || {
        must_recv(&gone);
        // Its own tasks may submit still.
        let mine = millhand::current().unwrap().pool();
        mine.execute(move || inner.send(7).unwrap());
    });
    let queued = pool.submit(|| 1);
    pool.close();
    pool.close();
    assert!(pool.is_closed());
    assert_eq!(
        pool.try_submit(|| ()).unwrap_err().reason(),
        Rejection::Closed
    );
    assert!(pool.broadcast(|| ()).is_err());
    go.send(()).unwrap();
    assert_eq!(must_recv(&told), 7);
    assert_eq!(queued.join().unwrap(), 1);
    // The threads end by themselves.
    while census.live() > 0 {
        thread::yield_now();
    }
    let report = pool.shutdown(Shutdown::drain()).unwrap();
    assert_eq!((report.succeeded(), report.is_clean()), (3, true));
}

#[test]
fn an_idle_pool_ends_when_it_is_closed() {
    let (pool, census) = watched(2);
    pool.submit(|| ()).join().unwrap();
    pool.close();
    while census.live() > 0 {
        thread::yield_now();
    }
    pool.wait_idle().unwrap();
}

#[test]
fn a_close_leaves_what_is_not_due_to_the_shutdown() {
    let clock = ManualClock::new();
    let build = || {
        let pool = ThreadPool::builder().workers(1).clock(&clock).build();
        let pool = pool.unwrap();
        let later = pool.task().delay(HOUR).submit(|| 7);
        pool.close();
        (pool, later)
    };
    // It stays, and runs when it is due.
    let (pool, later) = build();
    clock.advance(HOUR);
    assert_eq!(later.join().unwrap(), 7);
    pool.wait_idle().unwrap();
    // A drain cancels it, as it does without a close.
    let (pool, later) = build();
    let report = pool.shutdown(Shutdown::drain()).unwrap();
    assert_eq!(report.not_due().len(), 1);
    assert!(matches!(
        later.join(),
        Err(TaskError::Cancelled(CancelReason::Shutdown))
    ));
    // So does a drop.
    let (pool, later) = build();
    drop(pool);
    assert!(later.is_finished());
    // A drain that includes the delayed waits for it.
    let (pool, later) = build();
    thread::scope(|s| {
        let ends = s.spawn(|| pool.shutdown(Shutdown::drain().including_delayed()));
        clock.advance(HOUR);
        assert!(ends.join().unwrap().unwrap().is_clean());
    });
    assert_eq!(later.join().unwrap(), 7);
}

#[test]
fn a_close_beside_a_drain_does_not_make_that_wait_for_what_is_not_due() {
    for _ in 0..200 {
        let pool = pool();
        let later = pool.task().delay(HOUR).submit(|| ());
        thread::scope(|s| {
            s.spawn(|| pool.close());
            pool.shutdown(Shutdown::drain()).unwrap();
        });
        assert!(later.is_finished());
    }
}

#[test]
fn a_close_ends_schedules_and_refuses_who_waits_for_a_place() {
    let pool = ThreadPool::builder()
        .workers(1)
        .queue_capacity(1)
        .on_full(OnFull::Block)
        .build()
        .unwrap();
    let schedule = pool.task().every(Every::new(HOUR)).run(|| ()).unwrap();
    let held = hold(&pool, 1);
    let full = pool.submit(|| ());
    thread::scope(|s| {
        let refused = s.spawn(|| pool.submit(|| ()).join().unwrap_err());
        pool.close();
        let refused = refused.join().unwrap();
        assert!(matches!(refused, TaskError::Rejected(Rejection::Closed)));
    });
    assert!(schedule.is_ended());
    held.release();
    full.join().unwrap();
}

#[test]
fn a_task_may_close_its_own_pool() {
    let pool = Arc::new(pool());
    let own = pool.clone();
    pool.submit(move || own.close()).join().unwrap();
    assert!(pool.is_closed());
}

#[test]
fn continuations_of_what_never_comes_do_not_keep_a_closed_pool() {
    let pool = ThreadPool::new(1).unwrap();
    let (kept, never) = promise::<u32>();
    let after = pool.task().submit_after([never], |_| ());
    pool.close();
    let outcome = after.join_timeout(LONG).expect("it settles");
    assert!(matches!(
        outcome,
        Err(TaskError::Cancelled(CancelReason::Shutdown))
    ));
    drop(kept);
}

// on_drop

#[test]
fn a_pool_that_cancels_on_drop_does_not_run_what_is_queued() {
    let pool = ThreadPool::builder()
        .workers(1)
        .on_drop(Shutdown::cancel())
        .build()
        .unwrap();
    let (send, begun) = mpsc::channel();
    let runs = pool.submit(move || {
        send.send(()).unwrap();
        until_asked_to_stop()
    });
    must_recv(&begun);
    let queued = pool.submit(|| ());
    drop(pool);
    assert!(runs.join().unwrap().is_err());
    assert!(matches!(
        queued.join(),
        Err(TaskError::Cancelled(CancelReason::Shutdown))
    ));
}

#[test]
fn a_pool_that_gives_up_on_drop_does_not_wait_for_what_does_not_hear() {
    let how = Shutdown::cancel().give_up_after(Duration::from_millis(1));
    let pool = ThreadPool::builder()
        .workers(1)
        .on_drop(how)
        .build()
        .unwrap();
    let held = hold(&pool, 1);
    drop(pool); // comes back while it is held
    held.release();
}

#[test]
fn a_drop_that_includes_the_delayed_runs_them() {
    let how = Shutdown::drain().including_delayed();
    let pool = ThreadPool::builder()
        .workers(1)
        .on_drop(how)
        .build()
        .unwrap();
    let later = pool.task().delay(Duration::from_millis(1)).submit(|| 7);
    drop(pool);
    assert_eq!(later.join().unwrap(), 7);
}

/// The worker that drops the pool waits for nothing, and cancels all the same.
#[test]
fn a_pool_that_cancels_on_drop_does_so_in_its_own_task() {
    let how = Shutdown::cancel();
    let pool = ThreadPool::builder()
        .workers(2)
        .on_drop(how)
        .build()
        .unwrap();
    let (send, begun) = mpsc::channel();
    let runs = pool.submit(move || {
        send.send(()).unwrap();
        until_asked_to_stop()
    });
    must_recv(&begun);
    let delayed = pool.task().delay(HOUR).submit(|| ());
    let weak = pool.handle();
    let (give, given) = mpsc::channel::<ThreadPool>();
    let drops = weak.submit(move || drop(must_recv(&given)));
    let queued = weak.submit(|| ());
    give.send(pool).unwrap();
    assert!(runs.join().unwrap().is_err());
    drops.join().unwrap();
    for handle in [queued, delayed] {
        let outcome = handle.join_timeout(LONG).expect("it settles");
        assert!(outcome.is_err());
    }
}
