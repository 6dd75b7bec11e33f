//! Outcomes, and waiting for them: cases 61 to 65.
//!
//! Layer: jobs.

use crate::jobs::conformance::env::{
    DAY, Env, HOUR, KIND, LEASE, MINUTE, QUEUE, SECOND, TICK, dead, delayed, job, retry,
};
use crate::jobs::{
    Fate, Filter, JobId, JobState, Judged, Listening, NewJob, Notifier, Outcome, Verdict,
};
use std::time::Duration;

fn output(text: &str, keep: Option<Duration>) -> Verdict {
    Verdict::Done {
        output: text.into(),
        keep,
    }
}

fn kept(time: Duration) -> NewJob {
    NewJob {
        keep: Some(time),
        ..job()
    }
}

fn assert_woken(listening: &Listening) {
    assert_eq!(
        listening.wait_timeout(MINUTE),
        Ok(true),
        "the notifier was silent"
    );
}

pub fn an_outcome_is_kept_and_then_forgotten(env: &Env) {
    let worker = env.consumer();
    let asked = env.enqueue(kept(HOUR));
    // What the job asks for counts before what the verdict says.
    worker.end(&worker.claim_one(), output("1", Some(MINUTE)));
    let said = env.enqueue(job());
    worker.end(&worker.claim_one(), output("2", Some(MINUTE)));
    let cancelled = env.enqueue(kept(HOUR));
    env.storage().cancel(cancelled).unwrap();
    let fate = |text: &str| Fate::Ended(Outcome::Done(text.into()));
    env.advance(MINUTE - TICK);
    env.sweep();
    assert_eq!((env.fate(asked), env.fate(said)), (fate("1"), fate("2")));
    env.advance(TICK * 2);
    env.sweep();
    assert_eq!(
        (env.fate(asked), env.fate(said)),
        (fate("1"), Fate::Forgotten)
    );
    assert_eq!(env.fate(cancelled), Fate::Ended(Outcome::Cancelled));
    env.advance(HOUR);
    env.sweep();
    assert_eq!(
        (env.fate(asked), env.fate(cancelled)),
        (Fate::Forgotten, Fate::Forgotten)
    );
    assert_eq!(env.list(&Filter::default()), []);
}

pub fn a_live_job_has_its_state_and_no_outcome(env: &Env) {
    assert_eq!(env.fate(JobId(9_999)), Fate::Unknown);
    let id = env.enqueue(delayed(SECOND));
    assert_eq!(env.fate(id), Fate::Live(JobState::Scheduled));
    env.advance(SECOND);
    let worker = env.consumer();
    worker.exchange(&[], &[]);
    assert_eq!(env.fate(id), Fate::Live(JobState::Ready));
    let claimed = worker.claim_one();
    assert_eq!(env.fate(id), Fate::Live(JobState::Running));
    worker.end(&claimed, retry(SECOND, "no"));
    assert_eq!(env.fate(id), Fate::Live(JobState::Scheduled));
}

pub fn who_waits_before_the_end_gets_an_outcome_that_is_not_kept(env: &Env) {
    let ends: [(Verdict, Outcome); 3] = [
        (output("[1]", None), Outcome::Done(b"[1]".to_vec())),
        (dead("no"), Outcome::Dead("no".into())),
        (Verdict::Cancelled, Outcome::Cancelled),
    ];
    let worker = env.consumer();
    let ways = ends
        .into_iter()
        .flat_map(|end| [(end.clone(), false), (end, true)]);
    for ((verdict, outcome), is_running) in ways {
        let id = env.enqueue(job());
        let notifier = Notifier::new();
        let watch = || env.storage().watch(id, &notifier, HOUR).unwrap();
        let before = (!is_running).then(watch);
        let claimed = worker.claim_one();
        let _watching = before.unwrap_or_else(watch);
        let listening = notifier.listen();
        worker.end(&claimed, verdict);
        assert_woken(&listening);
        env.advance(MINUTE - TICK);
        env.sweep();
        assert_eq!(env.fate(id), Fate::Ended(outcome));
    }
}

pub fn who_waits_sees_every_other_end(env: &Env) {
    let watched = |job: NewJob| {
        let id = env.enqueue(job);
        let notifier = Notifier::new();
        let watching = env.storage().watch(id, &notifier, DAY).unwrap();
        let listening = notifier.listen();
        (id, watching, listening)
    };
    let (id, _watching, listening) = watched(job());
    env.storage().cancel(id).unwrap();
    assert_woken(&listening);
    assert_eq!(env.fate(id), Fate::Ended(Outcome::Cancelled));
    let (id, _watching, listening) = watched(NewJob {
        expires: Some(SECOND),
        ..job()
    });
    env.advance(SECOND + TICK);
    env.sweep();
    assert_woken(&listening);
    assert_eq!(env.fate(id), Fate::Ended(Outcome::Expired));
    let (id, _watching, listening) = watched(NewJob {
        at_most_once: true,
        ..job()
    });
    env.consumer_for(LEASE).claim_one();
    env.advance(LEASE + TICK);
    env.sweep();
    assert_woken(&listening);
    assert_eq!(env.state(id), JobState::Dead);
}

pub fn who_comes_after_the_end_sees_at_once_that_it_is_forgotten(env: &Env) {
    let id = env.enqueue(job());
    let worker = env.consumer();
    worker.done(&worker.claim_one());
    let _watching = env.storage().watch(id, &Notifier::new(), HOUR).unwrap();
    assert_eq!(env.fate(id), Fate::Forgotten);
}

pub fn two_may_wait_for_one_job(env: &Env) {
    let id = env.enqueue(job());
    let notifiers = [Notifier::new(), Notifier::new(), Notifier::new()];
    let mut watching = notifiers.each_ref().map(|notifier| {
        let watching = env.storage().watch(id, notifier, HOUR);
        Some(watching.unwrap())
    });
    let worker = env.consumer();
    let claimed = worker.claim_one();
    let listening = notifiers.each_ref().map(Notifier::listen);
    // One of them gives up. The others do not notice.
    watching[1] = None;
    worker.end(&claimed, output("7", None));
    assert_woken(&listening[0]);
    assert_woken(&listening[2]);
    assert_eq!(env.fate(id), Fate::Ended(Outcome::Done(b"7".to_vec())));
}

pub fn who_gives_up_leaves_nothing_behind(env: &Env) {
    let id = env.enqueue(job());
    drop(env.storage().watch(id, &Notifier::new(), HOUR).unwrap());
    // Nor does one for a job that was never there.
    drop(
        env.storage()
            .watch(JobId(9_999), &Notifier::new(), HOUR)
            .unwrap(),
    );
    let worker = env.consumer();
    worker.done(&worker.claim_one());
    env.advance(MINUTE + TICK);
    env.sweep();
    assert_eq!(env.fate(id), Fate::Forgotten);
    assert_eq!(env.list(&Filter::default()), []);
}

pub fn who_listens_to_a_queue_is_woken_when_a_job_is_ready(env: &Env) {
    let notifier = Notifier::new();
    let queues = [QUEUE, "another"];
    let _watching = env.storage().subscribe(&queues, &notifier).unwrap();
    let worker = env.consumer_for(LEASE);
    let woken_by = |change: &dyn Fn()| {
        let listening = notifier.listen();
        change();
        assert_woken(&listening);
    };
    woken_by(&|| _ = env.enqueue(delayed(HOUR)));
    // The next one is due earlier.
    woken_by(&|| _ = env.enqueue(delayed(MINUTE)));
    woken_by(&|| _ = env.enqueue(NewJob::new("another", KIND, "{}")));
    woken_by(&|| _ = env.enqueue(job()));
    let claimed = worker.claim_one();
    woken_by(&|| _ = worker.end(&claimed, Verdict::Back));
    let claimed = worker.claim_one();
    woken_by(&|| _ = worker.end(&claimed, retry(SECOND, "no")));
    env.advance(SECOND);
    let claimed = worker.claim_one();
    woken_by(&|| {
        env.advance(LEASE + TICK);
        env.sweep();
    });
    let other = env.consumer();
    assert_eq!(other.end(&claimed, dead("no")), Judged::Ended);
    woken_by(&|| assert_eq!(env.storage().retry_dead(&Filter::default(), 9).unwrap(), 1));
    other.claim_one();
    woken_by(&|| _ = other.close());
}
