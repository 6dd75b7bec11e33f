//! The life of a pool: it grows and shrinks, becomes idle, and is dropped wherever its owner happens to be.

use crate::stress::{EXPECTED, Rng, silence};
use crate::submit::hold;
use crate::support::{LONG, must_recv};
use millhand::cancel::{CancelGuard, CancelReason};
use millhand::error::{Deadlock, Rejection, Stopped, SubmitError, TaskPanic};
use millhand::pool::{
    BuildError, Current, Fallible, Plain, PoolBuilder, PoolError, RunningTask, ShutdownReport,
};
use millhand::task::{
    CancelOutcome, OnFinish, OutcomeKind, ParseTaskIdError, Promise, Summary, TaskId, TaskState,
};
use millhand::{
    CancelToken, JoinError, OnFull, PoolHandle, SharedHandle, Shutdown, TaskBuilder, TaskError,
    TaskHandle, ThreadPool,
};
use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::{Duration, Instant};

/// Counts the threads of a pool, by its hooks.
#[derive(Clone)]
pub(crate) struct Census {
    shared: Arc<(Mutex<Counts>, Condvar)>,
}

#[derive(Default)]
struct Counts {
    started: usize,
    stopped: usize,
    most: usize,
}

impl Census {
    pub(crate) fn new() -> Self {
        Self {
            shared: Arc::default(),
        }
    }

    /// Sets the hooks.
    pub(crate) fn watch(&self, builder: PoolBuilder) -> PoolBuilder {
        let (up, down) = (self.shared.clone(), self.shared.clone());
        builder
            .on_worker_start(move |_| {
                let mut counts = up.0.lock().unwrap();
                counts.started += 1;
                counts.most = counts.most.max(counts.started - counts.stopped);
                up.1.notify_all();
            })
            .on_worker_stop(move |_| {
                down.0.lock().unwrap().stopped += 1;
                down.1.notify_all();
            })
    }

    pub(crate) fn started(&self) -> usize {
        self.shared.0.lock().unwrap().started
    }

    pub(crate) fn live(&self) -> usize {
        let counts = self.shared.0.lock().unwrap();
        counts.started - counts.stopped
    }

    /// Waits until so many threads have ever started and so many live now.
    pub(crate) fn wait_for(&self, started: usize, live: usize) {
        let (counts, changed) = &*self.shared;
        let (counts, late) = changed
            .wait_timeout_while(counts.lock().unwrap(), LONG, |counts| {
                counts.started < started || counts.started - counts.stopped != live
            })
            .unwrap();
        assert!(
            !late.timed_out(),
            "{} of {} have stopped",
            counts.stopped,
            counts.started
        );
    }
}

/// A pool of which the threads are counted.
pub(crate) fn watched(workers: usize) -> (ThreadPool, Census) {
    let census = Census::new();
    let builder = census.watch(ThreadPool::builder()).workers(workers);
    (builder.build().unwrap(), census)
}

/// Waits until the pool has so many threads: those that are too many are on their way out.
fn has_threads(pool: &ThreadPool, threads: usize) {
    let begun = Instant::now();
    while pool.threads() != threads {
        assert!(begun.elapsed() < LONG, "{pool:?} instead of {threads}");
        std::thread::yield_now();
    }
}

#[test]
fn a_pool_grows_and_shrinks_and_its_threads_come_and_go() {
    let (pool, census) = watched(2);
    census.wait_for(2, 2);
    assert_eq!(pool.set_workers(6).unwrap(), 6);
    assert_eq!((pool.workers(), pool.threads()), (6, 6));
    census.wait_for(6, 6);
    assert_eq!(pool.set_workers(1).unwrap(), 1);
    census.wait_for(6, 1);
    assert_eq!((pool.workers(), pool.threads()), (1, 1));
    assert_eq!(pool.set_workers(3).unwrap(), 3);
    census.wait_for(8, 3);
    assert_eq!(pool.submit(|| 1).join().unwrap(), 1);
    drop(pool);
    assert_eq!((census.started(), census.live()), (8, 0));
}

#[test]
fn a_number_of_workers_out_of_range_changes_nothing() {
    let pool = ThreadPool::new(2).unwrap();
    for workers in [0, 65_537, usize::MAX] {
        let error = pool.set_workers(workers).unwrap_err();
        assert!(matches!(error, BuildError::Invalid { .. }));
        assert_eq!(
            error.to_string(),
            "the pool's `workers` is not allowed: it must be from 1 to 65,536"
        );
    }
    assert_eq!((pool.workers(), pool.threads()), (2, 2));
}

#[test]
fn a_busy_worker_that_is_one_too_many_leaves_after_its_task() {
    let (pool, census) = watched(3);
    let mut held = hold(&pool, 3);
    let queued: Vec<_> = (0..20).map(|n| pool.submit(move || n)).collect();
    assert_eq!(pool.set_workers(1).unwrap(), 1);
    assert_eq!(census.live(), 3, "no body is taken off its thread");
    held.release_one();
    census.wait_for(3, 2);
    held.release_one();
    census.wait_for(3, 1);
    assert!(queued.iter().all(|handle| !handle.is_finished()));
    held.release();
    for (n, handle) in queued.into_iter().enumerate() {
        assert_eq!(handle.join().unwrap(), n);
    }
    assert_eq!(census.live(), 1);
}

#[test]
fn a_grown_pool_runs_as_many_tasks_at_once() {
    let pool = ThreadPool::new(1).unwrap();
    let first = hold(&pool, 1);
    pool.set_workers(4).unwrap();
    // Comes back only when three more bodies run at the same time as the first.
    let others = hold(&pool, 3);
    others.release();
    first.release();
}

#[test]
fn a_pool_that_is_resized_under_load_loses_no_task() {
    const SEED: u64 = 0x5DEE_CE66_D1CE_5EED;
    const PRODUCERS: u64 = 4;
    const EACH: u64 = 500;
    for capacity in [None, Some(8)] {
        let census = Census::new();
        let mut builder = census.watch(ThreadPool::builder()).workers(3);
        if let Some(capacity) = capacity {
            builder = builder.queue_capacity(capacity);
        }
        let pool = builder.build().unwrap();
        let ran = Arc::new(AtomicUsize::new(0));
        let producing = AtomicUsize::new(PRODUCERS as usize);
        std::thread::scope(|s| {
            for producer in 0..PRODUCERS {
                let (pool, ran, producing) = (&pool, &ran, &producing);
                s.spawn(move || {
                    let mut handles = Vec::new();
                    for n in 0..EACH {
                        let ran = ran.clone();
                        handles.push(pool.submit(move || {
                            // Some wait for others: the pool has spares while it is resized.
                            let value = if n % 50 == 0 {
                                let inner = millhand::current().unwrap().pool().submit(move || n);
                                inner.join_timeout(LONG).unwrap().unwrap()
                            } else {
                                n
                            };
                            ran.fetch_add(1, SeqCst);
                            value
                        }));
                    }
                    producing.fetch_sub(1, SeqCst);
                    for (n, handle) in (0..).zip(handles) {
                        let outcome = handle.join_timeout(LONG).expect("it is not lost");
                        assert_eq!(outcome.unwrap(), n, "seed {SEED:#x}, producer {producer}");
                    }
                });
            }
            let mut rng = Rng(SEED);
            while producing.load(SeqCst) > 0 {
                let workers = 1 + rng.below(6) as usize;
                assert_eq!(pool.set_workers(workers).unwrap(), workers);
                std::thread::yield_now();
            }
        });
        assert_eq!(ran.load(SeqCst) as u64, PRODUCERS * EACH);
        pool.set_workers(2).unwrap();
        has_threads(&pool, 2);
        drop(pool);
        assert_eq!(census.live(), 0);
    }
}

#[test]
fn resizes_from_several_threads_end_at_one_of_their_numbers() {
    let (pool, census) = watched(1);
    std::thread::scope(|s| {
        for mine in [2, 3, 4] {
            let pool = &pool;
            s.spawn(move || {
                for _ in 0..20 {
                    pool.set_workers(mine).unwrap();
                }
            });
        }
    });
    let workers = pool.workers();
    assert!((2..=4).contains(&workers));
    has_threads(&pool, workers);
    drop(pool);
    assert_eq!(census.live(), 0);
}

#[test]
fn any_number_of_threads_wait_for_idleness_at_once() {
    let pool = ThreadPool::new(2).unwrap();
    for _ in 0..20 {
        let held = hold(&pool, 2);
        let queued = pool.submit(|| ());
        let released = AtomicBool::new(false);
        let (call, called) = mpsc::channel();
        std::thread::scope(|s| {
            let held = held;
            for n in 0..8 {
                let (pool, released, queued, call) = (&pool, &released, &queued, call.clone());
                s.spawn(move || {
                    call.send(()).unwrap();
                    if n % 2 == 0 {
                        pool.wait_idle().unwrap();
                    } else {
                        assert_eq!(pool.wait_idle_timeout(LONG), Ok(true));
                    }
                    assert!(released.load(SeqCst), "it was not idle yet");
                    assert!(queued.is_finished());
                });
            }
            (0..8).for_each(|_| must_recv(&called));
            released.store(true, SeqCst);
            held.release();
        });
    }
}

#[test]
fn waiting_for_idleness_ends_in_the_time_given() {
    let pool = ThreadPool::new(1).unwrap();
    assert_eq!(pool.wait_idle_timeout(Duration::ZERO), Ok(true), "it is");
    let held = hold(&pool, 1);
    let timeout = Duration::from_millis(5);
    let begun = Instant::now();
    assert_eq!(pool.wait_idle_timeout(timeout), Ok(false));
    assert!(begun.elapsed() >= timeout);
    // One that gives up takes nothing from one that stays.
    std::thread::scope(|s| {
        let held = held;
        let staying = s.spawn(|| pool.wait_idle_timeout(Duration::MAX));
        assert_eq!(pool.wait_idle_timeout(timeout), Ok(false));
        held.release();
        assert_eq!(staying.join().unwrap(), Ok(true));
    });
}

#[test]
fn idle_means_that_what_tasks_submitted_has_run_too() {
    let pool = ThreadPool::new(2).unwrap();
    for _ in 0..50 {
        let ran = Arc::new(AtomicUsize::new(0));
        fn spread(ran: Arc<AtomicUsize>, depth: u32) {
            if depth > 0 {
                for _ in 0..2 {
                    let ran = ran.clone();
                    let pool = millhand::current().unwrap().pool();
                    pool.execute(move || spread(ran, depth - 1));
                }
            }
            ran.fetch_add(1, SeqCst);
        }
        let root = ran.clone();
        pool.execute(move || spread(root, 4));
        pool.wait_idle().unwrap();
        assert_eq!(ran.load(SeqCst), 31);
    }
}

#[test]
fn idle_means_that_cancelled_tasks_are_out_of_the_queue() {
    let pool = ThreadPool::new(1).unwrap();
    let held = hold(&pool, 1);
    let handles: Vec<_> = (0..100).map(|_| pool.submit(|| ())).collect();
    for handle in &handles {
        assert_eq!(handle.cancel(), CancelOutcome::Settled);
    }
    held.release();
    pool.wait_idle().unwrap();
    assert_eq!(pool.queued(), 0);
}

#[test]
fn waiting_for_its_own_pool_is_an_error_inside_a_task() {
    let pool = Arc::new(ThreadPool::new(1).unwrap());
    let inside = pool.clone();
    let handle = pool.submit(move || {
        assert_eq!(inside.wait_idle(), Err(PoolError::InsideTask));
        let waited = inside.wait_idle_timeout(LONG);
        assert_eq!(waited, Err(PoolError::InsideTask));
        for how in [Shutdown::drain(), Shutdown::cancel()] {
            let error = inside.shutdown(how).unwrap_err();
            assert_eq!(error, PoolError::InsideTask);
        }
        // Not even where the seat is given up.
        let waited = millhand::blocking(|| inside.wait_idle());
        assert_eq!(waited, Err(PoolError::InsideTask));
        inside.is_closed()
    });
    assert!(
        !handle.join().unwrap(),
        "the refused shutdown changed nothing"
    );
    assert_eq!(pool.submit(|| 1).join().unwrap(), 1);
}

#[test]
fn a_task_waits_for_and_shuts_down_another_pool() {
    let pool = ThreadPool::new(1).unwrap();
    let other = ThreadPool::new(1).unwrap();
    let handle = pool.submit(move || {
        let counted = (0..10).map(|n| other.submit(move || n)).collect::<Vec<_>>();
        other.wait_idle().unwrap();
        assert!(counted.iter().all(TaskHandle::is_finished));
        other.shutdown(Shutdown::drain()).unwrap().succeeded()
    });
    assert_eq!(handle.join().unwrap(), 10);
}

#[test]
fn dropping_the_owner_drains_and_joins() {
    for _ in 0..20 {
        let (pool, census) = watched(3);
        let ran = Arc::new(AtomicUsize::new(0));
        for _ in 0..100 {
            let ran = ran.clone();
            pool.execute(move || {
                let pool = millhand::current().unwrap().pool();
                pool.execute(move || {
                    ran.fetch_add(1, SeqCst);
                });
            });
        }
        drop(pool);
        assert_eq!(ran.load(SeqCst), 100);
        assert_eq!(census.live(), 0);
    }
}

/// Gives `owner` to a task of the pool and lets it go there as `let_go` says, with tasks queued behind. They all run,
/// and all threads leave.
fn dropped_inside(let_go: impl FnOnce(ThreadPool) + Send + 'static) {
    silence();
    let (pool, census) = watched(2);
    let weak = pool.handle();
    let (give, take) = mpsc::channel::<ThreadPool>();
    // The receiver is what the body takes the pool from: it is nobody's while it is on its way.
    pool.execute(move || let_go(take.recv().unwrap()));
    let held = hold(&pool, 1);
    let queued: Vec<_> = (0..50)
        .map(|n| {
            pool.submit(move || {
                let pool = millhand::current().unwrap().pool();
                (n, pool.submit(move || n))
            })
        })
        .collect();
    give.send(pool).unwrap();
    held.release();
    for (n, handle) in queued.into_iter().enumerate() {
        let (own, child) = handle.join_timeout(LONG).unwrap().unwrap();
        let child = child.join_timeout(LONG).unwrap().unwrap();
        assert_eq!((own, child), (n, n));
    }
    census.wait_for(2, 0);
    assert!(weak.is_closed());
    let refused = weak.try_submit(|| ()).unwrap_err();
    assert_eq!(refused.reason(), Rejection::Closed);
}

#[test]
fn the_owner_dropped_on_its_own_worker_does_not_hang() {
    dropped_inside(drop);
}

#[test]
fn the_owner_dropped_by_a_panic_on_its_own_worker_does_not_hang() {
    dropped_inside(|pool| {
        let _pool = pool;
        panic!("{EXPECTED}");
    });
}

#[test]
fn the_owner_dropped_on_its_own_worker_where_the_seat_is_given_up_does_not_hang() {
    dropped_inside(|pool| millhand::blocking(|| drop(pool)));
}

#[test]
fn the_owner_dropped_in_a_task_that_runs_on_its_waiter_s_stack_does_not_hang() {
    dropped_inside(|pool| {
        let inner = pool.handle().submit(move || drop(pool));
        inner.join().unwrap();
    });
}

#[test]
fn the_owner_dropped_with_the_value_that_nobody_wants_does_not_hang() {
    let (pool, census) = watched(1);
    let (give, take) = mpsc::channel::<ThreadPool>();
    drop(pool.submit(move || take.recv().unwrap()));
    give.send(pool).unwrap();
    census.wait_for(1, 0);
}

#[test]
fn the_last_arc_dropped_inside_a_task_does_not_hang() {
    for _ in 0..20 {
        let (pool, census) = watched(2);
        let pool = Arc::new(pool);
        let ran = Arc::new(AtomicUsize::new(0));
        for _ in 0..10 {
            // Any of these may be the last.
            let (mine, ran) = (pool.clone(), ran.clone());
            pool.execute(move || {
                ran.fetch_add(1, SeqCst);
                drop(mine);
            });
        }
        drop(pool);
        census.wait_for(2, 0);
        assert_eq!(ran.load(SeqCst), 10);
    }
}

#[test]
fn the_owner_in_a_closure_that_is_cancelled_is_dropped_there_and_drains() {
    let (pool, census) = watched(2);
    let (tell, told) = mpsc::channel();
    let pool = Arc::new(pool);
    let held = hold(&pool, 2);
    let mine = pool.clone();
    let holder = pool.submit(move || drop(mine));
    pool.execute(move || tell.send(()).unwrap());
    // Only the queued closure has it now, and the cancel drops that.
    let weak = pool.handle();
    drop(pool);
    std::thread::scope(|s| {
        let held = held;
        let cancel = s.spawn(|| holder.cancel());
        while !weak.is_closed() {
            std::thread::yield_now();
        }
        held.release();
        assert_eq!(cancel.join().unwrap(), CancelOutcome::Settled);
    });
    must_recv(&told);
    assert_eq!(census.live(), 0, "the drop joined them");
}

#[test]
fn a_weak_reference_outlives_its_pool() {
    let pool = ThreadPool::new(1).unwrap();
    let weak = pool.handle();
    let task = weak.task().name("late");
    assert!(!weak.is_closed());
    drop(pool);
    assert!(weak.is_closed());
    let why = |refused: Option<Rejection>| assert_eq!(refused, Some(Rejection::Closed));
    why(weak.try_submit(|| ()).err().map(|e| e.reason()));
    why(weak.try_execute(|| ()).err().map(|e| e.reason()));
    weak.execute(|| ()); // The refusal is logged.
    why(task.try_submit(|| ()).err().map(|e| e.reason()));
    let refused = task.clone().fallible().submit(|| Ok::<_, &str>(()));
    assert!(matches!(
        refused.join(),
        Err(TaskError::Rejected(Rejection::Closed))
    ));
    assert!(!format!("{weak:?} {task:?}").is_empty());
}

#[test]
fn pools_that_are_made_and_dropped_leave_nothing_behind() {
    let census = Census::new();
    for workers in 1..=50 {
        let builder = census.watch(ThreadPool::builder()).workers(workers % 4 + 1);
        let pool = builder.build().unwrap();
        pool.execute(|| ());
    }
    assert_eq!(census.live(), 0);
}

fn shows(what: &dyn Debug) {
    assert!(!format!("{what:?} {what:#?}").is_empty());
}

#[test]
fn all_can_be_printed_at_any_time() {
    silence();
    let pool = Arc::new(
        ThreadPool::builder()
            .workers(2)
            .queue_capacity(8)
            .build()
            .unwrap(),
    );
    shows(&ThreadPool::builder().on_worker_start(|_| ()));
    shows(&[OnFull::Block, OnFull::Reject]);
    let token = CancelToken::with_timeout(LONG);
    let task = pool.task().name("printed").token(&token);
    let print_pool = {
        let (pool, task) = (pool.clone(), task.clone());
        move || {
            shows(&pool);
            shows(&pool.handle());
            shows(&task);
            shows(&task.clone().fallible());
        }
    };
    print_pool();
    let held = hold(&pool, 2);
    let handle = task.submit(|| 1);
    let finish = handle.on_finish(|summary| shows(summary));
    let guard = token.on_cancel(|_| ());
    shows(&handle);
    shows(&finish);
    shows(&token);
    shows(&guard);
    print_pool();
    held.release();
    let inside = print_pool.clone();
    let current = pool.submit(move || {
        shows(&millhand::current().unwrap());
        inside();
        millhand::blocking(inside);
    });
    current.join().unwrap();
    handle.wait().unwrap();
    shows(&handle);
    let shared = handle.share();
    shows(&shared);
    shows(shared.join());
    shows(&shared.id());
    shows(&shared.state());
    shows(&shared.cancel());
    let (promise, promised) = millhand::promise::<()>();
    shows(&promise);
    shows(&promised);
    drop(promise);
    shows(&promised.join());
    let panicked = pool.submit(|| -> Result<(), ()> { panic!("{EXPECTED}") });
    shows(&panicked.join_ok());
    let alone = pool.submit(|| millhand::current().map(|me| format!("{me:?}")));
    assert!(alone.join().unwrap().is_some());
    shows(&pool.set_workers(0));
    shows(&"x".parse::<TaskId>());
    shows(&pool.submit(millhand::check).join());
    let report = pool.shutdown(Shutdown::drain()).unwrap();
    shows(&report);
    shows(&Shutdown::drain().cancel_after(LONG).give_up_after(LONG));
    shows(&pool.try_submit(|| ()));
    print_pool();
}

fn send<T: Send>() {}
fn sync<T: Sync>() {}
fn both<T: Send + Sync>() {}

/// It is enough that this compiles.
#[test]
fn what_crosses_threads_may() {
    both::<ThreadPool>();
    both::<PoolHandle>();
    both::<millhand::Pool>();
    both::<PoolBuilder>();
    both::<TaskBuilder<Plain>>();
    both::<TaskBuilder<Fallible>>();
    both::<Shutdown>();
    both::<ShutdownReport>();
    both::<RunningTask>();
    both::<OnFull>();
    both::<TaskHandle<u8>>();
    // A handle may cross and be shared though its value may only cross.
    both::<TaskHandle<std::cell::Cell<u8>>>();
    both::<SharedHandle<u8>>();
    send::<Promise<std::cell::Cell<u8>>>();
    sync::<Promise<u8>>();
    both::<OnFinish>();
    both::<Summary>();
    both::<OutcomeKind>();
    both::<TaskState>();
    both::<CancelOutcome>();
    both::<CancelReason>();
    both::<CancelToken>();
    both::<CancelGuard>();
    both::<Current>();
    both::<Stopped>();
    both::<TaskId>();
    both::<ParseTaskIdError>();
    both::<TaskError>();
    both::<TaskPanic>();
    both::<Deadlock>();
    both::<JoinError<TaskError>>();
    both::<Rejection>();
    both::<SubmitError<fn()>>();
    both::<BuildError>();
    both::<PoolError>();
    assert!(size_of::<TaskError>() <= 16);
}
