//! What a clock wakes when it reaches an instant, and a monitor notifies beside its condvar.

use std::cell::RefCell;
use std::sync::Arc;

/// Something that is registered with a clock for an instant. Implemented by threads that wait by a
/// clock, by tokens, and by what else has work to do at an instant: the timer and the workers of a
/// pool.
pub(crate) trait ClockWaiter: Send + Sync {
    /// The clock has reached the instant. Called with no lock of the clock held. An additional
    /// call does no harm.
    fn wake(self: Arc<Self>);

    /// What a thread waits for here. A simulation that cannot go on prints it after "waits for".
    // Only a simulation calls it.
    #[cfg_attr(not(feature = "simulation"), allow(dead_code))]
    fn waits_for(&self) -> String {
        "an instant".to_owned()
    }

    /// Whether the condition that a thread waits for here is known to be false still. A simulation
    /// then does not give the thread a turn to check it. Takes no lock: it is called with the lock
    /// of the simulation held.
    fn is_blocked(&self) -> bool {
        false
    }

    /// The monitor at which the thread waits was notified: `all` threads that wait there, or one of
    /// them. Called with the table of those that wait locked, so it takes no lock of a monitor.
    fn notified(&self, all: bool) {
        let _ = all;
    }

    /// The thread was woken at the monitor, and must wait on.
    fn waits_on(&self) {}

    /// Whether the thread is settled: from now on it does nothing until it is notified, or its
    /// clock wakes it. Takes no lock.
    fn settles(&self, is_settled: bool) {
        let _ = is_settled;
    }
}

thread_local! {
    static LISTENER: RefCell<Option<Arc<dyn ClockWaiter>>> = const { RefCell::new(None) };
}

/// What learns of the notification of a monitor at which this thread waits by the system's clock.
pub(crate) fn listener_here() -> Option<Arc<dyn ClockWaiter>> {
    LISTENER
        .try_with(|listener| listener.borrow().clone())
        .unwrap_or(None)
}

pub(crate) fn set_listener(listener: Option<Arc<dyn ClockWaiter>>) {
    LISTENER.with(|mine| *mine.borrow_mut() = listener);
}
