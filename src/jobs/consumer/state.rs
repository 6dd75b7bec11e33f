//! What a consumer has claimed, and which ends the storage has not confirmed.
//!
//! Layer: jobs.
//
// A job that is claimed is in `running` until its task has ended. Then its end is in `ends`, and in
// `sending` while an exchange is on its way with it. A sign of life names the jobs of all three:
// they are what the consumer holds. It reads them under one lock with `settled`, the last exchange
// of which every claim is in `running`. So the storage takes back no job that is held.

use crate::CancelToken;
use crate::jobs::consumer::consumer::ConsumerReport;
use crate::jobs::consumer::handlers::{Handlers, Slots};
use crate::jobs::consumer::lease::Session;
use crate::jobs::face::Jobs;
use crate::jobs::handler::ErasedHandler;
use crate::jobs::id::JobId;
use crate::jobs::notifier::Notifier;
use crate::jobs::record::{Claimed, Ended, Judged, Verdict, Want};
use parking_lot::Mutex;
use std::collections::{HashMap, HashSet};
use std::mem;
use std::sync::Arc;
use std::time::Duration;

/// What the thread of the consumer, its handle and its tasks share.
pub(super) struct Shared {
    pub(super) jobs: Jobs,
    pub(super) handlers: Handlers,
    pub(super) queues: Vec<Slots>,
    pub(super) lease: Duration,
    /// Wakes the thread that claims when it has something to do.
    pub(super) notifier: Notifier,
    /// Wakes the thread that shows signs of life: a session has begun, or a job is cancelled.
    pub(super) signs: Notifier,
    /// Cancelled when the thread that claims has ended.
    pub(super) over: CancelToken,
    /// Cancelled when the consumer is to stop.
    stop: CancelToken,
    pub(super) state: Mutex<State>,
}

pub(super) struct State {
    /// By the job and the number of its claim. After a lost lease one job may be here twice: its
    /// first body has not returned, and it was claimed again.
    pub(super) running: HashMap<(JobId, u64), Running>,
    ends: Ends,
    sending: Vec<(JobId, u64)>,
    pub(super) session: Option<Session>,
    /// The number of the last exchange whose answer has been read.
    settled: u64,
    /// Claims that ended in a transaction of their handlers, until the storage says more.
    completed: HashSet<(JobId, u64)>,
    /// How many of `running` are of each queue, and of each handler.
    of_queue: Vec<usize>,
    of_handler: Vec<usize>,
    is_paused: bool,
    is_stopping: bool,
    report: ConsumerReport,
}

/// Ends that the storage has not confirmed, each with its kind.
#[derive(Default)]
pub(super) struct Ends {
    pub(super) ended: Vec<Ended>,
    pub(super) kinds: Vec<&'static str>,
}

/// What the consumer holds at a moment.
pub(super) struct Held {
    pub(super) settled: u64,
    pub(super) claims: Vec<(JobId, u64)>,
}

pub(super) struct Running {
    queue: usize,
    handler: usize,
    pub(super) token: CancelToken,
}

impl Shared {
    pub(super) fn new(jobs: Jobs, handlers: Handlers, queues: Vec<Slots>, lease: Duration) -> Self {
        let state = State {
            running: HashMap::new(),
            ends: Ends::default(),
            sending: Vec::new(),
            session: None,
            settled: 0,
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
            signs: Notifier::new(),
            over: CancelToken::new(),
            stop: CancelToken::new(),
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
        self.stop.cancel();
        self.notifier.notify();
    }

    /// Waits before the storage is tried again. Not for the notifier: each end that is not
    /// confirmed would end that wait. The first look after a stop is at once.
    pub(super) fn pause_after_error(&self, pause: Duration) {
        let _ = match self.stop.is_cancelled() {
            true => CancelToken::new().wait_timeout(pause),
            false => self.stop.wait_timeout(pause),
        };
    }

    /// Its thread has ended. If it has panicked or given up, what runs yet is asked to stop when
    /// the lease ends.
    pub(super) fn end(&self) {
        let mut state = self.state.lock();
        let last = match state.running.is_empty() {
            true => state.session.take(),
            false => None,
        };
        drop(state);
        drop(last);
        self.over.cancel();
        self.signs.notify();
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.state.lock().is_stopping
    }

    pub(super) fn report(&self) -> ConsumerReport {
        let state = self.state.lock();
        let mut report = state.report.clone();
        report.running = state.running.len();
        let of_signs = state.session.as_ref().and_then(|it| it.failing.clone());
        report.failing = report.failing.or(of_signs);
        let ended = state.ends.ended.iter().map(|ended| ended.id);
        let sending = state.sending.iter().map(|(id, _)| *id);
        report.unsaved = sending.chain(ended).collect();
        report
    }

    /// Which jobs the consumer holds.
    pub(super) fn held(&self) -> Held {
        let state = self.state.lock();
        let ended = state.ends.ended.iter().map(|ended| (ended.id, ended.claim));
        let running = state.running.keys().copied();
        let sending = state.sending.iter().copied();
        Held {
            settled: state.settled,
            claims: running.chain(sending).chain(ended).collect(),
        }
    }

    /// Every claim of this exchange is known.
    pub(super) fn settle(&self, exchange: u64) {
        self.state.lock().settled = exchange;
    }

    /// The storage answers errors, or does not any more.
    pub(super) fn set_failing(&self, failing: Option<String>) {
        self.state.lock().report.failing = failing;
    }

    /// What is to be exchanged: the ends that are to be confirmed, and how many jobs it can begin
    /// now, for each queue that has room. Under one lock: a job that ended in between would leave
    /// its slot to another one, while the storage has both. The ends are put back, or confirmed.
    pub(super) fn to_exchange(&self, turn: usize) -> (Ends, Vec<Want>) {
        let state = &mut *self.state.lock();
        let ends = mem::take(&mut state.ends);
        let sending = ends.ended.iter().map(|ended| (ended.id, ended.claim));
        state.sending = sending.collect();
        (ends, self.wants(state, turn))
    }

    /// What one queue may claim of a limited kind, those after it may not. So each time another
    /// queue is the first: `turn` says which.
    fn wants(&self, state: &State, turn: usize) -> Vec<Want> {
        if state.is_paused || state.is_stopping {
            return Vec::new();
        }
        let limited = self.handlers.all.iter().zip(&state.of_handler);
        let mut left: Vec<_> = limited
            .map(|(handler, running)| {
                handler
                    .options
                    .limit
                    .map(|limit| limit.saturating_sub(*running))
            })
            .collect();
        let mut wants = Vec::new();
        for at in (0..self.queues.len()).map(|at| (at + turn) % self.queues.len()) {
            let queue = &self.queues[at];
            let mut most = queue.most.saturating_sub(state.of_queue[at]);
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
            state.ends.ended.push(Ended { id, claim, verdict });
            let kind = self.handlers.all[running.handler].name;
            state.ends.kinds.push(kind);
        }
        drop(state);
        self.notifier.notify();
    }

    pub(super) fn put_back(&self, mut ends: Ends) {
        let mut state = self.state.lock();
        ends.ended.append(&mut state.ends.ended);
        ends.kinds.append(&mut state.ends.kinds);
        state.ends = ends;
        state.sending.clear();
    }

    pub(super) fn confirmed(&self, ended: &[Ended], judged: &[Judged]) {
        let state = &mut *self.state.lock();
        state.sending.clear();
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
        state.running.is_empty() && state.ends.ended.is_empty()
    }
}
