//! The life of a pool: open, draining, cancelling, over. It only goes forward.
//!
//! Layer 3.

use std::sync::atomic::{AtomicU8, Ordering};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Takes tasks.
    Open,
    /// Takes only what its own tasks submit; runs what it has.
    Draining,
    /// Takes nothing; what is queued is cancelled, what runs is asked to stop.
    Cancelling,
    /// Nothing is queued and nothing runs: the workers leave.
    Over,
}

pub(crate) struct PhaseCell(AtomicU8);

impl PhaseCell {
    pub(crate) fn new() -> Self {
        Self(AtomicU8::new(Phase::Open as u8))
    }

    pub(crate) fn get(&self) -> Phase {
        // ORDERING: sequentially consistent, here and below: a submitter announces its task and then looks at the
        // phase; a shutdown moves the phase and then sums up the announcements. One of the two sees the other.
        match self.0.load(Ordering::SeqCst) {
            0 => Phase::Open,
            1 => Phase::Draining,
            2 => Phase::Cancelling,
            _ => Phase::Over,
        }
    }

    /// Moves on to `phase`; says whether that was forward.
    pub(crate) fn advance(&self, phase: Phase) -> bool {
        self.0.fetch_max(phase as u8, Ordering::SeqCst) < phase as u8
    }
}
