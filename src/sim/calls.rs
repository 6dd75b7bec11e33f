//! The threads of a simulation for user code that the library calls for a time-out.
//!
//! As without a simulation (`clock/hooks.rs`), but a further thread does not wait until the others
//! have been in a call for long: the seed decides which of them goes on.

use crate::sim::simulator::Simulator;
use std::collections::VecDeque;
use std::sync::Arc;

/// The calls to be made, and how many threads make them.
#[derive(Default)]
pub(super) struct Calls {
    filed: VecDeque<Box<dyn FnOnce() + Send>>,
    threads: usize,
}

const MOST_THREADS: usize = 4;

impl Simulator {
    /// Makes the call on a thread of its own, of which there are a few at most. A call may wait.
    pub(crate) fn call_in_background(self: &Arc<Self>, call: Box<dyn FnOnce() + Send>) {
        let mut calls = self.calls.lock();
        calls.filed.push_back(call);
        if calls.threads == MOST_THREADS {
            return;
        }
        calls.threads += 1;
        drop(calls);
        let sim = self.clone();
        let make = Box::new(move || sim.make_calls());
        if self
            .spawn("millhand-deadline".to_owned(), None, make)
            .is_err()
        {
            self.make_calls();
        }
    }

    fn make_calls(&self) {
        loop {
            let mut calls = self.calls.lock();
            let Some(call) = calls.filed.pop_front() else {
                calls.threads -= 1;
                return;
            };
            drop(calls);
            call();
        }
    }
}
