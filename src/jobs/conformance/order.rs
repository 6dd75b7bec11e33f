//! The order of claims: cases 1 to 8.
//!
//! Layer: jobs.

use crate::jobs::NewJob;
use crate::jobs::conformance::env::{Env, KIND, QUEUE, SECOND, TICK, ids, job, jobs, retry, want};

fn with_priority(priority: i32) -> NewJob {
    NewJob { priority, ..job() }
}

pub fn first_in_first_out(env: &Env) {
    let stored = env.enqueue_all(&jobs(100));
    assert!(stored.is_sorted(), "{stored:?}");
    let worker = env.consumer();
    let first = worker.claim(30);
    let rest = worker.claim(100);
    assert_eq!([ids(&first), ids(&rest)].concat(), stored);
}

pub fn a_higher_priority_goes_before_an_older_job(env: &Env) {
    let low = env.enqueue(job());
    let high = env.enqueue_all(&[with_priority(5), with_priority(5)]);
    let highest = env.enqueue(with_priority(6));
    let claimed = env.consumer().claim(9);
    assert_eq!(ids(&claimed), [highest, high[0], high[1], low]);
}

pub fn all_priorities_of_an_i32_have_their_order(env: &Env) {
    let priorities = [0, i32::MIN, -1, i32::MAX, 1, i32::MIN + 1];
    let ids: Vec<_> = priorities
        .map(|priority| env.enqueue(with_priority(priority)))
        .to_vec();
    let claimed = env.consumer().claim(9);
    let found: Vec<_> = claimed.iter().map(|it| (it.priority, it.id)).collect();
    let order = [3, 4, 0, 2, 5, 1];
    assert_eq!(
        found,
        order.map(|place: usize| (priorities[place], ids[place]))
    );
}

pub fn kinds_of_a_queue_share_one_order(env: &Env) {
    let of = |kind: &str, priority| NewJob {
        priority,
        ..NewJob::new(QUEUE, kind, "{}")
    };
    let stored = env.enqueue_all(&[of("a", 0), of("b", 0), of("a", 1), of("b", 1), of("a", 0)]);
    let claimed = env.consumer().claim_from(QUEUE, &["b", "a"], 9);
    assert_eq!(
        ids(&claimed),
        [2, 3, 0, 1, 4].map(|place: usize| stored[place])
    );
}

pub fn every_32nd_claim_takes_the_oldest_of_the_lowest_priority(env: &Env) {
    let low = env.enqueue_all(&vec![with_priority(-1); 3]);
    env.enqueue_all(&vec![with_priority(0); 3]);
    env.enqueue_all(&vec![with_priority(1); 100]);
    let worker = env.consumer();
    // In one exchange, and in several.
    let mut claimed = worker.claim(40);
    for _ in 0..60 {
        claimed.push(worker.claim_one());
    }
    let places: Vec<_> = (1..)
        .zip(&claimed)
        .filter(|(_, it)| it.priority < 1)
        .collect();
    let found: Vec<_> = places.iter().map(|(place, it)| (*place, it.id)).collect();
    assert_eq!(found, [(32, low[0]), (64, low[1]), (96, low[2])]);
}

pub fn a_retried_job_stands_by_its_old_id(env: &Env) {
    let stored = env.enqueue_all(&jobs(3));
    let worker = env.consumer();
    let first = worker.claim_one();
    worker.end(&first, retry(SECOND, "no"));
    env.advance(SECOND - TICK);
    assert_eq!(ids(&worker.claim(1)), [stored[1]]);
    env.advance(TICK);
    assert_eq!(ids(&worker.claim(9)), [stored[0], stored[2]]);
}

pub fn queues_are_independent(env: &Env) {
    let of = |queue: &str| NewJob::new(queue, KIND, "{}");
    let stored = env.enqueue_all(&[of("a"), of("b"), of("a")]);
    let worker = env.consumer();
    assert_eq!(ids(&worker.claim_from("b", &[KIND], 9)), [stored[1]]);
    assert_eq!(ids(&worker.claim_from("c", &[KIND], 9)), []);
    assert_eq!(
        ids(&worker.claim_from("a", &[KIND], 9)),
        [stored[0], stored[2]]
    );
}

pub fn an_exchange_gives_at_most_what_each_queue_is_asked_for(env: &Env) {
    let of = |queue: &str| vec![NewJob::new(queue, KIND, "{}"); 5];
    let a = env.enqueue_all(&of("a"));
    let b = env.enqueue_all(&of("b"));
    env.enqueue_all(&of("c"));
    let wanted = [
        want("a", &[KIND], 2),
        want("b", &[KIND], 3),
        want("c", &[KIND], 0),
    ];
    let claimed = env.consumer().exchange(&[], &wanted).claimed;
    let mut found = ids(&claimed);
    found.sort();
    assert_eq!(found, [&a[..2], &b[..3]].concat());
}
