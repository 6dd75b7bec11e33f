//! What the exporters call the numbers of a pool: one name and one text for each, whichever way
//! they take.
//!
//! Layer: observe. The names follow the conventions of Prometheus: base units, `_total` at the end
//! of what only grows.

/// One number of a pool, or of each of several states of it.
#[derive(Clone, Copy)]
pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
}

const fn family(name: &'static str, help: &'static str) -> Family {
    Family { name, help }
}

pub(crate) const SUBMITTED: Family = family(
    "millhand_tasks_submitted_total",
    "Tasks that were submitted, those that the pool did not take included.",
);

pub(crate) const ENDED: Family = family(
    "millhand_tasks_total",
    "Tasks that have settled, by their outcomes.",
);

pub(crate) const RETRIES: Family = family(
    "millhand_task_retries_total",
    "Attempts after the first, of all tasks.",
);

pub(crate) const UNREAD: Family = family(
    "millhand_unread_failures_total",
    "Failures, panics and refusals that no handle was left to read.",
);

pub(crate) const SPARES_STARTED: Family = family(
    "millhand_spare_threads_started_total",
    "Threads started beside the workers, since bodies waited.",
);

pub(crate) const LIVE: Family = family(
    "millhand_live_tasks",
    "Tasks that have not settled, by what they do.",
);

pub(crate) const WORKERS: Family = family(
    "millhand_workers",
    "How many bodies may run at once, those that wait not counted.",
);

pub(crate) const THREADS: Family = family(
    "millhand_threads",
    "Threads of the pool, spares included, by what they do.",
);

pub(crate) const UPTIME: Family =
    family("millhand_uptime_seconds", "How long ago the pool was made.");

pub(crate) const OLDEST_QUEUED: Family = family(
    "millhand_oldest_queued_seconds",
    "For how long the oldest queued task has waited.",
);

#[cfg(any(feature = "histograms", feature = "metrics"))]
pub(crate) const WAIT: Family = family(
    "millhand_task_wait_seconds",
    "How long timed tasks waited before their first attempts.",
);

#[cfg(any(feature = "histograms", feature = "metrics"))]
pub(crate) const RUN: Family = family(
    "millhand_task_run_seconds",
    "How long timed tasks ran, from the first attempt to the end of the last.",
);

#[cfg(feature = "histograms")]
pub(crate) const END_TO_END: Family = family(
    "millhand_task_end_to_end_seconds",
    "How long timed tasks took, from when they were due to their end.",
);

#[cfg(feature = "histograms")]
pub(crate) const NAMED_WAIT: Family = family(
    "millhand_named_task_wait_seconds",
    "How long the tasks of a name waited before their first attempts.",
);

#[cfg(feature = "histograms")]
pub(crate) const NAMED_RUN: Family = family(
    "millhand_named_task_run_seconds",
    "How long the tasks of a name ran, from the first attempt to the end of the last.",
);

#[cfg(feature = "histograms")]
pub(crate) const NAMED_END_TO_END: Family = family(
    "millhand_named_task_end_to_end_seconds",
    "How long the tasks of a name took, from when they were due to their end.",
);

/// Events do not show whether a task that is rejected was taken before, as a continuation may be:
/// so this is counted, and not what was submitted.
#[cfg(feature = "metrics")]
pub(crate) const ACCEPTED: Family = family(
    "millhand_tasks_accepted_total",
    "Tasks that the pool has taken.",
);

#[cfg(feature = "metrics")]
pub(crate) const SLOW: Family = family(
    "millhand_slow_tasks_total",
    "Tasks that have run for longer than the pool's `slow_task` allows.",
);

#[cfg(feature = "metrics")]
pub(crate) const STALLS: Family = family(
    "millhand_queue_stalls_total",
    "How often the head of the queue has waited for longer than the pool's `stalled` allows.",
);

#[cfg(feature = "metrics")]
pub(crate) const RUNNING: Family = family(
    "millhand_running_tasks",
    "Bodies that run, those whose time is over included.",
);

#[cfg(feature = "metrics")]
pub(crate) const POOL_THREADS: Family = family(
    "millhand_pool_threads",
    "Threads of the pool, spares included.",
);
