//! loom models of a task with options: attempts, the timer, a gate's line and the threads that cancel it
//! or shut the pool down meet.
//!
//! Checked with LOOM_MAX_PREEMPTIONS=3.
//
// Beside the outcome, what is followed here is which thread counts the task. Such a task is in one
// place at a time (the run queue, the timer, a gate's line, the hands of a worker), and in the end it
// is counted once: by the worker that pops its entry, by the worker that ran it, or by the thread that
// settled it where it had no entry.
//
// The task, its body, its options and the gate are the real ones; the pool is a double. All times are
// far away, so that its time ends only where an actor, in place of the timer, says so.

use super::*;
use crate::limit::{GateRequest, Permit, Semaphore};
use crate::retry::Retry;
use crate::task::body::RetryBody;
use crate::task::double::{Captured, Pool, Tally, Value, owner};
use crate::task::options::{Extras, Progress, TaskOptions};
use crate::task::pool::Level;
use crate::task::stack::Stack;
use crate::task::{CancelOutcome, Head, Rules, TaskHandle};
use loom::thread;
use std::panic::Location;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

const HOUR: Duration = Duration::from_secs(3600);

type Output = Result<Value, Value>;

/// Where the task begins.
#[derive(Clone, Copy, PartialEq)]
enum Begins {
    Queued,
    Delayed,
    /// In the queue, with a gate to pass, which is open.
    AtAnOpenGate,
    /// The same, and the gate is shut.
    AtAShutGate,
    /// Not due yet, with a gate to pass when it is.
    DelayedBeforeAGate,
    /// In the line of a gate.
    InLine,
}

struct Scene {
    task: TaskRef,
    pool: Arc<Pool>,
    /// The only worker's.
    stack: Arc<Stack>,
    handle: Mutex<Option<TaskHandle<Output>>>,
    gate: Option<Semaphore>,
    /// The gate's only permit, if another thread has it.
    permit: Mutex<Option<Permit>>,
    /// How many attempts fail.
    fails: usize,
    tally: Arc<Tally>,
    outcomes: AtomicUsize,
    /// The number of the attempt that was running when a cancel had asked it to stop.
    stopped: AtomicUsize,
}

impl Scene {
    fn new(begins: Begins, fails: usize, delay: Duration) -> Arc<Self> {
        let is_shut = matches!(begins, Begins::AtAShutGate | Begins::InLine);
        let is_delayed = matches!(begins, Begins::Delayed | Begins::DelayedBeforeAGate);
        let has_gate = !matches!(begins, Begins::Queued | Begins::Delayed);
        let gate = has_gate.then(|| Semaphore::new(1).unwrap());
        let permit = gate.as_ref().filter(|_| is_shut);
        let permit = permit.map(|gate| gate.try_acquire().unwrap());
        let options = Arc::new(TaskOptions {
            delay: is_delayed.then_some(HOUR),
            expires: Some(HOUR),
            attempt_timeout: Some(HOUR),
            deadline: Some(2 * HOUR),
            gates: gate.iter().map(GateRequest::new).collect(),
            ..TaskOptions::default()
        });
        let pool = Pool::new(false);
        let mut extras = Extras::new(None, None);
        let start = options.start(&*pool, false);
        extras.progress = Some(Progress::new(
            &options,
            pool.clone(),
            start,
            Level::default(),
        ));
        let tally = Arc::new(Tally::default());
        let captured = Captured(tally.clone());
        let body = move || {
            let tally = &captured.0;
            tally.bodies_run.add();
            match tally.bodies_run.get() > fails {
                true => Ok(Value::new(tally)),
                false => Err(Value::new(tally)),
            }
        };
        let rules = Arc::new(Rules::new(Retry::fixed(5, delay)));
        let head = Head::new(owner(), Location::caller()).with(Some(extras));
        let task = Task::new(head, RetryBody::new(body, rules));
        task.clone().schedule(&*pool, None);
        let scene = Self {
            handle: Mutex::new(Some(TaskHandle::new(task.clone()))),
            task,
            stack: pool.stack(0),
            pool,
            gate,
            permit: Mutex::new(permit),
            fails,
            tally,
            outcomes: AtomicUsize::new(0),
            stopped: AtomicUsize::new(0),
        };
        if begins == Begins::InLine {
            scene.run();
            assert_eq!(scene.pool.parked.lock().unwrap().len(), 1);
        }
        Arc::new(scene)
    }

    // The worker.

    /// Pops the entry, if there is one.
    fn run(&self) {
        if let Some(task) = self.pool.pop() {
            self.pool.take_on(&task, &self.stack);
        }
    }

    // The timer thread.

    fn is_due(&self) {
        self.pool.fire();
    }

    fn on_time(&self, what: OnTime) {
        // A worker of the real pool runs this.
        if let Some(cleanup) = self.task.clone().on_time(what) {
            cleanup();
        }
    }

    fn expires(&self) {
        self.on_time(OnTime::Expire);
    }

    fn time_ends(&self) {
        self.on_time(OnTime::End);
        assert!(self.task.head.is_settled(), "whatever it was doing");
    }

    /// The time of the first attempt is over.
    fn is_late(&self) {
        self.on_time(OnTime::AttemptEnds(1));
    }

    // The gate.

    /// The other thread returns its permit, and the gate admits this task.
    fn gate_opens(&self) {
        let permit = self.permit.lock().unwrap().take();
        drop(permit);
    }

    // Other threads.

    fn cancel(&self) {
        match self.task.cancel(CancelReason::User) {
            CancelOutcome::Settled => {
                let kind = self.task.head.outcome_kind();
                assert_eq!(kind, Some(OutcomeKind::Cancelled));
            }
            CancelOutcome::Requested => {
                assert!(self.task.stop_reason().is_some());
                let attempt = self.task.attempts() as usize;
                self.stopped.store(attempt, Relaxed);
            }
            CancelOutcome::AlreadyFinished => assert!(self.task.head.is_settled()),
        }
    }

    fn shut_down(&self) {
        self.pool.shut_down(&self.stack);
    }

    fn take_handle(&self) -> Option<TaskHandle<Output>> {
        self.handle.lock().unwrap().take()
    }

    fn joins(&self) {
        if let Some(handle) = self.take_handle() {
            self.read(handle);
        }
    }

    fn read(&self, handle: TaskHandle<Output>) {
        let outcome = handle.join();
        let kind = match &outcome {
            Ok(Ok(_)) => OutcomeKind::Succeeded,
            Ok(Err(_)) => OutcomeKind::Failed,
            Err(error) => OutcomeKind::of_error(error),
        };
        assert_eq!(self.task.head.outcome_kind(), Some(kind));
        self.outcomes.fetch_add(1, Relaxed);
    }

    fn drops_the_handle(&self) {
        drop(self.take_handle());
    }

    /// The pool goes on until nothing is left to do.
    fn go_on(&self) {
        loop {
            self.is_due();
            self.gate_opens();
            let Some(task) = self.pool.pop() else { break };
            self.pool.take_on(&task, &self.stack);
        }
    }

    /// Once all threads are through.
    fn check(&self) {
        self.go_on();
        let head = &self.task.head;
        assert!(head.is_settled(), "it is nowhere, and not settled");
        self.joins();
        assert!(self.outcomes.load(Relaxed) <= 1);
        let tally = &*self.tally;
        assert_eq!(self.pool.finished.get(), 1, "it is counted once");
        assert_eq!(tally.bodies_dropped.get(), 1);
        assert_eq!(tally.values_made.get(), tally.bodies_run.get());
        assert_eq!(tally.values_dropped.get(), tally.values_made.get());
        let ran = tally.bodies_run.get();
        assert!(ran <= self.fails + 1);
        let (attempts, late) = head
            .progress(|progress, _| (progress.attempts as usize, progress.late))
            .unwrap();
        assert!(attempts == ran || attempts == ran + 1);
        assert!(!late || attempts == 1, "only the first is late");
        let stopped = self.stopped.load(Relaxed);
        assert!(
            stopped == 0 || attempts == stopped,
            "no attempt follows a request to stop"
        );
        match head.outcome_kind().unwrap() {
            OutcomeKind::Succeeded => assert_eq!(ran, self.fails + 1),
            OutcomeKind::Failed => assert!(head.stop_reason().is_some()),
            OutcomeKind::Expired => assert_eq!(ran, 0),
            OutcomeKind::Cancelled | OutcomeKind::TimedOut => {}
            kind => panic!("nothing settles it as {kind:?}"),
        }
        assert!(self.pool.parked.lock().unwrap().is_empty());
        if let Some(gate) = &self.gate {
            assert_eq!(gate.waiting(), 0, "its place in the line is given up");
            assert_eq!(gate.available(), 1, "and its permit is given back");
        }
        // The dead entries of the timer.
        let mut timer = self.pool.timer.lock().unwrap();
        timer.retain(|(task, what)| task.awaits(*what));
        assert!(timer.is_empty(), "a settled task waits for nothing");
        assert!(self.stack.bodies().is_empty());
        assert_eq!(Arc::strong_count(&self.task), 1);
        assert_eq!(Arc::weak_count(&self.task), 0);
    }
}

type Actor = fn(&Scene);

/// Each on a thread of its own, in every order of starting: which thread runs first decides which
/// schedules loom tries.
fn meet(begins: Begins, fails: usize, delay: Duration, actors: &[Actor]) {
    for first in 0..actors.len() {
        let mut actors = actors.to_vec();
        actors.rotate_left(first);
        loom::model(move || {
            let scene = Scene::new(begins, fails, delay);
            let (here, others) = actors.split_first().unwrap();
            let others: Vec<_> = others
                .iter()
                .map(|&actor| {
                    let scene = scene.clone();
                    thread::spawn(move || actor(&scene))
                })
                .collect();
            here(&scene);
            others.into_iter().for_each(|other| other.join().unwrap());
            scene.check();
        });
    }
}

const AT_ONCE: Duration = Duration::ZERO;
const LATER: Duration = HOUR;

/// A worker that runs it as often as it finds it.
fn runs(scene: &Scene) {
    scene.run();
    scene.run();
}

fn becomes_due_and_runs(scene: &Scene) {
    scene.is_due();
    scene.run();
}

macro_rules! every {
    ($($other:ident: $actor:expr;)*) => { $(
        mod $other {
            use super::*;

            #[test]
            fn while_it_runs() {
                meet(Begins::Queued, 0, AT_ONCE, &[runs, $actor]);
            }

            #[test]
            fn while_it_is_tried_again_at_once() {
                meet(Begins::Queued, 1, AT_ONCE, &[runs, $actor]);
            }

            #[test]
            fn while_it_is_tried_again_later() {
                meet(Begins::Queued, 1, LATER, &[Scene::run, Scene::is_due, $actor]);
            }

            #[test]
            fn while_it_becomes_due() {
                meet(Begins::Delayed, 0, AT_ONCE, &[becomes_due_and_runs, $actor]);
            }

            #[test]
            fn while_it_becomes_due_before_a_gate() {
                meet(Begins::DelayedBeforeAGate, 0, AT_ONCE, &[becomes_due_and_runs, $actor]);
            }

            #[test]
            fn while_it_passes_a_gate() {
                meet(Begins::AtAnOpenGate, 1, AT_ONCE, &[runs, $actor]);
            }

            #[test]
            fn while_it_joins_a_line() {
                meet(Begins::AtAShutGate, 0, AT_ONCE, &[Scene::run, $actor]);
            }

            #[test]
            fn while_it_joins_a_line_and_is_called() {
                meet(Begins::AtAShutGate, 0, AT_ONCE, &[Scene::run, Scene::gate_opens, $actor]);
            }

            #[test]
            fn while_it_is_called_from_a_line() {
                meet(Begins::InLine, 0, AT_ONCE, &[Scene::gate_opens, runs, $actor]);
            }

            #[test]
            fn while_it_is_awaited() {
                meet(Begins::Queued, 1, AT_ONCE, &[Scene::joins, Scene::go_on, $actor]);
            }

            #[test]
            fn while_its_handle_is_dropped() {
                meet(Begins::Queued, 1, AT_ONCE, &[Scene::drops_the_handle, runs, $actor]);
            }

            #[test]
            fn while_a_shutdown_finds_it_in_a_line() {
                meet(Begins::InLine, 0, AT_ONCE, &[Scene::shut_down, Scene::gate_opens, $actor]);
            }

            #[test]
            fn while_it_runs_and_the_pool_shuts_down() {
                meet(Begins::Queued, 1, LATER, &[runs, Scene::shut_down, $actor]);
            }
        }
    )* };
}

every! {
    it_is_cancelled: Scene::cancel;
    it_expires: Scene::expires;
    its_time_ends: Scene::time_ends;
    an_attempt_is_late: Scene::is_late;
    it_is_shut_down: Scene::shut_down;
}

#[test]
fn its_time_ends_while_it_expires_and_is_cancelled() {
    for begins in [Begins::Queued, Begins::Delayed, Begins::InLine] {
        let actors: &[Actor] = &[Scene::time_ends, Scene::expires, Scene::cancel];
        meet(begins, 0, AT_ONCE, actors);
    }
}

#[test]
fn a_shutdown_meets_a_task_that_joins_a_line() {
    meet(
        Begins::AtAShutGate,
        0,
        AT_ONCE,
        &[Scene::run, Scene::shut_down],
    );
}

#[test]
fn a_shutdown_meets_a_task_that_is_called_and_runs() {
    meet(
        Begins::InLine,
        0,
        AT_ONCE,
        &[Scene::gate_opens, Scene::shut_down, Scene::run],
    );
}

#[test]
fn two_workers_claim_it_and_one_does() {
    loom::model(|| {
        let scene = Scene::new(Begins::Queued, 0, AT_ONCE);
        // Two entries are not the real pool's, but the task's own promise must not depend on that.
        let other = thread::spawn({
            let task = scene.task.clone();
            move || task.claim().is_some()
        });
        let mine = scene.task.claim().is_some();
        assert!(mine != other.join().unwrap());
        assert_eq!(scene.task.attempts(), 1);
    });
}
