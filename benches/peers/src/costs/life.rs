//! What it costs to start a pool and to end it, beside threads that read a channel.

use super::{Cost, SYSTEM};
use crate::contenders::MILLHAND;
use crate::rows::{steps, work};
use crossbeam_channel::{Sender, bounded, unbounded};
use millhand::{Shutdown, ThreadPool};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const BARE_THREADS: &str = "bare threads";

const REPEATS: usize = 20;

pub const START: Cost = Cost {
    key: "start",
    title: "start of a pool, until its first task has run",
    unit: "µs",
    contenders: &[MILLHAND, BARE_THREADS],
    sizes: &[1, 2, 8, 64],
    of: "workers",
    allocators: SYSTEM,
    most_rounds: 9,
    aim: None,
    measure: |contender, workers| {
        measure(contender, workers, start::<ThreadPool>, start::<Threads>)
    },
};

pub const STOP: Cost = Cost {
    key: "stop",
    title: "stop of an idle pool, until its threads have ended",
    measure: |contender, workers| measure(contender, workers, stop::<ThreadPool>, stop::<Threads>),
    ..START
};

pub const SHUTDOWN: Cost = Cost {
    key: "shutdown",
    title: "from the end of the last task to the end of `shutdown`, 1,000 queued tasks of 10 µs",
    measure: |contender, workers| {
        measure(
            contender,
            workers,
            shutdown::<ThreadPool>,
            shutdown::<Threads>,
        )
    },
    ..START
};

/// The median over several runs, each with a pool of its own.
fn measure(
    contender: &str,
    workers: u64,
    ours: fn(usize) -> Duration,
    bare: fn(usize) -> Duration,
) -> Option<f64> {
    let once = if contender == MILLHAND { ours } else { bare };
    let mut times: Vec<_> = (0..REPEATS).map(|_| once(workers as usize)).collect();
    times.sort();
    Some(1e6 * times[REPEATS / 2].as_secs_f64())
}

trait Life {
    fn start(workers: usize) -> Self;
    fn send(&self, task: impl FnOnce() + Send + 'static);
    /// Runs what is queued, then joins the threads.
    fn stop(self);
}

impl Life for ThreadPool {
    fn start(workers: usize) -> Self {
        Self::new(workers).unwrap()
    }

    fn send(&self, task: impl FnOnce() + Send + 'static) {
        self.execute(task);
    }

    fn stop(self) {
        self.shutdown(Shutdown::drain()).unwrap();
    }
}

struct Threads {
    sender: Sender<Box<dyn FnOnce() + Send>>,
    threads: Vec<JoinHandle<()>>,
}

impl Life for Threads {
    fn start(workers: usize) -> Self {
        let (sender, receiver) = unbounded::<Box<dyn FnOnce() + Send>>();
        let spawn = |_| {
            let receiver = receiver.clone();
            thread::spawn(move || receiver.iter().for_each(|task| task()))
        };
        Self {
            threads: (0..workers).map(spawn).collect(),
            sender,
        }
    }

    fn send(&self, task: impl FnOnce() + Send + 'static) {
        self.sender.send(Box::new(task)).unwrap();
    }

    fn stop(self) {
        drop(self.sender);
        for thread in self.threads {
            thread.join().unwrap();
        }
    }
}

fn start<L: Life>(workers: usize) -> Duration {
    let (report, reports) = bounded(1);
    let start = Instant::now();
    let pool = L::start(workers);
    pool.send(move || report.send(()).unwrap());
    reports.recv().unwrap();
    let took = start.elapsed();
    pool.stop();
    took
}

fn stop<L: Life>(workers: usize) -> Duration {
    let pool = L::start(workers);
    // All workers have found nothing to do, and sleep.
    thread::sleep(Duration::from_millis(10));
    let start = Instant::now();
    pool.stop();
    start.elapsed()
}

fn shutdown<L: Life>(workers: usize) -> Duration {
    let steps = steps(Duration::from_micros(10));
    let pool = L::start(workers);
    let start = Instant::now();
    let last = Arc::new(AtomicU64::new(0));
    for _ in 0..1_000 {
        let last = last.clone();
        pool.send(move || {
            work(steps);
            last.fetch_max(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
        });
    }
    pool.stop();
    start.elapsed() - Duration::from_nanos(last.load(Ordering::Relaxed))
}
