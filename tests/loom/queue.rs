//! loom models of the run queue: whatever is pushed is taken, whichever worker sleeps, exits or is busy.
//!
//! Checked with LOOM_MAX_PREEMPTIONS=3.
//
// Queue, side queues, mailboxes and parking are the real ones, over a channel of the facade. The steps
// of a worker are those of `Worker::work`, without run slots: whether a thread is one too many is a
// flag. No wait here times out, so an item that is missed is a deadlock, which loom reports: the main
// thread waits until all tasks are done.

use super::*;
use crate::sync::atomic::AtomicBool;
use crate::sync::{Condvar, Mutex};
use crate::task::body::PlainBody;
use crate::task::double::{self, owner};
use crate::task::{CancelOutcome, Head, Task};
use loom::thread;
use std::panic::Location;
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Body {
    Short,
    /// Another thread cancels it, and sweeps.
    Cancelled,
    /// Goes on until all others are done.
    Long,
    /// Goes on until the thread that is one too many has exited.
    UntilOneHasExited,
}

struct Pool {
    queue: RunQueue,
    /// The first worker's is in use.
    mail: [Mailbox; 2],
    /// Whether a worker tries the channel first when it first finds the side queues with items.
    channel_first: bool,
    /// Whether a thread is one too many. Written with `done` locked.
    surplus: AtomicBool,
    is_over: AtomicBool,
    done: Mutex<usize>,
    /// A task is done, or a thread has exited.
    changed: Condvar,
    /// How many tasks there are.
    tasks: usize,
    /// Those whose bodies are not short.
    bodies: std::sync::Mutex<Vec<(TaskRef, Body)>>,
}

impl Pool {
    fn new(tasks: usize, channel_first: bool) -> Arc<Self> {
        let pool = Self {
            queue: RunQueue::new(),
            mail: [Mailbox::new(), Mailbox::new()],
            channel_first,
            surplus: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            done: Mutex::new(0),
            changed: Condvar::new(),
            tasks,
            bodies: std::sync::Mutex::default(),
        };
        // What an atomic is made with may be read by loom after a newer value was stored.
        let [first, second] = &pool.mail;
        for flag in [&pool.surplus, &pool.is_over, &first.hint, &second.hint] {
            flag.store(false, Ordering::SeqCst);
        }
        pool.queue.nudges.store(0, Ordering::SeqCst);
        pool.queue.dead.store(0, Ordering::SeqCst);
        pool.queue.side.in_order();
        pool.queue.parking.in_order();
        Arc::new(pool)
    }

    fn task(&self, body: Body) -> TaskRef {
        let head = Head::new(owner(), Location::caller());
        let task = Task::new(head, PlainBody::new(|| ()));
        if body != Body::Short {
            self.bodies.lock().unwrap().push((task.clone(), body));
        }
        task
    }

    fn push(&self, body: Body, priority: i32) {
        let entry = QueueEntry::new(self.task(body));
        self.queue.push_ranked(entry, Rank::Priority(priority));
    }

    fn push_cleanup(self: &Arc<Self>) {
        let pool = self.clone();
        self.queue
            .push_cleanup(Box::new(move || pool.perform(Body::Short)));
    }

    fn post(&self, body: Body) {
        assert!(self.mail[0].post(self.task(body)).is_empty());
    }

    fn one_too_many(&self) {
        // ORDERING: as the hint of the run slots.
        self.surplus.store(true, Ordering::SeqCst);
        self.queue.push_nudge();
    }

    // A worker.

    fn work(&self, index: usize) {
        let mail = &self.mail[index];
        let ticks = if self.channel_first {
            CHANNEL_FIRST - 1
        } else {
            0
        };
        let tick = Tick(Cell::new(ticks));
        let mut is_idle = true;
        loop {
            while !is_idle && !self.surplus.load(Ordering::SeqCst) && !mail.has_hint() {
                match self.queue.try_take() {
                    Some(task) => self.run(&task),
                    None => break,
                }
            }
            if self.try_exit(mail) {
                return;
            }
            match self.next(mail, is_idle, &tick) {
                Some(Work::Nudge) => continue,
                Some(Work::Task(entry, _)) => self.run(&entry.into_task()),
                Some(Work::Cleanup(cleanup)) => cleanup(),
                None => {
                    is_idle = true;
                    continue;
                }
            }
            is_idle = false;
        }
    }

    fn next(&self, mail: &Mailbox, is_idle: bool, tick: &Tick) -> Option<Work> {
        if let Some(entry) = mail.try_next() {
            self.queue.pass_on();
            return Some(Work::Task(entry, Turn::default()));
        }
        let item = self.queue.try_pop(tick);
        if item.is_some() || !is_idle {
            return item;
        }
        Some(self.queue.pop(tick, mail, false))
    }

    fn try_exit(&self, mail: &Mailbox) -> bool {
        let is_over = self.is_over.load(Ordering::SeqCst);
        if !(is_over || self.surplus.load(Ordering::SeqCst)) || !mail.is_empty() {
            return false;
        }
        let done = self.done.lock();
        let exits = is_over || self.surplus.swap(false, Ordering::SeqCst);
        drop(done);
        if exits {
            if is_over {
                self.queue.push_nudge();
            }
            self.changed.notify_all();
            self.queue.pass_on();
        }
        exits
    }

    fn run(&self, task: &TaskRef) {
        let bodies = self.bodies.lock().unwrap();
        let found = bodies.iter().find(|(known, _)| Arc::ptr_eq(known, task));
        let body = found.map_or(Body::Short, |(_, body)| *body);
        drop(bodies);
        if body == Body::Cancelled && task.claim().is_none() {
            self.queue.uncount_dead();
        }
        self.perform(body);
    }

    fn perform(&self, body: Body) {
        let mut done = self.done.lock();
        let goes_on = |done: usize| match body {
            Body::Short | Body::Cancelled => false,
            Body::Long => done + 1 < self.tasks,
            Body::UntilOneHasExited => self.surplus.load(Ordering::SeqCst),
        };
        while goes_on(*done) {
            self.changed.wait(&mut done);
        }
        *done += 1;
        drop(done);
        self.changed.notify_all();
    }

    /// Until all tasks are done; then the pool is over.
    fn wait(&self) {
        let mut done = self.done.lock();
        while *done < self.tasks {
            self.changed.wait(&mut done);
        }
        drop(done);
        self.is_over.store(true, Ordering::SeqCst);
        self.queue.push_nudge();
    }
}

/// A task is pushed and cancelled, and the canceller sweeps. Whichever thread removes the entry
/// counts the task as done.
fn cancelled(pool: &Arc<Pool>) {
    let task = pool.task(Body::Cancelled);
    pool.queue.push(QueueEntry::new(task.clone()));
    if task.cancel(CancelReason::User) != CancelOutcome::Settled {
        return;
    }
    pool.queue.count_dead();
    for (swept, _) in pool.queue.sweep() {
        assert!(Arc::ptr_eq(&swept, &task));
        pool.queue.uncount_dead();
        pool.perform(Body::Cancelled);
    }
}

type Actor = fn(&Arc<Pool>);

/// So many workers, of which the first gets mail, meet the producers, and in the end all tasks are done.
fn model(workers: usize, channel_first: bool, tasks: usize, produce: &[Actor]) {
    let produce = produce.to_vec();
    double::model(workers + produce.len(), move || {
        let pool = Pool::new(tasks, channel_first);
        let (here, others) = produce.split_first().unwrap();
        let mut threads: Vec<_> = (0..workers)
            .map(|index| {
                let pool = pool.clone();
                thread::spawn(move || pool.work(index))
            })
            .collect();
        threads.extend(others.iter().map(|&other| {
            let pool = pool.clone();
            thread::spawn(move || other(&pool))
        }));
        here(&pool);
        pool.wait();
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        assert_eq!(*pool.done.lock(), tasks);
        // What is left are nudges, and they are counted.
        let queue = &pool.queue;
        assert_eq!(queue.side.len(), 0);
        assert_eq!(queue.len(), 0);
        assert_eq!(queue.dead.load(Ordering::SeqCst), 0);
        assert_eq!(
            queue.nudges.load(Ordering::SeqCst),
            queue.receiver.len(),
            "counted as sent"
        );
    });
}

const HIGH: i32 = 1;
const NORMAL: i32 = 0;
const LOW: i32 = -1;

fn high(pool: &Arc<Pool>) {
    pool.push(Body::Short, HIGH);
}

fn inner(pool: &Arc<Pool>) {
    let entry = QueueEntry::new(pool.task(Body::Short));
    pool.queue
        .push_inner(entry, Level::default().child(), NORMAL, None);
}

fn low(pool: &Arc<Pool>) {
    pool.push(Body::Short, LOW);
}

fn normal(pool: &Arc<Pool>) {
    pool.push(Body::Short, NORMAL);
}

#[test]
fn a_task_of_any_priority_wakes_a_worker() {
    for push in [inner, high, normal, low, Pool::push_cleanup] {
        model(1, false, 1, &[push]);
    }
    model(2, false, 1, &[high]);
}

#[test]
fn one_worker_takes_what_comes_while_it_is_busy() {
    model(
        1,
        false,
        2,
        &[|pool| {
            low(pool);
            low(pool);
        }],
    );
    model(
        1,
        false,
        2,
        &[|pool| {
            normal(pool);
            high(pool);
        }],
    );
}

#[test]
fn two_producers_share_a_nudge() {
    model(1, false, 2, &[high, high]);
    model(1, false, 2, &[inner, normal]);
    model(1, true, 2, &[inner, high]);
    model(1, false, 2, &[high, low]);
    model(1, true, 2, &[low, normal]);
}

/// Two messages come while a worker that has read its mail clears the hint.
#[test]
fn no_hint_of_mail_is_lost() {
    double::model(2, || {
        let pool = Pool::new(3, false);
        pool.post(Body::Short);
        let posts = pool.clone();
        let poster = thread::spawn(move || (0..2).for_each(|_| posts.post(Body::Short)));
        let mail = &pool.mail[0];
        let mut read = (0..2).filter(|_| mail.try_next().is_some()).count();
        poster.join().unwrap();
        while mail.has_hint() {
            read += usize::from(mail.try_next().is_some());
        }
        assert_eq!(read, 3);
    });
}

#[test]
fn mail_wakes_the_worker_that_it_is_for() {
    model(2, false, 1, &[|pool| pool.post(Body::Short)]);
    model(1, false, 2, &[|pool| pool.post(Body::Short), normal]);
}

// Below, both workers may sleep before the first of the steps: then a nudge that is not sent is missed.

#[test]
fn a_sweep_loses_no_task() {
    model(
        1,
        false,
        2,
        &[|pool| {
            normal(pool);
            cancelled(pool);
        }],
    );
    // All pushes are of one thread: the channel of the facade gives no order between a message and
    // the thread that takes it if another thread has sent in between.
    model(
        2,
        false,
        3,
        &[|pool| {
            pool.push(Body::Long, NORMAL);
            normal(pool);
            cancelled(pool);
        }],
    );
}

#[test]
fn a_long_task_from_the_channel_leaves_a_nudge_to_the_other_worker() {
    model(
        2,
        true,
        2,
        &[|pool| {
            pool.push(Body::Long, NORMAL);
            high(pool);
        }],
    );
    model(
        2,
        true,
        2,
        &[|pool| {
            high(pool);
            pool.push(Body::Long, NORMAL);
        }],
    );
}

#[test]
fn a_long_task_from_a_side_queue_leaves_a_nudge_to_the_other_worker() {
    model(
        2,
        false,
        2,
        &[|pool| {
            pool.push(Body::Long, HIGH);
            high(pool);
        }],
    );
    model(
        2,
        false,
        2,
        &[|pool| {
            low(pool);
            pool.push(Body::Long, HIGH);
        }],
    );
}

#[test]
fn a_nudge_that_is_read_early_is_sent_again_for_what_is_left() {
    // Both pushes find a nudge on its way. A worker reads it before it sees what they have pushed.
    model(
        2,
        false,
        2,
        &[|pool| {
            pool.queue.push_nudge();
            pool.push(Body::Long, HIGH);
            high(pool);
        }],
    );
}

#[test]
fn a_worker_that_takes_mail_leaves_a_nudge_to_the_other_worker() {
    model(
        2,
        false,
        2,
        &[|pool| {
            high(pool);
            pool.post(Body::Long);
        }],
    );
}

#[test]
fn a_worker_that_exits_leaves_a_nudge_to_the_other_worker() {
    model(
        2,
        false,
        1,
        &[|pool| {
            pool.one_too_many();
            high(pool);
        }],
    );
    model(
        2,
        false,
        1,
        &[|pool| {
            high(pool);
            pool.one_too_many();
        }],
    );
}

#[test]
fn a_nudge_before_a_long_task_is_left_to_the_other_worker() {
    model(
        2,
        true,
        2,
        &[|pool| {
            low(pool);
            pool.one_too_many();
            pool.push(Body::UntilOneHasExited, NORMAL);
        }],
    );
}
