//! Lanes: cases 47 to 51.
//!
//! Layer: jobs.

use crate::jobs::conformance::env::{
    Env, HOUR, KIND, LEASE, MINUTE, QUEUE, SECOND, TICK, dead, delayed, done, end_of, ids, in_lane,
    job, retry, these, unique, want,
};
use crate::jobs::{
    Claimed, Due, Fate, JobId, JobState, Judged, MOST_DUE, NewJob, Notifier, Placed, QueueChange,
    UniqueUntil, Verdict,
};
use crate::task::CancelOutcome;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

const READY: JobState = JobState::Ready;
const BLOCKED: JobState = JobState::Blocked;

fn states<const N: usize>(env: &Env, ids: [JobId; N]) -> [JobState; N] {
    ids.map(|id| env.state(id))
}

fn pair(env: &Env, lane: &str) -> [JobId; 2] {
    [env.enqueue(in_lane(lane)), env.enqueue(in_lane(lane))]
}

pub fn the_jobs_of_a_lane_begin_one_at_a_time_in_their_order(env: &Env) {
    // Priorities count between lanes, and not within one.
    let jobs = [0, 9, 5].map(|priority| NewJob {
        priority,
        ..in_lane("lane")
    });
    let stored = env.enqueue_all(&jobs);
    let worker = env.consumer();
    for (place, id) in stored.iter().enumerate() {
        let info = env.info(*id);
        assert_eq!((info.state, info.waits_for), (READY, 0));
        assert_eq!(info.lane.as_deref(), Some("lane"));
        let waiting = u64::try_from(2 - place).unwrap();
        let counts = &env.counts().queues[0];
        assert_eq!((counts.ready, counts.blocked), (1, waiting));
        let claimed = worker.claim(9);
        assert_eq!(ids(&claimed), [*id]);
        let blocked = stored[place + 1..].iter();
        assert!(blocked.clone().all(|id| env.state(*id) == BLOCKED));
        assert!(blocked.clone().all(|id| env.info(*id).waits_for == 0));
        worker.done(&claimed[0]);
    }
    // Nothing of the lane is left.
    let next = env.enqueue(in_lane("lane"));
    assert_eq!(env.state(next), READY);
}

pub fn an_end_and_the_claim_of_the_next_are_one_exchange(env: &Env) {
    let [_, second] = pair(env, "lane");
    let worker = env.consumer();
    let first = worker.claim_one();
    let wanted = [want(QUEUE, &[KIND], 9)];
    let exchanged = worker.exchange(&[end_of(&first, done())], &wanted);
    assert_eq!(ids(&exchanged.claimed), [second]);
}

pub fn a_lane_crosses_queues_and_kinds(env: &Env) {
    let lane = |queue: &str, kind: &str| NewJob {
        lane: Some("lane".into()),
        ..NewJob::new(queue, kind, "{}")
    };
    let all = [("a", "x"), ("b", "x"), ("a", "y")];
    let stored = env.enqueue_all(&all.map(|(queue, kind)| lane(queue, kind)));
    let worker = env.consumer();
    let wanted = [want("a", &["x", "y"], 9), want("b", &["x", "y"], 9)];
    for id in stored {
        let claimed = worker.exchange(&[], &wanted).claimed;
        assert_eq!(ids(&claimed), [id]);
        worker.done(&claimed[0]);
    }
}

pub fn other_lanes_and_jobs_without_one_run_beside_it(env: &Env) {
    let strange = ["A", "a ", "'\0\n%", "\u{1f980}"];
    let lanes = ["a", "a", "b"].into_iter().chain(strange);
    let mut stored: Vec<JobId> = lanes.map(|lane| env.enqueue(in_lane(lane))).collect();
    stored.push(env.enqueue(delayed(SECOND)));
    stored.push(env.enqueue(job()));
    env.advance(SECOND);
    stored.remove(1);
    assert_eq!(ids(&env.consumer().claim(99)), stored);
}

pub fn a_lane_is_kept_until_the_job_has_ended(env: &Env) {
    let [first, second] = pair(env, "lane");
    let is_kept = |state| assert_eq!(states(env, [first, second]), [state, BLOCKED]);
    let mut worker = env.consumer_for(LEASE);
    worker.end(&worker.claim_one(), Verdict::Back);
    is_kept(READY);
    worker.end(&worker.claim_one(), retry(SECOND, "no"));
    is_kept(JobState::Scheduled);
    // One that comes while it waits for another attempt is blocked, too.
    let third = env.enqueue(in_lane("lane"));
    assert_eq!(env.state(third), BLOCKED);
    env.advance(SECOND);
    worker.end(&worker.claim_one(), Verdict::Postponed { after: SECOND });
    is_kept(JobState::Scheduled);
    env.advance(SECOND);
    worker.claim_one();
    is_kept(JobState::Running);
    assert_eq!(worker.heartbeat(LEASE, &[]).given_back, 1);
    is_kept(READY);
    worker.claim_one();
    assert_eq!(worker.close(), 1);
    is_kept(READY);
    worker = env.consumer_for(LEASE);
    let claimed = worker.claim_one();
    env.advance(LEASE + TICK);
    assert_eq!(env.sweep().returned, 1);
    is_kept(READY);
    // A late end that is none keeps it as well.
    assert_eq!(worker.end(&claimed, retry(SECOND, "no")), Judged::Waits);
    is_kept(JobState::Scheduled);
    env.advance(SECOND);
    let worker = env.consumer();
    worker.done(&worker.claim_one());
    assert_eq!(states(env, [second, third]), [READY, BLOCKED]);
}

pub fn every_end_hands_the_lane_on(env: &Env) {
    let worker = env.consumer();
    let next = |second: JobId| {
        assert_eq!(env.state(second), READY);
        env.storage().cancel(second).unwrap();
        env.finish();
    };
    for verdict in [done(), dead("no"), Verdict::Cancelled] {
        let [_, second] = pair(env, "lane");
        worker.end(&worker.claim_one(), verdict);
        next(second);
    }
    let [first, second] = pair(env, "lane");
    env.storage().cancel(first).unwrap();
    next(second);
    let [first, second] = pair(env, "lane");
    assert_eq!(env.storage().purge(&these(&[first]), 9).unwrap(), 1);
    next(second);
    // One that is to be cancelled, and would wait again.
    for verdict in [Verdict::Back, retry(SECOND, "no")] {
        let [first, second] = pair(env, "lane");
        let claimed = worker.claim_one();
        env.storage().cancel(first).unwrap();
        assert_eq!(worker.end(&claimed, verdict), Judged::Ended);
        next(second);
    }
    let once = || NewJob {
        at_most_once: true,
        ..in_lane("lane")
    };
    let (_, second) = (env.enqueue(once()), env.enqueue(in_lane("lane")));
    let other = env.consumer();
    other.claim_one();
    other.close();
    next(second);
    let (_, second) = (env.enqueue(once()), env.enqueue(in_lane("lane")));
    env.consumer_for(LEASE).claim_one();
    env.advance(LEASE + TICK);
    assert_eq!(env.sweep().died, 1);
    next(second);
    let expiring = NewJob {
        expires: Some(SECOND),
        ..in_lane("lane")
    };
    let (_, second) = (env.enqueue(expiring), env.enqueue(in_lane("lane")));
    env.advance(SECOND + TICK);
    assert_eq!(env.sweep().expired, 1);
    next(second);
}

pub fn a_delayed_job_joins_its_lane_when_it_is_due(env: &Env) {
    let early = env.enqueue(NewJob {
        due: Due::After(MINUTE),
        ..in_lane("lane")
    });
    // It does not block what is stored after it.
    let first = env.enqueue(in_lane("lane"));
    let second = env.enqueue(in_lane("lane"));
    let all = [early, first, second];
    assert_eq!(states(env, all), [JobState::Scheduled, READY, BLOCKED]);
    env.advance(MINUTE);
    let worker = env.consumer();
    let claimed = worker.claim_one();
    assert_eq!(claimed.id, first);
    assert_eq!(states(env, all), [BLOCKED, JobState::Running, BLOCKED]);
    assert_eq!(env.info(early).due_at, env.now());
    // From then on the ids have the order.
    worker.done(&claimed);
    assert_eq!(states(env, [early, second]), [READY, BLOCKED]);
    worker.done(&worker.claim_one());
    assert_eq!(ids(&worker.claim(9)), [second]);
}

pub fn of_two_that_are_due_at_once_the_earlier_one_has_the_lane(env: &Env) {
    let due = |time| NewJob {
        due: Due::After(time),
        ..in_lane("lane")
    };
    let late = env.enqueue(due(SECOND * 2));
    let early = env.enqueue(due(SECOND));
    let same = env.enqueue(due(SECOND));
    env.advance(MINUTE);
    let worker = env.consumer();
    let claimed = worker.claim(9);
    assert_eq!(ids(&claimed), [early]);
    assert_eq!(states(env, [late, same]), [BLOCKED, BLOCKED]);
    worker.done(&claimed[0]);
    assert_eq!(states(env, [late, same]), [READY, BLOCKED]);
}

pub fn many_that_are_due_at_once_join_their_lanes(env: &Env) {
    let due = NewJob {
        due: Due::After(SECOND),
        ..in_lane("lane")
    };
    let stored = env.enqueue_all(&vec![due; MOST_DUE + 50]);
    env.advance(SECOND);
    let worker = env.consumer();
    let exchanged = worker.exchange(&[], &[want(QUEUE, &[KIND], 9)]);
    assert_eq!(ids(&exchanged.claimed), stored[..1]);
    assert!(exchanged.more);
    let counts = &env.counts().queues[0];
    assert_eq!((counts.blocked, counts.scheduled), (199, 50));
    assert!(!worker.exchange(&[], &[]).more);
    assert_eq!(env.counts().queues[0].blocked, 249);
    let mut claimed = exchanged.claimed;
    for id in &stored[1..] {
        worker.done(&claimed[0]);
        claimed = worker.claim(9);
        assert_eq!(ids(&claimed), [*id]);
    }
}

pub fn a_blocked_job_ends_without_a_turn(env: &Env) {
    let first = env.enqueue(in_lane("lane"));
    let blocked = || NewJob {
        lane: Some("lane".into()),
        ..unique("key", UniqueUntil::Ended)
    };
    let cancelled = env.enqueue(blocked());
    assert_eq!(env.place(blocked()), Placed::Existing(cancelled));
    let outcome = env.storage().cancel(cancelled).unwrap();
    assert_eq!(outcome, CancelOutcome::Settled);
    let removed = env.enqueue(blocked());
    assert_eq!(env.storage().purge(&these(&[removed]), 9).unwrap(), 1);
    let expired = env.enqueue(NewJob {
        expires: Some(SECOND),
        keep: Some(HOUR),
        ..blocked()
    });
    env.advance(SECOND + TICK);
    assert_eq!(env.sweep().expired, 1);
    assert_eq!(env.state(expired), JobState::Expired);
    let last = env.enqueue(blocked());
    assert_eq!(states(env, [first, last]), [READY, BLOCKED]);
    assert_eq!(env.fate(cancelled), Fate::Forgotten);
    let counts = env.counts();
    assert_eq!((counts.totals.cancelled, counts.totals.expired), (1, 1));
    assert_eq!(counts.queues[0].blocked, 1);
    let worker = env.consumer();
    worker.done(&worker.claim_one());
    assert_eq!(ids(&worker.claim(9)), [last]);
}

pub fn a_dead_job_joins_its_lane_anew(env: &Env) {
    let [first, second] = pair(env, "lane");
    let third = env.enqueue(in_lane("lane"));
    let worker = env.consumer();
    worker.end(&worker.claim_one(), dead("no"));
    assert_eq!(env.info(first).lane.as_deref(), Some("lane"));
    let retry = || env.storage().retry_dead(&these(&[first]), 9).unwrap();
    assert_eq!(retry(), 1);
    assert_eq!(
        states(env, [first, second, third]),
        [BLOCKED, READY, BLOCKED]
    );
    // It has the smallest id of those that wait.
    worker.done(&worker.claim_one());
    assert_eq!(states(env, [first, third]), [READY, BLOCKED]);
    worker.end(&worker.claim_one(), dead("no"));
    worker.done(&worker.claim_one());
    assert_eq!(retry(), 1);
    assert_eq!(ids(&worker.claim(9)), [first]);
}

pub fn a_queue_that_is_paused_keeps_the_lane(env: &Env) {
    let change = |change| env.storage().set_queue(QUEUE, change).unwrap();
    let first = env.enqueue(in_lane("lane"));
    let second = env.enqueue(NewJob {
        queue: "another".into(),
        ..in_lane("lane")
    });
    change(QueueChange::Pause);
    let worker = env.consumer();
    let wanted = [want(QUEUE, &[KIND], 9), want("another", &[KIND], 9)];
    assert_eq!(ids(&worker.exchange(&[], &wanted).claimed), []);
    assert_eq!(states(env, [first, second]), [READY, BLOCKED]);
    change(QueueChange::Resume);
    assert_eq!(ids(&worker.exchange(&[], &wanted).claimed), [first]);
}

pub fn who_listens_is_woken_when_a_lane_is_handed_on(env: &Env) {
    let first = env.enqueue(in_lane("lane"));
    env.enqueue(NewJob {
        queue: "another".into(),
        ..in_lane("lane")
    });
    let notifier = Notifier::new();
    let _watching = env.storage().subscribe(&["another"], &notifier).unwrap();
    let listening = notifier.listen();
    env.storage().cancel(first).unwrap();
    assert_eq!(
        listening.wait_timeout(MINUTE),
        Ok(true),
        "the notifier was silent"
    );
}

/// What eight consumers have seen of the lanes.
#[derive(Default)]
struct Seen {
    /// The jobs of each lane in the order in which they began first, and which one runs.
    lanes: BTreeMap<String, (Vec<JobId>, Option<JobId>)>,
    wrong: Vec<String>,
}

impl Seen {
    fn begins(&mut self, lane: &str, claimed: &Claimed) {
        let (order, runs) = self.lanes.entry(lane.to_owned()).or_default();
        if let Some(other) = runs.replace(claimed.id) {
            let text = format!("{other} and {} of {lane} run at once", claimed.id);
            self.wrong.push(text);
        }
        if claimed.claim == 1 {
            order.push(claimed.id);
        }
    }

    fn leaves(&mut self, lane: &str) {
        self.lanes.entry(lane.to_owned()).or_default().1 = None;
    }
}

pub fn eight_consumers_never_run_two_jobs_of_a_lane(env: &Env) {
    const LANES: usize = 10;
    const EACH: usize = 40;
    let lane_of = |place: usize| format!("lane {}", place % LANES);
    let jobs: Vec<NewJob> = (0..LANES * EACH)
        .map(|place| NewJob {
            payload: lane_of(place).into_bytes(),
            ..in_lane(&lane_of(place))
        })
        .collect();
    env.enqueue_all(&jobs);
    let seen = Mutex::new(Seen::default());
    let left = AtomicUsize::new(LANES * EACH);
    let consume = || {
        let worker = env.consumer();
        while left.load(Ordering::Relaxed) > 0 && seen.lock().wrong.is_empty() {
            for claimed in worker.claim(3) {
                let lane = String::from_utf8(claimed.payload.clone()).unwrap();
                seen.lock().begins(&lane, &claimed);
                std::thread::yield_now();
                seen.lock().leaves(&lane);
                let verdict = match claimed.claim {
                    1 if claimed.id.0 % 5 == 0 => Verdict::Back,
                    _ => done(),
                };
                match worker.end(&claimed, verdict) {
                    Judged::Ended => _ = left.fetch_sub(1, Ordering::Relaxed),
                    Judged::Waits => {}
                    Judged::Gone => seen.lock().wrong.push("an end is gone".to_owned()),
                }
            }
        }
    };
    std::thread::scope(|scope| (0..8).for_each(|_| _ = scope.spawn(consume)));
    let Seen { lanes, wrong } = seen.into_inner();
    assert!(wrong.is_empty(), "{wrong:?}");
    assert_eq!(lanes.len(), LANES);
    for (lane, (order, _)) in lanes {
        assert!(order.is_sorted(), "{lane}: {order:?}");
        assert_eq!(order.len(), EACH, "{lane}");
    }
}
