//! The counts of the run slots: who has one, and what a thread may take. Pure.
//
// A body that sleeps for a moment releases its run slot only to inner tasks of a higher level: its
// children. Otherwise tasks that sleep again and again until their children have ended would each
// need a thread. A body that does so for long releases its run slot to all.
//
// # The bound
//
// There are at most as many spares as the bound allows, except where nothing else would end the
// waits. If no body runs, one more thread starts for an inner task that is higher than each body
// that waits for something but a task or a permit; for a task that a gate has admitted, if bodies
// wait for tasks of this pool or for permits, and none for anything else; for any other, if bodies
// wait for tasks of this pool, and none for anything else. A wait for a task that itself waits for
// time does not count in the last two cases, nor in the last one a wait for a task at rate
// limiters: the pool does not stand still. A body whose time is over has no run slot. It may never
// end, so it does not keep the others waiting, unless it waits for a task of this pool. Hung bodies
// alone start no thread beyond the bound.
//
// While there are more threads than the bound allows, a thread at a task boundary takes such tasks
// only, and leaves if there is none. It checks again after it has left, for a task that came
// meanwhile.

/// The threads of a pool, and those of them whose body waits.
pub(crate) struct SlotCounts {
    pub(crate) slots: usize,
    /// How many threads there may be beside one per run slot.
    pub(crate) max_spares: usize,
    /// Threads, without those that rest.
    pub(crate) threads: usize,
    /// Threads whose body waits for a task of this pool.
    pub(crate) own: usize,
    /// Threads whose body waits for a permit.
    permits: usize,
    /// The heights of the bodies that wait for anything else, the highest first.
    others: Vec<u8>,
    /// The heights of the bodies that sleep for a moment, the highest first.
    dozing: Vec<u8>,
    /// Threads whose body is on the stack though its time is over.
    hung: usize,
}

/// What a body has released its run slot for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// A task of this pool.
    Own,
    /// A permit of a gate.
    Permit,
    /// At most a moment, and the body is of this height.
    Moment(u8),
    /// Something that comes by itself, and the body is of this height.
    Other(u8),
    /// Its time is over. It runs on, or waits for anything but a task of this pool.
    Hung,
}

/// How many threads a pool has, and what they do.
pub(crate) struct Overview {
    pub(crate) workers: usize,
    pub(crate) threads: usize,
    pub(crate) busy: usize,
    pub(crate) blocked: usize,
    pub(crate) idle: usize,
}

/// Heights of bodies, the highest first.
fn add(heights: &mut Vec<u8>, height: u8) {
    let at = heights.partition_point(|other| *other > height);
    heights.insert(at, height);
}

fn remove(heights: &mut Vec<u8>, height: u8) {
    let at = heights.partition_point(|other| *other > height);
    heights.remove(at);
}

/// What there is to do in the run queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    Nothing,
    /// Something that a body of the pool submitted, of this height at most.
    Inner(u8),
    /// Something that a gate has admitted, and nothing of that kind.
    Admitted,
    /// Something else, and nothing of these kinds.
    Outer,
}

/// What a thread at a task boundary may take. If it finds nothing of it, it leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MayTake {
    Nothing,
    /// Inner tasks from this height on.
    Inner(u8),
    /// Inner tasks from this height on, since there are more threads than the bound allows. Tasks
    /// from outside only if the pool stands still.
    Beyond(u8),
    Anything,
}

impl SlotCounts {
    pub(crate) fn new(slots: usize, max_spares: usize) -> Self {
        Self {
            slots,
            max_spares,
            threads: slots,
            own: 0,
            permits: 0,
            others: Vec::new(),
            dozing: Vec::new(),
            hung: 0,
        }
    }

    /// Threads that have released their run slot.
    pub(crate) fn waiting(&self) -> usize {
        self.own + self.permits + self.others.len() + self.dozing.len() + self.hung
    }

    pub(crate) fn taken(&self) -> usize {
        self.threads - self.waiting()
    }

    /// `idle`: how many threads look for work. One of them may just have begun or ceased to.
    pub(crate) fn overview(&self, idle: usize, resting: usize) -> Overview {
        let idle = idle.min(self.taken());
        Overview {
            workers: self.slots,
            threads: self.threads + resting,
            busy: self.taken() - idle,
            blocked: self.waiting(),
            idle: idle + resting,
        }
    }

    /// A thread has released its run slot for this.
    pub(crate) fn add_wait(&mut self, wait: Wait) {
        match wait {
            Wait::Own => self.own += 1,
            Wait::Permit => self.permits += 1,
            Wait::Moment(height) => add(&mut self.dozing, height),
            Wait::Other(height) => add(&mut self.others, height),
            Wait::Hung => self.hung += 1,
        }
    }

    pub(crate) fn remove_wait(&mut self, wait: Wait) {
        match wait {
            Wait::Own => self.own -= 1,
            Wait::Permit => self.permits -= 1,
            Wait::Moment(height) => remove(&mut self.dozing, height),
            Wait::Other(height) => remove(&mut self.others, height),
            Wait::Hung => self.hung -= 1,
        }
    }

    /// The height from which on a task may have one of `slots`, if it may.
    fn least_height(&self, slots: usize) -> Option<u8> {
        let left = slots.checked_sub(self.taken())?;
        let lowest = self.dozing.get(left);
        Some(lowest.map_or(0, |height| height.saturating_add(1)))
    }

    /// What a thread that has a run slot may take.
    pub(crate) fn may_take(&self) -> MayTake {
        match self.least_height(self.slots) {
            None => MayTake::Nothing,
            Some(0) if self.threads > self.bound() => MayTake::Beyond(self.above_others()),
            Some(0) => MayTake::Anything,
            Some(height) => MayTake::Inner(height),
        }
    }

    /// Whether one more thread may take what is ready.
    pub(crate) fn has_slot_for(&self, ready: Ready) -> bool {
        let height = match ready {
            Ready::Inner(height) => height,
            _ => 0,
        };
        let from = self.least_height(self.slots.saturating_sub(1));
        from.is_some_and(|from| from <= height)
    }

    pub(crate) fn bound(&self) -> usize {
        self.slots.saturating_add(self.max_spares)
    }

    /// The height from which on inner tasks may have a thread beyond the bound. Those below it may
    /// have to wait, like a body that has begun to: for what comes by itself. Otherwise a body with
    /// many children that each sleep would need a thread for each.
    fn above_others(&self) -> u8 {
        let hung = (self.hung > 0).then_some(&0);
        let highest = self.others.first().or(hung);
        highest.map_or(0, |height| height.saturating_add(1))
    }

    /// Whether one more thread than the bound allows may start for what is ready: no body runs, and
    /// nothing else would end the waits. `running`: the threads that look for work.
    pub(crate) fn stands_still_for(&self, ready: Ready, running: usize) -> bool {
        // How many may wait for what is ready. Those that wait for a permit may wait for the one
        // that was given to a task that a gate has admitted.
        let by_this = match ready {
            Ready::Admitted => self.own + self.permits,
            _ => self.own,
        };
        let waits_end_by_this = match ready {
            Ready::Nothing => false,
            Ready::Inner(height) => self.above_others() <= height,
            Ready::Admitted | Ready::Outer => by_this > 0 && self.waiting() == by_this + self.hung,
        };
        let waits = self.waiting() > self.hung;
        waits && self.taken() <= running && waits_end_by_this
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_body_that_sleeps_for_a_moment_keeps_its_slot_from_tasks_from_outside() {
        let mut counts = SlotCounts::new(1, 8);
        counts.add_wait(Wait::Moment(0));
        assert!(!counts.has_slot_for(Ready::Outer));
        assert!(counts.has_slot_for(Ready::Inner(1)));
        counts.threads += 1;
        assert_eq!(counts.may_take(), MayTake::Inner(1));
        counts.remove_wait(Wait::Moment(0));
        assert_eq!(counts.may_take(), MayTake::Nothing);
    }

    #[test]
    fn bodies_that_sleep_for_a_moment_keep_their_slots_from_all_but_their_children() {
        let mut counts = SlotCounts::new(3, 8);
        for height in [4, 2, 7] {
            counts.add_wait(Wait::Moment(height));
        }
        // One run slot is for those above the lowest, and so on.
        assert!(!counts.has_slot_for(Ready::Inner(2)));
        assert!(counts.has_slot_for(Ready::Inner(3)));
        counts.threads += 1;
        assert_eq!(counts.may_take(), MayTake::Inner(3));
        assert!(!counts.has_slot_for(Ready::Inner(4)));
        assert!(counts.has_slot_for(Ready::Inner(5)));
    }

    #[test]
    fn more_threads_than_the_bound_allows_may_not_take_anything() {
        let mut counts = SlotCounts::new(1, 0);
        counts.add_wait(Wait::Own);
        counts.threads += 1;
        assert_eq!(counts.may_take(), MayTake::Beyond(0));
    }

    #[test]
    fn beyond_the_bound_a_hung_body_keeps_no_task_from_those_that_are_waited_for() {
        let mut counts = SlotCounts::new(2, 0);
        counts.add_wait(Wait::Hung);
        counts.add_wait(Wait::Own);
        assert!(counts.stands_still_for(Ready::Outer, 0));
        assert!(counts.stands_still_for(Ready::Admitted, 0));
        counts.remove_wait(Wait::Own);
        counts.add_wait(Wait::Hung);
        assert!(!counts.stands_still_for(Ready::Outer, 0), "nothing waits");
        assert!(
            !counts.stands_still_for(Ready::Inner(9), 0),
            "nothing waits"
        );
    }

    #[test]
    fn beyond_the_bound_a_child_of_a_body_that_sleeps_waits_for_the_one_beside_it() {
        let mut counts = SlotCounts::new(1, 0);
        counts.add_wait(Wait::Own);
        assert!(counts.stands_still_for(Ready::Inner(1), 0), "its parent");
        counts.threads += 1;
        counts.add_wait(Wait::Other(1));
        assert!(!counts.stands_still_for(Ready::Inner(1), 0));
        assert!(counts.stands_still_for(Ready::Inner(2), 0), "its child");
    }

    #[test]
    fn beyond_the_bound_what_a_gate_has_admitted_goes_before_those_that_wait_for_its_permit() {
        let mut counts = SlotCounts::new(1, 0);
        counts.add_wait(Wait::Permit);
        assert!(counts.stands_still_for(Ready::Admitted, 0));
        assert!(!counts.stands_still_for(Ready::Outer, 0));
    }
}
