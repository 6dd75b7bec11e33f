//! Observers: which events each task has and in which order, and what an observer that misbehaves does.

use crate::handle::keep_busy;
use crate::support::{LONG, must_recv};
use millhand::observe::{Buffered, Event, Observer};
use millhand::task::{OutcomeKind, TaskId, TaskLabel};
use millhand::testing::ManualClock;
use millhand::{Every, Retry, Semaphore, Shutdown, TaskError, ThreadPool, pool::PoolBuilder};
use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

/// Keeps all events.
#[derive(Clone, Default)]
pub(crate) struct Record(Arc<Mutex<Vec<Event>>>);

impl Observer for Record {
    fn on_event(&self, event: &Event) {
        self.0.lock().unwrap().push(event.clone());
    }
}

impl Record {
    pub(crate) fn all(&self) -> Vec<Event> {
        self.0.lock().unwrap().clone()
    }

    /// The names of the events of one task, in their order.
    pub(crate) fn of(&self, id: TaskId) -> Vec<&'static str> {
        let is_of = |event: &&Event| event.task().is_some_and(|task| task.id == id);
        self.all().iter().filter(is_of).map(Event::name).collect()
    }

    fn named(&self, name: &str) -> Vec<Event> {
        let all = self.all().into_iter();
        all.filter(|event| event.name() == name).collect()
    }
}

fn observed(workers: usize) -> (PoolBuilder, Record) {
    let record = Record::default();
    let builder = ThreadPool::builder().workers(workers);
    (builder.observer(record.clone()), record)
}

#[test]
fn each_way_of_a_task_has_its_events_in_their_order() {
    let clock = ManualClock::new();
    let (builder, record) = observed(1);
    let pool = builder.clock(&clock).build().unwrap();
    let second = Duration::from_secs(1);
    let expect = |id: TaskId, names: &[&str]| {
        pool.wait_idle().unwrap();
        assert_eq!(record.of(id), names);
    };

    let plain = pool.submit(|| 1);
    let id = plain.id();
    assert_eq!(plain.join().unwrap(), 1);
    expect(id, &["submitted", "started", "succeeded"]);

    let failed = pool.task().fallible().submit(|| Err::<(), _>("no route"));
    let id = failed.id();
    failed.join_ok().unwrap_err();
    expect(id, &["submitted", "started", "failed"]);

    let panicked = pool.submit(|| -> () { panic!("no digits") });
    let id = panicked.id();
    panicked.join().unwrap_err();
    expect(id, &["submitted", "started", "panicked"]);

    let mut attempts = 0;
    let retried = pool
        .task()
        .retry(Retry::fixed(2, Duration::ZERO))
        .submit(move || {
            attempts += 1;
            if attempts < 3 {
                Err(format!("attempt {attempts}"))
            } else {
                Ok(())
            }
        });
    let id = retried.id();
    retried.join_ok().unwrap();
    let twice = ["started", "retrying", "started", "retrying"];
    expect(
        id,
        &[&["submitted"][..], &twice, &["started", "succeeded"]].concat(),
    );

    let delayed = pool.task().delay(second).submit(|| ());
    let id = delayed.id();
    clock.advance(second);
    delayed.join().unwrap();
    expect(id, &["submitted", "scheduled", "started", "succeeded"]);

    let cancelled = pool.task().delay(second).submit(|| ());
    let id = cancelled.id();
    cancelled.cancel();
    expect(id, &["submitted", "scheduled", "cancelled"]);

    let expired = pool.task().delay(second).deadline(second).submit(|| ());
    let id = expired.id();
    let one = Semaphore::new(1).unwrap();
    let taken = one.acquire().unwrap();
    let late = pool.task().gate(&one).expires(second).submit(|| ());
    let late_id = late.id();
    // One that settles before it is reported to wait there has no such event.
    while !record.of(late_id).contains(&"gated") {
        std::thread::yield_now();
    }
    clock.advance(second);
    expired.join().unwrap();
    late.join().unwrap_err();
    expect(id, &["submitted", "scheduled", "started", "succeeded"]);
    expect(late_id, &["submitted", "gated", "expired"]);

    let gated = pool.task().gate(&one).submit(|| ());
    let id = gated.id();
    while gated.state() != millhand::task::TaskState::Gated {
        std::thread::yield_now();
    }
    drop(taken);
    gated.join().unwrap();
    expect(id, &["submitted", "gated", "started", "succeeded"]);

    let (go, wait) = mpsc::channel::<()>();
    let hung = pool.task().total_timeout(second).submit(move || {
        let _ = wait.recv();
    });
    let id = hung.id();
    while !hung.has_started_event(&record) {
        std::thread::yield_now();
    }
    clock.advance(second);
    assert!(matches!(hung.join(), Err(TaskError::TimedOut)));
    drop(go);
    expect(id, &["submitted", "started", "timed_out"]);

    let first = pool.submit(|| 1);
    let next = first.map(|n| n + 1);
    let id = next.id();
    next.join().unwrap();
    expect(id, &["submitted", "started", "succeeded"]);

    pool.close();
    let refused = pool.task().name("late").submit(|| ());
    let id = refused.id();
    assert!(refused.join().unwrap_err().is_rejected());
    expect(id, &["rejected"]);
    pool.execute(|| ());
    assert_eq!(record.named("rejected").len(), 2);
    pool.try_execute(|| ()).unwrap_err();
    assert_eq!(record.named("rejected").len(), 2, "the caller has that one");
}

trait HasStarted {
    fn has_started_event(&self, record: &Record) -> bool;
}

impl<T: Send + 'static> HasStarted for millhand::TaskHandle<T> {
    fn has_started_event(&self, record: &Record) -> bool {
        record.of(self.id()).contains(&"started")
    }
}

#[test]
fn the_last_event_says_why_and_how_long() {
    let clock = ManualClock::new();
    let (builder, record) = observed(1);
    let pool = builder.clock(&clock).build().unwrap();
    let timed = pool.task().name("index").fallible().submit(move || {
        clock.advance(Duration::from_secs(3));
        Err::<(), _>("no disk")
    });
    timed.join_ok().unwrap_err();
    pool.execute(|| panic!("no digits"));
    pool.wait_idle().unwrap();
    let all = record.all();
    let ends: Vec<_> = all.iter().filter_map(Event::summary).collect();
    let [failed, panicked] = ends[..] else {
        panic!("{ends:?}")
    };
    assert_eq!(failed.outcome, OutcomeKind::Failed);
    assert_eq!(failed.error.as_deref(), Some("no disk"));
    assert_eq!(failed.ran, Some(Duration::from_secs(3)));
    assert_eq!(failed.waited, Some(Duration::ZERO));
    assert_eq!(failed.attempts, 1);
    assert_eq!(failed.name.as_deref(), Some("index"));
    assert_eq!(panicked.error.as_deref(), Some("no digits"));
    assert_eq!(
        (panicked.waited, panicked.ran),
        (None, None),
        "it has no name"
    );
}

#[test]
fn retrying_says_which_attempt_failed_and_why() {
    let (builder, record) = observed(1);
    let pool = builder.build().unwrap();
    let flaky = pool
        .task()
        .retry(Retry::fixed(1, Duration::ZERO))
        .retry_panics(true);
    let mut attempts = 0;
    flaky
        .submit(move || {
            attempts += 1;
            assert!(attempts > 1, "the first one");
            Ok::<_, String>(())
        })
        .join_ok()
        .unwrap();
    let retrying = record.named("retrying");
    let [
        Event::Retrying {
            attempt: 1, error, ..
        },
    ] = &retrying[..]
    else {
        panic!("{retrying:?}")
    };
    assert_eq!(&**error, "the first one");
    assert_eq!(pool.stats().retries, 1);
}

#[test]
fn submitted_comes_on_the_thread_that_submits_and_before_a_token_that_is_cancelled() {
    let (tell, told) = mpsc::channel();
    let tell = Mutex::new(tell);
    let pool = ThreadPool::builder()
        .workers(1)
        .observer(move |event: &Event| {
            if let Event::Submitted { .. } | Event::Cancelled(_) = event {
                let here = std::thread::current().id();
                tell.lock().unwrap().send((event.name(), here)).unwrap();
            }
        });
    let pool = pool.build().unwrap();
    let token = millhand::CancelToken::new();
    token.cancel();
    let handle = pool.task().token(&token).submit(|| ());
    assert!(handle.join().unwrap_err().is_cancelled());
    let here = std::thread::current().id();
    assert_eq!(must_recv(&told), ("submitted", here));
    assert_eq!(must_recv(&told), ("cancelled", here));
}

#[test]
fn workers_and_schedules_have_events() {
    let clock = ManualClock::new();
    let (builder, record) = observed(2);
    let pool = builder.clock(&clock).build().unwrap();
    let second = Duration::from_secs(1);
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let every = Every::new(second);
    let slow = pool.task().name("slow").every(every).run(move || {
        let _ = wait.lock().unwrap().recv();
    });
    let slow = slow.unwrap();
    clock.advance(second);
    clock.advance(second);
    // A worker reports what the timer has found.
    while record.named("schedule_skipped").is_empty() {
        std::thread::yield_now();
    }
    drop(go);
    clock.advance(10 * second);
    while record.named("schedule_missed").is_empty() {
        std::thread::yield_now();
    }
    assert!(slow.counts().misses > 0);
    slow.cancel();
    drop(pool);
    let skipped = record.named("schedule_skipped");
    let Event::ScheduleSkipped { name, runs: 1, .. } = &skipped[0] else {
        panic!("{skipped:?}")
    };
    assert_eq!(name.as_deref(), Some("slow"));
    assert_eq!(record.named("worker_started").len(), 2);
    assert_eq!(record.named("worker_stopped").len(), 2);
}

#[test]
fn an_observer_that_panics_is_switched_off_and_the_others_go_on() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let record = Record::default();
    let pool = ThreadPool::builder()
        .workers(1)
        .observer(move |_: &Event| {
            counted.fetch_add(1, SeqCst);
            panic!("an observer")
        })
        .observer(record.clone())
        .build()
        .unwrap();
    for n in 0..10 {
        assert_eq!(pool.submit(move || n).join().unwrap(), n);
    }
    pool.wait_idle().unwrap();
    let all = record.all();
    assert_eq!(
        all.iter()
            .filter(|event| event.name() == "succeeded")
            .count(),
        10
    );
    // Two threads may have called it at once.
    assert!((1..=2).contains(&calls.load(SeqCst)));
}

thread_local! {
    /// How many calls of an observer this thread is in.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// Keeps all events, and does something with the pool at the first one after it was told what.
#[derive(Clone, Default)]
struct Acts {
    record: Record,
    act: Arc<Mutex<Option<Act>>>,
}

type Act = Box<dyn FnOnce() + Send>;

impl Acts {
    /// The event of the worker's start comes on its thread, at any time.
    fn await_worker(&self) {
        while self.record.named("worker_started").is_empty() {
            std::thread::yield_now();
        }
    }
}

impl Observer for Acts {
    fn on_event(&self, event: &Event) {
        assert_eq!(DEPTH.replace(1), 0, "a call within a call");
        let act = self.act.lock().unwrap().take();
        act.into_iter().for_each(|act| act());
        self.record.on_event(event);
        DEPTH.set(0);
    }
}

#[test]
fn what_an_observer_does_with_the_pool_is_reported_to_it_when_its_call_has_returned() {
    let (acts, other) = (Acts::default(), Record::default());
    let pool = ThreadPool::builder().workers(1).observer(acts.clone());
    let pool = pool.observer(other.clone()).build().unwrap();
    acts.await_worker();
    let handle = pool.handle();
    let (tell, told) = mpsc::channel();
    *acts.act.lock().unwrap() = Some(Box::new(move || {
        let _ = (handle.stats(), handle.tasks().to_string());
        handle.execute(|| ());
        let never = handle.task().name("never").delay(LONG).submit(|| ());
        never.cancel();
        tell.send(never.id()).unwrap();
    }));
    let outer = pool.submit(|| ());
    let (outer_id, never) = (outer.id(), must_recv(&told));
    outer.join().unwrap();
    pool.wait_idle().unwrap();
    drop(pool);
    let all = ["submitted", "scheduled", "cancelled"];
    assert_eq!(other.of(never), all);
    assert_eq!(acts.record.of(never), all);
    let all = acts.record.all();
    let place = |id, name| {
        let is_it =
            |event: &Event| event.name() == name && event.task().is_some_and(|task| task.id == id);
        all.iter().position(is_it).unwrap()
    };
    assert!(place(outer_id, "submitted") < place(never, "submitted"));
    let count = |name| acts.record.named(name).len();
    assert_eq!((count("submitted"), count("succeeded")), (3, 2));
}

#[test]
fn the_end_of_a_task_that_an_observer_cancelled_was_not_reported_to_it() {
    let acts = Acts::default();
    let pool = ThreadPool::builder().workers(1).observer(acts.clone());
    let pool = pool.build().unwrap();
    acts.await_worker();
    let [first, second, third] = [(); 3].map(|()| pool.task().delay(LONG).submit(|| ()));
    let ids = [first.id(), second.id(), third.id()];
    *acts.act.lock().unwrap() = Some(Box::new(move || {
        second.cancel();
        third.cancel();
    }));
    first.cancel();
    let all = acts.record.all();
    let ends = all.iter().filter_map(Event::summary);
    assert_eq!(ends.map(|end| end.id).collect::<Vec<_>>(), ids);
}

/// Submits a task before the first attempt of another one, and after it.
#[derive(Clone)]
struct Submits {
    record: Record,
    pool: Arc<Mutex<Option<millhand::PoolHandle>>>,
    handles: mpsc::Sender<millhand::TaskHandle<()>>,
}

impl Observer for Submits {
    fn on_event(&self, event: &Event) {
        self.record.on_event(event);
    }

    fn around(&self, _: &TaskLabel, attempt: &mut dyn FnMut()) {
        let Some(pool) = self.pool.lock().unwrap().take() else {
            return attempt();
        };
        self.handles.send(pool.submit(|| ())).unwrap();
        attempt();
        self.handles.send(pool.submit(|| ())).unwrap();
    }
}

#[test]
fn what_an_observer_submits_around_an_attempt_is_reported_before_the_attempt_joins_it() {
    let (handles, submitted) = mpsc::channel();
    let submits = Submits {
        record: Record::default(),
        pool: Arc::default(),
        handles,
    };
    let pool = ThreadPool::builder().workers(1).observer(submits.clone());
    let pool = pool.build().unwrap();
    *submits.pool.lock().unwrap() = Some(pool.handle());
    let body = pool.submit(move || {
        let before = must_recv(&submitted);
        let id = before.id();
        before.join().unwrap();
        (id, submitted)
    });
    let (before, submitted) = body.join().unwrap();
    must_recv(&submitted).join().unwrap();
    pool.wait_idle().unwrap();
    let all = ["submitted", "started", "succeeded"];
    assert_eq!(submits.record.of(before), all);
    assert_eq!(submits.record.named("submitted").len(), 3);
}

#[test]
fn pools_of_one_builder_shared_the_switch_of_their_observers() {
    let record = Record::default();
    let kept = record.clone();
    let builder = ThreadPool::builder()
        .workers(1)
        .observer(move |event: &Event| {
            kept.on_event(event);
            assert!(event.name() != "panicked", "an observer");
        });
    let bad = builder.clone().build().unwrap();
    let panics: fn() = || panic!("expected");
    bad.submit(panics).join().unwrap_err();
    bad.wait_idle().unwrap();
    let off = bad.submit(|| ());
    assert_eq!(record.of(off.id()), [""; 0]);
    // What was built before or after has its observer still.
    let good = builder.build().unwrap();
    let handle = good.submit(|| ());
    let id = handle.id();
    handle.join().unwrap();
    good.wait_idle().unwrap();
    assert_eq!(record.of(id), ["submitted", "started", "succeeded"]);
}

#[test]
fn an_observer_may_look_into_its_pool_in_each_event() {
    let handle: Arc<Mutex<Option<millhand::PoolHandle>>> = Arc::default();
    let looks = handle.clone();
    let seen: Arc<Mutex<HashSet<&'static str>>> = Arc::default();
    let names = seen.clone();
    let clock = ManualClock::new();
    let second = Duration::from_secs(1);
    let builder = ThreadPool::builder()
        .workers(3)
        .clock(&clock)
        .slow_task(second);
    let builder = builder.stalled(second).track_queue(true);
    let pool = builder.observer(move |event: &Event| {
        names.lock().unwrap().insert(event.name());
        let pool = looks.lock().unwrap().clone();
        if let Some(pool) = pool {
            let _ = (pool.stats().to_string(), pool.dump(), pool.schedules());
            if let Some(task) = event.task() {
                let _ = pool.find(task.id);
            }
        }
    });
    let pool = pool.build().unwrap();
    *handle.lock().unwrap() = Some(pool.handle());
    let one = Semaphore::new(1).unwrap();
    let taken = one.acquire().unwrap();
    pool.submit(|| ()).join().unwrap();
    pool.submit(|| -> () { panic!("no") }).join().unwrap_err();
    let failing = pool.task().retry(Retry::fixed(1, Duration::ZERO));
    failing.submit(|| Err::<(), _>("no")).join_ok().unwrap_err();
    let gated = pool.task().gate(&one).expires(second).submit(|| ());
    pool.task().delay(LONG).submit(|| ()).cancel();
    let limited = pool.task().total_timeout(second);
    let hung = limited.submit(|| while !millhand::is_cancelled() {});
    let every = pool.task().every(second).run(|| ()).unwrap();
    while pool.stats().gated == 0 || pool.stats().running == 0 {
        std::thread::yield_now();
    }
    let busy = [keep_busy(&pool), keep_busy(&pool)];
    let queued = pool.submit(|| ());
    let has = |name| seen.lock().unwrap().contains(name);
    let wanted = ["slow", "stalled", "expired", "timed_out"];
    while !wanted.into_iter().all(has) {
        clock.advance(second / 2);
        std::thread::yield_now();
        if has("stalled") && has("slow") {
            break;
        }
    }
    drop((busy, taken));
    let _ = (gated.join(), hung.join(), queued.join());
    every.cancel();
    pool.close();
    pool.execute(|| ());
    *handle.lock().unwrap() = None;
    drop(pool);
    for name in [
        "submitted",
        "scheduled",
        "gated",
        "started",
        "retrying",
        "succeeded",
        "failed",
        "panicked",
        "cancelled",
        "expired",
        "timed_out",
        "rejected",
        "slow",
        "stalled",
        "worker_stopped",
    ] {
        assert!(seen.lock().unwrap().contains(name), "{name}");
    }
}

#[test]
fn an_observer_cannot_wait_for_its_pool() {
    let handle: Arc<Mutex<Option<Arc<ThreadPool>>>> = Arc::default();
    let waits = handle.clone();
    let (tell, told) = mpsc::channel();
    let tell = Mutex::new(tell);
    let pool = ThreadPool::builder()
        .workers(1)
        .observer(move |event: &Event| {
            let pool = waits.lock().unwrap().clone();
            if let (Event::Submitted { .. }, Some(pool)) = (event, pool) {
                tell.lock()
                    .unwrap()
                    .send(pool.wait_idle().is_err())
                    .unwrap();
            }
        });
    let pool = Arc::new(pool.build().unwrap());
    *handle.lock().unwrap() = Some(pool.clone());
    pool.submit(|| ()).join().unwrap();
    assert!(
        must_recv(&told),
        "it would wait for the task that it holds up"
    );
    *handle.lock().unwrap() = None;
}

/// Notes what surrounds an attempt.
struct Surrounds(&'static str, Arc<Mutex<Vec<String>>>);

impl Observer for Surrounds {
    fn on_event(&self, _: &Event) {}

    fn around(&self, task: &TaskLabel, attempt: &mut dyn FnMut()) {
        let note = |what: &str| {
            let name = task.name.as_deref().unwrap_or("?");
            self.1
                .lock()
                .unwrap()
                .push(format!("{} {what} {name}", self.0));
        };
        note("before");
        attempt();
        note("after");
    }
}

#[test]
fn attempts_run_inside_of_all_observers_and_the_hook_of_the_pool() {
    let lines: Arc<Mutex<Vec<String>>> = Arc::default();
    let hooked = lines.clone();
    let pool = ThreadPool::builder()
        .workers(1)
        .observer(Surrounds("outer", lines.clone()))
        .observer(Surrounds("inner", lines.clone()))
        .around_task(move |_, body| {
            hooked.lock().unwrap().push("hook".to_owned());
            body();
        })
        .build()
        .unwrap();
    let in_body = lines.clone();
    let task = pool.task().name("a");
    task.submit(move || in_body.lock().unwrap().push("body".to_owned()))
        .join()
        .unwrap();
    pool.wait_idle().unwrap();
    let expected = [
        "outer before a",
        "inner before a",
        "hook",
        "body",
        "inner after a",
        "outer after a",
    ];
    assert_eq!(*lines.lock().unwrap(), expected);
}

struct Swallows(bool);

impl Observer for Swallows {
    fn on_event(&self, _: &Event) {}

    fn around(&self, _: &TaskLabel, attempt: &mut dyn FnMut()) {
        if self.0 {
            attempt();
            attempt();
            panic!("after the attempt");
        }
    }
}

#[test]
fn an_attempt_runs_once_whatever_the_observers_do() {
    for runs in [true, false] {
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let pool = ThreadPool::builder()
            .workers(1)
            .observer(Swallows(runs))
            .observer(Surrounds("inner", lines.clone()))
            .build()
            .unwrap();
        let count = Arc::new(AtomicUsize::new(0));
        for n in 1..=3 {
            let counted = count.clone();
            pool.submit(move || counted.fetch_add(1, SeqCst))
                .join()
                .unwrap();
            assert_eq!(count.load(SeqCst), n);
        }
        pool.wait_idle().unwrap();
        assert_eq!(lines.lock().unwrap().len(), 6);
    }
}

#[test]
fn a_buffered_observer_gets_all_in_order_and_drops_when_it_is_full() {
    let record = Record::default();
    let buffered = Buffered::new(record.clone(), 10_000).unwrap();
    let dropped = buffered.dropped();
    let pool = ThreadPool::builder()
        .workers(2)
        .observer(buffered)
        .build()
        .unwrap();
    let ids: Vec<_> = (0..100)
        .map(|_| {
            let handle = pool.submit(|| ());
            let id = handle.id();
            handle.join().unwrap();
            id
        })
        .collect();
    drop(pool);
    for id in ids {
        assert_eq!(record.of(id), ["submitted", "started", "succeeded"]);
    }
    assert_eq!(dropped.get(), 0);

    let (tell, told) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    let ends = Mutex::new((tell, wait));
    let slow = move |_: &Event| {
        let ends = ends.lock().unwrap();
        let _ = ends.0.send(());
        let _ = ends.1.recv();
    };
    let buffered = Buffered::new(slow, 1).unwrap();
    let dropped = buffered.dropped();
    let event = record.all()[0].clone();
    buffered.on_event(&event);
    must_recv(&told);
    buffered.on_event(&event); // fills the queue
    buffered.on_event(&event);
    buffered.on_event(&event);
    assert_eq!(dropped.get(), 2);
    drop(go);
    drop(buffered);
}

#[test]
fn events_that_came_after_the_panic_of_a_buffered_observer_were_not_counted() {
    let (builder, record) = observed(1);
    drop(builder.build().unwrap());
    let event = record.all()[0].clone();
    let (tell, told) = mpsc::channel::<()>();
    let tell = Mutex::new(Some(tell));
    let buffered = Buffered::new(
        move |_: &Event| {
            // The other end sees when it is dropped.
            drop(tell.lock().unwrap().take().expect("the second event"));
        },
        100,
    );
    let buffered = buffered.unwrap();
    let dropped = buffered.dropped();
    buffered.on_event(&event);
    told.recv_timeout(LONG).unwrap_err();
    assert_eq!(dropped.get(), 0);
    (0..10).for_each(|_| buffered.on_event(&event));
    drop(buffered);
    assert_eq!(dropped.get(), 9, "the first of them met the panic");
}

#[test]
fn a_broadcast_is_reported_before_it_runs() {
    let (builder, record) = observed(3);
    let pool = builder.build().unwrap();
    let handles = pool.broadcast(|| ()).unwrap();
    let ids: Vec<_> = handles.iter().map(|handle| handle.id()).collect();
    handles
        .into_iter()
        .for_each(|handle| handle.join().unwrap());
    pool.wait_idle().unwrap();
    for id in ids {
        assert_eq!(record.of(id), ["submitted", "started", "succeeded"]);
    }
}

#[test]
fn events_of_many_tasks_from_many_threads_are_each_in_order() {
    let (builder, record) = observed(2);
    let pool = builder.build().unwrap();
    std::thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| {
                for n in 0..200 {
                    let handle = match n % 4 {
                        0 => pool.submit(|| ()),
                        1 => pool.task().name("named").submit(|| ()),
                        2 => pool.task().priority(1).submit(|| ()),
                        _ => pool.submit(|| ()).map(|()| ()),
                    };
                    if n % 3 == 0 {
                        handle.cancel();
                    }
                }
            });
        }
    });
    pool.shutdown(Shutdown::drain()).unwrap();
    let mut last: HashMap<TaskId, &'static str> = HashMap::new();
    for event in record.all() {
        let Some(task) = event.task() else { continue };
        let before = last.insert(task.id, event.name());
        let is_right = match event.name() {
            "submitted" => before.is_none(),
            "started" => before == Some("submitted"),
            "succeeded" => before == Some("started"),
            "cancelled" => matches!(before, Some("submitted" | "started")),
            other => panic!("{other}"),
        };
        assert!(is_right, "{before:?}, then {}", event.name());
    }
    assert!(
        last.values()
            .all(|name| ["succeeded", "cancelled"].contains(name))
    );
    assert_eq!(last.len() as u64, pool.stats().submitted);
}

#[test]
fn started_came_after_timed_out_and_gated_after_cancelled() {
    let (builder, record) = observed(2);
    let pool = builder.build().unwrap();
    let gate = Semaphore::new(1).unwrap();
    let moment = Duration::from_micros(20);
    std::thread::scope(|s| {
        for _ in 0..3 {
            s.spawn(|| {
                let limited = pool.task().total_timeout(moment);
                let gated = pool.task().gate(&gate).expires(20 * moment);
                let retried = pool.task().total_timeout(moment);
                let retried = retried.retry(Retry::fixed(3, Duration::ZERO));
                for n in 0..300 {
                    drop(limited.submit(|| ()));
                    drop(retried.submit(|| Err::<(), _>("no")));
                    let handle = gated.submit(std::thread::yield_now);
                    if n % 2 == 0 {
                        handle.cancel();
                    }
                    drop(pool.task().delay(moment).submit(|| ()));
                }
            });
        }
    });
    pool.shutdown(Shutdown::drain().including_delayed())
        .unwrap();
    let mut ended = HashSet::new();
    let mut submitted = HashSet::new();
    for event in record.all() {
        let Some(task) = event.task() else { continue };
        let is_first = event.name() == "submitted";
        assert_eq!(submitted.insert(task.id), is_first, "{}", event.name());
        assert!(!ended.contains(&task.id), "{} after the last", event.name());
        if event.summary().is_some() {
            ended.insert(task.id);
        }
    }
    assert_eq!(submitted, ended);
    assert_eq!(ended.len() as u64, pool.stats().submitted);
}

#[test]
fn a_template_s_hook_gets_each_of_its_tasks() {
    let (tell, told) = mpsc::channel();
    let tell = Mutex::new(tell);
    let pool = ThreadPool::new(1).unwrap();
    let template = pool.task().name("upload").on_finish(move |summary| {
        tell.lock().unwrap().send(summary.clone()).unwrap();
    });
    let busy = keep_busy(&pool);
    let queued = template.submit(|| ());
    queued.cancel();
    let summary = must_recv(&told);
    assert_eq!(summary.outcome, OutcomeKind::Cancelled);
    assert_eq!(
        (summary.attempts, summary.waited, summary.ran),
        (0, None, None)
    );
    drop(busy);
    template.execute(|| ());
    let summary = must_recv(&told);
    assert_eq!(
        (summary.outcome, summary.attempts),
        (OutcomeKind::Succeeded, 1)
    );
    assert!(summary.waited.is_some() && summary.ran.is_some() && summary.error.is_none());
    let late = template.clone().delay(LONG).deadline(LONG).submit(|| ());
    late.cancel();
    assert_eq!(must_recv(&told).outcome, OutcomeKind::Cancelled);
    pool.close();
    template.execute(|| ());
    let summary = must_recv(&told);
    assert_eq!(summary.outcome, OutcomeKind::Rejected);
    assert_eq!(summary.error.as_deref(), Some("the pool is closed"));
    drop(template.submit(|| ()));
    assert_eq!(must_recv(&told).outcome, OutcomeKind::Rejected);
    assert!(template.try_submit(|| ()).is_err());
    drop(pool);
    assert!(told.try_recv().is_err(), "the caller has the last one");
}
