//! Pipelines: items that pass through stages, each stage with a width of its own.

mod driver;
#[allow(clippy::module_inception)] // the type that the folder is named after
mod pipeline;
mod state;

pub use pipeline::{Pipeline, PipelineIter};
