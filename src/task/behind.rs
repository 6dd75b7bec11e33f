//! A task that waits behind those that it continues, until the last of them has settled.
//!
//! Layer 2.

use crate::error::Stuck;
use crate::extras::Watch;
use crate::gate;
use crate::seat::{Awaited, Place, Waits};
use crate::task::any::Policy;
use crate::task::cell::Cell;
use crate::task::work::Work;
use std::sync::Arc;

impl<W: Work> Cell<W> {
    /// What it continues has settled: as if it were submitted now. False if it was settled before.
    pub(crate) fn set_off(self: Arc<Self>) -> bool {
        let policy = self.slot.with_course(|course, _| course.policy.clone());
        let Some(Policy { plan, home }) = policy else {
            return false;
        };
        let start = plan.start(&*home);
        self.slot.with_course(|course, _| {
            course.order = start.order;
            course.expires = start.expires;
            course.ends = start.ends;
        });
        if !self.slot.go(start.whereabouts) {
            // Settled meanwhile, perhaps under another order.
            gate::forget(&plan.gates, start.order);
            return false;
        }
        self.send_off(&plan, &*home);
        true
    }
}

impl<W: Work> Waits for Cell<W> {
    fn told(&self) -> Stuck {
        (self.id, self.name(), self.site)
    }

    fn is_limited(&self) -> bool {
        let limited = self.slot.with_course(|course, _| course.ends.is_some());
        limited == Some(true)
    }

    fn pinned_to(&self) -> Option<Place> {
        let index = self.slot.peek_extras(|extras| extras.pinned)??;
        let begun = self.slot.is_settled() || self.slot.is_claimed();
        (!begun).then_some((self.slot.owner(), index))
    }

    fn behind(&self) -> Vec<Awaited> {
        self.slot.peek_work(W::behind).unwrap_or_default()
    }
}

impl<W: Work> Watch for Cell<W> {
    /// One of those that it continues.
    fn settled(self: Arc<Self>, _: usize) {
        let ready = self.slot.with_course(|course, _| {
            course.awaits = course.awaits.checked_sub(1)?;
            (course.awaits == 0).then(|| course.policy.home.clone())
        });
        if let Some(Some(home)) = ready {
            home.follow(self);
        }
    }
}

#[cfg(all(test, loom))]
#[path = "../../tests/loom/behind.rs"]
mod models;
