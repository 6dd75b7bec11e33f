//! A task that waits behind those that it continues, until the last of them has settled.
//!
//! Layer 2.

use crate::extras::Watch;
use crate::gate;
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
        self.send_off();
        true
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
