//! How a task runs: its gates, an attempt, and then another attempt or the outcome.
//!
//! Layer: task. What decides is elsewhere, and pure (`retry`, `limit`).
//
// A task with options is in one place at a time: it has an entry in the run queue, an entry in the
// timer, a place in a gate's line, or a worker has popped it. Its progress notes which, and every
// move is noted there first, under the lock of the head. So the thread that settles it knows
// whether a worker will pop an entry and count it, or the thread itself must. Such a task never
// runs on the stack of a body that waits for it: that would leave an entry behind, for a task that
// may be queued once more.

use crate::clock::later;
use crate::context_var;
use crate::error::TaskError;
use crate::limit::{self, Acquisition, Asker, Turns, Waiter};
use crate::panic::{self, Level};
use crate::reason::{CancelReason, WaitedFor};
use crate::task::body::{Ended, Facts, FailedAttempt, Part};
use crate::task::head::Head;
use crate::task::options::{Gates, Position};
use crate::task::parked::Parked;
use crate::task::pool::TaskPool;
use crate::task::stack::Stack;
use crate::task::task::{Started, Task, TaskRef};
use crate::task::timed::OnTime;
use std::mem;
use std::sync::Arc;
use std::time::Instant;

/// What running a task came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunResult {
    /// It is settled and released.
    Done,
    /// It waits in a gate's line, or in the timer for another attempt.
    Away,
    /// Another thread had claimed or settled it before.
    Gone,
}

impl Task {
    /// Runs the task on a worker, up to its release.
    pub(crate) fn run(self: &TaskRef, stack: &Stack) -> RunResult {
        // The short way of most tasks, which have no options and no extras and run in no context.
        if stack.is_special || context_var::is_in_use() {
            return self.run_with_all(stack);
        }
        let Some(keep) = self.head.claim_bare() else {
            return self.run_with_all(stack);
        };
        stack.begin(self);
        let ended = self.body.run(keep);
        let has_value = match ended {
            Ended::Succeeded => true,
            Ended::SucceededEmpty => false,
            _ => {
                stack.pop();
                self.settle_ended(ended, &*stack.pool);
                return RunResult::Done;
            }
        };
        // Nothing is in it, so there is nothing to be dropped.
        mem::forget(ended);
        stack.end();
        // Before any thread can see the outcome.
        stack.succeeded.add();
        let before = self.head.finish_bare();
        if Head::is_observed(before, has_value) {
            self.after_finish(before, has_value);
        }
        RunResult::Done
    }

    #[inline(never)]
    fn run_with_all(self: &TaskRef, stack: &Stack) -> RunResult {
        let pool = &*stack.pool;
        let is_planned = self.head.is_planned();
        let (started, gates) = if is_planned {
            match self.pass_gates(pool) {
                Ok(passed) => passed,
                Err(run) => return run,
            }
        } else {
            match self.claim() {
                Some(started) => (started, Gates::default()),
                None => return RunResult::Gone,
            }
        };
        // The body runs with the context variables of its task, even with none: it may run on the
        // stack of a body that waits, which has others.
        let Started {
            token,
            context,
            is_retry,
        } = started;
        let inside = context_var::enter(context);
        // The deadline of its token may have passed while it was queued.
        let stopped = token.and_then(|token| token.reason());
        let keep = !self.head.is_detached();
        stack.push(self.clone());
        pool.attempt_begins(self);
        if stopped.is_none() {
            pool.started(self, stack.index, is_retry);
        }
        let mut ended = match stopped {
            None if pool.has_hook() => self.run_in_hook(keep, pool),
            None => self.body.run(keep),
            Some(reason) => self.skip(reason),
        };
        stack.pop();
        let mut stale = 0;
        if is_planned {
            (ended, stale) = match self.attempt_ended(ended, &gates, pool) {
                Some(ended) => ended,
                None => return RunResult::Away,
            };
        }
        drop(inside);
        self.settle_ended(ended, pool);
        if stale > 0 {
            pool.stale(stale);
        }
        RunResult::Done
    }

    /// Drops the body in place of running it.
    #[cold]
    fn skip(&self, reason: CancelReason) -> Ended {
        let never_ran = self.head.peek(|extras| {
            let never_ran = match &mut extras.progress {
                Some(progress) => {
                    progress.attempts -= 1;
                    progress.attempts == 0
                }
                None => {
                    extras.notes().was_skipped = true;
                    true
                }
            };
            if never_ran {
                extras.started = None;
            }
            never_ran
        });
        let left = self.body.take(Part::All, None);
        left.into_iter().for_each(panic::discard_deferred);
        if reason == CancelReason::Deadline && never_ran == Some(true) {
            return Ended::Error(TaskError::Expired(WaitedFor::Worker));
        }
        Ended::Unwound(panic::checkpoint(reason))
    }

    /// Runs an attempt inside of the pool's hook. Whatever the hook does, the body runs once.
    #[cold]
    fn run_in_hook(&self, keep: bool, pool: &dyn TaskPool) -> Ended {
        let mut ended = None;
        pool.around(self, &mut || {
            if ended.is_none() {
                ended = Some(self.body.run(keep));
            }
        });
        ended.unwrap_or_else(|| {
            self.head.label().log(
                Level::Warn,
                format_args!("the around_task hook has not run the task, which runs without it"),
            );
            self.body.run(keep)
        })
    }

    // With options.

    /// Passes the gates and claims the task, both or neither.
    fn pass_gates(self: &TaskRef, pool: &dyn TaskPool) -> Result<(Started, Gates), RunResult> {
        let progress = self.head.progress(|progress, _| {
            let expires = progress.expires.filter(|_| progress.attempts == 0);
            let gates = Gates::of(&progress.options);
            let asker = Asker {
                order: progress.order,
                owner: std::ptr::from_ref(pool).addr(),
                turns: progress.turns,
            };
            (gates, asker, expires, progress.ends)
        });
        let Some((gates, asker, expires, ends)) = progress else {
            return Err(RunResult::Gone);
        };
        let now = pool.now();
        if self.is_over(expires, OnTime::Expire, now) || self.is_over(ends, OnTime::End, now) {
            return Err(RunResult::Gone);
        }
        let mut claimed = None;
        let mut first = false;
        let mut attempt_ends = None;
        let mut total_ends = None;
        let mut claim = || {
            claimed = self.claim_with(Some(now), &mut |progress| {
                first = progress.attempts == 1;
                progress.turns = Turns::default();
                let limit = progress.options.attempt_timeout;
                progress.attempt_ends = limit.and_then(|limit| now.checked_add(limit));
                attempt_ends = progress.attempt_ends.map(|at| (at, progress.attempts));
                total_ends = progress.limit_from(now);
            });
            claimed.is_some()
        };
        if gates.requests().is_empty() {
            claim();
        } else {
            let is_observed = pool.is_observed();
            let mut park = |turns| {
                // With the gates locked: a canceller has to wait before it takes the task out of
                // all of them and out of the list.
                let pool = self.head.waiting(|progress| {
                    progress.move_to(Position::Gate);
                    progress.turns = turns;
                    progress.since = Some(now);
                    progress.held = is_observed.then_some(false);
                    Some(progress.pool.clone())
                })?;
                let task = self.clone();
                pool.parked(asker.order, task.clone());
                Some(Arc::new(Parked { task, pool }) as Arc<dyn Waiter>)
            };
            if limit::acquire_all(gates.requests(), asker, now, &mut claim, &mut park)
                == Acquisition::Queued
            {
                if is_observed {
                    // In the line, and held there until observers know of it.
                    pool.gated(self);
                    self.end_hold();
                }
                return Err(RunResult::Away);
            }
        }
        let Some(claimed) = claimed else {
            return Err(RunResult::Gone);
        };
        if first && expires.is_some() {
            pool.stale(1);
        }
        if let Some((at, attempt)) = attempt_ends {
            pool.at(at, self.clone(), OnTime::AttemptEnds(attempt));
        }
        if let Some(at) = total_ends {
            pool.at(at, self.clone(), OnTime::End);
        }
        Ok((claimed, gates))
    }

    /// Settles the task if the instant `at` has come by `now`: the clock decides, not whether the
    /// timer was faster.
    fn is_over(self: &TaskRef, at: Option<Instant>, what: OnTime, now: Instant) -> bool {
        let is_over = at.is_some_and(|at| at <= now);
        if is_over {
            if let Some(cleanup) = self.clone().on_time(what) {
                cleanup();
            }
        }
        is_over
    }

    /// An attempt has ended: returns its permits, and sends the task for another attempt if there
    /// is to be one. Otherwise returns how the task is to be settled, and how many entries of the
    /// timer are stale from then on.
    fn attempt_ended(
        self: &TaskRef,
        ended: Ended,
        gates: &Gates,
        pool: &dyn TaskPool,
    ) -> Option<(Ended, usize)> {
        let succeeded = matches!(ended, Ended::Succeeded | Ended::SucceededEmpty);
        let seen = self.head.peek(|extras| {
            let progress = extras.progress.as_mut()?;
            let attempt_ends = progress.attempt_ends.take();
            let attempt_token = progress.attempt_token.take();
            // Most attempts end without reading the clock.
            let is_timed = attempt_ends.is_some() || progress.ends.is_some();
            let now = (is_timed || !succeeded).then(|| pool.now());
            let elapsed = now.zip(extras.started);
            let elapsed = elapsed.map(|(now, started)| now.saturating_duration_since(started));
            let facts = Facts {
                attempts: progress.attempts,
                elapsed: elapsed.unwrap_or_default(),
                salt: progress.order,
            };
            let timed = attempt_ends.is_some() && !progress.late;
            // Here, too, the clock decides.
            let is_past = attempt_ends.is_some_and(|at| now.is_some_and(|now| at <= now));
            let late = self.head.is_running() && (progress.late || is_past);
            let rank = progress.rank();
            let ends = progress.ends.zip(now);
            let filed = progress.ends_filed;
            Some((facts, rank, late, timed, (ends, filed), attempt_token))
        });
        let Some((facts, rank, late, timed, (ends, filed), attempt_token)) = seen.flatten() else {
            unreachable!("a task with options has its progress from the start")
        };
        // It may be the last reference, and the user's hooks on it are dropped with it.
        panic::discard(attempt_token);
        let order = facts.salt;
        if let Some((ends, now)) = ends {
            self.is_over(Some(ends), OnTime::End, now);
        }
        let ended = self.judge(ended, late);
        match self.next_attempt(&ended, late, &facts, pool) {
            None => limit::release(gates.requests(), order, true),
            Some(to) => {
                limit::release(gates.requests(), order, false);
                let waits = matches!(to, Position::Timer { .. });
                let since = waits.then(|| pool.now());
                if let Ok(failed) = self.put_back(to, since) {
                    self.head.label().log(
                        Level::Debug,
                        format_args!(
                            "task {} goes for attempt {}",
                            self.head.id(),
                            facts.attempts + 1
                        ),
                    );
                    match to {
                        Position::Timer { due } => pool.at(due, self.clone(), OnTime::Start),
                        _ => pool.ready(self.clone(), rank, None),
                    }
                    if timed {
                        pool.stale(1);
                    }
                    panic::discard((ended, failed));
                    return None;
                }
                // The task was asked to stop in between. The result of this attempt is final.
                limit::withdraw(gates.requests(), order);
            }
        }
        if let Some(left) = self.body.take(Part::Closure, None) {
            panic::discard_deferred(left);
        }
        Some((ended, usize::from(timed) + usize::from(filed)))
    }

    /// The end of an attempt that may be late. A late success counts. A late failure becomes a
    /// time-out.
    fn judge(&self, ended: Ended, late: bool) -> Ended {
        let fails = match &ended {
            Ended::Succeeded | Ended::SucceededEmpty | Ended::Error(_) => false,
            Ended::Failed => true,
            Ended::Unwound(payload) => {
                panic::checkpoint_of(payload) == Some(CancelReason::Deadline)
            }
        };
        if !late || !fails {
            return ended;
        }
        self.body
            .take(Part::Value, None)
            .into_iter()
            .for_each(panic::discard);
        Ended::Unwound(panic::checkpoint(CancelReason::Deadline))
    }

    /// Where the task goes for another attempt, if there is to be one.
    fn next_attempt(
        &self,
        ended: &Ended,
        late: bool,
        facts: &Facts,
        pool: &dyn TaskPool,
    ) -> Option<Position> {
        let failure = match ended {
            Ended::Succeeded | Ended::SucceededEmpty | Ended::Error(_) => return None,
            Ended::Failed => FailedAttempt::Failed,
            Ended::Unwound(why) if panic::checkpoint_of(why).is_none() => FailedAttempt::Panicked,
            Ended::Unwound(_) if late => FailedAttempt::TimedOut,
            Ended::Unwound(_) => return None,
        };
        let delay = self.body.again(failure, facts)?;
        if self.is_stopped() {
            return None;
        }
        pool.retries(self, delay, &mut || self.failure_text(ended));
        Some(match delay.is_zero() {
            true => Position::Queue,
            false => Position::Timer {
                due: later(pool.now(), delay),
            },
        })
    }

    /// Whether there will be no further attempt: the task was asked to stop, or the deadline of its
    /// token has passed.
    fn is_stopped(&self) -> bool {
        let token = self.head.peek(|extras| extras.token.clone());
        let token = token.flatten().and_then(|token| token.reason());
        self.head.stop_reason().or(token).is_some()
    }
}
