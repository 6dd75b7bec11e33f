//! The alarm wakes what is registered for an instant of the system's clock: the deadlines of
//! tokens that have hooks to run, and what kills child processes.
//!
//! One thread per process, started at the first such deadline. A deadline without hooks needs no
//! alarm: a thread that checks it reads the clock. Every other clock wakes what is registered with
//! it by itself.
//
// The alarm's thread only keeps time. What it wakes files the hooks of the user with `hooks`, since
// a hook that hangs must not stop the clock for the rest of the process.
//
// The queue holds weak references: what was dropped is not woken.

use crate::clock::Clock;
use crate::sync::waiter::ClockWaiter;
use std::sync::Weak;
use std::time::Instant;

/// Wakes `waiter` at `instant` of `clock`, if it still exists then. On a manual clock that happens
/// on the thread that turns the clock.
pub(crate) fn at(clock: &Clock, instant: Instant, waiter: Weak<dyn ClockWaiter>) {
    if !clock.wake_at(instant, &waiter) {
        imp::at(instant, waiter);
    }
}

#[cfg(not(loom))]
mod imp {
    use super::{ClockWaiter, Instant, Weak};
    use crate::clock::{Clock, Monitor};
    use crate::panic::{self, Level};
    use crate::sync::deadline_queue::DeadlineQueue;
    use std::sync::LazyLock;
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
            panic::log(
                Level::Warn,
                format_args!(
                    "no thread to watch deadlines ({error}): their hooks wait until one can be started"
                ),
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
            due.into_iter().for_each(ClockWaiter::wake);
            state = ALARM.lock();
        }
    }
}

#[cfg(loom)]
mod imp {
    //! The models have no clock.
    pub(super) fn at(_: super::Instant, _: super::Weak<dyn super::ClockWaiter>) {}
}
