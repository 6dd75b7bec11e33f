//! Empty tasks that one thread or four threads execute without handles: the time until all have
//! run.

use super::{Against, Aim, Ran, Row, Unit, cores, nanos_each, tasks, use_up, warm_up, words};
use crate::contenders::{self, BARE, POOLS, Pool, with_pool};
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

const AIMS: &[Aim] = &[
    Aim {
        against: Against::BestPeer,
        bound: 1.00,
    },
    Aim {
        against: Against::Contender(BARE),
        bound: 1.05,
    },
];

pub const EXECUTE: Row = Row {
    key: "execute",
    title: "execute: one producer, as many workers as cores",
    unit: Unit::NanosPerTask,
    contenders: contenders::ALL,
    yardsticks: &[],
    aims: AIMS,
    measure: |contender| with_pool!(contender, execute(cores(), tasks(contender))),
};

pub const EXECUTE_1: Row = Row {
    key: "execute-1",
    title: "execute: one producer, one worker",
    contenders: POOLS,
    measure: |contender| with_pool!(contender, execute(1, tasks(contender))),
    ..EXECUTE
};

pub const FOUR_PRODUCERS: Row = Row {
    key: "four-producers",
    title: "execute: four producers, as many workers as cores",
    aims: &[Aim {
        against: Against::BestPeer,
        bound: 1.00,
    }],
    measure: |contender| with_pool!(contender, four_producers(tasks(contender))),
    ..EXECUTE
};

fn send<P: Pool>(pool: &P, count: u64) {
    let words = words();
    for _ in 0..count {
        pool.execute(move || {
            use_up(words);
            Ran::one();
        });
    }
}

fn execute<P: Pool>(workers: usize, tasks: u64) -> f64 {
    let pool = P::new(workers);
    let run = |tasks| Ran::time(tasks, || send(&pool, tasks));
    warm_up(|| run(tasks));
    nanos_each(run(tasks), tasks)
}

fn four_producers<P: Pool>(tasks: u64) -> f64 {
    let pool = P::new(cores());
    warm_up(|| from_four(&pool, tasks));
    nanos_each(from_four(&pool, tasks), tasks)
}

/// The four threads exist before the clock starts, because starting them is not part of the
/// measurement.
fn from_four<P: Pool>(pool: &P, tasks: u64) -> Duration {
    let ready = Barrier::new(5);
    thread::scope(|s| {
        let produce = || {
            ready.wait();
            send(pool, tasks / 4);
        };
        let producers = [(); 4].map(|()| s.spawn(produce));
        Ran::time(tasks / 4 * 4, || {
            ready.wait();
            for producer in producers {
                producer.join().unwrap();
            }
        })
    })
}
