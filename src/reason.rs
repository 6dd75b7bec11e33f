//! Why something is cancelled.
//!
//! Layer 0.

use std::fmt;

/// Who cancelled, or what.
///
/// ```
/// use millhand::{CancelReason, TaskError, promise};
///
/// let (_promise, handle) = promise::<u32>();
/// handle.cancel();
/// assert!(matches!(handle.join(), Err(TaskError::Cancelled(CancelReason::User))));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum CancelReason {
    /// Somebody called `cancel()`.
    User = 1,
    /// The pool shut down, or a signal asked the program to end.
    Shutdown = 2,
    /// The scope that the task belonged to ended it.
    Scope = 3,
    /// Another task of a race was faster.
    Race = 4,
    /// What was to settle or read it was dropped.
    Dropped = 5,
    /// A deadline passed.
    Deadline = 6,
    /// Another task of its group failed ([`join_all_ok`](crate::join_all_ok)).
    Group = 7,
}

impl CancelReason {
    /// The reason behind the code that an atomic holds; 0 is none.
    pub(crate) fn from_code(code: u8) -> Option<Self> {
        [
            Self::User,
            Self::Shutdown,
            Self::Scope,
            Self::Race,
            Self::Dropped,
            Self::Deadline,
            Self::Group,
        ]
        .into_iter()
        .find(|reason| *reason as u8 == code)
    }
}

impl fmt::Display for CancelReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "on request",
            Self::Shutdown => "shutdown",
            Self::Scope => "its scope ended",
            Self::Race => "another task won the race",
            Self::Dropped => "dropped by whoever held it",
            Self::Deadline => "its deadline passed",
            Self::Group => "another task of its group failed",
        })
    }
}
