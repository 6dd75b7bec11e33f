//! Composition: waiting for tasks, continuing them, scopes, maps and pipelines.

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
pub use wait::{AsCompleted, Handle, HandleSet, Handles, OkSet, Until, as_completed, join_all};
pub use wait::{join_all_ok, race, race_ok, wait_any, wait_for};
pub use when::{WhenAll, WhenAny, when_all, when_any};
