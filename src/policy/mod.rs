//! The policies: pure decisions that take the time as an argument.

mod retry;

pub use retry::{Jitter, Retry};
