//! The error of a body of a group, without its type: the handle that takes it knows the type, and
//! the group shows it as a box or by its text.
//!
//! Layer: task.

use crate::error::{BoxError, JoinError};
use crate::task::unread::text_of;
use std::any::Any;
use std::fmt::{self, Display};

/// The error of a body of a group, without its type.
pub(crate) struct BoxedError {
    error: Box<dyn Any + Send>,
    into_shown: fn(Box<dyn Any + Send>) -> BoxError,
}

impl BoxedError {
    /// `show` makes of the error what the group collects.
    pub(crate) fn new<E: Send + 'static>(
        error: E,
        show: fn(Box<dyn Any + Send>) -> BoxError,
    ) -> Self {
        Self {
            error: Box::new(error),
            into_shown: show,
        }
    }

    pub(crate) fn is_a<E: 'static>(&self) -> Option<&E> {
        self.error.downcast_ref()
    }

    /// For the handle, which knows the type.
    pub(crate) fn into_typed<E: 'static>(self) -> E {
        match self.error.downcast() {
            Ok(error) => *error,
            Err(_) => unreachable!("{OF_ONE_TYPE}"),
        }
    }

    /// For the group.
    pub(crate) fn into_shown(self) -> BoxError {
        (self.into_shown)(self.error)
    }
}

/// A failure of a body of a group, for the group.
pub(crate) fn shown(failure: JoinError<BoxedError>) -> JoinError<BoxError> {
    match failure {
        JoinError::Failed(error) => JoinError::Failed(error.into_shown()),
        JoinError::Task(error) => JoinError::Task(error),
    }
}

/// No code reads it: the group takes the error.
impl Display for BoxedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a task of a group failed")
    }
}

/// Shows an error by its text alone.
pub(crate) fn by_text<E: Display + 'static>(error: Box<dyn Any + Send>) -> BoxError {
    match error.downcast_ref::<E>() {
        Some(error) => text_of(error).into(),
        None => unreachable!("{OF_ONE_TYPE}"),
    }
}

/// Shows an error as the box that it becomes.
pub(crate) fn by_box<E: Into<BoxError> + 'static>(error: Box<dyn Any + Send>) -> BoxError {
    match error.downcast::<E>() {
        Ok(error) => (*error).into(),
        Err(_) => unreachable!("{OF_ONE_TYPE}"),
    }
}

const OF_ONE_TYPE: &str = "a body fails with the error type of its handle";
