//! The failures of several tasks as one error.
//!
//! Layer: compose. Plain data, which the scopes, the pipelines and the waiting functions fill.

use crate::error::{BoxError, JoinError, TaskError, io_kind};
use crate::id::TaskId;
use crate::task::label::TaskLabel;
use std::any::Any;
use std::error::Error;
use std::fmt;
use std::io;
use std::panic::Location;
use std::slice;
use std::vec;

/// How many failures the text of an error lists.
const LISTED: usize = 10;

/// Names one failed task of several, and why it failed; see [`Failures`].
///
/// ```
/// use millhand::compose::Failure;
///
/// fn print(failure: &Failure<std::io::Error>) {
///     let name = failure.name().unwrap_or("unnamed");
///     println!("{} ({name}), submitted at {}: {failure}", failure.index(), failure.site());
/// }
/// ```
///
/// Guide: [errors](crate::guide::errors).
pub struct Failure<E = BoxError> {
    index: usize,
    who: TaskLabel,
    error: JoinError<E>,
}

impl<E> Failure<E> {
    pub(crate) fn new(index: usize, who: TaskLabel, error: JoinError<E>) -> Self {
        Self { index, who, error }
    }

    /// Returns which of the tasks this is, from 0: the place of its handle among the handles that
    /// were passed, or its number in the order of submission.
    ///
    /// ```
    /// fn first_index(failures: &millhand::compose::Failures) -> usize {
    ///     failures.first().index()
    /// }
    /// ```
    pub fn index(&self) -> usize {
        self.index
    }

    /// Returns the task's id.
    ///
    /// ```
    /// fn ids(failures: &millhand::compose::Failures) -> Vec<millhand::task::TaskId> {
    ///     failures.iter().map(|failure| failure.id()).collect()
    /// }
    /// ```
    pub fn id(&self) -> TaskId {
        self.who.id
    }

    /// Returns the task's name, if it was given one.
    ///
    /// ```
    /// fn names(failures: &millhand::compose::Failures) -> Vec<Option<&str>> {
    ///     failures.iter().map(|failure| failure.name()).collect()
    /// }
    /// ```
    pub fn name(&self) -> Option<&str> {
        self.who.name.as_deref()
    }

    /// Returns where the task was submitted.
    ///
    /// ```
    /// fn lines(failures: &millhand::compose::Failures) -> Vec<u32> {
    ///     failures.iter().map(|failure| failure.site().line()).collect()
    /// }
    /// ```
    pub fn site(&self) -> &'static Location<'static> {
        self.who.site
    }

    /// Returns why the task failed: the error of its body, or why it ended without a value.
    ///
    /// ```
    /// use millhand::compose::Failures;
    /// use millhand::JoinError;
    ///
    /// fn bodies_failed(failures: &Failures<String>) -> usize {
    ///     failures.iter().filter(|failure| matches!(failure.error(), JoinError::Failed(_))).count()
    /// }
    /// ```
    pub fn error(&self) -> &JoinError<E> {
        &self.error
    }

    pub(crate) fn into_parts(self) -> (TaskLabel, JoinError<E>) {
        (self.who, self.error)
    }

    /// Takes the [`error`](Self::error) out.
    ///
    /// ```
    /// use millhand::compose::Failures;
    /// use millhand::JoinError;
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
        // The text of a panic names the task itself.
        if let JoinError::Task(TaskError::Panicked(panic)) = &self.error {
            return fmt::Display::fmt(panic, f);
        }
        write!(f, "{}: ", self.who)?;
        match &self.error {
            // With its causes, where it prints them.
            JoinError::Failed(error) => write!(f, "{error:#}"),
            JoinError::Task(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> Error for Failure<E> {}

impl<E: fmt::Debug> fmt::Debug for Failure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, who, error } = self;
        let TaskLabel { id, name, site } = who;
        f.debug_struct("Failure")
            .field("index", index)
            .field("id", id)
            .field("name", name)
            .field("site", &site.to_string())
            .field("error", error)
            .finish()
    }
}

/// The kind is that of the cause, or, for a task's error, the one that
/// [`Stopped`](crate::error::Stopped) documents.
impl From<Failure<io::Error>> for io::Error {
    fn from(failure: Failure<io::Error>) -> Self {
        Self::new(kind_of(&failure, |error| Some(error)), failure)
    }
}

/// The kind is that of the cause if it is an [`io::Error`], and otherwise `Other`. For a task's
/// error it is the one that [`Stopped`](crate::error::Stopped) documents.
impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        Self::new(kind_of(&failure, |error| error.downcast_ref()), failure)
    }
}

/// The kind is that of the first failure, as for a [`Failure`].
impl From<Failures<io::Error>> for io::Error {
    fn from(failures: Failures<io::Error>) -> Self {
        Self::new(kind_of(failures.first(), |error| Some(error)), failures)
    }
}

/// The kind is that of the first failure, as for a [`Failure`].
impl From<Failures> for io::Error {
    fn from(failures: Failures) -> Self {
        let kind = kind_of(failures.first(), |error| error.downcast_ref());
        Self::new(kind, failures)
    }
}

fn kind_of<E>(failure: &Failure<E>, cause: impl FnOnce(&E) -> Option<&io::Error>) -> io::ErrorKind {
    match &failure.error {
        JoinError::Failed(error) => match cause(error).map(io::Error::kind) {
            // std would try again, and get the same.
            None | Some(io::ErrorKind::Interrupted) => io::ErrorKind::Other,
            Some(kind) => kind,
        },
        JoinError::Task(error) => io_kind(error),
    }
}

/// One error for all tasks of several that failed: at least one [`Failure`].
///
/// The function that returns it documents the order of the failures. The text of the error lists
/// the first ten, with the ids, names and submit sites of the tasks. [`pick`](Self::pick) finds
/// the failures of one type.
///
/// ```
/// use millhand::compose::Failures;
/// use millhand::TaskError;
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
///
/// Guide: [errors](crate::guide::errors).
pub struct Failures<E = BoxError> {
    /// Never empty.
    list: Vec<Failure<E>>,
}

impl<E> Failures<E> {
    /// Returns `None` for an empty list.
    pub(crate) fn new(list: Vec<Failure<E>>) -> Option<Self> {
        (!list.is_empty()).then_some(Self { list })
    }

    /// Returns how many failures there are: at least one.
    ///
    /// ```
    /// fn are_many(failures: &millhand::compose::Failures) -> bool {
    ///     failures.len() > 100
    /// }
    /// ```
    // There is always one failure, so an `is_empty` would always be false.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Returns the first failure.
    ///
    /// ```
    /// fn first_name(failures: &millhand::compose::Failures) -> Option<&str> {
    ///     failures.first().name()
    /// }
    /// ```
    pub fn first(&self) -> &Failure<E> {
        &self.list[0]
    }

    /// Takes the [`first`](Self::first) failure out and drops the others.
    ///
    /// ```
    /// fn cause(failures: millhand::compose::Failures<String>) -> millhand::JoinError<String> {
    ///     failures.into_first().into_error()
    /// }
    /// ```
    pub fn into_first(mut self) -> Failure<E> {
        self.list.swap_remove(0)
    }

    /// Iterates over all failures.
    ///
    /// ```
    /// fn total(failures: &millhand::compose::Failures) -> usize {
    ///     failures.iter().count()
    /// }
    /// ```
    pub fn iter(&self) -> slice::Iter<'_, Failure<E>> {
        self.list.iter()
    }
}

impl<E: 'static> Failures<E> {
    /// Finds the failures with errors of one type, in their order, each with its error.
    ///
    /// `X` is one of these types:
    ///
    /// - the error type of the bodies; or, if that is `Box<dyn Error + Send + Sync>`, a type that
    ///   may be in the box;
    /// - [`TaskError`], for tasks that ended without a value;
    /// - [`TaskPanic`](crate::error::TaskPanic), for tasks that panicked.
    ///
    /// ```
    /// use millhand::compose::Failures;
    /// use millhand::error::TaskPanic;
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
        let who = || TaskLabel {
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
