//! What a pool's faces, workers and shutdown share.
//!
//! Layer 3: the run queue, the threads, and the counts; and the way out.

use crate::cancel::CancelToken;
use crate::clock::Clock;
use crate::counters::Striped;
use crate::event::OutcomeKind;
use crate::fork;
use crate::here;
use crate::id::TaskId;
use crate::panic::{self, TaskPanic, UnreadPanics};
use crate::pool::crew::Crew;
use crate::pool::intake::Intake;
use crate::pool::options::Options;
use crate::pool::phase::{Phase, PhaseCell};
use crate::pool::queue::{ChannelQueue, RunQueue};
use crate::pool::quiet::Quiet;
use crate::pool::report::PendingTask;
use crate::pool::roll;
use crate::pool::schedules::Schedules;
use crate::pool::seats::Seats;
use crate::pool::timer::Timer;
use crate::reason::CancelReason;
use crate::task::{self, AnyTask, Dismissed, Plan, Queued, Remains, TaskRef};

use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io;
use std::panic::Location;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};
use std::time::Instant;

pub(crate) type Site = &'static Location<'static>;

pub(crate) struct Core {
    owner: u32,
    _entry: roll::Entry,
    /// For whoever has a reference and needs a share.
    pub(crate) me: Weak<Core>,
    pub(crate) options: Options,
    /// Whether what is fire-and-forget goes as a job; hooks and traces want a task.
    pub(crate) takes_jobs: bool,
    pub(crate) queue: ChannelQueue,
    pub(crate) intake: Option<Arc<Intake>>,
    pub(crate) timer: Arc<Timer>,
    /// Its tasks in the lines of gates, by their order.
    pub(crate) parked: Mutex<BTreeMap<u64, TaskRef>>,
    /// The tasks that wait behind others.
    pub(crate) behind: Mutex<BTreeMap<TaskId, TaskRef>>,
    pub(crate) quiet: Quiet,
    pub(crate) phase: PhaseCell,
    /// Whether a drain waits for what is not due yet.
    pub(crate) keeps_delayed: AtomicBool,
    /// What a shutdown has cancelled of that.
    pub(crate) not_due: Mutex<Vec<PendingTask>>,
    pub(crate) schedules: Schedules,
    pub(crate) seats: Seats,
    pub(crate) crew: Mutex<Crew>,
    pub(crate) counts: Counts,
    /// Since when each running task is known to run, as far as a shutdown has looked.
    pub(crate) seen_running: Mutex<HashMap<TaskId, Instant>>,
    /// Whether a shutdown gave up waiting: the owner's drop does not wait then, either.
    pub(crate) gave_up: AtomicBool,
    /// Whether the log knows that spares ran out.
    pub(crate) warned_at_bound: AtomicBool,
    _listed: here::Listed,
}

/// What became of the tasks; those that completed are the rest.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) failed: Striped,
    pub(crate) panicked: Striped,
    pub(crate) cancelled: Striped,
    pub(crate) cancelled_by_shutdown: Striped,
    pub(crate) unread_panics: Striped,
}

/// What a submission asks for beside its closure.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spec {
    pub(crate) name: Option<Arc<str>>,
    pub(crate) token: Option<CancelToken>,
    /// About whether, when and how often it runs.
    pub(crate) plan: Option<Arc<Plan>>,
}

impl Spec {
    pub(crate) fn is_plain(&self) -> bool {
        self.plan.is_none() && self.name.is_none() && self.token.is_none()
    }
}

/// What a task without options asks for.
pub(crate) static PLAIN: Spec = Spec {
    name: None,
    token: None,
    plan: None,
};

impl Core {
    pub(crate) fn start(options: Options) -> io::Result<Arc<Self>> {
        let owner = fork::new_owner();
        let core = Arc::new_cyclic(|me| Self {
            owner,
            _entry: roll::Entry::new(owner, me),
            me: me.clone(),
            queue: ChannelQueue::new(),
            intake: options
                .queue_capacity
                .map(|capacity| Intake::new(owner, capacity, options.waits_when_full())),
            timer: Timer::new(options.clock.clone()),
            parked: Mutex::new(BTreeMap::new()),
            behind: Mutex::new(BTreeMap::new()),
            quiet: Quiet::new(),
            phase: PhaseCell::new(),
            keeps_delayed: AtomicBool::new(false),
            not_due: Mutex::new(Vec::new()),
            schedules: Schedules::new(),
            seats: Seats::new(options.workers, options.max_spares),
            crew: Mutex::new(Crew::default()),
            counts: Counts::default(),
            seen_running: Mutex::new(HashMap::new()),
            gave_up: AtomicBool::new(false),
            warned_at_bound: AtomicBool::new(false),
            _listed: here::list(owner, &options.clock),
            takes_jobs: options.around_task.is_none() && options.clock.simulated().is_none(),
            options,
        });
        core.start_workers()?;
        Ok(core)
    }

    pub(crate) fn owner(&self) -> u32 {
        self.owner
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.options.clock
    }

    /// Whether this thread is one of this pool's workers.
    pub(crate) fn is_here(&self) -> bool {
        task::is_worker_of(self.owner)
    }

    // The way out.

    /// Counts a task that has retired.
    pub(crate) fn retired(&self, kind: OutcomeKind) {
        self.came_to(kind);
        self.quiet.done(1);
    }

    /// Counts what became of it, and that alone.
    #[inline]
    pub(crate) fn came_to(&self, kind: OutcomeKind) {
        if kind != OutcomeKind::Completed {
            self.came_to_nothing(kind);
        }
    }

    #[cold]
    fn came_to_nothing(&self, kind: OutcomeKind) {
        match kind {
            OutcomeKind::Completed => {}
            OutcomeKind::Panicked => self.counts.panicked.add(),
            OutcomeKind::Cancelled => self.counts.cancelled.add(),
            OutcomeKind::Failed
            | OutcomeKind::Expired
            | OutcomeKind::TimedOut
            | OutcomeKind::Rejected => self.counts.failed.add(),
        }
    }

    /// Counts a task whose ticket was read after it had been cancelled; one that runs, or ran, on the stack of a body
    /// that waited for it is counted there.
    pub(crate) fn bury(&self, task: &dyn AnyTask) {
        if task.is_claimed() {
            return;
        }
        let kind = task.outcome_kind().unwrap_or(OutcomeKind::Cancelled);
        self.retired(kind);
    }

    /// Cancels a task whose ticket was read, for a shutdown, and drops its closure here.
    pub(crate) fn cancel_unrun(&self, task: Arc<dyn Queued>) {
        let Dismissed { settled, kind } = task.dismiss(CancelReason::Shutdown);
        if settled {
            self.counts.cancelled_by_shutdown.add();
        }
        if let Some(kind) = kind {
            self.retired(kind);
        }
    }

    /// Drops what is the user's of a task that the timer has settled.
    pub(crate) fn bury_remains(&self, remains: Remains) {
        remains();
        self.retract();
    }

    /// Tells those who watch, if the pool has become quiet; ends it, if that is what it was waiting for.
    pub(crate) fn told(&self) {
        // The phase first, or else: 1. a worker finds the pool quiet, and somebody who waits for that goes on; 2. he
        // submits a task and closes the pool; 3. the worker sees the phase, ends it all, and the task is left behind.
        // What was admitted before this phase was announced before it, and is in the sums.
        let ends = self.phase.get() >= Phase::Draining;
        if self.quiet.tell() && ends && !self.clears_behind() {
            self.end();
        }
    }

    /// Nothing is left and nothing comes: the workers leave, each waking the next.
    pub(crate) fn end(&self) {
        if self.phase.advance(Phase::Over) {
            self.queue.push_look();
            self.timer.look();
            self.quiet.poke();
        }
    }

    /// Closes the pool to new tasks, from outside or altogether.
    pub(crate) fn close(&self, phase: Phase) {
        if self.phase.advance(phase) {
            self.quiet.watch();
            if let Some(intake) = &self.intake {
                intake.close();
            }
            self.timer.look();
            self.quiet.poke();
            // At last: this drops bodies of the user's, which may take its time.
            self.serve(|| self.schedules.end_all());
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.phase.get() != Phase::Open
    }

    pub(crate) fn is_foreign(&self) -> bool {
        fork::is_foreign(self.owner)
    }

    /// How the faces print.
    pub(crate) fn fmt_as(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("workers", &self.seats.seats())
            .field("threads", &self.seats.threads())
            .field("queued", &self.queue.len())
            .field("phase", &self.phase.get())
            .finish_non_exhaustive()
    }
}

/// How panics that nobody can read reach the pool's hook: weakly, since errors may outlive the pool.
pub(crate) struct Unread(pub(crate) Weak<Core>);

impl UnreadPanics for Unread {
    fn unread(&self, panic: &TaskPanic) {
        let Some(core) = self.0.upgrade() else {
            return;
        };
        core.counts.unread_panics.add();
        if let Some(hook) = &core.options.on_unread_panic {
            panic::shield("the on_unread_panic hook", || hook(panic));
        }
    }
}
