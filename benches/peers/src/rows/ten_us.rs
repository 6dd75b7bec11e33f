//! Tasks of ten microseconds of plain work: how much of the machine is left for it.

use super::{Against, Aim, Ran, Row, Unit, cores, middle_half, tasks, use_up, words};
use crate::contenders::{self, Pool, with_pool};
use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

const LENGTH: Duration = Duration::from_micros(10);
const TURNS: u64 = 5;

pub const TEN_US: Row = Row {
    key: "ten-us",
    title: "tasks of 10 µs: one producer, as many workers as cores",
    unit: Unit::ShareOfIdeal,
    contenders: contenders::ALL,
    yardsticks: &[],
    aims: &[Aim {
        against: Against::Itself,
        bound: 0.95,
    }],
    measure: |contender| with_pool!(contender, ten_us(tasks(contender).min(20_000))),
};

fn ten_us<P: Pool>(tasks: u64) -> f64 {
    let steps = steps();
    let pool = P::new(cores());
    let words = words();
    let run = |tasks: u64| {
        Ran::time(tasks, || {
            for _ in 0..tasks {
                pool.execute(move || {
                    use_up(words);
                    work(steps);
                    Ran::one();
                });
            }
        })
    };
    run(tasks / 10);
    // In turns, so that a machine that slows down meanwhile slows down both sides.
    let mut before = ideal(tasks / TURNS, steps);
    let shares = (0..TURNS).map(|_| {
        let took = run(tasks / TURNS);
        let after = ideal(tasks / TURNS, steps);
        let share = (before + after).as_secs_f64() / 2.0 / took.as_secs_f64();
        before = after;
        share
    });
    middle_half(shares.collect())
}

/// Steps that hang on each other, so that no compiler and no processor does them all at once.
fn work(steps: u64) {
    let mut x = black_box(0x9e37_79b9_7f4a_7c15_u64);
    for _ in 0..steps {
        // Xorshift: Marsaglia, "Xorshift RNGs", Journal of Statistical Software 8(14), 2003.
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    black_box(x);
}

/// How many steps make a task. The best of several, since only disturbances can make a loop longer.
fn steps() -> u64 {
    const STEPS: u64 = 1_000_000;
    let time = || {
        let start = Instant::now();
        work(STEPS);
        start.elapsed()
    };
    let best = (0..5).map(|_| time()).min().unwrap();
    (STEPS as f64 * LENGTH.as_secs_f64() / best.as_secs_f64()) as u64
}

/// The same work without any pool: as many threads as cores, each with its share in a plain loop.
fn ideal(tasks: u64, steps: u64) -> Duration {
    let threads = cores();
    let ready = Barrier::new(threads + 1);
    thread::scope(|s| {
        let plain = || {
            ready.wait();
            for _ in 0..tasks / threads as u64 {
                work(steps);
            }
        };
        let threads: Vec<_> = (0..threads).map(|_| s.spawn(plain)).collect();
        ready.wait();
        let start = Instant::now();
        for thread in threads {
            thread.join().unwrap();
        }
        start.elapsed()
    })
}
