//! What limits cost, and how exactly they are kept.
//!
//! - `try_acquire`: one uncontended call that succeeds, beside the bare `ratelimit` crate and
//!   `governor`. These two have no line of waiters, so a waiter may be overtaken there.
//! - `a task with`: what an option adds to submitting and joining a task. The gates are open.
//! - Printed at the end: how many acquisitions a limiter of 1,000 per second admits in five real
//!   seconds, beside the arithmetic: once for four threads, once for tasks. On a busy machine
//!   threads wake so late that a burst of 20 is not enough to catch up.
//!
//! `cargo bench --bench limits`, in `benches/criterion/`. Compare figures of one run only: the
//! machine's other work then affects all of them alike.

use criterion::{Criterion, Throughput};
use governor::Quota;
use millhand::limit::{AcquireError, Lanes};
use millhand::{CancelToken, RateLimiter, Retry};
use millhand::{Semaphore, TaskHandle, ThreadPool};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// A thousand million per second, and as many at once: a limiter that is always open.
const OPEN: u32 = 1_000_000_000;

fn open_bucket() -> RateLimiter {
    let bucket = RateLimiter::token_bucket(OPEN, SECOND).burst(OPEN);
    bucket.build().unwrap()
}

/// A hundred million per second, in a log of 10,000 entries.
fn open_window() -> RateLimiter {
    let window = RateLimiter::sliding_window(10_000, Duration::from_micros(100));
    window.build().unwrap()
}

fn try_acquire(c: &mut Criterion) {
    let mut group = c.benchmark_group("try_acquire");
    group.bench_function("a clock's reading", |b| b.iter(Instant::now));

    let bare = ratelimit::Ratelimiter::builder(u64::from(OPEN));
    let bare = bare.max_tokens(OPEN.into()).initial_available(OPEN.into());
    let bare = bare.build().unwrap();
    group.bench_function("bare ratelimit", |b| b.iter(|| bare.try_wait().unwrap()));

    let open = NonZeroU32::new(OPEN).unwrap();
    let governor = governor::RateLimiter::direct(Quota::per_second(open));
    group.bench_function("governor", |b| b.iter(|| governor.check().unwrap()));

    let bucket = open_bucket();
    group.bench_function("token bucket", |b| {
        b.iter(|| bucket.try_acquire(1).unwrap());
    });
    let window = open_window();
    group.bench_function("sliding window", |b| {
        b.iter(|| window.try_acquire(1).unwrap());
    });
    let two = RateLimiter::sliding_window(10_000, Duration::from_micros(100))
        .and(20_000, Duration::from_micros(250))
        .build()
        .unwrap();
    group.bench_function("sliding window, two rates", |b| {
        b.iter(|| two.try_acquire(1).unwrap());
    });
    let semaphore = Semaphore::new(1).unwrap();
    group.bench_function("semaphore, and back", |b| {
        b.iter(|| drop(semaphore.try_acquire().unwrap()));
    });
}

const BATCH: u64 = 1_000;

/// Submits a batch and joins it. A figure is the time for the thousand tasks.
fn batch<T: Send + 'static>(submit: impl Fn() -> TaskHandle<T>, joined: impl Fn()) {
    let handles: Vec<_> = (0..BATCH).map(|_| submit()).collect();
    joined();
    for handle in handles {
        handle.join().unwrap();
    }
}

/// One worker, one producer.
fn a_task_with(c: &mut Criterion) {
    let mut group = c.benchmark_group("a task with");
    group.throughput(Throughput::Elements(BATCH));
    let pool = ThreadPool::new(1).unwrap();
    group.bench_function("nothing", |b| {
        b.iter(|| batch(|| pool.submit(|| 7_u64), || ()));
    });

    let limiter = open_bucket();
    let semaphore = Semaphore::new(1_000_000).unwrap();
    let lanes = Lanes::new();
    let task = || pool.task();
    let templates = [
        ("a name", task().name("named")),
        ("a priority", task().priority(1)),
        ("expires", task().expires(HOUR)),
        ("total_timeout", task().deadline(HOUR)),
        ("attempt_timeout", task().attempt_timeout(HOUR)),
        ("a semaphore", task().gate(&semaphore)),
        ("a token bucket", task().gate(&limiter)),
        ("a sliding window", task().gate(&open_window())),
        ("a lane's key", task().gate(&lanes.key("a key"))),
        (
            "a semaphore, a bucket",
            task().gate(&semaphore).gate(&limiter),
        ),
    ];
    for (name, template) in templates {
        group.bench_function(name, |b| {
            b.iter(|| batch(|| template.submit(|| 7_u64), || ()));
        });
    }
    let retried = task().retry::<&str>(Retry::default());
    group.bench_function("retry, unused", |b| {
        b.iter(|| batch(|| retried.submit(|| Ok(7_u64)), || ()));
    });

    // The semaphore is shut until all tasks are submitted, so nearly all of them wait in its line.
    let closed = Semaphore::new(1).unwrap();
    let through_the_line = task().gate(&closed);
    group.bench_function("a semaphore's line", |b| {
        b.iter(|| {
            let held = Mutex::new(Some(closed.acquire().unwrap()));
            let submit = || through_the_line.submit(|| 7_u64);
            batch(submit, || drop(held.lock().unwrap().take()));
        });
    });
}

const RATE: u32 = 1_000;
const CLAIMANTS: usize = 4;

/// The limiter starts empty, so that only the rate admits anything. The burst lets threads that
/// wake late catch up.
fn a_thousand_a_second() -> RateLimiter {
    let bucket = RateLimiter::token_bucket(RATE, SECOND).burst(20).initial(0);
    bucket.build().unwrap()
}

fn print(what: &str, accepted: usize, time: Duration, more: &str) {
    let arithmetic = f64::from(RATE) * time.as_secs_f64();
    let off = 100.0 * (accepted as f64 / arithmetic - 1.0);
    println!("{what:<28}{accepted:>10}{arithmetic:>12.0}{off:>+10.2} %{more}");
}

/// Several threads acquire from one limiter in a loop. The order in which they record their
/// acquisitions shows how far one thread gets ahead of another.
fn claimed_by_threads(time: Duration) {
    let limiter = a_thousand_a_second();
    let order = Mutex::new(Vec::new());
    let together = Barrier::new(CLAIMANTS);
    let end = Instant::now() + time;
    std::thread::scope(|s| {
        for claimant in 0..CLAIMANTS {
            let (limiter, order, together) = (&limiter, &order, &together);
            s.spawn(move || {
                together.wait();
                loop {
                    let left = end.saturating_duration_since(Instant::now());
                    match limiter.acquire_timeout(1, left) {
                        Ok(()) => order.lock().unwrap().push(claimant),
                        Err(AcquireError::NotYet { .. }) => return,
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
    });
    let order = order.into_inner().unwrap();
    let mut counts = [0_usize; CLAIMANTS];
    let mut lead = 0;
    for claimant in &order {
        counts[*claimant] += 1;
        lead = lead.max(counts.iter().max().unwrap() - counts.iter().min().unwrap());
    }
    let more = format!("   {counts:?}, the greatest lead {lead}");
    print("four threads", order.len(), time, &more);
}

/// More tasks than the limiter admits in that time. The rest is cancelled at the end.
fn claimed_by_tasks(time: Duration) {
    let pool = ThreadPool::new(CLAIMANTS).unwrap();
    let rest = CancelToken::new();
    let task = pool.task().gate(&a_thousand_a_second()).token(&rest);
    let started = Arc::new(AtomicU32::new(0));
    let end = Instant::now() + time;
    for _ in 0..RATE * (1 + time.as_secs() as u32) {
        let started = started.clone();
        let count = move || {
            if Instant::now() < end {
                started.fetch_add(1, Ordering::Relaxed);
            }
        };
        task.execute(count);
    }
    std::thread::sleep(end.saturating_duration_since(Instant::now()));
    rest.cancel();
    pool.wait_idle().unwrap();
    let started = started.load(Ordering::Relaxed) as usize;
    print("tasks on a pool of four", started, time, "");
}

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1200))
        .sample_size(20)
        .configure_from_args();
    try_acquire(&mut criterion);
    a_task_with(&mut criterion);
    criterion.final_summary();

    // `cargo test` leaves this out: it takes ten seconds.
    if std::env::args().any(|arg| arg == "--bench") {
        let time = 5 * SECOND;
        println!("\na token bucket of {RATE} per second for {time:?}");
        println!(
            "{:<28}{:>10}{:>12}{:>12}",
            "", "passed", "arithmetic", "off"
        );
        claimed_by_threads(time);
        claimed_by_tasks(time);
    }
}
