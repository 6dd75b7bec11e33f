//! The histograms of a pool against the times that its tasks were seen to take.

use millhand::ThreadPool;
use millhand::observe::{Quantiles, Times};
use millhand::pool::BuildError;
use millhand::testing::ManualClock;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn row<'a>(rows: &'a [Times], name: &str) -> &'a Times {
    rows.iter()
        .find(|row| row.name.as_deref() == Some(name))
        .unwrap()
}

/// No quantile is below the exact one, or more than 1/32 above it.
fn assert_close(found: &Quantiles, mut exact: Vec<Duration>) {
    exact.sort();
    assert_eq!(found.count as usize, exact.len());
    assert_eq!(found.sum, exact.iter().sum());
    assert_eq!(Some(&found.max), exact.last());
    let quantiles = [
        (0.5, found.p50),
        (0.9, found.p90),
        (0.99, found.p99),
        (0.999, found.p999),
    ];
    for (quantile, found) in quantiles {
        let place = (quantile * exact.len() as f64).ceil() as usize - 1;
        let exact = exact[place];
        assert!(
            (exact..=exact + exact / 32).contains(&found),
            "{quantile}: {found:?} for {exact:?}"
        );
    }
}

fn panics() {
    panic!("expected");
}

#[test]
fn they_agree_with_the_summaries_of_the_tasks() {
    let pool = ThreadPool::builder()
        .workers(2)
        .histograms(2)
        .build()
        .unwrap();
    let summaries = Arc::new(Mutex::new(Vec::new()));
    let seen = summaries.clone();
    let task = pool
        .task()
        .on_finish(move |summary| seen.lock().unwrap().push(summary.clone()));
    for n in 0..600_u32 {
        let work = move || {
            let _ = std::hint::black_box((0..n * 20).fold(0, u32::wrapping_add));
        };
        let name = ["a", "b", "c"][n as usize % 3];
        task.clone().name(name).execute(work);
        pool.execute(|| ()); // neither named nor timed
    }
    pool.wait_idle().unwrap();
    let rows = pool.histograms();
    let names: Vec<_> = rows.iter().map(|row| row.name.as_deref()).collect();
    assert_eq!(names, [None, Some("a"), Some("b"), Some("(others)")]);
    let summaries = summaries.lock().unwrap();
    for times in &rows {
        let name = times
            .name
            .as_deref()
            .map(|name| name.replace("(others)", "c"));
        let of_name = |summary: &&millhand::task::Summary| {
            name.is_none() || summary.name.as_deref() == name.as_deref()
        };
        let times_of = |time: fn(&millhand::task::Summary) -> Duration| {
            summaries
                .iter()
                .filter(of_name)
                .map(time)
                .collect::<Vec<_>>()
        };
        assert_close(&times.waited, times_of(|summary| summary.waited.unwrap()));
        assert_close(&times.ran, times_of(|summary| summary.ran.unwrap()));
        assert_close(
            &times.total,
            times_of(|summary| summary.waited.unwrap() + summary.ran.unwrap()),
        );
    }
    assert_eq!(pool.stats().times, rows);
}

#[test]
fn the_clock_is_that_of_the_pool() {
    let clock = ManualClock::new();
    let pool = ThreadPool::builder()
        .workers(1)
        .clock(&clock)
        .histograms(5)
        .build()
        .unwrap();
    let (send, receive) = channel::<()>();
    let (started, has_started) = channel();
    let first = pool.task().name("first").submit(move || {
        started.send(()).unwrap();
        let _ = receive.recv();
    });
    has_started.recv().unwrap();
    let second = pool.task().timed().submit(|| ());
    clock.advance(Duration::from_secs(60));
    drop(send);
    first.join().unwrap();
    second.join().unwrap();
    pool.wait_idle().unwrap(); // a join may return before the times are recorded
    let rows = pool.histograms();
    let minute = Duration::from_secs(60);
    let first = row(&rows, "first");
    assert_eq!(
        (first.waited.max, first.ran.p50, first.total.sum),
        (Duration::ZERO, minute, minute)
    );
    // Timed, and without a name: in the row of all only.
    assert_eq!(rows.len(), 2);
    assert_eq!((rows[0].name.as_deref(), rows[0].ran.count), (None, 2));
    assert_eq!(
        (rows[0].waited.max, rows[0].total.sum),
        (minute, 2 * minute)
    );
}

#[test]
fn what_has_not_run_does_not_count() {
    let pool = ThreadPool::builder()
        .workers(1)
        .histograms(1)
        .build()
        .unwrap();
    let delayed = pool.task().name("never").delay(Duration::from_secs(3600));
    delayed.submit(|| ()).cancel();
    drop(
        pool.task()
            .name("invalid")
            .expires(Duration::ZERO)
            .submit(|| ()),
    );
    pool.task().name("fails").submit(panics).join().unwrap_err();
    pool.wait_idle().unwrap();
    let rows = pool.histograms();
    assert_eq!(rows.len(), 2);
    assert_eq!(row(&rows, "fails").ran.count, 1);
}

#[test]
fn a_pool_has_none_unless_asked_for() {
    let pool = ThreadPool::new(1).unwrap();
    pool.task().name("a").submit(|| ()).join().unwrap();
    assert!(pool.histograms().is_empty() && pool.stats().times.is_empty());
    let refused = ThreadPool::builder().histograms(0).build().unwrap_err();
    assert!(matches!(
        refused,
        BuildError::Invalid {
            option: "histograms",
            ..
        }
    ));
}
