//! Guides, on subjects that concern more than one type.
//!
//! - [`first_steps`]: from an empty program to one with retries, limits, a clean end, and a test.
//! - [`choosing`]: which verb, which limit, which time limit, which wait: tables.
//! - [`errors`]: what can go wrong with a task, and one `?` for all of it, whatever type of errors
//!   a program has.
//! - [`cancelling`]: what a request to stop reaches, which waits it ends and what they return, and
//!   what to do about sockets, children and locks.
//! - [`daemons`]: programs that run until they are asked to end: signals, systemd, containers,
//!   scripts, windows, and standard input.
//! - [`observability`]: what a running pool does, what it did, and why it is slow: statistics, live
//!   tasks, a watchdog, events, exporters, and a page.
//! - [`guarantees`]: what always holds, and where it ends.
//! - [`performance`]: what each feature costs, how many workers to use, batches, allocators, and
//!   when rayon or tokio is the better choice.
//! - [`from_rust`], [`from_python`]: other libraries, and what their users write here.
//! - [`glossary`]: the words of this library.

pub mod cancelling;
pub mod choosing;
pub mod daemons;
pub mod errors;
pub mod first_steps;
pub mod from_python;
pub mod from_rust;
pub mod glossary;
pub mod guarantees;
pub mod observability;
pub mod performance;
