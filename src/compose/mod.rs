//! Composition: tasks that wait for tasks, go on with what they came to, and end together.

mod after;
mod arrivals;
mod belt;
mod completed;
mod failures;
mod flow;
mod gather;
mod group;
mod handles;
mod latch;
mod map;
mod map_iter;
mod members;
mod pipeline;
mod scope;
mod scope_options;
mod scoped_handle;
mod then;
mod wait;

pub use completed::{AsCompleted, as_completed};
pub use failures::{Failure, Failures};
pub use gather::{Admits, AnyError, Only};
pub use group::{WhenAll, WhenAny, when_all, when_any};
pub use handles::{Handle, HandleSet, Handles, OkSet};
pub use map_iter::MapIter;
pub use pipeline::{Pipeline, PipelineIter, PipelineKind};
pub use scope::Scope;
pub use scope_options::ScopeOptions;
pub use scoped_handle::ScopedHandle;
pub use wait::{Until, join_all, join_all_ok, race, race_ok, wait_any, wait_for};
