//! Guides, on subjects that concern more than one type.
//!
//! To begin with:
//! - [`first_steps`]: from an empty program to one with retries, limits, a clean end, and a test.
//! - [`choosing`]: which verb, which limit, which time limit, which wait: tables.
//! - [`cookbook`]: thirty recipes of ten lines.
//! - [`faq`]: questions that users ask, and short answers.
//!
//! By subject:
//! - [`limits`]: how many at once, how many per second, in which order, and for whom.
//! - [`time`]: delays, time limits, retries and schedules, and what they count from.
//! - [`composition`]: one task after another, many at once, scopes, collections and pipelines.
//! - [`errors`]: what can go wrong with a task, and one `?` for all of it, whatever type of errors
//!   a program has.
//! - [`cancelling`]: what a request to stop reaches, which waits it ends and what they return, and
//!   what to do about sockets, children and locks.
//! - [`shutdown`]: how a pool ends, what becomes of each task, and what the report says.
//! - [`daemons`]: programs that run until they are asked to end: signals, systemd, containers,
//!   scripts, windows, and standard input.
//! - [`observability`]: what a running pool does, what it did, and why it is slow: statistics, live
//!   tasks, a watchdog, events, exporters, and a page.
//! - [`testing`]: time that the test advances, threads in an order that a seed picks.
//! - [`bridges`]: async code, windows with a main loop, callbacks, tracing, and other threads.
//!
//! To look up:
//! - [`guarantees`]: what always holds, and where it ends.
//! - [`performance`]: what each feature costs, how many workers to use, batches, allocators, and
//!   when rayon or tokio is the better choice.
//! - [`how_it_works`]: the path of a task, in pictures.
//! - [`from_rust`], [`from_python`]: other libraries, and what their users write here.
//! - [`glossary`]: the words of this library.

pub mod bridges;
pub mod cancelling;
pub mod choosing;
pub mod composition;
pub mod cookbook;
pub mod daemons;
pub mod errors;
pub mod faq;
pub mod first_steps;
pub mod from_python;
pub mod from_rust;
pub mod glossary;
pub mod guarantees;
pub mod how_it_works;
pub mod limits;
pub mod observability;
pub mod performance;
pub mod shutdown;
pub mod testing;
pub mod time;
