//! The observer `Metrics`, seen by the recorder of `metrics-util`.

use metrics::Unit;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use millhand::observe::Metrics;
use millhand::{Retry, ThreadPool};
use std::collections::BTreeMap;
use std::sync::mpsc::channel;
use std::time::Duration;

struct Recorded {
    unit: Option<Unit>,
    help: String,
    value: DebugValue,
}

/// By name and labels: `millhand_tasks_total{pool=a,outcome=failed}`.
type Snapshot = BTreeMap<String, Recorded>;

fn snapshot(snapshotter: &Snapshotter) -> Snapshot {
    let list = snapshotter.snapshot().into_vec().into_iter();
    let with_names = list.map(|(key, unit, help, value)| {
        let key = key.key();
        let labels = key
            .labels()
            .map(|label| format!("{}={}", label.key(), label.value()));
        let labels = labels.collect::<Vec<_>>().join(",");
        let help = help.unwrap_or_default().to_string();
        (
            format!("{}{{{labels}}}", key.name()),
            Recorded { unit, help, value },
        )
    });
    with_names.collect()
}

/// A builder whose metrics go to a recorder of their own.
fn recorded(pool: &str) -> (millhand::pool::PoolBuilder, Snapshotter) {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let metrics = metrics::with_local_recorder(&recorder, || Metrics::new(pool));
    (
        ThreadPool::builder().workers(2).observer(metrics),
        snapshotter,
    )
}

fn counter(snapshot: &Snapshot, key: &str) -> u64 {
    match snapshot[key].value {
        DebugValue::Counter(n) => n,
        ref other => panic!("{key}: {other:?}"),
    }
}

fn gauge(snapshot: &Snapshot, key: &str) -> f64 {
    match snapshot[key].value {
        DebugValue::Gauge(n) => n.into_inner(),
        ref other => panic!("{key}: {other:?}"),
    }
}

fn samples(snapshot: &Snapshot, key: &str) -> Vec<f64> {
    match &snapshot[key].value {
        DebugValue::Histogram(values) => values.iter().map(|value| value.into_inner()).collect(),
        other => panic!("{key}: {other:?}"),
    }
}

fn panics() {
    panic!("expected");
}

#[test]
fn the_metrics_follow_the_conventions() {
    let (pool, snapshotter) = recorded("a");
    drop(pool);
    let snapshot = snapshot(&snapshotter);
    assert_eq!(snapshot.len(), 15);
    for (key, Recorded { unit, help, value }) in &snapshot {
        let (name, labels) = key.split_once('{').unwrap();
        assert!(name.starts_with("millhand_"), "{key}");
        assert!(labels.starts_with("pool=a"), "{key}");
        assert!(help.ends_with('.'), "{key}: {help}");
        let ends = |end| name.ends_with(end);
        match value {
            DebugValue::Counter(_) => assert!(ends("_total") && *unit == Some(Unit::Count)),
            DebugValue::Gauge(_) => assert!(!ends("_total") && *unit == Some(Unit::Count)),
            DebugValue::Histogram(_) => assert!(ends("_seconds") && *unit == Some(Unit::Seconds)),
        }
    }
}

#[test]
fn the_counters_equal_the_counts_of_the_pool() {
    let (pool, snapshotter) = recorded("mail");
    let pool = pool.build().unwrap();
    let ok = pool.task().name("ok");
    let handles: Vec<_> = (0..10).map(|_| ok.submit(|| ())).collect();
    handles
        .into_iter()
        .for_each(|handle| handle.join().unwrap());
    pool.execute(|| ());
    let retried = pool.task().retry(Retry::fixed(2, Duration::ZERO));
    retried.submit(|| Err::<(), _>("no")).join_ok().unwrap_err();
    pool.submit(panics).join().unwrap_err();
    pool.task()
        .delay(Duration::from_secs(3600))
        .submit(|| ())
        .cancel();
    let short = pool.task().total_timeout(Duration::from_millis(1));
    let short = short.submit(|| millhand::sleep(Duration::from_secs(3600)));
    short.join().map(drop).unwrap_err();
    let invalid = pool.task().expires(Duration::ZERO);
    invalid.submit(|| ()).join().unwrap_err();
    // The second one was submitted, and is rejected for the first.
    invalid.submit(|| ()).map(|()| ()).join().unwrap_err();
    pool.wait_idle().unwrap();
    let stats = pool.stats();
    let reference = pool.handle();
    drop(pool);
    reference.submit(|| ()).join().unwrap_err();

    let snapshot = snapshot(&snapshotter);
    let ended = |outcome: &str| {
        let key = format!("millhand_tasks_total{{pool=mail,outcome={outcome}}}");
        counter(&snapshot, &key)
    };
    assert_eq!(ended("succeeded"), 11);
    assert_eq!(ended("succeeded"), stats.succeeded);
    assert_eq!((ended("failed"), stats.failed), (1, 1));
    assert_eq!((ended("panicked"), stats.panicked), (1, 1));
    assert_eq!((ended("cancelled"), stats.cancelled), (1, 1));
    assert_eq!((ended("timed_out"), stats.timed_out), (1, 1));
    // One more after the end of the pool.
    assert_eq!((ended("rejected"), stats.rejected), (4, 3));
    assert_eq!(ended("expired"), 0);
    let plain = |name: &str| counter(&snapshot, &format!("millhand_{name}{{pool=mail}}"));
    // Two were not taken, and one was rejected later.
    assert_eq!(plain("tasks_accepted_total"), stats.submitted - 2);
    assert_eq!((plain("task_retries_total"), stats.retries), (2, 2));
    let times = |name: &str| {
        samples(
            &snapshot,
            &format!("millhand_task_{name}_seconds{{pool=mail}}"),
        )
    };
    // The named ones are timed. What else is timed has a measured time as well.
    assert!(times("wait").len() >= 10 && times("run").len() >= 10);
    assert!(
        times("run")
            .iter()
            .all(|seconds| (0.0..60.0).contains(seconds))
    );
}

#[test]
fn gauges_rise_and_fall() {
    let (pool, snapshotter) = recorded("b");
    let pool = pool.build().unwrap();
    // The recorder begins at zero again after each snapshot.
    let (mut running, mut threads) = (0.0, 0.0);
    let mut read = || {
        let snapshot = snapshot(&snapshotter);
        running += gauge(&snapshot, "millhand_running_tasks{pool=b}");
        threads += gauge(&snapshot, "millhand_pool_threads{pool=b}");
        (running, threads)
    };
    let (send, receive) = channel();
    let (hold, held) = channel::<()>();
    let busy = pool.submit(move || {
        send.send(()).unwrap();
        let _ = held.recv();
    });
    receive.recv().unwrap();
    assert_eq!(read().0, 1.0);
    drop(hold);
    busy.join().unwrap();
    let all = pool.broadcast(|| ()).unwrap(); // both threads have begun
    all.into_iter().for_each(|handle| handle.join().unwrap());
    pool.wait_idle().unwrap();
    assert_eq!(read(), (0.0, 2.0));
    drop(pool);
    assert_eq!(read(), (0.0, 0.0));
}
