//! Guides, on subjects that concern more than one type.
//!
//! - [`errors`]: what can go wrong with a task, and one `?` for all of it, whatever type of errors
//!   a program has.
//! - [`cancelling`]: what a request to stop reaches, which waits it ends and what they return, and
//!   what to do about sockets, children and locks.
//! - [`daemons`]: programs that run until they are asked to end: signals, systemd, containers,
//!   scripts, windows, and standard input.
//! - [`performance`]: what each feature costs, how many workers to use, batches, allocators, and
//!   when rayon or tokio is the better choice.

pub mod cancelling;
pub mod daemons;
pub mod errors;
pub mod performance;
