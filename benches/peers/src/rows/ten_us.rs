//! Tasks of ten microseconds of plain work: how much of the machine is left for it.

use super::{Against, Aim, Ran, Row, Unit, cores, middle_half, steps, tasks, use_up, words, work};
use crate::contenders::{self, Pool, with_pool};
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
    let steps = steps(LENGTH);
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
