//! A storage that is as plain as it can be: written from the docs of the trait, to be compared with
//! others.
//!
//! - `job`: a job, and what happens to it.
//! - `state`: all jobs, sessions, queues and schedules, and scans of them.
//! - `follow`: lanes, jobs that follow others, and what one end brings about.
//! - `place`: a job is stored, or takes the place of another one.
//! - `claims`: the steps of an exchange.
//! - `storage`: the trait.

mod claims;
mod follow;
mod job;
mod place;
pub(crate) mod state;
mod storage;

pub use storage::Model;
