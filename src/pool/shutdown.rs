//! The end of a pool, in phases: stop intake, drain, cancel the rest, give up, report.
//!
//! Layer 3.

use crate::error::PoolError;
use crate::flat;
use crate::pool::core::Core;
use crate::pool::phase::Phase;
use crate::pool::queue::{Item, RunQueue, Takes, Ticket};
use crate::pool::quiet::Watch;
use crate::pool::report::{RunningTask, ShutdownReport};
use crate::reason::CancelReason;
use crate::seat;
use crate::sim;
use crate::sync::MutexGuard;
use crate::task::{AnyTask, Queued, TaskRef};
use crate::wake::Wake;
use std::cell::RefCell;
use std::iter;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// How a pool is shut down.
///
/// **Drain** (the default): the pool takes no more tasks from outside; all that it has, and whatever these submit, runs
/// to its end. **Cancel**: what is queued is settled as cancelled ([`CancelReason::Shutdown`]), its closures dropped on
/// the thread that shuts down; what runs is asked to stop, and waited for.
///
/// ```
/// use millhand::{Shutdown, ThreadPool};
/// use std::time::Duration;
///
/// let pool = ThreadPool::new(2)?;
/// pool.execute(|| println!("still printed")).unwrap();
/// let report = pool.shutdown(
///     Shutdown::drain()
///         .cancel_after(Duration::from_secs(10))
///         .give_up_after(Duration::from_secs(15)),
/// )?;
/// assert!(report.is_clean());
/// assert_eq!(report.completed(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Shutdown {
    cancel_after: Option<Duration>,
    give_up_after: Option<Duration>,
    including_delayed: bool,
}

impl Shutdown {
    /// Everything that was submitted runs to its end, however long that takes.
    ///
    /// ```
    /// # use millhand::{Shutdown, ThreadPool};
    /// let pool = ThreadPool::new(1)?;
    /// (0..10).for_each(|_| pool.execute(|| ()).unwrap());
    /// assert_eq!(pool.shutdown(Shutdown::drain())?.completed(), 10);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn drain() -> Self {
        Self {
            cancel_after: None,
            give_up_after: None,
            including_delayed: false,
        }
    }

    /// What is queued is cancelled at once, and what runs is asked to stop.
    ///
    /// ```
    /// # use millhand::{Shutdown, ThreadPool};
    /// let pool = ThreadPool::new(1)?;
    /// let handle = pool.submit(|| loop { millhand::checkpoint() });
    /// pool.shutdown(Shutdown::cancel())?;
    /// assert!(matches!(handle.join(), Err::<(), _>(millhand::TaskError::Cancelled(_))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cancel() -> Self {
        Self::drain().cancel_after(Duration::ZERO)
    }

    /// Cancels what is left this long after the call. Default: never.
    ///
    /// ```
    /// # use millhand::{Shutdown, ThreadPool};
    /// # use std::time::Duration;
    /// let pool = ThreadPool::new(1)?;
    /// let long = pool.submit(|| millhand::sleep(Duration::from_secs(3600)));
    /// pool.shutdown(Shutdown::drain().cancel_after(Duration::from_millis(1)))?;
    /// assert!(long.is_finished());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cancel_after(mut self, after: Duration) -> Self {
        self.cancel_after = Some(after);
        self
    }

    /// Stops waiting this long after the call (not after the cancelling): what is queued is cancelled then, and what
    /// still runs is named in the report and left to itself; dropping the pool afterwards does not wait for it, either.
    /// Default: never.
    ///
    /// ```
    /// # use millhand::{Shutdown, ThreadPool};
    /// # use std::time::Duration;
    /// let pool = ThreadPool::new(1)?;
    /// let (hold, held) = std::sync::mpsc::channel::<()>();
    /// pool.execute(move || { let _ = held.recv(); })?;
    /// let report = pool.shutdown(Shutdown::drain().give_up_after(Duration::from_millis(1)))?;
    /// assert_eq!(report.completed(), 0);
    /// # drop(hold);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn give_up_after(mut self, after: Duration) -> Self {
        self.give_up_after = Some(after);
        self
    }
}

impl Shutdown {
    /// Waits, too, for what is not due for the first time yet. By default a drain cancels that, and the report names it
    /// ([`ShutdownReport::not_due`]); what waits for a retry or at a gate is waited for in any case.
    ///
    /// ```
    /// # use millhand::{Shutdown, ThreadPool};
    /// # use std::time::Duration;
    /// let pool = ThreadPool::new(1)?;
    /// pool.task().delay(Duration::from_millis(1)).execute(|| ())?;
    /// let report = pool.shutdown(Shutdown::drain().including_delayed())?;
    /// assert_eq!(report.completed(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn including_delayed(mut self) -> Self {
        self.including_delayed = true;
        self
    }
}

impl Wake for Core {
    fn wake(self: Arc<Self>) {
        self.quiet.poke();
    }

    fn what(&self) -> String {
        "a pool to have nothing left to do".to_owned()
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::drain()
    }
}

thread_local! {
    /// The pools that this thread is at work for outside a task: cancelling what is left over, running a hook.
    static SERVING: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
}

impl Core {
    /// Whether the caller may wait for this pool. One of its own workers may not, nor may a closure's drop or a callback
    /// that a shutdown of it runs: the tasks that are being cancelled would be waited for by their own cancelling.
    pub(crate) fn may_wait(&self) -> Result<(), PoolError> {
        self.check_thread();
        if self.is_foreign() {
            return Err(PoolError::Forked);
        }
        // On a thread that is ending the list is gone, and so is any such work.
        let serving = SERVING
            .try_with(|pools| pools.borrow().contains(&self.owner()))
            .unwrap_or(false);
        if self.is_here() || serving {
            return Err(PoolError::InsideTask);
        }
        Ok(())
    }

    /// Shuts the pool down and waits as `how` says. A pool that is shutting down already goes on doing so, faster if
    /// this call says so; one that is over reports again.
    pub(crate) fn shutdown(&self, how: &Shutdown) -> Result<ShutdownReport, PoolError> {
        self.may_wait()?;
        let begun = self.clock().now();
        // First of all: a worker that sees the pool cancelling leaves closures behind only if somebody takes them.
        self.quiet.lock().sweepers += 1;
        // One that waits for less is not held up by one that waits for more.
        let was_open = self.phase.get() == Phase::Open;
        if was_open || !how.including_delayed {
            self.keeps_delayed
                .store(how.including_delayed, Ordering::SeqCst);
            self.timer.look();
        }
        self.close(match how.cancel_after {
            Some(Duration::ZERO) => Phase::Cancelling,
            _ => Phase::Draining,
        });
        self.look_who_runs();
        let ended = {
            let _left = seat::leave_open();
            self.wait_for_the_end(
                how.cancel_after.and_then(|after| begun.checked_add(after)),
                how.give_up_after.and_then(|after| begun.checked_add(after)),
            )
        };
        let still_running = if ended {
            Vec::new()
        } else {
            self.look_who_runs()
        };
        Ok(self.report(still_running))
    }

    /// The tasks whose bodies have not returned, and since when at the least; what is new among them is noted.
    fn look_who_runs(&self) -> Vec<RunningTask> {
        // Jobs first: a task that stands in for one from now on is found among the tasks, under the same number.
        let desks = self.desks().into_iter();
        let jobs: Vec<_> = desks.filter_map(|desk| desk.frames.job()).collect();
        let tasks = self.running();
        let is_job = |task: &&TaskRef| jobs.iter().any(|(id, _)| *id == task.id());
        let tasks = tasks.iter().filter(|task| !is_job(task));
        let tasks = tasks.map(|task| (task.id(), task.name(), task.site()));
        let running = tasks.chain(jobs.iter().map(|(id, site)| (*id, None, *site)));
        let now = self.clock().now();
        let mut seen = self.seen_running.lock();
        let before = std::mem::take(&mut *seen);
        running
            .map(|(id, name, site)| {
                let since = before.get(&id).copied().unwrap_or(now);
                seen.insert(id, since);
                RunningTask {
                    id,
                    name,
                    site,
                    at_least: now.saturating_duration_since(since),
                }
            })
            .collect()
    }

    /// Waits until nothing is left, and for the threads; says whether it came to that. The only thread that waits for
    /// the pool also drops what the pool no longer runs.
    fn wait_for_the_end(&self, cancel_at: Option<Instant>, give_up_at: Option<Instant>) -> bool {
        let mut swept = false;
        let mut gave_up = false;
        loop {
            // What was cancelled here is dropped before it is waited for: this may be a drop within a drop.
            flat::catch_up();
            let mut watch = self.quiet.lock();
            // Under the lock: who moves the phase pokes through it, so the move is either seen here or heard below.
            let cancels = self.phase.get() == Phase::Cancelling;
            if !watch.left_behind.is_empty() || cancels && !swept {
                let left = std::mem::take(&mut watch.left_behind);
                drop(watch);
                if cancels {
                    self.sweep(left);
                    swept = true;
                } else {
                    self.cancel_all(left);
                }
                continue;
            }
            // In this order: what leaves the list is announced before.
            let somebody_waits = !self.behind.lock().is_empty();
            let is_last = gave_up || self.quiet.is_quiet();
            // It waits for what runs, for another pool, or for a promise. After all else: with each goes what it continues,
            // which would not be counted as this shutdown's.
            if (is_last || cancels) && somebody_waits {
                drop(watch);
                self.cancel_all_behind();
                continue;
            }
            if is_last {
                watch.sweepers -= 1;
                let left = std::mem::take(&mut watch.left_behind);
                drop(watch);
                self.cancel_all(left);
                break;
            }
            let next = match (cancel_at, give_up_at) {
                (Some(a), Some(b)) if !cancels => Some(a.min(b)),
                (a, b) => b.or(a.filter(|_| !cancels)),
            };
            let woken = self.wait_while(&mut watch, next, |watch| {
                watch.left_behind.is_empty()
                    && !self.quiet.is_quiet()
                    && cancels == (self.phase.get() == Phase::Cancelling)
            });
            drop(watch);
            self.look_who_runs();
            if !woken {
                let now = self.clock().now();
                gave_up = give_up_at.is_some_and(|at| at <= now);
                if gave_up || cancel_at.is_some_and(|at| at <= now) {
                    self.close(Phase::Cancelling);
                }
            }
        }
        if gave_up && !self.quiet.is_quiet() {
            self.gave_up.store(true, Ordering::Relaxed);
            return false;
        }
        self.end();
        let mut watch = self.quiet.lock();
        self.wait_while(&mut watch, None, |watch| watch.joins);
        watch.joins = true;
        drop(watch);
        let threads = self.crew.lock().take_threads();
        for thread in threads {
            // A worker's thread ends by a panic only through a fault of the library's own, told by the panic hook.
            let _ = thread.join();
        }
        self.timer.join();
        self.quiet.lock().joins = false;
        self.quiet.poke();
        // What nobody has read are looks, and tickets of tasks that ran where they were waited for.
        while self.queue.try_pop(&Takes::default()).is_some() {}
        true
    }

    /// As [`Quiet::wait_while`](crate::pool::quiet::Quiet::wait_while), by the pool's clock.
    pub(crate) fn wait_while(
        &self,
        watch: &mut MutexGuard<'_, Watch>,
        deadline: Option<Instant>,
        blocked: impl FnMut(&mut Watch) -> bool,
    ) -> bool {
        let me = || self.me.clone() as Weak<dyn Wake>;
        self.quiet
            .wait_while(watch, self.clock(), deadline, me, blocked)
    }

    /// Waits until the pool is quiet, or until `deadline`; says which.
    pub(crate) fn wait_quiet(&self, deadline: Option<Instant>) -> bool {
        sim::pause();
        let _left = seat::leave_open();
        let me = || self.me.clone() as Weak<dyn Wake>;
        self.quiet.wait_quiet(self.clock(), deadline, me)
    }

    /// Asks all that runs to stop, and cancels all that is queued, here. In this order: a closure's drop may wait for
    /// what runs.
    fn sweep(&self, left_behind: Vec<Arc<dyn Queued>>) {
        for task in self.running() {
            task.cancel(CancelReason::Shutdown);
        }
        self.cancel_all(left_behind);
        self.timer.has_looked();
        self.cancel_all(self.take_parked().into_iter().map(AnyTask::queued));
        let mut looks = 0;
        let takes = Takes::default();
        self.cancel_all(iter::from_fn(|| {
            loop {
                match self.queue.try_pop(&takes)? {
                    Item::Task(ticket) => break Some(ticket.redeem()),
                    Item::Remains(remains) => self.bury_remains(remains),
                    Item::Look => looks += 1,
                }
            }
        }));
        // They are the workers': another shutdown may have sent them home by one already.
        (0..looks).for_each(|_| self.queue.push_look());
        for desk in self.desks() {
            self.cancel_all(iter::from_fn(|| desk.mail.take().map(Ticket::redeem)));
        }
    }

    fn cancel_all(&self, tasks: impl IntoIterator<Item = Arc<dyn Queued>>) {
        self.serve(|| {
            for task in tasks {
                self.cancel_unrun(task);
            }
        });
    }

    /// Runs `f`, which lets no panic through, as this thread's work for the pool: in it the pool cannot be waited for.
    pub(crate) fn serve(&self, f: impl FnOnce()) {
        let _ = SERVING.try_with(|pools| pools.borrow_mut().push(self.owner()));
        f();
        let _ = SERVING.try_with(|pools| pools.borrow_mut().pop());
    }

    fn report(&self, still_running: Vec<RunningTask>) -> ShutdownReport {
        let counts = &self.counts;
        let said = self.quiet.done_so_far();
        let unsaid: u64 = self.desks().iter().map(|desk| desk.done.get()).sum();
        let failed = counts.failed.sum();
        let panicked = counts.panicked.sum();
        let cancelled = counts.cancelled.sum();
        ShutdownReport {
            completed: (said + unsaid).saturating_sub(failed + panicked + cancelled),
            failed,
            panicked,
            cancelled,
            cancelled_by_shutdown: counts.cancelled_by_shutdown.sum(),
            not_due: self.not_due.lock().clone(),
            schedules: self.schedules.ended(),
            still_running,
        }
    }

    /// The owner is dropped: drains and joins, unless it happens on one of the pool's own workers, which cannot wait
    /// for itself, or in a forked child, where there is nobody to wait for.
    pub(crate) fn drop_owner(&self) {
        if self.is_foreign() {
            return;
        }
        if self.gave_up.load(Ordering::Relaxed) {
            return;
        }
        let how = match self.clock().simulated() {
            // Whoever still waits may do so for ever, and a second panic would hide the first.
            Some(sim) if thread::panicking() => {
                if !sim.is_mine() {
                    return;
                }
                Shutdown::cancel().give_up_after(Duration::from_nanos(1))
            }
            _ => Shutdown::drain(),
        };
        match self.shutdown(&how) {
            Ok(report) if report.is_clean() => {}
            Ok(report) => log::warn!("a pool was dropped: {report}"),
            Err(_) => {
                self.close(Phase::Draining);
                self.told();
            }
        }
    }
}
