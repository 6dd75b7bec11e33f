//! The threads of a pool: how they start, rest and exit.

use crate::clock::later;
use crate::clock::spawn::{Thread, spawn};
use crate::panic::Level;
use crate::pool::core::Core;
use crate::pool::lifecycle::Phase;
use crate::pool::spares::Spare;
use crate::pool::timer::TimerEntry;
use crate::pool::worker;
use crate::pool::worker_state::WorkerState;
use crate::sync::atomic::Ordering;
use crate::sync::waiter::ClockWaiter;
use crate::task::TaskRef;
use std::io;
use std::mem;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// For how long a thread rests before it exits. To start one takes about a hundredth of it.
const REST: Duration = Duration::from_millis(10);

/// After how long the timer tries again to start a spare thread.
const AGAIN: Duration = Duration::from_millis(100);

/// The threads of a pool.
#[derive(Default)]
pub(crate) struct Workers {
    /// By index. A new worker gets the lowest index that is free.
    threads: Vec<Option<WorkerThread>>,
    /// Threads that exit. Kept for a shutdown to join, dropped once they have ended.
    exiting: Vec<Thread>,
    /// How many broadcasts keep the workers from exiting.
    kept: usize,
    /// What workers that have exited have counted.
    succeeded: u64,
}

/// A worker, and the thread that runs it.
struct WorkerThread {
    worker: Arc<WorkerState>,
    /// `None` once a shutdown has taken it, to join it.
    thread: Option<Thread>,
}

impl Workers {
    /// The lowest index that is free.
    fn free_index(&self) -> usize {
        let vacant = self.threads.iter().position(Option::is_none);
        vacant.unwrap_or(self.threads.len())
    }

    /// A thread was started.
    fn add(&mut self, worker: Arc<WorkerState>, thread: Thread) {
        let index = worker.stack.index;
        if index == self.threads.len() {
            self.threads.push(None);
        }
        self.threads[index] = Some(WorkerThread {
            worker,
            thread: Some(thread),
        });
    }

    /// A thread exits. Returns whether it was the last.
    fn remove(&mut self, index: usize) -> bool {
        self.exiting.retain(|thread| !thread.is_finished());
        let removed = self.threads[index].take();
        if let Some(removed) = &removed {
            self.succeeded += removed.worker.stack.succeeded.get();
        }
        self.exiting
            .extend(removed.and_then(|removed| removed.thread));
        self.threads.iter().all(Option::is_none)
    }

    pub(crate) fn workers(&self) -> impl Iterator<Item = &Arc<WorkerState>> {
        let threads = self.threads.iter().flatten();
        threads.map(|thread| &thread.worker)
    }

    /// All workers, none of which exits before `keep_no_more`.
    pub(crate) fn keep_all(&mut self) -> Vec<Arc<WorkerState>> {
        self.kept += 1;
        self.workers().cloned().collect()
    }

    pub(crate) fn keep_no_more(&mut self) {
        self.kept -= 1;
    }

    /// How many tasks have succeeded on the short ways.
    pub(crate) fn succeeded(&self) -> u64 {
        let of_workers = self.workers().map(|worker| worker.stack.succeeded.get());
        self.succeeded + of_workers.sum::<u64>()
    }

    /// Takes all threads, to be joined.
    pub(crate) fn take_threads(&mut self) -> Vec<Thread> {
        let mut threads = mem::take(&mut self.exiting);
        let others = self.threads.iter_mut().flatten();
        threads.extend(others.filter_map(|other| other.thread.take()));
        threads
    }
}

impl Core {
    /// Starts the workers of a new pool: all that the system grants, if it grants one.
    pub(crate) fn start_workers(self: &Arc<Self>) -> io::Result<()> {
        let wanted = self.options.workers;
        match self.start_threads(wanted) {
            Ok(()) => Ok(()),
            Err((0, error)) => Err(error),
            Err((fewer, error)) => {
                self.log(
                    Level::Warn,
                    format_args!("the pool runs with {fewer} of {wanted} workers: {error}"),
                );
                self.run_slots.shrink(wanted, fewer);
                Ok(())
            }
        }
    }

    /// Starts `n` threads, which are counted already. If the system refuses one, uncounts the rest,
    /// and returns how many were started.
    fn start_threads(self: &Arc<Self>, n: usize) -> Result<(), (usize, io::Error)> {
        for started in 0..n {
            if let Err(error) = self.start_thread() {
                (started..n).for_each(|_| {
                    self.run_slots.start_failed();
                });
                return Err((started, error));
            }
        }
        Ok(())
    }

    /// With the list locked, so that a thread that exits at once finds itself in it, and so that
    /// none starts after a shutdown has taken the threads to join them.
    fn start_thread(self: &Arc<Self>) -> io::Result<()> {
        let mut workers = self.workers.lock();
        if self.lifecycle.phase() == Phase::Over {
            return Err(io::Error::other("the pool is over"));
        }
        let index = workers.free_index();
        let state = Arc::new(WorkerState::new(self, index));
        let (core, its_state) = (self.clone(), state.clone());
        let name = format!("{}-{index}", self.options.name_prefix);
        let stack_size = Some(self.options.stack_size);
        let main = move || worker::main(core, its_state);
        self.lifecycle.thread_starts();
        let thread = spawn(self.clock(), name, stack_size, Box::new(main))
            .inspect_err(|_| self.lifecycle.thread_ends())?;
        workers.add(state, thread);
        Ok(())
    }

    /// Starts a spare thread if one is due.
    pub(crate) fn start_spare_if_due(self: &Arc<Self>) {
        let mut spare = self.run_slots.request_spare(|| self.queue.ready(), false);
        if matches!(spare, Spare::AtBound) && self.stands_still(self.queue.ready(), 0) {
            spare = self.run_slots.request_spare(|| self.queue.ready(), true);
        }
        match spare {
            Spare::NotDue => {}
            Spare::AtBound => {
                if !self.warned_at_bound.swap(true, Ordering::Relaxed) {
                    self.log(
                        Level::Warn,
                        format_args!(
                            "work is ready while bodies wait, but no further spare thread may start: there are {} threads, and `max_threads` allows no more (logged once)",
                            self.run_slots.threads()
                        ),
                    );
                }
            }
            Spare::Wake(thread) => thread.wake(),
            Spare::Start => match self.start_thread() {
                Ok(()) => self.counts.spares_started.add(),
                Err(error) => {
                    self.run_slots.start_failed();
                    if self.lifecycle.phase() != Phase::Over {
                        self.retry_spare(&error);
                    }
                }
            },
        }
    }

    /// The system refuses a spare thread. The next thread that waits, pushes a task, or takes one
    /// tries again. If there will be none, since all bodies wait, the timer does.
    #[cold]
    fn retry_spare(&self, error: &io::Error) {
        if self.retries_spare.swap(true, Ordering::Relaxed) {
            return;
        }
        self.log(
            Level::Warn,
            format_args!("no spare thread could be started: {error}"),
        );
        let core: Weak<dyn ClockWaiter> = self.me.clone();
        let soon = later(self.clock().now(), AGAIN);
        self.timer.add(soon, TimerEntry::Waiter(core), self);
    }

    /// Changes the number of workers of a running pool. Returns how many there are now.
    pub(crate) fn resize(self: &Arc<Self>, workers: usize) -> usize {
        self.check_thread();
        if self.lifecycle.phase() == Phase::Over {
            return 0;
        }
        let (missing, surplus) = self.run_slots.resize(workers);
        self.queue.set_workers(workers);
        let mut now = workers;
        if let Err((started, error)) = self.start_threads(missing) {
            now = workers - (missing - started);
            self.log(
                Level::Warn,
                format_args!("the pool runs with {now} of {workers} workers: {error}"),
            );
            self.run_slots.shrink(workers, now);
        }
        // One nudge per surplus thread. A busy thread sees at its next task boundary, without a
        // nudge, that it must exit.
        (0..surplus).for_each(|_| self.queue.push_nudge());
        // More run slots than before may be free now, with work ready.
        self.start_spare_if_due();
        now
    }

    /// A worker exits if the pool is over, or if it may not take any task. Returns whether it does.
    ///
    /// The worker is uncounted and removed with the list locked, as mail is posted. So no mail
    /// reaches a worker that has exited, and a worker that has mail stays until it has read it.
    pub(crate) fn try_exit(&self, worker: &WorkerState, is_idle: bool) -> bool {
        let mut workers = self.workers.lock();
        let is_over = self.lifecycle.phase() == Phase::Over;
        if workers.kept > 0
            || !worker.mail.is_empty()
            || !self.run_slots.try_leave(is_idle, is_over, None)
        {
            return false;
        }
        let was_last = workers.remove(worker.stack.index);
        drop(workers);
        if is_over && !was_last {
            self.queue.push_nudge();
        }
        true
    }

    /// A worker that may not take any task rests for a while. Returns whether it did; then it
    /// counts as idle. No mail is lost: mail wakes it, and while it rests it is in the list.
    pub(crate) fn try_rest(self: &Arc<Self>, worker: &WorkerState, is_idle: bool) -> bool {
        let here = worker.mail.sleeper();
        if self.clock().is_simulated()
            || !worker.mail.is_empty()
            || !self.run_slots.try_leave(is_idle, false, Some(here))
        {
            return false;
        }
        self.has_left();
        // The phase is read after the thread is listed as resting; `end` sets it and then wakes
        // the threads that are.
        while self.lifecycle.phase() != Phase::Over
            && here.rest(REST)
            && self.run_slots.is_resting(here)
            && worker.mail.is_empty()
        {}
        self.run_slots.end_rest(here);
        true
    }

    /// A worker has left. It may have been woken for a task, or one may have come while it was
    /// still counted.
    pub(crate) fn has_left(self: &Arc<Self>) {
        self.queue.pass_on();
        self.notify_if_idle();
        self.work_is_ready();
    }

    pub(crate) fn workers(&self) -> Vec<Arc<WorkerState>> {
        self.workers.lock().workers().cloned().collect()
    }

    /// The tasks whose bodies are on some worker's stack.
    pub(crate) fn running(&self) -> Vec<TaskRef> {
        let mut running = Vec::new();
        for worker in self.workers() {
            running.extend(worker.stack.listed());
        }
        running
    }
}

/// For a spare thread that the system has refused.
impl ClockWaiter for Core {
    fn wake(self: Arc<Self>) {
        self.retries_spare.store(false, Ordering::Relaxed);
        self.start_spare_if_due();
    }
}
