//! What a task costs in allocations, by a counting allocator.
//!
//! The binary's tests run side by side, so it counts only on threads that asked for it, each into its own test's meter.
#![allow(unsafe_code)]

use millhand::{ContextVar, Semaphore, ThreadPool};
use parking_lot::{Condvar, Mutex};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

thread_local! {
    // Without a destructor and ready from the start: reading it allocates nothing.
    static METER: Cell<Option<&'static Meter>> = const { Cell::new(None) };
}

fn with_meter(f: impl FnOnce(&Meter)) {
    if let Ok(Some(meter)) = METER.try_with(Cell::get) {
        f(meter);
    }
}

// SAFETY: every call is passed on to the system's allocator as it came; counting touches atomics alone.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        with_meter(|meter| meter.took(layout.size()));
        // SAFETY: the caller's promise about the layout is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        with_meter(|meter| meter.took(layout.size()));
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        with_meter(|meter| {
            meter.gave_back(layout.size());
            meter.took(size);
        });
        // SAFETY: the caller's promises about the block, its layout and the new size are passed on.
        unsafe { System.realloc(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        with_meter(|meter| meter.gave_back(layout.size()));
        // SAFETY: the caller's promises about the block and its layout are passed on.
        unsafe { System.dealloc(block, layout) }
    }
}

/// What the threads that asked for it have allocated.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    allocations: AtomicUsize,
    bytes: AtomicIsize,
}

impl Meter {
    /// Leaked, since threads point at it.
    pub(crate) fn new() -> &'static Self {
        Box::leak(Box::default())
    }

    /// One that counts what this thread does. A test's thread ends with the test.
    pub(crate) fn of_this_thread() -> &'static Self {
        let meter = Self::new();
        meter.watch_this_thread();
        meter
    }

    pub(crate) fn watch_this_thread(&'static self) {
        METER.set(Some(self));
    }

    pub(crate) fn leave_this_thread(&self) {
        METER.set(None);
    }

    fn took(&self, size: usize) {
        self.allocations.fetch_add(1, SeqCst);
        self.bytes.fetch_add(size as isize, SeqCst);
    }

    fn gave_back(&self, size: usize) {
        self.bytes.fetch_sub(size as isize, SeqCst);
    }

    /// How many allocations there were, growing a block included.
    pub(crate) fn allocations(&self) -> usize {
        self.allocations.load(SeqCst)
    }

    /// Taken and not given back. Blocks that go to threads that do not count are counted as kept.
    pub(crate) fn bytes(&self) -> isize {
        self.bytes.load(SeqCst)
    }
}

/// What a thread allocates the first time that it parks is not the library's: done here and now.
fn park_once() {
    let mutex = Mutex::new(());
    Condvar::new().wait_for(&mut mutex.lock(), Duration::from_millis(1));
    let (_sender, receiver) = crossbeam_channel::unbounded::<()>();
    receiver.recv_timeout(Duration::from_millis(1)).unwrap_err();
}

pub(crate) fn watched_pool(meter: &'static Meter, workers: usize) -> ThreadPool {
    let pool = ThreadPool::builder()
        .workers(workers)
        .on_worker_start(move |_| {
            park_once();
            meter.watch_this_thread();
        })
        .build()
        .unwrap();
    park_once();
    meter.watch_this_thread();
    pool
}

/// In each round between `N` and `N + N / 31 + 1`: one a task, and the channel's block of 31 messages. Once in the life
/// of a pool a few more are allowed, for what its channels note of who waits; a drip is not.
fn assert_one_a_task(meter: &'static Meter, round: impl Fn(usize)) {
    const N: usize = 620;
    const ROUNDS: usize = 20;
    const ONCE: usize = 8;
    round(N);
    let begun = meter.allocations();
    let counts: Vec<usize> = (0..ROUNDS)
        .map(|_| {
            let before = meter.allocations();
            round(N);
            meter.allocations() - before
        })
        .collect();
    let all = meter.allocations() - begun;
    meter.leave_this_thread();
    let most = N + N / 31 + 1;
    assert!(counts.iter().all(|count| *count >= N), "{counts:?}");
    let fit = counts.iter().filter(|count| **count <= most).count();
    assert!(fit >= ROUNDS - ONCE, "at most {most}: {counts:?}");
    assert!(
        all <= ROUNDS * (N + N / 31) + 1 + ONCE,
        "{all} in all: {counts:?}"
    );
}

#[test]
fn submit_and_join_allocate_once_a_task_besides_the_channel_s_blocks() {
    for workers in [1, 2] {
        let meter = Meter::new();
        let pool = watched_pool(meter, workers);
        assert_one_a_task(meter, |n| {
            for k in 0..n {
                assert_eq!(pool.submit(move || k).join().unwrap(), k);
            }
        });
    }
}

#[test]
fn submitting_many_before_joining_them_allocates_once_a_task_too() {
    let meter = Meter::new();
    let pool = watched_pool(meter, 2);
    assert_one_a_task(meter, |n| {
        let mut handles = [const { None }; 31];
        for _ in 0..n / handles.len() {
            for (k, handle) in handles.iter_mut().enumerate() {
                *handle = Some(pool.submit(move || k));
            }
            for (k, handle) in handles.iter_mut().enumerate() {
                assert_eq!(handle.take().unwrap().join().unwrap(), k);
            }
        }
    });
}

#[test]
fn execute_allocates_once_a_task_besides_the_channel_s_blocks() {
    for workers in [1, 2] {
        let meter = Meter::new();
        let pool = watched_pool(meter, workers);
        assert_one_a_task(meter, |n| {
            for _ in 0..n {
                pool.execute(|| ());
            }
            pool.wait_idle().unwrap();
        });
    }
}

#[test]
fn a_dropped_handle_costs_nothing_more() {
    let meter = Meter::new();
    let pool = watched_pool(meter, 1);
    assert_one_a_task(meter, |n| {
        for _ in 0..n {
            drop(pool.submit(|| ()));
        }
        pool.wait_idle().unwrap();
    });
}

#[test]
fn a_context_variable_that_is_set_elsewhere_costs_a_task_nothing() {
    static ELSEWHERE: ContextVar<u32> = ContextVar::new(0);
    let meter = Meter::new();
    let pool = watched_pool(meter, 1);
    ELSEWHERE.with(1, || {
        std::thread::scope(|s| {
            let count = || {
                meter.watch_this_thread();
                assert_one_a_task(meter, |n| {
                    for _ in 0..n {
                        let seen = pool.submit(|| ELSEWHERE.get());
                        assert_eq!(seen.join().unwrap(), 0);
                    }
                });
            };
            s.spawn(count).join().unwrap();
        });
    });
    meter.leave_this_thread();
}

#[test]
fn all_that_tasks_took_is_given_back() {
    let meter = Meter::new();
    let pool = watched_pool(meter, 1);
    let round = || {
        for k in 0..1_000_u64 {
            let text = k.to_string();
            assert!(pool.submit(move || text.len() as u64 + k).join().unwrap() > k);
            pool.execute(move || drop(vec![k; 100]));
        }
        pool.wait_idle().unwrap();
    };
    round();
    let before = meter.bytes();
    (0..10).for_each(|_| round());
    let left = meter.bytes() - before;
    meter.leave_this_thread();
    // A block or two of the channel, of 31 messages each; a task that is kept would be a hundred bytes and more.
    assert!(left.abs() < 10_000, "{left} bytes are left");
}

#[test]
fn a_million_keys_give_their_memory_back() {
    const KEYS: u64 = 1_000_000;
    let meter = Meter::of_this_thread();
    let locks = Semaphore::keyed::<u64>(1).unwrap();
    let begun = meter.bytes();
    let permits: Vec<_> = (0..KEYS)
        .map(|n| locks.key(n).try_acquire().unwrap())
        .collect();
    assert_eq!(locks.len(), KEYS as usize, "busy keys are kept");
    let full = meter.bytes() - begun;
    drop(permits);
    // Keys at rest are forgotten as others are asked for.
    (0..KEYS).for_each(|_| drop(locks.key(KEYS)));
    assert_eq!(locks.len(), 1);
    let left = meter.bytes() - begun;
    assert!(left < full / 100, "{left} of {full} bytes are left");
    // One after the other, they do not pile up in the first place.
    let mut most = 0;
    for n in 0..KEYS / 10 {
        drop(locks.key(n).try_acquire().unwrap());
        most = meter.bytes().max(most);
    }
    meter.leave_this_thread();
    assert!(most - begun < full / 100, "{most} bytes at the most");
}

#[test]
fn the_meter_counts() {
    let meter = Meter::of_this_thread();
    let boxed = std::hint::black_box(Box::new([0_u8; 100]));
    assert_eq!((meter.allocations(), meter.bytes()), (1, 100));
    drop(boxed);
    assert_eq!((meter.allocations(), meter.bytes()), (1, 0));
    meter.leave_this_thread();
    drop(std::hint::black_box(Box::new(1)));
    assert_eq!(meter.allocations(), 1);
}
