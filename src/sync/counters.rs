//! Counters that many threads add to and few threads read.
//
// If all threads counted in one word, they would contend for its cache line. So each thread has a
// stripe of its own to add to, as in Java's `LongAdder`.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

const STRIPES: usize = 16;

/// Two cache lines, since processors fetch them in pairs.
#[repr(align(128))]
#[derive(Debug, Default)]
struct Stripe(AtomicU64);

/// A sum that many threads add to without contention.
#[derive(Debug, Default)]
pub(crate) struct Striped([Stripe; STRIPES]);

thread_local! {
    /// The stripe of this thread; `STRIPES` before it has one.
    static STRIPE: Cell<usize> = const { Cell::new(STRIPES) };
}

/// The stripe that this thread adds to.
#[inline]
fn stripe() -> usize {
    match STRIPE.try_with(Cell::get) {
        Ok(stripe) if stripe < STRIPES => stripe,
        _ => new_stripe(),
    }
}

#[cold]
fn new_stripe() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let stripe = NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES;
    // A thread that runs its destructors takes another one each time.
    let _ = STRIPE.try_with(|mine| mine.set(stripe));
    stripe
}

impl Striped {
    pub(crate) fn add(&self) {
        self.add_many(1);
    }

    pub(crate) fn add_many(&self, n: u64) {
        // ORDERING: sequentially consistent, as is `sum`: idle detection rests on the order of
        // several counts (see `pool::lifecycle`). On common processors a relaxed addition costs
        // the same.
        self.0[stripe()].0.fetch_add(n, Ordering::SeqCst);
    }

    /// The sum: at least what it was when the call began, at most what it is when it returns.
    pub(crate) fn sum(&self) -> u64 {
        // ORDERING: pairs with `add_many`.
        self.0
            .iter()
            .map(|stripe| stripe.0.load(Ordering::SeqCst))
            .sum()
    }
}

/// What one thread counts. Other threads may read it; only that thread changes it.
#[derive(Debug, Default)]
pub(crate) struct LocalCount {
    counted: AtomicU64,
    /// How much of it is taken.
    taken: AtomicU64,
}

impl LocalCount {
    pub(crate) fn add(&self) {
        let more = self.counted.load(Ordering::Relaxed) + 1;
        // ORDERING: pairs with `get`: a thread that sees the count sees what was counted before,
        // such as that the task was submitted.
        self.counted.store(more, Ordering::Release);
    }

    pub(crate) fn get(&self) -> u64 {
        // ORDERING: pairs with `add`.
        self.counted.load(Ordering::Acquire)
    }

    /// Returns how much was counted since the last call.
    pub(crate) fn take(&self) -> u64 {
        let counted = self.get();
        let taken = self.taken.load(Ordering::Relaxed);
        self.taken.store(counted, Ordering::Relaxed);
        counted - taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_between_threads() {
        let count = Striped::default();
        std::thread::scope(|s| {
            for _ in 0..2 * STRIPES {
                s.spawn(|| (0..1000).for_each(|_| count.add()));
            }
        });
        assert_eq!(count.sum(), 2 * STRIPES as u64 * 1000);
    }
}
