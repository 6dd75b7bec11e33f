//! loom models of the end of a scope: a task's run meets its cancelling and the end of its time, and what
//! it borrowed is the scope's alone again when the scope ends.
//!
//! Checked with LOOM_MAX_PREEMPTIONS=3.
//
// What is borrowed is a cell of loom's, which finds any access that is not ordered before the scope's
// own at the end. Bodies, packets, handles, members, latch and task are the real ones; the submission
// has the steps of `Scope::submit_plain` and `start`. The pool is a double.

use super::*;
use crate::compose::scope::latch::{Hold, Latch};
use crate::compose::scope::sink::Found;
use crate::retry::Retry;
use crate::task::OutcomeKind;
use crate::task::body::PlainBody;
use crate::task::double::{Pool, model, owner};
use crate::task::group_error::by_text;
use crate::task::options::{Extras, Progress, TaskOptions};
use crate::task::pool::Level;
use crate::task::stack::Stack;
use crate::task::timed::OnTime;
use loom::cell::UnsafeCell;
use loom::thread;
use std::panic::resume_unwind;
use std::time::Duration;

/// What is outside of the scope.
struct Borrowed(UnsafeCell<u32>);

// SAFETY: loom's cell reports what would be a race.
unsafe impl Sync for Borrowed {}

impl Borrowed {
    fn touch(&self) {
        // SAFETY: loom reports another access at the same time before it happens.
        self.0.with_mut(|count| unsafe { *count += 1 });
    }
}

/// What a body captures: accesses what it borrows once more when it is dropped.
struct Capture<'a>(&'a Borrowed);

/// What a body returns: the same with another cell, since a handle may drop the value while the worker
/// drops the closure.
type Value<'a> = Capture<'a>;

impl Capture<'_> {
    // A closure that calls this captures all of it, and not the reference in it.
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
    /// The first of two attempts fails.
    FailingOnce,
}

#[derive(Clone, Copy, PartialEq)]
enum Handle {
    IsDropped,
    IsJoined,
}

struct Scene {
    task: TaskRef,
    pool: Arc<Pool>,
    stack: Arc<Stack>,
    state: Arc<ScopeState>,
}

impl Scene {
    /// A worker runs it as often as it finds it.
    fn run(&self) {
        while let Some(task) = self.pool.pop() {
            self.pool.take_on(&task, &self.stack);
        }
    }

    fn cancel(&self) {
        self.task.cancel(CancelReason::User);
    }

    fn cancel_scope(&self) {
        self.state.token().cancel_with(CancelReason::Scope);
    }

    fn time_out(&self) {
        // A worker of the real pool runs the clean-up.
        if let Some(cleanup) = self.task.clone().on_time(OnTime::End) {
            cleanup();
        }
    }
}

/// Gives a new task its extras, and puts it into the queue.
fn submit(state: &Arc<ScopeState>, pool: &Arc<Pool>, task: &TaskRef, plans: bool) -> usize {
    let member = state.member();
    let index = member.index;
    let mut extras = Extras::new(None, None);
    extras.member = Some(member);
    if plans {
        let options = Arc::new(TaskOptions {
            deadline: Some(Duration::from_secs(3600)),
            ..TaskOptions::default()
        });
        let start = options.start(&**pool, false);
        extras.progress = Some(Progress::new(
            &options,
            pool.clone(),
            start,
            Level::default(),
        ));
    }
    task.head.set_extras(extras);
    if plans {
        task.clone().schedule(&**pool, None);
    } else {
        pool.entries.lock().unwrap().push(task.clone());
    }
    state.add_task(task);
    index
}

/// A scope with one task, whose worker meets another thread.
fn meet(ends: Ends, plans: bool, handle: Handle, other: fn(&Scene)) {
    model(3, move || {
        let borrowed = [(); 2].map(|()| Borrowed(UnsafeCell::new(0)));
        let [by_body, by_value] = &borrowed;
        let sink = FailureSink::of_plain_scope(owner());
        let state = ScopeState::new(CancelToken::new(), false, sink);
        let pool = Pool::new(false);
        let head = Head::new(owner(), Location::caller());
        let capture = Capture(by_body);
        let mut attempts = 0;
        let (task, packet, again) = if ends == Ends::FailingOnce {
            let packet = Packet::<Result<Value<'_>, &str>>::fallible();
            let body = move || {
                attempts += 1;
                capture.touch();
                match attempts {
                    1 => Err("failed"),
                    _ => Ok(Capture(by_value)),
                }
            };
            let rules = Arc::new(Rules::new(Retry::fixed(1, Duration::ZERO)));
            let body =
                FallibleScoped::new(body, &packet, state.hold(), by_text::<&str>, Some(rules));
            // SAFETY: `borrowed` lives until after the wait below.
            let task = unsafe { erase(Arc::new(Task { head, body })) };
            (task, None, Some(packet))
        } else {
            let packet = Packet::<Value<'_>>::new();
            let body = move || {
                capture.touch();
                if ends == Ends::Panicking {
                    // A panic whose hook stays silent: loom's threads have small stacks.
                    resume_unwind(Box::new("a panic"));
                }
                Capture(by_value)
            };
            let body = PlainScoped::new(body, &packet, state.hold());
            // SAFETY: `borrowed` lives until after the wait below.
            let task = unsafe { erase(Arc::new(Task { head, body })) };
            (task, Some(packet), None)
        };
        let index = submit(&state, &pool, &task, plans);
        let scene = Arc::new(Scene {
            task: task.clone(),
            stack: pool.stack(0),
            pool,
            state: state.clone(),
        });
        let threads = [Scene::run, other].map(|actor| {
            let scene = scene.clone();
            thread::spawn(move || actor(&scene))
        });
        if let Some(packet) = packet {
            leave(
                handle,
                ScopedHandle::new(packet, task, state.clone(), index),
            );
        } else if let Some(packet) = again {
            leave(
                handle,
                ScopedHandle::new(packet, task, state.clone(), index),
            );
        }
        state.wait(owner());
        // The scope is over, whatever the other threads have still to do.
        borrowed.iter().for_each(Borrowed::touch);
        let kind = scene.task.head.outcome_kind();
        let kind = kind.expect("a task that is released has settled");
        let Found {
            panic, unfinished, ..
        } = state.found();
        if handle == Handle::IsDropped {
            assert_eq!(panic.is_some(), kind == OutcomeKind::Panicked);
            let stopped = matches!(
                kind,
                OutcomeKind::Cancelled | OutcomeKind::Expired | OutcomeKind::TimedOut
            );
            assert_eq!(unfinished.is_some(), stopped);
        } else {
            assert!(panic.is_none() && unfinished.is_none());
        }
        for thread in threads {
            thread.join().unwrap();
        }
        // Besides here: by each attempt and by the drop of the capture; by the drop of the value.
        // SAFETY: all other threads have ended.
        let touched = [by_body, by_value].map(|cell| cell.0.with(|count| unsafe { *count }) - 1);
        let expected: &[[u32; 2]] = match (ends, kind) {
            (Ends::Returning, OutcomeKind::Succeeded) => &[[2, 1]],
            (Ends::FailingOnce, OutcomeKind::Succeeded) => &[[3, 1]],
            (Ends::Panicking, OutcomeKind::Panicked) => &[[2, 0]],
            // Asked to stop while the first attempt ran.
            (Ends::FailingOnce, OutcomeKind::Failed) => &[[2, 0]],
            // Its time ended while it ran, or before it ran.
            (Ends::Returning, OutcomeKind::TimedOut) => &[[2, 1]],
            (Ends::Panicking, OutcomeKind::TimedOut) => &[[2, 0]],
            (Ends::FailingOnce, OutcomeKind::TimedOut) => &[[2, 0], [3, 1]],
            (Ends::FailingOnce, OutcomeKind::Cancelled) => &[[1, 0], [2, 0]],
            (_, OutcomeKind::Cancelled | OutcomeKind::Expired) => &[[1, 0]],
            (_, kind) => panic!("nothing settles it as {kind:?}"),
        };
        assert!(expected.contains(&touched), "{touched:?}, {kind:?}");
        assert_eq!(scene.pool.finished.get(), 1);
    });
}

fn leave<T>(how: Handle, handle: ScopedHandle<'_, T>) {
    match how {
        Handle::IsDropped => drop(handle),
        Handle::IsJoined => drop(handle.join()),
    }
}

macro_rules! others {
    ($($other:ident: $plain:expr;)*) => { $(
        mod $other {
            use super::{Ends, Handle, Scene, meet};

            #[test]
            fn meets_a_body_that_returns() {
                for plans in $plain {
                    meet(Ends::Returning, plans, Handle::IsDropped, Scene::$other);
                }
            }

            #[test]
            fn meets_a_body_that_panics() {
                for plans in $plain {
                    meet(Ends::Panicking, plans, Handle::IsDropped, Scene::$other);
                }
            }

            #[test]
            fn meets_a_body_that_returns_to_its_handle() {
                for plans in $plain {
                    meet(Ends::Returning, plans, Handle::IsJoined, Scene::$other);
                }
            }

            #[test]
            fn meets_a_body_that_panics_with_a_handle() {
                for plans in $plain {
                    meet(Ends::Panicking, plans, Handle::IsJoined, Scene::$other);
                }
            }

            #[test]
            fn meets_a_body_that_runs_again() {
                meet(Ends::FailingOnce, true, Handle::IsDropped, Scene::$other);
            }

            #[test]
            fn meets_a_body_that_runs_again_for_its_handle() {
                meet(Ends::FailingOnce, true, Handle::IsJoined, Scene::$other);
            }
        }
    )* };
}

// Only a task with options has an end of its time.
others! {
    cancel: [false, true];
    cancel_scope: [false, true];
    time_out: [true];
}

#[test]
fn a_task_is_listed_while_the_scope_is_cancelled() {
    loom::model(|| {
        let sink = FailureSink::of_plain_scope(owner());
        let state = ScopeState::new(CancelToken::new(), false, sink);
        let canceller = thread::spawn({
            let token = state.token().clone();
            move || token.cancel_with(CancelReason::Scope)
        });
        let task = Task::new(
            Head::new(owner(), Location::caller()),
            PlainBody::new(|| ()),
        );
        state.add_task(&task);
        canceller.join().unwrap();
        assert_eq!(task.head.outcome_kind(), Some(OutcomeKind::Cancelled));
    });
}

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
        latch.wait(owner());
        borrowed.touch();
        for thread in threads {
            thread.join().unwrap();
        }
    });
}
