//! Kinds: cases 16 to 18.
//!
//! Layer: jobs.

use crate::jobs::conformance::env::{Env, QUEUE, ids, job};
use crate::jobs::{JobState, NewJob};

pub fn kinds_that_are_not_asked_for_stay_as_they_are(env: &Env) {
    let strange = env.enqueue(NewJob {
        priority: 9,
        ..NewJob::new(QUEUE, "strange", "{}")
    });
    let known = env.enqueue(job());
    let before = env.info(strange);
    assert_eq!(ids(&env.consumer().claim(9)), [known]);
    assert_eq!(env.info(strange), before);
    assert_eq!(before.state, JobState::Ready);
}

pub fn an_alias_is_claimed_under_its_stored_kind(env: &Env) {
    let old = env.enqueue(NewJob::new(QUEUE, "old", "{}"));
    let claimed = env.consumer().claim_from(QUEUE, &["new", "old"], 9);
    assert_eq!(ids(&claimed), [old]);
    assert_eq!(claimed[0].kind, "old");
}

pub fn a_consumer_of_no_kind_gets_nothing(env: &Env) {
    env.enqueue(job());
    assert_eq!(ids(&env.consumer().claim_from(QUEUE, &[], 9)), []);
}
