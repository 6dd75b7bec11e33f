//! Whether a task costs the same, however long the queue is and however many workers there are.

use super::hold::Hold;
use super::{Aim, BOTH, Cost};
use crate::contenders::{BARE, MILLHAND, Pool, with_pool};
use crate::proc::available_bytes;
use crate::rows::{Ran, nanos_each, use_up, words};
use std::hint::black_box;
use std::time::{Duration, Instant};

const FLAT: Option<Aim> = Some(Aim::FlatWithin(1.5));

pub const QUEUED_EXECUTE: Cost = Cost {
    key: "queued",
    title: "`execute` so many to a worker that is held up, let it go, until all have run",
    unit: "ns per task",
    contenders: &[MILLHAND, BARE],
    sizes: &[1_000, 10_000, 100_000, 1_000_000, 10_000_000],
    of: "queued tasks",
    allocators: BOTH,
    most_rounds: 9,
    aim: FLAT,
    measure: |contender, queued| {
        let fits = fits(queued);
        fits.then(|| with_pool!(contender, queued_execute(queued)))
    },
};

pub const QUEUED_JOIN: Cost = Cost {
    key: "queued-join",
    title: "`submit` so many to a worker that is held up, let it go, join them all",
    measure: |contender, queued| {
        let fits = fits(queued);
        fits.then(|| with_pool!(contender, queued_join(queued)))
    },
    ..QUEUED_EXECUTE
};

pub const WORKERS_EXECUTE: Cost = Cost {
    key: "workers",
    title: "`execute` 300,000, until all have run",
    sizes: &[1, 2, 4, 8, 16, 32, 64],
    of: "workers",
    measure: |contender, workers| Some(with_pool!(contender, workers_execute(workers as usize))),
    ..QUEUED_EXECUTE
};

pub const WORKERS_JOIN: Cost = Cost {
    key: "workers-join",
    title: "`submit` 300,000, then join them",
    measure: |contender, workers| Some(with_pool!(contender, workers_join(workers as usize))),
    ..WORKERS_EXECUTE
};

/// The check asks for three times the memory that the largest contender needs, so that no other
/// program is swapped out.
fn fits(queued: u64) -> bool {
    queued * 1_000 < available_bytes()
}

const TASKS: u64 = 300_000;

fn send<P: Pool>(pool: &P, count: u64) {
    let words = words();
    for _ in 0..count {
        pool.execute(move || {
            use_up(words);
            Ran::one();
        });
    }
}

/// Submits the tasks, releases the worker, joins the tasks. Returns the time without the time
/// that holding the worker takes.
fn submit_join<P: Pool>(
    pool: &P,
    handles: &mut Vec<P::Handle<u64>>,
    count: u64,
    go: impl FnOnce(),
) -> Duration {
    let words = words();
    let start = Instant::now();
    handles.extend((0..count).map(|_| pool.submit(move || words[0])));
    go();
    let sum: u64 = handles.drain(..).map(|handle| pool.join(handle)).sum();
    black_box(sum);
    start.elapsed()
}

/// A million tasks in equal batches, or one batch if that is more. Before them, a tenth of that
/// to warm up.
fn in_batches(queued: u64, mut batch: impl FnMut(u64) -> Duration) -> f64 {
    let batches = (1_000_000 / queued).max(1);
    if batches > 1 {
        for _ in 0..batches.div_ceil(10) {
            batch(queued);
        }
    } else {
        batch(queued / 10);
    }
    let time = (0..batches).map(|_| batch(queued)).sum();
    nanos_each(time, batches * queued)
}

fn queued_execute<P: Pool>(queued: u64) -> f64 {
    let pool = P::new(1);
    in_batches(queued, |count| {
        let hold = Hold::spinning(&pool);
        let before = Ran::total();
        let start = Instant::now();
        send(&pool, count);
        hold.let_go();
        // `Ran::wait_for` naps, and its nap would be half of the time that a thousand tasks take.
        while Ran::total() < before + count {
            std::hint::spin_loop();
        }
        start.elapsed()
    })
}

fn queued_join<P: Pool>(queued: u64) -> f64 {
    let pool = P::new(1);
    let mut handles = Vec::with_capacity(queued as usize);
    in_batches(queued, |count| {
        let hold = Hold::spinning(&pool);
        submit_join(&pool, &mut handles, count, || hold.let_go())
    })
}

fn workers_execute<P: Pool>(workers: usize) -> f64 {
    let pool = P::new(workers);
    let run = |count| Ran::time(count, || send(&pool, count));
    run(TASKS / 10);
    nanos_each(run(TASKS), TASKS)
}

fn workers_join<P: Pool>(workers: usize) -> f64 {
    let pool = P::new(workers);
    let mut handles = Vec::with_capacity(TASKS as usize);
    submit_join(&pool, &mut handles, TASKS / 10, || ());
    nanos_each(submit_join(&pool, &mut handles, TASKS, || ()), TASKS)
}
