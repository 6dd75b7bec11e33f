//! What concerns the whole process, so that each test runs in a copy of this program: the logger, and the threads
//! that call user code for a time-out.

use crate::handle::{keep_busy, must_join};
use crate::manual::{Manual, S, until};
use crate::support::{LONG, SCENARIO, in_a_copy, must_recv};
use log::{Level, LevelFilter, Log, Metadata, Record};
use millhand::cancel::CancelGuard;
use millhand::observe::Event;
use millhand::testing::ManualClock;
use millhand::{CancelToken, Retry, ScopeOptions, Shutdown, TaskError, ThreadPool, current};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Duration;

fn alone(scenario: &str) {
    in_a_copy("alone::the_copy", scenario);
}

/// What the copy runs. Nothing when it is not a copy.
#[test]
fn the_copy() {
    match std::env::var(SCENARIO).as_deref() {
        Ok("logger") => logger_that_panics(),
        Ok("wakers") => crowd_of_wakers(),
        Ok("hooks") => crowd_of_hooks(),
        Ok("other") => waker_that_waits_for_another(),
        Ok("removed") => hook_removed_before_its_turn(),
        Ok("watchdog") => what_the_watchdog_and_a_late_shutdown_log(),
        Ok(other) => panic!("no such scenario: {other}"),
        Err(_) => {}
    }
}

/// Keeps what was logged. Panics after that, if it is told to.
struct Logger {
    panics: AtomicBool,
    records: Mutex<Vec<(Level, String)>>,
}

static LOGGER: Logger = Logger {
    panics: AtomicBool::new(false),
    records: Mutex::new(Vec::new()),
};

impl Logger {
    fn install(panics: bool) {
        LOGGER.panics.store(panics, SeqCst);
        log::set_logger(&LOGGER).unwrap();
        log::set_max_level(LevelFilter::Trace);
    }

    fn has(level: Level, part: &str) -> bool {
        let records = LOGGER.records.lock().unwrap();
        records
            .iter()
            .any(|(of, text)| *of == level && text.contains(part))
    }
}

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let text = record.args().to_string();
        self.records.lock().unwrap().push((record.level(), text));
        assert!(!self.panics.load(SeqCst), "the logger fails");
    }

    fn flush(&self) {}
}

#[test]
fn a_logger_that_panics_stops_no_thread_and_hangs_no_pool() {
    alone("logger");
}

/// Drops its value while the thread unwinds.
struct Holds<T>(Option<T>);

impl<T> Drop for Holds<T> {
    fn drop(&mut self) {
        assert!(thread::panicking());
        drop(self.0.take());
    }
}

fn logger_that_panics() {
    Logger::install(true);
    let (tell, told) = mpsc::channel();
    let pool = ThreadPool::builder()
        .workers(1)
        .max_threads(1)
        .on_worker_start(|_| panic!("a hook"))
        .build()
        .unwrap();
    // A worker: a panic that nobody reads, the attempt after a failed one, a failure that nobody reads.
    pool.execute(|| panic!("unread"));
    let mut fails = true;
    let retry = pool.task().retry(Retry::fixed(1, Duration::ZERO));
    let handle = retry.submit(move || {
        if std::mem::take(&mut fails) {
            Err("the first time")
        } else {
            Ok(())
        }
    });
    assert!(must_join(handle).unwrap().is_ok());
    drop(pool.task().fallible().submit(|| Err::<(), _>("unread")));
    // While a body unwinds already.
    let panicked = pool.submit(|| panic!("unread, too"));
    panicked.wait().unwrap();
    let holds = Holds(Some(panicked));
    let handle = pool.submit(move || {
        let _holds = holds;
        panic!("with a handle")
    });
    assert!(matches!(
        must_join::<()>(handle),
        Err(TaskError::Panicked(_))
    ));
    // A canceller, with a hook that panics.
    let token = CancelToken::new();
    let _guard = token.on_cancel(|_| panic!("a hook"));
    token.cancel();
    // A thread that calls hooks for a deadline.
    let token = CancelToken::with_timeout(Duration::from_millis(1));
    let _first = token.on_cancel(|_| panic!("a hook"));
    let _second = token.on_cancel(move |_| tell.send(()).unwrap());
    must_recv(&told);
    // A scope, and a body that waits at the bound of threads.
    let options = ScopeOptions::collect_all();
    let ended = pool.scope_with(options, |s| {
        drop(s.submit(|| Err::<(), _>("no")));
    });
    assert!(ended.is_err());
    let busy = pool.submit(move || {
        let pool = current().unwrap().pool();
        pool.execute(|| ());
        millhand::sleep(Duration::from_millis(1)).unwrap();
    });
    must_join(busy).unwrap();
    // The drop of a pool, and of one while its thread unwinds.
    pool.task().delay(LONG).execute(|| ());
    assert_eq!(must_join(pool.submit(|| 7)).unwrap(), 7);
    pool.wait_idle_timeout(Duration::ZERO).unwrap();
    drop(pool);
    let other = ThreadPool::new(1).unwrap();
    other.task().delay(LONG).execute(|| ());
    let holds = Holds(Some(other));
    let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _holds = holds;
        panic!("with a pool")
    }));
    assert!(unwound.is_err());
    for (level, part) in [
        (Level::Error, "unread, and no handle"),
        (Level::Error, "unread, too, and no handle"),
        (Level::Error, "on_worker_start"),
        (Level::Error, "on_cancel hook"),
        (Level::Error, "failed: unread, and no handle"),
        (Level::Warn, "a pool was dropped"),
        (Level::Debug, "goes for attempt 2"),
    ] {
        assert!(Logger::has(level, part), "{part}: {:?}", LOGGER.records);
    }
}

#[test]
fn slow_tasks_a_queue_that_stands_still_and_a_late_shutdown_are_logged_with_what_runs() {
    alone("watchdog");
}

fn what_the_watchdog_and_a_late_shutdown_log() {
    Logger::install(false);
    let clock = ManualClock::new();
    let pool = ThreadPool::builder()
        .workers(1)
        .max_threads(1)
        .clock(&clock)
        .slow_task(Duration::from_secs(10))
        .stalled(Duration::from_secs(10))
        .observer(|_: &Event| panic!("an observer"))
        .build()
        .unwrap();
    let (go, wait) = mpsc::channel::<()>();
    let (tell, told) = mpsc::channel();
    pool.task().name("import").execute(move || {
        tell.send(()).unwrap();
        let _ = wait.recv();
    });
    must_recv(&told);
    pool.task().name("next").execute(|| ());
    let has = |part: &str| Logger::has(Level::Warn, part);
    while !has("the head of the queue has waited for") {
        clock.advance(Duration::from_millis(500));
        thread::yield_now();
    }
    assert!(has("`import` (submitted at tests/it/alone.rs:") && has("has run for "));
    assert!(has("the oldest that is listed: task") && has("`next`"));
    assert!(has("worker 0 is busy: task"), "what the workers do");
    let how = Shutdown::drain().give_up_after(Duration::from_nanos(1));
    let late = thread::spawn(move || {
        let report = pool.shutdown(how).unwrap();
        (pool, report)
    });
    while !late.is_finished() {
        clock.advance(Duration::from_secs(1));
        thread::yield_now();
    }
    let (pool, report) = late.join().unwrap();
    assert_eq!(report.still_running().len(), 1);
    assert!(has("a shutdown ran out of time"), "{:?}", LOGGER.records);
    let records = LOGGER.records.lock().unwrap().clone();
    let dump = records
        .iter()
        .find(|(_, text)| text.contains("ran out of time"));
    let text = &dump.unwrap().1;
    assert!(
        text.contains("pool `millhand`") && text.contains("`import`"),
        "{text}"
    );
    assert!(Logger::has(
        Level::Error,
        "an observer, which is switched off for that, panicked"
    ));
    drop(go);
    drop(pool);
}

/// What user code waits at, and how many threads were in it at once.
#[derive(Default)]
struct Barrier {
    is_open: Mutex<bool>,
    opened: Condvar,
    inside: AtomicUsize,
    most: AtomicUsize,
    passed: AtomicUsize,
}

impl Barrier {
    fn pass(&self) {
        let inside = self.inside.fetch_add(1, SeqCst) + 1;
        self.most.fetch_max(inside, SeqCst);
        let is_open = self.is_open.lock().unwrap();
        drop(
            self.opened
                .wait_while(is_open, |is_open| !*is_open)
                .unwrap(),
        );
        self.inside.fetch_sub(1, SeqCst);
        self.passed.fetch_add(1, SeqCst);
    }

    fn open(&self) {
        *self.is_open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    /// Opens once four threads are inside, and checks that never more were.
    fn open_at_four(&self, all: usize) {
        until("four threads inside", || self.inside.load(SeqCst) == 4);
        self.open();
        until("all have passed", || self.passed.load(SeqCst) == all);
        assert_eq!(self.most.load(SeqCst), 4);
    }
}

impl Wake for Barrier {
    fn wake(self: Arc<Self>) {
        self.pass();
    }
}

#[test]
fn the_wakers_of_a_thousand_time_outs_run_on_four_threads_and_no_time_out_waits_for_them() {
    alone("wakers");
}

fn crowd_of_wakers() {
    const MANY: usize = 1_000;
    Logger::install(false);
    let pool = Manual::new(1);
    let busy = keep_busy(&pool);
    let barrier = Arc::new(Barrier::default());
    let waker = Waker::from(barrier.clone());
    let task = pool.task().expires(S);
    let mut handles: Vec<_> = (0..MANY).map(|_| task.submit(|| ())).collect();
    for handle in &mut handles {
        let polled = Pin::new(handle).poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
    }
    pool.advance(S);
    until("all have timed out", || {
        handles.iter().all(|h| h.is_finished())
    });
    barrier.open_at_four(MANY);
    assert!(Logger::has(
        Level::Warn,
        "the waker of the task submitted at tests"
    ));
    assert!(Logger::has(Level::Warn, "thread 4 of at most 4"));
    drop(busy);
}

#[test]
fn the_hooks_of_a_thousand_deadlines_run_on_four_threads_and_no_deadline_waits_for_them() {
    alone("hooks");
}

/// A body whose token has `hooks` that pass the barrier, and whose time is over. Returns their guards.
fn timed_out_with_hooks(pool: &Manual, hooks: usize, barrier: &Arc<Barrier>) -> Vec<CancelGuard> {
    let (tell, told) = mpsc::channel();
    let barrier = barrier.clone();
    let body = move || {
        let token = current().unwrap().token();
        let guards = (0..hooks).map(|_| {
            let barrier = barrier.clone();
            token.on_cancel(move |_| barrier.pass())
        });
        tell.send(guards.collect()).unwrap();
        token.wait().unwrap();
    };
    let handle = pool.task().deadline(S).submit(body);
    let guards = must_recv(&told);
    pool.advance(S);
    assert!(matches!(must_join(handle), Err(TaskError::TimedOut)));
    guards
}

fn crowd_of_hooks() {
    const MANY: usize = 1_000;
    let barrier = Arc::new(Barrier::default());
    let pool = Manual::new(1);
    let guards = timed_out_with_hooks(&pool, MANY, &barrier);
    until("four threads inside", || barrier.inside.load(SeqCst) == 4);
    // A thread that waits by another clock is woken by the alarm.
    let late = CancelToken::with_timeout(Duration::from_millis(1));
    must_join(pool.submit(move || late.wait().unwrap())).unwrap();
    // One that waits at a gate, with a deadline on its token, too.
    let gate = millhand::Semaphore::new(1).unwrap();
    let held = gate.acquire().unwrap();
    let token = CancelToken::with_timeout(Duration::from_millis(50));
    let system = ThreadPool::new(1).unwrap();
    let waits = system
        .task()
        .token(&token)
        .submit(move || gate.acquire().is_err());
    if let Ok(stopped) = must_join(waits) {
        assert!(stopped);
    }
    drop(held);
    barrier.open_at_four(MANY);
    drop(guards);
}

#[test]
fn a_waker_may_wait_for_another() {
    alone("other");
}

/// Wakes once two threads are here.
struct Pair(std::sync::Barrier);

impl Wake for Pair {
    fn wake(self: Arc<Self>) {
        self.0.wait();
    }
}

fn waker_that_waits_for_another() {
    Logger::install(false);
    let pool = Manual::new(1);
    let busy = keep_busy(&pool);
    let pair = Arc::new(Pair(std::sync::Barrier::new(3)));
    let waker = Waker::from(pair.clone());
    let mut handles: Vec<_> = (0..2)
        .map(|_| pool.task().expires(S).submit(|| ()))
        .collect();
    for handle in &mut handles {
        let polled = Pin::new(handle).poll(&mut Context::from_waker(&waker));
        assert!(polled.is_pending());
    }
    pool.advance(S);
    pair.0.wait();
    assert!(Logger::has(
        Level::Warn,
        "the waker of the task submitted at tests"
    ));
    drop(busy);
}

#[test]
fn a_hook_that_waits_for_a_thread_is_removed_with_its_guard() {
    alone("removed");
}

fn hook_removed_before_its_turn() {
    let barrier = Arc::new(Barrier::default());
    let pool = Manual::new(1);
    let guards = timed_out_with_hooks(&pool, 6, &barrier);
    until("four threads inside", || barrier.inside.load(SeqCst) == 4);
    drop(guards);
    barrier.open_at_four(4);
    // What is filed later is called after what was filed before.
    let (tell, told) = mpsc::channel();
    let token = CancelToken::with_timeout(Duration::from_millis(1));
    let _guard = token.on_cancel(move |_| tell.send(()).unwrap());
    must_recv(&told);
    assert_eq!(barrier.passed.load(SeqCst), 4);
}
