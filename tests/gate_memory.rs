//! What has left the line of a slow rate limiter leaves nothing in the timer.
//!
//! A binary of its own with one test, whose allocator counts the live bytes of the whole process.
#![allow(unsafe_code)]

use millhand::{RateLimiter, TaskBuilder, TaskState, ThreadPool};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering::SeqCst};
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

const HOUR: Duration = Duration::from_secs(3600);

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

/// How many bytes there are more after `n` calls, once the timer has had the time to sweep.
fn grown(n: usize, most: isize, f: &mut dyn FnMut()) -> isize {
    let before = LIVE.load(SeqCst);
    (0..n).for_each(|_| f());
    let begun = Instant::now();
    loop {
        let grown = LIVE.load(SeqCst) - before;
        if grown < most || begun.elapsed() > Duration::from_secs(20) {
            return grown;
        }
        thread::yield_now();
    }
}

#[test]
fn memory_follows_the_line_and_not_what_has_left_it() {
    let pool = ThreadPool::new(1).unwrap();
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
            Box::new(|| one_by_one(&task.clone().total_timeout(HOUR))),
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
    for (what, mut f) in kinds {
        grown(500, 100_000, &mut f);
        let grown = grown(5_000, 100_000, &mut f);
        assert!(grown < 100_000, "{what}: {grown} bytes");
    }
}
