//! Counters, gauges and histograms through the crate `metrics`.
//!
//! Layer: observe. The names are in `families.rs`. A number that `prometheus.rs` writes, too, has
//! the same name there. What only events show has a name that `prometheus.rs` does not use.

use crate::observe::families::{self, Family};
use crate::observe::{Event, Observer};
use crate::task::{Summary, TaskLabel};
use metrics::{Counter, Gauge, Histogram, Unit};
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use std::fmt;

/// An observer that counts through the crate `metrics`, for whatever recorder the program has
/// installed.
///
/// All have the label `pool`:
///
/// | kind | name | what |
/// | --- | --- | --- |
/// | counter | `millhand_tasks_accepted_total` | tasks that the pool has taken |
/// | counter | `millhand_tasks_total` | tasks that have settled, with the label `outcome` |
/// | counter | `millhand_task_retries_total` | attempts after the first |
/// | counter | `millhand_slow_tasks_total` | tasks longer than [`slow_task`](crate::pool::PoolBuilder::slow_task) |
/// | counter | `millhand_queue_stalls_total` | waits longer than [`stalled`](crate::pool::PoolBuilder::stalled) |
/// | gauge | `millhand_running_tasks` | bodies that run, those whose time is over included |
/// | gauge | `millhand_pool_threads` | threads of the pool, spares included |
/// | histogram | `millhand_task_wait_seconds` | how long timed tasks waited for their first attempts |
/// | histogram | `millhand_task_run_seconds` | how long timed tasks ran |
///
/// The metrics are registered once, in [`new`](Self::new): install the recorder before that.
///
/// ```
/// use millhand::ThreadPool;
/// use millhand::observe::Metrics;
///
/// // After `PrometheusBuilder::new().install()?`, or the like.
/// let pool = ThreadPool::builder().name_prefix("mail").observer(Metrics::new("mail")).build()?;
/// pool.execute(|| ());
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
///
/// Guide: [observability](crate::guide::observability).
pub struct Metrics {
    pool: String,
    accepted: Counter,
    outcomes: [Counter; OUTCOMES.len()],
    retries: Counter,
    slow: Counter,
    stalls: Counter,
    running: Gauge,
    threads: Gauge,
    waits: Histogram,
    runs: Histogram,
}

/// By the numbers of [`OutcomeKind`](crate::task::OutcomeKind).
const OUTCOMES: [&str; 7] = [
    "succeeded",
    "failed",
    "panicked",
    "cancelled",
    "expired",
    "timed_out",
    "rejected",
];

impl Metrics {
    /// Registers the metrics of a pool with the recorder of the program. `pool` is the value of the
    /// label: best the [`name_prefix`](crate::pool::PoolBuilder::name_prefix) of the pool.
    ///
    /// ```
    /// use millhand::observe::Metrics;
    ///
    /// let pool = millhand::ThreadPool::builder().observer(Metrics::new("mail")).build()?;
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn new(pool: impl Into<String>) -> Self {
        Self::of(pool.into())
    }

    fn of(pool: String) -> Self {
        let counter_of = |Family { name, help }| {
            describe_counter!(name, Unit::Count, help);
            counter!(name, "pool" => pool.clone())
        };
        let gauge_of = |Family { name, help }| {
            describe_gauge!(name, Unit::Count, help);
            gauge!(name, "pool" => pool.clone())
        };
        let histogram_of = |Family { name, help }| {
            describe_histogram!(name, Unit::Seconds, help);
            histogram!(name, "pool" => pool.clone())
        };
        let Family { name, help } = families::ENDED;
        describe_counter!(name, Unit::Count, help);
        Self {
            accepted: counter_of(families::ACCEPTED),
            outcomes: OUTCOMES
                .map(|outcome| counter!(name, "pool" => pool.clone(), "outcome" => outcome)),
            retries: counter_of(families::RETRIES),
            slow: counter_of(families::SLOW),
            stalls: counter_of(families::STALLS),
            running: gauge_of(families::RUNNING),
            threads: gauge_of(families::POOL_THREADS),
            waits: histogram_of(families::WAIT),
            runs: histogram_of(families::RUN),
            pool,
        }
    }

    fn ended(&self, summary: &Summary) {
        self.outcomes[summary.outcome as usize].increment(1);
        if let Some(ran) = summary.ran {
            self.runs.record(ran);
        }
    }
}

impl Observer for Metrics {
    fn on_event(&self, event: &Event) {
        match event {
            Event::Submitted { .. } => self.accepted.increment(1),
            Event::Started {
                attempt: 1,
                waited: Some(waited),
                ..
            } => self.waits.record(*waited),
            // As the pool counts them: when the attempt before has failed.
            Event::Retrying { .. } => self.retries.increment(1),
            Event::Slow { .. } => self.slow.increment(1),
            Event::Stalled { .. } => self.stalls.increment(1),
            Event::WorkerStarted { .. } => self.threads.increment(1),
            Event::WorkerStopped { .. } => self.threads.decrement(1),
            event => {
                if let Some(summary) = event.summary() {
                    self.ended(summary);
                }
            }
        }
    }

    /// Counts what runs here and not by events: a body whose time is over still runs.
    fn around(&self, _: &TaskLabel, attempt: &mut dyn FnMut()) {
        self.running.increment(1);
        attempt();
        self.running.decrement(1);
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics")
            .field("pool", &self.pool)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::task::{OutcomeKind, TaskId};
    use std::panic::Location;

    #[test]
    fn the_label_of_an_outcome_is_the_name_of_its_event() {
        for (code, label) in (0..).zip(OUTCOMES) {
            let event = Event::of_end(Summary {
                id: TaskId::next(),
                name: None,
                site: Location::caller(),
                outcome: OutcomeKind::from_code(code),
                waited: None,
                ran: None,
                attempts: 1,
                error: None,
            });
            assert_eq!(event.name(), label);
        }
    }
}
