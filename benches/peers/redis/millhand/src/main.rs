//! millhand: one server, one consumer with 100 slots, and a pool of 4 workers.
#![deny(unsafe_code)]

#[path = "../../../durable/common.rs"]
mod common;

use common::{Asked, BATCH, WORKERS, answer, now, rate, rate_of_all, ready, text, trips};
use millhand::jobs::{Job, JobBuilder, JobContext, Jobs, Redis};
use millhand::{Shutdown, ThreadPool};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// As many as BullMQ has.
const SLOTS: usize = 100;

#[derive(Serialize, Deserialize)]
struct Noop {
    text: String,
}

impl Job for Noop {
    const NAME: &'static str = "noop";
    type Output = i64;
}

fn noop() -> Noop {
    Noop { text: text() }
}

fn main() {
    let asked = Asked::from_arguments();
    let jobs = Jobs::open(Redis::connect(asked.address()).unwrap()).unwrap();
    let enqueue = || drop(jobs.enqueue(&noop()).unwrap());
    match &*asked.measurement {
        "enqueue" => single(rate(asked.time(), 1, enqueue)),
        "enqueue-16" => single(rate_of_all(asked.time(), enqueue)),
        "enqueue-1000" => single(rate(asked.time(), BATCH, || fill(&jobs.job(), BATCH))),
        "fill" => fill(&jobs.job(), asked.size),
        "process" => {
            let start = Instant::now();
            let pool = ThreadPool::new(WORKERS).unwrap();
            consume(&jobs, &pool, asked.size).recv().unwrap();
            // Until the end of the last one is stored: a shutdown waits for that.
            pool.shutdown(Shutdown::drain()).unwrap();
            single(asked.size as f64 / start.elapsed().as_secs_f64());
        }
        "round-trip" => round_trips(&asked, &jobs),
        "handle" => {
            let pool = ThreadPool::new(WORKERS).unwrap();
            let _wait = consume(&jobs, &pool, usize::MAX);
            ready();
            pool.shutdown(Shutdown::drain()).unwrap();
        }
        other => panic!("no measurement {other:?}"),
    }
}

fn single(figure: f64) {
    answer(&[("figure", figure)], &[]);
}

fn fill(template: &JobBuilder, mut count: usize) {
    while count > 0 {
        let now = count.min(BATCH);
        drop(template.enqueue_all((0..now).map(|_| noop())).unwrap());
        count -= now;
    }
}

/// Starts a consumer. Something comes through the channel when so many jobs have begun.
fn consume(jobs: &Jobs, pool: &ThreadPool, count: usize) -> Receiver<()> {
    let (last, wait) = channel();
    let begun = AtomicUsize::new(0);
    let handle = move |job: Noop, _: &JobContext| {
        let at = now();
        assert_eq!(job.text.len(), 100);
        if begun.fetch_add(1, Ordering::Relaxed) + 1 == count {
            last.send(()).unwrap();
        }
        Ok::<_, String>(at)
    };
    let consumer = jobs.consumer(pool).queue("default", SLOTS).handle(handle);
    drop(consumer.start().unwrap());
    wait
}

fn round_trips(asked: &Asked, jobs: &Jobs) {
    let other = asked.other_process("handle");
    let template = jobs.job().keep(Duration::from_secs(60));
    trips(asked.size, || {
        let began = now();
        let job = template.enqueue(&noop()).unwrap();
        let enqueued = now();
        let handled = job.handle().join().unwrap();
        [began, enqueued, handled, now()]
    });
    other.finish();
}
