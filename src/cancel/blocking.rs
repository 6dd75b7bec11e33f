//! Blocking on a worker: a body that waits releases its run slot.
//!
//! Layer: cancel, so that whatever waits (a token, a gate, a place in a queue) can release the run
//! slot without knowing of pools. A pool of n workers has n run slots, the right to run bodies. A
//! thread that is no worker has none to release, and everything here does nothing on it.

use crate::cancel::CancelToken;
use crate::sync::trampoline;
use std::cell::RefCell;
use std::sync::Arc;

/// The worker that a thread is, as everything below the pool sees it. The pool implements it in
/// `pool/worker.rs`; `pool/` stands above everything that waits.
pub(crate) trait Worker: Send + Sync {
    /// The body here is about to wait: releases its run slot.
    fn begin_blocking(&self, target: Target);

    /// The wait that began last is over. The body goes on at once.
    fn end_blocking(&self);

    /// Whether the body here has its run slot.
    fn has_slot(&self) -> bool;

    /// The token of the body that runs here.
    fn token(&self) -> Option<CancelToken>;
}

/// What a body waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Tasks of the pool with this tag.
    Tasks(u32),
    /// At most a short time.
    Moment,
    Other,
}

crate::sync::thread_local! {
    static WORKER: RefCell<Option<Arc<dyn Worker>>> = const { RefCell::new(None) };
}

/// Makes this thread a worker, or an ordinary thread again.
pub(crate) fn set_worker(worker: Option<Arc<dyn Worker>>) {
    WORKER.with(|mine| *mine.borrow_mut() = worker);
}

fn worker() -> Option<Arc<dyn Worker>> {
    WORKER
        .try_with(|mine| mine.borrow().clone())
        .unwrap_or(None)
}

/// The token of the body that runs here.
pub(crate) fn token_here() -> Option<CancelToken> {
    worker()?.token()
}

/// Whether a body runs here that has its run slot.
pub(crate) fn has_slot() -> bool {
    worker().is_some_and(|worker| worker.has_slot())
}

/// The run slot is released until this is dropped.
#[must_use]
pub(crate) struct Blocking(Option<Arc<dyn Worker>>);

/// Releases the run slot, if there is one here.
pub(crate) fn begin() -> Blocking {
    begin_for(Target::Other)
}

pub(crate) fn begin_for(target: Target) -> Blocking {
    trampoline::run_deferred();
    let worker = worker();
    if let Some(worker) = &worker {
        worker.begin_blocking(target);
    }
    Blocking(worker)
}

impl Drop for Blocking {
    fn drop(&mut self) {
        if let Some(worker) = self.0.take() {
            worker.end_blocking();
        }
    }
}

/// Runs a closure that waits for something the library cannot see: a socket, a child process, a
/// foreign lock. Meanwhile the body releases its run slot, so that the pool runs other tasks with
/// its full number of workers.
///
/// The body goes on as soon as `f` returns. On a thread that is no worker this only runs `f`.
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
    let _blocking = begin();
    f()
}
