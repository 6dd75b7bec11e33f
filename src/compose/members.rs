//! The tasks of one scope, as their cells see it: who is to retire still, what failed, and what is cancelled for it.
//!
//! Layer 6.

use crate::cancel::{CancelGuard, CancelToken};
use crate::compose::gather::Gather;
use crate::compose::latch::{Hold, Latch};
use crate::event::OutcomeKind;
use crate::extras::{Group, Member, Unread, Who};
use crate::flat;
use crate::fork;
use crate::reason::CancelReason;
use crate::task::{self, TaskRef, TaskState};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::mem;
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

pub(crate) struct Members {
    latch: Arc<Latch>,
    next: AtomicUsize,
    /// Above all its tasks' tokens.
    token: CancelToken,
    fails_fast: bool,
    /// The task for which the others are cancelled.
    culprit: OnceLock<usize>,
    gather: Arc<dyn Gather>,
    /// For a scope on a worker's stack, which runs there what is queued still, as a join does.
    listed: Option<Mutex<Listed>>,
}

/// Tasks that may not have finished.
struct Listed {
    tasks: VecDeque<TaskRef>,
    /// Those that have are taken out when there are so many.
    sweep_at: usize,
}

const SWEEP_FROM: usize = 64;

impl Members {
    pub(crate) fn new(token: CancelToken, fails_fast: bool, gather: Arc<dyn Gather>) -> Arc<Self> {
        let listed = || {
            Mutex::new(Listed {
                tasks: VecDeque::new(),
                sweep_at: SWEEP_FROM,
            })
        };
        Arc::new(Self {
            latch: Latch::new(),
            next: AtomicUsize::new(0),
            token,
            fails_fast,
            culprit: OnceLock::new(),
            gather,
            listed: task::host().map(|_| listed()),
        })
    }

    pub(crate) fn token(&self) -> &CancelToken {
        &self.token
    }

    pub(crate) fn culprit(&self) -> Option<usize> {
        self.culprit.get().copied()
    }

    pub(crate) fn fails_fast(&self) -> bool {
        self.fails_fast
    }

    /// For what must be gone before the scope ends.
    pub(crate) fn hold(&self) -> Hold {
        Hold::new(&self.latch)
    }

    /// A new member, which holds the scope back until it retires.
    pub(crate) fn member(self: &Arc<Self>, hook: Option<CancelGuard>) -> Member {
        self.latch.hold();
        Member {
            group: self.clone(),
            index: self.next.fetch_add(1, Ordering::Relaxed),
            _hook: hook,
        }
    }

    pub(crate) fn list(&self, task: TaskRef) {
        let Some(listed) = &self.listed else {
            return;
        };
        let mut listed = listed.lock();
        listed.tasks.push_back(task);
        if listed.tasks.len() < listed.sweep_at {
            return;
        }
        let all = mem::take(&mut listed.tasks);
        let (done, left): (VecDeque<_>, _) = all
            .into_iter()
            .partition(|task| task.outcome_kind().is_some());
        listed.sweep_at = SWEEP_FROM.max(2 * left.len());
        listed.tasks = left;
        drop(listed);
        // They may be the last to hold a task, and its outcome.
        drop(done);
    }

    pub(crate) fn have_retired(&self) -> bool {
        self.latch.is_open()
    }

    /// Waits until all members of the pool with this tag have retired, and runs here what may be run here.
    pub(crate) fn wait(&self, owner: u32) {
        // A scope in a value's drop may wait for closures that this very thread has yet to drop.
        flat::catch_up();
        let next = |listed: &Mutex<Listed>| listed.lock().tasks.pop_front();
        let mut waits = VecDeque::new();
        while let Some(task) = self.listed.as_ref().and_then(next) {
            if task.state() == TaskState::Queued {
                task::run_here(&task);
            }
            waits.extend(task.outcome_kind().is_none().then_some(task));
        }
        // One by one, so that a task among them that waits for this one is told so.
        for task in waits {
            if let Err(error) = task::wait_for(&task, None) {
                log::error!("a scope waits for a task that may never end: {error}");
            }
        }
        if !self.latch.is_open() && fork::is_foreign(owner) {
            // Nobody can end this wait, and nobody may return from it.
            log::error!(
                "a process forked inside a scope whose tasks are another process's: it aborts"
            );
            process::abort();
        }
        self.latch.wait();
    }
}

impl Group for Members {
    fn settled(&self, index: usize, kind: OutcomeKind) {
        let fails = !matches!(kind, OutcomeKind::Completed | OutcomeKind::Cancelled);
        if self.fails_fast && fails && self.culprit.set(index).is_ok() {
            self.token.cancel(CancelReason::Scope);
        }
    }

    fn unread(&self, index: usize, who: Who, failure: Unread) {
        self.gather.unread(index, who, failure);
    }

    fn left(&self) {
        self.latch.release();
    }
}
