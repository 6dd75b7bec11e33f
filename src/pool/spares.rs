//! Run slots: which threads may run bodies, and when a spare thread starts or a surplus one exits.
//!
//! It counts. It knows no thread, no channel and no clock.
//
// A pool of n workers has n run slots. A thread of the pool has one unless its body waits. A
// thread that has one is idle while it looks for work. A spare thread is started if and only if a
// run slot is free (fewer than n are taken), work is ready and no thread is idle. A body whose
// wait ends takes a run slot at once. If more than n are taken then, a thread exits at its next
// task boundary.
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
// and starts the spare itself.
//
// In most pools no body waits: `hint` saves them the lock.

use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use crossbeam_utils::CachePadded;

/// The values of the hint.
const ALL_TAKEN: u8 = 0;
const SOME_FREE: u8 = 1;
const SURPLUS: u8 = 2;

pub(crate) struct RunSlots {
    /// Whether fewer run slots are taken than there are, as many, or more. Written with `state`
    /// locked.
    hint: AtomicU8,
    /// The number of threads that look for work, those that are being started included. Padded:
    /// each push reads the hint, and should not wait for a worker that goes idle.
    idle: CachePadded<AtomicUsize>,
    state: Mutex<State>,
    max_spares: usize,
}

#[derive(Debug)]
struct State {
    slots: usize,
    threads: usize,
    /// Threads whose body waits.
    waiting: usize,
    /// Those of them whose wait only a task of this pool can end.
    for_ever: usize,
}

impl State {
    fn taken(&self) -> usize {
        self.threads - self.waiting
    }
}

/// Whether a thread must be started.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Spare {
    NotDue,
    /// The caller starts it, or calls `start_failed`. It is counted already.
    Start,
    /// It is due, but no more threads are allowed.
    AtBound,
}

/// A wait that is refused: all threads would wait, and no further one may be started.
#[derive(Debug)]
pub(crate) struct AllWait;

impl RunSlots {
    /// The caller is about to start as many threads.
    pub(crate) fn new(slots: usize, max_spares: usize) -> Self {
        Self {
            hint: AtomicU8::new(ALL_TAKEN),
            idle: CachePadded::new(AtomicUsize::new(slots)),
            state: Mutex::new(State {
                slots,
                threads: slots,
                waiting: 0,
                for_ever: 0,
            }),
            max_spares,
        }
    }

    fn set_hint(&self, state: &State) {
        let hint = match state.taken().cmp(&state.slots) {
            std::cmp::Ordering::Less => SOME_FREE,
            std::cmp::Ordering::Equal => ALL_TAKEN,
            std::cmp::Ordering::Greater => SURPLUS,
        };
        // ORDERING: sequentially consistent; pairs with `has_free` and `has_surplus`. See above.
        self.hint.store(hint, Ordering::SeqCst);
    }

    /// Whether a spare might be due.
    pub(crate) fn has_free(&self) -> bool {
        // ORDERING: pairs with `set_hint`; read after the caller has made its change visible.
        self.hint.load(Ordering::SeqCst) == SOME_FREE
    }

    /// Whether a thread might have to exit.
    pub(crate) fn has_surplus(&self) -> bool {
        // ORDERING: pairs with `set_hint`; see `reacquire`.
        self.hint.load(Ordering::SeqCst) == SURPLUS
    }

    /// A body starts to wait, and releases its run slot. `for_ever`: only a task of this pool can
    /// wake it. That is refused if no further thread may start and all other threads wait like
    /// that, because then nothing could wake any of them.
    pub(crate) fn release(&self, for_ever: bool) -> Result<(), AllWait> {
        let mut state = self.state.lock();
        let is_last = state.taken() == 1 && state.waiting == state.for_ever;
        if for_ever && is_last && self.is_at_bound(&state) {
            return Err(AllWait);
        }
        state.waiting += 1;
        state.for_ever += usize::from(for_ever);
        self.set_hint(&state);
        Ok(())
    }

    /// The same for a body whose thread has released its run slot before, and that now waits for
    /// ever.
    pub(crate) fn wait_without_slot(&self) -> Result<(), AllWait> {
        let mut state = self.state.lock();
        let is_last = state.taken() == 0 && state.waiting == state.for_ever + 1;
        if is_last && self.is_at_bound(&state) {
            return Err(AllWait);
        }
        state.for_ever += 1;
        Ok(())
    }

    /// That wait is over. The run slot stays released.
    pub(crate) fn end_wait_without_slot(&self) {
        self.state.lock().for_ever -= 1;
    }

    fn is_at_bound(&self, state: &State) -> bool {
        state.threads >= state.slots.saturating_add(self.max_spares)
    }

    /// A body's wait is over, and its thread takes a run slot again. Returns whether the caller
    /// must nudge an idle thread, since one thread must exit.
    pub(crate) fn reacquire(&self, for_ever: bool) -> bool {
        let mut state = self.state.lock();
        state.waiting -= 1;
        state.for_ever -= usize::from(for_ever);
        self.set_hint(&state);
        let has_surplus = state.taken() > state.slots;
        drop(state);
        // ORDERING: pairs with `becomes_idle`. Either the thread that becomes idle sees the hint
        // that there is a surplus, or this call sees that thread idle, and it is nudged.
        has_surplus && self.idle.load(Ordering::SeqCst) > 0
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

    /// Decides whether the caller must start a spare.
    pub(crate) fn request_spare(&self, work_is_ready: impl Fn() -> bool) -> Spare {
        let mut state = self.state.lock();
        // ORDERING: after the caller's own change, sequentially consistent; see above.
        let no_thread_is_idle = self.idle.load(Ordering::SeqCst) == 0;
        if state.taken() >= state.slots || !no_thread_is_idle || !work_is_ready() {
            return Spare::NotDue;
        }
        if self.is_at_bound(&state) {
            return Spare::AtBound;
        }
        self.add(&mut state, 1);
        Spare::Start
    }

    fn add(&self, state: &mut State, threads: usize) {
        state.threads += threads;
        // ORDERING: as in `becomes_idle`.
        self.idle.fetch_add(threads, Ordering::SeqCst);
        self.set_hint(state);
    }

    /// A thread that was counted could not be started. Returns whether no thread has a run slot
    /// now.
    pub(crate) fn start_failed(&self) -> bool {
        let mut state = self.state.lock();
        state.threads -= 1;
        // ORDERING: as in `becomes_busy`.
        self.idle.fetch_sub(1, Ordering::SeqCst);
        self.set_hint(&state);
        state.taken() == 0
    }

    /// A thread at a task boundary exits if there is a surplus, or if the pool `is_over`. Returns
    /// whether it exits; then it is not counted any more.
    pub(crate) fn try_exit(&self, is_idle: bool, is_over: bool) -> bool {
        let mut state = self.state.lock();
        let exits = is_over || state.taken() > state.slots;
        if exits {
            state.threads -= 1;
            if is_idle {
                // ORDERING: as in `becomes_busy`.
                self.idle.fetch_sub(1, Ordering::SeqCst);
            }
            self.set_hint(&state);
        }
        exits
    }

    /// Changes the number of run slots. Returns how many threads the caller must start, which are
    /// counted already, and how many must exit.
    pub(crate) fn resize(&self, slots: usize) -> (usize, usize) {
        let mut state = self.state.lock();
        state.slots = slots;
        let missing = slots.saturating_sub(state.threads);
        self.add(&mut state, missing);
        (missing, state.taken().saturating_sub(slots))
    }

    /// The system refuses further threads: there are fewer run slots now, unless another call has
    /// changed their number `from` what this caller asked for.
    pub(crate) fn shrink(&self, from: usize, to: usize) {
        let mut state = self.state.lock();
        if state.slots == from {
            state.slots = to;
            self.set_hint(&state);
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.state.lock().slots
    }

    /// Threads whose body waits, and those of them that wait for ever.
    #[cfg(all(test, loom))]
    pub(crate) fn waiting(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.waiting, state.for_ever)
    }

    pub(crate) fn threads(&self) -> usize {
        self.state.lock().threads
    }

    pub(crate) fn max_spares(&self) -> usize {
        self.max_spares
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

    #[test]
    fn a_spare_needs_a_free_slot_ready_work_and_no_idle_thread() {
        let slots = busy(2, 1);
        assert_eq!(slots.request_spare(|| true), Spare::NotDue, "no free slot");
        slots.release(true).unwrap();
        assert_eq!(slots.request_spare(|| false), Spare::NotDue, "no work");
        slots.becomes_idle();
        assert_eq!(slots.request_spare(|| true), Spare::NotDue, "one is idle");
        slots.becomes_busy();
        assert_eq!(slots.request_spare(|| true), Spare::Start);
        assert_eq!(slots.request_spare(|| true), Spare::NotDue, "it is coming");
        slots.becomes_busy();
        slots.release(true).unwrap();
        assert_eq!(slots.request_spare(|| true), Spare::AtBound);
    }

    #[test]
    fn a_waiter_comes_back_and_one_thread_goes() {
        let slots = busy(1, 1);
        slots.release(true).unwrap();
        assert_eq!(slots.request_spare(|| true), Spare::Start);
        assert!(slots.reacquire(true), "the spare is idle and a surplus");
        assert!(slots.has_surplus());
        assert!(slots.try_exit(true, false));
        assert!(!slots.try_exit(false, false));
        assert_eq!(slots.threads(), 1);
    }

    #[test]
    fn the_last_slot_may_not_be_released_for_ever_at_the_bound() {
        let slots = busy(2, 0);
        slots.release(true).unwrap();
        assert!(slots.release(true).is_err());
        slots.release(false).unwrap();
        slots.reacquire(false);
        slots.reacquire(true);
        // A body whose wait ends by itself will come back.
        slots.release(false).unwrap();
        slots.release(true).unwrap();
    }

    #[test]
    fn growing_and_shrinking() {
        let slots = busy(2, 4);
        assert_eq!(slots.resize(5), (3, 0));
        assert_eq!(slots.resize(1), (0, 4));
        assert!(slots.try_exit(false, false));
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
