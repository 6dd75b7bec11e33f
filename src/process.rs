//! The pools of this process, by the tags that their tasks carry: which of them were built here,
//! and which clock each has.
//!
//! A forked child has a copy of every pool of its parent, and none of their threads: a thread that
//! waited for one of their workers would wait for ever. So a thread that is about to park, and
//! only such a thread, checks the tag of the pool.
//
// A task knows its pool by the tag alone. Few pools have another clock than the system's, and only
// those are listed. While none is listed, a look-up costs one load. Otherwise a thread remembers
// what it found last, so that a wait takes no lock of the whole process. It remembers the clock
// weakly: neither a simulation nor a manual clock lives on for that.

use crate::clock::{Clock, WeakClock, current};
use parking_lot::Mutex;
use std::cell::RefCell;
use std::process;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};

/// The tag of what has no pool: a promise.
pub(crate) const NO_POOL: u32 = 0;

/// The process in which the last pool was built, and the first tag given out in it: smaller tags
/// came through a fork. Written with `NEXT` locked, read without it, since a fork may copy a
/// locked mutex.
static PROCESS: AtomicU32 = AtomicU32::new(0);
static FIRST: AtomicU32 = AtomicU32::new(1);
static NEXT: Mutex<u32> = Mutex::new(1);

/// A tag for a pool that is being built.
pub(crate) fn new_tag() -> u32 {
    let mut next = NEXT.lock();
    if PROCESS.load(Relaxed) != process::id() {
        FIRST.store(*next, Relaxed);
        PROCESS.store(process::id(), Relaxed);
    }
    let tag = *next;
    // After 2^32 pools tags are used again, but never `NO_POOL`.
    *next = tag.checked_add(1).unwrap_or(1);
    tag
}

/// Whether the pool with this tag was built in a process that this one was forked from.
pub(crate) fn is_foreign(tag: u32) -> bool {
    tag != NO_POOL && (PROCESS.load(Relaxed) != process::id() || tag < FIRST.load(Relaxed))
}

/// The clocks of the pools that have another one than the system's, by tag.
static CLOCKS: Mutex<Vec<(u32, Clock)>> = Mutex::new(Vec::new());
/// How many entries `CLOCKS` has, and how often it has changed. Written with `CLOCKS` locked.
static LISTED: AtomicUsize = AtomicUsize::new(0);
static CHANGES: AtomicUsize = AtomicUsize::new(0);

/// What a thread found last.
struct Found {
    tag: u32,
    /// `CHANGES` at that time. The answer holds until the next change.
    changes: usize,
    clock: WeakClock,
}

thread_local! {
    static LAST: RefCell<Option<Found>> = const { RefCell::new(None) };
}

/// The clock of the pool with this tag. The clock of this thread for what has no pool.
pub(crate) fn clock_of(tag: u32) -> Clock {
    if tag == NO_POOL {
        return current::clock();
    }
    // ORDERING: relaxed. A thread got the tag from something that happened after the pool was
    // listed.
    if LISTED.load(Relaxed) == 0 {
        return Clock::system();
    }
    let changes = CHANGES.load(Relaxed);
    let found = LAST.try_with(|last| match &*last.borrow() {
        Some(last) if last.tag == tag && last.changes == changes => last.clock.upgrade(),
        _ => None,
    });
    found.ok().flatten().unwrap_or_else(|| look_up(tag))
}

#[cold]
fn look_up(tag: u32) -> Clock {
    let clocks = CLOCKS.lock();
    let clock = clocks.iter().find(|(other, _)| *other == tag);
    let clock = clock.map(|(_, clock)| clock.clone()).unwrap_or_default();
    let found = Found {
        tag,
        changes: CHANGES.load(Relaxed),
        clock: clock.downgrade(),
    };
    drop(clocks);
    let before = LAST.try_with(|last| last.replace(Some(found)));
    drop(before);
    clock
}

/// Lists the clock of a pool until it is dropped.
pub(crate) struct ListedClock(Option<u32>);

impl ListedClock {
    pub(crate) fn new(tag: u32, clock: &Clock) -> Self {
        if clock.is(&Clock::system()) {
            return Self(None);
        }
        change(|clocks| {
            clocks.push((tag, clock.clone()));
            None
        });
        Self(Some(tag))
    }
}

impl Drop for ListedClock {
    fn drop(&mut self) {
        if let Some(tag) = self.0 {
            change(|clocks| {
                let at = clocks.iter().position(|(other, _)| *other == tag)?;
                Some(clocks.swap_remove(at))
            });
        }
    }
}

fn change(change: impl FnOnce(&mut Vec<(u32, Clock)>) -> Option<(u32, Clock)>) {
    let mut clocks = CLOCKS.lock();
    let removed = change(&mut clocks);
    LISTED.store(clocks.len(), Relaxed);
    CHANGES.fetch_add(1, Relaxed);
    drop(clocks);
    drop(removed);
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn tags_of_this_process_are_not_foreign() {
        let (a, b) = (new_tag(), new_tag());
        assert_ne!(a, b);
        assert!(!is_foreign(a) && !is_foreign(b) && !is_foreign(NO_POOL));
    }

    #[test]
    fn a_clock_is_found_while_it_is_listed_and_not_kept_alive() {
        let [a, b, other] = [(); 3].map(|()| new_tag());
        let clocks = [ManualClock::new(), ManualClock::new()];
        let listed = [(a, &clocks[0]), (b, &clocks[1])]
            .map(|(tag, clock)| ListedClock::new(tag, &clock.clock()));
        for _ in 0..2 {
            assert!(clock_of(a).is(&clocks[0].clock()));
            assert!(clock_of(a).is(&clocks[0].clock()));
            assert!(clock_of(b).is(&clocks[1].clock()));
            assert!(clock_of(other).is(&Clock::system()));
        }
        let [first, second] = listed;
        assert!(clock_of(a).is(&clocks[0].clock()));
        drop(first);
        assert!(clock_of(a).is(&Clock::system()));
        assert!(clock_of(b).is(&clocks[1].clock()));
        let weak = clocks[1].clock().downgrade();
        drop((second, clocks));
        assert!(weak.upgrade().is_none());
    }
}
