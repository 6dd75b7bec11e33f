//! Seats: who may run bodies, who waits, and when a spare thread starts or leaves.
//!
//! Layer 3. It counts; it knows no thread, no channel and no clock.
//
// A pool of n workers has n seats. A thread of the pool is seated unless its body waits; a seated thread is idle when
// it looks for work. A spare thread is started if and only if a seat is free (seated < n), work is ready and no thread
// is idle; a waiter whose wait ends is seated at once, and where that makes more than n, a thread leaves at its next
// task boundary.
//
// Three events can make a spare due: a body waits, a task is pushed, an idle thread takes a task and leaves others in
// the queue. Each first makes its change visible, then looks whether a spare is due; all these accesses (the hint, the
// count of the idle, and crossbeam's own of the channel's ends) are sequentially consistent. A thread that has just been
// started counts as idle from the decision on, so one free seat calls one thread, and it too looks again once it takes
// its first task: however many are due come one after the other.
//
// Why no call is lost: consider the last of these events in the one order of all those accesses. It sees the changes of
// all the others, so it sees the seat free, the work ready and nobody idle, and makes the call itself.
//
// Most pools are never short: `hint` saves them the lock.

use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

const SHORT: u8 = 1;
const OVER: u8 = 2;

pub(crate) struct Seats {
    /// SHORT while fewer are seated than may be, OVER while more are. Written under `state`.
    hint: AtomicU8,
    /// Threads that look for work, newly started ones included.
    idle: AtomicUsize,
    state: Mutex<State>,
    max_spares: usize,
}

#[derive(Debug)]
struct State {
    seats: usize,
    threads: usize,
    waiting: usize,
    /// Those of the waiting whose wait only a task of this pool can end.
    for_ever: usize,
}

impl State {
    fn seated(&self) -> usize {
        self.threads - self.waiting
    }
}

/// Whether a thread is to be started.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Spare {
    NotDue,
    /// Counted already: start it, or say that it failed.
    Start,
    /// Due, but there are as many as may be.
    AtBound,
}

/// Every thread waits already, and no other may be started.
#[derive(Debug)]
pub(crate) struct Bound;

impl Seats {
    /// `seats` threads are about to be started.
    pub(crate) fn new(seats: usize, max_spares: usize) -> Self {
        Self {
            hint: AtomicU8::new(0),
            idle: AtomicUsize::new(seats),
            state: Mutex::new(State {
                seats,
                threads: seats,
                waiting: 0,
                for_ever: 0,
            }),
            max_spares,
        }
    }

    fn note(&self, state: &State) {
        let hint = match state.seated().cmp(&state.seats) {
            std::cmp::Ordering::Less => SHORT,
            std::cmp::Ordering::Equal => 0,
            std::cmp::Ordering::Greater => OVER,
        };
        self.hint.store(hint, Ordering::SeqCst);
    }

    /// Whether a spare might be due.
    pub(crate) fn is_short(&self) -> bool {
        self.hint.load(Ordering::SeqCst) == SHORT
    }

    /// Whether a thread might have to leave.
    pub(crate) fn is_over(&self) -> bool {
        self.hint.load(Ordering::SeqCst) == OVER
    }

    /// A body waits. `for_ever`, which says that only a task of this pool can end the wait: it is refused if all others
    /// wait so too, since nobody would be left to end any of these waits.
    pub(crate) fn leave(&self, for_ever: bool) -> Result<(), Bound> {
        let mut state = self.state.lock();
        let last = state.seated() == 1 && state.waiting == state.for_ever;
        if for_ever && last && self.is_at_bound(&state) {
            return Err(Bound);
        }
        state.waiting += 1;
        state.for_ever += usize::from(for_ever);
        self.note(&state);
        Ok(())
    }

    /// A body whose seat is given up already waits for ever now; refused as above.
    pub(crate) fn stay_away(&self) -> Result<(), Bound> {
        let mut state = self.state.lock();
        let last = state.seated() == 0 && state.waiting == state.for_ever + 1;
        if last && self.is_at_bound(&state) {
            return Err(Bound);
        }
        state.for_ever += 1;
        Ok(())
    }

    /// That wait is over, and the seat still given up.
    pub(crate) fn still_away(&self) {
        self.state.lock().for_ever -= 1;
    }

    fn is_at_bound(&self, state: &State) -> bool {
        state.threads >= state.seats.saturating_add(self.max_spares)
    }

    /// Its wait is over; says whether an idle thread must be told to look, since one is too many.
    pub(crate) fn retake(&self, for_ever: bool) -> bool {
        let mut state = self.state.lock();
        state.waiting -= 1;
        state.for_ever -= usize::from(for_ever);
        self.note(&state);
        let over = state.seated() > state.seats;
        drop(state);
        // ORDERING: pairs with `look_for_work`: either the idle thread sees the hint that one is too many, or it is seen
        // here and told.
        over && self.idle.load(Ordering::SeqCst) > 0
    }

    /// A thread has nothing to do, and is about to look once more before it parks.
    pub(crate) fn look_for_work(&self) {
        // ORDERING: pairs with `retake`.
        self.idle.fetch_add(1, Ordering::SeqCst);
    }

    /// It has found some. Whether a spare is due must be asked next.
    pub(crate) fn found_work(&self) {
        // ORDERING: before this thread's look at the hint and at what it left in the queue.
        self.idle.fetch_sub(1, Ordering::SeqCst);
    }

    /// Whether a spare is due, given whether work is ready.
    pub(crate) fn call_spare(&self, work_is_ready: impl Fn() -> bool) -> Spare {
        let mut state = self.state.lock();
        let due = state.seated() < state.seats
            && self.idle.load(Ordering::SeqCst) == 0
            && work_is_ready();
        if !due {
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
        self.idle.fetch_add(threads, Ordering::SeqCst);
        self.note(state);
    }

    /// A thread that was counted could not be started; says whether nobody is seated now.
    pub(crate) fn start_failed(&self) -> bool {
        let mut state = self.state.lock();
        state.threads -= 1;
        self.idle.fetch_sub(1, Ordering::SeqCst);
        self.note(&state);
        state.seated() == 0
    }

    /// A thread at a task boundary leaves if it is one too many, or if the pool is `over`; says whether it does.
    pub(crate) fn quit(&self, idle: bool, over: bool) -> bool {
        let mut state = self.state.lock();
        let quits = over || state.seated() > state.seats;
        if quits {
            state.threads -= 1;
            if idle {
                self.idle.fetch_sub(1, Ordering::SeqCst);
            }
            self.note(&state);
        }
        quits
    }

    /// Changes the number of seats; gives the number of threads to start, counted already, and how many are too many.
    pub(crate) fn resize(&self, seats: usize) -> (usize, usize) {
        let mut state = self.state.lock();
        state.seats = seats;
        let missing = seats.saturating_sub(state.threads);
        self.add(&mut state, missing);
        self.note(&state);
        (missing, state.seated().saturating_sub(seats))
    }

    /// So many threads could be started and no more: that is the number of seats now.
    pub(crate) fn make_do(&self, seats: usize) {
        let mut state = self.state.lock();
        state.seats = seats;
        self.note(&state);
    }

    pub(crate) fn seats(&self) -> usize {
        self.state.lock().seats
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

    fn busy(seats: usize, max_spares: usize) -> Seats {
        let all = Seats::new(seats, max_spares);
        (0..seats).for_each(|_| all.found_work());
        all
    }

    #[test]
    fn a_spare_needs_a_free_seat_ready_work_and_nobody_idle() {
        let seats = busy(2, 1);
        assert_eq!(seats.call_spare(|| true), Spare::NotDue, "no free seat");
        seats.leave(true).unwrap();
        assert_eq!(seats.call_spare(|| false), Spare::NotDue, "no work");
        seats.look_for_work();
        assert_eq!(seats.call_spare(|| true), Spare::NotDue, "somebody idle");
        seats.found_work();
        assert_eq!(seats.call_spare(|| true), Spare::Start);
        assert_eq!(seats.call_spare(|| true), Spare::NotDue, "it is on its way");
        seats.found_work();
        seats.leave(true).unwrap();
        assert_eq!(seats.call_spare(|| true), Spare::AtBound);
    }

    #[test]
    fn a_waiter_comes_back_and_one_thread_goes() {
        let seats = busy(1, 1);
        seats.leave(true).unwrap();
        assert_eq!(seats.call_spare(|| true), Spare::Start);
        assert!(seats.retake(true), "the newcomer is idle and one too many");
        assert!(seats.is_over());
        assert!(seats.quit(true, false));
        assert!(!seats.quit(false, false));
        assert_eq!(seats.threads(), 1);
    }

    #[test]
    fn the_last_seated_may_not_wait_for_ever_at_the_bound() {
        let seats = busy(2, 0);
        seats.leave(true).unwrap();
        assert!(seats.leave(true).is_err());
        seats.leave(false).unwrap();
        seats.retake(false);
        seats.retake(true);
        // One whose wait ends by itself will be back.
        seats.leave(false).unwrap();
        seats.leave(true).unwrap();
    }

    #[test]
    fn growing_and_shrinking() {
        let seats = busy(2, 4);
        assert_eq!(seats.resize(5), (3, 0));
        assert_eq!(seats.resize(1), (0, 4));
        assert!(seats.quit(false, false));
        assert_eq!((seats.seats(), seats.threads()), (1, 4));
    }
}

#[cfg(all(test, loom))]
#[path = "../../tests/loom/seats.rs"]
mod models;
