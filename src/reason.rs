//! Why a task or a token is cancelled.
//!
//! Ground layer.

use std::fmt;

/// The reason of a cancellation: match on it to distinguish a user's cancel from a shutdown or a
/// deadline.
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
    /// The program called `cancel()`.
    User = 1,
    /// The pool shut down, or a signal asked the program to end.
    Shutdown = 2,
    /// The scope of the task ended early.
    Scope = 3,
    /// Another task of a race was faster, or the wait for the race was interrupted.
    Race = 4,
    /// The task's promise, handle or iterator was dropped.
    Dropped = 5,
    /// A deadline passed.
    Deadline = 6,
    /// Another task of its group failed, or the wait for the group was interrupted
    /// ([`join_all_ok`](crate::join_all_ok), a [`Pipeline`](crate::Pipeline)).
    Group = 7,
}

impl CancelReason {
    /// The reason with this code, as atomics hold it; 0 means none.
    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::User,
            2 => Self::Shutdown,
            3 => Self::Scope,
            4 => Self::Race,
            5 => Self::Dropped,
            6 => Self::Deadline,
            7 => Self::Group,
            _ => return None,
        })
    }
}

impl fmt::Display for CancelReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "on request",
            Self::Shutdown => "shutdown",
            Self::Scope => "its scope ended",
            Self::Race => "another task won the race",
            Self::Dropped => "its promise, handle or iterator was dropped",
            Self::Deadline => "its deadline passed",
            Self::Group => "another task of its group failed",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_lead_back_to_their_reasons() {
        let reasons: Vec<_> = (0..=u8::MAX).filter_map(CancelReason::from_code).collect();
        assert_eq!(reasons.len(), 7);
        let codes: Vec<_> = reasons.iter().map(|reason| *reason as u8).collect();
        assert_eq!(codes, (1..=7).collect::<Vec<_>>());
    }
}
