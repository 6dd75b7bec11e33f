//! Looking into a running pool: counts, live tasks, events, and what passes them on.
//!
//! `guide::observability` begins with what a program needs.
//
// Plain data and what listens. The pool fills and calls it.

mod age;
mod buffered;
mod event;
mod observer;
mod stats;
mod task_table;

pub use age::Age;
pub use buffered::Buffered;
pub use event::Event;
pub use observer::Observer;
pub use stats::{Rates, Stats};
pub use task_table::{ScheduleInfo, TaskInfo, TaskTable, WaitsFor, WorkerInfo, WorkerState};

// For the pool.
pub(crate) use observer::Observers;
