//! Statistics: what counts where, that no count falls, and that at rest all is as the handles say.

use crate::handle::keep_busy;
use crate::support::must_recv;
use millhand::observe::Stats;
use millhand::task::{OutcomeKind, TaskId};
use millhand::testing::ManualClock;
use millhand::{CancelToken, OnFull, Retry, Semaphore, Shutdown, TaskError, ThreadPool};
use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc;
use std::time::Duration;

/// The totals, by name.
pub(crate) fn totals(stats: &Stats) -> [(&'static str, u64); 11] {
    [
        ("submitted", stats.submitted),
        ("succeeded", stats.succeeded),
        ("failed", stats.failed),
        ("panicked", stats.panicked),
        ("cancelled", stats.cancelled),
        ("expired", stats.expired),
        ("timed_out", stats.timed_out),
        ("rejected", stats.rejected),
        ("retries", stats.retries),
        ("unread", stats.unread),
        ("spares_started", stats.spares_started),
    ]
}

fn outcomes(stats: &Stats) -> [u64; 7] {
    let all = totals(stats);
    std::array::from_fn(|at| all[at + 1].1)
}

#[test]
fn a_task_counts_before_its_outcome_can_be_seen() {
    let pool = ThreadPool::new(2).unwrap();
    for n in 1..=2_000 {
        match n % 4 {
            0 => pool.submit(|| ()).join().unwrap(),
            1 => pool.task().name("named").submit(|| ()).join().unwrap(),
            2 => pool.task().priority(1).submit(|| ()).join().unwrap(),
            _ => pool.submit(|| ()).map(|()| ()).join().unwrap(),
        }
        let more = u64::from(n >= 3) * ((n + 1) / 4);
        let stats = pool.stats();
        assert_eq!(
            (stats.submitted, stats.succeeded),
            (n + more, n + more),
            "{n}"
        );
    }
    let before = pool.stats();
    let failed = pool.task().fallible().submit(|| Err::<(), _>("no"));
    failed.join_ok().unwrap_err();
    pool.submit(|| -> () { panic!("no") }).join().unwrap_err();
    let busy = [keep_busy(&pool), keep_busy(&pool)];
    let queued = pool.submit(|| ());
    queued.cancel();
    let stats = pool.stats();
    assert_eq!(stats.failed, before.failed + 1);
    assert_eq!(stats.panicked, before.panicked + 1);
    assert_eq!(stats.cancelled, before.cancelled + 1);
    drop(busy);
}

#[test]
fn each_place_where_a_task_waits_has_its_number() {
    let clock = ManualClock::new();
    let pool = ThreadPool::builder()
        .workers(1)
        .clock(&clock)
        .build()
        .unwrap();
    let (promise, promised) = pool.promise::<()>();
    let one = Semaphore::new(1).unwrap();
    let taken = one.acquire().unwrap();
    let second = Duration::from_secs(1);
    let waiting = promised.map(|()| ());
    let delayed = pool.task().delay(second).submit(|| ());
    let gated = pool.task().gate(&one).submit(|| ());
    while pool.stats().gated == 0 {
        std::thread::yield_now();
    }
    let mut attempts = 0;
    let retried = pool.task().retry(Retry::fixed(1, second)).submit(move || {
        attempts += 1;
        if attempts == 1 { Err("no") } else { Ok(()) }
    });
    while pool.stats().delayed < 2 {
        std::thread::yield_now();
    }
    let busy = keep_busy(&pool);
    let queued = [pool.submit(|| ()), pool.submit(|| ())];
    let stats = pool.stats();
    let present = [
        stats.queued,
        stats.delayed,
        stats.gated,
        stats.waiting,
        stats.running,
    ];
    assert_eq!(present, [2, 2, 1, 1, 1]);
    assert_eq!(stats.pending(), 7);
    assert_eq!(
        (stats.workers, stats.threads, stats.busy, stats.idle),
        (1, 1, 1, 0)
    );
    clock.advance(second);
    while pool.stats().delayed > 0 {
        std::thread::yield_now();
    }
    assert_eq!(pool.stats().queued, 4);
    assert_eq!(pool.stats().uptime, second);
    drop((busy, taken));
    promise.complete(()).unwrap();
    for handle in queued.into_iter().chain([waiting, delayed, gated]) {
        handle.join().unwrap();
    }
    retried.join_ok().unwrap();
    pool.wait_idle().unwrap();
    let stats = pool.stats();
    let present = [
        stats.queued,
        stats.delayed,
        stats.gated,
        stats.waiting,
        stats.running,
    ];
    assert_eq!(present, [0; 5]);
    assert_eq!((stats.pending(), stats.retries), (0, 1));
    assert_eq!(stats.succeeded, 7);
}

#[test]
fn a_body_that_waits_is_counted_as_blocked_and_its_spare_as_started() {
    let pool = ThreadPool::new(1).unwrap();
    let (tell, told) = mpsc::channel();
    let token = CancelToken::new();
    let waits = token.clone();
    let blocked = pool.submit(move || {
        tell.send(()).unwrap();
        millhand::blocking(|| while !waits.is_cancelled() {});
    });
    must_recv(&told);
    pool.submit(|| ()).join().unwrap(); // on a spare
    let stats = pool.stats();
    assert_eq!(
        (stats.blocked, stats.spares_started, stats.running),
        (1, 1, 1)
    );
    assert!(stats.spares() <= 1);
    token.cancel();
    blocked.join().unwrap();
}

#[test]
fn a_closure_that_is_given_back_counts_nowhere() {
    let pool = ThreadPool::builder()
        .workers(1)
        .queue_capacity(1)
        .on_full(OnFull::Reject);
    let pool = pool.build().unwrap();
    let busy = keep_busy(&pool);
    let queued = pool.submit(|| ());
    let before = pool.stats();
    pool.try_submit(|| ()).unwrap_err();
    pool.try_execute(|| ()).unwrap_err();
    assert_eq!(totals(&pool.stats()), totals(&before));
    assert!(pool.submit(|| ()).join().unwrap_err().is_rejected());
    pool.execute(|| ());
    let stats = pool.stats();
    assert_eq!((stats.rejected, stats.submitted), (2, before.submitted + 2));
    assert_eq!(stats.unread, 1);
    drop(busy);
    queued.join().unwrap();
    pool.close();
    pool.try_submit(|| ()).unwrap_err();
    let after = pool.stats();
    assert_eq!((after.rejected, after.submitted), (2, before.submitted + 2));
}

#[test]
fn the_table_shows_all_of_it() {
    let pool = ThreadPool::builder()
        .workers(3)
        .name_prefix("resize")
        .track_queue(true);
    let pool = pool.build().unwrap();
    let busy: Vec<_> = (0..3).map(|_| keep_busy(&pool)).collect();
    let queued = pool.submit(|| ());
    let stats = pool.stats();
    let table = stats.to_string();
    assert!(table.starts_with("pool `resize`, up "), "{table}");
    for (name, n) in totals(&stats) {
        let line = format!("{:<14} {n:>12}", name.replace('_', " "));
        assert!(table.contains(&line), "{line:?} in {table}");
    }
    assert!(
        table.contains("the oldest queued task has waited for"),
        "{table}"
    );
    drop(busy);
    queued.join().unwrap();
}

#[test]
fn the_oldest_queued_task_is_known_to_a_pool_that_tracks_its_queue() {
    let clock = ManualClock::new();
    let pool = ThreadPool::builder()
        .workers(1)
        .clock(&clock)
        .track_queue(true);
    let pool = pool.build().unwrap();
    assert_eq!(pool.stats().oldest_queued, None);
    let busy = keep_busy(&pool);
    let first = pool.submit(|| ());
    clock.advance(Duration::from_secs(5));
    let second = pool.submit(|| ());
    clock.advance(Duration::from_secs(2));
    assert_eq!(pool.stats().oldest_queued, Some(Duration::from_secs(7)));
    first.cancel();
    assert_eq!(pool.stats().oldest_queued, Some(Duration::from_secs(2)));
    drop(busy);
    second.join().unwrap();
}

/// What the handles of one thread say.
type Seen = HashMap<OutcomeKind, u64>;

/// Submits tasks of every kind, and returns what became of them.
fn storm(
    pool: &ThreadPool,
    gate: &Semaphore,
    rounds: usize,
    settled: &Mutex<HashSet<TaskId>>,
) -> Seen {
    let mut seen = Seen::new();
    let ms = Duration::from_millis(1);
    for n in 0..rounds {
        let handle = match n % 12 {
            0 => pool.submit(|| Ok::<(), &str>(())),
            1 => pool.task().fallible().submit(|| Err::<(), _>("no")),
            2 => pool.submit(|| -> Result<(), &str> { panic!("no") }),
            3 => pool
                .task()
                .name("retried")
                .retry(Retry::fixed(1, Duration::ZERO))
                .submit(|| Err("no")),
            4 => pool.task().gate(gate).submit(|| Ok(())),
            5 => pool.task().delay(ms).submit(|| Ok(())),
            6 => pool
                .task()
                .gate(gate)
                .expires(Duration::from_nanos(1))
                .submit(|| Ok(())),
            7 => pool.task().total_timeout(ms / 4).fallible().submit(|| {
                while !millhand::is_cancelled() {
                    std::hint::spin_loop();
                }
                Err("stopped")
            }),
            8 => pool.submit(|| Ok(())).map(|ok| ok),
            9 => pool.task().expires(Duration::ZERO).submit(|| Ok(())),
            10 => pool.task().priority(-1).submit(|| Ok(())),
            _ => pool.submit(|| {
                let inner = millhand::current().unwrap().pool().submit(|| ());
                inner
                    .join()
                    .map(|()| "inner")
                    .map_err(|_| "inner")
                    .map(|_| ())
            }),
        };
        if n % 7 == 0 {
            handle.cancel();
        }
        let id = handle.id();
        let outcome = handle.join();
        settled.lock().unwrap().insert(id);
        let kind = match (outcome, n % 12) {
            (Ok(Err(_)), 1 | 3 | 7) => OutcomeKind::Failed,
            (Ok(_), _) => OutcomeKind::Succeeded,
            (Err(TaskError::Panicked(_)), _) => OutcomeKind::Panicked,
            (Err(TaskError::Cancelled(_)), _) => OutcomeKind::Cancelled,
            (Err(TaskError::Expired(_)), _) => OutcomeKind::Expired,
            (Err(TaskError::TimedOut), _) => OutcomeKind::TimedOut,
            (Err(TaskError::Rejected(_)), _) => OutcomeKind::Rejected,
            (other, _) => panic!("{other:?}"),
        };
        *seen.entry(kind).or_default() += 1;
    }
    seen
}

#[test]
fn no_count_falls_and_at_rest_all_are_as_the_handles_say() {
    let pool = ThreadPool::builder().workers(2).track_queue(true);
    let pool = pool.build().unwrap();
    let settled: Mutex<HashSet<TaskId>> = Mutex::default();
    let gate = Semaphore::new(1).unwrap();
    let is_over = AtomicBool::new(false);
    let seen: Mutex<Seen> = Mutex::default();
    let samples = std::thread::scope(|s| {
        let sampler = s.spawn(|| {
            let mut last = totals(&pool.stats());
            let mut samples = 0;
            while !is_over.load(SeqCst) {
                let stats = pool.stats();
                let now = totals(&stats);
                for ((name, before), (_, now)) in last.iter().zip(&now) {
                    assert!(now >= before, "{name} fell from {before} to {now}");
                }
                let ended: u64 = outcomes(&stats).iter().sum();
                assert!(ended <= stats.submitted, "{stats}");
                last = now;
                samples += 1;
                if samples % 10 == 0 {
                    let before = settled.lock().unwrap().clone();
                    let table = pool.tasks();
                    let mut ids = table.rows().iter().filter_map(|row| row.id);
                    assert!(ids.all(|id| !before.contains(&id)), "{table}");
                }
                // At least a thousand in a second, if the machine lets it.
                std::thread::yield_now();
            }
            samples
        });
        let producers: Vec<_> = (0..3)
            .map(|_| {
                s.spawn(|| {
                    let mine = storm(&pool, &gate, 600, &settled);
                    for (kind, n) in mine {
                        *seen.lock().unwrap().entry(kind).or_default() += n;
                    }
                })
            })
            .collect();
        producers
            .into_iter()
            .for_each(|producer| producer.join().unwrap());
        pool.wait_idle().unwrap();
        is_over.store(true, SeqCst);
        sampler.join().unwrap()
    });
    assert!(samples > 100, "{samples}");
    let stats = pool.stats();
    let seen = seen.into_inner().unwrap();
    let of = |kind| seen.get(&kind).copied().unwrap_or(0);
    assert_eq!(stats.failed, of(OutcomeKind::Failed));
    assert_eq!(stats.panicked, of(OutcomeKind::Panicked));
    assert_eq!(stats.expired, of(OutcomeKind::Expired));
    assert_eq!(stats.timed_out, of(OutcomeKind::TimedOut));
    assert_eq!(stats.rejected, of(OutcomeKind::Rejected));
    for kind in [
        OutcomeKind::Succeeded,
        OutcomeKind::Failed,
        OutcomeKind::Panicked,
        OutcomeKind::Cancelled,
        OutcomeKind::Expired,
        OutcomeKind::TimedOut,
        OutcomeKind::Rejected,
    ] {
        assert!(of(kind) > 0, "{kind:?} did not come about");
    }
    assert_eq!(stats.pending(), 0);
    let report = pool.shutdown(Shutdown::drain()).unwrap();
    assert_eq!(report.succeeded(), stats.succeeded);
    assert_eq!(report.cancelled(), stats.cancelled);
}
