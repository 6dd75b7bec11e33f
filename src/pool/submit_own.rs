//! Submissions of the library's own: members of a group, runs of a schedule, and a task for each
//! worker.

use crate::cancel::CancelToken;
use crate::error::{Rejection, TaskError};
use crate::limit::WhenFull;
use crate::pool::core::{Core, PLAIN, Spec};
use crate::pool::worker_state::WorkerState;
use crate::reason::CancelReason;
use crate::task::options::{Callback, Extras};
use crate::task::watch::Member;
use crate::task::{Head, Site, TaskRef};
use std::sync::Arc;

impl Core {
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
        match refusal {
            None => {
                self.equip(spec, task, Some(extras), token);
                if let Some(reason) = cancelled {
                    task.cancel(reason);
                }
                self.dispatch(task.clone());
            }
            Some(reason) => {
                extras.add_hook(spec.on_finish.as_ref());
                task.head.set_extras(extras);
                self.emit_refused(&task.head.label(), &reason);
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
        self.lifecycle.hold();
        if !self.is_open_here() {
            self.release();
            return false;
        }
        self.lifecycle.task_added();
        self.lifecycle.release();
        let task = make(Head::detached(self.owner(), site));
        let token = spec.child_token();
        self.equip(spec, &task, self.extras(spec, None), token);
        if let Err((ended, summary)) = task.on_finish(ended) {
            // Its token was cancelled just now. A worker reports that, since the report may start
            // another run.
            self.lifecycle.hold();
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
        self.lifecycle.hold();
        if !self.is_open_here() {
            self.release();
            return Err(Rejection::Closed);
        }
        // No worker exits meanwhile.
        let to = self.workers.lock().keep_all();
        let is_tracked = self.options.track_queue;
        let mut new_task = |worker: &Arc<WorkerState>| {
            self.lifecycle.task_added();
            let mut extras = Extras::new(None, None);
            extras.pinned = u32::try_from(worker.stack.index).ok();
            extras.due = is_tracked.then(|| self.clock().now());
            let task = make(Head::new(self.owner(), site));
            self.equip(&PLAIN, &task, Some(extras), None);
            task
        };
        let tasks: Vec<_> = to.iter().map(&mut new_task).collect();
        let posts = to.iter().zip(&tasks);
        let dead = posts.flat_map(|(worker, task)| worker.mail.post(task.clone()));
        let dead: Vec<_> = dead.collect();
        self.workers.lock().keep_no_more();
        self.release();
        if !dead.is_empty() {
            self.count_swept(dead.into_iter().map(|task| (task, None)));
        }
        Ok(tasks)
    }
}
