//! Why a task or a token is cancelled, and for what a task waited when it was too late.
//!
//! Ground layer.

use std::fmt;

/// The reason of a cancellation: match on it to distinguish a user's cancel from a shutdown or a
/// deadline.
///
/// ```
/// use millhand::cancel::CancelReason;
/// use millhand::{TaskError, promise};
///
/// let (_promise, handle) = promise::<u32>();
/// handle.cancel();
/// assert!(matches!(handle.join(), Err(TaskError::Cancelled(CancelReason::User))));
/// ```
///
/// Guide: [cancelling](crate::guide::cancelling).
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
    /// ([`join_all_ok`](crate::join_all_ok), a [`Pipeline`](crate::compose::Pipeline)).
    Group = 7,
    /// The consumer of a durable job has lost its lease: another one may run the job.
    Lease = 8,
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
            8 => Self::Lease,
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
            Self::Lease => "its lease was lost",
        })
    }
}

/// For what a task waited when its time was over before it had started.
///
/// ```
/// use millhand::error::WaitedFor;
/// use millhand::{Semaphore, TaskError, ThreadPool};
/// use std::time::Duration;
///
/// let pool = ThreadPool::new(1)?;
/// let one = Semaphore::new(1)?;
/// let taken = one.acquire()?;
/// let late = pool.task().gate(&one).deadline(Duration::from_millis(5)).submit(|| ());
/// assert!(matches!(late.join(), Err(TaskError::Expired(WaitedFor::Gate))));
/// # drop(taken);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Guide: [errors](crate::guide::errors).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum WaitedFor {
    /// It was ready, and all workers were busy.
    Worker = 0,
    /// It stood in the line of a gate.
    Gate = 1,
    /// Its delay had not passed.
    Delay = 2,
    /// The tasks that it continues had not settled.
    Tasks = 3,
}

impl WaitedFor {
    /// The variant with this code, as atomics hold it.
    pub(crate) fn from_code(code: u8) -> Self {
        match code {
            1 => Self::Gate,
            2 => Self::Delay,
            3 => Self::Tasks,
            _ => Self::Worker,
        }
    }
}

impl fmt::Display for WaitedFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Worker => "a worker",
            Self::Gate => "its gates",
            Self::Delay => "the end of its delay",
            Self::Tasks => "the tasks that it continues",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_lead_back_to_their_reasons() {
        let reasons: Vec<_> = (0..=u8::MAX).filter_map(CancelReason::from_code).collect();
        assert_eq!(reasons.len(), 8);
        let codes: Vec<_> = reasons.iter().map(|reason| *reason as u8).collect();
        assert_eq!(codes, (1..=8).collect::<Vec<_>>());
    }
}
