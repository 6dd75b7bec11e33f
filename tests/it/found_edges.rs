//! Faults at the edges of a thread's life: in destructors, in thread-locals, and in what a call leaves behind.

use crate::handle::must_join;
use crate::submit::hold;
use crate::support::must_recv;
use millhand::pool::PoolError;
use millhand::task::CancelOutcome;
use millhand::{Shutdown, TaskError, ThreadPool, checkpoint, current};
use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

/// Calls its closure when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Runs a body that leaves by a checkpoint, and calls `clean_up` in a destructor then.
fn unwinds_into(pool: &ThreadPool, mut clean_up: impl FnMut() + Send + 'static) {
    let (tell, told) = mpsc::channel();
    let (end, ended) = mpsc::channel();
    let handle = pool.submit(move || {
        let _clean_up = OnDrop(move || {
            assert!(thread::panicking());
            clean_up();
            end.send(()).unwrap();
        });
        tell.send(()).unwrap();
        loop {
            checkpoint();
        }
    });
    must_recv(&told);
    assert_eq!(handle.cancel(), CancelOutcome::Requested);
    assert!(matches!(
        must_join::<()>(handle),
        Err(TaskError::Cancelled(_))
    ));
    must_recv(&ended);
}

#[test]
fn a_checkpoint_in_a_destructor_that_a_checkpoint_has_called_does_nothing() {
    let pool = ThreadPool::new(1).unwrap();
    unwinds_into(&pool, || (0..3).for_each(|_| checkpoint()));
    assert_eq!(must_join(pool.submit(|| 7)).unwrap(), 7);
}

#[test]
fn a_map_and_a_scope_in_such_a_destructor_run_to_their_end() {
    let pool = ThreadPool::new(2).unwrap();
    unwinds_into(&pool, || {
        let pool = current().unwrap().pool();
        let doubled = pool.map(0..100, |n| 2 * n);
        assert_eq!(doubled.iter().sum::<usize>(), 9_900);
        let mut sum = 0;
        pool.scope(|s| {
            s.submit(|| sum = doubled.iter().sum());
        });
        assert_eq!(sum, 9_900);
    });
}

#[test]
fn a_join_in_such_a_destructor_leaves_the_checkpoints_of_the_other_body_as_they_are() {
    let pool = ThreadPool::new(1).unwrap();
    unwinds_into(&pool, || {
        let pool = current().unwrap().pool();
        let (tell, told) = mpsc::channel();
        let endless = pool.submit(move || {
            tell.send(current().unwrap().token()).unwrap();
            loop {
                checkpoint();
            }
        });
        // Cancelled by its own token, once it runs.
        let canceller = thread::spawn(move || must_recv(&told).cancel());
        assert!(matches!(
            endless.join(),
            Err::<(), _>(TaskError::Cancelled(_))
        ));
        canceller.join().unwrap();
    });
}

#[test]
fn a_cancelling_shutdown_meets_a_scope_in_such_a_destructor() {
    let pool = ThreadPool::new(1).unwrap();
    let (tell, told) = mpsc::channel();
    let handle = pool.submit(move || {
        let _clean_up = OnDrop(|| {
            let pool = current().unwrap().pool();
            // The pool takes nothing any more.
            pool.scope(|s| {
                s.submit(|| ());
            });
            assert_eq!(pool.map(0..10, |n| n + 1).len(), 10);
        });
        tell.send(()).unwrap();
        loop {
            checkpoint();
        }
    });
    must_recv(&told);
    pool.shutdown(Shutdown::cancel()).unwrap();
    assert!(matches!(
        must_join::<()>(handle),
        Err(TaskError::Cancelled(_))
    ));
}

type AtTheEnd = OnDrop<Box<dyn FnMut()>>;

thread_local! {
    static AT_THE_END: RefCell<Option<AtTheEnd>> = const { RefCell::new(None) };
}

/// Has this thread call `f` in the destructor of a thread-local.
fn at_the_end(f: impl FnMut() + 'static) {
    AT_THE_END.set(Some(OnDrop(Box::new(f))));
}

#[test]
fn a_pool_that_a_thread_local_of_its_own_worker_drops_does_not_join_that_worker() {
    let pool = ThreadPool::new(2).unwrap();
    let held = hold(&pool, 1);
    let door = pool.handle();
    let owner = Arc::new(Mutex::new(Some(pool)));
    let (tell, told) = mpsc::channel();
    let body = door.submit(move || {
        let mut pool = owner.lock().unwrap().take();
        // The other worker is held, so this is the one that leaves.
        pool.as_ref().unwrap().set_workers(1).unwrap();
        at_the_end(move || {
            drop(pool.take());
            tell.send(()).unwrap();
        });
    });
    must_join(body).unwrap();
    must_recv(&told);
    // The rest of the pool drains.
    assert!(door.submit(|| ()).join().is_err());
    held.release();
}

#[test]
fn a_destructor_of_a_worker_s_thread_local_cannot_wait_for_the_pool() {
    let pool = Arc::new(ThreadPool::new(1).unwrap());
    let mine = pool.clone();
    let (tell, told) = mpsc::channel();
    let body = pool.submit(move || {
        at_the_end(move || {
            tell.send(mine.wait_idle()).unwrap();
            tell.send(mine.shutdown(Shutdown::drain()).map(drop))
                .unwrap();
        });
    });
    must_join(body).unwrap();
    pool.shutdown(Shutdown::drain()).unwrap();
    for _ in 0..2 {
        assert_eq!(must_recv(&told), Err(PoolError::InsideTask));
    }
}

/// Calls `run` many times with something to hold, and checks that nothing holds it when `run` has returned.
fn leaves_nothing(what: &str, mut run: impl FnMut(Arc<AtomicUsize>)) {
    for round in 0..500 {
        let given = Arc::new(AtomicUsize::new(0));
        run(given.clone());
        assert!(Arc::try_unwrap(given).is_ok(), "{what}, round {round}");
    }
}

/// An error that has what it was given.
#[derive(Debug)]
struct Holds(#[allow(dead_code)] Arc<AtomicUsize>);

impl fmt::Display for Holds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no")
    }
}

impl Error for Holds {}

#[test]
fn what_a_pipeline_was_given_is_dropped_when_it_has_run() {
    let pool = ThreadPool::new(2).unwrap();
    leaves_nothing("a pipeline", |given| {
        let read = given.clone();
        let source = (0..3).map(move |n| n + read.load(SeqCst));
        let last = given.clone();
        let stages = pool
            .pipeline(source)
            .stage(2, move |n| given.fetch_add(n, SeqCst));
        stages
            .stage(1, move |n| last.fetch_add(n, SeqCst))
            .run(drop)
            .unwrap();
    });
    leaves_nothing("one that fails", |given| {
        let numbers = pool.pipeline(0..3);
        let fails = move |n| {
            if n == 1 {
                Err(Holds(given.clone()))
            } else {
                Ok(n)
            }
        };
        let stages = numbers.stage_ok(1, fails);
        drop(stages.run(drop).unwrap_err());
    });
}

#[test]
fn what_a_map_or_a_scope_was_given_is_dropped_when_it_has_run() {
    let pool = ThreadPool::new(2).unwrap();
    leaves_nothing("a map", |given| {
        pool.map(0..3, |n| given.fetch_add(n, SeqCst));
    });
    leaves_nothing("a lazy map", |given| {
        let items = [given.clone(), given.clone()];
        let lazy = pool.map_iter(items, move |one| {
            given.fetch_add(Arc::strong_count(&one), SeqCst)
        });
        assert_eq!(lazy.count(), 2);
    });
    leaves_nothing("a scope", |given| {
        let other = given.clone();
        pool.scope(|s| {
            s.submit(move || given.fetch_add(1, SeqCst));
            s.submit(move || other.fetch_add(1, SeqCst)).cancel();
        });
    });
}

#[test]
fn what_tasks_were_given_is_dropped_when_the_pool_is_idle_or_over() {
    fn fill(pool: &ThreadPool, given: &Arc<AtomicUsize>) -> Vec<millhand::TaskHandle<usize>> {
        let task = || {
            let given = given.clone();
            move || given.fetch_add(1, SeqCst)
        };
        let f = task();
        pool.execute(move || _ = f());
        drop(pool.submit(task()));
        let retry = pool
            .task()
            .retry(millhand::Retry::fixed(1, std::time::Duration::ZERO));
        let f = task();
        drop(retry.submit(move || if f() > 0 { Ok(()) } else { Err("no") }));
        drop(pool.broadcast(task()).unwrap());
        drop(pool.submit(task()).then(|n| n));
        let cancelled = pool.submit(task());
        cancelled.cancel();
        vec![cancelled, pool.task().name("kept").submit(task())]
    }
    let pool = ThreadPool::new(2).unwrap();
    leaves_nothing("an idle pool", |given| {
        let handles = fill(&pool, &given);
        pool.wait_idle().unwrap();
        assert_eq!(Arc::strong_count(&given), 2, "the test has both");
        drop(handles);
    });
    leaves_nothing("a shutdown", |given| {
        let pool = ThreadPool::new(2).unwrap();
        let handles = fill(&pool, &given);
        pool.shutdown(Shutdown::cancel()).unwrap();
        assert_eq!(Arc::strong_count(&given), 2, "the test has both");
        drop(handles);
    });
}
