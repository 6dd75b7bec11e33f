//! What a cell runs: one attempt at a task's body.
//!
//! Layer 2. Adapters wrap a body here; the cell knows only that it runs once and whether what came out counts as a
//! failure.

/// A body, ready to run.
pub(crate) trait Work: Send + 'static {
    type Output: Send + 'static;

    fn attempt(self) -> Self::Output;

    /// Whether this output counts as a failure in statistics and events.
    fn is_failure(_: &Self::Output) -> bool {
        false
    }
}

/// A body whose value is just a value.
pub(crate) struct PlainWork<F>(pub(crate) F);

impl<F, T> Work for PlainWork<F>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    type Output = T;

    fn attempt(self) -> T {
        (self.0)()
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

    fn attempt(self) -> Result<T, E> {
        (self.0)()
    }

    fn is_failure(output: &Result<T, E>) -> bool {
        output.is_err()
    }
}
