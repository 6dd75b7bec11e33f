//! Several tasks together: waiting for them, continuing them, scopes, maps and pipelines.

mod after;
mod failures;
mod map;
mod map_iter;
mod pipeline;
mod scope;
mod then;
mod wait;
mod when;

pub use failures::{Failure, Failures};
pub use map_iter::MapIter;
pub use pipeline::{Pipeline, PipelineIter};
pub use scope::{GatherScope, Scope, ScopeOptions, ScopedHandle};
pub use wait::wait_until_timeout;
pub use wait::{AsCompleted, Handle, HandleSet, Handles, OkSet, Until, as_completed, join_all};
pub use wait::{WithKey, join_all_ok, join_each, join_each_ok, race, wait_any, wait_until};
pub use when::{WhenAll, when_all, when_each};
