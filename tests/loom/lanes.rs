//! loom models of the looks: what lies in a side lane is told of, whoever parks, leaves or is busy.
//!
//! Checked with LOOM_MAX_PREEMPTIONS=3.
//
// The lanes are the real ones. crossbeam's channel is not instrumented: a lock and a condvar stand for it and for the
// mailboxes. The steps around them are those of `queue` (push, read, take) and of a worker's loop. Nothing here times
// out, so what is lost is a deadlock, which loom reports: the main thread waits until all items have been taken.
//
// As in the models of the seats, an atomic is stored to once before the threads start.

use super::*;
use crate::sync::Condvar;
use crate::sync::atomic::AtomicBool;
use loom::thread;
use std::collections::VecDeque;
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Item {
    Task(Task),
    Look,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Task {
    Short,
    /// Its body goes on until all others have been done.
    Long,
    /// Its body goes on until the thread that is one too many has left.
    UntilOneLeft,
}

#[derive(Default)]
struct Channel {
    items: VecDeque<Item>,
    /// The first worker's.
    mail: VecDeque<Task>,
    over: bool,
}

struct Pool {
    channel: Mutex<Channel>,
    sent: Condvar,
    lanes: Lanes<Task>,
    looks: AtomicUsize,
    /// Whether a thread is one too many. Written under `done`.
    surplus: AtomicBool,
    done: Mutex<usize>,
    /// A task is done, or a thread has left.
    progress: Condvar,
    /// How many tasks there are.
    tasks: usize,
}

impl Pool {
    fn new(tasks: usize) -> Arc<Self> {
        let pool = Self {
            channel: Mutex::new(Channel::default()),
            sent: Condvar::new(),
            lanes: Lanes::new(),
            looks: AtomicUsize::new(0),
            surplus: AtomicBool::new(false),
            done: Mutex::new(0),
            progress: Condvar::new(),
            tasks,
        };
        pool.looks.store(0, Ordering::SeqCst);
        pool.lanes.len.store(0, Ordering::SeqCst);
        pool.surplus.store(false, Ordering::SeqCst);
        Arc::new(pool)
    }

    // The queue.

    fn send(&self, item: Item) {
        self.channel.lock().items.push_back(item);
        self.sent.notify_one();
    }

    fn push(&self, item: Item) {
        if item == Item::Look {
            self.looks.fetch_add(1, Ordering::SeqCst);
        }
        self.send(item);
    }

    fn push_ranked(&self, task: Task, priority: i32) {
        match self.lanes.push(task, Rank::Priority(priority)) {
            Ok(()) => self.pass_on_look(),
            Err(task) => self.push(Item::Task(task)),
        }
    }

    fn pass_on_look(&self) {
        if self.lanes.len() > 0 && self.looks.load(Ordering::SeqCst) == 0 {
            self.push(Item::Look);
        }
    }

    fn read(&self, item: Item) -> Item {
        if item == Item::Look {
            self.looks.fetch_sub(1, Ordering::SeqCst);
        }
        item
    }

    fn try_recv(&self) -> Option<Item> {
        self.channel.lock().items.pop_front()
    }

    fn pop_channel(&self) -> Option<Item> {
        let mut looks = 0;
        let item = loop {
            match self.try_recv().map(|item| self.read(item)) {
                Some(Item::Look) => looks += 1,
                item => break item,
            }
        };
        (0..looks).for_each(|_| self.push(Item::Look));
        item
    }

    fn try_pop(&self, channel_first: bool) -> Option<Item> {
        if self.lanes.len() == 0 {
            return self.try_recv().map(|item| self.read(item));
        }
        let mut item = None;
        if channel_first {
            item = self.pop_channel();
        }
        let item = item
            .or_else(|| self.lanes.pop_high().map(Item::Task))
            .or_else(|| self.pop_channel())
            .or_else(|| self.lanes.pop_low().map(Item::Task));
        self.pass_on_look();
        item
    }

    // A worker.

    /// Has mail, if it is the first; takes what there is, or waits for it; `None` once all is over.
    fn next(&self, has_mail: bool, channel_first: bool) -> Option<Item> {
        let mail = has_mail.then(|| self.channel.lock().mail.pop_front());
        if let Some(Some(task)) = mail {
            self.pass_on_look();
            return Some(Item::Task(task));
        }
        if let Some(item) = self.try_pop(channel_first) {
            return Some(item);
        }
        let mut channel = self.channel.lock();
        loop {
            if has_mail {
                if let Some(task) = channel.mail.pop_front() {
                    return Some(Item::Task(task));
                }
            }
            if let Some(item) = channel.items.pop_front() {
                drop(channel);
                return Some(self.read(item));
            }
            if channel.over {
                return None;
            }
            self.sent.wait(&mut channel);
        }
    }

    /// Whether it leaves, as the one too many.
    fn leaves(&self) -> bool {
        if !self.surplus.load(Ordering::SeqCst) {
            return false;
        }
        let done = self.done.lock();
        let leaves = self.surplus.swap(false, Ordering::SeqCst);
        drop(done);
        if leaves {
            self.progress.notify_all();
            self.pass_on_look();
        }
        leaves
    }

    fn work(&self, has_mail: bool, channel_first: bool) {
        while !self.leaves() {
            match self.next(has_mail, channel_first) {
                None => return,
                Some(Item::Look) => {}
                Some(Item::Task(task)) => self.perform(task),
            }
        }
    }

    fn perform(&self, task: Task) {
        let mut done = self.done.lock();
        let goes_on = |done: usize| match task {
            Task::Short => false,
            Task::Long => done + 1 < self.tasks,
            Task::UntilOneLeft => self.surplus.load(Ordering::SeqCst),
        };
        while goes_on(*done) {
            self.progress.wait(&mut done);
        }
        *done += 1;
        self.progress.notify_all();
    }

    // Others.

    fn post(&self, task: Task) {
        self.channel.lock().mail.push_back(task);
        // A worker parks on both; which one is woken by a message to one mailbox is known in life.
        self.sent.notify_all();
    }

    fn one_too_many(&self) {
        self.surplus.store(true, Ordering::SeqCst);
        self.push(Item::Look);
    }

    /// Until all tasks are done; then everybody goes home.
    fn wait(&self) {
        let mut done = self.done.lock();
        while *done < self.tasks {
            self.progress.wait(&mut done);
        }
        drop(done);
        self.channel.lock().over = true;
        self.sent.notify_all();
    }
}

/// `workers`, the first of them with a mailbox, meet the producers, and in the end all `tasks` have been done.
fn model(workers: usize, channel_first: bool, tasks: usize, produce: &[fn(&Pool)]) {
    let produce = produce.to_vec();
    loom::model(move || {
        let pool = Pool::new(tasks);
        let (here, others) = produce.split_first().unwrap();
        let mut threads: Vec<_> = (0..workers)
            .map(|n| {
                let pool = pool.clone();
                thread::spawn(move || pool.work(n == 0, channel_first))
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
        assert_eq!(pool.lanes.len(), 0);
        let looks = pool.channel.lock().items.len();
        assert_eq!(pool.looks.load(Ordering::SeqCst), looks, "counted as sent");
    });
}

fn urgent(pool: &Pool) {
    pool.push_ranked(Task::Short, 1);
}

fn low(pool: &Pool) {
    pool.push_ranked(Task::Short, -1);
}

fn normal(pool: &Pool) {
    pool.push_ranked(Task::Short, 0);
}

#[test]
fn an_urgent_task_wakes_a_parked_worker() {
    model(1, false, 1, &[urgent]);
    model(2, false, 1, &[urgent]);
}

#[test]
fn a_task_that_can_wait_wakes_a_parked_worker() {
    model(
        1,
        false,
        2,
        &[|pool| {
            low(pool);
            low(pool);
        }],
    );
}

#[test]
fn two_producers_share_a_look() {
    model(1, false, 2, &[urgent, urgent]);
    model(1, false, 2, &[urgent, low]);
    model(1, true, 2, &[low, normal]);
}

// Below, the workers may be parked before the first of these steps: then a look that is not there is missed.

#[test]
fn who_takes_a_long_task_from_the_channel_leaves_a_look_to_the_other() {
    let first: fn(&Pool) = |pool| {
        pool.push_ranked(Task::Long, 0);
        urgent(pool);
    };
    let last: fn(&Pool) = |pool| {
        urgent(pool);
        pool.push_ranked(Task::Long, 0);
    };
    model(2, true, 2, &[first]);
    model(2, true, 2, &[last]);
}

#[test]
fn who_takes_a_long_task_from_a_lane_leaves_a_look_to_the_other() {
    let before_urgent: fn(&Pool) = |pool| {
        pool.push_ranked(Task::Long, 1);
        urgent(pool);
    };
    let before_low: fn(&Pool) = |pool| {
        low(pool);
        pool.push_ranked(Task::Long, 1);
    };
    model(2, false, 2, &[before_urgent]);
    model(2, false, 2, &[before_low]);
}

#[test]
fn who_takes_mail_leaves_a_look_to_the_other() {
    let mail: fn(&Pool) = |pool| {
        urgent(pool);
        pool.post(Task::Long);
    };
    model(2, false, 2, &[mail]);
}

#[test]
fn who_leaves_the_pool_leaves_a_look_to_the_other() {
    let first: fn(&Pool) = |pool| {
        pool.one_too_many();
        urgent(pool);
    };
    let last: fn(&Pool) = |pool| {
        urgent(pool);
        pool.one_too_many();
    };
    model(2, false, 1, &[first]);
    model(2, false, 1, &[last]);
}

#[test]
fn who_skips_a_look_on_the_way_to_a_long_task_leaves_it_to_the_other() {
    let skipped: fn(&Pool) = |pool| {
        low(pool);
        pool.one_too_many();
        pool.push_ranked(Task::UntilOneLeft, 0);
    };
    model(2, true, 2, &[skipped]);
}
