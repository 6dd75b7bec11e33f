//! Guides: what goes beyond one type's own page.
//!
//! - [`performance`]: what costs what, how many workers, batches, allocators, and when rayon or tokio is the better choice.

pub mod performance;
