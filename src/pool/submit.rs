//! The way into a pool: admission, and the run queue.
//!
//! The verbs in `verbs` put the user's closure into a task. From there on nothing is generic.

use crate::cancel::CancelToken;
use crate::context_var;
use crate::error::{JoinError, Rejection, TaskError};
use crate::id::TaskId;
use crate::limit::{QueuePlace, WhenFull};
use crate::pool::core::{Core, Spec};
use crate::pool::lifecycle::Phase;
use crate::pool::queue::QueueEntry;
use crate::pool::worker_state::WorkerState;
use crate::reason::CancelReason;
use crate::task::body::Body;
use crate::task::current::{self, Place};
use crate::task::label::TaskLabel;
use crate::task::options::{Callback, Extras, Member, Progress};
use crate::task::pool::Level;
use crate::task::{Head, OutcomeKind, Site, Task, TaskHandle, TaskRef, unread};
use std::sync::Arc;

impl Core {
    /// Takes a place in a bounded queue, and counts a task as pending. Returns the extras that the
    /// task needs.
    pub(crate) fn admit(
        self: &Arc<Self>,
        spec: &Spec,
        when_full: WhenFull,
    ) -> Result<Option<Box<Extras>>, Rejection> {
        if self.is_special || !spec.is_plain() || context_var::is_in_use() {
            return self.admit_with_all(spec, when_full);
        }
        self.lifecycle.task_added();
        if self.lifecycle.phase() == Phase::Open && !self.queue.would_wake() {
            return Ok(None);
        }
        self.admit_counted(false)?;
        Ok(None)
    }

    /// Whether the pool takes a task that is counted. If not, the count is taken back.
    ///
    /// The check for a forked child is a system call, which takes half as long as a plain task. So
    /// a task that needs no more than a push is checked only if the push would wake a worker, which
    /// takes longer: in a child of a pool that was at rest, that is each one.
    #[inline(never)]
    fn admit_counted(&self, asks: bool) -> Result<(), Rejection> {
        if (asks || self.queue.would_wake()) && self.is_foreign() {
            return Err(Rejection::Forked);
        }
        if self.is_open_here() {
            return Ok(());
        }
        self.withdraw();
        Err(Rejection::Closed)
    }

    #[inline(never)]
    fn admit_with_all(
        self: &Arc<Self>,
        spec: &Spec,
        when_full: WhenFull,
    ) -> Result<Option<Box<Extras>>, Rejection> {
        self.check_thread();
        if let Some(options) = &spec.options {
            options.check(self.clock())?;
        }
        let place = match &self.capacity {
            Some(capacity) if !self.is_here() => Some(capacity.take(when_full)?),
            _ => None,
        };
        self.lifecycle.task_added();
        let asks = spec
            .options
            .as_ref()
            .is_some_and(|options| options.waits_apart());
        self.admit_counted(asks)?;
        Ok(self.extras(spec, place))
    }

    /// Takes the count of a pending task back.
    pub(crate) fn withdraw(&self) {
        self.lifecycle.task_withdrawn();
        self.notify_if_idle();
    }

    /// Whether the pool takes a task from this thread. Called after the task is counted.
    pub(crate) fn is_open_here(&self) -> bool {
        match self.lifecycle.phase() {
            Phase::Open => true,
            Phase::Draining => self.is_here(),
            Phase::Cancelling | Phase::Over => false,
        }
    }

    #[inline(always)]
    fn enqueue(self: &Arc<Self>, task: TaskRef) {
        if current::is_worker_of(self.owner()) {
            return self.enqueue_inner(task);
        }
        self.queue.push(QueueEntry::new(task));
        self.work_is_ready();
    }

    #[cold]
    fn enqueue_inner(self: &Arc<Self>, task: TaskRef) {
        self.enqueue_at(current::place_here(self.owner()), task);
    }

    fn enqueue_at(self: &Arc<Self>, place: Place, task: TaskRef) {
        let Place { level, parent } = place;
        let entry = QueueEntry::new(task);
        self.queue.push_inner(entry, level, 0, parent);
        self.work_is_ready();
    }

    /// Called after a push.
    #[inline]
    pub(crate) fn work_is_ready(self: &Arc<Self>) {
        // ORDERING: the push and this load are sequentially consistent; see `spares`.
        if self.run_slots.has_free() {
            self.start_spare_if_due();
        }
    }

    /// Sends an admitted task on its way.
    pub(crate) fn send(self: &Arc<Self>, spec: &Spec, task: TaskRef, extras: Option<Box<Extras>>) {
        match extras {
            None => self.enqueue(task),
            Some(extras) => self.send_with(spec, task, extras),
        }
    }

    #[inline(never)]
    fn send_with(self: &Arc<Self>, spec: &Spec, task: TaskRef, extras: Box<Extras>) {
        self.equip(spec, &task, Some(extras));
        self.dispatch(task);
    }

    fn equip(self: &Arc<Self>, spec: &Spec, task: &TaskRef, extras: Option<Box<Extras>>) {
        let Some(extras) = extras else { return };
        task.head.set_extras(extras);
        if let Some(token) = &spec.token {
            // A child token: to cancel this task alone does not cancel its siblings.
            task.obey(token.child());
        }
    }

    fn dispatch(self: &Arc<Self>, task: TaskRef) {
        if task.head.is_planned() {
            let parent = current::body_here(self.owner());
            return task.schedule(&**self, parent);
        }
        self.enqueue(task);
    }

    #[inline]
    fn extras(self: &Arc<Self>, spec: &Spec, place: Option<QueuePlace>) -> Option<Box<Extras>> {
        if place.is_none() && spec.is_plain() && !context_var::is_set_here() {
            return None;
        }
        let mut extras = Extras::new(spec.name.clone(), place);
        if let Some(options) = &spec.options {
            let start = options.start(&**self);
            let level = current::level_here(self.owner());
            extras.progress = Some(Progress::new(options, self.clone(), start, level));
        }
        Some(extras)
    }

    /// Submits a task that has no options and no extras yet. If the pool does not take it, it
    /// settles as rejected.
    pub(crate) fn submit(self: &Arc<Self>, spec: &Spec, task: TaskRef) -> TaskRef {
        match self.admit(spec, WhenFull::Wait(None)) {
            Ok(extras) => self.send(spec, task.clone(), extras),
            Err(reason) => self.refuse(spec, &task, reason),
        }
        task
    }

    /// The same for a body of a group that is to stand at this place, whichever worker submits it.
    pub(crate) fn submit_body_at<T: 'static>(
        self: &Arc<Self>,
        place: &Place,
        site: Site,
        spec: &Spec,
        body: impl Body + 'static,
    ) -> TaskHandle<T> {
        let task = Task::new(Head::new(self.owner(), site), body);
        TaskHandle::new(self.submit_at(place, spec, task))
    }

    fn submit_at(self: &Arc<Self>, place: &Place, spec: &Spec, task: TaskRef) -> TaskRef {
        if !self.is_here() {
            return self.submit(spec, task);
        }
        match self.admit(spec, WhenFull::Wait(None)) {
            Ok(mut extras) => {
                let level = match place.level.is_outer() {
                    true => Level::default().child(),
                    false => place.level,
                };
                let progress = extras.as_mut().and_then(|extras| extras.progress.as_mut());
                if let Some(progress) = progress {
                    progress.level = level;
                }
                self.equip(spec, &task, extras);
                let parent = place.parent.clone();
                if task.head.is_planned() {
                    task.clone().schedule(&**self, parent);
                } else {
                    self.enqueue_at(Place { level, parent }, task.clone());
                }
            }
            Err(reason) => self.refuse(spec, &task, reason),
        }
        task
    }

    #[cold]
    pub(crate) fn refuse(&self, spec: &Spec, task: &TaskRef, reason: Rejection) {
        if spec.name.is_some() {
            task.head.set_extras(Extras::new(spec.name.clone(), None));
        }
        self.count_refused();
        task.refuse(TaskError::Rejected(reason));
    }

    /// Reports that the pool does not take a task for which there is no handle.
    #[cold]
    pub(crate) fn refuse_detached(&self, spec: &Spec, site: Site, reason: Rejection) {
        self.count_refused();
        let who = TaskLabel {
            id: TaskId::next(),
            name: spec.name.clone(),
            site,
        };
        let error = TaskError::Rejected(reason);
        unread::report(self.owner(), who, JoinError::Task(error));
    }

    /// Counts a task that the pool has not taken as one that has ended. A forked child leaves the
    /// locks of the pool alone.
    pub(crate) fn count_refused(&self) {
        if self.is_foreign() {
            return;
        }
        self.lifecycle.task_added();
        self.count_finished(OutcomeKind::Rejected);
        self.notify_if_idle();
    }

    /// Submits a member of a group. `cancelled`: why the group was cancelled before. The task is
    /// then cancelled before a worker can take it.
    pub(crate) fn submit_member(
        self: &Arc<Self>,
        spec: &Spec,
        task: &TaskRef,
        member: Member,
        token: Option<CancelToken>,
        cancelled: Option<CancelReason>,
    ) {
        let admitted = match self.is_foreign() {
            true => Err(Rejection::Forked),
            false => self.admit(spec, WhenFull::Wait(None)),
        };
        let (mut extras, refusal) = match admitted {
            Ok(extras) => (extras.unwrap_or_default(), None),
            Err(reason) => (Extras::new(spec.name.clone(), None), Some(reason)),
        };
        extras.member = Some(member);
        task.head.set_extras(extras);
        match refusal {
            None => {
                if let Some(token) = token {
                    task.obey(token);
                }
                if let Some(reason) = cancelled {
                    task.cancel(reason);
                }
                self.dispatch(task.clone());
            }
            Some(reason) => {
                self.count_refused();
                task.refuse(TaskError::Rejected(reason));
            }
        }
    }

    /// Submits a run of a schedule, the task that `make` makes; returns whether it did. `ended` is
    /// called when the task has settled. The timer calls this, too, so it waits for no place in a
    /// full queue, and takes none: the schedule limits how many runs there are.
    pub(crate) fn submit_run(
        self: &Arc<Self>,
        site: Site,
        spec: &Spec,
        make: &dyn Fn(Head) -> TaskRef,
        ended: Callback,
    ) -> bool {
        self.lifecycle.task_added();
        if !self.is_open_here() {
            self.withdraw();
            return false;
        }
        let head = Head::detached(self.owner(), site).with(self.extras(spec, None));
        let task = make(head);
        if let Some(token) = &spec.token {
            task.obey(token.child());
        }
        if let Err((ended, summary)) = task.on_finish(ended) {
            // Its token was cancelled just now. A worker reports that, since the report may start
            // another run.
            self.lifecycle.task_added();
            self.push_cleanup(Box::new(move || ended(&summary)));
        }
        self.dispatch(task);
        true
    }

    /// Puts a task into the mailbox of each worker.
    pub(crate) fn broadcast(
        self: &Arc<Self>,
        site: Site,
        make: &mut dyn FnMut(Head) -> TaskRef,
    ) -> Result<Vec<TaskRef>, Rejection> {
        self.check_thread();
        if self.is_foreign() {
            return Err(Rejection::Forked);
        }
        let workers = self.workers.lock();
        let tasks = workers.workers().count();
        (0..tasks).for_each(|_| self.lifecycle.task_added());
        if !self.is_open_here() {
            // The last one may start a thread, which takes the lock.
            drop(workers);
            (0..tasks).for_each(|_| self.withdraw());
            return Err(Rejection::Closed);
        }
        let mut dead = Vec::new();
        let mut post = |worker: &Arc<WorkerState>| {
            let mut extras = Extras::new(None, None);
            extras.pinned = u32::try_from(worker.stack.index).ok();
            let task = make(Head::new(self.owner(), site).with(Some(extras)));
            dead.extend(worker.mail.post(task.clone()));
            task
        };
        let posted = workers.workers().map(&mut post).collect();
        drop(workers);
        if !dead.is_empty() {
            self.count_swept(dead.into_iter().map(|task| (task, None)));
        }
        Ok(posted)
    }
}
