//! Ctrl-C, SIGTERM and SIGHUP: one registration per process, shared by any number of pools.
//!
//! Layer: signals, behind the feature of that name. `catch` chooses which signals are caught, and
//! by which crate; `signals` has the public type, and what a signal does.

mod catch;
mod signals;

pub use signals::Signals;
