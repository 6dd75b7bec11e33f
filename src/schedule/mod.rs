//! Schedules: rules for when a task is submitted again and again, and what carries them out.

mod answer;
mod beat;
#[cfg(feature = "cron")]
mod cron;
#[cfg(feature = "cron")]
mod cron_error;
mod every;
mod handle;
mod run;
mod series;
mod shell;

pub use answer::Answer;
#[cfg(feature = "cron")]
pub use cron::Cron;
#[cfg(feature = "cron")]
pub use cron_error::CronError;
pub use every::{Every, Missed, OnPanic, Overlap};
pub use handle::Schedule;
pub use run::ScheduleBuilder;
pub use series::ScheduleCounts;
