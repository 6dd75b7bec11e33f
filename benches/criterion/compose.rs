//! What it costs to compose tasks: chains of a hundred thousand `then`s (run, cancelled from
//! their end, dropped unfinished with their pool), and waiting for as many tasks at once.
//!
//! `cargo bench --bench compose`, in `benches/criterion/`. Compare figures of one run only: the
//! machine's other work then affects all of them alike.

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use millhand::task::Promise;
use millhand::{TaskHandle, ThreadPool, as_completed, join_all, promise, when_all};
use std::hint::black_box;
use std::time::Duration;

/// The number of links of a chain, or of tasks that are waited for at once.
fn size() -> u64 {
    // `cargo test` runs this once, with few.
    if std::env::args().any(|arg| arg == "--bench") {
        100_000
    } else {
        100
    }
}

/// A chain of continuations behind a promise. None of them has run.
struct Chain {
    first: Promise<u64>,
    last: TaskHandle<u64>,
}

impl Chain {
    fn new(pool: &ThreadPool) -> Self {
        let (first, handle) = promise();
        let mut last = pool.task().submit_after([handle], |[n]| n.unwrap_or(0));
        for _ in 1..size() {
            last = last.then(|n| n.unwrap_or(0) + 1);
        }
        Self { first, last }
    }
}

fn pool() -> ThreadPool {
    ThreadPool::new(1).unwrap()
}

fn chains(c: &mut Criterion) {
    let mut group = c.benchmark_group("chain");
    group.throughput(Throughput::Elements(size()));
    let name = |what| BenchmarkId::new(what, size());
    let one = BatchSize::PerIteration;
    let pool = pool();
    group.bench_function(name("submitted and run"), |b| {
        b.iter(|| {
            let Chain { first, last } = Chain::new(&pool);
            first.complete(0).unwrap();
            black_box(last.join().unwrap())
        });
    });
    group.bench_function(name("run"), |b| {
        let run = |Chain { first, last }: Chain| {
            first.complete(0).unwrap();
            last.join().unwrap()
        };
        b.iter_batched(|| Chain::new(&pool), run, one);
    });
    group.bench_function(name("cancelled"), |b| {
        let cancel = |Chain { first, last }: Chain| {
            last.cancel();
            assert!(first.is_cancelled());
        };
        b.iter_batched(|| Chain::new(&pool), cancel, one);
    });
    group.bench_function(name("dropped unfinished"), |b| {
        let build = || {
            let pool = self::pool();
            let Chain { first, last } = Chain::new(&pool);
            drop(last);
            (pool, first)
        };
        let let_go = |(pool, first): (ThreadPool, Promise<u64>)| {
            drop(pool);
            assert!(first.is_cancelled());
        };
        b.iter_batched(build, let_go, one);
    });
    group.finish();
}

fn many(c: &mut Criterion) {
    let mut group = c.benchmark_group("many");
    group.throughput(Throughput::Elements(size()));
    let name = |what| BenchmarkId::new(what, size());
    let pool = pool();
    let submit = || (0..size()).map(|n| pool.submit(move || n));
    group.bench_function(name("submit, and a loop of joins"), |b| {
        b.iter(|| {
            let handles: Vec<_> = submit().collect();
            let sum: u64 = handles
                .into_iter()
                .map(|handle| handle.join().unwrap())
                .sum();
            black_box(sum)
        });
    });
    group.bench_function(name("submit, join_all"), |b| {
        b.iter(|| black_box(join_all(submit().collect::<Vec<_>>())));
    });
    group.bench_function(name("submit, as_completed"), |b| {
        b.iter(|| as_completed(submit()).for_each(|outcome| drop(black_box(outcome))));
    });
    group.bench_function(name("submit, when_all"), |b| {
        b.iter(|| {
            let all = when_all(submit().collect::<Vec<_>>());
            black_box(all.then(|all| all.len()).join().unwrap())
        });
    });
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    chains(&mut criterion);
    many(&mut criterion);
    criterion.final_summary();
}
