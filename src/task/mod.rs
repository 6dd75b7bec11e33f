//! One task: its handles, its state, its outcome, and what its body can ask.
//
// Its body, its state, its options, how it runs, its handles, and what its body can ask.

pub(crate) mod after;
pub(crate) mod body;
mod cancel;
pub(crate) mod current;
mod deadlock;
#[cfg(all(test, loom))]
#[path = "../../tests/loom/double.rs"]
pub(crate) mod double;
mod ending;
pub(crate) mod group_error;
mod handle;
mod head;
pub(crate) mod label;
pub(crate) mod options;
mod outcome;
mod owned;
mod parked;
pub(crate) mod pool;
mod promise;
mod retry;
mod run;
mod shared;
pub(crate) mod stack;
mod summary;
#[allow(clippy::module_inception)] // The folder is about tasks, and this file is the type.
mod task;
pub(crate) mod timed;
pub(crate) mod unread;
mod wait;

pub use crate::context_var::Context;
pub use crate::id::{ParseTaskIdError, TaskId};
pub use crate::retry::Jitter;
pub use current::{check, checkpoint, is_cancelled, sleep};
pub use handle::{OnFinish, TaskHandle};
pub use label::TaskLabel;
pub use promise::{Promise, promise};
pub use shared::SharedHandle;
pub use summary::{OutcomeKind, Summary};
pub use task::{CancelOutcome, TaskState};
pub use unread::UnreadFailure;

pub(crate) use current::is_worker_of;
pub(crate) use handle::face;
pub(crate) use head::{Head, Site};
pub(crate) use promise::{promise_of, settled};
pub(crate) use retry::Rules;
pub(crate) use run::RunResult;
pub(crate) use task::{Task, TaskRef, TaskWeak};
pub(crate) use wait::{deadline, is_pinned_here, join, run_here, wait_for, wait_to_the_end};
