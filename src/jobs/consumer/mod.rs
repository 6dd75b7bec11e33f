//! Runs stored jobs on a pool.
//!
//! - `builder`: queues, handlers, the start.
//! - `consumer`: the handle, and the report.
//! - `state`: what is claimed, and which ends are not confirmed.
//! - `run`: one job, from its claim to its verdict.
//! - `ticking`: the schedules of a consumer.
//! - `service`: the loop that claims, confirms and shows signs of life.

mod builder;
#[allow(clippy::module_inception)] // The folder is about consumers, and this file is the type.
mod consumer;
mod run;
mod service;
mod state;
mod ticking;

pub use builder::ConsumerBuilder;
pub use consumer::{Consumer, ConsumerReport};
