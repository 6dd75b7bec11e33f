//! What a gate costs that is always open: tasks through a rate limiter that never refuses, and the
//! same tasks without.

use super::{Against, Aim, Ran, Row, Unit, cores, nanos_each, use_up, warm_up, words};
use crate::contenders::MILLHAND;
use millhand::{RateLimiter, TaskBuilder, ThreadPool};
use std::hint::black_box;
use std::time::{Duration, Instant};

const TASKS: u64 = 1_000_000;

/// Ours without the gate: what the gate is compared with.
const UNGATED: &str = "ungated";

pub const GATE: Row = Row {
    key: "gate",
    title: "execute 1,000,000 through an open rate limiter",
    unit: Unit::NanosPerTask,
    contenders: &[MILLHAND, UNGATED],
    yardsticks: &[UNGATED],
    aims: &[Aim {
        against: Against::Contender(UNGATED),
        bound: 1.3,
    }],
    measure: |contender| with_template(contender, execute),
};

pub const GATE_JOIN: Row = Row {
    key: "gate-join",
    title: "submit, join 1,000,000 through an open rate limiter",
    measure: |contender| with_template(contender, submit_join),
    ..GATE
};

fn with_template(contender: &str, measure: fn(&TaskBuilder) -> f64) -> f64 {
    // A thousand million per second, and as many at once: more than any producer sends.
    const OPEN: u32 = 1_000_000_000;
    let limiter = RateLimiter::token_bucket(OPEN, Duration::from_secs(1)).burst(OPEN);
    let pool = ThreadPool::new(cores()).unwrap();
    match contender {
        MILLHAND => measure(&pool.task().gate(&limiter.build().unwrap())),
        UNGATED => measure(&pool.task()),
        other => panic!("no gate by {other:?}"),
    }
}

fn execute(template: &TaskBuilder) -> f64 {
    let words = words();
    let run = |tasks| {
        Ran::time(tasks, || {
            for _ in 0..tasks {
                let task = move || {
                    use_up(words);
                    Ran::one();
                };
                template.execute(task);
            }
        })
    };
    warm_up(|| run(TASKS));
    nanos_each(run(TASKS), TASKS)
}

fn submit_join(template: &TaskBuilder) -> f64 {
    let words = words();
    let mut handles = Vec::with_capacity(TASKS as usize);
    let mut run = |tasks: u64| {
        let start = Instant::now();
        handles.extend((0..tasks).map(|_| template.submit(move || words[0])));
        let sum: u64 = handles.drain(..).map(|handle| handle.join().unwrap()).sum();
        black_box(sum);
        start.elapsed()
    };
    warm_up(|| run(TASKS));
    nanos_each(run(TASKS), TASKS)
}
