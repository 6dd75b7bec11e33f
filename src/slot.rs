//! The oneshot slot: the place where one outcome is put once and taken once.
//!
//! Layer 1. It holds the work until somebody claims it and the outcome until somebody takes it, in the same place, and
//! the one list of what wakes on settling. It knows no channel, no pool and no clock.
//
// The states, all changed under `inner`:
//
// | stage   | flags           | meaning                                                          |
// | ------- | --------------- | ---------------------------------------------------------------- |
// | Queued  | -               | the work waits; whoever claims or cancels first has it           |
// | Running | CLAIMED         | claimed; exactly one thread will settle it                       |
// | Settled | SETTLED         | cancelled (or refused) before anybody claimed it; outcome inside |
// | Settled | CLAIMED SETTLED | ran; outcome inside                                              |
// | Taken   | SETTLED ...     | the outcome went to the handle, or nobody wanted it              |
//
// DETACHED joins any of them when the last handle is dropped: from then on an outcome is handed back to whoever
// settles, who drops it. So exactly one side has the outcome: settle before detach leaves it to the dropping handle,
// detach before settle to the settling worker; the lock decides which was first.
//
// Whatever belongs to the user (work, outcome, callbacks) is moved out under the lock and dropped or run after it.

use crate::cancel::{CancelGuard, CancelToken};
use crate::clock;
use crate::error::TaskError;
use crate::event::{OutcomeKind, Summary};
use crate::fork;
use crate::panic;
use crate::reason::CancelReason;
use crate::seat::{self, Wait};
use crate::sync::atomic::{AtomicU8, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard};
use std::mem;
use std::sync::{Arc, OnceLock};
use std::task::{Poll, Waker};
use std::time::Instant;

pub(crate) type Outcome<T> = Result<T, TaskError>;

const CLAIMED: u8 = 1;
const SETTLED: u8 = 2;
const DETACHED: u8 = 4;

enum Stage<W, T> {
    Queued(W),
    Running,
    Settled(Outcome<T>),
    Taken,
}

pub(crate) struct Slot<W, T> {
    /// The tag of the pool whose workers may run it.
    owner: u32,
    /// Written under `inner`; SETTLED is read without it, by those who spin or only ask.
    flags: AtomicU8,
    /// Why the work was cancelled or asked to stop, 0 if it was not. Written under `inner`, read without it.
    stop: AtomicU8,
    /// What became of it, an `OutcomeKind`'s code; written under `inner` before SETTLED, meaningful after it.
    kind: AtomicU8,
    /// Told once, on settling.
    settled: Condvar,
    inner: Mutex<Inner<W, T>>,
}

struct Inner<W, T> {
    stage: Stage<W, T>,
    extras: Option<Box<Extras>>,
}

/// What few tasks need, behind one pointer.
#[derive(Default)]
pub(crate) struct Extras {
    pub(crate) name: Option<Arc<str>>,
    /// The worker that alone may run it.
    pub(crate) pinned: Option<usize>,
    /// Given back when the task leaves the queue.
    pub(crate) place: Option<Place>,
    pub(crate) token: Option<CancelToken>,
    /// Cancels the task when its token is; gone when it has settled.
    pub(crate) hook: Option<CancelGuard>,
    /// When it was claimed.
    pub(crate) started: Option<Instant>,
    callbacks: Vec<(u64, Callback)>,
    waker: Option<Waker>,
}

pub(crate) type Callback = Box<dyn FnOnce(&Summary) + Send>;

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

/// What settling leaves to do, outside the lock.
#[must_use]
pub(crate) struct Aftermath<T> {
    /// The outcome, when nobody holds a handle any more.
    pub(crate) unwanted: Option<Outcome<T>>,
    pub(crate) rest: Option<Box<Rest>>,
}

/// The part of it that only tasks with extras have.
#[derive(Default)]
pub(crate) struct Rest {
    pub(crate) name: Option<Arc<str>>,
    pub(crate) started: Option<Instant>,
    pub(crate) callbacks: Vec<(u64, Callback)>,
    /// Dropped with the rest: a settled task has nothing to be cancelled.
    _hook: Option<CancelGuard>,
}

/// What a cancel found.
pub(crate) enum Cancelled<W, T> {
    /// It was queued: now it is settled, and here is the work, to be dropped.
    Unrun(W, Aftermath<T>, Option<CancelToken>),
    /// It runs: the request is noted. In both cases the token is to be cancelled, if anybody has asked for one.
    Running(Option<CancelToken>),
    Finished,
}

impl<W, T> Slot<W, T> {
    pub(crate) fn new(owner: u32, work: W, extras: Option<Box<Extras>>, detached: bool) -> Self {
        Self {
            owner,
            flags: AtomicU8::new(if detached { DETACHED } else { 0 }),
            stop: AtomicU8::new(0),
            kind: AtomicU8::new(0),
            settled: Condvar::new(),
            inner: Mutex::new(Inner {
                stage: Stage::Queued(work),
                extras,
            }),
        }
    }

    pub(crate) fn owner(&self) -> u32 {
        self.owner
    }

    fn flag(&self, flag: u8) -> bool {
        // ORDERING: pairs with `raise`: who sees SETTLED sees what the task did.
        self.flags.load(Ordering::Acquire) & flag != 0
    }

    /// `_inner`: flags are written under the lock, so that a load and a store are enough.
    fn raise(&self, _inner: &MutexGuard<'_, Inner<W, T>>, flag: u8) {
        let flags = self.flags.load(Ordering::Relaxed) | flag;
        // ORDERING: pairs with `flag`.
        self.flags.store(flags, Ordering::Release);
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.flag(SETTLED)
    }

    pub(crate) fn is_claimed(&self) -> bool {
        self.flag(CLAIMED)
    }

    /// Why the work was asked to stop.
    pub(crate) fn stop_reason(&self) -> Option<CancelReason> {
        // ORDERING: pairs with the store in `cancel`.
        CancelReason::from_code(self.stop.load(Ordering::Acquire))
    }

    /// What became of it, once settled.
    pub(crate) fn kind(&self) -> Option<OutcomeKind> {
        self.is_settled()
            .then(|| OutcomeKind::from_code(self.kind.load(Ordering::Relaxed)))
    }

    /// Takes the work, with the token if there is one; from here on the claimer alone settles. `None` if somebody was
    /// faster.
    pub(crate) fn claim(&self) -> Option<(W, Option<CancelToken>)> {
        let mut inner = self.inner.lock();
        if !matches!(inner.stage, Stage::Queued(_)) {
            return None;
        }
        let Stage::Queued(work) = mem::replace(&mut inner.stage, Stage::Running) else {
            unreachable!("looked at above, under the same lock")
        };
        self.raise(&inner, CLAIMED);
        let (place, token) = match &mut inner.extras {
            Some(extras) => {
                extras.started = Some(clock::now());
                (extras.place.take(), extras.token.clone())
            }
            None => (None, None),
        };
        drop(inner);
        drop(place);
        Some((work, token))
    }

    /// Puts the outcome of claimed work.
    pub(crate) fn settle(&self, outcome: Outcome<T>, kind: OutcomeKind) -> Aftermath<T> {
        self.finish(self.inner.lock(), outcome, kind)
    }

    fn finish(
        &self,
        mut inner: MutexGuard<'_, Inner<W, T>>,
        outcome: Outcome<T>,
        kind: OutcomeKind,
    ) -> Aftermath<T> {
        let (stage, unwanted) = if self.flags.load(Ordering::Relaxed) & DETACHED != 0 {
            (Stage::Taken, Some(outcome))
        } else {
            (Stage::Settled(outcome), None)
        };
        // What was there is `Running`, or `Queued` with its work already moved out: nothing of the user's is dropped.
        inner.stage = stage;
        self.kind.store(kind as u8, Ordering::Relaxed);
        self.raise(&inner, SETTLED);
        let (rest, waker) = match &mut inner.extras {
            Some(extras) => (
                Some(Box::new(Rest {
                    name: extras.name.clone(),
                    started: extras.started,
                    callbacks: mem::take(&mut extras.callbacks),
                    _hook: extras.hook.take(),
                })),
                extras.waker.take(),
            ),
            None => (None, None),
        };
        drop(inner);
        self.settled.notify_all();
        if let Some(waker) = waker {
            panic::shield("a waker", || waker.wake());
        }
        Aftermath { unwanted, rest }
    }

    pub(crate) fn cancel(&self, reason: CancelReason) -> Cancelled<W, T> {
        let mut inner = self.inner.lock();
        let token = inner
            .extras
            .as_ref()
            .and_then(|extras| extras.token.clone());
        match &inner.stage {
            Stage::Queued(_) => {
                let Stage::Queued(work) = mem::replace(&mut inner.stage, Stage::Running) else {
                    unreachable!("looked at above, under the same lock")
                };
                // For a token that is made from here on. ORDERING: as below.
                self.stop.store(reason as u8, Ordering::Release);
                let place = inner.extras.as_mut().and_then(|extras| extras.place.take());
                let error = TaskError::stopped(reason);
                let kind = OutcomeKind::of_error(&error);
                let aftermath = self.finish(inner, Err(error), kind);
                drop(place);
                Cancelled::Unrun(work, aftermath, token)
            }
            Stage::Running => {
                if self.stop.load(Ordering::Relaxed) == 0 {
                    // ORDERING: pairs with the load in `stop_reason`.
                    self.stop.store(reason as u8, Ordering::Release);
                }
                Cancelled::Running(token)
            }
            Stage::Settled(_) | Stage::Taken => Cancelled::Finished,
        }
    }

    /// The outcome, once.
    pub(crate) fn take(&self) -> Option<Outcome<T>> {
        self.take_from(&mut self.inner.lock())
    }

    fn take_from(&self, inner: &mut Inner<W, T>) -> Option<Outcome<T>> {
        if !matches!(inner.stage, Stage::Settled(_)) {
            return None;
        }
        match mem::replace(&mut inner.stage, Stage::Taken) {
            Stage::Settled(outcome) => Some(outcome),
            _ => unreachable!("looked at above, under the same lock"),
        }
    }

    /// Moves the outcome to where all holders of a shared handle read it. Under the lock, so that who finds it taken
    /// finds it there.
    pub(crate) fn take_into(&self, shared: &OnceLock<Outcome<T>>) {
        let mut inner = self.inner.lock();
        if let Some(outcome) = self.take_from(&mut inner) {
            let second = shared.set(outcome);
            debug_assert!(second.is_ok(), "an outcome is taken once");
        }
    }

    /// The outcome (`None` if it was taken before), or a note of whom to wake when it is there.
    pub(crate) fn take_or_wake(&self, waker: &Waker) -> Poll<Option<Outcome<T>>> {
        // A waker is the executor's code: it is cloned before the lock is held, and dropped after it.
        let fresh = waker.clone();
        let mut inner = self.inner.lock();
        if self.flags.load(Ordering::Relaxed) & SETTLED != 0 {
            return Poll::Ready(self.take_from(&mut inner));
        }
        let stale = inner.extras.get_or_insert_default().waker.replace(fresh);
        drop(inner);
        drop(stale);
        Poll::Pending
    }

    /// Nobody will read the outcome; here it is if it was there already.
    pub(crate) fn detach(&self) -> Option<Outcome<T>> {
        let mut inner = self.inner.lock();
        self.raise(&inner, DETACHED);
        self.take_from(&mut inner)
    }

    /// Looks at the extras, making them if need be; `settled` says whether it is too late to be told of settling.
    pub(crate) fn with_extras<R>(&self, look: impl FnOnce(&mut Extras, bool) -> R) -> R {
        let mut inner = self.inner.lock();
        let settled = self.flags.load(Ordering::Relaxed) & SETTLED != 0;
        look(inner.extras.get_or_insert_default(), settled)
    }

    /// Looks at the extras if there are any.
    pub(crate) fn peek_extras<R>(&self, look: impl FnOnce(&Extras) -> R) -> Option<R> {
        self.inner.lock().extras.as_deref().map(look)
    }

    /// Waits until settled or until `deadline`; says which. Spins first, then gives the thread's seat up and parks.
    ///
    /// The error is a wait that could not end.
    pub(crate) fn wait(
        &self,
        deadline: Option<Instant>,
        what: impl FnOnce() -> Wait,
    ) -> Result<bool, TaskError> {
        if crate::sync::spin(|| self.is_settled()) {
            return Ok(true);
        }
        if fork::is_foreign(self.owner) {
            return Err(TaskError::Forked);
        }
        let _left = match seat::leave(what()) {
            Ok(left) => left,
            // What cannot be waited for may have come meanwhile.
            Err(_) if self.is_settled() => return Ok(true),
            Err(error) => return Err(error),
        };
        let mut inner = self.inner.lock();
        while self.flags.load(Ordering::Relaxed) & SETTLED == 0 {
            if clock::wait(&self.settled, &mut inner, deadline) {
                return Ok(self.is_settled());
            }
        }
        Ok(true)
    }
}

impl Extras {
    pub(crate) fn new(
        name: Option<Arc<str>>,
        place: Option<Place>,
        pinned: Option<usize>,
    ) -> Box<Self> {
        Box::new(Self {
            name,
            place,
            pinned,
            ..Self::default()
        })
    }

    /// Notes a callback for settling, under a key that takes it out again.
    pub(crate) fn add_callback(&mut self, callback: Callback) -> u64 {
        let key = self.callbacks.last().map_or(0, |(key, _)| key + 1);
        self.callbacks.push((key, callback));
        key
    }

    pub(crate) fn remove_callback(&mut self, key: u64) -> Option<Callback> {
        let at = self.callbacks.iter().position(|(k, _)| *k == key)?;
        Some(self.callbacks.remove(at).1)
    }
}

#[cfg(all(test, loom))]
#[path = "../tests/loom/slot.rs"]
mod models;
