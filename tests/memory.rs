//! Memory follows what waits: nothing that is over is kept, however much there was of it.
//!
//! A binary of its own, whose allocator counts the live bytes of the whole process. One test runs
//! at a time, and begins when nothing is left of the one before.
#![allow(unsafe_code)]

use millhand::task::{CancelOutcome, TaskState};
use millhand::testing::ManualClock;
use millhand::{
    CancelToken, OnFull, RateLimiter, Retry, TaskBuilder, TaskHandle, ThreadPool, current, join_all,
};
use parking_lot::{Mutex, MutexGuard};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering::SeqCst};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

static LIVE: AtomicIsize = AtomicIsize::new(0);

// SAFETY: every call is passed on to the system's allocator as it came; counting touches an atomic
// alone.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size() as isize, SeqCst);
        // SAFETY: the caller's promise about the layout is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as isize, SeqCst);
        // SAFETY: the caller's promises about the block and its layout are passed on.
        unsafe { System.dealloc(block, layout) }
    }
}

fn live() -> isize {
    LIVE.load(SeqCst)
}

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Keeps other tests out until it is dropped, and until nothing is left of its own.
struct Alone {
    before: isize,
    _guard: MutexGuard<'static, ()>,
}

fn alone() -> Alone {
    let _guard = ONE_AT_A_TIME.lock();
    Alone {
        before: live(),
        _guard,
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        if !thread::panicking() {
            await_live(self.before + NOISE);
        }
    }
}

const HOUR: Duration = Duration::from_secs(3600);
const SECOND: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(120);

/// What the allocations of the pool itself may differ by: blocks of channels, and the room that
/// lists keep when they are empty. That is 41 kB of a side queue, 70 kB of the maps of live tasks,
/// and up to 63 dead entries of the timer, of 0.7 kB each with their tasks.
const NOISE: isize = 200_000;

const FEW: usize = 3_000;

/// `grown` is how many live bytes there are more, with the pool as it is then, after so many
/// operations: the same after ten times as many. It may wait until there are at most as many as its
/// second argument.
#[track_caller]
fn assert_flat(mut grown: impl FnMut(usize, isize) -> isize) {
    grown(FEW, isize::MAX);
    // Less than nothing if the room that was kept before is given back in the middle.
    let few = grown(FEW, isize::MAX).max(0);
    let many = grown(10 * FEW, few + NOISE);
    assert!(
        many - few < NOISE,
        "{few} bytes after {FEW} operations, {many} after ten times as many"
    );
}

/// Waits until the live bytes are at most so many.
#[track_caller]
fn await_live(most: isize) {
    let begun = Instant::now();
    while live() > most {
        assert!(begun.elapsed() < LONG, "{} bytes too many", live() - most);
        thread::yield_now();
    }
}

fn one_worker() -> ThreadPool {
    ThreadPool::new(1).unwrap()
}

/// Measures inside of a body, while the only worker is busy with that body.
#[track_caller]
fn assert_flat_in_a_body(step: fn(usize)) {
    let _alone = alone();
    let pool = one_worker();
    assert_flat(|n, _| {
        let body = pool.submit(move || {
            let before = live();
            (0..n).for_each(step);
            live() - before
        });
        body.join().unwrap()
    });
    assert_eq!(pool.queued(), 0);
}

/// Measures while the only worker of the pool is held.
#[track_caller]
fn assert_flat_behind_a_busy_worker(pool: &ThreadPool, mut step: impl FnMut(usize)) {
    assert_flat(|n, most| {
        let (hold, held) = mpsc::channel::<()>();
        let (start, started) = mpsc::channel();
        let busy = pool.submit(move || {
            start.send(()).unwrap();
            let _ = held.recv();
        });
        started.recv().unwrap();
        let before = live();
        (0..n).for_each(&mut step);
        // The timer may not have swept yet.
        await_live(before.saturating_add(most));
        let grown = live() - before;
        drop(hold);
        busy.join().unwrap();
        pool.wait_idle().unwrap();
        grown
    });
}

fn here() -> millhand::PoolHandle {
    current().unwrap().pool()
}

#[test]
fn a_body_joins_one_child_after_the_other() {
    assert_flat_in_a_body(|n| assert_eq!(here().submit(move || n).join().unwrap(), n));
}

#[test]
fn a_body_joins_children_out_of_order_while_another_waits() {
    assert_flat_in_a_body(|_| {
        let pool = here();
        let waits = pool.submit(|| ());
        let all: Vec<_> = (0..3).map(|n| pool.submit(move || n)).collect();
        for handle in all.into_iter().rev() {
            handle.join().unwrap();
        }
        waits.join().unwrap();
    });
}

#[test]
fn a_body_cancels_one_child_after_the_other() {
    assert_flat_in_a_body(|_| assert_eq!(here().submit(|| ()).cancel(), CancelOutcome::Settled));
    assert_flat_in_a_body(|_| {
        let urgent = here().task().priority(1).submit(|| ());
        assert_eq!(urgent.cancel(), CancelOutcome::Settled);
    });
}

#[test]
fn a_body_maps_and_opens_scopes() {
    assert_flat_in_a_body(|n| {
        let doubled = here().map([n, n + 1], |n| 2 * n);
        assert_eq!(doubled[0], 2 * n);
    });
    assert_flat_in_a_body(|n| {
        let pool = here();
        let sum = pool.scope(|s| s.submit(|| n).join().unwrap() + s.submit(|| 1).join().unwrap());
        assert_eq!(sum, n + 1);
    });
    assert_flat_in_a_body(|_| {
        here().scope(|s| drop(s.submit(|| ())));
    });
    assert_flat_in_a_body(|_| {
        let pool = here();
        let all = join_all((0..3).map(|n| pool.submit(move || n)).collect::<Vec<_>>());
        assert!(all.iter().all(Result::is_ok));
    });
}

#[test]
fn broadcasts_that_are_cancelled_behind_a_busy_worker() {
    let _alone = alone();
    let pool = one_worker();
    // One lives, as long as the worker is held.
    let mut first = None;
    assert_flat_behind_a_busy_worker(&pool, |n| {
        if n == 0 {
            first = Some(pool.broadcast(|| ()).unwrap());
        }
        for handle in pool.broadcast(|| ()).unwrap() {
            handle.cancel();
        }
    });
    assert!(join_all(first.unwrap()).iter().all(Result::is_ok));
}

#[test]
fn what_is_cancelled_behind_a_busy_worker() {
    let _alone = alone();
    let pool = one_worker();
    let token = CancelToken::new();
    token.cancel();
    let tasks = [
        pool.task(),
        pool.task().name("named"),
        pool.task().priority(1),
        pool.task().priority(-1),
        pool.task().expires(HOUR).deadline(HOUR),
        pool.task().token(&token),
    ];
    // One lives, as long as the worker is held.
    for task in tasks {
        let mut first: Option<TaskHandle<()>> = None;
        assert_flat_behind_a_busy_worker(&pool, |n| {
            if n == 0 {
                first = Some(pool.submit(|| ()));
            }
            task.submit(|| ()).cancel();
        });
        assert!(first.unwrap().join().is_ok());
    }
}

#[test]
fn what_is_cancelled_or_expires_in_a_full_queue() {
    let _alone = alone();
    let clock = ManualClock::new();
    let pool = ThreadPool::builder()
        .workers(1)
        .clock(&clock)
        .queue_capacity(100)
        .on_full(OnFull::Reject)
        .build()
        .unwrap();
    let expires = pool.task().expires(Duration::from_millis(1));
    let closure = [0_u8; 1000];
    assert_flat_behind_a_busy_worker(&pool, |n| {
        let _ = expires.try_submit(move || closure.len());
        if n % 10 == 0 {
            clock.advance(Duration::from_millis(1));
        }
    });
    assert_flat_behind_a_busy_worker(&pool, |_| {
        let task = pool.try_submit(move || closure.len()).unwrap();
        task.cancel();
    });
}

#[test]
fn delayed_tasks_that_are_cancelled_at_once() {
    let _alone = alone();
    let pool = one_worker();
    let delayed = pool.task().delay(HOUR);
    delayed.submit(|| ()).cancel();
    let before = live();
    for n in [FEW, 10 * FEW] {
        let all: Vec<_> = (0..n).map(|_| delayed.submit(|| ())).collect();
        for task in all {
            task.cancel();
        }
        await_live(before + NOISE);
    }
}

#[test]
fn entries_of_tasks_with_time_limits() {
    let _alone = alone();
    let pool = ThreadPool::new(2).unwrap();
    let limited = pool.task().deadline(HOUR);
    let expiring = limited.clone().expires(HOUR / 2);
    let total = pool.task().total_timeout(HOUR);
    let both = total.clone().deadline(HOUR + SECOND);
    let earlier = total.clone().deadline(HOUR - SECOND);
    limited.submit(|| ()).join().unwrap();
    let before = live();
    let submit =
        |n: usize, task: &TaskBuilder| (0..n).map(|n| task.submit(move || n)).collect::<Vec<_>>();
    for task in [&limited, &expiring, &total, &both, &earlier] {
        for n in [FEW, 10 * FEW] {
            for task in submit(n, task) {
                task.cancel();
            }
            await_live(before + NOISE);
            drop(submit(n, task));
            pool.wait_idle().unwrap();
            await_live(before + NOISE);
            for task in submit(n, task) {
                task.join().unwrap();
            }
            await_live(before + NOISE);
            for n in 0..n {
                task.submit(move || n).join().unwrap();
            }
            await_live(before + NOISE);
        }
    }
    // Its one entry, however many attempts there are.
    let again = total.retry(Retry::fixed(2, Duration::ZERO));
    for n in [FEW, 10 * FEW] {
        let failing = || again.submit(|| Err::<(), _>("no"));
        for task in (0..n).map(|_| failing()).collect::<Vec<_>>() {
            assert_eq!(task.join().unwrap(), Err("no"));
        }
        await_live(before + NOISE);
        for task in (0..n).map(|_| failing()).collect::<Vec<_>>() {
            task.cancel();
        }
        await_live(before + NOISE);
    }
}

#[test]
fn values_of_worker_locals_that_are_gone() {
    let _alone = alone();
    let pool = std::sync::Arc::new(one_worker());
    let use_one = |pool: &ThreadPool| {
        let local = pool.worker_local(|| [1_u8; 1000]);
        move || local.with(|value| assert_eq!(value[0], 1))
    };
    // One after the other in one body.
    assert_flat(|n, _| {
        let mine = pool.clone();
        let body = pool.submit(move || {
            let before = live();
            (0..n).for_each(|_| use_one(&mine)());
            live() - before
        });
        body.join().unwrap()
    });
    // All at once.
    assert_flat(|n, _| {
        let before = live();
        let all: Vec<_> = (0..n).map(|_| use_one(&pool)).collect();
        pool.submit(move || all.iter().for_each(|one| one()))
            .join()
            .unwrap();
        pool.wait_idle().unwrap();
        live() - before
    });
}

#[test]
#[cfg(feature = "simulation")]
fn the_trace_of_a_simulation() {
    let _alone = alone();
    let (pool, simulation) = ThreadPool::simulated(1);
    let run = |tasks: usize| {
        for n in 0..tasks {
            assert_eq!(pool.submit(move || n).join().unwrap(), n);
        }
    };
    // Two entries a task, of which the last 100,000 are kept.
    run(110_000);
    assert_eq!(simulation.trace().len(), 100_000);
    let full = live();
    run(20_000);
    assert_eq!(simulation.trace().len(), 100_000);
    assert!(live() - full < NOISE, "{} bytes more", live() - full);
}

// What waits at a rate limiter, and leaves.

fn one_by_one(task: &TaskBuilder) {
    let task = task.submit(|| ());
    while task.state() != TaskState::Gated {
        thread::yield_now();
    }
    task.cancel();
}

/// Each is the first in line when it leaves.
fn from_the_front(task: &TaskBuilder) {
    let tasks: Vec<_> = (0..100).map(|_| task.submit(|| ())).collect();
    while tasks.iter().any(|task| task.state() != TaskState::Gated) {
        thread::yield_now();
    }
    for task in tasks {
        task.cancel();
    }
}

#[test]
fn what_has_left_the_line_of_a_slow_limiter_leaves_nothing() {
    let _alone = alone();
    let pool = one_worker();
    let hourly = RateLimiter::token_bucket(1, HOUR).burst(9).initial(0);
    let hourly = hourly.build().unwrap();
    let task = pool.task().gate(&hourly);
    let heavy = pool.task().gate(&hourly.weight(9).unwrap());
    let (mut rate, mut waits) = (0, None);
    type Kind<'a> = (&'a str, Box<dyn FnMut() + 'a>);
    let kinds: Vec<Kind<'_>> = vec![
        ("one by one", Box::new(|| one_by_one(&task))),
        (
            "with `expires`",
            Box::new(|| one_by_one(&task.clone().expires(HOUR))),
        ),
        (
            "with `total_timeout`",
            Box::new(|| one_by_one(&task.clone().deadline(HOUR))),
        ),
        ("many", Box::new(|| from_the_front(&task))),
        (
            "light and heavy",
            Box::new(|| {
                one_by_one(&heavy);
                one_by_one(&task);
            }),
        ),
        (
            "an ever higher rate",
            Box::new(|| {
                waits.get_or_insert_with(|| task.submit(|| ()).cancel_on_drop());
                rate += 1;
                hourly.set_rate(rate, 100 * HOUR).unwrap();
            }),
        ),
    ];
    for (_, mut f) in kinds {
        for n in [500, 5_000] {
            let before = live();
            (0..n).for_each(|_| f());
            // Once the timer has swept.
            await_live(before + NOISE);
        }
    }
}
