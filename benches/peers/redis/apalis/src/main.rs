//! apalis-redis: a worker of 100 jobs at once, which fetches 100 at a time, on 4 threads of tokio.
#![deny(unsafe_code)]

#[path = "../../../durable/common.rs"]
mod common;

use apalis::prelude::*;
use apalis_redis::{Config, RedisStorage};
use common::{Asked, BATCH, WORKERS, answer, rate, rate_of_all, ready, text};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;

type Storage = RedisStorage<String>;

/// As many as BullMQ has.
const SLOTS: usize = 100;

static LEFT: AtomicUsize = AtomicUsize::new(0);
static LAST: Notify = Notify::const_new();

fn main() {
    let asked = Asked::from_arguments();
    let runtime = Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .unwrap();
    let connection = runtime
        .block_on(apalis_redis::connect(asked.address()))
        .unwrap();
    let config = Config::default().queue("noop").batch_size(SLOTS);
    let storage = Storage::new(connection).with_config(config);
    let enqueue = || runtime.block_on(storage.clone().push(text())).unwrap();
    let batch = || fill(&runtime, &storage, BATCH);
    match &*asked.measurement {
        "enqueue" => single(rate(asked.time(), 1, enqueue)),
        "enqueue-16" => single(rate_of_all(asked.time(), enqueue)),
        "enqueue-1000" => single(rate(asked.time(), BATCH, batch)),
        "fill" => fill(&runtime, &storage, asked.size),
        "process" => {
            LEFT.store(asked.size, Ordering::Relaxed);
            let start = Instant::now();
            consume(&runtime, storage.clone());
            runtime.block_on(LAST.notified());
            single(asked.size as f64 / start.elapsed().as_secs_f64());
        }
        "handle" => {
            LEFT.store(usize::MAX, Ordering::Relaxed);
            consume(&runtime, storage.clone());
            ready();
        }
        other => panic!("no measurement {other:?}"),
    }
    // Without its shutdown.
    std::process::exit(0);
}

fn single(figure: f64) {
    answer(&[("figure", figure)], &[]);
}

fn fill(runtime: &Runtime, storage: &Storage, mut count: usize) {
    while count > 0 {
        let now = count.min(BATCH);
        let jobs = (0..now).map(|_| text()).collect();
        runtime.block_on(storage.clone().push_bulk(jobs)).unwrap();
        count -= now;
    }
}

async fn noop(job: String) -> Result<(), BoxDynError> {
    assert_eq!(job.len(), 100);
    if LEFT.fetch_sub(1, Ordering::Relaxed) == 1 {
        LAST.notify_one();
    }
    Ok(())
}

fn consume(runtime: &Runtime, storage: Storage) {
    let worker = WorkerBuilder::new("worker")
        .backend(storage)
        .concurrency(SLOTS)
        .build(noop);
    drop(runtime.spawn(worker.run()));
}
