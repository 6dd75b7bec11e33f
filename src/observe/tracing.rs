//! A span for each attempt, and events for what becomes of tasks, through the crate `tracing`.
//!
//! Layer: observe.

use crate::observe::observer::is_late;
use crate::observe::{Event, Observer};
use crate::panic;
use crate::task::{OutcomeKind, Summary, TaskId, TaskLabel};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::mem;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tracing::{Level, Span, enabled, event, span};

/// An observer that makes a span for each attempt of a task, below the span in which the task was
/// submitted, and an event for its outcome. The body runs in the span.
///
/// The target is `millhand`. The span has the name `task`, the level INFO and the fields `id`,
/// `name`, `site` and `attempt`. These are the events, each in the span of the last attempt, or of
/// the submitter if there was none:
///
/// | level | event | fields beside `id` and `name` |
/// | --- | --- | --- |
/// | DEBUG | succeeded | `attempts`, `waited_seconds`, `ran_seconds` |
/// | INFO | cancelled | the same, and `error`: the reason |
/// | WARN | expired, timed out, rejected | the same |
/// | ERROR | failed, panicked | the same: the text or the message |
/// | WARN | retrying | `attempt`, `delay_seconds`, `error` |
/// | WARN | slow | `worker`, `running_seconds` |
/// | WARN | stalled; it is of no task and in no span | `head`, `queued`, `waited_seconds` |
///
/// The span of the submitter stays open until its tasks have settled. Do not put a
/// [`Buffered`](crate::observe::Buffered) between: the spans are taken and entered on the threads
/// where things happen. Where no subscriber wants the target `millhand`, nothing is kept and no
/// field is made. What the subscriber itself submits to the pool has no span. If the subscriber
/// panics, the observer drops all spans and does nothing from then on, whatever pools it is for.
///
/// ```
/// use millhand::ThreadPool;
/// use millhand::observe::Tracing;
///
/// let pool = ThreadPool::builder().workers(1).observer(Tracing::new()).build()?;
/// let request = tracing::info_span!("request", user = "ann");
/// let handle = request.in_scope(|| pool.task().name("resize").submit(|| {
///     tracing::info!("in the span of the attempt, below that of the request");
/// }));
/// handle.join().unwrap();
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
///
/// Guide: [observability](crate::guide::observability).
pub struct Tracing {
    shards: [Mutex<HashMap<TaskId, Spans>>; SHARDS],
    /// How many tasks the shards have.
    tasks: AtomicUsize,
    /// Whether the subscriber has panicked. Set before the shards are emptied, and read with the
    /// shard locked that gets an entry: so nothing is left in one.
    is_over: AtomicBool,
}

/// Submitters and workers seldom meet at one.
const SHARDS: usize = 16;

/// The spans of a live task. A subscriber is the user's code, and is called when a `Span` is cloned
/// or dropped: hence the `Arc`s, which are cloned with a shard locked.
#[derive(Clone)]
struct Spans {
    submitter: Arc<Span>,
    attempt: Option<Arc<Span>>,
}

impl Spans {
    fn innermost(&self) -> &Span {
        self.attempt.as_ref().unwrap_or(&self.submitter)
    }
}

impl Tracing {
    /// Makes the observer, for one pool or, in an `Arc`, for several.
    ///
    /// ```
    /// use millhand::observe::Tracing;
    ///
    /// let pool = millhand::ThreadPool::builder().observer(Tracing::new()).build()?;
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn new() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            tasks: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
        }
    }

    fn shard(&self, id: TaskId) -> &Mutex<HashMap<TaskId, Spans>> {
        &self.shards[id.number() as usize % SHARDS]
    }

    fn get(&self, id: TaskId) -> Option<Spans> {
        // The events of a task come one after the other, so this sees what they have added.
        if self.tasks.load(Ordering::Relaxed) == 0 {
            return None;
        }
        self.shard(id).lock().get(&id).cloned()
    }

    fn remove(&self, id: TaskId) -> Option<Spans> {
        if self.tasks.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let spans = self.shard(id).lock().remove(&id);
        if spans.is_some() {
            self.tasks.fetch_sub(1, Ordering::Relaxed);
        }
        spans
    }

    fn submitted(&self, task: &TaskLabel) {
        // The subscriber has submitted it, so it may have had its last event.
        if is_late() || !enabled!(target: "millhand", Level::ERROR) {
            return;
        }
        let submitter = Arc::new(Span::current());
        let attempt = None;
        let spans = Spans { submitter, attempt };
        self.tasks.fetch_add(1, Ordering::Relaxed);
        let mut shard = self.shard(task.id).lock();
        let refused = if self.is_over.load(Ordering::Relaxed) {
            self.tasks.fetch_sub(1, Ordering::Relaxed);
            Some(spans)
        } else {
            shard.insert(task.id, spans)
        };
        // The subscriber is called for its drop: with no lock held.
        drop(shard);
        drop(refused);
    }

    /// Calls what calls the subscriber. If that panics, no pool calls the observer again that was
    /// in it, so the spans of live tasks would stay: they go at once.
    fn guard(&self, f: impl FnOnce()) {
        if self.is_over.load(Ordering::Relaxed) {
            return;
        }
        if let Err(payload) = panic::catch(f) {
            self.is_over.store(true, Ordering::Relaxed);
            for shard in &self.shards {
                let tasks = mem::take(&mut *shard.lock());
                self.tasks.fetch_sub(tasks.len(), Ordering::Relaxed);
                // Each by itself: the subscriber may panic again.
                tasks.into_values().for_each(panic::discard);
            }
            resume_unwind(payload);
        }
    }

    /// Another attempt begins, or one has ended that another one is to follow. A task whose time
    /// ends just when it begins may have had its last event: nothing may be kept for it again.
    fn set_attempt(&self, id: TaskId, attempt: Option<Span>) {
        let mut attempt = attempt.map(Arc::new);
        let mut shard = self.shard(id).lock();
        if let Some(spans) = shard.get_mut(&id) {
            mem::swap(&mut spans.attempt, &mut attempt);
        }
        // The span of the attempt before is dropped with no lock held.
        drop(shard);
    }

    fn started(&self, task: &TaskLabel, attempt: u32) {
        let Some(spans) = self.get(task.id) else {
            return;
        };
        let span = span!(
            target: "millhand",
            parent: spans.submitter.id(),
            Level::INFO,
            "task",
            id = task.id.number(),
            name = task.name.as_deref(),
            site = %task.site,
            attempt,
        );
        if !span.is_disabled() {
            self.set_attempt(task.id, Some(span));
        }
    }
}

/// An event about a task, in its innermost span. Its arguments are evaluated only if a subscriber
/// wants it.
macro_rules! event_of {
    ($level:ident, $spans:expr, $task:expr, $($rest:tt)*) => {
        event!(
            target: "millhand",
            parent: $spans.as_ref().and_then(|spans| spans.innermost().id()),
            Level::$level,
            id = $task.id.number(),
            name = $task.name.as_deref(),
            $($rest)*
        )
    };
}

/// The last event of a task.
fn ended(summary: &Summary, spans: Option<Spans>) {
    macro_rules! end {
        ($level:ident, $what:literal) => {
            event_of!(
                $level,
                spans,
                summary,
                attempts = summary.attempts,
                waited_seconds = summary.waited.map(|d| d.as_secs_f64()),
                ran_seconds = summary.ran.map(|d| d.as_secs_f64()),
                error = summary.error.as_deref(),
                $what
            )
        };
    }
    match summary.outcome {
        OutcomeKind::Succeeded => end!(DEBUG, "succeeded"),
        OutcomeKind::Failed => end!(ERROR, "failed"),
        OutcomeKind::Panicked => end!(ERROR, "panicked"),
        OutcomeKind::Cancelled => end!(INFO, "cancelled"),
        OutcomeKind::Expired => end!(WARN, "expired"),
        OutcomeKind::TimedOut => end!(WARN, "timed out"),
        OutcomeKind::Rejected => end!(WARN, "rejected"),
    }
}

impl Tracing {
    fn report(&self, event: &Event) {
        match event {
            Event::Submitted { task } => self.submitted(task),
            Event::Started { task, attempt, .. } => self.started(task, *attempt),
            Event::Retrying {
                task,
                attempt,
                delay,
                error,
            } => {
                let spans = self.get(task.id);
                let delay_seconds = delay.as_secs_f64();
                event_of!(
                    WARN,
                    spans,
                    task,
                    attempt,
                    delay_seconds,
                    error = &**error,
                    "retrying"
                );
                if spans.is_some() {
                    self.set_attempt(task.id, None);
                }
            }
            Event::Slow {
                task,
                worker,
                running,
            } => {
                let spans = self.get(task.id);
                let running_seconds = running.at_least.as_secs_f64();
                event_of!(WARN, spans, task, worker, running_seconds, "slow");
            }
            Event::Stalled {
                head,
                queued,
                waited,
            } => event!(
                target: "millhand",
                parent: None,
                Level::WARN,
                head = head.as_ref().map(|head| head.to_string()),
                queued,
                waited_seconds = waited.at_least.as_secs_f64(),
                "stalled"
            ),
            event => {
                if let Some(summary) = event.summary() {
                    ended(summary, self.remove(summary.id));
                }
            }
        }
    }
}

impl Observer for Tracing {
    fn on_event(&self, event: &Event) {
        self.guard(|| self.report(event));
    }

    fn around(&self, task: &TaskLabel, attempt: &mut dyn FnMut()) {
        let mut has_run = false;
        self.guard(|| {
            has_run = true;
            match self.get(task.id).and_then(|spans| spans.attempt) {
                Some(span) => span.in_scope(&mut *attempt),
                None => attempt(),
            }
        });
        if !has_run {
            attempt();
        }
    }
}

impl Default for Tracing {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Tracing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tasks = self.tasks.load(Ordering::Relaxed);
        f.debug_struct("Tracing")
            .field("tasks", &tasks)
            .finish_non_exhaustive()
    }
}
