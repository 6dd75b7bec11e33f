//! honker: one connection a process, as its `Database` has it. Jobs are claimed and confirmed 64 at
//! a time by one thread, since it has no pool of workers.
#![deny(unsafe_code)]

#[path = "../../common.rs"]
mod common;

use common::{Asked, BATCH, FAR, SLOTS, answer, now, rate, rate_of_all, ready, text, trips};
use honker::{Database, EnqueueOpts, Queue, QueueOpts};
use std::thread;
use std::time::{Duration, Instant};

fn main() {
    let asked = Asked::from_arguments();
    let db = Database::open(asked.file()).unwrap();
    let pragma = format!("PRAGMA synchronous = {}", asked.synchronous());
    db.with_conn(|conn| conn.execute_batch(&pragma)).unwrap();
    let queue = db.queue("default", QueueOpts::default());
    let enqueue = || assert!(queue.enqueue(&text(), EnqueueOpts::default()).is_ok());
    let batch = || fill(&db, &queue, BATCH, None);
    match &*asked.measurement {
        "enqueue" => single(&db, rate(asked.time(), 1, enqueue)),
        "enqueue-16" => single(&db, rate_of_all(asked.time(), enqueue)),
        "enqueue-1000" => single(&db, rate(asked.time(), BATCH, batch)),
        "syncs" => (0..asked.size).for_each(|_| enqueue()),
        "process" => {
            fill(&db, &queue, asked.size, None);
            let start = Instant::now();
            assert_eq!(process(&queue, "worker"), asked.size);
            single(&db, asked.size as f64 / start.elapsed().as_secs_f64());
        }
        "process-2" => {
            fill(&db, &queue, asked.size, None);
            let others = [(); 2].map(|()| asked.other_process("process-part"));
            let start = Instant::now();
            thread::scope(|scope| {
                for other in others {
                    scope.spawn(|| other.finish());
                }
            });
            single(&db, asked.size as f64 / start.elapsed().as_secs_f64());
        }
        "process-part" => {
            ready();
            process(&queue, &format!("worker-{}", std::process::id()));
        }
        "round-trip" => {
            let other = asked.other_process("handle");
            let updates = db.update_events();
            trips(asked.size, || {
                let began = now();
                let id = queue.enqueue(&text(), EnqueueOpts::default()).unwrap();
                let enqueued = now();
                let result = loop {
                    if let Some(result) = db.get_result(id).unwrap() {
                        break result;
                    }
                    updates.recv_timeout(Duration::from_secs(1)).unwrap();
                };
                [began, enqueued, result.parse().unwrap(), now()]
            });
            other.finish();
        }
        "handle" => {
            thread::spawn(move || {
                let waker = queue.claim_waker();
                while let Some(job) = waker.next("worker").unwrap() {
                    db.save_result(job.id, &now().to_string(), 60).unwrap();
                    job.ack().unwrap();
                }
            });
            ready();
        }
        "growth" => growth(&asked, &db, &queue),
        other => panic!("no measurement {other:?}"),
    }
}

fn single(db: &Database, figure: f64) {
    let look = |name: &str| {
        let text = format!("SELECT CAST({name} AS TEXT) FROM pragma_{name}");
        db.with_conn(|conn| conn.query_row(&text, [], |row| row.get::<_, String>(0)))
            .unwrap()
    };
    let notes = ["synchronous", "journal_mode"].map(|name| (name, look(name)));
    let notes = notes
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    answer(&[("figure", figure)], &notes);
}

fn fill(db: &Database, queue: &Queue, mut count: usize, run_at: Option<i64>) {
    while count > 0 {
        let now = count.min(BATCH);
        let transaction = db.transaction().unwrap();
        for _ in 0..now {
            let options = EnqueueOpts {
                run_at,
                ..EnqueueOpts::default()
            };
            queue.enqueue_tx(&transaction, &text(), options).unwrap();
        }
        transaction.commit().unwrap();
        count -= now;
    }
}

/// Until no job waits. Returns how many there were.
fn process(queue: &Queue, worker: &str) -> usize {
    let mut count = 0;
    loop {
        let jobs = queue.claim_batch(worker, SLOTS as i64).unwrap();
        if jobs.is_empty() {
            return count;
        }
        for job in &jobs {
            assert_eq!(job.payload_as::<String>().unwrap().len(), 100);
        }
        let ids: Vec<i64> = jobs.iter().map(|job| job.id).collect();
        count += queue.ack_batch(&ids, worker).unwrap() as usize;
    }
}

fn growth(asked: &Asked, db: &Database, queue: &Queue) {
    const JOBS: usize = 2000;
    let far = now() / 1_000_000_000 + FAR.as_secs() as i64;
    fill(db, queue, asked.size, Some(far));
    let cost = |start: Instant| start.elapsed().as_secs_f64() * 1e6 / JOBS as f64;
    let mut costs = [Vec::new(), Vec::new()];
    for _ in 0..3 {
        let start = Instant::now();
        for _ in 0..JOBS {
            queue.enqueue(&text(), EnqueueOpts::default()).unwrap();
        }
        costs[0].push(cost(start));
        let start = Instant::now();
        assert_eq!(process(queue, "worker"), JOBS);
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
