//! The end of a pool: drain, cancel, give up, report.

use crate::lifecycle::watched;
use crate::stress::{EXPECTED, Rng, silence};
use crate::submit::{Held, hold};
use crate::support::{LONG, must_recv};
use millhand::cancel::CancelReason;
use millhand::error::Rejection;
use millhand::pool::{PoolError, ShutdownReport};
use millhand::task::OutcomeKind;
use millhand::{Shutdown, TaskError, TaskHandle, ThreadPool};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

fn until_closed(pool: &ThreadPool) {
    while !pool.is_closed() {
        std::thread::yield_now();
    }
}

fn is_cancelled<T: 'static>(handle: TaskHandle<T>, why: CancelReason) -> bool {
    let outcome = handle.join_timeout(LONG).expect("it settles");
    matches!(outcome, Err(TaskError::Cancelled(reason)) if reason == why)
}

/// (succeeded, failed, panicked, cancelled, cancelled by the shutdown)
fn counts(report: &ShutdownReport) -> (u64, u64, u64, u64, u64) {
    assert_eq!((report.expired(), report.timed_out()), (0, 0), "{report}");
    (
        report.succeeded(),
        report.failed(),
        report.panicked(),
        report.cancelled(),
        report.cancelled_by_shutdown(),
    )
}

#[test]
fn a_drain_runs_all_that_was_submitted() {
    let (pool, census) = watched(2);
    let held = hold(&pool, 2);
    let handles: Vec<_> = (0..100).map(|n| pool.submit(move || n)).collect();
    held.release();
    let report = pool.shutdown(Shutdown::drain()).unwrap();
    assert_eq!(counts(&report), (102, 0, 0, 0, 0));
    assert!(report.is_clean() && report.still_running().is_empty());
    assert_eq!(census.live(), 0, "the threads were joined");
    assert!(pool.is_closed());
    assert_eq!((pool.queued(), pool.threads()), (0, 0));
    for (n, handle) in handles.into_iter().enumerate() {
        assert_eq!(handle.try_join().unwrap().unwrap(), n);
    }
}

#[test]
fn a_drain_of_an_idle_pool_and_of_a_new_one_ends() {
    for _ in 0..50 {
        let (pool, census) = watched(3);
        assert!(pool.shutdown(Shutdown::default()).unwrap().is_clean());
        assert_eq!(census.live(), 0);
    }
}

#[test]
fn what_tasks_submit_during_a_drain_runs_and_what_others_submit_is_refused() {
    let pool = ThreadPool::new(1).unwrap();
    let ran = Arc::new(AtomicUsize::new(0));
    fn chain(ran: Arc<AtomicUsize>, left: usize) {
        ran.fetch_add(1, SeqCst);
        if left > 0 {
            let pool = millhand::current().unwrap().pool();
            pool.execute(move || chain(ran, left - 1));
        }
    }
    let (held, first) = (hold(&pool, 1), ran.clone());
    pool.execute(move || chain(first, 99));
    std::thread::scope(|s| {
        let held = held;
        let drain = s.spawn(|| pool.shutdown(Shutdown::drain()).unwrap());
        until_closed(&pool);
        let refused = pool.try_submit(|| ()).unwrap_err();
        assert_eq!(refused.reason(), Rejection::Closed);
        held.release();
        assert_eq!(counts(&drain.join().unwrap()), (101, 0, 0, 0, 0));
    });
    assert_eq!(ran.load(SeqCst), 100);
}

#[test]
fn a_cancel_settles_what_is_queued_and_asks_what_runs_to_stop() {
    let (pool, census) = watched(1);
    let (start, started) = mpsc::channel();
    let running = pool.submit(move || {
        start.send(()).unwrap();
        millhand::sleep(LONG).unwrap_err().reason()
    });
    must_recv(&started);
    // A sleeping body has given up its seat; one that stays has the spare.
    let (start, started) = mpsc::channel();
    let spinning = pool.submit(move || {
        start.send(()).unwrap();
        loop {
            millhand::checkpoint();
            std::thread::yield_now();
        }
    });
    must_recv(&started);
    let queued: Vec<_> = (0..10).map(|_| pool.submit(|| ())).collect();
    let report = pool.shutdown(Shutdown::cancel()).unwrap();
    assert_eq!(running.join().unwrap(), CancelReason::Shutdown);
    assert!(is_cancelled::<()>(spinning, CancelReason::Shutdown));
    for handle in queued {
        assert!(is_cancelled(handle, CancelReason::Shutdown));
    }
    assert_eq!(counts(&report), (1, 0, 0, 11, 11));
    assert!(!report.is_clean());
    assert_eq!(census.live(), 0);
}

#[test]
fn a_task_hears_of_a_cancelling_shutdown_through_the_token_it_handed_on() {
    let pool = ThreadPool::new(1).unwrap();
    let (start, started) = mpsc::channel();
    let running = pool.submit(move || {
        let token = millhand::current().unwrap().token().child();
        start.send(()).unwrap();
        token.wait().unwrap();
        token.reason()
    });
    must_recv(&started);
    pool.shutdown(Shutdown::cancel()).unwrap();
    assert_eq!(running.join().unwrap(), Some(CancelReason::Shutdown));
}

#[test]
fn what_tasks_submit_while_the_pool_cancels_is_refused() {
    let pool = ThreadPool::new(1).unwrap();
    let (start, started) = mpsc::channel();
    let running = pool.submit(move || {
        start.send(()).unwrap();
        while !millhand::is_cancelled() {
            std::thread::yield_now();
        }
        let pool = millhand::current().unwrap().pool();
        let refusals = [
            pool.try_submit(|| ()).unwrap_err().reason(),
            pool.submit_timeout(LONG, || ()).unwrap_err().reason(),
            pool.try_execute(|| ()).unwrap_err().reason(),
        ];
        pool.execute(|| ());
        (refusals, pool.submit(|| ()).join())
    });
    must_recv(&started);
    let report = pool.shutdown(Shutdown::cancel()).unwrap();
    let (refusals, last) = running.join().unwrap();
    assert_eq!(refusals, [Rejection::Closed; 3]);
    // Those that nothing was given back of.
    assert_eq!(report.rejected(), 2, "{report}");
    assert!(matches!(last, Err(TaskError::Rejected(Rejection::Closed))));
}

#[test]
fn a_drain_becomes_a_cancel_after_the_time_given() {
    let pool = ThreadPool::new(1).unwrap();
    let after = Duration::from_millis(10);
    let (start, started) = mpsc::channel();
    let running = pool.submit(move || {
        start.send(()).unwrap();
        while !millhand::is_cancelled() {
            std::thread::yield_now();
        }
    });
    must_recv(&started);
    let queued = pool.submit(|| ());
    let begun = Instant::now();
    let report = pool
        .shutdown(Shutdown::drain().cancel_after(after))
        .unwrap();
    assert!(begun.elapsed() >= after);
    assert_eq!(counts(&report), (1, 0, 0, 1, 1));
    running.join().unwrap();
    assert!(is_cancelled(queued, CancelReason::Shutdown));
}

#[test]
fn a_drain_that_ends_in_time_cancels_nothing() {
    let pool = ThreadPool::new(2).unwrap();
    (0..100).for_each(|_| pool.execute(|| ()));
    for how in [
        Shutdown::drain().cancel_after(LONG).give_up_after(LONG),
        Shutdown::drain().cancel_after(Duration::MAX),
        Shutdown::drain().give_up_after(Duration::MAX),
    ] {
        let report = pool.shutdown(how).unwrap();
        assert_eq!(counts(&report), (100, 0, 0, 0, 0));
    }
}

#[test]
fn giving_up_names_what_still_runs() {
    let (pool, census) = watched(1);
    let (start, started) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    let line = line!() + 1;
    let deaf = pool.task().name("deaf").submit(move || {
        start.send(()).unwrap();
        let _ = wait.recv();
        millhand::is_cancelled()
    });
    must_recv(&started);
    let queued = pool.submit(|| ());
    let after = Duration::from_millis(10);
    let report = pool
        .shutdown(Shutdown::cancel().give_up_after(after))
        .unwrap();
    let [running] = report.still_running() else {
        panic!("one task runs: {report}")
    };
    assert_eq!(running.id, deaf.id());
    assert_eq!(running.name.as_deref(), Some("deaf"));
    assert_eq!((running.site.file(), running.site.line()), (file!(), line));
    assert!(running.to_string().ends_with("still runs"), "{running}");
    assert!(!report.is_clean());
    assert_eq!(counts(&report), (0, 0, 0, 1, 1));
    let text = report.to_string();
    assert!(
        text.contains("1 still running") && text.contains("`deaf`"),
        "{text}"
    );
    assert!(is_cancelled(queued, CancelReason::Shutdown));
    assert!(!deaf.is_finished());
    // Left to itself it ends when it likes, and the pool after it.
    drop(go);
    assert!(deaf.join().unwrap(), "it was asked to stop");
    census.wait_for(1, 0);
    let report = pool.shutdown(Shutdown::drain()).unwrap();
    assert_eq!(counts(&report), (1, 0, 0, 1, 1));
    assert!(report.still_running().is_empty());
}

#[test]
fn giving_up_a_drain_cancels_what_is_queued() {
    let pool = ThreadPool::new(1).unwrap();
    let held = hold(&pool, 1);
    let queued: Vec<_> = (0..10).map(|_| pool.submit(|| ())).collect();
    let report = pool
        .shutdown(Shutdown::drain().give_up_after(Duration::from_millis(5)))
        .unwrap();
    assert_eq!(report.still_running().len(), 1);
    assert_eq!(report.cancelled_by_shutdown(), 10);
    for handle in queued {
        assert!(is_cancelled(handle, CancelReason::Shutdown));
    }
    held.release();
}

#[test]
fn a_pool_that_was_given_up_is_dropped_once_its_body_returns() {
    let (pool, census) = watched(1);
    let held = hold(&pool, 1);
    let report = pool
        .shutdown(Shutdown::cancel().give_up_after(Duration::ZERO))
        .unwrap();
    assert_eq!(report.still_running().len(), 1);
    std::thread::scope(|s| {
        let dropping = s.spawn(|| drop(pool));
        held.release();
        dropping.join().unwrap();
    });
    // The drop does not wait for a body that the shutdown has given up.
    census.wait_for(1, 0);
}

#[test]
fn a_second_shutdown_reports_the_same() {
    let pool = ThreadPool::new(2).unwrap();
    (0..10).for_each(|_| pool.execute(|| ()));
    for how in [Shutdown::drain(), Shutdown::drain(), Shutdown::cancel()] {
        let report = pool.shutdown(how).unwrap();
        assert_eq!(counts(&report), (10, 0, 0, 0, 0));
    }
}

#[test]
fn threads_that_shut_down_at_once_both_come_back() {
    for round in 0..50 {
        let (pool, census) = watched(2);
        let handles: Vec<_> = (0..50).map(|n| pool.submit(move || n)).collect();
        let barrier = Barrier::new(3);
        let shut_down = |how: Shutdown| {
            barrier.wait();
            pool.shutdown(how).unwrap()
        };
        let reports: Vec<_> = std::thread::scope(|s| {
            let mut hows = vec![Shutdown::drain(), Shutdown::drain(), Shutdown::drain()];
            if round % 2 == 0 {
                hows[1] = Shutdown::cancel();
            }
            let callers: Vec<_> = hows
                .into_iter()
                .map(|how| s.spawn(|| shut_down(how)))
                .collect();
            callers.into_iter().map(|c| c.join().unwrap()).collect()
        });
        let outcomes = handles.into_iter().map(TaskHandle::join);
        let ok = outcomes.filter(Result::is_ok).count() as u64;
        for report in reports {
            assert_eq!(counts(&report), (ok, 0, 0, 50 - ok, 50 - ok));
        }
        assert!(ok == 50 || round % 2 == 0);
        assert_eq!(census.live(), 0);
    }
}

#[test]
fn no_shutdown_comes_back_before_the_threads_have_ended() {
    let (stop, stopping) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let pool = ThreadPool::builder()
        .workers(1)
        .on_worker_stop(move |_| {
            stop.send(()).unwrap();
            let _ = wait.lock().unwrap().recv();
        })
        .build()
        .unwrap();
    let released = AtomicBool::new(false);
    let (call, called) = mpsc::channel();
    std::thread::scope(|s| {
        let go = go;
        for _ in 0..3 {
            let (pool, released, call) = (&pool, &released, call.clone());
            s.spawn(move || {
                call.send(()).unwrap();
                pool.shutdown(Shutdown::drain()).unwrap();
                assert!(released.load(SeqCst), "a thread is there still");
            });
        }
        (0..3).for_each(|_| must_recv(&called));
        must_recv(&stopping);
        // Time for a wrong shutdown to come back; it decides nothing.
        let _ = stopping.recv_timeout(Duration::from_millis(10));
        released.store(true, SeqCst);
        drop(go);
    });
}

#[test]
fn a_cancel_breaks_into_another_thread_s_drain() {
    let pool = ThreadPool::new(1).unwrap();
    let held = hold(&pool, 1);
    let queued: Vec<_> = (0..10).map(|_| pool.submit(|| ())).collect();
    std::thread::scope(|s| {
        let held = held;
        let drain = s.spawn(|| pool.shutdown(Shutdown::drain()).unwrap());
        until_closed(&pool);
        assert!(queued.iter().all(|handle| !handle.is_finished()));
        let cancel = s.spawn(|| pool.shutdown(Shutdown::cancel()).unwrap());
        for handle in queued {
            assert!(is_cancelled(handle, CancelReason::Shutdown));
        }
        held.release();
        for caller in [drain, cancel] {
            assert_eq!(counts(&caller.join().unwrap()), (1, 0, 0, 10, 10));
        }
    });
}

#[test]
fn an_impatient_shutdown_beside_a_patient_one_comes_back_by_itself() {
    let pool = ThreadPool::new(1).unwrap();
    let held = hold(&pool, 1);
    std::thread::scope(|s| {
        let held = held;
        let patient = s.spawn(|| pool.shutdown(Shutdown::drain()).unwrap());
        until_closed(&pool);
        let how = Shutdown::drain().give_up_after(Duration::from_millis(5));
        assert_eq!(pool.shutdown(how).unwrap().still_running().len(), 1);
        held.release();
        assert!(patient.join().unwrap().still_running().is_empty());
    });
}

/// Says on which thread it was dropped, unless it ran before.
struct Spy {
    ran: bool,
    drops: Arc<Mutex<Vec<ThreadId>>>,
}

impl Spy {
    fn run(mut self) {
        self.ran = true;
    }
}

impl Drop for Spy {
    fn drop(&mut self) {
        if !self.ran {
            let here = std::thread::current().id();
            self.drops.lock().unwrap().push(here);
        }
    }
}

#[test]
fn queued_closures_of_a_cancelled_shutdown_are_dropped_on_the_caller_s_thread() {
    const QUEUED: usize = 20;
    let mut both_happened = (false, false);
    for _ in 0..200 {
        let pool = ThreadPool::new(2).unwrap();
        let held = hold(&pool, 2);
        let drops = Arc::new(Mutex::new(Vec::new()));
        let ran = Arc::new(AtomicUsize::new(0));
        for _ in 0..QUEUED {
            let (drops, ran) = (drops.clone(), ran.clone());
            let spy = Spy { ran: false, drops };
            pool.execute(move || {
                spy.run();
                ran.fetch_add(1, SeqCst);
            });
        }
        // The workers come free at the moment of the shutdown.
        let barrier = Barrier::new(2);
        std::thread::scope(|s| {
            s.spawn(|| {
                barrier.wait();
                held.release();
            });
            barrier.wait();
            pool.shutdown(Shutdown::cancel()).unwrap();
        });
        let (drops, ran) = (drops.lock().unwrap(), ran.load(SeqCst));
        assert_eq!(ran + drops.len(), QUEUED);
        let here = std::thread::current().id();
        assert!(drops.iter().all(|thread| *thread == here));
        both_happened.0 |= ran > 0;
        both_happened.1 |= !drops.is_empty();
    }
    // If nothing was ever cancelled the test has shown nothing. (That something ran is up to the scheduler.)
    assert!(both_happened.1, "{both_happened:?}");
}

#[test]
fn a_closure_that_is_dropped_by_a_shutdown_may_use_the_pool() {
    struct Last(millhand::PoolHandle, mpsc::Sender<Rejection>);
    impl Drop for Last {
        fn drop(&mut self) {
            let refused = self.0.try_submit(|| ()).unwrap_err();
            self.1.send(refused.reason()).unwrap();
            assert!(!format!("{:?}", self.0).is_empty());
        }
    }
    let pool = ThreadPool::new(1).unwrap();
    let held = hold(&pool, 1);
    let (tell, told) = mpsc::channel();
    let last = Last(pool.handle(), tell);
    pool.execute(move || drop(last));
    std::thread::scope(|s| {
        let held = held;
        s.spawn(|| pool.shutdown(Shutdown::cancel()).unwrap());
        assert_eq!(must_recv(&told), Rejection::Closed);
        held.release();
    });
}

/// What waits for the pool, dropped or called while a shutdown cancels, on the thread that shuts down.
fn a_wait_within_the_shutdown(plant: impl FnOnce(&Arc<ThreadPool>, Box<dyn FnOnce() + Send>)) {
    let pool = Arc::new(ThreadPool::new(1).unwrap());
    let held = hold(&pool, 1);
    let (tell, told) = mpsc::channel();
    let mine = Arc::downgrade(&pool);
    plant(
        &pool,
        Box::new(move || {
            let pool = mine.upgrade().unwrap();
            let _ = tell.send((pool.wait_idle(), pool.shutdown(Shutdown::drain()).is_ok()));
        }),
    );
    let (end, ended) = mpsc::channel();
    std::thread::spawn(move || {
        pool.shutdown(Shutdown::cancel()).unwrap();
        end.send(()).unwrap();
    });
    // It cannot wait for what waits for it.
    assert_eq!(must_recv(&told), (Err(PoolError::InsideTask), false));
    held.release();
    must_recv(&ended);
}

#[test]
fn a_callback_that_waits_for_the_pool_that_shuts_down_is_answered() {
    a_wait_within_the_shutdown(|pool, wait| {
        let queued = pool.submit(|| ());
        queued.on_finish(move |_| wait());
    });
}

#[test]
fn a_closure_whose_drop_waits_for_the_pool_that_shuts_down_is_answered() {
    struct Waits(Option<Box<dyn FnOnce() + Send>>);
    impl Drop for Waits {
        fn drop(&mut self) {
            self.0.take().unwrap()();
        }
    }
    a_wait_within_the_shutdown(|pool, wait| {
        let waits = Waits(Some(wait));
        pool.execute(move || drop(waits));
    });
}

#[test]
fn the_report_agrees_with_the_handles() {
    const SEED: u64 = 0x0DDB_1A5E_5BAD_5EED;
    silence();
    let mut rng = Rng(SEED);
    for round in 0..40 {
        let pool = ThreadPool::new(2).unwrap();
        let held = hold(&pool, 2);
        let handles: Vec<_> = (0..60)
            .map(|_| {
                let handle = match rng.below(4) {
                    0 => pool.task().fallible().submit(|| Err("failed")),
                    1 => pool.submit(|| panic!("{EXPECTED}")),
                    _ => pool.submit(|| Ok(())),
                };
                if rng.below(4) == 0 {
                    handle.cancel();
                }
                handle
            })
            .collect();
        let how = match rng.below(2) {
            0 => Shutdown::drain(),
            _ => Shutdown::cancel(),
        };
        let report = std::thread::scope(|s| {
            s.spawn(|| held.release());
            pool.shutdown(how).unwrap()
        });
        // Those that held the workers succeeded.
        let mut sums = (2, 0, 0, 0, 0);
        for handle in handles {
            match handle.try_join().expect("all have settled") {
                Ok(Ok(())) => sums.0 += 1,
                Ok(Err(_)) => sums.1 += 1,
                Err(TaskError::Panicked(_)) => sums.2 += 1,
                Err(TaskError::Cancelled(CancelReason::User)) => sums.3 += 1,
                Err(TaskError::Cancelled(CancelReason::Shutdown)) => {
                    sums.3 += 1;
                    sums.4 += 1;
                }
                Err(other) => panic!("it came out as {other}"),
            }
        }
        assert_eq!(counts(&report), sums, "seed {SEED:#x}, round {round}");
        assert_eq!(report.is_clean(), sums.4 == 0);
    }
}

#[test]
fn a_body_that_the_shutdown_interrupted_is_no_clean_end() {
    let pool = ThreadPool::new(2).unwrap();
    let both = Arc::new(Barrier::new(3));
    let here = both.clone();
    let at_a_checkpoint = pool.submit(move || {
        here.wait();
        loop {
            millhand::checkpoint();
        }
    });
    let here = both.clone();
    let with_an_error = pool.task().fallible().submit(move || {
        here.wait();
        while !millhand::is_cancelled() {
            std::hint::spin_loop();
        }
        Err::<(), _>("stopped")
    });
    both.wait();
    let report = pool.shutdown(Shutdown::cancel()).unwrap();
    assert_eq!(counts(&report), (0, 0, 0, 2, 2));
    assert!(!report.is_clean());
    assert!(at_a_checkpoint.join().is_err());
    assert!(with_an_error.join().is_err());
}

#[test]
fn a_body_that_was_asked_to_stop_and_has_its_value_is_a_clean_end() {
    let pool = ThreadPool::new(1).unwrap();
    let (began, begins) = mpsc::channel();
    let handle = pool.submit(move || {
        began.send(()).unwrap();
        while !millhand::is_cancelled() {
            std::hint::spin_loop();
        }
        7
    });
    begins.recv().unwrap();
    let report = pool.shutdown(Shutdown::cancel()).unwrap();
    assert_eq!(counts(&report), (1, 0, 0, 0, 0));
    assert!(report.is_clean());
    assert_eq!(handle.join().unwrap(), 7);
}

#[test]
fn the_callbacks_have_run_when_a_shutdown_comes_back() {
    silence();
    for how in [Shutdown::drain(), Shutdown::cancel()] {
        for _ in 0..30 {
            let pool = ThreadPool::new(2).unwrap();
            let held = hold(&pool, 2);
            let told = Arc::new(Mutex::new(Vec::new()));
            for n in 0..30 {
                let told = told.clone();
                let handle = pool.submit(move || assert!(n % 5 != 0, "{EXPECTED}"));
                handle.on_finish(move |summary| {
                    told.lock().unwrap().push((n, summary.outcome));
                });
            }
            let report = std::thread::scope(|s| {
                s.spawn(|| held.release());
                pool.shutdown(how.clone()).unwrap()
            });
            let mut told = told.lock().unwrap().clone();
            told.sort_unstable_by_key(|(n, _)| *n);
            assert!(told.iter().map(|(n, _)| *n).eq(0..30), "each once");
            let of = |kind| told.iter().filter(|(_, k)| *k == kind).count() as u64;
            assert_eq!(report.succeeded(), 2 + of(OutcomeKind::Succeeded));
            assert_eq!(report.panicked(), of(OutcomeKind::Panicked));
            assert_eq!(report.cancelled(), of(OutcomeKind::Cancelled));
        }
    }
}

#[test]
fn a_body_that_waits_for_a_queued_task_is_answered_by_a_cancelling_shutdown() {
    for _ in 0..50 {
        let pool = ThreadPool::new(1).unwrap();
        let (give, take) = mpsc::channel::<TaskHandle<()>>();
        let (start, started) = mpsc::channel();
        let waiting = pool.submit(move || {
            start.send(()).unwrap();
            take.recv().unwrap().join()
        });
        must_recv(&started);
        give.send(pool.submit(|| ())).unwrap();
        pool.shutdown(Shutdown::cancel()).unwrap();
        // It may have run before the shutdown came.
        let outcome = waiting.join().unwrap();
        assert!(
            matches!(
                outcome,
                Ok(())
                    | Err(TaskError::Cancelled(CancelReason::Shutdown) | TaskError::Interrupted(_))
            ),
            "{outcome:?}"
        );
    }
}

#[test]
fn an_idle_wait_beside_a_shutdown_comes_back() {
    for how in [Shutdown::drain(), Shutdown::cancel()] {
        for _ in 0..50 {
            let pool = ThreadPool::new(2).unwrap();
            let held: Held = hold(&pool, 1);
            (0..10).for_each(|_| pool.execute(|| ()));
            std::thread::scope(|s| {
                let held = held;
                let idle = s.spawn(|| pool.wait_idle_timeout(LONG));
                let shutdown = s.spawn(|| pool.shutdown(how.clone()).unwrap());
                held.release();
                assert_eq!(idle.join().unwrap(), Ok(true));
                shutdown.join().unwrap();
            });
            pool.wait_idle().unwrap();
        }
    }
}

#[test]
fn a_resize_beside_or_after_a_shutdown_leaves_no_thread() {
    for _ in 0..50 {
        let (pool, census) = watched(2);
        let stop = AtomicBool::new(false);
        std::thread::scope(|s| {
            s.spawn(|| {
                while !stop.load(SeqCst) {
                    pool.set_workers(4).unwrap();
                    pool.set_workers(1).unwrap();
                }
            });
            (0..20).for_each(|_| pool.execute(|| ()));
            let report = pool.shutdown(Shutdown::drain()).unwrap();
            stop.store(true, SeqCst);
            assert_eq!(report.succeeded(), 20);
        });
        pool.set_workers(3).unwrap();
        drop(pool);
        assert_eq!(census.live(), 0);
    }
}

#[test]
fn giving_up_does_not_wait_for_a_stop_hook() {
    let (let_go, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let (stop, stops) = mpsc::channel();
    let pool = ThreadPool::builder()
        .workers(1)
        .on_worker_stop(move |_| {
            stop.send(()).unwrap();
            let _ = held.lock().unwrap().recv();
        })
        .build()
        .unwrap();
    pool.submit(|| ()).join().unwrap();
    pool.wait_idle().unwrap();
    let how = Shutdown::drain().give_up_after(Duration::from_millis(20));
    let report = pool.shutdown(how).unwrap();
    assert_eq!(report.succeeded(), 1);
    assert!(report.is_clean(), "{report}");
    must_recv(&stops);
    // Neither does the drop of the pool.
    drop(pool);
    drop(let_go);
}
