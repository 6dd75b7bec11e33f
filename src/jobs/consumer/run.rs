//! One job, from its claim to its verdict.
//!
//! Layer: jobs.

use crate::CancelToken;
use crate::cancel::CancelReason;
use crate::jobs::consumer::state::Shared;
use crate::jobs::context::JobContext;
use crate::jobs::handler::{ErasedHandler, Failure};
use crate::jobs::names::cut_error;
use crate::jobs::record::{Claimed, Verdict};
use crate::jobs::time::StoredTime;
use crate::pool::ServiceHost;
use crate::task::{OutcomeKind, Summary};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A claimed job on its way through the pool.
struct Run {
    shared: Arc<Shared>,
    handler: Arc<ErasedHandler>,
    context: JobContext,
    payload: Vec<u8>,
    claim: u64,
    at_most_once: bool,
    /// From the first begin to this claim.
    elapsed: Duration,
    has_begun: AtomicBool,
    /// What the body has left.
    end: Mutex<Option<End>>,
}

/// How a body ended that has returned.
struct End {
    result: Result<Vec<u8>, Failure>,
    /// Why it was asked to stop, if it was.
    stopped: Option<CancelReason>,
}

/// Hands a claimed job to the pool.
pub(super) fn begin(
    shared: &Arc<Shared>,
    host: &ServiceHost,
    mut claimed: Claimed,
    now: StoredTime,
) {
    let Some((handler, token)) = shared.claimed(&claimed) else {
        return; // no consumer asks for such a job; the next sign of life gives it back
    };
    let changes = &handler.options.changes;
    let changed = host.catch_panic("an option of the task of a job", || {
        let task = host.pool().task();
        changes.iter().fold(task, |task, change| change(task))
    });
    let Some(task) = changed else {
        let error = "an option of its task panicked: see the log".to_owned();
        shared.ended(claimed.id, claimed.claim, Some(Verdict::Dead { error }));
        return;
    };
    let task = task
        .name(handler.name)
        .priority(claimed.priority)
        .token(&token);
    let payload = std::mem::take(&mut claimed.payload);
    let keep = handler.options.keep;
    let run = Arc::new(Run {
        shared: shared.clone(),
        handler,
        payload,
        claim: claimed.claim,
        at_most_once: claimed.at_most_once,
        elapsed: now.since(claimed.began_at),
        has_begun: AtomicBool::new(false),
        end: Mutex::new(None),
        context: JobContext::new(claimed, token, &shared.jobs, keep),
    });
    let body = run.clone();
    let task = task.on_finish(move |summary| run.finish(summary));
    // A refused one is finished, too.
    let _ = task.try_execute(move || body.run());
}

impl Run {
    fn run(&self) {
        if self.shared.is_stopping() {
            return;
        }
        self.has_begun.store(true, Ordering::Relaxed);
        let result = (self.handler.run)(&self.payload, &self.context);
        let result = result.and_then(|output| self.within_limit(output));
        let stopped = crate::check().err().map(|stopped| stopped.reason());
        *self.end.lock() = Some(End { result, stopped });
    }

    fn within_limit(&self, output: Vec<u8>) -> Result<Vec<u8>, Failure> {
        let bytes = output.len();
        match self.shared.jobs.facts().max_payload {
            Some(most) if bytes > most => Err(Failure::for_good(format!(
                "its output has {bytes} bytes; {most} are allowed"
            ))),
            _ => Ok(output),
        }
    }

    fn finish(&self, summary: &Summary) {
        let verdict = self.verdict(summary);
        self.shared.ended(self.context.id(), self.claim, verdict);
    }

    /// Returns nothing if the lease was lost: another consumer judges it.
    fn verdict(&self, summary: &Summary) -> Option<Verdict> {
        let token: &CancelToken = self.context.token();
        let failure = match self.end.lock().take() {
            // This counts only if the transaction was not committed. Otherwise the job has ended.
            Some(_) if self.context.is_completed() => {
                self.shared.completed(self.context.id(), self.claim);
                Failure::new("the transaction with its end was not committed")
            }
            Some(end) => match end.result {
                Ok(output) => {
                    let keep = self.handler.options.keep;
                    return Some(Verdict::Done { output, keep });
                }
                Err(failure) => {
                    if let Some(after) = self.context.postponed() {
                        return Some(Verdict::Postponed { after });
                    }
                    match end.stopped {
                        None | Some(CancelReason::Deadline) => failure,
                        Some(reason) => return self.left(reason),
                    }
                }
            },
            // It did not begin, or did not return.
            None => match summary.outcome {
                OutcomeKind::Panicked => self.panicked(summary),
                OutcomeKind::TimedOut | OutcomeKind::Expired => Failure::new(error_of(summary)),
                _ => {
                    let reason = token.reason().unwrap_or(CancelReason::Shutdown);
                    return match self.has_begun.load(Ordering::Relaxed) {
                        true => self.left(reason),
                        false => left(reason),
                    };
                }
            },
        };
        Some(self.failed(failure, summary.ran.unwrap_or_default()))
    }

    /// It had begun. If it must not begin again, that is said also after the lease was lost: the
    /// session may live yet, and would give back what it does not name any more.
    fn left(&self, reason: CancelReason) -> Option<Verdict> {
        let why = match left(reason) {
            Some(Verdict::Back) => "its process ended",
            None => "its lease was lost",
            verdict => return verdict,
        };
        match self.at_most_once {
            true => Some(Verdict::Dead {
                error: format!("{why}; at most once"),
            }),
            false => left(reason),
        }
    }

    fn panicked(&self, summary: &Summary) -> Failure {
        let text = format!("panicked: {}", error_of(summary));
        match self.handler.options.retry_panics {
            true => Failure::new(text),
            false => Failure::for_good(text),
        }
    }

    fn failed(&self, failure: Failure, ran: Duration) -> Verdict {
        let error = cut_error(&failure.text).to_owned();
        let elapsed = self.elapsed.saturating_add(ran);
        let (failures, salt) = (self.context.failures(), self.context.id().0);
        let retry = &self.handler.options.retry;
        let after = match failure.is_for_good || self.at_most_once {
            true => None,
            false => retry.decide(failures, elapsed, salt, failure.after),
        };
        match after {
            Some(after) => Verdict::Retry { after, error },
            None => Verdict::Dead { error },
        }
    }
}

/// The verdict on a job that did not begin, or left, for this reason.
fn left(reason: CancelReason) -> Option<Verdict> {
    match reason {
        CancelReason::Lease => None,
        CancelReason::User => Some(Verdict::Cancelled),
        _ => Some(Verdict::Back),
    }
}

fn error_of(summary: &Summary) -> &str {
    summary.error.as_deref().unwrap_or("no reason is known")
}
