//! A shutdown that leaves alone what runs, and begins nothing more.

use crate::submit::hold;
use crate::support::{LONG, must_recv};
use millhand::cancel::CancelReason;
use millhand::error::Rejection;
use millhand::pool::{PoolError, TaskBuilder};
use millhand::{Retry, Semaphore, Shutdown, TaskError, TaskHandle, ThreadPool, promise};
use std::sync::mpsc::{self, Sender};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

#[track_caller]
fn must_be_cancelled<T: 'static>(handle: TaskHandle<T>) {
    match handle.join_timeout(LONG).expect("it settles") {
        Err(TaskError::Cancelled(CancelReason::Shutdown)) => {}
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it ran"),
    }
}

/// A body that runs until the sender is dropped, and panics if it is asked to stop.
fn running(task: &TaskBuilder) -> (TaskHandle<()>, Sender<()>) {
    let (start, started) = mpsc::channel();
    let (end, ends) = mpsc::channel::<()>();
    let handle = task.submit(move || {
        start.send(()).unwrap();
        let _ = ends.recv();
        assert!(!millhand::is_cancelled(), "it was asked to stop");
    });
    must_recv(&started);
    (handle, end)
}

#[test]
fn what_runs_goes_on_and_all_else_is_cancelled() {
    let pool = ThreadPool::new(1).unwrap();
    let (fail, failed) = mpsc::channel();
    let retried = pool.task().retry(Retry::fixed(1, HOUR)).submit(move || {
        fail.send(()).unwrap();
        Err::<(), _>("again")
    });
    must_recv(&failed);
    let one = Semaphore::new(1).unwrap();
    let (runs, end) = running(&pool.task().gate(&one));
    let queued = pool.submit(|| ());
    let gated = pool.task().gate(&one).submit(|| ());
    let delayed = pool.task().name("delayed").delay(HOUR).submit(|| ());
    let (_promise, promised) = promise::<()>();
    let on_promise = pool.task().submit_after((promised,), |_| ());
    // Cancelling it would cancel the task that it continues, which runs.
    let continued = runs.then(|_| ());
    std::thread::scope(|s| {
        let finish = s.spawn(|| pool.shutdown(Shutdown::finish_running()).unwrap());
        must_be_cancelled(queued);
        must_be_cancelled(gated);
        must_be_cancelled(retried);
        must_be_cancelled(delayed);
        let refused = pool.try_submit(|| ()).unwrap_err();
        assert_eq!(refused.reason(), Rejection::Closed);
        assert!(!continued.is_finished() && !finish.is_finished());
        drop(end);
        let report = finish.join().unwrap();
        must_be_cancelled(continued);
        must_be_cancelled(on_promise);
        assert_eq!((report.succeeded(), report.cancelled_by_shutdown()), (1, 6));
        assert_eq!(report.not_due()[0].name.as_deref(), Some("delayed"));
        assert!(report.still_running().is_empty());
    });
}

#[test]
fn what_runs_may_submit_nothing_more_and_hears_so() {
    let pool = ThreadPool::new(1).unwrap();
    let held = hold(&pool, 1);
    let (start, started) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    let body = pool.task().priority(1).submit(move || {
        let here = millhand::current().unwrap().pool();
        let child = here.task().delay(HOUR).submit(|| ());
        start.send(()).unwrap();
        let _ = wait.recv();
        must_be_cancelled(child);
        (
            here.try_submit(|| ()).unwrap_err().reason(),
            millhand::is_cancelled(),
        )
    });
    held.release();
    must_recv(&started);
    std::thread::scope(|s| {
        let finish = s.spawn(|| pool.shutdown(Shutdown::finish_running()).unwrap());
        while !pool.is_closed() {
            std::thread::yield_now();
        }
        drop(go);
        finish.join().unwrap();
    });
    assert_eq!(body.join().unwrap(), (Rejection::Closed, false));
}

#[test]
fn an_attempt_that_fails_meanwhile_is_the_last() {
    for pause in [Duration::ZERO, HOUR] {
        let pool = ThreadPool::new(2).unwrap();
        let (start, started) = mpsc::channel();
        let (go, wait) = mpsc::channel::<()>();
        let task = pool.task().retry(Retry::fixed(9, pause)).submit(move || {
            start.send(millhand::attempt()).unwrap();
            let _ = wait.recv();
            Err::<(), _>("no")
        });
        assert_eq!(must_recv(&started), 1);
        std::thread::scope(|s| {
            let finish = s.spawn(|| pool.shutdown(Shutdown::finish_running()).unwrap());
            while !pool.is_closed() {
                std::thread::yield_now();
            }
            drop(go);
            assert_eq!(finish.join().unwrap().cancelled_by_shutdown(), 1);
        });
        must_be_cancelled(task);
        assert!(started.try_recv().is_err(), "no other attempt began");
    }
}

#[test]
fn it_asks_what_runs_to_stop_when_its_time_is_over_or_another_call_says_so() {
    let pool = ThreadPool::new(1).unwrap();
    let sleeps = || millhand::sleep(LONG).unwrap_err().reason();
    let (start, started) = mpsc::channel();
    let body = pool.submit(move || {
        start.send(()).unwrap();
        sleeps()
    });
    must_recv(&started);
    let how = Shutdown::finish_running().cancel_after(Duration::from_millis(1));
    assert_eq!(pool.shutdown(how).unwrap().succeeded(), 1);
    assert_eq!(body.join().unwrap(), CancelReason::Shutdown);

    let pool = ThreadPool::new(1).unwrap();
    let (start, started) = mpsc::channel();
    let body = pool.submit(move || {
        start.send(()).unwrap();
        sleeps()
    });
    must_recv(&started);
    let delayed = pool.task().delay(HOUR).submit(|| ());
    std::thread::scope(|s| {
        let finish = s.spawn(|| pool.shutdown(Shutdown::finish_running()).unwrap());
        must_be_cancelled(delayed);
        assert!(!finish.is_finished());
        assert_eq!(pool.shutdown(Shutdown::cancel()).unwrap().succeeded(), 1);
        finish.join().unwrap();
    });
    assert_eq!(body.join().unwrap(), CancelReason::Shutdown);
}

#[test]
fn a_drain_that_has_begun_ends_sooner_by_it() {
    let pool = ThreadPool::new(1).unwrap();
    let (runs, end) = running(&pool.task());
    let queued = pool.submit(|| ());
    std::thread::scope(|s| {
        let drain = s.spawn(|| pool.shutdown(Shutdown::drain()).unwrap());
        while !pool.is_closed() {
            std::thread::yield_now();
        }
        let finish = s.spawn(|| pool.shutdown(Shutdown::finish_running()).unwrap());
        must_be_cancelled(queued);
        drop(end);
        for report in [drain.join().unwrap(), finish.join().unwrap()] {
            assert_eq!((report.succeeded(), report.cancelled()), (1, 1));
        }
    });
    runs.join().unwrap();
}

#[test]
fn a_pool_that_is_dropped_so_by_its_own_worker_settles_what_is_queued() {
    let how = Shutdown::finish_running();
    let pool = ThreadPool::builder().workers(1).on_drop(how).build();
    let pool = pool.unwrap();
    let task = pool.task();
    let (give, given) = mpsc::channel::<ThreadPool>();
    let (done, is_done) = mpsc::channel();
    let owner = task.submit(move || {
        let pool = must_recv(&given);
        let refused = pool.shutdown(Shutdown::finish_running()).unwrap_err();
        drop(pool);
        must_recv(&is_done);
        (
            matches!(refused, PoolError::InsideTask),
            millhand::is_cancelled(),
        )
    });
    let queued = task.submit(|| ());
    give.send(pool).unwrap();
    must_be_cancelled(queued);
    done.send(()).unwrap();
    assert_eq!(owner.join().unwrap(), (true, false));
}
