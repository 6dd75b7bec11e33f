//! Handles for many.

use crate::handle::{TellDrop, keep_busy};
use crate::support::{LONG, must_recv};
use millhand::cancel::CancelReason;
use millhand::task::{CancelOutcome, TaskState};
use millhand::{SharedHandle, TaskError, ThreadPool, promise};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

#[test]
fn many_readers_on_many_threads_see_one_value() {
    let pool = ThreadPool::new(2).unwrap();
    let busy = (keep_busy(&pool), keep_busy(&pool));
    let shared = pool.submit(|| String::from("one")).share();
    let (tell, told) = mpsc::channel();
    let addresses: Vec<usize> = thread::scope(|s| {
        let readers: Vec<_> = (0..8)
            .map(|n| {
                let (own, lent, tell) = (shared.clone(), &shared, tell.clone());
                s.spawn(move || {
                    let handle = if n % 2 == 0 { &own } else { lent };
                    tell.send(()).unwrap();
                    let value = handle.join().as_ref().unwrap();
                    assert_eq!(value, "one");
                    std::ptr::from_ref(value).addr()
                })
            })
            .collect();
        (0..8).for_each(|_| must_recv(&told));
        drop(busy);
        readers.into_iter().map(|r| r.join().unwrap()).collect()
    });
    assert!(addresses.iter().all(|address| *address == addresses[0]));
}

#[test]
fn the_value_is_dropped_once_with_the_last_clone() {
    let pool = ThreadPool::new(1).unwrap();
    let (tell, told) = mpsc::channel();
    let value = TellDrop(tell);
    let shared = pool.submit(move || value).share();
    let clones: Vec<_> = (0..3).map(|_| shared.clone()).collect();
    shared.join().as_ref().ok().unwrap();
    drop(shared);
    for clone in clones {
        assert!(told.try_recv().is_err());
        assert!(clone.join().is_ok());
    }
    assert_eq!(told.try_recv(), Ok(thread::current().id()));
    assert!(told.recv().is_err(), "once");
}

#[test]
fn a_value_that_no_clone_has_read_is_dropped_too() {
    let pool = ThreadPool::new(1).unwrap();
    let (tell, told) = mpsc::channel();
    let settled = TellDrop(tell.clone());
    let shared = pool.submit(move || settled).share();
    shared.wait().unwrap();
    drop((shared.clone(), shared));
    assert_eq!(told.try_recv(), Ok(thread::current().id()));

    let busy = keep_busy(&pool);
    let unsettled = TellDrop(tell);
    drop(pool.submit(move || unsettled).share());
    drop(busy);
    assert_ne!(must_recv(&told), thread::current().id());
    assert!(told.recv().is_err(), "once");
}

#[test]
fn sharing_a_finished_task_keeps_its_value() {
    let pool = ThreadPool::new(1).unwrap();
    let handle = pool.submit(|| 5);
    handle.wait().unwrap();
    let shared = handle.share();
    assert_eq!(*shared.try_join().unwrap().as_ref().unwrap(), 5);
}

#[test]
fn all_readers_see_the_panic() {
    let pool = ThreadPool::new(1).unwrap();
    let shared = pool
        .task()
        .name("loud")
        .submit(|| -> u8 { panic!("for all") })
        .share();
    for handle in [&shared, &shared.clone()] {
        let Err(TaskError::Panicked(panic)) = handle.join() else {
            panic!("it panicked");
        };
        assert_eq!((panic.message(), panic.name()), ("for all", Some("loud")));
    }
    drop(shared);
    assert_eq!(pool.stats().unread, 0, "it was read");
}

#[test]
fn a_panic_that_no_clone_has_read_is_counted_once() {
    let pool = ThreadPool::new(1).unwrap();
    let shared = pool.submit(|| panic!("unheard")).share();
    shared.wait().unwrap();
    let clone = shared.clone();
    drop(shared);
    assert_eq!(pool.stats().unread, 0);
    drop(clone);
    assert_eq!(pool.stats().unread, 1);
}

#[test]
fn the_timed_verbs_show_nothing_until_it_is_there() {
    let pool = ThreadPool::new(1).unwrap();
    let busy = keep_busy(&pool);
    let shared = pool.submit(|| 5).share();
    assert_eq!(shared.state(), TaskState::Queued);
    assert!(shared.try_join().is_none());
    assert!(shared.join_timeout(Duration::ZERO).is_none());
    assert!(!shared.wait_timeout(Duration::ZERO).unwrap());
    assert!(!shared.is_finished());
    drop(busy);
    assert_eq!(*shared.join_timeout(LONG).unwrap().as_ref().unwrap(), 5);
    assert_eq!(
        *shared
            .join_timeout(Duration::ZERO)
            .unwrap()
            .as_ref()
            .unwrap(),
        5
    );
    assert_eq!(*shared.try_join().unwrap().as_ref().unwrap(), 5);
    assert!(shared.wait_timeout(Duration::ZERO).unwrap());
    shared.wait().unwrap();
    assert!(shared.is_finished());
}

#[test]
fn any_clone_cancels_for_all() {
    let pool = ThreadPool::new(1).unwrap();
    let _busy = keep_busy(&pool);
    let shared = pool.submit(|| ()).share();
    let clone = shared.clone();
    assert_eq!(clone.cancel(), CancelOutcome::Settled);
    assert_eq!(shared.cancel(), CancelOutcome::AlreadyFinished);
    for handle in [&shared, &clone] {
        assert!(matches!(
            handle.join(),
            Err(TaskError::Cancelled(CancelReason::User))
        ));
    }
}

#[test]
fn cancel_on_drop_acts_when_the_last_clone_goes() {
    let (promise, handle) = promise::<()>();
    let shared = handle.cancel_on_drop().share();
    let clone = shared.clone();
    drop(shared);
    assert!(!promise.is_cancelled());
    drop(clone);
    assert!(promise.is_cancelled());
}

#[test]
fn clones_have_the_task_s_id_name_and_token() {
    let pool = ThreadPool::new(1).unwrap();
    let _busy = keep_busy(&pool);
    let handle = pool.task().name("both").submit(|| ());
    let (id, token) = (handle.id(), handle.token());
    let shared = handle.share();
    let clone = shared.clone();
    for handle in [&shared, &clone] {
        assert_eq!(handle.id(), id);
        assert_eq!(handle.name().as_deref(), Some("both"));
    }
    let text = format!("{clone:?}");
    assert!(
        text.contains(&id.to_string()) && text.contains("both"),
        "{text}"
    );
    clone.token().cancel_with(CancelReason::Race);
    assert_eq!(token.reason(), Some(CancelReason::Race));
    assert!(shared.is_finished());
}

#[test]
fn readers_that_race_with_the_settling_all_see_it() {
    let pool = ThreadPool::new(2).unwrap();
    for n in 0..300 {
        let shared = pool.submit(move || n).share();
        thread::scope(|s| {
            let read = |shared: SharedHandle<i32>| *shared.join().as_ref().unwrap();
            let clone = shared.clone();
            let other = s.spawn(move || read(clone));
            while shared.try_join().is_none() {
                std::hint::spin_loop();
            }
            assert_eq!(read(shared.clone()), n);
            assert_eq!(other.join().unwrap(), n);
        });
    }
}
