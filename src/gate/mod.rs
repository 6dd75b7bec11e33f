//! Gates: what a task must pass before it runs. The rules, each pure, and the line that all of them share.

mod bucket;
mod error;
mod line;
mod permits;
mod rule;
mod stand;
mod turns;
mod window;

pub use error::{AcquireError, LimitError};

pub(crate) use bucket::Bucket;
pub(crate) use line::{
    Claim, Gate, Nature, Passage, Waiter, claim, enter, forget, next_order, release,
};
pub(crate) use permits::Permits;
pub(crate) use rule::Rule;
pub(crate) use stand::{acquire, try_acquire};
pub(crate) use turns::Turns;
pub(crate) use window::Window;
