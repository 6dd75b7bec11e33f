//! The alarm: rings what has asked for it at its instant, on time.
//!
//! Layer 0, for deadlines that have hooks to run: one thread for the process, started at the first such deadline. Where
//! nobody hooks on, a deadline needs no alarm: whoever asks reads the clock. A clock other than the system's is its own alarm.
//
// The thread itself only keeps time. What is due is rung on a thread of its own, together with all else that is due at that
// moment, since hooks are the user's and may take long: a hung one must not stop the clock for the rest of the process.
//
// A heap of weak references: what was dropped does not ring, and is swept out once the heap has doubled since the last
// sweep.

use crate::clock::Clock;
use crate::wake::Wake;
use std::sync::Weak;
use std::time::Instant;

/// Runs hooks on a thread of their own, or here if there is none to be had.
pub(crate) fn apart(hooks: impl FnOnce() + Send + 'static) {
    imp::apart(hooks);
}

/// Rings `what` at `instant` of `clock`, if it is still there then. On a clock that is turned by hand that is whoever turns it.
pub(crate) fn at(clock: &Clock, instant: Instant, what: Weak<dyn Wake>) {
    if !clock.call(instant, what.clone()) {
        imp::at(instant, what);
    }
}

#[cfg(not(loom))]
mod imp {
    use super::{Instant, Wake, Weak};
    use crate::clock;
    use crate::here;
    use crate::spawn::spawn;
    use crate::sync::{Condvar, Mutex};
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::{process, thread};

    static ALARM: Alarm = Alarm {
        state: Mutex::new(State {
            process: 0,
            next: 0,
            due: BTreeMap::new(),
            sweep_at: SWEEP_FROM,
        }),
        sooner: Condvar::new(),
    };

    const SWEEP_FROM: usize = 64;

    struct Alarm {
        state: Mutex<State>,
        /// Told when the earliest entry is a new one.
        sooner: Condvar,
    }

    struct State {
        /// The process that has the thread: a forked child has none.
        process: u32,
        next: u64,
        /// By instant, and by order of entry among equals.
        due: BTreeMap<(Instant, u64), Weak<dyn Wake>>,
        sweep_at: usize,
    }

    pub(super) fn at(instant: Instant, what: Weak<dyn Wake>) {
        let mut state = ALARM.state.lock();
        if state.due.len() >= state.sweep_at {
            state.due.retain(|_, what| what.strong_count() > 0);
            state.sweep_at = SWEEP_FROM.max(2 * state.due.len());
        }
        state.next += 1;
        let entry = (instant, state.next);
        state.due.insert(entry, what);
        let is_first = state.due.first_key_value().map(|(key, _)| *key) == Some(entry);
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
            ALARM.sooner.notify_one();
        }
        if let Some(error) = refused {
            log::warn!(
                "no thread to watch deadlines ({error}): their hooks wait until one can be started"
            );
        }
    }

    fn keep_time() {
        let mut state = ALARM.state.lock();
        loop {
            let now = clock::now();
            let mut due = Vec::new();
            while let Some(first) = state.due.first_entry().filter(|entry| entry.key().0 <= now) {
                due.extend(first.remove().upgrade());
            }
            if due.is_empty() {
                let next = state
                    .due
                    .first_key_value()
                    .map(|((instant, _), _)| *instant);
                clock::wait(&ALARM.sooner, &mut state, next);
                continue;
            }
            drop(state);
            apart(|| due.into_iter().for_each(Wake::wake));
            state = ALARM.state.lock();
        }
    }

    pub(super) fn apart(hooks: impl FnOnce() + Send + 'static) {
        // Behind a lock, to be had back from a thread that was not started.
        let hooks = Arc::new(Mutex::new(Some(hooks)));
        let theirs = hooks.clone();
        let name = "millhand-deadline".to_owned();
        if spawn(&here::clock(), name, None, move || take(&theirs)()).is_err() {
            take(&hooks)();
        }
    }

    fn take<F>(hooks: &Mutex<Option<F>>) -> F {
        let hooks = hooks.lock().take();
        hooks.expect("taken by the thread, or here if there is none")
    }
}

#[cfg(loom)]
mod imp {
    //! The models have no clock.
    pub(super) fn at(_: super::Instant, _: super::Weak<dyn super::Wake>) {}

    pub(super) fn apart(hooks: impl FnOnce()) {
        hooks();
    }
}
