//! Spinning: what whoever is about to park tries first.
//!
//! Layer 0. A hand-off between two running threads takes less than parking and being woken, by far. No `yield_now` in
//! here: on a loaded machine it doubled the round trip.

/// Asks `done` for a few microseconds; says whether it came true.
pub(crate) fn spin(mut done: impl FnMut() -> bool) -> bool {
    let mut left = pauses();
    let mut between = 1;
    while left > 0 {
        if done() {
            return true;
        }
        (0..between).for_each(|_| std::hint::spin_loop());
        left = left.saturating_sub(between);
        // What is asked is changed by others, whom asking holds up.
        between = (2 * between).min(MOST_BETWEEN);
    }
    done()
}

const MOST_BETWEEN: u32 = 8;

/// How many pauses take about as long as spinning pays: parking and waking take ten times that.
#[cfg(not(loom))]
fn pauses() -> u32 {
    use std::sync::OnceLock;
    use std::time::{Duration, Instant};
    const LONG: Duration = Duration::from_micros(5);
    const SAMPLE: u32 = 64;
    // A pause takes 5 ns on one machine and 50 on the next, so it is measured, once; the least of three, for a thread that
    // was interrupted meanwhile.
    static PAUSES: OnceLock<u32> = OnceLock::new();
    *PAUSES.get_or_init(|| {
        // With a single processor whoever we wait for cannot run while we spin.
        if std::thread::available_parallelism().is_ok_and(|n| n.get() == 1) {
            return 0;
        }
        let sample = || {
            let begun = Instant::now();
            (0..SAMPLE).for_each(|_| std::hint::spin_loop());
            begun.elapsed()
        };
        let least = [sample(), sample(), sample()].into_iter().min();
        let least = least.unwrap_or_default().max(Duration::from_nanos(1));
        let samples = LONG.as_nanos() / least.as_nanos();
        (SAMPLE * samples.min(1_000) as u32).max(SAMPLE)
    })
}

#[cfg(loom)]
fn pauses() -> u32 {
    0
}
