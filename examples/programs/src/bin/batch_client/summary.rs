//! The table at the end: how many results there were of each kind, and how long they took.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// A status, or why there is none.
pub(crate) type Kind = Result<u16, &'static str>;

#[derive(Default)]
pub(crate) struct Summary {
    kinds: BTreeMap<Kind, Latencies>,
    attempts: u64,
}

impl Summary {
    /// `took` is `None` if nothing was sent.
    pub(crate) fn add(&mut self, kind: Kind, attempts: u32, took: Option<Duration>) {
        self.attempts += u64::from(attempts);
        self.kinds.entry(kind).or_default().add(took);
    }

    pub(crate) fn failed(&self) -> u64 {
        let failed = |kind: &Kind| !matches!(kind, Ok(..400));
        let kinds = self.kinds.iter().filter(|(kind, _)| failed(kind));
        kinds.map(|(_, latencies)| latencies.results).sum()
    }
}

/// The table, without the end of its last line.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<12}", "result")?;
        for name in ["requests", "p50", "p90", "p99", "max"] {
            write!(f, "{name:>10}")?;
        }
        writeln!(f)?;
        for (kind, latencies) in &self.kinds {
            match kind {
                Ok(status) => write!(f, "{status:<12}")?,
                Err(why) => write!(f, "{why:<12}")?,
            }
            write!(f, "{:>10}", latencies.results)?;
            for time in [0.5, 0.9, 0.99, 1.0].map(|share| latencies.quantile(share)) {
                let time = time.map(|time| format!("{time:.1?}"));
                write!(f, "{:>10}", time.unwrap_or_default())?;
            }
            writeln!(f)?;
        }
        let results: u64 = self.kinds.values().map(|latencies| latencies.results).sum();
        let (failed, attempts) = (self.failed(), self.attempts);
        write!(
            f,
            "{:<12}{results:>10}  {failed} failed, {attempts} attempts",
            "all"
        )
    }
}

/// How long the requests of a kind took. It needs as much memory for ten as for a million.
#[derive(Default)]
struct Latencies {
    results: u64,
    /// How many took so many microseconds, rounded up to three digits.
    micros: BTreeMap<u64, u64>,
}

impl Latencies {
    fn add(&mut self, took: Option<Duration>) {
        self.results += 1;
        if let Some(took) = took {
            *self.micros.entry(rounded(took)).or_default() += 1;
        }
    }

    /// The time that so large a share of the requests did not exceed.
    fn quantile(&self, share: f64) -> Option<Duration> {
        let all: u64 = self.micros.values().sum();
        let rank = (all as f64 * share).ceil() as u64;
        let mut seen = 0;
        let mut counts = self.micros.iter();
        let (micros, _) = counts.find(|(_, count)| {
            seen += **count;
            seen >= rank
        })?;
        Some(Duration::from_micros(*micros))
    }
}

fn rounded(took: Duration) -> u64 {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let digits = micros.checked_ilog10().unwrap_or(0);
    let unit = 10_u64.pow(digits.saturating_sub(2));
    micros.div_ceil(unit).saturating_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_table_has_statuses_first() {
        let mut summary = Summary::default();
        summary.add(Err("timed out"), 4, Some(30_000 * MS));
        summary.add(Err("bad line"), 0, None);
        for n in 1..=100 {
            summary.add(Ok(200), 1, Some(n * MS));
        }
        summary.add(Ok(404), 1, Some(MS / 4));
        assert_eq!(summary.failed(), 3);
        let table = "
result        requests       p50       p90       p99       max
200                100    50.0ms    90.0ms    99.0ms   100.0ms
404                  1   250.0µs   250.0µs   250.0µs   250.0µs
bad line             1
timed out            1     30.0s     30.0s     30.0s     30.0s
all                103  3 failed, 105 attempts
";
        let text = summary.to_string();
        let lines = text.lines().map(str::trim_end).collect::<Vec<_>>();
        assert_eq!(lines, table.trim().lines().collect::<Vec<_>>());
    }

    #[test]
    fn times_are_rounded_up_to_three_digits() {
        let rounded = |micros| rounded(Duration::from_micros(micros));
        assert_eq!(
            [0, 7, 999, 1000, 1001, 12_345].map(rounded),
            [0, 7, 999, 1000, 1010, 12_400]
        );
        assert!(rounded(u64::MAX) > u64::MAX / 2);
    }

    #[test]
    fn quantiles_are_times_that_occurred() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.quantile(0.5), None);
        latencies.add(Some(3 * MS));
        latencies.add(Some(MS));
        latencies.add(Some(2 * MS));
        let at = |share| latencies.quantile(share).unwrap();
        assert_eq!([0.5, 0.9, 1.0].map(at), [2 * MS, 3 * MS, 3 * MS]);
    }
}
