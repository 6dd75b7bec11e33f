//! Spinning before a thread parks.
//
// A hand-off between two running threads takes far less time than to park and wake one of them.
// There is no `yield_now` here: on a loaded machine it doubled the round trip.

use std::cell::Cell;

/// Calls `done` again and again for a few microseconds, until it returns true. Returns whether it
/// did.
pub(crate) fn spin(done: impl FnMut() -> bool) -> bool {
    spin_for(pauses(), done)
}

thread_local! {
    /// How many of this thread's spins were in vain, less for those that paid; and their number.
    static SPINS: Cell<(u32, u32)> = const { Cell::new((0, 0)) };
}

/// Each spin in vain halves the next, so often at most.
const MOST_HALVINGS: u32 = 5;

/// One spin in so many may pay again. It is long enough for a worker to be woken: two threads that
/// hand tasks to and fro, and have both begun to park, would otherwise go on so for ever.
const PROBE: u32 = 64;
const LONGER: u32 = 4;

/// The same for a thread that waits for what other threads do. It learns: if its spins are in vain,
/// it takes a processor from a thread that would work on what it waits for.
pub(crate) fn spin_if_it_pays(done: impl FnMut() -> bool) -> bool {
    let (vain, number) = SPINS.try_with(Cell::get).unwrap_or_default();
    let probes = vain == MOST_HALVINGS && number % PROBE == 0;
    let pauses = match probes {
        true => pauses() * LONGER,
        false => pauses() >> vain,
    };
    let paid = spin_for(pauses, done);
    let vain = match paid {
        true if probes => 0,
        true => vain / 2,
        false => (vain + 1).min(MOST_HALVINGS),
    };
    let _ = SPINS.try_with(|spins| spins.set((vain, number.wrapping_add(1))));
    paid
}

fn spin_for(pauses: u32, mut done: impl FnMut() -> bool) -> bool {
    let mut left = pauses;
    let mut between = 1;
    while left > 0 {
        if done() {
            return true;
        }
        pause(between);
        left = left.saturating_sub(between);
        // Each call of `done` takes the cache line from the thread that is about to change it.
        between = (2 * between).min(MOST_BETWEEN);
    }
    done()
}

/// Lets work gather for a few microseconds, if more of it has come within a few pauses.
///
/// For a worker that has caught up with a thread that keeps pushing. Two threads that work on
/// neighbouring entries of a queue take the cache lines from each other at each step. At a distance
/// both are faster.
pub(crate) fn let_gather(has_come: impl Fn() -> bool) {
    pause(2 * MOST_BETWEEN);
    if has_come() {
        pause(pauses());
    }
}

fn pause(times: u32) {
    (0..times).for_each(|_| std::hint::spin_loop());
}

const MOST_BETWEEN: u32 = 8;

/// How many pauses to spin for: about 5 us. To park and wake a thread takes ten times as long.
#[cfg(not(loom))]
fn pauses() -> u32 {
    use std::sync::atomic::{AtomicU32, Ordering};
    /// One more than the number; 0 until a thread has measured it. No lock: a process that is
    /// forked while a thread measures would find it locked for ever.
    static PAUSES: AtomicU32 = AtomicU32::new(0);
    let known = PAUSES.load(Ordering::Relaxed).checked_sub(1);
    known.unwrap_or_else(|| {
        let pauses = measure();
        PAUSES.store(pauses + 1, Ordering::Relaxed);
        pauses
    })
}

#[cfg(not(loom))]
#[cold]
fn measure() -> u32 {
    use std::time::{Duration, Instant};
    const LONG: Duration = Duration::from_micros(5);
    const SAMPLE: u32 = 64;
    // With a single processor no other thread can run while this one spins.
    if std::thread::available_parallelism().is_ok_and(|n| n.get() == 1) {
        return 0;
    }
    // A pause takes 5 ns on one machine and 50 ns on another. The least of three samples counts,
    // since the thread may be interrupted in one of them.
    let sample = || {
        let begun = Instant::now();
        pause(SAMPLE);
        begun.elapsed()
    };
    let least = [sample(), sample(), sample()].into_iter().min();
    let least = least.unwrap_or_default().max(Duration::from_nanos(1));
    let samples = LONG.as_nanos() / least.as_nanos();
    (SAMPLE * samples.min(1_000) as u32).max(SAMPLE)
}

#[cfg(loom)]
fn pauses() -> u32 {
    0
}
