//! effectum: a worker of 64 jobs at once on 4 threads of tokio. One process only: it takes the
//! running jobs of another one as lost.
#![deny(unsafe_code)]

#[path = "../../common.rs"]
mod common;

use common::{Asked, BATCH, SLOTS, WORKERS, answer, rate, rate_of_all, text};
use effectum::{Error, Job, JobRunner, Queue, RunningJob, Worker};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

fn main() {
    let asked = Asked::from_arguments();
    assert_eq!(asked.durability, "normal", "effectum sets it itself");
    // It asks for `PRAGMA journal = wal`, which SQLite does not know. This is what it means.
    let conn = rusqlite::Connection::open(asked.file()).unwrap();
    conn.query_row("PRAGMA journal_mode = wal", [], |_| Ok(()))
        .unwrap();
    let runtime = Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .unwrap();
    let queue = runtime.block_on(Queue::new(&asked.file())).unwrap();
    let enqueue = || assert!(runtime.block_on(queue.add_job(job())).is_ok());
    let batch = || fill(&runtime, &queue, BATCH);
    match &*asked.measurement {
        "enqueue" => single(rate(asked.time(), 1, enqueue)),
        "enqueue-16" => single(rate_of_all(asked.time(), enqueue)),
        "enqueue-1000" => single(rate(asked.time(), BATCH, batch)),
        "syncs" => (0..asked.size).for_each(|_| enqueue()),
        "process" => {
            fill(&runtime, &queue, asked.size);
            let start = Instant::now();
            runtime.block_on(process(&queue));
            single(asked.size as f64 / start.elapsed().as_secs_f64());
        }
        other => panic!("no measurement {other:?}"),
    }
    // Without its shutdown.
    std::process::exit(0);
}

fn single(figure: f64) {
    let notes = [
        ("synchronous", "1, as in its source"),
        ("journal_mode", "wal"),
    ];
    answer(&[("figure", figure)], &notes);
}

fn job() -> Job {
    let job = Job::builder("noop").json_payload(&text()).unwrap();
    job.build()
}

fn fill(runtime: &Runtime, queue: &Queue, mut count: usize) {
    while count > 0 {
        let now = count.min(BATCH);
        let jobs = (0..now).map(|_| job()).collect();
        runtime.block_on(queue.add_jobs(jobs)).unwrap();
        count -= now;
    }
}

async fn noop(job: RunningJob, _: Arc<()>) -> Result<(), Error> {
    assert_eq!(job.json_payload::<String>()?.len(), 100);
    Ok(())
}

async fn process(queue: &Queue) {
    let runner = JobRunner::builder("noop", noop).build();
    let builder = Worker::builder(queue, Arc::new(())).jobs([runner]);
    let worker = builder
        .max_concurrency(SLOTS as u16)
        .min_concurrency(SLOTS as u16 / 2);
    let _worker = worker.build().await.unwrap();
    loop {
        let left = queue.num_active_jobs().await.unwrap();
        if left.pending + left.running == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
