#![doc = include_str!("../README.md")]
//!
//! # The guide
//! (to be written)

mod cancel;
mod clock;
mod counters;
mod error;
mod event;
mod fork;
mod id;
mod panic;
mod pool;
mod reason;
mod seat;
#[cfg(feature = "signals")]
mod signal;
mod slot;
mod sync;
mod task;

pub use cancel::{CancelGuard, CancelToken};
pub use error::{
    BuildError, Deadlock, JoinError, PoolError, Rejection, Stopped, SubmitError, TaskError,
};
pub use event::{OutcomeKind, Summary};
pub use id::{ParseTaskIdError, TaskId};
pub use panic::TaskPanic;
pub use pool::{
    Fallible, OnFull, Plain, PoolBuilder, PoolRef, RunningTask, Shutdown, ShutdownReport,
    TaskBuilder, ThreadPool,
};
pub use reason::CancelReason;
pub use seat::blocking;
#[cfg(feature = "signals")]
pub use signal::Signals;
pub use task::{
    CancelOutcome, Current, OnFinish, Promise, SharedHandle, TaskHandle, TaskState, check,
    checkpoint, current, is_cancelled, promise, sleep,
};
