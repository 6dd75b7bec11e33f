//! What it costs to look into a pool: nothing on, a watchdog and histograms, names, observers,
//! tracing. Prints a table: for each row the medians of the nanoseconds per task, and the ratio to
//! the first row. In each round all rows take turns, so the machine's other work affects them alike.
//!
//! `cargo bench --bench observed`, in `benches/criterion/`. With `--test` it makes one short round.

use millhand::observe::{Buffered, Event, Metrics, Tracing};
use millhand::pool::PoolBuilder;
use millhand::{TaskBuilder, ThreadPool};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tracing_subscriber::prelude::*;

const LONG: Duration = Duration::from_secs(3600);

struct Row {
    name: &'static str,
    pool: ThreadPool,
    template: fn(&ThreadPool) -> TaskBuilder,
    /// Whether a subscriber listens while it is measured.
    subscribes: bool,
    execute: Vec<f64>,
    submit: Vec<f64>,
}

/// The sum that the bodies count up.
static SUM: AtomicU64 = AtomicU64::new(0);

fn body(words: [u64; 3]) {
    SUM.fetch_add(words[0] + words[2], Relaxed);
}

fn row(
    name: &'static str,
    change: fn(PoolBuilder) -> PoolBuilder,
    template: fn(&ThreadPool) -> TaskBuilder,
) -> Row {
    let pool = change(ThreadPool::builder().workers(1)).build().unwrap();
    let subscribes = name.contains("subscriber");
    let (execute, submit) = (Vec::new(), Vec::new());
    Row {
        name,
        pool,
        template,
        subscribes,
        execute,
        submit,
    }
}

fn plain(pool: &ThreadPool) -> TaskBuilder {
    pool.task()
}

fn named(pool: &ThreadPool) -> TaskBuilder {
    pool.task().name("bench")
}

fn watched(builder: PoolBuilder) -> PoolBuilder {
    builder.slow_task(LONG).stalled(LONG).histograms(10)
}

/// What most observers do first.
fn counts(event: &Event) {
    static EVENTS: AtomicU64 = AtomicU64::new(0);
    EVENTS.fetch_add(black_box(event).name().len() as u64, Relaxed);
}

impl Row {
    fn measure(&mut self, tasks: u32) {
        let subscriber = tracing_subscriber::registry();
        let _guard = self.subscribes.then(|| subscriber.set_default());
        let template = (self.template)(&self.pool);
        let words = black_box([1, 2, 3]);
        let per_task = |began: Instant| began.elapsed().as_nanos() as f64 / f64::from(tasks);

        let began = Instant::now();
        for _ in 0..tasks {
            template.execute(move || body(words));
        }
        self.pool.wait_idle().unwrap();
        self.execute.push(per_task(began));

        let began = Instant::now();
        let handles: Vec<_> = (0..tasks)
            .map(|_| template.submit(move || body(words)))
            .collect();
        handles
            .into_iter()
            .for_each(|handle| handle.join().unwrap());
        self.submit.push(per_task(began));
        self.pool.wait_idle().unwrap();
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn main() {
    let is_test = std::env::args().any(|argument| argument == "--test");
    let (rounds, tasks) = if is_test { (1, 100) } else { (15, 100_000) };
    let mut rows = [
        row("off", |builder| builder, plain),
        row("off, with names", |builder| builder, named),
        row("watchdog and histograms, without names", watched, plain),
        row("watchdog and histograms, with names", watched, named),
        row("track_queue", |builder| builder.track_queue(true), plain),
        row("an observer", |builder| builder.observer(counts), plain),
        row(
            "an observer behind `Buffered`",
            |builder| builder.observer(Buffered::new(counts, 10_000).unwrap()),
            plain,
        ),
        row(
            "metrics, no recorder",
            |builder| builder.observer(Metrics::new("bench")),
            plain,
        ),
        row(
            "tracing, nothing listens",
            |builder| builder.observer(Tracing::new()),
            plain,
        ),
        row(
            "tracing, a subscriber on the submitter",
            |builder| builder.observer(Tracing::new()),
            plain,
        ),
    ];
    for _ in 0..rounds {
        rows.iter_mut().for_each(|row| row.measure(tasks));
    }
    let (execute, submit) = (median(&rows[0].execute), median(&rows[0].submit));
    println!("{:<42} {:>16} {:>20}", "", "execute", "submit and join");
    for row in &rows {
        let (e, s) = (median(&row.execute), median(&row.submit));
        println!(
            "{:<42} {e:>7.0} ns {:>5.2} {s:>10.0} ns {:>5.2}",
            row.name,
            e / execute,
            s / submit
        );
    }
    println!("medians of {rounds} rounds of {tasks} tasks, and the ratios to the first row");
}
