//! Workers and enqueuers are killed.

use super::book::{Book, Reader};
use super::child::{self, Child};
use super::{Folder, MS, Random, SECOND, Work, all_is_at_rest, file, kills, open, until};
use millhand::jobs::{Durability, Filter, JobContext, JobState, Jobs, SessionInfo, Sqlite};
use millhand::{Shutdown, ThreadPool};
use rustix::process::{Signal, getpid, kill_process};
use std::collections::BTreeMap;

const WORKERS: usize = 4;
const SLOTS: usize = 4;

/// A job with this number kills its worker.
const POISON: u64 = u64::MAX;

/// Runs jobs, and writes each begin down.
pub(super) fn worker() {
    let folder = child::folder();
    let book = Book::open(&folder);
    // A kill takes nothing with either.
    let durability = match std::process::id() % 2 {
        0 => Durability::Full,
        _ => Durability::Normal,
    };
    let storage = Sqlite::options(file(&folder)).durability(durability);
    let jobs = Jobs::open(storage.open().unwrap()).unwrap();
    let pool = ThreadPool::new(SLOTS).unwrap();
    let run = move |work: Work, context: &JobContext| {
        book.write("run", &[context.id().0, std::process::id().into()]);
        if work.n == POISON {
            kill_process(getpid(), Signal::KILL).unwrap();
        }
        std::thread::sleep(MS * u32::try_from(work.n % 10).unwrap());
        Ok::<_, String>(work.n)
    };
    let consumer = jobs.consumer(&pool).queue("default", SLOTS).lease(SECOND);
    consumer.handle(run).start().unwrap();
    child::wait_for_the_end();
    pool.shutdown(Shutdown::drain()).unwrap();
}

/// How often each job has begun, by its id.
fn runs(book: &mut Reader) -> BTreeMap<u64, u64> {
    let mut runs = BTreeMap::new();
    for run in book.all("run") {
        *runs.entry(run[0]).or_default() += 1;
    }
    runs
}

#[test]
fn killed_workers_lose_no_job_and_end_none_twice() {
    let folder = Folder::new();
    let jobs = open(folder.path());
    let (kills, mut random) = (kills(), Random::new());
    let number = 100 * kills as u64;
    let template = jobs.job().max_crashes(1000).keep(3600 * SECOND);
    let all = template.enqueue_all((0..number).map(|n| Work { n }));
    assert_eq!(all.unwrap().len() as u64, number);

    let mut book = Reader::open(folder.path());
    let start = || Child::start("worker", folder.path());
    let mut workers: Vec<_> = (0..WORKERS).map(|_| start()).collect();
    for _ in 0..kills {
        // So that each kill comes while jobs run.
        let enough = book.read() + 60;
        until("jobs begin", || book.read() >= enough);
        random.pause(20);
        let victim = random.below(WORKERS);
        std::mem::replace(&mut workers[victim], start()).kill();
    }
    until("all jobs end", || {
        jobs.counts().unwrap().totals.done == number
    });
    workers.into_iter().for_each(Child::end);
    all_is_at_rest(&jobs);

    let totals = jobs.counts().unwrap().totals;
    assert_eq!((totals.done, totals.dead, totals.retried), (number, 0, 0));
    let runs = runs(&mut book);
    let done = Filter {
        state: Some(JobState::Done),
        ..Filter::default()
    };
    let (mut listed, mut again, mut crashes) = (0, 0, 0);
    for job in jobs.list(done) {
        let job = job.unwrap();
        let of_job = runs.get(&job.id.0).copied().unwrap_or_default();
        let bounds = 1..=job.claims;
        assert!(bounds.contains(&of_job), "{of_job} runs: {job:?}");
        listed += 1;
        again += of_job - 1;
        crashes += u64::from(job.crashes);
    }
    assert_eq!((listed, crashes), (number, totals.crashed));
    // Sessions are numbered from 1. Those that did not end well were swept.
    let next = jobs.storage().open_session(&SessionInfo::default(), SECOND);
    let swept = next.unwrap().0 - 1 - WORKERS as u64;
    assert!(crashes <= swept * SLOTS as u64, "{crashes} of {swept}");
    assert!(again <= crashes);
    eprintln!(
        "{number} jobs, {kills} kills, {swept} leases that ended, {crashes} lost claims, {again} \
         jobs begun again"
    );
}

#[test]
fn a_job_that_kills_its_workers_is_dead_at_the_fourth_and_at_the_first_if_it_asks_for_that() {
    let folder = Folder::new();
    let jobs = open(folder.path());
    let mut book = Reader::open(folder.path());
    let patient = jobs.job().max_crashes(1000);
    drop(patient.enqueue_all((0..500).map(|n| Work { n })).unwrap());
    for (poison, times, text) in [
        (
            jobs.job().at_most_once(),
            1,
            "its worker was lost; at most once",
        ),
        (jobs.job(), 4, "its worker was lost 4 times"),
    ] {
        let poison = poison.priority(1).enqueue(&Work { n: POISON }).unwrap();
        let mut worker = Child::start("worker", folder.path());
        until("the job dies", || {
            if worker.has_died() {
                worker = Child::start("worker", folder.path());
            }
            poison.handle().state().unwrap() == Some(JobState::Dead)
        });
        let job = jobs.get(poison.id()).unwrap().unwrap();
        assert_eq!(job.error.as_deref(), Some(text));
        assert_eq!(runs(&mut book)[&job.id.0], times);
        worker.end();
    }
    let worker = Child::start("worker", folder.path());
    until("all jobs end", || jobs.counts().unwrap().totals.done == 500);
    worker.end();
    all_is_at_rest(&jobs);
    assert_eq!(jobs.counts().unwrap().totals.dead, 2);
}

const ENQUEUERS: usize = 2;
const THREADS: u64 = 4;

/// Stores batches, and writes down what was confirmed.
pub(super) fn enqueuer() {
    let folder = child::folder();
    let jobs = open(&folder);
    for thread in 0..THREADS {
        let (jobs, folder) = (jobs.clone(), folder.clone());
        std::thread::spawn(move || {
            let (book, pid) = (Book::open(&folder), u64::from(std::process::id()));
            for batch in 0.. {
                let size = 1 + batch % 7;
                let name = format!("{pid} {thread} {batch}");
                let template = jobs.job().meta("batch", name);
                let template = template.meta("size", size.to_string());
                let stored = template.enqueue_all((0..size).map(|n| Work { n })).unwrap();
                let mut line = vec![pid, thread, batch];
                line.extend(stored.iter().map(|one| one.id().0));
                book.write("stored", &line);
            }
        });
    }
    child::wait_for_the_end();
}

#[test]
fn what_an_enqueue_has_confirmed_is_there_after_a_kill() {
    let folder = Folder::new();
    let jobs = open(folder.path());
    let (kills, mut random) = (kills(), Random::new());
    let mut book = Reader::open(folder.path());
    let start = || Child::start("enqueuer", folder.path());
    let mut enqueuers: Vec<_> = (0..ENQUEUERS).map(|_| start()).collect();
    for _ in 0..kills {
        let enough = book.read() + 20;
        until("batches are stored", || book.read() >= enough);
        random.pause(20);
        let victim = random.below(ENQUEUERS);
        std::mem::replace(&mut enqueuers[victim], start()).kill();
    }
    enqueuers.into_iter().for_each(Child::kill);
    all_is_at_rest(&jobs);

    let mut stored = BTreeMap::<String, Vec<u64>>::new();
    for job in jobs.list(Filter::default()) {
        let job = job.unwrap();
        let batch = stored.entry(job.meta["batch"].clone()).or_default();
        batch.push(job.id.0);
        assert!(job.meta["size"].parse::<usize>().unwrap() >= batch.len());
    }
    let total = stored.len();
    for line in book.all("stored") {
        let name = format!("{} {} {}", line[0], line[1], line[2]);
        assert_eq!(stored.remove(&name).as_deref(), Some(&line[3..]), "{name}");
    }
    // What is left was under way: one batch of each thread at most, and all of it.
    let mut under_way = BTreeMap::<String, usize>::new();
    for (name, ids) in &stored {
        let (thread, batch) = name.rsplit_once(' ').unwrap();
        assert_eq!(ids.len() as u64, 1 + batch.parse::<u64>().unwrap() % 7);
        *under_way.entry(thread.to_owned()).or_default() += 1;
    }
    assert!(under_way.values().all(|n| *n == 1), "{under_way:?}");
    let unconfirmed = stored.len();
    eprintln!("{total} batches, {kills} kills, {unconfirmed} batches stored and not confirmed");
}
