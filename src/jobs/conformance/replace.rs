//! Jobs that take the place of an earlier one: case 43.
//!
//! Layer: jobs.

use crate::jobs::conformance::env::{
    DAY, Env, HOUR, KIND, LEASE, MINUTE, QUEUE, SECOND, TICK, dead, done, ids, in_lane, job, retry,
    these, unique,
};
use crate::jobs::{
    Batch, BatchNumber, Due, Fate, JobId, JobInfo, JobState, JobsErrorKind, NewJob, Notifier,
    Placed, Tick, UniqueUntil, Verdict,
};
use std::sync::Barrier;

const READY: JobState = JobState::Ready;
const BLOCKED: JobState = JobState::Blocked;
const SCHEDULED: JobState = JobState::Scheduled;

/// A job with a key. It takes the place of the one that has it.
fn settled(payload: &str, due: Due) -> NewJob {
    NewJob {
        replace: true,
        due,
        payload: payload.into(),
        ..unique("key", UniqueUntil::Ended)
    }
}

fn replaces(env: &Env, id: JobId, new: NewJob) {
    assert_eq!(env.place(new), Placed::Replaced(id));
}

pub fn a_job_that_has_not_begun_is_replaced(env: &Env) {
    for until in [
        UniqueUntil::Ended,
        UniqueUntil::Started,
        UniqueUntil::Elapsed(DAY),
    ] {
        let key = format!("{until:?}");
        let first = NewJob {
            priority: 5,
            due: Due::After(MINUTE),
            expires: Some(HOUR),
            keep: Some(DAY),
            max_crashes: 7,
            meta: [("a".into(), "1".into()), ("b".into(), "2".into())].into(),
            payload: b"[1]".to_vec(),
            ..unique(&key, until)
        };
        let id = env.enqueue(first);
        let before = env.info(id);
        env.advance(SECOND);
        let second = NewJob {
            queue: "another".into(),
            priority: -5,
            due: Due::After(HOUR),
            replace: true,
            keep: None,
            meta: [("c".into(), "3".into())].into(),
            payload: b"[2]".to_vec(),
            ..unique(&key, UniqueUntil::Ended)
        };
        let meta = second.meta.clone();
        replaces(env, id, second);
        let after = env.info(id);
        assert_eq!(
            (after.payload.as_slice(), &after.meta),
            (&b"[2]"[..], &meta)
        );
        assert_eq!((after.state, after.due_at), (SCHEDULED, env.now() + HOUR));
        let same = |info: &JobInfo| (info.queue.clone(), info.priority, info.enqueued_at);
        assert_eq!(same(&after), same(&before));
        // It has no expiry now, and it keeps the other options of the first one.
        env.advance(HOUR * 3);
        assert_eq!(env.sweep().expired, 0);
        let worker = env.consumer();
        let claimed = worker.claim_one();
        assert_eq!((claimed.id, claimed.priority), (id, 5));
        assert_eq!((&claimed.payload[..], &claimed.meta), (&b"[2]"[..], &meta));
        worker.end(&claimed, Verdict::Cancelled);
        assert_eq!(env.state(id), JobState::Cancelled);
    }
    assert_eq!(env.counts().queues.len(), 0);
}

pub fn the_one_with_the_key_stays_without_replace(env: &Env) {
    let id = env.enqueue(settled("1", Due::After(MINUTE)));
    let before = env.info(id);
    let plain = NewJob {
        replace: false,
        ..settled("2", Due::Now)
    };
    assert_eq!(env.place(plain), Placed::Existing(id));
    assert_eq!(env.info(id), before);
}

pub fn one_that_is_replaced_is_due_as_of_now(env: &Env) {
    let id = env.enqueue(settled("1", Due::After(MINUTE)));
    // Of many in a row there is one, a time after the last one.
    for _ in 0..5 {
        env.advance(MINUTE - TICK);
        replaces(env, id, settled("2", Due::After(MINUTE)));
        assert_eq!(env.info(id).due_at, env.now() + MINUTE);
    }
    let worker = env.consumer();
    assert_eq!(worker.exchange(&[], &[]).next_due, Some(env.now() + MINUTE));
    replaces(env, id, settled("3", Due::Now));
    assert_eq!((env.state(id), env.info(id).due_at), (READY, env.now()));
    assert_eq!(worker.exchange(&[], &[]).next_due, None);
    // One that is ready may be due later.
    replaces(env, id, settled("4", Due::After(SECOND)));
    assert_eq!(env.state(id), SCHEDULED);
    assert_eq!(ids(&worker.claim(9)), []);
    env.advance(SECOND);
    worker.exchange(&[], &[]);
    assert_eq!(env.state(id), READY);
    env.advance(SECOND);
    replaces(env, id, settled("5", Due::Now));
    assert_eq!((env.state(id), env.info(id).due_at), (READY, env.now()));
    let claimed = worker.claim_one();
    assert_eq!((claimed.id, &claimed.payload[..]), (id, &b"5"[..]));
    worker.end(&claimed, done());
    assert_eq!(env.counts().queues.len(), 0);
}

pub fn the_expiry_of_one_that_is_replaced_begins_anew(env: &Env) {
    let expiring = |expires| NewJob {
        expires,
        ..settled("1", Due::Now)
    };
    let id = env.enqueue(expiring(Some(MINUTE)));
    env.advance(MINUTE - TICK);
    replaces(env, id, expiring(Some(MINUTE)));
    env.advance(MINUTE - TICK);
    assert_eq!(env.sweep().expired, 0);
    replaces(env, id, expiring(None));
    env.advance(HOUR);
    assert_eq!(env.sweep().expired, 0);
    replaces(env, id, expiring(Some(SECOND)));
    env.advance(SECOND + TICK);
    assert_eq!(env.sweep().expired, 1);
    assert_eq!(env.fate(id), Fate::Forgotten);
    env.enqueue(expiring(None));
}

pub fn one_that_has_begun_is_not_replaced(env: &Env) {
    let id = env.enqueue(settled("1", Due::Now));
    let stays = || {
        let before = env.info(id);
        for due in [Due::Now, Due::After(HOUR)] {
            assert_eq!(env.place(settled("2", due)), Placed::Existing(id));
        }
        assert_eq!(env.info(id), before);
    };
    let worker = env.consumer_for(LEASE);
    let claimed = worker.claim_one();
    stays();
    worker.end(&claimed, Verdict::Back);
    stays();
    worker.end(&worker.claim_one(), retry(SECOND, "no"));
    stays();
    env.advance(SECOND);
    worker.end(&worker.claim_one(), Verdict::Postponed { after: SECOND });
    stays();
    env.advance(SECOND);
    worker.claim_one();
    env.advance(LEASE + TICK);
    env.sweep();
    stays();
    let worker = env.consumer();
    worker.end(&worker.claim_one(), dead("no"));
    // Its key is free. A dead one that begins anew has begun before.
    let next = env.enqueue(settled("3", Due::Now));
    env.storage().cancel(next).unwrap();
    assert_eq!(env.storage().retry_dead(&these(&[id]), 9).unwrap(), 1);
    stays();
}

pub fn a_key_until_started_is_that_of_the_next_one_after_the_begin(env: &Env) {
    let of = |payload: &str| NewJob {
        replace: true,
        payload: payload.into(),
        ..unique("key", UniqueUntil::Started)
    };
    let first = env.enqueue(of("1"));
    replaces(env, first, of("2"));
    let worker = env.consumer();
    let claimed = worker.claim_one();
    let second = env.enqueue(of("3"));
    replaces(env, second, of("4"));
    worker.end(&claimed, Verdict::Back);
    replaces(env, second, of("5"));
    let claimed = worker.claim(9);
    assert_eq!(ids(&claimed), [first, second]);
    let payloads = [&claimed[0].payload, &claimed[1].payload];
    assert_eq!(payloads, [b"2", b"5"]);
}

pub fn one_that_has_ended_is_not_replaced(env: &Env) {
    let of = || NewJob {
        replace: true,
        ..unique("key", UniqueUntil::Elapsed(HOUR))
    };
    let first = env.enqueue(of());
    // The period is that of the first one.
    env.advance(MINUTE);
    replaces(env, first, of());
    let worker = env.consumer();
    worker.done(&worker.claim_one());
    env.advance(HOUR - MINUTE - TICK);
    assert_eq!(env.place(of()), Placed::Existing(first));
    assert_eq!(env.fate(first), Fate::Forgotten);
    env.advance(TICK * 2);
    env.enqueue(of());
}

pub fn one_that_is_blocked_is_replaced(env: &Env) {
    let parent = env.enqueue(in_lane("lane"));
    let lane = || Some("lane".to_owned());
    let id = env.enqueue(NewJob {
        lane: lane(),
        ..settled("1", Due::Now)
    });
    // What the second one says of lanes and of jobs before it does not count.
    let other = |payload: &str, due| NewJob {
        lane: Some("another".into()),
        after: vec![parent],
        ..settled(payload, due)
    };
    replaces(env, id, other("2", Due::Now));
    let info = env.info(id);
    assert_eq!((info.state, info.waits_for), (BLOCKED, 0));
    assert_eq!(info.lane, lane());
    assert_eq!((info.payload, info.due_at), (b"2".to_vec(), env.now()));
    // It leaves those that wait for the lane, and joins them again.
    replaces(env, id, other("3", Due::After(MINUTE)));
    assert_eq!(env.state(id), SCHEDULED);
    replaces(env, id, other("4", Due::Now));
    assert_eq!(env.state(id), BLOCKED);
    replaces(env, id, other("5", Due::After(MINUTE)));
    let last = env.enqueue(in_lane("lane"));
    let worker = env.consumer();
    worker.done(&worker.claim_one());
    assert_eq!((env.state(id), env.state(last)), (SCHEDULED, READY));
    env.storage().cancel(last).unwrap();
    replaces(env, id, settled("6", Due::Now));
    assert_eq!(env.state(id), READY);
    let next = env.enqueue(in_lane("lane"));
    assert_eq!(env.state(next), BLOCKED);
    assert_eq!(worker.claim_one().payload, b"6");
}

pub fn the_lane_of_one_that_is_due_later_now_is_handed_on(env: &Env) {
    let of = |due| NewJob {
        lane: Some("lane".into()),
        ..settled("1", due)
    };
    let first = env.enqueue(of(Due::Now));
    let second = env.enqueue(in_lane("lane"));
    // Due at once again, it keeps its lane.
    env.advance(SECOND);
    replaces(env, first, of(Due::Now));
    assert_eq!((env.state(first), env.state(second)), (READY, BLOCKED));
    replaces(env, first, of(Due::After(SECOND)));
    assert_eq!((env.state(first), env.state(second)), (SCHEDULED, READY));
    env.advance(SECOND);
    let worker = env.consumer();
    assert_eq!(ids(&worker.claim(9)), [second]);
    assert_eq!(env.state(first), BLOCKED);
}

pub fn one_that_waits_for_others_is_replaced_and_waits_on(env: &Env) {
    let parent = env.enqueue(job());
    let id = env.enqueue(NewJob {
        after: vec![parent],
        lane: Some("lane".into()),
        ..settled("1", Due::Now)
    });
    let waits = |due_at| {
        let info = env.info(id);
        assert_eq!((info.state, info.waits_for), (BLOCKED, 1));
        assert_eq!(info.due_at, due_at);
        let live = Fate::Live(READY);
        assert_eq!(env.storage().parents(id).unwrap(), [(parent, live)]);
    };
    replaces(env, id, settled("2", Due::Now));
    waits(env.now());
    let worker = env.consumer();
    replaces(env, id, settled("3", Due::After(MINUTE)));
    waits(env.now() + MINUTE);
    assert_eq!(worker.exchange(&[], &[]).next_due, None);
    worker.done(&worker.claim_one());
    assert_eq!(env.state(id), SCHEDULED);
    env.advance(MINUTE);
    let claimed = worker.claim_one();
    assert_eq!((claimed.id, claimed.payload), (id, b"3".to_vec()));
}

pub fn a_batch_that_is_sent_again_replaces_nothing_twice(env: &Env) {
    let send = |number, jobs: &[NewJob]| {
        let number = Some(BatchNumber {
            producer: 7,
            number,
        });
        env.storage().enqueue(&Batch { number, jobs }).unwrap()
    };
    // Of two in one batch the second takes the place of the first.
    let first = send(1, &[settled("1", Due::Now), settled("2", Due::Now)]);
    let id = first[0].id();
    assert_eq!(first, [Placed::New(id), Placed::Replaced(id)]);
    assert_eq!(env.info(id).payload, b"2");
    let batch = [settled("3", Due::After(HOUR)), job()];
    let second = send(2, &batch);
    assert_eq!(second[0], Placed::Replaced(id));
    let due_at = env.info(id).due_at;
    env.enqueue(NewJob::new("another", KIND, "{}"));
    replaces(env, id, settled("4", Due::After(DAY)));
    env.advance(MINUTE);
    assert_eq!(send(2, &batch), second);
    assert_eq!(env.info(id).payload, b"4");
    assert_eq!(env.info(id).due_at, due_at + (DAY - HOUR));
    assert_eq!(env.counts().queues.len(), 2);
    // One that is refused replaces nothing.
    let bad = [settled("5", Due::Now), NewJob::new("two words", KIND, "")];
    let refused = env.try_enqueue(&bad).unwrap_err();
    assert_eq!(refused.kind(), JobsErrorKind::Name);
    let unknown = NewJob {
        after: vec![JobId(9_999)],
        ..job()
    };
    let refused = env.try_enqueue(&[settled("5", Due::Now), unknown]);
    assert_eq!(refused.unwrap_err().kind(), JobsErrorKind::Invalid);
    assert_eq!(env.info(id).payload, b"4");
}

pub fn of_sixteen_threads_with_one_key_all_but_one_replace_its_job(env: &Env) {
    for round in 0..10 {
        let job = |thread: usize| NewJob {
            replace: true,
            payload: thread.to_string().into_bytes(),
            ..unique(&format!("key {round}"), UniqueUntil::Ended)
        };
        let barrier = Barrier::new(16);
        let place = |thread| {
            barrier.wait();
            env.place(job(thread))
        };
        let place = &place;
        let placed: Vec<Placed> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..16).map(|it| scope.spawn(move || place(it))).collect();
            threads.into_iter().map(|it| it.join().unwrap()).collect()
        });
        let new = placed.iter().filter(|placed| placed.is_new());
        let id = placed[0].id();
        assert_eq!(new.count(), 1);
        let replaced = placed.iter().filter(|it| **it == Placed::Replaced(id));
        assert_eq!(replaced.count(), 15);
        let payload = String::from_utf8(env.info(id).payload).unwrap();
        assert!(payload.parse::<usize>().unwrap() < 16);
    }
    assert_eq!(env.counts().queues[0].ready, 10);
}

pub fn a_time_whose_job_replaces_another_counts(env: &Env) {
    let start = env.now();
    env.storage().register_schedule("nightly", "rule").unwrap();
    let id = env.enqueue(settled("1", Due::After(DAY)));
    env.advance(MINUTE);
    let tick = Tick {
        schedule: "nightly",
        at: start + MINUTE,
        job: &settled("2", Due::Now),
    };
    assert!(env.storage().tick(&tick).unwrap());
    assert!(!env.storage().tick(&tick).unwrap());
    assert_eq!(
        (env.state(id), env.info(id).payload),
        (READY, b"2".to_vec())
    );
    let schedule = &env.storage().schedules().unwrap()[0];
    assert_eq!((schedule.last_tick, schedule.runs), (start + MINUTE, 0));
}

pub fn who_listens_is_woken_when_one_is_due_earlier(env: &Env) {
    let id = env.enqueue(settled("1", Due::After(DAY)));
    let notifier = Notifier::new();
    let _watching = env.storage().subscribe(&[QUEUE], &notifier).unwrap();
    for due in [Due::After(HOUR), Due::Now] {
        let listening = notifier.listen();
        replaces(env, id, settled("2", due));
        let woken = listening.wait_timeout(MINUTE);
        assert_eq!(woken, Ok(true), "the notifier was silent");
    }
}
