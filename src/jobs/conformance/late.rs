//! Jobs that get their lanes when they have expired, or expire while they have them.
//!
//! Layer: jobs.

use crate::jobs::conformance::env::{
    Consumer, Env, HOUR, KIND, LEASE, MINUTE, QUEUE, SECOND, TICK, after, dead, done, end_of, ids,
    in_lane, retry, these, unique, want,
};
use crate::jobs::{
    Claimed, Due, Exchanged, JobId, JobState, MOST_DUE, NewJob, Notifier, Placed, UniqueUntil,
    Verdict,
};

const EXPIRED: JobState = JobState::Expired;

/// It expires after a second, and its outcome is kept.
fn expiring(job: NewJob) -> NewJob {
    NewJob {
        expires: Some(SECOND),
        keep: Some(HOUR),
        ..job
    }
}

/// As above, in a queue of which no consumer asks for jobs.
fn late(job: NewJob) -> NewJob {
    NewJob {
        queue: "another".into(),
        ..expiring(job)
    }
}

fn follows_in_lane(parent: JobId) -> NewJob {
    NewJob {
        even_if_failed: true,
        lane: Some("lane".into()),
        ..after(&[parent])
    }
}

fn ends_and_claims(worker: &Consumer<'_>, claimed: &Claimed, verdict: Verdict) -> Exchanged {
    let wanted = [want(QUEUE, &[KIND], 9)];
    worker.exchange(&[end_of(claimed, verdict)], &wanted)
}

pub fn a_job_that_gets_its_lane_too_late_passes_it_on(env: &Env) {
    let worker = env.consumer();
    for verdict in [done(), dead("no"), Verdict::Cancelled] {
        env.enqueue(in_lane("lane"));
        let expired = [(); 2].map(|()| env.enqueue(late(in_lane("lane"))));
        let last = env.enqueue(in_lane("lane"));
        let running = worker.claim_one();
        env.advance(SECOND);
        let claimed = ends_and_claims(&worker, &running, verdict).claimed;
        assert_eq!(ids(&claimed), [last]);
        assert_eq!(expired.map(|id| env.state(id)), [EXPIRED; 2]);
        worker.done(&claimed[0]);
    }
    assert_eq!(env.counts().totals.expired, 6);
    assert_eq!(env.counts().queues, []);
}

pub fn every_end_passes_over_a_job_that_is_too_late(env: &Env) {
    let all = |first: NewJob| {
        let first = env.enqueue(first);
        env.enqueue(late(in_lane("lane")));
        (first, env.enqueue(in_lane("lane")))
    };
    let passes_to = |last: JobId| {
        assert_eq!(env.state(last), JobState::Ready);
        env.storage().cancel(last).unwrap();
        assert_eq!(env.counts().queues, []);
        env.finish();
    };
    let (first, last) = all(in_lane("lane"));
    env.advance(SECOND);
    env.storage().cancel(first).unwrap();
    passes_to(last);
    let (first, last) = all(in_lane("lane"));
    env.advance(SECOND);
    assert_eq!(env.storage().purge(&these(&[first]), 9).unwrap(), 1);
    passes_to(last);
    let (first, last) = all(in_lane("lane"));
    let worker = env.consumer();
    let running = worker.claim_one();
    env.storage().cancel(first).unwrap();
    env.advance(SECOND);
    worker.end(&running, retry(SECOND, "no"));
    passes_to(last);
    let once = || NewJob {
        at_most_once: true,
        ..in_lane("lane")
    };
    let (_, last) = all(once());
    worker.claim_one();
    env.advance(SECOND);
    worker.close();
    passes_to(last);
    let (_, last) = all(once());
    env.consumer_for(LEASE).claim_one();
    env.advance(LEASE + TICK);
    env.consumer().exchange(&[], &[]);
    passes_to(last);
    // It leaves the lane though it has not ended.
    let replaced = || NewJob {
        lane: Some("lane".into()),
        replace: true,
        ..unique("key", UniqueUntil::Ended)
    };
    let (first, last) = all(replaced());
    env.advance(SECOND);
    let due = Due::After(HOUR);
    let placed = env.place(NewJob { due, ..replaced() });
    assert_eq!(placed, Placed::Replaced(first));
    env.storage().cancel(first).unwrap();
    passes_to(last);
    // The key of a job that has expired is free for the next one.
    let (first, last) = all(late(replaced()));
    env.advance(SECOND);
    let placed = env.place(NewJob {
        lane: None,
        ..replaced()
    });
    assert!(placed.is_new(), "{placed:?}");
    env.storage().cancel(placed.id()).unwrap();
    assert_eq!(env.state(first), EXPIRED);
    passes_to(last);
}

pub fn a_sweep_counts_those_that_got_their_lane_too_late(env: &Env) {
    env.enqueue(late(in_lane("lane")));
    for _ in 0..4 {
        env.enqueue(late(in_lane("lane")));
    }
    let last = env.enqueue(in_lane("lane"));
    env.advance(SECOND);
    assert_eq!(env.sweep().expired, 5);
    assert_eq!(env.state(last), JobState::Ready);
    assert_eq!(env.counts().totals.expired, 5);
}

pub fn the_end_of_a_job_that_got_its_lane_too_late_is_like_any_other(env: &Env) {
    env.enqueue(in_lane("lane"));
    let expired = env.enqueue(NewJob {
        lane: Some("lane".into()),
        ..late(unique("key", UniqueUntil::Ended))
    });
    let keep = Some(HOUR);
    let cancelled = env.enqueue(NewJob {
        keep,
        ..after(&[expired])
    });
    // What follows it, and has its lane, takes part.
    let follows = env.enqueue(follows_in_lane(expired));
    let last = env.enqueue(in_lane("lane"));
    let notifier = Notifier::new();
    let _watching = env.storage().watch(expired, &notifier, HOUR).unwrap();
    let worker = env.consumer();
    let running = worker.claim_one();
    env.advance(SECOND);
    let listening = notifier.listen();
    let claimed = ends_and_claims(&worker, &running, done()).claimed;
    assert_eq!(ids(&claimed), [follows]);
    assert_eq!(env.state(expired), EXPIRED);
    assert_eq!(env.state(cancelled), JobState::Cancelled);
    assert_eq!(env.state(last), JobState::Blocked);
    assert_eq!(
        listening.wait_timeout(MINUTE),
        Ok(true),
        "the notifier was silent"
    );
    let key = unique("key", UniqueUntil::Ended);
    assert!(env.place(key).is_new());
}

pub fn a_job_that_is_due_too_late_does_not_keep_its_lane(env: &Env) {
    let due = |time, job: NewJob| NewJob {
        due: Due::After(time),
        ..job
    };
    // By the order in which they are due, the first one has the lane.
    let first = env.enqueue(due(SECOND, late(in_lane("lane"))));
    let other = env.enqueue(due(SECOND, late(in_lane("other"))));
    let last = env.enqueue(due(MINUTE, in_lane("lane")));
    let second = env.enqueue(due(SECOND * 2, in_lane("lane")));
    env.advance(HOUR);
    let worker = env.consumer();
    // All of them have joined it by then, so the smallest id of the others is the next.
    let claimed = worker.claim(9);
    assert_eq!(ids(&claimed), [last]);
    assert_eq!([first, other].map(|id| env.state(id)), [EXPIRED; 2]);
    worker.done(&claimed[0]);
    assert_eq!(ids(&worker.claim(9)), [second]);
}

pub fn a_job_whose_parents_end_too_late_does_not_keep_its_lane(env: &Env) {
    let parent = env.enqueue(NewJob::new(QUEUE, KIND, "{}"));
    let expired = env.enqueue(late(follows_in_lane(parent)));
    // Each follows the one before it, and has its lane after that.
    let chain = [(); 3].map(|()| expired);
    let mut before = expired;
    let chain = chain.map(|_| {
        before = env.enqueue(late(follows_in_lane(before)));
        before
    });
    let last = env.enqueue(follows_in_lane(before));
    let worker = env.consumer();
    let running = worker.claim_one();
    env.advance(SECOND);
    let claimed = ends_and_claims(&worker, &running, done()).claimed;
    assert_eq!(ids(&claimed), [last]);
    assert_eq!(env.state(expired), EXPIRED);
    assert_eq!(chain.map(|id| env.state(id)), [EXPIRED; 3]);
}

pub fn a_job_that_expires_while_it_has_its_lane_ends_when_it_is_next(env: &Env) {
    // One that would be claimed before it changes nothing.
    let first = env.enqueue(NewJob {
        priority: 1,
        ..NewJob::new(QUEUE, KIND, "{}")
    });
    let expired = env.enqueue(expiring(in_lane("lane")));
    let second = env.enqueue(expiring(in_lane("lane")));
    let last = env.enqueue(in_lane("lane"));
    env.advance(SECOND);
    assert_eq!(ids(&env.consumer().claim(2)), [first, last]);
    assert_eq!([expired, second].map(|id| env.state(id)), [EXPIRED; 2]);
    // So does one that is the only one of its kind.
    let other = env.enqueue(expiring(in_lane("other")));
    let last = env.enqueue(NewJob {
        lane: Some("other".into()),
        ..NewJob::new("third", KIND, "{}")
    });
    env.advance(SECOND);
    let wanted = [want(QUEUE, &[KIND], 1), want("third", &[KIND], 1)];
    let claimed = env.consumer().exchange(&[], &wanted).claimed;
    assert_eq!(ids(&claimed), [last]);
    assert_eq!(env.state(other), EXPIRED);
}

pub fn a_lane_of_very_many_that_are_too_late_needs_no_sweep(env: &Env) {
    let first = env.enqueue(in_lane("lane"));
    env.enqueue_all(&vec![expiring(in_lane("lane")); MOST_DUE * 5 / 2]);
    let last = env.enqueue(in_lane("lane"));
    env.advance(SECOND);
    env.storage().cancel(first).unwrap();
    let worker = env.consumer();
    let wanted = [want(QUEUE, &[KIND], 9)];
    let mut exchanged = worker.exchange(&[], &wanted);
    while exchanged.claimed.is_empty() {
        assert!(exchanged.more, "{exchanged:?}");
        exchanged = worker.exchange(&[], &wanted);
    }
    assert_eq!(ids(&exchanged.claimed), [last]);
    let expired = u64::try_from(MOST_DUE * 5 / 2).unwrap();
    assert_eq!(env.counts().totals.expired, expired);
}
