//! The alarm wakes what is registered for an instant of the system's clock: the deadlines of
//! tokens that have hooks to run.
//!
//! One thread per process, started at the first such deadline. A deadline without hooks needs no
//! alarm: a thread that checks it reads the clock. Every other clock wakes what is registered with
//! it by itself.
//
// The alarm's thread only keeps time. All that is due at one moment is woken on another thread,
// since that runs hooks of the user, which may take long: a hook that hangs must not stop the
// clock for the rest of the process.
//
// The queue holds weak references: what was dropped is not woken.

use crate::clock::Clock;
use crate::sync::waiter::ClockWaiter;
use std::sync::Weak;
use std::time::Instant;

type Hooks = Box<dyn FnOnce() + Send>;

/// Runs hooks on a thread of their own, or on this one if no thread can be started.
pub(crate) fn run_in_background(hooks: impl FnOnce() + Send + 'static) {
    imp::run_in_background(Box::new(hooks));
}

/// Wakes `waiter` at `instant` of `clock`, if it still exists then. On a manual clock that happens
/// on the thread that turns the clock.
pub(crate) fn at(clock: &Clock, instant: Instant, waiter: Weak<dyn ClockWaiter>) {
    if !clock.wake_at(instant, &waiter) {
        imp::at(instant, waiter);
    }
}

#[cfg(not(loom))]
mod imp {
    use super::{ClockWaiter, Hooks, Instant, Weak};
    use crate::clock::current;
    use crate::clock::spawn::spawn;
    use crate::clock::{Clock, Monitor};
    use crate::sync::Mutex;
    use crate::sync::deadline_queue::DeadlineQueue;
    use std::sync::{Arc, LazyLock};
    use std::{process, thread};

    /// Notified when the earliest deadline is a new one.
    static ALARM: LazyLock<Monitor<State>> = LazyLock::new(|| {
        Monitor::new(State {
            process: 0,
            due: DeadlineQueue::new(),
        })
    });

    struct State {
        /// The process that has the thread. A forked child has none.
        process: u32,
        due: DeadlineQueue<Weak<dyn ClockWaiter>>,
    }

    pub(super) fn at(instant: Instant, waiter: Weak<dyn ClockWaiter>) {
        let mut state = ALARM.lock();
        let is_first = state.due.next().is_none_or(|first| instant < first);
        state.due.sweep(&mut |_, waiter| waiter.strong_count() > 0);
        state.due.push(instant, waiter);
        let mut refused = None;
        if state.process != process::id() {
            let thread = thread::Builder::new().name("millhand-alarm".to_owned());
            match thread.spawn(keep_time) {
                Ok(_) => state.process = process::id(),
                Err(error) => refused = Some(error),
            }
        }
        drop(state);
        if is_first {
            ALARM.notify_one();
        }
        if let Some(error) = refused {
            log::warn!(
                "no thread to watch deadlines ({error}): their hooks wait until one can be started"
            );
        }
    }

    fn keep_time() {
        let system = Clock::system();
        let mut state = ALARM.lock();
        loop {
            let now = system.now();
            let mut due = Vec::new();
            while let Some(waiter) = state.due.pop_due(now) {
                due.extend(waiter.upgrade());
            }
            if due.is_empty() {
                let next = state.due.next_live();
                ALARM.wait_while(&mut state, &system, next, &"a deadline", &mut |state| {
                    state.due.next() == next
                });
                continue;
            }
            drop(state);
            run_in_background(Box::new(|| due.into_iter().for_each(ClockWaiter::wake)));
            state = ALARM.lock();
        }
    }

    pub(super) fn run_in_background(hooks: Hooks) {
        // Behind a lock, so that this thread can have them back if no other was started.
        let hooks = Arc::new(Mutex::new(Some(hooks)));
        let theirs = hooks.clone();
        let name = "millhand-deadline".to_owned();
        let run = Box::new(move || take(&theirs)());
        if spawn(&current::clock(), name, None, run).is_err() {
            take(&hooks)();
        }
    }

    fn take(hooks: &Mutex<Option<Hooks>>) -> Hooks {
        let hooks = hooks.lock().take();
        hooks.expect("taken by the new thread, or here if there is none")
    }
}

#[cfg(loom)]
mod imp {
    //! The models have no clock.
    pub(super) fn at(_: super::Instant, _: super::Weak<dyn super::ClockWaiter>) {}

    pub(super) fn run_in_background(hooks: super::Hooks) {
        hooks();
    }
}
