//! Batches: cases 86 to 88.
//!
//! Layer: jobs.

use crate::jobs::conformance::env::{Env, HOUR, MINUTE, TICK, assert_refused, job, jobs, unique};
use crate::jobs::{
    Batch, BatchNumber, Filter, JobsError, JobsErrorKind, NewJob, Placed, UniqueUntil,
};

fn send(env: &Env, producer: u64, number: u64, jobs: &[NewJob]) -> Result<Vec<Placed>, JobsError> {
    let number = Some(BatchNumber { producer, number });
    env.storage().enqueue(&Batch { number, jobs })
}

fn stored(env: &Env) -> usize {
    env.list(&Filter::default()).len()
}

pub fn a_batch_that_is_sent_again_gets_the_same_answer(env: &Env) {
    let existing = env.enqueue(unique("key", UniqueUntil::Ended));
    let batch = [job(), unique("key", UniqueUntil::Ended), job()];
    let first = send(env, 7, 1, &batch).unwrap();
    assert_eq!(first[1], Placed::Existing(existing));
    // Also if its jobs have ended since.
    let worker = env.consumer();
    for claimed in worker.claim(9) {
        worker.done(&claimed);
    }
    env.advance(HOUR - MINUTE);
    env.sweep();
    assert_eq!(send(env, 7, 1, &batch).unwrap(), first);
    assert_eq!(stored(env), 0);
    // Another producer has its own numbers.
    let other = send(env, 8, 1, &batch).unwrap();
    assert!(other.iter().all(|placed| placed.is_new()));
    assert!(send(env, u64::MAX, u64::MAX, &batch[..1]).unwrap()[0].is_new());
}

pub fn a_batch_with_a_smaller_number_is_refused(env: &Env) {
    send(env, 7, 5, &jobs(1)).unwrap();
    send(env, 7, 9, &jobs(1)).unwrap();
    for number in [8, 5, 0] {
        assert_refused(send(env, 7, number, &jobs(1)), JobsErrorKind::Stale);
    }
    assert_eq!(stored(env), 2);
    env.advance(TICK);
    assert!(send(env, 7, 10, &jobs(1)).unwrap()[0].is_new());
}

pub fn a_batch_with_a_bad_job_stores_nothing(env: &Env) {
    let bad = NewJob::new("two words", "kind", "{}");
    let batch = [unique("key", UniqueUntil::Ended), job(), bad, job()];
    let error = send(env, 7, 1, &batch).unwrap_err();
    assert_eq!(error.kind(), JobsErrorKind::Name);
    assert_eq!(stored(env), 0, "jobs of a refused batch");
    assert!(error.to_string().contains("job 2"), "{error}");
    // Neither the key nor the number are taken.
    env.enqueue(unique("key", UniqueUntil::Ended));
    assert!(send(env, 7, 1, &jobs(1)).unwrap()[0].is_new());
}
