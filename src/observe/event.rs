//! What happens in a pool, as plain data.
//!
//! Layer: observe.

use crate::observe::Age;
use crate::task::{OutcomeKind, Summary, TaskLabel};
use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One step in the life of a task, a worker or a schedule. An
/// [`Observer`](crate::observe::Observer) gets them.
///
/// Guide: [observability](crate::guide::observability).
///
/// # The order
///
/// The events of one task come one after the other, each before the next step begins:
///
/// ```text
/// Submitted
///   Scheduled                     if it has a delay
///   Gated                         each time that it finds a gate closed
///   Started                       before each attempt
///   Retrying                      after an attempt that another one is to follow; then Started again
/// Succeeded, Failed, Panicked, Cancelled, Expired or TimedOut: the last one
/// ```
///
/// `Submitted` comes on the thread that submits, before the task can start. A task that the pool
/// does not take has `Rejected` as its only event. A [`Slow`](Self::Slow) may come at any time
/// after `Started`, also just after the last event. Events of different tasks have no order.
///
/// What an observer does itself is the exception: it gets those events once its call has returned,
/// so the `Submitted` of a task that it submits may come after later events of that task.
///
/// The last event comes after the outcome is there: a thread that joins the task may go on before
/// it. The callbacks of the task come after it, unless the task was settled just while another
/// thread reported a step of it.
///
/// ```
/// use millhand::ThreadPool;
/// use millhand::observe::Event;
/// use std::sync::mpsc::channel;
/// use std::sync::Mutex;
///
/// let (send, events) = channel();
/// let send = Mutex::new(send);
/// let pool = ThreadPool::builder()
///     .workers(1)
///     .observer(move |event: &Event| send.lock().unwrap().send(event.clone()).unwrap())
///     .build()?;
/// pool.task().name("parse").fallible().submit(|| "x".parse::<u32>()).join_ok().unwrap_err();
/// drop(pool);
/// let names: Vec<_> = events.iter().filter(|event| event.task().is_some()).map(|event| event.name()).collect();
/// assert_eq!(names, ["submitted", "started", "failed"]);
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The pool has taken a task.
    #[non_exhaustive]
    Submitted {
        /// The task.
        task: TaskLabel,
    },
    /// A task is not due yet.
    #[non_exhaustive]
    Scheduled {
        /// The task.
        task: TaskLabel,
        /// When it joins the queue, by the pool's clock.
        due: Instant,
    },
    /// A task has found a gate closed, and is in its line. It goes on from there once this is
    /// reported.
    #[non_exhaustive]
    Gated {
        /// The task.
        task: TaskLabel,
    },
    /// An attempt is about to run, on the thread that gets this event.
    #[non_exhaustive]
    Started {
        /// The task.
        task: TaskLabel,
        /// The number of the attempt, from 1.
        attempt: u32,
        /// The index of the worker.
        worker: usize,
        /// How long the task has waited for its first attempt, if it is timed.
        waited: Option<Duration>,
    },
    /// An attempt has failed, and another one is to follow, unless the task is asked to stop.
    #[non_exhaustive]
    Retrying {
        /// The task.
        task: TaskLabel,
        /// The number of the attempt that has failed.
        attempt: u32,
        /// How long the next one waits.
        delay: Duration,
        /// Why it failed: the text of its error or the message of its panic, or that it was late.
        error: Arc<str>,
    },
    /// A body has returned, and a fallible one `Ok`.
    Succeeded(Summary),
    /// A fallible body has returned `Err`, and there is no further attempt.
    Failed(Summary),
    /// A body has panicked, and there is no further attempt.
    Panicked(Summary),
    /// A task was cancelled before it ran, or its body has left for that.
    Cancelled(Summary),
    /// A task did not start in time.
    Expired(Summary),
    /// A task ran out of time. Its body may still run.
    TimedOut(Summary),
    /// The pool did not take a task. One whose closure it gave back has no event.
    Rejected(Summary),
    /// A task has run for longer than [`slow_task`](crate::pool::PoolBuilder::slow_task) allows.
    #[non_exhaustive]
    Slow {
        /// The task. One that `execute` submitted without options has no id until its body asks
        /// for it; then the id is a number of this event alone.
        task: TaskLabel,
        /// The index of its worker.
        worker: usize,
        /// For how long it has run.
        running: Age,
    },
    /// The head of the queue has waited for longer than
    /// [`stalled`](crate::pool::PoolBuilder::stalled) allows.
    #[non_exhaustive]
    Stalled {
        /// The oldest queued task of those that [`tasks`](crate::Pool::tasks) lists, if there is
        /// one. A plain task is not listed, so it may be the head all the same.
        head: Option<TaskLabel>,
        /// How many tasks are queued.
        queued: usize,
        /// For how long the first of them has waited.
        waited: Age,
    },
    /// A thread of the pool has started, spares included. It comes on that thread.
    #[non_exhaustive]
    WorkerStarted {
        /// The index of the worker.
        worker: usize,
    },
    /// A thread of the pool is about to end. It comes on that thread.
    #[non_exhaustive]
    WorkerStopped {
        /// The index of the worker.
        worker: usize,
    },
    /// A schedule has left out runs, since another one was still running.
    #[non_exhaustive]
    ScheduleSkipped {
        /// The name of its tasks, if they have one.
        name: Option<Arc<str>>,
        /// Where the schedule was made.
        site: &'static Location<'static>,
        /// How many runs.
        runs: u64,
    },
    /// A schedule has left out runs whose time had passed: the machine slept, or the clock was set.
    #[non_exhaustive]
    ScheduleMissed {
        /// The name of its tasks, if they have one.
        name: Option<Arc<str>>,
        /// Where the schedule was made.
        site: &'static Location<'static>,
        /// How many runs.
        runs: u64,
    },
}

impl Event {
    /// Returns the task that the event is about, if it is about one.
    ///
    /// ```
    /// use millhand::observe::Event;
    ///
    /// fn is_of(event: &Event, name: &str) -> bool {
    ///     event.task().is_some_and(|task| task.name.as_deref() == Some(name))
    /// }
    /// ```
    pub fn task(&self) -> Option<TaskLabel> {
        match self {
            Self::Submitted { task }
            | Self::Scheduled { task, .. }
            | Self::Gated { task }
            | Self::Started { task, .. }
            | Self::Retrying { task, .. }
            | Self::Slow { task, .. } => Some(task.clone()),
            _ => self.summary().map(Summary::label),
        }
    }

    /// Returns how the task ended, if this is its last event.
    ///
    /// ```
    /// use millhand::observe::Event;
    /// use std::time::Duration;
    ///
    /// fn took_long(event: &Event) -> bool {
    ///     let ran = event.summary().and_then(|summary| summary.ran);
    ///     ran.is_some_and(|ran| ran > Duration::from_secs(1))
    /// }
    /// ```
    pub fn summary(&self) -> Option<&Summary> {
        match self {
            Self::Succeeded(summary)
            | Self::Failed(summary)
            | Self::Panicked(summary)
            | Self::Cancelled(summary)
            | Self::Expired(summary)
            | Self::TimedOut(summary)
            | Self::Rejected(summary) => Some(summary),
            _ => None,
        }
    }

    /// Returns the name of the event in lower case, as exporters want it: `submitted`,
    /// `timed_out`, `worker_started`.
    ///
    /// ```
    /// use millhand::observe::Event;
    ///
    /// fn count(event: &Event, counts: &mut std::collections::HashMap<&'static str, u64>) {
    ///     *counts.entry(event.name()).or_default() += 1;
    /// }
    /// ```
    pub fn name(&self) -> &'static str {
        match self {
            Self::Submitted { .. } => "submitted",
            Self::Scheduled { .. } => "scheduled",
            Self::Gated { .. } => "gated",
            Self::Started { .. } => "started",
            Self::Retrying { .. } => "retrying",
            Self::Succeeded(_) => "succeeded",
            Self::Failed(_) => "failed",
            Self::Panicked(_) => "panicked",
            Self::Cancelled(_) => "cancelled",
            Self::Expired(_) => "expired",
            Self::TimedOut(_) => "timed_out",
            Self::Rejected(_) => "rejected",
            Self::Slow { .. } => "slow",
            Self::Stalled { .. } => "stalled",
            Self::WorkerStarted { .. } => "worker_started",
            Self::WorkerStopped { .. } => "worker_stopped",
            Self::ScheduleSkipped { .. } => "schedule_skipped",
            Self::ScheduleMissed { .. } => "schedule_missed",
        }
    }

    /// The last event of a task.
    pub(crate) fn of_end(summary: Summary) -> Self {
        match summary.outcome {
            OutcomeKind::Succeeded => Self::Succeeded(summary),
            OutcomeKind::Failed => Self::Failed(summary),
            OutcomeKind::Panicked => Self::Panicked(summary),
            OutcomeKind::Cancelled => Self::Cancelled(summary),
            OutcomeKind::Expired => Self::Expired(summary),
            OutcomeKind::TimedOut => Self::TimedOut(summary),
            OutcomeKind::Rejected => Self::Rejected(summary),
        }
    }
}
