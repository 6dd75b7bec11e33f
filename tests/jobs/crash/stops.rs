//! Workers are stopped: by `SIGSTOP` for longer than a lease, and by `SIGTERM` for good.

use super::book::{Book, Reader};
use super::child::{self, Child};
use super::{Folder, MS, Random, SECOND, Work, all_is_at_rest, file, kills, open, until};
use millhand::cancel::CancelReason;
use millhand::jobs::rusqlite::Connection;
use millhand::jobs::{Consumer, Job, JobContext, JobId, Jobs, QueueChange};
use millhand::{Shutdown, Signals, ThreadPool};
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::{Duration, Instant};

const SLOTS: usize = 4;

/// If there is such a file, jobs end that are begun again.
const MAY_END: &str = "may end";

fn start(
    jobs: &Jobs,
    pool: &ThreadPool,
    lease: Duration,
    run: impl Fn(Work, &JobContext) -> Result<u64, String> + Send + Sync + 'static,
) -> Consumer {
    let consumer = jobs.consumer(pool).queue(Work::QUEUE, SLOTS).lease(lease);
    consumer.handle(run).start().unwrap()
}

fn write_report(book: &Book, consumer: &Consumer) {
    let report = consumer.report();
    assert_eq!((report.running, report.unsaved.len()), (0, 0));
    book.write("report", &[report.done, report.gone]);
}

/// Begins jobs that run until they are asked to stop. Then the even ones succeed all the same, and
/// the odd ones fail. A job that was begun before succeeds when the test lets it.
pub(super) fn sleeper() {
    let folder = child::folder();
    let (jobs, book) = (open(&folder), Book::open(&folder));
    let pool = ThreadPool::new(SLOTS).unwrap();
    let begun = Mutex::new(BTreeSet::<JobId>::new());
    let may_end = folder.join(MAY_END);
    let consumer = start(&jobs, &pool, SECOND, move |work, context| {
        let line = [work.n, std::process::id().into()];
        book.write("run", &line);
        if !begun.lock().unwrap().insert(context.id()) || context.crashes() > 0 {
            while !may_end.exists() {
                std::thread::sleep(MS);
            }
            return Ok(work.n);
        }
        while context.token().reason().is_none() {
            std::thread::sleep(MS);
        }
        let deed = match context.token().reason() {
            Some(CancelReason::Lease) => "lease",
            _ => "other",
        };
        book.write(deed, &line);
        match work.n % 2 {
            0 => Ok(work.n),
            _ => Err("asked to stop".to_owned()),
        }
    });
    child::wait_for_the_end();
    pool.shutdown(Shutdown::drain()).unwrap();
    write_report(&Book::open(&folder), &consumer);
}

/// Where a sleeper runs four jobs, and was stopped then.
struct Stopped {
    folder: Folder,
    jobs: Jobs,
    book: Reader,
    lock: Connection,
}

fn stopped() -> (Stopped, Child) {
    let folder = Folder::new();
    let (jobs, mut book) = (open(folder.path()), Reader::open(folder.path()));
    drop(jobs.job().enqueue_all((0..4).map(|n| Work { n })).unwrap());
    let sleeper = Child::start("sleeper", folder.path());
    until("four jobs begin", || book.all("run").len() >= SLOTS);
    let lock = Connection::open(file(folder.path())).unwrap();
    lock.busy_timeout(SECOND / 10).unwrap();
    // Not while it holds the lock of the file: then all wait for it.
    loop {
        sleeper.stop();
        if lock.execute_batch("BEGIN IMMEDIATE; ROLLBACK").is_ok() {
            break;
        }
        sleeper.go_on();
    }
    let stopped = Stopped {
        folder,
        jobs,
        book,
        lock,
    };
    (stopped, sleeper)
}

impl Stopped {
    fn may_end(&self) {
        std::fs::write(self.folder.path().join(MAY_END), "").unwrap();
    }

    fn are_notified(&mut self) -> bool {
        self.book.all("lease").len() == SLOTS
    }

    fn done(&self) -> u64 {
        self.jobs.counts().unwrap().totals.done
    }

    /// Ends the sleeper. Returns how many of its ends counted, and how many did not.
    fn end(&mut self, sleeper: Child) -> (u64, u64) {
        sleeper.end();
        assert_eq!(self.book.all("other").len(), 0);
        let report = self.book.all("report").pop().unwrap();
        (report[0], report[1])
    }

    /// All jobs have ended once.
    fn check(self) {
        all_is_at_rest(&self.jobs);
        let totals = self.jobs.counts().unwrap().totals;
        assert_eq!((totals.done, totals.dead), (4, 0));
        assert_eq!((totals.retried, totals.cancelled), (0, 0));
    }
}

#[test]
fn a_worker_that_was_stopped_for_long_notifies_its_jobs_before_it_asks_the_storage() {
    // On a busy machine the lease may end before. Then there is another attempt.
    until("the lease ends while the worker is stopped", || {
        let (mut stopped, sleeper) = stopped();
        let other = Child::start("sleeper", stopped.folder.path());
        until("another worker has the jobs", || {
            stopped.book.all("run").len() >= 2 * SLOTS
        });
        let queue = Work::QUEUE;
        stopped.jobs.set_queue(queue, QueueChange::Pause).unwrap();
        if !stopped.book.all("lease").is_empty() {
            return false; // the lease had ended before
        }

        // Now it cannot ask.
        until("the lock is free", || {
            stopped.lock.execute_batch("BEGIN IMMEDIATE").is_ok()
        });
        sleeper.go_on();
        until("all are notified", || stopped.are_notified());
        stopped.lock.execute_batch("ROLLBACK").unwrap();

        // Two have succeeded here, which does not count: they run elsewhere.
        assert_eq!((stopped.end(sleeper), stopped.done()), ((0, 2), 0));
        stopped.may_end();
        until("the jobs end there", || stopped.done() == 4);
        other.end();
        stopped.check();
        true
    });
}

#[test]
fn an_end_after_the_lease_counts_if_no_other_worker_took_the_job() {
    let (mut stopped, sleeper) = stopped();
    let jobs = stopped.jobs.clone();
    jobs.set_queue(Work::QUEUE, QueueChange::Pause).unwrap();
    until("the lease ends", || {
        jobs.storage().sweep(100).unwrap();
        jobs.sessions().unwrap().is_empty()
    });
    sleeper.go_on();
    until("all are notified", || stopped.are_notified());
    until("the two ends count", || stopped.done() == 2);
    stopped.may_end();
    jobs.set_queue(Work::QUEUE, QueueChange::Resume).unwrap();
    until("the others end", || stopped.done() == 4);
    assert_eq!(stopped.end(sleeper), (4, 0));
    stopped.check();
}

#[test]
fn a_lease_that_has_ended_unnoticed_is_extended_and_the_jobs_are_notified_all_the_same() {
    let (mut stopped, sleeper) = stopped();
    let jobs = stopped.jobs.clone();
    until("the lease ends", || {
        jobs.sessions().unwrap()[0].lease_until < jobs.storage().now().unwrap()
    });
    sleeper.go_on();
    until("all are notified", || stopped.are_notified());
    stopped.may_end();
    until("all end", || stopped.done() == 4);
    assert_eq!(stopped.end(sleeper), (4, 0));
    stopped.check();
}

/// Runs jobs until the system asks it to end.
pub(super) fn graceful() {
    let signals = Signals::install();
    let folder = child::folder();
    let (jobs, book) = (open(&folder), Book::open(&folder));
    let pool = ThreadPool::new(SLOTS).unwrap();
    let consumer = start(&jobs, &pool, 600 * SECOND, move |work, context| {
        book.write("run", &[context.id().0]);
        std::thread::sleep(MS * u32::try_from(work.n % 10).unwrap());
        Ok(work.n)
    });
    pool.run_until(&signals, Shutdown::drain()).unwrap();
    write_report(&Book::open(&folder), &consumer);
}

#[test]
fn workers_that_are_asked_to_end_leave_nothing_behind() {
    let folder = Folder::new();
    let (jobs, mut book) = (open(folder.path()), Reader::open(folder.path()));
    let (stops, mut random) = (2 * kills(), Random::new());
    let number = 30 * stops as u64;
    let all = jobs.job().enqueue_all((0..number).map(|n| Work { n }));
    drop(all.unwrap());
    let mut longest = Duration::ZERO;
    let report = |book: &mut Reader| book.all("report").iter().map(|one| one[0]).sum::<u64>();
    for stop in 1..=stops {
        let worker = Child::start("graceful", folder.path());
        let enough = book.read() + 10;
        until("jobs begin", || book.read() >= enough);
        random.pause(20);
        let begun = Instant::now();
        worker.signal(Signal::TERM);
        worker.ended();
        longest = longest.max(begun.elapsed());

        assert_eq!(jobs.sessions().unwrap(), []);
        let counts = jobs.counts().unwrap();
        let (queue, totals) = (&counts.queues[0], counts.totals);
        assert_eq!(queue.ready + totals.done, number, "{counts:?}");
        assert_eq!((totals.crashed, totals.dead, totals.retried), (0, 0, 0));
        // What has begun has ended, once.
        let runs = book.all("run").len() as u64;
        assert_eq!((totals.done, report(&mut book)), (runs, runs), "{stop}");
    }
    assert_eq!(jobs.check(false).unwrap(), []);
    let runs: BTreeSet<_> = book.all("run").into_iter().collect();
    assert_eq!(runs.len() as u64, jobs.counts().unwrap().totals.done);
    eprintln!(
        "{stops} stops, {} jobs, {longest:?} at most to end",
        runs.len()
    );
}
