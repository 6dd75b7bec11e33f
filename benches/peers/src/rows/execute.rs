//! Empty tasks, sent off and forgotten by one thread: until all have run.

use super::{Against, Aim, Ran, Row, Unit, cores, nanos_each, tasks, use_up, words};
use crate::contenders::{self, BARE, POOLS, Pool, with_pool};

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

fn execute<P: Pool>(workers: usize, tasks: u64) -> f64 {
    let pool = P::new(workers);
    let words = words();
    let send = |count: u64| {
        for _ in 0..count {
            pool.execute(move || {
                use_up(words);
                Ran::one();
            });
        }
    };
    Ran::time(tasks / 10, || send(tasks / 10));
    nanos_each(Ran::time(tasks, || send(tasks)), tasks)
}
