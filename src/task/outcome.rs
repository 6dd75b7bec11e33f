//! What follows when a task settles, and what its handles do with the outcome.
//!
//! Layer: task.

use crate::cancel::CancelToken;
use crate::context_var::{self, Context};
use crate::error::{JoinError, TaskError};
use crate::panic;
use crate::process;
use crate::reason::{CancelReason, WaitedFor};
use crate::sync::atomic::Ordering;
use crate::task::body::Part;
use crate::task::group_error::BoxedError;
use crate::task::head::{DETACHED, LISTENED, SETTLED, TAKEN};
use crate::task::options::{Callback, Listeners, OnSettled};
use crate::task::summary::{OutcomeKind, Summary};
use crate::task::task::{GroupRef, Task};
use crate::task::unread;
use crate::task::watch::{Member, Unread, Watcher};
use std::any::Any;
use std::mem;
use std::sync::Arc;
use std::task::{Poll, Waker};

impl Task {
    // After settling.

    /// Does what settling leaves to do: notifies watchers and the group, and runs the callbacks.
    ///
    /// `drops`: the last handle is gone, and this thread must drop the outcome.
    pub(crate) fn after_settle(&self, kind: OutcomeKind, on_settled: OnSettled, drops: bool) {
        let OnSettled {
            listeners,
            hook,
            context,
            member,
            is_listed: _,
        } = on_settled;
        let Listeners {
            watchers,
            callbacks,
            waker,
            ..
        } = listeners.map_or_else(Listeners::default, |listeners| *listeners);
        drop(hook);
        if let Some(waker) = waker {
            panic::shield("a waker", || waker.wake());
        }
        context.discard();
        if let Some(Member { group, index }) = member.as_ref() {
            group.clone().settled(*index, kind);
        }
        if drops {
            let group = member.as_ref().map(|member| (&*member.group, member.index));
            self.drop_outcome(kind, group);
        }
        // Before the callbacks: a slow one delays no thread that waits for this task, and no task
        // that continues it.
        for watcher in watchers {
            watcher.settled(kind);
        }
        self.run_callbacks(kind, callbacks);
        // Now the task is released.
        drop(member);
    }

    fn run_callbacks(&self, kind: OutcomeKind, callbacks: Vec<(u64, Option<Callback>)>) {
        if callbacks.is_empty() {
            return;
        }
        let summary = self.summary(kind);
        // Each brings the context variables of the place where it was registered.
        let _outside = context_var::enter(Context::default());
        for callback in callbacks.into_iter().filter_map(|(_, callback)| callback) {
            panic::shield("an on_finish callback", || callback(&summary));
        }
    }

    /// Drops an outcome that no handle will take; a failure among them is reported.
    pub(crate) fn drop_outcome(&self, kind: OutcomeKind, group: Option<GroupRef<'_>>) {
        match (self.take_error(kind), group) {
            (None, None) => {
                if kind == OutcomeKind::Failed {
                    let text = self.body.error_text().unwrap_or_default();
                    self.unread(JoinError::Failed(text));
                }
            }
            (None, Some(group)) => {
                if let Some(error) = self.take_boxed_error() {
                    self.report(group, JoinError::Failed(error));
                }
            }
            (Some(error), Some(group)) => self.report(group, JoinError::Task(error)),
            (Some(TaskError::Panicked(panic)), None) => {
                unread::panicked(&panic);
                panic::discard_deferred(panic);
            }
            (Some(error), None) if !unread::is_reported(&error) => panic::discard(error),
            (Some(error), None) => self.unread(JoinError::Task(error)),
        }
        // Other kinds have no value, and another thread may still have the closure.
        if matches!(kind, OutcomeKind::Succeeded | OutcomeKind::Failed) {
            let left = self.body.take(Part::Value, None);
            left.into_iter().for_each(panic::discard_deferred);
        }
    }

    /// The error that the body of a group has returned.
    pub(crate) fn take_boxed_error(&self) -> Option<BoxedError> {
        let mut error: Option<BoxedError> = None;
        self.body.take(Part::Value, Some(&mut error));
        error
    }

    #[cold]
    fn unread(&self, error: JoinError<String>) {
        unread::report(self.head.owner, self.head.label(), error);
    }

    fn report(&self, (group, index): GroupRef<'_>, failure: Unread) {
        group.unread(index, self.head.label(), failure);
    }

    /// Why there is no value.
    fn take_error(&self, kind: OutcomeKind) -> Option<TaskError> {
        let stored = || {
            let error = self.head.peek(|extras| extras.error.take()).flatten();
            error.map(|error| *error)
        };
        match kind {
            OutcomeKind::Succeeded | OutcomeKind::Failed => None,
            OutcomeKind::Expired => {
                let why = self.head.why.load(Ordering::Relaxed);
                Some(TaskError::Expired(WaitedFor::from_code(why)))
            }
            OutcomeKind::TimedOut => Some(TaskError::TimedOut),
            OutcomeKind::Cancelled => {
                let why = CancelReason::from_code(self.head.why.load(Ordering::Relaxed));
                Some(TaskError::Cancelled(why.unwrap_or(CancelReason::User)))
            }
            OutcomeKind::Panicked | OutcomeKind::Rejected => stored(),
        }
    }

    // The handle's side.

    /// Moves the value of a settled task into `into`, an `Option` of its type.
    #[inline]
    pub(crate) fn take(&self, into: &mut dyn Any) -> Result<(), TaskError> {
        let kind = self.head.kind();
        if !matches!(kind, OutcomeKind::Succeeded | OutcomeKind::Failed) {
            if let Some(error) = self.take_error(kind) {
                return Err(error);
            }
        }
        self.body.take(Part::Value, Some(into));
        Ok(())
    }

    /// The same for a handle that is not consumed. From now on its outcome is gone.
    pub(crate) fn take_and_stay(&self, into: &mut dyn Any) -> Result<(), TaskError> {
        self.head.set(TAKEN);
        self.take(into)
    }

    /// What became of a settled task whose value is elsewhere, or why there is no value.
    pub(crate) fn take_kind(&self) -> Result<OutcomeKind, TaskError> {
        let kind = self.head.kind();
        self.take_error(kind).map_or(Ok(kind), Err)
    }

    pub(crate) fn is_taken(&self) -> bool {
        self.head.flags() & TAKEN != 0
    }

    /// Whether the task has settled; if not, the waker is called when it does.
    pub(crate) fn poll(&self, waker: &Waker) -> Poll<()> {
        // A waker is the executor's code: it is cloned before the lock is taken, and the one that
        // is not needed is dropped after it.
        let mut spare = Some(waker.clone());
        let settled = self.head.listen(|extras, settled| {
            if !settled {
                mem::swap(&mut extras.listeners().waker, &mut spare);
            }
            settled
        });
        drop(spare);
        if settled {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// Notes that the last handle is gone. Drops the outcome of a settled task.
    pub(crate) fn detach(&self, group: Option<GroupRef<'_>>) {
        let before = self.head.set(DETACHED);
        if before & SETTLED == 0 {
            if before & LISTENED != 0 {
                self.drop_waker();
            }
        } else if before & TAKEN == 0 {
            self.drop_outcome(self.head.kind(), group);
        }
    }

    /// Drops the waker of the last handle, which no code will poll any more.
    #[cold]
    fn drop_waker(&self) {
        let waker = self
            .head
            .peek(|extras| extras.listeners.as_mut()?.waker.take());
        panic::discard(waker);
    }

    // Listeners.

    /// Registers a callback and returns its key. A finished task returns it with the summary.
    pub(crate) fn on_finish(&self, callback: Callback) -> Result<u64, (Callback, Summary)> {
        let refused = self.head.listen(|extras, settled| {
            if settled {
                Err(callback)
            } else {
                Ok(extras.add_callback(callback))
            }
        });
        refused.map_err(|callback| (callback, self.summary(self.head.kind())))
    }

    /// Registers a watcher. A finished task returns it.
    pub(crate) fn watch(&self, watcher: Watcher) -> Result<(), Watcher> {
        self.head.listen(|extras, settled| {
            if settled {
                return Err(watcher);
            }
            extras.listeners().watchers.push(watcher);
            Ok(())
        })
    }

    /// Called when a watcher is over. Watchers that are over are removed together, when they may be
    /// half of many: so that any number of them leave in linear time.
    pub(crate) fn unwatch(&self) {
        const FEW: usize = 16;
        let gone = self.head.peek(|extras| {
            let listeners = extras.listeners.as_mut()?;
            let watchers = &mut listeners.watchers;
            listeners.over += 1;
            if watchers.len() > FEW && 2 * listeners.over < watchers.len() {
                return None;
            }
            listeners.over = 0;
            let all = mem::take(watchers).into_iter();
            let (gone, others): (Vec<_>, _) = all.partition(Watcher::is_over);
            *watchers = others;
            Some(gone)
        });
        drop(gone);
    }

    // Its token.

    /// Makes `token` the task's own: cancelling it cancels the task, queued or running.
    pub(crate) fn obey(self: &Arc<Self>, token: CancelToken) {
        let weak = Arc::downgrade(self);
        let hook = token.on_cancel(move |reason| {
            if let Some(task) = weak.upgrade() {
                task.cancel(reason);
            }
        });
        // A task that has settled in between keeps no hook.
        let unwanted = self.head.listen(|extras, settled| {
            extras.token = Some(token);
            if settled {
                Some(hook)
            } else {
                extras.hook.replace(hook)
            }
        });
        drop(unwanted);
    }

    /// The token of the task. The first call makes it.
    pub(crate) fn token(self: &Arc<Self>) -> CancelToken {
        let existing = self.head.peek(|extras| {
            let member = extras.member.as_ref();
            (
                extras.token.clone(),
                member.map(|member| member.group.clone()),
            )
        });
        let (existing, group) = existing.unwrap_or_default();
        if let Some(token) = existing {
            return token;
        }
        let fresh = match group.as_ref().and_then(|group| group.token()) {
            Some(token) => token.child(),
            None => CancelToken::with_clock(process::clock_of(self.head.owner)),
        };
        let (token, made) = self.head.listen(|extras, _| match &extras.token {
            Some(token) => (token.clone(), false),
            None => (extras.token.insert(fresh).clone(), true),
        });
        if made {
            // A request to stop that came before is passed on to the token. A later one finds it.
            if let Some(reason) = self.head.stop_reason() {
                token.cancel_with(reason);
            }
            self.obey(token.clone());
        }
        token
    }

    /// The token of the present attempt. Without a time limit for attempts it is the task's own.
    pub(crate) fn attempt_token(self: &Arc<Self>) -> CancelToken {
        let whole = self.token();
        let is_limited = self
            .head
            .progress(|progress, running| running && progress.options.attempt_timeout.is_some());
        if is_limited != Some(true) {
            return whole;
        }
        let fresh = whole.child();
        let token = self.head.progress(|progress, _| {
            let token = progress.attempt_token.get_or_insert(fresh).clone();
            (token, progress.late)
        });
        let Some((token, late)) = token else {
            return whole;
        };
        if late {
            token.cancel_with(CancelReason::Deadline);
        }
        token
    }

    /// Why the running body should stop.
    pub(crate) fn stop_reason(&self) -> Option<CancelReason> {
        if let Some(reason) = self.head.stop_reason() {
            return Some(reason);
        }
        // Neither a late attempt nor a deadline of the token sets the code in the head.
        let (late, token) = self.head.peek(|extras| {
            let late = extras
                .progress
                .as_ref()
                .is_some_and(|progress| progress.late);
            (late, extras.token.clone())
        })?;
        if late {
            return Some(CancelReason::Deadline);
        }
        token?.reason()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::task::body::ByHand;
    use crate::task::head::Head;
    use crate::task::options::Extras;
    use crate::task::watch::Watch;
    use std::panic::Location;
    use std::sync::atomic::{AtomicBool, AtomicUsize};

    /// Counts how often it is asked whether it is over.
    struct Counting(AtomicBool, Arc<AtomicUsize>);

    impl Watch for Counting {
        fn settled(self: Arc<Self>, _: usize, _: OutcomeKind) {}

        fn is_over(&self) -> bool {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn many_watchers_and_callbacks_leave_in_linear_time() {
        const MANY: usize = 10_000;
        let head = Head::new(process::NO_POOL, Location::caller());
        let task = Task::new(head, ByHand::<()>::new());
        let asked = Arc::new(AtomicUsize::new(0));
        let add = |_| {
            let watcher = Arc::new(Counting(AtomicBool::new(false), asked.clone()));
            assert!(task.watch(Watcher::Set(watcher.clone(), 0)).is_ok());
            watcher
        };
        let watchers: Vec<_> = (0..MANY).map(add).collect();
        for watcher in &watchers {
            watcher.0.store(true, Ordering::Relaxed);
            task.unwatch();
        }
        let asked = asked.load(Ordering::Relaxed);
        assert!(asked < 4 * MANY, "{asked}");
        let left = |extras: &mut Extras| extras.listeners().watchers.len();
        assert!(task.head.peek(left).unwrap() <= 16);

        let keys = (0..MANY).map(|_| task.on_finish(Box::new(|_| ())).ok().unwrap());
        let keys: Vec<_> = keys.collect();
        for key in keys {
            assert!(
                task.head
                    .peek(|extras| extras.remove_callback(key))
                    .is_some()
            );
        }
        let left = |extras: &mut Extras| extras.listeners().callbacks.len();
        assert_eq!(task.head.peek(left), Some(0));
    }
}
