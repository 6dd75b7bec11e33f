//! One task: its work, its cell, its handle, and what its body can ask.

mod cell;
mod context;
mod handle;
mod promise;
mod shared;
mod work;

pub use cell::{CancelOutcome, TaskState};
pub use context::{Current, check, checkpoint, current, is_cancelled, sleep};
pub use handle::{OnFinish, TaskHandle};
pub use promise::{Promise, promise};
pub use shared::SharedHandle;

pub(crate) use cell::{AnyTask, Cell, Stage, TaskRef};
pub(crate) use context::{Frames, Host, is_worker_of, set_host};
pub(crate) use promise::settled;
pub(crate) use work::{FallibleWork, PlainWork, Work};
