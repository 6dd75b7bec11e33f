//! Cancellation: a tree of tokens, with reasons, deadlines and hooks.
//!
//! Layer 1. Cancelling a token cancels all below it; a child never cancels its parent. Asking costs one atomic load
//! (and a clock read when there is a deadline).
//
// A node holds its parent and is held by it weakly, under a key that its drop takes out again: children of a
// long-lived parent leave nothing behind. Chains of any length are cancelled and dropped by loops, never by recursion.
//
// No lock is held while another is taken, nor while a hook of the user's runs or is dropped.

use crate::alarm;
use crate::clock::Clock;
use crate::here;
use crate::panic;
use crate::reason::CancelReason;
use crate::seat;
use crate::sim;
use crate::sync::atomic::{AtomicU8, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard};
use crate::wake::Wake;
use std::collections::BTreeMap;
use std::fmt;
use std::mem;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

type Hook = Box<dyn FnOnce(CancelReason) + Send>;

struct Node {
    /// 0 while live, then the reason's code. Written once, under `inner`.
    reason: AtomicU8,
    /// The deadline's, and that of what is made or waited for from here where no pool's clock goes.
    clock: Clock,
    /// The earliest deadline from here up to the root.
    deadline: Option<Instant>,
    /// The parent, and this node's key there.
    parent: Option<(Arc<Node>, u64)>,
    inner: Mutex<Inner>,
    /// Told once, when the reason is set.
    cancelled: Condvar,
}

/// Guarded by `Node::inner`: what the cancelling thread takes away, once.
#[derive(Default)]
struct Inner {
    next_key: u64,
    /// Whether the alarm knows of the deadline: it does once there is a hook, or a wait by another clock.
    watched: bool,
    children: BTreeMap<u64, Weak<Node>>,
    hooks: BTreeMap<u64, Hook>,
}

impl Inner {
    fn key(&mut self) -> u64 {
        self.next_key += 1;
        self.next_key
    }
}

/// A request to stop that can be passed around: cloned, handed to tasks, and arranged in a tree.
///
/// Clones are the same token. A [`child`](Self::child) is cancelled with its parent and alone; a deadline is a
/// cancellation with [`CancelReason::Deadline`] that comes by itself.
///
/// ```
/// use millhand::{CancelReason, CancelToken};
///
/// let all = CancelToken::new();
/// let one = all.child();
/// one.cancel(CancelReason::User);
/// assert!(one.is_cancelled() && !all.is_cancelled());
///
/// let other = all.child();
/// all.cancel(CancelReason::Shutdown);
/// assert_eq!(other.reason(), Some(CancelReason::Shutdown));
/// ```
#[derive(Clone)]
pub struct CancelToken {
    node: Arc<Node>,
}

impl CancelToken {
    /// A token of its own, live and without a deadline.
    ///
    /// ```
    /// let token = millhand::CancelToken::new();
    /// assert!(!token.is_cancelled() && token.deadline().is_none());
    /// ```
    pub fn new() -> Self {
        Self::with_clock(&here::clock())
    }

    /// A token of its own without a deadline, on `clock`: there is the time of its children's deadlines, and of a wait for it by
    /// a thread that is no worker.
    ///
    /// Any other token goes by the clock of where it is made: a task's by its pool's, a child's by its parent's if that
    /// has a deadline, one that is made in a task's body by the pool's, and else by the system's.
    ///
    /// ```
    /// use millhand::{CancelToken, ManualClock};
    /// use std::time::Duration;
    ///
    /// let clock = ManualClock::new();
    /// let token = CancelToken::with_clock(&clock.clock()).child_with_timeout(Duration::from_secs(60));
    /// assert!(!token.is_cancelled());
    /// clock.advance(Duration::from_secs(60));
    /// assert!(token.is_cancelled());
    /// ```
    pub fn with_clock(clock: &Clock) -> Self {
        Self::build(clock.clone(), None, None, None)
    }

    /// A token that is cancelled `timeout` from now. A time that the clock cannot hold is for ever.
    ///
    /// Whoever asks, waits or sleeps sees the deadline at its time; the hooks of [`on_cancel`](Self::on_cancel), a queued
    /// task's among them, run then, on a thread of the library's own.
    ///
    /// ```
    /// use millhand::{CancelReason, CancelToken};
    /// use std::time::Duration;
    ///
    /// let token = CancelToken::with_timeout(Duration::from_millis(5));
    /// token.wait();
    /// assert_eq!(token.reason(), Some(CancelReason::Deadline));
    /// ```
    pub fn with_timeout(timeout: Duration) -> Self {
        let clock = here::clock();
        let deadline = clock.deadline(timeout);
        Self::build(clock, None, None, deadline)
    }

    /// A token that is cancelled at `deadline`; see [`with_timeout`](Self::with_timeout).
    ///
    /// ```
    /// use millhand::{CancelReason, CancelToken};
    ///
    /// let token = CancelToken::with_deadline(std::time::Instant::now());
    /// assert_eq!(token.reason(), Some(CancelReason::Deadline));
    /// ```
    pub fn with_deadline(deadline: Instant) -> Self {
        Self::build(here::clock(), None, None, Some(deadline))
    }

    /// A token below this one.
    ///
    /// ```
    /// use millhand::{CancelReason, CancelToken};
    ///
    /// let all = CancelToken::new();
    /// let one = all.child();
    /// all.cancel(CancelReason::User);
    /// assert!(one.is_cancelled());
    /// ```
    pub fn child(&self) -> Self {
        self.grow(self.clock_here(), None)
    }

    /// A token below this one that is cancelled `timeout` from now at the latest.
    ///
    /// ```
    /// let all = millhand::CancelToken::new();
    /// let one = all.child_with_timeout(std::time::Duration::from_millis(1));
    /// one.wait();
    /// assert!(one.is_cancelled() && !all.is_cancelled());
    /// ```
    pub fn child_with_timeout(&self, timeout: Duration) -> Self {
        let clock = self.clock_here();
        let deadline = clock.deadline(timeout);
        self.grow(clock, deadline)
    }

    /// A token below this one that is cancelled at `deadline` at the latest.
    ///
    /// ```
    /// let all = millhand::CancelToken::new();
    /// let one = all.child_with_deadline(std::time::Instant::now());
    /// assert!(one.is_cancelled() && !all.is_cancelled());
    /// ```
    pub fn child_with_deadline(&self, deadline: Instant) -> Self {
        self.grow(self.clock_here(), Some(deadline))
    }

    /// The clock of times that are given here and now. A deadline has one already, and two clocks cannot be compared.
    fn clock_here(&self) -> Clock {
        match self.node.deadline {
            Some(_) => self.node.clock.clone(),
            None => here::clock().or(&self.node.clock),
        }
    }

    fn grow(&self, clock: Clock, deadline: Option<Instant>) -> Self {
        let deadline = match (self.node.deadline, deadline) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let mut inner = self.node.inner.lock();
        // ORDERING: the reason is written under this lock.
        if let Some(reason) = CancelReason::from_code(self.node.reason.load(Ordering::Relaxed)) {
            return Self::build(clock, Some(reason), None, deadline);
        }
        let key = inner.key();
        let child = Self::build(clock, None, Some((self.node.clone(), key)), deadline);
        inner.children.insert(key, Arc::downgrade(&child.node));
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
                inner: Mutex::new(Inner::default()),
                cancelled: Condvar::new(),
            }),
        }
    }

    /// Cancels this token and all below it, and runs their hooks on this thread; says whether this call did it. A
    /// token that is cancelled already keeps its reason.
    ///
    /// ```
    /// use millhand::{CancelReason, CancelToken};
    ///
    /// let token = CancelToken::new();
    /// assert!(token.cancel(CancelReason::User));
    /// assert!(!token.cancel(CancelReason::Shutdown));
    /// assert_eq!(token.reason(), Some(CancelReason::User));
    /// ```
    pub fn cancel(&self, reason: CancelReason) -> bool {
        let (did, hooks) = self.mark(reason);
        run(hooks);
        did
    }

    /// As [`cancel`](Self::cancel), with the hooks run on a thread of their own: for a caller who may run nothing of the
    /// user's.
    pub(crate) fn cancel_apart(&self, reason: CancelReason) {
        let (_, hooks) = self.mark(reason);
        if !hooks.is_empty() {
            alarm::apart(|| run(hooks));
        }
    }

    pub(crate) fn has_hooks(&self) -> bool {
        !self.node.inner.lock().hooks.is_empty()
    }

    /// Cancels this token and all below it, and hands out their hooks; says whether it was this call that did it.
    fn mark(&self, reason: CancelReason) -> (bool, Vec<(CancelReason, Hook)>) {
        let mut did = false;
        let mut hooks = Vec::new();
        let mut open = vec![self.node.clone()];
        // All are marked before the first hook runs: a slow hook delays nobody's noticing.
        while let Some(node) = open.pop() {
            let mut inner = node.inner.lock();
            let why = match CancelReason::from_code(node.reason.load(Ordering::Relaxed)) {
                // Marked by its deadline, with the hooks left to this call; or done with, and there are none.
                Some(earlier) => earlier,
                None => {
                    // ORDERING: pairs with the load in `reason`; who sees the mark sees what the canceller did before.
                    node.reason.store(reason as u8, Ordering::Release);
                    did |= Arc::ptr_eq(&node, &self.node);
                    reason
                }
            };
            hooks.extend(
                mem::take(&mut inner.hooks)
                    .into_values()
                    .map(|hook| (why, hook)),
            );
            open.extend(
                mem::take(&mut inner.children)
                    .into_values()
                    .filter_map(|child| child.upgrade()),
            );
            drop(inner);
            node.cancelled.notify_all();
        }
        (did, hooks)
    }

    /// Whether it is cancelled, or its deadline has passed.
    ///
    /// ```
    /// let token = millhand::CancelToken::new();
    /// token.cancel(millhand::CancelReason::User);
    /// assert!(token.is_cancelled());
    /// ```
    pub fn is_cancelled(&self) -> bool {
        sim::poll();
        self.reason().is_some()
    }

    /// Why it is cancelled; `None` while it is live.
    ///
    /// ```
    /// use millhand::{CancelReason, CancelToken};
    ///
    /// let token = CancelToken::new();
    /// assert_eq!(token.reason(), None);
    /// token.cancel(CancelReason::User);
    /// assert_eq!(token.reason(), Some(CancelReason::User));
    /// ```
    pub fn reason(&self) -> Option<CancelReason> {
        // ORDERING: pairs with the store in `cancel`.
        let reason = CancelReason::from_code(self.node.reason.load(Ordering::Acquire));
        if reason.is_none() && self.node.is_due() {
            return self.node.mark_late();
        }
        reason
    }

    /// The earliest deadline of this token and those above it.
    ///
    /// ```
    /// # use std::time::{Duration, Instant};
    /// let soon = Instant::now() + Duration::from_secs(60);
    /// let token = millhand::CancelToken::with_deadline(soon);
    /// assert_eq!(token.child().deadline(), Some(soon));
    /// ```
    pub fn deadline(&self) -> Option<Instant> {
        self.node.deadline
    }

    /// The time left until the deadline, zero once it has passed; `None` without one.
    ///
    /// ```
    /// # use millhand::CancelToken;
    /// # use std::time::{Duration, Instant};
    /// assert_eq!(CancelToken::new().remaining(), None);
    /// let late = CancelToken::with_deadline(Instant::now());
    /// assert_eq!(late.remaining(), Some(Duration::ZERO));
    /// ```
    pub fn remaining(&self) -> Option<Duration> {
        self.node
            .deadline
            .map(|at| at.saturating_duration_since(self.node.clock.now()))
    }

    /// Waits until it is cancelled. On a worker the seat is given up meanwhile.
    ///
    /// ```
    /// let token = millhand::CancelToken::new();
    /// let other = token.clone();
    /// std::thread::spawn(move || other.cancel(millhand::CancelReason::User));
    /// token.wait();
    /// assert!(token.is_cancelled());
    /// ```
    pub fn wait(&self) {
        self.wait_by(&self.clock_to_wait_by(), None);
    }

    /// Waits until it is cancelled, `timeout` long at most (counted from the call; one that overflows the clock means
    /// for ever), and says whether it is. On a worker the seat is given up meanwhile.
    ///
    /// ```
    /// use millhand::{CancelReason, CancelToken};
    /// use std::time::Duration;
    ///
    /// let token = CancelToken::new();
    /// assert!(!token.wait_timeout(Duration::from_millis(1)));
    /// token.cancel(CancelReason::User);
    /// assert!(token.wait_timeout(Duration::from_secs(3600)));
    /// ```
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        let clock = self.clock_to_wait_by();
        self.wait_by(&clock, clock.deadline(timeout))
    }

    /// A worker's waits go by its pool's clock.
    fn clock_to_wait_by(&self) -> Clock {
        here::clock().or(&self.node.clock)
    }

    /// Waits until it is cancelled, or until this instant of this clock; says whether it is.
    pub(crate) fn wait_by(&self, clock: &Clock, until: Option<Instant>) -> bool {
        sim::pause();
        if self.reason().is_some() {
            return true;
        }
        let _left = seat::leave_open();
        let node = &self.node;
        let mut inner = node.inner.lock();
        let wake_at = match (until, node.deadline) {
            (until, Some(_)) if !node.clock.is(clock) => {
                // A thread waits by one clock: the other one has it called.
                node.watch(inner);
                inner = node.inner.lock();
                until
            }
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let me = || {
            let weak: Weak<Node> = Arc::downgrade(node);
            weak as Weak<dyn Wake>
        };
        clock.wait_while(&node.cancelled, &mut inner, wake_at, me, |_| {
            node.reason.load(Ordering::Relaxed) == 0
        });
        drop(inner);
        self.reason().is_some()
    }

    /// Calls `hook` once when the token is cancelled, on the thread that cancels it (a deadline has one of its own); at
    /// once, here, if it is already.
    /// For what a poll cannot reach: shutting a socket, killing a child process.
    ///
    /// Dropping the guard takes the hook out again (a hook that is running just then runs to its end). A panic in it
    /// is logged.
    ///
    /// ```
    /// use millhand::{CancelReason, CancelToken};
    /// use std::sync::mpsc;
    ///
    /// let (tell, told) = mpsc::channel();
    /// let token = CancelToken::new();
    /// let _guard = token.on_cancel(move |reason| tell.send(reason).unwrap());
    /// token.cancel(CancelReason::User);
    /// assert_eq!(told.recv().unwrap(), CancelReason::User);
    /// ```
    pub fn on_cancel(&self, hook: impl FnOnce(CancelReason) + Send + 'static) -> CancelGuard {
        let mut inner = self.node.inner.lock();
        let Some(reason) = CancelReason::from_code(self.node.reason.load(Ordering::Relaxed)) else {
            let key = inner.key();
            inner.hooks.insert(key, Box::new(hook));
            self.node.watch(inner);
            return CancelGuard {
                place: Some((Arc::downgrade(&self.node), key)),
            };
        };
        drop(inner);
        panic::shield("an on_cancel hook", || hook(reason));
        CancelGuard { place: None }
    }
}

fn run(hooks: Vec<(CancelReason, Hook)>) {
    for (why, hook) in hooks {
        panic::shield("an on_cancel hook", || hook(why));
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

impl Wake for Node {
    fn wake(self: Arc<Self>) {
        if self.is_due() {
            CancelToken { node: self }.cancel(CancelReason::Deadline);
        } else {
            // Somebody waits no longer than this.
            drop(self.inner.lock());
            self.cancelled.notify_all();
        }
    }

    fn what(&self) -> String {
        "a token to be cancelled".to_owned()
    }

    fn stays(&self) -> bool {
        self.reason.load(Ordering::Relaxed) == 0
    }
}

impl Node {
    fn is_due(&self) -> bool {
        self.deadline.is_some_and(|at| at <= self.clock.now())
    }

    /// Has the deadline, if there is one, act by itself: for what does not look at the clock.
    fn watch(self: &Arc<Self>, mut inner: MutexGuard<'_, Inner>) {
        let watched = mem::replace(&mut inner.watched, true);
        drop(inner);
        if let Some(deadline) = self.deadline.filter(|_| !watched) {
            let weak: Weak<Self> = Arc::downgrade(self);
            alarm::at(&self.clock, deadline, weak);
        }
    }

    /// Its deadline has passed, and somebody has asked: it is cancelled from here on. The hooks are the alarm's to run,
    /// not the asker's, who may hold a lock that they want; those below have the deadline too, and see it themselves.
    fn mark_late(&self) -> Option<CancelReason> {
        let inner = self.inner.lock();
        if self.reason.load(Ordering::Relaxed) == 0 {
            self.reason
                .store(CancelReason::Deadline as u8, Ordering::Release);
        }
        let reason = CancelReason::from_code(self.reason.load(Ordering::Relaxed));
        drop(inner);
        self.cancelled.notify_all();
        reason
    }

    fn unlink(&self, key: u64) {
        let mut inner = self.inner.lock();
        inner.children.remove(&key);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let mut link = self.parent.take();
        while let Some((parent, key)) = link {
            parent.unlink(key);
            // Were this the parent's last owner, its own drop would go one deeper; its link is taken first.
            link = Arc::into_inner(parent).and_then(|mut parent| parent.parent.take());
        }
        let hooks = mem::take(&mut self.inner.lock().hooks);
        hooks.into_values().for_each(panic::discard);
    }
}

/// A hook's place on its token: dropping it takes the hook out.
///
/// ```
/// use millhand::{CancelReason, CancelToken};
///
/// let (tell, told) = std::sync::mpsc::channel();
/// let token = CancelToken::new();
/// let guard = token.on_cancel(move |reason| tell.send(reason).unwrap());
/// drop(guard);
/// token.cancel(CancelReason::User);
/// assert!(told.recv().is_err()); // nothing was sent
/// ```
#[must_use = "dropping the guard takes the hook out again"]
pub struct CancelGuard {
    place: Option<(Weak<Node>, u64)>,
}

impl Drop for CancelGuard {
    fn drop(&mut self) {
        let Some((node, key)) = self.place.take() else {
            return;
        };
        if let Some(node) = node.upgrade() {
            let hook = node.inner.lock().hooks.remove(&key);
            panic::discard(hook);
        }
    }
}

impl fmt::Debug for CancelGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place } = self;
        f.debug_struct("CancelGuard")
            .field("registered", &place.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, loom))]
#[path = "../tests/loom/cancel.rs"]
mod models;
