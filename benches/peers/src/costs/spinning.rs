//! How many of many idle workers are awake while single tasks trickle in.

use super::{Aim, Cost, SYSTEM};
use crate::contenders::{BARE, MILLHAND, Pool, with_pool};
use crate::proc::{is_running, processor_time_of, threads};
use crate::rows::{use_up, words};
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

pub const MOST: Cost = Cost {
    key: "spinning",
    title: "workers awake at once, single tasks trickling in, the greatest number seen",
    unit: "threads",
    contenders: &[MILLHAND, BARE],
    sizes: &[64],
    of: "workers",
    allocators: SYSTEM,
    most_rounds: 3,
    aim: Some(Aim::AtMost(2.0)),
    measure: |contender, workers| Some(with_pool!(contender, most(workers as usize))),
};

/// The processor time shows what sampling would miss: workers that spin between two samples.
pub const PROCESSOR: Cost = Cost {
    key: "spinning-cpu",
    title: "processor time of all workers for an empty task that comes every millisecond",
    unit: "µs per task",
    aim: None,
    measure: |contender, workers| Some(with_pool!(contender, processor(workers as usize))),
    ..MOST
};

fn idle_pool<P: Pool>(workers: usize) -> (P, Vec<PathBuf>) {
    let others = threads();
    let pool = P::new(workers);
    sleep(Duration::from_millis(100));
    let workers = threads()
        .into_iter()
        .filter(|thread| !others.contains(thread));
    (pool, workers.collect())
}

fn send<P: Pool>(pool: &P) {
    let words = words();
    pool.execute(move || use_up(words));
}

/// Looks at one worker after the other. That takes as long as a few tasks do. Each round begins
/// with another worker, because the first ones are looked at soonest after the task.
fn most<P: Pool>(workers: usize) -> f64 {
    let (pool, workers) = idle_pool::<P>(workers);
    let mut most = 0;
    let start = Instant::now();
    let mut first = 0;
    while start.elapsed() < Duration::from_secs(2) {
        send(&pool);
        let (tail, head) = workers.split_at(first % workers.len());
        let awake = head.iter().chain(tail).filter(|thread| is_running(thread));
        most = most.max(awake.count());
        first += 7;
        sleep(Duration::from_micros(200));
    }
    most as f64
}

fn processor<P: Pool>(workers: usize) -> f64 {
    let (pool, workers) = idle_pool::<P>(workers);
    const TASKS: u32 = 1_000;
    let before = processor_time_of(&workers);
    for _ in 0..TASKS {
        send(&pool);
        sleep(Duration::from_millis(1));
    }
    1e6 * ((processor_time_of(&workers) - before) / TASKS).as_secs_f64()
}
