//! The hook around every attempt.

use crate::handle::{keep_busy, must_join};
use crate::support::must_recv;
use millhand::cancel::CancelReason;
use millhand::pool::{Current, PoolBuilder};
use millhand::task::CancelOutcome;
use millhand::{ContextVar, Retry, TaskError, ThreadPool, checkpoint, current};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

fn pool_with(
    workers: usize,
    hook: impl Fn(&Current, &mut dyn FnMut()) + Send + Sync + 'static,
) -> ThreadPool {
    let builder: PoolBuilder = ThreadPool::builder().workers(workers).around_task(hook);
    builder.build().unwrap()
}

/// A pool whose hook tells before and after.
fn telling(workers: usize) -> (ThreadPool, Receiver<String>) {
    let (tell, told) = mpsc::channel();
    let pool = pool_with(workers, move |task, body| {
        let name = task.name().unwrap_or("?").to_owned();
        tell.send(format!("> {name} {}", task.attempt())).unwrap();
        body();
        tell.send(format!("< {name} {}", task.attempt())).unwrap();
    });
    (pool, told)
}

#[test]
fn the_hook_is_called_around_every_attempt() {
    let (pool, told) = telling(1);
    let (tell, bodies) = mpsc::channel();
    let retried = pool
        .task()
        .name("retried")
        .retry(Retry::fixed(2, Duration::ZERO));
    let handle = retried.submit(move || {
        tell.send(()).unwrap();
        let attempt = current().unwrap().attempt();
        if attempt < 3 {
            Err(attempt)
        } else {
            Ok(attempt)
        }
    });
    assert_eq!(must_join(handle).unwrap(), Ok(3));
    drop((pool, retried));
    let told: Vec<_> = told.into_iter().collect();
    let expected = [1, 2, 3].map(|n| [format!("> retried {n}"), format!("< retried {n}")]);
    assert_eq!(told, expected.concat());
    assert_eq!(bodies.into_iter().count(), 3);
}

#[test]
fn every_kind_of_task_has_it() {
    let count = Arc::new(AtomicUsize::new(0));
    let pool = pool_with(2, {
        let count = count.clone();
        move |_, body| {
            count.fetch_add(1, SeqCst);
            body();
        }
    });
    pool.submit(|| ()).join().unwrap();
    pool.task().priority(3).submit(|| ()).join().unwrap();
    pool.task()
        .delay(Duration::from_millis(1))
        .submit(|| ())
        .join()
        .unwrap();
    pool.task()
        .fallible()
        .submit(|| Err::<(), _>("no"))
        .join()
        .unwrap()
        .unwrap_err();
    pool.broadcast(|| ())
        .unwrap()
        .into_iter()
        .for_each(|handle| handle.join().unwrap());
    pool.execute(|| ());
    pool.wait_idle().unwrap();
    assert_eq!(count.load(SeqCst), 7);
}

#[test]
fn a_task_that_never_runs_never_meets_it() {
    let (pool, told) = telling(1);
    let busy = keep_busy(&pool);
    assert_eq!(
        pool.task().name("cancelled").submit(|| ()).cancel(),
        CancelOutcome::Settled
    );
    drop(busy);
    drop(pool);
    assert_eq!(told.into_iter().collect::<Vec<_>>(), ["> ? 1", "< ? 1"]);
}

#[test]
fn the_task_is_the_current_one_in_the_hook() {
    let (tell, told) = mpsc::channel();
    let pool = pool_with(1, move |task, body| {
        let before = current().unwrap().id();
        body();
        tell.send((task.id(), before, current().unwrap().id()))
            .unwrap();
    });
    let handle = pool.submit(|| ());
    let id = handle.id();
    must_join(handle).unwrap();
    assert_eq!(must_recv(&told), (id, id, id));
}

#[test]
fn whatever_the_hook_does_the_body_runs_once_and_its_outcome_stands() {
    type Hook = fn(&Current, &mut dyn FnMut());
    let hooks: [(&str, Hook); 7] = [
        ("calls it", |_, body| body()),
        ("calls it twice", |_, body| {
            body();
            body();
        }),
        ("does not call it", |_, _| ()),
        ("panics before", |_, _| panic!("before")),
        ("panics after", |_, body| {
            body();
            panic!("after");
        }),
        ("panics with something odd", |_, body| {
            body();
            std::panic::panic_any(7);
        }),
        ("leaves as a cancelled body does", |task, body| {
            task.token().cancel();
            body();
            checkpoint();
        }),
    ];
    for (what, hook) in hooks {
        let pool = pool_with(1, hook);
        let runs = Arc::new(AtomicUsize::new(0));
        let count = || {
            let runs = runs.clone();
            move || runs.fetch_add(1, SeqCst)
        };
        assert_eq!(must_join(pool.submit(count())).unwrap(), 0, "{what}");
        assert_eq!(
            must_join(pool.task().name("named").submit(count())).unwrap(),
            1,
            "{what}"
        );
        let late = pool.task().retry(Retry::fixed(1, Duration::ZERO));
        let attempt = count();
        let retried = late.submit(move || if attempt() < 3 { Err("again") } else { Ok(()) });
        match what {
            // After a cancellation there is no other attempt.
            "leaves as a cancelled body does" => {
                let outcome = must_join(retried);
                let Err(TaskError::Cancelled(CancelReason::User)) = outcome else {
                    panic!("{outcome:?}")
                };
            }
            _ => assert_eq!(must_join(retried).unwrap(), Ok(()), "{what}"),
        }
        let panics = must_join(pool.submit(|| -> () { panic!("the body's own") }));
        let Err(TaskError::Panicked(panic)) = panics else {
            panic!("{what}: {panics:?}")
        };
        assert_eq!(panic.message(), "the body's own", "{what}");
        assert_eq!(must_join(pool.submit(|| 7)).unwrap(), 7, "{what}");
    }
}

#[test]
fn the_body_never_panics_in_the_hook() {
    let (tell, told) = mpsc::channel();
    let pool = pool_with(1, move |_, body| {
        body();
        tell.send("after").unwrap();
    });
    assert!(must_join(pool.submit(|| -> () { panic!("out") })).is_err());
    assert_eq!(must_recv(&told), "after");
    let handle = pool.submit(|| {
        current().unwrap().token().cancel();
        checkpoint();
    });
    assert!(matches!(
        must_join(handle),
        Err(TaskError::Cancelled(CancelReason::User))
    ));
    assert_eq!(must_recv(&told), "after");
}

#[test]
fn what_the_hook_sets_the_body_sees_and_what_it_submits() {
    static LABEL: ContextVar<&str> = ContextVar::new("none");
    thread_local! {
        static HERE: Cell<u32> = const { Cell::new(0) };
    }
    let pool = pool_with(1, |task, body| {
        let outer = HERE.replace(1);
        match task.name() {
            Some("plain") => body(),
            _ => LABEL.with("hook", body),
        }
        HERE.set(outer);
    });
    let handle = pool.submit(|| {
        let pool = current().unwrap().pool();
        let inner = pool
            .task()
            .name("plain")
            .submit(|| (LABEL.get(), HERE.get()));
        (LABEL.get(), HERE.get(), inner.join().unwrap())
    });
    assert_eq!(must_join(handle).unwrap(), ("hook", 1, ("hook", 1)));
    let plain = pool.task().name("plain").submit(|| LABEL.get());
    assert_eq!(must_join(plain).unwrap(), "none");
}

#[test]
fn it_is_called_for_a_task_on_a_waiter_s_stack_too() {
    let (pool, told) = telling(1);
    let outer = pool.task().name("outer").submit(|| {
        let pool = current().unwrap().pool();
        let inner = pool.task().name("inner").submit(|| thread::current().id());
        inner.join().unwrap() == thread::current().id()
    });
    assert!(must_join(outer).unwrap(), "it ran right there");
    drop(pool);
    let told: Vec<_> = told.into_iter().collect();
    assert_eq!(told, ["> outer 1", "> inner 1", "< inner 1", "< outer 1"]);
}

#[test]
fn a_hook_may_wait_for_a_task() {
    let pool = pool_with(1, |task, body| {
        if task.name() == Some("login") {
            return body();
        }
        let login = task.pool().task().name("login").submit(|| "in");
        assert_eq!(login.join().unwrap(), "in");
        body();
    });
    let handles: Vec<_> = (0..10).map(|n| pool.submit(move || n)).collect();
    for (n, handle) in handles.into_iter().enumerate() {
        assert_eq!(must_join(handle).unwrap(), n);
    }
}
