//! What the models of tasks share: counters, and a double of the pool.
//
// Its queue, its timer and its counts are std's: loom must see no order in them that the task itself
// does not make. Where a step of the real pool goes through a lock or a channel, nothing stands for
// it here, so more schedules are tried than there are in a real pool. None of std's locks is held
// while loom can change threads: all of its threads run on one of the system's.

use crate::clock;
use crate::error::{JoinError, TaskError};
use crate::id::TaskId;
use crate::process;
use crate::reason::CancelReason;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::waiter::ClockWaiter;
use crate::task::options::Position;
use crate::task::pool::{Rank, TaskPool};
use crate::task::stack::Stack;
use crate::task::timed::OnTime;
use crate::task::{OutcomeKind, RunResult, Task, TaskRef, UnreadFailure};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Instant;

/// The tag of the pool.
pub(crate) fn owner() -> u32 {
    static TAG: OnceLock<u32> = OnceLock::new();
    *TAG.get_or_init(process::new_tag)
}

/// Models what so many threads do. With more than two, the schedules multiply: then fewer of them are
/// tried, those with fewer preemptions.
pub(crate) fn model(threads: usize, f: impl Fn() + Send + Sync + 'static) {
    let most = match threads {
        0..=2 => 3,
        3 => 2,
        _ => 1,
    };
    let mut builder = loom::model::Builder::new();
    let bound = builder.preemption_bound.unwrap_or(most);
    builder.preemption_bound = Some(bound.min(most));
    builder.check(f);
}

#[derive(Default)]
pub(crate) struct Count(AtomicUsize);

impl Count {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    pub(crate) fn get(&self) -> usize {
        self.0.load(Relaxed)
    }
}

/// What becomes of a body and of its values.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) bodies_run: Count,
    pub(crate) bodies_dropped: Count,
    pub(crate) values_made: Count,
    pub(crate) values_dropped: Count,
}

/// What a body captures.
pub(crate) struct Captured(pub(crate) Arc<Tally>);

impl Drop for Captured {
    fn drop(&mut self) {
        self.0.bodies_dropped.add();
    }
}

/// What a body returns, fails with, or panics with.
pub(crate) struct Value(Arc<Tally>);

impl Value {
    pub(crate) fn new(tally: &Arc<Tally>) -> Self {
        tally.values_made.add();
        Self(tally.clone())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of a model")
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        self.0.values_dropped.add();
    }
}

pub(crate) fn order_of(task: &TaskRef) -> Option<u64> {
    task.head.progress(|progress, _| progress.order)
}

type OnHung = Arc<dyn Fn(TaskId) + Send + Sync>;

pub(crate) struct Pool {
    me: Weak<Self>,
    /// Whether bodies run inside of a hook.
    has_hook: bool,
    /// Tasks in the run queue.
    pub(crate) entries: Mutex<Vec<TaskRef>>,
    /// What the timer is to call for.
    pub(crate) timer: Mutex<Vec<(TaskRef, OnTime)>>,
    /// The alarms of gates that were filed with the timer.
    pub(crate) alarms: Mutex<Vec<Weak<dyn ClockWaiter>>>,
    /// Tasks in the lines of gates.
    pub(crate) parked: Mutex<BTreeMap<u64, TaskRef>>,
    /// Tasks that wait for others.
    pub(crate) behind: Mutex<Vec<(u64, TaskRef)>>,
    /// Whether a shutdown cancels. loom's, with the orderings of the real pool's phase.
    is_cancelling: Arc<AtomicBool>,
    /// Whether the pool takes what continues other tasks. Changed under a lock, as the phase is read
    /// there.
    pub(crate) is_open: crate::sync::Mutex<bool>,
    /// Tasks counted as pending, those whose count was taken back, and those counted as finished.
    pub(crate) announced: Count,
    pub(crate) taken_back: Count,
    pub(crate) finished: Count,
    /// Bodies whose time is over, and what is done about them.
    pub(crate) hung: Count,
    pub(crate) on_hung: Mutex<Option<OnHung>>,
    /// Panics that no handle will take.
    pub(crate) panics_unread: Count,
}

thread_local! {
    /// The pool of the model that runs on this thread.
    static POOL: RefCell<Weak<Pool>> = const { RefCell::new(Weak::new()) };
}

/// The pool that hears of unread failures.
pub(crate) fn find() -> Option<Arc<dyn TaskPool>> {
    POOL.with(|pool| Some(pool.borrow().upgrade()? as _))
}

impl Pool {
    pub(crate) fn new(has_hook: bool) -> Arc<Self> {
        let pool = Arc::new_cyclic(|me| Self {
            me: me.clone(),
            has_hook,
            entries: Mutex::default(),
            timer: Mutex::default(),
            alarms: Mutex::default(),
            parked: Mutex::default(),
            behind: Mutex::default(),
            is_cancelling: Arc::new(AtomicBool::new(false)),
            is_open: crate::sync::Mutex::new(true),
            announced: Count::default(),
            taken_back: Count::default(),
            finished: Count::default(),
            hung: Count::default(),
            on_hung: Mutex::default(),
            panics_unread: Count::default(),
        });
        // What an atomic is made with may be read by loom after a newer value was stored.
        pool.is_cancelling.store(false, Ordering::SeqCst);
        POOL.with(|here| here.replace(Arc::downgrade(&pool)));
        pool
    }

    /// The stack of a worker.
    pub(crate) fn stack(&self, index: usize) -> Arc<Stack> {
        let pool = self.me.upgrade().unwrap();
        Arc::new(Stack::new(owner(), index, pool, usize::MAX))
    }

    pub(crate) fn pop(&self) -> Option<TaskRef> {
        self.entries.lock().unwrap().pop()
    }

    /// As `Worker::take_on`, with a task whose entry was popped.
    pub(crate) fn take_on(&self, task: &TaskRef, stack: &Stack) {
        if self.is_cancelling() {
            return self.cancel_unrun(task);
        }
        match task.run(stack) {
            RunResult::Done => self.finished.add(),
            RunResult::Gone => self.count_popped(task),
            // After it went: either a shutdown finds the task there, or the phase is seen here.
            RunResult::Away if self.is_cancelling() => self.cancel_parked(),
            RunResult::Away => {}
        }
    }

    /// As `Core::count_popped`.
    pub(crate) fn count_popped(&self, task: &Task) {
        if task.head.has_begun() {
            return;
        }
        task.head.peek(|_| ());
        assert!(
            task.head.is_settled(),
            "an entry is popped with its task claimed, and its canceller has the lock until it has settled"
        );
        self.finished.add();
    }

    /// As `Core::cancel_unrun`.
    pub(crate) fn cancel_unrun(&self, task: &TaskRef) {
        task.cancel(CancelReason::Shutdown);
        self.count_popped(task);
    }

    /// As `Core::take_parked`, with what follows.
    pub(crate) fn cancel_parked(&self) {
        let parked = std::mem::take(&mut *self.parked.lock().unwrap());
        let tasks = parked
            .into_values()
            .filter(|task| task.head.move_to(Position::Queue));
        tasks.for_each(|task| self.cancel_unrun(&task));
    }

    /// The timer thread, as it is with `is_cancelling`: it gives up what waits to start.
    fn give_up_all(&self) {
        while let Some(task) = self.pop_due() {
            if task.head.move_to(Position::Queue) {
                self.cancel_unrun(&task);
            }
        }
    }

    /// A task that waits in the timer to start.
    pub(crate) fn pop_due(&self) -> Option<TaskRef> {
        let mut timer = self.timer.lock().unwrap();
        let at = timer.iter().position(|(_, what)| *what == OnTime::Start)?;
        Some(timer.swap_remove(at).0)
    }

    /// The timer thread: the tasks that wait for it to start are due.
    pub(crate) fn fire(&self) {
        if self.is_cancelling() {
            return self.give_up_all();
        }
        if let Some(task) = self.pop_due() {
            drop(task.start(self));
        }
    }

    /// As `Core::sweep`, with the stack of the only worker.
    pub(crate) fn shut_down(&self, stack: &Stack) {
        self.is_cancelling.store(true, Ordering::SeqCst);
        for task in stack.listed() {
            task.cancel(CancelReason::Shutdown);
        }
        self.give_up_all();
        self.cancel_parked();
        while let Some(task) = self.pop() {
            self.cancel_unrun(&task);
        }
    }

    fn is_cancelling(&self) -> bool {
        self.is_cancelling.load(Ordering::SeqCst)
    }

    fn unlist(&self, order: u64) {
        let mut behind = self.behind.lock().unwrap();
        let at = behind.iter().position(|(listed, _)| *listed == order);
        let was_there = at.map(|at| behind.swap_remove(at));
        drop(behind);
        drop(was_there);
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.finished.get() + self.taken_back.get() == self.announced.get()
    }
}

impl TaskPool for Pool {
    fn now(&self) -> Instant {
        clock::now()
    }

    fn ready(&self, task: TaskRef, _: Rank, _: Option<TaskRef>) {
        self.entries.lock().unwrap().push(task);
    }

    fn at(&self, _: Instant, task: TaskRef, what: OnTime) {
        self.timer.lock().unwrap().push((task, what));
    }

    fn stale(&self, _: usize) {}

    fn alarm_at(&self, _: Instant, alarm: Weak<dyn ClockWaiter>) {
        self.alarms.lock().unwrap().push(alarm);
    }

    fn has_idle_worker(&self) -> bool {
        true
    }

    fn parked(&self, order: u64, task: TaskRef) {
        self.parked.lock().unwrap().insert(order, task);
    }

    fn unparked(&self, order: u64) -> bool {
        let task = self.parked.lock().unwrap().remove(&order);
        task.is_some()
    }

    fn entry_died(&self) {}

    fn sweep(&self) {}

    fn count_unqueued(&self) {
        self.finished.add();
    }

    /// As the real pool's.
    fn predecessors_settled(self: Arc<Self>, task: TaskRef) {
        self.announced.add();
        order_of(&task)
            .into_iter()
            .for_each(|order| self.unlist(order));
        let is_open = *self.is_open.lock();
        if is_open {
            if !task.set_off() {
                self.taken_back.add();
            }
            return;
        }
        task.cancel(CancelReason::Shutdown);
        self.taken_back.add();
    }

    fn settled_before_predecessors(&self, order: u64) {
        self.announced.add();
        self.unlist(order);
    }

    fn hung(&self, task: TaskId) {
        self.hung.add();
        let then = self.on_hung.lock().unwrap().clone();
        if let Some(then) = then {
            then(task);
        }
    }

    fn joined_on_top_of(&self, _: &Task) -> Vec<TaskRef> {
        Vec::new()
    }

    /// As the real pool's.
    fn attempt_begins(&self, task: &Task) {
        if task.head.is_planned() && task.head.is_settled() {
            self.hung(task.head.id());
        }
        if self.is_cancelling() {
            task.cancel(CancelReason::Shutdown);
        }
    }

    fn is_special(&self) -> bool {
        self.has_hook
    }

    fn has_hook(&self) -> bool {
        self.has_hook
    }

    fn around(&self, _: &Task, body: &mut dyn FnMut()) {
        body();
    }

    fn released(&self, task: &Task, kind: OutcomeKind) {
        assert_eq!(task.head.outcome_kind(), Some(kind));
    }

    fn notify_unread(&self, failure: &UnreadFailure) {
        if matches!(failure.error(), JoinError::Task(TaskError::Panicked(_))) {
            self.panics_unread.add();
        }
    }

    fn cancelling_flag(&self) -> Arc<AtomicBool> {
        self.is_cancelling.clone()
    }
}
