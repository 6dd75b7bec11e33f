//! Many at once: cases 89 to 91.
//!
//! Layer: jobs.

use crate::jobs::conformance::env::{
    Env, KIND, QUEUE, SECOND, dead, done, end_of, ids, jobs, retry, these, want,
};
use crate::jobs::{Claimed, Filter, JobId, Judged, Notifier, QueueCounts, Totals, Verdict};
use crate::task::CancelOutcome;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const PRODUCERS: usize = 8;
const CONSUMERS: usize = 8;
const BATCHES: usize = 25;
const BATCH: usize = 100;
const ALL: usize = PRODUCERS * BATCHES * BATCH;

/// What the threads of a case share.
struct Plant<'a> {
    env: &'a Env,
    notifier: Notifier,
    /// How many jobs have not ended, of those stored and those that are to be stored.
    left: AtomicUsize,
}

impl Plant<'_> {
    fn ended(&self, count: usize) {
        if self.left.fetch_sub(count, Ordering::Relaxed) == count {
            self.notifier.notify();
        }
    }

    /// Stores jobs, and cancels those that `cancels` says. Returns which ended by that.
    fn produce(&self, cancels: fn(JobId) -> bool) -> Vec<JobId> {
        let mut ended = Vec::new();
        for _ in 0..BATCHES {
            let stored = self.env.enqueue_all(&jobs(BATCH));
            for id in stored.into_iter().filter(|id| cancels(*id)) {
                if self.env.storage().cancel(id).unwrap() == CancelOutcome::Settled {
                    ended.push(id);
                }
            }
        }
        self.ended(ended.len());
        ended
    }

    /// Claims jobs and ends them until all have ended. Returns which ended by that.
    fn consume(&self, verdict: fn(&Claimed) -> Verdict) -> Vec<JobId> {
        let worker = self.env.consumer();
        let (mut ends, mut all) = (Vec::new(), Vec::new());
        loop {
            let listening = self.notifier.listen();
            let exchanged = worker.exchange(&ends, &[want(QUEUE, &[KIND], 50)]);
            let before = all.len();
            for (end, judged) in ends.iter().zip(exchanged.judged) {
                match judged {
                    Judged::Ended => all.push(end.id),
                    Judged::Waits => {}
                    Judged::Gone => panic!("{end:?} is gone"),
                }
            }
            self.ended(all.len() - before);
            let claimed = exchanged.claimed.iter();
            ends = claimed.map(|it| end_of(it, verdict(it))).collect();
            if ends.is_empty() {
                if self.left.load(Ordering::Relaxed) == 0 {
                    return all;
                }
                listening.wait_timeout(SECOND).unwrap();
            }
        }
    }
}

/// Stores many jobs while others consume them. Each ends once.
fn run(env: &Env, cancels: fn(JobId) -> bool, verdict: fn(&Claimed) -> Verdict) -> Totals {
    let plant = &Plant {
        env,
        notifier: Notifier::new(),
        left: AtomicUsize::new(ALL),
    };
    let _watching = env.storage().subscribe(&[QUEUE], &plant.notifier).unwrap();
    let mut ended: Vec<JobId> = std::thread::scope(|scope| {
        let consumers = (0..CONSUMERS).map(|_| scope.spawn(|| plant.consume(verdict)));
        let producers = (0..PRODUCERS).map(|_| scope.spawn(|| plant.produce(cancels)));
        let threads: Vec<_> = consumers.chain(producers).collect();
        let ended = threads.into_iter().flat_map(|it| it.join().unwrap());
        ended.collect()
    });
    ended.sort();
    ended.dedup();
    assert_eq!(ended.len(), ALL);
    let counts = env.counts();
    let live = |it: &QueueCounts| it.scheduled + it.blocked + it.ready + it.running;
    assert_eq!(counts.queues.iter().map(live).sum::<u64>(), 0);
    counts.totals
}

pub fn twenty_thousand_jobs_end_once_each(env: &Env) {
    let totals = run(env, |_| false, |_| done());
    let all = Totals {
        done: ALL.try_into().unwrap(),
        ..Totals::default()
    };
    assert_eq!(totals, all);
}

pub fn twenty_thousand_jobs_with_failures_and_cancels_end_once_each(env: &Env) {
    let verdict = |claimed: &Claimed| match claimed.id.0 % 20 {
        0 if claimed.failures < 2 => retry(Duration::ZERO, "once more"),
        1 => dead("no"),
        2 => Verdict::Cancelled,
        3 if claimed.claim < 2 => Verdict::Back,
        _ => done(),
    };
    let totals = run(env, |id| id.0 % 20 == 4, verdict);
    let ended = totals.done + totals.dead + totals.cancelled;
    assert_eq!(ended, u64::try_from(ALL).unwrap());
    let kept = env.list(&Filter::default());
    assert_eq!(u64::try_from(kept.len()).unwrap(), totals.dead);
    assert!(kept.iter().all(|info| info.id.0 % 20 == 1));
    assert_eq!(totals.retried % 2, 0);
}

pub fn what_is_swept_and_purged_and_listed_meanwhile_disturbs_nothing(env: &Env) {
    const ROUNDS: usize = 50;
    let worker = env.consumer();
    let mut stored: Vec<JobId> = std::thread::scope(|scope| {
        let produce = || -> Vec<JobId> {
            let all = (0..ROUNDS).flat_map(|_| env.enqueue_all(&jobs(10)));
            all.collect()
        };
        let producers = [scope.spawn(produce), scope.spawn(produce)];
        scope.spawn(|| (0..ROUNDS).for_each(|_| _ = env.list(&Filter::default())));
        scope.spawn(|| (0..ROUNDS).for_each(|_| _ = env.sweep()));
        scope.spawn(|| {
            for _ in 0..ROUNDS {
                let doomed = env.enqueue_all(&jobs(3));
                assert_eq!(env.storage().purge(&these(&doomed), 9).unwrap(), 3);
                assert_eq!(env.storage().check(false).unwrap(), []);
            }
        });
        let stored = producers.into_iter().flat_map(|it| it.join().unwrap());
        stored.collect()
    });
    let mut claimed = ids(&worker.claim(10_000));
    claimed.sort();
    stored.sort();
    assert_eq!(claimed, stored);
}
