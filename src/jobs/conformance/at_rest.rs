//! A storage that is closed and opened again: cases 38 and 93.
//!
//! Layer: jobs.

use crate::jobs::conformance::env::{
    DAY, Env, HOUR, KIND, LEASE, QUEUE, SECOND, TICK, after, dead, delayed, done, end_of, ids,
    in_lane, job, jobs, unique, want,
};
use crate::jobs::conformance::random::run_and_reopen;
use crate::jobs::{
    Batch, BatchNumber, Due, Exchange, Fate, Filter, JobState, Judged, MOST_DUE, NewJob, Outcome,
    Placed, QueueChange, Tick, UniqueUntil, Verdict,
};

pub fn everything_is_there_after_the_storage_was_opened_again(env: &mut Env) {
    let worker = env.consumer_for(DAY);
    let session = worker.session;
    let kept = NewJob {
        keep: Some(DAY),
        meta: [("a".into(), "b".into())].into(),
        payload: vec![0, 255, 7],
        ..job()
    };
    for verdict in [done(), dead("no"), Verdict::Cancelled] {
        env.enqueue(kept.clone());
        worker.end(&worker.claim_one(), verdict);
    }
    let key = |until| unique("key", until);
    let ready = env.enqueue(NewJob {
        priority: -3,
        expires: Some(DAY),
        ..key(UniqueUntil::Ended)
    });
    env.enqueue(delayed(HOUR));
    let running = env.enqueue(NewJob {
        priority: 7,
        ..kept
    });
    let claimed = worker.claim_one();
    assert_eq!(claimed.id, running);
    let number = worker.number.get();
    env.storage().cancel(running).unwrap();
    env.storage().set_queue(QUEUE, QueueChange::Pause).unwrap();
    env.storage()
        .set_queue("a", QueueChange::MaxRunning(Some(3)))
        .unwrap();
    env.storage()
        .set_queue("b", QueueChange::Rate(Some((3, SECOND))))
        .unwrap();
    env.storage().register_schedule("nightly", "rule").unwrap();
    let batch = BatchNumber {
        producer: 7,
        number: 3,
    };
    let send = |env: &Env| {
        let batch = Batch {
            number: Some(batch),
            jobs: &jobs(2),
        };
        env.storage().enqueue(&batch).unwrap()
    };
    let placed = send(env);
    let look = |env: &Env| {
        let filter = Filter {
            payloads: true,
            ..Filter::default()
        };
        let settings = ["a", "b", QUEUE].map(|name| env.storage().queue(name).unwrap());
        let sessions = env.storage().sessions().unwrap();
        let schedules = env.storage().schedules().unwrap();
        (
            env.list(&filter),
            env.counts(),
            settings,
            sessions,
            schedules,
        )
    };
    let before = look(env);
    assert_eq!(before.0.len(), 8);
    env.reopen();
    env.finish();
    assert_eq!(look(env), before);
    assert_eq!(send(env), placed);
    assert_eq!(env.place(key(UniqueUntil::Ended)), Placed::Existing(ready));
    // The session goes on, and its claims are its own.
    let sign = crate::jobs::Heartbeat {
        session,
        lease: LEASE,
        settled: number,
        held: &[running],
    };
    let pulse = env.storage().heartbeat(&sign).unwrap();
    assert!(pulse.alive && pulse.cancel == [running], "{pulse:?}");
    let exchange = Exchange {
        session,
        number: number + 1,
        ended: &[end_of(&claimed, done())],
        wanted: &[],
    };
    let exchanged = env.storage().exchange(&exchange).unwrap();
    assert_eq!(exchanged.judged, [Judged::Ended]);
    assert_eq!(
        env.fate(running),
        Fate::Ended(Outcome::Done(b"null".to_vec()))
    );
}

pub fn what_waits_for_others_is_there_after_the_storage_was_opened_again(env: &mut Env) {
    let worker = env.consumer();
    let (session, parent) = (worker.session, env.enqueue(job()));
    let failed = env.enqueue(job());
    let both = || NewJob {
        even_if_failed: true,
        ..after(&[parent, failed])
    };
    let child = env.enqueue(both());
    let output = b"7".to_vec();
    let keep = None;
    worker.end(&worker.claim_one(), Verdict::Done { output, keep });
    let first = env.enqueue(in_lane("lane"));
    let second = env.enqueue(NewJob {
        lane: Some("lane".into()),
        ..both()
    });
    let third = env.enqueue(in_lane("lane"));
    let last = env.enqueue(after(&[child]));
    let running = worker.claim(9);
    assert_eq!(ids(&running), [failed, first]);
    let settled = |payload: &str| NewJob {
        replace: true,
        due: Due::After(HOUR),
        payload: payload.into(),
        ..unique("key", UniqueUntil::Ended)
    };
    let replaced = env.enqueue(settled("1"));
    assert_eq!(env.place(settled("2")), Placed::Replaced(replaced));
    let number = worker.number.get();
    let look = |env: &Env| {
        let filter = Filter {
            payloads: true,
            ..Filter::default()
        };
        let parents = [child, second, last].map(|id| env.storage().parents(id).unwrap());
        (env.list(&filter), env.counts(), parents)
    };
    let before = look(env);
    assert_eq!(before.1.queues[0].blocked, 4);
    env.reopen();
    env.finish();
    assert_eq!(look(env), before);
    assert_eq!(env.place(settled("3")), Placed::Replaced(replaced));
    let ended = [
        end_of(&running[0], dead("no")),
        end_of(&running[1], Verdict::Back),
    ];
    let exchange = Exchange {
        session,
        number: number + 1,
        ended: &ended,
        wanted: &[want(QUEUE, &[KIND], 9)],
    };
    let claimed = env.storage().exchange(&exchange).unwrap().claimed;
    assert_eq!(ids(&claimed), [child, first]);
    env.reopen();
    let fates = [
        Fate::Ended(Outcome::Done(b"7".to_vec())),
        Fate::Ended(Outcome::Dead("no".into())),
    ];
    let expected: Vec<_> = [parent, failed].into_iter().zip(fates).collect();
    for id in [child, second] {
        assert_eq!(env.storage().parents(id).unwrap(), expected);
    }
    let ended = [
        end_of(&claimed[0], done()),
        end_of(&claimed[1], Verdict::Cancelled),
    ];
    let exchange = Exchange {
        number: number + 2,
        ended: &ended,
        ..exchange
    };
    let claimed = env.storage().exchange(&exchange).unwrap().claimed;
    assert_eq!(ids(&claimed), [second, last]);
    assert_eq!(env.state(third), JobState::Blocked);
}

pub fn numbers_are_not_given_again_after_the_storage_was_opened_again(env: &mut Env) {
    let (mut last_job, mut last_session) = (None, Vec::new());
    for _ in 0..5 {
        let id = env.enqueue(job());
        assert!(last_job < Some(id), "{last_job:?}, then {id:?}");
        last_job = Some(id);
        let worker = env.consumer();
        assert!(!last_session.contains(&worker.session), "{last_session:?}");
        last_session.push(worker.session);
        worker.done(&worker.claim_one());
        worker.close();
        env.reopen();
        assert_eq!(env.fate(id), Fate::Forgotten);
    }
}

pub fn time_goes_on_while_the_storage_is_closed(env: &mut Env) {
    let stored = env.enqueue_all(&[job(), delayed(HOUR)]);
    let expiring = env.enqueue(NewJob {
        priority: -1,
        expires: Some(HOUR),
        ..job()
    });
    env.consumer_for(LEASE).claim_one();
    env.enqueue_all(&vec![delayed(HOUR * 2); MOST_DUE]);
    let start = env
        .storage()
        .register_schedule("nightly", "rule")
        .unwrap()
        .last_tick;
    env.reopen();
    env.advance(HOUR + TICK);
    let claimed = env.consumer().claim(9);
    assert_eq!(ids(&claimed), stored);
    assert_eq!((claimed[0].claim, claimed[0].crashes), (2, 1));
    env.sweep();
    assert_eq!(env.fate(expiring), Fate::Forgotten);
    let tick = Tick {
        schedule: "nightly",
        at: start + HOUR,
        job: &NewJob::new("another", KIND, "{}"),
    };
    assert!(env.storage().tick(&tick).unwrap());
    env.reopen();
    assert!(!env.storage().tick(&tick).unwrap());
    assert_eq!(env.state(stored[0]), JobState::Running);
    let next = env
        .consumer()
        .exchange(&[], &[want(QUEUE, &[KIND], 0)])
        .next_due;
    assert_eq!(next, Some(start + HOUR * 2));
}

pub fn random_operations_go_on_after_the_storage_was_opened_again(env: &Env) {
    run_and_reopen(env);
}
