//! The bodies that run on this thread, and what they can ask.
//!
//! Layer: task. What a body asks about its worker is `Current`, in `pool/`.

use crate::cancel::blocking;
use crate::clock::{self, current};
use crate::error::Stopped;
use crate::id::TaskId;
use crate::panic;
use crate::process::NO_POOL;
use crate::reason::CancelReason;
use crate::task::pool::Level;
use crate::task::stack::Stack;
use crate::task::task::TaskRef;
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

crate::sync::thread_local! {
    static STACK: RefCell<Option<Arc<Stack>>> = const { RefCell::new(None) };
}

thread_local! {
    /// The tag of the pool whose worker this thread is, so that a submission needs one look.
    static OWNER: Cell<u32> = const { Cell::new(NO_POOL) };
}

/// Whether this thread is a worker of the pool with this tag.
#[inline]
pub(crate) fn is_worker_of(owner: u32) -> bool {
    OWNER.try_with(|mine| mine.get() == owner).unwrap_or(false)
}

/// Makes this thread a worker, or an ordinary thread again.
pub(crate) fn set_stack(stack: Option<Arc<Stack>>) {
    OWNER.set(stack.as_ref().map_or(NO_POOL, |stack| stack.owner));
    if let Some(stack) = &stack {
        stack.begins_here();
    }
    STACK.with(|mine| *mine.borrow_mut() = stack);
}

/// The stack of the worker that this thread is.
pub(crate) fn stack() -> Option<Arc<Stack>> {
    STACK
        .try_with(|stack| stack.borrow().clone())
        .unwrap_or(None)
}

/// The innermost wait of a worker is for this task, until this is dropped.
pub(crate) struct Awaited(Option<(Arc<Stack>, Option<TaskRef>)>);

impl Awaited {
    pub(crate) fn begin(task: &TaskRef) -> Self {
        let here = |stack: Arc<Stack>| {
            let before = stack.awaited.lock().replace(task.clone());
            (stack, before)
        };
        Self(stack().map(here))
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        if let Some((stack, before)) = self.0.take() {
            // The waiter has another reference to the task.
            *stack.awaited.lock() = before;
        }
    }
}

/// The task whose body runs on this thread.
pub(crate) fn top_id() -> Option<TaskId> {
    stack()?.top_id()
}

/// The level of what this thread submits to the pool with this tag.
pub(crate) fn level_here(owner: u32) -> Level {
    if !is_worker_of(owner) {
        return Level::default();
    }
    stack().map_or(Level::default(), |stack| stack.level().child())
}

/// The task whose body runs on this thread, if this is a worker of the pool with this tag.
pub(crate) fn body_here(owner: u32) -> Option<TaskRef> {
    stack().filter(|stack| stack.owner == owner)?.top()
}

/// Where in the run queue a submission stands: its level, and the task whose body submits it.
#[derive(Default)]
pub(crate) struct Place {
    pub(crate) level: Level,
    pub(crate) parent: Option<TaskRef>,
}

/// The place of what this thread submits to the pool with this tag.
pub(crate) fn place_here(owner: u32) -> Place {
    let stack = stack().filter(|stack| stack.owner == owner);
    stack.map_or_else(Place::default, |stack| Place {
        level: stack.level().child(),
        parent: stack.top(),
    })
}

/// Why the body that runs here was asked to stop.
fn body_stop_reason() -> Option<CancelReason> {
    clock::poll();
    stack()?.top()?.stop_reason()
}

/// The same, or why the scope was cancelled whose closure runs here.
pub(crate) fn stop_reason() -> Option<CancelReason> {
    let body = body_stop_reason();
    body.or_else(|| blocking::scope_token_here()?.reason())
}

/// Why a wait ends that is about to begin here. In a destructor that runs while the thread unwinds,
/// waits go on to their end: it may clean up with them.
pub(crate) fn interrupted() -> Option<Stopped> {
    if thread::panicking() {
        return None;
    }
    stop_reason().map(Stopped::new)
}

/// Returns whether the task that runs on this thread was asked to stop, or the scope was cancelled
/// whose closure runs. Elsewhere it returns false.
///
/// ```
/// let pool = millhand::ThreadPool::new(1)?;
/// let spinning = pool.submit(|| while !millhand::is_cancelled() { std::hint::spin_loop() });
/// spinning.cancel();
/// # drop(pool);
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
///
/// Guide: [cancelling](crate::guide::cancelling).
pub fn is_cancelled() -> bool {
    stop_reason().is_some()
}

/// Returns an error if the task that runs on this thread was asked to stop, or the scope was
/// cancelled whose closure runs, for `?`. Elsewhere it returns `Ok`.
///
/// ```
/// fn work() -> Result<u32, millhand::error::Stopped> {
///     for _ in 0..3 {
///         millhand::check()?;
///     }
///     Ok(3)
/// }
/// assert_eq!(work(), Ok(3));
/// ```
///
/// Guide: [cancelling](crate::guide::cancelling).
///
/// # Errors
/// [`Stopped`], with the reason, when the task was asked to stop.
pub fn check() -> Result<(), Stopped> {
    match stop_reason() {
        Some(reason) => Err(Stopped::new(reason)),
        None => Ok(()),
    }
}

/// Leaves the running body if its task was asked to stop. It unwinds without the message of a
/// panic, and the task settles by the reason. Outside a task, and before a request, it does
/// nothing.
///
/// In a destructor that a panic or another checkpoint has called, it does nothing: the destructor
/// runs to its end.
///
/// For bodies that have no `Result` to return. It needs unwinding: with `panic = "abort"` use
/// [`check`].
///
/// ```
/// use millhand::task::CancelOutcome;
/// use millhand::{TaskError, ThreadPool};
///
/// let pool = ThreadPool::new(1)?;
/// let (sender, receiver) = std::sync::mpsc::channel();
/// let endless = pool.submit(move || loop {
///     let _ = sender.send(());
///     millhand::checkpoint();
/// });
/// receiver.recv()?;
/// assert_eq!(endless.cancel(), CancelOutcome::Requested);
/// assert!(matches!(endless.join(), Err(TaskError::Cancelled(_))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Guide: [cancelling](crate::guide::cancelling).
pub fn checkpoint() {
    match body_stop_reason() {
        // In a destructor a second unwind would abort the process.
        Some(reason) if !thread::panicking() => panic::unwind(reason),
        _ => {}
    }
}

/// Sleeps for `duration`, or until the task that runs on this thread is asked to stop, or the scope
/// is cancelled whose closure runs. Outside of a task it sleeps the whole time. In a task it
/// follows the clock of the task's pool.
///
/// The body releases its run slot meanwhile, so that other tasks run: during a sleep of at most
/// 2 ms only what tasks like it have submitted, unless it sleeps so again and again. So it is not
/// what stands for work in a test of load: `std::thread::sleep` keeps the run slot, and
/// [`check`] between two of them sees a request to stop.
///
/// ```
/// use std::time::Duration;
///
/// millhand::sleep(Duration::from_millis(1))?;
/// # Ok::<(), millhand::error::Stopped>(())
/// ```
///
/// Guide: [time](crate::guide::time).
///
/// # Errors
/// [`Stopped`], with the reason, when the task was asked to stop before or while it slept.
pub fn sleep(duration: Duration) -> Result<(), Stopped> {
    let token = blocking::token_unless_unwinding().unwrap_or_default();
    let clock = current::clock();
    token.wait_by(&clock, clock.deadline(duration), &|| false);
    match token.reason() {
        Some(reason) => Err(Stopped::new(reason)),
        None => Ok(()),
    }
}
