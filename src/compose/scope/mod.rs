//! Scopes: tasks that may borrow, in a block that waits for all of them.

mod body;
mod gather;
mod handle;
mod latch;
mod options;
#[allow(clippy::module_inception)] // the type that the folder is named after
mod scope;
mod sink;
mod state;
mod template;

pub use gather::GatherScope;
pub use handle::ScopedHandle;
pub use options::ScopeOptions;
pub(crate) use options::{below_both, token_below_here};
pub use scope::Scope;
pub(crate) use scope::enter;
pub(crate) use sink::{FailureSink, Unfinished};
pub(crate) use state::ScopeState;
