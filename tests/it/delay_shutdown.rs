//! Shutting down with tasks that are not due yet: what is cancelled and named, and what is waited for.

use crate::handle::{TellDrop, must_join};
use crate::manual::{Drops, HOUR, Manual, NS, S, until};
use crate::submit::hold;
use crate::support::must_recv;
use millhand::cancel::CancelReason;
use millhand::pool::{PendingTask, ShutdownReport};
use millhand::task::TaskState;
use millhand::{Shutdown, TaskError, TaskHandle};
use std::sync::mpsc;
use std::thread;

/// What the report names, by name.
fn in_order(report: &ShutdownReport) -> Vec<&PendingTask> {
    let mut not_due: Vec<_> = report.not_due().iter().collect();
    not_due.sort_by_key(|task| task.name.clone());
    not_due
}

fn names(report: &ShutdownReport) -> Vec<&str> {
    let not_due = in_order(report).into_iter();
    not_due
        .map(|task| task.name.as_deref().unwrap_or("-"))
        .collect()
}

fn by_shutdown<T: std::fmt::Debug + 'static>(handle: TaskHandle<T>) {
    match handle.try_join().expect("it is settled") {
        Err(TaskError::Cancelled(CancelReason::Shutdown)) => {}
        other => panic!("not cancelled by the shutdown but {other:?}"),
    }
}

#[test]
fn a_drain_cancels_what_is_not_due_and_names_it() {
    let pool = Manual::new(1);
    let (tell, told) = mpsc::channel();
    let captured = TellDrop(tell);
    let month = pool.task().name("month").delay(720 * HOUR).submit(|| 1);
    let hour = pool.task().name("hour").delay(HOUR).submit(move || {
        drop(captured);
        2
    });
    let cancelled = pool.task().name("cancelled").delay(HOUR).submit(|| 3);
    cancelled.cancel();
    let queued = pool.submit(|| 4);
    let report = pool.shutdown(Shutdown::drain()).unwrap();
    assert_eq!(names(&report), ["hour", "month"]);
    for (pending, handle) in in_order(&report).iter().zip([&hour, &month]) {
        assert_eq!(pending.id, handle.id());
        assert!(std::ptr::eq(pending.site, handle.site()));
        let text = pending.to_string();
        assert!(report.to_string().contains(&text), "{report}");
        assert!(text.ends_with("was not due yet"), "{text}");
    }
    assert_eq!((report.succeeded(), report.failed()), (1, 0));
    assert_eq!((report.cancelled(), report.cancelled_by_shutdown()), (3, 2));
    assert!(!report.is_clean());
    // By the thread that shuts down.
    assert_eq!(told.try_recv(), Ok(thread::current().id()));
    assert_eq!(must_join(queued).unwrap(), 4);
    by_shutdown(month);
    by_shutdown(hour);
    assert_eq!(
        names(&pool.shutdown(Shutdown::drain()).unwrap()),
        ["hour", "month"],
        "as often as it is asked"
    );
}

#[test]
fn a_text_does_not_name_a_thousand() {
    let pool = Manual::new(1);
    for n in 0..1000 {
        let task = pool.task().name(format!("number {n}")).delay(HOUR);
        task.execute(|| ());
    }
    let report = pool.shutdown(Shutdown::drain()).unwrap();
    assert_eq!(report.not_due().len(), 1000);
    let text = report.to_string();
    assert_eq!(text.matches("was not due yet").count(), 8, "{text}");
    assert!(text.ends_with("; and 992 more were not due yet"), "{text}");
}

#[test]
fn a_shutdown_that_cancels_names_them_too() {
    for how in [
        Shutdown::cancel(),
        Shutdown::cancel().including_delayed(),
        Shutdown::drain().including_delayed().cancel_after(S),
        Shutdown::drain().including_delayed().give_up_after(S),
    ] {
        let pool = Manual::new(1);
        let handle = pool.task().name("later").delay(HOUR).submit(|| 1);
        let report = pool.shut_down(how.clone(), || (), S);
        assert_eq!(names(&report), ["later"], "{how:?}");
        assert_eq!(report.cancelled_by_shutdown(), 1);
        assert_eq!((report.succeeded(), report.failed()), (0, 0));
        by_shutdown(handle);
    }
}

#[test]
fn including_delayed_waits_for_them() {
    let pool = Manual::new(1);
    let hour = pool.task().delay(HOUR).submit(|| 1);
    let day = pool.task().delay(24 * HOUR).submit(|| 2);
    let report = thread::scope(|s| {
        let shutdown = s.spawn(|| {
            pool.shutdown(Shutdown::drain().including_delayed())
                .unwrap()
        });
        until("the pool is closed", || pool.is_closed());
        assert!(pool.task().delay(S).try_submit(|| ()).is_err());
        pool.advance(HOUR);
        assert!(hour.wait_timeout(crate::support::LONG).unwrap());
        assert!(matches!(day.state(), TaskState::Delayed { .. }));
        assert!(!shutdown.is_finished());
        pool.advance(23 * HOUR);
        shutdown.join().unwrap()
    });
    assert_eq!(report.succeeded(), 2);
    assert!(report.is_clean() && report.not_due().is_empty());
    assert_eq!((hour.join().unwrap(), day.join().unwrap()), (1, 2));
}

#[test]
fn a_cancelled_delayed_task_ends_the_drain_that_waited_for_it() {
    let pool = Manual::new(1);
    let later = pool.task().delay(HOUR).submit(|| 1);
    let report = thread::scope(|s| {
        let shutdown = s.spawn(|| {
            pool.shutdown(Shutdown::drain().including_delayed())
                .unwrap()
        });
        until("the pool is closed", || pool.is_closed());
        later.cancel();
        shutdown.join().unwrap()
    });
    assert_eq!((report.cancelled(), report.cancelled_by_shutdown()), (1, 0));
    assert!(report.not_due().is_empty());
}

#[test]
fn dropping_the_pool_cancels_what_is_not_due() {
    let drops = Drops::default();
    let pool = Manual::new(1);
    let handles: Vec<_> = (0..100)
        .map(|n| {
            let one = drops.one();
            pool.task().delay((n + 1) * S).submit(move || drop(one))
        })
        .collect();
    drop(pool);
    assert_eq!(drops.count(), 100);
    handles.into_iter().for_each(by_shutdown);
}

#[test]
fn a_pool_dropped_by_its_own_task_cancels_what_is_not_due() {
    let pool = Manual::new(1);
    let drops = Drops::default();
    let one = drops.one();
    let later = pool.task().delay(HOUR).submit(move || drop(one));
    let (give, take) = mpsc::channel::<Manual>();
    let inside = pool.submit(move || drop(must_recv(&take)));
    give.send(pool).unwrap();
    must_join(inside).unwrap();
    assert!(later.wait_timeout(crate::support::LONG).unwrap());
    by_shutdown(later);
    until("its closure is dropped", || drops.count() == 1);
}

#[test]
fn a_task_of_a_draining_pool_cannot_put_off_its_end() {
    let pool = Manual::new(1);
    let inside = pool.submit(|| {
        let me = millhand::current().unwrap().pool();
        until("the pool drains", || me.is_closed());
        let at_once = me.submit(|| 1);
        (at_once, me.task().name("later").delay(HOUR).submit(|| 2))
    });
    let report = pool.shutdown(Shutdown::drain()).unwrap();
    let (at_once, later) = must_join(inside).unwrap();
    assert_eq!(must_join(at_once).unwrap(), 1);
    by_shutdown(later);
    assert_eq!(names(&report), ["later"]);
}

#[test]
fn a_task_of_a_pool_that_includes_them_can() {
    let pool = Manual::new(1);
    let inside = pool.submit(|| {
        let me = millhand::current().unwrap().pool();
        until("the pool drains", || me.is_closed());
        me.task().delay(HOUR).submit(|| 2)
    });
    let report = thread::scope(|s| {
        let shutdown = s.spawn(|| {
            pool.shutdown(Shutdown::drain().including_delayed())
                .unwrap()
        });
        let later = must_join(inside).unwrap();
        pool.advance(HOUR);
        assert_eq!(must_join(later).unwrap(), 2);
        shutdown.join().unwrap()
    });
    assert_eq!(report.succeeded(), 2);
    assert!(report.not_due().is_empty());
}

#[test]
fn one_that_waits_for_less_is_not_held_up_by_one_that_waits_for_more() {
    let pool = Manual::new(1);
    let later = pool.task().name("later").delay(HOUR).submit(|| 1);
    let (first, second) = thread::scope(|s| {
        let first = s.spawn(|| {
            pool.shutdown(Shutdown::drain().including_delayed())
                .unwrap()
        });
        until("the pool is closed", || pool.is_closed());
        // The first goes first: it has to say what it waits for before it closes the pool.
        let second = pool.shutdown(Shutdown::drain()).unwrap();
        (first.join().unwrap(), second)
    });
    assert_eq!(
        (names(&first), names(&second)),
        (vec!["later"], vec!["later"])
    );
    by_shutdown(later);
}

#[test]
fn one_that_waits_for_more_does_not_bring_back_what_was_given_up() {
    let pool = Manual::new(1);
    let held = hold(&pool, 1);
    let later = pool.task().name("later").delay(HOUR).submit(|| 1);
    let report = thread::scope(|s| {
        let held = held;
        s.spawn(|| pool.shutdown(Shutdown::drain()).unwrap());
        assert!(later.wait_timeout(crate::support::LONG).unwrap());
        let second = s.spawn(|| {
            pool.shutdown(Shutdown::drain().including_delayed())
                .unwrap()
        });
        held.release();
        second.join().unwrap()
    });
    assert_eq!(names(&report), ["later"]);
    by_shutdown(later);
}

#[test]
fn what_is_due_when_the_drain_begins_runs() {
    for _ in 0..20 {
        let pool = Manual::new(1);
        let held = hold(&pool, 1);
        let due = pool.task().delay(S).submit(|| 1);
        pool.turn(S);
        assert_eq!(due.state(), TaskState::Queued);
        let report = thread::scope(|s| {
            let held = held;
            let shutdown = s.spawn(|| pool.shutdown(Shutdown::drain()).unwrap());
            until("the pool is closed", || pool.is_closed());
            held.release();
            shutdown.join().unwrap()
        });
        assert_eq!(must_join(due).unwrap(), 1);
        assert!(report.not_due().is_empty());
        assert_eq!(report.succeeded(), 2);
    }
}

#[test]
fn each_delayed_task_runs_or_is_named_whenever_the_drain_comes() {
    for round in 0..50 {
        let pool = Manual::new(2);
        let handles: Vec<_> = (0..40)
            .map(|n| pool.task().delay(n / 10 * NS).submit(move || n))
            .collect();
        let report = thread::scope(|s| {
            let shutdown = s.spawn(|| pool.shutdown(Shutdown::drain()).unwrap());
            if round % 2 == 0 {
                pool.advance(2 * NS);
            }
            shutdown.join().unwrap()
        });
        let mut named = 0;
        for handle in handles {
            let id = handle.id();
            let is_named = report.not_due().iter().any(|task| task.id == id);
            named += usize::from(is_named);
            match handle.try_join().unwrap() {
                Ok(_) => assert!(!is_named),
                Err(_) => assert!(is_named),
            }
        }
        assert_eq!(report.not_due().len(), named);
        assert_eq!(report.succeeded() as usize, 40 - named);
        assert_eq!(report.cancelled_by_shutdown() as usize, named);
    }
}
