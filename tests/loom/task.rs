//! loom models of a task without options: each action of one side meets each action of the other.
//!
//! Checked with LOOM_MAX_PREEMPTIONS=3.
//
// The table: what a submitter does with the handle (or a bystander with the task), times what becomes
// of the task (a worker runs it to each of its ends, its entry is dropped with the queue, its promise
// is kept or not), times how the task is made (bare, in a pool with a hook, with extras), times which
// of the two threads starts: that decides which schedules loom tries. Below the table are the meetings
// of three.
//
// The tasks, bodies and handles are the real ones; only the pool is a double. Each meeting ends with
// the same questions (`Scene::check`): has everything happened that must, and once?
//
// Assertions stay out of callbacks and hooks: the task shields itself from their panics, and with
// them from ours.

use super::*;
use crate::cancel::blocking;
use crate::limit::{Capacity, WhenFull};
use crate::panic;
use crate::sync::{Condvar, Mutex};
use crate::task::body::{ByHand, FallibleBody, PlainBody};
use crate::task::cancel::stop_joined;
use crate::task::current;
use crate::task::double::{Captured, Count, Pool, Tally, Value, model, owner};
use crate::task::options::Extras;
use crate::task::watch::Watcher;
use crate::task::{OnFinish, Promise, RunResult, TaskHandle, promise};
use loom::thread;
use std::future::Future;
use std::panic::{Location, resume_unwind};
use std::pin::{Pin, pin};
use std::task::{Context as Poller, Poll, Wake, Waker};
use std::time::Duration;

#[derive(Default)]
struct Counts {
    /// Entries of the run queue that a worker has popped.
    popped: Count,
    /// Cancels that settled the task.
    cancelled: Count,
    /// Outcomes that the submitter read.
    read: Count,
    /// Panics among them.
    panics_read: Count,
    callbacks_added: Count,
    callbacks_run: Count,
    callbacks_removed: Count,
    watchers_added: Count,
    watchers_notified: Count,
    /// Watchers that are removed again, perhaps before they are notified.
    watchers_stopped: Count,
}

type Output = Result<Value, Value>;
type Handle = TaskHandle<Output>;

/// How the task is made.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Made {
    /// In a pool without a hook: it runs on the short way.
    Bare,
    InPoolWithHook,
    /// With a name and a place in the queue.
    WithExtras,
    ByPromise,
}

const WITH_BODY: &[Made] = &[Made::Bare, Made::InPoolWithHook, Made::WithExtras];
const BY_PROMISE: &[Made] = &[Made::ByPromise];

/// How the body ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ends {
    Returning,
    Failing,
    Panicking,
    AtACheckpoint,
}

struct Scene {
    task: TaskRef,
    pool: Arc<Pool>,
    capacity: Arc<Capacity>,
    promise: std::sync::Mutex<Option<Promise<Output>>>,
    made: Made,
    ends: Ends,
    tally: Arc<Tally>,
    counts: Arc<Counts>,
}

impl Scene {
    fn new(made: Made, ends: Ends) -> (Arc<Self>, Handle) {
        let tally = Arc::new(Tally::default());
        let capacity = Capacity::new(owner(), 1, false);
        let extras = (made == Made::WithExtras).then(|| {
            let place = capacity.take(WhenFull::Refuse).ok();
            Extras::new(Some("named".into()), place)
        });
        let (handle, promise) = if made == Made::ByPromise {
            let (promise, handle) = promise();
            (handle, Some(promise))
        } else {
            let head = Head::new(owner(), Location::caller()).with(extras);
            (TaskHandle::new(with_body(head, ends, &tally)), None)
        };
        let scene = Self {
            task: handle.task().clone(),
            pool: Pool::new(made == Made::InPoolWithHook),
            capacity,
            promise: std::sync::Mutex::new(promise),
            made,
            ends,
            tally,
            counts: Arc::default(),
        };
        (Arc::new(scene), handle)
    }

    /// A worker pops its entry.
    fn run(&self) {
        self.counts.popped.add();
        self.pool.take_on(&self.task, &self.pool.stack(0));
    }

    fn promise(&self) -> Promise<Output> {
        self.promise.lock().unwrap().take().unwrap()
    }

    fn cancel(&self, reason: CancelReason) -> CancelOutcome {
        let did = self.task.cancel(reason);
        match did {
            CancelOutcome::Settled => {
                self.counts.cancelled.add();
                assert_eq!(self.task.head.outcome_kind(), Some(OutcomeKind::Cancelled));
            }
            CancelOutcome::Requested => assert!(self.task.stop_reason().is_some()),
            CancelOutcome::AlreadyFinished => assert_eq!(self.task.state(), TaskState::Finished),
        }
        did
    }

    fn read(&self, outcome: &Result<Output, TaskError>) {
        let kind = match outcome {
            Ok(Ok(_)) => OutcomeKind::Succeeded,
            Ok(Err(_)) => OutcomeKind::Failed,
            Err(error) => OutcomeKind::of_error(error),
        };
        assert_eq!(self.task.head.outcome_kind(), Some(kind));
        self.counts.read.add();
        if kind == OutcomeKind::Panicked {
            self.counts.panics_read.add();
        }
    }

    fn on_finish(&self, handle: &Handle) -> OnFinish {
        let counts = self.counts.clone();
        counts.callbacks_added.add();
        handle.on_finish(move |_| counts.callbacks_run.add())
    }

    fn watch(&self) -> Arc<Watching> {
        let watching = Arc::new(Watching(self.counts.clone(), false.into()));
        self.counts.watchers_added.add();
        if let Err(watcher) = self.task.watch(Watcher::Set(watching.clone(), 7)) {
            watcher.settled(self.task.head.outcome_kind().unwrap());
        }
        watching
    }

    /// Once all threads are through and the handles are gone.
    fn check(&self) {
        let (tally, counts) = (&*self.tally, &*self.counts);
        assert_eq!(self.task.state(), TaskState::Finished);
        let kind = self.task.head.outcome_kind().unwrap();
        let ran = tally.bodies_run.get();
        if self.made != Made::ByPromise {
            assert_eq!(tally.bodies_dropped.get(), 1, "run or dropped, once");
            let expected = match self.ends {
                Ends::Returning => OutcomeKind::Succeeded,
                Ends::Failing => OutcomeKind::Failed,
                Ends::Panicking => OutcomeKind::Panicked,
                Ends::AtACheckpoint => OutcomeKind::Cancelled,
            };
            match ran {
                0 => assert!(matches!(
                    kind,
                    OutcomeKind::Cancelled | OutcomeKind::Expired
                )),
                // An error of a body that was asked to stop is its end for that.
                1 if self.ends == Ends::Failing && kind == OutcomeKind::Cancelled => {
                    assert!(self.task.stop_reason().is_some());
                }
                1 => assert_eq!(kind, expected),
                _ => panic!("it ran {ran} times"),
            }
        }
        if counts.cancelled.get() > 0 {
            assert_eq!((counts.cancelled.get(), ran), (1, 0));
        }
        assert_eq!(tally.values_dropped.get(), tally.values_made.get());
        assert!(counts.read.get() <= 1);
        assert_eq!(
            counts.panics_read.get() + self.pool.panics_unread.get(),
            usize::from(kind == OutcomeKind::Panicked),
            "a panic is read, or the pool is notified of it, once"
        );
        assert_eq!(
            counts.callbacks_run.get() + counts.callbacks_removed.get(),
            counts.callbacks_added.get()
        );
        let notified = counts.watchers_notified.get();
        let added = counts.watchers_added.get();
        assert!(notified <= added && added <= notified + counts.watchers_stopped.get());
        if counts.popped.get() == 1 {
            assert_eq!(self.pool.finished.get(), 1, "it is counted once");
        }
        assert!(
            self.capacity.take(WhenFull::Refuse).is_ok(),
            "its place is free"
        );
        if let Some(extras) = &*self.task.head.extras.lock() {
            assert!(extras.listeners.is_none() && extras.hook.is_none());
            assert!(extras.member.is_none() && extras.place.is_none());
            assert!(extras.error.is_none(), "the error was taken or dropped");
        }
        assert_eq!(Arc::weak_count(&self.task), 0, "no hook is left");
        assert_eq!(Arc::strong_count(&self.task), 1);
    }
}

fn with_body(head: Head, ends: Ends, tally: &Arc<Tally>) -> TaskRef {
    let captured = Captured(tally.clone());
    let body = move || {
        let tally = &captured.0;
        tally.bodies_run.add();
        match ends {
            Ends::Returning => Ok(Value::new(tally)),
            Ends::Failing => Err(Value::new(tally)),
            // A panic whose hook stays silent: loom's threads have small stacks.
            Ends::Panicking => resume_unwind(Box::new(Value::new(tally))),
            Ends::AtACheckpoint => panic::unwind(CancelReason::Scope),
        }
    };
    match ends {
        Ends::Failing => Task::new(head, FallibleBody::new(body)),
        _ => Task::new(head, PlainBody::new(body)),
    }
}

/// With whether it is over. That is std's: loom must not see an order in it.
struct Watching(Arc<Counts>, std::sync::atomic::AtomicBool);

impl Watch for Watching {
    fn settled(self: Arc<Self>, index: usize, _: OutcomeKind) {
        if index == 7 {
            self.0.watchers_notified.add();
        }
    }

    fn is_over(&self) -> bool {
        self.1.load(Ordering::Relaxed)
    }
}

/// An executor's thread, parked between polls.
struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            rung: Mutex::new(false),
            changed: Condvar::new(),
        })
    }

    fn wait(&self) {
        let mut rung = self.rung.lock();
        while !*rung {
            self.changed.wait(&mut rung);
        }
        *rung = false;
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        *self.rung.lock() = true;
        self.changed.notify_all();
    }
}

fn block_on<T>(mut future: Pin<&mut impl Future<Output = T>>) -> T {
    let bell = Bell::new();
    let waker = Waker::from(bell.clone());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Poller::from_waker(&waker)) {
            return output;
        }
        bell.wait();
    }
}

/// What a submitter does with the handle. Each ends with the outcome read or the handle gone.
mod submitter {
    use super::*;

    pub(super) fn joins(scene: &Arc<Scene>, handle: Handle) {
        scene.read(&handle.join());
    }

    pub(super) fn tries_to_join(scene: &Arc<Scene>, handle: Handle) {
        if let Ok(outcome) = handle.try_join() {
            scene.read(&outcome);
        }
    }

    pub(super) fn times_out_and_drops(scene: &Arc<Scene>, handle: Handle) {
        if let Ok(outcome) = handle.join_timeout(Duration::from_secs(1)) {
            scene.read(&outcome);
        }
    }

    pub(super) fn times_out_and_joins(scene: &Arc<Scene>, handle: Handle) {
        match handle.join_timeout(Duration::from_secs(1)) {
            Ok(outcome) => scene.read(&outcome),
            Err(handle) => scene.read(&handle.join()),
        }
    }

    pub(super) fn drops(_: &Arc<Scene>, handle: Handle) {
        drop(handle);
    }

    pub(super) fn cancels_and_joins(scene: &Arc<Scene>, handle: Handle) {
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

    pub(super) fn is_called_back_detached(scene: &Arc<Scene>, handle: Handle) {
        scene.on_finish(&handle);
        drop(handle);
    }

    pub(super) fn takes_its_callback_out(scene: &Arc<Scene>, handle: Handle) {
        if scene.on_finish(&handle).remove() {
            scene.counts.callbacks_removed.add();
        }
        drop(handle);
    }

    pub(super) fn awaits(scene: &Arc<Scene>, handle: Handle) {
        scene.read(&block_on(pin!(handle)));
    }

    /// A future may move to another executor between polls: only the last waker counts.
    pub(super) fn awaits_elsewhere(scene: &Arc<Scene>, handle: Handle) {
        let mut handle = pin!(handle);
        let first = Waker::from(Bell::new());
        match handle.as_mut().poll(&mut Poller::from_waker(&first)) {
            Poll::Ready(outcome) => scene.read(&outcome),
            Poll::Pending => scene.read(&block_on(handle)),
        }
    }

    pub(super) fn awaits_and_drops(scene: &Arc<Scene>, handle: Handle) {
        let waker = Waker::from(Bell::new());
        if let Poll::Ready(outcome) = pin!(handle).poll(&mut Poller::from_waker(&waker)) {
            scene.read(&outcome);
        }
    }

    pub(super) fn polls_and_joins(scene: &Arc<Scene>, mut handle: Handle) {
        let waker = Waker::from(Bell::new());
        match Pin::new(&mut handle).poll(&mut Poller::from_waker(&waker)) {
            Poll::Ready(outcome) => scene.read(&outcome),
            Poll::Pending => scene.read(&handle.join()),
        }
    }

    pub(super) fn cancels_by_token(scene: &Arc<Scene>, handle: Handle) {
        let token = handle.token();
        token.cancel();
        // Settled, or asked to stop: the token's hook was there in time.
        assert!(handle.is_finished() || scene.task.head.stop_reason().is_some());
        scene.read(&handle.join());
    }

    pub(super) fn drops_its_token(scene: &Arc<Scene>, handle: Handle) {
        drop(handle.token());
        scene.read(&handle.join());
    }

    /// A body waits, on a worker: it runs the task itself if that is queued still.
    pub(super) fn joins_in_a_body(scene: &Arc<Scene>, handle: Handle) {
        struct Here;
        impl blocking::Worker for Here {
            fn body(&self) -> Option<crate::id::TaskId> {
                None
            }

            fn begin_blocking(&self, _: blocking::Target) {}
            fn end_blocking(&self) {}
            fn has_slot(&self) -> bool {
                true
            }
            fn token(&self) -> Option<CancelToken> {
                None
            }
        }
        let stack = scene.pool.stack(1);
        current::set_stack(Some(stack.clone()));
        blocking::set_worker(Some(Arc::new(Here)));
        scene.read(&handle.join());
        (0..stack.done.take()).for_each(|_| scene.pool.finished.add());
        blocking::set_worker(None);
        current::set_stack(None);
    }
}

/// What happens to a task beside its submitter and its worker. Afterwards the handle is joined or
/// dropped.
mod bystander {
    use super::*;

    pub(super) fn cancels(scene: &Scene) {
        scene.cancel(CancelReason::Shutdown);
    }

    pub(super) fn makes_its_token(scene: &Scene) {
        drop(scene.task.token());
    }

    pub(super) fn cancels_its_token(scene: &Scene) {
        scene.task.token().cancel_with(CancelReason::Scope);
    }

    pub(super) fn gives_it_a_token(scene: &Scene) {
        let token = CancelToken::new();
        scene.task.obey(token.child());
        token.cancel_with(CancelReason::Scope);
        assert!(scene.task.head.is_settled() || scene.task.head.stop_reason().is_some());
    }

    pub(super) fn watches(scene: &Scene) {
        drop(scene.watch());
    }

    pub(super) fn watches_and_stops(scene: &Scene) {
        let watching = scene.watch();
        scene.counts.watchers_stopped.add();
        watching.1.store(true, Ordering::Relaxed);
        scene.task.unwatch();
    }

    pub(super) fn asks_for_its_state(scene: &Scene) {
        let mut rank = 0;
        for _ in 0..3 {
            let next = match scene.task.state() {
                TaskState::Queued => 0,
                TaskState::Running => 1,
                TaskState::Finished => {
                    let kind = scene.task.head.outcome_kind();
                    assert!(kind.is_some(), "a finished task has its outcome");
                    2
                }
                other => panic!("a task without options is {other:?}"),
            };
            assert!(rank <= next, "it does not go back");
            rank = next;
        }
    }
}

/// What becomes of the task.
mod fate {
    use super::*;

    pub(super) fn runs(scene: &Scene) {
        scene.run();
    }

    /// As the entry does that is dropped with its queue.
    pub(super) fn is_dropped_unrun(scene: &Scene) {
        scene.cancel(CancelReason::Dropped);
    }

    pub(super) fn promise_is_kept(scene: &Scene) {
        let value = Value::new(&scene.tally);
        drop(scene.promise().complete(Ok(value)));
    }

    pub(super) fn promise_fails(scene: &Scene) {
        drop(scene.promise().fail(TaskError::Expired(WaitedFor::Worker)));
    }

    pub(super) fn promise_is_dropped(scene: &Scene) {
        drop(scene.promise());
    }
}

type Submitter = fn(&Arc<Scene>, Handle);
type Other = fn(&Scene);

/// The submitter and another one on a thread each. With each of them the first to run.
fn meet(submitter: Submitter, made: &[Made], ends: Ends, other: Other) {
    for &made in made {
        for submitter_first in [true, false] {
            model(2, move || {
                let (scene, handle) = Scene::new(made, ends);
                let apart = scene.clone();
                let thread = if submitter_first {
                    let thread = thread::spawn(move || other(&apart));
                    submitter(&scene, handle);
                    thread
                } else {
                    let thread = thread::spawn(move || submitter(&apart, handle));
                    other(&scene);
                    thread
                };
                thread.join().unwrap();
                scene.check();
            });
        }
    }
}

/// The submitter and the others on a thread each.
fn meet_all(submitter: Submitter, made: &[Made], ends: Ends, others: &'static [Other]) {
    for &made in made {
        model(1 + others.len(), move || {
            let (scene, handle) = Scene::new(made, ends);
            let threads: Vec<_> = others
                .iter()
                .map(|&other| {
                    let scene = scene.clone();
                    thread::spawn(move || other(&scene))
                })
                .collect();
            submitter(&scene, handle);
            threads.into_iter().for_each(|other| other.join().unwrap());
            scene.check();
        });
    }
}

/// A row of the table.
macro_rules! row {
    ($submitter:expr) => {
        #[test]
        fn while_it_runs() {
            meet($submitter, WITH_BODY, Ends::Returning, fate::runs);
        }

        #[test]
        fn while_it_fails() {
            meet($submitter, WITH_BODY, Ends::Failing, fate::runs);
        }

        #[test]
        fn while_it_panics() {
            meet($submitter, WITH_BODY, Ends::Panicking, fate::runs);
        }

        #[test]
        fn while_it_leaves_at_a_checkpoint() {
            meet($submitter, WITH_BODY, Ends::AtACheckpoint, fate::runs);
        }

        #[test]
        fn while_it_is_dropped_unrun() {
            meet(
                $submitter,
                WITH_BODY,
                Ends::Returning,
                fate::is_dropped_unrun,
            );
        }

        #[test]
        fn while_its_promise_is_kept() {
            meet(
                $submitter,
                BY_PROMISE,
                Ends::Returning,
                fate::promise_is_kept,
            );
        }

        #[test]
        fn while_its_promise_fails() {
            meet($submitter, BY_PROMISE, Ends::Returning, fate::promise_fails);
        }

        #[test]
        fn while_its_promise_is_dropped() {
            meet(
                $submitter,
                BY_PROMISE,
                Ends::Returning,
                fate::promise_is_dropped,
            );
        }
    };
}

macro_rules! submitters {
    ($($submitter:ident)*) => { $(
        mod $submitter {
            use super::*;

            row!(submitter::$submitter);

            #[test]
            fn while_it_runs_and_another_thread_cancels() {
                let others = &[fate::runs as Other, bystander::cancels];
                let made = &[Made::Bare, Made::WithExtras];
                meet_all(submitter::$submitter, made, Ends::Returning, others);
            }
        }
    )* };
}

submitters! {
    joins
    tries_to_join
    times_out_and_drops
    times_out_and_joins
    drops
    cancels_and_joins
    cancels_on_drop
    cancels_on_drop_with_a_callback
    shares_and_drops
    is_called_back
    is_called_back_detached
    takes_its_callback_out
    awaits
    awaits_elsewhere
    awaits_and_drops
    polls_and_joins
    cancels_by_token
    drops_its_token
    joins_in_a_body
}

macro_rules! bystanders {
    ($($bystander:ident)*) => { $(
        mod $bystander {
            use super::*;

            fn and_joins(scene: &Arc<Scene>, handle: Handle) {
                bystander::$bystander(scene);
                submitter::joins(scene, handle);
            }

            fn and_drops(scene: &Arc<Scene>, handle: Handle) {
                bystander::$bystander(scene);
                drop(handle);
            }

            mod and_joins_it {
                use super::*;
                row!(and_joins);
            }

            mod and_drops_it {
                use super::*;
                row!(and_drops);
            }

            #[test]
            fn while_another_cancels_and_it_runs() {
                let others = &[bystander::$bystander as Other, bystander::cancels, fate::runs];
                meet_all(submitter::drops, &[Made::Bare], Ends::Returning, others);
            }
        }
    )* };
}

mod beside_it {
    use super::*;

    bystanders! {
        cancels
        makes_its_token
        cancels_its_token
        gives_it_a_token
        watches
        watches_and_stops
        asks_for_its_state
    }
}

// Meetings that the table has not.

/// With `threads` in all, those that `main` starts included.
fn scene(threads: usize, made: Made, ends: Ends, main: Submitter, others: &'static [Other]) {
    model(threads, move || {
        let (scene, handle) = Scene::new(made, ends);
        let others: Vec<_> = others
            .iter()
            .map(|&other| {
                let scene = scene.clone();
                thread::spawn(move || other(&scene))
            })
            .collect();
        main(&scene, handle);
        others.into_iter().for_each(|other| other.join().unwrap());
        scene.check();
    });
}

#[test]
fn two_threads_share_the_handle() {
    for ends in [Ends::Returning, Ends::Failing, Ends::Panicking] {
        scene(3, Made::Bare, ends, submitter::shares, &[fate::runs]);
    }
    let (made, ends) = (Made::Bare, Ends::Returning);
    scene(3, made, ends, submitter::shares, &[fate::is_dropped_unrun]);
    let others = &[fate::promise_is_kept as Other];
    scene(3, Made::ByPromise, ends, submitter::shares, others);
}

#[test]
fn two_workers_claim_it_and_one_runs_it() {
    for &made in WITH_BODY {
        // Two entries are not the real pool's, but the task's own promise must not depend on that.
        scene(
            3,
            made,
            Ends::Returning,
            submitter::joins,
            &[fate::runs, fate::runs],
        );
    }
}

#[test]
fn two_threads_wait_for_it() {
    fn waits_twice(scene: &Arc<Scene>, handle: Handle) {
        let other = thread::spawn({
            let task = scene.task.clone();
            move || assert!(task.wait(None, true).unwrap())
        });
        submitter::joins(scene, handle);
        other.join().unwrap();
    }
    for &made in WITH_BODY {
        scene(3, made, Ends::Returning, waits_twice, &[fate::runs]);
    }
}

#[test]
fn a_body_that_waits_and_a_worker_and_a_canceller_and_one_has_it() {
    for &made in WITH_BODY {
        scene(
            3,
            made,
            Ends::Returning,
            |scene, handle| {
                submitter::joins_in_a_body(scene, handle);
                let run = scene.tally.bodies_run.get();
                assert_eq!(run + scene.counts.cancelled.get(), 1);
            },
            &[fate::runs, |scene| {
                scene.cancel(CancelReason::User);
            }],
        );
    }
}

#[test]
fn a_token_made_while_the_task_is_cancelled_and_runs() {
    scene(
        3,
        Made::Bare,
        Ends::Returning,
        |scene, handle| {
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
        &[fate::runs],
    );
}

#[test]
fn two_threads_make_the_token_and_get_one() {
    scene(
        3,
        Made::Bare,
        Ends::Returning,
        |scene, handle| {
            let other = thread::spawn({
                let task = scene.task.clone();
                move || task.token()
            });
            let mine = handle.token();
            let other = other.join().unwrap();
            mine.cancel();
            assert!(other.is_cancelled());
            scene.read(&handle.join());
        },
        &[fate::runs],
    );
}

/// The submitter's token, with the task under a child of it, as in the pool.
fn under_a_token(main: fn(&Arc<Scene>, Handle, CancelToken), others: &'static [Other]) {
    model(3, move || {
        let (scene, handle) = Scene::new(Made::Bare, Ends::Returning);
        let token = CancelToken::new();
        scene.task.obey(token.child());
        let others: Vec<_> = others
            .iter()
            .map(|&other| {
                let scene = scene.clone();
                thread::spawn(move || other(&scene))
            })
            .collect();
        main(&scene, handle, token);
        others.into_iter().for_each(|other| other.join().unwrap());
        scene.check();
    });
}

#[test]
fn a_task_under_a_token_that_is_cancelled_while_it_runs() {
    under_a_token(
        |scene, handle, token| {
            token.cancel_with(CancelReason::Scope);
            let stopped = scene.task.head.stop_reason() == Some(CancelReason::Scope);
            assert!(handle.is_finished() || stopped);
            scene.read(&handle.join());
        },
        &[fate::runs],
    );
}

#[test]
fn a_task_under_a_token_that_is_cancelled_while_its_handle_cancels_on_drop() {
    under_a_token(
        |_, handle, token| {
            let handle = handle.cancel_on_drop();
            let dropper = thread::spawn(move || drop(handle));
            token.cancel_with(CancelReason::Scope);
            dropper.join().unwrap();
        },
        &[fate::runs],
    );
}

#[test]
fn a_task_put_under_a_token_while_that_is_cancelled() {
    scene(
        3,
        Made::Bare,
        Ends::Returning,
        |scene, handle| {
            let token = CancelToken::new();
            let canceller = thread::spawn({
                let token = token.clone();
                move || token.cancel_with(CancelReason::Scope)
            });
            scene.task.obey(token);
            canceller.join().unwrap();
            assert!(handle.is_finished() || scene.task.head.stop_reason().is_some());
            scene.read(&handle.join());
        },
        &[fate::runs],
    );
}

#[test]
fn a_deadline_that_passed_while_the_task_was_queued() {
    loom::model(|| {
        let (scene, handle) = Scene::new(Made::Bare, Ends::Returning);
        let token = CancelToken::with_timeout(Duration::ZERO);
        scene.task.obey(token.clone());
        let worker = thread::spawn({
            let scene = scene.clone();
            move || scene.run()
        });
        // The first thread that checks settles it: the worker that claims it, or this one.
        assert!(token.is_cancelled());
        let outcome = handle.join();
        assert!(matches!(
            outcome,
            Err(TaskError::Expired(WaitedFor::Worker))
        ));
        scene.read(&outcome);
        worker.join().unwrap();
        assert_eq!(scene.tally.bodies_run.get(), 0);
        scene.check();
    });
}

#[test]
fn the_last_handle_is_dropped_while_the_task_is_released() {
    scene(
        3,
        Made::Bare,
        Ends::Panicking,
        |scene, handle| {
            scene.on_finish(&handle);
            let shared = handle.cancel_on_drop().share();
            let other = thread::spawn({
                let shared = shared.clone();
                move || drop(shared)
            });
            drop(shared);
            other.join().unwrap();
        },
        &[fate::runs],
    );
}

#[test]
fn a_task_without_a_handle_runs_while_it_is_cancelled() {
    for ends in [Ends::Returning, Ends::Failing, Ends::Panicking] {
        loom::model(move || {
            let (scene, handle) = Scene::new(Made::Bare, ends);
            drop(handle);
            // A second one, detached from the start, as `execute` submits it.
            let other = Arc::new(Tally::default());
            let head = Head::detached(owner(), Location::caller());
            let task = with_body(head, ends, &other);
            let worker = thread::spawn({
                let (scene, task) = (scene.clone(), task.clone());
                move || {
                    scene.run();
                    task.run(&scene.pool.stack(0));
                }
            });
            scene.cancel(CancelReason::User);
            task.cancel(CancelReason::User);
            worker.join().unwrap();
            assert_eq!(other.bodies_dropped.get(), 1);
            assert_eq!(other.values_dropped.get(), other.values_made.get());
            let panicked = usize::from(ends == Ends::Panicking);
            let ran = [&scene.tally, &other].map(|tally| tally.bodies_run.get());
            let expected = panicked * (ran[0] + ran[1]);
            assert_eq!(scene.pool.panics_unread.get(), expected);
        });
    }
}

#[test]
fn a_body_that_waits_for_its_cancel_begins_while_a_shutdown_looks_through_the_stacks() {
    for has_hook in [false, true] {
        loom::model(move || {
            let its_task = Arc::new(std::sync::OnceLock::<TaskWeak>::new());
            let body = {
                let its_task = its_task.clone();
                move || {
                    let task = its_task.get().and_then(TaskWeak::upgrade).unwrap();
                    task.token().wait().unwrap();
                }
            };
            let head = Head::new(owner(), Location::caller());
            let task = Task::new(head, PlainBody::new(body));
            its_task.set(Arc::downgrade(&task)).unwrap();
            let pool = Pool::new(has_hook);
            let stack = pool.stack(0);
            let worker = thread::spawn({
                let (task, stack) = (task.clone(), stack.clone());
                move || task.run(&stack)
            });
            // A request that is lost is a deadlock.
            pool.shut_down(&stack);
            assert_eq!(worker.join().unwrap(), RunResult::Done);
            assert_eq!(task.head.stop_reason(), Some(CancelReason::Shutdown));
        });
    }
}

#[test]
fn what_the_body_did_is_seen_by_a_thread_that_sees_it_settled() {
    for has_hook in [false, true] {
        loom::model(move || {
            #[allow(clippy::arc_with_non_send_sync)] // loom's threads take turns on one
            let trace = Arc::new(Trace(loom::cell::Cell::new(0)));
            let body = {
                let trace = trace.clone();
                move || trace.0.set(7)
            };
            let head = Head::new(owner(), Location::caller());
            let task = Task::new(head, PlainBody::new(body));
            let handle = TaskHandle::<()>::new(task.clone());
            let pool = Pool::new(has_hook);
            let worker = thread::spawn({
                let task = task.clone();
                move || task.run(&pool.stack(0))
            });
            // As a spinning waiter and `is_finished` do: no lock between.
            if task.head.is_settled() {
                assert_eq!(trace.0.get(), 7);
                assert_eq!(task.head.outcome_kind(), Some(OutcomeKind::Succeeded));
            }
            handle.join().unwrap();
            assert_eq!(trace.0.get(), 7);
            worker.join().unwrap();
        });
    }
}

struct Trace(loom::cell::Cell<u32>);

// SAFETY: loom's cell reports what would be a race.
#[allow(unsafe_code)]
unsafe impl Sync for Trace {}

// A join that runs its task itself.

/// The canceller notes the request and then reads the stack. The worker lists each task and then
/// reads the note of the body below.
#[test]
fn a_cancel_meets_a_join_that_begins_to_run_its_task() {
    for with_all in [false, true] {
        model(2, move || {
            let stack = Pool::new(false).stack(0);
            let claimed = || {
                let head = Head::new(owner(), Location::caller());
                let task = Task::new(head, ByHand::<()>::new());
                assert!(task.head.try_claim(0));
                task
            };
            let (body, joined) = (claimed(), [claimed(), claimed()]);
            stack.begin(&body);
            let (asked, theirs) = (body.clone(), stack.clone());
            let canceller = thread::spawn(move || {
                let user = CancelReason::User;
                let is_first = asked.request_stop(asked.head.extras.lock(), user);
                assert_eq!(is_first, Some(true));
                stop_joined(user, &|| theirs.joined_on_top_of(&asked));
            });
            // The second is joined by the first.
            for task in &joined {
                task.head.set_joined();
                match with_all {
                    true => stack.push(task.clone()),
                    false => stack.begin(task),
                }
            }
            canceller.join().unwrap();
            for task in &joined {
                assert_eq!(task.head.stop_reason(), Some(CancelReason::User));
            }
        });
    }
}
