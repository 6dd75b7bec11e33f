//! Numbers of jobs and sessions.
//!
//! Layer: jobs.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

/// Identifies a job in its storage. The storage counts up, so an id is also the order of the
/// enqueues. Two storages have the same ids: it is not unique in the world.
///
/// ```
/// use millhand::jobs::JobId;
///
/// let id: JobId = "17".parse()?;
/// assert_eq!((id.to_string(), id), ("17".to_owned(), JobId(17)));
/// # Ok::<(), std::num::ParseIntError>(())
/// ```
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

/// Identifies a session: one start of one consumer. A storage never gives a number twice.
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for JobId {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Self, ParseIntError> {
        text.parse().map(Self)
    }
}
