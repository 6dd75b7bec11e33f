//! `Sqlite`: what a file, several connections and several processes make of it.

use crate::steps::{
    assert_unknown_parents_are_named, done, exchange, pass_a_lane_on_in_parts, ready,
};
use crate::support::Folder;
use millhand::jobs::rusqlite::Connection;
use millhand::jobs::{
    Batch, BatchNumber, Due, Durability, Ended, Exchange, Fate, Filter, Heartbeat, JobId, JobState,
    JobsError, JobsErrorKind, Judged, Memory, NewJob, Notifier, Outcome, Page, Placed, QueueChange,
    SessionId, SessionInfo, Sqlite, Storage, StoredTime, Unique, UniqueUntil, Verdict, Want,
};
use millhand::task::CancelOutcome;
use millhand::testing::ManualClock;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

const LONG: Duration = Duration::from_secs(600);
const SECOND: Duration = Duration::from_secs(1);

fn db(folder: &Folder) -> PathBuf {
    folder.file("jobs.db")
}

fn open(folder: &Folder) -> Sqlite {
    Sqlite::open(db(folder)).unwrap()
}

fn job(payload: &str) -> NewJob {
    NewJob::new("mail", "welcome", payload)
}

fn enqueue(storage: &Sqlite, jobs: &[NewJob]) -> Vec<Placed> {
    let number = None;
    storage.enqueue(&Batch { number, jobs }).unwrap()
}

fn session(storage: &Sqlite) -> SessionId {
    storage
        .open_session(&SessionInfo::default(), SECOND * 30)
        .unwrap()
}

/// A number that `Debug` shows.
fn shown(storage: &Sqlite, name: &str) -> u64 {
    let text = format!("{storage:?}");
    let rest = text.split(&format!("{name}: ")).nth(1).unwrap();
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

fn assert_refused(error: &JobsError, kind: JobsErrorKind, path: &Path) {
    assert_eq!(error.kind(), kind, "{error}");
    let path = path.display().to_string();
    assert!(error.to_string().contains(&path), "{error}");
}

#[test]
fn a_job_goes_through_all_its_states() {
    let folder = Folder::new();
    let storage = open(&folder);
    let placed = enqueue(&storage, &[job("1"), job("2")]);
    assert_eq!(placed, [Placed::New(JobId(1)), Placed::New(JobId(2))]);
    let session = session(&storage);

    let first = exchange(&storage, session, 1, &[], 1);
    assert_eq!(first.claimed.len(), 1);
    let claimed = &first.claimed[0];
    assert_eq!((claimed.id, claimed.claim), (JobId(1), 1));
    assert_eq!(claimed.payload, b"1");
    assert!(first.alive && first.more);

    let second = exchange(&storage, session, 2, &[done(JobId(1), 1)], 5);
    assert_eq!(second.judged, [Judged::Ended]);
    assert_eq!(second.claimed[0].id, JobId(2));
    assert_eq!(storage.outcome(JobId(1)).unwrap(), Fate::Forgotten);
    assert_eq!(storage.outcome(JobId(3)).unwrap(), Fate::Unknown);

    let retry = Verdict::Retry {
        after: Duration::ZERO,
        error: "no luck".into(),
    };
    let ended = |claim, verdict| Ended {
        id: JobId(2),
        claim,
        verdict,
    };
    let third = exchange(&storage, session, 3, &[ended(1, retry)], 5);
    assert_eq!(third.judged, [Judged::Waits]);
    let claimed = &third.claimed[0];
    assert_eq!((claimed.claim, claimed.failures), (2, 1));
    assert_eq!(claimed.error.as_deref(), Some("no luck"));

    let dead = Verdict::Dead {
        error: "no hope".into(),
    };
    let fourth = exchange(
        &storage,
        session,
        4,
        &[ended(1, Verdict::Back), ended(2, dead)],
        5,
    );
    assert_eq!(fourth.judged, [Judged::Gone, Judged::Ended]);
    let fate = storage.outcome(JobId(2)).unwrap();
    assert_eq!(fate, Fate::Ended(Outcome::Dead("no hope".into())));
    assert_eq!(storage.retry_dead(&Filter::default(), 10).unwrap(), 1);
    assert_eq!(storage.cancel(JobId(2)).unwrap(), CancelOutcome::Settled);

    let counts = storage.counts().unwrap();
    assert!(counts.queues.is_empty());
    let totals = counts.totals;
    let found = (totals.done, totals.dead, totals.cancelled, totals.retried);
    assert_eq!(found, (1, 1, 1, 1));
    assert_eq!(storage.check(false).unwrap(), []);
    let stale = Exchange {
        session,
        number: 4,
        ended: &[],
        wanted: &[],
    };
    let error = storage.exchange(&stale).unwrap_err();
    assert_eq!(error.kind(), JobsErrorKind::Stale);
}

#[test]
fn a_lease_that_ends_gives_its_jobs_back_and_a_late_end_counts() {
    let folder = Folder::new();
    let clock = ManualClock::new();
    let storage = Sqlite::options(db(&folder)).clock(&clock).open().unwrap();
    enqueue(&storage, &[job("1"), job("2")]);
    let lost = session(&storage);
    assert_eq!(exchange(&storage, lost, 1, &[], 5).claimed.len(), 2);

    clock.advance(SECOND * 31);
    let swept = storage.sweep(10).unwrap();
    assert_eq!((swept.sessions, swept.returned, swept.more), (1, 2, false));
    let late = exchange(&storage, lost, 2, &[done(JobId(1), 1)], 5);
    assert_eq!((late.alive, late.judged), (false, vec![Judged::Ended]));

    let other = session(&storage);
    let taken = exchange(&storage, other, 1, &[], 5);
    assert_eq!(
        (taken.claimed[0].id, taken.claimed[0].crashes),
        (JobId(2), 1)
    );
    let late = exchange(&storage, lost, 3, &[done(JobId(2), 1)], 5);
    assert_eq!(late.judged, [Judged::Gone]);
    assert_eq!(storage.close_session(other).unwrap(), 1);
    assert_eq!(storage.close_session(other).unwrap(), 0);
    assert_eq!(storage.check(false).unwrap(), []);
}

#[test]
fn a_heartbeat_gives_back_what_no_consumer_knows_of() {
    let folder = Folder::new();
    let storage = open(&folder);
    enqueue(&storage, &[job("1"), job("2"), job("3")]);
    let session = session(&storage);
    exchange(&storage, session, 1, &[], 2);
    exchange(&storage, session, 2, &[], 1);
    assert_eq!(storage.cancel(JobId(1)).unwrap(), CancelOutcome::Requested);
    let sign = Heartbeat {
        session,
        lease: SECOND,
        settled: 1,
        held: &[JobId(1), JobId(9)],
    };
    let pulse = storage.heartbeat(&sign).unwrap();
    assert!(pulse.alive);
    assert_eq!(pulse.given_back, 1); // the second; the third came with a later exchange
    assert_eq!(pulse.cancel, [JobId(1)]);
    assert_eq!(pulse.lost, [JobId(9)]);
}

#[test]
fn operations_that_wait_are_committed_together() {
    let folder = Folder::new();
    let storage = open(&folder);
    let before = shown(&storage, "commits");
    let lock = Connection::open(db(&folder)).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| enqueue(&storage, &[job("1")]));
        }
        // The writer has taken one or more of them, and waits for the lock.
        while shown(&storage, "handed_in") < 16 {
            thread::yield_now();
        }
        lock.execute_batch("ROLLBACK").unwrap();
    });
    assert_eq!(shown(&storage, "commits") - before, 1);
    assert_eq!(ready(&storage), 16);
}

#[test]
fn one_operation_of_a_group_fails_alone() {
    let folder = Folder::new();
    let storage = open(&folder);
    let lock = Connection::open(db(&folder)).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let numbered = |number| {
        let number = Some(BatchNumber {
            producer: u64::MAX,
            number,
        });
        let jobs = &[job("1"), job("2")];
        storage.enqueue(&Batch { number, jobs })
    };
    thread::scope(|scope| {
        let good = scope.spawn(|| numbered(7));
        while shown(&storage, "handed_in") < 1 {
            thread::yield_now();
        }
        let stale = scope.spawn(|| numbered(6));
        while shown(&storage, "handed_in") < 2 {
            thread::yield_now();
        }
        lock.execute_batch("ROLLBACK").unwrap();
        assert!(good.join().unwrap().is_ok());
        let error = stale.join().unwrap().unwrap_err();
        assert_refused(&error, JobsErrorKind::Stale, &db(&folder));
    });
    assert_eq!(numbered(7).unwrap(), numbered(7).unwrap());
    assert_eq!(ready(&storage), 2);
}

#[test]
fn a_group_that_cannot_be_committed_is_an_error_for_all_of_it() {
    let folder = Folder::new();
    let storage = open(&folder);
    let lock = Connection::open(db(&folder)).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE; ALTER TABLE mh_port RENAME TO hidden")
        .unwrap();
    let errors = thread::scope(|scope| {
        let callers = [(); 4].map(|()| {
            scope.spawn(|| {
                let (number, jobs) = (None, &[job("1")]);
                storage.enqueue(&Batch { number, jobs }).unwrap_err()
            })
        });
        while shown(&storage, "handed_in") < 4 {
            thread::yield_now();
        }
        lock.execute_batch("COMMIT").unwrap();
        callers.map(|caller| caller.join().unwrap())
    });
    for error in errors {
        assert!(error.to_string().contains("mh_port"), "{error}");
    }
    assert_eq!(ready(&storage), 0);
    lock.execute_batch("ALTER TABLE hidden RENAME TO mh_port")
        .unwrap();
    assert_eq!(enqueue(&storage, &[job("1")]), [Placed::New(JobId(1))]);
}

#[test]
fn two_storages_share_a_file() {
    let folder = Folder::new();
    let storages = [open(&folder), open(&folder)];
    thread::scope(|scope| {
        for storage in &storages {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..25 {
                        enqueue(storage, &[job("1")]);
                    }
                });
            }
        }
    });
    let sessions = [session(&storages[0]), session(&storages[1])];
    assert_ne!(sessions[0], sessions[1]);
    let claims = thread::scope(|scope| {
        let claimers = [0, 1].map(|at| {
            let (storage, session) = (&storages[at], sessions[at]);
            scope.spawn(move || {
                let mut ids = Vec::new();
                for number in 1.. {
                    let claimed = exchange(storage, session, number, &[], 7).claimed;
                    if claimed.is_empty() {
                        return ids;
                    }
                    ids.extend(claimed.iter().map(|claimed| claimed.id.0));
                }
                ids
            })
        });
        claimers.map(|claimer| claimer.join().unwrap())
    });
    let mut claims = claims.concat();
    claims.sort_unstable();
    assert_eq!(claims, (1..=200).collect::<Vec<u64>>());
}

#[test]
fn a_new_file_is_opened_by_many_at_once() {
    for _ in 0..10 {
        let folder = Folder::new();
        let storages: Vec<Sqlite> = thread::scope(|scope| {
            let openers = [(); 4].map(|()| scope.spawn(|| open(&folder)));
            openers.map(|opener| opener.join().unwrap()).into()
        });
        for storage in &storages {
            enqueue(storage, &[job("1")]);
        }
        assert_eq!(ready(&storages[0]), 4);
    }
}

#[test]
fn a_file_stays_the_same_when_the_program_changes_its_folder() {
    let folder = Folder::new();
    let before = std::env::current_dir().unwrap();
    std::env::set_current_dir(folder.path()).unwrap();
    let opened = Sqlite::open("jobs.db");
    std::env::set_current_dir(before).unwrap();
    let storage = opened.unwrap();
    enqueue(&storage, &[job("1")]);
    assert_eq!(ready(&storage), 1);
    assert!(db(&folder).exists());
}

#[test]
fn a_newer_schema_is_refused() {
    let folder = Folder::new();
    drop(open(&folder));
    let conn = Connection::open(db(&folder)).unwrap();
    conn.execute_batch("UPDATE mh_meta SET value = 99 WHERE key = 'schema'")
        .unwrap();
    let error = Sqlite::open(db(&folder)).unwrap_err();
    assert_refused(&error, JobsErrorKind::NewerSchema, &db(&folder));
    assert!(error.to_string().contains("99"), "{error}");
}

#[test]
fn a_lock_that_is_held_for_too_long_is_an_error_that_asks_who_has_it() {
    let folder = Folder::new();
    let storage = Sqlite::options(db(&folder))
        .patience(Duration::from_millis(20))
        .open()
        .unwrap();
    let lock = Connection::open(db(&folder)).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let jobs = &[job("1")];
    let number = None;
    let error = storage.enqueue(&Batch { number, jobs }).unwrap_err();
    assert_refused(&error, JobsErrorKind::Busy, &db(&folder));
    assert!(error.is_transient());
    let asks = "does this thread hold a write transaction on the same file? use enqueue_in";
    assert!(error.to_string().contains(asks), "{error}");
    lock.execute_batch("ROLLBACK").unwrap();
    enqueue(&storage, jobs);
}

#[test]
fn a_lock_that_outlasts_leases_ends_none_of_a_living_consumer() {
    let folder = Folder::new();
    let clock = ManualClock::new();
    let open = || {
        Sqlite::options(db(&folder))
            .clock(&clock)
            .patience(Duration::from_millis(20))
            .open()
            .unwrap()
    };
    let (mine, other) = (open(), open());
    let alive = session(&other);
    let lock = Connection::open(db(&folder)).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = mine.sweep(10).unwrap_err();
    assert_refused(&error, JobsErrorKind::Busy, &db(&folder));
    clock.advance(SECOND * 40);
    lock.execute_batch("ROLLBACK").unwrap();

    // Both before the heartbeat of the other one, which waits for the lock as well.
    assert_eq!(mine.sweep(10).unwrap().sessions, 0);
    let own = session(&mine);
    exchange(&mine, own, 1, &[], 1);
    let heartbeat = |session| Heartbeat {
        session,
        lease: SECOND * 30,
        settled: 0,
        held: &[],
    };
    assert!(other.heartbeat(&heartbeat(alive)).unwrap().alive);
    // Without one it is not spared for ever.
    clock.advance(SECOND * 30);
    assert!(mine.heartbeat(&heartbeat(own)).unwrap().alive);
    assert_eq!(mine.sweep(10).unwrap().sessions, 1);
}

#[test]
fn a_jobs_arrival_is_sent_to_the_ports_of_other_processes() {
    let folder = Folder::new();
    let storage = open(&folder);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let conn = Connection::open(db(&folder)).unwrap();
    let store = "INSERT INTO mh_port(port, until) VALUES (?1, 9000000000000000)";
    conn.execute(store, [port]).unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();

    enqueue(&storage, &[job("1")]);
    assert_eq!(socket.recv(&mut [0; 8]).unwrap(), 1);
    storage.wake();
    assert_eq!(socket.recv(&mut [0; 8]).unwrap(), 1);
}

#[test]
fn a_sweep_forgets_the_ports_of_processes_that_were_killed() {
    let folder = Folder::new();
    let clock = ManualClock::new();
    let storage = Sqlite::options(db(&folder)).clock(&clock).open().unwrap();
    let _subscribed = storage.subscribe(&["mail"], &Notifier::new()).unwrap();
    let conn = Connection::open(db(&folder)).unwrap();
    let ports = || {
        let count = "SELECT count(*) FROM mh_port";
        conn.query_row(count, [], |row| row.get::<_, u32>(0))
            .unwrap()
    };
    storage.sweep(10).unwrap();
    assert_eq!(ports(), 1);
    clock.advance(SECOND * 120);
    storage.sweep(10).unwrap();
    assert_eq!(ports(), 0);
}

#[test]
fn notifiers_are_used_for_jobs_of_this_storage_and_of_others() {
    let folder = Folder::new();
    let mine = open(&folder);
    for other in [
        mine.clone(),
        open(&folder),
        Sqlite::options(db(&folder)).no_datagrams().open().unwrap(),
    ] {
        let notifier = Notifier::new();
        let _subscribed = other.subscribe(&["mail"], &notifier).unwrap();
        let listening = notifier.listen();
        enqueue(&mine, &[job("1")]);
        assert_eq!(listening.wait_timeout(LONG), Ok(true));
    }
}

#[test]
fn who_watches_a_job_gets_its_outcome_though_it_is_not_kept() {
    let folder = Folder::new();
    let (mine, other) = (open(&folder), open(&folder));
    let session = session(&mine);
    for watcher in [&mine, &other] {
        let id = enqueue(&mine, &[job("1")])[0].id();
        let notifier = Notifier::new();
        let watching = watcher.watch(id, &notifier, LONG).unwrap();
        assert_eq!(watcher.outcome(id).unwrap(), Fate::Live(JobState::Ready));
        let listening = notifier.listen();
        exchange(&mine, session, id.0 * 2, &[], 1);
        exchange(&mine, session, id.0 * 2 + 1, &[done(id, 1)], 0);
        assert_eq!(listening.wait_timeout(LONG), Ok(true));
        let fate = watcher.outcome(id).unwrap();
        assert_eq!(fate, Fate::Ended(Outcome::Done(b"1".to_vec())));
        drop(watching);
    }
}

#[test]
fn who_watches_a_dead_job_gets_the_outcome_of_its_next_run() {
    let folder = Folder::new();
    let storage = open(&folder);
    let session = session(&storage);
    let id = enqueue(&storage, &[job("1")])[0].id();
    exchange(&storage, session, 1, &[], 1);
    let verdict = Verdict::Dead { error: "no".into() };
    let claim = 1;
    exchange(&storage, session, 2, &[Ended { id, claim, verdict }], 0);
    let _watching = storage.watch(id, &Notifier::new(), LONG).unwrap();
    assert_eq!(storage.retry_dead(&Filter::default(), 1).unwrap(), 1);
    exchange(&storage, session, 3, &[], 1);
    exchange(&storage, session, 4, &[done(id, 2)], 0);
    let fate = storage.outcome(id).unwrap();
    assert_eq!(fate, Fate::Ended(Outcome::Done(b"1".to_vec())));
}

#[test]
fn a_job_of_the_users_transaction_is_there_if_and_only_if_it_commits() {
    let folder = Folder::new();
    let storage = open(&folder);
    let mut conn = Connection::open(db(&folder)).unwrap();
    conn.execute_batch("CREATE TABLE orders(item TEXT)")
        .unwrap();
    let error = storage.enqueue_in(&conn, &[job("1")]).unwrap_err();
    assert_eq!(error.kind(), JobsErrorKind::Invalid);

    let tx = conn.transaction().unwrap();
    tx.execute("INSERT INTO orders VALUES ('tea')", []).unwrap();
    storage.enqueue_in(&tx, &[job("1")]).unwrap();
    tx.rollback().unwrap();
    assert_eq!(ready(&storage), 0);

    let notifier = Notifier::new();
    let _subscribed = storage.subscribe(&["mail"], &notifier).unwrap();
    let listening = notifier.listen();
    let tx = conn.transaction().unwrap();
    tx.execute("INSERT INTO orders VALUES ('tea')", []).unwrap();
    let placed = storage.enqueue_in(&tx, &[job("1")]).unwrap();
    tx.commit().unwrap();
    storage.wake();
    assert_eq!(listening.wait_timeout(LONG), Ok(true));
    assert_eq!(ready(&storage), 1);

    let session = session(&storage);
    let claimed = exchange(&storage, session, 1, &[], 1).claimed;
    let (id, claim) = (claimed[0].id, claimed[0].claim);
    assert_eq!(placed[0].id(), id);
    let tx = conn.transaction().unwrap();
    assert_eq!(
        storage.complete_in(&tx, id, claim, b"1", None).unwrap(),
        Judged::Ended
    );
    tx.rollback().unwrap();
    assert_eq!(storage.outcome(id).unwrap(), Fate::Live(JobState::Running));
    let tx = conn.transaction().unwrap();
    assert_eq!(
        storage.complete_in(&tx, id, claim, b"1", None).unwrap(),
        Judged::Ended
    );
    assert_eq!(
        storage.complete_in(&tx, id, claim, b"1", None).unwrap(),
        Judged::Gone
    );
    tx.commit().unwrap();
    assert_eq!(storage.outcome(id).unwrap(), Fate::Forgotten);
}

#[test]
fn what_a_program_in_another_language_inserts_is_done() {
    // The line is that of the guide.
    let guide = include_str!("../../src/guide/jobs.rs");
    let from = guide.find("//! INSERT INTO mh_job").unwrap();
    let line = guide[from..].split("//! ```").next().unwrap();
    let line = line.replace("//!", "").replace("'send-mail'", "'welcome'");

    let folder = Folder::new();
    let storage = open(&folder);
    let conn = Connection::open(db(&folder)).unwrap();
    conn.execute_batch(&line).unwrap();
    let session = session(&storage);
    let taken = exchange(&storage, session, 1, &[], 5).claimed;
    assert_eq!(taken[0].payload, br#"{"to":"a@example.org"}"#);
    let ended = exchange(&storage, session, 2, &[done(JobId(1), 1)], 5);
    assert_eq!(ended.judged, [Judged::Ended]);
    assert_eq!(storage.check(false).unwrap(), []);
}

fn in_lane(payload: &str) -> NewJob {
    let mut job = job(payload);
    job.lane = Some("account".into());
    job
}

fn after(payload: &str, parents: &[JobId]) -> NewJob {
    let mut job = job(payload);
    job.after = parents.to_vec();
    job
}

fn states(storage: &Sqlite) -> Vec<JobState> {
    let page = Page {
        after: JobId(0),
        most: 500,
    };
    let jobs = storage.list(&Filter::default(), page).unwrap();
    jobs.into_iter().map(|job| job.state).collect()
}

#[test]
fn an_end_in_a_transaction_of_the_user_frees_a_lane_and_those_that_follow() {
    let folder = Folder::new();
    let storage = open(&folder);
    enqueue(&storage, &[in_lane("1"), in_lane("2")]);
    enqueue(&storage, &[after("3", &[JobId(1)])]);
    let blocked = [JobState::Running, JobState::Blocked, JobState::Blocked];
    let session = session(&storage);
    exchange(&storage, session, 1, &[], 5);
    assert_eq!(states(&storage), blocked);

    let mut conn = Connection::open(db(&folder)).unwrap();
    let complete = |conn: &Connection| {
        let judged = storage.complete_in(conn, JobId(1), 1, b"1", Some(LONG));
        assert_eq!(judged.unwrap(), Judged::Ended);
    };
    let tx = conn.transaction().unwrap();
    let large = vec![b'1'; (1 << 20) + 1];
    let refused = storage.complete_in(&tx, JobId(1), 1, &large, None);
    assert_eq!(refused.unwrap_err().kind(), JobsErrorKind::TooLarge);
    complete(&tx);
    tx.rollback().unwrap();
    assert_eq!(states(&storage), blocked);
    let tx = conn.transaction().unwrap();
    complete(&tx);
    tx.commit().unwrap();
    let freed = [JobState::Done, JobState::Ready, JobState::Ready];
    assert_eq!(states(&storage), freed);
    let parents = storage.parents(JobId(3)).unwrap();
    let output = Fate::Ended(Outcome::Done(b"1".to_vec()));
    assert_eq!(parents, [(JobId(1), output.clone())]);
    assert_eq!(storage.outcome(JobId(1)).unwrap(), output);

    // And so does an enqueue there.
    let tx = conn.transaction().unwrap();
    storage.enqueue_in(&tx, &[in_lane("4")]).unwrap();
    let error = storage.enqueue_in(&tx, &[after("5", &[JobId(9)])]);
    assert_eq!(error.unwrap_err().kind(), JobsErrorKind::Invalid);
    tx.commit().unwrap();
    assert_eq!(states(&storage)[3..], [JobState::Blocked]);
    assert_eq!(storage.check(false).unwrap(), []);
}

#[test]
fn a_lane_that_is_long_and_too_late_is_passed_on_in_parts() {
    let folder = Folder::new();
    let clock = ManualClock::new();
    let storage = Sqlite::options(db(&folder)).clock(&clock).open().unwrap();
    pass_a_lane_on_in_parts(&storage, &clock);
}

#[test]
fn ten_thousand_that_follow_each_other_are_cancelled_in_one_step() {
    let folder = Folder::new();
    let options = Sqlite::options(db(&folder)).durability(Durability::Normal);
    let storage = options.open().unwrap();
    let mut conn = Connection::open(db(&folder)).unwrap();
    let tx = conn.transaction().unwrap();
    storage.enqueue_in(&tx, &[job("first")]).unwrap();
    for parent in 1..10_000 {
        let next = after("next", &[JobId(parent)]);
        storage.enqueue_in(&tx, &[next]).unwrap();
    }
    tx.commit().unwrap();
    let blocked = |storage: &Sqlite| storage.counts().unwrap().queues[0].blocked;
    assert_eq!(blocked(&storage), 9_999);

    let before = shown(&storage, "commits");
    assert_eq!(storage.cancel(JobId(1)).unwrap(), CancelOutcome::Settled);
    assert_eq!(shown(&storage, "commits"), before + 1);
    let counts = storage.counts().unwrap();
    assert!(counts.queues.is_empty(), "{counts:?}");
    assert_eq!(counts.totals.cancelled, 10_000);
    let left = "SELECT (SELECT count(*) FROM mh_job) + (SELECT count(*) FROM mh_child)";
    let left: i64 = conn.query_row(left, [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0);
    assert_eq!(storage.check(false).unwrap(), []);
}

#[test]
fn a_parent_that_never_was_is_named_as_in_memory() {
    assert_unknown_parents_are_named(&Memory::new());
    assert_unknown_parents_are_named(&open(&Folder::new()));
}

#[test]
fn what_is_blocked_for_no_reason_is_found_and_mended() {
    let folder = Folder::new();
    let storage = open(&folder);
    enqueue(&storage, &[in_lane("1"), in_lane("2"), in_lane("3")]);
    enqueue(&storage, &[job("4"), job("5")]);
    enqueue(
        &storage,
        &[after("6", &[JobId(4)]), after("7", &[JobId(5)])],
    );
    enqueue(&storage, &[after("8", &[JobId(4), JobId(5)])]);
    assert_eq!(storage.check(false).unwrap(), []);
    let conn = Connection::open(db(&folder)).unwrap();
    conn.execute_batch(
        "DELETE FROM mh_job WHERE id IN (1, 4);
         UPDATE mh_job SET parents = 0 WHERE id = 7;
         INSERT INTO mh_child VALUES (5, 99, 0, 0);",
    )
    .unwrap();
    let found = storage.check(false).unwrap();
    let jobs: Vec<u64> = found.iter().map(|fault| fault.job.unwrap().0).collect();
    assert_eq!(jobs, [99, 4, 7, 2], "{found:?}");
    assert!(storage.check(true).unwrap().iter().all(|it| it.is_mended));
    assert_eq!(storage.check(false).unwrap(), []);
    use JobState::{Blocked, Ready};
    // What followed the one that is gone is cancelled.
    assert_eq!(states(&storage), [Ready, Blocked, Ready, Blocked]);

    conn.execute_batch("DELETE FROM mh_child").unwrap();
    assert_eq!(storage.check(true).unwrap().len(), 1);
    assert_eq!(states(&storage), [Ready, Blocked, Ready, Ready]);
    assert_eq!(storage.check(false).unwrap(), []);
}

#[test]
fn a_lane_that_an_older_program_has_not_passed_on_is_found_and_mended() {
    use JobState::{Blocked, Dead, Ready};
    let folder = Folder::new();
    let storage = open(&folder);
    enqueue(&storage, &[in_lane("1"), in_lane("2"), in_lane("3")]);
    let conn = Connection::open(db(&folder)).unwrap();
    // As its statement for an outcome that is kept has it.
    conn.execute_batch(
        "UPDATE mh_job SET state = 4, ended_at = 0, keep_until = 1 << 60, session = NULL
         WHERE id = 1",
    )
    .unwrap();
    let found = storage.check(false).unwrap();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(storage.check(true).unwrap().iter().all(|it| it.is_mended));
    assert_eq!(states(&storage), [Dead, Ready, Blocked]);
    // And one that is due: it is ready beside the one that has the lane.
    conn.execute_batch("UPDATE mh_job SET state = 1 WHERE id = 3")
        .unwrap();
    assert_eq!(storage.check(true).unwrap().len(), 1);
    assert_eq!(states(&storage), [Dead, Ready, Blocked]);
    assert_eq!(storage.check(false).unwrap(), []);
}

#[test]
fn an_end_by_an_older_program_is_found_and_mended_by_those_that_follow() {
    use JobState::{Dead, Ready};
    let folder = Folder::new();
    let storage = open(&folder);
    enqueue(&storage, &[job("1")]);
    let mut cleans_up = after("3", &[JobId(1)]);
    cleans_up.even_if_failed = true;
    enqueue(&storage, &[after("2", &[JobId(1)]), cleans_up]);
    let conn = Connection::open(db(&folder)).unwrap();
    conn.execute_batch(
        "UPDATE mh_job SET state = 4, ended_at = 0, keep_until = 1 << 60 WHERE id = 1",
    )
    .unwrap();
    let found = storage.check(true).unwrap();
    assert_eq!((found.len(), found[0].is_mended), (1, true), "{found:?}");
    assert_eq!(states(&storage), [Dead, Ready]);
    assert_eq!(storage.cancel(JobId(3)).unwrap(), CancelOutcome::Settled);
    assert_eq!(states(&storage), [Dead]);
    assert_eq!(storage.check(false).unwrap(), []);
}

#[test]
fn a_job_that_was_not_begun_in_time_does_not_keep_its_key() {
    let folder = Folder::new();
    let clock = ManualClock::new();
    let storage = Sqlite::options(db(&folder)).clock(&clock).open().unwrap();
    let unique = |until| {
        let mut job = job("1");
        job.expires = Some(SECOND);
        job.keep = Some(LONG);
        let key = "key".to_owned();
        job.unique = Some(Unique { key, until });
        job
    };
    let first = enqueue(&storage, &[unique(UniqueUntil::Ended)]);
    clock.advance(SECOND);
    let second = enqueue(&storage, &[unique(UniqueUntil::Elapsed(SECOND * 2))]);
    assert_eq!(second, [Placed::New(JobId(2))]);
    let fate = storage.outcome(first[0].id()).unwrap();
    assert_eq!(fate, Fate::Ended(Outcome::Expired));
    clock.advance(SECOND);
    // A key for a time outlasts its job.
    let third = enqueue(&storage, &[unique(UniqueUntil::Ended)]);
    assert_eq!(third, [Placed::Existing(JobId(2))]);
    assert_eq!(storage.counts().unwrap().totals.expired, 2);
    assert_eq!(storage.check(false).unwrap(), []);
}

#[test]
fn a_batch_that_is_sent_again_is_answered_as_before() {
    let folder = Folder::new();
    let storage = open(&folder);
    let mut first = job("1");
    let unique = |key: &str| Unique {
        key: key.into(),
        until: UniqueUntil::Ended,
    };
    first.unique = Some(unique("key"));
    let mut again = first.clone();
    again.replace = true;
    let jobs = [first.clone(), again, first, job("2")];
    let number = Some(BatchNumber {
        producer: 7,
        number: 1,
    });
    let batch = Batch {
        number,
        jobs: &jobs,
    };
    let placed = storage.enqueue(&batch).unwrap();
    let expected = [
        Placed::New(JobId(1)),
        Placed::Replaced(JobId(1)),
        Placed::Existing(JobId(1)),
        Placed::New(JobId(2)),
    ];
    assert_eq!(placed, expected);
    assert_eq!(storage.enqueue(&batch).unwrap(), expected);
}

#[test]
fn who_watches_a_session_is_notified_of_a_cancel_in_whatever_process() {
    let folder = Folder::new();
    let (storage, other) = (open(&folder), open(&folder));
    enqueue(&storage, &[job("1"), job("2")]);
    let session = session(&storage);
    assert_eq!(exchange(&storage, session, 1, &[], 2).claimed.len(), 2);
    let notifier = Notifier::new();
    let _watching = storage.watch_session(session, &notifier).unwrap();
    for (by, id) in [(&storage, JobId(1)), (&other, JobId(2))] {
        let listening = notifier.listen();
        assert_eq!(by.cancel(id).unwrap(), CancelOutcome::Requested);
        assert_eq!(listening.wait_timeout(LONG), Ok(true));
    }
}

/// Makes a file as the program of an earlier version left it.
fn old_file(folder: &Folder, dump: &str) {
    let conn = Connection::open(db(folder)).unwrap();
    conn.execute_batch(dump).unwrap();
}

#[test]
fn a_file_of_the_first_schema_is_brought_up_and_all_its_jobs_are_worked_off() {
    use JobState::{Cancelled, Dead, Done, Expired, Ready, Running, Scheduled};
    let folder = Folder::new();
    old_file(&folder, include_str!("old/1.sql"));
    let clock = ManualClock::new();
    // A second after the last thing that the old program did.
    clock.set_wall(SystemTime::UNIX_EPOCH + SECOND * 1_767_225_604);
    let storage = Sqlite::options(db(&folder)).clock(&clock).open().unwrap();
    let found = [
        Done, Dead, Cancelled, Expired, Scheduled, Running, Running, Scheduled, Ready, Ready,
        Ready, Ready, Ready,
    ];
    assert_eq!(states(&storage), found);
    assert_eq!(storage.check(false).unwrap(), []);
    let fate = storage.outcome(JobId(1)).unwrap();
    assert_eq!(fate, Fate::Ended(Outcome::Done(b"\"one\"".to_vec())));
    let fate = storage.outcome(JobId(2)).unwrap();
    assert_eq!(fate, Fate::Ended(Outcome::Dead("no hope".into())));

    // A batch of the old program that is sent again, and keys that its jobs have.
    let number = Some(BatchNumber {
        producer: 3,
        number: 1,
    });
    let again = Batch { number, jobs: &[] };
    let placed = storage.enqueue(&again).unwrap();
    assert_eq!(placed, [8, 9, 10, 11].map(|id| Placed::New(JobId(id))));
    let with_key = |key: &str| {
        let mut job = job("new");
        let until = UniqueUntil::Ended;
        let key = key.to_owned();
        job.unique = Some(Unique { key, until });
        job
    };
    for (key, holder) in [("key", 10), ("period", 11), ("later", 8)] {
        let placed = enqueue(&storage, &[with_key(key)]);
        assert_eq!(placed, [Placed::Existing(JobId(holder))]);
    }
    let schedule = &storage.schedules().unwrap()[0];
    assert_eq!((schedule.name.as_str(), schedule.runs), ("hourly", 1));

    // The old consumer goes on with what it runs: one end counts, one job is to be cancelled.
    let old = SessionId(1);
    let sign = Heartbeat {
        session: old,
        lease: SECOND * 30,
        settled: 3,
        held: &[JobId(6), JobId(7)],
    };
    assert_eq!(storage.heartbeat(&sign).unwrap().cancel, [JobId(6)]);
    let ends = [
        Ended {
            id: JobId(6),
            claim: 1,
            verdict: Verdict::Back,
        },
        done(JobId(7), 1),
    ];
    let judged = exchange(&storage, old, 4, &ends, 0).judged;
    assert_eq!(judged, [Judged::Ended, Judged::Ended]);
    storage.close_session(old).unwrap();

    // New jobs mix with the old ones.
    let mut lanes = [in_lane("14"), in_lane("15")];
    lanes[1].after = vec![JobId(2), JobId(9)];
    lanes[1].even_if_failed = true;
    enqueue(&storage, &lanes);
    storage.set_queue("reports", QueueChange::Resume).unwrap();
    assert_eq!(storage.retry_dead(&Filter::default(), 10).unwrap(), 1);
    clock.advance(SECOND * 600);
    let session = storage.open_session(&SessionInfo::default(), LONG).unwrap();
    let wanted = [("mail", "welcome"), ("reports", "hourly"), ("lost", "lost")];
    let wanted = wanted.map(|(queue, kind)| Want {
        queue: queue.into(),
        kinds: vec![kind.into()],
        most: 10,
    });
    let mut worked_off = Vec::new();
    let mut ended = Vec::new();
    for number in 1.. {
        let exchange = Exchange {
            session,
            number,
            ended: &ended,
            wanted: &wanted,
        };
        let claimed = storage.exchange(&exchange).unwrap().claimed;
        if claimed.is_empty() {
            break;
        }
        worked_off.extend(claimed.iter().map(|job| job.id.0));
        ended = claimed.iter().map(|job| done(job.id, job.claim)).collect();
    }
    worked_off.sort_unstable();
    assert_eq!(worked_off, [2, 5, 8, 9, 10, 11, 12, 13, 14, 15]);
    let counts = storage.counts().unwrap();
    let live = |queue: &millhand::jobs::QueueCounts| {
        queue.scheduled + queue.blocked + queue.ready + queue.running
    };
    assert_eq!(counts.queues.iter().map(live).sum::<u64>(), 0);
    assert_eq!(counts.totals.done, 12);
    assert_eq!(storage.check(false).unwrap(), []);
}

#[test]
fn what_another_program_inserted_wrongly_stops_no_other_job() {
    let folder = Folder::new();
    let storage = open(&folder);
    let conn = Connection::open(db(&folder)).unwrap();
    let insert =
        "INSERT INTO mh_job(queue, kind, priority, state, run_at, enqueued_at, payload, meta)
        VALUES ('mail', 'welcome', ?1, 1, 0, 0, x'31', ?2)";
    let largest = (i64::MAX, "{\"request\":\"r-7\"}");
    for row in [(5, "{\"request\":7}"), largest, (i64::MIN, "no JSON")] {
        conn.execute(insert, row).unwrap();
    }
    let session = session(&storage);
    let taken = exchange(&storage, session, 1, &[], 5);
    let claimed: Vec<_> = taken
        .claimed
        .iter()
        .map(|job| (job.id, job.priority))
        .collect();
    assert_eq!(claimed, [(JobId(2), i32::MAX)]);
    for id in [JobId(1), JobId(3)] {
        let fate = storage.outcome(id).unwrap();
        let Fate::Ended(Outcome::Dead(text)) = &fate else {
            panic!("{fate:?}");
        };
        assert!(text.starts_with("its meta cannot be read"), "{text}");
    }
    let page = Page {
        after: JobId(0),
        most: 10,
    };
    assert_eq!(storage.list(&Filter::default(), page).unwrap().len(), 3);
    assert_eq!(storage.check(false).unwrap(), []);
}

#[test]
fn a_job_without_its_session_does_not_begin_twice_if_it_must_not() {
    let folder = Folder::new();
    let storage = open(&folder);
    let mut once = job("1");
    once.at_most_once = true;
    let ids = [once, job("2")].map(|job| enqueue(&storage, &[job])[0].id());
    let session = session(&storage);
    exchange(&storage, session, 1, &[], 2);
    let conn = Connection::open(db(&folder)).unwrap();
    conn.execute_batch("DELETE FROM mh_session").unwrap();
    assert_eq!(storage.check(true).unwrap().len(), 2);
    let fates = ids.map(|id| storage.outcome(id).unwrap());
    let is_dead = matches!(fates[0], Fate::Ended(Outcome::Dead(_)));
    assert!(is_dead, "{fates:?}");
    assert_eq!(fates[1], Fate::Live(JobState::Ready));
}

#[test]
fn a_commit_of_the_user_is_noticed_without_a_wake() {
    let folder = Folder::new();
    let storage = open(&folder);
    let mut conn = Connection::open(db(&folder)).unwrap();
    let notifier = Notifier::new();
    let _subscribed = storage.subscribe(&["mail"], &notifier).unwrap();
    let listening = notifier.listen();
    let tx = conn.transaction().unwrap();
    storage.enqueue_in(&tx, &[job("1")]).unwrap();
    tx.commit().unwrap();
    assert_eq!(listening.wait_timeout(LONG), Ok(true));
}

#[test]
fn a_connection_to_another_file_is_refused() {
    let folder = Folder::new();
    let storage = open(&folder);
    let mut conn = Connection::open_in_memory().unwrap();
    let tx = conn.transaction().unwrap();
    let error = storage.enqueue_in(&tx, &[job("1")]).unwrap_err();
    assert_refused(&error, JobsErrorKind::Invalid, &db(&folder));
}

#[test]
fn a_file_that_is_none_of_sqlite_is_refused() {
    let folder = Folder::new();
    std::fs::write(db(&folder), "this is no database. ".repeat(500)).unwrap();
    let error = Sqlite::open(db(&folder)).unwrap_err();
    assert_refused(&error, JobsErrorKind::Corrupt, &db(&folder));
    assert_eq!(error.to_string().matches("jobs.db").count(), 1, "{error}");
}

#[test]
fn a_file_that_must_exist_is_not_made() {
    let folder = Folder::new();
    let open = || Sqlite::options(db(&folder)).must_exist().open();
    assert_refused(
        &open().unwrap_err(),
        JobsErrorKind::Unreachable,
        &db(&folder),
    );
    assert!(!db(&folder).exists());
    // A file with other tables alone stays as it is.
    let conn = Connection::open(db(&folder)).unwrap();
    conn.execute_batch("CREATE TABLE orders(item TEXT)")
        .unwrap();
    drop(conn);
    let before = std::fs::read(db(&folder)).unwrap();
    assert_refused(
        &open().unwrap_err(),
        JobsErrorKind::Unreachable,
        &db(&folder),
    );
    assert_eq!(std::fs::read(db(&folder)).unwrap(), before);
    drop(Sqlite::open(db(&folder)).unwrap());
    assert_eq!(ready(&open().unwrap()), 0);
}

#[test]
fn a_file_that_is_damaged_is_refused() {
    let folder = Folder::new();
    let storage = open(&folder);
    enqueue(&storage, &vec![job("1"); 1000]);
    drop(storage);
    let mut bytes = std::fs::read(db(&folder)).unwrap();
    bytes[4096..].fill(0xa5); // all but the first page
    std::fs::write(db(&folder), bytes).unwrap();
    let jobs = &[job("1")];
    let number = None;
    let opened = Sqlite::open(db(&folder));
    let stored = opened.and_then(|storage| storage.enqueue(&Batch { number, jobs }));
    assert_refused(&stored.unwrap_err(), JobsErrorKind::Corrupt, &db(&folder));
}

#[cfg(unix)]
#[test]
fn a_file_that_was_replaced_is_not_written_any_more() {
    let folder = Folder::new();
    let storage = open(&folder);
    std::fs::rename(db(&folder), folder.file("moved.db")).unwrap();
    let jobs = &[job("1")];
    for _ in 0..2 {
        let number = None;
        let error = storage.enqueue(&Batch { number, jobs }).unwrap_err();
        assert_refused(&error, JobsErrorKind::Corrupt, &db(&folder));
    }
}

#[test]
fn a_long_wal_is_cut_off_when_nothing_is_written() {
    let folder = Folder::new();
    let storage = open(&folder);
    let length = || std::fs::metadata(folder.file("jobs.db-wal")).unwrap().len();
    enqueue(&storage, &vec![job(&"1".repeat(1 << 20)); 5]);
    assert!(length() > 4 << 20);
    let notifier = Notifier::new();
    let _subscribed = storage.subscribe(&["mail"], &notifier).unwrap();
    while length() > 0 {
        let _ = notifier.listen().wait_timeout(Duration::from_millis(10));
    }
    assert_eq!(ready(&storage), 5);
}

#[test]
fn a_wal_that_has_grown_very_long_is_a_warning() {
    let folder = Folder::new();
    let storage = open(&folder);
    assert!(storage.facts().unwrap().warnings.is_empty());
    let wal = folder.file("jobs.db-wal");
    let file = std::fs::File::options().write(true).open(&wal).unwrap();
    file.set_len(300 << 20).unwrap(); // sparse, and after the last frame
    let warnings = storage.facts().unwrap().warnings;
    let text = warnings.concat();
    assert!(
        text.contains("300 MiB") && text.contains("jobs.db-wal"),
        "{text}"
    );
}

#[cfg(unix)]
#[test]
fn a_storage_whose_file_was_replaced_writes_nothing_when_it_closes() {
    let folder = Folder::new();
    let storage = open(&folder);
    drop(storage.subscribe(&["mail"], &Notifier::new()).unwrap());
    let conn = Connection::open(db(&folder)).unwrap();
    let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
    conn.query_row(checkpoint, [], |_| Ok(())).unwrap();
    std::fs::rename(db(&folder), folder.file("moved.db")).unwrap();
    // It would take its port back. Another file of this name would get that from the WAL.
    drop(storage);
    let wal = std::fs::metadata(folder.file("jobs.db-wal")).unwrap();
    assert_eq!(wal.len(), 0);
}

#[cfg(unix)]
#[test]
#[allow(unsafe_code)]
fn a_forked_process_is_refused_and_its_parent_goes_on() {
    let folder = Folder::new();
    let storage = open(&folder);
    let _subscribed = storage.subscribe(&["mail"], &Notifier::new()).unwrap();
    enqueue(&storage, &[job("1")]);
    assert_eq!(ready(&storage), 1);
    let is_forked = |error: JobsError| error.kind() == JobsErrorKind::Forked;
    // SAFETY: the child calls what takes no lock of another thread, and leaves by `_exit`.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        let number = None;
        let jobs = &[job("2")];
        let stored = storage.enqueue(&Batch { number, jobs });
        let is_refused = stored.is_err_and(is_forked) && storage.counts().is_err_and(is_forked);
        drop(storage);
        // SAFETY: a plain system call.
        unsafe { libc::_exit(i32::from(!is_refused)) };
    }
    let mut status = 1;
    // SAFETY: `pid` is the child, and `status` is here.
    let waited = unsafe { libc::waitpid(pid, &raw mut status, 0) };
    assert_eq!((waited, status), (pid, 0));
    enqueue(&storage, &[job("3")]);
    assert_eq!(ready(&storage), 2);
    assert_eq!(storage.check(false).unwrap(), []);
}

#[test]
fn a_place_that_cannot_be_written_is_refused() {
    let folder = Folder::new();
    let mut places = vec![
        folder.path().to_path_buf(),
        folder.file("no/such/folder.db"),
        PathBuf::from(":memory:"),
    ];
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let locked = folder.file("locked");
        std::fs::create_dir(&locked).unwrap();
        std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o555)).unwrap();
        // For root no folder is locked.
        if std::fs::write(locked.join("probe"), "").is_err() {
            places.push(locked.join("jobs.db"));
        }
    }
    if cfg!(target_os = "linux") {
        places.push("/proc/self/jobs.db".into());
    }
    for place in places {
        let error = Sqlite::open(&place).unwrap_err();
        assert_refused(&error, JobsErrorKind::Unreachable, &place);
    }
}

#[test]
fn a_file_that_is_opened_again_has_everything() {
    let folder = Folder::new();
    let clock = ManualClock::new();
    let open = || Sqlite::options(db(&folder)).clock(&clock).open().unwrap();
    let storage = open();
    let mut unique = job("1");
    unique.unique = Some(Unique {
        key: "one".into(),
        until: UniqueUntil::Ended,
    });
    unique.meta.insert("request".into(), "r-7".into());
    let mut later = job("2");
    later.due = Due::After(SECOND);
    let placed = enqueue(&storage, &[unique.clone(), later]);
    storage
        .set_queue("mail", QueueChange::MaxRunning(Some(1)))
        .unwrap();
    let registered = storage.register_schedule("nightly", "0 3 * * *").unwrap();
    let first_session = session(&storage);
    storage.close_session(first_session).unwrap();
    drop(storage);

    let storage = open();
    assert_eq!(storage.queue("mail").unwrap().max_running, Some(1));
    assert_eq!(storage.schedules().unwrap(), [registered]);
    let again = enqueue(&storage, &[unique]);
    assert_eq!(again, [Placed::Existing(placed[0].id())]);
    let page = Page {
        after: JobId(0),
        most: 10,
    };
    let filter = Filter {
        payloads: true,
        ..Filter::default()
    };
    let listed = storage.list(&filter, page).unwrap();
    let states: Vec<_> = listed.iter().map(|job| job.state).collect();
    assert_eq!(states, [JobState::Ready, JobState::Scheduled]);
    assert_eq!(listed[0].meta["request"], "r-7");
    assert_eq!(listed[0].payload, b"1");
    let next = session(&storage);
    assert!(next > first_session);
    clock.advance(SECOND);
    let taken = exchange(&storage, next, 1, &[], 5);
    assert_eq!(taken.claimed.len(), 1); // no more than one at once
    assert_eq!(taken.next_due, None);
    assert_eq!(storage.check(true).unwrap(), []);
}

#[test]
fn a_clock_that_jumps_loses_nothing() {
    let folder = Folder::new();
    let clock = ManualClock::new();
    let storage = Sqlite::options(db(&folder)).clock(&clock).open().unwrap();
    let hour = SECOND * 3600;
    let now = clock.clock().wall();
    let mut later = job("2");
    later.due = Due::After(SECOND);
    enqueue(&storage, &[job("1"), later]);
    let first = session(&storage);
    clock.set_wall(now - hour);
    let taken = exchange(&storage, first, 1, &[], 5);
    assert_eq!(taken.claimed.len(), 1);
    assert_eq!(taken.next_due, Some(StoredTime::from(now + SECOND)));
    clock.set_wall(now + hour);
    let late = exchange(&storage, first, 2, &[], 5);
    assert!(!late.alive);
    let second = session(&storage);
    let taken = exchange(&storage, second, 1, &[], 5);
    let ids: Vec<_> = taken.claimed.iter().map(|claimed| claimed.id).collect();
    assert_eq!(ids, [JobId(1), JobId(2)]);
}
