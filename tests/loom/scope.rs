//! loom models of the end of a scope: a task's run, return or panic, meets its cancelling and the end of its time, and what
//! it borrowed is the scope's alone again when the scope ends.
//!
//! Checked with LOOM_MAX_PREEMPTIONS=3.
//
// What is borrowed is a cell of loom's, which finds any access that is not ordered before the scope's own at the end. The
// steps are those of `task::run`, `task::cell` and `task::time`; latch, holds, boxed body, member and slot are the real ones.

use super::*;
use crate::aftermath::{Aftermath, Cancelled, Outcome, TimedOut, Unrun};
use crate::compose::latch::Latch;
use crate::extras::{Course, Extras, Whereabouts, Who};
use crate::fork::NOBODY;
use crate::id::TaskId;
use crate::panic::TaskPanic;
use crate::slot::Slot;
use loom::cell::UnsafeCell;
use loom::thread;

/// What lies around the scope.
struct Borrowed(UnsafeCell<u32>);

// SAFETY: loom's cell reports what would be a race.
unsafe impl Sync for Borrowed {}

impl Borrowed {
    fn touch(&self) {
        // SAFETY: loom reports another access at the same time before it happens.
        self.0.with_mut(|count| unsafe { *count += 1 });
    }
}

/// What a body captures: looks at what it borrows once more when it is dropped.
struct Capture<'a>(&'a Borrowed);

impl Capture<'_> {
    fn touch(&self) {
        self.0.touch();
    }
}

impl Drop for Capture<'_> {
    fn drop(&mut self) {
        self.0.touch();
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Ends {
    Returning,
    Panicking,
}

#[derive(Clone, Copy, PartialEq)]
enum Handle {
    IsDropped,
    IsKept,
}

struct Scene {
    slot: Slot<PlainWork<Body<()>>, (), ()>,
}

impl Scene {
    fn new(body: Body<()>, member: Member) -> Arc<Self> {
        let mut extras = Extras::new(None, None, None);
        extras.rest().member = Some(member);
        extras.course = Some(Course {
            policy: (),
            order: 0,
            whereabouts: Whereabouts::Queue,
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
        Arc::new(Self {
            slot: Slot::new(NOBODY, PlainWork(body), Some(extras), false),
        })
    }

    fn who(&self) -> Who {
        Who {
            id: TaskId::next(),
            name: None,
            site: Location::caller(),
        }
    }

    fn bury(&self, kind: OutcomeKind, aftermath: Aftermath<()>) {
        let Aftermath { unwanted, rest } = aftermath;
        let member = rest.as_ref().and_then(|rest| rest.member.as_ref());
        if let Some(member) = member {
            member.group.settled(member.index, kind);
            if let Some(Err(error)) = unwanted {
                member
                    .group
                    .unread(member.index, self.who(), JoinError::Task(error));
            }
        }
        drop(rest);
    }

    fn bury_unrun(&self, kind: OutcomeKind, unrun: Unrun<PlainWork<Body<()>>, ()>) {
        panic::discard_flat(unrun.work);
        self.bury(kind, unrun.aftermath);
    }

    fn run(&self) {
        let Some(claimed) = self.slot.claim(|_, _| ()) else {
            return;
        };
        // The box is dropped after the unwind, not in it: loom's locks, dropped in an unwind, are poisoned.
        let PlainWork(mut body) = claimed.work;
        let result = panic::catch(&mut body);
        drop(body);
        let who = self.who();
        let outcome: Outcome<()> = result.map_err(|payload| {
            let panic = TaskPanic::new(who.id, None, who.site, payload, None);
            TaskError::Panicked(Box::new(panic))
        });
        let kind = match &outcome {
            Ok(()) => OutcomeKind::Completed,
            Err(_) => OutcomeKind::Panicked,
        };
        let aftermath = self.slot.settle(outcome, kind);
        self.bury(kind, aftermath);
    }

    fn cancel(&self) {
        if let Cancelled::Unrun(unrun) = self.slot.cancel(CancelReason::User) {
            self.bury_unrun(OutcomeKind::Cancelled, unrun);
        }
    }

    fn time_out(&self) {
        match self.slot.time_out() {
            TimedOut::Unrun(unrun) => self.bury_unrun(OutcomeKind::TimedOut, unrun),
            TimedOut::Running(aftermath, _) => self.bury(OutcomeKind::TimedOut, aftermath),
            TimedOut::Finished => {}
        }
    }
}

/// A scope with one task, whose worker meets another thread.
fn meet(ends: Ends, handle: Handle, other: fn(&Scene)) {
    loom::model(move || {
        let borrowed = Borrowed(UnsafeCell::new(0));
        let worst = Arc::new(Worst::default());
        let members = Members::new(CancelToken::new(), false, worst.clone());
        let capture = Capture(&borrowed);
        let body = move || {
            capture.touch();
            if ends == Ends::Panicking {
                // A panic whose hook stays silent: loom's threads have small stacks.
                resume_unwind(Box::new("a panic"));
            }
        };
        // As one that may run again, it keeps its capture until it is dropped.
        // SAFETY: `borrowed` lives until after the wait below.
        let body = unsafe { carry(body, members.hold()) };
        let scene = Scene::new(body, members.member(None));
        let threads = [
            thread::spawn({
                let scene = scene.clone();
                move || scene.run()
            }),
            thread::spawn({
                let scene = scene.clone();
                move || other(&scene)
            }),
        ];
        let unread = match handle {
            Handle::IsDropped => scene.slot.detach(),
            Handle::IsKept => None,
        };
        if let Some(Err(error)) = unread {
            members.unread(0, scene.who(), JoinError::Task(error));
        }
        members.wait(NOBODY);
        // The scope is over, whatever the other threads have still to do.
        borrowed.touch();
        let kind = scene
            .slot
            .kind()
            .expect("a task that has retired has settled");
        let (panicked, lost) = worst.take();
        if handle == Handle::IsDropped {
            assert_eq!(panicked.is_some(), kind == OutcomeKind::Panicked);
            let stopped = matches!(kind, OutcomeKind::Cancelled | OutcomeKind::TimedOut);
            assert_eq!(lost.is_some(), stopped);
        } else {
            assert!(panicked.is_none() && lost.is_none());
            assert!(scene.slot.take().is_some());
        }
        for thread in threads {
            thread.join().unwrap();
        }
        // SAFETY: all other threads have ended.
        let touched = borrowed.0.with(|count| unsafe { *count });
        assert!(
            touched == 2 || touched == 3,
            "dropped once, run once at most"
        );
    });
}

macro_rules! others {
    ($($other:ident)*) => { $(
        mod $other {
            use super::{Ends, Handle, Scene, meet};

            #[test]
            fn meets_a_body_that_returns() {
                meet(Ends::Returning, Handle::IsDropped, Scene::$other);
            }

            #[test]
            fn meets_a_body_that_panics() {
                meet(Ends::Panicking, Handle::IsDropped, Scene::$other);
            }

            #[test]
            fn meets_a_body_with_its_handle_kept() {
                meet(Ends::Panicking, Handle::IsKept, Scene::$other);
            }
        }
    )* };
}

others!(cancel time_out);

#[test]
fn the_latch_waits_for_the_last_of_many() {
    loom::model(|| {
        let latch = Latch::new();
        let borrowed = Arc::new(Borrowed(UnsafeCell::new(0)));
        let threads: Vec<_> = (0..2)
            .map(|n| {
                let (hold, borrowed) = (Hold::new(&latch), borrowed.clone());
                thread::spawn(move || {
                    if n == 0 {
                        borrowed.touch();
                    }
                    drop(hold);
                })
            })
            .collect();
        latch.wait();
        borrowed.touch();
        for thread in threads {
            thread.join().unwrap();
        }
    });
}
