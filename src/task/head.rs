//! The head of a task: its state, its number, and the lock of what few tasks need.
//!
//! Layer: task.
//
// # States
//
// All states are bits of `flags`:
//
// | CLAIMED | UNRUN | SETTLED | meaning                                                         |
// | ------- | ----- | ------- | --------------------------------------------------------------- |
// | -       | -     | -       | it waits: in a queue, a gate's line, for predecessors           |
// | yes     | -     | -       | a worker has claimed it; the worker settles it, or the end of   |
// |         |       |         | its time does                                                   |
// | yes     | yes   | -       | a canceller has claimed it, and is about to settle it           |
// | yes     | -     | yes     | it ran, or its time ended while it ran                          |
// | yes     | yes   | yes     | settled before it ran: cancelled, expired, refused              |
//
// A task with options goes other ways, too: from claimed back to waiting, for another attempt; and
// from claimed to settled while its body still runs, when its time is over. What the body returns
// later is dropped.
//
// The other bits join any of these:
//
// - LISTENED: there are extras, or a thread waits. The settler takes the lock only if it is set.
// - DETACHED: the last handle is gone, and the settler drops the outcome.
// - TAKEN: the outcome was taken by polling the handle.
// - PLANNED: it has options and progress, from its submission on.
// - JOINED: a join, which has given up the handle, runs the task on the stack of its body. Set just
//   before it begins.
//
// # Who wins
//
// Every change is one read-modify-write of `flags`, so the thread that changes a bit knows what was
// there before:
//
// - claim and cancel: both change an unclaimed task to CLAIMED by compare-and-exchange. One
//   succeeds.
// - settle and detach: each thread sets its bit. The later of the two sees the other's bit and
//   drops the outcome.
// - settle and listen: a thread that adds something to the extras, or is about to wait, holds the
//   lock and sets LISTENED. Either it finds SETTLED (too late: nothing is added), or the settler
//   finds LISTENED, and takes the lock after the listener has released it.
// - cancel a body, and run on top of it what it joins: the canceller notes the request and then
//   reads the stack, under its lock; the worker lists the task under that lock and then reads the
//   note. The later one asks the task to stop.
// - settle and time out (tasks with options only): both under the lock; the second one finds
//   SETTLED.
//
// What is the user's (closure, value, callbacks) is dropped or called outside of the lock.

use crate::clock::Monitor;
use crate::id::TaskId;
use crate::reason::CancelReason;
use crate::sync::MutexGuard;
use crate::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use crate::task::label::TaskLabel;
use crate::task::options::{Extras, Position, Progress};
use crate::task::summary::OutcomeKind;
use std::panic::Location;
use std::sync::Arc;

pub(super) const CLAIMED: u8 = 1;
pub(super) const SETTLED: u8 = 2;
pub(super) const UNRUN: u8 = 4;
pub(super) const LISTENED: u8 = 8;
pub(super) const DETACHED: u8 = 16;
pub(super) const TAKEN: u8 = 32;
pub(super) const PLANNED: u8 = 64;
const JOINED: u8 = 128;

/// Where a task was submitted.
pub(crate) type Site = &'static Location<'static>;

pub(crate) struct Head {
    /// Its number. A task without a handle draws its number when it is asked for: 0 until then.
    number: AtomicU64,
    pub(crate) site: Site,
    /// The tag of the pool whose workers may run it.
    pub(crate) owner: u32,
    /// The state; see above.
    pub(super) flags: AtomicU8,
    /// Why the task was asked to stop, the code of a `CancelReason`; 0 if it was not. Written under
    /// the lock, read without it.
    pub(super) stop: AtomicU8,
    /// What became of it, the code of an `OutcomeKind`. Written by the settler before SETTLED.
    pub(super) kind: AtomicU8,
    /// Of a cancelled task: why, the code of a `CancelReason`. Written like `kind`.
    pub(super) why: AtomicU8,
    /// What few tasks need. Notified once, at settling.
    pub(crate) extras: Monitor<Option<Box<Extras>>>,
}

pub(crate) type Locked<'a> = MutexGuard<'a, Option<Box<Extras>>>;

impl Head {
    #[inline]
    pub(crate) fn new(owner: u32, site: Site) -> Self {
        Self::with_number(TaskId::next().number(), owner, site, 0)
    }

    /// The head of a task whose outcome no handle will take.
    #[inline]
    pub(crate) fn detached(owner: u32, site: Site) -> Self {
        Self::with_number(0, owner, site, DETACHED)
    }

    #[inline]
    fn with_number(number: u64, owner: u32, site: Site, flags: u8) -> Self {
        Self {
            number: AtomicU64::new(number),
            site,
            owner,
            flags: AtomicU8::new(flags),
            stop: AtomicU8::new(0),
            kind: AtomicU8::new(0),
            why: AtomicU8::new(0),
            extras: Monitor::new(None),
        }
    }

    /// Adds what the task needs beside its body.
    pub(crate) fn with(self, extras: Option<Box<Extras>>) -> Self {
        extras
            .into_iter()
            .for_each(|extras| self.set_extras(extras));
        self
    }

    /// Gives a new task its extras, before another thread can reach it.
    pub(crate) fn set_extras(&self, extras: Box<Extras>) {
        let planned = if extras.progress.is_some() {
            PLANNED
        } else {
            0
        };
        *self.extras.lock() = Some(extras);
        self.set(LISTENED | planned);
    }

    pub(crate) fn id(&self) -> TaskId {
        match self.number.load(Ordering::Relaxed) {
            0 => self.draw_id(),
            number => TaskId::of(number),
        }
    }

    #[cold]
    fn draw_id(&self) -> TaskId {
        let fresh = TaskId::next();
        let (new, relaxed) = (fresh.number(), Ordering::Relaxed);
        // Of several threads that ask at once, the first one's number stands.
        match self.number.compare_exchange(0, new, relaxed, relaxed) {
            Ok(_) => fresh,
            Err(number) => TaskId::of(number),
        }
    }

    pub(super) fn flags(&self) -> u8 {
        // ORDERING: pairs with every change of the flags: a thread that sees SETTLED sees the
        // outcome.
        self.flags.load(Ordering::Acquire)
    }

    pub(super) fn set(&self, flag: u8) -> u8 {
        // ORDERING: pairs with `flags` and with all other changes; see "Who wins".
        self.flags.fetch_or(flag, Ordering::AcqRel)
    }

    /// Changes an unclaimed task to claimed. Returns whether this thread did.
    pub(super) fn try_claim(&self, with: u8) -> bool {
        let mut flags = self.flags.load(Ordering::Relaxed);
        while flags & CLAIMED == 0 {
            // ORDERING: pairs with `put_back`: the claimer sees what the attempt before has left.
            let claimed = self.flags.compare_exchange_weak(
                flags,
                flags | CLAIMED | with,
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
            match claimed {
                Ok(_) => return true,
                Err(now) => flags = now,
            }
        }
        false
    }

    /// Whether it waits, has no extras, and no handle. If also no other thread has a reference to
    /// it, none can reach it while it runs.
    #[inline]
    pub(crate) fn is_bare_and_detached(&self) -> bool {
        // ORDERING: pairs with the last handle, which sets DETACHED and then drops its reference.
        self.flags.load(Ordering::Acquire) == DETACHED
    }

    /// Takes the number of another task, which stood for this one.
    pub(crate) fn renumber(&self, other: &Self) {
        self.number.store(other.id().number(), Ordering::Relaxed);
    }

    /// Claims a bare task: one without extras. Returns whether a handle may take the value. `None`
    /// if the task is not bare, or another thread has claimed it. Extras that are added from now on
    /// are read when the task settles.
    #[inline]
    pub(crate) fn claim_bare(&self) -> Option<bool> {
        let flags = self.flags.load(Ordering::Relaxed);
        if flags & !(DETACHED | JOINED) != 0 {
            return None;
        }
        // ORDERING: as in `try_claim`.
        let claimed = self.flags.compare_exchange(
            flags,
            flags | CLAIMED,
            Ordering::AcqRel,
            Ordering::Relaxed,
        );
        claimed.is_ok().then_some(flags & DETACHED == 0)
    }

    /// Settles a bare task that has succeeded, for the thread that claimed it. Returns the flags
    /// from before.
    #[inline]
    pub(crate) fn finish_bare(&self) -> u8 {
        self.kind
            .store(OutcomeKind::Succeeded as u8, Ordering::Relaxed);
        self.set(SETTLED)
    }

    /// Whether settling a bare task leaves something to do: a thread listens, or the value is to be
    /// dropped.
    #[inline]
    pub(crate) fn is_observed(before: u8, has_value: bool) -> bool {
        before & LISTENED != 0 || has_value && before & DETACHED != 0
    }

    /// A join that has the only handle is about to run the task on the stack of its body.
    pub(super) fn set_joined(&self) {
        self.set(JOINED);
    }

    /// It could not.
    pub(super) fn clear_joined(&self) {
        // ORDERING: as `set`.
        self.flags.fetch_and(!JOINED, Ordering::AcqRel);
    }

    pub(super) fn is_joined(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & JOINED != 0
    }

    pub(crate) fn is_planned(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & PLANNED != 0
    }

    /// If not, it has no extras.
    pub(super) fn has_extras_or_waiters(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & LISTENED != 0
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.flags() & SETTLED != 0
    }

    /// Whether no worker can claim it any more: one has, or it was settled before it ran. A task
    /// with options that is between two attempts can be claimed again.
    pub(crate) fn is_claimed(&self) -> bool {
        self.flags() & CLAIMED != 0
    }

    /// Whether a worker has claimed it, now or before it settled.
    pub(crate) fn has_begun(&self) -> bool {
        self.flags() & (CLAIMED | UNRUN) == CLAIMED
    }

    /// Whether an attempt runs, and the task is not settled.
    pub(crate) fn is_running(&self) -> bool {
        self.flags() & (CLAIMED | UNRUN | SETTLED) == CLAIMED
    }

    pub(crate) fn is_detached(&self) -> bool {
        self.flags() & DETACHED != 0
    }

    /// Why the task was asked to stop.
    pub(crate) fn stop_reason(&self) -> Option<CancelReason> {
        // ORDERING: pairs with `ask_to_stop`.
        CancelReason::from_code(self.stop.load(Ordering::Acquire))
    }

    /// Called with the lock held. The first reason stands. Returns whether this is the first.
    pub(super) fn ask_to_stop(&self, _extras: &Locked<'_>, reason: CancelReason) -> bool {
        let is_first = self.stop.load(Ordering::Relaxed) == 0;
        if is_first {
            // ORDERING: pairs with `stop_reason`.
            self.stop.store(reason as u8, Ordering::Release);
        }
        is_first
    }

    /// What became of it, once it has settled.
    pub(crate) fn outcome_kind(&self) -> Option<OutcomeKind> {
        self.is_settled().then(|| self.kind())
    }

    pub(super) fn kind(&self) -> OutcomeKind {
        OutcomeKind::from_code(self.kind.load(Ordering::Relaxed))
    }

    pub(crate) fn name(&self) -> Option<Arc<str>> {
        self.peek(|extras| extras.name.clone())?
    }

    pub(crate) fn label(&self) -> TaskLabel {
        TaskLabel {
            id: self.id(),
            name: self.name(),
            site: self.site,
        }
    }

    /// Reads the extras if there are any.
    pub(crate) fn peek<R>(&self, look: impl FnOnce(&mut Extras) -> R) -> Option<R> {
        self.extras.lock().as_deref_mut().map(look)
    }

    /// Changes the extras, and makes them if need be. The second argument of `change` is whether
    /// the task had settled, so that it is too late to be notified of that.
    pub(crate) fn listen<R>(&self, change: impl FnOnce(&mut Extras, bool) -> R) -> R {
        let mut extras = self.extras.lock();
        let settled = self.listens(&extras);
        change(extras.get_or_insert_default(), settled)
    }

    /// Called with the lock held: from now on the settler takes the lock. Returns whether the task
    /// had settled, so that it is too late.
    pub(crate) fn listens(&self, _extras: &Locked<'_>) -> bool {
        self.set(LISTENED) & SETTLED != 0
    }

    /// Reads the progress of a task with options. The second argument of `look` is whether an
    /// attempt runs and the task is not settled.
    pub(crate) fn progress<R>(&self, look: impl FnOnce(&mut Progress, bool) -> R) -> Option<R> {
        let mut extras = self.extras.lock();
        let progress = extras.as_mut()?.progress.as_mut()?;
        Some(look(progress, self.is_running()))
    }

    /// The same while no thread has claimed the task.
    pub(crate) fn waiting<R>(&self, look: impl FnOnce(&mut Progress) -> Option<R>) -> Option<R> {
        let mut extras = self.extras.lock();
        let progress = extras.as_mut()?.progress.as_mut()?;
        if self.flags() & CLAIMED != 0 {
            return None;
        }
        look(progress)
    }

    /// Notes where an unclaimed task goes. Returns whether it was still unclaimed.
    pub(crate) fn move_to(&self, to: Position) -> bool {
        self.waiting(|progress| {
            progress.move_to(to);
            Some(())
        })
        .is_some()
    }
}
