//! Panics: catching them, keeping them, and dropping what they leave behind.
//!
//! Layer 0, and the only file that catches an unwind. Whatever the library runs or drops for a user goes through
//! here, so that no panic of theirs takes a worker, a lock or another task with it.

use crate::flat;
use crate::id::TaskId;
use crate::reason::CancelReason;
use parking_lot::Mutex;
use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::sync::Arc;

pub(crate) type Payload = Box<dyn Any + Send>;

/// Runs `f`; a panic comes back as its payload.
///
/// Nothing that a task may have broken is looked at afterwards by the library itself, hence `AssertUnwindSafe`.
pub(crate) fn catch<T>(f: impl FnOnce() -> T) -> Result<T, Payload> {
    catch_unwind(AssertUnwindSafe(f))
}

/// Runs a callback of the user's; a panic in it is logged and goes no further.
pub(crate) fn shield(what: &str, f: impl FnOnce()) {
    if let Err(payload) = catch(f) {
        log::error!("{what} panicked: {}", message(&*payload));
        bury(payload);
    }
}

/// Drops a value of the user's where a panic could do harm.
#[inline]
pub(crate) fn discard<T>(value: T) {
    if std::mem::needs_drop::<T>() {
        shield("the drop of a closure, a result or a context value", || {
            drop(value);
        });
    }
}

/// As `discard`, for what may hold other tasks' handles, whose drop may cancel those tasks, and so on: a chain of any
/// length is dropped by a loop.
pub(crate) fn discard_flat<T: 'static>(value: T) {
    if std::mem::needs_drop::<T>() {
        flat::run(move || discard(value));
    }
}

/// Drops a payload. One whose own drop panics is dropped no further: what it leaves is leaked.
fn bury(payload: Payload) {
    if let Err(second) = catch(|| drop(payload)) {
        std::mem::forget(second);
    }
}

/// What a panic said; a fixed text when the payload is no string.
pub(crate) fn message(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a payload that is not a string")
}

/// What `checkpoint()` unwinds with: no panic, so no panic hook hears of it.
struct Checkpoint(CancelReason);

/// What leaves a body for this reason.
pub(crate) fn checkpoint(reason: CancelReason) -> Payload {
    Box::new(Checkpoint(reason))
}

/// Leaves the running body, quietly.
pub(crate) fn unwind(reason: CancelReason) -> ! {
    resume_unwind(checkpoint(reason))
}

/// The reason, if this payload is a checkpoint's and no panic.
pub(crate) fn checkpoint_of(payload: &Payload) -> Option<CancelReason> {
    payload
        .downcast_ref::<Checkpoint>()
        .map(|checkpoint| checkpoint.0)
}

/// Whoever wants to hear of panics that nobody can read any more: the pool.
pub(crate) trait UnreadPanics: Send + Sync {
    fn unread(&self, panic: &TaskPanic);
}

/// A task's panic: what it said, and where the task came from.
///
/// Comes in [`TaskError::Panicked`](crate::TaskError::Panicked). The payload stays here until it is taken or resumed;
/// a payload whose own drop panics harms nothing.
///
/// ```
/// use millhand::{TaskError, ThreadPool};
///
/// let pool = ThreadPool::new(1)?;
/// let handle = pool.task().name("parse").submit(|| -> u32 { panic!("no digits") });
/// let Err(TaskError::Panicked(panic)) = handle.join() else { unreachable!() };
/// assert_eq!(panic.message(), "no digits");
/// assert_eq!(panic.name(), Some("parse"));
/// # Ok::<(), millhand::BuildError>(())
/// ```
pub struct TaskPanic {
    task: TaskId,
    name: Option<Arc<str>>,
    site: &'static Location<'static>,
    message: Box<str>,
    // Behind a mutex because a payload is `Send` only and errors are shared; `None` once taken.
    payload: Mutex<Option<Payload>>,
    sink: Option<Arc<dyn UnreadPanics>>,
}

impl TaskPanic {
    pub(crate) fn new(
        task: TaskId,
        name: Option<Arc<str>>,
        site: &'static Location<'static>,
        payload: Payload,
        sink: Option<Arc<dyn UnreadPanics>>,
    ) -> Self {
        Self {
            task,
            name,
            site,
            message: message(&*payload).into(),
            payload: Mutex::new(Some(payload)),
            sink,
        }
    }

    /// For one more reader, without the payload, and with nobody to tell when it is not read.
    pub(crate) fn copy(&self) -> Self {
        Self {
            task: self.task,
            name: self.name.clone(),
            site: self.site,
            message: self.message.clone(),
            payload: Mutex::new(None),
            sink: self.sink.clone(),
        }
    }

    /// The task that panicked.
    ///
    /// ```
    /// # let pool = millhand::ThreadPool::new(1)?;
    /// let handle = pool.submit(|| -> u32 { panic!("no digits") });
    /// let id = handle.id();
    /// let Err(millhand::TaskError::Panicked(panic)) = handle.join() else { unreachable!() };
    /// assert_eq!(panic.task(), id);
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn task(&self) -> TaskId {
        self.task
    }

    /// The task's name, if it was given one.
    ///
    /// ```
    /// # let pool = millhand::ThreadPool::new(1)?;
    /// let handle = pool.task().name("parse").submit(|| -> u32 { panic!("no digits") });
    /// let Err(millhand::TaskError::Panicked(panic)) = handle.join() else { unreachable!() };
    /// assert_eq!(panic.name(), Some("parse"));
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Where the task was submitted.
    ///
    /// ```
    /// # let pool = millhand::ThreadPool::new(1)?;
    /// let handle = pool.submit(|| -> u32 { panic!("no digits") }); let line = line!();
    /// let Err(millhand::TaskError::Panicked(panic)) = handle.join() else { unreachable!() };
    /// assert_eq!(panic.site().line(), line);
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn site(&self) -> &'static Location<'static> {
        self.site
    }

    /// What the panic said; a fixed text when the payload is no string.
    ///
    /// ```
    /// # let pool = millhand::ThreadPool::new(1)?;
    /// let handle = pool.submit(|| -> u32 { panic!("no digits") });
    /// let Err(millhand::TaskError::Panicked(panic)) = handle.join() else { unreachable!() };
    /// assert_eq!(panic.message(), "no digits");
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Takes the payload out, once.
    ///
    /// ```
    /// # let pool = millhand::ThreadPool::new(1)?;
    /// let handle = pool.submit(|| -> u32 { std::panic::panic_any(7) });
    /// let Err(millhand::TaskError::Panicked(panic)) = handle.join() else { unreachable!() };
    /// assert_eq!(panic.take_payload().unwrap().downcast_ref(), Some(&7));
    /// assert!(panic.take_payload().is_none());
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn take_payload(&self) -> Option<Box<dyn Any + Send>> {
        self.payload.lock().take()
    }

    /// Panics onward on this thread, with the task's own payload (or its message, when the payload was taken). The
    /// panic hook, which spoke when the task panicked, does not speak again.
    ///
    /// # Panics
    /// Always: that is what it is for.
    ///
    /// ```
    /// # let pool = millhand::ThreadPool::new(1)?;
    /// let handle = pool.submit(|| -> u32 { panic!("no digits") });
    /// let Err(millhand::TaskError::Panicked(panic)) = handle.join() else { unreachable!() };
    /// let again = std::thread::spawn(move || -> u32 { panic.resume() }).join().unwrap_err();
    /// assert_eq!(again.downcast_ref(), Some(&"no digits"));
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn resume(&self) -> ! {
        match self.take_payload() {
            Some(payload) => resume_unwind(payload),
            None => resume_unwind(Box::new(self.message.to_string())),
        }
    }

    /// Nobody can read this any more: says so to the log and to the pool.
    #[cold]
    pub(crate) fn unread(&self) {
        log::error!("{self}, and nobody holds its handle");
        if let Some(sink) = &self.sink {
            sink.unread(self);
        }
    }
}

impl std::error::Error for TaskPanic {}

impl fmt::Display for TaskPanic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {}", self.task)?;
        if let Some(name) = &self.name {
            write!(f, " `{name}`")?;
        }
        write!(
            f,
            " (submitted at {}) panicked: {}",
            self.site, self.message
        )
    }
}

impl fmt::Debug for TaskPanic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            task,
            name,
            site,
            message,
            payload: _,
            sink: _,
        } = self;
        f.debug_struct("TaskPanic")
            .field("task", task)
            .field("name", name)
            .field("site", &site.to_string())
            .field("message", message)
            .finish_non_exhaustive()
    }
}

impl Drop for TaskPanic {
    fn drop(&mut self) {
        if let Some(payload) = self.payload.get_mut().take() {
            bury(payload);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Grenade(u32);

    impl Drop for Grenade {
        fn drop(&mut self) {
            // Dropped while unwinding it would abort; the library never lets it.
            if self.0 > 0 {
                std::panic::panic_any(Grenade(self.0 - 1));
            }
        }
    }

    #[test]
    fn a_payload_whose_drop_panics_is_buried() {
        let payload = catch(|| std::panic::panic_any(Grenade(2))).unwrap_err();
        bury(payload);
        discard(Grenade(1));
    }

    #[test]
    fn messages_of_strings_and_others() {
        let text = |f: fn()| message(&*catch(f).unwrap_err()).to_owned();
        assert_eq!(text(|| panic!("plain")), "plain");
        assert_eq!(text(|| panic!("made {}", 1)), "made 1");
        assert_eq!(
            text(|| std::panic::panic_any(7)),
            "a payload that is not a string"
        );
    }
}
