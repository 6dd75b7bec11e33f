//! The pool: its options, its templates, its end, and the report of that.
//
// The run queue, the workers that take tasks from it, the timer, and the end of it all.

mod builder;
mod continuations;
mod core;
mod current;
mod error;
mod events;
mod lifecycle;
mod live;
mod looking;
mod mailbox;
mod manual;
mod observed;
mod parking;
#[allow(clippy::module_inception)] // The folder is about pools, and this file is the type.
mod pool;
mod queue;
mod registry;
mod report;
mod run_until;
mod seen;
mod service;
mod shutdown;
mod shutdown_options;
mod side_queues;
#[cfg(feature = "simulation")]
mod simulation;
mod slot_counts;
mod spares;
mod stats;
mod submit;
mod submit_own;
mod sweep;
mod task_events;
mod template;
mod timer;
mod times;
mod verbs;
mod watch;
mod worker;
mod worker_local;
mod worker_state;
mod workers;

pub use builder::{OnFull, PoolBuilder};
pub use current::{Current, attempt, current};
pub use error::{BuildError, PoolError};
pub use lifecycle::Phase;
pub use pool::{Pool, PoolHandle, ThreadPool};
pub use report::{EndedSchedule, PendingTask, RunningTask, ShutdownReport};
#[doc(hidden)]
#[cfg(feature = "signals")]
pub(crate) use run_until::Inside;
pub use run_until::StopSource;
pub use service::{AttachError, Service, ServiceHost, ServiceReport};
pub use shutdown_options::Shutdown;
#[cfg(feature = "simulation")]
#[doc(hidden)] // It is in `testing`.
pub use simulation::Simulation;
pub use template::{Fallible, Plain, Retrying, TaskBuilder};
pub use worker_local::WorkerLocal;

// For the layers that come after.
pub(crate) use core::{Core, PLAIN, Spec};
pub(crate) use lifecycle::ListedSchedule;
pub(crate) use timer::TimerEntry;
#[cfg(feature = "dashboard")]
pub(crate) use watch::Sampling;
