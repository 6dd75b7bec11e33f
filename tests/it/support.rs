//! What the tests share.

use std::sync::mpsc;
use std::time::Duration;

/// How long a test waits for what must come. Never decides a test that passes: it turns a hang into a failure.
pub(crate) const LONG: Duration = Duration::from_secs(120);

/// Receives, or fails in place of hanging.
pub(crate) fn must_recv<T>(receiver: &mpsc::Receiver<T>) -> T {
    receiver.recv_timeout(LONG).expect("it must come")
}
