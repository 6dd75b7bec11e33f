//! A task without its types: what the pool, its timer and its gates see of a cell, and what a cell sees of them.
//!
//! Layer 2.

use crate::aftermath::Outcome;
use crate::cancel::CancelToken;
use crate::clock::Clock;
use crate::context_var::{self, Context};
use crate::error::{InvalidTask, TaskError};
use crate::event::{OutcomeKind, Summary};
use crate::extras::{Callback, Rest, Watcher, Who};
use crate::gate::{Claim, Gate};
use crate::id::TaskId;
use crate::panic::{self, UnreadPanics};
use crate::reason::CancelReason;
use crate::seat::Awaited;
use std::any::Any;
use std::panic::Location;
use std::sync::{Arc, OnceLock};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

pub(crate) type TaskRef = Arc<dyn AnyTask>;

/// What a cancel did.
///
/// ```
/// use millhand::CancelOutcome;
///
/// let (_promise, handle) = millhand::promise::<u32>();
/// assert_eq!(handle.cancel(), CancelOutcome::Settled);
/// assert_eq!(handle.cancel(), CancelOutcome::AlreadyFinished);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CancelOutcome {
    /// The task was not running: it is settled as cancelled, and its closure was dropped, on the calling thread.
    Settled,
    /// The task is running: its token is set, and the body decides.
    Requested,
    /// The task had finished.
    AlreadyFinished,
}

/// Where a task is.
///
/// ```
/// use millhand::TaskState;
///
/// let (promise, handle) = millhand::promise();
/// assert_eq!(handle.state(), TaskState::Queued);
/// promise.complete(1).unwrap();
/// assert_eq!(handle.state(), TaskState::Finished);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TaskState {
    /// It waits for the instant that was asked for: it was submitted with a delay.
    Delayed {
        /// When it joins the queue, by the pool's clock.
        due: Instant,
    },
    /// It waits for a worker; a promise, to be kept.
    Queued,
    /// It waits in the line of a gate.
    Gated,
    /// It waits for the tasks that it continues.
    Waiting,
    /// Its body runs.
    Running,
    /// An attempt has failed, and it waits for the next.
    Retrying {
        /// The number of the attempt that comes: 2 after the first has failed.
        attempt: u32,
        /// When it joins the queue, by the pool's clock.
        due: Instant,
    },
    /// Its outcome is there, or was and has been taken. (The body may still run: when its
    /// [`total_timeout`](crate::TaskBuilder::total_timeout) has passed.)
    Finished,
}

/// What running a task came to.
pub(crate) enum Run {
    /// It is settled, but for what `Ran` has left.
    Done(Ran),
    /// It waits in a gate's line, or in the timer for another attempt.
    Away,
    /// Somebody had claimed or settled it before.
    Gone(TaskRef),
}

/// What a run leaves: the outcome's kind and the callbacks, which are run when the task's frame is gone.
pub(crate) struct Ran {
    pub(crate) kind: OutcomeKind,
    pub(crate) afterwards: Option<Box<Rest>>,
}

impl Ran {
    /// Tells who watches and runs the callbacks. With this the task has retired.
    pub(crate) fn retire(self) {
        if let Some(rest) = self.afterwards {
            rest.retire();
        }
    }
}

impl Rest {
    fn retire(self: Box<Self>) {
        // First: a slow callback holds up nobody who waits for this task or continues it.
        for Watcher { who, place } in self.watchers {
            who.settled(place);
        }
        let Some(summary) = self.summary else {
            return;
        };
        // Each brings the context in which it was left here; that of this place is not theirs.
        let _outside = context_var::enter(Context::default());
        for (_, callback) in self.callbacks {
            panic::shield("an on_finish callback", || callback(&summary));
        }
    }
}

/// What the run queue carries: a task, or a job, which is one of which nobody has asked for more than to be run.
pub(crate) trait Queued: Send + Sync {
    /// Runs it on `stage`, up to the outcome.
    fn run(self: Arc<Self>, stage: &dyn Stage) -> Run;
    /// The task, if it is one.
    fn task(self: Arc<Self>) -> Option<TaskRef>;
    /// Cancels it, if it has not begun.
    fn dismiss(self: Arc<Self>, reason: CancelReason) -> Dismissed;
}

/// What became of something queued that its pool cancels.
pub(crate) struct Dismissed {
    /// Whether it was settled by that.
    pub(crate) settled: bool,
    /// As what it counts: `None` for what runs, or ran, where it was waited for, and is counted there.
    pub(crate) kind: Option<OutcomeKind>,
}

/// Where a body runs: a worker.
pub(crate) trait Stage {
    /// A job from there is about to run here, with nothing else on this stack: gives it the number that it has if anybody asks.
    fn begin(&self, site: &'static Location<'static>) -> TaskId;
    /// It has returned: gives the task that stood in for it, if anybody has asked.
    fn end(&self) -> Option<TaskRef>;
    /// The task's body is about to run here; `is_plain`, as it says itself. Says whether it is to run by way of `around`.
    fn enter(&self, task: TaskRef, is_plain: bool) -> bool;
    /// Calls the pool's hook, which is to call `body`, once.
    fn around(&self, body: &mut dyn FnMut());
    /// It has returned: gives the task that was entered last.
    fn exit(&self) -> TaskRef;
    /// The pool that it belongs to.
    fn home(&self) -> &dyn Home;
    /// Who hears of a panic that nobody will read.
    fn unread_panics(&self) -> Arc<dyn UnreadPanics>;
}

/// What was asked for about whether, when and how often a task runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    pub(crate) priority: i32,
    pub(crate) delay: Option<Duration>,
    pub(crate) delay_until: Option<Instant>,
    pub(crate) expires: Option<Duration>,
    pub(crate) attempt_timeout: Option<Duration>,
    pub(crate) total_timeout: Option<Duration>,
    /// Sorted by their gates' ids, none twice.
    pub(crate) gates: Vec<Claim>,
}

impl Plan {
    /// Whether a pool that goes by `clock` can keep to it.
    pub(crate) fn check(&self, clock: &Clock) -> Result<(), InvalidTask> {
        let is_zero = |limit: Option<Duration>| limit.is_some_and(|limit| limit.is_zero());
        let exceeds = |limit: Option<Duration>, total: Option<Duration>| match (limit, total) {
            (Some(limit), Some(total)) => limit > total,
            _ => false,
        };
        let is_foreign = |claim: &Claim| claim.gate.is_timed() && !claim.gate.clock().is(clock);
        let total = self.total_timeout;
        match () {
            () if is_zero(self.expires) => Err(InvalidTask::ZeroExpires),
            () if is_zero(self.attempt_timeout) => Err(InvalidTask::ZeroAttemptTimeout),
            () if is_zero(total) => Err(InvalidTask::ZeroTotalTimeout),
            () if self.delay.is_some() && self.delay_until.is_some() => Err(InvalidTask::TwoDelays),
            () if exceeds(self.attempt_timeout, total) => Err(InvalidTask::AttemptBeyondTotal),
            () if exceeds(self.expires, total) => Err(InvalidTask::ExpiresBeyondTotal),
            () if self.gates.iter().any(is_foreign) => Err(InvalidTask::ForeignClock),
            () => Ok(()),
        }
    }

    /// One more gate; one that is there already is asked for what is given now.
    pub(crate) fn add_gate(&mut self, claim: Claim) {
        let place = self
            .gates
            .binary_search_by_key(&claim.gate.id(), |claim| claim.gate.id());
        match place {
            Ok(at) => self.gates[at] = claim,
            Err(at) => self.gates.insert(at, claim),
        }
    }
}

/// What a cell has of it: the plan, and where it belongs.
#[derive(Clone)]
pub(crate) struct Policy {
    pub(crate) plan: Arc<Plan>,
    pub(crate) home: Arc<dyn Home>,
}

/// The pool, as a task with a course sees it. Nothing here runs or drops anything of the user's.
pub(crate) trait Home: Send + Sync {
    fn now(&self) -> Instant;
    /// It is to run: among those of its priority, or in front, at its place in their order.
    fn ready(&self, task: TaskRef, rank: Rank);
    /// At `instant` the timer is to call `start`, or `on_time`.
    fn at(&self, instant: Instant, task: TaskRef, what: OnTime);
    /// So many of the timer's entries are dead.
    fn stale(&self, entries: usize);
    fn ring_at(&self, instant: Instant, gate: Arc<Gate>);
    /// It joins a gate's line.
    fn parked(&self, order: u64, task: TaskRef);
    /// It leaves it; says whether it was still there, for whoever is faster to take it.
    fn unparked(&self, order: u64) -> bool;
    /// It was settled while it had no ticket in the queue.
    fn settled_away(&self, kind: OutcomeKind);
    /// All that it continues has settled.
    fn follow(self: Arc<Self>, task: TaskRef);
    /// It was settled before that.
    fn unannounced(&self, task: TaskId);
    /// Its time is over, and its body runs on.
    fn hung(&self, task: TaskId);
}

/// A task's place in the run queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rank {
    /// Called by a gate: before all others, in order.
    Front(u64),
    Priority(i32),
}

/// What the timer is asked to call for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnTime {
    /// It is due: for the first time, or for another attempt.
    Start,
    /// It should have begun.
    Expire,
    /// The attempt with this number should have ended.
    AttemptEnds(u32),
    /// All should have ended.
    End,
}

/// What is the user's of a task that the timer has settled: to be dropped and called by a worker.
pub(crate) type Remains = Box<dyn FnOnce() + Send>;

/// A task without its types.
pub(crate) trait AnyTask: Send + Sync {
    fn id(&self) -> TaskId;
    fn site(&self) -> &'static Location<'static>;
    fn name(&self) -> Option<Arc<str>>;
    fn owner(&self) -> u32;
    /// The worker that alone may run it.
    fn pinned(&self) -> Option<usize>;
    /// Whether nothing but its place in the queue decides when it runs.
    fn is_plain(&self) -> bool;
    fn state(&self) -> TaskState;
    fn is_claimed(&self) -> bool;
    /// What became of it, once settled.
    fn outcome_kind(&self) -> Option<OutcomeKind>;
    fn queued(self: Arc<Self>) -> Arc<dyn Queued>;
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
    fn as_any_task(self: Arc<Self>) -> TaskRef;
    fn cancel(&self, reason: CancelReason) -> CancelOutcome;
    /// Why its running body should stop.
    fn stop_reason(&self) -> Option<CancelReason>;
    /// Its token; made at first use, and cancelling it cancels the task.
    fn token(self: Arc<Self>) -> CancelToken;
    /// Waits until settled, or until `deadline`; says which.
    fn wait(self: Arc<Self>, deadline: Option<Instant>) -> Result<bool, TaskError>;
    /// Notes a callback and gives its key; a finished task gives it back with the summary.
    fn on_finish(&self, callback: Callback) -> Result<u64, (Callback, Summary)>;
    fn remove_callback(&self, key: u64) -> Option<Callback>;
    /// Notes one who is to be told when it settles; a finished task gives him back.
    fn watch(&self, watcher: Watcher) -> Result<(), Watcher>;
    /// Takes him out again, as often as he is there.
    fn unwatch(&self, address: usize);

    /// As the wait graph sees it.
    fn awaited(self: Arc<Self>) -> Awaited;

    // What only a task with a course is asked.

    /// What it continues has settled: it goes its way as if it were submitted now. False if it was settled before.
    fn set_off(self: Arc<Self>) -> bool;
    /// The timer's call at the instant that it is due; given back if it is not to start any more.
    fn start(self: Arc<Self>, home: &dyn Home) -> Option<TaskRef>;
    /// The timer's call at any other. What it leaves is the caller's to hand to a worker.
    fn on_time(self: Arc<Self>, what: OnTime) -> Option<Remains>;
    /// Whether that call would still do something.
    fn awaits(&self, what: OnTime) -> bool;
    /// Takes it out of the timer or a gate's line, as if it had a ticket; says whether it was still to be had.
    fn recall(&self) -> bool;
    /// Whether somebody has left hooks on its tokens.
    fn has_hooks(&self) -> bool;
    /// Whether it has never begun.
    fn is_fresh(&self) -> bool;
    /// The number of the present attempt, and what the last one failed with.
    fn attempt(&self) -> (u32, Option<Arc<str>>);
    /// The token of the present attempt, which is the task's own unless attempts have a time limit.
    fn attempt_token(self: Arc<Self>) -> CancelToken;
    /// The time that its limits leave it.
    fn time_left(&self) -> Option<Duration>;
}

impl dyn AnyTask {
    pub(crate) fn who(&self) -> Who {
        Who {
            id: self.id(),
            name: self.name(),
            site: self.site(),
        }
    }
}

/// A task as its handle sees it.
pub(crate) trait Joinable<T>: AnyTask {
    fn take(&self) -> Option<Outcome<T>>;
    fn take_into(&self, shared: &OnceLock<Outcome<T>>);
    fn take_or_wake(&self, waker: &Waker) -> Poll<Option<Outcome<T>>>;
    fn detach(&self) -> Option<Outcome<T>>;
}
