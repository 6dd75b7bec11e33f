//! Tasks with results: all submitted by one thread, then all joined by it, first to last.

use super::{Against, Aim, Row, Unit, cores, nanos_each, tasks, warm_up, words};
use crate::contenders::{self, POOLS, Pool, with_pool};
use std::hint::black_box;
use std::time::Instant;

pub const SUBMIT_JOIN: Row = Row {
    key: "submit-join",
    title: "submit 300,000, then join them: one worker",
    unit: Unit::NanosPerTask,
    contenders: contenders::ALL,
    yardsticks: &[],
    aims: &[Aim {
        against: Against::BestPeer,
        bound: 0.80,
    }],
    measure: |contender| with_pool!(contender, submit_join(1, tasks(contender))),
};

pub const SUBMIT_JOIN_2: Row = Row {
    key: "submit-join-2",
    title: "submit 300,000, then join them: as many workers as cores",
    contenders: POOLS,
    measure: |contender| with_pool!(contender, submit_join(cores(), tasks(contender))),
    ..SUBMIT_JOIN
};

fn submit_join<P: Pool>(workers: usize, tasks: u64) -> f64 {
    let pool = P::new(workers);
    let words = words();
    // Allocated beforehand: the list belongs to the measurement, not to the pool.
    let mut handles = Vec::with_capacity(tasks as usize);
    let mut run = |tasks: u64| {
        let start = Instant::now();
        handles.extend((0..tasks).map(|_| pool.submit(move || words[0])));
        let sum: u64 = handles.drain(..).map(|handle| pool.join(handle)).sum();
        black_box(sum);
        start.elapsed()
    };
    warm_up(|| run(tasks));
    nanos_each(run(tasks), tasks)
}
