//! What the handles, the workers, the timer and a shutdown of one pool share; and what happens to a
//! task after it has run.

use crate::cancel::CancelToken;
use crate::clock::Clock;
use crate::limit::Capacity;
#[cfg(feature = "histograms")]
use crate::observe::Histograms;
use crate::panic::{self, Level, Value};
use crate::pool::builder::Options;
use crate::pool::lifecycle::{Lifecycle, Phase};
use crate::pool::live::LiveTasks;
use crate::pool::queue::RunQueue;
use crate::pool::registry::{self, Registered};
use crate::pool::report::PendingTask;
use crate::pool::service::Services;
use crate::pool::side_queues::Swept;
use crate::pool::slot_counts::Ready;
use crate::pool::spares::RunSlots;
use crate::pool::timer::Timer;
use crate::pool::watch::Watch;
use crate::pool::worker_state::WorkerState;
use crate::pool::workers::Workers;
use crate::process;
use crate::reason::CancelReason;
use crate::sync::counters::Striped;
use crate::sync::number_map::NumberMap;
use crate::task::options::{FinishHook, TaskOptions};
use crate::task::timed::Cleanup;
use crate::task::{self, CancelOutcome, OutcomeKind, Task, TaskRef};
use parking_lot::Mutex;
use std::fmt;
use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};
use std::time::Instant;

pub(crate) struct Core {
    /// The tag of the pool; see `process`.
    owner: u32,
    _registered: Registered,
    /// For code that has a reference and needs an `Arc`.
    pub(crate) me: Weak<Core>,
    pub(crate) options: Options,
    /// Whether each submission has more to do than a push.
    pub(crate) is_special: bool,
    pub(crate) queue: RunQueue,
    pub(crate) capacity: Option<Arc<Capacity>>,
    pub(crate) timer: Arc<Timer>,
    pub(crate) services: Mutex<Services>,
    /// Tasks in the lines of gates, in the order of the lines.
    pub(crate) parked: Mutex<NumberMap<TaskRef>>,
    /// Tasks that wait for their predecessors to settle, by `Progress::order`. That is the same in
    /// each run of a simulation, and the ids of tasks are not.
    pub(crate) continuations: Mutex<NumberMap<TaskRef>>,
    pub(crate) lifecycle: Lifecycle,
    /// Whether a drain waits for tasks that are not yet due. False from the first shutdown on that
    /// does not.
    pub(crate) waits_for_delayed: AtomicBool,
    /// Delayed tasks that a shutdown has cancelled.
    pub(crate) not_due: Mutex<Vec<PendingTask>>,
    pub(crate) run_slots: RunSlots,
    pub(crate) workers: Mutex<Workers>,
    pub(crate) counts: Counts,
    /// The tasks that are listed from their submission on.
    pub(crate) live: LiveTasks,
    pub(crate) watch: Arc<Watch>,
    /// When the pool was made.
    pub(crate) began: Instant,
    /// Whether a shutdown has given up waiting. The drop of the owner then does not wait, either.
    pub(crate) gave_up: AtomicBool,
    /// Whether the program, or the log, has the report of a shutdown. The drop of the owner then
    /// does not log it again.
    pub(crate) is_reported: Mutex<bool>,
    /// Whether it is logged that no further spare may start.
    pub(crate) warned_at_bound: AtomicBool,
    /// Whether the timer will see to a spare thread that the system has refused.
    pub(crate) retries_spare: AtomicBool,
    /// The times of timed tasks, if the builder asked for them.
    #[cfg(feature = "histograms")]
    pub(crate) histograms: Option<Histograms>,
    _listed: process::ListedClock,
}

/// What happened so far. The workers count most of those that have succeeded.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) succeeded: Striped,
    pub(crate) failed: Striped,
    pub(crate) panicked: Striped,
    pub(crate) cancelled: Striped,
    pub(crate) expired: Striped,
    pub(crate) timed_out: Striped,
    pub(crate) rejected: Striped,
    pub(crate) cancelled_by_shutdown: Striped,
    pub(crate) unread: Striped,
    pub(crate) retries: Striped,
    pub(crate) spares_started: Striped,
    /// How often a task began to wait for time, and how often one ended that.
    pub(crate) delayed: Striped,
    pub(crate) due: Striped,
}

impl Counts {
    /// How many have failed, panicked, were cancelled, expired, timed out and were rejected.
    pub(crate) fn outcomes(&self) -> [u64; 6] {
        [
            &self.failed,
            &self.panicked,
            &self.cancelled,
            &self.expired,
            &self.timed_out,
            &self.rejected,
        ]
        .map(Striped::sum)
    }

    /// The count of such outcomes.
    pub(crate) fn of(&self, kind: OutcomeKind) -> &Striped {
        match kind {
            OutcomeKind::Succeeded => &self.succeeded,
            OutcomeKind::Failed => &self.failed,
            OutcomeKind::Panicked => &self.panicked,
            OutcomeKind::Cancelled => &self.cancelled,
            OutcomeKind::Expired => &self.expired,
            OutcomeKind::TimedOut => &self.timed_out,
            OutcomeKind::Rejected => &self.rejected,
        }
    }
}

/// The options of a submission.
#[derive(Clone, Default)]
pub(crate) struct Spec {
    pub(crate) name: Option<Arc<str>>,
    pub(crate) token: Option<CancelToken>,
    /// Whether the times of the task are taken though it has no name.
    pub(crate) is_timed: bool,
    pub(crate) on_finish: Option<FinishHook>,
    /// Whether, when and how often the task runs.
    pub(crate) options: Option<Arc<TaskOptions>>,
}

impl Spec {
    pub(crate) fn is_plain(&self) -> bool {
        let Self {
            name,
            token,
            is_timed,
            on_finish,
            options,
        } = self;
        let is_bare = name.is_none() && token.is_none() && options.is_none();
        is_bare && !is_timed && on_finish.is_none()
    }
}

/// The options of a task that was given none.
pub(crate) static PLAIN: Spec = Spec {
    name: None,
    token: None,
    is_timed: false,
    on_finish: None,
    options: None,
};

impl Core {
    pub(crate) fn start(options: Options) -> io::Result<Arc<Self>> {
        let owner = process::new_tag();
        let core = Arc::new_cyclic(|me| Self {
            owner,
            _registered: Registered::new(owner, me),
            is_special: options.is_special(),
            me: me.clone(),
            queue: RunQueue::new(),
            capacity: options
                .queue_capacity
                .map(|capacity| Capacity::new(owner, capacity, options.waits_when_full())),
            timer: Timer::new(options.clock.clone()),
            services: Mutex::default(),
            parked: Mutex::new(NumberMap::new()),
            continuations: Mutex::new(NumberMap::new()),
            lifecycle: Lifecycle::new(),
            waits_for_delayed: AtomicBool::new(true),
            not_due: Mutex::new(Vec::new()),
            run_slots: RunSlots::new(options.workers, options.max_spares()),
            workers: Mutex::new(Workers::default()),
            counts: Counts::default(),
            live: LiveTasks::default(),
            watch: Watch::new(),
            began: options.clock.now(),
            gave_up: AtomicBool::new(false),
            is_reported: Mutex::new(false),
            warned_at_bound: AtomicBool::new(false),
            retries_spare: AtomicBool::new(false),
            #[cfg(feature = "histograms")]
            histograms: options.histograms.map(Histograms::new),
            _listed: process::ListedClock::new(owner, &options.clock),
            options,
        });
        task::pool::set_find(|owner| Some(registry::find(owner)?));
        core.queue.set_workers(core.options.workers);
        core.start_workers()?;
        core.start_watchdog();
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

    /// # Panics
    /// In a simulation, on a thread that does not belong to it.
    pub(crate) fn check_thread(&self) {
        self.clock().check_thread();
    }

    /// Logs a record about this pool, with its name as a key-value. Called with no lock held, since
    /// the logger may call the library.
    #[cold]
    pub(crate) fn log(&self, level: Level, text: fmt::Arguments<'_>) {
        let name = Value::from(self.options.name_prefix.as_str());
        panic::log_about(level, &[("pool", name)], text);
    }

    /// Adds an entry to the trace of a simulation. It names the task by a number of its own, since
    /// the id of a task is another one in each run.
    pub(crate) fn note(&self, task: &Task, what: &dyn Fn() -> String) {
        self.clock().note(&|number| {
            let name = task.head.name().map(|name| format!(" `{name}`"));
            let number = number(task.head.id().number());
            format!("task {number}{}: {}", name.unwrap_or_default(), what())
        });
    }

    /// Whether no body runs, and none will go on unless what is ready does. `running`: the threads
    /// that look for work.
    pub(crate) fn stands_still(&self, ready: Ready, running: usize) -> bool {
        // A task at a limiter may wait for the turn of one that the limiter has admitted.
        let at_gates = ready != Ready::Admitted;
        let awaits_time = |worker: &Arc<WorkerState>| worker.stack.awaits_time(at_gates);
        self.run_slots.stands_still_for(ready, running) && !self.workers().iter().any(awaits_time)
    }

    // After a task has run, or will not run any more.

    /// Counts a task that was cancelled while it had an entry in the queue, now that the entry has
    /// left the queue. A task that a waiting body runs on its own stack is counted there.
    #[cold]
    pub(crate) fn count_popped(&self, task: &Task) {
        // Through the lock: the canceller holds it until the kind of outcome is known.
        if task.pinned().is_none() {
            self.queue.uncount_dead();
        }
        if !task.head.has_begun() {
            self.lifecycle.tasks_finished(1);
        }
    }

    /// Counts tasks whose entries a sweep has removed. They may have been the last of the pool.
    pub(crate) fn count_swept(&self, swept: impl IntoIterator<Item = Swept>) {
        for (task, parent) in swept {
            self.count_popped(&task);
            // They may be the last references, and have hooks of the user.
            panic::discard((task, parent));
        }
        self.notify_if_idle();
    }

    /// Cancels a task whose entry was popped, for a shutdown, and drops its closure here.
    pub(crate) fn cancel_unrun(&self, task: &Task) {
        if task.cancel(CancelReason::Shutdown) == CancelOutcome::Settled {
            self.counts.cancelled_by_shutdown.add();
        }
        self.count_popped(task);
    }

    /// Drops the closures of a task that the timer has settled.
    pub(crate) fn run_cleanup(&self, cleanup: Cleanup) {
        cleanup();
        self.release();
    }

    /// If the pool is idle, wakes the threads that wait for that, and ends a pool that drains.
    pub(crate) fn notify_if_idle(&self) {
        // Read the phase before testing for idleness. Otherwise: (1) this worker sees the pool
        // idle; (2) another thread submits a task, then starts a shutdown; (3) this worker reads
        // the new phase, relies on the old idleness and ends the pool with a task in the queue.
        // Read in this order it cannot: a task admitted before the phase changed is already
        // counted.
        let is_closed = self.is_closed();
        if self.lifecycle.notify_if_idle() && is_closed && !self.cancels_continuations() {
            self.end();
        }
    }

    /// No task is left and none can come: the workers exit, and each wakes the next.
    pub(crate) fn end(&self) {
        if self.lifecycle.advance(Phase::Over) < Phase::Over {
            self.queue.push_nudge();
            let resting = self.run_slots.resting();
            resting.iter().for_each(|thread| thread.wake());
            self.timer.check();
            self.watch.check();
            self.lifecycle.notify_all();
        }
    }

    /// Closes the pool to new tasks from outside, or to all new tasks.
    /// Returns whether the pool was open.
    pub(crate) fn close(&self, phase: Phase) -> bool {
        self.hold_services();
        let before = self.lifecycle.advance(phase);
        if before < phase {
            self.lifecycle.watch();
            if let Some(capacity) = &self.capacity {
                capacity.close();
            }
            self.timer.check();
            self.lifecycle.notify_all();
            // Last, since this drops closures of the user, which may take long.
            self.serve(|| {
                self.notify_services(phase);
                self.lifecycle.end_schedules();
            });
        }
        before == Phase::Open
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lifecycle.phase() != Phase::Open
    }

    pub(crate) fn is_foreign(&self) -> bool {
        process::is_foreign(self.owner)
    }

    /// The `Debug` text of a type that stands for the pool.
    pub(crate) fn fmt_as(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("workers", &self.run_slots.count())
            .field("threads", &self.run_slots.threads())
            .field("queued", &self.queue.waiting())
            .field("phase", &self.lifecycle.phase())
            .finish_non_exhaustive()
    }
}
