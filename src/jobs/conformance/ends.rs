//! Ends and fencing: cases 19 to 27.
//!
//! Layer: jobs.

use crate::jobs::conformance::env::{
    Env, LEASE, SECOND, TICK, after, dead, done, end_of, ids, job, jobs, retry,
};
use crate::jobs::{
    Claimed, Counts, Ended, Fate, Filter, JobId, JobState, Judged, Meta, NewJob, Outcome, Totals,
    Verdict,
};

pub fn a_job_that_is_done_leaves_nothing_behind(env: &Env) {
    let id = env.enqueue(job());
    let worker = env.consumer();
    let claimed = worker.claim_one();
    worker.done(&claimed);
    assert_eq!(env.fate(id), Fate::Forgotten);
    assert_eq!(env.list(&Filter::default()), []);
    let totals = Totals {
        done: 1,
        ..Totals::default()
    };
    let counts = Counts {
        totals,
        ..Counts::default()
    };
    assert_eq!(env.counts(), counts);
}

pub fn a_retry_counts_a_failure_and_keeps_its_text(env: &Env) {
    let id = env.enqueue(job());
    let worker = env.consumer();
    let began = env.now();
    for failures in 1..=3 {
        let claimed = worker.claim_one();
        assert_eq!(
            (claimed.failures, claimed.claim),
            (failures - 1, u64::from(failures))
        );
        let error = format!("failure {failures}");
        assert_eq!(worker.end(&claimed, retry(SECOND, &error)), Judged::Waits);
        let info = env.info(id);
        assert_eq!((info.state, info.session), (JobState::Scheduled, None));
        assert_eq!((info.failures, info.error), (failures, Some(error)));
        assert_eq!(info.due_at, env.now() + SECOND);
        env.advance(SECOND);
    }
    let claimed = worker.claim_one();
    assert_eq!(claimed.error.as_deref(), Some("failure 3"));
    assert_eq!((claimed.began_at, claimed.enqueued_at), (began, began));
    assert_eq!(env.counts().totals.retried, 3);
}

pub fn a_postponed_job_counts_nothing(env: &Env) {
    let id = env.enqueue(job());
    let worker = env.consumer();
    let claimed = worker.claim_one();
    let verdict = Verdict::Postponed { after: SECOND };
    assert_eq!(worker.end(&claimed, verdict), Judged::Waits);
    env.advance(SECOND - TICK);
    assert_eq!(ids(&worker.claim(9)), []);
    env.advance(TICK);
    let claimed = worker.claim_one();
    assert_eq!((claimed.id, claimed.claim), (id, 2));
    assert_eq!((claimed.failures, claimed.crashes), (0, 0));
    assert_eq!(env.counts().totals, Totals::default());
}

pub fn a_job_that_comes_back_takes_its_old_place_and_counts_nothing(env: &Env) {
    let stored = env.enqueue_all(&jobs(3));
    let worker = env.consumer();
    let claimed = worker.claim(2);
    assert_eq!(worker.end(&claimed[0], Verdict::Back), Judged::Waits);
    let claimed = worker.claim(9);
    assert_eq!(ids(&claimed), [stored[0], stored[2]]);
    assert_eq!(
        (claimed[0].claim, claimed[0].failures, claimed[0].crashes),
        (2, 0, 0)
    );
    assert_eq!(env.counts().totals, Totals::default());
}

pub fn an_end_with_an_old_claim_number_is_gone(env: &Env) {
    env.enqueue(job());
    let worker = env.consumer();
    let old = worker.claim_one();
    worker.end(&old, Verdict::Back);
    let new = worker.claim_one();
    let before = env.info(new.id);
    for verdict in verdicts() {
        assert_eq!(worker.end(&old, verdict), Judged::Gone);
    }
    let wrong = Claimed {
        claim: new.claim + 1,
        ..new.clone()
    };
    assert_eq!(worker.end(&wrong, done()), Judged::Gone);
    assert_eq!(env.info(new.id), before);
    worker.done(&new);
}

fn verdicts() -> [Verdict; 6] {
    let postponed = Verdict::Postponed { after: SECOND };
    let (back, cancelled) = (Verdict::Back, Verdict::Cancelled);
    [
        done(),
        retry(SECOND, "no"),
        postponed,
        back,
        dead("no"),
        cancelled,
    ]
}

pub fn the_second_of_two_ends_is_gone(env: &Env) {
    let worker = env.consumer();
    for first in verdicts() {
        env.enqueue(job());
        let claimed = worker.claim_one();
        assert_ne!(worker.end(&claimed, first.clone()), Judged::Gone);
        let before = (env.list(&Filter::default()), env.counts());
        for second in verdicts() {
            assert_eq!(
                worker.end(&claimed, second.clone()),
                Judged::Gone,
                "{first:?}, {second:?}"
            );
        }
        assert_eq!((env.list(&Filter::default()), env.counts()), before);
        env.storage().purge(&Filter::default(), 9).unwrap();
    }
    // In one exchange, too.
    let kept = Verdict::Done {
        output: "1".into(),
        keep: Some(SECOND),
    };
    for first in verdicts().into_iter().chain([kept]) {
        for second in verdicts() {
            env.enqueue(job());
            let claimed = worker.claim_one();
            let ended = [first.clone(), second].map(|verdict| end_of(&claimed, verdict));
            let judged = worker.exchange(&ended, &[]).judged;
            assert_ne!(judged[0], Judged::Gone);
            assert_eq!(judged[1], Judged::Gone, "{ended:?}");
            env.storage().purge(&Filter::default(), 9).unwrap();
        }
    }
}

pub fn an_end_releases_a_job_that_came_while_the_other_ran(env: &Env) {
    let parent = env.enqueue(job());
    let worker = env.consumer();
    let claimed = worker.claim_one();
    let child = env.enqueue(after(&[parent]));
    assert_eq!(env.state(child), JobState::Blocked);
    worker.done(&claimed);
    assert_eq!(worker.claim_one().id, child);
}

pub fn an_end_of_a_job_that_never_was_is_gone(env: &Env) {
    let worker = env.consumer();
    let waiting = env.enqueue(job());
    let ended = [
        (JobId(9_999), 1),
        (JobId(9_999), 0),
        (waiting, 0),
        (waiting, 1),
    ];
    let ended = ended.map(|(id, claim)| Ended {
        id,
        claim,
        verdict: done(),
    });
    assert_eq!(worker.exchange(&ended, &[]).judged, [Judged::Gone; 4]);
    assert_eq!(env.state(waiting), JobState::Ready);
}

pub fn a_late_end_counts_if_no_other_consumer_has_the_job(env: &Env) {
    for verdict in verdicts() {
        let id = env.enqueue(job());
        let worker = env.consumer_for(LEASE);
        let claimed = worker.claim_one();
        env.advance(LEASE + TICK);
        assert_eq!(env.sweep().returned, 1);
        assert_eq!(env.state(id), JobState::Ready);
        assert_ne!(
            worker.end(&claimed, verdict.clone()),
            Judged::Gone,
            "{verdict:?}"
        );
        assert_eq!(
            worker.end(&claimed, done()),
            Judged::Gone,
            "after {verdict:?}"
        );
        env.storage().purge(&Filter::default(), 9).unwrap();
    }
}

pub fn an_end_comes_before_the_end_of_the_lease(env: &Env) {
    let id = env.enqueue(job());
    let worker = env.consumer_for(LEASE);
    let claimed = worker.claim_one();
    env.advance(LEASE + TICK);
    let exchanged = worker.exchange(&[end_of(&claimed, done())], &[]);
    assert_eq!(
        (exchanged.alive, exchanged.judged),
        (false, vec![Judged::Ended])
    );
    assert_eq!(env.fate(id), Fate::Forgotten);
    assert_eq!(env.counts().totals.crashed, 0);
}

pub fn a_late_end_is_gone_if_another_consumer_has_the_job(env: &Env) {
    let id = env.enqueue(job());
    let worker = env.consumer_for(LEASE);
    let old = worker.claim_one();
    env.advance(LEASE + TICK);
    let other = env.consumer();
    let new = other.claim_one();
    assert_eq!((new.id, new.claim, new.crashes), (id, 2, 1));
    assert_eq!(worker.end(&old, done()), Judged::Gone);
    assert_eq!(env.info(id).session, Some(other.session));
    other.done(&new);
}

pub fn a_late_end_is_gone_if_the_job_came_back_otherwise(env: &Env) {
    env.enqueue_all(&jobs(2));
    let worker = env.consumer();
    let unknown = worker.claim_one();
    let closed = worker.claim_one();
    assert_eq!(worker.heartbeat(LEASE, &[closed.id]).given_back, 1);
    assert_eq!(worker.end(&unknown, done()), Judged::Gone);
    worker.close();
    assert_eq!(worker.end(&closed, done()), Judged::Gone);
    assert_eq!(env.counts().queues[0].ready, 2);
}

pub fn a_dead_job_keeps_payload_and_text_and_meta(env: &Env) {
    let payload: Vec<u8> = (0..=255).cycle().take(1000).collect();
    let strange = "\0\n'\"\\{}\u{1f980}\u{202e}";
    let pairs = [("", ""), ("key", strange), (strange, "value")];
    let meta: Meta = pairs.map(|(key, value)| (key.into(), value.into())).into();
    let id = env.enqueue(NewJob {
        payload: payload.clone(),
        meta: meta.clone(),
        ..job()
    });
    let worker = env.consumer();
    let claimed = worker.claim_one();
    assert_eq!((&claimed.payload, &claimed.meta), (&payload, &meta));
    assert_eq!(worker.end(&claimed, dead(strange)), Judged::Ended);
    assert_eq!(env.fate(id), Fate::Ended(Outcome::Dead(strange.into())));
    let info = env.info(id);
    assert_eq!((info.payload, info.meta), (payload, meta));
    assert_eq!(info.error.as_deref(), Some(strange));
    assert_eq!(
        (info.state, info.ended_at),
        (JobState::Dead, Some(env.now()))
    );
}

pub fn the_text_of_an_error_is_cut_at_8_kib_on_a_border(env: &Env) {
    const MOST: usize = 8 << 10;
    let texts = [
        ("x".repeat(MOST), MOST),
        ("x".repeat(MOST + 1), MOST),
        // Three bytes each: the last one would cross the border.
        ("\u{20ac}".repeat(1 << 20), MOST - MOST % 3),
        (format!("\0{}", "\u{1f980}".repeat(MOST)), MOST - 3),
    ];
    let worker = env.consumer();
    for (text, length) in texts {
        let cut = Some(&text[..length]);
        let id = env.enqueue(job());
        let claimed = worker.claim_one();
        worker.end(&claimed, retry(SECOND, &text));
        assert_eq!(env.info(id).error.as_deref(), cut);
        env.advance(SECOND);
        let claimed = worker.claim_one();
        assert_eq!(claimed.error.as_deref(), cut);
        worker.end(&claimed, dead(&text));
        assert_eq!(env.info(id).error.as_deref(), cut);
        assert_eq!(
            env.fate(id),
            Fate::Ended(Outcome::Dead(text[..length].into()))
        );
    }
}
