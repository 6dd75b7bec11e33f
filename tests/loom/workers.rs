//! loom models of a worker's stack and run slot: bodies begin, wait and end on it, while other threads look
//! through the stack and revoke the run slot of a body whose time is over.
//!
//! Checked with LOOM_MAX_PREEMPTIONS=3.
//
// Stack, worker state, run slots, tasks and their waits are the real ones. The steps of
// `pool::worker::Worker` are copied, without threads: a spare that is due is a number. The pool is a
// double, and `hung` has the steps of the real pool's.

use super::*;
use crate::cancel::CancelToken;
use crate::cancel::blocking::{self, Target};
use crate::pool::slot_counts::Ready;
use crate::pool::spares::Spare;
use crate::reason::CancelReason;
use crate::sync::waiter::{ClockWaiter, listener_here, set_listener};
use crate::task::body::PlainBody;
use crate::task::current;
use crate::task::double::{Count, Pool, owner};
use crate::task::options::{Extras, Progress, TaskOptions};
use crate::task::pool::Level;
use crate::task::timed::OnTime;
use crate::task::{Head, OutcomeKind, RunResult, Task, TaskHandle, TaskRef, promise};
use loom::thread;
use std::panic::Location;
use std::sync::OnceLock;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

struct Worker {
    state: WorkerState,
    run_slots: RunSlots,
    nudges: Count,
    spares: Count,
}

impl Worker {
    /// Of a pool with one run slot. It is busy.
    fn new(pool: &Pool, max_spares: usize) -> Arc<Self> {
        let run_slots = RunSlots::new(1, max_spares);
        run_slots.becomes_busy();
        Arc::new(Self {
            state: WorkerState {
                stack: pool.stack(0),
                mail: Mailbox::new(),
                is_settled: false.into(),
                turns: 0.into(),
                is_revoked: AtomicBool::new(false),
                waits: Mutex::new(WaitStack::default()),
            },
            run_slots,
            nudges: Count::default(),
            spares: Count::default(),
        })
    }

    /// As `Core::start_spare_if_due`, with work in the queue.
    fn start_spare_if_due(&self) {
        if let Spare::Start = self.run_slots.request_spare(|| Ready::Outer, true) {
            self.spares.add();
        }
    }

    /// As `Worker::run_planned`, on a thread that is the worker.
    fn run(self: &Arc<Self>, task: &TaskRef) -> RunResult {
        current::set_stack(Some(self.state.stack.clone()));
        blocking::set_worker(Some(self.clone()));
        set_listener(Some(self.clone()));
        let run = task.run(&self.state.stack);
        if task.head.is_planned() && self.state.body_left(task.head.id(), &self.run_slots) > 0 {
            self.nudges.add();
        }
        set_listener(None);
        blocking::set_worker(None);
        current::set_stack(None);
        run
    }

    /// When nothing runs on it: each run slot that was released was taken back, once.
    fn check(&self) {
        self.state.stack.forget_ended();
        assert!(self.state.stack.bodies().is_empty());
        assert!(self.state.has_slot());
        assert!(!self.state.is_revoked.load(Ordering::SeqCst));
        assert_eq!(self.run_slots.waiting(), (0, 0));
        assert_eq!(self.run_slots.threads(), 1 + self.spares.get());
        assert_eq!(self.run_slots.is_limited(), self.spares.get() > 0);
    }
}

impl blocking::Worker for Worker {
    fn begin_blocking(&self, target: Target) {
        let wait = match target {
            Target::Tasks(of) if of == owner() => Wait::Own,
            _ => Wait::Other(0),
        };
        self.state.wait_begins(wait, &self.run_slots);
        self.start_spare_if_due();
    }

    fn end_blocking(&self) {
        if self.state.wait_ends(&self.run_slots) > 0 {
            self.nudges.add();
        }
    }

    fn has_slot(&self) -> bool {
        self.state.has_slot()
    }

    fn body(&self) -> Option<TaskId> {
        self.state.stack.top_id()
    }

    fn token(&self) -> Option<CancelToken> {
        None
    }
}

impl ClockWaiter for Worker {
    fn wake(self: Arc<Self>) {}

    fn notified(&self, _: bool) {
        if self.state.wait_is_over(&self.run_slots) > 0 {
            self.nudges.add();
        }
    }

    fn waits_on(&self) {
        if self.state.wait_goes_on(&self.run_slots) {
            self.start_spare_if_due();
        }
    }
}

/// A task whose time may end while its body runs.
fn with_an_end(pool: &Arc<Pool>, body: impl FnOnce() + Send + 'static) -> TaskRef {
    let options = Arc::new(TaskOptions {
        deadline: Some(HOUR),
        ..TaskOptions::default()
    });
    let mut extras = Extras::new(None, None);
    let start = options.start(&**pool, false);
    extras.progress = Some(Progress::new(
        &options,
        pool.clone(),
        start,
        Level::default(),
    ));
    let head = Head::new(owner(), Location::caller()).with(Some(extras));
    Task::new(head, PlainBody::new(body))
}

fn bare(body: impl FnOnce() + Send + 'static) -> TaskRef {
    Task::new(Head::new(owner(), Location::caller()), PlainBody::new(body))
}

/// What a body does that may lose its run slot meanwhile.
type Body = fn();

fn returns() {}

fn waits() {
    drop(blocking::begin());
}

fn waits_for_a_task() {
    drop(blocking::begin_for(Target::Tasks(owner())));
}

fn waits_in_a_wait() {
    let outer = blocking::begin();
    drop(blocking::begin_for(Target::Tasks(owner())));
    drop(outer);
}

fn waits_twice() {
    waits();
    waits_for_a_task();
}

/// The table of the waits orders these steps: a thread that notifies finds the wait begun.
fn is_notified_in_its_wait() {
    let listener = listener_here().unwrap();
    let wait = blocking::begin_for(Target::Tasks(owner()));
    listener.notified(true);
    listener.notified(true);
    drop(wait);
}

fn is_notified_in_its_wait_and_waits_on() {
    let listener = listener_here().unwrap();
    let wait = blocking::begin();
    listener.notified(true);
    listener.waits_on();
    listener.notified(true);
    listener.waits_on();
    drop(wait);
}

/// Runs another body on top of itself, which waits.
fn runs_another_body() {
    let task = bare(waits);
    let stack = current::stack().unwrap();
    assert_eq!(task.run(&stack), RunResult::Done);
    // On its own again.
    waits();
}

/// The end of the time of a body meets what the body does.
fn meet(body: Body, max_spares: usize, others: &[fn(&Arc<Worker>, &TaskRef)]) {
    for worker_first in [true, false] {
        let others = others.to_vec();
        loom::model(move || {
            let pool = Pool::new(false);
            let worker = Worker::new(&pool, max_spares);
            // As `Core::hung`.
            *pool.on_hung.lock().unwrap() = Some(Arc::new({
                let worker = Arc::downgrade(&worker);
                move |task| {
                    let worker = worker.upgrade().unwrap();
                    if worker.state.revoke(task, &worker.run_slots) {
                        worker.start_spare_if_due();
                    }
                }
            }));
            let task = with_an_end(&pool, body);
            let run = {
                let (worker, task) = (worker.clone(), task.clone());
                move || {
                    worker.run(&task);
                }
            };
            let act = {
                let (worker, task, others) = (worker.clone(), task.clone(), others.clone());
                move || {
                    let (here, apart) = others.split_first().unwrap();
                    let apart = apart.iter().map(|&other| {
                        let (worker, task) = (worker.clone(), task.clone());
                        thread::spawn(move || other(&worker, &task))
                    });
                    let apart: Vec<_> = apart.collect();
                    here(&worker, &task);
                    apart.into_iter().for_each(|other| other.join().unwrap());
                }
            };
            if worker_first {
                let other = thread::spawn(act);
                run();
                other.join().unwrap();
            } else {
                let other = thread::spawn(run);
                act();
                other.join().unwrap();
            }
            assert!(task.head.is_settled());
            worker.check();
        });
    }
}

/// The timer thread.
fn time_ends(_: &Arc<Worker>, task: &TaskRef) {
    if let Some(cleanup) = task.clone().on_time(OnTime::End) {
        cleanup();
    }
}

/// A thread that lists what runs, or asks it to stop.
fn looks_through(worker: &Arc<Worker>, task: &TaskRef) {
    for found in worker.state.stack.bodies() {
        assert!(Arc::ptr_eq(&found, task) || !found.head.is_planned());
        found.cancel(CancelReason::Shutdown);
    }
}

macro_rules! bodies {
    ($($body:ident)*) => { $(
        mod $body {
            use super::{looks_through, meet, time_ends};

            #[test]
            fn while_its_time_ends() {
                // Once with room for a spare, and once where no wait for ever is allowed.
                meet(super::$body, 8, &[time_ends]);
                meet(super::$body, 0, &[time_ends]);
            }

            #[test]
            fn while_its_time_ends_and_another_thread_looks_through_the_stack() {
                meet(super::$body, 8, &[time_ends, looks_through]);
            }
        }
    )* };
}

bodies! {
    returns
    waits
    waits_for_a_task
    waits_in_a_wait
    waits_twice
    is_notified_in_its_wait
    is_notified_in_its_wait_and_waits_on
    runs_another_body
}

#[test]
fn a_run_slot_is_released_while_a_hung_body_runs_on() {
    // The body goes on until a spare was due: without the run slot of this one, it never is.
    loom::model(|| {
        let pool = Pool::new(false);
        let worker = Worker::new(&pool, 8);
        let (promise, was_revoked) = promise();
        let promise = Arc::new(std::sync::Mutex::new(Some(promise)));
        *pool.on_hung.lock().unwrap() = Some(Arc::new({
            let worker = Arc::downgrade(&worker);
            move |task| {
                let worker = worker.upgrade().unwrap();
                if worker.state.revoke(task, &worker.run_slots) {
                    assert_eq!(worker.run_slots.waiting(), (1, 0));
                    worker.start_spare_if_due();
                    let promise = promise.lock().unwrap().take();
                    let _ = promise.map(|promise| promise.complete(()));
                }
            }
        }));
        let was_revoked: TaskHandle<()> = was_revoked;
        // Waits where no worker is known: the body of the user blocks by itself.
        let task = with_an_end(&pool, move || {
            let worker = current::stack();
            current::set_stack(None);
            blocking::set_worker(None);
            was_revoked.join().unwrap();
            current::set_stack(worker);
        });
        let timer = thread::spawn({
            let task = task.clone();
            move || {
                // Not before it has begun.
                while !task.head.has_begun() {
                    thread::yield_now();
                }
                time_ends_of(&task);
            }
        });
        assert_eq!(worker.run(&task), RunResult::Done);
        timer.join().unwrap();
        assert_eq!(task.head.outcome_kind(), Some(OutcomeKind::TimedOut));
        assert_eq!(worker.spares.get(), 1);
        worker.check();
    });
}

fn time_ends_of(task: &TaskRef) {
    if let Some(cleanup) = task.clone().on_time(OnTime::End) {
        cleanup();
    }
}

// The stack alone.

/// A body that goes on until it is asked to stop. A request that is lost is a deadlock.
fn until_it_is_cancelled() -> TaskRef {
    let its_task = Arc::new(OnceLock::<TaskRef>::new());
    let task = bare({
        let its_task = its_task.clone();
        move || its_task.get().unwrap().token().wait().unwrap()
    });
    its_task.set(task.clone()).ok();
    task
}

#[test]
fn a_body_takes_the_place_of_one_that_has_ended_while_a_shutdown_looks_through() {
    loom::model(|| {
        let pool = Pool::new(false);
        let stack = pool.stack(0);
        let task = until_it_is_cancelled();
        let worker = thread::spawn({
            let (task, stack) = (task.clone(), stack.clone());
            move || {
                bare(|| ()).run(&stack);
                task.run(&stack)
            }
        });
        pool.shut_down(&stack);
        assert_eq!(worker.join().unwrap(), RunResult::Done);
        assert_eq!(task.head.stop_reason(), Some(CancelReason::Shutdown));
    });
}

#[test]
fn a_body_that_has_run_another_goes_on_while_a_shutdown_looks_through() {
    loom::model(|| {
        let pool = Pool::new(false);
        let stack = pool.stack(0);
        let its_task = Arc::new(OnceLock::<TaskRef>::new());
        let task = bare({
            let (its_task, stack) = (its_task.clone(), stack.clone());
            move || {
                bare(|| ()).run(&stack);
                its_task.get().unwrap().token().wait().unwrap();
            }
        });
        its_task.set(task.clone()).ok();
        let worker = thread::spawn({
            let (task, stack) = (task.clone(), stack.clone());
            move || task.run(&stack)
        });
        pool.shut_down(&stack);
        assert_eq!(worker.join().unwrap(), RunResult::Done);
        assert_eq!(task.head.stop_reason(), Some(CancelReason::Shutdown));
        stack.forget_ended();
        assert!(stack.bodies().is_empty() && stack.top().is_none());
    });
}

#[test]
fn what_has_ended_is_on_no_stack_and_is_kept_by_none() {
    fn nested(ends: &'static [fn()], stack: &Arc<Stack>) {
        let (first, others) = ends.split_first().unwrap();
        first();
        if !others.is_empty() {
            let on_top = stack.clone();
            bare(move || nested(others, &on_top)).run(stack);
        }
    }
    fn panics() {
        // A panic whose hook stays silent: loom's threads have small stacks.
        std::panic::resume_unwind(Box::new("a panic"));
    }
    const ENDS: &[&[fn()]] = &[
        &[returns],
        &[panics],
        &[returns, returns],
        &[returns, returns, returns],
        &[returns, panics],
    ];
    for ends in ENDS {
        loom::model(move || {
            let stack = Pool::new(false).stack(0);
            let tasks = [(); 3].map(|()| {
                let on_top = stack.clone();
                bare(move || nested(ends, &on_top))
            });
            let looker = thread::spawn({
                let stack = stack.clone();
                move || stack.bodies().len()
            });
            for task in &tasks {
                task.run(&stack);
                assert!(stack.top().is_none(), "nothing runs");
            }
            assert!(looker.join().unwrap() <= ends.len() + 1);
            stack.forget_ended();
            assert!(stack.bodies().is_empty());
            for task in tasks {
                assert_eq!(Arc::strong_count(&task), 1, "the stack keeps it");
            }
        });
    }
}
