//! Receiving from a channel of crossbeam, in a body that sees that it is to stop.

use crate::cancel::blocking::{self, Interrupt};
use crate::clock;
use crate::error::Stopped;
use crossbeam_channel::{Receiver, Select, TryRecvError, bounded};
use std::error::Error;
use std::fmt;

/// Why [`recv`] returned no message.
///
/// ```
/// use millhand::cancel::RecvError;
///
/// let (sender, receiver) = crossbeam_channel::unbounded::<u32>();
/// drop(sender);
/// assert_eq!(millhand::recv(&receiver), Err(RecvError::Disconnected));
/// ```
///
/// Guide: [cancelling](crate::guide::cancelling).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecvError {
    /// The channel is empty, and all its senders are gone.
    Disconnected,
    /// The task that waited was asked to stop, or the scope was cancelled whose closure waited.
    Stopped(Stopped),
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disconnected => f.write_str("the channel is empty, and all its senders are gone"),
            Self::Stopped(stopped) => {
                write!(f, "the wait for a message ended before one came: {stopped}")
            }
        }
    }
}

impl Error for RecvError {}

/// Receives a message from a channel of [`crossbeam_channel`] 0.5, as `Receiver::recv` does, in a
/// body that is to end when it is asked to stop.
///
/// Blocks until there is a message. On a worker the run slot is released meanwhile. A message that
/// is there is taken, though the body is asked to stop. If the wait ends early, no message is lost:
/// those to come stay in the channel. In a simulation the wait takes no part, like
/// [`blocking`](crate::blocking).
///
/// Guide: [cancelling](crate::guide::cancelling).
///
/// # Errors
/// [`RecvError::Disconnected`], as `Receiver::recv`. [`RecvError::Stopped`], if the task that waits
/// is asked to stop: cancelled, timed out, or its pool cancels.
///
/// ```
/// use millhand::cancel::RecvError;
/// use millhand::ThreadPool;
///
/// let pool = ThreadPool::new(1)?;
/// let (sender, receiver) = crossbeam_channel::unbounded();
/// let adds = pool.submit(move || {
///     let mut sum = 0;
///     loop {
///         match millhand::recv(&receiver) {
///             Ok(n) => sum += n,
///             Err(RecvError::Disconnected) => return Ok(sum),
///             Err(stopped) => return Err(stopped),
///         }
///     }
/// });
/// sender.send(1)?;
/// sender.send(2)?;
/// drop(sender);
/// assert_eq!(adds.join().unwrap(), Ok(3));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn recv<T>(receiver: &Receiver<T>) -> Result<T, RecvError> {
    clock::pause();
    if let Some(received) = try_recv(receiver) {
        return received;
    }
    // One is kept: where nothing can interrupt the wait, the other is dropped at once.
    let (wake, woken) = bounded(1);
    let _kept = wake.clone();
    let interrupt = Interrupt::here(move || {
        let _ = wake.try_send(());
    });
    let _blocking = blocking::begin();
    blocking::settle();
    let mut select = Select::new();
    let message = select.recv(receiver);
    select.recv(&woken);
    // A chosen operation is completed here: a sender to a channel without room may wait for that.
    let chosen = select.select();
    if chosen.index() == message {
        return chosen.recv(receiver).map_err(|_| RecvError::Disconnected);
    }
    let _ = chosen.recv(&woken);
    try_recv(receiver).unwrap_or_else(|| match interrupt.stopped() {
        Some(stopped) => Err(RecvError::Stopped(stopped)),
        None => unreachable!("only a request to stop wakes it"),
    })
}

/// `None` if there is no message yet.
fn try_recv<T>(receiver: &Receiver<T>) -> Option<Result<T, RecvError>> {
    match receiver.try_recv() {
        Ok(message) => Some(Ok(message)),
        Err(TryRecvError::Disconnected) => Some(Err(RecvError::Disconnected)),
        Err(TryRecvError::Empty) => None,
    }
}
