//! The timer: one thread that holds what is not due yet, and sends it on when it is due.
//!
//! A channel in, and a queue of its own. The thread starts at first use. It never runs or drops
//! code of the user: what it settles it sends to a worker, which cleans up.
//
// An entry that would do nothing any more is dead: its task has settled, or has begun in time. The
// thread that makes an entry dead counts it, and not before, since a sweep clears the count. When
// more than half of the queue is dead, the timer sweeps it. The count is only about right: an entry
// that was fired a moment before is counted, too.

use crate::clock::spawn::{Thread, spawn};
use crate::clock::{Clock, Monitor, hooks};
use crate::panic::{self, Level};
use crate::pool::core::Core;
use crate::pool::lifecycle::Phase;
use crate::pool::report::PendingTask;
use crate::sync::deadline_queue::{DeadlineQueue, is_mostly_dead};
use crate::sync::waiter::ClockWaiter;
use crate::task::options::Position;
use crate::task::timed::OnTime;
use crate::task::{Task, TaskRef};
use crossbeam_channel::{Receiver, Sender, unbounded};
use parking_lot::Mutex;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

pub(crate) enum TimerEntry {
    Task(TaskRef, OnTime),
    /// The alarm of a gate, or a schedule as it is planned now. To wake it runs or drops no code of
    /// the user.
    Waiter(Weak<dyn ClockWaiter>),
}

enum Message {
    Add(Instant, TimerEntry),
    /// Entries died, the clock was turned, or the phase of the pool has changed: check, and answer
    /// the requests up to this number.
    Check(u64),
}

/// The requests of threads that wait until the timer has checked.
#[derive(Default)]
struct Requests {
    made: u64,
    answered: u64,
    /// The timer has ended, and answers no more.
    is_over: bool,
}

pub(crate) struct Timer {
    clock: Clock,
    sender: Sender<Message>,
    receiver: Receiver<Message>,
    /// How many entries the queue had after the last check.
    len: AtomicUsize,
    dead: AtomicUsize,
    /// Whether a message is on its way that makes the thread sweep.
    sweep_requested: AtomicBool,
    requests: Monitor<Requests>,
    started: AtomicBool,
    /// Whether the thread has ended, and no thread reads the channel any more.
    is_over: AtomicBool,
    thread: Mutex<Option<Thread>>,
}

impl Timer {
    pub(crate) fn new(clock: Clock) -> Arc<Self> {
        let (sender, receiver) = unbounded();
        Arc::new(Self {
            clock,
            sender,
            receiver,
            len: AtomicUsize::new(0),
            dead: AtomicUsize::new(0),
            sweep_requested: AtomicBool::new(false),
            requests: Monitor::new(Requests::default()),
            started: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            thread: Mutex::new(None),
        })
    }

    /// Adds an entry, and starts the thread if there is none.
    pub(crate) fn add(self: &Arc<Self>, instant: Instant, entry: TimerEntry, core: &Core) {
        self.send(Message::Add(instant, entry));
        // ORDERING: sequentially consistent; pairs with the store below, see there.
        if self.started.load(Ordering::SeqCst) {
            return;
        }
        let mut thread = self.thread.lock();
        if self.started.load(Ordering::Relaxed) {
            return;
        }
        // A pool that is gone has nothing to be timed.
        let Some(its_core) = core.me.upgrade() else {
            return;
        };
        // ORDERING: stored before the thread runs; pairs with the load in `check`. A thread that
        // changes the phase either finds it stored and sends a message, or the new thread, which
        // reads the phase later, finds the phase changed.
        self.started.store(true, Ordering::SeqCst);
        let error = match self.start(its_core) {
            Ok(handle) => {
                *thread = Some(handle);
                return;
            }
            Err(error) => error,
        };
        // ORDERING: as above.
        self.started.store(false, Ordering::SeqCst);
        drop(thread);
        core.log(
            Level::Error,
            format_args!(
                "no thread for a pool's timer ({error}): what it holds waits until one can be started"
            ),
        );
    }

    fn start(self: &Arc<Self>, core: Arc<Core>) -> io::Result<Thread> {
        let timer = self.clone();
        let name = format!("{}-timer", core.options.name_prefix);
        let run = Box::new(move || timer.run(&core));
        spawn(&self.clock, name, None, run)
    }

    fn send(&self, message: Message) {
        // Cannot fail: the receiver is beside the sender.
        let _ = self.sender.send(message);
        // ORDERING: sequentially consistent, as the channel is; pairs with the end of `run`.
        // Either that empties the channel of this message, or this call does.
        if self.is_over.load(Ordering::SeqCst) {
            self.empty();
        }
    }

    /// Drops messages that no thread will read. An entry has its task, the task its pool, and the
    /// pool this timer: left in the channel, they would keep each other alive.
    fn empty(&self) {
        drop_entries(
            self.receiver
                .try_iter()
                .filter_map(|message| match message {
                    Message::Add(_, entry) => Some(entry),
                    Message::Check(_) => None,
                }),
        );
    }

    /// Waits until the thread has checked, and has handed over the tasks that the pool gives up.
    /// The thread runs no code of the user, so that is soon.
    pub(crate) fn wait_for_check(&self) {
        // Through the lock: a thread that is starting the timer has then done so, or has failed.
        if self.thread.lock().is_none() {
            return;
        }
        let mut requests = self.requests.lock();
        requests.made += 1;
        let mine = requests.made;
        drop(requests);
        self.send(Message::Check(mine));
        let mut requests = self.requests.lock();
        let what = "a pool's timer";
        self.requests
            .wait_while(&mut requests, &self.clock, None, &what, &mut |requests| {
                requests.answered < mine && !requests.is_over
            });
    }

    /// Has the thread check the queue, after the phase of the pool has changed.
    pub(crate) fn check(&self) {
        // ORDERING: pairs with the store in `add`; the phase was changed before.
        if self.started.load(Ordering::SeqCst) {
            self.send(Message::Check(0));
        }
    }

    /// So many entries have died.
    pub(crate) fn count_dead(&self, entries: usize) {
        // ORDERING: sequentially consistent; pairs with `sweep`, see there.
        let dead = self.dead.fetch_add(entries, Ordering::SeqCst) + entries;
        let len = self.len.load(Ordering::SeqCst);
        if is_mostly_dead(dead, len) && !self.sweep_requested.swap(true, Ordering::SeqCst) {
            self.check();
        }
    }

    /// Waits for the end of the thread. The pool is over, and the thread has been notified of
    /// that.
    pub(crate) fn join(&self) {
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            // It ends by a panic only through a fault of the library, which the panic hook
            // reports.
            let _ = thread.join();
        }
    }

    fn run(self: Arc<Self>, core: &Arc<Core>) {
        let mut queue = DeadlineQueue::new();
        while core.lifecycle.phase() != Phase::Over {
            let me = || {
                let weak: Weak<Self> = Arc::downgrade(&self);
                weak as Weak<dyn ClockWaiter>
            };
            let first = self.clock.receive(&self.receiver, queue.next(), me);
            // In this order: what was added before this instant is read before anything that is
            // due by then is fired. A request that came after it may be about a later one.
            let in_time = self.receiver.len() + usize::from(first.is_some());
            let now = self.clock.now();
            let sent = self.receiver.len();
            let messages = first.into_iter().chain(self.receiver.try_iter().take(sent));
            let mut checks = false;
            let mut request = 0;
            let mut dead = Vec::new();
            for (at, message) in messages.enumerate() {
                match message {
                    Message::Check(number) if number > 0 && at >= in_time => {
                        self.send(Message::Check(number));
                    }
                    Message::Add(_, TimerEntry::Task(task, OnTime::Start))
                        if gives_up(core, &task) =>
                    {
                        give_up(core, task);
                    }
                    // It died on its way. A sweep in between has taken its count as that of an
                    // entry in the queue, so that no other sweep would come for it.
                    Message::Add(_, entry) if !entry.is_live() => dead.push(entry),
                    Message::Add(instant, entry) => queue.push(instant, entry),
                    Message::Check(number) => {
                        checks = true;
                        request = request.max(number);
                    }
                }
            }
            drop_entries(dead);
            self.fire_due(&mut queue, now, core);
            if checks && core.lifecycle.phase() != Phase::Open {
                give_up_all(&mut queue, core);
            }
            self.sweep(&mut queue);
            if request > 0 {
                self.answer(request);
            }
        }
        drop_entries(queue.extract(|_| true));
        // ORDERING: pairs with the load in `send`.
        self.is_over.store(true, Ordering::SeqCst);
        self.empty();
        self.requests.lock().is_over = true;
        self.requests.notify_all();
    }

    /// Answers the requests up to this number. Two of them may have been read in the other order:
    /// what was added before the earlier one was made was also read before the later one.
    fn answer(&self, request: u64) {
        let mut requests = self.requests.lock();
        requests.answered = requests.answered.max(request);
        drop(requests);
        self.requests.notify_all();
    }

    fn fire_due(&self, queue: &mut DeadlineQueue<TimerEntry>, now: Instant, core: &Arc<Core>) {
        let mut dead = Vec::new();
        while let Some(entry) = queue.pop_due(now) {
            match entry {
                TimerEntry::Task(task, what) => {
                    if let Some(task) = fire(core, task, what) {
                        self.uncount_dead();
                        dead.push(TimerEntry::Task(task, what));
                    }
                }
                TimerEntry::Waiter(waiter) => match waiter.upgrade() {
                    Some(waiter) => waiter.wake(),
                    None => self.uncount_dead(),
                },
            }
        }
        drop_entries(dead);
    }

    /// A dead entry has left the queue.
    fn uncount_dead(&self) {
        let less = |dead: usize| Some(dead.saturating_sub(1));
        let _ = self
            .dead
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// Drops the dead entries if more than half of the queue is dead.
    fn sweep(&self, queue: &mut DeadlineQueue<TimerEntry>) {
        // ORDERING: sequentially consistent, and in this order; pairs with `count_dead`. A thread
        // that counts an entry too late for this call finds that no sweep is requested.
        self.len.store(queue.len(), Ordering::SeqCst);
        self.sweep_requested.store(false, Ordering::SeqCst);
        // A thread that counts an entry during a sweep compares with the length from before.
        while is_mostly_dead(self.dead.load(Ordering::SeqCst), queue.len()) {
            self.dead.store(0, Ordering::Relaxed);
            drop_entries(queue.extract(|entry| !entry.is_live()));
            self.len.store(queue.len(), Ordering::SeqCst);
        }
    }
}

/// An entry of a task is due. Returns the task if the entry is dead.
fn fire(core: &Arc<Core>, task: TaskRef, what: OnTime) -> Option<TaskRef> {
    if what == OnTime::Start {
        return task.start(&**core);
    }
    if !task.awaits(what) {
        return Some(task);
    }
    // The cleanup is counted before the task is settled, so that no thread finds the pool idle in
    // between.
    core.lifecycle.hold();
    match task.on_time(what) {
        Some(cleanup) => core.push_cleanup(cleanup),
        None => core.release(),
    }
    None
}

/// Whether the pool, which is closing, cancels a task that waits for its start.
fn gives_up(core: &Core, task: &Task) -> bool {
    match core.lifecycle.phase() {
        Phase::Open => false,
        // ORDERING: as the phase.
        Phase::Draining => task.attempts() == 0 && !core.waits_for_delayed.load(Ordering::SeqCst),
        Phase::Finishing | Phase::Cancelling | Phase::Over => true,
    }
}

/// Hands over all tasks that the pool cancels.
fn give_up_all(queue: &mut DeadlineQueue<TimerEntry>, core: &Arc<Core>) {
    let given_up = queue.extract(|entry| match entry {
        TimerEntry::Task(task, OnTime::Start) => gives_up(core, task),
        _ => false,
    });
    for entry in given_up {
        if let TimerEntry::Task(task, _) = entry {
            give_up(core, task);
        }
    }
}

fn give_up(core: &Arc<Core>, task: TaskRef) {
    let is_fresh = task.attempts() == 0;
    // It is cancelled as if it had an entry in the run queue.
    if !task.head.move_to(Position::Queue) {
        return;
    }
    if is_fresh {
        core.not_due.lock().push(PendingTask {
            id: task.head.id(),
            name: task.head.name(),
            site: task.head.site,
        });
    }
    core.hand_over(task);
}

/// Drops entries, and on another thread those that may have the last reference to hooks of the
/// user.
fn drop_entries(entries: impl IntoIterator<Item = TimerEntry>) {
    let tasks = entries.into_iter().filter_map(|entry| match entry {
        TimerEntry::Task(task, _) => task.has_hooks().then_some(task),
        TimerEntry::Waiter(_) => None,
    });
    for task in tasks {
        let what = "the drop of the hooks of the task submitted at";
        hooks::call_in_background(what, task.head.site, || panic::discard(task));
    }
}

impl TimerEntry {
    fn is_live(&self) -> bool {
        match self {
            Self::Task(task, what) => task.awaits(*what),
            Self::Waiter(waiter) => waiter.strong_count() > 0,
        }
    }
}

/// For the timer's thread.
impl ClockWaiter for Timer {
    fn wake(self: Arc<Self>) {
        self.send(Message::Check(0));
    }

    fn waits_for(&self) -> String {
        "something to time".to_owned()
    }

    fn is_blocked(&self) -> bool {
        self.receiver.is_empty()
    }
}
