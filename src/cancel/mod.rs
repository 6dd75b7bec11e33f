//! Cancelling, and waits that release the run slot.

pub(crate) mod blocking;
mod token;

pub use blocking::blocking;
pub use token::{CancelGuard, CancelToken};
