//! Cancellation: a tree of tokens, with reasons, deadlines and hooks.
//!
//! Cancelling a token cancels all tokens below it. A child never cancels its parent. Checking a
//! token costs one atomic load, and a clock read if there is a deadline.
//
// A node holds its parent. The parent holds its children weakly, each under a key, which the drop
// of the child removes: children of a long-lived parent leave nothing behind. Chains of any length
// are cancelled and dropped by loops, never by recursion.
//
// With the lock of one node held, no other lock is taken, and no hook of the user runs or is
// dropped.

use crate::cancel::guard::CancelGuard;
use crate::clock::{self, Clock, Monitor, alarm, current, earlier, hooks};
use crate::panic;
use crate::reason::CancelReason;
use crate::sync::MutexGuard;
use crate::sync::atomic::{AtomicU8, Ordering};
use crate::sync::number_map::NumberMap;
use crate::sync::waiter::ClockWaiter;
use std::fmt;
use std::mem;
use std::panic::Location;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

type Hook = Box<dyn FnOnce(CancelReason) + Send>;

pub(super) struct Node {
    /// 0 while live, then the code of the reason. Written once, with `inner` locked.
    pub(super) reason: AtomicU8,
    /// The clock of the deadline. On a thread that is no worker, it is also the clock of waits for
    /// this token and of the deadlines of its children.
    pub(super) clock: Clock,
    /// The earliest deadline of this node and the nodes above it.
    pub(super) deadline: Option<Instant>,
    /// The parent, and the key of this node there.
    parent: Option<(Arc<Node>, u64)>,
    /// Notified when the reason is set.
    pub(super) inner: Monitor<Inner>,
}

/// What a token cancels.
pub(super) enum Below {
    Child(Weak<Node>),
    /// A hook, and where it was added; `None` if it runs no code of the user.
    Hook(Hook, Option<Site>),
}

type Site = &'static Location<'static>;

/// A hook that is to run. It stays with its token until a thread begins to run it, so that the drop
/// of its guard still removes it.
struct Called {
    node: Arc<Node>,
    key: u64,
    why: CancelReason,
    site: Site,
}

/// What the cancelling thread takes, once.
#[derive(Default)]
pub(super) struct Inner {
    next_key: u64,
    /// Whether the deadline is registered with its clock or the alarm: from the first hook on, or
    /// from the first wait by another clock.
    is_registered: bool,
    /// Whether a canceller has taken the children, and runs the hooks.
    is_taken: bool,
    /// In the order in which they were added.
    below: NumberMap<Below>,
    /// How many of them are hooks.
    hooks: usize,
}

impl Inner {
    fn key(&mut self) -> u64 {
        self.next_key += 1;
        self.next_key
    }
}

/// A request to stop that can be passed around: cloned, handed to tasks, and arranged in a tree.
///
/// Clones are the same token. A [`child`](Self::child) is cancelled with its parent and alone; a
/// deadline is a cancellation with [`CancelReason::Deadline`] that comes by itself.
///
/// ```
/// use millhand::cancel::CancelReason;
/// use millhand::CancelToken;
///
/// let all = CancelToken::new();
/// let one = all.child();
/// one.cancel();
/// assert!(one.is_cancelled() && !all.is_cancelled());
///
/// let other = all.child();
/// all.cancel_with(CancelReason::Shutdown);
/// assert_eq!(other.reason(), Some(CancelReason::Shutdown));
/// ```
///
/// Guide: [cancelling](crate::guide::cancelling).
#[derive(Clone)]
pub struct CancelToken {
    pub(super) node: Arc<Node>,
}

impl CancelToken {
    /// Makes a token without a parent and without a deadline.
    ///
    /// ```
    /// let token = millhand::CancelToken::new();
    /// assert!(!token.is_cancelled() && token.deadline().is_none());
    /// ```
    pub fn new() -> Self {
        Self::with_clock(current::clock())
    }

    /// Makes a token without a parent and without a deadline, on `clock`. The deadlines of its
    /// children use this clock, and so does a thread that waits for it and is no worker.
    ///
    /// Any other token takes the clock of where it is made. The token of a task has the clock of
    /// the task's pool. A child has the clock of its parent if the parent has a deadline. A token
    /// made in a task's body has the clock of the pool. Otherwise it is the system's clock.
    ///
    /// ```
    /// use millhand::testing::ManualClock;
    /// use millhand::CancelToken;
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let token = CancelToken::with_clock(&clock.clock()).child_with_timeout(Duration::from_secs(60));
    /// assert!(!token.is_cancelled());
    /// clock.advance(Duration::from_secs(60));
    /// assert!(token.is_cancelled());
    /// ```
    pub fn with_clock(clock: impl Into<Clock>) -> Self {
        Self::build(clock.into(), None, None, None)
    }

    /// Makes a token that is cancelled `timeout` from now. A timeout that the clock cannot hold
    /// means for ever.
    ///
    /// A thread that checks the token, waits for it or sleeps sees the deadline on time. The hooks
    /// of [`on_cancel`](Self::on_cancel), those of queued tasks among them, run then on a thread
    /// of the library.
    ///
    /// ```
    /// use millhand::cancel::CancelReason;
    /// use millhand::CancelToken;
    /// use std::time::Duration;
    ///
    /// let token = CancelToken::with_timeout(Duration::from_millis(5));
    /// token.wait().unwrap();
    /// assert_eq!(token.reason(), Some(CancelReason::Deadline));
    /// ```
    pub fn with_timeout(timeout: Duration) -> Self {
        let clock = current::clock();
        let deadline = clock.deadline(timeout);
        Self::build(clock, None, None, deadline)
    }

    /// Makes a token that is cancelled with this one, and that can be cancelled alone.
    ///
    /// ```
    /// use millhand::CancelToken;
    ///
    /// let all = CancelToken::new();
    /// let one = all.child();
    /// all.cancel();
    /// assert!(one.is_cancelled());
    /// ```
    pub fn child(&self) -> Self {
        self.new_child(self.clock_of_child(), None)
    }

    /// Makes a token below this one that is cancelled `timeout` from now at the latest.
    ///
    /// ```
    /// let all = millhand::CancelToken::new();
    /// let one = all.child_with_timeout(std::time::Duration::from_millis(1));
    /// one.wait().unwrap();
    /// assert!(one.is_cancelled() && !all.is_cancelled());
    /// ```
    pub fn child_with_timeout(&self, timeout: Duration) -> Self {
        let clock = self.clock_of_child();
        let deadline = clock.deadline(timeout);
        self.new_child(clock, deadline)
    }

    /// A token below this one that is cancelled at `deadline` at the latest.
    pub(crate) fn child_with_deadline(&self, deadline: Instant) -> Self {
        self.new_child(self.clock_of_child(), Some(deadline))
    }

    /// The clock of a child that is made here. If there is a deadline, it must be the clock of the
    /// deadline: instants of two clocks cannot be compared.
    fn clock_of_child(&self) -> Clock {
        match self.node.deadline {
            Some(_) => self.node.clock.clone(),
            None => current::clock().or(&self.node.clock),
        }
    }

    fn new_child(&self, clock: Clock, deadline: Option<Instant>) -> Self {
        let deadline = earlier(self.node.deadline, deadline);
        let mut inner = self.node.inner.lock();
        // ORDERING: relaxed, since the reason is written with this lock held.
        if let Some(reason) = CancelReason::from_code(self.node.reason.load(Ordering::Relaxed)) {
            return Self::build(clock, Some(reason), None, deadline);
        }
        let key = inner.key();
        let child = Self::build(clock, None, Some((self.node.clone(), key)), deadline);
        let child_node = Arc::downgrade(&child.node);
        inner.below.insert(key, Below::Child(child_node));
        child
    }

    fn build(
        clock: Clock,
        reason: Option<CancelReason>,
        parent: Option<(Arc<Node>, u64)>,
        deadline: Option<Instant>,
    ) -> Self {
        Self {
            node: Arc::new(Node {
                reason: AtomicU8::new(reason.map_or(0, |reason| reason as u8)),
                clock,
                deadline,
                parent,
                inner: Monitor::new(Inner::default()),
            }),
        }
    }

    /// Cancels this token and all tokens below it, and runs their hooks on this thread. Returns
    /// whether this call cancelled it: a token that is cancelled already keeps its reason. The
    /// reason is [`CancelReason::User`].
    ///
    /// ```
    /// use millhand::cancel::CancelReason;
    /// use millhand::CancelToken;
    ///
    /// let token = CancelToken::new();
    /// assert!(token.cancel());
    /// assert!(!token.cancel_with(CancelReason::Shutdown));
    /// assert_eq!(token.reason(), Some(CancelReason::User));
    /// ```
    pub fn cancel(&self) -> bool {
        self.cancel_with(CancelReason::User)
    }

    /// Does what [`cancel`](Self::cancel) does, for another reason.
    ///
    /// ```
    /// use millhand::cancel::CancelReason;
    /// use millhand::{CancelToken, ThreadPool};
    ///
    /// let pool = ThreadPool::new(1)?;
    /// let leaving = CancelToken::new();
    /// leaving.cancel_with(CancelReason::Shutdown);
    /// let error = pool.task().token(&leaving).submit(|| ()).join().unwrap_err();
    /// assert_eq!(error.to_string(), "task cancelled: shutdown");
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn cancel_with(&self, reason: CancelReason) -> bool {
        let (is_first, hooks) = self.mark(reason);
        hooks.into_iter().for_each(Called::run);
        is_first
    }

    /// As [`cancel`](Self::cancel), but runs the hooks on another thread: for a caller that must
    /// not run code of the user.
    pub(crate) fn cancel_in_background(&self, reason: CancelReason) {
        let (_, hooks) = self.mark(reason);
        for hook in hooks {
            hooks::call_in_background(ON_CANCEL, hook.site, || hook.run());
        }
    }

    /// Whether both are the same token.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.node, &other.node)
    }

    pub(crate) fn has_hooks(&self) -> bool {
        self.node.inner.lock().hooks > 0
    }

    /// Marks this token and all tokens below it as cancelled. Returns whether this call cancelled
    /// this token, and the hooks that the caller must run. Runs those here that run no code of the
    /// user.
    fn mark(&self, reason: CancelReason) -> (bool, Vec<Called>) {
        let mut is_first = false;
        let mut hooks = Vec::new();
        let mut light = Vec::new();
        let mut open = vec![self.node.clone()];
        // All tokens are marked before the first hook runs: a slow hook must not delay the others.
        while let Some(node) = open.pop() {
            let mut inner = node.inner.lock();
            // ORDERING: relaxed, since the reason is written with this lock held.
            let why = match CancelReason::from_code(node.reason.load(Ordering::Relaxed)) {
                // Either its deadline was noticed, and the hooks are left to this call; or it was
                // cancelled before, and there are none.
                Some(earlier) => earlier,
                None => {
                    // ORDERING: pairs with the load in `reason`: a thread that sees the reason
                    // sees what the canceller did before.
                    node.reason.store(reason as u8, Ordering::Release);
                    is_first |= Arc::ptr_eq(&node, &self.node);
                    reason
                }
            };
            if !mem::replace(&mut inner.is_taken, true) {
                let mut all = mem::take(&mut inner.below);
                while let Some((key, below)) = all.pop_first() {
                    match below {
                        Below::Child(child) => open.extend(child.upgrade()),
                        Below::Hook(hook, None) => light.push((why, hook)),
                        Below::Hook(hook, Some(site)) => {
                            inner.below.insert(key, Below::Hook(hook, Some(site)));
                            let node = node.clone();
                            hooks.push(Called {
                                node,
                                key,
                                why,
                                site,
                            });
                        }
                    }
                }
            }
            drop(inner);
            node.inner.notify_all();
        }
        light.into_iter().for_each(|(why, hook)| hook(why));
        (is_first, hooks)
    }

    /// Returns whether the token is cancelled, or its deadline has passed.
    ///
    /// ```
    /// let token = millhand::CancelToken::new();
    /// token.cancel();
    /// assert!(token.is_cancelled());
    /// ```
    pub fn is_cancelled(&self) -> bool {
        clock::poll();
        self.reason().is_some()
    }

    /// Returns why the token is cancelled. `None` while it is not.
    ///
    /// ```
    /// use millhand::cancel::CancelReason;
    /// use millhand::CancelToken;
    ///
    /// let token = CancelToken::new();
    /// assert_eq!(token.reason(), None);
    /// token.cancel();
    /// assert_eq!(token.reason(), Some(CancelReason::User));
    /// ```
    pub fn reason(&self) -> Option<CancelReason> {
        // ORDERING: pairs with the stores in `mark` and `mark_expired`.
        let reason = CancelReason::from_code(self.node.reason.load(Ordering::Acquire));
        if reason.is_none() && self.node.is_due() {
            return self.node.mark_expired();
        }
        reason
    }

    /// Returns the earliest deadline of this token and of the tokens above it.
    ///
    /// ```
    /// # use std::time::Duration;
    /// let token = millhand::CancelToken::with_timeout(Duration::from_secs(60));
    /// assert!(token.deadline().is_some());
    /// assert_eq!(token.child().deadline(), token.deadline());
    /// ```
    pub fn deadline(&self) -> Option<Instant> {
        self.node.deadline
    }

    /// Returns the time left until the deadline: zero once it has passed, `None` if there is none.
    ///
    /// ```
    /// # use millhand::CancelToken;
    /// # use std::time::Duration;
    /// assert_eq!(CancelToken::new().remaining(), None);
    /// let late = CancelToken::with_timeout(Duration::ZERO);
    /// assert_eq!(late.remaining(), Some(Duration::ZERO));
    /// ```
    pub fn remaining(&self) -> Option<Duration> {
        let deadline = self.node.deadline?;
        Some(deadline.saturating_duration_since(self.node.clock.now()))
    }

    /// Stops what cannot check a token: the hook may shut a socket or kill a child process.
    ///
    /// The hook is called once, when the token is cancelled, on the thread that cancels it. If the
    /// token is cancelled already, the hook is called here and now. A panic in the hook is logged.
    ///
    /// On a deadline, it is called on a thread of the library. The hooks of all deadlines share at
    /// most four: one, and another where a hook has run for more than 100 ms, which is logged.
    ///
    /// Dropping the guard removes the hook. A hook that runs at that moment runs to its end.
    ///
    /// ```
    /// use millhand::cancel::CancelReason;
    /// use millhand::CancelToken;
    /// use std::sync::mpsc;
    ///
    /// let (sender, receiver) = mpsc::channel();
    /// let token = CancelToken::new();
    /// let _guard = token.on_cancel(move |reason| sender.send(reason).unwrap());
    /// token.cancel();
    /// assert_eq!(receiver.recv().unwrap(), CancelReason::User);
    /// ```
    #[track_caller]
    pub fn on_cancel(&self, hook: impl FnOnce(CancelReason) + Send + 'static) -> CancelGuard {
        self.add_hook(Box::new(hook), Some(Location::caller()))
    }

    /// The same for a hook that runs no code of the user, and takes no lock that is held where a
    /// token is cancelled. A deadline runs it on time, whatever other hooks do.
    pub(crate) fn on_cancel_light(
        &self,
        hook: impl FnOnce(CancelReason) + Send + 'static,
    ) -> CancelGuard {
        self.add_hook(Box::new(hook), None)
    }

    fn add_hook(&self, hook: Hook, site: Option<Site>) -> CancelGuard {
        let mut inner = self.node.inner.lock();
        let Some(reason) = CancelReason::from_code(self.node.reason.load(Ordering::Relaxed)) else {
            let key = inner.key();
            inner.below.insert(key, Below::Hook(hook, site));
            inner.hooks += 1;
            self.node.register_deadline(inner);
            return CancelGuard::new(Some((Arc::downgrade(&self.node), key)));
        };
        drop(inner);
        panic::shield("an on_cancel hook", || hook(reason));
        CancelGuard::new(None)
    }
}

const ON_CANCEL: &str = "the on_cancel hook added at";

impl Called {
    /// Runs the hook, unless its guard is gone.
    fn run(self) {
        if let Some(Below::Hook(hook, _)) = self.node.take_below(self.key) {
            panic::shield("an on_cancel hook", || hook(self.why));
        }
    }
}

impl Default for CancelToken {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelToken")
            .field("reason", &self.reason())
            .field("deadline", &self.node.deadline)
            .finish_non_exhaustive()
    }
}

/// For the deadline.
impl ClockWaiter for Node {
    fn wake(self: Arc<Self>) {
        if !self.is_due() {
            return;
        }
        let token = CancelToken { node: self };
        if token.node.clock.is_manual() {
            token.cancel_with(CancelReason::Deadline);
            return;
        }
        token.cancel_in_background(CancelReason::Deadline);
        // The last owner of a token above it drops the hooks there.
        if let Some(node) = Arc::into_inner(token.node).filter(|node| node.parent.is_some()) {
            hooks::call_in_background("the drop of a token at", Location::caller(), || drop(node));
        }
    }
}

impl Node {
    fn is_due(&self) -> bool {
        self.deadline.is_some_and(|at| at <= self.clock.now())
    }

    /// Registers the deadline, if there is one, so that it cancels the token by itself: for hooks
    /// and waits, which do not check the clock of the deadline.
    pub(super) fn register_deadline(self: &Arc<Self>, mut inner: MutexGuard<'_, Inner>) {
        let is_registered = mem::replace(&mut inner.is_registered, true);
        drop(inner);
        if let Some(deadline) = self.deadline.filter(|_| !is_registered) {
            let weak: Weak<Self> = Arc::downgrade(self);
            alarm::at(&self.clock, deadline, weak);
        }
    }

    /// A thread has checked the token after its deadline: from here on it is cancelled. The hooks
    /// are left to the alarm, since this thread may hold a lock that they want. The tokens below
    /// have the deadline, too, and see it by themselves.
    fn mark_expired(&self) -> Option<CancelReason> {
        let inner = self.inner.lock();
        if self.reason.load(Ordering::Relaxed) == 0 {
            // ORDERING: pairs with the load in `reason`.
            self.reason
                .store(CancelReason::Deadline as u8, Ordering::Release);
        }
        let reason = CancelReason::from_code(self.reason.load(Ordering::Relaxed));
        drop(inner);
        self.inner.notify_all();
        reason
    }

    pub(super) fn take_below(&self, key: u64) -> Option<Below> {
        let mut inner = self.inner.lock();
        let below = inner.below.remove(key)?;
        inner.hooks -= usize::from(matches!(below, Below::Hook(..)));
        Some(below)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let mut link = self.parent.take();
        while let Some((parent, key)) = link {
            parent.take_below(key);
            // If this was the last owner of the parent, the drop of the parent would recurse. So
            // its own link is taken first.
            link = Arc::into_inner(parent).and_then(|mut parent| parent.parent.take());
        }
        let below = mem::take(&mut self.inner.lock().below);
        below.into_values().for_each(panic::discard);
    }
}

#[cfg(all(test, loom))]
#[path = "../../tests/loom/cancel.rs"]
mod models;
