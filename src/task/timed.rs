//! What the timer does with a task: it is due, or its time is over.
//!
//! Layer: task. The timer thread runs and drops nothing of the user's. What is to be dropped or
//! called is returned as a [`Cleanup`], which a worker runs.

use crate::cancel::CancelToken;
use crate::clock::{earlier, hooks};
use crate::error::TaskError;
use crate::limit;
use crate::panic;
use crate::reason::CancelReason;
use crate::task::OutcomeKind;
use crate::task::body::Part;
use crate::task::options::{OnSettled, Position};
use crate::task::pool::TaskPool;
use crate::task::task::{Task, TaskRef, Unrun};
use crate::task::watch::Watcher;
use std::mem;
use std::time::Duration;

/// What the timer is asked to call for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnTime {
    /// The task is due, for the first time or for another attempt.
    Start,
    /// The task should have begun.
    Expire,
    /// The attempt with this number should have ended.
    AttemptEnds(u32),
    /// The whole task should have ended.
    End,
}

/// What is the user's of a task that the timer has settled, to be dropped and called by a worker.
pub(crate) type Cleanup = Box<dyn FnOnce() + Send>;

/// What the end of a task's time found.
pub(crate) enum TimedOut {
    Unrun(Unrun),
    /// The body still runs, and its token is to be cancelled.
    Running(OnSettled, bool, Option<CancelToken>),
    Finished,
}

impl Task {
    /// Settles a task that has not begun in time.
    pub(crate) fn expire(&self) -> Option<Unrun> {
        let extras = self.head.extras.lock();
        let progress = extras.as_ref()?.progress.as_ref()?;
        if progress.attempts > 0 {
            return None;
        }
        let pool = progress.pool.clone();
        self.settle_unrun(extras, TaskError::TimedOut, Some(&*pool))
            .ok()
    }

    /// Settles a task whose time is over, whatever its body does.
    pub(crate) fn time_out(&self) -> TimedOut {
        let extras = self.head.extras.lock();
        let progress = extras.as_ref().and_then(|extras| extras.progress.as_ref());
        let pool = progress.map(|progress| progress.pool.clone());
        let extras = match self.settle_unrun(extras, TaskError::TimedOut, pool.as_deref()) {
            Ok(unrun) => return TimedOut::Unrun(unrun),
            Err(extras) => extras,
        };
        if self.head.is_settled() {
            return TimedOut::Finished;
        }
        self.head.ask_to_stop(&extras, CancelReason::Deadline);
        let mut extras = extras;
        if let Some(extras) = extras.as_deref_mut() {
            let ends = extras.progress.as_ref().and_then(|progress| progress.ends);
            extras.ended = ends.filter(|_| extras.started.is_some());
        }
        let token = extras.as_ref().and_then(|extras| extras.token.clone());
        let error = Some(TaskError::TimedOut);
        let kind = OutcomeKind::TimedOut;
        let (on_settled, drops) = self.finish(extras, kind, error, pool.as_deref());
        TimedOut::Running(on_settled, drops, token)
    }

    /// Files a new task with options where it begins: in the timer or in the run queue, there as a
    /// task that `parent` submits.
    pub(crate) fn schedule(self: TaskRef, pool: &dyn TaskPool, parent: Option<TaskRef>) {
        let start = self.head.progress(|progress, _| {
            let rank = progress.rank();
            (progress.position, progress.expires, progress.ends, rank)
        });
        let Some((position, expires, ends, rank)) = start else {
            return;
        };
        // First: of two that are due at once the timer reports the earlier end.
        if let Some(expires) = expires {
            pool.at(expires, self.clone(), OnTime::Expire);
        }
        if let Some(ends) = ends {
            pool.at(ends, self.clone(), OnTime::End);
        }
        match position {
            Position::Timer { due } => {
                pool.scheduled(&self, due);
                pool.at(due, self, OnTime::Start);
            }
            _ => pool.ready(self, rank, parent),
        }
    }

    /// Moves a due task from the timer to the run queue. Returns the task if it had settled or left
    /// the timer before.
    pub(crate) fn start(self: TaskRef, pool: &dyn TaskPool) -> Option<TaskRef> {
        let order = limit::next_order();
        let leaves = self.head.waiting(|progress| {
            let options = &progress.options;
            let rank = progress.rank();
            if !matches!(progress.position, Position::Timer { .. }) {
                return None;
            }
            if progress.attempts == 0 {
                if !options.gates.is_empty() {
                    return Some((rank, Some(options.clone())));
                }
                progress.order = order;
            }
            if let Position::Timer { due } = progress.position {
                progress.since = Some(due);
            }
            progress.move_to(Position::Queue);
            Some((rank, None))
        });
        let Some((rank, gated)) = leaves else {
            return Some(self);
        };
        if let Some(options) = gated {
            // Gates are locked before tasks.
            let order = limit::enter(&options.gates);
            let moved = self.head.waiting(|progress| {
                progress.order = order;
                progress.move_to(Position::Queue);
                Some(())
            });
            if moved.is_none() {
                // It was settled in between, perhaps under another order.
                limit::withdraw(&options.gates, order);
                return Some(self);
            }
        }
        pool.ready(self, rank, None);
        None
    }

    /// The timer's call at any other instant.
    pub(crate) fn on_time(self: TaskRef, what: OnTime) -> Option<Cleanup> {
        match what {
            OnTime::Start => unreachable!("that is `start`"),
            OnTime::Expire => {
                let unrun = self.expire()?;
                Some(self.settle_late(unrun))
            }
            OnTime::AttemptEnds(attempt) => {
                let token = self.head.progress(|progress, running| {
                    let current = running && progress.attempts == attempt;
                    progress.late |= current;
                    progress.attempt_token.clone().filter(|_| current)
                });
                if let Some(Some(token)) = token {
                    token.cancel_in_background(CancelReason::Deadline);
                }
                None
            }
            OnTime::End => self.end(),
        }
    }

    /// The task was settled as too late. Returns what a worker must drop and call of the user's.
    fn settle_late(self: TaskRef, unrun: Unrun) -> Cleanup {
        let mut queue = None;
        match self.unlink(&unrun) {
            Some(pool) => pool.count_unqueued(),
            None => queue = self.entry_died(),
        }
        let pool = unrun.planned.as_ref().map(|planned| planned.pool.clone());
        if let Some(pool) = pool.as_ref().filter(|_| unrun.on_settled.is_listed) {
            pool.unlist(self.head.id());
        }
        let Unrun {
            kind,
            mut on_settled,
            drops,
            token,
            place,
            ..
        } = unrun;
        self.notify_apart(&mut on_settled, kind);
        if let Some(token) = token {
            token.cancel_in_background(CancelReason::Deadline);
        }
        Box::new(move || {
            self.body
                .take(Part::All, None)
                .into_iter()
                .for_each(panic::discard_deferred);
            drop(place);
            pool.into_iter().for_each(|pool| pool.settled(&self, kind));
            self.after_settle(kind, on_settled, drops);
            queue.into_iter().for_each(|pool| pool.sweep());
        })
    }

    fn end(self: TaskRef) -> Option<Cleanup> {
        match self.time_out() {
            TimedOut::Unrun(unrun) => Some(self.settle_late(unrun)),
            TimedOut::Running(mut on_settled, drops, token) => {
                let kind = OutcomeKind::TimedOut;
                self.notify_apart(&mut on_settled, kind);
                let (pool, attempt) = self.head.progress(|progress, _| {
                    (progress.pool.clone(), progress.attempt_token.clone())
                })?;
                if on_settled.is_listed {
                    pool.unlist(self.head.id());
                }
                pool.hung(self.head.id());
                for token in token.into_iter().chain(attempt) {
                    token.cancel_in_background(CancelReason::Deadline);
                }
                Some(Box::new(move || {
                    pool.settled(&self, kind);
                    self.after_settle(kind, on_settled, drops);
                }))
            }
            TimedOut::Finished => None,
        }
    }

    /// Notifies those that wait for a task which the timer has settled, since all workers of its
    /// pool may be busy. What may run code of the user gets a thread for hooks: the waker of an
    /// executor that polls the handle, and a task of another pool that continues this one. The hook
    /// of the task's own on its token would want such a thread, too, for nothing.
    fn notify_apart(&self, on_settled: &mut OnSettled, kind: OutcomeKind) {
        drop(on_settled.hook.take());
        if let Some(member) = &on_settled.member {
            member.group.clone().settled_apart(member.index, kind);
        }
        let Some(listeners) = &mut on_settled.listeners else {
            return;
        };
        if let Some(waker) = listeners.waker.take() {
            let what = "the waker of the task submitted at";
            hooks::call_in_background(what, self.head.site, || waker.wake());
        }
        for watcher in mem::take(&mut listeners.watchers) {
            match &watcher {
                _ if watcher.is_light() => watcher.settled(kind),
                // It needs a worker of this pool anyway.
                Watcher::Task(task) if task.head.owner == self.head.owner => {
                    listeners.watchers.push(watcher);
                }
                _ => {
                    let what = "what continues the task submitted at";
                    hooks::call_in_background(what, self.head.site, move || watcher.settled(kind));
                }
            }
        }
    }

    /// Whether the timer's call would still do something.
    pub(crate) fn awaits(&self, what: OnTime) -> bool {
        if self.head.is_settled() {
            return false;
        }
        let awaits = self.head.progress(|progress, running| match what {
            OnTime::Start => matches!(progress.position, Position::Timer { .. }) && !running,
            OnTime::Expire => progress.attempts == 0,
            OnTime::AttemptEnds(attempt) => running && progress.attempts == attempt,
            OnTime::End => true,
        });
        awaits.unwrap_or(false)
    }

    /// Whether there are hooks on its tokens, which are the user's.
    pub(crate) fn has_hooks(&self) -> bool {
        let tokens = self.head.peek(|extras| {
            let progress = extras.progress.as_ref();
            let attempt = progress.and_then(|progress| progress.attempt_token.clone());
            [extras.token.clone(), attempt]
        });
        let mut tokens = tokens.into_iter().flatten().flatten();
        tokens.any(|token| token.has_hooks())
    }

    /// How many attempts have begun. A task without options does not count them: 0.
    pub(crate) fn attempts(&self) -> u32 {
        let attempts = self.head.progress(|progress, _| progress.attempts);
        attempts.unwrap_or(0)
    }

    /// The number of the attempt that runs.
    pub(crate) fn attempt(&self) -> u32 {
        self.attempts().max(1)
    }

    /// The time that the limits of the task leave it.
    pub(crate) fn time_left(&self) -> Option<Duration> {
        let (end, pool) = self.head.progress(|progress, _| {
            let end = earlier(progress.attempt_ends, progress.ends);
            (end, progress.pool.clone())
        })?;
        Some(end?.saturating_duration_since(pool.now()))
    }

    pub(crate) fn is_limited(&self) -> bool {
        let limited = self.head.progress(|progress, _| progress.ends.is_some());
        limited == Some(true)
    }
}

#[cfg(all(test, loom))]
#[path = "../../tests/loom/options.rs"]
mod models;
