//! The pool: the run queue, the workers that read from it, their seats, and the end of it all.

mod admit;
mod builder;
mod core;
mod crew;
mod follow;
mod heap;
mod home;
mod intake;
mod lanes;
mod options;
mod parking;
mod phase;
mod pool_ref;
mod queue;
mod quiet;
mod report;
mod roll;
mod schedules;
mod seats;
mod shutdown;
mod simulated;
mod stage;
mod submit;
mod thread_pool;
mod threads;
mod timer;
mod waits;
mod worker;
mod worker_local;

pub use builder::PoolBuilder;
pub use options::OnFull;
pub use pool_ref::PoolRef;
pub use report::{EndedSchedule, PendingTask, RunningTask, ShutdownReport};
pub use shutdown::Shutdown;
pub use submit::{Fallible, Plain, Retrying, TaskBuilder};
pub use thread_pool::ThreadPool;
pub use worker_local::WorkerLocal;

// For the layers that come after.
pub(crate) use core::{Core, PLAIN, Site, Spec};
pub(crate) use timer::{Entry, Tick};
