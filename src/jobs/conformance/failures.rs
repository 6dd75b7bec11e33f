//! Jobs that follow one that fails: cases 55 and 56. And jobs that end before those they follow.
//!
//! Layer: jobs.

use crate::jobs::conformance::env::{
    Env, HOUR, KIND, LEASE, MINUTE, QUEUE, SECOND, TICK, after, dead, delayed, done, end_of, ids,
    in_lane, job, these, unique, want,
};
use crate::jobs::conformance::follow::{
    assert_woken, even_if_failed, fate_of, kept, output, parents,
};
use crate::jobs::{
    Fate, Filter, JobId, JobState, Judged, NewJob, Notifier, Outcome, Placed, Totals, UniqueUntil,
    Verdict,
};
use crate::task::CancelOutcome;
use std::sync::atomic::{AtomicUsize, Ordering};

const READY: JobState = JobState::Ready;

/// All ends of a ready job that are not done, each as a call with its id.
fn bad_ends(env: &Env) -> Vec<Box<dyn Fn(JobId) + '_>> {
    let ended = |id: JobId, verdict: Verdict| {
        let worker = env.consumer();
        let claimed = worker.claim_one();
        assert_eq!(claimed.id, id);
        worker.end(&claimed, verdict);
        worker.close();
    };
    vec![
        Box::new(move |id| ended(id, dead("no"))),
        Box::new(move |id| ended(id, Verdict::Cancelled)),
        Box::new(move |id| {
            env.storage().cancel(id).unwrap();
        }),
        Box::new(move |id| {
            assert_eq!(env.storage().purge(&these(&[id]), 9).unwrap(), 1);
        }),
        Box::new(move |_| {
            env.advance(MINUTE + TICK);
            assert_eq!(env.sweep().expired, 1);
        }),
        Box::new(move |id| {
            let worker = env.consumer_for(LEASE);
            assert_eq!(worker.claim_one().id, id);
            env.advance(LEASE + TICK);
            assert_eq!(env.sweep().died, 1);
        }),
        Box::new(move |id| {
            let worker = env.consumer();
            assert_eq!(worker.claim_one().id, id);
            env.storage().cancel(id).unwrap();
            assert_eq!(worker.heartbeat(LEASE, &[]).given_back, 1);
            worker.close();
        }),
    ]
}

fn fragile() -> NewJob {
    NewJob {
        expires: Some(MINUTE),
        max_crashes: 0,
        ..job()
    }
}

pub fn a_failure_cancels_all_that_follow(env: &Env) {
    for fail in bad_ends(env) {
        let before = env.counts().totals.cancelled;
        let parent = env.enqueue(fragile());
        let other = env.enqueue(delayed(HOUR));
        let child = env.enqueue(kept(NewJob {
            after: vec![other, parent],
            ..unique("key", UniqueUntil::Ended)
        }));
        let last = env.enqueue(kept(after(&[child])));
        // It follows two that are cancelled, and is so once.
        let both = env.enqueue(kept(after(&[last, child])));
        let unkept = env.enqueue(after(&[last]));
        fail(parent);
        for id in [child, last, both] {
            assert_eq!(env.fate(id), Fate::Ended(Outcome::Cancelled));
            let info = env.info(id);
            assert_eq!((info.ended_at, info.waits_for), (Some(env.now()), 0));
        }
        assert_eq!(env.fate(unkept), Fate::Forgotten);
        let cancelled = env.counts().totals.cancelled - before;
        assert!((4..=5).contains(&cancelled), "{cancelled} are cancelled");
        // Its key is free, and what it waited for besides goes on.
        let next = env.enqueue(unique("key", UniqueUntil::Ended));
        assert_eq!(env.state(other), JobState::Scheduled);
        env.finish();
        assert_eq!(env.storage().purge(&these(&[next, other]), 9).unwrap(), 2);
        assert_eq!(env.counts().queues.len(), 0);
    }
}

pub fn a_job_that_follows_even_if_failed_begins(env: &Env) {
    for fail in bad_ends(env) {
        let parent = env.enqueue(fragile());
        let child = env.enqueue(even_if_failed(&[parent]));
        let cancelled = env.enqueue(kept(after(&[parent])));
        // It follows one that is cancelled since its parent fails.
        let last = env.enqueue(even_if_failed(&[cancelled, parent]));
        fail(parent);
        assert_eq!(env.state(cancelled), JobState::Cancelled);
        let worker = env.consumer();
        let claimed = worker.claim(9);
        assert_eq!(ids(&claimed), [child, last]);
        let found = parents(env, last);
        assert_eq!(found[0], (cancelled, Fate::Ended(Outcome::Cancelled)));
        claimed.iter().for_each(|claimed| worker.done(claimed));
    }
}

/// Stores jobs that follow others. The first one of every third round fails.
fn produce_families(env: &Env, rounds: usize) {
    for round in 0..rounds {
        let first = NewJob {
            payload: if round % 3 == 0 { b"bad" } else { b"fit" }.to_vec(),
            ..job()
        };
        let parents = env.enqueue_all(&[first, job()]);
        let child = env.enqueue(kept(NewJob {
            lane: Some(format!("lane {}", round % 2)),
            ..after(&parents)
        }));
        env.enqueue(after(&[child]));
    }
}

/// Claims jobs and ends them until all have ended, and no more are to come.
fn consume_families(env: &Env, notifier: &Notifier, producers: &AtomicUsize) {
    let worker = env.consumer();
    let mut ends = Vec::new();
    loop {
        let listening = notifier.listen();
        let exchanged = worker.exchange(&ends, &[want(QUEUE, &[KIND], 5)]);
        let claimed = exchanged.claimed.iter();
        let verdict = |payload: &[u8]| match payload {
            b"bad" => dead("no"),
            _ => done(),
        };
        ends = claimed.map(|it| end_of(it, verdict(&it.payload))).collect();
        if ends.is_empty() {
            // ORDERING: Acquire. Pairs with the Release of the producers, after their enqueues.
            let were_stored = producers.load(Ordering::Acquire) == 0;
            if were_stored && env.counts().queues.is_empty() {
                return notifier.notify();
            }
            listening.wait_timeout(SECOND).unwrap();
        }
    }
}

pub fn what_follows_jobs_that_end_meanwhile_begins_or_is_cancelled(env: &Env) {
    const PRODUCERS: usize = 4;
    const ROUNDS: usize = 30;
    let notifier = Notifier::new();
    let _watching = env.storage().subscribe(&[QUEUE], &notifier).unwrap();
    let producers = AtomicUsize::new(PRODUCERS);
    let produce = || {
        produce_families(env, ROUNDS);
        // ORDERING: Release. Pairs with the Acquire in `consume_families`, after all enqueues.
        producers.fetch_sub(1, Ordering::Release);
        notifier.notify();
    };
    std::thread::scope(|scope| {
        for _ in 0..PRODUCERS {
            scope.spawn(produce);
            scope.spawn(|| consume_families(env, &notifier, &producers));
        }
    });
    let failed = (PRODUCERS * ROUNDS / 3) as u64;
    let totals = Totals {
        dead: failed,
        // The other parent, and all four if none fails.
        done: failed + 4 * 2 * failed,
        cancelled: 2 * failed,
        ..Totals::default()
    };
    assert_eq!(env.counts().totals, totals);
}

pub fn a_job_that_waits_for_others_may_end_before_them(env: &Env) {
    let parent = env.enqueue(job());
    let stored = env.enqueue_all(&vec![after(&[parent]); 2]);
    let expiring = env.enqueue(NewJob {
        expires: Some(SECOND),
        ..after(&[parent])
    });
    let last = env.enqueue_all(&[stored[0], stored[1], expiring].map(|id| even_if_failed(&[id])));
    let outcome = env.storage().cancel(stored[0]).unwrap();
    assert_eq!(outcome, CancelOutcome::Settled);
    assert_eq!(env.storage().purge(&these(&stored[1..]), 9).unwrap(), 1);
    env.advance(SECOND + TICK);
    assert_eq!(env.sweep().expired, 1);
    assert_eq!(env.fate(expiring), Fate::Forgotten);
    let counts = env.counts();
    assert_eq!((counts.totals.cancelled, counts.totals.expired), (1, 1));
    let worker = env.consumer();
    let claimed = worker.claim(9);
    assert_eq!(ids(&claimed), [vec![parent], last].concat());
    worker.done(&claimed[0]);
    assert_eq!(env.counts().queues[0].blocked, 0);
}

pub fn a_job_and_what_follows_it_are_removed_together(env: &Env) {
    let parent = env.enqueue(job());
    let child = env.enqueue(kept(after(&[parent])));
    let last = env.enqueue(kept(after(&[child])));
    assert_eq!(env.storage().purge(&Filter::default(), 2).unwrap(), 2);
    assert_eq!(env.fate(child), Fate::Forgotten);
    assert_eq!(env.fate(last), Fate::Ended(Outcome::Cancelled));
    assert_eq!(env.storage().purge(&Filter::default(), 2).unwrap(), 1);
    assert_eq!(env.list(&Filter::default()), []);
}

pub fn a_job_that_begins_anew_releases_nothing_twice(env: &Env) {
    let parent = env.enqueue(job());
    let cancelled = env.enqueue(kept(after(&[parent])));
    let child = env.enqueue(even_if_failed(&[parent]));
    let worker = env.consumer();
    let fail = || assert_eq!(worker.end(&worker.claim(1)[0], dead("no")), Judged::Ended);
    fail();
    assert_eq!(env.state(child), READY);
    let again = || assert_eq!(env.storage().retry_dead(&these(&[parent]), 9).unwrap(), 1);
    again();
    assert_eq!(env.state(cancelled), JobState::Cancelled);
    assert_eq!((env.state(child), env.info(child).waits_for), (READY, 0));
    assert_eq!(parents(env, child), [(parent, Fate::Live(READY))]);
    // Only what follows it from now on waits for it.
    let next = env.enqueue(after(&[parent]));
    let claimed = worker.claim(9);
    assert_eq!(ids(&claimed), [parent, child]);
    worker.end(&claimed[0], output("7"));
    assert_eq!(env.state(child), JobState::Running);
    for id in [child, next] {
        assert_eq!(parents(env, id), [(parent, fate_of("7"))]);
    }
    assert_eq!(ids(&worker.claim(9)), [next]);
}

pub fn a_dead_job_that_begins_anew_follows_nothing(env: &Env) {
    let parent = env.enqueue(job());
    let child = env.enqueue(after(&[parent]));
    let worker = env.consumer();
    worker.end(&worker.claim_one(), output("7"));
    worker.end(&worker.claim_one(), dead("no"));
    assert_eq!(parents(env, child), []);
    assert_eq!(env.storage().retry_dead(&these(&[child]), 9).unwrap(), 1);
    assert_eq!((env.state(child), env.info(child).waits_for), (READY, 0));
    assert_eq!(parents(env, child), []);
    worker.done(&worker.claim_one());
}

pub fn a_chain_of_two_thousand_is_cancelled_in_one_step(env: &Env) {
    const LENGTH: usize = 2000;
    let first = env.enqueue(kept(job()));
    let mut last = first;
    for _ in 1..LENGTH {
        last = env.enqueue(after(&[last]));
    }
    let end = env.enqueue(even_if_failed(&[last]));
    assert_eq!(env.counts().queues[0].blocked, LENGTH as u64);
    env.storage().cancel(first).unwrap();
    assert_eq!(env.counts().totals.cancelled, LENGTH as u64);
    let listed = env.list(&Filter::default());
    let listed: Vec<_> = listed.iter().map(|info| (info.id, info.state)).collect();
    assert_eq!(listed, [(first, JobState::Cancelled), (end, READY)]);
}

pub fn a_job_that_is_cancelled_at_once_takes_no_key(env: &Env) {
    let parent = env.enqueue(job());
    let worker = env.consumer();
    worker.end(&worker.claim_one(), dead("no"));
    let period = UniqueUntil::Elapsed(HOUR);
    for until in [UniqueUntil::Ended, UniqueUntil::Started, period] {
        let key = format!("{until:?}");
        let doomed = NewJob {
            after: vec![parent],
            lane: Some("lane".into()),
            ..unique(&key, until)
        };
        let batch = [doomed.clone(), doomed.clone(), unique(&key, until)];
        let stored = env.enqueue_all(&batch);
        let placed = env.place(doomed);
        assert_eq!(placed, Placed::Existing(stored[2]));
    }
    assert_eq!(env.counts().totals.cancelled, 6);
    let id = env.enqueue(in_lane("lane"));
    assert_eq!(env.state(id), READY);
}

pub fn who_waits_for_a_job_that_follows_sees_its_end(env: &Env) {
    let parent = env.enqueue(job());
    let child = env.enqueue(after(&[parent]));
    let last = env.enqueue(after(&[child]));
    let notifier = Notifier::new();
    let _watching = env.storage().watch(last, &notifier, HOUR).unwrap();
    let listening = notifier.listen();
    env.storage().cancel(parent).unwrap();
    assert_woken(&listening);
    assert_eq!(env.fate(last), Fate::Ended(Outcome::Cancelled));
    env.advance(MINUTE + TICK);
    env.sweep();
    assert_eq!(env.fate(last), Fate::Forgotten);
}
