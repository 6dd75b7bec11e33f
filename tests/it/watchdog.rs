//! The watchdog: slow tasks and a queue that stands still, each reported once.

use crate::events::Record;
use crate::handle::keep_busy;
use millhand::observe::{Age, Event};
use millhand::testing::ManualClock;
use millhand::{Shutdown, ThreadPool};
use std::sync::mpsc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Turns the clock until there is such an event, and returns it.
fn await_event(record: &Record, clock: &ManualClock, name: &str) -> Event {
    loop {
        let all = record.all();
        if let Some(event) = all.iter().find(|event| event.name() == name) {
            return event.clone();
        }
        clock.advance(SECOND / 10);
        std::thread::yield_now();
    }
}

#[test]
fn a_timed_task_that_runs_too_long_is_reported_once_with_its_exact_age() {
    let (clock, record) = (ManualClock::new(), Record::default());
    let pool = ThreadPool::builder()
        .workers(1)
        .clock(&clock)
        .slow_task(10 * SECOND);
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
    assert!(running.is_exact && running.at_least > 10 * SECOND);
    assert!(running.at_least <= clock.now() - begun);
    // The sampler goes on, and reports nothing again.
    let next = pool.stats().uptime + 60 * SECOND;
    while pool.stats().uptime < next {
        clock.advance(SECOND);
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
        .slow_task(10 * SECOND);
    let pool = pool.observer(record.clone()).build().unwrap();
    let busy = keep_busy(&pool);
    let Event::Slow { task, running, .. } = await_event(&record, &clock, "slow") else {
        panic!()
    };
    assert!(!running.is_exact && running.at_least > 10 * SECOND);
    assert!(task.site.file().ends_with("handle.rs"));
    let table = pool.tasks();
    let age: Age = table.rows()[0].age.unwrap();
    assert!(!age.is_exact && age.at_least >= running.at_least);
    assert!(table.to_string().contains("for >= "), "{table}");
    drop(busy);
}

#[test]
fn a_queue_that_stands_still_is_reported_once_and_again_after_it_has_moved() {
    let (clock, record) = (ManualClock::new(), Record::default());
    let pool = ThreadPool::builder()
        .workers(1)
        .clock(&clock)
        .stalled(10 * SECOND);
    let pool = pool.observer(record.clone()).build().unwrap();
    let busy = keep_busy(&pool);
    let queued = pool.submit(|| ());
    let Event::Stalled {
        queued: 1, waited, ..
    } = await_event(&record, &clock, "stalled")
    else {
        panic!()
    };
    assert!(!waited.is_exact && waited.at_least > 10 * SECOND);
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
        clock.advance(SECOND / 10);
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
        .stalled(10 * SECOND);
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
    assert!(waited.is_exact && waited.at_least > 10 * SECOND);
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
        .slow_task(10 * SECOND);
    let pool = pool.build().unwrap();
    let rate = || pool.stats().rates.unwrap().last_second;
    while rate() == 0.0 {
        pool.submit(|| ()).join().unwrap();
        clock.advance(SECOND / 4);
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
            .slow_task(SECOND)
            .stalled(SECOND)
            .build()
            .unwrap();
        pool.execute(|| ());
        assert!(pool.shutdown(Shutdown::drain()).unwrap().is_clean());
    }
}
