//! The watchdog: slow tasks and a queue that stands still, each reported once.

use crate::events::Record;
use crate::handle::keep_busy;
use crate::manual::S;
use millhand::observe::{Age, Event};
use millhand::testing::ManualClock;
use millhand::{Retry, Shutdown, ThreadPool};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// Turns the clock until there is such an event, and returns it.
fn await_event(record: &Record, clock: &ManualClock, name: &str) -> Event {
    loop {
        let all = record.all();
        if let Some(event) = all.iter().find(|event| event.name() == name) {
            return event.clone();
        }
        clock.advance(S / 10);
        std::thread::yield_now();
    }
}

#[test]
fn a_timed_task_that_runs_too_long_is_reported_once_with_its_exact_age() {
    let (clock, record) = (ManualClock::new(), Record::default());
    let pool = ThreadPool::builder()
        .workers(1)
        .clock(&clock)
        .slow_task(10 * S);
    let pool = pool.observer(record.clone()).build().unwrap();
    let (go, wait) = mpsc::channel::<()>();
    let begun = clock.now();
    let import = pool.task().name("import").submit(move || {
        let _ = wait.recv();
    });
    while record.of(import.id()).len() < 2 {
        std::thread::yield_now();
    }
    let Event::Slow {
        task,
        worker: 0,
        running,
        ..
    } = await_event(&record, &clock, "slow")
    else {
        panic!()
    };
    assert_eq!(task.name.as_deref(), Some("import"));
    assert_eq!((task.id, task.site.file()), (import.id(), file!()));
    assert!(running.is_exact && running.at_least > 10 * S);
    assert!(running.at_least <= clock.now() - begun);
    // The sampler goes on, and reports nothing again.
    let next = pool.stats().uptime + 60 * S;
    while pool.stats().uptime < next {
        clock.advance(S);
        std::thread::yield_now();
    }
    drop(go);
    import.join().unwrap();
    let slow = record
        .all()
        .iter()
        .filter(|event| event.name() == "slow")
        .count();
    assert_eq!(slow, 1);
}

#[test]
fn a_plain_task_counts_from_when_the_sampler_first_saw_it() {
    let (clock, record) = (ManualClock::new(), Record::default());
    let pool = ThreadPool::builder()
        .workers(1)
        .clock(&clock)
        .slow_task(10 * S);
    let pool = pool.observer(record.clone()).build().unwrap();
    let busy = keep_busy(&pool);
    let Event::Slow { task, running, .. } = await_event(&record, &clock, "slow") else {
        panic!()
    };
    assert!(!running.is_exact && running.at_least > 10 * S);
    assert!(task.site.file().ends_with("handle.rs"));
    let table = pool.tasks();
    let age: Age = table.rows()[0].age.unwrap();
    assert!(!age.is_exact && age.at_least >= running.at_least);
    assert!(table.to_string().contains("for >= "), "{table}");
    drop(busy);
}

#[test]
fn each_attempt_that_runs_too_long_is_reported() {
    let (clock, record) = (ManualClock::new(), Record::default());
    let pool = ThreadPool::builder()
        .workers(1)
        .clock(&clock)
        .slow_task(10 * S);
    let pool = pool.observer(record.clone()).build().unwrap();
    let (go, wait) = mpsc::channel::<()>();
    let twice = pool.task().retry(Retry::fixed(1, Duration::ZERO));
    let task = twice.submit(move || {
        wait.recv().unwrap();
        Err::<(), _>("no")
    });
    let slow = || {
        record
            .all()
            .iter()
            .filter(|event| event.name() == "slow")
            .count()
    };
    for attempt in 1..=2 {
        while slow() < attempt {
            clock.advance(S / 10);
            std::thread::yield_now();
        }
        go.send(()).unwrap();
    }
    task.join_ok().unwrap_err();
    assert_eq!(slow(), 2);
}

#[test]
fn a_queue_that_stands_still_is_reported_once_and_again_after_it_has_moved() {
    let (clock, record) = (ManualClock::new(), Record::default());
    let pool = ThreadPool::builder()
        .workers(1)
        .clock(&clock)
        .stalled(10 * S);
    let pool = pool.observer(record.clone()).build().unwrap();
    let busy = keep_busy(&pool);
    let queued = pool.submit(|| ());
    let Event::Stalled {
        queued: 1, waited, ..
    } = await_event(&record, &clock, "stalled")
    else {
        panic!()
    };
    assert!(!waited.is_exact && waited.at_least > 10 * S);
    drop(busy);
    queued.join().unwrap();
    pool.wait_idle().unwrap();
    let busy = keep_busy(&pool);
    let queued = pool.submit(|| ());
    loop {
        let stalled = record
            .all()
            .iter()
            .filter(|event| event.name() == "stalled")
            .count();
        if stalled == 2 {
            break;
        }
        assert!(stalled < 2);
        clock.advance(S / 10);
        std::thread::yield_now();
    }
    drop(busy);
    queued.join().unwrap();
}

#[test]
fn a_tracked_queue_is_stalled_by_the_exact_age_of_its_oldest_task() {
    let (clock, record) = (ManualClock::new(), Record::default());
    let pool = ThreadPool::builder()
        .workers(1)
        .clock(&clock)
        .stalled(10 * S);
    let pool = pool
        .track_queue(true)
        .observer(record.clone())
        .build()
        .unwrap();
    let busy = keep_busy(&pool);
    let queued = pool.submit(|| ());
    let stalled = await_event(&record, &clock, "stalled");
    let Event::Stalled { head, waited, .. } = stalled else {
        panic!()
    };
    assert!(waited.is_exact && waited.at_least > 10 * S);
    assert_eq!(head.map(|head| head.id), Some(queued.id()));
    drop(busy);
    queued.join().unwrap();
}

#[test]
fn rates_are_there_while_the_sampler_runs() {
    let clock = ManualClock::new();
    let pool = ThreadPool::builder()
        .workers(1)
        .clock(&clock)
        .slow_task(10 * S);
    let pool = pool.build().unwrap();
    let rate = || pool.stats().rates.unwrap().last_second;
    while rate() == 0.0 {
        pool.submit(|| ()).join().unwrap();
        clock.advance(S / 4);
        std::thread::yield_now();
    }
    assert!(pool.stats().to_string().contains("tasks a second"));
    let other = ThreadPool::new(1).unwrap();
    assert_eq!(other.stats().rates, None);
}

#[test]
fn limits_of_nothing_are_refused_and_the_sampler_ends_with_its_pool() {
    let builder = ThreadPool::builder;
    let text = |built: Result<_, millhand::pool::BuildError>| built.unwrap_err().to_string();
    let slow = text(builder().slow_task(Duration::ZERO).build());
    assert!(
        slow.contains("`slow_task`") && slow.contains("more than zero"),
        "{slow}"
    );
    let stalled = text(builder().stalled(Duration::ZERO).build());
    assert!(stalled.contains("`stalled`"), "{stalled}");
    for _ in 0..50 {
        let pool = builder()
            .workers(1)
            .slow_task(S)
            .stalled(S)
            .build()
            .unwrap();
        pool.execute(|| ());
        assert!(pool.shutdown(Shutdown::drain()).unwrap().is_clean());
    }
}

/// Counts how often its text is made.
#[derive(Clone, Debug, Default)]
struct Told(Arc<AtomicUsize>);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fetch_add(1, SeqCst);
        f.write_str("told")
    }
}

impl std::error::Error for Told {}

#[test]
fn a_watchdog_kept_the_failures_of_its_pool_and_nothing_could_read_them() {
    let pool = ThreadPool::builder().workers(1).slow_task(S);
    let pool = pool.build().unwrap();
    let told = Told::default();
    let error = told.clone();
    let failed = pool.task().fallible().submit(move || Err::<(), _>(error));
    assert!(failed.join_ok().is_err());
    drop(pool);
    assert_eq!(told.0.load(SeqCst), 0);
}
