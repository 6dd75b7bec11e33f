//! The oneshot slot: the place where one outcome is put once and taken once.
//!
//! Layer 1. It holds the work until somebody claims it and the outcome until somebody takes it, in the same place, and
//! the one list of what wakes on settling. It knows no channel and no pool.
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
// A task with a course (options about whether, when and how often it runs) goes other ways too: from Running back to
// Queued, for another attempt, which takes CLAIMED away again; and from Running to Settled while its body still runs,
// when its time is over: what the body returns later is handed back to whoever settles, as if nobody wanted it.
//
// DETACHED joins any of them when the last handle is dropped: from then on an outcome is handed back to whoever
// settles, who drops it. So exactly one side has the outcome: settle before detach leaves it to the dropping handle,
// detach before settle to the settling worker; the lock decides which was first.
//
// Whatever belongs to the user (work, outcome, callbacks) is moved out under the lock and dropped or run after it.

use crate::aftermath::{Aftermath, Baggage, Cancelled, Claimed, Outcome, TimedOut, Unrun};
use crate::error::TaskError;
use crate::event::OutcomeKind;
use crate::extras::{Course, Extras, Whereabouts};
use crate::fork;
use crate::here;
use crate::reason::CancelReason;
use crate::seat::{self, Wait};
use crate::spin::spin;
use crate::sync::atomic::{AtomicU8, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard};
use crate::wake::Wake;
use std::mem;
use std::sync::{OnceLock, Weak};
use std::task::{Poll, Waker};
use std::time::Instant;

const CLAIMED: u8 = 1;
const SETTLED: u8 = 2;
const DETACHED: u8 = 4;
/// Not a state: it has a course, and does so from the start.
const COURSE: u8 = 8;

enum Stage<W, T> {
    Queued(W),
    Running,
    Settled(Outcome<T>),
    Taken,
}

/// `P`: what the layers above keep of a task that has a course.
pub(crate) struct Slot<W, T, P = ()> {
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
    inner: Mutex<Inner<W, T, P>>,
}

struct Inner<W, T, P> {
    stage: Stage<W, T>,
    extras: Option<Box<Extras<P>>>,
}

impl<W, T, P> Inner<W, T, P> {
    fn course(&mut self) -> Option<&mut Course<P>> {
        self.extras.as_mut()?.course.as_mut()
    }
}

impl<W, T, P> Slot<W, T, P> {
    pub(crate) fn new(owner: u32, work: W, extras: Option<Box<Extras<P>>>, detached: bool) -> Self {
        let course = extras.as_ref().and_then(|extras| extras.course.as_ref());
        let flags = if detached { DETACHED } else { 0 } | course.map_or(0, |_| COURSE);
        Self {
            owner,
            flags: AtomicU8::new(flags),
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
    fn raise(&self, _inner: &MutexGuard<'_, Inner<W, T, P>>, flag: u8) {
        let flags = self.flags.load(Ordering::Relaxed) | flag;
        // ORDERING: pairs with `flag`.
        self.flags.store(flags, Ordering::Release);
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.flag(SETTLED)
    }

    pub(crate) fn has_course(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & COURSE != 0
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
        let kind = || OutcomeKind::from_code(self.kind.load(Ordering::Relaxed));
        self.is_settled().then(kind)
    }

    /// Takes the work, with the token if there is one; from here on the claimer alone settles (but for the end of a
    /// course's time). `None` if somebody was faster. `begin` notes the new attempt.
    pub(crate) fn claim(&self, begin: impl FnOnce(&mut Course<P>, Instant)) -> Option<Claimed<W>> {
        let mut inner = self.inner.lock();
        if !matches!(inner.stage, Stage::Queued(_)) {
            return None;
        }
        let Stage::Queued(work) = mem::replace(&mut inner.stage, Stage::Running) else {
            unreachable!("looked at above, under the same lock")
        };
        self.raise(&inner, CLAIMED);
        let now = || here::clock_of(self.owner).now();
        let extras = inner.extras.as_deref_mut();
        let baggage = extras.map(|extras| Baggage::pack(extras, now(), begin));
        drop(inner);
        Some(Claimed { work, baggage })
    }

    /// Takes the work of a failed attempt back, for another one; given back when there will be none: the task was asked
    /// to stop, or is settled already.
    pub(crate) fn put_back(&self, work: W, to: Whereabouts) -> Result<(), W> {
        let mut inner = self.inner.lock();
        let stopped = self.stop.load(Ordering::Relaxed) != 0;
        let Some(course) = inner.course().filter(|_| !stopped) else {
            return Err(work);
        };
        course.whereabouts = to;
        inner.stage = Stage::Queued(work);
        let flags = self.flags.load(Ordering::Relaxed) & !CLAIMED;
        // ORDERING: as in `raise`.
        self.flags.store(flags, Ordering::Release);
        Ok(())
    }

    /// Notes where a task goes that nobody has claimed; says whether it was still to be had.
    pub(crate) fn go(&self, to: Whereabouts) -> bool {
        self.depart(|course| {
            course.whereabouts = to;
            Some(())
        })
        .is_some()
    }

    /// The same where it is decided by how things stand there.
    pub(crate) fn depart<R>(&self, decide: impl FnOnce(&mut Course<P>) -> Option<R>) -> Option<R> {
        let mut inner = self.inner.lock();
        let is_queued = matches!(inner.stage, Stage::Queued(_));
        decide(inner.course().filter(|_| is_queued)?)
    }

    /// Puts the outcome of claimed work; one that comes after the end of its time is handed back as unwanted.
    pub(crate) fn settle(&self, outcome: Outcome<T>, kind: OutcomeKind) -> Aftermath<T> {
        let inner = self.inner.lock();
        if self.is_settled() {
            drop(inner);
            return Aftermath {
                unwanted: Some(outcome),
                rest: None,
            };
        }
        self.finish(inner, outcome, kind)
    }

    fn finish(
        &self,
        mut inner: MutexGuard<'_, Inner<W, T, P>>,
        outcome: Outcome<T>,
        kind: OutcomeKind,
    ) -> Aftermath<T> {
        let (stage, unwanted) = if self.flags.load(Ordering::Relaxed) & DETACHED != 0 {
            (Stage::Taken, Some(outcome))
        } else {
            (Stage::Settled(outcome), None)
        };
        let before = mem::replace(&mut inner.stage, stage);
        debug_assert!(matches!(before, Stage::Running), "settled out of order");
        // It holds nothing, so there is nothing to be dropped.
        mem::forget(before);
        self.kind.store(kind as u8, Ordering::Relaxed);
        self.raise(&inner, SETTLED);
        let rest = inner.extras.as_mut().and_then(|extras| extras.take_rest());
        drop(inner);
        self.settled.notify_all();
        Aftermath { unwanted, rest }
    }

    pub(crate) fn cancel(&self, reason: CancelReason) -> Cancelled<W, T> {
        let inner = self.inner.lock();
        match &inner.stage {
            Stage::Queued(_) => {
                Cancelled::Unrun(self.end(inner, reason, TaskError::stopped(reason)))
            }
            Stage::Running => {
                self.ask_to_stop(reason);
                let extras = inner.extras.as_ref();
                Cancelled::Running(extras.and_then(|extras| extras.token.clone()))
            }
            Stage::Settled(_) | Stage::Taken => Cancelled::Finished,
        }
    }

    /// Under the lock.
    fn ask_to_stop(&self, reason: CancelReason) {
        if self.stop.load(Ordering::Relaxed) == 0 {
            // ORDERING: pairs with the load in `stop_reason`.
            self.stop.store(reason as u8, Ordering::Release);
        }
    }

    /// Settles queued work with `error`.
    fn end(
        &self,
        mut inner: MutexGuard<'_, Inner<W, T, P>>,
        reason: CancelReason,
        error: TaskError,
    ) -> Unrun<W, T> {
        let Stage::Queued(work) = mem::replace(&mut inner.stage, Stage::Running) else {
            unreachable!("looked at before, under the same lock")
        };
        // For a token that is made from here on.
        self.ask_to_stop(reason);
        let mut place = None;
        let mut token = None;
        let mut whereabouts = Whereabouts::Queue;
        if let Some(extras) = &mut inner.extras {
            place = extras.place.take();
            token = extras.token.clone();
            if let Some(course) = &extras.course {
                whereabouts = course.whereabouts;
            }
        }
        // Before anybody is told: whoever finds it settled finds its place free. (Nobody who has that lock wants this one.)
        drop(place);
        let kind = OutcomeKind::of_error(&error);
        let aftermath = self.finish(inner, Err(error), kind);
        Unrun {
            work,
            aftermath,
            token,
            whereabouts,
        }
    }

    /// Settles a task that has not begun in time.
    pub(crate) fn expire(&self) -> Option<Unrun<W, T>> {
        let inner = self.inner.lock();
        let course = inner.extras.as_ref()?.course.as_ref()?;
        if course.attempts > 0 || !matches!(inner.stage, Stage::Queued(_)) {
            return None;
        }
        Some(self.end(inner, CancelReason::Deadline, TaskError::Expired))
    }

    /// Settles a task whose time is over, whatever its body does.
    pub(crate) fn time_out(&self) -> TimedOut<W, T> {
        let inner = self.inner.lock();
        match &inner.stage {
            Stage::Queued(_) => {
                TimedOut::Unrun(self.end(inner, CancelReason::Deadline, TaskError::TimedOut))
            }
            Stage::Running => {
                self.ask_to_stop(CancelReason::Deadline);
                let extras = inner.extras.as_ref();
                let token = extras.and_then(|extras| extras.token.clone());
                let error = Err(TaskError::TimedOut);
                TimedOut::Running(self.finish(inner, error, OutcomeKind::TimedOut), token)
            }
            Stage::Settled(_) | Stage::Taken => TimedOut::Finished,
        }
    }

    /// The outcome, once.
    pub(crate) fn take(&self) -> Option<Outcome<T>> {
        self.take_from(&mut self.inner.lock())
    }

    fn take_from(&self, inner: &mut Inner<W, T, P>) -> Option<Outcome<T>> {
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
        let stale = inner
            .extras
            .get_or_insert_default()
            .rest()
            .waker
            .replace(fresh);
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
    pub(crate) fn with_extras<R>(&self, look: impl FnOnce(&mut Extras<P>, bool) -> R) -> R {
        let mut inner = self.inner.lock();
        let settled = self.flags.load(Ordering::Relaxed) & SETTLED != 0;
        look(inner.extras.get_or_insert_default(), settled)
    }

    /// Looks at the extras if there are any.
    pub(crate) fn peek_extras<R>(&self, look: impl FnOnce(&Extras<P>) -> R) -> Option<R> {
        self.inner.lock().extras.as_deref().map(look)
    }

    /// Looks at the work while nobody has claimed it.
    pub(crate) fn peek_work<R>(&self, look: impl FnOnce(&W) -> R) -> Option<R> {
        match &self.inner.lock().stage {
            Stage::Queued(work) => Some(look(work)),
            _ => None,
        }
    }

    /// Looks at the course if there is one; `running` says whether an attempt runs, and the task is not settled.
    pub(crate) fn with_course<R>(&self, look: impl FnOnce(&mut Course<P>, bool) -> R) -> Option<R> {
        let mut inner = self.inner.lock();
        let running = matches!(inner.stage, Stage::Running);
        inner.course().map(|course| look(course, running))
    }

    /// Waits until settled or until `deadline`; says which. Spins first, then gives the thread's seat up and parks.
    ///
    /// The error is a wait that could not end. `me` is whose this slot is: when a clock wakes it, it calls
    /// [`poke`](Self::poke).
    pub(crate) fn wait(
        &self,
        deadline: Option<Instant>,
        me: impl Fn() -> Weak<dyn Wake>,
        what: impl FnOnce() -> Wait,
    ) -> Result<bool, TaskError> {
        let clock = here::clock_of(self.owner);
        // In a simulation nobody else runs meanwhile.
        let spins = clock.simulated().is_none();
        if spins && spin(|| self.is_settled()) {
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
        Ok(
            clock.wait_while(&self.settled, &mut inner, deadline, me, |_| {
                self.flags.load(Ordering::Relaxed) & SETTLED == 0
            }),
        )
    }

    /// Has whoever waits look again.
    pub(crate) fn poke(&self) {
        drop(self.inner.lock());
        self.settled.notify_all();
    }
}

#[cfg(all(test, loom))]
#[path = "../tests/loom/slot.rs"]
mod models;

#[cfg(all(test, loom))]
#[path = "../tests/loom/course.rs"]
mod course_models;
