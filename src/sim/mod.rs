//! Simulations: threads that run one at a time, and time that moves only when none of them can go
//! on. Without the feature `simulation`, `lib.rs` takes `disabled.rs` in place of this folder.

mod calls;
mod deadlock;
mod join;
mod scheduler;
mod simulator;
mod token;
mod trace;

pub use trace::TraceEntry;

pub(crate) use join::SimJoinHandle;
pub(crate) use simulator::{PoolGuard, Simulator, current, pause, poll};
pub(crate) use trace::NoteText;
