//! A pool with nothing to do, and a timer entry that is far from due.

use super::{Aim, Cost, SYSTEM};
use crate::contenders::MILLHAND;
use crate::proc::{threads, waits};
use millhand::ThreadPool;
use std::thread::sleep;
use std::time::Duration;

pub const IDLE: Cost = Cost {
    key: "idle",
    title: "wake-ups of 64 idle workers with a timer entry an hour away, in 10 s",
    unit: "voluntary context switches",
    contenders: &[MILLHAND],
    sizes: &[64],
    of: "workers",
    allocators: SYSTEM,
    most_rounds: 1,
    aim: Some(Aim::AtMost(0.0)),
    measure: |_, workers| Some(idle(workers as usize)),
};

fn idle(workers: usize) -> f64 {
    let pool = ThreadPool::new(workers).unwrap();
    let hour = Duration::from_secs(3600);
    pool.task().delay(hour).execute(|| ());
    pool.submit(|| ()).join().unwrap();
    // Until the last worker has gone to sleep.
    sleep(Duration::from_millis(500));
    // The main thread is left out: it sleeps here. The thread that ends a process that hangs sleeps
    // all the time, so it adds nothing.
    let threads = threads();
    let count = || {
        threads
            .iter()
            .skip(1)
            .map(|thread| waits(thread))
            .sum::<u64>()
    };
    let before = count();
    sleep(Duration::from_secs(10));
    (count() - before) as f64
}
