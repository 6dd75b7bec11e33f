//! loom models of the slot: every action of the submitter meets every action of the worker.
//!
//! Checked with LOOM_MAX_PREEMPTIONS=3.
//
// Each meeting is run twice, with a plain slot and with one that has extras (a name and a place in a queue), and ends
// with the same questions (`Scene::check`): has everything happened that must, and once?
//
// The counts are std's atomics: they only count, and loom must not see an order in them that the slot does not make.

use super::*;
use crate::event::Summary;
use crate::extras::{Callback, Place, Places};
use crate::fork::NOBODY;
use crate::id::TaskId;
use crate::panic::TaskPanic;
use crate::wake::nobody;
use loom::thread;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Wake;

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
    /// Outcomes that the submitter's side got.
    taken: Count,
    /// Outcomes that came back to who settled.
    unwanted: Count,
    callbacks_noted: Count,
    callbacks_run: Count,
    callbacks_removed: Count,
    places_back: Count,
}

impl Places for Tally {
    fn give_back(&self) {
        self.places_back.add();
    }
}

struct Body(Arc<Tally>);

impl Body {
    fn run(self) -> Value {
        self.0.bodies_run.add();
        self.0.values_made.add();
        Value(self.0.clone())
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.0.bodies_dropped.add();
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
    slot: Slot<Body, Value>,
    tally: Arc<Tally>,
    has_place: bool,
}

impl Scene {
    fn new(has_place: bool) -> Arc<Self> {
        let tally = Arc::new(Tally::default());
        let extras =
            has_place.then(|| Extras::new(Some("named".into()), Some(Place(tally.clone())), None));
        Arc::new(Self {
            slot: Slot::new(NOBODY, Body(tally.clone()), extras, false),
            tally,
            has_place,
        })
    }

    // What all actions are made of.

    fn summary(&self) -> Summary {
        Summary {
            id: TaskId::next(),
            name: None,
            outcome: self.slot.kind().unwrap(),
            ran_for: None,
        }
    }

    /// What the cell does after settling.
    fn conclude(&self, aftermath: Aftermath<Value>) {
        assert!(self.slot.is_settled());
        if let Some(outcome) = aftermath.unwanted {
            self.tally.unwanted.add();
            drop(outcome);
        }
        if let Some(rest) = aftermath.rest {
            if let Some(waker) = rest.waker {
                waker.wake();
            }
            for (_, callback) in rest.callbacks {
                callback(&self.summary());
            }
        }
    }

    fn cancel(&self, reason: CancelReason) {
        match self.slot.cancel(reason) {
            Cancelled::Unrun(unrun) => {
                assert_eq!(unrun.whereabouts, Whereabouts::Queue);
                drop(unrun.work);
                self.conclude(unrun.aftermath);
                assert_eq!(self.slot.kind(), Some(OutcomeKind::Cancelled));
            }
            Cancelled::Running(_) => assert!(self.slot.stop_reason().is_some()),
            Cancelled::Finished => assert!(self.slot.is_settled()),
        }
    }

    fn wait(&self, deadline: Option<Instant>) -> bool {
        let settled = self.slot.wait(deadline, nobody, || Wait::Open).unwrap();
        assert!(settled || deadline.is_some());
        settled
    }

    fn got(&self, outcome: Outcome<Value>) {
        let kind = match &outcome {
            Ok(_) => OutcomeKind::Completed,
            Err(error) => OutcomeKind::of_error(error),
        };
        assert_eq!(self.slot.kind(), Some(kind));
        self.tally.taken.add();
    }

    fn must_take(&self) {
        self.got(self.slot.take().expect("settled, and not taken"));
    }

    fn detach(&self) {
        if let Some(outcome) = self.slot.detach() {
            self.got(outcome);
        }
    }

    /// As a handle's `on_finish`: a finished task's callback runs here.
    fn on_finish(self: &Arc<Self>) -> Option<u64> {
        let tally = self.tally.clone();
        tally.callbacks_noted.add();
        let callback: Callback = Box::new(move |_| tally.callbacks_run.add());
        let noted = self.slot.with_extras(|extras, settled| match settled {
            true => Err(callback),
            false => Ok(extras.add_callback(callback)),
        });
        noted.map_err(|callback| callback(&self.summary())).ok()
    }

    /// Once all threads are through.
    fn check(&self) {
        let tally = &*self.tally;
        assert!(self.slot.is_settled());
        let ran = tally.bodies_run.get();
        assert_eq!(tally.bodies_dropped.get(), 1, "run or dropped, once");
        match self.slot.kind().unwrap() {
            OutcomeKind::Completed | OutcomeKind::Panicked => assert_eq!(ran, 1),
            OutcomeKind::Cancelled => assert_eq!(ran, 0),
            other => panic!("nobody settles as {other:?}"),
        }
        assert_eq!(
            tally.taken.get() + tally.unwanted.get(),
            1,
            "the outcome reaches exactly one side"
        );
        assert_eq!(tally.values_made.get(), ran);
        assert_eq!(tally.values_dropped.get(), ran, "and is dropped once");
        assert_eq!(
            tally.callbacks_run.get() + tally.callbacks_removed.get(),
            tally.callbacks_noted.get()
        );
        assert_eq!(tally.places_back.get(), usize::from(self.has_place));
        let inner = self.slot.inner.lock();
        assert!(matches!(inner.stage, Stage::Taken));
        if let Some(extras) = &inner.extras {
            assert!(extras.rest.is_none());
            assert!(extras.place.is_none());
        }
    }
}

/// What a waker rings and an executor listens for.
struct Bell {
    rung: Mutex<bool>,
    told: Condvar,
}

impl Bell {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            rung: Mutex::new(false),
            told: Condvar::new(),
        })
    }

    fn wait(&self) {
        let mut rung = self.rung.lock();
        while !*rung {
            self.told.wait(&mut rung);
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        *self.rung.lock() = true;
        self.told.notify_all();
    }
}

/// What the submitter does. Each ends with the outcome taken or the slot detached.
mod submitter {
    use super::*;

    pub(super) fn joins(scene: &Arc<Scene>) {
        assert!(scene.wait(None));
        scene.must_take();
    }

    pub(super) fn tries_to_join(scene: &Arc<Scene>) {
        match scene.slot.take() {
            Some(outcome) => scene.got(outcome),
            None => scene.detach(),
        }
    }

    pub(super) fn times_out_and_drops(scene: &Arc<Scene>) {
        match scene.wait(Some(crate::clock::now())) {
            true => scene.must_take(),
            false => scene.detach(),
        }
    }

    pub(super) fn times_out_and_joins(scene: &Arc<Scene>) {
        if !scene.wait(Some(crate::clock::now())) {
            assert!(scene.wait(None));
        }
        scene.must_take();
    }

    pub(super) fn drops(scene: &Arc<Scene>) {
        scene.detach();
    }

    pub(super) fn cancels_and_joins(scene: &Arc<Scene>) {
        scene.cancel(CancelReason::User);
        joins(scene);
    }

    pub(super) fn cancels_on_drop(scene: &Arc<Scene>) {
        scene.cancel(CancelReason::Dropped);
        scene.detach();
    }

    pub(super) fn shares(scene: &Arc<Scene>) {
        fn read(scene: &Scene, shared: &OnceLock<Outcome<Value>>) {
            assert!(scene.wait(None));
            scene.slot.take_into(shared);
            assert!(shared.get().is_some(), "who finds it taken finds it there");
        }
        let shared = Arc::new(OnceLock::new());
        let other = thread::spawn({
            let (scene, shared) = (scene.clone(), shared.clone());
            move || read(&scene, &shared)
        });
        read(scene, &shared);
        other.join().unwrap();
        assert!(scene.slot.detach().is_none());
        scene.got(Arc::into_inner(shared).unwrap().into_inner().unwrap());
    }

    pub(super) fn is_called_back(scene: &Arc<Scene>) {
        scene.on_finish();
        joins(scene);
    }

    pub(super) fn is_called_back_detached(scene: &Arc<Scene>) {
        scene.on_finish();
        scene.detach();
    }

    pub(super) fn takes_its_callback_out(scene: &Arc<Scene>) {
        if let Some(key) = scene.on_finish() {
            let callback = scene
                .slot
                .with_extras(|extras, _| extras.remove_callback(key));
            if callback.is_some() {
                scene.tally.callbacks_removed.add();
            }
        }
        joins(scene);
    }

    pub(super) fn awaits(scene: &Arc<Scene>) {
        let bell = Bell::new();
        let mut polled = scene.slot.take_or_wake(&bell.clone().into());
        if polled.is_pending() {
            bell.wait();
            polled = scene.slot.take_or_wake(Waker::noop());
        }
        match polled {
            Poll::Ready(outcome) => scene.got(outcome.expect("not taken before")),
            Poll::Pending => panic!("woken before it was settled"),
        }
    }

    /// A future may move to another executor between polls: only the last waker counts.
    pub(super) fn awaits_elsewhere(scene: &Arc<Scene>) {
        match scene.slot.take_or_wake(&Bell::new().into()) {
            Poll::Ready(outcome) => scene.got(outcome.expect("not taken before")),
            Poll::Pending => awaits(scene),
        }
    }

    pub(super) fn awaits_and_drops(scene: &Arc<Scene>) {
        match scene.slot.take_or_wake(&Bell::new().into()) {
            Poll::Ready(outcome) => scene.got(outcome.expect("not taken before")),
            Poll::Pending => scene.detach(),
        }
    }
}

/// What the worker does.
mod worker {
    use super::*;

    pub(super) fn runs(scene: &Scene) {
        if let Some(Claimed { work: body, .. }) = scene.slot.claim(|_, _| ()) {
            assert!(scene.slot.is_claimed() && !scene.slot.is_settled());
            let value = body.run();
            let aftermath = scene.slot.settle(Ok(value), OutcomeKind::Completed);
            scene.conclude(aftermath);
        }
    }

    pub(super) fn panics(scene: &Scene) {
        if let Some(Claimed { work: body, .. }) = scene.slot.claim(|_, _| ()) {
            let payload = Box::new(body.run());
            let panic = TaskPanic::new(TaskId::next(), None, Location::caller(), payload, None);
            let outcome = Err(TaskError::Panicked(Box::new(panic)));
            let aftermath = scene.slot.settle(outcome, OutcomeKind::Panicked);
            scene.conclude(aftermath);
        }
    }

    /// As a ticket does that is dropped with its queue.
    pub(super) fn drops_it_unrun(scene: &Scene) {
        scene.cancel(CancelReason::Dropped);
    }
}

/// In both orders of starting: which schedules loom tries depends on who is the first to run.
fn meet(submitter: fn(&Arc<Scene>), others: &[fn(&Scene)]) {
    for has_place in [false, true] {
        for submitter_first in [true, false] {
            let others = others.to_vec();
            loom::model(move || {
                let scene = Scene::new(has_place);
                let apart = |other: fn(&Scene)| {
                    let scene = scene.clone();
                    thread::spawn(move || other(&scene))
                };
                let (first, others) = others.split_first().unwrap();
                let mut threads: Vec<_> = others.iter().map(|other| apart(*other)).collect();
                if submitter_first {
                    threads.push(apart(*first));
                    submitter(&scene);
                } else {
                    threads.push(thread::spawn({
                        let scene = scene.clone();
                        move || submitter(&scene)
                    }));
                    first(&scene);
                }
                threads.into_iter().for_each(|other| other.join().unwrap());
                scene.check();
            });
        }
    }
}

macro_rules! every {
    ($($submitter:ident)*) => { $(
        mod $submitter {
            use super::{meet, submitter::$submitter, worker};

            #[test]
            fn while_the_worker_runs_it() {
                meet($submitter, &[worker::runs]);
            }

            #[test]
            fn while_it_panics() {
                meet($submitter, &[worker::panics]);
            }

            #[test]
            fn while_it_is_dropped_unrun() {
                meet($submitter, &[worker::drops_it_unrun]);
            }

            #[test]
            fn while_somebody_else_cancels() {
                meet($submitter, &[worker::runs, |scene| scene.cancel(super::CancelReason::Shutdown)]);
            }
        }
    )* };
}

every! {
    joins
    tries_to_join
    times_out_and_drops
    times_out_and_joins
    drops
    cancels_and_joins
    cancels_on_drop
    shares
    is_called_back
    is_called_back_detached
    takes_its_callback_out
    awaits
    awaits_elsewhere
    awaits_and_drops
}

#[test]
fn two_who_want_to_run_it_and_one_does() {
    meet(submitter::joins, &[worker::runs, worker::runs]);
}

#[test]
fn what_the_body_did_is_seen_by_who_sees_it_settled() {
    loom::model(|| {
        let scene = Scene::new(false);
        #[allow(clippy::arc_with_non_send_sync)] // loom's threads take turns on one
        let trace = Arc::new(loom::cell::Cell::new(0));
        let worker = thread::spawn({
            let (scene, trace) = (scene.clone(), trace.clone());
            move || {
                let body = scene.slot.claim(|_, _| ()).unwrap().work;
                trace.set(7);
                let aftermath = scene.slot.settle(Ok(body.run()), OutcomeKind::Completed);
                scene.conclude(aftermath);
            }
        });
        // As a spinning waiter and `is_finished` do: no lock between.
        if scene.slot.is_settled() {
            assert_eq!(trace.get(), 7);
            assert_eq!(scene.slot.kind(), Some(OutcomeKind::Completed));
        }
        submitter::joins(&scene);
        worker.join().unwrap();
        scene.check();
    });
}
