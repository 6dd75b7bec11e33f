//! Cancelling, and waits that give the run slot up.

pub(crate) mod blocking;
mod token;

pub use blocking::blocking;
pub use token::{CancelGuard, CancelToken};
