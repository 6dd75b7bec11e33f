//! Catching panics, keeping their payloads, and dropping user values safely.
//!
//! Ground layer, and the only file that catches an unwind. All user code that the library runs and
//! all user values that it drops go through here, so that their panics stop no worker, poison no
//! lock and fail no other task. So does each record of the log, since a logger is the user's, too.

use crate::id::TaskId;
use crate::reason::CancelReason;
use crate::sync::trampoline;
pub(crate) use log::Level;
pub(crate) use log::kv::Value;
use parking_lot::Mutex;
use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::sync::Arc;

pub(crate) type Payload = Box<dyn Any + Send>;

/// Runs `f`. Returns the payload if `f` panics.
///
/// `AssertUnwindSafe` is right because the library itself reads nothing afterwards that a panicking
/// closure may have left half changed.
#[inline(always)] // Even without optimisation: a function less per closure.
pub(crate) fn catch<T>(f: impl FnOnce() -> T) -> Result<T, Payload> {
    catch_unwind(AssertUnwindSafe(f))
}

/// Runs a user's callback. A panic in it is logged and stops here.
pub(crate) fn shield(what: &str, f: impl FnOnce()) {
    let mut f = Some(f);
    shield_dyn(what, &mut || {
        if let Some(f) = f.take() {
            f();
        }
    });
}

/// The part of `shield` that is compiled only once, not once per closure. It calls `f` exactly
/// once.
pub(crate) fn shield_dyn(what: &str, f: &mut dyn FnMut()) {
    if let Err(payload) = catch(f) {
        log(
            Level::Error,
            format_args!("{what} panicked: {}", message(&*payload)),
        );
        discard_payload(payload);
    }
}

/// Logs a record. A logger that panics does no harm: one that writes to a closed pipe may.
///
/// Called with no lock held, since the logger may call the library.
#[cold]
pub(crate) fn log(level: Level, text: fmt::Arguments<'_>) {
    log_about(level, &[], text);
}

/// As `log`, with key-values: what the record is about. Nothing is formatted unless the logger does
/// it.
#[cold]
pub(crate) fn log_about(level: Level, about: &[(&str, Value<'_>)], text: fmt::Arguments<'_>) {
    // As the macros of `log` do it, whose keys must be known when this is compiled.
    if level > log::STATIC_MAX_LEVEL || level > log::max_level() {
        return;
    }
    let write = || {
        let mut record = log::Record::builder();
        record.level(level).target("millhand");
        record.module_path_static(Some("millhand"));
        log::logger().log(&record.key_values(&about).args(text).build());
    };
    if let Err(payload) = catch(write) {
        discard_payload(payload);
    }
}

/// Drops a user's value where a panic in its drop could do harm.
#[inline]
pub(crate) fn discard<T>(value: T) {
    if std::mem::needs_drop::<T>() {
        let mut value = Some(value);
        discard_by(&mut || drop(value.take()));
    }
}

/// As `discard`, where a call drops the value.
pub(crate) fn discard_by(drop: &mut dyn FnMut()) {
    shield_dyn(DROP, drop);
}

const DROP: &str = "the drop of a closure, a result or a context value";

/// As `discard`, for a value that may hold handles of other tasks. Its drop may cancel those tasks,
/// whose drops may cancel more: a chain of any length is dropped by a loop and not by recursion.
pub(crate) fn discard_deferred<T: 'static>(value: T) {
    if std::mem::needs_drop::<T>() {
        trampoline::run(move || discard(value));
    }
}

/// Drops a payload. If its drop panics, the payload of that second panic is leaked.
fn discard_payload(payload: Payload) {
    if let Err(second) = catch(|| drop(payload)) {
        std::mem::forget(second);
    }
}

/// The message of a panic; a fixed text if the payload is not a string.
pub(crate) fn message(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a payload that is not a string")
}

/// The payload with which `checkpoint()` unwinds. It is not a panic, so no panic hook runs.
struct Checkpoint(CancelReason);

/// The payload of a body that leaves for this reason.
pub(crate) fn checkpoint(reason: CancelReason) -> Payload {
    Box::new(Checkpoint(reason))
}

/// Leaves the running body by unwinding, without the panic hook.
pub(crate) fn unwind(reason: CancelReason) -> ! {
    resume_unwind(checkpoint(reason))
}

/// The reason if the payload is a checkpoint's; `None` if it is a panic's.
pub(crate) fn checkpoint_of(payload: &Payload) -> Option<CancelReason> {
    payload
        .downcast_ref::<Checkpoint>()
        .map(|checkpoint| checkpoint.0)
}

/// Describes the panic of a task: its message and payload, and the task's name and submit site.
///
/// [`TaskError::Panicked`](crate::TaskError::Panicked) holds it. The payload stays here until it is
/// taken or resumed. A payload whose own drop panics does no harm.
///
/// ```
/// use millhand::{TaskError, ThreadPool};
///
/// let pool = ThreadPool::new(1)?;
/// let handle = pool.task().name("parse").submit(|| -> u32 { panic!("no digits") });
/// let Err(TaskError::Panicked(panic)) = handle.join() else { unreachable!() };
/// assert_eq!(panic.message(), "no digits");
/// assert_eq!(panic.name(), Some("parse"));
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
///
/// Guide: [errors](crate::guide::errors).
pub struct TaskPanic {
    task: TaskId,
    name: Option<Arc<str>>,
    site: &'static Location<'static>,
    message: Box<str>,
    // `None` once taken. The mutex makes the error `Sync`, since a payload need only be `Send`.
    payload: Mutex<Option<Payload>>,
    /// The pool of the task.
    owner: u32,
}

impl TaskPanic {
    pub(crate) fn new(
        task: TaskId,
        name: Option<Arc<str>>,
        site: &'static Location<'static>,
        payload: Payload,
        owner: u32,
    ) -> Self {
        Self {
            task,
            name,
            site,
            message: message(&*payload).into(),
            payload: Mutex::new(Some(payload)),
            owner,
        }
    }

    /// A copy for one more reader, without the payload.
    pub(crate) fn copy(&self) -> Self {
        Self {
            task: self.task,
            name: self.name.clone(),
            site: self.site,
            message: self.message.clone(),
            payload: Mutex::new(None),
            owner: self.owner,
        }
    }

    /// Returns the task that panicked.
    ///
    /// ```
    /// # let pool = millhand::ThreadPool::new(1)?;
    /// let handle = pool.submit(|| -> u32 { panic!("no digits") });
    /// let id = handle.id();
    /// let Err(millhand::TaskError::Panicked(panic)) = handle.join() else { unreachable!() };
    /// assert_eq!(panic.task(), id);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn task(&self) -> TaskId {
        self.task
    }

    /// Returns the name of the task, if it has one.
    ///
    /// ```
    /// # let pool = millhand::ThreadPool::new(1)?;
    /// let handle = pool.task().name("parse").submit(|| -> u32 { panic!("no digits") });
    /// let Err(millhand::TaskError::Panicked(panic)) = handle.join() else { unreachable!() };
    /// assert_eq!(panic.name(), Some("parse"));
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Returns where the task was submitted.
    ///
    /// ```
    /// # let pool = millhand::ThreadPool::new(1)?;
    /// let handle = pool.submit(|| -> u32 { panic!("no digits") }); let line = line!();
    /// let Err(millhand::TaskError::Panicked(panic)) = handle.join() else { unreachable!() };
    /// assert_eq!(panic.site().line(), line);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn site(&self) -> &'static Location<'static> {
        self.site
    }

    /// Returns the message of the panic; a fixed text if the payload is not a string.
    ///
    /// ```
    /// # let pool = millhand::ThreadPool::new(1)?;
    /// let handle = pool.submit(|| -> u32 { panic!("no digits") });
    /// let Err(millhand::TaskError::Panicked(panic)) = handle.join() else { unreachable!() };
    /// assert_eq!(panic.message(), "no digits");
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Takes the payload; `None` if it was taken before.
    pub(crate) fn take_payload(&self) -> Option<Payload> {
        self.payload.lock().take()
    }

    /// Continues the panic on this thread, with the task's own payload or, if that was taken, with
    /// its message. The panic hook ran when the task panicked and does not run again.
    ///
    /// # Panics
    /// Always.
    ///
    /// ```
    /// # let pool = millhand::ThreadPool::new(1)?;
    /// let handle = pool.submit(|| -> u32 { panic!("no digits") });
    /// let Err(millhand::TaskError::Panicked(panic)) = handle.join() else { unreachable!() };
    /// let again = std::thread::spawn(move || -> u32 { panic.resume() }).join().unwrap_err();
    /// assert_eq!(again.downcast_ref(), Some(&"no digits"));
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn resume(&self) -> ! {
        match self.take_payload() {
            Some(payload) => resume_unwind(payload),
            None => resume_unwind(Box::new(self.message.to_string())),
        }
    }

    pub(crate) fn shared_name(&self) -> Option<Arc<str>> {
        self.name.clone()
    }

    /// The tag of the pool that ran the task.
    pub(crate) fn owner(&self) -> u32 {
        self.owner
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
            owner: _,
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
            discard_payload(payload);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Grenade(u32);

    impl Drop for Grenade {
        fn drop(&mut self) {
            // A drop during an unwind would abort the process. The library drops it outside of one.
            if self.0 > 0 {
                std::panic::panic_any(Grenade(self.0 - 1));
            }
        }
    }

    #[test]
    fn a_payload_whose_drop_panics_does_no_harm() {
        let payload = catch(|| std::panic::panic_any(Grenade(2))).unwrap_err();
        discard_payload(payload);
        discard(Grenade(1));
    }

    struct Unread;

    impl fmt::Display for Unread {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("nothing reads this record")
        }
    }

    #[test]
    fn nothing_is_formatted_when_the_level_is_off() {
        assert_eq!(log::max_level(), log::LevelFilter::Off); // no test here sets a logger
        let about = [("task_id", Value::from_display(&Unread))];
        log_about(Level::Error, &about, format_args!("{Unread}"));
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
