//! The handle of a scoped task, and the packet in which the value waits for it.
//!
//! Layer: compose.
//
// A value may borrow, so it is never in the task, which may be kept for longer than the scope. It
// is in a packet that the body and the handle share. When the scope ends, both are gone or have
// released their shares. What is in the task borrows nothing: an error, which has to be
// `'static`.

use crate::cancel::CancelToken;
use crate::compose::scope::state::ScopeState;
use crate::compose::wait::{Handle, Link, with_key};
use crate::error::{JoinError, TaskError, ok_value};
use crate::id::TaskId;
use crate::panic;
use crate::reason::CancelReason;
use crate::sync::Mutex;
use crate::task::group_error::BoxedError;
use crate::task::{CancelOutcome, OutcomeKind, TaskRef, TaskState, deadline, face, join, wait_for};
use std::fmt;
use std::marker::PhantomData;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

/// Waits for a task of a [`Scope`](crate::Scope), takes its outcome, or cancels it.
///
/// It does what a [`TaskHandle`](crate::TaskHandle) does, as long as the scope lasts. Dropping it
/// leaves the task to the scope, which waits for it in any case and handles its failure. What may
/// go on after the end of the scope (`share`, callbacks, continuations) is not available for
/// tasks that borrow:
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
/// The handle cannot leave the scope:
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
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
///
/// Guide: [composition](crate::guide::composition).
pub struct ScopedHandle<'scope, T> {
    packet: Arc<Packet<T>>,
    // After the packet, so that a value that no handle takes is dropped before a failure is
    // reported.
    held: ScopedHeld,
    scope: PhantomData<&'scope ()>,
}

with_key!(['scope, T] ScopedHandle<'scope, T>);

/// A scoped handle without the type of its value.
struct ScopedHeld {
    /// `None` once the outcome was taken.
    task: Option<TaskRef>,
    state: Arc<ScopeState>,
    index: usize,
}

impl ScopedHeld {
    fn task(&self) -> &TaskRef {
        self.task
            .as_ref()
            .expect("only calls that consume the handle take it")
    }

    /// The error that the body returned, if it failed; `None` if it completed.
    fn take(&mut self) -> Result<Option<BoxedError>, TaskError> {
        let task = self
            .task
            .take()
            .expect("only calls that consume the handle take it");
        Ok(match task.take_kind()? {
            OutcomeKind::Failed => task.take_boxed_error(),
            _ => None,
        })
    }
}

impl Drop for ScopedHeld {
    /// No handle will take the outcome, so a failure goes to the scope.
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.detach(Some((&*self.state, self.index)));
        }
    }
}

/// The place of the value of a scoped body until the handle takes it.
pub(crate) struct Packet<T> {
    state: Mutex<State<T>>,
    /// Makes the value of a body that failed from its error.
    failed: fn(BoxedError) -> T,
}

enum State<T> {
    Empty,
    Full(T),
    /// The handle was dropped.
    Abandoned,
}

impl<T> Packet<T> {
    pub(crate) fn new() -> Arc<Self> {
        Self::with(|_| unreachable!("this body cannot fail"))
    }

    fn with(failed: fn(BoxedError) -> T) -> Arc<Self> {
        let state = Mutex::new(State::Empty);
        Arc::new(Self { state, failed })
    }

    #[inline(never)] // Once per type of value, not once per closure.
    pub(crate) fn put(&self, value: T) {
        let mut state = self.state.lock();
        let unwanted = match &*state {
            State::Abandoned => State::Full(value),
            _ => mem::replace(&mut *state, State::Full(value)),
        };
        drop(state);
        panic::discard(unwanted);
    }

    #[inline(never)] // As `put`.
    fn swap(&self, with: State<T>) -> Option<T> {
        match mem::replace(&mut *self.state.lock(), with) {
            State::Full(value) => Some(value),
            _ => None,
        }
    }
}

impl<T, E: 'static> Packet<Result<T, E>> {
    pub(crate) fn fallible() -> Arc<Self> {
        Self::with(|error| Err(error.into_typed()))
    }
}

impl<'scope, T> ScopedHandle<'scope, T> {
    pub(crate) fn new(
        packet: Arc<Packet<T>>,
        task: TaskRef,
        state: Arc<ScopeState>,
        index: usize,
    ) -> Self {
        Self {
            packet,
            held: ScopedHeld {
                task: Some(task),
                state,
                index,
            },
            scope: PhantomData,
        }
    }

    fn task(&self) -> &TaskRef {
        self.held.task()
    }

    face!();

    /// Waits for the outcome and takes it. A panic that is taken here does not make the scope
    /// panic when it ends. As [`TaskHandle::join`](crate::TaskHandle::join), it may run the task
    /// itself.
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
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn join(mut self) -> Result<T, TaskError> {
        join(self.task())?;
        self.taken()
    }

    /// The outcome of a task that has settled.
    fn taken(&mut self) -> Result<T, TaskError> {
        Ok(match self.held.take()? {
            Some(error) => (self.packet.failed)(error),
            None => {
                let value = self.packet.swap(State::Empty);
                value.expect("a scoped task that completed has put its value")
            }
        })
    }

    /// Takes the outcome if it is there. Never waits.
    ///
    /// # Errors
    /// The handle, if the task has not finished.
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
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn try_join(mut self) -> Result<Result<T, TaskError>, Self> {
        if !self.is_finished() {
            return Err(self);
        }
        Ok(self.taken())
    }

    /// Waits for the outcome for at most `timeout` and takes it. The time counts from the call. A
    /// `timeout` that overflows the clock means no limit.
    ///
    /// # Errors
    /// The handle, if the task has not finished in time. The inner result has the errors of
    /// [`join`](Self::join).
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
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn join_timeout(mut self, timeout: Duration) -> Result<Result<T, TaskError>, Self> {
        match wait_for(self.task(), deadline(self.task(), timeout)) {
            Ok(true) => Ok(self.taken()),
            Ok(false) => Err(self),
            Err(error) => Ok(Err(error)),
        }
    }
}

impl<T, E> ScopedHandle<'_, Result<T, E>> {
    /// Waits for the value of a body that returns a `Result`, with both kinds of failure in one
    /// error.
    ///
    /// # Errors
    /// [`JoinError::Failed`] with the error of the body, [`JoinError::Task`] with that of the task.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let text = String::from("7");
    /// assert_eq!(pool.scope(|s| s.submit(|| text.parse::<u8>()).join_ok()).unwrap(), 7);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn join_ok(self) -> Result<T, JoinError<E>> {
        ok_value(self.join())
    }

    /// Waits for the value of a body that returns a `Result`, with the error of the body, to which
    /// the task's error is converted.
    ///
    /// # Errors
    /// The body's error, or the task's.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let path = String::from("Cargo.toml");
    /// let size = pool.scope(|s| -> std::io::Result<u64> {
    ///     Ok(s.submit(|| std::fs::metadata(&path)).join_flat()?.len())
    /// });
    /// assert!(size? > 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn join_flat(self) -> Result<T, E>
    where
        E: From<TaskError>,
    {
        self.join()?
    }
}

impl<T> Drop for ScopedHandle<'_, T> {
    fn drop(&mut self) {
        panic::discard(self.packet.swap(State::Abandoned));
    }
}

impl<T> fmt::Debug for ScopedHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            packet: _,
            held,
            scope: _,
        } = self;
        f.debug_struct("ScopedHandle")
            .field("id", &held.task().head.id())
            .field("name", &held.task().head.name())
            .field("state", &held.task().state())
            .finish_non_exhaustive()
    }
}
// A scoped task can be waited for and raced with others as long as the scope lasts. It cannot be
// continued: a continuation demands `'static`.
impl<T> Handle for ScopedHandle<'_, T> {
    type Output = T;
    type Key = usize;

    fn link(&self) -> Link {
        Link {
            task: self.task().clone(),
            alone: true,
        }
    }

    fn outcome(self) -> Result<T, TaskError> {
        self.join()
    }

    fn keyed_outcome(self, place: usize) -> (usize, Result<T, TaskError>) {
        (place, self.outcome())
    }
}
