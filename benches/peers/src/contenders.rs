//! All contenders behind one trait, each through the calls that its own documentation recommends.
//!
//! If a peer has no handle of its own, the result comes back through the `oneshot` crate: the
//! fastest way that a user would find. The bare channel uses it too.

use crossbeam_channel::{Sender, unbounded};
use qubit_executor::service::ExecutorService;
use std::time::Duration;

pub const MILLHAND: &str = "millhand";
pub const BARE: &str = "bare";
pub const THREADPOOL: &str = "threadpool";
pub const RAYON: &str = "rayon";
pub const RUSTY_POOL: &str = "rusty_pool";
pub const SCHEDULED: &str = "scheduled-thread-pool";
pub const QUBIT: &str = "qubit-thread-pool";
pub const TOKIO: &str = "tokio";
pub const THREADS: &str = "thread-per-task";

/// All contenders that take tasks, ours first.
pub const ALL: &[&str] = &[
    MILLHAND, BARE, THREADPOOL, RAYON, RUSTY_POOL, SCHEDULED, QUBIT, TOKIO, THREADS,
];

/// All contenders that have workers: all but the last.
pub const POOLS: &[&str] = ALL.split_last().unwrap().1;

/// What a row needs of a contender. A refusal or a panic ends the process, because no row
/// measures them.
pub trait Pool: Send + Sync + Sized + 'static {
    type Handle<T: Send + 'static>: Send;

    fn new(workers: usize) -> Self;

    fn execute(&self, f: impl FnOnce() + Send + 'static);

    fn submit<T: Send + 'static>(&self, f: impl FnOnce() -> T + Send + 'static) -> Self::Handle<T>;

    fn join<T: Send + 'static>(&self, handle: Self::Handle<T>) -> T;
}

/// Calls a function that is generic over `Pool` for the contender with that name.
macro_rules! with_pool {
    ($contender:expr, $function:ident($($argument:expr),*)) => {{
        use $crate::contenders as c;
        match $contender {
            c::MILLHAND => $function::<c::Millhand>($($argument),*),
            c::BARE => $function::<c::Bare>($($argument),*),
            c::THREADPOOL => $function::<c::Threadpool>($($argument),*),
            c::RAYON => $function::<c::Rayon>($($argument),*),
            c::RUSTY_POOL => $function::<c::RustyPool>($($argument),*),
            c::SCHEDULED => $function::<c::Scheduled>($($argument),*),
            c::QUBIT => $function::<c::Qubit>($($argument),*),
            c::TOKIO => $function::<c::Tokio>($($argument),*),
            c::THREADS => $function::<c::Threads>($($argument),*),
            other => panic!("no pool is called {other:?}"),
        }
    }};
}
pub(crate) use with_pool;

pub type Millhand = millhand::ThreadPool;

impl Pool for Millhand {
    type Handle<T: Send + 'static> = millhand::TaskHandle<T>;

    fn new(workers: usize) -> Self {
        Self::new(workers).unwrap()
    }

    fn execute(&self, f: impl FnOnce() + Send + 'static) {
        // The pool's own, and not this trait's.
        millhand::Pool::execute(self, f);
    }

    fn submit<T: Send + 'static>(&self, f: impl FnOnce() -> T + Send + 'static) -> Self::Handle<T> {
        millhand::Pool::submit(self, f)
    }

    fn join<T: Send + 'static>(&self, handle: Self::Handle<T>) -> T {
        handle.join().unwrap()
    }
}

/// The half of `Pool` for contenders that have no handles.
macro_rules! results_through_oneshot {
    () => {
        type Handle<T: Send + 'static> = oneshot::Receiver<T>;

        fn submit<T: Send + 'static>(
            &self,
            f: impl FnOnce() -> T + Send + 'static,
        ) -> Self::Handle<T> {
            let (put, take) = oneshot::channel();
            self.execute(move || drop(put.send(f())));
            take
        }

        fn join<T: Send + 'static>(&self, handle: Self::Handle<T>) -> T {
            handle.recv().unwrap()
        }
    };
}

/// The least that does the same: threads that run the boxed closures of one channel, until it is
/// dropped.
pub struct Bare(Sender<Box<dyn FnOnce() + Send>>);

impl Pool for Bare {
    results_through_oneshot!();

    fn new(workers: usize) -> Self {
        let (sender, receiver) = unbounded::<Box<dyn FnOnce() + Send>>();
        for _ in 0..workers {
            let receiver = receiver.clone();
            std::thread::spawn(move || receiver.iter().for_each(|task| task()));
        }
        Self(sender)
    }

    fn execute(&self, f: impl FnOnce() + Send + 'static) {
        self.0.send(Box::new(f)).unwrap();
    }
}

pub struct Threadpool(threadpool::ThreadPool);

impl Pool for Threadpool {
    results_through_oneshot!();

    fn new(workers: usize) -> Self {
        Self(threadpool::ThreadPool::new(workers))
    }

    fn execute(&self, f: impl FnOnce() + Send + 'static) {
        self.0.execute(f);
    }
}

/// A rayon pool of its own, not the global one: the row sets the number of workers.
pub struct Rayon(rayon::ThreadPool);

impl Pool for Rayon {
    results_through_oneshot!();

    fn new(workers: usize) -> Self {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(workers);
        Self(pool.build().unwrap())
    }

    fn execute(&self, f: impl FnOnce() + Send + 'static) {
        self.0.spawn(f);
    }
}

pub struct RustyPool(rusty_pool::ThreadPool);

impl Pool for RustyPool {
    type Handle<T: Send + 'static> = rusty_pool::JoinHandle<T>;

    fn new(workers: usize) -> Self {
        let pool = rusty_pool::ThreadPool::new(workers, workers, Duration::from_secs(60));
        pool.start_core_threads();
        Self(pool)
    }

    fn execute(&self, f: impl FnOnce() + Send + 'static) {
        self.0.execute(f);
    }

    fn submit<T: Send + 'static>(&self, f: impl FnOnce() -> T + Send + 'static) -> Self::Handle<T> {
        self.0.evaluate(f)
    }

    fn join<T: Send + 'static>(&self, handle: Self::Handle<T>) -> T {
        handle.await_complete()
    }
}

pub struct Scheduled(scheduled_thread_pool::ScheduledThreadPool);

impl Pool for Scheduled {
    results_through_oneshot!();

    fn new(workers: usize) -> Self {
        Self(scheduled_thread_pool::ScheduledThreadPool::new(workers))
    }

    fn execute(&self, f: impl FnOnce() + Send + 'static) {
        self.0.execute(f);
    }
}

/// The pool with a fixed number of workers. The dynamic pool of the same crate does more per
/// task.
pub struct Qubit(qubit_thread_pool::FixedThreadPool);

impl Pool for Qubit {
    type Handle<T: Send + 'static> = qubit_executor::TaskHandle<T, ()>;

    fn new(workers: usize) -> Self {
        Self(qubit_thread_pool::FixedThreadPool::new(workers).unwrap())
    }

    fn execute(&self, f: impl FnOnce() + Send + 'static) {
        self.0.submit(once(f)).unwrap();
    }

    fn submit<T: Send + 'static>(&self, f: impl FnOnce() -> T + Send + 'static) -> Self::Handle<T> {
        self.0.submit_callable(once(f)).unwrap()
    }

    fn join<T: Send + 'static>(&self, handle: Self::Handle<T>) -> T {
        handle.get().unwrap()
    }
}

/// This pool takes closures that can be called several times. Ours can be called once.
fn once<T>(f: impl FnOnce() -> T) -> impl FnMut() -> Result<T, ()> {
    let mut f = Some(f);
    move || f.take().map(|f| f()).ok_or(())
}

/// The blocking pool of a runtime, joined from threads that are not the runtime's.
pub struct Tokio(tokio::runtime::Runtime);

impl Pool for Tokio {
    type Handle<T: Send + 'static> = tokio::task::JoinHandle<T>;

    fn new(workers: usize) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(workers)
            .build();
        Self(runtime.unwrap())
    }

    fn execute(&self, f: impl FnOnce() + Send + 'static) {
        drop(self.0.spawn_blocking(f));
    }

    fn submit<T: Send + 'static>(&self, f: impl FnOnce() -> T + Send + 'static) -> Self::Handle<T> {
        self.0.spawn_blocking(f)
    }

    fn join<T: Send + 'static>(&self, handle: Self::Handle<T>) -> T {
        self.0.block_on(handle).unwrap()
    }
}

/// No pool: a thread per task, however many tasks there are.
pub struct Threads;

impl Pool for Threads {
    type Handle<T: Send + 'static> = std::thread::JoinHandle<T>;

    fn new(_workers: usize) -> Self {
        Self
    }

    fn execute(&self, f: impl FnOnce() + Send + 'static) {
        std::thread::spawn(f);
    }

    fn submit<T: Send + 'static>(&self, f: impl FnOnce() -> T + Send + 'static) -> Self::Handle<T> {
        std::thread::spawn(f)
    }

    fn join<T: Send + 'static>(&self, handle: Self::Handle<T>) -> T {
        handle.join().unwrap()
    }
}
