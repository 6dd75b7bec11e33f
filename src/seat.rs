//! The seat of the thread that runs here: given up around every wait.
//!
//! Layer 0, so that whatever waits (a slot, a token, a queue's place) can give the seat up without knowing of pools.
//! A pool of n workers has n seats, the right to run bodies. A thread that is no worker has none to give up, and
//! everything here is nothing to it.

use crate::error::TaskError;
use crate::flat;
use crate::id::TaskId;
use std::cell::RefCell;
use std::panic::Location;
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
    pub(crate) name: Option<Arc<str>>,
    /// Where it was submitted.
    pub(crate) site: &'static Location<'static>,
    /// The tag of its pool.
    pub(crate) owner: u32,
    /// For one that only a certain worker may run.
    pub(crate) pinned: Option<Pinned>,
}

/// A worker: the tag of its pool, and its index.
pub(crate) type Place = (u32, usize);

/// Which worker that is, and whether the task waits for it still.
#[derive(Clone)]
pub(crate) struct Pinned {
    pub(crate) worker: Place,
    pub(crate) is_queued: Arc<dyn Fn() -> bool + Send + Sync>,
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
