//! The threads of a pool, and what other threads can reach of each worker.

use crate::clock::spawn::{Thread, spawn};
use crate::id::TaskId;
use crate::panic::{self, Level};
use crate::pool::core::Core;
use crate::pool::lifecycle::Phase;
use crate::pool::mailbox::Mailbox;
use crate::pool::slot_counts::Wait;
use crate::pool::spares::{RunSlots, Spare};
use crate::pool::worker;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::task::TaskRef;
use crate::task::current::Stack;
use std::io;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

/// What other threads can reach of a worker: its mail, what it runs, and whether it has its run
/// slot.
pub(crate) struct WorkerState {
    /// The bodies on its stack.
    pub(crate) stack: Arc<Stack>,
    pub(crate) mail: Mailbox,
    /// Whether its run slot is revoked. Written with `waits` locked.
    is_revoked: AtomicBool,
    waits: Mutex<WaitStack>,
}

/// What a worker has released its run slot for.
#[derive(Default)]
struct WaitStack {
    /// Its waits, the innermost last.
    waits: Vec<Waiting>,
    /// The bodies on its stack whose time is over. While there are any, it has no run slot.
    revoked: Vec<TaskId>,
    /// The body that slept for a moment last, and how often it did in a row.
    dozer: Option<TaskId>,
    dozes: u32,
}

impl WaitStack {
    /// What a body of this height waits for that sleeps for a moment. If it does so again and
    /// again, it may wait for a task from outside; if it does not stop, that task may need a thread
    /// beyond the bound.
    fn doze(&mut self, body: Option<TaskId>, height: u8) -> Wait {
        if self.dozer != body {
            (self.dozer, self.dozes) = (body, 0);
        }
        self.dozes = self.dozes.saturating_add(1);
        match self.dozes {
            ..=MOST_DOZES => Wait::Moment(height),
            dozes if dozes < ENDLESS_DOZES => Wait::Other(height),
            _ => Wait::Own,
        }
    }

    fn has_slot(&self) -> bool {
        self.revoked.is_empty() && self.waits.last().is_none_or(|wait| wait.is_over)
    }
}

struct Waiting {
    /// `None` if a wait that it is within counts in its place.
    wait: Option<Wait>,
    /// Whether the run slot was released for this wait.
    had_slot: bool,
    /// Whether the thread that ends the wait has taken the run slot back.
    is_over: bool,
}

/// How a body counts that runs on though its time is over.
const HUNG: Wait = Wait::Other(0);

/// How often in a row a body keeps its run slot from tasks from outside while it sleeps for a
/// moment.
const MOST_DOZES: u32 = 16;
/// How often in a row makes it a wait for a task: some seconds.
const ENDLESS_DOZES: u32 = 2_000;

/// For how long a thread rests before it exits. To start one takes about a hundredth of it.
const REST: Duration = Duration::from_millis(10);

impl WorkerState {
    fn new(core: &Arc<Core>, index: usize) -> Self {
        let stack = Stack::new(core.owner(), index, core.clone(), core.options.stack_size);
        Self {
            stack: Arc::new(stack),
            mail: Mailbox::new(),
            is_revoked: AtomicBool::new(false),
            waits: Mutex::new(WaitStack::default()),
        }
    }

    /// Whether the innermost body has its run slot.
    pub(crate) fn has_slot(&self) -> bool {
        self.waits.lock().has_slot()
    }

    /// A wait begins. Releases the run slot if the body has it.
    pub(crate) fn wait_begins(&self, wait: Wait, run_slots: &RunSlots) {
        let mut waits = self.waits.lock();
        let had_slot = waits.has_slot();
        let wait = match wait {
            // What it waits within counts.
            Wait::Moment(_) | Wait::Permit | Wait::Other(_) if !had_slot => None,
            Wait::Moment(height) => Some(waits.doze(self.stack.top_id(), height)),
            wait => Some(wait),
        };
        let is_over = false;
        waits.waits.push(Waiting {
            wait,
            had_slot,
            is_over,
        });
        match wait {
            Some(wait) if had_slot => run_slots.release(wait),
            Some(wait) => run_slots.wait_without_slot(wait, true),
            None => {}
        }
    }

    /// The innermost wait is about to end: takes the run slot back before the system runs the
    /// thread. Returns whether the caller must nudge an idle thread.
    pub(crate) fn wait_is_over(&self, run_slots: &RunSlots) -> bool {
        let mut waits = self.waits.lock();
        let is_revoked = !waits.revoked.is_empty();
        match waits.waits.last_mut() {
            Some(Waiting {
                wait: Some(wait),
                had_slot: true,
                is_over: is_over @ false,
            }) if !is_revoked => {
                *is_over = true;
                run_slots.reacquire(*wait)
            }
            _ => false,
        }
    }

    /// The innermost wait goes on, though its thread was woken. Returns whether the run slot is
    /// released again.
    pub(crate) fn wait_goes_on(&self, run_slots: &RunSlots) -> bool {
        let mut waits = self.waits.lock();
        let is_revoked = !waits.revoked.is_empty();
        match waits.waits.last_mut() {
            // The run slot was revoked meanwhile, which counts in place of the wait.
            Some(wait) if wait.is_over && is_revoked => {
                (wait.wait, wait.is_over) = (None, false);
                false
            }
            Some(Waiting {
                wait: Some(wait),
                is_over: is_over @ true,
                ..
            }) => {
                *is_over = false;
                run_slots.release(*wait);
                true
            }
            _ => false,
        }
    }

    /// Ends the innermost wait. Takes the run slot back if this wait released it and no timed-out
    /// body on this stack has lost it since. Decision and change happen under one lock, as in
    /// `revoke`, so that a run slot is never released or taken twice. Returns whether the caller
    /// must nudge an idle thread.
    pub(crate) fn wait_ends(&self, run_slots: &RunSlots) -> bool {
        let mut waits = self.waits.lock();
        let Some(wait) = waits.waits.pop() else {
            unreachable!("a wait ends as often as one began")
        };
        let Some(kind) = wait.wait.filter(|_| !wait.is_over) else {
            return false;
        };
        if wait.had_slot && waits.revoked.is_empty() {
            return run_slots.reacquire(kind);
        }
        run_slots.wait_without_slot(kind, false);
        if wait.had_slot {
            run_slots.wait_without_slot(HUNG, true);
        }
        false
    }

    /// If the body of `task` is on this stack, the worker loses its run slot. Returns whether it
    /// did.
    pub(crate) fn revoke(&self, task: TaskId, run_slots: &RunSlots) -> bool {
        let mut waits = self.waits.lock();
        // ORDERING: sequentially consistent, before the stack is read; pairs with `body_left`.
        self.is_revoked.store(true, Ordering::SeqCst);
        if !self.stack.has(task) {
            // ORDERING: as in `body_left`, with the lock held.
            self.is_revoked
                .store(!waits.revoked.is_empty(), Ordering::SeqCst);
            return false;
        }
        let had_it = waits.has_slot();
        waits.revoked.push(task);
        if had_it {
            run_slots.release(HUNG);
        }
        had_it
    }

    /// The body of `task` has left the stack. Takes the run slot back if that body had lost it.
    /// Returns whether the caller must nudge an idle thread.
    pub(crate) fn body_left(&self, task: TaskId, run_slots: &RunSlots) -> bool {
        // ORDERING: sequentially consistent, after the stack was changed under its lock; pairs with
        // `revoke`. Either this load sees the flag, or `revoke` does not see the body.
        if !self.is_revoked.load(Ordering::SeqCst) {
            return false;
        }
        let mut waits = self.waits.lock();
        let before = waits.revoked.len();
        waits.revoked.retain(|body| *body != task);
        let regains = before > 0 && waits.revoked.is_empty();
        // ORDERING: with the lock held, so it comes after what `revoke` has stored.
        self.is_revoked
            .store(!waits.revoked.is_empty(), Ordering::SeqCst);
        regains && waits.waits.is_empty() && run_slots.reacquire(HUNG)
    }
}

/// The threads of a pool.
#[derive(Default)]
pub(crate) struct Workers {
    /// By index. A new worker gets the lowest index that is free.
    threads: Vec<Option<WorkerThread>>,
    /// Threads that exit. Kept for a shutdown to join, dropped once they have ended.
    exiting: Vec<Thread>,
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
        self.exiting
            .extend(removed.and_then(|removed| removed.thread));
        self.threads.iter().all(Option::is_none)
    }

    pub(crate) fn workers(&self) -> impl Iterator<Item = &Arc<WorkerState>> {
        let threads = self.threads.iter().flatten();
        threads.map(|thread| &thread.worker)
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
                panic::log(
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

    /// Starts a spare thread if one is due. If the system refuses the thread, the next thread that
    /// waits, pushes a task, or takes one tries again.
    pub(crate) fn start_spare_if_due(self: &Arc<Self>) {
        let mut spare = self.run_slots.request_spare(|| self.queue.ready(), false);
        if matches!(spare, Spare::AtBound) && self.stands_still(self.queue.ready(), 0) {
            spare = self.run_slots.request_spare(|| self.queue.ready(), true);
        }
        match spare {
            Spare::NotDue => {}
            Spare::AtBound => {
                if !self.warned_at_bound.swap(true, Ordering::Relaxed) {
                    panic::log(
                        Level::Warn,
                        format_args!(
                            "work is ready while bodies wait, but no further spare thread may start: there are {} threads (max_spares is {}; logged once)",
                            self.run_slots.threads(),
                            self.run_slots.max_spares()
                        ),
                    );
                }
            }
            Spare::Wake(thread) => thread.wake(),
            Spare::Start => {
                if let Err(error) = self.start_thread() {
                    self.run_slots.start_failed();
                    if self.lifecycle.phase() != Phase::Over {
                        panic::log(
                            Level::Warn,
                            format_args!("no spare thread could be started: {error}"),
                        );
                    }
                }
            }
        }
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
            panic::log(
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
        if !worker.mail.is_empty() || !self.run_slots.try_leave(is_idle, is_over, None) {
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
        let workers = self.workers().into_iter();
        workers.flat_map(|worker| worker.stack.listed()).collect()
    }
}

#[cfg(all(test, loom))]
#[path = "../../tests/loom/workers.rs"]
mod models;
