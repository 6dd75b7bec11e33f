//! Looking into a running pool: counts, live tasks, events, and what passes them on.
//!
//! `guide::observability` begins with what a program needs.
//
// Plain data and what listens. The pool fills and calls it.

mod age;
mod buffered;
mod event;
mod families;
#[cfg(feature = "histograms")]
mod histograms;
#[cfg(feature = "metrics")]
mod metrics;
mod observer;
mod prometheus;
mod stats;
mod task_table;
#[cfg(feature = "tracing")]
mod tracing;

#[cfg(feature = "metrics")]
pub use self::metrics::Metrics;
#[cfg(feature = "tracing")]
pub use self::tracing::Tracing;
pub use age::Age;
pub use buffered::{Buffered, Dropped};
pub use event::Event;
#[cfg(feature = "histograms")]
pub use histograms::{Quantiles, Times};
pub use observer::Observer;
pub use prometheus::prometheus_of;
pub use stats::{Rates, Stats};
pub use task_table::{ScheduleInfo, TaskInfo, TaskTable, WaitsFor, WorkerInfo, WorkerState};

// For the pool.
#[cfg(feature = "histograms")]
pub(crate) use histograms::Histograms;
pub(crate) use observer::Observers;
