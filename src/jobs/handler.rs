//! What a consumer does with the jobs of one kind.
//!
//! Layer: jobs.

use crate::jobs::context::JobContext;
use crate::jobs::face::{from_json, to_json};
use crate::jobs::job::Job;
use crate::limit::Gate;
use crate::{Retry, TaskBuilder};
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

type BoxError = Box<dyn Error + Send + Sync>;
type Body<J, E> = dyn Fn(J, &JobContext) -> Result<<J as Job>::Output, E> + Send + Sync;
type IsWorth<E> = dyn Fn(&E) -> bool + Send + Sync;
type After<E> = dyn Fn(&E) -> Option<Duration> + Send + Sync;
type Change = Arc<dyn Fn(TaskBuilder) -> TaskBuilder + Send + Sync>;

/// What a consumer does with the jobs of one kind: a function, and what to do if it fails.
///
/// | option | default |
/// | --- | --- |
/// | [`retry`](Self::retry) | 10 retries, after 5 s and then twice as long each time, up to an hour |
/// | [`retry_if`](Self::retry_if) | every error is tried again |
/// | [`retry_after`](Self::retry_after) | as `retry` says |
/// | [`retry_panics`](Self::retry_panics) | true |
/// | [`limit`](Self::limit) | the slots of the queue |
/// | [`keep`](Self::keep) | as the job says |
/// | [`attempt_timeout`](Self::attempt_timeout), [`abandon_after`](Self::abandon_after) | none |
/// | [`gate`](Self::gate), [`task`](Self::task) | none |
///
/// ```
/// # use millhand::jobs::{Job, JobContext};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)] struct Fetch { url: String }
/// # impl Job for Fetch { const NAME: &'static str = "fetch"; type Output = u64; }
/// # fn fetch(url: &str) -> std::io::Result<u64> { Ok(url.len() as u64) }
/// use millhand::jobs::Handler;
/// use millhand::{Retry, Semaphore};
/// use std::io::{self, ErrorKind};
/// use std::time::Duration;
///
/// let lines = Semaphore::new(4)?;
/// let handler = Handler::new(|job: Fetch, _: &JobContext| fetch(&job.url))
///     .retry(Retry::exponential(5, Duration::from_secs(1)))
///     .retry_if(|error: &io::Error| error.kind() != ErrorKind::NotFound)
///     .gate(&lines)
///     .attempt_timeout(Duration::from_secs(60));
/// # let _ = handler;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Guide: [jobs](crate::guide::jobs).
#[must_use]
pub struct Handler<J: Job, E> {
    run: Box<Body<J, E>>,
    retry_if: Option<Box<IsWorth<E>>>,
    retry_after: Option<Box<After<E>>>,
    options: HandlerOptions,
}

#[derive(Clone)]
pub(super) struct HandlerOptions {
    pub(super) retry: Retry,
    pub(super) retry_panics: bool,
    pub(super) limit: Option<usize>,
    pub(super) keep: Option<Duration>,
    pub(super) changes: Vec<Change>,
}

impl<J: Job, E: Into<BoxError> + 'static> Handler<J, E> {
    /// Makes a handler. The function gets the job and what is known of it. Any error type does:
    /// that of a crate, a `String`, a box.
    pub fn new(
        run: impl Fn(J, &JobContext) -> Result<J::Output, E> + Send + Sync + 'static,
    ) -> Self {
        Self {
            run: Box::new(run),
            retry_if: None,
            retry_after: None,
            options: HandlerOptions {
                retry: Retry::exponential(10, Duration::from_secs(5))
                    .max_delay(Duration::from_secs(3600)),
                retry_panics: true,
                limit: None,
                keep: None,
                changes: Vec::new(),
            },
        }
    }

    /// Sets how often a job that fails is tried again, and after which pauses. Then it is dead. The
    /// policy is that of the consumer, and is not stored: a new version of the program changes it
    /// for the jobs that wait, too.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.options.retry = retry;
        self
    }

    /// Sets which errors are worth another attempt. After others the job is dead.
    pub fn retry_if(mut self, is_worth: impl Fn(&E) -> bool + Send + Sync + 'static) -> Self {
        self.retry_if = Some(Box::new(is_worth));
        self
    }

    /// Sets how to read from an error when to try again: the `Retry-After` of a server.
    pub fn retry_after(
        mut self,
        after: impl Fn(&E) -> Option<Duration> + Send + Sync + 'static,
    ) -> Self {
        self.retry_after = Some(Box::new(after));
        self
    }

    /// Sets whether a job that panics is tried again like one that fails.
    pub fn retry_panics(mut self, retries: bool) -> Self {
        self.options.retry_panics = retries;
        self
    }

    /// Runs at most so many jobs of this kind at once in this consumer.
    pub fn limit(mut self, most: usize) -> Self {
        self.options.limit = Some(most);
        self
    }

    /// Keeps the outputs for so long, unless the job says so itself.
    pub fn keep(mut self, period: Duration) -> Self {
        self.options.keep = Some(period);
        self
    }

    /// Passes each job through a gate of the process: a semaphore, a rate limiter.
    pub fn gate<G: Gate + Clone + Send + Sync + 'static>(self, gate: &G) -> Self {
        let gate = gate.clone();
        self.task(move |task| task.gate(&gate))
    }

    /// Asks a job to stop after so long. What it returns then is judged as ever: usually it is an
    /// error, and there is another attempt.
    pub fn attempt_timeout(self, limit: Duration) -> Self {
        self.task(move |task| task.attempt_timeout(limit))
    }

    /// Counts an attempt as failed so long after it began, though the body has not returned, and
    /// gives its slot and its worker to other jobs. For bodies that may hang. The body is asked to
    /// stop. It may still run when the next attempt begins, or the next job of its
    /// [lane](crate::jobs::JobBuilder::lane), and what it returns is dropped.
    pub fn abandon_after(self, limit: Duration) -> Self {
        self.task(move |task| task.total_timeout(limit))
    }

    /// Changes the task that runs a job, by any option that a task has. Its name, priority, token
    /// and `on_finish` are set by the consumer.
    pub fn task(
        mut self,
        change: impl Fn(TaskBuilder) -> TaskBuilder + Send + Sync + 'static,
    ) -> Self {
        self.options.changes.push(Arc::new(change));
        self
    }

    /// Without the types of the job and of the error.
    pub(super) fn erase(self) -> ErasedHandler {
        let Self {
            run,
            retry_if,
            retry_after,
            options,
        } = self;
        let body = move |payload: &[u8], context: &JobContext| {
            let job = from_json(payload).map_err(Failure::not_read)?;
            match run(job, context) {
                Ok(output) => {
                    let output = to_json(J::NAME, &output);
                    output.map_err(|error| Failure::for_good(error.to_string()))
                }
                Err(error) => {
                    let is_worth = retry_if.as_ref().is_none_or(|is_worth| is_worth(&error));
                    let after = retry_after.as_ref().and_then(|after| after(&error));
                    Err(Failure::of(error.into(), is_worth, after))
                }
            }
        };
        ErasedHandler {
            name: J::NAME,
            aliases: J::ALIASES,
            queue: J::QUEUE,
            options,
            run: Box::new(body),
        }
    }
}

type Run = dyn Fn(&[u8], &JobContext) -> Result<Vec<u8>, Failure> + Send + Sync;

/// A handler of any kind.
pub(super) struct ErasedHandler {
    pub(super) name: &'static str,
    pub(super) aliases: &'static [&'static str],
    /// Where its jobs wait, unless they say otherwise.
    pub(super) queue: &'static str,
    pub(super) options: HandlerOptions,
    pub(super) run: Box<Run>,
}

/// Why a job has not succeeded.
pub(super) struct Failure {
    pub(super) text: String,
    pub(super) is_for_good: bool,
    pub(super) after: Option<Duration>,
}

impl Failure {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            is_for_good: false,
            after: None,
        }
    }

    pub(super) fn for_good(text: impl Into<String>) -> Self {
        Self {
            is_for_good: true,
            ..Self::new(text)
        }
    }

    fn not_read(error: String) -> Self {
        Self::for_good(format!("the payload cannot be read: {error}"))
    }

    fn of(error: BoxError, is_worth: bool, after: Option<Duration>) -> Self {
        let mut text = error.to_string();
        let mut next = error.source();
        while let Some(source) = next {
            text = format!("{text}: {source}");
            next = source.source();
        }
        Self {
            text,
            is_for_good: !is_worth,
            after,
        }
    }
}

impl<J: Job, E> fmt::Debug for Handler<J, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handler")
            .field("kind", &J::NAME)
            .field("retry", &self.options.retry)
            .finish_non_exhaustive()
    }
}
