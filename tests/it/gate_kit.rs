//! What the tests of gates share.

use crate::support::{LONG, must_recv};
use millhand::limit::{Lane, Lanes};
use millhand::testing::ManualClock;
use millhand::{RateLimiter, Semaphore, TaskBuilder, TaskHandle, ThreadPool};
use std::fmt::Debug;
use std::sync::mpsc;
use std::time::{Duration, Instant};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const NANO: Duration = Duration::from_nanos(1);

pub(crate) fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Waits for what must come to be.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < LONG, "it never came: {what}");
        std::thread::yield_now();
    }
}

pub(crate) fn pool_on(clock: &ManualClock, workers: usize) -> ThreadPool {
    let builder = ThreadPool::builder().workers(workers);
    builder.clock(clock).build().unwrap()
}

/// A task whose body has begun and goes on until told.
pub(crate) struct Busy {
    pub(crate) handle: TaskHandle<()>,
    go: mpsc::Sender<()>,
}

impl Busy {
    /// `task` must be able to begin at once.
    pub(crate) fn start(task: &TaskBuilder) -> Self {
        let (tell, told) = mpsc::channel();
        let (go, wait) = mpsc::channel::<()>();
        let handle = task.submit(move || {
            tell.send(()).unwrap();
            let _ = wait.recv();
        });
        must_recv(&told);
        Self { handle, go }
    }

    /// Lets it end, and waits for that.
    pub(crate) fn end(self) {
        drop(self.go);
        self.handle.join().unwrap();
    }
}

/// Does it on a thread of its own, and sends what came of it.
pub(crate) fn apart<T: Send + 'static>(
    f: impl FnOnce() -> T + Send + 'static,
) -> mpsc::Receiver<T> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        // Nobody listens after a failure.
        let _ = send.send(f());
    });
    receive
}

/// The kinds of gates; each lets one through, the timed ones one a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bucket,
    Window,
    Semaphore,
    Lane,
}

pub(crate) const KINDS: [Kind; 4] = [Kind::Bucket, Kind::Window, Kind::Semaphore, Kind::Lane];

#[derive(Clone, Debug)]
pub(crate) enum AnyGate {
    Rate(RateLimiter),
    Semaphore(Semaphore),
    Lane(Lane),
}

impl Kind {
    pub(crate) fn build(self, clock: &ManualClock) -> AnyGate {
        let clock = &clock.clock();
        match self {
            Self::Bucket => AnyGate::Rate(
                RateLimiter::token_bucket(1, SECOND)
                    .burst(1)
                    .clock(clock)
                    .build()
                    .unwrap(),
            ),
            Self::Window => AnyGate::Rate(
                RateLimiter::sliding_window(1, SECOND)
                    .clock(clock)
                    .build()
                    .unwrap(),
            ),
            Self::Semaphore => AnyGate::Semaphore(Semaphore::new(1).unwrap()),
            Self::Lane => AnyGate::Lane(Lanes::new().key(7)),
        }
    }
}

impl AnyGate {
    pub(crate) fn before<K>(&self, task: TaskBuilder<K>) -> TaskBuilder<K> {
        match self {
            Self::Rate(limiter) => task.gate(limiter),
            Self::Semaphore(semaphore) => task.gate(semaphore),
            Self::Lane(lane) => task.gate(lane),
        }
    }

    pub(crate) fn waiting(&self) -> usize {
        match self {
            Self::Rate(limiter) => limiter.waiting(),
            Self::Semaphore(semaphore) => semaphore.waiting(),
            Self::Lane(lane) => lane.waiting(),
        }
    }

    /// What it lets through; a lane does not tell.
    pub(crate) fn available(&self) -> u32 {
        match self {
            Self::Rate(limiter) => limiter.available(),
            Self::Semaphore(semaphore) => semaphore.available(),
            Self::Lane(_) => 1,
        }
    }

    pub(crate) fn is_timed(&self) -> bool {
        matches!(self, Self::Rate(_))
    }

    /// What keeps others out until it is let go.
    pub(crate) fn close(&self, pool: &ThreadPool, clock: &ManualClock) -> Closed {
        let busy = Busy::start(&self.before(pool.task()));
        if !self.is_timed() {
            return Closed::By(busy);
        }
        busy.end();
        Closed::For(clock.clone())
    }
}

/// A gate that lets nobody through.
pub(crate) enum Closed {
    By(Busy),
    /// A second.
    For(ManualClock),
}

impl Closed {
    pub(crate) fn open(self) {
        match self {
            Self::By(busy) => busy.end(),
            Self::For(clock) => clock.advance(SECOND),
        }
    }
}

/// One after the other, so that their order is certain: each is waited for until `waiting` counts it.
pub(crate) fn line_up<T>(
    waiting: impl Fn() -> usize,
    n: usize,
    mut join: impl FnMut(usize) -> T,
) -> Vec<T> {
    let before = waiting();
    let one = |k| {
        let joined = join(k);
        until("it joins the line", || waiting() == before + k + 1);
        joined
    };
    (0..n).map(one).collect()
}
