//! The tasks of one scope: which are not released, which failed, and what is cancelled for that.
//!
//! Layer: compose.

use crate::cancel::{CancelGuard, CancelToken};
use crate::compose::scope::latch::{Hold, Latch};
use crate::compose::scope::sink::{FailureSink, Found};
use crate::error::{JoinError, TaskError};
use crate::panic::{self, Level};
use crate::process;
use crate::reason::CancelReason;
use crate::sync::{Mutex, trampoline};
use crate::task::label::TaskLabel;
use crate::task::watch::{Member, Unread, Watch};
use crate::task::{self, OutcomeKind, TaskRef, TaskState};
use std::collections::VecDeque;
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

pub(crate) struct ScopeState {
    /// Open when all tasks are released and all their bodies are empty.
    latch: Arc<Latch>,
    next: AtomicUsize,
    /// Above the tokens of all tasks in the scope.
    token: CancelToken,
    /// Cancels the tasks when the token is cancelled.
    hook: OnceLock<CancelGuard>,
    fails_fast: bool,
    /// The index of the first task that failed.
    first_failure: OnceLock<usize>,
    sink: FailureSink,
    unsettled: Mutex<Unsettled>,
    /// Whether the scope was opened by a body on a worker, which may run the tasks itself.
    is_on_worker: bool,
}

/// The tasks that may not have settled. Each is in one of the lists until it has, so that a
/// cancellation finds it.
struct Unsettled {
    tasks: VecDeque<TaskRef>,
    /// Tasks that the thread which waits for the scope has run already, or waits for.
    seen: Vec<TaskRef>,
    /// The number of `tasks` at which the settled ones are removed.
    sweep_at: usize,
}

const SWEEP_FROM: usize = 64;

impl ScopeState {
    pub(crate) fn new(token: CancelToken, fails_fast: bool, sink: FailureSink) -> Arc<Self> {
        let state = Arc::new(Self {
            latch: Latch::new(),
            next: AtomicUsize::new(0),
            token,
            hook: OnceLock::new(),
            fails_fast,
            first_failure: OnceLock::new(),
            sink,
            unsettled: Mutex::new(Unsettled {
                tasks: VecDeque::new(),
                seen: Vec::new(),
                sweep_at: SWEEP_FROM,
            }),
            is_on_worker: task::current::stack().is_some(),
        });
        // One hook for all tasks. A task gets a token of its own only if code asks for it.
        let weak = Arc::downgrade(&state);
        let hook = state.token.on_cancel(move |reason| {
            if let Some(state) = Weak::upgrade(&weak) {
                state.cancel_all(reason);
            }
        });
        state.hook.get_or_init(|| hook);
        state
    }

    fn cancel_all(&self, reason: CancelReason) {
        let unsettled = self.unsettled.lock();
        let all = unsettled.tasks.iter().chain(&unsettled.seen);
        let all: Vec<_> = all.cloned().collect();
        drop(unsettled);
        for task in all {
            task.cancel(reason);
        }
    }

    pub(crate) fn token(&self) -> &CancelToken {
        &self.token
    }

    pub(crate) fn found(&self) -> Found {
        self.sink.take()
    }

    pub(crate) fn first_failure(&self) -> Option<usize> {
        self.first_failure.get().copied()
    }

    fn is_first_failure(&self, index: usize, kind: OutcomeKind) -> bool {
        let fails = !matches!(kind, OutcomeKind::Succeeded | OutcomeKind::Cancelled);
        self.fails_fast && fails && self.first_failure.set(index).is_ok()
    }

    /// A hold for a body, which must be empty before the scope ends.
    pub(crate) fn hold(&self) -> Hold {
        Hold::new(&self.latch)
    }

    /// The membership of the next task. It is a hold on the latch until the task is released.
    pub(crate) fn member(self: &Arc<Self>) -> Member {
        self.latch.hold();
        Member {
            group: self.clone(),
            index: self.next.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Lists a submitted task. If the scope is cancelled, so is the task.
    pub(crate) fn add_task(&self, task: &TaskRef) {
        let mut done = VecDeque::new();
        let mut unsettled = self.unsettled.lock();
        unsettled.tasks.push_back(task.clone());
        if unsettled.tasks.len() >= unsettled.sweep_at {
            let all = mem::take(&mut unsettled.tasks).into_iter();
            (done, unsettled.tasks) = all.partition(|task| task.head.is_settled());
            unsettled.sweep_at = SWEEP_FROM.max(2 * unsettled.tasks.len());
        }
        drop(unsettled);
        // Dropped without the lock: these may be the last references to the tasks and their
        // outcomes.
        drop(done);
        // After the task was listed. So either the hook finds the task in the list, or the
        // cancellation is seen here.
        if let Some(reason) = self.token.reason() {
            task.cancel(reason);
        }
    }

    pub(crate) fn all_released(&self) -> bool {
        self.latch.is_open()
    }

    /// Waits until all tasks are released. On a worker it runs those that are still queued.
    /// `owner` is the pool.
    pub(crate) fn wait(&self, owner: u32) {
        // A scope may be opened in the drop of a value, and wait for closures whose drop this
        // thread has deferred.
        trampoline::run_deferred();
        if self.is_on_worker {
            self.run_and_wait();
        }
        if !self.latch.is_open() && process::is_foreign(owner) {
            // No thread of this process can end the wait, and the scope may not end before.
            panic::log(
                Level::Error,
                format_args!(
                    "a process forked inside a scope whose tasks are another process's: it aborts"
                ),
            );
            std::process::abort();
        }
        self.latch.wait(owner);
    }

    /// Runs the tasks that are still queued, and waits for the others one by one. So a task among
    /// them that waits for the task of this scope gets an error in place of a deadlock.
    fn run_and_wait(&self) {
        while let Some(task) = self.next_to_run() {
            if task.state() == TaskState::Queued {
                task::run_here(&task);
            }
            if task.head.is_settled() {
                // The last one that was seen. `task` is another reference, so no value is dropped
                // here.
                self.unsettled.lock().seen.pop();
            }
        }
        let waits = self.unsettled.lock().seen.clone();
        for task in waits {
            if let Err(error) = task::wait_to_the_end(&task) {
                task.head.label().log(
                    Level::Error,
                    format_args!("a scope waits for a task that may never end: {error}"),
                );
            }
        }
    }

    fn next_to_run(&self) -> Option<TaskRef> {
        let mut unsettled = self.unsettled.lock();
        let task = unsettled.tasks.pop_front()?;
        unsettled.seen.push(task.clone());
        Some(task)
    }
}

impl Watch for ScopeState {
    fn settled(self: Arc<Self>, index: usize, kind: OutcomeKind) {
        if self.is_first_failure(index, kind) {
            self.token.cancel_with(CancelReason::Scope);
        }
    }

    /// All workers may run bodies that only the end of the scope stops.
    fn settled_apart(self: Arc<Self>, index: usize, kind: OutcomeKind) {
        if self.is_first_failure(index, kind) {
            self.token.cancel_in_background(CancelReason::Scope);
        }
    }

    fn unread(&self, index: usize, task: TaskLabel, failure: Unread) {
        let dropped = CancelReason::Dropped;
        let was_dropped =
            matches!(&failure, JoinError::Task(TaskError::Cancelled(why)) if *why == dropped);
        // The code that held the result did not want it any more and cancelled the task. That is
        // no failure, unless the whole scope was cancelled for that.
        if !was_dropped || self.token.reason() == Some(dropped) {
            self.sink.unread(index, task, failure);
        }
    }

    fn token(&self) -> Option<&CancelToken> {
        Some(&self.token)
    }

    fn released(&self) {
        self.latch.release();
    }
}
