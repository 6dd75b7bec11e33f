//! The counts of pools as a text that Prometheus reads.
//!
//! Layer: observe. The format is version 0.0.4 of the text exposition format:
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>

use crate::observe::Stats;
use crate::observe::families::{self, Family};
#[cfg(feature = "histograms")]
use crate::observe::{Quantiles, Times};
use std::fmt::{self, Display, Write};

impl Stats {
    /// Returns the counts as a text that Prometheus reads, with the content type
    /// `text/plain; version=0.0.4`. The names begin with `millhand_`, and each number has the label
    /// `pool`. For several pools use [`prometheus_of`].
    ///
    /// | name | label | what |
    /// | --- | --- | --- |
    /// | `millhand_tasks_submitted_total` | | tasks that were submitted |
    /// | `millhand_tasks_total` | `outcome` | tasks that have settled |
    /// | `millhand_task_retries_total` | | attempts after the first |
    /// | `millhand_unread_failures_total` | | failures that no handle was left to read |
    /// | `millhand_spare_threads_started_total` | | threads started since bodies waited |
    /// | `millhand_live_tasks` | `state` | tasks that are queued, delayed, gated, waiting, running |
    /// | `millhand_workers` | | how many bodies may run at once |
    /// | `millhand_threads` | `state` | threads that are busy, blocked, idle |
    /// | `millhand_uptime_seconds` | | how long ago the pool was made |
    /// | `millhand_oldest_queued_seconds` | | the age of the oldest queued task, where it is known |
    ///
    /// With histograms there are summaries of all timed tasks, `millhand_task_wait_seconds`,
    /// `millhand_task_run_seconds` and `millhand_task_end_to_end_seconds`, and those of each name,
    /// `millhand_named_task_wait_seconds` and so on, with the label `task`. The quantile `1` is the
    /// longest time.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::builder().workers(1).name_prefix("mail").build()?;
    /// let text = pool.stats().to_prometheus();
    /// assert!(text.contains("# TYPE millhand_tasks_submitted_total counter\n"));
    /// assert!(text.contains("\nmillhand_tasks_submitted_total{pool=\"mail\"} 0\n"));
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn to_prometheus(&self) -> String {
        prometheus_of(std::slice::from_ref(self))
    }
}

/// Returns the counts of several pools as one text; see [`Stats::to_prometheus`].
///
/// Pools with the same name get the labels `name`, `name-2` and so on, in the order in which they
/// are given.
///
/// ```
/// use millhand::ThreadPool;
/// use millhand::observe::prometheus_of;
///
/// let mail = ThreadPool::builder().workers(1).name_prefix("mail").build()?;
/// let images = ThreadPool::builder().workers(1).name_prefix("images").build()?;
/// let text = prometheus_of(&[mail.stats(), images.stats()]);
/// assert!(text.contains("\nmillhand_workers{pool=\"mail\"}"));
/// assert!(text.contains("\nmillhand_workers{pool=\"images\"}"));
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
///
/// Guide: [observability](crate::guide::observability).
pub fn prometheus_of(stats: &[Stats]) -> String {
    let mut page = Page {
        pools: labels_of(stats).into_iter().zip(stats).collect(),
        text: String::new(),
    };
    page.counters();
    page.gauges();
    #[cfg(feature = "histograms")]
    page.summaries();
    page.text
}

/// A label for each pool, another one for each.
fn labels_of(stats: &[Stats]) -> Vec<String> {
    let mut labels: Vec<String> = Vec::new();
    for Stats { pool, .. } in stats {
        let mut label = pool.to_string();
        let mut n = 1;
        while labels.contains(&label) {
            n += 1;
            label = format!("{pool}-{n}");
        }
        labels.push(label);
    }
    labels
}

struct Page<'a> {
    pools: Vec<(String, &'a Stats)>,
    text: String,
}

/// Where the numbers of one family and one pool are written.
struct Samples<'a> {
    name: &'a str,
    pool: &'a str,
    text: &'a mut String,
}

const COUNTER: &str = "counter";
const GAUGE: &str = "gauge";

impl Page<'_> {
    fn counters(&mut self) {
        self.family(families::SUBMITTED, COUNTER, &|stats, samples| {
            samples.add("", &[], &stats.submitted);
        });
        self.family(families::ENDED, COUNTER, &|stats, samples| {
            for (outcome, n) in stats.outcomes() {
                samples.add("", &[("outcome", outcome)], &n);
            }
        });
        self.family(families::RETRIES, COUNTER, &|stats, samples| {
            samples.add("", &[], &stats.retries);
        });
        self.family(families::UNREAD, COUNTER, &|stats, samples| {
            samples.add("", &[], &stats.unread);
        });
        self.family(families::SPARES_STARTED, COUNTER, &|stats, samples| {
            samples.add("", &[], &stats.spares_started);
        });
    }

    fn gauges(&mut self) {
        self.family(families::LIVE, GAUGE, &|stats, samples| {
            let states = [
                ("queued", stats.queued),
                ("delayed", stats.delayed),
                ("gated", stats.gated),
                ("waiting", stats.waiting),
                ("running", stats.running),
            ];
            for (state, n) in states {
                samples.add("", &[("state", state)], &n);
            }
        });
        self.family(families::WORKERS, GAUGE, &|stats, samples| {
            samples.add("", &[], &stats.workers);
        });
        self.family(families::THREADS, GAUGE, &|stats, samples| {
            let states = [
                ("busy", stats.busy),
                ("blocked", stats.blocked),
                ("idle", stats.idle),
            ];
            for (state, n) in states {
                samples.add("", &[("state", state)], &n);
            }
        });
        self.family(families::UPTIME, GAUGE, &|stats, samples| {
            samples.add("", &[], &stats.uptime.as_secs_f64());
        });
        self.family(families::OLDEST_QUEUED, GAUGE, &|stats, samples| {
            if let Some(oldest) = stats.oldest_queued {
                samples.add("", &[], &oldest.as_secs_f64());
            }
        });
    }

    /// A sum over the names must not count each task twice, so what is of all tasks is a family of
    /// its own.
    #[cfg(feature = "histograms")]
    fn summaries(&mut self) {
        type Part = fn(&Times) -> &Quantiles;
        let parts: [(Family, Family, Part); 3] = [
            (families::WAIT, families::NAMED_WAIT, |times| &times.waited),
            (families::RUN, families::NAMED_RUN, |times| &times.ran),
            (families::END_TO_END, families::NAMED_END_TO_END, |times| {
                &times.total
            }),
        ];
        for (all, named, part) in parts {
            for family in [all, named] {
                self.family(family, "summary", &|stats, samples| {
                    let is_named = family.name == named.name;
                    let of_kind = |times: &&Times| times.name.is_some() == is_named;
                    for times in stats.times.iter().filter(of_kind) {
                        samples.summary(times.name.as_deref(), part(times));
                    }
                });
            }
        }
    }

    /// Writes a family once for all pools. One without a number is left out.
    fn family(&mut self, family: Family, kind: &str, add: &dyn Fn(&Stats, &mut Samples<'_>)) {
        let Family { name, help } = family;
        let begin = self.text.len();
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        let head = self.text.len();
        for (pool, stats) in &self.pools {
            let text = &mut self.text;
            add(stats, &mut Samples { name, pool, text });
        }
        if self.text.len() == head {
            self.text.truncate(begin);
        }
    }
}

impl Samples<'_> {
    fn add(&mut self, suffix: &str, labels: &[(&str, &str)], value: &dyn Display) {
        let Self { name, pool, text } = self;
        let _ = write!(text, "{name}{suffix}{{pool=\"{}\"", Escaped(pool));
        for (label, value) in labels {
            let _ = write!(text, ",{label}=\"{}\"", Escaped(value));
        }
        let _ = writeln!(text, "}} {value}");
    }

    #[cfg(feature = "histograms")]
    fn summary(&mut self, task: Option<&str>, times: &Quantiles) {
        let mut labels: Vec<_> = task.map(|task| ("task", task)).into_iter().collect();
        if times.count > 0 {
            for (quantile, time) in times.points() {
                labels.push(("quantile", quantile));
                self.add("", &labels, &time.as_secs_f64());
                labels.pop();
            }
        }
        self.add("_sum", &labels, &times.sum.as_secs_f64());
        self.add("_count", &labels, &times.count);
    }
}

/// The value of a label, as the format wants it.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                _ => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn stats_of(pool: &str) -> Stats {
        Stats {
            pool: pool.into(),
            ..Stats::default()
        }
    }

    #[test]
    fn a_family_has_one_head_for_all_pools() {
        let mut first = stats_of("a");
        (first.submitted, first.timed_out) = (7, 2);
        let text = prometheus_of(&[first, stats_of("b")]);
        let heads = |kind: &str| text.lines().filter(|line| line.starts_with(kind)).count();
        assert_eq!((heads("# HELP"), heads("# TYPE")), (9, 9), "{text}");
        let lines = [
            "# TYPE millhand_tasks_submitted_total counter\n\
             millhand_tasks_submitted_total{pool=\"a\"} 7\n\
             millhand_tasks_submitted_total{pool=\"b\"} 0\n",
            "\nmillhand_tasks_total{pool=\"a\",outcome=\"timed_out\"} 2\n",
            "\nmillhand_live_tasks{pool=\"b\",state=\"queued\"} 0\n",
        ];
        for lines in lines {
            assert!(text.contains(lines), "{lines} in {text}");
        }
        assert!(!text.contains("oldest"));
        assert_eq!(prometheus_of(&[]), "");
    }

    #[test]
    fn pools_of_one_name_have_labels_of_their_own() {
        let pools = ["a", "a-2", "a", "a"].map(stats_of);
        assert_eq!(labels_of(&pools), ["a", "a-2", "a-3", "a-4"]);
    }

    #[test]
    fn labels_are_escaped() {
        let mut stats = stats_of("x");
        stats.pool = "a \"b\"\\\nc {}".into();
        let text = stats.to_prometheus();
        assert!(text.contains("{pool=\"a \\\"b\\\"\\\\\\nc {}\"}"), "{text}");
    }

    #[cfg(feature = "histograms")]
    #[test]
    fn summaries_of_all_and_of_each_name() {
        use crate::observe::Histograms;
        use std::time::Duration;

        let histograms = Histograms::new(1);
        let mut stats = stats_of("a");
        stats.times = histograms.read();
        let text = stats.to_prometheus();
        assert!(text.contains("\nmillhand_task_run_seconds_sum{pool=\"a\"} 0\n"));
        assert!(!text.contains("quantile") && !text.contains("named"));

        let name = Some(&"p".into());
        histograms.record(name, Duration::from_millis(500), Duration::from_secs(1));
        stats.times = histograms.read();
        let text = stats.to_prometheus();
        let lines = [
            "# TYPE millhand_task_wait_seconds summary\n\
             millhand_task_wait_seconds{pool=\"a\",quantile=\"0.5\"} 0.5\n",
            "\nmillhand_task_run_seconds{pool=\"a\",quantile=\"1\"} 1\n\
             millhand_task_run_seconds_sum{pool=\"a\"} 1\n\
             millhand_task_run_seconds_count{pool=\"a\"} 1\n",
            "\nmillhand_named_task_end_to_end_seconds{pool=\"a\",task=\"p\",quantile=\"0.99\"} 1.5\n",
            "\nmillhand_named_task_end_to_end_seconds_count{pool=\"a\",task=\"p\"} 1\n",
        ];
        for lines in lines {
            assert!(text.contains(lines), "{lines} in {text}");
        }
    }
}
