//! Cancelling, and waits that release the run slot.

pub(crate) mod blocking;
#[cfg(feature = "child")]
pub mod child;
mod guard;
mod recv;
mod token;
mod wait;

pub use blocking::blocking;
pub use guard::CancelGuard;
pub use recv::{RecvError, recv};
pub use token::CancelToken;
