//! How long `map` takes for small items and for items of very different sizes, beside rayon's
//! `par_bridge` and `par_iter` with as many threads, and beside a plain loop.
//!
//! `cargo bench --bench map`, in `benches/criterion/`. Compare figures of one run only: the ways
//! take turns, so that the machine's other work affects all of them alike.

use rayon::prelude::*;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Work that uses no memory: `steps` steps of a random number generator.
fn work(steps: u64, seed: u64) -> u64 {
    (0..steps).fold(seed, |x, _| {
        black_box(x.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1))
    })
}

/// How many steps take `time`.
fn steps_of(time: Duration) -> u64 {
    const STEPS: u64 = 1_000_000;
    let once = || {
        let begun = Instant::now();
        black_box(work(STEPS, 1));
        begun.elapsed()
    };
    let least = (0..5).map(|_| once()).min().unwrap_or_default();
    let steps = STEPS as f64 * time.as_secs_f64() / least.as_secs_f64();
    (steps.round() as u64).max(1)
}

/// The name of a way to do the work, and the way itself.
type Way<'a> = (&'a str, Box<dyn Fn() -> Vec<u64> + 'a>);

/// Each item is the number of steps that it takes.
fn compare(what: &str, items: &[u64], rounds: usize) {
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let pool = millhand::ThreadPool::new(workers).unwrap();
    let rayon = rayon::ThreadPoolBuilder::new();
    let rayon = rayon.num_threads(workers).build().unwrap();
    let of = |steps: &u64| work(*steps, *steps);
    let ways: [Way<'_>; 4] = [
        ("plain loop", Box::new(|| items.iter().map(of).collect())),
        (
            "par_bridge",
            Box::new(|| rayon.install(|| items.iter().par_bridge().map(of).collect())),
        ),
        (
            "par_iter",
            Box::new(|| rayon.install(|| items.par_iter().map(of).collect())),
        ),
        ("millhand", Box::new(|| pool.map(items, of))),
    ];
    let mut times = ways.each_ref().map(|_| Vec::new());
    for _ in 0..rounds {
        for ((_, way), times) in ways.iter().zip(&mut times) {
            let begun = Instant::now();
            black_box(way());
            times.push(begun.elapsed());
        }
    }
    let found = times.map(|mut times| {
        times.sort();
        [times[times.len() / 2], times[0]].map(|time| time.as_secs_f64())
    });
    let ours = found[found.len() - 1];
    println!(
        "{what}, {workers} workers, {rounds} rounds: milliseconds, and millhand's share of them"
    );
    println!(
        "{:<12}{:>10}{:>8}{:>10}{:>8}",
        "", "median", "", "least", ""
    );
    for ((name, _), [median, least]) in ways.iter().zip(found) {
        let shares = [ours[0] / median, ours[1] / least];
        println!(
            "{name:<12}{:>10.2}{:>8.2}{:>10.2}{:>8.2}",
            1e3 * median,
            shares[0],
            1e3 * least,
            shares[1]
        );
    }
    println!();
}

fn main() {
    // `cargo test` runs this once, with few items.
    let is_bench = std::env::args().any(|arg| arg == "--bench");
    let (many, rounds) = if is_bench {
        (1_000_000, 31)
    } else {
        (1_000, 2)
    };
    let small = steps_of(Duration::from_nanos(100));
    compare("items of 100 ns", &vec![small; many], rounds);
    let base = steps_of(Duration::from_micros(1));
    let skewed = (0..many as u64 / 100).map(|n| if n % 100 == 7 { 100 * base } else { base });
    let skewed: Vec<_> = skewed.collect();
    compare("items of 1 us, one in 100 of 100 us", &skewed, rounds);
}
