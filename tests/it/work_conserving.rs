//! No ready task waits while a worker is idle, whatever lane it lies in and whoever is busy.
//!
//! The bodies that are busy here block in a plain channel, of which the library knows nothing: their seats stay taken.

use crate::stress::Rng;
use crate::support::LONG;
use millhand::{Semaphore, TaskHandle, ThreadPool, current};
use std::sync::mpsc;

/// Busy bodies, until dropped.
#[derive(Default)]
struct Busy {
    goes: Vec<mpsc::Sender<()>>,
    handles: Vec<TaskHandle<()>>,
}

impl Busy {
    /// A body that is busy.
    fn body(&mut self) -> impl FnOnce() + Send + 'static {
        let (go, wait) = mpsc::channel();
        self.goes.push(go);
        move || {
            let _ = wait.recv();
        }
    }

    fn end(self) {
        drop(self.goes);
        for handle in self.handles {
            handle.join_timeout(LONG).expect("it is let go").unwrap();
        }
    }
}

/// Lets the others go on for a random while, in which workers may park.
fn linger(random: &mut Rng) {
    match random.next() % 4 {
        0 => std::thread::yield_now(),
        1 => (0..random.next() % 2000).for_each(|_| std::hint::spin_loop()),
        _ => {}
    }
}

fn must_run(handles: Vec<TaskHandle<()>>, round: usize) {
    for handle in handles {
        let outcome = handle.join_timeout(LONG);
        let outcome =
            outcome.unwrap_or_else(|_| panic!("round {round}: it waits while one is idle"));
        outcome.unwrap();
    }
}

const PRIORITIES: [i32; 6] = [-1, 0, 0, 1, 1, i32::MAX];

fn any_priority(random: &mut Rng) -> i32 {
    PRIORITIES[random.next() as usize % PRIORITIES.len()]
}

#[test]
fn whatever_lane_the_busy_ones_came_from() {
    for workers in 2..=4 {
        let mut random = Rng(workers as u64);
        let pool = ThreadPool::new(workers).unwrap();
        let gate = Semaphore::new(1).unwrap();
        for round in 0..400 {
            let mut busy = Busy::default();
            let mut short = Vec::new();
            for _ in 0..random.next() % 40 {
                linger(&mut random);
                let task = pool.task().priority(any_priority(&mut random));
                match random.next() % 8 {
                    0 if busy.goes.len() < workers - 1 => {
                        let body = busy.body();
                        let handle = task.submit(body);
                        busy.handles.push(handle);
                    }
                    1 => short.push(task.gate(&gate).submit(|| ())),
                    2 => short.push(pool.submit(|| ())),
                    3 => {
                        // From a worker, to its own pool.
                        let priority = any_priority(&mut random);
                        let (tell, told) = mpsc::channel();
                        task.execute(move || {
                            let pool = current().unwrap().pool();
                            let _ = tell.send(pool.task().priority(priority).submit(|| ()));
                        });
                        short.push(told.recv_timeout(LONG).expect("it runs"));
                    }
                    _ => short.push(task.submit(|| ())),
                }
            }
            must_run(short, round);
            busy.end();
        }
    }
}

#[test]
fn when_mail_makes_all_but_one_busy() {
    for workers in 2..=4 {
        let mut random = Rng(40 + workers as u64);
        let pool = ThreadPool::new(workers).unwrap();
        for round in 0..300 {
            let mut short = Vec::new();
            let mut submit = |random: &mut Rng| {
                for _ in 0..random.next() % 4 {
                    linger(random);
                    let task = pool.task().priority(any_priority(random));
                    short.push(task.submit(|| ()));
                }
            };
            submit(&mut random);
            let free = random.next() as usize % workers;
            let waits: Vec<_> = (0..workers).map(|_| mpsc::channel::<()>()).collect();
            let (goes, waits): (Vec<_>, Vec<_>) = waits.into_iter().unzip();
            let waits = std::sync::Arc::new(
                waits
                    .into_iter()
                    .map(std::sync::Mutex::new)
                    .collect::<Vec<_>>(),
            );
            let mail = pool.broadcast(move || {
                let worker = current().unwrap().worker();
                if worker != free {
                    let _ = waits[worker].lock().unwrap().recv();
                }
            });
            submit(&mut random);
            must_run(short, round);
            drop(goes);
            must_run(mail.unwrap(), round);
        }
    }
}

#[test]
fn when_the_number_of_workers_changes_meanwhile() {
    let mut random = Rng(99);
    let pool = ThreadPool::new(4).unwrap();
    for round in 0..300 {
        let mut busy = Busy::default();
        let body = busy.body();
        busy.handles.push(pool.submit(body));
        let mut short = Vec::new();
        for _ in 0..6 {
            linger(&mut random);
            let task = pool.task().priority(any_priority(&mut random));
            short.push(task.submit(|| ()));
            pool.set_workers(2 + random.next() as usize % 3).unwrap();
        }
        must_run(short, round);
        busy.end();
    }
}
