//! What becomes of runs that are due while others run, and of those whose times have passed: by the table.

use crate::every::step;
use crate::manual::{Manual, S, until};
use crate::support::must_recv;
use millhand::Every;
use millhand::schedule::{Missed, Overlap, Schedule, ScheduleCounts};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A schedule whose runs begin when they are due, and end when they are let go, one by one.
struct Held {
    pool: Manual,
    schedule: Schedule,
    begun: Receiver<()>,
    go: Sender<()>,
}

impl Held {
    fn new(rule: Every) -> Self {
        let pool = Manual::new(8);
        let (begin, begun) = mpsc::channel();
        let (go, wait) = mpsc::channel();
        let wait = Arc::new(Mutex::new(wait));
        let body = move || {
            let _ = begin.send(());
            let _ = wait.lock().unwrap().recv();
        };
        let schedule = pool.task().every(rule).run(body).unwrap();
        Self {
            pool,
            schedule,
            begun,
            go,
        }
    }

    /// So many periods pass, one at a time.
    fn tick(&self, times: u32) {
        (0..times).for_each(|_| self.pool.turn(10 * S));
    }

    /// So many pass in one go.
    fn leap(&self, times: u32) {
        self.pool.turn(times * 10 * S);
    }

    fn begins(&self, runs: u32) {
        (0..runs).for_each(|_| must_recv(&self.begun));
    }

    /// Lets one go, and waits until it is over.
    fn end_one(&self) {
        let over = |counts: ScheduleCounts| counts.runs - counts.running as u64;
        let before = over(self.schedule.counts());
        self.go.send(()).unwrap();
        until("it is over", || over(self.schedule.counts()) > before);
    }

    /// runs, running, skips, misses
    fn counts(&self) -> (u64, usize, u64, u64) {
        let counts = self.schedule.counts();
        (counts.runs, counts.running, counts.skips, counts.misses)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.schedule.cancel();
        self.go = mpsc::channel().0;
    }
}

fn every() -> Every {
    Every::new(10 * S)
}

#[test]
fn skip_leaves_out_what_is_due_while_one_runs() {
    let held = Held::new(every());
    held.tick(4);
    held.begins(1);
    assert_eq!(held.counts(), (1, 1, 3, 0));
    held.end_one();
    assert_eq!(held.counts(), (1, 0, 3, 0));
    held.tick(1);
    held.begins(1);
    assert_eq!(held.counts(), (2, 1, 3, 0));
}

#[test]
fn queue_keeps_one_and_lets_it_follow_at_once() {
    let held = Held::new(every().overlap(Overlap::Queue));
    held.tick(4);
    held.begins(1);
    assert_eq!(held.counts(), (1, 1, 2, 0));
    held.end_one();
    held.begins(1);
    assert_eq!(held.counts(), (2, 1, 2, 0));
    held.end_one();
    assert_eq!(held.counts(), (2, 0, 2, 0));
}

#[test]
fn parallel_runs_so_many_at_once() {
    let held = Held::new(every().overlap(Overlap::Parallel(3)));
    held.tick(5);
    held.begins(3);
    assert_eq!(held.counts(), (3, 3, 2, 0));
    held.end_one();
    held.tick(2);
    held.begins(1);
    assert_eq!(held.counts(), (4, 3, 3, 0));
    (0..3).for_each(|_| held.end_one());
    assert_eq!(held.counts(), (4, 0, 3, 0));
}

#[test]
fn a_triggered_run_keeps_to_the_rule_too() {
    let rules = [
        (Overlap::Skip, [true, false, false], (1, 1, 2, 0)),
        (Overlap::Queue, [true, true, false], (1, 1, 1, 0)),
        (Overlap::Parallel(2), [true, true, false], (2, 2, 1, 0)),
    ];
    for (overlap, answers, counts) in rules {
        let held = Held::new(every().overlap(overlap));
        assert_eq!([(); 3].map(|()| held.schedule.trigger_now()), answers);
        assert_eq!(held.counts(), counts);
    }
}

#[test]
fn a_triggered_run_begins_a_fixed_delay_anew() {
    let held = Held::new(every().fixed_delay());
    held.pool.turn(5 * S);
    assert!(held.schedule.trigger_now());
    held.begins(1);
    held.tick(3); // none of its own while that one runs
    assert_eq!(held.counts(), (1, 1, 0, 0));
    held.end_one();
    held.pool.turn(9 * S);
    assert_eq!(held.counts(), (1, 0, 0, 0));
    held.pool.turn(S);
    held.begins(1);
}

#[test]
fn one_run_stands_for_all_that_were_missed() {
    let held = Held::new(every());
    held.leap(5);
    held.begins(1);
    assert_eq!(held.counts(), (1, 1, 0, 4));
    held.end_one();
    held.leap(1);
    held.begins(1);
    assert_eq!(held.counts(), (2, 1, 0, 4));
}

#[test]
fn what_is_missed_while_one_runs_is_missed_and_the_last_is_left_out() {
    let held = Held::new(every());
    held.tick(1);
    held.begins(1);
    held.leap(5);
    assert_eq!(held.counts(), (1, 1, 1, 4));
}

#[test]
fn catching_up_makes_up_for_so_many_one_after_another() {
    let held = Held::new(every().missed(Missed::CatchUp(2)));
    held.leap(5);
    held.begins(1);
    assert_eq!(held.counts(), (1, 1, 0, 2));
    held.end_one();
    held.begins(1);
    // What is due meanwhile does not wait; what is missed is not owed twice.
    held.leap(3);
    assert_eq!(held.counts(), (2, 1, 1, 3));
    for run in 3..=4 {
        held.end_one();
        held.begins(1);
        assert_eq!(held.counts(), (run, 1, 1, 3));
    }
    held.end_one();
    assert_eq!(held.counts(), (4, 0, 1, 3));
}

#[test]
fn catching_up_is_as_wide_as_the_rule_about_overlap() {
    let rule = every()
        .missed(Missed::CatchUp(10))
        .overlap(Overlap::Parallel(3));
    let held = Held::new(rule);
    held.leap(5);
    held.begins(3);
    assert_eq!(held.counts(), (3, 3, 0, 0));
    held.end_one();
    held.end_one();
    held.begins(2);
    assert_eq!(held.counts(), (5, 3, 0, 0));
}

#[test]
fn times_counts_what_was_made_up_for() {
    let held = Held::new(every().missed(Missed::CatchUp(10)).times(3));
    held.leap(5);
    for _ in 0..2 {
        held.begins(1);
        held.end_one();
    }
    held.begins(1);
    assert!(held.schedule.is_ended());
    held.end_one();
    assert_eq!(held.counts(), (3, 0, 0, 0));
}

#[test]
fn a_pause_holds_back_what_waits() {
    let held = Held::new(every().overlap(Overlap::Queue));
    held.tick(2);
    held.begins(1);
    held.schedule.pause();
    held.end_one();
    assert_eq!(held.counts(), (1, 0, 0, 0));
    held.schedule.resume();
    held.begins(1);
    assert_eq!(held.counts(), (2, 1, 0, 0));
}

#[test]
fn cancelling_gives_up_what_waits() {
    let held = Held::new(every().overlap(Overlap::Queue));
    held.tick(2);
    held.begins(1);
    held.schedule.cancel();
    held.end_one();
    held.pool.wait_idle().unwrap();
    assert_eq!(held.counts(), (1, 0, 0, 0));
}

#[test]
fn two_hundred_schedules_of_one_pool_keep_apart() {
    let pool = Manual::new(2);
    let schedules: Vec<_> = (1..=200)
        .map(|n| {
            pool.task()
                .every(Every::new(n * Duration::from_millis(10)))
                .run(|| ())
                .unwrap()
        })
        .collect();
    for _ in 0..400 {
        step(&pool, Duration::from_millis(10));
    }
    for (n, schedule) in (1..).zip(&schedules) {
        let counts = schedule.counts();
        assert_eq!(
            (counts.runs, counts.skips, counts.misses),
            (400 / n, 0, 0),
            "number {n}"
        );
    }
}
