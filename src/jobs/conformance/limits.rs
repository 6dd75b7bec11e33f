//! What is too much, and what is much: cases 81 to 85.
//!
//! Layer: jobs.

use crate::jobs::conformance::env::{
    Env, KIND, QUEUE, assert_refused, ids, in_lane, job, jobs, unique,
};
use crate::jobs::{Filter, JobsErrorKind, MAX_PAYLOAD, NewJob, UniqueUntil};
use std::time::Duration;

fn refused(env: &Env, job: NewJob, kind: JobsErrorKind) {
    assert_refused(env.try_enqueue(&[job]), kind);
}

pub fn a_payload_is_stored_up_to_the_largest_and_not_beyond(env: &Env) {
    let of = |bytes| NewJob::new(QUEUE, KIND, vec![b'7'; bytes]);
    let ids = env.enqueue_all(&[of(0), of(MAX_PAYLOAD)]);
    refused(env, of(MAX_PAYLOAD + 1), JobsErrorKind::TooLarge);
    let claimed = env.consumer().claim(9);
    let sizes: Vec<_> = claimed.iter().map(|it| (it.id, it.payload.len())).collect();
    assert_eq!(sizes, [(ids[0], 0), (ids[1], MAX_PAYLOAD)]);
}

pub fn names_have_the_characters_that_are_allowed(env: &Env) {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "_.:/-".contains(c);
    let all: Vec<char> = (0..=u8::MAX).map(char::from).chain(['\u{1f980}']).collect();
    let (good, bad): (Vec<char>, Vec<char>) = all.iter().partition(|c| is_allowed(**c));
    for c in bad {
        let name = format!("a{c}b");
        refused(env, NewJob::new(&*name, KIND, "{}"), JobsErrorKind::Name);
        refused(env, NewJob::new(QUEUE, &*name, "{}"), JobsErrorKind::Name);
    }
    for name in [String::new(), "x".repeat(65)] {
        refused(env, NewJob::new(&*name, KIND, "{}"), JobsErrorKind::Name);
        refused(env, NewJob::new(QUEUE, &*name, "{}"), JobsErrorKind::Name);
    }
    assert_eq!(env.list(&Filter::default()), []);
    let good: String = good.into_iter().collect();
    let worker = env.consumer();
    for name in [&good[..64], &good[good.len() - 64..], "x"] {
        let id = env.enqueue(NewJob::new(name, name, "{}"));
        let claimed = worker.claim_from(name, &[name], 9);
        assert_eq!(claimed.len(), 1);
        assert_eq!((claimed[0].id, claimed[0].kind.as_str()), (id, name));
    }
}

pub fn a_key_has_256_bytes_at_most(env: &Env) {
    let key = |key: &str| unique(key, UniqueUntil::Ended);
    let euros = "\u{20ac}".repeat(85);
    env.enqueue(key(&format!("{euros}x")));
    env.enqueue(key(""));
    env.enqueue(key("'\0\n%"));
    refused(env, key(&format!("{euros}xx")), JobsErrorKind::Name);
    assert!(!env.place(key("'\0\n%")).is_new());
}

pub fn a_lane_has_1_to_256_bytes(env: &Env) {
    let euros = "\u{20ac}".repeat(85);
    let stored = env.enqueue_all(&[in_lane("x"), in_lane(&format!("{euros}x"))]);
    refused(env, in_lane(&format!("{euros}xx")), JobsErrorKind::Name);
    refused(env, in_lane(""), JobsErrorKind::Name);
    assert_eq!(ids(&env.consumer().claim(9)), stored);
}

pub fn a_job_without_a_key_takes_no_place(env: &Env) {
    let replacing = NewJob {
        replace: true,
        ..job()
    };
    refused(env, replacing, JobsErrorKind::Invalid);
    assert_eq!(env.list(&Filter::default()), []);
}

pub fn options_of_no_time_are_refused(env: &Env) {
    let zero = Duration::ZERO;
    let key = unique("key", UniqueUntil::Elapsed(zero));
    refused(env, key, JobsErrorKind::Invalid);
    let expiring = NewJob {
        expires: Some(zero),
        ..job()
    };
    refused(env, expiring, JobsErrorKind::Invalid);
}

pub fn an_empty_batch_is_no_error(env: &Env) {
    assert_eq!(env.try_enqueue(&[]).unwrap(), []);
    assert_eq!(env.list(&Filter::default()), []);
}

pub fn a_batch_may_have_ten_thousand_jobs(env: &Env) {
    let ids = env.enqueue_all(&jobs(10_000));
    assert!(ids.is_sorted());
    assert_eq!(env.counts().queues[0].ready, 10_000);
    let worker = env.consumer();
    let mut claimed = 0;
    // A storage may give fewer at once than are asked for.
    while let more @ 1.. = worker.claim(20_000).len() {
        claimed += more;
    }
    assert_eq!(claimed, 10_000);
}
