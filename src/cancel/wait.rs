//! Waiting for a token to be cancelled.

use crate::cancel::CancelToken;
use crate::cancel::blocking::{self, Interrupt, Target};
use crate::clock::{self, Clock, current, earlier};
use crate::error::Stopped;
use crate::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// A wait of this length at most is over before another thread has taken the place of this one.
const MOMENT: Duration = Duration::from_millis(2);

/// What a body waits for that waits until this instant of this clock. A test's clock may stand
/// still.
fn target(clock: &Clock, until: Option<Instant>) -> Target {
    let is_soon = |until: Instant| until.saturating_duration_since(clock.now()) <= MOMENT;
    match clock.is(&Clock::system()) && until.is_some_and(is_soon) {
        true => Target::Moment,
        false => Target::Other,
    }
}

impl CancelToken {
    /// Waits until it is cancelled. A worker releases its run slot meanwhile.
    ///
    /// # Errors
    /// [`Stopped`], if the task that waits is asked to stop before the token is cancelled.
    ///
    /// ```
    /// let token = millhand::CancelToken::new();
    /// let other = token.clone();
    /// std::thread::spawn(move || other.cancel());
    /// token.wait().unwrap();
    /// assert!(token.is_cancelled());
    /// ```
    pub fn wait(&self) -> Result<(), Stopped> {
        self.wait_until(&self.clock_of_wait(), None).map(drop)
    }

    /// Waits until it is cancelled, but no longer than `timeout`. Returns whether it is cancelled.
    /// A worker releases its run slot meanwhile. The timeout counts from the call; one that
    /// overflows the clock means for ever.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    ///
    /// ```
    /// use millhand::CancelToken;
    /// use std::time::Duration;
    ///
    /// let token = CancelToken::new();
    /// assert_eq!(token.wait_timeout(Duration::from_millis(1)), Ok(false));
    /// token.cancel();
    /// assert_eq!(token.wait_timeout(Duration::from_secs(3600)), Ok(true));
    /// ```
    pub fn wait_timeout(&self, timeout: Duration) -> Result<bool, Stopped> {
        let clock = self.clock_of_wait();
        self.wait_until(&clock, clock.deadline(timeout))
    }

    /// The clock of a wait by this thread: on a worker, the clock of its pool.
    fn clock_of_wait(&self) -> Clock {
        current::clock().or(&self.node.clock)
    }

    fn wait_until(&self, clock: &Clock, until: Option<Instant>) -> Result<bool, Stopped> {
        let node = self.node.clone();
        let interrupt = Interrupt::here(move || node.inner.lock_and_notify_all());
        let is_cancelled = self.wait_by(clock, until, &|| interrupt.has_come());
        match interrupt.stopped() {
            Some(stopped) if !is_cancelled => Err(stopped),
            _ => Ok(is_cancelled),
        }
    }

    /// Waits until it is cancelled, or until this instant of this clock, or until `ends` returns
    /// true. Returns whether it is cancelled.
    pub(crate) fn wait_by(
        &self,
        clock: &Clock,
        until: Option<Instant>,
        ends: &dyn Fn() -> bool,
    ) -> bool {
        clock::pause();
        if self.reason().is_some() {
            return true;
        }
        let _blocking = blocking::begin_for(target(clock, until));
        let node = &self.node;
        let mut inner = node.inner.lock();
        let wake_at = if node.deadline.is_none() || node.clock.is(clock) {
            earlier(until, node.deadline)
        } else {
            // A thread waits by one clock. The clock of the deadline cancels the token on time.
            node.register_deadline(inner);
            inner = node.inner.lock();
            until
        };
        let what = "a token to be cancelled";
        node.inner
            .wait_while(&mut inner, clock, wake_at, &what, &mut |_| {
                node.reason.load(Ordering::Relaxed) == 0 && !ends()
            });
        drop(inner);
        self.reason().is_some()
    }
}
