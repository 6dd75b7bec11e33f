//! loom models of the cell, through the handle that users hold: every action of the submitter meets every action of
//! the worker, with bodies that really panic; then token, inline run and retirement.
//!
//! Checked with LOOM_MAX_PREEMPTIONS=3.
//
// Assertions stay out of callbacks and hooks: the cell shields itself from their panics, and with them from ours.

use super::*;
use crate::fork::NOBODY;
use crate::panic::{Payload, TaskPanic, UnreadPanics};
use crate::sync::{Condvar, Mutex};
use crate::task::any::{AnyTask, Home, Queued, Run, Stage, TaskRef, TaskState};
use crate::task::{OnFinish, TaskHandle};
use loom::thread;
use std::cell::RefCell;
use std::future::Future;
use std::panic::resume_unwind;
use std::pin::pin;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// std's: it only counts, and loom must not see an order in it that the cell does not make.
#[derive(Default)]
struct Count(AtomicUsize);

impl Count {
    fn add(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    fn get(&self) -> usize {
        self.0.load(Relaxed)
    }
}

#[derive(Default)]
struct Tally {
    bodies_run: Count,
    bodies_dropped: Count,
    values_made: Count,
    values_dropped: Count,
    /// Cancels that settled the task.
    cancelled: Count,
    /// Outcomes that the submitter read.
    read: Count,
    /// Panics among them.
    panics_read: Count,
    /// Panics that nobody could read.
    panics_unread: Count,
    callbacks_noted: Count,
    callbacks_run: Count,
    callbacks_removed: Count,
}

impl UnreadPanics for Tally {
    fn unread(&self, _: &TaskPanic) {
        self.panics_unread.add();
    }
}

/// The worker's side of a run.
struct Here {
    tally: Arc<Tally>,
    task: RefCell<Option<TaskRef>>,
}

impl Stage for Here {
    fn begin(&self, _: &'static Location<'static>) -> TaskId {
        unreachable!("a cell is no job")
    }

    fn end(&self) -> Option<TaskRef> {
        unreachable!("a cell is no job")
    }

    fn enter(&self, task: TaskRef, _: bool) -> bool {
        self.task.replace(Some(task));
        false
    }

    fn around(&self, body: &mut dyn FnMut()) {
        body();
    }

    fn exit(&self) -> TaskRef {
        self.task.take().unwrap()
    }

    fn home(&self) -> &dyn Home {
        unreachable!("a plain task has no course")
    }

    fn unread_panics(&self) -> Arc<dyn UnreadPanics> {
        self.tally.clone()
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Ends {
    Returning,
    Panicking,
    AtACheckpoint,
}

struct Body {
    ends: Ends,
    tally: Arc<Tally>,
}

impl Work for Body {
    type Output = Value;

    fn attempt(self) -> (Result<Value, Payload>, Option<Self>) {
        let body = || {
            self.tally.bodies_run.add();
            if self.ends == Ends::AtACheckpoint {
                panic::unwind(CancelReason::Scope);
            }
            self.tally.values_made.add();
            let value = Value(self.tally.clone());
            if self.ends == Ends::Panicking {
                // A panic whose hook stays silent: loom's threads have small stacks.
                resume_unwind(Box::new(value));
            }
            value
        };
        (panic::catch(body), None)
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.tally.bodies_dropped.add();
    }
}

/// What a body returns, or panics with.
struct Value(Arc<Tally>);

impl Drop for Value {
    fn drop(&mut self) {
        self.0.values_dropped.add();
    }
}

struct Scene {
    cell: Arc<Cell<Body>>,
    tally: Arc<Tally>,
}

impl Scene {
    fn new(ends: Ends) -> Arc<Self> {
        let tally = Arc::new(Tally::default());
        let body = Body {
            ends,
            tally: tally.clone(),
        };
        Arc::new(Self {
            cell: Cell::new(NOBODY, Location::caller(), body, None, false),
            tally,
        })
    }

    fn handle(&self) -> TaskHandle<Value> {
        TaskHandle::new(self.cell.clone())
    }

    /// As a worker does, and as a waiter that finds its task queued; says whether it ran here.
    fn run(&self) -> bool {
        let here = Here {
            tally: self.tally.clone(),
            task: RefCell::default(),
        };
        match self.cell.clone().run(&here) {
            Run::Done(ran) => {
                assert_eq!(self.cell.outcome_kind(), Some(ran.kind));
                ran.retire();
                true
            }
            Run::Gone(_) => false,
            Run::Away => panic!("a plain task has nowhere to go"),
        }
    }

    fn cancel(&self, reason: CancelReason) -> CancelOutcome {
        let did = self.cell.cancel(reason);
        match did {
            CancelOutcome::Settled => self.tally.cancelled.add(),
            CancelOutcome::Requested => assert!(self.cell.stop_reason().is_some()),
            CancelOutcome::AlreadyFinished => assert_eq!(self.cell.state(), TaskState::Finished),
        }
        did
    }

    fn read(&self, outcome: &Outcome<Value>) {
        let kind = match outcome {
            Ok(_) => OutcomeKind::Completed,
            Err(error) => OutcomeKind::of_error(error),
        };
        assert_eq!(self.cell.outcome_kind(), Some(kind));
        self.tally.read.add();
        if kind == OutcomeKind::Panicked {
            self.tally.panics_read.add();
        }
    }

    fn on_finish(&self, handle: &TaskHandle<Value>) -> OnFinish {
        let tally = self.tally.clone();
        tally.callbacks_noted.add();
        handle.on_finish(move |_| tally.callbacks_run.add())
    }

    /// Once all threads are through and the handles gone.
    fn check(&self) {
        let tally = &*self.tally;
        assert_eq!(self.cell.state(), TaskState::Finished);
        let ran = tally.bodies_run.get();
        assert_eq!(tally.bodies_dropped.get(), 1, "run or dropped, once");
        let kind = self.cell.outcome_kind().unwrap();
        if ran == 0 {
            assert!(matches!(
                kind,
                OutcomeKind::Cancelled | OutcomeKind::TimedOut
            ));
        }
        let valued = matches!(kind, OutcomeKind::Completed | OutcomeKind::Panicked);
        assert_eq!(tally.values_made.get(), usize::from(valued));
        assert_eq!(tally.values_dropped.get(), tally.values_made.get());
        assert!(tally.read.get() <= 1);
        assert_eq!(
            tally.panics_read.get() + tally.panics_unread.get(),
            usize::from(kind == OutcomeKind::Panicked),
            "a panic is read or told of, once"
        );
        assert_eq!(
            tally.callbacks_run.get() + tally.callbacks_removed.get(),
            tally.callbacks_noted.get()
        );
        assert_eq!(Arc::weak_count(&self.cell), 0, "no hook is left");
        assert_eq!(Arc::strong_count(&self.cell), 1);
    }
}

/// An executor's thread, parked between polls.
struct Bell {
    rung: Mutex<bool>,
    told: Condvar,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        *self.rung.lock() = true;
        self.told.notify_all();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let bell = Arc::new(Bell {
        rung: Mutex::new(false),
        told: Condvar::new(),
    });
    let waker = Waker::from(bell.clone());
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        let mut rung = bell.rung.lock();
        while !*rung {
            bell.told.wait(&mut rung);
        }
        *rung = false;
    }
}

/// What the submitter does with its handle. Each ends with the outcome read or the handle gone.
mod submitter {
    use super::*;

    type Handle = TaskHandle<Value>;

    pub(super) fn joins(scene: &Arc<Scene>, handle: Handle) {
        scene.read(&handle.join());
    }

    pub(super) fn tries_to_join(scene: &Arc<Scene>, handle: Handle) {
        if let Ok(outcome) = handle.try_join() {
            scene.read(&outcome);
        }
    }

    pub(super) fn times_out(scene: &Arc<Scene>, handle: Handle) {
        if let Ok(outcome) = handle.join_timeout(Duration::from_secs(1)) {
            scene.read(&outcome);
        }
    }

    pub(super) fn drops(_: &Arc<Scene>, handle: Handle) {
        drop(handle);
    }

    pub(super) fn cancels(scene: &Arc<Scene>, handle: Handle) {
        let did = scene.cancel(CancelReason::User);
        let outcome = handle.join();
        if did == CancelOutcome::Settled {
            assert!(matches!(
                outcome,
                Err(TaskError::Cancelled(CancelReason::User))
            ));
        }
        scene.read(&outcome);
    }

    pub(super) fn cancels_on_drop(_: &Arc<Scene>, handle: Handle) {
        drop(handle.cancel_on_drop());
    }

    pub(super) fn cancels_on_drop_with_a_callback(scene: &Arc<Scene>, handle: Handle) {
        scene.on_finish(&handle);
        drop(handle.cancel_on_drop());
    }

    pub(super) fn shares(scene: &Arc<Scene>, handle: Handle) {
        let shared = handle.share();
        let other = thread::spawn({
            let shared = shared.clone();
            move || assert!(shared.join().is_ok() || shared.try_join().is_some())
        });
        scene.read(shared.join());
        other.join().unwrap();
    }

    pub(super) fn shares_and_drops(_: &Arc<Scene>, handle: Handle) {
        let shared = handle.share();
        let other = thread::spawn({
            let shared = shared.clone();
            move || drop(shared)
        });
        drop(shared);
        other.join().unwrap();
    }

    pub(super) fn is_called_back(scene: &Arc<Scene>, handle: Handle) {
        scene.on_finish(&handle);
        scene.read(&handle.join());
    }

    pub(super) fn takes_its_callback_out(scene: &Arc<Scene>, handle: Handle) {
        if scene.on_finish(&handle).remove() {
            scene.tally.callbacks_removed.add();
        }
        drop(handle);
    }

    pub(super) fn awaits(scene: &Arc<Scene>, handle: Handle) {
        scene.read(&block_on(handle));
    }

    pub(super) fn cancels_by_token(scene: &Arc<Scene>, handle: Handle) {
        let token = handle.token();
        token.cancel(CancelReason::User);
        // Settled, or asked to stop: the token's hook was there in time.
        assert!(handle.is_finished() || scene.cell.stop_reason().is_some());
        scene.read(&handle.join());
    }

    pub(super) fn drops_its_token(scene: &Arc<Scene>, handle: Handle) {
        drop(handle.token());
        scene.read(&handle.join());
    }
}

/// What the worker does.
mod worker {
    use super::*;

    pub(super) fn runs(scene: &Scene) {
        scene.run();
    }

    /// As a ticket does that is dropped with its queue.
    pub(super) fn drops_it_unrun(scene: &Scene) {
        scene.cancel(CancelReason::Dropped);
    }

    /// As a promise is kept.
    pub(super) fn settles_it_by_hand(scene: &Scene) {
        if scene.cell.claim() {
            scene.tally.values_made.add();
            scene.tally.bodies_run.add();
            let value = Value(scene.tally.clone());
            scene.cell.settle(Ok(value)).retire();
        }
    }
}

/// In both orders of starting: which schedules loom tries depends on who is the first to run.
fn meet(submitter: fn(&Arc<Scene>, TaskHandle<Value>), ends: Ends, worker: fn(&Scene)) {
    for submitter_first in [true, false] {
        loom::model(move || {
            let scene = Scene::new(ends);
            let submit = {
                let (scene, handle) = (scene.clone(), scene.handle());
                move || submitter(&scene, handle)
            };
            let work = {
                let scene = scene.clone();
                move || worker(&scene)
            };
            if submitter_first {
                let other = thread::spawn(work);
                submit();
                other.join().unwrap();
            } else {
                let other = thread::spawn(submit);
                work();
                other.join().unwrap();
            }
            scene.check();
        });
    }
}

macro_rules! every {
    ($($submitter:ident)*) => { $(
        mod $submitter {
            use super::{Ends, meet, submitter::$submitter, worker};

            #[test]
            fn while_the_worker_runs_it() {
                meet($submitter, Ends::Returning, worker::runs);
            }

            #[test]
            fn while_it_panics() {
                meet($submitter, Ends::Panicking, worker::runs);
            }

            #[test]
            fn while_it_leaves_at_a_checkpoint() {
                meet($submitter, Ends::AtACheckpoint, worker::runs);
            }

            #[test]
            fn while_it_is_dropped_unrun() {
                meet($submitter, Ends::Returning, worker::drops_it_unrun);
            }

            #[test]
            fn while_it_is_settled_by_hand() {
                meet($submitter, Ends::Returning, worker::settles_it_by_hand);
            }
        }
    )* };
}

every! {
    joins
    tries_to_join
    times_out
    drops
    cancels
    cancels_on_drop
    cancels_on_drop_with_a_callback
    shares
    shares_and_drops
    is_called_back
    takes_its_callback_out
    awaits
    cancels_by_token
    drops_its_token
}

/// Runs `main` and `others` on a thread each, then asks the usual questions.
fn scene(ends: Ends, main: fn(&Arc<Scene>), others: &[fn(&Arc<Scene>)]) {
    let others = others.to_vec();
    loom::model(move || {
        let scene = Scene::new(ends);
        let others: Vec<_> = others
            .iter()
            .map(|&other| {
                let scene = scene.clone();
                thread::spawn(move || other(&scene))
            })
            .collect();
        main(&scene);
        others.into_iter().for_each(|other| other.join().unwrap());
        scene.check();
    });
}

#[test]
fn a_waiter_a_worker_and_a_canceller_and_one_has_it() {
    scene(
        Ends::Returning,
        |scene| {
            let handle = scene.handle();
            // The joiner's claim: it runs its task itself if that is queued still, as `wait_for` has it.
            if handle.state() == TaskState::Queued {
                scene.run();
            }
            scene.read(&handle.join());
            let tally = &scene.tally;
            assert_eq!(tally.bodies_run.get() + tally.cancelled.get(), 1);
        },
        &[
            |scene| {
                scene.run();
            },
            |scene| {
                scene.cancel(CancelReason::User);
            },
        ],
    );
}

#[test]
fn a_token_made_while_the_task_is_cancelled_and_runs() {
    scene(
        Ends::Returning,
        |scene| {
            let handle = scene.handle();
            let canceller = thread::spawn({
                let scene = scene.clone();
                move || scene.cancel(CancelReason::User)
            });
            let token = handle.token();
            let did = canceller.join().unwrap();
            if did != CancelOutcome::AlreadyFinished {
                // "Its token is set", also one that was made as the request came.
                assert_eq!(token.reason(), Some(CancelReason::User));
            }
            scene.read(&handle.join());
        },
        &[|scene| {
            scene.run();
        }],
    );
}

#[test]
fn two_who_make_the_token_get_one() {
    scene(
        Ends::Returning,
        |scene| {
            let handle = scene.handle();
            let other = thread::spawn({
                let cell = scene.cell.clone();
                move || cell.token()
            });
            let mine = handle.token();
            let other = other.join().unwrap();
            mine.cancel(CancelReason::User);
            assert!(other.is_cancelled());
            scene.read(&handle.join());
        },
        &[|scene| {
            scene.run();
        }],
    );
}

/// The submitter's token, with the task under a child of it, as the pool does.
fn under_a_token(main: fn(&Arc<Scene>, CancelToken), others: &'static [fn(&Arc<Scene>)]) {
    loom::model(move || {
        let scene = Scene::new(Ends::Returning);
        let token = CancelToken::new();
        scene.cell.obey(token.child());
        let others: Vec<_> = others
            .iter()
            .map(|&other| {
                let scene = scene.clone();
                thread::spawn(move || other(&scene))
            })
            .collect();
        main(&scene, token);
        others.into_iter().for_each(|other| other.join().unwrap());
        scene.check();
    });
}

#[test]
fn a_task_under_a_token_that_is_cancelled_while_it_runs() {
    under_a_token(
        |scene, token| {
            let handle = scene.handle();
            token.cancel(CancelReason::Scope);
            assert!(handle.is_finished() || scene.cell.stop_reason() == Some(CancelReason::Scope));
            scene.read(&handle.join());
        },
        &[|scene| {
            scene.run();
        }],
    );
}

#[test]
fn a_task_under_a_token_that_is_cancelled_while_its_handle_cancels_on_drop() {
    under_a_token(
        |scene, token| {
            let handle = scene.handle().cancel_on_drop();
            let dropper = thread::spawn(move || drop(handle));
            token.cancel(CancelReason::Scope);
            dropper.join().unwrap();
        },
        &[|scene| {
            scene.run();
        }],
    );
}

#[test]
fn a_cell_put_under_a_token_while_that_is_cancelled() {
    scene(
        Ends::Returning,
        |scene| {
            let handle = scene.handle();
            let token = CancelToken::new();
            let canceller = thread::spawn({
                let token = token.clone();
                move || token.cancel(CancelReason::Scope)
            });
            scene.cell.obey(token);
            canceller.join().unwrap();
            assert!(handle.is_finished() || scene.cell.stop_reason().is_some());
            scene.read(&handle.join());
        },
        &[|scene| {
            scene.run();
        }],
    );
}

#[test]
fn a_deadline_that_passed_while_the_task_was_queued() {
    loom::model(|| {
        let scene = Scene::new(Ends::Returning);
        let token = CancelToken::with_deadline(crate::clock::now());
        scene.cell.obey(token.clone());
        let handle = scene.handle();
        let worker = thread::spawn({
            let scene = scene.clone();
            move || scene.run()
        });
        // Whoever asks first settles it, the worker that claims it or this thread.
        assert!(token.is_cancelled());
        let outcome = handle.join();
        assert!(matches!(outcome, Err(TaskError::TimedOut)));
        scene.read(&outcome);
        worker.join().unwrap();
        assert_eq!(scene.tally.bodies_run.get(), 0);
        scene.check();
    });
}

#[test]
fn the_last_handle_is_dropped_while_the_task_retires() {
    scene(
        Ends::Panicking,
        |scene| {
            let handle = scene.handle();
            scene.on_finish(&handle);
            let shared = handle.cancel_on_drop().share();
            let other = thread::spawn({
                let shared = shared.clone();
                move || drop(shared)
            });
            drop(shared);
            other.join().unwrap();
        },
        &[|scene| {
            scene.run();
        }],
    );
}
