//! The memory of the server is full.

use super::{Ran, SECOND, Work, Worker, all_is_at_rest, counts, open, until};
use crate::redis_server::Server;
use millhand::jobs::{Heartbeat, Job, JobsErrorKind, QueueChange, SessionInfo};
use std::sync::Mutex;
use std::sync::mpsc;

fn set_limit(server: &Server, bytes: u64) {
    let client = redis::Client::open(server.url()).unwrap();
    let mut conn = client.get_connection().unwrap();
    let mut set = redis::cmd("CONFIG");
    set.arg("SET").arg("maxmemory").arg(bytes);
    let () = set.query(&mut conn).unwrap();
}

fn used(server: &Server) -> u64 {
    let client = redis::Client::open(server.url()).unwrap();
    let mut conn = client.get_connection().unwrap();
    let info = redis::cmd("INFO").arg("memory").query(&mut conn);
    let info: String = info.unwrap();
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"));
    line.unwrap().trim().parse().unwrap()
}

#[test]
fn when_the_memory_is_full_jobs_end_and_leases_go_on_until_there_is_room() {
    let server = Server::start(&["--maxmemory-policy", "noeviction"]);
    let jobs = open(&server.url());
    let ran = Ran::default();

    // One job that runs all the time, in a consumer of its own.
    let (sender, may_end) = mpsc::channel::<()>();
    let (may_end, of_slow) = (Mutex::new(may_end), ran.clone());
    let slow = Worker::with(&open(&server.url()), 1, move |work, _| {
        // Until the sender is dropped.
        let _ = may_end.lock().unwrap().recv();
        of_slow.note(work.n);
        Ok(work.n)
    });
    let template = jobs.job().max_crashes(1_000_000);
    let _ = template.enqueue(&Work { n: 0 }).unwrap();
    until("it runs", || counts(&jobs).running == 1);

    // With as much room as some hundred jobs need.
    set_limit(&server, used(&server) + (1 << 20));
    let padded = |n: u64| {
        let template = jobs
            .job()
            .max_crashes(1_000_000)
            .meta("padding", "x".repeat(10_000));
        template.enqueue(&Work { n }).map(drop)
    };
    let mut stored = 0;
    let error = loop {
        match padded(1 + stored) {
            Ok(()) => stored += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), JobsErrorKind::Full, "{error}");
    assert!(error.is_transient());
    assert!(stored > 10 && counts(&jobs).ready == stored, "{stored}");

    // Not even one byte is left.
    set_limit(&server, 1);
    let storage = jobs.storage();
    let session = storage.open_session(&SessionInfo::default(), 60 * SECOND);
    let sign = Heartbeat {
        session: session.unwrap(),
        lease: 60 * SECOND,
        settled: 0,
        held: &[],
    };
    assert!(storage.heartbeat(&sign).unwrap().alive);
    storage.close_session(sign.session).unwrap();
    jobs.set_queue(Work::QUEUE, QueueChange::Pause).unwrap();
    jobs.set_queue(Work::QUEUE, QueueChange::Resume).unwrap();
    // A consumer that starts now gets its session, its jobs and their ends through.
    let fast = Worker::start(&open(&server.url()), &ran);
    until("all the others end", || {
        jobs.counts().unwrap().totals.done >= stored
    });
    let still = jobs.enqueue(&Work { n: 1 }).unwrap_err();
    assert_eq!(still.kind(), JobsErrorKind::Full, "{still}");
    drop(sender);
    until("the slow one ends", || {
        jobs.counts().unwrap().totals.done == stored + 1
    });

    // With the limit of before, there is room by itself.
    set_limit(&server, used(&server) + (1 << 19));
    until("there is room", || padded(1 + stored).is_ok());
    until("it ends", || {
        jobs.counts().unwrap().totals.done == stored + 2
    });
    set_limit(&server, 0);
    slow.end();
    fast.end();
    all_is_at_rest(&jobs);
    let totals = jobs.counts().unwrap().totals;
    assert_eq!((totals.done, ran.count() as u64), (stored + 2, stored + 2));
    assert_eq!((totals.dead, totals.retried, totals.cancelled), (0, 0, 0));
    eprintln!("{stored} jobs until the memory was full");
}

#[test]
fn producers_go_on_by_themselves_when_jobs_have_left_the_memory() {
    let server = Server::start(&["--maxmemory-policy", "noeviction"]);
    let jobs = open(&server.url());
    let ran = Ran::default();
    set_limit(&server, used(&server) + (1 << 20));
    let template = jobs
        .job()
        .max_crashes(1_000_000)
        .meta("padding", "x".repeat(10_000));
    let store = |n: u64| template.enqueue(&Work { n }).map(drop);
    let (mut worker, mut refused) = (None, 0);
    for n in 0..1000 {
        // The same job again and again, as a producer does that must not lose it.
        until("there is room", || match store(n) {
            Ok(()) => true,
            Err(error) => {
                assert_eq!(error.kind(), JobsErrorKind::Full, "{error}");
                refused += 1;
                // Nothing consumes before the first refusal.
                let start = || Worker::start(&open(&server.url()), &ran);
                worker.get_or_insert_with(start);
                false
            }
        });
    }
    until("all jobs end", || {
        jobs.counts().unwrap().totals.done == 1000
    });
    worker.unwrap().end();
    all_is_at_rest(&jobs);
    assert_eq!(ran.count(), 1000);
    eprintln!("1000 jobs, {refused} refusals");
}
