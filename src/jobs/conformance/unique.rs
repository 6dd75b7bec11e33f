//! Unique keys: cases 39 to 46. Case 43 is in `replace`.
//!
//! Layer: jobs.

use crate::jobs::conformance::env::{
    DAY, Env, HOUR, LEASE, MINUTE, QUEUE, SECOND, TICK, dead, ids, job, retry, these, unique,
};
use crate::jobs::{Due, Fate, JobState, Judged, NewJob, Placed, Unique, UniqueUntil, Verdict};
use crate::task::CancelOutcome;
use std::sync::Barrier;

const ENDED: UniqueUntil = UniqueUntil::Ended;
const STARTED: UniqueUntil = UniqueUntil::Started;

pub fn the_second_job_with_a_key_is_not_stored(env: &Env) {
    for until in [ENDED, STARTED, UniqueUntil::Elapsed(HOUR)] {
        let key = format!("{until:?}");
        let id = env.enqueue(unique(&key, until));
        for until in [ENDED, STARTED, UniqueUntil::Elapsed(HOUR)] {
            assert_eq!(env.place(unique(&key, until)), Placed::Existing(id));
        }
    }
    // In one batch, too.
    let pair = [unique("pair", ENDED), unique("pair", ENDED)];
    let placed = env.try_enqueue(&pair).unwrap();
    assert_eq!(placed[1], Placed::Existing(placed[0].id()));
    assert!(placed[0].is_new());
    assert_eq!(env.counts().queues[0].ready, 4);
}

pub fn every_end_frees_the_key(env: &Env) {
    let worker = env.consumer();
    let key = || unique("key", ENDED);
    env.enqueue(key());
    worker.done(&worker.claim_one());
    env.enqueue(key());
    worker.end(&worker.claim_one(), dead("no"));
    env.enqueue(key());
    worker.end(&worker.claim_one(), Verdict::Cancelled);
    let id = env.enqueue(key());
    assert_eq!(env.storage().cancel(id).unwrap(), CancelOutcome::Settled);
    env.enqueue(NewJob {
        expires: Some(SECOND),
        ..key()
    });
    env.advance(SECOND + TICK);
    env.sweep();
    let id = env.enqueue(key());
    assert_eq!(env.storage().purge(&these(&[id]), 1).unwrap(), 1);
    env.enqueue(NewJob {
        max_crashes: 0,
        ..key()
    });
    env.consumer_for(LEASE).claim_one();
    env.advance(LEASE + TICK);
    env.sweep();
    env.enqueue(key());
}

pub fn what_is_no_end_does_not_free_the_key(env: &Env) {
    let id = env.enqueue(unique("key", ENDED));
    let worker = env.consumer_for(LEASE);
    let taken = || assert_eq!(env.place(unique("key", ENDED)), Placed::Existing(id));
    worker.end(&worker.claim_one(), Verdict::Back);
    taken();
    worker.end(&worker.claim_one(), Verdict::Postponed { after: SECOND });
    taken();
    env.advance(SECOND);
    worker.claim_one();
    taken();
    env.advance(LEASE);
    env.sweep();
    taken();
}

pub fn a_key_until_started_is_free_at_the_first_claim(env: &Env) {
    let first = env.enqueue(unique("key", STARTED));
    let worker = env.consumer();
    let claimed = worker.claim_one();
    let second = env.enqueue(unique("key", STARTED));
    // The first one does not get it back, and its end does not free that of the second.
    worker.end(&claimed, retry(SECOND, "no"));
    env.advance(SECOND);
    let third = env.place(unique("key", STARTED));
    assert_eq!(third, Placed::Existing(second));
    let claimed = worker.claim_one();
    assert_eq!(claimed.id, first);
    worker.done(&claimed);
    assert_eq!(env.place(unique("key", STARTED)), Placed::Existing(second));
}

pub fn a_key_until_started_is_free_if_the_job_ends_before(env: &Env) {
    let id = env.enqueue(unique("key", STARTED));
    env.storage().cancel(id).unwrap();
    env.enqueue(unique("key", STARTED));
}

pub fn a_key_for_a_time_outlasts_the_job(env: &Env) {
    let key = || unique("key", UniqueUntil::Elapsed(HOUR));
    let first = env.enqueue(key());
    let worker = env.consumer();
    worker.done(&worker.claim_one());
    env.advance(HOUR - TICK);
    env.sweep();
    assert_eq!(env.place(key()), Placed::Existing(first));
    assert_eq!(env.fate(first), Fate::Forgotten);
    env.advance(TICK * 2);
    // Also if no sweep came by. The new one has the key from now on.
    let second = env.enqueue(key());
    env.sweep();
    env.advance(HOUR - TICK);
    assert_eq!(env.place(key()), Placed::Existing(second));
}

pub fn a_key_for_a_time_is_free_though_the_job_still_waits(env: &Env) {
    let key = || NewJob {
        due: Due::After(DAY),
        ..unique("key", UniqueUntil::Elapsed(HOUR))
    };
    let mut last = env.enqueue(key());
    for until in [UniqueUntil::Elapsed(HOUR), ENDED] {
        env.advance(HOUR + TICK);
        let next = env.enqueue(NewJob {
            due: Due::After(DAY),
            ..unique("key", until)
        });
        env.storage().cancel(last).unwrap();
        // It does not look at the time of the one before.
        env.sweep();
        assert_eq!(env.place(key()), Placed::Existing(next));
        last = next;
    }
}

pub fn a_retry_does_not_meet_its_own_key(env: &Env) {
    for until in [ENDED, STARTED, UniqueUntil::Elapsed(DAY)] {
        let id = env.enqueue(unique("key", until));
        let worker = env.consumer();
        assert_eq!(
            worker.end(&worker.claim_one(), retry(MINUTE, "no")),
            Judged::Waits
        );
        env.advance(MINUTE);
        let claimed = worker.claim_one();
        assert_eq!(claimed.id, id);
        worker.done(&claimed);
    }
}

pub fn a_dead_job_gets_its_key_again_or_stays_dead(env: &Env) {
    let worker = env.consumer();
    let first = env.enqueue(unique("key", ENDED));
    worker.end(&worker.claim_one(), dead("no"));
    let second = env.enqueue(unique("key", ENDED));
    assert_eq!(env.storage().retry_dead(&these(&[first]), 9).unwrap(), 0);
    assert_eq!(env.state(first), JobState::Dead);
    worker.done(&worker.claim_one());
    assert_eq!(env.fate(second), Fate::Forgotten);
    assert_eq!(env.storage().retry_dead(&these(&[first]), 9).unwrap(), 1);
    assert_eq!(env.place(unique("key", ENDED)), Placed::Existing(first));
}

pub fn of_sixteen_threads_with_one_key_one_stores_its_job(env: &Env) {
    for round in 0..10 {
        let job = unique(&format!("key {round}"), ENDED);
        let barrier = Barrier::new(16);
        let place = || {
            barrier.wait();
            env.place(job.clone())
        };
        let placed: Vec<Placed> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..16).map(|_| scope.spawn(place)).collect();
            threads.into_iter().map(|it| it.join().unwrap()).collect()
        });
        assert_eq!(placed.iter().filter(|it| it.is_new()).count(), 1);
        assert!(placed.iter().all(|it| it.id() == placed[0].id()));
    }
}

pub fn two_kinds_may_have_the_same_key(env: &Env) {
    let key = |kind: &str| NewJob {
        unique: Some(Unique {
            key: "key".into(),
            until: ENDED,
        }),
        ..NewJob::new(QUEUE, kind, "{}")
    };
    let a = env.enqueue(key("a"));
    let b = env.enqueue(key("b"));
    // Of one kind, the queue makes no difference.
    let elsewhere = NewJob {
        queue: "another".into(),
        ..key("a")
    };
    assert_eq!(env.place(elsewhere), Placed::Existing(a));
    let worker = env.consumer();
    let claimed = worker.claim_from(QUEUE, &["a"], 1);
    worker.done(&claimed[0]);
    assert_eq!(env.place(key("b")), Placed::Existing(b));
    env.enqueue(key("a"));
    env.enqueue(job());
    assert_eq!(ids(&worker.claim(9)).len(), 1);
}
