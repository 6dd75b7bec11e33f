//! The errors of a whole pool: of its start, and of a wait for it.

use crate::error::{Rejection, Stopped};
use std::error::Error;
use std::fmt;
use std::io;

/// The error of [`build`](crate::pool::PoolBuilder::build) and of
/// [`ThreadPool::new`](crate::ThreadPool::new): it names the option that was not allowed.
///
/// ```
/// use millhand::pool::BuildError;
/// use millhand::ThreadPool;
///
/// let error = ThreadPool::new(0).unwrap_err();
/// assert!(matches!(error, BuildError::Invalid { option: "workers", .. }));
/// ```
///
/// Guide: [errors](crate::guide::errors).
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// An option is out of range. The text names what is allowed.
    Invalid {
        /// The option's name on the builder.
        option: &'static str,
        /// The values that are allowed.
        allowed: &'static str,
    },
    /// The operating system refused to start even one thread, with the `stack_size` that was
    /// asked for.
    Spawn(io::Error),
    /// The pool, whose workers were to be changed, belongs to the process that this one was forked
    /// from.
    Forked,
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid { option, allowed } => {
                write!(
                    f,
                    "the pool's `{option}` is not allowed: it must be {allowed}"
                )
            }
            Self::Forked => fmt::Display::fmt(&Rejection::Forked, f),
            Self::Spawn(_) => {
                f.write_str("the system refused even one worker thread of this `stack_size`")
            }
        }
    }
}

impl Error for BuildError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Invalid { .. } | Self::Forked => None,
            Self::Spawn(error) => Some(error),
        }
    }
}

/// The error of a wait for a whole pool ([`wait_idle`](crate::ThreadPool::wait_idle),
/// [`shutdown`](crate::ThreadPool::shutdown)) that could never end.
///
/// ```
/// use millhand::pool::PoolError;
/// use millhand::ThreadPool;
/// use std::sync::Arc;
///
/// let pool = Arc::new(ThreadPool::new(1)?);
/// let inside = pool.clone();
/// let answer = pool.submit(move || inside.wait_idle()).join().unwrap();
/// assert_eq!(answer, Err(PoolError::InsideTask));
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
///
/// Guide: [errors](crate::guide::errors).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PoolError {
    /// One of the pool's own threads made the call, in a task, in a hook or in the destructor of a
    /// thread-local; or a callback or drop that the pool's shutdown runs. It would wait for itself.
    InsideTask,
    /// The task that waited for the pool was asked to stop.
    Interrupted(Stopped),
    /// The pool belongs to the process that this one was forked from.
    Forked,
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interrupted(stopped) => {
                return write!(f, "the wait for the pool ended before its tasks did: {stopped}");
            }
            Self::InsideTask => {
                "a pool cannot be waited for or shut down from one of its own tasks, which would wait for itself"
            }
            Self::Forked => "the pool belongs to the process that this one was forked from: build a pool in the child",
        })
    }
}

impl Error for PoolError {}
