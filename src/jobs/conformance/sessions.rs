//! Sessions and leases: cases 29 to 38.
//!
//! Layer: jobs.

use crate::jobs::conformance::env::{
    DAY, Env, KIND, LEASE, MINUTE, QUEUE, SECOND, TICK, assert_refused, done, end_of, ids, job,
    jobs, retry, want,
};
use crate::jobs::{
    Fate, JobId, JobState, JobsErrorKind, Judged, NewJob, Notifier, Pulse, SessionId, SessionInfo,
    Totals, Verdict,
};
use crate::task::CancelOutcome;

pub fn the_jobs_of_a_lease_that_has_ended_come_back(env: &Env) {
    let stored = env.enqueue_all(&jobs(3));
    let worker = env.consumer_for(LEASE);
    worker.claim(2);
    env.advance(LEASE - TICK);
    assert_eq!(env.sweep().sessions, 0);
    env.advance(TICK * 2);
    let swept = env.sweep();
    assert_eq!((swept.sessions, swept.returned, swept.died), (1, 2, 0));
    assert_eq!(env.storage().sessions().unwrap(), []);
    // In their old places.
    let claimed = env.consumer().claim(9);
    assert_eq!(ids(&claimed), stored);
    let crashes: Vec<_> = claimed.iter().map(|it| (it.crashes, it.failures)).collect();
    assert_eq!(crashes, [(1, 0), (1, 0), (0, 0)]);
    assert_eq!(env.counts().totals.crashed, 2);
}

pub fn an_exchange_ends_the_leases_that_are_over(env: &Env) {
    let id = env.enqueue(job());
    for _ in 0..12 {
        env.consumer_for(LEASE);
    }
    env.consumer_for(LEASE - SECOND).claim_one();
    env.advance(LEASE + TICK);
    let worker = env.consumer();
    let mut crashed = 0;
    while env.storage().sessions().unwrap().len() > 1 {
        let before = env.storage().sessions().unwrap().len();
        let exchanged = worker.exchange(&[], &[want(QUEUE, &[KIND], 9)]);
        let after = env.storage().sessions().unwrap().len();
        assert!(
            (1..=10).contains(&(before - after)),
            "{before} sessions, then {after}"
        );
        assert_eq!(exchanged.more, after > 1);
        crashed += exchanged.claimed.len();
    }
    assert_eq!(crashed, 1);
    assert_eq!(env.info(id).session, Some(worker.session));
}

fn lose_the_worker(env: &Env) {
    let worker = env.consumer_for(LEASE);
    worker.claim_one();
    env.advance(LEASE + TICK);
    env.sweep();
}

pub fn a_job_whose_worker_was_lost_too_often_is_dead(env: &Env) {
    let id = env.enqueue(job());
    for crashes in 1..=3 {
        lose_the_worker(env);
        assert_eq!(env.state(id), JobState::Ready);
        assert_eq!(env.info(id).crashes, crashes);
    }
    lose_the_worker(env);
    let info = env.info(id);
    assert_eq!((info.state, info.crashes), (JobState::Dead, 4));
    assert!(
        info.error.is_some_and(|error| !error.is_empty()),
        "with a reason"
    );
    let totals = Totals {
        dead: 1,
        crashed: 4,
        ..Totals::default()
    };
    assert_eq!(env.counts().totals, totals);
}

pub fn a_job_may_say_how_often_its_worker_may_be_lost(env: &Env) {
    let id = env.enqueue(NewJob {
        max_crashes: 0,
        ..job()
    });
    lose_the_worker(env);
    assert_eq!(env.state(id), JobState::Dead);
}

pub fn a_job_at_most_once_is_dead_if_its_worker_is_lost(env: &Env) {
    let id = env.enqueue(NewJob {
        at_most_once: true,
        ..job()
    });
    let worker = env.consumer_for(LEASE);
    let claimed = worker.claim_one();
    assert!(claimed.at_most_once);
    env.advance(LEASE + TICK);
    assert_eq!(env.sweep().died, 1);
    assert_eq!(env.state(id), JobState::Dead);
    assert_eq!(worker.end(&claimed, done()), Judged::Gone);
    assert_eq!(ids(&env.consumer().claim(9)), []);
}

pub fn heartbeats_keep_a_job_for_a_hundred_leases(env: &Env) {
    let id = env.enqueue(job());
    let worker = env.consumer_for(LEASE);
    let claimed = worker.claim_one();
    let alive = Pulse {
        alive: true,
        ..Pulse::default()
    };
    for _ in 0..100 {
        env.advance(LEASE - TICK);
        assert_eq!(env.sweep().sessions, 0);
        assert_eq!(worker.heartbeat(LEASE, &[id]), alive);
    }
    let sessions = env.storage().sessions().unwrap();
    assert_eq!(sessions[0].lease_until, env.now() + LEASE);
    assert_eq!(sessions[0].running, 1);
    worker.done(&claimed);
}

pub fn a_heartbeat_extends_a_lease_that_is_over_but_was_not_swept(env: &Env) {
    let id = env.enqueue(job());
    let worker = env.consumer_for(LEASE);
    worker.claim_one();
    env.advance(LEASE * 9);
    assert!(worker.heartbeat(LEASE, &[id]).alive);
    assert_eq!(env.sweep().sessions, 0);
    assert_eq!(env.info(id).session, Some(worker.session));
}

pub fn what_a_consumer_does_not_know_of_is_given_back(env: &Env) {
    let stored = env.enqueue_all(&jobs(4));
    let worker = env.consumer();
    worker.claim(1);
    worker.claim(2);
    // The answer to the third exchange is under way: the consumer knows the first two.
    worker.number.set(3);
    let third = worker
        .try_exchange(3, &[], &[want(QUEUE, &[KIND], 1)])
        .unwrap();
    worker.number.set(2);
    let pulse = worker.heartbeat(DAY, &[stored[1]]);
    assert_eq!((pulse.alive, pulse.given_back), (true, 2));
    assert_eq!((pulse.cancel, pulse.lost), (vec![], vec![]));
    let states = [0, 1, 2, 3].map(|place: usize| env.state(stored[place]));
    use JobState::{Ready, Running};
    assert_eq!(states, [Ready, Running, Ready, Running]);
    worker.number.set(3);
    worker.done(&third.claimed[0]);
    let claimed = worker.claim(9);
    assert_eq!(ids(&claimed), [stored[0], stored[2]]);
    assert_eq!((claimed[0].claim, claimed[0].crashes), (2, 0));
}

pub fn a_heartbeat_says_which_jobs_to_cancel_and_which_are_lost(env: &Env) {
    let stored = env.enqueue_all(&jobs(3));
    let worker = env.consumer();
    worker.claim(2);
    assert_eq!(
        env.storage().cancel(stored[0]).unwrap(),
        CancelOutcome::Requested
    );
    let other = env.consumer();
    other.claim(1);
    let never = JobId(9_999);
    let held = [stored[0], stored[1], stored[2], never];
    let pulse = worker.heartbeat(LEASE, &held);
    assert_eq!((pulse.alive, pulse.given_back), (true, 0));
    assert_eq!(pulse.cancel, [stored[0]]);
    assert_eq!(pulse.lost, [stored[2], never]);
    assert_eq!(other.heartbeat(LEASE, &[stored[2]]).cancel, []);
}

pub fn a_session_that_is_closed_gives_its_jobs_back(env: &Env) {
    let once = NewJob {
        at_most_once: true,
        ..job()
    };
    let stored = env.enqueue_all(&[job(), once, job()]);
    let worker = env.consumer();
    worker.claim(2);
    assert_eq!(worker.close(), 1);
    assert_eq!(worker.close(), 0);
    assert!(!worker.heartbeat(LEASE, &[]).alive);
    assert_eq!(env.state(stored[1]), JobState::Dead, "it may have begun");
    let claimed = env.consumer().claim(9);
    assert_eq!(ids(&claimed), [stored[0], stored[2]]);
    assert!(claimed.iter().all(|it| it.crashes == 0 && it.failures == 0));
}

pub fn who_watches_a_session_is_notified_of_a_cancel(env: &Env) {
    let stored = env.enqueue_all(&jobs(2));
    let worker = env.consumer();
    worker.claim(2);
    let notifier = Notifier::new();
    let watching = env.storage().watch_session(worker.session, &notifier);
    let _watching = watching.unwrap();
    for &id in &stored {
        let listening = notifier.listen();
        let outcome = env.storage().cancel(id).unwrap();
        assert_eq!(outcome, CancelOutcome::Requested);
        let woken = listening.wait_timeout(MINUTE);
        assert_eq!(woken, Ok(true), "the notifier was silent");
        assert!(worker.heartbeat(LEASE, &stored).cancel.contains(&id));
        // Who waits for the job takes nothing of that back.
        drop(env.storage().watch(id, &notifier, DAY).unwrap());
        assert!(worker.heartbeat(LEASE, &stored).cancel.contains(&id));
    }
}

pub fn what_was_to_be_cancelled_does_not_wait_again(env: &Env) {
    let ways = [
        retry(LEASE, "no"),
        Verdict::Postponed { after: LEASE },
        Verdict::Back,
    ];
    for way in ways {
        let id = env.enqueue(job());
        let worker = env.consumer();
        let claimed = worker.claim_one();
        assert_eq!(env.storage().cancel(id).unwrap(), CancelOutcome::Requested);
        assert_eq!(worker.end(&claimed, way), Judged::Ended);
        assert_eq!(env.fate(id), Fate::Forgotten);
    }
    for closes in [true, false] {
        let id = env.enqueue(job());
        let worker = env.consumer_for(LEASE);
        worker.claim_one();
        env.storage().cancel(id).unwrap();
        match closes {
            true => assert_eq!(worker.close(), 0),
            false => {
                env.advance(LEASE + TICK);
                env.sweep();
            }
        }
        assert_eq!(env.fate(id), Fate::Forgotten);
    }
    assert_eq!(env.counts().totals.cancelled, 5);
}

pub fn a_session_that_is_gone_gets_no_jobs_and_its_ends_count(env: &Env) {
    let stored = env.enqueue_all(&jobs(2));
    let worker = env.consumer_for(LEASE);
    let claimed = worker.claim_one();
    env.advance(LEASE + TICK);
    env.sweep();
    let wanted = [want(QUEUE, &[KIND], 9)];
    let exchanged = worker.exchange(&[end_of(&claimed, done())], &wanted);
    assert!(!exchanged.alive);
    assert_eq!(
        (exchanged.judged, exchanged.claimed),
        (vec![Judged::Ended], vec![])
    );
    assert_eq!(env.state(stored[1]), JobState::Ready);
}

pub fn a_stale_exchange_is_refused_and_changes_nothing(env: &Env) {
    let id = env.enqueue(job());
    let worker = env.consumer();
    let wanted = [want(QUEUE, &[KIND], 1)];
    let claimed = worker.try_exchange(7, &[], &wanted).unwrap().claimed;
    env.enqueue(job());
    for number in [7, 6, 0] {
        let ended = [end_of(&claimed[0], done())];
        let stale = worker.try_exchange(number, &ended, &wanted);
        assert_refused(stale, JobsErrorKind::Stale);
    }
    assert_eq!(env.state(id), JobState::Running);
    assert_eq!(env.counts().queues[0].ready, 1);
    let ended = [end_of(&claimed[0], done())];
    assert_eq!(
        worker.try_exchange(8, &ended, &[]).unwrap().judged,
        [Judged::Ended]
    );
}

pub fn a_session_says_who_it_is(env: &Env) {
    let info = SessionInfo {
        host: "a.example".into(),
        pid: 17,
        version: "1.2.3".into(),
        began_at: env.now(),
        queues: vec!["mail".into(), "default".into()],
        kinds: vec!["send".into()],
    };
    let id = env.storage().open_session(&info, LEASE).unwrap();
    let sessions = env.storage().sessions().unwrap();
    assert_eq!(sessions.len(), 1);
    assert_eq!((sessions[0].id, &sessions[0].info), (id, &info));
    assert_eq!(sessions[0].lease_until, env.now() + LEASE);
}

pub fn the_numbers_of_sessions_never_repeat(env: &Env) {
    let mut numbers: Vec<SessionId> = Vec::new();
    for place in 0..50 {
        let worker = env.consumer_for(LEASE);
        numbers.push(worker.session);
        if place % 2 == 0 {
            worker.close();
        }
        if place % 5 == 0 {
            env.advance(LEASE + TICK);
            env.sweep();
        }
    }
    numbers.sort();
    numbers.dedup();
    assert_eq!(numbers.len(), 50);
}
