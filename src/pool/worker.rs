//! A worker: the loop of one thread.
//!
//! Layer 3.

use crate::here;
use crate::panic::{self};
use crate::pool::core::Core;
use crate::pool::crew::Desk;
use crate::pool::options::WorkerHook;
use crate::pool::phase::Phase;
use crate::pool::queue::{Item, RunQueue, Takes};
use crate::pool::worker_local;
use crate::seat::{self};
use crate::task::{self, Queued, Run, TaskRef};
use crate::wake::Wake;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

pub(crate) struct Worker {
    pub(crate) core: Arc<Core>,
    pub(crate) desk: Arc<Desk>,
    /// Where this thread's stack began, about.
    stack_top: usize,
    /// In a simulation: how many attempts it has begun.
    pub(crate) begun: AtomicU64,
}

/// What came of a task that a worker took up.
pub(crate) enum Performed {
    Ran,
    /// It waits elsewhere, and will come again.
    Away,
    /// Somebody else had claimed or cancelled it.
    Gone(TaskRef),
    /// The pool cancels: the closure is left to whoever shuts it down.
    PoolCancels(Arc<dyn Queued>),
}

impl Worker {
    /// Runs a task and counts it, up to its retirement.
    pub(crate) fn perform(&self, task: Arc<dyn Queued>) -> Performed {
        if self.core.phase.get() >= Phase::Cancelling {
            return Performed::PoolCancels(task);
        }
        if self.core.clock().simulated().is_some() {
            return self.perform_told(task);
        }
        self.ran(task.run(self))
    }

    fn ran(&self, run: Run) -> Performed {
        match run {
            Run::Done(ran) => {
                let kind = ran.kind;
                ran.retire();
                self.core.came_to(kind);
                self.desk.done.add();
                Performed::Ran
            }
            Run::Away => Performed::Away,
            Run::Gone(task) => Performed::Gone(task),
        }
    }

    /// In a simulation, whose trace tells of it.
    #[cold]
    fn perform_told(&self, queued: Arc<dyn Queued>) -> Performed {
        let task = queued.clone().task();
        let begun = self.begun.load(Ordering::Relaxed);
        let run = queued.run(self);
        let what = match &run {
            Run::Done(ran) => Some(format!("{:?}", ran.kind)),
            // Not if it went to a gate's line.
            Run::Away if self.begun.load(Ordering::Relaxed) > begun => {
                Some("goes for another attempt".to_owned())
            }
            Run::Away | Run::Gone(_) => None,
        };
        if let (Some(task), Some(what)) = (&task, what) {
            self.core.note(&**task, || what);
        }
        self.ran(run)
    }

    /// Runs a task whose ticket was read.
    fn take_on(&self, task: Arc<dyn Queued>) {
        match self.perform(task) {
            Performed::Ran => {}
            Performed::Away => {
                // After it went: a shutdown first moves the phase and then takes what waits at the gates, so either it
                // finds the task there, or the phase is seen here.
                if self.core.phase.get() >= Phase::Cancelling {
                    self.core.recall_parked();
                }
            }
            Performed::Gone(task) => self.core.bury(&*task),
            Performed::PoolCancels(task) => self.core.leave_behind(task),
        }
    }

    /// Looks for work until it is time to leave. Starts, and leaves, as one who looks.
    fn work(self: &Arc<Self>) {
        let core = &self.core;
        let mut looking = true;
        let takes = Takes::default();
        loop {
            if let Some(sim) = core.clock().simulated().filter(|_| !looking) {
                sim.pause();
            }
            if self.leaves(looking) {
                return;
            }
            let item = match self.next(looking, &takes) {
                Some(item @ (Item::Task(_) | Item::Remains(_))) => item,
                Some(Item::Look) => continue,
                None => {
                    // What it did is told before it looks on, and the reasons to leave are weighed again once it is
                    // known to be idle.
                    looking = true;
                    self.hand_in();
                    core.seats.look_for_work();
                    core.told();
                    continue;
                }
            };
            if std::mem::take(&mut looking) {
                core.seats.found_work();
                if core.seats.is_short() {
                    core.call_spare();
                }
            }
            match item {
                Item::Task(ticket) => self.take_on(ticket.redeem()),
                Item::Remains(remains) => core.bury_remains(remains),
                Item::Look => {}
            }
        }
    }

    /// The next item; one who looks for work waits for it, one who was at work says that there is none.
    fn next(self: &Arc<Self>, looking: bool, takes: &Takes) -> Option<Item> {
        let (queue, clock) = (&self.core.queue, self.core.clock());
        if let Some(ticket) = self.desk.mail.try_next() {
            queue.pass_on_look();
            return Some(Item::Task(ticket));
        }
        let item = queue.try_pop(takes);
        if item.is_some() || !looking {
            return item;
        }
        if clock.simulated().is_none() {
            return Some(queue.pop(takes, &self.desk.mail));
        }
        clock.wait_before(|| {
            let weak: Weak<Self> = Arc::downgrade(self);
            weak as Weak<dyn Wake>
        });
        let mail = self.desk.mail.take().map(Item::Task);
        mail.or_else(|| queue.try_pop(takes)).or(Some(Item::Look))
    }

    /// Whether this thread is one too many, or the pool is over; if so it is no longer counted, nor in the crew.
    fn leaves(&self, looking: bool) -> bool {
        let core = &self.core;
        let over = core.phase.get() == Phase::Over;
        if !(over || core.seats.is_over()) {
            return false;
        }
        // While a report finds its desk.
        self.hand_in();
        if !core.sign_off(&self.desk, looking) {
            return false;
        }
        // The look that it may have read was not for it alone.
        core.queue.pass_on_look();
        core.told();
        true
    }

    /// Adds to the pool's count of what is done what was done here.
    fn hand_in(&self) {
        self.core.quiet.done(self.desk.done.take());
    }

    /// Whether more than half of this thread's stack is in use.
    pub(crate) fn is_deep(&self) -> bool {
        let used = self.stack_top.abs_diff(stack_position());
        used > self.core.options.stack_size / 2
    }
}

/// About where the stack is now.
#[inline(never)]
fn stack_position() -> usize {
    let here = 0_u8;
    std::hint::black_box(&raw const here) as usize
}

/// The life of a worker's thread.
pub(crate) fn main(core: Arc<Core>, desk: Arc<Desk>) {
    here::set(core.clock().clone());
    let worker = Arc::new(Worker {
        core,
        desk,
        stack_top: stack_position(),
        begun: AtomicU64::new(0),
    });
    // The hooks are no tasks, and the thread is no worker to them: what they submit comes from outside, so that no drain
    // ends between its last look and a submission that nobody had announced.
    let run_hook = |what: &str, hook: &Option<WorkerHook>| {
        if let Some(hook) = hook {
            let index = worker.desk.index;
            worker.core.serve(|| panic::shield(what, || hook(index)));
        }
    };
    let options = &worker.core.options;
    run_hook("the on_worker_start hook", &options.on_worker_start);
    seat::set(Some(worker.clone()));
    task::set_host(Some(worker.clone()));
    // User code runs in `catch` alone, so this returns unless the library itself has a fault; the stop hook is told
    // even then.
    let end = panic::catch(|| worker.work());
    task::set_host(None);
    seat::set(None);
    // Their drops are the user's, too. The hooks stand around them as they do around the tasks.
    worker.core.serve(worker_local::drop_all);
    run_hook("the on_worker_stop hook", &options.on_worker_stop);
    if let Err(payload) = end {
        std::panic::resume_unwind(payload);
    }
}

/// In a simulation, where an idle one waits for a message; in life the parking wakes it.
impl Wake for Worker {
    fn wake(self: Arc<Self>) {}

    fn what(&self) -> String {
        "a task to run".to_owned()
    }

    fn stays(&self) -> bool {
        !self.core.queue.has_message() && self.desk.mail.is_empty()
    }
}

impl Core {
    /// The tasks in the lines of gates, which will not be called any more.
    pub(crate) fn take_parked(&self) -> Vec<TaskRef> {
        let parked = std::mem::take(&mut *self.parked.lock());
        let tasks = parked.into_values();
        tasks.filter(|task| task.recall()).collect()
    }

    /// A worker has let a task go to a gate's line while the pool began to cancel.
    fn recall_parked(&self) {
        for task in self.take_parked() {
            self.leave_behind(task.queued());
        }
    }

    /// A worker of a cancelling pool has read a task: its closure is to be dropped by whoever shuts the pool down, if
    /// that one is still there, or here.
    fn leave_behind(&self, task: Arc<dyn Queued>) {
        let mut watch = self.quiet.lock();
        if watch.sweepers > 0 {
            watch.left_behind.push(task);
            drop(watch);
            self.quiet.poke();
            return;
        }
        drop(watch);
        self.cancel_unrun(task);
    }
}
