//! Work that takes a known time.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// Steps that depend on each other, so that neither a compiler nor a processor does them at the
/// same time.
pub fn work(steps: u64) -> u64 {
    let mut x = black_box(0x9e37_79b9_7f4a_7c15_u64);
    for _ in 0..steps {
        // Xorshift: Marsaglia, "Xorshift RNGs", Journal of Statistical Software 8(14), 2003.
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    black_box(x)
}

/// How many steps take `time`, if one piece of work follows the other. A processor begins the
/// next piece before it has finished the last, so a short piece takes less than its fraction of a
/// long one.
pub fn steps(time: Duration) -> u64 {
    let mut steps = 1_000;
    for _ in 0..3 {
        let each = time_of(steps).as_secs_f64();
        steps = ((steps as f64 * time.as_secs_f64() / each).round() as u64).max(1);
    }
    steps
}

/// The best of several, since disturbances can only make a loop longer.
fn time_of(steps: u64) -> Duration {
    let count = u32::try_from(500_000 / steps + 1).unwrap();
    let once = || {
        let start = Instant::now();
        for _ in 0..count {
            work(steps);
        }
        start.elapsed() / count
    };
    (0..9).map(|_| once()).min().unwrap()
}
