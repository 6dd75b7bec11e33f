//! The end of a pool, in phases: stop intake, drain, cancel the rest, give up, report.

use crate::cancel::blocking::{self, Interrupt};
use crate::clock::{Clock, earlier};
use crate::id::TaskId;
use crate::panic::{self, Level};
use crate::pool::core::Core;
use crate::pool::error::PoolError;
use crate::pool::lifecycle::{Phase, Shutdowns};
use crate::pool::live::LOGGED;
use crate::pool::queue::{QueueEntry, Tick, Work};
use crate::pool::report::{RunningTask, ShutdownReport};
use crate::pool::shutdown_options::Shutdown;
use crate::process::NO_POOL;
use crate::reason::CancelReason;
use crate::task::TaskRef;
use crate::task::options::Position;
use std::cell::{Cell, RefCell};
use std::iter;
use std::mem;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

/// How long a pool that is dropped while its thread panics waits for bodies that were asked to
/// stop.
const PATIENCE: Duration = Duration::from_secs(1);

thread_local! {
    /// The tag of the pool whose worker this thread is or was. It has no destructor, so that the
    /// destructors of other thread-locals find it.
    static STARTED_BY: Cell<u32> = const { Cell::new(NO_POOL) };
    /// The pools that this thread works for outside of a task: it cancels tasks, or runs a hook.
    static SERVING: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
}

impl Core {
    /// From now on this thread is one of the pool's, up to its end.
    pub(crate) fn own_thread(&self) {
        STARTED_BY.set(self.owner());
    }

    /// Returns an error if the caller must not wait for this pool: one of its own threads, also
    /// while that runs hooks or the destructors of its thread-locals; and a drop of a closure or a
    /// callback that a shutdown runs. The shutdown that cancels the tasks would wait for itself.
    pub(crate) fn may_wait(&self) -> Result<(), PoolError> {
        if STARTED_BY.get() == self.owner() {
            return Err(PoolError::InsideTask);
        }
        self.check_thread();
        if self.is_foreign() {
            return Err(PoolError::Forked);
        }
        // A thread that is ending has no list any more, and does no such work.
        let serving = SERVING
            .try_with(|pools| pools.borrow().contains(&self.owner()))
            .unwrap_or(false);
        if serving {
            return Err(PoolError::InsideTask);
        }
        Ok(())
    }

    /// Shuts the pool down and waits, as `how` says, unless the body that waits is asked to stop.
    /// If the pool is shutting down already, that goes on, and faster if this call asks for it. If
    /// it is over, this call reports again.
    pub(crate) fn shutdown(&self, how: &Shutdown) -> Result<ShutdownReport, PoolError> {
        let core = self.me.clone();
        let interrupt = Interrupt::here(move || {
            if let Some(core) = core.upgrade() {
                core.lifecycle.notify_all();
            }
        });
        let ended = self.shutdown_unless(how, self.clock(), &|| interrupt.has_come())?;
        let (report, _) = ended.ok_or_else(|| match interrupt.stopped() {
            Some(stopped) => PoolError::Interrupted(stopped),
            None => unreachable!("only a request to stop ends a shutdown early"),
        })?;
        // A thread that has the lock is logging the report. A logger that waits for this thread
        // must not be waited for.
        if let Some(mut is_reported) = self.is_reported.try_lock() {
            *is_reported = true;
        }
        Ok(report)
    }

    /// The same, with the limits of `how` by `clock`. Returns the report, and whether this call has
    /// closed the pool. Returns `None` if it ends early because `ends` returns true.
    pub(super) fn shutdown_unless(
        &self,
        how: &Shutdown,
        clock: &Clock,
        ends: &dyn Fn() -> bool,
    ) -> Result<Option<(ShutdownReport, bool)>, PoolError> {
        self.may_wait()?;
        let begun = clock.now();
        // First of all: a worker that sees the pool cancelling leaves its tasks to a shutdown only
        // if one waits.
        self.lifecycle.lock().waiting += 1;
        let has_closed = self.begin(how);
        let at = |after: Option<Duration>| after.and_then(|after| begun.checked_add(after));
        let shutdowns = self.lifecycle.lock();
        let cancel_at = earlier(at(how.cancel_after), shutdowns.cancel_at);
        let give_up_at = earlier(at(how.give_up_after), shutdowns.give_up_at);
        drop(shutdowns);
        let ended = self.wait_for_the_end(clock, cancel_at, give_up_at, ends);
        if !ended && ends() {
            // The next call keeps to these, which may be the drop of the pool.
            let mut shutdowns = self.lifecycle.lock();
            shutdowns.cancel_at = earlier(shutdowns.cancel_at, cancel_at);
            shutdowns.give_up_at = earlier(shutdowns.give_up_at, give_up_at);
            return Ok(None);
        }
        let still_running = if ended {
            Vec::new()
        } else {
            self.log(
                Level::Warn,
                format_args!("a shutdown ran out of time\n{}", self.dump(LOGGED)),
            );
            self.still_running()
        };
        Ok(Some((self.report(still_running), has_closed)))
    }

    /// Stops the intake, as the first step of a shutdown, and does not wait. Returns whether the
    /// pool was open.
    pub(super) fn begin(&self, how: &Shutdown) -> bool {
        // A shutdown that waits for fewer tasks is not held up by one that waits for more.
        if !how.including_delayed {
            // ORDERING: as the phase, which is moved later; pairs with the timer.
            self.waits_for_delayed.store(false, Ordering::SeqCst);
            self.timer.check();
        }
        self.close(match how.cancel_after {
            Some(Duration::ZERO) => Phase::Cancelling,
            _ if how.running_only => Phase::Finishing,
            _ => Phase::Draining,
        })
    }

    /// The tasks that run now.
    fn still_running(&self) -> Vec<RunningTask> {
        let mut running = Vec::new();
        for worker in self.workers() {
            let (listed, owned) = worker.stack.snapshot();
            running.extend(listed.into_iter().map(|task| RunningTask {
                id: task.head.id(),
                name: task.head.name(),
                site: task.head.site,
            }));
            running.extend(owned.map(|site| RunningTask {
                id: TaskId::next(),
                name: None,
                site,
            }));
        }
        running
    }

    /// Waits until no task is left, and for the threads. Returns false if it gave up before, or if
    /// `ends` returned true. This thread also drops the closures of the tasks that the pool does
    /// not run any more.
    fn wait_for_the_end(
        &self,
        clock: &Clock,
        cancel_at: Option<Instant>,
        give_up_at: Option<Instant>,
        ends: &dyn Fn() -> bool,
    ) -> bool {
        let mut swept = Phase::Draining;
        let mut gave_up = false;
        loop {
            // Anew for each wait: the thread that ends one takes the run slot back. This also drops
            // what was cancelled here before waiting for it: this call may be in a drop itself.
            let _blocking = blocking::begin();
            let mut shutdowns = self.lifecycle.lock();
            // With the lock held: a thread that moves the phase notifies through the same lock. So
            // the move is either seen here, or it ends the wait below.
            let phase = self.lifecycle.phase();
            let cancels = phase == Phase::Cancelling;
            let sweeps = swept < phase && phase < Phase::Over;
            if !shutdowns.to_cancel.is_empty() || sweeps {
                let left = mem::take(&mut shutdowns.to_cancel);
                drop(shutdowns);
                if sweeps {
                    self.sweep(left);
                    swept = phase;
                } else {
                    self.cancel_all(left);
                }
                continue;
            }
            // In this order: a continuation is counted before it leaves the list.
            let has_continuations = !self.continuations.lock().is_empty();
            let is_last = gave_up || self.lifecycle.is_idle();
            // They wait for running tasks, for another pool, or for a promise. They are cancelled
            // after all others: each cancels the tasks that it continues, which would then not be
            // counted as cancelled by this shutdown.
            if (is_last || cancels) && has_continuations {
                drop(shutdowns);
                self.cancel_continuations();
                continue;
            }
            if is_last || ends() {
                shutdowns.waiting -= 1;
                let left = mem::take(&mut shutdowns.to_cancel);
                drop(shutdowns);
                self.cancel_all(left);
                if !is_last {
                    return false;
                }
                break;
            }
            let next = earlier(cancel_at.filter(|_| !cancels), give_up_at);
            let woken = self
                .lifecycle
                .wait_while(&mut shutdowns, clock, next, &mut |shutdowns| {
                    shutdowns.to_cancel.is_empty()
                        && !self.lifecycle.is_idle()
                        && phase == self.lifecycle.phase()
                        && !ends()
                });
            drop(shutdowns);
            if !woken {
                let now = clock.now();
                gave_up = give_up_at.is_some_and(|at| at <= now);
                if gave_up || cancel_at.is_some_and(|at| at <= now) {
                    self.close(Phase::Cancelling);
                }
            }
        }
        if gave_up && !self.lifecycle.is_idle() {
            self.gave_up.store(true, Ordering::Relaxed);
            return false;
        }
        self.end();
        if !self.join_threads(clock, give_up_at, ends) {
            if ends() {
                return false;
            }
            self.log(
                Level::Warn,
                format_args!(
                    "a shutdown gave up while stop hooks or drops of a pool's workers still ran"
                ),
            );
            self.gave_up.store(true, Ordering::Relaxed);
            return false;
        }
        // What is left in the queue are nudges, and entries of tasks that a waiting body ran.
        while let Some(left) = self.queue.try_pop(&Tick::default()) {
            panic::discard(left);
        }
        true
    }

    /// Waits for the end of all threads, or until `give_up_at`, or until `ends` returns true. If
    /// another shutdown joins them, waits for that. Returns whether they have ended.
    fn join_threads(
        &self,
        clock: &Clock,
        give_up_at: Option<Instant>,
        ends: &dyn Fn() -> bool,
    ) -> bool {
        let blocking = blocking::begin();
        let mut shutdowns = self.lifecycle.lock();
        let are_left = |shutdowns: &Shutdowns| shutdowns.is_joining || self.lifecycle.has_threads();
        self.lifecycle
            .wait_while(&mut shutdowns, clock, give_up_at, &mut |shutdowns| {
                are_left(shutdowns) && !ends()
            });
        if are_left(&shutdowns) {
            return false;
        }
        shutdowns.is_joining = true;
        drop(shutdowns);
        drop(blocking);
        // Destructors of thread-locals, which are the user's, may wait for the pool of this body.
        let _blocking = blocking::begin();
        let mut threads = self.workers.lock().take_threads();
        threads.extend(self.take_service_threads());
        for thread in threads {
            // A worker's thread ends by a panic only if the library has a fault. The panic hook has
            // reported it.
            let _ = thread.join();
        }
        self.timer.join();
        self.watch.join();
        self.lifecycle.lock().is_joining = false;
        self.lifecycle.notify_all();
        true
    }

    /// Asks the running tasks to stop, unless they are left alone, and cancels all queued tasks
    /// here. In this order: the drop of a closure may wait for a running task.
    fn sweep(&self, to_cancel: Vec<TaskRef>) {
        if self.lifecycle.phase() >= Phase::Cancelling {
            for task in self.running() {
                task.cancel(CancelReason::Shutdown);
            }
        }
        self.cancel_all(to_cancel);
        self.timer.wait_for_check();
        self.cancel_all(self.take_parked());
        let mut nudges = 0;
        let tick = Tick::default();
        self.cancel_all(iter::from_fn(|| {
            loop {
                match self.queue.try_pop(&tick)? {
                    Work::Task(entry, turn) => {
                        panic::discard(turn);
                        break Some(entry.into_task());
                    }
                    Work::Cleanup(cleanup) => self.run_cleanup(cleanup),
                    Work::Nudge => nudges += 1,
                }
            }
        }));
        // Nudges are for the workers: another shutdown may already have ended the pool with one.
        (0..nudges).for_each(|_| self.queue.push_nudge());
        for worker in self.workers() {
            self.cancel_all(iter::from_fn(|| {
                worker.mail.take().map(QueueEntry::into_task)
            }));
        }
    }

    /// Takes the tasks from the lines of gates, which will not admit them any more.
    pub(crate) fn take_parked(&self) -> Vec<TaskRef> {
        let parked = mem::take(&mut *self.parked.lock());
        let tasks = parked.into_values();
        // They are cancelled as if they had entries in the run queue.
        tasks
            .filter(|task| task.head.move_to(Position::Queue))
            .collect()
    }

    /// Cancels a task that a worker of a cancelling pool has popped. A shutdown that waits drops
    /// its closure, or else this thread does.
    pub(crate) fn cancel_popped(&self, task: TaskRef) {
        if let Some(task) = self.give_to_shutdown(task) {
            self.cancel_unrun(&task);
        }
    }

    /// Leaves a task for a shutdown to cancel. Returns the task if no shutdown waits.
    pub(crate) fn give_to_shutdown(&self, task: TaskRef) -> Option<TaskRef> {
        let mut shutdowns = self.lifecycle.lock();
        if shutdowns.waiting == 0 {
            return Some(task);
        }
        shutdowns.to_cancel.push(task);
        drop(shutdowns);
        self.lifecycle.notify_all();
        None
    }

    fn cancel_all(&self, tasks: impl IntoIterator<Item = TaskRef>) {
        self.serve(|| {
            for task in tasks {
                self.cancel_unrun(&task);
            }
        });
    }

    /// Runs `f`, which must not panic, as this thread's work for the pool: inside of it the thread
    /// cannot wait for the pool.
    pub(crate) fn serve(&self, f: impl FnOnce()) {
        let _ = SERVING.try_with(|pools| pools.borrow_mut().push(self.owner()));
        f();
        let _ = SERVING.try_with(|pools| pools.borrow_mut().pop());
    }

    /// Logs the report of a shutdown, unless the program has it or another thread has logged it.
    pub(super) fn log_report(&self, what: &str, report: &ShutdownReport) {
        let level = match report.is_clean() {
            true => Level::Info,
            false => Level::Warn,
        };
        // With the lock held while it logs: the drop of the pool may be the end of the process,
        // which must not cut the report of a signal short.
        let mut is_reported = self.is_reported.lock();
        if !mem::replace(&mut *is_reported, true) {
            self.log(level, format_args!("a pool was {what}: {report}"));
        }
    }

    /// The owner is dropped: drains the pool, unless its options say otherwise, and joins its
    /// threads. A worker of the pool only closes it, since it cannot wait for itself. A forked
    /// child has no threads to wait for.
    ///
    /// While the thread panics, cancels in place of draining, and gives up on what goes on: a
    /// second panic, or a wait for ever, would hide the first. A body may sleep by a test's clock
    /// that no thread turns any more.
    pub(crate) fn drop_owner(&self) {
        if self.is_foreign() {
            return;
        }
        if self.gave_up.load(Ordering::Relaxed) {
            return;
        }
        let system = Clock::system();
        // A worker of its own does not wait for it.
        let panics = thread::panicking() && STARTED_BY.get() != self.owner();
        let (how, clock) = match panics {
            false => (self.options.on_drop.clone(), self.clock()),
            true if self.clock().is_of_other_threads() => return,
            true if self.clock().is_simulated() => {
                let how = Shutdown::cancel().give_up_after(Duration::from_nanos(1));
                (how, self.clock())
            }
            true => (Shutdown::cancel().give_up_after(PATIENCE), &system),
        };
        match self.shutdown_unless(&how, clock, &|| false) {
            Ok(ended) => {
                for (report, _) in ended.iter().filter(|(report, _)| !report.is_clean()) {
                    self.log_report("dropped", report);
                }
            }
            Err(_) => {
                self.begin(&how);
                if self.lifecycle.phase() >= Phase::Finishing {
                    self.sweep(Vec::new());
                }
                self.notify_if_idle();
            }
        }
    }
}
