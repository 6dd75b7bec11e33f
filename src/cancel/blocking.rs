//! Blocking on a worker: a body that waits releases its run slot.
//!
//! Layer: cancel, so that whatever waits (a token, a gate, a place in a queue) can release the run
//! slot without knowing of pools. A pool of n workers has n run slots, the right to run bodies. A
//! thread that is no worker has none to release, and everything here does nothing on it.

use crate::cancel::{CancelGuard, CancelToken};
use crate::error::Stopped;
use crate::id::TaskId;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::trampoline;
use crate::sync::waiter::listener_here;
use std::cell::RefCell;
use std::sync::Arc;
use std::thread;

/// The worker that a thread is, as everything below the pool sees it. The pool implements it in
/// `pool/worker.rs`; `pool/` stands above everything that waits.
pub(crate) trait Worker: Send + Sync {
    /// The body here is about to wait: releases its run slot.
    fn begin_blocking(&self, target: Target);

    /// The wait that began last is over. The body goes on at once.
    fn end_blocking(&self);

    /// Whether the body here has its run slot.
    fn has_slot(&self) -> bool;

    /// The number of the body that runs here.
    fn body(&self) -> Option<TaskId>;

    /// The token of the body that runs here.
    fn token(&self) -> Option<CancelToken>;
}

/// What a body waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Tasks of the pool with this tag.
    Tasks(u32),
    /// A permit of a gate.
    Permit,
    /// At most a short time.
    Moment,
    Other,
}

crate::sync::thread_local! {
    static WORKER: RefCell<Option<Arc<dyn Worker>>> = const { RefCell::new(None) };
}

thread_local! {
    /// The scopes whose closures run on this thread, the innermost last: each with the body that
    /// opened it.
    static SCOPES: RefCell<Vec<(Option<TaskId>, CancelToken)>> = const { RefCell::new(Vec::new()) };
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

/// The token of the closure of a scope that runs here, or else of the body.
pub(crate) fn token_here() -> Option<CancelToken> {
    scope_token_here().or_else(|| worker()?.token())
}

/// The same, except in a destructor that runs while the thread unwinds: what waits there goes on to
/// its end.
pub(crate) fn token_unless_unwinding() -> Option<CancelToken> {
    token_here().filter(|_| !thread::panicking())
}

/// The token of the scope whose closure runs here, if one does in the innermost body, or outside of
/// any body.
pub(crate) fn scope_token_here() -> Option<CancelToken> {
    SCOPES
        .try_with(|scopes| {
            let scopes = scopes.borrow();
            let (body, token) = scopes.last()?;
            (*body == body_here()).then(|| token.clone())
        })
        .unwrap_or(None)
}

fn body_here() -> Option<TaskId> {
    worker()?.body()
}

/// The closure of a scope runs here until this is dropped.
#[must_use]
pub(crate) struct InScope(());

impl InScope {
    pub(crate) fn begin(token: &CancelToken) -> Self {
        let here = (body_here(), token.clone());
        SCOPES.with(|scopes| scopes.borrow_mut().push(here));
        Self(())
    }
}

impl Drop for InScope {
    fn drop(&mut self) {
        // The scope has its token.
        let _ = SCOPES.try_with(|scopes| scopes.borrow_mut().pop());
    }
}

/// Ends a wait when the body that waits is asked to stop, or the scope whose closure waits is
/// cancelled.
#[must_use]
pub(crate) struct Interrupt(Option<Listening>);

struct Listening {
    token: CancelToken,
    has_come: Arc<AtomicBool>,
    _hook: CancelGuard,
}

impl Interrupt {
    /// `wake` takes the lock of the monitor and notifies it. It is called at once if there is a
    /// reason already.
    pub(crate) fn here(wake: impl FnOnce() + Send + 'static) -> Self {
        Self(token_unless_unwinding().map(|token| {
            let has_come = Arc::new(AtomicBool::new(false));
            let flag = has_come.clone();
            let hook = token.on_cancel(move |_| {
                // ORDERING: relaxed, as the load. The lock of the monitor, which `wake` takes next,
                // orders the two.
                flag.store(true, Ordering::Relaxed);
                wake();
            });
            Listening {
                token,
                has_come,
                _hook: hook,
            }
        }))
    }

    /// Called with the lock of the monitor held.
    pub(crate) fn has_come(&self) -> bool {
        let listening = self.0.as_ref();
        listening.is_some_and(|here| here.has_come.load(Ordering::Relaxed))
    }

    /// Why the wait is to end, if it is.
    pub(crate) fn stopped(&self) -> Option<Stopped> {
        let reason = self.0.as_ref()?.token.reason();
        reason.map(Stopped::new)
    }
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
/// Bodies that live for long and wait again and again for moments, as one for each connection,
/// keep the tasks in the queue waiting: each goes on before these when its wait ends. Give such a
/// pool a worker for each of them.
///
/// ```
/// let pool = millhand::ThreadPool::new(1)?;
/// let (send, receive) = std::sync::mpsc::channel();
/// let waiting = pool.submit(move || millhand::blocking(|| receive.recv().unwrap()));
/// pool.execute(move || send.send(5).unwrap()); // the only worker is free to run this
/// assert_eq!(waiting.join().unwrap(), 5);
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
///
/// Guide: [cancelling](crate::guide::cancelling).
#[doc(alias = "to_thread")]
#[doc(alias = "run_in_executor")]
#[doc(alias = "block_in_place")]
pub fn blocking<T>(f: impl FnOnce() -> T) -> T {
    let _blocking = begin();
    settle();
    f()
}

/// The thread does nothing by itself until the wait that began last is over.
pub(crate) fn settle() {
    if let Some(listener) = listener_here() {
        listener.settles(true);
    }
}
