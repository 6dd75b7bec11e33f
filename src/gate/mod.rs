//! Gates: what a task must pass before it runs. The rules, each pure, and the line that all of them share.

mod bucket;
mod claim;
mod error;
mod line;
mod permits;
mod rule;
mod stand;
mod turns;
mod window;

pub use error::{AcquireError, LimitError};

pub(crate) use bucket::Bucket;
pub(crate) use claim::{Claim, Passage, claim, enter, forget, release};
pub(crate) use line::{Gate, Nature, Waiter, next_order};
pub(crate) use permits::Permits;
pub(crate) use rule::Rule;
pub(crate) use stand::{acquire, try_acquire};
pub(crate) use turns::Turns;
pub(crate) use window::Window;
