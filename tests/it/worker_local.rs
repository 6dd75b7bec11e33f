//! Values of each worker's own.

use crate::handle::must_join;
use crate::support::{LONG, must_recv};
use millhand::pool::PoolError;
use millhand::{TaskError, TaskHandle, ThreadPool, WorkerLocal, current};
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Barrier, OnceLock};
use std::thread::{self, ThreadId};

/// Tells its drop: its name and the thread.
struct Tells(&'static str, Sender<(&'static str, ThreadId)>);

impl Drop for Tells {
    fn drop(&mut self) {
        let _ = self.1.send((self.0, thread::current().id()));
    }
}

fn counter() -> (Arc<AtomicUsize>, impl Fn() -> usize + Clone) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    (count, move || counted.fetch_add(1, SeqCst))
}

#[test]
fn each_worker_makes_one_at_first_use_and_keeps_it() {
    let pool = ThreadPool::new(3).unwrap();
    let (made, make) = counter();
    let local = pool.worker_local(move || Rc::new((make(), thread::current().id())));
    assert_eq!(made.load(SeqCst), 0);
    let round = || {
        let (local, all) = (local.clone(), Arc::new(Barrier::new(3)));
        let own = move || {
            all.wait();
            let (number, thread) = local.with(|value| **value);
            assert_eq!(thread, thread::current().id());
            number
        };
        let handles = pool.broadcast(own).unwrap();
        let numbers = handles.into_iter().map(|handle| must_join(handle).unwrap());
        numbers.collect::<HashSet<_>>()
    };
    assert_eq!(round(), HashSet::from([0, 1, 2]));
    assert_eq!(round(), HashSet::from([0, 1, 2]));
    assert_eq!(made.load(SeqCst), 3);
}

#[test]
fn clones_are_one_value_and_two_of_a_type_are_two() {
    let pool = ThreadPool::new(1).unwrap();
    let first = pool.worker_local(|| Cell::new(0));
    let second = pool.worker_local(|| Cell::new(10));
    let handle = pool.submit(move || {
        let same = first.clone();
        first.with(|value| value.set(1));
        second.with(|value| value.set(11));
        (same.with(Cell::get), second.with(Cell::get))
    });
    assert_eq!(must_join(handle).unwrap(), (1, 11));
}

#[test]
fn they_are_dropped_on_their_thread_the_last_made_first_before_the_stop_hook() {
    let (tell, told) = mpsc::channel();
    let hook = tell.clone();
    let pool = ThreadPool::builder()
        .workers(2)
        .on_worker_stop(move |_| hook.send(("stopped", thread::current().id())).unwrap())
        .build()
        .unwrap();
    let [a, b] = ["first", "second"].map(|name| {
        let tell = tell.clone();
        pool.worker_local(move || Tells(name, tell.clone()))
    });
    let kept = (a.clone(), b.clone());
    let threads = pool.broadcast(move || {
        a.with(|_| ());
        b.with(|_| ());
        thread::current().id()
    });
    let threads: Vec<_> = threads
        .unwrap()
        .into_iter()
        .map(|h| must_join(h).unwrap())
        .collect();
    assert!(told.try_recv().is_err(), "the values stay");
    drop(pool);
    drop((kept, tell));
    let told: Vec<_> = told.into_iter().collect();
    assert_eq!(told.len(), 6);
    for thread in threads {
        let mine = told.iter().filter(|(_, id)| *id == thread);
        let mine: Vec<_> = mine.map(|(what, _)| *what).collect();
        assert_eq!(mine, ["second", "first", "stopped"]);
    }
}

#[test]
fn a_worker_that_is_one_too_many_takes_its_value_with_it() {
    let (tell, told) = mpsc::channel();
    let pool = ThreadPool::new(2).unwrap();
    let local = pool.worker_local(move || Tells("gone", tell.clone()));
    let also = local.clone();
    let all = pool
        .broadcast(move || also.with(|_| thread::current().id()))
        .unwrap();
    let all: HashSet<_> = all.into_iter().map(|h| must_join(h).unwrap()).collect();
    pool.set_workers(1).unwrap();
    let (_, gone) = must_recv(&told);
    assert!(all.contains(&gone));
    let kept = local.clone();
    let left = must_join(pool.submit(move || local.with(|_| thread::current().id()))).unwrap();
    assert_ne!(left, gone);
    assert!(told.try_recv().is_err());
    drop(kept);
}

#[test]
fn a_spare_has_one_of_its_own() {
    let pool = ThreadPool::new(1).unwrap();
    let local = pool.worker_local(|| thread::current().id());
    let other = local.clone();
    let (send, receive) = mpsc::channel::<()>();
    let waits = pool.submit(move || {
        local.with(|mine| {
            millhand::blocking(|| must_recv(&receive));
            *mine
        })
    });
    let spare = pool.submit(move || other.with(|mine| (*mine, thread::current().id())));
    let (value, thread) = must_join(spare).unwrap();
    assert_eq!(value, thread);
    send.send(()).unwrap();
    assert_ne!(must_join(waits).unwrap(), value);
}

fn said<T: 'static>(handle: TaskHandle<T>) -> String {
    match must_join(handle) {
        Err(TaskError::Panicked(panic)) => panic.message().to_owned(),
        Err(other) => panic!("not a panic but: {other}"),
        Ok(_) => panic!("not a panic but a value"),
    }
}

#[test]
fn outside_the_workers_of_its_pool_it_says_so() {
    const SAYS: &str = "a WorkerLocal<u32> was used outside the workers of its pool";
    let [pool, other] = [1, 1].map(|n| ThreadPool::new(n).unwrap());
    let (made, make) = counter();
    let local: WorkerLocal<u32> = pool.worker_local(move || make() as u32);
    let end = catch_unwind(AssertUnwindSafe(|| local.with(|_| ()))).unwrap_err();
    assert_eq!(end.downcast_ref::<String>().map(String::as_str), Some(SAYS));
    let also = local.clone();
    let foreign = other.submit(move || also.with(|_| ()));
    assert_eq!(said(foreign), SAYS);
    assert_eq!(made.load(SeqCst), 0);
    assert_eq!(format!("{local:?}"), "WorkerLocal<u32>");
    let here = pool.submit(move || local.with(|n| *n));
    assert_eq!(must_join(here).unwrap(), 0);
}

#[test]
fn a_callback_on_a_worker_may_use_it() {
    let pool = ThreadPool::new(1).unwrap();
    let local = pool.worker_local(|| 7);
    let (tell, told) = mpsc::channel();
    let (go, gone) = mpsc::channel::<()>();
    let handle = pool.submit(move || gone.recv());
    handle.on_finish(move |_| tell.send(local.with(|n| *n)).unwrap());
    drop(go);
    assert_eq!(must_recv(&told), 7);
}

#[test]
fn an_init_that_panics_fails_the_task_and_the_next_one_tries_again() {
    let pool = ThreadPool::new(1).unwrap();
    let (_, tries) = counter();
    let local = pool.worker_local(move || {
        let tries = tries();
        assert!(tries >= 2, "no connection");
        tries
    });
    let task = || {
        let local = local.clone();
        pool.submit(move || local.with(|n| *n))
    };
    assert_eq!(said(task()), "no connection");
    assert_eq!(said(task()), "no connection");
    assert_eq!(must_join(task()).unwrap(), 2);
    assert_eq!(must_join(task()).unwrap(), 2);
}

#[test]
fn a_panic_in_its_use_leaves_it_as_it_is() {
    let pool = ThreadPool::new(1).unwrap();
    let local = pool.worker_local(|| Cell::new(1));
    let also = local.clone();
    let panics = pool.submit(move || {
        also.with(|value| {
            value.set(2);
            panic!("in its use");
        });
    });
    assert_eq!(said(panics), "in its use");
    assert_eq!(
        must_join(pool.submit(move || local.with(Cell::get))).unwrap(),
        2
    );
}

#[test]
fn uses_may_be_nested_also_by_a_task_on_a_waiter_s_stack() {
    let pool = ThreadPool::new(1).unwrap();
    let (made, make) = counter();
    let local = pool.worker_local(move || RefCell::new(vec![make()]));
    let handle = pool.submit(move || {
        local.with(|outer| {
            local.with(|same| same.borrow_mut().push(10));
            let inner = local.clone();
            let task = current().unwrap().pool().submit(move || {
                inner.with(|value| value.borrow_mut().push(20));
                thread::current().id()
            });
            assert_eq!(task.join().unwrap(), thread::current().id());
            outer.borrow().clone()
        })
    });
    assert_eq!(must_join(handle).unwrap(), [0, 10, 20]);
    assert_eq!(made.load(SeqCst), 1);
}

#[test]
fn a_task_that_comes_while_the_value_is_being_made_makes_one_which_stays() {
    let pool = ThreadPool::new(1).unwrap();
    let (tell, told) = mpsc::channel();
    let cell = Arc::new(OnceLock::<WorkerLocal<(usize, Tells)>>::new());
    let (made, make) = counter();
    let local = pool.worker_local({
        let cell = cell.clone();
        move || {
            let number = make();
            if number == 0 {
                let local = cell.get().unwrap().clone();
                let inner = current()
                    .unwrap()
                    .pool()
                    .submit(move || local.with(|v| v.0));
                assert_eq!(inner.join().unwrap(), 1);
            }
            (number, Tells("superfluous", tell.clone()))
        }
    });
    cell.set(local.clone()).unwrap();
    let handle = pool.submit(move || (local.with(|v| v.0), local.with(|v| v.0)));
    assert_eq!(must_join(handle).unwrap(), (1, 1));
    assert_eq!(made.load(SeqCst), 2);
    assert_eq!(must_recv(&told).0, "superfluous");
    assert!(told.try_recv().is_err());
}

#[test]
fn an_init_that_wants_its_own_value_is_told_so() {
    let pool = ThreadPool::new(1).unwrap();
    let cell = Arc::new(OnceLock::<WorkerLocal<u32>>::new());
    let other = pool.worker_local(|| 1);
    let local = pool.worker_local({
        let cell = cell.clone();
        // Another one's value it may use.
        move || other.with(|n| *n) + cell.get().unwrap().with(|n| *n)
    });
    cell.set(local.clone()).unwrap();
    let task = || {
        let local = local.clone();
        pool.submit(move || local.with(|n| *n))
    };
    for _ in 0..2 {
        let says = "the init closure of a WorkerLocal<u32> wants the value that it is making";
        assert_eq!(said(task()), says);
    }
}

struct Grenade;

impl Drop for Grenade {
    fn drop(&mut self) {
        panic!("the drop of a worker's value");
    }
}

#[test]
fn a_value_whose_drop_panics_harms_neither_the_others_nor_the_stop_hook() {
    let (tell, told) = mpsc::channel();
    let hook = tell.clone();
    let pool = ThreadPool::builder()
        .workers(1)
        .on_worker_stop(move |_| hook.send(("stopped", thread::current().id())).unwrap())
        .build()
        .unwrap();
    let before = pool.worker_local(move || Tells("before", tell.clone()));
    let grenade = pool.worker_local(|| Grenade);
    let uses = pool.submit(move || {
        before.with(|_| ());
        grenade.with(|_| ());
    });
    must_join(uses).unwrap();
    drop(pool);
    let told: Vec<_> = told.into_iter().map(|(what, _)| what).collect();
    assert_eq!(told, ["before", "stopped"]);
}

/// Whether the value can be used.
fn is_here(local: &WorkerLocal<u32>) -> bool {
    catch_unwind(AssertUnwindSafe(|| local.with(|_| ()))).is_ok()
}

/// Uses another value, and waits for the pool, when it is dropped.
struct Clinging {
    local: WorkerLocal<u32>,
    pool: Receiver<Arc<ThreadPool>>,
    tell: Sender<(bool, Result<(), PoolError>)>,
}

impl Drop for Clinging {
    fn drop(&mut self) {
        let pool = must_recv(&self.pool);
        let _ = self.tell.send((is_here(&self.local), pool.wait_idle()));
        // The owner is the test's to drop.
        thread::spawn(move || drop(pool));
    }
}

#[test]
fn the_drop_of_a_value_is_outside_the_pool_and_cannot_wait_for_it() {
    let pool = Arc::new(ThreadPool::new(2).unwrap());
    let (give, given) = mpsc::channel();
    let (tell, told) = mpsc::channel();
    let local = pool.worker_local(|| 1);
    let parts = std::sync::Mutex::new(Some(Clinging {
        local,
        pool: given,
        tell,
    }));
    let clinging = pool.worker_local(move || parts.lock().unwrap().take());
    must_join(pool.submit(move || clinging.with(|value| assert!(value.is_some())))).unwrap();
    give.send(pool.clone()).unwrap();
    // One of the two leaves, and the other one; whichever has the value drops it.
    pool.shutdown(millhand::Shutdown::drain()).unwrap();
    let (is_here, waited) = told.recv_timeout(LONG).unwrap();
    assert!(!is_here);
    assert!(matches!(waited, Err(PoolError::InsideTask)), "{waited:?}");
}

#[test]
fn a_value_is_dropped_by_its_worker_when_no_clone_is_left() {
    let pool = ThreadPool::new(1).unwrap();
    let (tell, told) = mpsc::channel();
    let [a, b] = ["first", "second"].map(|name| {
        let tell = tell.clone();
        pool.worker_local(move || Tells(name, tell.clone()))
    });
    let kept = a.clone();
    let worker = pool.submit(move || {
        a.with(|_| ());
        b.with(|_| ());
        thread::current().id()
    });
    let worker = must_join(worker).unwrap();
    pool.wait_idle().unwrap();
    assert_eq!(must_recv(&told), ("second", worker));
    assert!(told.try_recv().is_err(), "the first has a clone");
    let is_kept = pool.submit(move || kept.with(|first| first.0));
    assert_eq!(must_join(is_kept).unwrap(), "first");
    pool.wait_idle().unwrap();
    assert_eq!(must_recv(&told), ("first", worker));
}
