//! The round trip on a machine whose cores are all busy with something else. A thread that spins
//! there takes time from the others, also from the thread that it waits for.

use super::{Aim, BOTH, Cost};
use crate::Outcome;
use crate::contenders::{BARE, MILLHAND, Pool, with_pool};
use crate::rows::{cores, words, work};
use std::env::current_exe;
use std::hint::black_box;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

pub const MEAN: Cost = Cost {
    key: "loaded",
    title: "round trip of one task beside as many busy processes as cores, mean",
    unit: "µs",
    contenders: &[MILLHAND, BARE],
    sizes: &[1],
    of: "worker",
    allocators: BOTH,
    most_rounds: 9,
    aim: Some(Aim::OfTheOther(1.2)),
    measure: |contender, workers| {
        let trips = with_pool!(contender, trips(workers as usize));
        Some(trips.iter().sum::<f64>() / trips.len() as f64)
    },
};

/// The few trips that wait for a busy process's time slice make up the mean. This is the time
/// that most trips take.
pub const MEDIAN: Cost = Cost {
    key: "loaded-median",
    title: "round trip of one task beside as many busy processes as cores, median",
    measure: |contender, workers| {
        let trips = with_pool!(contender, trips(workers as usize));
        Some(trips[trips.len() / 2])
    },
    ..MEAN
};

/// Microseconds, sorted.
fn trips<P: Pool>(workers: usize) -> Vec<f64> {
    let pool = P::new(workers);
    let words = words();
    let burners = Burners::start();
    let mut trips = Vec::with_capacity(10_000_000);
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(1_500) {
        let begun = Instant::now();
        black_box(pool.join(pool.submit(move || words[0])));
        trips.push(begun.elapsed().as_nanos() as f64 / 1e3);
    }
    drop(burners);
    trips.sort_by(f64::total_cmp);
    trips
}

struct Burners(Vec<Child>);

impl Burners {
    fn start() -> Self {
        let burn = |_| {
            let mut command = Command::new(current_exe().unwrap());
            command.arg("burn");
            command.stdin(Stdio::null()).spawn().unwrap()
        };
        let burners = Self((0..cores()).map(burn).collect());
        sleep(Duration::from_millis(100));
        burners
    }
}

impl Drop for Burners {
    fn drop(&mut self) {
        for burner in &mut self.0 {
            // The child may have ended by itself.
            drop(burner.kill());
            drop(burner.wait());
        }
    }
}

/// What the busy processes do. They end by themselves, in case the process that started them
/// cannot end them.
pub fn burn() -> Outcome<()> {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(10) {
        work(1_000_000);
    }
    Ok(())
}
