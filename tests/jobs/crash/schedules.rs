//! Processes that share schedules are killed.

use super::child::{self, Child};
use super::{Folder, Random, SECOND, all_is_at_rest, file, kills, open, until};
use millhand::jobs::{Durability, Filter, Job, JobContext, JobState, Jobs, Sqlite};
use millhand::schedule::{Missed, Overlap};
use millhand::{Shutdown, ThreadPool};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

const PROCESSES: usize = 8;
const PERIOD: i64 = 20;

#[derive(Serialize, Deserialize)]
struct Tick;

impl Job for Tick {
    const NAME: &'static str = "tick";
    type Output = ();
}

/// Has two schedules: one makes up for every time, the other one for the last.
pub(super) fn scheduler() {
    let storage = Sqlite::options(file(&child::folder())).durability(Durability::Normal);
    let jobs = Jobs::open(storage.open().unwrap()).unwrap();
    let pool = ThreadPool::new(1).unwrap();
    let schedule = |name: &str, missed| {
        let template = jobs.job().keep(3600 * SECOND);
        let period = Duration::from_millis(PERIOD.unsigned_abs());
        let every = template.every(name, period, |_| Tick).missed(missed);
        every.overlap(Overlap::Parallel(1000))
    };
    jobs.consumer(&pool)
        .queue("default", 2)
        .lease(SECOND)
        .handle(|_: Tick, _: &JobContext| Ok::<_, String>(()))
        .schedule(schedule("all", Missed::CatchUp(1_000_000)))
        .schedule(schedule("last", Missed::Skip))
        .start()
        .unwrap();
    child::wait_for_the_end();
    pool.shutdown(Shutdown::drain()).unwrap();
}

/// How many jobs a schedule has stored.
fn fired(jobs: &Jobs, name: &str) -> u64 {
    let all = jobs.schedules().unwrap();
    let found = all.iter().find(|one| one.name == name);
    found.map_or(0, |one| one.runs)
}

#[test]
fn each_time_of_a_schedule_stores_one_job_whichever_process_dies() {
    let folder = Folder::new();
    let (jobs, mut random) = (open(folder.path()), Random::new());
    let kills = kills().div_ceil(5);
    let start = || Child::start("scheduler", folder.path());
    let mut processes: Vec<_> = (0..PROCESSES).map(|_| start()).collect();
    for kill in 1..=kills {
        let enough = fired(&jobs, "all") + 20;
        until("times come", || fired(&jobs, "all") >= enough);
        random.pause(20);
        if kill % 10 == 0 {
            // All of them, for a while.
            processes.drain(..).for_each(Child::kill);
            random.pause(500);
            processes.extend((0..PROCESSES).map(|_| start()));
        } else {
            let victim = random.below(PROCESSES);
            std::mem::replace(&mut processes[victim], start()).kill();
        }
    }
    processes.into_iter().for_each(Child::end);
    let worker = start();
    until("all jobs end", || {
        let queues = jobs.counts().unwrap().queues;
        queues.iter().all(|queue| queue.ready + queue.running < 10)
    });
    worker.end();
    all_is_at_rest(&jobs);

    let mut ticks = BTreeMap::<String, Vec<i64>>::new();
    for state in [JobState::Done, JobState::Ready] {
        let filter = Filter {
            state: Some(state),
            ..Filter::default()
        };
        for job in jobs.list(filter) {
            let meta = job.unwrap().meta;
            let of_schedule = ticks.entry(meta["schedule"].clone()).or_default();
            of_schedule.push(meta["tick"].parse().unwrap());
        }
    }
    for of_schedule in ticks.values_mut() {
        of_schedule.sort_unstable();
        assert!(of_schedule.iter().all(|tick| tick % PERIOD == 0));
    }
    let count = |name: &str| ticks[name].len() as u64;
    assert_eq!(count("all"), fired(&jobs, "all"));
    assert_eq!(count("last"), fired(&jobs, "last"));
    let steps = |name: &str| -> Vec<i64> {
        let pairs = ticks[name].windows(2);
        pairs.map(|pair| pair[1] - pair[0]).collect()
    };
    assert!(steps("all").iter().all(|step| *step == PERIOD));
    assert!(steps("last").iter().all(|step| *step >= PERIOD));
    eprintln!(
        "{PROCESSES} processes, {kills} kills, {} times; of the other schedule {} times",
        count("all"),
        count("last"),
    );
}
