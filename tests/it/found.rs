//! Faults that were found by reading and by breaking things on purpose, each with the test that keeps it away.

use crate::support::must_recv;
use millhand::error::Rejection;
use millhand::{CancelToken, Shutdown, TaskHandle, ThreadPool, blocking, current, promise};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

const SOON: Duration = Duration::from_millis(1);

fn pool_of(workers: usize) -> ThreadPool {
    ThreadPool::new(workers).unwrap()
}

/// Keeps the only worker busy until what is returned is dropped.
fn busy(pool: &ThreadPool) -> mpsc::Sender<()> {
    let (release, held) = mpsc::channel::<()>();
    let (begin, begun) = mpsc::channel();
    pool.execute(move || {
        begin.send(()).unwrap();
        let _ = held.recv();
    });
    must_recv(&begun);
    release
}

#[test]
fn a_long_chain_of_tasks_that_cancel_each_other_on_drop_needs_no_stack() {
    let pool = pool_of(1);
    let release = busy(&pool);
    let mut last: Option<TaskHandle<()>> = None;
    for _ in 0..100_000 {
        let before = last.take();
        last = Some(pool.submit(move || drop(before)).cancel_on_drop());
    }
    drop(last);
    drop(release);
    assert_eq!(
        pool.shutdown(Shutdown::drain()).unwrap().cancelled(),
        100_000
    );
}

#[test]
fn a_deadline_s_hook_does_not_run_on_the_thread_that_asks() {
    let lock = Arc::new(Mutex::new(()));
    let (tell, told) = mpsc::channel();
    let token = CancelToken::with_timeout(SOON);
    let theirs = lock.clone();
    let _guard = token.on_cancel(move |_| {
        drop(theirs.lock().unwrap());
        tell.send(thread::current().id()).unwrap();
    });
    // Whoever asks may hold what the hook wants.
    let held = lock.lock().unwrap();
    while !token.is_cancelled() {
        thread::yield_now();
    }
    drop(held);
    assert_ne!(must_recv(&told), thread::current().id());
}

#[test]
fn dropping_a_pool_whose_shutdown_gave_up_does_not_wait_for_what_hangs() {
    let pool = pool_of(1);
    let release = busy(&pool);
    let report = pool
        .shutdown(Shutdown::cancel().give_up_after(SOON))
        .unwrap();
    assert_eq!(report.still_running().len(), 1);
    drop(pool);
    drop(release);
}

#[test]
fn the_last_seated_may_wait_at_the_bound_for_what_will_come_back_or_comes_from_outside() {
    let pool = ThreadPool::builder()
        .workers(2)
        .max_threads(2)
        .build()
        .unwrap();
    let (release, held) = mpsc::channel::<()>();
    let (begin, begun) = mpsc::channel();
    let away = pool.submit(move || {
        blocking(|| {
            begin.send(()).unwrap();
            held.recv().is_err()
        })
    });
    must_recv(&begun);
    let (promise, promised) = promise::<u32>();
    let both = pool.submit(move || (away.join(), promised.join()));
    while pool.queued() > 0 {
        thread::yield_now();
    }
    drop(release);
    promise.complete(5).unwrap();
    let (away, promised) = both.join().unwrap();
    assert!(away.unwrap());
    assert_eq!(promised.unwrap(), 5);
}

#[test]
fn a_stop_hook_that_waits_takes_no_seat_with_it() {
    let (tell, told) = mpsc::channel();
    let pool = ThreadPool::builder()
        .workers(2)
        .on_worker_stop(move |_| {
            millhand::sleep(SOON).unwrap();
            blocking(|| ());
            tell.send(()).unwrap();
        })
        .build()
        .unwrap();
    pool.set_workers(1).unwrap();
    must_recv(&told);
    let nested = pool.submit(|| {
        millhand::sleep(SOON).unwrap();
        current().unwrap().pool().submit(|| 1).join().unwrap()
    });
    assert_eq!(nested.join().unwrap(), 1);
    assert_eq!((pool.workers(), pool.threads()), (1, 1));
}

#[test]
fn a_closure_whose_drop_waits_for_a_running_task_does_not_hold_a_cancel_up() {
    struct Waits(Option<TaskHandle<()>>);
    impl Drop for Waits {
        fn drop(&mut self) {
            self.0.take().unwrap().join().unwrap();
        }
    }
    let pool = pool_of(1);
    let (begin, begun) = mpsc::channel();
    let polls = pool.submit(move || {
        begin.send(()).unwrap();
        while !millhand::is_cancelled() {
            thread::yield_now();
        }
    });
    must_recv(&begun);
    let waits = Waits(Some(polls));
    pool.execute(move || drop(waits));
    let report = pool.shutdown(Shutdown::cancel()).unwrap();
    assert_eq!((report.succeeded(), report.cancelled()), (1, 1));
}

#[test]
fn a_pool_in_a_thread_local_is_dropped_at_the_thread_s_end() {
    thread_local! {
        static POOL: ThreadPool = pool_of(1);
    }
    let (tell, told) = mpsc::channel();
    let thread = thread::spawn(move || {
        POOL.with(|pool| {
            pool.wait_idle().unwrap();
            pool.execute(move || tell.send(()).unwrap());
        });
    });
    thread.join().unwrap();
    must_recv(&told);
}

#[test]
fn a_pool_that_has_shut_down_starts_no_workers() {
    let pool = pool_of(2);
    pool.shutdown(Shutdown::drain()).unwrap();
    assert_eq!(pool.set_workers(3).unwrap(), 0);
    assert_eq!(pool.threads(), 0);
}

#[test]
fn a_refused_closure_is_an_error_that_can_be_shared_whatever_it_holds() {
    fn boxed(pool: &ThreadPool) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let (_send, receive) = mpsc::channel::<()>(); // `Send`, not `Sync`
        pool.try_execute(move || drop(receive))?;
        Ok(())
    }
    let pool = pool_of(1);
    pool.shutdown(Shutdown::drain()).unwrap();
    let error = boxed(&pool).unwrap_err();
    let said = format!("task not submitted: {}", Rejection::Closed);
    assert_eq!(error.to_string(), said);
}

#[test]
fn what_a_start_hook_submits_while_the_pool_drains_is_not_lost() {
    for _ in 0..50 {
        let (tell, told) = mpsc::channel();
        let weak = Arc::new(Mutex::new(None::<millhand::PoolHandle>));
        let theirs = weak.clone();
        let pool = ThreadPool::builder()
            .workers(1)
            .on_worker_start(move |_| {
                let pool = theirs.lock().unwrap().clone();
                let taken = pool.is_some_and(|pool| pool.try_execute(|| ()).is_ok());
                tell.send(taken).unwrap();
            })
            .build()
            .unwrap();
        *weak.lock().unwrap() = Some(pool.handle());
        pool.set_workers(2).unwrap();
        let report = pool.shutdown(Shutdown::drain()).unwrap();
        let taken = told.try_iter().filter(|taken| *taken).count();
        assert_eq!(report.succeeded(), taken as u64);
        *weak.lock().unwrap() = None;
    }
}

#[test]
fn what_is_submitted_once_the_pool_was_idle_is_not_left_behind_by_its_drop() {
    // A worker that had found the pool quiet, for `wait_idle`, took the close that followed for its end.
    for round in 0..2_000 {
        let (send, receive) = mpsc::channel();
        let pool = ThreadPool::new(1).unwrap();
        pool.execute(|| ());
        pool.wait_idle().unwrap();
        pool.execute(move || send.send(round).unwrap());
        let dropped = thread::spawn(move || drop(pool));
        assert_eq!(must_recv(&receive), round);
        dropped.join().unwrap();
    }
}
