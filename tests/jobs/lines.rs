//! What a consumer writes to the log.

use millhand::jobs::{Handler, Job, JobContext, Jobs, Memory};
use millhand::{Retry, Shutdown, ThreadPool};
use serde::{Deserialize, Serialize};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// The lines of all tests of this process.
struct Lines(Mutex<Vec<String>>);

static LINES: Lines = Lines(Mutex::new(Vec::new()));

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = format!("{} {}", record.level(), record.args());
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
