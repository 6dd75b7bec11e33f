//! A task: its state, its head and its body, in one allocation.
//!
//! Layer: task. Everything here is compiled once: the closure is the unsized tail, reached through
//! the three functions of [`Body`]. `head` has the states and the races between them, `run` how a
//! task runs, `cancel` how it is cancelled, `outcome` what follows when it settles, `wait` how
//! threads wait for it, `timed` what the timer does with it, and `after` how it continues other
//! tasks.

use crate::cancel::CancelToken;
use crate::context_var::Context;
use crate::error::TaskError;
use crate::limit::QueuePlace;
use crate::process;
use crate::reason::{CancelReason, WaitedFor};
use crate::sync::atomic::Ordering;
use crate::task::after::After;
use crate::task::body::{Body, Left, Part};
use crate::task::head::{CLAIMED, DETACHED, Head, LISTENED, Locked, PLANNED, SETTLED, UNRUN};
use crate::task::options::{NO_WORKER, OnSettled, Position, Progress, TaskOptions};
use crate::task::pool::TaskPool;
use crate::task::summary::OutcomeKind;
use crate::task::watch::Watch;
use std::sync::{Arc, Weak};
use std::time::Instant;

/// A task. With a closure of 24 bytes it takes 104 at most, with the counts of the `Arc`.
pub(crate) struct Task<B: ?Sized = dyn Body> {
    pub(crate) head: Head,
    pub(crate) body: B,
}

pub(crate) type TaskRef = Arc<Task>;
pub(crate) type TaskWeak = Weak<Task>;

/// What an attempt starts with, out of the extras.
#[derive(Default)]
pub(crate) struct Started {
    pub(crate) token: Option<CancelToken>,
    pub(crate) context: Context,
    /// Whether an attempt has gone before.
    pub(crate) is_retry: bool,
}

/// A group, and the number of the task in it.
pub(crate) type GroupRef<'a> = (&'a (dyn Watch + 'static), usize);

/// What is left to do for a task that was settled before it ran, or between two attempts.
#[must_use]
pub(crate) struct Unrun {
    pub(crate) kind: OutcomeKind,
    pub(crate) on_settled: OnSettled,
    /// Whether the last handle is gone, so that no handle will take the outcome.
    pub(crate) drops: bool,
    /// To be cancelled, if the task has one.
    pub(crate) token: Option<CancelToken>,
    pub(crate) after: Option<Box<After>>,
    /// Its progress, where the task has one.
    pub(crate) planned: Option<Planned>,
    /// Its place in a bounded queue, if it was settled as too late: to be dropped after its
    /// closure, which a worker drops.
    pub(crate) place: Option<QueuePlace>,
    /// Whether it is the task of a broadcast, which has its entry in a mailbox.
    pub(super) is_pinned: bool,
    /// Whether it is a promise, of which its pool does not know.
    pub(super) is_promise: bool,
}

/// The part of the progress that is needed to clean up after a task with options.
pub(crate) struct Planned {
    pub(crate) options: Arc<TaskOptions>,
    pub(crate) pool: Arc<dyn TaskPool>,
    pub(crate) order: u64,
    pub(crate) attempts: u32,
    pub(crate) ends_filed: u8,
    pub(crate) position: Position,
}

/// Reports whether a cancel settled the task, or only asked its body to stop.
///
/// ```
/// use millhand::task::CancelOutcome;
///
/// let (_promise, handle) = millhand::promise::<u32>();
/// assert_eq!(handle.cancel(), CancelOutcome::Settled);
/// assert_eq!(handle.cancel(), CancelOutcome::AlreadyFinished);
/// ```
///
/// Guide: [cancelling](crate::guide::cancelling).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CancelOutcome {
    /// The task was not running. It is settled as cancelled, and the calling thread has dropped its
    /// closure. In the drop of another cancelled task's closure, it drops this one after that one:
    /// so a chain of any length fits on the stack.
    Settled,
    /// The task is running. Its token is set, and its body decides what to do.
    Requested,
    /// The task had finished.
    AlreadyFinished,
}

/// Reports how far a task has come: queued, running, finished and so on.
///
/// ```
/// use millhand::task::TaskState;
///
/// let (promise, handle) = millhand::promise();
/// assert_eq!(handle.state(), TaskState::Queued);
/// promise.complete(1).unwrap();
/// assert_eq!(handle.state(), TaskState::Finished);
/// ```
///
/// Guide: [observability](crate::guide::observability).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TaskState {
    /// It was submitted with a delay, and is not due yet.
    Delayed {
        /// When it joins the queue, by the pool's clock.
        due: Instant,
    },
    /// It waits for a worker; a promise, to be kept.
    Queued,
    /// It waits in the line of a gate.
    Gated,
    /// It waits for the tasks that it continues.
    Waiting,
    /// Its body runs.
    Running,
    /// An attempt has failed, and it waits for the next one.
    Retrying {
        /// The number of the next attempt: 2 after the first has failed.
        attempt: u32,
        /// When it joins the queue, by the pool's clock.
        due: Instant,
    },
    /// Its outcome is there, or was there and has been taken. Its body may still run, when its
    /// [`total_timeout`](crate::TaskBuilder::total_timeout) has passed.
    Finished,
}

impl TaskState {
    /// Returns the word for it, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Delayed { .. } => "delayed",
            Self::Queued => "queued",
            Self::Gated => "gated",
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Retrying { .. } => "retrying",
            Self::Finished => "finished",
        }
    }
}

impl Task {
    // Inlined even without optimisation: a function less per closure.
    #[inline(always)]
    pub(crate) fn new(head: Head, body: impl Body + 'static) -> TaskRef {
        Arc::new(Task { head, body })
    }

    pub(crate) fn state(&self) -> TaskState {
        let head = &self.head;
        let flags = head.flags();
        match () {
            () if flags & SETTLED != 0 => return TaskState::Finished,
            () if flags & (CLAIMED | UNRUN) == CLAIMED => return TaskState::Running,
            // Or a canceller is about to settle it. Until then there is no outcome to be taken.
            () if flags & PLANNED == 0 => return TaskState::Queued,
            () => {}
        }
        let state = head.progress(|progress, running| match progress.position {
            _ if running => TaskState::Running,
            Position::Queue => TaskState::Queued,
            Position::Gate => TaskState::Gated,
            Position::Predecessors => TaskState::Waiting,
            Position::Timer { due } if progress.attempts == 0 => TaskState::Delayed { due },
            Position::Timer { due } => TaskState::Retrying {
                attempt: progress.attempts + 1,
                due,
            },
        });
        match state {
            Some(state) if !head.is_settled() => state,
            _ => TaskState::Finished,
        }
    }

    // Claiming.

    /// Claims the task for a worker that is about to run it. From here on this worker alone settles
    /// it, unless the time of the task ends before. `None` if another thread has claimed it.
    pub(crate) fn claim(&self) -> Option<Started> {
        if self.head.flags.load(Ordering::Relaxed) & LISTENED == 0 {
            return self.head.try_claim(0).then(Started::default);
        }
        // Most tasks that wait for nothing else are not measured.
        let is_measured = self.head.peek(|extras| extras.is_measured());
        let clock = || process::clock_of(self.head.owner).now();
        let now = (is_measured == Some(true)).then(clock);
        self.claim_with(now, &mut |_| ())
    }

    /// The same at `now` for a task with extras. `begin` notes the attempt in its progress.
    #[cold]
    pub(crate) fn claim_with(
        &self,
        now: Option<Instant>,
        begin: &mut dyn FnMut(&mut Progress),
    ) -> Option<Started> {
        let mut extras = self.head.extras.lock();
        if !self.head.try_claim(0) {
            return None;
        }
        let Some(some) = extras.as_deref_mut() else {
            return Some(Started::default());
        };
        some.started = some.started.or(now);
        let mut is_retry = false;
        if let Some(progress) = &mut some.progress {
            is_retry = progress.attempts > 0;
            progress.attempts += 1;
            progress.since = now.or(progress.since);
            progress.late = false;
            begin(progress);
        }
        let place = some.place.take();
        let started = Started {
            token: some.token.clone(),
            context: some.context.clone(),
            is_retry,
        };
        drop(extras);
        drop(place);
        Some(started)
    }

    /// Makes a failed task wait again, from `since` on, for another attempt. Returns the result of
    /// the failed one; `Err` if there will be no other attempt: the task was asked to stop, or has
    /// settled.
    pub(crate) fn put_back(
        &self,
        to: Position,
        since: Option<Instant>,
    ) -> Result<Option<Left>, ()> {
        let mut extras = self.head.extras.lock();
        let stopped = self.head.stop.load(Ordering::Relaxed) != 0 || self.head.is_settled();
        let progress = extras.as_mut().and_then(|extras| extras.progress.as_mut());
        let Some(progress) = progress.filter(|_| !stopped) else {
            return Err(());
        };
        progress.move_to(to);
        progress.since = since;
        // Before another thread can claim the task: the next attempt leaves a result of its own.
        let failed = self.body.take(Part::Value, None);
        // ORDERING: pairs with `try_claim`: the next claimer sees what this attempt has left.
        self.head.flags.fetch_and(!CLAIMED, Ordering::AcqRel);
        Ok(failed)
    }

    // Settling.

    /// Settles what the caller has claimed. Returns what is left to do, and whether the last
    /// handle is gone; or the error, if the task's time had ended before.
    ///
    /// `pool` counts the outcome.
    pub(crate) fn settle(
        &self,
        kind: OutcomeKind,
        error: Option<TaskError>,
        pool: Option<&dyn TaskPool>,
    ) -> Result<(OnSettled, bool), Option<TaskError>> {
        let head = &self.head;
        if head.is_planned() || error.is_some() {
            return self.settle_locked(kind, error, pool);
        }
        if let Some(pool) = pool {
            pool.count_outcome(kind);
        }
        head.kind.store(kind as u8, Ordering::Relaxed);
        let before = head.set(SETTLED);
        let mut on_settled = OnSettled::default();
        if before & LISTENED != 0 {
            on_settled = self.notify();
        }
        Ok((on_settled, before & DETACHED != 0))
    }

    /// What is left after `finish_bare`.
    #[cold]
    pub(crate) fn after_finish(&self, before: u8, has_value: bool) {
        let mut on_settled = OnSettled::default();
        if before & LISTENED != 0 {
            on_settled = self.notify();
        }
        let drops = has_value && before & DETACHED != 0;
        self.after_settle(OutcomeKind::Succeeded, on_settled, drops);
    }

    /// Wakes the threads that wait. Takes the lock first: each waiter either has not read the flags
    /// yet, or waits.
    #[cold]
    fn notify(&self) -> OnSettled {
        let mut extras = self.head.extras.lock();
        let on_settled = extras.as_mut().map(|extras| extras.take_on_settled());
        drop(extras);
        self.head.extras.notify_all();
        on_settled.unwrap_or_default()
    }

    #[cold]
    fn settle_locked(
        &self,
        kind: OutcomeKind,
        error: Option<TaskError>,
        pool: Option<&dyn TaskPool>,
    ) -> Result<(OnSettled, bool), Option<TaskError>> {
        let extras = self.head.extras.lock();
        if self.head.is_settled() {
            drop(extras);
            return Err(error);
        }
        Ok(self.finish(extras, kind, error, pool))
    }

    pub(super) fn finish(
        &self,
        mut extras: Locked<'_>,
        kind: OutcomeKind,
        error: Option<TaskError>,
        pool: Option<&dyn TaskPool>,
    ) -> (OnSettled, bool) {
        let head = &self.head;
        // Before any thread can see the outcome.
        if let Some(pool) = pool {
            pool.count_outcome(kind);
        }
        match error {
            Some(TaskError::Cancelled(reason)) => head.why.store(reason as u8, Ordering::Relaxed),
            Some(TaskError::Expired(waited)) => head.why.store(waited as u8, Ordering::Relaxed),
            None | Some(TaskError::TimedOut) => {}
            Some(other) => extras.get_or_insert_default().error = Some(Box::new(other)),
        }
        head.kind.store(kind as u8, Ordering::Relaxed);
        let before = head.set(SETTLED);
        let on_settled = extras.as_mut().map(|extras| extras.take_on_settled());
        drop(extras);
        head.extras.notify_all();
        (on_settled.unwrap_or_default(), before & DETACHED != 0)
    }

    /// Settles an unclaimed task with `error`. If it is claimed, returns the lock.
    pub(super) fn settle_unrun<'a>(
        &self,
        mut extras: Locked<'a>,
        error: TaskError,
        pool: Option<&dyn TaskPool>,
    ) -> Result<Unrun, Locked<'a>> {
        if !self.head.try_claim(UNRUN) {
            return Err(extras);
        }
        let error = match error {
            // Its time was over before it began: the error says for what it waited.
            // A promise waits for none of these.
            TaskError::TimedOut if self.head.owner != process::NO_POOL => extras
                .as_ref()
                .map_or(TaskError::Expired(WaitedFor::Worker), |extras| {
                    extras.too_late()
                }),
            other => other,
        };
        // A token that is made from here on reads it.
        let stop = match &error {
            TaskError::Cancelled(reason) => Some(*reason),
            TaskError::Expired(_) | TaskError::TimedOut => Some(CancelReason::Deadline),
            _ => None,
        };
        if let Some(reason) = stop {
            self.head.ask_to_stop(&extras, reason);
        }
        let (mut place, mut token, mut planned, mut after) = (None, None, None, None);
        let (mut is_pinned, mut is_promise) = (false, false);
        if let Some(extras) = extras.as_deref_mut() {
            is_pinned = extras.pinned.is_some();
            is_promise = extras.pinned == Some(NO_WORKER);
            place = extras.place.take();
            token = extras.token.clone();
            if let Some(progress) = &mut extras.progress {
                after = progress.after.take();
                progress.pool.moves(Some(progress.position), None);
                planned = Some(Planned {
                    options: progress.options.clone(),
                    pool: progress.pool.clone(),
                    order: progress.order,
                    attempts: progress.attempts,
                    ends_filed: progress.ends_filed,
                    position: progress.position,
                });
            }
        }
        // Before any waiter wakes: a thread that finds the task cancelled finds its place free. No
        // thread that holds the lock of the places wants this one.
        let is_late = matches!(error, TaskError::Expired(_) | TaskError::TimedOut);
        let place = place.filter(|_| is_late);
        let kind = OutcomeKind::of_error(&error);
        let pool = pool.filter(|_| !is_promise);
        let (on_settled, drops) = self.finish(extras, kind, Some(error), pool);
        Ok(Unrun {
            kind,
            on_settled,
            drops,
            token,
            after,
            planned,
            place,
            is_pinned,
            is_promise,
        })
    }

    /// Settles a task that the pool did not take, and drops its closure.
    pub(crate) fn refuse(&self, error: TaskError) {
        self.note_failure(&mut || error.to_string().into(), false);
        let extras = self.head.extras.lock();
        // The pool has counted it.
        if let Ok(unrun) = self.settle_unrun(extras, error, None) {
            self.drop_unrun(unrun.after, CancelReason::User);
            self.after_settle(unrun.kind, unrun.on_settled, unrun.drops);
        }
    }
}

#[cfg(all(test, loom))]
#[path = "../../tests/loom/task.rs"]
mod models;
