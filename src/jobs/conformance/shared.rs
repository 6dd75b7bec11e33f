//! A storage that is open twice, as in two processes.
//!
//! Layer: jobs.

use crate::jobs::conformance::env::{
    Env, HOUR, LEASE, MINUTE, QUEUE, TICK, after, done, ids, in_lane, job, jobs, unique,
};
use crate::jobs::{Fate, Judged, Notifier, Outcome, Placed, QueueChange, UniqueUntil, Verdict};

pub fn what_one_stores_the_other_claims(env: &Env) {
    let other = env.again();
    let stored = env.enqueue_all(&jobs(3));
    assert_eq!(other.fate(stored[0]), env.fate(stored[0]));
    let (worker, second) = (env.consumer(), other.consumer());
    assert_ne!(worker.session, second.session);
    let first = worker.claim_one();
    assert_eq!(ids(&second.claim(9)), stored[1..]);
    assert_eq!(second.end(&first, done()), Judged::Ended);
    assert_eq!(worker.end(&first, done()), Judged::Gone);
    env.storage().set_queue(QUEUE, QueueChange::Pause).unwrap();
    assert!(other.storage().queue(QUEUE).unwrap().paused);
    assert_eq!(other.counts(), env.counts());
    other.finish();
}

pub fn one_ends_the_leases_of_the_other(env: &Env) {
    let other = env.again();
    let id = env.enqueue(job());
    let worker = env.consumer_for(LEASE);
    let claimed = worker.claim_one();
    env.advance(LEASE + TICK);
    let second = other.consumer();
    assert_eq!(ids(&second.claim(9)), [id]);
    assert!(!worker.heartbeat(LEASE, &[id]).alive);
    assert_eq!(worker.end(&claimed, done()), Judged::Gone);
}

pub fn a_key_counts_for_both(env: &Env) {
    let other = env.again();
    let id = env.enqueue(unique("key", UniqueUntil::Ended));
    let placed = other.place(unique("key", UniqueUntil::Ended));
    assert_eq!(placed, Placed::Existing(id));
}

pub fn what_one_changes_wakes_the_other(env: &Env) {
    let other = env.again();
    let notifier = Notifier::new();
    let _watching = other.storage().subscribe(&[QUEUE], &notifier).unwrap();
    let listening = notifier.listen();
    let id = env.enqueue(job());
    assert_eq!(
        listening.wait_timeout(MINUTE),
        Ok(true),
        "the notifier was silent"
    );
    let notifier = Notifier::new();
    let _watching = other.storage().watch(id, &notifier, HOUR).unwrap();
    let listening = notifier.listen();
    let worker = env.consumer();
    let output = b"7".to_vec();
    let verdict = Verdict::Done { output, keep: None };
    worker.end(&worker.claim_one(), verdict);
    assert_eq!(
        listening.wait_timeout(MINUTE),
        Ok(true),
        "the notifier was silent"
    );
    assert_eq!(other.fate(id), Fate::Ended(Outcome::Done(b"7".to_vec())));
}

pub fn an_end_in_one_releases_what_the_other_stored(env: &Env) {
    let other = env.again();
    let parent = env.enqueue(in_lane("lane"));
    let child = other.enqueue(after(&[parent]));
    let next = other.enqueue(in_lane("lane"));
    assert_eq!(env.counts().queues[0].blocked, 2);
    let notifier = Notifier::new();
    let _watching = other.storage().subscribe(&[QUEUE], &notifier).unwrap();
    let worker = env.consumer();
    let claimed = worker.claim_one();
    assert_eq!(claimed.id, parent);
    let listening = notifier.listen();
    let output = b"7".to_vec();
    worker.end(&claimed, Verdict::Done { output, keep: None });
    assert_eq!(
        listening.wait_timeout(MINUTE),
        Ok(true),
        "the notifier was silent"
    );
    let outcome = Fate::Ended(Outcome::Done(b"7".to_vec()));
    assert_eq!(other.storage().parents(child).unwrap(), [(parent, outcome)]);
    assert_eq!(ids(&other.consumer().claim(9)), [child, next]);
}

pub fn a_cancel_in_one_notifies_who_watches_the_session_of_the_other(env: &Env) {
    let other = env.again();
    let id = env.enqueue(job());
    let worker = env.consumer();
    worker.claim_one();
    let notifier = Notifier::new();
    let watching = env.storage().watch_session(worker.session, &notifier);
    let _watching = watching.unwrap();
    let listening = notifier.listen();
    other.storage().cancel(id).unwrap();
    assert_eq!(
        listening.wait_timeout(MINUTE),
        Ok(true),
        "the notifier was silent"
    );
    assert_eq!(worker.heartbeat(LEASE, &[id]).cancel, [id]);
}
