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
        self.0[stripe()].0.fetch_add(1, Ordering::SeqCst);
    }

    /// The sum: at least what it was when the call began, at most what it is when it returns.
    pub(crate) fn sum(&self) -> u64 {
        self.0
            .iter()
            .map(|stripe| stripe.0.load(Ordering::SeqCst))
            .sum()
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
