//! Context variables: values that go with the work, from where a task was submitted to where it runs.
//!
//! Layer 0. A thread has one context; a task keeps the one that it was submitted in, and its run enters it.
//
// A context is a list that is never changed, only replaced, so that to inherit it is to count one more owner. It holds
// a variable once: a chain of tasks in which each sets the variable anew does not grow.
//
// Values are the user's. None is cloned or dropped while the thread's context is borrowed; what a drop panics with is
// logged, since it may come while another panic unwinds.

use crate::panic;
use std::any::{Any, type_name};
use std::cell::RefCell;
use std::fmt;
use std::mem::{self, ManuallyDrop};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

type Value = Arc<dyn Any + Send + Sync>;

/// Whether any variable was ever set in this process: until then nobody looks at his thread's context. A thread reads
/// what it wrote itself, or what came to it with a task, so a relaxed load sees enough.
static IN_USE: AtomicBool = AtomicBool::new(false);

static NEXT_KEY: AtomicU64 = AtomicU64::new(1);

thread_local! {
    // Whoever enters a context leaves it, so there is nothing to be dropped with the thread; and without a destructor it
    // is there for those of others, too.
    static HERE: ManuallyDrop<RefCell<Context>> = const { ManuallyDrop::new(RefCell::new(Context(None))) };
}

/// A value that every task inherits from where it was submitted: a request's number, a user, a locale. As `ContextVar` of
/// Python's asyncio, on threads.
///
/// [`with`](Self::with) sets it for the length of a closure. What is submitted in there sees it, however late and on
/// whatever thread it runs: tasks under tasks, delayed and gated ones, every attempt of a retried one, what continues a task,
/// the runs of a schedule that was started in there, and callbacks of [`on_finish`](crate::TaskHandle::on_finish) that were left
/// in there. What one task sets, its siblings do not see. Threads
/// that are no pool's inherit nothing: [`Context`] is for them.
///
/// It is made as a `static`, with the value that holds where none was set. Where none is set it costs nothing; in the other
/// case a submission costs one allocation more. Values are dropped when the last task that has them has retired; what a
/// drop panics with is logged.
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
/// # Ok::<(), millhand::BuildError>(())
/// ```
pub struct ContextVar<T> {
    /// What it is found by; drawn when it is first set, 0 before.
    key: AtomicU64,
    default: T,
}

impl<T: Clone + Send + Sync + 'static> ContextVar<T> {
    /// A variable that is `default` where it is not set.
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

    /// Its value here: in the task that runs on this thread, or on this thread itself.
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

    /// Runs `f` with the variable set to `value`, and sets it back, whether `f` returns or panics.
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
        let _inside = enter(Context::capture().and(self.key(), Arc::new(value)));
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

/// The values of all [context variables](ContextVar) at one place, to be carried to a thread of one's own. Tasks need none
/// of it. In the default one nothing is set.
///
/// ```
/// use millhand::{Context, ContextVar};
///
/// static REQUEST: ContextVar<u32> = ContextVar::new(0);
///
/// REQUEST.with(7, || {
///     let context = Context::capture();
///     let thread = std::thread::spawn(move || context.run(|| REQUEST.get()));
///     assert_eq!(thread.join().unwrap(), 7);
/// });
/// ```
#[derive(Clone, Default)]
pub struct Context(Option<Arc<[(u64, Value)]>>);

impl Context {
    /// The context of this place.
    ///
    /// ```
    /// # use millhand::{Context, ContextVar};
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

    /// Runs `f` in this context: every variable is as it was there, set or not. The thread's own comes back afterwards,
    /// whether `f` returns or panics.
    ///
    /// ```
    /// # use millhand::{Context, ContextVar};
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

    /// The same with one value more, or with another one.
    fn and(&self, key: u64, value: Value) -> Self {
        let others = self.values().iter().filter(|(k, _)| *k != key).cloned();
        Self(Some(std::iter::once((key, value)).chain(others).collect()))
    }

    /// Drops it where values may be dropped.
    pub(crate) fn discard(self) {
        if let Self(Some(values)) = self {
            panic::discard_flat(values);
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

/// Whether a task that is submitted here inherits anything.
#[inline]
pub(crate) fn is_set_here() -> bool {
    IN_USE.load(Ordering::Relaxed) && HERE.with(|here| !here.borrow().is_empty())
}

/// Makes `context` this thread's, an empty one too, until the guard is dropped.
#[inline]
pub(crate) fn enter(context: Context) -> Inside {
    if !IN_USE.load(Ordering::Relaxed) {
        return Inside(None);
    }
    Inside(Some(replace(context)))
}

fn replace(context: Context) -> Context {
    HERE.with(|here| mem::replace(&mut *here.borrow_mut(), context))
}

/// What is to come back when this is dropped.
#[must_use]
pub(crate) struct Inside(Option<Context>);

impl Drop for Inside {
    fn drop(&mut self) {
        if let Some(before) = self.0.take() {
            replace(before).discard();
        }
    }
}
