//! What ends a run before its time.

use millhand::{CancelToken, Signals};
use std::fmt::Display;
use std::sync::OnceLock;

/// The two steps of an end, and why the run cannot go on. The reader, the tasks and the printer
/// share it.
pub(crate) struct Stop {
    /// Once it is cancelled, no more lines are taken. A signal cancels it.
    pub(crate) start: CancelToken,
    /// Ends the commands that run, and those that were taken.
    pub(crate) run: CancelToken,
    error: OnceLock<String>,
}

impl Stop {
    pub(crate) fn new(signals: &Signals) -> Self {
        Self {
            start: signals.token().child(),
            run: CancelToken::new(),
            error: OnceLock::new(),
        }
    }

    pub(crate) fn takes_more(&self) -> bool {
        !self.start.is_cancelled()
    }

    /// Ends what runs, and takes no more.
    pub(crate) fn end(&self) {
        self.start.cancel();
        self.run.cancel();
    }

    /// Lets what was taken go on, and takes no more. The first error counts.
    pub(crate) fn fail(&self, error: impl Display) {
        let _ = self.error.set(error.to_string());
        self.start.cancel();
    }

    /// The same, and ends what runs.
    pub(crate) fn abort(&self, error: impl Display) {
        self.fail(error);
        self.end();
    }

    pub(crate) fn error(&self) -> Option<&str> {
        self.error.get().map(String::as_str)
    }
}
