//! What few tasks need beside their work and their outcome: a name, a place, a token, callbacks, a course.
//!
//! Layer 1. Plain data behind one pointer of the slot's, and under its lock. A task that runs as soon as a worker has time,
//! once, and is told of by nobody has none of it.

use crate::cancel::{CancelGuard, CancelToken};
use crate::context_var::Context;
use crate::error::JoinError;
use crate::event::{OutcomeKind, Summary};
use crate::id::TaskId;
use std::any::Any;
use std::fmt;
use std::mem;
use std::panic::Location;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

/// What few tasks need, behind one pointer.
pub(crate) struct Extras<P = ()> {
    pub(crate) name: Option<Arc<str>>,
    /// The worker that alone may run it.
    pub(crate) pinned: Option<usize>,
    /// That of the place where it was submitted; gone when it has settled.
    pub(crate) context: Context,
    /// Given back when the task leaves the queue.
    pub(crate) place: Option<Place>,
    pub(crate) token: Option<CancelToken>,
    /// When it was claimed.
    pub(crate) started: Option<Instant>,
    /// In here, not apart: the timer and the workers come by it where it is in nobody's cache.
    pub(crate) course: Option<Course<P>>,
    /// What settling leaves to be done; gone when it has settled.
    pub(crate) rest: Option<Box<Rest>>,
}

impl<P> Default for Extras<P> {
    fn default() -> Self {
        Self {
            name: None,
            pinned: None,
            context: Context::default(),
            place: None,
            token: None,
            started: None,
            course: None,
            rest: None,
        }
    }
}

/// How far a task is that may wait elsewhere than in the queue, and run more than once.
pub(crate) struct Course<P> {
    pub(crate) policy: P,
    /// Its place among all that have a course, drawn when it is due.
    pub(crate) order: u64,
    pub(crate) whereabouts: Whereabouts,
    /// How many of the tasks that it continues are still to settle.
    pub(crate) awaits: usize,
    /// The attempts that have begun.
    pub(crate) attempts: u32,
    /// When the first did.
    pub(crate) begun: Option<Instant>,
    /// When the present one is to end.
    pub(crate) attempt_ends: Option<Instant>,
    /// Until when the first is to begin.
    pub(crate) expires: Option<Instant>,
    /// When all is to end.
    pub(crate) ends: Option<Instant>,
    /// Whether the present attempt is over its time.
    pub(crate) late: bool,
    /// The present attempt's token, if anybody has asked for it: below the task's own.
    pub(crate) attempt_token: Option<CancelToken>,
    /// What the last attempt failed with.
    pub(crate) last_error: Option<Arc<str>>,
}

impl<P> Course<P> {
    /// Notes another attempt; gives the token of the one before.
    pub(crate) fn begin(
        &mut self,
        now: Instant,
        note: impl FnOnce(&mut Self, Instant),
    ) -> Option<CancelToken> {
        self.attempts += 1;
        self.late = false;
        note(self, now);
        self.attempt_token.take()
    }
}

/// Where a task is that has not been claimed. Whoever settles it in the queue leaves the counting to the reader of its
/// ticket; elsewhere there is no ticket, and he counts it himself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whereabouts {
    /// In the run queue, or in a worker's hands.
    Queue,
    Timer {
        due: Instant,
    },
    /// In a gate's line.
    Line,
    /// Behind the tasks that it continues; not announced to its pool yet.
    Behind,
}

pub(crate) type Callback = Box<dyn FnOnce(&Summary) + Send>;

/// One that is told, once, that a task has settled: who waits for several, who continues it. The library's own, so it is
/// told before the user's callbacks are run.
pub(crate) trait Watch: Send + Sync {
    /// `place`: which of those it watches, by its own count.
    fn settled(self: Arc<Self>, place: usize);

    /// Whether it does no more than write it down, so that the timer may tell it.
    fn is_light(&self) -> bool {
        false
    }
}

/// Who watches, and by which place he knows this task.
pub(crate) struct Watcher {
    pub(crate) who: Arc<dyn Watch>,
    pub(crate) place: usize,
}

impl Watcher {
    /// What tells one from another.
    pub(crate) fn address(&self) -> usize {
        Arc::as_ptr(&self.who).cast::<()>() as usize
    }
}

/// A callback that runs in the context of this place.
pub(crate) fn callback(f: impl FnOnce(&Summary) + Send + 'static) -> Callback {
    let context = Context::capture();
    if context.is_empty() {
        return Box::new(f);
    }
    Box::new(move |summary| context.run(|| f(summary)))
}

/// A place in a bounded queue; dropping it gives it back.
pub(crate) struct Place(pub(crate) Arc<dyn Places>);

pub(crate) trait Places: Send + Sync {
    fn give_back(&self);
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

/// That a task belongs to a group of tasks, and as which one of them. Dropped when the task has retired, last of all.
pub(crate) struct Member {
    pub(crate) group: Arc<dyn Group>,
    /// The how-manieth of the group, from 0.
    pub(crate) index: usize,
    /// Cancels the task's token with the group, where that is not above it.
    pub(crate) _hook: Option<CancelGuard>,
}

/// Tasks that are waited for together: a scope.
pub(crate) trait Group: Send + Sync {
    /// A member has settled so.
    fn settled(&self, index: usize, kind: OutcomeKind);
    /// A member came to this, and nobody holds its handle.
    fn unread(&self, index: usize, who: Who, failure: Unread);
    /// A member has retired.
    fn left(&self);
}

/// A failure that nobody will read: the body's own error without its type, or why there is no outcome.
pub(crate) type Unread = JoinError<Box<dyn Any + Send>>;

impl Drop for Member {
    fn drop(&mut self) {
        self.group.left();
    }
}

/// A task, as texts name it.
#[derive(Debug)]
pub(crate) struct Who {
    pub(crate) id: TaskId,
    pub(crate) name: Option<Arc<str>>,
    pub(crate) site: &'static Location<'static>,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {}", self.id)?;
        if let Some(name) = &self.name {
            write!(f, " `{name}`")?;
        }
        write!(f, " (submitted at {})", self.site)
    }
}

/// The part of it that few tasks have: somebody listens, or something hangs on it.
#[derive(Default)]
pub(crate) struct Rest {
    /// What the callbacks are told, once that is known.
    pub(crate) summary: Option<Summary>,
    pub(crate) name: Option<Arc<str>>,
    pub(crate) started: Option<Instant>,
    pub(crate) watchers: Vec<Watcher>,
    pub(crate) callbacks: Vec<(u64, Callback)>,
    /// Whom to wake: an executor's code, so not for everybody to call.
    pub(crate) waker: Option<Waker>,
    /// Cancels the task when its token is. Dropped with the rest: a settled task has nothing to be cancelled.
    pub(crate) hook: Option<CancelGuard>,
    /// Values of the user's.
    pub(crate) context: Context,
    pub(crate) member: Option<Member>,
}

impl<P> Extras<P> {
    /// What settling leaves to be done, taken out; mostly nothing.
    pub(crate) fn take_rest(&mut self) -> Option<Box<Rest>> {
        if !self.context.is_empty() {
            self.rest().context = mem::take(&mut self.context);
        }
        let mut rest = self.rest.take()?;
        rest.name = self.name.clone();
        rest.started = self.started;
        Some(rest)
    }

    /// The same, to be added to.
    pub(crate) fn rest(&mut self) -> &mut Rest {
        self.rest.get_or_insert_default()
    }

    /// For a task that is submitted here and now.
    pub(crate) fn new(
        name: Option<Arc<str>>,
        place: Option<Place>,
        pinned: Option<usize>,
    ) -> Box<Self> {
        Box::new(Self {
            name,
            place,
            pinned,
            context: Context::capture(),
            ..Self::default()
        })
    }

    /// Notes a callback for settling, under a key that takes it out again.
    pub(crate) fn add_callback(&mut self, callback: Callback) -> u64 {
        let callbacks = &mut self.rest().callbacks;
        let key = callbacks.last().map_or(0, |(key, _)| key + 1);
        callbacks.push((key, callback));
        key
    }

    pub(crate) fn remove_callback(&mut self, key: u64) -> Option<Callback> {
        let callbacks = &mut self.rest.as_mut()?.callbacks;
        let at = callbacks.iter().position(|(k, _)| *k == key)?;
        Some(callbacks.remove(at).1)
    }
}
