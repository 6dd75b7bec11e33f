//! millhand: one file, one consumer with 64 slots, and a pool of 4 workers.
#![deny(unsafe_code)]

#[path = "../../common.rs"]
mod common;

use common::{
    Asked, BATCH, FAR, SLOTS, WORKERS, answer, now, rate, rate_of_all, ready, text, trips,
};
use millhand::jobs::{Durability, Job, JobBuilder, JobContext, Jobs, Memory, Sqlite};
use millhand::{Shutdown, ThreadPool};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

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
    let (jobs, counters) = open(&asked);
    let enqueue = || drop(jobs.enqueue(&noop()).unwrap());
    match &*asked.measurement {
        "enqueue" => single(rate(asked.time(), 1, enqueue), &counters),
        "enqueue-16" => single(rate_of_all(asked.time(), enqueue), &counters),
        "enqueue-1000" => {
            let batch = || fill(&jobs.job(), BATCH);
            single(rate(asked.time(), BATCH, batch), &counters);
        }
        "syncs" => (0..asked.size).for_each(|_| enqueue()),
        "process" => {
            fill(&jobs.job(), asked.size);
            let start = Instant::now();
            process(&jobs, asked.size);
            let rate = asked.size as f64 / start.elapsed().as_secs_f64();
            single(rate, &counters);
        }
        "process-2" => two_processes(&asked, &jobs),
        "process-part" => {
            ready();
            process_all(&jobs);
        }
        "round-trip" => round_trips(&asked, &jobs),
        "handle" => {
            let pool = ThreadPool::new(WORKERS).unwrap();
            let (_ended, _) = consume(&jobs, &pool, usize::MAX);
            ready();
            pool.shutdown(Shutdown::drain()).unwrap();
        }
        "growth" => growth(&asked, &jobs),
        other => panic!("no measurement {other:?}"),
    }
}

type Counters = Box<dyn Fn() -> String>;

/// The storage, and what it says of its operations and transactions.
fn open(asked: &Asked) -> (Jobs, Counters) {
    let durability = match &*asked.durability {
        "full" => Durability::Full,
        "normal" => Durability::Normal,
        "memory" => return (Jobs::open(Memory::new()).unwrap(), Box::new(String::new)),
        other => panic!("no durability {other:?}"),
    };
    let options = Sqlite::options(asked.file()).durability(durability);
    let storage = options.open().unwrap();
    let counted = storage.clone();
    let counters = move || {
        let text = format!("{counted:?}");
        text.split(", ")
            .skip(1)
            .take(2)
            .collect::<Vec<_>>()
            .join(", ")
    };
    (Jobs::open(storage).unwrap(), Box::new(counters))
}

fn single(figure: f64, counters: &Counters) {
    answer(&[("figure", figure)], &[("counters", &counters())]);
}

fn fill(template: &JobBuilder, mut count: usize) {
    while count > 0 {
        let now = count.min(BATCH);
        drop(template.enqueue_all((0..now).map(|_| noop())).unwrap());
        count -= now;
    }
}

/// Starts a consumer. Something comes through the channel when so many jobs have begun.
fn consume(jobs: &Jobs, pool: &ThreadPool, count: usize) -> (Receiver<()>, Arc<AtomicUsize>) {
    let begun = Arc::new(AtomicUsize::new(0));
    let (last, wait) = channel();
    let counter = begun.clone();
    let handle = move |job: Noop, _: &JobContext| {
        let at = now();
        assert_eq!(job.text.len(), 100);
        if counter.fetch_add(1, Ordering::Relaxed) + 1 == count {
            last.send(()).unwrap();
        }
        Ok::<_, String>(at)
    };
    let consumer = jobs.consumer(pool).queue("default", SLOTS).handle(handle);
    drop(consumer.start().unwrap());
    (wait, begun)
}

/// Until the end of the last one is stored: a shutdown waits for that.
fn process(jobs: &Jobs, count: usize) {
    let pool = ThreadPool::new(WORKERS).unwrap();
    let (wait, _) = consume(jobs, &pool, count);
    wait.recv().unwrap();
    pool.shutdown(Shutdown::drain()).unwrap();
}

/// Until the storage has no job that waits.
fn process_all(jobs: &Jobs) {
    let pool = ThreadPool::new(WORKERS).unwrap();
    drop(consume(jobs, &pool, usize::MAX));
    while jobs
        .counts()
        .unwrap()
        .queues
        .iter()
        .any(|queue| queue.ready > 0)
    {
        std::thread::sleep(Duration::from_millis(10));
    }
    pool.shutdown(Shutdown::drain()).unwrap();
}

fn two_processes(asked: &Asked, jobs: &Jobs) {
    fill(&jobs.job(), asked.size);
    let others = [(); 2].map(|()| asked.other_process("process-part"));
    let start = Instant::now();
    std::thread::scope(|scope| {
        for other in others {
            scope.spawn(|| other.finish());
        }
    });
    let rate = asked.size as f64 / start.elapsed().as_secs_f64();
    answer(&[("figure", rate)], &[]);
}

fn round_trips(asked: &Asked, jobs: &Jobs) {
    let other = (asked.durability != "memory").then(|| asked.other_process("handle"));
    let pool = ThreadPool::new(WORKERS).unwrap();
    if other.is_none() {
        drop(consume(jobs, &pool, usize::MAX));
    }
    let template = jobs.job().keep(Duration::from_secs(60));
    trips(asked.size, || {
        let began = now();
        let job = template.enqueue(&noop()).unwrap();
        let enqueued = now();
        let handled = job.handle().join().unwrap();
        [began, enqueued, handled, now()]
    });
    if let Some(other) = other {
        other.finish();
    }
    pool.shutdown(Shutdown::drain()).unwrap();
}

/// What a job costs, singly enqueued and then processed, behind so many that are scheduled.
fn growth(asked: &Asked, jobs: &Jobs) {
    const JOBS: usize = 2000;
    fill(&jobs.job().delay(FAR), asked.size);
    let cost = |start: Instant| start.elapsed().as_secs_f64() * 1e6 / JOBS as f64;
    let mut costs = [Vec::new(), Vec::new()];
    for _ in 0..3 {
        let start = Instant::now();
        (0..JOBS).for_each(|_| drop(jobs.enqueue(&noop()).unwrap()));
        costs[0].push(cost(start));
        let start = Instant::now();
        process(jobs, JOBS);
        costs[1].push(cost(start));
    }
    let [enqueue, process] = costs.map(|mut costs| {
        costs.sort_by(f64::total_cmp);
        costs[1]
    });
    answer(
        &[
            ("figure", enqueue + process),
            ("enqueue", enqueue),
            ("process", process),
        ],
        &[],
    );
}
