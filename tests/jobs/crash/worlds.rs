//! Clocks that jump, calls that fail, and a deploy of another version.

use super::book::{Book, Reader};
use super::child::{self, Child};
use super::{Folder, MS, Random, SECOND, Work, all_is_at_rest, file, kills, open, until};
use crate::faulty::Faulty;
use millhand::jobs::{Job, JobContext, Jobs, Sqlite, Storage};
use millhand::testing::ManualClock;
use millhand::{Shutdown, ThreadPool};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

/// How often each job has begun.
type Runs = Arc<Mutex<BTreeMap<u64, u64>>>;

#[test]
fn a_clock_that_jumps_costs_second_runs_and_no_second_end() {
    let (folder, clock, mut random) = (Folder::new(), ManualClock::new(), Random::new());
    let open = || {
        let storage = Sqlite::options(file(folder.path())).clock(&clock);
        Jobs::open(storage.open().unwrap()).unwrap()
    };
    let jobs = [open(), open()];
    let runs = Runs::default();
    let pools = [0, 1].map(|n: usize| {
        let (pool, runs) = (ThreadPool::new(2).unwrap(), runs.clone());
        let run = move |work: Work, _: &JobContext| {
            *runs.lock().unwrap().entry(work.n).or_default() += 1;
            std::thread::sleep(MS);
            Ok::<_, String>(work.n)
        };
        let consumer = jobs[n].consumer(&pool).queue("default", 4);
        consumer.lease(SECOND).handle(run).start().unwrap();
        pool
    });
    let hour = 3600;
    let zero = SystemTime::now();
    let number = 10 * kills() as u64;
    for n in 0..number {
        let minutes = Duration::from_secs(60 * random.below(60) as u64);
        let template = jobs[0].job().max_crashes(1_000_000).delay(minutes);
        let stored = template.unique(n.to_string()).enqueue(&Work { n }).unwrap();
        assert!(stored.is_new());
        if n % 5 == 0 {
            let off = Duration::from_secs(random.below(2 * hour) as u64);
            clock.set_wall(zero + off);
        }
    }
    clock.set_wall(zero + Duration::from_secs(10 * hour as u64));
    until("all jobs end", || {
        jobs[0].counts().unwrap().totals.done >= number
    });
    for pool in pools {
        pool.shutdown(Shutdown::drain()).unwrap();
    }
    all_is_at_rest(&jobs[0]);
    let totals = jobs[0].counts().unwrap().totals;
    assert_eq!((totals.done, totals.dead, totals.retried), (number, 0, 0));
    let runs = runs.lock().unwrap();
    let again = runs.values().map(|n| n - 1).sum::<u64>();
    assert_eq!(runs.len() as u64, number);
    assert!(again <= totals.crashed, "{again}, {totals:?}");
    let crashed = totals.crashed;
    eprintln!("{number} jobs, {crashed} lost claims, {again} jobs begun again");
}

/// Huey's issue 915, and its relatives: any call may fail, before it has done what was asked, or
/// after.
#[test]
fn nothing_is_lost_or_ended_twice_when_any_call_may_fail() {
    let folder = Folder::new();
    let storage = Sqlite::open(file(folder.path())).unwrap();
    let faulty = Faulty::new(storage.clone(), 0);
    let jobs = Jobs::open(faulty.clone()).unwrap();
    let (pool, runs) = (ThreadPool::new(2).unwrap(), Runs::default());
    let counts = runs.clone();
    let run = move |work: Work, _: &JobContext| {
        *counts.lock().unwrap().entry(work.n).or_default() += 1;
        Ok::<_, String>(work.n)
    };
    let consumer = jobs.consumer(&pool).queue("default", 16).lease(SECOND);
    let consumer = consumer.handle(run).start().unwrap();
    let later = jobs.job().max_crashes(1000).delay(SECOND);
    drop(later.enqueue_all((0..503).map(|n| Work { n })).unwrap());
    faulty.set_percent(10);
    until("half of the jobs end", || {
        storage.counts().unwrap().totals.done > 250
    });
    until("calls fail", || faulty.failed.load(SeqCst) > 10);
    faulty.set_percent(0);
    until("all jobs end", || {
        storage.counts().unwrap().totals.done == 503
    });
    pool.shutdown(Shutdown::drain()).unwrap();
    all_is_at_rest(&jobs);
    let totals = jobs.counts().unwrap().totals;
    assert_eq!((totals.done, totals.dead, totals.retried), (503, 0, 0));
    let (runs, report) = (runs.lock().unwrap(), consumer.report());
    let again = runs.values().map(|n| n - 1).sum::<u64>();
    assert_eq!(runs.len(), 503);
    assert!(again <= totals.crashed, "{again}, {totals:?}");
    // An answer that was lost may have been the one that counted.
    assert!(report.done + report.gone >= 503, "{report}");
}

/// In version 1. In version 2 it is called `Scale`.
#[derive(Serialize, Deserialize)]
struct Resize {
    n: u64,
}

impl Job for Resize {
    const NAME: &'static str = "resize";
    type Output = ();
}

#[derive(Serialize, Deserialize)]
struct Scale {
    n: u64,
}

impl Job for Scale {
    const NAME: &'static str = "scale";
    const ALIASES: &'static [&'static str] = &["resize"];
    type Output = ();
}

/// New in version 2.
#[derive(Serialize, Deserialize)]
struct Stamp {
    n: u64,
}

impl Job for Stamp {
    const NAME: &'static str = "stamp";
    type Output = ();
}

fn version(is_new: bool) {
    let folder = child::folder();
    let (jobs, book) = (open(&folder), Book::open(&folder));
    let pool = ThreadPool::new(2).unwrap();
    let book = Arc::new(book);
    let run = move |context: &JobContext| {
        book.write("run", &[context.id().0, 1 + u64::from(is_new)]);
        std::thread::sleep(MS);
        Ok::<_, String>(())
    };
    let consumer = jobs.consumer(&pool).queue("default", 4).lease(SECOND);
    let both = run.clone();
    let consumer = consumer.handle(move |work: Work, context| both(context).map(|()| work.n));
    let consumer = match is_new {
        false => consumer.handle(move |_: Resize, context| run(context)),
        true => {
            let scale = run.clone();
            consumer
                .handle(move |_: Scale, context| scale(context))
                .handle(move |_: Stamp, context| run(context))
        }
    };
    consumer.start().unwrap();
    child::wait_for_the_end();
    pool.shutdown(Shutdown::drain()).unwrap();
}

pub(super) fn version_1() {
    version(false);
}

pub(super) fn version_2() {
    version(true);
}

#[test]
fn a_deploy_of_a_new_version_leaves_its_kinds_to_it_and_nothing_behind() {
    let (folder, mut random) = (Folder::new(), Random::new());
    let (jobs, mut book) = (open(folder.path()), Reader::open(folder.path()));
    let restarts = kills().div_ceil(2);
    let start = |version: usize| Child::start(&format!("version {version}"), folder.path());
    let mut workers: Vec<_> = (0..3).map(|_| start(1)).collect();
    let mut only_new = BTreeSet::new();
    let mut number = 0;
    let template = jobs.job().max_crashes(1000);
    for restart in 0..restarts {
        let enough = book.read() + 10;
        for n in 0..20 {
            number += 3;
            let _ = template.enqueue(&Work { n }).unwrap();
            let _ = template.enqueue(&Resize { n }).unwrap();
            // Before the first worker of the new version, too.
            only_new.insert(match n % 2 {
                0 => template.enqueue(&Scale { n }).unwrap().id().0,
                _ => template.enqueue(&Stamp { n }).unwrap().id().0,
            });
        }
        until("jobs begin", || book.read() >= enough);
        // Back and forth in the first half, and all are of the new one at the end.
        let version = match restart < restarts / 2 {
            true => 1 + random.below(2),
            false => 2,
        };
        let old = std::mem::replace(&mut workers[restart % 3], start(version));
        match random.below(2) {
            0 => old.kill(),
            _ => old.end(),
        }
    }
    until("all jobs end", || {
        jobs.counts().unwrap().totals.done == number
    });
    workers.into_iter().for_each(Child::end);
    all_is_at_rest(&jobs);

    let totals = jobs.counts().unwrap().totals;
    assert_eq!((totals.done, totals.dead, totals.retried), (number, 0, 0));
    let mut of_version = [0, 0];
    for run in book.all("run") {
        of_version[usize::try_from(run[1]).unwrap() - 1] += 1;
        let is_of_both = !only_new.contains(&run[0]);
        assert!(is_of_both || run[1] == 2, "{run:?}");
    }
    eprintln!("{number} jobs, {restarts} restarts, {of_version:?} runs by versions 1 and 2");
}
