//! Counters that every layer bumps and whoever asks adds up.
//!
//! Layer 0. A count that all producers share in one word would be what they fight over, so each thread has a stripe
//! of its own to add to, as in Java's `LongAdder`.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

const STRIPES: usize = 16;

/// Two cache lines: processors fetch them in pairs.
#[repr(align(128))]
#[derive(Debug, Default)]
struct Stripe(AtomicU64);

/// A sum that many threads add to without meeting.
#[derive(Debug, Default)]
pub(crate) struct Striped([Stripe; STRIPES]);

thread_local! {
    static STRIPE: Cell<Option<usize>> = const { Cell::new(None) };
}

fn stripe() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    STRIPE
        .try_with(|mine| match mine.get() {
            Some(stripe) => stripe,
            None => {
                let stripe = NEXT.fetch_add(1, Ordering::Relaxed) % STRIPES;
                mine.set(Some(stripe));
                stripe
            }
        })
        .unwrap_or(0)
}

impl Striped {
    /// Adds one. Sequentially consistent, since quiescence is argued from the order of these (see `pool::quiet`); on
    /// the common processors a relaxed addition costs the same.
    pub(crate) fn add(&self) {
        self.add_many(1);
    }

    pub(crate) fn add_many(&self, n: u64) {
        self.0[stripe()].0.fetch_add(n, Ordering::SeqCst);
    }

    /// The sum: at least what it was when the call began, at most what it is when it returns.
    pub(crate) fn sum(&self) -> u64 {
        self.0
            .iter()
            .map(|stripe| stripe.0.load(Ordering::SeqCst))
            .sum()
    }
}

/// What one thread has counted and not added to the sum that others go by: they may look, it alone changes it.
#[derive(Debug, Default)]
pub(crate) struct Unsaid(AtomicU64);

impl Unsaid {
    pub(crate) fn add(&self) {
        self.0.store(self.get() + 1, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn take(&self) -> u64 {
        let counted = self.get();
        self.0.store(0, Ordering::Relaxed);
        counted
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
