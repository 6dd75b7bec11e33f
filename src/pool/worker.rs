//! A worker: the loop of one thread, and what a blocking body on it does to its run slot.

use crate::cancel::CancelToken;
use crate::cancel::blocking::{self, Target};
use crate::clock::current;
use crate::id::TaskId;
use crate::observe::Event;
use crate::panic;
use crate::pool::builder::WorkerHook;
use crate::pool::core::Core;
use crate::pool::lifecycle::Phase;
use crate::pool::queue::{Tick, Turn, Work};
use crate::pool::slot_counts::{MayTake, Ready, Wait};
use crate::pool::worker_local;
use crate::pool::worker_state::WorkerState;
use crate::sync::waiter::{self, ClockWaiter};
use crate::task::pool::Level;
use crate::task::{self, RunResult, TaskRef};
use std::cell::RefCell;
use std::mem;
use std::sync::{Arc, Weak};

pub(crate) struct Worker {
    pub(crate) core: Arc<Core>,
    pub(crate) state: Arc<WorkerState>,
}

/// A worker that runs out of work after more tasks than this in a row lets work gather.
const IN_A_ROW: u64 = 8;

thread_local! {
    static WORKER: RefCell<Option<Arc<Worker>>> = const { RefCell::new(None) };
}

/// The worker that this thread is.
pub(crate) fn here() -> Option<Arc<Worker>> {
    WORKER
        .try_with(|worker| worker.borrow().clone())
        .unwrap_or(None)
}

/// Makes this thread a worker, or an ordinary thread again, for all layers.
fn set(worker: Option<Arc<Worker>>) {
    let stack = worker.as_ref().map(|worker| worker.state.stack.clone());
    task::current::set_stack(stack);
    blocking::set_worker(
        worker
            .clone()
            .map(|worker| worker as Arc<dyn blocking::Worker>),
    );
    waiter::set_listener(worker.clone().map(|worker| worker as Arc<dyn ClockWaiter>));
    WORKER.with(|mine| *mine.borrow_mut() = worker);
}

impl Worker {
    /// Whether a busy worker may take the next task without any further check.
    #[inline]
    fn is_undisturbed(&self) -> bool {
        let core = &self.core;
        core.lifecycle.phase() < Phase::Finishing
            && !core.run_slots.is_limited()
            && !self.state.mail.has_hint()
            && !self.state.stack.is_special
    }

    /// Runs a task whose entry was popped, and counts it.
    fn run_popped(&self, task: TaskRef, turn: Turn) {
        let core = &self.core;
        if core.lifecycle.phase() >= Phase::Finishing {
            panic::discard(turn.parent);
            core.cancel_popped(task);
        } else {
            let is_inner = !turn.level.is_outer();
            if is_inner {
                self.state.stack.set_level(turn.level, turn.parent);
            }
            self.run_task(&task);
            if is_inner {
                // It may be the last reference, and have hooks of the user.
                panic::discard(self.state.stack.set_level(Level::default(), None));
            }
        }
        if turn.is_fair {
            core.queue.fair_task_ended();
        }
    }

    #[inline]
    fn run_task(&self, task: &TaskRef) {
        let stack = &self.state.stack;
        if task.run_owned(stack) {
            stack.done.add();
            return;
        }
        if !task.head.is_planned() {
            match task.run(stack) {
                RunResult::Done => stack.done.add(),
                _ => self.core.count_popped(task),
            }
            return;
        }
        self.run_planned(task);
    }

    #[inline(never)]
    fn run_planned(&self, task: &TaskRef) {
        let core = &self.core;
        // For the trace of a simulation.
        let is_traced = core.clock().is_simulated();
        let attempts = is_traced.then(|| task.attempts());
        let run = task.run(&self.state.stack);
        let idle = self.state.body_left(task.head.id(), &core.run_slots);
        core.queue.nudge_one_of(idle);
        match run {
            RunResult::Done => self.state.stack.done.add(),
            RunResult::Gone => core.count_popped(task),
            RunResult::Away => self.after_move(task, attempts),
        }
    }

    /// The task waits for another attempt, or in the line of a gate.
    #[cold]
    fn after_move(&self, task: &TaskRef, attempts: Option<u32>) {
        let core = &self.core;
        // A task in the line of a gate has begun no attempt.
        if attempts.is_some_and(|attempts| task.attempts() > attempts) {
            core.note(task, &|| "goes for another attempt".to_owned());
        }
        // Read after the task has moved. A shutdown first moves the phase and then takes the tasks
        // that wait at gates. So either it finds this task there, or the phase is seen here.
        if core.lifecycle.phase() >= Phase::Finishing {
            for task in core.take_parked() {
                core.cancel_popped(task);
            }
        }
    }

    /// Runs tasks until the thread must exit. It counts as idle at the start.
    fn work(self: &Arc<Self>) {
        let core = &self.core;
        let mut is_idle = true;
        let mut has_caught_up = false;
        // Whether it found no task since it has rested.
        let mut has_rested = false;
        let mut gone_locals = 0;
        let tick = Tick::default();
        loop {
            if !is_idle {
                core.clock().pause();
            }
            // The common case: nothing else to check, and tasks in the channel.
            while !is_idle && self.is_undisturbed() {
                match core.queue.try_take() {
                    Some(task) => self.run_task(&task),
                    None => break,
                }
            }
            let may_take = match () {
                () if core.lifecycle.phase() == Phase::Over => MayTake::Nothing,
                () if core.run_slots.is_limited() => core.run_slots.may_take(),
                () => MayTake::Anything,
            };
            let next = match may_take {
                MayTake::Anything => self.next(is_idle, &tick, has_caught_up),
                may_take => match self.next_limited(may_take, &tick) {
                    Some(item) => Some(item),
                    None => {
                        self.add_finished();
                        if !has_rested && core.try_rest(&self.state, is_idle) {
                            (is_idle, has_rested) = (true, true);
                        } else if core.try_exit(&self.state, is_idle) {
                            core.has_left();
                            return;
                        }
                        continue;
                    }
                },
            };
            let item = match next {
                Some(item @ (Work::Task(..) | Work::Cleanup(_))) => item,
                Some(Work::Nudge) => continue,
                None => {
                    let gone = worker_local::gone();
                    if gone != mem::replace(&mut gone_locals, gone) {
                        self.release_values();
                    }
                    // What the worker has finished is counted before it searches. The reasons to
                    // exit are checked again once it counts as idle.
                    is_idle = true;
                    has_caught_up = self.add_finished() > IN_A_ROW;
                    core.run_slots.becomes_idle();
                    core.notify_if_idle();
                    continue;
                }
            };
            has_rested = false;
            if mem::take(&mut is_idle) {
                core.run_slots.becomes_busy();
                if core.run_slots.has_free() {
                    core.start_spare_if_due();
                }
            }
            match item {
                Work::Task(entry, turn) => self.run_popped(entry.into_task(), turn),
                Work::Cleanup(cleanup) => core.run_cleanup(cleanup),
                Work::Nudge => {}
            }
        }
    }

    /// Drops the worker's values that no `WorkerLocal` stands for any more. As at the exit of the
    /// thread, the drops run outside of the pool.
    #[cold]
    fn release_values(self: &Arc<Self>) {
        set(None);
        self.core.serve(worker_local::release);
        set(Some(self.clone()));
    }

    /// Takes the next item. If there is none, an idle worker waits for one, and a busy worker gets
    /// `None`.
    fn next(self: &Arc<Self>, is_idle: bool, tick: &Tick, has_caught_up: bool) -> Option<Work> {
        let (queue, clock) = (&self.core.queue, self.core.clock());
        if let Some(entry) = self.state.mail.try_next() {
            queue.pass_on();
            return Some(Work::Task(entry, Turn::default()));
        }
        if is_idle && !clock.is_simulated() {
            return Some(queue.pop(tick, &self.state.mail, has_caught_up));
        }
        let item = queue.try_pop(tick);
        if item.is_some() || !is_idle {
            return item;
        }
        clock.wait_before(|| {
            let weak: Weak<Self> = Arc::downgrade(self);
            weak as Weak<dyn ClockWaiter>
        });
        let mail = self.state.mail.take();
        let mail = mail.map(|entry| Work::Task(entry, Turn::default()));
        mail.or_else(|| queue.try_pop(tick)).or(Some(Work::Nudge))
    }

    /// Takes the next item of those that it may take.
    fn next_limited(&self, may_take: MayTake, tick: &Tick) -> Option<Work> {
        if let Some(entry) = self.state.mail.take() {
            return Some(Work::Task(entry, Turn::default()));
        }
        match may_take {
            MayTake::Inner(height) => self.core.queue.try_pop_inner(height),
            MayTake::Beyond(height) => {
                let (core, queue) = (&self.core, &self.core.queue);
                let takes = |ready| core.stands_still(ready, 1);
                let admitted = || takes(Ready::Admitted).then(|| queue.try_pop_admitted())?;
                let outer = || takes(Ready::Outer).then(|| queue.try_pop(tick))?;
                let inner = queue.try_pop_inner(height);
                inner.or_else(admitted).or_else(outer)
            }
            MayTake::Nothing | MayTake::Anything => None,
        }
    }

    /// Adds the tasks that this worker has finished to the pool's count. Returns how many there
    /// are.
    fn add_finished(&self) -> u64 {
        self.state.stack.forget_ended();
        let tasks = self.state.stack.done.take();
        self.core.lifecycle.tasks_finished(tasks);
        tasks
    }
}

impl blocking::Worker for Worker {
    fn begin_blocking(&self, target: Target) {
        let wait = match target {
            Target::Tasks(owner) if owner == self.core.owner() => Wait::Own,
            Target::Moment => Wait::Moment(self.state.stack.level().height()),
            Target::Permit => Wait::Permit,
            _ => Wait::Other(self.state.stack.level().height()),
        };
        self.state.wait_begins(wait, &self.core.run_slots);
        self.core.start_spare_if_due();
    }

    fn end_blocking(&self) {
        let idle = self.state.wait_ends(&self.core.run_slots);
        self.core.queue.nudge_one_of(idle);
    }

    fn has_slot(&self) -> bool {
        self.state.has_slot()
    }

    fn body(&self) -> Option<TaskId> {
        self.state.stack.top_id()
    }

    fn token(&self) -> Option<CancelToken> {
        self.state.stack.top().map(|task| task.attempt_token())
    }
}

/// Exists while the thread of a worker runs.
struct Running(Arc<Core>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.lifecycle.thread_ends();
    }
}

/// The main function of a worker's thread.
pub(crate) fn main(core: Arc<Core>, state: Arc<WorkerState>) {
    let _running = Running(core.clone());
    current::set(core.clock().clone());
    core.own_thread();
    let worker = Arc::new(Worker { core, state });
    // The hooks are not tasks, and while they run the thread is not a worker: what they submit
    // comes from outside. Otherwise a drain could end although a hook is about to submit a task.
    let run_hook = |what: &str, hook: &Option<WorkerHook>| {
        if let Some(hook) = hook {
            let index = worker.state.stack.index;
            panic::shield(what, || hook(index));
        }
    };
    let options = &worker.core.options;
    let index = worker.state.stack.index;
    worker.core.emit(|| Event::WorkerStarted { worker: index });
    run_hook("the on_worker_start hook", &options.on_worker_start);
    set(Some(worker.clone()));
    // User code runs only inside `catch`, so this returns unless the library has a fault. The stop
    // hook runs even then.
    let end = panic::catch(|| worker.work());
    set(None);
    // These drops are code of the user, too. Like the tasks, they run between the two hooks.
    worker_local::drop_all();
    run_hook("the on_worker_stop hook", &options.on_worker_stop);
    worker.core.emit(|| Event::WorkerStopped { worker: index });
    if let Err(payload) = end {
        std::panic::resume_unwind(payload);
    }
}

/// At the monitors at which its bodies wait; and in a simulation, where an idle worker waits for a
/// message. Otherwise the parking wakes it.
impl ClockWaiter for Worker {
    fn wake(self: Arc<Self>) {}

    fn waits_for(&self) -> String {
        "a task to run".to_owned()
    }

    fn is_blocked(&self) -> bool {
        self.core.queue.is_empty() && self.state.mail.is_empty()
    }

    fn settles(&self, is_settled: bool) {
        self.state.settles(is_settled);
    }

    fn notified(&self, all: bool) {
        // Of several threads that wait, another one may be woken.
        if all {
            self.state.settles(false);
            let idle = self.state.wait_is_over(&self.core.run_slots);
            self.core.queue.nudge_one_of(idle);
        }
    }

    fn waits_on(&self) {
        if self.state.wait_goes_on(&self.core.run_slots) {
            self.core.start_spare_if_due();
        }
    }
}
