//! Jobs in the memory of the process.
//!
//! - `storage`: the public type: takes the lock, reads the time, and wakes those that wait.
//! - `job`: one job and the steps of its life. The answer to "where does a job go when ..".
//! - `waits`: those of its steps that come before it begins.
//! - `look`: what one sees of a job.
//! - `table`: all jobs, with one door through which each of them changes.
//! - `follow`: what a change of one job means for those that follow it, and for its lane.
//! - `exchange`, `session`, `sweep`, `hand`, `schedule`: what the methods of the trait do.
//! - `index`, `lanes`, `keys`, `limits`, `batches`, `notifiers`: what the table finds jobs and the
//!   rest by.
//! - `check`, `check_waits`: compare the indexes with the jobs, and the jobs with each other.
//!
//! Layer: jobs.

mod batches;
mod check;
mod check_waits;
mod exchange;
mod follow;
mod hand;
mod index;
mod job;
mod keys;
mod lanes;
mod limits;
mod look;
mod notifiers;
mod schedule;
mod session;
mod storage;
mod sweep;
mod table;
mod waits;

pub use storage::{Memory, MemoryOptions};
