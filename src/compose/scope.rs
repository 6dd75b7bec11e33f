//! Scopes: tasks that borrow, in a block that does not end before they have retired.
//!
//! Layer 6, and the one file with `unsafe`.
//
// # Why borrowed closures are sound
//
// A cell is `'static`: it lies in the queue, in the timer, with a gate, in a handle, for as long as any of these likes.
// So a scoped body is put into a box of its own, and the lifetime of that box is erased (`carry`). The scope is not over,
// and none of the borrows ends, before every such box is gone:
//
// - Inside the box, behind the body, is a hold on the scope's latch. It is the last field, so it is dropped after the
//   body and all that the body has captured, its share of the packet with the result among them; and nothing else drops
//   it. Whoever is rid of the box, however that comes to pass (it ran, it was cancelled in the queue, the timer settled
//   it, the pool refused it or was shut down, its drop was put off by `discard_flat`, its drop panicked), has dropped the
//   body first. A box that is leaked is never gone: then the scope never ends, which is sound.
// - `enter` waits for the latch after the scope's closure has returned or panicked, and there is no way out before it has
//   seen that open: whatever else would end the wait, an unwind (as where a simulation finds nobody left to go on) or a
//   mistake in it, aborts the process.
// - While the latch is open nobody can submit: a reference to the scope lives for `'scope`, so only the scope's closure,
//   which has returned, and scoped bodies, which are gone, can have one.
// - The result does not lie in the cell but in the packet, which belongs to the body and the handle; the handle cannot
//   outlive `'scope`. What does lie in the cell is `'static`, as are panic payloads.
//
// So when the latch opens, nothing of the cells' is left that borrows. Retired (the word is DESIGN's: the body has
// returned, closure and unwanted result are dropped, callbacks are done) asks for more: a second hold is a part of the
// cell's extras (`Member`), is moved out at settling with the rest, and is dropped when the callbacks are done and the
// unwanted outcome has been told of. A task that runs out of time is settled, and loses that one, while its body still
// runs; the hold in the box is what the scope waits for then.
//
// The lifetimes are std's: `'scope` is one that the closure must work for whatever it is, so nothing with it in its
// type gets out; both are invariant, so neither can be stretched or shrunk.

#![allow(unsafe_code)]

use crate::cancel::CancelToken;
use crate::compose::failures::Failures;
use crate::compose::gather::{Admits, All, AnyError, Only, Worst, reason_here};
use crate::compose::latch::Hold;
use crate::compose::members::Members;
use crate::compose::scope_options::{ScopeOptions, below_both, token_below_here};
use crate::compose::scoped_handle::{InCell, Packet, Parts, ScopedHandle};
use crate::error::{JoinError, Rejection, TaskError};
use crate::event::OutcomeKind;
use crate::extras::{Group, Member};
use crate::panic::{self, Payload};
use crate::pool::{Core, Fallible, PLAIN, Plain, PoolRef, Retrying, Spec, TaskBuilder, ThreadPool};
use crate::reason::CancelReason;
use crate::task::{FallibleWork, PlainWork, RetryWork, TaskHandle, Work};
use std::fmt;
use std::marker::PhantomData;
use std::mem;
use std::panic::{Location, resume_unwind};
use std::process;
use std::sync::Arc;

type Body<O> = Box<dyn FnMut() -> O + Send>;

/// A body and what it holds back, in the order in which they are to be dropped.
struct Carried<F> {
    body: F,
    _hold: Hold,
}

impl<F> Carried<F> {
    fn call<O>(&mut self) -> O
    where
        F: FnMut() -> O,
    {
        (self.body)()
    }
}

/// All bodies are boxed as what may run again; this one will not.
fn once<T>(f: impl FnOnce() -> T) -> impl FnMut() -> T {
    let mut f = Some(f);
    move || f.take().expect("it is run once")()
}

/// Boxes a body for the cell, which knows nothing of `'scope`.
///
/// # Safety
/// `'scope` must not end before the latch of `hold` has been seen open after this call.
unsafe fn carry<'scope, O: 'static>(
    body: impl FnMut() -> O + Send + 'scope,
    hold: Hold,
) -> Body<O> {
    let mut carried = Carried { body, _hold: hold };
    // As a whole: a capture of the field alone would leave the hold outside, to be dropped here.
    let boxed: Box<dyn FnMut() -> O + Send + 'scope> = Box::new(move || carried.call());
    // SAFETY: only the lifetime bound of the trait object changes. All that is called or dropped through the box comes
    // before the hold in it is dropped, so before the latch opens, and so, as the caller promises, before `'scope` ends.
    unsafe { mem::transmute::<Box<dyn FnMut() -> O + Send + 'scope>, Body<O>>(boxed) }
}

/// Where tasks are submitted that borrow: what [`ThreadPool::scope`] hands to its closure.
///
/// The scope ends when all its tasks have retired: bodies have returned, closures and unwanted results are dropped. So
/// they may borrow whatever outlives the scope (`'env`), and the scope itself (`'scope`), to submit to it. A scope on a
/// worker, in a task, gives up the seat while it waits, and runs there what is queued still; scopes nest, and one worker
/// is enough.
///
/// `X` says with which errors its bodies may fail: [`AnyError`], or [`Only`] one type, which the scope gathers.
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
/// # Ok::<(), millhand::BuildError>(())
/// ```
///
/// What does not live until the scope's end is not borrowed:
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
/// Nor does the scope itself get out:
///
/// ```compile_fail,E0521
/// let pool = millhand::ThreadPool::new(2).unwrap();
/// let mut kept = None;
/// pool.scope(|s| kept = Some(s));
/// ```
// `X: 'static` is not for the fields: without it a lifetime in it (an error that is a `&'static str`) would be one more that the
// compiler sees above `'scope` in the closure, and it would have every borrow outlive that one, too.
pub struct Scope<'scope, 'env: 'scope, X: 'static = AnyError> {
    core: Arc<Core>,
    members: Arc<Members>,
    /// The pool is another process's: nothing would run.
    is_foreign: bool,
    errors: PhantomData<fn() -> X>,
    /// Invariant in both, as std's: else a scope could be made to take closures that borrow for less than its duration.
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

impl<'scope, X: 'static> Scope<'scope, '_, X> {
    /// Submits a task that may borrow, and gives its handle. Waits while the queue is full, as the pool's
    /// [`submit`](ThreadPool::submit) does; a refusal settles the handle as [`TaskError::Rejected`].
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(2)?;
    /// let text = String::from("to be read by both");
    /// let (bytes, words) = pool.scope(|s| {
    ///     let words = s.submit(|| text.split(' ').count());
    ///     (text.len(), words.join().unwrap())
    /// });
    /// assert_eq!((bytes, words), (18, 5));
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    #[track_caller]
    pub fn submit<F, T>(&'scope self, f: F) -> ScopedHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        self.submit_plain(Location::caller(), &PLAIN, f)
    }

    /// A template of tasks with options, all of those of the pool's [`task`](ThreadPool::task), for this scope. A
    /// [`token`](TaskBuilder::token) cancels its tasks beside the scope's own.
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
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn task(&'scope self) -> TaskBuilder<Plain, &'scope Self> {
        TaskBuilder::new(self.core.clone(), self)
    }

    /// The token above those of all tasks of the scope. In a task it is itself below that task's.
    ///
    /// ```
    /// use millhand::CancelReason;
    /// use std::time::Duration;
    ///
    /// let pool = millhand::ThreadPool::new(2)?;
    /// pool.scope(|s| {
    ///     s.submit(|| millhand::sleep(Duration::from_secs(3600)));
    ///     s.token().cancel(CancelReason::User); // it need not last for an hour
    /// });
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    pub fn token(&self) -> CancelToken {
        self.members.token().clone()
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    pub(crate) fn submit_plain<F, T>(
        &'scope self,
        site: &'static Location<'static>,
        spec: &Spec,
        f: F,
    ) -> ScopedHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let packet = Packet::new();
        let (mut f, result) = (once(f), packet.clone());
        let body = move || result.put(f());
        ScopedHandle::new(self.start(site, spec, packet, body, PlainWork))
    }

    fn submit_fallible<F, T, E, W>(
        &'scope self,
        site: &'static Location<'static>,
        spec: &Spec,
        mut f: F,
        work: impl FnOnce(Body<Result<(), E>>) -> W,
    ) -> ScopedHandle<'scope, Result<T, E>>
    where
        W: Work<Output = Result<(), E>>,
        F: FnMut() -> Result<T, E> + Send + 'scope,
        T: Send + 'scope,
        E: Send + 'static,
    {
        let packet = Packet::new();
        let result = packet.clone();
        let body = move || f().map(|value| result.put(value));
        ScopedHandle::new(self.start(site, spec, packet, body, work))
    }

    /// Sends a body on its way, the work that `work` makes of it.
    fn start<T, W>(
        &'scope self,
        site: &'static Location<'static>,
        spec: &Spec,
        packet: Arc<Packet<T>>,
        body: impl FnMut() -> W::Output + Send + 'scope,
        work: impl FnOnce(Body<W::Output>) -> W,
    ) -> Parts<T, W::Output>
    where
        W: Work<Output: InCell>,
    {
        // SAFETY: `enter` waits for this latch before it lets `'scope` end, and whoever calls this, be it the scope's
        // closure or a body of the scope's, has not let it be seen open yet.
        let body = unsafe { carry(body, self.members.hold()) };
        let (token, hook) = below_both(self.members.token(), spec.token.as_ref());
        let spec = Spec {
            token: Some(token),
            ..spec.clone()
        };
        let member = self.members.member(hook);
        let index = member.index;
        let (cell, _) = self.hand_in(site, &spec, work(body), member).into_parts();
        self.members.list(cell.clone().as_any_task());
        Parts {
            cell,
            packet,
            members: self.members.clone(),
            index,
        }
    }

    fn hand_in<W: Work>(
        &self,
        site: &'static Location<'static>,
        spec: &Spec,
        work: W,
        member: Member,
    ) -> TaskHandle<W::Output> {
        let index = member.index;
        let (reason, work) = if self.is_foreign {
            (Rejection::Forked, work)
        } else {
            match self.core.submit_member(site, spec, work, member) {
                Ok(handle) => return handle,
                Err(refused) => (refused.reason(), refused.into_inner()),
            }
        };
        panic::discard(work);
        self.members.settled(index, OutcomeKind::Rejected);
        self.core.refused(site, spec, reason)
    }
}

impl<X: 'static> fmt::Debug for Scope<'_, '_, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("token", self.members.token())
            .finish_non_exhaustive()
    }
}

impl<'scope, X: 'static> TaskBuilder<Plain, &'scope Scope<'scope, '_, X>> {
    /// Submits a task that may borrow; see [`Scope::submit`].
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let text = String::from("7");
    /// pool.scope(|s| {
    ///     let urgent = s.task().priority(1).submit(|| text.parse::<u8>());
    ///     assert_eq!(urgent.join().unwrap(), Ok(7));
    /// });
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    #[track_caller]
    pub fn submit<F, T>(&self, f: F) -> ScopedHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let (_, spec) = self.parts();
        self.place().submit_plain(Location::caller(), spec, f)
    }
}

impl<'scope, X: 'static> TaskBuilder<Fallible, &'scope Scope<'scope, '_, X>> {
    /// Submits a task that may borrow, and whose `Err` is a failure; see [`Scope::submit`].
    ///
    /// ```
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let text = String::from("7");
    /// pool.scope(|s| {
    ///     let parsed = s.task().fallible().submit(|| text.parse::<u8>());
    ///     assert_eq!(parsed.join_ok().unwrap(), 7);
    /// });
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    #[track_caller]
    pub fn submit<F, T, E>(&self, f: F) -> ScopedHandle<'scope, Result<T, E>>
    where
        F: FnOnce() -> Result<T, E> + Send + 'scope,
        T: Send + 'scope,
        E: Send + 'static,
        X: Admits<E>,
    {
        let (_, spec) = self.parts();
        self.place()
            .submit_fallible(Location::caller(), spec, once(f), FallibleWork)
    }
}

impl<'scope, E: Send + 'static, X: 'static> TaskBuilder<Retrying<E>, &'scope Scope<'scope, '_, X>> {
    /// Submits a task that may borrow, and runs again when it fails; see [`Scope::submit`].
    ///
    /// ```
    /// use millhand::Retry;
    /// use std::time::Duration;
    ///
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let mut attempts = 0;
    /// pool.scope(|s| {
    ///     s.task().retry(Retry::fixed(2, Duration::ZERO)).submit(|| {
    ///         attempts += 1;
    ///         if attempts < 3 { Err("busy") } else { Ok(()) }
    ///     });
    /// });
    /// assert_eq!(attempts, 3);
    /// # Ok::<(), millhand::BuildError>(())
    /// ```
    #[track_caller]
    pub fn submit<F, T>(&self, f: F) -> ScopedHandle<'scope, Result<T, E>>
    where
        F: FnMut() -> Result<T, E> + Send + 'scope,
        T: Send + 'scope,
        X: Admits<E>,
    {
        let (_, spec) = self.parts();
        let work = |body| RetryWork(body, self.rules());
        self.place()
            .submit_fallible(Location::caller(), spec, f, work)
    }
}

/// Aborts when dropped.
struct NoWayOut;

impl Drop for NoWayOut {
    fn drop(&mut self) {
        log::error!("a scope could not wait for its tasks: the process aborts");
        process::abort();
    }
}

/// Runs `f`, and does not return before all that it has submitted to its scope has retired.
pub(crate) fn enter<'env, X: 'static, R>(
    core: &Arc<Core>,
    members: &Arc<Members>,
    f: impl for<'scope> FnOnce(&'scope Scope<'scope, 'env, X>) -> R,
) -> Result<R, Payload> {
    let scope = Scope {
        core: core.clone(),
        members: members.clone(),
        is_foreign: core.is_foreign(),
        errors: PhantomData,
        scope: PhantomData,
        env: PhantomData,
    };
    let result = panic::catch(|| f(&scope));
    let no_way_out = NoWayOut;
    if result.is_err() && members.fails_fast() {
        members.token().cancel(CancelReason::Scope);
    }
    members.wait(core.owner());
    if members.have_retired() {
        mem::forget(no_way_out);
    }
    result
}

#[track_caller]
fn plain<'env, R>(
    core: &Arc<Core>,
    f: impl for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> R,
) -> R {
    let worst = Arc::new(Worst::default());
    let members = Members::new(token_below_here(core.clock()), false, worst.clone());
    let result = enter(core, &members, f);
    let (panicked, lost) = worst.take();
    let value = match result {
        Ok(value) => value,
        Err(payload) => {
            if let Some(panicked) = panicked {
                panicked.unread();
            }
            resume_unwind(payload)
        }
    };
    if let Some(panicked) = panicked {
        panic::discard(value);
        panicked.resume();
    }
    // The pool's doing is not passed over in silence, nor does a task that is told to stop go on without what it lost.
    if let Some(lost) = lost.filter(|lost| lost.is_refused() || reason_here().is_some()) {
        drop(value);
        lost.comes_through("scope");
    }
    value
}

fn gathering<'env, E, R>(
    core: &Arc<Core>,
    options: &ScopeOptions<E>,
    f: impl for<'scope> FnOnce(&'scope Scope<'scope, 'env, Only<E>>) -> R,
) -> Result<R, Failures<E>>
where
    E: Send + 'static,
{
    let all = Arc::new(All::default());
    let (token, _hook) = options.build_token(core.clock());
    let members = Members::new(token, options.fails_fast(), all.clone());
    let result = enter(core, &members, f);
    let failures = all.take(members.culprit());
    match (result, failures) {
        (Ok(value), None) => Ok(value),
        (Ok(_), Some(failures)) => Err(failures),
        (Err(payload), failures) => {
            for failure in failures.into_iter().flatten() {
                match failure.into_error() {
                    JoinError::Task(TaskError::Panicked(panicked)) => panicked.unread(),
                    other => panic::discard(other),
                }
            }
            resume_unwind(payload)
        }
    }
}

/// The two kinds of scope, on the faces of the pool.
macro_rules! scopes {
    () => {
        /// Runs `f` with a [`Scope`], to which it submits tasks that may borrow what lies around it; returns when `f` has
        /// and all these tasks have retired: bodies have returned, closures and unwanted results are dropped.
        ///
        /// Waits, on any thread; on a worker with the seat given up. Errors are for the handles' readers;
        /// [`scope_with`](Self::scope_with) gathers them.
        ///
        /// # Panics
        /// With `f`'s own payload if that panics. Else with the first panic of a task, unless its handle's reader has it.
        /// Also when the pool did not run a task to its end, being closed, full or shut down, and nobody has that from its
        /// handle. In a task that is asked to stop, tasks of the scope that were cancelled for it end that, too, as
        /// [`checkpoint`](crate::checkpoint) does.
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
        /// # Ok::<(), millhand::BuildError>(())
        /// ```
        #[track_caller]
        pub fn scope<'env, F, R>(&self, f: F) -> R
        where
            F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> R,
        {
            plain(self.core(), f)
        }

        /// As [`scope`](Self::scope), with options, and with what went wrong as an error: every task whose outcome was no
        /// success, unless its handle's reader has that; panics among them.
        ///
        /// # Errors
        /// [`Failures`], the task on whose account the others were cancelled first, the others in the order of their
        /// submission. Tasks that the scope itself has cancelled for that one are not among them.
        ///
        /// # Panics
        /// With `f`'s own payload if that panics.
        ///
        /// ```
        /// use millhand::{JoinError, ScopeOptions};
        ///
        /// let pool = millhand::ThreadPool::new(2)?;
        /// let texts = ["1", "2", "x"];
        /// let mut numbers = [0; 3];
        /// let done = pool.scope_with(ScopeOptions::fail_fast(), |s| {
        ///     for (text, number) in texts.iter().zip(&mut numbers) {
        ///         s.task().fallible().submit(move || text.parse::<u8>().map(|n| *number = n));
        ///     }
        /// });
        /// let failure = done.unwrap_err().into_first();
        /// assert_eq!(failure.index(), 2);
        /// assert!(matches!(failure.into_error(), JoinError::Failed(_)));
        /// # Ok::<(), millhand::BuildError>(())
        /// ```
        pub fn scope_with<'env, E, F, R>(
            &self,
            options: ScopeOptions<E>,
            f: F,
        ) -> Result<R, Failures<E>>
        where
            E: Send + 'static,
            F: for<'scope> FnOnce(&'scope Scope<'scope, 'env, Only<E>>) -> R,
        {
            gathering(self.core(), &options, f)
        }
    };
}

impl ThreadPool {
    scopes!();
}

impl PoolRef {
    scopes!();
}

#[cfg(all(test, loom))]
#[path = "../../tests/loom/scope.rs"]
mod models;
