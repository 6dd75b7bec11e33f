//! Times: cases 9 to 15.
//!
//! Layer: jobs.

use crate::jobs::conformance::env::{
    DAY, Env, HOUR, KIND, LEASE, MINUTE, QUEUE, SECOND, TICK, delayed, done, ids, job, jobs, retry,
    unique, want,
};
use crate::jobs::{Due, JobState, Judged, MOST_DUE, NewJob, StoredTime, UniqueUntil, Verdict};
use std::time::Duration;

fn at(time: StoredTime) -> NewJob {
    NewJob {
        due: Due::At(time),
        ..job()
    }
}

pub fn a_delayed_job_begins_when_it_is_due_and_not_before(env: &Env) {
    let start = env.now();
    let stored = env.enqueue_all(&[delayed(MINUTE), at(start + MINUTE + TICK)]);
    let worker = env.consumer();
    assert_eq!(env.state(stored[0]), JobState::Scheduled);
    env.advance(MINUTE - TICK);
    assert_eq!(ids(&worker.claim(9)), []);
    env.advance(TICK);
    assert_eq!(ids(&worker.claim(9)), [stored[0]]);
    env.advance(TICK);
    assert_eq!(ids(&worker.claim(9)), [stored[1]]);
    assert_eq!(env.info(stored[0]).due_at, start + MINUTE);
}

pub fn a_time_that_has_passed_is_at_once(env: &Env) {
    let stored = env.enqueue_all(&[at(StoredTime(0)), at(StoredTime(-5)), at(env.now())]);
    assert_eq!(env.state(stored[0]), JobState::Ready);
    assert_eq!(ids(&env.consumer().claim(9)), stored);
}

pub fn ten_thousand_due_at_once_come_by_their_times(env: &Env) {
    const COUNT: usize = 10_000;
    // The last one stored is due first.
    let late = |place: usize| delayed(Duration::from_millis((COUNT - place).try_into().unwrap()));
    let mut stored = Vec::new();
    for start in (0..COUNT).step_by(1000) {
        let jobs: Vec<_> = (start..start + 1000).map(late).collect();
        stored.extend(env.enqueue_all(&jobs));
    }
    env.advance(HOUR);
    let worker = env.consumer();
    let mut left = stored.as_slice();
    while !left.is_empty() {
        let exchanged = worker.exchange(&[], &[want(QUEUE, &[KIND], COUNT)]);
        let claimed = ids(&exchanged.claimed);
        assert!(
            (1..=MOST_DUE).contains(&claimed.len()),
            "{} at once",
            claimed.len()
        );
        // Those that became ready are the ones that were due first, and come by their ids.
        let due;
        (left, due) = left.split_at(left.len() - claimed.len());
        assert_eq!(claimed, due);
        assert_eq!(exchanged.more, !left.is_empty());
    }
}

pub fn the_next_due_time_is_right_after_each_change(env: &Env) {
    let start = env.now();
    let worker = env.consumer();
    let next = || worker.exchange(&[], &[]).next_due;
    assert_eq!(next(), None);
    let late = env.enqueue(delayed(HOUR));
    assert_eq!(next(), Some(start + HOUR));
    let other = NewJob {
        due: Due::After(MINUTE),
        ..NewJob::new("another", KIND, "{}")
    };
    env.enqueue(other);
    assert_eq!(next(), Some(start + MINUTE));
    env.advance(MINUTE);
    assert_eq!(next(), Some(start + HOUR));
    env.enqueue(job());
    let claimed = worker.claim_one();
    worker.end(&claimed, retry(SECOND, "no"));
    assert_eq!(next(), Some(start + MINUTE + SECOND));
    env.storage().cancel(claimed.id).unwrap();
    assert_eq!(next(), Some(start + HOUR));
    env.storage().cancel(late).unwrap();
    assert_eq!(next(), None);
}

pub fn a_clock_that_is_set_back_delays_and_loses_nothing(env: &Env) {
    let due = env.enqueue(delayed(MINUTE));
    let ready = env.enqueue(job());
    let worker = env.consumer_for(LEASE);
    env.turn_back(HOUR);
    let early = env.enqueue(job());
    assert_eq!(ids(&worker.claim(9)), [ready, early]);
    assert_eq!(env.sweep().sessions, 0);
    env.advance(HOUR);
    assert_eq!(ids(&worker.claim(9)), []);
    assert!(worker.heartbeat(DAY, &[ready, early]).alive);
    env.advance(MINUTE);
    assert_eq!(ids(&worker.claim(9)), [due]);
}

pub fn a_clock_that_is_set_ahead_ends_leases_and_stale_ends_are_gone(env: &Env) {
    let running = env.enqueue(job());
    let due = env.enqueue(delayed(HOUR));
    let worker = env.consumer_for(LEASE);
    let claimed = worker.claim_one();
    env.advance(HOUR);
    let other = env.consumer();
    assert_eq!(ids(&other.claim(9)), [running, due]);
    assert_eq!(worker.end(&claimed, done()), Judged::Gone);
    assert_eq!(env.state(running), JobState::Running);
}

pub fn a_job_that_has_expired_is_not_begun(env: &Env) {
    let expiring = |due| NewJob {
        due,
        expires: Some(MINUTE),
        keep: Some(DAY),
        ..unique("key", UniqueUntil::Ended)
    };
    let id = env.enqueue(expiring(Due::After(MINUTE)));
    let worker = env.consumer();
    env.advance(MINUTE * 2 + TICK);
    assert_eq!(ids(&worker.claim(9)), []);
    env.sweep();
    assert_eq!(env.state(id), JobState::Expired);
    assert_eq!(env.counts().totals.expired, 1);
    // Its key is free, and one in time begins.
    let id = env.enqueue(expiring(Due::Now));
    env.advance(MINUTE - TICK);
    let claimed = worker.claim_one();
    assert_eq!(claimed.id, id);
    // What runs does not expire.
    env.advance(HOUR);
    assert_eq!(env.sweep().expired, 0);
    worker.done(&claimed);
}

pub fn a_pause_that_never_ends_is_no_error(env: &Env) {
    let stored = env.enqueue_all(&[delayed(Duration::MAX), job()]);
    let worker = env.consumer_for(Duration::MAX);
    let claimed = worker.claim_one();
    assert_eq!(claimed.id, stored[1]);
    let after = Duration::MAX;
    assert_eq!(
        worker.end(&claimed, Verdict::Postponed { after }),
        Judged::Waits
    );
    env.advance(DAY * 10_000);
    assert_eq!(env.sweep().sessions, 0);
    assert_eq!(ids(&worker.claim(9)), []);
    assert_eq!(env.enqueue_all(&jobs(1)).len(), 1);
}
