//! The text for Prometheus, read by a parser that is not the library's.

use millhand::ThreadPool;
use millhand::observe::{Stats, prometheus_of};
use prometheus_parse::{Scrape, Value};
use std::collections::HashSet;
use std::time::Duration;

fn parse(text: &str) -> Scrape {
    let scrape = Scrape::parse(text.lines().map(|line| Ok(line.to_owned()))).unwrap();
    // It passes over a line that it cannot read.
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let of = |sample: &prometheus_parse::Sample| match &sample.value {
        Value::Summary(quantiles) => quantiles.len(),
        _ => 1,
    };
    let parsed: usize = scrape.samples.iter().map(of).sum();
    assert_eq!(parsed, lines.count(), "{text}");
    scrape
}

/// The number of a sample whose labels, its pool aside, are these.
fn number(scrape: &Scrape, metric: &str, pool: &str, labels: &[(&str, &str)]) -> f64 {
    let is_it = |sample: &&prometheus_parse::Sample| {
        let has = |&(label, value): &(&str, &str)| sample.labels.get(label) == Some(value);
        let count = labels.len() + 1;
        sample.metric == metric
            && has(&("pool", pool))
            && labels.iter().all(has)
            && sample.labels.len() == count
    };
    let sample = scrape.samples.iter().find(is_it);
    match sample
        .unwrap_or_else(|| panic!("no {metric} of {pool} {labels:?}"))
        .value
    {
        Value::Counter(n) => {
            assert!(metric.ends_with("_total"));
            n
        }
        Value::Gauge(n) => {
            assert!(!metric.ends_with("_total"));
            n
        }
        Value::Untyped(n) => {
            assert!(metric.ends_with("_sum") || metric.ends_with("_count"));
            n
        }
        ref other => panic!("{metric}: {other:?}"),
    }
}

/// What the format demands and the parser lets pass: a family has one head, before its samples, and
/// its lines stand together.
fn assert_valid(text: &str) {
    assert!(text.ends_with('\n'));
    let mut seen = HashSet::new();
    let mut families = HashSet::new();
    let mut current = String::new();
    for line in text.lines() {
        assert!(
            seen.insert(line.rsplit_once(' ').unwrap().0),
            "twice: {line}"
        );
        if let Some(head) = line.strip_prefix("# HELP ") {
            current = head.split(' ').next().unwrap().to_owned();
            assert!(families.insert(current.clone()), "twice: {line}");
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            assert!(kind.starts_with(&format!("{current} ")), "{line}");
        } else {
            let name = line.split('{').next().unwrap();
            let suffix = name
                .strip_prefix(&*current)
                .unwrap_or_else(|| panic!("{line}"));
            assert!(["", "_sum", "_count"].contains(&suffix), "{line}");
        }
    }
}

fn check(scrape: &Scrape, stats: &Stats, pool: &str) {
    let number = |metric, labels: &[(&str, &str)]| number(scrape, metric, pool, labels);
    assert_eq!(
        number("millhand_tasks_submitted_total", &[]),
        stats.submitted as f64
    );
    let outcomes = [
        ("succeeded", stats.succeeded),
        ("failed", stats.failed),
        ("panicked", stats.panicked),
        ("cancelled", stats.cancelled),
        ("expired", stats.expired),
        ("timed_out", stats.timed_out),
        ("rejected", stats.rejected),
    ];
    for (outcome, n) in outcomes {
        assert_eq!(
            number("millhand_tasks_total", &[("outcome", outcome)]),
            n as f64
        );
    }
    assert_eq!(
        number("millhand_task_retries_total", &[]),
        stats.retries as f64
    );
    assert_eq!(
        number("millhand_unread_failures_total", &[]),
        stats.unread as f64
    );
    let started = number("millhand_spare_threads_started_total", &[]);
    assert_eq!(started, stats.spares_started as f64);
    let states = [
        ("queued", stats.queued),
        ("delayed", stats.delayed),
        ("gated", stats.gated),
        ("waiting", stats.waiting),
        ("running", stats.running),
    ];
    for (state, n) in states {
        assert_eq!(number("millhand_live_tasks", &[("state", state)]), n as f64);
    }
    assert_eq!(number("millhand_workers", &[]), stats.workers as f64);
    let threads = [
        ("busy", stats.busy),
        ("blocked", stats.blocked),
        ("idle", stats.idle),
    ];
    for (state, n) in threads {
        assert_eq!(number("millhand_threads", &[("state", state)]), n as f64);
    }
    let uptime = number("millhand_uptime_seconds", &[]);
    assert!((uptime - stats.uptime.as_secs_f64()).abs() < 1e-6);
}

fn panics() {
    panic!("expected");
}

#[test]
fn several_pools_are_one_page() {
    let odd = "a \"b\" \\ ü\nc";
    let pools = ["mail", odd, "mail"].map(|name| {
        let builder = ThreadPool::builder()
            .workers(2)
            .name_prefix(name)
            .track_queue(true);
        builder.build().unwrap()
    });
    for (n, pool) in pools.iter().enumerate() {
        (0..=n).for_each(|_| pool.execute(|| ()));
        pool.submit(panics).join().unwrap_err();
        pool.task().delay(Duration::from_secs(3600)).execute(|| ());
        pool.submit(|| ()).join().unwrap();
    }
    let stats = pools.each_ref().map(|pool| pool.stats());
    let text = prometheus_of(&stats);
    assert_valid(&text);
    let scrape = parse(&text);
    for (stats, label) in stats
        .iter()
        .zip(["mail", "a \\\"b\\\" \\\\ ü\\nc", "mail-2"])
    {
        // The parser leaves labels as they are written.
        check(&scrape, stats, label);
    }
    let alone = stats[0].to_prometheus();
    assert_valid(&alone);
    check(&parse(&alone), &stats[0], "mail");
    pools
        .into_iter()
        .for_each(|pool| drop(pool.shutdown(millhand::Shutdown::cancel())));
}

#[test]
fn times_are_summaries() {
    let pool = ThreadPool::builder()
        .workers(1)
        .name_prefix("p")
        .histograms(1)
        .build()
        .unwrap();
    for name in ["a", "a", "b"] {
        pool.task().name(name).submit(|| ()).join().unwrap();
    }
    pool.wait_idle().unwrap();
    let stats = pool.stats();
    let text = stats.to_prometheus();
    assert_valid(&text);
    let scrape = parse(&text);
    for times in &stats.times {
        let task = times.name.as_deref();
        let labels: Vec<_> = task.map(|task| ("task", task)).into_iter().collect();
        let named = if task.is_some() { "_named" } else { "" };
        let parts = [
            ("wait", &times.waited),
            ("run", &times.ran),
            ("end_to_end", &times.total),
        ];
        for (part, quantiles) in parts {
            let name = format!("millhand{named}_task_{part}_seconds");
            let count = number(&scrape, &format!("{name}_count"), "p", &labels);
            assert_eq!(count, quantiles.count as f64);
            let sum = number(&scrape, &format!("{name}_sum"), "p", &labels);
            assert!((sum - quantiles.sum.as_secs_f64()).abs() < 1e-9);
            let is_it = |sample: &&prometheus_parse::Sample| {
                sample.metric == name && sample.labels.get("task") == task
            };
            let sample = scrape.samples.iter().find(is_it).unwrap();
            let Value::Summary(list) = &sample.value else {
                panic!("{sample:?}")
            };
            let list: Vec<_> = list.iter().map(|one| (one.quantile, one.count)).collect();
            let exact = [
                (0.5, quantiles.p50),
                (0.9, quantiles.p90),
                (0.99, quantiles.p99),
                (0.999, quantiles.p999),
                (1.0, quantiles.max),
            ];
            assert_eq!(
                list,
                exact.map(|(quantile, time)| (quantile, time.as_secs_f64()))
            );
        }
    }
    assert_eq!(stats.times.len(), 3);
}
