//! Jobs in the memory of the process.
//!
//! - `storage`: the public type: takes the lock, reads the time, and wakes those that wait.
//! - `job`: one job and the steps of its life. The answer to "where does a job go when ..".
//! - `table`: all jobs, with one door through which each of them changes.
//! - `exchange`, `session`, `sweep`, `hand`, `schedule`: what the methods of the trait do.
//! - `index`, `keys`, `limits`, `batches`, `notifiers`: what the table finds jobs and the rest by.
//! - `check`: compares the indexes with the jobs.
//!
//! Layer: jobs.

mod batches;
mod check;
mod exchange;
mod hand;
mod index;
mod job;
mod keys;
mod limits;
mod notifiers;
mod schedule;
mod session;
mod storage;
mod sweep;
mod table;

pub use storage::{Memory, MemoryOptions};
