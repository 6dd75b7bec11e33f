//! The memory that a queued task has pages for.

use super::hold::Hold;
use super::{Aim, BOTH, Cost};
use crate::contenders::{BARE, MILLHAND, Pool, with_pool};
use crate::proc::resident_bytes;
use crate::rows::{Ran, use_up, words};

const TASKS: u64 = 1_000_000;

/// The sum of the channel's slot, the allocator's rounding and the task's own memory.
const MOST: f64 = 136.0;

pub const EXECUTE: Cost = Cost {
    key: "memory",
    title: "resident memory of a queued task, 24-byte closure, `execute`",
    unit: "bytes per task",
    contenders: &[MILLHAND, BARE],
    sizes: &[TASKS],
    of: "queued tasks",
    allocators: BOTH,
    most_rounds: 3,
    aim: Some(Aim::AtMost(MOST)),
    measure: |contender, tasks| Some(with_pool!(contender, execute(tasks))),
};

pub const JOIN: Cost = Cost {
    key: "memory-join",
    title: "resident memory of a queued task, 24-byte closure, `submit`, without the list of handles",
    measure: |contender, tasks| Some(with_pool!(contender, join(tasks))),
    ..EXECUTE
};

fn execute<P: Pool>(tasks: u64) -> f64 {
    let words = words();
    let send = |pool: &P| {
        pool.execute(move || {
            use_up(words);
            Ran::one();
        });
    };
    each::<P>(tasks, |pool, count| (0..count).for_each(|_| send(pool)))
}

fn join<P: Pool>(tasks: u64) -> f64 {
    let words = words();
    // Its pages are touched before, so they are not part of the difference.
    let mut handles: Vec<Option<P::Handle<u64>>> = Vec::new();
    handles.resize_with(tasks as usize + WARM, || None);
    let mut places = handles.iter_mut();
    each::<P>(tasks, |pool, count| {
        for place in places.by_ref().take(count as usize) {
            *place = Some(pool.submit(move || words[0]));
        }
    })
}

/// Submitted before the first reading, so that what a pool or an allocator sets up once does not
/// count.
const WARM: usize = 1_000;

fn each<P: Pool>(tasks: u64, mut send: impl FnMut(&P, u64)) -> f64 {
    let pool = P::new(1);
    let hold = Hold::napping(&pool);
    send(&pool, WARM as u64);
    let before = resident_bytes();
    send(&pool, tasks);
    let after = resident_bytes();
    hold.let_go();
    (after - before) as f64 / tasks as f64
}
