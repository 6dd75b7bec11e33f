//! loom models of a slot whose task has a course: attempts, the timer, a gate's line and those who cancel meet.
//!
//! Checked with LOOM_MAX_PREEMPTIONS=3.
//
// Beside the outcome, what is followed here is who counts the task. Its ticket in the run queue, its entry in the timer
// and its place in a line are numbers: such a task is in one place at a time, and in the end it is counted once, by the
// reader of its ticket, by who ran it, or by who settled it where no ticket was. The steps are those of `task::run`,
// `task::course`, `task::time` and of the pool's worker and shutdown, without gates and permits.
//
// The counts are std's atomics: loom must not see an order in them that the slot does not make. Where a step of life
// goes through a lock or a channel, nothing stands for it, so more schedules are tried than life has.

use super::*;
use crate::fork::NOBODY;
use crate::wake::nobody;
use loom::thread;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

#[derive(Default)]
struct Count(AtomicUsize);

impl Count {
    fn add(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    fn get(&self) -> usize {
        self.0.load(Relaxed)
    }

    /// Takes one away if there is one.
    fn take(&self) -> bool {
        let less = |count: usize| count.checked_sub(1);
        self.0.fetch_update(Relaxed, Relaxed, less).is_ok()
    }
}

#[derive(Default)]
struct Tally {
    bodies_run: Count,
    works_dropped: Count,
    values_made: Count,
    values_dropped: Count,
    /// Outcomes that the submitter's side got.
    taken: Count,
    /// Outcomes that came back to who settled, as nobody wants them.
    unwanted: Count,
    /// Outcomes that came after the end of the task's time.
    too_late: Count,
    settled: Count,
    counted: Count,
}

struct Body(Arc<Tally>);

impl Drop for Body {
    fn drop(&mut self) {
        self.0.works_dropped.add();
    }
}

struct Value(Arc<Tally>);

impl Drop for Value {
    fn drop(&mut self) {
        self.0.values_dropped.add();
    }
}

/// Where the task begins.
#[derive(Clone, Copy, PartialEq)]
enum Begins {
    Queued,
    Delayed,
    /// In a gate's line, and in the pool's list of those.
    Parked,
}

struct Scene {
    slot: Slot<Body, Value>,
    tally: Arc<Tally>,
    tickets: Count,
    entries: Count,
    /// Whether the pool's list of those in lines has it.
    parked: AtomicBool,
    /// The gate: whether it is in the line and has not been called.
    gate: Mutex<bool>,
    /// How many attempts fail.
    fails: usize,
    /// Where it goes after one.
    to: Whereabouts,
    /// A request to stop has come back to who made it, while an attempt ran.
    requested: AtomicBool,
}

impl Scene {
    fn new(begins: Begins, fails: usize, to: Whereabouts) -> Arc<Self> {
        let tally = Arc::new(Tally::default());
        let whereabouts = match begins {
            Begins::Queued => Whereabouts::Queue,
            Begins::Delayed => timer(),
            Begins::Parked => Whereabouts::Line,
        };
        let mut extras = Extras::new(None, None, None);
        extras.course = Some(Course {
            policy: (),
            order: 0,
            whereabouts,
            awaits: 0,
            attempts: 0,
            begun: None,
            attempt_ends: None,
            expires: None,
            ends: None,
            late: false,
            attempt_token: None,
            last_error: None,
        });
        let scene = Self {
            slot: Slot::new(NOBODY, Body(tally.clone()), Some(extras), false),
            tally,
            tickets: Count::default(),
            entries: Count::default(),
            parked: AtomicBool::new(begins == Begins::Parked),
            gate: Mutex::new(begins == Begins::Parked),
            fails,
            to,
            requested: AtomicBool::new(false),
        };
        match begins {
            Begins::Queued => scene.tickets.add(),
            Begins::Delayed => scene.entries.add(),
            Begins::Parked => {}
        }
        Arc::new(scene)
    }

    /// What follows on settling; `counts`: there is no ticket whose reader would.
    fn conclude(&self, aftermath: Aftermath<Value>, counts: bool) {
        assert!(self.slot.is_settled());
        self.tally.settled.add();
        if let Some(outcome) = aftermath.unwanted {
            self.tally.unwanted.add();
            drop(outcome);
        }
        if counts {
            self.tally.counted.add();
        }
    }

    fn conclude_unrun(&self, unrun: Unrun<Body, Value>) {
        *self.gate.lock() = false;
        if unrun.whereabouts == Whereabouts::Line {
            self.parked.store(false, Relaxed);
        }
        drop(unrun.work);
        self.conclude(unrun.aftermath, unrun.whereabouts != Whereabouts::Queue);
    }

    /// As `Core::bury`.
    fn bury(&self) {
        if !self.slot.is_claimed() {
            self.tally.counted.add();
        }
    }

    /// A worker reads the ticket, if there is one, and runs an attempt.
    fn run(&self) {
        if !self.tickets.take() {
            return;
        }
        let Some(claimed) = self.slot.claim(|_, _| ()) else {
            return self.bury();
        };
        self.tally.bodies_run.add();
        let attempt = self.tally.bodies_run.get();
        self.tally.values_made.add();
        let value = Value(self.tally.clone());
        let (attempts, late) = self
            .slot
            .with_course(|course, running| (course.attempts, course.late && running))
            .unwrap();
        assert_eq!(attempts as usize, attempt);
        assert!(!late || attempt == 1, "only the first is said to be late");
        let work = claimed.work;
        if attempt > self.fails {
            drop(work);
            return self.settle(value);
        }
        let requested = self.requested.load(Relaxed);
        match self.slot.put_back(work, self.to) {
            Ok(()) => {
                assert!(!requested, "no attempt follows a request to stop");
                drop(value);
                match self.to {
                    Whereabouts::Queue => self.tickets.add(),
                    _ => self.entries.add(),
                }
            }
            Err(work) => {
                assert!(self.slot.stop_reason().is_some());
                drop(work);
                self.settle(value);
            }
        }
    }

    fn settle(&self, value: Value) {
        let was_in_time = !self.slot.is_settled();
        let aftermath = self.slot.settle(Ok(value), OutcomeKind::Completed);
        if self.slot.kind() == Some(OutcomeKind::Completed) {
            assert!(was_in_time);
            self.conclude(aftermath, true);
        } else {
            assert_eq!(self.slot.kind(), Some(OutcomeKind::TimedOut));
            assert!(aftermath.unwanted.is_some() && aftermath.rest.is_none());
            self.tally.too_late.add();
            self.tally.counted.add();
        }
    }

    /// The timer: it is due.
    fn is_due(&self) {
        if self.entries.take() && self.slot.go(Whereabouts::Queue) {
            self.tickets.add();
        }
    }

    fn expires(&self) {
        if let Some(unrun) = self.slot.expire() {
            self.conclude_unrun(unrun);
            assert_eq!(self.slot.kind(), Some(OutcomeKind::Expired));
            assert_eq!(self.tally.bodies_run.get(), 0);
        }
    }

    fn times_out(&self) {
        match self.slot.time_out() {
            TimedOut::Unrun(unrun) => {
                self.conclude_unrun(unrun);
                assert_eq!(self.slot.kind(), Some(OutcomeKind::TimedOut));
            }
            TimedOut::Running(aftermath, _) => {
                // Who runs it will count it.
                self.conclude(aftermath, false);
                assert_eq!(self.slot.kind(), Some(OutcomeKind::TimedOut));
            }
            TimedOut::Finished => assert!(self.slot.is_settled()),
        }
    }

    /// The first attempt's time is over.
    fn is_late(&self) {
        self.slot
            .with_course(|course, running| course.late |= running && course.attempts == 1);
    }

    fn cancel(&self) -> bool {
        match self.slot.cancel(CancelReason::User) {
            Cancelled::Unrun(unrun) => {
                self.conclude_unrun(unrun);
                assert_eq!(self.slot.kind(), Some(OutcomeKind::Cancelled));
                return true;
            }
            Cancelled::Running(_) => {
                assert!(self.slot.stop_reason().is_some());
                self.requested.store(true, Relaxed);
            }
            Cancelled::Finished => assert!(self.slot.is_settled()),
        }
        false
    }

    /// A worker that reads the ticket finds the gate shut.
    fn parks(&self) {
        if !self.tickets.take() {
            return;
        }
        let mut in_line = self.gate.lock();
        if self.slot.go(Whereabouts::Line) {
            self.parked.store(true, Relaxed);
            *in_line = true;
            return;
        }
        assert!(self.slot.claim(|_, _| ()).is_none());
        drop(in_line);
        self.bury();
    }

    /// The gate calls it.
    fn is_called(&self) {
        let called = mem::take(&mut *self.gate.lock());
        if called && self.parked.swap(false, Relaxed) && self.slot.go(Whereabouts::Queue) {
            self.tickets.add();
        }
    }

    /// A shutdown cancels what waits in lines, as `take_parked` and `cancel_unrun`.
    fn is_swept(&self) {
        if self.parked.swap(false, Relaxed) && self.slot.go(Whereabouts::Queue) {
            self.cancel();
            self.bury();
        }
    }

    fn take(&self) {
        if let Some(outcome) = self.slot.take() {
            self.got(outcome);
        }
    }

    fn joins(&self) {
        if self.slot.wait(None, nobody, || Wait::Open).unwrap() {
            self.take();
        }
    }

    fn detaches(&self) {
        if let Some(outcome) = self.slot.detach() {
            self.got(outcome);
        }
    }

    fn got(&self, outcome: Outcome<Value>) {
        let kind = match &outcome {
            Ok(_) => OutcomeKind::Completed,
            Err(error) => OutcomeKind::of_error(error),
        };
        assert_eq!(self.slot.kind(), Some(kind));
        self.tally.taken.add();
    }

    /// The pool goes on until nothing is left to do.
    fn settle_down(&self) {
        loop {
            self.is_due();
            self.is_called();
            if self.tickets.get() == 0 {
                break;
            }
            self.run();
        }
    }

    fn check(&self) {
        self.settle_down();
        self.take();
        let tally = &*self.tally;
        assert!(self.slot.is_settled(), "it lies nowhere and is not settled");
        assert_eq!(tally.settled.get(), 1, "exactly one settles");
        assert_eq!(tally.counted.get(), 1, "and it is counted once");
        assert_eq!(tally.works_dropped.get(), 1);
        assert_eq!(tally.taken.get() + tally.unwanted.get(), 1);
        assert_eq!(tally.values_made.get(), tally.bodies_run.get());
        assert_eq!(tally.values_dropped.get(), tally.values_made.get());
        assert!(tally.bodies_run.get() <= self.fails + 1);
        assert!(
            !self.parked.load(Relaxed),
            "the list has nobody who is gone"
        );
        if self.slot.kind() == Some(OutcomeKind::Completed) {
            let stopped = self.slot.stop_reason().is_some();
            assert!(stopped || tally.bodies_run.get() == self.fails + 1);
        }
    }
}

fn timer() -> Whereabouts {
    Whereabouts::Timer {
        due: crate::clock::now(),
    }
}

type Actor = fn(&Scene);

/// Each on a thread of its own, in every order of starting: which schedules loom tries depends on who runs first.
fn meet(begins: Begins, fails: usize, to: fn() -> Whereabouts, actors: &[Actor]) {
    for first in 0..actors.len() {
        let mut actors = actors.to_vec();
        actors.rotate_left(first);
        loom::model(move || {
            let scene = Scene::new(begins, fails, to());
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

const fn queue() -> Whereabouts {
    Whereabouts::Queue
}

/// A worker that runs it as often as it finds it.
fn runs(scene: &Scene) {
    scene.run();
    scene.run();
}

/// One that never ends before the task has, so that a joiner's wait ends.
fn runs_and_fires(scene: &Scene) {
    scene.settle_down();
}

fn fires_and_runs(scene: &Scene) {
    scene.is_due();
    scene.run();
}

fn cancels(scene: &Scene) {
    scene.cancel();
}

macro_rules! every {
    ($($other:ident: $actor:expr;)*) => { $(
        mod $other {
            use super::*;

            #[test]
            fn while_it_runs() {
                meet(Begins::Queued, 0, queue, &[runs, $actor]);
            }

            #[test]
            fn while_it_is_tried_again_at_once() {
                meet(Begins::Queued, 1, queue, &[runs, $actor]);
            }

            #[test]
            fn while_it_is_tried_again_later() {
                meet(Begins::Queued, 1, timer, &[Scene::run, Scene::is_due, $actor]);
            }

            #[test]
            fn while_it_becomes_due() {
                meet(Begins::Delayed, 0, queue, &[fires_and_runs, $actor]);
            }

            #[test]
            fn while_it_goes_into_a_line() {
                meet(Begins::Queued, 0, queue, &[Scene::parks, $actor]);
            }

            #[test]
            fn while_it_is_called_from_a_line() {
                meet(Begins::Parked, 0, queue, &[Scene::is_called, runs, $actor]);
            }

            #[test]
            fn while_it_is_swept_from_a_line() {
                meet(Begins::Parked, 0, queue, &[Scene::is_swept, Scene::is_called, $actor]);
            }

            #[test]
            fn while_it_is_awaited() {
                meet(Begins::Queued, 1, queue, &[Scene::joins, runs_and_fires, $actor]);
            }

            #[test]
            fn while_its_handle_goes() {
                meet(Begins::Queued, 1, queue, &[Scene::detaches, runs, $actor]);
            }
        }
    )* };
}

every! {
    it_is_cancelled: cancels;
    it_expires: Scene::expires;
    its_time_ends: Scene::times_out;
    an_attempt_is_late: Scene::is_late;
}

#[test]
fn its_time_ends_while_it_expires_and_is_cancelled() {
    for begins in [Begins::Queued, Begins::Delayed, Begins::Parked] {
        let actors: &[Actor] = &[Scene::times_out, Scene::expires, cancels];
        meet(begins, 0, queue, actors);
    }
}

#[test]
fn its_time_ends_while_it_runs_and_is_cancelled() {
    meet(Begins::Queued, 1, queue, &[runs, Scene::times_out, cancels]);
}

#[test]
fn a_shutdown_sweeps_while_it_goes_into_a_line() {
    meet(Begins::Queued, 0, queue, &[Scene::parks, Scene::is_swept]);
}

#[test]
fn a_shutdown_sweeps_while_it_is_called() {
    meet(
        Begins::Parked,
        0,
        queue,
        &[Scene::is_called, Scene::is_swept, Scene::run],
    );
}

#[test]
fn two_who_take_it_on_and_one_does() {
    loom::model(|| {
        let scene = Scene::new(Begins::Queued, 0, queue());
        // Two tickets are not life's, but the slot's own promise must not depend on that.
        let other = thread::spawn({
            let scene = scene.clone();
            move || scene.slot.claim(|_, _| ()).map(drop).is_some()
        });
        let mine = scene.slot.claim(|_, _| ()).map(drop).is_some();
        assert!(mine != other.join().unwrap());
        assert_eq!(scene.slot.with_course(|course, _| course.attempts), Some(1));
    });
}
