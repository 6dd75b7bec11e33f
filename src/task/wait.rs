//! Waiting for a task: on any thread, and on a worker of its own pool.
//!
//! Layer: task.

use crate::cancel::CancelToken;
use crate::cancel::blocking::{self, Interrupt, Target};
use crate::clock;
use crate::error::{Stopped, TaskError};
use crate::limit::GateRequest;
use crate::panic;
use crate::process;
use crate::task::current::{self, Awaited};
use crate::task::deadlock;
use crate::task::head::Head;
use crate::task::options::{Extras, Gates, Position, Progress};
use crate::task::run::RunResult;
use crate::task::stack::Stack;
use crate::task::task::{Task, TaskRef, TaskState};
use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// How many tasks, each continued by the next, are looked at to see whether one waits for time.
const MOST_LOOKED_AT: usize = 1_000;

/// When a wait for `timeout` ends. A wait for a task uses the clock of its pool, a wait for a
/// promise that of this thread. `None` if the clock cannot hold it: then it is for ever.
pub(crate) fn deadline(task: &TaskRef, timeout: Duration) -> Option<Instant> {
    process::clock_of(task.head.owner).deadline(timeout)
}

/// Waits for a task. Returns whether it is settled. The wait ends if the body that waits is asked
/// to stop.
pub(crate) fn wait_for(task: &TaskRef, deadline: Option<Instant>) -> Result<bool, TaskError> {
    clock::pause();
    if task.head.is_settled() {
        return Ok(true);
    }
    wait_on(task, deadline)
}

/// The same for the only handle, which the caller gives up. If the task is queued in the pool of
/// this worker, the body may run it right here.
pub(crate) fn join(task: &TaskRef) -> Result<(), TaskError> {
    clock::pause();
    if task.head.is_settled() {
        return Ok(());
    }
    join_on(task)
}

/// The same for a task that was not settled just before.
#[inline(never)]
fn join_on(task: &TaskRef) -> Result<(), TaskError> {
    // A thread that is no worker takes no lock for this.
    let is_worker = current::is_worker_of(task.head.owner);
    let may_run = is_worker && task.state() == TaskState::Queued;
    let may_run = may_run && current::interrupted().is_none();
    if may_run && (is_pinned_here(task) || stops_with_this_body(task)) {
        task.head.set_joined();
        if run_here(task) {
            return Ok(());
        }
        task.head.clear_joined();
    }
    wait_on(task, None).map(drop)
}

fn wait_on(task: &TaskRef, deadline: Option<Instant>) -> Result<bool, TaskError> {
    if let Some(stopped) = current::interrupted() {
        return interrupted(task, stopped);
    }
    if deadline.is_none() && is_pinned_here(task) && run_here(task) {
        return Ok(true);
    }
    task.wait(deadline, true)
}

/// Whether only this thread can run the task: then the body here must, before it waits.
pub(crate) fn is_pinned_here(task: &TaskRef) -> bool {
    let is_here = |stack: Arc<Stack>| task.pinned() == Some(stack.index);
    current::is_worker_of(task.head.owner) && current::stack().is_some_and(is_here)
}

/// Whether whatever ends the waits of this body also asks the task to stop, if it runs on top of
/// the body: then the body need not be able to leave it.
fn stops_with_this_body(task: &TaskRef) -> bool {
    match blocking::scope_token_here() {
        // In the closure of a scope, for a task of that scope.
        Some(token) => task.is_in_scope_of(&token),
        // A cancel of the body reaches it: see `task/cancel.rs`. A time limit does not.
        None => {
            let body = current::stack().and_then(|stack| stack.top());
            body.is_none_or(|body| !body.has_time_limit())
        }
    }
}

/// Waits for a task to settle, whatever the body that waits is asked to do.
pub(crate) fn wait_to_the_end(task: &TaskRef) -> Result<(), TaskError> {
    task.wait(None, false).map(drop)
}

/// The answer of a wait that ends early. An outcome that has come meanwhile is not passed over.
#[cold]
fn interrupted(task: &TaskRef, stopped: Stopped) -> Result<bool, TaskError> {
    match task.head.is_settled() {
        true => Ok(true),
        false => Err(TaskError::Interrupted(stopped)),
    }
}

/// Runs a queued task on the stack of the body that is about to wait for it, if this worker may.
/// Returns whether it did.
pub(crate) fn run_here(task: &TaskRef) -> bool {
    let Some(stack) = current::stack() else {
        return false;
    };
    if stack.owner != task.head.owner || task.head.is_planned() || !blocking::has_slot() {
        return false;
    }
    let pinned = task.pinned();
    let allowed = match pinned {
        // Only this thread can run it, and this thread is about to wait for it.
        Some(index) => index == stack.index,
        // While this thread unwinds, the checkpoints of a body on top would not end it.
        None => !stack.is_deep() && !thread::panicking(),
    };
    if !allowed || stack.is_cancelling() {
        return false;
    }
    let level = stack.level();
    let parent = stack.set_level(level.child(), None);
    // Its entry is still in the queue. The worker that pops it finds the task claimed.
    let ran = task.run(&stack) == RunResult::Done;
    stack.set_level(level, parent);
    if ran {
        stack.done.add();
        if pinned.is_none() {
            task.entry_died().into_iter().for_each(|pool| pool.sweep());
        }
    }
    ran
}

impl Task {
    /// Whether a time limit may ask the body of this task, which runs, to stop.
    fn has_time_limit(&self) -> bool {
        let limit = |extras: &mut Extras| {
            let of_token = extras.token.as_ref().and_then(CancelToken::deadline);
            let is_limited = |progress: &Progress| {
                progress.ends.is_some() || progress.options.attempt_timeout.is_some()
            };
            of_token.is_some() || extras.progress.as_ref().is_some_and(is_limited)
        };
        self.head.peek(limit) == Some(true)
    }

    /// Whether it is a task of the scope that has this token.
    fn is_in_scope_of(&self, token: &CancelToken) -> bool {
        let is_in = |extras: &mut Extras| {
            let above = extras.member.as_ref()?.group.token()?;
            Some(above.is(token))
        };
        self.head.peek(is_in).flatten() == Some(true)
    }

    /// Whether it, or a task that it continues, will come to the front of the run queue by itself:
    /// a body submitted it, and it waits for time, also at rate limiters if these count.
    pub(crate) fn comes_by_itself(self: &TaskRef, at_gates: bool) -> bool {
        let mut left = vec![self.clone()];
        let mut comes = false;
        for _ in 0..MOST_LOOKED_AT {
            let Some(task) = left.pop() else { break };
            comes = task.is_away(at_gates);
            left.extend(task.predecessors(MOST_LOOKED_AT));
            panic::discard(task);
            if comes {
                break;
            }
        }
        panic::discard(left);
        comes
    }

    fn is_away(&self, at_gates: bool) -> bool {
        let away = self.head.progress(|progress, is_running| {
            if is_running || progress.level.is_outer() {
                return None;
            }
            match progress.position {
                Position::Timer { .. } => Some((Gates::default(), 0)),
                Position::Gate if at_gates => Some((Gates::of(&progress.options), progress.order)),
                _ => None,
            }
        });
        let Some((gates, order)) = away.flatten() else {
            return false;
        };
        let gates = gates.requests();
        let is_timed = |request: &GateRequest| request.gate.is_timed();
        // A permit comes back when a body returns it, which may wait for a task in turn.
        let passes = |request: &GateRequest| !request.gate.awaits_return(order, request.weight);
        gates.is_empty() || gates.iter().any(is_timed) && gates.iter().all(passes)
    }

    /// Blocks this thread until the task is settled or `deadline` has passed, or, if it `may_end`,
    /// until the body that waits is asked to stop. Returns whether the task is settled. Spins
    /// first. Then releases the run slot of this thread, and parks.
    pub(super) fn wait(
        self: &TaskRef,
        deadline: Option<Instant>,
        may_end: bool,
    ) -> Result<bool, TaskError> {
        let head = &self.head;
        let clock = process::clock_of(head.owner);
        if clock.spin(|| head.is_settled()) {
            return Ok(true);
        }
        if process::is_foreign(head.owner) {
            return Err(TaskError::Forked);
        }
        let interrupt = may_end.then(|| {
            let task = self.clone();
            Interrupt::here(move || task.head.extras.lock_and_notify_all())
        });
        let stack = current::stack();
        // A wait for a task that has a time limit ends with that limit.
        let for_ever = deadline.is_none() && !self.is_limited();
        let target = stack.as_ref().filter(|_| for_ever);
        let blocks = || {
            let edges = target
                .map(|stack| deadlock::enter(stack, self))
                .transpose()?;
            // Dropped in this order.
            let awaited = Awaited::begin(self);
            let blocking = blocking::begin_for(Target::Tasks(head.owner));
            Ok((blocking, awaited, edges))
        };
        let _blocking = match blocks() {
            Ok(blocking) => blocking,
            // The task may have settled in between.
            Err(_) if head.is_settled() => return Ok(true),
            Err(deadlock) => return Err(TaskError::WouldDeadlock(Box::new(deadlock))),
        };
        let mut extras = head.extras.lock();
        if head.listens(&extras) {
            return Ok(true);
        }
        let interrupt = interrupt.as_ref();
        let has_come = || interrupt.is_some_and(Interrupt::has_come);
        let blocked = &mut |_: &mut _| !head.is_settled() && !has_come();
        let monitor = &head.extras;
        monitor.wait_while(&mut extras, &clock, deadline, head, blocked);
        drop(extras);
        match interrupt.and_then(Interrupt::stopped) {
            Some(stopped) => interrupted(self, stopped),
            None => Ok(head.is_settled()),
        }
    }
}

/// The task in the report of a simulation in which a thread waits for it.
impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.label().fmt(f)
    }
}
