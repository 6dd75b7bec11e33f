//! The errors of gates: why one could not be made, and why a thread could not acquire from one.
//!
//! Layer: limit.

use crate::error::io_kind_if;
use crate::reason::CancelReason;
use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

/// Why a gate could not be built or changed, or can never be passed with a weight.
///
/// ```
/// use millhand::limit::LimitError;
///
/// let error = LimitError::Invalid { option: "rate", allowed: "at least 1" };
/// assert_eq!(error.to_string(), "the limit's `rate` is not allowed: it must be at least 1");
/// ```
///
/// Guide: [limits](crate::guide::limits).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LimitError {
    /// An option makes no sense; the text says what is allowed.
    Invalid {
        /// The option's name on the builder.
        option: &'static str,
        /// What it may be.
        allowed: &'static str,
    },
    /// Two neighbours among several rates contradict each other, or one of them has no effect.
    ///
    /// Each rate after the first needs a longer interval and a higher limit than the one before,
    /// and must allow no more per time.
    ///
    /// ```
    /// use millhand::limit::LimitError;
    /// use std::time::Duration;
    ///
    /// let error = LimitError::Rates {
    ///     first: (10, Duration::from_secs(1)),
    ///     second: (5, Duration::from_secs(60)),
    ///     why: "the second limit is not higher",
    /// };
    /// assert!(error.to_string().starts_with("the rates 10 per 1s and 5 per 60s do not go together"));
    /// ```
    Rates {
        /// The rate that was given first: how many, and per which interval.
        first: (u32, Duration),
        /// The rate that was given after it.
        second: (u32, Duration),
        /// What is wrong with the two.
        why: &'static str,
    },
    /// The weight is more than the limit ever lets pass at once. A wait for it would never end.
    ///
    /// ```
    /// use millhand::limit::LimitError;
    ///
    /// let error = LimitError::TooHeavy { weight: 5, limit: 3 };
    /// assert_eq!(error.to_string(), "a weight of 5 never passes: it must be at most 3");
    /// ```
    TooHeavy {
        /// The weight that was asked for.
        weight: u32,
        /// The most that passes at once.
        limit: u32,
    },
}

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid { option, allowed } => {
                write!(
                    f,
                    "the limit's `{option}` is not allowed: it must be {allowed}"
                )
            }
            Self::Rates { first, second, why } => write!(
                f,
                "the rates {} per {:?} and {} per {:?} do not go together: {why} (each rate after the first must have \
                 a longer interval, a higher limit and no more per time)",
                first.0, first.1, second.0, second.1
            ),
            Self::TooHeavy { weight, limit } => write_too_heavy(f, *weight, *limit),
        }
    }
}

impl Error for LimitError {}

/// Why a thread could not acquire from a gate.
///
/// ```
/// use millhand::limit::AcquireError;
/// use std::time::Duration;
///
/// let error = AcquireError::NotYet { wait: Some(Duration::from_millis(20)) };
/// assert_eq!(error.to_string(), "the limit is reached: it passes in 20ms at the earliest");
/// ```
///
/// Guide: [limits](crate::guide::limits).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AcquireError {
    /// Not now, or not before the timeout.
    NotYet {
        /// How long until it would pass if nothing else changes. `None` if that depends on
        /// others, as with a semaphore, whose permits come back when their holders return them.
        wait: Option<Duration>,
    },
    /// The weight is more than the limit ever lets pass at once. A wait for it would never end.
    TooHeavy {
        /// The weight that was asked for.
        weight: u32,
        /// The most that passes at once.
        limit: u32,
    },
    /// The task that waited was asked to stop, for this reason.
    Stopped(CancelReason),
}

impl fmt::Display for AcquireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotYet { wait: Some(wait) } => {
                write!(
                    f,
                    "the limit is reached: it passes in {wait:?} at the earliest"
                )
            }
            Self::NotYet { wait: None } => {
                f.write_str("the limit is reached: it passes when a permit is returned")
            }
            Self::TooHeavy { weight, limit } => write_too_heavy(f, *weight, *limit),
            Self::Stopped(reason) => write!(f, "stopped while it waited: {reason}"),
        }
    }
}

impl Error for AcquireError {}

/// See [`Stopped`](crate::error::Stopped) for the kind. That something cannot be had before a
/// timeout is a time limit, too.
impl From<AcquireError> for io::Error {
    fn from(error: AcquireError) -> Self {
        let is_timeout = match error {
            AcquireError::NotYet { .. } => true,
            AcquireError::TooHeavy { .. } => false,
            AcquireError::Stopped(reason) => reason == CancelReason::Deadline,
        };
        Self::new(io_kind_if(is_timeout), error)
    }
}

fn write_too_heavy(f: &mut fmt::Formatter<'_>, weight: u32, limit: u32) -> fmt::Result {
    write!(
        f,
        "a weight of {weight} never passes: it must be at most {limit}"
    )
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_texts_say_what_is_wrong_and_what_is_allowed() {
        let rates = LimitError::Rates {
            first: (10, Duration::from_secs(1)),
            second: (5, Duration::from_secs(60)),
            why: "the second limit is not higher",
        };
        assert_eq!(
            rates.to_string(),
            "the rates 10 per 1s and 5 per 60s do not go together: the second limit is not higher (each rate after the \
             first must have a longer interval, a higher limit and no more per time)"
        );
        let heavy = AcquireError::TooHeavy {
            weight: 5,
            limit: 3,
        };
        assert_eq!(
            heavy.to_string(),
            "a weight of 5 never passes: it must be at most 3"
        );
        assert_eq!(
            AcquireError::NotYet { wait: None }.to_string(),
            "the limit is reached: it passes when a permit is returned"
        );
        assert_eq!(
            AcquireError::Stopped(CancelReason::Shutdown).to_string(),
            "stopped while it waited: shutdown"
        );
    }
}
