//! What a clock wakes.
//!
//! Layer 0.

use std::sync::Arc;

/// Something that threads wait at, for an instant of a clock among other things; or that has a thing to do then.
pub(crate) trait Wake: Send + Sync {
    /// The clock has reached the instant that was asked for: wakes whoever waits, through the lock that they wait with, so
    /// that each has either not looked at the clock yet or is in its wait. May run what hangs on the instant.
    ///
    /// Once too often does no harm. Called with no lock of the clock's held.
    fn wake(self: Arc<Self>);

    /// What is waited for here, to follow "waits for".
    fn what(&self) -> String;

    /// Whether one who waits here cannot go on now, as far as that is known without a lock; one whose deadline has passed
    /// can anyway. A simulation does not let them look in vain then.
    fn stays(&self) -> bool {
        false
    }
}

/// For the models of waits, which no clock wakes.
#[cfg(all(test, loom))]
struct Nobody;

#[cfg(all(test, loom))]
impl Wake for Nobody {
    fn wake(self: Arc<Self>) {}

    fn what(&self) -> String {
        String::new()
    }
}

#[cfg(all(test, loom))]
pub(crate) fn nobody() -> std::sync::Weak<dyn Wake> {
    std::sync::Weak::<Nobody>::new()
}
