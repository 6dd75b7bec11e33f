//! The bound of the queue: one counter of places.
//!
//! Layer 3. The channel itself is unbounded. A place is taken before the cell is built, so that a refused closure is
//! simply given back, and returned when the task leaves the queue: claimed, cancelled or expired.

use crate::error::Rejection;
use crate::extras::{Place, Places};
use crate::fork;
use crate::here;
use crate::seat;
use crate::sync::{Condvar, Mutex};
use crate::wake::Wake;
use std::sync::{Arc, Weak};
use std::time::Instant;

/// How long a submitter waits for a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    Never,
    /// `None`: for ever.
    Until(Option<Instant>),
}

pub(crate) struct Intake {
    owner: u32,
    capacity: usize,
    /// Whether a submitter that may wait does.
    waits: bool,
    state: Mutex<State>,
    freed: Condvar,
}

struct State {
    taken: usize,
    waiting: usize,
    closed: bool,
}

impl Intake {
    pub(crate) fn new(owner: u32, capacity: usize, waits: bool) -> Arc<Self> {
        Arc::new(Self {
            owner,
            capacity,
            waits,
            state: Mutex::new(State {
                taken: 0,
                waiting: 0,
                closed: false,
            }),
            freed: Condvar::new(),
        })
    }

    pub(crate) fn take(self: &Arc<Self>, hold: Hold) -> Result<Place, Rejection> {
        if let Some(result) = self.try_take(&mut self.state.lock()) {
            return result;
        }
        let deadline = match hold {
            Hold::Until(deadline) if self.waits => deadline,
            _ => return Err(Rejection::Full),
        };
        if fork::is_foreign(self.owner) {
            return Err(Rejection::Forked);
        }
        let _left = seat::leave_open();
        let mut state = self.state.lock();
        state.waiting += 1;
        let me = || {
            let weak: Weak<Self> = Arc::downgrade(self);
            weak as Weak<dyn Wake>
        };
        here::clock_of(self.owner).wait_while(&self.freed, &mut state, deadline, me, |state| {
            !state.closed && state.taken == self.capacity
        });
        state.waiting -= 1;
        self.try_take(&mut state).unwrap_or(Err(Rejection::Full))
    }

    /// `None`: full.
    fn try_take(self: &Arc<Self>, state: &mut State) -> Option<Result<Place, Rejection>> {
        if state.closed {
            return Some(Err(Rejection::Closed));
        }
        (state.taken < self.capacity).then(|| {
            state.taken += 1;
            Ok(Place(self.clone()))
        })
    }

    /// Wakes the submitters that wait, with a refusal.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.freed.notify_all();
    }
}

impl Wake for Intake {
    fn wake(self: Arc<Self>) {
        drop(self.state.lock());
        self.freed.notify_all();
    }

    fn what(&self) -> String {
        "a place in a pool's queue".to_owned()
    }
}

impl Places for Intake {
    fn give_back(&self) {
        let mut state = self.state.lock();
        state.taken -= 1;
        // A waiter that is woken and times out at the same moment takes the place itself: it looks once more.
        let wake = state.waiting > 0;
        drop(state);
        if wake {
            self.freed.notify_one();
        }
    }
}
