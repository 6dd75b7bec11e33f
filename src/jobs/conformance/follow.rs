//! Jobs that follow others: cases 52 to 54, 57 to 60.
//!
//! Layer: jobs.

use crate::jobs::conformance::env::{
    Env, HOUR, KIND, LEASE, MINUTE, QUEUE, SECOND, TICK, after, assert_refused, dead, done, end_of,
    ids, in_lane, job, jobs, retry, these, unique,
};
use crate::jobs::{
    Due, Fate, Filter, JobId, JobState, JobsErrorKind, Listening, NewJob, Notifier, Outcome,
    Placed, UniqueUntil, Verdict,
};

const READY: JobState = JobState::Ready;
const BLOCKED: JobState = JobState::Blocked;

pub(super) fn even_if_failed(parents: &[JobId]) -> NewJob {
    NewJob {
        even_if_failed: true,
        ..after(parents)
    }
}

pub(super) fn kept(job: NewJob) -> NewJob {
    NewJob {
        keep: Some(HOUR),
        ..job
    }
}

pub(super) fn parents(env: &Env, id: JobId) -> Vec<(JobId, Fate)> {
    env.storage().parents(id).unwrap()
}

pub(super) fn output(text: &str) -> Verdict {
    let output = text.into();
    Verdict::Done { output, keep: None }
}

pub(super) fn fate_of(text: &str) -> Fate {
    Fate::Ended(Outcome::Done(text.into()))
}

pub fn a_job_begins_when_all_that_it_follows_are_done(env: &Env) {
    let [a, b, c] = [(); 3].map(|()| env.enqueue(job()));
    let child = env.enqueue(NewJob {
        priority: 9,
        ..after(&[a, b, c])
    });
    let worker = env.consumer();
    let claimed = worker.claim(9);
    assert_eq!(ids(&claimed), [a, b, c]);
    for (place, waits_for) in [(1, 3), (0, 2), (2, 1)] {
        let info = env.info(child);
        assert_eq!((info.state, info.waits_for), (BLOCKED, waits_for));
        assert_eq!(env.counts().queues[0].blocked, 1);
        worker.done(&claimed[place]);
    }
    let info = env.info(child);
    assert_eq!((info.state, info.waits_for), (READY, 0));
    assert_eq!(env.counts().queues[0].blocked, 0);
    assert_eq!(ids(&worker.claim(9)), [child]);
}

pub fn what_is_no_end_releases_nothing(env: &Env) {
    let parent = env.enqueue(job());
    let child = env.enqueue(even_if_failed(&[parent]));
    let worker = env.consumer_for(LEASE);
    let waits = || assert_eq!((env.state(child), env.info(child).waits_for), (BLOCKED, 1));
    worker.end(&worker.claim_one(), Verdict::Back);
    waits();
    worker.end(&worker.claim_one(), retry(SECOND, "no"));
    waits();
    env.advance(SECOND);
    worker.end(&worker.claim_one(), Verdict::Postponed { after: SECOND });
    waits();
    env.advance(SECOND);
    worker.claim_one();
    env.advance(LEASE + TICK);
    env.sweep();
    waits();
    let worker = env.consumer();
    worker.done(&worker.claim_one());
    assert_eq!(env.state(child), READY);
}

pub fn what_had_ended_before_counts(env: &Env) {
    let worker = env.consumer();
    let ended = |job: NewJob, verdict: Verdict| {
        let id = env.enqueue(job);
        worker.end(&worker.claim_one(), verdict);
        id
    };
    let good = [
        ended(kept(job()), output("1")),
        // Their outcomes are forgotten.
        ended(job(), done()),
        ended(job(), Verdict::Cancelled),
    ];
    let id = env.enqueue(after(&good));
    assert_eq!((env.state(id), env.info(id).waits_for), (READY, 0));
    let fates = [fate_of("1"), Fate::Forgotten, Fate::Forgotten];
    let expected: Vec<_> = good.into_iter().zip(fates).collect();
    assert_eq!(parents(env, id), expected);
    worker.done(&worker.claim_one());
    let bad = [
        ended(job(), dead("no")),
        ended(kept(job()), Verdict::Cancelled),
    ];
    let live = env.enqueue(job());
    for bad in bad {
        for all in [vec![bad], vec![good[0], bad], vec![live, bad]] {
            let id = env.enqueue(kept(after(&all)));
            assert_eq!(env.fate(id), Fate::Ended(Outcome::Cancelled));
            let info = env.info(id);
            assert_eq!((info.ended_at, info.claims), (Some(env.now()), 0));
            assert_eq!(parents(env, id), []);
            let id = env.enqueue(after(&all));
            assert_eq!(env.fate(id), Fate::Forgotten);
        }
        let id = env.enqueue(even_if_failed(&[bad]));
        assert_eq!(env.state(id), READY);
        let id = env.enqueue(even_if_failed(&[live, bad]));
        assert_eq!((env.state(id), env.info(id).waits_for), (BLOCKED, 1));
    }
    assert_eq!(env.counts().totals.cancelled, 2 + 12);
}

pub fn a_job_that_follows_nothing_begins_at_once(env: &Env) {
    let stored = env.enqueue_all(&[after(&[]), even_if_failed(&[]), job()]);
    assert!(stored.iter().all(|id| parents(env, *id).is_empty()));
    assert_eq!(ids(&env.consumer().claim(9)), stored);
    assert_eq!(parents(env, JobId(9_999)), []);
}

pub fn a_job_that_is_named_twice_counts_once(env: &Env) {
    let [a, b] = [env.enqueue(job()), env.enqueue(job())];
    let child = env.enqueue(after(&[b, a, b, b, a]));
    assert_eq!(env.info(child).waits_for, 2);
    let live = |id| (id, Fate::Live(READY));
    assert_eq!(parents(env, child), [live(b), live(a)]);
    let worker = env.consumer();
    let claimed = worker.claim(9);
    worker.done(&claimed[0]);
    assert_eq!((env.state(child), env.info(child).waits_for), (BLOCKED, 1));
    worker.done(&claimed[1]);
    assert_eq!(env.state(child), READY);
}

pub fn outcomes_are_there_until_the_job_that_follows_has_ended(env: &Env) {
    let stored = env.enqueue_all(&[job(), kept(job()), job(), job()]);
    let [unkept, kept, failed, other] = stored[..] else {
        panic!("{stored:?}");
    };
    let child = env.enqueue(even_if_failed(&[kept, failed, unkept, other]));
    let worker = env.consumer();
    let verdicts = [output("1"), output("2"), dead("no"), output("3")];
    for (claimed, verdict) in worker.claim(4).iter().zip(verdicts) {
        worker.end(claimed, verdict);
    }
    // Nothing else shows an outcome that is kept for the child alone.
    assert_eq!(env.fate(unkept), Fate::Forgotten);
    let listed = env.list(&Filter::default());
    assert!(listed.iter().all(|info| info.id != unkept), "{listed:?}");
    let expected = [
        (kept, fate_of("2")),
        (failed, Fate::Ended(Outcome::Dead("no".into()))),
        (unkept, fate_of("1")),
        (other, fate_of("3")),
    ];
    assert_eq!(parents(env, child), expected);
    // After any time, and for a second attempt as well.
    env.advance(HOUR * 24 * 40);
    env.sweep();
    assert_eq!(env.fate(kept), Fate::Forgotten);
    assert_eq!(env.counts().dead, 0);
    let claimed = worker.claim_one();
    assert_eq!(claimed.id, child);
    assert_eq!(parents(env, child), expected);
    worker.end(&claimed, retry(SECOND, "no"));
    env.sweep();
    assert_eq!(parents(env, child), expected);
    // A second one that follows gets them, too, and they outlast the first one.
    let second = env.enqueue(after(&[unkept]));
    let cancelled = env.enqueue(after(&[failed]));
    assert_eq!(env.fate(cancelled), Fate::Forgotten);
    env.advance(SECOND);
    let claimed = worker.claim(9);
    assert_eq!(ids(&claimed), [child, second]);
    worker.done(&claimed[0]);
    env.sweep();
    assert_eq!(parents(env, child), []);
    assert_eq!(parents(env, second), [(unkept, fate_of("1"))]);
    worker.done(&claimed[1]);
    // Now they are forgotten, and a job that is forgotten counts as one that succeeded.
    let third = env.enqueue(after(&[unkept, failed]));
    let forgotten = [unkept, failed].map(|id| (id, Fate::Forgotten));
    assert_eq!(parents(env, third), forgotten);
    assert_eq!(env.state(third), READY);
    assert_eq!(env.list(&Filter::default()).len(), 1);
}

pub fn an_outcome_that_is_removed_is_forgotten(env: &Env) {
    let stored = env.enqueue_all(&[job(), kept(job())]);
    let child = env.enqueue(even_if_failed(&stored));
    let worker = env.consumer();
    for (claimed, verdict) in worker.claim(9).iter().zip([dead("no"), done()]) {
        worker.end(claimed, verdict);
    }
    assert_eq!(env.storage().purge(&these(&stored), 9).unwrap(), 2);
    let forgotten: Vec<_> = stored.iter().map(|id| (*id, Fate::Forgotten)).collect();
    assert_eq!(parents(env, child), forgotten);
    assert_eq!(ids(&worker.claim(9)), [child]);
}

pub fn a_thousand_that_eight_threads_end_release_a_job_once(env: &Env) {
    const COUNT: usize = 1000;
    let stored = env.enqueue_all(&jobs(COUNT));
    let child = env.enqueue(after(&stored));
    let end = || {
        let worker = env.consumer();
        loop {
            let claimed = worker.claim(7);
            if claimed.is_empty() || claimed[0].id == child {
                return claimed;
            }
            let ended: Vec<_> = claimed.iter().map(|it| end_of(it, output("7"))).collect();
            worker.exchange(&ended, &[]);
        }
    };
    let claimed: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(end)).collect();
        let claimed = threads.into_iter().flat_map(|it| it.join().unwrap());
        claimed.collect()
    });
    let worker = env.consumer();
    let claimed: Vec<_> = claimed.into_iter().chain(worker.claim(9)).collect();
    assert_eq!(ids(&claimed), [child]);
    let found = parents(env, child);
    let expected = stored.into_iter().map(|id| (id, fate_of("7")));
    assert_eq!(found, expected.collect::<Vec<_>>());
    worker.done(&claimed[0]);
    assert_eq!(env.list(&Filter::default()), []);
}

pub fn a_job_cannot_follow_one_that_never_was(env: &Env) {
    let parent = env.enqueue(job());
    let unknown = |after| NewJob {
        after,
        ..unique("another", UniqueUntil::Ended)
    };
    for ids in [
        vec![JobId(9_999)],
        vec![parent, JobId(9_999)],
        vec![JobId(0)],
    ] {
        let batch = [unique("key", UniqueUntil::Ended), job(), unknown(ids)];
        let refused = env.try_enqueue(&batch).unwrap_err();
        assert_eq!(refused.kind(), JobsErrorKind::Invalid);
        assert!(refused.to_string().contains("job 2"), "{refused}");
        let refused = env.try_enqueue(&batch[2..]).unwrap_err();
        assert_eq!(refused.kind(), JobsErrorKind::Invalid);
        assert!(!refused.to_string().contains("job 0 of"), "{refused}");
    }
    assert_eq!(env.list(&Filter::default()).len(), 1);
    // Nor one of the same batch: that is not there yet.
    let next = JobId(env.enqueue(job()).0 + 1);
    let batch = [job(), unknown(vec![next])];
    assert_refused(env.try_enqueue(&batch), JobsErrorKind::Invalid);
    assert_eq!(env.list(&Filter::default()).len(), 2);
    // No key is taken.
    env.enqueue(unique("key", UniqueUntil::Ended));
    let existing = env.enqueue(unique("another", UniqueUntil::Ended));
    // It is refused also if its key is taken.
    let batch = [unknown(vec![JobId(9_999)])];
    assert_refused(env.try_enqueue(&batch), JobsErrorKind::Invalid);
    let known = env.place(unknown(vec![parent]));
    assert_eq!(known, Placed::Existing(existing));
}

pub fn a_job_follows_ten_thousand_others_at_most(env: &Env) {
    let parent = env.enqueue(job());
    let batch = [job(), after(&[parent; 10_001])];
    let refused = env.try_enqueue(&batch).unwrap_err();
    assert_eq!(refused.kind(), JobsErrorKind::Invalid);
    assert!(refused.to_string().contains("job 1"), "{refused}");
    let child = env.enqueue(after(&[parent; 10_000]));
    assert_eq!(env.info(child).waits_for, 1);
}

pub fn what_is_released_waits_for_its_time_and_for_its_lane(env: &Env) {
    let parent = env.enqueue(job());
    let late = env.enqueue(NewJob {
        due: Due::After(HOUR),
        ..after(&[parent])
    });
    let passed = env.enqueue(NewJob {
        due: Due::After(SECOND),
        ..after(&[parent])
    });
    let in_its_lane = |parents: &[JobId]| NewJob {
        lane: Some("lane".into()),
        ..after(parents)
    };
    let blocked = env.enqueue(in_its_lane(&[parent]));
    // A job that waits for others has not joined its lane.
    let first = env.enqueue(in_lane("lane"));
    assert_eq!((env.state(blocked), env.state(first)), (BLOCKED, READY));
    env.advance(SECOND);
    let worker = env.consumer();
    assert_eq!(worker.exchange(&[], &[]).next_due, None);
    let claimed = worker.claim(1);
    assert_eq!(claimed[0].id, parent);
    worker.done(&claimed[0]);
    assert_eq!(env.state(late), JobState::Scheduled);
    assert_eq!((env.state(passed), env.state(blocked)), (READY, BLOCKED));
    assert_eq!(env.info(blocked).waits_for, 0);
    let next = worker.exchange(&[], &[]).next_due;
    assert_eq!(next, Some(env.info(late).due_at));
    let claimed = worker.claim(9);
    assert_eq!(ids(&claimed), [passed, first]);
    worker.done(&claimed[1]);
    assert_eq!(ids(&worker.claim(9)), [blocked]);
    env.advance(HOUR);
    assert_eq!(ids(&worker.claim(9)), [late]);
}

pub fn a_job_may_follow_one_of_its_own_lane(env: &Env) {
    let parent = env.enqueue(in_lane("lane"));
    let child = |parents: &[JobId]| NewJob {
        lane: Some("lane".into()),
        ..after(parents)
    };
    let first = env.enqueue(child(&[parent]));
    let second = env.enqueue(in_lane("lane"));
    let third = env.enqueue(child(&[second]));
    // It would wait for ever if a job took the lane before it can begin.
    let fourth = env.enqueue(in_lane("lane"));
    let worker = env.consumer();
    for id in [parent, first, second, third, fourth] {
        let claimed = worker.claim(9);
        assert_eq!(ids(&claimed), [id]);
        worker.done(&claimed[0]);
    }
}

pub fn of_those_that_are_released_at_once_the_first_has_the_lane(env: &Env) {
    let parent = env.enqueue(job());
    let cancelled = env.enqueue(after(&[parent]));
    let of = |parent| NewJob {
        lane: Some("lane".into()),
        ..even_if_failed(&[parent])
    };
    let children = [cancelled, parent, cancelled].map(|parent| env.enqueue(of(parent)));
    let worker = env.consumer();
    worker.end(&worker.claim_one(), dead("no"));
    for id in children {
        let claimed = worker.claim(9);
        assert_eq!(ids(&claimed), [id]);
        worker.done(&claimed[0]);
    }
}

pub fn who_listens_is_woken_when_a_job_is_released(env: &Env) {
    let parent = env.enqueue(job());
    let elsewhere = |due| NewJob {
        queue: "another".into(),
        due,
        ..after(&[parent])
    };
    let notifier = Notifier::new();
    let _watching = env.storage().subscribe(&["another"], &notifier).unwrap();
    let worker = env.consumer();
    // Of one that is due later the next time is due earlier then.
    let late = env.enqueue(elsewhere(Due::After(HOUR)));
    let claimed = worker.claim_one();
    let listening = notifier.listen();
    worker.done(&claimed);
    assert_woken(&listening);
    assert_eq!(env.state(late), JobState::Scheduled);
    let parent = env.enqueue(job());
    let child = env.enqueue(NewJob {
        after: vec![parent],
        ..NewJob::new("another", KIND, "{}")
    });
    let claimed = worker.claim_from(QUEUE, &[KIND], 1);
    let listening = notifier.listen();
    worker.done(&claimed[0]);
    assert_woken(&listening);
    assert_eq!(env.state(child), READY);
}

pub(super) fn assert_woken(listening: &Listening) {
    let woken = listening.wait_timeout(MINUTE);
    assert_eq!(woken, Ok(true), "the notifier was silent");
}
