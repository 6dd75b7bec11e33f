//! The errors of many tasks in one.
//!
//! Layer 6. Plain data; whoever gathers outcomes fills it.

use crate::error::{JoinError, TaskError};
use crate::extras::Who;
use crate::id::TaskId;
use std::any::Any;
use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::panic::Location;
use std::slice;
use std::vec;

/// How many of them a text lists.
const LISTED: usize = 10;

/// What went wrong with one task of many; see [`Failures`].
///
/// ```
/// use millhand::Failure;
///
/// fn tell(failure: &Failure<std::io::Error>) {
///     let name = failure.name().unwrap_or("unnamed");
///     println!("{} ({name}), submitted at {}: {failure}", failure.index(), failure.site());
/// }
/// ```
pub struct Failure<E = Infallible> {
    index: usize,
    who: Who,
    error: JoinError<E>,
}

impl<E> Failure<E> {
    pub(crate) fn new(index: usize, who: Who, error: JoinError<E>) -> Self {
        Self { index, who, error }
    }

    /// The task's place among all: that of its handle in what was given, or the how-manieth was submitted, from 0.
    ///
    /// ```
    /// fn first_index(failures: &millhand::Failures) -> usize {
    ///     failures.first().index()
    /// }
    /// ```
    pub fn index(&self) -> usize {
        self.index
    }

    /// The task's id.
    ///
    /// ```
    /// fn ids(failures: &millhand::Failures) -> Vec<millhand::TaskId> {
    ///     failures.iter().map(|failure| failure.id()).collect()
    /// }
    /// ```
    pub fn id(&self) -> TaskId {
        self.who.id
    }

    /// The task's name, if it was given one.
    ///
    /// ```
    /// fn names(failures: &millhand::Failures) -> Vec<Option<&str>> {
    ///     failures.iter().map(|failure| failure.name()).collect()
    /// }
    /// ```
    pub fn name(&self) -> Option<&str> {
        self.who.name.as_deref()
    }

    /// Where the task was submitted.
    ///
    /// ```
    /// fn lines(failures: &millhand::Failures) -> Vec<u32> {
    ///     failures.iter().map(|failure| failure.site().line()).collect()
    /// }
    /// ```
    pub fn site(&self) -> &'static Location<'static> {
        self.who.site
    }

    /// What went wrong: the body's own error, or why there is no outcome.
    ///
    /// ```
    /// use millhand::{Failures, JoinError};
    ///
    /// fn bodies_failed(failures: &Failures<String>) -> usize {
    ///     failures.iter().filter(|failure| matches!(failure.error(), JoinError::Failed(_))).count()
    /// }
    /// ```
    pub fn error(&self) -> &JoinError<E> {
        &self.error
    }

    /// As [`error`](Self::error), taken out.
    ///
    /// ```
    /// use millhand::{Failures, JoinError};
    ///
    /// fn cause(failures: Failures<String>) -> JoinError<String> {
    ///     failures.into_first().into_error()
    /// }
    /// ```
    pub fn into_error(self) -> JoinError<E> {
        self.error
    }
}

impl<E: fmt::Display> fmt::Display for Failure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // It names the task itself.
        if let JoinError::Task(TaskError::Panicked(panic)) = &self.error {
            return fmt::Display::fmt(panic, f);
        }
        write!(f, "{}: ", self.who)?;
        match &self.error {
            JoinError::Failed(error) => fmt::Display::fmt(error, f),
            JoinError::Task(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> Error for Failure<E> {}

impl<E: fmt::Debug> fmt::Debug for Failure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, who, error } = self;
        let Who { id, name, site } = who;
        f.debug_struct("Failure")
            .field("index", index)
            .field("id", id)
            .field("name", name)
            .field("site", &site.to_string())
            .field("error", error)
            .finish()
    }
}

/// What went wrong with some tasks of many: at least one [`Failure`], in an order that whoever gives it tells.
///
/// It is one error for all: its text lists them (the first ten, with their ids, names and submit sites), and
/// [`pick`](Self::pick) finds those of one type.
///
/// ```
/// use millhand::{Failures, TaskError};
/// use std::io;
///
/// fn report(failures: &Failures<Box<dyn std::error::Error + Send + Sync>>) {
///     eprintln!("{failures}");
///     for (failure, error) in failures.pick::<io::Error>() {
///         eprintln!("input or output, task {}: {error}", failure.id());
///     }
///     for (failure, error) in failures.pick::<TaskError>() {
///         eprintln!("no outcome of task {}: {error}", failure.id());
///     }
/// }
/// ```
pub struct Failures<E = Infallible> {
    /// Never empty.
    list: Vec<Failure<E>>,
}

impl<E> Failures<E> {
    /// `None` of nothing.
    pub(crate) fn new(list: Vec<Failure<E>>) -> Option<Self> {
        (!list.is_empty()).then_some(Self { list })
    }

    /// How many they are: at least one.
    ///
    /// ```
    /// fn are_many(failures: &millhand::Failures) -> bool {
    ///     failures.len() > 100
    /// }
    /// ```
    // There is always one, so that nobody need ask `is_empty`.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// The first of them.
    ///
    /// ```
    /// fn culprit(failures: &millhand::Failures) -> Option<&str> {
    ///     failures.first().name()
    /// }
    /// ```
    pub fn first(&self) -> &Failure<E> {
        &self.list[0]
    }

    /// As [`first`](Self::first), taken out; the others are dropped.
    ///
    /// ```
    /// fn cause(failures: millhand::Failures<String>) -> millhand::JoinError<String> {
    ///     failures.into_first().into_error()
    /// }
    /// ```
    pub fn into_first(mut self) -> Failure<E> {
        self.list.swap_remove(0)
    }

    /// All of them.
    ///
    /// ```
    /// fn total(failures: &millhand::Failures) -> usize {
    ///     failures.iter().count()
    /// }
    /// ```
    pub fn iter(&self) -> slice::Iter<'_, Failure<E>> {
        self.list.iter()
    }
}

impl<E: 'static> Failures<E> {
    /// Those of one type, in their order, each with its error.
    ///
    /// `X` is the bodies' own error type, [`TaskError`] for those without an outcome,
    /// [`TaskPanic`](crate::TaskPanic) for those that panicked; or, where the bodies' error type is
    /// `Box<dyn Error + Send + Sync>`, what may be in that box.
    ///
    /// ```
    /// use millhand::{Failures, TaskPanic};
    ///
    /// fn panics(failures: &Failures<String>) -> Vec<&str> {
    ///     failures.pick::<TaskPanic>().map(|(_, panic)| panic.message()).collect()
    /// }
    /// ```
    pub fn pick<X: Error + 'static>(&self) -> impl Iterator<Item = (&Failure<E>, &X)> {
        self.iter()
            .filter_map(|failure| Some((failure, find(&failure.error)?)))
    }
}

fn find<E: 'static, X: Error + 'static>(error: &JoinError<E>) -> Option<&X> {
    match error {
        JoinError::Failed(error) => {
            let error: &dyn Any = error;
            let boxed = error.downcast_ref::<Box<dyn Error + Send + Sync>>();
            error
                .downcast_ref()
                .or_else(|| boxed.and_then(|boxed| boxed.downcast_ref()))
        }
        JoinError::Task(error) => {
            let panic = match error {
                TaskError::Panicked(panic) => (&**panic as &dyn Any).downcast_ref(),
                _ => None,
            };
            (error as &dyn Any).downcast_ref().or(panic)
        }
    }
}

impl<E> IntoIterator for Failures<E> {
    type Item = Failure<E>;
    type IntoIter = vec::IntoIter<Failure<E>>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

impl<'a, E> IntoIterator for &'a Failures<E> {
    type Item = &'a Failure<E>;
    type IntoIter = slice::Iter<'a, Failure<E>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<E: fmt::Display> fmt::Display for Failures<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.len() {
            1 => f.write_str("1 task failed: ")?,
            n => write!(f, "{n} tasks failed: ")?,
        }
        for (n, failure) in self.iter().take(LISTED).enumerate() {
            f.write_str(if n == 0 { "" } else { "; " })?;
            fmt::Display::fmt(failure, f)?;
        }
        match self.len().saturating_sub(LISTED) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

impl<E: fmt::Debug> fmt::Debug for Failures<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

impl<E: fmt::Debug + fmt::Display> Error for Failures<E> {}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::reason::CancelReason;
    use std::io;

    type Boxed = Box<dyn Error + Send + Sync>;

    #[track_caller]
    fn failures<E: fmt::Debug>(errors: impl IntoIterator<Item = JoinError<E>>) -> Failures<E> {
        let site = Location::caller();
        let who = || Who {
            id: TaskId::next(),
            name: None,
            site,
        };
        let failure = |(index, error)| Failure::new(index, who(), error);
        Failures::new(errors.into_iter().enumerate().map(failure).collect()).unwrap()
    }

    #[test]
    fn they_are_picked_by_type() {
        let mixed = failures::<Boxed>([
            JoinError::Failed(io::Error::other("disk").into()),
            JoinError::Task(TaskError::Cancelled(CancelReason::User)),
            JoinError::Failed("x".parse::<u8>().unwrap_err().into()),
        ]);
        let indices = |found: Vec<usize>| found;
        let io = mixed
            .pick::<io::Error>()
            .map(|(failure, _)| failure.index());
        assert_eq!(indices(io.collect()), [0]);
        let task = mixed
            .pick::<TaskError>()
            .map(|(failure, _)| failure.index());
        assert_eq!(indices(task.collect()), [1]);
        assert_eq!(mixed.pick::<fmt::Error>().count(), 0);
        let plain = failures([JoinError::Failed(io::Error::other("disk"))]);
        assert_eq!(plain.pick::<io::Error>().count(), 1);
    }

    #[test]
    fn the_text_lists_the_first_ten() {
        let one = failures([JoinError::Failed("no such host")]);
        let text = one.to_string();
        assert!(text.starts_with("1 task failed: task "), "{text}");
        assert!(text.ends_with("): no such host"), "{text}");
        let many = failures((0..12).map(JoinError::Failed)).to_string();
        assert!(many.starts_with("12 tasks failed: "), "{many}");
        assert!(many.ends_with("): 9; and 2 more"), "{many}");
    }
}
