//! The consumer over a SQLite file, with tables of the program in the same file.

use crate::support::Folder;
use millhand::jobs::rusqlite::Connection;
use millhand::jobs::{Handler, Job, JobContext, JobState, Jobs, JobsErrorKind, Memory, Sqlite};
use millhand::{Retry, Shutdown, ThreadPool};
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Serialize, Deserialize)]
struct Order {
    item: String,
}

impl Job for Order {
    const NAME: &'static str = "order";
    type Output = String;
}

fn order(item: &str) -> Order {
    Order { item: item.into() }
}

fn open(path: &PathBuf) -> Jobs {
    Jobs::open(Sqlite::open(path).unwrap()).unwrap()
}

fn count(path: &PathBuf) -> i64 {
    let own = Connection::open(path).unwrap();
    own.query_row("SELECT count(*) FROM shipped", [], |row| row.get(0))
        .unwrap()
}

#[test]
fn an_order_and_its_job_are_stored_together_or_not_at_all() {
    let folder = Folder::new();
    let path = folder.file("app.db");
    let jobs = open(&path);
    let mut own = Connection::open(&path).unwrap();
    for commits in [false, true] {
        let tx = own.transaction().unwrap();
        let enqueued = jobs.job().enqueue_in(&tx, &order("tea")).unwrap();
        assert!(enqueued.is_new());
        match commits {
            true => tx.commit().unwrap(),
            false => tx.rollback().unwrap(),
        }
        jobs.wake();
        let state = enqueued.handle().state().unwrap();
        assert_eq!(state, commits.then_some(JobState::Ready));
    }
    let memory = Jobs::open(Memory::new()).unwrap();
    let refused = memory.job().enqueue_in(&own, &order("tea")).unwrap_err();
    assert_eq!(refused.kind(), JobsErrorKind::Invalid);
}

#[test]
fn what_a_handler_writes_and_the_end_of_its_job_happen_once() {
    let folder = Folder::new();
    let path = folder.file("app.db");
    let own = Connection::open(&path).unwrap();
    own.execute_batch("CREATE TABLE shipped(item TEXT)")
        .unwrap();
    let jobs = open(&path);
    let pool = ThreadPool::new(2).unwrap();
    let in_handler = path.clone();
    let ship =
        move |order: Order, job: &JobContext| -> Result<String, Box<dyn Error + Send + Sync>> {
            let mut own = Connection::open(&in_handler)?;
            own.busy_timeout(Duration::from_secs(60))?;
            let tx = own.transaction()?;
            tx.execute("INSERT INTO shipped VALUES (?1)", [&order.item])?;
            let output = format!("{} shipped", order.item);
            if job.failures() == 0 {
                return Err("the first time nothing is committed".into());
            }
            job.complete_in(&tx, &output)?;
            tx.commit()?;
            Ok(output)
        };
    let handler = Handler::new(ship).retry(Retry::fixed(3, Duration::ZERO));
    let handler = handler.keep(Duration::from_secs(3600));
    let consumer = jobs.consumer(&pool).queue("default", 4).handler(handler);
    let consumer = consumer.start().unwrap();
    let items = ["tea", "milk", "rice"];
    let all = jobs.job().enqueue_all(items.map(order)).unwrap();
    for (one, item) in all.iter().zip(items) {
        assert_eq!(one.handle().join().unwrap(), format!("{item} shipped"));
    }
    pool.shutdown(Shutdown::drain()).unwrap();
    let report = consumer.report();
    assert_eq!((report.done, report.retried, report.gone), (3, 3, 0));
    assert_eq!(count(&path), 3);
    assert_eq!(jobs.check(false).unwrap(), []);
}

#[test]
fn an_end_that_the_handler_did_not_commit_is_a_failure() {
    let folder = Folder::new();
    let path = folder.file("app.db");
    let jobs = open(&path);
    let pool = ThreadPool::new(1).unwrap();
    let in_handler = path;
    let handler = Handler::new(
        move |order: Order, job: &JobContext| -> Result<String, Box<dyn Error + Send + Sync>> {
            let mut own = Connection::open(&in_handler)?;
            own.busy_timeout(Duration::from_secs(60))?;
            let tx = own.transaction()?;
            job.complete_in(&tx, &order.item)?;
            drop(tx); // forgets the commit
            Ok(order.item)
        },
    );
    let handler = handler.retry(Retry::fixed(2, Duration::ZERO));
    let consumer = jobs.consumer(&pool).queue("default", 1).handler(handler);
    let consumer = consumer.start().unwrap();
    let error = jobs
        .enqueue(&order("tea"))
        .unwrap()
        .handle()
        .join()
        .unwrap_err();
    assert!(error.to_string().contains("not committed"), "{error}");
    pool.shutdown(Shutdown::drain()).unwrap();
    let report = consumer.report();
    assert_eq!((report.done, report.retried, report.dead), (0, 2, 1));
}

/// As the guide says, for programs in other languages.
#[test]
fn a_job_of_a_plain_insert_runs() {
    let folder = Folder::new();
    let path = folder.file("app.db");
    let jobs = open(&path);
    let own = Connection::open(&path).unwrap();
    own.execute_batch(
        "INSERT INTO mh_job(queue, kind, priority, state, run_at, enqueued_at, payload)
         VALUES ('default', 'order', 0, 0, 0, 0, CAST('{\"item\":\"tea\"}' AS BLOB));",
    )
    .unwrap();
    let handle = jobs.handle::<Order>("1".parse().unwrap());
    assert_eq!(handle.state().unwrap(), Some(JobState::Scheduled));
    let pool = ThreadPool::new(1).unwrap();
    let handler = Handler::new(|order: Order, _: &JobContext| Ok::<_, String>(order.item));
    let consumer = jobs.consumer(&pool).queue("default", 1);
    consumer
        .handler(handler.keep(Duration::from_secs(60)))
        .start()
        .unwrap();
    assert_eq!(handle.join().unwrap(), "tea");
    pool.shutdown(Shutdown::drain()).unwrap();
}
