//! The live table: each state with what it waits for, finding and cancelling by id, progress, and the dump.

use crate::allocations::Meter;
use crate::handle::keep_busy;
use crate::support::{LONG, must_recv};
use millhand::observe::{TaskInfo, WaitsFor, WorkerState};
use millhand::task::{CancelOutcome, TaskState};
use millhand::testing::ManualClock;
use millhand::{Retry, Semaphore, Shutdown, ThreadPool};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc;
use std::time::Duration;

fn pool() -> (ThreadPool, ManualClock) {
    let clock = ManualClock::new();
    let pool = ThreadPool::builder().workers(1).clock(&clock).build();
    (pool.unwrap(), clock)
}

#[test]
fn each_state_is_shown_with_what_the_task_waits_for() {
    let (pool, clock) = pool();
    let second = Duration::from_secs(1);
    let one = Semaphore::new(1).unwrap();
    let taken = one.acquire().unwrap();
    let gated = pool.task().name("gated").gate(&one).submit(|| ());
    while pool.stats().gated == 0 {
        std::thread::yield_now();
    }
    let retry = Retry::fixed(1, 3 * second);
    let mut attempts = 0;
    let retried = pool.task().name("retried").retry(retry).submit(move || {
        attempts += 1;
        if attempts == 1 { Err("no") } else { Ok(()) }
    });
    while !matches!(retried.state(), TaskState::Retrying { .. }) {
        std::thread::yield_now();
    }
    let delayed = pool.task().name("delayed").delay(5 * second).submit(|| ());
    let busy = pool.task().name("busy").submit(keep());
    let first = pool.task().name("first").submit(|| ());
    let queued = pool.task().name("queued").submit(|| ());
    let waiting = first.map(|()| ());
    while busy.state() != TaskState::Running {
        std::thread::yield_now();
    }
    clock.advance(second);
    let find = |id| -> TaskInfo { pool.find(id).unwrap() };
    let age = |info: &TaskInfo| info.age.map(|age| (age.at_least, age.is_exact));

    let info = find(gated.id());
    assert_eq!(info.state, TaskState::Gated);
    let [
        WaitsFor::Gate {
            kind, waiting: 1, ..
        },
    ] = info.waits_for[..]
    else {
        panic!("{info:?}")
    };
    assert_eq!(kind, "semaphore");
    assert_eq!(age(&info), Some((second, true)));

    let info = find(retried.id());
    assert!(matches!(info.state, TaskState::Retrying { attempt: 2, .. }));
    assert_eq!(info.attempt, 1);
    assert_eq!(info.waits_for, [WaitsFor::Time(2 * second)]);
    assert_eq!(age(&info), Some((second, true)));

    let info = find(delayed.id());
    assert!(matches!(info.state, TaskState::Delayed { .. }));
    assert_eq!(info.waits_for, [WaitsFor::Time(4 * second)]);

    let info = find(busy.id());
    assert_eq!((info.state, info.worker), (TaskState::Running, Some(0)));
    assert_eq!(age(&info), Some((second, true)));
    assert_eq!(info.site.file(), file!());

    let info = find(queued.id());
    assert_eq!(
        (info.state, &info.waits_for[..]),
        (TaskState::Queued, &[WaitsFor::Worker][..])
    );
    assert_eq!(age(&info), Some((second, true)));

    let info = find(waiting.id());
    assert_eq!(info.state, TaskState::Waiting);
    assert!(matches!(info.waits_for[..], [WaitsFor::Task(_)]));

    let table = pool.tasks();
    let names: Vec<_> = table
        .rows()
        .iter()
        .filter_map(|row| row.name.as_deref())
        .collect();
    assert_eq!(
        names,
        ["busy", "gated", "retried", "delayed", "first", "queued"]
    );
    assert_eq!((table.rows().len(), table.unlisted()), (7, 0));
    let text = table.to_string();
    for part in [
        "worker 0 is busy: task",
        "`busy`",
        "is at a gate, for 1.0s, waits for semaphore",
        "waits for its next attempt, for 1.0s, waits for 2.0s more",
        "is delayed, waits for 4.0s more",
        "is queued, for 1.0s, waits for a worker",
        "waits for others, waits for task",
        "live_tasks.rs:",
    ] {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }
    drop(taken);
    pool.shutdown(Shutdown::cancel()).unwrap();
    assert!(pool.tasks().rows().is_empty(), "{}", pool.tasks());
}

/// A body that goes on until it is asked to stop.
fn keep() -> impl FnOnce() + Send + 'static {
    || {
        while !millhand::is_cancelled() {
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_task_is_cancelled_by_its_id_wherever_it_is() {
    let (pool, _clock) = pool();
    let delayed = pool.task().delay(LONG).submit(|| ());
    assert_eq!(pool.cancel(delayed.id()), Some(CancelOutcome::Settled));
    assert!(delayed.join().unwrap_err().is_cancelled());
    let running = pool.submit(keep());
    let id = running.id();
    while running.state() != TaskState::Running {
        std::thread::yield_now();
    }
    let next = pool.submit(|| ());
    let last = next.map(|()| ());
    assert_eq!(pool.cancel(last.id()), Some(CancelOutcome::Settled));
    assert!(pool.find(last.id()).is_none());
    assert_eq!(pool.cancel(id), Some(CancelOutcome::Requested));
    running.join().unwrap();
    pool.wait_idle().unwrap();
    assert_eq!(pool.cancel(id), None);
}

#[test]
fn a_plain_queued_task_is_a_number_unless_the_pool_tracks_its_queue() {
    for tracks in [false, true] {
        let pool = ThreadPool::builder().workers(1).track_queue(tracks);
        let pool = pool.build().unwrap();
        let busy = keep_busy(&pool);
        let plain = pool.submit(|| ());
        pool.execute(|| ());
        let table = pool.tasks();
        let rows = table
            .rows()
            .iter()
            .filter(|row| row.state == TaskState::Queued);
        let expected = if tracks { (2, 0) } else { (0, 2) };
        assert_eq!((rows.count(), table.unlisted()), expected);
        assert_eq!(pool.find(plain.id()).is_some(), tracks);
        drop(busy);
        plain.join().unwrap();
    }
}

#[test]
fn a_body_says_how_far_it_has_come() {
    let pool = ThreadPool::new(1).unwrap();
    let (tell, told) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    let import = pool.submit(move || {
        millhand::current().unwrap().set_progress(3, 10);
        tell.send(()).unwrap();
        let _ = wait.recv();
    });
    must_recv(&told);
    let info = pool.find(import.id()).unwrap();
    assert_eq!(info.progress, Some((3, 10)));
    assert!(info.to_string().contains("3 of 10 done"), "{info}");
    drop(go);
    import.join().unwrap();
}

#[test]
fn workers_are_shown_with_all_that_is_on_their_stacks() {
    let pool = ThreadPool::new(1).unwrap();
    let (tell, told) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    let outer = pool.task().name("outer").submit(move || {
        let pool = millhand::current().unwrap().pool();
        let inner = pool.submit(move || {
            tell.send(()).unwrap();
            let _ = wait.recv();
        });
        inner.join().unwrap();
    });
    must_recv(&told);
    let table = pool.tasks();
    let busy = table.workers().iter().filter(|one| !one.tasks.is_empty());
    let on_stacks: usize = busy.map(|one| one.tasks.len()).sum();
    assert_eq!(on_stacks, 2, "{table}");
    assert_eq!(pool.stats().running, 2);
    drop(go);
    outer.join().unwrap();
    pool.wait_idle().unwrap();
    let table = pool.tasks();
    assert!(
        table
            .workers()
            .iter()
            .all(|one| one.state == WorkerState::Idle),
        "{table}"
    );
}

#[test]
fn a_plain_task_without_a_handle_is_shown_by_its_site() {
    let pool = ThreadPool::new(1).unwrap();
    let busy = keep_busy(&pool);
    let table = pool.tasks();
    let [row] = table.rows() else {
        panic!("{table}")
    };
    assert_eq!(
        (row.id, row.state, row.worker),
        (None, TaskState::Running, Some(0))
    );
    assert!(row.site.file().ends_with("handle.rs"));
    assert_eq!(row.age, None, "nothing has measured it");
    drop(busy);
}

#[test]
fn a_hung_body_is_on_its_worker_and_its_task_is_no_row() {
    let (pool, clock) = pool();
    let (go, wait) = mpsc::channel::<()>();
    let (tell, told) = mpsc::channel();
    let task = pool
        .task()
        .name("hung")
        .total_timeout(Duration::from_secs(1));
    let hung = task.submit(move || {
        tell.send(()).unwrap();
        let _ = wait.recv();
    });
    must_recv(&told);
    let id = hung.id();
    clock.advance(Duration::from_secs(1));
    hung.join().unwrap_err();
    let table = pool.tasks();
    assert!(
        table.rows().is_empty() && pool.find(id).is_none(),
        "{table}"
    );
    assert!(table.to_string().contains("`hung`"), "{table}");
    drop(go);
}

#[test]
fn no_task_is_named_that_had_settled_before() {
    let pool = ThreadPool::builder()
        .workers(2)
        .track_queue(true)
        .build()
        .unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    std::thread::scope(|s| {
        let load = s.spawn(|| {
            while !is_over.load(SeqCst) {
                let handles: Vec<_> = (0..20).map(|_| pool.submit(|| ())).collect();
                handles
                    .into_iter()
                    .for_each(|handle| handle.join().unwrap());
            }
        });
        for n in 0..300 {
            let handle = match n % 3 {
                0 => pool.submit(|| ()),
                1 => pool.task().name("named").submit(|| ()),
                _ => pool.task().delay(LONG).submit(|| ()),
            };
            let id = handle.id();
            if n % 3 == 2 {
                handle.cancel();
            }
            let _ = handle.join();
            let table = pool.tasks();
            assert!(table.rows().iter().all(|row| row.id != Some(id)), "{table}");
            assert!(pool.find(id).is_none());
        }
        is_over.store(true, SeqCst);
        load.join().unwrap();
    });
}

#[test]
fn the_list_of_live_tasks_kept_the_memory_of_those_that_were_gone() {
    let meter = Meter::new();
    let pool = ThreadPool::builder()
        .workers(1)
        .on_worker_start(move |_| meter.watch_this_thread())
        .build()
        .unwrap();
    meter.watch_this_thread();
    let named = pool.task().name("named");
    let round = || {
        let busy = keep_busy(&pool);
        (0..2_000).for_each(|_| named.execute(|| ()));
        drop(busy);
        pool.wait_idle().unwrap();
    };
    round();
    let before = meter.bytes();
    (0..10).for_each(|_| round());
    let left = meter.bytes() - before;
    meter.leave_this_thread();
    assert!(left < 20_000, "{left} bytes are left, of 20,000 tasks");
    assert!(pool.tasks().rows().is_empty());
}
