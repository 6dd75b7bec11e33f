//! What keeps a hook on its token.

use crate::cancel::token::Node;
use crate::panic;
use std::fmt;
use std::sync::Weak;

/// Keeps a hook on its token: dropping the guard removes the hook.
///
/// ```
/// use millhand::CancelToken;
///
/// let (sender, receiver) = std::sync::mpsc::channel();
/// let token = CancelToken::new();
/// let guard = token.on_cancel(move |reason| sender.send(reason).unwrap());
/// drop(guard);
/// token.cancel();
/// assert!(receiver.recv().is_err()); // nothing was sent
/// ```
///
/// Guide: [cancelling](crate::guide::cancelling).
#[must_use = "dropping the guard removes the hook"]
pub struct CancelGuard {
    /// The node, and the key of the hook there. `None` if the hook has run.
    registration: Option<(Weak<Node>, u64)>,
}

impl CancelGuard {
    pub(super) fn new(registration: Option<(Weak<Node>, u64)>) -> Self {
        Self { registration }
    }
}

impl Drop for CancelGuard {
    fn drop(&mut self) {
        let Some((node, key)) = self.registration.take() else {
            return;
        };
        if let Some(node) = node.upgrade() {
            panic::discard(node.take_below(key));
        }
    }
}

impl fmt::Debug for CancelGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { registration } = self;
        f.debug_struct("CancelGuard")
            .field("registered", &registration.is_some())
            .finish_non_exhaustive()
    }
}
