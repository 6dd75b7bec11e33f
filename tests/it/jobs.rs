//! What is fire-and-forget and has no option goes as a job, without a task of its own. Nobody should be able to tell.

use crate::manual::{Drops, HOUR, Manual, hang, until};
use crate::support::must_recv;
use millhand::cancel::CancelReason;
use millhand::{
    JoinError, SharedHandle, Shutdown, TaskError, TaskHandle, ThreadPool, blocking, current,
};
use std::fmt;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

const EXPECTED: &str = "(this panic is part of a test)";

#[test]
fn it_is_told_who_it_is_and_the_same_each_time() {
    let pool = ThreadPool::new(1).unwrap();
    let before = pool.submit(|| ()).id();
    let (tell, told) = mpsc::channel();
    for _ in 0..2 {
        let tell = tell.clone();
        pool.execute(move || {
            let here = [current(), current()].map(Option::unwrap);
            assert_eq!((here[0].name(), here[0].attempt()), (None, 1));
            tell.send([here[0].id(), here[1].id()]).unwrap();
        });
    }
    let [first, second] = [must_recv(&told), must_recv(&told)];
    assert_eq!(first[0], first[1]);
    assert_eq!(second[0], second[1]);
    assert!(first[0] != second[0] && ![first[0], second[0]].contains(&before));
}

#[test]
fn who_it_is_outlives_what_it_waits_for() {
    let pool = ThreadPool::new(1).unwrap();
    let (tell, told) = mpsc::channel();
    let core = pool.handle();
    pool.execute(move || {
        let id = || current().unwrap().id();
        // Queued behind this body on the only worker, so it runs on this stack; and a wait before anybody has asked.
        let inner = core.submit(id);
        let queued = inner.id();
        assert_eq!(inner.join().unwrap(), queued);
        let outer = id();
        let again = core.submit(id).join().unwrap();
        assert!(outer != queued && outer != again && queued != again);
        blocking(|| ());
        assert_eq!(id(), outer);
        tell.send(()).unwrap();
    });
    must_recv(&told);
}

#[test]
fn a_shutdown_reaches_its_token_whenever_it_was_asked_for() {
    // Asked for before, and with the shutdown going on: by the token, by a poll, by a sleep and by a checkpoint.
    type Body = fn(&mpsc::Sender<()>, &mpsc::Receiver<()>) -> Option<CancelReason>;
    let bodies: [Body; 4] = [
        |begun, _| {
            let token = current().unwrap().token();
            begun.send(()).unwrap();
            token.wait().unwrap();
            token.reason()
        },
        |begun, closed| {
            begun.send(()).unwrap();
            must_recv(closed);
            until("it is cancelled", millhand::is_cancelled);
            Some(millhand::check().unwrap_err().reason())
        },
        |begun, closed| {
            begun.send(()).unwrap();
            must_recv(closed);
            Some(millhand::sleep(HOUR).unwrap_err().reason())
        },
        |begun, closed| {
            begun.send(()).unwrap();
            must_recv(closed);
            until("it is cancelled", || {
                millhand::checkpoint();
                false
            });
            None
        },
    ];
    for (i, body) in bodies.into_iter().enumerate() {
        let pool = ThreadPool::new(1).unwrap();
        let (begin, begun) = mpsc::channel();
        let (close, closed) = mpsc::channel();
        let (tell, told) = mpsc::channel();
        pool.execute(move || tell.send(body(&begin, &closed)).unwrap());
        must_recv(&begun);
        let report = std::thread::scope(|s| {
            let shutdown = s.spawn(|| pool.shutdown(Shutdown::cancel()).unwrap());
            until("the pool is closed", || pool.is_closed());
            close.send(()).ok();
            shutdown.join().unwrap()
        });
        let quietly_left = i == 3;
        match quietly_left {
            true => assert!(told.recv().is_err()),
            false => assert_eq!(must_recv(&told), Some(CancelReason::Shutdown)),
        }
        let counts = (report.succeeded(), report.cancelled());
        assert_eq!(counts, if quietly_left { (0, 1) } else { (1, 0) });
    }
}

#[test]
fn one_that_hangs_is_named_in_the_report_whether_or_not_it_has_asked_who_it_is() {
    for asks in [false, true] {
        let pool = Manual::new(2);
        // What has been done before is in the report, too, though its worker is not idle since.
        let (mut body, hung) = hang();
        let (tell, told) = mpsc::channel();
        (0..5).for_each(|_| pool.execute(|| ()));
        pool.wait_idle().unwrap();
        let line = line!() + 1;
        pool.execute(move || {
            tell.send(asks.then(|| current().unwrap().id())).unwrap();
            body();
        });
        hung.started();
        let id = must_recv(&told);
        let how = Shutdown::cancel().give_up_after(HOUR);
        let report = pool.shut_down(how, || (), HOUR);
        let [running] = report.still_running() else {
            panic!("{report}");
        };
        assert_eq!(running.site.line(), line);
        assert!(id.is_none_or(|id| id == running.id));
        assert_eq!((&running.name, report.succeeded()), (&None, 5));
    }
}

#[test]
fn what_was_done_by_a_worker_that_hangs_now_is_in_the_report() {
    let pool = Manual::new(1);
    let (body, hung) = hang();
    let (held, hold) = mpsc::channel::<()>();
    pool.execute(move || hold.recv().unwrap_or(()));
    (0..5).for_each(|_| pool.execute(|| ()));
    pool.execute(body);
    drop(held);
    hung.started();
    let how = Shutdown::cancel().give_up_after(HOUR);
    let report = pool.shut_down(how, || (), HOUR);
    assert_eq!((report.succeeded(), report.still_running().len()), (6, 1));
}

#[test]
fn it_is_dropped_unrun_by_a_shutdown_that_cancels() {
    let pool = ThreadPool::new(1).unwrap();
    let drops = Drops::default();
    let (start, started) = mpsc::channel();
    pool.execute(move || {
        start.send(()).unwrap();
        // Not a wait of the library, in which a spare thread would run the others.
        while !millhand::is_cancelled() {
            std::thread::yield_now();
        }
    });
    must_recv(&started);
    for _ in 0..3 {
        let drop = drops.one();
        pool.execute(move || drop.keep());
    }
    let report = pool.shutdown(Shutdown::cancel()).unwrap();
    assert_eq!(drops.count(), 3);
    assert_eq!((report.cancelled(), report.cancelled_by_shutdown()), (3, 3));
    assert_eq!(report.succeeded(), 1);
}

#[test]
fn its_panic_is_told_of_with_the_number_that_it_had() {
    for asks in [false, true] {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let note = seen.clone();
        let pool = ThreadPool::builder()
            .workers(1)
            .on_unread(move |failure| {
                let JoinError::Task(TaskError::Panicked(panic)) = failure.error() else {
                    panic!("{failure}");
                };
                assert_eq!((failure.id(), failure.site()), (panic.task(), panic.site()));
                let entry = (
                    panic.task(),
                    panic.site().line(),
                    panic.message().to_owned(),
                );
                note.lock().unwrap().push(entry);
            })
            .build()
            .unwrap();
        let (tell, told) = mpsc::channel();
        let line = line!() + 1;
        pool.execute(move || {
            tell.send(asks.then(|| current().unwrap().id())).unwrap();
            panic!("{EXPECTED}");
        });
        let id = must_recv(&told);
        let report = pool.shutdown(Shutdown::drain()).unwrap();
        let seen = seen.lock().unwrap();
        let [(task, site, message)] = &seen[..] else {
            panic!("{seen:?}");
        };
        assert!(id.is_none_or(|id| id == *task));
        assert_eq!((*site, message.as_str()), (line, EXPECTED));
        assert_eq!((report.panicked(), report.succeeded()), (1, 0));
    }
}

#[test]
fn its_failure_counts_as_one() {
    for asks in [false, true] {
        let pool = ThreadPool::new(1).unwrap();
        let task = pool.task().fallible();
        task.execute_ok(move || {
            let _ = asks.then(|| current().unwrap().token());
            Err("no")
        });
        task.execute_ok(|| Ok::<_, &str>(()));
        let report = pool.shutdown(Shutdown::drain()).unwrap();
        assert_eq!((report.failed(), report.succeeded()), (1, 1));
    }
}

#[test]
fn a_circle_on_top_of_it_is_answered_and_it_is_not_part_of_it() {
    let pool = ThreadPool::new(1).unwrap();
    let (tell, told) = mpsc::channel();
    let core = pool.handle();
    pool.execute(move || {
        let (send_b, b_comes) = mpsc::channel::<TaskHandle<usize>>();
        let (send_a, a_comes) = mpsc::channel::<SharedHandle<usize>>();
        let a = core.submit(move || must_recv(&b_comes).join().unwrap());
        let b = core.submit(move || match must_recv(&a_comes).wait() {
            Err(TaskError::WouldDeadlock(circle)) => circle.tasks().count(),
            other => panic!("{other:?}"),
        });
        let a = a.share();
        send_b.send(b).unwrap();
        send_a.send(a.clone()).unwrap();
        tell.send(*a.join().as_ref().unwrap()).unwrap();
    });
    assert_eq!(must_recv(&told), 2);
}

#[test]
fn what_each_worker_keeps_is_there_for_it() {
    let pool = ThreadPool::new(1).unwrap();
    let kept = Arc::new(pool.worker_local(|| 7));
    let (tell, told) = mpsc::channel();
    for _ in 0..2 {
        let (tell, kept) = (tell.clone(), kept.clone());
        pool.execute(move || tell.send(kept.with(|n| *n)).unwrap());
    }
    assert_eq!([must_recv(&told), must_recv(&told)], [7, 7]);
}

#[test]
fn the_error_that_it_returns_is_dropped_when_it_is_over() {
    /// Says, when it is dropped, whether that is within a task.
    struct Asks(mpsc::Sender<bool>);
    impl fmt::Display for Asks {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("no")
        }
    }
    impl Drop for Asks {
        fn drop(&mut self) {
            self.0.send(current().is_some()).unwrap();
        }
    }
    let pool = ThreadPool::new(1).unwrap();
    let (tell, told) = mpsc::channel();
    for asks in [false, true] {
        let tell = tell.clone();
        pool.execute_ok(move || {
            let _ = asks.then(current);
            Err(Asks(tell))
        });
        assert!(!must_recv(&told));
    }
}
