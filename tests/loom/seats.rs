//! loom models of seat accounting: whoever can make a spare due meets the others, and no call for one is lost.
//!
//! Checked with LOOM_MAX_PREEMPTIONS=3.
//
// A counter stands for the channel: it has the accesses on which the argument in `seats` rests, all sequentially
// consistent. loom orders such accesses as it should but for one thing: the value that an atomic is made with may be
// read after a newer one was stored. So each is stored to once before the threads start (`in_order`), and the models
// need no fence that life does not have: an ordering that is weakened in `seats` is found.
//
// The steps below are those of `Core::send`, `Worker::work`, `Worker::leave` and `Worker::retake`, without threads,
// tasks and phases. A spare that is called is a number: what it does once it runs is what any idle thread does, and is
// played by `settle_down`, when all others are through.

use super::*;
use loom::thread;
use std::sync::Arc;

struct Pool {
    seats: Seats,
    /// Tasks in the queue.
    tasks: AtomicUsize,
    /// Looks in the queue.
    looks: AtomicUsize,
}

impl Pool {
    /// With the first `busy` of its threads at work.
    fn new(seats: usize, busy: usize, tasks: usize) -> Arc<Self> {
        let pool = Self {
            seats: Seats::new(seats, 8),
            tasks: AtomicUsize::new(tasks),
            looks: AtomicUsize::new(0),
        };
        (0..busy).for_each(|_| pool.seats.found_work());
        pool.in_order();
        Arc::new(pool)
    }

    fn in_order(&self) {
        for count in [&self.tasks, &self.looks, &self.seats.idle] {
            count.store(count.load(Ordering::SeqCst), Ordering::SeqCst);
        }
        let hint = &self.seats.hint;
        hint.store(hint.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// As `Core::call_spare`; says whether one was called.
    fn call_spare(&self) -> bool {
        let ready = || self.tasks.load(Ordering::SeqCst) + self.looks.load(Ordering::SeqCst) > 0;
        self.seats.call_spare(ready) == Spare::Start
    }

    fn push(&self) {
        self.tasks.fetch_add(1, Ordering::SeqCst);
        if self.seats.is_short() {
            self.call_spare();
        }
    }

    fn try_pop(&self) -> bool {
        let less = |tasks: usize| tasks.checked_sub(1);
        self.tasks
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, less)
            .is_ok()
    }

    /// What an idle thread does when it is woken; says whether it found a task.
    fn look(&self) -> bool {
        let found = self.try_pop();
        if found {
            self.seats.found_work();
            if self.seats.is_short() {
                self.call_spare();
            }
        }
        found
    }

    /// A body waits.
    fn leave(&self) {
        self.seats.leave(false).unwrap();
        self.call_spare();
    }

    /// Its wait is over.
    fn retake(&self) {
        if self.seats.retake(false) {
            self.looks.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// A thread that was at work finds nothing; says whether it parks, or leaves as one too many.
    fn run_dry(&self) -> bool {
        self.seats.look_for_work();
        !(self.seats.is_over() && self.seats.quit(true, false))
    }

    fn idle(&self) -> usize {
        self.seats.idle.load(Ordering::SeqCst)
    }

    fn seated(&self) -> usize {
        self.seats.state.lock().seated()
    }

    /// When all bodies go on for ever and the idle threads have done what they are woken for: does work lie in the
    /// queue with a seat free, or is a thread too many and sleeps?
    fn settle_down(&self) {
        assert!(
            self.idle() <= self.seated(),
            "one who has left counts as idle"
        );
        while self.idle() > 0 && self.looks.load(Ordering::SeqCst) > 0 {
            self.looks.fetch_sub(1, Ordering::SeqCst);
            if self.seats.is_over() {
                self.seats.quit(true, false);
            }
        }
        while self.idle() > 0 && self.look() {}
        let left = self.tasks.load(Ordering::SeqCst);
        let seats = self.seats.seats();
        assert!(
            left == 0 || self.seated() >= seats,
            "a seat is free, {left} tasks are ready, and nobody was called"
        );
        assert!(
            self.idle() == 0 || self.seated() <= seats,
            "one too many sleeps and was not told"
        );
    }
}

/// Runs each on a thread of its own; everybody is once the one who starts, since that decides which schedules loom
/// tries.
fn model(pool: fn() -> Arc<Pool>, actors: &[fn(&Pool)]) {
    for first in 0..actors.len() {
        let mut actors = actors.to_vec();
        actors.rotate_left(first);
        loom::model(move || {
            let pool = pool();
            let (here, others) = actors.split_first().unwrap();
            let others: Vec<_> = others
                .iter()
                .map(|&actor| {
                    let pool = pool.clone();
                    thread::spawn(move || actor(&pool))
                })
                .collect();
            here(&pool);
            others.into_iter().for_each(|other| other.join().unwrap());
            pool.settle_down();
        });
    }
}

const BLOCKER: fn(&Pool) = Pool::leave;
const PRODUCER: fn(&Pool) = Pool::push;

fn blocks_and_goes_on(pool: &Pool) {
    pool.leave();
    pool.retake();
}

fn looks_for_work(pool: &Pool) {
    pool.look();
}

fn runs_dry(pool: &Pool) {
    if pool.run_dry() {
        pool.look();
    }
}

#[test]
fn a_body_waits_while_a_task_is_pushed() {
    model(|| Pool::new(1, 1, 0), &[BLOCKER, PRODUCER]);
}

#[test]
fn a_body_waits_while_two_tasks_are_pushed() {
    model(|| Pool::new(2, 2, 0), &[BLOCKER, PRODUCER, PRODUCER]);
}

#[test]
fn a_body_waits_while_the_idle_thread_takes_one_of_two_tasks() {
    model(|| Pool::new(2, 1, 2), &[BLOCKER, looks_for_work]);
}

#[test]
fn a_body_waits_while_the_idle_thread_looks_and_tasks_are_pushed() {
    model(|| Pool::new(2, 1, 1), &[BLOCKER, looks_for_work, PRODUCER]);
}

#[test]
fn a_body_waits_while_a_thread_runs_dry_and_a_task_is_pushed() {
    model(|| Pool::new(2, 2, 0), &[BLOCKER, runs_dry, PRODUCER]);
}

#[test]
fn two_bodies_wait_with_two_tasks_ready() {
    model(|| Pool::new(2, 2, 2), &[BLOCKER, BLOCKER]);
}

#[test]
fn two_bodies_wait_while_two_tasks_are_pushed() {
    model(
        || Pool::new(2, 2, 0),
        &[BLOCKER, BLOCKER, |pool| {
            pool.push();
            pool.push();
        }],
    );
}

#[test]
fn two_bodies_wait_while_the_idle_thread_takes_one_of_three_tasks() {
    model(|| Pool::new(3, 2, 3), &[BLOCKER, BLOCKER, looks_for_work]);
}

#[test]
fn a_wait_ends_while_a_thread_runs_dry() {
    model(one_seat_and_a_spare, &[Pool::retake, runs_dry]);
}

#[test]
fn a_wait_ends_while_a_thread_runs_dry_and_a_task_is_pushed() {
    model(one_seat_and_a_spare, &[Pool::retake, runs_dry, PRODUCER]);
}

/// A body waits, and the spare that came for it is at work.
fn one_seat_and_a_spare() -> Arc<Pool> {
    let pool = Pool::new(1, 1, 1);
    pool.leave();
    assert!(pool.look());
    assert_eq!((pool.seats.threads(), pool.idle()), (2, 0));
    pool
}

#[test]
fn two_waits_end_while_two_threads_run_dry() {
    fn two_seats_and_two_spares() -> Arc<Pool> {
        let pool = Pool::new(2, 2, 2);
        (0..2).for_each(|_| {
            pool.leave();
            assert!(pool.look());
        });
        assert_eq!((pool.seats.threads(), pool.idle()), (4, 0));
        pool
    }
    model(
        two_seats_and_two_spares,
        &[Pool::retake, Pool::retake, runs_dry, runs_dry],
    );
}

#[test]
fn a_body_waits_and_goes_on_while_tasks_are_pushed() {
    model(
        || Pool::new(1, 1, 0),
        &[blocks_and_goes_on, PRODUCER, PRODUCER],
    );
}

#[test]
fn a_body_waits_and_goes_on_while_another_waits_and_a_task_is_pushed() {
    model(
        || Pool::new(2, 2, 0),
        &[blocks_and_goes_on, BLOCKER, PRODUCER],
    );
}

#[test]
fn a_thread_leaves_as_one_too_many_while_another_body_waits_and_a_task_is_pushed() {
    // The spare of a wait that has ended is parked; the seat that it must not have becomes free again.
    fn over() -> Arc<Pool> {
        let pool = one_seat_and_a_spare();
        pool.seats.look_for_work();
        pool.retake();
        assert!(pool.seats.is_over());
        pool
    }
    model(
        over,
        &[
            BLOCKER,
            |pool| {
                if pool.seats.is_over() && pool.seats.quit(true, false) {
                    return;
                }
                pool.look();
            },
            PRODUCER,
        ],
    );
}

#[test]
fn two_bodies_want_to_wait_for_ever_at_the_bound_and_one_may_not() {
    loom::model(|| {
        let pool = Arc::new(Seats::new(2, 0));
        let other = thread::spawn({
            let pool = pool.clone();
            move || pool.leave(true).is_ok()
        });
        let mine = pool.leave(true).is_ok();
        assert!(mine != other.join().unwrap());
    });
}

#[test]
fn seats_are_added_while_a_task_is_pushed() {
    // A body waits and its spare is at work, so that one more seat wants no thread at once.
    model(
        one_seat_and_a_spare,
        &[
            |pool| {
                assert_eq!(pool.seats.resize(2), (0, 0));
                pool.call_spare();
            },
            PRODUCER,
        ],
    );
}
