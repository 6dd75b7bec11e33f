//! What the tasks of the soak do. A seed chooses: its options, what its body does, and how a body
//! waits for its children.
//
// What each gate is for, so that no wait needs something that cannot come:
//
// * A body behind a gate waits for no task and no thread that needs the same gate. Bodies that
//   wait for children stand behind no gate, and bodies in the long lines wait for nothing.
// * `by_hand` is a gate for the second pool only, and bodies of the first take it by hand. Bodies
//   of the second pool wait for nothing.
// * A body waits for a while only at a limiter that is the gate of tasks of its own pool.

use crate::books::{AtOnce, Books, Closure, Inside, Rng, Starts, check};
use millhand::compose::{Until, wait_until_timeout};
use millhand::limit::{Keyed, Lanes, LimitError};
use millhand::task::Jitter;
use millhand::{
    CancelToken, ContextVar, OnFull, PoolHandle, RateLimiter, Retry, ScopeOptions, Semaphore,
    TaskBuilder, TaskError, TaskHandle, ThreadPool, as_completed, join_all, join_all_ok, promise,
    race, wait_any, when_all,
};
use std::error::Error;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

pub(crate) const MAX_WORKERS: usize = 6;
pub(crate) const SPARES: usize = 8;
const KEYS: u64 = 8;
const SECOND: Duration = Duration::from_secs(1);

static TAG: ContextVar<u64> = ContextVar::new(0);

/// A semaphore, with the book about it.
pub(crate) struct Permits {
    pub(crate) gate: Semaphore,
    pub(crate) at_once: Arc<AtOnce>,
    pub(crate) permits: u32,
}

impl Permits {
    fn new(books: &Arc<Books>, what: &'static str, permits: u32) -> Result<Self, LimitError> {
        Ok(Self {
            gate: Semaphore::new(permits)?,
            at_once: AtOnce::new(books, what, permits),
            permits,
        })
    }
}

/// A rate limiter, with the book about it.
pub(crate) struct Rate {
    pub(crate) gate: RateLimiter,
    pub(crate) starts: Arc<Starts>,
}

impl Rate {
    fn bucket(
        books: &Arc<Books>,
        what: &'static str,
        rate: u32,
        burst: u32,
    ) -> Result<Self, LimitError> {
        let starts = Starts::new(books, what, rate.into(), burst.into());
        let gate = RateLimiter::token_bucket(rate, SECOND)
            .burst(burst)
            .build()?;
        Ok(Self { gate, starts })
    }
}

/// What a body does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Does {
    Nothing,
    Work,
    /// Waits for children, whose bodies wait for children, and so on, so many levels deep.
    Wait(u64),
}

/// What the body of a task must note about a gate that it has passed.
enum Passed {
    Permit(Arc<AtOnce>),
    Start(Arc<Starts>, u32),
}

impl Passed {
    fn note(&self) -> Option<Inside<'_>> {
        match self {
            Self::Permit(at_once) => Some(at_once.enter()),
            Self::Start(starts, weight) => {
                starts.count(*weight);
                None
            }
        }
    }
}

/// Gates of short lines.
pub(crate) struct Gates {
    pub(crate) narrow: Permits,
    wide: Permits,
    quick: Rate,
    keyed: Keyed<u64, Semaphore>,
    lanes: Lanes<u64>,
    of_key: Vec<Arc<AtOnce>>,
    of_lane: Vec<Arc<AtOnce>>,
}

impl Gates {
    fn new(books: &Arc<Books>) -> Result<Self, LimitError> {
        let of_keys = |what| (0..KEYS).map(|_| AtOnce::new(books, what, 1)).collect();
        Ok(Self {
            narrow: Permits::new(books, "narrow", 1)?,
            wide: Permits::new(books, "wide", 5)?,
            quick: Rate::bucket(books, "quick", 20_000, 100)?,
            keyed: Semaphore::keyed(1)?,
            lanes: Lanes::new(),
            of_key: of_keys("a key"),
            of_lane: of_keys("a lane"),
        })
    }

    /// None of them, one or several.
    fn add_some(&self, rng: &mut Rng, mut task: TaskBuilder) -> (TaskBuilder, Vec<Passed>) {
        let mut passed = Vec::new();
        for permits in [&self.narrow, &self.wide] {
            if rng.once_in(6) {
                task = task.gate(&permits.gate);
                passed.push(Passed::Permit(permits.at_once.clone()));
            }
        }
        let key = rng.below(KEYS);
        if rng.once_in(6) {
            task = task.gate(&self.keyed.key(key));
            passed.push(Passed::Permit(self.of_key[key as usize].clone()));
        }
        if rng.once_in(6) {
            task = task.gate(&self.lanes.key(key));
            passed.push(Passed::Permit(self.of_lane[key as usize].clone()));
        }
        if rng.once_in(6) {
            let weight = 1 + rng.below(5) as u32;
            task = task.gate(&self.quick.gate.weight(weight).unwrap());
            passed.push(Passed::Start(self.quick.starts.clone(), weight));
        }
        (task, passed)
    }
}

pub(crate) struct Soak {
    pub(crate) books: Arc<Books>,
    pool: PoolHandle,
    /// Its queue is bounded.
    second: PoolHandle,
    /// The line of each is tens of thousands long.
    pub(crate) bucket: Rate,
    pub(crate) window: Rate,
    /// For tasks from outside and for children: one may stand in line behind the other.
    pub(crate) gates: Gates,
    by_hand: Permits,
}

impl Soak {
    pub(crate) fn new(
        books: &Arc<Books>,
    ) -> Result<(Arc<Self>, ThreadPool, ThreadPool), Box<dyn Error>> {
        let pool = ThreadPool::builder()
            .workers(4)
            .max_threads(4 + SPARES)
            .build()?;
        let second = ThreadPool::builder().workers(2).max_threads(2 + SPARES);
        let second = second.queue_capacity(64).on_full(OnFull::Block).build()?;
        // 200 in each interval of 20 ms, so at most 200 more than the rate in the whole run.
        let starts = Starts::new(books, "window", 10_000.0, 200.0);
        let gate = RateLimiter::sliding_window(200, SECOND / 50)
            .and(9_000, SECOND)
            .build()?;
        let soak = Self {
            books: books.clone(),
            pool: pool.handle(),
            second: second.handle(),
            bucket: Rate::bucket(books, "bucket", 10_000, 50)?,
            window: Rate { gate, starts },
            gates: Gates::new(books)?,
            by_hand: Permits::new(books, "by hand", 2)?,
        };
        Ok((Arc::new(soak), pool, second))
    }

    /// All semaphores, with how many permits each has.
    pub(crate) fn semaphores(&self) -> Vec<(Semaphore, u32)> {
        let mut all = vec![&self.by_hand];
        all.extend([&self.gates.narrow, &self.gates.wide]);
        let keyed = (0..KEYS).map(|key| (self.gates.keyed.key(key), 1));
        let all = all
            .into_iter()
            .map(|permits| (permits.gate.clone(), permits.permits));
        all.chain(keyed).collect()
    }

    pub(crate) fn limiters(&self) -> [&Rate; 3] {
        [&self.bucket, &self.window, &self.gates.quick]
    }

    /// How many tasks and threads wait at gates.
    pub(crate) fn waiting(&self) -> usize {
        let lanes = (0..KEYS).map(|key| self.gates.lanes.key(key).waiting());
        let permits = self
            .semaphores()
            .into_iter()
            .map(|(gate, _)| gate.waiting());
        let rates = self.limiters().map(|rate| rate.gate.waiting());
        lanes.chain(permits).chain(rates).sum()
    }

    /// Counts the task among those that must settle.
    pub(crate) fn watch<T: Send + 'static>(&self, handle: TaskHandle<T>) -> TaskHandle<T> {
        self.books.watched.fetch_add(1, SeqCst);
        let closure = Closure::new(&self.books);
        let callback = handle.on_finish(move |_| {
            closure.books().settled.fetch_add(1, SeqCst);
        });
        drop(callback); // It stays.
        handle
    }

    /// The value, or 0. All errors may happen here but one: no task waits in a circle.
    pub(crate) fn value<T: Into<u64>>(&self, outcome: Result<T, TaskError>) -> u64 {
        if let Err(TaskError::WouldDeadlock(circle)) = &outcome {
            self.books.broken(&circle.to_string());
        }
        outcome.map_or(0, Into::into)
    }

    fn sum(&self, outcomes: impl IntoIterator<Item = Result<u64, TaskError>>) -> u64 {
        outcomes
            .into_iter()
            .map(|outcome| self.value(outcome))
            .sum()
    }

    /// Counts the closure of a continuation, a stage or a map.
    fn counted<A, R, F>(&self, f: F) -> impl Fn(A) -> R + Send + Sync + use<A, R, F>
    where
        F: Fn(A) -> R + Send + Sync,
    {
        let closure = Closure::new(&self.books);
        move |a| {
            let _ran = closure.runs();
            f(a)
        }
    }

    /// The body of a task.
    fn body(
        self: &Arc<Self>,
        rng: &mut Rng,
        does: Does,
        passed: Vec<Passed>,
    ) -> impl Fn() -> u64 + Send + Sync + use<> {
        let (soak, closure, seed) = (self.clone(), Closure::new(&self.books), rng.next());
        move || {
            let _ran = closure.runs();
            let _inside: Vec<_> = passed.iter().map(Passed::note).collect();
            let attempt = millhand::current().map_or(0, |me| me.attempt());
            let mut rng = Rng::new(seed ^ u64::from(attempt));
            match does {
                Does::Nothing => 1,
                Does::Work => soak.work(&mut rng),
                Does::Wait(depth) => soak.wait_for_children(&mut rng, depth),
            }
        }
    }

    /// The body of a task without gates.
    pub(crate) fn plain(
        self: &Arc<Self>,
        rng: &mut Rng,
        does: Does,
    ) -> impl Fn() -> u64 + Send + Sync + use<> {
        self.body(rng, does, Vec::new())
    }

    /// A task with some of all options.
    pub(crate) fn submit(self: &Arc<Self>, rng: &mut Rng, does: Does) -> TaskHandle<u64> {
        let (task, passed) = self.options(rng, does);
        let body = self.body(rng, does, passed);
        if !rng.once_in(8) {
            return self.watch(task.submit(body));
        }
        let policy = Retry::exponential(3, Duration::from_millis(1)).jitter(Jitter::Full);
        let retried = task.retry(policy).retry_panics(rng.once_in(2));
        let seed = rng.next();
        let mut attempts = Rng::new(seed);
        let retried = retried.submit(move || match body() {
            n if attempts.once_in(2) => Ok(n),
            _ => Err("again"),
        });
        let value = self.counted(|outcome: Result<u64, &str>| outcome.unwrap_or(0));
        self.watch(self.watch(retried).map(value))
    }

    fn options(self: &Arc<Self>, rng: &mut Rng, does: Does) -> (TaskBuilder, Vec<Passed>) {
        let (mut task, passed) = match does {
            Does::Work => self.gates.add_some(rng, self.pool.task()),
            _ => (self.pool.task(), Vec::new()),
        };
        if rng.once_in(4) {
            task = task.name("named");
        }
        if rng.once_in(3) {
            // One below 0 would hold up its lane until a worker looks at it.
            let lowest = if passed.is_empty() { -2 } else { 0 };
            task = task.priority(lowest + rng.below(5) as i32);
        }
        if rng.once_in(8) {
            task = task.delay(rng.micros(5_000));
        }
        if rng.once_in(12) {
            task = task.expires(rng.micros(40_000));
        }
        if rng.once_in(12) {
            task = task.attempt_timeout(rng.micros(10_000));
        }
        if rng.once_in(12) {
            task = task.deadline(rng.micros(200_000) + Duration::from_millis(40));
        }
        if rng.once_in(12) {
            task = task.token(&CancelToken::with_timeout(rng.micros(20_000)));
        }
        (task, passed)
    }

    /// What a body without children does.
    fn work(self: &Arc<Self>, rng: &mut Rng) -> u64 {
        match rng.below(24) {
            0 => resume_unwind(Box::new("meant")), // The panic hook is not called.
            1 | 2 => _ = millhand::sleep(rng.micros(3_000)),
            3 => {
                let pause = rng.micros(1_000);
                millhand::blocking(|| std::thread::sleep(pause));
            }
            4 => {
                for _ in 0..rng.below(1_000) {
                    millhand::checkpoint();
                    std::hint::spin_loop();
                }
            }
            5 => {
                if let Ok(permit) = self.by_hand.gate.acquire() {
                    let inside = self.by_hand.at_once.enter();
                    _ = millhand::sleep(rng.micros(200));
                    drop((inside, permit));
                }
            }
            6 => {
                let quick = &self.gates.quick;
                if quick.gate.acquire_timeout(2, rng.micros(2_000)).is_ok() {
                    quick.starts.count(2);
                }
            }
            7 | 8 => {
                let outcome = self.submit_to_second(rng).join();
                return self.value(outcome);
            }
            9 => self.execute(rng, Does::Nothing),
            10 => {
                // Before the token is cancelled, or at once, or never.
                let closure = Closure::new(&self.books);
                let me = millhand::current().map(|me| me.token()).unwrap_or_default();
                let hook = me.on_cancel(move |_| drop(closure));
                millhand::check().ok();
                drop(hook);
            }
            11 | 12 => (0..rng.below(3_000)).for_each(|_| std::hint::spin_loop()),
            _ => {}
        }
        1
    }

    pub(crate) fn execute(self: &Arc<Self>, rng: &mut Rng, does: Does) {
        let body = self.plain(rng, does);
        // Refused only where the pool is over.
        self.pool.execute(move || _ = body());
    }

    /// Waits for a place in the queue.
    pub(crate) fn submit_to_second(self: &Arc<Self>, rng: &mut Rng) -> TaskHandle<u64> {
        if !rng.once_in(4) {
            return self.watch(self.second.submit(self.plain(rng, Does::Nothing)));
        }
        let task = self.second.task().gate(&self.by_hand.gate);
        let passed = vec![Passed::Permit(self.by_hand.at_once.clone())];
        self.watch(task.submit(self.body(rng, Does::Nothing, passed)))
    }

    /// Behind both long lines, or one of them.
    pub(crate) fn execute_in_line(self: &Arc<Self>, rng: &mut Rng) {
        let mut task = self.pool.task().priority(rng.below(3) as i32 - 1);
        let mut passed = Vec::new();
        let which = rng.below(10);
        if which < 6 {
            let weight = 1 + rng.below(3) as u32;
            task = task.gate(&self.bucket.gate.weight(weight).unwrap());
            passed.push(Passed::Start(self.bucket.starts.clone(), weight));
        }
        if which >= 5 {
            task = task.gate(&self.window.gate);
            passed.push(Passed::Start(self.window.starts.clone(), 1));
        }
        if rng.once_in(20) {
            task = task.gate(&self.gates.wide.gate);
            passed.push(Passed::Permit(self.gates.wide.at_once.clone()));
        }
        if rng.once_in(10) {
            task = task.expires(rng.micros(2_000_000));
        }
        let body = self.body(rng, Does::Nothing, passed);
        if rng.once_in(10) {
            // The drop of the handle cancels the task, in the line or before it is there.
            drop(self.watch(task.submit(body)).cancel_on_drop());
        } else {
            task.execute(move || _ = body());
        }
    }

    /// Continues the child, with an error if its value is even.
    fn odd(&self, child: TaskHandle<u64>) -> TaskHandle<Result<u64, &'static str>> {
        let odd = self.counted(|n: u64| if n % 2 == 1 { Ok(n) } else { Err("even") });
        self.watch(child.map(odd))
    }

    /// What a body with children does, and a thread outside, too.
    pub(crate) fn wait_for_children(self: &Arc<Self>, rng: &mut Rng, depth: u64) -> u64 {
        let below = match depth {
            1 => Does::Work,
            _ => Does::Wait(depth - 1),
        };
        let n = 1 + rng.below(4);
        let pause = rng.micros(500);
        let kind = rng.below(20);
        let mut children =
            || -> Vec<TaskHandle<u64>> { (0..n).map(|_| self.submit(rng, below)).collect() };
        match kind {
            0 => self.sum(children().into_iter().map(TaskHandle::join)),
            1 => {
                let in_a_loop = |mut child: TaskHandle<u64>| loop {
                    match child.join_timeout(pause) {
                        Ok(outcome) => return self.value(outcome),
                        Err(unfinished) => child = unfinished,
                    }
                };
                children().into_iter().map(in_a_loop).sum()
            }
            2 => self.sum(as_completed(children()).map(|(_, outcome)| outcome)),
            3 => {
                let completed = as_completed(children()).timeout(pause);
                self.sum(completed.map(|(_, outcome)| outcome))
            }
            4 => self.sum(as_completed(children()).map(|(_, outcome)| outcome).next()),
            5 => {
                let children = children().into_iter().map(TaskHandle::cancel_on_drop);
                let first = wait_any(&children.collect::<Vec<_>>());
                first.ok().flatten().map_or(0, |place| place as u64)
            }
            6 => {
                let children = children();
                let done = wait_until_timeout(&children, Until::FirstError, pause);
                done.map_or(0, |(done, _)| done.len() as u64)
            }
            7 => self.sum(join_all(children())),
            8 => {
                let fallible = children().into_iter().map(|child| self.odd(child));
                join_all_ok(fallible).map_or(0, |values| values.iter().sum())
            }
            9 => {
                let children = children();
                for child in &children {
                    while !child.is_finished() && millhand::sleep(pause).is_ok() {}
                }
                let done = children
                    .into_iter()
                    .filter_map(|child| child.try_join().ok());
                done.map(|outcome| self.value(outcome)).sum()
            }
            10 => {
                let bodies: Vec<_> = (0..n).map(|_| self.plain(rng, below)).collect();
                self.pool.scope(|s| {
                    let tasks: Vec<_> = bodies.iter().map(|body| s.submit(body)).collect();
                    tasks.into_iter().map(|task| self.value(task.join())).sum()
                })
            }
            11 => {
                let bodies: Vec<_> = (0..n).map(|_| self.plain(rng, below)).collect();
                let options = ScopeOptions::fail_fast().timeout(pause * 100);
                let ended = self.pool.scope_with(options, |s| {
                    for body in &bodies {
                        let odd = || match body() % 2 {
                            1 => Ok(()),
                            _ => Err("even"),
                        };
                        s.task().priority(1).submit(odd);
                    }
                    n
                });
                ended.unwrap_or(0)
            }
            12 => {
                let body = self.plain(rng, below);
                let stages = self.pool.pipeline(0..n).stage(2, move |_| body());
                let stages = stages.stage(1, self.counted(|n| n + 1)).buffer(1);
                let mut sum = 0;
                drop(stages.run(|n| sum += n));
                sum
            }
            13 => {
                let body = self.plain(rng, below);
                self.pool.map(0..n, |_| body()).into_iter().sum()
            }
            14 => {
                let body = self.plain(rng, below);
                self.pool
                    .map_iter(0..n, move |_| body())
                    .window(2)
                    .take(3)
                    .sum()
            }
            15 => {
                let next = |child: TaskHandle<u64>| {
                    let soak = self.clone();
                    self.watch(child.then(self.counted(move |outcome| soak.value(outcome))))
                };
                let all: Vec<_> = children().into_iter().map(next).collect();
                let sum = self.counted(|all: Vec<Result<u64, TaskError>>| {
                    all.into_iter().flatten().sum::<u64>()
                });
                self.value(self.watch(when_all(all).then(sum)).join())
            }
            16 => {
                let fallible = children().into_iter().map(|child| self.odd(child));
                race(fallible).unwrap_or(0)
            }
            17 => {
                let shared: Vec<_> = children().into_iter().map(TaskHandle::share).collect();
                let copies = shared.clone();
                let reads = self.counted(move |()| {
                    copies
                        .iter()
                        .filter_map(|copy| copy.join().as_ref().ok())
                        .sum::<u64>()
                });
                let reader = self.watch(self.pool.submit(move || reads(())));
                shared
                    .iter()
                    .for_each(|child| _ = child.join_timeout(pause));
                self.value(reader.join())
            }
            18 => {
                let (promise, promised) = promise();
                let body = self.plain(rng, below);
                // Where the body unwinds, the promise is dropped.
                drop(self.watch(self.pool.submit(move || _ = promise.complete(body()))));
                self.value(self.watch(promised).join())
            }
            _ => {
                let tag = rng.next();
                let seen = TAG.with(tag, || {
                    let get = self.counted(|()| TAG.get());
                    self.watch(self.pool.submit(move || get(()))).join()
                });
                let sees = seen.is_err() || self.value(seen) == tag;
                check!(self.books, sees, "a child has other context variables");
                1
            }
        }
    }
}
