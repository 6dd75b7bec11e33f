//! Which pools were built in this process, and which came through a `fork` without their threads.
//!
//! Layer 0. A forked child has a copy of every pool and none of its workers: whoever parked for one would wait for
//! ever. Where a thread is about to park, and only there, the owner's tag is checked.

use parking_lot::Mutex;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// The tag of what has no pool: a promise.
pub(crate) const NOBODY: u32 = 0;

/// The process in which the last pool was built, and the first tag given out in it: smaller ones came through a fork.
/// Written under `NEXT`, read without it, since a fork may copy a lock that is held.
static PROCESS: AtomicU32 = AtomicU32::new(0);
static FIRST: AtomicU32 = AtomicU32::new(1);
static NEXT: Mutex<u32> = Mutex::new(1);

/// A tag for a pool that is being built now.
pub(crate) fn new_owner() -> u32 {
    let mut next = NEXT.lock();
    if PROCESS.load(Relaxed) != process::id() {
        FIRST.store(*next, Relaxed);
        PROCESS.store(process::id(), Relaxed);
    }
    let tag = *next;
    // After 2^32 pools tags are used again; NOBODY never is.
    *next = tag.checked_add(1).unwrap_or(1);
    tag
}

/// Whether the pool with this tag lives in the process that this one was forked from.
pub(crate) fn is_foreign(owner: u32) -> bool {
    owner != NOBODY && (PROCESS.load(Relaxed) != process::id() || owner < FIRST.load(Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_this_process_are_its_own() {
        let (a, b) = (new_owner(), new_owner());
        assert_ne!(a, b);
        assert!(!is_foreign(a) && !is_foreign(b) && !is_foreign(NOBODY));
    }
}
