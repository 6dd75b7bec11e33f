//! What a consumer has claimed, and which ends the storage has not confirmed.
//!
//! Layer: jobs.
//
// A job that is claimed is in `running` until its task has ended. Then its end is in `ended` until
// the storage has confirmed it. A sign of life names the jobs of both: they are what the consumer
// holds. Only the thread of the consumer claims, confirms and gives signs of life, so it sees no
// job between two places.

use crate::CancelToken;
use crate::cancel::CancelReason;
use crate::jobs::consumer::consumer::ConsumerReport;
use crate::jobs::error::{JobsError, JobsErrorKind};
use crate::jobs::face::Jobs;
use crate::jobs::handler::ErasedHandler;
use crate::jobs::id::JobId;
use crate::jobs::names::check_name;
use crate::jobs::notifier::Notifier;
use crate::jobs::record::{Claimed, Ended, Judged, Verdict, Want};
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::mem;
use std::sync::Arc;
use std::time::Duration;

/// How many jobs of a queue run at once.
#[derive(Clone, Debug)]
pub(super) struct Slots {
    pub(super) name: String,
    pub(super) most: usize,
}

/// The handlers, by the names under which their jobs may be stored.
pub(super) struct Handlers {
    by_name: HashMap<&'static str, usize>,
    names: Vec<String>,
    all: Vec<Arc<ErasedHandler>>,
}

impl Handlers {
    pub(super) fn new(handlers: Vec<ErasedHandler>) -> Result<Self, JobsError> {
        let invalid = |text: String| Err(JobsError::new(JobsErrorKind::Invalid, text));
        if handlers.is_empty() {
            return invalid("a consumer without a handler; one or more are allowed".into());
        }
        let mut by_name = HashMap::new();
        for (at, handler) in handlers.iter().enumerate() {
            for name in std::iter::once(handler.name).chain(handler.aliases.iter().copied()) {
                check_name("kind", name)?;
                if by_name.insert(name, at).is_some() {
                    return invalid(format!("two handlers for jobs of the kind {name:?}"));
                }
            }
            if handler.options.limit == Some(0) {
                let name = handler.name;
                return invalid(format!("a limit of 0 for {name:?}; 1 or more are allowed"));
            }
        }
        let mut names: Vec<_> = by_name.keys().map(|&name| name.to_owned()).collect();
        names.sort_unstable();
        let all = handlers.into_iter().map(Arc::new).collect();
        Ok(Self {
            by_name,
            names,
            all,
        })
    }

    /// The place of the handler for jobs that are stored under this name.
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// All of them, in an order that is always the same.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }
}

/// What the thread of the consumer, its handle and its tasks share.
pub(super) struct Shared {
    pub(super) jobs: Jobs,
    pub(super) handlers: Handlers,
    pub(super) queues: Vec<Slots>,
    pub(super) lease: Duration,
    /// Wakes the thread when it has something to do.
    pub(super) notifier: Notifier,
    state: Mutex<State>,
}

struct State {
    /// By the job and the number of its claim. After a lost lease one job may be here twice: its
    /// first body has not returned, and it was claimed again.
    running: HashMap<(JobId, u64), Running>,
    ended: Vec<Ended>,
    /// Claims that ended in a transaction of their handlers, until the storage says more.
    completed: HashSet<(JobId, u64)>,
    /// How many of `running` are of each queue, and of each handler.
    of_queue: Vec<usize>,
    of_handler: Vec<usize>,
    is_paused: bool,
    is_stopping: bool,
    report: ConsumerReport,
}

struct Running {
    queue: usize,
    handler: usize,
    token: CancelToken,
}

impl Shared {
    pub(super) fn new(jobs: Jobs, handlers: Handlers, queues: Vec<Slots>, lease: Duration) -> Self {
        let state = State {
            running: HashMap::new(),
            ended: Vec::new(),
            completed: HashSet::new(),
            of_queue: vec![0; queues.len()],
            of_handler: vec![0; handlers.all.len()],
            is_paused: false,
            is_stopping: false,
            report: ConsumerReport::default(),
        };
        Self {
            jobs,
            handlers,
            queues,
            lease,
            notifier: Notifier::new(),
            state: Mutex::new(state),
        }
    }

    pub(super) fn pause(&self, pauses: bool) {
        self.state.lock().is_paused = pauses;
        self.notifier.notify();
    }

    /// From now on it claims nothing more, and jobs that have not begun do not begin.
    pub(super) fn stop(&self) {
        self.state.lock().is_stopping = true;
        self.notifier.notify();
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.state.lock().is_stopping
    }

    pub(super) fn report(&self) -> ConsumerReport {
        let state = self.state.lock();
        let mut report = state.report.clone();
        report.running = state.running.len();
        report.unsaved = state.ended.iter().map(|ended| ended.id).collect();
        report
    }

    /// Which jobs the consumer holds.
    pub(super) fn held(&self) -> Vec<JobId> {
        let state = self.state.lock();
        let ended = state.ended.iter().map(|ended| ended.id);
        let running = state.running.keys().map(|(id, _)| *id);
        running.chain(ended).collect()
    }

    /// How many jobs it can begin now, for each queue that has room. What one queue may claim of a
    /// limited kind, those after it may not. So each time another queue is the first: `turn` says
    /// which.
    pub(super) fn wants(&self, turn: usize) -> Vec<Want> {
        let state = self.state.lock();
        if state.is_paused || state.is_stopping {
            return Vec::new();
        }
        let limited = self.handlers.all.iter().zip(&state.of_handler);
        let mut left: Vec<_> = limited
            .map(|(handler, running)| handler.options.limit.map(|limit| limit - running))
            .collect();
        let mut wants = Vec::new();
        for at in (0..self.queues.len()).map(|at| (at + turn) % self.queues.len()) {
            let queue = &self.queues[at];
            let mut most = queue.most - state.of_queue[at];
            let mut kinds = Vec::new();
            for name in self.handlers.names() {
                let left = self.handlers.place(name).and_then(|handler| left[handler]);
                if left != Some(0) {
                    // All that is claimed may be of this kind.
                    most = most.min(left.unwrap_or(usize::MAX));
                    kinds.push(name.clone());
                }
            }
            if most == 0 || kinds.is_empty() {
                continue;
            }
            for name in &kinds {
                if let Some(handler) = self.handlers.place(name) {
                    left[handler] = left[handler].map(|left| left.saturating_sub(most));
                }
            }
            let queue = queue.name.clone();
            wants.push(Want { queue, kinds, most });
        }
        wants
    }

    /// Whether a limit may keep a queue from claiming what it has room for.
    pub(super) fn has_limits(&self) -> bool {
        let mut all = self.handlers.all.iter();
        self.queues.len() > 1 && all.any(|handler| handler.options.limit.is_some())
    }

    /// A job is claimed. Returns its handler and its token. `None` if it is not for this consumer.
    pub(super) fn claimed(&self, job: &Claimed) -> Option<(Arc<ErasedHandler>, CancelToken)> {
        let handler = self.handlers.place(&job.kind)?;
        let queue = self
            .queues
            .iter()
            .position(|queue| queue.name == job.queue)?;
        let token = CancelToken::new();
        let running = Running {
            queue,
            handler,
            token: token.clone(),
        };
        let mut state = self.state.lock();
        state.of_queue[queue] += 1;
        state.of_handler[handler] += 1;
        state.running.insert((job.id, job.claim), running);
        Some((self.handlers.all[handler].clone(), token))
    }

    /// The task of a job has ended. Without a verdict there is nothing to confirm.
    pub(super) fn ended(&self, id: JobId, claim: u64, verdict: Option<Verdict>) {
        let mut state = self.state.lock();
        let Some(running) = state.running.remove(&(id, claim)) else {
            return;
        };
        state.of_queue[running.queue] -= 1;
        state.of_handler[running.handler] -= 1;
        if let Some(verdict) = verdict {
            state.ended.push(Ended { id, claim, verdict });
        }
        drop(state);
        self.notifier.notify();
    }

    /// Takes the ends that are to be confirmed. They are put back, or confirmed.
    pub(super) fn take_ended(&self) -> Vec<Ended> {
        mem::take(&mut self.state.lock().ended)
    }

    pub(super) fn put_back(&self, mut ended: Vec<Ended>) {
        let mut state = self.state.lock();
        ended.append(&mut state.ended);
        state.ended = ended;
    }

    pub(super) fn confirmed(&self, ended: &[Ended], judged: &[Judged]) {
        let state = &mut *self.state.lock();
        let report = &mut state.report;
        for (ended, judged) in ended.iter().zip(judged) {
            let is_completed = state.completed.remove(&(ended.id, ended.claim));
            match (judged, &ended.verdict) {
                (Judged::Gone, _) if is_completed => report.done += 1,
                (Judged::Gone, _) => report.gone += 1,
                (_, Verdict::Done { .. }) => report.done += 1,
                (_, Verdict::Dead { .. }) => report.dead += 1,
                (_, Verdict::Retry { .. }) => report.retried += 1,
                (_, Verdict::Postponed { .. }) => report.postponed += 1,
                (_, Verdict::Back) => report.given_back += 1,
                (_, Verdict::Cancelled) => report.cancelled += 1,
            }
        }
    }

    /// A job has ended in a transaction of its handler, if that is committed.
    pub(super) fn completed(&self, id: JobId, claim: u64) {
        self.state.lock().completed.insert((id, claim));
    }

    /// Whether there is nothing that a stop has to wait for.
    pub(super) fn is_empty(&self) -> bool {
        let state = self.state.lock();
        state.running.is_empty() && state.ended.is_empty()
    }

    /// Asks these jobs to stop.
    pub(super) fn cancel(&self, jobs: &[JobId], reason: CancelReason) {
        self.cancel_where(reason, |id| jobs.contains(id));
    }

    /// The lease is lost: other consumers may run what this one runs.
    pub(super) fn cancel_all(&self) {
        self.cancel_where(CancelReason::Lease, |_| true);
    }

    fn cancel_where(&self, reason: CancelReason, is_meant: impl Fn(&JobId) -> bool) {
        let state = self.state.lock();
        let meant = state.running.iter().filter(|((id, _), _)| is_meant(id));
        let tokens: Vec<_> = meant.map(|(_, running)| running.token.clone()).collect();
        drop(state);
        for token in tokens {
            token.cancel_with(reason);
        }
    }
}
