//! The bodies that run on one worker: one, or several when a body joins a queued task and runs it
//! on top of itself.
//!
//! Layer: task.

use crate::id::TaskId;
use crate::panic;
use crate::reason::CancelReason;
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::counters::LocalCount;
use crate::sync::{AtomicCell, Mutex};
use crate::task::body::ByHand;
use crate::task::head::{Head, Site};
use crate::task::pool::{Level, TaskPool};
use crate::task::task::{Task, TaskRef};
use crossbeam_utils::atomic::AtomicCell as LocalCell;
use parking_lot::Mutex as LocalMutex;
use std::mem;
use std::ptr;
use std::sync::atomic::{AtomicU64 as LocalAtomic, Ordering::Relaxed as RELAXED};
use std::sync::{Arc, OnceLock};

/// The bodies on the stack of one worker. The worker pushes and pops them. A thread that lists or
/// cancels the running tasks reads them.
pub(crate) struct Stack {
    /// The tag of the worker's pool.
    pub(crate) owner: u32,
    /// The index of the worker in its pool.
    pub(crate) index: usize,
    /// Another one for each stack of the process.
    pub(crate) serial: u64,
    pub(crate) pool: Arc<dyn TaskPool>,
    /// Whether the pool takes part in each attempt: it has a hook around bodies, or is part of a
    /// simulation.
    pub(crate) is_special: bool,
    /// Whether a shutdown of the pool cancels what has not ended.
    is_cancelling: Arc<AtomicBool>,
    /// The innermost last.
    bodies: Mutex<Vec<TaskRef>>,
    /// Whether the last of the bodies has ended, and stays in the list until another one takes its
    /// place or the worker finds nothing to do. Written by the worker alone, and cleared with
    /// `bodies` locked. Other threads may see late that it is set, which does no harm: a body that
    /// has ended is settled.
    has_ended: AtomicBool,
    /// The submit site of the running task that only this worker has. `None` if no such task runs,
    /// or if a stand-in for it is listed.
    owned: AtomicCell<Option<Site>>,
    /// The level of the body that runs. Used by the worker alone, as is the next field.
    // Not the one of the facade: no other thread reads it.
    level: LocalCell<Level>,
    /// The task whose body submitted it, if that may still run.
    parent: Mutex<Option<TaskRef>>,
    /// A task that its innermost wait is for. Not a lock of the facade: only a thread that asks
    /// whether the pool stands still reads it, with no other lock held.
    pub(super) awaited: LocalMutex<Option<TaskRef>>,
    /// Tasks that the worker has released, and not added to the pool's count yet.
    pub(crate) done: LocalCount,
    /// Tasks that have succeeded here on the short ways. The pool counts the others.
    pub(crate) succeeded: LocalCount,
    /// About where the stack of the thread began.
    top: OnceLock<usize>,
    /// How large it is, in bytes.
    size: usize,
}

impl Stack {
    pub(crate) fn new(owner: u32, index: usize, pool: Arc<dyn TaskPool>, size: usize) -> Self {
        Self {
            owner,
            index,
            serial: next_serial(),
            is_special: pool.is_special(),
            is_cancelling: pool.cancelling_flag(),
            pool,
            // Room for the usual depth, so that no first task allocates.
            bodies: Mutex::new(Vec::with_capacity(4)),
            has_ended: AtomicBool::new(false),
            owned: AtomicCell::new(None),
            level: LocalCell::new(Level::default()),
            parent: Mutex::new(None),
            awaited: LocalMutex::default(),
            done: LocalCount::default(),
            succeeded: LocalCount::default(),
            top: OnceLock::new(),
            size,
        }
    }

    /// A body is about to run.
    pub(crate) fn push(&self, task: TaskRef) {
        self.stand_in();
        self.forget_ended();
        let mut bodies = self.bodies.lock();
        bodies.push(task);
        let asked = asked_with_the_body_below(&bodies);
        drop(bodies);
        asked.into_iter().for_each(|reason| self.cancel_top(reason));
    }

    /// The innermost body has returned.
    pub(crate) fn pop(&self) {
        drop(self.pop_task());
    }

    #[inline(never)]
    fn pop_task(&self) -> Option<TaskRef> {
        self.forget_ended();
        self.bodies.lock().pop()
    }

    // A task that only this worker has (`Task::run_owned`) is not in the list. Only its location is
    // published, by a plain store. If its body asks for its task, waits, or runs another task on
    // top of itself, a task is made that stands for it, and listed.

    /// A task that only this worker has is about to run, with no other body on the stack.
    #[inline]
    pub(crate) fn begin_owned(&self, site: Site) {
        self.owned.store(Some(site));
    }

    /// It has returned. Returns the task that stood for it, if one was made.
    #[inline]
    pub(crate) fn end_owned(&self) -> Option<TaskRef> {
        if self.owned.load().is_none() {
            return self.pop_task();
        }
        self.owned.store(None);
        None
    }

    /// If a task runs that only this worker has, lists a stand-in for it.
    #[inline]
    fn stand_in(&self) {
        if let Some(site) = self.owned.load() {
            self.list_stand_in(site);
        }
    }

    #[cold]
    fn list_stand_in(&self, site: Site) {
        let task: TaskRef = Task::new(Head::detached(self.owner, site), ByHand::<()>::new());
        task.head.try_claim(0);
        self.forget_ended();
        self.bodies.lock().push(task);
        self.owned.store(None);
        // As in `begin`.
        if let Some(reason) = self.shutdown_reason() {
            self.cancel_top(reason);
        }
    }

    /// The submit site of the running task that only this worker has. `None` if no such task runs,
    /// or if a stand-in for it is listed.
    pub(crate) fn owned_site(&self) -> Option<Site> {
        self.owned.load()
    }

    /// A bare body is about to run. It takes the place of one that has ended, if there is one, so
    /// most tasks take the lock once.
    ///
    /// A shutdown first moves the phase and then reads the bodies, under their lock. So either it
    /// finds the task there and asks it to stop, or this thread sees the new phase.
    #[inline]
    pub(crate) fn begin(&self, task: &TaskRef) {
        self.stand_in();
        let task = task.clone();
        let mut bodies = self.bodies.lock();
        let ended = match bodies.last_mut().filter(|_| self.has_ended()) {
            Some(last) => {
                // ORDERING: with the lock held, under which other threads read it.
                self.has_ended.store(false, Ordering::Relaxed);
                Some(mem::replace(last, task))
            }
            None => {
                bodies.push(task);
                None
            }
        };
        let asked = asked_with_the_body_below(&bodies);
        // Before the next line, which may take it again.
        drop(bodies);
        if let Some(reason) = asked.or_else(|| self.shutdown_reason()) {
            self.cancel_top(reason);
        }
        drop(ended);
    }

    #[inline]
    pub(crate) fn is_cancelling(&self) -> bool {
        // ORDERING: pairs with the shutdown, which sets it and then takes the lock of the bodies.
        self.is_cancelling.load(Ordering::SeqCst)
    }

    /// The bare body has returned.
    #[inline]
    pub(crate) fn end(&self) {
        // One that ran on top of it.
        self.forget_ended();
        self.has_ended.store(true, Ordering::Relaxed);
    }

    #[inline]
    fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Relaxed)
    }

    /// Removes a body that has ended.
    #[inline]
    pub(crate) fn forget_ended(&self) {
        if self.has_ended() {
            self.pop_ended();
        }
    }

    #[inline(never)]
    fn pop_ended(&self) {
        let mut bodies = self.bodies.lock();
        let ended = bodies.pop();
        // ORDERING: with the lock held, as in `begin`.
        self.has_ended.store(false, Ordering::Relaxed);
        drop(bodies);
        drop(ended);
    }

    fn shutdown_reason(&self) -> Option<CancelReason> {
        self.is_cancelling().then_some(CancelReason::Shutdown)
    }

    #[cold]
    fn cancel_top(&self, reason: CancelReason) {
        if let Some(task) = self.top() {
            task.cancel(reason);
        }
    }

    /// If this body is on the stack, the tasks on top of it that it joins, each joined by the one
    /// below it.
    pub(crate) fn joined_on_top_of(&self, task: &Task) -> Vec<TaskRef> {
        let mut below = self.listed();
        let at = below
            .iter()
            .position(|body| ptr::eq(&raw const body.head, &raw const task.head));
        let mut above = below.split_off(at.map_or(below.len(), |at| at + 1));
        let joined = above.iter().take_while(|body| body.head.is_joined());
        let rest = above.split_off(joined.count());
        // Their worker may have released them meanwhile.
        panic::discard((below, rest));
        above
    }

    /// The innermost body. Called by the worker itself.
    pub(crate) fn top(&self) -> Option<TaskRef> {
        self.stand_in();
        let bodies = self.bodies.lock();
        let running = bodies.len() - usize::from(self.has_ended());
        bodies[..running].last().cloned()
    }

    /// The number of the innermost body. Called by the worker itself.
    pub(crate) fn top_id(&self) -> Option<TaskId> {
        self.top().map(|task| task.head.id())
    }

    pub(crate) fn has(&self, task: TaskId) -> bool {
        self.bodies.lock().iter().any(|body| body.head.id() == task)
    }

    /// The bodies, the innermost last. Called by the worker itself.
    pub(crate) fn bodies(&self) -> Vec<TaskRef> {
        self.stand_in();
        self.listed()
    }

    /// The same for another thread, which may see one more that has just ended.
    pub(crate) fn listed(&self) -> Vec<TaskRef> {
        let bodies = self.bodies.lock();
        // ORDERING: with the lock held. The flag was cleared under it, when the last body came or
        // went, so it is not set for a body that runs.
        let running = bodies.len() - usize::from(self.has_ended());
        bodies[..running].to_vec()
    }

    /// For another thread: the bodies, as `listed`, and the submit site of one that is not listed.
    pub(crate) fn snapshot(&self) -> (Vec<TaskRef>, Option<Site>) {
        // In this order: a body that is listed in between is seen once, as listed.
        let owned = self.owned_site();
        let listed = self.listed();
        let owned = owned.filter(|_| listed.is_empty());
        (listed, owned)
    }

    /// How many bodies there are, for another thread.
    pub(crate) fn running(&self) -> usize {
        let bodies = self.bodies.lock();
        // ORDERING: as in `listed`.
        let listed = bodies.len() - usize::from(self.has_ended());
        listed.max(usize::from(self.owned.load().is_some()))
    }

    /// The task that its innermost wait is for.
    pub(crate) fn awaits(&self) -> Option<TaskId> {
        let awaited = self.awaited.lock().clone();
        let id = awaited.as_ref().map(|task| task.head.id());
        panic::discard(awaited);
        id
    }

    /// The level of the body that runs. Once the body that submitted it has ended, it has no
    /// parent: see [`Level::without_parent`].
    pub(crate) fn level(&self) -> Level {
        let level = self.level.load();
        if level.is_outer() {
            return level;
        }
        let ended = |parent: &mut TaskRef| parent.head.is_settled();
        let ended = self.parent.lock().take_if(ended);
        if ended.is_none() {
            return level;
        }
        // It may be the last reference, and have hooks of the user.
        panic::discard(ended);
        let level = level.without_parent();
        self.level.store(level);
        level
    }

    /// Sets the level of the body that is about to run. Returns the parent of the one before.
    pub(crate) fn set_level(&self, level: Level, parent: Option<TaskRef>) -> Option<TaskRef> {
        self.level.store(level);
        mem::replace(&mut *self.parent.lock(), parent)
    }

    /// Whether its innermost wait is for a task that will come to the front of the run queue by
    /// itself: one that a body submitted, and that waits for time, also at rate limiters if these
    /// count.
    pub(crate) fn awaits_time(&self, at_gates: bool) -> bool {
        let awaited = self.awaited.lock().clone();
        let awaits = awaited
            .as_ref()
            .is_some_and(|task| task.comes_by_itself(at_gates));
        panic::discard(awaited);
        awaits
    }

    /// The thread whose stack this is begins here.
    pub(super) fn begins_here(&self) {
        self.top.get_or_init(stack_position);
    }

    /// Whether more than half of the thread's stack is in use.
    pub(crate) fn is_deep(&self) -> bool {
        let top = self.top.get().copied().unwrap_or_default();
        top.abs_diff(stack_position()) > self.size / 2
    }
}

/// Why the last of these bodies is asked to stop, if the one below it was while it waited for it. A
/// thread that asks a body to stop first notes that and then reads the list, under its lock. So
/// either it finds there what runs on top of the body, or the note is seen here.
fn asked_with_the_body_below(bodies: &[TaskRef]) -> Option<CancelReason> {
    let [.., below, last] = bodies else {
        return None;
    };
    let asked = below.head.stop_reason();
    asked.filter(|_| last.head.is_joined())
}

fn next_serial() -> u64 {
    // Not an atomic of the facade, which has no statics: no wait depends on it.
    static NEXT: LocalAtomic = LocalAtomic::new(0);
    NEXT.fetch_add(1, RELAXED)
}

/// About where the stack is now.
#[inline(never)]
fn stack_position() -> usize {
    let here = 0_u8;
    std::hint::black_box(&raw const here) as usize
}
