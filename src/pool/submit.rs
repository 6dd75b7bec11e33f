//! The way into a pool: admission, and the run queue.
//!
//! The verbs in `verbs` put the user's closure into a task. From there on nothing is generic.

use crate::cancel::CancelToken;
use crate::context_var;
use crate::error::{JoinError, Rejection, TaskError};
use crate::id::TaskId;
use crate::limit::{QueuePlace, WhenFull};
use crate::panic;
use crate::pool::core::{Core, Spec};
use crate::pool::lifecycle::Phase;
use crate::pool::queue::QueueEntry;
use crate::task::body::Body;
use crate::task::current::{self, Place};
use crate::task::options::{Extras, Progress};
use crate::task::pool::Level;
use crate::task::{Head, Site, Summary, Task, TaskHandle, TaskRef, unread};
use std::sync::Arc;

impl Core {
    /// Takes a place in a bounded queue, and counts a task as submitted. Returns the extras that
    /// the task needs. A task that is refused is counted, too.
    #[inline(never)]
    pub(crate) fn admit(
        self: &Arc<Self>,
        spec: &Spec,
        when_full: WhenFull,
    ) -> Result<Option<Box<Extras>>, Rejection> {
        self.admit_inline(spec, when_full)
    }

    #[inline(always)]
    fn admit_inline(
        self: &Arc<Self>,
        spec: &Spec,
        when_full: WhenFull,
    ) -> Result<Option<Box<Extras>>, Rejection> {
        if self.is_special || !spec.is_plain() || context_var::is_in_use() {
            return self.admit_with_all(spec, when_full, false);
        }
        self.lifecycle.task_added();
        if self.lifecycle.phase() == Phase::Open && !self.queue.would_wake() {
            return Ok(None);
        }
        self.is_taken_or_counted()?;
        Ok(None)
    }

    #[inline(never)]
    fn is_taken_or_counted(&self) -> Result<(), Rejection> {
        self.is_taken(false).inspect_err(|_| self.count_rejected())
    }

    /// The same for a closure that the caller gets back if it is refused. Then it is not counted.
    #[inline(never)]
    pub(crate) fn try_admit(
        self: &Arc<Self>,
        spec: &Spec,
        when_full: WhenFull,
    ) -> Result<Option<Box<Extras>>, Rejection> {
        self.admit_with_all(spec, when_full, true)
    }

    /// Whether the pool takes a task. Called after something is counted or held for it, so that
    /// either this finds the pool closed, or the shutdown finds the pool not idle.
    ///
    /// The check for a forked child is a system call, which takes half as long as a plain task. So
    /// a task that needs no more than a push is checked only if the push would wake a worker, which
    /// takes longer: in a child of a pool that was at rest, that is each one.
    fn is_taken(&self, asks: bool) -> Result<(), Rejection> {
        match () {
            () if (asks || self.queue.would_wake()) && self.is_foreign() => Err(Rejection::Forked),
            () if self.is_open_here() => Ok(()),
            () => Err(Rejection::Closed),
        }
    }

    #[inline(never)]
    fn admit_with_all(
        self: &Arc<Self>,
        spec: &Spec,
        when_full: WhenFull,
        gives_back: bool,
    ) -> Result<Option<Box<Extras>>, Rejection> {
        self.check_thread();
        let place = self.check_and_place(spec, when_full);
        if place.is_err() && !gives_back {
            self.count_refused();
        }
        let place = place?;
        let asks = spec
            .options
            .as_ref()
            .is_some_and(|options| options.waits_apart());
        // Statistics never show a task that is counted and then is none.
        match gives_back {
            true => self.lifecycle.hold(),
            false => self.lifecycle.task_added(),
        }
        let taken = self.is_taken(asks);
        match (gives_back, taken.is_ok()) {
            (true, true) => {
                self.lifecycle.task_added();
                self.lifecycle.release();
            }
            (true, false) => self.release(),
            (false, true) => {}
            (false, false) => self.count_rejected(),
        }
        taken?;
        Ok(self.extras(spec, place))
    }

    /// Takes a place in a bounded queue, if the options are valid.
    fn check_and_place(
        &self,
        spec: &Spec,
        when_full: WhenFull,
    ) -> Result<Option<QueuePlace>, Rejection> {
        if let Some(options) = &spec.options {
            options.check(self.clock())?;
        }
        match &self.capacity {
            Some(capacity) if !self.is_inside() => capacity.take(when_full).map(Some),
            _ => Ok(None),
        }
    }

    /// Ends what the pool did for itself, after [`Lifecycle::hold`].
    pub(crate) fn release(&self) {
        self.lifecycle.release();
        self.notify_if_idle();
    }

    /// Whether what this thread submits comes from within the pool: from a body, or a service.
    fn is_inside(&self) -> bool {
        self.is_here() || self.is_service_here()
    }

    /// Whether the pool takes a task from this thread. Called after the task is counted.
    pub(crate) fn is_open_here(&self) -> bool {
        match self.lifecycle.phase() {
            Phase::Open => true,
            Phase::Draining => self.is_inside(),
            Phase::Finishing | Phase::Cancelling | Phase::Over => false,
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
            None if !self.is_special => self.enqueue(task),
            extras => self.send_with(spec, task, extras),
        }
    }

    #[inline(never)]
    fn send_with(self: &Arc<Self>, spec: &Spec, task: TaskRef, extras: Option<Box<Extras>>) {
        self.equip(spec, &task, extras, spec.child_token());
        self.dispatch(task);
    }

    /// Gives a task what it needs beside its body, before another thread can reach it. Its token is
    /// a child of the template's: to cancel this task alone does not cancel its siblings.
    pub(crate) fn equip(
        self: &Arc<Self>,
        spec: &Spec,
        task: &TaskRef,
        extras: Option<Box<Extras>>,
        token: Option<CancelToken>,
    ) {
        if let Some(mut extras) = extras {
            extras.add_hook(spec.on_finish.as_ref());
            task.head.set_extras(extras);
        }
        // Before another thread can find the task, or its token cancels it at once.
        self.emit_submitted(task);
        if self.options.track_queue || !spec.is_plain() {
            self.live.add(task);
        }
        if let Some(token) = token {
            task.obey(token);
        }
    }

    pub(super) fn dispatch(self: &Arc<Self>, task: TaskRef) {
        if task.head.is_planned() {
            let parent = current::body_here(self.owner());
            return task.schedule(&**self, parent);
        }
        self.enqueue(task);
    }

    #[inline]
    pub(super) fn extras(
        self: &Arc<Self>,
        spec: &Spec,
        place: Option<QueuePlace>,
    ) -> Option<Box<Extras>> {
        let is_tracked = self.options.track_queue;
        let is_needed = place.is_some() || is_tracked || context_var::is_set_here();
        if !is_needed && spec.is_plain() {
            return None;
        }
        let mut extras = Extras::new(spec.name.clone(), place);
        let is_timed = is_tracked || spec.is_timed();
        if let Some(options) = &spec.options {
            let start = options.start(&**self, is_timed);
            let level = current::level_here(self.owner());
            extras.due = start.due;
            extras.progress = Some(Progress::new(options, self.clone(), start, level));
        } else if is_timed {
            extras.due = Some(self.clock().now());
        }
        Some(extras)
    }

    /// Submits a task that has no options and no extras yet. If the pool does not take it, it
    /// settles as rejected.
    pub(crate) fn submit(self: &Arc<Self>, spec: &Spec, task: TaskRef) -> TaskRef {
        match self.admit_inline(spec, WhenFull::Wait(None)) {
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
                self.equip(spec, &task, extras, spec.child_token());
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
        if spec.name.is_some() || spec.on_finish.is_some() {
            let mut extras = Extras::new(spec.name.clone(), None);
            extras.add_hook(spec.on_finish.as_ref());
            task.head.set_extras(extras);
        }
        self.emit_refused(&task.head.label(), &reason);
        task.refuse(TaskError::Rejected(reason));
    }

    /// Reports that the pool does not take a task for which there is no handle.
    #[cold]
    pub(crate) fn refuse_detached(&self, spec: &Spec, site: Site, reason: Rejection) {
        let who = spec.label(TaskId::next, site);
        let summary = self.emit_refused(&who, &reason);
        if let Some(hook) = &spec.on_finish {
            let summary = summary.unwrap_or_else(|| Summary::refused(&who, &reason));
            panic::shield("an on_finish callback", || hook(&summary));
        }
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
        self.count_rejected();
    }

    #[cold]
    fn count_rejected(&self) {
        if self.is_foreign() {
            return;
        }
        self.counts.rejected.add();
        self.lifecycle.tasks_finished(1);
        self.notify_if_idle();
    }
}
