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
//
// # The bound
//
// There are at most as many spares as the bound allows, except where nothing else would end the
// waits. If no body runs and the inner queue has a task, one more thread starts. So it does if no
// body runs, the inner queue is empty, there is a task from outside, and each body waits for a task
// of this pool. While there are more threads than the bound allows, a thread at a task boundary
// takes inner tasks only (or one from outside, in the second case), and exits if there is none. It
// checks again after it has exited, for a task that came meanwhile.

use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use crossbeam_utils::CachePadded;

/// The bits of the hint.
const FREE: u8 = 1;
const SURPLUS: u8 = 2;
const BEYOND: u8 = 4;

pub(crate) struct RunSlots {
    /// Whether a run slot is free, whether more are taken than there are, and whether there are
    /// more threads than the bound allows. Written with `state` locked.
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
    /// Those of them whose body waits for a task of this pool.
    own: usize,
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

/// What there is to do in the run queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    Nothing,
    /// Something that a body of the pool submitted.
    Inner,
    /// Something, and nothing of that kind.
    Outer,
}

/// Why a thread at a task boundary would exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The pool is over.
    Over,
    /// More run slots are taken than there are.
    Surplus,
    /// There are more threads than the bound allows, and this one finds no task that it may take.
    Beyond,
}

impl RunSlots {
    /// The caller is about to start as many threads.
    pub(crate) fn new(slots: usize, max_spares: usize) -> Self {
        Self {
            hint: AtomicU8::new(0),
            idle: CachePadded::new(AtomicUsize::new(slots)),
            state: Mutex::new(State {
                slots,
                threads: slots,
                waiting: 0,
                own: 0,
            }),
            max_spares,
        }
    }

    fn set_hint(&self, state: &State) {
        let hint = match state.taken().cmp(&state.slots) {
            std::cmp::Ordering::Less => FREE,
            std::cmp::Ordering::Equal => 0,
            std::cmp::Ordering::Greater => SURPLUS,
        };
        let beyond = if self.is_beyond_bound(state) {
            BEYOND
        } else {
            0
        };
        // ORDERING: sequentially consistent; pairs with the loads below. See above.
        self.hint.store(hint | beyond, Ordering::SeqCst);
    }

    /// Whether a spare might be due.
    pub(crate) fn has_free(&self) -> bool {
        // ORDERING: pairs with `set_hint`; read after the caller has made its change visible.
        self.hint.load(Ordering::SeqCst) & FREE != 0
    }

    /// Whether a thread might have to exit.
    pub(crate) fn has_surplus(&self) -> bool {
        // ORDERING: pairs with `set_hint`; see `reacquire`.
        self.hint.load(Ordering::SeqCst) & SURPLUS != 0
    }

    /// Whether there are more threads than the bound allows.
    pub(crate) fn is_beyond(&self) -> bool {
        // ORDERING: as above.
        self.hint.load(Ordering::SeqCst) & BEYOND != 0
    }

    /// Whether a thread may take any task without a further check.
    #[inline]
    pub(crate) fn is_regular(&self) -> bool {
        // ORDERING: as above.
        self.hint.load(Ordering::SeqCst) & (SURPLUS | BEYOND) == 0
    }

    /// A body starts to wait, and releases its run slot. `own`: for a task of this pool.
    pub(crate) fn release(&self, own: bool) {
        let mut state = self.state.lock();
        state.waiting += 1;
        state.own += usize::from(own);
        self.set_hint(&state);
    }

    /// The body of a thread that has released its run slot before waits for a task of this pool,
    /// too, or does so no longer.
    pub(crate) fn wait_without_slot(&self, begins: bool) {
        let mut state = self.state.lock();
        match begins {
            true => state.own += 1,
            false => state.own -= 1,
        }
    }

    fn bound(&self, state: &State) -> usize {
        state.slots.saturating_add(self.max_spares)
    }

    fn is_beyond_bound(&self, state: &State) -> bool {
        state.threads > self.bound(state)
    }

    /// A body's wait is over, and its thread takes a run slot again. Returns whether the caller
    /// must nudge an idle thread, since one thread must exit.
    pub(crate) fn reacquire(&self, own: bool) -> bool {
        let mut state = self.state.lock();
        state.waiting -= 1;
        state.own -= usize::from(own);
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

    /// Whether a thread has nothing to do, or is being started.
    pub(crate) fn has_idle(&self) -> bool {
        self.idle.load(Ordering::Relaxed) > 0
    }

    /// Decides whether the caller must start a spare.
    pub(crate) fn request_spare(&self, ready: impl Fn() -> Ready) -> Spare {
        let mut state = self.state.lock();
        // ORDERING: after the caller's own change, sequentially consistent; see above.
        let no_thread_is_idle = self.idle.load(Ordering::SeqCst) == 0;
        if state.taken() >= state.slots || !no_thread_is_idle {
            return Spare::NotDue;
        }
        let is_allowed = match ready() {
            Ready::Nothing => return Spare::NotDue,
            _ if state.threads < self.bound(&state) => true,
            // Beyond the bound, if no body runs: nothing else would end these waits.
            Ready::Inner => state.taken() == 0,
            Ready::Outer => state.taken() == 0 && state.waiting == state.own,
        };
        if !is_allowed {
            return Spare::AtBound;
        }
        self.add(&mut state, 1);
        Spare::Start
    }

    /// Whether a thread beyond the bound may take a task from outside: all others wait for tasks
    /// of this pool.
    pub(crate) fn may_take_outer(&self) -> bool {
        let state = self.state.lock();
        !self.is_beyond_bound(&state) || state.taken() == 1 && state.waiting == state.own
    }

    fn add(&self, state: &mut State, threads: usize) {
        state.threads += threads;
        // ORDERING: as in `becomes_idle`.
        self.idle.fetch_add(threads, Ordering::SeqCst);
        self.set_hint(state);
    }

    /// A thread that was counted could not be started.
    pub(crate) fn start_failed(&self) {
        let mut state = self.state.lock();
        state.threads -= 1;
        // ORDERING: as in `becomes_busy`.
        self.idle.fetch_sub(1, Ordering::SeqCst);
        self.set_hint(&state);
    }

    /// A thread at a task boundary exits if there is this reason. Returns whether it exits; then it
    /// is not counted any more.
    pub(crate) fn try_exit(&self, is_idle: bool, why: Exit) -> bool {
        let mut state = self.state.lock();
        let exits = match why {
            Exit::Over => true,
            Exit::Surplus => state.taken() > state.slots,
            Exit::Beyond => self.is_beyond_bound(&state),
        };
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

    /// Threads whose body waits, and those of them whose body waits for a task of this pool.
    #[cfg(all(test, loom))]
    pub(crate) fn waiting(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.waiting, state.own)
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

    fn spare(slots: &RunSlots, ready: Ready) -> Spare {
        slots.request_spare(|| ready)
    }

    #[test]
    fn a_spare_needs_a_free_slot_ready_work_and_no_idle_thread() {
        let slots = busy(2, 1);
        assert_eq!(spare(&slots, Ready::Inner), Spare::NotDue, "no free slot");
        slots.release(true);
        assert_eq!(spare(&slots, Ready::Nothing), Spare::NotDue, "no work");
        slots.becomes_idle();
        assert_eq!(spare(&slots, Ready::Outer), Spare::NotDue, "one is idle");
        slots.becomes_busy();
        assert_eq!(spare(&slots, Ready::Outer), Spare::Start);
        assert_eq!(spare(&slots, Ready::Outer), Spare::NotDue, "it is coming");
        slots.becomes_busy();
        slots.release(true);
        assert_eq!(spare(&slots, Ready::Outer), Spare::AtBound);
        assert_eq!(spare(&slots, Ready::Inner), Spare::AtBound, "a body runs");
    }

    #[test]
    fn a_waiter_comes_back_and_one_thread_goes() {
        let slots = busy(1, 1);
        slots.release(true);
        assert_eq!(spare(&slots, Ready::Outer), Spare::Start);
        assert!(slots.reacquire(true), "the spare is idle and a surplus");
        assert!(slots.has_surplus());
        assert!(slots.try_exit(true, Exit::Surplus));
        assert!(!slots.try_exit(false, Exit::Surplus));
        assert_eq!(slots.threads(), 1);
    }

    #[test]
    fn beyond_the_bound_a_thread_starts_for_inner_tasks_if_no_body_runs() {
        let slots = busy(2, 0);
        slots.release(false);
        assert_eq!(spare(&slots, Ready::Inner), Spare::AtBound, "a body runs");
        slots.release(true);
        assert_eq!(
            spare(&slots, Ready::Outer),
            Spare::AtBound,
            "one may wait for time"
        );
        assert_eq!(spare(&slots, Ready::Inner), Spare::Start);
        assert!(slots.is_beyond() && !slots.may_take_outer());
        slots.becomes_busy();
        assert!(slots.try_exit(false, Exit::Beyond));
        assert!(!slots.is_beyond() && !slots.try_exit(false, Exit::Beyond));
    }

    #[test]
    fn beyond_the_bound_a_thread_starts_for_outer_tasks_if_all_bodies_wait_for_tasks() {
        let slots = busy(2, 0);
        slots.release(true);
        slots.release(true);
        assert_eq!(spare(&slots, Ready::Outer), Spare::Start);
        slots.becomes_busy();
        assert!(slots.is_beyond() && slots.may_take_outer());
        slots.reacquire(true);
        assert!(!slots.may_take_outer(), "another body runs");
    }

    #[test]
    fn growing_and_shrinking() {
        let slots = busy(2, 4);
        assert_eq!(slots.resize(5), (3, 0));
        assert_eq!(slots.resize(1), (0, 4));
        assert!(slots.try_exit(false, Exit::Surplus));
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
