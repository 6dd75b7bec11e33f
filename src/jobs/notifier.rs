//! Wakes those that wait for news of a storage.
//!
//! Layer: jobs.
//
// A token is what every wait of the library knows: a worker that waits releases its run slot, a
// request to stop ends the wait, and a simulation sees it. So a notifier is a token that is
// cancelled when it notifies, and replaced by a new one at the next listening.

use crate::CancelToken;
use crate::error::Stopped;
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Wakes the threads that wait for news of a storage. Clones are the same notifier.
///
/// Listen first, then look, then wait: what happens after the look ends the wait.
///
/// ```
/// use millhand::jobs::Notifier;
/// use std::time::Duration;
///
/// let notifier = Notifier::new();
/// let listening = notifier.listen();
/// let sender = notifier.clone();
/// std::thread::spawn(move || sender.notify());
/// assert_eq!(listening.wait_timeout(Duration::from_secs(60)), Ok(true));
/// ```
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone, Default)]
pub struct Notifier(Arc<Mutex<Option<CancelToken>>>);

/// Waits for the next notification. From [`Notifier::listen`].
///
/// Guide: [jobs](crate::guide::jobs).
#[must_use]
pub struct Listening(CancelToken);

impl Notifier {
    /// Makes a notifier.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the waits of all that have listened before. Costs next to nothing if none has. Any
    /// thread may call it.
    pub fn notify(&self) {
        let token = self.0.lock().take();
        if let Some(token) = token {
            token.cancel();
        }
    }

    /// Begins to listen: a notification from now on ends the wait, also one before the wait.
    pub fn listen(&self) -> Listening {
        Listening(self.0.lock().get_or_insert_default().clone())
    }
}

impl Listening {
    /// Waits for a notification, but no longer than `timeout`. Returns whether it came. A worker
    /// that waits releases its run slot.
    ///
    /// # Errors
    /// The task that waits was asked to stop.
    pub fn wait_timeout(&self, timeout: Duration) -> Result<bool, Stopped> {
        self.0.wait_timeout(timeout)
    }
}

impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(_) = self;
        f.debug_struct("Notifier").finish_non_exhaustive()
    }
}

impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(token) = self;
        f.debug_struct("Listening")
            .field("is_notified", &token.is_cancelled())
            .finish()
    }
}
