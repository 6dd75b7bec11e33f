//! Schedules: rules that submit a task again and again.

mod builder;
#[cfg(feature = "cron")]
mod calendar;
#[cfg(feature = "cron")]
mod cron;
mod every;
mod outcome;
mod planner;
mod recurrence;
mod report;
mod runner;
#[allow(clippy::module_inception)] // The folder is about schedules, and this file is the handle.
mod schedule;
mod timeline;

pub use builder::ScheduleBuilder;
#[cfg(feature = "cron")]
pub use cron::{Cron, CronError};
pub use every::{Every, Missed, OnPanic, Overlap};
pub use outcome::Answer;
pub use planner::{ScheduleCounts, ScheduleEnd};
pub use schedule::Schedule;
