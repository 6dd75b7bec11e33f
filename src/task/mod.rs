//! One task: its work, its cell, its course, its handle, and what its body can ask.

mod any;
mod behind;
mod cell;
mod context;
mod course;
mod handle;
mod job;
mod promise;
mod retry;
mod run;
mod shared;
mod time;
mod work;

pub use any::{CancelOutcome, TaskState};
pub use context::{Current, check, checkpoint, current, is_cancelled, sleep};
pub use handle::{OnFinish, TaskHandle};
pub use promise::{Promise, promise};
pub use shared::SharedHandle;

pub(crate) use any::{
    AnyTask, Dismissed, Home, Joinable, OnTime, Plan, Policy, Queued, Rank, Remains, Run, Stage,
    TaskRef,
};
pub(crate) use cell::Cell;
pub(crate) use context::{Frames, Host, host, is_worker_of, set_host, token_here};
pub(crate) use course::set_out;
pub(crate) use handle::{deadline, face, run_here, wait_for};
pub(crate) use job::{Job, stand_in};
pub(crate) use promise::settled;
pub(crate) use retry::{RetryWork, Rules};
pub(crate) use work::{Facts, Failure, FallibleWork, PassingWork, PlainWork, Work};
