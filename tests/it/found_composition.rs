//! Faults of schedules, composition and the simulation, each named after what went wrong.

use crate::manual::until;
use crate::support::must_recv;
use millhand::compose::when_each;
use millhand::error::Rejection;
use millhand::{ScopeOptions, Shutdown, TaskError, ThreadPool, current, is_cancelled, promise};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

const S: Duration = Duration::from_secs(1);

#[test]
fn map_of_nothing_on_a_worker_divided_by_zero() {
    for workers in [1, 2] {
        let pool = ThreadPool::new(workers).unwrap();
        let empty = pool.submit(|| {
            let pool = current().unwrap().pool();
            pool.for_each(Vec::<u8>::new(), drop);
            let nothing = pool.map_ok(Vec::<u8>::new(), Ok::<_, ()>);
            (pool.map(Vec::<u8>::new(), |n| n), nothing.unwrap())
        });
        assert_eq!(empty.join().unwrap(), (vec![], vec![]));
    }
}

#[test]
fn the_tasks_of_a_map_named_a_line_of_the_library_s() {
    let pool = ThreadPool::new(2).unwrap();
    pool.submit(|| ()).join().unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        pool.shutdown(Shutdown::drain()).unwrap();
        pool.map([1, 2], |n| n)
    }));
    let text = panicked.unwrap_err();
    let text = text.downcast_ref::<String>().unwrap();
    assert!(text.contains(file!()), "{text}");
}

#[test]
fn a_pool_that_was_dropped_in_a_cancelled_closure_waited_for_a_drop_of_this_thread_s() {
    let outer = ThreadPool::new(1).unwrap();
    let (hold, held) = promise::<()>();
    outer.execute(move || drop(held.join()));
    let inner = ThreadPool::new(2).unwrap();
    let weak = inner.handle();
    let (up, is_up) = mpsc::channel();
    let scope = move || {
        weak.scope(|s| {
            s.task().delay(3600 * S).submit(|| ());
            up.send(()).unwrap();
        });
    };
    inner.execute(scope);
    must_recv(&is_up);
    let queued = outer.submit(move || drop(inner));
    let (done, is_done) = mpsc::channel();
    thread::spawn(move || {
        queued.cancel();
        done.send(()).unwrap();
    });
    must_recv(&is_done);
    hold.complete(()).unwrap();
}

#[test]
fn what_continued_a_task_of_a_dropped_pool_was_told_of_promises_or_ran_elsewhere() {
    let closed = |outcome: Result<i32, TaskError>| {
        matches!(outcome, Err(TaskError::Rejected(Rejection::Closed)))
    };
    let orphan = || ThreadPool::new(1).unwrap().submit(|| 1);
    let continued = orphan().map(|n| n + 1);
    assert!(closed(continued.join()));
    let other = ThreadPool::new(1).unwrap();
    let there = other.submit(move || orphan().map(|n| n + 1).join());
    assert!(closed(there.join().unwrap()));
    let chord = when_each((orphan(), other.submit(|| 2))).then(|(a, b)| a.unwrap() + b.unwrap());
    assert_eq!(
        chord.join().unwrap(),
        3,
        "the pool of the first that has one"
    );
}

#[cfg(feature = "simulation")]
#[test]
fn a_period_that_no_clock_can_hold_was_refused_as_a_cron_expression() {
    let (pool, simulation) = ThreadPool::simulated(1);
    for every in [
        millhand::Every::new(Duration::MAX),
        millhand::Every::new(S).start_in(Duration::MAX),
        millhand::Every::new(Duration::MAX).fixed_delay(),
    ] {
        let schedule = pool.task().every(every).run(|| ()).unwrap();
        simulation.advance(3600 * S);
        assert_eq!(schedule.counts().runs, 0);
        assert!(schedule.trigger_now());
        pool.wait_idle().unwrap();
        assert_eq!(schedule.counts().runs, 1);
        schedule.cancel();
    }
}

#[cfg(feature = "simulation")]
#[test]
fn a_foreign_thread_could_continue_a_task_of_a_simulation_and_trigger_a_schedule() {
    let simulation = millhand::testing::Simulation::new(1);
    let pool = ThreadPool::new(1).unwrap();
    let handle = pool.submit(|| 7);
    let schedule = pool
        .task()
        .every(millhand::Every::new(S))
        .run(|| ())
        .unwrap();
    let told = |call: &(dyn Fn() + Sync)| {
        let caught = thread::scope(|s| {
            let call = || catch_unwind(AssertUnwindSafe(call));
            s.spawn(call).join().unwrap()
        });
        let text = caught.unwrap_err();
        let text = text.downcast_ref::<&str>().copied().unwrap_or_default();
        assert!(text.contains("not part of the simulation"), "{text}");
    };
    let shared = handle.share();
    told(&|| drop(shared.clone().map(|n| n + 1)));
    told(&|| assert!(schedule.trigger_now()));
    told(&|| schedule.pause());
    told(&|| schedule.resume());
    drop((shared, schedule, pool, simulation));
}

#[cfg(feature = "simulation")]
#[test]
fn a_body_at_work_that_asks_whether_to_stop_was_taken_to_be_stuck() {
    let (pool, _simulation) = ThreadPool::simulated(1);
    let count = pool.submit(|| {
        (0..5000).fold(0, |n, _| {
            millhand::checkpoint();
            n + 1
        })
    });
    assert_eq!(count.join().unwrap(), 5000);
    let count = pool.submit(|| (0..5000).filter(|_| millhand::check().is_ok()).count());
    assert_eq!(count.join().unwrap(), 5000);
}

#[test]
fn a_cancelled_scope_missed_a_task_while_its_own_thread_ran_another() {
    let pool = ThreadPool::new(2).unwrap();
    let failed = pool.submit(|| {
        let pool = current().unwrap().pool();
        let (run, runs) = mpsc::channel();
        let failures = pool.scope_with(ScopeOptions::fail_fast(), |s| {
            s.submit_value(move || {
                run.send(()).unwrap();
                until("the scope is cancelled", is_cancelled);
            });
            // It runs on the other worker, so this thread runs the next task while it waits.
            must_recv(&runs);
            s.submit(|| Err::<(), _>("failed"));
        });
        failures.unwrap_err().len()
    });
    assert_eq!(failed.join().unwrap(), 1);
}
