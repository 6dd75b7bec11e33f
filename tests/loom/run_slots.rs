//! loom models of the run slots: all events that can make a spare due meet, and no spare is missed.
//!
//! Checked with LOOM_MAX_PREEMPTIONS=3.
//
// A counter stands for the channel. It has the accesses on which the argument in `spares` rests,
// all sequentially consistent. loom orders such accesses as it should, except for one thing: the
// value that an atomic is made with may be read after a newer one was stored. So each is stored to
// once before the threads start (`in_order`). So the models need no fence that the code does not
// have, and an ordering that is weakened in `spares` is found.
//
// The steps below are those of a push, of `Worker::work`, `begin_blocking` and `end_blocking`,
// without threads, tasks and phases. A spare that is started is a number: what it does once it runs
// is what any idle thread does. `settle_down` plays that, when all others have ended.

use super::*;
use loom::thread;
use std::sync::Arc;

struct Pool {
    slots: RunSlots,
    /// Tasks in the queue.
    tasks: AtomicUsize,
    /// Nudges in the queue.
    nudges: AtomicUsize,
}

impl Pool {
    /// With the first `busy` of its threads at work.
    fn new(slots: usize, busy: usize, tasks: usize) -> Arc<Self> {
        let pool = Self {
            slots: RunSlots::new(slots, 8),
            tasks: AtomicUsize::new(tasks),
            nudges: AtomicUsize::new(0),
        };
        (0..busy).for_each(|_| pool.slots.becomes_busy());
        pool.in_order();
        Arc::new(pool)
    }

    fn in_order(&self) {
        for count in [&self.tasks, &self.nudges, &self.slots.idle] {
            count.store(count.load(Ordering::SeqCst), Ordering::SeqCst);
        }
        let hint = &self.slots.hint;
        hint.store(hint.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// As `Core::start_spare_if_due`. Returns whether one is started.
    fn start_spare_if_due(&self) -> bool {
        let ready = || match self.tasks.load(Ordering::SeqCst) + self.nudges.load(Ordering::SeqCst)
        {
            0 => Ready::Nothing,
            _ => Ready::Outer,
        };
        matches!(self.slots.request_spare(ready, true), Spare::Start)
    }

    fn push(&self) {
        self.tasks.fetch_add(1, Ordering::SeqCst);
        if self.slots.has_free() {
            self.start_spare_if_due();
        }
    }

    fn try_pop(&self) -> bool {
        let less = |tasks: usize| tasks.checked_sub(1);
        self.tasks
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, less)
            .is_ok()
    }

    /// What an idle thread does when it is woken. Returns whether it found a task.
    fn take(&self) -> bool {
        let found = self.try_pop();
        if found {
            self.slots.becomes_busy();
            if self.slots.has_free() {
                self.start_spare_if_due();
            }
        }
        found
    }

    /// A body waits.
    fn wait(&self) {
        self.slots.release(Wait::Other(0));
        self.start_spare_if_due();
    }

    /// Its wait is over.
    fn resume(&self) {
        // As `RunQueue::nudge_one_of`.
        let idle = self.slots.reacquire(Wait::Other(0));
        if self.nudges.load(Ordering::SeqCst) < idle {
            self.nudges.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// A thread that was at work finds nothing. Returns whether it parks; otherwise it exits as a
    /// surplus.
    fn run_dry(&self) -> bool {
        self.slots.becomes_idle();
        !(self.slots.is_limited() && self.slots.try_leave(true, false, None))
    }

    fn idle(&self) -> usize {
        self.slots.idle.load(Ordering::SeqCst)
    }

    fn taken(&self) -> usize {
        self.slots.state.lock().counts.taken()
    }

    /// All bodies go on for ever, and the idle threads do what they are woken for. Is work in the
    /// queue then with a run slot free, or does a surplus thread sleep?
    fn settle_down(&self) {
        assert!(
            self.idle() <= self.taken(),
            "a thread that has exited counts as idle"
        );
        while self.idle() > 0 && self.nudges.load(Ordering::SeqCst) > 0 {
            self.nudges.fetch_sub(1, Ordering::SeqCst);
            if self.slots.is_limited() {
                self.slots.try_leave(true, false, None);
            }
        }
        while self.idle() > 0 && self.take() {}
        let left = self.tasks.load(Ordering::SeqCst);
        let slots = self.slots.count();
        assert!(
            left == 0 || self.taken() >= slots,
            "a run slot is free, {left} tasks are ready, and no thread was started"
        );
        assert!(
            self.idle() == 0 || self.taken() <= slots,
            "a surplus thread sleeps and was not nudged"
        );
    }
}

/// Runs each actor on a thread of its own. Each of them is once the first, since that decides which
/// schedules loom tries.
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

const BLOCKER: fn(&Pool) = Pool::wait;
const PRODUCER: fn(&Pool) = Pool::push;

fn blocks_and_goes_on(pool: &Pool) {
    pool.wait();
    pool.resume();
}

fn takes_a_task(pool: &Pool) {
    pool.take();
}

fn runs_dry(pool: &Pool) {
    if pool.run_dry() {
        pool.take();
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
    model(|| Pool::new(2, 1, 2), &[BLOCKER, takes_a_task]);
}

#[test]
fn a_body_waits_while_the_idle_thread_wakes_and_tasks_are_pushed() {
    model(|| Pool::new(2, 1, 1), &[BLOCKER, takes_a_task, PRODUCER]);
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
    model(|| Pool::new(3, 2, 3), &[BLOCKER, BLOCKER, takes_a_task]);
}

#[test]
fn a_wait_ends_while_a_thread_runs_dry() {
    model(one_slot_and_a_spare, &[Pool::resume, runs_dry]);
}

#[test]
fn a_wait_ends_while_a_thread_runs_dry_and_a_task_is_pushed() {
    model(one_slot_and_a_spare, &[Pool::resume, runs_dry, PRODUCER]);
}

/// A body waits, and the spare that was started for it is at work.
fn one_slot_and_a_spare() -> Arc<Pool> {
    let pool = Pool::new(1, 1, 1);
    pool.wait();
    assert!(pool.take());
    assert_eq!((pool.slots.threads(), pool.idle()), (2, 0));
    pool
}

#[test]
fn two_waits_end_while_two_threads_run_dry() {
    fn two_slots_and_two_spares() -> Arc<Pool> {
        let pool = Pool::new(2, 2, 2);
        (0..2).for_each(|_| {
            pool.wait();
            assert!(pool.take());
        });
        assert_eq!((pool.slots.threads(), pool.idle()), (4, 0));
        pool
    }
    model(
        two_slots_and_two_spares,
        &[Pool::resume, Pool::resume, runs_dry, runs_dry],
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
fn a_surplus_thread_exits_while_another_body_waits_and_a_task_is_pushed() {
    // The spare of a wait that has ended is parked. The run slot that it must not have becomes
    // free again.
    fn over() -> Arc<Pool> {
        let pool = one_slot_and_a_spare();
        pool.slots.becomes_idle();
        pool.resume();
        assert!(pool.slots.is_limited());
        pool
    }
    model(
        over,
        &[
            BLOCKER,
            |pool| {
                if pool.slots.is_limited() && pool.slots.try_leave(true, false, None) {
                    return;
                }
                pool.take();
            },
            PRODUCER,
        ],
    );
}

#[test]
fn a_surplus_thread_rests_while_another_body_waits_and_a_task_is_pushed() {
    model(
        one_slot_and_a_spare,
        &[
            Pool::resume,
            |pool| {
                let here = Sleeper::new();
                pool.slots.becomes_idle();
                if pool.slots.is_limited() && pool.slots.try_leave(true, false, Some(&here)) {
                    // As `Core::try_rest`.
                    if pool.slots.has_free() {
                        pool.start_spare_if_due();
                    }
                    pool.slots.end_rest(&here);
                }
                pool.take();
            },
            |pool| {
                pool.wait();
                pool.push();
            },
        ],
    );
}

/// At the bound the last of three events sees all others, and starts the thread that is needed.
fn one_thread_starts_beyond_the_bound(what: Ready) {
    loom::model(move || {
        let pool = Arc::new(RunSlots::new(2, 0));
        (0..2).for_each(|_| pool.becomes_busy());
        let tasks = Arc::new(AtomicUsize::new(0));
        // As `Pool::in_order`.
        tasks.store(0, Ordering::SeqCst);
        pool.idle.store(0, Ordering::SeqCst);
        pool.hint.store(0, Ordering::SeqCst);
        let checks = move |pool: &RunSlots, tasks: &AtomicUsize| {
            let ready = || match tasks.load(Ordering::SeqCst) {
                0 => Ready::Nothing,
                _ => what,
            };
            usize::from(matches!(pool.request_spare(ready, true), Spare::Start))
        };
        let waits = |pool: &Arc<RunSlots>, tasks: &Arc<AtomicUsize>| {
            let (pool, tasks) = (pool.clone(), tasks.clone());
            thread::spawn(move || {
                pool.release(Wait::Own);
                checks(&pool, &tasks)
            })
        };
        let waiters = [waits(&pool, &tasks), waits(&pool, &tasks)];
        tasks.fetch_add(1, Ordering::SeqCst);
        let mut started = 0;
        if pool.has_free() {
            started += checks(&pool, &tasks);
        }
        started += waiters
            .map(|waiter| waiter.join().unwrap())
            .iter()
            .sum::<usize>();
        assert_eq!(started, 1);
    });
}

#[test]
fn all_bodies_wait_at_the_bound_while_one_of_them_has_submitted_a_task() {
    one_thread_starts_beyond_the_bound(Ready::Inner(1));
}

#[test]
fn all_bodies_wait_for_tasks_at_the_bound_while_one_is_pushed() {
    one_thread_starts_beyond_the_bound(Ready::Outer);
}

#[test]
fn run_slots_are_added_while_a_task_is_pushed() {
    // A body waits and its spare is at work, so that one more run slot needs no thread at once.
    model(
        one_slot_and_a_spare,
        &[
            |pool| {
                assert_eq!(pool.slots.resize(2), (0, 0));
                pool.start_spare_if_due();
            },
            PRODUCER,
        ],
    );
}
