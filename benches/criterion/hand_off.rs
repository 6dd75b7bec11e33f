//! What it costs to hand a task to a worker and its result back. Beside it, the same on a bare
//! crossbeam channel of boxed closures with the `oneshot` crate for results: this design cannot
//! be faster than that.
//!
//! `cargo bench --bench hand_off`, in `benches/criterion/`. Compare figures of one run only: the
//! machine's other work then affects all of them alike.

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use crossbeam_channel::{Sender, unbounded};
use std::hint::black_box;
use std::thread::JoinHandle;

/// The least that does the same: threads that run the boxed closures of one channel.
struct Bare {
    sender: Option<Sender<Box<dyn FnOnce() + Send>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Bare {
    fn new(workers: usize) -> Self {
        let (sender, receiver) = unbounded::<Box<dyn FnOnce() + Send>>();
        let threads = (0..workers)
            .map(|_| {
                let receiver = receiver.clone();
                std::thread::spawn(move || receiver.iter().for_each(|task| task()))
            })
            .collect();
        Self {
            sender: Some(sender),
            threads,
        }
    }

    fn execute(&self, f: impl FnOnce() + Send + 'static) {
        self.sender.as_ref().unwrap().send(Box::new(f)).unwrap();
    }

    fn submit<T: Send + 'static>(
        &self,
        f: impl FnOnce() -> T + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (put, take) = oneshot::channel();
        self.execute(move || drop(put.send(f())));
        take
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.sender = None;
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

const BATCH: u64 = 10_000;

/// What a closure carries: 24 bytes, as much as a `String`. A closure that carries nothing is
/// boxed without an allocation.
type Words = [u64; 3];

fn words() -> Words {
    black_box([1, 2, 3])
}

fn use_up(words: Words) {
    black_box(words);
}

/// One worker and one producer: the time until a batch of empty tasks has run.
fn execute(c: &mut Criterion) {
    let mut group = c.benchmark_group("execute");
    group.throughput(Throughput::Elements(BATCH));
    let words = words();
    let bare = Bare::new(1);
    group.bench_function("bare channel", |b| {
        b.iter(|| {
            (1..BATCH).for_each(|_| bare.execute(move || use_up(words)));
            bare.submit(|| ()).recv().unwrap();
        });
    });
    let pool = millhand::ThreadPool::new(1).unwrap();
    group.bench_function("millhand", |b| {
        b.iter(|| {
            (1..BATCH).for_each(|_| pool.execute(move || use_up(words)));
            pool.submit(|| ()).join().unwrap();
        });
    });
}

/// Submits a batch of tasks with a 24-byte closure each, then joins them all.
fn submit_and_join(c: &mut Criterion) {
    let mut group = c.benchmark_group("submit + join");
    group.throughput(Throughput::Elements(BATCH));
    let words = words();
    let bare = Bare::new(1);
    group.bench_function("bare channel", |b| {
        b.iter_batched(
            || Vec::with_capacity(BATCH as usize),
            |mut handles| {
                handles.extend((0..BATCH).map(|_| bare.submit(move || words[0])));
                handles
                    .drain(..)
                    .map(|handle| handle.recv().unwrap())
                    .sum::<u64>()
            },
            BatchSize::LargeInput,
        );
    });
    let pool = millhand::ThreadPool::new(1).unwrap();
    group.bench_function("millhand", |b| {
        b.iter_batched(
            || Vec::with_capacity(BATCH as usize),
            |mut handles| {
                handles.extend((0..BATCH).map(|_| pool.submit(move || words[0])));
                handles
                    .drain(..)
                    .map(|handle| handle.join().unwrap())
                    .sum::<u64>()
            },
            BatchSize::LargeInput,
        );
    });
}

/// One task at a time: submitted, then joined.
fn round_trip(c: &mut Criterion) {
    let mut group = c.benchmark_group("round trip");
    let words = words();
    let bare = Bare::new(1);
    group.bench_function("bare channel", |b| {
        b.iter(|| bare.submit(move || words[0]).recv().unwrap());
    });
    let pool = millhand::ThreadPool::new(1).unwrap();
    group.bench_function("millhand", |b| {
        b.iter(|| pool.submit(move || words[0]).join().unwrap());
    });
}

/// Four threads submit and join a quarter of the batch each, on a pool of one worker and on a
/// pool of two.
fn four_producers(c: &mut Criterion) {
    let mut group = c.benchmark_group("four producers");
    let words = words();
    group.throughput(Throughput::Elements(BATCH));
    for workers in [1, 2] {
        let bare = Bare::new(workers);
        group.bench_function(BenchmarkId::new("bare channel", workers), |b| {
            b.iter(|| {
                from_four(|| {
                    let handles: Vec<_> = (0..BATCH / 4)
                        .map(|_| bare.submit(move || words[0]))
                        .collect();
                    handles
                        .into_iter()
                        .map(|handle| handle.recv().unwrap())
                        .sum()
                });
            });
        });
        let pool = millhand::ThreadPool::new(workers).unwrap();
        group.bench_function(BenchmarkId::new("millhand", workers), |b| {
            b.iter(|| {
                from_four(|| {
                    let handles: Vec<_> = (0..BATCH / 4)
                        .map(|_| pool.submit(move || words[0]))
                        .collect();
                    handles
                        .into_iter()
                        .map(|handle| handle.join().unwrap())
                        .sum()
                });
            });
        });
    }
}

fn from_four(produce: impl Fn() -> u64 + Sync) {
    std::thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| black_box(produce()));
        }
    });
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    execute(&mut criterion);
    submit_and_join(&mut criterion);
    round_trip(&mut criterion);
    four_producers(&mut criterion);
    criterion.final_summary();
}
