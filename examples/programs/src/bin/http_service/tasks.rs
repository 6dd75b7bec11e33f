//! The tasks of `POST /api/data`: those that are live, and the last ones that have ended.

use crate::work::{Answer, Data};
use jiff::Timestamp;
use millhand::error::{BoxError, Rejection};
use millhand::pool::Fallible;
use millhand::task::{CancelOutcome, OutcomeKind, Promise, Summary, TaskId, TaskState};
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
    tasks: HashMap<TaskId, Task>,
    /// Those that have ended, the oldest first.
    ended: VecDeque<TaskId>,
}

struct Task {
    submitted_at: Timestamp,
    /// Until the task has ended.
    live: Option<Live>,
    /// Settles when `live` is gone.
    end: SharedHandle<TaskView>,
}

struct Live {
    handle: TaskHandle<Result<Answer, BoxError>>,
    promise: Promise<TaskView>,
}

/// A task that was submitted.
pub(crate) struct Submitted {
    pub(crate) id: TaskId,
    submitted_at: Timestamp,
    /// Settles when the task has ended.
    pub(crate) end: SharedHandle<TaskView>,
}

/// A task as JSON.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct TaskView {
    pub(crate) id: String,
    pub(crate) state: &'static str,
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
        // The callback has the times, and the outcome is settled when it is called. So what a
        // request waits for is not the handle, which settles before, but a promise.
        let template = pool.task().name("data").on_finish(move |summary| {
            let taken = lock(&ends).take(summary.id);
            if let Some((Live { handle, promise }, submitted_at)) = taken {
                let view = TaskView::ended(summary, handle, submitted_at);
                on_end(&view);
                // The handle of the promise is never cancelled.
                let _ = promise.complete(view);
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
    pub(crate) fn submit(&self, data: Data) -> Result<Submitted, Rejection> {
        let submitted_at = Timestamp::now();
        let (promise, end) = self.pool.promise();
        let end = end.share();
        // Locked until the task is known, so that its end finds it.
        let mut known = lock(&self.known);
        let handle = self.template.try_submit(move || data.run());
        let handle = handle.map_err(|refused| {
            self.refused.fetch_add(1, Ordering::Relaxed);
            refused.reason()
        })?;
        let id = handle.id();
        let task = Task {
            submitted_at,
            live: Some(Live { handle, promise }),
            end: end.clone(),
        };
        known.tasks.insert(id, task);
        Ok(Submitted {
            id,
            submitted_at,
            end,
        })
    }

    /// Returns what is known of a task. `None` if it is unknown, or has been forgotten.
    pub(crate) fn find(&self, id: TaskId) -> Option<TaskView> {
        let known = lock(&self.known);
        let task = known.tasks.get(&id)?;
        Some(match task.end.try_join() {
            Some(Ok(view)) => view.clone(),
            _ => {
                let state = task.live.as_ref().map(|live| live.handle.state());
                let state = match state {
                    Some(TaskState::Queued) => "queued",
                    _ => "running", // or its callback is about to settle `end`
                };
                TaskView::live(id, state, task.submitted_at)
            }
        })
    }

    /// Returns what is known of a task that was just submitted.
    pub(crate) fn now(&self, task: &Submitted) -> TaskView {
        let forgotten = || TaskView::live(task.id, "queued", task.submitted_at);
        self.find(task.id).unwrap_or_else(forgotten)
    }

    /// Cancels a task. `None` if it is unknown, or has been forgotten.
    pub(crate) fn cancel(&self, id: TaskId) -> Option<CancelOutcome> {
        if !lock(&self.known).tasks.contains_key(&id) {
            return None;
        }
        // Without the lock: the cancel of a queued task runs the callback here.
        let live = self.pool.cancel(id);
        Some(live.unwrap_or(CancelOutcome::AlreadyFinished))
    }

    /// How many submissions were refused.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// How many tasks are known.
    pub(crate) fn len(&self) -> usize {
        lock(&self.known).tasks.len()
    }
}

impl Known {
    /// Takes a task that has ended, and forgets the oldest one if there are too many.
    fn take(&mut self, id: TaskId) -> Option<(Live, Timestamp)> {
        let task = self.tasks.get_mut(&id)?;
        let taken = (task.live.take()?, task.submitted_at);
        self.ended.push_back(id);
        if self.ended.len() > MOST_ENDED {
            let oldest = self.ended.pop_front()?;
            self.tasks.remove(&oldest);
        }
        Some(taken)
    }
}

impl TaskView {
    fn live(id: TaskId, state: &'static str, submitted_at: Timestamp) -> Self {
        Self {
            id: id.to_string(),
            state,
            result: None,
            error: None,
            submitted_at,
            waited_ms: None,
            ran_ms: None,
        }
    }

    fn ended(
        summary: &Summary,
        handle: TaskHandle<Result<Answer, BoxError>>,
        submitted_at: Timestamp,
    ) -> Self {
        let result = match handle.try_join() {
            Ok(Ok(Ok(answer))) => Some(answer),
            _ => None,
        };
        Self {
            id: summary.id.to_string(),
            state: name(summary.outcome),
            result,
            error: summary.error.as_deref().map(str::to_owned),
            submitted_at,
            waited_ms: summary.waited.map(milliseconds),
            ran_ms: summary.ran.map(milliseconds),
        }
    }
}

fn text<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(at)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1000.0
}

fn name(outcome: OutcomeKind) -> &'static str {
    match outcome {
        OutcomeKind::Completed => "completed",
        OutcomeKind::Failed => "failed",
        OutcomeKind::Panicked => "panicked",
        OutcomeKind::Cancelled => "cancelled",
        _ => "rejected", // a pool without time limits has no other
    }
}
