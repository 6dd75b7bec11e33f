//! Runs stored jobs on a pool.
//!
//! - `builder`: queues, handlers, the start.
//! - `consumer`: the handle, and the report.
//! - `handlers`: the queues, and what to do with each kind.
//! - `state`: what is claimed, and which ends are not confirmed.
//! - `lease`: the session, and what is asked to stop when it ends.
//! - `run`: one job, from its claim to its verdict.
//! - `ticking`: the schedules of a consumer.
//! - `service`: the loop that claims and confirms.
//! - `heartbeats`: the signs of life.

mod builder;
#[allow(clippy::module_inception)] // The folder is about consumers, and this file is the type.
mod consumer;
mod handlers;
mod heartbeats;
mod lease;
mod run;
mod service;
mod state;
mod ticking;

pub use builder::ConsumerBuilder;
pub use consumer::{Consumer, ConsumerReport};
