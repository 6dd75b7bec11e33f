//! What a cell runs: attempts at a task's body.
//!
//! Layer 2. Adapters wrap a body here; the cell knows only how an attempt ended, and whether there is to be another.

use crate::error::TaskError;
use crate::panic::{self, Payload};
use crate::reason::CancelReason;
use crate::seat::Awaited;
use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

/// A body, ready to run.
pub(crate) trait Work: Sized + Send + 'static {
    type Output: Send + 'static;

    /// Runs the body. It comes back if it could run once more.
    fn attempt(self) -> (Result<Self::Output, Payload>, Option<Self>);

    /// Dropped unrun, since its task was cancelled for that reason. `task` is the address by which its task watches others.
    fn abandon(self, _reason: CancelReason, _task: usize) {
        panic::discard_flat(self);
    }

    /// The tasks that must all settle before it can begin, as the wait graph asks.
    fn behind(&self) -> Vec<Awaited> {
        Vec::new()
    }

    /// Whether this output counts as a failure in statistics and events.
    fn is_failure(_: &Self::Output) -> bool {
        false
    }

    /// The error in an output that counts as a failure.
    fn into_error(_: Self::Output) -> Option<Box<dyn Any + Send>> {
        None
    }

    /// How long until it is to be tried again, after an attempt that ended so; `None`: that was the last.
    fn again(&self, _: Failure<'_, Self::Output>, _: &Facts) -> Option<Duration> {
        None
    }

    /// What this failure says, if it can be told.
    fn text(&self, _: &Self::Output) -> Option<Arc<str>> {
        None
    }
}

/// Why a body that continues others gives nothing: what it was to go on with is not there. As a payload, since nothing
/// else takes the place of an output.
pub(crate) struct Carried(pub(crate) TaskError);

/// A body that may pass on why there is nothing.
pub(crate) struct PassingWork<F>(pub(crate) F);

impl<F, T> Work for PassingWork<F>
where
    F: FnOnce() -> Result<T, TaskError> + Send + 'static,
    T: Send + 'static,
{
    type Output = T;

    fn attempt(self) -> (Result<T, Payload>, Option<Self>) {
        let result = panic::catch(self.0);
        let carried = |error| Box::new(Carried(error)) as Payload;
        (result.and_then(|result| result.map_err(carried)), None)
    }
}

/// How an attempt ended that was none too good.
pub(crate) enum Failure<'a, T> {
    /// The body returned this, which is a failure.
    Failed(&'a T),
    /// It was over its time.
    TimedOut,
    Panicked,
}

/// What a decision about another attempt goes by.
pub(crate) struct Facts {
    /// Attempts so far.
    pub(crate) attempts: u32,
    /// Since the first began.
    pub(crate) elapsed: Duration,
    /// One number a task.
    pub(crate) salt: u64,
}

/// A body whose value is just a value.
pub(crate) struct PlainWork<F>(pub(crate) F);

impl<F, T> Work for PlainWork<F>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    type Output = T;

    fn attempt(self) -> (Result<T, Payload>, Option<Self>) {
        (panic::catch(self.0), None)
    }
}

/// A body whose `Err` is a failure.
pub(crate) struct FallibleWork<F>(pub(crate) F);

impl<F, T, E> Work for FallibleWork<F>
where
    F: FnOnce() -> Result<T, E> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
{
    type Output = Result<T, E>;

    fn attempt(self) -> (Result<Self::Output, Payload>, Option<Self>) {
        (panic::catch(self.0), None)
    }

    fn is_failure(output: &Self::Output) -> bool {
        output.is_err()
    }

    fn into_error(output: Self::Output) -> Option<Box<dyn Any + Send>> {
        output.err().map(|error| Box::new(error) as _)
    }
}
