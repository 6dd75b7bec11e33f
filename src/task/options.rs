//! What few tasks need beside their body: options, progress, a token, callbacks.
//!
//! Layer: task. Plain data behind one pointer of the task's head and under the lock of the head. A
//! task that runs once, as soon as a worker is free, and has no listener has none of it.

use crate::cancel::{CancelGuard, CancelToken};
use crate::clock::{Clock, later};
use crate::context_var::Context;
use crate::error::{Mistake, TaskError};
use crate::limit::{self, GateRequest, QueuePlace, Turns};
use crate::reason::WaitedFor;
use crate::task::after::After;
use crate::task::pool::{Level, Rank, TaskPool};
use crate::task::summary::{OutcomeKind, Summary};
use crate::task::watch::{Member, Watcher};
use std::mem;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

/// What the submitter asked for about whether, when and how often a task runs.
//
// Aligned, so that what each submission reads lies apart from the count of references, which each
// submission and each worker changes.
#[repr(align(128))]
#[derive(Clone, Debug, Default)]
pub(crate) struct TaskOptions {
    pub(crate) priority: i32,
    pub(crate) delay: Option<Duration>,
    pub(crate) delay_until: Option<Instant>,
    pub(crate) expires: Option<Duration>,
    pub(crate) attempt_timeout: Option<Duration>,
    pub(crate) deadline: Option<Duration>,
    pub(crate) total_timeout: Option<Duration>,
    /// Sorted by the ids of the gates; no gate is in it twice.
    pub(crate) gates: Vec<GateRequest>,
}

impl TaskOptions {
    /// Whether a pool with this clock can do what is asked for.
    pub(crate) fn check(&self, clock: &Clock) -> Result<(), Mistake> {
        let is_zero = |limit: Option<Duration>| limit.is_some_and(|limit| limit.is_zero());
        let is_foreign =
            |request: &GateRequest| request.gate.is_timed() && !request.gate.clock().is(clock);
        match () {
            () if is_zero(self.expires) => Err(Mistake::ZeroExpires),
            () if is_zero(self.attempt_timeout) => Err(Mistake::ZeroAttemptTimeout),
            () if is_zero(self.deadline) => Err(Mistake::ZeroDeadline),
            () if is_zero(self.total_timeout) => Err(Mistake::ZeroTotalTimeout),
            () if self.delay.is_some() && self.delay_until.is_some() => Err(Mistake::TwoDelays),
            () if self.gates.iter().any(is_foreign) => Err(Mistake::ForeignClock),
            () => Ok(()),
        }
    }

    /// Adds a gate. A gate that is there already is asked for what is given now.
    pub(crate) fn add_gate(&mut self, request: GateRequest) {
        let place = self
            .gates
            .binary_search_by_key(&request.gate.id(), |request| request.gate.id());
        match place {
            Ok(at) => self.gates[at] = request,
            Err(at) => self.gates.insert(at, request),
        }
    }

    /// Where a task with these options begins, and until when, if it is submitted now.
    /// `is_timed`: whether the times of the task are taken.
    pub(crate) fn start(&self, pool: &dyn TaskPool, is_timed: bool) -> Start {
        let now = (is_timed || self.is_timed()).then(|| pool.now());
        let due = now.and_then(|now| self.due(now));
        let starts = due.or(now);
        let within = |limit: Option<Duration>| starts?.checked_add(limit?);
        Start {
            order: match due {
                None => limit::enter(&self.gates),
                Some(_) => 0,
            },
            position: due.map_or(Position::Queue, |due| Position::Timer { due }),
            expires: within(self.expires),
            ends: within(self.deadline),
            due: starts.filter(|_| is_timed),
        }
    }

    /// Whether a submission must read the clock.
    fn is_timed(&self) -> bool {
        self.delay.is_some()
            || self.delay_until.is_some()
            || self.expires.is_some()
            || self.deadline.is_some()
    }

    /// Whether a task with these options may wait elsewhere than in the run queue before it runs.
    pub(crate) fn waits_apart(&self) -> bool {
        self.is_timed() || !self.gates.is_empty()
    }

    /// When a task that is submitted now is due, if that is later than now. A delay that the clock
    /// cannot hold is due centuries from now.
    fn due(&self, now: Instant) -> Option<Instant> {
        let delayed = self.delay.map(|delay| later(now, delay));
        delayed.or(self.delay_until).filter(|due| *due > now)
    }
}

/// The gates of a task that runs. Most tasks have none, and share nothing with their template then.
#[derive(Default)]
pub(crate) struct Gates(Option<Arc<TaskOptions>>);

impl Gates {
    pub(crate) fn of(options: &Arc<TaskOptions>) -> Self {
        Self((!options.gates.is_empty()).then(|| options.clone()))
    }

    pub(crate) fn requests(&self) -> &[GateRequest] {
        self.0.as_deref().map_or(&[], |options| &options.gates)
    }
}

/// Where a task begins, and until when.
pub(crate) struct Start {
    pub(crate) position: Position,
    pub(crate) order: u64,
    pub(crate) expires: Option<Instant>,
    pub(crate) ends: Option<Instant>,
    /// When the task is due, if its times are taken.
    pub(crate) due: Option<Instant>,
}

/// Where an unclaimed task is now.
///
/// It decides who counts a task that is cancelled. A task cancelled while in the run queue still
/// has an entry there, and the worker that pops the entry counts the task as done. Anywhere else
/// there is no entry, so the canceller counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    /// In the run queue, or a worker has just popped it.
    Queue,
    /// In the timer.
    Timer { due: Instant },
    /// In the lines of gates.
    Gate,
    /// Waiting for the tasks that it continues. Its pool does not count it as pending yet.
    Predecessors,
}

/// How far a task with options has come. Such a task may wait elsewhere than in the run queue, and
/// may run more than once.
pub(crate) struct Progress {
    pub(crate) options: Arc<TaskOptions>,
    pub(crate) pool: Arc<dyn TaskPool>,
    /// Its place in the order of all tasks with options, drawn when it is due.
    pub(crate) order: u64,
    pub(crate) position: Position,
    /// Which gates have given it its turn since it asked first for this attempt.
    pub(crate) turns: Turns,
    /// The tasks that it continues, until all of them have settled.
    pub(crate) after: Option<Box<After>>,
    /// The attempts that have begun.
    pub(crate) attempts: u32,
    /// When the present attempt must end.
    pub(crate) attempt_ends: Option<Instant>,
    /// Until when the first attempt must begin.
    pub(crate) expires: Option<Instant>,
    /// When the whole task must end.
    pub(crate) ends: Option<Instant>,
    /// How many entries of the timer wait for such an end.
    pub(crate) ends_filed: u8,
    /// When it came to where it is now, or when the present attempt began, if that is known.
    pub(crate) since: Option<Instant>,
    /// Whether the present attempt has exceeded its time limit.
    pub(crate) late: bool,
    /// While it is reported to observers that it waits at a gate: whether the gate has granted it
    /// meanwhile.
    pub(crate) held: Option<bool>,
    /// The level at which it was submitted.
    pub(crate) level: Level,
    /// The token of the present attempt, if it was asked for: a child of the task's own.
    pub(crate) attempt_token: Option<CancelToken>,
}

impl Progress {
    /// An attempt begins now. From the first one on the total time counts: returns when it ends, to
    /// be filed with the timer, unless the deadline comes before.
    pub(crate) fn limit_from(&mut self, now: Instant) -> Option<Instant> {
        if self.attempts > 1 {
            return None;
        }
        let end = now.checked_add(self.options.total_timeout?)?;
        if self.ends.is_some_and(|ends| ends <= end) {
            return None;
        }
        self.ends = Some(end);
        self.ends_filed += 1;
        self.ends
    }

    /// Notes where the task goes.
    pub(crate) fn move_to(&mut self, to: Position) {
        let from = mem::replace(&mut self.position, to);
        self.pool.moves(Some(from), Some(to));
    }

    /// Its place in the run queue, unless a gate has admitted it.
    pub(crate) fn rank(&self) -> Rank {
        Rank::new(self.level, self.options.priority)
    }

    pub(crate) fn new(
        options: &Arc<TaskOptions>,
        pool: Arc<dyn TaskPool>,
        start: Start,
        level: Level,
    ) -> Self {
        pool.moves(None, Some(start.position));
        Self {
            level,
            options: options.clone(),
            pool,
            order: start.order,
            position: start.position,
            turns: Turns::default(),
            after: None,
            attempts: 0,
            attempt_ends: None,
            expires: start.expires,
            ends: start.ends,
            ends_filed: u8::from(start.ends.is_some()),
            since: start.due,
            late: false,
            held: None,
            attempt_token: None,
        }
    }

    /// For a task that starts once the tasks that it continues have settled.
    pub(crate) fn after(
        options: &Arc<TaskOptions>,
        pool: Arc<dyn TaskPool>,
        after: After,
        level: Level,
    ) -> Self {
        let start = Start {
            position: Position::Predecessors,
            // Its place in the pool's list of such tasks. It gets another when it is ready.
            order: limit::next_order(),
            expires: None,
            ends: None,
            due: None,
        };
        let mut progress = Self::new(options, pool, start, level);
        progress.after = Some(Box::new(after));
        progress
    }
}

/// In place of the index of a worker: code of the user settles the task, and no worker may run it.
pub(crate) const NO_WORKER: u32 = u32::MAX;

/// What few tasks need, behind one pointer. Kept small: each task with options has it.
#[derive(Default)]
pub(crate) struct Extras {
    pub(crate) name: Option<Arc<str>>,
    /// The index of the worker that alone may run it, or [`NO_WORKER`].
    pub(crate) pinned: Option<u32>,
    /// The context variables of the place where it was submitted. Gone when it has settled.
    pub(crate) context: Context,
    /// Released when the task leaves the queue.
    pub(crate) place: Option<QueuePlace>,
    pub(crate) token: Option<CancelToken>,
    /// Whether its times are taken: when it was due, if so.
    pub(crate) due: Option<Instant>,
    /// When the first attempt began.
    pub(crate) started: Option<Instant>,
    /// When it ended, if its times are taken.
    pub(crate) ended: Option<Instant>,
    pub(crate) notes: Option<Box<Notes>>,
    /// Whether its pool lists it among the live tasks. Gone when it has settled.
    pub(crate) is_listed: bool,
    pub(crate) progress: Option<Progress>,
    /// Why there is no value, if the codes in the head cannot express it.
    pub(crate) error: Option<Box<TaskError>>,
    /// Cancels the task when its token is cancelled. Gone when it has settled: a settled task
    /// cannot be cancelled.
    pub(crate) hook: Option<CancelGuard>,
    /// Gone when it has settled.
    pub(crate) member: Option<Member>,
    /// Gone when it has settled.
    pub(crate) listeners: Option<Box<Listeners>>,
}

/// What is known about a task that few have.
#[derive(Default)]
pub(crate) struct Notes {
    /// How far it has come, as its body says.
    pub(crate) reported: Option<(u64, u64)>,
    /// The text of its failure, if something wants it.
    pub(crate) failure: Option<Arc<str>>,
    /// Whether its only attempt did not run, since its time was over.
    pub(crate) was_skipped: bool,
    /// Whether a thread reports a step of it to observers.
    pub(crate) is_reported_now: bool,
    /// How it settled meanwhile: that thread reports it, too.
    pub(crate) settled_meanwhile: Option<OutcomeKind>,
}

/// What is called when a task has settled.
#[derive(Default)]
pub(crate) struct Listeners {
    pub(crate) watchers: Vec<Watcher>,
    /// How many of them may be over; see `unwatch`.
    pub(crate) over: usize,
    /// By ascending key, those that were removed as `None`.
    pub(crate) callbacks: Vec<(u64, Option<Callback>)>,
    removed: usize,
    /// Wakes an executor that polls the handle. It is the executor's code.
    pub(crate) waker: Option<Waker>,
}

/// What to do once a task has settled, outside of its lock.
#[derive(Default)]
pub(crate) struct OnSettled {
    pub(crate) listeners: Option<Box<Listeners>>,
    pub(crate) hook: Option<CancelGuard>,
    /// Values of the user's, to be dropped.
    pub(crate) context: Context,
    pub(crate) member: Option<Member>,
    /// Whether its pool is to take it out of the list of live tasks.
    pub(crate) is_listed: bool,
}

impl Extras {
    /// The error of a task whose time is over while it waits.
    pub(crate) fn too_late(&self) -> TaskError {
        let progress = self.progress.as_ref();
        TaskError::Expired(match progress.map(|progress| progress.position) {
            _ if progress.is_some_and(|progress| progress.attempts > 0) => {
                return TaskError::TimedOut;
            }
            // A promise of a pool.
            _ if self.pinned == Some(NO_WORKER) => return TaskError::TimedOut,
            None | Some(Position::Queue) => WaitedFor::Worker,
            Some(Position::Gate) => WaitedFor::Gate,
            Some(Position::Timer { .. }) => WaitedFor::Delay,
            Some(Position::Predecessors) => WaitedFor::Tasks,
        })
    }

    /// For a task that is submitted on this thread, now.
    pub(crate) fn new(name: Option<Arc<str>>, place: Option<QueuePlace>) -> Box<Self> {
        Box::new(Self {
            name,
            place,
            context: Context::capture(),
            ..Self::default()
        })
    }

    /// What to do at settling, taken out.
    pub(crate) fn take_on_settled(&mut self) -> OnSettled {
        OnSettled {
            listeners: self.listeners.take(),
            hook: self.hook.take(),
            context: mem::take(&mut self.context),
            member: self.member.take(),
            is_listed: mem::take(&mut self.is_listed),
        }
    }

    /// Adds the hook of a template, if it has one. Its first callback.
    pub(crate) fn add_hook(&mut self, hook: Option<&FinishHook>) {
        if let Some(hook) = hook.cloned() {
            self.add_callback(callback(move |summary| hook(summary)));
        }
    }

    pub(crate) fn notes(&mut self) -> &mut Notes {
        self.notes.get_or_insert_default()
    }

    /// Whether something asks for how long it runs: it is timed, has options that need it, or a
    /// callback.
    pub(crate) fn is_measured(&self) -> bool {
        self.due.is_some() || self.progress.is_some() || self.wants_failure()
    }

    /// Whether something asks for the text of a failure.
    pub(crate) fn wants_failure(&self) -> bool {
        let listeners = self.listeners.as_ref();
        listeners.is_some_and(|listeners| !listeners.callbacks.is_empty())
    }

    pub(crate) fn listeners(&mut self) -> &mut Listeners {
        self.listeners.get_or_insert_default()
    }

    /// Registers a callback, under a key that removes it again.
    pub(crate) fn add_callback(&mut self, callback: Callback) -> u64 {
        let callbacks = &mut self.listeners().callbacks;
        let key = callbacks.last().map_or(0, |(key, _)| key + 1);
        callbacks.push((key, Some(callback)));
        key
    }

    pub(crate) fn remove_callback(&mut self, key: u64) -> Option<Callback> {
        let listeners = self.listeners.as_mut()?;
        let callbacks = &mut listeners.callbacks;
        let at = callbacks.binary_search_by_key(&key, |(k, _)| *k).ok()?;
        let callback = callbacks[at].1.take();
        listeners.removed += 1;
        if 2 * listeners.removed >= callbacks.len() {
            callbacks.retain(|(_, callback)| callback.is_some());
            listeners.removed = 0;
        }
        callback
    }
}

pub(crate) type Callback = Box<dyn FnOnce(&Summary) + Send>;

/// A hook of a template, called at the end of each of its tasks.
pub(crate) type FinishHook = Arc<dyn Fn(&Summary) + Send + Sync>;

/// A callback that runs with the context variables of this place.
pub(crate) fn callback(f: impl FnOnce(&Summary) + Send + 'static) -> Callback {
    in_context(Box::new(f))
}

fn in_context(f: Callback) -> Callback {
    let context = Context::capture();
    if context.is_empty() {
        return f;
    }
    Box::new(move |summary| context.run(|| f(summary)))
}
