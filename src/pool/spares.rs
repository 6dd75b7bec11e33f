//! Run slots: which threads may run bodies, when a spare thread starts, and when a surplus one
//! rests or exits.
//!
//! It counts, by `slot_counts`. It knows no channel and no clock, and of a thread only where it
//! sleeps.
//
// A pool of n workers has n run slots. A thread of the pool has one unless its body waits. A
// thread that has one is idle while it looks for work. A spare thread is started if and only if a
// run slot is free (fewer than n are taken), work is ready and no thread is idle. A body whose
// wait ends takes a run slot at once. The thread that ends the wait takes it for the body: until
// the system runs the waiter, the run slot would look free, and be filled by one more task from
// outside. If more than n are taken then, a thread leaves at its next task boundary. It rests for
// some milliseconds, since waits are often short, and then exits. A thread that rests has no run
// slot. It is the first to be a spare again.
//
// # Why no spare is missed
//
// Three events can make a spare due: a body starts to wait; a task is pushed; an idle thread takes
// a task and leaves others in the queue. The thread of each event first makes its change visible,
// and then checks whether a spare is due. All these accesses (the hint, the count of idle threads,
// and crossbeam's own accesses to the ends of the channel) are sequentially consistent. A thread
// that is being started counts as idle from the decision on, so one free run slot starts one
// thread. That thread checks again once it takes its first task. So if several are due, they start
// one after the other.
//
// Consider the last of these events in the single order of all those accesses. Its thread sees the
// changes of all others. So it sees that a run slot is free, work is ready and no thread is idle,
// and starts the spare itself. In most pools no body waits: `hint` saves them the lock.

use crate::pool::parking::Sleeper;
use crate::pool::slot_counts::{MayTake, Overview, Ready, SlotCounts, Wait};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use crossbeam_utils::CachePadded;
use std::sync::Arc;

/// The bits of the hint.
const FREE: u8 = 1;
const LIMITED: u8 = 2;

pub(crate) struct RunSlots {
    /// Whether a run slot is free, and whether a thread may not take any task. Written with `state`
    /// locked.
    hint: AtomicU8,
    /// The number of threads that look for work, those that are being started included. Padded:
    /// each push reads the hint, and should not wait for a worker that goes idle.
    idle: CachePadded<AtomicUsize>,
    state: Mutex<State>,
}

struct State {
    counts: SlotCounts,
    /// Where the threads rest that have left, and not exited yet.
    resting: Vec<Arc<Sleeper>>,
}

/// Whether a thread must be started.
pub(crate) enum Spare {
    NotDue,
    /// The caller starts it, or calls `start_failed`. It is counted already.
    Start,
    /// The caller wakes this thread, which rests. It is counted already.
    Wake(Arc<Sleeper>),
    /// It is due, but no more threads are allowed.
    AtBound,
}

impl RunSlots {
    /// The caller is about to start as many threads.
    pub(crate) fn new(slots: usize, max_spares: usize) -> Self {
        Self {
            hint: AtomicU8::new(0),
            idle: CachePadded::new(AtomicUsize::new(slots)),
            state: Mutex::new(State {
                counts: SlotCounts::new(slots, max_spares),
                resting: Vec::new(),
            }),
        }
    }

    fn set_hint(&self, state: &State) {
        let free = if state.counts.taken() < state.counts.slots {
            FREE
        } else {
            0
        };
        let limited = match state.counts.may_take() {
            MayTake::Anything => 0,
            _ => LIMITED,
        };
        // ORDERING: sequentially consistent; pairs with the loads below. See above.
        self.hint.store(free | limited, Ordering::SeqCst);
    }

    /// Whether a spare might be due.
    pub(crate) fn has_free(&self) -> bool {
        // ORDERING: pairs with `set_hint`; read after the caller has made its change visible.
        self.hint.load(Ordering::SeqCst) & FREE != 0
    }

    /// Whether a thread at a task boundary must ask what it `may_take`.
    #[inline]
    pub(crate) fn is_limited(&self) -> bool {
        // ORDERING: pairs with `set_hint`; see `reacquire`.
        self.hint.load(Ordering::SeqCst) & LIMITED != 0
    }

    /// What a thread that has a run slot may take.
    pub(crate) fn may_take(&self) -> MayTake {
        self.state.lock().counts.may_take()
    }

    /// A body starts to wait, and releases its run slot.
    pub(crate) fn release(&self, wait: Wait) {
        let mut state = self.state.lock();
        state.counts.add_wait(wait);
        self.set_hint(&state);
    }

    /// The body of a thread that has released its run slot before waits for something else now.
    pub(crate) fn change(&self, from: Wait, to: Wait) {
        let mut state = self.state.lock();
        state.counts.remove_wait(from);
        state.counts.add_wait(to);
        self.set_hint(&state);
    }

    /// A body's wait is over, and its thread takes a run slot again. Returns of how many idle
    /// threads the caller must nudge one, since one thread must leave.
    #[must_use]
    pub(crate) fn reacquire(&self, wait: Wait) -> usize {
        let mut state = self.state.lock();
        state.counts.remove_wait(wait);
        self.set_hint(&state);
        let has_surplus = state.counts.may_take() != MayTake::Anything;
        drop(state);
        // ORDERING: pairs with `becomes_idle`. Either the thread that becomes idle sees the hint
        // that there is a surplus, or this call sees that thread idle, and it is nudged.
        match has_surplus {
            true => self.idle.load(Ordering::SeqCst),
            false => 0,
        }
    }

    /// A thread has nothing to do. It will check once more before it parks.
    pub(crate) fn becomes_idle(&self) {
        // ORDERING: pairs with `reacquire`.
        self.idle.fetch_add(1, Ordering::SeqCst);
    }

    /// A thread has found work. It must check next whether a spare is due.
    pub(crate) fn becomes_busy(&self) {
        // ORDERING: before this thread reads the hint, and what it left in the queue.
        self.idle.fetch_sub(1, Ordering::SeqCst);
    }

    /// Whether a thread has nothing to do, or is being started.
    pub(crate) fn has_idle(&self) -> bool {
        self.idle.load(Ordering::Relaxed) > 0
    }

    /// Decides whether the caller must start a spare. `stands_still`: whether no task that a body
    /// waits for will come by itself.
    pub(crate) fn request_spare(&self, ready: impl Fn() -> Ready, stands_still: bool) -> Spare {
        let mut state = self.state.lock();
        // ORDERING: after the caller's own change, sequentially consistent; see above.
        let no_thread_is_idle = self.idle.load(Ordering::SeqCst) == 0;
        if state.counts.taken() >= state.counts.slots || !no_thread_is_idle {
            return Spare::NotDue;
        }
        let is_allowed = match ready() {
            Ready::Nothing => return Spare::NotDue,
            ready if !state.counts.has_slot_for(ready) => return Spare::NotDue,
            _ if state.counts.threads < state.counts.bound() => true,
            ready => {
                let waits_for_time = !matches!(ready, Ready::Inner(_)) && !stands_still;
                !waits_for_time && state.counts.stands_still_for(ready, 0)
            }
        };
        if !is_allowed {
            return Spare::AtBound;
        }
        let rests = state.resting.pop();
        self.add(&mut state, 1);
        rests.map_or(Spare::Start, Spare::Wake)
    }

    /// As [`SlotCounts::stands_still_for`].
    pub(crate) fn stands_still_for(&self, ready: Ready, running: usize) -> bool {
        self.state.lock().counts.stands_still_for(ready, running)
    }

    fn add(&self, state: &mut State, threads: usize) {
        state.counts.threads += threads;
        // ORDERING: as in `becomes_idle`.
        self.idle.fetch_add(threads, Ordering::SeqCst);
        self.set_hint(state);
    }

    /// A thread that was counted could not be started.
    pub(crate) fn start_failed(&self) {
        let mut state = self.state.lock();
        state.counts.threads -= 1;
        // ORDERING: as in `becomes_busy`.
        self.idle.fetch_sub(1, Ordering::SeqCst);
        self.set_hint(&state);
    }

    /// A thread at a task boundary leaves if the pool `is_over`, or if it may not take any task.
    /// Then it is not counted any more. If it is to rest, it is listed. Returns whether it leaves.
    pub(crate) fn try_leave(
        &self,
        is_idle: bool,
        is_over: bool,
        rests: Option<&Arc<Sleeper>>,
    ) -> bool {
        let mut state = self.state.lock();
        let leaves = is_over || state.counts.may_take() != MayTake::Anything;
        if leaves {
            state.counts.threads -= 1;
            if is_idle {
                // ORDERING: as in `becomes_busy`.
                self.idle.fetch_sub(1, Ordering::SeqCst);
            }
            state.resting.extend(rests.cloned());
            self.set_hint(&state);
        }
        leaves
    }

    /// Whether the thread still rests.
    pub(crate) fn is_resting(&self, thread: &Arc<Sleeper>) -> bool {
        let state = self.state.lock();
        state.resting.iter().any(|other| Arc::ptr_eq(other, thread))
    }

    /// The thread rests no longer: it counts as idle, unless another thread has counted it before.
    pub(crate) fn end_rest(&self, thread: &Arc<Sleeper>) {
        let mut state = self.state.lock();
        let resting = &mut state.resting;
        if let Some(at) = resting.iter().position(|other| Arc::ptr_eq(other, thread)) {
            resting.remove(at);
            self.add(&mut state, 1);
        }
    }

    /// Where threads rest now.
    pub(crate) fn resting(&self) -> Vec<Arc<Sleeper>> {
        self.state.lock().resting.clone()
    }

    /// Changes the number of run slots. Returns how many threads the caller must start, which are
    /// counted already, and how many must exit.
    pub(crate) fn resize(&self, slots: usize) -> (usize, usize) {
        let mut state = self.state.lock();
        state.counts.slots = slots;
        let missing = slots.saturating_sub(state.counts.threads);
        self.add(&mut state, missing);
        (missing, state.counts.taken().saturating_sub(slots))
    }

    /// The system refuses further threads: there are fewer run slots now, unless another call has
    /// changed their number `from` what this caller asked for.
    pub(crate) fn shrink(&self, from: usize, to: usize) {
        let mut state = self.state.lock();
        if state.counts.slots == from {
            state.counts.slots = to;
            self.set_hint(&state);
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.state.lock().counts.slots
    }

    /// Threads whose body waits, and those of them whose body waits for a task of this pool.
    #[cfg(all(test, loom))]
    pub(crate) fn waiting(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.counts.waiting(), state.counts.own)
    }

    /// How many threads have their run slot: those that look for work, and those that run a body.
    pub(crate) fn taken(&self) -> usize {
        self.state.lock().counts.taken()
    }

    pub(crate) fn overview(&self) -> Overview {
        let (state, idle) = (self.state.lock(), self.idle.load(Ordering::Relaxed));
        state.counts.overview(idle, state.resting.len())
    }

    /// How many threads there are, those that rest included.
    pub(crate) fn threads(&self) -> usize {
        let state = self.state.lock();
        state.counts.threads + state.resting.len()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn busy(slots: usize, max_spares: usize) -> RunSlots {
        let all = RunSlots::new(slots, max_spares);
        (0..slots).for_each(|_| all.becomes_busy());
        all
    }

    /// What is to be done about a spare, in words.
    fn spare(slots: &RunSlots, ready: Ready) -> &'static str {
        match slots.request_spare(|| ready, true) {
            Spare::NotDue => "not due",
            Spare::Start => "start",
            Spare::Wake(_) => "wake",
            Spare::AtBound => "at the bound",
        }
    }

    fn leaves(slots: &RunSlots, is_idle: bool) -> bool {
        slots.try_leave(is_idle, false, None)
    }

    #[test]
    fn a_spare_needs_a_free_slot_ready_work_and_no_idle_thread() {
        let slots = busy(2, 1);
        assert_eq!(spare(&slots, Ready::Inner(1)), "not due", "no free slot");
        slots.release(Wait::Own);
        assert_eq!(spare(&slots, Ready::Nothing), "not due", "no work");
        slots.becomes_idle();
        assert_eq!(spare(&slots, Ready::Outer), "not due", "one is idle");
        slots.becomes_busy();
        assert_eq!(spare(&slots, Ready::Outer), "start");
        assert_eq!(spare(&slots, Ready::Outer), "not due", "it is coming");
        slots.becomes_busy();
        slots.release(Wait::Own);
        assert_eq!(spare(&slots, Ready::Outer), "at the bound");
        assert_eq!(
            spare(&slots, Ready::Inner(1)),
            "at the bound",
            "a body runs"
        );
    }

    #[test]
    fn a_waiter_comes_back_and_one_thread_goes() {
        let slots = busy(1, 1);
        slots.release(Wait::Own);
        assert_eq!(spare(&slots, Ready::Outer), "start");
        assert_eq!(
            slots.reacquire(Wait::Own),
            1,
            "the spare is idle and a surplus"
        );
        assert_eq!(slots.may_take(), MayTake::Nothing);
        assert!(slots.is_limited() && leaves(&slots, true));
        assert!(!slots.is_limited() && !leaves(&slots, false));
        assert_eq!(slots.threads(), 1);
    }

    #[test]
    fn a_thread_that_rests_is_the_next_spare() {
        let slots = busy(1, 1);
        let here = Sleeper::new();
        slots.release(Wait::Own);
        assert_eq!(spare(&slots, Ready::Inner(1)), "start");
        slots.becomes_busy();
        let _ = slots.reacquire(Wait::Own);
        assert!(slots.try_leave(false, false, Some(&here)) && slots.is_resting(&here));
        assert_eq!(slots.threads(), 2);
        slots.release(Wait::Own);
        assert_eq!(spare(&slots, Ready::Inner(1)), "wake");
        assert!(!slots.is_resting(&here));
        slots.end_rest(&here);
        assert_eq!(
            spare(&slots, Ready::Inner(1)),
            "not due",
            "it counts as idle"
        );
        assert_eq!(slots.threads(), 2);
    }

    #[test]
    fn beyond_the_bound_a_thread_starts_for_inner_tasks_if_no_body_runs() {
        let slots = busy(2, 0);
        slots.release(Wait::Other(0));
        assert_eq!(
            spare(&slots, Ready::Inner(1)),
            "at the bound",
            "a body runs"
        );
        slots.release(Wait::Own);
        assert_eq!(
            spare(&slots, Ready::Outer),
            "at the bound",
            "one may wait for time"
        );
        assert_eq!(spare(&slots, Ready::Inner(1)), "start");
        assert_eq!(slots.may_take(), MayTake::Beyond(1));
        slots.becomes_busy();
        assert!(leaves(&slots, false));
        assert!(!slots.is_limited() && !leaves(&slots, false));
    }

    #[test]
    fn beyond_the_bound_a_thread_starts_for_outer_tasks_if_all_bodies_wait_for_tasks() {
        let slots = busy(2, 0);
        slots.release(Wait::Own);
        slots.release(Wait::Own);
        assert_eq!(spare(&slots, Ready::Outer), "start");
        slots.becomes_busy();
        assert!(slots.may_take() == MayTake::Beyond(0) && slots.stands_still_for(Ready::Outer, 1));
        let _ = slots.reacquire(Wait::Own);
        assert!(
            !slots.stands_still_for(Ready::Outer, 1),
            "another body runs"
        );
    }

    #[test]
    fn growing_and_shrinking() {
        let slots = busy(2, 4);
        assert_eq!(slots.resize(5), (3, 0));
        assert_eq!(slots.resize(1), (0, 4));
        assert!(leaves(&slots, false));
        assert_eq!((slots.count(), slots.threads()), (1, 4));
    }

    #[test]
    fn a_refused_thread_does_not_undo_a_later_resize() {
        let slots = busy(2, 4);
        slots.resize(10);
        slots.resize(3);
        slots.shrink(10, 7);
        assert_eq!(slots.count(), 3);
        slots.shrink(3, 2);
        assert_eq!(slots.count(), 2);
    }
}

#[cfg(all(test, loom))]
#[path = "../../tests/loom/run_slots.rs"]
mod models;
