//! What a consumer writes to the log.

use millhand::cancel::CancelReason;
use millhand::jobs::{Handler, Job, JobContext, Jobs, Memory};
use millhand::testing::Simulation;
use millhand::{CancelToken, Retry, Shutdown, ThreadPool};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// A pool for which one line takes long.
const SLOW: &str = "slow-log";

/// The lines of all tests of this process.
struct Lines(Mutex<Vec<String>>);

static LINES: Lines = Lines(Mutex::new(Vec::new()));

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = format!("{} {}", record.level(), record.args());
        let pool = record.key_values().get("pool".into());
        let is_slow = pool.is_some_and(|pool| pool.to_string() == SLOW);
        if is_slow && line.contains("lost its lease") {
            let _ = CancelToken::new().wait_timeout(20 * SECOND);
        }
        self.0.lock().unwrap().push(line);
    }

    fn flush(&self) {}
}

fn collect() {
    static ONCE: OnceLock<()> = OnceLock::new();
    ONCE.get_or_init(|| {
        log::set_logger(&LINES).unwrap();
        log::set_max_level(log::LevelFilter::Info);
    });
}

/// The lines with this text, which no other test has.
fn lines(text: &str) -> Vec<String> {
    let lines = LINES.0.lock().unwrap();
    lines
        .iter()
        .filter(|line| line.contains(text))
        .cloned()
        .collect()
}

#[derive(Serialize, Deserialize)]
struct Parcel;

impl Job for Parcel {
    const NAME: &'static str = "parcel-of-the-log";
    const QUEUE: &'static str = "parcels";
    type Output = ();
}

#[test]
fn an_attempt_that_fails_is_logged_with_its_job() {
    collect();
    let (pool, simulation) = ThreadPool::simulated(1);
    let jobs = Jobs::open(Memory::options().clock(simulation.clock()).build()).unwrap();
    let fails = Handler::new(|_: Parcel, context: &JobContext| match context.failures() {
        0 => Err("no such street"),
        _ => panic!("no such town"),
    });
    let consumer = jobs.consumer(&pool).queue("parcels", 1);
    let fails = fails.retry(Retry::fixed(1, SECOND));
    consumer.handler(fails).start().unwrap();
    let id = jobs.enqueue(&Parcel).unwrap().id();
    simulation.advance(10 * SECOND);
    pool.shutdown(Shutdown::drain()).unwrap();
    let job = format!("the job {id} (parcel-of-the-log)");
    let first = lines("no such street").remove(0);
    let text = format!("{job} failed, and runs again in 1s: no such street");
    assert!(
        first.starts_with("WARN") && first.ends_with(&text),
        "{first}"
    );
    let dead = lines(&format!("{job} is dead"));
    assert_eq!(dead.len(), 1);
    assert!(dead[0].contains("panicked: no such town"), "{dead:?}");
}

#[test]
fn a_queue_that_a_consumer_does_not_run_is_logged_at_its_start() {
    collect();
    let (pool, simulation) = ThreadPool::simulated(2);
    let jobs = Jobs::open(Memory::options().clock(simulation.clock()).build()).unwrap();
    let consumer = jobs.consumer(&pool).queue("letters", 1);
    let consumer = consumer.handle(|_: Parcel, _: &JobContext| Ok::<_, String>(()));
    let weekly = jobs
        .job()
        .queue("weekly")
        .every("wrong-queue", SECOND, |_| Parcel);
    consumer.schedule(weekly).start().unwrap();
    simulation.advance(SECOND);
    pool.shutdown(Shutdown::drain()).unwrap();
    let handler = lines("wait in the queue \"parcels\"");
    assert_eq!(handler.len(), 1);
    let schedule = lines("the schedule \"wrong-queue\"");
    assert!(schedule[0].contains("the queue \"weekly\""), "{schedule:?}");
}

#[test]
fn what_the_next_session_claims_is_not_cancelled_though_the_log_is_slow() {
    collect();
    let simulation = Simulation::new(3);
    let pool = ThreadPool::builder().workers(4).name_prefix(SLOW);
    let pool = pool.build().unwrap();
    let jobs = Jobs::open(Memory::options().clock(simulation.clock()).build()).unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let asked = seen.clone();
    let consumer = jobs.consumer(&pool).queue("parcels", 2);
    let consumer = consumer.handle(move |_: Parcel, _: &JobContext| {
        millhand::sleep(1000 * SECOND)
            .inspect_err(|stopped| asked.lock().unwrap().push(stopped.reason()))
    });
    let consumer = consumer.start().unwrap();
    let kept = jobs.job().keep(3600 * SECOND);
    let job = kept.enqueue(&Parcel).unwrap().into_handle();
    simulation.advance(SECOND);
    // While it is paused, a sign of life is what finds that the session is gone.
    consumer.pause();
    let session = jobs.sessions().unwrap()[0].id;
    assert_eq!(jobs.storage().close_session(session).unwrap(), 1);
    simulation.advance(10 * SECOND);
    consumer.resume();
    simulation.advance(60 * SECOND);
    assert_eq!(*seen.lock().unwrap(), [CancelReason::Lease]);
    job.join().unwrap();
    pool.shutdown(Shutdown::drain()).unwrap();
    assert_eq!(jobs.check(false).unwrap(), []);
}
