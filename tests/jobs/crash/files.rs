//! A lock that others hold, a file that two processes open at once, a disk that is full.

use super::book::{Book, Reader};
use super::child::{self, Child};
use super::{Folder, MS, SECOND, Work, all_is_at_rest, file, kills, open, until};
use millhand::jobs::rusqlite::Connection;
use millhand::jobs::{Consumer, Filter, JobContext, Jobs, JobsErrorKind, Sqlite};
use millhand::{Shutdown, ThreadPool};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How often each job has begun, by its id.
type Runs = Arc<Mutex<BTreeMap<u64, u64>>>;

/// Starts a consumer. Its jobs end when nothing holds `gate`.
fn consume(
    jobs: &Jobs,
    pool: &ThreadPool,
    lease: Duration,
    runs: &Runs,
    gate: &Arc<Mutex<()>>,
) -> Consumer {
    let (runs, gate) = (runs.clone(), gate.clone());
    let run = move |work: Work, context: &JobContext| {
        *runs.lock().unwrap().entry(context.id().0).or_default() += 1;
        drop(gate.lock().unwrap());
        std::thread::sleep(MS);
        Ok::<_, String>(work.n)
    };
    let consumer = jobs.consumer(pool).queue("default", 4).lease(lease);
    consumer.handle(run).start().unwrap()
}

fn integrity(conn: &Connection) -> String {
    let check = "PRAGMA integrity_check";
    conn.query_row(check, [], |row| row.get(0)).unwrap()
}

#[test]
fn a_lock_that_another_program_holds_is_waited_for_and_the_consumer_goes_on() {
    let folder = Folder::new();
    let storage = Sqlite::options(file(folder.path())).patience(SECOND);
    let impatient = Jobs::open(storage.open().unwrap()).unwrap();
    let patient = open(folder.path());
    let (runs, gate) = (Runs::default(), Arc::default());
    let pool = ThreadPool::new(4).unwrap();
    // Far longer than the lock is held.
    let consumers =
        [&impatient, &patient].map(|jobs| consume(jobs, &pool, 600 * SECOND, &runs, &gate));
    let store = |jobs: &Jobs| jobs.job().enqueue_all((0..100).map(|n| Work { n }));
    let lock = Connection::open(file(folder.path())).unwrap();
    lock.busy_timeout(60 * SECOND).unwrap();
    for _ in 0..3 {
        let closed = gate.lock().unwrap();
        drop(store(&impatient).unwrap());
        until("jobs begin", || {
            let mut all = consumers.iter().map(Consumer::report);
            all.all(|report| report.running == 4)
        });
        lock.execute_batch("BEGIN IMMEDIATE").unwrap();
        drop(closed);
        let waits = {
            let patient = patient.clone();
            std::thread::spawn(move || patient.enqueue(&Work { n: 0 }).map(drop))
        };
        until("ends wait", || !consumers[0].report().unsaved.is_empty());
        let error = store(&impatient).unwrap_err();
        assert_eq!(error.kind(), JobsErrorKind::Busy, "{error}");
        assert!(error.to_string().contains("use enqueue_in"), "{error}");
        assert!(!waits.is_finished());
        lock.execute_batch("COMMIT").unwrap();
        waits.join().unwrap().unwrap();
    }
    until("all jobs end", || {
        patient.counts().unwrap().totals.done == 303
    });
    pool.shutdown(Shutdown::drain()).unwrap();
    all_is_at_rest(&patient);
    let runs = runs.lock().unwrap();
    assert!(runs.len() == 303 && runs.values().all(|n| *n == 1));
    assert_eq!(patient.counts().unwrap().totals.crashed, 0);
}

#[test]
fn a_lock_that_is_held_longer_than_the_leases_costs_second_runs_and_no_second_end() {
    let folder = Folder::new();
    let (jobs, runs) = ([open(folder.path()), open(folder.path())], Runs::default());
    let (pool, gate) = (ThreadPool::new(4).unwrap(), Arc::default());
    let consumers = [0, 1].map(|n: usize| consume(&jobs[n], &pool, SECOND, &runs, &gate));
    let lock = Connection::open(file(folder.path())).unwrap();
    lock.busy_timeout(60 * SECOND).unwrap();
    for _ in 0..3 {
        let patient = jobs[0].job().max_crashes(1000);
        let closed = gate.lock().unwrap();
        drop(patient.enqueue_all((0..100).map(|n| Work { n })).unwrap());
        until("jobs begin", || {
            let mut all = consumers.iter().map(Consumer::report);
            all.any(|report| report.running > 0)
        });
        lock.execute_batch("BEGIN IMMEDIATE").unwrap();
        drop(closed);
        until("all leases have ended", || {
            let now = jobs[0].storage().now().unwrap();
            let sessions = jobs[0].sessions().unwrap();
            sessions.iter().all(|one| one.lease_until < now)
        });
        lock.execute_batch("COMMIT").unwrap();
    }
    until("all jobs end", || {
        jobs[0].counts().unwrap().totals.done == 300
    });
    pool.shutdown(Shutdown::drain()).unwrap();
    all_is_at_rest(&jobs[0]);
    let totals = jobs[0].counts().unwrap().totals;
    assert_eq!((totals.done, totals.dead, totals.retried), (300, 0, 0));
    let runs = runs.lock().unwrap();
    let again = runs.values().map(|n| n - 1).sum::<u64>();
    assert_eq!(runs.len(), 300);
    assert!(again <= totals.crashed, "{again}, {totals:?}");
    eprintln!("{} lost claims, {again} jobs begun again", totals.crashed);
}

/// Opens each file that it is told of, and stores a job in it.
pub(super) fn opener() {
    let book = Book::open(&child::folder());
    for (round, path) in (0..).zip(std::io::stdin().lines()) {
        let jobs = Jobs::open(Sqlite::open(path.unwrap()).unwrap()).unwrap();
        let stored = jobs.enqueue(&Work { n: round }).unwrap();
        book.write("opened", &[round, stored.id().0]);
    }
}

#[test]
fn two_processes_may_open_a_file_at_once_and_one_makes_the_tables() {
    let folder = Folder::new();
    let mut book = Reader::open(folder.path());
    let mut openers = [0, 1].map(|_| Child::start("opener", folder.path()));
    let rounds = 2 * kills();
    for round in 0..rounds {
        let path = folder.path().join(format!("{round}.db"));
        let mut others = 0;
        match round % 3 {
            0 => {}
            // A file of the user's, without a WAL.
            1 => {
                let conn = Connection::open(&path).unwrap();
                let table = "CREATE TABLE orders(item TEXT); INSERT INTO orders VALUES ('tea')";
                conn.execute_batch(table).unwrap();
            }
            // One that was used before.
            _ => {
                let jobs = Jobs::open(Sqlite::open(&path).unwrap()).unwrap();
                let _ = jobs.enqueue(&Work { n: 0 }).unwrap();
                others = 1;
            }
        }
        let path_text = path.to_str().unwrap();
        openers.iter_mut().for_each(|one| one.say(path_text));
        until("both have opened it", || {
            assert!(!openers.iter_mut().any(Child::has_died), "round {round}");
            book.read() == 2 * (round + 1)
        });
        let jobs = Jobs::open(Sqlite::open(&path).unwrap()).unwrap();
        assert_eq!(jobs.check(false).unwrap(), []);
        let ids: Vec<_> = jobs
            .list(Filter::default())
            .map(|job| job.unwrap().id.0)
            .collect();
        assert_eq!(ids, (1..=2 + others).collect::<Vec<_>>());
        drop(jobs);
        let conn = Connection::open(&path).unwrap();
        assert_eq!(integrity(&conn), "ok");
        if round % 3 == 1 {
            let count = "SELECT count(*) FROM orders";
            assert_eq!(conn.query_row(count, [], |row| row.get(0)), Ok(1));
        }
    }
    openers.into_iter().for_each(Child::end);
    eprintln!("{rounds} files");
}

/// Works while its files may not grow, which is as a disk that is full.
#[cfg(feature = "signals")]
pub(super) fn full() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    // Then a write that is too much is an error, and not the end.
    let seen = Arc::default();
    signal_hook::flag::register(libc::SIGXFSZ, seen).unwrap();
    let folder = child::folder();
    let (jobs, runs) = (open(&folder), Runs::default());
    let conn = Connection::open(file(&folder)).unwrap();
    let mut stored = 0;
    let pool = ThreadPool::new(2).unwrap();
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap();
    let consumer = consume(&jobs, &pool, 600 * SECOND, &runs, &gate);
    // Four jobs run, and end while nothing can be stored.
    let large = jobs.job().meta("large", "x".repeat(8000));
    let mut store = || large.enqueue(&Work { n: 0 }).map(|_| stored += 1);
    (0..4).for_each(|_| store().unwrap());
    until("four jobs begin", || consumer.report().running == 4);
    let before = getrlimit(Resource::Fsize);
    let limit = |current| {
        let maximum = before.maximum;
        setrlimit(Resource::Fsize, Rlimit { current, maximum }).unwrap();
    };
    let wal = std::fs::metadata(folder.join("jobs.db-wal")).unwrap().len();
    limit(Some(wal + 300_000));
    let error = (0..1000).find_map(|_| store().err()).expect("it is full");
    assert_eq!(error.kind(), JobsErrorKind::Full, "{error}");
    drop(closed);
    until("four ends wait for room", || {
        consumer.report().unsaved.len() == 4
    });
    assert_eq!(store().unwrap_err().kind(), JobsErrorKind::Full);

    limit(before.current);
    store().unwrap();
    until("all jobs end", || {
        jobs.counts().unwrap().totals.done == stored
    });
    pool.shutdown(Shutdown::drain()).unwrap();
    all_is_at_rest(&jobs);
    assert_eq!(integrity(&conn), "ok");
    let runs = runs.lock().unwrap();
    assert_eq!(runs.len() as u64, stored);
    assert!(runs.values().all(|n| *n == 1));
    Book::open(&folder).write("stored", &[stored]);
}

#[cfg(feature = "signals")]
#[test]
fn a_full_disk_refuses_jobs_and_keeps_the_ends_until_there_is_room() {
    for _ in 0..3 {
        let folder = Folder::new();
        Child::start("full", folder.path()).end();
        let stored = Reader::open(folder.path()).all("stored")[0][0];
        assert!(stored > 5);
    }
}
