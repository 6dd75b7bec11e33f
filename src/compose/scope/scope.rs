//! Scopes: tasks that may borrow, in a block that does not end before they are released.
//!
//! Layer: compose. The only file with `unsafe`.
//
// # Why borrowed closures are sound
//
// A task is `'static`: the queue, the timer, a gate or a handle may keep it for any time. So the
// lifetime of a scoped body is erased (`erase`), and the body, which is a part of the task, is
// emptied in place. The scope does not end, and so none of the borrows ends, before each such
// body is empty:
//
// - A body has three parts: the closure, its share of the packet for the value, and a hold on the
//   latch of the scope. They are taken out together and dropped in this order (`Carried`), and no
//   other code drops any of them. So the thread that releases the hold has dropped the closure
//   and all that it captured first. This is the same for a body that ran, panicked, or panicked
//   in its drop, and for one that was cancelled in the queue, settled by the timer, refused by
//   the pool, or cancelled by its shutdown. A leaked body never releases its hold. Then the scope
//   never ends, which is sound.
// - `enter` waits for the latch after the scope's closure has returned or panicked. It does not
//   return before it has seen the latch open. If anything else would end the wait, the process
//   aborts: an unwind, as where a simulation finds that no thread can go on, or a mistake in the
//   wait.
// - While the latch is open no thread can submit. A reference to the scope lives for `'scope`. So
//   only the scope's closure, which has returned, and scoped bodies, which are empty, can have
//   one.
// - The value is not in the task. It is in the packet, which belongs to the body and to the
//   handle, and the handle cannot outlive `'scope`. What is in the task is `'static`: the payload
//   of a panic, and the error of a fallible body.
//
// So when the latch opens, nothing in a task borrows. An empty body that is dropped later does
// not touch what it once borrowed. A task is released later than its body is empty: its callbacks
// have returned, and its unwanted outcome was dropped or reported. For this the task has a second
// hold, the `Member` in its extras. A task whose time is over is settled, and releases this
// second hold, while its body still runs. Then the scope waits for the hold in the body.
//
// The lifetimes are those of std's scope. The scope's closure must work for any `'scope`, so
// nothing with this lifetime in its type leaves the closure. The scope is invariant in both
// lifetimes, so neither can be made longer or shorter.

#![allow(unsafe_code)] // `erase` needs it, as explained above.

use crate::cancel::CancelToken;
use crate::cancel::blocking::InScope;
use crate::compose::scope::body::{FallibleScoped, PlainScoped};
use crate::compose::scope::gather::GatherScope;
use crate::compose::scope::handle::{Packet, ScopedHandle};
use crate::compose::scope::options::token_below_here;
use crate::compose::scope::sink::{FailureSink, PlainStop, Unfinished, reason_here};
use crate::compose::scope::state::ScopeState;
use crate::error::BoxError;
use crate::panic::{self, Level, Payload};
use crate::pool::{Core, PLAIN, Plain, Pool, Spec, TaskBuilder};
use crate::reason::CancelReason;
use crate::task::body::{Body, boxed_if_large};
use crate::task::{Head, Rules, Site, Task, TaskRef, unread};
use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::mem;
use std::panic::Location;
use std::process;
use std::sync::Arc;
use std::thread;

/// Erases the lifetime of a task's body.
///
/// # Safety
/// `'scope` must not end before the latch of the hold in the body is seen open.
unsafe fn erase<'scope>(task: Arc<Task<dyn Body + 'scope>>) -> TaskRef {
    // SAFETY: only the lifetime bound of the trait object changes. All that may borrow is called
    // or dropped before the hold in the body is dropped, so before the latch opens, and so, as
    // the caller promises, before `'scope` ends.
    unsafe { mem::transmute::<Arc<Task<dyn Body + 'scope>>, TaskRef>(task) }
}

/// Submits tasks that may borrow. [`Pool::scope`] passes it to its closure.
///
/// The scope ends when all its tasks are released: the bodies have returned, and closures and
/// unwanted results are dropped. So the tasks may borrow whatever outlives the scope (`'env`),
/// and the scope itself (`'scope`), to submit to it. A scope in a task releases the run slot of
/// its worker while it waits, and runs tasks there that are still queued. Scopes nest, and one
/// worker is enough.
///
/// Failures are in the handles. What no handle takes: a panic goes on in the thread that opened the
/// scope, and an `Err` of a [`fallible`](TaskBuilder::fallible) or retried body is logged. A value
/// is dropped, also one that is a `Result`. [`Pool::scope_with`] opens a scope that returns the
/// failures.
///
/// ```
/// let pool = millhand::ThreadPool::new(2)?;
/// let mut table = vec![vec![0; 3]; 4];
/// pool.scope(|s| {
///     for (n, row) in table.iter_mut().enumerate() {
///         s.submit(move || row.fill(n));
///     }
/// });
/// assert_eq!(table[3], [3, 3, 3]);
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
///
/// A task cannot borrow what does not live until the end of the scope:
///
/// ```compile_fail,E0597
/// let pool = millhand::ThreadPool::new(2).unwrap();
/// pool.scope(|s| {
///     let text = String::from("gone when the closure returns");
///     s.submit(|| text.len());
/// });
/// ```
///
/// ```compile_fail,E0499
/// let pool = millhand::ThreadPool::new(2).unwrap();
/// let mut count = 0;
/// pool.scope(|s| {
///     s.submit(|| count += 1);
///     s.submit(|| count += 1);
/// });
/// ```
///
/// The scope itself cannot be kept either:
///
/// ```compile_fail,E0521
/// let pool = millhand::ThreadPool::new(2).unwrap();
/// let mut kept = None;
/// pool.scope(|s| kept = Some(s));
/// ```
///
/// A function that submits to a scope names both lifetimes, and `'scope` twice:
///
/// ```
/// use millhand::Scope;
///
/// fn fill<'scope>(s: &'scope Scope<'scope, '_>, half: &'scope mut [u8]) {
///     s.execute(|| half.fill(1));
/// }
/// let pool = millhand::ThreadPool::new(2)?;
/// let mut bytes = [0; 4];
/// let (left, right) = bytes.split_at_mut(2);
/// pool.scope(|s| {
///     fill(s, left);
///     fill(s, right);
/// });
/// assert_eq!(bytes, [1; 4]);
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
///
/// Guide: [composition](crate::guide::composition).
pub struct Scope<'scope, 'env: 'scope> {
    core: Arc<Core>,
    state: Arc<ScopeState>,
    /// Invariant in both lifetimes, as std's scope is. Otherwise a scope could be used as one
    /// with a shorter lifetime, and would accept closures that borrow for less than its duration.
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

impl<'scope> Scope<'scope, '_> {
    /// Submits a task that may borrow, and returns its handle.
    ///
    /// Waits while the queue is full, as the pool's [`submit`](Pool::submit) does. If the
    /// pool refuses the task, its outcome is [`TaskError::Rejected`](crate::TaskError::Rejected).
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(2)?;
    /// let text = String::from("to be read by both");
    /// let (bytes, words) = pool.scope(|s| {
    ///     let words = s.submit(|| text.split(' ').count());
    ///     (text.len(), words.join().unwrap())
    /// });
    /// assert_eq!((bytes, words), (18, 5));
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    #[track_caller]
    pub fn submit<F, T>(&'scope self, f: F) -> ScopedHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        self.submit_plain(Location::caller(), &PLAIN, f)
    }

    /// Submits a task that may borrow, without a handle.
    ///
    /// The closure returns nothing. Of a template, [`execute_ok`](TaskBuilder::execute_ok) takes
    /// one that may fail.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(2)?;
    /// let mut rows = [[1, 2], [3, 4]];
    /// pool.scope(|s| {
    ///     for row in &mut rows {
    ///         s.execute(|| row.reverse());
    ///     }
    /// });
    /// assert_eq!(rows, [[2, 1], [4, 3]]);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    #[track_caller]
    pub fn execute<F: FnOnce() + Send + 'scope>(&'scope self, f: F) {
        self.submit_plain(Location::caller(), &PLAIN, f);
    }

    /// Begins a template for tasks of this scope with options, the same as those of the pool's
    /// [`task`](Pool::task). A [`token`](TaskBuilder::token) cancels the tasks in addition
    /// to the scope's own token.
    ///
    /// ```
    /// use millhand::Retry;
    /// use std::time::Duration;
    ///
    /// let pool = millhand::ThreadPool::new(2)?;
    /// let path = String::from("Cargo.toml");
    /// let text = pool.scope(|s| {
    ///     let read = s.task().name("read").retry(Retry::fixed(3, Duration::from_millis(10)));
    ///     read.submit(|| std::fs::read_to_string(&path)).join_ok()
    /// });
    /// assert!(text.is_ok());
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn task(&'scope self) -> TaskBuilder<Plain, &'scope Self> {
        TaskBuilder::new(self.core.clone(), self)
    }

    /// Returns the token that cancels all tasks of the scope. In a task it is below the token of
    /// that task.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let pool = millhand::ThreadPool::new(2)?;
    /// pool.scope(|s| {
    ///     s.submit(|| millhand::sleep(Duration::from_secs(3600)));
    ///     s.token().cancel(); // it need not last for an hour
    /// });
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn token(&self) -> CancelToken {
        self.state.token().clone()
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    pub(crate) fn submit_plain<F, T>(
        &'scope self,
        site: Site,
        spec: &Spec,
        f: F,
    ) -> ScopedHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let packet = Packet::new();
        let head = Head::new(self.core.owner(), site);
        let hold = self.state.hold();
        let (task, index) = boxed_if_large!(
            f: F as dyn FnOnce() -> T + Send + 'scope,
            {
                let body = PlainScoped::new(f, &packet, hold);
                self.start(spec, Arc::new(Task { head, body }))
            }
        );
        ScopedHandle::new(packet, task, self.state.clone(), index)
    }

    pub(super) fn submit_fallible<F, T, E>(
        &'scope self,
        site: Site,
        spec: &Spec,
        f: F,
        show: fn(Box<dyn Any + Send>) -> BoxError,
        rules: Option<Arc<Rules<E>>>,
    ) -> ScopedHandle<'scope, Result<T, E>>
    where
        F: FnMut() -> Result<T, E> + Send + 'scope,
        T: Send + 'scope,
        E: Send + 'static,
    {
        let packet = Packet::fallible();
        let head = Head::new(self.core.owner(), site);
        let hold = self.state.hold();
        let (task, index) = boxed_if_large!(
            f: F as dyn FnMut() -> Result<T, E> + Send + 'scope,
            {
                let body = FallibleScoped::new(f, &packet, hold, show, rules);
                self.start(spec, Arc::new(Task { head, body }))
            }
        );
        ScopedHandle::new(packet, task, self.state.clone(), index)
    }

    /// Submits a task with a scoped body. Returns it with its index in the scope.
    fn start(&'scope self, spec: &Spec, task: Arc<Task<dyn Body + 'scope>>) -> (TaskRef, usize) {
        // SAFETY: `enter` waits for the latch of this body's hold before it lets `'scope` end.
        // The caller is the scope's closure or a body of the scope, so `enter` has not seen it
        // open yet.
        let task = unsafe { erase(task) };
        let state = &self.state;
        // The task has a token of its own if there is another token above it, or a deadline.
        let own = match (&spec.token, state.token().deadline()) {
            (Some(token), Some(deadline)) => Some(token.child_with_deadline(deadline)),
            (Some(token), None) => Some(token.child()),
            (None, Some(_)) => Some(state.token().child()),
            (None, None) => None,
        };
        let member = state.member();
        let index = member.index;
        let cancelled = state.token().reason();
        self.core.submit_member(spec, &task, member, own, cancelled);
        state.add_task(&task);
        (task, index)
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("token", self.state.token())
            .finish_non_exhaustive()
    }
}

/// Aborts the process when it is dropped.
struct NoWayOut;

impl Drop for NoWayOut {
    fn drop(&mut self) {
        panic::log(
            Level::Error,
            format_args!("a scope could not wait for its tasks: the process aborts"),
        );
        process::abort();
    }
}

/// Runs `f`, once, and does not return before all tasks of the scope are released.
pub(crate) fn enter<'env>(
    core: &Arc<Core>,
    state: &Arc<ScopeState>,
    f: &mut dyn for<'scope> FnMut(&'scope GatherScope<'scope, 'env>),
) -> Result<(), Payload> {
    let scope = GatherScope::new(Scope {
        core: core.clone(),
        state: state.clone(),
        scope: PhantomData,
        env: PhantomData,
    });
    let in_scope = InScope::begin(state.token());
    let result = panic::catch(|| f(&scope));
    drop(in_scope);
    let no_way_out = NoWayOut;
    // The scope panics, whatever becomes of its tasks. One may wait for what the closure would have
    // done, or sleep by a test's clock that no thread turns any more.
    if result.is_err() {
        state.token().cancel_with(CancelReason::Scope);
    }
    state.wait(core.owner());
    if state.all_released() {
        mem::forget(no_way_out);
    }
    result
}

/// Runs a plain scope. Calls `f` with the scope, and with `None` to drop what it returned. Panics
/// if the scope cannot end well, and then `f` has dropped it.
#[track_caller]
fn run_plain<'env>(
    core: &Arc<Core>,
    f: &mut dyn for<'scope> FnMut(Option<&'scope Scope<'scope, 'env>>),
) {
    let sink = FailureSink::of_plain_scope(core.owner());
    let state = ScopeState::new(token_below_here(core.clock()), false, sink);
    let result = enter(core, &state, &mut |scope| f(Some(scope)));
    let found = state.found();
    // A refusal by the pool is not passed over in silence. And a task that was asked to stop does
    // not go on without the tasks that were cancelled for it.
    let ends = |task: &Unfinished| task.is_refused() || reason_here().is_some();
    let stop = match (result, found.panic, found.unfinished) {
        (Err(payload), panic, _) => {
            panic.inspect(|panic| unread::panicked(panic));
            PlainStop::Closure(payload)
        }
        (Ok(()), Some(panic), _) => PlainStop::Panicked(panic),
        (Ok(()), None, Some(unfinished)) if ends(&unfinished) => PlainStop::Unfinished(unfinished),
        (Ok(()), None, _) => return,
    };
    if matches!(stop, PlainStop::Closure(_)) || !thread::panicking() {
        panic::discard_by(&mut || f(None));
        stop.propagate()
    }
    stop.log();
}

pub(super) const RETURNED: &str = "the closure of a scope runs once, and it has returned";

/// Runs a plain scope. What depends on the types of `f` and its value is kept small.
#[track_caller]
fn plain<'env, R>(
    core: &Arc<Core>,
    f: impl for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> R,
) -> R {
    let (mut f, mut value) = (Some(f), None);
    run_plain(core, &mut |scope| {
        value = scope.and_then(|scope| f.take().map(|f| f(scope)));
    });
    value.expect(RETURNED)
}

impl Pool {
    /// Runs tasks that may borrow local variables: calls `f` with a [`Scope`], to which it
    /// submits them.
    ///
    /// Returns when `f` has returned and all these tasks are released: their bodies have
    /// returned, and closures and unwanted results are dropped. Blocks until then. On a
    /// worker the run slot is released meanwhile. Failures are in the handles;
    /// [`scope_with`](Self::scope_with) returns those that no handle takes.
    ///
    /// # Panics
    /// [`scope_with`](Self::scope_with) returns all these as failures, except a panic of `f`.
    ///
    /// With the payload of `f` if `f` panics: the tasks are cancelled then, and this call waits for
    /// them. Otherwise with the first panic of a task whose outcome no handle took. Also if the
    /// pool did not run a task to its end, because it is closed, full or shut down, and no handle
    /// took that error. In a task that is asked to stop, it ends the task, as
    /// [`checkpoint`](crate::checkpoint) does, if tasks of the scope were cancelled for it.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(2)?;
    /// let mut halves = [vec![3, 1, 2], vec![6, 5, 4]];
    /// pool.scope(|s| {
    ///     for half in &mut halves {
    ///         s.submit(|| half.sort());
    ///     }
    /// });
    /// assert_eq!(halves, [[1, 2, 3], [4, 5, 6]]);
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    #[track_caller]
    #[doc(alias = "nursery")]
    #[doc(alias = "TaskGroup")]
    #[doc(alias = "JoinSet")]
    pub fn scope<'env, F, R>(&self, f: F) -> R
    where
        F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> R,
    {
        plain(self.core(), f)
    }
}

#[cfg(all(test, loom))]
#[path = "../../../tests/loom/scope.rs"]
mod models;
