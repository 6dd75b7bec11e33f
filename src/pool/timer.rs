//! The timer: one thread that holds what is not due yet, and sends it on when it is.
//!
//! Layer 3. A channel in, a heap of its own. It starts at first use, and never runs or drops anything of the user's: what
//! it settles it sends to a worker, to be buried.
//
// An entry that would do nothing any more is dead: its task has settled, or has begun in time. Whoever makes one so says
// it, and when more than half of the heap is dead it is swept. The count is about right, no more: what was fired a moment
// before is counted, too.

use crate::alarm;
use crate::clock::Clock;
use crate::gate::Gate;
use crate::panic;
use crate::pool::heap::DelayHeap;
use crate::pool::report::EndedSchedule;
use crate::spawn::{Thread, spawn};
use crate::task::{OnTime, TaskRef};
use crate::wake::Wake;
use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded, unbounded};
use parking_lot::Mutex;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

pub(crate) enum Entry {
    Task(TaskRef, OnTime),
    /// A schedule is due, if it still goes by the plan with this number.
    Tick(Weak<dyn Tick>, u64),
    /// The gate is to look who of its line could pass.
    Ring(Weak<Gate>),
}

/// A schedule, as the pool sees it. Nothing here but `end` runs or drops anything of the user's.
pub(crate) trait Tick: Send + Sync {
    /// The timer's call.
    fn tick(self: Arc<Self>, plan: u64);
    /// Whether that call would still do something.
    fn awaits(&self, plan: u64) -> bool;
    /// The pool closes; gives what there was to be ended.
    fn end(&self) -> Option<EndedSchedule>;
}

enum Message {
    At(Instant, Entry),
    /// Dead entries, a turned clock, another phase of the pool: look again.
    Look,
    /// The same, and to be dropped when that is done.
    Answer(Sender<Never>),
}

/// What is never sent: that its sender is gone is the message.
#[derive(PartialEq)]
enum Never {}

/// What the timer asks of its pool.
pub(crate) trait Keeper: Send + 'static {
    /// It is due. A task of which that is not wanted any more is given back.
    fn fire(&self, task: TaskRef, what: OnTime) -> Option<TaskRef>;
    /// Whether the pool is over, and the timer with it.
    fn is_over(&self) -> bool;
    /// Whether it waits for all that it has.
    fn is_open(&self) -> bool;
    /// Whether such a task is not waited for any more.
    fn gives_up(&self, task: &TaskRef) -> bool;
    /// One of these.
    fn given_up(&self, task: TaskRef);
}

pub(crate) struct Timer {
    clock: Clock,
    sender: Sender<Message>,
    receiver: Receiver<Message>,
    /// How many entries the heap has, as of the last look.
    len: AtomicUsize,
    dead: AtomicUsize,
    /// Whether a look for the dead is on its way.
    asked: AtomicBool,
    started: AtomicBool,
    /// Whether the thread has gone, and nobody reads the channel any more.
    over: AtomicBool,
    thread: Mutex<Option<Thread>>,
}

/// A heap of less is not worth a sweep.
const SWEEP_FROM: usize = 64;

impl Timer {
    pub(crate) fn new(clock: Clock) -> Arc<Self> {
        let (sender, receiver) = unbounded();
        Arc::new(Self {
            clock,
            sender,
            receiver,
            len: AtomicUsize::new(0),
            dead: AtomicUsize::new(0),
            asked: AtomicBool::new(false),
            started: AtomicBool::new(false),
            over: AtomicBool::new(false),
            thread: Mutex::new(None),
        })
    }

    /// Files an entry; `keeper` is called for if the thread is still to be started.
    pub(crate) fn at<K: Keeper>(
        self: &Arc<Self>,
        instant: Instant,
        entry: Entry,
        name: impl FnOnce() -> String,
        keeper: impl FnOnce() -> Option<K>,
    ) {
        self.send(Message::At(instant, entry));
        if self.started.load(Ordering::SeqCst) {
            return;
        }
        let mut thread = self.thread.lock();
        if self.started.load(Ordering::Relaxed) {
            return;
        }
        // A pool that is gone has nothing to be timed.
        let Some(keeper) = keeper() else { return };
        // Before it runs: from its first look on it must hear of what is to be looked at.
        self.started.store(true, Ordering::SeqCst);
        match self.start(name(), keeper) {
            Ok(handle) => *thread = Some(handle),
            Err(error) => {
                self.started.store(false, Ordering::SeqCst);
                log::error!(
                    "no thread for a pool's timer ({error}): what it holds waits until one can be started"
                );
            }
        }
    }

    fn start<K: Keeper>(self: &Arc<Self>, name: String, keeper: K) -> io::Result<Thread> {
        let timer = self.clone();
        spawn(&self.clock, name, None, move || timer.run(&keeper))
    }

    fn send(&self, message: Message) {
        // Cannot fail: the receiver lives beside the sender.
        let _ = self.sender.send(message);
        // ORDERING: pairs with the end of `run`: either the message is emptied out there, or here.
        if self.over.load(Ordering::SeqCst) {
            self.empty();
        }
    }

    /// An entry has its task, that its pool, and that its timer: what nobody will read must not stay.
    fn empty(&self) {
        self.receiver.try_iter().for_each(drop);
    }

    /// Waits until it has looked, and handed over what is not waited for any more. It runs nothing of the user's, so that is
    /// soon.
    pub(crate) fn has_looked(&self) {
        // Through the lock: whoever starts it has done so, or failed.
        if self.thread.lock().is_none() {
            return;
        }
        let (answer, answered) = bounded(0);
        self.send(Message::Answer(answer));
        let looked = Arc::new(Looked(answered));
        self.clock.wait_before(|| {
            let weak: Weak<Looked> = Arc::downgrade(&looked);
            weak as Weak<dyn Wake>
        });
        let _ = looked.0.recv();
    }

    pub(crate) fn look(&self) {
        // ORDERING: the phase was moved before, and the thread reads it after it was said to be started.
        if self.started.load(Ordering::SeqCst) {
            self.send(Message::Look);
        }
    }

    /// So many entries are dead.
    pub(crate) fn stale(&self, entries: usize) {
        let dead = self.dead.fetch_add(entries, Ordering::Relaxed) + entries;
        let len = self.len.load(Ordering::Relaxed);
        if is_due_for_sweep(dead, len) && !self.asked.swap(true, Ordering::Relaxed) {
            self.look();
        }
    }

    /// Waits for the thread, which has been told that the pool is over.
    pub(crate) fn join(&self) {
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            // It ends by a panic only through a fault of the library's own, told by the panic hook.
            let _ = thread.join();
        }
    }

    fn run<K: Keeper>(self: Arc<Self>, keeper: &K) {
        let mut heap = DelayHeap::new();
        while !keeper.is_over() {
            let me = || {
                let weak: Weak<Self> = Arc::downgrade(&self);
                weak as Weak<dyn Wake>
            };
            let first = self.clock.receive(&self.receiver, heap.next(), me);
            // In this order: what was filed before this instant is read before anything that is due by then is fired.
            let now = self.clock.now();
            let filed = self.receiver.len();
            let mut looks = false;
            let mut answers = Vec::new();
            for message in first
                .into_iter()
                .chain(self.receiver.try_iter().take(filed))
            {
                match message {
                    Message::At(_, Entry::Task(task, OnTime::Start)) if keeper.gives_up(&task) => {
                        keeper.given_up(task);
                    }
                    Message::At(instant, entry) => heap.push(instant, entry),
                    Message::Look => looks = true,
                    Message::Answer(answer) => {
                        looks = true;
                        answers.push(answer);
                    }
                }
            }
            self.fire_due(&mut heap, now, keeper);
            if looks && !keeper.is_open() {
                self.give_up(&mut heap, keeper);
            }
            self.sweep(&mut heap);
            drop(answers);
        }
        drop(heap);
        self.over.store(true, Ordering::SeqCst);
        self.empty();
    }

    fn fire_due<K: Keeper>(&self, heap: &mut DelayHeap<Entry>, now: Instant, keeper: &K) {
        let mut dead = Vec::new();
        while let Some(entry) = heap.pop_due(now) {
            match entry {
                Entry::Task(task, what) => {
                    if let Some(task) = keeper.fire(task, what) {
                        self.one_dead_less();
                        dead.extend(last_of(task));
                    }
                }
                Entry::Ring(gate) => match gate.upgrade() {
                    Some(gate) => gate.ring(),
                    None => self.one_dead_less(),
                },
                Entry::Tick(schedule, plan) => {
                    let schedule = schedule.upgrade();
                    match schedule.filter(|schedule| schedule.awaits(plan)) {
                        Some(schedule) => schedule.tick(plan),
                        None => self.one_dead_less(),
                    }
                }
            }
        }
        Self::bury(dead);
    }

    fn one_dead_less(&self) {
        let less = |dead: usize| Some(dead.saturating_sub(1));
        let _ = self
            .dead
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// Drops the dead where that may be done.
    fn bury(dead: Vec<TaskRef>) {
        if !dead.is_empty() {
            alarm::apart(move || dead.into_iter().for_each(panic::discard));
        }
    }

    /// Hands out the tasks that are not waited for any more.
    fn give_up<K: Keeper>(&self, heap: &mut DelayHeap<Entry>, keeper: &K) {
        let given_up = heap.extract(|entry| match entry {
            Entry::Task(task, OnTime::Start) => keeper.gives_up(task),
            _ => false,
        });
        for entry in given_up {
            if let Entry::Task(task, _) = entry {
                keeper.given_up(task);
            }
        }
    }

    fn sweep(&self, heap: &mut DelayHeap<Entry>) {
        if is_due_for_sweep(self.dead.load(Ordering::Relaxed), heap.len()) {
            self.dead.store(0, Ordering::Relaxed);
            let dead = heap.extract(|entry| !entry.is_live());
            let last = dead.into_iter().filter_map(Entry::last_of_a_task);
            Self::bury(last.collect());
        }
        self.len.store(heap.len(), Ordering::Relaxed);
        self.asked.store(false, Ordering::Relaxed);
    }
}

fn is_due_for_sweep(dead: usize, len: usize) -> bool {
    len >= SWEEP_FROM && dead > len / 2
}

/// The task of a dead entry, if nobody else has it and something of the user's hangs on it still.
fn last_of(task: TaskRef) -> Option<TaskRef> {
    (Arc::strong_count(&task) == 1 && task.has_hooks()).then_some(task)
}

impl Entry {
    fn last_of_a_task(self) -> Option<TaskRef> {
        match self {
            Self::Task(task, _) => last_of(task),
            _ => None,
        }
    }

    fn is_live(&self) -> bool {
        match self {
            Self::Task(task, what) => task.awaits(*what),
            Self::Ring(gate) => gate.strong_count() > 0,
            Self::Tick(schedule, plan) => schedule
                .upgrade()
                .is_some_and(|schedule| schedule.awaits(*plan)),
        }
    }
}

impl Wake for Timer {
    fn wake(self: Arc<Self>) {
        self.send(Message::Look);
    }

    fn what(&self) -> String {
        "something to time".to_owned()
    }

    fn stays(&self) -> bool {
        self.receiver.is_empty()
    }
}

/// Whoever waits for the timer's answer: it is that nobody can answer any more.
struct Looked(Receiver<Never>);

impl Wake for Looked {
    fn wake(self: Arc<Self>) {}

    fn what(&self) -> String {
        "a pool's timer".to_owned()
    }

    fn stays(&self) -> bool {
        self.0.try_recv() == Err(TryRecvError::Empty)
    }
}
