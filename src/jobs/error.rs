//! What can go wrong with a storage.
//!
//! Layer: jobs.

use std::error::Error;
use std::fmt;

/// Why a storage did not do what it was asked to do. Then nothing of it has happened.
///
/// ```
/// use millhand::jobs::{JobsError, JobsErrorKind};
///
/// let error = JobsError::new(JobsErrorKind::Full, "app.db: the disk is full");
/// assert!(error.is_transient());
/// assert_eq!(error.to_string(), "app.db: the disk is full");
/// ```
///
/// Guide: [jobs](crate::guide::jobs).
pub struct JobsError {
    kind: JobsErrorKind,
    text: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// Which kind of error it is.
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum JobsErrorKind {
    /// Another process, or this thread itself, held a lock of the storage for too long.
    Busy,
    /// The disk or the memory of the storage is full.
    Full,
    /// The storage is damaged, or was deleted or replaced.
    Corrupt,
    /// The storage could not be reached, or could not be opened.
    Unreachable,
    /// This process was forked from the one that opened the storage.
    Forked,
    /// The payload of a job is larger than the storage takes.
    TooLarge,
    /// A name or key has characters that are not allowed, or is too long or too short.
    Name,
    /// An option of a job that is not allowed.
    Invalid,
    /// A value could not be written as JSON, or be read from it.
    Encode,
    /// The storage was made by a newer version of this library.
    NewerSchema,
    /// An exchange or a batch came after a later one of the same sender. Or a handler ends a job in
    /// its own transaction that another consumer has got.
    Stale,
    /// The storage was closed.
    Closed,
    /// Any other.
    Other,
}

impl JobsError {
    /// Makes an error with a text that says what was attempted, what went wrong, and what to do.
    pub fn new(kind: JobsErrorKind, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: text.into(),
            source: None,
        }
    }

    /// Adds the error behind it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Returns which kind it is.
    pub fn kind(&self) -> JobsErrorKind {
        self.kind
    }

    /// The same for another caller. The error behind it stays with the first one.
    pub(super) fn again(&self) -> Self {
        Self::new(self.kind, &*self.text)
    }

    /// Returns whether the same call may succeed later, with nothing changed by the program.
    pub fn is_transient(&self) -> bool {
        use JobsErrorKind::{Busy, Full, Unreachable};
        matches!(self.kind, Busy | Full | Unreachable)
    }
}

impl fmt::Display for JobsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for JobsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, text, source } = self;
        f.debug_struct("JobsError")
            .field("kind", kind)
            .field("text", text)
            .field("source", source)
            .finish()
    }
}

impl Error for JobsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
