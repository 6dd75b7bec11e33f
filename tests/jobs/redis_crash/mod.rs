//! Crashes around a Redis server: connections are cut and held up, the server is killed, its memory
//! is full, and hosts lose it. Nothing is lost or ended twice.
//!
//! - `proxy`: stands between clients and a server, and does to their connections what networks do.
//! - `cuts`: connections are cut at any byte.
//! - `restarts`: the server is killed, and started again.
//! - `late`: requests and replies come later than anything waits for them.
//! - `full`: the memory of the server is full.
//! - `hosts`: hosts are cut off for longer than their leases, and come back.
//! - `idle`: what a consumer costs that has nothing to do. It decides nothing.
//!
//! No verdict depends on time, as in `crash`.
//!
//! `MILLHAND_CUTS` sets how often connections are cut. Default: 200. Other counts follow from it:
//! a fortieth of the restarts, and at least ten; a quarter of the requests that are held back; a
//! twentieth of the times that a host is cut off. `MILLHAND_IDLE` sets for how many seconds the idle
//! consumer is looked at. Default: 2.

mod cuts;
mod full;
#[cfg(target_os = "linux")]
mod hosts;
#[cfg(target_os = "linux")]
mod idle;
mod late;
mod proxy;
mod restarts;

use crate::crash::{Work, all_is_at_rest, until};
use millhand::jobs::{
    Consumer, Fate, Filter, Job, JobContext, JobId, JobState, Jobs, JobsError, Outcome,
    QueueCounts, Redis,
};
use millhand::{Shutdown, ThreadPool};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// What the children of these tests run.
#[cfg(target_os = "linux")]
pub(crate) fn run_child(role: &str) {
    match role {
        "redis host" => hosts::host(),
        "redis idle" => idle::idle(),
        other => panic!("no such child: {other}"),
    }
}

/// How often connections are cut.
fn cuts() -> usize {
    let set = std::env::var("MILLHAND_CUTS").ok();
    set.map_or(200, |cuts| cuts.parse().unwrap())
}

fn open(url: &str) -> Jobs {
    Jobs::open(Redis::connect(url).unwrap()).unwrap()
}

/// The counts of the only queue.
fn counts(jobs: &Jobs) -> QueueCounts {
    jobs.counts().unwrap().queues.pop().unwrap_or_default()
}

/// The numbers of the jobs whose bodies have come to their ends.
#[derive(Clone, Default)]
struct Ran(Arc<Mutex<BTreeMap<u64, u64>>>);

impl Ran {
    fn note(&self, n: u64) {
        *self.0.lock().unwrap().entry(n).or_default() += 1;
    }

    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn has(&self, n: u64) -> bool {
        self.0.lock().unwrap().contains_key(&n)
    }

    /// How many bodies ran again.
    fn again(&self) -> u64 {
        self.0.lock().unwrap().values().map(|runs| runs - 1).sum()
    }
}

/// A consumer with a pool of its own.
struct Worker {
    pool: ThreadPool,
    consumer: Consumer,
}

impl Worker {
    /// Runs jobs, and notes each.
    fn start(jobs: &Jobs, ran: &Ran) -> Self {
        let ran = ran.clone();
        Self::with(jobs, 4, move |work, _| {
            // Some outlast whatever is done to the server.
            let is_long = work.n % 40 == 0;
            thread::sleep(MS * if is_long { 250 } else { (work.n % 5) as u32 });
            ran.note(work.n);
            Ok(work.n)
        })
    }

    fn with(
        jobs: &Jobs,
        slots: usize,
        run: impl Fn(Work, &JobContext) -> Result<u64, String> + Send + Sync + 'static,
    ) -> Self {
        let pool = ThreadPool::new(slots).unwrap();
        let consumer = jobs.consumer(&pool).queue(Work::QUEUE, slots).lease(SECOND);
        let consumer = consumer.handle(run).start().unwrap();
        Self { pool, consumer }
    }

    /// Ends it. It had not ended before, and leaves nothing unsaid.
    fn end(self) {
        until("a consumer reaches its storage", || {
            self.consumer.report().failing.is_none()
        });
        self.pool.shutdown(Shutdown::drain()).unwrap();
        let report = self.consumer.report();
        assert_eq!((report.running, report.unsaved.len()), (0, 0), "{report}");
    }
}

/// Waits until each of them runs jobs that are stored now, so none has ended by itself.
fn all_go_on(workers: &[Worker]) {
    let done = |worker: &Worker| worker.consumer.report().done;
    for (worker, before) in workers
        .iter()
        .zip(workers.iter().map(done).collect::<Vec<_>>())
    {
        until("each consumer runs jobs", || done(worker) > before + 2);
    }
}

/// A job whose enqueue returned.
#[derive(Clone, Debug)]
struct Stored {
    n: u64,
    id: JobId,
    /// When the enqueue began, and when it had returned.
    began: Instant,
    at: Instant,
}

/// What some threads have stored.
#[derive(Clone, Default)]
struct Ledger(Arc<Mutex<Entries>>);

#[derive(Default)]
struct Entries {
    stored: Vec<Stored>,
    /// An enqueue answered an error, so they may be stored or not.
    unknown: Vec<u64>,
}

impl Ledger {
    fn count(&self) -> usize {
        self.0.lock().unwrap().stored.len()
    }

    /// Starts threads that store jobs, one to three at a time.
    fn start(&self, all: impl IntoIterator<Item = Jobs>) -> Enqueuers {
        let is_over = Arc::new(AtomicBool::new(false));
        let start = |(part, jobs): (usize, Jobs)| {
            let (ledger, is_over) = (self.clone(), is_over.clone());
            thread::spawn(move || {
                let mut n = 1_000_000 * (1 + part as u64);
                while !is_over.load(SeqCst) {
                    let numbers: Vec<u64> = (n..=n + n % 3).collect();
                    n += numbers.len() as u64;
                    if let Err(error) = ledger.enqueue(&jobs, &numbers) {
                        assert!(error.is_transient(), "{error}");
                    }
                    thread::sleep(4 * MS);
                }
            })
        };
        Enqueuers {
            threads: all.into_iter().enumerate().map(start).collect(),
            is_over,
        }
    }

    /// Stores some jobs with these numbers by one enqueue, and notes what was answered.
    fn enqueue(&self, jobs: &Jobs, numbers: &[u64]) -> Result<Vec<JobId>, JobsError> {
        let began = Instant::now();
        let template = jobs.job().max_crashes(1_000_000).keep(HOUR);
        let result = template.enqueue_all(numbers.iter().map(|n| Work { n: *n }));
        let mut entries = self.0.lock().unwrap();
        let all = match result {
            Ok(all) => all,
            Err(error) => {
                entries.unknown.extend(numbers);
                return Err(error);
            }
        };
        let ids = all.iter().map(|one| one.id()).collect();
        for (n, one) in numbers.iter().zip(all) {
            assert!(one.is_new());
            entries.stored.push(Stored {
                n: *n,
                id: one.id(),
                began,
                at: Instant::now(),
            });
        }
        Ok(ids)
    }

    /// Waits until all that is stored has ended. Then looks at each job: what was acknowledged is
    /// there once unless `may_miss` it, nothing is there twice, all are done once, and each by its
    /// own body. Returns what is missing.
    fn settle(&self, jobs: &Jobs, ran: &Ran, may_miss: impl Fn(&Stored) -> bool) -> Vec<Stored> {
        until("all jobs end", || {
            let counts = counts(jobs);
            counts.ready + counts.running + counts.scheduled + counts.blocked == 0
        });
        let mut found = BTreeMap::new();
        let all = Filter {
            payloads: true,
            ..Filter::default()
        };
        for job in jobs.list(all) {
            let job = job.unwrap();
            assert_eq!(job.state, JobState::Done, "{job:?}");
            let work: Work = serde_json::from_slice(&job.payload).unwrap();
            let Fate::Ended(Outcome::Done(output)) = jobs.outcome(job.id).unwrap() else {
                panic!("{job:?}");
            };
            assert_eq!(output, work.n.to_string().into_bytes(), "{job:?}");
            assert!(ran.has(work.n), "it has not run: {job:?}");
            let twice = found.insert(work.n, job.id);
            assert_eq!(twice, None, "stored twice: {job:?}");
        }
        let totals = jobs.counts().unwrap().totals;
        assert_eq!(totals.done, found.len() as u64, "{totals:?}");
        assert_eq!((totals.dead, totals.retried, totals.cancelled), (0, 0, 0));
        let mut entries = self.0.lock().unwrap();
        let stored = std::mem::take(&mut entries.stored);
        let mut missing = Vec::new();
        for one in stored {
            match found.remove(&one.n) {
                Some(id) => assert_eq!(id, one.id, "{one:?}"),
                None => {
                    assert!(may_miss(&one), "lost: {one:?}");
                    missing.push(one);
                }
            }
        }
        // What is left is known to nothing but the storage.
        for n in found.keys() {
            assert!(entries.unknown.contains(n), "where does {n} come from?");
        }
        missing
    }
}

struct Enqueuers {
    threads: Vec<thread::JoinHandle<()>>,
    is_over: Arc<AtomicBool>,
}

impl Enqueuers {
    fn end(self) {
        self.is_over.store(true, SeqCst);
        for thread in self.threads {
            thread.join().unwrap();
        }
    }
}
