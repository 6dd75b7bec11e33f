//! The bound of a pool's queue: a counter of places.
//!
//! The channel itself is unbounded. The submitter takes a place before it builds the task, so that
//! a refused closure is simply returned. The place becomes free when the task leaves the queue:
//! claimed, cancelled or expired.

use crate::cancel::blocking::{self, Interrupt};
use crate::clock::Monitor;
use crate::error::Rejection;
use crate::process;
use std::sync::Arc;
use std::time::Instant;

/// What a submitter does if the queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhenFull {
    Refuse,
    /// Waits until this instant; `None`: for ever.
    Wait(Option<Instant>),
}

pub(crate) struct Capacity {
    /// The tag of the pool.
    owner: u32,
    places: usize,
    /// Whether the pool lets submitters wait at all.
    may_wait: bool,
    state: Monitor<State>,
}

struct State {
    taken: usize,
    waiting: usize,
    is_closed: bool,
}

impl Capacity {
    pub(crate) fn new(owner: u32, places: usize, may_wait: bool) -> Arc<Self> {
        Arc::new(Self {
            owner,
            places,
            may_wait,
            state: Monitor::new(State {
                taken: 0,
                waiting: 0,
                is_closed: false,
            }),
        })
    }

    pub(crate) fn take(self: &Arc<Self>, when_full: WhenFull) -> Result<QueuePlace, Rejection> {
        if let Some(result) = self.try_take(&mut self.state.lock()) {
            return result;
        }
        let deadline = match when_full {
            WhenFull::Wait(deadline) if self.may_wait => deadline,
            _ => return Err(Rejection::Full),
        };
        if process::is_foreign(self.owner) {
            return Err(Rejection::Forked);
        }
        let capacity = self.clone();
        let interrupt = Interrupt::here(move || capacity.state.lock_and_notify_all());
        let _blocking = blocking::begin();
        let mut state = self.state.lock();
        state.waiting += 1;
        self.state.wait_while(
            &mut state,
            &process::clock_of(self.owner),
            deadline,
            &"a place in a pool's queue",
            &mut |state| !state.is_closed && state.taken == self.places && !interrupt.has_come(),
        );
        state.waiting -= 1;
        let taken = self.try_take(&mut state);
        drop(state);
        taken.unwrap_or_else(|| match interrupt.stopped() {
            Some(_) => Err(Rejection::Interrupted),
            None => Err(Rejection::Full),
        })
    }

    /// `None` if the queue is full.
    fn try_take(self: &Arc<Self>, state: &mut State) -> Option<Result<QueuePlace, Rejection>> {
        if state.is_closed {
            return Some(Err(Rejection::Closed));
        }
        (state.taken < self.places).then(|| {
            state.taken += 1;
            Ok(QueuePlace(self.clone()))
        })
    }

    /// Wakes the submitters that wait, and refuses them.
    pub(crate) fn close(&self) {
        self.state.lock().is_closed = true;
        self.state.notify_all();
    }
}

/// A place in a bounded queue, free again when this is dropped.
pub(crate) struct QueuePlace(Arc<Capacity>);

impl Drop for QueuePlace {
    fn drop(&mut self) {
        let capacity = &self.0.state;
        let mut state = capacity.lock();
        state.taken -= 1;
        // A submitter that is woken and times out at the same moment takes the place: after its
        // wait it tries once more.
        let wake = state.waiting > 0;
        drop(state);
        if wake {
            capacity.notify_one();
        }
    }
}
