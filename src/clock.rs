//! Time: the one room in which the library reads a clock or waits on one.
//!
//! Layer 0. Nothing outside this file names `Instant::now` or a timed condvar wait, so that time can be turned by hand
//! once a second clock moves in here.

use crate::sync::{Condvar, MutexGuard};
use std::time::{Duration, Instant};

/// The present instant.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// The instant `timeout` from now; `None`, which means for ever, when the clock cannot hold it.
pub(crate) fn deadline(timeout: Duration) -> Option<Instant> {
    now().checked_add(timeout)
}

/// Waits for `condvar` until `deadline`, or for ever; says whether the deadline passed.
///
/// Wakes without cause are possible: the caller looks at its condition again.
pub(crate) fn wait<T>(
    condvar: &Condvar,
    guard: &mut MutexGuard<'_, T>,
    deadline: Option<Instant>,
) -> bool {
    match deadline {
        Some(instant) => condvar.wait_until(guard, instant).timed_out(),
        None => {
            condvar.wait(guard);
            false
        }
    }
}
