//! Schedules: cases 75 to 80.
//!
//! Layer: jobs.

use crate::jobs::conformance::env::{Env, HOUR, MINUTE, SECOND, job, unique};
use crate::jobs::{NewJob, ScheduleChange, StoredSchedule, StoredTime, Tick, UniqueUntil};

const NAME: &str = "nightly";

fn tick(env: &Env, at: StoredTime, job: &NewJob) -> bool {
    let tick = Tick {
        schedule: NAME,
        at,
        job,
    };
    env.storage().tick(&tick).unwrap()
}

fn register(env: &Env) -> StoredSchedule {
    env.storage().register_schedule(NAME, "every hour").unwrap()
}

fn ready(env: &Env) -> u64 {
    env.counts().queues.iter().map(|queue| queue.ready).sum()
}

pub fn each_time_of_a_schedule_stores_one_job(env: &Env) {
    const TIMES: u64 = 1000;
    let start = register(env).last_tick;
    env.advance(HOUR);
    let times = || (1..=TIMES).map(|second| start + SECOND * u32::try_from(second).unwrap());
    let all: usize = std::thread::scope(|scope| {
        let tick_all = || times().filter(|&at| tick(env, at, &job())).count();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(tick_all)).collect();
        threads.into_iter().map(|it| it.join().unwrap()).sum()
    });
    // A thread gets to a time after it has asked for the one before. So none is left out.
    assert_eq!(u64::try_from(all).unwrap(), TIMES);
    let schedule = register(env);
    assert_eq!((schedule.runs, ready(env)), (TIMES, TIMES));
    assert_eq!(schedule.last_tick, times().next_back().unwrap());
}

pub fn a_new_schedule_begins_now(env: &Env) {
    let schedule = register(env);
    let new = StoredSchedule {
        name: NAME.into(),
        rule: "every hour".into(),
        last_tick: env.now(),
        ..StoredSchedule::default()
    };
    assert_eq!(schedule, new);
    env.advance(HOUR);
    assert_eq!(register(env), new);
    assert!(!tick(env, new.last_tick, &job()));
    assert!(tick(env, env.now(), &job()));
    let after = StoredSchedule {
        last_tick: env.now(),
        runs: 1,
        ..new
    };
    assert_eq!(env.storage().schedules().unwrap(), [after]);
}

pub fn times_that_were_missed_are_stored_in_their_order(env: &Env) {
    let start = register(env).last_tick;
    env.advance(HOUR * 5);
    let stored = [3, 4, 2, 5, 5].map(|hours| tick(env, start + HOUR * hours, &job()));
    assert_eq!(stored, [true, true, false, true, false]);
    assert_eq!(ready(env), 3);
}

pub fn no_time_is_stored_before_it_has_come(env: &Env) {
    let start = register(env).last_tick;
    assert!(!tick(env, start + MINUTE, &job()));
    assert_eq!(register(env).last_tick, start);
    env.advance(MINUTE);
    assert!(tick(env, start + MINUTE, &job()));
}

pub fn a_schedule_that_is_paused_stores_nothing(env: &Env) {
    let change = |change| env.storage().set_schedule(NAME, change).unwrap();
    assert!(!change(ScheduleChange::Pause), "there is none yet");
    assert!(!tick(env, env.now(), &job()), "it is not registered");
    register(env);
    env.advance(MINUTE);
    assert!(change(ScheduleChange::Pause));
    assert!(env.storage().schedules().unwrap()[0].paused);
    assert!(!tick(env, env.now(), &job()));
    assert!(register(env).paused);
    env.advance(MINUTE);
    let passed = env.now();
    env.advance(MINUTE);
    assert!(change(ScheduleChange::Resume));
    assert!(!tick(env, passed, &job()), "it is not made up for");
    env.advance(MINUTE);
    assert!(tick(env, env.now(), &job()));
    assert_eq!(ready(env), 1);
}

pub fn a_schedule_that_is_forgotten_begins_anew(env: &Env) {
    register(env);
    env.advance(MINUTE);
    assert!(tick(env, env.now(), &job()));
    assert!(
        env.storage()
            .set_schedule(NAME, ScheduleChange::Forget)
            .unwrap()
    );
    assert_eq!(env.storage().schedules().unwrap(), []);
    env.advance(MINUTE);
    assert!(!tick(env, env.now(), &job()));
    let schedule = register(env);
    assert_eq!((schedule.last_tick, schedule.runs), (env.now(), 0));
}

pub fn another_rule_stores_no_time_twice(env: &Env) {
    let start = register(env).last_tick;
    env.advance(HOUR);
    assert!(tick(env, start + HOUR, &job()));
    let schedule = env
        .storage()
        .register_schedule(NAME, "every minute")
        .unwrap();
    assert_eq!((schedule.rule.as_str(), schedule.runs), ("every minute", 1));
    assert_eq!(schedule.last_tick, start + HOUR);
    assert!(!tick(env, start + HOUR, &job()));
    assert!(!tick(env, start + MINUTE, &job()));
    assert_eq!(ready(env), 1);
}

pub fn a_time_counts_though_the_key_of_its_job_is_taken(env: &Env) {
    register(env);
    let job = unique("schedule", UniqueUntil::Ended);
    env.advance(HOUR);
    assert!(tick(env, env.now(), &job));
    env.advance(HOUR);
    let at = env.now();
    tick(env, at, &job);
    assert_eq!(ready(env), 1);
    assert!(!tick(env, at, &job));
    let schedule = register(env);
    assert_eq!((schedule.last_tick, schedule.runs), (at, 1));
}

pub fn schedules_are_listed_by_their_names(env: &Env) {
    for name in ["b", "c", "a"] {
        env.storage().register_schedule(name, "").unwrap();
    }
    let schedules = env.storage().schedules().unwrap();
    let names: Vec<&str> = schedules.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
}
