//! How many allocations a task makes.

use super::{Aim, Cost, SYSTEM};
use crate::alloc::{Counted, counted};
use crate::contenders::{BARE, MILLHAND, Pool, with_pool};
use crate::rows::{Ran, use_up, words};
use std::hint::black_box;

/// Enough tasks for many blocks of the channel, which have 31 slots each.
const TASKS: u64 = 310_000;

pub const EXECUTE: Cost = Cost {
    key: "allocations",
    title: "allocations of a task, `execute`",
    unit: "per task",
    contenders: &[MILLHAND, BARE],
    sizes: &[TASKS],
    of: "tasks",
    allocators: SYSTEM,
    most_rounds: 1,
    // One per task, the channel's one per 31 tasks, and a few for all tasks together.
    aim: Some(Aim::AtMost(1.0 + 1.0 / 31.0 + 0.001)),
    measure: |contender, tasks| {
        let counted = with_pool!(contender, execute(tasks));
        Some(counted.allocations as f64 / tasks as f64)
    },
};

pub const JOIN: Cost = Cost {
    key: "allocations-join",
    title: "allocations of a task, `submit` and `join`",
    measure: |contender, tasks| {
        let counted = with_pool!(contender, join(tasks));
        Some(counted.allocations as f64 / tasks as f64)
    },
    ..EXECUTE
};

pub const BYTES: Cost = Cost {
    key: "bytes-join",
    title: "memory asked for by a task, `submit` and `join`",
    unit: "bytes per task",
    aim: None,
    measure: |contender, tasks| {
        let counted = with_pool!(contender, join(tasks));
        Some(counted.bytes as f64 / tasks as f64)
    },
    ..EXECUTE
};

fn execute<P: Pool>(tasks: u64) -> Counted {
    let pool = P::new(1);
    let words = words();
    let run = |tasks| {
        Ran::time(tasks, || {
            for _ in 0..tasks {
                pool.execute(move || {
                    use_up(words);
                    Ran::one();
                });
            }
        })
    };
    run(tasks / 10);
    counted(|| run(tasks)).1
}

fn join<P: Pool>(tasks: u64) -> Counted {
    let pool = P::new(1);
    let words = words();
    let mut handles = Vec::with_capacity(tasks as usize);
    let mut run = |tasks| {
        handles.extend((0..tasks).map(|_| pool.submit(move || words[0])));
        let sum: u64 = handles.drain(..).map(|handle| pool.join(handle)).sum();
        black_box(sum);
    };
    run(tasks / 10);
    counted(|| run(tasks)).1
}
