//! Composition: tasks that wait for tasks, and go on with what they came to.

mod after;
mod arrivals;
mod completed;
mod failures;
mod group;
mod handles;
mod then;
mod wait;

pub use completed::{AsCompleted, as_completed};
pub use failures::{Failure, Failures};
pub use group::{WhenAll, WhenAny, when_all, when_any};
pub use handles::{Handle, HandleSet, Handles, OkSet};
pub use wait::{Until, join_all, join_all_ok, race, race_ok, wait_any, wait_for};
