//! Copies of a file that was cut off: at any moment of a process, and at any byte of the WAL.

use super::book::{Book, Reader};
use super::child::{self, Child};
use super::{Folder, Random, SECOND, Work, file, kills, open, until};
use millhand::jobs::rusqlite::Connection;
use millhand::jobs::{Durability, Filter, JobContext, Jobs, Sqlite};
use millhand::{Shutdown, ThreadPool};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
#[cfg(target_os = "linux")]
use std::process::Command;

fn wal(folder: &Path) -> PathBuf {
    folder.join("jobs.db-wal")
}

/// The ids of all jobs in the file, by their batches. Nothing is wrong with the file.
fn batches(folder: &Path) -> BTreeMap<u64, Vec<u64>> {
    let jobs = open(folder);
    assert_eq!(jobs.check(false).unwrap(), []);
    let conn = Connection::open(file(folder)).unwrap();
    let check = "PRAGMA integrity_check";
    let said: String = conn.query_row(check, [], |row| row.get(0)).unwrap();
    assert_eq!(said, "ok");
    let mut batches = BTreeMap::<u64, Vec<u64>>::new();
    for job in jobs.list(Filter::default()) {
        let job = job.unwrap();
        let batch = job.meta["batch"].parse().unwrap();
        batches.entry(batch).or_default().push(job.id.0);
    }
    batches
}

fn store(jobs: &Jobs, batch: u64) -> Vec<u64> {
    let template = jobs.job().keep(3600 * SECOND);
    let template = template.meta("batch", batch.to_string());
    let jobs = (0..1 + batch % 7).map(|n| Work { n });
    let stored = template.enqueue_all(jobs).unwrap();
    stored.iter().map(|one| one.id().0).collect()
}

/// Stores jobs and runs them, as fast as it can.
pub(super) fn busy() {
    let folder = child::folder();
    let jobs = open(&folder);
    let pool = ThreadPool::new(2).unwrap();
    let consumer = jobs.consumer(&pool).queue("default", 4).lease(SECOND);
    let run = |work: Work, _: &JobContext| Ok::<_, String>(work.n);
    consumer.handle(run).start().unwrap();
    for thread in 0..4 {
        let (jobs, book) = (jobs.clone(), Book::open(&folder));
        std::thread::spawn(move || {
            for batch in (thread..).step_by(4) {
                let mut line = vec![batch];
                line.extend(store(&jobs, batch));
                book.write("stored", &line);
            }
        });
    }
    child::wait_for_the_end();
    pool.shutdown(Shutdown::drain()).unwrap();
}

#[test]
fn a_copy_from_any_moment_is_whole_and_has_what_was_confirmed() {
    let (copies, mut random) = (kills(), Random::new());
    let (mut batch_count, mut unconfirmed) = (0, 0);
    for _ in 0..copies.div_ceil(10) {
        let folder = Folder::new();
        let mut book = Reader::open(folder.path());
        let busy = Child::start("busy", folder.path());
        for _ in 0..10 {
            let enough = book.read() + 30;
            until("batches are stored", || book.read() >= enough);
            random.pause(20);
            busy.stop();
            let confirmed = book.all("stored");
            let copy = Folder::new();
            std::fs::copy(file(folder.path()), file(copy.path())).unwrap();
            std::fs::copy(wal(folder.path()), wal(copy.path())).unwrap();
            busy.go_on();

            let mut stored = batches(copy.path());
            batch_count += stored.len();
            for line in confirmed {
                assert_eq!(stored.remove(&line[0]).as_deref(), Some(&line[1..]));
            }
            // One of each thread may be under way, and it is there as a whole.
            let threads: BTreeSet<_> = stored.keys().map(|batch| batch % 4).collect();
            assert_eq!(threads.len(), stored.len(), "{stored:?}");
            for (batch, ids) in &stored {
                assert_eq!(ids.len() as u64, 1 + batch % 7);
            }
            unconfirmed += stored.len();
        }
        busy.kill();
    }
    let copies = 10 * copies.div_ceil(10);
    eprintln!("{copies} copies, {batch_count} batches, {unconfirmed} of them not confirmed");
}

/// Stores batches one by one, and notes how long the WAL was after each. It ends before SQLite
/// begins the WAL anew.
fn note(durability: Durability) {
    let folder = child::folder();
    let storage = Sqlite::options(file(&folder)).durability(durability);
    let jobs = Jobs::open(storage.open().unwrap()).unwrap();
    let book = Book::open(&folder);
    for batch in 0..NOTED {
        let ids = store(&jobs, batch);
        let mut line = vec![batch, std::fs::metadata(wal(&folder)).unwrap().len()];
        line.extend(ids);
        book.write("stored", &line);
    }
    book.write("all", &[]);
    child::wait_for_the_end();
}

const NOTED: u64 = 60;

pub(super) fn noter_full() {
    note(Durability::Full);
}

pub(super) fn noter_normal() {
    note(Durability::Normal);
}

#[test]
fn a_wal_that_was_cut_off_at_any_byte_has_what_was_confirmed_before() {
    let mut random = Random::new();
    let mut cuts = 0;
    for role in ["noter full", "noter normal"] {
        let folder = Folder::new();
        let mut book = Reader::open(folder.path());
        let noter = Child::start(role, folder.path());
        until("all is noted", || !book.all("all").is_empty());
        noter.kill();
        let noted = book.all("stored");
        let whole = std::fs::read(wal(folder.path())).unwrap();
        assert!(whole.len() < 1000 * 4096, "SQLite has begun the WAL anew");
        for _ in 0..kills() {
            // At a byte that was noted, just before it, or anywhere.
            let place = random.below(noted.len());
            let cut = match random.below(3) {
                0 => usize::try_from(noted[place][1]).unwrap(),
                1 => usize::try_from(noted[place][1]).unwrap() - 1,
                _ => random.below(whole.len() + 1),
            };
            let copy = Folder::new();
            std::fs::copy(file(folder.path()), file(copy.path())).unwrap();
            std::fs::write(wal(copy.path()), damaged(&whole, cut, &mut random)).unwrap();
            let stored = batches(copy.path());
            // The first ones, each as a whole.
            let mut next = 1;
            for (n, (batch, ids)) in stored.iter().enumerate() {
                let size = 1 + batch % 7;
                assert_eq!(*batch, n as u64);
                assert_eq!(*ids, (next..next + size).collect::<Vec<_>>());
                next += size;
            }
            let confirmed = noted.iter().filter(|line| line[1] <= cut as u64).count();
            assert!(stored.len() >= confirmed, "{role}: cut at {cut}");
            cuts += 1;
        }
    }
    eprintln!("{cuts} cuts");
}

/// The WAL as it may be if only the bytes before `cut` have reached the disk.
fn damaged(whole: &[u8], cut: usize, random: &mut Random) -> Vec<u8> {
    let mut damaged = whole.to_vec();
    match random.below(4) {
        0 => damaged.truncate(cut),
        1 => damaged[cut..].fill(0),
        2 => damaged[cut..].fill_with(|| random.below(256) as u8),
        // Frames of before, as on a disk that was used.
        _ => {
            const FRAME: usize = 4096 + 24;
            for at in cut.max(32 + FRAME)..damaged.len() {
                damaged[at] = damaged[at - FRAME];
            }
        }
    }
    damaged
}

#[cfg(target_os = "linux")]
/// Whether the disk was told to keep each batch before it was confirmed, as `strace` sees it.
/// `None` without `strace`.
fn syncs_first(durability: &str) -> Option<bool> {
    let folder = Folder::new();
    let trace = folder.path().join("trace");
    let mut book = Reader::open(folder.path());
    let mut strace = Command::new("strace");
    strace.args([
        "-f",
        "-y",
        "-qq",
        "-e",
        "trace=pwrite64,fdatasync,fsync,write",
    ]);
    strace.arg("-o").arg(&trace);
    let mut noter = Child::start_in(strace, &format!("noter {durability}"), folder.path())?;
    until("all is noted", || {
        !book.all("all").is_empty() || noter.has_died()
    });
    drop(noter);
    if book.all("all").is_empty() {
        return None; // it may not trace here
    }
    let text = std::fs::read_to_string(&trace).unwrap();
    let (mut is_safe, mut is_synced, mut confirmed) = (true, true, 0);
    for line in text.lines() {
        let is_wal = line.contains("jobs.db-wal>");
        if is_wal && line.contains("pwrite64(") {
            is_synced = false;
        } else if line.contains("sync resumed>")
            || is_wal && line.contains("sync(") && !line.contains("<unfinished")
        {
            is_synced = true;
        } else if line.contains("/book>, \"stored ") {
            is_safe &= is_synced;
            confirmed += 1;
        }
    }
    assert_eq!(confirmed, NOTED);
    Some(is_safe)
}

#[cfg(target_os = "linux")]
#[test]
fn the_disk_has_a_batch_before_it_is_confirmed_unless_the_durability_is_less() {
    match (syncs_first("full"), syncs_first("normal")) {
        (Some(full), Some(normal)) => assert_eq!((full, normal), (true, false)),
        _ => eprintln!("there is no strace, or it may not trace"),
    }
}
