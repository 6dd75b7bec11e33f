//! A pool on a clock that stands until it is turned, and what the tests of delays, retries and time limits share.

use crate::support::{LONG, must_recv};
use millhand::pool::{PoolBuilder, ShutdownReport};
use millhand::task::TaskState;
use millhand::testing::ManualClock;
use millhand::{Shutdown, TaskHandle, ThreadPool};
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

pub(crate) const NS: Duration = Duration::from_nanos(1);
pub(crate) const S: Duration = Duration::from_secs(1);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// Waits for what must come to be.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < LONG, "it never came: {what}");
        std::thread::yield_now();
    }
}

/// A pool that goes by a clock of its own.
pub(crate) struct Manual {
    pool: ThreadPool,
    pub(crate) clock: ManualClock,
}

impl Manual {
    pub(crate) fn new(workers: usize) -> Self {
        Self::with(workers, |builder| builder)
    }

    pub(crate) fn with(workers: usize, options: impl FnOnce(PoolBuilder) -> PoolBuilder) -> Self {
        let clock = ManualClock::new();
        let builder = ThreadPool::builder().workers(workers).clock(&clock);
        let pool = options(builder).build().unwrap();
        Self { pool, clock }
    }

    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    pub(crate) fn advance(&self, time: Duration) {
        self.clock.advance(time);
    }

    /// Shuts the pool down, and turns the clock by `time` once `before` has happened, with the pool closed.
    pub(crate) fn shut_down(
        &self,
        how: Shutdown,
        before: impl FnOnce(),
        time: Duration,
    ) -> ShutdownReport {
        std::thread::scope(|s| {
            let shutdown = s.spawn(|| self.pool.shutdown(how).unwrap());
            until("the pool is closed", || self.pool.is_closed());
            before();
            self.clock.advance(time);
            shutdown.join().unwrap()
        })
    }

    /// Turns the clock on: comes back when the timer has done all that was due up to then.
    pub(crate) fn turn(&self, time: Duration) {
        self.clock.advance(time);
    }
}

impl Deref for Manual {
    type Target = ThreadPool;

    fn deref(&self) -> &ThreadPool {
        &self.pool
    }
}

/// Waits until the task waits for its attempt number `attempt`, and gives the instant when that is due.
pub(crate) fn due_of<T>(handle: &TaskHandle<T>, attempt: u32) -> Instant {
    let mut at = None;
    until("the next attempt is due", || {
        at = match handle.state() {
            TaskState::Retrying { attempt: n, due } if n == attempt => Some(due),
            state => {
                assert_ne!(state, TaskState::Finished);
                None
            }
        };
        at.is_some()
    });
    at.unwrap()
}

/// Counts what is dropped.
#[derive(Clone, Default)]
pub(crate) struct Drops(Arc<AtomicUsize>);

impl Drops {
    /// Counts when it is dropped.
    pub(crate) fn one(&self) -> Dropped {
        Dropped(self.0.clone())
    }

    pub(crate) fn count(&self) -> usize {
        self.0.load(SeqCst)
    }
}

pub(crate) struct Dropped(Arc<AtomicUsize>);

impl Dropped {
    /// For a closure that is to own it and has nothing else to do with it.
    pub(crate) fn keep(&self) {}
}

/// So that a body can fail with it.
impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one that counts its drop")
    }
}

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// The test's side of a body that hangs, deaf to its token, until it is let go or this is dropped.
pub(crate) struct Hang {
    started: Receiver<()>,
    _go: Sender<()>,
}

impl Hang {
    pub(crate) fn started(&self) {
        must_recv(&self.started);
    }
}

/// A body's part of a hang, and the test's.
pub(crate) fn hang() -> (impl FnMut() + Send + 'static, Hang) {
    let (start, started) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    let body = move || {
        let _ = start.send(());
        // Ends when the other side is dropped.
        let _ = wait.recv();
    };
    (body, Hang { started, _go: go })
}
