//! What is notified when a task settles: tasks that continue it, sets of handles, scopes and
//! pipelines.
//!
//! Layer: task.

use crate::cancel::CancelToken;
use crate::error::JoinError;
use crate::task::group_error::BoxedError;
use crate::task::label::TaskLabel;
use crate::task::summary::OutcomeKind;
use crate::task::task::TaskRef;
use std::sync::Arc;

/// Notified once when a task has settled: a set of handles that is waited for, a scope, a pipeline.
/// It is the library's own, so it is notified before the user's callbacks run.
pub(crate) trait Watch: Send + Sync {
    /// The task with this number, as the watcher counts them, has settled.
    fn settled(self: Arc<Self>, index: usize, kind: OutcomeKind);

    /// The same where no code of the user may run. A worker calls `settled` later.
    fn settled_apart(self: Arc<Self>, _index: usize, _kind: OutcomeKind) {}

    /// Whether `settled` would do nothing any more.
    fn is_over(&self) -> bool {
        false
    }

    /// Whether `settled` does no more than note it, so that the timer thread may call it.
    fn is_light(&self) -> bool {
        false
    }

    /// A member of this group failed, and no handle will take the failure.
    fn unread(&self, _index: usize, _task: TaskLabel, _failure: Unread) {}

    /// The token of this group, above those of its members.
    fn token(&self) -> Option<&CancelToken> {
        None
    }

    /// A member of this group is released: its body has returned, everything in it is dropped, and
    /// its callbacks have run.
    fn released(&self) {}
}

/// A watcher of one task.
pub(crate) enum Watcher {
    /// A task that continues the watched one.
    Task(TaskRef),
    /// A set, and the number of the watched task in it.
    Set(Arc<dyn Watch>, usize),
}

impl Watcher {
    /// Whether it wants to be notified no more.
    pub(crate) fn is_over(&self) -> bool {
        match self {
            Self::Task(task) => task.head.is_settled(),
            Self::Set(set, _) => set.is_over(),
        }
    }

    pub(crate) fn is_light(&self) -> bool {
        match self {
            Self::Task(_) => false,
            Self::Set(set, _) => set.is_light(),
        }
    }

    pub(crate) fn settled(self, kind: OutcomeKind) {
        match self {
            Self::Task(task) => task.predecessor_settled(),
            Self::Set(set, index) => set.settled(index, kind),
        }
    }
}

/// Membership of a group, a scope. Dropped when the task is released, last of all.
pub(crate) struct Member {
    pub(crate) group: Arc<dyn Watch>,
    /// Counted from 0 in order of submission.
    pub(crate) index: usize,
}

impl Drop for Member {
    fn drop(&mut self) {
        self.group.released();
    }
}

/// A failure that no handle will take: the body's own error without its type, or why there is no
/// outcome.
pub(crate) type Unread = JoinError<BoxedError>;
