//! The seat of the thread that runs here: given up around every wait.
//!
//! Layer 0, so that whatever waits (a slot, a token, a queue's place) can give the seat up without knowing of pools.
//! A pool of n workers has n seats, the right to run bodies. A thread that is no worker has none to give up, and
//! everything here is nothing to it.

use crate::error::{Stuck, TaskError};
use crate::flat;
use crate::id::TaskId;
use std::cell::RefCell;
use std::sync::Arc;

/// What a body is about to wait for.
pub(crate) enum Wait {
    /// Something that ends by itself or that the library cannot see through: a time, a place, a foreign call.
    Open,
    /// One task, for ever.
    Task(Awaited),
}

/// The task that is waited for.
#[derive(Clone)]
pub(crate) struct Awaited {
    pub(crate) id: TaskId,
    /// The tag of its pool.
    pub(crate) owner: u32,
    pub(crate) task: Arc<dyn Waits>,
}

/// A worker: the tag of its pool, and its index.
pub(crate) type Place = (u32, usize);

/// A task, as the wait graph asks it what it waits for in turn before it has begun.
pub(crate) trait Waits: Send + Sync {
    /// What an error says of it.
    fn told(&self) -> Stuck;
    /// Whether its time ends, and with that the wait for it.
    fn is_limited(&self) -> bool;
    /// The worker that alone may run it and has not begun.
    fn pinned_to(&self) -> Option<Place>;
    /// The tasks that all must settle before it can begin.
    fn behind(&self) -> Vec<Awaited>;
}

/// The pool's side: one of its workers.
pub(crate) trait Seat {
    /// The body here is about to wait. An error means that the wait could never end, and that nothing has changed.
    fn leave(&self, wait: Wait) -> Result<(), TaskError>;
    /// The wait that began last is over: the body goes on at once, whoever else has sat down meanwhile.
    fn retake(&self);
}

thread_local! {
    static SEAT: RefCell<Option<Arc<dyn Seat>>> = const { RefCell::new(None) };
}

/// Makes this thread a worker, or an ordinary thread again.
pub(crate) fn set(seat: Option<Arc<dyn Seat>>) {
    SEAT.with(|mine| *mine.borrow_mut() = seat);
}

/// Given up until dropped.
#[must_use]
pub(crate) struct Left(Option<Arc<dyn Seat>>);

/// Gives the seat up, if there is one here; the error is a wait that could never end.
pub(crate) fn leave(wait: Wait) -> Result<Left, TaskError> {
    flat::catch_up();
    let seat = SEAT.try_with(|seat| seat.borrow().clone()).unwrap_or(None);
    if let Some(seat) = &seat {
        seat.leave(wait)?;
    }
    Ok(Left(seat))
}

/// Gives the seat up for a wait that is never refused.
pub(crate) fn leave_open() -> Left {
    leave(Wait::Open).unwrap_or(Left(None))
}

impl Drop for Left {
    fn drop(&mut self) {
        if let Some(seat) = self.0.take() {
            seat.retake();
        }
    }
}

/// Runs `f`, which waits for something that the library cannot see (a socket, a child process, a foreign lock), with
/// the seat given up: as long as it waits, the pool runs other tasks with its full number of workers.
///
/// On a thread that is no worker it just runs `f`. The body goes on as soon as `f` returns.
///
/// ```
/// let pool = millhand::ThreadPool::new(1)?;
/// let (send, receive) = std::sync::mpsc::channel();
/// let waiting = pool.submit(move || millhand::blocking(|| receive.recv().unwrap()));
/// pool.execute(move || send.send(5).unwrap()).unwrap(); // the only worker is free to run this
/// assert_eq!(waiting.join().unwrap(), 5);
/// # Ok::<(), millhand::BuildError>(())
/// ```
pub fn blocking<T>(f: impl FnOnce() -> T) -> T {
    let _left = leave_open();
    f()
}
