//! Waiting for several tasks at once: for all, for any, for the first that fails or succeeds.

mod completed;
mod completion_queue;
mod handles;
#[allow(clippy::module_inception)] // the verbs that the folder is named after
mod wait;
mod with_key;

pub use completed::{AsCompleted, as_completed};
pub use handles::{Handle, HandleSet, Handles, OkSet};
pub use wait::{Until, join_all, join_all_ok, join_each, join_each_ok, race};
pub use wait::{wait_any, wait_until, wait_until_timeout};
pub use with_key::WithKey;
pub(crate) use with_key::with_key;

pub(crate) use handles::Link;
