//! apalis-sqlite: a worker of 64 jobs at once, which fetches 64 at a time, on 4 threads of tokio.
#![deny(unsafe_code)]

#[path = "../../common.rs"]
mod common;

use apalis::prelude::*;
use apalis_sqlite::{Config, SqliteConnectOptions, SqlitePool, SqliteStorage};
use common::{Asked, BATCH, SLOTS, WORKERS, answer, rate, rate_of_all, text};
use sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

type Storage = SqliteStorage<String>;

fn main() {
    let asked = Asked::from_arguments();
    let runtime = Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .unwrap();
    let pool = runtime.block_on(open(&asked));
    let storage =
        Storage::new(&pool).with_config(Config::default().queue("noop").batch_size(SLOTS));
    let enqueue = || runtime.block_on(storage.clone().push(text())).unwrap();
    let batch = || fill(&runtime, &storage, BATCH);
    let single = |figure| runtime.block_on(single(&pool, figure));
    match &*asked.measurement {
        "enqueue" => single(rate(asked.time(), 1, enqueue)),
        "enqueue-16" => single(rate_of_all(asked.time(), enqueue)),
        "enqueue-1000" => single(rate(asked.time(), BATCH, batch)),
        "syncs" => (0..asked.size).for_each(|_| enqueue()),
        "process" => {
            fill(&runtime, &storage, asked.size);
            let start = Instant::now();
            runtime.block_on(process(&pool, storage.clone(), asked.size));
            single(asked.size as f64 / start.elapsed().as_secs_f64());
        }
        other => panic!("no measurement {other:?}"),
    }
    // Without its shutdown.
    std::process::exit(0);
}

/// Its `setup` turns the flushes off for one of the connections. So that one is closed, and those
/// after it have what was asked for.
async fn open(asked: &Asked) -> SqlitePool {
    let synchronous = match &*asked.durability {
        "full" => SqliteSynchronous::Full,
        "normal" => SqliteSynchronous::Normal,
        other => panic!("no durability {other:?}"),
    };
    let options = SqliteConnectOptions::new()
        .filename(asked.file())
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(synchronous);
    let pool = SqlitePool::connect_with(options.clone()).await.unwrap();
    SqliteStorage::setup(&pool).await.unwrap();
    pool.close().await;
    SqlitePool::connect_with(options).await.unwrap()
}

async fn single(pool: &SqlitePool, figure: f64) {
    let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous")
        .fetch_one(pool)
        .await
        .unwrap();
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode")
        .fetch_one(pool)
        .await
        .unwrap();
    let notes = [
        ("synchronous", &*synchronous.to_string()),
        ("journal_mode", &*mode),
    ];
    answer(&[("figure", figure)], &notes);
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
    Ok(())
}

async fn process(pool: &SqlitePool, storage: Storage, count: usize) {
    let worker = WorkerBuilder::new("worker")
        .backend(storage)
        .concurrency(SLOTS)
        .build(noop);
    let running = tokio::spawn(worker.run());
    loop {
        let done = sqlx::query_scalar("SELECT count(*) FROM Jobs WHERE status = 'Done'");
        let done: i64 = done.fetch_one(pool).await.unwrap();
        if done == count as i64 {
            return;
        }
        assert!(!running.is_finished(), "the worker has ended");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
