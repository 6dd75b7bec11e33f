//! Context variables: values that a task inherits from the code that submitted it.
//!
//! Ground layer. Each thread has one current context. A task keeps the context in which it was
//! submitted, and the worker enters that context before it runs the body.
//
// A context is an immutable list. Setting a variable replaces the list, and inheriting it counts
// one more owner. The list has each variable once, so a chain of tasks in which each sets the same
// variable does not grow it.
//
// Values belong to the user. No value is cloned or dropped while the thread's context is borrowed.
// A panic in the drop of a value is caught and logged, because it may come while another panic
// unwinds.

use crate::panic;
use std::any::{Any, type_name};
use std::cell::RefCell;
use std::fmt;
use std::mem::{self, ManuallyDrop};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

type Value = Arc<dyn Any + Send + Sync>;

/// Whether any variable was ever set in this process. Until then no thread reads its context.
/// Relaxed is enough: a thread has to see only what it wrote itself or what came to it with a
/// task.
static IN_USE: AtomicBool = AtomicBool::new(false);

static NEXT_KEY: AtomicU64 = AtomicU64::new(1);

thread_local! {
    // A thread leaves every context that it enters, so nothing is left to drop at its end. Without
    // a destructor of its own this value can be used by the destructors of other thread-locals.
    static HERE: ManuallyDrop<RefCell<Context>> = const { ManuallyDrop::new(RefCell::new(Context(None))) };
}

/// Carries a value from the code that submits a task into the task: a request's number, a user, a
/// locale. It is `ContextVar` of Python's asyncio, for threads.
///
/// [`with`](Self::with) sets the value while a closure runs. Everything that the closure submits
/// sees it, however late and on whatever thread it runs: nested tasks, delayed and gated tasks,
/// every attempt of a retried task, continuations, the runs of a schedule started in the closure,
/// and callbacks that it registers with [`on_finish`](crate::TaskHandle::on_finish). Other tasks
/// do not see what one task sets. Threads that belong to no pool inherit nothing; use a
/// [`Context`] for them.
///
/// Declare a variable as a `static`, with the value that it has where none is set. Where no
/// variable is set, a submission pays nothing. Where one is set, a submission takes one more
/// allocation. A value is dropped after the last task that inherited it is released. A panic in
/// that drop is logged.
///
/// ```
/// use millhand::{ContextVar, ThreadPool};
///
/// static REQUEST: ContextVar<u32> = ContextVar::new(0);
///
/// fn log(line: &str) -> String {
///     format!("[request {}] {line}", REQUEST.get())
/// }
///
/// let pool = ThreadPool::new(2)?;
/// let lines = [7, 8].map(|number| REQUEST.with(number, || pool.submit(|| log("saved"))));
/// assert_eq!(lines.map(|line| line.join().unwrap()), ["[request 7] saved", "[request 8] saved"]);
/// assert_eq!(log("idle"), "[request 0] idle");
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
///
/// Guide: [first steps](crate::guide::first_steps).
pub struct ContextVar<T> {
    /// Identifies the variable in a context. Drawn when the variable is first set; 0 before.
    key: AtomicU64,
    default: T,
}

impl<T: Clone + Send + Sync + 'static> ContextVar<T> {
    /// Creates a variable whose value is `default` where it is not set.
    ///
    /// ```
    /// use millhand::ContextVar;
    ///
    /// static LOCALE: ContextVar<&str> = ContextVar::new("en");
    /// assert_eq!(LOCALE.get(), "en");
    /// ```
    pub const fn new(default: T) -> Self {
        Self {
            key: AtomicU64::new(0),
            default,
        }
    }

    /// Returns the value in the task that runs on this thread, or of this thread outside of a task.
    ///
    /// ```
    /// # use millhand::ContextVar;
    /// static USER: ContextVar<Option<String>> = ContextVar::new(None);
    ///
    /// let seen = USER.with(Some("ann".to_owned()), || USER.get());
    /// assert_eq!(seen.as_deref(), Some("ann"));
    /// ```
    pub fn get(&self) -> T {
        let key = self.key.load(Ordering::Relaxed);
        let value = (key != 0).then(|| HERE.with(|here| here.borrow().value(key)));
        let value = value.flatten();
        let value = value.as_ref().and_then(|value| value.downcast_ref::<T>());
        value.unwrap_or(&self.default).clone()
    }

    /// Runs `f` with the variable set to `value`. Restores the former value when `f` returns or
    /// panics.
    ///
    /// ```
    /// # use millhand::ContextVar;
    /// static DEPTH: ContextVar<u32> = ContextVar::new(0);
    ///
    /// let inner = DEPTH.with(1, || DEPTH.with(DEPTH.get() + 1, || DEPTH.get()));
    /// assert_eq!((inner, DEPTH.get()), (2, 0));
    /// ```
    pub fn with<R>(&self, value: T, f: impl FnOnce() -> R) -> R {
        IN_USE.store(true, Ordering::Relaxed);
        let _inside = enter(Context::capture().with_value(self.key(), Arc::new(value)));
        f()
    }

    fn key(&self) -> u64 {
        let fresh = NEXT_KEY.fetch_add(1, Ordering::Relaxed);
        let drawn = self
            .key
            .compare_exchange(0, fresh, Ordering::Relaxed, Ordering::Relaxed);
        drawn.map_or_else(|key| key, |_| fresh)
    }
}

impl<T> fmt::Debug for ContextVar<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key: _, default: _ } = self;
        write!(f, "ContextVar<{}>", type_name::<T>())
    }
}

/// Carries the values of all [context variables](ContextVar) to a thread that belongs to no pool.
///
/// Tasks do not need it, because they inherit the values. In the default context no variable is
/// set.
///
/// ```
/// use millhand::task::Context;
/// use millhand::ContextVar;
///
/// static REQUEST: ContextVar<u32> = ContextVar::new(0);
///
/// REQUEST.with(7, || {
///     let context = Context::capture();
///     let thread = std::thread::spawn(move || context.run(|| REQUEST.get()));
///     assert_eq!(thread.join().unwrap(), 7);
/// });
/// ```
///
/// Guide: [bridges](crate::guide::bridges).
#[derive(Clone, Default)]
pub struct Context(Option<Arc<[(u64, Value)]>>);

impl Context {
    /// Returns the current context.
    ///
    /// ```
    /// # use millhand::task::Context;
    /// # use millhand::ContextVar;
    /// # static REQUEST: ContextVar<u32> = ContextVar::new(0);
    /// let before = Context::capture();
    /// REQUEST.with(7, || before.run(|| assert_eq!(REQUEST.get(), 0)));
    /// ```
    pub fn capture() -> Self {
        if !IN_USE.load(Ordering::Relaxed) {
            return Self(None);
        }
        HERE.with(|here| here.borrow().clone())
    }

    /// Runs `f` in this context: every variable has the value, or is unset, as when it was
    /// captured. Restores the thread's own context when `f` returns or panics.
    ///
    /// ```
    /// # use millhand::task::Context;
    /// # use millhand::ContextVar;
    /// # static REQUEST: ContextVar<u32> = ContextVar::new(0);
    /// let context = REQUEST.with(7, Context::capture);
    /// assert_eq!(context.run(|| REQUEST.get()), 7);
    /// assert_eq!(REQUEST.get(), 0);
    /// ```
    pub fn run<R>(&self, f: impl FnOnce() -> R) -> R {
        let _inside = enter(self.clone());
        f()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn values(&self) -> &[(u64, Value)] {
        self.0.as_deref().unwrap_or_default()
    }

    fn value(&self, key: u64) -> Option<Value> {
        let mut values = self.values().iter();
        values.find(|(k, _)| *k == key).map(|(_, v)| v.clone())
    }

    /// This context with `key` set to `value`.
    fn with_value(&self, key: u64, value: Value) -> Self {
        let others = self.values().iter().filter(|(k, _)| *k != key).cloned();
        Self(Some(std::iter::once((key, value)).chain(others).collect()))
    }

    /// Drops the values; a panic in a drop is caught and logged.
    pub(crate) fn discard(self) {
        if let Self(Some(values)) = self {
            panic::discard_deferred(values);
        }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("variables", &self.values().len())
            .finish_non_exhaustive()
    }
}

/// Whether a task submitted by this code inherits any value.
#[inline]
pub(crate) fn is_set_here() -> bool {
    IN_USE.load(Ordering::Relaxed) && HERE.with(|here| !here.borrow().is_empty())
}

/// Whether any variable was ever set.
#[inline]
pub(crate) fn is_in_use() -> bool {
    IN_USE.load(Ordering::Relaxed)
}

/// Makes `context`, which may be empty, the thread's own until the guard is dropped.
#[inline]
pub(crate) fn enter(context: Context) -> ContextGuard {
    if !IN_USE.load(Ordering::Relaxed) {
        return ContextGuard(None);
    }
    ContextGuard(Some(replace(context)))
}

fn replace(context: Context) -> Context {
    HERE.with(|here| mem::replace(&mut *here.borrow_mut(), context))
}

/// The context that is restored when this is dropped.
#[must_use]
pub(crate) struct ContextGuard(Option<Context>);

impl Drop for ContextGuard {
    fn drop(&mut self) {
        if let Some(before) = self.0.take() {
            replace(before).discard();
        }
    }
}
