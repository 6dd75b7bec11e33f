//! What is seen and changed by hand: cases 66 to 74.
//!
//! Layer: jobs.

use crate::jobs::conformance::env::{
    DAY, Env, HOUR, KIND, LEASE, MINUTE, QUEUE, SECOND, TICK, assert_refused, dead, delayed, done,
    end_of, ids, job, jobs, these,
};
use crate::jobs::{
    Fate, Filter, JobId, JobState, JobsErrorKind, NewJob, QueueChange, QueueSettings, Totals,
    Verdict,
};
use crate::task::CancelOutcome;
use std::time::Duration;

/// One job in each state, with its state. All are kept.
fn one_of_each(env: &Env) -> Vec<(JobId, JobState)> {
    let worker = env.consumer();
    let kept = || NewJob {
        keep: Some(DAY),
        ..job()
    };
    let mut all = Vec::new();
    for verdict in [done(), dead("no"), Verdict::Cancelled] {
        all.push(env.enqueue(kept()));
        worker.end(&worker.claim_one(), verdict);
    }
    let expiring = NewJob {
        expires: Some(SECOND),
        ..kept()
    };
    all.push(env.enqueue(expiring));
    env.advance(SECOND + TICK);
    env.sweep();
    all.push(env.enqueue(kept()));
    let running = worker.claim_one().id;
    all.push(env.enqueue(kept()));
    all.push(env.enqueue(delayed(DAY)));
    let after = vec![running];
    all.push(env.enqueue(NewJob { after, ..kept() }));
    use JobState::{Blocked, Ready, Running, Scheduled};
    let ended = JobState::ALL.into_iter().filter(|it| it.has_ended());
    let live = [Running, Ready, Scheduled, Blocked];
    all.into_iter().zip(ended.chain(live)).collect()
}

pub fn a_list_has_what_the_filter_applies_to(env: &Env) {
    let all = one_of_each(env);
    let other = env.enqueue(NewJob::new("another", "other", "[7]"));
    let found = |filter: Filter| -> Vec<JobId> {
        let infos = env.list(&filter);
        infos.into_iter().map(|info| info.id).collect()
    };
    let everything: Vec<JobId> = all.iter().map(|(id, _)| *id).chain([other]).collect();
    assert_eq!(found(Filter::default()), everything);
    for &(id, state) in &all {
        assert_eq!(env.info(id).state, state);
        let state = Some(state);
        let filter = Filter {
            state,
            queue: Some(QUEUE.into()),
            ..Filter::default()
        };
        assert_eq!(found(filter), [id]);
    }
    let queue = Some("another".to_owned());
    let kind = Some("other".to_owned());
    let filter = || Filter::default();
    assert_eq!(
        found(Filter {
            queue: queue.clone(),
            ..filter()
        }),
        [other]
    );
    assert_eq!(
        found(Filter {
            kind: kind.clone(),
            ..filter()
        }),
        [other]
    );
    let both = these(&[all[0].0, other, JobId(9_999)]);
    assert_eq!(found(both.clone()), [all[0].0, other]);
    assert_eq!(
        found(Filter {
            queue,
            kind,
            ..both
        }),
        [other]
    );
    assert_eq!(found(these(&[])), []);
    // The first four have ended: the fourth one now, the others a second before.
    let ended_before = Some(SECOND);
    assert_eq!(
        found(Filter {
            ended_before,
            ..filter()
        }),
        everything[..3]
    );
    let ended_before = Some(Duration::ZERO);
    assert_eq!(
        found(Filter {
            ended_before,
            ..filter()
        }),
        everything[..4]
    );
    assert_eq!(env.list(&these(&[other]))[0].payload, b"");
    assert_eq!(env.info(other).payload, b"[7]");
}

pub fn the_pages_of_a_list_are_complete(env: &Env) {
    let stored = env.enqueue_all(&jobs(250));
    env.enqueue_all(&vec![NewJob::new("another", KIND, "{}"); 10]);
    for most in [1, 7, 100, 10_000] {
        let filter = Filter {
            queue: Some(QUEUE.into()),
            ..Filter::default()
        };
        let found = env.pages(&filter, most);
        let found: Vec<JobId> = found.into_iter().map(|info| info.id).collect();
        assert_eq!(found, stored);
    }
}

pub fn dead_jobs_begin_anew(env: &Env) {
    let of = |kind: &str| NewJob {
        priority: 3,
        ..NewJob::new(QUEUE, kind, kind)
    };
    let stored = env.enqueue_all(&[of("a"), of("b"), of("a"), of("c"), of("c")]);
    let kinds = ["a", "b", "c"];
    let worker = env.consumer_for(LEASE);
    worker.claim_from(QUEUE, &kinds, 9);
    env.advance(LEASE + TICK);
    let worker = env.consumer();
    for claimed in worker.claim_from(QUEUE, &kinds, 9) {
        assert_eq!(claimed.crashes, 1);
        worker.end(&claimed, dead("no"));
    }
    let retry = |filter: &Filter, most| env.storage().retry_dead(filter, most).unwrap();
    assert_eq!(retry(&these(&[stored[1], JobId(9_999)]), 9), 1);
    let again = worker.claim_from(QUEUE, &kinds, 9);
    assert_eq!(ids(&again), [stored[1]]);
    assert_eq!((again[0].failures, again[0].crashes), (0, 0));
    assert_eq!((again[0].claim, again[0].priority), (3, 3));
    assert_eq!(again[0].payload, b"b");
    // It is not dead any more.
    assert_eq!(retry(&these(&[stored[1]]), 9), 0);
    let filter = Filter {
        kind: Some("a".into()),
        ..Filter::default()
    };
    assert_eq!(retry(&filter, 1), 1);
    assert_eq!(retry(&filter, 9), 1);
    assert_eq!(
        ids(&worker.claim_from(QUEUE, &kinds, 9)),
        [stored[0], stored[2]]
    );
    assert_eq!(retry(&Filter::default(), 9), 2);
    assert_eq!(ids(&worker.claim_from(QUEUE, &kinds, 9)), stored[3..]);
    assert_eq!(env.counts().dead, 0);
    assert_eq!(env.counts().totals.dead, 5);
}

pub fn a_job_that_begins_anew_is_not_to_be_cancelled(env: &Env) {
    let id = env.enqueue(job());
    let worker = env.consumer();
    let claimed = worker.claim_one();
    env.storage().cancel(id).unwrap();
    worker.end(&claimed, dead("no"));
    env.storage().retry_dead(&these(&[id]), 1).unwrap();
    worker.claim_one();
    assert_eq!(worker.heartbeat(DAY, &[id]).cancel, []);
}

pub fn jobs_are_removed_in_slices(env: &Env) {
    let stored = env.enqueue_all(&jobs(10));
    let other = env.enqueue(NewJob::new("another", KIND, "{}"));
    let worker = env.consumer();
    let running = worker.claim_one();
    let filter = Filter {
        queue: Some(QUEUE.into()),
        ..Filter::default()
    };
    let purge = || env.storage().purge(&filter, 4).unwrap();
    assert_eq!([purge(), purge(), purge(), purge()], [4, 4, 1, 0]);
    assert_eq!(env.state(running.id), JobState::Running);
    assert_eq!(env.state(other), JobState::Ready);
    assert_eq!(env.fate(stored[9]), Fate::Forgotten);
    assert_eq!(ids(&worker.claim(9)), []);
    worker.done(&running);
    assert_eq!(env.storage().purge(&Filter::default(), 9).unwrap(), 1);
    assert_eq!(env.list(&Filter::default()), []);
}

pub fn outcomes_are_removed_by_their_age(env: &Env) {
    let worker = env.consumer();
    let old = env.enqueue(job());
    worker.end(&worker.claim_one(), dead("no"));
    env.advance(HOUR);
    let new = env.enqueue(job());
    worker.end(&worker.claim_one(), dead("no"));
    let filter = Filter {
        ended_before: Some(MINUTE),
        ..Filter::default()
    };
    assert_eq!(env.storage().purge(&filter, 9).unwrap(), 1);
    assert_eq!(
        (env.fate(old), env.state(new)),
        (Fate::Forgotten, JobState::Dead)
    );
}

pub fn dead_jobs_are_forgotten_after_thirty_days(env: &Env) {
    let id = env.enqueue(NewJob {
        keep: Some(MINUTE),
        ..job()
    });
    let worker = env.consumer();
    worker.end(&worker.claim_one(), dead("no"));
    env.advance(DAY * 30 - TICK);
    env.sweep();
    assert_eq!(env.state(id), JobState::Dead);
    assert_eq!(env.counts().dead, 1);
    env.advance(TICK * 2);
    assert_eq!(env.sweep().forgotten, 1);
    assert_eq!(env.fate(id), Fate::Forgotten);
    assert_eq!((env.counts().dead, env.counts().totals.dead), (0, 1));
}

pub fn a_hundred_thousand_dead_jobs_are_kept_and_no_more(env: &Env) {
    const SLICE: usize = 1000;
    let worker = env.consumer();
    let first = env.enqueue(job());
    worker.end(&worker.claim_one(), dead("no"));
    for slice in 1..=100 {
        env.advance(TICK);
        env.enqueue_all(&jobs(SLICE));
        let claimed = worker.claim(SLICE);
        let ended: Vec<_> = claimed.iter().map(|it| end_of(it, dead("no"))).collect();
        worker.exchange(&ended, &[]);
        env.sweep();
        let all = 1 + slice * SLICE;
        assert_eq!(env.counts().dead, u64::try_from(all.min(100_000)).unwrap());
    }
    assert_eq!(env.fate(first), Fate::Forgotten);
}

pub fn a_storage_says_what_it_is(env: &Env) {
    let facts = env.storage().facts().unwrap();
    assert!(!facts.name.is_empty(), "{facts:?}");
}

pub fn the_counts_are_those_of_the_list(env: &Env) {
    one_of_each(env);
    env.enqueue(NewJob::new("another", KIND, "{}"));
    let counts = env.counts();
    let names: Vec<&str> = counts.queues.iter().map(|it| it.queue.as_str()).collect();
    assert_eq!(names, ["another", QUEUE]);
    for queue in &counts.queues {
        let listed = |state| {
            let filter = Filter {
                queue: Some(queue.queue.clone()),
                state: Some(state),
                ..Filter::default()
            };
            u64::try_from(env.list(&filter).len()).unwrap()
        };
        use JobState::{Blocked, Ready, Running, Scheduled};
        let found = [Scheduled, Blocked, Ready, Running].map(listed);
        let counted = [queue.scheduled, queue.blocked, queue.ready, queue.running];
        assert_eq!(counted, found);
    }
    assert_eq!(counts.dead, 1);
    let totals = Totals {
        done: 1,
        dead: 1,
        cancelled: 1,
        expired: 1,
        ..Totals::default()
    };
    assert_eq!(counts.totals, totals);
}

pub fn a_queue_that_is_paused_gives_no_jobs(env: &Env) {
    let change = |change| env.storage().set_queue(QUEUE, change).unwrap();
    assert_eq!(
        env.storage().queue(QUEUE).unwrap(),
        QueueSettings::default()
    );
    let first = env.enqueue(job());
    let worker = env.consumer();
    let running = worker.claim_one();
    change(QueueChange::Pause);
    assert!(env.storage().queue(QUEUE).unwrap().paused);
    assert!(env.counts().queues[0].paused);
    // It takes jobs, and what runs goes on.
    let second = env.enqueue(job());
    assert_eq!(ids(&worker.claim(9)), []);
    assert_eq!(worker.heartbeat(DAY, &[first]).cancel, []);
    worker.done(&running);
    change(QueueChange::Resume);
    assert!(!env.counts().queues[0].paused);
    assert_eq!(ids(&worker.claim(9)), [second]);
}

pub fn no_more_of_a_queue_run_than_it_allows(env: &Env) {
    let change = |change| env.storage().set_queue(QUEUE, change).unwrap();
    change(QueueChange::MaxRunning(Some(5)));
    env.enqueue_all(&jobs(40));
    let workers: Vec<_> = (0..4).map(|_| env.consumer()).collect();
    let mut running = Vec::new();
    for round in 0..30 {
        let worker = &workers[round % 4];
        let claimed = worker.claim(1 + round % 4);
        running.extend(claimed.into_iter().map(|claimed| (worker, claimed)));
        assert!(running.len() <= 5, "{} run", running.len());
        assert_eq!(
            env.counts().queues[0].running,
            u64::try_from(running.len()).unwrap()
        );
        if round % 3 == 2 {
            let (worker, claimed) = running.remove(0);
            worker.done(&claimed);
        }
    }
    assert_eq!(running.len(), 4);
    change(QueueChange::MaxRunning(Some(1)));
    assert_eq!(ids(&workers[0].claim(9)), []);
    change(QueueChange::MaxRunning(None));
    assert_eq!(
        env.storage().queue(QUEUE).unwrap(),
        QueueSettings::default()
    );
    assert_eq!(workers[0].claim(20).len(), 20);
}

pub fn no_more_of_a_queue_begin_than_its_rate_allows(env: &Env) {
    let rate = QueueChange::Rate(Some((10, SECOND)));
    env.storage().set_queue(QUEUE, rate).unwrap();
    env.enqueue_all(&jobs(300));
    let worker = env.consumer();
    assert_eq!(worker.claim(300).len(), 10);
    assert_eq!(worker.claim(300).len(), 0);
    let mut begun = 10;
    for step in 1..=100 {
        env.advance(SECOND / 10);
        begun += worker.claim(300).len();
        // Ten in a second, and within one of that.
        assert!(
            begun <= 10 + step + 1,
            "{begun} after {step} tenths of a second"
        );
    }
    assert!(begun >= 109, "{begun}");
    // No more are saved up than the burst.
    env.advance(HOUR);
    assert_eq!(worker.claim(300).len(), 10);
    env.storage()
        .set_queue(QUEUE, QueueChange::Rate(None))
        .unwrap();
    assert_eq!(worker.claim(50).len(), 50);
}

pub fn a_rate_of_nothing_is_refused(env: &Env) {
    for rate in [(0, SECOND), (1, Duration::ZERO)] {
        let refused = env
            .storage()
            .set_queue(QUEUE, QueueChange::Rate(Some(rate)));
        assert_refused(refused, JobsErrorKind::Invalid);
    }
    assert_eq!(
        env.storage().queue(QUEUE).unwrap(),
        QueueSettings::default()
    );
}

pub fn a_cancel_does_what_the_state_of_the_job_allows(env: &Env) {
    for (id, state) in one_of_each(env) {
        let outcome = match state {
            JobState::Scheduled | JobState::Blocked | JobState::Ready => CancelOutcome::Settled,
            JobState::Running => CancelOutcome::Requested,
            _ => CancelOutcome::AlreadyFinished,
        };
        assert_eq!(env.storage().cancel(id).unwrap(), outcome, "{state:?}");
        let after = match outcome {
            // The delayed one is not kept.
            CancelOutcome::Settled if state == JobState::Scheduled => {
                assert_eq!(env.fate(id), Fate::Forgotten);
                continue;
            }
            CancelOutcome::Settled => JobState::Cancelled,
            _ => state,
        };
        assert_eq!(env.state(id), after);
    }
    let never = env.storage().cancel(JobId(9_999)).unwrap();
    assert_eq!(never, CancelOutcome::AlreadyFinished);
    assert_eq!(env.counts().totals.cancelled, 4);
}
