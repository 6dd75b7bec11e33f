//! The handle of a scoped task, and where its result waits.
//!
//! Layer 6.
//
// A result may borrow, and so it never lies in the cell, which anybody may keep: it lies in a packet that the body and
// the handle share. Both are gone, or have let go of it, when the scope ends. What does lie in the cell, and may lie
// there for as long as it likes, borrows nothing: `()` or an error, which has to be `'static`.

use crate::aftermath::Outcome;
use crate::cancel::CancelToken;
use crate::compose::handles::{Handle, Joins, Link};
use crate::compose::members::Members;
use crate::error::{JoinError, TaskError};
use crate::extras::Group;
use crate::id::TaskId;
use crate::panic;
use crate::reason::CancelReason;
use crate::task::{CancelOutcome, Joinable, TaskRef, TaskState, deadline, face, wait_for};
use parking_lot::Mutex;
use std::any::Any;
use std::fmt;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

/// The handle of a task in a [`Scope`](crate::Scope): waits for it, takes its outcome, cancels it.
///
/// It does what a [`TaskHandle`](crate::TaskHandle) does as long as the scope lasts. Dropping it leaves the task to the
/// scope, which waits for it in any case and gets to know of its failure. What goes on after the scope's end (`share`,
/// callbacks, continuations) is not for tasks that borrow:
///
/// ```compile_fail,E0599
/// let pool = millhand::ThreadPool::new(1).unwrap();
/// let text = String::from("borrowed");
/// pool.scope(|s| s.submit(|| &text).share());
/// ```
///
/// ```compile_fail,E0599
/// let pool = millhand::ThreadPool::new(1).unwrap();
/// let text = String::from("borrowed");
/// pool.scope(|s| s.submit(|| &text).then(|text| println!("{text:?}")));
/// ```
///
/// ```compile_fail,E0599
/// let pool = millhand::ThreadPool::new(1).unwrap();
/// let text = String::from("borrowed");
/// pool.scope(|s| s.submit(|| &text).on_finish(|_| ()));
/// ```
///
/// Nor does it leave the scope:
///
/// ```compile_fail
/// let pool = millhand::ThreadPool::new(1).unwrap();
/// let text = String::from("borrowed");
/// let escaped = pool.scope(|s| s.submit(|| text.len()));
/// ```
///
/// ```
/// let pool = millhand::ThreadPool::new(2)?;
/// let words = ["mill", "hand"];
/// let longest = pool.scope(|s| {
///     let handles: Vec<_> = words.iter().map(|word| s.submit(|| word.len())).collect();
///     handles.into_iter().map(|handle| handle.join().unwrap()).max()
/// });
/// assert_eq!(longest, Some(4));
/// # Ok::<(), millhand::BuildError>(())
/// ```
pub struct ScopedHandle<'scope, T> {
    task: TaskRef,
    end: Box<dyn End<T> + Send + Sync + 'scope>,
}

/// Where a scoped task's outcome is.
pub(crate) trait End<T> {
    fn take(&self) -> Option<Outcome<T>>;
    fn let_go(&self);
}

/// Parts of it: `O` is in the cell, and `T` is not.
pub(crate) struct Parts<T, O> {
    pub(crate) cell: Arc<dyn Joinable<O>>,
    pub(crate) packet: Arc<Packet<T>>,
    pub(crate) members: Arc<Members>,
    pub(crate) index: usize,
}

/// What of a scoped task lies in its cell.
pub(crate) trait InCell: Send + 'static {
    fn into_error(self) -> Option<Box<dyn Any + Send>>;
}

impl InCell for () {
    fn into_error(self) -> Option<Box<dyn Any + Send>> {
        None
    }
}

impl<E: Send + 'static> InCell for Result<(), E> {
    fn into_error(self) -> Option<Box<dyn Any + Send>> {
        self.err().map(|error| Box::new(error) as _)
    }
}

impl<T, O: InCell> Parts<T, O> {
    fn value(&self) -> T {
        let value = self.packet.take();
        value.expect("a task that has come to its end has left its value")
    }

    fn let_go(&self) {
        panic::discard(self.packet.desert());
        let failure = match self.cell.detach() {
            Some(Ok(output)) => output.into_error().map(JoinError::Failed),
            Some(Err(error)) => Some(JoinError::Task(error)),
            None => None,
        };
        if let Some(failure) = failure {
            let task = self.cell.clone().as_any_task();
            self.members.unread(self.index, task.who(), failure);
        }
    }
}

impl<T: Send> End<T> for Parts<T, ()> {
    fn take(&self) -> Option<Outcome<T>> {
        let outcome = self.cell.take()?;
        Some(outcome.map(|()| self.value()))
    }

    fn let_go(&self) {
        Parts::let_go(self);
    }
}

impl<T: Send, E: Send + 'static> End<Result<T, E>> for Parts<T, Result<(), E>> {
    fn take(&self) -> Option<Outcome<Result<T, E>>> {
        let outcome = self.cell.take()?;
        Some(outcome.map(|result| result.map(|()| self.value())))
    }

    fn let_go(&self) {
        Parts::let_go(self);
    }
}

/// The result, between the body and the handle.
pub(crate) struct Packet<T>(Mutex<State<T>>);

enum State<T> {
    Empty,
    Full(T),
    /// The handle is gone.
    Deserted,
}

impl<T> Packet<T> {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(State::Empty)))
    }

    /// Leaves the body's value for the handle, or drops it when there is none.
    pub(crate) fn put(&self, value: T) {
        let mut state = self.0.lock();
        let unwanted = match &*state {
            State::Deserted => State::Full(value),
            _ => mem::replace(&mut *state, State::Full(value)),
        };
        drop(state);
        panic::discard(unwanted);
    }

    fn take(&self) -> Option<T> {
        match mem::replace(&mut *self.0.lock(), State::Empty) {
            State::Full(value) => Some(value),
            _ => None,
        }
    }

    fn desert(&self) -> Option<T> {
        match mem::replace(&mut *self.0.lock(), State::Deserted) {
            State::Full(value) => Some(value),
            _ => None,
        }
    }
}

impl<'scope, T> ScopedHandle<'scope, T> {
    pub(crate) fn new<V, O>(parts: Parts<V, O>) -> Self
    where
        Parts<V, O>: End<T> + Send + Sync + 'scope,
    {
        Self {
            task: parts.cell.clone().as_any_task(),
            end: Box::new(parts),
        }
    }

    fn task(&self) -> &TaskRef {
        &self.task
    }

    face!();

    /// Waits for the outcome and takes it. A panic that is read here does not come through when the scope ends.
    ///
    /// # Errors
    /// As [`TaskHandle::join`](crate::TaskHandle::join).
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let numbers = [1, 2, 3];
    /// pool.scope(|s| {
    ///     assert_eq!(s.submit(|| numbers.iter().sum::<i32>()).join().unwrap(), 6);
    ///     let broken = s.submit(|| -> i32 { panic!("{numbers:?}") });
    ///     assert!(broken.join().is_err()); // and the scope ends well
    /// });
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn join(self) -> Result<T, TaskError> {
        wait_for(&self.task, None)?;
        self.taken()
    }

    fn taken(&self) -> Result<T, TaskError> {
        let outcome = self.end.take();
        outcome.expect("an outcome is taken once, by what consumes the handle")
    }

    /// Takes the outcome if it is there. Never waits.
    ///
    /// # Errors
    /// The handle, when the task has not finished.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let text = String::from("7");
    /// pool.scope(|s| {
    ///     let mut handle = s.submit(|| text.parse::<u8>());
    ///     let outcome = loop {
    ///         match handle.try_join() {
    ///             Ok(outcome) => break outcome,
    ///             Err(unfinished) => handle = unfinished,
    ///         }
    ///     };
    ///     assert_eq!(outcome.unwrap(), Ok(7));
    /// });
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn try_join(self) -> Result<Result<T, TaskError>, Self> {
        self.end.take().ok_or(self)
    }

    /// Waits for the outcome, `timeout` long at most (counted from the call; one that overflows the clock means for
    /// ever), and takes it.
    ///
    /// # Errors
    /// The handle, when the task has not finished in time. Other errors are inside, as [`join`](Self::join) has them.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let text = String::from("7");
    /// pool.scope(|s| {
    ///     let parsed = s.submit(|| text.parse::<u8>()).join_timeout(Duration::from_secs(60));
    ///     assert_eq!(parsed.unwrap().unwrap(), Ok(7));
    /// });
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn join_timeout(self, timeout: Duration) -> Result<Result<T, TaskError>, Self> {
        match wait_for(&self.task, deadline(&self.task, timeout)) {
            Ok(true) => Ok(self.taken()),
            Ok(false) => Err(self),
            Err(error) => Ok(Err(error)),
        }
    }
}

impl<T, E> ScopedHandle<'_, Result<T, E>> {
    /// Waits for the outcome of a body that returns a `Result`, with both kinds of failure in one error.
    ///
    /// # Errors
    /// [`JoinError::Failed`] with the body's error, [`JoinError::Task`] with the task's.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let text = String::from("7");
    /// assert_eq!(pool.scope(|s| s.submit(|| text.parse::<u8>()).join_ok()).unwrap(), 7);
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn join_ok(self) -> Result<T, JoinError<E>> {
        match self.join() {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(JoinError::Failed(error)),
            Err(error) => Err(JoinError::Task(error)),
        }
    }
}

impl<T> Drop for ScopedHandle<'_, T> {
    fn drop(&mut self) {
        self.end.let_go();
    }
}

impl<T> fmt::Debug for ScopedHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { task, end: _ } = self;
        f.debug_struct("ScopedHandle")
            .field("id", &task.id())
            .field("name", &task.name())
            .field("state", &task.state())
            .finish_non_exhaustive()
    }
}

impl<T> Joins for ScopedHandle<'_, T> {
    type Output = T;

    fn link(&self) -> Link {
        Link {
            task: self.task.clone(),
            alone: true,
        }
    }

    fn outcome(self) -> Result<T, TaskError> {
        self.join()
    }

    fn boxed_outcome(self: Box<Self>) -> Result<T, TaskError> {
        self.join()
    }
}

/// Waited for and raced with others, as long as the scope lasts; not continued.
impl<T> Handle for ScopedHandle<'_, T> {}
