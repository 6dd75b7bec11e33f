//! The tasks of `POST /api/data`: those that are live, and the last ones that have ended.

use crate::work::{Answer, Data};
use jiff::Timestamp;
use millhand::error::{BoxError, Rejection};
use millhand::pool::Fallible;
use millhand::task::{CancelOutcome, Promise, Summary, TaskId, TaskState};
use millhand::{PoolHandle, SharedHandle, TaskBuilder, TaskHandle, ThreadPool};
use millhand_programs::lock;
use serde::{Serialize, Serializer};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How many tasks that have ended are kept.
const MOST_ENDED: usize = 1000;

/// Submits tasks, and finds them by their ids.
pub(crate) struct Tasks {
    pool: PoolHandle,
    template: TaskBuilder<Fallible>,
    known: Arc<Mutex<Known>>,
    /// How many the full queue has refused. The pool counts no closure that it gives back.
    refused: AtomicU64,
}

/// The live tasks are bounded by the queue and the workers, the others by `MOST_ENDED`.
#[derive(Default)]
struct Known {
    tasks: HashMap<TaskId, Arc<Task>>,
    /// Those that have ended, the oldest first.
    ended: VecDeque<TaskId>,
}

/// A task that was submitted.
pub(crate) struct Task {
    pub(crate) id: TaskId,
    submitted_at: Timestamp,
    /// Until the task has ended.
    live: Mutex<Option<Live>>,
    /// Settles when the task has ended.
    pub(crate) end: SharedHandle<TaskView>,
}

struct Live {
    handle: TaskHandle<Result<Answer, BoxError>>,
    promise: Promise<TaskView>,
}

/// A task as JSON.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct TaskView {
    id: String,
    state: &'static str,
    result: Option<Answer>,
    error: Option<String>,
    #[serde(serialize_with = "text")]
    submitted_at: Timestamp,
    waited_ms: Option<f64>,
    ran_ms: Option<f64>,
}

impl Tasks {
    /// Tasks of this pool. `on_end` gets each that has ended, on the worker that ran it.
    pub(crate) fn new(
        pool: &ThreadPool,
        on_end: impl Fn(&TaskView) + Send + Sync + 'static,
    ) -> Self {
        let known = Arc::new(Mutex::new(Known::default()));
        let ends = known.clone();
        let template = pool.task().name("data").on_finish(move |summary| {
            let ended = lock(&ends).end(summary.id);
            if let Some(task) = ended {
                task.end(summary, &on_end);
            }
        });
        Self {
            pool: pool.handle(),
            template: template.fallible(),
            known,
            refused: AtomicU64::new(0),
        }
    }

    /// Submits a task. Never waits.
    pub(crate) fn submit(&self, data: Data) -> Result<Arc<Task>, Rejection> {
        let submitted_at = Timestamp::now();
        // Locked until the task is known, so that its end finds it.
        let mut known = lock(&self.known);
        let handle = self.template.try_submit(move || data.run());
        let handle = handle.map_err(|refused| {
            self.refused.fetch_add(1, Ordering::Relaxed);
            refused.reason()
        })?;
        let (promise, end) = self.pool.promise();
        let task = Arc::new(Task {
            id: handle.id(),
            submitted_at,
            live: Mutex::new(Some(Live { handle, promise })),
            end: end.share(),
        });
        known.tasks.insert(task.id, task.clone());
        Ok(task)
    }

    /// Returns a task. `None` if it is unknown, or has been forgotten.
    pub(crate) fn find(&self, id: TaskId) -> Option<Arc<Task>> {
        lock(&self.known).tasks.get(&id).cloned()
    }

    /// Cancels a task. `None` if it is unknown, or has been forgotten.
    pub(crate) fn cancel(&self, id: TaskId) -> Option<CancelOutcome> {
        self.find(id)?;
        // By its id, and not by its handle: the cancel of a queued task runs the callback here,
        // which takes the lock of the handle.
        let live = self.pool.cancel(id);
        Some(live.unwrap_or(CancelOutcome::AlreadyFinished))
    }

    /// How many submissions were refused.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// How many tasks are known.
    pub(crate) fn known(&self) -> usize {
        lock(&self.known).tasks.len()
    }
}

impl Known {
    /// Notes that a task has ended, and forgets the oldest one if there are too many.
    fn end(&mut self, id: TaskId) -> Option<Arc<Task>> {
        self.ended.push_back(id);
        let task = self.tasks.get(&id).cloned();
        if self.ended.len() > MOST_ENDED {
            let oldest = self.ended.pop_front()?;
            self.tasks.remove(&oldest);
        }
        task
    }
}

impl Task {
    /// The callback of the task. It has the times, and the outcome has settled. So what a request
    /// waits for is not the handle, which settles before this, but the promise.
    fn end(&self, summary: &Summary, on_end: &dyn Fn(&TaskView)) {
        let Some(Live { handle, promise }) = lock(&self.live).take() else {
            return; // a task ends once
        };
        let mut view = self.view_as(summary.outcome.name());
        if let Ok(Ok(Ok(answer))) = handle.try_join() {
            view.result = Some(answer);
        }
        view.error = summary.error.as_deref().map(str::to_owned);
        view.waited_ms = summary.waited.map(milliseconds);
        view.ran_ms = summary.ran.map(milliseconds);
        // The handle of the promise is never cancelled.
        let _ = promise.complete(view);
        // After that, so that a client that gets the news finds the task ended.
        if let Some(Ok(view)) = self.end.try_join() {
            on_end(view);
        }
    }

    /// Returns what the task does, or has come to.
    pub(crate) fn view(&self) -> TaskView {
        if let Some(Ok(view)) = self.end.try_join() {
            return view.clone();
        }
        let state = lock(&self.live).as_ref().map(|live| live.handle.state());
        self.view_as(match state {
            Some(TaskState::Queued) => "queued",
            _ => "running", // or its callback is about to settle `end`
        })
    }

    fn view_as(&self, state: &'static str) -> TaskView {
        TaskView {
            id: self.id.to_string(),
            state,
            result: None,
            error: None,
            submitted_at: self.submitted_at,
            waited_ms: None,
            ran_ms: None,
        }
    }
}

fn text<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1000.0
}
