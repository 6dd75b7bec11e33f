//! Guides, on subjects that concern more than one type.
//!
//! - [`performance`]: what each feature costs, how many workers to use, batches, allocators, and
//!   when rayon or tokio is the better choice.

pub mod performance;
