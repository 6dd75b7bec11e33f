//! Tokens that cancel tasks, the reasons, and waits that a cancel ends.
//!
//! [`guide::cancelling`](crate::guide::cancelling) has the whole picture.

pub(crate) mod blocking;
#[cfg(feature = "child")]
#[doc(hidden)] // It is in the root.
pub mod child;
mod guard;
mod recv;
mod token;
mod wait;

pub use crate::reason::CancelReason;
pub use blocking::blocking;
pub use guard::CancelGuard;
pub use recv::{RecvError, recv};
pub use token::CancelToken;
