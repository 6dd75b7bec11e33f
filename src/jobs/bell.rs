//! Wakes those that wait for news of a storage.
//!
//! Layer: jobs.
//
// A token is what every wait of the library knows: a worker that waits releases its run slot, a
// request to stop ends the wait, and a simulation sees it. So a bell is a token that is cancelled
// when it rings, and replaced by a new one at the next listening.

use crate::CancelToken;
use crate::error::Stopped;
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Wakes the threads that wait for news of a storage. Clones are the same bell.
///
/// Listen first, then look, then wait: what happens after the look ends the wait.
///
/// ```
/// use millhand::jobs::Bell;
/// use std::time::Duration;
///
/// let bell = Bell::new();
/// let listening = bell.listen();
/// let ringer = bell.clone();
/// std::thread::spawn(move || ringer.ring());
/// assert_eq!(listening.wait_timeout(Duration::from_secs(60)), Ok(true));
/// ```
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone, Default)]
pub struct Bell(Arc<Mutex<Option<CancelToken>>>);

/// Waits for the next ring. From [`Bell::listen`].
///
/// Guide: [jobs](crate::guide::jobs).
#[must_use]
pub struct Listening(CancelToken);

impl Bell {
    /// Makes a bell.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the waits of all that have listened before. Costs next to nothing if none has. Any
    /// thread may call it.
    pub fn ring(&self) {
        let rung = self.0.lock().take();
        if let Some(token) = rung {
            token.cancel();
        }
    }

    /// Begins to listen: a ring from now on ends the wait, also one that comes before the wait.
    pub fn listen(&self) -> Listening {
        Listening(self.0.lock().get_or_insert_default().clone())
    }
}

impl Listening {
    /// Waits for a ring, but no longer than `timeout`. Returns whether it rang. A worker that waits
    /// releases its run slot.
    ///
    /// # Errors
    /// The task that waits was asked to stop.
    pub fn wait_timeout(&self, timeout: Duration) -> Result<bool, Stopped> {
        self.0.wait_timeout(timeout)
    }
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(_) = self;
        f.debug_struct("Bell").finish_non_exhaustive()
    }
}

impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(token) = self;
        f.debug_struct("Listening")
            .field("has_rung", &token.is_cancelled())
            .finish()
    }
}
