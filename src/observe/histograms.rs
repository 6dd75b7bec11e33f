//! How long tasks waited and ran, as quantiles per name.
//!
//! Layer: observe. Plain data, and the recorder that a pool has if its builder asked for it.

use crate::observe::age::Short;
use histogram::{AtomicHistogram, Config};
use parking_lot::RwLock;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The times of the tasks with one name, or of all timed tasks. Returned by
/// [`Pool::histograms`](crate::Pool::histograms). Its text is three rows of a table.
///
/// ```
/// let pool = millhand::ThreadPool::builder().workers(1).histograms(10).build()?;
/// pool.task().name("parse").submit(|| ()).join().unwrap();
/// for times in pool.histograms() {
///     let name = times.name.as_deref().unwrap_or("all");
///     println!("{name}: half of them ran for {:?} or less", times.ran.p50);
/// }
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
///
/// Guide: [observability](crate::guide::observability).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Times {
    /// The name of the tasks. `None` in the row of all timed tasks together.
    pub name: Option<Arc<str>>,
    /// How long they waited before their first attempts, from when they were due.
    pub waited: Quantiles,
    /// How long they ran, from the start of the first attempt to the end of the last.
    pub ran: Quantiles,
    /// The two together.
    pub total: Quantiles,
}

/// The distribution of the times of several tasks. Its text is a part of a row of a table.
///
/// A quantile is never below the true one and at most 3.2 % above it. `count`, `sum` and `max` are
/// exact. Times above 78 hours count as 78 hours in the quantiles. `sum` and `max` end at 2^64 ns,
/// which is 584 years, and stay there.
///
/// ```
/// use millhand::observe::Quantiles;
/// use std::time::Duration;
///
/// fn mean(times: &Quantiles) -> Option<Duration> {
///     let count = u32::try_from(times.count).ok()?;
///     times.sum.checked_div(count)
/// }
///
/// assert_eq!(mean(&Quantiles::default()), None);
/// ```
///
/// Guide: [observability](crate::guide::observability).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quantiles {
    /// How many tasks.
    pub count: u64,
    /// Their times together.
    pub sum: Duration,
    /// Half of the tasks took so long or less.
    pub p50: Duration,
    /// 90 % of the tasks took so long or less.
    pub p90: Duration,
    /// 99 % of the tasks took so long or less.
    pub p99: Duration,
    /// 99.9 % of the tasks took so long or less.
    pub p999: Duration,
    /// The longest time.
    pub max: Duration,
}

impl Quantiles {
    /// The quantiles, each with its number as the exporters write it.
    pub(crate) fn points(&self) -> [(&'static str, Duration); 5] {
        [
            ("0.5", self.p50),
            ("0.9", self.p90),
            ("0.99", self.p99),
            ("0.999", self.p999),
            ("1", self.max),
        ]
    }
}

impl fmt::Display for Quantiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>10}", self.count)?;
        let names = ["p50", "p90", "p99", "p99.9", "max"];
        for (name, (_, time)) in names.iter().zip(self.points()) {
            write!(f, "  {name} {:>8}", Short(time).to_string())?;
        }
        Ok(())
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.as_deref().unwrap_or("(all)");
        writeln!(f, "{name:<24} waited {}", self.waited)?;
        writeln!(f, "{name:<24} ran    {}", self.ran)?;
        write!(f, "{name:<24} total  {}", self.total)
    }
}

/// The name of the row in which the names beyond the bound count.
const OTHERS: &str = "(others)";

/// Buckets of nanoseconds up to 2^48, 78 hours, each at most 1/32 wide: 1,408 counters.
const BUCKETS: Config = match Config::new(5, 48) {
    Ok(config) => config,
    Err(_) => panic!("the powers are out of range"),
};

const LONGEST: u64 = (1 << 48) - 1;

/// Records the times of the timed tasks of a pool. 34 kB per name.
pub(crate) struct Histograms {
    most_names: usize,
    all: Recorder,
    /// The tasks whose names are beyond the bound.
    others: OnceLock<Recorder>,
    names: RwLock<HashMap<Arc<str>, Arc<Recorder>>>,
}

struct Recorder {
    waited: Distribution,
    ran: Distribution,
    total: Distribution,
}

struct Distribution {
    buckets: AtomicHistogram,
    // Nanoseconds. Recording threads write both, and a reader takes them as they are.
    sum: AtomicU64,
    max: AtomicU64,
}

impl Histograms {
    pub(crate) fn new(most_names: usize) -> Self {
        Self {
            most_names,
            all: Recorder::new(),
            others: OnceLock::new(),
            names: RwLock::new(HashMap::new()),
        }
    }

    pub(crate) fn record(&self, name: Option<&Arc<str>>, waited: Duration, ran: Duration) {
        self.all.record(waited, ran);
        let Some(name) = name else { return };
        match self.of_name(name) {
            Some(recorder) => recorder.record(waited, ran),
            None => {
                let others = self.others.get_or_init(Recorder::new);
                others.record(waited, ran);
            }
        }
    }

    /// `None` for a name beyond the bound, or one that would look like the row of those.
    fn of_name(&self, name: &Arc<str>) -> Option<Arc<Recorder>> {
        let names = self.names.read();
        let known = names.get(name).cloned();
        if known.is_some() || names.len() >= self.most_names || **name == *OTHERS {
            return known;
        }
        drop(names);
        let new = Arc::new(Recorder::new());
        let mut names = self.names.write();
        // Another thread may have added this name, or the last one, meanwhile.
        let is_full = names.len() >= self.most_names;
        match names.get(name) {
            Some(known) => Some(known.clone()),
            None if is_full => None,
            None => Some(names.entry(name.clone()).or_insert(new).clone()),
        }
    }

    /// The row of all first, then the names in their order, then the others.
    pub(crate) fn read(&self) -> Vec<Times> {
        let names = self.names.read();
        let mut named: Vec<_> = names.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        drop(names);
        named.sort_by(|a, b| a.0.cmp(&b.0));
        let mut rows = vec![self.all.read(None)];
        rows.extend(named.into_iter().map(|(name, row)| row.read(Some(name))));
        rows.extend(self.others.get().map(|row| row.read(Some(OTHERS.into()))));
        rows
    }
}

impl Recorder {
    fn new() -> Self {
        Self {
            waited: Distribution::new(),
            ran: Distribution::new(),
            total: Distribution::new(),
        }
    }

    fn record(&self, waited: Duration, ran: Duration) {
        self.waited.record(waited);
        self.ran.record(ran);
        self.total.record(waited.saturating_add(ran));
    }

    fn read(&self, name: Option<Arc<str>>) -> Times {
        Times {
            name,
            waited: self.waited.read(),
            ran: self.ran.read(),
            total: self.total.read(),
        }
    }
}

impl Distribution {
    fn new() -> Self {
        Self {
            buckets: AtomicHistogram::with_config(&BUCKETS),
            sum: AtomicU64::new(0),
            max: AtomicU64::new(0),
        }
    }

    fn record(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        // A sum that began again at zero would be taken for a new process. It always adds.
        let add = |sum: u64| Some(sum.saturating_add(nanos));
        let _ = self
            .sum
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        self.max.fetch_max(nanos, Ordering::Relaxed);
        // It refuses only what is longer.
        let _ = self.buckets.increment(nanos.min(LONGEST));
    }

    fn read(&self) -> Quantiles {
        let buckets = self.buckets.load();
        let Ok(Some(found)) = buckets.quantiles(&[0.5, 0.9, 0.99, 0.999]) else {
            return Quantiles::default();
        };
        // A thread may have counted its time in a bucket, and not been seen here.
        let max = self.max.load(Ordering::Relaxed).max(found.max().start());
        let mut ends = found.entries().values().map(|bucket| bucket.end().min(max));
        let mut next = || Duration::from_nanos(ends.next().unwrap_or(max));
        Quantiles {
            count: u64::try_from(found.total_count()).unwrap_or(u64::MAX),
            sum: Duration::from_nanos(self.sum.load(Ordering::Relaxed)),
            p50: next(),
            p90: next(),
            p99: next(),
            p999: next(),
            max: Duration::from_nanos(max),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn nanos(n: u64) -> Duration {
        Duration::from_nanos(n)
    }

    #[test]
    fn quantiles_are_those_of_a_sorted_list() {
        let histograms = Histograms::new(1);
        let mut times: Vec<u64> = Vec::new();
        let mut seed = 1_u64;
        for n in 0..20_000_u32 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // From nanoseconds to minutes, each power of two alike.
            let time = (seed >> 28) >> (n % 34);
            times.push(time);
            histograms.record(None, Duration::ZERO, nanos(time));
        }
        times.sort_unstable();
        let found = histograms.read()[0].ran;
        assert_eq!(found.count, 20_000);
        assert_eq!(found.sum, nanos(times.iter().sum()));
        assert_eq!(found.max, nanos(times[19_999]));
        let quantiles = [
            (0.5, found.p50),
            (0.9, found.p90),
            (0.99, found.p99),
            (0.999, found.p999),
        ];
        for (quantile, found) in quantiles {
            let place = (quantile * 20_000.0_f64).ceil() as usize - 1;
            let exact = times[place];
            let most = exact + exact / 32;
            assert!(
                (nanos(exact)..=nanos(most)).contains(&found),
                "{quantile}: {found:?} for {exact}"
            );
        }
    }

    #[test]
    fn a_long_time_is_clamped_and_the_maximum_is_exact() {
        let histograms = Histograms::new(1);
        let long = Duration::from_secs(1_000_000);
        histograms.record(None, nanos(7), long);
        let all = &histograms.read()[0];
        assert_eq!((all.ran.max, all.ran.count), (long, 1));
        assert_eq!(all.ran.p50, nanos(LONGEST));
        assert_eq!((all.waited.p50, all.waited.max), (nanos(7), nanos(7)));
        assert_eq!(all.total.max, long + nanos(7));
        histograms.record(None, Duration::MAX, Duration::MAX);
        assert_eq!(histograms.read()[0].total.max, nanos(u64::MAX));
    }

    #[test]
    fn the_sum_began_again_at_zero_after_584_years() {
        let histograms = Histograms::new(1);
        let long = nanos(u64::MAX - 5);
        histograms.record(None, nanos(1), long);
        for _ in 0..2 {
            histograms.record(None, nanos(1), nanos(7));
            let all = &histograms.read()[0];
            assert_eq!(
                (all.ran.sum, all.total.sum),
                (nanos(u64::MAX), nanos(u64::MAX))
            );
        }
        assert_eq!(histograms.read()[0].waited.sum, nanos(3));
    }

    #[test]
    fn names_are_bounded() {
        let histograms = Histograms::new(2);
        for name in ["b", "a", "c", "d", "a", OTHERS] {
            histograms.record(Some(&name.into()), nanos(1), nanos(2));
        }
        histograms.record(None, nanos(1), nanos(2));
        let rows = histograms.read();
        let counts: Vec<_> = rows
            .iter()
            .map(|row| (row.name.as_deref(), row.ran.count))
            .collect();
        assert_eq!(
            counts,
            [(None, 7), (Some("a"), 2), (Some("b"), 1), (Some(OTHERS), 3)]
        );
        assert!(rows.iter().all(|row| row.total.max == nanos(3)));
    }

    #[test]
    fn threads_record_at_once_and_nothing_is_lost() {
        let histograms = Histograms::new(4);
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let histograms = &histograms;
                scope.spawn(move || {
                    for n in 0..5_000_u64 {
                        let name = Arc::from(format!("{}", (thread + n) % 6));
                        histograms.record(Some(&name), nanos(n), nanos(1));
                    }
                });
            }
            for _ in 0..50 {
                let all = histograms.read()[0].waited;
                assert!(all.p50 <= all.p90 && all.p90 <= all.p99);
                assert!(all.p99 <= all.p999 && all.p999 <= all.max);
            }
        });
        let rows = histograms.read();
        assert_eq!((rows.len(), rows[0].ran.count), (6, 20_000));
        assert_eq!(rows[0].waited.sum, nanos(4 * (4_999 * 5_000 / 2)));
        let named: u64 = rows[1..].iter().map(|row| row.total.count).sum();
        assert_eq!(named, 20_000);
    }

    #[test]
    fn a_row_is_a_line_for_each_kind_of_time() {
        let histograms = Histograms::new(1);
        histograms.record(Some(&"parse".into()), nanos(1500), nanos(2_000_000));
        let rows = histograms.read();
        let text = rows[1].to_string();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[0].starts_with("parse  "), "{text}");
        assert!(lines[0].ends_with("max    1.5µs"), "{text}");
        assert!(
            lines[1].contains("ran             1  p50    2.0ms"),
            "{text}"
        );
        assert!(rows[0].to_string().starts_with("(all)"));
    }
}
