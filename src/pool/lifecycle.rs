//! The life of a pool: its phase, whether it is idle, and its schedules, which end with it.
//!
//! A pool is idle if each task that was submitted is finished: settled and released, and counted.
//
// # Whether it is idle
//
// Two sums only grow: what has begun, and what has ended. What begins is a task that is submitted
// or that continues others and is ready; and work of the pool's own, which is `held`: a cleanup, a
// check of the timer. Each is counted before anything else happens to it, so ended <= begun. Read
// what has ended, then what has begun. If they are equal the pool was idle at the moment between
// the reads: what had ended was then at least what had been read, and what had begun at most what
// is read next.
//
// Statistics read `submitted` and `continued`. So a task counts there at its submission, and one
// that the pool refuses counts as one that has ended.
//
// A worker counts what it has finished for itself, and adds that to `finished` when it looks for
// work or exits. So `finished` lags behind while a worker is at work, and the pool is not idle
// then.
//
// # Who wakes the threads that wait for that
//
// Every worker that finds the queue empty after it has run something, and every thread that
// withdraws a task. Such a thread first counts, and then reads `watchers`. A thread that waits
// first adds itself to `watchers`, and then reads the counters. All of these accesses are
// sequentially consistent, so one of the two threads sees what the other did: the last thread that
// counts wakes the waiter, or the waiter finds the pool idle.

use crate::clock::{Clock, Monitor};
use crate::observe::ScheduleInfo;
use crate::pool::report::EndedSchedule;
use crate::sync::MutexGuard;
use crate::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use crate::sync::counters::Striped;
use crate::sync::number_map::NumberMap;
use crate::task::TaskRef;
use parking_lot::Mutex;
use std::mem;
use std::sync::Arc;
use std::time::Instant;

/// How far the end of a pool has come. Phases only go forward, and some are passed over.
///
/// Guide: [shutdown](crate::guide::shutdown).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
#[repr(u8)]
pub enum Phase {
    /// The pool takes tasks.
    Open,
    /// It takes only what its own tasks submit, and runs what it has.
    Draining,
    /// It takes no task. What is queued is cancelled, and what runs is left alone.
    Finishing,
    /// It takes no task. What is queued is cancelled, what runs is asked to stop.
    Cancelling,
    /// No task is queued and none runs: the workers exit.
    Over,
}

impl Phase {
    fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Open,
            1 => Self::Draining,
            2 => Self::Finishing,
            3 => Self::Cancelling,
            _ => Self::Over,
        }
    }
}

pub(crate) struct Lifecycle {
    phase: AtomicU8,
    /// Whether the phase is `Cancelling` or later, for the workers. Set right after the phase, and
    /// so before the shutdown looks for what runs.
    is_cancelling: Arc<AtomicBool>,
    /// Tasks that were submitted, without those that continue others.
    submitted: Striped,
    /// Tasks that continue others, and those of them that are ready.
    continued: Striped,
    ready: Striped,
    finished: Striped,
    /// Work of the pool's own, and that which is done.
    held: Striped,
    released: Striped,
    /// How many threads wait for the pool to be idle. A closed pool counts as one more.
    watchers: AtomicUsize,
    /// How many threads of workers have not ended yet.
    threads: AtomicUsize,
    /// Notified when the pool may be idle, when the phase has changed, when a task was left to the
    /// shutdowns, and when a thread ends.
    shutdowns: Monitor<Shutdowns>,
    schedules: Mutex<Schedules>,
}

#[derive(Default)]
pub(crate) struct Shutdowns {
    /// How many calls of `shutdown` wait. They cancel the tasks in `to_cancel`.
    pub(crate) waiting: usize,
    /// Tasks that a worker popped while the pool was cancelling, or that the timer gave up. A
    /// shutdown cancels them, and drops their closures.
    pub(crate) to_cancel: Vec<TaskRef>,
    /// Whether a shutdown is joining the threads. Another one waits for that: when it returns, the
    /// threads are gone.
    pub(crate) is_joining: bool,
    /// When shutdowns that were interrupted meant to cancel, and to give up: the earliest instants.
    pub(crate) cancel_at: Option<Instant>,
    pub(crate) give_up_at: Option<Instant>,
}

#[derive(Default)]
struct Schedules {
    next_key: u64,
    /// By their keys, so in the order in which they were made.
    live: NumberMap<ListedSchedule>,
    /// Those that a shutdown ended.
    ended: Vec<EndedSchedule>,
}

/// A schedule, as the pool knows it.
pub(crate) struct ListedSchedule {
    /// Ends it. Returns it unless it had ended before.
    pub(crate) end: Box<dyn FnOnce() -> Option<EndedSchedule> + Send>,
    /// Describes it. Called with no lock held.
    pub(crate) info: Arc<dyn Fn() -> ScheduleInfo + Send + Sync>,
    /// Pauses it if the argument is true, or else resumes it. Called with no lock held.
    #[cfg_attr(not(feature = "dashboard"), allow(dead_code))] // The dashboard calls it.
    pub(crate) set_paused: Arc<dyn Fn(bool) + Send + Sync>,
}

impl Lifecycle {
    pub(crate) fn new() -> Self {
        Self {
            phase: AtomicU8::new(Phase::Open as u8),
            is_cancelling: Arc::new(AtomicBool::new(false)),
            submitted: Striped::default(),
            continued: Striped::default(),
            ready: Striped::default(),
            finished: Striped::default(),
            held: Striped::default(),
            released: Striped::default(),
            watchers: AtomicUsize::new(0),
            threads: AtomicUsize::new(0),
            shutdowns: Monitor::new(Shutdowns::default()),
            schedules: Mutex::new(Schedules::default()),
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        // ORDERING: sequentially consistent, as is `advance`. A submitter counts its task and then
        // reads the phase. A shutdown moves the phase and then reads the counters. One of the two
        // sees what the other did.
        Phase::from_number(self.phase.load(Ordering::SeqCst))
    }

    /// Moves on to `phase`, unless the pool is as far already. Returns the phase before.
    pub(crate) fn advance(&self, phase: Phase) -> Phase {
        // ORDERING: pairs with `phase`.
        let before = self.phase.fetch_max(phase as u8, Ordering::SeqCst);
        if phase >= Phase::Cancelling {
            // ORDERING: pairs with `Stack::begin`.
            self.is_cancelling.store(true, Ordering::SeqCst);
        }
        Phase::from_number(before)
    }

    pub(crate) fn cancelling_flag(&self) -> Arc<AtomicBool> {
        self.is_cancelling.clone()
    }

    // Counting.

    pub(crate) fn task_added(&self) {
        self.submitted.add();
    }

    pub(crate) fn tasks_finished(&self, tasks: u64) {
        self.finished.add_many(tasks);
    }

    /// A task that continues others is submitted.
    pub(crate) fn continuation_added(&self) {
        self.continued.add();
    }

    /// It counts as pending from now on, until it is finished.
    pub(crate) fn continuation_ready(&self) {
        self.ready.add();
    }

    /// Work of the pool's own begins: until its end the pool is not idle.
    pub(crate) fn hold(&self) {
        self.held.add();
    }

    pub(crate) fn release(&self) {
        self.released.add();
    }

    /// How many tasks were submitted.
    pub(crate) fn submitted(&self) -> u64 {
        self.submitted.sum() + self.continued.sum()
    }

    pub(crate) fn is_idle(&self) -> bool {
        let ended = self.finished.sum() + self.released.sum();
        ended == self.submitted.sum() + self.ready.sum() + self.held.sum()
    }

    // Waiting.

    /// Wakes the threads that wait if the pool is idle. Returns whether it is and any wait. Called
    /// after what the caller has finished is counted.
    pub(crate) fn notify_if_idle(&self) -> bool {
        // ORDERING: sequentially consistent, as the counters are; pairs with `watch`.
        if self.watchers.load(Ordering::SeqCst) == 0 || !self.is_idle() {
            return false;
        }
        self.notify_all();
        true
    }

    /// Wakes all threads that wait, to check again.
    pub(crate) fn notify_all(&self) {
        self.shutdowns.lock_and_notify_all();
    }

    /// From now on `notify_if_idle` notifies.
    pub(crate) fn watch(&self) {
        // ORDERING: pairs with `notify_if_idle`.
        self.watchers.fetch_add(1, Ordering::SeqCst);
    }

    fn unwatch(&self) {
        self.watchers.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Shutdowns> {
        self.shutdowns.lock()
    }

    /// Waits until `blocked` returns false, or until `deadline`. Returns whether it returned
    /// false. It is called after each notification.
    pub(crate) fn wait_while(
        &self,
        shutdowns: &mut MutexGuard<'_, Shutdowns>,
        clock: &Clock,
        deadline: Option<Instant>,
        blocked: &mut dyn FnMut(&mut Shutdowns) -> bool,
    ) -> bool {
        let what = "a pool to have nothing left to do";
        self.shutdowns
            .wait_while(shutdowns, clock, deadline, &what, blocked)
    }

    /// Waits until the pool is idle, or until `deadline`, or until `ends`. Returns whether it is
    /// idle.
    pub(crate) fn wait_idle(
        &self,
        clock: &Clock,
        deadline: Option<Instant>,
        ends: &dyn Fn() -> bool,
    ) -> bool {
        self.watch();
        let mut shutdowns = self.lock();
        let mut is_idle = false;
        self.wait_while(&mut shutdowns, clock, deadline, &mut |_| {
            is_idle = self.is_idle();
            !is_idle && !ends()
        });
        drop(shutdowns);
        self.unwatch();
        is_idle
    }

    // Threads.

    /// A thread is about to start.
    pub(crate) fn thread_starts(&self) {
        self.threads.fetch_add(1, Ordering::Relaxed);
    }

    /// A thread is about to end, or did not start.
    pub(crate) fn thread_ends(&self) {
        self.threads.fetch_sub(1, Ordering::Relaxed);
        // Through the lock, with which a shutdown reads the number.
        self.notify_all();
    }

    pub(crate) fn has_threads(&self) -> bool {
        self.threads.load(Ordering::Relaxed) > 0
    }

    // Schedules. The pool owns them, since a program need not keep their handles.

    /// A key for a schedule that is being made.
    pub(crate) fn new_schedule(&self) -> u64 {
        let mut schedules = self.schedules.lock();
        schedules.next_key += 1;
        schedules.next_key
    }

    /// Adds a schedule if the pool is open, and returns whether it is. The phase is read with the
    /// lock held. A pool first closes and then ends its schedules. So either this finds the pool
    /// closed, or the closing thread finds the schedule.
    pub(crate) fn add_schedule(&self, key: u64, schedule: ListedSchedule) -> bool {
        let mut schedules = self.schedules.lock();
        let is_open = self.phase() == Phase::Open;
        if is_open {
            schedules.live.insert(key, schedule);
        }
        is_open
    }

    pub(crate) fn remove_schedule(&self, key: u64) {
        let gone = self.schedules.lock().live.remove(key);
        drop(gone);
    }

    /// Ends all schedules, and drops the user's closures of them here.
    pub(crate) fn end_schedules(&self) {
        let live = mem::take(&mut self.schedules.lock().live);
        for schedule in live.into_values() {
            if let Some(ended) = (schedule.end)() {
                self.schedules.lock().ended.push(ended);
            }
        }
    }

    /// Describes the schedules that go on.
    pub(crate) fn schedules(&self) -> Vec<ScheduleInfo> {
        let schedules = self.schedules.lock();
        let infos: Vec<_> = schedules
            .live
            .iter()
            .map(|(_, one)| one.info.clone())
            .collect();
        drop(schedules);
        infos.into_iter().map(|info| info()).collect()
    }

    /// Pauses or resumes the schedule with this key. Returns whether there is one.
    #[cfg(feature = "dashboard")]
    pub(crate) fn set_schedule_paused(&self, key: u64, is_paused: bool) -> bool {
        let schedules = self.schedules.lock();
        let found = schedules.live.get(key).map(|one| one.set_paused.clone());
        drop(schedules);
        found.map(|set_paused| set_paused(is_paused)).is_some()
    }

    /// The schedules that a shutdown ended.
    pub(crate) fn ended_schedules(&self) -> Vec<EndedSchedule> {
        self.schedules.lock().ended.clone()
    }
}
